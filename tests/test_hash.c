/* CRC-32 and SipHash-1-3 against published vectors and against plain other implementations. */
#include "kit.h"

#include "../hash.h"

/* ---- CRC-32 ---- */

/* Bit by bit, as the standard describes it. */
static uint32_t crc32_by_bits(struct slice s) {
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < s.len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            uint32_t in = (uint32_t)((unsigned char)s.at[i] >> bit & 1);
            uint32_t out = (crc & 1) ^ in;
            crc = crc >> 1 ^ (out != 0 ? 0xEDB88320u : 0);
        }
    }
    return ~crc;
}

static void crc32_gives_the_published_values(void) {
    static const struct {
        const char *text;
        uint32_t crc;
    } cases[] = {
        {"", 0},
        {"a", 0xe8b7be43},
        {"abc", 0x352441c2},
        {"123456789", 0xcbf43926},
        {"The quick brown fox jumps over the lazy dog", 0x414fa339},
        {"abcdefghijklmnopqrstuvwxyz", 0x4c2750bd},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kit_note("%s", cases[i].text);
        CHECK_U64(hash_crc32(slice_of(cases[i].text)), cases[i].crc);
    }
    char zeros[32] = {0}, ones[32];
    memset(ones, 0xFF, sizeof ones);
    CHECK_U64(hash_crc32((struct slice){zeros, 32}), 0x190a55ad);
    CHECK_U64(hash_crc32((struct slice){ones, 32}), 0xff6cab0b);
}

static void crc32_agrees_with_the_definition_at_every_length(void) {
    struct guard g = guard_create();
    struct kit_random random = {kit_seed()};
    char bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)kit_next(&random);
    for (size_t len = 0; len < sizeof bytes; len++) {
        struct slice s = {bytes, len};
        kit_note("%zu bytes", len);
        CHECK_U64(hash_crc32((struct slice){guard_end(&g, s), len}), crc32_by_bits(s));
    }
    guard_free(&g);
}

/* ---- SipHash ---- */

static uint64_t rotated(uint64_t x, unsigned bits) {
    return x << bits | x >> (64 - bits);
}

/* Straight from the paper: c rounds a word, d at the end, words put together byte by byte. */
static uint64_t siphash(int c, int d, const struct hash_seed *key, struct slice in) {
    uint64_t v[4] = {key->k0 ^ 0x736f6d6570736575u, key->k1 ^ 0x646f72616e646f6du,
                     key->k0 ^ 0x6c7967656e657261u, key->k1 ^ 0x7465646279746573u};
    size_t words = in.len / 8 + 1;
    for (size_t w = 0; w <= words; w++) {
        uint64_t m = w + 1 == words ? (uint64_t)(in.len & 255) << 56 : 0;
        for (size_t i = 0; w < words && i < 8 && w * 8 + i < in.len; i++) {
            m |= (uint64_t)(unsigned char)in.at[w * 8 + i] << (8 * i);
        }
        if (w == words) v[2] ^= 0xff;
        v[3] ^= w < words ? m : 0;
        for (int i = 0; i < (w < words ? c : d); i++) {
            v[0] += v[1], v[2] += v[3];
            v[1] = rotated(v[1], 13) ^ v[0], v[3] = rotated(v[3], 16) ^ v[2];
            v[0] = rotated(v[0], 32);
            v[2] += v[1], v[0] += v[3];
            v[1] = rotated(v[1], 17) ^ v[2], v[3] = rotated(v[3], 21) ^ v[0];
            v[2] = rotated(v[2], 32);
        }
        v[0] ^= w < words ? m : 0;
    }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static const struct hash_seed PAPER_KEY = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};

/* The vectors of the paper are for SipHash-2-4: they vouch for the reference above. */
static void the_reference_gives_the_vectors_of_the_paper(void) {
    char bytes[15];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)i;
    CHECK_U64(siphash(2, 4, &PAPER_KEY, (struct slice){bytes, 0}), 0x726fdb47dd0e0e31u);
    CHECK_U64(siphash(2, 4, &PAPER_KEY, (struct slice){bytes, 1}), 0x74f839c593dc67fdu);
    CHECK_U64(siphash(2, 4, &PAPER_KEY, (struct slice){bytes, 8}), 0x93f5f5799a932462u);
    CHECK_U64(siphash(2, 4, &PAPER_KEY, (struct slice){bytes, 15}), 0xa129ca6149be45e5u);
}

static void siphash_agrees_with_the_reference_at_every_length(void) {
    struct guard g = guard_create();
    struct kit_random random = {kit_seed()};
    char bytes[300];
    for (size_t len = 0; len < sizeof bytes; len++) {
        struct hash_seed seed = {kit_next(&random), kit_next(&random)};
        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)kit_next(&random);
        struct slice s = {bytes, len};
        kit_note("%zu bytes", len);
        CHECK_U64(hash_seeded(&seed, (struct slice){guard_end(&g, s), len}),
                  siphash(1, 3, &seed, s));
    }
    guard_free(&g);
}

static void the_seed_changes_the_hash_and_both_halves_count(void) {
    struct hash_seed zero = {0, 0}, first = {1, 0}, second = {0, 1};
    struct slice s = SLICE("key");
    CHECK(hash_seeded(&zero, s) != hash_seeded(&first, s));
    CHECK(hash_seeded(&zero, s) != hash_seeded(&second, s));
    CHECK(hash_seeded(&first, s) != hash_seeded(&second, s));
}

int main(void) {
    RUN(crc32_gives_the_published_values);
    RUN(crc32_agrees_with_the_definition_at_every_length);
    RUN(the_reference_gives_the_vectors_of_the_paper);
    RUN(siphash_agrees_with_the_reference_at_every_length);
    RUN(the_seed_changes_the_hash_and_both_halves_count);
    return kit_finish();
}
