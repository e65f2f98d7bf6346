/* Frames between nodes. See wire.h; every byte stands in docs/wire.md.
 *
 * The problem. Nodes trust each other's intentions, not each other's bytes: a wrong port, another
 * version or a bug on the other side must end in a closed link, never in a read beyond a buffer or
 * in an allocation that a stranger chose.
 *
 * The idea. wire_cut() looks at the five bytes of the head and at nothing else; a table says how
 * long a frame of each type can be, so that whoever has not even said HELLO cannot make us wait for
 * megabytes. A reader then takes its body from the front with take_...(): each compares a length
 * with what is left before it touches anything, and all of them together must use up the body, to
 * the byte. Lists stay where they are: they are checked as a whole, once, and their items are
 * loaded when they are asked for.
 *
 * One form. Each message has exactly one encoding: what was read and is written again gives the
 * same bytes. So addresses must come in their normal form, unknown flag bits are refused, and so
 * are bytes that nothing names.
 *
 * Writing cannot fail. Sizes that do not fit a field or a frame, and lists of another length than
 * was said before, are mistakes of the caller and are asserted where they are made: the node at the
 * other end would only see nonsense. A frame begins with a length of 0, which close_frame() puts
 * right.
 *
 * WRITE is the hot path: all its lengths stand in a head of fixed size, so that reading it takes
 * one comparison and plain loads, and writing it reserves once.
 */
#include "wire.h"

#include <assert.h>

#include "store.h"

#define LENGTH_BYTES    4 /* the field itself does not count in what it says */
#define ADDRESS_BYTES   2 /* the length before the text */
#define LENGTH_MAX      (WIRE_FRAME_BYTES_MAX - LENGTH_BYTES)
#define U64_BYTES       8
#define DOT_BYTES       16
#define MAP_REF_BYTES   8
#define WRITE_TOMBSTONE 1
#define PEER_IN_VIEW    1

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

_Static_assert(WIRE_HEAD_BYTES == LENGTH_BYTES + 1, "a length and a type");
_Static_assert(STORE_KEY_BYTES_MAX <= UINT16_MAX, "a key's length is 16 bits");
_Static_assert(WIRE_CLUSTER_MAX <= UINT8_MAX && WIRE_REASON_MAX <= UINT8_MAX, "lengths of 8 bits");
_Static_assert(ADDRESS_TEXT_MAX <= UINT16_MAX, "the length of an address is 16 bits");
_Static_assert(SHARD_SLOTS % 8 == 0 && SHARD_SLOTS <= UINT16_MAX, "sets of slots are whole bytes");

/* ---- Frames in a stream of bytes ---- */

/* What the length of each type may be, its type byte included; 0: there is no such type. */
static const uint32_t length_max[WIRE_TYPES] = {
    [WIRE_HELLO] = 1 + 15 + WIRE_CLUSTER_MAX + 2 * (ADDRESS_BYTES + ADDRESS_TEXT_MAX),
    [WIRE_WELCOME] = 1 + U64_BYTES,
    [WIRE_REFUSED] = 1 + 1 + WIRE_REASON_MAX,
    [WIRE_ROW] = LENGTH_MAX,
    [WIRE_MAP_ASK] = 1 + U64_BYTES,
    [WIRE_MAP] = LENGTH_MAX,
    [WIRE_ACTOR] = 1 + 3 * U64_BYTES + ADDRESS_BYTES + ADDRESS_TEXT_MAX,
    [WIRE_WRITE] = LENGTH_MAX,
    [WIRE_ACK] = 1 + DOT_BYTES,
    [WIRE_PULL] = LENGTH_MAX,
    [WIRE_SLOT] = LENGTH_MAX,
    [WIRE_VERSION] = LENGTH_MAX,
    [WIRE_SLOT_END] = 1 + 2,
    [WIRE_GOODBYE] = 1,
};

static inline uint16_t load_u16(const char *at) {
    uint16_t n;
    memcpy(&n, at, sizeof n);
    return be16toh(n);
}

static inline uint32_t load_u32(const char *at) {
    uint32_t n;
    memcpy(&n, at, sizeof n);
    return be32toh(n);
}

static inline uint64_t load_u64(const char *at) {
    uint64_t n;
    memcpy(&n, at, sizeof n);
    return be64toh(n);
}

enum wire_cut wire_cut(struct slice stream, struct wire_frame *out) {
    *out = (struct wire_frame){0};
    if (stream.len < WIRE_HEAD_BYTES) return WIRE_CUT_MORE;
    uint32_t length = load_u32(stream.at);
    uint8_t type = (uint8_t)stream.at[LENGTH_BYTES];
    if (type >= WIRE_TYPES || length == 0 || length > length_max[type]) return WIRE_CUT_BAD;

    out->type = (enum wire_type)type;
    out->bytes = LENGTH_BYTES + (size_t)length;
    if (stream.len < out->bytes) return WIRE_CUT_MORE;
    out->body = (struct slice){stream.at + WIRE_HEAD_BYTES, out->bytes - WIRE_HEAD_BYTES};
    return WIRE_CUT_FRAME;
}

/* ---- Taking a body apart ----
 *
 * Each takes something from the front of *rest, or is false because it is not there. */

static bool take(struct slice *rest, size_t bytes, const char **at) {
    if (rest->len < bytes) return false;
    *at = rest->at;
    *rest = (struct slice){rest->at + bytes, rest->len - bytes};
    return true;
}

static bool take_u8(struct slice *rest, uint8_t *out) {
    const char *at;
    if (!take(rest, sizeof *out, &at)) return false;
    *out = (uint8_t)*at;
    return true;
}

static bool take_u16(struct slice *rest, uint16_t *out) {
    const char *at;
    if (!take(rest, sizeof *out, &at)) return false;
    *out = load_u16(at);
    return true;
}

static bool take_u32(struct slice *rest, uint32_t *out) {
    const char *at;
    if (!take(rest, sizeof *out, &at)) return false;
    *out = load_u32(at);
    return true;
}

static bool take_u64(struct slice *rest, uint64_t *out) {
    const char *at;
    if (!take(rest, sizeof *out, &at)) return false;
    *out = load_u64(at);
    return true;
}

static bool take_dot(struct slice *rest, struct wire_dot *out) {
    return take_u64(rest, &out->actor_id) && take_u64(rest, &out->n);
}

/* Flags of which only `known` may be set. */
static bool take_flags(struct slice *rest, uint8_t known, uint8_t *out) {
    return take_u8(rest, out) && (*out & ~known) == 0;
}

static bool take_list(struct slice *rest, uint32_t count, size_t item_bytes,
                      struct wire_list *out) {
    if (count > rest->len / item_bytes) return false;
    out->count = count;
    return take(rest, count * item_bytes, &out->at);
}

/* Only the text as we would write it: the address is an identity. */
static bool take_address(struct slice *rest, struct address *out) {
    uint16_t len;
    struct slice text;
    if (!take_u16(rest, &len) || len > ADDRESS_TEXT_MAX || !take(rest, len, &text.at)) return false;
    text.len = len;
    return address_parse(text, out) == NULL && slice_equal(text, address_text(out));
}

/* Names and reasons end in logs: plain ASCII, nothing that steers a terminal or ends a line. */
static bool is_plain(struct slice text) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < ' ' || text.at[i] > '~') return false;
    }
    return true;
}

static bool take_plain(struct slice *rest, size_t len_max, struct slice *out) {
    uint8_t len;
    if (!take_u8(rest, &len) || len > len_max || !take(rest, len, &out->at)) return false;
    out->len = len;
    return is_plain(*out);
}

/* ---- Putting a frame together ---- */

static inline char *store_u16(char *at, uint16_t n) {
    n = htobe16(n);
    memcpy(at, &n, sizeof n);
    return at + sizeof n;
}

static inline char *store_u32(char *at, uint32_t n) {
    n = htobe32(n);
    memcpy(at, &n, sizeof n);
    return at + sizeof n;
}

static inline char *store_u64(char *at, uint64_t n) {
    n = htobe64(n);
    memcpy(at, &n, sizeof n);
    return at + sizeof n;
}

/* Where the next bytes go; they count as written. */
static inline char *grow(struct buffer *out, size_t bytes) {
    if (out->cap - out->len < bytes) buffer_reserve(out, bytes);
    out->len += bytes;
    return out->at + out->len - bytes;
}

static void put_u8(struct buffer *out, uint8_t n) {
    *grow(out, sizeof n) = (char)n;
}

static void put_u16(struct buffer *out, uint16_t n) {
    store_u16(grow(out, sizeof n), n);
}

static void put_u32(struct buffer *out, uint32_t n) {
    store_u32(grow(out, sizeof n), n);
}

void wire_put_u64(struct buffer *out, uint64_t number) {
    store_u64(grow(out, sizeof number), number);
}

void wire_put_dot(struct buffer *out, struct wire_dot dot) {
    store_u64(store_u64(grow(out, DOT_BYTES), dot.actor_id), dot.n);
}

static void put_address(struct buffer *out, const struct address *a) {
    put_u16(out, a->text_len);
    buffer_put(out, address_text(a));
}

static void put_plain(struct buffer *out, struct slice text, size_t len_max) {
    assert(text.len <= len_max && is_plain(text));
    put_u8(out, (uint8_t)text.len);
    buffer_put(out, text);
}

/* Returns where the frame begins, for close_frame(). */
static size_t open_frame(struct buffer *out, enum wire_type type) {
    size_t begun = out->len;
    put_u32(out, 0);
    put_u8(out, (uint8_t)type);
    return begun;
}

static struct slice body_since(const struct buffer *out, size_t begun) {
    size_t at = begun + WIRE_HEAD_BYTES;
    return (struct slice){out->at + at, out->len - at};
}

static void close_frame(struct buffer *out, size_t begun) {
    assert(out->len >= begun + WIRE_HEAD_BYTES);
    size_t length = out->len - begun - LENGTH_BYTES;
    assert(length <= length_max[(uint8_t)out->at[begun + LENGTH_BYTES]]);
    store_u32(out->at + begun, (uint32_t)length);
}

/* ---- Lists ---- */

struct wire_dot wire_dot_at(struct wire_list dots, uint32_t i) {
    assert(i < dots.count);
    const char *at = dots.at + (size_t)i * DOT_BYTES;
    return (struct wire_dot){load_u64(at), load_u64(at + U64_BYTES)};
}

uint64_t wire_u64_at(struct wire_list numbers, uint32_t i) {
    assert(i < numbers.count);
    return load_u64(numbers.at + (size_t)i * U64_BYTES);
}

struct wire_map_ref wire_map_ref_at(struct wire_list maps, uint32_t i) {
    assert(i < maps.count);
    const char *at = maps.at + (size_t)i * MAP_REF_BYTES;
    return (struct wire_map_ref){load_u32(at), load_u32(at + sizeof(uint32_t))};
}

/* ---- Handshake ---- */

void wire_put_hello(struct buffer *out, const struct wire_hello *m) {
    size_t begun = open_frame(out, WIRE_HELLO);
    put_u32(out, WIRE_MAGIC);
    put_u16(out, m->version);
    wire_put_u64(out, m->boot);
    put_plain(out, m->cluster, WIRE_CLUSTER_MAX);
    put_address(out, &m->caller);
    put_address(out, &m->callee);
    close_frame(out, begun);
}

bool wire_read_hello(struct slice body, struct wire_hello *m) {
    uint32_t magic;
    return take_u32(&body, &magic) && magic == WIRE_MAGIC && take_u16(&body, &m->version) &&
           take_u64(&body, &m->boot) && take_plain(&body, WIRE_CLUSTER_MAX, &m->cluster) &&
           take_address(&body, &m->caller) && take_address(&body, &m->callee) && body.len == 0;
}

void wire_put_welcome(struct buffer *out, uint64_t boot) {
    size_t begun = open_frame(out, WIRE_WELCOME);
    wire_put_u64(out, boot);
    close_frame(out, begun);
}

bool wire_read_welcome(struct slice body, uint64_t *boot) {
    return take_u64(&body, boot) && body.len == 0;
}

void wire_put_refused(struct buffer *out, struct slice reason) {
    if (reason.len > WIRE_REASON_MAX) reason.len = WIRE_REASON_MAX; /* it may quote addresses */
    size_t begun = open_frame(out, WIRE_REFUSED);
    put_plain(out, reason, WIRE_REASON_MAX);
    close_frame(out, begun);
}

bool wire_read_refused(struct slice body, struct slice *reason) {
    return take_plain(&body, WIRE_REASON_MAX, reason) && body.len == 0;
}

void wire_put_goodbye(struct buffer *out) {
    close_frame(out, open_frame(out, WIRE_GOODBYE));
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
    return take(rest, WIRE_SLOTS_BYTES, &p->slots.at) && take_u16(rest, &group_count) &&
           take_u32(rest, &dot_count) && take_list(rest, group_count, U64_BYTES, &p->groups) &&
           take_list(rest, dot_count, DOT_BYTES, &p->dots);
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

#define ROW_FLAGS (WIRE_ROW_SYNCED | WIRE_ROW_HEARS_YOU | WIRE_ROW_PROVISIONAL)

void wire_begin_row(struct wire_row_writer *w, struct buffer *out, uint8_t flags,
                    uint32_t held_back, const uint64_t *maps, uint16_t map_count) {
    assert((flags & ~ROW_FLAGS) == 0);
    *w = (struct wire_row_writer){.out = out, .frame_at = open_frame(out, WIRE_ROW)};
    put_u8(out, flags);
    put_u32(out, held_back);
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
    put_u8(w->out, p->in_view ? PEER_IN_VIEW : 0);
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
    close_frame(w->out, w->frame_at);
}

static bool take_row_peer(struct slice *rest, struct wire_row_peer *p) {
    uint8_t in_view;
    if (!take_u64(rest, &p->boot) || !take_flags(rest, PEER_IN_VIEW, &in_view)) return false;
    p->in_view = in_view == PEER_IN_VIEW;
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
    if (!take_flags(&body, ROW_FLAGS, &m->flags) || !take_u32(&body, &m->held_back) ||
        !take_u16(&body, &m->peer_count) || !take_u16(&body, &m->part_count) ||
        !take_u16(&body, &map_count) || !take_list(&body, map_count, U64_BYTES, &m->maps)) {
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
    size_t begun = open_frame(out, WIRE_MAP_ASK);
    wire_put_u64(out, map_id);
    close_frame(out, begun);
}

bool wire_read_map_ask(struct slice body, uint64_t *map_id) {
    return take_u64(&body, map_id) && body.len == 0;
}

void wire_put_map(struct buffer *out, struct slice encoded) {
    size_t begun = open_frame(out, WIRE_MAP);
    buffer_put(out, encoded);
    close_frame(out, begun);
}

void wire_put_actor(struct buffer *out, const struct wire_actor *m) {
    size_t begun = open_frame(out, WIRE_ACTOR);
    wire_put_u64(out, m->id);
    wire_put_u64(out, m->boot);
    wire_put_u64(out, m->group);
    put_address(out, &m->node);
    close_frame(out, begun);
}

bool wire_read_actor(struct slice body, struct wire_actor *m) {
    return take_u64(&body, &m->id) && take_u64(&body, &m->boot) && take_u64(&body, &m->group) &&
           take_address(&body, &m->node) && body.len == 0;
}

/* ---- Writes ---- */

/* What stands between the fixed head of a WRITE and its key. 64 bits: the counts may lie. */
static inline uint64_t lists_bytes(uint32_t map_count, uint32_t dep_count) {
    return (uint64_t)map_count * MAP_REF_BYTES + (uint64_t)dep_count * DOT_BYTES;
}

size_t wire_begin_write(struct buffer *out, enum wire_type type, const struct wire_write *m) {
    assert(type == WIRE_WRITE || type == WIRE_VERSION);
    assert(m->maps.count <= UINT16_MAX);
    size_t begun = out->len;
    size_t head = WIRE_HEAD_BYTES + WRITE_BODY_HEAD_BYTES;
    size_t lists = (size_t)lists_bytes(m->maps.count, m->deps.count);
    buffer_reserve(out, head + lists + m->key.len + m->value.len); /* once for all that comes */
    char *at = store_u32(grow(out, head), 0);
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

void wire_put_map_ref(struct buffer *out, struct wire_map_ref ref) {
    store_u32(store_u32(grow(out, MAP_REF_BYTES), ref.epoch), ref.id);
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
    close_frame(out, begun);
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

    m->dot = (struct wire_dot){load_u64(at + WRITE_ACTOR), load_u64(at + WRITE_N)};
    m->hlc = load_u64(at + WRITE_HLC);
    m->is_tombstone = flags == WRITE_TOMBSTONE;
    at += WRITE_BODY_HEAD_BYTES;
    m->maps = (struct wire_list){at, map_count};
    at += (size_t)map_count * MAP_REF_BYTES;
    m->deps = (struct wire_list){at, dep_count};
    at += (size_t)dep_count * DOT_BYTES;
    m->key = (struct slice){at, key_len};
    m->value = (struct slice){at + key_len, value_len};
    return true;
}

void wire_put_ack(struct buffer *out, struct wire_dot dot) {
    size_t begun = open_frame(out, WIRE_ACK);
    wire_put_dot(out, dot);
    close_frame(out, begun);
}

bool wire_read_ack(struct slice body, struct wire_dot *dot) {
    return take_dot(&body, dot) && body.len == 0;
}

/* ---- Catching up ---- */

size_t wire_begin_pull(struct buffer *out, uint64_t map_id, uint16_t part_count) {
    size_t begun = open_frame(out, WIRE_PULL);
    wire_put_u64(out, map_id);
    put_u16(out, part_count);
    return begun;
}

void wire_end_pull(struct buffer *out, size_t begun) {
    struct wire_pull m;
    assert(wire_read_pull(body_since(out, begun), &m));
    (void)m;
    close_frame(out, begun);
}

bool wire_read_pull(struct slice body, struct wire_pull *m) {
    if (!take_u64(&body, &m->map_id) || !take_u16(&body, &m->part_count)) return false;
    m->rest = body;
    return are_parts(body, m->part_count);
}

size_t wire_begin_slot(struct buffer *out, uint16_t slot, uint64_t asked_map_id,
                       uint16_t group_count, uint32_t dot_count) {
    assert(slot < SHARD_SLOTS);
    size_t begun = open_frame(out, WIRE_SLOT);
    put_u16(out, slot);
    wire_put_u64(out, asked_map_id);
    put_u16(out, group_count);
    put_u32(out, dot_count);
    return begun;
}

void wire_end_slot(struct buffer *out, size_t begun) {
    struct wire_slot m;
    assert(wire_read_slot(body_since(out, begun), &m));
    (void)m;
    close_frame(out, begun);
}

static bool take_slot(struct slice *rest, uint16_t *slot) {
    return take_u16(rest, slot) && *slot < SHARD_SLOTS;
}

bool wire_read_slot(struct slice body, struct wire_slot *m) {
    uint16_t group_count;
    uint32_t dot_count;
    return take_slot(&body, &m->slot) && take_u64(&body, &m->asked_map_id) &&
           take_u16(&body, &group_count) && take_u32(&body, &dot_count) &&
           take_list(&body, group_count, U64_BYTES, &m->groups) &&
           take_list(&body, dot_count, DOT_BYTES, &m->dots) && body.len == 0;
}

void wire_put_slot_end(struct buffer *out, uint16_t slot) {
    assert(slot < SHARD_SLOTS);
    size_t begun = open_frame(out, WIRE_SLOT_END);
    put_u16(out, slot);
    close_frame(out, begun);
}

bool wire_read_slot_end(struct slice body, uint16_t *slot) {
    return take_slot(&body, slot) && body.len == 0;
}
