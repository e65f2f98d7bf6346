/* A port at which connections are accepted.
 *
 * A listener is embedded in whatever owns the connections; CONTAINER_OF leads back to the owner,
 * who sets the callbacks before it opens. They may do anything but close the listener.
 *
 * When descriptors or memory run out, the port is left alone for LISTENER_PAUSE_MS, and again until
 * connections can be accepted: clients wait in the kernel's queue, and those that are connected are
 * served. So it is, too, when those below fd_end are in use: the rest is for somebody else. And
 * while the greedy rest: whoever calls as fast as he can is one of them.
 */
#ifndef KVS_LISTENER_H
#define KVS_LISTENER_H

#include "greed.h"
#include "reactor.h"
#include "sock.h"

#define LISTENER_PAUSE_MS 100

struct listener {
    void (*on_accept)(struct listener *l, struct sock sock); /* takes the socket */
    void (*on_failure)(struct listener *l);                  /* a pause begins; errno says why */
    int fd_end;              /* no descriptors from here on; 0: all */
    struct greed *greed;     /* accepting is charged to; NULL: it is not; borrowed */
    struct reactor *reactor; /* borrowed; kept by listener_open() */
    struct watch watch;      /* kept; fd -1: closed */
    struct timer pause;      /* kept; set: accepting goes on then */
    bool has_paused;         /* since it has accepted: now it is its turn, whoever rests */
};

/* Listens; `ipv4` in host order. False with errno set. Borrows the reactor until it is closed. */
bool listener_open(struct listener *l, struct reactor *r, uint32_t ipv4, uint16_t port);

/* Also resets what waits in the kernel's queue. Once it is closed, does nothing. */
void listener_close(struct listener *l);

#endif
