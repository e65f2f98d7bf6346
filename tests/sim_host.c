/* Node processes: boots, turns, deaths.
 *
 * A turn takes some of what has arrived, in any order that keeps each stream's, and hands it to the
 * node; then come the answers, the end of the turn, the bytes for the network and the orders. That
 * is all that the real shell does, in the same order. A turn happens when something has arrived or
 * the node's deadline has come, a little late as turns are.
 */
#include "sim.h"

#include <stdlib.h>

#define OUTPUT_BYTES_MAX (8 * 1024 * 1024) /* of a link; whatever happens, memory is bounded */
#define IDLE_TURNS_MAX   20 /* in a row with nothing to do, and the next one due at once */
#define LATE_US_MAX      400
#define WALL_MS          KIT_WALL_MS

static struct kit_random *node_random; /* of the run: node_config has no room for a context */

static uint64_t random64(void) {
    return kit_next(node_random);
}

bool host_runs(const struct host *h) {
    return h->node != NULL && !h->paused;
}

uint64_t host_now_ms(const struct sim *s, const struct host *h) {
    return h->mono_ms + s->base.now_us / MS;
}

static uint64_t wall_ms(const struct sim *s, const struct host *h) {
    return (uint64_t)((int64_t)(WALL_MS + s->base.now_us / MS) + h->wall_skew_ms);
}

const struct host *host_of_boot(const struct sim *s, uint64_t boot) {
    for (uint32_t h = 0; h < s->plan.hosts; h++) {
        if (s->hosts[h].node != NULL && s->hosts[h].boot == boot) return &s->hosts[h];
    }
    return NULL;
}

uint32_t host_at(const struct sim *s, const struct address *address) {
    uint32_t h = 0;
    while (h < s->plan.hosts && address_compare(&s->view[h], address) != 0)
        h++;
    return h;
}

/* ---- Life ---- */

/* VIEW: all but the newcomers; of these each knows itself and two of the others at least, since one
 * may stay dead. */
static void choose_view(struct sim *s, struct host *host) {
    uint32_t newcomers = s->plan.newcomers, self = 1u << host->index;
    uint32_t others = ((1u << s->plan.hosts) - 1) & ~newcomers, known = others;
    if ((newcomers & self) != 0) {
        do {
            known = others & (uint32_t)base_below(&s->base, 1u << s->plan.hosts);
        } while (__builtin_popcount(known) < 2);
    }
    for (uint32_t h = 0; h < s->plan.hosts; h++) {
        if (((known | self) >> h & 1) != 0) host->view[host->view_count++] = s->view[h];
    }
}

void host_init(struct sim *s, uint32_t h) {
    struct host *host = &s->hosts[h];
    host->index = h;
    host->address = s->view[h];
    choose_view(s, host);
    host->mono_ms = 1000 + base_below(&s->base, 1000000);
    host->wall_skew_ms = (int64_t)base_below(&s->base, 20001) - 10000;
    s->net.hosts[h].has_machine = true;
}

struct node_config host_config(const struct sim *s, uint32_t h) {
    const struct host *host = &s->hosts[h];
    return (struct node_config){
        .self = host->address,
        .view = host->view,
        .view_count = host->view_count,
        .shard_count = (s->plan.newcomers >> h & 1) != 0 ? 0 : s->plan.shard_count,
        .park_ms = s->plan.park_ms,
        .forward_ms = 2500,
        .readmit_ms = s->plan.readmit_ms,
        .cluster = SLICE("sim"),
        .ring_writes_max = s->plan.ring_writes_max,
        .over_actors_max = s->plan.over_actors_max,
        .keeps_journal = s->plan.has_disks,
        .boot = 1,
        .random64 = random64,
    };
}

void host_start(struct sim *s, uint32_t h) {
    struct host *host = &s->hosts[h];
    struct node_config config = host_config(s, h);
    node_random = &s->base.random;
    config.boot = random64() | 1;
    config.seed.k0 = random64();
    config.seed.k1 = random64();
    host->boot = config.boot;
    host->boot_serial = ++s->boots;
    host->changes++;
    host->changed_us = s->base.now_us;
    host->paused = false;
    host->wake_us = 0;
    host->node = node_create(&config, host_now_ms(s, host), wall_ms(s, host));
    disk_recover(s, h, host->node);
    disk_started(s, h);
    net_host_starts(&s->base, &s->net, h);
    check_booted(s, h);
    base_trace(&s->base, h, "n%u starts, boot %u", h, host->boot_serial);
    base_at(&s->base, s->base.now_us, EVENT_WAKE, h, 0);
    base_at(&s->base, s->base.now_us + START_US, EVENT_EXPECT, h, host->changes);
}

/* ---- Links ---- */

static void add_link(struct host *host, uint32_t conn, uint32_t side) {
    if (host->link_count == host->link_cap) {
        host->link_cap = host->link_cap == 0 ? 16 : host->link_cap * 2;
        host->links = bytes_realloc(host->links, host->link_cap * sizeof *host->links);
    }
    host->links[host->link_count++] = (struct host_link){conn, side};
}

static void remove_link(struct host *host, uint32_t conn, uint32_t side) {
    uint32_t i = 0;
    while (host->links[i].conn != conn || host->links[i].side != side)
        i++;
    host->links[i] = host->links[--host->link_count];
}

/* True: something has gone. */
static bool send_outputs(struct sim *s, struct host *host) {
    bool any = false;
    for (uint32_t i = 0; i < host->link_count; i++) {
        struct host_link at = host->links[i];
        struct net_end *end = &s->net.conns[at.conn].end[at.side];
        struct slice out = node_link_output(end->link);
        if (out.len > OUTPUT_BYTES_MAX) {
            base_violation(&s->base, "MEMORY", "n%u: %zu bytes wait on a link", host->index,
                           out.len);
        }
        size_t room = net_room(&s->net, at.conn, at.side);
        struct slice now = {out.at, out.len < room ? out.len : room};
        s->net.conns[at.conn].pipe[at.side].blocked = now.len < out.len;
        if (now.len == 0) continue;
        base_trace(&s->base, hash_crc32(now), "n%u sends %zu of %zu bytes on c%u", host->index,
                   now.len, out.len, at.conn);
        net_send(&s->base, &s->net, at.conn, at.side, now);
        node_link_sent(host->node, end->link, now.len);
        any = true;
    }
    return any;
}

static void dial(struct sim *s, struct host *host, const struct link_order *order) {
    uint32_t to = host_at(s, &order->to);
    if (to == s->plan.hosts || to == host->index) {
        base_violation(&s->base, "LINK", "n%u dials %s", host->index, order->to.text);
    }
    uint32_t conn = net_dial(&s->base, &s->net, host->index, to);
    s->net.conns[conn].end[0].link = order->link;
    add_link(host, conn, 0);
    base_trace(&s->base, conn, "n%u dials n%u: c%u", host->index, to, conn);
}

static void close_link(struct sim *s, struct host *host, const struct link *link) {
    for (uint32_t i = 0; i < host->link_count; i++) {
        struct host_link at = host->links[i];
        if (s->net.conns[at.conn].end[at.side].link != link) continue;
        base_trace(&s->base, at.conn, "n%u closes c%u", host->index, at.conn);
        remove_link(host, at.conn, at.side);
        net_close(&s->base, &s->net, at.conn, at.side);
        return;
    }
    base_violation(&s->base, "LINK", "n%u closes a link that it has not", host->index);
}

static void take_orders(struct sim *s, struct host *host) {
    struct link_order order;
    while (node_take_order(host->node, &order)) {
        switch (order.kind) {
        case LINK_DIAL: dial(s, host, &order); break;
        case LINK_CLOSE: close_link(s, host, order.link); break;
        }
    }
}

/* ---- What arrives ---- */

static void on_accept(struct sim *s, struct host *host, const struct net_item *item) {
    struct net_end *end = &s->net.conns[item->id].end[item->side];
    end->link = node_link_accepted(host->node);
    if (end->link == NULL) {
        net_close(&s->base, &s->net, item->id, item->side);
    } else {
        add_link(host, item->id, item->side);
    }
}

static void on_gone(struct sim *s, struct host *host, const struct net_item *item) {
    struct net_end *end = &s->net.conns[item->id].end[item->side];
    node_link_closed(host->node, end->link, item->kind == ITEM_REFUSED);
    remove_link(host, item->id, item->side);
    net_close(&s->base, &s->net, item->id, item->side);
}

static void on_bytes(struct sim *s, struct host *host, const struct net_item *item) {
    struct net_end *end = &s->net.conns[item->id].end[item->side];
    end->bytes_pending = false;
    size_t taken = node_link_received(host->node, end->link, buffer_slice(&end->inbox));
    if (taken > end->inbox.len) {
        base_violation(&s->base, "LINK", "n%u takes more bytes than there are", host->index);
    }
    net_taken(&s->base, &s->net, item->id, item->side, taken);
}

static void on_stream(struct sim *s, struct host *host, const struct net_item *item) {
    static const char *const names[] = {"accepts", "is connected on", "is refused on",
                                        "reads",   "sees the end of", "may write on"};
    struct net_end *end = &s->net.conns[item->id].end[item->side];
    if (!end->open || (end->link == NULL && item->kind != ITEM_ACCEPT)) return;
    base_trace(&s->base, item->id * 8u + (uint32_t)item->kind, "n%u %s c%u (%zu bytes)",
               host->index, names[item->kind], item->id, end->inbox.len);
    switch (item->kind) {
    case ITEM_ACCEPT: on_accept(s, host, item); break;
    case ITEM_CONNECTED:
        end->connected = true;
        node_link_connected(host->node, end->link);
        break;
    case ITEM_REFUSED:
    case ITEM_CLOSED: on_gone(s, host, item); break;
    case ITEM_BYTES: on_bytes(s, host, item); break;
    case ITEM_WRITABLE: break; /* every turn sends what it can */
    case ITEM_REQUEST:
    case ITEM_GIVE_UP:
    case ITEM_ORDER: break; /* not of streams */
    }
}

static void on_item(struct sim *s, struct host *host, const struct net_item *item) {
    switch (item->kind) {
    case ITEM_REQUEST: client_submit(s, host->index, item->id); break;
    case ITEM_GIVE_UP: client_give_up(s, host->index, item->id); break;
    case ITEM_ORDER: request_arrives(s, host->index, item->id); break;
    default: on_stream(s, host, item); break;
    }
}

/* ---- Turns ---- */

static void take_answers(struct sim *s, struct host *host) {
    uint64_t token;
    struct answer answer;
    while (node_take_answer(host->node, &token, &answer)) {
        if (!request_answered(s, host->index, token, &answer))
            client_answered(s, host->index, token, &answer);
    }
}

static void begin_turn(struct sim *s, struct host *host) {
    node_random = &s->base.random;
    node_set_time(host->node, host_now_ms(s, host), wall_ms(s, host));
}

/* True: something has gone to other nodes. */
static bool end_turn(struct sim *s, struct host *host) {
    take_answers(s, host);
    node_end_turn(host->node);
    take_answers(s, host);
    disk_take(s, host->index);
    bool sent = send_outputs(s, host);
    take_orders(s, host);
    struct slice notes = node_take_notes(host->node);
    if (notes.len > 0) {
        base_trace(&s->base, notes.len, "n%u notes: %.*s", host->index, (int)notes.len - 1,
                   notes.at);
    }
    return sent;
}

/* A loop that turns without end and without work would burn a core. */
static void check_idle(struct sim *s, struct host *host, bool idle) {
    bool due_again = node_deadline_ms(host->node) <= host_now_ms(s, host);
    host->idle_turns = idle && due_again ? host->idle_turns + 1 : 0;
    if (host->idle_turns > IDLE_TURNS_MAX) {
        base_violation(&s->base, "SPIN", "n%u: its deadline does not move on", host->index);
    }
}

static void sleep_until_deadline(struct sim *s, struct host *host) {
    uint64_t deadline = node_deadline_ms(host->node);
    if (deadline == UINT64_MAX) return;
    uint64_t at = deadline <= host->mono_ms ? 0 : (deadline - host->mono_ms) * MS;
    if (at <= s->base.now_us) at = s->base.now_us + 1;
    if (host->wake_us > s->base.now_us && host->wake_us <= at + LATE_US_MAX) return;
    host->wake_us = at + base_below(&s->base, LATE_US_MAX);
    base_at(&s->base, host->wake_us, EVENT_WAKE, host->index, 0);
}

static void turn(struct sim *s, struct host *host) {
    uint32_t waiting = s->net.hosts[host->index].count, batch = waiting;
    if (waiting > 1 && base_chance(&s->base, s->plan.batch_permille)) {
        batch = (uint32_t)base_between(&s->base, 1, waiting);
    }
    base_trace(&s->base, host->index, "n%u turns: %u of %u", host->index, batch, waiting);
    begin_turn(s, host);
    struct net_item item;
    for (uint32_t i = 0; i < batch && net_take(&s->base, &s->net, host->index, &item); i++)
        on_item(s, host, &item);
    bool sent = end_turn(s, host);
    check_idle(s, host, waiting == 0 && !sent);
    check_turn(s, host->index);
    if (s->net.hosts[host->index].count > 0) {
        base_at(&s->base, s->base.now_us + 50, EVENT_WAKE, host->index, 0);
    }
}

void host_wake(struct sim *s, uint32_t h) {
    struct host *host = &s->hosts[h];
    if (!host_runs(host)) return;
    bool due = node_deadline_ms(host->node) <= host_now_ms(s, host);
    bool fresh = host->changed_us == s->base.now_us;
    if (due || fresh || s->net.hosts[h].count > 0) turn(s, host);
    sleep_until_deadline(s, host);
}

void host_pause(struct sim *s, uint32_t h, bool paused) {
    struct host *host = &s->hosts[h];
    if (host->node == NULL || host->paused == paused) return;
    host->paused = paused;
    host->resumed_us = s->base.now_us;
    base_trace(&s->base, h, "n%u %s", h, paused ? "is paused" : "goes on");
    if (!paused) {
        host->wake_us = 0;
        base_at(&s->base, s->base.now_us, EVENT_WAKE, h, 0);
    }
}

/* ---- Death ---- */

/* A turn that is cut short: what it does, nobody hears of. */
static bool begins_a_turn(struct sim *s, struct host *host, enum net_death how) {
    if (!s->plan.has_disks || host->paused || how != NET_KILLED) return false;
    if (base_chance(&s->base, 500)) return false;
    begin_turn(s, host);
    struct net_item item;
    while (net_take(&s->base, &s->net, host->index, &item)) {
        bool asks = item.kind == ITEM_REQUEST || item.kind == ITEM_GIVE_UP;
        if (!asks && item.kind != ITEM_ORDER) on_stream(s, host, &item);
    }
    node_end_turn(host->node);
    return true;
}

void host_dies(struct sim *s, uint32_t h, enum net_death how) {
    static const char *const names[] = {"stops", "is killed", "loses power"};
    struct host *host = &s->hosts[h];
    if (host->node == NULL) return;
    base_trace(&s->base, h, "n%u %s", h, names[how]);
    if (how == NET_STOPPED && !host->paused) {
        begin_turn(s, host);
        node_stop(host->node);
        end_turn(s, host);
        check_turn(s, h);
    }
    disk_dies(s, h, how, begins_a_turn(s, host, how));
    check_before_death(s, h);
    s->check.died_us = s->base.now_us;
    node_free(host->node);
    host->node = NULL;
    host->link_count = 0;
    host->paused = false;
    host->changes++;
    host->changed_us = s->base.now_us;
    net_host_dies(&s->base, &s->net, h, how);
    clients_host_died(s, h);
    base_at(&s->base, s->base.now_us + HEAR_US, EVENT_EXPECT, h, host->changes);
}
