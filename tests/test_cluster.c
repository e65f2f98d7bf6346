/* A group of nodes, one story a test: the usual life of a cluster. See net.h. */
#include "../durable.h"
#include "net.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- What happens in many stories ---- */

static void start_some(struct net *net, unsigned first, unsigned count) {
    for (unsigned i = first; i < first + count; i++)
        start(net, i);
}

/* Node i has begun the write, and nobody is told yet. */
static bool put_waits(struct net *net, unsigned i, const char *key, const char *value,
                      const char *metadata) {
    return !submit(net, i, OP_PUT, key, value, metadata).is_answered;
}

/* "key0", "key1"... one after the other; the last of the answers. */
static struct result put_many(struct net *net, unsigned i, int count, struct result w) {
    for (int k = 0; k < count; k++) {
        char key[16];
        snprintf(key, sizeof key, "key%d", k);
        w = put(net, i, key, "1", w.metadata);
    }
    return w;
}

static bool name_again(struct net *net, unsigned by, unsigned whom) {
    return node_view_add(net->nodes[by], &net->configs[whom].self) == PEERS_ADDED;
}

static void check_everywhere(struct net *net, const char *key, const char *metadata,
                             const char *want) {
    for (unsigned i = 0; i < net->count; i++)
        check_value(net, i, key, metadata, want);
}

/* ---- The usual life ---- */

static void a_write_reaches_all_members(void) {
    struct net net = begin_ready(3);
    struct result w = put(&net, 0, "k", "1", "");
    CHECK(w.status == NODE_CREATED);
    check_everywhere(&net, "k", w.metadata, "1");
    end(&net);
}

static void a_restarted_member_gets_everything_back(void) {
    struct net net = begin_ready(3);
    struct result w = {0};
    for (int i = 0; i < 300; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        w = put(&net, (unsigned)i % 3, key, "7", w.metadata);
        CHECK(w.status == NODE_CREATED);
    }
    kill_node(&net, 1);
    pass(&net, 100);
    CHECK_U64(listed_count(&net, 0), 2);
    w = put(&net, 0, "late", "8", w.metadata);
    start(&net, 1);
    pass(&net, 1000);
    CHECK(node_ready(net.nodes[1]));
    check_value(&net, 1, "late", w.metadata, "8");
    CHECK_U64(store_live(node_store(net.nodes[1])), 301);
    end(&net);
}

static void a_cut_heals_and_both_sides_level(void) {
    struct net net = begin_ready(3);
    cut_off(&net, 2);
    CHECK_U64(listed_count(&net, 0), 2);
    CHECK_U64(listed_count(&net, 2), 1);
    struct result here = put(&net, 0, "k", "1", ""), there = put(&net, 2, "k", "2", "");
    CHECK(here.status == NODE_CREATED && there.status == NODE_CREATED);
    CHECK(get(&net, 2, "k", here.metadata).status == NODE_NOT_YET);
    set_cut(&net, 2, false);
    pass(&net, 300);
    CHECK(get(&net, 2, "k", here.metadata).status == NODE_NOT_YET); /* not readmitted yet */
    pass(&net, 4000);
    check_everywhere(&net, "k", here.metadata, "2"); /* the later, or of the greater actor */
    check_everywhere(&net, "k", there.metadata, "2");
    end(&net);
}

/* ---- Delivery ---- */

/* The third has "b" of the second, and not "a" of the first, which was there before it: from the
 * first nothing reaches it. */
static struct result hold_back_b(struct net *net) {
    net->cut[0][2] = true;
    struct result first = put(net, 0, "a", "1", "");
    struct result second = put(net, 1, "b", "2", first.metadata);
    turn(net);
    CHECK_U64(node_held_back(net->nodes[2]), 1);
    return second;
}

static void a_write_is_held_back_until_what_it_depends_on_arrives(void) {
    struct net net = begin_ready(3);
    struct result b = hold_back_b(&net);
    CHECK(get(&net, 2, "b", "").status == NODE_NO_KEY);
    net.cut[0][2] = false;
    turn(&net);
    CHECK_U64(node_held_back(net.nodes[2]), 0);
    check_value(&net, 2, "b", "", "2");
    check_value(&net, 2, "a", b.metadata, "1");
    CHECK_U64(node_replica_stats(net.nodes[2])->pulls, 0);
    end(&net);
}

/* What the origin cannot bring, others do. */
static void what_is_held_back_for_long_is_pulled(void) {
    struct net net = begin_ready(3);
    struct result b = hold_back_b(&net);
    pass(&net, 500);
    CHECK_U64(node_held_back(net.nodes[2]), 0);
    check_value(&net, 2, "a", b.metadata, "1");
    net.cut[0][2] = false;
    pass(&net, 4000);
    check_level(&net);
    end(&net);
}

static void a_write_that_loses_is_delivered_all_the_same(void) {
    struct net net = begin_ready(3);
    set_pair(&net, 0, 1, true);
    struct result one = put(&net, 0, "k", "1", ""), two = put(&net, 1, "k", "2", "");
    set_pair(&net, 0, 1, false);
    turn(&net);
    struct result winner = get(&net, 2, "k", "");
    check_everywhere(&net, "k", one.metadata, winner.value);
    check_everywhere(&net, "k", two.metadata, winner.value);
    uint64_t superseded = 0;
    for (unsigned i = 0; i < 3; i++)
        superseded += node_replica_stats(net.nodes[i])->superseded;
    CHECK(superseded > 0);
    struct result next[2] = {put(&net, 0, "a", "3", ""), put(&net, 1, "b", "4", "")};
    turn(&net);
    CHECK_U64(node_held_back(net.nodes[0]) + node_held_back(net.nodes[1]), 0);
    check_value(&net, 2, "a", next[0].metadata, "3");
    check_value(&net, 2, "b", next[1].metadata, "4");
    check_level(&net);
    end(&net);
}

static void a_write_is_visible_only_when_a_second_member_has_it(void) {
    struct net net = begin_ready(3);
    net.cut[0][1] = net.cut[0][2] = true;
    CHECK(put_waits(&net, 0, "k", "1", ""));
    pass(&net, 100);
    CHECK_U64(node_under_way(net.nodes[0]), 1);
    CHECK(!take(&net, 0).is_answered);
    CHECK(get(&net, 0, "k", "").status == NODE_NO_KEY);
    net.cut[0][2] = false;
    turn(&net);
    struct result w = take(&net, 0);
    CHECK(w.is_answered && w.status == NODE_CREATED);
    check_value(&net, 0, "k", w.metadata, "1");
    check_value(&net, 2, "k", w.metadata, "1");
    end(&net);
}

static void either_member_may_acknowledge(void) {
    struct net net = begin_ready(3);
    for (unsigned slow = 1; slow <= 2; slow++) {
        set_pair(&net, 0, slow, true);
        CHECK(put_waits(&net, 0, "k", "1", ""));
        turn(&net);
        CHECK(take(&net, 0).is_answered);
        CHECK_U64(node_under_way(net.nodes[0]), 0);
        set_pair(&net, 0, slow, false);
        turn(&net);
    }
    check_level(&net);
    end(&net);
}

static void writes_are_answered_in_the_order_they_began(void) {
    static const char *const keys[] = {"a", "a", "b", "a", "c"};
    static const enum node_status ends[] = {NODE_CREATED, NODE_REPLACED, NODE_CREATED,
                                            NODE_REPLACED, NODE_CREATED};
    struct net net = begin_ready(2);
    net.cut[0][1] = true;
    for (int i = 0; i < 5; i++)
        CHECK(put_waits(&net, 0, keys[i], "1", ""));
    net.cut[0][1] = false;
    turn(&net);
    for (int i = 0; i < 5; i++) {
        struct result r = take(&net, 0);
        CHECK(r.is_answered && r.status == ends[i]);
    }
    CHECK(!take(&net, 0).is_answered);
    check_level(&net);
    end(&net);
}

/* ---- Away and back ---- */

static void a_member_that_was_stopped_is_cut_off_and_caught_up(void) {
    struct net net = begin_ready(3);
    struct result w = put(&net, 2, "of two", "1", "");
    net.stopped[2] = true;
    w = put(&net, 0, "k", "1", w.metadata);
    CHECK(w.status == NODE_CREATED);
    pass(&net, 1500);
    CHECK_U64(listed_count(&net, 0), 2);
    CHECK_U64(listed_count(&net, 1), 2);
    for (int i = 0; i < 20; i++)
        w = put(&net, (unsigned)i % 2, "k", "2", w.metadata);
    net.stopped[2] = false;
    pass(&net, 1000);
    CHECK_U64(listed_count(&net, 0), 2); /* readmit_ms are not over */
    pass(&net, 2500);
    check_value(&net, 2, "k", w.metadata, "2");
    for (unsigned i = 0; i < 3; i++)
        CHECK_U64(listed_count(&net, i), 3);
    check_level(&net);
    end(&net);
}

static void two_that_are_cut_from_each_other_are_served_by_the_third(void) {
    struct net net = begin_ready(3);
    set_pair(&net, 0, 1, true);
    pass(&net, 2000);
    CHECK_U64(listed_count(&net, 0), 2);
    CHECK_U64(listed_count(&net, 1), 2);
    CHECK_U64(listed_count(&net, 2), 3);
    struct result w = put(&net, 0, "k", "1", "");
    CHECK(w.status == NODE_CREATED);
    check_value(&net, 1, "k", w.metadata, "1");
    w = put(&net, 1, "k", "2", w.metadata);
    check_value(&net, 0, "k", w.metadata, "2");
    set_pair(&net, 0, 1, false);
    pass(&net, 4000);
    check_level(&net);
    end(&net);
}

/* The third misses so many writes; whether it was sent images when it is back. */
static bool miss(int writes, const char *last) {
    struct net net = begin_short(3);
    struct result w = put_many(&net, 2, 10, (struct result){0});
    pass(&net, 500);
    cut_off(&net, 2);
    w = put_many(&net, 0, writes, w);
    set_cut(&net, 2, false);
    pass(&net, 4000);
    bool images = node_replica_stats(net.nodes[2])->images_taken > 0;
    check_value(&net, 2, last, w.metadata, "1");
    check_level(&net);
    end(&net);
    return images;
}

static void what_was_missed_comes_from_the_ring(void) {
    CHECK(!miss(RING_SHORT_WRITES - 1, "key2"));
}

static void what_the_ring_has_dropped_comes_as_images(void) {
    CHECK(miss(30, "key29"));
}

static void a_member_restarts_while_writes_go_on(void) {
    struct net net = begin_short(3);
    struct result w = put_many(&net, 0, 50, (struct result){0});
    for (unsigned i = 0; i < 100; i++) {
        if (i == 10) kill_node(&net, 1);
        if (i == 20) start(&net, 1);
        char key[16];
        snprintf(key, sizeof key, "key%u", i);
        w = put(&net, i % 2 * 2, key, "2", w.metadata);
        CHECK(w.status == NODE_CREATED || w.status == NODE_REPLACED);
        pass(&net, 10);
    }
    check_value(&net, 1, "key99", w.metadata, "2");
    pass(&net, 500);
    check_level(&net);
    end(&net);
}

/* ---- Losses ---- */

/* The first and the second have "k", which the third never got. */
static struct result put_behind_the_third(struct net *net) {
    cut_off(net, 2);
    struct result w = put(net, 0, "k", "1", "");
    CHECK(w.status == NODE_CREATED);
    return w;
}

static void a_loss_is_waived_when_all_that_restarted_have_reported(void) {
    struct net net = begin_ready(3);
    put(&net, 0, "before", "1", "");
    pass(&net, 500);
    struct result lost = put_behind_the_third(&net);
    kill_node(&net, 0);
    kill_node(&net, 1);
    set_cut(&net, 2, false);
    pass(&net, 500);
    CHECK(get(&net, 2, "k", lost.metadata).status == NODE_NOT_YET);
    start(&net, 0);
    pass(&net, 6000);
    CHECK(node_ready(net.nodes[0]));
    for (unsigned i = 0; i < 3; i += 2) /* the second may still have it */
        CHECK(get(&net, i, "k", lost.metadata).status == NODE_NOT_YET);
    start(&net, 1);
    pass(&net, 1000);
    for (unsigned i = 0; i < 3; i++) {
        kit_note("node %u", i);
        CHECK(get(&net, i, "k", lost.metadata).status == NODE_NO_KEY);
        check_value(&net, i, "before", lost.metadata, "1");
    }
    pass(&net, 500);
    check_level(&net);
    end(&net);
}

static void what_one_member_has_is_no_loss(void) {
    struct net net = begin_ready(3);
    put(&net, 0, "before", "1", "");
    struct result w = put_behind_the_third(&net);
    kill_node(&net, 0);
    set_cut(&net, 2, false);
    start(&net, 0);
    pass(&net, 5000);
    check_everywhere(&net, "k", w.metadata, "1");
    for (unsigned i = 0; i < 3; i++)
        CHECK_U64(node_replica_stats(net.nodes[i])->waived, 0);
    check_level(&net);
    end(&net);
}

/* ---- Starts ---- */

static void two_of_three_serve_provisionally_until_the_third_comes(void) {
    struct net net = begin(3);
    start_some(&net, 0, 2);
    pass(&net, 2500);
    CHECK(!node_ready(net.nodes[0]) && !node_ready(net.nodes[1]));
    pass(&net, 2000);
    for (unsigned i = 0; i < 2; i++)
        CHECK(node_ready(net.nodes[i]) && node_provisional(net.nodes[i]));
    struct result w = put(&net, 0, "k", "1", "");
    start(&net, 2);
    pass(&net, 1000);
    check_value(&net, 2, "k", w.metadata, "1");
    for (unsigned i = 0; i < 3; i++)
        CHECK(node_ready(net.nodes[i]) && !node_provisional(net.nodes[i]));
    check_level(&net);
    end(&net);
}

/* Nor thrown out, nor believed to have it. */
static void who_can_keep_nothing_is_not_waited_for(void) {
    struct net net = begin_ready(2);
    node_set_disk_trouble(net.nodes[1], SLICE("Disk full"));
    turn(&net);
    uint64_t asked_ms = net.now_ms;
    CHECK(put(&net, 0, "k", "1", "").status == NODE_CREATED && net.now_ms < asked_ms + 50);
    pass(&net, 3000);
    CHECK(sees(&net, 0, 1) && sees(&net, 1, 0));
    CHECK(get(&net, 1, "k", "").status == NODE_NO_KEY);
    CHECK(put(&net, 1, "k", "2", "").status == NODE_DISK_TROUBLE);
    node_set_disk_trouble(net.nodes[1], SLICE(""));
    pass(&net, 1000);
    check_value(&net, 1, "k", "", "1");
    check_level(&net);
    end(&net);
}

/* It was full for so short a time that nobody has heard of it; what came then comes again. */
static void what_came_while_a_disk_was_full_is_not_lost(void) {
    for (unsigned told = 0; told < 2; told++) {
        struct net net = begin_ready(2);
        kit_note("told: %u", told);
        node_set_disk_trouble(net.nodes[1], SLICE("Disk full"));
        if (told == 0) set_mute(&net, 1, true);
        CHECK(submit(&net, 0, OP_PUT, "k", "1", "").is_answered == false);
        step(&net);
        node_set_disk_trouble(net.nodes[1], SLICE(""));
        set_mute(&net, 1, false);
        pass(&net, 200);
        CHECK(take(&net, 0).is_answered);
        check_value(&net, 1, "k", "", "1");
        end(&net);
    }
}

static void newcomers_join_an_automatic_group_by_themselves(void) {
    struct net net = begin(4);
    net.configs[0].view_count = net.configs[1].view_count = 2;
    start_some(&net, 0, 2);
    pass(&net, 500);
    struct result w = put(&net, 0, "k", "1", "");
    start_some(&net, 2, 2);
    pass(&net, 2000);
    for (unsigned i = 0; i < 4; i++) {
        kit_note("node %u", i);
        CHECK_U64(mapped_count(&net, i), 4);
        CHECK_U64(node_shard(net.nodes[i]), 0);
        CHECK(node_ready(net.nodes[i]));
        check_value(&net, i, "k", w.metadata, "1");
    }
    w = put(&net, 3, "k", "2", w.metadata);
    check_value(&net, 0, "k", w.metadata, "2");
    check_level(&net);
    end(&net);
}

static void a_newcomer_that_nobody_expects_joins_the_group_that_it_finds(void) {
    struct net net = begin(4);
    for (unsigned i = 0; i < 3; i++)
        net.configs[i].view_count = 3;
    start_some(&net, 0, 3);
    pass(&net, 500);
    uint64_t group = node_map(net.nodes[0])->group[0];
    struct result w = put(&net, 0, "k", "1", "");
    start(&net, 3);
    pass(&net, 100);
    for (unsigned i = 0; i < 3; i++)
        CHECK(node_ready(net.nodes[i]));
    pass(&net, 900);
    for (unsigned i = 0; i < 4; i++) {
        CHECK(node_ready(net.nodes[i]) && !node_provisional(net.nodes[i]));
        CHECK_U64(node_shard(net.nodes[i]), 0);
        CHECK_U64(mapped_count(&net, i), 4);
        CHECK(node_map(net.nodes[i])->group[0] == group);
        CHECK_U64(listed_count(&net, i), 4);
        CHECK(get(&net, i, "k", w.metadata).status == NODE_FOUND);
    }
    end(&net);
}

/* The lowest address of all must not wait for itself to let it in. */
static void a_newcomer_of_the_lowest_address_joins_as_well(void) {
    struct net net = begin(3);
    for (unsigned i = 1; i < 3; i++) {
        net.configs[i].view++;
        net.configs[i].view_count = 2;
    }
    start_some(&net, 1, 2);
    pass(&net, 500);
    struct result w = put(&net, 1, "k", "1", "");
    start(&net, 0);
    pass(&net, 2000);
    CHECK_U64(mapped_count(&net, 1), 3);
    check_value(&net, 0, "k", w.metadata, "1");
    check_level(&net);
    end(&net);
}

/* Only the second was told of the first. */
static void one_view_of_two_is_enough_to_become_a_group(void) {
    struct net net = begin(2);
    net.configs[0].view_count = 1;
    start(&net, 0);
    struct result w = put(&net, 0, "k", "1", "");
    CHECK(w.status == NODE_CREATED);
    start(&net, 1);
    pass(&net, 2000);
    CHECK_U64(mapped_count(&net, 0), 2);
    check_value(&net, 1, "k", w.metadata, "1");
    w = put(&net, 0, "k", "2", w.metadata);
    check_value(&net, 1, "k", w.metadata, "2");
    check_level(&net);
    end(&net);
}

/* ---- Struck off, and named again ---- */

static void a_dead_member_that_is_struck_off_leaves_the_map(void) {
    struct net net = begin_ready(3);
    kill_node(&net, 2);
    pass(&net, 500);
    CHECK(strike_off(&net, 0, 2));
    pass(&net, 500);
    for (unsigned i = 0; i < 2; i++) {
        CHECK_U64(mapped_count(&net, i), 2);
        CHECK(!map_has_node(node_map(net.nodes[i]), &net.configs[2].self));
        CHECK(node_ready(net.nodes[i]));
    }
    CHECK(put(&net, 0, "k", "1", "").status == NODE_CREATED);
    start(&net, 2); /* a new process is taken in again */
    pass(&net, 2000);
    check_value(&net, 2, "k", "", "1");
    CHECK_U64(mapped_count(&net, 2), 3);
    check_level(&net);
    end(&net);
}

/* Node `whom` is in nobody's view and in nobody's map, and serves nothing. */
static void check_is_out(struct net *net, unsigned whom) {
    for (unsigned i = 0; i < net->count; i++) {
        kit_note("node %u, %u is out", i, whom);
        CHECK(!map_has_node(node_map(net->nodes[i]), &net->configs[whom].self));
        CHECK_U64(listed_count(net, i), i == whom ? 1 : net->count - 1);
    }
    CHECK(!node_ready(net->nodes[whom]));
    kit_note("%s", "");
}

static bool strikes(struct net *net, unsigned by, unsigned whom) {
    return map_struck_boot(node_map(net->nodes[by]), &net->configs[whom].self) != 0;
}

/* Whoever is asked, and whoever would propose newcomers. */
static void a_live_member_that_is_struck_off_is_out_until_it_is_named(void) {
    for (unsigned by = 0; by < 3; by++) {
        for (unsigned whom = 0; whom < 3; whom++) {
            if (whom == by) continue;
            struct net net = begin_ready(3);
            CHECK(strike_off(&net, by, whom));
            pass(&net, 100);
            check_is_out(&net, whom);
            pass(&net, 5000);
            check_is_out(&net, whom);
            struct result w = put(&net, by, "k", "1", "");
            CHECK(w.status == NODE_CREATED);
            CHECK(name_again(&net, 3 - by - whom, whom));
            pass(&net, 4000);
            for (unsigned i = 0; i < 3; i++) {
                CHECK_U64(listed_count(&net, i), 3);
                CHECK(!strikes(&net, i, whom));
            }
            check_value(&net, whom, "k", w.metadata, "1");
            w = put(&net, whom, "k", "2", w.metadata);
            check_value(&net, by, "k", w.metadata, "2");
            check_level(&net);
            end(&net);
        }
    }
}

static void a_member_of_an_explicit_map_comes_back_to_stand_by(void) {
    struct net net = begin(4);
    for (unsigned i = 0; i < 4; i++)
        net.configs[i].shard_count = 1;
    make_ready(&net);
    CHECK(strike_off(&net, 2, 3));
    pass(&net, 5000);
    check_is_out(&net, 3);
    CHECK(name_again(&net, 1, 3));
    pass(&net, 4000);
    for (unsigned i = 0; i < 4; i++) {
        CHECK_U64(listed_count(&net, i), 4);
        CHECK_U64(mapped_count(&net, i), 3);
    }
    struct answer a;
    node_add_member(net.nodes[2], 7, 0, &net.configs[3].self, &a);
    pass(&net, 1000);
    check_level(&net);
    end(&net);
}

/* It has never heard of the one that is out, but for its VIEW. */
static void a_process_that_starts_later_keeps_out_whom_the_others_do(void) {
    struct net net = begin_ready(4);
    CHECK(strike_off(&net, 2, 3));
    pass(&net, 500);
    restart(&net, 1);
    pass(&net, 2000);
    check_is_out(&net, 3);
    restart(&net, 3); /* another process is another matter */
    pass(&net, 2000);
    check_level(&net);
    for (unsigned i = 0; i < 4; i++)
        CHECK_U64(listed_count(&net, i), 4);
    end(&net);
}

/* The others hear it, and the node that is asked does not. */
static void who_is_out_of_one_view_alone_is_struck_off_everywhere(void) {
    struct net net = begin_ready(4);
    set_pair(&net, 2, 3, true);
    pass(&net, 1500);
    CHECK_U64(listed_count(&net, 2), 3);
    CHECK_U64(listed_count(&net, 0), 4);
    restart(&net, 2);
    pass(&net, 1000);
    CHECK(strike_off(&net, 2, 3));
    pass(&net, 1000);
    set_pair(&net, 2, 3, false);
    pass(&net, 4000);
    check_is_out(&net, 3);
    end(&net);
}

/* Side by side two maps came to be, and only the smaller has the newcomer: that is no reason to
 * keep it out. */
static void a_newcomer_that_the_greater_of_two_maps_has_not_is_not_out(void) {
    struct net net = begin(5);
    for (unsigned i = 0; i < 4; i++)
        net.configs[i].view_count = 4;
    start_some(&net, 0, 4);
    pass(&net, 500);
    set_cut(&net, 1, true);
    set_cut(&net, 4, true);
    set_pair(&net, 1, 4, false);
    kill_node(&net, 3);
    start(&net, 4);
    pass(&net, 2500);
    CHECK_U64(mapped_count(&net, 1), 5);
    CHECK(strike_off(&net, 2, 3)); /* by the greater address */
    CHECK_U64(mapped_count(&net, 2), 3);
    set_cut(&net, 1, false);
    set_cut(&net, 4, false);
    pass(&net, 5000);
    for (unsigned i = 0; i < 5; i++) {
        if (i == 3) continue;
        kit_note("node %u", i);
        CHECK_U64(listed_count(&net, i), 4);
        CHECK_U64(mapped_count(&net, i), 4);
        CHECK(node_ready(net.nodes[i]));
    }
    end(&net);
}

/* All that the two others have of it they have yet to get. */
static void the_last_member_with_the_data_is_not_struck_off(void) {
    struct net net = begin_ready(3);
    put(&net, 0, "k", "1", "");
    kill_node(&net, 1);
    kill_node(&net, 2);
    pass(&net, 500);
    for (unsigned i = 1; i < 3; i++) {
        start(&net, i);
        net.cut[0][i] = net.cut[i][0] = false;
    }
    while (!peers_lists(node_view(net.nodes[1]), &net.configs[0].self) ||
           !peer_in_view(peers_find(node_view(net.nodes[1]), &net.configs[0].self)))
        step(&net);
    CHECK(!node_ready(net.nodes[1]) && !node_ready(net.nodes[2]));
    CHECK(node_view_remove(net.nodes[1], &net.configs[0].self) == NODE_REMOVED_LAST);
    pass(&net, 500);
    CHECK(node_ready(net.nodes[1]) && strike_off(&net, 1, 0));
    pass(&net, 500);
    check_value(&net, 1, "k", "", "1");
    check_value(&net, 2, "k", "", "1");
    end(&net);
}

/* The only one left must not overtake what it has sent to the one that is gone. */
static void writes_under_way_to_a_member_that_is_struck_off_come_first(void) {
    struct net net = begin_ready(2);
    net.cut[0][1] = true;
    CHECK(put_waits(&net, 0, "k", "1", ""));
    CHECK(strike_off(&net, 0, 1));
    CHECK_U64(mapped_count(&net, 0), 1);
    struct result later = submit(&net, 0, OP_PUT, "k", "2", "");
    pass(&net, 50);
    struct result first = take(&net, 0);
    CHECK(first.is_answered && first.status == NODE_CREATED);
    if (!later.is_answered) later = take(&net, 0);
    CHECK(later.is_answered && later.status == NODE_REPLACED);
    check_value(&net, 0, "k", later.metadata, "2");
    end(&net);
}

/* It hears the others before it is in their map again, and what they say then is not enough. */
static void a_member_that_comes_back_to_the_map_catches_up_before_it_serves(void) {
    struct net net = begin_ready(3);
    CHECK(strike_off(&net, 0, 2));
    pass(&net, 500);
    CHECK(!node_may_read_slot(net.nodes[2], 0));
    CHECK(name_again(&net, 0, 2));
    const struct peer *third = peers_find(node_view(net.nodes[0]), &net.configs[2].self);
    for (int ms = 0; ms < 4000 && !peer_in_view(third); ms += 10)
        pass(&net, 10);
    CHECK(!node_may_read_slot(net.nodes[2], 0));
    struct result w = put(&net, 1, "k", "2", "");
    for (int ms = 0; ms < 1000 && !node_may_read_slot(net.nodes[2], 0); ms += 10)
        pass(&net, 10);
    CHECK(node_may_read_slot(net.nodes[2], 0));
    check_value(&net, 2, "k", "", "2");
    check_value(&net, 2, "k", w.metadata, "2");
    pass(&net, 500);
    check_level(&net);
    end(&net);
}

static void a_member_that_comes_back_to_the_map_writes_at_once(void) {
    struct net net = begin_ready(3);
    struct result w = put_many(&net, 2, 5, (struct result){0});
    CHECK(strike_off(&net, 0, 2));
    pass(&net, 500);
    CHECK(name_again(&net, 0, 2));
    pass(&net, 4000);
    net.cut[0][2] = true; /* the second has to acknowledge what the third writes now */
    CHECK(put_waits(&net, 2, "k", "1", w.metadata));
    turn(&net);
    CHECK(take(&net, 2).is_answered);
    net.cut[0][2] = false;
    turn(&net);
    check_level(&net);
    end(&net);
}

/* Its writes are delivered, but not answered yet, when the map comes that it is not in. */
static void what_was_written_before_leaving_the_map_is_answered(void) {
    struct net net = begin_ready(3);
    net.cut[0][2] = net.cut[1][2] = true;
    CHECK(put_waits(&net, 2, "k", "1", ""));
    turn(&net);
    CHECK(strike_off(&net, 0, 2));
    net.cut[0][2] = net.cut[1][2] = false; /* the acknowledgement comes, and then the map */
    pass(&net, 500);
    CHECK_U64(mapped_count(&net, 2), 2);
    struct result w = take(&net, 2);
    CHECK(w.is_answered && w.status == NODE_CREATED && w.shard == 0);
    CHECK_U64(entries_of(w.metadata), 1);
    check_value(&net, 0, "k", w.metadata, "1");
    end(&net);
}

/* ---- Metadata over restarts ---- */

/* All are ready; more than two actors that are over want to be forgotten. */
static struct net begin_forgetful(unsigned count) {
    struct net net = begin(count);
    for (unsigned i = 0; i < count; i++)
        net.configs[i].over_actors_max = 2;
    make_ready(&net);
    return net;
}

static void metadata_forgets_actors_that_are_over(void) {
    struct net net = begin_forgetful(3);
    struct result w = {0};
    for (int i = 0; i < 4; i++) {
        w = put(&net, 1, "k", "1", w.metadata);
        restart(&net, 1);
        pass(&net, 1500);
    }
    w = put(&net, 1, "k", "2", w.metadata);
    pass(&net, 1000);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_U64(node_map(net.nodes[i])->epoch, 2);
        struct result r = get(&net, i, "k", w.metadata);
        kit_note("node %u: %s", i, r.metadata);
        CHECK(r.status == NODE_FOUND);
        CHECK_U64(entries_of(r.metadata), 1);
        CHECK(strstr(r.metadata, "\"maps\":[\"2.") != NULL);
    }
    kit_note("%s", "");
    check_level(&net);
    end(&net);
}

static void nothing_is_forgotten_under_a_first_map_or_while_a_member_is_away(void) {
    struct net net = begin_forgetful(3);
    struct result w = {0};
    for (int i = 0; i < 4; i++) {
        w = put(&net, 1, "k", "1", w.metadata);
        CHECK(entries_of(w.metadata) == (unsigned)i + 1);
        kill_node(&net, 1);
        if (i == 1) kill_node(&net, 2);
        start(&net, 1);
        pass(&net, 1500);
    }
    w = put(&net, 1, "k", "2", w.metadata);
    CHECK_U64(entries_of(w.metadata), 5);
    end(&net);
}

/* ---- Callers ---- */

static void a_caller_that_says_nothing_is_closed_even_by_a_node_alone(void) {
    struct node_config config = kit_node_config();
    struct node *n = node_create(&config, KIT_NOW_MS, KIT_WALL_MS);
    struct link *l = node_link_accepted(n);
    struct link_order order;
    CHECK(node_deadline_ms(n) <= KIT_NOW_MS + PEER_DIAL_MS);
    kit_pass(n, KIT_NOW_MS, KIT_NOW_MS + PEER_DIAL_MS - 1); /* late turns give nobody up */
    CHECK(!node_take_order(n, &order));
    kit_pass(n, KIT_NOW_MS + PEER_DIAL_MS - 1, KIT_NOW_MS + PEER_DIAL_MS + PEER_TICK_MS);
    CHECK(node_take_order(n, &order) && order.kind == LINK_CLOSE && order.link == l);
    CHECK(!node_take_order(n, &order));
    CHECK_U64(node_deadline_ms(n), UINT64_MAX);
    node_free(n);
}

int main(void) {
    RUN(a_write_reaches_all_members);
    RUN(a_restarted_member_gets_everything_back);
    RUN(a_cut_heals_and_both_sides_level);
    RUN(a_write_is_held_back_until_what_it_depends_on_arrives);
    RUN(what_is_held_back_for_long_is_pulled);
    RUN(a_write_that_loses_is_delivered_all_the_same);
    RUN(a_write_is_visible_only_when_a_second_member_has_it);
    RUN(either_member_may_acknowledge);
    RUN(writes_are_answered_in_the_order_they_began);
    RUN(a_member_that_was_stopped_is_cut_off_and_caught_up);
    RUN(two_that_are_cut_from_each_other_are_served_by_the_third);
    RUN(what_was_missed_comes_from_the_ring);
    RUN(what_the_ring_has_dropped_comes_as_images);
    RUN(a_member_restarts_while_writes_go_on);
    RUN(a_loss_is_waived_when_all_that_restarted_have_reported);
    RUN(what_one_member_has_is_no_loss);
    RUN(two_of_three_serve_provisionally_until_the_third_comes);
    RUN(who_can_keep_nothing_is_not_waited_for);
    RUN(what_came_while_a_disk_was_full_is_not_lost);
    RUN(newcomers_join_an_automatic_group_by_themselves);
    RUN(a_newcomer_that_nobody_expects_joins_the_group_that_it_finds);
    RUN(a_newcomer_of_the_lowest_address_joins_as_well);
    RUN(one_view_of_two_is_enough_to_become_a_group);
    RUN(a_dead_member_that_is_struck_off_leaves_the_map);
    RUN(a_live_member_that_is_struck_off_is_out_until_it_is_named);
    RUN(a_member_of_an_explicit_map_comes_back_to_stand_by);
    RUN(a_process_that_starts_later_keeps_out_whom_the_others_do);
    RUN(who_is_out_of_one_view_alone_is_struck_off_everywhere);
    RUN(a_newcomer_that_the_greater_of_two_maps_has_not_is_not_out);
    RUN(the_last_member_with_the_data_is_not_struck_off);
    RUN(writes_under_way_to_a_member_that_is_struck_off_come_first);
    RUN(a_member_that_comes_back_to_the_map_catches_up_before_it_serves);
    RUN(a_member_that_comes_back_to_the_map_writes_at_once);
    RUN(what_was_written_before_leaving_the_map_is_answered);
    RUN(metadata_forgets_actors_that_are_over);
    RUN(nothing_is_forgotten_under_a_first_map_or_while_a_member_is_away);
    RUN(a_caller_that_says_nothing_is_closed_even_by_a_node_alone);
    return kit_finish();
}
