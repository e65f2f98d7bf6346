/* The frames that carry an operation to a node that can serve it, and its answer back; as in
 * wire.h, and docs/wire.md has every byte.
 *
 * The answer goes over the link that the other node has dialled, so only `id` says what it answers.
 */
#ifndef KVS_WIRE_OP_H
#define KVS_WIRE_OP_H

#include "frame.h"
#include "op.h"

struct wire_op {
    uint64_t id;     /* the asker's, for the answer; never used twice */
    uint64_t stream; /* as in struct op, but unique among all nodes */
    enum op_kind kind;
    uint8_t hops;  /* how often it may still be sent on */
    uint32_t ms;   /* how long the asker waits for the answer */
    uint16_t slot; /* that it is about */
    struct slice key, value;
    struct slice claim; /* the client's metadata as it came: JSON, or empty */
};
bool wire_op_fits(const struct wire_op *m); /* a frame; one that does not must not be put */
void wire_put_op(struct buffer *out, const struct wire_op *m);
bool wire_read_op(struct slice body, struct wire_op *m);

struct wire_answer {
    uint64_t id;
    enum node_status status;
    uint8_t shard;         /* that it was for */
    struct slice metadata; /* what the client has now seen: JSON; empty: what it sent */
    struct slice missing;  /* NODE_NOT_YET only: items of a JSON array */
    struct slice value;    /* NODE_FOUND only */
};
bool wire_answer_fits(const struct wire_answer *m);
void wire_put_answer(struct buffer *out, const struct wire_answer *m);
bool wire_read_answer(struct slice body, struct wire_answer *m);

#endif
