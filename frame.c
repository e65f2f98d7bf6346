/* The bytes of frames. See frame.h; every byte stands in docs/wire.md.
 *
 * The problem. Nodes trust each other's intentions, not each other's bytes: a wrong port, another
 * version or a bug on the other side must end in a closed link, never in a read beyond a buffer or
 * in an allocation that a stranger chose.
 *
 * The idea. wire_cut() looks at the five bytes of the head and at nothing else; a table says how
 * long a frame of each type can be, so that whoever has not even said HELLO cannot make us wait for
 * megabytes. A reader then takes its body from the front with take_...(): each compares a length
 * with what is left before it touches anything. Lists stay where they are: they are checked as a
 * whole, once, and their items are loaded when they are asked for.
 *
 * Writing cannot fail. Sizes that do not fit a field or a frame are mistakes of the caller and are
 * asserted where they are made: the node at the other end would only see nonsense. A frame begins
 * with a length of 0, which frame_close() puts right.
 */
#include "frame.h"

#include <assert.h>

#define LENGTH_BYTES  4 /* the field itself does not count in what it says */
#define ADDRESS_BYTES 2 /* the length before the text */
#define LENGTH_MAX    (WIRE_FRAME_BYTES_MAX - LENGTH_BYTES)
#define U64_BYTES     8

_Static_assert(WIRE_HEAD_BYTES == LENGTH_BYTES + 1, "a length and a type");
_Static_assert(WIRE_CLUSTER_MAX <= UINT8_MAX && WIRE_REASON_MAX <= UINT8_MAX, "lengths of 8 bits");
_Static_assert(ADDRESS_TEXT_MAX <= UINT16_MAX, "the length of an address is 16 bits");

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
    [WIRE_ACK] = 1 + WIRE_DOT_BYTES,
    [WIRE_PULL] = LENGTH_MAX,
    [WIRE_SLOT] = LENGTH_MAX,
    [WIRE_VERSION] = LENGTH_MAX,
    [WIRE_SLOT_END] = 1 + 2,
    [WIRE_GOODBYE] = 1,
    [WIRE_OP] = LENGTH_MAX,
    [WIRE_ANSWER] = LENGTH_MAX,
    [WIRE_CHALLENGE] = 1 + WIRE_NONCE_BYTES,
    [WIRE_PROOF] = 1 + WIRE_NONCE_BYTES + WIRE_CODE_BYTES,
};

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

/* ---- Taking a body apart ---- */

bool take_bytes(struct slice *rest, size_t bytes, const char **at) {
    if (rest->len < bytes) return false;
    *at = rest->at;
    *rest = (struct slice){rest->at + bytes, rest->len - bytes};
    return true;
}

bool take_u8(struct slice *rest, uint8_t *out) {
    const char *at;
    if (!take_bytes(rest, sizeof *out, &at)) return false;
    *out = (uint8_t)*at;
    return true;
}

bool take_u16(struct slice *rest, uint16_t *out) {
    const char *at;
    if (!take_bytes(rest, sizeof *out, &at)) return false;
    *out = load_u16(at);
    return true;
}

bool take_u32(struct slice *rest, uint32_t *out) {
    const char *at;
    if (!take_bytes(rest, sizeof *out, &at)) return false;
    *out = load_u32(at);
    return true;
}

bool take_u64(struct slice *rest, uint64_t *out) {
    const char *at;
    if (!take_bytes(rest, sizeof *out, &at)) return false;
    *out = load_u64(at);
    return true;
}

bool take_flags(struct slice *rest, uint8_t known, uint8_t *out) {
    return take_u8(rest, out) && (*out & ~known) == 0;
}

/* Only the text as we would write it: the address is an identity. */
bool take_address(struct slice *rest, struct address *out) {
    uint16_t len;
    struct slice text;
    if (!take_u16(rest, &len) || len > ADDRESS_TEXT_MAX || !take_bytes(rest, len, &text.at))
        return false;
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

bool take_plain(struct slice *rest, size_t len_max, struct slice *out) {
    uint8_t len;
    if (!take_u8(rest, &len) || len > len_max || !take_bytes(rest, len, &out->at)) return false;
    out->len = len;
    return is_plain(*out);
}

/* ---- Putting a frame together ---- */

size_t frame_open(struct buffer *out, enum wire_type type) {
    size_t begun = out->len;
    put_u32(out, 0);
    put_u8(out, (uint8_t)type);
    return begun;
}

struct slice frame_body(const struct buffer *out, size_t begun) {
    size_t at = begun + WIRE_HEAD_BYTES;
    return (struct slice){out->at + at, out->len - at};
}

void frame_close(struct buffer *out, size_t begun) {
    assert(out->len >= begun + WIRE_HEAD_BYTES);
    size_t length = out->len - begun - LENGTH_BYTES;
    uint8_t type = (uint8_t)out->at[begun + LENGTH_BYTES];
    assert(length <= (type < WIRE_TYPES ? length_max[type] : LENGTH_MAX)); /* redo.h has others */
    store_u32(out->at + begun, (uint32_t)length);
}

void put_u8(struct buffer *out, uint8_t n) {
    *buffer_grow(out, sizeof n) = (char)n;
}

void put_u16(struct buffer *out, uint16_t n) {
    store_u16(buffer_grow(out, sizeof n), n);
}

void put_u32(struct buffer *out, uint32_t n) {
    store_u32(buffer_grow(out, sizeof n), n);
}

void wire_put_u64(struct buffer *out, uint64_t number) {
    store_u64(buffer_grow(out, sizeof number), number);
}

void put_address(struct buffer *out, const struct address *a) {
    put_u16(out, a->text_len);
    buffer_put(out, address_text(a));
}

void put_plain(struct buffer *out, struct slice text, size_t len_max) {
    assert(text.len <= len_max && is_plain(text));
    put_u8(out, (uint8_t)text.len);
    buffer_put(out, text);
}

/* ---- Lists ---- */

static bool take_list(struct slice *rest, uint32_t count, size_t item_bytes,
                      struct wire_list *out) {
    if (count > rest->len / item_bytes) return false;
    out->count = count;
    return take_bytes(rest, count * item_bytes, &out->at);
}

bool take_u64s(struct slice *rest, uint32_t count, struct wire_list *out) {
    return take_list(rest, count, U64_BYTES, out);
}

bool take_dots(struct slice *rest, uint32_t count, struct wire_list *out) {
    return take_list(rest, count, WIRE_DOT_BYTES, out);
}

bool take_dot(struct slice *rest, struct wire_dot *out) {
    return take_u64(rest, &out->actor_id) && take_u64(rest, &out->n);
}

struct wire_dot wire_dot_at(struct wire_list dots, uint32_t i) {
    assert(i < dots.count);
    const char *at = dots.at + (size_t)i * WIRE_DOT_BYTES;
    return (struct wire_dot){load_u64(at), load_u64(at + U64_BYTES)};
}

uint64_t wire_u64_at(struct wire_list numbers, uint32_t i) {
    assert(i < numbers.count);
    return load_u64(numbers.at + (size_t)i * U64_BYTES);
}

struct wire_map_ref wire_map_ref_at(struct wire_list maps, uint32_t i) {
    assert(i < maps.count);
    const char *at = maps.at + (size_t)i * WIRE_MAP_REF_BYTES;
    return (struct wire_map_ref){load_u32(at), load_u32(at + sizeof(uint32_t))};
}

void wire_put_dot(struct buffer *out, struct wire_dot dot) {
    store_u64(store_u64(buffer_grow(out, WIRE_DOT_BYTES), dot.actor_id), dot.n);
}

void wire_put_map_ref(struct buffer *out, struct wire_map_ref ref) {
    store_u32(store_u32(buffer_grow(out, WIRE_MAP_REF_BYTES), ref.epoch), ref.id);
}
