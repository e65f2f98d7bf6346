/* Delivery: whether a write may be delivered here yet, and what delivering it does.
 *
 * A write is of a group, the one that its actor writes for, and is judged by that alone: whoever
 * has the slots of the group delivers it, member or not, under whatever map.
 */
#ifndef KVS_DELIVER_H
#define KVS_DELIVER_H

#include "replica.h"

/* A WRITE in the terms of this node. */
struct incoming {
    struct wire_write w;
    struct dot dot;
    uint32_t slot;
};

enum delivery {
    IS_HERE, /* within D */
    IS_NEXT,
    HAS_GAP,      /* earlier writes of its actor are missing */
    HAS_DEPS,     /* something of its group that it depends on is missing */
    IS_UNKNOWN,   /* of a group of a map that is not known yet */
    IS_ELSEWHERE, /* its slot is not here */
    IS_NONSENSE,  /* its slot is not of its group */
};

/* False: nonsense, or an actor that was not introduced. */
bool deliver_understand(const struct replica *r, struct slice body, struct incoming *in);
struct incoming deliver_understand_kept(const struct replica *r, const struct kept *k);

/* HAS_GAP and HAS_DEPS: *missing is a dot that it waits for. */
enum delivery deliver_judge(const struct replica *r, const struct incoming *in,
                            struct dot *missing);

/* Puts a version in place of one with a smaller stamp. True: there was a value before. `seen`
 * (NULL: nobody's) comes to say that the version before was met. */
bool deliver_merge(struct replica *r, const struct wire_write *w, uint32_t actor,
                   struct metadata *seen);

/* Delivers what IS_NEXT, and records it by its frame; the rest as deliver_merge(). */
bool deliver_next(struct replica *r, const struct incoming *in, struct slice frame,
                  struct metadata *seen);

/* It IS_HERE already, or IS_ELSEWHERE. True: a slot that is here has waited for it. */
bool deliver_advance(struct replica *r, const struct incoming *in);

/* Keeps a write that cannot be delivered yet. What does not fit is dropped: it will be pulled. */
void deliver_hold_back(struct replica *r, const struct incoming *in, struct slice frame);

/* D has grown: delivers what was held back for that. */
void deliver_release(struct replica *r);

/* A dot without which the i-th held write, a first one, cannot be delivered in its slot. */
bool deliver_held_lacks(const struct replica *r, uint32_t i, struct dot *missing, uint32_t *slot);

/* Slots that were taken over at different moments: each learns of the writes to other slots that
 * have been delivered since, or else it would lag behind as long as anybody writes. */
void deliver_level(struct replica *r);

#endif
