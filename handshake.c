/* The first frames of a link. See handshake.h.
 *
 *   caller                                callee
 *   HELLO: who I am, whom I call  ---->
 *                                 <----   CHALLENGE: a nonce            |
 *   PROOF: a nonce, a code        ---->                                 | if there is a secret
 *                                 <----   PROOF: a code                 |
 *                                 <----   WELCOME; or REFUSED, in place of any of these
 *
 * A code is HMAC-SHA-256, keyed by the secret, of the side that says it and of all that both have
 * said: HELLO, and the two nonces. So what somebody has recorded, or hears now from the other side,
 * proves nothing: not on another link, not in the other direction, not for other nodes. The caller
 * proves itself first; a stranger learns nothing but a nonce, and why it was refused is told to
 * those alone who know the secret.
 *
 * A node with a secret talks to nobody without one, whoever calls: it challenges callers, and takes
 * no WELCOME before a PROOF. Who sits between two nodes and alters bytes later is not kept out by
 * this; that takes encryption.
 */
#include "handshake.h"

#include <assert.h>

#include "sha256.h"
#include "wire_hello.h"

_Static_assert(WIRE_CODE_BYTES == SHA256_BYTES, "a code is an HMAC-SHA-256");

/* ---- Proofs ---- */

static void make_code(const struct handshake *h, const struct link *l, bool by_caller,
                      uint8_t code[WIRE_CODE_BYTES]) {
    struct slice pieces[] = {by_caller ? SLICE("kvs caller") : SLICE("kvs callee"),
                             buffer_slice(&l->said)};
    hmac_sha256(h->secret, pieces, 2, code);
}

static void note_nonce(struct link *l, const struct wire_nonce *nonce) {
    buffer_put(&l->said, (struct slice){(const char *)nonce->bytes, sizeof nonce->bytes});
}

static struct wire_nonce draw_nonce(const struct handshake *h) {
    struct wire_nonce nonce;
    uint64_t halves[] = {h->random64(), h->random64()};
    _Static_assert(sizeof halves == sizeof nonce, "two random numbers are a nonce");
    memcpy(&nonce, halves, sizeof nonce);
    return nonce;
}

static bool is_code(const struct handshake *h, const struct link *l, bool by_caller,
                    const struct wire_proof *proof) {
    uint8_t code[WIRE_CODE_BYTES];
    make_code(h, l, by_caller, code);
    return equal_in_constant_time((struct slice){(const char *)code, sizeof code},
                                  (struct slice){(const char *)proof->code, sizeof proof->code});
}

static void put_proof(const struct handshake *h, struct link *l, const struct wire_nonce *nonce,
                      bool by_caller) {
    struct wire_proof proof = {.nonce = *nonce};
    make_code(h, l, by_caller, proof.code);
    wire_put_proof(&l->out, &proof);
}

/* ---- The callee ---- */

static void refuse(const struct handshake *h, struct link *l, const char *why,
                   const struct address *caller) {
    wire_put_refused(&l->out, slice_of(why));
    peers_turn_away(h->peers, l, why, caller);
}

static void welcome(const struct handshake *h, struct link *l, const struct wire_hello *hello) {
    const char *why = peers_why_not(h->peers, hello);
    if (why != NULL) {
        refuse(h, l, why, &hello->caller);
        return;
    }
    wire_put_welcome(&l->out, h->peers->boot);
    peers_let_in(h->peers, l, hello);
}

static void on_hello(const struct handshake *h, struct link *l, struct slice body) {
    struct wire_hello hello;
    if (!wire_read_hello(body, &hello)) {
        refuse(h, l, "not a greeting", NULL);
    } else if (hello.version != WIRE_PROTOCOL_VERSION) {
        refuse(h, l, "another version of the protocol", &hello.caller);
    } else if (h->secret.len == 0) {
        welcome(h, l, &hello);
    } else {
        struct wire_nonce nonce = draw_nonce(h);
        buffer_put(&l->said, body);
        l->hello_bytes = body.len;
        note_nonce(l, &nonce);
        l->proof = PROOF_ASKED;
        wire_put_challenge(&l->out, &nonce);
    }
}

/* It borrows what was said. */
static struct wire_hello said_hello(const struct link *l) {
    struct wire_hello hello;
    struct slice body = {l->said.at, l->hello_bytes};
    bool good = wire_read_hello(body, &hello);
    assert(good); /* it was read when it came */
    (void)good;
    return hello;
}

static void on_callers_proof(const struct handshake *h, struct link *l, struct slice body) {
    struct wire_proof proof;
    bool is_proof = wire_read_proof(body, &proof);
    if (is_proof) note_nonce(l, &proof.nonce);
    struct wire_hello hello = said_hello(l);
    if (!is_proof || !is_code(h, l, true, &proof)) {
        refuse(h, l, "another cluster secret", &hello.caller);
        return;
    }
    l->proof = PROOF_GOOD;
    put_proof(h, l, &proof.nonce, false);
    welcome(h, l, &hello);
}

/* ---- The caller ---- */

void handshake_begin(const struct handshake *h, struct link *l) {
    if (l->state != LINK_DIALLING) return; /* given up meanwhile */
    l->state = LINK_GREETING;
    if (h->peers->greet_ms > PEER_DIAL_MS) l->deadline_ms = h->peers->now_ms + h->peers->greet_ms;
    struct wire_hello hello = {
        .version = WIRE_PROTOCOL_VERSION,
        .boot = h->peers->boot,
        .cluster = h->peers->cluster,
        .caller = h->peers->self,
        .callee = l->peer->address,
    };
    size_t begun = l->out.len;
    wire_put_hello(&l->out, &hello);
    if (h->secret.len > 0) buffer_put(&l->said, frame_body(&l->out, begun));
}

static void on_challenge(const struct handshake *h, struct link *l, struct slice body) {
    struct wire_nonce nonce;
    if (l->proof != PROOF_NONE || !wire_read_challenge(body, &nonce)) {
        peers_break(h->peers, l, "peer: not a challenge from ");
    } else if (h->secret.len == 0) {
        peers_turned_away(h->peers, l, "peer: asks for the cluster secret: ");
    } else {
        note_nonce(l, &nonce);
        nonce = draw_nonce(h);
        note_nonce(l, &nonce);
        l->proof = PROOF_GIVEN;
        put_proof(h, l, &nonce, true);
    }
}

static void on_callees_proof(const struct handshake *h, struct link *l, struct slice body) {
    struct wire_proof proof;
    if (l->proof == PROOF_GIVEN && wire_read_proof(body, &proof) && is_code(h, l, false, &proof))
        l->proof = PROOF_GOOD;
    else
        peers_turned_away(h->peers, l, "peer: does not know the cluster secret: ");
}

static void on_welcome(const struct handshake *h, struct link *l, struct slice body) {
    uint64_t boot;
    if (!wire_read_welcome(body, &boot))
        peers_break(h->peers, l, "peer: not a welcome from ");
    else if (h->secret.len > 0 && l->proof != PROOF_GOOD)
        peers_turned_away(h->peers, l, "peer: does not know the cluster secret: ");
    else
        peers_welcomed(h->peers, l, boot);
}

static void on_refused(const struct handshake *h, struct link *l, struct slice body) {
    struct slice reason;
    if (wire_read_refused(body, &reason))
        peers_turned_away(h->peers, l, "peer: this node was refused by ");
    else
        peers_break(h->peers, l, NULL);
}

/* ---- Both ---- */

bool handshake_may_come(const struct link *l, enum wire_type type) {
    switch (type) {
    case WIRE_HELLO: return !l->dialled && l->state != LINK_OPEN && l->proof == PROOF_NONE;
    case WIRE_PROOF: return l->state != LINK_OPEN && (l->dialled || l->proof == PROOF_ASKED);
    case WIRE_WELCOME:
    case WIRE_REFUSED:
    case WIRE_CHALLENGE: return l->dialled && l->state != LINK_OPEN;
    default: return !l->dialled && l->state == LINK_OPEN;
    }
}

void handshake_on_frame(const struct handshake *h, struct link *l, const struct wire_frame *f) {
    switch (f->type) {
    case WIRE_HELLO: on_hello(h, l, f->body); break;
    case WIRE_CHALLENGE: on_challenge(h, l, f->body); break;
    case WIRE_PROOF:
        if (l->dialled)
            on_callees_proof(h, l, f->body);
        else
            on_callers_proof(h, l, f->body);
        break;
    case WIRE_WELCOME: on_welcome(h, l, f->body); break;
    case WIRE_REFUSED: on_refused(h, l, f->body); break;
    default: break;
    }
}
