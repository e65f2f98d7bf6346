/* UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef KVS_UTF8_H
#define KVS_UTF8_H

#include "bytes.h"

/* Bytes of the one code point that starts at `at` (1 to 4), or 0 when what stands there is not
 * UTF-8 or is cut short by `end`. Needs at < end. */
size_t utf8_sequence(const char *at, const char *end);

/* Counts code points; false when `s` is not UTF-8. */
bool utf8_count(struct slice s, size_t *code_points);

/* Writes the code point (a valid one) into out[4] and returns how many bytes that took. */
size_t utf8_encode(uint32_t code_point, char *out);

#endif
