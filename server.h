/* The HTTP server: connections of clients, from accept to close.
 *
 * It owns the listener and the connections, submits operations to the node, and fetches the answers
 * of those that had to wait at the end of each turn.
 */
#ifndef KVS_SERVER_H
#define KVS_SERVER_H

#include "gate.h"
#include "greed.h"
#include "metrics.h"
#include "node.h"
#include "reactor.h"
#include "tls.h"

struct server_config {
    uint32_t bind_ipv4; /* host order */
    uint16_t port;
    int fd_end;                  /* connections get no descriptors from here on; 0: any */
    uint32_t request_ms;         /* a request must be complete this long after its first byte */
    uint32_t stall_ms;           /* a client must take something of its answer this often */
    uint32_t idle_ms;            /* a connection without a request is closed after this */
    uint32_t connections_max;    /* at once, */
    uint32_t per_client_max;     /* and of them those of one address */
    uint64_t buffered_bytes_max; /* kept for all of them: budget.h */
    struct hash_seed seed;       /* of the table of addresses */
    struct greed *greed;         /* its share is for new connections as well; borrowed */
    struct tls *const *tls;      /* the present one; NULL: nothing is encrypted; borrowed */
    const struct gate *gate;     /* NULL: no log is kept, and answers leave at once; borrowed */
    const struct log_stats *log; /* for reports; the same */
    struct slice auth_token;     /* that requests must bring; empty: none; borrowed */
};

struct server;

/* Listens. NULL with errno set. Borrows the reactor and the node until server_free(). */
struct server *server_create(struct reactor *r, struct node *n, const struct server_config *config);
void server_free(struct server *s);

/* Makes the answers that have become possible: at the end of each turn, before node_end_turn().
 * Those that tell of what is not in the log yet are held. */
void server_turn_end(struct server *s);

/* Sends the held answers that may leave now: after the log was written. */
void server_release(struct server *s);

/* Stops accepting, answers what runs, closes the rest and stops the reactor when all is done or
 * SERVER_STOP_MS have passed. */
#define SERVER_STOP_MS 1500
void server_stop(struct server *s);

#endif
