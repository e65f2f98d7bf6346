/* Reading a data directory: what a crash leaves ends the log, everything else is refused, and never
 * is anything given that was not written. */
#include "kit.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../logread.h"

#define SALT        99u
#define DIRECTORY   0x1111222233334444u
#define RECORDS_MAX 16

static const uint64_t NOW[2] = {1, 2}, BEFORE[2] = {3, 4};

/* ---- A directory of files that are made by hand ---- */

static char path[64];
static struct datadir dir;

static void empty_directory(void) {
    DIR *d = opendir(path);
    struct dirent *entry;
    while ((entry = readdir(d)) != NULL) {
        if (entry->d_name[0] != '.') unlinkat(dirfd(d), entry->d_name, 0);
    }
    closedir(d);
}

/* A file: its bytes, and where each record ends. */
struct made {
    enum datadir_kind kind;
    uint32_t number;
    struct buffer bytes;
    uint64_t ends[RECORDS_MAX];
    uint32_t count;
};

static struct made make_file(enum datadir_kind kind, uint32_t number, const uint64_t boot[2],
                             uint8_t flags) {
    struct made m = {.kind = kind, .number = number};
    struct opening o = {
        .flags = (uint8_t)(flags | (kind == DATADIR_SNAPSHOT ? OPENING_SNAPSHOT : 0)),
        .number = number,
        .directory = DIRECTORY,
        .salt = SALT + number,
        .boot = {boot[0], boot[1]},
        .cluster = SLICE("kvs"),
        .node = kit_address("10.0.0.1:8090"),
    };
    record_put_opening(&m.bytes, &o);
    m.ends[m.count++] = m.bytes.len;
    return m;
}

static struct made make_log(uint32_t number, const uint64_t boot[2]) {
    return make_file(DATADIR_LOG, number, boot, 0);
}

static void put(struct made *m, enum record_kind kind, uint64_t synced, const char *body) {
    record_put(&m->bytes, kind, SALT + m->number, m->bytes.len, synced, slice_of(body));
    m->ends[m->count++] = m->bytes.len;
}

static void write_bytes(const char *name, struct slice bytes) {
    int fd = openat(dir.fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, bytes.at, bytes.len) == (ssize_t)bytes.len);
    close(fd);
}

static void save_as(const struct made *m, size_t len, bool is_part) {
    char name[DATADIR_NAME_BYTES];
    datadir_name(name, m->kind, m->number, is_part);
    write_bytes(name, (struct slice){m->bytes.at, len});
}

static void save(struct made *m) {
    save_as(m, m->bytes.len, false);
    buffer_free(&m->bytes);
}

static void flip(struct made *m, size_t at) {
    m->bytes.at[at] = (char)(m->bytes.at[at] ^ 1 << at % 8);
}

/* ---- What comes out ---- */

struct collected {
    struct log_sink sink;
    struct buffer frames;
    bool refuses_owner;
};

static bool on_owner(struct log_sink *s, const struct opening *o,
                     char error[LOG_SINK_ERROR_BYTES]) {
    CHECK_TEXT(o->cluster, "kvs");
    snprintf(error, LOG_SINK_ERROR_BYTES, "not yours");
    return !CONTAINER_OF(s, struct collected, sink)->refuses_owner;
}

static bool on_frames(struct log_sink *s, struct slice frames) {
    buffer_put(&CONTAINER_OF(s, struct collected, sink)->frames, frames);
    return !slice_equal(frames, SLICE("nonsense"));
}

static struct collected collected;
static struct log_found found;
static char error[DATADIR_ERROR_BYTES];

static bool read_all(const uint64_t boot[2]) {
    collected.sink = (struct log_sink){on_owner, on_frames};
    collected.frames.len = 0;
    error[0] = '\0';
    return logread_all(&dir, boot, &collected.sink, &found, error);
}

static void expect(const uint64_t boot[2], const char *frames, bool is_intact) {
    if (!CHECK(read_all(boot))) kit_note("%s", error);
    CHECK_TEXT(buffer_slice(&collected.frames), frames);
    CHECK(found.is_intact == is_intact);
}

static bool says(const char *part) {
    return strstr(error, part) != NULL;
}

static void expect_refused(const uint64_t boot[2], const char *file, const char *why) {
    CHECK(!read_all(boot));
    if (!CHECK(says(file)) || !CHECK(says(why))) printf("    it says: %s\n", error);
}

/* ---- Facts ---- */

static void nothing_is_new(void) {
    CHECK(read_all(NOW));
    CHECK(found.is_new && found.last == 0);
}

static void snapshot_and_logs_come_in_order(void) {
    struct made snapshot = make_file(DATADIR_SNAPSHOT, 2, BEFORE, 0);
    put(&snapshot, RECORD_FRAMES, 0, "a");
    put(&snapshot, RECORD_FRAMES, 0, "b");
    put(&snapshot, RECORD_CLOSED, 0, "");
    save(&snapshot);
    struct made older = make_log(1, BEFORE), log = make_log(2, BEFORE), next = make_log(3, NOW);
    put(&older, RECORD_FRAMES, 0, "not read");
    save(&older);
    put(&log, RECORD_FRAMES, 0, "c");
    put(&log, RECORD_NEXT, 0, "");
    save(&log);
    put(&next, RECORD_FRAMES, 0, "d");
    put(&next, RECORD_FRAMES, 0, "");
    uint64_t end = next.bytes.len;
    save(&next);
    expect(NOW, "abcd", true);
    CHECK_U64(found.snapshot, 2);
    CHECK_U64(found.last, 3);
    CHECK_U64(found.end, end);
    CHECK_U64(found.last_salt, SALT + 3);
    CHECK_U64(found.directory, DIRECTORY);
    CHECK_U64(found.log_files, 2);
}

/* Four records of frames; the last two were not known to be on disk when the last one was written.
 */
static struct made four(const uint64_t boot[2]) {
    struct made m = make_log(1, boot);
    put(&m, RECORD_FRAMES, 0, "one ");
    put(&m, RECORD_FRAMES, 0, "two ");
    uint64_t synced = record_position(1, m.bytes.len);
    put(&m, RECORD_FRAMES, 0, "three ");
    put(&m, RECORD_FRAMES, synced, "four ");
    return m;
}

static const char *const FRONTS[] = {"", "one ", "one two ", "one two three ",
                                     "one two three four "};

static void a_log_cut_at_any_byte_gives_its_front(void) {
    for (size_t len = 0;; len++) {
        struct made m = four(NOW);
        size_t all = m.bytes.len, opening = m.ends[0], whole = 0;
        kit_note("%zu bytes", len);
        save_as(&m, len, false);
        buffer_free(&m.bytes);
        while (whole < 4 && m.ends[whole + 1] <= len)
            whole++;
        if (len < opening) {
            expect_refused(NOW, "log-000001", "first record");
        } else {
            expect(NOW, FRONTS[whole], true);
            CHECK_U64(found.end, m.ends[whole]);
            CHECK_U64(found.torn_bytes, len - m.ends[whole]);
        }
        if (len == all) break;
    }
}

/* No crash of a process flips a byte: so it is refused, unless it makes the last record look as if
 * it had not been written to its end. */
static void a_log_with_any_byte_flipped_is_refused_or_lacks_its_last_record(void) {
    for (size_t at = 0;; at++) {
        struct made m = four(NOW);
        size_t all = m.bytes.len;
        if (at < all) flip(&m, at);
        kit_note("byte %zu", at);
        save(&m);
        if (at == all) {
            expect(NOW, FRONTS[4], true);
            break;
        }
        bool good = read_all(NOW);
        if (good) CHECK(at >= m.ends[3]);
        if (good) CHECK_TEXT(buffer_slice(&collected.frames), FRONTS[3]);
        if (!good) CHECK(says("log-000001") && says("byte") && says("Restore"));
    }
}

/* The same after the machine has crashed: what was not known to be on disk may be lost. */
static void after_a_power_cut_only_what_was_not_synced_may_be_bad(void) {
    for (size_t at = 0;; at++) {
        struct made m = four(BEFORE);
        size_t all = m.bytes.len, whole = 0;
        if (at == all) {
            buffer_free(&m.bytes);
            break;
        }
        flip(&m, at);
        kit_note("byte %zu", at);
        save(&m);
        while (m.ends[whole + 1] <= at)
            whole++;
        bool was_safe = at < m.ends[2];
        if (at >= m.ends[3]) was_safe = false; /* the record that would have said so is bad */
        if (was_safe) {
            CHECK(!read_all(NOW));
            CHECK(says("log-000001"));
        } else {
            expect(NOW, FRONTS[whole], false);
        }
    }
}

static void zeros_that_a_power_cut_leaves_are_cut_off(void) {
    struct made m = four(BEFORE);
    memset(buffer_grow(&m.bytes, 5000), 0, 5000);
    save(&m);
    expect(NOW, FRONTS[4], false);
    CHECK_U64(found.torn_bytes, 5000);
    m = four(NOW);
    memset(buffer_grow(&m.bytes, 5000), 0, 5000);
    save(&m);
    expect_refused(NOW, "log-000001", "no crash leaves it like that");
}

static void a_log_that_was_closed_is_intact_in_any_boot(void) {
    struct made m = four(BEFORE);
    save_as(&m, m.bytes.len, false);
    expect(NOW, FRONTS[4], false);
    put(&m, RECORD_CLOSED, 0, "");
    save(&m);
    expect(NOW, FRONTS[4], true);
    m = four(BEFORE);
    put(&m, RECORD_CLOSED, 0, "");
    put(&m, RECORD_FRAMES, 0, "five");
    save(&m);
    expect_refused(NOW, "log-000001", "behind the end");
}

static void a_file_that_does_not_say_that_it_goes_on_is_the_last_if_nothing_follows(void) {
    struct made m = four(NOW), next = make_log(2, NOW);
    save(&m);
    save(&next);
    expect(NOW, FRONTS[4], true);
    CHECK_U64(found.last, 1);
}

static void a_file_that_goes_on_without_saying_so_has_lost_its_end(void) {
    struct made m = four(NOW), next = make_log(2, NOW);
    put(&next, RECORD_FRAMES, 0, "five");
    save(&m);
    save(&next);
    expect_refused(NOW, "log-000001", "no crash leaves it like that");
    m = four(BEFORE);
    next = make_log(2, BEFORE);
    put(&next, RECORD_FRAMES, 0, "five");
    save(&m);
    save(&next);
    expect(NOW, FRONTS[4], false); /* a power cut, and the new file was faster */
    CHECK_U64(found.last, 1);
    m = four(BEFORE);
    next = make_log(2, BEFORE);
    put(&next, RECORD_FRAMES, record_position(2, 0), "five");
    save(&m);
    save(&next);
    expect_refused(NOW, "log-000001", "safely on disk once");
}

static void what_was_begun_after_trouble_excuses_what_is_before_it(void) {
    struct made m = four(NOW), next = make_file(DATADIR_LOG, 2, NOW, OPENING_AFTER_TROUBLE);
    flip(&m, m.ends[3] + 3);
    put(&next, RECORD_FRAMES, 0, "five");
    save(&m);
    save(&next);
    expect(NOW, FRONTS[3], false);
    CHECK_U64(found.last, 1);
}

static void a_missing_file_is_refused(void) {
    struct made m = four(NOW), third = make_log(3, NOW);
    put(&m, RECORD_NEXT, 0, "");
    save(&m);
    save(&third);
    expect_refused(NOW, "log-000002", "missing");
    empty_directory();
    third = make_log(3, NOW);
    save(&third);
    expect_refused(NOW, "log-000001", "missing");
    struct made snapshot = make_file(DATADIR_SNAPSHOT, 2, NOW, 0);
    put(&snapshot, RECORD_CLOSED, 0, "");
    save(&snapshot);
    expect_refused(NOW, "log-000002", "missing");
}

static void a_file_that_goes_on_in_a_part_was_left_by_a_crash_in_between(void) {
    struct made m = four(NOW), next = make_log(2, NOW);
    put(&m, RECORD_NEXT, 0, "");
    put(&next, RECORD_FRAMES, 0, "not read");
    save(&m);
    save_as(&next, next.bytes.len, true);
    buffer_free(&next.bytes);
    expect(NOW, FRONTS[4], true);
    CHECK(found.has_next);
    CHECK_U64(found.last, 1);
}

static struct made a_snapshot(void) {
    struct made m = make_file(DATADIR_SNAPSHOT, 1, BEFORE, 0);
    put(&m, RECORD_FRAMES, 0, "one ");
    put(&m, RECORD_FRAMES, 0, "two ");
    put(&m, RECORD_CLOSED, 0, "");
    return m;
}

static void a_snapshot_is_whole_or_refused(void) {
    struct made log = make_log(1, BEFORE), m = a_snapshot();
    size_t all = m.bytes.len;
    save(&log);
    save(&m);
    expect(NOW, "one two ", false);
    for (size_t at = 0; at < all; at++) {
        kit_note("byte %zu", at);
        m = a_snapshot();
        save_as(&m, at, false);
        expect_refused(NOW, "snapshot-000001", "");
        flip(&m, at);
        save(&m);
        expect_refused(NOW, "snapshot-000001", "");
    }
    m = a_snapshot();
    buffer_put_char(&m.bytes, '\0');
    save(&m);
    expect_refused(NOW, "snapshot-000001", "behind");
}

static void files_that_do_not_belong_are_refused(void) {
    struct made m = four(NOW);
    m.number = 2;
    put(&m, RECORD_NEXT, 0, "");
    m.number = 7;
    save(&m);
    m = four(NOW);
    save(&m);
    collected.refuses_owner = true;
    expect_refused(NOW, "log-000001", "not yours");
    collected.refuses_owner = false;

    empty_directory();
    m = four(NOW);
    m.number = 2;
    save(&m);
    m = four(NOW);
    put(&m, RECORD_NEXT, 0, "");
    save(&m);
    expect_refused(NOW, "log-000002", "renamed");
    write_bytes("log-000001", SLICE("this is a letter to the editor, and no log at all\n"));
    expect_refused(NOW, "log-000001", "no file of kvs");
    struct buffer other = {0};
    record_put(&other, RECORD_OPENING, 0x6b767321, 0, 0, SLICE("\0\2of next year"));
    write_bytes("log-000001", buffer_slice(&other));
    expect_refused(NOW, "log-000001", "another version");
    buffer_free(&other);
}

static void frames_that_make_no_sense_are_refused(void) {
    struct made m = make_log(1, NOW);
    put(&m, RECORD_FRAMES, 0, "nonsense");
    save(&m);
    expect_refused(NOW, "log-000001", "no sense");
}

static void files_of_other_names_are_passed_over(void) {
    struct made m = four(NOW);
    save(&m);
    write_bytes("log-000002.bak", SLICE("?"));
    write_bytes("log-2", SLICE("?"));
    write_bytes("lost+found", SLICE("?"));
    write_bytes("snapshot-000000", SLICE("?"));
    write_bytes("snapshot-000004.part", SLICE("?"));
    expect(NOW, FRONTS[4], true);
}

static void run_in_empty_directory(void (*test)(void), const char *name) {
    empty_directory();
    kit_run(test, name);
}
#define RUN_EMPTY(test) run_in_empty_directory((test), #test)

int main(void) {
    snprintf(path, sizeof path, "/tmp/kvs-logread-XXXXXX");
    if (mkdtemp(path) == NULL || !datadir_open(&dir, path, true, error)) {
        printf("no directory in /tmp: %s\n0 passed, 1 failed\n", error);
        return 1;
    }
    RUN_EMPTY(nothing_is_new);
    RUN_EMPTY(snapshot_and_logs_come_in_order);
    RUN_EMPTY(a_log_cut_at_any_byte_gives_its_front);
    RUN_EMPTY(a_log_with_any_byte_flipped_is_refused_or_lacks_its_last_record);
    RUN_EMPTY(after_a_power_cut_only_what_was_not_synced_may_be_bad);
    RUN_EMPTY(zeros_that_a_power_cut_leaves_are_cut_off);
    RUN_EMPTY(a_log_that_was_closed_is_intact_in_any_boot);
    RUN_EMPTY(a_file_that_does_not_say_that_it_goes_on_is_the_last_if_nothing_follows);
    RUN_EMPTY(a_file_that_goes_on_without_saying_so_has_lost_its_end);
    RUN_EMPTY(what_was_begun_after_trouble_excuses_what_is_before_it);
    RUN_EMPTY(a_missing_file_is_refused);
    RUN_EMPTY(a_file_that_goes_on_in_a_part_was_left_by_a_crash_in_between);
    RUN_EMPTY(a_snapshot_is_whole_or_refused);
    RUN_EMPTY(files_that_do_not_belong_are_refused);
    RUN_EMPTY(frames_that_make_no_sense_are_refused);
    RUN_EMPTY(files_of_other_names_are_passed_over);
    empty_directory();
    buffer_free(&collected.frames);
    datadir_close(&dir);
    rmdir(path);
    return kit_finish();
}
