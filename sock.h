/* Byte streams over TCP: the one place where sockets are read and written, encrypted where a
 * connection was said to be (tls.h).
 *
 * Everything is non-blocking. Reading and writing return how many bytes went, or one of
 * SOCK_AGAIN (come back when the reactor says so), SOCK_END (the other side has sent all it will
 * send) and SOCK_BROKEN (close it).
 */
#ifndef KVS_SOCK_H
#define KVS_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SOCK_AGAIN  (-1)
#define SOCK_END    (-2)
#define SOCK_BROKEN (-3)

struct tls;

struct sock {
    int fd;
    uint32_t ipv4;           /* of the other side, if it was accepted; host order */
    struct tls_session *tls; /* owned; NULL: nothing is encrypted */
};

/* A listening socket's descriptor, or -1 with errno set. `ipv4` in host order. */
int sock_listen(uint32_t ipv4, uint16_t port);

/* Accepts one connection. False with errno set: EAGAIN when none waits. */
bool sock_accept(int listener, struct sock *out);

/* Begins to connect; when the socket can be written, sock_connect_error() says how it went: 0 or an
 * errno. False with errno set: it has failed at once. */
bool sock_connect(uint32_t ipv4, uint16_t port, struct sock *out);
int sock_connect_error(const struct sock *s);

/* From here on all is encrypted; `dials`: this side has connected. NULL: nothing is. False: no
 * memory. */
bool sock_encrypt(struct sock *s, struct tls *t, bool dials);

/* It breaks when the other side's kernel has not confirmed what was sent for this long. */
void sock_set_patience(struct sock *s, unsigned ms);

long sock_read(struct sock *s, char *into, size_t size);
long sock_write(struct sock *s, const char *from, size_t len);
/* After SOCK_AGAIN: writing goes on when the other side has said something, not when there is room.
 */
bool sock_awaits_input(const struct sock *s);
size_t sock_unsent(const struct sock *s); /* bytes written that the other side has not taken */
void sock_finish_writing(struct sock *s); /* the other side reads an end of file */
void sock_close(struct sock *s);

#endif
