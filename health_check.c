/* A client of one request. See health_check.h.
 *
 * It connects to where the node listens, not to SOCKET_ADDRESS: that is the name by which others
 * know the node, and may lead nowhere while this machine is cut off from its network. A node that
 * is cut off is well; to restart it would cost what it has in memory.
 *
 * A node that has as many connections as it may have says so, and is well: to restart it would let
 * whoever attacks it win.
 *
 * The answer is read to its end, so that the node is not left with a broken connection to report.
 */
#include "health_check.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "sock.h"
#include "tls.h"

static const char REQUEST[] =
    "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#define HEAD_BYTES 512 /* of an answer, that are looked at */

static bool is_well(const char *head, size_t len) {
    static const char healthy[] = "HTTP/1.1 200 ", full[] = "{\"error\":\"Too many connections";
    size_t status_len = sizeof healthy - 1;
    if (len >= status_len && memcmp(head, healthy, status_len) == 0) return true;
    return memmem(head, len, full, sizeof full - 1) != NULL;
}

static int64_t clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool await(int fd, short events, int64_t deadline_ms) {
    int64_t left_ms = deadline_ms - clock_ms();
    struct pollfd p = {.fd = fd, .events = events};
    return left_ms > 0 && poll(&p, 1, (int)left_ms) == 1;
}

static bool dial(int fd, const struct config *c, int64_t deadline_ms) {
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons(c->self.port),
        .sin_addr.s_addr = htonl(c->bind_ipv4 == INADDR_ANY ? INADDR_LOOPBACK : c->bind_ipv4),
    };
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) return true;
    if (errno != EINPROGRESS) return false;
    int error = 0;
    socklen_t len = sizeof error;
    return await(fd, POLLOUT, deadline_ms) &&
           getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0;
}

static bool send_request(struct sock *s, struct tls *tls, int64_t deadline_ms) {
    size_t sent = 0, len = sizeof REQUEST - 1;
    while (sent < len) {
        tls_turn_end(tls); /* the handshake may go on as far as it can */
        long n = sock_write(s, REQUEST + sent, len - sent);
        if (n > 0) sent += (size_t)n;
        if (n > 0) continue;
        short event = sock_awaits_input(s) ? POLLIN : POLLOUT;
        if (n != SOCK_AGAIN || !await(s->fd, event, deadline_ms)) return false;
    }
    return true;
}

/* Reads to the end and keeps the first `cap` bytes. Returns how many; 0: the end did not come. */
static size_t read_answer(struct sock *s, char *head, size_t cap, int64_t deadline_ms) {
    size_t len = 0;
    while (await(s->fd, POLLIN, deadline_ms)) {
        char rest[512];
        bool full = len == cap;
        long n = sock_read(s, full ? rest : head + len, full ? sizeof rest : cap - len);
        if (n == SOCK_END) return len;
        if (n < 0 && n != SOCK_AGAIN) return 0;
        if (n > 0 && !full) len += (size_t)n;
    }
    return 0;
}

static const char *ask(struct sock *s, const struct config *c, struct tls *tls,
                       int64_t deadline_ms) {
    if (!dial(s->fd, c, deadline_ms)) return "nobody listens";
    if (!sock_encrypt(s, tls, true)) return "no memory for TLS";
    if (!send_request(s, tls, deadline_ms)) return "it takes no request";
    char head[HEAD_BYTES];
    size_t len = read_answer(s, head, sizeof head, deadline_ms);
    if (len == 0) return "it does not answer";
    return is_well(head, len) ? NULL : "its answer is not 200";
}

/* Whoever answers at this machine's own address is the node: its certificate proves nothing more.
 */
static bool prepare_tls(const struct config *c, struct tls **tls) {
    char error[TLS_ERROR_BYTES];
    struct tls_files files = {c->tls_cert, c->tls_key, NULL};
    *tls = c->tls_cert == NULL ? NULL : tls_create(&files, error);
    return *tls != NULL || c->tls_cert == NULL;
}

const char *health_check(const struct config *config) {
    struct tls *tls;
    if (!prepare_tls(config, &tls)) return "its certificate cannot be read";
    struct sock s = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (s.fd < 0) {
        tls_release(tls);
        return "no socket can be had";
    }
    const char *wrong = ask(&s, config, tls, clock_ms() + HEALTH_CHECK_MS);
    sock_close(&s);
    tls_release(tls);
    return wrong;
}
