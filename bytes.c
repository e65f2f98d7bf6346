/* Slices, growing buffers and the allocation policy. See bytes.h. */
#include "bytes.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- Allocation ---- */

static void die_without_memory(size_t size) {
    fprintf(stderr, "kvs: out of memory (%zu bytes asked for)\n", size);
    abort();
}

void *bytes_alloc(size_t size) {
    void *p = malloc(size);
    if (p == NULL && size != 0) die_without_memory(size);
    return p;
}

void *bytes_alloc_zeroed(size_t size) {
    void *p = calloc(1, size);
    if (p == NULL && size != 0) die_without_memory(size);
    return p;
}

void *bytes_realloc(void *old, size_t size) {
    void *p = realloc(old, size);
    if (p == NULL && size != 0) die_without_memory(size);
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

/* ---- Hexadecimal ---- */

static const char HEX_DIGITS[] = "0123456789abcdef";

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
}

bool hex64_parse(const char *at, uint64_t *out) {
    uint64_t n = 0;
    for (int i = 0; i < 16; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0) return false;
        n = n << 4 | (unsigned)digit;
    }
    *out = n;
    return true;
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

void buffer_put_char(struct buffer *b, char c) {
    if (b->cap == b->len) buffer_reserve(b, 1);
    b->at[b->len++] = c;
}

void buffer_put_u64(struct buffer *b, uint64_t n) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    buffer_put(b, (struct slice){digits + at, sizeof digits - at});
}

void buffer_put_hex(struct buffer *b, uint64_t n, unsigned digits) {
    char text[16];
    for (unsigned i = digits; i > 0; i--, n >>= 4) text[i - 1] = HEX_DIGITS[n & 15];
    buffer_put(b, (struct slice){text, digits});
}

void buffer_free(struct buffer *b) {
    free(b->at);
    *b = (struct buffer){0};
}
