/* The writes that a replica keeps at hand, by their frames as they came. Three memories, each with
 * its limits; none of them knows who sent a write, or whether it may be delivered.
 *
 * The *ring* has what was delivered, in that order: whoever missed some of it gets just that. It
 * forgets the oldest and remembers up to where, as `trimmed`: who lacks any of that must be helped
 * in another way.
 *
 * What is *held* back cannot be delivered yet. It lies by actor and number, because only the first
 * of each actor can be the next one.
 *
 * The *trail* has only the dots and slots of the last deliveries, a few bytes each, so it reaches
 * further back than the ring: enough to tell one slot what has happened in the others.
 */
#ifndef KVS_KEPT_H
#define KVS_KEPT_H

#include "vclock.h"

#define RING_WRITES_MAX 65536
#define RING_BYTES_MAX  (16 * 1024 * 1024)
#define HELD_WRITES_MAX 4096               /* later ones are pulled */
#define HELD_BYTES_MAX  (64 * 1024 * 1024) /* of their frames */
#define TRAIL_STEPS_MAX 16384

struct kept { /* a write; one allocation with its frame, freed by free() */
    struct kept *next;
    struct dot dot;
    uint32_t slot;
    uint32_t len;
    char frame[];
};

struct kept *kept_create(struct dot dot, uint32_t slot, struct slice frame); /* the caller's */
struct slice kept_frame(const struct kept *k);

/* ---- The ring ---- */

struct ring {
    struct kept *first, **end; /* owned; oldest first */
    uint32_t count, writes_max;
    size_t bytes;
    struct vclock trimmed; /* what lies behind it: an asker that has it can be fed from it */
};

void ring_init(struct ring *r, uint32_t writes_max); /* 0: RING_WRITES_MAX */
void ring_free(struct ring *r);
void ring_keep(struct ring *r, struct kept *k); /* takes k; may forget others, or k itself */
void ring_trim_first(struct ring *r);           /* there is one */

/* ---- Held back ---- */

struct held {
    struct kept **list; /* owned; by actor, then number */
    uint32_t count, cap;
    size_t bytes;
};

void held_free(struct held *h);

/* False: it is there already, or there is no room. */
bool held_keep(struct held *h, struct dot dot, uint32_t slot, struct slice frame);
struct kept *held_take(struct held *h, uint32_t i); /* out of the list: the caller's */

uint32_t held_place(const struct held *h, struct dot dot); /* where that dot is or belongs */
bool held_is_first(const struct held *h, uint32_t i);      /* of its actor */
uint64_t held_first(const struct held *h, uint32_t actor); /* its number; 0: none */

/* ---- The trail ---- */

struct trail_step {
    struct dot dot;
    uint32_t slot;
};

struct trail {
    struct trail_step *steps; /* owned; circular; NULL before the first */
    uint64_t end;             /* steps are numbered from 0 on: the next one */
};

void trail_free(struct trail *t);
void trail_leave(struct trail *t, struct dot dot, uint32_t slot);
uint64_t trail_begin(const struct trail *t); /* the oldest step that is remembered */
const struct trail_step *trail_at(const struct trail *t, uint64_t i);

#endif
