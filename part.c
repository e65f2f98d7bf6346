/* Sets of slots, and what is here of each. See part.h. */
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

void slots_join(struct slots *a, const struct slots *b) {
    for (uint32_t i = 0; i < SHARD_SLOTS / 64; i++)
        a->bits[i] |= b->bits[i];
}

void slots_leave(struct slots *a, const struct slots *b) {
    for (uint32_t i = 0; i < SHARD_SLOTS / 64; i++)
        a->bits[i] &= ~b->bits[i];
}

bool slots_meet(const struct slots *a, const struct slots *b) {
    for (uint32_t i = 0; i < SHARD_SLOTS / 64; i++) {
        if (a->bits[i] & b->bits[i]) return true;
    }
    return false;
}

bool slots_within(const struct slots *a, const struct slots *b) {
    uint64_t beyond = 0;
    for (uint32_t i = 0; i < SHARD_SLOTS / 64; i++)
        beyond |= a->bits[i] & ~b->bits[i];
    return beyond == 0;
}

struct slots slots_common(const struct slots *a, const struct slots *b) {
    struct slots both;
    for (uint32_t i = 0; i < SHARD_SLOTS / 64; i++)
        both.bits[i] = a->bits[i] & b->bits[i];
    return both;
}

/* ---- Base ---- */

void base_clear(struct base *b) {
    free(b->groups);
    *b = (struct base){0};
}

bool base_has(const struct base *b, uint64_t group) {
    for (uint32_t i = 0; i < b->count; i++) {
        if (b->groups[i] == group) return true;
    }
    return false;
}

void base_add(struct base *b, uint64_t group) {
    if (base_has(b, group)) return;
    b->groups = bytes_realloc(b->groups, (b->count + 1) * sizeof *b->groups);
    uint32_t i = b->count++;
    for (; i > 0 && b->groups[i - 1] > group; i--)
        b->groups[i] = b->groups[i - 1];
    b->groups[i] = group;
}

static void base_remove(struct base *b, uint64_t group) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        if (b->groups[i] != group) b->groups[kept++] = b->groups[i];
    }
    b->count = kept;
}

static void base_join(struct base *b, const struct base *other) {
    for (uint32_t i = 0; i < other->count; i++)
        base_add(b, other->groups[i]);
}

bool base_covers(const struct base *b, const struct base *other) {
    for (uint32_t i = 0; i < other->count; i++) {
        if (!base_has(b, other->groups[i])) return false;
    }
    return true;
}

bool base_equal(const struct base *a, const struct base *b) {
    return a->count == b->count && base_covers(a, b);
}

/* ---- Parts ---- */

static const struct vclock nothing;
static const struct base no_base;

void parts_init(struct parts *ps) {
    *ps = (struct parts){0};
    for (uint32_t s = 0; s < SHARD_SLOTS; s++)
        ps->of_slot[s] = PART_NONE;
}

static void part_free(struct part *p) {
    vclock_free(&p->clock);
    base_clear(&p->base);
}

void parts_free(struct parts *ps) {
    for (uint32_t i = 0; i < ps->count; i++)
        part_free(&ps->list[i]);
    free(ps->list);
    parts_init(ps);
}

static struct part *part_of(const struct parts *ps, uint32_t slot) {
    uint16_t i = ps->of_slot[slot];
    return i == PART_NONE ? NULL : &ps->list[i];
}

const struct vclock *parts_clock(const struct parts *ps, uint32_t slot) {
    const struct part *p = part_of(ps, slot);
    return p == NULL ? NULL : &p->clock;
}

const struct base *parts_base(const struct parts *ps, uint32_t slot) {
    const struct part *p = part_of(ps, slot);
    return p == NULL ? NULL : &p->base;
}

bool parts_hold(const struct parts *ps, uint64_t group, const struct slots *slots) {
    struct slots held = {0};
    for (uint32_t i = 0; i < ps->count; i++) {
        if (base_has(&ps->list[i].base, group)) slots_join(&held, &ps->list[i].slots);
    }
    return slots_within(slots, &held);
}

/* ---- Moving slots between parts ---- */

/* Takes part i, which has no slots or whose slots have been moved, out of the list. */
static void erase(struct parts *ps, uint32_t i) {
    uint32_t last = --ps->count;
    part_free(&ps->list[i]);
    if (i == last) return;
    ps->list[i] = ps->list[last];
    const struct slots *moved = &ps->list[i].slots;
    for (uint32_t s = slots_next(moved, 0); s < SHARD_SLOTS; s = slots_next(moved, s + 1))
        ps->of_slot[s] = (uint16_t)i;
}

void parts_drop_slot(struct parts *ps, uint32_t slot) {
    uint16_t i = ps->of_slot[slot];
    if (i == PART_NONE) return;
    ps->of_slot[slot] = PART_NONE;
    slots_remove(&ps->list[i].slots, slot);
    if (--ps->list[i].slot_count == 0) erase(ps, i);
}

static uint32_t append(struct parts *ps, const struct vclock *clock, const struct base *base) {
    if (ps->count == ps->cap) {
        ps->cap = ps->cap == 0 ? 4 : ps->cap * 2;
        ps->list = bytes_realloc(ps->list, ps->cap * sizeof *ps->list);
    }
    struct part *part = &ps->list[ps->count];
    *part = (struct part){0};
    vclock_join(&part->clock, clock);
    base_join(&part->base, base);
    return ps->count++;
}

/* The part with this history, made if there is none. */
static uint32_t part_with(struct parts *ps, const struct vclock *clock, const struct base *base) {
    for (uint32_t i = 0; i < ps->count; i++) {
        const struct part *p = &ps->list[i];
        if (vclock_equal(&p->clock, clock) && base_equal(&p->base, base)) return i;
    }
    return append(ps, clock, base);
}

static void put_slot(struct parts *ps, uint32_t slot, uint32_t i) {
    slots_add(&ps->list[i].slots, slot);
    ps->list[i].slot_count++;
    ps->of_slot[slot] = (uint16_t)i;
}

/* Dropping may move or erase parts, so it comes before anything that keeps a place. */
static void set_slot(struct parts *ps, uint32_t slot, const struct vclock *clock,
                     const struct base *base) {
    parts_drop_slot(ps, slot);
    put_slot(ps, slot, part_with(ps, clock, base));
}

void parts_open_slot(struct parts *ps, uint32_t slot) {
    if (part_of(ps, slot) == NULL) set_slot(ps, slot, &nothing, &no_base);
}

void parts_join_slot(struct parts *ps, uint32_t slot, const struct vclock *clock,
                     const struct base *base) {
    struct vclock joined = {0};
    struct base both = {0};
    const struct part *mine = part_of(ps, slot);
    if (mine != NULL) {
        vclock_join(&joined, &mine->clock);
        base_join(&both, &mine->base);
    }
    vclock_join(&joined, clock);
    if (base != NULL) base_join(&both, base);
    bool same =
        mine != NULL && vclock_equal(&mine->clock, &joined) && base_equal(&mine->base, &both);
    if (!same) set_slot(ps, slot, &joined, &both);
    vclock_free(&joined);
    base_clear(&both);
}

/* Moves those slots of part i that are in `out` to a part of their own with the same history, if
 * they are some and not all. The new part is the last. */
static void split(struct parts *ps, uint32_t i, const struct slots *out) {
    if (!slots_meet(&ps->list[i].slots, out) || slots_within(&ps->list[i].slots, out)) return;
    struct part from =
        ps->list[i]; /* its memory moves when the list grows, what it owns does not */
    uint32_t other = append(ps, &from.clock, &from.base);
    for (uint32_t s = slots_next(&from.slots, 0); s < SHARD_SLOTS;
         s = slots_next(&from.slots, s + 1)) {
        if (!slots_has(out, s)) continue;
        slots_remove(&ps->list[i].slots, s);
        ps->list[i].slot_count--;
        put_slot(ps, s, other);
    }
}

static void split_all(struct parts *ps, const struct slots *out) {
    for (uint32_t i = 0, before = ps->count; i < before; i++)
        split(ps, i, out);
}

void parts_found(struct parts *ps, const struct slots *slots, uint64_t group) {
    for (uint32_t s = slots_next(slots, 0); s < SHARD_SLOTS; s = slots_next(slots, s + 1))
        parts_open_slot(ps, s);
    split_all(ps, slots);
    for (uint32_t i = 0; i < ps->count; i++) {
        if (slots_within(&ps->list[i].slots, slots)) base_add(&ps->list[i].base, group);
    }
}

void parts_demote(struct parts *ps, uint64_t group) {
    for (uint32_t i = 0; i < ps->count; i++)
        base_remove(&ps->list[i].base, group);
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

static bool are_equal(const struct part *a, const struct part *b) {
    return vclock_equal(&a->clock, &b->clock) && base_equal(&a->base, &b->base);
}

void parts_unite(struct parts *ps) {
    for (uint32_t i = 0; i < ps->count; i++) {
        for (uint32_t j = ps->count - 1; j > i; j--) {
            if (are_equal(&ps->list[i], &ps->list[j])) merge(ps, i, j);
        }
    }
}

/* ---- Delivering ---- */

/* Just before the write, and it says something about some of its slots. */
static bool is_next(const struct part *p, const struct slots *of, struct dot dot) {
    return vclock_get(&p->clock, dot.actor) + 1 == dot.n && slots_meet(&p->slots, of);
}

/* What is split off a part comes last, and its turn after that. */
bool parts_deliver(struct parts *ps, const struct slots *of, uint32_t slot, struct dot dot) {
    bool moved = false;
    const struct part *at = part_of(ps, slot);
    assert(slots_has(of, slot));
    assert(at == NULL || vclock_get(&at->clock, dot.actor) + 1 >= dot.n);
    for (uint32_t i = 0; i < ps->count; i++) {
        if (!is_next(&ps->list[i], of, dot)) continue;
        split(ps, i, of);
        if (!slots_within(&ps->list[i].slots, of)) continue;
        vclock_set(&ps->list[i].clock, dot);
        moved = true;
    }
    return moved;
}

bool parts_have(const struct parts *ps, struct dot dot, const struct slots *a,
                const struct slots *b) {
    struct slots wanted = slots_common(a, b), here = {0};
    for (uint32_t i = 0; i < ps->count; i++) {
        const struct part *p = &ps->list[i];
        if (!slots_meet(&p->slots, &wanted)) continue;
        if (!vclock_has(&p->clock, dot)) return false;
        slots_join(&here, &p->slots);
    }
    return slots_within(&wanted, &here);
}

uint64_t parts_least(const struct parts *ps, const struct slots *of, uint32_t actor) {
    uint64_t least = UINT64_MAX;
    struct slots here = {0};
    for (uint32_t i = 0; i < ps->count; i++) {
        const struct part *p = &ps->list[i];
        slots_join(&here, &p->slots);
        uint64_t n = vclock_get(&p->clock, actor);
        if (n < least && slots_meet(&p->slots, of)) least = n;
    }
    return slots_within(of, &here) && least != UINT64_MAX ? least : 0;
}

struct part_range parts_range(const struct parts *ps, const struct slots *of, uint32_t actor) {
    struct part_range range = {UINT64_MAX, 0};
    for (uint32_t i = 0; i < ps->count; i++) {
        const struct part *p = &ps->list[i];
        if (!slots_meet(&p->slots, of)) continue;
        uint64_t n = vclock_get(&p->clock, actor);
        if (n < range.least) range.least = n;
        if (n > range.most) range.most = n;
    }
    if (range.least > range.most) range.least = range.most; /* none is here */
    return range;
}
