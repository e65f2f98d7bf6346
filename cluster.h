/* This node among the others: which map it lives by, what arrives from its peers and what it tells
 * them. The frames of one link pass through here to the part that they are for: peer.h (who is up),
 * replica.h and catchup.h (the data of this node's shard).
 *
 * A map is adopted when it is greater than the present one. The first one: by SHARD_COUNT at once;
 * otherwise the first that a peer has, or the automatic one when all of VIEW have been heard and
 * nobody has any, or CLUSTER_ASK_MS have passed.
 */
#ifndef KVS_CLUSTER_H
#define KVS_CLUSTER_H

#include "broadcast.h"
#include "catchup.h"
#include "handover.h"
#include "handshake.h"

#define CLUSTER_ASK_MS             1000  /* a map of somebody else is waited for at start */
#define CLUSTER_SWEEP_VERSIONS_MAX 8192  /* freed in a tick, of slots that went: 2 ms or so */
#define CLUSTER_FULL_NOTE_MS       60000 /* a table that is full is noted this often */
#define CLUSTER_ACTORS_MAX         65536 /* that peers may introduce */
#define CLUSTER_OVER_ACTORS        32    /* of past boots in D before a first map is replaced */

struct cluster_config {
    struct address self;
    const struct address *view; /* sorted, self among them */
    uint32_t view_count, shard_count;
    uint64_t boot;
    struct slice cluster, secret; /* borrowed; empty secret: none */
    uint32_t readmit_ms, greet_ms, ring_writes_max, over_actors_max;
    bool keeps_journal; /* nothing begins before cluster_begin() or cluster_resume() */
    struct hash_seed seed;
    uint64_t (*random64)(void);
};

struct cluster {
    struct notes notes;
    struct actors *actors; /* owned, as the store and the maps */
    struct store *store;
    struct peers peers;
    struct handshake handshake;
    struct replica replica;
    uint64_t (*random64)(void);
    uint64_t started_ms;
    bool is_late; /* this process was stopped before this turn: it only reads, its rows are old */
    uint32_t over_actors_max;
    uint64_t full_noted_ms; /* no note before that says so again */

    struct maps maps;
    bool draws_map; /* by itself, without asking who has one */
    bool lost_tail; /* the log that this process found may lack its end */
    uint32_t shard; /* of this node in the map that it lives by, or SHARD_NONE */
    struct cluster_resume {
        bool is_due; /* a former process lived by maps.map; this one does not yet */
        bool synced, provisional;
    } resume;

    /* For whoever owns this: WIRE_OP and WIRE_ANSWER, of peers that are up. False: nonsense. */
    bool (*on_operation)(struct cluster *c, struct link *l, const struct wire_frame *f);
};

void cluster_init(struct cluster *c, const struct cluster_config *config, uint64_t now_ms);
void cluster_free(struct cluster *c);

/* The log had nothing: a first start. */
void cluster_begin(struct cluster *c);

/* A former process of this node lived by m, one of the known maps, and with what is in the replica
 * now. Until somebody is heard, or CLUSTER_ASK_MS have passed, this one serves nobody and shows
 * nothing of it; then it goes on from there. `synced`: all that the former one had is here. */
void cluster_resume(struct cluster *c, struct map *m, bool synced, bool provisional);

void cluster_set_time(struct cluster *c, uint64_t now_ms);
void cluster_end_turn(struct cluster *c);
void cluster_stop(struct cluster *c); /* says goodbye */

/* See node.h. */
size_t cluster_received(struct cluster *c, struct link *l, struct slice bytes);

/* A map with the epoch and the first 32 bits of the id is known. */
bool cluster_knows_map(const struct cluster *c, struct map_ref ref);
struct map_ref cluster_map_ref(const struct cluster *c); /* of the present one */

/* This node will change its group as soon as its writes under way have ended: no new ones. */
bool cluster_is_leaving(const struct cluster *c);

/* Nodes in view, this one and those that stand by included. */
uint32_t cluster_live_count(const struct cluster *c);

/* Every node in view lives by the map of this one, has all that it owns and nothing else. */
bool cluster_is_settled(const struct cluster *c);

/* It lives by a map, and is not kept out by it: who is out cannot throw others out. */
bool cluster_has_a_say(const struct cluster *c);
bool cluster_may_propose(const struct cluster *c); /* and may derive a map from its own now */

/* Proposes to deal everything anew to so many shards. The id of the map that is so: the present one
 * if nothing would move. */
uint64_t cluster_propose_reshard(struct cluster *c, uint32_t shard_count);
void cluster_propose_member(struct cluster *c, const struct address *node, uint32_t shard);

/* The node, a peer, is struck off: out of the map, and its process out of all views, until
 * cluster_pardon() or a later process of it. */
void cluster_remove(struct cluster *c, const struct address *node);
void cluster_pardon(struct cluster *c, const struct address *node);

/* Takes entries out of *m that every node of the map covers; see PRUNE in cluster.c. */
void cluster_prune(const struct cluster *c, struct metadata *m);

#endif
