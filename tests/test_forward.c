/* Operations on keys of other shards: six nodes, two shards, node i in shard i % 2. */
#include <stdio.h>
#include <stdlib.h>

#include "../json.h"
#include "../listing.h"
#include "../durable.h"
#include "net.h"

/* ---- A group with shards ---- */

static struct net begin_sharded(unsigned count) {
    struct net net = begin(count);
    for (unsigned i = 0; i < count; i++)
        net.configs[i].shard_count = 2;
    return net;
}

static struct net ready_sharded(unsigned count) {
    struct net net = begin_sharded(count);
    make_ready(&net);
    return net;
}

/* Keys of either shard. */
#define EVEN "key0"
#define ODD  "key4"

static void check_keys(void) {
    CHECK_U64(shard_slot(SLICE(EVEN)) % 2, 0);
    CHECK_U64(shard_slot(SLICE(ODD)) % 2, 1);
}

static const struct forward_stats *stats(const struct net *net, unsigned i) {
    return node_forward_stats(net->nodes[i]);
}

/* The link that node `to` has accepted from node `from`. */
static struct wire *wire_of(struct net *net, unsigned from, unsigned to) {
    for (unsigned w = 0; w < net->wire_count; w++) {
        struct wire *wire = &net->wires[w];
        if (wire->at[0] == from && wire->at[1] == to && wire->ends[0] != NULL) return wire;
    }
    CHECK(false);
    return NULL;
}

/* The connection that `from` has dialled breaks; both processes live on. */
static void break_wire(struct net *net, unsigned from, unsigned to) {
    struct wire *w = wire_of(net, from, to);
    for (int end = 0; end < 2; end++) {
        node_link_closed(net->nodes[w->at[end]], w->ends[end], false);
        w->ends[end] = NULL;
        buffer_free(&w->arrived[end]);
    }
}

/* ---- Asking ---- */

static enum node_taken submit_as(struct net *net, unsigned i, uint64_t token, struct op op,
                                 const char *metadata, struct answer *answer) {
    struct claim claim = {0};
    claim_clear(&claim);
    struct json_reader reader = json_reader_of(slice_of(metadata));
    if (metadata[0] != '\0') node_read_claim(net->nodes[i], &claim, &reader);
    op.claim = &claim;
    enum node_taken taken = node_submit(net->nodes[i], token, &op, answer);
    claim_free(&claim);
    return taken;
}

static uint64_t count_at(struct net *net, unsigned i, uint32_t slot) {
    struct answer a;
    uint64_t token, keys = UINT64_MAX;
    struct op op = {.kind = OP_COUNT, .slot = slot};
    bool done = submit_as(net, i, 9, op, "", &a) == NODE_ANSWERED;
    for (int ms = 0; !done && ms < 5000; ms += 10) {
        turn(net);
        done = node_take_answer(net->nodes[i], &token, &a);
        if (!done) pass(net, 10);
    }
    CHECK(done && a.kind == OP_COUNT);
    if (a.status == NODE_FOUND) CHECK(slice_to_u64(a.value, &keys));
    return keys;
}

static void check_unknown(struct result r, const char *asked) {
    CHECK(r.is_answered && r.status == NODE_OUTCOME_UNKNOWN);
    CHECK_TEXT(slice_of(r.metadata), asked);
}

/* ---- The usual way ---- */

static void every_node_serves_every_key(void) {
    struct net net = ready_sharded(6);
    check_keys();
    for (unsigned i = 0; i < 6; i++) {
        for (unsigned k = 0; k < 2; k++) {
            const char *key = k == 0 ? EVEN : ODD;
            kit_note("node %u, %s", i, key);
            CHECK(get(&net, i, key, "").status == NODE_NO_KEY);
            struct result r = put(&net, i, key, "1", "");
            CHECK(r.status == NODE_CREATED && r.shard == k);
            r = put(&net, (i + 1) % 6, key, "2", r.metadata);
            CHECK(r.status == NODE_REPLACED && r.shard == k);
            check_value(&net, (i + 3) % 6, key, r.metadata, "2");
            r = ask(&net, (i + 2) % 6, OP_DELETE, key, "", r.metadata);
            CHECK(r.status == NODE_DELETED && r.shard == k);
            r = get(&net, (i + 5) % 6, key, r.metadata);
            CHECK(r.status == NODE_NO_KEY && r.shard == k);
            pass(&net, 10);
        }
    }
    for (unsigned i = 0; i < 6; i++)
        CHECK(stats(&net, i)->now == 0 && stats(&net, i)->bytes == 0);
    end(&net);
}

static void what_was_seen_in_one_shard_is_asked_of_it_through_another(void) {
    struct net net = ready_sharded(6);
    net.cut[0][4] = net.cut[2][4] = true; /* node 4 does not get what its group writes */
    struct result cause = put(&net, 1, EVEN, "1", "");
    struct result effect = put(&net, 2, ODD, "2", cause.metadata);
    CHECK(effect.status == NODE_CREATED);
    struct result seen = get(&net, 3, ODD, "");
    CHECK_TEXT(slice_of(seen.value), "2");
    struct result stale = submit(&net, 4, OP_GET, EVEN, "", seen.metadata);
    CHECK(!stale.is_answered); /* it waits for the cause, which that reader has never read */
    CHECK(get(&net, 0, EVEN, seen.metadata).status == NODE_FOUND);
    net.cut[0][4] = net.cut[2][4] = false;
    pass(&net, 250);
    stale = take(&net, 4);
    CHECK(stale.is_answered && stale.status == NODE_FOUND);
    end(&net);
}

static void a_dependency_is_waited_for_at_the_owner_and_then_named(void) {
    struct net net = ready_sharded(4);
    struct result w = put(&net, 1, ODD, "1", "");
    char later[sizeof w.metadata];
    snprintf(later, sizeof later, "%.*s9}}", (int)strlen(w.metadata) - 3, w.metadata);
    uint64_t start_ms = net.now_ms;
    struct result r = get(&net, 0, ODD, later);
    CHECK(r.status == NODE_NOT_YET && r.shard == 1);
    CHECK_TEXT(slice_of(r.metadata), later);
    CHECK(net.now_ms - start_ms >= 300 && net.now_ms - start_ms < 400);
    end(&net);
}

static void an_actor_is_known_everywhere_as_soon_as_it_has_written(void) {
    struct net net = ready_sharded(6);
    struct result w = put(&net, 0, ODD, "1", "");
    turn(&net); /* no time passes: no row is due by itself */
    for (unsigned i = 0; i < 6; i += 2) {
        struct result r = submit(&net, i, OP_GET, EVEN, "", w.metadata);
        CHECK(r.is_answered && r.status == NODE_NO_KEY);
    }
    end(&net);
}

static void an_owner_that_is_not_ready_is_not_asked(void) {
    struct net net = ready_sharded(6);
    put(&net, 1, ODD, "1", "");
    kill_node(&net, 1);
    for (unsigned i = 2; i < 6; i++)
        net.cut[1][i] = net.cut[i][1] = true;
    start(&net, 1);
    pass(&net, 500);
    CHECK(peers_lists(node_view(net.nodes[0]), &net.configs[1].self));
    CHECK(!node_ready(net.nodes[1]));
    check_value(&net, 0, ODD, "", "1");
    CHECK_U64(node_stats(net.nodes[1])->guests, 0);
    end(&net);
}

static void different_nodes_ask_different_owners(void) {
    struct net net = ready_sharded(6);
    for (unsigned i = 0; i < 6; i += 2) {
        uint64_t before = node_stats(net.nodes[i + 1])->guests;
        for (int n = 0; n < 5; n++)
            get(&net, i, ODD, "");
        CHECK_U64(node_stats(net.nodes[i + 1])->guests, before + 5);
    }
    end(&net);
}

static void keys_are_counted_in_every_shard(void) {
    struct net net = ready_sharded(4);
    for (int n = 0; n < 50; n++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", n);
        CHECK(put(&net, (unsigned)n % 4, key, "1", "").status == NODE_CREATED);
    }
    pass(&net, 50);
    uint64_t even = count_at(&net, 0, 0), odd = count_at(&net, 0, 1);
    CHECK_U64(even + odd, 50);
    for (unsigned i = 0; i < 4; i++)
        CHECK(count_at(&net, i, 0) == even && count_at(&net, i, 1023) == odd);
    kill_node(&net, 1);
    CHECK_U64(count_at(&net, 0, 1), odd);
    kill_node(&net, 3);
    CHECK_U64(count_at(&net, 0, 1), UINT64_MAX);
    end(&net);
}

/* ---- Listings ---- */

/* One GET /kvs at a node; `between` is called whenever it waits. */
static struct buffer list_at(struct net *net, unsigned i, struct listing_query query,
                             void (*between)(struct net *net)) {
    struct listing *l = listing_create(&query, 7);
    struct buffer text = {0};
    struct answer a;
    uint64_t token;
    int ms = 0;
    for (enum listing_state state = LISTING_MORE; state != LISTING_DONE && ms < 10000;) {
        state = listing_fill(l, net->nodes[i], &text, text.len + 1000);
        if (state != LISTING_WAITS) continue;
        if (between != NULL) between(net);
        turn(net);
        bool any = false;
        for (; node_take_answer(net->nodes[i], &token, &a); any = true) {
            if (CHECK(a.kind == OP_LIST && token == 7)) listing_take(l, &a);
        }
        if (!any) pass(net, 10);
        ms += any ? 0 : 10;
    }
    CHECK(ms < 10000);
    listing_free(l, net->nodes[i]);
    return text;
}

/* Checks the order and counts the pairs; the rest of the text must be `tail`. */
static unsigned check_listing(struct buffer *text, const char *tail) {
    struct json_reader r = json_reader_of(buffer_slice(text));
    struct slice name, value;
    unsigned pairs = 0;
    uint32_t slot = 0;
    json_enter_object(&r);
    CHECK(json_guess_member(&r, SLICE("\"kvs\":")) && json_enter_object(&r));
    for (; json_next_member(&r, &name); pairs++) {
        CHECK(shard_slot(name) >= slot);
        slot = shard_slot(name);
        CHECK(json_read_value(&r, &value));
    }
    struct slice rest = {r.at, (size_t)(r.end - r.at)};
    CHECK_TEXT(rest, tail);
    buffer_free(text);
    return pairs;
}

static struct net with_pairs(unsigned nodes, unsigned pairs, size_t value_len) {
    struct net net = ready_sharded(nodes);
    char *value = calloc(1, value_len + 1);
    memset(value, '1', value_len);
    for (unsigned k = 0; k < pairs; k++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", k);
        CHECK(put(&net, k % nodes, key, value, "").status == NODE_CREATED);
    }
    free(value);
    pass(&net, 300);
    return net;
}

#define COMPLETE ",\"next\":null,\"complete\":true,\"unreachable\":[]}"

static void every_node_lists_all_shards_in_order(void) {
    struct net net = with_pairs(4, 300, 10);
    struct buffer first = list_at(&net, 0, (struct listing_query){0}, NULL);
    for (unsigned i = 1; i < 4; i++) {
        struct buffer text = list_at(&net, i, (struct listing_query){0}, NULL);
        CHECK_SLICE(buffer_slice(&text), buffer_slice(&first));
        buffer_free(&text);
    }
    CHECK_U64(check_listing(&first, COMPLETE), 300);
    struct listing_query query = {.prefix = SLICE("k1")};
    struct buffer text = list_at(&net, 3, query, NULL);
    CHECK_U64(check_listing(&text, COMPLETE), 111);
    for (unsigned i = 0; i < 4; i++)
        CHECK(stats(&net, i)->now == 0 && stats(&net, i)->bytes == 0);
    end(&net);
}

static void pages_of_all_shards_are_the_whole(void) {
    struct net net = with_pairs(4, 100, 1);
    struct buffer after = {0};
    unsigned pairs = 0;
    for (bool more = true; more && pairs <= 100;) {
        struct listing_query query = {.after = buffer_slice(&after), .limit = 7};
        struct buffer text = list_at(&net, 2, query, NULL);
        const char *next = memmem(text.at, text.len, "\"next\":", 7);
        struct json_reader r =
            json_reader_of((struct slice){next + 7, text.len - (size_t)(next + 7 - text.at)});
        struct slice inside;
        more = json_peek(&r) == '"' && json_read_string(&r, &inside);
        after.len = 0;
        if (more) json_unescape(inside, &after);
        r = json_reader_of(buffer_slice(&text));
        json_enter_object(&r);
        CHECK(json_guess_member(&r, SLICE("\"kvs\":")) && json_enter_object(&r));
        for (; json_next_member(&r, &inside); pairs++)
            json_skip(&r);
        buffer_free(&text);
    }
    CHECK_U64(pairs, 100);
    buffer_free(&after);
    end(&net);
}

static void a_listing_of_many_chunks_has_everything(void) {
    struct net net = ready_sharded(4);
    size_t len = 20000;
    char *value = bytes_alloc(len);
    memset(value, '1', len);
    for (unsigned k = 0; k < 60; k++) {
        char key[16];
        struct answer a;
        uint64_t token;
        snprintf(key, sizeof key, "k%u", k);
        struct op op = {.kind = OP_PUT, .key = slice_of(key), .value = {value, len}};
        submit_as(&net, 0, 1, op, "", &a);
        turn(&net);
        CHECK(node_take_answer(net.nodes[0], &token, &a) && a.status == NODE_CREATED);
    }
    free(value);
    uint64_t before = stats(&net, 0)->sent[OP_LIST];
    struct buffer text = list_at(&net, 0, (struct listing_query){0}, NULL);
    CHECK(text.len > 60 * len);
    CHECK_U64(check_listing(&text, COMPLETE), 60);
    uint64_t chunks = stats(&net, 0)->sent[OP_LIST] - before;
    CHECK(chunks >= 6 && chunks <= 12);
    end(&net);
}

static void kill_the_first_owner(struct net *net) {
    if (net->nodes[1] != NULL) kill_node(net, 1);
}

static void a_listing_survives_the_death_of_whom_it_asked(void) {
    struct net net = with_pairs(4, 200, 10);
    struct buffer text = list_at(&net, 0, (struct listing_query){0}, kill_the_first_owner);
    CHECK_U64(check_listing(&text, COMPLETE), 200);
    end(&net);
}

static void shards_that_nobody_can_be_asked_about_are_left_out_and_named(void) {
    struct net net = with_pairs(4, 200, 10);
    uint64_t odd = count_at(&net, 0, 1);
    kill_node(&net, 1);
    kill_node(&net, 3);
    pass(&net, 100);
    struct buffer text = list_at(&net, 0, (struct listing_query){0}, NULL);
    CHECK_U64(check_listing(&text, ",\"next\":null,\"complete\":false,\"unreachable\":[\"s1\"]}"),
              200 - odd);
    end(&net);
}

static void a_listing_that_is_given_up_asks_no_more(void) {
    struct net net = with_pairs(4, 20, 1);
    struct buffer text = {0};
    struct listing *l = listing_create(&(struct listing_query){0}, 7);
    net.cut[1][0] = true;
    CHECK(listing_fill(l, net.nodes[0], &text, 1000) == LISTING_WAITS);
    turn(&net);
    CHECK_U64(stats(&net, 0)->now, 1);
    listing_free(l, net.nodes[0]);
    CHECK_U64(stats(&net, 0)->now, 0);
    buffer_free(&text);
    end(&net);
}

/* ---- Losses ---- */

static void a_read_is_asked_again_when_its_target_dies(void) {
    struct net net = ready_sharded(6);
    put(&net, 1, ODD, "1", "");
    net.cut[1][0] = true; /* the answer does not come */
    CHECK(!submit(&net, 0, OP_GET, ODD, "", "").is_answered);
    turn(&net);
    CHECK(!take(&net, 0).is_answered);
    kill_node(&net, 1);
    net.cut[1][0] = false;
    turn(&net);
    struct result r = take(&net, 0);
    CHECK(r.is_answered && r.status == NODE_FOUND);
    CHECK_U64(stats(&net, 0)->sent_again, 1);
    end(&net);
}

static void a_write_whose_target_dies_is_unknown_and_not_repeated(void) {
    struct net net = ready_sharded(6);
    struct result before = put(&net, 0, EVEN, "1", "");
    net.cut[1][0] = true;
    CHECK(!submit(&net, 0, OP_PUT, ODD, "1", before.metadata).is_answered);
    turn(&net);
    uint64_t others = node_stats(net.nodes[3])->guests + node_stats(net.nodes[5])->guests;
    kill_node(&net, 1);
    net.cut[1][0] = false;
    turn(&net);
    check_unknown(take(&net, 0), before.metadata);
    CHECK_U64(stats(&net, 0)->unknown, 1);
    CHECK_U64(node_stats(net.nodes[3])->guests + node_stats(net.nodes[5])->guests, others);
    check_value(&net, 2, ODD, before.metadata, "1"); /* this one has happened */
    CHECK(put(&net, 0, ODD, "2", "").status == NODE_REPLACED);
    end(&net);
}

static void a_write_that_has_not_begun_to_leave_goes_to_another_owner(void) {
    struct net net = ready_sharded(6);
    net.stopped[1] = true; /* it takes no bytes */
    CHECK(!submit(&net, 0, OP_PUT, ODD, "1", "").is_answered);
    CHECK(!submit(&net, 0, OP_PUT, "key5", "2", "").is_answered);
    kill_node(&net, 1);
    net.stopped[1] = false;
    turn(&net);
    struct result r[2] = {take(&net, 0), take(&net, 0)};
    CHECK(r[0].is_answered && r[0].status == NODE_CREATED);
    CHECK(r[1].is_answered && r[1].status == NODE_CREATED);
    check_value(&net, 2, "key5", r[1].metadata, "2");
    CHECK_U64(stats(&net, 0)->unknown, 0);
    end(&net);
}

static void an_owner_that_can_keep_nothing_is_passed_over(void) {
    struct net net = ready_sharded(4);
    for (unsigned full = 1; full < 4; full += 2) {
        kit_note("full: %u", full);
        node_set_disk_trouble(net.nodes[full], SLICE("Disk full"));
        pass(&net, 100);
        struct result r = put(&net, 0, ODD, "1", "");
        CHECK(r.status == NODE_CREATED || r.status == NODE_REPLACED);
        node_set_disk_trouble(net.nodes[full], SLICE(""));
        pass(&net, 500);
    }
    node_set_disk_trouble(net.nodes[1], SLICE("Disk full"));
    node_set_disk_trouble(net.nodes[3], SLICE("Disk full"));
    pass(&net, 100);
    CHECK(put(&net, 0, ODD, "2", "").status == NODE_DISK_TROUBLE);
    CHECK(get(&net, 0, ODD, "").status == NODE_FOUND);
    end(&net);
}

static void a_write_that_has_not_begun_to_leave_and_has_nowhere_to_go_did_not_happen(void) {
    struct net net = ready_sharded(2);
    net.stopped[1] = true;
    CHECK(!submit(&net, 0, OP_PUT, ODD, "1", "").is_answered);
    kill_node(&net, 1);
    net.stopped[1] = false;
    turn(&net);
    struct result r = take(&net, 0);
    CHECK(r.is_answered && r.status == NODE_CANNOT_FORWARD);
    end(&net);
}

/* Either of the two connections: the one that the operation took, the one that the answer takes. */
static void what_was_on_a_broken_connection_is_lost_though_both_live(void) {
    for (unsigned way = 0; way < 2; way++) {
        kit_note("way %u", way);
        struct net net = ready_sharded(6);
        put(&net, 1, ODD, "1", "");
        net.cut[1][0] = true;
        struct answer a;
        struct op read = {.kind = OP_GET, .key = SLICE(ODD)};
        struct op write = {.kind = OP_PUT, .key = SLICE(ODD), .value = SLICE("2")};
        CHECK(submit_as(&net, 0, 1, read, "", &a) == NODE_PARKED);
        CHECK(submit_as(&net, 0, 2, write, "", &a) == NODE_UNDER_WAY);
        turn(&net);
        break_wire(&net, way == 0 ? 0 : 1, way == 0 ? 1 : 0);
        net.cut[1][0] = false;
        turn(&net);
        unsigned answers = 0;
        for (uint64_t token; node_take_answer(net.nodes[0], &token, &a); answers++)
            CHECK(a.status == (token == 1 ? NODE_FOUND : NODE_OUTCOME_UNKNOWN));
        CHECK_U64(answers, 2);
        CHECK_U64(peers_listed_count(node_view(net.nodes[0])), 6);
        check_value(&net, 0, ODD, "", "2");
        pass(&net, 100);
        CHECK_U64(stats(&net, 0)->now, 0);
        CHECK_U64(stats(&net, 0)->bytes, 0);
        end(&net);
    }
}

static void nobody_waits_longer_than_forward_ms(void) {
    struct net net = begin_sharded(4);
    net.configs[0].forward_ms = 400;
    make_ready(&net);
    net.cut[1][0] = true;
    for (int kind = OP_GET; kind <= OP_DELETE; kind++) {
        uint64_t start_ms = net.now_ms;
        struct result r = ask(&net, 0, (enum op_kind)kind, ODD, kind == OP_PUT ? "1" : "", "");
        CHECK(r.status == (kind == OP_GET ? NODE_CANNOT_FORWARD : NODE_OUTCOME_UNKNOWN));
        CHECK(net.now_ms - start_ms >= 400 && net.now_ms - start_ms < 420);
        net.cut[1][0] = false; /* late answers are passed over */
        pass(&net, 100);
        net.cut[1][0] = true;
    }
    end(&net);
}

static void one_that_is_frozen_is_left_for_another_in_time(void) {
    struct net net = ready_sharded(6);
    put(&net, 1, ODD, "1", "");
    net.stopped[1] = true;
    uint64_t start_ms = net.now_ms;
    check_value(&net, 0, ODD, "", "1");
    CHECK(net.now_ms - start_ms < 1300);
    end(&net);
}

/* ---- Nobody there ---- */

static void without_an_owner_it_waits_a_moment_and_then_cannot(void) {
    struct net net = ready_sharded(4);
    kill_node(&net, 1);
    kill_node(&net, 3);
    pass(&net, 100);
    for (int kind = OP_GET; kind <= OP_DELETE; kind++) {
        uint64_t start_ms = net.now_ms;
        struct result r = ask(&net, 0, (enum op_kind)kind, ODD, kind == OP_PUT ? "1" : "", "");
        CHECK(r.status == NODE_CANNOT_FORWARD && r.shard == 1);
        CHECK(net.now_ms - start_ms >= 300 && net.now_ms - start_ms < 400);
    }
    end(&net);
}

static void a_read_whose_last_owner_is_lost_waits_no_longer_than_others(void) {
    struct net net = ready_sharded(2);
    net.cut[1][0] = true;
    CHECK(!submit(&net, 0, OP_GET, ODD, "", "").is_answered);
    turn(&net);
    kill_node(&net, 1);
    pass(&net, 280);
    CHECK(!take(&net, 0).is_answered);
    pass(&net, 40);
    struct result r = take(&net, 0);
    CHECK(r.is_answered && r.status == NODE_CANNOT_FORWARD);
    CHECK_U64(stats(&net, 0)->bytes, 0);
    end(&net);
}

static void a_read_whose_last_owner_is_lost_is_asked_of_the_next_that_comes(void) {
    struct net net = begin_sharded(2);
    net.configs[0].park_ms = 5000;
    net.configs[0].forward_ms = 10000;
    make_ready(&net);
    net.cut[1][0] = true;
    CHECK(!submit(&net, 0, OP_GET, ODD, "", "").is_answered);
    turn(&net);
    kill_node(&net, 1);
    net.cut[1][0] = false;
    pass(&net, 100);
    start(&net, 1);
    pass(&net, 500);
    struct result r = take(&net, 0);
    CHECK(r.is_answered && r.status == NODE_NO_KEY);
    end(&net);
}

static void an_owner_that_comes_in_time_is_asked(void) {
    struct net net = begin_sharded(4);
    net.configs[0].park_ms = 5000;
    make_ready(&net);
    net.stopped[1] = net.stopped[3] = true;
    pass(&net, 2000);
    CHECK_U64(peers_listed_count(node_view(net.nodes[0])), 2);
    net.stopped[1] = net.stopped[3] = false;
    CHECK(!submit(&net, 0, OP_PUT, ODD, "1", "").is_answered);
    pass(&net, 1500); /* heard again, but not for long enough */
    CHECK(!take(&net, 0).is_answered);
    CHECK_U64(stats(&net, 0)->now, 0);
    pass(&net, 1500);
    CHECK(!take(&net, 0).is_answered);
    CHECK_U64(stats(&net, 0)->now, 1);
    turn(&net);
    struct result r = take(&net, 0);
    CHECK(r.is_answered && r.status == NODE_CREATED);
    end(&net);
}

static void a_node_that_stands_by_sends_everything_on(void) {
    struct net net = begin_sharded(5);
    for (unsigned i = 0; i < 4; i++)
        net.configs[i].view_count = 4; /* nobody else was told of node 4 */
    net.configs[4].shard_count = 0;
    for (unsigned i = 0; i < 4; i++)
        start(&net, i);
    pass(&net, 500);
    start(&net, 4);
    pass(&net, 1500);
    CHECK(node_shard(net.nodes[4]) == SHARD_NONE);
    CHECK_U64(node_map(net.nodes[4])->id, node_map(net.nodes[0])->id);
    struct result r = put(&net, 4, EVEN, "1", "");
    CHECK(r.status == NODE_CREATED && r.shard == 0);
    r = put(&net, 4, ODD, "2", r.metadata);
    CHECK(r.status == NODE_CREATED && r.shard == 1);
    check_value(&net, 2, EVEN, r.metadata, "1");
    check_value(&net, 4, ODD, r.metadata, "2");
    CHECK_U64(count_at(&net, 4, 1), 1);
    CHECK_U64(store_live(node_store(net.nodes[4])), 0);
    end(&net);
}

/* ---- What another node asks ---- */

static void inject(struct net *net, unsigned from, unsigned to, const struct wire_op *m) {
    struct buffer frame = {0};
    wire_put_op(&frame, m);
    struct link *l = wire_of(net, from, to)->ends[1];
    CHECK_U64(node_link_received(net->nodes[to], l, buffer_slice(&frame)), frame.len);
    buffer_free(&frame);
}

static struct wire_op op_on(const char *key, enum op_kind kind) {
    return (struct wire_op){
        .id = 77,
        .kind = kind,
        .hops = 1,
        .ms = 1000,
        .slot = (uint16_t)shard_slot(slice_of(key)),
        .key = slice_of(key),
        .value = kind == OP_PUT ? SLICE("1") : (struct slice){0},
    };
}

static void an_operation_is_sent_on_as_often_as_it_may_be(void) {
    struct net net = ready_sharded(4);
    struct wire_op m = op_on(ODD, OP_GET); /* asked of node 0, which does not own it */
    inject(&net, 2, 0, &m);
    CHECK_U64(stats(&net, 0)->sent[OP_GET], 1);
    struct wire_frame f;
    struct slice out = node_link_output(wire_of(&net, 0, 1)->ends[0]);
    CHECK(wire_cut(out, &f) == WIRE_CUT_FRAME && wire_read_op(f.body, &m) && m.hops == 0);
    m = op_on(ODD, OP_GET);
    turn(&net);
    CHECK_U64(node_stats(net.nodes[1])->guests, 1);
    m.hops = 0;
    inject(&net, 2, 0, &m);
    turn(&net);
    CHECK_U64(stats(&net, 0)->sent[OP_GET], 1);
    CHECK_U64(stats(&net, 0)->now, 0);
    CHECK_U64(node_parking(net.nodes[0])->total, 0);
    end(&net);
}

static void writes_of_one_stream_take_effect_in_order_at_the_owner(void) {
    struct net net = ready_sharded(4);
    struct result w = put(&net, 1, ODD, "0", "");
    char later[sizeof w.metadata];
    snprintf(later, sizeof later, "%.*s2}}", (int)strlen(w.metadata) - 3, w.metadata);
    struct answer a;
    struct op op = {.kind = OP_PUT, .key = SLICE(ODD), .value = SLICE("1"), .stream = 5};
    CHECK(submit_as(&net, 0, 1, op, later, &a) == NODE_UNDER_WAY); /* is parked there */
    op.value = SLICE("2");
    CHECK(submit_as(&net, 0, 2, op, "", &a) == NODE_UNDER_WAY);
    op.stream = 6;
    op.key = SLICE("key5");
    CHECK(shard_slot(op.key) % 2 == 1);
    CHECK(submit_as(&net, 0, 3, op, "", &a) == NODE_UNDER_WAY);
    turn(&net);
    uint64_t token;
    CHECK(node_take_answer(net.nodes[0], &token, &a) && token == 3); /* which was number 2 */
    turn(&net);
    CHECK(node_take_answer(net.nodes[0], &token, &a) && token == 1 && a.status == NODE_REPLACED);
    CHECK(node_take_answer(net.nodes[0], &token, &a) && token == 2 && a.status == NODE_REPLACED);
    check_value(&net, 1, ODD, "", "2");
    end(&net);
}

static void what_waits_for_a_node_that_is_gone_does_not_begin(void) {
    struct net net = ready_sharded(4);
    struct result w = put(&net, 1, ODD, "0", "");
    char later[sizeof w.metadata];
    snprintf(later, sizeof later, "%.*s2}}", (int)strlen(w.metadata) - 3, w.metadata);
    CHECK(!submit(&net, 0, OP_PUT, ODD, "1", later).is_answered);
    turn(&net);
    CHECK_U64(node_parking(net.nodes[1])->count, 1);
    kill_node(&net, 0);
    turn(&net);
    CHECK_U64(node_parking(net.nodes[1])->count, 0);
    put(&net, 1, "key5", "1", "");
    check_value(&net, 1, ODD, "", "0");
    end(&net);
}

/* ---- Bounds, and clients that leave ---- */

static void a_client_that_leaves_is_forgotten(void) {
    struct net net = ready_sharded(4);
    net.cut[1][0] = true;
    CHECK(!submit(&net, 0, OP_GET, ODD, "", "").is_answered);
    turn(&net);
    CHECK_U64(stats(&net, 0)->now, 1);
    node_cancel(net.nodes[0], 1);
    CHECK_U64(stats(&net, 0)->now, 0);
    CHECK_U64(stats(&net, 0)->bytes, 0);
    net.cut[1][0] = false;
    turn(&net);
    CHECK(!take(&net, 0).is_answered);
    CHECK(!submit(&net, 0, OP_GET, ODD, "", "").is_answered);
    turn(&net);
    node_cancel(net.nodes[0], 1); /* its answer is there */
    CHECK(!take(&net, 0).is_answered);
    CHECK_U64(stats(&net, 0)->bytes, 0);
    end(&net);
}

static void so_many_are_sent_on_at_once_and_the_others_wait(void) {
    struct net net = ready_sharded(2);
    struct answer a;
    struct op op = {.kind = OP_GET, .key = SLICE(ODD)};
    net.cut[1][0] = true;
    for (uint64_t i = 1; i <= FORWARD_OPS_MAX + 3; i++)
        CHECK(submit_as(&net, 0, i, op, "", &a) == NODE_PARKED);
    CHECK_U64(stats(&net, 0)->now, FORWARD_OPS_MAX);
    CHECK_U64(node_parking(net.nodes[0])->count, 3);
    net.cut[1][0] = false;
    uint64_t answers = 0;
    for (int i = 0; i < 3; i++) {
        turn(&net);
        for (uint64_t token; node_take_answer(net.nodes[0], &token, &a); answers++)
            CHECK(a.status == NODE_NO_KEY);
    }
    CHECK_U64(answers, FORWARD_OPS_MAX + 3);
    CHECK_U64(stats(&net, 0)->bytes, 0);
    end(&net);
}

/* Who finds no room waits for some, as for an owner, and no longer. */
static void how_many_are_sent_on_at_once_can_be_set(void) {
    struct net net = begin_sharded(2);
    struct answer a;
    struct op op = {.kind = OP_GET, .key = SLICE(ODD)};
    uint64_t token, refused = 0;
    net.configs[0].forwarded.ops_max = 2;
    make_ready(&net);
    net.cut[1][0] = true;
    for (uint64_t i = 1; i <= 5; i++)
        CHECK(submit_as(&net, 0, i, op, "", &a) == NODE_PARKED);
    CHECK_U64(stats(&net, 0)->now, 2);
    CHECK(stats(&net, 0)->refused >= 3);
    for (int ms = 0; ms < 400; ms += 10) {
        pass(&net, 10);
        for (; node_take_answer(net.nodes[0], &token, &a); refused++)
            CHECK(token > 2 && a.status == NODE_CANNOT_FORWARD);
    }
    CHECK_U64(refused, 3);
    CHECK_U64(stats(&net, 0)->now, 2);
    end(&net);
}

static void how_much_is_kept_of_what_is_sent_on_can_be_set(void) {
    struct net net = begin_sharded(2);
    struct answer a;
    struct op op = {.kind = OP_GET, .key = SLICE(ODD)};
    net.configs[0].forwarded.bytes_max = 1000;
    make_ready(&net);
    net.cut[1][0] = true;
    for (uint64_t i = 1; i <= 20; i++)
        CHECK(submit_as(&net, 0, i, op, "", &a) == NODE_PARKED);
    CHECK(stats(&net, 0)->now > 0 && stats(&net, 0)->now < 20);
    CHECK(stats(&net, 0)->bytes <= 1000);
    end(&net);
}

static void nothing_is_put_behind_too_much_that_is_unsent(void) {
    struct net net = ready_sharded(4);
    struct answer a;
    size_t len = 5 * 1024 * 1024;
    char *value = bytes_alloc(len);
    memset(value, '1', len);
    struct op op = {.kind = OP_PUT, .key = SLICE(ODD), .value = {value, len}};
    net.stopped[1] = true;
    for (uint64_t i = 1; i <= 5; i++)
        CHECK(submit_as(&net, 0, i, op, "", &a) == NODE_UNDER_WAY);
    CHECK(link_unsent_bytes(wire_of(&net, 0, 1)->ends[0]) < FORWARD_OUTPUT_MAX + len);
    CHECK(link_unsent_bytes(wire_of(&net, 0, 3)->ends[0]) > len); /* the other one was asked */
    net.stopped[1] = false;
    uint64_t answers = 0;
    for (int i = 0; i < 10; i++) {
        pass(&net, 10);
        for (uint64_t token; node_take_answer(net.nodes[0], &token, &a); answers++)
            CHECK(a.status == NODE_CREATED || a.status == NODE_REPLACED);
    }
    CHECK_U64(answers, 5);
    free(value);
    end(&net);
}

static void many_large_values_are_asked_for_at_once_and_the_link_lives(void) {
    struct net net = ready_sharded(2);
    struct answer a;
    size_t len = 7 * 1024 * 1024;
    char *value = bytes_alloc(len);
    memset(value, '1', len);
    struct op op = {.kind = OP_PUT, .key = SLICE(ODD), .value = {value, len}};
    CHECK(submit_as(&net, 1, 1, op, "", &a) == NODE_ANSWERED);
    op = (struct op){.kind = OP_GET, .key = SLICE(ODD)};
    net.cut[1][0] = true;
    for (uint64_t i = 1; i <= 12; i++)
        CHECK(submit_as(&net, 0, i, op, "", &a) == NODE_PARKED);
    pass(&net, 100);
    CHECK(link_unsent_bytes(wire_of(&net, 1, 0)->ends[0]) < LINK_OUTPUT_MAX / 2);
    net.cut[1][0] = false;
    uint64_t answers = 0;
    for (int i = 0; i < 20; i++) {
        pass(&net, 10);
        for (uint64_t token; node_take_answer(net.nodes[0], &token, &a); answers++)
            CHECK(a.status == NODE_FOUND && a.value.len == len);
    }
    CHECK_U64(answers, 12);
    free(value);
    end(&net);
}

int main(void) {
    RUN(every_node_serves_every_key);
    RUN(what_was_seen_in_one_shard_is_asked_of_it_through_another);
    RUN(a_dependency_is_waited_for_at_the_owner_and_then_named);
    RUN(an_actor_is_known_everywhere_as_soon_as_it_has_written);
    RUN(an_owner_that_is_not_ready_is_not_asked);
    RUN(different_nodes_ask_different_owners);
    RUN(keys_are_counted_in_every_shard);
    RUN(every_node_lists_all_shards_in_order);
    RUN(pages_of_all_shards_are_the_whole);
    RUN(a_listing_of_many_chunks_has_everything);
    RUN(a_listing_survives_the_death_of_whom_it_asked);
    RUN(shards_that_nobody_can_be_asked_about_are_left_out_and_named);
    RUN(a_listing_that_is_given_up_asks_no_more);
    RUN(a_read_is_asked_again_when_its_target_dies);
    RUN(a_write_whose_target_dies_is_unknown_and_not_repeated);
    RUN(a_write_that_has_not_begun_to_leave_goes_to_another_owner);
    RUN(an_owner_that_can_keep_nothing_is_passed_over);
    RUN(a_write_that_has_not_begun_to_leave_and_has_nowhere_to_go_did_not_happen);
    RUN(what_was_on_a_broken_connection_is_lost_though_both_live);
    RUN(nobody_waits_longer_than_forward_ms);
    RUN(one_that_is_frozen_is_left_for_another_in_time);
    RUN(without_an_owner_it_waits_a_moment_and_then_cannot);
    RUN(a_read_whose_last_owner_is_lost_waits_no_longer_than_others);
    RUN(a_read_whose_last_owner_is_lost_is_asked_of_the_next_that_comes);
    RUN(an_owner_that_comes_in_time_is_asked);
    RUN(a_node_that_stands_by_sends_everything_on);
    RUN(an_operation_is_sent_on_as_often_as_it_may_be);
    RUN(writes_of_one_stream_take_effect_in_order_at_the_owner);
    RUN(what_waits_for_a_node_that_is_gone_does_not_begin);
    RUN(a_client_that_leaves_is_forgotten);
    RUN(so_many_are_sent_on_at_once_and_the_others_wait);
    RUN(how_many_are_sent_on_at_once_can_be_set);
    RUN(how_much_is_kept_of_what_is_sent_on_can_be_set);
    RUN(nothing_is_put_behind_too_much_that_is_unsent);
    RUN(many_large_values_are_asked_for_at_once_and_the_link_lives);
    return kit_finish();
}
