/* The step machine of one node. See node.h.
 *
 * The way of an operation:
 *
 *   node_submit, on_op -> attempt -> send_on    its slot is elsewhere: forward.c has it from there
 *                                 -> covers     is all that the client has seen here?
 *                                 -> serve
 *                      -> park    if it cannot be done now; take_parked attempts it again
 *
 * What can go wrong on the way: a dependency that is not here (parked, then refused by name),
 * nobody to send it on to (the same), no memory (refused; the write has then taken no number, so no
 * gap in the actor's dots).
 *
 * Where the group has other members, a write is only begun here; replica.c has the rest of its way,
 * and take_write() picks it up when it is delivered.
 *
 * An operation that another node has sent on to this one goes the same way as a client's, as a
 * *guest*; but its answer is not the shell's to take. It goes out at the end of the turn.
 */
#include "node.h"

#include <assert.h>
#include <stdlib.h>

#include "guests.h"
#include "pairs.h"

#define LANE_HERE 1 /* writes that this node serves; the lanes of others are their boots */

/* Own writes that are delivered, oldest first. */
struct done {
    struct under_way *first, **end; /* owned */
};

struct node {
    struct cluster cluster;
    struct replica *replica; /* the cluster's */
    struct forward forward;
    struct guests guests;
    uint64_t memory_bytes_max;
    uint32_t park_ms, peer_port_offset;
    uint64_t now_ms, wall_ms; /* as the shell last said */

    struct parking parking;
    struct done done[2];        /* of clients, of guests */
    struct parked *ended;       /* the one whose answer is borrowed... */
    struct under_way *answered; /* ...or this write */

    struct change *changes; /* that wait until they are so */
    uint32_t change_count;

    struct claim claim;    /* of the operation in hand, if it waited or came from another node */
    struct buffer missing; /* unmet dependencies of the operation in hand */
    struct buffer value;   /* of its answer, if it is not in the store */
    struct buffer text;    /* metadata of an answer to another node */
    bool memory_noted;     /* the limit was reached, and that was noted */
    struct buffer deps;    /* a version's packed dependencies while it is put */
    struct node_stats stats;
};

static bool on_operation(struct cluster *c, struct link *l, const struct wire_frame *f);

/* ---- Life ---- */

struct node *node_create(const struct node_config *config, uint64_t now_ms, uint64_t wall_ms) {
    struct node *n = bytes_alloc_zeroed(sizeof *n);
    struct cluster_config cluster = {
        .self = config->self,
        .view = config->view,
        .view_count = config->view_count,
        .shard_count = config->shard_count,
        .boot = config->boot,
        .cluster = config->cluster,
        .readmit_ms = config->readmit_ms,
        .ring_writes_max = config->ring_writes_max,
        .over_actors_max = config->over_actors_max,
        .seed = config->seed,
        .random64 = config->random64,
    };
    cluster_init(&n->cluster, &cluster, now_ms);
    n->cluster.on_operation = on_operation;
    n->replica = &n->cluster.replica;
    forward_init(&n->forward, &n->cluster, config->forward_ms, config->park_ms);
    parking_init(&n->parking);
    for (int i = 0; i < 2; i++)
        n->done[i].end = &n->done[i].first;
    n->memory_bytes_max = config->memory_bytes_max;
    n->park_ms = config->park_ms;
    n->peer_port_offset = config->peer_port_offset;
    n->now_ms = now_ms;
    n->wall_ms = wall_ms;
    return n;
}

/* Takes *link out of the list. */
static void end_change(struct node *n, struct change **link) {
    struct change *ch = *link;
    *link = ch->next;
    n->change_count--;
    free(ch);
}

void node_free(struct node *n) {
    parking_free(&n->parking);
    for (int i = 0; i < 2; i++)
        under_way_free_list(n->done[i].first);
    free(n->ended);
    while (n->changes != NULL)
        end_change(n, &n->changes);
    if (n->answered != NULL) under_way_free(n->answered);
    forward_free(&n->forward);
    guests_free(&n->guests);
    cluster_free(&n->cluster);
    claim_free(&n->claim);
    buffer_free(&n->missing);
    buffer_free(&n->value);
    buffer_free(&n->text);
    buffer_free(&n->deps);
    free(n);
}

struct slice node_take_notes(struct node *n) {
    return notes_take(&n->cluster.notes);
}

void node_set_time(struct node *n, uint64_t now_ms, uint64_t wall_ms) {
    n->now_ms = now_ms;
    n->wall_ms = wall_ms;
    cluster_set_time(&n->cluster, now_ms);
    forward_set_time(&n->forward, now_ms);
}

static void answer_guests(struct node *n);

void node_end_turn(struct node *n) {
    answer_guests(n);
    cluster_end_turn(&n->cluster);
}

void node_stop(struct node *n) {
    cluster_stop(&n->cluster);
}

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* The oldest parked client is the first whose time is up; guests may be a tick late. */
uint64_t node_deadline_ms(const struct node *n) {
    bool any_done =
        n->replica->done != NULL || n->done[0].first != NULL || n->done[1].first != NULL;
    if (any_done || catchup_has_more_to_send(n->replica)) return n->now_ms;
    uint64_t oldest = n->parking.first != NULL ? n->parking.first->deadline_ms : UINT64_MAX;
    uint64_t sent = forward_deadline_ms(&n->forward);
    return earlier(earlier(oldest, sent), peers_deadline_ms(&n->cluster.peers));
}

/* ---- Links ---- */

struct link *node_link_accepted(struct node *n) {
    return peers_accept(&n->cluster.peers);
}

void node_link_connected(struct node *n, struct link *l) {
    peers_connected(&n->cluster.peers, l);
}

size_t node_link_received(struct node *n, struct link *l, struct slice bytes) {
    return cluster_received(&n->cluster, l, bytes);
}

static void link_ends(struct node *n, const struct link *l) {
    forward_link_ended(&n->forward, l);
    guests_link_ended(&n->guests, l);
}

void node_link_closed(struct node *n, struct link *l, bool refused) {
    link_ends(n, l);
    peers_closed(&n->cluster.peers, l, refused);
}

struct slice node_link_output(const struct link *l) {
    return link_output(l);
}

void node_link_sent(struct node *n, struct link *l, size_t bytes) {
    (void)n;
    link_sent(l, bytes);
}

bool node_take_order(struct node *n, struct link_order *order) {
    if (!peers_take_order(&n->cluster.peers, order)) return false;
    if (order->kind == LINK_CLOSE) link_ends(n, order->link);
    return true;
}

/* ---- What an operation depends on ---- */

void node_read_claim(const struct node *n, struct claim *c, struct json_reader *r) {
    claim_read(c, r, n->cluster.actors, hlc_latest_acceptable(n->replica->hlc, n->wall_ms));
}

/* True when everything that the claim names and that concerns the slot is here, or proven lost;
 * otherwise what is missing stands in n->missing. Entries of groups that have not got the slot are
 * never waited for. */
static bool covers(struct node *n, const struct claim *c, uint32_t slot) {
    n->missing.len = 0;
    buffer_put(&n->missing, buffer_slice(&c->unknown));
    for (uint32_t i = 0; i < c->metadata.maps_len; i++) {
        if (!cluster_knows_map(&n->cluster, c->metadata.maps[i])) {
            metadata_put_missing_map(&n->missing, c->metadata.maps[i]);
        }
    }
    for (uint32_t i = 0; i < c->metadata.clock.len; i++) {
        struct dot dot = c->metadata.clock.dots[i];
        const struct vclock *here = parts_clock(&n->replica->parts, slot); /* a waiver moves it */
        const struct slots *of = replica_slots_of(n->replica, dot.actor);
        if (vclock_has(here, dot) || (of != NULL && !slots_has(of, slot))) continue;
        if (catchup_waive(n->replica, dot, slot)) continue;
        metadata_put_missing(&n->missing, actors_get(n->cluster.actors, dot.actor)->label, dot.n);
    }
    return n->missing.len == 0;
}

/* ---- Serving ---- */

/* What the functions below work on: one operation at its place in the store. */
struct serving {
    const struct op *op;
    const struct errand *errand;
    const struct parked *parked; /* it is; or NULL */
    enum parked_for waits_for;   /* if it cannot be done now */
    struct metadata *seen;       /* by the client */
    struct store_place place;
    struct version old; /* what stands under the key */
    bool known;         /* if anything does */
};

static enum node_status serve_get(const struct serving *g, struct answer *a) {
    if (!g->known) return NODE_NO_KEY;
    replica_observe(g->seen, &g->old);
    if (g->old.is_tombstone) return NODE_NO_KEY;
    a->value = g->old.value;
    return NODE_FOUND;
}

/* A stamp greater than the clock, than what the client has seen and than what it replaces. */
static uint64_t next_hlc(const struct node *n, const struct serving *g) {
    uint64_t seen = hlc_max(n->replica->hlc, hlc_of_wall(n->wall_ms));
    seen = hlc_max(seen, g->seen->time);
    return (g->known ? hlc_max(seen, g->old.hlc) : seen) + 1;
}

static bool exceeds_memory(struct node *n, const struct version *v, const struct version *old) {
    if (n->memory_bytes_max == 0 || v->is_tombstone) return false;
    int64_t growth = store_growth(v, old);
    if (growth <= 0) return false;
    bool exceeds = store_bytes(n->cluster.store) + (uint64_t)growth > n->memory_bytes_max;
    if (exceeds && !n->memory_noted) {
        notes_put(&n->cluster.notes, "store: the memory limit is reached", NULL);
    }
    n->memory_noted = exceeds;
    return exceeds;
}

/* The only member of its group delivers as it stamps. What it replaces goes with that: so the
 * client is told of it before. */
static enum node_status write_alone(struct node *n, const struct serving *g,
                                    const struct version *v, enum node_status done) {
    if (g->known) replica_observe(g->seen, &g->old);
    if (!broadcast_write_alone(n->replica, g->place, v)) return NODE_MEMORY_LIMIT;
    replica_observe(g->seen, v);
    return done;
}

/* A value, or a tombstone; `done` is the answer if it is delivered at once. */
static enum node_status write_version(struct node *n, const struct serving *g, bool is_tombstone,
                                      enum node_status done) {
    struct replica *r = n->replica;
    n->deps.len = 0;
    metadata_pack(&n->deps, g->seen, replica_actor(r));
    struct version v = {
        .dot = {replica_actor(r), r->assigned + 1},
        .hlc = next_hlc(n, g),
        .is_tombstone = is_tombstone,
        .key = g->op->key,
        .value = is_tombstone ? (struct slice){0} : g->op->value,
        .deps = buffer_slice(&n->deps),
    };
    if (exceeds_memory(n, &v, g->known ? &g->old : NULL)) return NODE_MEMORY_LIMIT;
    bool lone = r->mate_count == 0 && r->under_way == NULL; /* that of a former member goes first */
    if (lone) return write_alone(n, g, &v, done);
    broadcast_begin_write(r, g->errand->token, &v, g->seen);
    return NODE_BEGUN;
}

static enum node_status serve_put(struct node *n, const struct serving *g) {
    bool replaces = g->known && !g->old.is_tombstone;
    return write_version(n, g, false, replaces ? NODE_REPLACED : NODE_CREATED);
}

static enum node_status serve_delete(struct node *n, const struct serving *g) {
    if (!g->known) return NODE_NO_KEY;
    if (g->old.is_tombstone) {
        replica_observe(g->seen, &g->old);
        return NODE_NO_KEY;
    }
    return write_version(n, g, true, NODE_DELETED);
}

static enum node_status serve_count(struct node *n, struct answer *a) {
    uint64_t keys = 0;
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot++) {
        if (node_owns_slot(n, slot)) keys += store_slot_live(n->cluster.store, slot);
    }
    n->value.len = 0;
    buffer_put_u64(&n->value, keys);
    a->value = buffer_slice(&n->value);
    return NODE_FOUND;
}

static enum node_status serve_list(struct node *n, const struct serving *g, struct answer *a) {
    struct pairs_query q;
    struct slots owned = {0};
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot++) {
        if (node_may_read_slot(n, slot)) slots_add(&owned, slot);
    }
    if (!pairs_read_query(g->op->value, &q)) return NODE_CANNOT_FORWARD; /* of another version */
    q.slot = g->place.slot;
    q.after = g->op->key;
    n->value.len = 0;
    pairs_put_chunk(&n->value, n->cluster.store, &owned, &q);
    a->value = buffer_slice(&n->value);
    return NODE_FOUND;
}

static enum node_status serve(struct node *n, const struct serving *g, struct answer *a) {
    switch (g->op->kind) {
    case OP_GET: return serve_get(g, a);
    case OP_PUT: return serve_put(n, g);
    case OP_DELETE: return serve_delete(n, g);
    case OP_COUNT: return serve_count(n, a);
    case OP_LIST: return serve_list(n, g, a);
    case OP_KINDS: break;
    }
    assert(false && "an operation of no kind");
    return NODE_NO_KEY;
}

/* ---- Attempts ---- */

/* It is this node's, and this node is ready. */
static bool serves_slot(const struct node *n, uint32_t slot) {
    return node_owns_slot(n, slot) && n->cluster.maps.is_decided && replica_serves(n->replica);
}

/* Another shard has the slot, or this node is not ready. */
static bool send_on(struct node *n, struct serving *g, struct answer *a) {
    bool own = node_owns_slot(n, g->place.slot);
    if (g->errand->hops == 0) return !own; /* maps differ too much: "cannot" is the answer */
    g->waits_for = PARKED_FOR_OWNER;
    a->lane = forward_send(&n->forward, g->errand, g->op, g->place.slot);
    if (a->lane == 0) return false;
    a->status = NODE_SENT_ON;
    return true;
}

/* Much that was asked before waits on the link to who asks. */
static bool lacks_room(const struct node *n, const struct errand *e) {
    const struct guest *guest =
        guests_has_token(e->token) ? guests_find(&n->guests, e->token) : NULL;
    const struct peer *asker = guest == NULL ? NULL : guest->from->peer;
    return asker != NULL && asker->to != NULL && link_unsent_bytes(asker->to) > FORWARD_OUTPUT_MAX;
}

static bool lacks_turn(const struct node *n, const struct serving *g) {
    return op_is_write(g->op->kind) && parking_has_stream(&n->parking, g->op->stream, g->parked);
}

/* What it reads must be here as a whole; a DELETE says whether there was anything. And a node that
 * is about to change its group begins no writes. */
static bool may_serve(const struct node *n, const struct serving *g) {
    const struct replica *r = n->replica;
    bool writes = op_is_write(g->op->kind), reads = g->op->kind != OP_PUT;
    if (writes && cluster_is_leaving(&n->cluster)) return false;
    if (g->op->kind == OP_COUNT) return r->settled || handover_is_complete(r);
    return !reads || handover_may_read(r, g->place.slot);
}

/* Tries to serve, here or elsewhere. False: it cannot be done now; *a is the answer if it waits in
 * vain. */
static bool attempt(struct node *n, struct serving *g, struct answer *a) {
    const struct op *op = g->op;
    g->place.slot = op->slot;
    if (op_has_key(op->kind)) g->place = store_locate(n->cluster.store, op->key);
    g->seen = &op->claim->metadata;
    g->waits_for = PARKED_FOR_PROGRESS;
    *a = (struct answer){
        .kind = op->kind,
        .status = NODE_CANNOT_FORWARD,
        .lane = LANE_HERE,
        .metadata_text = op->claim->text,
    };
    a->slot = g->place.slot;
    a->shard = n->cluster.maps.map->shard_of_slot[g->place.slot];
    if (!n->cluster.maps.is_decided) return false;
    if (lacks_turn(n, g)) {
        g->waits_for = PARKED_FOR_TURN;
        return false;
    }
    if (!serves_slot(n, g->place.slot)) return send_on(n, g, a);
    if (!covers(n, op->claim, g->place.slot)) {
        n->replica->pull_wanted = true;
        a->status = NODE_NOT_YET;
        a->missing = buffer_slice(&n->missing);
        return false;
    }
    if (!may_serve(n, g)) {
        catchup_hurry(n->replica, g->place.slot);
        return false;
    }
    if (!op_is_write(op->kind) && lacks_room(n, g->errand)) {
        g->waits_for = PARKED_FOR_ROOM;
        return false;
    }
    if (op_has_key(op->kind)) g->known = store_find(n->cluster.store, g->place, op->key, &g->old);
    a->status = serve(n, g, a);
    if (a->status == NODE_MEMORY_LIMIT) return true; /* it goes back with what it came with */
    if (op_has_key(op->kind)) a->metadata = g->seen;
    if (a->status != NODE_BEGUN) cluster_prune(&n->cluster, g->seen);
    return true;
}

/* Reads the metadata of an operation that is not a client's just now into n->claim. Its time was
 * judged when it came; the wall clock may be another one, and that must not make it bad. */
static bool read_claim_text(struct node *n, struct slice text) {
    claim_clear(&n->claim);
    if (text.len == 0) return true;
    struct json_reader r = json_reader_of(text);
    claim_read(&n->claim, &r, n->cluster.actors, HLC_MAX);
    return json_finish(&r) && n->claim.form != CLAIM_BAD;
}

/* Attempts a parked operation, by what is known now of the actors that it names. */
static bool attempt_again(struct node *n, struct parked *p, struct answer *a) {
    bool good = read_claim_text(n, p->claim_text);
    assert(good);
    (void)good;
    p->op.claim = &n->claim;
    p->tried_at = n->replica->progress;
    struct serving g = {.op = &p->op, .errand = &p->errand, .parked = p};
    bool done = attempt(n, &g, a);
    p->what = g.waits_for;
    return done;
}

/* ---- Parking ---- */

/* False: too many wait already. */
static bool park(struct node *n, const struct serving *g) {
    struct parked *p = n->park_ms == 0 ? NULL : parking_add(&n->parking, g->errand, g->op);
    if (p == NULL) return false;
    p->op.slot = g->place.slot;
    p->what = g->waits_for;
    p->deadline_ms = earlier(n->now_ms + n->park_ms, g->errand->deadline_ms);
    p->tried_at = n->replica->progress;
    return true;
}

/* Something has happened for which it waits, or its time is up. */
static bool is_ripe(struct node *n, const struct parked *p) {
    if (p->deadline_ms <= n->now_ms || p->tried_at != n->replica->progress) return true;
    switch (p->what) {
    case PARKED_FOR_PROGRESS: break;
    case PARKED_FOR_OWNER: return forward_reaches(&n->forward, p->op.slot);
    case PARKED_FOR_TURN: return !parking_has_stream(&n->parking, p->op.stream, p);
    case PARKED_FOR_ROOM: return !lacks_room(n, &p->errand);
    }
    return false;
}

/* ---- Operations ---- */

/* Each operation counts once: where its client is. */
static void count_answer(struct node *n, uint64_t token, const struct answer *a) {
    if (!guests_has_token(token)) n->stats.answered[a->kind][a->status]++;
}

static enum node_taken begin(struct node *n, const struct errand *errand, const struct op *op,
                             struct answer *answer) {
    struct serving g = {.op = op, .errand = errand};
    bool done = attempt(n, &g, answer);
    if (!done && park(n, &g)) return NODE_PARKED;
    if (answer->status == NODE_BEGUN) return NODE_UNDER_WAY;
    if (answer->status == NODE_SENT_ON) return op_is_write(op->kind) ? NODE_UNDER_WAY : NODE_PARKED;
    count_answer(n, errand->token, answer);
    return NODE_ANSWERED;
}

enum node_taken node_submit(struct node *n, uint64_t token, const struct op *op,
                            struct answer *answer) {
    assert(!guests_has_token(token));
    struct errand errand = {token, UINT64_MAX, FORWARD_HOPS_MAX};
    struct op named = *op;
    if (op->stream != 0) named.stream += n->cluster.peers.boot; /* random: nobody else's */
    return begin(n, &errand, &named, answer);
}

static void answer_write(struct node *n, struct under_way *u, struct answer *a) {
    enum node_status put = u->replaced ? NODE_REPLACED : NODE_CREATED;
    *a = (struct answer){
        .kind = u->is_delete ? OP_DELETE : OP_PUT,
        .status = u->is_delete ? NODE_DELETED : put,
        .shard = n->cluster.maps.map->shard_of_slot[u->slot],
        .metadata = &u->seen,
    };
    cluster_prune(&n->cluster, &u->seen);
}

/* What the replica has delivered goes to those who wait for it. */
static void sort_done(struct node *n) {
    struct under_way *u;
    while ((u = broadcast_take_done(n->replica)) != NULL) {
        struct done *list = &n->done[guests_has_token(u->token)];
        u->next = NULL;
        *list->end = u;
        list->end = &u->next;
    }
}

/* The next write that is delivered. */
static bool take_write(struct node *n, bool of_guests, uint64_t *token, struct answer *answer) {
    struct done *list = &n->done[of_guests];
    sort_done(n);
    for (;;) {
        if (n->answered != NULL) under_way_free(n->answered);
        n->answered = list->first;
        if (n->answered == NULL) return false;
        list->first = n->answered->next;
        if (list->first == NULL) list->end = &list->first;
        if (n->answered->cancelled) continue;
        *token = n->answered->token;
        answer_write(n, n->answered, answer);
        return true;
    }
}

/* The node that asked is gone: what has not begun is not to begin any more. */
static bool is_orphan(const struct node *n, const struct parked *p) {
    uint64_t token = p->errand.token;
    return guests_has_token(token) && guests_find(&n->guests, token) == NULL;
}

/* Attempts what is parked, so far as something has happened since or its time is up. */
static bool take_parked(struct node *n, bool of_guests, uint64_t *token, struct answer *answer) {
    for (struct parked **link = &n->parking.first; *link != NULL;) {
        struct parked *p = *link;
        bool late = p->deadline_ms <= n->now_ms;
        if (is_orphan(n, p)) {
            free(parking_remove(&n->parking, link));
            continue;
        }
        bool is_meant = guests_has_token(p->errand.token) == of_guests;
        if (is_meant && is_ripe(n, p) && (attempt_again(n, p, answer) || late)) {
            free(n->ended);
            n->ended = parking_remove(&n->parking, link);
            if (answer->status == NODE_BEGUN || answer->status == NODE_SENT_ON) continue;
            *token = p->errand.token;
            return true;
        }
        link = &p->next;
    }
    return false;
}

static bool take_answer(struct node *n, bool of_guests, uint64_t *token, struct answer *answer) {
    return take_write(n, of_guests, token, answer) || take_parked(n, of_guests, token, answer) ||
           take_write(n, of_guests, token, answer) ||
           forward_take(&n->forward, of_guests, token, answer);
}

static bool take_change(struct node *n, uint64_t *token, struct answer *answer) {
    *answer = (struct answer){0};
    for (struct change **link = &n->changes; *link != NULL; link = &(*link)->next) {
        if (!change_step(&n->cluster, *link, &answer->status)) continue;
        *token = (*link)->token;
        end_change(n, link);
        return true;
    }
    return false;
}

bool node_take_answer(struct node *n, uint64_t *token, struct answer *answer) {
    if (take_change(n, token, answer)) return true;
    if (!take_answer(n, false, token, answer)) return false;
    count_answer(n, *token, answer);
    return true;
}

void node_cancel(struct node *n, uint64_t token) {
    broadcast_cancel(n->replica, token);
    under_way_cancel(n->done[0].first, token);
    forward_cancel(&n->forward, token);
    for (struct parked **link = &n->parking.first; *link != NULL;) {
        if ((*link)->errand.token == token)
            free(parking_remove(&n->parking, link));
        else
            link = &(*link)->next;
    }
    for (struct change **link = &n->changes; *link != NULL; link = &(*link)->next) {
        if ((*link)->token == token) {
            end_change(n, link);
            return;
        }
    }
}

uint64_t node_lane(struct node *n, uint32_t slot) {
    return node_owns_slot(n, slot) ? LANE_HERE : forward_lane(&n->forward, slot);
}

/* ---- Operations of other nodes ---- */

static void answer_guest(struct node *n, uint64_t token, const struct answer *a) {
    struct guest guest;
    if (!guests_dismiss(&n->guests, token, &guest)) return;
    struct peer *asker = guest.from->peer;
    if (asker == NULL || asker->state != PEER_UP || peer_output(asker) == NULL) return;
    struct wire_answer m = {
        .id = guest.id,
        .status = a->status,
        .shard = (uint8_t)a->shard,
        .metadata = a->metadata_text,
        .missing = a->missing,
        .value = a->value,
    };
    if (a->metadata != NULL) {
        n->text.len = 0;
        metadata_put(&n->text, a->metadata, n->cluster.actors);
        m.metadata = buffer_slice(&n->text);
    }
    if (!wire_answer_fits(&m)) {
        m = (struct wire_answer){.id = guest.id, .status = NODE_CANNOT_FORWARD, .shard = m.shard};
    }
    wire_put_answer(replica_output(n->replica, asker), &m);
}

static void answer_guests(struct node *n) {
    uint64_t token;
    struct answer a;
    while (take_answer(n, true, &token, &a))
        answer_guest(n, token, &a);
}

/* Of the time that the asker has left, a part is for the way back. */
static uint64_t guest_deadline_ms(const struct node *n, uint32_t ms) {
    return n->now_ms + ms - ms / 8;
}

/* Served like an operation of a client here. */
static bool on_op(struct node *n, struct link *l, struct slice body) {
    struct wire_op m;
    struct answer a;
    if (!wire_read_op(body, &m) || !read_claim_text(n, m.claim)) return false;
    struct errand errand = {guests_admit(&n->guests, l, m.id), guest_deadline_ms(n, m.ms), m.hops};
    struct op op = {m.kind, m.key, m.value, &n->claim, m.stream, m.slot};
    n->stats.guests++;
    if (errand.token == 0) return true; /* too many: it hears nothing, as from one that is stuck */
    if (begin(n, &errand, &op, &a) == NODE_ANSWERED) answer_guest(n, errand.token, &a);
    return true;
}

static bool on_operation(struct cluster *c, struct link *l, const struct wire_frame *f) {
    struct node *n = CONTAINER_OF(c, struct node, cluster);
    return f->type == WIRE_OP ? on_op(n, l, f->body)
                              : forward_on_answer(&n->forward, l->peer, f->body);
}

/* ---- View and shards ---- */

const struct peers *node_view(const struct node *n) {
    return &n->cluster.peers;
}

bool node_has_peer_port(const struct node *n, const struct address *address) {
    return address->port + n->peer_port_offset <= UINT16_MAX;
}

enum peers_added node_view_add(struct node *n, const struct address *address) {
    enum peers_added added = peers_add(&n->cluster.peers, address, false);
    if (added != PEERS_ADDED) return added;
    notes_put(&n->cluster.notes, "view: in, by request: ", address);
    cluster_pardon(&n->cluster, address);
    return added;
}

/* Would a shard be left without any member, or lose its last live one? */
static bool is_last_member(const struct node *n, const struct address *address) {
    const struct map *m = n->cluster.maps.map;
    uint32_t shard = map_shard_of_node(m, address), others = 0, live = 0;
    const struct peer *p = peers_find(&n->cluster.peers, address);
    if (shard == SHARD_NONE) return false;
    for (uint32_t i = 0; i < m->node_count; i++) {
        const struct peer *other = peers_find(&n->cluster.peers, &m->nodes[i]);
        if (m->shard_of_node[i] != shard || other == p) continue;
        others++;
        live += other != NULL && peer_in_view(other);
    }
    return others == 0 || (live == 0 && p != NULL && peer_in_view(p));
}

static bool may_be_removed(const struct node *n, const struct peer *p) {
    return !is_last_member(n, &p->address) && !handover_is_only_source(n->replica, p);
}

enum node_removed node_view_remove(struct node *n, const struct address *address) {
    const struct peer *p = peers_find(&n->cluster.peers, address);
    bool known =
        p != NULL && (peer_is_listed(&n->cluster.peers, p) ||
                      (n->cluster.maps.is_decided && map_has_node(n->cluster.maps.map, address)));
    if (!known || p->state == PEER_STRUCK) return NODE_REMOVED_UNKNOWN;
    if (p->state == PEER_SELF) return NODE_REMOVED_SELF;
    if (!may_be_removed(n, p)) return NODE_REMOVED_LAST;
    cluster_remove(&n->cluster, address);
    return NODE_REMOVED;
}

const struct map *node_map(const struct node *n) {
    return n->cluster.maps.map;
}

uint32_t node_shard(const struct node *n) {
    return n->cluster.shard;
}

bool node_owns_slot(const struct node *n, uint32_t slot) {
    return n->cluster.maps.map->shard_of_slot[slot] == n->cluster.shard;
}

bool node_may_read_slot(const struct node *n, uint32_t slot) {
    return serves_slot(n, slot) && handover_may_read(n->replica, slot);
}

/* ---- Changes of the map ---- */

static enum node_taken submit_change(struct node *n, const struct change *asked,
                                     struct answer *answer) {
    struct change ch = *asked;
    *answer = (struct answer){.status = NODE_TOO_MANY_CHANGES};
    if (n->change_count == CHANGES_MAX) return NODE_ANSWERED;
    if (change_step(&n->cluster, &ch, &answer->status)) return NODE_ANSWERED;
    struct change *waiting = bytes_alloc(sizeof *waiting);
    *waiting = ch;
    waiting->next = n->changes;
    n->changes = waiting;
    n->change_count++;
    return NODE_PARKED;
}

enum node_taken node_reshard(struct node *n, uint64_t token, uint32_t shard_count,
                             struct answer *answer) {
    struct change ch = {.kind = CHANGE_RESHARD, .token = token, .shard_count = shard_count};
    return submit_change(n, &ch, answer);
}

enum node_taken node_add_member(struct node *n, uint64_t token, uint32_t shard,
                                const struct address *address, struct answer *answer) {
    struct change ch = {.kind = CHANGE_JOIN, .token = token, .shard = shard, .node = *address};
    return submit_change(n, &ch, answer);
}

/* Slots have about as many keys each. */
void node_reshard_progress(const struct node *n, struct node_progress *out) {
    struct handover_progress progress = handover_progress(n->replica);
    uint64_t slots_here = 0;
    for (uint32_t s = 0; s < SHARD_SLOTS; s++)
        slots_here += node_slot_clock(n, s) != NULL;
    uint64_t keys = slots_here == 0 ? 0 : store_live(n->cluster.store) / slots_here;
    *out = (struct node_progress){
        .settled = cluster_is_settled(&n->cluster),
        .keys_moved = keys * (progress.slots - progress.to_go),
        .keys_to_go = keys * progress.to_go,
    };
}

bool node_resharding(const struct node *n) {
    for (const struct change *ch = n->changes; ch != NULL; ch = ch->next) {
        if (ch->kind == CHANGE_RESHARD) return true;
    }
    return false;
}

/* ---- Reports ---- */

const struct node_stats *node_stats(const struct node *n) {
    return &n->stats;
}

const struct parking *node_parking(const struct node *n) {
    return &n->parking;
}

const struct forward_stats *node_forward_stats(const struct node *n) {
    return &n->forward.stats;
}

const struct store *node_store(const struct node *n) {
    return n->cluster.store;
}

const struct address *node_self(const struct node *n) {
    return &n->cluster.peers.self;
}

const struct actors *node_actors(const struct node *n) {
    return n->cluster.actors;
}

const struct replica_stats *node_replica_stats(const struct node *n) {
    return &n->replica->stats;
}

/* One that stands by has no keys, and sends every operation on; unless the map keeps it out. */
bool node_ready(const struct node *n) {
    const struct replica *r = n->replica;
    return cluster_has_a_say(&n->cluster) && r->synced && (r->group == 0 || r->holds);
}

bool node_provisional(const struct node *n) {
    return n->replica->provisional;
}

const struct vclock *node_slot_clock(const struct node *n, uint32_t slot) {
    return parts_clock(&n->replica->parts, slot);
}

bool node_has_residue(const struct node *n) {
    return n->replica->has_residue;
}

bool node_base_complete(const struct node *n) {
    return n->replica->synced && (n->replica->settled || handover_is_complete(n->replica));
}

uint32_t node_held_back(const struct node *n) {
    return n->replica->held.count;
}

uint32_t node_under_way(const struct node *n) {
    return n->replica->under_way_count;
}

uint32_t node_learn_actor(struct node *n, uint64_t id, const struct address *node, uint64_t boot,
                          uint64_t group) {
    n->replica->progress++;
    maps_add_foreign(&n->cluster.maps, group);
    return actors_learn(n->cluster.actors, id, node, boot, group);
}
