/* What a node finds in its log and snapshot: frames that make sense one by one and rarely together,
 * and what an honest process recorded, altered. A node must either refuse them, or live with what
 * they say: it must not crash, it must answer its clients, and what it keeps from then on must be
 * good for the next process, as a log and as a snapshot.
 *
 * A script is a first byte, whose bits say how many nodes the map has (1), and that the log's end
 * may be gone (2), and then commands, each a byte and its operands:
 *
 *   0 raw bytes     1 actor     2 map       3 write      4 version     5 slot
 *   6 adopt         7 ready     8 advance   9 open      10 drop       11 found      12 demote
 *  13 what an honest process recorded      14 a byte is altered      15 the end is cut off
 */
#include <assert.h>
#include <stdlib.h>

#include "../durable.h"
#include "../node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COMMANDS_MAX 60
#define LOG_MAX      (64 * 1024)
#define NOW_MS       1000
#define WALL_MS      1800000000000

struct script {
    const uint8_t *at, *end;
    bool two_nodes, is_cut;
    struct address self, other;
    uint64_t map_id, group;
    struct buffer map;    /* a MAP frame's body */
    struct buffer honest; /* what a process has recorded */
    struct buffer log;
};

static uint64_t counted_random(void) {
    static uint64_t n;
    return n += 0x9E3779B97F4A7C15u;
}

static uint8_t next(struct script *s) {
    return s->at < s->end ? *s->at++ : 0;
}

static struct slice next_bytes(struct script *s) {
    size_t len = next(s), left = (size_t)(s->end - s->at);
    if (len > left) len = left;
    struct slice bytes = {(const char *)s->at, len};
    s->at += len;
    return bytes;
}

/* ---- Nodes ---- */

static struct node *create(const struct script *s, uint64_t boot) {
    struct address view[2] = {s->self, s->other};
    struct node_config config = {
        .self = s->self,
        .view = view,
        .view_count = s->two_nodes ? 2 : 1,
        .shard_count = 1,
        .park_ms = 300,
        .forward_ms = 1000,
        .readmit_ms = 500,
        .cluster = SLICE("kvs"),
        .ring_writes_max = 4,
        .keeps_journal = true,
        .boot = boot,
        .random64 = counted_random,
    };
    return node_create(&config, NOW_MS, WALL_MS);
}

static void take_journal(struct node *n, struct buffer *log) {
    buffer_put(log, node_journal(n));
    node_journal_taken(n);
}

/* Dials come to nothing. */
static void pass(struct node *n, uint64_t *now_ms, uint64_t ms, struct buffer *log,
                 uint64_t *answers) {
    struct link_order order;
    uint64_t token;
    struct answer answer;
    *now_ms += ms;
    node_set_time(n, *now_ms, WALL_MS + *now_ms);
    while (node_take_answer(n, &token, &answer))
        (*answers)++;
    node_end_turn(n);
    node_take_notes(n);
    take_journal(n, log);
    while (node_take_order(n, &order))
        if (order.kind == LINK_DIAL) node_link_closed(n, order.link, true);
}

/* Writes and waits for the answers; returns how many of `count` came. */
static uint64_t write_keys(struct node *n, unsigned count, struct buffer *log) {
    uint64_t now_ms = NOW_MS, answers = 0;
    for (unsigned i = 0; i < 100; i++)
        pass(n, &now_ms, 60, log, &answers);
    for (unsigned i = 0; i < count; i++) {
        struct claim claim = {0};
        struct answer answer;
        const char key[] = {(char)('a' + i % 4)};
        claim_clear(&claim);
        struct op op = {.kind = i == 2 ? OP_DELETE : OP_PUT, .key = {key, 1}, .claim = &claim};
        if (op.kind == OP_PUT) op.value = SLICE("1");
        if (node_submit(n, i + 1, &op, &answer) == NODE_ANSWERED) answers++;
        claim_free(&claim);
        pass(n, &now_ms, 60, log, &answers);
    }
    for (unsigned i = 0; i < 30; i++)
        pass(n, &now_ms, 60, log, &answers);
    return answers;
}

static void record_honestly(struct script *s) {
    struct node *n = create(s, 7);
    node_recovered(n, true);
    write_keys(n, 5, &s->honest);
    const struct map *m = node_map(n);
    s->map_id = m->id;
    s->group = m->group[0];
    map_encode(&s->map, m);
    node_free(n);
}

/* ---- Frames ---- */

static size_t open_redo(struct buffer *out, unsigned type) {
    size_t begun = out->len;
    put_u32(out, 0);
    put_u8(out, (uint8_t)type);
    return begun;
}

static struct wire_dot next_dot(struct script *s) {
    uint8_t b = next(s);
    return (struct wire_dot){(b & 3u) + 1u, b >> 2};
}

static uint16_t next_slot(struct script *s) {
    uint8_t b = next(s);
    const char key[] = {(char)('a' + b % 4)};
    return b & 0x80 ? b : (uint16_t)shard_slot((struct slice){key, 1});
}

static void put_slots(struct script *s) {
    char slots[WIRE_SLOTS_BYTES];
    memset(slots, next(s), sizeof slots);
    buffer_put(&s->log, (struct slice){slots, sizeof slots});
}

static void put_actor(struct script *s) {
    uint8_t b = next(s);
    struct wire_actor m = {(b & 3u) + 1u, b & 4 ? 9 : 8, b & 8 ? s->group + 1 : s->group,
                           b & 16 ? s->self : s->other};
    wire_put_actor(&s->log, &m);
}

static void put_write(struct script *s, enum wire_type type) {
    uint8_t shape = next(s), deps = next(s) & 3;
    struct wire_write w = {.dot = next_dot(s),
                           .hlc = (uint64_t)next(s) << 40,
                           .is_tombstone = shape & 4,
                           .deps = {.count = deps}};
    size_t begun = wire_begin_write(&s->log, type, &w);
    for (uint8_t i = 0; i < deps; i++)
        wire_put_dot(&s->log, next_dot(s));
    const char key[] = {(char)('a' + (shape & 3))};
    wire_end_write(&s->log, begun, (struct slice){key, 1},
                   shape & 4 ? (struct slice){0} : SLICE("2"));
}

static void put_slot(struct script *s) {
    uint8_t dots = next(s) & 3, groups = next(s) & 1;
    size_t begun = wire_begin_slot(&s->log, next_slot(s), 0, groups, dots);
    if (groups) wire_put_u64(&s->log, s->group);
    for (uint8_t i = 0; i < dots; i++)
        wire_put_dot(&s->log, next_dot(s));
    wire_end_slot(&s->log, begun);
}

static void put_redo(struct script *s, unsigned type) {
    size_t begun = open_redo(&s->log, type);
    switch (type) {
    case REDO_ADOPT: wire_put_u64(&s->log, s->map_id + (next(s) & 1)); break;
    case REDO_READY: put_u8(&s->log, next(s) & 7); break;
    case REDO_ADVANCE:
        wire_put_dot(&s->log, next_dot(s));
        put_u16(&s->log, next_slot(s));
        break;
    case REDO_OPEN: put_slots(s); break;
    case REDO_DROP: put_u16(&s->log, next_slot(s)); break;
    case REDO_FOUND:
        wire_put_u64(&s->log, s->group + (next(s) & 1));
        put_slots(s);
        break;
    case REDO_DEMOTE: wire_put_u64(&s->log, s->group + (next(s) & 1)); break;
    }
    frame_close(&s->log, begun);
}

static void alter(struct script *s) {
    size_t place = (size_t)next(s) << 8 | next(s);
    uint8_t flip = next(s);
    if (s->log.len > 0) s->log.at[place % s->log.len] ^= (char)flip;
}

static void command(struct script *s) {
    uint8_t c = next(s) % 16;
    switch (c) {
    case 0: buffer_put(&s->log, next_bytes(s)); break;
    case 1: put_actor(s); break;
    case 2: wire_put_map(&s->log, buffer_slice(&s->map)); break;
    case 3: put_write(s, WIRE_WRITE); break;
    case 4: put_write(s, WIRE_VERSION); break;
    case 5: put_slot(s); break;
    case 13: buffer_put(&s->log, buffer_slice(&s->honest)); break;
    case 14: alter(s); break;
    case 15: s->log.len -= s->log.len == 0 ? 0 : next(s) % s->log.len; break;
    default: put_redo(s, REDO_ADOPT + (c - 6u)); break;
    }
}

/* ---- What comes of it ---- */

static void check_snapshot(const struct script *s, struct node *n) {
    struct snapshot walk = {0};
    struct buffer frames = {0};
    while (node_snapshot_next(n, &walk, &frames)) {
    }
    struct node *again = create(s, 11);
    bool good = node_recover(again, buffer_slice(&frames));
    assert(good);
    node_recovered(again, true);
    assert(store_live(node_store(again)) == store_live(node_store(n)));
    node_free(again);
    buffer_free(&frames);
}

static void check_log(const struct script *s, struct slice log) {
    struct node *again = create(s, 10);
    bool good = node_recover(again, log);
    assert(good);
    node_free(again);
}

static void recover(struct script *s) {
    struct node *n = create(s, 8);
    struct buffer log = {0};
    if (node_recover(n, buffer_slice(&s->log))) {
        buffer_put(&log, buffer_slice(&s->log));
        node_recovered(n, !s->is_cut);
        uint64_t answers = write_keys(n, 4, &log);
        assert(answers == 4);
        check_log(s, buffer_slice(&log));
        check_snapshot(s, n);
    }
    buffer_free(&log);
    node_free(n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct script s = {.at = data, .end = data + size};
    address_parse(SLICE("10.0.0.1:8090"), &s.self);
    address_parse(SLICE("10.0.0.2:8090"), &s.other);
    uint8_t shape = next(&s);
    s.two_nodes = shape & 1;
    s.is_cut = shape & 2;
    record_honestly(&s);
    for (int i = 0; i < COMMANDS_MAX && s.at < s.end && s.log.len < LOG_MAX; i++)
        command(&s);
    recover(&s);
    buffer_free(&s.map);
    buffer_free(&s.honest);
    buffer_free(&s.log);
    return 0;
}
