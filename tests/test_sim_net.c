/* The simulated network keeps what it promises: whatever happens to a stream, what arrives is the
 * beginning of what was sent, and after its end nothing comes. */
#include "sim_net.h"

#define STREAM_BYTES 20000

/* Two hosts; host 0 calls and sends a known stream, host 1 reads. */
struct world {
    struct sim_base base;
    struct net net;
    uint32_t conn;
    bool accepted, connected, refused, closed[2];
    size_t sent, received;
    bool in_order;
};

static struct world begin(uint64_t seed) {
    struct world w = {.in_order = true};
    base_init(&w.base, seed, false);
    w.net.delay_us = 300;
    w.net.delay_spread_us = 2000;
    w.net.lag_us = 50;
    w.net.window_bytes = 1000;
    w.net.split_permille = 700;
    for (uint32_t h = 0; h < 2; h++)
        net_host_starts(&w.base, &w.net, h);
    w.conn = net_dial(&w.base, &w.net, 0, 1);
    return w;
}

static void end(struct world *w) {
    net_free(&w->net);
    base_free(&w->base);
}

static char byte_at(size_t i) {
    return (char)(i * 7 + i / 251);
}

static void send_more(struct world *w) {
    char bytes[STREAM_BYTES];
    size_t room = net_room(&w->net, w->conn, 0), left = STREAM_BYTES - w->sent;
    size_t now = room < left ? room : left;
    for (size_t i = 0; i < now; i++)
        bytes[i] = byte_at(w->sent + i);
    w->net.conns[w->conn].pipe[0].blocked = true;
    if (now > 0) net_send(&w->base, &w->net, w->conn, 0, (struct slice){bytes, now});
    w->sent += now;
}

/* Leaves a part of what is there, as a node does with the start of a frame. */
static void read_some(struct world *w) {
    struct net_end *at = &w->net.conns[w->conn].end[1];
    size_t now = (size_t)base_between(&w->base, 0, at->inbox.len);
    at->bytes_pending = false;
    for (size_t i = 0; i < now; i++)
        w->in_order &= at->inbox.at[i] == byte_at(w->received + i);
    w->received += now;
    net_taken(&w->base, &w->net, w->conn, 1, now);
}

static void on_item(struct world *w, const struct net_item *item) {
    switch (item->kind) {
    case ITEM_ACCEPT: w->accepted = true; break;
    case ITEM_CONNECTED:
        w->connected = w->net.conns[w->conn].end[0].connected = true;
        send_more(w);
        break;
    case ITEM_REFUSED: w->refused = true; break;
    case ITEM_BYTES: read_some(w); break;
    case ITEM_CLOSED: w->closed[item->side] = true; break;
    case ITEM_WRITABLE: send_more(w); break;
    default: CHECK(false);
    }
}

static void run(struct world *w, uint64_t until_us) {
    struct sim_event e;
    struct net_item item;
    base_at(&w->base, until_us, EVENT_PHASE, 0, 0);
    while (base_next(&w->base, &e) && e.kind != EVENT_PHASE) {
        switch (e.kind) {
        case EVENT_WAKE:
            while (net_take(&w->base, &w->net, e.a, &item))
                on_item(w, &item);
            break;
        case EVENT_SYN: net_on_syn(&w->base, &w->net, e.a); break;
        case EVENT_SYN_ACK: net_on_syn_ack(&w->base, &w->net, e.a, e.b != 0); break;
        case EVENT_BYTES: net_on_bytes(&w->base, &w->net, e.a, e.b); break;
        default: CHECK(false);
        }
    }
}

/* What has arrived, read or not, and whether it is right. */
static size_t arrived(struct world *w) {
    const struct buffer *rest = &w->net.conns[w->conn].end[1].inbox;
    for (size_t i = 0; i < rest->len; i++)
        w->in_order &= rest->at[i] == byte_at(w->received + i);
    return w->received + rest->len;
}

#define LONG_US ((uint64_t)3000 * 1000 * MS)

static void a_stream_arrives_whole_and_in_order(void) {
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct world w = begin(seed);
        run(&w, LONG_US);
        CHECK(w.accepted && w.connected && w.in_order && !w.closed[1]);
        CHECK_U64(arrived(&w), STREAM_BYTES);
        CHECK(w.in_order);
        end(&w);
    }
}

static void the_end_comes_behind_the_bytes(void) {
    struct world w = begin(1);
    w.net.window_bytes = 2 * STREAM_BYTES;
    run(&w, 10 * MS);
    CHECK_U64(w.sent, STREAM_BYTES);
    net_close(&w.base, &w.net, w.conn, 0);
    run(&w, LONG_US);
    CHECK(w.closed[1] && !w.closed[0]);
    CHECK_U64(arrived(&w), STREAM_BYTES);
    CHECK(w.in_order);
    end(&w);
}

static void a_break_is_seen_at_both_ends_after_the_beginning_of_the_stream(void) {
    size_t least = STREAM_BYTES, most = 0;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct world w = begin(seed);
        run(&w, 8 * MS);
        size_t sent = w.sent;
        net_break(&w.base, &w.net, w.conn);
        run(&w, LONG_US);
        size_t got = arrived(&w);
        CHECK(w.closed[0] && w.closed[1] && w.in_order && got <= sent);
        least = got < least ? got : least;
        most = got > most ? got : most;
        end(&w);
    }
    CHECK(least < most);
}

static void a_cut_lets_nothing_pass_and_its_heal_lets_all_pass(void) {
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world w = begin(seed);
        run(&w, 8 * MS);
        net_cut(&w.base, &w.net, 0, 1, true);
        size_t before = arrived(&w);
        run(&w, LONG_US);
        CHECK_U64(arrived(&w), before);
        net_cut(&w.base, &w.net, 0, 1, false);
        run(&w, 2 * LONG_US);
        CHECK_U64(arrived(&w), STREAM_BYTES);
        CHECK(w.in_order);
        end(&w);
    }
}

static void a_cut_lets_no_call_pass_in_either_direction(void) {
    for (uint32_t from = 0; from < 2; from++) {
        struct world w = begin(1);
        net_cut(&w.base, &w.net, from, 1 - from, true);
        run(&w, LONG_US);
        CHECK(!w.accepted && !w.connected && !w.refused);
        end(&w);
    }
}

static void a_killed_process_closes_and_refuses(void) {
    struct world w = begin(3);
    run(&w, 8 * MS);
    net_host_dies(&w.base, &w.net, 1, NET_KILLED);
    run(&w, LONG_US);
    CHECK(w.closed[0] && !w.refused);
    w.conn = net_dial(&w.base, &w.net, 0, 1);
    run(&w, 2 * LONG_US);
    CHECK(w.refused);
    end(&w);
}

static void a_machine_without_power_is_silent_until_it_is_on_again(void) {
    struct world w = begin(3);
    run(&w, 8 * MS);
    net_host_dies(&w.base, &w.net, 1, NET_OFF);
    uint32_t old = w.conn;
    w.conn = net_dial(&w.base, &w.net, 0, 1);
    w.connected = false;
    run(&w, LONG_US);
    CHECK(!w.closed[0] && !w.refused && !w.connected);
    w.conn = old;
    net_host_starts(&w.base, &w.net, 1);
    run(&w, 2 * LONG_US);
    CHECK(w.closed[0]);
    end(&w);
}

int main(void) {
    RUN(a_stream_arrives_whole_and_in_order);
    RUN(the_end_comes_behind_the_bytes);
    RUN(a_break_is_seen_at_both_ends_after_the_beginning_of_the_stream);
    RUN(a_cut_lets_nothing_pass_and_its_heal_lets_all_pass);
    RUN(a_cut_lets_no_call_pass_in_either_direction);
    RUN(a_killed_process_closes_and_refuses);
    RUN(a_machine_without_power_is_silent_until_it_is_on_again);
    return kit_finish();
}
