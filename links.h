/* The connections between nodes: the sockets of the node's links.
 *
 * It listens on the peer port, carries out the node's orders, brings it what arrives and sends what
 * it has put into its links' outputs. What the bytes mean, whom to dial and what to close is the
 * node's to say; see the links in node.h.
 */
#ifndef KVS_LINKS_H
#define KVS_LINKS_H

#include "gate.h"
#include "node.h"
#include "reactor.h"
#include "tls.h"

struct links_config {
    uint32_t bind_ipv4;        /* host order */
    uint16_t port;             /* peers are listened for here */
    uint32_t peer_port_offset; /* and dialled at the port of their address plus this */
    struct tls *const *tls;    /* the present one; NULL: nothing is encrypted; borrowed */
    struct greed *greed;       /* as in server.h; NULL: callers are let in at once */
    const struct gate *gate;   /* NULL: no log is kept, and all leaves at once; borrowed */
};

struct links;

/* Listens. NULL with errno set. Borrows the reactor and the node until links_free(). */
struct links *links_create(struct reactor *r, struct node *n, const struct links_config *config);

/* Closes all sockets, before node_free(); the node is told nothing any more. */
void links_free(struct links *s);

/* Sends what the node has gathered, as far as the gate lets it, and takes its orders: after
 * node_end_turn(), and after the log was written. */
void links_turn_end(struct links *s);

/* True: the kernel has taken all that the node wanted to send. */
bool links_all_sent(const struct links *s);

#endif
