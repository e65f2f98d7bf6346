/* GET /kvs: every live pair, as one JSON object that is made piece by piece.
 *
 *   {"kvs":{"k":v,...},"next":"k9" or null,"complete":true,"unreachable":[]}
 *
 * Pairs come slot by slot, inside a slot by the bytes of the key. A slot's keys are gathered and
 * sorted when the listing gets there and each value is looked up when it is written out, so the
 * memory held is the keys of one slot, however slowly the client reads. Each pair is a causal
 * read; the whole is no snapshot.
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

/* Copies the query. Freed by the caller. */
struct listing *listing_create(const struct listing_query *query);
void listing_free(struct listing *l);

/* Appends pairs to *out until it holds at least `enough` bytes. False: that was the end. */
bool listing_fill(struct listing *l, const struct node *n, struct buffer *out, size_t enough);

#endif
