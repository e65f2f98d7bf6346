/* Byte streams and what happens to them. See sim_net.h.
 *
 * The way of a byte: net_send() puts it into the pipe with the time of its arrival; net_on_bytes()
 * moves it into the inbox of the other end and an ITEM_BYTES into that of the host; the host shows
 * it to its node and says with net_taken() what is left. There is one EVENT_BYTES a pipe at a time;
 * a cut lets it lapse and net_cut() starts it again.
 */
#include "sim_net.h"

#include <stdlib.h>

void net_free(struct net *net) {
    for (uint32_t i = 0; i < net->count; i++) {
        for (uint32_t side = 0; side < 2; side++) {
            buffer_free(&net->conns[i].end[side].inbox);
            buffer_free(&net->conns[i].pipe[side].bytes);
            free(net->conns[i].pipe[side].segments);
        }
    }
    free(net->conns);
    for (uint32_t h = 0; h < HOSTS_MAX; h++)
        free(net->hosts[h].items);
}

static uint64_t delay_us(struct sim_base *b, const struct net *net) {
    return net->delay_us + base_below(b, net->delay_spread_us + 1);
}

/* ---- Inboxes of hosts ---- */

void net_push(struct sim_base *b, struct net *net, uint32_t host, struct net_item item) {
    struct net_host *h = &net->hosts[host];
    if (h->count == h->cap) {
        h->cap = h->cap == 0 ? 16 : h->cap * 2;
        h->items = bytes_realloc(h->items, h->cap * sizeof *h->items);
    }
    h->items[h->count++] = item;
    base_at(b, b->now_us + 10 + base_below(b, net->lag_us), EVENT_WAKE, host, 0);
}

static bool same_queue(const struct net_item *x, const struct net_item *y) {
    bool request_x = x->kind >= ITEM_REQUEST, request_y = y->kind >= ITEM_REQUEST;
    return request_x == request_y && x->id == y->id && x->side == y->side;
}

bool net_take(struct sim_base *b, struct net *net, uint32_t host, struct net_item *out) {
    struct net_host *h = &net->hosts[host];
    if (h->count == 0) return false;
    uint32_t chosen = (uint32_t)base_below(b, h->count), i = 0;
    while (!same_queue(&h->items[i], &h->items[chosen]))
        i++;
    *out = h->items[i];
    h->count--;
    memmove(h->items + i, h->items + i + 1, (h->count - i) * sizeof *h->items);
    return true;
}

/* ---- Calling ---- */

uint32_t net_dial(struct sim_base *b, struct net *net, uint32_t from, uint32_t to) {
    if (net->count == net->cap) {
        net->cap = net->cap == 0 ? 64 : net->cap * 2;
        net->conns = bytes_realloc(net->conns, net->cap * sizeof *net->conns);
    }
    uint32_t conn = net->count++;
    net->conns[conn] = (struct net_conn){.host = {from, to}};
    net->conns[conn].end[0].open = true;
    base_at(b, b->now_us + delay_us(b, net), EVENT_SYN, conn, 0);
    return conn;
}

void net_on_syn(struct sim_base *b, struct net *net, uint32_t conn) {
    struct net_conn *c = &net->conns[conn];
    uint32_t from = c->host[0], to = c->host[1];
    bool silent = net->cut[from][to] || net->cut[to][from] || !net->hosts[to].has_machine;
    if (!c->end[0].open || silent) return;
    bool refused = !net->hosts[to].has_process;
    if (!refused) {
        c->end[1].open = c->end[1].connected = true;
        net_push(b, net, to, (struct net_item){ITEM_ACCEPT, conn, 1});
    }
    base_at(b, b->now_us + delay_us(b, net), EVENT_SYN_ACK, conn, refused);
}

void net_on_syn_ack(struct sim_base *b, struct net *net, uint32_t conn, bool refused) {
    struct net_conn *c = &net->conns[conn];
    if (!c->end[0].open || c->pipe[1].closed || net->cut[c->host[1]][c->host[0]]) return;
    enum net_item_kind kind = refused ? ITEM_REFUSED : ITEM_CONNECTED;
    net_push(b, net, c->host[0], (struct net_item){kind, conn, 0});
}

/* ---- Bytes ---- */

size_t net_room(const struct net *net, uint32_t conn, uint32_t side) {
    const struct net_conn *c = &net->conns[conn];
    if (!c->end[side].open || !c->end[side].connected) return 0;
    const struct net_end *reader = &c->end[!side];
    size_t unread = (size_t)(c->pipe[side].sent - c->pipe[side].delivered);
    unread += reader->inbox.len - reader->shown;
    return unread >= net->window_bytes ? 0 : net->window_bytes - unread;
}

static void schedule(struct sim_base *b, struct net_pipe *p, uint64_t at_us, uint32_t conn,
                     uint32_t side) {
    if (p->scheduled || p->closed) return;
    p->scheduled = true;
    base_at(b, at_us, EVENT_BYTES, conn, side);
}

void net_send(struct sim_base *b, struct net *net, uint32_t conn, uint32_t side,
              struct slice bytes) {
    struct net_conn *c = &net->conns[conn];
    struct net_pipe *p = &c->pipe[side];
    if (p->fin_at_us != 0 || p->dead || !c->end[!side].open) return; /* lost */
    uint64_t at = b->now_us + delay_us(b, net);
    if (net->slow[c->host[side]][c->host[!side]]) {
        uint64_t begins = p->last_at_us > b->now_us ? p->last_at_us : b->now_us;
        at = begins + bytes.len * net->slow_us_per_kb / 1024;
    }
    if (at < p->last_at_us) at = p->last_at_us;
    if (p->first + p->count == p->cap) {
        if (p->first > 0) {
            memmove(p->segments, p->segments + p->first, p->count * sizeof *p->segments);
            p->first = 0;
        } else {
            p->cap = p->cap == 0 ? 8 : p->cap * 2;
            p->segments = bytes_realloc(p->segments, p->cap * sizeof *p->segments);
        }
    }
    p->sent += bytes.len;
    p->last_at_us = at;
    p->segments[p->first + p->count++] = (struct net_segment){p->sent, at};
    buffer_put(&p->bytes, bytes);
    schedule(b, p, at, conn, side);
}

/* Up to where the stream has arrived by now. */
static uint64_t arrived(struct sim_base *b, struct net_pipe *p) {
    uint64_t end = p->delivered;
    while (p->count > 0 && p->segments[p->first].at_us <= b->now_us) {
        end = p->segments[p->first].end;
        p->first++;
        p->count--;
    }
    if (p->count == 0) p->first = 0;
    return end < p->sent ? end : p->sent;
}

static void deliver(struct sim_base *b, struct net *net, uint32_t conn, uint32_t side, size_t len) {
    struct net_conn *c = &net->conns[conn];
    struct net_pipe *p = &c->pipe[side];
    struct net_end *to = &c->end[!side];
    buffer_put(&to->inbox, (struct slice){p->bytes.at + p->start, len});
    p->start += len;
    p->delivered += len;
    if (p->delivered == p->sent) p->bytes.len = p->start = 0;
    if (!to->bytes_pending) {
        to->bytes_pending = true;
        net_push(b, net, c->host[!side], (struct net_item){ITEM_BYTES, conn, !side});
    }
}

/* What arrives by now, or a piece of it; the rest a little later. */
void net_on_bytes(struct sim_base *b, struct net *net, uint32_t conn, uint32_t side) {
    struct net_conn *c = &net->conns[conn];
    struct net_pipe *p = &c->pipe[side];
    p->scheduled = false;
    if (!c->end[!side].open || p->dead || net->cut[c->host[side]][c->host[!side]]) return;
    uint64_t until = arrived(b, p), due = until - p->delivered, now = due;
    if (due > 1 && base_chance(b, net->split_permille)) now = base_between(b, 1, due);
    if (now > 0) deliver(b, net, conn, side, (size_t)now);
    if (now < due) { /* the rest is a segment that has arrived, in front of the others */
        if (p->first == 0) {
            if (p->count == p->cap) {
                p->cap *= 2;
                p->segments = bytes_realloc(p->segments, p->cap * sizeof *p->segments);
            }
            memmove(p->segments + 1, p->segments, p->count * sizeof *p->segments);
            p->first = 1;
        }
        p->segments[--p->first] = (struct net_segment){until, b->now_us};
        p->count++;
    }
    if (p->delivered < p->sent) {
        uint64_t next = p->segments[p->first].at_us, soon = b->now_us + base_between(b, 10, 600);
        schedule(b, p, next > soon ? next : soon, conn, side);
    } else if (p->fin_at_us > b->now_us) {
        schedule(b, p, p->fin_at_us, conn, side);
    } else if (p->fin_at_us != 0) {
        p->closed = true;
        net_push(b, net, c->host[!side], (struct net_item){ITEM_CLOSED, conn, !side});
    }
}

void net_taken(struct sim_base *b, struct net *net, uint32_t conn, uint32_t side, size_t bytes) {
    struct net_conn *c = &net->conns[conn];
    struct net_end *end = &c->end[side];
    end->inbox.len -= bytes;
    if (end->inbox.len > 0) memmove(end->inbox.at, end->inbox.at + bytes, end->inbox.len);
    end->shown = end->inbox.len;
    struct net_pipe *from = &c->pipe[!side];
    if (from->blocked && c->end[!side].open) {
        from->blocked = false;
        net_push(b, net, c->host[!side], (struct net_item){ITEM_WRITABLE, conn, !side});
    }
}

/* ---- Ends ---- */

/* Nothing more goes into the pipe. `keep`: that much of what is under way still arrives. */
static void end_pipe(struct sim_base *b, struct net *net, uint32_t conn, uint32_t side,
                     uint64_t keep) {
    struct net_pipe *p = &net->conns[conn].pipe[side];
    if (p->fin_at_us != 0) return;
    p->sent = p->delivered + keep;
    if (keep == 0) p->bytes.len = p->start = 0;
    uint64_t at = b->now_us + delay_us(b, net);
    p->fin_at_us = keep > 0 && p->last_at_us > at ? p->last_at_us : at;
    schedule(b, p, p->fin_at_us, conn, side);
}

static uint64_t under_way(const struct net_conn *c, uint32_t side) {
    return c->pipe[side].sent - c->pipe[side].delivered;
}

/* The process lets go of its end. */
static void drop_end(struct net_conn *c, uint32_t side) {
    c->end[side].open = false;
    c->end[side].link = NULL;
    c->end[side].bytes_pending = false;
    c->end[side].shown = 0;
    buffer_free(&c->end[side].inbox);
}

void net_close(struct sim_base *b, struct net *net, uint32_t conn, uint32_t side) {
    struct net_conn *c = &net->conns[conn];
    drop_end(c, side);
    end_pipe(b, net, conn, side, under_way(c, side));
}

/* ---- What breaks ---- */

void net_cut(struct sim_base *b, struct net *net, uint32_t from, uint32_t to, bool cut) {
    net->cut[from][to] = cut;
    for (uint32_t i = 0; i < net->count && !cut; i++) {
        struct net_conn *c = &net->conns[i];
        for (uint32_t side = 0; side < 2; side++) {
            bool waits = under_way(c, side) > 0 || c->pipe[side].fin_at_us != 0;
            if (c->host[side] != from || c->host[!side] != to || !waits) continue;
            schedule(b, &c->pipe[side], b->now_us + base_below(b, 400 * MS), i, side);
        }
    }
}

void net_break(struct sim_base *b, struct net *net, uint32_t conn) {
    struct net_conn *c = &net->conns[conn];
    for (uint32_t side = 0; side < 2; side++) {
        end_pipe(b, net, conn, side, base_below(b, under_way(c, side) + 1));
    }
}

void net_host_dies(struct sim_base *b, struct net *net, uint32_t host, enum net_death how) {
    struct net_host *h = &net->hosts[host];
    h->count = 0;
    h->has_process = false;
    h->has_machine = how != NET_OFF;
    for (uint32_t i = 0; i < net->count; i++) {
        struct net_conn *c = &net->conns[i];
        for (uint32_t side = 0; side < 2; side++) {
            if (c->host[side] != host || !c->end[side].open) continue;
            drop_end(c, side);
            c->orphan[side] = c->pipe[side].dead = how == NET_OFF;
            if (how == NET_OFF) continue;
            uint64_t all = under_way(c, side);
            bool whole = how == NET_STOPPED || base_chance(b, 500);
            end_pipe(b, net, i, side, whole ? all : base_below(b, all + 1));
        }
    }
}

/* What was connected to a machine that went off now learns that nobody is there. */
void net_host_starts(struct sim_base *b, struct net *net, uint32_t host) {
    struct net_host *h = &net->hosts[host];
    h->has_machine = h->has_process = true;
    for (uint32_t i = 0; i < net->count; i++) {
        struct net_conn *c = &net->conns[i];
        for (uint32_t side = 0; side < 2; side++) {
            if (c->host[side] != host || !c->orphan[side]) continue;
            c->orphan[side] = c->pipe[side].dead = false;
            end_pipe(b, net, i, side, 0);
        }
    }
}
