/* GET /kvs: order, paging, and what happens between its pieces. */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>

#include "../json.h"
#include "../listing.h"

/* ---- A node with keys ---- */

static void change(struct node *n, enum op_kind kind, struct slice key, struct slice value) {
    struct claim claim = {0};
    struct answer answer;
    struct op op = {.kind = kind, .key = key, .value = value, .claim = &claim};
    enum node_taken taken = node_submit(n, 1, &op, &answer);
    uint64_t token;
    if (taken == NODE_UNDER_WAY && node_take_answer(n, &token, &answer)) taken = NODE_ANSWERED;
    CHECK(taken == NODE_ANSWERED);
    claim_free(&claim);
}

static void put(struct node *n, const char *key, const char *value) {
    change(n, OP_PUT, slice_of(key), slice_of(value));
}

static void delete_of(struct node *n, const char *key) {
    change(n, OP_DELETE, slice_of(key), (struct slice){0});
}

static struct node *node_with(uint32_t keys) {
    struct node_config config = kit_node_config();
    struct node *n = node_create(&config, KIT_NOW_MS, KIT_WALL_MS);
    for (uint32_t i = 0; i < keys; i++) {
        char key[16], value[16];
        snprintf(key, sizeof key, "k%u", i);
        snprintf(value, sizeof value, "%u", i);
        put(n, key, value);
    }
    return n;
}

/* ---- Reading a listing ---- */

#define PAIRS_MAX 4000

struct pair {
    char key[32], value[32];
};

struct page {
    struct pair pairs[PAIRS_MAX];
    size_t count;
    struct buffer next; /* unescaped; empty for null */
    bool complete;
    struct buffer unreachable; /* JSON */
};

static void page_free(struct page *p) {
    buffer_free(&p->next);
    buffer_free(&p->unreachable);
    free(p);
}

static void copy_text(char to[32], struct slice inside) {
    struct buffer plain = {0};
    json_unescape(inside, &plain);
    if (CHECK(plain.len < 32)) {
        memcpy(to, plain.at, plain.len);
        to[plain.len] = '\0';
    }
    buffer_free(&plain);
}

static void read_pairs(struct json_reader *r, struct page *p) {
    struct slice name, value;
    json_enter_object(r);
    while (json_next_member(r, &name)) {
        if (!json_read_value(r, &value) || !CHECK(p->count < PAIRS_MAX)) return;
        copy_text(p->pairs[p->count].key, name);
        if (CHECK(value.len < 32)) memcpy(p->pairs[p->count].value, value.at, value.len);
        p->count++;
    }
}

/* The members must be those of the contract in their order. */
static struct page *read_page(struct slice text) {
    struct page *p = calloc(1, sizeof *p);
    struct json_reader r = json_reader_of(text);
    struct slice inside, value;
    json_enter_object(&r);
    CHECK(json_guess_member(&r, SLICE("\"kvs\":")));
    read_pairs(&r, p);
    CHECK(json_guess_member(&r, SLICE("\"next\":")));
    if (json_peek(&r) == '"' && json_read_string(&r, &inside)) {
        json_unescape(inside, &p->next);
    } else if (json_read_value(&r, &value)) {
        CHECK_TEXT(value, "null");
    }
    CHECK(json_guess_member(&r, SLICE("\"complete\":")));
    if (json_read_value(&r, &value)) p->complete = slice_equal(value, SLICE("true"));
    CHECK(json_guess_member(&r, SLICE("\"unreachable\":")));
    if (json_read_value(&r, &value)) buffer_put(&p->unreachable, value);
    CHECK(!json_next_member(&r, &inside) && json_finish(&r));
    return p;
}

/* False: that was the end. */
static bool fill(struct listing *l, struct node *n, struct buffer *out, size_t enough) {
    enum listing_state state = listing_fill(l, n, out, enough);
    CHECK(state != LISTING_WAITS);
    return state == LISTING_MORE;
}

static struct buffer text_of(struct node *n, struct listing_query query, size_t enough) {
    struct listing *l = listing_create(&query, 1);
    struct buffer text = {0};
    for (bool more = true; more;) {
        struct buffer piece = {0};
        more = fill(l, n, &piece, enough);
        CHECK(piece.len > 0);
        if (more) CHECK(piece.len >= enough);
        buffer_put(&text, buffer_slice(&piece));
        buffer_free(&piece);
    }
    listing_free(l, n);
    return text;
}

static struct page *list(struct node *n, struct listing_query query) {
    struct buffer text = text_of(n, query, 1000);
    struct page *p = read_page(buffer_slice(&text));
    buffer_free(&text);
    return p;
}

static bool in_order(const char *a, const char *b) {
    uint32_t slot_a = shard_slot(slice_of(a)), slot_b = shard_slot(slice_of(b));
    return slot_a != slot_b ? slot_a < slot_b : slice_compare(slice_of(a), slice_of(b)) < 0;
}

static bool has(const struct page *p, const char *key) {
    for (size_t i = 0; i < p->count; i++) {
        if (strcmp(p->pairs[i].key, key) == 0) return true;
    }
    return false;
}

/* ---- Whole listings ---- */

static void an_empty_store_gives_an_empty_object(void) {
    struct node *n = node_with(0);
    struct buffer text = text_of(n, (struct listing_query){0}, 1);
    CHECK_TEXT(buffer_slice(&text),
               "{\"kvs\":{},\"next\":null,\"complete\":true,\"unreachable\":[]}");
    buffer_free(&text);
    put(n, "k", "1");
    delete_of(n, "k");
    text = text_of(n, (struct listing_query){0}, 1);
    CHECK_TEXT(buffer_slice(&text),
               "{\"kvs\":{},\"next\":null,\"complete\":true,\"unreachable\":[]}");
    buffer_free(&text);
    node_free(n);
}

static void every_live_pair_is_listed_once_in_order(void) {
    struct node *n = node_with(3000);
    for (uint32_t i = 0; i < 3000; i += 3) {
        char key[16];
        snprintf(key, sizeof key, "k%u", i);
        delete_of(n, key);
    }
    struct page *p = list(n, (struct listing_query){0});
    CHECK_U64(p->count, 2000);
    CHECK(p->complete && p->next.len == 0);
    for (size_t i = 0; i < p->count; i++) {
        uint64_t number = 0;
        CHECK(i == 0 || in_order(p->pairs[i - 1].key, p->pairs[i].key));
        CHECK(slice_to_u64(slice_of(p->pairs[i].key + 1), &number) && number % 3 != 0);
        CHECK_TEXT(slice_of(p->pairs[i].value), p->pairs[i].key + 1);
    }
    page_free(p);
    node_free(n);
}

static void the_text_is_the_same_for_every_size_of_pieces(void) {
    struct node *n = node_with(700);
    struct buffer whole = text_of(n, (struct listing_query){0}, SIZE_MAX);
    static const size_t sizes[] = {1, 2, 9, 10, 100, 4096};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct buffer text = text_of(n, (struct listing_query){0}, sizes[i]);
        kit_note("pieces of %zu", sizes[i]);
        CHECK_SLICE(buffer_slice(&text), buffer_slice(&whole));
        buffer_free(&text);
    }
    buffer_free(&whole);
    node_free(n);
}

static void keys_are_escaped_and_values_stand_as_they_came(void) {
    struct node *n = node_with(0);
    put(n, "a\"\\\n\x01/\xc3\xa4", "{ \"x\" : [1.0, \"\\u00e9\"] }");
    struct buffer text = text_of(n, (struct listing_query){0}, 1);
    CHECK_TEXT(buffer_slice(&text), "{\"kvs\":{\"a\\\"\\\\\\n\\u0001/\xc3\xa4\":"
                                    "{ \"x\" : [1.0, \"\\u00e9\"] }},\"next\":null,"
                                    "\"complete\":true,\"unreachable\":[]}");
    buffer_free(&text);
    struct page *p = list(n, (struct listing_query){.limit = 1});
    CHECK_U64(p->count, 1);
    page_free(p);
    node_free(n);
}

static void the_next_key_is_escaped(void) {
    struct node *n = node_with(0);
    put(n, "\"1", "1");
    put(n, "\"2", "2");
    struct page *p = list(n, (struct listing_query){.limit = 1});
    CHECK_TEXT(buffer_slice(&p->next), p->pairs[0].key);
    page_free(p);
    node_free(n);
}

/* ---- Queries ---- */

static void a_prefix_picks_the_keys_that_start_with_it(void) {
    struct node *n = node_with(300);
    put(n, "K1", "1");
    put(n, "1k", "1");
    static const struct {
        const char *prefix;
        size_t count;
    } cases[] = {{"k", 300}, {"k1", 111}, {"k10", 11}, {"k100", 1}, {"k1000", 0},
                 {"K", 1},   {"1k", 1},   {"", 302},   {"x", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct page *p = list(n, (struct listing_query){.prefix = slice_of(cases[i].prefix)});
        kit_note("prefix %s", cases[i].prefix);
        CHECK_U64(p->count, cases[i].count);
        for (size_t k = 0; k < p->count; k++) {
            CHECK(slice_starts_with(slice_of(p->pairs[k].key), slice_of(cases[i].prefix)));
        }
        page_free(p);
    }
    node_free(n);
}

/* All pages put together are the listing without a limit. */
static void check_paging(struct node *n, struct slice prefix, uint64_t limit) {
    struct page *whole = list(n, (struct listing_query){.prefix = prefix});
    struct buffer after = {0};
    size_t met = 0;
    bool more = true;
    for (size_t pages = 0; more && CHECK(pages <= whole->count); pages++) {
        struct page *p = list(n, (struct listing_query){prefix, buffer_slice(&after), limit});
        more = p->next.len > 0;
        CHECK(p->count == limit || !more);
        CHECK(p->count <= limit);
        for (size_t i = 0; i < p->count && CHECK(met < whole->count); i++, met++) {
            CHECK_TEXT(slice_of(p->pairs[i].key), whole->pairs[met].key);
            CHECK_TEXT(slice_of(p->pairs[i].value), whole->pairs[met].value);
        }
        after.len = 0;
        buffer_put(&after, buffer_slice(&p->next));
        page_free(p);
    }
    CHECK_U64(met, whole->count);
    buffer_free(&after);
    page_free(whole);
}

static void pages_put_together_are_the_whole(void) {
    struct node *n = node_with(1500);
    static const uint64_t limits[] = {1, 2, 7, 100, 499, 500, 1499, 1500, 1501, 10000};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        kit_note("limit %llu", (unsigned long long)limits[i]);
        check_paging(n, (struct slice){0}, limits[i]);
        check_paging(n, SLICE("k1"), limits[i]);
    }
    node_free(n);
}

static void a_limit_that_is_just_met_has_no_next(void) {
    struct node *n = node_with(10);
    for (uint64_t limit = 9; limit <= 11; limit++) {
        struct page *p = list(n, (struct listing_query){.limit = limit});
        CHECK_U64(p->count, limit < 10 ? limit : 10);
        CHECK((p->next.len > 0) == (limit < 10));
        if (p->next.len > 0) CHECK_TEXT(buffer_slice(&p->next), p->pairs[p->count - 1].key);
        page_free(p);
    }
    node_free(n);
}

static void a_listing_goes_on_behind_a_key_that_is_gone(void) {
    struct node *n = node_with(500);
    struct page *whole = list(n, (struct listing_query){0});
    for (size_t i = 0; i < whole->count; i += 37) {
        delete_of(n, whole->pairs[i].key);
        struct page *p = list(n, (struct listing_query){.after = slice_of(whole->pairs[i].key)});
        size_t gone = i / 37 + 1;
        CHECK_U64(p->count, whole->count - i - 1);
        if (p->count > 0) CHECK_TEXT(slice_of(p->pairs[0].key), whole->pairs[i + 1].key);
        page_free(p);
        CHECK_U64(store_tombstones(node_store(n)), gone);
    }
    page_free(whole);
    node_free(n);
}

/* ---- Between the pieces ---- */

/* Fills pieces of at least a byte, a pair each, and calls `between` after each. */
static struct page *list_slowly(struct node *n, void (*between)(struct node *n, uint32_t piece)) {
    struct listing *l = listing_create(&(struct listing_query){0}, 1);
    struct buffer text = {0};
    bool more = true;
    for (uint32_t piece = 0; more; piece++) {
        more = fill(l, n, &text, text.len + 1);
        between(n, piece);
    }
    listing_free(l, n);
    struct page *p = read_page(buffer_slice(&text));
    buffer_free(&text);
    return p;
}

/* Keys of one slot, which are gathered at once: the next is looked up when it is due. */
#define NEIGHBOURS 8
static char neighbours[NEIGHBOURS][16];

static struct node *node_with_neighbours(void) {
    struct node *n = node_with(0);
    int found = 0;
    for (unsigned i = 0; found < NEIGHBOURS; i++) {
        snprintf(neighbours[found], sizeof neighbours[found], "%u", 100000 + i);
        if (shard_slot(slice_of(neighbours[found])) != 77) continue;
        put(n, neighbours[found], neighbours[found]);
        found++;
    }
    return n;
}

static void delete_at_piece_3(struct node *n, uint32_t piece) {
    if (piece != 3) return; /* the first piece is the head */
    delete_of(n, neighbours[0]);
    delete_of(n, neighbours[5]);
    delete_of(n, neighbours[7]);
}

static void what_is_deleted_meanwhile_is_not_listed(void) {
    static const int listed[] = {0, 1, 2, 3, 4, 6};
    struct node *n = node_with_neighbours();
    struct page *p = list_slowly(n, delete_at_piece_3);
    CHECK_U64(p->count, sizeof listed / sizeof *listed);
    for (size_t i = 0; i < p->count; i++) {
        CHECK_TEXT(slice_of(p->pairs[i].key), neighbours[listed[i]]);
    }
    page_free(p);
    node_free(n);
}

static void delete_all_at_piece_3(struct node *n, uint32_t piece) {
    for (int i = 0; i < NEIGHBOURS && piece == 3; i++)
        delete_of(n, neighbours[i]);
}

static void a_listing_ends_where_all_the_rest_was_deleted(void) {
    struct node *n = node_with_neighbours();
    struct page *p = list_slowly(n, delete_all_at_piece_3);
    CHECK_U64(p->count, 3);
    CHECK_U64(p->next.len, 0);
    page_free(p);
    node_free(n);
}

static void replace_all_at_piece_3(struct node *n, uint32_t piece) {
    for (int i = 0; i < NEIGHBOURS && piece == 3; i++) {
        put(n, neighbours[i], "\"a longer value than before\"");
    }
}

static void what_is_replaced_meanwhile_is_listed_as_it_is_then(void) {
    struct node *n = node_with_neighbours();
    struct page *p = list_slowly(n, replace_all_at_piece_3);
    CHECK_U64(p->count, NEIGHBOURS);
    for (size_t i = 0; i < p->count; i++) {
        CHECK_TEXT(slice_of(p->pairs[i].key), neighbours[i]);
        CHECK_TEXT(slice_of(p->pairs[i].value),
                   i < 3 ? neighbours[i] : "\"a longer value than before\"");
    }
    page_free(p);
    node_free(n);
}

/* k0 to k199 stand still; the others come and go. */
static void churn(struct node *n, uint32_t piece) {
    struct kit_random random = {kit_seed() + piece};
    for (int i = 0; i < 5; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", 200 + (unsigned)kit_below(&random, 300));
        if (kit_below(&random, 2) == 0) {
            delete_of(n, key);
        } else {
            put(n, key, "1");
        }
    }
}

static void what_stands_still_is_listed_exactly_once_whatever_else_changes(void) {
    struct node *n = node_with(350);
    struct page *p = list_slowly(n, churn);
    for (size_t i = 1; i < p->count; i++) {
        CHECK(in_order(p->pairs[i - 1].key, p->pairs[i].key));
    }
    for (uint32_t i = 0; i < 200; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", i);
        CHECK(has(p, key));
    }
    page_free(p);
    node_free(n);
}

static void a_listing_may_be_given_up(void) {
    struct node *n = node_with(100);
    struct buffer out = {0};
    struct listing *l = listing_create(&(struct listing_query){SLICE("k"), SLICE("k5"), 20}, 1);
    CHECK(fill(l, n, &out, 30));
    listing_free(l, n); /* and nothing leaks */
    l = listing_create(&(struct listing_query){0}, 1);
    listing_free(l, n);
    buffer_free(&out);
    node_free(n);
}

/* ---- Several shards ---- */

static void what_other_shards_hold_is_said_to_be_missing(void) {
    struct node_config config = kit_cluster_config(4, 3);
    config.park_ms = 0;
    struct node *n = node_create(&config, KIT_NOW_MS, KIT_WALL_MS);
    kit_pass_until_ready(n);
    for (uint32_t i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", i);
        put(n, key, "1");
    }
    struct page *p = list(n, (struct listing_query){0});
    CHECK_U64(p->count, store_live(node_store(n)));
    CHECK(!p->complete);
    CHECK_TEXT(buffer_slice(&p->unreachable), "[\"s1\",\"s2\"]");
    for (size_t i = 0; i < p->count; i++) {
        CHECK_U64(shard_slot(slice_of(p->pairs[i].key)) % 3, 0);
    }
    page_free(p);
    node_free(n);
}

int main(void) {
    RUN(an_empty_store_gives_an_empty_object);
    RUN(every_live_pair_is_listed_once_in_order);
    RUN(the_text_is_the_same_for_every_size_of_pieces);
    RUN(keys_are_escaped_and_values_stand_as_they_came);
    RUN(the_next_key_is_escaped);
    RUN(a_prefix_picks_the_keys_that_start_with_it);
    RUN(pages_put_together_are_the_whole);
    RUN(a_limit_that_is_just_met_has_no_next);
    RUN(a_listing_goes_on_behind_a_key_that_is_gone);
    RUN(what_is_deleted_meanwhile_is_not_listed);
    RUN(a_listing_ends_where_all_the_rest_was_deleted);
    RUN(what_is_replaced_meanwhile_is_listed_as_it_is_then);
    RUN(what_stands_still_is_listed_exactly_once_whatever_else_changes);
    RUN(a_listing_may_be_given_up);
    RUN(what_other_shards_hold_is_said_to_be_missing);
    return kit_finish();
}
