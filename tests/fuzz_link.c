/* What a peer may send, after the handshake and before: a node of a group of two is fed frames that
 * make sense one by one and rarely together. It must not crash, read beyond the bytes, stop
 * serving its own clients for good, or let a link live on that broke the rules of frames.
 *
 * A script is a sequence of commands, each a byte and its operands:
 *
 *   0 raw bytes     1 actor       2 row         3 write       4 ack       5 pull
 *   6 slot begins   7 version     8 slot ends   9 map ask    10 time      11 a client's PUT
 *  12 a stranger calls with raw bytes          13 the link breaks, and is made again
 *  14 op          15 answer      16 a client's GET of a key         17 and of all
 *
 * One that begins with the byte 255 has two shards: the peer is asked for the keys of the other.
 * With the byte 254 the node has a secret that the peer does not know: whatever that says, it stays
 * out. With the byte 253 the peer has what the node lacks, is pulled from, and knows one command
 * more:
 *
 *  18 an image, whole: of the slot of a key, with versions of that
 */
#include <assert.h>
#include <stdlib.h>

#include "../node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COMMANDS_MAX 120
#define WALL_MS      1800000000000
#define OWN_BOOT     7
#define PEER_BOOT    9

struct site {
    struct node *n;
    struct address self, peer;
    struct link *from; /* dialled by the peer; NULL: none */
    struct buffer stream;
    uint64_t now_ms, tokens, answers;
    const uint8_t *at, *end; /* of the script */
    bool has_secret, is_source;
};

static uint64_t counted_random(void) {
    static uint64_t n;
    return n += 0x9E3779B97F4A7C15u;
}

static uint8_t next(struct site *s) {
    return s->at < s->end ? *s->at++ : 0;
}

static struct slice next_bytes(struct site *s, size_t max) {
    size_t len = next(s), left = (size_t)(s->end - s->at);
    if (len > left) len = left;
    if (len > max) len = max;
    struct slice bytes = {(const char *)s->at, len};
    s->at += len;
    return bytes;
}

/* ---- The node and its links ---- */

static void forget(struct site *s, struct link *l) {
    if (l == s->from) s->from = NULL;
}

/* Dials are answered at once by the peer's process. */
static void obey(struct site *s) {
    struct link_order order;
    struct buffer welcome = {0};
    wire_put_welcome(&welcome, PEER_BOOT);
    while (node_take_order(s->n, &order)) {
        if (order.kind == LINK_CLOSE) {
            forget(s, order.link);
            continue;
        }
        node_link_connected(s->n, order.link);
        node_link_received(s->n, order.link, buffer_slice(&welcome));
    }
    buffer_free(&welcome);
}

static void end_turn(struct site *s) {
    uint64_t token;
    struct answer answer;
    while (node_take_answer(s->n, &token, &answer))
        s->answers++;
    node_end_turn(s->n);
    node_take_notes(s->n);
    obey(s);
}

static void pass(struct site *s, uint64_t ms) {
    s->now_ms += ms;
    node_set_time(s->n, s->now_ms, WALL_MS + s->now_ms);
    end_turn(s);
}

/* Gives the link what was gathered in s->stream, all at once or byte by byte. */
static void feed(struct site *s) {
    struct buffer *in = &s->stream;
    const struct peer *p = peers_find(node_view(s->n), &s->peer);
    assert(!s->has_secret || p == NULL || p->boot == 0);
    size_t taken = s->from == NULL ? in->len : node_link_received(s->n, s->from, buffer_slice(in));
    assert(taken <= in->len);
    memmove(in->at, in->at + taken, in->len - taken);
    in->len -= taken;
    end_turn(s);
    if (s->from == NULL) in->len = 0;
}

static void call(struct site *s) {
    struct wire_hello hello = {WIRE_PROTOCOL_VERSION, PEER_BOOT, SLICE_INIT("kvs"), s->peer,
                               s->self};
    s->from = node_link_accepted(s->n);
    s->stream.len = 0;
    wire_put_hello(&s->stream, &hello);
    feed(s);
    pass(s, 1);
}

/* ---- Frames ---- */

static const char *const keys[] = {"a", "b", "c", "d"};

static struct wire_dot next_dot(struct site *s) {
    uint8_t b = next(s);
    return (struct wire_dot){(b & 3u) + 1u, b >> 2};
}

static void put_actor(struct site *s, uint8_t which) {
    uint64_t group = node_map(s->n)->group[0];
    struct wire_actor actor = {(which & 3u) + 1u, which & 4 ? PEER_BOOT : 8,
                               which & 8 ? group + 1 : group, which & 16 ? s->self : s->peer};
    wire_put_actor(&s->stream, &actor);
}

static void put_part(struct site *s, struct buffer *out) {
    uint8_t slots[WIRE_SLOTS_BYTES];
    uint8_t fill = next(s), dots = next(s) & 3;
    for (size_t i = 0; i < sizeof slots; i++)
        slots[i] = fill & 1 ? 0xff : fill;
    wire_begin_part(out, slots, 1, dots);
    wire_put_u64(out, node_map(s->n)->group[0]);
    for (uint8_t i = 0; i < dots; i++)
        wire_put_dot(out, next_dot(s));
}

static void put_row(struct site *s) {
    struct wire_row_writer w;
    uint64_t maps[2] = {node_map(s->n)->id, 5};
    uint8_t flags = next(s), parts = next(s) & 3;
    wire_begin_row(&w, &s->stream, flags & 3, maps, flags & 8 ? 2 : 1);
    struct wire_row_peer me = {s->self, OWN_BOOT, true, true},
                         itself = {s->peer, PEER_BOOT, true, true};
    if (flags & 16) wire_put_row_peer(&w, &me);
    if (flags & 32) wire_put_row_peer(&w, &itself);
    for (uint8_t i = 0; i < parts; i++) {
        put_part(s, &s->stream);
        wire_count_part(&w);
    }
    wire_end_row(&w);
}

static void put_write_of(struct site *s, enum wire_type type, uint8_t shape) {
    uint8_t deps = next(s) & 3;
    struct wire_write w = {.dot = next_dot(s),
                           .hlc = (uint64_t)next(s) << 40,
                           .is_tombstone = shape & 4,
                           .maps = {.count = shape >> 7},
                           .deps = {.count = deps}};
    size_t begun = wire_begin_write(&s->stream, type, &w);
    if (shape >> 7) wire_put_map_ref(&s->stream, (struct wire_map_ref){2, 5});
    for (uint8_t i = 0; i < deps; i++)
        wire_put_dot(&s->stream, next_dot(s));
    struct slice value = shape & 4 ? (struct slice){0} : SLICE("1");
    wire_end_write(&s->stream, begun, slice_of(keys[shape & 3]), value);
}

static void put_write(struct site *s, enum wire_type type) {
    put_write_of(s, type, next(s));
}

static void put_pull(struct site *s) {
    uint8_t parts = next(s) & 3;
    uint8_t whole[WIRE_SLOTS_BYTES];
    memset(whole, next(s), sizeof whole);
    size_t begun = wire_begin_pull(&s->stream, 1, whole, parts);
    for (uint8_t i = 0; i < parts; i++)
        put_part(s, &s->stream);
    wire_end_pull(&s->stream, begun);
}

static void put_slot(struct site *s) {
    uint8_t dots = next(s) & 3;
    uint16_t slot = (uint16_t)shard_slot(SLICE("a"));
    size_t begun = wire_begin_slot(&s->stream, next(s) & 1 ? slot : 3, 1, 0, dots);
    for (uint8_t i = 0; i < dots; i++)
        wire_put_dot(&s->stream, next_dot(s));
    wire_end_slot(&s->stream, begun);
}

static void put_image(struct site *s) {
    uint8_t shape = next(s), dots = shape >> 6, groups = shape >> 5 & 1;
    const struct map *m = node_map(s->n);
    uint16_t slot = (uint16_t)shard_slot(slice_of(keys[shape & 3]));
    size_t begun = wire_begin_slot(&s->stream, slot, shape & 4 ? 0 : m->id, groups, dots);
    if (groups) wire_put_u64(&s->stream, m->group[0]);
    for (uint8_t i = 0; i < dots; i++)
        wire_put_dot(&s->stream, next_dot(s));
    wire_end_slot(&s->stream, begun);
    for (uint8_t i = 0; i < (shape >> 3 & 3); i++)
        put_write_of(s, WIRE_VERSION, (shape & 3) | (next(s) & 4));
    wire_put_slot_end(&s->stream, slot);
}

/* It has more than the node, who so pulls. */
static void offer(struct site *s) {
    struct wire_row_writer w;
    uint64_t map = node_map(s->n)->id, group = node_map(s->n)->group[0];
    uint8_t slots[WIRE_SLOTS_BYTES];
    struct wire_row_peer me = {s->self, OWN_BOOT, true, true};
    put_actor(s, 0);
    wire_begin_row(&w, &s->stream, WIRE_ROW_SYNCED | WIRE_ROW_HEARS_YOU | WIRE_ROW_FULL, &map, 1);
    wire_put_row_peer(&w, &me);
    memset(slots, 0xff, sizeof slots);
    wire_begin_part(&s->stream, slots, 1, 1);
    wire_put_u64(&s->stream, group);
    wire_put_dot(&s->stream, (struct wire_dot){1, 9});
    wire_count_part(&w);
    wire_end_row(&w);
    feed(s);
    pass(s, 1);
}

static void stranger(struct site *s) {
    struct link *l = node_link_accepted(s->n);
    node_link_received(s->n, l, next_bytes(s, 255));
    end_turn(s);
}

static void put_op(struct site *s) {
    uint8_t shape = next(s);
    struct wire_op m = {.id = next(s), .stream = shape >> 6, .hops = shape >> 4 & 3, .ms = 500};
    m.kind = (enum op_kind)((shape & 7) % OP_KINDS);
    if (m.kind == OP_LIST) {
        m.value = SLICE("\0\0\0\2");
        m.slot = next(s);
    } else if (op_has_key(m.kind)) {
        m.key = slice_of(keys[next(s) & 3]);
        m.slot = (uint16_t)shard_slot(m.key);
        if (m.kind == OP_PUT) m.value = SLICE("3");
        m.claim = next_bytes(s, 100);
    }
    wire_put_op(&s->stream, &m);
}

static void put_answer(struct site *s) {
    struct wire_answer m = {.id = next(s)};
    m.status = (enum node_status)(next(s) % NODE_STATUSES);
    m.shard = next(s) % SHARD_COUNT_MAX;
    if (m.status == NODE_FOUND) m.value = SLICE("4");
    m.metadata = next_bytes(s, 100);
    wire_put_answer(&s->stream, &m);
}

static void client_gets(struct site *s) {
    struct claim claim = {0};
    struct answer answer;
    claim_clear(&claim);
    struct op op = {.kind = OP_GET, .key = slice_of(keys[next(s) & 3]), .claim = &claim};
    if (node_submit(s->n, ++s->tokens, &op, &answer) == NODE_ANSWERED) s->answers++;
    claim_free(&claim);
}

/* What a listing would ask for. */
static void client_lists(struct site *s) {
    struct claim claim = {0};
    struct answer answer;
    struct op op = {.kind = OP_LIST, .value = SLICE("\0\0\0\2"), .claim = &claim};
    op.slot = next(s);
    if (node_submit(s->n, ++s->tokens, &op, &answer) == NODE_ANSWERED) s->answers++;
}

static void client_puts(struct site *s) {
    struct claim claim = {0};
    struct answer answer;
    claim_clear(&claim);
    struct op op = {.kind = OP_PUT, .key = SLICE("a"), .value = SLICE("2"), .claim = &claim};
    if (node_submit(s->n, ++s->tokens, &op, &answer) == NODE_ANSWERED) s->answers++;
    claim_free(&claim);
}

static void command(struct site *s) {
    switch (next(s) % (s->is_source ? 19 : 18)) {
    case 0: buffer_put(&s->stream, next_bytes(s, 255)); break;
    case 1: put_actor(s, next(s)); break;
    case 2: put_row(s); break;
    case 3: put_write(s, WIRE_WRITE); break;
    case 4: wire_put_ack(&s->stream, next_dot(s)); break;
    case 5: put_pull(s); break;
    case 6: put_slot(s); break;
    case 7: put_write(s, WIRE_VERSION); break;
    case 8: wire_put_slot_end(&s->stream, (uint16_t)shard_slot(SLICE("a"))); break;
    case 9: wire_put_map_ask(&s->stream, node_map(s->n)->id); break;
    case 10: pass(s, next(s) * 4u); break;
    case 11: client_puts(s); break;
    case 12: stranger(s); break;
    case 13:
        if (s->from != NULL) node_link_closed(s->n, s->from, false);
        call(s);
        break;
    case 14: put_op(s); break;
    case 15: put_answer(s); break;
    case 16: client_gets(s); break;
    case 17: client_lists(s); break;
    case 18: put_image(s); break;
    }
    feed(s);
}

/* ---- A script ---- */

static void begin(struct site *s, const uint8_t *data, size_t size) {
    *s = (struct site){.now_ms = 1000, .at = data, .end = data + size};
    s->has_secret = size > 0 && data[0] == 254;
    s->is_source = size > 0 && data[0] == 253;
    address_parse(SLICE("10.0.0.1:8090"), &s->self);
    address_parse(SLICE("10.0.0.2:8090"), &s->peer);
    struct address view[2] = {s->self, s->peer};
    struct node_config config = {
        .self = s->self,
        .view = view,
        .view_count = 2,
        .shard_count = size > 0 && data[0] == 255 ? 2 : 1,
        .park_ms = 300,
        .forward_ms = 1000,
        .readmit_ms = 500,
        .cluster = SLICE("kvs"),
        .secret = s->has_secret ? SLICE("a secret") : SLICE(""),
        .ring_writes_max = 4,
        .boot = OWN_BOOT,
        .random64 = counted_random,
    };
    s->n = node_create(&config, s->now_ms, WALL_MS);
    pass(s, 1);
    call(s);
    if (s->is_source) offer(s);
}

/* Nobody else is heard any more: whatever came before, every client has its answer soon. */
static void check_end(struct site *s) {
    for (int i = 0; i < 100; i++)
        pass(s, 60);
    assert(node_ready(s->n) && node_forward_stats(s->n)->now == 0);
    assert(s->answers == s->tokens);
    client_puts(s);
    pass(s, 400); /* it may be the other shard's */
    assert(s->answers == s->tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct site s;
    begin(&s, data, size);
    for (int i = 0; i < COMMANDS_MAX && s.at < s.end; i++)
        command(&s);
    check_end(&s);
    node_free(s.n);
    buffer_free(&s.stream);
    return 0;
}
