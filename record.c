/* The bytes of files. See record.h.
 *
 * A head, numbers big-endian:
 *
 *   0  mark    32 bits: salt ^ offset; "kvs!" in the opening, so that a file says what it is
 *   4  crc     32 bits: CRC-32C of all that follows, body included
 *   8  length  32 bits: of the body
 *   12 kind    8 bits, and 24 of zeros
 *   16 synced  64 bits
 *
 * The length is looked at before the checksum can be: so it is held to what a body of that kind can
 * have, and whoever reads a file asks for no more memory than that.
 */
#include "record.h"

#include <assert.h>

#include "crc32c.h"

#define CHECKED_AT    8           /* the checksum covers what follows from here on */
#define OPENING_SALT  0x6b767321u /* "kvs!" */
#define OPENING_FLAGS (OPENING_SNAPSHOT | OPENING_AFTER_TROUBLE)
#define OPENING_FIXED (2 + 1 + 4 + 8 + 4 + 16) /* bytes of a body before the names */

_Static_assert(RECORD_HEAD_BYTES + OPENING_FIXED + 1 + WIRE_CLUSTER_MAX + 2 + ADDRESS_TEXT_MAX <=
                   RECORD_OPENING_MAX,
               "an opening of the longest names fits");
_Static_assert(RECORD_CUT_BYTES <= RECORD_BODY_MAX, "many small frames, or one large one");

static const uint32_t body_max[RECORD_KINDS] = {
    [RECORD_OPENING] = RECORD_OPENING_MAX - RECORD_HEAD_BYTES,
    [RECORD_FRAMES] = RECORD_BODY_MAX,
};

/* ---- Writing ---- */

void record_head(char head[RECORD_HEAD_BYTES], enum record_kind kind, uint32_t salt,
                 uint64_t offset, uint64_t synced, struct slice body) {
    assert(body.len <= body_max[kind]);
    char *at = store_u32(head + CHECKED_AT, (uint32_t)body.len);
    at = store_u32(at, (uint32_t)kind << 24);
    store_u64(at, synced);
    uint32_t crc = crc32c(0, (struct slice){head + CHECKED_AT, RECORD_HEAD_BYTES - CHECKED_AT});
    store_u32(store_u32(head, salt ^ (uint32_t)offset), crc32c(crc, body));
}

void record_put(struct buffer *out, enum record_kind kind, uint32_t salt, uint64_t offset,
                uint64_t synced, struct slice body) {
    buffer_reserve(out, RECORD_HEAD_BYTES + body.len);
    record_head(buffer_grow(out, RECORD_HEAD_BYTES), kind, salt, offset, synced, body);
    buffer_put(out, body);
}

size_t record_fit(struct slice frames) {
    if (frames.len <= RECORD_CUT_BYTES) return frames.len;
    size_t fit = 0;
    for (;;) {
        size_t frame = sizeof(uint32_t) + load_u32(frames.at + fit);
        assert(frame <= frames.len - fit);
        if (fit > 0 && fit + frame > RECORD_CUT_BYTES) return fit;
        fit += frame;
        if (fit == frames.len) return fit;
    }
}

/* ---- Reading ---- */

enum record_cut record_cut(struct slice stream, uint32_t salt, uint64_t offset,
                           struct record *out) {
    *out = (struct record){0};
    if (stream.len < RECORD_HEAD_BYTES) return RECORD_CUT_MORE;
    struct slice head = {stream.at, RECORD_HEAD_BYTES};
    uint32_t length = load_u32(head.at + CHECKED_AT);
    uint32_t kind = load_u32(head.at + CHECKED_AT + 4) >> 24;
    bool good = load_u32(head.at) == (salt ^ (uint32_t)offset) && kind > 0 && kind < RECORD_KINDS &&
                length <= body_max[kind];
    if (!good) return RECORD_CUT_BAD;

    out->kind = (enum record_kind)kind;
    out->synced = load_u64(head.at + 16);
    out->bytes = RECORD_HEAD_BYTES + (size_t)length;
    if (stream.len < out->bytes) return RECORD_CUT_MORE;
    out->body = (struct slice){stream.at + RECORD_HEAD_BYTES, length};
    struct slice checked = {head.at + CHECKED_AT, out->bytes - CHECKED_AT};
    return crc32c(0, checked) == load_u32(head.at + 4) ? RECORD_CUT_WHOLE : RECORD_CUT_BAD;
}

bool record_find(struct slice stream, uint32_t salt, uint64_t offset, size_t *at,
                 struct record *out) {
    for (size_t i = 0; stream.len - i >= RECORD_HEAD_BYTES; i++) {
        struct slice rest = {stream.at + i, stream.len - i};
        if (record_cut(rest, salt, offset + i, out) == RECORD_CUT_WHOLE) {
            *at = i;
            return true;
        }
    }
    return false;
}

/* ---- The opening ---- */

void record_put_opening(struct buffer *out, const struct opening *o) {
    struct buffer body = {0};
    put_u16(&body, RECORD_FORMAT_VERSION);
    put_u8(&body, o->flags);
    put_u32(&body, o->number);
    wire_put_u64(&body, o->directory);
    put_u32(&body, o->salt);
    wire_put_u64(&body, o->boot[0]);
    wire_put_u64(&body, o->boot[1]);
    put_plain(&body, o->cluster, WIRE_CLUSTER_MAX);
    put_address(&body, &o->node);
    record_put(out, RECORD_OPENING, OPENING_SALT, 0, 0, buffer_slice(&body));
    buffer_free(&body);
}

enum opening_read record_read_opening(struct slice file, struct opening *out, size_t *bytes) {
    struct record record;
    if (record_cut(file, OPENING_SALT, 0, &record) != RECORD_CUT_WHOLE ||
        record.kind != RECORD_OPENING) {
        return OPENING_BAD;
    }
    *bytes = record.bytes;
    struct slice body = record.body;
    uint16_t version;
    if (!take_u16(&body, &version)) return OPENING_BAD;
    if (version != RECORD_FORMAT_VERSION) return OPENING_OTHER_VERSION;
    bool good = take_flags(&body, OPENING_FLAGS, &out->flags) && take_u32(&body, &out->number) &&
                take_u64(&body, &out->directory) && take_u32(&body, &out->salt) &&
                take_u64(&body, &out->boot[0]) && take_u64(&body, &out->boot[1]) &&
                take_plain(&body, WIRE_CLUSTER_MAX, &out->cluster) &&
                take_address(&body, &out->node) && body.len == 0;
    return good ? OPENING_GOOD : OPENING_BAD;
}
