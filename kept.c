/* The writes that a replica keeps at hand. See kept.h. */
#include "kept.h"

#include <assert.h>
#include <stdlib.h>

struct kept *kept_create(struct dot dot, uint32_t slot, struct slice frame) {
    struct kept *k = bytes_alloc(sizeof *k + frame.len);
    k->next = NULL;
    k->dot = dot;
    k->slot = slot;
    k->len = (uint32_t)frame.len;
    memcpy(k->frame, frame.at, frame.len);
    return k;
}

struct slice kept_frame(const struct kept *k) {
    return (struct slice){k->frame, k->len};
}

/* ---- The ring ---- */

void ring_init(struct ring *r, uint32_t writes_max) {
    *r = (struct ring){.writes_max = writes_max};
    if (r->writes_max == 0) r->writes_max = RING_WRITES_MAX;
    r->end = &r->first;
}

void ring_free(struct ring *r) {
    for (struct kept *k = r->first, *next; k != NULL; k = next) {
        next = k->next;
        free(k);
    }
    vclock_free(&r->trimmed);
}

void ring_trim_first(struct ring *r) {
    struct kept *k = r->first;
    vclock_raise(&r->trimmed, k->dot);
    r->first = k->next;
    if (r->first == NULL) r->end = &r->first;
    r->count--;
    r->bytes -= k->len;
    free(k);
}

void ring_keep(struct ring *r, struct kept *k) {
    k->next = NULL;
    *r->end = k;
    r->end = &k->next;
    r->count++;
    r->bytes += k->len;
    while (r->count > r->writes_max || r->bytes > RING_BYTES_MAX)
        ring_trim_first(r);
}

/* ---- Held back ---- */

void held_free(struct held *h) {
    for (uint32_t i = 0; i < h->count; i++)
        free(h->list[i]);
    free(h->list);
}

uint32_t held_place(const struct held *h, struct dot dot) {
    uint32_t low = 0, high = h->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct dot at = h->list[middle]->dot;
        if (at.actor < dot.actor || (at.actor == dot.actor && at.n < dot.n)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct kept *held_take(struct held *h, uint32_t i) {
    struct kept *k = h->list[i];
    h->count--;
    h->bytes -= k->len;
    memmove(h->list + i, h->list + i + 1, (h->count - i) * sizeof *h->list);
    return k;
}

bool held_is_first(const struct held *h, uint32_t i) {
    return i == 0 || h->list[i - 1]->dot.actor != h->list[i]->dot.actor;
}

uint64_t held_first(const struct held *h, uint32_t actor) {
    uint32_t i = held_place(h, (struct dot){actor, 0});
    return i < h->count && h->list[i]->dot.actor == actor ? h->list[i]->dot.n : 0;
}

bool held_keep(struct held *h, struct dot dot, uint32_t slot, struct slice frame) {
    uint32_t i = held_place(h, dot);
    bool known = i < h->count && h->list[i]->dot.actor == dot.actor && h->list[i]->dot.n == dot.n;
    bool room = h->count < HELD_WRITES_MAX && h->bytes + frame.len <= HELD_BYTES_MAX;
    if (known || !room) return false;
    if (h->count == h->cap) {
        h->cap = h->cap == 0 ? 16 : h->cap * 2;
        h->list = bytes_realloc(h->list, h->cap * sizeof *h->list);
    }
    memmove(h->list + i + 1, h->list + i, (h->count - i) * sizeof *h->list);
    h->list[i] = kept_create(dot, slot, frame);
    h->count++;
    h->bytes += frame.len;
    return true;
}

/* ---- The trail ---- */

void trail_free(struct trail *t) {
    free(t->steps);
}

void trail_leave(struct trail *t, struct dot dot, uint32_t slot) {
    if (t->steps == NULL) t->steps = bytes_alloc(TRAIL_STEPS_MAX * sizeof *t->steps);
    t->steps[t->end++ % TRAIL_STEPS_MAX] = (struct trail_step){dot, slot};
}

uint64_t trail_begin(const struct trail *t) {
    return t->end < TRAIL_STEPS_MAX ? 0 : t->end - TRAIL_STEPS_MAX;
}

const struct trail_step *trail_at(const struct trail *t, uint64_t i) {
    assert(i >= trail_begin(t) && i < t->end);
    return &t->steps[i % TRAIL_STEPS_MAX];
}
