/* CRC-32C against published vectors, against its definition, and both ways of computing it. */
#include "kit.h"

#include "../crc32c.h"

typedef uint32_t (*crc_function)(uint32_t so_far, struct slice s);
static const crc_function functions[] = {crc32c, crc32c_by_tables};

/* Bit by bit, as the standard describes it. */
static uint32_t by_bits(struct slice s) {
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < s.len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            uint32_t in = (uint32_t)((unsigned char)s.at[i] >> bit & 1);
            crc = crc >> 1 ^ (((crc & 1) ^ in) != 0 ? 0x82F63B78u : 0);
        }
    }
    return ~crc;
}

/* RFC 3720, appendix B.4, and the check value of the catalogues. */
static void it_gives_the_published_values(void) {
    char zeros[32] = {0}, ones[32], up[32], down[32];
    memset(ones, 0xFF, sizeof ones);
    for (int i = 0; i < 32; i++) {
        up[i] = (char)i;
        down[i] = (char)(31 - i);
    }
    static const unsigned char scsi_read[48] = {
        0x01, 0xc0, [16] = 0x14, [22] = 0x04, [27] = 0x14, [31] = 0x18, [32] = 0x28, [40] = 0x02,
    };
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        kit_note("function %zu", f);
        CHECK_U64(functions[f](0, SLICE("")), 0);
        CHECK_U64(functions[f](0, SLICE("123456789")), 0xe3069283);
        CHECK_U64(functions[f](0, (struct slice){zeros, 32}), 0x8a9136aa);
        CHECK_U64(functions[f](0, (struct slice){ones, 32}), 0x62a8ab43);
        CHECK_U64(functions[f](0, (struct slice){up, 32}), 0x46dd794e);
        CHECK_U64(functions[f](0, (struct slice){down, 32}), 0x113fdb5c);
        CHECK_U64(functions[f](0, (struct slice){(const char *)scsi_read, 48}), 0xd9963a56);
    }
}

static void it_agrees_with_the_definition_at_every_length_and_every_cut(void) {
    struct guard g = guard_create();
    struct kit_random random = {kit_seed()};
    char bytes[120];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)kit_next(&random);
    for (size_t len = 0; len <= sizeof bytes; len++) {
        struct slice s = {guard_end(&g, (struct slice){bytes, len}), len};
        uint32_t expected = by_bits(s);
        for (size_t cut = 0; cut <= len; cut++) {
            kit_note("%zu of %zu bytes", cut, len);
            struct slice front = {s.at, cut}, back = {s.at + cut, len - cut};
            CHECK_U64(crc32c(crc32c(0, front), back), expected);
            CHECK_U64(crc32c_by_tables(crc32c_by_tables(0, front), back), expected);
        }
    }
    guard_free(&g);
}

int main(void) {
    RUN(it_gives_the_published_values);
    RUN(it_agrees_with_the_definition_at_every_length_and_every_cut);
    return kit_finish();
}
