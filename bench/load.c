/* load: a load generator for HTTP, RESP and memcached's text protocol; closed loop, or open.
 *
 * The problem: everybody under test, us included, makes about two system calls a request, and so
 * does whoever sends the requests. The generator is therefore as likely to be the bottleneck as
 * the server, and each microsecond that it wastes hides one of the server's. So it does nothing
 * twice and nothing early:
 *   - Requests are rendered beforehand (by run.py) and lie end to end in memory. A batch of a
 *     pipeline is one send() straight out of that memory, without a copy. The first few requests
 *     are repeated behind the last, so that a batch that wraps around is still one piece.
 *   - One recv() takes whatever is there, the parser cuts it into replies, and all replies of one
 *     recv() enter the histogram as one addition: they were sent together and seen together.
 *   - Nothing is allocated once the clock runs.
 *
 * The happy path, in the order of this file: script_load() reads the requests; conns_open()
 * connects; run_start() gives each connection its first batch; run_loop() waits for replies;
 * conn_on_readable() cuts them; when the last reply of a batch is in, conn_send_batch() sends
 * the next. A connection never has more than one batch under way (closed loop).
 *
 *     WARMING --warmup over--> MEASURING --time up--> DRAINING --last reply in--> report
 *
 * Only run_advance_phase() moves along this line. DRAINING sends nothing and waits for what is
 * owed, so that requests_total is exactly what the server has worked for: whoever divides the
 * server's CPU time over the life of this process by it gets an honest figure. With --count there
 * is no warm-up and no end by the clock: each request of the file is sent once, taken by whichever
 * connection is free (in order when there is one), and the run ends when all are answered.
 *
 * --chain makes one causal session of it: HTTP, one connection, one request at a time, and each
 * request carries the metadata of the answer before it.
 *
 * --rate N is the open loop: request i is due at i / N seconds, whether the servers keep up or not,
 * and its latency is counted from then. Otherwise a server that stops for a second would delay
 * one request a connection and look as if nobody else had asked (coordinated omission). A request
 * that is due goes out on some idle connection, of which there are some to each target; if all are
 * busy it waits, and its clock runs. With --chain there are as many sessions as connections, and
 * each request takes any idle one along: sessions hop between the targets. What is measured comes
 * in *stages*: each line of standard input begins one and names it, and the end of it ends the
 * run. A request belongs to the stage in which it was due, whenever it is answered.
 *
 * Failure modes: a server that closes, breaks the framing, answers without being asked or is
 * silent for STALL_MS ends the run with a line on stderr and exit 1. An error that is properly
 * framed (a 503, a -ERR) is counted and left for the caller to judge.
 *
 * Simplifications: a reply has to fit into RECV_BYTES as a whole; addresses are IPv4 literals.
 */
#include "histogram.h"
#include "reply.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define RECV_BYTES         REPLY_BYTES_MAX     /* a connection's; only touched pages cost memory */
#define METADATA_BYTES_MAX ((size_t)64 * 1024) /* the contract's limit for causal metadata */
#define CONNS_MAX          4096
#define PIPELINE_MAX       1024
#define TARGETS_MAX        64
#define RATE_MAX           100000 /* a second: beyond, the timer is what would be measured */
#define STAGES_MAX         64
#define STAGE_NAME_BYTES   64
#define EVENTS_MAX         256 /* a turn of the loop */
#define STALL_MS           10000
#define NS_PER_S           1000000000ull

static _Noreturn void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static void *alloc_or_die(size_t bytes) {
    void *p = calloc(1, bytes);
    if (p == NULL) die("out of memory (%zu bytes asked for)", bytes);
    return p;
}

static uint64_t clock_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* ---- The script: all requests, rendered ---- */

struct script {
    char *text;     /* owned: the requests end to end, then the first `repeated` of them again */
    size_t *offset; /* owned: where request i begins; one more than there are requests */
    size_t count;   /* different requests, the repeated ones left out */
};

/* Reads the whole file. */
static char *file_read(const char *path, size_t *bytes) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) die("%s: %s", path, strerror(errno));
    *bytes = (size_t)info.st_size;
    char *text = alloc_or_die(*bytes + 1);
    for (size_t got = 0; got < *bytes;) {
        ssize_t n = read(fd, text + got, *bytes - got);
        if (n <= 0) die("%s: %s", path, n == 0 ? "it shrank" : strerror(errno));
        got += (size_t)n;
    }
    close(fd);
    return text;
}

/* The beginning of the request whose length stands at `at`. */
static char *request_begin(const char *path, char *at, const char *end, size_t *bytes) {
    char *request = memchr(at, '\n', (size_t)(end - at));
    if (request == NULL || !number_parse(at, end, bytes)) die("%s: not a length", path);
    request++;
    if (*bytes == 0 || *bytes > (size_t)(end - request)) die("%s: wrong length", path);
    return request;
}

/* Takes out the lengths: afterwards the requests lie end to end, and each offset is known. */
static void script_compact(struct script *script, const char *path, size_t file_bytes) {
    char *at = script->text, *end = at + file_bytes, *to = script->text;
    size_t room = 0, request_bytes;
    while (at < end) {
        if (script->count + 1 >= room) {
            room = room == 0 ? 1024 : room * 2;
            script->offset = reallocarray(script->offset, room, sizeof *script->offset);
            if (script->offset == NULL) die("out of memory");
        }
        char *request = request_begin(path, at, end, &request_bytes);
        script->offset[script->count++] = (size_t)(to - script->text);
        memmove(to, request, request_bytes);
        to += request_bytes;
        at = request + request_bytes;
    }
    if (script->count == 0) die("%s: no requests", path);
    script->offset[script->count] = (size_t)(to - script->text);
}

/* Lengthens text and offsets so that a batch that starts at any request is contiguous. */
static void script_repeat(struct script *script, size_t repeated) {
    size_t count = script->count + repeated, bytes = script->offset[script->count];
    for (size_t i = 0; i < repeated; i++) {
        size_t original = i % script->count;
        bytes += script->offset[original + 1] - script->offset[original];
    }
    script->text = realloc(script->text, bytes);
    script->offset = reallocarray(script->offset, count + 1, sizeof *script->offset);
    if (script->text == NULL || script->offset == NULL) die("out of memory");
    for (size_t i = 0; i < repeated; i++) {
        size_t from = script->offset[i], to = script->offset[script->count + i];
        size_t request_bytes = script->offset[i + 1] - from;
        memcpy(script->text + to, script->text + from, request_bytes);
        script->offset[script->count + i + 1] = to + request_bytes;
    }
}

static struct script script_load(const char *path, size_t pipeline) {
    struct script script = {0};
    size_t file_bytes;
    script.text = file_read(path, &file_bytes);
    script_compact(&script, path, file_bytes);
    script_repeat(&script, pipeline - 1);
    return script;
}

/* ---- Chained sessions ----
 *
 * A request of the script ends with `"causal-metadata":{}}`. The `{}` gives way to what the last
 * answer held, and Content-Length grows by as much. */

static const char METADATA_MEMBER[] = "\"causal-metadata\":";

struct chain {
    char *metadata; /* owned, METADATA_BYTES_MAX; of the last answer */
    size_t metadata_bytes;
    char *request; /* owned, RECV_BYTES + METADATA_BYTES_MAX; what is sent */
    size_t request_bytes;
};

static struct chain *chains_create(size_t count) {
    struct chain *chains = alloc_or_die(count * sizeof *chains);
    for (size_t i = 0; i < count; i++) {
        chains[i].metadata = alloc_or_die(METADATA_BYTES_MAX);
        chains[i].request = alloc_or_die(RECV_BYTES + METADATA_BYTES_MAX);
        memcpy(chains[i].metadata, "{}", 2);
        chains[i].metadata_bytes = 2;
    }
    return chains;
}

static void chain_put(struct chain *chain, const char *from, size_t bytes) {
    memcpy(chain->request + chain->request_bytes, from, bytes);
    chain->request_bytes += bytes;
}

static void chain_render(struct chain *chain, const char *text, size_t bytes) {
    const char *end = text + bytes;
    const char *length = memmem(text, bytes, CONTENT_LENGTH, CONTENT_LENGTH_CHARS);
    if (length == NULL || bytes > RECV_BYTES) die("--chain: no Content-Length, or too long");
    if (memcmp(end - 3, "{}}", 3) != 0) die("--chain: a request must end with {}}");
    length += CONTENT_LENGTH_CHARS;
    const char *after_length = memchr(length, '\r', (size_t)(end - length));
    size_t body_bytes = 0;
    if (after_length == NULL || !number_parse(length, after_length, &body_bytes))
        die("--chain: Content-Length is no number");

    char digits[24];
    int chars = snprintf(digits, sizeof digits, " %zu", body_bytes - 2 + chain->metadata_bytes);
    chain->request_bytes = 0;
    chain_put(chain, text, (size_t)(length - text));
    chain_put(chain, digits, (size_t)chars);
    chain_put(chain, after_length, (size_t)(end - 3 - after_length));
    chain_put(chain, chain->metadata, chain->metadata_bytes);
    chain_put(chain, "}", 1);
}

/* The end of the JSON object that begins at `at`; NULL if it is none. */
static const char *object_end(const char *at, const char *end) {
    int depth = 0;
    bool in_string = false;
    for (; at < end; at++) {
        if (in_string) {
            if (*at == '\\')
                at++;
            else if (*at == '"')
                in_string = false;
            continue;
        }
        if (*at == '"') in_string = true;
        if (*at == '{') depth++;
        if (*at == '}' && --depth == 0) return at + 1;
        if (depth == 0) return NULL;
    }
    return NULL;
}

static void chain_take(struct chain *chain, const char *text, size_t bytes) {
    const char *end = text + bytes;
    const char *member = memmem(text, bytes, METADATA_MEMBER, sizeof METADATA_MEMBER - 1);
    if (member == NULL) die("--chain: an answer without metadata");
    const char *object = member + sizeof METADATA_MEMBER - 1;
    const char *after = object_end(object, end);
    if (after == NULL) die("--chain: the metadata of an answer is no object");
    if ((size_t)(after - object) > METADATA_BYTES_MAX) die("--chain: metadata too long");
    chain->metadata_bytes = (size_t)(after - object);
    memcpy(chain->metadata, object, chain->metadata_bytes);
}

/* ---- The run and its connections ---- */

struct options {
    struct sockaddr_in targets[TARGETS_MAX];
    size_t target_count;
    reply_parser *parse;
    size_t conns;
    size_t pipeline;
    double warmup_s;
    double seconds;
    const char *requests_path;
    size_t count; /* 0: by the clock */
    size_t rate;  /* a second; 0: closed loop */
    bool chain;
};

enum phase { PHASE_WARMING, PHASE_MEASURING, PHASE_DRAINING };

struct conn {
    int fd;
    bool wants_out;      /* epoll watches for room to send, because out_bytes are left over */
    size_t next;         /* the request of the script that goes first in the next batch */
    const char *out;     /* borrowed from the script or the chain, until out_bytes is 0 */
    size_t out_bytes;    /* of the batch under way, not yet taken by the kernel */
    size_t owed;         /* replies that the batch under way still lacks */
    uint64_t sent_ns;    /* when the batch under way was handed to the kernel; --rate: was due */
    struct chain *chain; /* --chain: the session of the request under way; borrowed */
    struct stage *stage; /* --rate: where it was due; borrowed */
    unsigned status;     /* of the last reply */
    char *in;            /* owned, RECV_BYTES: the beginning of a reply that is not complete */
    size_t in_bytes;
};

/* A stretch of an open-loop run. */
struct stage {
    char name[STAGE_NAME_BYTES];
    uint64_t began_ns;
    uint64_t replies_by_status[STATUSES];
    struct histogram histogram;
};

/* The open loop. */
struct pace {
    int timer_fd;
    uint64_t start_ns;   /* when the first request was due; 0: no stage has begun */
    uint64_t end_ns;     /* no request is due from then on; UINT64_MAX while input goes on */
    uint64_t heard_ns;   /* when the last reply came */
    uint64_t sent;       /* requests */
    uint32_t dice;       /* state of the generator of random numbers */
    struct conn **idle;  /* owned; connections without a request */
    struct chain **free; /* owned; sessions without one, as many as idle connections */
    size_t idle_count;
    struct stage *stages; /* owned, STAGES_MAX of them */
    size_t stage_count;
    char line[STAGE_NAME_BYTES]; /* of standard input, not complete yet */
    size_t line_bytes;
};

struct run {
    const struct options *options;
    struct script script;
    struct chain *chains; /* owned; with --chain one, or with --rate as many as connections */
    struct pace pace;
    struct conn *conns; /* owned, options->conns of them */
    int epoll_fd;
    size_t busy; /* connections with a batch under way; the run ends when there is none */
    size_t next; /* --count: the first request that nobody has taken yet */
    enum phase phase;
    uint64_t phase_ns; /* when it began */
    double measured_s;
    uint64_t replies_by_status[STATUSES]; /* of the whole run, warm-up and draining included */
    struct histogram histogram;           /* of MEASURING */
};

static void conn_watch(struct run *run, struct conn *conn, int operation) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    if (conn->wants_out) event.events |= EPOLLOUT;
    if (epoll_ctl(run->epoll_fd, operation, conn->fd, &event) != 0)
        die("epoll_ctl: %s", strerror(errno));
}

static void conn_flush(struct run *run, struct conn *conn) {
    ssize_t n = send(conn->fd, conn->out, conn->out_bytes, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) die("send: %s", strerror(errno));
    if (n > 0) {
        conn->out += n;
        conn->out_bytes -= (size_t)n;
    }
    bool wants_out = conn->out_bytes > 0;
    if (wants_out == conn->wants_out) return;
    conn->wants_out = wants_out;
    conn_watch(run, conn, EPOLL_CTL_MOD);
}

/* Chooses the requests of the next batch: how many, from which on. */
static size_t batch_take(struct run *run, struct conn *conn, size_t *first) {
    size_t pipeline = run->options->pipeline, count = run->options->count;
    if (count == 0) {
        *first = conn->next;
        conn->next = (conn->next + pipeline) % run->script.count;
        return pipeline;
    }
    size_t left = count - run->next, taken = left < pipeline ? left : pipeline;
    *first = run->next;
    run->next += taken;
    return taken;
}

/* Sends `count` requests of the script from the first-th on. */
static void conn_send(struct run *run, struct conn *conn, size_t first, size_t count,
                      uint64_t now_ns) {
    const struct script *script = &run->script;
    conn->owed = count;
    conn->out = script->text + script->offset[first];
    conn->out_bytes = script->offset[first + count] - script->offset[first];
    if (conn->chain != NULL) {
        chain_render(conn->chain, conn->out, conn->out_bytes);
        conn->out = conn->chain->request;
        conn->out_bytes = conn->chain->request_bytes;
    }
    conn->sent_ns = now_ns;
    run->busy++;
    conn_flush(run, conn);
}

/* Sends the next batch; with nothing left to send the connection stays idle from here on. */
static void conn_send_batch(struct run *run, struct conn *conn, uint64_t now_ns) {
    size_t first = 0;
    size_t count = run->phase == PHASE_DRAINING ? 0 : batch_take(run, conn, &first);
    if (count > 0) conn_send(run, conn, first, count, now_ns);
}

/* ---- The open loop ---- */

static uint64_t pace_due_ns(const struct run *run) {
    return run->pace.start_ns + run->pace.sent * NS_PER_S / run->options->rate;
}

/* Which of those that are idle: xorshift, the same in every run. */
static size_t pace_roll(struct pace *pace) {
    pace->dice ^= pace->dice << 13;
    pace->dice ^= pace->dice >> 17;
    pace->dice ^= pace->dice << 5;
    return pace->dice % pace->idle_count;
}

static struct conn *pace_take_conn(struct pace *pace) {
    size_t i = pace_roll(pace);
    struct conn *conn = pace->idle[i];
    pace->idle[i] = pace->idle[pace->idle_count - 1];
    if (pace->free != NULL) {
        i = pace_roll(pace);
        conn->chain = pace->free[i];
        pace->free[i] = pace->free[pace->idle_count - 1];
    }
    pace->idle_count--;
    return conn;
}

static void pace_give_conn(struct pace *pace, struct conn *conn) {
    if (pace->free != NULL) pace->free[pace->idle_count] = conn->chain;
    pace->idle[pace->idle_count++] = conn;
}

static struct stage *pace_stage_of(struct pace *pace, uint64_t due_ns) {
    size_t i = pace->stage_count - 1;
    while (i > 0 && pace->stages[i].began_ns > due_ns)
        i--;
    return &pace->stages[i];
}

static bool pace_is_due(const struct run *run, uint64_t now_ns) {
    uint64_t due_ns = pace_due_ns(run);
    return run->pace.start_ns != 0 && due_ns <= now_ns && due_ns < run->pace.end_ns;
}

/* Sends what is due, as far as there are connections. */
static void pace_send_due(struct run *run, uint64_t now_ns) {
    struct pace *pace = &run->pace;
    while (pace_is_due(run, now_ns) && pace->idle_count > 0) {
        struct conn *conn = pace_take_conn(pace);
        uint64_t due_ns = pace_due_ns(run);
        conn->stage = pace_stage_of(pace, due_ns);
        conn_send(run, conn, pace->sent++ % run->script.count, 1, due_ns);
    }
}

static void pace_on_timer(struct run *run) {
    uint64_t ticks, now_ns = clock_now_ns();
    if (read(run->pace.timer_fd, &ticks, sizeof ticks) < 0) die("timer: %s", strerror(errno));
    if (run->busy > 0 && now_ns - run->pace.heard_ns > (uint64_t)STALL_MS * (NS_PER_S / 1000))
        die("no reply for %d ms", STALL_MS);
    pace_send_due(run, now_ns);
}

/* A line of standard input has come. */
static void pace_begin_stage(struct run *run, uint64_t now_ns) {
    struct pace *pace = &run->pace;
    if (pace->stage_count == STAGES_MAX) die("more than %d stages", STAGES_MAX);
    struct stage *stage = &pace->stages[pace->stage_count++];
    memcpy(stage->name, pace->line, pace->line_bytes);
    stage->began_ns = now_ns;
    pace->line_bytes = 0;
    if (pace->start_ns == 0) pace->start_ns = pace->heard_ns = now_ns;
}

static void pace_on_input(struct run *run) {
    struct pace *pace = &run->pace;
    char c;
    ssize_t n = read(STDIN_FILENO, &c, 1);
    uint64_t now_ns = clock_now_ns();
    if (n < 0) die("standard input: %s", strerror(errno));
    if (n == 0) {
        pace->end_ns = now_ns;
        if (epoll_ctl(run->epoll_fd, EPOLL_CTL_DEL, STDIN_FILENO, NULL) != 0)
            die("epoll_ctl: %s", strerror(errno));
    } else if (c == '\n') {
        pace_begin_stage(run, now_ns);
    } else if (pace->line_bytes + 1 == STAGE_NAME_BYTES || c < ' ' || c == '"' || c == '\\') {
        die("a stage has a short and plain name");
    } else {
        pace->line[pace->line_bytes++] = c;
    }
}

/* The reply to the request of the connection is here. */
static void pace_on_reply(struct run *run, struct conn *conn, unsigned status, uint64_t now_ns) {
    run->pace.heard_ns = now_ns;
    conn->stage->replies_by_status[status]++;
    histogram_add(&conn->stage->histogram, now_ns - conn->sent_ns, 1);
    pace_give_conn(&run->pace, conn);
}

static void pace_watch(struct run *run, int fd, void *who) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = who};
    if (epoll_ctl(run->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll_ctl: %s", strerror(errno));
}

static void pace_open(struct run *run) {
    struct pace *pace = &run->pace;
    size_t count = run->options->conns;
    pace->idle = alloc_or_die(count * sizeof *pace->idle);
    pace->free = run->options->chain ? alloc_or_die(count * sizeof *pace->free) : NULL;
    pace->stages = alloc_or_die(STAGES_MAX * sizeof *pace->stages);
    pace->end_ns = UINT64_MAX;
    pace->dice = 2463534242u; /* anything but 0 */
    for (size_t i = 0; i < count; i++) {
        pace_give_conn(pace, &run->conns[i]);
    }
    pace->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct timespec every = {.tv_nsec = (long)(NS_PER_S / run->options->rate)};
    if (every.tv_nsec == (long)NS_PER_S) every = (struct timespec){.tv_sec = 1};
    struct itimerspec ticks = {.it_interval = every, .it_value = every};
    if (pace->timer_fd < 0 || timerfd_settime(pace->timer_fd, 0, &ticks, NULL) != 0)
        die("timer: %s", strerror(errno));
    pace_watch(run, pace->timer_fd, &pace->timer_fd);
    pace_watch(run, STDIN_FILENO, pace->line);
}

/* ---- Replies that arrive ---- */

/* Cuts what was received into replies and returns their number; the rest moves to the front. */
static size_t conn_cut_replies(struct run *run, struct conn *conn) {
    size_t replies = 0, at = 0;
    struct reply reply = {0};
    enum parse result = PARSE_MORE;
    while (at < conn->in_bytes) {
        result = run->options->parse(conn->in + at, conn->in_bytes - at, &reply);
        if (result != PARSE_DONE) break;
        if (conn->chain != NULL) chain_take(conn->chain, conn->in + at, reply.bytes);
        run->replies_by_status[reply.status]++;
        conn->status = reply.status;
        replies++;
        at += reply.bytes;
    }
    if (result == PARSE_BAD) {
        int shown = (int)(conn->in_bytes - at < 60 ? conn->in_bytes - at : 60);
        die("not a reply that I understand: %.*s", shown, conn->in + at);
    }
    conn->in_bytes -= at;
    if (at > 0) memmove(conn->in, conn->in + at, conn->in_bytes);
    if (conn->in_bytes == RECV_BYTES) die("a reply of more than %zu bytes", RECV_BYTES);
    return replies;
}

static void conn_on_readable(struct run *run, struct conn *conn) {
    ssize_t n = recv(conn->fd, conn->in + conn->in_bytes, RECV_BYTES - conn->in_bytes, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0) die("recv: %s", strerror(errno));
    if (n == 0) die("the server closed a connection");
    uint64_t now_ns = clock_now_ns();
    conn->in_bytes += (size_t)n;

    size_t replies = conn_cut_replies(run, conn);
    if (replies > conn->owed) die("more replies than requests");
    if (replies == 0) return;
    if (run->phase == PHASE_MEASURING)
        histogram_add(&run->histogram, now_ns - conn->sent_ns, replies);
    conn->owed -= replies;
    if (conn->owed > 0) return;
    run->busy--;
    if (run->options->rate > 0) {
        pace_on_reply(run, conn, conn->status, now_ns);
        pace_send_due(run, now_ns);
    } else {
        conn_send_batch(run, conn, now_ns);
    }
}

static void conn_open(struct run *run, struct conn *conn) {
    size_t nth = (size_t)(conn - run->conns) % run->options->target_count;
    const struct sockaddr_in *target = &run->options->targets[nth];
    int on = 1;
    conn->in = alloc_or_die(RECV_BYTES);
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) die("socket: %s", strerror(errno));
    if (connect(conn->fd, (const struct sockaddr *)target, sizeof *target) != 0)
        die("connect: %s", strerror(errno));
    if (setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        fcntl(conn->fd, F_SETFL, O_NONBLOCK) != 0)
        die("socket options: %s", strerror(errno));
    conn_watch(run, conn, EPOLL_CTL_ADD);
}

static void conns_open(struct run *run) {
    size_t count = run->options->conns;
    run->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (run->epoll_fd < 0) die("epoll_create1: %s", strerror(errno));
    run->conns = alloc_or_die(count * sizeof *run->conns);
    for (size_t i = 0; i < count; i++) {
        conn_open(run, &run->conns[i]);
        run->conns[i].next = i * run->script.count / count;
        if (run->options->chain) run->conns[i].chain = &run->chains[i];
    }
}

/* ---- The loop ---- */

static double seconds_since(uint64_t then_ns, uint64_t now_ns) {
    return (double)(now_ns - then_ns) / (double)NS_PER_S;
}

static void run_enter_phase(struct run *run, enum phase phase, uint64_t now_ns) {
    run->phase = phase;
    run->phase_ns = now_ns;
}

/* The only way along the line of the essay. */
static void run_advance_phase(struct run *run, uint64_t now_ns) {
    const struct options *options = run->options;
    double elapsed_s = seconds_since(run->phase_ns, now_ns);
    bool is_over = elapsed_s >= options->seconds;
    if (options->count > 0) is_over = run->busy == 0;
    if (options->rate > 0) is_over = run->pace.end_ns <= now_ns && !pace_is_due(run, now_ns);
    switch (run->phase) {
    case PHASE_WARMING:
        if (elapsed_s >= options->warmup_s) run_enter_phase(run, PHASE_MEASURING, now_ns);
        return;
    case PHASE_MEASURING:
        if (!is_over) return;
        run->measured_s = elapsed_s;
        run_enter_phase(run, PHASE_DRAINING, now_ns);
        return;
    case PHASE_DRAINING: return;
    }
}

static void run_start(struct run *run) {
    uint64_t now_ns = clock_now_ns();
    bool warms = run->options->count == 0 && run->options->rate == 0;
    run_enter_phase(run, warms ? PHASE_WARMING : PHASE_MEASURING, now_ns);
    if (run->options->rate > 0) {
        pace_open(run);
        return;
    }
    for (size_t i = 0; i < run->options->conns; i++)
        conn_send_batch(run, &run->conns[i], now_ns);
}

static void run_on_event(struct run *run, const struct epoll_event *event) {
    struct conn *conn = event->data.ptr;
    if (event->data.ptr == &run->pace.timer_fd) {
        pace_on_timer(run);
    } else if (event->data.ptr == run->pace.line) {
        pace_on_input(run);
    } else {
        if (event->events & EPOLLOUT) conn_flush(run, conn);
        if (event->events & ~(uint32_t)EPOLLOUT) conn_on_readable(run, conn);
    }
}

static void run_loop(struct run *run) {
    struct epoll_event events[EVENTS_MAX];
    while (run->busy > 0 || (run->options->rate > 0 && run->phase != PHASE_DRAINING)) {
        int count = epoll_wait(run->epoll_fd, events, EVENTS_MAX, STALL_MS);
        if (count < 0 && errno != EINTR) die("epoll_wait: %s", strerror(errno));
        if (count == 0) die("no reply for %d ms", STALL_MS);
        for (int i = 0; i < count; i++)
            run_on_event(run, &events[i]);
        run_advance_phase(run, clock_now_ns());
    }
}

/* ---- Report ---- */

static double own_cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void histogram_report(const struct histogram *h) {
    printf("\"p50_us\":%.2f,\"p99_us\":%.2f,\"p999_us\":%.2f,\"max_us\":%.2f,",
           histogram_percentile_us(h, 0.5), histogram_percentile_us(h, 0.99),
           histogram_percentile_us(h, 0.999), (double)h->max_ns / 1e3);
}

static void stage_report(const struct stage *stage, uint64_t end_ns) {
    printf("{\"name\":\"%s\",\"requests\":%llu,\"seconds\":%.6f,", stage->name,
           (unsigned long long)stage->histogram.total, seconds_since(stage->began_ns, end_ns));
    histogram_report(&stage->histogram);
    const char *comma = "\"by_status\":{";
    for (size_t i = 0; i < STATUSES; i++) {
        if (stage->replies_by_status[i] == 0) continue;
        printf("%s\"%zu\":%llu", comma, i, (unsigned long long)stage->replies_by_status[i]);
        comma = ",";
    }
    printf("%s}}", stage->histogram.total == 0 ? comma : "");
}

static void pace_report(const struct run *run) {
    const struct pace *pace = &run->pace;
    printf("{\"rate\":%zu,\"cpu_seconds\":%.6f,\"stages\":[", run->options->rate,
           own_cpu_seconds());
    for (size_t i = 0; i < pace->stage_count; i++) {
        bool last = i + 1 == pace->stage_count;
        stage_report(&pace->stages[i], last ? pace->end_ns : pace->stages[i + 1].began_ns);
        if (!last) printf(",");
    }
    printf("]}\n");
}

static void run_report(const struct run *run) {
    const struct histogram *h = &run->histogram;
    uint64_t total = 0, by_class[STATUSES / 100] = {0};
    for (size_t i = 0; i < STATUSES; i++) {
        total += run->replies_by_status[i];
        by_class[i / 100] += run->replies_by_status[i];
    }
    printf("{\"requests\":%llu,\"requests_total\":%llu,\"seconds\":%.6f,\"rate\":%.1f,",
           (unsigned long long)h->total, (unsigned long long)total, run->measured_s,
           run->measured_s > 0 ? (double)h->total / run->measured_s : 0.0);
    histogram_report(h);
    printf("\"errors\":%llu,\"by_class\":{",
           (unsigned long long)(total - by_class[STATUS_OK / 100]));
    for (int i = 1; i < STATUSES / 100; i++)
        printf("%s\"%dxx\":%llu", i == 1 ? "" : ",", i, (unsigned long long)by_class[i]);
    printf("},\"cpu_seconds\":%.6f}\n", own_cpu_seconds());
}

/* ---- Command line ---- */

static _Noreturn void usage(void) {
    fputs(
        "usage: load --target IP:PORT --framing http|resp|memcached --requests FILE\n"
        "            [--conns 16] [--pipeline 1] [--warmup 0.3] [--seconds 2]\n"
        "            [--count N [--chain]] or [--rate N [--chain]]\n"
        "FILE: for each request its length in decimal, a newline, and that many bytes.\n"
        "--count N: send the first N requests of FILE once each instead of running by time.\n"
        "--rate N: so many requests a second, to all of several --target; standard input names\n"
        "a stage a line, and its end ends the run.\n"
        "--chain: HTTP in causal sessions, pipeline 1; with --count one connection (see source).\n",
        stderr);
    exit(2);
}

static size_t parse_count(const char *text, size_t max) {
    char *end;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end != '\0' || errno != 0 || n == 0 || n > max) usage();
    return n;
}

static double parse_seconds(const char *text) {
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds >= 0 && seconds < 86400)) usage();
    return seconds;
}

static struct sockaddr_in parse_target(const char *text) {
    struct sockaddr_in target = {.sin_family = AF_INET};
    char ip[INET_ADDRSTRLEN] = "";
    const char *colon = strchr(text, ':');
    if (colon == NULL || (size_t)(colon - text) >= sizeof ip) usage();
    memcpy(ip, text, (size_t)(colon - text));
    if (inet_pton(AF_INET, ip, &target.sin_addr) != 1) usage();
    target.sin_port = htons((uint16_t)parse_count(colon + 1, UINT16_MAX));
    return target;
}

static reply_parser *parse_framing(const char *text) {
    if (strcmp(text, "http") == 0) return parse_http;
    if (strcmp(text, "resp") == 0) return parse_resp;
    if (strcmp(text, "memcached") == 0) return parse_memcached;
    usage();
}

static void check_options(const struct options *options) {
    bool lacking = options->target_count == 0 || options->parse == NULL;
    if (lacking || options->requests_path == NULL) usage();
    bool paced = options->rate > 0;
    if (paced && (options->pipeline != 1 || options->count > 0)) usage();
    if (!paced && options->target_count > 1) usage();
    if (!options->chain) return;
    bool one_session = options->conns == 1 && options->count > 0;
    if (options->parse != parse_http || options->pipeline != 1) usage();
    if (!paced && !one_session) usage();
}

static struct options parse_options(int argc, char **argv) {
    static const struct option names[] = {
        {"target", required_argument, NULL, 't'},
        {"framing", required_argument, NULL, 'f'},
        {"conns", required_argument, NULL, 'c'},
        {"pipeline", required_argument, NULL, 'p'},
        {"warmup", required_argument, NULL, 'w'},
        {"seconds", required_argument, NULL, 's'},
        {"requests", required_argument, NULL, 'r'},
        {"count", required_argument, NULL, 'n'},
        {"chain", no_argument, NULL, 'C'},
        {"rate", required_argument, NULL, 'R'},
        {0},
    };
    struct options options = {.conns = 16, .pipeline = 1, .warmup_s = 0.3, .seconds = 2};
    for (int name; (name = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (name) {
        case 't':
            if (options.target_count == TARGETS_MAX) usage();
            options.targets[options.target_count++] = parse_target(optarg);
            break;
        case 'f': options.parse = parse_framing(optarg); break;
        case 'c': options.conns = parse_count(optarg, CONNS_MAX); break;
        case 'p': options.pipeline = parse_count(optarg, PIPELINE_MAX); break;
        case 'w': options.warmup_s = parse_seconds(optarg); break;
        case 's': options.seconds = parse_seconds(optarg); break;
        case 'r': options.requests_path = optarg; break;
        case 'n': options.count = parse_count(optarg, SIZE_MAX); break;
        case 'C': options.chain = true; break;
        case 'R': options.rate = parse_count(optarg, RATE_MAX); break;
        default: usage();
        }
    }
    if (optind != argc) usage();
    check_options(&options);
    return options;
}

int main(int argc, char **argv) {
    static struct run run; /* static: the histogram is large */
    struct options options = parse_options(argc, argv);
    run.options = &options;
    run.script = script_load(options.requests_path, options.pipeline);
    if (options.count > run.script.count) die("fewer requests in the file than --count");
    if (options.chain) run.chains = chains_create(options.conns);
    conns_open(&run);
    run_start(&run);
    run_loop(&run);
    options.rate > 0 ? pace_report(&run) : run_report(&run);
    return 0;
}
