/* The two hashes, which must never be confused.
 *
 * hash_crc32() places a key in its slot. Every node of every release computes the same, for ever;
 * anybody can construct keys that collide under it.
 *
 * hash_seeded() (SipHash-1-3) places a key in a bucket of a table. Its seed is secret and random
 * for each process, so that nobody can construct keys that pile up in one bucket. With an all-zero
 * seed it also names immutable things (maps) by their content; that is not a defence.
 */
#ifndef KVS_HASH_H
#define KVS_HASH_H

#include "bytes.h"

struct hash_seed {
    uint64_t k0, k1;
};

uint32_t hash_crc32(struct slice s); /* IEEE 802.3, as zlib's crc32() */
uint64_t hash_seeded(const struct hash_seed *seed, struct slice s);

#endif
