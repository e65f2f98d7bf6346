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
    bool found = false;
    for (int k = 0; !found && CHECK(k < SOME_KEYS); k++) {
        snprintf(key.text, sizeof key.text, "key%d", k);
        found = owns(net, a, key.text) && owns(net, b, key.text);
    }
    return key;
}

/* For so long clients that have seen nothing read at node i: they find that, or wait. */
static void watch(struct net *net, unsigned i, const char *key, const char *want, uint64_t ms) {
    for (uint64_t until = net->now_ms + ms; net->now_ms < until; creep(net)) {
        struct result r = submit(net, i, OP_GET, key, "", "");
        if (!r.is_answered) r = take(net, i);
        if (!r.is_answered || r.status == NODE_CANNOT_FORWARD) continue;
        CHECK(r.status == NODE_FOUND);
        CHECK_TEXT(slice_of(r.value), want);
    }
}

/* Until node i, which sees the other, has asked somebody for what it lacks. */
static void creep_until_pull(struct net *net, unsigned i, unsigned other) {
    uint64_t pulls = node_replica_stats(net->nodes[i])->pulls;
    while (node_replica_stats(net->nodes[i])->pulls == pulls && CHECK(sees(net, i, other)))
        creep(net);
}

/* ---- From one number of shards to another ---- */

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

/* Two nodes, each a shard; all keys are in that of node 1, the one of the last slot is "2". They
 * are on their way to node 0, and that takes many turns. */
struct move {
    struct net net;
    unsigned keys;
    struct key last;
};

static struct move begin_long_move(void) {
    struct move m = {.net = begin_shards(2, 2)};
    static char large[64 * 1024 + 1];
    memset(large, '1', sizeof large - 1);
    for (int k = 0; k < KEYS; k++) {
        struct key key;
        snprintf(key.text, sizeof key.text, "key%d", k);
        if (!owns(&m.net, 1, key.text)) continue;
        put(&m.net, 1, key.text, large, "");
        if (shard_slot(slice_of(m.last.text)) < shard_slot(slice_of(key.text))) m.last = key;
        m.keys++;
    }
    put(&m.net, 1, m.last.text, "2", "");
    propose_shards(&m.net, 0, 1);
    const struct replica_stats *stats = node_replica_stats(m.net.nodes[0]);
    for (int steps = 0; stats->images_taken == 0 && CHECK(steps < 1000); steps++)
        step(&m.net);
    return m;
}

/* Without letting time pass. */
static struct result ask_quickly(struct net *net, unsigned i, enum op_kind kind, const char *key) {
    struct result r = submit(net, i, kind, key, "", "");
    for (int steps = 0; !r.is_answered && CHECK(steps < 1000); steps++) {
        step(net);
        r = take(net, i);
    }
    return r;
}

/* Everything that a move waits for is an event: the last slot of one source, then the next source;
 * the row of an owner that has all, then the drop. */
static void a_move_waits_for_no_tick(void) {
    static const uint32_t counts[] = {1, 3};
    struct net net = begin_shards(6, 3);
    put_keys(&net, "1", (struct result){0});
    pass(&net, 1000);
    for (size_t i = 0; i < 2; i++) {
        struct answer a;
        uint64_t token = 0;
        CHECK(node_reshard(net.nodes[0], 77, counts[i], &a) == NODE_PARKED);
        turn(&net);
        node_take_answer(net.nodes[0], &token, &a);
        CHECK(token == 77 && a.status == NODE_RESHARDED);
        check_settled(&net);
        pass(&net, 1000);
    }
    end(&net);
}

static void what_somebody_waits_to_read_comes_before_the_rest(void) {
    struct move m = begin_long_move();
    struct result r = ask_quickly(&m.net, 0, OP_GET, m.last.text);
    CHECK_TEXT(slice_of(r.value), "2");
    CHECK(node_replica_stats(m.net.nodes[0])->images_taken < SHARD_SLOTS / 2 / 4);
    reshard(&m.net, 0, 1);
    end(&m.net);
}

static bool has_noted(struct net *net, unsigned i, const char *line) {
    struct slice notes = node_take_notes(net->nodes[i]);
    return memmem(notes.at, notes.len, line, strlen(line)) != NULL;
}

static void the_log_says_how_far_a_move_is_and_when_it_is_over(void) {
    struct move m = begin_long_move();
    CHECK(has_noted(&m.net, 0, "map: epoch 2, 1 shards, this node in s0\n"));
    for (int i = 0; i < 4; i++) {
        m.net.now_ms += HANDOVER_NOTE_MS / 4;
        step(&m.net);
    }
    CHECK(has_noted(&m.net, 0, " slots are still to come, 0 to be let go\n"));
    reshard(&m.net, 0, 1);
    CHECK(has_noted(&m.net, 0, "move: all slots have come and gone\n"));
    CHECK(has_noted(&m.net, 1, "move: all slots have come and gone\n"));
    end(&m.net);
}

static void keys_are_counted_when_all_have_come(void) {
    struct move m = begin_long_move();
    struct result r = ask_quickly(&m.net, 0, OP_COUNT, "");
    CHECK(r.status == NODE_FOUND);
    CHECK_U64(strtoull(r.value, NULL, 10), m.keys);
    end(&m.net);
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

/* One of the two that are to have a key dies before it has got it. */
static void residue_stays_until_two_owners_have_it(void) {
    struct net net = begin_shards(4, 1);
    struct result w = put_some(&net, 0, "1");
    propose_shards(&net, 0, 2);
    kill_node(&net, 3);
    pass(&net, 2000);
    struct key key = key_of_both(&net, 1, 1);
    check_value(&net, 1, key.text, w.metadata, "1");
    kill_node(&net, 1);
    pass(&net, 500);
    start(&net, 1);
    start(&net, 3);
    pass(&net, 4000);
    check_value(&net, 1, key.text, w.metadata, "1");
    check_value(&net, 3, key.text, w.metadata, "1");
    CHECK(!keeps(&net, 0, key.text));
    end(&net);
}

/* What its owners have had for a moment may be on no disk yet. */
static void residue_stays_until_it_is_on_other_disks(void) {
    struct net net = begin(4);
    for (unsigned i = 0; i < 4; i++) {
        net.configs[i].shard_count = 1;
        net.configs[i].keeps_journal = true;
    }
    make_ready(&net);
    struct result w = put_some(&net, 0, "1");
    propose_shards(&net, 0, 2);
    pass(&net, HANDOVER_KEPT_MS - 200);
    struct key key = key_of_both(&net, 1, 3);
    check_value(&net, 1, key.text, w.metadata, "1");
    check_value(&net, 3, key.text, w.metadata, "1");
    CHECK(keeps(&net, 0, key.text));
    pass(&net, 1500);
    CHECK(!keeps(&net, 0, key.text));
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
    set_pair(&net, 0, 4, false); /* so that it learns that at once */
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
    creep_until_pull(&net, 0, 2);
    net.cut[1][0] = true;
    turn(&net);
    struct key key = key_of_both(&net, 1, 3);
    CHECK_U64(node_map(net.nodes[0])->epoch, 2);
    CHECK(put(&net, 1, key.text, "2", "").status == NODE_REPLACED);
    set_mute(&net, 0, true);
    propose_shards(&net, 0, 1);
    CHECK_U64(node_map(net.nodes[0])->epoch, 3);
    net.cut[1][0] = false;
    watch(&net, 0, key.text, "2", 300);
    CHECK(node_replica_stats(net.nodes[0])->images_taken > 0);
    memset(net.cut, 0, sizeof net.cut);
    pass(&net, 3000);
    check_value(&net, 0, key.text, "", "2");
    end(&net);
}

/* The first proposes a map and asks the second, which has not heard of it and writes on. */
static void who_lives_by_a_smaller_map_gives_no_base(void) {
    struct net net = begin_shards(4, 2);
    struct key key = key_of_both(&net, 1, 3);
    put(&net, 1, key.text, "1", "");
    pass(&net, 500);
    set_mute(&net, 0, true);
    propose_shards(&net, 0, 1);
    creep_until_pull(&net, 0, 1);
    net.cut[0][1] = net.cut[0][3] = false;
    step(&net);
    set_mute(&net, 0, true);
    turn(&net);
    CHECK(node_replica_stats(net.nodes[0])->images_taken > 0);
    CHECK_U64(node_map(net.nodes[1])->epoch, 1);
    CHECK(put(&net, 1, key.text, "2", "").status == NODE_REPLACED);
    watch(&net, 0, key.text, "2", 300);
    set_mute(&net, 0, false);
    pass(&net, 1000);
    check_value(&net, 0, key.text, "", "2");
    end(&net);
}

/* Node i had struck it off; now it is a member again. */
static void take_back_in(struct net *net, unsigned i, unsigned whom) {
    struct answer a;
    CHECK(node_view_add(net->nodes[i], &net->configs[whom].self) == PEERS_ADDED);
    node_add_member(net->nodes[i], 77, 0, &net->configs[whom].self, &a);
    node_cancel(net->nodes[i], 77);
}

/* The third is left out, and comes back: what was written meanwhile all members have. */
static void who_was_no_member_for_a_while_has_no_base_of_its_own(void) {
    struct net net = begin_shards(3, 1);
    put(&net, 0, "k", "1", "");
    CHECK(strike_off(&net, 0, 2));
    pass(&net, 500);
    CHECK(node_shard(net.nodes[2]) == SHARD_NONE && keeps(&net, 2, "k"));
    CHECK(put(&net, 0, "k", "2", "").status == NODE_REPLACED);
    pass(&net, 500);
    take_back_in(&net, 0, 2);
    watch(&net, 2, "k", "2", 5000);
    check_value(&net, 2, "k", "", "2");
    end(&net);
}

/* It hears of both maps at once, of the later one first. */
static void who_did_not_notice_that_it_was_no_member_has_none_either(void) {
    struct net net = begin_shards(3, 1);
    put(&net, 0, "k", "1", "");
    set_deaf(&net, 2, true);
    CHECK(strike_off(&net, 0, 2));
    pass(&net, 300);
    CHECK(put(&net, 0, "k", "2", "").status == NODE_REPLACED);
    take_back_in(&net, 0, 2);
    pass(&net, 300);
    CHECK_U64(node_map(net.nodes[2])->epoch, 1);
    break_links(&net, 0, 2);
    break_links(&net, 1, 2);
    set_deaf(&net, 2, false);
    for (int steps = 0; node_map(net.nodes[2])->epoch < 3 && CHECK(steps < 1000); steps++)
        creep(&net);
    CHECK_U64(node_slot_clock(net.nodes[2], shard_slot(SLICE("k")))->dots[0].n, 1);
    watch(&net, 2, "k", "2", 5000);
    check_value(&net, 2, "k", "", "2");
    end(&net);
}

/* The second would begin its group with nothing, though its former process has written there. The
 * first has the rest of the base, as residue, and would believe it; the fourth is slow. */
static void who_restarts_does_not_begin_a_group_that_it_is_told_of(void) {
    struct net net = begin_shards(4, 1);
    set_pair(&net, 0, 3, true);
    pass(&net, 1500);
    propose_shards(&net, 1, 2);
    pass(&net, 500);
    struct key key = key_of_both(&net, 1, 3);
    put(&net, 1, key.text, "1", "");
    CHECK(keeps(&net, 0, key.text) && !owns(&net, 0, key.text));
    set_mute(&net, 3, true);
    restart(&net, 1);
    propose_shards(&net, 0, 1);
    watch(&net, 0, key.text, "1", 700);
    memset(net.cut, 0, sizeof net.cut);
    pass(&net, 4000);
    for (unsigned i = 0; i < 3; i++) /* the fourth stands by */
        check_value(&net, i, key.text, "", "1");
    end(&net);
}

/* The first is alone in its shard, so its next process is ready at once, by the first map; what its
 * former one had of the group that came later it does not know, and does not begin. */
static void who_restarts_alone_does_not_begin_a_group_of_the_past(void) {
    struct net net = begin_shards(3, 3);
    put_some(&net, 0, "1");
    propose_shards(&net, 1, 1);
    pass(&net, 3000);
    put_some(&net, 0, "2");
    restart(&net, 0);
    creep(&net);
    CHECK(node_ready(net.nodes[0]));
    while (node_map(net.nodes[0])->epoch == 1) /* so long it serves by the first one */
        creep(&net);
    watch(&net, 0, "key0", "2", 3000);
    for (int k = 0; k < SOME_KEYS; k++) {
        char key[16];
        snprintf(key, sizeof key, "key%d", k);
        check_value(&net, 0, key, "", "2");
    }
    end(&net);
}

/* The fourth hears of the second map first, and has all that it owns by that one before the first
 * one comes, by which its former process has written, too: that is no group to begin. */
static void who_restarts_is_ready_when_it_knows_the_maps_of_the_past(void) {
    struct net net = begin_ready(4);
    struct result w = put_keys(&net, "1", (struct result){0});
    reshard(&net, 0, 2);
    check_settled(&net);
    set_pair(&net, 0, 3, true);
    set_pair(&net, 2, 3, true);
    restart(&net, 3);
    creep(&net);
    net.cut[1][3] = true;
    creep(&net);
    net.cut[1][3] = false;
    for (uint64_t until = net.now_ms + 500; net.now_ms < until; creep(&net)) {
        for (uint32_t s = 0; s < SHARD_SLOTS && node_ready(net.nodes[3]); s++)
            CHECK(node_slot_clock(net.nodes[3], s) == NULL || node_owns_slot(net.nodes[3], s));
    }
    CHECK(node_ready(net.nodes[3]) && node_map(net.nodes[3])->epoch == 2);
    memset(net.cut, 0, sizeof net.cut);
    pass(&net, 1000);
    check_settled(&net);
    check_keys(&net, w.metadata, "1");
    end(&net);
}

/* Of its two members one is dead, and the other has not heard of the map yet. */
static void what_a_former_member_has_is_not_void(void) {
    struct net net = begin_shards(6, 3);
    put_keys(&net, "1", (struct result){0});
    kill_node(&net, 2);
    pass(&net, 500);
    set_deaf(&net, 5, true);
    set_mute(&net, 5, true);
    propose_shards(&net, 0, 2);
    const struct map *map = node_map(net.nodes[0]);
    unsigned heir = map_shard_of_node(map, &net.configs[5].self) == 0 ? 1 : 0;
    turn(&net);
    struct key key = key_of_both(&net, heir, 5);
    watch(&net, heir, key.text, "1", 600);
    memset(net.cut, 0, sizeof net.cut);
    pass(&net, 1000);
    check_value(&net, heir, key.text, "", "1");
    end(&net);
}

static void set_sides(struct net *net, bool cut) { /* even and odd */
    for (unsigned i = 0; i < net->count; i += 2) {
        for (unsigned j = 1; j < net->count; j += 2)
            set_pair(net, i, j, cut);
    }
}

/* All members of the second shard were cut off when the map was made, and stand by; the fifth node
 * was away when the two other owners got what those have dropped since. */
static void what_another_owner_has_is_not_void(void) {
    struct net net = begin_shards(6, 2);
    put_keys(&net, "1", (struct result){0});
    struct key key = key_of_both(&net, 1, 3);
    set_sides(&net, true);
    pass(&net, 1500);
    propose_shards(&net, 0, 1);
    pass(&net, 100);
    cut_off(&net, 4);
    set_sides(&net, false);
    set_cut(&net, 4, true);
    pass(&net, 5000);
    CHECK(keeps(&net, 0, key.text) && !keeps(&net, 1, key.text) && owns(&net, 4, key.text));
    set_cut(&net, 4, false);
    for (unsigned i = 0; i < 6; i++)
        creep_until_met(&net, 4, i);
    set_mute(&net, 0, true);
    set_mute(&net, 2, true);
    watch(&net, 4, key.text, "1", 600);
    memset(net.cut, 0, sizeof net.cut);
    pass(&net, 1000);
    check_value(&net, 4, key.text, "", "1");
    end(&net);
}

/* All actors but those of the present groups. */
static void metadata_forgets_who_wrote_for_former_groups(void) {
    struct net net = begin_shards(4, 2);
    struct result w = put_keys(&net, "1", (struct result){0});
    CHECK_U64(entries_of(w.metadata), 2);
    reshard(&net, 0, 1);
    pass(&net, 500);
    w = get(&net, 3, "key0", w.metadata);
    kit_note("%s", w.metadata);
    CHECK(w.status == NODE_FOUND && entries_of(w.metadata) == 0);
    CHECK(strstr(w.metadata, "\"maps\":[\"2.") != NULL);
    kit_note("%s", "");
    for (unsigned i = 0; i < 4; i++)
        check_value(&net, i, "key0", w.metadata, "1");
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
    /* It may be there: nobody can tell. */
    CHECK(get(&net, 0, lost.text, w.metadata).status == NODE_CANNOT_FORWARD);
    CHECK(ask(&net, 0, OP_DELETE, lost.text, "", w.metadata).status == NODE_CANNOT_FORWARD);
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

static bool all_live_by(const struct net *net, uint32_t shard_count) {
    for (unsigned i = 0; i < net->count; i++) {
        if (node_map(net->nodes[i])->shard_count != shard_count) return false;
    }
    return true;
}

/* The others have not noticed the death when another node is asked, and nothing would move by the
 * nodes that it counts as live. With one owner left of two, who had the slots keep them. */
static void a_reshard_goes_on_without_a_node_that_dies_while_it_waits(void) {
    struct net net = begin_shards(5, 1);
    struct result w = put_keys(&net, "1", (struct result){0});
    struct answer unused;
    CHECK(node_reshard(net.nodes[0], 76, 2, &unused) == NODE_PARKED);
    for (int steps = 0; steps < 100 && !all_live_by(&net, 2); steps++)
        step(&net);
    CHECK(all_live_by(&net, 2));
    unsigned members[2] = {0}, dead, asked;
    for (unsigned i = 0; i < net.count; i++)
        members[node_shard(net.nodes[i])]++;
    unsigned small_shard = members[1] < members[0];
    CHECK_U64(members[small_shard], 2);
    for (dead = 0; node_shard(net.nodes[dead]) != small_shard; dead++)
        continue;
    asked = (dead + 1) % net.count;
    kill_node(&net, dead);
    reshard(&net, asked, 2);
    CHECK(map_shard_of_node(node_map(net.nodes[asked]), &net.configs[dead].self) == SHARD_NONE);
    check_keys(&net, w.metadata, "1");
    end(&net);
}

/* ---- Losses ---- */

/* The third is struck off and was told so; the first, which had the key as well, has died and
 * started again without having met it. What names the write. */
static struct result leave_the_only_copy(struct net *net, const char *key) {
    struct result w = put(net, 0, key, "1", "");
    CHECK(strike_off(net, 0, 2));
    pass(net, 500);
    set_cut(net, 2, true);
    restart(net, 0);
    pass(net, 5000);
    CHECK(node_ready(net->nodes[0]) && !keeps(net, 1, key) && keeps(net, 2, key));
    return w;
}

/* It is not given up for so long. */
static void check_waits(struct net *net, const char *key, const char *metadata, uint64_t ms) {
    for (uint64_t until = net->now_ms + ms; net->now_ms < until; creep(net)) {
        struct result r = submit(net, 0, OP_GET, key, "", metadata);
        if (!r.is_answered) r = take(net, 0);
        CHECK(!r.is_answered || r.status == NODE_NOT_YET);
    }
}

static void check_comes(struct net *net, const char *key, const char *metadata) {
    memset(net->cut, 0, sizeof net->cut);
    pass(net, 5000);
    check_value(net, 0, key, metadata, "1");
    CHECK(!keeps(net, 2, key));
}

static void what_is_with_who_was_struck_off_and_named_again_is_not_lost(void) {
    struct net net = begin_shards(4, 2);
    struct key key = key_of_both(&net, 0, 2);
    struct result w = leave_the_only_copy(&net, key.text);
    set_cut(&net, 2, false);
    CHECK(node_view_add(net.nodes[0], &net.configs[2].self) == PEERS_ADDED);
    creep_until_met(&net, 0, 2);
    net.cut[0][2] = true; /* it hears what the other has, and cannot ask for it */
    check_waits(&net, key.text, w.metadata, 600);
    check_comes(&net, key.text, w.metadata);
    end(&net);
}

static void nor_if_only_others_hear_of_it(void) {
    struct net net = begin_shards(4, 2);
    struct key key = key_of_both(&net, 0, 2);
    struct result w = leave_the_only_copy(&net, key.text);
    set_cut(&net, 2, false);
    set_pair(&net, 0, 2, true);
    CHECK(node_view_add(net.nodes[1], &net.configs[2].self) == PEERS_ADDED);
    creep_until_met(&net, 1, 2);
    check_waits(&net, key.text, w.metadata, 1500);
    CHECK(sees(&net, 1, 2) && !sees(&net, 0, 2));
    check_comes(&net, key.text, w.metadata);
    end(&net);
}

/* The third starts again while the first lives by a later map. Their links break as they meet: the
 * third gets a write of that map before the map itself. */
static struct result hold_back_for_a_map(struct net *net, const char *key) {
    set_pair(net, 1, 2, true);
    start(net, 2);
    for (int steps = 0; !sees(net, 2, 0) && CHECK(steps < 1000); steps++)
        creep(net);
    net->cut[0][2] = true;
    for (int steps = 0; !sees(net, 0, 2) && CHECK(steps < 1000); steps++)
        creep(net);
    break_links(net, 0, 2);
    net->cut[0][2] = false;
    net->cut[1][0] = true;
    submit(net, 0, OP_PUT, key, "1", "");
    for (int steps = 0; node_held_back(net->nodes[2]) == 0 && CHECK(steps < 1000); steps++)
        creep(net);
    net->cut[0][2] = true;
    net->cut[1][0] = false;
    pass(net, 10);
    return take(net, 0);
}

/* All who know the map die: whose slots the write is of nobody can say any more. Who has seen it is
 * not refused for ever because one holds it back. */
static void what_is_held_back_for_a_map_that_died_is_lost(void) {
    struct net net = begin_shards(4, 2);
    struct key key = key_of_both(&net, 0, 2);
    propose_shards(&net, 0, 1);
    kill_node(&net, 2);
    pass(&net, 2000);
    kill_node(&net, 3);
    struct result w = hold_back_for_a_map(&net, key.text);
    CHECK(w.status == NODE_CREATED);
    kill_node(&net, 0);
    kill_node(&net, 1);
    memset(net.cut, 0, sizeof net.cut);
    CHECK_U64(node_map(net.nodes[2])->epoch, 1);
    CHECK_U64(node_held_back(net.nodes[2]), 1);
    make_ready(&net);
    pass(&net, 2000);
    CHECK_U64(node_held_back(net.nodes[2]), 0);
    for (unsigned i = 0; i < net.count; i++)
        CHECK(get(&net, i, key.text, w.metadata).status == NODE_NO_KEY);
    end(&net);
}

int main(void) {
    RUN(all_keys_move_and_nothing_else_changes);
    RUN(a_reshard_goes_on_without_a_node_that_dies_while_it_waits);
    RUN(a_move_waits_for_no_tick);
    RUN(what_somebody_waits_to_read_comes_before_the_rest);
    RUN(keys_are_counted_when_all_have_come);
    RUN(the_log_says_how_far_a_move_is_and_when_it_is_over);
    RUN(who_has_not_heard_of_the_map_is_waited_for_as_a_second_copy);
    RUN(a_change_of_group_waits_for_second_copies);
    RUN(residue_stays_until_two_owners_have_it);
    RUN(residue_stays_until_it_is_on_other_disks);
    RUN(residue_stays_while_somebody_lives_by_a_smaller_map);
    RUN(base_that_was_asked_for_under_an_older_map_does_not_count);
    RUN(who_lives_by_a_smaller_map_gives_no_base);
    RUN(who_was_no_member_for_a_while_has_no_base_of_its_own);
    RUN(who_did_not_notice_that_it_was_no_member_has_none_either);
    RUN(who_restarts_does_not_begin_a_group_that_it_is_told_of);
    RUN(who_restarts_alone_does_not_begin_a_group_of_the_past);
    RUN(who_restarts_is_ready_when_it_knows_the_maps_of_the_past);
    RUN(what_a_former_member_has_is_not_void);
    RUN(what_another_owner_has_is_not_void);
    RUN(what_died_with_all_its_members_begins_anew_when_they_are_struck_off);
    RUN(metadata_forgets_who_wrote_for_former_groups);
    RUN(what_is_with_who_was_struck_off_and_named_again_is_not_lost);
    RUN(nor_if_only_others_hear_of_it);
    RUN(what_is_held_back_for_a_map_that_died_is_lost);
    return kit_finish();
}
