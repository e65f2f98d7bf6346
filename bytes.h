/* Bytes: a slice borrows them, a buffer owns them.
 *
 * A slice is a pointer and a length into memory of somebody else; each function that returns one
 * says how long it lives. A buffer grows at its end; any append may move it, so whoever needs a
 * place in a growing buffer keeps an offset, never a pointer.
 *
 * Memory for buffers and the other small things comes from bytes_alloc(), which ends the process
 * with one line when the machine has none left: there is no sensible way to go on, and peers treat
 * the death of a process as the ordinary event it is. What a client can make large is limited
 * before it gets here.
 */
#ifndef KVS_BYTES_H
#define KVS_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const char *at; /* borrowed; may be NULL when len is 0 */
    size_t len;
};

#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})

static inline bool slice_equal(struct slice a, struct slice b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static inline bool slice_starts_with(struct slice s, struct slice prefix) {
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.at, prefix.at, prefix.len) == 0);
}

struct slice slice_of(const char *c_string);        /* borrows c_string */
int slice_compare(struct slice a, struct slice b);  /* bytewise, as memcmp; a prefix sorts first */

/* A decimal number of 1 to 19 digits and nothing else; false leaves *out alone. */
bool slice_to_u64(struct slice s, uint64_t *out);

struct buffer {
    char *at; /* owned */
    size_t len, cap;
};

/* Makes room for `more` bytes behind len. Every append below does this itself. */
void buffer_reserve(struct buffer *b, size_t more);
void buffer_put_char(struct buffer *b, char c);
void buffer_put_u64(struct buffer *b, uint64_t n); /* decimal */
void buffer_put_hex(struct buffer *b, uint64_t n, unsigned digits); /* lower case, 1 to 16 digits */
void buffer_free(struct buffer *b);                /* the empty buffer again; may be reused */

static inline void buffer_put(struct buffer *b, struct slice s) {
    if (b->cap - b->len < s.len) buffer_reserve(b, s.len);
    if (s.len != 0) memcpy(b->at + b->len, s.at, s.len);
    b->len += s.len;
}

static inline struct slice buffer_slice(const struct buffer *b) {
    return (struct slice){b->at, b->len};
}

/* Parses exactly 16 lower-case hex digits at `at`; false if one is not. */
bool hex64_parse(const char *at, uint64_t *out);

/* Memory or the end of the process; see above. Freed with free(). */
void *bytes_alloc(size_t size);
void *bytes_alloc_zeroed(size_t size);
void *bytes_realloc(void *old, size_t size);

#endif
