/* Causal metadata: what a client may send, what is refused and where, and the packed form. */
#include "kit.h"

#include <stdio.h>

#include "../hlc.h"
#include "../metadata.h"

static struct guard guard;
static struct actors *actors;

/* Actors 0 to 5: two nodes, groups 100 and 200. */
#define ACTORS 6
#define A0     "10.0.0.1:8090#5f3a9c01d2e4b700"
#define A1     "10.0.0.1:8090#5f3a9c01d2e4b701"
#define A2     "10.0.0.1:8090#5f3a9c01d2e4b702"
#define A3     "alice:8090#5f3a9c01d2e4b703"
#define A5     "alice:8090#5f3a9c01d2e4b705"
#define OTHER  "bob:8090#0123456789abcdef" /* whom nobody here knows */

static void learn_actors(void) {
    struct address nodes[2] = {kit_address("10.0.0.1:8090"), kit_address("alice:8090")};
    actors = actors_create();
    for (uint64_t i = 0; i < ACTORS; i++) {
        actors_learn(actors, 0x5f3a9c01d2e4b700 + i, &nodes[i / 3], 1, i % 2 == 0 ? 100 : 200);
    }
}

/* Reads `text` as one value, from a copy that ends at a guard page. False: not JSON. */
static bool read_claim(struct claim *c, struct slice text) {
    struct slice copy = {guard_end(&guard, text), text.len};
    struct json_reader r = json_reader_of(copy);
    claim_read(c, &r, actors, hlc_latest_acceptable(0, KIT_WALL_MS));
    return json_finish(&r);
}

#define TIME_0 "\"time\":\"0000000000000000\""

/* ---- What is understood ---- */

static void nothing_null_and_empty_claim_nothing(void) {
    static const char *const cases[] = {"null", "\"\"", "{}", " { } ", " null "};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct claim c = {0};
        kit_note("%s", cases[i]);
        CHECK(read_claim(&c, slice_of(cases[i])));
        CHECK(c.form == CLAIM_GOOD);
        CHECK(c.metadata.time == 0 && c.metadata.clock.len == 0 && c.metadata.maps_len == 0);
        CHECK(c.unknown.len == 0 && c.text.len == 0);
        claim_free(&c);
    }
}

static void all_members_are_read(void) {
    struct claim c = {0};
    CHECK(read_claim(&c, SLICE("{\"maps\":[\"2.9f3c01d2\",\"4294967295.00000000\"],"
                               "\"time\":\"018f3a9c01d2e4b7\","
                               "\"clock\":{\"" A0 "\":17,\"" A3 "\":9007199254740992}}")));
    CHECK(c.form == CLAIM_GOOD);
    CHECK_U64(c.metadata.time, 0x018f3a9c01d2e4b7);
    CHECK_U64(c.metadata.maps_len, 2);
    CHECK(c.metadata.maps[0].epoch == 2 && c.metadata.maps[0].id == 0x9f3c01d2);
    CHECK(c.metadata.maps[1].epoch == UINT32_MAX && c.metadata.maps[1].id == 0);
    CHECK_U64(c.metadata.clock.len, 2);
    CHECK_U64(vclock_get(&c.metadata.clock, 0), 17);
    CHECK_U64(vclock_get(&c.metadata.clock, 3), (uint64_t)1 << 53);
    claim_free(&c);
}

static void space_order_and_escapes_do_not_matter(void) {
    static const char *const cases[] = {
        "{\"clock\":{\"" A2 "\":3,\"" A0
        "\":1},\"maps\":[\"1.00000001\"],\"time\":\"00000000000000ff\"}",
        " { \"clock\" : { \"" A0 "\" : 1 , \"" A2 "\" : 3 } , \"time\" : \"00000000000000ff\" ,"
        " \"maps\" : [ \"1.00000001\" ] } ",
        "{\"\\u006daps\":[\"\\u0031.00000001\"],\"t\\u0069me\":\"00000000000000\\u0066f\","
        "\"cl\\u006Fck\":{\"10.0.0.1:8090\\u00235f3a9c01d2e4b700\":1,\"" A2 "\":3}}",
        "{\"maps\":[\"1.00000001\",\"1.00000001\"],\"time\":\"00000000000000ff\","
        "\"clock\":{\"" A0 "\":1,\"" A2 "\": 3}}",
        "{\"maps\":[\"1.00000001\"],\"time\":\"00000000000000ff\",\"clock\":{\"" A0 "\":1, \"" A2
        "\":3}}",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct claim c = {0};
        struct buffer out = {0};
        kit_note("%zu", i);
        CHECK(read_claim(&c, slice_of(cases[i])) && c.form == CLAIM_GOOD);
        metadata_put(&out, &c.metadata, actors);
        CHECK_TEXT(buffer_slice(&out), "{\"maps\":[\"1.00000001\"],\"time\":\"00000000000000ff\","
                                       "\"clock\":{\"" A0 "\":1,\"" A2 "\":3}}");
        buffer_free(&out);
        claim_free(&c);
    }
}

static void of_equal_names_the_last_counts(void) {
    struct claim c = {0};
    CHECK(read_claim(&c, SLICE("{\"maps\":[\"1.00000001\"],\"maps\":[\"2.00000002\"],"
                               "\"time\":\"00000000000000ff\"," TIME_0 ",\"clock\":{\"" OTHER
                               "\":1,\"" A0 "\":7},"
                               "\"clock\":{\"" A1 "\":5,\"" A1 "\":3}}")));
    CHECK(c.form == CLAIM_GOOD);
    CHECK_U64(c.unknown.len, 0);
    CHECK_U64(c.metadata.time, 0);
    CHECK(c.metadata.maps_len == 1 && c.metadata.maps[0].epoch == 2);
    CHECK_U64(c.metadata.clock.len, 1);
    CHECK_U64(vclock_get(&c.metadata.clock, 1), 3);
    claim_free(&c);
}

static void unknown_actors_are_named_and_known_ones_kept(void) {
    struct claim c = {0};
    CHECK(read_claim(&c,
                     SLICE("{\"maps\":[]," TIME_0 ",\"clock\":{\"" A0 "\":1,\"" OTHER "\":12,\"" A1
                           "\":2,\"10.9.9.9:1#ffffffffffffffff\":1,\"" A5 "\":3}}")));
    CHECK(c.form == CLAIM_UNKNOWN);
    CHECK_TEXT(buffer_slice(&c.unknown), "\"" OTHER ":12\",\"10.9.9.9:1#ffffffffffffffff:1\"");
    CHECK_U64(c.metadata.clock.len, 3);
    CHECK_U64(vclock_get(&c.metadata.clock, 1), 2);
    CHECK_U64(vclock_get(&c.metadata.clock, 5), 3);
    claim_free(&c);
}

static void a_claim_used_again_forgets_the_one_before(void) {
    struct claim c = {0};
    CHECK(read_claim(&c, SLICE("{\"maps\":[\"1.00000001\"],\"time\":\"00000000000000ff\",\"clock\":"
                               "{\"" A0 "\":1,\"" OTHER "\":1}}")));
    CHECK(c.form == CLAIM_UNKNOWN);
    CHECK(read_claim(&c, SLICE("[]")) && c.form == CLAIM_BAD);
    CHECK(read_claim(&c, SLICE("null")) && c.form == CLAIM_GOOD);
    CHECK(c.metadata.time == 0 && c.metadata.clock.len == 0 && c.metadata.maps_len == 0);
    CHECK(c.unknown.len == 0);
    CHECK_U64(c.text.len, 0);
    CHECK(read_claim(&c, SLICE("{\"maps\":[]," TIME_0 ",\"clock\":{}}")));
    CHECK_TEXT(c.text, "{\"maps\":[]," TIME_0 ",\"clock\":{}}");
    claim_clear(&c);
    CHECK(c.text.len == 0 && c.form == CLAIM_GOOD);
    claim_free(&c);
}

/* ---- What is refused ---- */

static void metadata_of_another_form_is_refused_with_its_place(void) {
#define CLOCK "\"clock\":{}"
    static const struct {
        const char *text;
        size_t offset;
    } cases[] = {
        {"1", 0},
        {"true", 0},
        {"[]", 0},
        {"\"x\"", 3},
        {"{\"a\":1}", 5},
        {"{\"maps\":[]}", 11},
        {"{\"maps\":[]," TIME_0 "}", 37},
        {"{" CLOCK "}", 12},
        {"{\"maps\":{}}", 8},
        {"{\"maps\":null}", 8},
        {"{\"maps\":[1]}", 9},
        {"{\"maps\":[\"1\"]}", 12},
        {"{\"maps\":[\"1.0000000\"]}", 20},
        {"{\"maps\":[\"1.000000001\"]}", 22},
        {"{\"maps\":[\"1.0000000G\"]}", 21},
        {"{\"maps\":[\"1.ABCDEF00\"]}", 21},
        {"{\"maps\":[\".00000000\"]}", 20},
        {"{\"maps\":[\"0.00000000\"]}", 21},
        {"{\"maps\":[\"4294967296.00000000\"]}", 30},
        {"{\"maps\":[\"-1.00000000\"]}", 22},
        {"{\"time\":0}", 8},
        {"{\"time\":\"\"}", 10},
        {"{\"time\":\"000000000000000\"}", 25},
        {"{\"time\":\"00000000000000000\"}", 27},
        {"{\"time\":\"000000000000000F\"}", 26},
        {"{\"time\":\"ffffffffffffffff\"}", 26},
        {"{\"clock\":[]}", 9},
        {"{\"clock\":{\"x\":1}}", 14},
        {"{\"clock\":{\"" A0 "\":0}}", 44},
        {"{\"clock\":{\"" A0 "\":9007199254740993}}", 59},
        {"{\"clock\":{\"" A0 "\":-1}}", 43},
        {"{\"clock\":{\"" A0 "\":1.0}}", 43},
        {"{\"clock\":{\"" A0 "\":\"1\"}}", 43},
        {"{\"clock\":{\"" A0 "\": 0}}", 45},
        {"{\"clock\":{\"" A1 "\":0}}", 44},
        {"{\"clock\":{\"" OTHER "\":0}}", 39},
        {"{\"clock\":{\"bob#0123456789abcdef\":1}}", 33},
        {"{\"clock\":{\"bob:0#0123456789abcdef\":1}}", 35},
        {"{\"clock\":{\"bob:1#0123456789ABCDEF\":1}}", 35},
        {"{\"clock\":{\"#0123456789abcdef\":1}}", 30},
        {"{\"clock\":{\"0123456789abcdef\":1}}", 29},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct claim c = {0};
        kit_note("%s", cases[i].text);
        CHECK(read_claim(&c, slice_of(cases[i].text)));
        if (CHECK(c.form == CLAIM_BAD)) {
            CHECK(c.error != NULL && strlen(c.error) > 5);
            CHECK_U64(c.error_offset, cases[i].offset);
        }
        CHECK_TEXT(c.text, cases[i].text);
        claim_free(&c);
    }
}

/* The label of an actor is quoted in answers: nothing that needs an escape may pass for one. */
static void no_label_needs_an_escape(void) {
    for (int c = 1; c < 256; c++) {
        char text[128];
        struct claim claim = {0};
        snprintf(text, sizeof text,
                 "{\"maps\":[]," TIME_0 ",\"clock\":{\"b\\u00%02xb:1#0123456789abcdef\":1}}", c);
        kit_note("%s", text);
        CHECK(read_claim(&claim, slice_of(text)));
        bool plain = c >= 0x2d && c < 0x7f && c != '\\' && c != '"';
        if (claim.form != CLAIM_BAD) CHECK(plain);
        claim_free(&claim);
    }
}

static void time_may_be_as_late_as_the_caller_says_and_no_later(void) {
    uint64_t latest = hlc_latest_acceptable(0, KIT_WALL_MS);
    static const struct {
        int64_t behind;
        enum claim_form form;
    } cases[] = {{1 << 30, CLAIM_GOOD},
                 {1, CLAIM_GOOD},
                 {0, CLAIM_GOOD},
                 {-1, CLAIM_BAD},
                 {-(1 << 30), CLAIM_BAD}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[128];
        struct claim c = {0};
        snprintf(text, sizeof text, "{\"maps\":[],\"time\":\"%016llx\",\"clock\":{}}",
                 (unsigned long long)(latest - (uint64_t)cases[i].behind));
        kit_note("%s", text);
        CHECK(read_claim(&c, slice_of(text)));
        CHECK(c.form == cases[i].form);
        claim_free(&c);
    }
}

static void a_minute_ahead_is_acceptable_and_whatever_was_seen(void) {
    uint64_t latest = hlc_latest_acceptable(0, KIT_WALL_MS);
    CHECK_U64(latest >> HLC_COUNTER_BITS, KIT_WALL_MS + 60000);
    CHECK_U64((latest + 1) >> HLC_COUNTER_BITS, KIT_WALL_MS + 60001);
    CHECK_U64(hlc_latest_acceptable(latest - 1, KIT_WALL_MS), latest);
    CHECK_U64(hlc_latest_acceptable(latest + 1, KIT_WALL_MS), latest + 1);
}

static void there_may_be_256_maps_and_no_more(void) {
    for (unsigned maps = METADATA_MAPS_MAX - 1; maps <= METADATA_MAPS_MAX + 1; maps++) {
        struct buffer text = {0};
        struct claim c = {0};
        buffer_put(&text, SLICE("{" TIME_0 ",\"clock\":{},\"maps\":["));
        for (unsigned i = 0; i < maps; i++) {
            char item[32];
            snprintf(item, sizeof item, "%s\"%u.%08x\"", i == 0 ? "" : ",", i + 1, i);
            buffer_put(&text, slice_of(item));
        }
        buffer_put(&text, SLICE("]}"));
        kit_note("%u maps", maps);
        CHECK(read_claim(&c, buffer_slice(&text)));
        CHECK(c.form == (maps <= METADATA_MAPS_MAX ? CLAIM_GOOD : CLAIM_BAD));
        if (c.form == CLAIM_GOOD) CHECK_U64(c.metadata.maps_len, maps);
        buffer_free(&text);
        claim_free(&c);
    }
}

static void put_sized(struct buffer *text, size_t bytes) {
    size_t from = text->len;
    buffer_put(text, SLICE("{\"maps\":[]," TIME_0 ",\"clock\":{\"" A0 "\":1"));
    while (text->len - from < bytes - 2)
        buffer_put_char(text, ' ');
    buffer_put(text, SLICE("}}"));
}

static void metadata_may_be_64_kib_and_no_more(void) {
    for (size_t bytes = METADATA_BYTES_MAX - 1; bytes <= METADATA_BYTES_MAX + 3; bytes++) {
        struct buffer text = {0};
        struct claim c = {0};
        put_sized(&text, bytes);
        kit_note("%zu bytes", bytes);
        CHECK(read_claim(&c, buffer_slice(&text)));
        CHECK(c.form == (bytes <= METADATA_BYTES_MAX ? CLAIM_GOOD : CLAIM_BAD));
        if (c.form == CLAIM_BAD) CHECK_TEXT(slice_of(c.error), "larger than 64 KiB");
        buffer_free(&text);
        claim_free(&c);
    }
}

static void a_large_body_around_small_metadata_does_no_harm(void) {
    for (int spaces = 0; spaces < 3; spaces++) {
        struct buffer text = {0};
        struct claim c = {0};
        struct slice value = {0};
        buffer_put(&text, SLICE("["));
        for (int i = 0; i < spaces * 40000; i++)
            buffer_put_char(&text, ' ');
        put_sized(&text, METADATA_BYTES_MAX);
        buffer_put(&text, SLICE(",["));
        for (int i = 0; i < 50000; i++)
            buffer_put(&text, SLICE("1,"));
        buffer_put(&text, SLICE("2]]"));
        struct json_reader r = json_reader_of(buffer_slice(&text));
        CHECK(json_enter_array(&r) && json_next_item(&r));
        claim_read(&c, &r, actors, hlc_latest_acceptable(0, KIT_WALL_MS));
        CHECK(c.form == CLAIM_GOOD);
        CHECK_U64(vclock_get(&c.metadata.clock, 0), 1);
        CHECK(json_next_item(&r) && json_read_value(&r, &value));
        CHECK_U64(value.len, 100003);
        CHECK(!json_next_item(&r) && json_finish(&r));
        buffer_free(&text);
        claim_free(&c);
    }
}

/* ---- In the middle of a body ---- */

static void reading_goes_on_behind_a_bad_claim(void) {
    static const char *const claims[] = {"5", "{\"a\":[1,{}]}", "[1,2]", "\"x\"",
                                         "{\"clock\":{\"" A0 "\":0}}"};
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++) {
        struct buffer text = {0};
        struct claim c = {0};
        struct slice name;
        uint64_t n = 0;
        buffer_put(&text, SLICE("{\"m\" : "));
        buffer_put(&text, slice_of(claims[i]));
        buffer_put(&text, SLICE(" , \"v\":8}"));
        struct json_reader r = json_reader_of(buffer_slice(&text));
        kit_note("%s", claims[i]);
        CHECK(json_enter_object(&r) && json_next_member(&r, &name));
        claim_read(&c, &r, actors, hlc_latest_acceptable(0, KIT_WALL_MS));
        CHECK(c.form == CLAIM_BAD && c.error_offset >= 7);
        CHECK_TEXT(c.text, claims[i]);
        CHECK(json_next_member(&r, &name) && json_read_u64(&r, &n) && n == 8);
        CHECK(!json_next_member(&r, &name) && json_finish(&r));
        buffer_free(&text);
        claim_free(&c);
    }
}

static const char WHOLE[] = "{\"maps\":[\"2.9f3c01d2\",\"3.00000000\"],"
                            "\"time\":\"018f3a9c01d2e4b7\",\"clock\":{\"" A0 "\":17,\"" A1
                            "\":5,\"" A3 "\":2,\"" OTHER "\":3,\"" A5 "\":1}}";

static void every_truncation_is_a_mistake_of_the_json(void) {
    for (size_t len = 0; len < sizeof WHOLE - 1; len++) {
        struct claim c = {0};
        kit_note("%zu bytes", len);
        CHECK(!read_claim(&c, (struct slice){WHOLE, len}));
        claim_free(&c);
    }
    struct claim c = {0};
    CHECK(read_claim(&c, slice_of(WHOLE)) && c.form == CLAIM_UNKNOWN);
    claim_free(&c);
}

/* Whatever one byte is changed to: either it is refused, or what was read is written and read
 * again as the same. */
static void a_changed_byte_is_refused_or_means_what_it_says(void) {
    for (size_t at = 0; at < sizeof WHOLE - 1; at++) {
        for (int byte = 0; byte < 256; byte++) {
            char text[sizeof WHOLE];
            struct claim c = {0}, again = {0};
            struct buffer out = {0}, twice = {0};
            memcpy(text, WHOLE, sizeof WHOLE);
            text[at] = (char)byte;
            bool json = read_claim(&c, (struct slice){text, sizeof WHOLE - 1});
            if (json && c.form != CLAIM_BAD) {
                kit_note("byte %d at %zu", byte, at);
                metadata_put(&out, &c.metadata, actors);
                CHECK(read_claim(&again, buffer_slice(&out)) && again.form == CLAIM_GOOD);
                metadata_put(&twice, &again.metadata, actors);
                CHECK_SLICE(buffer_slice(&twice), buffer_slice(&out));
            }
            claim_free(&c);
            claim_free(&again);
            buffer_free(&out);
            buffer_free(&twice);
        }
    }
}

/* ---- There and back ---- */

static void fill_random(struct metadata *m, struct kit_random *random) {
    m->time = kit_below(random, (uint64_t)KIT_WALL_MS << HLC_COUNTER_BITS);
    for (uint64_t left = kit_below(random, 5); left > 0; left--) {
        metadata_add_map(
            m, (struct map_ref){1 + (uint32_t)kit_below(random, 3), (uint32_t)kit_next(random)});
    }
    for (uint32_t actor = 0; actor < ACTORS; actor++) {
        uint64_t n = 1 + kit_below(random, (uint64_t)1 << kit_below(random, 54));
        if (kit_below(random, 2) != 0) vclock_set(&m->clock, (struct dot){actor, n});
    }
}

static bool same_metadata(const struct metadata *a, const struct metadata *b) {
    if (a->time != b->time || a->maps_len != b->maps_len || a->clock.len != b->clock.len) {
        return false;
    }
    for (uint32_t i = 0; i < a->maps_len; i++) {
        if (a->maps[i].epoch != b->maps[i].epoch || a->maps[i].id != b->maps[i].id) return false;
    }
    for (uint32_t actor = 0; actor < ACTORS; actor++) {
        if (vclock_get(&a->clock, actor) != vclock_get(&b->clock, actor)) return false;
    }
    return true;
}

static void what_is_written_is_read_as_the_same(void) {
    struct kit_random random = {kit_seed()};
    for (int round = 0; round < 3000; round++) {
        struct metadata m = {0};
        struct buffer out = {0};
        struct claim c = {0};
        fill_random(&m, &random);
        metadata_put(&out, &m, actors);
        kit_note("round %d", round);
        CHECK(read_claim(&c, buffer_slice(&out)) && c.form == CLAIM_GOOD);
        CHECK(same_metadata(&c.metadata, &m));
        metadata_free(&m);
        buffer_free(&out);
        claim_free(&c);
    }
}

static void empty_metadata_is_written_in_full(void) {
    struct metadata m = {0};
    struct buffer out = {0};
    metadata_put(&out, &m, actors);
    CHECK_TEXT(buffer_slice(&out), "{\"maps\":[],\"time\":\"0000000000000000\",\"clock\":{}}");
    buffer_free(&out);
    metadata_free(&m);
}

static void missing_things_are_named_in_a_list(void) {
    struct buffer items = {0};
    metadata_put_missing(&items, SLICE(A0), 5);
    metadata_put_missing_map(&items, (struct map_ref){2, 0xab});
    metadata_put_missing(&items, SLICE(OTHER), 1);
    CHECK_TEXT(buffer_slice(&items), "\"" A0 ":5\",\"map 2.000000ab\",\"" OTHER ":1\"");
    buffer_free(&items);
}

/* ---- The packed form ---- */

static void a_version_keeps_maps_and_all_entries_but_its_own(void) {
    struct kit_random random = {kit_seed()};
    for (int round = 0; round < 2000; round++) {
        struct metadata m = {0}, back = {0}, want = {0};
        struct buffer packed = {0};
        uint32_t author = (uint32_t)kit_below(&random, ACTORS);
        fill_random(&m, &random);
        for (uint32_t i = 0; i < m.maps_len; i++)
            metadata_add_map(&want, m.maps[i]);
        for (uint32_t i = 0; i < m.clock.len; i++) {
            if (m.clock.dots[i].actor != author) vclock_set(&want.clock, m.clock.dots[i]);
        }
        buffer_put(&packed, SLICE("before"));
        metadata_pack(&packed, &m, author);
        struct slice form = {packed.at + 6, packed.len - 6};
        kit_note("round %d", round);
        CHECK((form.len == 0) == (want.maps_len == 0 && want.clock.len == 0));
        metadata_join_packed(&back, (struct slice){guard_end(&guard, form), form.len});
        CHECK(same_metadata(&back, &want));
        metadata_join_packed(&back, (struct slice){guard_end(&guard, form), form.len});
        CHECK(same_metadata(&back, &want));
        metadata_free(&m);
        metadata_free(&back);
        metadata_free(&want);
        buffer_free(&packed);
    }
}

static void joining_raises_and_never_lowers(void) {
    struct metadata m = {0}, reader = {0};
    struct buffer packed = {0};
    vclock_set(&m.clock, (struct dot){1, 5});
    vclock_set(&m.clock, (struct dot){3, 5});
    metadata_pack(&packed, &m, 0);
    reader.time = 9;
    vclock_set(&reader.clock, (struct dot){1, 7});
    vclock_set(&reader.clock, (struct dot){3, 2});
    vclock_set(&reader.clock, (struct dot){0, 1});
    metadata_join_packed(&reader, buffer_slice(&packed));
    CHECK_U64(vclock_get(&reader.clock, 0), 1);
    CHECK_U64(vclock_get(&reader.clock, 1), 7);
    CHECK_U64(vclock_get(&reader.clock, 3), 5);
    CHECK_U64(reader.time, 9);
    metadata_free(&m);
    metadata_free(&reader);
    buffer_free(&packed);
}

/* The store counts packed bytes in 16 bits. */
static void the_packed_form_of_the_largest_metadata_fits_a_version(void) {
    size_t shortest_entry = sizeof ",\"a:1#0123456789abcdef\":1" - 1;
    size_t entries = METADATA_BYTES_MAX / shortest_entry;
    size_t shortest_map = sizeof ",\"1.00000000\"" - 1;
    CHECK(2 + entries * 12 + METADATA_MAPS_MAX * sizeof(struct map_ref) <= UINT16_MAX);
    CHECK(METADATA_MAPS_MAX * shortest_map < METADATA_BYTES_MAX);
}

int main(void) {
    guard = guard_create();
    learn_actors();
    RUN(nothing_null_and_empty_claim_nothing);
    RUN(all_members_are_read);
    RUN(space_order_and_escapes_do_not_matter);
    RUN(of_equal_names_the_last_counts);
    RUN(unknown_actors_are_named_and_known_ones_kept);
    RUN(a_claim_used_again_forgets_the_one_before);
    RUN(metadata_of_another_form_is_refused_with_its_place);
    RUN(no_label_needs_an_escape);
    RUN(time_may_be_as_late_as_the_caller_says_and_no_later);
    RUN(a_minute_ahead_is_acceptable_and_whatever_was_seen);
    RUN(there_may_be_256_maps_and_no_more);
    RUN(metadata_may_be_64_kib_and_no_more);
    RUN(a_large_body_around_small_metadata_does_no_harm);
    RUN(reading_goes_on_behind_a_bad_claim);
    RUN(every_truncation_is_a_mistake_of_the_json);
    RUN(a_changed_byte_is_refused_or_means_what_it_says);
    RUN(what_is_written_is_read_as_the_same);
    RUN(empty_metadata_is_written_in_full);
    RUN(missing_things_are_named_in_a_list);
    RUN(a_version_keeps_maps_and_all_entries_but_its_own);
    RUN(joining_raises_and_never_lowers);
    RUN(the_packed_form_of_the_largest_metadata_fits_a_version);
    actors_free(actors);
    guard_free(&guard);
    return kit_finish();
}
