/* One operation on a key and what comes of it: what api.c asks of the node. See node_submit(). */
#ifndef KVS_OP_H
#define KVS_OP_H

#include "metadata.h"

enum op_kind { OP_GET, OP_PUT, OP_DELETE, OP_KINDS };

struct op {
    enum op_kind kind;
    struct slice key;    /* not empty, UTF-8, at most STORE_KEY_BYTES_MAX */
    struct slice value;  /* OP_PUT: JSON text */
    struct claim *claim; /* what the client has seen; becomes what it has now seen */
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
    NODE_STATUSES, /* of operations on keys; and of changes of the map: */
    NODE_RESHARDED = NODE_STATUSES,
    NODE_TOO_FEW_NODES,
    NODE_SUPERSEDED, /* by somebody else's map with another number of shards */
    NODE_JOINED,
    NODE_NOT_IN_VIEW,
    NODE_NO_SHARD,
    NODE_OTHER_SHARD,
    NODE_TOO_MANY_CHANGES,
    NODE_CHANGE_STATUSES,
    NODE_BEGUN, /* inside the node only: a write is under way */
};

/* Everything in it is borrowed until the next call that takes the node or the claim. */
struct answer {
    enum node_status status;
    uint32_t shard;                  /* that the key belongs to */
    struct slice value;              /* NODE_FOUND */
    const struct metadata *metadata; /* what the client has now seen; NULL: what it sent, `asked` */
    struct slice asked;              /* the text of its claim */
    struct slice missing;            /* NODE_NOT_YET: items of a JSON array */
};

enum node_taken {
    NODE_ANSWERED,  /* *answer is it */
    NODE_UNDER_WAY, /* a write that waits for its second copy; these end in the order they began */
    NODE_PARKED,    /* waits for its dependencies */
};

#endif
