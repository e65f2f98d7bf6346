/* The other nodes: who is listed in this node's view, and for how long.
 *
 * Nodes are learned from VIEW and from PUT /view. A node that is not heard stays listed for
 * PEER_UNHEARD_MS, so that nodes may start one after the other in any order; then it disappears.
 * This node itself is always listed.
 *
 *            peers_add()             peers_drop_unheard(), PEER_UNHEARD_MS later
 *   (absent) -----------> PEER_EXPECTED -----------------------------------------> (absent)
 *                              |  peers_remove()                                       ^
 *                              +-------------------------------------------------------+
 *
 * Being heard, and all that follows from it, is not built yet: a view guides routing and waiting
 * only, and correctness never rests on it.
 */
#ifndef KVS_PEER_H
#define KVS_PEER_H

#include "address.h"

#define PEER_UNHEARD_MS 10000 /* how long a node that was never heard stays listed */
#define PEERS_MAX       1024  /* nodes that a view can hold */

enum peer_state { PEER_SELF, PEER_EXPECTED };

struct peer {
    struct address address;
    enum peer_state state;
    uint64_t listed_until_ms; /* PEER_EXPECTED: monotonic clock */
};

struct peers {
    struct peer *list; /* owned; sorted by address */
    uint32_t count, cap;
};

enum peers_added { PEERS_ADDED, PEERS_ALREADY_PRESENT, PEERS_FULL };

void peers_init(struct peers *ps, const struct address *self);
void peers_free(struct peers *ps);

enum peers_added peers_add(struct peers *ps, const struct address *address, uint64_t now_ms);
bool peers_remove(struct peers *ps, const struct address *address); /* false: not listed, or self */
/* Drops one node that was not heard in time and tells which; false when there is none. */
bool peers_drop_unheard(struct peers *ps, uint64_t now_ms, struct address *dropped);
bool peers_has(const struct peers *ps, const struct address *address);

/* The next moment at which peers_drop_unheard() has something to do; UINT64_MAX when there is none.
 */
uint64_t peers_deadline_ms(const struct peers *ps);

#endif
