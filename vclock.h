/* Actors and vector clocks.
 *
 * An *actor* is one source of writes: one process start of one node in one group, under a random
 * 64-bit id. It never restarts; a restarted node writes under a fresh one. The registry gives each
 * actor that this process has heard of a small index, so that everything inside a node works with
 * numbers and only metadata for clients spells actors out.
 *
 * A *dot* (actor, n) names the n-th write of an actor, n = 1, 2, 3... without gaps. A *vector
 * clock* maps actors to numbers: {a: 3} stands for the first three writes of a. Dots are kept in
 * the order of actor indexes.
 */
#ifndef KVS_VCLOCK_H
#define KVS_VCLOCK_H

#include "address.h"
#include "bytes.h"

/* ---- Actors ---- */

#define ACTOR_NONE UINT32_MAX

struct actor {
    uint64_t id;
    uint64_t boot;  /* the process start that it writes for */
    uint64_t group; /* the group that its writes belong to */
    struct address node;
    bool is_over;        /* a later process of the node is known: no new writes will come */
    struct slice label;  /* 10.10.0.2:8090#5f3a9c01d2e4b7a1; lives as long as the registry */
    struct slice member; /* the same as a member of a JSON object: in quotes, with the colon */
};

struct actors;

struct actors *actors_create(void);
void actors_free(struct actors *as);

/* Learns an actor, or finds it when it is known: ids are random, equal ids are equal actors. */
uint32_t actors_learn(struct actors *as, uint64_t id, const struct address *node, uint64_t boot,
                      uint64_t group);

void actors_end(struct actors *as, uint32_t index); /* it is over */

/* The index behind an id or a label, or ACTOR_NONE. */
uint32_t actors_find_id(const struct actors *as, uint64_t id);
uint32_t actors_find(const struct actors *as, struct slice label);

/* Borrowed until the next actors_learn(). */
const struct actor *actors_get(const struct actors *as, uint32_t index);
uint32_t actors_count(const struct actors *as);

/* ---- Clocks ---- */

struct dot {
    uint32_t actor;
    uint64_t n;
};

struct vclock {
    struct dot *dots; /* owned; ascending actors */
    uint32_t len, cap;
};

void vclock_clear(struct vclock *c); /* keeps the memory */
void vclock_free(struct vclock *c);
uint64_t vclock_get(const struct vclock *c, uint32_t actor); /* 0 when absent */
void vclock_set(struct vclock *c, struct dot dot);
void vclock_raise(struct vclock *c, struct dot dot); /* to at least dot.n */
void vclock_join(struct vclock *c, const struct vclock *other);
bool vclock_covers(const struct vclock *c, const struct vclock *other); /* every dot of it */
bool vclock_equal(const struct vclock *a, const struct vclock *b);

static inline bool vclock_has(const struct vclock *c, struct dot dot) {
    return vclock_get(c, dot.actor) >= dot.n;
}

#endif
