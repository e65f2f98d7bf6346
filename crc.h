/* Cyclic redundancy checks of 32 bits, of any reflected polynomial: eight bytes a step over eight
 * tables. hash.h and crc32c.h say which are used for what.
 */
#ifndef KVS_CRC_H
#define KVS_CRC_H

#include "bytes.h"

#define CRC_TABLES 8 /* bytes taken in one step */

struct crc {
    uint32_t tables[CRC_TABLES][256];
};

/* To be called before main(), from a constructor: read-only from then on. */
void crc_fill(struct crc *c, uint32_t polynomial);

/* Of the bytes so far and those of `s`: begin with 0. Words are read as little-endian, so the
 * result is the same on every machine. */
uint32_t crc_take(const struct crc *c, uint32_t so_far, struct slice s);

#endif
