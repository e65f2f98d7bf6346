/* Reshards: how evenly slots, keys and nodes are dealt, how few of them move, and which shards keep
 * their group. */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>

#include "../shard.h"

#define NODES_MAX 64

/* Node i: their order is that of i. */
static struct address node_address(uint32_t i) {
    char text[32];
    snprintf(text, sizeof text, "10.0.%u.%u:8090", i / 100, i % 100);
    return kit_address(text);
}

static struct map *first_map(uint32_t nodes, uint32_t shards) {
    struct address view[NODES_MAX];
    for (uint32_t i = 0; i < nodes; i++)
        view[i] = node_address(i);
    return map_create_first(view, nodes, shards, true);
}

/* Of the process that lives at a node. */
static uint64_t boot_of(uint32_t node) {
    return 1000 + node;
}

static struct map *reshard_by(const struct map *from, const uint32_t *live, uint32_t live_count,
                              uint32_t shards, uint64_t nonce) {
    struct address nodes[NODES_MAX], by = node_address(live[0]);
    uint64_t boots[NODES_MAX];
    for (uint32_t i = 0; i < live_count; i++) {
        nodes[i] = node_address(live[i]);
        boots[i] = boot_of(live[i]);
    }
    struct map_plan plan = {.live = nodes,
                            .boots = boots,
                            .live_count = live_count,
                            .shard_count = shards,
                            .proposer = &by,
                            .nonce = nonce};
    return map_reshard(from, &plan);
}

/* Nodes 0 to live_count - 1 are live. */
static struct map *reshard(const struct map *from, uint32_t live_count, uint32_t shards) {
    uint32_t live[NODES_MAX];
    for (uint32_t i = 0; i < live_count; i++)
        live[i] = i;
    return reshard_by(from, live, live_count, shards, 7);
}

/* The next map of a chain; frees the one before. */
static struct map *step(struct map *from, uint32_t shards) {
    struct map *m = reshard(from, NODES_MAX, shards);
    map_free(from);
    return m;
}

/* ---- Keys ---- */

struct keys { /* key0, key1... by slot */
    uint32_t total;
    uint32_t in_slot[SHARD_SLOTS];
};

static struct keys keys_of(uint32_t total) {
    struct keys k = {.total = total};
    for (uint32_t i = 0; i < total; i++) {
        char key[32];
        snprintf(key, sizeof key, "key%u", i);
        k.in_slot[shard_slot(slice_of(key))]++;
    }
    return k;
}

/* By how much of its even share the worst shard is off. */
static double worst_deviation(const struct keys *k, const struct map *m) {
    uint32_t keys[SHARD_COUNT_MAX] = {0};
    double even = (double)k->total / m->shard_count, worst = 0;
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot++)
        keys[m->shard_of_slot[slot]] += k->in_slot[slot];
    for (uint32_t s = 0; s < m->shard_count; s++) {
        double off = keys[s] > even ? keys[s] - even : even - keys[s];
        if (off / even > worst) worst = off / even;
    }
    return worst;
}

static uint32_t keys_moved(const struct keys *k, const struct map *from, const struct map *to) {
    uint32_t moved = 0;
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot++) {
        if (from->shard_of_slot[slot] != to->shard_of_slot[slot]) moved += k->in_slot[slot];
    }
    return moved;
}

/* From each first map one by one up to `shards_max`, and down again. */
static void check_spread(const struct keys *k, uint32_t shards_max, double deviation_max) {
    for (uint32_t first = 1; first <= shards_max; first++) {
        struct map *m = first_map(NODES_MAX, first);
        CHECK(worst_deviation(k, m) <= deviation_max);
        for (uint32_t shards = first + 1; shards <= shards_max; shards++) {
            struct map *grown = reshard(m, NODES_MAX, shards);
            kit_note("%u keys, %u shards, grown from %u", k->total, shards, first);
            CHECK(worst_deviation(k, grown) <= deviation_max);
            CHECK(keys_moved(k, m, grown) <= 1.25 * k->total / shards);
            map_free(m);
            m = grown;
        }
        for (uint32_t shards = shards_max - 1; shards > 0; shards--) {
            m = step(m, shards);
            kit_note("%u keys, %u shards, shrunk from %u", k->total, shards, shards_max);
            CHECK(worst_deviation(k, m) <= deviation_max);
        }
        map_free(m);
    }
}

static void few_keys_stay_spread_within_a_quarter_and_few_of_them_move(void) {
    struct keys k = keys_of(600);
    check_spread(&k, 4, 0.25);
}

static void many_keys_stay_spread_within_5_percent_and_few_of_them_move(void) {
    struct keys k = keys_of(100000);
    check_spread(&k, 16, 0.05);
}

static void two_shards_from_one_own_the_slots_of_a_first_map_of_two(void) {
    struct map *m = step(first_map(2, 1), 2), *first = first_map(2, 2);
    CHECK(memcmp(m->shard_of_slot, first->shard_of_slot, sizeof m->shard_of_slot) == 0);
    map_free(m);
    map_free(first);
}

/* ---- Nodes ---- */

#define NONE SHARD_NONE

static void check_nodes(const struct map *m, const uint32_t *shard_of, uint32_t count) {
    if (!CHECK_U64(m->node_count, count)) return;
    for (uint32_t i = 0; i < count; i++) {
        struct address node = node_address(i);
        kit_note("node %u", i);
        CHECK(address_compare(&m->nodes[i], &node) == 0);
        CHECK_U64(m->shard_of_node[i], shard_of[i]);
    }
}

static void a_shard_that_is_added_gets_members_of_each_other(void) {
    struct map *m = first_map(9, 2), *n = reshard(m, 9, 3);
    check_nodes(m, (const uint32_t[]){0, 1, 0, 1, 0, 1, 0, 1, 0}, 9);
    check_nodes(n, (const uint32_t[]){0, 1, 0, 1, 2, 1, 0, 2, 2}, 9);
    map_free(m);
    map_free(n);
}

static void members_of_a_shard_that_is_taken_away_are_dealt_to_the_others(void) {
    struct map *m = first_map(6, 3), *n = reshard(m, 6, 2);
    check_nodes(m, (const uint32_t[]){0, 1, 2, 0, 1, 2}, 6);
    check_nodes(n, (const uint32_t[]){0, 1, 0, 0, 1, 1}, 6);
    map_free(m);
    map_free(n);
}

static void the_dead_stand_by_and_who_stood_by_comes_in(void) {
    struct map *m = first_map(6, 2);
    static const uint32_t some[] = {0, 1, 2, 4}, others[] = {0, 1, 2, 3, 6};
    struct map *n = reshard_by(m, some, 4, 2, 1); /* 3 and 5 of s1 have died */
    check_nodes(n, (const uint32_t[]){0, 1, 0, NONE, 1, NONE}, 6);
    struct map *o = reshard_by(n, others, 5, 2, 2); /* 3 is back, 4 has died, 6 is new */
    check_nodes(o, (const uint32_t[]){0, 1, 0, 0, NONE, NONE, 1}, 7);
    map_free(m);
    map_free(n);
    map_free(o);
}

static void the_largest_map_is_dealt_too(void) {
    struct address *view = bytes_alloc(SHARD_NODES_MAX * sizeof *view);
    for (uint32_t i = 0; i < SHARD_NODES_MAX; i++)
        view[i] = node_address(i);
    uint64_t boots[SHARD_NODES_MAX / 2];
    for (uint32_t i = 0; i < SHARD_NODES_MAX / 2; i++)
        boots[i] = boot_of(i);
    struct map *m = map_create_first(view, SHARD_NODES_MAX / 2, 1, false);
    struct map_plan plan = {.live = view + SHARD_NODES_MAX / 2,
                            .boots = boots,
                            .live_count = SHARD_NODES_MAX / 2,
                            .shard_count = SHARD_COUNT_MAX,
                            .proposer = view};
    struct map *n = map_reshard(m, &plan);
    CHECK_U64(n->node_count, SHARD_NODES_MAX);
    for (uint32_t i = 0; i < SHARD_NODES_MAX; i++) {
        bool live = i >= SHARD_NODES_MAX / 2;
        CHECK_U64(n->shard_of_node[i], live ? i % SHARD_COUNT_MAX : SHARD_NONE);
    }
    map_free(m);
    map_free(n);
    free(view);
}

/* ---- Groups ---- */

static void the_same_number_of_shards_keeps_all_groups_and_slots(void) {
    struct map *m = first_map(6, 3), *n = reshard(m, 8, 3);
    CHECK(memcmp(m->shard_of_slot, n->shard_of_slot, sizeof m->shard_of_slot) == 0);
    for (uint32_t s = 0; s < 3; s++) {
        CHECK_U64(n->group[s], m->group[s]);
        CHECK(!n->newborn[s]);
    }
    check_nodes(n, (const uint32_t[]){0, 1, 2, 0, 1, 2, 0, 1}, 8);
    map_free(m);
    map_free(n);
}

static void a_shard_whose_slots_change_is_newborn(void) {
    struct map *m = first_map(6, 2);
    for (uint32_t shards = 1; shards <= 3; shards += 2) {
        struct map *n = reshard(m, 6, shards);
        for (uint32_t s = 0; s < shards; s++) {
            kit_note("s%u of %u", s, shards);
            CHECK(n->newborn[s] && n->group[s] != 0);
            CHECK(n->group[s] != m->group[0] && n->group[s] != m->group[1]);
        }
        map_free(n);
    }
    map_free(m);
}

static void a_shard_that_loses_no_slot_to_a_new_one_keeps_its_group(void) {
    struct map *m = first_map(NODES_MAX, 40), *n = reshard(m, NODES_MAX, 41);
    uint32_t kept = 0;
    for (uint32_t s = 0; s < 40; s++) { /* of 1024 slots 24 shards had 26, 16 had 25 */
        kit_note("s%u", s);
        CHECK(n->newborn[s] == (n->group[s] != m->group[s]));
        if (s < 24) CHECK(n->newborn[s]);
        kept += !n->newborn[s];
    }
    CHECK_U64(kept, 16);
    CHECK(n->newborn[40]);
    map_free(m);
    map_free(n);
}

static void a_shard_without_a_live_member_is_newborn_though_its_slots_stay(void) {
    static const uint32_t live[] = {0, 2, 4};
    struct map *m = first_map(6, 2), *n = reshard_by(m, live, 3, 2, 1);
    CHECK(memcmp(m->shard_of_slot, n->shard_of_slot, sizeof m->shard_of_slot) == 0);
    CHECK(!n->newborn[0] && n->group[0] == m->group[0]);
    CHECK(n->newborn[1] && n->group[1] != m->group[1]);
    map_free(m);
    map_free(n);
}

/* No reshard leads there, but maps come from other nodes. */
static void a_group_is_kept_by_whatever_shard_gets_its_slots(void) {
    struct map *m = first_map(2, 2);
    memset(m->shard_of_slot, 1, sizeof m->shard_of_slot);
    struct map *n = reshard(m, 2, 1);
    CHECK_U64(n->group[0], m->group[1]);
    CHECK(!n->newborn[0]);
    static const uint32_t live[] = {0};
    struct map *o = reshard_by(m, live, 1, 1, 1); /* only the member of s0 lives */
    CHECK(o->newborn[0] && o->group[0] != m->group[1]);
    map_free(m);
    map_free(n);
    map_free(o);
}

static void another_nonce_founds_other_groups(void) {
    static const uint32_t live[] = {0, 1, 2, 3};
    struct map *m = first_map(4, 1);
    struct map *a = reshard_by(m, live, 4, 2, 1), *b = reshard_by(m, live, 4, 2, 2);
    CHECK(a->id != b->id);
    for (uint32_t s = 0; s < 2; s++)
        CHECK(a->group[s] != b->group[0] && a->group[s] != b->group[1]);
    map_free(m);
    map_free(a);
    map_free(b);
}

static void a_new_group_never_gets_the_id_of_an_old_one(void) {
    struct map *m = first_map(4, 1), *n = reshard(m, 4, 2);
    m->group[0] = n->group[1];
    struct map *o = reshard(m, 4, 2);
    CHECK_U64(o->group[0], n->group[0]);
    CHECK(o->newborn[1] && o->group[1] != m->group[0] && o->group[1] != o->group[0]);
    map_free(m);
    map_free(n);
    map_free(o);
}

/* ---- Whatever comes before ---- */

/* How `count` things are dealt: as evenly as can be, and none moved that might have stayed. `was`
 * and `is` are what shard each is in; SHARD_NONE in `is`: it takes no part. */
static void check_dealt(const uint32_t *was, const uint32_t *is, uint32_t count, uint32_t shards) {
    uint32_t had[SHARD_COUNT_MAX] = {0}, has[SHARD_COUNT_MAX] = {0}, total = 0, moved = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (is[i] == SHARD_NONE) continue;
        if (!CHECK(is[i] < shards)) return;
        has[is[i]]++;
        total++;
        moved += was[i] != is[i];
        if (was[i] < shards) had[was[i]]++;
    }
    uint32_t smaller = total / shards, larger_ones = total % shards, may_stay = 0;
    for (uint32_t s = 0; s < shards; s++) {
        CHECK(has[s] == smaller || has[s] == smaller + 1);
        if (had[s] > 0) CHECK(has[s] > 0);
        bool larger = had[s] > smaller && larger_ones > 0;
        larger_ones -= larger;
        may_stay += had[s] > smaller ? smaller + larger : had[s];
    }
    CHECK_U64(moved, total - may_stay);
}

static void check_slots_dealt(const struct map *from, const struct map *m) {
    uint32_t was[SHARD_SLOTS], is[SHARD_SLOTS];
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot++) {
        was[slot] = from->shard_of_slot[slot];
        is[slot] = m->shard_of_slot[slot];
    }
    check_dealt(was, is, SHARD_SLOTS, m->shard_count);
}

static void check_nodes_dealt(const struct map *from, const bool *live, const struct map *m) {
    uint32_t was[NODES_MAX], nodes = 0;
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        struct address node = node_address(i);
        CHECK(map_has_node(m, &node) == (live[i] || map_has_node(from, &node)));
        CHECK((map_shard_of_node(m, &node) != SHARD_NONE) == live[i]);
        if (map_has_node(m, &node)) was[nodes++] = map_shard_of_node(from, &node);
    }
    if (CHECK_U64(m->node_count, nodes)) check_dealt(was, m->shard_of_node, nodes, m->shard_count);
}

static bool same_slots(const struct map *a, uint32_t of_a, const struct map *b, uint32_t of_b) {
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot++) {
        if ((a->shard_of_slot[slot] == of_a) != (b->shard_of_slot[slot] == of_b)) return false;
    }
    return true;
}

static bool share_a_node(const struct map *a, uint32_t of_a, const struct map *b, uint32_t of_b) {
    for (uint32_t i = 0; i < a->node_count; i++) {
        bool in_both = a->shard_of_node[i] == of_a && map_shard_of_node(b, &a->nodes[i]) == of_b;
        if (in_both) return true;
    }
    return false;
}

static void check_groups(const struct map *from, const struct map *m) {
    for (uint32_t s = 0; s < m->shard_count; s++) {
        bool kept = false;
        for (uint32_t old = 0; old < from->shard_count; old++) {
            bool keeps = same_slots(m, s, from, old) && share_a_node(m, s, from, old);
            CHECK((m->group[s] == from->group[old]) == keeps);
            kept = kept || keeps;
        }
        CHECK(m->newborn[s] == !kept);
        CHECK(m->group[s] != 0);
        for (uint32_t t = 0; t < s; t++)
            CHECK(m->group[s] != m->group[t]);
    }
}

static void check_bytes(const struct map *m) {
    struct buffer bytes = {0}, again = {0};
    map_encode(&bytes, m);
    struct map *copy = map_decode(buffer_slice(&bytes));
    if (CHECK(copy != NULL)) {
        CHECK_U64(copy->id, m->id);
        CHECK(memcmp(copy->newborn, m->newborn, sizeof m->newborn) == 0);
        CHECK(!map_less(copy, m) && !map_less(m, copy));
        map_encode(&again, copy);
        CHECK_SLICE(buffer_slice(&again), buffer_slice(&bytes));
        map_free(copy);
    }
    buffer_free(&bytes);
    buffer_free(&again);
}

struct live {
    bool has[NODES_MAX];
    uint32_t list[NODES_MAX], count;
};

static struct live random_live(struct kit_random *random) {
    struct live live = {.count = 0};
    uint64_t of_100 = 1 + kit_below(random, 100), one = kit_below(random, NODES_MAX);
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        live.has[i] = i == one || kit_below(random, 100) < of_100;
        if (live.has[i]) live.list[live.count++] = i;
    }
    return live;
}

/* Mostly one more, one less or the same. */
static uint32_t random_shards(struct kit_random *random, uint32_t from, uint32_t shards_max) {
    uint32_t near = from - 1 + (uint32_t)kit_below(random, 3);
    bool jumps = kit_below(random, 4) == 0 || near == 0 || near > shards_max;
    return jumps ? 1 + (uint32_t)kit_below(random, shards_max) : near;
}

/* A newborn group begins at its members' present processes, and nowhere else. */
static void check_founders(const struct map *m) {
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        struct address node = node_address(i);
        uint32_t shard = map_shard_of_node(m, &node);
        bool begins = shard != SHARD_NONE && m->newborn[shard];
        CHECK(map_founds(m, &node, boot_of(i)) == begins);
        CHECK(!map_founds(m, &node, boot_of(i) + 1) && !map_founds(m, &node, 0));
    }
}

/* A random reshard of `from`, checked. */
static struct map *check_reshard(const struct map *from, struct kit_random *random) {
    struct live live = random_live(random);
    uint32_t shards = random_shards(random, from->shard_count, live.count);
    uint64_t nonce = kit_next(random);
    struct address by = node_address(live.list[0]);
    struct map *m = reshard_by(from, live.list, live.count, shards, nonce);
    struct map *same = reshard_by(from, live.list, live.count, shards, nonce);
    CHECK_U64(m->id, same->id);
    CHECK(m->is_explicit && m->epoch == from->epoch + 1 && m->nonce == nonce);
    CHECK(address_compare(&m->proposer, &by) == 0);
    CHECK_U64(m->live_count, live.count);
    CHECK_U64(m->shard_count, shards);
    CHECK(map_less(from, m) && !map_less(m, from));
    check_slots_dealt(from, m);
    check_nodes_dealt(from, live.has, m);
    check_groups(from, m);
    check_founders(m);
    check_bytes(m);
    map_free(same);
    return m;
}

/* One node leaves or comes into a shard, as it may between reshards. */
static struct map *random_change(const struct map *from, struct kit_random *random) {
    struct address node = node_address((uint32_t)kit_below(random, NODES_MAX));
    bool goes = kit_below(random, 2) == 0;
    uint32_t is_in = map_shard_of_node(from, &node);
    struct map_change change = {.add = &node,
                                .add_count = !goes && is_in == SHARD_NONE,
                                .shard = (uint32_t)kit_below(random, from->shard_count),
                                .remove = goes ? &node : NULL,
                                .live_count = from->live_count,
                                .proposer = &node,
                                .nonce = kit_next(random)};
    struct map *m = map_derive(from, &change);
    uint32_t stays = is_in == SHARD_NONE ? change.shard : is_in;
    CHECK(map_less(from, m));
    CHECK(map_has_node(m, &node) == !goes);
    CHECK(map_shard_of_node(m, &node) == (goes ? SHARD_NONE : stays));
    check_bytes(m);
    return m;
}

static struct map *random_first_map(struct kit_random *random) {
    uint32_t nodes = 1 + (uint32_t)kit_below(random, NODES_MAX);
    struct map *m = first_map(nodes, 1 + (uint32_t)kit_below(random, nodes));
    m->is_explicit = kit_below(random, 2) == 0;
    if (kit_below(random, 4) > 0) return m;
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot++) /* no reshard leads there */
        m->shard_of_slot[slot] = (uint8_t)kit_below(random, m->shard_count);
    m->epoch = 2;
    return m;
}

#define CHAINS 400
#define STEPS  10

static void any_chain_of_maps_stays_even_moves_little_and_keeps_what_groups_it_can(void) {
    struct kit_random random = {kit_seed()};
    for (uint32_t chain = 0; chain < CHAINS; chain++) {
        struct map *m = random_first_map(&random);
        for (uint32_t i = 0; i < STEPS; i++) {
            kit_note("chain %u, step %u", chain, i);
            struct map *next =
                kit_below(&random, 4) == 0 ? random_change(m, &random) : check_reshard(m, &random);
            map_free(m);
            m = next;
        }
        map_free(m);
    }
}

int main(void) {
    RUN(few_keys_stay_spread_within_a_quarter_and_few_of_them_move);
    RUN(many_keys_stay_spread_within_5_percent_and_few_of_them_move);
    RUN(two_shards_from_one_own_the_slots_of_a_first_map_of_two);
    RUN(a_shard_that_is_added_gets_members_of_each_other);
    RUN(members_of_a_shard_that_is_taken_away_are_dealt_to_the_others);
    RUN(the_dead_stand_by_and_who_stood_by_comes_in);
    RUN(the_largest_map_is_dealt_too);
    RUN(the_same_number_of_shards_keeps_all_groups_and_slots);
    RUN(a_shard_whose_slots_change_is_newborn);
    RUN(a_shard_that_loses_no_slot_to_a_new_one_keeps_its_group);
    RUN(a_shard_without_a_live_member_is_newborn_though_its_slots_stay);
    RUN(a_group_is_kept_by_whatever_shard_gets_its_slots);
    RUN(another_nonce_founds_other_groups);
    RUN(a_new_group_never_gets_the_id_of_an_old_one);
    RUN(any_chain_of_maps_stays_even_moves_little_and_keeps_what_groups_it_can);
    return kit_finish();
}
