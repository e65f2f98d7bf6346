/* The log while a node runs, on a disk that can be full, break, forget and stand still: what is
 * safe is there again, and nothing else has left. */
#include "kit.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../journal.h"
#include "../log.h"

#define WAIT_MS_MAX 30000
#define VALUE_BYTES 1000

/* ---- A disk that does as it is told ---- */

static struct disk machine, faulty;
static atomic_int write_error, sync_error, reserve_error, create_error; /* 0: none */
static atomic_bool writes_short, syncs_stand_still, log_syncs_slow;
static atomic_int syncs_waiting;

/* When what was done last: writes to a snapshot, syncs of the log. */
static atomic_int moment, snapshot_written[2], log_synced;
static atomic_int snapshots_ahead; /* that got their name before the log behind them was safe */

static bool is_file(int fd, const char *prefix) {
    char link[64], to[600] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return readlink(link, to, sizeof to - 1) > 0 && strstr(to, prefix) != NULL;
}

static int faulty_create(struct disk *d, int at, const char *name, int *fd) {
    if (create_error != 0) return create_error;
    return machine.create(d, at, name, fd);
}

static int faulty_write(struct disk *d, int fd, const struct iovec *parts, int count,
                        size_t *written) {
    *written = 0;
    if (is_file(fd, "/snapshot-")) {
        snapshot_written[0] = (int)snapshot_written[1];
        snapshot_written[1] = ++moment;
    }
    if (write_error != 0) return write_error;
    struct iovec one = parts[0];
    if (!writes_short) return machine.write(d, fd, parts, count, written);
    if (one.iov_len > 7) one.iov_len = 7;
    return machine.write(d, fd, &one, 1, written);
}

static int faulty_sync(struct disk *d, int fd) {
    syncs_waiting++;
    while (syncs_stand_still)
        usleep(1000);
    syncs_waiting--;
    if (is_file(fd, "/log-")) {
        if (log_syncs_slow) usleep(50000);
        log_synced = ++moment;
    }
    return sync_error != 0 ? sync_error : machine.sync(d, fd);
}

static int faulty_reserve(struct disk *d, int fd, uint64_t from, uint64_t bytes) {
    return reserve_error != 0 ? reserve_error : machine.reserve(d, fd, from, bytes);
}

/* The last write to it was its end; the one before, the last piece. */
static int faulty_rename(struct disk *d, int at, const char *from, const char *to) {
    if (strncmp(to, "snapshot-", 9) == 0 && log_synced < snapshot_written[0]) snapshots_ahead++;
    return machine.rename(d, at, from, to);
}

static void mend_disk(void) {
    write_error = sync_error = reserve_error = create_error = 0;
    writes_short = syncs_stand_still = log_syncs_slow = false;
}

/* ---- A node with a log, and a loop around both ---- */

static char path[256];

struct world {
    struct turn turn;
    struct reactor *reactor;
    struct node *node;
    struct journal *journal;
    bool (*until)(const struct world *w); /* the loop goes on */
    struct timer limit;
    bool in_time;
    struct claim claim;
    uint64_t token;
};

static void on_start(struct turn *t) {
    struct world *w = CONTAINER_OF(t, struct world, turn);
    node_set_time(w->node, reactor_now_ms(w->reactor), reactor_wall_ms(w->reactor));
}

static void on_end(struct turn *t) {
    struct world *w = CONTAINER_OF(t, struct world, turn);
    node_end_turn(w->node);
    journal_turn_end(w->journal);
    if (w->until(w)) reactor_stop(w->reactor);
}

static void on_limit(struct timer *t) {
    struct world *w = CONTAINER_OF(t, struct world, limit);
    w->in_time = false;
    reactor_stop(w->reactor);
}

static bool once(const struct world *w) {
    (void)w;
    return true;
}

static void on_poke(struct timer *t) {
    (void)t; /* the loop waits for nothing: there is a turn now */
}

static bool run_until(struct world *w, bool (*until)(const struct world *w)) {
    struct timer poke = TIMER_INIT(on_poke);
    w->until = until;
    w->in_time = true;
    w->limit = (struct timer)TIMER_INIT(on_limit);
    reactor_set_timer(w->reactor, &w->limit, reactor_now_ms(w->reactor) + WAIT_MS_MAX);
    reactor_set_timer(w->reactor, &poke, 0);
    reactor_run(w->reactor, &w->turn);
    reactor_cancel_timer(w->reactor, &w->limit);
    reactor_cancel_timer(w->reactor, &poke);
    return w->in_time;
}

static uint64_t random_number(void) {
    static struct kit_random random = {12345};
    return kit_next(&random);
}

static struct journal_config configuration(enum config_fsync fsync) {
    return (struct journal_config){
        .restart = {.path = path,
                    .cluster = SLICE("kvs"),
                    .node = kit_address("10.0.0.1:8090"),
                    .disk = &faulty,
                    .random64 = random_number},
        .fsync = fsync,
    };
}

static char error[DATADIR_ERROR_BYTES];

/* False: the log was refused, and there is no world. */
static bool try_begin(struct world *w, const struct journal_config *config) {
    *w = (struct world){.turn = {on_start, on_end}};
    w->reactor = reactor_create();
    struct node_config node = kit_node_config();
    node.keeps_journal = true;
    node.boot = random_number();
    node.random64 = random_number;
    w->node = node_create(&node, reactor_now_ms(w->reactor), reactor_wall_ms(w->reactor));
    w->journal = journal_open(w->reactor, w->node, config, error);
    if (w->journal != NULL) return true;
    node_free(w->node);
    reactor_free(w->reactor);
    return false;
}

static void begin(struct world *w, const struct journal_config *config) {
    bool good = try_begin(w, config);
    if (!good) printf("%s\n", error);
    assert(good);
}

static void end(struct world *w) {
    mend_disk();
    journal_close(w->journal);
    node_free(w->node);
    reactor_free(w->reactor);
    claim_free(&w->claim);
}

/* The answer of a lone node comes at once, or soon. */
static enum node_status ask(struct world *w, enum op_kind kind, const char *key,
                            struct slice value) {
    claim_clear(&w->claim);
    struct op op = {.kind = kind, .key = slice_of(key), .value = value, .claim = &w->claim};
    struct answer answer = {0};
    uint64_t token = 0;
    enum node_taken taken = node_submit(w->node, ++w->token, &op, &answer);
    if (taken != NODE_ANSWERED) node_take_answer(w->node, &token, &answer);
    return answer.status;
}

static struct slice value_of(int i) {
    static char text[VALUE_BYTES + 1];
    snprintf(text, sizeof text, "\"%0*d\"", VALUE_BYTES - 2, i);
    return (struct slice){text, VALUE_BYTES};
}

static enum node_status put(struct world *w, int i) {
    char key[16];
    snprintf(key, sizeof key, "key-%d", i);
    return ask(w, OP_PUT, key, value_of(i));
}

static void put_all(struct world *w, int from, int to) {
    for (int i = from; i < to; i++)
        CHECK(put(w, i) == NODE_CREATED);
}

/* Exactly the keys [0, count) are there. */
static void expect_keys(struct world *w, int count) {
    char key[16];
    CHECK_U64(store_live(node_store(w->node)), (uint64_t)count);
    for (int i = 0; i < count; i++) {
        struct version v;
        snprintf(key, sizeof key, "key-%d", i);
        const struct store *s = node_store(w->node);
        struct slice k = slice_of(key);
        if (CHECK(store_find(s, store_locate(s, k), k, &v))) CHECK_SLICE(v.value, value_of(i));
    }
}

/* ---- The directory ---- */

static void for_each_file(void (*visit)(int dir, const char *name)) {
    DIR *d = opendir(path);
    struct dirent *entry;
    while (d != NULL && (entry = readdir(d)) != NULL) {
        if (entry->d_name[0] != '.') visit(dirfd(d), entry->d_name);
    }
    if (d != NULL) closedir(d);
}

static void remove_file(int at, const char *name) {
    unlinkat(at, name, 0);
}

static unsigned snapshots, logs, parts;

static void count_file(int at, const char *name) {
    (void)at;
    struct slice text = slice_of(name);
    bool is_part = strstr(name, ".part") != NULL;
    parts += is_part;
    snapshots += !is_part && slice_starts_with(text, SLICE("snapshot-"));
    logs += !is_part && slice_starts_with(text, SLICE("log-"));
}

static void count_files(void) {
    snapshots = logs = parts = 0;
    for_each_file(count_file);
}

static char copied_to[sizeof path];

static void copy_file(int at, const char *name) {
    char to[600], bytes[65536];
    snprintf(to, sizeof to, "%s/%s", copied_to, name);
    int in = openat(at, name, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (ssize_t n; (n = read(in, bytes, sizeof bytes)) > 0;)
        CHECK(write(out, bytes, (size_t)n) == n);
    close(in);
    close(out);
}

/* What a process that is killed now leaves: begins another one on a copy of it. */
static void begin_after_kill(struct world *w) {
    static char original[sizeof path];
    snprintf(original, sizeof original, "%s", path);
    snprintf(copied_to, sizeof copied_to, "%.200s-copy", original);
    struct datadir d;
    CHECK(datadir_open(&d, copied_to, true, error));
    datadir_close(&d);
    for_each_file(copy_file);
    snprintf(path, sizeof path, "%s", copied_to);
    struct journal_config config = configuration(CONFIG_FSYNC_EVERYSEC);
    begin(w, &config);
    end(w);
    begin(w, &config);
    snprintf(path, sizeof path, "%s", original);
}

static void end_copy(struct world *w) {
    end(w);
    char original[sizeof path];
    snprintf(original, sizeof original, "%s", path);
    snprintf(path, sizeof path, "%s", copied_to);
    for_each_file(remove_file);
    rmdir(path);
    snprintf(path, sizeof path, "%s", original);
}

static void expect_after_kill(int count) {
    struct world again;
    begin_after_kill(&again);
    expect_keys(&again, count);
    end_copy(&again);
}

/* ---- Facts ---- */

static bool gate_is_open_now(const struct world *w) {
    return gate_is_open(journal_gate(w->journal));
}

static const enum config_fsync MODES[] = {CONFIG_FSYNC_ALWAYS, CONFIG_FSYNC_EVERYSEC,
                                          CONFIG_FSYNC_NEVER};

static void what_was_let_out_is_there_again(void) {
    for (int i = 0; i < 3; i++) {
        struct world w;
        struct journal_config config = configuration(MODES[i]);
        for_each_file(remove_file);
        kit_note("mode %d", i);
        begin(&w, &config);
        put_all(&w, 0, 20);
        CHECK(run_until(&w, gate_is_open_now));
        expect_after_kill(20);
        put_all(&w, 20, 30);
        end(&w);
        begin(&w, &config);
        expect_keys(&w, 30);
        end(&w);
    }
}

static void short_writes_are_gone_on_with(void) {
    for (int i = 0; i < 2; i++) {
        struct world w;
        struct journal_config config = configuration(MODES[i]);
        for_each_file(remove_file);
        begin(&w, &config);
        writes_short = true;
        put_all(&w, 0, 5);
        CHECK(run_until(&w, gate_is_open_now));
        expect_after_kill(5);
        end(&w);
    }
}

static bool a_sync_waits(const struct world *w) {
    (void)w;
    return syncs_waiting > 0;
}

static void always_lets_nothing_out_before_it_is_on_disk(void) {
    struct world w;
    struct journal_config config = configuration(CONFIG_FSYNC_ALWAYS);
    begin(&w, &config);
    CHECK(run_until(&w, gate_is_open_now));
    syncs_stand_still = true;
    put_all(&w, 0, 1);
    CHECK(run_until(&w, a_sync_waits));
    CHECK(!gate_is_open_now(&w));
    const struct gate *g = journal_gate(w.journal);
    uint64_t first = g->flying;
    put_all(&w, 1, 2);
    run_until(&w, once);
    CHECK(g->flying == first && g->appended > first && g->safe < first);
    syncs_stand_still = false;
    CHECK(run_until(&w, gate_is_open_now));
    end(&w);
}

static bool has_snapshot(const struct world *w) {
    const struct log_stats *stats = journal_stats(w->journal);
    return stats->snapshots > 0 && !stats->is_compacting;
}

static void a_snapshot_takes_the_place_of_the_log_while_writes_go_on(void) {
    for (int i = 0; i < 2; i++) {
        struct world w;
        struct journal_config config = configuration(MODES[i]);
        config.compact_bytes = 100 * VALUE_BYTES;
        config.file_bytes = 30 * VALUE_BYTES;
        for_each_file(remove_file);
        begin(&w, &config);
        int n = 0;
        while (!has_snapshot(&w) && n < 100000) {
            put_all(&w, n, n + 5);
            n += 5;
            run_until(&w, once);
        }
        CHECK(run_until(&w, has_snapshot));
        CHECK(run_until(&w, gate_is_open_now));
        expect_after_kill(n);
        end(&w);
        begin(&w, &config);
        expect_keys(&w, n);
        end(&w);
        count_files();
        CHECK_U64(snapshots, 1);
        CHECK_U64(parts, 0); /* if one more was begun, the start has removed it */
    }
}

static void a_snapshot_is_not_ahead_of_the_log_that_is_on_disk(void) {
    struct world w;
    struct journal_config config = configuration(CONFIG_FSYNC_NEVER);
    config.compact_bytes = 100 * VALUE_BYTES;
    begin(&w, &config);
    log_syncs_slow = true;
    snapshots_ahead = 0;
    for (int n = 0; !has_snapshot(&w) && n < 100000; n += 5) {
        put_all(&w, n, n + 5);
        run_until(&w, once);
    }
    CHECK(run_until(&w, has_snapshot));
    CHECK(snapshots_ahead == 0);
    end(&w);
}

static bool is_in_trouble(const struct world *w) {
    return journal_stats(w->journal)->trouble[0] != '\0';
}

static bool is_well(const struct world *w) {
    return !is_in_trouble(w) && gate_is_open_now(w);
}

static void a_full_disk_is_noticed_while_there_is_room_and_writes_wait_for_more(void) {
    for (int i = 0; i < 2; i++) {
        struct world w;
        struct journal_config config = configuration(MODES[i]);
        for_each_file(remove_file);
        begin(&w, &config);
        put_all(&w, 0, 3);
        reserve_error = ENOSPC;
        CHECK(run_until(&w, is_in_trouble));
        CHECK_TEXT(slice_of(journal_stats(w.journal)->trouble), "Disk full");
        CHECK(run_until(&w, gate_is_open_now)); /* what was done before is safe */
        reserve_error = 0;
        CHECK(run_until(&w, is_well));
        put_all(&w, 3, 6);
        CHECK(run_until(&w, gate_is_open_now));
        expect_after_kill(6);
        CHECK_U64(journal_stats(w.journal)->failures, 0);
        end(&w);
    }
}

/* What waits for a round is bounded. */
static void a_disk_that_stands_still_ends_in_refused_writes(void) {
    struct world w;
    struct journal_config config = configuration(CONFIG_FSYNC_ALWAYS);
    struct buffer large = {0};
    memset(buffer_grow(&large, 8 << 20), '1', 8 << 20);
    begin(&w, &config);
    CHECK(run_until(&w, gate_is_open_now));
    syncs_stand_still = true;
    put_all(&w, 0, 1);
    CHECK(run_until(&w, a_sync_waits));
    int put_count = 0;
    for (; put_count < 20 && !is_in_trouble(&w); put_count++) {
        char key[32];
        snprintf(key, sizeof key, "large-%d", put_count);
        CHECK(ask(&w, OP_PUT, key, buffer_slice(&large)) == NODE_CREATED);
        run_until(&w, once);
    }
    CHECK_U64((uint64_t)put_count, 8); /* and the heads of their records */
    CHECK_TEXT(slice_of(journal_stats(w.journal)->trouble), "Disk too slow");
    CHECK(put(&w, 1) == NODE_DISK_TROUBLE);
    syncs_stand_still = false;
    CHECK(run_until(&w, is_well));
    CHECK(put(&w, 1) == NODE_CREATED);
    end(&w);
    buffer_free(&large);
}

static bool is_broken(const struct world *w) {
    return journal_gate(w->journal)->is_broken;
}

/* Whatever failed: nothing is let out until all of the state is on disk once more. */
static void expect_mended(struct world *w, atomic_int *fault, int keys) {
    CHECK(run_until(w, is_broken));
    CHECK(is_in_trouble(w) && !gate_is_open_now(w));
    CHECK(journal_stats(w->journal)->snapshots == 0);
    *fault = 0;
    CHECK(run_until(w, is_well));
    CHECK(journal_stats(w->journal)->snapshots == 1);
    CHECK(journal_stats(w->journal)->failures > 0);
    expect_after_kill(keys);
    put_all(w, keys, keys + 3);
    CHECK(run_until(w, gate_is_open_now));
    expect_after_kill(keys + 3);
}

static void after_a_failed_write_all_is_written_anew(void) {
    for (int i = 0; i < 2; i++) {
        struct world w;
        struct journal_config config = configuration(MODES[i]);
        for_each_file(remove_file);
        begin(&w, &config);
        put_all(&w, 0, 3);
        CHECK(run_until(&w, gate_is_open_now));
        write_error = i == 0 ? EIO : ENOSPC;
        put_all(&w, 3, 6);
        expect_mended(&w, &write_error, 6);
        end(&w);
    }
}

static void after_a_failed_sync_all_is_written_anew(void) {
    for (int i = 0; i < 2; i++) {
        struct world w;
        struct journal_config config = configuration(MODES[i]);
        for_each_file(remove_file);
        begin(&w, &config);
        put_all(&w, 0, 3);
        CHECK(run_until(&w, gate_is_open_now));
        sync_error = EIO;
        put_all(&w, 3, 6);
        expect_mended(&w, &sync_error, 6);
        end(&w);
    }
}

/* It was torn in the middle of a record, and the new file has not got its snapshot yet. */
static void killed_while_it_is_broken_it_comes_back_with_what_was_safe(void) {
    struct world w;
    struct journal_config config = configuration(CONFIG_FSYNC_EVERYSEC);
    begin(&w, &config);
    put_all(&w, 0, 3);
    CHECK(run_until(&w, gate_is_open_now));
    write_error = EIO;
    put_all(&w, 3, 4);
    CHECK(run_until(&w, is_broken));
    write_error = 0;
    expect_after_kill(3);
    end(&w);
    begin(&w, &config);
    expect_keys(&w, 3);
    end(&w);
}

static void a_directory_in_use_or_of_another_node_is_refused(void) {
    struct world w, other;
    struct journal_config config = configuration(CONFIG_FSYNC_EVERYSEC);
    begin(&w, &config);
    CHECK(!try_begin(&other, &config));
    CHECK(strstr(error, "in use by another live process") != NULL);
    end(&w);
    config.restart.node = kit_address("10.0.0.2:8090");
    CHECK(!try_begin(&other, &config));
    CHECK(strstr(error, "belongs to node 10.0.0.1:8090 of cluster kvs") != NULL);
    config = configuration(CONFIG_FSYNC_EVERYSEC);
    config.restart.cluster = SLICE("other");
    CHECK(!try_begin(&other, &config));
    CHECK(strstr(error, "cluster other") != NULL);
    config.restart.path = "/tmp/there/is/no/such/parent";
    CHECK(!try_begin(&other, &config));
    CHECK(strstr(error, "cannot be made") != NULL);
    config.restart.path = "/dev/null";
    CHECK(!try_begin(&other, &config));
    CHECK(strstr(error, "Not a directory") != NULL);
}

static void no_room_at_the_start_is_said_and_changes_nothing(void) {
    struct world w;
    struct journal_config config = configuration(CONFIG_FSYNC_EVERYSEC);
    begin(&w, &config);
    put_all(&w, 0, 3);
    end(&w);
    write_error = ENOSPC;
    CHECK(!try_begin(&w, &config));
    CHECK(strstr(error, "No space left") != NULL);
    write_error = 0;
    create_error = EACCES;
    CHECK(!try_begin(&w, &config));
    create_error = 0;
    begin(&w, &config);
    expect_keys(&w, 3);
    end(&w);
}

/* Else it would stand in the middle of the log at the next start. */
static void a_torn_tail_is_cut_off(void) {
    struct world w;
    struct journal_config config = configuration(CONFIG_FSYNC_EVERYSEC);
    char log[300];
    begin(&w, &config);
    put_all(&w, 0, 3);
    end(&w);
    snprintf(log, sizeof log, "%s/log-000001", path);
    struct datadir_list list;
    struct datadir d;
    CHECK(datadir_open(&d, path, true, error) && datadir_read_list(&d, &list, error));
    CHECK(truncate(log, (off_t)list.files[0].bytes - 10) == 0);
    datadir_free_list(&list);
    datadir_close(&d);
    for (int i = 3; i < 6; i++) {
        begin(&w, &config);
        expect_keys(&w, i);
        put_all(&w, i, i + 1);
        end(&w);
    }
}

/* A restart begins a file of the log; many of them are worth a snapshot. */
static void many_restarts_do_not_leave_many_files(void) {
    struct world w;
    struct journal_config config = configuration(CONFIG_FSYNC_EVERYSEC);
    for (int i = 0; i < 66; i++) {
        begin(&w, &config);
        put_all(&w, i, i + 1);
        if (i == 65) CHECK(run_until(&w, has_snapshot));
        end(&w);
    }
    count_files();
    CHECK(logs < 10);
    begin(&w, &config);
    expect_keys(&w, 66);
    end(&w);
}

static void run_in_empty_directory(void (*test)(void), const char *name) {
    for_each_file(remove_file);
    mend_disk();
    kit_run(test, name);
}
#define RUN_EMPTY(test) run_in_empty_directory((test), #test)

int main(void) {
    machine = faulty = *disk_of_machine();
    faulty.create = faulty_create;
    faulty.write = faulty_write;
    faulty.sync = faulty_sync;
    faulty.reserve = faulty_reserve;
    faulty.rename = faulty_rename;
    log_set_level(LOG_ERROR);
    snprintf(path, sizeof path, "/tmp/kvs-journal-XXXXXX");
    if (mkdtemp(path) == NULL) {
        printf("no directory in /tmp\n0 passed, 1 failed\n");
        return 1;
    }
    RUN_EMPTY(what_was_let_out_is_there_again);
    RUN_EMPTY(short_writes_are_gone_on_with);
    RUN_EMPTY(always_lets_nothing_out_before_it_is_on_disk);
    RUN_EMPTY(a_snapshot_takes_the_place_of_the_log_while_writes_go_on);
    RUN_EMPTY(a_snapshot_is_not_ahead_of_the_log_that_is_on_disk);
    RUN_EMPTY(a_full_disk_is_noticed_while_there_is_room_and_writes_wait_for_more);
    RUN_EMPTY(a_disk_that_stands_still_ends_in_refused_writes);
    RUN_EMPTY(after_a_failed_write_all_is_written_anew);
    RUN_EMPTY(after_a_failed_sync_all_is_written_anew);
    RUN_EMPTY(killed_while_it_is_broken_it_comes_back_with_what_was_safe);
    RUN_EMPTY(a_directory_in_use_or_of_another_node_is_refused);
    RUN_EMPTY(no_room_at_the_start_is_said_and_changes_nothing);
    RUN_EMPTY(a_torn_tail_is_cut_off);
    RUN_EMPTY(many_restarts_do_not_leave_many_files);
    for_each_file(remove_file);
    rmdir(path);
    return kit_finish();
}
