/* The share of the greedy: slices, rests, and the queue of those that wait. The clock is the real
 * one: time is spent here by waiting for it. */
#include "kit.h"

#include "../greed.h"

static struct reactor *reactor;
static struct greed greed;
static int turns_left;

/* ---- Turns ---- */

static void on_start(struct turn *t) {
    (void)t;
}

static void on_end(struct turn *t) {
    (void)t;
    greed_turn_end(&greed);
    if (--turns_left <= 0) reactor_stop(reactor);
}

static void on_wake(struct timer *t) {
    (void)t;
}

/* One turn, which ends so many milliseconds from now. */
static void turn_after(uint64_t ms) {
    struct turn turn = {on_start, on_end};
    struct timer wake = TIMER_INIT(on_wake);
    reactor_set_timer(reactor, &wake, reactor_clock_us() / 1000 + ms);
    turns_left = 1;
    reactor_run(reactor, &turn);
    reactor_cancel_timer(reactor, &wake);
}

static void begin(void) {
    reactor = reactor_create();
    greed_init(&greed, reactor);
}

static void end(void) {
    greed_free(&greed);
    reactor_free(reactor);
}

static void spend(uint64_t us) {
    greed_begin(&greed);
    for (uint64_t until_us = reactor_clock_us() + us; reactor_clock_us() < until_us;) {
    }
    greed_end(&greed);
}

/* ---- Slices and rests ---- */

static void less_than_a_slice_needs_no_rest(void) {
    begin();
    greed_note_light(&greed);
    greed_begin(&greed);
    greed_end(&greed);
    CHECK(!greed_rests(&greed));
    end();
}

static void a_slice_is_followed_by_a_rest_three_times_as_long(void) {
    begin();
    greed_note_light(&greed);
    uint64_t before_ms = reactor_clock_us() / 1000;
    spend(20 * GREED_SLICE_US);
    CHECK(greed_rests(&greed));
    CHECK(greed.rest_until_ms >= before_ms + 20 + 2 * 20);
    turn_after(0);
    CHECK(greed_rests(&greed));
    uint64_t left_ms = greed.rest_until_ms - reactor_clock_us() / 1000;
    turn_after(left_ms + 1);
    CHECK(!greed_rests(&greed));
    end();
}

static void alone_they_rest_until_the_turn_is_over(void) {
    begin();
    spend(2 * GREED_SLICE_US);
    CHECK(greed_rests(&greed));
    turn_after(0);
    CHECK(!greed_rests(&greed));
    end();
}

static void who_was_served_in_a_slice_counts_for_that_one(void) {
    begin();
    greed_note_light(&greed);
    spend(2 * GREED_SLICE_US);
    uint64_t until_ms = greed.rest_until_ms;
    spend(2 * GREED_SLICE_US); /* nobody since then */
    CHECK_U64(greed.rest_until_ms, until_ms);
    end();
}

/* ---- The queue ---- */

static void those_that_wait_go_on_in_their_order(void) {
    struct greed_row row;
    begin();
    for (int i = 0; i < 1000; i++)
        greed_wait(&greed, (struct greed_row){.fd = i, .number = 1});
    for (int i = 0; i < 1000; i++) {
        CHECK(greed_has_queue(&greed));
        CHECK(greed_take(&greed, &row) && row.fd == i);
        if (i % 100 == 0) greed_wait(&greed, (struct greed_row){.fd = 1000 + i / 100});
        if (i % 7 == 0) greed_taken(&greed);
    }
    for (int i = 0; i < 10; i++)
        CHECK(greed_take(&greed, &row) && row.fd == 1000 + i);
    CHECK(!greed_take(&greed, &row) && !greed_has_queue(&greed));
    end();
}

static void nobody_goes_on_in_a_rest_and_the_loop_wakes_after_it(void) {
    struct greed_row row;
    begin();
    greed_note_light(&greed);
    greed_wait(&greed, (struct greed_row){.fd = 5});
    spend(2 * GREED_SLICE_US);
    greed_turn_end(&greed);
    CHECK(!greed_take(&greed, &row));
    greed_taken(&greed);
    CHECK_U64(greed.timer.deadline_ms, greed.rest_until_ms);
    turn_after(20);
    CHECK(greed_take(&greed, &row) && row.fd == 5);
    end();
}

int main(void) {
    RUN(less_than_a_slice_needs_no_rest);
    RUN(a_slice_is_followed_by_a_rest_three_times_as_long);
    RUN(alone_they_rest_until_the_turn_is_over);
    RUN(who_was_served_in_a_slice_counts_for_that_one);
    RUN(those_that_wait_go_on_in_their_order);
    RUN(nobody_goes_on_in_a_rest_and_the_loop_wakes_after_it);
    return kit_finish();
}
