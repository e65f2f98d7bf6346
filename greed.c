/* Time of the greedy. See greed.h. */
#include "greed.h"

#include <stdlib.h>

#include "bytes.h"

/* The loop has woken, and that is all it is for. */
static void on_timer(struct timer *t) {
    (void)t;
}

void greed_init(struct greed *g, struct reactor *r) {
    *g = (struct greed){.reactor = r, .timer = TIMER_INIT(on_timer)};
}

void greed_free(struct greed *g) {
    reactor_cancel_timer(g->reactor, &g->timer);
    free(g->rows);
}

bool greed_rests(const struct greed *g) {
    return g->is_spent || reactor_now_ms(g->reactor) < g->rest_until_ms;
}

void greed_begin(struct greed *g) {
    g->begun_us = reactor_clock_us();
}

/* The clock of the turn may be as old as the slice is long, so the rest counts from what it is now.
 */
void greed_end(struct greed *g) {
    uint64_t now_us = reactor_clock_us();
    g->spent_us += now_us - g->begun_us;
    if (g->spent_us < GREED_SLICE_US) return;
    if (g->others) g->rest_until_ms = (now_us + GREED_REST * g->spent_us) / 1000 + 1;
    g->is_spent = true;
    g->spent_us = 0;
    g->others = false;
}

void greed_wait(struct greed *g, struct greed_row row) {
    if (g->count == g->cap) {
        g->cap = g->cap * 2 + 16;
        g->rows = bytes_realloc(g->rows, g->cap * sizeof *g->rows);
    }
    g->rows[g->count++] = row;
}

void greed_turn_end(struct greed *g) {
    g->is_spent = false;
}

bool greed_take(struct greed *g, struct greed_row *row) {
    if (g->first == g->count || greed_rests(g)) return false;
    *row = g->rows[g->first++];
    return true;
}

/* Those before `first` are gone: what is left moves down when it is the smaller part. */
static void compact(struct greed *g) {
    if (g->first * 2 < g->count) return;
    g->count -= g->first;
    memmove(g->rows, g->rows + g->first, g->count * sizeof *g->rows);
    g->first = 0;
}

void greed_taken(struct greed *g) {
    if (g->count == 0) return;
    compact(g);
    if (g->count > 0) reactor_set_timer(g->reactor, &g->timer, g->rest_until_ms);
}
