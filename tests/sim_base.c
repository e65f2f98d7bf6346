/* Time, chance, trace. See sim_base.h. */
#include "sim_base.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define EVENTS_MAX 20000000u /* of a run; far beyond any that ends */

void base_init(struct sim_base *b, uint64_t seed, bool loud) {
    *b = (struct sim_base){.seed = seed, .random = {seed}, .loud = loud};
}

void base_free(struct sim_base *b) {
    free(b->heap);
}

/* ---- The queue ---- */

static bool earlier(const struct sim_event *x, const struct sim_event *y) {
    return x->at_us != y->at_us ? x->at_us < y->at_us : x->order < y->order;
}

static void swap(struct sim_event *x, struct sim_event *y) {
    struct sim_event t = *x;
    *x = *y;
    *y = t;
}

void base_at(struct sim_base *b, uint64_t at_us, enum sim_event_kind kind, uint32_t x, uint32_t y) {
    if (b->count == b->cap) {
        b->cap = b->cap == 0 ? 256 : b->cap * 2;
        b->heap = bytes_realloc(b->heap, b->cap * sizeof *b->heap);
    }
    uint32_t i = b->count++;
    if (at_us < b->now_us) at_us = b->now_us;
    b->heap[i] = (struct sim_event){at_us, b->order++, kind, x, y};
    for (; i > 0 && earlier(&b->heap[i], &b->heap[(i - 1) / 2]); i = (i - 1) / 2) {
        swap(&b->heap[i], &b->heap[(i - 1) / 2]);
    }
}

bool base_next(struct sim_base *b, struct sim_event *out) {
    if (b->count == 0) return false;
    if (++b->events > EVENTS_MAX) base_violation(b, "END", "the run does not end");
    *out = b->heap[0];
    b->heap[0] = b->heap[--b->count];
    for (uint32_t i = 0;;) {
        uint32_t first = i, left = 2 * i + 1;
        if (left < b->count && earlier(&b->heap[left], &b->heap[first])) first = left;
        if (left + 1 < b->count && earlier(&b->heap[left + 1], &b->heap[first])) first = left + 1;
        if (first == i) break;
        swap(&b->heap[i], &b->heap[first]);
        i = first;
    }
    b->now_us = out->at_us;
    return true;
}

/* ---- Chance ---- */

uint64_t base_below(struct sim_base *b, uint64_t bound) {
    return kit_below(&b->random, bound);
}

uint64_t base_between(struct sim_base *b, uint64_t low, uint64_t high) {
    return low + base_below(b, high - low + 1);
}

bool base_chance(struct sim_base *b, uint32_t permille) {
    return base_below(b, 1000) < permille;
}

/* ---- Trace ---- */

static void print_time(const struct sim_base *b) {
    printf("%4llu.%06llu  ", (unsigned long long)(b->now_us / 1000000),
           (unsigned long long)(b->now_us % 1000000));
}

static void print_line(const struct sim_base *b, const char *format, va_list args) {
    print_time(b);
    vprintf(format, args);
    putchar('\n');
}

void base_trace(struct sim_base *b, uint64_t what, const char *format, ...) {
    struct kit_random mix = {b->trace_hash ^ what * 0x9E3779B97F4A7C15u ^ b->now_us};
    b->trace_hash = kit_next(&mix);
    if (!b->loud) return;
    va_list args;
    va_start(args, format);
    print_line(b, format, args);
    va_end(args);
}

void base_say(const struct sim_base *b, const char *format, ...) {
    if (!b->loud) return;
    va_list args;
    va_start(args, format);
    print_line(b, format, args);
    va_end(args);
}

void base_violation(struct sim_base *b, const char *invariant, const char *format, ...) {
    char text[1000];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    print_time(b);
    printf("VIOLATION of %s: %s\nSEED=%llu, replay with: make sim SEED=%llu\n", invariant, text,
           (unsigned long long)b->seed, (unsigned long long)b->seed);
    fflush(stdout);
    _Exit(1);
}
