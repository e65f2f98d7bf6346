/* Handing over: how slots change hands when a map replaces another.
 *
 * Nobody coordinates it and nothing stops for it. A node that owns a slot by its map and lacks some
 * of it pulls that from whoever has it (catchup.h); a node that has a slot which it does not own
 * any more, as *residue*, keeps it until its owners have it. What "some of it" means is said by
 * base: the groups, one of each known map, whose whole state of the slot must be here before a
 * client that claims to have seen nothing may read it.
 */
#ifndef KVS_HANDOVER_H
#define KVS_HANDOVER_H

#include "replica.h"

#define HANDOVER_NOTE_MS 1000 /* how often a move that goes on is noted */
#define HANDOVER_KEPT_MS 3000 /* by then what others have taken over is on their disks, too */

/* A map has been learned, before it is adopted, if it is. */
void handover_learn(struct replica *r, const struct map *m);
/* This node lives by r->maps->map now, and lived by `before` until then (NULL: by none). */
void handover_adopt(struct replica *r, const struct map *before);

/* The base of an owned slot is complete: its keys may be read. */
bool handover_may_read(const struct replica *r, uint32_t slot);

bool handover_is_complete(const struct replica *r); /* so it is for all owned slots */

/* The owned slots of which the sender of the row has a group's state that is missing here. False:
 * there are none. */
bool handover_lacks(const struct replica *r, const struct row *row, struct slots *out);

/* The same of one slot. */
bool handover_lacks_slot(const struct replica *r, const struct row *row, uint32_t slot);

/* The image of a slot has been merged: takes over what base of it counts here. */
void handover_take_base(struct replica *r, uint32_t slot, const struct base *base);

/* The group's state of the slot is nowhere any more. */
bool handover_is_void(const struct replica *r, uint64_t group, uint32_t slot);

/* The peer is in view, and has a group's state of some slot that nobody else in view has. */
bool handover_is_only_source(const struct replica *r, const struct peer *p);

/* How many slots that the present map gives to other nodes than the map before did, counted for
 * each such node; and how many of them those have not got yet, as far as their rows tell. */
struct handover_progress {
    uint32_t slots, to_go;
};
struct handover_progress handover_progress(const struct replica *r);

/* Begins anew what is nowhere, drops what others have taken over (at the end of a turn only if a
 * row has come), judges r->holds and r->settled. */
void handover_tick(struct replica *r);
void handover_end_turn(struct replica *r);
void handover_judge(struct replica *r);

#endif
