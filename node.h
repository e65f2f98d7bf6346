/* The node: everything that kvs decides, as a step machine without a socket, clock, file or random
 * source of its own.
 *
 * The shell tells it what time it is (node_set_time), hands it operations (node_submit) and asks
 * for the answers of those that had to wait (node_take_answer) after each step and at
 * node_deadline_ms(). A whole cluster runs in one test; the same inputs give the same outputs.
 *
 * An operation with metadata M is served iff this node has delivered every write of its own group
 * that M names. Otherwise it is *parked*: retried whenever the node makes progress, and answered
 * NODE_NOT_YET after park_ms. One on a key of another shard is sent on (forward.h).
 */
#ifndef KVS_NODE_H
#define KVS_NODE_H

#include "change.h"
#include "forward.h"
#include "parked.h"

struct node_config {
    struct address self;
    const struct address *view;       /* sorted, without repeats, self among them; copied */
    uint32_t view_count, shard_count; /* of shards, 0: not given, the automatic map */
    uint64_t memory_bytes_max;        /* 0: no limit */
    uint32_t park_ms, peer_port_offset, greet_ms; /* of a handshake; 0: PEER_DIAL_MS */
    uint32_t forward_ms;                          /* how long another node's answer is waited for */
    uint32_t readmit_ms; /* a node that was cut off is heard this long before it is back */
    struct op_limits parked, forwarded; /* what waits for something here, or for another node */
    struct slice cluster, secret;       /* of all nodes; others are refused; borrowed */
    uint32_t ring_writes_max;   /* delivered writes kept for who missed them; 0: the default */
    uint32_t over_actors_max;   /* CLUSTER_OVER_ACTORS, if 0 */
    bool keeps_journal;         /* what must survive goes through durable.h */
    uint64_t boot;              /* a fresh random number for this process start; not 0 */
    struct hash_seed seed;      /* of the store's tables */
    uint64_t (*random64)(void); /* for the ids of actors */
};

struct node;
struct node *node_create(const struct node_config *config, uint64_t now_ms, uint64_t wall_ms);
void node_free(struct node *n);

/* A turn begins: monotonic time for deadlines, wall time for the hybrid clock. */
void node_set_time(struct node *n, uint64_t now_ms, uint64_t wall_ms);

/* The turn is over: what was gathered in it (acknowledgements, news of this node) goes into the
 * outputs of the links. To be called before they are sent. */
void node_end_turn(struct node *n);

/* When node_set_time() and node_take_answer() must be called at the latest; UINT64_MAX: never. */
uint64_t node_deadline_ms(const struct node *n);

/* ---- Operations on keys ---- */

/* Reads the metadata of a request into *c. A bad claim must not be submitted. */
void node_read_claim(const struct node *n, struct claim *c, struct json_reader *r);

/* An operation that is not answered waits under `token` (< 2^63); what it needs was copied. */
enum node_taken node_submit(struct node *n, uint64_t token, const struct op *op,
                            struct answer *answer);

/* The next operation that has ended waiting, if any. */
bool node_take_answer(struct node *n, uint64_t *token, struct answer *answer);

/* Nobody waits for the answer any more; a write that is under way goes on. */
void node_cancel(struct node *n, uint64_t token);

/* Writes of one stream and one lane may be under way together, and take effect in the order that
 * they were submitted in. 0: nobody can be asked now. */
uint64_t node_lane(struct node *n, uint32_t slot);

/* ---- Links: the connections between nodes ----
 *
 * The shell moves the bytes, the node decides what they mean, whom to dial and what to close. A
 * link belongs to the node; after node_link_closed(), and after the order LINK_CLOSE was taken, it
 * is gone. */

struct link *node_link_accepted(struct node *n); /* somebody has connected to the peer port */
void node_link_connected(struct node *n, struct link *l); /* LINK_DIAL has succeeded */

/* Bytes have arrived: all that the shell holds of the link, from the start of a frame on. Returns
 * how many were taken; the rest is the start of a frame and comes again with more behind it. */
size_t node_link_received(struct node *n, struct link *l, struct slice bytes);

/* The link is broken or was never made; `refused`: nobody listens there. */
void node_link_closed(struct node *n, struct link *l, bool refused);

struct slice node_link_output(const struct link *l); /* to be sent; borrowed until the next call */
void node_link_sent(struct node *n, struct link *l, size_t bytes); /* that much of it has gone */

/* What the shell has to do next, if anything: asked after each step. */
bool node_take_order(struct node *n, struct link_order *order);
void node_stop(struct node *n); /* says goodbye to the peers */

/* ---- View and shards ---- */

const struct peers *node_view(const struct node *n);
bool node_has_peer_port(const struct node *n, const struct address *address); /* PORT + offset */
enum peers_added node_view_add(struct node *n, const struct address *address);
enum node_removed { NODE_REMOVED, NODE_REMOVED_UNKNOWN, NODE_REMOVED_SELF, NODE_REMOVED_LAST };
enum node_removed node_view_remove(struct node *n, const struct address *address);

const struct map *node_map(const struct node *n);
uint32_t node_shard(const struct node *n); /* of this node, or SHARD_NONE */
bool node_owns_slot(const struct node *n, uint32_t slot);
bool node_may_read_slot(const struct node *n, uint32_t slot); /* it is ready, and has all of it */

/* Changes of the map: answered like operations, under their token, when it is so. */
enum node_taken node_reshard(struct node *n, uint64_t token, uint32_t shard_count,
                             struct answer *answer);
enum node_taken node_add_member(struct node *n, uint64_t token, uint32_t shard,
                                const struct address *address, struct answer *answer);

struct node_progress {
    bool settled;                    /* everybody in view has what it owns, and nothing else */
    uint64_t keys_moved, keys_to_go; /* about, copies counted */
};
void node_reshard_progress(const struct node *n, struct node_progress *out);
bool node_resharding(const struct node *n); /* a reshard that was asked of it is not over */

/* ---- Reports ---- */

struct node_stats {
    uint64_t answered[OP_KINDS][NODE_STATUSES]; /* to clients */
    uint64_t guests; /* operations that other nodes have sent on to this one */
};

/* What has happened since the last call that an operator wants to read: lines, each ended by '\n'.
 * Borrowed until the next call that takes the node. */
struct slice node_take_notes(struct node *n);
const struct node_stats *node_stats(const struct node *n);
const struct replica_stats *node_replica_stats(const struct node *n);
const struct parking *node_parking(const struct node *n);
const struct forward_stats *node_forward_stats(const struct node *n);
const struct store *node_store(const struct node *n);
const struct address *node_self(const struct node *n);
const struct actors *node_actors(const struct node *n);
bool node_ready(const struct node *n);       /* serves operations on keys */
bool node_provisional(const struct node *n); /* ready, but has not met all of its shard */

/* What has been delivered of a slot; NULL: nothing of it is kept here. */
const struct vclock *node_slot_clock(const struct node *n, uint32_t slot);
bool node_has_residue(const struct node *n);   /* keeps slots that it does not own */
bool node_base_complete(const struct node *n); /* of its slots, all that older groups had is here */
uint32_t node_held_back(const struct node *n); /* writes that wait for others */
uint32_t node_under_way(const struct node *n); /* own writes that wait for a second copy */

/* Learns of a source of writes that is not this node. */
uint32_t node_learn_actor(struct node *n, uint64_t id, const struct address *node, uint64_t boot,
                          uint64_t group);

#endif
