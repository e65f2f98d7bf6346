/* Accepting on loopback, with and without descriptors to spend. */
#include "kit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/resource.h>

#include "../listener.h"

#define LOOPBACK       0x7f000001u
#define ACCEPTED_MAX   100
#define RUN_MS_LONGEST 5000

/* ---- An owner of connections, and a loop ---- */

static struct reactor *reactor;
static struct listener listener;
static struct sock accepted[ACCEPTED_MAX];
static size_t accepted_count, awaited_count;
static unsigned failures;
static int failure; /* the errno of the last one */
static uint64_t end_ms;

static void on_accept(struct listener *l, struct sock sock) {
    CHECK(l == &listener && accepted_count < ACCEPTED_MAX);
    accepted[accepted_count++] = sock;
}

static void on_failure(struct listener *l) {
    failure = errno;
    CHECK(l == &listener);
    failures++;
}

static bool open_at(uint16_t port) {
    listener = (struct listener){.on_accept = on_accept, .on_failure = on_failure};
    return listener_open(&listener, reactor, LOOPBACK, port);
}

static uint16_t port_of(const struct listener *l) {
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    CHECK(getsockname(l->watch.fd, (struct sockaddr *)&address, &size) == 0);
    return ntohs(address.sin_port);
}

static void begin(void) {
    accepted_count = 0;
    failures = 0;
    reactor = reactor_create();
    CHECK(open_at(0));
}

static void end(void) {
    for (size_t i = 0; i < accepted_count; i++)
        sock_close(&accepted[i]);
    listener_close(&listener);
    reactor_free(reactor);
}

static void on_start(struct turn *t) {
    (void)t;
}

static void on_end(struct turn *t) {
    (void)t;
    bool all = accepted_count >= awaited_count;
    if (all || reactor_now_ms(reactor) >= end_ms) reactor_stop(reactor);
}

static void on_tick(struct timer *t) {
    reactor_set_timer(reactor, t, reactor_now_ms(reactor) + 1);
}

/* Until so many are accepted, or for so long. */
static void run_until(size_t count, uint64_t ms) {
    struct turn turn = {on_start, on_end};
    struct timer tick = TIMER_INIT(on_tick);
    awaited_count = count;
    on_tick(&tick);
    end_ms = reactor_now_ms(reactor) + ms;
    reactor_run(reactor, &turn);
    reactor_cancel_timer(reactor, &tick);
}

static void connect_to(uint16_t port, struct sock *client) {
    CHECK(sock_connect(LOOPBACK, port, client));
}

/* ---- Tests ---- */

static void every_connection_is_handed_over(void) {
    struct sock clients[ACCEPTED_MAX];
    begin();
    for (int i = 0; i < ACCEPTED_MAX; i++)
        connect_to(port_of(&listener), &clients[i]);
    run_until(ACCEPTED_MAX, RUN_MS_LONGEST);
    CHECK_U64(accepted_count, ACCEPTED_MAX);
    CHECK_U64(failures, 0);
    for (int i = 0; i < ACCEPTED_MAX; i++)
        sock_close(&clients[i]);
    end();
}

static struct rlimit set_descriptor_limit(struct rlimit limit) {
    struct rlimit before;
    getrlimit(RLIMIT_NOFILE, &before);
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    return before;
}

/* Somebody connects when no descriptor is left; returns the limit as it was. */
static struct rlimit run_out_of_descriptors(struct sock *client, uint64_t ms) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    connect_to(port_of(&listener), client);
    limit.rlim_cur = 0;
    limit = set_descriptor_limit(limit);
    run_until(1, ms);
    CHECK_U64(accepted_count, 0);
    CHECK(failure == EMFILE);
    return limit;
}

static void without_descriptors_it_pauses_and_then_goes_on(void) {
    struct sock client;
    begin();
    struct rlimit limit = run_out_of_descriptors(&client, 5 * LISTENER_PAUSE_MS / 2);
    CHECK(failures >= 2 && failures <= 3); /* it tries again, and does not spin */
    set_descriptor_limit(limit);
    run_until(1, RUN_MS_LONGEST);
    CHECK_U64(accepted_count, 1);
    sock_close(&client);
    end();
}

static void descriptors_beyond_its_end_are_left_to_others(void) {
    struct sock clients[3], others[3];
    begin();
    for (int i = 0; i < 3; i++)
        connect_to(port_of(&listener), &clients[i]);
    listener.fd_end = clients[2].fd + 2; /* room for one */
    run_until(2, 5 * LISTENER_PAUSE_MS / 2);
    CHECK_U64(accepted_count, 1);
    CHECK(failures >= 1 && failures <= 3 && failure == EMFILE);
    for (int i = 0; i < 3; i++) /* somebody else can still have some */
        connect_to(port_of(&listener), &others[i]);
    run_until(2, 3 * LISTENER_PAUSE_MS / 2);
    CHECK_U64(accepted_count, 1);
    sock_close(&clients[0]);
    run_until(2, RUN_MS_LONGEST); /* who waited is served when one is free */
    CHECK_U64(accepted_count, 2);
    sock_close(&clients[1]);
    sock_close(&clients[2]);
    for (int i = 0; i < 3; i++)
        sock_close(&others[i]);
    end();
}

static void what_is_closed_during_a_pause_stays_closed(void) {
    struct sock client;
    begin();
    uint16_t port = port_of(&listener);
    set_descriptor_limit(run_out_of_descriptors(&client, LISTENER_PAUSE_MS / 2));
    CHECK_U64(failures, 1);
    listener_close(&listener);
    listener_close(&listener);
    run_until(1, 2 * LISTENER_PAUSE_MS);
    CHECK_U64(accepted_count, 0);
    CHECK(open_at(port));
    sock_close(&client);
    end();
}

static void a_port_that_is_taken_is_an_error(void) {
    begin();
    struct listener second = {.on_accept = on_accept, .on_failure = on_failure};
    errno = 0;
    CHECK(!listener_open(&second, reactor, LOOPBACK, port_of(&listener)));
    CHECK(errno == EADDRINUSE);
    listener_close(&second);
    end();
}

int main(void) {
    RUN(every_connection_is_handed_over);
    RUN(without_descriptors_it_pauses_and_then_goes_on);
    RUN(descriptors_beyond_its_end_are_left_to_others);
    RUN(what_is_closed_during_a_pause_stays_closed);
    RUN(a_port_that_is_taken_is_an_error);
    return kit_finish();
}
