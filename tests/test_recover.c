/* What of a node survives: records, recovery, snapshots, trouble with the disk. Whole clusters that
 * lose power are the simulator's business. */
#include <stdio.h>
#include <stdlib.h>

#include "../durable.h"
#include "kit.h"

/* ---- A node and its log ---- */

struct kept_node {
    struct node *n;
    struct buffer log; /* all that it has ever recorded */
    struct claim claim;
    struct answer answer;
    uint64_t token;
};

static void take_journal(struct kept_node *k) {
    buffer_put(&k->log, node_journal(k->n));
    node_journal_taken(k->n);
}

static struct node *create(uint32_t count, uint64_t boot) {
    struct node_config config = kit_cluster_config(count, 1);
    config.keeps_journal = true;
    config.boot = boot;
    return node_create(&config, KIT_NOW_MS, KIT_WALL_MS);
}

/* One of `count` nodes that has nothing yet. */
static struct kept_node begin(uint32_t count) {
    struct kept_node k = {.n = create(count, 100)};
    node_recovered(k.n, true);
    if (count > 1) kit_pass_until_ready(k.n);
    take_journal(&k);
    return k;
}

static void end(struct kept_node *k) {
    if (k->n != NULL) node_free(k->n);
    buffer_free(&k->log);
    claim_free(&k->claim);
}

/* A new process of it, with what `frames` tell. */
static struct kept_node recover(uint32_t count, struct slice frames, bool is_intact) {
    struct kept_node k = {.n = create(count, 200)};
    CHECK(node_recover(k.n, frames));
    node_recovered(k.n, is_intact);
    return k;
}

static struct kept_node restart(struct kept_node *k, uint32_t count, bool is_intact) {
    return recover(count, buffer_slice(&k->log), is_intact);
}

static enum node_status ask(struct kept_node *k, enum op_kind kind, const char *key,
                            const char *value) {
    claim_clear(&k->claim);
    struct op op = {
        .kind = kind, .key = slice_of(key), .value = slice_of(value), .claim = &k->claim};
    uint64_t token = 0;
    if (node_submit(k->n, ++k->token, &op, &k->answer) != NODE_ANSWERED) {
        CHECK(node_take_answer(k->n, &token, &k->answer) && token == k->token);
    }
    return k->answer.status;
}

static enum node_status put(struct kept_node *k, const char *key, const char *value) {
    enum node_status status = ask(k, OP_PUT, key, value);
    take_journal(k);
    return status;
}

static bool has_value(struct kept_node *k, const char *key, const char *value) {
    return ask(k, OP_GET, key, "") == NODE_FOUND && slice_equal(k->answer.value, slice_of(value));
}

/* ---- Recovery ---- */

static void nothing_is_recorded_without_a_log(void) {
    struct node_config config = kit_node_config();
    struct kept_node k = {.n = node_create(&config, KIT_NOW_MS, KIT_WALL_MS)};
    CHECK(ask(&k, OP_PUT, "k", "1") == NODE_CREATED);
    CHECK_U64(node_journal(k.n).len, 0);
    end(&k);
}

static void what_a_lone_node_was_told_survives(void) {
    struct kept_node k = begin(1);
    CHECK(put(&k, "k", "1") == NODE_CREATED);
    CHECK(put(&k, "k", "2") == NODE_REPLACED);
    CHECK(put(&k, "gone", "3") == NODE_CREATED);
    CHECK(ask(&k, OP_DELETE, "gone", "") == NODE_DELETED);
    take_journal(&k);
    struct kept_node later = restart(&k, 1, true);
    CHECK(node_ready(later.n) && has_value(&later, "k", "2"));
    CHECK(ask(&later, OP_GET, "gone", "") == NODE_NO_KEY);
    CHECK_U64(store_tombstones(node_store(later.n)), 1);
    CHECK(put(&later, "k", "3") == NODE_REPLACED);
    end(&later);
    end(&k);
}

static void a_process_goes_on_with_no_actor_of_another(void) {
    struct kept_node k = begin(1);
    put(&k, "k", "1");
    struct kept_node later = restart(&k, 1, true);
    put(&later, "k", "2");
    const struct actors *as = node_actors(later.n);
    CHECK_U64(actors_count(as), 2);
    CHECK(actors_get(as, 0)->is_over && actors_get(as, 0)->boot == 100);
    CHECK(!actors_get(as, 1)->is_over && actors_get(as, 1)->boot == 200);
    end(&later);
    end(&k);
}

static void a_member_was_alone_and_has_all_of_it(void) {
    struct kept_node k = begin(2);
    CHECK(put(&k, "k", "1") == NODE_CREATED);
    struct kept_node later = restart(&k, 2, true);
    CHECK(node_is_resuming(later.n) && !node_ready(later.n));
    kit_pass(later.n, KIT_NOW_MS, KIT_NOW_MS + CLUSTER_ASK_MS - PEER_TICK_MS);
    CHECK(!node_ready(later.n)); /* it waits to hear somebody */
    kit_pass(later.n, KIT_NOW_MS + CLUSTER_ASK_MS - PEER_TICK_MS,
             KIT_NOW_MS + CLUSTER_ASK_MS + PEER_TICK_MS);
    CHECK(!node_is_resuming(later.n) && node_ready(later.n) && has_value(&later, "k", "1"));
    end(&later);
    end(&k);
}

static void after_a_crash_of_the_machine_it_catches_up_first(void) {
    struct kept_node k = begin(2);
    put(&k, "k", "1");
    struct kept_node later = restart(&k, 2, false);
    struct slice rest = node_journal(later.n), frame;
    bool gives_up = false;
    while (durable_cut(&rest, &frame))
        gives_up = gives_up || frame.at[WIRE_HEAD_BYTES - 1] == REDO_DEMOTE;
    CHECK(gives_up);
    kit_pass(later.n, KIT_NOW_MS, KIT_NOW_MS + CATCHUP_LEVEL_MS - PEER_TICK_MS);
    CHECK(!node_is_resuming(later.n) && !node_ready(later.n));
    kit_pass(later.n, KIT_NOW_MS + CATCHUP_LEVEL_MS - PEER_TICK_MS, KIT_READY_MS);
    CHECK(node_ready(later.n) && node_provisional(later.n) && has_value(&later, "k", "1"));
    end(&later);
    end(&k);
}

/* ...which nobody can help it with. */
static void a_lone_node_serves_what_is_left(void) {
    struct kept_node k = begin(1);
    put(&k, "k", "1");
    size_t before = k.log.len;
    put(&k, "k", "2");
    struct kept_node later = recover(1, (struct slice){k.log.at, before}, false);
    CHECK(node_ready(later.n) && has_value(&later, "k", "1"));
    end(&later);
    end(&k);
}

static void what_was_ready_in_part_stays_so(void) {
    struct kept_node k = begin(2); /* it met nobody */
    CHECK(node_provisional(k.n));
    struct kept_node later = restart(&k, 2, true);
    kit_pass(later.n, KIT_NOW_MS, KIT_NOW_MS + CLUSTER_ASK_MS + PEER_TICK_MS);
    CHECK(node_ready(later.n) && node_provisional(later.n));
    end(&later);
    end(&k);
}

/* A log may end behind any frame. */
static void every_beginning_of_a_log_is_a_state(void) {
    struct kept_node k = begin(1);
    put(&k, "k", "1");
    put(&k, "k", "2");
    struct slice rest = buffer_slice(&k.log), frame;
    size_t frames = 0;
    do {
        struct kept_node later =
            recover(1, (struct slice){k.log.at, (size_t)(rest.at - k.log.at)}, frames % 2 == 0);
        kit_note("after %zu frames", frames++);
        CHECK(node_ready(later.n));
        CHECK(put(&later, "other", "9") == NODE_CREATED);
        bool none = ask(&later, OP_GET, "k", "") == NODE_NO_KEY;
        CHECK(none || has_value(&later, "k", "1") || has_value(&later, "k", "2"));
        end(&later);
    } while (durable_cut(&rest, &frame));
    CHECK(frames > 5 && rest.len == 0);
    end(&k);
}

/* ---- Frames that make no sense ---- */

static bool takes(struct slice frames) {
    struct node *n = create(2, 300);
    bool taken = node_recover(n, frames);
    node_free(n);
    return taken;
}

static void what_no_log_has_is_refused(void) {
    struct kept_node k = begin(1);
    put(&k, "k", "1");
    struct buffer odd = {0};
    wire_put_goodbye(&odd);
    CHECK(!takes(buffer_slice(&odd)));
    odd.len = 0;
    wire_put_ack(&odd, (struct wire_dot){1, 1});
    CHECK(!takes(buffer_slice(&odd)));
    for (size_t cut = 1; cut < k.log.len; cut++) { /* bytes that are no whole frames */
        struct slice rest = {k.log.at, cut}, frame;
        while (durable_cut(&rest, &frame)) {
        }
        if (rest.len == 0) continue;
        kit_note("cut after %zu bytes", cut);
        CHECK(!takes((struct slice){k.log.at, cut}));
    }
    buffer_free(&odd);
    end(&k);
}

static void a_map_or_an_actor_that_was_not_told_is_refused(void) {
    const struct actors *nobody = actors_create();
    struct redo redo = {.is_on = true, .actors = nobody};
    redo_adopt(&redo, 77);
    CHECK(!takes(buffer_slice(&redo.out)));
    redo.out.len = 0;
    size_t begun = wire_begin_slot(&redo.out, 5, 0, 0, 1);
    wire_put_dot(&redo.out, (struct wire_dot){99, 1});
    wire_end_slot(&redo.out, begun);
    CHECK(!takes(buffer_slice(&redo.out)));
    redo_free(&redo);
    actors_free((struct actors *)nobody);
}

/* ---- A log that begins in the middle of a snapshot ---- */

/* The beginnings of a log: two nodes' map, and another's actor that writes for its group. */
struct tale {
    struct actors *actors;
    struct redo redo;
    struct map *map;
    uint32_t actor;
    uint32_t slot; /* of "k" */
};

static struct tale tale_begin(void) {
    struct node_config config = kit_cluster_config(2, 1);
    struct tale t = {.actors = actors_create(), .slot = shard_slot(SLICE("k"))};
    t.map = map_create_first(config.view, 2, 1, true);
    t.actor = actors_learn(t.actors, 55, &config.view[1], 7, t.map->group[0]);
    t.redo = (struct redo){.is_on = true, .actors = t.actors};
    redo_map(&t.redo, t.map);
    redo_adopt(&t.redo, t.map->id);
    return t;
}

static void tale_end(struct tale *t) {
    redo_free(&t->redo);
    actors_free(t->actors);
    map_free(t->map);
}

static void tell_slot(struct tale *t, uint32_t slot, uint64_t n) {
    struct dot dot = {t->actor, n};
    struct vclock clock = {&dot, n > 0, n > 0};
    redo_put_slot(&t->redo, slot, &clock, NULL);
}

static void tell_advance(struct tale *t, uint64_t n) {
    struct parts ps;
    parts_init(&ps);
    struct vclock clock = {0};
    struct slots of = {0};
    vclock_set(&clock, (struct dot){t->actor, n - 1});
    slots_add(&of, t->slot);
    parts_join_slot(&ps, t->slot, &clock, NULL);
    CHECK(redo_advance(&t->redo, &ps, &of, t->slot, (struct dot){t->actor, n}));
    vclock_free(&clock);
    parts_free(&ps);
}

static void tell_write(struct tale *t, uint64_t n) {
    struct wire_write w = {.dot = {55, n}, .hlc = 1000 + n};
    struct buffer *out = redo_output(&t->redo);
    size_t begun = wire_begin_write(out, WIRE_WRITE, &w);
    wire_end_write(out, begun, SLICE("k"), SLICE("1"));
}

static uint64_t delivered(const struct kept_node *k, const struct tale *t, uint32_t slot) {
    const struct vclock *clock = node_slot_clock(k->n, slot);
    uint32_t actor = actors_find_id(node_actors(k->n), actors_get(t->actors, t->actor)->id);
    return clock == NULL || actor == ACTOR_NONE ? 0 : vclock_get(clock, actor);
}

static void that_d_moved_elsewhere_says_nothing_of_a_slot_that_came_since(void) {
    struct tale t = tale_begin();
    tell_slot(&t, t.slot, 4);
    tell_slot(&t, t.slot + 1, 4);
    tell_advance(&t, 5);
    struct kept_node k = recover(2, buffer_slice(&t.redo.out), true);
    CHECK_U64(delivered(&k, &t, t.slot), 4);
    CHECK_U64(delivered(&k, &t, t.slot + 1), 5);
    end(&k);
    tale_end(&t);
}

static void a_write_with_a_gap_waits_for_the_slot_to_be_dropped(void) {
    struct tale t = tale_begin();
    tell_slot(&t, t.slot, 2);
    tell_slot(&t, t.slot + 1, 6);
    tell_write(&t, 7); /* the slot was there, and had six */
    struct kept_node k = recover(2, buffer_slice(&t.redo.out), true);
    CHECK_U64(delivered(&k, &t, t.slot), 2);
    CHECK_U64(delivered(&k, &t, t.slot + 1), 7);
    CHECK_U64(store_live(node_store(k.n)), 0);
    end(&k);
    tale_end(&t);
}

static void what_is_here_already_is_passed_over(void) {
    struct tale t = tale_begin();
    tell_slot(&t, t.slot, 0);
    for (uint64_t n = 1; n <= 3; n++)
        tell_write(&t, n);
    for (uint64_t n = 1; n <= 3; n++)
        tell_write(&t, n);
    struct kept_node k = recover(2, buffer_slice(&t.redo.out), true);
    CHECK_U64(delivered(&k, &t, t.slot), 3);
    CHECK_U64(store_live(node_store(k.n)), 1);
    end(&k);
    tale_end(&t);
}

static void versions_without_their_slot_are_nothing(void) {
    struct kept_node k = begin(1);
    put(&k, "k", "1");
    struct buffer frames = {0}, piece = {0};
    struct snapshot walk = {0};
    struct slice rest, frame;
    while (node_snapshot_next(k.n, &walk, &piece)) {
    }
    rest = buffer_slice(&piece);
    bool cut = false;
    while (!cut && durable_cut(&rest, &frame)) {
        buffer_put(&frames, frame);
        cut = frame.at[WIRE_HEAD_BYTES - 1] == WIRE_VERSION;
    }
    struct kept_node later = recover(1, buffer_slice(&frames), false);
    CHECK(cut && ask(&later, OP_GET, "k", "") == NODE_NO_KEY);
    end(&later);
    end(&k);
    buffer_free(&frames);
    buffer_free(&piece);
}

/* ---- Snapshots ---- */

static void a_snapshot_and_the_log_behind_it_are_the_node(void) {
    struct kept_node k = begin(1);
    char key[16];
    for (int i = 0; i < 300; i++) {
        snprintf(key, sizeof key, "key%d", i);
        put(&k, key, "1");
    }
    struct buffer all = {0};
    struct snapshot walk = {0};
    k.log.len = 0; /* a new file begins */
    for (int i = 0; node_snapshot_next(k.n, &walk, &all); i++) {
        snprintf(key, sizeof key, "key%d", i % 400);
        put(&k, key, i % 2 == 0 ? "2" : "3");
    }
    buffer_put(&all, buffer_slice(&k.log));
    struct kept_node later = recover(1, buffer_slice(&all), true);
    CHECK(node_ready(later.n));
    CHECK_U64(store_live(node_store(later.n)), store_live(node_store(k.n)));
    for (int i = 0; i < 400; i++) {
        snprintf(key, sizeof key, "key%d", i);
        CHECK(ask(&k, OP_GET, key, "") == NODE_FOUND);
        char value[8] = {0};
        memcpy(value, k.answer.value.at, k.answer.value.len);
        CHECK(has_value(&later, key, value));
    }
    end(&later);
    end(&k);
    buffer_free(&all);
}

static void who_has_no_slots_brings_its_actors(void) {
    struct tale t = tale_begin();
    redo_output(&t.redo);
    struct kept_node k = recover(2, buffer_slice(&t.redo.out), true), later;
    struct snapshot walk = {0};
    node_snapshot_next(k.n, &walk, &k.log);
    later = recover(2, buffer_slice(&k.log), true);
    CHECK(actors_find_id(node_actors(later.n), 55) != ACTOR_NONE);
    end(&later);
    end(&k);
    tale_end(&t);
}

/* ---- Trouble ---- */

static void a_full_disk_refuses_writes_and_serves_reads(void) {
    struct kept_node k = begin(1);
    put(&k, "k", "1");
    node_set_disk_trouble(k.n, SLICE("Disk full"));
    CHECK(put(&k, "k", "2") == NODE_DISK_TROUBLE);
    CHECK_SLICE(k.answer.missing, SLICE("Disk full"));
    CHECK(ask(&k, OP_DELETE, "k", "") == NODE_DISK_TROUBLE);
    CHECK(has_value(&k, "k", "1"));
    CHECK_U64(node_journal(k.n).len, 0);
    node_set_disk_trouble(k.n, SLICE(""));
    CHECK(put(&k, "k", "2") == NODE_REPLACED && has_value(&k, "k", "2"));
    end(&k);
}

static void a_reason_cannot_break_an_answer(void) {
    struct kept_node k = begin(1);
    char reason[DURABLE_REASON_BYTES_MAX + 10];
    memset(reason, 'x', sizeof reason);
    memcpy(reason, "a\"b\\c\n", 6);
    node_set_disk_trouble(k.n, (struct slice){reason, sizeof reason});
    CHECK(ask(&k, OP_PUT, "k", "1") == NODE_DISK_TROUBLE);
    CHECK_U64(k.answer.missing.len, DURABLE_REASON_BYTES_MAX);
    CHECK(memcmp(k.answer.missing.at, "a?b?c?x", 7) == 0);
    end(&k);
}

int main(void) {
    RUN(nothing_is_recorded_without_a_log);
    RUN(what_a_lone_node_was_told_survives);
    RUN(a_process_goes_on_with_no_actor_of_another);
    RUN(a_member_was_alone_and_has_all_of_it);
    RUN(after_a_crash_of_the_machine_it_catches_up_first);
    RUN(a_lone_node_serves_what_is_left);
    RUN(what_was_ready_in_part_stays_so);
    RUN(every_beginning_of_a_log_is_a_state);
    RUN(what_no_log_has_is_refused);
    RUN(a_map_or_an_actor_that_was_not_told_is_refused);
    RUN(that_d_moved_elsewhere_says_nothing_of_a_slot_that_came_since);
    RUN(a_write_with_a_gap_waits_for_the_slot_to_be_dropped);
    RUN(what_is_here_already_is_passed_over);
    RUN(versions_without_their_slot_are_nothing);
    RUN(a_snapshot_and_the_log_behind_it_are_the_node);
    RUN(who_has_no_slots_brings_its_actors);
    RUN(a_full_disk_refuses_writes_and_serves_reads);
    RUN(a_reason_cannot_break_an_answer);
    return kit_finish();
}
