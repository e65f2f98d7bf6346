/* CRC-32 (reflected polynomial 0xEDB88320), and SipHash-1-3 (Aumasson and Bernstein) with one
 * compression and three finalisation rounds.
 *
 * Both read their input as little-endian words, so the result is the same on every machine. */
#include "hash.h"

#include "crc.h"

/* ---- CRC-32 ---- */

static struct crc ieee;

__attribute__((constructor)) static void fill(void) {
    crc_fill(&ieee, 0xEDB88320u);
}

uint32_t hash_crc32(struct slice s) {
    return crc_take(&ieee, 0, s);
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
