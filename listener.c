/* Accepting connections. See listener.h. */
#include "listener.h"

#include <errno.h>
#include <unistd.h>

#define ACCEPTS_PER_EVENT 16 /* so that those who are connected have their turn */

/* Without descriptors or memory the port would report the same connection for ever. */
static void pause_accepting(struct listener *l) {
    l->on_failure(l);
    reactor_change(l->reactor, &l->watch, 0);
    reactor_set_timer(l->reactor, &l->pause, reactor_now_ms(l->reactor) + LISTENER_PAUSE_MS);
}

static void on_pause_over(struct timer *t) {
    struct listener *l = CONTAINER_OF(t, struct listener, pause);
    l->has_paused = true;
    reactor_change(l->reactor, &l->watch, REACTOR_READ);
}

/* The kernel gives out the lowest number that is free: so the next one is what a copy gets. */
static bool has_descriptor(const struct listener *l) {
    if (l->fd_end == 0) return true;
    int fd = dup(l->watch.fd);
    if (fd >= 0) close(fd);
    if (fd < l->fd_end) return true; /* none at all: accepting says so */
    errno = EMFILE;
    return false;
}

static void accept_some(struct listener *l) {
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        struct sock sock;
        if (!has_descriptor(l) || !sock_accept(l->watch.fd, &sock)) {
            if (errno != EAGAIN && errno != EWOULDBLOCK) pause_accepting(l);
            return;
        }
        l->on_accept(l, sock);
    }
}

static void on_connections(struct watch *w, unsigned events) {
    struct listener *l = CONTAINER_OF(w, struct listener, watch);
    (void)events;
    if (l->greed != NULL && greed_rests(l->greed) && !l->has_paused) {
        reactor_change(l->reactor, &l->watch, 0);
        reactor_set_timer(l->reactor, &l->pause, l->greed->rest_until_ms);
        return;
    }
    l->has_paused = false;
    if (l->greed != NULL) greed_begin(l->greed);
    accept_some(l);
    if (l->greed != NULL) greed_end(l->greed);
}

static void close_socket(struct listener *l) {
    struct sock sock = {.fd = l->watch.fd};
    sock_close(&sock);
    l->watch.fd = -1;
}

bool listener_open(struct listener *l, struct reactor *r, uint32_t ipv4, uint16_t port) {
    l->reactor = r;
    l->watch = (struct watch){.fd = sock_listen(ipv4, port), .on_event = on_connections};
    l->pause = (struct timer)TIMER_INIT(on_pause_over);
    if (l->watch.fd < 0) return false;
    if (reactor_watch(r, &l->watch, REACTOR_READ)) return true;
    int error = errno;
    close_socket(l);
    errno = error;
    return false;
}

void listener_close(struct listener *l) {
    if (l->watch.fd < 0) return;
    reactor_cancel_timer(l->reactor, &l->pause);
    reactor_unwatch(l->reactor, &l->watch);
    close_socket(l);
}
