/* Operations on keys that this node has: what they depend on, and what they read and write.
 *
 * node.c decides whether an operation can be done here and now, by the questions below; then
 * serve_operation() does it. A read is over with that. So is a write where the group has no other
 * member; elsewhere it is only begun (NODE_BEGUN), and broadcast.c has the rest of its way.
 */
#ifndef KVS_SERVE_H
#define KVS_SERVE_H

#include "cluster.h"
#include "op.h"

struct serve {
    struct cluster *cluster; /* borrowed */
    uint64_t memory_bytes_max;
    bool memory_noted;     /* the limit was reached, and that was noted */
    uint64_t wall_ms;      /* as the shell last said */
    struct buffer trouble; /* why no write can be kept just now; empty: it can */
    struct buffer missing; /* what the last claim that was not covered names: JSON items */
    struct lack lack;      /* the first of these */
    struct buffer value;   /* of an answer, if it is not in the store */
    struct buffer deps;    /* a version's packed dependencies while it is put */
};

void serve_init(struct serve *s, struct cluster *cluster, uint64_t memory_bytes_max);
void serve_free(struct serve *s);

/* ---- May it be done here? ---- */

bool serve_owns(const struct serve *s, uint32_t slot);
bool serve_is_ready(const struct serve *s, uint32_t slot); /* owns it, and has caught up */
bool serve_may_read(const struct serve *s, uint32_t slot); /* and all of the slot is here */

/* All that an operation of this kind reads is here, and a write may begin. */
bool serve_may_begin(const struct serve *s, enum op_kind kind, uint32_t slot);

/* True when everything that the claim names and that concerns the slot is here, or proven lost;
 * otherwise what is missing stands in s->missing, and what of it came first in s->lack. */
bool serve_covers(struct serve *s, const struct claim *c, uint32_t slot);

/* It would come to the same again. */
bool serve_still_lacks(const struct serve *s, const struct lack *l, uint32_t slot);

/* ---- Doing it ---- */

/* The claim's metadata becomes what the client has then seen; but NODE_BEGUN, NODE_MEMORY_LIMIT and
 * NODE_DISK_TROUBLE leave it as it was. Sets a->value, borrowed until the next call. */
enum node_status serve_operation(struct serve *s, const struct op *op, uint64_t token,
                                 struct store_place place, struct answer *a);

#endif
