/* The network: byte streams between hosts, and everything that happens to them.
 *
 * A connection is two ends and two pipes. Bytes travel with a delay, in order, and are cut into
 * pieces anywhere. A pipe holds `window` bytes that nobody has read; whoever writes more waits, as
 * with a socket. The end of a stream travels behind its bytes.
 *
 *   cut       from a to b nothing arrives: not bytes, not calls, not the end of a stream; on heal
 *             what is under way arrives after all
 *   break     both ends learn that the connection is gone, each after some of what was under way
 *   killed    the kernel closes: the other end learns it, after all or some of the bytes
 *   off       nobody closes: the other end hears nothing until the machine is on again
 *
 * What has arrived stands in the inbox of a host until it has a turn. So a paused host is still
 * called and sent to, as under SIGSTOP.
 */
#ifndef KVS_SIM_NET_H
#define KVS_SIM_NET_H

#include "sim_base.h"

#define HOSTS_MAX 6

enum net_item_kind {
    ITEM_ACCEPT,
    ITEM_CONNECTED,
    ITEM_REFUSED,
    ITEM_BYTES,
    ITEM_CLOSED,
    ITEM_WRITABLE,
    ITEM_REQUEST, /* id: an operation of a client */
    ITEM_GIVE_UP, /* id: the same; its client has hung up */
    ITEM_ORDER,   /* id: a request about nodes and shards */
};

struct net_item {
    enum net_item_kind kind;
    uint32_t id, side; /* connection and end */
};

struct net_end {
    bool open;         /* a process holds it */
    bool connected;    /* and was told that bytes may go */
    struct link *link; /* the node's name for it; NULL before it was accepted */
    struct buffer inbox;
    size_t shown;       /* of the inbox: what the node has seen and left */
    bool bytes_pending; /* ITEM_BYTES is in the inbox of the host */
};

struct net_segment {
    uint64_t end, at_us; /* the stream up to `end` arrives then */
};

struct net_pipe {
    struct buffer bytes; /* from `delivered` on, behind `start` */
    size_t start;
    uint64_t sent, delivered;
    struct net_segment *segments; /* owned */
    uint32_t first, count, cap;
    uint64_t last_at_us, fin_at_us; /* 0: it goes on */
    bool dead;                      /* nothing arrives any more */
    bool scheduled;                 /* there is an EVENT_BYTES */
    bool blocked;                   /* its writer waits for room */
    bool closed;                    /* the end of the stream was told */
};

struct net_conn {
    uint32_t host[2]; /* who called, who was called */
    struct net_end end[2];
    struct net_pipe pipe[2]; /* by the end that writes */
    bool orphan[2];          /* that end was on a machine that went off */
};

struct net_host {
    bool has_machine, has_process;
    struct net_item *items; /* owned; what has arrived */
    uint32_t count, cap;
};

struct net {
    struct net_conn *conns; /* owned */
    uint32_t count, cap;
    struct net_host hosts[HOSTS_MAX];
    bool cut[HOSTS_MAX][HOSTS_MAX]; /* from, to */
    bool slow[HOSTS_MAX][HOSTS_MAX];
    uint64_t delay_us, delay_spread_us, lag_us; /* lag: until a host notices */
    size_t window_bytes;
    uint32_t split_permille; /* arrivals that come in pieces */
    uint32_t slow_us_per_kb;
};

void net_free(struct net *net);

/* ---- What a process does ---- */

uint32_t net_dial(struct sim_base *b, struct net *net, uint32_t from, uint32_t to);
size_t net_room(const struct net *net, uint32_t conn, uint32_t side);
void net_send(struct sim_base *b, struct net *net, uint32_t conn, uint32_t side,
              struct slice bytes);
void net_taken(struct sim_base *b, struct net *net, uint32_t conn, uint32_t side, size_t bytes);
void net_close(struct sim_base *b, struct net *net, uint32_t conn, uint32_t side);

/* ---- What arrives ---- */

void net_on_syn(struct sim_base *b, struct net *net, uint32_t conn);
void net_on_syn_ack(struct sim_base *b, struct net *net, uint32_t conn, bool refused);
void net_on_bytes(struct sim_base *b, struct net *net, uint32_t conn, uint32_t side);

void net_push(struct sim_base *b, struct net *net, uint32_t host, struct net_item item);
/* Takes a random one; those of one end keep their order. False: there is none. */
bool net_take(struct sim_base *b, struct net *net, uint32_t host, struct net_item *out);

/* ---- What breaks ---- */

void net_cut(struct sim_base *b, struct net *net, uint32_t from, uint32_t to, bool cut);
void net_break(struct sim_base *b, struct net *net, uint32_t conn);

enum net_death { NET_STOPPED, NET_KILLED, NET_OFF };
void net_host_dies(struct sim_base *b, struct net *net, uint32_t host, enum net_death how);
void net_host_starts(struct sim_base *b, struct net *net, uint32_t host);

#endif
