/* Causal broadcast inside a group. See replica.h for the idea; catchup.c for what was missed.
 *
 * ON OWN WRITE (replica_begin_write)
 *   1. dot = (own actor, one more than the last); encode the frame once.
 *   2. Send it to every fed member; put it under way.
 *   3. Alone? Then deliver everything under way.
 * ON ACK up to n (replica_on_ack)
 *   4. Deliver what is under way up to n, in order: the second copy exists.
 * ON WRITE (replica_on_write)
 *   5. Within D: drop. Next of its actor, and all it depends on is here: deliver, keep in the ring,
 *      see what was held back for it. Else hold it back, and if its actor's writes have a gap
 *      before it, ask for them; what it depends on is mostly on its way, or else the rows show it.
 *   6. The acknowledgement goes out at the end of the turn, one for all.
 *
 * Deliver: D advances always, the stored version only to a greater stamp. That D advances for a
 * loser, too, is what lets later writes of the same actor in.
 */
#include "replica.h"

#include <assert.h>
#include <stdlib.h>

/* A WRITE in the terms of this node. */
struct incoming {
    struct wire_write w;
    struct dot dot;
    uint32_t slot;
};

/* ---- Life ---- */

void replica_init(struct replica *r, const struct replica_config *config, uint64_t now_ms) {
    *r = (struct replica){
        .maps = config->maps,
        .peers = config->peers,
        .actors = config->actors,
        .store = config->store,
        .notes = config->notes,
        .random64 = config->random64,
        .boot = config->boot,
        .joined_ms = now_ms,
        .actor = ACTOR_NONE,
    };
    ring_init(&r->ring, config->ring_writes_max);
    r->under_way_end = &r->under_way;
    r->done_end = &r->done;
    parts_init(&r->parts);
}

void replica_free(struct replica *r) {
    under_way_free_list(r->under_way);
    under_way_free_list(r->done);
    ring_free(&r->ring);
    held_free(&r->held);
    trail_free(&r->trail);
    free(r->mates);
    free(r->others);
    parts_free(&r->parts);
    buffer_free(&r->scratch);
    metadata_free(&r->unpacked);
}

/* What was said and heard before concerned another group, or another actor of this node. */
static void forget_dealings(struct peer *p) {
    p->is_fed = false;
    p->acked = 0;
    row_clear(&p->target);
}

/* The other nodes of the map, and the members of the shard among them. */
static void take_others(struct replica *r, const struct map *map, uint32_t shard) {
    for (uint32_t i = 0; i < r->mate_count; i++)
        r->mates[i]->owes_since_ms = UINT64_MAX; /* who leaves owes nothing any more */
    r->mate_count = r->other_count = 0;
    r->mates = bytes_realloc(r->mates, map->node_count * sizeof(struct peer *) + 1);
    r->others = bytes_realloc(r->others, map->node_count * sizeof(struct peer *) + 1);
    for (uint32_t i = 0; i < map->node_count; i++) {
        struct peer *p = peers_find(r->peers, &map->nodes[i]);
        if (p->state == PEER_SELF) continue;
        r->others[r->other_count++] = p;
        if (shard != SHARD_NONE && map->shard_of_node[i] == shard) r->mates[r->mate_count++] = p;
    }
}

static void change_group(struct replica *r, uint64_t group) {
    static const struct slots none;
    r->group = group;
    r->slots = group == 0 ? none : *maps_slots(r->maps, group);
    r->actor = ACTOR_NONE;
    r->assigned = 0;
    for (uint32_t s = slots_next(&r->slots, 0); s < SHARD_SLOTS; s = slots_next(&r->slots, s + 1))
        parts_open_slot(&r->parts, s);
    for (uint32_t i = 0; i < r->mate_count; i++)
        forget_dealings(r->mates[i]);
}

void replica_take_place(struct replica *r) {
    const struct map *map = r->maps->map;
    uint32_t shard = map_shard_of_node(map, &r->peers->self);
    uint64_t group = shard == SHARD_NONE ? 0 : map->group[shard];
    bool first = r->map_id == 0;
    r->map_id = map->id;
    r->base_moved = true;
    r->settled = false;
    take_others(r, map, shard);
    if (group != r->group) {
        change_group(r, group);
        if (!first) r->joined_ms = peers_awake_ms(r->peers);
    }
    if (first && group != 0 && r->mate_count == 0) { /* nobody else can ever have had any of it */
        r->synced = true;
        parts_found(&r->parts, &r->slots, group);
    }
    for (uint32_t i = 0; i < r->other_count; i++)
        replica_note_row(r, r->others[i]);
    r->progress++;
}

void replica_note_row(struct replica *r, struct peer *p) {
    p->holds = r->group != 0 && row_holds(&p->row, r->group, &r->slots);
}

const struct slots *replica_slots_of(const struct replica *r, uint32_t actor) {
    uint64_t group = actors_get(r->actors, actor)->group;
    return group == r->group && group != 0 ? &r->slots : maps_slots(r->maps, group);
}

const struct vclock *replica_clock(const struct replica *r, uint32_t slot) {
    return parts_clock(&r->parts, slot);
}

/* ---- Sending ---- */

struct buffer *replica_output(struct replica *r, struct peer *p) {
    struct buffer *out = peer_output(p);
    if (out == NULL) return NULL;
    for (uint32_t *told = &p->to->actors_told; *told < actors_count(r->actors); ++*told) {
        const struct actor *a = actors_get(r->actors, *told);
        struct wire_actor m = {a->id, a->boot, a->group, a->node};
        wire_put_actor(out, &m);
    }
    return out;
}

/* Whether a member in view is waited for to hold a second copy. Not one that knows of the group and
 * does not hold it: it may be long before that can acknowledge. One that has not heard of the map
 * will, by the time the write comes. */
static bool counts_as_copy(const struct replica *r, const struct peer *p) {
    return peer_in_view(p) && (p->holds || !row_knows_map(&p->row, r->map_id));
}

static void send_to(struct replica *r, struct peer *p, struct slice frame) {
    buffer_put(replica_output(r, p), frame);
    if (counts_as_copy(r, p) && p->owes_since_ms == UINT64_MAX) p->owes_since_ms = r->peers->now_ms;
}

/* From here on the member gets every write as it is made; what is under way it gets now, since
 * nobody else could give it that. */
static void feed(struct replica *r, struct peer *p) {
    p->is_fed = true;
    p->ack_told = 0;
    if (p == r->pull_from) r->pull_until_ms = 0; /* the answer went with the link before */
    for (struct under_way *u = r->under_way; u != NULL; u = u->next)
        send_to(r, p, kept_frame(u->write));
}

static void feed_mates(struct replica *r) {
    for (uint32_t i = 0; i < r->mate_count; i++) {
        struct peer *p = r->mates[i];
        if (!peer_in_view(p))
            p->is_fed = false;
        else if (!p->is_fed && peer_output(p) != NULL)
            feed(r, p);
    }
}

static void broadcast(struct replica *r, struct slice frame) {
    for (uint32_t i = 0; i < r->mate_count; i++) {
        if (r->mates[i]->is_fed) send_to(r, r->mates[i], frame);
    }
    r->stats.sent++;
}

/* ---- What is kept for others ---- */

static bool member_has(const struct replica *r, const struct peer *p, struct dot dot) {
    const struct slots *of = replica_slots_of(r, dot.actor);
    if (!p->row.is_heard || p->row.part_count == 0 || of == NULL) return false;
    for (uint32_t i = 0; i < p->row.part_count; i++) {
        const struct row_part *part = &p->row.parts[i];
        if (slots_meet(&part->slots, of) && !vclock_has(&part->clock, dot)) return false;
    }
    return true;
}

static bool is_stable(const struct replica *r, struct dot dot) {
    for (uint32_t i = 0; i < r->mate_count; i++) {
        if (!member_has(r, r->mates[i], dot)) return false;
    }
    return true;
}

static void trim_stable(struct replica *r) {
    while (r->ring.first != NULL && is_stable(r, r->ring.first->dot))
        ring_trim_first(&r->ring);
}

/* Goes along the trail once. True: something has moved. */
static bool follow_trail(struct replica *r) {
    bool moved = false;
    for (uint64_t i = trail_begin(&r->trail); i < r->trail.end; i++) {
        const struct trail_step *step = trail_at(&r->trail, i);
        const struct vclock *there = parts_clock(&r->parts, step->slot);
        const struct slots *of = replica_slots_of(r, step->dot.actor);
        if (there == NULL || of == NULL || !vclock_has(there, step->dot)) continue;
        moved = parts_deliver(&r->parts, of, step->slot, step->dot) || moved;
    }
    return moved;
}

/* Slots that were taken over at different moments: each learns of the writes to other slots that
 * have been delivered since, or else it would lag behind as long as anybody writes. */
static void level_parts(struct replica *r) {
    while (r->parts.count > 1 && follow_trail(r))
        parts_unite(&r->parts);
    parts_unite(&r->parts);
}

/* ---- Delivering ---- */

/* False: nonsense, or an actor that was not introduced. */
static bool understand(const struct replica *r, struct slice body, struct incoming *in) {
    if (!wire_read_write(body, &in->w)) return false;
    in->dot = (struct dot){actors_find_id(r->actors, in->w.dot.actor_id), in->w.dot.n};
    in->slot = shard_slot(in->w.key);
    return in->dot.actor != ACTOR_NONE && in->dot.n > 0;
}

static struct incoming understand_kept(const struct replica *r, const struct kept *k) {
    struct incoming in;
    bool good =
        understand(r, (struct slice){k->frame + WIRE_HEAD_BYTES, k->len - WIRE_HEAD_BYTES}, &in);
    assert(good);
    (void)good;
    return in;
}

enum verdict { IS_HERE, IS_NEXT, HAS_GAP, HAS_DEPS, IS_UNKNOWN, IS_ELSEWHERE };

/* Only what is of the write's own group. Entries of actors that were not introduced cannot be of
 * it: the sender introduces all that it knows. */
static bool depends_on_missing(const struct replica *r, const struct incoming *in,
                               const struct vclock *here, struct dot *missing) {
    uint64_t group = actors_get(r->actors, in->dot.actor)->group;
    for (uint32_t i = 0; i < in->w.deps.count; i++) {
        struct wire_dot dep = wire_dot_at(in->w.deps, i);
        uint32_t actor = actors_find_id(r->actors, dep.actor_id);
        if (actor == ACTOR_NONE || actors_get(r->actors, actor)->group != group) continue;
        *missing = (struct dot){actor, dep.n};
        if (!vclock_has(here, *missing)) return true;
    }
    return false;
}

/* HAS_GAP and HAS_DEPS: *missing is a dot that it waits for. */
static enum verdict judge(const struct replica *r, const struct incoming *in, struct dot *missing) {
    const struct vclock *here = parts_clock(&r->parts, in->slot);
    const struct slots *of = replica_slots_of(r, in->dot.actor);
    if (of == NULL) return IS_UNKNOWN; /* until the map comes */
    if (here == NULL || !slots_has(of, in->slot)) return IS_ELSEWHERE;
    uint64_t n = vclock_get(here, in->dot.actor);
    if (n >= in->dot.n) return IS_HERE;
    *missing = (struct dot){in->dot.actor, in->dot.n - 1};
    if (n + 1 < in->dot.n) return HAS_GAP;
    return depends_on_missing(r, in, here, missing) ? HAS_DEPS : IS_NEXT;
}

/* What the version keeps of its dependencies, packed; see metadata_pack(). */
static struct slice pack_deps(struct replica *r, const struct wire_write *w, uint32_t author) {
    struct metadata *m = &r->unpacked;
    metadata_clear(m);
    for (uint32_t i = 0; i < w->maps.count; i++) {
        struct wire_map_ref ref = wire_map_ref_at(w->maps, i);
        metadata_add_map(m, (struct map_ref){ref.epoch, ref.id});
    }
    for (uint32_t i = 0; i < w->deps.count; i++) {
        struct wire_dot dep = wire_dot_at(w->deps, i);
        uint32_t actor = actors_find_id(r->actors, dep.actor_id);
        if (actor != ACTOR_NONE) vclock_raise(&m->clock, (struct dot){actor, dep.n});
    }
    r->scratch.len = 0;
    metadata_pack(&r->scratch, m, author);
    return buffer_slice(&r->scratch);
}

void replica_observe(struct metadata *seen, const struct version *v) {
    metadata_join_packed(seen, v->deps);
    vclock_raise(&seen->clock, v->dot);
    seen->time = hlc_max(seen->time, v->hlc);
}

bool replica_merge(struct replica *r, const struct wire_write *w, uint32_t actor,
                   struct metadata *seen) {
    struct store_place place = store_locate(r->store, w->key);
    struct version old;
    bool known = store_find(r->store, place, w->key, &old);
    bool replaced = known && !old.is_tombstone;
    r->hlc = hlc_max(r->hlc, w->hlc);
    if (known && seen != NULL) replica_observe(seen, &old);
    if (known) {
        struct stamp theirs = {w->hlc, w->dot.actor_id};
        struct stamp mine = {old.hlc, actors_get(r->actors, old.dot.actor)->id};
        r->stats.superseded += stamp_less(theirs, mine);
        if (!stamp_less(mine, theirs)) return replaced;
    }
    struct version v = {
        .dot = {actor, w->dot.n},
        .hlc = w->hlc,
        .is_tombstone = w->is_tombstone,
        .key = w->key,
        .value = w->value,
        .deps = pack_deps(r, w, actor),
    };
    if (!store_put(r->store, place, &v)) bytes_exhausted(v.value.len);
    return replaced;
}

/* True: there was a value before. */
static bool deliver(struct replica *r, const struct incoming *in, struct metadata *seen) {
    bool replaced = replica_merge(r, &in->w, in->dot.actor, seen);
    parts_deliver(&r->parts, replica_slots_of(r, in->dot.actor), in->slot, in->dot);
    trail_leave(&r->trail, in->dot, in->slot);
    r->progress++;
    r->stats.delivered++;
    return replaced;
}

/* ---- Holding back ---- */

bool replica_held_lacks(const struct replica *r, uint32_t i, struct dot *missing, uint32_t *slot) {
    struct incoming in = understand_kept(r, r->held.list[i]);
    *slot = in.slot;
    enum verdict verdict = judge(r, &in, missing);
    return verdict == HAS_GAP || verdict == HAS_DEPS;
}

/* What does not fit is dropped: it will be pulled. */
static void hold_back(struct replica *r, const struct incoming *in, struct slice frame) {
    r->stats.held_total += held_keep(&r->held, in->dot, in->slot, frame);
}

/* The write is here already; other slots may have waited for it. */
static void advance(struct replica *r, const struct incoming *in) {
    parts_deliver(&r->parts, replica_slots_of(r, in->dot.actor), in->slot, in->dot);
}

/* Only the first of each actor can be next, so only those are read: there may be thousands behind
 * them, and this runs for each delivery. True: something was delivered. */
static bool release_round(struct replica *r) {
    bool delivered = false;
    for (uint32_t i = 0; i < r->held.count;) {
        struct dot missing;
        struct incoming in = understand_kept(r, r->held.list[i]);
        enum verdict verdict = judge(r, &in, &missing);
        if (verdict == IS_NEXT) {
            deliver(r, &in, NULL);
            ring_keep(&r->ring, held_take(&r->held, i));
            delivered = true;
        } else if (verdict == IS_HERE || verdict == IS_ELSEWHERE) {
            if (verdict == IS_HERE) advance(r, &in);
            free(held_take(&r->held, i));
        } else {
            i = held_place(&r->held, (struct dot){in.dot.actor + 1, 0});
        }
    }
    return delivered;
}

void replica_release_held(struct replica *r) {
    while (r->held.count > 0 && release_round(r)) {
    }
}

/* ---- Own writes ---- */

bool replica_is_alone(const struct replica *r) {
    for (uint32_t i = 0; i < r->mate_count; i++) {
        if (counts_as_copy(r, r->mates[i])) return false;
    }
    return true;
}

uint32_t replica_actor(struct replica *r) {
    if (r->actor == ACTOR_NONE) {
        r->actor = actors_learn(r->actors, r->random64(), &r->peers->self, r->boot, r->group);
        r->peers->rows_due = true; /* so that everybody knows it before its metadata travels */
    }
    return r->actor;
}

void replica_deliver_own(struct replica *r, uint64_t up_to) {
    bool any = false;
    while (r->under_way != NULL && r->under_way->n <= up_to) {
        struct under_way *u = r->under_way;
        struct incoming in = understand_kept(r, u->write);
        struct dot missing;
        assert(judge(r, &in, &missing) == IS_NEXT);
        u->replaced = deliver(r, &in, &u->seen);
        u->seen.time = hlc_max(u->seen.time, in.w.hlc);
        vclock_raise(&u->seen.clock, in.dot);
        ring_keep(&r->ring, u->write);
        u->write = NULL;
        r->under_way = u->next;
        if (r->under_way == NULL) r->under_way_end = &r->under_way;
        r->under_way_count--;
        u->next = NULL;
        *r->done_end = u;
        r->done_end = &u->next;
        any = true;
    }
    if (any) replica_release_held(r);
}

void replica_put_write(const struct replica *r, struct buffer *out, enum wire_type type,
                       const struct version *v, const struct metadata *deps) {
    struct wire_write w = {
        .dot = {actors_get(r->actors, v->dot.actor)->id, v->dot.n},
        .hlc = v->hlc,
        .is_tombstone = v->is_tombstone,
        .maps = {.count = deps->maps_len},
        .deps = {.count = deps->clock.len},
    };
    size_t begun = wire_begin_write(out, type, &w);
    for (uint32_t i = 0; i < deps->maps_len; i++)
        wire_put_map_ref(out, (struct wire_map_ref){deps->maps[i].epoch, deps->maps[i].id});
    row_put_dots(out, &deps->clock, r->actors);
    wire_end_write(out, begun, v->key, v->value);
}

void replica_begin_write(struct replica *r, uint64_t token, const struct version *v,
                         const struct metadata *seen) {
    assert(v->dot.actor == r->actor && v->dot.n == r->assigned + 1);
    r->assigned = v->dot.n;
    r->scratch.len = 0;
    replica_put_write(r, &r->scratch, WIRE_WRITE, v, seen);
    struct kept *write = kept_create(v->dot, shard_slot(v->key), buffer_slice(&r->scratch));
    struct under_way *u = under_way_create(write, token, v->is_tombstone, seen);
    *r->under_way_end = u;
    r->under_way_end = &u->next;
    r->under_way_count++;
    r->hlc = hlc_max(r->hlc, v->hlc);
    broadcast(r, kept_frame(write));
    if (replica_is_alone(r)) replica_deliver_own(r, r->assigned);
}

bool replica_write_alone(struct replica *r, struct store_place place, const struct version *v) {
    assert(r->mate_count == 0 && v->dot.n == r->assigned + 1);
    if (!store_put(r->store, place, v)) return false;
    r->assigned = v->dot.n;
    r->hlc = hlc_max(r->hlc, v->hlc);
    parts_deliver(&r->parts, &r->slots, place.slot, v->dot);
    vclock_raise(&r->ring.trimmed, v->dot);
    r->progress++;
    return true;
}

struct under_way *replica_take_done(struct replica *r) {
    struct under_way *u = r->done;
    if (u == NULL) return NULL;
    r->done = u->next;
    if (r->done == NULL) r->done_end = &r->done;
    return u;
}

void replica_cancel(struct replica *r, uint64_t token) {
    under_way_cancel(r->under_way, token);
    under_way_cancel(r->done, token);
}

/* ---- Frames ---- */

/* A peer has one actor in each of its groups, one after the other, and introduces them in that
 * order. */
void replica_note_actor(struct peer *p, uint32_t actor) {
    p->actor = actor;
    p->ack_told = 0;
}

bool replica_on_write(struct replica *r, struct peer *from, struct slice frame, struct slice body) {
    struct incoming in;
    if (!understand(r, body, &in)) return false;
    const struct actor *actor = actors_get(r->actors, in.dot.actor);
    bool relayed = actor->boot != from->boot;
    if (relayed && from == r->pull_from) r->pull_until_ms = r->peers->now_ms + REPLICA_PULL_MS;
    if (in.dot.actor == r->actor) { /* it comes back: so it is there */
        if (in.dot.n > r->assigned) return false;
        replica_deliver_own(r, in.dot.n);
    }
    struct dot missing;
    switch (judge(r, &in, &missing)) {
    case IS_HERE:
        advance(r, &in);
        replica_release_held(r);
        break;
    case IS_NEXT:
        deliver(r, &in, NULL);
        ring_keep(&r->ring, kept_create(in.dot, in.slot, frame));
        replica_release_held(r);
        break;
    case HAS_GAP:
        r->pull_wanted = true;
        hold_back(r, &in, frame);
        break;
    case HAS_DEPS: /* mostly on its way; else the rows show it */
    case IS_UNKNOWN: hold_back(r, &in, frame); break;
    case IS_ELSEWHERE: break;
    }
    return true;
}

bool replica_on_ack(struct replica *r, struct peer *from, struct slice body) {
    struct wire_dot dot;
    if (!wire_read_ack(body, &dot)) return false;
    if (r->actor == ACTOR_NONE || dot.actor_id != actors_get(r->actors, r->actor)->id) return true;
    if (dot.n > r->assigned) return false;
    if (dot.n > from->acked) from->acked = dot.n;
    from->owes_since_ms = from->acked < r->assigned ? r->peers->now_ms : UINT64_MAX;
    replica_deliver_own(r, dot.n);
    return true;
}

static void acknowledge(struct replica *r, struct peer *p) {
    if (p->actor == ACTOR_NONE || !peer_in_view(p) || peer_output(p) == NULL) return;
    const struct slots *of = replica_slots_of(r, p->actor);
    uint64_t n = of == NULL ? 0 : parts_least(&r->parts, of, p->actor);
    if (n <= p->ack_told) return;
    p->ack_told = n;
    wire_put_ack(replica_output(r, p), (struct wire_dot){actors_get(r->actors, p->actor)->id, n});
}

/* ---- Turns ---- */

/* A member that was not judged by its debts before, because it was catching up, now is. */
static void note_debts(struct replica *r) {
    for (uint32_t i = 0; i < r->mate_count; i++) {
        struct peer *p = r->mates[i];
        bool owes =
            p->is_fed && counts_as_copy(r, p) && r->under_way != NULL && p->acked < r->under_way->n;
        if (owes && p->owes_since_ms == UINT64_MAX) p->owes_since_ms = r->peers->now_ms;
    }
}

void replica_tick(struct replica *r) {
    feed_mates(r);
    note_debts(r);
    if (r->under_way != NULL && replica_is_alone(r)) replica_deliver_own(r, r->assigned);
    level_parts(r);
    replica_release_held(r);
    trim_stable(r);
}

void replica_end_turn(struct replica *r) {
    feed_mates(r);
    for (uint32_t i = 0; i < r->peers->count; i++)
        acknowledge(r, r->peers->list[i]);
}
