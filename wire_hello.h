/* The frames of the handshake, with which a link begins; as in wire.h, and docs/wire.md has every
 * byte. handshake.h says which comes when.
 */
#ifndef KVS_WIRE_HELLO_H
#define KVS_WIRE_HELLO_H

#include "frame.h"

#define WIRE_MAGIC            0x6b767321u /* "kvs!" */
#define WIRE_PROTOCOL_VERSION 1

struct wire_hello {
    uint16_t version;
    uint64_t boot; /* of the caller */
    struct slice cluster;
    struct address caller, callee; /* who speaks, and whom it takes the other side for */
};
void wire_put_hello(struct buffer *out, const struct wire_hello *m);
bool wire_read_hello(struct slice body, struct wire_hello *m); /* false as well: wrong magic */

void wire_put_welcome(struct buffer *out, uint64_t boot);
bool wire_read_welcome(struct slice body, uint64_t *boot);
void wire_put_refused(struct buffer *out, struct slice reason); /* ASCII; cut to the maximum */
bool wire_read_refused(struct slice body, struct slice *reason);

/* Random bytes, of this link alone. */
struct wire_nonce {
    uint8_t bytes[WIRE_NONCE_BYTES];
};
void wire_put_challenge(struct buffer *out, const struct wire_nonce *nonce);
bool wire_read_challenge(struct slice body, struct wire_nonce *nonce);

struct wire_proof {
    struct wire_nonce nonce; /* of the caller, in both directions */
    uint8_t code[WIRE_CODE_BYTES];
};
void wire_put_proof(struct buffer *out, const struct wire_proof *m);
bool wire_read_proof(struct slice body, struct wire_proof *m);

#endif
