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
 * There is one member in the group so far, so a write is delivered as soon as it is stamped.
 */
#include "node.h"

#include <assert.h>
#include <stdlib.h>

#include "hlc.h"

#define NOTES_BYTES_MAX (64 * 1024)

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
    struct address self;
    uint64_t boot;
    uint64_t memory_bytes_max;
    uint32_t park_ms;
    uint64_t (*random64)(void);

    uint64_t now_ms, wall_ms; /* as the shell last said */
    uint64_t hlc;             /* the hybrid clock: greatest reading stamped or seen */

    struct map *map;
    struct peers peers;
    struct actors *actors;
    struct store *store;
    uint32_t shard;          /* of this node in `map`, or SHARD_NONE */
    uint32_t actor;          /* for own writes; ACTOR_NONE before the first */
    uint64_t actor_writes;   /* the number of its last one */
    struct vclock delivered; /* D: every write of the group that is here or superseded here */

    struct parked *parked, **parked_end; /* oldest first */
    struct parked *ended;                /* the one whose answer is borrowed */
    uint64_t progress; /* counts the steps after which a parked operation may succeed */

    struct claim claim;    /* of the parked operation in hand */
    struct buffer missing; /* unmet dependencies of the operation in hand */
    struct buffer notes;   /* see node_take_notes() */
    bool notes_taken;      /* they are lent out and go at the next note */
    bool memory_noted;     /* the limit was reached, and that was noted */
    struct buffer deps;    /* a version's packed dependencies while it is put */
    struct node_stats stats;
};

/* ---- Life ---- */

struct node *node_create(const struct node_config *config, uint64_t now_ms, uint64_t wall_ms) {
    struct node *n = bytes_alloc_zeroed(sizeof *n);
    n->self = config->self;
    n->boot = config->boot;
    n->memory_bytes_max = config->memory_bytes_max;
    n->park_ms = config->park_ms;
    n->random64 = config->random64;
    n->now_ms = now_ms;
    n->wall_ms = wall_ms;
    n->map = map_create_first(config->view, config->view_count,
                              config->shard_count == 0 ? 1 : config->shard_count,
                              config->shard_count != 0);
    peers_init(&n->peers, &config->self);
    for (uint32_t i = 0; i < config->view_count; i++) {
        peers_add(&n->peers, &config->view[i], now_ms);
    }
    n->actors = actors_create();
    n->store = store_create(&config->seed);
    n->shard = map_shard_of_node(n->map, &n->self);
    n->actor = ACTOR_NONE;
    n->parked_end = &n->parked;
    return n;
}

void node_free(struct node *n) {
    for (struct parked *p = n->parked, *next; p != NULL; p = next) {
        next = p->next;
        free(p);
    }
    free(n->ended);
    map_free(n->map);
    peers_free(&n->peers);
    actors_free(n->actors);
    store_free(n->store);
    vclock_free(&n->delivered);
    claim_free(&n->claim);
    buffer_free(&n->missing);
    buffer_free(&n->notes);
    buffer_free(&n->deps);
    free(n);
}

/* A line for the operator: `what`, about a node where that is not NULL. */
static void note(struct node *n, const char *what, const struct address *about) {
    if (n->notes_taken) n->notes.len = 0;
    n->notes_taken = false;
    if (n->notes.len > NOTES_BYTES_MAX) return; /* nobody takes them */
    buffer_put(&n->notes, slice_of(what));
    if (about != NULL) buffer_put(&n->notes, address_text(about));
    buffer_put_char(&n->notes, '\n');
}

struct slice node_take_notes(struct node *n) {
    if (n->notes_taken) n->notes.len = 0;
    n->notes_taken = true;
    return buffer_slice(&n->notes);
}

void node_set_time(struct node *n, uint64_t now_ms, uint64_t wall_ms) {
    struct address dropped;
    n->now_ms = now_ms;
    n->wall_ms = wall_ms;
    while (peers_drop_unheard(&n->peers, now_ms, &dropped)) {
        note(n, "view: out, was not heard: ", &dropped);
    }
}

uint64_t node_deadline_ms(const struct node *n) {
    uint64_t view = peers_deadline_ms(&n->peers);
    uint64_t oldest = n->parked != NULL ? n->parked->deadline_ms : UINT64_MAX;
    return view < oldest ? view : oldest;
}

/* ---- What an operation depends on ---- */

static uint64_t own_group(const struct node *n) {
    return n->shard == SHARD_NONE ? 0 : n->map->group[n->shard];
}

void node_read_claim(const struct node *n, struct claim *c, struct json_reader *r) {
    claim_read(c, r, n->actors, hlc_latest_acceptable(n->hlc, n->wall_ms));
}

static bool knows_map(const struct node *n, struct map_ref ref) {
    return ref.epoch == n->map->epoch && ref.id == n->map->id >> 32;
}

/* True when everything that the claim names is here; otherwise what is missing stands in
 * n->missing. Entries of other groups are never waited for. */
static bool covers(struct node *n, const struct claim *c) {
    uint64_t group = own_group(n);
    n->missing.len = 0;
    buffer_put(&n->missing, buffer_slice(&c->unknown));
    for (uint32_t i = 0; i < c->metadata.maps_len; i++) {
        if (!knows_map(n, c->metadata.maps[i])) {
            metadata_put_missing_map(&n->missing, c->metadata.maps[i]);
        }
    }
    for (uint32_t i = 0; i < c->metadata.clock.len; i++) {
        struct dot dot = c->metadata.clock.dots[i];
        const struct actor *actor = actors_get(n->actors, dot.actor);
        if (actor->group == group && !vclock_has(&n->delivered, dot)) {
            metadata_put_missing(&n->missing, actor->label, dot.n);
        }
    }
    return n->missing.len == 0;
}

/* The client is about to see version v: from now on its metadata says so. */
static void observe(struct metadata *m, const struct version *v) {
    metadata_join_packed(m, v->deps);
    vclock_raise(&m->clock, v->dot);
    m->time = hlc_max(m->time, v->hlc);
}

/* ---- Serving ---- */

/* What the functions below work on: one operation at its place in the store. */
struct serving {
    const struct op *op;
    struct metadata *seen; /* by the client */
    struct store_place place;
    struct version old; /* what stands under the key */
    bool known;         /* if anything does */
};

static enum node_status serve_get(const struct serving *g, struct answer *a) {
    if (!g->known) return NODE_NO_KEY;
    observe(g->seen, &g->old);
    if (g->old.is_tombstone) return NODE_NO_KEY;
    a->value = g->old.value;
    return NODE_FOUND;
}

/* The actor of this boot in this group, made at its first write. */
static uint32_t own_actor(struct node *n) {
    if (n->actor == ACTOR_NONE) {
        n->actor = actors_learn(n->actors, n->random64(), &n->self, n->boot, own_group(n));
    }
    return n->actor;
}

/* A stamp greater than the clock, than what the client has seen and than what it replaces. */
static uint64_t next_hlc(const struct node *n, const struct serving *g) {
    uint64_t seen = hlc_max(n->hlc, hlc_of_wall(n->wall_ms));
    seen = hlc_max(seen, g->seen->time);
    return (g->known ? hlc_max(seen, g->old.hlc) : seen) + 1;
}

static bool exceeds_memory(struct node *n, const struct version *v, const struct version *old) {
    if (n->memory_bytes_max == 0 || v->is_tombstone) return false;
    int64_t growth = store_growth(v, old);
    if (growth <= 0) return false;
    bool exceeds = store_bytes(n->store) + (uint64_t)growth > n->memory_bytes_max;
    if (exceeds && !n->memory_noted) note(n, "store: the memory limit is reached", NULL);
    n->memory_noted = exceeds;
    return exceeds;
}

static void deliver(struct node *n, const struct version *v) {
    vclock_raise(&n->delivered, v->dot);
    n->hlc = hlc_max(n->hlc, v->hlc);
    n->actor_writes = v->dot.n;
    n->progress++;
}

/* Stamps and delivers a write of this node: a value, or a tombstone. False: no memory. */
static bool write_version(struct node *n, const struct serving *g, bool is_tombstone) {
    n->deps.len = 0;
    metadata_pack(&n->deps, g->seen, n->actors, own_group(n));
    struct version v = {
        .dot = {own_actor(n), n->actor_writes + 1},
        .hlc = next_hlc(n, g),
        .is_tombstone = is_tombstone,
        .key = g->op->key,
        .value = is_tombstone ? (struct slice){0} : g->op->value,
        .deps = buffer_slice(&n->deps),
    };
    if (exceeds_memory(n, &v, g->known ? &g->old : NULL)) return false;
    if (!store_put(n->store, g->place, &v)) return false;
    deliver(n, &v);
    observe(g->seen, &v);
    return true;
}

static enum node_status serve_put(struct node *n, const struct serving *g) {
    if (!write_version(n, g, false)) return NODE_MEMORY_LIMIT;
    return g->known && !g->old.is_tombstone ? NODE_REPLACED : NODE_CREATED;
}

static enum node_status serve_delete(struct node *n, const struct serving *g) {
    if (!g->known) return NODE_NO_KEY;
    if (g->old.is_tombstone) {
        observe(g->seen, &g->old);
        return NODE_NO_KEY;
    }
    return write_version(n, g, true) ? NODE_DELETED : NODE_MEMORY_LIMIT;
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

/* Tries to serve; NODE_NOT_YET when it cannot be done here now. */
static void attempt(struct node *n, const struct op *op, struct answer *a) {
    struct serving g = {.op = op, .seen = &op->claim->metadata};
    g.place = store_locate(n->store, op->key);
    *a = (struct answer){.asked = op->claim->text};
    a->shard = n->map->shard_of_slot[g.place.slot];
    if (a->shard != n->shard) {
        a->status = NODE_CANNOT_FORWARD;
    } else if (!covers(n, op->claim)) {
        a->status = NODE_NOT_YET;
        a->missing = buffer_slice(&n->missing);
    } else {
        g.known = store_find(n->store, g.place, op->key, &g.old);
        a->status = serve(n, &g, a);
        a->metadata = g.seen;
    }
}

/* Attempts a parked operation, by what is known now of the actors that it names. Its time was
 * judged when it came; the wall clock may have been set since, and that must not make it bad. */
static void attempt_again(struct node *n, struct parked *p, struct answer *a) {
    struct json_reader r = json_reader_of(p->claim_text);
    claim_read(&n->claim, &r, n->actors, UINT64_MAX);
    assert(n->claim.form != CLAIM_BAD);
    p->op.claim = &n->claim;
    attempt(n, &p->op, a);
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
    p->tried_at = n->progress;
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

enum node_taken node_submit(struct node *n, uint64_t token, const struct op *op,
                            struct answer *answer) {
    attempt(n, op, answer);
    if (answer->status == NODE_NOT_YET && park(n, token, op)) return NODE_PARKED;
    n->stats.answered[op->kind][answer->status]++;
    return NODE_ANSWERED;
}

bool node_take_answer(struct node *n, uint64_t *token, struct answer *answer) {
    free(n->ended);
    n->ended = NULL;
    for (struct parked **link = &n->parked; *link != NULL; link = &(*link)->next) {
        struct parked *p = *link;
        bool late = p->deadline_ms <= n->now_ms;
        if (!late && p->tried_at == n->progress) continue;
        p->tried_at = n->progress;
        attempt_again(n, p, answer);
        if (answer->status == NODE_NOT_YET && !late) continue;
        n->ended = unpark(n, link);
        n->stats.answered[p->op.kind][answer->status]++;
        *token = p->token;
        return true;
    }
    return false;
}

void node_cancel(struct node *n, uint64_t token) {
    for (struct parked **link = &n->parked; *link != NULL; link = &(*link)->next) {
        if ((*link)->token == token) {
            free(unpark(n, link));
            return;
        }
    }
}

/* ---- View and shards ---- */

const struct peers *node_view(const struct node *n) {
    return &n->peers;
}

enum peers_added node_view_add(struct node *n, const struct address *address) {
    enum peers_added added = peers_add(&n->peers, address, n->now_ms);
    if (added == PEERS_ADDED) note(n, "view: in, by request: ", address);
    return added;
}

enum node_removed node_view_remove(struct node *n, const struct address *address) {
    /* Nobody else is ever heard yet, so this node is the last live member of its shard. */
    if (address_compare(address, &n->self) == 0) return NODE_REMOVED_LAST_MEMBER;
    if (!peers_remove(&n->peers, address)) return NODE_REMOVED_UNKNOWN;
    note(n, "view: out, by request: ", address);
    return NODE_REMOVED;
}

const struct map *node_map(const struct node *n) {
    return n->map;
}

uint32_t node_shard(const struct node *n) {
    return n->shard;
}

bool node_owns_slot(const struct node *n, uint32_t slot) {
    return n->map->shard_of_slot[slot] == n->shard;
}

bool node_key_count(const struct node *n, uint32_t shard, uint64_t *keys) {
    if (shard != n->shard) return false;
    *keys = 0;
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot++) {
        if (node_owns_slot(n, slot)) *keys += store_slot_live(n->store, slot);
    }
    return true;
}

enum node_joined node_add_member(struct node *n, uint32_t shard, const struct address *address) {
    uint32_t now = map_shard_of_node(n->map, address);
    if (!peers_has(&n->peers, address)) return NODE_JOIN_NOT_IN_VIEW;
    if (now == shard) return NODE_JOINED;
    if (now != SHARD_NONE) return NODE_JOIN_OTHER_SHARD;
    return NODE_JOIN_UNREACHABLE; /* listed, but never heard: it cannot be given a map */
}

enum node_resharded node_reshard(struct node *n, uint32_t shard_count) {
    (void)n;
    uint32_t live_nodes = 1; /* nobody else is ever heard yet */
    return live_nodes < NODE_SHARD_NODES_MIN * shard_count ? NODE_RESHARD_TOO_FEW_NODES
                                                           : NODE_RESHARDED;
}

/* ---- Reports ---- */

const struct node_stats *node_stats(const struct node *n) {
    return &n->stats;
}

const struct store *node_store(const struct node *n) {
    return n->store;
}

const struct address *node_self(const struct node *n) {
    return &n->self;
}

const struct actors *node_actors(const struct node *n) {
    return n->actors;
}

uint32_t node_learn_actor(struct node *n, uint64_t id, const struct address *node, uint64_t boot,
                          uint64_t group) {
    n->progress++;
    return actors_learn(n->actors, id, node, boot, group);
}

/* ---- Links ---- */

struct link {
    int nothing;
};

void node_end_turn(struct node *n) {
    (void)n;
}
struct link *node_link_accepted(struct node *n) {
    (void)n;
    return NULL;
}
void node_link_connected(struct node *n, struct link *l) {
    (void)n;
    (void)l;
}
size_t node_link_received(struct node *n, struct link *l, struct slice bytes) {
    (void)n;
    (void)l;
    return bytes.len;
}
void node_link_closed(struct node *n, struct link *l, bool refused) {
    (void)n;
    (void)l;
    (void)refused;
}
struct slice node_link_output(const struct link *l) {
    (void)l;
    return (struct slice){0};
}
void node_link_sent(struct node *n, struct link *l, size_t bytes) {
    (void)n;
    (void)l;
    (void)bytes;
}
bool node_take_order(struct node *n, struct link_order *order) {
    (void)n;
    (void)order;
    return false;
}
void node_stop(struct node *n) {
    (void)n;
}
bool node_ready(const struct node *n) {
    (void)n;
    return true;
}
bool node_provisional(const struct node *n) {
    (void)n;
    return false;
}
const struct vclock *node_slot_clock(const struct node *n, uint32_t slot) {
    (void)slot;
    return &n->delivered;
}
uint32_t node_held_back(const struct node *n) {
    (void)n;
    return 0;
}
uint32_t node_under_way(const struct node *n) {
    (void)n;
    return 0;
}
