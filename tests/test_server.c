/* Connections of clients: their limits; and where a log is kept, the gate (gate.h) decides what
 * leaves. The node is a real one that is alone; the log is this test, which says when it is safe.
 */
#include "kit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../durable.h"
#include "../server.h"

#define RUN_TURNS 12 /* a millisecond apart at least: enough for what is on loopback */

static struct reactor *reactor;
static struct node *node;
static struct server *server;
static struct gate gate;
static struct greed greed;
static struct log_stats stats;
static bool is_log_free; /* what is appended is safe at once, as with FSYNC=everysec */
static uint16_t port;
static int turns_left;

/* ---- The loop of startup.c ---- */

static void on_start(struct turn *t) {
    (void)t;
    node_set_time(node, reactor_now_ms(reactor), reactor_wall_ms(reactor));
}

static void append(void) {
    gate.appended += node_journal(node).len;
    node_journal_taken(node);
    if (is_log_free) gate.safe = gate.flying = gate.appended;
}

static void on_end(struct turn *t) {
    (void)t;
    server_turn_end(server);
    node_end_turn(node);
    append();
    server_release(server);
    if (--turns_left <= 0) reactor_stop(reactor);
}

static void on_tick(struct timer *t) {
    reactor_set_timer(reactor, t, reactor_now_ms(reactor) + 1);
}

static void run(void) {
    struct turn turn = {on_start, on_end};
    struct timer tick = TIMER_INIT(on_tick);
    turns_left = RUN_TURNS;
    on_tick(&tick);
    reactor_run(reactor, &turn);
    reactor_cancel_timer(reactor, &tick);
}

static void begin_within(uint32_t connections, uint32_t per_client, uint64_t buffered_bytes) {
    struct node_config config = kit_node_config();
    config.keeps_journal = true;
    reactor = reactor_create();
    node = node_create(&config, reactor_now_ms(reactor), reactor_wall_ms(reactor));
    node_recovered(node, false);
    greed_init(&greed, reactor);
    gate = (struct gate){0};
    is_log_free = true;
    struct server_config server_config = {
        .bind_ipv4 = 0x7f000001,
        .request_ms = 10000,
        .stall_ms = 10000,
        .idle_ms = 10000,
        .connections_max = connections,
        .per_client_max = per_client,
        .buffered_bytes_max = buffered_bytes,
        .greed = &greed,
        .gate = &gate,
        .log = &stats,
    };
    for (server_config.port = 21000; server == NULL && server_config.port < 22000;)
        server = server_create(reactor, node, &server_config), port = server_config.port++;
    CHECK(server != NULL);
    run();
    is_log_free = false;
}

static void begin(void) {
    begin_within(1000, 1000, 1 << 30);
}

static void end(void) {
    server_free(server);
    server = NULL;
    node_free(node);
    greed_free(&greed);
    reactor_free(reactor);
}

/* ---- A client ---- */

static int dial(void) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(0x7f000001)};
    CHECK(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    return fd;
}

static void ask(int fd, const char *verb, const char *key, const char *value) {
    char text[512], body[128] = "";
    if (value != NULL) snprintf(body, sizeof body, "{\"value\":%s}", value);
    int len = snprintf(text, sizeof text,
                       "%s /kvs/%s HTTP/1.1\r\nHost: kvs\r\nContent-Length: %zu\r\n\r\n%s", verb,
                       key, strlen(body), body);
    CHECK(send(fd, text, (size_t)len, MSG_NOSIGNAL) == len);
}

/* How many answers of that kind have come since the last call; -1: the connection is closed. */
static int answers(int fd, const char *like) {
    char text[65536];
    ssize_t len = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);
    if (len == 0) return -1;
    text[len > 0 ? len : 0] = '\0';
    int count = 0;
    for (const char *at = text; (at = strstr(at, like)) != NULL; at++)
        count++;
    return count;
}

/* A request of so many bytes, of which `sent` are sent. */
static void ask_big(int fd, const char *key, size_t bytes, size_t sent) {
    char *text = bytes_alloc(bytes + 200);
    size_t body = bytes + sizeof "{'value':''}" - 1;
    int head = snprintf(text, 200,
                        "PUT /kvs/%s HTTP/1.1\r\nHost: kvs\r\nContent-Length: %zu\r\n\r\n"
                        "{\"value\":\"",
                        key, body);
    memset(text + head, 'v', bytes);
    memcpy(text + head + bytes, "\"}", 2);
    size_t len = sent < bytes ? sent : (size_t)head + bytes + 2;
    CHECK(send(fd, text, len, MSG_NOSIGNAL) == (ssize_t)len);
    free(text);
}

/* While nothing is held. */
static uint64_t metric(const char *name) {
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: kvs\r\n\r\n";
    static char text[65536];
    uint64_t value = UINT64_MAX;
    char line[128];
    int fd = dial();
    CHECK(send(fd, request, sizeof request - 1, 0) == sizeof request - 1);
    run();
    ssize_t len = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);
    text[len > 0 ? len : 0] = '\0';
    snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr(text, line);
    if (CHECK(at != NULL)) value = strtoull(at + strlen(line), NULL, 10);
    close(fd);
    run();
    return value;
}

static void let_pass(uint64_t bytes) {
    gate.safe = gate.flying = bytes;
    run();
}

/* ---- Facts ---- */

static void a_write_is_answered_when_it_is_safe(void) {
    begin();
    int fd = dial();
    ask(fd, "PUT", "k", "1");
    run();
    CHECK(gate.appended > gate.safe);
    CHECK(answers(fd, "HTTP/1.1") == 0);
    let_pass(gate.appended - 1);
    CHECK(answers(fd, "HTTP/1.1") == 0);
    let_pass(gate.appended);
    CHECK(answers(fd, "HTTP/1.1 201") == 1);
    close(fd);
    end();
}

static void a_read_of_what_is_not_safe_waits_and_others_do_not(void) {
    begin();
    int writer = dial(), reader = dial();
    ask(reader, "GET", "k", NULL);
    run();
    CHECK(answers(reader, "HTTP/1.1 404") == 1);
    ask(writer, "PUT", "k", "1");
    run();
    ask(reader, "GET", "k", NULL);
    run();
    CHECK(answers(reader, "HTTP/1.1") == 0);
    let_pass(gate.appended);
    CHECK(answers(writer, "HTTP/1.1 201") == 1);
    CHECK(answers(reader, "HTTP/1.1 200") == 1);
    ask(reader, "GET", "k", NULL);
    run();
    CHECK(answers(reader, "HTTP/1.1 200") == 1);
    close(writer);
    close(reader);
    end();
}

/* Each round lets go what was asked before it, and the connections go on. */
static void held_connections_read_on_when_they_have_their_answers(void) {
    begin();
    int fd = dial();
    for (int i = 0; i < 5; i++)
        ask(fd, "PUT", "k", "1");
    run();
    ask(fd, "PUT", "later", "2");
    ask(fd, "GET", "later", NULL);
    run();
    CHECK(answers(fd, "HTTP/1.1") == 0);
    let_pass(gate.appended);
    CHECK(answers(fd, "HTTP/1.1 20") == 5);
    CHECK(gate.appended > gate.safe);
    let_pass(gate.appended);
    CHECK(answers(fd, "HTTP/1.1 20") == 2);
    close(fd);
    end();
}

static void many_clients_are_let_go_in_the_order_of_their_rounds(void) {
    enum { CLIENTS = 40 };
    int fds[CLIENTS];
    uint64_t due[CLIENTS];
    begin();
    for (int i = 0; i < CLIENTS; i++) {
        char key[16];
        snprintf(key, sizeof key, "key-%d", i);
        fds[i] = dial();
        ask(fds[i], "PUT", key, "1");
        run();
        due[i] = gate.appended;
    }
    for (int i = 0; i < CLIENTS; i += 4) {
        let_pass(due[i]);
        for (int k = 0; k < CLIENTS; k++)
            CHECK(answers(fds[k], "HTTP/1.1 201") == (k <= i && k > i - 4));
    }
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    end();
}

static void a_client_that_leaves_while_it_is_held_is_forgotten(void) {
    begin();
    int first = dial();
    ask(first, "PUT", "k", "1");
    run();
    uint64_t due = gate.appended;
    struct linger reset = {1, 0};
    setsockopt(first, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(first);
    run();
    int second = dial(); /* on the same descriptor, there */
    ask(second, "PUT", "k", "2");
    run();
    let_pass(due);
    CHECK(answers(second, "HTTP/1.1") == 0);
    let_pass(gate.appended);
    CHECK(answers(second, "HTTP/1.1 200") == 1);
    close(second);
    end();
}

static void when_a_disk_breaks_nobody_is_told_what_it_may_have_lost_and_reads_go_on(void) {
    begin();
    int writer = dial(), reader = dial();
    ask(writer, "PUT", "k", "1");
    run();
    gate.is_broken = true;
    gate.appended++;
    run();
    CHECK(answers(writer, "HTTP/1.1") == -1);
    ask(reader, "GET", "k", NULL);
    run();
    CHECK(answers(reader, "HTTP/1.1 200") == 1);
    close(writer);
    close(reader);
    end();
}

static void with_a_log_that_is_safe_at_once_answers_leave_in_their_turn(void) {
    begin();
    is_log_free = true;
    int fd = dial();
    for (int i = 0; i < 3; i++) {
        ask(fd, "PUT", "k", "1");
        ask(fd, "GET", "k", NULL);
        run();
        CHECK(answers(fd, "HTTP/1.1 20") == 2);
    }
    close(fd);
    end();
}

static void a_server_that_stops_lets_go_of_those_that_are_held(void) {
    begin();
    int held = dial(), idle = dial();
    run();
    ask(held, "PUT", "k", "1");
    run();
    server_stop(server);
    run();
    CHECK(answers(idle, "HTTP/1.1") == -1);
    CHECK(answers(held, "HTTP/1.1") == 0);
    let_pass(gate.appended);
    run();
    CHECK(answers(held, "HTTP/1.1 201") == 1);
    run();
    CHECK(answers(held, "HTTP/1.1") == -1);
    close(held);
    close(idle);
    end();
}

/* ---- Limits ---- */

enum { CLIENTS = 6, BIG = 10000 };

static void dial_all(int fds[CLIENTS]) {
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = dial();
    run();
}

static void close_all(const int fds[CLIENTS]) {
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    run();
}

static void no_more_than_so_many_connections_are_let_in(void) {
    int fds[CLIENTS];
    begin_within(4, 100, 1 << 20);
    for (int round = 0; round < 3; round++) {
        dial_all(fds);
        for (int i = 0; i < CLIENTS; i++)
            CHECK(answers(fds[i], "HTTP/1.1 503") == (i >= 4));
        for (int i = 4; i < CLIENTS; i++)
            CHECK(answers(fds[i], "HTTP/1.1") == -1);
        ask(fds[3], "GET", "k", NULL);
        run();
        CHECK(answers(fds[3], "HTTP/1.1 404") == 1);
        close_all(fds);
    }
    CHECK_U64(metric("kvs_connections_refused_total"), 6);
    CHECK_U64(metric("kvs_connections_open"), 1);
    end();
}

static void no_more_than_so_many_of_one_address_are_let_in(void) {
    int fds[CLIENTS];
    begin_within(100, 4, 1 << 20);
    for (int round = 0; round < 3; round++) {
        dial_all(fds);
        for (int i = 0; i < CLIENTS; i++)
            CHECK(answers(fds[i], "HTTP/1.1 429") == (i >= 4));
        close_all(fds);
    }
    CHECK_U64(metric("kvs_connections_per_client_refused_total"), 6);
    CHECK_U64(metric("kvs_clients_full"), 0);
    end();
}

/* Half of the budget is for whoever comes first: here three of them. */
#define BUDGET (6 * BIG)

static void requests_that_are_not_complete_count(void) {
    int fds[CLIENTS];
    begin_within(60, 60, BUDGET);
    is_log_free = true;
    dial_all(fds);
    for (int i = 0; i < CLIENTS; i++) {
        ask_big(fds[i], "big", BIG * 2, BIG + 1);
        run();
    }
    for (int i = 0; i < CLIENTS; i++)
        CHECK(answers(fds[i], "Too much is buffered") == (i >= 3));
    CHECK(metric("kvs_buffered_bytes") >= 3 * BIG);
    CHECK(metric("kvs_buffered_bytes") <= 3 * BIG + 2000);
    CHECK_U64(metric("kvs_buffered_refused_total"), 3);
    int other = dial();
    ask(other, "PUT", "k", "1");
    run();
    CHECK(answers(other, "HTTP/1.1 201") == 1);
    close(other);
    close_all(fds);
    CHECK_U64(metric("kvs_buffered_bytes"), 0);
    end();
}

/* What the first ones have got to know is not safe yet; it counts in the turn in which it was put
 * aside, and in later ones. */
static void check_answers_that_wait(bool at_once) {
    int fds[CLIENTS];
    begin_within(60, 60, BUDGET);
    is_log_free = true;
    dial_all(fds);
    ask_big(fds[0], "big", BIG, BIG);
    run();
    CHECK(answers(fds[0], "HTTP/1.1 201") == 1);
    is_log_free = false;
    ask(fds[0], "PUT", "k", "1");
    for (int i = 1; i < CLIENTS; i++) {
        ask(fds[i], "GET", "big", NULL);
        if (!at_once) run();
    }
    run();
    int other = dial();
    ask(other, "GET", "k", NULL);
    run();
    let_pass(gate.appended);
    CHECK(answers(fds[0], "HTTP/1.1 201") == 1);
    int served = 0, closed = 0;
    for (int i = 1; i < CLIENTS; i++) {
        int count = answers(fds[i], "\"result\":\"found\"");
        served += count == 1;
        closed += count == -1;
    }
    CHECK_U64((uint64_t)served, 3);
    CHECK_U64((uint64_t)closed, 2);
    CHECK(answers(other, "HTTP/1.1 200") == 1);
    close(other);
    close_all(fds);
    is_log_free = true;
    CHECK_U64(metric("kvs_buffered_refused_total"), 2);
    CHECK_U64(metric("kvs_buffered_bytes"), 0);
    end();
}

static void answers_that_are_put_aside_in_a_turn_count(void) {
    check_answers_that_wait(true);
}

static void answers_that_wait_for_the_log_count(void) {
    check_answers_that_wait(false);
}

static void what_is_given_back_can_be_kept_by_others(void) {
    int fds[CLIENTS];
    begin_within(60, 60, BUDGET);
    is_log_free = true;
    for (int round = 0; round < 5; round++) {
        dial_all(fds);
        for (int i = 0; i < 3; i++)
            ask_big(fds[i], "big", BIG * 2, BIG + 1);
        run();
        for (int i = 0; i < 3; i++)
            CHECK(answers(fds[i], "HTTP/1.1") == 0);
        close_all(fds);
    }
    CHECK_U64(metric("kvs_buffered_refused_total"), 0);
    CHECK_U64(metric("kvs_buffered_bytes"), 0);
    end();
}

int main(void) {
    RUN(a_write_is_answered_when_it_is_safe);
    RUN(a_read_of_what_is_not_safe_waits_and_others_do_not);
    RUN(held_connections_read_on_when_they_have_their_answers);
    RUN(many_clients_are_let_go_in_the_order_of_their_rounds);
    RUN(a_client_that_leaves_while_it_is_held_is_forgotten);
    RUN(when_a_disk_breaks_nobody_is_told_what_it_may_have_lost_and_reads_go_on);
    RUN(with_a_log_that_is_safe_at_once_answers_leave_in_their_turn);
    RUN(a_server_that_stops_lets_go_of_those_that_are_held);
    RUN(no_more_than_so_many_connections_are_let_in);
    RUN(no_more_than_so_many_of_one_address_are_let_in);
    RUN(requests_that_are_not_complete_count);
    RUN(answers_that_are_put_aside_in_a_turn_count);
    RUN(answers_that_wait_for_the_log_count);
    RUN(what_is_given_back_can_be_kept_by_others);
    return kit_finish();
}
