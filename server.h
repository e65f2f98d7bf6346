/* The HTTP server: connections of clients, from accept to close.
 *
 * It owns the listener and the connections, and drives the node: it tells it the time at the start
 * of each turn and fetches the answers of waiting operations at its end.
 */
#ifndef KVS_SERVER_H
#define KVS_SERVER_H

#include "node.h"
#include "reactor.h"

struct server_config {
    uint32_t bind_ipv4; /* host order */
    uint16_t port;
    uint32_t request_ms; /* a request must be complete this long after its first byte */
    uint32_t stall_ms;   /* a client must take something of its answer this often */
    uint32_t idle_ms;    /* a connection without a request is closed after this */
};

struct server;

/* Listens. NULL with errno set. Borrows the reactor and the node until server_free(). */
struct server *server_create(struct reactor *r, struct node *n, const struct server_config *config);
void server_free(struct server *s);

/* For reactor_run(). */
struct turn *server_turn(struct server *s);

/* Stops accepting, answers what runs, closes the rest and stops the reactor when all is done or
 * SERVER_STOP_MS have passed. */
#define SERVER_STOP_MS 1500
void server_stop(struct server *s);

#endif
