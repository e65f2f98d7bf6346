/* Base, residue, and what becomes of them. See handover.h.
 *
 * A group is *newborn* in the map that founds it, and *kept* by later maps that leave its slots as
 * they are.
 *
 * ON LEARN map m (handover_learn)
 *   1. A synced member of a newborn group has its slots from that moment, adopted or not, and its
 *      base has the group: what is empty is whole. Another process than the one that the map names
 *      does not: its former one may have written there already. Nor does one that is catching up
 *      after its start: it has to ask those who are ready, or to see that nobody has any base.
 *   2. m is past: demote.
 * ON ADOPT (handover_adopt)
 *   3. Every map that has just become past: demote.
 * DEMOTE(m)
 *   4. Each kept group of m that this node is no member of goes out of base: its members write on
 *      without this node. Data and D stay. Without this, a client that has seen nothing could be
 *      answered from before what it saw.
 * READ (handover_may_read)
 *   5. The group that each past map has at the slot is in base.
 * VOID (handover_is_void)
 *   6. A group's state of a slot is nowhere when all who were ever its members, and all owners of
 *      the slot, are in view, know the present map and say that they lack it. Whoever was struck
 *      off, out of view and out of the map, counts as lacking it. Then it is begun anew with what
 *      is here and with all that those in view have, which is taken over first; D does not move, so
 *      that whoever has seen more is told that it is missing.
 * DROP (drop_residue)
 *   7. A slot that this node does not own goes when its owners in view, two or all of them, live by
 *      the same map and have all of its D and base, and nobody in view lives by a smaller map:
 *      such a one would still send its writes here. Where logs are kept, they have had it for a
 *      while by then.
 */
#include "handover.h"

#include <stdio.h>

/* ---- Maps ---- */

static bool has_member(const struct map *m, uint32_t shard, const struct address *node) {
    return map_shard_of_node(m, node) == shard;
}

static void demote(struct replica *r, const struct map *m) {
    uint32_t shard = map_shard_of_node(m, &r->peers->self);
    for (uint32_t s = 0; s < m->shard_count; s++) {
        if (s != shard && !m->newborn[s]) redo_demote(&r->redo, &r->parts, m->group[s]);
    }
    r->base_moved = true;
}

void handover_learn(struct replica *r, const struct map *m) {
    uint32_t shard = map_shard_of_node(m, &r->peers->self);
    if (r->synced && map_founds(m, &r->peers->self, r->boot)) {
        const struct slots *slots = maps_slots(r->maps, m->group[shard]);
        redo_found(&r->redo, &r->parts, slots, m->group[shard]);
    }
    if (maps_is_past(r->maps, m)) demote(r, m);
    r->base_moved = true;
    handover_judge(r); /* now: who asks in this turn must not be answered as before */
}

void handover_adopt(struct replica *r, const struct map *before) {
    for (uint32_t i = 0; i < r->maps->count && before != NULL; i++) {
        const struct map *m = r->maps->list[i];
        if (maps_is_past(r->maps, m) && map_less(before, m)) demote(r, m);
    }
    if (before != NULL) r->move_noted_ms = r->peers->now_ms;
}

/* ---- Base ---- */

static bool is_whole(const struct replica *r, uint32_t slot, const struct base *base) {
    for (uint32_t i = 0; i < r->maps->count; i++) {
        const struct map *m = r->maps->list[i];
        if (maps_is_past(r->maps, m) && !base_has(base, map_group(m, slot))) return false;
    }
    return true;
}

static bool is_complete(const struct replica *r, uint32_t slot) {
    return is_whole(r, slot, parts_base(&r->parts, slot));
}

bool handover_is_complete(const struct replica *r) {
    for (uint32_t s = slots_next(&r->slots, 0); s < SHARD_SLOTS; s = slots_next(&r->slots, s + 1)) {
        if (!is_complete(r, s)) return false;
    }
    return true;
}

bool handover_may_read(const struct replica *r, uint32_t slot) {
    return r->settled || is_complete(r, slot);
}

/* Some group of a past map that is missing here at the slot is in `theirs`. */
static bool offers(const struct replica *r, uint32_t slot, const struct base *theirs) {
    const struct base *mine = parts_base(&r->parts, slot);
    for (uint32_t i = 0; i < r->maps->count; i++) {
        const struct map *m = r->maps->list[i];
        uint64_t group = map_group(m, slot);
        if (!base_has(theirs, group) || base_has(mine, group)) continue;
        if (maps_is_past(r->maps, m)) return true;
    }
    return false;
}

/* Who lives by a smaller map than this node does would not let go of its base. */
static bool gives_base(const struct replica *r, const struct row *row) {
    const struct map *theirs = maps_find(r->maps, row->map_id);
    return row->is_heard && (theirs == NULL || !map_less(theirs, r->maps->map));
}

bool handover_lacks_slot(const struct replica *r, const struct row *row, uint32_t slot) {
    const struct row_part *part = row_part(row, slot);
    return part != NULL && gives_base(r, row) && offers(r, slot, &part->base);
}

bool handover_lacks(const struct replica *r, const struct row *row, struct slots *out) {
    *out = (struct slots){0};
    if (r->settled || !gives_base(r, row)) return false;
    for (uint32_t i = 0; i < row->part_count; i++) {
        const struct row_part *part = &row->parts[i];
        for (uint32_t s = slots_next(&part->slots, 0); s < SHARD_SLOTS;
             s = slots_next(&part->slots, s + 1)) {
            if (slots_has(&r->slots, s) && offers(r, s, &part->base)) slots_add(out, s);
        }
    }
    return slots_next(out, 0) < SHARD_SLOTS;
}

void handover_take_base(struct replica *r, uint32_t slot, const struct base *base) {
    static const struct vclock nothing;
    struct base taken = {0};
    for (uint32_t i = 0; i < r->maps->count; i++) {
        uint64_t group = map_group(r->maps->list[i], slot);
        if (maps_is_past(r->maps, r->maps->list[i]) && base_has(base, group)) {
            base_add(&taken, group);
        }
    }
    redo_join_slot(&r->redo, &r->parts, slot, &nothing, &taken);
    base_clear(&taken);
    r->base_moved = true;
}

/* ---- Void ---- */

/* It says that it lacks the group's state of the slot, living by this map or a later one. */
static bool says_lacks(const struct replica *r, const struct peer *p, uint64_t group,
                       uint32_t slot) {
    if (p->state == PEER_SELF) return true;
    const struct map *theirs = maps_find(r->maps, p->row.map_id);
    bool knows = peer_in_view(p) && theirs != NULL && !map_less(theirs, r->maps->map);
    if (!knows) return false;
    const struct row_part *part = row_part(&p->row, slot);
    return part == NULL || !base_has(&part->base, group);
}

/* All that the map gives the group, or the slot, to. */
static bool all_say_lacks(const struct replica *r, const struct map *m, uint32_t shard,
                          uint64_t group, uint32_t slot) {
    for (uint32_t i = 0; i < m->node_count; i++) {
        if (m->shard_of_node[i] != shard) continue;
        const struct peer *p = peers_find(r->peers, &m->nodes[i]);
        bool here = p != NULL && (p->state == PEER_SELF || peer_in_view(p));
        bool struck_off = !here && !map_has_node(r->maps->map, &m->nodes[i]);
        if (!struck_off && (p == NULL || !says_lacks(r, p, group, slot))) return false;
    }
    return true;
}

bool handover_is_void(const struct replica *r, uint64_t group, uint32_t slot) {
    for (uint32_t i = 0; i < r->maps->count; i++) {
        const struct map *m = r->maps->list[i];
        uint32_t shard = m->shard_of_slot[slot];
        bool concerns = m->group[shard] == group || m == r->maps->map;
        if (concerns && !all_say_lacks(r, m, shard, group, slot)) return false;
    }
    return true;
}

/* It has lost its base, too, but not what it has: that comes first. Who has seen that need not name
 * it any more, if it was pruned under a map of a few. */
static bool somebody_is_ahead(const struct replica *r, uint32_t slot) {
    for (uint32_t i = 0; i < r->peers->count; i++) {
        const struct peer *p = r->peers->list[i];
        const struct vclock *theirs = peer_in_view(p) ? row_clock(&p->row, slot) : NULL;
        if (theirs != NULL && !vclock_covers(parts_clock(&r->parts, slot), theirs)) return true;
    }
    return false;
}

static void begin_anew(struct replica *r, uint32_t slot) {
    for (uint32_t i = 0; i < r->maps->count; i++) {
        const struct map *m = r->maps->list[i];
        uint64_t group = map_group(m, slot);
        bool missing = maps_is_past(r->maps, m) && !base_has(parts_base(&r->parts, slot), group);
        if (!missing || !handover_is_void(r, group, slot)) continue;
        if (somebody_is_ahead(r, slot)) return;
        struct base base = {&group, 1};
        handover_take_base(r, slot, &base);
        r->progress++;
    }
}

static void begin_void_anew(struct replica *r) {
    for (uint32_t s = slots_next(&r->slots, 0); s < SHARD_SLOTS; s = slots_next(&r->slots, s + 1))
        begin_anew(r, s);
}

/* ---- Residue ---- */

static bool has_own_under_way(const struct replica *r, uint32_t slot) {
    for (const struct under_way *u = r->under_way; u != NULL; u = u->next) {
        if (u->slot == slot) return true;
    }
    return false;
}

static bool covers_mine(const struct replica *r, const struct peer *p, uint32_t slot) {
    const struct row_part *theirs = row_part(&p->row, slot);
    return p->row.map_id == r->map_id && theirs != NULL &&
           vclock_covers(&theirs->clock, parts_clock(&r->parts, slot)) &&
           base_covers(&theirs->base, parts_base(&r->parts, slot));
}

static bool owners_have(const struct replica *r, uint32_t slot) {
    const struct map *m = r->maps->map;
    uint32_t roster = 0, have = 0;
    for (uint32_t i = 0; i < m->node_count; i++) {
        if (!has_member(m, m->shard_of_slot[slot], &m->nodes[i])) continue;
        const struct peer *p = peers_find(r->peers, &m->nodes[i]);
        roster++;
        if (!peer_in_view(p)) continue;
        if (!covers_mine(r, p, slot)) return false;
        have++;
    }
    return have >= (roster < 2 ? roster : 2) && have > 0;
}

static bool somebody_is_behind(const struct replica *r) {
    for (uint32_t i = 0; i < r->peers->count; i++) {
        const struct peer *p = r->peers->list[i];
        if (p->state == PEER_SELF || !peer_in_view(p)) continue;
        const struct map *theirs = maps_find(r->maps, p->row.map_id);
        if (theirs == NULL || map_less(theirs, r->maps->map)) return true;
    }
    return false;
}

/* Their disks are synced every second or so, and what is here may have been on this disk for ages:
 * should all lose power now, nobody would have it. */
static bool is_taken_over(struct replica *r, uint32_t slot) {
    uint64_t *since_ms = &r->taken_over_ms[slot], now_ms = r->peers->now_ms;
    bool have = owners_have(r, slot);
    if (have && *since_ms == 0) *since_ms = now_ms;
    if (!have) *since_ms = 0;
    return have && (!r->redo.is_on || now_ms >= *since_ms + HANDOVER_KEPT_MS);
}

static void drop_residue(struct replica *r) {
    if (peers_rows_are_old(r->peers)) return;
    if (r->maps->next != NULL || somebody_is_behind(r)) return;
    for (uint32_t s = 0; s < SHARD_SLOTS; s++) {
        bool residue = parts_clock(&r->parts, s) != NULL && !slots_has(&r->slots, s);
        if (!residue || has_own_under_way(r, s) || !is_taken_over(r, s)) continue;
        r->taken_over_ms[s] = 0;
        redo_drop_slot(&r->redo, &r->parts, s);
        store_drop_slot(r->store, s);
        r->base_moved = true;
    }
}

/* ---- Sources ---- */

static const struct base *base_of(const struct replica *r, const struct peer *p, uint32_t slot) {
    if (p->state == PEER_SELF) return parts_base(&r->parts, slot);
    const struct row_part *part = row_part(&p->row, slot);
    return part == NULL ? NULL : &part->base;
}

static bool another_has(const struct replica *r, const struct peer *p, uint64_t group,
                        uint32_t slot) {
    for (uint32_t i = 0; i < r->peers->count; i++) {
        const struct peer *other = r->peers->list[i];
        if (other == p || !peer_in_view(other)) continue;
        const struct base *base = base_of(r, other, slot);
        if (base != NULL && base_has(base, group)) return true;
    }
    return false;
}

bool handover_is_only_source(const struct replica *r, const struct peer *p) {
    for (uint32_t s = 0; s < SHARD_SLOTS && peer_in_view(p); s++) {
        const struct base *base = base_of(r, p, s);
        for (uint32_t i = 0; base != NULL && i < base->count; i++) {
            if (!another_has(r, p, base->groups[i], s)) return true;
        }
    }
    return false;
}

/* ---- Progress ---- */

static const struct map *map_before(const struct replica *r) {
    const struct map *before = NULL;
    for (uint32_t i = 0; i < r->maps->count; i++) {
        const struct map *m = r->maps->list[i];
        if (!map_less(m, r->maps->map)) continue;
        if (before == NULL || map_less(before, m)) before = m;
    }
    return before;
}

static void count_node(const struct replica *r, const struct map *before, const struct peer *p,
                       struct handover_progress *out) {
    const struct map *m = r->maps->map;
    uint32_t shard = map_shard_of_node(m, &p->address);
    uint32_t shard_before = map_shard_of_node(before, &p->address);
    for (uint32_t s = 0; s < SHARD_SLOTS; s++) {
        bool comes = m->shard_of_slot[s] == shard && before->shard_of_slot[s] != shard_before;
        if (!comes) continue;
        const struct base *base = base_of(r, p, s);
        out->slots++;
        out->to_go += base == NULL || !is_whole(r, s, base);
    }
}

struct handover_progress handover_progress(const struct replica *r) {
    struct handover_progress progress = {0};
    const struct map *before = map_before(r);
    for (uint32_t i = 0; i < r->peers->count && before != NULL; i++) {
        const struct peer *p = r->peers->list[i];
        bool member = map_has_node(r->maps->map, &p->address);
        if (member && peer_in_view(p)) count_node(r, before, p, &progress);
    }
    return progress;
}

/* So that whoever reads the log sees a long move move. */
static void note_move(struct replica *r) {
    char text[96];
    uint32_t to_come = 0, to_go = 0;
    if (r->move_noted_ms == 0 || r->peers->now_ms < r->move_noted_ms + HANDOVER_NOTE_MS) return;
    for (uint32_t s = 0; s < SHARD_SLOTS; s++) {
        bool mine = slots_has(&r->slots, s);
        to_come += mine && !is_complete(r, s);
        to_go += !mine && parts_clock(&r->parts, s) != NULL;
    }
    snprintf(text, sizeof text, "move: %u slots are still to come, %u to be let go", to_come,
             to_go);
    notes_put(r->notes, text, NULL);
    r->move_noted_ms = r->peers->now_ms;
}

static void note_end_of_move(struct replica *r) {
    if (r->move_noted_ms != 0) notes_put(r->notes, "move: all slots have come and gone", NULL);
    r->move_noted_ms = 0;
}

/* ---- Judging ---- */

void handover_judge(struct replica *r) {
    if (!r->base_moved) return;
    r->base_moved = false;
    r->holds = r->group != 0 && parts_hold(&r->parts, r->group, &r->slots);
    r->has_residue = false;
    for (uint32_t s = 0; s < SHARD_SLOTS; s++) {
        bool here = parts_clock(&r->parts, s) != NULL;
        if (here && !slots_has(&r->slots, s)) r->has_residue = true;
    }
    bool settled = !r->has_residue && handover_is_complete(r);
    if (settled != r->settled) r->peers->rows_due = true;
    r->settled = settled;
    if (settled) note_end_of_move(r);
    r->progress++;
}

void handover_tick(struct replica *r) {
    if (r->map_id == 0) return; /* what is here of a former process belongs to no place yet */
    handover_judge(r);
    if (r->settled) return;
    if (r->synced && !peers_rows_are_old(r->peers)) begin_void_anew(r);
    drop_residue(r);
    handover_judge(r);
    note_move(r);
}

void handover_end_turn(struct replica *r) {
    if (r->row_came && r->has_residue) drop_residue(r);
    r->row_came = false;
    handover_judge(r);
}
