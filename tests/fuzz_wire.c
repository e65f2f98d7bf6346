/* Frames between nodes: a stream is cut the same however much of it is there; no reader looks
 * beyond its body; and what is read and written again is the same to the byte. */
#include <assert.h>
#include <stdlib.h>

#include "../wire.h"
#include "../wire_hello.h"
#include "../wire_op.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- Read, and written again; false: refused ---- */

static void put_numbers(struct buffer *out, struct wire_list numbers) {
    for (uint32_t i = 0; i < numbers.count; i++)
        wire_put_u64(out, wire_u64_at(numbers, i));
}

static void put_dots(struct buffer *out, struct wire_list dots) {
    for (uint32_t i = 0; i < dots.count; i++)
        wire_put_dot(out, wire_dot_at(dots, i));
}

static bool again_hello(struct slice body, struct buffer *out) {
    struct wire_hello m;
    if (!wire_read_hello(body, &m)) return false;
    wire_put_hello(out, &m);
    return true;
}

static bool again_welcome(struct slice body, struct buffer *out) {
    uint64_t boot;
    if (!wire_read_welcome(body, &boot)) return false;
    wire_put_welcome(out, boot);
    return true;
}

static bool again_refused(struct slice body, struct buffer *out) {
    struct slice reason;
    if (!wire_read_refused(body, &reason)) return false;
    wire_put_refused(out, reason);
    return true;
}

static bool again_challenge(struct slice body, struct buffer *out) {
    struct wire_nonce nonce;
    if (!wire_read_challenge(body, &nonce)) return false;
    wire_put_challenge(out, &nonce);
    return true;
}

static bool again_proof(struct slice body, struct buffer *out) {
    struct wire_proof m;
    if (!wire_read_proof(body, &m)) return false;
    wire_put_proof(out, &m);
    return true;
}

/* A copy of the first part of the rest. */
static void again_part(struct slice *rest, struct buffer *out) {
    struct wire_part p = wire_next_part(rest);
    assert(p.slots.len == WIRE_SLOTS_BYTES);
    wire_begin_part(out, (const uint8_t *)p.slots.at, (uint16_t)p.groups.count, p.dots.count);
    put_numbers(out, p.groups);
    put_dots(out, p.dots);
}

static bool again_row(struct slice body, struct buffer *out) {
    struct wire_row m;
    struct wire_row_writer w;
    if (!wire_read_row(body, &m)) return false;
    uint64_t *maps = bytes_alloc(m.maps.count * sizeof *maps);
    for (uint32_t i = 0; i < m.maps.count; i++)
        maps[i] = wire_u64_at(m.maps, i);
    wire_begin_row(&w, out, m.flags, maps, (uint16_t)m.maps.count);
    for (uint16_t i = 0; i < m.peer_count; i++) {
        struct wire_row_peer p = wire_next_row_peer(&m);
        wire_put_row_peer(&w, &p);
    }
    for (uint16_t i = 0; i < m.part_count; i++) {
        again_part(&m.rest, out);
        wire_count_part(&w);
    }
    assert(m.rest.len == 0);
    wire_end_row(&w);
    free(maps);
    return true;
}

static bool again_map_ask(struct slice body, struct buffer *out) {
    uint64_t map_id;
    if (!wire_read_map_ask(body, &map_id)) return false;
    wire_put_map_ask(out, map_id);
    return true;
}

static bool again_map(struct slice body, struct buffer *out) {
    wire_put_map(out, body);
    return true;
}

static bool again_actor(struct slice body, struct buffer *out) {
    struct wire_actor m;
    if (!wire_read_actor(body, &m)) return false;
    wire_put_actor(out, &m);
    return true;
}

static bool again_write_as(enum wire_type type, struct slice body, struct buffer *out) {
    struct wire_write m;
    if (!wire_read_write(body, &m)) return false;
    size_t begun = wire_begin_write(out, type, &m);
    for (uint32_t i = 0; i < m.maps.count; i++)
        wire_put_map_ref(out, wire_map_ref_at(m.maps, i));
    put_dots(out, m.deps);
    wire_end_write(out, begun, m.key, m.value);
    return true;
}

static bool again_write(struct slice body, struct buffer *out) {
    return again_write_as(WIRE_WRITE, body, out);
}

static bool again_version(struct slice body, struct buffer *out) {
    return again_write_as(WIRE_VERSION, body, out);
}

static bool again_ack(struct slice body, struct buffer *out) {
    struct wire_dot dot;
    if (!wire_read_ack(body, &dot)) return false;
    wire_put_ack(out, dot);
    return true;
}

static bool again_pull(struct slice body, struct buffer *out) {
    struct wire_pull m;
    if (!wire_read_pull(body, &m)) return false;
    size_t begun = wire_begin_pull(out, m.map_id, (const uint8_t *)m.whole.at, m.part_count);
    for (uint16_t i = 0; i < m.part_count; i++)
        again_part(&m.rest, out);
    assert(m.rest.len == 0);
    wire_end_pull(out, begun);
    return true;
}

static bool again_slot(struct slice body, struct buffer *out) {
    struct wire_slot m;
    if (!wire_read_slot(body, &m)) return false;
    assert(m.slot < SHARD_SLOTS);
    size_t begun =
        wire_begin_slot(out, m.slot, m.asked_map_id, (uint16_t)m.groups.count, m.dots.count);
    put_numbers(out, m.groups);
    put_dots(out, m.dots);
    wire_end_slot(out, begun);
    return true;
}

static bool again_slot_end(struct slice body, struct buffer *out) {
    uint16_t slot;
    if (!wire_read_slot_end(body, &slot)) return false;
    wire_put_slot_end(out, slot);
    return true;
}

static bool again_goodbye(struct slice body, struct buffer *out) {
    if (body.len > 0) return false;
    wire_put_goodbye(out);
    return true;
}

static bool again_op(struct slice body, struct buffer *out) {
    struct wire_op m;
    if (!wire_read_op(body, &m)) return false;
    wire_put_op(out, &m);
    return true;
}

static bool again_answer(struct slice body, struct buffer *out) {
    struct wire_answer m;
    if (!wire_read_answer(body, &m)) return false;
    wire_put_answer(out, &m);
    return true;
}

static bool (*const again[WIRE_TYPES])(struct slice body, struct buffer *out) = {
    [WIRE_HELLO] = again_hello,
    [WIRE_WELCOME] = again_welcome,
    [WIRE_REFUSED] = again_refused,
    [WIRE_ROW] = again_row,
    [WIRE_MAP_ASK] = again_map_ask,
    [WIRE_MAP] = again_map,
    [WIRE_ACTOR] = again_actor,
    [WIRE_WRITE] = again_write,
    [WIRE_ACK] = again_ack,
    [WIRE_PULL] = again_pull,
    [WIRE_SLOT] = again_slot,
    [WIRE_VERSION] = again_version,
    [WIRE_SLOT_END] = again_slot_end,
    [WIRE_GOODBYE] = again_goodbye,
    [WIRE_OP] = again_op,
    [WIRE_ANSWER] = again_answer,
    [WIRE_CHALLENGE] = again_challenge,
    [WIRE_PROOF] = again_proof,
};

/* ---- Properties ---- */

/* If the body is one of this type, then the frame made of it again has just this body. */
static void check_body(enum wire_type type, struct slice body) {
    struct buffer out = {0};
    struct wire_frame f;
    char *copy = bytes_alloc(body.len); /* exactly that large, so that reading on is seen */
    if (body.len > 0) memcpy(copy, body.at, body.len);
    if (again[type]((struct slice){copy, body.len}, &out)) {
        assert(wire_cut(buffer_slice(&out), &f) == WIRE_CUT_FRAME);
        assert(f.type == type && f.bytes == out.len && slice_equal(f.body, body));
    } else {
        assert(out.len == 0);
    }
    free(copy);
    buffer_free(&out);
}

/* With less of the stream there is the same to say, or nothing yet. */
static void check_shorter(struct slice stream, const struct wire_frame *f, size_t len) {
    struct wire_frame shorter;
    if (len >= f->bytes) return;
    char *copy = bytes_alloc(len);
    if (len > 0) memcpy(copy, stream.at, len);
    assert(wire_cut((struct slice){copy, len}, &shorter) == WIRE_CUT_MORE);
    assert(shorter.bytes == (len < WIRE_HEAD_BYTES ? 0 : f->bytes));
    free(copy);
}

static void check_stream(struct slice stream) {
    struct wire_frame f;
    while (wire_cut(stream, &f) == WIRE_CUT_FRAME) {
        assert(f.bytes <= stream.len && f.bytes <= WIRE_FRAME_BYTES_MAX);
        assert(f.body.at == stream.at + WIRE_HEAD_BYTES);
        assert(f.body.len == f.bytes - WIRE_HEAD_BYTES);
        for (size_t len = 0; len <= WIRE_HEAD_BYTES; len++)
            check_shorter(stream, &f, len);
        check_shorter(stream, &f, f.bytes - 1);
        check_body(f.type, f.body);
        stream = (struct slice){stream.at + f.bytes, stream.len - f.bytes};
    }
    if (wire_cut(stream, &f) == WIRE_CUT_MORE) assert(f.bytes == 0 || f.bytes > stream.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *copy = bytes_alloc(size);
    if (size > 0) memcpy(copy, data, size);
    struct slice input = {copy, size};
    check_stream(input);
    for (int type = 1; type < WIRE_TYPES; type++)
        check_body((enum wire_type)type, input);
    free(copy);
    return 0;
}
