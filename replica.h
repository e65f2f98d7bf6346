/* The replica: this node's copy of its shard, and the causal broadcast that keeps it level with the
 * other members of the group.
 *
 * A write of this node gets a dot and a stamp and is sent to all members in view; it is *under way*
 * until the first of them has delivered it, or this node is alone, and is then delivered here and
 * answered. So nothing is visible on one copy only. A write of another is delivered when the one
 * before it of the same actor and everything of the group that it depends on are delivered
 * (deliver.h); until then it is *held back*. Delivered writes stay in the *ring* until every member
 * has them, or there are too many: whoever survives can supply them (catchup.h).
 *
 * Invariants: D of a slot never shrinks; everything within D is here or superseded here; a version
 * in the store has all that it depends on within D.
 */
#ifndef KVS_REPLICA_H
#define KVS_REPLICA_H

#include "hlc.h"
#include "kept.h"
#include "maps.h"
#include "metadata.h"
#include "peer.h"
#include "redo.h"
#include "store.h"
#include "under_way.h"

#define REPLICA_PULL_MS 300 /* a pull that brings nothing for this long is over */

struct replica_stats {
    uint64_t sent, delivered, held_total, superseded, pulls, images_sent, images_taken, waived;
};

struct replica {
    struct maps *maps; /* borrowed, as the next four */
    struct peers *peers;
    struct actors *actors;
    struct store *store;
    struct notes *notes;
    uint64_t (*random64)(void);
    uint64_t boot;
    uint64_t joined_ms; /* the group */

    uint64_t map_id;      /* that this node lives by; 0: none yet */
    struct peer **others; /* owned array: the other nodes of the map, up or down */
    uint32_t other_count;

    uint64_t group;      /* 0: this node is in none */
    struct slots slots;  /* of the group: this node owns them */
    struct peer **mates; /* owned array: the other members, up or down */
    uint32_t mate_count;

    uint64_t hlc;
    struct parts parts; /* D and base; of slots that it owns, and of others that it has still */
    struct redo redo;   /* through which parts, and all else that must survive, are changed */
    uint32_t actor;     /* of this boot in this group; ACTOR_NONE before the first write */
    uint64_t assigned;  /* the number of its last write */
    struct under_way *under_way, **under_way_end;
    uint32_t under_way_count;
    struct under_way *done, **done_end; /* delivered, not yet answered */

    struct ring ring;
    struct held held;
    struct trail trail;

    bool is_full;     /* nothing can be kept just now: it takes no writes of others either */
    bool synced;      /* has caught up since its start */
    bool provisional; /* synced without having met all members */
    bool holds;   /* the group's state of all its slots is here as a whole: with synced, serves */
    bool settled; /* the base of all its slots is complete, and it has no others */
    bool has_residue;
    bool base_moved;        /* since holds and settled were judged */
    uint64_t move_noted_ms; /* when it was last noted how far a move is; 0: there is none */
    uint64_t
        taken_over_ms[SHARD_SLOTS]; /* when its owners first had all of a residue; 0: not yet */
    struct peer *pull_from;
    uint32_t pull_turn; /* whom to ask for what nobody shows */
    uint64_t pull_until_ms;
    struct slots pulled;  /* whole, by the last pull, and not come yet */
    struct slots fetched; /* came whole since the last tick */
    bool pull_wanted;     /* somebody waits for what is missing */
    bool row_came;        /* in this turn: what it says may let residue go */
    struct slots hurried; /* asked for since the last tick, for somebody who waits to read them */
    uint64_t progress;    /* counts the steps after which a waiting operation may succeed */
    struct replica_stats stats;

    struct buffer scratch;    /* packed dependencies; frames in the making */
    struct metadata unpacked; /* of a version that is sent */
};

struct replica_config {
    struct maps *maps;
    struct peers *peers;
    struct actors *actors;
    struct store *store;
    struct notes *notes;
    uint64_t (*random64)(void);
    uint64_t boot;
    uint32_t ring_writes_max; /* 0: RING_WRITES_MAX */
};

void replica_init(struct replica *r, const struct replica_config *config, uint64_t now_ms);
void replica_free(struct replica *r);

/* Takes its place in the map that this node lives by from now on. `is_recovered`: it has done so
 * before, in a former process, and has not lived by any in this one. */
void replica_take_place(struct replica *r, bool is_recovered);

/* Operations on its keys are served. */
static inline bool replica_serves(const struct replica *r) {
    return r->synced && r->holds;
}

/* The source of this node's writes in its group, made when it is first needed. */
uint32_t replica_actor(struct replica *r);

/* The peer writes as that actor from now on. */
void replica_note_actor(struct peer *p, uint32_t actor);

/* A row of the peer has come, or this node's group has changed. */
void replica_note_row(struct replica *r, struct peer *p);

/* No writes of the actor will come: its process is gone, or writes for another group. */
bool replica_is_past(const struct replica *r, uint32_t actor);

/* The slots that an actor writes to; NULL: a group of a map that is not known. */
const struct slots *replica_slots_of(const struct replica *r, uint32_t actor);

/* The client is about to see version v: from now on its metadata says so. */
void replica_observe(struct metadata *seen, const struct version *v);

/* Where to write frames for a member; NULL while there is no open link to it. */
struct buffer *replica_output(struct replica *r, struct peer *p);

/* Puts a version as a WRITE or VERSION that depends on `deps`; v->deps is not looked at. */
void replica_put_write(const struct replica *r, struct buffer *out, enum wire_type type,
                       const struct version *v, const struct metadata *deps);
/* The same with its own dependencies, unpacked. */
void replica_put_stored(struct replica *r, struct buffer *out, enum wire_type type,
                        const struct version *v);

#endif
