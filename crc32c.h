/* CRC-32C (Castagnoli): tells records on disk from what a disk has made of them.
 *
 * It finds every flip of up to five bits in a record and every burst of 32, which is more than the
 * other polynomial does (hash.h), and the machine computes it in hardware. It is no defence against
 * whoever can write the files.
 */
#ifndef KVS_CRC32C_H
#define KVS_CRC32C_H

#include "bytes.h"

/* Of the bytes so far and those of `s`: begin with 0. crc32c(crc32c(0, a), b) is that of a, b. */
uint32_t crc32c(uint32_t so_far, struct slice s);

/* The same without the instruction of the machine: for the test that compares the two. */
uint32_t crc32c_by_tables(uint32_t so_far, struct slice s);

#endif
