/* Records: what is written is read again; what is flipped, cut or elsewhere is not. */
#include "kit.h"

#include "../record.h"

#define SALT   0x12345678u
#define OFFSET 4711u

static struct guard guard;

static struct slice guarded(struct slice s) {
    return (struct slice){guard_end(&guard, s), s.len};
}

static struct buffer one_record(struct slice body) {
    struct buffer out = {0};
    record_put(&out, RECORD_FRAMES, SALT, OFFSET, record_position(3, 99), body);
    return out;
}

static void what_is_written_is_read_again(void) {
    struct buffer bytes = one_record(SLICE("some frames"));
    struct record record;
    CHECK(record_cut(guarded(buffer_slice(&bytes)), SALT, OFFSET, &record) == RECORD_CUT_WHOLE);
    CHECK(record.kind == RECORD_FRAMES);
    CHECK_U64(record.synced, record_position(3, 99));
    CHECK_U64(record.bytes, bytes.len);
    CHECK_TEXT(record.body, "some frames");
    buffer_free(&bytes);
}

static void a_record_elsewhere_is_none(void) {
    struct buffer bytes = one_record(SLICE("some frames"));
    struct record record;
    struct slice all = buffer_slice(&bytes);
    CHECK(record_cut(all, SALT, OFFSET + 1, &record) == RECORD_CUT_BAD);
    CHECK(record_cut(all, SALT + 1, OFFSET, &record) == RECORD_CUT_BAD);
    buffer_free(&bytes);
}

static void no_flipped_bit_goes_unseen(void) {
    struct buffer bytes = one_record(SLICE("some frames"));
    struct record record;
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        kit_note("bit %zu", bit);
        bytes.at[bit / 8] = (char)(bytes.at[bit / 8] ^ 1 << bit % 8);
        struct slice flipped = guarded(buffer_slice(&bytes));
        CHECK(record_cut(flipped, SALT, OFFSET, &record) != RECORD_CUT_WHOLE);
        bytes.at[bit / 8] = (char)(bytes.at[bit / 8] ^ 1 << bit % 8);
    }
    buffer_free(&bytes);
}

static void a_record_that_is_cut_wants_more(void) {
    struct buffer bytes = one_record(SLICE("some frames"));
    struct record record;
    for (size_t len = 0; len < bytes.len; len++) {
        kit_note("%zu bytes", len);
        struct slice part = guarded((struct slice){bytes.at, len});
        CHECK(record_cut(part, SALT, OFFSET, &record) == RECORD_CUT_MORE);
        CHECK_U64(record.bytes, len < RECORD_HEAD_BYTES ? 0 : bytes.len);
    }
    buffer_free(&bytes);
}

static void a_length_beyond_all_limits_is_bad_before_it_is_believed(void) {
    char head[RECORD_HEAD_BYTES];
    struct record record;
    for (int kind = 0; kind < 256; kind++) {
        record_head(head, RECORD_CLOSED, SALT, OFFSET, 0, SLICE(""));
        head[12] = (char)kind;
        store_u32(head + 8, RECORD_BODY_MAX + 1);
        kit_note("kind %d", kind);
        CHECK(record_cut((struct slice){head, sizeof head}, SALT, OFFSET, &record) ==
              RECORD_CUT_BAD);
    }
}

static void a_record_is_found_behind_anything_else(void) {
    struct buffer bytes = {0};
    struct record record;
    size_t at;
    for (int i = 0; i < 100; i++)
        buffer_put_char(&bytes, (char)i);
    CHECK(!record_find(guarded(buffer_slice(&bytes)), SALT, 0, &at, &record));
    record_put(&bytes, RECORD_FRAMES, SALT, bytes.len, 0, SLICE("found"));
    CHECK(record_find(guarded(buffer_slice(&bytes)), SALT, 0, &at, &record));
    CHECK_U64(at, 100);
    CHECK_TEXT(record.body, "found");
    CHECK(!record_find(guarded(buffer_slice(&bytes)), SALT, 1, &at, &record));
    CHECK(!record_find(SLICE(""), SALT, 0, &at, &record));
    buffer_free(&bytes);
}

static void put_frame(struct buffer *out, size_t body_bytes) {
    size_t begun = frame_open(out, WIRE_WRITE);
    memset(buffer_grow(out, body_bytes), 'x', body_bytes);
    frame_close(out, begun);
}

static void frames_are_never_cut_apart(void) {
    struct buffer frames = {0};
    put_frame(&frames, 600 * 1024);
    size_t first = frames.len;
    CHECK_U64(record_fit(buffer_slice(&frames)), first);
    put_frame(&frames, 600 * 1024);
    CHECK_U64(record_fit(buffer_slice(&frames)), first);
    frames.len = 0;
    put_frame(&frames, 8 * 1024 * 1024);
    first = frames.len;
    put_frame(&frames, 10);
    CHECK_U64(record_fit(buffer_slice(&frames)), first);
    buffer_free(&frames);
}

static struct buffer an_opening(const char *cluster, const char *node) {
    struct opening o = {
        .flags = OPENING_AFTER_TROUBLE,
        .number = 7,
        .directory = 0x0123456789abcdef,
        .salt = SALT,
        .boot = {11, 12},
        .cluster = slice_of(cluster),
        .node = kit_address(node),
    };
    struct buffer out = {0};
    record_put_opening(&out, &o);
    return out;
}

static void an_opening_is_read_again_and_says_what_it_is(void) {
    struct buffer bytes = an_opening("kvs", "10.0.0.1:8090");
    struct opening o;
    size_t len;
    CHECK(slice_starts_with(buffer_slice(&bytes), SLICE("kvs!")));
    CHECK(record_read_opening(guarded(buffer_slice(&bytes)), &o, &len) == OPENING_GOOD);
    CHECK_U64(len, bytes.len);
    CHECK_U64(o.flags, OPENING_AFTER_TROUBLE);
    CHECK_U64(o.number, 7);
    CHECK_U64(o.directory, 0x0123456789abcdef);
    CHECK_U64(o.salt, SALT);
    CHECK_U64(o.boot[0], 11);
    CHECK_U64(o.boot[1], 12);
    CHECK_TEXT(o.cluster, "kvs");
    CHECK_TEXT(address_text(&o.node), "10.0.0.1:8090");
    buffer_free(&bytes);
}

static void an_opening_cut_or_flipped_anywhere_is_bad(void) {
    struct buffer bytes = an_opening("kvs", "10.0.0.1:8090");
    struct opening o;
    size_t len;
    for (size_t cut = 0; cut < bytes.len; cut++) {
        struct slice part = guarded((struct slice){bytes.at, cut});
        CHECK(record_read_opening(part, &o, &len) == OPENING_BAD);
        bytes.at[cut] = (char)(bytes.at[cut] ^ 0x10);
        CHECK(record_read_opening(guarded(buffer_slice(&bytes)), &o, &len) == OPENING_BAD);
        bytes.at[cut] = (char)(bytes.at[cut] ^ 0x10);
    }
    buffer_free(&bytes);
}

static void an_opening_of_another_version_is_told_from_a_bad_one(void) {
    struct buffer bytes = {0};
    struct opening o;
    size_t len;
    record_put(&bytes, RECORD_OPENING, 0x6b767321, 0, 0, SLICE("\0\2and more, not known here"));
    CHECK(record_read_opening(buffer_slice(&bytes), &o, &len) == OPENING_OTHER_VERSION);
    buffer_free(&bytes);
}

int main(void) {
    guard = guard_create();
    RUN(what_is_written_is_read_again);
    RUN(a_record_elsewhere_is_none);
    RUN(no_flipped_bit_goes_unseen);
    RUN(a_record_that_is_cut_wants_more);
    RUN(a_length_beyond_all_limits_is_bad_before_it_is_believed);
    RUN(a_record_is_found_behind_anything_else);
    RUN(frames_are_never_cut_apart);
    RUN(an_opening_is_read_again_and_says_what_it_is);
    RUN(an_opening_cut_or_flipped_anywhere_is_bad);
    RUN(an_opening_of_another_version_is_told_from_a_bad_one);
    guard_free(&guard);
    return kit_finish();
}
