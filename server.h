/* The HTTP server: connections of clients, from accept to close.
 *
 * It owns the listener and the connections, submits operations to the node, and fetches the answers
 * of those that had to wait at the end of each turn.
 */
#ifndef KVS_SERVER_H
#define KVS_SERVER_H

#include "node.h"
#include "reactor.h"

struct server_config {
    uint32_t bind_ipv4; /* host order */
    uint16_t port;
    int fd_end;          /* connections get no descriptors from here on; 0: any */
    uint32_t request_ms; /* a request must be complete this long after its first byte */
    uint32_t stall_ms;   /* a client must take something of its answer this often */
    uint32_t idle_ms;    /* a connection without a request is closed after this */
};

struct server;

/* Listens. NULL with errno set. Borrows the reactor and the node until server_free(). */
struct server *server_create(struct reactor *r, struct node *n, const struct server_config *config);
void server_free(struct server *s);

/* Sends the answers that the node has made since: at the end of each turn. */
void server_turn_end(struct server *s);

/* Stops accepting, answers what runs, closes the rest and stops the reactor when all is done or
 * SERVER_STOP_MS have passed. */
#define SERVER_STOP_MS 1500
void server_stop(struct server *s);

#endif
