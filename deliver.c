/* Judging and delivering writes. See deliver.h.
 *
 * D advances always, the stored version only to a greater stamp. That D advances for a loser, too,
 * is what lets later writes of the same actor in.
 */
#include "deliver.h"

#include <assert.h>
#include <stdlib.h>

/* ---- Delivering ---- */

/* False: nonsense, or an actor that was not introduced. */
bool deliver_understand(const struct replica *r, struct slice body, struct incoming *in) {
    if (!wire_read_write(body, &in->w)) return false;
    in->dot = (struct dot){actors_find_id(r->actors, in->w.dot.actor_id), in->w.dot.n};
    in->slot = shard_slot(in->w.key);
    return in->dot.actor != ACTOR_NONE && in->dot.n > 0;
}

struct incoming deliver_understand_kept(const struct replica *r, const struct kept *k) {
    struct incoming in;
    bool good = deliver_understand(
        r, (struct slice){k->frame + WIRE_HEAD_BYTES, k->len - WIRE_HEAD_BYTES}, &in);
    assert(good);
    (void)good;
    return in;
}

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
enum delivery deliver_judge(const struct replica *r, const struct incoming *in,
                            struct dot *missing) {
    const struct vclock *here = parts_clock(&r->parts, in->slot);
    const struct slots *of = replica_slots_of(r, in->dot.actor);
    if (of == NULL) return IS_UNKNOWN; /* until the map comes */
    if (!slots_has(of, in->slot)) return IS_NONSENSE;
    if (here == NULL) return IS_ELSEWHERE;
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

bool deliver_merge(struct replica *r, const struct wire_write *w, uint32_t actor,
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
bool deliver_next(struct replica *r, const struct incoming *in, struct slice frame,
                  struct metadata *seen) {
    redo_put_frames(&r->redo, frame);
    bool replaced = deliver_merge(r, &in->w, in->dot.actor, seen);
    parts_deliver(&r->parts, replica_slots_of(r, in->dot.actor), in->slot, in->dot);
    trail_leave(&r->trail, in->dot, in->slot);
    r->progress++;
    r->stats.delivered++;
    return replaced;
}

/* ---- Holding back ---- */

bool deliver_held_lacks(const struct replica *r, uint32_t i, struct dot *missing, uint32_t *slot) {
    struct incoming in = deliver_understand_kept(r, r->held.list[i]);
    *slot = in.slot;
    enum delivery verdict = deliver_judge(r, &in, missing);
    return verdict == HAS_GAP || verdict == HAS_DEPS;
}

/* What does not fit is dropped: it will be pulled. */
void deliver_hold_back(struct replica *r, const struct incoming *in, struct slice frame) {
    r->stats.held_total += held_keep(&r->held, in->dot, in->slot, frame);
}

/* The write is here already, or is for a slot that others have: slots that are here may have waited
 * for it. A source whose ring reaches far enough never sends their images. */
bool deliver_advance(struct replica *r, const struct incoming *in) {
    const struct slots *of = replica_slots_of(r, in->dot.actor);
    return redo_advance(&r->redo, &r->parts, of, in->slot, in->dot);
}

/* Only the first of each actor can be next, so only those are read: there may be thousands behind
 * them, and this runs for each delivery. True: something was delivered. */
static bool release_round(struct replica *r) {
    bool delivered = false;
    for (uint32_t i = 0; i < r->held.count;) {
        struct dot missing;
        struct incoming in = deliver_understand_kept(r, r->held.list[i]);
        enum delivery verdict = deliver_judge(r, &in, &missing);
        if (verdict == IS_NEXT) {
            deliver_next(r, &in, kept_frame(r->held.list[i]), NULL);
            ring_keep(&r->ring, held_take(&r->held, i));
            delivered = true;
        } else if (verdict == IS_ELSEWHERE && deliver_advance(r, &in)) {
            ring_keep(&r->ring, held_take(&r->held, i));
            delivered = true;
        } else if (verdict == IS_HERE || verdict == IS_ELSEWHERE || verdict == IS_NONSENSE) {
            if (verdict == IS_HERE) deliver_advance(r, &in);
            free(held_take(&r->held, i));
        } else {
            i = held_place(&r->held, (struct dot){in.dot.actor + 1, 0});
        }
    }
    return delivered;
}

void deliver_release(struct replica *r) {
    while (r->held.count > 0 && !r->is_full && release_round(r)) {
    }
}

/* ---- Slots that lag behind others ---- */

/* How far each actor's writes are known in the slots that it writes to; NULL: everywhere equally,
 * so that there is nothing to level. The caller frees it. */
static struct part_range *find_lags(const struct replica *r) {
    uint32_t count = actors_count(r->actors);
    struct part_range *ranges = bytes_alloc_zeroed((count + 1) * sizeof *ranges);
    bool any = false;
    for (uint32_t actor = 0; actor < count; actor++) {
        const struct slots *of = replica_slots_of(r, actor);
        if (of != NULL) ranges[actor] = parts_range(&r->parts, of, actor);
        any = any || ranges[actor].least < ranges[actor].most;
    }
    if (any) return ranges;
    free(ranges);
    return NULL;
}

/* Goes along the trail once, past the steps that all slots know of, or none. True: something has
 * moved. */
static bool follow_trail(struct replica *r, const struct part_range *ranges) {
    bool moved = false;
    for (uint64_t i = trail_begin(&r->trail); i < r->trail.end; i++) {
        const struct trail_step *step = trail_at(&r->trail, i);
        const struct part_range *range = &ranges[step->dot.actor];
        if (step->dot.n <= range->least || step->dot.n > range->most) continue;
        const struct vclock *there = parts_clock(&r->parts, step->slot);
        const struct slots *of = replica_slots_of(r, step->dot.actor);
        if (there == NULL || of == NULL || !vclock_has(there, step->dot)) continue;
        moved = redo_advance(&r->redo, &r->parts, of, step->slot, step->dot) || moved;
    }
    return moved;
}

/* Slots that were taken over at different moments: each learns of the writes to other slots that
 * have been delivered since, or else it would lag behind as long as anybody writes. */
void deliver_level(struct replica *r) {
    struct part_range *ranges = r->parts.count > 1 ? find_lags(r) : NULL;
    while (ranges != NULL && follow_trail(r, ranges))
        parts_unite(&r->parts);
    parts_unite(&r->parts);
    free(ranges);
}
