/* SHA-256 as the standard describes it, one block at a time. See sha256.h.
 *
 * Nothing here is fast, and nothing needs to be: it runs a few times for each connection between
 * nodes, never for a request.
 */
#include "sha256.h"

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t ROUND[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* ---- One block ---- */

static uint32_t rotate(uint32_t x, unsigned by) {
    return x >> by | x << (32 - by);
}

static uint32_t load_word(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void store_word(uint8_t *at, uint32_t w) {
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(w >> (24 - 8 * i));
}

static void spread(const uint8_t block[SHA256_BLOCK_BYTES], uint32_t w[64]) {
    for (unsigned i = 0; i < 16; i++)
        w[i] = load_word(block + 4 * i);
    for (unsigned i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        uint32_t s0 = rotate(a, 7) ^ rotate(a, 18) ^ a >> 3;
        uint32_t s1 = rotate(b, 17) ^ rotate(b, 19) ^ b >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
}

/* v stands for a to h of the standard. */
static void take_block(uint32_t state[8], const uint8_t block[SHA256_BLOCK_BYTES]) {
    uint32_t w[64], v[8];
    spread(block, w);
    memcpy(v, state, sizeof v);
    for (unsigned i = 0; i < 64; i++) {
        uint32_t s1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25);
        uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
        uint32_t t1 = v[7] + s1 + choice + ROUND[i] + w[i];
        uint32_t s0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22);
        uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t1;
        v[0] = t1 + s0 + majority;
    }
    for (unsigned i = 0; i < 8; i++)
        state[i] += v[i];
}

/* ---- A message ---- */

void sha256_begin(struct sha256 *h) {
    *h = (struct sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
                                   0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void sha256_take(struct sha256 *h, struct slice bytes) {
    while (bytes.len > 0) {
        size_t at = h->bytes % SHA256_BLOCK_BYTES;
        size_t n = SHA256_BLOCK_BYTES - at;
        if (n > bytes.len) n = bytes.len;
        memcpy(h->block + at, bytes.at, n);
        h->bytes += n;
        bytes = (struct slice){bytes.at + n, bytes.len - n};
        if (at + n == SHA256_BLOCK_BYTES) take_block(h->state, h->block);
    }
}

/* A 1 bit, zeros up to eight bytes before the end of a block, and the length in bits. */
void sha256_end(struct sha256 *h, uint8_t digest[SHA256_BYTES]) {
    static const char PADDING[SHA256_BLOCK_BYTES] = {(char)0x80};
    uint64_t bits = h->bytes * 8;
    size_t at = h->bytes % SHA256_BLOCK_BYTES;
    size_t zeros_end = at < SHA256_BLOCK_BYTES - 8 ? SHA256_BLOCK_BYTES : 2 * SHA256_BLOCK_BYTES;
    uint8_t length[8];
    store_word(length, (uint32_t)(bits >> 32));
    store_word(length + 4, (uint32_t)bits);
    sha256_take(h, (struct slice){PADDING, zeros_end - 8 - at});
    sha256_take(h, (struct slice){(const char *)length, sizeof length});
    for (unsigned i = 0; i < 8; i++)
        store_word(digest + 4 * i, h->state[i]);
}

/* ---- HMAC ---- */

/* The key fills a block; a longer one is hashed first. */
static void begin_keyed(struct sha256 *h, const uint8_t key[SHA256_BLOCK_BYTES], uint8_t mask) {
    char masked[SHA256_BLOCK_BYTES];
    for (size_t i = 0; i < SHA256_BLOCK_BYTES; i++)
        masked[i] = (char)(key[i] ^ mask);
    sha256_begin(h);
    sha256_take(h, (struct slice){masked, sizeof masked});
}

void hmac_sha256(struct slice key, const struct slice *pieces, size_t count,
                 uint8_t code[SHA256_BYTES]) {
    uint8_t block[SHA256_BLOCK_BYTES] = {0};
    struct sha256 h;
    if (key.len > sizeof block) {
        sha256_begin(&h);
        sha256_take(&h, key);
        sha256_end(&h, block);
    } else if (key.len > 0) {
        memcpy(block, key.at, key.len);
    }
    begin_keyed(&h, block, 0x36);
    for (size_t i = 0; i < count; i++)
        sha256_take(&h, pieces[i]);
    sha256_end(&h, code);
    begin_keyed(&h, block, 0x5c);
    sha256_take(&h, (struct slice){(const char *)code, SHA256_BYTES});
    sha256_end(&h, code);
}

bool equal_in_constant_time(struct slice a, struct slice b) {
    volatile uint8_t difference = 0;
    if (a.len != b.len) return false;
    for (size_t i = 0; i < a.len; i++)
        difference = (uint8_t)(difference | (uint8_t)(a.at[i] ^ b.at[i]));
    return difference == 0;
}
