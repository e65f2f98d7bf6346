/* Schedules that random seeds hardly ever meet, each for a mistake that would go unseen without it;
 * tests/mutants.py plants these mistakes. See net.h. */
#include "net.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- What clients know ---- */

static void a_write_says_what_it_met(void) {
    struct net net = begin_ready(2);
    struct result first = put(&net, 0, "k", "1", "");
    struct result second = put(&net, 1, "k", "2", "");
    CHECK(first.status == NODE_CREATED && second.status == NODE_REPLACED);
    const char *dot = strstr(first.metadata, "\"clock\":{") + strlen("\"clock\":{");
    char entry[200];
    snprintf(entry, sizeof entry, "%.*s", (int)strcspn(dot, "}"), dot);
    kit_note("%s in %s", entry, second.metadata);
    CHECK(strstr(second.metadata, entry) != NULL);
    kit_note("%s", "");
    end(&net);
}

#define LAST "k476" /* a key in the last of the slots */

/* More than goes out in one turn when somebody catches up. */
static void put_much(struct net *net, unsigned i) {
    static char value[30000];
    memset(value, '7', sizeof value - 1);
    for (int k = 0; k < 50; k++) {
        char key[16];
        snprintf(key, sizeof key, "much%d", k);
        put(net, i, key, value, "");
    }
}

/* One starts alone while it is cut off, and serves provisionally; then it meets the others. What
 * their map stands for in metadata it must have before it serves who has seen that. */
static void who_learns_of_a_map_late_has_what_it_stands_for(void) {
    struct net net = begin(3);
    for (unsigned i = 0; i < 3; i++) {
        net.configs[i].over_actors_max = 1;
        net.configs[i].park_ms = 0;
    }
    make_ready(&net);
    struct result w = {0};
    put_much(&net, 0);
    for (int i = 0; i < 3; i++) {
        w = put(&net, 1, LAST, "1", w.metadata);
        restart(&net, 1);
        pass(&net, 1500);
    }
    w = get(&net, 0, LAST, w.metadata);
    CHECK(strstr(w.metadata, "\"maps\":[\"2.") != NULL && strstr(w.metadata, "#") == NULL);
    kill_node(&net, 2);
    set_cut(&net, 2, true);
    start(&net, 2);
    pass(&net, 5000);
    CHECK(node_ready(net.nodes[2]) && node_provisional(net.nodes[2]));
    set_cut(&net, 2, false);
    for (int steps = 0; node_map(net.nodes[2])->epoch == 1 && CHECK(steps < 10000); steps++) {
        creep(&net);
    }
    for (int steps = 0; steps < 1000; steps++) {
        struct result r = submit(&net, 2, OP_GET, LAST, "", w.metadata);
        kit_note("%d steps after it has the map", steps);
        if (!CHECK(r.status == NODE_NOT_YET || r.status == NODE_FOUND)) break;
        creep(&net);
    }
    kit_note("%s", "");
    check_value(&net, 2, LAST, w.metadata, "1");
    end(&net);
}

/* ---- Losses ---- */

/* The first writes "a" to both and "b" to itself alone, dies, and starts again while it is cut off,
 * with nothing. It meets the second and hears what that has; before it has got it, a client asks
 * for "b". */
static void a_waiver_does_not_jump_over_what_another_has(void) {
    struct net net = begin_ready(2);
    struct result w = put(&net, 0, "a", "1", "");
    cut_off(&net, 0);
    w = put(&net, 0, "b", "1", w.metadata);
    CHECK(w.status == NODE_CREATED);
    restart(&net, 0);
    pass(&net, 5000);
    CHECK(node_ready(net.nodes[0]) && node_provisional(net.nodes[0]));
    set_cut(&net, 0, false);
    creep_until_met(&net, 0, 1);
    net.cut[0][1] = true;
    CHECK_U64(store_live(node_store(net.nodes[0])), 0);
    submit(&net, 0, OP_GET, "b", "", w.metadata);
    pass(&net, 300);
    take(&net, 0);
    net.cut[0][1] = false;
    pass(&net, 5000);
    for (unsigned i = 0; i < 2; i++) {
        CHECK(get(&net, i, "b", w.metadata).status == NODE_NO_KEY);
        check_value(&net, i, "a", w.metadata, "1");
    }
    check_level(&net);
    end(&net);
}

/* The third holds back "b" of the second, since it has not got "a" of the first, and both of them
 * die: "a" is lost, and of "b" there is no other copy. What names both. */
static struct result hold_back_the_last_copy(struct net *net) {
    put(net, 1, "c", "1", "");
    put(net, 0, "c", "2", "");
    net->cut[0][2] = true;
    struct result a = put(net, 0, "a", "1", "");
    struct result b = put(net, 1, "b", "1", a.metadata);
    CHECK_U64(node_held_back(net->nodes[2]), 1);
    restart(net, 0);
    restart(net, 1);
    net->cut[0][2] = false;
    return b;
}

/* A client asks node i for it all the time, so also at the very moment when a loss can be proven.
 */
static void ask_until_waived(struct net *net, unsigned i, const char *key, const char *metadata) {
    const struct replica_stats *stats = node_replica_stats(net->nodes[i]);
    for (int steps = 0; stats->waived == 0 && CHECK(steps < 1000); steps++) {
        creep(net);
        submit(net, i, OP_GET, key, "", metadata);
        take(net, i);
    }
}

static void what_waits_for_a_loss_is_delivered_when_that_is_proven(void) {
    struct net net = begin_ready(3);
    hold_back_the_last_copy(&net);
    pass(&net, 3000);
    for (unsigned i = 0; i < 3; i++) {
        CHECK(get(&net, i, "a", "").status == NODE_NO_KEY);
        check_value(&net, i, "b", "", "1");
    }
    check_level(&net);
    end(&net);
}

/* Neither to the one that holds it back nor to another that is asked for it. */
static void what_is_held_back_is_not_lost(void) {
    for (unsigned asked = 0; asked < 3; asked += 2) {
        struct net net = begin_ready(3);
        struct result b = hold_back_the_last_copy(&net);
        ask_until_waived(&net, asked, "b", b.metadata);
        pass(&net, 500);
        CHECK_U64(node_replica_stats(net.nodes[asked])->waived, 1);
        for (unsigned i = 0; i < 3; i++)
            check_value(&net, i, "b", b.metadata, "1");
        check_level(&net);
        end(&net);
    }
}

#define FIRST "k1173" /* a key in the first of the slots */

/* The first wrote LAST and FIRST while it was alone. Of that the second has got the slot of FIRST
 * when the first dies, and the third nothing. A client asks the third for LAST before that has
 * got anything from the second; that it is not there says nothing about FIRST. */
static void a_loss_in_one_slot_is_none_in_another(void) {
    struct net net = begin_short(3);
    put(&net, 0, "before", "1", "");
    cut_off(&net, 0);
    struct result w = put(&net, 0, LAST, "1", "");
    put_much(&net, 0);
    w = put(&net, 0, FIRST, "1", w.metadata);
    set_pair(&net, 0, 1, false);
    creep_until_met(&net, 0, 1);
    set_pair(&net, 1, 2, true);
    for (int steps = 0; store_live(node_store(net.nodes[1])) < 10 && CHECK(steps < 1000); steps++)
        creep(&net);
    CHECK(get(&net, 1, FIRST, "").status == NODE_FOUND);
    CHECK(get(&net, 1, LAST, "").status == NODE_NO_KEY);
    restart(&net, 0);
    memset(net.cut, 0, sizeof net.cut);
    net.cut[2][1] = true;
    creep_until_met(&net, 0, 2);
    set_mute(&net, 2, true); /* it hears what the others have, but what it asks is lost */
    ask_until_waived(&net, 2, LAST, w.metadata);
    CHECK_U64(store_live(node_store(net.nodes[2])), 1);
    break_links(&net, 0, 2);
    break_links(&net, 1, 2);
    set_mute(&net, 2, false);
    pass(&net, 1000);
    for (unsigned i = 0; i < 3; i++) {
        check_value(&net, i, FIRST, w.metadata, "1");
        CHECK(get(&net, i, LAST, w.metadata).status == NODE_NO_KEY);
    }
    check_level(&net);
    end(&net);
}

/* ---- Who is up ---- */

#define SLOW_MS 350 /* well below PEER_SILENT_MS */

/* As over a slow line: of what the one says to the other, some arrives every SLOW_MS. */
static void pass_slowly(struct net *net, unsigned from, unsigned to) {
    for (uint64_t until = net->now_ms + SLOW_MS; net->now_ms < until;) {
        net->cut[from][to] = net->now_ms + 10 < until;
        net->now_ms += 10;
        step(net);
    }
    net->cut[from][to] = false;
}

static void who_catches_up_for_long_is_not_thrown_out(void) {
    struct net net = begin_short(2);
    cut_off(&net, 1);
    put_much(&net, 0);
    set_cut(&net, 1, false);
    creep_until_met(&net, 0, 1);
    CHECK(!submit(&net, 0, OP_PUT, "k", "1", "").is_answered);
    for (int i = 0; i < 10 && !take(&net, 0).is_answered; i++) {
        pass_slowly(&net, 0, 1);
        kit_note("after %d ms", SLOW_MS * (i + 1));
        CHECK(sees(&net, 0, 1));
        CHECK(i > 3 || node_under_way(net.nodes[0]) == 1); /* it has lasted for a second */
    }
    kit_note("%s", "");
    pass(&net, 1000);
    check_level(&net);
    end(&net);
}

static void a_gap_while_it_is_heard_again_starts_that_anew(void) {
    struct net net = begin_ready(2);
    set_cut(&net, 0, true);
    pass(&net, 2000);
    set_cut(&net, 0, false);
    pass(&net, 900);
    set_cut(&net, 0, true);
    pass(&net, 1200);
    set_cut(&net, 0, false);
    for (int ms = 0; ms < 1500; ms += 10) {
        CHECK(!sees(&net, 0, 1) && !sees(&net, 1, 0));
        pass(&net, 10);
    }
    pass(&net, 1500);
    CHECK(sees(&net, 0, 1) && sees(&net, 1, 0));
    end(&net);
}

/* ---- Starts ---- */

/* The other two die and begin with nothing; they have met when the first comes. Nobody may serve
 * without what only the first has: `key`. */
static void start_again_around_the_first(struct net *net, const char *key) {
    CHECK(!node_ready(net->nodes[0]));
    kill_node(net, 1);
    kill_node(net, 2);
    memset(net->cut, 0, sizeof net->cut);
    pass(net, 50); /* it learns that they are gone */
    set_cut(net, 0, true);
    start(net, 1);
    start(net, 2);
    pass(net, 200);
    CHECK(!node_ready(net->nodes[0]) && sees(net, 1, 2));
    set_cut(net, 0, false);
    for (uint64_t until = net->now_ms + 3000; net->now_ms < until; creep(net)) {
        for (unsigned i = 0; i < 3; i++) {
            if (!node_ready(net->nodes[i])) continue;
            CHECK(submit(net, i, OP_GET, key, "", "").status == NODE_FOUND);
        }
    }
    check_level(net);
}

/* One that has been told only a part of what there is restarts with all others: now it has more
 * than they. */
static void who_has_more_is_levelled_with_before_anybody_serves(void) {
    struct net net = begin_short(3);
    put_much(&net, 1);
    put(&net, 1, LAST, "1", "");
    cut_off(&net, 2);
    put(&net, 2, "only there", "1", "");
    kill_node(&net, 0);
    set_cut(&net, 2, false);
    set_pair(&net, 1, 2, true);
    set_pair(&net, 0, 1, true);
    start(&net, 0);
    creep_until_met(&net, 0, 2);
    set_pair(&net, 0, 2, true); /* it is there, but its data do not come */
    set_pair(&net, 0, 1, false);
    pass(&net, 800);
    CHECK_U64(store_live(node_store(net.nodes[0])), 51);
    start_again_around_the_first(&net, LAST);
    end(&net);
}

/* It has got a write as that was made, and has asked for nothing yet, so it has no base either. */
static void who_has_a_single_write_is_levelled_with_before_anybody_serves(void) {
    struct net net = begin_ready(3);
    restart(&net, 0);
    creep_until_met(&net, 0, 1);
    set_mute(&net, 0, true);
    CHECK(put(&net, 1, "k", "1", "").status == NODE_CREATED);
    CHECK_U64(store_live(node_store(net.nodes[0])), 1);
    CHECK_U64(node_replica_stats(net.nodes[0])->images_taken, 0);
    start_again_around_the_first(&net, "k");
    end(&net);
}

/* The third restarts. What one of the others wrote with it the fast one has not got yet, and all
 * that the fast one has the third gets first. */
static void check_ready_with_what_the_slow_one_has(unsigned fast, unsigned slow) {
    struct net net = begin_ready(3);
    put(&net, fast, "of both", "1", "");
    net.cut[slow][fast] = true;
    struct result w = put(&net, slow, "k", "1", "");
    CHECK(w.status == NODE_CREATED);
    restart(&net, 2);
    creep_until_met(&net, 2, slow);
    creep_until_met(&net, 2, fast);
    net.cut[slow][2] = true;
    pass(&net, 700);
    CHECK_U64(store_live(node_store(net.nodes[2])), 1);
    CHECK(!node_ready(net.nodes[2]));
    net.cut[slow][2] = false;
    while (!node_ready(net.nodes[2]) && CHECK(sees(&net, 2, slow)))
        creep(&net);
    kill_node(&net, slow); /* with what nobody else might have */
    check_value(&net, 2, "k", w.metadata, "1");
    end(&net);
}

static void who_restarts_gets_what_each_of_the_others_has_before_it_serves(void) {
    check_ready_with_what_the_slow_one_has(0, 1);
    check_ready_with_what_the_slow_one_has(1, 0);
}

int main(void) {
    RUN(a_write_says_what_it_met);
    RUN(who_learns_of_a_map_late_has_what_it_stands_for);
    RUN(a_waiver_does_not_jump_over_what_another_has);
    RUN(what_waits_for_a_loss_is_delivered_when_that_is_proven);
    RUN(what_is_held_back_is_not_lost);
    RUN(a_loss_in_one_slot_is_none_in_another);
    RUN(who_catches_up_for_long_is_not_thrown_out);
    RUN(a_gap_while_it_is_heard_again_starts_that_anew);
    RUN(who_has_more_is_levelled_with_before_anybody_serves);
    RUN(who_has_a_single_write_is_levelled_with_before_anybody_serves);
    RUN(who_restarts_gets_what_each_of_the_others_has_before_it_serves);
    return kit_finish();
}
