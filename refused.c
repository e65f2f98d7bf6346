/* A ring of connections that are being closed. See refused.h. */
#include "refused.h"

#define DRAIN_BYTES (16 * 1024) /* read at once, to be thrown away */
#define DRAINS_MAX  16          /* of one connection; who has sent more is reset */

static void close_first(struct refused *r) {
    struct sock *sock = &r->rows[r->first].sock;
    char rest[DRAIN_BYTES];
    for (int i = 0; i < DRAINS_MAX && sock_read(sock, rest, sizeof rest) > 0; i++)
        continue;
    sock_close(sock);
    r->first = (r->first + 1) % REFUSED_MAX;
    r->count--;
}

static void on_timer(struct timer *t) {
    struct refused *r = CONTAINER_OF(t, struct refused, timer);
    uint64_t now_ms = reactor_now_ms(r->reactor);
    while (r->count > 0 && r->rows[r->first].until_ms <= now_ms)
        close_first(r);
    if (r->count > 0) reactor_set_timer(r->reactor, t, r->rows[r->first].until_ms);
}

void refused_init(struct refused *r, struct reactor *reactor) {
    r->reactor = reactor;
    r->timer = (struct timer)TIMER_INIT(on_timer);
    r->first = r->count = 0;
}

void refused_free(struct refused *r) {
    reactor_cancel_timer(r->reactor, &r->timer);
    while (r->count > 0)
        close_first(r);
}

void refused_add(struct refused *r, struct sock sock, struct slice answer) {
    uint64_t until_ms = reactor_now_ms(r->reactor) + REFUSED_MS;
    if (r->count == REFUSED_MAX) close_first(r);
    if (r->count == 0) reactor_set_timer(r->reactor, &r->timer, until_ms);
    r->rows[(r->first + r->count++) % REFUSED_MAX] = (struct refused_row){sock, until_ms};
    sock_write(&sock, answer.at, answer.len);
    sock_finish_writing(&sock);
}
