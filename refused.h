/* Connections that get one answer, unasked, and are closed.
 *
 * To close a socket when its client's request is unread, or still on its way, is to reset the
 * connection, and the answer may be lost with it. So one that is refused stays half open for
 * REFUSED_MS: its client reads the answer and the end of file behind it; what it has sent by then
 * is thrown away. Nothing is watched and nothing is allocated. There is room for REFUSED_MAX; while
 * more come in that time, the oldest is closed before its time, and may lose its answer.
 */
#ifndef KVS_REFUSED_H
#define KVS_REFUSED_H

#include "reactor.h"
#include "sock.h"

#define REFUSED_MAX 256
#define REFUSED_MS  500

struct refused {
    struct reactor *reactor; /* borrowed */
    struct timer timer;      /* set while there are any */
    struct refused_row {
        struct sock sock; /* owned */
        uint64_t until_ms;
    } rows[REFUSED_MAX]; /* a ring, oldest first */
    uint32_t first, count;
};

void refused_init(struct refused *r, struct reactor *reactor);
void refused_free(struct refused *r); /* closes them */

/* Sends `answer`, as far as the kernel takes it at once. Takes the socket. */
void refused_add(struct refused *r, struct sock sock, struct slice answer);

#endif
