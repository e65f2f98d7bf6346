/* Parts: D and base slot by slot, against an array of as many clocks as there are slots. */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>

#include "../part.h"

#define ACTORS 4
#define GROUPS 2

/* ---- The naive form ---- */

/* Actors 0 and 1 write to all slots, 2 and 3 to every third. */
static const struct slots *slots_of(uint32_t actor) {
    static struct slots all, thirds;
    for (uint32_t s = 0; s < SHARD_SLOTS; s++) {
        slots_add(&all, s);
        if (s % 3 == 0) slots_add(&thirds, s);
    }
    return actor < 2 ? &all : &thirds;
}

struct naive {
    bool here[SHARD_SLOTS];
    bool base[SHARD_SLOTS][GROUPS];
    uint64_t clock[SHARD_SLOTS][ACTORS];
};

static struct vclock clock_of(const uint64_t numbers[ACTORS]) {
    struct vclock c = {0};
    for (uint32_t a = 0; a < ACTORS; a++) {
        if (numbers[a] > 0) vclock_set(&c, (struct dot){a, numbers[a]});
    }
    return c;
}

static bool naive_has(const struct naive *naive, struct dot dot, const struct slots *a,
                      const struct slots *b) {
    for (uint32_t s = 0; s < SHARD_SLOTS; s++) {
        bool wanted = slots_has(a, s) && slots_has(b, s);
        if (wanted && (!naive->here[s] || naive->clock[s][dot.actor] < dot.n)) return false;
    }
    return true;
}

/* The numbers that make a difference; for actor 0 in all slots, for the others in every third. */
static void check_dots(const struct parts *ps, const struct naive *naive, uint32_t actor,
                       uint64_t least) {
    const struct slots *a = slots_of(actor), *b = slots_of(actor * 2 % ACTORS);
    for (uint64_t n = least == 0 ? 1 : least; n <= least + 1; n++) {
        struct dot dot = {actor, n};
        CHECK(parts_have(ps, dot, a, b) == naive_has(naive, dot, a, b));
    }
}

static void check_same(const struct parts *ps, const struct naive *naive) {
    uint64_t least[ACTORS], most[ACTORS] = {0};
    bool all[ACTORS] = {true, true, true, true};
    memset(least, 0xff, sizeof least);
    for (uint32_t s = 0; s < SHARD_SLOTS; s++) {
        const struct vclock *clock = parts_clock(ps, s);
        CHECK((clock != NULL) == naive->here[s]);
        for (uint32_t a = 0; a < ACTORS; a++) {
            if (slots_has(slots_of(a), s) && clock == NULL) all[a] = false;
            if (clock == NULL) continue;
            CHECK_U64(vclock_get(clock, a), naive->clock[s][a]);
            bool counts = slots_has(slots_of(a), s) && naive->clock[s][a] < least[a];
            if (counts) least[a] = naive->clock[s][a];
            counts = slots_has(slots_of(a), s) && naive->clock[s][a] > most[a];
            if (counts) most[a] = naive->clock[s][a];
        }
        for (uint32_t g = 0; clock != NULL && g < GROUPS; g++)
            CHECK(base_has(parts_base(ps, s), g + 1) == naive->base[s][g]);
    }
    for (uint32_t a = 0; a < ACTORS; a++) {
        CHECK_U64(parts_least(ps, slots_of(a), a), all[a] ? least[a] : 0);
        struct part_range range = parts_range(ps, slots_of(a), a);
        CHECK_U64(range.least, least[a] == UINT64_MAX ? 0 : least[a]);
        CHECK_U64(range.most, most[a]);
        check_dots(ps, naive, a, all[a] ? least[a] : 0);
    }
}

/* Each slot that is here stands in just the one part that of_slot names; none is empty. */
static void check_order(const struct parts *ps) {
    uint32_t slots = 0;
    for (uint32_t i = 0; i < ps->count; i++) {
        uint32_t count = 0;
        const struct slots *of = &ps->list[i].slots;
        for (uint32_t s = slots_next(of, 0); s < SHARD_SLOTS; s = slots_next(of, s + 1)) {
            CHECK_U64(ps->of_slot[s], i);
            count++;
        }
        CHECK_U64(ps->list[i].slot_count, count);
        CHECK(count > 0);
        slots += count;
    }
    for (uint32_t s = 0; s < SHARD_SLOTS; s++)
        slots -= ps->of_slot[s] != PART_NONE;
    CHECK_U64(slots, 0);
}

static void check_united(const struct parts *ps) {
    for (uint32_t i = 0; i < ps->count; i++) {
        for (uint32_t j = 0; j < i; j++)
            CHECK(!vclock_equal(&ps->list[i].clock, &ps->list[j].clock) ||
                  !base_equal(&ps->list[i].base, &ps->list[j].base));
    }
}

/* ---- Steps ---- */

static void join_slot(struct parts *ps, struct naive *naive, uint32_t slot,
                      const uint64_t numbers[ACTORS], uint64_t group) {
    struct vclock clock = clock_of(numbers);
    struct base base = {&group, 1};
    parts_join_slot(ps, slot, &clock, group == 0 ? NULL : &base);
    for (uint32_t a = 0; a < ACTORS; a++) {
        bool raises = !naive->here[slot] || numbers[a] > naive->clock[slot][a];
        if (raises) naive->clock[slot][a] = numbers[a];
    }
    if (group != 0) naive->base[slot][group - 1] = true;
    naive->here[slot] = true;
    vclock_free(&clock);
}

static void drop_slot(struct parts *ps, struct naive *naive, uint32_t slot) {
    parts_drop_slot(ps, slot);
    naive->here[slot] = false;
    memset(naive->clock[slot], 0, sizeof naive->clock[slot]);
    memset(naive->base[slot], 0, sizeof naive->base[slot]);
}

static void found(struct parts *ps, struct naive *naive, uint64_t group, uint32_t end) {
    struct slots slots = {0};
    for (uint32_t s = 0; s < end; s++) {
        slots_add(&slots, s);
        naive->here[s] = naive->base[s][group - 1] = true;
    }
    parts_found(ps, &slots, group);
    CHECK(parts_hold(ps, group, &slots));
}

static void demote(struct parts *ps, struct naive *naive, uint64_t group) {
    parts_demote(ps, group);
    for (uint32_t s = 0; s < SHARD_SLOTS; s++)
        naive->base[s][group - 1] = false;
    CHECK(!parts_hold(ps, group, slots_of(0)));
}

/* The next write of an actor in a slot, as the group sends them: one after the other. */
static void deliver(struct parts *ps, struct naive *naive, uint32_t slot, uint32_t actor) {
    uint64_t n = naive->clock[slot][actor] + 1;
    const struct slots *of = slots_of(actor);
    if (!naive->here[slot] || !slots_has(of, slot)) return;
    parts_deliver(ps, of, slot, (struct dot){actor, n});
    for (uint32_t s = 0; s < SHARD_SLOTS; s++) {
        bool next = naive->here[s] && slots_has(of, s) && naive->clock[s][actor] + 1 == n;
        if (next) naive->clock[s][actor] = n;
    }
}

static void step(struct parts *ps, struct naive *naive, struct kit_random *random) {
    uint64_t numbers[ACTORS];
    uint32_t slots = kit_below(random, 4) == 0 ? SHARD_SLOTS : 12;
    uint32_t slot = (uint32_t)kit_below(random, slots);
    for (uint32_t a = 0; a < ACTORS; a++)
        numbers[a] = kit_below(random, 3);
    uint64_t group = 1 + kit_below(random, GROUPS);
    uint64_t what = kit_below(random, 40);
    if (what == 0)
        found(ps, naive, group, slots);
    else if (what == 1)
        demote(ps, naive, group);
    else if (what < 5)
        drop_slot(ps, naive, slot);
    else if (what < 15)
        join_slot(ps, naive, slot, numbers, what % 2 == 0 ? group : 0);
    else if (what < 20)
        parts_unite(ps);
    else
        deliver(ps, naive, slot, (uint32_t)kit_below(random, ACTORS));
}

static void parts_say_the_same_as_a_clock_for_each_slot(void) {
    struct kit_random random = {kit_seed()};
    for (int round = 0; round < 10; round++) {
        struct naive *naive = calloc(1, sizeof *naive);
        struct parts ps;
        parts_init(&ps);
        for (int i = 0; i < 600; i++) {
            kit_note("round %d, step %d", round, i);
            step(&ps, naive, &random);
            if (i % 20 != 0) continue;
            check_same(&ps, naive);
            check_order(&ps);
        }
        parts_unite(&ps);
        check_united(&ps);
        check_same(&ps, naive);
        check_order(&ps);
        parts_free(&ps);
        CHECK(parts_clock(&ps, 0) == NULL);
        free(naive);
    }
}

/* ---- Single facts ---- */

static void equal_slots_share_a_part(void) {
    struct parts ps;
    parts_init(&ps);
    for (uint32_t s = 0; s < SHARD_SLOTS; s += 3)
        parts_open_slot(&ps, s);
    CHECK_U64(ps.count, 1);
    for (uint64_t n = 1; n <= 100; n++)
        parts_deliver(&ps, slots_of(0), 3 * (uint32_t)n, (struct dot){7, n});
    CHECK_U64(ps.count, 1);
    CHECK_U64(vclock_get(parts_clock(&ps, 0), 7), 100);
    CHECK(parts_clock(&ps, 1) == NULL);
    parts_free(&ps);
}

static void slots_taken_over_one_at_a_time_are_one_part_in_the_end(void) {
    struct vclock image = {0};
    struct parts ps;
    vclock_set(&image, (struct dot){1, 9});
    parts_init(&ps);
    for (uint32_t s = 0; s < SHARD_SLOTS; s++)
        parts_open_slot(&ps, s);
    for (uint32_t s = 0; s < SHARD_SLOTS; s++) {
        CHECK_U64(parts_least(&ps, slots_of(0), 1), 0);
        parts_join_slot(&ps, s, &image, NULL);
        CHECK_U64(ps.count, s + 1 < SHARD_SLOTS ? 2 : 1);
    }
    CHECK_U64(parts_least(&ps, slots_of(0), 1), 9);
    vclock_free(&image);
    parts_free(&ps);
}

/* The write that another slot has already says nothing about a slot that lacks the one before. */
static void a_write_advances_only_slots_that_were_just_before_it(void) {
    struct vclock four = {0};
    struct parts ps;
    vclock_set(&four, (struct dot){1, 4});
    parts_init(&ps);
    parts_open_slot(&ps, 0);
    parts_join_slot(&ps, 1, &four, NULL);
    parts_deliver(&ps, slots_of(0), 1, (struct dot){1, 5});
    CHECK_U64(vclock_get(parts_clock(&ps, 1), 1), 5);
    CHECK_U64(vclock_get(parts_clock(&ps, 0), 1), 0);
    parts_join_slot(&ps, 0, &four, NULL);
    parts_deliver(&ps, slots_of(0), 1, (struct dot){1, 5}); /* comes again, is here */
    CHECK_U64(vclock_get(parts_clock(&ps, 0), 1), 5);
    parts_unite(&ps);
    CHECK_U64(ps.count, 1);
    vclock_free(&four);
    parts_free(&ps);
}

static void the_slots_of_a_set_are_walked_in_order(void) {
    static const uint32_t some[] = {0, 1, 62, 63, 64, 127, 128, 1000, 1023};
    struct slots set = {0};
    CHECK_U64(slots_next(&set, 0), SHARD_SLOTS);
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        slots_add(&set, some[i]);
    uint32_t at = 0;
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        CHECK_U64(slots_next(&set, at), some[i]);
        CHECK(slots_has(&set, some[i]));
        at = some[i] + 1;
    }
    CHECK_U64(slots_next(&set, at), SHARD_SLOTS); /* from behind the last slot of all */
    slots_remove(&set, 1023);
    CHECK_U64(slots_next(&set, 1001), SHARD_SLOTS);
    CHECK(!slots_has(&set, 1023));
}

int main(void) {
    RUN(parts_say_the_same_as_a_clock_for_each_slot);
    RUN(equal_slots_share_a_part);
    RUN(slots_taken_over_one_at_a_time_are_one_part_in_the_end);
    RUN(a_write_advances_only_slots_that_were_just_before_it);
    RUN(the_slots_of_a_set_are_walked_in_order);
    return kit_finish();
}
