/* Slots and maps: how evenly keys are spread, and that all nodes draw the same first map. */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>

#include "../hash.h"
#include "../shard.h"

static struct map *first_map(uint32_t nodes, uint32_t shards) {
    struct address view[SHARD_COUNT_MAX * 2];
    for (uint32_t i = 0; i < nodes; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.%u.%u:8090", i / 100, i % 100);
        view[i] = kit_address(text);
    }
    return map_create_first(view, nodes, shards, true);
}

/* ---- Spread ---- */

/* By how much the worst shard is off its even share of key0..key(count-1). */
static double worst_deviation(uint32_t shards, uint32_t count) {
    struct map *m = first_map(shards, shards);
    uint32_t keys[SHARD_COUNT_MAX] = {0};
    for (uint32_t i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof key, "key%u", i);
        keys[m->shard_of_slot[shard_slot(slice_of(key))]]++;
    }
    double even = (double)count / shards, worst = 0;
    for (uint32_t s = 0; s < shards; s++) {
        double off = keys[s] > even ? keys[s] - even : even - keys[s];
        if (off / even > worst) worst = off / even;
    }
    map_free(m);
    return worst;
}

static void few_keys_are_spread_within_a_quarter(void) {
    for (uint32_t shards = 2; shards <= 4; shards++) {
        kit_note("%u shards", shards);
        CHECK(worst_deviation(shards, 600) <= 0.25);
        CHECK(worst_deviation(shards, 200) <= 0.25);
    }
}

static void many_keys_are_spread_within_5_percent(void) {
    for (uint32_t shards = 2; shards <= 16; shards++) {
        kit_note("%u shards", shards);
        CHECK(worst_deviation(shards, 100000) <= 0.05);
    }
}

static void a_slot_is_the_checksum_modulo_1024(void) {
    CHECK_U64(shard_slot(SLICE("123456789")), 0xcbf43926 % 1024);
    CHECK_U64(shard_slot((struct slice){NULL, 0}), 0);
    for (uint32_t i = 0; i < 1000; i++) {
        char key[32];
        snprintf(key, sizeof key, "%u", i);
        CHECK_U64(shard_slot(slice_of(key)), hash_crc32(slice_of(key)) % 1024);
    }
}

/* ---- First maps ---- */

static void slots_and_nodes_are_dealt_in_turn(void) {
    struct map *m = first_map(7, 3);
    CHECK_U64(m->epoch, 1);
    CHECK_U64(m->shard_count, 3);
    CHECK_U64(m->node_count, 7);
    CHECK(m->is_explicit);
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot++) {
        CHECK_U64(m->shard_of_slot[slot], slot % 3);
    }
    for (uint32_t i = 0; i < 7; i++) {
        CHECK_U64(m->shard_of_node[i], i % 3);
        CHECK_U64(map_shard_of_node(m, &m->nodes[i]), i % 3);
    }
    struct address stranger = kit_address("alice:8090"), port = kit_address("10.0.0.0:8091");
    CHECK(map_shard_of_node(m, &stranger) == SHARD_NONE);
    CHECK(map_shard_of_node(m, &port) == SHARD_NONE);
    map_free(m);
}

static void check_same_map(const struct map *a, const struct map *b) {
    CHECK_U64(a->id, b->id);
    CHECK(memcmp(a->group, b->group, sizeof a->group) == 0);
    CHECK(memcmp(a->shard_of_slot, b->shard_of_slot, sizeof a->shard_of_slot) == 0);
}

static void the_same_view_gives_the_same_map_on_every_node(void) {
    struct map *a = first_map(6, 2), *b = first_map(6, 2);
    check_same_map(a, b);
    map_free(a);
    map_free(b);
}

/* For ever: nodes of another release compute it, too. */
static void the_id_of_a_map_does_not_change_between_releases(void) {
    struct address view[2] = {kit_address("10.10.0.2:8090"), kit_address("alice:8090")};
    struct map *m = map_create_first(view, 2, 1, true);
    const char canonical[] = "explicit 1 1 10.10.0.2:8090 alice:8090";
    struct hash_seed zero = {0, 0};
    CHECK_U64(m->id, hash_seeded(&zero, slice_of(canonical)));
    map_free(m);
}

static void whatever_differs_gives_another_map(void) {
    struct address view[3] = {kit_address("a:1"), kit_address("b:1"), kit_address("c:1")};
    struct address other[3] = {kit_address("a:1"), kit_address("b:2"), kit_address("c:1")};
    struct map *maps[] = {
        map_create_first(view, 3, 1, true),  map_create_first(view, 3, 1, false),
        map_create_first(view, 3, 2, true),  map_create_first(view, 2, 2, true),
        map_create_first(other, 3, 1, true), map_create_first(other, 3, 3, true),
    };
    size_t count = sizeof maps / sizeof *maps;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            kit_note("maps %zu and %zu", i, j);
            CHECK(maps[i]->id != maps[j]->id);
            CHECK(maps[i]->id >> 32 != maps[j]->id >> 32);
            for (uint32_t s = 0; s < maps[i]->shard_count; s++) {
                for (uint32_t t = 0; t < maps[j]->shard_count; t++) {
                    CHECK(maps[i]->group[s] != maps[j]->group[t]);
                }
            }
        }
    }
    for (size_t i = 0; i < count; i++)
        map_free(maps[i]);
}

static void the_shards_of_a_map_have_different_groups(void) {
    struct map *m = first_map(SHARD_COUNT_MAX, SHARD_COUNT_MAX);
    for (uint32_t s = 0; s < SHARD_COUNT_MAX; s++) {
        for (uint32_t t = 0; t < s; t++)
            CHECK(m->group[s] != m->group[t]);
    }
    map_free(m);
}

/* ---- Ids ---- */

static void shard_ids_go_there_and_back(void) {
    struct map *m = first_map(SHARD_COUNT_MAX, SHARD_COUNT_MAX);
    for (uint32_t shard = 0; shard < SHARD_COUNT_MAX; shard++) {
        char got[SHARD_ID_BYTES], want[8];
        shard_id_text(shard, got);
        snprintf(want, sizeof want, "s%u", shard);
        CHECK_TEXT(slice_of(got), want);
        CHECK_U64(shard_of_id_text(m, slice_of(got)), shard);
    }
    map_free(m);
}

static void other_texts_are_no_shard(void) {
    static const char *const cases[] = {"",    "s",   "s3",  "s64", "s99", "s100", "s00",
                                        "s01", "S0",  "0",   "s-1", "s 1", "s0 ",  "s0/",
                                        "x0",  "s+0", "s0x", "ss0", "s1.0"};
    struct map *m = first_map(3, 3);
    struct guard g = guard_create();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice s = slice_of(cases[i]);
        kit_note("%s", cases[i]);
        CHECK(shard_of_id_text(m, (struct slice){guard_end(&g, s), s.len}) == SHARD_NONE);
    }
    CHECK(shard_of_id_text(m, (struct slice){NULL, 0}) == SHARD_NONE);
    CHECK_U64(shard_of_id_text(m, SLICE("s2")), 2);
    guard_free(&g);
    map_free(m);
}

int main(void) {
    RUN(few_keys_are_spread_within_a_quarter);
    RUN(many_keys_are_spread_within_5_percent);
    RUN(a_slot_is_the_checksum_modulo_1024);
    RUN(slots_and_nodes_are_dealt_in_turn);
    RUN(the_same_view_gives_the_same_map_on_every_node);
    RUN(the_id_of_a_map_does_not_change_between_releases);
    RUN(whatever_differs_gives_another_map);
    RUN(the_shards_of_a_map_have_different_groups);
    RUN(shard_ids_go_there_and_back);
    RUN(other_texts_are_no_shard);
    return kit_finish();
}
