/* Checksums by tables, which are cheaper to compute than to print. See crc.h. */
#include "crc.h"

void crc_fill(struct crc *c, uint32_t polynomial) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? polynomial : 0);
        c->tables[0][byte] = crc;
    }
    for (int t = 1; t < CRC_TABLES; t++) {
        for (int byte = 0; byte < 256; byte++) {
            uint32_t before = c->tables[t - 1][byte];
            c->tables[t][byte] = before >> 8 ^ c->tables[0][before & 255];
        }
    }
}

uint32_t crc_take(const struct crc *c, uint32_t so_far, struct slice s) {
    uint32_t crc = ~so_far;
    for (; s.len >= CRC_TABLES; s.at += CRC_TABLES, s.len -= CRC_TABLES) {
        uint64_t word = word_load(s.at) ^ crc;
        crc = 0;
#pragma GCC unroll 8
        for (int i = 0; i < CRC_TABLES; i++)
            crc ^= c->tables[7 - i][word >> (8 * i) & 255];
    }
    for (size_t i = 0; i < s.len; i++)
        crc = crc >> 8 ^ c->tables[0][(crc ^ (unsigned char)s.at[i]) & 255];
    return ~crc;
}
