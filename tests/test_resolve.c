/* Names looked up beside the loop. In place of the machine's getaddrinfo() stands one that knows
 * "localhost", and names that begin with "slow" only when it is told to go on; no others. */
#include "kit.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../resolve.h"

static struct reactor *reactor;
static struct resolver *resolver;

/* ---- Names ---- */

static atomic_bool slow_names_hang;
static atomic_int times_asked;

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
    (void)service, (void)hints;
    times_asked++;
    bool slow = strncmp(name, "slow", 4) == 0;
    while (slow && slow_names_hang)
        usleep(1000);
    if (!slow && strcmp(name, "localhost") != 0) return EAI_NONAME;
    struct sockaddr_in *address = calloc(1, sizeof *address);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *found = calloc(1, sizeof **found);
    (*found)->ai_addr = (struct sockaddr *)address;
    return 0;
}

void freeaddrinfo(struct addrinfo *found) {
    free(found->ai_addr);
    free(found);
}

/* ---- A loop that ends when nothing is awaited any more ---- */

struct waiting {
    struct lookup lookup;
    bool called, found;
    uint32_t ipv4;
    struct waiting *cancels, *starts; /* what on_found() does to others; NULL: nothing */
};

static int awaited;

static void on_found(struct lookup *l, bool found, uint32_t ipv4) {
    struct waiting *w = CONTAINER_OF(l, struct waiting, lookup);
    CHECK(!w->called);
    w->called = true;
    w->found = found;
    w->ipv4 = ipv4;
    if (w->cancels != NULL) resolver_cancel(resolver, &w->cancels->lookup);
    if (w->starts != NULL) {
        CHECK(resolver_start(resolver, &w->starts->lookup, SLICE("localhost")));
        awaited++;
    }
    if (--awaited == 0) reactor_stop(reactor);
}

static void on_start(struct turn *t) {
    (void)t;
}

static void on_end(struct turn *t) {
    (void)t;
}

static void await(int count) {
    struct turn turn = {on_start, on_end};
    awaited = count;
    if (count > 0) reactor_run(reactor, &turn);
}

static void on_time(struct timer *t) {
    (void)t;
    reactor_stop(reactor);
}

static void run_for_ms(uint64_t ms) {
    struct turn turn = {on_start, on_end};
    struct timer timer = TIMER_INIT(on_time);
    reactor_set_timer(reactor, &timer, reactor_now_ms(reactor) + ms);
    reactor_run(reactor, &turn);
}

static struct waiting waiting(void) {
    return (struct waiting){.lookup.on_found = on_found};
}

static bool start(struct waiting *w, const char *name) {
    return resolver_start(resolver, &w->lookup, slice_of(name));
}

/* ---- Tests ---- */

static void localhost_is_found(void) {
    struct waiting w = waiting();
    CHECK(start(&w, "localhost"));
    await(1);
    CHECK(w.called && w.found);
    CHECK_U64(w.ipv4, INADDR_LOOPBACK);
}

static void what_is_no_name_is_not_found(void) {
    struct waiting w = waiting();
    CHECK(start(&w, "no name"));
    await(1);
    CHECK(w.called && !w.found);
}

static void all_who_ask_for_one_name_get_the_answer(void) {
    struct waiting w[50];
    for (int i = 0; i < 50; i++) {
        w[i] = waiting();
        CHECK(start(&w[i], i % 5 == 0 ? "no name" : "localhost"));
    }
    await(50);
    for (int i = 0; i < 50; i++) {
        CHECK(w[i].called);
        CHECK(w[i].found == (i % 5 != 0));
    }
}

static void a_cancelled_lookup_is_never_called(void) {
    struct waiting gone = waiting(), other = waiting();
    CHECK(start(&gone, "localhost"));
    CHECK(start(&other, "localhost"));
    resolver_cancel(resolver, &gone.lookup);
    resolver_cancel(resolver, &gone.lookup); /* again: nothing happens */
    await(1);
    run_for_ms(20);
    CHECK(other.called && !gone.called);
}

static void a_name_that_nobody_waits_for_any_more_is_forgotten(void) {
    for (int i = 0; i < 10 * RESOLVE_NAMES_MAX; i++) {
        struct waiting w = waiting();
        char name[32];
        snprintf(name, sizeof name, "no name %d", i);
        if (!CHECK(start(&w, name))) return;
        resolver_cancel(resolver, &w.lookup);
        if (i % 64 == 0) run_for_ms(1);
    }
    run_for_ms(20);
    localhost_is_found();
}

static void more_names_than_the_limit_are_refused(void) {
    static struct waiting w[RESOLVE_NAMES_MAX + 1];
    char name[32];
    for (int i = 0; i <= RESOLVE_NAMES_MAX; i++) {
        w[i] = waiting();
        snprintf(name, sizeof name, "no name %d", i);
        CHECK(start(&w[i], name) == (i < RESOLVE_NAMES_MAX));
    }
    CHECK(w[RESOLVE_NAMES_MAX].lookup.question == NULL);
    await(RESOLVE_NAMES_MAX);
    CHECK(start(&w[RESOLVE_NAMES_MAX], "localhost"));
    await(1);
}

static void a_name_longer_than_any_is_refused(void) {
    char name[RESOLVE_NAME_MAX + 2];
    struct waiting w = waiting();
    memset(name, 'a', sizeof name);
    CHECK(!resolver_start(resolver, &w.lookup, (struct slice){name, RESOLVE_NAME_MAX + 1}));
    CHECK(resolver_start(resolver, &w.lookup, (struct slice){name, RESOLVE_NAME_MAX}));
    resolver_cancel(resolver, &w.lookup);
}

static void a_callback_may_cancel_and_start_others(void) {
    struct waiting w[3] = {waiting(), waiting(), waiting()};
    CHECK(start(&w[0], "localhost"));
    CHECK(start(&w[1], "localhost"));
    w[0].cancels = &w[1]; /* whichever is called first cancels the other */
    w[1].cancels = &w[0];
    w[0].starts = w[1].starts = &w[2];
    await(1);
    CHECK(w[0].called != w[1].called);
    CHECK(w[2].called && w[2].found);
}

static void a_resolver_can_be_freed_while_a_name_is_looked_up(void) {
    for (int i = 0; i < 20; i++) {
        struct resolver *s = resolver_create(reactor);
        struct waiting w = waiting();
        CHECK(resolver_start(s, &w.lookup, SLICE("localhost")));
        if (i % 2 == 0) usleep(100);
        resolver_cancel(s, &w.lookup);
        resolver_free(s);
        CHECK(!w.called);
    }
    usleep(50000); /* the threads free the rest */
}

static void a_name_that_hangs_does_not_hold_up_the_others(void) {
    struct waiting slow[RESOLVE_THREADS_MAX - 1], w = waiting();
    slow_names_hang = true;
    for (int i = 0; i < RESOLVE_THREADS_MAX - 1; i++) {
        char name[32];
        snprintf(name, sizeof name, "slow%d", i);
        slow[i] = waiting();
        CHECK(start(&slow[i], name));
    }
    CHECK(start(&w, "localhost"));
    await(1);
    CHECK(w.called && w.found);
    slow_names_hang = false;
    await(RESOLVE_THREADS_MAX - 1);
    for (int i = 0; i < RESOLVE_THREADS_MAX - 1; i++)
        CHECK(slow[i].called && slow[i].found);
}

/* As when a link is dialled again and again, and given up each time before the answer comes. */
static void an_answer_that_comes_late_serves_who_asks_then(void) {
    struct waiting w = waiting();
    slow_names_hang = true;
    times_asked = 0;
    for (int i = 0; i < 20; i++) {
        CHECK(start(&w, "slow"));
        run_for_ms(2);
        resolver_cancel(resolver, &w.lookup);
    }
    CHECK(start(&w, "slow"));
    CHECK(!w.called);
    slow_names_hang = false;
    await(1);
    CHECK(w.called && w.found);
    CHECK_U64((uint64_t)times_asked, 1);
}

static void nothing_is_remembered_when_a_name_was_found(void) {
    struct waiting w = waiting();
    times_asked = 0;
    for (int i = 0; i < 3; i++) {
        w.called = false;
        CHECK(start(&w, "localhost"));
        await(1);
        CHECK(w.called && w.found);
    }
    CHECK_U64((uint64_t)times_asked, 3);
}

static void a_resolver_can_be_freed_while_all_its_threads_hang(void) {
    struct resolver *s = resolver_create(reactor);
    struct waiting w[RESOLVE_THREADS_MAX + 2];
    slow_names_hang = true;
    for (int i = 0; i < RESOLVE_THREADS_MAX + 2; i++) {
        char name[32];
        snprintf(name, sizeof name, "slow%d", i);
        w[i] = waiting();
        CHECK(resolver_start(s, &w[i].lookup, slice_of(name)));
    }
    usleep(10000);
    for (int i = 0; i < RESOLVE_THREADS_MAX + 2; i++)
        resolver_cancel(s, &w[i].lookup);
    resolver_free(s);
    slow_names_hang = false;
    usleep(50000); /* the threads free the rest */
}

/* How the machine's getaddrinfo() is told so; the container tests measure what comes of it. */
static void a_silent_name_server_is_asked_again_after_a_second_unless_told_otherwise(void) {
    CHECK_TEXT(slice_of(getenv("RES_OPTIONS")), "timeout:1");
    setenv("RES_OPTIONS", "timeout:9", true);
    resolver_free(resolver_create(reactor));
    CHECK_TEXT(slice_of(getenv("RES_OPTIONS")), "timeout:9");
}

int main(void) {
    unsetenv("RES_OPTIONS");
    reactor = reactor_create();
    resolver = resolver_create(reactor);
    RUN(localhost_is_found);
    RUN(what_is_no_name_is_not_found);
    RUN(nothing_is_remembered_when_a_name_was_found);
    RUN(all_who_ask_for_one_name_get_the_answer);
    RUN(a_cancelled_lookup_is_never_called);
    RUN(a_name_that_nobody_waits_for_any_more_is_forgotten);
    RUN(more_names_than_the_limit_are_refused);
    RUN(a_name_longer_than_any_is_refused);
    RUN(a_callback_may_cancel_and_start_others);
    RUN(a_name_that_hangs_does_not_hold_up_the_others);
    RUN(an_answer_that_comes_late_serves_who_asks_then);
    RUN(a_resolver_can_be_freed_while_a_name_is_looked_up);
    RUN(a_resolver_can_be_freed_while_all_its_threads_hang);
    RUN(a_silent_name_server_is_asked_again_after_a_second_unless_told_otherwise);
    resolver_free(resolver);
    reactor_free(reactor);
    return kit_finish();
}
