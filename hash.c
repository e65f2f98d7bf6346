/* CRC-32 (reflected polynomial 0xEDB88320), eight bytes a step over eight tables, and SipHash-1-3
 * (Aumasson and Bernstein) with one compression and three finalisation rounds.
 *
 * Both read their input as little-endian words, so the result is the same on every machine. */
#include "hash.h"

/* ---- CRC-32 ---- */

#define CRC_TABLES 8 /* bytes taken in one step */

static uint32_t crc_tables[CRC_TABLES][256];

/* Filled before main() and read-only from then on: constant data that is cheaper to compute than
 * to print. */
__attribute__((constructor)) static void crc_tables_fill(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
        crc_tables[0][byte] = crc;
    }
    for (int t = 1; t < CRC_TABLES; t++) {
        for (int byte = 0; byte < 256; byte++) {
            uint32_t before = crc_tables[t - 1][byte];
            crc_tables[t][byte] = before >> 8 ^ crc_tables[0][before & 255];
        }
    }
}

uint32_t hash_crc32(struct slice s) {
    uint32_t crc = 0xFFFFFFFFu;
    for (; s.len >= CRC_TABLES; s.at += CRC_TABLES, s.len -= CRC_TABLES) {
        uint64_t word = word_load(s.at) ^ crc;
        crc = 0;
#pragma GCC unroll 8
        for (int i = 0; i < CRC_TABLES; i++)
            crc ^= crc_tables[7 - i][word >> (8 * i) & 255];
    }
    for (size_t i = 0; i < s.len; i++) {
        crc = crc >> 8 ^ crc_tables[0][(crc ^ (unsigned char)s.at[i]) & 255];
    }
    return ~crc;
}

/* ---- SipHash-1-3 ---- */

struct sip {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotate_left(uint64_t x, int bits) {
    return x << bits | x >> (64 - bits);
}

static void sip_round(struct sip *s) {
    s->v0 += s->v1, s->v1 = rotate_left(s->v1, 13) ^ s->v0, s->v0 = rotate_left(s->v0, 32);
    s->v2 += s->v3, s->v3 = rotate_left(s->v3, 16) ^ s->v2;
    s->v0 += s->v3, s->v3 = rotate_left(s->v3, 21) ^ s->v0;
    s->v2 += s->v1, s->v1 = rotate_left(s->v1, 17) ^ s->v2, s->v2 = rotate_left(s->v2, 32);
}

static void sip_absorb(struct sip *s, uint64_t word) {
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

uint64_t hash_seeded(const struct hash_seed *seed, struct slice in) {
    struct sip s = {
        seed->k0 ^ 0x736f6d6570736575u,
        seed->k1 ^ 0x646f72616e646f6du,
        seed->k0 ^ 0x6c7967656e657261u,
        seed->k1 ^ 0x7465646279746573u,
    };
    uint64_t last = (uint64_t)in.len << 56;
    for (; in.len >= 8; in.at += 8, in.len -= 8)
        sip_absorb(&s, word_load(in.at));
    for (size_t i = 0; i < in.len; i++)
        last |= (uint64_t)(unsigned char)in.at[i] << (8 * i);
    sip_absorb(&s, last);
    s.v2 ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
