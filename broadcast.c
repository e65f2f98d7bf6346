/* Causal broadcast inside a group. See replica.h for the idea; deliver.c for when a write
 * may be delivered; catchup.c for what was missed.
 *
 * ON OWN WRITE (broadcast_begin_write)
 *   1. dot = (own actor, one more than the last); encode the frame once.
 *   2. Send it to every fed member; put it under way.
 *   3. Alone? Then deliver everything under way.
 * ON ACK up to n (broadcast_on_ack)
 *   4. Deliver what is under way up to n, in order: the second copy exists.
 * ON WRITE (broadcast_on_write)
 *   5. Within D: drop. Next of its actor, and all it depends on is here: deliver, keep in the ring,
 *      see what was held back for it. Else hold it back, and if its actor's writes have a gap
 *      before it, ask for them; what it depends on is mostly on its way, or else the rows show it.
 *   6. The acknowledgement goes out at the end of the turn, one for all.
 */
#include "broadcast.h"

#include <assert.h>
#include <stdlib.h>

/* ---- Sending ---- */

/* Whether a member in view is waited for to hold a second copy. Not one that knows of the group and
 * does not hold it: it may be long before that can acknowledge; nor one whose disk is full. One
 * that has not heard of the map will, by the time the write comes. */
static bool counts_as_copy(const struct replica *r, const struct peer *p) {
    return peer_in_view(p) && !p->row.is_full && (p->holds || !row_knows_map(&p->row, r->map_id));
}

static void send_to(struct replica *r, struct peer *p, struct slice frame) {
    buffer_put(replica_output(r, p), frame);
    if (counts_as_copy(r, p) && p->owes_since_ms == UINT64_MAX) p->owes_since_ms = r->peers->now_ms;
}

/* From here on the member gets every write as it is made; what is under way it gets now, since
 * nobody else could give it that. And again when it has the slots: what came before, it had no
 * place for. */
static void feed(struct replica *r, struct peer *p) {
    p->is_fed = true;
    p->is_fed_whole = p->has_slots;
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
        else if ((!p->is_fed || (p->has_slots && !p->is_fed_whole)) && peer_output(p) != NULL)
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

/* ---- Own writes ---- */

bool broadcast_is_alone(const struct replica *r) {
    for (uint32_t i = 0; i < r->mate_count; i++) {
        if (counts_as_copy(r, r->mates[i])) return false;
    }
    return true;
}

void broadcast_deliver_own(struct replica *r, uint64_t up_to) {
    bool any = false;
    while (r->under_way != NULL && r->under_way->n <= up_to) {
        struct under_way *u = r->under_way;
        struct incoming in = deliver_understand_kept(r, u->write);
        struct dot missing;
        assert(deliver_judge(r, &in, &missing) == IS_NEXT);
        u->replaced = deliver_next(r, &in, kept_frame(u->write), &u->seen);
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
    if (any) deliver_release(r);
}

void broadcast_begin_write(struct replica *r, uint64_t token, const struct version *v,
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
    if (broadcast_is_alone(r)) broadcast_deliver_own(r, r->assigned);
}

bool broadcast_write_alone(struct replica *r, struct store_place place, const struct version *v) {
    assert(r->mate_count == 0 && v->dot.n == r->assigned + 1);
    if (!store_put(r->store, place, v)) return false;
    if (r->redo.is_on) replica_put_stored(r, redo_output(&r->redo), WIRE_WRITE, v);
    r->assigned = v->dot.n;
    r->hlc = hlc_max(r->hlc, v->hlc);
    parts_deliver(&r->parts, &r->slots, place.slot, v->dot);
    vclock_raise(&r->ring.trimmed, v->dot);
    r->progress++;
    return true;
}

struct under_way *broadcast_take_done(struct replica *r) {
    struct under_way *u = r->done;
    if (u == NULL) return NULL;
    r->done = u->next;
    if (r->done == NULL) r->done_end = &r->done;
    return u;
}

void broadcast_cancel(struct replica *r, uint64_t token) {
    under_way_cancel(r->under_way, token);
    under_way_cancel(r->done, token);
}

/* ---- Frames ---- */

bool broadcast_on_write(struct replica *r, struct peer *from, struct slice frame,
                        struct slice body) {
    struct incoming in;
    if (!deliver_understand(r, body, &in)) return false;
    const struct actor *actor = actors_get(r->actors, in.dot.actor);
    bool relayed = actor->boot != from->boot;
    if (relayed && from == r->pull_from) r->pull_until_ms = r->peers->now_ms + REPLICA_PULL_MS;
    if (in.dot.actor == r->actor) { /* it comes back: so it is there */
        if (in.dot.n > r->assigned) return false;
        broadcast_deliver_own(r, in.dot.n);
    }
    struct dot missing;
    switch (deliver_judge(r, &in, &missing)) {
    case IS_HERE:
        deliver_advance(r, &in);
        deliver_release(r);
        break;
    case IS_ELSEWHERE: /* kept for those whose slots it tells the same */
        if (!deliver_advance(r, &in)) break;
        ring_keep(&r->ring, kept_create(in.dot, in.slot, frame));
        deliver_release(r);
        break;
    case IS_NEXT:
        if (r->is_full) { /* until there is room on it; what does not fit here is pulled */
            deliver_hold_back(r, &in, frame);
            break;
        }
        deliver_next(r, &in, frame, NULL);
        ring_keep(&r->ring, kept_create(in.dot, in.slot, frame));
        deliver_release(r);
        break;
    case HAS_GAP:
        r->pull_wanted = true;
        deliver_hold_back(r, &in, frame);
        break;
    case HAS_DEPS: /* mostly on its way; else the rows show it */
    case IS_UNKNOWN: deliver_hold_back(r, &in, frame); break;
    case IS_NONSENSE: return false;
    }
    return true;
}

bool broadcast_on_ack(struct replica *r, struct peer *from, struct slice body) {
    struct wire_dot dot;
    if (!wire_read_ack(body, &dot)) return false;
    if (r->actor == ACTOR_NONE || dot.actor_id != actors_get(r->actors, r->actor)->id) return true;
    if (dot.n > r->assigned) return false;
    if (dot.n > from->acked) from->acked = dot.n;
    bool owes = from->is_fed && from->acked < r->assigned;
    from->owes_since_ms = owes ? r->peers->now_ms : UINT64_MAX;
    broadcast_deliver_own(r, dot.n);
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

void broadcast_tick(struct replica *r) {
    feed_mates(r);
    note_debts(r);
    if (r->under_way != NULL && broadcast_is_alone(r)) broadcast_deliver_own(r, r->assigned);
    deliver_level(r);
    deliver_release(r);
    trim_stable(r);
}

void broadcast_end_turn(struct replica *r) {
    feed_mates(r);
    for (uint32_t i = 0; i < r->peers->count; i++)
        acknowledge(r, r->peers->list[i]);
}
