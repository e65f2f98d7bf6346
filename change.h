/* Requests that change the map, and wait until it is so: reshard, add-member.
 *
 * Whoever is asked proposes a map derived from the one it lives by; the rest is everybody's own
 * business (handover.h). So a request can be given up, and asked again anywhere: what is there
 * already is not proposed again, it is only waited for.
 */
#ifndef KVS_CHANGE_H
#define KVS_CHANGE_H

#include "cluster.h"
#include "op.h"

#define CHANGES_MAX            64   /* that wait at once */
#define CHANGE_SHARD_NODES_MIN 2    /* live nodes that a reshard asks for a shard */
#define CHANGE_ANEW_MS         2000 /* until the next map without who is absent */

enum change_kind { CHANGE_RESHARD, CHANGE_JOIN };

struct change {
    struct change *next;
    uint64_t token;
    enum change_kind kind;
    uint32_t shard_count; /* CHANGE_RESHARD */
    uint32_t shard;       /* CHANGE_JOIN: the node comes into this shard */
    struct address node;
    uint64_t map_id;      /* that makes it so; 0: not proposed yet */
    uint64_t proposed_ms; /* when that was */
};

/* Goes on with a change. True: it has ended, as *status says. */
bool change_step(struct cluster *c, struct change *ch, enum node_status *status);

#endif
