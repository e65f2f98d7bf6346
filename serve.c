/* Operations at their place in the store. See serve.h.
 *
 * A PUT or DELETE gets a stamp above everything that its client has seen, that this node has seen
 * and that it replaces: so stamps never contradict causality. It takes the next number of this
 * node's actor only when nothing can keep it from being written any more, for a number that nobody
 * uses would be waited for by everybody.
 */
#include "serve.h"

#include <assert.h>

#include "pairs.h"

/* ---- Life ---- */

void serve_init(struct serve *s, struct cluster *cluster, uint64_t memory_bytes_max) {
    *s = (struct serve){.cluster = cluster, .memory_bytes_max = memory_bytes_max};
}

void serve_free(struct serve *s) {
    buffer_free(&s->missing);
    buffer_free(&s->trouble);
    buffer_free(&s->value);
    buffer_free(&s->deps);
}

/* ---- May it be done here? ---- */

bool serve_owns(const struct serve *s, uint32_t slot) {
    return s->cluster->maps.map->shard_of_slot[slot] == s->cluster->shard;
}

bool serve_is_ready(const struct serve *s, uint32_t slot) {
    const struct cluster *c = s->cluster;
    return serve_owns(s, slot) && c->maps.is_decided && replica_serves(&c->replica);
}

bool serve_may_read(const struct serve *s, uint32_t slot) {
    return serve_is_ready(s, slot) && handover_may_read(&s->cluster->replica, slot);
}

/* A DELETE reads, too: it says whether there was anything. A node that is about to change its group
 * begins no writes. */
bool serve_may_begin(const struct serve *s, enum op_kind kind, uint32_t slot) {
    const struct replica *r = &s->cluster->replica;
    bool writes = op_is_write(kind), reads = kind != OP_PUT;
    if (writes && cluster_is_leaving(s->cluster)) return false;
    if (kind == OP_COUNT) return r->settled || handover_is_complete(r);
    return !reads || handover_may_read(r, slot);
}

/* Entries of groups that have not got the slot are never waited for. */
static bool covers_dot(const struct serve *s, struct dot dot, uint32_t slot) {
    struct replica *r = &s->cluster->replica;
    const struct vclock *here = parts_clock(&r->parts, slot); /* a waiver moves it */
    const struct slots *of = replica_slots_of(r, dot.actor);
    if (vclock_has(here, dot) || (of != NULL && !slots_has(of, slot))) return true;
    return catchup_waive(r, dot, slot);
}

static void note_lack(struct serve *s, struct lack lack) {
    if (s->lack.kind == LACK_NOTHING) s->lack = lack;
}

bool serve_covers(struct serve *s, const struct claim *c, uint32_t slot) {
    const struct actors *as = s->cluster->actors;
    s->missing.len = 0;
    s->lack.kind = LACK_NOTHING;
    buffer_put(&s->missing, buffer_slice(&c->unknown));
    if (c->unknown.len > 0)
        note_lack(s, (struct lack){.kind = LACK_ACTOR, .actors_known = actors_count(as)});
    for (uint32_t i = 0; i < c->metadata.maps_len; i++) {
        struct map_ref map = c->metadata.maps[i];
        if (cluster_knows_map(s->cluster, map)) continue;
        metadata_put_missing_map(&s->missing, map);
        note_lack(s, (struct lack){.kind = LACK_MAP, .map = map});
    }
    for (uint32_t i = 0; i < c->metadata.clock.len; i++) {
        struct dot dot = c->metadata.clock.dots[i];
        if (covers_dot(s, dot, slot)) continue;
        metadata_put_missing(&s->missing, actors_get(as, dot.actor)->label, dot.n);
        note_lack(s, (struct lack){.kind = LACK_DOT, .dot = dot});
    }
    return s->missing.len == 0;
}

/* Where the slot is not served here it may be sent on. */
bool serve_still_lacks(const struct serve *s, const struct lack *l, uint32_t slot) {
    if (!serve_is_ready(s, slot)) return false;
    switch (l->kind) {
    case LACK_NOTHING: break;
    case LACK_ACTOR: return actors_count(s->cluster->actors) == l->actors_known;
    case LACK_MAP: return !cluster_knows_map(s->cluster, l->map);
    case LACK_DOT: return !covers_dot(s, l->dot, slot);
    }
    return false;
}

/* ---- Doing it ---- */

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
static uint64_t next_hlc(const struct serve *s, const struct serving *g) {
    uint64_t seen = hlc_max(s->cluster->replica.hlc, hlc_of_wall(s->wall_ms));
    seen = hlc_max(seen, g->seen->time);
    return (g->known ? hlc_max(seen, g->old.hlc) : seen) + 1;
}

static bool exceeds_memory(struct serve *s, const struct version *v, const struct version *old) {
    if (s->memory_bytes_max == 0 || v->is_tombstone) return false;
    int64_t growth = store_growth(v, old);
    if (growth <= 0) return false;
    bool exceeds = store_bytes(s->cluster->store) + (uint64_t)growth > s->memory_bytes_max;
    if (exceeds && !s->memory_noted) {
        notes_put(&s->cluster->notes, "store: the memory limit is reached", NULL);
    }
    s->memory_noted = exceeds;
    return exceeds;
}

/* The only member of its group delivers as it stamps. What it replaces goes with that: so the
 * client is told of it before. */
static enum node_status write_alone(struct serve *s, const struct serving *g,
                                    const struct version *v, enum node_status done) {
    if (g->known) replica_observe(g->seen, &g->old);
    if (!broadcast_write_alone(&s->cluster->replica, g->place, v)) return NODE_MEMORY_LIMIT;
    replica_observe(g->seen, v);
    return done;
}

/* A value, or a tombstone; `done` is the answer if it is delivered at once. */
static enum node_status write_version(struct serve *s, const struct serving *g, bool is_tombstone,
                                      enum node_status done) {
    struct replica *r = &s->cluster->replica;
    s->deps.len = 0;
    metadata_pack(&s->deps, g->seen, replica_actor(r));
    struct version v = {
        .dot = {replica_actor(r), r->assigned + 1},
        .hlc = next_hlc(s, g),
        .is_tombstone = is_tombstone,
        .key = g->op->key,
        .value = is_tombstone ? (struct slice){0} : g->op->value,
        .deps = buffer_slice(&s->deps),
    };
    if (exceeds_memory(s, &v, g->known ? &g->old : NULL)) return NODE_MEMORY_LIMIT;
    bool lone = r->mate_count == 0 && r->under_way == NULL; /* that of a former member goes first */
    if (lone) return write_alone(s, g, &v, done);
    broadcast_begin_write(r, g->token, &v, g->seen);
    return NODE_BEGUN;
}

static enum node_status serve_put(struct serve *s, const struct serving *g) {
    bool replaces = g->known && !g->old.is_tombstone;
    return write_version(s, g, false, replaces ? NODE_REPLACED : NODE_CREATED);
}

static enum node_status serve_delete(struct serve *s, const struct serving *g) {
    if (!g->known) return NODE_NO_KEY;
    if (g->old.is_tombstone) {
        replica_observe(g->seen, &g->old);
        return NODE_NO_KEY;
    }
    return write_version(s, g, true, NODE_DELETED);
}

static enum node_status serve_count(struct serve *s, struct answer *a) {
    uint64_t keys = 0;
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot++) {
        if (serve_owns(s, slot)) keys += store_slot_live(s->cluster->store, slot);
    }
    s->value.len = 0;
    buffer_put_u64(&s->value, keys);
    a->value = buffer_slice(&s->value);
    return NODE_FOUND;
}

static enum node_status serve_list(struct serve *s, const struct serving *g, struct answer *a) {
    struct pairs_query q;
    struct slots owned = {0};
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot++) {
        if (serve_may_read(s, slot)) slots_add(&owned, slot);
    }
    if (!pairs_read_query(g->op->value, &q)) return NODE_CANNOT_FORWARD; /* of another version */
    q.slot = g->place.slot;
    q.after = g->op->key;
    s->value.len = 0;
    pairs_put_chunk(&s->value, s->cluster->store, &owned, &q);
    a->value = buffer_slice(&s->value);
    return NODE_FOUND;
}

static enum node_status carry_out(struct serve *s, const struct serving *g, struct answer *a) {
    switch (g->op->kind) {
    case OP_GET: return serve_get(g, a);
    case OP_PUT: return serve_put(s, g);
    case OP_DELETE: return serve_delete(s, g);
    case OP_COUNT: return serve_count(s, a);
    case OP_LIST: return serve_list(s, g, a);
    case OP_KINDS: break;
    }
    assert(false && "an operation of no kind");
    return NODE_NO_KEY;
}

enum node_status serve_operation(struct serve *s, const struct op *op, uint64_t token,
                                 struct store_place place, struct answer *a) {
    struct serving g = {.op = op, .token = token, .seen = &op->claim->metadata, .place = place};
    if (op_has_key(op->kind)) {
        g.known = store_find(s->cluster->store, place, op->key, &g.old);
    }
    if (op_is_write(op->kind) && s->trouble.len > 0) {
        a->missing = buffer_slice(&s->trouble);
        return NODE_DISK_TROUBLE;
    }
    return carry_out(s, &g, a);
}
