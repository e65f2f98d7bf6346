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
    CHECK(memcmp(a->newborn, b->newborn, sizeof a->newborn) == 0);
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

static void a_first_map_founds_all_its_groups_and_a_derived_one_none(void) {
    struct map *m = first_map(6, 3);
    struct address by = kit_address("a:1");
    struct map_change nothing = {.live_count = 6, .proposer = &by};
    struct map *later = map_derive(m, &nothing);
    for (uint32_t s = 0; s < SHARD_COUNT_MAX; s++) {
        kit_note("shard %u", s);
        CHECK(m->newborn[s] == (s < 3));
        CHECK(!later->newborn[s]);
        CHECK_U64(later->group[s], m->group[s]);
    }
    map_free(m);
    map_free(later);
}

static void the_shards_of_a_map_have_different_groups(void) {
    struct map *m = first_map(SHARD_COUNT_MAX, SHARD_COUNT_MAX);
    for (uint32_t s = 0; s < SHARD_COUNT_MAX; s++) {
        for (uint32_t t = 0; t < s; t++)
            CHECK(m->group[s] != m->group[t]);
    }
    map_free(m);
}

/* ---- Later maps ---- */

static struct map *derive(const struct map *from, const char *add, const char *remove,
                          const char *proposer, uint64_t nonce) {
    struct address added = kit_address(add == NULL ? "a:1" : add);
    struct address removed = kit_address(remove == NULL ? "a:1" : remove);
    struct address by = kit_address(proposer);
    struct map_change change = {.add = &added,
                                .add_count = add != NULL,
                                .remove = remove == NULL ? NULL : &removed,
                                .live_count = 2,
                                .proposer = &by,
                                .nonce = nonce};
    return map_derive(from, &change);
}

static void a_later_map_keeps_all_but_the_change(void) {
    struct map *m = first_map(5, 1);
    struct map *n = derive(m, "10.0.0.25:8090", "10.0.0.3:8090", "10.0.0.1:8090", 7);
    static const char *const nodes[] = {"10.0.0.0:8090", "10.0.0.1:8090", "10.0.0.2:8090",
                                        "10.0.0.4:8090", "10.0.0.25:8090"};
    CHECK_U64(n->epoch, 2);
    CHECK(n->is_explicit == m->is_explicit && n->id != m->id && map_less(m, n));
    CHECK_U64(n->group[0], m->group[0]);
    CHECK(memcmp(n->shard_of_slot, m->shard_of_slot, sizeof m->shard_of_slot) == 0);
    if (CHECK_U64(n->node_count, 5)) {
        for (uint32_t i = 0; i < 5; i++) {
            CHECK_TEXT(address_text(&n->nodes[i]), nodes[i]);
            CHECK_U64(n->shard_of_node[i], 0);
        }
    }
    map_free(m);
    map_free(n);
}

static void check_members(const struct map *m, const char *const nodes[], uint32_t count) {
    if (!CHECK_U64(m->node_count, count)) return;
    for (uint32_t i = 0; i < count; i++) {
        kit_note("node %u", i);
        CHECK_TEXT(address_text(&m->nodes[i]), nodes[i]);
        CHECK_U64(m->shard_of_node[i], 0);
    }
}

static void a_node_that_stands_by_is_added_where_it_stands(void) {
    struct address view[] = {kit_address("a:1"), kit_address("b:1"), kit_address("c:1")};
    static const char *const nodes[] = {"a:1", "b:1", "c:1"};
    struct map *m = map_create_first(view, 3, 1, true);
    for (uint32_t i = 0; i < 3; i++) {
        m->shard_of_node[i] = SHARD_NONE;
        struct map *n = derive(m, nodes[i], NULL, "a:1", 1);
        check_members(n, nodes, 3);
        m->shard_of_node[i] = 0;
        map_free(n);
    }
    map_free(m);
}

static void who_is_added_to_the_shard_that_it_is_in_stays(void) {
    struct address view[] = {kit_address("a:1"), kit_address("c:1")}, by = view[0];
    struct address add[] = {kit_address("c:1"), kit_address("b:1"), kit_address("b:1")};
    static const char *const nodes[] = {"a:1", "b:1", "c:1"};
    struct map *m = map_create_first(view, 2, 1, true);
    struct map_change change = {.add = add, .add_count = 3, .proposer = &by};
    struct map *n = map_derive(m, &change);
    check_members(n, nodes, 3);
    map_free(m);
    map_free(n);
}

static void who_stands_by_can_be_removed(void) {
    struct address view[] = {kit_address("a:1"), kit_address("b:1"), kit_address("c:1")};
    static const char *const nodes[] = {"a:1", "c:1"};
    struct map *m = map_create_first(view, 3, 1, true);
    m->shard_of_node[1] = SHARD_NONE;
    struct map *n = derive(m, NULL, "b:1", "a:1", 1);
    check_members(n, nodes, 2);
    map_free(m);
    map_free(n);
}

static struct map *through_bytes(const struct map *m) {
    struct buffer bytes = {0};
    map_encode(&bytes, m);
    struct map *copy = map_decode(buffer_slice(&bytes));
    buffer_free(&bytes);
    return copy;
}

#define MAPS 12

/* Maps that differ in each thing that the order looks at. */
static void make_maps(struct map *maps[MAPS]) {
    struct address view[3] = {kit_address("a:1"), kit_address("b:1"), kit_address("c:1")};
    maps[0] = map_create_first(view, 3, 1, false);
    maps[1] = map_create_first(view, 2, 1, false);
    maps[2] = map_create_first(view, 3, 1, true);
    maps[3] = map_create_first(view, 3, 3, true);
    maps[4] = derive(maps[0], NULL, "b:1", "a:1", 1);
    maps[5] = derive(maps[0], NULL, "b:1", "a:1", 2);
    maps[6] = derive(maps[0], NULL, "b:1", "c:1", 1);
    maps[7] = derive(maps[0], "d:1", NULL, "c:1", 1); /* differs in its content alone */
    maps[8] = derive(maps[4], "z:1", NULL, "c:1", UINT64_MAX);
    maps[9] = derive(maps[2], NULL, NULL, "a:1", 0);
    maps[10] = derive(maps[3], "d:1", "a:1", "a:1", 0);
    maps[11] = derive(maps[10], NULL, "b:1", "10.0.0.1:1", 0);
}

static void free_maps(struct map *maps[MAPS]) {
    for (size_t i = 0; i < MAPS; i++)
        map_free(maps[i]);
}

static void the_order_of_maps_is_total_and_the_same_everywhere(void) {
    struct map *here[MAPS], *there[MAPS];
    make_maps(here);
    for (size_t i = 0; i < MAPS; i++) {
        there[i] = through_bytes(here[i]);
        if (!CHECK(there[i] != NULL)) return;
    }
    for (size_t i = 0; i < MAPS; i++) {
        for (size_t j = 0; j < MAPS; j++) {
            kit_note("maps %zu and %zu", i, j);
            CHECK(map_less(here[i], here[j]) + map_less(here[j], here[i]) == (i != j));
            CHECK(map_less(here[i], here[j]) == map_less(there[i], there[j]));
            for (size_t k = 0; k < MAPS; k++) {
                bool chain = map_less(here[i], here[j]) && map_less(here[j], here[k]);
                if (chain) CHECK(map_less(here[i], here[k]));
            }
        }
    }
    free_maps(here);
    free_maps(there);
}

static void explicit_maps_are_greater_then_later_ones_then_those_of_more_nodes(void) {
    struct map *maps[MAPS];
    make_maps(maps);
    CHECK(map_less(maps[8], maps[2])); /* automatic, third epoch; explicit, first */
    CHECK(map_less(maps[1], maps[0])); /* two nodes, three */
    CHECK(map_less(maps[0], maps[4]) && map_less(maps[4], maps[8]));
    CHECK(map_less(maps[4], maps[5])); /* by nonce */
    CHECK(map_less(maps[5], maps[6])); /* by proposer, before the nonce */
    free_maps(maps);
}

static void check_as_it_went(const struct map *m) {
    struct map *copy = through_bytes(m);
    if (!CHECK(copy != NULL)) return;
    check_same_map(m, copy);
    CHECK_U64(copy->epoch, m->epoch);
    CHECK(copy->is_explicit == m->is_explicit);
    if (CHECK_U64(copy->node_count, m->node_count)) {
        for (uint32_t i = 0; i < m->node_count; i++) {
            CHECK(address_compare(&m->nodes[i], &copy->nodes[i]) == 0);
            CHECK_U64(copy->shard_of_node[i], m->shard_of_node[i]);
            CHECK_U64(copy->founder[i], m->founder[i]);
        }
    }
    map_free(copy);
}

static void a_map_comes_back_from_its_bytes_as_it_went(void) {
    struct map *maps[MAPS];
    make_maps(maps);
    for (size_t i = 0; i < MAPS; i++) {
        kit_note("map %zu", i);
        check_as_it_went(maps[i]);
    }
    free_maps(maps);
    struct map *most = first_map(SHARD_COUNT_MAX * 2, SHARD_COUNT_MAX);
    most->shard_of_node[3] = SHARD_NONE; /* a standby node, as later maps have them */
    most->epoch = 2;
    for (uint32_t i = 0; i < most->node_count; i++)
        most->founder[i] = i == 3 ? 0 : i + 1;
    struct map *named = through_bytes(most);
    if (CHECK(named != NULL)) {
        check_as_it_went(named);
        map_free(named);
    }
    map_free(most);
}

/* ---- Bytes that are no map ---- */

static bool is_map(struct guard *g, struct slice bytes) {
    struct map *m = map_decode((struct slice){guard_end(g, bytes), bytes.len});
    if (m != NULL) map_free(m);
    return m != NULL;
}

static void a_map_that_is_cut_short_or_goes_on_is_refused(void) {
    struct guard g = guard_create();
    struct map *maps[MAPS];
    make_maps(maps);
    for (size_t i = 0; i < MAPS; i++) {
        struct buffer bytes = {0};
        map_encode(&bytes, maps[i]);
        CHECK(is_map(&g, buffer_slice(&bytes)));
        for (size_t len = 0; len < bytes.len; len++) {
            kit_note("map %zu, %zu bytes", i, len);
            CHECK(!is_map(&g, (struct slice){bytes.at, len}));
        }
        buffer_put_char(&bytes, '\0');
        CHECK(!is_map(&g, buffer_slice(&bytes)));
        buffer_free(&bytes);
    }
    free_maps(maps);
    guard_free(&g);
}

/* Each node must get the same name for a map from the same bytes, and pass these bytes on. */
static void whatever_is_taken_for_a_map_is_its_one_encoding(void) {
    struct guard g = guard_create();
    struct map *maps[MAPS];
    make_maps(maps);
    for (size_t i = 0; i < MAPS; i++) {
        struct buffer bytes = {0}, again = {0};
        map_encode(&bytes, maps[i]);
        for (size_t at = 0; at < bytes.len; at++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                kit_note("map %zu, byte %zu, bit %u", i, at, bit);
                bytes.at[at] ^= (char)(1u << bit);
                struct slice s = buffer_slice(&bytes);
                struct map *m = map_decode((struct slice){guard_end(&g, s), s.len});
                again.len = 0;
                if (m != NULL) {
                    map_encode(&again, m);
                    CHECK_SLICE(buffer_slice(&again), s);
                    CHECK(m->id != maps[i]->id);
                    map_free(m);
                }
                bytes.at[at] ^= (char)(1u << bit);
            }
        }
        buffer_free(&bytes);
        buffer_free(&again);
    }
    free_maps(maps);
    guard_free(&g);
}

static void first_maps_that_nobody_would_compute_are_refused(void) {
    struct map *maps[MAPS];
    make_maps(maps);
    for (size_t i = 0; i < 4; i++) {
        kit_note("map %zu", i);
        maps[i]->nonce = 1;
        CHECK(through_bytes(maps[i]) == NULL);
        maps[i]->nonce = 0;
        maps[i]->group[0]++;
        CHECK(through_bytes(maps[i]) == NULL);
        maps[i]->group[0]--;
        maps[i]->newborn[0] = false;
        CHECK(through_bytes(maps[i]) == NULL);
        maps[i]->newborn[0] = true;
        maps[i]->live_count++;
        CHECK(through_bytes(maps[i]) == NULL);
        maps[i]->live_count--;
        maps[i]->epoch = 0;
        CHECK(through_bytes(maps[i]) == NULL);
    }
    free_maps(maps);
}

static void shards_out_of_range_are_refused(void) {
    struct map *maps[MAPS];
    make_maps(maps);
    struct map *m = maps[10];
    check_as_it_went(m);
    for (uint32_t bad = 3; bad < 255; bad += 50) {
        kit_note("shard %u", bad);
        m->shard_of_node[1] = bad;
        CHECK(through_bytes(m) == NULL);
        m->shard_of_node[1] = 0;
        m->shard_of_slot[1023] = (uint8_t)bad;
        CHECK(through_bytes(m) == NULL);
        m->shard_of_slot[1023] = 0;
    }
    m->group[2] = 0; /* stands for no group at all */
    CHECK(through_bytes(m) == NULL);
    m->group[2] = 1;
    m->nodes[1] = m->nodes[0];
    CHECK(through_bytes(m) == NULL);
    m->nodes[0] = kit_address("y:1");
    CHECK(through_bytes(m) == NULL);
    free_maps(maps);
}

/* Its place: one byte behind the id of the group. */
static void a_group_that_is_neither_newborn_nor_not_is_refused(void) {
    struct map *maps[MAPS];
    make_maps(maps);
    for (uint32_t i = 0; i < maps[8]->node_count; i++)
        maps[8]->founder[i] = 7;
    maps[8]->newborn[0] = true;
    struct buffer bytes = {0};
    map_encode(&bytes, maps[8]);
    size_t at = 1 + 4 + 4 + 2 + sizeof "c:1" - 1 + 8 + 1 + 8;
    for (int newborn = 0; newborn < 256; newborn++) {
        kit_note("%d", newborn);
        bytes.at[at] = (char)newborn;
        struct map *m = map_decode(buffer_slice(&bytes));
        CHECK((m != NULL) == (newborn == 1)); /* 0: and then it has no founders */
        if (m != NULL) map_free(m);
    }
    buffer_free(&bytes);
    free_maps(maps);
}

/* Each member, of a group that begins, and nobody else. */
static void a_newborn_group_names_its_founders(void) {
    struct map *maps[MAPS];
    make_maps(maps);
    struct map *m = maps[10];
    CHECK(m->shard_count == 3 && m->node_count == 3);
    m->newborn[m->shard_of_node[1]] = true;
    CHECK(through_bytes(m) == NULL);
    m->founder[1] = 7;
    struct map *copy = through_bytes(m);
    if (CHECK(copy != NULL)) {
        check_as_it_went(copy); /* by its new name */
        map_free(copy);
    }
    CHECK(map_founds(m, &m->nodes[1], 7) && !map_founds(m, &m->nodes[1], 8));
    CHECK(!map_founds(m, &m->nodes[0], 7) && !map_founds(m, &m->nodes[0], 0));
    m->founder[0] = 7;
    CHECK(through_bytes(m) == NULL);
    free_maps(maps);
}

static struct map *later_map_of(uint32_t node_count) {
    struct map *m = first_map(1, 1);
    struct address *nodes = calloc(node_count, sizeof *nodes), by = kit_address("a:1");
    for (uint32_t i = 0; i < node_count; i++) {
        char text[32];
        snprintf(text, sizeof text, "node%05u:8090", i);
        nodes[i] = kit_address(text);
    }
    struct map_change change = {.add = nodes, .add_count = node_count - 1, .proposer = &by};
    struct map *later = map_derive(m, &change);
    free(nodes);
    map_free(m);
    return later;
}

static void a_map_of_more_nodes_than_a_view_can_have_is_refused(void) {
    struct map *most = later_map_of(SHARD_NODES_MAX), *more = later_map_of(SHARD_NODES_MAX + 1);
    check_as_it_went(most);
    CHECK(through_bytes(more) == NULL);
    map_free(most);
    map_free(more);
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
    RUN(a_first_map_founds_all_its_groups_and_a_derived_one_none);
    RUN(the_shards_of_a_map_have_different_groups);
    RUN(a_later_map_keeps_all_but_the_change);
    RUN(a_node_that_stands_by_is_added_where_it_stands);
    RUN(who_is_added_to_the_shard_that_it_is_in_stays);
    RUN(who_stands_by_can_be_removed);
    RUN(the_order_of_maps_is_total_and_the_same_everywhere);
    RUN(explicit_maps_are_greater_then_later_ones_then_those_of_more_nodes);
    RUN(a_map_comes_back_from_its_bytes_as_it_went);
    RUN(a_map_that_is_cut_short_or_goes_on_is_refused);
    RUN(whatever_is_taken_for_a_map_is_its_one_encoding);
    RUN(first_maps_that_nobody_would_compute_are_refused);
    RUN(shards_out_of_range_are_refused);
    RUN(a_group_that_is_neither_newborn_nor_not_is_refused);
    RUN(a_newborn_group_names_its_founders);
    RUN(a_map_of_more_nodes_than_a_view_can_have_is_refused);
    RUN(shard_ids_go_there_and_back);
    RUN(other_texts_are_no_shard);
    return kit_finish();
}
