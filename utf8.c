/* UTF-8 validation and encoding. See utf8.h. */
#include "utf8.h"

/* The first byte gives the length and, for the awkward ones, a narrower range for the second:
 * that is the whole of the rule against overlong forms, surrogates and code points too large. */
size_t utf8_sequence(const char *text, const char *end) {
    const unsigned char *at = (const unsigned char *)text;
    unsigned first = at[0];
    if (first < 0x80) return 1;

    size_t len;
    unsigned second_min = 0x80, second_max = 0xBF;
    if (first >= 0xC2 && first <= 0xDF) {
        len = 2;
    } else if (first >= 0xE0 && first <= 0xEF) {
        len = 3;
        if (first == 0xE0) second_min = 0xA0;
        if (first == 0xED) second_max = 0x9F;
    } else if (first >= 0xF0 && first <= 0xF4) {
        len = 4;
        if (first == 0xF0) second_min = 0x90;
        if (first == 0xF4) second_max = 0x8F;
    } else {
        return 0;
    }
    if ((size_t)(end - text) < len) return 0;
    if (at[1] < second_min || at[1] > second_max) return 0;
    for (size_t i = 2; i < len; i++) {
        if (at[i] < 0x80 || at[i] > 0xBF) return 0;
    }
    return len;
}

bool utf8_count(struct slice s, size_t *code_points) {
    size_t count = 0, i = 0;
    while (i < s.len) {
        if (s.len - i >= 8 && (word_load(s.at + i) & EACH_BYTE(0x80)) == 0) { /* plain ASCII */
            i += 8;
            count += 8;
            continue;
        }
        size_t len = utf8_sequence(s.at + i, s.at + s.len);
        if (len == 0) return false;
        i += len;
        count++;
    }
    *code_points = count;
    return true;
}

size_t utf8_encode(uint32_t cp, char *out) {
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    size_t len = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    static const unsigned char lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = len - 1; i > 0; i--, cp >>= 6)
        out[i] = (char)(0x80 | (cp & 0x3F));
    out[0] = (char)(lead[len] | cp);
    return len;
}
