/* The handshake: what two nodes say on a link before it is open, to its end. Which processes may
 * talk at all is peer.h's to say; here they introduce themselves and, if the cluster has a secret,
 * prove to each other that they know it, without sending it.
 */
#ifndef KVS_HANDSHAKE_H
#define KVS_HANDSHAKE_H

#include "peer.h"

#define HANDSHAKE_SECRET_MAX 256 /* bytes */

struct handshake {
    struct peers *peers;        /* borrowed */
    struct slice secret;        /* borrowed; empty: none */
    uint64_t (*random64)(void); /* used with a secret only */
};

/* The dial of the link has succeeded: greets. */
void handshake_begin(const struct handshake *h, struct link *l);

/* The type is one that may come now; else the link is broken before its body is waited for. */
bool handshake_may_come(const struct link *l, enum wire_type type);

/* A frame that may come has come on a link that is not open, or backwards on one that was dialled.
 */
void handshake_on_frame(const struct handshake *h, struct link *l, const struct wire_frame *f);

#endif
