/* Shards change hands: one story a test. See net.h. */
#include "net.h"

#include <stdio.h>
#include <stdlib.h>

#define KEYS      200
#define SOME_KEYS 20

/* ---- What happens in many stories ---- */

/* A node that runs and owns the key by its own map. */
static unsigned owner_of(const struct net *net, const char *key, unsigned nth) {
    for (unsigned i = 0; i < 2 * net->count; i++) {
        const struct node *n = net->nodes[i % net->count];
        if (n == NULL || !node_owns_slot(n, shard_slot(slice_of(key)))) continue;
        if (nth-- == 0) return i % net->count;
    }
    return 0;
}

static struct result put_keys(struct net *net, const char *value, struct result w) {
    for (int k = 0; k < KEYS; k++) {
        char key[16];
        snprintf(key, sizeof key, "key%d", k);
        w = put(net, owner_of(net, key, 0), key, value, w.metadata);
        CHECK(w.status == NODE_CREATED || w.status == NODE_REPLACED);
    }
    return w;
}

/* At every owner. */
static void check_keys(struct net *net, const char *metadata, const char *want) {
    for (int k = 0; k < KEYS; k++) {
        char key[16];
        snprintf(key, sizeof key, "key%d", k);
        for (unsigned i = 0; i < net->count; i++) {
            const struct node *n = net->nodes[i];
            if (n == NULL || !node_owns_slot(n, shard_slot(slice_of(key)))) continue;
            check_value(net, i, key, metadata, want);
            check_value(net, i, key, "", want);
        }
    }
}

static void reshard(struct net *net, unsigned at, uint32_t count) {
    struct answer a;
    uint64_t token = 0;
    enum node_taken taken = node_reshard(net->nodes[at], 77, count, &a);
    for (int ms = 0; taken == NODE_PARKED && ms < 5000 && token != 77; ms += 10) {
        pass(net, 10);
        node_take_answer(net->nodes[at], &token, &a);
    }
    CHECK(taken == NODE_ANSWERED || token == 77);
    CHECK(a.status == NODE_RESHARDED);
    CHECK_U64(node_map(net->nodes[at])->shard_count, count);
}

static void check_settled(struct net *net) {
    uint64_t live = 0;
    for (unsigned i = 0; i < net->count; i++) {
        struct node_progress progress;
        const struct map *m = node_map(net->nodes[i]);
        CHECK(node_ready(net->nodes[i]));
        CHECK_U64(m->id, node_map(net->nodes[0])->id);
        node_reshard_progress(net->nodes[i], &progress);
        CHECK(progress.settled);
        CHECK_U64(progress.keys_to_go, 0);
        for (uint32_t s = 0; s < SHARD_SLOTS; s++)
            CHECK((node_slot_clock(net->nodes[i], s) != NULL) == node_owns_slot(net->nodes[i], s));
        uint32_t mates = 0;
        for (uint32_t j = 0; j < m->node_count; j++)
            mates += m->shard_of_node[j] == node_shard(net->nodes[i]);
        live += store_live(node_store(net->nodes[i])) * 60 / mates;
    }
    CHECK_U64(live, KEYS * 60);
}

/* ---- Stories ---- */

static void all_keys_move_and_nothing_else_changes(void) {
    static const uint32_t counts[] = {3, 2, 1, 3, 2};
    struct net net = begin_shards(6, 2);
    struct result w = put_keys(&net, "1", (struct result){0});
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        char value[8];
        kit_note("to %u shards", counts[i]);
        reshard(&net, (unsigned)i, counts[i]);
        pass(&net, 500);
        check_settled(&net);
        snprintf(value, sizeof value, "%zu", i + 1);
        check_keys(&net, w.metadata, value);
        snprintf(value, sizeof value, "%zu", i + 2);
        w = put_keys(&net, value, w);
    }
    end(&net);
}

/* "key0" to "key19", before there is any handover; the last of the answers. */
static struct result put_some(struct net *net, unsigned i, const char *value) {
    struct result w = {0};
    for (int k = 0; k < SOME_KEYS; k++) {
        char key[16];
        snprintf(key, sizeof key, "key%d", k);
        w = put(net, i, key, value, w.metadata);
    }
    return w;
}

/* One of those, which both own, each by the map that it lives by. */
struct key {
    char text[16];
};

static struct key key_of_both(const struct net *net, unsigned a, unsigned b) {
    struct key key;
    for (int k = 0; k < SOME_KEYS; k++) {
        snprintf(key.text, sizeof key.text, "key%d", k);
        if (owns(net, a, key.text) && owns(net, b, key.text)) return key;
    }
    CHECK(!"one of them");
    return key;
}

/* ---- Writes while the map changes ---- */

static void who_has_not_heard_of_the_map_is_waited_for_as_a_second_copy(void) {
    struct net net = begin_shards(4, 1);
    set_mute(&net, 0, true);
    propose_shards(&net, 0, 2);
    struct key key = key_of_both(&net, 0, 0);
    CHECK(!submit(&net, 0, OP_PUT, key.text, "1", "").is_answered);
    pass(&net, 500);
    CHECK(!take(&net, 0).is_answered);
    set_mute(&net, 0, false);
    pass(&net, 100);
    CHECK(take(&net, 0).is_answered);
    kill_node(&net, 0);
    pass(&net, 1000);
    check_value(&net, 2, key.text, "", "1");
    end(&net);
}

/* It has asked for the map when it writes; nothing that it says after that arrives. */
static void a_change_of_group_waits_for_second_copies(void) {
    struct net net = begin_shards(4, 1);
    propose_shards(&net, 1, 2);
    step(&net);
    set_deaf(&net, 0, true);
    turn(&net);
    set_mute(&net, 0, true);
    CHECK(!submit(&net, 0, OP_PUT, "k", "1", "").is_answered);
    for (unsigned i = 1; i < 4; i++)
        net.cut[i][0] = false;
    pass(&net, 500);
    CHECK(!submit(&net, 0, OP_PUT, "later", "1", "").is_answered);
    CHECK_U64(node_under_way(net.nodes[0]), 1); /* the other waits for the change */
    CHECK(!take(&net, 0).is_answered);
    CHECK_U64(node_map(net.nodes[0])->epoch, 1);
    set_mute(&net, 0, false);
    pass(&net, 500);
    CHECK(take(&net, 0).is_answered);
    CHECK_U64(node_map(net.nodes[0])->id, node_map(net.nodes[1])->id);
    end(&net);
}

/* The first has not heard of the map when the third is dead, and the second would be the other one
 * to have what it writes. */
static void residue_stays_while_somebody_lives_by_a_smaller_map(void) {
    struct net net = begin_shards(6, 2);
    put_keys(&net, "1", (struct result){0});
    set_mute(&net, 0, true);
    set_deaf(&net, 0, true);
    propose_shards(&net, 2, 3);
    pass(&net, 500);
    struct key key = key_of_both(&net, 0, 4);
    CHECK(!owns(&net, 2, key.text) && keeps(&net, 2, key.text));
    kill_node(&net, 4);
    set_pair(&net, 0, 4, false);
    net.cut[2][0] = false;
    turn(&net);
    CHECK(sees(&net, 0, 2) && !sees(&net, 0, 4) && owns(&net, 0, key.text));
    CHECK(!submit(&net, 0, OP_PUT, key.text, "2", "").is_answered);
    set_mute(&net, 0, false);
    set_deaf(&net, 0, false);
    turn(&net);
    struct result w = take(&net, 0);
    CHECK(w.is_answered && w.status == NODE_REPLACED);
    kill_node(&net, 0);
    pass(&net, 1000);
    check_value(&net, 5, key.text, w.metadata, "2");
    end(&net);
}

/* ---- Base ---- */

/* The first has missed what the second wrote, and asks for it under the second map; when the answer
 * comes, it lives by the third, and the second has written again under the second. */
static void base_that_was_asked_for_under_an_older_map_does_not_count(void) {
    struct net net = begin_short(4);
    put_some(&net, 1, "0");
    pass(&net, 500);
    set_deaf(&net, 0, true);
    put_some(&net, 1, "1");
    break_links(&net, 0, 1);
    propose_shards(&net, 1, 2);
    turn(&net);
    net.cut[1][0] = false;
    uint64_t pulls = node_replica_stats(net.nodes[0])->pulls;
    while (node_replica_stats(net.nodes[0])->pulls == pulls && CHECK(sees(&net, 0, 2)))
        creep(&net);
    net.cut[1][0] = true;
    turn(&net);
    struct key key = key_of_both(&net, 1, 3);
    CHECK_U64(node_map(net.nodes[0])->epoch, 2);
    CHECK(put(&net, 1, key.text, "2", "").status == NODE_REPLACED);
    set_mute(&net, 0, true);
    propose_shards(&net, 0, 1);
    CHECK_U64(node_map(net.nodes[0])->epoch, 3);
    net.cut[1][0] = false;
    for (uint64_t until = net.now_ms + 300; net.now_ms < until; creep(&net)) {
        struct result r = submit(&net, 0, OP_GET, key.text, "", "");
        if (!r.is_answered) r = take(&net, 0);
        if (r.is_answered && r.status == NODE_FOUND) CHECK_TEXT(slice_of(r.value), "2");
    }
    CHECK(node_replica_stats(net.nodes[0])->images_taken > 0);
    memset(net.cut, 0, sizeof net.cut);
    pass(&net, 3000);
    check_value(&net, 0, key.text, "", "2");
    end(&net);
}

/* All members of a shard have died; after the reshard they stand by. */
static void what_died_with_all_its_members_begins_anew_when_they_are_struck_off(void) {
    struct net net = begin_shards(4, 2);
    struct key lost = key_of_both(&net, 1, 3), kept = key_of_both(&net, 0, 2);
    put(&net, 1, lost.text, "1", "");
    struct result w = put(&net, 0, kept.text, "1", "");
    kill_node(&net, 1);
    kill_node(&net, 3);
    pass(&net, 500);
    propose_shards(&net, 0, 1);
    pass(&net, 1000);
    CHECK(get(&net, 0, lost.text, w.metadata).status == NODE_CANNOT_FORWARD); /* it may be there */
    check_value(&net, 0, kept.text, w.metadata, "1");
    CHECK(strike_off(&net, 0, 1));
    pass(&net, 1000);
    CHECK(get(&net, 0, lost.text, w.metadata).status == NODE_CANNOT_FORWARD);
    CHECK(strike_off(&net, 2, 3));
    pass(&net, 1000);
    CHECK(get(&net, 0, lost.text, w.metadata).status == NODE_NO_KEY);
    w = put(&net, 0, lost.text, "2", w.metadata);
    check_value(&net, 2, lost.text, w.metadata, "2");
    end(&net);
}

int main(void) {
    RUN(all_keys_move_and_nothing_else_changes);
    RUN(who_has_not_heard_of_the_map_is_waited_for_as_a_second_copy);
    RUN(a_change_of_group_waits_for_second_copies);
    RUN(residue_stays_while_somebody_lives_by_a_smaller_map);
    RUN(base_that_was_asked_for_under_an_older_map_does_not_count);
    RUN(what_died_with_all_its_members_begins_anew_when_they_are_struck_off);
    return kit_finish();
}
