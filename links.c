/* Sockets for the node's links. See links.h.
 *
 * The node knows a link, this module the *channel* that carries it. Both sides may end one: the
 * socket breaks, which the node is told once, or the node orders LINK_CLOSE. Either way the node's
 * side is gone with the channel. The states of a channel, each transition with the function that
 * makes it:
 *
 *            dial: a name               on_found                finish_connect
 *   (new) -----------------> LOOKING_UP ----------> CONNECTING ----------------> OPEN
 *     |  |                                             ^                          ^
 *     |  +---------------------------------------------+                          |
 *     |         dial: an IPv4 address                                             |
 *     +---------------------------------------------------------------------------+
 *               on_accept
 *
 *   any state -- close_channel: LINK_CLOSE -- lose_channel: broken, refused, not found --> (freed)
 *
 * Reading. Bytes go into a buffer that all channels share; only the start of a frame that is not
 * complete is copied into one of the channel, which so grows no faster than bytes really arrive.
 * How long a frame may be is the node's to say.
 *
 * Sending. Everything that the node wants to send in a turn, to all peers, is sent at the end of
 * the turn, so that a hundred acknowledgements are one system call. What the socket does not take
 * waits in the node's output until the reactor says that there is room. Outputs go before orders
 * are taken: a link that is to be closed may have a last word.
 *
 * A link is sent on by one side only, so whether the other one still receives cannot be seen from
 * what arrives. When this machine's address has changed (a container that comes back to its network
 * may get another), what is sent on an old connection is lost, and nothing comes back to say so:
 * the kernel would try for a quarter of an hour. Rows go all the time, so that a connection on
 * which nothing is confirmed is noticed, and dialled anew.
 *
 * Where a log is kept, all that is sent tells of what this node has: none of it leaves before that
 * is safe (gate.h). When a round of the log begins, what each channel was to send up to then is
 * marked, and when it has ended, just that may leave: two marks are enough, since there is one
 * round at a time.
 *
 * A dial that fails at once and a socket that breaks in the middle of sending are told to the node
 * in the next turn, because it may answer with the next order, and a turn has to end.
 */
#include "links.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "listener.h"
#include "log.h"
#include "resolve.h"
#include "sock.h"

#define INPUT_BYTES          (256 * 1024)  /* read at once from one channel */
#define INPUT_TURN_BYTES_MAX (1024 * 1024) /* and in one turn, so that the others have theirs */
#define SENT_TURN_BYTES_MAX  (1024 * 1024)
#define CONFIRM_MS           1500 /* for the other kernel; a silent peer is down before */
_Static_assert(CONFIRM_MS > PEER_SILENT_MS, "a short cut ends no connection");

enum channel_state { CHANNEL_LOOKING_UP, CHANNEL_CONNECTING, CHANNEL_OPEN };

struct channel {
    struct watch watch; /* but for CHANNEL_LOOKING_UP */
    struct lookup lookup;
    struct timer loss; /* set: the channel is lost, which the node is told when it fires */
    struct links *links;
    struct channel *next, **at; /* in links->channels */
    struct link *link;          /* the node's */
    enum channel_state state;
    bool refused;  /* when lost: nobody listens there */
    uint16_t port; /* CHANNEL_LOOKING_UP: to connect to */
    struct sock sock;
    struct buffer in; /* the start of a frame */
    /* Places in all that is ever sent on it: what has gone; what may go; and what may go when
     * gate->safe is at marked_due. */
    uint64_t gone, free, marked, marked_due;
};

struct links {
    struct reactor *reactor; /* borrowed */
    struct node *node;       /* borrowed */
    struct resolver *resolver;
    struct links_config config;
    struct listener listener;
    struct channel *channels; /* owned */
    char *input;              /* shared: INPUT_BYTES */
};

/* ---- Life of a channel ---- */

static void on_channel_event(struct watch *w, unsigned events);
static void on_found(struct lookup *l, bool found, uint32_t ipv4);
static void on_loss(struct timer *t);

static struct channel *channel_create(struct links *s, struct link *link) {
    struct channel *c = bytes_alloc_zeroed(sizeof *c);
    c->watch = (struct watch){.fd = -1, .on_event = on_channel_event};
    c->lookup.on_found = on_found;
    c->loss = (struct timer)TIMER_INIT(on_loss);
    c->links = s;
    c->link = link;
    c->sock.fd = -1;
    c->next = s->channels;
    c->at = &s->channels;
    if (c->next != NULL) c->next->at = &c->next;
    s->channels = c;
    return c;
}

static void close_channel(struct channel *c) {
    struct links *s = c->links;
    *c->at = c->next;
    if (c->next != NULL) c->next->at = c->at;
    resolver_cancel(s->resolver, &c->lookup);
    reactor_cancel_timer(s->reactor, &c->loss);
    if (c->sock.fd >= 0) {
        reactor_unwatch(s->reactor, &c->watch);
        sock_close(&c->sock);
    }
    buffer_free(&c->in);
    free(c);
}

static void lose_channel(struct channel *c) {
    node_link_closed(c->links->node, c->link, c->refused);
    close_channel(c);
}

static void on_loss(struct timer *t) {
    lose_channel(CONTAINER_OF(t, struct channel, loss));
}

/* The node is told in the next turn. */
static void lose_soon(struct channel *c, int error) {
    struct reactor *r = c->links->reactor;
    c->refused = error == ECONNREFUSED;
    reactor_set_timer(r, &c->loss, reactor_now_ms(r));
}

static bool is_lost(const struct channel *c) {
    return c->loss.deadline_ms != UINT64_MAX;
}

/* Begins to watch c->sock. False with errno set. */
static bool watch_channel(struct channel *c, unsigned events) {
    c->watch.fd = c->sock.fd;
    return reactor_watch(c->links->reactor, &c->watch, events);
}

/* ---- Strangers: what they cost is charged to the greedy ---- */

/* Neither a map nor VIEW names who is at the other end, or it has not said who it is. */
static bool is_strange(const struct channel *c) {
    const struct peer *p = c->link->peer;
    if (c->links->config.greed == NULL) return false;
    return c->link->state != LINK_OPEN || p == NULL || !p->is_member;
}

static bool must_rest(const struct channel *c) {
    return is_strange(c) && greed_rests(c->links->config.greed);
}

static void begin_charge(const struct links *s) {
    if (s->config.greed != NULL) greed_begin(s->config.greed);
}

static void end_charge(const struct links *s) {
    if (s->config.greed != NULL) greed_end(s->config.greed);
}

/* ---- Accepting ---- */

static struct tls *present_tls(const struct links *s) {
    return s->config.tls == NULL ? NULL : *s->config.tls;
}

static void on_accept(struct listener *l, struct sock sock) {
    struct links *s = CONTAINER_OF(l, struct links, listener);
    struct channel *c = channel_create(s, node_link_accepted(s->node));
    c->state = CHANNEL_OPEN;
    c->sock = sock;
    bool good = sock_encrypt(&c->sock, present_tls(s), false) && watch_channel(c, REACTOR_READ);
    if (!good) lose_soon(c, errno);
}

static void on_accept_failure(struct listener *l) {
    (void)l;
    log_line(LOG_WARN, "peers: cannot accept: %s", strerror(errno));
}

/* ---- Dialling ---- */

static void connect_channel(struct channel *c, uint32_t ipv4) {
    c->state = CHANNEL_CONNECTING;
    if (!sock_connect(ipv4, c->port, &c->sock) || !watch_channel(c, REACTOR_WRITE)) {
        lose_soon(c, errno);
        return;
    }
    sock_set_patience(&c->sock, CONFIRM_MS);
}

static void on_found(struct lookup *l, bool found, uint32_t ipv4) {
    struct channel *c = CONTAINER_OF(l, struct channel, lookup);
    if (found) {
        connect_channel(c, ipv4);
    } else {
        lose_channel(c);
    }
}

/* LINK_DIAL */
static void dial(struct links *s, struct link *link, const struct address *to) {
    struct channel *c = channel_create(s, link);
    uint32_t port = to->port + s->config.peer_port_offset;
    c->state = CHANNEL_LOOKING_UP;
    c->port = (uint16_t)port;
    if (port > UINT16_MAX) {
        lose_soon(c, 0);
    } else if (to->is_ipv4) {
        connect_channel(c, to->ipv4);
    } else if (!resolver_start(s->resolver, &c->lookup, address_host(to))) {
        lose_soon(c, 0);
    }
}

/* The socket can be written, or not at all: the connection stands or has failed. */
static void finish_connect(struct channel *c) {
    int error = sock_connect_error(&c->sock);
    if (error != 0 || !sock_encrypt(&c->sock, present_tls(c->links), true)) {
        c->refused = error == ECONNREFUSED;
        lose_channel(c);
        return;
    }
    c->state = CHANNEL_OPEN;
    reactor_change(c->links->reactor, &c->watch, REACTOR_READ);
    node_link_connected(c->links->node, c->link);
}

/* ---- Reading ---- */

/* Keeps what the node has left of the bytes: a tail of c->in, or of the shared input. */
static void keep_input(struct channel *c, struct slice left) {
    if (left.at == c->in.at && left.len == c->in.len) return;
    struct buffer kept = {0};
    buffer_put(&kept, left);
    buffer_free(&c->in);
    c->in = kept;
}

static void take_input(struct channel *c, struct slice bytes) {
    if (c->in.len > 0) {
        buffer_put(&c->in, bytes);
        bytes = buffer_slice(&c->in);
    }
    size_t taken = node_link_received(c->links->node, c->link, bytes);
    assert(taken <= bytes.len);
    keep_input(c, (struct slice){bytes.at + taken, bytes.len - taken});
}

/* False: the other side has ended the connection, or it broke. */
static bool read_input(struct channel *c) {
    struct links *s = c->links;
    for (size_t total = 0; total < INPUT_TURN_BYTES_MAX;) {
        long n = sock_read(&c->sock, s->input, INPUT_BYTES);
        if (n == SOCK_AGAIN) return true;
        if (n < 0) return false;
        take_input(c, (struct slice){s->input, (size_t)n});
        total += (size_t)n;
        if (n < INPUT_BYTES) return true; /* the socket is empty, but for what has just come */
    }
    return true;
}

static void serve_events(struct channel *c, unsigned events) {
    if (c->state == CHANNEL_CONNECTING) {
        finish_connect(c);
    } else if (events & REACTOR_READ) {
        if (!read_input(c)) lose_channel(c);
    } else if (events & REACTOR_HANGUP) {
        lose_channel(c);
    } /* else: room for more output, which goes at the end of the turn */
}

static void on_channel_event(struct watch *w, unsigned events) {
    struct channel *c = CONTAINER_OF(w, struct channel, watch);
    struct links *s = c->links;
    if (is_lost(c)) return;
    if (c->state == CHANNEL_OPEN && must_rest(c) && !(events & REACTOR_HANGUP)) {
        reactor_change(s->reactor, &c->watch, 0); /* until send_output() finds that it is over */
        return;
    }
    bool is_charged = is_strange(c);
    if (is_charged) begin_charge(s);
    serve_events(c, events);
    if (is_charged) end_charge(s);
}

/* ---- The end of a turn ---- */

/* Moves the marks on: to be called once a turn, when the log has been written. */
static void mark_output(struct channel *c) {
    const struct gate *g = c->links->config.gate;
    uint64_t end = c->gone + node_link_output(c->link).len;
    if (g == NULL || gate_is_open(g)) {
        c->free = c->marked = end;
        return;
    }
    if (g->safe >= c->marked_due) c->free = c->marked;
    if (g->flying > c->marked_due) {
        c->marked = end;
        c->marked_due = g->flying;
    }
}

/* Of what the node has for it, the part that may leave. */
static struct slice free_output(const struct channel *c) {
    struct slice output = node_link_output(c->link);
    size_t may_go = (size_t)(c->free - c->gone);
    if (output.len > may_go) output.len = may_go;
    return output;
}

/* Sends as much as the socket takes. */
static void send_output(struct channel *c) {
    struct node *n = c->links->node;
    size_t total = 0;
    mark_output(c);
    struct slice output = free_output(c);
    while (output.len > 0 && total < SENT_TURN_BYTES_MAX) {
        long sent = sock_write(&c->sock, output.at, output.len);
        if (sent == SOCK_AGAIN) break;
        if (sent < 0) {
            lose_soon(c, 0);
            return;
        }
        total += (size_t)sent;
        c->gone += (size_t)sent;
        node_link_sent(n, c->link, (size_t)sent);
        output = free_output(c);
    }
    unsigned more = output.len > 0 && !sock_awaits_input(&c->sock) ? REACTOR_WRITE : 0;
    unsigned reads = must_rest(c) ? 0 : REACTOR_READ;
    reactor_change(c->links->reactor, &c->watch, reads | more);
}

static struct channel *channel_of_link(const struct links *s, const struct link *link) {
    struct channel *c = s->channels;
    while (c != NULL && c->link != link)
        c = c->next;
    assert(c != NULL);
    return c;
}

static void take_orders(struct links *s) {
    struct link_order order;
    while (node_take_order(s->node, &order)) {
        begin_charge(s); /* a caller is dialled back */
        switch (order.kind) {
        case LINK_DIAL: dial(s, order.link, &order.to); break;
        case LINK_CLOSE: close_channel(channel_of_link(s, order.link)); break;
        }
        end_charge(s);
    }
}

void links_turn_end(struct links *s) {
    for (struct channel *c = s->channels; c != NULL; c = c->next) {
        if (c->state == CHANNEL_OPEN && !is_lost(c)) send_output(c);
    }
    take_orders(s);
}

bool links_all_sent(const struct links *s) {
    for (const struct channel *c = s->channels; c != NULL; c = c->next) {
        bool sends = c->state == CHANNEL_OPEN && !is_lost(c);
        if (sends && node_link_output(c->link).len > 0) return false;
    }
    return true;
}

/* ---- All of them ---- */

struct links *links_create(struct reactor *r, struct node *n, const struct links_config *config) {
    struct links *s = bytes_alloc_zeroed(sizeof *s);
    s->listener = (struct listener){
        .on_accept = on_accept, .on_failure = on_accept_failure, .greed = config->greed};
    if (!listener_open(&s->listener, r, config->bind_ipv4, config->port)) {
        free(s);
        return NULL;
    }
    s->reactor = r;
    s->node = n;
    s->config = *config;
    s->input = bytes_alloc(INPUT_BYTES);
    s->resolver = resolver_create(r);
    if (s->resolver == NULL) {
        links_free(s);
        return NULL;
    }
    return s;
}

void links_free(struct links *s) {
    while (s->channels != NULL)
        close_channel(s->channels);
    if (s->resolver != NULL) resolver_free(s->resolver);
    listener_close(&s->listener);
    free(s->input);
    free(s);
}
