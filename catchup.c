/* Rows, pulls, images, readiness and proven losses. See catchup.h.
 *
 * WHEN A REPLICA IS SYNCED (judge_synced). One that starts has no data, and does not know what its
 * clients may know. It has caught up
 *   - when it has all that each member in view which serves reported in its first row after they
 *     met, and base of its group (handover.h) on every slot;
 *   - when every member is in view and none serves (a first start), nobody has any base of the
 *     group, and all are level: then the group begins with what they have;
 *   - the same with those that were reached within CATCHUP_LEVEL_MS: that is `provisional`.
 * One that stands by outside every shard has only the map to catch up with.
 *
 * WHEN A WRITE IS LOST (catchup_waive). Who made it makes no more of them, and every copy is gone:
 * dot (a, n) is lost in a slot iff the boot of a is over, or its node is of another group by now,
 * and every node of the map, and every other that one of these hears, is in view, synced, settled
 * (so nobody has residue), and says in its last row that it has not delivered (a, n) in that slot,
 * that it does not hold it back, and that it has heard the present boot of every node, living by
 * this map. The last rules out copies that are still on their way: frames of an older boot are
 * refused once a newer one was heard, what a node sent before it changed its group has come before
 * the row that says so, and whoever of the present boots could have sent a copy has it. Never a
 * matter of time. What is held back for a map that nobody knows any more is dropped on the same
 * terms (waive_of_dead_maps).
 */
#include "catchup.h"

#include <assert.h>
#include <stdlib.h>

#include "broadcast.h"
#include "handover.h"

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
    uint16_t count = parts_that_fit(r);
    for (uint16_t i = 0; i < count; i++) {
        row_put_part(w->out, &r->parts.list[i], r->actors);
        wire_count_part(w);
    }
    if (r->held.count > 0) put_held(r, w);
}

/* The row has a write beyond `mine` of a group that the present map has not any more. */
static bool has_older_beyond(const struct replica *r, const struct vclock *theirs,
                             const struct vclock *mine) {
    const struct map *m = r->maps->map;
    for (uint32_t i = 0; i < theirs->len; i++) {
        if (vclock_has(mine, theirs->dots[i])) continue;
        uint64_t group = actors_get(r->actors, theirs->dots[i].actor)->group;
        bool present = false;
        for (uint32_t s = 0; s < m->shard_count; s++)
            present = present || m->group[s] == group;
        if (!present) return true;
    }
    return false;
}

/* Residue keeps level with what was written under past maps, and leaves new writes to the owners.
 */
static bool residue_lacks(const struct replica *r, const struct row *row) {
    for (uint32_t i = 0; i < r->parts.count && !r->settled; i++) {
        const struct part *mine = &r->parts.list[i];
        if (slots_within(&mine->slots, &r->slots)) continue;
        for (uint32_t j = 0; j < row->part_count; j++) {
            const struct row_part *theirs = &row->parts[j];
            if (!slots_meet(&theirs->slots, &mine->slots)) continue;
            if (has_older_beyond(r, &theirs->clock, &mine->clock)) return true;
        }
    }
    return false;
}

static bool lacks(const struct replica *r, const struct row *row) {
    return !row_is_covered(row, &r->parts, &r->slots) || residue_lacks(r, row);
}

/* ---- Asking ---- */

static bool is_pulling(const struct replica *r) {
    return r->pull_from != NULL && r->pull_until_ms > r->peers->now_ms &&
           peer_in_view(r->pull_from);
}

/* The slots that are wanted whole of it. What has come since the last tick is not asked for again,
 * whatever its last row says: that may be older. False: there are none. */
static bool wants_whole(const struct replica *r, const struct peer *p, struct slots *out) {
    if (!handover_lacks(r, &p->row, out)) return false;
    slots_leave(out, &r->fetched);
    return slots_next(out, 0) < SHARD_SLOTS;
}

static void pull(struct replica *r, struct peer *p) {
    struct buffer *out = replica_output(r, p);
    if (is_pulling(r) || out == NULL || r->is_full) return;
    r->pull_from = p;
    r->pull_until_ms = r->peers->now_ms + REPLICA_PULL_MS;
    r->pull_wanted = false;
    r->stats.pulls++;
    uint8_t bytes[WIRE_SLOTS_BYTES];
    wants_whole(r, p, &r->pulled);
    row_put_slots(bytes, &r->pulled);
    uint16_t count = parts_that_fit(r);
    size_t begun = wire_begin_pull(out, r->map_id, bytes, count);
    for (uint16_t i = 0; i < count; i++)
        row_put_part(out, &r->parts.list[i], r->actors);
    wire_end_pull(out, begun);
}

static bool is_mate(const struct replica *r, const struct peer *p) {
    for (uint32_t i = 0; i < r->mate_count; i++) {
        if (r->mates[i] == p) return true;
    }
    return false;
}

/* From one that shows what is missing here; what nobody shows yet, from each member in turn. */
static void pull_what_is_wanted(struct replica *r) {
    struct peer *any = NULL;
    for (uint32_t i = 0; i < r->peers->count; i++) {
        struct peer *p = r->peers->list[(r->pull_turn + i) % r->peers->count];
        if (!peer_in_view(p) || peer_output(p) == NULL) continue;
        if (any == NULL && is_mate(r, p)) any = p;
        if (!lacks(r, &p->row)) continue;
        pull(r, p);
        return;
    }
    r->pull_turn++;
    if (any != NULL) pull(r, any);
}

/* The base of owned slots, from whoever has some of it. A pull that asked for no whole slots, or
 * has brought them all, does not keep this waiting. */
static void pull_base(struct replica *r) {
    struct slots whole;
    if (is_pulling(r) && slots_next(&r->pulled, 0) < SHARD_SLOTS) return;
    for (uint32_t i = 0; i < r->peers->count; i++) {
        struct peer *p = r->peers->list[(r->pull_turn + i) % r->peers->count];
        if (!peer_in_view(p) || peer_output(p) == NULL) continue;
        if (!wants_whole(r, p, &whole)) continue;
        r->pull_until_ms = 0;
        pull(r, p);
        return;
    }
}

/* A pull of no parts: it neither ends the one that is going on nor waits for it. */
void catchup_hurry(struct replica *r, uint32_t slot) {
    for (uint32_t i = 0; i < r->peers->count && !slots_has(&r->hurried, slot) && !r->is_full; i++) {
        struct peer *p = r->peers->list[i];
        bool offers = peer_in_view(p) && handover_lacks_slot(r, &p->row, slot);
        struct buffer *out = offers ? replica_output(r, p) : NULL;
        struct slots wanted = {0};
        uint8_t bytes[WIRE_SLOTS_BYTES];
        if (out == NULL) continue;
        slots_add(&wanted, slot);
        slots_add(&r->hurried, slot);
        slots_remove(&r->pulled, slot); /* when it comes, it will not be by the pull */
        row_put_slots(bytes, &wanted);
        wire_end_pull(out, wire_begin_pull(out, r->map_id, bytes, 0));
    }
}

/* ---- Answering ---- */

struct asked { /* what the asker has of some slots */
    struct row_part *list;
    uint32_t count;
};

/* The ring reaches back to what the asker has of the part. Only writers into its slots count. */
static bool ring_reaches(const struct replica *r, const struct row_part *part) {
    const struct vclock *trimmed = &r->ring.trimmed;
    for (uint32_t i = 0; i < trimmed->len; i++) {
        if (vclock_has(&part->clock, trimmed->dots[i])) continue;
        const struct slots *of = replica_slots_of(r, trimmed->dots[i].actor);
        if (of == NULL || slots_meet(of, &part->slots)) return false;
    }
    return true;
}

/* One of the parts has not got a write that tells it something. */
static bool some_part_needs(const struct asked *asked, const struct slots *of, struct dot dot) {
    for (uint32_t i = 0; i < asked->count; i++) {
        const struct row_part *part = &asked->list[i];
        if (slots_meet(of, &part->slots) && !vclock_has(&part->clock, dot)) return true;
    }
    return false;
}

/* In the order of delivery. */
static void send_from_ring(const struct replica *r, struct buffer *out, const struct asked *asked) {
    for (const struct kept *k = r->ring.first; k != NULL; k = k->next) {
        const struct slots *of = replica_slots_of(r, k->dot.actor);
        if (of != NULL && some_part_needs(asked, of, k->dot)) buffer_put(out, kept_frame(k));
    }
}

/* Notes the slots of the part that have something beyond it. */
static void note_images(const struct replica *r, struct link *l, const struct row_part *part) {
    for (uint32_t s = slots_next(&part->slots, 0); s < SHARD_SLOTS;
         s = slots_next(&part->slots, s + 1)) {
        const struct vclock *mine = parts_clock(&r->parts, s);
        if (mine != NULL && !vclock_covers(&part->clock, mine)) slots_add(&l->images, s);
    }
}

/* Sorts the asked parts: those that the ring reaches are left in *by_ring, and the slots of the
 * others are noted. False: an actor that nobody has introduced. */
static bool sort_asked_parts(struct replica *r, struct link *l, struct wire_pull *m,
                             struct asked *by_ring) {
    for (uint32_t i = 0; i < m->part_count; i++) {
        struct wire_part part = wire_next_part(&m->rest);
        struct row_part *theirs = &by_ring->list[by_ring->count];
        row_read_slots(&theirs->slots, part.slots);
        if (!row_read_dots(&theirs->clock, part.dots, r->actors)) {
            vclock_free(&theirs->clock);
            return false;
        }
        if (ring_reaches(r, theirs)) {
            by_ring->count++;
            continue;
        }
        note_images(r, l, theirs);
        vclock_free(&theirs->clock);
        *theirs = (struct row_part){0};
    }
    return true;
}

static void forget_asked(struct asked *asked) {
    for (uint32_t i = 0; i < asked->count; i++)
        vclock_free(&asked->list[i].clock);
    free(asked->list);
}

static bool answer_pull(struct replica *r, struct link *l, struct wire_pull *m) {
    struct asked by_ring = {bytes_alloc_zeroed((m->part_count + 1u) * sizeof(struct row_part)), 0};
    row_read_slots(&l->images, m->whole);
    bool good = sort_asked_parts(r, l, m, &by_ring);
    if (good) send_from_ring(r, &l->out, &by_ring);
    l->images_due = good && slots_next(&l->images, 0) < SHARD_SLOTS;
    forget_asked(&by_ring);
    return good;
}

/* An asker that lives by a greater map gets no base: writes of the groups that it has left may
 * still be on their way to here. */
static bool may_give_base(const struct replica *r, uint64_t asked_map_id) {
    const struct map *theirs = maps_find(r->maps, asked_map_id);
    return theirs != NULL && maps_is_past(r->maps, theirs);
}

/* The whole slot at this instant. */
static void put_image(struct replica *r, struct link *l, uint32_t slot) {
    struct buffer *out = &l->out;
    const struct vclock *clock = parts_clock(&r->parts, slot);
    const struct base *base = parts_base(&r->parts, slot);
    uint32_t groups = may_give_base(r, l->asked_map_id) ? base->count : 0;
    size_t begun =
        wire_begin_slot(out, (uint16_t)slot, l->asked_map_id, (uint16_t)groups, clock->len);
    for (uint32_t i = 0; i < groups; i++)
        wire_put_u64(out, base->groups[i]);
    row_put_dots(out, clock, r->actors);
    wire_end_slot(out, begun);
    struct version v;
    struct store_walk walk = store_walk_slot(slot);
    while (store_walk_next(r->store, &walk, &v))
        replica_put_stored(r, out, WIRE_VERSION, &v);
    wire_put_slot_end(out, (uint16_t)slot);
    r->stats.images_sent++;
}

/* Somebody waits for these: they come before the others that are due, if there is room. */
static void answer_hurried(struct replica *r, struct link *l, const struct wire_pull *m) {
    struct slots wanted;
    row_read_slots(&wanted, m->whole);
    for (uint32_t s = slots_next(&wanted, 0); s < SHARD_SLOTS; s = slots_next(&wanted, s + 1)) {
        if (parts_clock(&r->parts, s) == NULL) continue;
        if (link_unsent_bytes(l) >= CATCHUP_HURRIED_BYTES_MAX) return; /* it will ask again */
        slots_remove(&l->images, s);
        put_image(r, l, s);
    }
}

bool catchup_on_pull(struct replica *r, struct peer *from, struct slice body) {
    struct wire_pull m;
    if (!wire_read_pull(body, &m)) return false;
    if (replica_output(r, from) == NULL) return true; /* it will ask again */
    from->to->asked_map_id = m.map_id;
    if (m.part_count > 0) return answer_pull(r, from->to, &m);
    answer_hurried(r, from->to, &m);
    return true;
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
    for (uint32_t i = 0; i < r->peers->count; i++) {
        const struct link *l = r->peers->list[i]->to;
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
    broadcast_deliver_own(r, n);
    return true;
}

/* Base counts only for the owner, and only if it was asked for under the map that it lives by
 * still: what it has learned since may have asked for more. */
static void take_base(struct replica *r, const struct wire_slot *m) {
    struct base base = {0};
    if (!slots_has(&r->slots, m->slot) || m->asked_map_id != r->map_id) return;
    for (uint32_t i = 0; i < m->groups.count; i++)
        base_add(&base, wire_u64_at(m->groups, i));
    handover_take_base(r, m->slot, &base);
    base_clear(&base);
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
        deliver_merge(r, &w, actor, NULL);
        bool recent = w.dot.n + CATCHUP_FRONTIER > vclock_get(clock, actor);
        if (recent) trail_leave(&r->trail, (struct dot){actor, w.dot.n}, m->slot);
        rest = (struct slice){rest.at + frame.bytes, rest.len - frame.bytes};
    }
    redo_put_frames(&r->redo, buffer_slice(&l->image));
    redo_join_slot(&r->redo, &r->parts, m->slot, clock, NULL);
    take_base(r, m);
    vclock_join(&r->ring.trimmed, clock);
    r->progress++;
    r->stats.images_taken++;
    deliver_release(r);
    return true;
}

/* What was asked for shows that the pull goes on. Other images may be of slots that somebody waits
 * to read (catchup_hurry): those come as long as anybody reads, and say nothing about it. */
static void note_fetched(struct replica *r, const struct peer *from, uint32_t slot) {
    bool asked = slots_has(&r->pulled, slot);
    slots_remove(&r->pulled, slot);
    slots_add(&r->fetched, slot);
    if (from == r->pull_from && (asked || r->settled))
        r->pull_until_ms = r->peers->now_ms + REPLICA_PULL_MS;
}

bool catchup_on_slot_end(struct replica *r, struct link *l, struct slice body) {
    uint16_t slot;
    struct wire_slot m;
    bool good = l->image_head.len > 0 && wire_read_slot_end(body, &slot) &&
                wire_read_slot(buffer_slice(&l->image_head), &m) && slot == m.slot &&
                m.groups.count <= BASE_GROUPS_MAX;
    if (good && parts_clock(&r->parts, m.slot) != NULL && !r->is_full) {
        struct vclock clock = {0};
        good = row_read_dots(&clock, m.dots, r->actors) && apply_image(r, l, &m, &clock);
        vclock_free(&clock);
    }
    if (good) note_fetched(r, l->peer, slot);
    buffer_free(&l->image);
    buffer_free(&l->image_head);
    return good;
}

/* ---- Readiness ---- */

static void become_synced(struct replica *r, bool provisional) {
    r->synced = true;
    r->provisional = provisional;
    redo_ready(&r->redo, true, provisional);
    r->peers->rows_due = true;
    r->progress++;
    notes_put(r->notes,
              provisional ? "ready, provisionally: not all members were reached" : "ready", NULL);
}

void catchup_resume(struct replica *r, bool provisional) {
    become_synced(r, provisional);
}

/* One that stands by has nothing to catch up with but the maps. */
static void judge_standing_by(struct replica *r) {
    for (uint32_t i = 0; i < r->peers->count; i++) {
        const struct peer *p = r->peers->list[i];
        bool says = p->state != PEER_SELF && peer_in_view(p) && p->row.synced;
        if (!says || p->row.map_id != r->map_id) continue;
        become_synced(r, false);
        return;
    }
}

static bool somebody_has_base(const struct replica *r) {
    struct slots whole;
    for (uint32_t i = 0; i < r->peers->count; i++) {
        const struct peer *p = r->peers->list[i];
        if (peer_in_view(p) && handover_lacks(r, &p->row, &whole)) return true;
    }
    return false;
}

static void judge_member(struct replica *r) {
    bool all_reached = true, any_holds = false, has_targets = true, level = true;
    for (uint32_t i = 0; i < r->mate_count; i++) {
        const struct peer *p = r->mates[i];
        if (!peer_in_view(p) || p->row.map_id != r->map_id) {
            all_reached = false;
        } else if (p->row.synced && p->holds) {
            any_holds = true;
            has_targets = has_targets && p->target.is_heard && !lacks(r, &p->target);
        } else {
            level = level && !lacks(r, &p->row);
        }
    }
    bool waited = peers_awake_ms(r->peers) >= r->joined_ms + CATCHUP_LEVEL_MS;
    if (any_holds) {
        if (has_targets && r->holds) become_synced(r, false);
    } else if (level && (all_reached || waited) && !somebody_has_base(r)) {
        redo_found(&r->redo, &r->parts, &r->slots, r->group);
        r->base_moved = true;
        become_synced(r, !all_reached);
    }
}

bool catchup_asks_for_maps(const struct replica *r, const struct peer *p) {
    return !r->provisional || p->is_met;
}

bool catchup_awaits_maps(const struct replica *r) {
    for (uint32_t i = 0; i < r->peers->count && r->maps->count < MAPS_MAX; i++) {
        const struct peer *p = r->peers->list[i];
        if (!peer_in_view(p) || !catchup_asks_for_maps(r, p)) continue;
        for (uint32_t k = 0; k < p->row.map_count; k++) {
            if (maps_find(r->maps, p->row.maps[k]) == NULL) return true;
        }
    }
    return false;
}

/* A former process of this node may have written by a map that is still to come: who is ready would
 * begin its group anew, after it had said that it has all. */
static void judge_synced(struct replica *r) {
    if (r->map_id == 0 || peers_rows_are_old(r->peers)) return;
    if (catchup_awaits_maps(r)) return;
    if (r->group == 0)
        judge_standing_by(r);
    else
        judge_member(r);
}

static void judge_provisional(struct replica *r) {
    for (uint32_t i = 0; i < r->mate_count; i++) {
        if (!r->mates[i]->is_met) return;
    }
    r->provisional = false;
    redo_ready(&r->redo, true, false);
}

bool catchup_on_row(struct replica *r, struct peer *from, struct slice body) {
    bool lagged = from->row.is_heard && lacks(r, &from->row);
    uint64_t total = from->row.total;
    if (!row_read(&from->row, body, r->actors)) return false;
    replica_note_row(r, from);
    if (!peer_in_view(from)) return true;
    bool moves = from->row.total != total && from->owes_since_ms != UINT64_MAX;
    if (moves)
        from->owes_since_ms = r->peers->now_ms; /* it catches up, and owes no more than that */
    if (from->row.is_full) from->owes_since_ms = UINT64_MAX; /* it says that it cannot */
    bool lags = lacks(r, &from->row);
    if (!r->synced && from->row.synced && !from->target.is_heard) {
        row_read(&from->target, body, r->actors);
    }
    if (from->row.synced && !lags) from->is_met = true;
    r->row_came = true;
    if (lagged || (lags && (!r->synced || r->pull_wanted))) pull(r, from);
    r->progress++; /* it may prove a loss */
    return true;
}

/* ---- Proven losses ---- */

static bool has_heard(const struct row *row, const struct address *node, uint64_t boot) {
    const struct row_peer *heard = row_find_peer(row, node);
    return heard != NULL && heard->boot == boot && heard->shares_map;
}

static bool has_heard_all(const struct replica *r, const struct row *row) {
    for (uint32_t i = 0; i < r->other_count; i++) {
        const struct peer *p = r->others[i];
        if (!has_heard(row, &p->address, p->boot)) return false;
    }
    return has_heard(row, &r->peers->self, r->boot);
}

/* Its word counts: it is here, lives by this map, has what is its own and nothing else, and has
 * heard every node of the map. */
static bool counts(const struct replica *r, const struct peer *p) {
    const struct row *row = &p->row;
    bool stands = peer_in_view(p) && row->synced && row->settled && row->map_id == r->map_id;
    return stands && has_heard_all(r, row);
}

/* One whom the map does not name may have what others miss, too: it was struck off with its data
 * and named again, or it lives by a later map that has not come yet. It lives if it is heard, or
 * has answered this node's call, though its own has not come yet. */
static bool is_stranger(const struct replica *r, const struct peer *p) {
    if (p->state == PEER_SELF || map_has_node(r->maps->map, &p->address)) return false;
    bool answers = p->to != NULL && p->to->state == LINK_OPEN;
    bool heard = p->state == PEER_UP || p->state == PEER_PROBATION;
    return heard || answers || peer_is_listed(r->peers, p);
}

/* The sender, a node of the map, has heard all strangers that this node has, and has no others. */
static bool has_the_same_strangers(const struct replica *r, const struct row *row) {
    for (uint32_t i = 0; i < row->peer_count; i++) {
        const struct address *node = &row->peers[i].address;
        const struct peer *p = peers_find(r->peers, node);
        bool known = map_has_node(r->maps->map, node) || (p != NULL && is_stranger(r, p));
        if (row->peers[i].is_listed && !known) return false;
    }
    for (uint32_t i = 0; i < r->peers->count; i++) {
        const struct peer *p = r->peers->list[i];
        if (is_stranger(r, p) && !has_heard(row, &p->address, p->boot)) return false;
    }
    return true;
}

/* Everybody's word counts: that of all nodes of the map, and of all strangers. */
static bool is_quorate(const struct replica *r) {
    if (peers_rows_are_old(r->peers)) return false;
    for (uint32_t i = 0; i < r->other_count; i++) {
        const struct peer *p = r->others[i];
        if (!counts(r, p) || !has_the_same_strangers(r, &p->row)) return false;
    }
    for (uint32_t i = 0; i < r->peers->count; i++) {
        const struct peer *p = r->peers->list[i];
        if (is_stranger(r, p) && !counts(r, p)) return false;
    }
    return r->synced && r->settled && !peers_keep_out_the_living(r->peers);
}

/* It may have writes of that actor beyond `n` in the slot, or will when others come. */
static bool row_shows(const struct row *row, struct dot dot, uint64_t n, uint32_t slot) {
    const struct vclock *clock = row_clock(row, slot);
    uint64_t first_held = vclock_get(&row->held, dot.actor);
    return clock == NULL || vclock_get(clock, dot.actor) > n ||
           (first_held != 0 && first_held <= dot.n);
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

/* Its process lives, and writes for another group or none: by the map that everybody has heard it
 * lives by, if they are quorate. */
static bool has_left(const struct replica *r, uint32_t actor) {
    const struct actor *a = actors_get(r->actors, actor);
    const struct peer *p = peers_find(r->peers, &a->node);
    if (p == NULL || !replica_is_past(r, actor)) return false;
    return p->state == PEER_SELF || (peer_in_view(p) && p->boot == a->boot);
}

static bool makes_no_more(const struct replica *r, uint32_t actor) {
    return actors_get(r->actors, actor)->is_over || has_left(r, actor);
}

static void note_waived(struct replica *r, uint32_t actor) {
    r->progress++;
    r->stats.waived++;
    notes_put(r->notes, "a write is lost for ever and no longer waited for; it was of ",
              &actors_get(r->actors, actor)->node);
}

bool catchup_waive(struct replica *r, struct dot dot, uint32_t slot) {
    if (!makes_no_more(r, dot.actor) || !is_quorate(r)) return false;
    if (!nobody_has(r, dot, slot)) return false;
    struct vclock lost = {&dot, 1, 1};
    const struct slots *of = replica_slots_of(r, dot.actor);
    if (of == NULL) of = &r->slots; /* it may have written to any: its map died with who knew it */
    for (uint32_t s = slots_next(of, 0); s < SHARD_SLOTS; s = slots_next(of, s + 1)) {
        bool mine = slots_has(&r->slots, s);
        if (!mine || !nobody_has(r, dot, s)) continue;
        redo_join_slot(&r->redo, &r->parts, s, &lost, NULL);
    }
    vclock_raise(&r->ring.trimmed, dot);
    note_waived(r, dot.actor);
    deliver_release(r);
    return true;
}

/* What is held back may wait for what is lost. */
static void waive_for_held(struct replica *r) {
    struct dot missing;
    uint32_t slot;
    for (uint32_t i = 0; i < r->held.count; i++) {
        if (!held_is_first(&r->held, i) || !deliver_held_lacks(r, i, &missing, &slot)) continue;
        if (catchup_waive(r, missing, slot))
            i = UINT32_MAX; /* others may have gone: from the start */
    }
}

/* Everybody in view has said which maps it knows, and this node knows them all. */
static bool knows_all_maps(const struct replica *r) {
    for (uint32_t i = 0; i < r->peers->count; i++) {
        const struct peer *p = r->peers->list[i];
        for (uint32_t k = 0; k < p->row.map_count && peer_in_view(p); k++) {
            if (maps_find(r->maps, p->row.maps[k]) == NULL) return false;
        }
    }
    return true;
}

/* What is held back until a map comes that has died with all who knew it: nobody can say any more
 * which slots are its group's, and as long as it is held here nobody else may give it up. */
static void waive_of_dead_maps(struct replica *r) {
    for (uint32_t i = 0; i < r->held.count;) {
        uint32_t actor = r->held.list[i]->dot.actor;
        bool lost = replica_slots_of(r, actor) == NULL && makes_no_more(r, actor) &&
                    knows_all_maps(r) && is_quorate(r);
        if (!lost) {
            i++;
            continue;
        }
        free(held_take(&r->held, i));
        note_waived(r, actor);
    }
}

/* ---- Turns ---- */

void catchup_tick(struct replica *r) {
    bool gone = r->pull_from != NULL && !peer_in_view(r->pull_from);
    if (gone) r->pull_from = NULL; /* it may be forgotten, long after this */
    r->hurried = r->fetched = (struct slots){0};
    if (!r->synced) judge_synced(r);
    if (r->provisional) judge_provisional(r);
    if (r->synced) {
        waive_for_held(r);
        waive_of_dead_maps(r);
    }
    handover_tick(r);
}

void catchup_end_turn(struct replica *r) {
    handover_end_turn(r);
    if (!r->synced) judge_synced(r);
    handover_judge(r);
    if (r->map_id != 0 && !r->settled) pull_base(r);
    if (r->pull_wanted) pull_what_is_wanted(r);
    for (uint32_t i = 0; i < r->peers->count; i++) {
        if (r->peers->list[i]->to != NULL) send_images(r, r->peers->list[i]);
    }
}
