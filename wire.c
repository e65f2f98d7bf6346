/* Messages between nodes. See wire.h; frame.c has the bytes.
 *
 * Reading. A reader takes its body from the front, piece by piece; all pieces together must use up
 * the body, to the byte.
 *
 * One form. Each message has exactly one encoding: what was read and is written again gives the
 * same bytes. So addresses must come in their normal form, unknown flag bits are refused, and so
 * are bytes that nothing names.
 *
 * Writing cannot fail. Lists of another length than was said before are mistakes of the caller and
 * are asserted when the message ends.
 *
 * WRITE is the hot path: all its lengths stand in a head of fixed size, so that reading it takes
 * one comparison and plain loads, and writing it reserves once.
 */
#include "wire.h"

#include <assert.h>

#include "hlc.h"
#include "store.h"

#define WRITE_TOMBSTONE 1
#define PEER_IN_VIEW    1
#define PEER_SHARES_MAP 2

/* The fixed head of the body of a WRITE. */
enum {
    WRITE_ACTOR = 0,
    WRITE_N = 8,
    WRITE_HLC = 16,
    WRITE_FLAGS = 24,
    WRITE_MAP_COUNT = 25,
    WRITE_DEP_COUNT = 27,
    WRITE_KEY_LEN = 31,
    WRITE_VALUE_LEN = 33,
    WRITE_BODY_HEAD_BYTES = 37,
};

_Static_assert(STORE_KEY_BYTES_MAX <= UINT16_MAX, "a key's length is 16 bits");
_Static_assert(SHARD_SLOTS % 8 == 0 && SHARD_SLOTS <= UINT16_MAX, "sets of slots are whole bytes");

void wire_put_goodbye(struct buffer *out) {
    frame_close(out, frame_open(out, WIRE_GOODBYE));
}

/* ---- Parts: of rows and pulls ---- */

void wire_begin_part(struct buffer *out, const uint8_t slots[WIRE_SLOTS_BYTES],
                     uint16_t group_count, uint32_t dot_count) {
    buffer_put(out, (struct slice){(const char *)slots, WIRE_SLOTS_BYTES});
    put_u16(out, group_count);
    put_u32(out, dot_count);
}

static bool take_part(struct slice *rest, struct wire_part *p) {
    uint16_t group_count;
    uint32_t dot_count;
    p->slots.len = WIRE_SLOTS_BYTES;
    return take_bytes(rest, WIRE_SLOTS_BYTES, &p->slots.at) && take_u16(rest, &group_count) &&
           take_u32(rest, &dot_count) && take_u64s(rest, group_count, &p->groups) &&
           take_dots(rest, dot_count, &p->dots);
}

struct wire_part wire_next_part(struct slice *rest) {
    struct wire_part p;
    bool there = take_part(rest, &p);
    assert(there); /* the reader of the row or the pull has counted it */
    (void)there;
    return p;
}

/* True when `rest` is so many parts and nothing else. */
static bool are_parts(struct slice rest, uint16_t count) {
    struct wire_part p;
    for (uint16_t i = 0; i < count; i++) {
        if (!take_part(&rest, &p)) return false;
    }
    return rest.len == 0;
}

/* ---- Rows ---- */

#define ROW_FLAGS (WIRE_ROW_SYNCED | WIRE_ROW_HEARS_YOU | WIRE_ROW_SETTLED | WIRE_ROW_FULL)

void wire_begin_row(struct wire_row_writer *w, struct buffer *out, uint8_t flags,
                    const uint64_t *maps, uint16_t map_count) {
    assert((flags & ~ROW_FLAGS) == 0);
    *w = (struct wire_row_writer){.out = out, .frame_at = frame_open(out, WIRE_ROW)};
    put_u8(out, flags);
    w->counts_at = out->len;
    put_u16(out, 0);
    put_u16(out, 0);
    put_u16(out, map_count);
    for (uint16_t i = 0; i < map_count; i++)
        wire_put_u64(out, maps[i]);
    w->parts_at = out->len;
}

void wire_put_row_peer(struct wire_row_writer *w, const struct wire_row_peer *p) {
    assert(w->part_count == 0 && w->peer_count < UINT16_MAX);
    w->peer_count++;
    wire_put_u64(w->out, p->boot);
    unsigned flags = (p->in_view ? PEER_IN_VIEW : 0u) | (p->shares_map ? PEER_SHARES_MAP : 0u);
    put_u8(w->out, (uint8_t)flags);
    put_address(w->out, &p->address);
    w->parts_at = w->out->len;
}

void wire_count_part(struct wire_row_writer *w) {
    assert(w->part_count < UINT16_MAX);
    w->part_count++;
}

void wire_end_row(struct wire_row_writer *w) {
    struct slice parts = {w->out->at + w->parts_at, w->out->len - w->parts_at};
    assert(are_parts(parts, w->part_count));
    char *counts = w->out->at + w->counts_at;
    store_u16(store_u16(counts, w->peer_count), w->part_count);
    frame_close(w->out, w->frame_at);
}

static bool take_row_peer(struct slice *rest, struct wire_row_peer *p) {
    uint8_t flags;
    if (!take_u64(rest, &p->boot)) return false;
    if (!take_flags(rest, PEER_IN_VIEW | PEER_SHARES_MAP, &flags)) return false;
    p->in_view = flags & PEER_IN_VIEW;
    p->shares_map = flags & PEER_SHARES_MAP;
    return take_address(rest, &p->address);
}

struct wire_row_peer wire_next_row_peer(struct wire_row *m) {
    struct wire_row_peer p;
    bool there = take_row_peer(&m->rest, &p);
    assert(there); /* wire_read_row() has counted it */
    (void)there;
    return p;
}

bool wire_read_row(struct slice body, struct wire_row *m) {
    uint16_t map_count;
    struct wire_row_peer p;
    if (!take_flags(&body, ROW_FLAGS, &m->flags) || !take_u16(&body, &m->peer_count) ||
        !take_u16(&body, &m->part_count) || !take_u16(&body, &map_count) ||
        !take_u64s(&body, map_count, &m->maps)) {
        return false;
    }
    m->rest = body;
    for (uint16_t i = 0; i < m->peer_count; i++) {
        if (!take_row_peer(&body, &p)) return false;
    }
    return are_parts(body, m->part_count);
}

/* ---- Maps and actors ---- */

void wire_put_map_ask(struct buffer *out, uint64_t map_id) {
    size_t begun = frame_open(out, WIRE_MAP_ASK);
    wire_put_u64(out, map_id);
    frame_close(out, begun);
}

bool wire_read_map_ask(struct slice body, uint64_t *map_id) {
    return take_u64(&body, map_id) && body.len == 0;
}

void wire_put_map(struct buffer *out, struct slice encoded) {
    size_t begun = frame_open(out, WIRE_MAP);
    buffer_put(out, encoded);
    frame_close(out, begun);
}

void wire_put_actor(struct buffer *out, const struct wire_actor *m) {
    size_t begun = frame_open(out, WIRE_ACTOR);
    wire_put_u64(out, m->id);
    wire_put_u64(out, m->boot);
    wire_put_u64(out, m->group);
    put_address(out, &m->node);
    frame_close(out, begun);
}

bool wire_read_actor(struct slice body, struct wire_actor *m) {
    return take_u64(&body, &m->id) && take_u64(&body, &m->boot) && take_u64(&body, &m->group) &&
           take_address(&body, &m->node) && body.len == 0;
}

/* ---- Writes ---- */

/* What stands between the fixed head of a WRITE and its key. 64 bits: the counts may lie. */
static inline uint64_t lists_bytes(uint32_t map_count, uint32_t dep_count) {
    return (uint64_t)map_count * WIRE_MAP_REF_BYTES + (uint64_t)dep_count * WIRE_DOT_BYTES;
}

size_t wire_begin_write(struct buffer *out, enum wire_type type, const struct wire_write *m) {
    assert(type == WIRE_WRITE || type == WIRE_VERSION);
    assert(m->maps.count <= UINT16_MAX);
    assert(lists_bytes(m->maps.count, m->deps.count) <= WIRE_LISTS_BYTES_MAX);
    size_t begun = out->len;
    size_t head = WIRE_HEAD_BYTES + WRITE_BODY_HEAD_BYTES;
    size_t lists = (size_t)lists_bytes(m->maps.count, m->deps.count);
    buffer_reserve(out, head + lists + m->key.len + m->value.len); /* once for all that comes */
    char *at = store_u32(buffer_grow(out, head), 0);
    *at++ = (char)type;
    at = store_u64(at, m->dot.actor_id);
    at = store_u64(at, m->dot.n);
    at = store_u64(at, m->hlc);
    *at++ = m->is_tombstone ? WRITE_TOMBSTONE : 0;
    at = store_u16(at, (uint16_t)m->maps.count);
    at = store_u32(at, m->deps.count);
    at = store_u16(at, 0); /* the lengths of key and value: wire_end_write() */
    store_u32(at, 0);
    return begun;
}

static bool are_key_and_value(uint8_t flags, size_t key_len, size_t value_len) {
    bool key_fits = key_len >= 1 && key_len <= STORE_KEY_BYTES_MAX;
    bool is_tombstone = flags == WRITE_TOMBSTONE;
    return key_fits && (!is_tombstone || value_len == 0);
}

void wire_end_write(struct buffer *out, size_t begun, struct slice key, struct slice value) {
    char *head = out->at + begun + WIRE_HEAD_BYTES;
    uint64_t lists =
        lists_bytes(load_u16(head + WRITE_MAP_COUNT), load_u32(head + WRITE_DEP_COUNT));
    assert(out->len == begun + WIRE_HEAD_BYTES + WRITE_BODY_HEAD_BYTES + lists);
    assert(are_key_and_value((uint8_t)head[WRITE_FLAGS], key.len, value.len));
    assert(value.len <= WIRE_FRAME_BYTES_MAX);
    store_u16(head + WRITE_KEY_LEN, (uint16_t)key.len);
    store_u32(head + WRITE_VALUE_LEN, (uint32_t)value.len);
    buffer_put(out, key);
    buffer_put(out, value);
    frame_close(out, begun);
}

bool wire_read_write(struct slice body, struct wire_write *m) {
    if (body.len < WRITE_BODY_HEAD_BYTES) return false;
    const char *at = body.at;
    uint8_t flags = (uint8_t)at[WRITE_FLAGS];
    uint32_t map_count = load_u16(at + WRITE_MAP_COUNT);
    uint32_t dep_count = load_u32(at + WRITE_DEP_COUNT);
    size_t key_len = load_u16(at + WRITE_KEY_LEN);
    size_t value_len = load_u32(at + WRITE_VALUE_LEN);
    uint64_t lists = lists_bytes(map_count, dep_count);
    uint64_t named = WRITE_BODY_HEAD_BYTES + lists + key_len + value_len;
    if (named != body.len || (flags & ~WRITE_TOMBSTONE) != 0) return false;
    if (!are_key_and_value(flags, key_len, value_len)) return false;
    if (lists > WIRE_LISTS_BYTES_MAX || load_u64(at + WRITE_HLC) > HLC_MAX) return false;

    m->dot = (struct wire_dot){load_u64(at + WRITE_ACTOR), load_u64(at + WRITE_N)};
    m->hlc = load_u64(at + WRITE_HLC);
    m->is_tombstone = flags == WRITE_TOMBSTONE;
    at += WRITE_BODY_HEAD_BYTES;
    m->maps = (struct wire_list){at, map_count};
    at += (size_t)map_count * WIRE_MAP_REF_BYTES;
    m->deps = (struct wire_list){at, dep_count};
    at += (size_t)dep_count * WIRE_DOT_BYTES;
    m->key = (struct slice){at, key_len};
    m->value = (struct slice){at + key_len, value_len};
    return true;
}

void wire_put_ack(struct buffer *out, struct wire_dot dot) {
    size_t begun = frame_open(out, WIRE_ACK);
    wire_put_dot(out, dot);
    frame_close(out, begun);
}

bool wire_read_ack(struct slice body, struct wire_dot *dot) {
    return take_dot(&body, dot) && body.len == 0;
}

/* ---- Catching up ---- */

size_t wire_begin_pull(struct buffer *out, uint64_t map_id, const uint8_t whole[WIRE_SLOTS_BYTES],
                       uint16_t part_count) {
    size_t begun = frame_open(out, WIRE_PULL);
    wire_put_u64(out, map_id);
    buffer_put(out, (struct slice){(const char *)whole, WIRE_SLOTS_BYTES});
    put_u16(out, part_count);
    return begun;
}

void wire_end_pull(struct buffer *out, size_t begun) {
    struct wire_pull m;
    assert(wire_read_pull(frame_body(out, begun), &m));
    (void)m;
    frame_close(out, begun);
}

bool wire_read_pull(struct slice body, struct wire_pull *m) {
    m->whole.len = WIRE_SLOTS_BYTES;
    if (!take_u64(&body, &m->map_id) || !take_bytes(&body, WIRE_SLOTS_BYTES, &m->whole.at) ||
        !take_u16(&body, &m->part_count)) {
        return false;
    }
    m->rest = body;
    return are_parts(body, m->part_count);
}

size_t wire_begin_slot(struct buffer *out, uint16_t slot, uint64_t asked_map_id,
                       uint16_t group_count, uint32_t dot_count) {
    assert(slot < SHARD_SLOTS);
    size_t begun = frame_open(out, WIRE_SLOT);
    put_u16(out, slot);
    wire_put_u64(out, asked_map_id);
    put_u16(out, group_count);
    put_u32(out, dot_count);
    return begun;
}

void wire_end_slot(struct buffer *out, size_t begun) {
    struct wire_slot m;
    assert(wire_read_slot(frame_body(out, begun), &m));
    (void)m;
    frame_close(out, begun);
}

static bool take_slot(struct slice *rest, uint16_t *slot) {
    return take_u16(rest, slot) && *slot < SHARD_SLOTS;
}

bool wire_read_slot(struct slice body, struct wire_slot *m) {
    uint16_t group_count;
    uint32_t dot_count;
    return take_slot(&body, &m->slot) && take_u64(&body, &m->asked_map_id) &&
           take_u16(&body, &group_count) && take_u32(&body, &dot_count) &&
           take_u64s(&body, group_count, &m->groups) && take_dots(&body, dot_count, &m->dots) &&
           body.len == 0;
}

void wire_put_slot_end(struct buffer *out, uint16_t slot) {
    assert(slot < SHARD_SLOTS);
    size_t begun = frame_open(out, WIRE_SLOT_END);
    put_u16(out, slot);
    frame_close(out, begun);
}

bool wire_read_slot_end(struct slice body, uint16_t *slot) {
    return take_slot(&body, slot) && body.len == 0;
}
