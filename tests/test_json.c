/* The JSON reader: what is accepted, where mistakes are seen, and strings there and back. */
#include "kit.h"

#include <stdlib.h>

#include "../json.h"
#include "../utf8.h"

static struct guard guard;

/* The whole text as one value, from a copy that ends at a guard page and one that starts at one.
 * Both must agree. */
static bool accepts(struct slice text) {
    struct slice value;
    struct json_reader r = json_reader_of((struct slice){guard_end(&guard, text), text.len});
    bool at_end = json_read_value(&r, &value) && json_finish(&r);
    struct json_reader again = json_reader_of((struct slice){guard_start(&guard, text), text.len});
    bool at_start = json_skip(&again) && json_finish(&again);
    CHECK(at_end == at_start);
    CHECK_U64(json_error_offset(&r), json_error_offset(&again));
    return at_end;
}

/* ---- Grammar ---- */

static const char *const GOOD[] = {
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-1",
    "10",
    "1.0",
    "0.5",
    "-0.0e-0",
    "1e5",
    "1E+5",
    "1e-05",
    "12345678901234567890",
    "1e999999",
    "0.1234567890123456789012345678901234567890",
    "\"\"",
    "\"a\"",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    "\"\\u0000\\u00e9\\uABCD\\uabcd\"",
    "\"\\ud83c\\udf0d\"",
    "\"\\uD83C\\uDF0D\"",
    "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x8c\x8d\x7f\"",
    "\"/\"",
    "[]",
    "[ ]",
    "{}",
    "{ }",
    "[[]]",
    "[[],[],{}]",
    "[1,2,3]",
    " [ 1 , \"two\" , null , true , [ ] ] ",
    "{\"a\":1}",
    "{\"a\":{\"b\":[{\"c\":null}]},\"d\":[]}",
    "{\"\":0}",
    "{\"a\":1,\"a\":2}",
    "\t\r\n {\t\"a\"\r:\n1 , \"b\" : [ 2 ] }\t",
    "\"0123456789012345678901234567890123456789\"",
    "\"0123456\\n\"",
    "\"01234567\\n89\xc3\xa4 0123456789\"",
};

static const char *const BAD[] = {
    "",
    " ",
    "nul",
    "nulll",
    "Null",
    "TRUE",
    "truefalse",
    "NaN",
    "Infinity",
    "-",
    "+1",
    "01",
    "-01",
    "00",
    "1.",
    ".5",
    "1.e5",
    "1e",
    "1e+",
    "0x10",
    "1_000",
    "- 1",
    "1 2",
    "--1",
    "1e5.5",
    "\"",
    "\"a",
    "\"\\\"",
    "\"\\",
    "\"\\x41\"",
    "\"\\'\"",
    "\"\\u\"",
    "\"\\u123\"",
    "\"\\u12g4\"",
    "\"\\U0041\"",
    "\"\\ud83c\"",
    "\"\\ud83cx\"",
    "\"\\ud83c\\n\"",
    "\"\\ud83c\\u0041\"",
    "\"\\ud83c\\ud83c\"",
    "\"\\udf0d\"",
    "\"\\udf0d\\ud83c\"",
    "\"\\ud83c\\udf0\"",
    "\"a\tb\"",
    "\"a\nb\"",
    "\"01234567\x1f\"",
    "\"\x01\"",
    "\"\x80\"",
    "\"\xc0\x80\"",
    "\"\xc3\"",
    "\"\xe2\x82\"",
    "\"\xed\xa0\x80\"",
    "\"\xf4\x90\x80\x80\"",
    "\"\xff\"",
    "\xef\xbb\xbf{}",
    "'a'",
    "a",
    "[",
    "]",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[,]",
    "[1,,2]",
    "[1 2]",
    "[1:2]",
    "[1}",
    "[\"a\"",
    "[[]",
    "[]]",
    "{",
    "}",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":1",
    "{\"a\":1,",
    "{\"a\":1,}",
    "{,\"a\":1}",
    "{\"a\"}",
    "{\"a\",1}",
    "{\"a\":}",
    "{\"a\" 1}",
    "{\"a\"::1}",
    "{a:1}",
    "{1:1}",
    "{\"a\":1 \"b\":2}",
    "{\"a\":1]",
    "{}{}",
    "{}x",
    "[]//",
    "/* */1",
    "[1]\v",
    "[1]\f",
    "\xc2\xa0 1",
};

static void values_of_the_grammar_are_accepted(void) {
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
        kit_note("%s", GOOD[i]);
        CHECK(accepts(slice_of(GOOD[i])));
    }
}

static void all_else_is_refused(void) {
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        kit_note("%zu: %s", i, BAD[i]);
        CHECK(!accepts(slice_of(BAD[i])));
    }
    CHECK(!accepts((struct slice){"\"a\0b\"", 5}));
    CHECK(!accepts((struct slice){"[1]\0", 4}));
    CHECK(!accepts((struct slice){"\0", 1}));
    CHECK(!accepts((struct slice){"\"\\\0\"", 4}));
}

static bool is_number_or_space(struct slice s) {
    for (size_t i = 0; i < s.len; i++) {
        if (strchr("0123456789-+.eE \t\r\n", s.at[i]) == NULL || s.at[i] == '\0') return false;
    }
    return true;
}

/* Cut anywhere, a value that ends by its own last byte is no value; a number may be. */
static void every_truncation_is_refused(void) {
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
        struct slice whole = slice_of(GOOD[i]);
        while (strchr(" \t\r\n", whole.at[whole.len - 1]) != NULL)
            whole.len--;
        for (size_t len = 0; len < whole.len; len++) {
            struct slice part = {whole.at, len};
            kit_note("%zu bytes of %s", len, GOOD[i]);
            bool accepted = accepts(part);
            if (!is_number_or_space(whole)) CHECK(!accepted);
        }
    }
}

/* Every byte in every place of a text that uses all of the grammar: nothing but a few bytes that
 * are as good may be put there. */
static void a_changed_byte_is_seen_or_harmless(void) {
    static const char text[] = "{\"a\":[-1.5e+2,true,null,\"b\\u00e9\"]}";
    size_t accepted = 0;
    for (size_t at = 0; at < sizeof text - 1; at++) {
        for (int c = 0; c < 256; c++) {
            char changed[sizeof text];
            memcpy(changed, text, sizeof text);
            changed[at] = (char)c;
            accepted += accepts((struct slice){changed, sizeof text - 1});
        }
    }
    /* Counted by an independent reader. */
    CHECK_U64(accepted, 471);
}

static void a_value_stands_as_it_was_without_the_space_around_it(void) {
    static const struct {
        const char *text, *value;
    } cases[] = {
        {" 1.0 ", "1.0"},
        {"\n12345678901234567890\n", "12345678901234567890"},
        {" \"a \\u0062 \" ", "\"a \\u0062 \""},
        {"\t{ \"a\" : [ 1 , 2 ] }\t", "{ \"a\" : [ 1 , 2 ] }"},
        {" null", "null"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json_reader r = json_reader_of(slice_of(cases[i].text));
        struct slice value = {0};
        CHECK(json_read_value(&r, &value));
        CHECK_TEXT(value, cases[i].value);
        CHECK(json_finish(&r));
    }
}

/* ---- Depth ---- */

static bool accepts_nested(const char *open, const char *inside, const char *close,
                           unsigned depth) {
    struct buffer text = {0};
    for (unsigned i = 0; i < depth; i++)
        buffer_put(&text, slice_of(open));
    buffer_put(&text, slice_of(inside));
    for (unsigned i = 0; i < depth; i++)
        buffer_put(&text, slice_of(close));
    bool accepted = accepts(buffer_slice(&text));
    buffer_free(&text);
    return accepted;
}

static void nesting_goes_to_the_limit_and_no_further(void) {
    CHECK(accepts_nested("[", "", "]", JSON_DEPTH_MAX));
    CHECK(!accepts_nested("[", "", "]", JSON_DEPTH_MAX + 1));
    CHECK(accepts_nested("{\"a\":", "0", "}", JSON_DEPTH_MAX));
    CHECK(!accepts_nested("{\"a\":", "0", "}", JSON_DEPTH_MAX + 1));
    CHECK(accepts_nested("[{\"a\":", "0", "}]", JSON_DEPTH_MAX / 2));
    CHECK(!accepts_nested("[{\"a\":", "[[]]", "}]", JSON_DEPTH_MAX / 2));
    CHECK(!accepts_nested("[", "", "", 50000));
    CHECK(!accepts_nested("{\"a\":", "", "", 40000));
}

/* The kind of each level must be remembered, and only those that are still open. */
static void brackets_must_match_at_every_level(void) {
    struct kit_random random = {kit_seed()};
    for (int round = 0; round < 300; round++) {
        char closers[JSON_DEPTH_MAX];
        struct buffer text = {0};
        unsigned depth = 1 + (unsigned)kit_below(&random, JSON_DEPTH_MAX - 1); /* one inside */
        for (unsigned i = 0; i < depth; i++) {
            bool object = kit_below(&random, 2) != 0;
            buffer_put(&text, object ? SLICE("{\"k\":[],\"l\":") : SLICE("[{},"));
            closers[i] = object ? '}' : ']';
        }
        buffer_put(&text, SLICE("0"));
        size_t from = text.len;
        for (unsigned i = depth; i-- > 0;)
            buffer_put_char(&text, closers[i]);
        kit_note("round %d, depth %u", round, depth);
        CHECK(accepts(buffer_slice(&text)));
        size_t wrong = from + kit_below(&random, depth);
        text.at[wrong] = text.at[wrong] == ']' ? '}' : ']';
        CHECK(!accepts(buffer_slice(&text)));
        buffer_free(&text);
    }
}

/* ---- Reading by hand ---- */

static void members_come_in_order_with_their_values(void) {
    struct json_reader r = json_reader_of(
        SLICE(" { \"a\" : 1 , \"b\" : [ 2, {} ] ,\"\\u0063\":\"x\\n\" , \"d\":{} } "));
    struct slice name, value;
    struct buffer got = {0};
    CHECK(json_peek(&r) == '{');
    CHECK(json_enter_object(&r));
    while (json_next_member(&r, &name)) {
        buffer_put(&got, name);
        buffer_put(&got, SLICE("="));
        CHECK(json_read_value(&r, &value));
        buffer_put(&got, value);
        buffer_put(&got, SLICE(";"));
    }
    CHECK(json_finish(&r));
    CHECK_TEXT(buffer_slice(&got), "a=1;b=[ 2, {} ];\\u0063=\"x\\n\";d={};");
    buffer_free(&got);
}

static void items_may_be_read_skipped_and_entered(void) {
    struct json_reader r = json_reader_of(SLICE("[\"a\",[],[1],{\"b\":[2]},18,\"z\"]"));
    struct slice text = {0};
    uint64_t n = 0;
    CHECK(json_enter_array(&r));
    CHECK(json_next_item(&r) && json_peek(&r) == '"' && json_read_string(&r, &text));
    CHECK_TEXT(text, "a");
    CHECK(json_next_item(&r) && json_enter_array(&r) && !json_next_item(&r));
    CHECK(json_next_item(&r) && json_peek(&r) == '[' && json_skip(&r));
    CHECK(json_next_item(&r) && json_enter_object(&r) && json_next_member(&r, &text));
    CHECK(json_skip(&r) && !json_next_member(&r, &text));
    CHECK(json_next_item(&r) && json_peek(&r) == '0' && json_read_u64(&r, &n));
    CHECK_U64(n, 18);
    CHECK(json_next_item(&r) && json_read_string(&r, &text));
    CHECK(!json_next_item(&r));
    CHECK(json_peek(&r) == 0);
    CHECK(json_finish(&r));
}

static void the_first_mistake_sticks(void) {
    struct json_reader r = json_reader_of(SLICE("[1, x, \"a"));
    struct slice text;
    uint64_t n;
    CHECK(json_enter_array(&r) && json_next_item(&r) && json_skip(&r) && json_next_item(&r));
    CHECK(!json_read_string(&r, &text));
    const char *error = r.error;
    CHECK_U64(json_error_offset(&r), 4);
    CHECK(!json_skip(&r) && !json_read_value(&r, &text) && !json_read_u64(&r, &n));
    CHECK(!json_enter_array(&r) && !json_enter_object(&r));
    CHECK(!json_next_item(&r) && !json_next_member(&r, &text));
    CHECK(!json_guess_member(&r, SLICE("x")));
    CHECK(!json_fail(&r, "another"));
    CHECK(!json_finish(&r));
    CHECK(json_peek(&r) == 0);
    CHECK(r.error == error && error != NULL);
    CHECK_U64(json_error_offset(&r), 4);
}

static void a_judgement_of_the_caller_sticks_too(void) {
    struct json_reader r = json_reader_of(SLICE("[1]"));
    CHECK(json_enter_array(&r) && json_next_item(&r) && json_skip(&r));
    CHECK(!json_fail(&r, "not liked"));
    CHECK(!json_next_item(&r) && !json_finish(&r));
    CHECK_TEXT(slice_of(r.error), "not liked");
}

static void mistakes_are_named_with_their_place(void) {
    static const struct {
        const char *text, *error;
        size_t offset;
    } cases[] = {
        {"", "ends too early", 0},
        {"  ", "ends too early", 2},
        {"{\"a\":1,}", "expected a member name", 7},
        {"{\"a\" 1}", "expected a colon", 5},
        {"{\"a\":1 2}", "expected a comma or the end of the object", 7},
        {"[1 2]", "expected a comma or the end of the array", 3},
        {"[1,]", "expected a value", 3},
        {"[01]", "number with a leading zero", 2},
        {"[1.]", "expected a digit", 3},
        {"[tru]", "expected a value", 1},
        {"\"abc", "string is not closed", 4},
        {"\"ab\\", "string is not closed", 4},
        {"\"ab\\q\"", "unknown escape", 4},
        {"\"a\nb\"", "control character in a string", 2},
        {"\"a\\u00zz\"", "\\u needs four hex digits", 4},
        {"\"\\udc00\"", "lone surrogate", 3},
        {"\"0123456789\xff\"", "not UTF-8", 11},
        {"{} x", "something follows the value", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json_reader r = json_reader_of(slice_of(cases[i].text));
        kit_note("%s", cases[i].text);
        if (json_skip(&r)) json_finish(&r);
        if (!CHECK(r.error != NULL)) continue;
        CHECK_TEXT(slice_of(r.error), cases[i].error);
        CHECK_U64(json_error_offset(&r), cases[i].offset);
    }
}

static void no_text_at_all_is_read_like_an_empty_one(void) {
    struct json_reader r = json_reader_of((struct slice){NULL, 0});
    CHECK(json_peek(&r) == 0);
    CHECK(!json_skip(&r));
    CHECK_U64(json_error_offset(&r), 0);
}

static void whole_numbers_are_read_and_others_named(void) {
    static const struct {
        const char *text;
        bool good;
        uint64_t n;
    } cases[] = {
        {"0", true, 0},
        {" 42", true, 42},
        {"9999999999999999999", true, 9999999999999999999u},
        {"10000000000000000000", false, 0},
        {"-1", false, 0},
        {"-0", false, 0},
        {"1.0", false, 0},
        {"1e2", false, 0},
        {"01", false, 0},
        {"\"1\"", false, 0},
        {"null", false, 0},
        {"", false, 0},
        {"[1]", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice text = slice_of(cases[i].text);
        struct json_reader r = json_reader_of((struct slice){guard_end(&guard, text), text.len});
        uint64_t n = 0;
        kit_note("%s", cases[i].text);
        CHECK(json_read_u64(&r, &n) == cases[i].good);
        if (cases[i].good) CHECK_U64(n, cases[i].n);
        CHECK((r.error == NULL) == cases[i].good);
        CHECK(json_finish(&r) == cases[i].good);
    }
}

static void a_member_is_guessed_only_when_it_stands_there_exactly(void) {
    struct json_reader r = json_reader_of(SLICE("{\"a\":1,\"b\":2,\"c\": 3, \"d\":4}"));
    struct slice name;
    uint64_t n;
    CHECK(json_enter_object(&r));
    CHECK(!json_guess_member(&r, SLICE("\"b\":")));
    CHECK(json_guess_member(&r, SLICE("\"a\":")) && json_read_u64(&r, &n) && n == 1);
    CHECK(!json_guess_member(&r, SLICE("\"a\":")));
    CHECK(json_guess_member(&r, SLICE("\"b\":")) && json_read_u64(&r, &n) && n == 2);
    CHECK(json_guess_member(&r, SLICE("\"c\":")) && json_read_u64(&r, &n) && n == 3);
    CHECK(!json_guess_member(&r, SLICE("\"d\":")));
    CHECK(json_next_member(&r, &name) && json_read_u64(&r, &n) && n == 4);
    CHECK_TEXT(name, "d");
    CHECK(!json_guess_member(&r, SLICE("\"e\":")));
    CHECK(!json_next_member(&r, &name));
    CHECK(json_finish(&r));
}

static void a_guess_does_not_look_behind_the_end(void) {
    struct slice whole = SLICE("{\"a\":1,\"b\":2");
    for (size_t len = 1; len <= whole.len; len++) {
        char *at = guard_end(&guard, (struct slice){whole.at, len});
        struct json_reader r = json_reader_of((struct slice){at, len});
        uint64_t n;
        json_enter_object(&r);
        if (json_guess_member(&r, SLICE("\"a\":"))) json_read_u64(&r, &n);
        CHECK(json_guess_member(&r, SLICE("\"b\":")) == (len >= 11));
    }
}

/* ---- Strings ---- */

static const struct {
    const char *inside, *plain;
} STRINGS[] = {
    {"", ""},
    {"value", "value"},
    {"\\u0076alue", "value"},
    {"valu\\u0065", "value"},
    {"\\u0076\\u0061\\u006c\\u0075\\u0065", "value"},
    {"\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t"},
    {"\\u00e9", "\xc3\xa9"},
    {"\\u20AC\\u20ac", "\xe2\x82\xac\xe2\x82\xac"},
    {"\\ud83c\\udf0d", "\xf0\x9f\x8c\x8d"},
    {"\\uD800\\uDC00\\udbff\\udfff", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"},
    {"\\uffff\\u007f\\u0080\\u07ff\\u0800", "\xef\xbf\xbf\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80"},
    {"a\xc3\xa9\\n\xf0\x9f\x8c\x8d", "a\xc3\xa9\n\xf0\x9f\x8c\x8d"},
};

static void escapes_stand_for_their_characters(void) {
    for (size_t i = 0; i < sizeof STRINGS / sizeof *STRINGS; i++) {
        struct slice inside = slice_of(STRINGS[i].inside);
        struct buffer out = {0};
        kit_note("%s", STRINGS[i].inside);
        json_unescape((struct slice){guard_end(&guard, inside), inside.len}, &out);
        CHECK_TEXT(buffer_slice(&out), STRINGS[i].plain);
        buffer_free(&out);
    }
}

static void the_empty_slice_without_bytes_is_an_empty_string(void) {
    struct slice nothing = {NULL, 0};
    struct buffer out = {0};
    json_put_string(&out, nothing);
    CHECK_TEXT(buffer_slice(&out), "\"\"");
    json_unescape(nothing, &out);
    CHECK_U64(out.len, 2);
    CHECK(json_name_is(nothing, nothing) && !json_name_is(nothing, SLICE("a")));
    buffer_free(&out);
}

static void names_are_compared_after_unescaping(void) {
    for (size_t i = 0; i < sizeof STRINGS / sizeof *STRINGS; i++) {
        struct slice text = slice_of(STRINGS[i].inside), plain = slice_of(STRINGS[i].plain);
        struct slice inside = {guard_end(&guard, text), text.len};
        struct buffer other = {0};
        kit_note("%s", STRINGS[i].inside);
        CHECK(json_name_is(inside, plain));
        buffer_put(&other, plain);
        buffer_put_char(&other, 'x');
        CHECK(!json_name_is(inside, buffer_slice(&other)));
        if (plain.len > 0) {
            CHECK(!json_name_is(inside, (struct slice){plain.at, plain.len - 1}));
            other.at[plain.len - 1] ^= 1;
            CHECK(!json_name_is(inside, (struct slice){other.at, plain.len}));
        }
        buffer_free(&other);
    }
    CHECK(!json_name_is(SLICE("valu"), SLICE("value")));
    CHECK(!json_name_is(SLICE("Value"), SLICE("value")));
    CHECK(json_name_is(SLICE("a\\u0000b"), ((struct slice){"a\0b", 3})));
}

static void escaping_appends_without_touching_what_is_there(void) {
    struct buffer out = {0};
    buffer_put(&out, SLICE("x="));
    json_put_string(&out, SLICE("a\"\\\b\f\n\r\t\x01\x1f\x7f/\xc3\xa9"));
    CHECK_TEXT(buffer_slice(&out), "x=\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\x7f/\xc3\xa9\"");
    buffer_free(&out);
    json_put_string(&out, (struct slice){"\0", 1});
    CHECK_TEXT(buffer_slice(&out), "\"\\u0000\"");
    buffer_free(&out);
}

/* A random string of up to 40 code points of all lengths, with many that need an escape. */
static void put_random_text(struct kit_random *random, struct buffer *out) {
    static const uint32_t bounds[] = {0x20, 0x80, 0x80, 0x80, 0x800, 0xD800, 0x110000};
    for (uint64_t left = kit_below(random, 40); left > 0; left--) {
        char bytes[4];
        uint32_t bound = bounds[kit_below(random, sizeof bounds / sizeof *bounds)];
        uint32_t point = (uint32_t)kit_below(random, bound);
        if (kit_below(random, 8) == 0) point = kit_below(random, 2) != 0 ? '"' : '\\';
        if (point >= 0xD800 && point <= 0xDFFF) point = 0xFFFD;
        buffer_put(out, (struct slice){bytes, utf8_encode(point, bytes)});
    }
}

static void every_string_survives_escaping_reading_and_unescaping(void) {
    struct kit_random random = {kit_seed()};
    for (int round = 0; round < 5000; round++) {
        struct buffer plain = {0}, escaped = {0}, back = {0};
        struct slice inside = {0};
        put_random_text(&random, &plain);
        json_put_string(&escaped, buffer_slice(&plain));
        char *at = guard_end(&guard, buffer_slice(&escaped));
        struct json_reader r = json_reader_of((struct slice){at, escaped.len});
        kit_note("round %d", round);
        CHECK(json_read_string(&r, &inside) && json_finish(&r));
        json_unescape(inside, &back);
        CHECK_SLICE(buffer_slice(&back), buffer_slice(&plain));
        CHECK(json_name_is(inside, buffer_slice(&plain)));
        buffer_free(&plain);
        buffer_free(&escaped);
        buffer_free(&back);
    }
}

/* The fast pass over plain bytes goes by words: a mistake must be seen in each place of one. */
static void a_byte_of_interest_is_seen_at_every_distance_from_the_start(void) {
    static const struct {
        char byte;
        bool good;
    } bytes[] = {{'a', true}, {0x7f, true}, {0x1f, false}, {0, false}, {'\\', false}};
    for (size_t len = 1; len < 40; len++) {
        for (size_t at = 0; at < len; at++) {
            for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) {
                char text[48];
                memset(text, 'x', sizeof text);
                text[0] = text[len + 1] = '"';
                text[at + 1] = bytes[i].byte;
                kit_note("byte %d at %zu of %zu", bytes[i].byte, at, len);
                CHECK(accepts((struct slice){text, len + 2}) == bytes[i].good);
            }
        }
    }
}

int main(void) {
    guard = guard_create();
    RUN(values_of_the_grammar_are_accepted);
    RUN(all_else_is_refused);
    RUN(every_truncation_is_refused);
    RUN(a_changed_byte_is_seen_or_harmless);
    RUN(a_value_stands_as_it_was_without_the_space_around_it);
    RUN(nesting_goes_to_the_limit_and_no_further);
    RUN(brackets_must_match_at_every_level);
    RUN(members_come_in_order_with_their_values);
    RUN(items_may_be_read_skipped_and_entered);
    RUN(the_first_mistake_sticks);
    RUN(a_judgement_of_the_caller_sticks_too);
    RUN(mistakes_are_named_with_their_place);
    RUN(no_text_at_all_is_read_like_an_empty_one);
    RUN(whole_numbers_are_read_and_others_named);
    RUN(a_member_is_guessed_only_when_it_stands_there_exactly);
    RUN(a_guess_does_not_look_behind_the_end);
    RUN(escapes_stand_for_their_characters);
    RUN(the_empty_slice_without_bytes_is_an_empty_string);
    RUN(names_are_compared_after_unescaping);
    RUN(escaping_appends_without_touching_what_is_there);
    RUN(every_string_survives_escaping_reading_and_unescaping);
    RUN(a_byte_of_interest_is_seen_at_every_distance_from_the_start);
    guard_free(&guard);
    return kit_finish();
}
