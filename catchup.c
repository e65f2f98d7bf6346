/* Rows, pulls, images, readiness and proven losses. See catchup.h.
 *
 * WHEN A REPLICA SERVES (judge_synced). One that starts has no data, and does not know what its
 * clients may know. It is synced, and serves,
 *   - when it has all that each synced member in view reported in its first row after they met;
 *   - when every member is in view and none is synced (a first start), and all are level;
 *   - the same with those that were reached within CATCHUP_LEVEL_MS: that is `provisional`.
 *
 * WHEN A WRITE IS LOST (catchup_waive). Its process is gone, and so is every copy: dot (a, n) is
 * lost in a slot iff the boot of a is over, and every member is in view, synced, and says in its
 * last row that it has not delivered (a, n) in that slot, that it does not hold it back, and that
 * it has heard the present boot of every member. The last rules out copies that are still on their
 * way: frames of an older boot are refused once a newer one was heard, and whoever of the present
 * boots could have sent a copy has it. Never a matter of time.
 */
#include "catchup.h"

#include <assert.h>

/* ---- Rows ---- */

static void put_held(const struct replica *r, struct wire_row_writer *w) {
    static const uint8_t no_slots[WIRE_SLOTS_BYTES];
    uint32_t firsts = 0;
    for (uint32_t i = 0; i < r->held.count; i++)
        firsts += held_is_first(&r->held, i);
    wire_begin_part(w->out, no_slots, 0, firsts);
    for (uint32_t i = 0; i < r->held.count; i++) {
        if (!held_is_first(&r->held, i)) continue;
        struct dot dot = r->held.list[i]->dot;
        wire_put_dot(w->out, (struct wire_dot){actors_get(r->actors, dot.actor)->id, dot.n});
    }
    wire_count_part(w);
}

/* So many parts go into one frame. Mostly there is one; a thousand of a thousand actors each would
 * be more than a frame can take. What is left out counts as unknown. */
static uint16_t parts_that_fit(const struct replica *r) {
    size_t bytes = 0;
    uint16_t count = 0;
    while (count < r->parts.count && bytes <= CATCHUP_PARTS_BYTES_MAX) {
        const struct vclock *clock = &r->parts.list[count++].clock;
        bytes += sizeof(struct slots) + clock->len * sizeof(struct wire_dot);
    }
    return count;
}

void catchup_put_parts(struct replica *r, struct wire_row_writer *w) {
    if (r->group == 0) return;
    uint16_t count = parts_that_fit(r);
    for (uint16_t i = 0; i < count; i++) {
        row_put_part(w->out, &r->parts.list[i], r->group, r->synced, r->actors);
        wire_count_part(w);
    }
    if (r->held.count > 0) put_held(r, w);
}

static bool lacks(const struct replica *r, const struct row *row) {
    return !row_is_covered(row, &r->parts, &r->slots);
}

/* ---- Asking ---- */

static void pull(struct replica *r, struct peer *p) {
    struct buffer *out = replica_output(r, p);
    bool busy =
        r->pull_from != NULL && r->pull_until_ms > r->peers->now_ms && peer_in_view(r->pull_from);
    if (busy || out == NULL) return;
    r->pull_from = p;
    r->pull_until_ms = r->peers->now_ms + REPLICA_PULL_MS;
    r->pull_wanted = false;
    r->stats.pulls++;
    uint16_t count = parts_that_fit(r);
    size_t begun = wire_begin_pull(out, r->map_id, count);
    for (uint16_t i = 0; i < count; i++)
        row_put_part(out, &r->parts.list[i], r->group, r->synced, r->actors);
    wire_end_pull(out, begun);
}

/* From a member that shows what is missing here; what nobody shows yet, from each in turn. */
static void pull_what_is_wanted(struct replica *r) {
    struct peer *any = NULL;
    for (uint32_t i = 0; i < r->mate_count; i++) {
        struct peer *p = r->mates[(r->pull_turn + i) % r->mate_count];
        if (!peer_in_view(p) || peer_output(p) == NULL) continue;
        if (any == NULL) any = p;
        if (!lacks(r, &p->row)) continue;
        pull(r, p);
        return;
    }
    r->pull_turn++;
    if (any != NULL) pull(r, any);
}

/* ---- Answering ---- */

/* Sends what the ring has beyond each of the asked parts that it reaches, and notes the slots of
 * the others, so far as there is anything to tell about them. */
static bool sort_asked_parts(struct replica *r, struct link *l, struct wire_pull *m,
                             struct vclock *behind, bool *by_ring) {
    for (uint32_t i = 0; i < m->part_count; i++) {
        struct wire_part part = wire_next_part(&m->rest);
        struct vclock theirs = {0};
        struct slots slots;
        row_read_slots(&slots, part.slots);
        bool known = row_read_dots(&theirs, part.dots, r->actors);
        if (known && vclock_covers(&theirs, &r->ring.trimmed)) {
            if (*by_ring)
                vclock_meet(behind, &theirs);
            else
                vclock_join(behind, &theirs);
            *by_ring = true;
        } else if (known) {
            for (uint32_t s = slots_next(&slots, 0); s < SHARD_SLOTS;
                 s = slots_next(&slots, s + 1)) {
                const struct vclock *mine = parts_clock(&r->parts, s);
                if (mine != NULL && !vclock_covers(&theirs, mine)) slots_add(&l->images, s);
            }
        }
        vclock_free(&theirs);
        if (!known) return false;
    }
    return true;
}

bool catchup_on_pull(struct replica *r, struct peer *from, struct slice body) {
    struct wire_pull m;
    if (!wire_read_pull(body, &m)) return false;
    struct buffer *out = replica_output(r, from);
    if (out == NULL) return true; /* it will ask again */
    struct vclock behind = {0};
    bool by_ring = false;
    from->to->images = (struct slots){0};
    from->to->asked_map_id = m.map_id;
    bool good = sort_asked_parts(r, from->to, &m, &behind, &by_ring);
    if (good && by_ring) ring_put(&r->ring, out, &behind);
    from->to->images_due = good && slots_next(&from->to->images, 0) < SHARD_SLOTS;
    vclock_free(&behind);
    return good;
}

static void put_version(struct replica *r, struct buffer *out, const struct version *v) {
    struct metadata *deps = &r->unpacked;
    metadata_clear(deps);
    metadata_join_packed(deps, v->deps);
    replica_put_write(r, out, WIRE_VERSION, v, deps);
}

/* The whole slot at this instant. */
static void put_image(struct replica *r, struct link *l, uint32_t slot) {
    struct buffer *out = &l->out;
    const struct vclock *clock = parts_clock(&r->parts, slot);
    size_t begun = wire_begin_slot(out, (uint16_t)slot, l->asked_map_id, r->synced, clock->len);
    if (r->synced) wire_put_u64(out, r->group);
    row_put_dots(out, clock, r->actors);
    wire_end_slot(out, begun);
    struct version v;
    struct store_walk walk = store_walk_slot(slot);
    while (store_walk_next(r->store, &walk, &v))
        put_version(r, out, &v);
    wire_put_slot_end(out, (uint16_t)slot);
    r->stats.images_sent++;
}

static void send_images(struct replica *r, struct peer *p) {
    struct link *l = p->to;
    if (replica_output(r, p) == NULL || !l->images_due) return;
    uint32_t slot = slots_next(&l->images, 0);
    for (; slot < SHARD_SLOTS && link_unsent_bytes(l) < CATCHUP_IMAGES_BYTES_MAX;
         slot = slots_next(&l->images, slot)) {
        slots_remove(&l->images, slot);
        if (parts_clock(&r->parts, slot) != NULL) put_image(r, l, slot);
    }
    l->images_due = slot < SHARD_SLOTS;
}

bool catchup_has_more_to_send(const struct replica *r) {
    for (uint32_t i = 0; i < r->mate_count; i++) {
        const struct link *l = r->mates[i]->to;
        bool due = l != NULL && l->state == LINK_OPEN && l->images_due;
        if (due && link_unsent_bytes(l) < CATCHUP_IMAGES_BYTES_MAX) return true;
    }
    return false;
}

/* ---- Taking images ---- */

bool catchup_on_slot(struct link *l, struct slice body) {
    struct wire_slot m;
    l->image.len = l->image_head.len = 0;
    buffer_put(&l->image_head, body);
    return wire_read_slot(body, &m);
}

bool catchup_on_version(struct link *l, struct slice frame) {
    if (l->image_head.len == 0 || l->image.len + frame.len > CATCHUP_IMAGE_BYTES_MAX) return false;
    buffer_put(&l->image, frame);
    return true;
}

/* Own writes that another has delivered are not under way any more. False: more of them than there
 * are, and to believe that would be to have delivered what is not written yet. */
static bool deliver_own_within(struct replica *r, const struct vclock *clock) {
    uint64_t n = r->actor == ACTOR_NONE ? 0 : vclock_get(clock, r->actor);
    if (n > r->assigned) return false;
    replica_deliver_own(r, n);
    return true;
}

/* All versions of the image are merged before D says that they are here. */
static bool apply_image(struct replica *r, struct link *l, const struct wire_slot *m,
                        const struct vclock *clock) {
    struct slice rest = buffer_slice(&l->image);
    struct wire_frame frame;
    if (!deliver_own_within(r, clock)) return false;
    while (wire_cut(rest, &frame) == WIRE_CUT_FRAME) {
        struct wire_write w;
        if (!wire_read_write(frame.body, &w)) return false;
        uint32_t actor = actors_find_id(r->actors, w.dot.actor_id);
        if (actor == ACTOR_NONE || shard_slot(w.key) != m->slot) return false;
        replica_merge(r, &w, actor, NULL);
        bool recent = w.dot.n + CATCHUP_FRONTIER > vclock_get(clock, actor);
        if (recent) trail_leave(&r->trail, (struct dot){actor, w.dot.n}, m->slot);
        rest = (struct slice){rest.at + frame.bytes, rest.len - frame.bytes};
    }
    parts_join_slot(&r->parts, m->slot, clock);
    vclock_join(&r->ring.trimmed, clock);
    r->progress++;
    r->stats.images_taken++;
    replica_release_held(r);
    return true;
}

bool catchup_on_slot_end(struct replica *r, struct link *l, struct slice body) {
    uint16_t slot;
    struct wire_slot m;
    bool good = l->image_head.len > 0 && wire_read_slot_end(body, &slot) &&
                wire_read_slot(buffer_slice(&l->image_head), &m) && slot == m.slot;
    if (good && slots_has(&r->slots, m.slot)) {
        struct vclock clock = {0};
        good = row_read_dots(&clock, m.dots, r->actors) && apply_image(r, l, &m, &clock);
        vclock_free(&clock);
    }
    if (l->peer == r->pull_from) r->pull_until_ms = r->peers->now_ms + REPLICA_PULL_MS;
    buffer_free(&l->image);
    buffer_free(&l->image_head);
    return good;
}

/* ---- Readiness ---- */

static void become_synced(struct replica *r, bool provisional) {
    r->synced = true;
    r->provisional = provisional;
    r->peers->rows_due = true;
    r->progress++;
    notes_put(r->notes,
              provisional ? "ready, provisionally: not all members were reached" : "ready", NULL);
}

static void judge_synced(struct replica *r) {
    if (r->is_late) return; /* what the others have said meanwhile is still to be read */
    bool all_reached = true, any_synced = false, has_targets = true, level = true;
    for (uint32_t i = 0; i < r->mate_count; i++) {
        const struct peer *p = r->mates[i];
        if (!peer_in_view(p) || p->row.map_id != r->map_id) {
            all_reached = false;
        } else if (p->row.synced) {
            any_synced = true;
            has_targets = has_targets && p->target.is_heard && !lacks(r, &p->target);
        } else {
            level = level && !lacks(r, &p->row);
        }
    }
    bool waited = peers_awake_ms(r->peers) >= r->joined_ms + CATCHUP_LEVEL_MS;
    if (any_synced ? has_targets : level && (all_reached || waited)) {
        become_synced(r, !any_synced && !all_reached);
    }
}

static void judge_provisional(struct replica *r) {
    for (uint32_t i = 0; i < r->mate_count; i++) {
        if (!r->mates[i]->is_met) return;
    }
    r->provisional = false;
}

bool catchup_on_row(struct replica *r, struct peer *from, struct slice body) {
    bool lagged = from->row.is_heard && lacks(r, &from->row);
    uint64_t total = from->row.total;
    if (!row_read(&from->row, body, r->actors)) return false;
    if (!peer_in_view(from)) return true;
    bool moves = from->row.total != total && from->owes_since_ms != UINT64_MAX;
    if (moves)
        from->owes_since_ms = r->peers->now_ms; /* it catches up, and owes no more than that */
    bool lags = lacks(r, &from->row);
    if (!r->synced && from->row.synced && !from->target.is_heard) {
        row_read(&from->target, body, r->actors);
    }
    if (from->row.synced && !lags) from->is_met = true;
    if (lagged || (lags && (!r->synced || r->pull_wanted))) pull(r, from);
    r->progress++; /* it may prove a loss */
    return true;
}

/* ---- Proven losses ---- */

static bool has_heard_all(const struct replica *r, const struct row *row) {
    for (uint32_t i = 0; i < r->mate_count; i++) {
        const struct peer *p = r->mates[i];
        const struct row_peer *heard = row_find_peer(row, &p->address);
        bool itself = heard != NULL && heard->boot == p->boot;
        if (!itself) return false;
    }
    const struct row_peer *me = row_find_peer(row, &r->peers->self);
    return me != NULL && me->boot == r->boot;
}

/* It may have writes of that actor beyond `n` in the slot, or will when others come. */
static bool row_shows(const struct row *row, struct dot dot, uint64_t n, uint32_t slot) {
    const struct vclock *clock = row_clock(row, slot);
    uint64_t first_held = vclock_get(&row->held, dot.actor);
    return clock == NULL || vclock_get(clock, dot.actor) > n ||
           (first_held != 0 && first_held <= dot.n);
}

/* Everybody's word counts: all are here, serve, live by this map and have heard one another. */
static bool is_quorate(const struct replica *r) {
    for (uint32_t i = 0; i < r->mate_count; i++) {
        const struct peer *p = r->mates[i];
        bool counts = peer_in_view(p) && p->row.synced && p->row.map_id == r->map_id;
        if (!counts || !has_heard_all(r, &p->row)) return false;
    }
    return r->synced;
}

/* Nobody has the dot, nor any before it that is not here. */
static bool nobody_has(const struct replica *r, struct dot dot, uint32_t slot) {
    uint64_t here = vclock_get(parts_clock(&r->parts, slot), dot.actor);
    for (uint32_t i = 0; i < r->mate_count; i++) {
        if (row_shows(&r->mates[i]->row, dot, here, slot)) return false;
    }
    uint64_t first_held = held_first(&r->held, dot.actor);
    return here < dot.n && (first_held == 0 || first_held > dot.n);
}

bool catchup_waive(struct replica *r, struct dot dot, uint32_t slot) {
    const struct actor *actor = actors_get(r->actors, dot.actor);
    if (!actor->is_over || !is_quorate(r)) return false;
    if (!nobody_has(r, dot, slot)) return false;
    struct vclock lost = {&dot, 1, 1};
    for (uint32_t s = slots_next(&r->slots, 0); s < SHARD_SLOTS; s = slots_next(&r->slots, s + 1)) {
        if (nobody_has(r, dot, s)) parts_join_slot(&r->parts, s, &lost);
    }
    vclock_raise(&r->ring.trimmed, dot);
    r->progress++;
    r->stats.waived++;
    notes_put(r->notes, "a write is lost for ever and no longer waited for; it was of ",
              &actor->node);
    replica_release_held(r);
    return true;
}

/* What is held back may wait for what is lost. */
static void waive_for_held(struct replica *r) {
    struct dot missing;
    uint32_t slot;
    for (uint32_t i = 0; i < r->held.count; i++) {
        if (!held_is_first(&r->held, i) || !replica_held_lacks(r, i, &missing, &slot)) continue;
        if (catchup_waive(r, missing, slot))
            i = UINT32_MAX; /* others may have gone: from the start */
    }
}

/* ---- Turns ---- */

void catchup_tick(struct replica *r) {
    if (r->group == 0) return;
    if (!r->synced) judge_synced(r);
    if (r->provisional) judge_provisional(r);
    if (r->synced) waive_for_held(r);
}

void catchup_end_turn(struct replica *r) {
    if (r->group != 0 && !r->synced) judge_synced(r);
    if (r->pull_wanted && r->mate_count > 0) pull_what_is_wanted(r);
    for (uint32_t i = 0; i < r->mate_count; i++)
        send_images(r, r->mates[i]);
}
