/* The store against a reference model: an array of what was put last under each key. */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>

#include "../shard.h"
#include "../store.h"

static const struct hash_seed SEED = {0x1234567890abcdef, 0xfedcba0987654321};

static struct store_place place_of(const struct store *s, struct slice key) {
    return store_locate(s, key);
}

static bool put(struct store *s, struct version v) {
    return store_put(s, place_of(s, v.key), &v);
}

static bool find(const struct store *s, struct slice key, struct version *out) {
    return store_find(s, place_of(s, key), key, out);
}

static void check_version(const struct version *got, const struct version *want) {
    CHECK_U64(got->dot.actor, want->dot.actor);
    CHECK_U64(got->dot.n, want->dot.n);
    CHECK_U64(got->hlc, want->hlc);
    CHECK(got->is_tombstone == want->is_tombstone);
    CHECK_SLICE(got->key, want->key);
    CHECK_SLICE(got->value, want->value);
    CHECK_SLICE(got->deps, want->deps);
}

/* ---- Single keys ---- */

static void an_empty_store_has_nothing(void) {
    struct store *s = store_create(&SEED);
    struct version v;
    CHECK(!find(s, SLICE("a"), &v));
    CHECK(store_live(s) == 0 && store_tombstones(s) == 0);
    CHECK(store_bytes(s) > 0);
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot++) {
        struct store_walk walk = store_walk_slot(slot);
        CHECK(!store_walk_next(s, &walk, &v));
        CHECK_U64(store_slot_live(s, slot), 0);
    }
    store_free(s);
}

static void a_version_is_given_back_as_it_was_put(void) {
    struct store *s = store_create(&SEED);
    struct version v = {.dot = {7, UINT64_MAX},
                        .hlc = UINT64_MAX - 1,
                        .key = {"k\0ey", 4},
                        .value = SLICE("{\"a\":1}"),
                        .deps = {"\0\1\2", 3}};
    struct version got;
    CHECK(put(s, v));
    if (CHECK(find(s, v.key, &got))) check_version(&got, &v);
    CHECK(!find(s, SLICE("k"), &got));
    CHECK(!find(s, (struct slice){"k\0ez", 4}, &got));
    CHECK(!find(s, (struct slice){"k\0e", 3}, &got));
    store_free(s);
}

static void keys_may_have_any_length_up_to_the_limit(void) {
    struct store *s = store_create(&SEED);
    char key[STORE_KEY_BYTES_MAX];
    memset(key, 'k', sizeof key);
    for (size_t len = 1; len <= sizeof key; len++) {
        CHECK(put(s, (struct version){.dot = {0, len}, .key = {key, len}, .value = SLICE("1")}));
    }
    for (size_t len = 1; len <= sizeof key; len++) {
        struct version got;
        if (CHECK(find(s, (struct slice){key, len}, &got))) CHECK_U64(got.dot.n, len);
    }
    CHECK_U64(store_live(s), sizeof key);
    store_free(s);
}

static void a_tombstone_takes_the_place_of_a_value_and_back(void) {
    struct store *s = store_create(&SEED);
    struct version value = {.dot = {0, 1}, .hlc = 1, .key = SLICE("a"), .value = SLICE("1")};
    struct version grave = {.dot = {0, 2}, .hlc = 2, .key = SLICE("a"), .is_tombstone = true};
    struct version got;
    uint32_t slot = shard_slot(value.key);
    CHECK(put(s, value));
    CHECK(store_live(s) == 1 && store_tombstones(s) == 0 && store_slot_live(s, slot) == 1);
    CHECK(put(s, grave));
    CHECK(store_live(s) == 0 && store_tombstones(s) == 1 && store_slot_live(s, slot) == 0);
    if (CHECK(find(s, value.key, &got))) check_version(&got, &grave);
    CHECK(put(s, grave));
    CHECK(store_live(s) == 0 && store_tombstones(s) == 1);
    CHECK(put(s, value));
    CHECK(store_live(s) == 1 && store_tombstones(s) == 0 && store_slot_live(s, slot) == 1);
    store_free(s);
}

static void a_version_may_borrow_from_the_one_that_it_replaces(void) {
    struct store *s = store_create(&SEED);
    struct version v = {
        .dot = {1, 1}, .key = SLICE("key"), .value = SLICE("[1,2,3]"), .deps = SLICE("deps")};
    CHECK(put(s, v));
    for (uint64_t n = 2; n < 10; n++) {
        struct version old;
        if (!CHECK(find(s, SLICE("key"), &old))) break;
        old.dot.n = n;
        CHECK(put(s, old));
    }
    struct version got, want = v;
    want.dot.n = 9;
    if (CHECK(find(s, SLICE("key"), &got))) check_version(&got, &want);
    store_free(s);
}

/* ---- Random operations ---- */

#define MODEL_KEYS 3000
#define BYTES_MAX  300

struct model {
    bool known[MODEL_KEYS];
    struct version versions[MODEL_KEYS]; /* with slices into `bytes` */
    char bytes[MODEL_KEYS][16 + 2 * BYTES_MAX];
    uint64_t live, tombstones, content; /* of all; content in bytes as the store counts */
    uint32_t slots;                     /* that keys are put into: few of them make long tables */
};

static struct store_place model_place(const struct model *m, const struct store *s,
                                      struct slice key) {
    struct store_place place = store_locate(s, key);
    place.slot %= m->slots;
    return place;
}

static void fill(struct kit_random *random, char *to, size_t len) {
    for (size_t i = 0; i < len; i++)
        to[i] = (char)kit_next(random);
}

static uint64_t entry_bytes(const struct version *v) {
    return (uint64_t)store_growth(v, NULL) - sizeof(void *);
}

static void count(struct model *m, const struct version *v, uint64_t one) {
    if (v->is_tombstone) {
        m->tombstones += one;
    } else {
        m->live += one;
    }
    m->content += one * entry_bytes(v);
}

/* Puts something random under a random key into both. */
static void put_both(struct model *m, struct store *s, struct kit_random *random) {
    size_t i = (size_t)kit_below(random, MODEL_KEYS);
    char *at = m->bytes[i];
    struct version before = m->versions[i], *v = &m->versions[i];
    if (m->known[i]) count(m, &before, UINT64_MAX);
    int key_len = snprintf(at, 16, "key%zu", i);
    v->key = (struct slice){at, (size_t)key_len};
    v->dot = (struct dot){(uint32_t)kit_below(random, 5), kit_next(random)};
    v->hlc = kit_next(random);
    v->is_tombstone = kit_below(random, 4) == 0;
    v->value = (struct slice){at + 16, kit_below(random, BYTES_MAX)};
    if (v->is_tombstone) v->value.len = 0;
    v->deps = (struct slice){at + 16 + BYTES_MAX, kit_below(random, 3) * kit_below(random, 100)};
    fill(random, at + 16, 2 * BYTES_MAX);
    m->known[i] = true;
    count(m, v, 1);
    CHECK(store_put(s, model_place(m, s, v->key), v));
}

static void check_key(const struct model *m, const struct store *s, size_t i) {
    char text[16];
    struct version got;
    snprintf(text, sizeof text, "key%zu", i);
    struct slice key = slice_of(text);
    bool found = store_find(s, model_place(m, s, key), key, &got);
    if (CHECK(found == m->known[i]) && found) check_version(&got, &m->versions[i]);
}

/* Every key of the model is met once, in its slot, and nothing else is. */
static void check_walk(const struct model *m, const struct store *s) {
    static bool met[MODEL_KEYS];
    uint64_t visited = 0;
    memset(met, 0, sizeof met);
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot++) {
        struct version v;
        uint64_t live = 0;
        for (struct store_walk w = store_walk_slot(slot); store_walk_next(s, &w, &v);) {
            uint64_t i;
            if (!CHECK(slice_to_u64((struct slice){v.key.at + 3, v.key.len - 3}, &i))) return;
            CHECK(!met[i]);
            met[i] = true;
            CHECK_U64(model_place(m, s, v.key).slot, slot);
            check_version(&v, &m->versions[i]);
            live += !v.is_tombstone;
            visited++;
        }
        CHECK_U64(store_slot_live(s, slot), live);
    }
    CHECK_U64(visited, m->live + m->tombstones);
}

/* What is not content is the table of tables and one pointer a bucket, with an eighth to spare. */
static void check_books(const struct model *m, const struct store *s, uint64_t empty_bytes) {
    uint64_t keys = m->live + m->tombstones;
    CHECK_U64(store_live(s), m->live);
    CHECK_U64(store_tombstones(s), m->tombstones);
    uint64_t rest = store_bytes(s) - empty_bytes - m->content;
    uint64_t used_slots = keys < m->slots ? keys : m->slots;
    CHECK(rest >= keys * sizeof(void *));
    CHECK(rest <= keys * sizeof(void *) * 9 / 8 + used_slots * 56);
}

static void run_against_model(uint32_t slots, int steps) {
    struct kit_random random = {kit_seed() + slots};
    struct model *m = calloc(1, sizeof *m);
    struct hash_seed seed = {kit_next(&random), kit_next(&random)};
    struct store *s = store_create(&seed);
    uint64_t empty_bytes = store_bytes(s);
    m->slots = slots;
    for (int step = 0; step < steps; step++) {
        kit_note("%u slots, step %d", slots, step);
        put_both(m, s, &random);
        check_key(m, s, (size_t)kit_below(&random, MODEL_KEYS));
        if (step % 500 == 0) {
            check_walk(m, s);
            check_books(m, s, empty_bytes);
        }
    }
    for (size_t i = 0; i < MODEL_KEYS; i++)
        check_key(m, s, i);
    check_walk(m, s);
    check_books(m, s, empty_bytes);
    store_free(s);
    free(m);
}

static void random_operations_agree_with_the_model_in_one_long_table(void) {
    run_against_model(1, 12000);
}

static void random_operations_agree_with_the_model_in_a_few_tables(void) {
    run_against_model(7, 12000);
}

static void random_operations_agree_with_the_model_in_all_slots(void) {
    run_against_model(SHARD_SLOTS, 12000);
}

/* ---- Growth ---- */

/* After each insertion, so that each number of buckets is looked at, everything is still there. */
static void all_keys_are_found_at_every_number_of_buckets(void) {
    struct store *s = store_create(&SEED);
    unsigned lost = 0;
    for (uint64_t keys = 0; keys < 600; keys++) {
        char text[16];
        snprintf(text, sizeof text, "%llu", (unsigned long long)keys);
        struct version v = {.dot = {0, keys}, .key = slice_of(text), .value = SLICE("1")};
        struct store_place place = store_locate(s, v.key);
        place.slot = 5;
        CHECK(store_put(s, place, &v));
        for (uint64_t i = 0; i <= keys; i++) {
            struct version got;
            snprintf(text, sizeof text, "%llu", (unsigned long long)i);
            place = store_locate(s, slice_of(text));
            place.slot = 5;
            lost += !store_find(s, place, slice_of(text), &got) || got.dot.n != i;
        }
    }
    CHECK_U64(lost, 0);
    store_free(s);
}

/* ---- Memory ---- */

static void put_numbered(struct store *s, uint32_t keys, size_t value_len) {
    static char value[5000];
    memset(value, 'v', sizeof value);
    for (uint32_t i = 0; i < keys; i++) {
        char text[16];
        snprintf(text, sizeof text, "%010u", i);
        struct version v = {.dot = {0, i + 1},
                            .key = slice_of(text),
                            .value = {value, value_len},
                            .is_tombstone = value_len == 0};
        CHECK(put(s, v));
    }
}

static void the_books_return_when_values_do(void) {
    struct store *s = store_create(&SEED);
    put_numbered(s, 2000, 20);
    put_numbered(s, 2000, 20); /* a table may still add the bucket that is due */
    uint64_t before = store_bytes(s);
    put_numbered(s, 2000, 5000);
    CHECK(store_bytes(s) > before + 2000 * 4900);
    put_numbered(s, 2000, 0);
    CHECK(store_bytes(s) < before);
    put_numbered(s, 2000, 20);
    CHECK_U64(store_bytes(s), before);
    store_free(s);
}

static void a_dropped_slot_is_empty_at_once_and_its_memory_goes_in_steps(void) {
    struct store *s = store_create(&SEED);
    uint64_t empty = store_bytes(s);
    put_numbered(s, 20000, 20);
    uint64_t full = store_bytes(s);
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot++)
        store_drop_slot(s, slot);
    CHECK_U64(store_live(s), 0);
    CHECK_U64(store_slot_live(s, shard_slot(SLICE("0000000007"))), 0);
    CHECK_U64(store_bytes(s), full);
    store_sweep(s, 10000);
    CHECK(store_bytes(s) < empty + (full - empty) * 6 / 10);
    CHECK(store_bytes(s) > empty + (full - empty) * 4 / 10);
    put_numbered(s, 1, 20);
    store_sweep(s, 20000);
    CHECK_U64(store_live(s), 1);
    CHECK(store_bytes(s) < empty + 1000);
    store_drop_slot(s, shard_slot(SLICE("0000000000")));
    store_free(s);
}

static void a_key_costs_at_most_64_bytes_beside_its_content(void) {
    enum { KEYS = 100000, CONTENT = 10 + 23 };
    struct store *s = store_create(&SEED);
    put_numbered(s, KEYS, 23);
    CHECK(store_bytes(s) / KEYS <= CONTENT + 64);
    CHECK(store_bytes(s) / KEYS >= CONTENT + sizeof(void *));
    store_free(s);
}

static void growth_is_announced_as_it_happens(void) {
    static const size_t lengths[] = {0, 1, 7, 8, 15, 16, 17, 100, 1000, 4096};
    size_t count_of = sizeof lengths / sizeof *lengths;
    char text[4096] = {0};
    struct store *s = store_create(&SEED);
    struct version v = {.key = SLICE("k"), .value = {text, 1}};
    CHECK(put(s, v) && put(s, v));
    for (size_t i = 0; i < count_of * count_of; i++) {
        struct version from = v, to = v, old;
        from.value.len = lengths[i / count_of];
        to.deps = (struct slice){text, lengths[i % count_of]};
        CHECK(put(s, from) && find(s, v.key, &old));
        int64_t growth = store_growth(&to, &old);
        uint64_t before = store_bytes(s);
        CHECK(put(s, to));
        kit_note("from %zu to %zu", lengths[i / count_of], lengths[i % count_of]);
        CHECK_U64(store_bytes(s), before + (uint64_t)growth);
    }
    store_free(s);
}

int main(void) {
    RUN(an_empty_store_has_nothing);
    RUN(a_version_is_given_back_as_it_was_put);
    RUN(keys_may_have_any_length_up_to_the_limit);
    RUN(a_tombstone_takes_the_place_of_a_value_and_back);
    RUN(a_version_may_borrow_from_the_one_that_it_replaces);
    RUN(random_operations_agree_with_the_model_in_one_long_table);
    RUN(random_operations_agree_with_the_model_in_a_few_tables);
    RUN(random_operations_agree_with_the_model_in_all_slots);
    RUN(all_keys_are_found_at_every_number_of_buckets);
    RUN(the_books_return_when_values_do);
    RUN(a_dropped_slot_is_empty_at_once_and_its_memory_goes_in_steps);
    RUN(a_key_costs_at_most_64_bytes_beside_its_content);
    RUN(growth_is_announced_as_it_happens);
    return kit_finish();
}
