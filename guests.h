/* Operations of other nodes that are served here, and where their answers go.
 *
 * A guest has a token of this node's own, by which it waits here like a client; it ends with its
 * answer, or when the link that it came by does: then nobody waits for the answer any more.
 */
#ifndef KVS_GUESTS_H
#define KVS_GUESTS_H

#include "link.h"

#define GUESTS_MAX     65536 /* at once; more are refused */
#define GUESTS_BUCKETS 4096

/* Those of guests have the highest bit; those of clients must not. */
static inline bool guests_has_token(uint64_t token) {
    return token >> 63 == 1;
}

struct guest {
    struct guest *chain; /* in its bucket */
    uint64_t token;
    uint64_t id;       /* by which the other node knows it */
    struct link *from; /* that it came by */
};

struct guests {
    struct guest *buckets[GUESTS_BUCKETS]; /* owned; by token */
    uint64_t last_token;
    uint32_t count;
};

void guests_free(struct guests *g);

/* Its token, never given twice; 0: there are too many. */
uint64_t guests_admit(struct guests *g, struct link *from, uint64_t id);
const struct guest *guests_find(const struct guests *g, uint64_t token); /* or NULL */

/* It has its answer. False: nobody waits for it any more. */
bool guests_dismiss(struct guests *g, uint64_t token, struct guest *out);

void guests_link_ended(struct guests *g, const struct link *l);

#endif
