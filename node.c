/* The step machine of one node. See node.h.
 *
 * The way of an operation:
 *
 *   node_submit -> attempt -> covers            is all that the client has seen here?
 *                          -> serve_get | serve_put | serve_delete
 *               -> park    if not; node_take_answer attempts it again
 *
 * What can go wrong on the way: a dependency that is not here (parked, then refused by name), a
 * shard that is elsewhere (nobody to forward to yet), no memory (refused; the write has then taken
 * no number, so no gap in the actor's dots).
 *
 * Where the group has other members, a write is only begun here; replica.c has the rest of its way,
 * and node_take_answer() picks it up when it is delivered.
 */
#include "node.h"

#include <assert.h>
#include <stdlib.h>

/* An operation that waits for its dependencies; one allocation with its bytes. */
struct parked {
    struct parked *next;
    uint64_t token;
    uint64_t deadline_ms;
    uint64_t tried_at; /* the node's `progress` when it was last attempted */
    struct op op;      /* slices into `bytes`; its claim is read again for each attempt */
    struct slice claim_text;
    size_t size;
    char bytes[];
};

struct node {
    struct cluster cluster;
    struct replica *replica; /* the cluster's */
    uint64_t memory_bytes_max;
    uint32_t park_ms, peer_port_offset;
    uint64_t now_ms, wall_ms; /* as the shell last said */

    struct parked *parked, **parked_end; /* oldest first */
    struct parked *ended;                /* the one whose answer is borrowed... */
    struct under_way *answered;          /* ...or this write */

    struct change *changes; /* that wait until they are so */
    uint32_t change_count;

    struct claim claim;    /* of the waiting operation in hand */
    struct buffer missing; /* unmet dependencies of the operation in hand */
    bool memory_noted;     /* the limit was reached, and that was noted */
    struct buffer deps;    /* a version's packed dependencies while it is put */
    struct node_stats stats;
};

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
    n->replica = &n->cluster.replica;
    n->memory_bytes_max = config->memory_bytes_max;
    n->park_ms = config->park_ms;
    n->peer_port_offset = config->peer_port_offset;
    n->now_ms = now_ms;
    n->wall_ms = wall_ms;
    n->parked_end = &n->parked;
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
    for (struct parked *p = n->parked, *next; p != NULL; p = next) {
        next = p->next;
        free(p);
    }
    free(n->ended);
    while (n->changes != NULL)
        end_change(n, &n->changes);
    if (n->answered != NULL) under_way_free(n->answered);
    cluster_free(&n->cluster);
    claim_free(&n->claim);
    buffer_free(&n->missing);
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
}

void node_end_turn(struct node *n) {
    cluster_end_turn(&n->cluster);
}

void node_stop(struct node *n) {
    cluster_stop(&n->cluster);
}

uint64_t node_deadline_ms(const struct node *n) {
    uint64_t peers = peers_deadline_ms(&n->cluster.peers);
    uint64_t oldest = n->parked != NULL ? n->parked->deadline_ms : UINT64_MAX;
    if (n->replica->done != NULL || catchup_has_more_to_send(n->replica)) return n->now_ms;
    return peers < oldest ? peers : oldest;
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

void node_link_closed(struct node *n, struct link *l, bool refused) {
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
    return peers_take_order(&n->cluster.peers, order);
}

/* ---- What an operation depends on ---- */

void node_read_claim(const struct node *n, struct claim *c, struct json_reader *r) {
    claim_read(c, r, n->cluster.actors, hlc_latest_acceptable(n->replica->hlc, n->wall_ms));
}

/* True when everything that the claim names and that concerns the slot is here, or proven lost;
 * otherwise what is missing stands in n->missing. Entries of groups that have not got the slot are
 * never waited for. */
static bool covers(struct node *n, const struct claim *c, uint32_t slot) {
    const struct vclock *here = parts_clock(&n->replica->parts, slot);
    n->missing.len = 0;
    buffer_put(&n->missing, buffer_slice(&c->unknown));
    for (uint32_t i = 0; i < c->metadata.maps_len; i++) {
        if (!cluster_knows_map(&n->cluster, c->metadata.maps[i])) {
            metadata_put_missing_map(&n->missing, c->metadata.maps[i]);
        }
    }
    for (uint32_t i = 0; i < c->metadata.clock.len; i++) {
        struct dot dot = c->metadata.clock.dots[i];
        const struct slots *of = replica_slots_of(n->replica, dot.actor);
        if (vclock_has(here, dot) || (of != NULL && !slots_has(of, slot))) continue;
        if (of != NULL && catchup_waive(n->replica, dot, slot)) continue;
        metadata_put_missing(&n->missing, actors_get(n->cluster.actors, dot.actor)->label, dot.n);
    }
    return n->missing.len == 0;
}

/* ---- Serving ---- */

/* What the functions below work on: one operation at its place in the store. */
struct serving {
    const struct op *op;
    uint64_t token;
    struct metadata *seen; /* by the client */
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
    broadcast_begin_write(r, g->token, &v, g->seen);
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

static enum node_status serve(struct node *n, const struct serving *g, struct answer *a) {
    switch (g->op->kind) {
    case OP_GET: return serve_get(g, a);
    case OP_PUT: return serve_put(n, g);
    case OP_DELETE: return serve_delete(n, g);
    case OP_KINDS: break;
    }
    assert(false && "an operation of no kind");
    return NODE_NO_KEY;
}

/* Tries to serve. False: it cannot be done here now; *a is the answer if it waits in vain. */
static bool attempt(struct node *n, uint64_t token, const struct op *op, struct answer *a) {
    struct serving g = {.op = op, .token = token, .seen = &op->claim->metadata};
    g.place = store_locate(n->cluster.store, op->key);
    *a = (struct answer){.asked = op->claim->text, .status = NODE_CANNOT_FORWARD};
    const struct maps *maps = &n->cluster.maps;
    a->shard = maps->map->shard_of_slot[g.place.slot];
    if (!maps->is_decided || (a->shard == n->cluster.shard && !replica_serves(n->replica))) {
        return false;
    }
    if (a->shard != n->cluster.shard) return true;
    if (!covers(n, op->claim, g.place.slot)) {
        n->replica->pull_wanted = true;
        a->status = NODE_NOT_YET;
        a->missing = buffer_slice(&n->missing);
        return false;
    }
    bool reads = op->kind != OP_PUT; /* a DELETE says whether there was anything */
    bool may_go = (!reads || handover_may_read(n->replica, g.place.slot)) &&
                  (op->kind == OP_GET || !cluster_is_leaving(&n->cluster));
    if (!may_go) return false;
    g.known = store_find(n->cluster.store, g.place, op->key, &g.old);
    a->status = serve(n, &g, a);
    if (a->status == NODE_MEMORY_LIMIT) return true; /* it goes back with what it came with */
    a->metadata = g.seen;
    if (a->status != NODE_BEGUN) cluster_prune(&n->cluster, g.seen);
    return true;
}

/* Attempts a parked operation, by what is known now of the actors that it names. Its time was
 * judged when it came; the wall clock may have been set since, and that must not make it bad. */
static bool attempt_again(struct node *n, struct parked *p, struct answer *a) {
    struct json_reader r = json_reader_of(p->claim_text);
    claim_read(&n->claim, &r, n->cluster.actors, UINT64_MAX);
    assert(n->claim.form != CLAIM_BAD);
    p->op.claim = &n->claim;
    return attempt(n, p->token, &p->op, a);
}

/* ---- Parking ---- */

static struct slice copy_into(char **at, struct slice s) {
    struct slice copy = {*at, s.len};
    if (s.len > 0) memcpy(*at, s.at, s.len);
    *at += s.len;
    return copy;
}

/* False: too many wait already. */
static bool park(struct node *n, uint64_t token, const struct op *op) {
    size_t size = sizeof(struct parked) + op->key.len + op->value.len + op->claim->text.len;
    bool room = n->stats.parked_now < NODE_PARKED_MAX &&
                n->stats.parked_bytes + size <= NODE_PARKED_BYTES_MAX;
    if (!room || n->park_ms == 0) return false;

    struct parked *p = bytes_alloc(size);
    char *at = p->bytes;
    p->next = NULL;
    p->token = token;
    p->deadline_ms = n->now_ms + n->park_ms;
    p->tried_at = n->replica->progress;
    p->size = size;
    p->op.kind = op->kind;
    p->op.key = copy_into(&at, op->key);
    p->op.value = copy_into(&at, op->value);
    p->claim_text = copy_into(&at, op->claim->text);
    *n->parked_end = p;
    n->parked_end = &p->next;
    n->stats.parked_now++;
    n->stats.parked_bytes += size;
    n->stats.parked_total++;
    return true;
}

/* Takes *link out of the list; the caller owns it. */
static struct parked *unpark(struct node *n, struct parked **link) {
    struct parked *p = *link;
    *link = p->next;
    if (n->parked_end == &p->next) n->parked_end = link;
    n->stats.parked_now--;
    n->stats.parked_bytes -= p->size;
    return p;
}

static void count_answer(struct node *n, enum op_kind kind, enum node_status status) {
    n->stats.answered[kind][status]++;
}

enum node_taken node_submit(struct node *n, uint64_t token, const struct op *op,
                            struct answer *answer) {
    bool done = attempt(n, token, op, answer);
    if (!done && park(n, token, op)) return NODE_PARKED;
    if (answer->status == NODE_BEGUN) return NODE_UNDER_WAY;
    count_answer(n, op->kind, answer->status);
    return NODE_ANSWERED;
}

static void answer_write(struct node *n, struct under_way *u, struct answer *a) {
    enum node_status put = u->replaced ? NODE_REPLACED : NODE_CREATED;
    *a = (struct answer){
        .status = u->is_delete ? NODE_DELETED : put,
        .shard = n->cluster.maps.map->shard_of_slot[u->slot],
        .metadata = &u->seen,
    };
    cluster_prune(&n->cluster, &u->seen);
    count_answer(n, u->is_delete ? OP_DELETE : OP_PUT, a->status);
}

/* The next write of a client that is delivered. */
static bool take_write(struct node *n, uint64_t *token, struct answer *answer) {
    if (n->answered != NULL) under_way_free(n->answered);
    while ((n->answered = broadcast_take_done(n->replica)) != NULL) {
        if (!n->answered->cancelled) {
            *token = n->answered->token;
            answer_write(n, n->answered, answer);
            return true;
        }
        under_way_free(n->answered);
    }
    return false;
}

/* Attempts what is parked, so far as something has happened since or its time is up. */
static bool take_parked(struct node *n, uint64_t *token, struct answer *answer) {
    for (struct parked **link = &n->parked; *link != NULL;) {
        struct parked *p = *link;
        bool late = p->deadline_ms <= n->now_ms;
        if (late || p->tried_at != n->replica->progress) {
            p->tried_at = n->replica->progress;
            if (attempt_again(n, p, answer) || late) {
                free(n->ended);
                n->ended = unpark(n, link);
                if (answer->status == NODE_BEGUN) continue;
                count_answer(n, p->op.kind, answer->status);
                *token = p->token;
                return true;
            }
        }
        link = &p->next;
    }
    return false;
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
    return take_write(n, token, answer) || take_parked(n, token, answer) ||
           take_write(n, token, answer) || take_change(n, token, answer);
}

void node_cancel(struct node *n, uint64_t token) {
    broadcast_cancel(n->replica, token);
    for (struct parked **link = &n->parked; *link != NULL; link = &(*link)->next) {
        if ((*link)->token == token) {
            free(unpark(n, link));
            return;
        }
    }
    for (struct change **link = &n->changes; *link != NULL; link = &(*link)->next) {
        if ((*link)->token == token) {
            end_change(n, link);
            return;
        }
    }
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

bool node_key_count(const struct node *n, uint32_t shard, uint64_t *keys) {
    if (shard != n->cluster.shard || !replica_serves(n->replica)) return false;
    *keys = 0;
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot++) {
        if (node_owns_slot(n, slot)) *keys += store_slot_live(n->cluster.store, slot);
    }
    return true;
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

bool node_ready(const struct node *n) {
    return n->cluster.maps.is_decided && replica_serves(n->replica);
}

bool node_provisional(const struct node *n) {
    return n->replica->provisional;
}

const struct vclock *node_slot_clock(const struct node *n, uint32_t slot) {
    return parts_clock(&n->replica->parts, slot);
}

bool node_holds_slot(const struct node *n, uint32_t slot) {
    return node_slot_clock(n, slot) != NULL;
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
