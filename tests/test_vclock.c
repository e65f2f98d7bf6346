/* The registry of actors, and vector clocks against a plain array. */
#include "kit.h"

#include <stdio.h>

#include "../vclock.h"

/* ---- The registry ---- */

static void an_actor_is_learned_once(void) {
    struct actors *as = actors_create();
    struct address alice = kit_address("Alice:8090"), bob = kit_address("10.0.0.2:1");
    uint32_t a = actors_learn(as, 0x5f3a9c01d2e4b7a1, &alice, 7, 70);
    uint32_t b = actors_learn(as, 0x5f3a9c01d2e4b7a2, &bob, 8, 80);
    CHECK_U64(actors_learn(as, 0x5f3a9c01d2e4b7a1, &bob, 9, 90), a);
    CHECK_U64(actors_count(as), 2);
    CHECK(a != b);
    const struct actor *actor = actors_get(as, a);
    CHECK_U64(actor->id, 0x5f3a9c01d2e4b7a1);
    CHECK_U64(actor->boot, 7);
    CHECK_U64(actor->group, 70);
    CHECK(address_compare(&actor->node, &alice) == 0);
    CHECK_TEXT(actor->label, "alice:8090#5f3a9c01d2e4b7a1");
    CHECK_TEXT(actor->member, "\"alice:8090#5f3a9c01d2e4b7a1\":");
    CHECK_TEXT(actors_get(as, b)->label, "10.0.0.2:1#5f3a9c01d2e4b7a2");
    actors_free(as);
}

static void an_actor_is_found_by_its_whole_label_only(void) {
    static const char *const others[] = {
        "",
        "alice:8090",
        "5f3a9c01d2e4b7a1",
        "#5f3a9c01d2e4b7a1",
        "alice:8090#5f3a9c01d2e4b7a",
        "alice:8090#5f3a9c01d2e4b7a12",
        "alice:8090#5f3a9c01d2e4b7a2",
        "alice:8090#5F3A9C01D2E4B7A1",
        "Alice:8090#5f3a9c01d2e4b7a1",
        "alice:8091#5f3a9c01d2e4b7a1",
        "lice:8090#5f3a9c01d2e4b7a1",
        "aalice:8090#5f3a9c01d2e4b7a1",
    };
    struct actors *as = actors_create();
    struct guard g = guard_create();
    struct address alice = kit_address("alice:8090");
    uint32_t a = actors_learn(as, 0x5f3a9c01d2e4b7a1, &alice, 7, 70);
    CHECK_U64(actors_find(as, SLICE("alice:8090#5f3a9c01d2e4b7a1")), a);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct slice s = slice_of(others[i]);
        kit_note("%s", others[i]);
        CHECK(actors_find(as, (struct slice){guard_end(&g, s), s.len}) == ACTOR_NONE);
    }
    guard_free(&g);
    actors_free(as);
}

/* Ids that share their low bits as well as random ones, over many growths of the table. */
static void many_actors_are_all_found_after_growth(void) {
    enum { COUNT = 3000 };
    static uint64_t ids[COUNT];
    struct kit_random random = {kit_seed()};
    struct actors *as = actors_create();
    for (uint32_t i = 0; i < COUNT; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.%u.%u:1", i / 250, i % 250);
        struct address node = kit_address(text);
        ids[i] = i % 3 == 0 ? (uint64_t)i << 40 : kit_next(&random) << 1 | 1;
        CHECK_U64(actors_learn(as, ids[i], &node, i, i), i);
    }
    CHECK_U64(actors_count(as), COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        const struct actor *actor = actors_get(as, i);
        CHECK_U64(actor->id, ids[i]);
        CHECK_U64(actor->group, i);
        CHECK_U64(actors_find(as, actor->label), i);
        CHECK_U64(actors_learn(as, ids[i], &actor->node, 0, 0), i);
    }
    actors_free(as);
}

static void a_label_lives_as_long_as_the_registry(void) {
    struct actors *as = actors_create();
    struct address node = kit_address("alice:1");
    struct slice label = actors_get(as, actors_learn(as, 1, &node, 1, 1))->label;
    for (uint64_t id = 2; id < 500; id++)
        actors_learn(as, id, &node, 1, 1);
    CHECK_TEXT(label, "alice:1#0000000000000001");
    actors_free(as);
}

/* ---- Clocks ---- */

#define MODEL_ACTORS 40

static void check_against(const struct vclock *c, const uint64_t model[MODEL_ACTORS],
                          const bool there[MODEL_ACTORS]) {
    uint32_t expected = 0;
    for (uint32_t a = 0; a < MODEL_ACTORS; a++) {
        CHECK_U64(vclock_get(c, a), model[a]);
        CHECK(vclock_has(c, (struct dot){a, model[a]}));
        CHECK(!vclock_has(c, (struct dot){a, model[a] + 1}));
        expected += there[a];
    }
    CHECK_U64(c->len, expected);
    for (uint32_t i = 1; i < c->len; i++)
        CHECK(c->dots[i - 1].actor < c->dots[i].actor);
}

static void random_changes_agree_with_a_plain_array(void) {
    struct kit_random random = {kit_seed()};
    for (int round = 0; round < 50; round++) {
        struct vclock c = {0};
        uint64_t model[MODEL_ACTORS] = {0};
        bool there[MODEL_ACTORS] = {0};
        for (int step = 0; step < 200; step++) {
            struct dot dot = {(uint32_t)kit_below(&random, MODEL_ACTORS),
                              1 + kit_below(&random, 20)};
            bool raise = kit_below(&random, 2) != 0;
            there[dot.actor] = true;
            if (raise) {
                vclock_raise(&c, dot);
                if (model[dot.actor] < dot.n) model[dot.actor] = dot.n;
            } else {
                vclock_set(&c, dot);
                model[dot.actor] = dot.n;
            }
        }
        kit_note("round %d", round);
        check_against(&c, model, there);
        vclock_free(&c);
    }
}

static struct vclock random_clock(struct kit_random *random) {
    struct vclock c = {0};
    for (uint64_t left = kit_below(random, 30); left > 0; left--) {
        vclock_raise(
            &c, (struct dot){(uint32_t)kit_below(random, MODEL_ACTORS), 1 + kit_below(random, 9)});
    }
    return c;
}

static bool same_clock(const struct vclock *a, const struct vclock *b) {
    for (uint32_t actor = 0; actor < MODEL_ACTORS; actor++) {
        if (vclock_get(a, actor) != vclock_get(b, actor)) return false;
    }
    return a->len == b->len;
}

static void joining_is_the_least_upper_bound(void) {
    struct kit_random random = {kit_seed()};
    for (int round = 0; round < 300; round++) {
        struct vclock a = random_clock(&random), b = random_clock(&random), ab = {0}, ba = {0};
        vclock_join(&ab, &a);
        vclock_join(&ab, &b);
        vclock_join(&ba, &b);
        vclock_join(&ba, &a);
        kit_note("round %d", round);
        CHECK(same_clock(&ab, &ba));
        for (uint32_t actor = 0; actor < MODEL_ACTORS; actor++) {
            uint64_t x = vclock_get(&a, actor), y = vclock_get(&b, actor);
            CHECK_U64(vclock_get(&ab, actor), x > y ? x : y);
        }
        vclock_join(&ab, &a);
        CHECK(same_clock(&ab, &ba));
        vclock_free(&a);
        vclock_free(&b);
        vclock_free(&ab);
        vclock_free(&ba);
    }
}

static void a_cleared_clock_has_nothing(void) {
    struct vclock c = {0};
    CHECK(vclock_get(&c, 0) == 0 && vclock_has(&c, (struct dot){3, 0}));
    vclock_set(&c, (struct dot){5, 9});
    vclock_clear(&c);
    CHECK_U64(c.len, 0);
    CHECK_U64(vclock_get(&c, 5), 0);
    vclock_raise(&c, (struct dot){5, 2});
    CHECK_U64(vclock_get(&c, 5), 2);
    vclock_free(&c);
    CHECK(c.dots == NULL && c.len == 0 && c.cap == 0);
}

int main(void) {
    RUN(an_actor_is_learned_once);
    RUN(an_actor_is_found_by_its_whole_label_only);
    RUN(many_actors_are_all_found_after_growth);
    RUN(a_label_lives_as_long_as_the_registry);
    RUN(random_changes_agree_with_a_plain_array);
    RUN(joining_is_the_least_upper_bound);
    RUN(a_cleared_clock_has_nothing);
    return kit_finish();
}
