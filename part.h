/* What of each slot is here: D, the clock of delivered writes, slot by slot.
 *
 * D[s][a] = n claims: every write of actor a up to its n-th whose key lies in slot s is here, or a
 * later version of that key is. Slots with an equal history share a *part*, and mostly all slots of
 * a node do; they differ only while slots are being taken over one at a time.
 */
#ifndef KVS_PART_H
#define KVS_PART_H

#include "shard.h"
#include "vclock.h"

struct slots { /* a set */
    uint64_t bits[SHARD_SLOTS / 64];
};

static inline bool slots_has(const struct slots *s, uint32_t slot) {
    return s->bits[slot / 64] >> (slot % 64) & 1;
}
static inline void slots_add(struct slots *s, uint32_t slot) {
    s->bits[slot / 64] |= (uint64_t)1 << (slot % 64);
}
static inline void slots_remove(struct slots *s, uint32_t slot) {
    s->bits[slot / 64] &= ~((uint64_t)1 << (slot % 64));
}
/* The first slot of the set from `from` on; SHARD_SLOTS when there is none. */
uint32_t slots_next(const struct slots *s, uint32_t from);

struct part {
    struct slots slots;
    uint32_t slot_count;
    struct vclock clock; /* D */
};

#define PART_NONE UINT16_MAX

struct parts {
    struct part *list; /* owned */
    uint32_t count, cap;
    uint16_t of_slot[SHARD_SLOTS]; /* index in list, or PART_NONE */
};

void parts_init(struct parts *ps); /* no slot is here */
void parts_free(struct parts *ps);

/* D of a slot; NULL when the slot is not here. Borrowed until the next change of the parts. */
const struct vclock *parts_clock(const struct parts *ps, uint32_t slot);

void parts_set_slot(struct parts *ps, uint32_t slot, const struct vclock *clock);
void parts_join_slot(struct parts *ps, uint32_t slot, const struct vclock *clock);
void parts_unite(struct parts *ps); /* parts that have become equal */

/* A write was delivered in its slot: D there is raised to it, and D of every other slot that was
 * just before it advances, since the write says nothing about them. True: something has moved. */
bool parts_deliver(struct parts *ps, uint32_t slot, struct dot dot);

/* How far an actor has been delivered in all slots. */
uint64_t parts_least(const struct parts *ps, uint32_t actor);

#endif
