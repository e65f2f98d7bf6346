/* The frames of the handshake. See wire_hello.h. */
#include "wire_hello.h"

void wire_put_hello(struct buffer *out, const struct wire_hello *m) {
    size_t begun = frame_open(out, WIRE_HELLO);
    put_u32(out, WIRE_MAGIC);
    put_u16(out, m->version);
    wire_put_u64(out, m->boot);
    put_plain(out, m->cluster, WIRE_CLUSTER_MAX);
    put_address(out, &m->caller);
    put_address(out, &m->callee);
    frame_close(out, begun);
}

bool wire_read_hello(struct slice body, struct wire_hello *m) {
    uint32_t magic;
    return take_u32(&body, &magic) && magic == WIRE_MAGIC && take_u16(&body, &m->version) &&
           take_u64(&body, &m->boot) && take_plain(&body, WIRE_CLUSTER_MAX, &m->cluster) &&
           take_address(&body, &m->caller) && take_address(&body, &m->callee) && body.len == 0;
}

void wire_put_welcome(struct buffer *out, uint64_t boot) {
    size_t begun = frame_open(out, WIRE_WELCOME);
    wire_put_u64(out, boot);
    frame_close(out, begun);
}

bool wire_read_welcome(struct slice body, uint64_t *boot) {
    return take_u64(&body, boot) && body.len == 0;
}

void wire_put_refused(struct buffer *out, struct slice reason) {
    if (reason.len > WIRE_REASON_MAX) reason.len = WIRE_REASON_MAX; /* it may quote addresses */
    size_t begun = frame_open(out, WIRE_REFUSED);
    put_plain(out, reason, WIRE_REASON_MAX);
    frame_close(out, begun);
}

bool wire_read_refused(struct slice body, struct slice *reason) {
    return take_plain(&body, WIRE_REASON_MAX, reason) && body.len == 0;
}

static bool take_into(struct slice *rest, uint8_t *into, size_t bytes) {
    const char *at;
    if (!take_bytes(rest, bytes, &at)) return false;
    memcpy(into, at, bytes);
    return true;
}

static void put_bytes(struct buffer *out, const uint8_t *bytes, size_t count) {
    buffer_put(out, (struct slice){(const char *)bytes, count});
}

void wire_put_challenge(struct buffer *out, const struct wire_nonce *nonce) {
    size_t begun = frame_open(out, WIRE_CHALLENGE);
    put_bytes(out, nonce->bytes, sizeof nonce->bytes);
    frame_close(out, begun);
}

bool wire_read_challenge(struct slice body, struct wire_nonce *nonce) {
    return take_into(&body, nonce->bytes, sizeof nonce->bytes) && body.len == 0;
}

void wire_put_proof(struct buffer *out, const struct wire_proof *m) {
    size_t begun = frame_open(out, WIRE_PROOF);
    put_bytes(out, m->nonce.bytes, sizeof m->nonce.bytes);
    put_bytes(out, m->code, sizeof m->code);
    frame_close(out, begun);
}

bool wire_read_proof(struct slice body, struct wire_proof *m) {
    return take_into(&body, m->nonce.bytes, sizeof m->nonce.bytes) &&
           take_into(&body, m->code, sizeof m->code) && body.len == 0;
}
