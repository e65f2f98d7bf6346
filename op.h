/* One operation and what comes of it: what api.c asks of the node, and nodes of one another. See
 * node_submit(). */
#ifndef KVS_OP_H
#define KVS_OP_H

#include "metadata.h"

enum op_kind {
    OP_GET,
    OP_PUT,
    OP_DELETE,
    OP_COUNT, /* the live keys of the shard that owns `slot` */
    OP_LIST,  /* pairs of that shard, from `slot` on: pairs.h */
    OP_KINDS,
};

/* The others leave no trace: they can be asked again, elsewhere. */
static inline bool op_is_write(enum op_kind kind) {
    return kind == OP_PUT || kind == OP_DELETE;
}

/* On one key, with what the client has seen. */
static inline bool op_has_key(enum op_kind kind) {
    return kind == OP_GET || op_is_write(kind);
}

/* How many may wait for something at once, and the bytes that they hold together. 0: the default.
 */
struct op_limits {
    uint64_t ops_max, bytes_max;
};

struct op {
    enum op_kind kind;
    struct slice key;   /* UTF-8, 1 to STORE_KEY_BYTES_MAX bytes; OP_LIST: behind which, or empty */
    struct slice value; /* OP_PUT: JSON text; OP_LIST: limit and prefix */
    struct claim *claim; /* what the client has seen; becomes what it has now seen */
    uint64_t stream;     /* writes of one stream take effect in their order; 0: of none */
    uint32_t slot;       /* of those that are not on a key */
};

/* What a node knows of an operation besides what it says. */
struct errand {
    uint64_t token;       /* who waits here for the answer: a client, or another node (guests.h) */
    uint64_t deadline_ms; /* to have it by */
    uint8_t hops;         /* how often the operation may still be sent on */
};

/* The first thing that an operation lacks here: what else it depends on need not be looked at again
 * before that has come. */
enum lack_kind { LACK_NOTHING, LACK_ACTOR, LACK_MAP, LACK_DOT };
struct lack {
    enum lack_kind kind;
    uint32_t actors_known; /* LACK_ACTOR: when it was not among them */
    struct map_ref map;
    struct dot dot;
};

enum node_status {
    NODE_FOUND,
    NODE_CREATED,
    NODE_REPLACED,
    NODE_DELETED,
    NODE_NO_KEY,
    NODE_NOT_YET,        /* dependencies are missing here */
    NODE_CANNOT_FORWARD, /* nobody of the owning shard is reachable */
    NODE_MEMORY_LIMIT,
    NODE_OUTCOME_UNKNOWN, /* a write was sent on, and whether it happened was not heard */
    NODE_DISK_TROUBLE,    /* nothing can be kept at the owner; `missing` has the reason */
    NODE_STATUSES,        /* of operations on keys; and of changes of the map: */
    NODE_RESHARDED = NODE_STATUSES,
    NODE_TOO_FEW_NODES,
    NODE_SUPERSEDED, /* by somebody else's map with another number of shards */
    NODE_JOINED,
    NODE_NOT_IN_VIEW,
    NODE_NO_SHARD,
    NODE_OTHER_SHARD,
    NODE_TOO_MANY_CHANGES,
    NODE_CHANGE_STATUSES,
    NODE_BEGUN,   /* inside the node only: a write is under way, */
    NODE_SENT_ON, /* another node was asked */
};

/* Everything in it is borrowed until the next call that takes the node or the claim. */
struct answer {
    enum op_kind kind;
    enum node_status status;
    uint64_t lane;                   /* NODE_UNDER_WAY: see node_lane() */
    uint32_t shard;                  /* that it was for */
    uint32_t slot;                   /* of the operation */
    struct slice value;              /* NODE_FOUND; of OP_COUNT: decimal; of OP_LIST: a chunk */
    const struct metadata *metadata; /* what the client has now seen; NULL: that, as text: */
    struct slice metadata_text;      /* what it sent, or what another node has answered */
    struct slice missing;            /* NODE_NOT_YET: items of a JSON array; NODE_DISK_TROUBLE */
};

enum node_taken {
    NODE_ANSWERED,  /* *answer is it */
    NODE_UNDER_WAY, /* a write that waits for its second copy, or for another node's answer */
    NODE_PARKED,    /* waits for its dependencies; a read that was sent on */
};

#endif
