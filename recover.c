/* Snapshots and recovery. See recover.h.
 *
 * THE WALK. A snapshot is what the node knows of actors and maps, then the slots one by one, each
 * of one moment. Meanwhile the node goes on and its log, begun anew just before, grows. So the log
 * that is replayed over the snapshot begins with changes which some slots have seen already. That
 * does no harm:
 *   - D only rises. A write within D is passed over, and only tells the other slots that stood just
 *     before it.
 *   - Versions win by their stamps, in any order.
 *   - What is said of base is absolute: of a group and a slot the last word counts.
 *   - A slot that is dropped begins with nothing: all that it had afterwards is in the log.
 * Until that DROP comes such a slot may be in a state that it had later, and what is replayed over
 * it may not fit: a write with a gap before it is left out, and would be dropped anyway. One thing
 * must not be taken lightly: that D has moved by a write to a slot which was elsewhere then says
 * nothing of that slot itself, should it be here now.
 *
 * An own write is recorded when it is delivered, like any other: what was under way has been seen
 * by nobody here, and whoever else has it brings it back. A node begins with fresh actors, so no
 * number is used twice for that.
 *
 * AFTER A CRASH OF THE MACHINE the end of the log may be gone. What is left is a state that this
 * node was in, and others may have heard of a later one. So it keeps what it has, and gives up what
 * it claimed to be whole: it has no base, it is not synced, and catches up like any that starts.
 */
#include "recover.h"

#include <stdlib.h>

/* ---- Recovery: maps and actors ---- */

static bool recover_actor(struct cluster *c, struct slice body) {
    struct wire_actor m;
    if (!wire_read_actor(body, &m)) return false;
    uint32_t actor = actors_learn(c->actors, m.id, &m.node, m.boot, m.group);
    bool mine = address_compare(&m.node, &c->peers.self) == 0;
    if (mine) actors_end(c->actors, actor); /* no process goes on with another's actor */
    return true;
}

static bool recover_map(struct recovery *rc, struct cluster *c, struct slice body) {
    struct map *m = map_decode(body);
    if (m == NULL) return false;
    bool known = rc->has_maps && maps_find(&c->maps, m->id) != NULL;
    if (known || c->maps.count == MAPS_MAX) {
        map_free(m);
        return known;
    }
    if (rc->has_maps)
        maps_add(&c->maps, m);
    else
        maps_replace(&c->maps, m); /* the first one was drawn from VIEW, by nobody yet */
    rc->has_maps = true;
    return true;
}

static bool recover_adopt(struct recovery *rc, struct cluster *c, struct slice body) {
    return redo_read_adopt(body, &rc->map_id) && maps_find(&c->maps, rc->map_id) != NULL;
}

static bool recover_ready(struct recovery *rc, struct slice body) {
    uint8_t flags;
    if (!redo_read_ready(body, &flags)) return false;
    rc->synced = flags & REDO_READY_SYNCED;
    rc->provisional = flags & REDO_READY_PROVISIONAL;
    return true;
}

/* ---- Recovery: writes ---- */

/* The write says nothing about slots that it is not for. It stays out of its own, if that lacks it.
 */
static bool advance_others(struct replica *r, const struct incoming *in) {
    struct slots others = *replica_slots_of(r, in->dot.actor);
    slots_remove(&others, in->slot);
    for (uint32_t s = slots_next(&others, 0); s < SHARD_SLOTS; s = slots_next(&others, s + 1)) {
        const struct vclock *clock = parts_clock(&r->parts, s);
        if (clock == NULL || vclock_get(clock, in->dot.actor) + 1 != in->dot.n) continue;
        return parts_deliver(&r->parts, &others, s, in->dot);
    }
    return false;
}

/* As it was delivered in its time, it must be of a known group, and its slot of that. */
static bool is_of_its_group(const struct replica *r, const struct incoming *in) {
    const struct slots *of = replica_slots_of(r, in->dot.actor);
    return of != NULL && slots_has(of, in->slot);
}

static bool recover_write(struct cluster *c, struct slice frame, struct slice body) {
    struct replica *r = &c->replica;
    struct incoming in;
    if (!deliver_understand(r, body, &in) || !is_of_its_group(r, &in)) return false;
    const struct vclock *here = parts_clock(&r->parts, in.slot);
    bool is_next = here != NULL && vclock_get(here, in.dot.actor) + 1 == in.dot.n;
    if (is_next) deliver_next(r, &in, frame, NULL);
    if (is_next || advance_others(r, &in)) {
        ring_keep(&r->ring, kept_create(in.dot, in.slot, frame));
    }
    return true;
}

static bool recover_advance(struct cluster *c, struct slice body) {
    struct replica *r = &c->replica;
    struct wire_dot dot;
    uint16_t slot;
    if (!redo_read_advance(body, &dot, &slot)) return false;
    uint32_t actor = actors_find_id(r->actors, dot.actor_id);
    struct incoming in = {.dot = {actor, dot.n}, .slot = slot};
    if (actor == ACTOR_NONE || dot.n == 0 || !is_of_its_group(r, &in)) return false;
    const struct vclock *here = parts_clock(&r->parts, slot);
    bool has = here != NULL && vclock_has(here, in.dot);
    if (advance_others(r, &in) && !has) vclock_raise(&r->ring.trimmed, in.dot);
    return true;
}

/* ---- Recovery: slots ---- */

static bool recover_version(struct recovery *rc, struct slice frame) {
    if (rc->image.len + frame.len > CATCHUP_IMAGE_BYTES_MAX) return false;
    buffer_put(&rc->image, frame);
    return true;
}

static bool merge_image(struct recovery *rc, struct replica *r, uint32_t slot) {
    struct slice rest = buffer_slice(&rc->image);
    struct wire_frame frame;
    while (wire_cut(rest, &frame) == WIRE_CUT_FRAME) {
        struct incoming in;
        if (!deliver_understand(r, frame.body, &in) || in.slot != slot) return false;
        deliver_merge(r, &in.w, in.dot.actor, NULL);
        rest = (struct slice){rest.at + frame.bytes, rest.len - frame.bytes};
    }
    rc->image.len = 0;
    return true;
}

static bool recover_slot(struct recovery *rc, struct cluster *c, struct slice body) {
    struct replica *r = &c->replica;
    struct wire_slot m;
    struct vclock clock = {0};
    struct base base = {0};
    if (!wire_read_slot(body, &m) || !merge_image(rc, r, m.slot)) return false;
    bool good = row_read_dots(&clock, m.dots, r->actors);
    for (uint32_t i = 0; i < m.groups.count && good; i++)
        base_add(&base, wire_u64_at(m.groups, i));
    if (good) parts_join_slot(&r->parts, m.slot, &clock, &base);
    vclock_join(&r->ring.trimmed, &clock); /* no frames of these are kept */
    vclock_free(&clock);
    base_clear(&base);
    return good;
}

static bool recover_open(struct cluster *c, struct slice body) {
    struct slots slots;
    if (!redo_read_open(body, &slots)) return false;
    for (uint32_t s = slots_next(&slots, 0); s < SHARD_SLOTS; s = slots_next(&slots, s + 1))
        parts_open_slot(&c->replica.parts, s);
    return true;
}

static bool recover_drop(struct cluster *c, struct slice body) {
    uint16_t slot;
    if (!redo_read_drop(body, &slot)) return false;
    parts_drop_slot(&c->replica.parts, slot);
    store_drop_slot(c->store, slot);
    return true;
}

static bool recover_found(struct cluster *c, struct slice body) {
    struct slots slots;
    uint64_t group;
    if (!redo_read_found(body, &group, &slots)) return false;
    parts_found(&c->replica.parts, &slots, group);
    return true;
}

static bool recover_demote(struct cluster *c, struct slice body) {
    uint64_t group;
    if (!redo_read_demote(body, &group)) return false;
    parts_demote(&c->replica.parts, group);
    return true;
}

/* ---- Recovery: frames ---- */

static bool recover_frame(struct recovery *rc, struct cluster *c, const struct wire_frame *f,
                          struct slice frame) {
    bool of_image = f->type == WIRE_VERSION || f->type == WIRE_SLOT;
    if (!of_image) rc->image.len = 0; /* a process ended within one */
    switch ((int)f->type) {
    case WIRE_ACTOR: return recover_actor(c, f->body);
    case WIRE_MAP: return recover_map(rc, c, f->body);
    case WIRE_WRITE: return recover_write(c, frame, f->body);
    case WIRE_VERSION: return recover_version(rc, frame);
    case WIRE_SLOT: return recover_slot(rc, c, f->body);
    case REDO_ADOPT: return recover_adopt(rc, c, f->body);
    case REDO_READY: return recover_ready(rc, f->body);
    case REDO_ADVANCE: return recover_advance(c, f->body);
    case REDO_OPEN: return recover_open(c, f->body);
    case REDO_DROP: return recover_drop(c, f->body);
    case REDO_FOUND: return recover_found(c, f->body);
    case REDO_DEMOTE: return recover_demote(c, f->body);
    default: return false;
    }
}

bool recover_frames(struct recovery *rc, struct cluster *c, struct slice frames) {
    while (frames.len > 0) {
        struct wire_frame f;
        if (redo_cut(frames, &f) != WIRE_CUT_FRAME) return false;
        if (!recover_frame(rc, c, &f, (struct slice){frames.at, f.bytes})) return false;
        frames = (struct slice){frames.at + f.bytes, frames.len - f.bytes};
    }
    return true;
}

/* ---- Recovery: the end ---- */

/* What was whole may lack its end. */
static void give_up_base(struct replica *r) {
    for (uint32_t i = 0; i < r->parts.count; i++) {
        while (r->parts.list[i].base.count > 0)
            redo_demote(&r->redo, &r->parts, r->parts.list[i].base.groups[0]);
    }
}

/* Who has no peers keeps nothing for them. */
static void empty_ring(struct ring *ring) {
    while (ring->first != NULL)
        ring_trim_first(ring);
}

void recover_end(struct recovery *rc, struct cluster *c, bool is_intact) {
    struct replica *r = &c->replica;
    buffer_free(&rc->image); /* the log ended within an image: it was never taken */
    r->redo.is_on = true;
    r->redo.actors_told = actors_count(c->actors);
    r->stats = (struct replica_stats){0};
    if (rc->map_id == 0) { /* nobody has lived by anything yet */
        cluster_begin(c);
        return;
    }
    bool synced = rc->synced && is_intact;
    c->lost_tail = !is_intact;
    if (!is_intact) give_up_base(r);
    redo_ready(&r->redo, synced, synced && rc->provisional);
    parts_unite(&r->parts);
    cluster_resume(c, (struct map *)maps_find(&c->maps, rc->map_id), synced, rc->provisional);
    if (c->peers.count == 1) empty_ring(&r->ring);
}

/* ---- Snapshots ---- */

/* As a log would have recorded it from the beginning. Whatever has changed since the walk began is
 * in the log behind it. */
static void put_head(struct cluster *c, struct redo *redo) {
    const struct replica *r = &c->replica;
    bool lives = c->maps.is_decided || c->resume.is_due;
    redo_output(redo); /* all actors: the log behind takes them for known */
    for (uint32_t i = 0; i < c->maps.count && lives; i++)
        redo_map(redo, c->maps.list[i]);
    if (lives) redo_adopt(redo, c->maps.map->id);
    if (c->resume.is_due)
        redo_ready(redo, c->resume.synced, c->resume.provisional);
    else
        redo_ready(redo, r->synced, r->provisional);
}

static void put_slot(struct cluster *c, struct redo *redo, uint32_t slot) {
    struct replica *r = &c->replica;
    struct store_walk walk = store_walk_slot(slot);
    struct version v;
    if (parts_clock(&r->parts, slot) == NULL) return;
    while (store_walk_next(c->store, &walk, &v))
        replica_put_stored(r, redo_output(redo), WIRE_VERSION, &v);
    redo_put_slot(redo, slot, parts_clock(&r->parts, slot), parts_base(&r->parts, slot));
}

bool snapshot_next(struct snapshot *walk, struct cluster *c, struct buffer *out) {
    struct redo redo = {true, c->actors, walk->actors_told, *out};
    if (!walk->has_head)
        put_head(c, &redo);
    else
        put_slot(c, &redo, walk->slot++);
    walk->has_head = true;
    walk->actors_told = redo.actors_told;
    *out = redo.out;
    return walk->slot < SHARD_SLOTS;
}
