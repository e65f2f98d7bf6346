/* Connections of clients. See server.h.
 *
 * Memory. A connection at rest is the struct below and nothing else. Input is read into one buffer
 * that all connections share, and answers are written into another; only what is left over at the
 * end of a connection's turn, a request that is not complete or answers that the client does not
 * take, is copied into buffers of its own, which are freed when they are empty.
 *
 * Limits. There may be so many connections, and so many of one address; beyond that one is answered
 * and closed as soon as it is accepted (refused.h). What all connections keep together is limited
 * by a budget (budget.h): count_bytes() says what one keeps after it has changed, in settle() at
 * the latest. A connection that keeps more and may not, gives it back: of requests nothing is left
 * but that one is refused in their place, when its turn has come (refuse_input); who has answers
 * and does not take them is closed. What was begun stays begun.
 *
 * Back-pressure. While a connection has answers that its client does not take, it reads and parses
 * nothing, so it holds at most OUTPUT_BYTES_MAX plus one answer, those of its queue, and one shared
 * buffer's worth of requests beside one that is not complete. The kernel's buffers fill up and the
 * client has to wait.
 *
 * Order. The requests of a connection take effect in their order and are answered in it. A write
 * may take a while, and so that a client can have many of them under way, a connection goes on
 * reading: the exchanges that were begun and have no answer yet stand in a queue. Writes may join
 * it that go the same way: this node's own ones, or those that another node is asked for.
 * Everything else waits until the queue is empty, parsed, at the front of the input: what it looks
 * at is what the writes before it have made. An answer that is ready before its turn is kept
 * in its exchange; those whose turn has come are sent at the end of the loop's turn, with one call
 * a connection.
 *
 * The states of a connection, each transition with the function that makes it:
 *
 *           on_accept                  queue_exchange: it must be answered before anything else is
 *   (new) -----------> CONN_READING    begun; take_requests: a request has to wait for the queue
 *                       | ^ ^ |  |  +---------------------------------------> CONN_WAITING
 *                       | | | |  +--+        end_queue                           |     |
 *                       | | +-|--------------------------------------------------+     |
 *                       | |   |  begin_exchange: a listing                             |
 *                       | |   +---------------------------------------> CONN_STREAMING |
 *                       | |            finish_exchange                   |    |        |
 *                       | +----------------------------------------------+    |        |
 *                       |                                                     |        |
 *                       |  finish_exchange: the last answer on this           |        |
 *                       |  connection is made; end_queue: the same            |        |
 *                       +--------------------------+--------------------------+--------+
 *                                                  v
 *                                             CONN_CLOSING -----------> CONN_DRAINING --> (freed)
 *                                   settle: the client has it all      end of file, or LINGER_MS
 *
 * CONN_STREAMING rests while its listing waits for what another node has.
 * CONN_READING may have exchanges in its queue, CONN_WAITING has some, the others have none. When
 * the node stops, stop_conn makes the last one of a queue the last one of its connection.
 * CONN_DRAINING has sent its end of file and discards what still arrives: closing a socket with
 * unread input resets the connection, and the client might never see the answer.
 *
 * Holding. Where a log is kept, an answer must not leave before what it tells of is in it (gate.h).
 * A connection whose output would tell of more is *held*: the output is put aside, and nothing more
 * is made for it until server_release(), at the end of this turn or of a later one, has sent it.
 * What the log cannot promise any more, because a disk has failed, is never sent: the connection is
 * closed, and its client does not know, which is the truth.
 *
 * Fairness. A connection is *greedy* when it has more to be done than a light one (greed.h): a
 * large request or answer, many pipelined requests, a listing. All greedy ones together get a share
 * of the time. When that is used up, a greedy one that has something to be done is *postponed*: it
 * is not watched, until resume_greedy() has its turn. To accept a connection, and the first that it
 * wants, is charged to that share, too: otherwise who comes as a new one each time had it all.
 *
 * Every event handler ends in settle(), which decides what the connection waits for next and is
 * the only place, but for errors of the socket, where it may be freed.
 */
#include "server.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alarm.h"
#include "api.h"
#include "durable.h"
#include "exchanges.h"
#include "listener.h"
#include "log.h"
#include "origins.h"
#include "refused.h"
#include "sock.h"

#define INPUT_BYTES      (64 * 1024)   /* read at once from one connection */
#define OUTPUT_BYTES_MAX (256 * 1024)  /* answers made before some must have been taken */
#define PIECE_BYTES      (32 * 1024)   /* of a listing, made at once */
#define QUEUE_MAX        256           /* exchanges of one connection under way */
#define QUEUE_BYTES_MAX  (256 * 1024)  /* kept of them together, before one more is begun */
#define KEEP_BYTES_MAX   (1024 * 1024) /* shared buffers larger than this are given back */
#define SHRINK_BYTES     4096          /* kept input shrinks when so much of its room is not used */
#define LINGER_MS        2000          /* for a client to read its last answer */
#define LINGER_STOP_MS   300           /* the same when the node stops */

#define ALARMS 5 /* one for each limit */

#define TOKEN_FD_BITS 24 /* see token_of() */

enum conn_state { CONN_READING, CONN_WAITING, CONN_STREAMING, CONN_CLOSING, CONN_DRAINING };

struct conn {
    struct watch watch;
    struct timer timer; /* fires at or before deadline_ms; see set_deadline */
    uint64_t deadline_ms;
    struct server *server;
    struct sock sock;
    uint64_t number; /* no other connection has it */
    enum conn_state state;
    bool peer_done;     /* the client will send no more */
    bool unparsed;      /* `in` may hold a whole request */
    bool partial;       /* `in` holds the start of one, which must be complete in time */
    bool malformed;     /* `in` begins with what is none, as the parser has found */
    bool continue_sent; /* "100 Continue" for the request being read */
    bool head_only;     /* the exchange in hand: of a HEAD request */
    bool client_1_0;    /* of HTTP/1.0 */
    bool keep_alive;    /* the connection goes on after it */
    bool held;          /* `out`, or what was put aside in this turn, must not leave yet */
    bool is_new;        /* has had no event so far */
    bool greedy;        /* wants more than others; see Fairness */
    bool postponed;     /* not watched: it waits in the queue of the greedy... */
    bool resumed;       /* ...or has just waited there */
    size_t moved;       /* bytes taken and made since it was settled */
    struct http_parser parser;
    struct buffer in;  /* starts with the first byte of a request */
    struct buffer out; /* what the client has not taken; from out_sent on */
    size_t out_sent;
    size_t unsent;           /* what the kernel held of it when the deadline was set */
    struct listing *listing; /* CONN_STREAMING; owned */
    uint64_t listing_token;  /* by which the node knows it */
    bool listing_waits;      /* for a chunk of another node */
    uint32_t kept;           /* bytes, as they count in the budget */
    uint32_t aside;          /* of them, its output that was put aside in this turn */
    struct exchanges *queue; /* NULL: empty; owned */
};

/* A connection that is held; if it is another one by now, its number differs. */
struct held_conn {
    int fd;
    uint64_t number;
    size_t begin, len; /* in this turn: where its output stands in server->aside */
    uint64_t due;      /* in later turns: when gate->safe is there, `out` may leave */
};

/* In the order in which they may leave. */
struct holding {
    struct held_conn *rows; /* owned; [first, count) */
    size_t first, count, cap;
    size_t fresh;        /* rows from here on are of this turn */
    struct buffer aside; /* their output */
};

struct server {
    struct reactor *reactor; /* borrowed */
    struct api api;
    struct server_config config;
    struct listener listener;
    struct timer stop_timer;
    bool stopping;
    uint64_t exchanges_begun;
    struct conn *answered; /* those that have answers in their queues */
    struct holding holding;
    struct conn **conns; /* owned; by descriptor */
    size_t conns_cap;
    struct server_stats stats;
    struct origins origins;
    struct refused refused;
    uint32_t refused_ipv4; /* the last that had too many connections */
    struct alarm alarms[ALARMS];
    uint64_t refusals;    /* when the alarms were looked at */
    char *input;          /* shared: INPUT_BYTES */
    struct buffer output; /* shared: answers of the connection in hand */
    struct reply reply;   /* shared: the answer being made */
    char date[HTTP_DATE_BYTES];
    uint64_t date_s; /* the second that `date` tells */
};

/* ---- Tokens: how the node names an exchange ---- */

/* The number of the exchange, and below it the descriptor of its connection: no two exchanges have
 * the same, and the way back is short. When the connection is gone it leads nowhere. */
static uint64_t token_of(const struct conn *c, uint64_t number) {
    return number << TOKEN_FD_BITS | (uint32_t)c->watch.fd;
}

static struct conn *conn_of_token(const struct server *s, uint64_t token) {
    return s->conns[token & ((1u << TOKEN_FD_BITS) - 1)];
}

/* ---- Deadlines ---- */

/* The timer is only moved when the deadline comes nearer. When it fires too early, because the
 * deadline has moved away since, it is set again: that is once an idle period, not once a request.
 */
static void set_deadline(struct conn *c, uint64_t from_now_ms) {
    c->deadline_ms = reactor_now_ms(c->server->reactor) + from_now_ms;
    if (c->deadline_ms < c->timer.deadline_ms) {
        reactor_set_timer(c->server->reactor, &c->timer, c->deadline_ms);
    }
}

/* ---- The budget: what is kept for clients ---- */

static const char TOO_MUCH_BUFFERED[] = "Too much is buffered for clients; try again later";

static size_t bytes_of(const struct conn *c) {
    size_t bytes = c->in.cap + c->out.cap + c->aside;
    if (c->queue != NULL) bytes += sizeof *c->queue + c->queue->bytes + c->queue->answers.cap;
    if (c->listing != NULL) bytes += listing_bytes(c->listing);
    return bytes;
}

/* What it keeps has changed. False: it keeps more, and may not. */
static bool count_bytes(struct conn *c) {
    return budget_set(&c->server->stats.buffered, &c->kept, bytes_of(c));
}

/* The same for a connection that is closed if it may not. */
static bool may_keep(struct conn *c) {
    bool may = count_bytes(c);
    c->server->stats.buffered_beyond += !may;
    return may;
}

/* So many bytes are more than its share, and nobody may keep more now. */
static bool is_too_much(const struct conn *c, size_t bytes) {
    const struct budget *b = &c->server->stats.buffered;
    return bytes > b->share && budget_is_spent(b);
}

/* ---- Exchanges under way ---- */

static bool queue_has_room(const struct conn *c) {
    const struct exchanges *q = c->queue;
    return q == NULL || (q->count < QUEUE_MAX && q->bytes < QUEUE_BYTES_MAX &&
                         !is_too_much(c, q->bytes + sizeof *q));
}

/* ---- Life ---- */

static void on_conn_event(struct watch *w, unsigned events);
static void on_conn_timer(struct timer *t);
static void stop_conn(struct conn *c);

static void count_clients(struct server *s) {
    s->stats.clients = s->origins.count;
    s->stats.clients_full = s->origins.full;
}

/* A connection that was let in is closed. */
static void leave(struct server *s, struct sock *sock) {
    origins_leave(&s->origins, sock->ipv4);
    count_clients(s);
    sock_close(sock);
}

static void conn_free(struct conn *c) {
    struct server *s = c->server;
    if (c->queue != NULL) exchanges_free(c->queue, s->api.node);
    reactor_unwatch(s->reactor, &c->watch);
    reactor_cancel_timer(s->reactor, &c->timer);
    budget_set(&s->stats.buffered, &c->kept, 0);
    s->conns[c->watch.fd] = NULL;
    s->stats.connections_open--;
    leave(s, &c->sock);
    buffer_free(&c->in);
    buffer_free(&c->out);
    if (c->listing != NULL) listing_free(c->listing, s->api.node);
    free(c);
    if (s->stopping && s->stats.connections_open == 0) reactor_stop(s->reactor);
}

static void conn_create(struct server *s, struct sock sock) {
    size_t fd = (size_t)sock.fd;
    assert(fd < 1u << TOKEN_FD_BITS);
    if (fd >= s->conns_cap) {
        size_t cap = fd * 2 + 16;
        s->conns = bytes_realloc(s->conns, cap * sizeof *s->conns);
        memset(s->conns + s->conns_cap, 0, (cap - s->conns_cap) * sizeof *s->conns);
        s->conns_cap = cap;
    }
    struct conn *c = bytes_alloc_zeroed(sizeof *c);
    c->watch = (struct watch){.fd = sock.fd, .on_event = on_conn_event};
    c->timer = (struct timer)TIMER_INIT(on_conn_timer);
    c->server = s;
    c->sock = sock;
    c->is_new = true;
    http_parser_reset(&c->parser);
    if (!reactor_watch(s->reactor, &c->watch, REACTOR_READ)) {
        log_line(LOG_WARN, "http: a connection cannot be watched: %s", strerror(errno));
        leave(s, &c->sock);
        free(c);
        return;
    }
    s->conns[fd] = c;
    s->stats.connections_open++;
    c->number = ++s->stats.connections_accepted;
    /* With a session to be agreed on, silence is dear. */
    set_deadline(c, c->sock.tls == NULL ? s->config.idle_ms : s->config.request_ms);
}

/* ---- Writing answers ---- */

static struct slice date_now(struct server *s) {
    uint64_t wall_ms = reactor_wall_ms(s->reactor);
    if (wall_ms / 1000 != s->date_s) {
        s->date_s = wall_ms / 1000;
        http_date(s->date, wall_ms);
    }
    return (struct slice){s->date, sizeof s->date};
}

/* The head of s->reply, into the shared output. */
static void put_head(struct conn *c) {
    struct server *s = c->server;
    bool streams = c->state == CONN_STREAMING;
    struct http_head head = {
        .status = s->reply.status,
        .content_type = s->reply.content_type,
        .allow = s->reply.allow,
        .wants_token = s->reply.status == 401,
        .retry_after_s = s->reply.status == 503 ? API_RETRY_AFTER_S : 0,
        .content_length = s->reply.body.len,
        .chunked = streams && !c->client_1_0,
        .until_close = streams && c->client_1_0,
        .close = !c->keep_alive,
        .keep_alive_1_0 = c->client_1_0,
        .date = date_now(s),
    };
    http_put_head(&s->output, &head);
    s->stats.requests++;
    s->stats.responses_4xx += s->reply.status / 100 == 4;
    s->stats.responses_5xx += s->reply.status / 100 == 5;
}

/* The answer is made: on to the next request, or to the end. */
static void finish_exchange(struct conn *c) {
    c->state = c->keep_alive ? CONN_READING : CONN_CLOSING;
    set_deadline(c, c->server->config.idle_ms);
}

/* Writes s->reply, a whole answer. */
static void put_reply(struct conn *c) {
    struct server *s = c->server;
    put_head(c);
    if (!c->head_only) buffer_put(&s->output, buffer_slice(&s->reply.body));
    finish_exchange(c);
}

/* An answer that ends the connection, made without asking the node. */
static void put_refusal(struct conn *c, int status, const char *error) {
    struct reply *reply = &c->server->reply;
    reply->body.len = 0;
    reply->allow = NULL;
    api_put_error(reply, status, error);
    c->keep_alive = false;
    c->head_only = false;
    put_reply(c);
}

/* ---- Accepting ---- */

/* An answer of few bytes, which the kernel has room for. Where a session would have to be agreed on
 * first, its client reads an end of file. */
static void refuse(struct server *s, struct sock sock, int status, const char *error) {
    struct tls *tls = s->config.tls == NULL ? NULL : *s->config.tls;
    if (tls != NULL) {
        sock_close(&sock);
        return;
    }
    s->reply.body.len = 0;
    api_put_error(&s->reply, status, error);
    struct http_head head = {
        .status = status,
        .content_type = s->reply.content_type,
        .retry_after_s = API_RETRY_AFTER_S,
        .content_length = s->reply.body.len,
        .close = true,
        .date = date_now(s),
    };
    http_put_head(&s->output, &head);
    buffer_put(&s->output, buffer_slice(&s->reply.body));
    refused_add(&s->refused, sock, buffer_slice(&s->output));
    s->output.len = 0;
}

static void on_accept(struct listener *l, struct sock sock) {
    struct server *s = CONTAINER_OF(l, struct server, listener);
    struct tls *tls = s->config.tls == NULL ? NULL : *s->config.tls;
    if (s->stats.connections_open >= s->config.connections_max) {
        s->stats.connections_beyond++;
        refuse(s, sock, 503, "Too many connections");
        return;
    }
    if (!origins_enter(&s->origins, sock.ipv4)) {
        s->stats.clients_beyond++;
        s->refused_ipv4 = sock.ipv4;
        refuse(s, sock, 429, "Too many connections from this address");
        return;
    }
    count_clients(s);
    if (sock_encrypt(&sock, tls, false)) {
        conn_create(s, sock);
    } else {
        leave(s, &sock);
    }
}

static void on_accept_failure(struct listener *l) {
    CONTAINER_OF(l, struct server, listener)->stats.connections_refused++;
    log_line(LOG_WARN, "http: cannot accept: %s", strerror(errno));
}

/* ---- Exchanges ---- */

/* The exchange in hand has no answer yet, or not its turn. */
static struct exchange *queue_exchange(struct conn *c, const struct api_request *request) {
    if (!c->keep_alive) c->state = CONN_WAITING; /* nothing comes after it */
    return exchanges_push(&c->queue, &(struct exchange){
                                         .token = request->token,
                                         .bytes = sizeof(struct exchange) + request->body.len,
                                         .head_only = c->head_only,
                                         .client_1_0 = c->client_1_0,
                                         .keep_alive = c->keep_alive,
                                     });
}

/* The answer to `e` is in s->reply. It goes behind those before it, once they are made. */
static void place_answer(struct conn *c, struct exchange *e) {
    struct buffer *output = &c->server->output;
    struct exchanges *q = c->queue;
    size_t begin = output->len;
    c->head_only = e->head_only;
    c->client_1_0 = e->client_1_0;
    c->keep_alive = e->keep_alive;
    put_head(c);
    if (!c->head_only) buffer_put(output, buffer_slice(&c->server->reply.body));
    buffer_put(e == q->first ? &q->answers : &e->answer,
               (struct slice){output->at + begin, output->len - begin});
    output->len = begin;
    e->answered = true;
    e->bytes += e->answer.cap;
    q->bytes += e->answer.cap;
    while (q->first != NULL && q->first->answered) {
        buffer_put(&q->answers, buffer_slice(&q->first->answer));
        c->keep_alive = q->first->keep_alive;
        exchanges_pop(q);
    }
}

/* The answer to a whole request; the connection goes on. */
static void refuse_for_budget(struct server *s) {
    s->stats.buffered_beyond++;
    s->reply.allow = NULL;
    api_put_error(&s->reply, 503, TOO_MUCH_BUFFERED);
}

/* A write that is under way is kept, with its body, until others have it. */
static enum api_outcome handle(struct conn *c, const struct api_request *request) {
    struct server *s = c->server;
    bool is_write = request->method == HTTP_PUT || request->method == HTTP_DELETE;
    if (is_write && node_map(s->api.node)->node_count > 1 && is_too_much(c, request->body.len)) {
        refuse_for_budget(s);
        return API_ANSWERED;
    }
    return api_handle(&s->api, request, &s->reply);
}

/* The listing in s->reply begins, or is refused: it takes more than a share, and a while. */
static void begin_listing(struct conn *c, uint64_t token) {
    struct server *s = c->server;
    if (budget_is_spent(&s->stats.buffered)) {
        listing_free(s->reply.listing, s->api.node);
        refuse_for_budget(s);
        put_reply(c);
        return;
    }
    c->state = CONN_STREAMING;
    c->listing = s->reply.listing;
    c->listing_token = token;
    c->listing_waits = false;
    c->moved += GREED_LIGHT_BYTES;            /* to gather a slot costs more than its bytes say */
    if (c->client_1_0) c->keep_alive = false; /* the end of the body is the end of file */
    put_head(c);
}

/* A complete request stands in `bytes`, as the parser says. */
static void begin_exchange(struct conn *c, const char *bytes) {
    struct server *s = c->server;
    struct api_request request = {
        .method = c->parser.method,
        .target = http_target(&c->parser, bytes),
        .body = http_body(&c->parser, bytes),
        .authorization = http_authorization(&c->parser, bytes),
        .token = token_of(c, ++s->exchanges_begun),
        .stream = c->number,
    };
    c->head_only = c->parser.method == HTTP_HEAD;
    c->client_1_0 = c->parser.minor_0;
    c->keep_alive = c->parser.keep_alive && !s->stopping;
    c->continue_sent = false;
    s->reply.body.len = 0;
    switch (handle(c, &request)) {
    case API_ANSWERED:
        if (c->queue == NULL) {
            put_reply(c);
        } else {
            place_answer(c, queue_exchange(c, &request));
        }
        break;
    case API_UNDER_WAY:
        queue_exchange(c, &request);
        c->queue->lane = s->reply.lane;
        break;
    case API_WAITS:
        queue_exchange(c, &request)->parked = true;
        c->state = CONN_WAITING;
        break;
    case API_STREAMS: begin_listing(c, request.token); break;
    }
}

static void end_listing(struct conn *c) {
    listing_free(c->listing, c->server->api.node);
    c->listing = NULL;
    finish_exchange(c);
}

/* Writes the next piece of a listing. */
static void put_piece(struct conn *c) {
    struct server *s = c->server;
    struct buffer *piece = &s->reply.body;
    if (c->head_only) {
        end_listing(c);
        return;
    }
    piece->len = 0;
    enum listing_state state = listing_fill(c->listing, s->api.node, piece, PIECE_BYTES);
    bool more = state != LISTING_DONE;
    c->listing_waits = state == LISTING_WAITS;
    if (piece->len == 0) return; /* the empty chunk is the last one */
    if (c->client_1_0) {
        buffer_put(&s->output, buffer_slice(piece));
    } else {
        buffer_put_hex32(&s->output, (uint32_t)piece->len);
        buffer_put(&s->output, SLICE("\r\n"));
        buffer_put(&s->output, buffer_slice(piece));
        buffer_put(&s->output, more ? SLICE("\r\n") : SLICE("\r\n0\r\n\r\n"));
    }
    if (!more) end_listing(c);
}

/* ---- Reading requests ---- */

static bool must_hold(const struct server *s);

/* Answers beyond a share were made, or nearly: nobody may keep more than that, and they will have
 * to be put aside. */
static bool share_is_made(const struct server *s) {
    const struct budget *b = &s->stats.buffered;
    return budget_is_spent(b) && s->output.len >= b->share / 2 && must_hold(s);
}

static bool may_take_request(const struct conn *c) {
    const struct server *s = c->server;
    size_t enough = c->greedy ? OUTPUT_BYTES_MAX : GREED_LIGHT_BYTES;
    return c->state == CONN_READING && s->output.len < enough && !share_is_made(s) &&
           queue_has_room(c);
}

/* A request that had to wait was parsed before. */
static enum http_result parse(struct conn *c, char *bytes, size_t *len) {
    if (c->malformed) return HTTP_BAD;
    if (c->parser.stage == HTTP_COMPLETE) return HTTP_DONE;
    return http_parse(&c->parser, bytes, len);
}

/* What was parsed must not be begun, or refused, while exchanges before it are under way. */
static bool must_wait(struct conn *c, enum http_result parsed, const char *bytes) {
    if (c->queue == NULL || parsed == HTTP_MORE) return false;
    if (parsed == HTTP_BAD) return true;
    struct slice target = http_target(&c->parser, bytes);
    return c->queue->lane == 0 ||
           c->queue->lane != api_lane(&c->server->api, c->parser.method, target);
}

/* Keeps what is left of the input: bytes[0..len), from the shared buffer or from c->in itself. */
static void keep_input(struct conn *c, const char *bytes, size_t len) {
    if (len == 0) {
        buffer_free(&c->in);
    } else if (c->in.len == 0) {
        buffer_put(&c->in, (struct slice){bytes, len});
    } else if (bytes != c->in.at || len != c->in.len) {
        memmove(c->in.at, bytes, len);
        c->in.len = len;
        if (bytes != c->in.at && c->in.cap - len > SHRINK_BYTES) {
            c->in.at = bytes_realloc(c->in.at, len);
            c->in.cap = len;
        }
    }
}

/* In place of all that it has sent and that was not begun, one request stands that is refused. */
static void refuse_input(struct conn *c) {
    c->server->stats.buffered_beyond++;
    buffer_free(&c->in);
    buffer_put_char(&c->in, '?');
    c->parser.status = 503;
    c->parser.error = TOO_MUCH_BUFFERED;
    c->malformed = c->unparsed = true;
    c->partial = false;
    count_bytes(c);
}

/* Answers the complete requests in bytes[0..len), as far as the client takes answers, and keeps
 * the rest. */
static void take_requests(struct conn *c, char *bytes, size_t len) {
    bool starved = len == 0;
    while (may_take_request(c) && !starved) {
        enum http_result parsed = parse(c, bytes, &len);
        if (must_wait(c, parsed, bytes)) {
            c->partial = false;
            c->malformed = parsed == HTTP_BAD;
            c->state = CONN_WAITING;
            break;
        }
        switch (parsed) {
        case HTTP_MORE:
            starved = true;
            if (!http_wants_continue(&c->parser) || c->continue_sent) break;
            if (c->queue != NULL) break; /* when the answers before it are made */
            c->continue_sent = true;
            buffer_put(&c->server->output, SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
            break;
        case HTTP_DONE: {
            size_t consumed = c->parser.consumed;
            c->partial = false;
            begin_exchange(c, bytes);
            http_parser_reset(&c->parser);
            bytes += consumed;
            len -= consumed;
            starved = len == 0;
            break;
        }
        case HTTP_BAD: {
            int status = c->parser.status;
            const char *error = c->parser.error;
            http_parser_reset(&c->parser);
            c->partial = c->malformed = false;
            put_refusal(c, status, error);
            len = 0;
            break;
        }
        }
    }
    if (c->state == CONN_CLOSING) len = 0; /* nothing more is read from this client */
    c->unparsed = !starved && len > 0;
    if (starved && len > 0 && !c->partial) {
        c->partial = true;
        set_deadline(c, c->server->config.request_ms);
    }
    keep_input(c, bytes, len);
}

static void read_input(struct conn *c) {
    struct server *s = c->server;
    bool is_light = !c->greedy && c->sock.tls == NULL; /* a session may have read more by itself */
    long n = sock_read(&c->sock, s->input, is_light ? GREED_LIGHT_BYTES : INPUT_BYTES);
    if (n == SOCK_AGAIN) return;
    if (n < 0) {
        c->peer_done = true;
        return;
    }
    c->moved += (size_t)n;
    s->stats.bytes_received += (uint64_t)n;
    if (c->state == CONN_DRAINING) return;
    if (c->in.len == 0) {
        take_requests(c, s->input, (size_t)n);
    } else {
        buffer_put(&c->in, (struct slice){s->input, (size_t)n});
        take_requests(c, c->in.at, c->in.len);
    }
    if (c->in.len > 0 && !count_bytes(c)) refuse_input(c);
}

/* ---- Holding ---- */

/* What a client is told now may tell of what is not safe yet. While a disk is broken reads go on,
 * and they are all that does. */
static bool must_hold(const struct server *s) {
    const struct gate *g = s->config.gate;
    if (g == NULL || g->is_broken) return false;
    return !gate_is_open(g) || node_journal(s->api.node).len > 0;
}

/* Puts the shared output aside. False: it may not keep as much. */
static bool hold(struct conn *c) {
    struct holding *h = &c->server->holding;
    struct buffer *output = &c->server->output;
    if (h->count == h->cap) {
        h->cap = h->cap * 2 + 16;
        h->rows = bytes_realloc(h->rows, h->cap * sizeof *h->rows);
    }
    h->rows[h->count++] =
        (struct held_conn){c->watch.fd, c->number, h->aside.len, output->len, UINT64_MAX};
    buffer_put(&h->aside, buffer_slice(output));
    c->aside = (uint32_t)output->len;
    output->len = 0;
    c->held = true;
    return may_keep(c);
}

static struct conn *conn_of_row(const struct server *s, const struct held_conn *row) {
    struct conn *c = s->conns[row->fd];
    return c != NULL && c->number == row->number ? c : NULL;
}

/* ---- Sending ---- */

/* The client takes its answers slowly, or not at all. */
static void await_client(struct conn *c) {
    c->unsent = sock_unsent(&c->sock);
    set_deadline(c, c->server->config.stall_ms);
}

/* Keeps what the client does not take. False: the socket is broken, or it may not keep as much. */
static bool send_bytes(struct conn *c, struct slice bytes) {
    long n = sock_write(&c->sock, bytes.at, bytes.len);
    size_t sent = n > 0 ? (size_t)n : 0;
    c->server->stats.bytes_sent += sent;
    if (sent < bytes.len) {
        buffer_put(&c->out, (struct slice){bytes.at + sent, bytes.len - sent});
        c->out_sent = 0;
        await_client(c);
        if (!may_keep(c)) return false;
    }
    return n != SOCK_BROKEN;
}

/* Sends the shared output, if it may leave. False: the connection is to be closed. */
static bool send_output(struct conn *c) {
    struct buffer *output = &c->server->output;
    if (output->len == 0) return true;
    c->moved += output->len;
    bool whole = true;
    if (must_hold(c->server)) {
        whole = hold(c);
    } else {
        whole = send_bytes(c, buffer_slice(output));
    }
    output->len = 0;
    if (output->cap > KEEP_BYTES_MAX) buffer_free(output);
    if (c->server->reply.body.cap > KEEP_BYTES_MAX) buffer_free(&c->server->reply.body);
    return whole;
}

/* Sends what the client has not taken so far. False: the socket is broken. */
static bool send_kept(struct conn *c) {
    if (c->out.len == 0) return true;
    long n = sock_write(&c->sock, c->out.at + c->out_sent, c->out.len - c->out_sent);
    if (n == SOCK_BROKEN) return false;
    if (n <= 0) return true;
    c->server->stats.bytes_sent += (uint64_t)n;
    c->out_sent += (size_t)n;
    await_client(c);
    if (c->out_sent < c->out.len) return true;
    buffer_free(&c->out);
    const struct server_config *config = &c->server->config;
    set_deadline(c, c->partial ? config->request_ms : config->idle_ms);
    return true;
}

/* ---- Going on ---- */

/* All that was begun is answered: on to what had to wait for it, or to the end. */
static void end_queue(struct conn *c) {
    exchanges_free(c->queue, c->server->api.node);
    c->queue = NULL;
    c->state = c->keep_alive ? CONN_READING : CONN_CLOSING;
    c->unparsed = c->in.len > 0; /* at least "100 Continue" may be due */
}

/* The answers of the queue whose turn has come, into the shared output. */
static void put_answers(struct conn *c) {
    struct exchanges *q = c->queue;
    if (q == NULL || q->answers.len == 0) return;
    buffer_put(&c->server->output, buffer_slice(&q->answers));
    buffer_free(&q->answers);
    if (q->first == NULL) end_queue(c);
}

/* In vain it would be first for ever, were it not to go behind those that wait. */
static bool must_rest(const struct conn *c) {
    const struct greed *g = c->server->config.greed;
    if (!c->greedy || c->server->stopping) return false;
    return greed_rests(g) || (greed_has_queue(g) && !c->resumed);
}

/* Makes the answers that can be made now, one round of them, and sends them. A listing begins when
 * it is known to be greedy. False: the connection is to be closed. */
static bool go_on(struct conn *c) {
    if (c->out.len > 0 || c->held) return true; /* the client has answers to take first */
    put_answers(c);
    bool may_begin = !c->greedy || !greed_rests(c->server->config.greed) || c->server->stopping;
    if (may_begin && c->unparsed && c->state == CONN_READING) take_requests(c, c->in.at, c->in.len);
    if (may_begin && c->greedy && c->state == CONN_STREAMING && !c->listing_waits) put_piece(c);
    if (c->listing != NULL && !may_keep(c)) {
        c->server->output.len = 0;
        return false;
    }
    return send_output(c);
}

/* What has just been done for it, or what there is to do, is more than a light one has. */
static void judge_greed(struct conn *c) {
    c->greedy = c->moved >= GREED_LIGHT_BYTES || c->in.len >= GREED_LIGHT_BYTES || c->unparsed ||
                c->state == CONN_STREAMING;
    c->moved = 0;
}

/* What the connection waits for next; frees it when that is nothing. */
static void settle(struct conn *c) {
    assert(c->queue != NULL ? c->state <= CONN_WAITING : c->state != CONN_WAITING);
    count_bytes(c);
    if (c->held || c->postponed) return; /* server_release() or resume_greedy() comes back to it */
    bool sending = c->out.len > 0;
    if (c->state == CONN_CLOSING && !sending) {
        sock_finish_writing(&c->sock);
        c->state = CONN_DRAINING;
        set_deadline(c, c->server->stopping ? LINGER_STOP_MS : LINGER_MS);
    }
    bool takes_requests = c->state == CONN_READING && queue_has_room(c);
    bool more_to_make =
        (c->state == CONN_STREAMING && !c->listing_waits) || (takes_requests && c->unparsed);
    bool at_rest = c->state == CONN_READING && !sending && !c->unparsed;
    if (c->peer_done && ((at_rest && c->queue == NULL) || c->state == CONN_DRAINING)) {
        conn_free(c);
        return;
    }
    judge_greed(c);
    bool reads = !c->peer_done && ((at_rest && takes_requests) || c->state == CONN_DRAINING);
    /* A client that takes answers gets the next round when it can take it: in a later turn, so
     * that other connections have theirs first. */
    bool writes = sending || more_to_make;
    reactor_change(c->server->reactor, &c->watch,
                   (reads ? REACTOR_READ : 0u) | (writes ? REACTOR_WRITE : 0u));
}

/* More requests: they are read when it has got its answers. */
static void on_held_event(struct conn *c, unsigned events) {
    if (events & REACTOR_HANGUP) {
        conn_free(c);
    } else {
        reactor_change(c->server->reactor, &c->watch, 0);
    }
}

/* It has something to be done, and will again when it is watched again. */
static void postpone(struct conn *c) {
    c->postponed = true;
    reactor_change(c->server->reactor, &c->watch, 0);
    greed_wait(c->server->config.greed, (struct greed_row){c->watch.fd, c->number});
}

/* Some of those that were postponed go on. */
static void resume_greedy(struct server *s) {
    struct greed_row row;
    greed_turn_end(s->config.greed);
    for (int resumed = 0; resumed < GREED_RESUMED && greed_take(s->config.greed, &row);) {
        struct conn *c = s->conns[row.fd];
        if (c == NULL || c->number != row.number) continue; /* it is gone */
        c->postponed = false;
        c->resumed = true;
        settle(c);
        resumed++;
    }
    greed_taken(s->config.greed);
}

/* What the events say is done. */
static void serve_events(struct conn *c, unsigned events) {
    bool whole = true;
    if ((events & REACTOR_HANGUP) && !(events & REACTOR_READ)) whole = false;
    if (whole && (events & REACTOR_WRITE)) whole = send_kept(c);
    if (whole && (events & REACTOR_READ)) read_input(c);
    if (whole && go_on(c)) {
        settle(c);
    } else {
        c->server->output.len = 0;
        conn_free(c);
    }
}

static void on_conn_event(struct watch *w, unsigned events) {
    struct conn *c = CONTAINER_OF(w, struct conn, watch);
    struct server *s = c->server;
    if (c->held) {
        on_held_event(c, events);
    } else if (must_rest(c) && !(events & REACTOR_HANGUP)) {
        postpone(c);
    } else if (c->is_new || c->greedy) {
        c->is_new = c->resumed = false;
        greed_begin(s->config.greed);
        serve_events(c, events);
        greed_end(s->config.greed);
    } else {
        greed_note_light(s->config.greed);
        serve_events(c, events);
    }
}

/* The deadline has passed: what was it for? */
static void on_deadline(struct conn *c) {
    bool reading = c->state == CONN_READING && c->out.len == 0;
    /* The kernel asks for more only when a good part of its buffer, megabytes, is free again: ask
     * it whether a slow client has taken anything at all. */
    if (c->out.len > 0 && sock_unsent(&c->sock) < c->unsent) {
        await_client(c);
        return;
    }
    c->server->stats.connections_timed_out += c->state != CONN_DRAINING;
    if (reading && c->partial) {
        c->partial = false;
        put_refusal(c, 408, "Request was not complete in time");
        buffer_free(&c->in);
        if (send_output(c)) {
            settle(c);
            return;
        }
    }
    conn_free(c);
}

static void on_conn_timer(struct timer *t) {
    struct conn *c = CONTAINER_OF(t, struct conn, timer);
    struct server *s = c->server;
    if (s->stopping && c->state == CONN_READING && c->out.len == 0 && !c->held) {
        stop_conn(c); /* it was held when the others were stopped */
    } else if (c->deadline_ms > reactor_now_ms(s->reactor)) {
        reactor_set_timer(s->reactor, t, c->deadline_ms);
    } else if (c->held || (c->queue != NULL && c->out.len == 0)) {
        set_deadline(c, s->config.request_ms); /* the node has a deadline of its own */
    } else {
        on_deadline(c);
    }
}

/* ---- The end of a turn ---- */

/* It keeps more than it may. */
static void close_beyond(struct conn *c) {
    c->server->stats.buffered_beyond++;
    conn_free(c);
}

/* The listing goes on in the next turn. */
static void give_chunk(struct server *s, uint64_t token) {
    struct conn *c = conn_of_token(s, token);
    if (c == NULL || c->state != CONN_STREAMING || c->listing_token != token) return;
    listing_take(c->listing, &s->api.chunk);
    c->listing_waits = false;
    if (c->out.len == 0) set_deadline(c, s->config.idle_ms);
    if (count_bytes(c)) {
        settle(c);
    } else {
        close_beyond(c);
    }
}

/* Fetches what the node has answered; the connections concerned are put into s->answered. */
static void take_answers(struct server *s) {
    uint64_t token;
    for (;;) {
        s->reply.body.len = 0;
        s->reply.allow = NULL;
        enum api_taken taken = api_take_answer(&s->api, &token, &s->reply);
        if (taken == API_NOTHING) return;
        if (taken == API_CHUNK) {
            give_chunk(s, token);
            continue;
        }
        struct conn *c = conn_of_token(s, token);
        struct exchange *e = c == NULL ? NULL : exchanges_find(c->queue, token);
        if (e == NULL) continue; /* the client has gone */
        bool listed = c->queue->answers.len > 0;
        place_answer(c, e);
        count_bytes(c);
        if (listed || c->queue->answers.len == 0) continue;
        c->queue->next = s->answered;
        s->answered = c;
    }
}

/* Sends the answers whose turn has come, and what can be made right behind them. */
static void send_answers(struct conn *c) {
    struct server *s = c->server;
    if (c->out.len > 0 || c->held) { /* when the client has taken those before them */
        if (is_too_much(c, c->kept)) close_beyond(c);
        return;
    }
    if (!c->partial) set_deadline(c, s->config.idle_ms);
    if (go_on(c)) {
        settle(c);
    } else {
        s->output.len = 0;
        conn_free(c);
    }
}

/* In most turns nobody is refused anything. */
static void look_at_alarms(struct server *s) {
    uint64_t refusals = 0;
    for (int i = 0; i < ALARMS; i++)
        refusals += *s->alarms[i].count;
    if (refusals == s->refusals) return;
    s->refusals = refusals;
    for (int i = 0; i < ALARMS; i++)
        alarm_look(&s->alarms[i], reactor_now_ms(s->reactor));
}

void server_turn_end(struct server *s) {
    look_at_alarms(s);
    for (take_answers(s); s->answered != NULL; take_answers(s)) {
        while (s->answered != NULL) {
            struct conn *c = s->answered;
            s->answered = c->queue->next;
            send_answers(c);
        }
    }
    resume_greedy(s);
}

/* What it was held for is safe. It takes no requests: what they change is not in the log. */
static void release(struct conn *c, struct slice aside) {
    c->held = false;
    c->aside = 0;
    bool whole = aside.len > 0 ? send_bytes(c, aside) : send_kept(c);
    if (whole && c->out.len == 0) {
        put_answers(c);
        whole = send_output(c);
    }
    if (!whole) {
        c->server->output.len = 0;
        conn_free(c);
        return;
    }
    if (c->server->stopping) reactor_set_timer(c->server->reactor, &c->timer, 0);
    settle(c);
}

/* Those of this turn that cannot leave yet keep their output themselves. */
static void keep_fresh(struct server *s) {
    struct holding *h = &s->holding;
    for (; h->fresh < h->count; h->fresh++) {
        struct held_conn *row = &h->rows[h->fresh];
        struct conn *c = conn_of_row(s, row);
        row->due = s->config.gate->appended;
        if (c != NULL) {
            buffer_put(&c->out, (struct slice){h->aside.at + row->begin, row->len});
            c->out_sent = 0;
            c->aside = 0;
            count_bytes(c);
        }
        row->len = 0;
    }
    h->aside.len = 0;
    if (h->aside.cap > KEEP_BYTES_MAX) buffer_free(&h->aside);
}

/* A disk has failed: whether what they were to be told will be kept, nobody knows. */
static void drop_held(struct server *s) {
    struct holding *h = &s->holding;
    for (; h->first < h->count; h->first++) {
        struct conn *c = conn_of_row(s, &h->rows[h->first]);
        if (c != NULL) conn_free(c);
    }
}

void server_release(struct server *s) {
    const struct gate *g = s->config.gate;
    struct holding *h = &s->holding;
    if (h->count == 0) return;
    if (g->is_broken) drop_held(s);
    size_t end = h->count; /* what is held from now on waits for the next turn */
    for (; h->first < end; h->first++) {
        struct held_conn *row = &h->rows[h->first];
        uint64_t due = h->first < h->fresh ? row->due : g->appended;
        if (due > g->safe) break;
        struct conn *c = conn_of_row(s, row);
        if (c != NULL) release(c, (struct slice){h->aside.at + row->begin, row->len});
    }
    if (h->fresh < h->first) h->fresh = h->first;
    keep_fresh(s);
    if (h->first == h->count) h->first = h->count = h->fresh = 0;
}

/* ---- The server ---- */

static void on_stop_timer(struct timer *t) {
    struct server *s = CONTAINER_OF(t, struct server, stop_timer);
    log_line(LOG_WARN, "http: %llu connections closed unfinished",
             (unsigned long long)s->stats.connections_open);
    reactor_stop(s->reactor);
}

static void set_alarms(struct server *s, const struct node *n) {
    const struct alarm alarms[ALARMS] = {
        {.text = "MAX_CONNECTIONS: a connection was refused",
         .count = &s->stats.connections_beyond},
        {.text = "MAX_CONNECTIONS_PER_CLIENT: a connection was refused",
         .count = &s->stats.clients_beyond,
         .ipv4 = &s->refused_ipv4},
        {.text = "MAX_BUFFERED: a request was refused or a connection closed",
         .count = &s->stats.buffered_beyond},
        {.text = "MAX_PARKED: a request found no room to wait", .count = &node_parking(n)->refused},
        {.text = "MAX_FORWARDED: a request could not be sent on",
         .count = &node_forward_stats(n)->refused},
    };
    memcpy(s->alarms, alarms, sizeof alarms);
}

struct server *server_create(struct reactor *r, struct node *n,
                             const struct server_config *config) {
    struct server *s = bytes_alloc_zeroed(sizeof *s);
    s->listener = (struct listener){
        .on_accept = on_accept,
        .on_failure = on_accept_failure,
        .fd_end = config->fd_end,
        .greed = config->greed,
    };
    if (!listener_open(&s->listener, r, config->bind_ipv4, config->port)) {
        free(s);
        return NULL;
    }
    s->reactor = r;
    s->config = *config;
    s->stats.connections_max = config->connections_max;
    s->stats.per_client_max = config->per_client_max;
    budget_init(&s->stats.buffered, config->buffered_bytes_max, config->connections_max);
    origins_init(&s->origins, config->per_client_max, config->seed);
    refused_init(&s->refused, r);
    set_alarms(s, n);
    api_init(&s->api, n, &s->stats, config->log);
    s->api.token = config->auth_token;
    s->stop_timer = (struct timer)TIMER_INIT(on_stop_timer);
    s->input = bytes_alloc(INPUT_BYTES);
    return s;
}

void server_free(struct server *s) {
    s->stopping = false;
    for (size_t fd = 0; fd < s->conns_cap; fd++) {
        if (s->conns[fd] != NULL) conn_free(s->conns[fd]);
    }
    reactor_cancel_timer(s->reactor, &s->stop_timer);
    listener_close(&s->listener);
    refused_free(&s->refused);
    origins_free(&s->origins);
    free(s->conns);
    free(s->holding.rows);
    buffer_free(&s->holding.aside);
    free(s->input);
    buffer_free(&s->output);
    buffer_free(&s->reply.body);
    api_free(&s->api);
    free(s);
}

/* Requests that have arrived are answered; a connection that has none is done. */
static void stop_conn(struct conn *c) {
    c->keep_alive = false;
    if (c->queue != NULL) {
        bool waits = c->queue->first != NULL;
        if (waits) CONTAINER_OF(c->queue->end, struct exchange, next)->keep_alive = false;
        c->state = CONN_WAITING;
    }
    bool is_at_rest = c->state == CONN_READING && !c->unparsed && c->out.len == 0 && !c->held;
    if (is_at_rest && !c->peer_done) {
        read_input(c);
        if (c->state == CONN_READING && c->in.len == 0) c->peer_done = true;
    }
    if (go_on(c)) {
        settle(c);
    } else {
        conn_free(c);
    }
}

void server_stop(struct server *s) {
    if (s->stopping) return;
    s->stopping = true;
    listener_close(&s->listener);
    reactor_set_timer(s->reactor, &s->stop_timer, reactor_now_ms(s->reactor) + SERVER_STOP_MS);
    for (size_t fd = 0; fd < s->conns_cap; fd++) {
        if (s->conns[fd] != NULL) stop_conn(s->conns[fd]);
    }
    if (s->stats.connections_open == 0) reactor_stop(s->reactor);
}
