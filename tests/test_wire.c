/* Frames between nodes. Each message is drawn at random and put; what is read must be what the same
 * random numbers give when they are drawn again. Bodies end right before a page that cannot be
 * touched. The bytes shown in docs/wire.md are the bytes that are made. */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>

#include "../hlc.h"
#include "../metadata.h"
#include "../wire.h"
#include "../wire_op.h"

static struct guard guard;

static struct slice guarded(struct slice s) {
    return (struct slice){guard_end(&guard, s), s.len};
}

/* ---- Drawing ---- */

static uint64_t draw_u64(struct kit_random *r) { /* of any number of bits */
    uint64_t bits = kit_below(r, 64);
    return kit_next(r) >> bits;
}

static uint16_t draw_count(struct kit_random *r) {
    return (uint16_t)kit_below(r, 4);
}

static struct wire_dot draw_dot(struct kit_random *r) {
    uint64_t actor_id = kit_next(r);
    return (struct wire_dot){actor_id, draw_u64(r)};
}

/* Printable text of up to len_max bytes into `text`. */
static struct slice draw_text(struct kit_random *r, char *text, size_t len_min, size_t len_max) {
    size_t len = len_min + kit_below(r, len_max - len_min + 1);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)(' ' + kit_below(r, '~' - ' ' + 1));
    return (struct slice){text, len};
}

static struct address draw_address(struct kit_random *r) {
    char text[ADDRESS_TEXT_MAX + 1];
    unsigned port = 1 + (unsigned)kit_below(r, 65535);
    size_t len = 1 + kit_below(r, kit_below(r, 8) == 0 ? ADDRESS_HOST_MAX : 20);
    if (kit_below(r, 2) == 0) {
        uint32_t ip = (uint32_t)kit_next(r);
        snprintf(text, sizeof text, "%u.%u.%u.%u:%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255,
                 ip & 255, port);
        return kit_address(text);
    }
    for (size_t i = 0; i < len; i++) {
        bool dot_may_stand = i > 0 && i + 1 < len && text[i - 1] != '.';
        text[i] = i == 0 ? 'n' : "abcxyz-_0123456789.."[kit_below(r, dot_may_stand ? 20 : 18)];
    }
    snprintf(text + len, sizeof text - len, ":%u", port);
    return kit_address(text);
}

static bool same_address(struct address a, struct address b) {
    return slice_equal(address_text(&a), address_text(&b)) && a.port == b.port &&
           a.is_ipv4 == b.is_ipv4 && a.ipv4 == b.ipv4 && a.host_len == b.host_len;
}

/* ---- Lists ---- */

static void put_numbers(struct buffer *out, struct kit_random *r, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        wire_put_u64(out, kit_next(r));
}

static void check_numbers(struct wire_list numbers, struct kit_random *r, uint32_t count) {
    if (!CHECK_U64(numbers.count, count)) return;
    for (uint32_t i = 0; i < count; i++)
        CHECK_U64(wire_u64_at(numbers, i), kit_next(r));
}

static void put_dots(struct buffer *out, struct kit_random *r, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        wire_put_dot(out, draw_dot(r));
}

static void check_dot(struct wire_dot got, struct wire_dot want) {
    CHECK(got.actor_id == want.actor_id && got.n == want.n);
}

static void check_dots(struct wire_list dots, struct kit_random *r, uint32_t count) {
    if (!CHECK_U64(dots.count, count)) return;
    for (uint32_t i = 0; i < count; i++)
        check_dot(wire_dot_at(dots, i), draw_dot(r));
}

/* ---- Each message: put, and checked against what is drawn again ---- */

static struct wire_hello draw_hello(struct kit_random *r) {
    static char cluster[WIRE_CLUSTER_MAX];
    struct wire_hello m = {.version = (uint16_t)kit_next(r), .boot = draw_u64(r)};
    m.cluster = draw_text(r, cluster, 0, sizeof cluster);
    m.caller = draw_address(r);
    m.callee = draw_address(r);
    return m;
}

static void put_hello(struct buffer *out, struct kit_random *r) {
    struct wire_hello m = draw_hello(r);
    wire_put_hello(out, &m);
}

static void check_hello(struct slice body, struct kit_random *r) {
    struct wire_hello want = draw_hello(r), got;
    if (!CHECK(wire_read_hello(body, &got))) return;
    CHECK(got.version == want.version && got.boot == want.boot);
    CHECK_SLICE(got.cluster, want.cluster);
    CHECK(same_address(got.caller, want.caller) && same_address(got.callee, want.callee));
}

static void put_welcome(struct buffer *out, struct kit_random *r) {
    wire_put_welcome(out, draw_u64(r));
}

static void check_welcome(struct slice body, struct kit_random *r) {
    uint64_t boot;
    if (CHECK(wire_read_welcome(body, &boot))) CHECK_U64(boot, draw_u64(r));
}

static void put_refused(struct buffer *out, struct kit_random *r) {
    char text[WIRE_REASON_MAX];
    wire_put_refused(out, draw_text(r, text, 0, sizeof text));
}

static void check_refused(struct slice body, struct kit_random *r) {
    char text[WIRE_REASON_MAX];
    struct slice reason, want = draw_text(r, text, 0, sizeof text);
    if (CHECK(wire_read_refused(body, &reason))) CHECK_SLICE(reason, want);
}

static struct wire_proof draw_proof(struct kit_random *r) {
    struct wire_proof m;
    for (size_t i = 0; i < sizeof m.nonce.bytes; i++)
        m.nonce.bytes[i] = (uint8_t)kit_next(r);
    for (size_t i = 0; i < sizeof m.code; i++)
        m.code[i] = (uint8_t)kit_next(r);
    return m;
}

static void put_challenge(struct buffer *out, struct kit_random *r) {
    struct wire_proof m = draw_proof(r);
    wire_put_challenge(out, &m.nonce);
}

static void check_challenge(struct slice body, struct kit_random *r) {
    struct wire_proof want = draw_proof(r);
    struct wire_nonce got;
    if (CHECK(wire_read_challenge(body, &got))) CHECK(memcmp(&got, &want.nonce, sizeof got) == 0);
}

static void put_proof(struct buffer *out, struct kit_random *r) {
    struct wire_proof m = draw_proof(r);
    wire_put_proof(out, &m);
}

static void check_proof(struct slice body, struct kit_random *r) {
    struct wire_proof got, want = draw_proof(r);
    if (CHECK(wire_read_proof(body, &got))) CHECK(memcmp(&got, &want, sizeof got) == 0);
}

static void draw_slots(uint8_t out[WIRE_SLOTS_BYTES], struct kit_random *r) {
    for (size_t i = 0; i < WIRE_SLOTS_BYTES; i++)
        out[i] = (uint8_t)kit_next(r);
}

static void put_part(struct buffer *out, struct kit_random *r) {
    uint8_t slots[WIRE_SLOTS_BYTES];
    draw_slots(slots, r);
    uint16_t groups = draw_count(r), dots = draw_count(r);
    wire_begin_part(out, slots, groups, dots);
    put_numbers(out, r, groups);
    put_dots(out, r, dots);
}

static void check_part(struct wire_part p, struct kit_random *r) {
    CHECK_U64(p.slots.len, WIRE_SLOTS_BYTES);
    for (size_t i = 0; i < p.slots.len; i++)
        CHECK_U64((uint8_t)p.slots.at[i], (uint8_t)kit_next(r));
    uint16_t groups = draw_count(r), dots = draw_count(r);
    check_numbers(p.groups, r, groups);
    check_dots(p.dots, r, dots);
}

static struct wire_row_peer draw_row_peer(struct kit_random *r) {
    struct wire_row_peer p = {
        .boot = draw_u64(r), .in_view = kit_below(r, 2) == 0, .shares_map = kit_below(r, 2) == 0};
    p.address = draw_address(r);
    return p;
}

struct row_head {
    uint8_t flags;
    uint16_t maps, peers, parts;
};

static struct row_head draw_row_head(struct kit_random *r) {
    struct row_head h;
    h.flags = (uint8_t)kit_below(r, 4);
    h.maps = draw_count(r);
    h.peers = draw_count(r);
    h.parts = draw_count(r);
    return h;
}

static void put_row(struct buffer *out, struct kit_random *r) {
    struct row_head h = draw_row_head(r);
    struct wire_row_writer w;
    uint64_t maps[4];
    for (uint16_t i = 0; i < h.maps; i++)
        maps[i] = kit_next(r);
    wire_begin_row(&w, out, h.flags, maps, h.maps);
    for (uint16_t i = 0; i < h.peers; i++) {
        struct wire_row_peer p = draw_row_peer(r);
        wire_put_row_peer(&w, &p);
    }
    for (uint16_t i = 0; i < h.parts; i++) {
        put_part(out, r);
        wire_count_part(&w);
    }
    wire_end_row(&w);
}

static void check_row(struct slice body, struct kit_random *r) {
    struct row_head h = draw_row_head(r);
    struct wire_row m;
    if (!CHECK(wire_read_row(body, &m))) return;
    CHECK_U64(m.flags, h.flags);
    check_numbers(m.maps, r, h.maps);
    if (!CHECK(m.peer_count == h.peers && m.part_count == h.parts)) return;
    for (uint16_t i = 0; i < m.peer_count; i++) {
        struct wire_row_peer want = draw_row_peer(r), got = wire_next_row_peer(&m);
        CHECK(got.boot == want.boot && got.in_view == want.in_view);
        CHECK(got.shares_map == want.shares_map);
        CHECK(same_address(got.address, want.address));
    }
    for (uint16_t i = 0; i < m.part_count; i++)
        check_part(wire_next_part(&m.rest), r);
    CHECK_U64(m.rest.len, 0);
}

static void put_map_ask(struct buffer *out, struct kit_random *r) {
    wire_put_map_ask(out, draw_u64(r));
}

static void check_map_ask(struct slice body, struct kit_random *r) {
    uint64_t map_id;
    if (CHECK(wire_read_map_ask(body, &map_id))) CHECK_U64(map_id, draw_u64(r));
}

static void put_map(struct buffer *out, struct kit_random *r) {
    char encoded[500];
    wire_put_map(out, draw_text(r, encoded, 0, sizeof encoded));
}

static void check_map(struct slice body, struct kit_random *r) {
    char encoded[500];
    CHECK_SLICE(body, draw_text(r, encoded, 0, sizeof encoded));
}

static struct wire_actor draw_actor(struct kit_random *r) {
    struct wire_actor m = {.id = kit_next(r)};
    m.boot = kit_next(r);
    m.group = draw_u64(r);
    m.node = draw_address(r);
    return m;
}

static void put_actor(struct buffer *out, struct kit_random *r) {
    struct wire_actor m = draw_actor(r);
    wire_put_actor(out, &m);
}

static void check_actor(struct slice body, struct kit_random *r) {
    struct wire_actor want = draw_actor(r), got;
    if (!CHECK(wire_read_actor(body, &got))) return;
    CHECK(got.id == want.id && got.boot == want.boot && got.group == want.group);
    CHECK(same_address(got.node, want.node));
}

/* The lists follow in the stream of random numbers: they have counts and nothing to point at. */
static struct wire_write draw_write(struct kit_random *r) {
    static char key[200], value[3000];
    struct wire_write m = {.dot = draw_dot(r)};
    m.hlc = draw_u64(r) & HLC_MAX;
    m.is_tombstone = kit_below(r, 3) == 0;
    m.maps.count = draw_count(r);
    m.deps.count = draw_count(r);
    m.key = draw_text(r, key, 1, sizeof key);
    m.value = draw_text(r, value, 0, kit_below(r, 4) == 0 ? sizeof value : 20);
    if (m.is_tombstone) m.value.len = 0;
    return m;
}

static struct wire_map_ref draw_map_ref(struct kit_random *r) {
    uint32_t epoch = (uint32_t)draw_u64(r);
    return (struct wire_map_ref){epoch, (uint32_t)kit_next(r)};
}

static void put_write_or_version(struct buffer *out, enum wire_type type, struct kit_random *r) {
    struct wire_write m = draw_write(r);
    size_t begun = wire_begin_write(out, type, &m);
    for (uint32_t i = 0; i < m.maps.count; i++)
        wire_put_map_ref(out, draw_map_ref(r));
    put_dots(out, r, m.deps.count);
    wire_end_write(out, begun, m.key, m.value);
}

static void put_write(struct buffer *out, struct kit_random *r) {
    put_write_or_version(out, WIRE_WRITE, r);
}

static void put_version(struct buffer *out, struct kit_random *r) {
    put_write_or_version(out, WIRE_VERSION, r);
}

static void check_write(struct slice body, struct kit_random *r) {
    struct wire_write want = draw_write(r), got;
    if (!CHECK(wire_read_write(body, &got))) return;
    check_dot(got.dot, want.dot);
    CHECK(got.hlc == want.hlc && got.is_tombstone == want.is_tombstone);
    CHECK_SLICE(got.key, want.key);
    CHECK_SLICE(got.value, want.value);
    if (!CHECK_U64(got.maps.count, want.maps.count)) return;
    for (uint32_t i = 0; i < got.maps.count; i++) {
        struct wire_map_ref ref = wire_map_ref_at(got.maps, i), drawn = draw_map_ref(r);
        CHECK(ref.epoch == drawn.epoch && ref.id == drawn.id);
    }
    check_dots(got.deps, r, want.deps.count);
}

static void put_ack(struct buffer *out, struct kit_random *r) {
    wire_put_ack(out, draw_dot(r));
}

static void check_ack(struct slice body, struct kit_random *r) {
    struct wire_dot dot;
    if (CHECK(wire_read_ack(body, &dot))) check_dot(dot, draw_dot(r));
}

static void put_pull(struct buffer *out, struct kit_random *r) {
    uint64_t map_id = kit_next(r);
    uint16_t parts = draw_count(r);
    uint8_t whole[WIRE_SLOTS_BYTES];
    draw_slots(whole, r);
    size_t begun = wire_begin_pull(out, map_id, whole, parts);
    for (uint16_t i = 0; i < parts; i++)
        put_part(out, r);
    wire_end_pull(out, begun);
}

static void check_pull(struct slice body, struct kit_random *r) {
    uint64_t map_id = kit_next(r);
    uint16_t parts = draw_count(r);
    uint8_t whole[WIRE_SLOTS_BYTES];
    struct wire_pull m;
    draw_slots(whole, r);
    if (!CHECK(wire_read_pull(body, &m) && m.map_id == map_id && m.part_count == parts)) return;
    CHECK(slice_equal(m.whole, (struct slice){(char *)whole, sizeof whole}));
    for (uint16_t i = 0; i < parts; i++)
        check_part(wire_next_part(&m.rest), r);
    CHECK_U64(m.rest.len, 0);
}

struct slot_head {
    uint16_t slot, groups, dots;
    uint64_t asked_map_id;
};

static struct slot_head draw_slot_head(struct kit_random *r) {
    struct slot_head h = {.slot = (uint16_t)kit_below(r, SHARD_SLOTS)};
    h.groups = draw_count(r);
    h.dots = draw_count(r);
    h.asked_map_id = draw_u64(r);
    return h;
}

static void put_slot(struct buffer *out, struct kit_random *r) {
    struct slot_head h = draw_slot_head(r);
    size_t begun = wire_begin_slot(out, h.slot, h.asked_map_id, h.groups, h.dots);
    put_numbers(out, r, h.groups);
    put_dots(out, r, h.dots);
    wire_end_slot(out, begun);
}

static void check_slot(struct slice body, struct kit_random *r) {
    struct slot_head h = draw_slot_head(r);
    struct wire_slot m;
    if (!CHECK(wire_read_slot(body, &m))) return;
    CHECK(m.slot == h.slot && m.asked_map_id == h.asked_map_id);
    check_numbers(m.groups, r, h.groups);
    check_dots(m.dots, r, h.dots);
}

static void put_slot_end(struct buffer *out, struct kit_random *r) {
    wire_put_slot_end(out, (uint16_t)kit_below(r, SHARD_SLOTS));
}

static void check_slot_end(struct slice body, struct kit_random *r) {
    uint16_t slot;
    if (CHECK(wire_read_slot_end(body, &slot))) CHECK_U64(slot, kit_below(r, SHARD_SLOTS));
}

static void put_goodbye(struct buffer *out, struct kit_random *r) {
    (void)r;
    wire_put_goodbye(out);
}

static void check_goodbye(struct slice body, struct kit_random *r) {
    (void)r;
    CHECK_U64(body.len, 0);
}

/* Printable bytes, behind those that `text` has already. */
static struct slice draw_more(struct kit_random *r, struct buffer *text, size_t len_min,
                              size_t len_max) {
    char drawn[256];
    size_t from = text->len;
    buffer_put(text, draw_text(r, drawn, len_min, len_max));
    return (struct slice){text->at + from, text->len - from};
}

/* Its texts are in `text`. */
static struct wire_op draw_op(struct kit_random *r, struct buffer *text) {
    struct wire_op m = {.id = kit_next(r), .stream = draw_u64(r), .ms = (uint32_t)draw_u64(r)};
    m.kind = (enum op_kind)kit_below(r, OP_KINDS);
    m.hops = (uint8_t)kit_next(r);
    m.slot = (uint16_t)kit_below(r, SHARD_SLOTS);
    buffer_reserve(text, 1000);
    if (m.kind == OP_COUNT) return m;
    if (m.kind == OP_LIST) {
        m.value = draw_more(r, text, 4, 200);
        return m;
    }
    m.key = draw_more(r, text, 1, STORE_KEY_BYTES_MAX);
    m.slot = (uint16_t)shard_slot(m.key);
    m.claim = draw_more(r, text, 0, 200);
    if (m.kind == OP_PUT) m.value = draw_more(r, text, 1, 200);
    return m;
}

static void put_op(struct buffer *out, struct kit_random *r) {
    struct buffer text = {0};
    struct wire_op m = draw_op(r, &text);
    wire_put_op(out, &m);
    buffer_free(&text);
}

static void check_op(struct slice body, struct kit_random *r) {
    struct buffer text = {0};
    struct wire_op want = draw_op(r, &text), got;
    if (CHECK(wire_read_op(body, &got))) {
        CHECK(got.id == want.id && got.stream == want.stream && got.kind == want.kind);
        CHECK(got.hops == want.hops && got.ms == want.ms && got.slot == want.slot);
        CHECK_SLICE(got.key, want.key);
        CHECK_SLICE(got.value, want.value);
        CHECK_SLICE(got.claim, want.claim);
    }
    buffer_free(&text);
}

static struct wire_answer draw_answer(struct kit_random *r, struct buffer *text) {
    struct wire_answer m = {.id = kit_next(r)};
    m.status = (enum node_status)kit_below(r, NODE_STATUSES);
    m.shard = (uint8_t)kit_below(r, SHARD_COUNT_MAX);
    buffer_reserve(text, 1000);
    m.metadata = draw_more(r, text, 0, 200);
    if (m.status == NODE_NOT_YET) m.missing = draw_more(r, text, 0, 200);
    if (m.status == NODE_FOUND) m.value = draw_more(r, text, 0, 200);
    return m;
}

static void put_answer(struct buffer *out, struct kit_random *r) {
    struct buffer text = {0};
    struct wire_answer m = draw_answer(r, &text);
    wire_put_answer(out, &m);
    buffer_free(&text);
}

static void check_answer(struct slice body, struct kit_random *r) {
    struct buffer text = {0};
    struct wire_answer want = draw_answer(r, &text), got;
    if (CHECK(wire_read_answer(body, &got))) {
        CHECK(got.id == want.id && got.status == want.status && got.shard == want.shard);
        CHECK_SLICE(got.metadata, want.metadata);
        CHECK_SLICE(got.missing, want.missing);
        CHECK_SLICE(got.value, want.value);
    }
    buffer_free(&text);
}

static const struct message {
    void (*put)(struct buffer *out, struct kit_random *r);
    void (*check)(struct slice body, struct kit_random *r);
} messages[WIRE_TYPES] = {
    [WIRE_HELLO] = {put_hello, check_hello},
    [WIRE_WELCOME] = {put_welcome, check_welcome},
    [WIRE_REFUSED] = {put_refused, check_refused},
    [WIRE_ROW] = {put_row, check_row},
    [WIRE_MAP_ASK] = {put_map_ask, check_map_ask},
    [WIRE_MAP] = {put_map, check_map},
    [WIRE_ACTOR] = {put_actor, check_actor},
    [WIRE_WRITE] = {put_write, check_write},
    [WIRE_ACK] = {put_ack, check_ack},
    [WIRE_PULL] = {put_pull, check_pull},
    [WIRE_SLOT] = {put_slot, check_slot},
    [WIRE_VERSION] = {put_version, check_write},
    [WIRE_SLOT_END] = {put_slot_end, check_slot_end},
    [WIRE_GOODBYE] = {put_goodbye, check_goodbye},
    [WIRE_OP] = {put_op, check_op},
    [WIRE_ANSWER] = {put_answer, check_answer},
    [WIRE_CHALLENGE] = {put_challenge, check_challenge},
    [WIRE_PROOF] = {put_proof, check_proof},
};

/* Whether the body is one of its type. */
static bool reads(enum wire_type type, struct slice body) {
    union {
        struct wire_hello hello;
        struct slice reason;
        struct wire_row row;
        struct wire_actor actor;
        struct wire_write write;
        struct wire_dot dot;
        struct wire_pull pull;
        struct wire_slot slot;
        struct wire_op op;
        struct wire_answer answer;
        struct wire_proof proof;
        uint64_t number;
        uint16_t slot_number;
    } m;
    switch (type) {
    case WIRE_HELLO: return wire_read_hello(body, &m.hello);
    case WIRE_WELCOME: return wire_read_welcome(body, &m.number);
    case WIRE_REFUSED: return wire_read_refused(body, &m.reason);
    case WIRE_ROW: return wire_read_row(body, &m.row);
    case WIRE_MAP_ASK: return wire_read_map_ask(body, &m.number);
    case WIRE_ACTOR: return wire_read_actor(body, &m.actor);
    case WIRE_WRITE:
    case WIRE_VERSION: return wire_read_write(body, &m.write);
    case WIRE_ACK: return wire_read_ack(body, &m.dot);
    case WIRE_PULL: return wire_read_pull(body, &m.pull);
    case WIRE_SLOT: return wire_read_slot(body, &m.slot);
    case WIRE_SLOT_END: return wire_read_slot_end(body, &m.slot_number);
    case WIRE_OP: return wire_read_op(body, &m.op);
    case WIRE_ANSWER: return wire_read_answer(body, &m.answer);
    case WIRE_CHALLENGE: return wire_read_challenge(body, &m.proof.nonce);
    case WIRE_PROOF: return wire_read_proof(body, &m.proof);
    default: return true; /* MAP: shard.h reads it; GOODBYE: wire_cut() sees that it is empty */
    }
}

static bool has_reader(int type) {
    return type != WIRE_MAP && type != WIRE_GOODBYE;
}

/* ---- There and back ---- */

static void what_is_put_is_read_as_the_same(void) {
    struct kit_random random = {kit_seed()};
    for (int round = 0; round < 300; round++) {
        struct kit_random again = random;
        struct buffer out = {0};
        for (int type = 1; type < WIRE_TYPES; type++)
            messages[type].put(&out, &random);
        struct slice stream = buffer_slice(&out);
        for (int type = 1; type < WIRE_TYPES; type++) {
            struct wire_frame f;
            kit_note("round %d, type %d", round, type);
            if (!CHECK(wire_cut(stream, &f) == WIRE_CUT_FRAME)) break;
            CHECK_U64(f.type, (uint64_t)type);
            CHECK(f.body.at == stream.at + WIRE_HEAD_BYTES);
            messages[type].check(guarded(f.body), &again);
            stream = (struct slice){stream.at + f.bytes, stream.len - f.bytes};
        }
        CHECK_U64(stream.len, 0);
        CHECK_U64(again.state, random.state);
        buffer_free(&out);
    }
}

static void every_truncation_of_every_body_is_refused(void) {
    struct kit_random random = {kit_seed()};
    for (int round = 0; round < 20; round++) {
        for (int type = 1; type < WIRE_TYPES; type++) {
            struct buffer out = {0};
            messages[type].put(&out, &random);
            struct slice body = {out.at + WIRE_HEAD_BYTES, out.len - WIRE_HEAD_BYTES};
            kit_note("round %d, type %d of %zu bytes", round, type, body.len);
            CHECK(reads((enum wire_type)type, guarded(body)));
            for (size_t len = 0; has_reader(type) && len < body.len; len++) {
                CHECK(!reads((enum wire_type)type, guarded((struct slice){body.at, len})));
            }
            buffer_free(&out);
        }
    }
}

static void one_more_byte_is_refused(void) {
    struct kit_random random = {kit_seed()};
    for (int round = 0; round < 200; round++) {
        for (int type = 1; type < WIRE_TYPES; type++) {
            struct buffer out = {0};
            messages[type].put(&out, &random);
            buffer_put_char(&out, round == 0 ? '\0' : (char)kit_next(&random));
            struct slice body = {out.at + WIRE_HEAD_BYTES, out.len - WIRE_HEAD_BYTES};
            kit_note("round %d, type %d of %zu bytes", round, type, body.len);
            if (has_reader(type)) CHECK(!reads((enum wire_type)type, guarded(body)));
            buffer_free(&out);
        }
    }
}

/* ---- Cutting ---- */

static void a_frame_is_cut_when_its_last_byte_is_there_and_not_before(void) {
    struct kit_random random = {kit_seed()};
    for (int type = 1; type < WIRE_TYPES; type++) {
        struct buffer out = {0};
        struct wire_frame f;
        messages[type].put(&out, &random);
        for (size_t len = 0; len < out.len; len++) {
            kit_note("type %d, %zu of %zu bytes", type, len, out.len);
            CHECK(wire_cut(guarded((struct slice){out.at, len}), &f) == WIRE_CUT_MORE);
            CHECK_U64(f.bytes, len < WIRE_HEAD_BYTES ? 0 : out.len);
        }
        CHECK(wire_cut(guarded(buffer_slice(&out)), &f) == WIRE_CUT_FRAME);
        CHECK(f.bytes == out.len && (int)f.type == type);
        CHECK_U64(f.body.len, out.len - WIRE_HEAD_BYTES);
        size_t bytes = out.len;
        buffer_put(&out, SLICE("\xff\xff\xff\xff\xff")); /* what follows does not matter */
        CHECK(wire_cut(buffer_slice(&out), &f) == WIRE_CUT_FRAME && f.bytes == bytes);
        buffer_free(&out);
    }
}

static enum wire_cut cut_head(uint32_t length, int type, struct wire_frame *f) {
    char head[WIRE_HEAD_BYTES] = {(char)(length >> 24), (char)(length >> 16), (char)(length >> 8),
                                  (char)length, (char)type};
    return wire_cut(guarded((struct slice){head, sizeof head}), f);
}

static void a_head_that_cannot_be_is_bad_at_once(void) {
    struct wire_frame f;
    for (int type = 0; type < 256; type++) {
        bool known = type >= 1 && type < WIRE_TYPES;
        kit_note("type %d", type);
        CHECK(cut_head(0, type, &f) == WIRE_CUT_BAD);
        CHECK((cut_head(1, type, &f) != WIRE_CUT_BAD) == known);
        CHECK(cut_head(WIRE_FRAME_BYTES_MAX - 3, type, &f) == WIRE_CUT_BAD);
        CHECK(cut_head(UINT32_MAX, type, &f) == WIRE_CUT_BAD);
    }
}

static void a_long_frame_is_bad_unless_its_type_can_be_long(void) {
    static const enum wire_type can[] = {WIRE_ROW,  WIRE_MAP,     WIRE_WRITE, WIRE_PULL,
                                         WIRE_SLOT, WIRE_VERSION, WIRE_OP,    WIRE_ANSWER};
    struct wire_frame f;
    for (int type = 1; type < WIRE_TYPES; type++) {
        bool is_long = false;
        for (size_t i = 0; i < sizeof can / sizeof *can; i++)
            is_long = is_long || (int)can[i] == type;
        kit_note("type %d", type);
        enum wire_cut got = cut_head(WIRE_FRAME_BYTES_MAX - 4, type, &f);
        CHECK(got == (is_long ? WIRE_CUT_MORE : WIRE_CUT_BAD));
        CHECK_U64(f.bytes, is_long ? WIRE_FRAME_BYTES_MAX : 0);
    }
}

/* The table of lengths must not refuse what can really be said. */
static void the_longest_short_messages_are_cut(void) {
    char host[ADDRESS_TEXT_MAX + 1], text[WIRE_REASON_MAX];
    memset(host, 'h', ADDRESS_HOST_MAX);
    snprintf(host + ADDRESS_HOST_MAX, sizeof host - ADDRESS_HOST_MAX, ":65535");
    memset(text, 't', sizeof text);
    struct address longest = kit_address(host);
    struct wire_hello hello = {
        .cluster = {text, WIRE_CLUSTER_MAX}, .caller = longest, .callee = longest};
    struct wire_actor actor = {.node = longest};
    struct buffer out = {0};
    wire_put_hello(&out, &hello);
    wire_put_actor(&out, &actor);
    wire_put_refused(&out, (struct slice){text, WIRE_REASON_MAX});
    struct slice stream = buffer_slice(&out);
    struct wire_frame f;
    while (stream.len > 0 && CHECK(wire_cut(stream, &f) == WIRE_CUT_FRAME)) {
        CHECK(reads(f.type, guarded(f.body)));
        uint32_t length = (uint32_t)(f.bytes - 4);
        CHECK(cut_head(length + 1, (int)f.type, &f) == WIRE_CUT_BAD);
        stream = (struct slice){stream.at + 4 + length, stream.len - 4 - length};
    }
    buffer_free(&out);
}

static void the_largest_write_fits_a_frame(void) {
    size_t value_bytes = 8 * 1024 * 1024;
    char key[200], *value = malloc(value_bytes);
    memset(key, 'k', sizeof key);
    memset(value, '1', value_bytes);
    uint32_t maps = METADATA_MAPS_MAX, deps = METADATA_BYTES_MAX / 20; /* an entry is longer */
    struct wire_write m = {.maps.count = maps, .deps.count = deps}, got;
    struct buffer out = {0};
    struct wire_frame f;
    size_t begun = wire_begin_write(&out, WIRE_WRITE, &m);
    for (uint32_t i = 0; i < maps; i++)
        wire_put_map_ref(&out, (struct wire_map_ref){1, i});
    for (uint32_t i = 0; i < deps; i++)
        wire_put_dot(&out, (struct wire_dot){i, 1});
    wire_end_write(&out, begun, (struct slice){key, sizeof key},
                   (struct slice){value, value_bytes});
    CHECK(wire_cut(buffer_slice(&out), &f) == WIRE_CUT_FRAME && wire_read_write(f.body, &got));
    CHECK(got.value.len == value_bytes && got.deps.count == deps);
    CHECK_U64(wire_map_ref_at(got.maps, maps - 1).id, maps - 1);
    buffer_free(&out);
    free(value);
}

/* ---- Lies and other forms ---- */

/* A body made by hand. */
struct raw {
    struct buffer b;
};

static void raw_number(struct raw *raw, uint64_t n, size_t bytes) {
    while (bytes-- > 0)
        buffer_put_char(&raw->b, (char)(n >> 8 * bytes));
}

static void raw_zeros(struct raw *raw, size_t bytes) {
    while (bytes-- > 0)
        buffer_put_char(&raw->b, '\0');
}

static void raw_address(struct raw *raw, const char *text) {
    raw_number(raw, strlen(text), 2);
    buffer_put(&raw->b, slice_of(text));
}

static bool raw_reads(struct raw *raw, enum wire_type type) {
    bool good = reads(type, guarded(buffer_slice(&raw->b)));
    buffer_free(&raw->b);
    return good;
}

static uint64_t number_at(struct slice body, size_t offset, size_t bytes) {
    uint64_t n = 0;
    for (size_t i = 0; i < bytes; i++)
        n = n << 8 | (uint8_t)body.at[offset + i];
    return n;
}

/* Puts a number over a field of the body and tells whether it is still one. */
static bool reads_with(enum wire_type type, struct slice body, size_t offset, size_t bytes,
                       uint64_t n) {
    struct raw raw = {0};
    buffer_put(&raw.b, (struct slice){body.at, offset});
    raw_number(&raw, n, bytes);
    size_t behind = offset + bytes;
    buffer_put(&raw.b, (struct slice){body.at + behind, body.len - behind});
    return raw_reads(&raw, type);
}

static void counts_and_lengths_that_lie_are_refused(void) {
    static const struct {
        enum wire_type type;
        size_t offset, bytes;
    } fields[] = {
        {WIRE_HELLO, 14, 1},       {WIRE_REFUSED, 0, 1},      {WIRE_ROW, 1, 2},
        {WIRE_ROW, 3, 2},          {WIRE_ROW, 5, 2},          {WIRE_ACTOR, 24, 2},
        {WIRE_WRITE, 25, 2},       {WIRE_WRITE, 27, 4},       {WIRE_WRITE, 31, 2},
        {WIRE_WRITE, 33, 4},       {WIRE_VERSION, 27, 4},     {WIRE_PULL, 136, 2},
        {WIRE_PULL, 138 + 128, 2}, {WIRE_PULL, 138 + 130, 4}, {WIRE_SLOT, 10, 2},
        {WIRE_SLOT, 12, 4},        {WIRE_OP, 24, 2},          {WIRE_OP, 26, 4},
        {WIRE_OP, 30, 4},          {WIRE_ANSWER, 10, 4},      {WIRE_ANSWER, 14, 4},
        {WIRE_ANSWER, 18, 4},
    };
    struct kit_random random = {kit_seed()};
    for (size_t i = 0; i < 100 * sizeof fields / sizeof *fields; i++) {
        size_t field = i % (sizeof fields / sizeof *fields);
        enum wire_type type = fields[field].type;
        size_t offset = fields[field].offset, bytes = fields[field].bytes;
        struct buffer out = {0};
        messages[type].put(&out, &random);
        struct slice body = {out.at + WIRE_HEAD_BYTES, out.len - WIRE_HEAD_BYTES};
        /* A part that takes too much of the next one may happen to fit again: only the last part.
         */
        bool last = type != WIRE_PULL || offset == 136 || number_at(body, 136, 2) == 1;
        if (offset + bytes <= body.len && last) { /* a pull may have no part */
            uint64_t n = number_at(body, offset, bytes);
            uint64_t most = UINT64_MAX >> (64 - 8 * bytes);
            kit_note("round %zu, type %d, field at %zu is %d", i, (int)type, offset, (int)n);
            CHECK(reads_with(type, body, offset, bytes, n));
            CHECK(!reads_with(type, body, offset, bytes, n + 1));
            CHECK(!reads_with(type, body, offset, bytes, most));
            CHECK(!reads_with(type, body, offset, bytes, most / 2 + 1 + n));
            if (n > 0) CHECK(!reads_with(type, body, offset, bytes, n - 1));
        }
        buffer_free(&out);
    }
}

static bool is_write(uint32_t maps, uint32_t deps, uint64_t hlc) {
    struct raw raw = {0};
    raw_number(&raw, 1, 8);
    raw_number(&raw, 1, 8);
    raw_number(&raw, hlc, 8);
    raw_number(&raw, 0, 1);
    raw_number(&raw, maps, 2);
    raw_number(&raw, deps, 4);
    raw_number(&raw, 1, 2);
    raw_number(&raw, 1, 4);
    for (uint64_t i = 0; i < maps + 2 * (uint64_t)deps; i++)
        raw_number(&raw, 1, 8);
    raw_number(&raw, '1', 1);
    raw_number(&raw, '1', 1);
    return raw_reads(&raw, WIRE_WRITE);
}

/* A version has 16 bits for the length of what it depends on. */
static void a_write_that_depends_on_more_than_a_version_can_keep_is_refused(void) {
    uint32_t most = WIRE_LISTS_BYTES_MAX / WIRE_DOT_BYTES;
    CHECK(is_write(0, most, 1));
    CHECK(!is_write(0, most + 1, 1));
    CHECK(!is_write(2, most, 1));
    CHECK(is_write(WIRE_LISTS_BYTES_MAX / WIRE_MAP_REF_BYTES, 0, 1));
    CHECK(!is_write(WIRE_LISTS_BYTES_MAX / WIRE_MAP_REF_BYTES + 1, 0, 1));
}

/* The next one is counted from it. */
static void a_stamp_that_would_wrap_is_refused(void) {
    CHECK(is_write(0, 0, HLC_MAX));
    CHECK(!is_write(0, 0, HLC_MAX + 1));
    CHECK(!is_write(0, 0, UINT64_MAX));
}

/* 16 bytes each: in 32 bits these would come to nothing. */
static void counts_whose_bytes_wrap_around_are_refused(void) {
    struct kit_random random = {kit_seed()};
    for (uint32_t high = 1; high < 16; high++) {
        struct buffer out = {0};
        put_write(&out, &random);
        struct slice body = {out.at + WIRE_HEAD_BYTES, out.len - WIRE_HEAD_BYTES};
        uint64_t deps = number_at(body, 27, 4);
        CHECK(!reads_with(WIRE_WRITE, body, 27, 4, deps | (uint64_t)high << 28));
        buffer_free(&out);
        put_slot(&out, &random);
        body = (struct slice){out.at + WIRE_HEAD_BYTES, out.len - WIRE_HEAD_BYTES};
        uint64_t dots = number_at(body, 12, 4);
        CHECK(!reads_with(WIRE_SLOT, body, 12, 4, dots | (uint64_t)high << 28));
        buffer_free(&out);
    }
}

static bool reads_actor_of(const char *address) {
    struct raw raw = {0};
    raw_number(&raw, 1, 8);
    raw_number(&raw, 2, 8);
    raw_number(&raw, 3, 8);
    raw_address(&raw, address);
    return raw_reads(&raw, WIRE_ACTOR);
}

static void addresses_of_another_form_are_refused(void) {
    static const char *const bad[] = {"",       "alice",        "Alice:80",   "10.0.0.01:80",
                                      "a:080",  "a:0",          "a:65536",    ":80",
                                      "a b:80", "10.0.0.256:1", "[::1]:8090", "a:80 "};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        kit_note("%s", bad[i]);
        CHECK(!reads_actor_of(bad[i]));
    }
    char text[ADDRESS_TEXT_MAX + 2];
    memset(text, 'h', sizeof text);
    snprintf(text + ADDRESS_HOST_MAX + 1, 7, ":65535");
    CHECK(!reads_actor_of(text)); /* one too long */
    CHECK(reads_actor_of(text + 1));
    CHECK(reads_actor_of("10.0.0.1:80") && reads_actor_of("alice:80"));
}

static void unknown_flags_are_refused(void) {
    struct buffer out = {0};
    struct wire_row_writer w;
    struct wire_row_peer p = {.address = kit_address("a:1")};
    wire_begin_row(&w, &out, 0, NULL, 0);
    wire_put_row_peer(&w, &p);
    wire_end_row(&w);
    struct slice row = {out.at + WIRE_HEAD_BYTES, out.len - WIRE_HEAD_BYTES};
    size_t write_at = out.len;
    struct wire_write m = {.hlc = 1};
    wire_end_write(&out, wire_begin_write(&out, WIRE_WRITE, &m), SLICE("k"), SLICE(""));
    row.at = out.at + WIRE_HEAD_BYTES;
    struct slice write = {out.at + write_at + WIRE_HEAD_BYTES,
                          out.len - write_at - WIRE_HEAD_BYTES};
    for (unsigned flags = 0; flags < 256; flags++) {
        kit_note("flags %u", flags);
        CHECK(reads_with(WIRE_ROW, row, 0, 1, flags) == (flags <= 15));
        CHECK(reads_with(WIRE_ROW, row, 7 + 8, 1, flags) == (flags <= 3));
        CHECK(reads_with(WIRE_WRITE, write, 24, 1, flags) == (flags <= 1));
    }
    buffer_free(&out);
}

static bool reads_write_of(uint8_t flags, size_t key_len, size_t value_len) {
    struct raw raw = {0};
    for (int i = 0; i < 3; i++)
        raw_number(&raw, 1, 8);
    raw_number(&raw, flags, 1);
    raw_zeros(&raw, 2 + 4);
    raw_number(&raw, key_len, 2);
    raw_number(&raw, value_len, 4);
    for (size_t i = 0; i < key_len + value_len; i++)
        buffer_put_char(&raw.b, 'x');
    return raw_reads(&raw, WIRE_WRITE);
}

static void a_write_names_a_key_that_the_store_takes(void) {
    CHECK(!reads_write_of(0, 0, 5));
    CHECK(reads_write_of(0, 1, 5));
    CHECK(reads_write_of(0, STORE_KEY_BYTES_MAX, 5));
    CHECK(!reads_write_of(0, STORE_KEY_BYTES_MAX + 1, 5));
}

static void a_tombstone_has_no_value(void) {
    CHECK(reads_write_of(1, 3, 0));
    CHECK(!reads_write_of(1, 3, 1));
}

/* An OP with a body of `x`, whose slot is 0 unless it has a key. */
static bool reads_op_of(unsigned kind, size_t key_len, size_t value_len, size_t claim_len,
                        unsigned slot_off) {
    char key[STORE_KEY_BYTES_MAX + 1];
    struct raw raw = {0};
    memset(key, 'x', sizeof key);
    unsigned slot = key_len > 0 ? shard_slot((struct slice){key, key_len}) : 0;
    raw_zeros(&raw, 8 + 8);
    raw_number(&raw, kind, 1);
    raw_zeros(&raw, 1 + 4);
    raw_number(&raw, slot + slot_off, 2);
    raw_number(&raw, key_len, 2);
    raw_number(&raw, value_len, 4);
    raw_number(&raw, claim_len, 4);
    for (size_t i = 0; i < key_len + value_len + claim_len; i++)
        buffer_put_char(&raw.b, 'x');
    return raw_reads(&raw, WIRE_OP);
}

static void an_operation_has_what_its_kind_needs(void) {
    for (unsigned kind = 0; kind < 256; kind++) {
        bool has_key = kind == OP_GET || kind == OP_PUT || kind == OP_DELETE;
        kit_note("kind %u", kind);
        for (size_t key_len = 0; key_len <= STORE_KEY_BYTES_MAX + 1; key_len++) {
            bool fits = key_len > 0 && key_len <= STORE_KEY_BYTES_MAX;
            size_t value_len = kind == OP_PUT ? 1 : kind == OP_LIST ? 4 : 0;
            bool may_be_empty = kind == OP_COUNT || kind == OP_LIST;
            bool may_be_there = has_key || kind == OP_LIST;
            CHECK(reads_op_of(kind, key_len, value_len, 0, 0) ==
                  (key_len == 0 ? may_be_empty : fits && may_be_there));
        }
        CHECK(!reads_op_of(kind, has_key, kind == OP_LIST ? 3 : kind != OP_PUT, 0, 0));
        CHECK(reads_op_of(kind, has_key, kind == OP_PUT, 2, 0) == has_key);
        CHECK(!reads_op_of(kind, has_key, kind == OP_PUT, 0, SHARD_SLOTS));
        CHECK(!has_key || !reads_op_of(kind, 1, kind == OP_PUT, 0, 1)); /* of another key */
    }
}

static bool reads_answer_of(unsigned status, unsigned shard, size_t missing_len, size_t value_len) {
    struct raw raw = {0};
    raw_zeros(&raw, 8);
    raw_number(&raw, status, 1);
    raw_number(&raw, shard, 1);
    raw_number(&raw, 0, 4);
    raw_number(&raw, missing_len, 4);
    raw_number(&raw, value_len, 4);
    for (size_t i = 0; i < missing_len + value_len; i++)
        buffer_put_char(&raw.b, 'x');
    return raw_reads(&raw, WIRE_ANSWER);
}

static void an_answer_has_what_its_status_allows(void) {
    for (unsigned status = 0; status < 256; status++) {
        kit_note("status %u", status);
        CHECK(reads_answer_of(status, 0, 0, 0) == (status < NODE_STATUSES));
        CHECK(reads_answer_of(status, 0, 0, 1) == (status == NODE_FOUND));
        bool tells_why = status == NODE_NOT_YET || status == NODE_DISK_TROUBLE;
        CHECK(reads_answer_of(status, 0, 1, 0) == tells_why);
        CHECK(reads_answer_of(0, status, 0, 0) == (status < SHARD_COUNT_MAX));
    }
}

/* It becomes part of a JSON text. */
static void a_reason_is_short_and_plain(void) {
    for (unsigned c = 0; c < 256; c++) {
        struct buffer out = {0};
        struct wire_answer answer = {.status = NODE_DISK_TROUBLE};
        char byte = (char)c;
        answer.missing = (struct slice){&byte, 1};
        wire_put_answer(&out, &answer);
        struct slice body = {out.at + WIRE_HEAD_BYTES, out.len - WIRE_HEAD_BYTES};
        kit_note("byte %u", c);
        CHECK(wire_read_answer(body, &answer) == (c >= ' ' && c <= '~' && c != '"' && c != '\\'));
        buffer_free(&out);
    }
    CHECK(reads_answer_of(NODE_DISK_TROUBLE, 0, WIRE_REASON_MAX, 0));
    CHECK(!reads_answer_of(NODE_DISK_TROUBLE, 0, WIRE_REASON_MAX + 1, 0));
}

static void the_largest_operation_and_answer_fit_a_frame(void) {
    size_t bytes = 8 * 1024 * 1024;
    char key[STORE_KEY_BYTES_MAX], *text = malloc(bytes + METADATA_BYTES_MAX);
    memset(key, 'k', sizeof key);
    memset(text, '1', bytes + METADATA_BYTES_MAX);
    struct wire_op op = {.kind = OP_PUT, .key = {key, sizeof key}};
    op.slot = (uint16_t)shard_slot(op.key);
    op.value = (struct slice){text, bytes};
    op.claim = (struct slice){text + bytes, METADATA_BYTES_MAX};
    struct wire_answer answer = {.value = op.value, .metadata = op.claim};
    struct buffer out = {0};
    struct wire_frame f;
    CHECK(wire_op_fits(&op) && wire_answer_fits(&answer));
    wire_put_op(&out, &op);
    CHECK(wire_cut(buffer_slice(&out), &f) == WIRE_CUT_FRAME && wire_read_op(f.body, &op));
    out.len = 0;
    wire_put_answer(&out, &answer);
    CHECK(wire_cut(buffer_slice(&out), &f) == WIRE_CUT_FRAME && wire_read_answer(f.body, &answer));
    CHECK(op.value.len == bytes && answer.value.len == bytes);
    answer.value.len = WIRE_FRAME_BYTES_MAX;
    op.value.len = WIRE_FRAME_BYTES_MAX;
    CHECK(!wire_op_fits(&op) && !wire_answer_fits(&answer));
    buffer_free(&out);
    free(text);
}

static void there_are_1024_slots(void) {
    for (unsigned slot = 0; slot < 4096; slot++) {
        struct raw raw = {0};
        raw_number(&raw, slot, 2);
        CHECK(raw_reads(&raw, WIRE_SLOT_END) == (slot < SHARD_SLOTS));
        raw_number(&raw, slot, 2);
        raw_zeros(&raw, 8 + 2 + 4);
        CHECK(raw_reads(&raw, WIRE_SLOT) == (slot < SHARD_SLOTS));
    }
}

static bool reads_hello_of(uint32_t magic, uint16_t version, const char *cluster) {
    struct raw raw = {0};
    raw_number(&raw, magic, 4);
    raw_number(&raw, version, 2);
    raw_number(&raw, 1, 8);
    raw_number(&raw, strlen(cluster), 1);
    buffer_put(&raw.b, slice_of(cluster));
    raw_address(&raw, "a:1");
    raw_address(&raw, "b:1");
    return raw_reads(&raw, WIRE_HELLO);
}

/* Whoever is of another version shall be told so. */
static void a_hello_of_another_version_is_read_and_of_another_protocol_not(void) {
    CHECK(reads_hello_of(WIRE_MAGIC, WIRE_PROTOCOL_VERSION, "kvs"));
    CHECK(reads_hello_of(WIRE_MAGIC, 999, "kvs"));
    CHECK(!reads_hello_of(WIRE_MAGIC + 1, WIRE_PROTOCOL_VERSION, "kvs"));
}

/* They go into logs. */
static void texts_are_plain(void) {
    char text[2] = "x";
    for (int byte = 1; byte < 256; byte++) {
        struct raw raw = {0};
        bool plain = byte >= ' ' && byte <= '~';
        text[0] = (char)byte;
        kit_note("byte %d", byte);
        CHECK(reads_hello_of(WIRE_MAGIC, WIRE_PROTOCOL_VERSION, text) == plain);
        raw_number(&raw, 1, 1);
        raw_number(&raw, (uint64_t)byte, 1);
        CHECK(raw_reads(&raw, WIRE_REFUSED) == plain);
    }
}

static void texts_are_short(void) {
    char text[256];
    for (size_t len = 0; len < sizeof text; len++) {
        struct raw raw = {0};
        memset(text, 't', len);
        text[len] = '\0';
        kit_note("%zu bytes", len);
        bool good = reads_hello_of(WIRE_MAGIC, WIRE_PROTOCOL_VERSION, text);
        CHECK(good == (len <= WIRE_CLUSTER_MAX));
        raw_number(&raw, len, 1);
        buffer_put(&raw.b, slice_of(text));
        CHECK(raw_reads(&raw, WIRE_REFUSED) == (len <= WIRE_REASON_MAX));
    }
}

static void a_long_reason_is_cut(void) {
    char text[2 * WIRE_REASON_MAX];
    struct buffer out = {0};
    struct slice reason;
    memset(text, 'r', sizeof text);
    wire_put_refused(&out, (struct slice){text, sizeof text});
    CHECK(wire_read_refused((struct slice){out.at + 5, out.len - 5}, &reason));
    CHECK_SLICE(reason, ((struct slice){text, WIRE_REASON_MAX}));
    buffer_free(&out);
}

/* ---- The bytes of docs/wire.md ---- */

static int hex_digit(char c) {
    const char *digits = "0123456789abcdef", *found = c == '\0' ? NULL : strchr(digits, c);
    return found == NULL ? -1 : (int)(found - digits);
}

/* "00 2a ; words" */
static void add_hex_line(struct buffer *out, struct slice line) {
    struct slice bytes = slice_trim(slice_cut(&line, ';'));
    while (bytes.len > 0) {
        struct slice pair = slice_cut(&bytes, ' ');
        int high = pair.len == 2 ? hex_digit(pair.at[0]) : -1;
        int low = pair.len == 2 ? hex_digit(pair.at[1]) : -1;
        if (CHECK(high >= 0 && low >= 0)) buffer_put_char(out, (char)(high * 16 + low));
    }
}

/* The bytes of the block that begins with ```hex NAME. make test runs this where the docs are. */
static struct buffer bytes_in_docs(const char *name) {
    struct buffer bytes = {0};
    char line[256], fence[64];
    bool inside = false;
    FILE *file = fopen("docs/wire.md", "r");
    if (!CHECK(file != NULL)) return bytes;
    snprintf(fence, sizeof fence, "```hex %s\n", name);
    while (fgets(line, sizeof line, file) != NULL) {
        if (strcmp(line, fence) == 0) {
            inside = true;
        } else if (line[0] == '`') {
            inside = false;
        } else if (inside) {
            add_hex_line(&bytes, (struct slice){line, strcspn(line, "\n")});
        }
    }
    fclose(file);
    return bytes;
}

static void check_docs(const char *name, struct buffer *made) {
    struct buffer shown = bytes_in_docs(name);
    kit_note("%s", name);
    CHECK_SLICE(buffer_slice(made), buffer_slice(&shown));
    buffer_free(&shown);
    buffer_free(made);
}

static void the_docs_show_the_bytes_of_a_hello(void) {
    struct buffer out = {0};
    struct wire_hello m = {.version = 1, .boot = 0xb007b007b007b007, .cluster = SLICE("kvs")};
    m.caller = kit_address("10.0.0.1:8090");
    m.callee = kit_address("alice:8090");
    wire_put_hello(&out, &m);
    check_docs("HELLO", &out);
}

static void the_docs_show_the_bytes_of_a_write(void) {
    struct buffer out = {0};
    struct wire_write m = {.dot = {0x5f3a9c01d2e4b7a1, 17}, .hlc = 0x01a1fcbc433d0001};
    m.maps.count = 1;
    m.deps.count = 2;
    size_t begun = wire_begin_write(&out, WIRE_WRITE, &m);
    wire_put_map_ref(&out, (struct wire_map_ref){2, 0x9f3c01d2});
    wire_put_dot(&out, (struct wire_dot){0x5f3a9c01d2e4b7a1, 16});
    wire_put_dot(&out, (struct wire_dot){0xc8b5f009f178553c, 3});
    wire_end_write(&out, begun, SLICE("color"), SLICE("\"red\""));
    check_docs("WRITE", &out);
}

static void the_docs_show_the_bytes_of_a_row(void) {
    static const uint8_t even_slots[WIRE_SLOTS_BYTES] = {0x55, 0x55};
    static const uint64_t maps[] = {0x9f3c01d200000002};
    struct wire_row_peer peer = {kit_address("alice:8090"), 0xa11cea11cea11cea, true, true};
    struct wire_row_writer w;
    struct buffer out = {0};
    wire_begin_row(&w, &out, WIRE_ROW_SYNCED | WIRE_ROW_HEARS_YOU, maps, 1);
    wire_put_row_peer(&w, &peer);
    wire_begin_part(&out, even_slots, 1, 1);
    wire_put_u64(&out, 0x6700000000000001);
    wire_put_dot(&out, (struct wire_dot){0x5f3a9c01d2e4b7a1, 17});
    wire_count_part(&w);
    wire_end_row(&w);
    check_docs("ROW", &out);
}

static void the_docs_show_the_bytes_of_an_operation_and_its_answer(void) {
    struct buffer out = {0};
    struct wire_op op = {.id = 9, .stream = 0xb007b007b007b00a, .kind = OP_PUT, .hops = 2};
    op.ms = 2500;
    op.key = SLICE("color");
    op.slot = (uint16_t)shard_slot(op.key);
    op.value = SLICE("\"red\"");
    wire_put_op(&out, &op);
    check_docs("OP", &out);
    struct wire_answer answer = {.id = 9, .status = NODE_CREATED, .shard = 1};
    answer.metadata = SLICE("{\"maps\":[],\"time\":\"01a1fcbc433d0001\",\"clock\":{"
                            "\"alice:8090#5f3a9c01d2e4b7a1\":1}}");
    wire_put_answer(&out, &answer);
    check_docs("ANSWER", &out);
}

int main(void) {
    guard = guard_create();
    RUN(what_is_put_is_read_as_the_same);
    RUN(every_truncation_of_every_body_is_refused);
    RUN(one_more_byte_is_refused);
    RUN(a_frame_is_cut_when_its_last_byte_is_there_and_not_before);
    RUN(a_head_that_cannot_be_is_bad_at_once);
    RUN(a_long_frame_is_bad_unless_its_type_can_be_long);
    RUN(the_longest_short_messages_are_cut);
    RUN(the_largest_write_fits_a_frame);
    RUN(counts_and_lengths_that_lie_are_refused);
    RUN(a_write_that_depends_on_more_than_a_version_can_keep_is_refused);
    RUN(a_stamp_that_would_wrap_is_refused);
    RUN(counts_whose_bytes_wrap_around_are_refused);
    RUN(addresses_of_another_form_are_refused);
    RUN(unknown_flags_are_refused);
    RUN(a_write_names_a_key_that_the_store_takes);
    RUN(a_tombstone_has_no_value);
    RUN(an_operation_has_what_its_kind_needs);
    RUN(an_answer_has_what_its_status_allows);
    RUN(a_reason_is_short_and_plain);
    RUN(the_largest_operation_and_answer_fit_a_frame);
    RUN(there_are_1024_slots);
    RUN(a_hello_of_another_version_is_read_and_of_another_protocol_not);
    RUN(texts_are_plain);
    RUN(texts_are_short);
    RUN(a_long_reason_is_cut);
    RUN(the_docs_show_the_bytes_of_a_hello);
    RUN(the_docs_show_the_bytes_of_a_write);
    RUN(the_docs_show_the_bytes_of_a_row);
    RUN(the_docs_show_the_bytes_of_an_operation_and_its_answer);
    guard_free(&guard);
    return kit_finish();
}
