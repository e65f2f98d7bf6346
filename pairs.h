/* The live pairs of a store in the order of a listing: by slot, inside a slot by the bytes of the
 * key; slot by slot for who has them, and in chunks for who has to ask for them.
 *
 * A chunk says which slots it has all the wanted pairs of, and then lists pairs. It may end in the
 * middle of a slot: then that slot is not among those named, and the last pair tells how far it
 * came. docs/wire.md has the bytes.
 */
#ifndef KVS_PAIRS_H
#define KVS_PAIRS_H

#include "part.h"
#include "store.h"

#define PAIRS_CHUNK_BYTES 65536 /* a chunk ends when it is this large, with at least one pair */
#define PAIRS_CHUNK_WALK  65536 /* or behind the slot in which so many keys were looked at */

/* ---- One slot ---- */

#define PAIRS_KEYS_MAX 4096 /* gathered at once: whoever likes can put all keys into one slot */

/* Its keys are gathered and sorted, the first ones of many, and each value is looked up when it is
 * due. */
struct pairs {
    struct buffer bytes; /* the keys, one behind the other */
    struct slice *keys;  /* owned; sorted; into `bytes` */
    size_t count, at, cap;
    bool is_cut; /* there are more behind these */
    uint32_t slot;
    struct slice prefix; /* borrowed until pairs_next() was false */
};

void pairs_free(struct pairs *p);

/* Replaces the gathered keys by those of a slot that begin with `prefix` and come after `after`
 * (empty: all). Returns how many versions were looked at. */
size_t pairs_gather(struct pairs *p, const struct store *s, uint32_t slot, struct slice prefix,
                    struct slice after);

/* The next that is still alive; false: that was the last. Borrowed from the store. */
bool pairs_next(struct pairs *p, const struct store *s, struct version *v);
bool pairs_at_end(const struct pairs *p); /* it will be false */

/* ---- Chunks ---- */

struct pairs_query {
    uint32_t slot;      /* from here on */
    struct slice after; /* in that slot, behind this key; empty: from its beginning */
    uint32_t limit;     /* so many pairs at most; not 0 */
    struct slice prefix;
};

/* Limit and prefix as an operation carries them, and back; false: malformed. */
void pairs_put_query(struct buffer *out, const struct pairs_query *q);
bool pairs_read_query(struct slice bytes, struct pairs_query *q);

/* Appends a chunk of the pairs in those of the slots that are in `owned`. */
void pairs_put_chunk(struct buffer *out, const struct store *s, const struct slots *owned,
                     const struct pairs_query *q);

struct pairs_chunk {
    struct slots slots; /* that it is complete for */
    struct slice rest;  /* pairs not read yet */
};

/* Checks all of it; the pairs borrow the bytes. */
bool pairs_read_chunk(struct slice bytes, struct pairs_chunk *c);

/* The pair that comes next, and on behind it; false: there is none. */
bool pairs_peek(const struct pairs_chunk *c, struct slice *key, struct slice *value);
void pairs_skip(struct pairs_chunk *c); /* there is one */

#endif
