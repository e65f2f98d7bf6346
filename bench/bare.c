/* bare: the ceiling. The least that a single-threaded HTTP server can do and still be correct.
 *
 * It accepts, reads what is there, finds where each request ends (the blank line, then as many
 * bytes as Content-Length says) and answers each with the same bytes, read from a file at the
 * start. The replies to all requests of one recv() go out in one send(): the file's bytes lie in
 * memory REPLIES_MAX times, so n replies are the first n copies and nothing is ever put together.
 * What a real server needs beyond this (parsing, the key's lookup, metadata, limits, time-outs) is
 * what the benchmark's ratio to it measures.
 *
 * When the kernel does not take all of an answer, the connection remembers how many bytes are owed
 * and where inside a reply it stopped, and reads nothing more until they are gone.
 *
 * Simplifications: no limits, no time-outs, no chunked bodies; a request has to fit into
 * RECV_BYTES, and a connection that sends a larger one, or an error, is closed without a word.
 *
 * usage: bare 127.0.0.1:PORT REPLYFILE
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define RECV_BYTES      ((size_t)64 * 1024) /* a connection's; only touched pages cost memory */
#define REPLY_BYTES_MAX ((size_t)64 * 1024)
#define REPLIES_MAX     ((size_t)64) /* in one send(); a longer batch takes another */
#define EVENTS_MAX      256          /* a turn of the loop */
#define BACKLOG         4096

struct replies {
    char *text;   /* REPLIES_MAX copies, end to end */
    size_t bytes; /* of one copy */
};

struct conn {
    int fd;
    size_t in_bytes; /* received and not yet answered: the beginning of one request */
    size_t owed;     /* bytes of answers that the kernel has not taken yet */
    size_t sent;     /* bytes of the reply at the head of those that it has taken */
    char in[RECV_BYTES];
};

static _Noreturn void die(const char *what) {
    fprintf(stderr, "bare: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- Requests ---- */

/* The length of the body that the head announces; `head` ends with its blank line. */
static size_t body_bytes_of(const char *head, size_t head_bytes) {
    static const char NAME[] = "Content-Length:";
    const char *end = head + head_bytes;
    for (const char *line = head; line < end;) {
        if (strncasecmp(line, NAME, sizeof NAME - 1) == 0)
            return strtoul(line + sizeof NAME - 1, NULL, 10);
        line = (const char *)memchr(line, '\n', (size_t)(end - line)) + 1;
    }
    return 0;
}

/* The length of the request at the beginning of `text`; 0 when it is not all there. */
static size_t request_bytes_of(const char *text, size_t bytes) {
    const char *blank_line = memmem(text, bytes, "\r\n\r\n", 4);
    if (blank_line == NULL) return 0;
    size_t head_bytes = (size_t)(blank_line - text) + 4;
    size_t body_bytes = body_bytes_of(text, head_bytes);
    return body_bytes <= bytes - head_bytes ? head_bytes + body_bytes : 0;
}

/* Takes the complete requests out of what was received and returns their number. */
static size_t conn_take_requests(struct conn *conn) {
    size_t at = 0, requests = 0;
    while (at < conn->in_bytes) {
        size_t bytes = request_bytes_of(conn->in + at, conn->in_bytes - at);
        if (bytes == 0) break;
        at += bytes;
        requests++;
    }
    conn->in_bytes -= at;
    if (at > 0) memmove(conn->in, conn->in + at, conn->in_bytes);
    return requests;
}

/* ---- Answers ---- */

/* Sends what is owed as far as the kernel takes it; false when the connection is broken. */
static bool conn_flush(struct conn *conn, const struct replies *replies) {
    while (conn->owed > 0) {
        size_t there = replies->bytes * REPLIES_MAX - conn->sent;
        size_t bytes = conn->owed < there ? conn->owed : there;
        ssize_t n = send(conn->fd, replies->text + conn->sent, bytes, MSG_NOSIGNAL);
        if (n < 0) return errno == EAGAIN || errno == EINTR;
        conn->owed -= (size_t)n;
        conn->sent = (conn->sent + (size_t)n) % replies->bytes;
    }
    return true;
}

static bool conn_read(struct conn *conn, const struct replies *replies) {
    ssize_t n = recv(conn->fd, conn->in + conn->in_bytes, RECV_BYTES - conn->in_bytes, 0);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    if (n == 0) return false; /* closed, or a request that does not fit */
    conn->in_bytes += (size_t)n;
    conn->owed += conn_take_requests(conn) * replies->bytes;
    return conn_flush(conn, replies);
}

/* ---- Connections ---- */

static void conn_watch(int epoll_fd, struct conn *conn, int operation) {
    struct epoll_event event = {.events = conn->owed > 0 ? EPOLLOUT : EPOLLIN, .data.ptr = conn};
    if (epoll_ctl(epoll_fd, operation, conn->fd, &event) != 0) die("epoll_ctl");
}

static void conn_accept(int epoll_fd, int listener) {
    int on = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) die("accept4"); /* or spin for ever */
    if (fd < 0) return;
    struct conn *conn = malloc(sizeof *conn);
    if (conn == NULL) die("malloc");
    conn->fd = fd;
    conn->in_bytes = conn->owed = conn->sent = 0;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    conn_watch(epoll_fd, conn, EPOLL_CTL_ADD);
}

static void conn_on_event(int epoll_fd, struct conn *conn, const struct replies *replies) {
    bool owed_before = conn->owed > 0;
    bool alive = owed_before ? conn_flush(conn, replies) : conn_read(conn, replies);
    if (!alive) {
        close(conn->fd);
        free(conn);
        return;
    }
    if (owed_before != (conn->owed > 0)) conn_watch(epoll_fd, conn, EPOLL_CTL_MOD);
}

/* ---- Start ---- */

static struct replies replies_load(const char *path) {
    struct replies replies = {.text = malloc(REPLY_BYTES_MAX * REPLIES_MAX)};
    FILE *file = fopen(path, "rb");
    if (file == NULL || replies.text == NULL) die(path);
    replies.bytes = fread(replies.text, 1, REPLY_BYTES_MAX, file);
    if (replies.bytes == 0 || !feof(file)) die("the reply is empty or too long");
    fclose(file);
    for (size_t i = 1; i < REPLIES_MAX; i++)
        memcpy(replies.text + i * replies.bytes, replies.text, replies.bytes);
    return replies;
}

static int listener_open(const char *address) {
    struct sockaddr_in at = {.sin_family = AF_INET};
    char ip[INET_ADDRSTRLEN] = "";
    const char *colon = strchr(address, ':');
    errno = EINVAL;
    if (colon == NULL || (size_t)(colon - address) >= sizeof ip) die(address);
    memcpy(ip, address, (size_t)(colon - address));
    if (inet_pton(AF_INET, ip, &at.sin_addr) != 1) die(address);
    at.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, BACKLOG) != 0) die(address);
    return fd;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fputs("usage: bare 127.0.0.1:PORT REPLYFILE\n", stderr);
        return 2;
    }
    struct replies replies = replies_load(argv[2]);
    int listener = listener_open(argv[1]);
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[EVENTS_MAX], listening = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &listening) != 0) die("epoll");
    for (;;) {
        int count = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
        if (count < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL)
                conn_accept(epoll_fd, listener);
            else
                conn_on_event(epoll_fd, events[i].data.ptr, &replies);
        }
    }
}
