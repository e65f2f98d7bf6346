/* load: a closed-loop load generator for HTTP, RESP and memcached's text protocol.
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
#include <time.h>
#include <unistd.h>

#define RECV_BYTES         REPLY_BYTES_MAX     /* a connection's; only touched pages cost memory */
#define METADATA_BYTES_MAX ((size_t)64 * 1024) /* the contract's limit for causal metadata */
#define CONNS_MAX          4096
#define PIPELINE_MAX       1024
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

/* ---- The chained session ----
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

static void chain_init(struct chain *chain) {
    chain->metadata = alloc_or_die(METADATA_BYTES_MAX);
    chain->request = alloc_or_die(RECV_BYTES + METADATA_BYTES_MAX);
    memcpy(chain->metadata, "{}", 2);
    chain->metadata_bytes = 2;
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
    struct sockaddr_in target;
    reply_parser *parse;
    size_t conns;
    size_t pipeline;
    double warmup_s;
    double seconds;
    const char *requests_path;
    size_t count; /* 0: by the clock */
    bool chain;
};

enum phase { PHASE_WARMING, PHASE_MEASURING, PHASE_DRAINING };

struct conn {
    int fd;
    bool wants_out;   /* epoll watches for room to send, because out_bytes are left over */
    size_t next;      /* the request of the script that goes first in the next batch */
    const char *out;  /* borrowed from the script or the chain, until out_bytes is 0 */
    size_t out_bytes; /* of the batch under way, not yet taken by the kernel */
    size_t owed;      /* replies that the batch under way still lacks */
    uint64_t sent_ns; /* when the batch under way was handed to the kernel */
    char *in;         /* owned, RECV_BYTES: the beginning of a reply that is not complete */
    size_t in_bytes;
};

struct run {
    const struct options *options;
    struct script script;
    struct chain chain;
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

/* Sends the next batch; with nothing left to send the connection stays idle from here on. */
static void conn_send_batch(struct run *run, struct conn *conn, uint64_t now_ns) {
    const struct script *script = &run->script;
    size_t first = 0;
    conn->owed = run->phase == PHASE_DRAINING ? 0 : batch_take(run, conn, &first);
    if (conn->owed == 0) return;
    conn->out = script->text + script->offset[first];
    conn->out_bytes = script->offset[first + conn->owed] - script->offset[first];
    if (run->options->chain) {
        chain_render(&run->chain, conn->out, conn->out_bytes);
        conn->out = run->chain.request;
        conn->out_bytes = run->chain.request_bytes;
    }
    conn->sent_ns = now_ns;
    run->busy++;
    conn_flush(run, conn);
}

/* Cuts what was received into replies and returns their number; the rest moves to the front. */
static size_t conn_cut_replies(struct run *run, struct conn *conn) {
    size_t replies = 0, at = 0;
    struct reply reply = {0};
    enum parse result = PARSE_MORE;
    while (at < conn->in_bytes) {
        result = run->options->parse(conn->in + at, conn->in_bytes - at, &reply);
        if (result != PARSE_DONE) break;
        if (run->options->chain) chain_take(&run->chain, conn->in + at, reply.bytes);
        run->replies_by_status[reply.status]++;
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
    conn_send_batch(run, conn, now_ns);
}

static void conn_open(struct run *run, struct conn *conn) {
    const struct sockaddr_in *target = &run->options->target;
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
    switch (run->phase) {
    case PHASE_WARMING:
        if (elapsed_s >= options->warmup_s) run_enter_phase(run, PHASE_MEASURING, now_ns);
        return;
    case PHASE_MEASURING:
        if (options->count > 0 ? run->busy > 0 : elapsed_s < options->seconds) return;
        run->measured_s = elapsed_s;
        run_enter_phase(run, PHASE_DRAINING, now_ns);
        return;
    case PHASE_DRAINING: return;
    }
}

static void run_start(struct run *run) {
    uint64_t now_ns = clock_now_ns();
    run_enter_phase(run, run->options->count > 0 ? PHASE_MEASURING : PHASE_WARMING, now_ns);
    for (size_t i = 0; i < run->options->conns; i++)
        conn_send_batch(run, &run->conns[i], now_ns);
}

static void run_loop(struct run *run) {
    struct epoll_event events[EVENTS_MAX];
    while (run->busy > 0) {
        int count = epoll_wait(run->epoll_fd, events, EVENTS_MAX, STALL_MS);
        if (count < 0 && errno != EINTR) die("epoll_wait: %s", strerror(errno));
        if (count == 0) die("no reply for %d ms", STALL_MS);
        for (int i = 0; i < count; i++) {
            struct conn *conn = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) conn_flush(run, conn);
            if (events[i].events & ~(uint32_t)EPOLLOUT) conn_on_readable(run, conn);
        }
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
    printf("\"p50_us\":%.2f,\"p99_us\":%.2f,\"p999_us\":%.2f,\"max_us\":%.2f,",
           histogram_percentile_us(h, 0.5), histogram_percentile_us(h, 0.99),
           histogram_percentile_us(h, 0.999), (double)h->max_ns / 1e3);
    printf("\"errors\":%llu,\"by_class\":{",
           (unsigned long long)(total - by_class[STATUS_OK / 100]));
    for (int i = 1; i < STATUSES / 100; i++)
        printf("%s\"%dxx\":%llu", i == 1 ? "" : ",", i, (unsigned long long)by_class[i]);
    printf("},\"cpu_seconds\":%.6f}\n", own_cpu_seconds());
}

/* ---- Command line ---- */

static _Noreturn void usage(void) {
    fputs("usage: load --target IP:PORT --framing http|resp|memcached --requests FILE\n"
          "            [--conns 16] [--pipeline 1] [--warmup 0.3] [--seconds 2]\n"
          "            [--count N [--chain]]\n"
          "FILE: for each request its length in decimal, a newline, and that many bytes.\n"
          "--count N: send the first N requests of FILE once each instead of running by time.\n"
          "--chain: one causal session; HTTP, one connection, pipeline 1 (see the source).\n",
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
    bool lacking = options->target.sin_port == 0 || options->parse == NULL;
    if (lacking || options->requests_path == NULL) usage();
    if (!options->chain) return;
    bool one_at_a_time = options->conns == 1 && options->pipeline == 1;
    if (!one_at_a_time || options->parse != parse_http || options->count == 0) usage();
}

static struct options parse_options(int argc, char **argv) {
    static const struct option names[] = {
        {"target", required_argument, NULL, 't'},   {"framing", required_argument, NULL, 'f'},
        {"conns", required_argument, NULL, 'c'},    {"pipeline", required_argument, NULL, 'p'},
        {"warmup", required_argument, NULL, 'w'},   {"seconds", required_argument, NULL, 's'},
        {"requests", required_argument, NULL, 'r'}, {"count", required_argument, NULL, 'n'},
        {"chain", no_argument, NULL, 'C'},          {0},
    };
    struct options options = {.conns = 16, .pipeline = 1, .warmup_s = 0.3, .seconds = 2};
    for (int name; (name = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (name) {
        case 't': options.target = parse_target(optarg); break;
        case 'f': options.parse = parse_framing(optarg); break;
        case 'c': options.conns = parse_count(optarg, CONNS_MAX); break;
        case 'p': options.pipeline = parse_count(optarg, PIPELINE_MAX); break;
        case 'w': options.warmup_s = parse_seconds(optarg); break;
        case 's': options.seconds = parse_seconds(optarg); break;
        case 'r': options.requests_path = optarg; break;
        case 'n': options.count = parse_count(optarg, SIZE_MAX); break;
        case 'C': options.chain = true; break;
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
    chain_init(&run.chain);
    conns_open(&run);
    run_start(&run);
    run_loop(&run);
    run_report(&run);
    return 0;
}
