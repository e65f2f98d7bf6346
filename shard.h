/* The map: which shard owns which slot, and which nodes form which shard.
 *
 * A key lives in one of SHARD_SLOTS slots, for ever: CRC-32 of its bytes, modulo. A map deals the
 * slots to shards and the nodes to shards. It is immutable and the same object for the whole
 * cluster, named by a hash of its content; a later map replaces it as a whole. The slots of one
 * shard of one map, with all its members dead or alive, are a *group*.
 *
 * The first map needs no message: every node computes it from VIEW and SHARD_COUNT, slot s in shard
 * s mod SHARD_COUNT, node i of the sorted VIEW in shard i mod SHARD_COUNT. Later maps are made from
 * one another on request and travel from node to node. Maps have a total order, and a node only
 * ever replaces its map by a greater one; so all end with the same.
 */
#ifndef KVS_SHARD_H
#define KVS_SHARD_H

#include "address.h"
#include "bytes.h"

#define SHARD_SLOTS      1024
#define SHARD_COUNT_MAX  64
#define SHARD_NODES_MAX  1024 /* in a map */
#define SHARD_NONE       UINT32_MAX
#define SHARD_STRUCK_MAX 32 /* processes that a map keeps out; the oldest are forgotten first */
#define SHARD_EPOCH_MAX  (UINT32_MAX / 2) /* so that epochs never wrap */
#define SHARD_ID_BYTES   4                /* "s63" and NUL */

/* A process that was struck off by request: it is in no map and no view, though it may live. A
 * later process of the node is another one. */
struct struck {
    struct address node;
    uint64_t boot;
};

struct map {
    uint64_t id;
    bool is_explicit; /* made by a request or by SHARD_COUNT, not by default */
    uint32_t epoch;
    uint32_t live_count;     /* nodes in the view of the proposer */
    struct address proposer; /* of a later map */
    uint64_t nonce;          /* of a later map: random */
    uint32_t shard_count;
    uint8_t shard_of_slot[SHARD_SLOTS];
    uint64_t group[SHARD_COUNT_MAX]; /* the id of each shard's group */
    bool newborn[SHARD_COUNT_MAX];   /* this very map has founded the group */
    uint32_t node_count;
    struct address *nodes;   /* owned; sorted */
    uint32_t *shard_of_node; /* owned; by index in nodes */
    uint64_t *founder;       /* owned; the process of the node that begins a newborn group; or 0 */
    uint32_t struck_count;
    struct struck struck[SHARD_STRUCK_MAX]; /* in the order of the requests; none of `nodes` */
};

uint32_t shard_slot(struct slice key);

/* The first map. `nodes` is sorted and without repeats; copied. 1 <= shard_count <= node_count and
 * SHARD_COUNT_MAX. */
struct map *map_create_first(const struct address *nodes, uint32_t node_count, uint32_t shard_count,
                             bool is_explicit);
void map_free(struct map *m);

/* ---- Later maps ---- */

/* What a derived map changes; everything else stays as it is, groups included. Members of other
 * shards cannot be added: that takes a reshard. */
struct map_change {
    const struct address *add; /* these come into `shard`: new nodes, or such as stand by */
    uint32_t add_count;
    uint32_t shard;
    const struct address *remove; /* this node leaves the map, or NULL... */
    uint64_t remove_boot;         /* ...and its process is struck off; 0: it is not known */
    const struct address *pardon; /* this node is struck off no more, or NULL; so is who is added */
    uint32_t live_count;
    const struct address *proposer;
    uint64_t nonce;
};
struct map *map_derive(const struct map *from, const struct map_change *change);

/* What a reshard is to lead to. Shards are numbered from 0: more shards add the highest numbers,
 * fewer take them away. The same number spreads the nodes anew, after deaths or joins. */
struct map_plan {
    const struct address *live; /* sorted, without repeats; those in no shard so far included */
    const uint64_t *boots;      /* of their processes; none is 0 */
    uint32_t live_count;        /* together with the nodes of the map SHARD_NODES_MAX at most */
    uint32_t shard_count;       /* 1 to SHARD_COUNT_MAX and live_count */
    const struct address *proposer;
    uint64_t nonce;
};

/* Deals all slots and all live nodes to the shards: shares differ by at most one, and as few slots
 * and nodes move as that allows. The other nodes of `from` stand by. A shard with the very slots of
 * a shard of `from` keeps its group if it keeps a live member of it, too; any other is newborn. */
struct map *map_reshard(const struct map *from, const struct map_plan *plan);

bool map_less(const struct map *a, const struct map *b); /* the total order */

/* The canonical bytes of a map, and back; NULL: these are none. */
void map_encode(struct buffer *out, const struct map *m);
struct map *map_decode(struct slice bytes);

/* ---- Questions ---- */

bool map_has_node(const struct map *m, const struct address *node);
uint64_t map_struck_boot(const struct map *m,
                         const struct address *node); /* 0: is not struck off */
uint32_t map_shard_of_node(const struct map *m, const struct address *node); /* or SHARD_NONE */

/* The group of that node's shard begins with this very map, and with what that process has of it:
 * nothing was written to it there before. A first map does not know who lives. */
bool map_founds(const struct map *m, const struct address *node, uint64_t boot);

/* "s0" to "s63" and back; SHARD_NONE for any other text or a shard that the map has not. */
void shard_id_text(uint32_t shard, char out[SHARD_ID_BYTES]);
uint32_t shard_of_id_text(const struct map *m, struct slice text);

#endif
