/* The bytes of redo records. See redo.h; docs/recovery.md has every byte.
 *
 * A log may end behind any frame: the process was killed while it was written, or the machine lost
 * power. What the frames before it make must be a state that the node could have been in. So a step
 * that takes several frames puts them in an order in which each beginning claims too little rather
 * than too much: versions before the clock that covers them, base taken away before the map by
 * which that is due, base given before the map that gives it.
 */
#include "redo.h"

#include <assert.h>

#define LENGTH_BYTES (WIRE_HEAD_BYTES - 1)
#define U64_BYTES    8
#define LENGTH_MAX   (1 + U64_BYTES + WIRE_SLOTS_BYTES) /* of the longest, FOUND */

_Static_assert((int)WIRE_TYPES <= (int)REDO_ADOPT, "no type means two things");

void redo_free(struct redo *redo) {
    buffer_free(&redo->out);
}

/* ---- Writing ---- */

struct buffer *redo_output(struct redo *redo) {
    for (uint32_t *told = &redo->actors_told; *told < actors_count(redo->actors); ++*told) {
        const struct actor *a = actors_get(redo->actors, *told);
        struct wire_actor m = {a->id, a->boot, a->group, a->node};
        wire_put_actor(&redo->out, &m);
    }
    return &redo->out;
}

void redo_put_frames(struct redo *redo, struct slice frames) {
    if (redo->is_on) buffer_put(redo_output(redo), frames);
}

/* As frame_open() and frame_close(), which know the types of wire.h only. */
static size_t begin(struct redo *redo, enum redo_type type) {
    size_t begun = redo->out.len;
    put_u32(&redo->out, 0);
    put_u8(&redo->out, (uint8_t)type);
    return begun;
}

static void finish(struct redo *redo, size_t begun) {
    size_t length = redo->out.len - begun - LENGTH_BYTES;
    assert(length <= LENGTH_MAX);
    store_u32(redo->out.at + begun, (uint32_t)length);
}

static void put_slots(struct redo *redo, const struct slots *slots) {
    uint8_t bytes[WIRE_SLOTS_BYTES];
    row_put_slots(bytes, slots);
    buffer_put(&redo->out, (struct slice){(const char *)bytes, sizeof bytes});
}

void redo_put_slot(struct redo *redo, uint32_t slot, const struct vclock *clock,
                   const struct base *base) {
    struct buffer *out = redo_output(redo);
    uint32_t groups = base == NULL ? 0 : base->count;
    size_t begun = wire_begin_slot(out, (uint16_t)slot, 0, (uint16_t)groups, clock->len);
    for (uint32_t i = 0; i < groups; i++)
        wire_put_u64(out, base->groups[i]);
    row_put_dots(out, clock, redo->actors);
    wire_end_slot(out, begun);
}

/* ---- Parts ---- */

void redo_open_slots(struct redo *redo, struct parts *ps, const struct slots *slots) {
    struct slots fresh = {0};
    for (uint32_t s = slots_next(slots, 0); s < SHARD_SLOTS; s = slots_next(slots, s + 1)) {
        if (parts_clock(ps, s) == NULL) slots_add(&fresh, s);
        parts_open_slot(ps, s);
    }
    if (!redo->is_on || slots_next(&fresh, 0) == SHARD_SLOTS) return;
    size_t begun = begin(redo, REDO_OPEN);
    put_slots(redo, &fresh);
    finish(redo, begun);
}

void redo_join_slot(struct redo *redo, struct parts *ps, uint32_t slot, const struct vclock *clock,
                    const struct base *base) {
    parts_join_slot(ps, slot, clock, base);
    if (redo->is_on) redo_put_slot(redo, slot, clock, base);
}

void redo_drop_slot(struct redo *redo, struct parts *ps, uint32_t slot) {
    parts_drop_slot(ps, slot);
    if (!redo->is_on) return;
    size_t begun = begin(redo, REDO_DROP);
    put_u16(&redo->out, (uint16_t)slot);
    finish(redo, begun);
}

void redo_found(struct redo *redo, struct parts *ps, const struct slots *slots, uint64_t group) {
    parts_found(ps, slots, group);
    if (!redo->is_on) return;
    size_t begun = begin(redo, REDO_FOUND);
    wire_put_u64(&redo->out, group);
    put_slots(redo, slots);
    finish(redo, begun);
}

void redo_demote(struct redo *redo, struct parts *ps, uint64_t group) {
    parts_demote(ps, group);
    if (!redo->is_on) return;
    size_t begun = begin(redo, REDO_DEMOTE);
    wire_put_u64(&redo->out, group);
    finish(redo, begun);
}

bool redo_advance(struct redo *redo, struct parts *ps, const struct slots *of, uint32_t slot,
                  struct dot dot) {
    if (!parts_deliver(ps, of, slot, dot)) return false;
    if (!redo->is_on) return true;
    struct buffer *out = redo_output(redo);
    size_t begun = begin(redo, REDO_ADVANCE);
    wire_put_dot(out, (struct wire_dot){actors_get(redo->actors, dot.actor)->id, dot.n});
    put_u16(out, (uint16_t)slot);
    finish(redo, begun);
    return true;
}

/* ---- The rest ---- */

void redo_map(struct redo *redo, const struct map *m) {
    struct buffer encoded = {0};
    if (!redo->is_on) return;
    map_encode(&encoded, m);
    wire_put_map(&redo->out, buffer_slice(&encoded));
    buffer_free(&encoded);
}

void redo_adopt(struct redo *redo, uint64_t map_id) {
    if (!redo->is_on) return;
    size_t begun = begin(redo, REDO_ADOPT);
    wire_put_u64(&redo->out, map_id);
    finish(redo, begun);
}

void redo_ready(struct redo *redo, bool synced, bool provisional) {
    if (!redo->is_on) return;
    size_t begun = begin(redo, REDO_READY);
    unsigned flags =
        (synced ? REDO_READY_SYNCED : 0u) | (provisional ? REDO_READY_PROVISIONAL : 0u);
    put_u8(&redo->out, (uint8_t)flags);
    finish(redo, begun);
}

/* ---- Reading ---- */

enum wire_cut redo_cut(struct slice stream, struct wire_frame *out) {
    *out = (struct wire_frame){0};
    if (stream.len < WIRE_HEAD_BYTES) return WIRE_CUT_MORE;
    uint32_t length = load_u32(stream.at);
    uint8_t type = (uint8_t)stream.at[LENGTH_BYTES];
    if (type < REDO_ADOPT) return wire_cut(stream, out);
    if (type >= REDO_TYPES || length == 0 || length > LENGTH_MAX) return WIRE_CUT_BAD;
    out->type = (enum wire_type)type;
    out->bytes = LENGTH_BYTES + length;
    if (stream.len < out->bytes) return WIRE_CUT_MORE;
    out->body = (struct slice){stream.at + WIRE_HEAD_BYTES, out->bytes - WIRE_HEAD_BYTES};
    return WIRE_CUT_FRAME;
}

static bool take_slot(struct slice *rest, uint16_t *slot) {
    return take_u16(rest, slot) && *slot < SHARD_SLOTS;
}

static bool take_slots(struct slice *rest, struct slots *slots) {
    struct slice bytes = {.len = WIRE_SLOTS_BYTES};
    if (!take_bytes(rest, bytes.len, &bytes.at)) return false;
    row_read_slots(slots, bytes);
    return true;
}

bool redo_read_adopt(struct slice body, uint64_t *map_id) {
    return take_u64(&body, map_id) && body.len == 0;
}

bool redo_read_ready(struct slice body, uint8_t *flags) {
    return take_flags(&body, REDO_READY_SYNCED | REDO_READY_PROVISIONAL, flags) && body.len == 0;
}

bool redo_read_advance(struct slice body, struct wire_dot *dot, uint16_t *slot) {
    return take_dot(&body, dot) && take_slot(&body, slot) && body.len == 0;
}

bool redo_read_open(struct slice body, struct slots *slots) {
    return take_slots(&body, slots) && body.len == 0;
}

bool redo_read_drop(struct slice body, uint16_t *slot) {
    return take_slot(&body, slot) && body.len == 0;
}

bool redo_read_found(struct slice body, uint64_t *group, struct slots *slots) {
    return take_u64(&body, group) && take_slots(&body, slots) && body.len == 0;
}

bool redo_read_demote(struct slice body, uint64_t *group) {
    return take_u64(&body, group) && body.len == 0;
}
