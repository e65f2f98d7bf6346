/* What comes on the links of a node with a secret, before the other side has proved that it knows
 * that, and after. Whatever is said, in whichever order: a link opens only behind a right proof,
 * and the node goes on serving its clients.
 *
 * The other side knows the secret, and makes right proofs of it; the script spoils them. It is a
 * sequence of commands, each a byte and its operands: from 128 on they are for the link that the
 * node has dialled, below for the one that it was called on.
 *
 *   0 raw bytes      1 HELLO       2 PROOF, right or spoilt     3 CHALLENGE     4 WELCOME
 *   5 REFUSED        6 ROW         7 WRITE      8 a new call     9 the link breaks     10 time
 */
#include <assert.h>
#include <stdlib.h>

#include "../node.h"
#include "../sha256.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COMMANDS_MAX 100
#define WALL_MS      1800000000000
#define SECRET       SLICE("a secret")
#define PEER_BOOT    9

/* One link, from its other side. */
struct far {
    struct link *l; /* NULL: none */
    bool dialled;   /* by the node */
    bool proved;    /* a right proof went in at its place */
    bool has_nonce; /* the node's has come */
    struct buffer said, in;
};

struct site {
    struct node *n;
    struct address self, peer;
    struct far called, dialled;
    uint64_t now_ms, tokens, answers;
    const uint8_t *at, *end; /* of the script */
};

static uint64_t counted_random(void) {
    static uint64_t n;
    return n += 0x9E3779B97F4A7C15u;
}

static uint8_t next(struct site *s) {
    return s->at < s->end ? *s->at++ : 0;
}

static struct slice next_bytes(struct site *s) {
    size_t len = next(s), left = (size_t)(s->end - s->at);
    if (len > left) len = left;
    struct slice bytes = {(const char *)s->at, len};
    s->at += len;
    return bytes;
}

/* ---- Links ---- */

static void forget(struct far *f) {
    f->l = NULL;
    f->proved = f->has_nonce = false;
    f->said.len = f->in.len = 0;
}

static void note_nonce(struct far *f, const struct wire_nonce *nonce) {
    buffer_put(&f->said, (struct slice){(const char *)nonce->bytes, sizeof nonce->bytes});
}

/* What the node says there. */
static void listen_to(struct site *s, struct far *f) {
    struct wire_frame frame;
    struct wire_nonce nonce;
    struct wire_proof proof;
    if (f->l == NULL || f->l->state == LINK_DIALLING) return;
    struct slice output = node_link_output(f->l), rest = output;
    while (wire_cut(rest, &frame) == WIRE_CUT_FRAME) {
        if (frame.type == WIRE_HELLO) buffer_put(&f->said, frame.body);
        if (frame.type == WIRE_CHALLENGE && wire_read_challenge(frame.body, &nonce)) {
            note_nonce(f, &nonce);
            f->has_nonce = true;
        }
        if (frame.type == WIRE_PROOF && f->dialled && wire_read_proof(frame.body, &proof)) {
            note_nonce(f, &proof.nonce);
            f->has_nonce = true;
        }
        rest = (struct slice){rest.at + frame.bytes, rest.len - frame.bytes};
    }
    node_link_sent(s->n, f->l, output.len);
}

static void obey(struct site *s) {
    struct link_order order;
    while (node_take_order(s->n, &order)) {
        if (order.kind == LINK_DIAL) {
            forget(&s->dialled);
            s->dialled.l = order.link;
            node_link_connected(s->n, order.link);
        } else if (order.link == s->dialled.l) {
            forget(&s->dialled);
        } else if (order.link == s->called.l) {
            forget(&s->called);
        }
    }
}

static void end_turn(struct site *s) {
    uint64_t token;
    struct answer answer;
    while (node_take_answer(s->n, &token, &answer))
        s->answers++;
    node_end_turn(s->n);
    node_take_notes(s->n);
    listen_to(s, &s->called);
    listen_to(s, &s->dialled);
    obey(s);
}

static void pass(struct site *s, uint64_t ms) {
    s->now_ms += ms;
    node_set_time(s->n, s->now_ms, WALL_MS + s->now_ms);
    end_turn(s);
}

static void call(struct site *s) {
    if (s->called.l != NULL) node_link_closed(s->n, s->called.l, false);
    forget(&s->called);
    s->called.l = node_link_accepted(s->n);
}

static void feed(struct site *s, struct far *f) {
    struct buffer *in = &f->in;
    if (f->l == NULL) in->len = 0;
    if (in->len == 0) return;
    size_t taken = node_link_received(s->n, f->l, buffer_slice(in));
    assert(taken <= in->len);
    assert(f->l->state != LINK_OPEN || f->proved);
    memmove(in->at, in->at + taken, in->len - taken);
    in->len -= taken;
    end_turn(s);
}

/* ---- Frames ---- */

static void put_hello(struct site *s, struct far *f) {
    uint8_t shape = next(s);
    struct wire_hello m = {
        .version = shape & 1 ? 7 : WIRE_PROTOCOL_VERSION,
        .boot = shape & 2 ? next(s) : PEER_BOOT,
        .cluster = shape & 4 ? SLICE("other") : SLICE("kvs"),
        .caller = shape & 8 ? s->self : s->peer,
        .callee = shape & 16 ? s->peer : s->self,
    };
    size_t begun = f->in.len;
    wire_put_hello(&f->in, &m);
    if (f->said.len == 0) buffer_put(&f->said, frame_body(&f->in, begun));
}

/* A right one, but for what the script does to a byte of it. */
static void put_proof(struct site *s, struct far *f) {
    uint8_t place = next(s), spoil = next(s);
    struct wire_proof m = {.nonce = {{place}}};
    if (!f->dialled) note_nonce(f, &m.nonce);
    struct slice pieces[] = {f->dialled ? SLICE("kvs callee") : SLICE("kvs caller"),
                             buffer_slice(&f->said)};
    hmac_sha256(SECRET, pieces, 2, m.code);
    m.code[place % sizeof m.code] ^= spoil;
    wire_put_proof(&f->in, &m);
    f->proved = f->proved || (f->has_nonce && spoil == 0);
}

static void put_challenge(struct site *s, struct far *f) {
    struct wire_nonce nonce = {{next(s)}};
    if (!f->has_nonce) note_nonce(f, &nonce);
    wire_put_challenge(&f->in, &nonce);
}

static void put_row(struct site *s, struct far *f) {
    struct wire_row_writer w;
    uint64_t map = node_map(s->n)->id;
    struct wire_row_peer me = {s->self, 7, true, true};
    wire_begin_row(&w, &f->in, next(s) & 3, &map, 1);
    wire_put_row_peer(&w, &me);
    wire_end_row(&w);
}

static void put_write(struct site *s, struct far *f) {
    struct wire_write w = {.dot = {1, next(s)}, .hlc = 1};
    size_t begun = wire_begin_write(&f->in, WIRE_WRITE, &w);
    wire_end_write(&f->in, begun, SLICE("k"), SLICE("1"));
}

static void command(struct site *s) {
    uint8_t b = next(s);
    struct far *f = b & 0x80 ? &s->dialled : &s->called;
    switch ((b & 0x7f) % 11) {
    case 0: buffer_put(&f->in, next_bytes(s)); break;
    case 1: put_hello(s, f); break;
    case 2: put_proof(s, f); break;
    case 3: put_challenge(s, f); break;
    case 4: wire_put_welcome(&f->in, next(s)); break;
    case 5: wire_put_refused(&f->in, SLICE("for fun")); break;
    case 6: put_row(s, f); break;
    case 7: put_write(s, f); break;
    case 8: call(s); break;
    case 9:
        if (f->l != NULL) node_link_closed(s->n, f->l, next(s) & 1);
        forget(f);
        break;
    case 10: pass(s, next(s) * 4u); break;
    }
    feed(s, f);
}

/* ---- A script ---- */

static void client_puts(struct site *s) {
    struct claim claim = {0};
    struct answer answer;
    claim_clear(&claim);
    struct op op = {.kind = OP_PUT, .key = SLICE("a"), .value = SLICE("2"), .claim = &claim};
    if (node_submit(s->n, ++s->tokens, &op, &answer) == NODE_ANSWERED) s->answers++;
    claim_free(&claim);
}

static void begin(struct site *s, const uint8_t *data, size_t size) {
    *s = (struct site){.now_ms = 1000, .at = data, .end = data + size};
    s->dialled.dialled = true;
    address_parse(SLICE("10.0.0.1:8090"), &s->self);
    address_parse(SLICE("10.0.0.2:8090"), &s->peer);
    struct address view[2] = {s->self, s->peer};
    struct node_config config = {
        .self = s->self,
        .view = view,
        .view_count = 2,
        .shard_count = 1,
        .park_ms = 300,
        .forward_ms = 1000,
        .readmit_ms = 500,
        .cluster = SLICE("kvs"),
        .secret = SECRET,
        .ring_writes_max = 4,
        .boot = 7,
        .random64 = counted_random,
    };
    s->n = node_create(&config, s->now_ms, WALL_MS);
    pass(s, 1);
    call(s);
}

/* Nobody says anything any more. */
static void check_end(struct site *s) {
    for (int i = 0; i < 100; i++)
        pass(s, 60);
    assert(node_ready(s->n));
    client_puts(s);
    pass(s, 400);
    assert(s->answers == s->tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct site s;
    begin(&s, data, size);
    for (int i = 0; i < COMMANDS_MAX && s.at < s.end; i++)
        command(&s);
    check_end(&s);
    node_free(s.n);
    buffer_free(&s.called.said);
    buffer_free(&s.called.in);
    buffer_free(&s.dialled.said);
    buffer_free(&s.dialled.in);
    return 0;
}
