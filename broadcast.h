/* Causal broadcast: the way of a write of this node to the other members, and of theirs to here.
 * See replica.h for the idea.
 */
#ifndef KVS_BROADCAST_H
#define KVS_BROADCAST_H

#include "deliver.h"

/* ---- Own writes ---- */

/* Nobody else is there who could hold a second copy. */
bool broadcast_is_alone(const struct replica *r);

/* Begins a write: v, whose dot is the next of this node's actor, for a client that has seen `seen`;
 * v->deps is not looked at. It may be delivered at once: then it is in the done list already. */
void broadcast_begin_write(struct replica *r, uint64_t token, const struct version *v,
                           const struct metadata *seen);

/* Delivers a write of a node that is the only member, without sending or keeping it. False: the
 * machine has no memory. */
bool broadcast_write_alone(struct replica *r, struct store_place place, const struct version *v);

/* Own writes up to that one exist elsewhere. */
void broadcast_deliver_own(struct replica *r, uint64_t up_to);

struct under_way *broadcast_take_done(struct replica *r); /* the caller's; NULL: none */
void broadcast_cancel(struct replica *r, uint64_t token);

/* ---- Frames of peers that are up; false: nonsense, break the link ---- */

bool broadcast_on_write(struct replica *r, struct peer *from, struct slice frame,
                        struct slice body);
bool broadcast_on_ack(struct replica *r, struct peer *from, struct slice body);

/* ---- Turns ---- */

void broadcast_tick(struct replica *r);     /* time has moved, or the view has changed */
void broadcast_end_turn(struct replica *r); /* acknowledges */

#endif
