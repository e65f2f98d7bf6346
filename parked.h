/* Operations that cannot be done yet and wait a moment, oldest first, with copies of all that it
 * takes to attempt them again. node.c parks them and knows when to try. */
#ifndef KVS_PARKED_H
#define KVS_PARKED_H

#include "op.h"

#define PARKED_MAX       1024               /* the default: waiting at once */
#define PARKED_BYTES_MAX (64 * 1024 * 1024) /* and what they hold together */
#define PARKED_STREAMS   256

enum parked_for {
    PARKED_FOR_PROGRESS, /* of this node: dependencies, or the state of its shard */
    PARKED_FOR_OWNER,    /* a node that has the slot and can be asked */
    PARKED_FOR_TURN,     /* writes of its stream that came before it */
    PARKED_FOR_ROOM,     /* on the link to who asked */
};

struct parked {
    struct parked *next;
    struct errand errand;
    enum parked_for what;
    uint64_t deadline_ms; /* of the waiting */
    uint64_t tried_at;    /* the node's progress when it was last attempted, or would have been */
    struct lack lack;     /* in vain, for want of this */
    struct op op;         /* slices into `bytes`; its claim is read again for each attempt */
    struct slice claim_text;
    size_t size;
    char bytes[];
};

struct parking {
    struct parked *first, **end; /* owned */
    struct op_limits limits;
    uint64_t count, bytes, total;
    uint64_t refused;                /* for want of room */
    uint32_t writes[PARKED_STREAMS]; /* of the streams that have this number, modulo */
};

void parking_init(struct parking *p, struct op_limits limits);
void parking_free(struct parking *p);

/* Copies the operation. NULL: too many wait already; otherwise what is not given here is 0. */
struct parked *parking_add(struct parking *p, const struct errand *errand, const struct op *op);

/* Takes *link out; the caller frees it. */
struct parked *parking_remove(struct parking *p, struct parked **link);

/* A write of that stream is parked, before `until` (NULL: anywhere). */
bool parking_has_stream(const struct parking *p, uint64_t stream, const struct parked *until);

#endif
