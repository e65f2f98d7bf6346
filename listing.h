/* GET /kvs: every live pair, as one JSON object that is made piece by piece.
 *
 *   {"kvs":{"k":v,...},"next":"k9" or null,"complete":true,"unreachable":[]}
 *
 * Pairs come slot by slot, inside a slot by the bytes of the key. Of this node's own slots the keys
 * are gathered and sorted when the listing gets there, and each value is looked up when it is
 * written out. Slots of other shards are asked for in chunks, one at a time of each shard. So the
 * memory held is the keys of one slot and a chunk (PAIRS_CHUNK_BYTES and one pair) a shard, however
 * slowly the client reads. Each pair is a causal read; the whole is no snapshot.
 *
 * A shard of which nobody can be asked is left out, and named at the end.
 */
#ifndef KVS_LISTING_H
#define KVS_LISTING_H

#include "bytes.h"
#include "node.h"

#define LISTING_LIMIT_MAX 10000 /* what ?limit= may ask for */

struct listing_query {
    struct slice prefix;
    struct slice after; /* empty: from the start */
    uint64_t limit;     /* pairs; 0: no limit */
};

struct listing;

/* Copies the query. What it asks of other nodes it asks under `token`. */
struct listing *listing_create(const struct listing_query *query, uint64_t token);
void listing_free(struct listing *l, struct node *n);

enum listing_state {
    LISTING_MORE,
    LISTING_WAITS, /* for a chunk: go on when listing_take() has got one */
    LISTING_DONE,
};

/* Appends pairs to *out until it holds at least `enough` bytes, or there is nothing to do now. */
enum listing_state listing_fill(struct listing *l, struct node *n, struct buffer *out,
                                size_t enough);

/* Of memory, that it holds now. */
size_t listing_bytes(const struct listing *l);

/* The answer to an OP_LIST under its token. */
void listing_take(struct listing *l, const struct answer *answer);

#endif
