/* Records: any bytes are read without looking beyond them; and a file of records that is damaged at
 * one place, or cut, gives the records before that place and nothing that was never written. */
#include <assert.h>
#include <stdlib.h>

#include "../record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SALT        77u
#define RECORDS_MAX 64

/* As they come: from the front, and looked for. */
static void read_as_it_is(struct slice bytes) {
    struct record record;
    struct opening opening;
    size_t at = 0, found;
    if (record_read_opening(bytes, &opening, &found) == OPENING_GOOD) {
        struct buffer again = {0};
        record_put_opening(&again, &opening);
        assert(slice_equal(buffer_slice(&again), (struct slice){bytes.at, found}));
        buffer_free(&again);
    }
    for (;;) {
        struct slice rest = {bytes.at + at, bytes.len - at};
        if (record_cut(rest, 0, at, &record) != RECORD_CUT_WHOLE) break;
        assert(record.bytes <= rest.len);
        at += record.bytes;
    }
    if (record_find(bytes, 0, 0, &found, &record)) assert(found + record.bytes <= bytes.len);
}

/* The same bytes as the bodies of records. Returns how many. */
static size_t make_file(struct slice in, struct buffer *file, size_t ends[RECORDS_MAX]) {
    size_t count = 0;
    while (in.len > 0 && count < RECORDS_MAX) {
        size_t len = (unsigned char)in.at[0] % 50u;
        if (len > in.len) len = in.len;
        record_put(file, RECORD_FRAMES, SALT, file->len, count, (struct slice){in.at, len});
        ends[count++] = file->len;
        size_t taken = len == 0 ? 1 : len;
        in = (struct slice){in.at + taken, in.len - taken};
    }
    return count;
}

/* All that is whole from the front on is what was written. */
static size_t read_whole(struct slice file, const struct buffer *written, const size_t *ends) {
    struct record record;
    size_t count = 0, at = 0;
    for (;;) {
        struct slice rest = {file.at + at, file.len - at};
        if (record_cut(rest, SALT, at, &record) != RECORD_CUT_WHOLE) return count;
        assert(at + record.bytes == ends[count] && record.synced == count);
        assert(memcmp(rest.at, written->at + at, record.bytes) == 0);
        at = ends[count++];
    }
}

static size_t records_before(const size_t *ends, size_t count, size_t place) {
    size_t before = 0;
    while (before < count && ends[before] <= place)
        before++;
    return before;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice bytes = {(const char *)data, size};
    read_as_it_is(bytes);
    if (size < 4) return 0;
    uint16_t place = load_u16(bytes.at);
    char flip = bytes.at[2];
    struct buffer file = {0};
    size_t ends[RECORDS_MAX];
    size_t count = make_file((struct slice){bytes.at + 3, size - 3}, &file, ends);
    size_t at = place % file.len;

    struct slice cut = {file.at, at};
    assert(read_whole(cut, &file, ends) == records_before(ends, count, at));
    struct buffer damaged = {0};
    buffer_put(&damaged, buffer_slice(&file));
    damaged.at[at] = (char)(damaged.at[at] ^ flip);
    size_t expected = flip == 0 ? count : records_before(ends, count, at);
    assert(read_whole(buffer_slice(&damaged), &file, ends) == expected);
    buffer_free(&damaged);
    buffer_free(&file);
    return 0;
}
