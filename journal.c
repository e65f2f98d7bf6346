/* The log while the node runs. See journal.h; docs/disk.md tells the whole.
 *
 * Appending. FSYNC=everysec and never: the loop writes the turn's records itself, and what the turn
 * has produced may leave; a thread makes sure of them once a second, or when the file is left.
 * FSYNC=always: records are gathered, and a *round* of the writer takes all that there is, writes
 * it and makes sure of it; what comes meanwhile is the next round. So there is one wait for a disk
 * for all that many turns have brought, and the loop waits for none.
 *
 * Files. When a file is long, or a snapshot is due, the helper prepares the next one, and when it
 * has its name the old one is ended (RECORD_NEXT) and left to the writer, which makes sure of its
 * end before it does anything to the new one. The disk is asked for room ahead of what is written,
 * so that it is known to be full while there is still room for what must be written.
 *
 * Trouble, of which the node is told:
 *
 *            ask_for_room, prepare: no room                     fail: an append or sync failed
 *   (none) ---------------------------------> TROUBLE_FULL ------------------------+
 *    ^ ^ ^ <--------------------------------------+                                |
 *    | | |    there is room (tried once a second)                                  v
 *    | | +--------------- TROUBLE_SLOW <--- (none): too much waits for a round   TROUBLE_BROKEN
 *    | +------------------------------------------------------------------------------+
 *    |     end_compaction: a whole snapshot, and the log from its beginning on, are on disk
 *
 * Whatever fails in making sure of the log, nobody knows what of it is on disk: a kernel may forget
 * what it could not write and say "done" the next time. So a new file is begun and all of the
 * state is written once more. Until that is on disk nothing becomes safe, and what this file says
 * of `synced` stays as it was before.
 */
#include "journal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "compaction.h"
#include "log.h"
#include "worker.h"

#define FILE_BYTES         ((uint64_t)64 * 1024 * 1024)  /* of log, then the next file */
#define FILE_BYTES_LIMIT   ((uint64_t)512 * 1024 * 1024) /* no further, if there is no next file */
#define COMPACT_BYTES      ((uint64_t)64 * 1024 * 1024)  /* of log, before a snapshot is worth it */
#define COMPACT_FILES      64                            /* the same; each start makes one */
#define RESERVE_BYTES      ((uint64_t)8 * 1024 * 1024)   /* asked for ahead of the end */
#define RESERVE_BYTES_MIN  ((uint64_t)4 * 1024 * 1024)   /* when less is left */
#define GATHERED_BYTES_MAX ((size_t)64 * 1024 * 1024)    /* that may wait for a round */
#define TICK_MS            1000
#define RETRY_MS           10000  /* a snapshot, or a new file: at first, and... */
#define RETRY_MS_MAX       600000 /* ...each time twice as late, so that files do not pile up */

_Static_assert(2 * FILE_BYTES_LIMIT <= LOGREAD_FILE_BYTES_MAX, "what is written can be read");

enum trouble { TROUBLE_NONE, TROUBLE_FULL, TROUBLE_SLOW, TROUBLE_BROKEN };

/* FSYNC=always: records that are being written and made sure of. Else only the latter. */
struct round {
    struct job job;
    struct journal *journal;
    struct buffer records; /* owned */
    int fd;
    uint64_t position; /* the end of them */
    bool has_frames;
    int error;
};

/* A file that was left. */
struct left {
    struct job job;
    struct disk *disk;
    struct journal *journal;
    struct logfile file;
    bool is_lost;      /* nobody relies on it any more */
    uint64_t position; /* that is on disk when it is */
    int error;
};

enum next_state { NEXT_NONE, NEXT_PREPARING, NEXT_READY };

/* The next file. */
struct next {
    struct job job;
    struct journal *journal;
    enum next_state state;
    struct opening opening;
    struct logfile file;
    int error;
};

/* Room at the end of the file in hand. */
struct room {
    struct job job;
    struct disk *disk;
    int fd; /* if the file is left meanwhile, another one gets some room: no harm */
    uint32_t number;
    uint64_t from, bytes;
    int error;
    bool is_due; /* the job is done, and was not looked at */
};

struct journal {
    struct reactor *reactor; /* borrowed */
    struct node *node;       /* borrowed */
    struct journal_config config;
    struct disk *disk; /* borrowed */
    struct restarted restarted;
    struct worker *writer, *helper;
    struct gate gate;
    struct log_stats stats;
    struct timer tick;

    struct logfile file;      /* .fd -1: it is lost, and there is no other yet */
    uint64_t synced;          /* position: all before it is on disk */
    uint64_t synced_told;     /* as it was before the disk broke; else the same */
    uint64_t files_since;     /* since the last snapshot: files of the log... */
    uint64_t bytes_since;     /* ...and their bytes, but for the one in hand */
    uint64_t snapshot_bytes;  /* of that */
    bool is_dirty;            /* frames were appended and no round has taken them */
    bool is_mark_due;         /* and no record says so much of them as is on disk */
    struct buffer gathered;   /* FSYNC=always: records for the next round */
    bool gathered_has_frames; /* and not just a mark */
    struct round round;
    struct next next;
    struct room room;
    struct compaction *compaction; /* NULL: none */
    uint64_t compacting_since_ms;
    uint64_t compacted_to; /* position that must be on disk before it may finish */
    uint64_t retry_at_ms;  /* no new file before */
    uint64_t retry_ms;     /* how long it is put off the next time */
    enum trouble trouble;
};

static bool is_always(const struct journal *j) {
    return j->config.fsync == CONFIG_FSYNC_ALWAYS;
}

/* ---- Trouble ---- */

static void set_trouble(struct journal *j, enum trouble trouble, const char *what, int error) {
    if (trouble < j->trouble || trouble == j->trouble) return; /* there is worse already */
    j->trouble = trouble;
    snprintf(j->stats.trouble, sizeof j->stats.trouble, "%s", what);
    if (error != 0 && error != ENOSPC && error != EDQUOT) {
        snprintf(j->stats.trouble, sizeof j->stats.trouble, "%s: %s", what, strerror(error));
    }
    log_line(LOG_ERROR, "disk: %s; writes are refused", j->stats.trouble);
    node_set_disk_trouble(j->node, slice_of(j->stats.trouble));
}

static void end_trouble(struct journal *j, enum trouble trouble) {
    if (j->trouble != trouble) return;
    j->trouble = TROUBLE_NONE;
    j->stats.trouble[0] = '\0';
    log_line(LOG_INFO, "disk: all is well again");
    node_set_disk_trouble(j->node, (struct slice){0});
}

static const char *describe(int error) {
    return error == ENOSPC || error == EDQUOT ? "Disk full" : "Disk failed";
}

/* ---- Files that were left ---- */

static void work_left(struct job *job) {
    struct left *l = CONTAINER_OF(job, struct left, job);
    l->error = l->is_lost ? 0 : l->disk->sync(l->disk, l->file.fd);
    if (!l->is_lost) l->disk->cut(l->disk, l->file.fd, l->file.bytes); /* what was reserved */
    close(l->file.fd);
}

static void fail(struct journal *j, int error);

static void advance_synced(struct journal *j, uint64_t position) {
    if (position <= j->synced) return;
    j->synced = position;
    if (!j->gate.is_broken) j->synced_told = position;
}

static void on_left_done(struct job *job) {
    struct left *l = CONTAINER_OF(job, struct left, job);
    struct journal *j = l->journal;
    if (l->error != 0) {
        fail(j, l->error);
    } else if (!l->is_lost) {
        advance_synced(j, l->position);
    }
    free(l);
}

/* Behind all that the writer has to do to it. */
static void leave_file(struct journal *j, bool is_lost) {
    struct left *l = bytes_alloc_zeroed(sizeof *l);
    *l = (struct left){
        .job = {.work = work_left, .on_done = on_left_done},
        .disk = j->disk,
        .journal = j,
        .file = j->file,
        .is_lost = is_lost,
        .position = record_position(j->file.number + 1, 0),
    };
    j->files_since++;
    j->bytes_since += j->file.bytes;
    j->file.fd = -1;
    worker_start(j->writer, &l->job);
}

/* An append or a sync has failed: see the top. */
static void fail(struct journal *j, int error) {
    log_line(LOG_ERROR, "disk: the log cannot be written: %s; all will be written anew",
             strerror(error));
    j->stats.failures++;
    j->gate.is_broken = true;
    j->gate.appended++; /* something that will not be safe by itself */
    if (j->file.fd >= 0) leave_file(j, true);
    j->gathered.len = 0;
    j->is_dirty = j->is_mark_due = false;
    if (j->compaction != NULL) compaction_cancel(j->compaction);
    set_trouble(j, TROUBLE_BROKEN, describe(error), error);
}

/* ---- Appending ---- */

static uint64_t end_position(const struct journal *j) {
    return record_position(j->file.number, j->file.bytes);
}

static void append(struct journal *j, enum record_kind kind, struct slice body) {
    char head[RECORD_HEAD_BYTES];
    record_head(head, kind, j->file.salt, j->file.bytes, j->synced_told, body);
    size_t bytes = sizeof head + body.len;
    if (is_always(j)) {
        buffer_put(&j->gathered, (struct slice){head, sizeof head});
        buffer_put(&j->gathered, body);
    } else {
        int error = disk_write(j->disk, j->file.fd, head, sizeof head, body.at, body.len);
        if (error != 0) {
            fail(j, error);
            return;
        }
    }
    j->file.bytes += bytes;
    j->gate.appended += bytes;
    if (!is_always(j) && !j->gate.is_broken) j->gate.safe = j->gate.flying = j->gate.appended;
    j->stats.records++;
    j->stats.bytes += bytes;
}

/* What the node wants to be kept. While there is no file it is dropped: the snapshot that will be
 * begun with the next one holds all of it. */
static void append_journal(struct journal *j) {
    struct slice frames = node_journal(j->node);
    if (frames.len == 0) return;
    while (frames.len > 0 && j->file.fd >= 0) {
        struct slice front = {frames.at, record_fit(frames)};
        frames = (struct slice){frames.at + front.len, frames.len - front.len};
        append(j, RECORD_FRAMES, front);
        j->is_dirty = j->gathered_has_frames = true;
        j->is_mark_due = false;
    }
    if (j->file.fd < 0) j->is_dirty = false;
    node_journal_taken(j->node);
}

/* ---- Rounds ---- */

static void work_round(struct job *job) {
    struct round *r = CONTAINER_OF(job, struct round, job);
    struct disk *d = r->journal->disk;
    r->error = disk_write(d, r->fd, NULL, 0, r->records.at, r->records.len);
    if (r->error == 0) r->error = d->sync(d, r->fd);
}

static void on_round_done(struct job *job) {
    struct round *r = CONTAINER_OF(job, struct round, job);
    struct journal *j = r->journal;
    r->records.len = 0;
    if (r->records.cap > GATHERED_BYTES_MAX / 8) buffer_free(&r->records);
    j->stats.syncs++;
    if (j->file.fd < 0) return; /* it has failed already */
    if (r->error != 0) {
        fail(j, r->error);
        return;
    }
    advance_synced(j, r->position);
    if (r->has_frames && !j->is_dirty) j->is_mark_due = true;
    if (j->gate.is_broken) return;
    j->gate.safe = j->gate.flying;
    end_trouble(j, TROUBLE_SLOW);
}

/* All that was appended so far. */
static void start_round(struct journal *j) {
    struct round *r = &j->round;
    struct buffer empty = r->records;
    r->records = j->gathered;
    j->gathered = empty;
    r->fd = j->file.fd;
    r->position = end_position(j);
    r->has_frames = is_always(j) ? j->gathered_has_frames : j->is_dirty;
    j->is_dirty = j->gathered_has_frames = false;
    j->gate.flying = j->gate.appended;
    worker_start(j->writer, &r->job);
}

static void start_due_round(struct journal *j) {
    if (j->gathered.len > GATHERED_BYTES_MAX) set_trouble(j, TROUBLE_SLOW, "Disk too slow", 0);
    if (j->round.job.is_busy || j->file.fd < 0) return;
    bool is_awaited = j->compaction != NULL && compaction_has_visited_all(j->compaction) &&
                      j->synced < j->compacted_to;
    if (is_awaited || j->gathered.len > 0) start_round(j);
}

/* ---- Room ahead ---- */

static void work_room(struct job *job) {
    struct room *r = CONTAINER_OF(job, struct room, job);
    r->error = r->disk->reserve(r->disk, r->fd, r->from, r->bytes);
}

static void on_room_done(struct job *job) {
    CONTAINER_OF(job, struct room, job)->is_due = true;
}

static void ask_for_room(struct journal *j) {
    struct room *r = &j->room;
    if (r->job.is_busy || j->file.fd < 0) return;
    uint64_t from = j->file.reserved > j->file.bytes ? j->file.reserved : j->file.bytes;
    r->fd = j->file.fd;
    r->number = j->file.number;
    r->from = from;
    r->bytes = RESERVE_BYTES;
    worker_start(j->helper, &r->job);
}

static void look_for_room(struct journal *j) {
    struct room *r = &j->room;
    if (r->is_due) {
        r->is_due = false;
        if (j->file.fd < 0 || r->number != j->file.number) return;
        if (r->error == 0) {
            j->file.reserved = r->from + r->bytes;
            if (j->file.bytes <= FILE_BYTES_LIMIT) end_trouble(j, TROUBLE_FULL);
        } else {
            set_trouble(j, TROUBLE_FULL, describe(r->error), r->error);
        }
    }
    bool is_low = j->file.bytes + RESERVE_BYTES_MIN > j->file.reserved;
    if (is_low && j->trouble != TROUBLE_FULL) ask_for_room(j);
}

/* ---- The next file ---- */

/* With its name and with room, so that the loop can write to it at once. */
static void work_next(struct job *job) {
    struct next *n = CONTAINER_OF(job, struct next, job);
    struct journal *j = n->journal;
    int dir = j->restarted.dir.fd;
    n->error = logfile_create(j->disk, dir, &n->opening, (struct slice){0}, &n->file);
    if (n->error != 0) return;
    n->error = j->disk->reserve(j->disk, n->file.fd, n->file.bytes, RESERVE_BYTES);
    n->file.reserved = n->file.bytes + RESERVE_BYTES;
    if (n->error == 0) n->error = logfile_name(j->disk, dir, DATADIR_LOG, &n->file);
    if (n->error == 0) return;
    close(n->file.fd);
    n->file.fd = -1;
}

/* What needs a new file is tried again later. */
static void put_off(struct journal *j) {
    uint64_t after_ms = j->gate.is_broken ? TICK_MS : j->retry_ms;
    j->retry_at_ms = reactor_now_ms(j->reactor) + after_ms;
    j->retry_ms = 2 * j->retry_ms < RETRY_MS_MAX ? 2 * j->retry_ms : RETRY_MS_MAX;
}

static void on_next_done(struct job *job) {
    struct next *n = CONTAINER_OF(job, struct next, job);
    struct journal *j = n->journal;
    n->state = n->error == 0 ? NEXT_READY : NEXT_NONE;
    if (n->error == 0) return;
    log_line(LOG_WARN, "disk: no new file of the log can be made: %s", strerror(n->error));
    put_off(j);
}

static void prepare_next(struct journal *j) {
    struct next *n = &j->next;
    uint8_t flags = j->gate.is_broken ? OPENING_AFTER_TROUBLE : 0;
    n->state = NEXT_PREPARING;
    n->opening = restart_opening(&j->config.restart, &j->restarted, flags, j->file.number + 1);
    worker_start(j->helper, &n->job);
}

/* One that was made before the disk broke does not say so. */
static void drop_unfit_next(struct journal *j) {
    struct next *n = &j->next;
    bool is_fit = !j->gate.is_broken || (n->opening.flags & OPENING_AFTER_TROUBLE) != 0;
    if (n->state != NEXT_READY || is_fit) return;
    close(n->file.fd);
    n->state = NEXT_NONE;
}

/* ---- Compaction ---- */

static bool wants_compaction(const struct journal *j) {
    if (j->compaction != NULL) return false;
    uint64_t most = j->config.compact_bytes;
    if (j->snapshot_bytes > most) most = j->snapshot_bytes;
    return j->gate.is_broken || j->bytes_since + j->file.bytes > most ||
           j->files_since > COMPACT_FILES;
}

static void begin_compaction(struct journal *j) {
    const struct restarted *r = &j->restarted;
    struct compaction_config config = {
        .disk = j->disk,
        .dir = &r->dir,
        .worker = j->helper,
        .node = j->node,
        .opening = restart_opening(&j->config.restart, r, OPENING_SNAPSHOT, j->file.number),
    };
    j->compaction = compaction_begin(&config);
    j->compacting_since_ms = reactor_now_ms(j->reactor);
    j->stats.is_compacting = true;
    j->files_since = 0;
    j->bytes_since = 0;
}

/* The disk broke, and now all is on another part of it. */
static void mend(struct journal *j) {
    log_line(LOG_INFO, "disk: all was written anew");
    struct gate *g = &j->gate;
    g->is_broken = false;
    j->synced_told = j->synced;
    g->flying = g->appended - j->gathered.len;
    g->safe = g->flying - (j->round.job.is_busy ? j->round.records.len : 0);
    end_trouble(j, TROUBLE_BROKEN);
}

static void end_compaction(struct journal *j, int error, uint64_t bytes) {
    compaction_free(j->compaction);
    j->compaction = NULL;
    j->stats.is_compacting = false;
    if (error == 0) {
        j->snapshot_bytes = j->stats.snapshot_bytes = bytes;
        j->stats.snapshot_ms = reactor_now_ms(j->reactor) - j->compacting_since_ms;
        j->stats.snapshots++;
        j->retry_ms = RETRY_MS;
        log_line(LOG_INFO, "disk: snapshot %u, %llu bytes in %llu ms", j->file.number,
                 (unsigned long long)bytes, (unsigned long long)j->stats.snapshot_ms);
        if (j->gate.is_broken && j->file.fd >= 0) mend(j);
        return;
    }
    put_off(j);
    j->files_since = COMPACT_FILES + 1; /* when that time has come */
    if (error != ECANCELED)
        log_line(LOG_WARN, "disk: no snapshot could be written: %s", strerror(error));
}

static void step_compaction(struct journal *j) {
    int error;
    uint64_t bytes;
    if (j->compaction == NULL) return;
    if (!compaction_has_visited_all(j->compaction)) j->compacted_to = end_position(j);
    bool may_finish = j->synced >= j->compacted_to;
    if (compaction_step(j->compaction, may_finish, &error, &bytes)) end_compaction(j, error, bytes);
}

/* ---- On to the next file ---- */

static void rotate(struct journal *j) {
    if (j->file.fd >= 0) {
        append(j, RECORD_NEXT, (struct slice){0});
        if (j->file.fd < 0) return; /* that has failed, and needs another next file */
        if (is_always(j)) start_round(j);
        leave_file(j, false);
        j->is_dirty = false;
    }
    j->file = j->next.file;
    j->next.state = NEXT_NONE;
    if (wants_compaction(j)) begin_compaction(j);
}

static void look_for_next(struct journal *j) {
    drop_unfit_next(j);
    bool wanted = j->file.fd < 0 || j->file.bytes > j->config.file_bytes || wants_compaction(j);
    if (!wanted || j->retry_at_ms > reactor_now_ms(j->reactor)) return;
    if (j->next.state == NEXT_NONE) prepare_next(j);
    if (j->file.bytes > FILE_BYTES_LIMIT)
        set_trouble(j, TROUBLE_FULL, "Log cannot be continued", 0);
    bool is_free = !j->room.job.is_busy && !j->round.job.is_busy && j->compaction == NULL;
    if (j->next.state == NEXT_READY && is_free) rotate(j);
}

/* ---- Turns ---- */

void journal_turn_end(struct journal *j) {
    append_journal(j);
    look_for_next(j);
    start_due_round(j);
    step_compaction(j);
    look_for_room(j);
}

/* ---- Life ---- */

/* Once a second: the sync of FSYNC=everysec, a mark that says how far it has come, and what did not
 * succeed before. */
static void on_tick(struct timer *t) {
    struct journal *j = CONTAINER_OF(t, struct journal, tick);
    reactor_set_timer(j->reactor, t, reactor_now_ms(j->reactor) + TICK_MS);
    bool syncs = j->config.fsync == CONFIG_FSYNC_EVERYSEC;
    if (j->file.fd >= 0 && !j->round.job.is_busy) {
        if (syncs && j->is_dirty) {
            start_round(j);
        } else if (j->is_mark_due && !j->is_dirty && !j->gate.is_broken) {
            j->is_mark_due = false;
            append(j, RECORD_FRAMES, (struct slice){0});
        }
    }
    if (j->trouble == TROUBLE_FULL) ask_for_room(j);
}

static void set_up(struct journal *j, const struct journal_config *config) {
    j->config = *config;
    if (j->config.file_bytes == 0) j->config.file_bytes = FILE_BYTES;
    if (j->config.compact_bytes == 0) j->config.compact_bytes = COMPACT_BYTES;
    j->disk = config->restart.disk;
    j->retry_ms = RETRY_MS;
    j->round.job = (struct job){.work = work_round, .on_done = on_round_done};
    j->round.journal = j;
    j->next.job = (struct job){.work = work_next, .on_done = on_next_done};
    j->next.journal = j;
    j->room.job = (struct job){.work = work_room, .on_done = on_room_done};
    j->room.disk = j->disk;
    j->tick = (struct timer)TIMER_INIT(on_tick);
}

static void take_up(struct journal *j) {
    const struct log_found *found = &j->restarted.found;
    j->file = j->restarted.file;
    j->synced = j->synced_told = end_position(j);
    j->files_since = found->log_files;
    j->bytes_since = found->log_bytes;
    j->snapshot_bytes = j->stats.snapshot_bytes = found->snapshot_bytes;
    reactor_set_timer(j->reactor, &j->tick, reactor_now_ms(j->reactor) + TICK_MS);
}

static void free_parts(struct journal *j) {
    if (j->writer != NULL) worker_free(j->writer);
    if (j->helper != NULL) worker_free(j->helper);
    reactor_cancel_timer(j->reactor, &j->tick);
    if (j->compaction != NULL) compaction_free(j->compaction);
    buffer_free(&j->gathered);
    buffer_free(&j->round.records);
    free(j);
}

struct journal *journal_open(struct reactor *r, struct node *n, const struct journal_config *config,
                             char error[DATADIR_ERROR_BYTES]) {
    struct journal *j = bytes_alloc_zeroed(sizeof *j);
    j->reactor = r;
    j->node = n;
    set_up(j, config);
    if (!restart_node(&j->config.restart, n, &j->restarted, error)) {
        free_parts(j);
        return NULL;
    }
    take_up(j);
    j->writer = worker_create(r);
    j->helper = worker_create(r);
    if (j->writer != NULL && j->helper != NULL) return j;
    snprintf(error, DATADIR_ERROR_BYTES, "no thread for the log: %s", strerror(errno));
    close(j->file.fd);
    datadir_close(&j->restarted.dir);
    free_parts(j);
    return NULL;
}

const struct gate *journal_gate(const struct journal *j) {
    return &j->gate;
}

const struct log_stats *journal_stats(const struct journal *j) {
    return &j->stats;
}

/* All of it is on disk, and only then does the log say so. */
static void end_log(struct journal *j) {
    char head[RECORD_HEAD_BYTES];
    int error = disk_write(j->disk, j->file.fd, NULL, 0, j->gathered.at, j->gathered.len);
    if (error == 0) error = j->disk->sync(j->disk, j->file.fd);
    record_head(head, RECORD_CLOSED, j->file.salt, j->file.bytes, end_position(j),
                (struct slice){0});
    if (error == 0) error = disk_write(j->disk, j->file.fd, head, sizeof head, NULL, 0);
    if (error == 0) error = j->disk->sync(j->disk, j->file.fd);
    if (error != 0) log_line(LOG_ERROR, "disk: the log could not be ended: %s", strerror(error));
}

void journal_close(struct journal *j) {
    append_journal(j);
    if (j->compaction != NULL) compaction_cancel(j->compaction);
    worker_finish(j->writer);
    worker_finish(j->helper);
    worker_finish(j->writer); /* what the others' ends have begun */
    if (j->file.fd >= 0 && !j->gate.is_broken) end_log(j);
    if (j->file.fd >= 0) close(j->file.fd);
    if (j->next.state == NEXT_READY) close(j->next.file.fd);
    datadir_close(&j->restarted.dir);
    free_parts(j);
}
