/* The event loop: timers in order, events of a batch, and which of the two goes first. */
#include "kit.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../reactor.h"

/* ---- A loop that ends by itself ---- */

struct loop {
    struct turn turn;
    struct reactor *r;
    int turns_left;
    int starts, ends;
};

static void on_start(struct turn *t) {
    CONTAINER_OF(t, struct loop, turn)->starts++;
}

static void on_end(struct turn *t) {
    struct loop *l = CONTAINER_OF(t, struct loop, turn);
    l->ends++;
    if (--l->turns_left <= 0) reactor_stop(l->r);
}

static struct reactor *reactor;

static struct loop run_turns(int turns) {
    struct loop l = {.turn = {on_start, on_end}, .r = reactor, .turns_left = turns};
    reactor_run(reactor, &l.turn);
    return l;
}

/* ---- Timers ---- */

struct entry {
    struct timer timer;
    int number;
};

static int fired[1000];
static int fired_count;

static void on_timer(struct timer *t) {
    fired[fired_count++] = CONTAINER_OF(t, struct entry, timer)->number;
}

static void timers_fire_in_the_order_of_their_deadlines(void) {
    static const uint64_t deadlines[] = {50, 10, 40, 20, 30, 0};
    struct entry entries[6];
    fired_count = 0;
    for (int i = 0; i < 6; i++) {
        entries[i] = (struct entry){TIMER_INIT(on_timer), (int)deadlines[i]};
        reactor_set_timer(reactor, &entries[i].timer, deadlines[i]);
    }
    run_turns(1);
    CHECK_U64((uint64_t)fired_count, 6);
    for (int i = 0; i < fired_count; i++)
        CHECK_U64((uint64_t)fired[i], (uint64_t)i * 10);
    for (int i = 0; i < 6; i++)
        CHECK(entries[i].timer.deadline_ms == UINT64_MAX);
}

/* Timers are set, moved and cancelled at random; what fires is compared with a plain list. */
static void random_timers_fire_like_a_sorted_list(void) {
    enum { COUNT = 300 };
    struct kit_random random = {kit_seed()};
    for (int round = 0; round < 20; round++) {
        static struct entry entries[COUNT];
        uint64_t expected = 0;
        for (int i = 0; i < COUNT; i++)
            entries[i] = (struct entry){TIMER_INIT(on_timer), i};
        for (int step = 0; step < 2000; step++) {
            struct timer *t = &entries[kit_below(&random, COUNT)].timer;
            if (kit_below(&random, 3) == 0) {
                reactor_cancel_timer(reactor, t);
            } else {
                reactor_set_timer(reactor, t, kit_below(&random, 100));
            }
        }
        uint64_t deadlines[COUNT];
        for (int i = 0; i < COUNT; i++) {
            deadlines[i] = entries[i].timer.deadline_ms;
            expected += deadlines[i] != UINT64_MAX;
        }
        fired_count = 0;
        run_turns(1);
        kit_note("round %d", round);
        CHECK_U64((uint64_t)fired_count, expected);
        for (int i = 0; i < fired_count; i++) {
            CHECK(deadlines[fired[i]] != UINT64_MAX);
            CHECK(i == 0 || deadlines[fired[i - 1]] <= deadlines[fired[i]]);
        }
    }
}

static void a_timer_does_not_fire_before_its_time(void) {
    struct entry early = {TIMER_INIT(on_timer), 1}, late = {TIMER_INIT(on_timer), 2};
    uint64_t deadline_ms = reactor_now_ms(reactor) + 30;
    fired_count = 0;
    reactor_set_timer(reactor, &early.timer, deadline_ms);
    reactor_set_timer(reactor, &late.timer, deadline_ms + 3600000);
    for (int turns = 0; fired_count == 0 && turns < 100; turns++)
        run_turns(1);
    CHECK(reactor_now_ms(reactor) >= deadline_ms);
    CHECK(reactor_now_ms(reactor) < deadline_ms + 5000);
    CHECK(fired_count == 1 && fired[0] == 1);
    reactor_cancel_timer(reactor, &late.timer);
}

static void a_cancelled_timer_never_fires(void) {
    struct entry a = {TIMER_INIT(on_timer), 1}, b = {TIMER_INIT(on_timer), 2};
    fired_count = 0;
    reactor_cancel_timer(reactor, &a.timer);
    reactor_set_timer(reactor, &a.timer, 5);
    reactor_set_timer(reactor, &b.timer, 6);
    reactor_cancel_timer(reactor, &a.timer);
    reactor_cancel_timer(reactor, &a.timer);
    reactor_set_timer(reactor, &a.timer, UINT64_MAX);
    run_turns(1);
    CHECK(fired_count == 1 && fired[0] == 2);
}

static void on_timer_again(struct timer *t) {
    on_timer(t);
    reactor_set_timer(reactor, t, 0);
}

static void a_timer_that_sets_itself_again_waits_for_the_next_turn(void) {
    struct entry a = {TIMER_INIT(on_timer_again), 1};
    fired_count = 0;
    reactor_set_timer(reactor, &a.timer, 0);
    run_turns(1);
    CHECK_U64((uint64_t)fired_count, 1);
    run_turns(3);
    CHECK_U64((uint64_t)fired_count, 4);
    reactor_cancel_timer(reactor, &a.timer);
}

static struct entry *victims[2];

static void on_timer_cancels_the_other(struct timer *t) {
    on_timer(t);
    int other = t == &victims[0]->timer ? 1 : 0;
    reactor_cancel_timer(reactor, &victims[other]->timer);
    free(victims[0]);
    free(victims[1]);
}

static void a_timer_may_cancel_and_free_others_and_itself(void) {
    fired_count = 0;
    for (int i = 0; i < 2; i++) {
        victims[i] = calloc(1, sizeof *victims[i]);
        *victims[i] = (struct entry){TIMER_INIT(on_timer_cancels_the_other), i};
        reactor_set_timer(reactor, &victims[i]->timer, (uint64_t)i);
    }
    run_turns(1);
    CHECK(fired_count == 1 && fired[0] == 0);
}

/* ---- Watches ---- */

struct pair {
    struct watch watch; /* of fds[0] */
    int fds[2];
    int events_seen;
    unsigned events; /* the last */
};

static void on_pair(struct watch *w, unsigned events) {
    struct pair *p = CONTAINER_OF(w, struct pair, watch);
    p->events_seen++;
    p->events = events;
}

static struct pair pair_of(void (*on_event)(struct watch *w, unsigned events)) {
    struct pair p = {.events_seen = 0};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p.fds) == 0);
    p.watch = (struct watch){.fd = p.fds[0], .on_event = on_event};
    return p;
}

static void pair_close(struct pair *p) {
    reactor_unwatch(reactor, &p->watch);
    close(p->fds[0]);
    close(p->fds[1]);
}

static void say(int fd) {
    CHECK(write(fd, "x", 1) == 1);
}

/* A turn that does not wait although nothing may happen. */
static void run_without_waiting(void) {
    struct entry wake = {TIMER_INIT(on_timer), 0};
    fired_count = 0;
    reactor_set_timer(reactor, &wake.timer, 0);
    run_turns(1);
}

static void events_come_as_asked_for(void) {
    struct pair p = pair_of(on_pair);
    CHECK(reactor_watch(reactor, &p.watch, REACTOR_READ));
    run_without_waiting();
    CHECK_U64((uint64_t)p.events_seen, 0);
    say(p.fds[1]);
    run_turns(1);
    CHECK(p.events_seen == 1 && p.events == REACTOR_READ);
    run_turns(1); /* not read, so it comes again */
    CHECK(p.events_seen == 2);
    reactor_change(reactor, &p.watch, REACTOR_READ | REACTOR_WRITE);
    run_turns(1);
    CHECK(p.events_seen == 3 && p.events == (REACTOR_READ | REACTOR_WRITE));
    reactor_change(reactor, &p.watch, REACTOR_WRITE);
    run_turns(1);
    CHECK(p.events_seen == 4 && p.events == REACTOR_WRITE);
    reactor_change(reactor, &p.watch, 0);
    run_without_waiting();
    CHECK_U64((uint64_t)p.events_seen, 4);
    pair_close(&p);
}

static void a_hangup_comes_unasked(void) {
    struct pair p = pair_of(on_pair);
    CHECK(reactor_watch(reactor, &p.watch, 0));
    close(p.fds[1]);
    run_turns(1);
    CHECK(p.events_seen == 1 && (p.events & REACTOR_HANGUP) != 0);
    reactor_unwatch(reactor, &p.watch);
    close(p.fds[0]);
}

static void a_bad_descriptor_is_not_watched(void) {
    struct watch w = {.fd = -1, .on_event = on_pair};
    errno = 0;
    CHECK(!reactor_watch(reactor, &w, REACTOR_READ));
    CHECK(errno == EBADF);
}

static struct pair rivals[2];

static void on_rival(struct watch *w, unsigned events) {
    on_pair(w, events);
    reactor_unwatch(reactor, w == &rivals[0].watch ? &rivals[1].watch : &rivals[0].watch);
}

static void what_was_unwatched_inside_a_batch_gets_no_event_of_it(void) {
    for (int i = 0; i < 2; i++) {
        rivals[i] = pair_of(on_rival);
        CHECK(reactor_watch(reactor, &rivals[i].watch, REACTOR_READ));
        say(rivals[i].fds[1]);
    }
    run_turns(1);
    CHECK_U64((uint64_t)(rivals[0].events_seen + rivals[1].events_seen), 1);
    for (int i = 0; i < 2; i++)
        pair_close(&rivals[i]);
}

/* The memory of the rival, and mostly its descriptor's number, serve another connection at once. */
static void on_rival_replaced(struct watch *w, unsigned events) {
    on_pair(w, events);
    struct pair *other = w == &rivals[0].watch ? &rivals[1] : &rivals[0];
    int seen = other->events_seen;
    pair_close(other);
    *other = pair_of(on_pair);
    other->events_seen = seen;
    CHECK(reactor_watch(reactor, &other->watch, REACTOR_READ));
}

static void a_new_watch_does_not_inherit_events_of_the_old(void) {
    for (int i = 0; i < 2; i++) {
        rivals[i] = pair_of(on_rival_replaced);
        CHECK(reactor_watch(reactor, &rivals[i].watch, REACTOR_READ));
        say(rivals[i].fds[1]);
    }
    run_turns(1);
    CHECK_U64((uint64_t)(rivals[0].events_seen + rivals[1].events_seen), 1);
    for (int i = 0; i < 2; i++)
        pair_close(&rivals[i]);
}

static int freed;

static void on_last_event(struct watch *w, unsigned events) {
    struct pair *p = CONTAINER_OF(w, struct pair, watch);
    (void)events;
    pair_close(p);
    free(p);
    freed++;
}

static void a_watch_may_free_itself(void) {
    freed = 0;
    for (int i = 0; i < 5; i++) {
        struct pair *p = calloc(1, sizeof *p);
        *p = pair_of(on_last_event);
        CHECK(reactor_watch(reactor, &p->watch, REACTOR_READ | REACTOR_WRITE));
        say(p->fds[1]);
    }
    run_turns(1);
    CHECK_U64((uint64_t)freed, 5);
    run_without_waiting();
    CHECK_U64((uint64_t)freed, 5);
}

/* ---- Events before timers ---- */

#define CROWD 300 /* more than are fetched at once */

struct member {
    struct watch watch;
};

static int handled, handled_when_fired;

static void on_member(struct watch *w, unsigned events) {
    uint64_t n;
    (void)events;
    CHECK(read(w->fd, &n, sizeof n) == sizeof n);
    handled++;
}

static void on_late_timer(struct timer *t) {
    (void)t;
    handled_when_fired = handled;
}

static void late_timers_fire_after_all_the_input_that_waits(void) {
    static struct member crowd[CROWD];
    struct entry late = {TIMER_INIT(on_late_timer), 1};
    for (int i = 0; i < CROWD; i++) {
        crowd[i].watch = (struct watch){.fd = eventfd(1, EFD_NONBLOCK), .on_event = on_member};
        CHECK(reactor_watch(reactor, &crowd[i].watch, REACTOR_READ));
    }
    handled = 0;
    handled_when_fired = -1;
    reactor_set_timer(reactor, &late.timer, 0);
    struct loop l = run_turns(1);
    CHECK_U64((uint64_t)handled, CROWD);
    CHECK_U64((uint64_t)handled_when_fired, CROWD);
    CHECK(l.starts >= 2 && l.ends == 1); /* each fetch moves the clocks */
    for (int i = 0; i < CROWD; i++) {
        reactor_unwatch(reactor, &crowd[i].watch);
        close(crowd[i].watch.fd);
    }
}

static void on_endless(struct watch *w, unsigned events) {
    (void)w, (void)events; /* what it is told is never read */
    handled++;
}

static void endless_input_goes_round_once_before_late_timers(void) {
    static struct member crowd[CROWD];
    struct entry late = {TIMER_INIT(on_late_timer), 1};
    for (int i = 0; i < CROWD; i++) {
        crowd[i].watch = (struct watch){.fd = eventfd(1, EFD_NONBLOCK), .on_event = on_endless};
        CHECK(reactor_watch(reactor, &crowd[i].watch, REACTOR_READ));
    }
    handled = 0;
    handled_when_fired = -1;
    reactor_set_timer(reactor, &late.timer, 0);
    run_turns(1);
    CHECK(handled_when_fired >= CROWD && handled_when_fired < 2 * CROWD);
    for (int i = 0; i < CROWD; i++) {
        reactor_unwatch(reactor, &crowd[i].watch);
        close(crowd[i].watch.fd);
    }
}

static void each_turn_starts_ends_and_moves_the_clocks(void) {
    uint64_t before_ms = reactor_now_ms(reactor);
    struct entry a = {TIMER_INIT(on_timer_again), 1};
    fired_count = 0;
    reactor_set_timer(reactor, &a.timer, 0);
    struct loop l = run_turns(5);
    reactor_cancel_timer(reactor, &a.timer);
    CHECK(l.starts == 5 && l.ends == 5 && fired_count == 5);
    CHECK(reactor_now_ms(reactor) >= before_ms);
    CHECK(reactor_wall_ms(reactor) > 1600000000000);
}

int main(void) {
    reactor = reactor_create();
    if (reactor == NULL) return 1;
    RUN(timers_fire_in_the_order_of_their_deadlines);
    RUN(random_timers_fire_like_a_sorted_list);
    RUN(a_timer_does_not_fire_before_its_time);
    RUN(a_cancelled_timer_never_fires);
    RUN(a_timer_that_sets_itself_again_waits_for_the_next_turn);
    RUN(a_timer_may_cancel_and_free_others_and_itself);
    RUN(events_come_as_asked_for);
    RUN(a_hangup_comes_unasked);
    RUN(a_bad_descriptor_is_not_watched);
    RUN(what_was_unwatched_inside_a_batch_gets_no_event_of_it);
    RUN(a_new_watch_does_not_inherit_events_of_the_old);
    RUN(a_watch_may_free_itself);
    RUN(late_timers_fire_after_all_the_input_that_waits);
    RUN(endless_input_goes_round_once_before_late_timers);
    RUN(each_turn_starts_ends_and_moves_the_clocks);
    reactor_free(reactor);
    return kit_finish();
}
