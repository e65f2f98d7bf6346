/* UTF-8 against a decoder that works from the definition. */
#include "kit.h"

#include "../utf8.h"

/* Bytes of the sequence at `at`, 0 when it is not UTF-8: decodes first and judges the code point,
 * where the module has ranges of bytes. */
static size_t sequence_by_definition(const unsigned char *at, size_t len) {
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t bytes = at[0] < 0x80   ? 1
                   : at[0] < 0xC0 ? 0
                   : at[0] < 0xE0 ? 2
                   : at[0] < 0xF0 ? 3
                   : at[0] < 0xF8 ? 4
                                  : 0;
    if (bytes < 2) return bytes;
    if (len < bytes) return 0;
    uint32_t point = at[0] & (0x7Fu >> bytes);
    for (size_t i = 1; i < bytes; i++) {
        if ((at[i] & 0xC0) != 0x80) return 0;
        point = point << 6 | (at[i] & 0x3F);
    }
    bool surrogate = point >= 0xD800 && point <= 0xDFFF;
    return point < smallest[bytes] || point > 0x10FFFF || surrogate ? 0 : bytes;
}

static void every_three_bytes_are_judged_by_the_definition(void) {
    unsigned wrong = 0;
    for (uint32_t n = 0; n < 1u << 24; n++) {
        unsigned char text[3] = {(unsigned char)(n >> 16), (unsigned char)(n >> 8),
                                 (unsigned char)n};
        size_t got = utf8_sequence((const char *)text, (const char *)text + 3);
        wrong += got != sequence_by_definition(text, 3);
    }
    CHECK_U64(wrong, 0);
}

/* All first and second bytes, and for the others those around each border. */
static void four_bytes_are_judged_by_the_definition(void) {
    static const unsigned char edges[] = {0x00, 0x22, 0x7F, 0x80, 0x81, 0x8F, 0x90, 0x9F,
                                          0xA0, 0xBE, 0xBF, 0xC0, 0xC2, 0xED, 0xF4, 0xFF};
    unsigned wrong = 0;
    for (uint32_t n = 0; n < 1u << 16; n++) {
        for (size_t i = 0; i < sizeof edges * sizeof edges; i++) {
            unsigned char text[4] = {(unsigned char)(n >> 8), (unsigned char)n,
                                     edges[i / sizeof edges], edges[i % sizeof edges]};
            size_t got = utf8_sequence((const char *)text, (const char *)text + 4);
            wrong += got != sequence_by_definition(text, 4);
        }
    }
    CHECK_U64(wrong, 0);
}

static void every_code_point_is_written_as_it_is_read(void) {
    unsigned wrong = 0;
    for (uint32_t point = 0; point <= 0x10FFFF; point++) {
        char out[4];
        if (point >= 0xD800 && point <= 0xDFFF) continue;
        size_t len = utf8_encode(point, out);
        uint32_t back = (unsigned char)out[0];
        if (len > 1) back &= 0x7Fu >> len;
        for (size_t i = 1; i < len; i++)
            back = back << 6 | ((unsigned char)out[i] & 0x3F);
        wrong += back != point || utf8_sequence(out, out + len) != len;
    }
    CHECK_U64(wrong, 0);
}

static void a_sequence_cut_short_is_refused_without_looking_behind_it(void) {
    static const char *const cases[] = {"\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x8c\x8d"};
    struct guard g = guard_create();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice whole = slice_of(cases[i]);
        for (size_t len = 1; len <= whole.len; len++) {
            const char *at = guard_end(&g, (struct slice){whole.at, len});
            kit_note("%zu of %zu bytes", len, whole.len);
            CHECK_U64(utf8_sequence(at, at + len), len == whole.len ? len : 0);
        }
    }
    guard_free(&g);
}

static void code_points_are_counted_not_bytes(void) {
    static const struct {
        const char *text;
        bool good;
        size_t points;
    } cases[] = {
        {"", true, 0},
        {"abc", true, 3},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x8c\x8d!", true, 4},
        {"e\xcc\x81", true, 2}, /* a letter and a combining accent */
        {"ab\xc3", false, 0},
        {"\x80", false, 0},
        {"\xc0\x80", false, 0},
        {"\xed\xa0\x80", false, 0},
        {"\xf4\x90\x80\x80", false, 0},
        {"\xff", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t points = 99;
        kit_note("case %zu", i);
        CHECK(utf8_count(slice_of(cases[i].text), &points) == cases[i].good);
        CHECK_U64(points, cases[i].good ? cases[i].points : 99);
    }
    size_t points = 99;
    CHECK(utf8_count((struct slice){"a\0b", 3}, &points));
    CHECK_U64(points, 3);
    CHECK(utf8_count((struct slice){NULL, 0}, &points));
    CHECK_U64(points, 0);
}

int main(void) {
    RUN(every_three_bytes_are_judged_by_the_definition);
    RUN(four_bytes_are_judged_by_the_definition);
    RUN(every_code_point_is_written_as_it_is_read);
    RUN(a_sequence_cut_short_is_refused_without_looking_behind_it);
    RUN(code_points_are_counted_not_bytes);
    return kit_finish();
}
