/* The cluster's secret: who knows it is let in, who does not is kept out, and it never travels.
 * handshake.h has the frames; the rest of a greeting is told in test_peer.c. */
#include "kit.h"

#include "../handshake.h"
#include "../sha256.h"
#include "net.h"

#define SECRET   "correct horse battery staple"
#define FAR_BOOT 5

/* ---- Groups ---- */

static struct net begin_with_secrets(const char *a, const char *b, const char *c) {
    struct net net = begin(3);
    const char *secrets[] = {a, b, c};
    for (unsigned i = 0; i < 3; i++)
        net.configs[i].secret = slice_of(secrets[i]);
    for (unsigned i = 0; i < 3; i++)
        start(&net, i);
    pass(&net, 5000);
    return net;
}

static bool meet(const struct net *net, unsigned a, unsigned b) {
    return sees(net, a, b) && sees(net, b, a);
}

static void nodes_that_know_the_secret_meet(void) {
    struct net net = begin_with_secrets(SECRET, SECRET, SECRET);
    CHECK(meet(&net, 0, 1) && meet(&net, 0, 2) && meet(&net, 1, 2));
    CHECK(put(&net, 0, "k", "1", "").status == NODE_CREATED);
    check_value(&net, 2, "k", "", "1");
    end(&net);
}

static void one_that_restarts_proves_itself_again(void) {
    struct net net = begin_with_secrets(SECRET, SECRET, SECRET);
    restart(&net, 2);
    pass(&net, 2000);
    CHECK(meet(&net, 0, 2) && meet(&net, 1, 2));
    end(&net);
}

static void check_third_is_kept_out(const char *its_secret) {
    struct net net = begin_with_secrets(SECRET, SECRET, its_secret);
    kit_note("the third has '%s'", its_secret);
    CHECK(meet(&net, 0, 1));
    for (unsigned i = 0; i < 2; i++)
        CHECK(!sees(&net, i, 2) && !sees(&net, 2, i));
    CHECK(put(&net, 0, "k", "1", "").status == NODE_CREATED);
    check_value(&net, 1, "k", "", "1");
    end(&net);
}

static void who_does_not_know_it_is_kept_out_and_the_others_go_on(void) {
    check_third_is_kept_out("correct horse battery stable");
    check_third_is_kept_out("correct horse battery staple ");
    check_third_is_kept_out("");
}

static void one_with_a_secret_talks_to_none_without(void) {
    struct net net = begin_with_secrets("", "", SECRET);
    CHECK(meet(&net, 0, 1) && !sees(&net, 2, 0) && !sees(&net, 2, 1));
    CHECK(!sees(&net, 0, 2) && !sees(&net, 1, 2));
    end(&net);
}

/* ---- One node, and this test at the other end of its links ---- */

struct far {
    struct node *n;
    struct address address;
    struct link *dial; /* that the node was to make */
    uint64_t now_ms;
};

static struct far begin_far(const char *secret) {
    struct node_config config = kit_cluster_config(2, 0);
    struct far f = {.now_ms = KIT_NOW_MS, .address = config.view[1]};
    config.cluster = SLICE("kvs");
    config.secret = slice_of(secret);
    f.n = node_create(&config, f.now_ms, KIT_WALL_MS);
    return f;
}

static void pass_far(struct far *f, uint64_t ms) {
    struct link_order order;
    f->now_ms += ms;
    node_set_time(f->n, f->now_ms, KIT_WALL_MS + f->now_ms);
    node_end_turn(f->n);
    while (node_take_order(f->n, &order)) {
        if (order.kind == LINK_DIAL) f->dial = order.link;
        if (order.kind == LINK_CLOSE && f->dial == order.link) f->dial = NULL;
    }
}

static struct buffer greeting(const struct far *f) {
    struct buffer frame = {0};
    struct wire_hello hello = {.version = WIRE_PROTOCOL_VERSION,
                               .boot = FAR_BOOT,
                               .cluster = SLICE("kvs"),
                               .caller = f->address,
                               .callee = *node_self(f->n)};
    wire_put_hello(&frame, &hello);
    return frame;
}

static void send_frame(struct far *f, struct link *l, struct buffer *frame) {
    node_link_received(f->n, l, buffer_slice(frame));
    buffer_free(frame);
}

/* Takes the next frame that the node has sent on the link; it borrows the output. */
static struct wire_frame next_frame(struct far *f, struct link *l) {
    struct wire_frame frame = {0};
    static char kept[1024];
    struct slice out = node_link_output(l);
    if (!CHECK(wire_cut(out, &frame) == WIRE_CUT_FRAME && frame.bytes <= sizeof kept)) return frame;
    memcpy(kept, out.at, frame.bytes);
    frame.body.at = kept + WIRE_HEAD_BYTES;
    node_link_sent(f->n, l, frame.bytes);
    return frame;
}

/* The other side calls and is challenged. `said` gets the HELLO and the nonce. */
static struct link *call(struct far *f, struct buffer *said) {
    struct buffer hello = greeting(f);
    struct link *l = node_link_accepted(f->n);
    buffer_put(said, (struct slice){hello.at + WIRE_HEAD_BYTES, hello.len - WIRE_HEAD_BYTES});
    send_frame(f, l, &hello);
    struct wire_frame challenge = next_frame(f, l);
    CHECK_U64(challenge.type, WIRE_CHALLENGE);
    buffer_put(said, challenge.body);
    return l;
}

/* As the protocol says it, made here by hand. */
static struct wire_proof proof_of(const char *secret, const char *side, struct buffer *said) {
    struct wire_proof proof = {.nonce = {{1, 2, 3}}};
    buffer_put(said, (struct slice){(const char *)&proof.nonce, sizeof proof.nonce});
    struct slice pieces[] = {slice_of(side), buffer_slice(said)};
    hmac_sha256(slice_of(secret), pieces, 2, proof.code);
    return proof;
}

static void prove(struct far *f, struct link *l, const struct wire_proof *proof) {
    struct buffer frame = {0};
    wire_put_proof(&frame, proof);
    send_frame(f, l, &frame);
}

static void a_good_proof_is_answered_by_one_and_a_welcome(void) {
    struct far f = begin_far(SECRET);
    struct buffer said = {0};
    struct link *l = call(&f, &said);
    struct wire_proof mine = proof_of(SECRET, "kvs caller", &said), theirs;
    prove(&f, l, &mine);
    struct wire_frame frame = next_frame(&f, l);
    if (CHECK(frame.type == WIRE_PROOF && wire_read_proof(frame.body, &theirs))) {
        struct slice pieces[] = {SLICE("kvs callee"), buffer_slice(&said)};
        uint8_t code[SHA256_BYTES];
        hmac_sha256(SLICE(SECRET), pieces, 2, code);
        CHECK(memcmp(code, theirs.code, sizeof code) == 0);
    }
    CHECK_U64(next_frame(&f, l).type, WIRE_WELCOME);
    buffer_free(&said);
    node_free(f.n);
}

static void check_no_proof(struct far *f, struct link *l, const struct wire_proof *proof) {
    struct link_order order;
    prove(f, l, proof);
    CHECK_U64(next_frame(f, l).type, WIRE_REFUSED);
    CHECK_U64(node_link_output(l).len, 0);
    CHECK(node_take_order(f->n, &order) && order.kind == LINK_CLOSE && order.link == l);
}

static void what_proves_nothing_is_refused(void) {
    struct far f = begin_far(SECRET);
    struct buffer said = {0};
    struct link *l = call(&f, &said);
    struct wire_proof proof = proof_of("another", "kvs caller", &said);
    check_no_proof(&f, l, &proof);

    kit_note("the code of the other direction");
    said.len = 0;
    l = call(&f, &said);
    proof = proof_of(SECRET, "kvs callee", &said);
    check_no_proof(&f, l, &proof);

    kit_note("a good one, of another link");
    said.len = 0;
    l = call(&f, &said);
    proof = proof_of(SECRET, "kvs caller", &said);
    said.len = 0;
    l = call(&f, &said);
    check_no_proof(&f, l, &proof);

    kit_note("no frame of another kind is read before it");
    said.len = 0;
    l = call(&f, &said);
    struct buffer frame = {0};
    wire_put_map_ask(&frame, 1);
    send_frame(&f, l, &frame);
    struct link_order order;
    bool is_closed = false;
    while (node_take_order(f.n, &order))
        is_closed = is_closed || (order.kind == LINK_CLOSE && order.link == l);
    CHECK(is_closed);
    buffer_free(&said);
    node_free(f.n);
}

/* The node's dial has succeeded: what it says to that is thrown away. */
static struct link *take_call(struct far *f) {
    pass_far(f, 0);
    if (!CHECK(f->dial != NULL)) return NULL;
    node_link_connected(f->n, f->dial);
    CHECK_U64(next_frame(f, f->dial).type, WIRE_HELLO);
    return f->dial;
}

static bool notes_have(struct far *f, const char *what) {
    struct slice notes = node_take_notes(f->n);
    return notes.len > 0 && memmem(notes.at, notes.len, what, strlen(what)) != NULL;
}

static void no_welcome_is_taken_before_a_proof(void) {
    struct far f = begin_far(SECRET);
    struct link *l = take_call(&f);
    struct buffer frame = {0};
    wire_put_welcome(&frame, FAR_BOOT);
    send_frame(&f, l, &frame);
    CHECK(notes_have(&f, "peer: does not know the cluster secret: 10.0.0.2:8090"));
    CHECK_U64(peers_find(node_view(f.n), &f.address)->boot, 0);
    pass_far(&f, PEER_REDIAL_MS);
    CHECK(f.dial == NULL); /* not hot */
    pass_far(&f, PEER_REFUSED_MS);
    CHECK(take_call(&f) != NULL);
    wire_put_welcome(&frame, FAR_BOOT);
    send_frame(&f, f.dial, &frame);
    CHECK(!notes_have(&f, "secret")); /* once a minute */
    node_free(f.n);
}

static void a_callee_that_only_pretends_is_left(void) {
    struct far f = begin_far(SECRET);
    struct link *l = take_call(&f);
    struct buffer frame = {0};
    struct wire_nonce nonce = {{9}};
    wire_put_challenge(&frame, &nonce);
    send_frame(&f, l, &frame);
    struct wire_frame sent = next_frame(&f, l);
    struct wire_proof echo;
    CHECK(sent.type == WIRE_PROOF && wire_read_proof(sent.body, &echo));
    prove(&f, l, &echo);
    CHECK(notes_have(&f, "peer: does not know the cluster secret: 10.0.0.2:8090"));
    node_free(f.n);
}

static void one_without_a_secret_says_that_it_was_asked_for_it(void) {
    struct far f = begin_far("");
    struct link *l = take_call(&f);
    struct buffer frame = {0};
    struct wire_nonce nonce = {{9}};
    wire_put_challenge(&frame, &nonce);
    send_frame(&f, l, &frame);
    CHECK(notes_have(&f, "peer: asks for the cluster secret: 10.0.0.2:8090"));
    node_free(f.n);
}

static void strangers_fill_no_log(void) {
    struct far f = begin_far(SECRET);
    struct buffer said = {0};
    unsigned noted = 0;
    f.address = kit_address("10.0.0.9:8090");
    for (int i = 0; i < 50; i++) {
        said.len = 0;
        struct link *l = call(&f, &said);
        struct wire_proof proof = proof_of("a guess", "kvs caller", &said);
        check_no_proof(&f, l, &proof);
        noted += notes_have(&f, "refused a caller");
    }
    CHECK_U64(noted, 1);
    CHECK(peers_find(node_view(f.n), &f.address) == NULL);
    buffer_free(&said);
    node_free(f.n);
}

int main(void) {
    RUN(nodes_that_know_the_secret_meet);
    RUN(one_that_restarts_proves_itself_again);
    RUN(who_does_not_know_it_is_kept_out_and_the_others_go_on);
    RUN(one_with_a_secret_talks_to_none_without);
    RUN(a_good_proof_is_answered_by_one_and_a_welcome);
    RUN(what_proves_nothing_is_refused);
    RUN(no_welcome_is_taken_before_a_proof);
    RUN(a_callee_that_only_pretends_is_left);
    RUN(one_without_a_secret_says_that_it_was_asked_for_it);
    RUN(strangers_fill_no_log);
    return kit_finish();
}
