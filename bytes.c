/* Slices, growing buffers and the allocation policy. See bytes.h. */
#include "bytes.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- Allocation ---- */

void bytes_exhausted(size_t size) {
    fprintf(stderr, "kvs: out of memory (%zu bytes asked for)\n", size);
    abort();
}

void *bytes_alloc(size_t size) {
    void *p = malloc(size);
    if (p == NULL && size != 0) bytes_exhausted(size);
    return p;
}

void *bytes_alloc_zeroed(size_t size) {
    void *p = calloc(1, size);
    if (p == NULL && size != 0) bytes_exhausted(size);
    return p;
}

void *bytes_realloc(void *old, size_t size) {
    void *p = realloc(old, size);
    if (p == NULL && size != 0) bytes_exhausted(size);
    return p;
}

/* ---- Slices ---- */

struct slice slice_of(const char *c_string) {
    return (struct slice){c_string, strlen(c_string)};
}

int slice_compare(struct slice a, struct slice b) {
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common == 0 ? 0 : memcmp(a.at, b.at, common);
    if (order != 0) return order;
    return (a.len > b.len) - (a.len < b.len);
}

struct slice slice_cut(struct slice *rest, char separator) {
    const char *end = rest->len > 0 ? memchr(rest->at, separator, rest->len) : NULL;
    struct slice part = {rest->at, end != NULL ? (size_t)(end - rest->at) : rest->len};
    size_t passed = end != NULL ? part.len + 1 : part.len;
    if (passed > 0) *rest = (struct slice){rest->at + passed, rest->len - passed};
    return part;
}

struct slice slice_trim(struct slice s) {
    while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t'))
        s.at++, s.len--;
    while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
        s.len--;
    return s;
}

bool slice_to_u64(struct slice s, uint64_t *out) {
    if (s.len == 0 || s.len > 19) return false; /* 19 digits always fit 64 bits */
    uint64_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned char)s.at[i] - (unsigned)'0';
        if (digit > 9) return false;
        n = n * 10 + digit;
    }
    *out = n;
    return true;
}

/* ---- Hexadecimal, eight digits at once ---- */

/* The eight digits of n as a little-endian word of text. */
static uint64_t hex8_encode(uint32_t n) {
    uint64_t x = n; /* spread the nibbles, one to a byte, the last digit lowest */
    x = (x << 16 | x) & 0x0000FFFF0000FFFFu;
    x = (x << 8 | x) & 0x00FF00FF00FF00FFu;
    x = (x << 4 | x) & EACH_BYTE(0x0F);
    uint64_t letters = (x + EACH_BYTE(6)) >> 4 & EACH_BYTE(1); /* 1 where the digit is over 9 */
    x += EACH_BYTE('0') + letters * ('a' - '0' - 10);
    return __builtin_bswap64(x); /* the first digit lowest */
}

/* The number behind eight digits; text that is none gives some number. */
static uint32_t hex8_decode(uint64_t text) {
    uint64_t x = __builtin_bswap64(text);
    x = (x & EACH_BYTE(0x0F)) + 9 * (x >> 6 & EACH_BYTE(1)); /* letters have bit 6 */
    x = (x >> 4 | x) & 0x00FF00FF00FF00FFu;
    x = (x >> 8 | x) & 0x0000FFFF0000FFFFu;
    return (uint32_t)(x >> 16 | x);
}

bool hex32_parse(const char *at, uint32_t *out) {
    uint64_t text = word_load(at);
    uint32_t n = hex8_decode(text);
    if (hex8_encode(n) != text) return false; /* not what we would have written */
    *out = n;
    return true;
}

bool hex64_parse(const char *at, uint64_t *out) {
    uint32_t high, low;
    if (!hex32_parse(at, &high) || !hex32_parse(at + 8, &low)) return false;
    *out = (uint64_t)high << 32 | low;
    return true;
}

void buffer_put_hex32(struct buffer *b, uint32_t n) {
    uint64_t text = htole64(hex8_encode(n));
    buffer_reserve(b, sizeof text);
    memcpy(b->at + b->len, &text, sizeof text);
    b->len += sizeof text;
}

void buffer_put_hex64(struct buffer *b, uint64_t n) {
    buffer_put_hex32(b, (uint32_t)(n >> 32));
    buffer_put_hex32(b, (uint32_t)n);
}

/* ---- Buffers ---- */

#define BUFFER_BYTES_MIN 256

void buffer_reserve(struct buffer *b, size_t more) {
    if (b->cap - b->len >= more) return;
    size_t cap = b->cap < BUFFER_BYTES_MIN ? BUFFER_BYTES_MIN : b->cap * 2;
    if (cap - b->len < more) cap = b->len + more;
    b->at = bytes_realloc(b->at, cap);
    b->cap = cap;
}

static unsigned count_digits(uint64_t n) {
    unsigned digits = 1;
    for (uint64_t limit = 10; n >= limit; limit *= 10) {
        if (++digits == U64_DIGITS_MAX) break; /* ten times this limit would not fit */
    }
    return digits;
}

char *write_u64(char *at, uint64_t n) {
    char *end = at + count_digits(n);
    for (at = end; n >= 10; n /= 10)
        *--at = (char)('0' + n % 10);
    *--at = (char)('0' + n);
    return end;
}

void buffer_put_u64(struct buffer *b, uint64_t n) {
    buffer_reserve(b, U64_DIGITS_MAX);
    b->len = (size_t)(write_u64(b->at + b->len, n) - b->at);
}

void buffer_free(struct buffer *b) {
    free(b->at);
    *b = (struct buffer){0};
}
