/* Sets of slots and the clocks of delivered writes. See part.h. */
#include "part.h"

#include <assert.h>
#include <stdlib.h>

uint32_t slots_next(const struct slots *s, uint32_t from) {
    for (uint32_t i = from / 64; i < SHARD_SLOTS / 64; i++) {
        uint64_t bits = s->bits[i];
        if (i == from / 64) bits &= UINT64_MAX << (from % 64);
        if (bits != 0) return i * 64 + (uint32_t)__builtin_ctzll(bits);
    }
    return SHARD_SLOTS;
}

void parts_init(struct parts *ps) {
    *ps = (struct parts){0};
    for (uint32_t s = 0; s < SHARD_SLOTS; s++)
        ps->of_slot[s] = PART_NONE;
}

void parts_free(struct parts *ps) {
    for (uint32_t i = 0; i < ps->count; i++)
        vclock_free(&ps->list[i].clock);
    free(ps->list);
    parts_init(ps);
}

const struct vclock *parts_clock(const struct parts *ps, uint32_t slot) {
    uint16_t i = ps->of_slot[slot];
    return i == PART_NONE ? NULL : &ps->list[i].clock;
}

/* ---- Moving slots between parts ---- */

/* Takes part i, which has no slots or whose slots have been moved, out of the list. */
static void erase(struct parts *ps, uint32_t i) {
    uint32_t last = --ps->count;
    vclock_free(&ps->list[i].clock);
    if (i == last) return;
    ps->list[i] = ps->list[last];
    const struct slots *moved = &ps->list[i].slots;
    for (uint32_t s = slots_next(moved, 0); s < SHARD_SLOTS; s = slots_next(moved, s + 1))
        ps->of_slot[s] = (uint16_t)i;
}

static void leave(struct parts *ps, uint32_t slot) {
    uint16_t i = ps->of_slot[slot];
    if (i == PART_NONE) return;
    ps->of_slot[slot] = PART_NONE;
    slots_remove(&ps->list[i].slots, slot);
    if (--ps->list[i].slot_count == 0) erase(ps, i);
}

/* The part with this clock, made if there is none. */
static uint32_t part_with(struct parts *ps, const struct vclock *clock) {
    for (uint32_t i = 0; i < ps->count; i++) {
        if (vclock_equal(&ps->list[i].clock, clock)) return i;
    }
    if (ps->count == ps->cap) {
        ps->cap = ps->cap == 0 ? 4 : ps->cap * 2;
        ps->list = bytes_realloc(ps->list, ps->cap * sizeof *ps->list);
    }
    struct part *part = &ps->list[ps->count];
    *part = (struct part){0};
    vclock_join(&part->clock, clock);
    return ps->count++;
}

/* Leaving may move or erase parts, so it comes after nothing that keeps a place. `clock` must not
 * lie in a part. */
void parts_set_slot(struct parts *ps, uint32_t slot, const struct vclock *clock) {
    leave(ps, slot);
    uint32_t i = part_with(ps, clock);
    slots_add(&ps->list[i].slots, slot);
    ps->list[i].slot_count++;
    ps->of_slot[slot] = (uint16_t)i;
}

void parts_join_slot(struct parts *ps, uint32_t slot, const struct vclock *clock) {
    struct vclock joined = {0};
    const struct vclock *mine = parts_clock(ps, slot);
    if (mine != NULL && vclock_covers(mine, clock)) return;
    if (mine != NULL) vclock_join(&joined, mine);
    vclock_join(&joined, clock);
    parts_set_slot(ps, slot, &joined);
    vclock_free(&joined);
}

/* Moves the slots of part `from` into part `into`. */
static void merge(struct parts *ps, uint32_t into, uint32_t from) {
    const struct slots *moving = &ps->list[from].slots;
    for (uint32_t s = slots_next(moving, 0); s < SHARD_SLOTS; s = slots_next(moving, s + 1)) {
        slots_add(&ps->list[into].slots, s);
        ps->of_slot[s] = (uint16_t)into;
    }
    ps->list[into].slot_count += ps->list[from].slot_count;
    erase(ps, from);
}

void parts_unite(struct parts *ps) {
    for (uint32_t i = 0; i < ps->count; i++) {
        for (uint32_t j = ps->count - 1; j > i; j--) {
            if (vclock_equal(&ps->list[i].clock, &ps->list[j].clock)) merge(ps, i, j);
        }
    }
}

/* ---- Delivering ---- */

bool parts_deliver(struct parts *ps, uint32_t slot, struct dot dot) {
    bool moved = false;
    assert(ps->of_slot[slot] != PART_NONE);
    for (uint32_t i = 0; i < ps->count; i++) {
        struct vclock *clock = &ps->list[i].clock;
        bool next = vclock_get(clock, dot.actor) + 1 == dot.n;
        assert(next || i != ps->of_slot[slot] || vclock_has(clock, dot));
        if (next) vclock_set(clock, dot);
        moved = moved || next;
    }
    return moved;
}

uint64_t parts_least(const struct parts *ps, uint32_t actor) {
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < ps->count; i++) {
        uint64_t n = vclock_get(&ps->list[i].clock, actor);
        if (n < least) least = n;
    }
    return ps->count == 0 ? 0 : least;
}
