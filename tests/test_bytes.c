/* Slices, buffers, words of eight bytes. */
#include "kit.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- Slices ---- */

static void slices_compare_bytewise_and_prefixes_sort_first(void) {
    static const struct {
        struct slice a, b;
        int order;
    } cases[] = {
        {{NULL, 0}, {NULL, 0}, 0},
        {{NULL, 0}, {"a", 1}, -1},
        {{"a", 1}, {"a", 1}, 0},
        {{"a", 1}, {"ab", 2}, -1},
        {{"b", 1}, {"ab", 2}, 1},
        {{"a\x7f", 2}, {"a\x80", 2}, -1}, /* unsigned, whatever char is */
        {{"a\0b", 3}, {"a\0c", 3}, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kit_note("case %zu", i);
        int ab = slice_compare(cases[i].a, cases[i].b), ba = slice_compare(cases[i].b, cases[i].a);
        CHECK((ab > 0) - (ab < 0) == cases[i].order);
        CHECK((ba > 0) - (ba < 0) == -cases[i].order);
        CHECK(slice_equal(cases[i].a, cases[i].b) == (cases[i].order == 0));
    }
}

static void a_slice_starts_with_its_prefixes_only(void) {
    struct slice s = SLICE("key1");
    for (size_t len = 0; len <= s.len; len++)
        CHECK(slice_starts_with(s, (struct slice){s.at, len}));
    CHECK(slice_starts_with(s, (struct slice){NULL, 0}));
    CHECK(!slice_starts_with(s, SLICE("key12")));
    CHECK(!slice_starts_with(s, SLICE("kez")));
    CHECK(!slice_starts_with((struct slice){NULL, 0}, SLICE("k")));
}

static void decimal_numbers_have_1_to_19_digits_and_nothing_else(void) {
    static const struct {
        const char *text;
        bool good;
        uint64_t n;
    } cases[] = {
        {"0", true, 0},
        {"7", true, 7},
        {"007", true, 7},
        {"18446744073709551615", false, 0},
        {"9999999999999999999", true, 9999999999999999999u},
        {"10000000000000000000", false, 0},
        {"", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1a", false, 0},
        {"/", false, 0},
        {":", false, 0},
        {"\xb1", false, 0}, /* 0x31 with the high bit set */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t n = 4711;
        kit_note("%s", cases[i].text);
        CHECK(slice_to_u64(slice_of(cases[i].text), &n) == cases[i].good);
        CHECK_U64(n, cases[i].good ? cases[i].n : 4711);
    }
}

/* ---- Hexadecimal ---- */

static void hex_takes_8_or_16_lower_case_digits(void) {
    struct guard g = guard_create();
    uint64_t n = 0;
    uint32_t half = 0;
    CHECK(hex64_parse(guard_end(&g, SLICE("0123456789abcdef")), &n));
    CHECK_U64(n, 0x0123456789abcdef);
    CHECK(hex64_parse("ffffffffffffffff", &n));
    CHECK_U64(n, UINT64_MAX);
    CHECK(hex32_parse(guard_end(&g, SLICE("9f3c01d2")), &half));
    CHECK_U64(half, 0x9f3c01d2);
    guard_free(&g);
}

static void hex_refuses_every_other_byte_in_every_place(void) {
    for (int place = 0; place < 16; place++) {
        for (int c = 0; c < 256; c++) {
            char text[16];
            uint64_t n = 4711;
            uint32_t half = 4711;
            memset(text, '0', sizeof text);
            text[place] = (char)c;
            bool good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
            kit_note("byte %d in place %d", c, place);
            CHECK(hex64_parse(text, &n) == good);
            CHECK(hex32_parse(text + 8, &half) == (good || place < 8));
            if (!good) CHECK_U64(n, 4711);
            if (!good && place >= 8) CHECK_U64(half, 4711);
        }
    }
}

static void every_number_goes_to_hex_and_back(void) {
    struct kit_random random = {kit_seed()};
    for (int i = 0; i < 20000; i++) {
        uint64_t n = kit_next(&random) >> kit_below(&random, 64), back = 0;
        struct buffer b = {0};
        char want[32];
        snprintf(want, sizeof want, "%016" PRIx64 "%08" PRIx32, n, (uint32_t)n);
        buffer_put_hex64(&b, n);
        buffer_put_hex32(&b, (uint32_t)n);
        CHECK_TEXT(buffer_slice(&b), want);
        CHECK(hex64_parse(b.at, &back) && back == n);
        buffer_free(&b);
    }
}

/* ---- Buffers ---- */

static void decimal_numbers_are_written_as_printf_does(void) {
    uint64_t n = UINT64_MAX;
    for (int i = 0; i < 64; i++, n = n / 2 + (uint64_t)i % 2) {
        struct buffer b = {0};
        char want[32];
        snprintf(want, sizeof want, "<%" PRIu64 "%" PRIu64 ">", n, n % 10);
        buffer_put_char(&b, '<');
        buffer_put_u64(&b, n);
        buffer_put_u64(&b, n % 10);
        buffer_put_char(&b, '>');
        CHECK_TEXT(buffer_slice(&b), want);
        buffer_free(&b);
    }
}

static void a_number_fits_exactly_reserved_room(void) {
    for (size_t filled = 230; filled < 260; filled++) {
        struct buffer b = {0};
        char want[300];
        memset(want, 'x', filled);
        memcpy(want + filled, "1234567890", 10);
        for (size_t i = 0; i < filled; i++)
            buffer_put_char(&b, 'x');
        buffer_put_u64(&b, 1234567890);
        CHECK_SLICE(buffer_slice(&b), ((struct slice){want, filled + 10}));
        buffer_free(&b);
    }
}

static void a_buffer_keeps_everything_while_it_grows(void) {
    struct buffer b = {0};
    bool same = true;
    for (size_t i = 0; i < 20000; i++) {
        struct slice piece = {"abcdefghij", i % 11};
        buffer_put(&b, piece);
        CHECK(b.len <= b.cap);
    }
    for (size_t at = 0, i = 0; i < 20000; at += i % 11, i++) {
        same = same && memcmp(b.at + at, "abcdefghij", i % 11) == 0;
    }
    CHECK(same);
    buffer_free(&b);
}

static void growing_a_buffer_doubles_it(void) {
    struct buffer b = {0};
    size_t cap = 0, moves = 0;
    for (size_t i = 0; i < 100000; i++) {
        buffer_put_char(&b, 'x');
        moves += b.cap != cap;
        cap = b.cap;
    }
    CHECK(moves < 12);
    buffer_free(&b);
}

static void reserved_room_is_exactly_usable(void) {
    struct buffer b = {0};
    buffer_put(&b, SLICE("abc"));
    buffer_reserve(&b, 100000);
    const char *at = b.at;
    CHECK(b.cap - b.len >= 100000);
    memset(b.at + b.len, 'x', 100000);
    buffer_reserve(&b, 100000);
    CHECK(b.at == at);
    buffer_free(&b);
}

static void a_freed_buffer_is_the_empty_one_and_can_be_used_again(void) {
    struct buffer b = {0};
    buffer_put(&b, SLICE("abc"));
    buffer_free(&b);
    CHECK(b.at == NULL && b.len == 0 && b.cap == 0);
    buffer_put(&b, (struct slice){NULL, 0});
    CHECK_U64(b.len, 0);
    buffer_put(&b, SLICE("def"));
    CHECK_TEXT(buffer_slice(&b), "def");
    buffer_free(&b);
}

/* ---- Words ---- */

static unsigned lowest_mark(uint64_t marks) {
    marks &= EACH_BYTE(0x80);
    return marks == 0 ? 8 : (unsigned)__builtin_ctzll(marks) / 8;
}

static bool is_control(char c) {
    return (unsigned char)c < 0x20;
}

/* Every pair of bytes side by side at every place: the borrow of the lower must not make the
 * lowest mark wrong. */
static void words_mark_the_first_byte_of_interest(void) {
    bool control_right = true, equal_right = true;
    for (int low = 0; low < 256; low++) {
        for (int high = 0; high < 256; high++) {
            for (unsigned place = 0; place < 7; place++) {
                char text[8];
                unsigned control = 8, quote = 8;
                memset(text, 'x', sizeof text);
                text[place] = (char)low;
                text[place + 1] = (char)high;
                for (unsigned i = 8; i-- > 0;) {
                    if (is_control(text[i])) control = i;
                    if (text[i] == '"') quote = i;
                }
                uint64_t w = word_load(text);
                control_right = control_right && lowest_mark(word_mark_control(w)) == control;
                equal_right = equal_right && lowest_mark(word_mark_equal(w, '"')) == quote;
            }
        }
    }
    CHECK(control_right);
    CHECK(equal_right);
}

static void words_mark_bytes_above_127_like_others(void) {
    for (int c = 0; c < 256; c++) {
        char text[8];
        memset(text, 'x', sizeof text);
        text[3] = (char)c;
        CHECK_U64(lowest_mark(word_mark_equal(word_load(text), (char)c)), c == 'x' ? 0 : 3);
    }
}

static void words_are_equal_iff_all_their_bytes_are(void) {
    struct guard g = guard_create();
    char a[40], b[40];
    memset(a, 'x', sizeof a);
    for (size_t len = 0; len <= sizeof a; len++) {
        memset(b, 'x', sizeof b);
        const char *at = guard_end(&g, (struct slice){a, len});
        kit_note("%zu bytes", len);
        CHECK(word_equal(at, b, len));
        for (size_t place = 0; place < len; place++) {
            b[place] = 'y';
            CHECK(!word_equal(at, b, len));
            b[place] = 'x';
        }
    }
    guard_free(&g);
}

int main(void) {
    RUN(slices_compare_bytewise_and_prefixes_sort_first);
    RUN(a_slice_starts_with_its_prefixes_only);
    RUN(decimal_numbers_have_1_to_19_digits_and_nothing_else);
    RUN(hex_takes_8_or_16_lower_case_digits);
    RUN(hex_refuses_every_other_byte_in_every_place);
    RUN(every_number_goes_to_hex_and_back);
    RUN(decimal_numbers_are_written_as_printf_does);
    RUN(a_number_fits_exactly_reserved_room);
    RUN(a_buffer_keeps_everything_while_it_grows);
    RUN(growing_a_buffer_doubles_it);
    RUN(reserved_room_is_exactly_usable);
    RUN(a_freed_buffer_is_the_empty_one_and_can_be_used_again);
    RUN(words_mark_the_first_byte_of_interest);
    RUN(words_mark_bytes_above_127_like_others);
    RUN(words_are_equal_iff_all_their_bytes_are);
    return kit_finish();
}
