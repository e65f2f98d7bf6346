/* Sockets of links, between two sides in one process, over loopback. In place of node.c stands a
 * node that does as it is told and notes what it is told: what is tested here is that orders are
 * carried out, and that bytes arrive as they were sent, whatever the sockets do. */
#include "kit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../links.h"
#include "../sock.h"

/* ---- A node that does as it is told ---- */

#define LINKS_MAX  16
#define ORDERS_MAX 16

struct told { /* about one link */
    struct link link;
    bool known; /* false: the shell must not name it any more */
    bool accepted, connected, closed, refused;
    struct buffer out; /* what goes is cut off its front */
    struct buffer got;
    size_t frame_bytes; /* input is taken in units of so many */
};

struct node {
    struct told links[LINKS_MAX];
    uint32_t link_count;
    struct link_order orders[ORDERS_MAX];
    uint32_t order_count, orders_taken;
    size_t frame_bytes;
};

static struct told *told_of(const struct link *l) {
    return (struct told *)(uintptr_t)l; /* its first member */
}

static struct told *new_link(struct node *n) {
    struct told *t = &n->links[n->link_count++];
    *t = (struct told){.known = true, .frame_bytes = n->frame_bytes};
    return t;
}

struct link *node_link_accepted(struct node *n) {
    struct told *t = new_link(n);
    t->accepted = true;
    return &t->link;
}

void node_link_connected(struct node *n, struct link *l) {
    struct told *t = told_of(l);
    (void)n;
    CHECK(t->known && !t->connected && !t->accepted);
    t->connected = true;
}

size_t node_link_received(struct node *n, struct link *l, struct slice bytes) {
    struct told *t = told_of(l);
    (void)n;
    CHECK(t->known && bytes.len > 0);
    size_t taken = bytes.len - bytes.len % t->frame_bytes;
    buffer_put(&t->got, (struct slice){bytes.at, taken});
    return taken;
}

void node_link_closed(struct node *n, struct link *l, bool refused) {
    struct told *t = told_of(l);
    (void)n;
    CHECK(t->known);
    t->known = false;
    t->closed = true;
    t->refused = refused;
}

struct slice node_link_output(const struct link *l) {
    struct told *t = told_of(l);
    CHECK(t->known);
    return buffer_slice(&t->out);
}

void node_link_sent(struct node *n, struct link *l, size_t bytes) {
    struct told *t = told_of(l);
    (void)n;
    CHECK(t->known && bytes > 0 && bytes <= t->out.len);
    memmove(t->out.at, t->out.at + bytes, t->out.len - bytes);
    t->out.len -= bytes;
}

bool node_take_order(struct node *n, struct link_order *order) {
    if (n->orders_taken == n->order_count) return false;
    *order = n->orders[n->orders_taken++];
    if (order->kind == LINK_CLOSE) told_of(order->link)->known = false;
    return true;
}

static struct told *order_dial(struct node *n, struct address to) {
    struct told *t = new_link(n);
    n->orders[n->order_count++] = (struct link_order){LINK_DIAL, &t->link, to};
    return t;
}

static void order_close(struct node *n, struct told *t) {
    n->orders[n->order_count++] = (struct link_order){.kind = LINK_CLOSE, .link = &t->link};
}

/* ---- Two sides and a loop ---- */

#define PORT_OFFSET 1000

struct side {
    struct node node;
    struct links *links;
    const struct gate *gate;
    struct address address;
};

static struct reactor *reactor;
static struct side a, b;
static uint32_t network; /* 127.x.y.0, of this process */

static struct address address_at(uint32_t host, uint16_t port) {
    char text[32];
    uint32_t ipv4 = network + host;
    snprintf(text, sizeof text, "%u.%u.%u.%u:%u", ipv4 >> 24, ipv4 >> 16 & 255, ipv4 >> 8 & 255,
             ipv4 & 255, port);
    return kit_address(text);
}

static void side_open(struct side *s, uint32_t host) {
    s->node = (struct node){.frame_bytes = 1};
    s->address = address_at(host, 20000);
    struct links_config config = {.bind_ipv4 = s->address.ipv4,
                                  .port = 20000 + PORT_OFFSET,
                                  .peer_port_offset = PORT_OFFSET,
                                  .gate = s->gate};
    s->links = links_create(reactor, &s->node, &config);
    if (s->links == NULL) {
        perror("test_links: cannot listen on loopback");
        exit(1);
    }
}

static void side_close(struct side *s) {
    links_free(s->links);
    for (uint32_t i = 0; i < s->node.link_count; i++) {
        buffer_free(&s->node.links[i].out);
        buffer_free(&s->node.links[i].got);
    }
}

static void open_both(void) {
    reactor = reactor_create();
    side_open(&a, 1);
    side_open(&b, 2);
}

static void close_both(void) {
    side_close(&a);
    side_close(&b);
    reactor_free(reactor);
}

static bool (*awaited)(void);
static uint64_t give_up_ms;
static bool came;

static void on_start(struct turn *t) {
    (void)t;
}

static void on_end(struct turn *t) {
    (void)t;
    links_turn_end(a.links);
    links_turn_end(b.links);
    came = awaited != NULL && awaited();
    if (came || reactor_now_ms(reactor) >= give_up_ms) reactor_stop(reactor);
}

static void on_tick(struct timer *t) {
    reactor_set_timer(reactor, t, reactor_now_ms(reactor) + 1);
}

static void run_ms(bool (*condition)(void), uint64_t ms) {
    struct turn turn = {on_start, on_end};
    struct timer tick = TIMER_INIT(on_tick);
    awaited = condition;
    give_up_ms = reactor_now_ms(reactor) + ms;
    on_tick(&tick);
    reactor_run(reactor, &turn);
    reactor_cancel_timer(reactor, &tick);
}

static bool await(bool (*condition)(void)) {
    run_ms(condition, 5000);
    return came;
}

/* ---- Conditions ---- */

static struct told *dialled; /* by a */

static struct told *answering(void) {
    return &b.node.links[0];
}

static bool is_connected(void) {
    return dialled->connected && b.node.link_count > 0;
}

static bool is_closed(void) {
    return dialled->closed;
}

static bool other_is_closed(void) {
    return answering()->closed;
}

static size_t bytes_due;

static bool all_arrived(void) {
    return answering()->got.len >= bytes_due;
}

static bool connect_both(void) {
    dialled = order_dial(&a.node, b.address);
    return CHECK(await(is_connected));
}

/* ---- Tests ---- */

static void a_dial_connects_and_both_sides_may_speak(void) {
    open_both();
    if (connect_both()) {
        CHECK(answering()->accepted);
        buffer_put(&dialled->out, SLICE("hello"));
        buffer_put(&answering()->out, SLICE("welcome"));
        run_ms(NULL, 20);
        CHECK_TEXT(buffer_slice(&answering()->got), "hello");
        CHECK_TEXT(buffer_slice(&dialled->got), "welcome");
    }
    close_both();
}

static void a_name_is_looked_up_and_dialled(void) {
    open_both();
    struct side local = {.node.frame_bytes = 1};
    struct links_config config = {
        .bind_ipv4 = 0x7f000001, .port = 0, .peer_port_offset = PORT_OFFSET};
    for (config.port = 21000; local.links == NULL && config.port < 21100; config.port++)
        local.links = links_create(reactor, &local.node, &config);
    char text[32];
    snprintf(text, sizeof text, "localhost:%u", config.port - 1 - PORT_OFFSET);
    dialled = order_dial(&a.node, kit_address(text));
    order_dial(&b.node, kit_address("no-such-name.invalid:1")); /* it is told in its own time */
    run_ms(NULL, 1);
    for (int i = 0; i < 500 && !dialled->connected; i++)
        run_ms(NULL, 10);
    CHECK(dialled->connected);
    CHECK_U64(local.node.link_count, 1);
    side_close(&local);
    close_both();
}

static void a_dial_that_nobody_answers_is_refused(void) {
    open_both();
    dialled = order_dial(&a.node, address_at(3, 20000));
    CHECK(await(is_closed));
    CHECK(dialled->refused && !dialled->connected);
    close_both();
}

static void a_port_that_does_not_exist_is_closed_and_not_refused(void) {
    open_both();
    dialled = order_dial(&a.node, address_at(2, 65535));
    CHECK(await(is_closed));
    CHECK(!dialled->refused && !dialled->connected);
    close_both();
}

static void a_dial_may_be_given_up_at_any_time(void) {
    open_both();
    order_close(&a.node, order_dial(&a.node, b.address)); /* both orders in one turn */
    order_close(&a.node, order_dial(&a.node, kit_address("localhost:1")));
    order_close(&a.node, order_dial(&a.node, address_at(2, 65535)));
    struct told *late = order_dial(&a.node, kit_address("localhost:2"));
    run_ms(NULL, 0);
    if (late->known) order_close(&a.node, late);
    run_ms(NULL, 50);
    for (uint32_t i = 0; i < a.node.link_count; i++)
        CHECK(!a.node.links[i].known && !a.node.links[i].connected);
    close_both();
}

static void the_last_word_before_a_close_arrives(void) {
    open_both();
    if (connect_both()) {
        buffer_put(&dialled->out, SLICE("goodbye"));
        order_close(&a.node, dialled);
        CHECK(await(other_is_closed));
        CHECK(!answering()->refused && !dialled->closed);
        CHECK_TEXT(buffer_slice(&answering()->got), "goodbye");
    }
    close_both();
}

static void a_link_whose_other_side_is_gone_is_closed_once(void) {
    open_both();
    if (connect_both()) {
        order_close(&b.node, answering());
        CHECK(await(is_closed));
        CHECK(!dialled->refused);
        run_ms(NULL, 20); /* a second time would fail the check in node_link_closed() */
    }
    close_both();
}

static void sending_to_a_side_that_is_gone_closes_the_link(void) {
    open_both();
    if (connect_both()) {
        buffer_put(&answering()->out, SLICE("not read")); /* makes a reset of the close */
        links_turn_end(b.links);
        order_close(&b.node, answering());
        links_turn_end(b.links);
        for (int i = 0; i < 3; i++) {
            buffer_put(&dialled->out, SLICE("hello"));
            links_turn_end(a.links); /* no events in between */
        }
        CHECK(!dialled->closed);
        CHECK(await(is_closed));
    }
    close_both();
}

static void fill(struct buffer *out, size_t bytes, uint64_t seed) {
    struct kit_random random = {seed};
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t word = kit_next(&random);
        buffer_put(out, (struct slice){(const char *)&word, 8});
    }
}

/* Much more than sockets hold, taken in frames of several sizes: some shorter than a read, some
 * many reads long. */
static void many_bytes_arrive_in_order_whatever_the_frames(void) {
    static const size_t frames[] = {1, 7, 4096, 300000, 9 << 20};
    struct buffer sent = {0};
    bytes_due = 18 << 20;
    fill(&sent, bytes_due, 5);
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++) {
        open_both();
        b.node.frame_bytes = frames[i];
        if (connect_both()) {
            size_t tail = bytes_due % frames[i];
            buffer_put(&dialled->out, buffer_slice(&sent));
            bytes_due -= tail;
            kit_note("frames of %zu bytes", frames[i]);
            CHECK(!links_all_sent(a.links));
            CHECK(await(all_arrived));
            CHECK(links_all_sent(a.links));
            CHECK_U64(answering()->got.len, bytes_due);
            CHECK(memcmp(answering()->got.at, sent.at, bytes_due) == 0);
            bytes_due += tail;
        }
        close_both();
    }
    buffer_free(&sent);
}

/* Where a log is kept: a round of it is under way for what was appended before. */
static void nothing_leaves_before_what_it_tells_of_is_safe(void) {
    struct gate gate = {0};
    a.gate = &gate;
    open_both();
    if (connect_both()) {
        gate.appended = gate.flying = 10;
        buffer_put(&dialled->out, SLICE("first "));
        run_ms(NULL, 10);
        gate.appended = 20;
        buffer_put(&dialled->out, SLICE("second "));
        run_ms(NULL, 10);
        CHECK_TEXT(buffer_slice(&answering()->got), "");
        CHECK(!links_all_sent(a.links));

        gate.safe = 10; /* that round has ended, and the next begins */
        gate.flying = 20;
        buffer_put(&dialled->out, SLICE("with it "));
        bytes_due = 6;
        CHECK(await(all_arrived));
        CHECK_TEXT(buffer_slice(&answering()->got), "first ");
        gate.appended = 30;
        buffer_put(&dialled->out, SLICE("third"));
        run_ms(NULL, 10);
        CHECK_TEXT(buffer_slice(&answering()->got), "first ");
        gate.safe = 20;
        gate.flying = 30;
        bytes_due = 21;
        CHECK(await(all_arrived));
        CHECK_TEXT(buffer_slice(&answering()->got), "first second with it ");
        gate.safe = 30;
        bytes_due = 26;
        CHECK(await(all_arrived));
        CHECK_TEXT(buffer_slice(&answering()->got), "first second with it third");
        CHECK(links_all_sent(a.links));
    }
    close_both();
    a.gate = NULL;
}

static void a_second_listener_on_the_port_is_an_error(void) {
    open_both();
    struct links_config config = {
        .bind_ipv4 = b.address.ipv4, .port = 20000 + PORT_OFFSET, .peer_port_offset = PORT_OFFSET};
    CHECK(links_create(reactor, &a.node, &config) == NULL);
    CHECK(errno == EADDRINUSE);
    close_both();
}

int main(void) {
    network = 0x7f000000u | ((uint32_t)getpid() & 0xffff) << 8;
    RUN(a_dial_connects_and_both_sides_may_speak);
    RUN(a_name_is_looked_up_and_dialled);
    RUN(a_dial_that_nobody_answers_is_refused);
    RUN(a_port_that_does_not_exist_is_closed_and_not_refused);
    RUN(a_dial_may_be_given_up_at_any_time);
    RUN(the_last_word_before_a_close_arrives);
    RUN(a_link_whose_other_side_is_gone_is_closed_once);
    RUN(sending_to_a_side_that_is_gone_closes_the_link);
    RUN(many_bytes_arrive_in_order_whatever_the_frames);
    RUN(nothing_leaves_before_what_it_tells_of_is_safe);
    RUN(a_second_listener_on_the_port_is_an_error);
    return kit_finish();
}
