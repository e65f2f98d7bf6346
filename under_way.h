/* A write of this node on its way to a second copy, and what its client will be told. replica.c has
 * its way, in lists; node.c makes the answer of it. */
#ifndef KVS_UNDER_WAY_H
#define KVS_UNDER_WAY_H

#include "kept.h"
#include "metadata.h"

struct under_way {
    struct under_way *next;
    struct kept *write; /* owned until it is delivered */
    uint64_t token;
    uint64_t n;     /* the number of the write */
    uint32_t slot;  /* of its key */
    bool cancelled; /* nobody waits for the answer */
    bool is_delete;
    bool replaced;        /* once delivered: there was a value before */
    struct metadata seen; /* by the client; once delivered: the write and what it met, too */
};

/* Takes the write; `seen` is copied. Freed by under_way_free(). */
struct under_way *under_way_create(struct kept *write, uint64_t token, bool is_delete,
                                   const struct metadata *seen);
void under_way_free(struct under_way *u);
void under_way_free_list(struct under_way *list);

/* Nobody waits for the answer of that token any more, if it is in the list. */
void under_way_cancel(struct under_way *list, uint64_t token);

#endif
