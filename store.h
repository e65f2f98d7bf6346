/* The store: one version a key, in a hash table a slot.
 *
 * Keys live in SHARD_SLOTS slots and each slot has a table of its own, so that a slot can be
 * walked, counted, sent away or dropped by itself. A table grows one bucket at a time (linear
 * hashing): no insertion ever pays for moving more than one bucket, there are never two tables, and
 * memory follows the number of keys smoothly. The hash is seeded; nobody can construct keys that
 * share a bucket.
 *
 * The store keeps what it is told and decides nothing: last-writer-wins is the node's business.
 * A deleted key leaves a tombstone, a version without a value.
 */
#ifndef KVS_STORE_H
#define KVS_STORE_H

#include "bytes.h"
#include "hash.h"
#include "vclock.h"

#define STORE_KEY_BYTES_MAX 200 /* 50 code points of at most four bytes */

/* Slices of a version borrow the store's memory until the next change of the store. */
struct version {
    struct dot dot;
    uint64_t hlc; /* with the dot's actor: the stamp */
    bool is_tombstone;
    struct slice key;
    struct slice value; /* JSON text; empty in a tombstone */
    struct slice deps;  /* as metadata_pack() made it */
};

struct store;

struct store *store_create(const struct hash_seed *seed);
void store_free(struct store *s);

/* Where a key belongs: computed once an operation, good for as long as the store lives. */
struct store_place {
    uint32_t slot;
    uint64_t hash;
};
struct store_place store_locate(const struct store *s, struct slice key);

bool store_find(const struct store *s, struct store_place place, struct slice key,
                struct version *out);

/* Puts a copy of *v in place of what stands under its key. Its slices may borrow from the version
 * that goes. False, and nothing changed, when the machine has no memory. */
bool store_put(struct store *s, struct store_place place, const struct version *v);

/* By how many bytes the store would grow (below 0: shrink) if *v were put over *old (NULL: none).
 */
int64_t store_growth(const struct version *v, const struct version *old);

uint64_t store_bytes(const struct store *s); /* all that it holds, allocator overhead included */
uint64_t store_live(const struct store *s);  /* keys with a value */
uint64_t store_tombstones(const struct store *s);
uint64_t store_slot_live(const struct store *s, uint32_t slot);

/* All that is in the slot is gone at once; its memory goes in steps of so many versions, so that
 * nobody waits while a thousand keys are freed. Until then it counts as held. */
void store_drop_slot(struct store *s, uint32_t slot);
void store_sweep(struct store *s, uint32_t versions_max);

/* Walks all versions of a slot, tombstones included, in no order. Over at the next change of the
 * store. */
struct store_walk {
    uint32_t slot, bucket;
    const struct entry *entry; /* to visit next */
};
struct store_walk store_walk_slot(uint32_t slot);
bool store_walk_next(const struct store *s, struct store_walk *walk, struct version *out);

#endif
