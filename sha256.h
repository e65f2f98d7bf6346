/* SHA-256 (FIPS 180-4), HMAC-SHA-256 (RFC 2104) on it, and comparing in constant time: what it
 * takes to prove that one knows a secret without saying it.
 */
#ifndef KVS_SHA256_H
#define KVS_SHA256_H

#include "bytes.h"

#define SHA256_BYTES       32
#define SHA256_BLOCK_BYTES 64

struct sha256 {
    uint32_t state[8];
    uint64_t bytes; /* taken so far */
    uint8_t block[SHA256_BLOCK_BYTES];
};

void sha256_begin(struct sha256 *h);
void sha256_take(struct sha256 *h, struct slice bytes);
void sha256_end(struct sha256 *h, uint8_t digest[SHA256_BYTES]);

/* The code of a message of several pieces, one behind the other. */
void hmac_sha256(struct slice key, const struct slice *pieces, size_t count,
                 uint8_t code[SHA256_BYTES]);

/* How long it takes says nothing about where the two differ. Their lengths are no secret. */
bool equal_in_constant_time(struct slice a, struct slice b);

#endif
