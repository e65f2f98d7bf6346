/* TCP sockets. See sock.h. */
#include "sock.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls.h"

#define LISTEN_BACKLOG 4096 /* the kernel lowers it to somaxconn */

static const int ON = 1;

static int tcp_socket(void) {
    return socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static struct sockaddr_in address_of(uint32_t ipv4, uint16_t port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(ipv4),
    };
}

static void close_keeping_errno(int fd) {
    int error = errno;
    close(fd);
    errno = error;
}

int sock_listen(uint32_t ipv4, uint16_t port) {
    int fd = tcp_socket();
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &ON, sizeof ON);
    struct sockaddr_in address = address_of(ipv4, port);
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, LISTEN_BACKLOG) != 0) {
        close_keeping_errno(fd);
        return -1;
    }
    return fd;
}

bool sock_accept(int listener, struct sock *out) {
    struct sockaddr_in from = {0};
    socklen_t size;
    *out = (struct sock){.fd = -1};
    do {
        size = sizeof from;
        out->fd = accept4(listener, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (out->fd < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (out->fd < 0) return false;
    out->ipv4 = ntohl(from.sin_addr.s_addr);
    /* Answers go out as whole batches; waiting for more would only delay them. */
    setsockopt(out->fd, IPPROTO_TCP, TCP_NODELAY, &ON, sizeof ON);
    return true;
}

bool sock_connect(uint32_t ipv4, uint16_t port, struct sock *out) {
    *out = (struct sock){.fd = tcp_socket()};
    if (out->fd < 0) return false;
    setsockopt(out->fd, IPPROTO_TCP, TCP_NODELAY, &ON, sizeof ON);
    struct sockaddr_in address = address_of(ipv4, port);
    int result = connect(out->fd, (const struct sockaddr *)&address, sizeof address);
    if (result == 0 || errno == EINPROGRESS || errno == EINTR) return true;
    close_keeping_errno(out->fd);
    out->fd = -1;
    return false;
}

int sock_connect_error(const struct sock *s) {
    int error = 0;
    socklen_t size = sizeof error;
    return getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

bool sock_encrypt(struct sock *s, struct tls *t, bool dials) {
    if (t == NULL) return true;
    s->tls = tls_begin(t, s->fd, dials);
    return s->tls != NULL;
}

static long failure(void) {
    return errno == EAGAIN || errno == EWOULDBLOCK ? SOCK_AGAIN : SOCK_BROKEN;
}

long sock_read(struct sock *s, char *into, size_t size) {
    ssize_t n;
    if (s->tls != NULL) return tls_read(s->tls, into, size);
    do {
        n = recv(s->fd, into, size, 0);
    } while (n < 0 && errno == EINTR);
    if (n == 0) return SOCK_END;
    return n > 0 ? (long)n : failure();
}

long sock_write(struct sock *s, const char *from, size_t len) {
    ssize_t n;
    if (s->tls != NULL) return tls_write(s->tls, from, len);
    do {
        n = send(s->fd, from, len, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n >= 0 ? (long)n : failure();
}

bool sock_awaits_input(const struct sock *s) {
    return s->tls != NULL && tls_awaits_input(s->tls);
}

void sock_set_patience(struct sock *s, unsigned ms) {
    setsockopt(s->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
}

size_t sock_unsent(const struct sock *s) {
    int bytes;
    return ioctl(s->fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

void sock_finish_writing(struct sock *s) {
    if (s->tls != NULL) tls_say_end(s->tls);
    shutdown(s->fd, SHUT_WR);
}

void sock_close(struct sock *s) {
    if (s->tls != NULL) tls_end(s->tls);
    close(s->fd);
    *s = (struct sock){.fd = -1};
}
