/* The step machine of one node: serving, stamps, dependencies, waiting, limits. */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>

#include "../hlc.h"

/* ---- Asking ---- */

struct asked {
    struct node *n;
    struct claim claim; /* of the operation in hand */
    struct answer answer;
    uint64_t token; /* of the last operation */
};

static struct asked begin(struct node_config config) {
    return (struct asked){.n = node_create(&config, KIT_NOW_MS, KIT_WALL_MS)};
}

/* One of several, which reaches none of the others and has given up waiting for them. */
static struct asked begin_unreached(struct node_config config) {
    struct asked a = begin(config);
    kit_pass_until_ready(a.n);
    return a;
}

static void end(struct asked *a) {
    claim_free(&a->claim);
    node_free(a->n);
}

/* True: a->answer is it. The bytes given are gone afterwards, as those of a request would be. */
static bool ask(struct asked *a, enum op_kind kind, const char *key, struct slice value,
                struct slice metadata) {
    char *key_copy = strdup(key);
    struct buffer value_copy = {0}, metadata_copy = {0};
    buffer_put(&value_copy, value);
    buffer_put(&metadata_copy, metadata);
    claim_clear(&a->claim);
    if (metadata.len > 0) {
        struct json_reader r = json_reader_of(buffer_slice(&metadata_copy));
        node_read_claim(a->n, &a->claim, &r);
        CHECK(json_finish(&r) && a->claim.form != CLAIM_BAD);
    }
    struct op op = {.kind = kind,
                    .key = slice_of(key_copy),
                    .value = buffer_slice(&value_copy),
                    .claim = &a->claim};
    enum node_taken taken = node_submit(a->n, ++a->token, &op, &a->answer);
    bool answered = taken == NODE_ANSWERED;
    if (taken == NODE_UNDER_WAY) { /* a member that is alone has the answer at once */
        uint64_t token = 0;
        answered = CHECK(node_take_answer(a->n, &token, &a->answer) && token == a->token);
        a->answer.metadata_text = metadata;
    }
    free(key_copy);
    buffer_free(&value_copy);
    if (answered) CHECK_SLICE(a->answer.metadata_text, metadata);
    a->answer.metadata_text = metadata; /* the copy that it borrows goes */
    buffer_free(&metadata_copy);
    return answered;
}

static enum node_status status_of(struct asked *a, enum op_kind kind, const char *key,
                                  const char *value, struct slice metadata) {
    CHECK(ask(a, kind, key, slice_of(value), metadata));
    return a->answer.status;
}

#define NONE ((struct slice){NULL, 0})

static enum node_status put(struct asked *a, const char *key, const char *value) {
    return status_of(a, OP_PUT, key, value, NONE);
}

static enum node_status get(struct asked *a, const char *key) {
    return status_of(a, OP_GET, key, "", NONE);
}

static enum node_status delete_of(struct asked *a, const char *key) {
    return status_of(a, OP_DELETE, key, "", NONE);
}

/* What the client has now seen, as it would get it. */
static struct buffer seen(const struct asked *a) {
    struct buffer out = {0};
    if (CHECK(a->answer.metadata != NULL)) {
        metadata_put(&out, a->answer.metadata, node_actors(a->n));
    }
    return out;
}

/* The node's own actor, once it has written. */
static uint32_t own_actor(const struct asked *a) {
    const struct actors *as = node_actors(a->n);
    for (uint32_t i = 0; i < actors_count(as); i++) {
        if (actors_get(as, i)->group == node_map(a->n)->group[node_shard(a->n)]) return i;
    }
    return ACTOR_NONE;
}

/* Metadata that depends on the n-th write of an actor. */
static struct slice naming(const struct asked *a, uint32_t actor, uint64_t n) {
    static char text[256];
    struct slice label = actors_get(node_actors(a->n), actor)->label;
    int len = snprintf(text, sizeof text,
                       "{\"maps\":[],\"time\":\"0000000000000000\",\"clock\":{\"%.*s\":%llu}}",
                       (int)label.len, label.at, (unsigned long long)n);
    return (struct slice){text, (size_t)len};
}

static bool take(struct asked *a, uint64_t *token) {
    return node_take_answer(a->n, token, &a->answer);
}

/* ---- Serving ---- */

static void a_key_is_created_replaced_found_and_deleted(void) {
    struct asked a = begin(kit_node_config());
    CHECK(get(&a, "k") == NODE_NO_KEY);
    CHECK(delete_of(&a, "k") == NODE_NO_KEY);
    CHECK(put(&a, "k", "1") == NODE_CREATED);
    CHECK(get(&a, "k") == NODE_FOUND);
    CHECK_TEXT(a.answer.value, "1");
    CHECK(put(&a, "k", "{\"x\": [null]}") == NODE_REPLACED);
    CHECK(get(&a, "k") == NODE_FOUND);
    CHECK_TEXT(a.answer.value, "{\"x\": [null]}");
    CHECK(delete_of(&a, "k") == NODE_DELETED);
    CHECK(get(&a, "k") == NODE_NO_KEY);
    CHECK(delete_of(&a, "k") == NODE_NO_KEY);
    CHECK(put(&a, "k", "null") == NODE_CREATED);
    CHECK(get(&a, "k") == NODE_FOUND);
    CHECK_TEXT(a.answer.value, "null");
    CHECK_U64(a.answer.shard, 0);
    end(&a);
}

static void dots_are_counted_from_one_without_gaps(void) {
    struct asked a = begin(kit_node_config());
    for (uint64_t n = 1; n <= 20; n++) {
        if (n % 5 == 0) {
            CHECK(delete_of(&a, "k") == NODE_DELETED);
        } else {
            put(&a, "k", "1");
        }
        CHECK_U64(a.answer.metadata->clock.len, 1);
        CHECK_U64(vclock_get(&a.answer.metadata->clock, own_actor(&a)), n);
        get(&a, n % 2 == 0 ? "k" : "other");
    }
    end(&a);
}

static void a_reader_is_told_the_dot_and_the_time_of_what_it_saw(void) {
    struct asked a = begin(kit_node_config());
    put(&a, "a", "1");
    struct buffer first = seen(&a);
    put(&a, "b", "2");
    struct buffer second = seen(&a);
    CHECK(!slice_equal(buffer_slice(&first), buffer_slice(&second)));
    CHECK(get(&a, "a") == NODE_FOUND);
    struct buffer read = seen(&a);
    CHECK_SLICE(buffer_slice(&read), buffer_slice(&first));
    CHECK(status_of(&a, OP_GET, "a", "", buffer_slice(&second)) == NODE_FOUND);
    buffer_free(&read);
    read = seen(&a);
    CHECK_SLICE(buffer_slice(&read), buffer_slice(&second));
    buffer_free(&first);
    buffer_free(&second);
    buffer_free(&read);
    end(&a);
}

static void a_404_tells_the_dot_of_the_tombstone(void) {
    struct asked a = begin(kit_node_config());
    put(&a, "k", "1");
    delete_of(&a, "k");
    struct buffer deleted = seen(&a);
    CHECK_U64(vclock_get(&a.answer.metadata->clock, own_actor(&a)), 2);
    put(&a, "other", "1");
    CHECK(get(&a, "k") == NODE_NO_KEY);
    struct buffer read = seen(&a);
    CHECK_SLICE(buffer_slice(&read), buffer_slice(&deleted));
    buffer_free(&read);
    CHECK(delete_of(&a, "k") == NODE_NO_KEY);
    read = seen(&a);
    CHECK_SLICE(buffer_slice(&read), buffer_slice(&deleted));
    buffer_free(&read);
    buffer_free(&deleted);
    end(&a);
}

static void a_404_of_what_never_was_tells_what_was_asked_with(void) {
    struct asked a = begin(kit_node_config());
    CHECK(get(&a, "k") == NODE_NO_KEY);
    CHECK(a.answer.metadata->clock.len == 0 && a.answer.metadata->time == 0);
    put(&a, "other", "1");
    struct buffer written = seen(&a);
    CHECK(status_of(&a, OP_DELETE, "k", "", buffer_slice(&written)) == NODE_NO_KEY);
    struct buffer read = seen(&a);
    CHECK_SLICE(buffer_slice(&read), buffer_slice(&written));
    buffer_free(&written);
    buffer_free(&read);
    end(&a);
}

static void a_delete_of_nothing_writes_nothing(void) {
    struct asked a = begin(kit_node_config());
    delete_of(&a, "k");
    CHECK_U64(store_tombstones(node_store(a.n)), 0);
    CHECK(own_actor(&a) == ACTOR_NONE);
    put(&a, "k", "1");
    delete_of(&a, "k");
    delete_of(&a, "k");
    CHECK_U64(store_tombstones(node_store(a.n)), 1);
    put(&a, "k", "1");
    CHECK_U64(vclock_get(&a.answer.metadata->clock, own_actor(&a)), 3);
    end(&a);
}

static void keys_of_other_shards_cannot_be_forwarded(void) {
    struct node_config config = kit_cluster_config(2, 2);
    config.park_ms = 0;
    struct asked a = begin(config);
    unsigned here = 0, elsewhere = 0;
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%d", i);
        uint32_t owner = shard_slot(slice_of(key)) % 2;
        CHECK(put(&a, key, "1") == (owner == 0 ? NODE_CREATED : NODE_CANNOT_FORWARD));
        CHECK_U64(a.answer.shard, owner);
        CHECK((a.answer.metadata == NULL) == (owner == 1));
        here += owner == 0;
        elsewhere += owner == 1;
    }
    CHECK(here > 30 && elsewhere > 30);
    CHECK_U64(store_live(node_store(a.n)), here);
    end(&a);
}

/* ---- Stamps ---- */

static uint64_t time_of_put(struct asked *a, struct slice metadata) {
    CHECK(ask(a, OP_PUT, "k", SLICE("1"), metadata));
    CHECK(a->answer.status == NODE_CREATED || a->answer.status == NODE_REPLACED);
    return a->answer.metadata->time;
}

static void stamps_follow_the_wall_clock(void) {
    struct asked a = begin(kit_node_config());
    CHECK(time_of_put(&a, NONE) >> HLC_COUNTER_BITS == KIT_WALL_MS);
    node_set_time(a.n, KIT_NOW_MS + 5, KIT_WALL_MS + 5);
    CHECK(time_of_put(&a, NONE) >> HLC_COUNTER_BITS == KIT_WALL_MS + 5);
    end(&a);
}

static void stamps_rise_while_the_wall_clock_stands_or_goes_back(void) {
    struct asked a = begin(kit_node_config());
    uint64_t before = time_of_put(&a, NONE);
    for (uint64_t i = 1; i < 100; i++) {
        if (i > 50) node_set_time(a.n, KIT_NOW_MS + i, KIT_WALL_MS - i * 1000000);
        uint64_t now = time_of_put(&a, NONE);
        CHECK(now > before);
        CHECK(now >> HLC_COUNTER_BITS == KIT_WALL_MS);
        before = now;
    }
    end(&a);
}

static void a_stamp_is_greater_than_the_time_in_the_metadata(void) {
    struct asked a = begin(kit_node_config());
    uint64_t ahead = hlc_of_wall(KIT_WALL_MS + HLC_AHEAD_MS_MAX);
    char text[128];
    snprintf(text, sizeof text, "{\"maps\":[],\"time\":\"%016llx\",\"clock\":{}}",
             (unsigned long long)ahead);
    CHECK_U64(time_of_put(&a, slice_of(text)), ahead + 1);
    CHECK_U64(time_of_put(&a, NONE), ahead + 2);
    CHECK(delete_of(&a, "k") == NODE_DELETED);
    CHECK_U64(a.answer.metadata->time, ahead + 3);
    end(&a);
}

/* By its own counting a node comes past the limit; what it told a client it must take back. */
static void a_time_that_was_told_is_accepted_though_the_clock_was_set_back(void) {
    struct asked a = begin(kit_node_config());
    put(&a, "k", "1");
    struct buffer told = seen(&a);
    node_set_time(a.n, KIT_NOW_MS, KIT_WALL_MS - 10 * HLC_AHEAD_MS_MAX);
    CHECK(status_of(&a, OP_GET, "k", "", buffer_slice(&told)) == NODE_FOUND);
    buffer_free(&told);
    end(&a);
}

static void reading_with_a_time_ahead_does_not_lose_it(void) {
    struct asked a = begin(kit_node_config());
    put(&a, "k", "1");
    struct slice far = SLICE("{\"maps\":[],\"time\":\"01a3185c5fff0000\",\"clock\":{}}");
    CHECK(status_of(&a, OP_GET, "k", "", far) == NODE_FOUND);
    CHECK_U64(a.answer.metadata->time, 0x01a3185c5fff0000);
    end(&a);
}

/* ---- Dependencies ---- */

static void what_was_seen_here_is_covered_here(void) {
    struct asked a = begin(kit_node_config());
    struct buffer carried = {0};
    for (int i = 0; i < 50; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i % 7);
        CHECK(ask(&a, i % 3 == 2 ? OP_GET : OP_PUT, key, SLICE("1"), buffer_slice(&carried)));
        struct buffer next = seen(&a);
        buffer_free(&carried);
        carried = next;
    }
    CHECK_U64(node_parking(a.n)->total, 0);
    buffer_free(&carried);
    end(&a);
}

static void an_unknown_map_is_named_as_missing(void) {
    struct asked a = begin(kit_node_config());
    uint64_t token = 0;
    CHECK(!ask(&a, OP_GET, "k", NONE,
               SLICE("{\"maps\":[\"7.0000000a\"],\"time\":\"0000000000000000\",\"clock\":{}}")));
    node_set_time(a.n, KIT_NOW_MS + 300, KIT_WALL_MS);
    CHECK(take(&a, &token) && token == a.token);
    CHECK(a.answer.status == NODE_NOT_YET);
    CHECK_TEXT(a.answer.missing, "\"map 7.0000000a\"");
    end(&a);
}

static void the_map_of_this_node_is_known(void) {
    struct asked a = begin(kit_node_config());
    char text[128];
    snprintf(text, sizeof text,
             "{\"maps\":[\"1.%08x\"],\"time\":\"0000000000000000\",\"clock\":{}}",
             (unsigned)(node_map(a.n)->id >> 32));
    CHECK(status_of(&a, OP_PUT, "k", "1", slice_of(text)) == NODE_CREATED);
    CHECK_U64(a.answer.metadata->maps_len, 1);
    CHECK(get(&a, "k") == NODE_FOUND);
    CHECK_U64(a.answer.metadata->maps_len, 1); /* stored with the version */
    snprintf(text, sizeof text,
             "{\"maps\":[\"2.%08x\"],\"time\":\"0000000000000000\",\"clock\":{}}",
             (unsigned)(node_map(a.n)->id >> 32));
    CHECK(!ask(&a, OP_GET, "k", NONE, slice_of(text)));
    end(&a);
}

static uint32_t learn(struct asked *a, uint64_t id, uint64_t group) {
    struct address node = kit_address("10.0.0.9:8090");
    return node_learn_actor(a->n, id, &node, 1, group);
}

static void entries_of_other_groups_are_stored_and_handed_to_readers(void) {
    struct asked a = begin(kit_node_config());
    uint32_t foreign = learn(&a, 0xabc, 4711);
    struct buffer metadata = {0};
    put(&a, "mine", "0");
    struct slice label = actors_get(node_actors(a.n), own_actor(&a))->label;
    struct slice other = actors_get(node_actors(a.n), foreign)->label;
    buffer_put(&metadata, SLICE("{\"maps\":[],\"time\":\"0000000000000000\",\"clock\":{\""));
    buffer_put(&metadata, other);
    buffer_put(&metadata, SLICE("\":1000,\""));
    buffer_put(&metadata, label);
    buffer_put(&metadata, SLICE("\":1}}"));
    CHECK(status_of(&a, OP_PUT, "k", "1", buffer_slice(&metadata)) == NODE_CREATED);
    CHECK_U64(vclock_get(&a.answer.metadata->clock, foreign), 1000);
    CHECK(get(&a, "k") == NODE_FOUND);
    CHECK_U64(vclock_get(&a.answer.metadata->clock, foreign), 1000);
    CHECK_U64(vclock_get(&a.answer.metadata->clock, own_actor(&a)), 2);
    CHECK(get(&a, "mine") == NODE_FOUND);
    CHECK_U64(vclock_get(&a.answer.metadata->clock, foreign), 0);
    CHECK(status_of(&a, OP_DELETE, "k", "", buffer_slice(&metadata)) == NODE_DELETED);
    CHECK(get(&a, "k") == NODE_NO_KEY);
    CHECK_U64(vclock_get(&a.answer.metadata->clock, foreign), 1000);
    buffer_free(&metadata);
    end(&a);
}

/* The group of one takes a shorter way, and its client is told the same. */
static void a_write_tells_what_it_met(struct asked a) {
    uint32_t foreign = learn(&a, 0xabc, 4711);
    for (uint64_t n = 1; n < 5; n += 2) {
        bool deletes = n > 1;
        CHECK(ask(&a, OP_PUT, "k", SLICE("1"), naming(&a, foreign, 3)));
        CHECK_U64(vclock_get(&a.answer.metadata->clock, own_actor(&a)), n);
        enum node_status status = deletes ? delete_of(&a, "k") : put(&a, "k", "2");
        CHECK(status == (deletes ? NODE_DELETED : NODE_REPLACED));
        CHECK_U64(vclock_get(&a.answer.metadata->clock, foreign), 3);
        CHECK_U64(vclock_get(&a.answer.metadata->clock, own_actor(&a)), n + 1);
        get(&a, "k"); /* nobody knew of it when that was written: its readers depend on it not */
        CHECK_U64(vclock_get(&a.answer.metadata->clock, foreign), 0);
    }
    end(&a);
}

static void a_write_tells_what_it_met_alone_and_in_a_group(void) {
    a_write_tells_what_it_met(begin(kit_node_config()));
    a_write_tells_what_it_met(begin_unreached(kit_cluster_config(2, 1)));
}

/* ---- Waiting ---- */

static void a_read_of_a_later_write_is_held_back_until_it_comes(void) {
    struct asked a = begin(kit_node_config());
    uint64_t token = 0;
    put(&a, "k", "1");
    CHECK(!ask(&a, OP_GET, "k", NONE, naming(&a, own_actor(&a), 3)));
    uint64_t waiting = a.token;
    CHECK(!take(&a, &token));
    put(&a, "k", "2");
    CHECK(!take(&a, &token));
    put(&a, "k", "3");
    if (CHECK(take(&a, &token))) {
        CHECK_U64(token, waiting);
        CHECK(a.answer.status == NODE_FOUND);
        CHECK_TEXT(a.answer.value, "3");
        CHECK_U64(vclock_get(&a.answer.metadata->clock, own_actor(&a)), 3);
    }
    CHECK(!take(&a, &token));
    CHECK(node_parking(a.n)->count == 0 && node_parking(a.n)->bytes == 0);
    CHECK_U64(node_parking(a.n)->total, 1);
    end(&a);
}

static void what_waits_too_long_is_told_what_is_missing(void) {
    struct asked a = begin(kit_node_config());
    uint64_t token = 0;
    char missing[128];
    put(&a, "k", "1");
    struct slice label = actors_get(node_actors(a.n), own_actor(&a))->label;
    snprintf(missing, sizeof missing, "\"%.*s:3\"", (int)label.len, label.at);
    CHECK(node_deadline_ms(a.n) == UINT64_MAX);
    CHECK(!ask(&a, OP_PUT, "k", SLICE("2"), naming(&a, own_actor(&a), 3)));
    CHECK_U64(node_deadline_ms(a.n), KIT_NOW_MS + 300);
    node_set_time(a.n, KIT_NOW_MS + 299, KIT_WALL_MS);
    CHECK(!take(&a, &token));
    node_set_time(a.n, KIT_NOW_MS + 300, KIT_WALL_MS);
    if (CHECK(take(&a, &token))) {
        CHECK(a.answer.status == NODE_NOT_YET);
        CHECK_TEXT(a.answer.missing, missing);
        CHECK(a.answer.metadata == NULL);
        CHECK_SLICE(a.answer.metadata_text, naming(&a, own_actor(&a), 3));
    }
    CHECK(node_deadline_ms(a.n) == UINT64_MAX);
    CHECK_U64(node_stats(a.n)->answered[OP_PUT][NODE_NOT_YET], 1);
    CHECK(get(&a, "k") == NODE_FOUND);
    CHECK_TEXT(a.answer.value, "1");
    end(&a);
}

static void what_comes_together_with_the_deadline_still_counts(void) {
    struct asked a = begin(kit_node_config());
    uint64_t token = 0;
    put(&a, "k", "1");
    CHECK(!ask(&a, OP_GET, "k", NONE, naming(&a, own_actor(&a), 2)));
    node_set_time(a.n, KIT_NOW_MS + 1000, KIT_WALL_MS);
    put(&a, "k", "2");
    CHECK(take(&a, &token) && a.answer.status == NODE_FOUND);
    end(&a);
}

static void without_time_to_wait_the_answer_comes_at_once(void) {
    struct node_config config = kit_node_config();
    config.park_ms = 0;
    struct asked a = begin(config);
    put(&a, "k", "1");
    CHECK(status_of(&a, OP_GET, "k", "", naming(&a, own_actor(&a), 2)) == NODE_NOT_YET);
    CHECK(a.answer.missing.len > 0);
    CHECK_U64(node_parking(a.n)->total, 0);
    end(&a);
}

/* A read waits for dot 3, a write for dot 2: when dot 2 comes, the write makes dot 3. */
static void a_write_that_waited_frees_those_that_wait_for_it(void) {
    struct asked a = begin(kit_node_config());
    uint64_t token = 0, read, write;
    put(&a, "k", "1");
    CHECK(!ask(&a, OP_GET, "k", NONE, naming(&a, own_actor(&a), 3)));
    read = a.token;
    CHECK(!ask(&a, OP_PUT, "k", SLICE("3"), naming(&a, own_actor(&a), 2)));
    write = a.token;
    put(&a, "k", "2");
    CHECK(take(&a, &token) && token == write && a.answer.status == NODE_REPLACED);
    CHECK(take(&a, &token) && token == read && a.answer.status == NODE_FOUND);
    CHECK_TEXT(a.answer.value, "3");
    CHECK(!take(&a, &token));
    end(&a);
}

static void an_actor_learned_later_frees_those_that_name_it(void) {
    struct asked a = begin(kit_node_config());
    uint64_t token = 0;
    struct slice metadata = SLICE("{\"maps\":[],\"time\":\"0000000000000000\",\"clock\":"
                                  "{\"10.0.0.9:8090#0000000000000abc\":5}}");
    put(&a, "k", "1");
    CHECK(!ask(&a, OP_GET, "k", NONE, metadata));
    learn(&a, 0xdef, 4711);
    CHECK(!take(&a, &token));
    uint32_t foreign = learn(&a, 0xabc, 4711);
    if (CHECK(take(&a, &token))) {
        CHECK(a.answer.status == NODE_FOUND);
        CHECK_U64(vclock_get(&a.answer.metadata->clock, foreign), 5);
    }
    end(&a);
}

static void an_actor_of_the_own_group_is_waited_for_though_known(void) {
    struct asked a = begin(kit_node_config());
    uint64_t token = 0;
    uint32_t mate = learn(&a, 0xabc, node_map(a.n)->group[0]);
    CHECK(!ask(&a, OP_GET, "k", NONE, naming(&a, mate, 1)));
    node_set_time(a.n, KIT_NOW_MS + 300, KIT_WALL_MS);
    CHECK(take(&a, &token) && a.answer.status == NODE_NOT_YET);
    CHECK_TEXT(a.answer.missing, "\"10.0.0.9:8090#0000000000000abc:1\"");
    end(&a);
}

/* The reading of the clock in the metadata was allowed when it came; it must not be judged anew. */
static void dependencies_hold_when_the_wall_clock_steps_back_meanwhile(void) {
    struct asked a = begin(kit_node_config());
    uint64_t token = 0;
    char text[256];
    put(&a, "k", "1");
    struct slice label = actors_get(node_actors(a.n), own_actor(&a))->label;
    snprintf(text, sizeof text, "{\"maps\":[],\"time\":\"%016llx\",\"clock\":{\"%.*s\":3}}",
             (unsigned long long)hlc_of_wall(KIT_WALL_MS + HLC_AHEAD_MS_MAX), (int)label.len,
             label.at);
    CHECK(!ask(&a, OP_GET, "k", NONE, slice_of(text)));
    node_set_time(a.n, KIT_NOW_MS + 1, KIT_WALL_MS - 10000);
    put(&a, "k", "2");
    CHECK(!take(&a, &token));
    put(&a, "k", "3");
    CHECK(take(&a, &token) && a.answer.status == NODE_FOUND);
    CHECK_TEXT(a.answer.value, "3");
    end(&a);
}

static void what_an_operator_wants_to_know_is_noted_once(void) {
    struct node_config config = kit_node_config();
    config.memory_bytes_max = 1;
    struct asked a = begin(config);
    struct address other;
    CHECK(address_parse(SLICE("10.0.0.9:8090"), &other) == NULL);
    CHECK_TEXT(node_take_notes(a.n), "");
    node_view_add(a.n, &other);
    node_view_add(a.n, &other);
    node_view_remove(a.n, &other);
    CHECK_TEXT(node_take_notes(a.n),
               "view: in, by request: 10.0.0.9:8090\nview: out, by request: 10.0.0.9:8090\n");
    CHECK_TEXT(node_take_notes(a.n), "");
    node_view_add(a.n, &other);
    node_take_notes(a.n);
    kit_pass(a.n, KIT_NOW_MS, KIT_NOW_MS + PEER_UNHEARD_MS);
    CHECK_TEXT(node_take_notes(a.n), "view: out, was not heard: 10.0.0.9:8090\n");
    put(&a, "k", "1");
    put(&a, "k", "1");
    CHECK_TEXT(node_take_notes(a.n), "store: the memory limit is reached\n");
    end(&a);
}

static void answers_come_in_the_order_of_the_questions(void) {
    struct asked a = begin(kit_node_config());
    uint64_t token = 0;
    put(&a, "k", "1");
    uint64_t first = a.token + 1;
    for (int i = 0; i < 10; i++) {
        CHECK(!ask(&a, OP_GET, "k", NONE, naming(&a, own_actor(&a), i % 2 == 0 ? 2 : 9)));
    }
    put(&a, "k", "2");
    for (uint64_t i = 0; i < 10; i += 2)
        CHECK(take(&a, &token) && token == first + i);
    CHECK(!take(&a, &token));
    node_set_time(a.n, KIT_NOW_MS + 300, KIT_WALL_MS);
    for (uint64_t i = 1; i < 10; i += 2)
        CHECK(take(&a, &token) && token == first + i);
    CHECK(!take(&a, &token));
    end(&a);
}

static void what_was_cancelled_is_not_answered(void) {
    struct asked a = begin(kit_node_config());
    uint64_t token = 0;
    put(&a, "k", "1");
    uint64_t first = a.token + 1;
    for (int i = 0; i < 5; i++)
        CHECK(!ask(&a, OP_GET, "k", NONE, naming(&a, own_actor(&a), 2)));
    node_cancel(a.n, first);
    node_cancel(a.n, first + 2);
    node_cancel(a.n, first + 4); /* the last, behind which the next is put */
    node_cancel(a.n, first + 4);
    node_cancel(a.n, 999);
    CHECK(!ask(&a, OP_GET, "k", NONE, naming(&a, own_actor(&a), 2)));
    CHECK_U64(node_parking(a.n)->count, 3);
    put(&a, "k", "2");
    CHECK(take(&a, &token) && token == first + 1);
    node_cancel(a.n, token); /* already answered */
    CHECK(take(&a, &token) && token == first + 3);
    CHECK(take(&a, &token) && token == first + 5);
    CHECK(!take(&a, &token));
    CHECK(node_parking(a.n)->count == 0 && node_parking(a.n)->bytes == 0);
    end(&a);
}

static void a_cancelled_write_does_not_happen(void) {
    struct asked a = begin(kit_node_config());
    uint64_t token = 0;
    put(&a, "k", "1");
    CHECK(!ask(&a, OP_PUT, "k", SLICE("lost"), naming(&a, own_actor(&a), 2)));
    node_cancel(a.n, a.token);
    put(&a, "k", "2");
    CHECK(!take(&a, &token));
    CHECK(get(&a, "k") == NODE_FOUND);
    CHECK_TEXT(a.answer.value, "2");
    end(&a);
}

static void a_node_may_end_while_operations_wait(void) {
    struct asked a = begin(kit_node_config());
    uint64_t token = 0;
    put(&a, "k", "1");
    for (int i = 0; i < 3; i++) {
        CHECK(!ask(&a, OP_PUT, "k", SLICE("2"), naming(&a, own_actor(&a), 2)));
    }
    put(&a, "k", "2");
    CHECK(take(&a, &token));
    end(&a); /* and nothing leaks */
}

/* ---- Limits ---- */

static void no_more_than_so_many_operations_wait(void) {
    struct asked a = begin(kit_node_config());
    uint64_t token = 0;
    put(&a, "k", "1");
    for (int i = 0; i < PARKED_MAX; i++) {
        CHECK(!ask(&a, OP_GET, "k", NONE, naming(&a, own_actor(&a), 2)));
    }
    CHECK(status_of(&a, OP_GET, "k", "", naming(&a, own_actor(&a), 2)) == NODE_NOT_YET);
    CHECK(a.answer.missing.len > 0);
    CHECK_U64(node_parking(a.n)->count, PARKED_MAX);
    put(&a, "k", "2");
    for (int i = 0; i < PARKED_MAX; i++)
        CHECK(take(&a, &token));
    CHECK(!take(&a, &token));
    CHECK(!ask(&a, OP_GET, "k", NONE, naming(&a, own_actor(&a), 3)));
    end(&a);
}

static void how_many_wait_and_how_many_bytes_can_be_set(void) {
    struct node_config config = kit_node_config();
    config.parked = (struct op_limits){.ops_max = 2, .bytes_max = 9000};
    struct asked a = begin(config);
    char value[9000] = "";
    put(&a, "k", "1");
    CHECK(!ask(&a, OP_GET, "k", NONE, naming(&a, own_actor(&a), 2)));
    CHECK(ask(&a, OP_PUT, "k", (struct slice){value, sizeof value}, naming(&a, own_actor(&a), 2)));
    CHECK(a.answer.status == NODE_NOT_YET);
    CHECK(!ask(&a, OP_GET, "k", NONE, naming(&a, own_actor(&a), 2)));
    CHECK(ask(&a, OP_GET, "k", NONE, naming(&a, own_actor(&a), 2)));
    CHECK_U64(node_parking(a.n)->count, 2);
    CHECK_U64(node_parking(a.n)->refused, 2);
    end(&a);
}

/* Metadata of 60 KB that names a thousand actors that nobody knows. */
static struct buffer naming_many(void) {
    struct buffer text = {0};
    char entry[64];
    buffer_put(&text, SLICE("{\"maps\":[],\"time\":\"0000000000000000\",\"clock\":{"));
    for (unsigned i = 1; i <= 1000; i++) {
        snprintf(entry, sizeof entry, "%s\"this.is.a.long.name.of.a.node:8090#%016x\":7",
                 i == 1 ? "" : ",", i);
        buffer_put(&text, slice_of(entry));
    }
    buffer_put(&text, SLICE("}}"));
    return text;
}

/* They are asked for in vain with each write: that must cost little, or nothing else gets on. */
static void what_still_lacks_something_is_not_read_again(void) {
    struct asked a = begin(kit_node_config());
    struct buffer many = naming_many();
    uint64_t token = 0;
    put(&a, "k", "1");
    for (int i = 0; i < 100; i++)
        CHECK(!ask(&a, OP_GET, "k", NONE, buffer_slice(&many)));
    CHECK(!ask(&a, OP_GET, "k", NONE, naming(&a, own_actor(&a), 2)));
    uint64_t waits = a.token;
    put(&a, "k", "2");
    CHECK(take(&a, &token) && token == waits && a.answer.status == NODE_FOUND);
    CHECK(!take(&a, &token));
    buffer_free(&many);
    end(&a);
}

static void long_metadata_whose_time_is_up_is_read_again_by_and_by(void) {
    enum { COUNT = 100, MS_EACH = 4 };
    struct asked a = begin(kit_node_config());
    struct buffer many = naming_many();
    uint64_t token = 0, now_ms = KIT_NOW_MS + kit_node_config().park_ms;
    unsigned at_once = 0, answered;
    put(&a, "k", "1");
    for (int i = 0; i < COUNT; i++)
        CHECK(!ask(&a, OP_GET, "k", NONE, buffer_slice(&many)));
    node_set_time(a.n, now_ms, KIT_WALL_MS);
    while (take(&a, &token) && CHECK(a.answer.status == NODE_NOT_YET))
        at_once++;
    CHECK(at_once > 0 && at_once < 5);
    CHECK(node_deadline_ms(a.n) == now_ms + 1);
    for (answered = at_once; answered < COUNT && now_ms < KIT_NOW_MS + 10000;) {
        node_set_time(a.n, ++now_ms, KIT_WALL_MS);
        answered += take(&a, &token);
    }
    CHECK_U64(answered, COUNT);
    uint64_t took_ms = now_ms - KIT_NOW_MS - kit_node_config().park_ms;
    CHECK(took_ms > COUNT * MS_EACH / 2 && took_ms < COUNT * MS_EACH * 2);
    buffer_free(&many);
    end(&a);
}

static void no_more_than_so_many_bytes_wait(void) {
    struct asked a = begin(kit_node_config());
    size_t len = PARKED_BYTES_MAX / 8;
    char *value = calloc(1, len);
    put(&a, "k", "1");
    for (int i = 0; i < 7; i++) {
        CHECK(!ask(&a, OP_PUT, "k", (struct slice){value, len}, naming(&a, own_actor(&a), 2)));
    }
    CHECK(ask(&a, OP_PUT, "k", (struct slice){value, len}, naming(&a, own_actor(&a), 2)));
    CHECK(a.answer.status == NODE_NOT_YET);
    CHECK(!ask(&a, OP_PUT, "k", (struct slice){value, len / 2}, naming(&a, own_actor(&a), 2)));
    CHECK(node_parking(a.n)->bytes <= PARKED_BYTES_MAX);
    CHECK(node_parking(a.n)->bytes > 7 * (uint64_t)len);
    free(value);
    end(&a);
}

/* A node with room for about that many bytes of values. */
static struct asked begin_with_room(uint64_t bytes) {
    struct asked probe = begin(kit_node_config());
    struct node_config config = kit_node_config();
    config.memory_bytes_max = store_bytes(node_store(probe.n)) + bytes;
    end(&probe);
    return begin(config);
}

static enum node_status put_sized(struct asked *a, const char *key, size_t len) {
    static char bytes[20000];
    CHECK(ask(a, OP_PUT, key, (struct slice){bytes, len}, NONE));
    return a->answer.status;
}

static void over_the_memory_limit_only_growth_is_refused(void) {
    struct asked a = begin_with_room(15000);
    CHECK(put_sized(&a, "k", 10000) == NODE_CREATED);
    CHECK(put_sized(&a, "l", 10000) == NODE_MEMORY_LIMIT);
    CHECK(a.answer.metadata == NULL); /* what was asked */
    CHECK(get(&a, "l") == NODE_NO_KEY);
    CHECK(put_sized(&a, "l", 4000) == NODE_CREATED);
    CHECK(put_sized(&a, "m", 4000) == NODE_MEMORY_LIMIT);
    CHECK(put_sized(&a, "k", 10000) == NODE_REPLACED);
    CHECK(put_sized(&a, "k", 11000) == NODE_MEMORY_LIMIT);
    CHECK(get(&a, "k") == NODE_FOUND && a.answer.value.len == 10000);
    CHECK(put_sized(&a, "k", 9000) == NODE_REPLACED);
    CHECK(delete_of(&a, "l") == NODE_DELETED);
    CHECK(put_sized(&a, "m", 4000) == NODE_CREATED);
    CHECK(delete_of(&a, "k") == NODE_DELETED);
    CHECK(delete_of(&a, "m") == NODE_DELETED);
    end(&a);
}

/* Tombstones may take the store over its limit: deletes go on, and nothing else gets in. */
static void deletes_go_on_in_a_store_that_is_full(void) {
    struct asked a = begin_with_room(6000);
    int keys = 0;
    for (char key[16]; keys < 1000; keys++) {
        snprintf(key, sizeof key, "%d", keys);
        if (put(&a, key, "1") == NODE_MEMORY_LIMIT) break;
    }
    CHECK(keys > 20 && keys < 120);
    CHECK(put(&a, "0", "2") == NODE_REPLACED);
    for (int i = 0; i < keys; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        CHECK(delete_of(&a, key) == NODE_DELETED);
    }
    CHECK_U64(store_live(node_store(a.n)), 0);
    end(&a);
}

/* A tombstone keeps the foreign entries of its metadata and may be larger than the value was. */
static void a_delete_may_grow_a_store_that_is_full(void) {
    struct asked a = begin_with_room(1000);
    struct buffer metadata = {0};
    CHECK(put_sized(&a, "k", 1) == NODE_CREATED);
    CHECK(put_sized(&a, "l", 600) == NODE_CREATED);
    buffer_put(&metadata, SLICE("{\"maps\":[],\"time\":\"0000000000000000\",\"clock\":{"));
    for (uint64_t id = 0; id < 100; id++) {
        if (id > 0) buffer_put_char(&metadata, ',');
        buffer_put(&metadata, actors_get(node_actors(a.n), learn(&a, id, 4711))->member);
        buffer_put_char(&metadata, '1');
    }
    buffer_put(&metadata, SLICE("}}"));
    CHECK(status_of(&a, OP_PUT, "k", "2", buffer_slice(&metadata)) == NODE_MEMORY_LIMIT);
    CHECK(status_of(&a, OP_DELETE, "k", "", buffer_slice(&metadata)) == NODE_DELETED);
    CHECK(get(&a, "k") == NODE_NO_KEY);
    CHECK_U64(a.answer.metadata->clock.len, 101);
    CHECK(put_sized(&a, "m", 1) == NODE_MEMORY_LIMIT);
    CHECK(put_sized(&a, "l", 600) == NODE_REPLACED);
    buffer_free(&metadata);
    end(&a);
}

static void a_refused_write_leaves_no_gap_in_the_dots(void) {
    struct asked a = begin_with_room(1000);
    static char large[5000];
    CHECK(put(&a, "k", "1") == NODE_CREATED);
    uint64_t time = a.answer.metadata->time;
    for (int i = 0; i < 3; i++) {
        CHECK(ask(&a, OP_PUT, "k", (struct slice){large, sizeof large}, NONE));
        CHECK(a.answer.status == NODE_MEMORY_LIMIT && a.answer.metadata == NULL);
    }
    CHECK(put(&a, "k", "2") == NODE_REPLACED);
    CHECK_U64(vclock_get(&a.answer.metadata->clock, own_actor(&a)), 2);
    CHECK(a.answer.metadata->time > time);
    end(&a);
}

static void a_first_write_that_is_refused_leaves_no_gap_either(void) {
    struct asked a = begin_with_room(1000);
    static char large[5000];
    CHECK(ask(&a, OP_PUT, "k", (struct slice){large, sizeof large}, NONE));
    CHECK(a.answer.status == NODE_MEMORY_LIMIT);
    CHECK(put(&a, "k", "1") == NODE_CREATED);
    CHECK_U64(vclock_get(&a.answer.metadata->clock, own_actor(&a)), 1);
    end(&a);
}

/* ---- View and shards ---- */

static void the_view_starts_with_all_and_loses_the_unheard(void) {
    struct asked a = begin(kit_cluster_config(3, 0));
    struct address second = kit_address("10.0.0.2:8090"), stranger = kit_address("alice:1");
    CHECK_U64(peers_listed_count(node_view(a.n)), 3);
    CHECK(node_view_add(a.n, &second) == PEERS_ALREADY_PRESENT);
    kit_pass(a.n, KIT_NOW_MS, KIT_NOW_MS + 500);
    CHECK(node_view_add(a.n, &stranger) == PEERS_ADDED);
    kit_pass(a.n, KIT_NOW_MS + 500, KIT_NOW_MS + PEER_UNHEARD_MS - 1);
    CHECK_U64(peers_listed_count(node_view(a.n)), 4);
    kit_pass(a.n, KIT_NOW_MS + PEER_UNHEARD_MS - 1, KIT_NOW_MS + PEER_UNHEARD_MS);
    CHECK_U64(peers_listed_count(node_view(a.n)), 2);
    CHECK(peers_lists(node_view(a.n), node_self(a.n)) && peers_lists(node_view(a.n), &stranger));
    kit_pass(a.n, KIT_NOW_MS + PEER_UNHEARD_MS, KIT_NOW_MS + 500 + PEER_UNHEARD_MS);
    CHECK_U64(peers_listed_count(node_view(a.n)), 1);
    CHECK_U64(node_view(a.n)->count, 3); /* what VIEW names is known for ever, others are not */
    end(&a);
}

static void the_nearest_deadline_is_the_one_of_all(void) {
    struct node_config config = kit_cluster_config(2, 0);
    config.park_ms = PEER_TICK_MS - 1;
    struct asked a = begin_unreached(config);
    put(&a, "k", "1");
    uint64_t now = KIT_READY_MS + PEER_TICK_MS;
    kit_pass(a.n, KIT_READY_MS, now);
    CHECK_U64(node_deadline_ms(a.n), now + PEER_TICK_MS);
    CHECK(!ask(&a, OP_GET, "k", NONE, naming(&a, own_actor(&a), 9)));
    CHECK_U64(node_deadline_ms(a.n), now + PEER_TICK_MS - 1);
    node_cancel(a.n, a.token);
    CHECK_U64(node_deadline_ms(a.n), now + PEER_TICK_MS);
    end(&a);
}

static void nodes_are_struck_off_but_never_the_last_member(void) {
    struct asked a = begin(kit_cluster_config(2, 0));
    struct address second = kit_address("10.0.0.2:8090");
    CHECK(node_view_remove(a.n, &second) == NODE_REMOVED);
    CHECK(node_view_remove(a.n, &second) == NODE_REMOVED_UNKNOWN);
    CHECK(node_view_remove(a.n, node_self(a.n)) == NODE_REMOVED_SELF);
    CHECK_U64(peers_listed_count(node_view(a.n)), 1);
    end(&a);
}

/* The keys of the shard of a slot; UINT64_MAX: nobody can say. */
static uint64_t count_of(struct asked *a, uint32_t slot) {
    uint64_t keys = UINT64_MAX;
    claim_clear(&a->claim);
    struct op op = {.kind = OP_COUNT, .claim = &a->claim, .slot = slot};
    CHECK(node_submit(a->n, ++a->token, &op, &a->answer) == NODE_ANSWERED);
    CHECK(a->answer.metadata == NULL && a->answer.kind == OP_COUNT);
    if (a->answer.status != NODE_FOUND) {
        CHECK(a->answer.status == NODE_CANNOT_FORWARD);
        return keys;
    }
    CHECK(slice_to_u64(a->answer.value, &keys));
    return keys;
}

static void keys_are_counted_live_and_by_shard(void) {
    struct node_config config = kit_cluster_config(4, 2);
    config.park_ms = 0;
    struct asked a = begin_unreached(config);
    uint64_t created = 0;
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%d", i);
        created += put(&a, key, "1") == NODE_CREATED;
    }
    CHECK_U64(count_of(&a, 0), created);
    CHECK_U64(count_of(&a, 2), created);
    CHECK_U64(count_of(&a, 1), UINT64_MAX);
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%d", i);
        if (delete_of(&a, key) == NODE_DELETED && --created % 7 == 0) {
            CHECK_U64(count_of(&a, 0), created);
        }
    }
    CHECK_U64(count_of(&a, 0), 0);
    end(&a);
}

static void slots_are_owned_by_the_shard_of_the_map(void) {
    struct asked a = begin(kit_cluster_config(4, 3));
    CHECK_U64(node_shard(a.n), 0);
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot++) {
        CHECK(node_owns_slot(a.n, slot) == (slot % 3 == 0));
    }
    end(&a);
}

static enum node_status joined(struct asked *a, uint32_t shard, const struct address *node) {
    struct answer answer;
    bool answered = node_add_member(a->n, 1, shard, node, &answer) == NODE_ANSWERED;
    return answered ? answer.status : NODE_CHANGE_STATUSES;
}

static void members_are_added_by_the_rules(void) {
    struct asked a = begin(kit_cluster_config(4, 2));
    struct address third = kit_address("10.0.0.3:8090"), second = kit_address("10.0.0.2:8090"),
                   stranger = kit_address("alice:1");
    CHECK(joined(&a, 0, &third) == NODE_JOINED);
    CHECK(joined(&a, 1, &third) == NODE_OTHER_SHARD);
    CHECK(joined(&a, 0, &second) == NODE_OTHER_SHARD);
    CHECK(joined(&a, 2, &third) == NODE_NO_SHARD);
    CHECK(joined(&a, 0, &stranger) == NODE_NOT_IN_VIEW);
    node_view_add(a.n, &stranger);
    CHECK(joined(&a, 0, &stranger) == NODE_CHANGE_STATUSES); /* waits for it to be heard */
    node_view_remove(a.n, &third);
    CHECK(joined(&a, 0, &third) == NODE_NOT_IN_VIEW);
    end(&a);
}

static void a_lone_node_is_too_few_for_any_reshard(void) {
    struct asked a = begin(kit_cluster_config(4, 2));
    struct answer answer;
    for (uint32_t count = 1; count <= SHARD_COUNT_MAX; count++) {
        CHECK(node_reshard(a.n, 1, count, &answer) == NODE_ANSWERED);
        CHECK(answer.status == NODE_TOO_FEW_NODES);
    }
    end(&a);
}

/* ---- Notes for the operator ---- */

static void the_view_as_it_changes_is_noted_once(void) {
    struct asked a = begin(kit_cluster_config(3, 0));
    struct address second = kit_address("10.0.0.2:8090"), stranger = kit_address("alice:1");
    CHECK_TEXT(node_take_notes(a.n), "");
    node_view_add(a.n, &second);
    node_view_remove(a.n, &stranger);
    node_view_remove(a.n, node_self(a.n));
    CHECK_TEXT(node_take_notes(a.n), ""); /* nothing has changed */
    node_view_add(a.n, &stranger);
    node_view_remove(a.n, &second);
    CHECK_TEXT(node_take_notes(a.n), "view: in, by request: alice:1\n"
                                     "view: out, by request: 10.0.0.2:8090\n");
    CHECK_TEXT(node_take_notes(a.n), "");
    kit_pass(a.n, KIT_NOW_MS, KIT_READY_MS);
    node_take_notes(a.n);
    kit_pass(a.n, KIT_READY_MS, KIT_NOW_MS + PEER_UNHEARD_MS + PEER_TICK_MS);
    struct slice notes = node_take_notes(a.n);
    CHECK(slice_equal(notes, SLICE("view: out, was not heard: 10.0.0.3:8090\n"
                                   "view: out, was not heard: alice:1\n")) ||
          slice_equal(notes, SLICE("view: out, was not heard: alice:1\n"
                                   "view: out, was not heard: 10.0.0.3:8090\n")));
    kit_pass(a.n, KIT_NOW_MS + PEER_UNHEARD_MS, KIT_NOW_MS + 2 * PEER_UNHEARD_MS);
    CHECK_TEXT(node_take_notes(a.n), "");
    end(&a);
}

static void the_memory_limit_is_noted_when_it_is_reached_and_not_each_time(void) {
    struct asked a = begin_with_room(2000);
    CHECK(put_sized(&a, "k", 1500) == NODE_CREATED);
    CHECK_TEXT(node_take_notes(a.n), "");
    for (int i = 0; i < 5; i++)
        CHECK(put_sized(&a, "l", 1500) == NODE_MEMORY_LIMIT);
    CHECK_TEXT(node_take_notes(a.n), "store: the memory limit is reached\n");
    for (int i = 0; i < 5; i++)
        CHECK(put_sized(&a, "l", 1500) == NODE_MEMORY_LIMIT);
    CHECK_TEXT(node_take_notes(a.n), "");
    CHECK(delete_of(&a, "k") == NODE_DELETED);
    CHECK(put_sized(&a, "l", 1500) == NODE_CREATED);
    CHECK(put_sized(&a, "m", 1500) == NODE_MEMORY_LIMIT);
    CHECK_TEXT(node_take_notes(a.n), "store: the memory limit is reached\n");
    end(&a);
}

static void notes_that_nobody_takes_do_not_pile_up(void) {
    struct asked a = begin(kit_node_config());
    struct address stranger = kit_address("alice:1");
    for (int i = 0; i < 5000; i++) {
        node_view_add(a.n, &stranger);
        node_view_remove(a.n, &stranger);
    }
    size_t len = node_take_notes(a.n).len;
    CHECK(len > 10000 && len < 100000);
    node_view_add(a.n, &stranger);
    CHECK_TEXT(node_take_notes(a.n), "view: in, by request: alice:1\n");
    end(&a);
}

/* ---- Everything at random ---- */

#define SESSION_KEYS 12

struct session {
    struct asked a;
    struct kit_random random;
    char values[SESSION_KEYS][24]; /* "" when there is none */
    struct buffer carried;         /* the metadata that this client carries */
    uint64_t writes, time;         /* of the last write */
};

static void check_write(struct session *s, uint64_t time_before) {
    uint32_t actor = own_actor(&s->a);
    const struct metadata *m = s->a.answer.metadata;
    CHECK_U64(vclock_get(&m->clock, actor), ++s->writes);
    CHECK(m->time > s->time && m->time > time_before);
    s->time = m->time;
}

static enum node_status expected(enum op_kind kind, bool exists) {
    switch (kind) {
    case OP_GET: return exists ? NODE_FOUND : NODE_NO_KEY;
    case OP_PUT: return exists ? NODE_REPLACED : NODE_CREATED;
    case OP_DELETE: return exists ? NODE_DELETED : NODE_NO_KEY;
    case OP_COUNT:
    case OP_LIST:
    case OP_KINDS: break;
    }
    return NODE_STATUSES;
}

/* The entry of the node's own actor, and the time, in the metadata carried. */
static uint64_t carried_entry(const struct session *s, uint64_t *time) {
    struct claim c = {0};
    struct json_reader r = json_reader_of(buffer_slice(&s->carried));
    if (s->carried.len > 0) node_read_claim(s->a.n, &c, &r);
    *time = c.metadata.time;
    uint64_t n =
        own_actor(&s->a) == ACTOR_NONE ? 0 : vclock_get(&c.metadata.clock, own_actor(&s->a));
    claim_free(&c);
    return n;
}

static void do_something(struct session *s, uint64_t step) {
    size_t k = (size_t)kit_below(&s->random, SESSION_KEYS);
    char key[8], value[24];
    uint64_t time_before, entry_before = carried_entry(s, &time_before);
    enum op_kind kind = (enum op_kind)kit_below(&s->random, OP_DELETE + 1);
    bool exists = s->values[k][0] != '\0';
    snprintf(key, sizeof key, "%zu", k);
    snprintf(value, sizeof value, "\"v%llu\"", (unsigned long long)step);
    CHECK(ask(&s->a, kind, key, slice_of(value), buffer_slice(&s->carried)));
    CHECK(s->a.answer.status == expected(kind, exists));
    if (s->a.answer.status == NODE_FOUND) CHECK_TEXT(s->a.answer.value, s->values[k]);
    bool writes = kind == OP_PUT || (kind == OP_DELETE && exists);
    if (kind == OP_PUT) memcpy(s->values[k], value, sizeof value);
    if (kind == OP_DELETE) s->values[k][0] = '\0';
    if (writes) check_write(s, time_before);
    buffer_free(&s->carried);
    s->carried = seen(&s->a);
    uint64_t time_after, entry_after = carried_entry(s, &time_after);
    CHECK(entry_after >= entry_before && time_after >= time_before);
}

static void a_random_session_sees_its_own_writes_with_rising_stamps(void) {
    struct session *s = calloc(1, sizeof *s);
    uint64_t now = KIT_NOW_MS, wall = KIT_WALL_MS;
    s->random = (struct kit_random){kit_seed()};
    s->a = begin(kit_node_config());
    for (uint64_t step = 0; step < 5000; step++) {
        kit_note("step %llu", (unsigned long long)step);
        if (kit_below(&s->random, 10) == 0) {
            wall += kit_below(&s->random, 2000) - 1000; /* to and fro */
            node_set_time(s->a.n, ++now, wall);
        }
        if (kit_below(&s->random, 20) == 0) s->carried.len = 0; /* another client */
        do_something(s, step);
    }
    CHECK_U64(node_parking(s->a.n)->total, 0);
    buffer_free(&s->carried);
    end(&s->a);
    free(s);
}

static uint64_t same_random(void) {
    return 0x0123456789abcdef;
}

static void the_same_inputs_give_the_same_outputs(void) {
    struct node_config config = kit_node_config();
    config.random64 = same_random;
    struct buffer texts[2] = {{0}, {0}};
    for (int run = 0; run < 2; run++) {
        struct kit_random random = {kit_seed()};
        struct asked a = begin(config);
        for (int i = 0; i < 200; i++) {
            char key[8];
            snprintf(key, sizeof key, "%d", (int)kit_below(&random, 5));
            CHECK(ask(&a, (enum op_kind)kit_below(&random, OP_DELETE + 1), key, SLICE("1"), NONE));
            struct buffer text = seen(&a);
            buffer_put(&texts[run], buffer_slice(&text));
            buffer_put_u64(&texts[run], (uint64_t)a.answer.status);
            buffer_free(&text);
        }
        end(&a);
    }
    CHECK_SLICE(buffer_slice(&texts[0]), buffer_slice(&texts[1]));
    buffer_free(&texts[0]);
    buffer_free(&texts[1]);
}

int main(void) {
    RUN(a_key_is_created_replaced_found_and_deleted);
    RUN(dots_are_counted_from_one_without_gaps);
    RUN(a_reader_is_told_the_dot_and_the_time_of_what_it_saw);
    RUN(a_404_tells_the_dot_of_the_tombstone);
    RUN(a_404_of_what_never_was_tells_what_was_asked_with);
    RUN(a_delete_of_nothing_writes_nothing);
    RUN(keys_of_other_shards_cannot_be_forwarded);
    RUN(stamps_follow_the_wall_clock);
    RUN(stamps_rise_while_the_wall_clock_stands_or_goes_back);
    RUN(a_stamp_is_greater_than_the_time_in_the_metadata);
    RUN(a_time_that_was_told_is_accepted_though_the_clock_was_set_back);
    RUN(reading_with_a_time_ahead_does_not_lose_it);
    RUN(what_was_seen_here_is_covered_here);
    RUN(an_unknown_map_is_named_as_missing);
    RUN(the_map_of_this_node_is_known);
    RUN(entries_of_other_groups_are_stored_and_handed_to_readers);
    RUN(a_write_tells_what_it_met_alone_and_in_a_group);
    RUN(a_read_of_a_later_write_is_held_back_until_it_comes);
    RUN(what_waits_too_long_is_told_what_is_missing);
    RUN(what_comes_together_with_the_deadline_still_counts);
    RUN(without_time_to_wait_the_answer_comes_at_once);
    RUN(a_write_that_waited_frees_those_that_wait_for_it);
    RUN(an_actor_learned_later_frees_those_that_name_it);
    RUN(an_actor_of_the_own_group_is_waited_for_though_known);
    RUN(what_an_operator_wants_to_know_is_noted_once);
    RUN(dependencies_hold_when_the_wall_clock_steps_back_meanwhile);
    RUN(answers_come_in_the_order_of_the_questions);
    RUN(what_was_cancelled_is_not_answered);
    RUN(a_cancelled_write_does_not_happen);
    RUN(a_node_may_end_while_operations_wait);
    RUN(no_more_than_so_many_operations_wait);
    RUN(how_many_wait_and_how_many_bytes_can_be_set);
    RUN(no_more_than_so_many_bytes_wait);
    RUN(what_still_lacks_something_is_not_read_again);
    RUN(long_metadata_whose_time_is_up_is_read_again_by_and_by);
    RUN(over_the_memory_limit_only_growth_is_refused);
    RUN(deletes_go_on_in_a_store_that_is_full);
    RUN(a_delete_may_grow_a_store_that_is_full);
    RUN(a_refused_write_leaves_no_gap_in_the_dots);
    RUN(a_first_write_that_is_refused_leaves_no_gap_either);
    RUN(the_view_starts_with_all_and_loses_the_unheard);
    RUN(the_nearest_deadline_is_the_one_of_all);
    RUN(nodes_are_struck_off_but_never_the_last_member);
    RUN(keys_are_counted_live_and_by_shard);
    RUN(slots_are_owned_by_the_shard_of_the_map);
    RUN(members_are_added_by_the_rules);
    RUN(a_lone_node_is_too_few_for_any_reshard);
    RUN(the_view_as_it_changes_is_noted_once);
    RUN(the_memory_limit_is_noted_when_it_is_reached_and_not_each_time);
    RUN(notes_that_nobody_takes_do_not_pile_up);
    RUN(a_random_session_sees_its_own_writes_with_rising_stamps);
    RUN(the_same_inputs_give_the_same_outputs);
    return kit_finish();
}
