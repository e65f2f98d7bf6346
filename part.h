/* What of each slot is here: D, the clock of delivered writes, and base, slot by slot.
 *
 * D[s][a] = n claims: every write of actor a up to its n-th whose key lies in slot s is here, or a
 * later version of that key is. *base*[s] names the groups whose whole state of the slot was taken
 * over here, or grew here from the beginning: what they ever answered for is within it.
 *
 * Slots with an equal history share a *part*, and mostly all slots of a node do; they differ only
 * while slots are being taken over one at a time.
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
void slots_join(struct slots *a, const struct slots *b);
void slots_leave(struct slots *a, const struct slots *b);        /* a without b */
bool slots_meet(const struct slots *a, const struct slots *b);   /* have one in common */
bool slots_within(const struct slots *a, const struct slots *b); /* all of a are in b */
struct slots slots_common(const struct slots *a, const struct slots *b);

#define BASE_GROUPS_MAX 4096 /* that others may tell of a part */

struct base {
    uint64_t *groups; /* owned; ids, ascending */
    uint32_t count;
};

void base_clear(struct base *b);
bool base_has(const struct base *b, uint64_t group);
void base_add(struct base *b, uint64_t group);
bool base_covers(const struct base *b, const struct base *other);
bool base_equal(const struct base *a, const struct base *b);

struct part {
    struct slots slots;
    uint32_t slot_count;
    struct vclock clock; /* D */
    struct base base;
};

#define PART_NONE UINT16_MAX

struct parts {
    struct part *list; /* owned */
    uint32_t count, cap;
    uint16_t of_slot[SHARD_SLOTS]; /* index in list, or PART_NONE */
};

void parts_init(struct parts *ps); /* no slot is here */
void parts_free(struct parts *ps);

/* Of a slot; NULL when it is not here. Borrowed until the next change of the parts. */
const struct vclock *parts_clock(const struct parts *ps, uint32_t slot);
const struct base *parts_base(const struct parts *ps, uint32_t slot);

/* The group's state of all these slots is here as a whole. */
bool parts_hold(const struct parts *ps, uint64_t group, const struct slots *slots);

/* A slot comes, with nothing in it, unless it is here. */
void parts_open_slot(struct parts *ps, uint32_t slot);
/* What was taken over is joined to what is here; `base` may be NULL. The arguments must not lie in
 * the parts. */
void parts_join_slot(struct parts *ps, uint32_t slot, const struct vclock *clock,
                     const struct base *base);
void parts_drop_slot(struct parts *ps, uint32_t slot);
void parts_unite(struct parts *ps); /* parts that have become equal */

/* These slots are here, and the group's state of them is whole. */
void parts_found(struct parts *ps, const struct slots *slots, uint64_t group);
/* It is not complete any more, wherever it was. */
void parts_demote(struct parts *ps, uint64_t group);

/* A write of a group was delivered in its slot, or is for a slot that is not here: D there is
 * raised to it, and D of every other slot of the group (`of`) that was just before it advances,
 * since the write says nothing about them. True: something has moved. */
bool parts_deliver(struct parts *ps, const struct slots *of, uint32_t slot, struct dot dot);

/* True when the dot is within D of every slot that is in both sets. Asked for every dot of every
 * answer, and therefore a part at a time. */
bool parts_have(const struct parts *ps, struct dot dot, const struct slots *a,
                const struct slots *b);

/* How far an actor has been delivered in those of the slots that are here: at least, at most. Equal
 * when none lags behind another, or none is here. */
struct part_range {
    uint64_t least, most;
};
struct part_range parts_range(const struct parts *ps, const struct slots *of, uint32_t actor);

/* How far an actor has been delivered in all those slots; 0 when one of them is not here. */
uint64_t parts_least(const struct parts *ps, const struct slots *of, uint32_t actor);

#endif
