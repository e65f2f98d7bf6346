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

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* From a member back to what it is embedded in. */
#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

struct slice {
    const char *at; /* borrowed; may be NULL when len is 0 */
    size_t len;
};

#define SLICE(literal) ((struct slice){(literal), sizeof(literal) - 1})
/* clang-format off */
#define SLICE_INIT(literal) {(literal), sizeof(literal) - 1} /* in static initialisers */
/* clang-format on */

static inline bool slice_equal(struct slice a, struct slice b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static inline bool slice_starts_with(struct slice s, struct slice prefix) {
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.at, prefix.at, prefix.len) == 0);
}

struct slice slice_of(const char *c_string);       /* borrows c_string */
int slice_compare(struct slice a, struct slice b); /* bytewise, as memcmp; a prefix sorts first */

/* Cuts off and returns what stands before the first `separator`, or all; *rest is what follows. */
struct slice slice_cut(struct slice *rest, char separator);
struct slice slice_trim(struct slice s); /* without spaces and tabs at either end */

/* A decimal number of 1 to 19 digits and nothing else; false leaves *out alone. */
bool slice_to_u64(struct slice s, uint64_t *out);

struct buffer {
    char *at; /* owned */
    size_t len, cap;
};

/* Makes room for `more` bytes behind len. Every append below does this itself. */
void buffer_reserve(struct buffer *b, size_t more);
void buffer_put_u64(struct buffer *b, uint64_t n);   /* decimal */
void buffer_put_hex32(struct buffer *b, uint32_t n); /* 8 lower-case digits */
void buffer_put_hex64(struct buffer *b, uint64_t n); /* 16 */
void buffer_free(struct buffer *b);                  /* the empty buffer again; may be reused */

/* Where the next bytes go; they count as written. */
static inline char *buffer_grow(struct buffer *b, size_t bytes) {
    if (b->cap - b->len < bytes) buffer_reserve(b, bytes);
    b->len += bytes;
    return b->at + b->len - bytes;
}

static inline void buffer_put(struct buffer *b, struct slice s) {
    if (b->cap - b->len < s.len) buffer_reserve(b, s.len);
    if (s.len != 0) memcpy(b->at + b->len, s.at, s.len);
    b->len += s.len;
}

static inline void buffer_put_char(struct buffer *b, char c) {
    if (b->cap == b->len) buffer_reserve(b, 1);
    b->at[b->len++] = c;
}

/* For those who know how long it can get, and write it themselves: writers take the place behind
 * what is there and return the place behind what they wrote. */
#define U64_DIGITS_MAX 20
char *write_u64(char *at, uint64_t n); /* decimal */

static inline char *write_slice(char *at, struct slice s) {
    if (s.len != 0) memcpy(at, s.at, s.len);
    return at + s.len;
}

static inline struct slice write_copy(char **at, struct slice s) { /* the copy; *at moves on */
    struct slice copy = {*at, s.len};
    *at = write_slice(*at, s);
    return copy;
}

static inline struct slice buffer_slice(const struct buffer *b) {
    return (struct slice){b->at, b->len};
}

/* ---- Eight bytes at once ----
 *
 * Text is mostly plain. These set, in a little-endian word of eight bytes, the high bit of each
 * byte that a scan must look at; the other bits mean nothing, so "and" with EACH_BYTE(0x80). A byte
 * above the lowest marked one may be marked wrongly (the subtraction borrows), so only "is any?"
 * and "which is the lowest?" count. */

#define EACH_BYTE(b) (0x0101010101010101u * (uint64_t)(b))

static inline uint64_t word_load(const char *at) {
    uint64_t w;
    memcpy(&w, at, sizeof w);
    return le64toh(w);
}

static inline uint64_t word_mark_equal(uint64_t w, char c) {
    uint64_t x = w ^ EACH_BYTE((unsigned char)c);
    return (x - EACH_BYTE(1)) & ~x;
}

static inline uint64_t word_mark_control(uint64_t w) {
    return (w - EACH_BYTE(0x20)) & ~w;
}

/* memcmp() == 0 without the call, for texts of some ten bytes: words, the last two overlapping. */
static inline bool word_equal(const char *a, const char *b, size_t len) {
    if (len < 8) return len == 0 || memcmp(a, b, len) == 0;
    for (size_t i = 0; i + 8 < len; i += 8) {
        if (word_load(a + i) != word_load(b + i)) return false;
    }
    return word_load(a + len - 8) == word_load(b + len - 8);
}

/* Parse exactly 8 or 16 lower-case hex digits at `at`; false if one is none. */
bool hex32_parse(const char *at, uint32_t *out);
bool hex64_parse(const char *at, uint64_t *out);

/* Memory or the end of the process; see above. Freed with free(). */
_Noreturn void bytes_exhausted(size_t size); /* ends the process with one line */
void *bytes_alloc(size_t size);
void *bytes_alloc_zeroed(size_t size);
void *bytes_realloc(void *old, size_t size);

#endif
