/* Writing a snapshot beside the loop. See compaction.h.
 *
 *   begin --> OPENING --> WALKING --(the walk is over)--> FINISHING --> OVER
 *                |           |                               |            ^
 *                +-----------+--- a disk error, cancelled ---+--> UNDOING +
 *
 * Each state but the last has one job of the helper: to make the file; to write a piece of it, as
 * often as there is one; to write its end, make sure that all of it is on disk, give it its name,
 * make sure of the name, and then, no sooner, remove the older files; to remove what there is.
 *
 * Every SYNC_BYTES the pieces are made sure of, so that the end does not have to wait for all of
 * them at once, nor does anybody else who shares the disk.
 */
#include "compaction.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define TURN_BYTES ((size_t)128 * 1024) /* gathered in one turn of the loop, or a slot more */
#define SYNC_BYTES ((uint64_t)4 * 1024 * 1024)

enum compaction_state {
    COMPACTION_OPENING,
    COMPACTION_WALKING,
    COMPACTION_FINISHING,
    COMPACTION_UNDOING,
    COMPACTION_OVER,
};

struct compaction {
    struct job job;
    struct compaction_config config;
    enum compaction_state state;
    struct snapshot walk;
    bool is_walked; /* it is over */
    bool is_cancelled;
    int error; /* of the job that is done */
    int outcome;
    struct logfile file;
    uint64_t synced_bytes;
    struct buffer frames, records; /* the piece in hand */
};

/* ---- In the thread ---- */

static void work_open(struct compaction *c) {
    c->error = logfile_create(c->config.disk, c->config.dir->fd, &c->config.opening,
                              (struct slice){0}, &c->file);
}

static void work_write(struct compaction *c) {
    struct disk *d = c->config.disk;
    c->error = disk_write(d, c->file.fd, NULL, 0, c->records.at, c->records.len);
    if (c->error != 0 || c->file.bytes - c->synced_bytes < SYNC_BYTES) return;
    c->synced_bytes = c->file.bytes;
    c->error = d->sync(d, c->file.fd);
}

static void remove_file(struct compaction *c, enum datadir_kind kind, uint32_t number,
                        bool is_part) {
    char name[DATADIR_NAME_BYTES];
    datadir_name(name, kind, number, is_part);
    c->config.disk->remove(c->config.disk, c->config.dir->fd, name);
}

/* That this fails is no harm but to the space: the next compaction tries again. */
static void remove_older(struct compaction *c) {
    struct datadir_list list;
    char error[DATADIR_ERROR_BYTES];
    if (!datadir_read_list(c->config.dir, &list, error)) return;
    for (uint32_t i = 0; i < list.count; i++) {
        const struct datadir_file *f = &list.files[i];
        if (f->number < c->file.number) remove_file(c, f->kind, f->number, f->is_part);
    }
    datadir_free_list(&list);
}

static void work_finish(struct compaction *c) {
    struct disk *d = c->config.disk;
    c->error = disk_write(d, c->file.fd, NULL, 0, c->records.at, c->records.len);
    if (c->error == 0) c->error = logfile_name(d, c->config.dir->fd, DATADIR_SNAPSHOT, &c->file);
    if (c->error == 0) remove_older(c);
}

static void work_undo(struct compaction *c) {
    remove_file(c, DATADIR_SNAPSHOT, c->file.number, true);
}

static void work(struct job *j) {
    struct compaction *c = CONTAINER_OF(j, struct compaction, job);
    switch (c->state) {
    case COMPACTION_OPENING: work_open(c); break;
    case COMPACTION_WALKING: work_write(c); break;
    case COMPACTION_FINISHING: work_finish(c); break;
    case COMPACTION_UNDOING: work_undo(c); break;
    case COMPACTION_OVER: break;
    }
}

static void on_done(struct job *j) {
    (void)j; /* the turn around it takes the next step */
}

/* ---- In the loop ---- */

struct compaction *compaction_begin(const struct compaction_config *config) {
    struct compaction *c = bytes_alloc_zeroed(sizeof *c);
    c->config = *config;
    c->job = (struct job){.work = work, .on_done = on_done};
    c->file.fd = -1;
    worker_start(config->worker, &c->job);
    return c;
}

/* The next pieces of the walk. False: there are none. */
static bool gather(struct compaction *c) {
    if (c->is_walked) return false;
    c->frames.len = c->records.len = 0;
    while (!c->is_walked && c->frames.len < TURN_BYTES)
        c->is_walked = !node_snapshot_next(c->config.node, &c->walk, &c->frames);
    logfile_put(&c->records, &c->file, 0, buffer_slice(&c->frames));
    return true;
}

static void put_end(struct compaction *c) {
    c->records.len = 0;
    record_put(&c->records, RECORD_CLOSED, c->file.salt, c->file.bytes, 0, (struct slice){0});
    c->file.bytes += RECORD_HEAD_BYTES;
}

static void go_to(struct compaction *c, enum compaction_state state) {
    c->state = state;
    if (state != COMPACTION_OVER) worker_start(c->config.worker, &c->job);
}

/* Writes the next piece, or the end. */
static void go_on(struct compaction *c, bool may_finish) {
    if (gather(c)) {
        go_to(c, COMPACTION_WALKING);
    } else if (may_finish) {
        put_end(c);
        go_to(c, COMPACTION_FINISHING);
    }
}

bool compaction_has_visited_all(const struct compaction *c) {
    return c->is_walked && c->state == COMPACTION_WALKING;
}

bool compaction_step(struct compaction *c, bool may_finish, int *error, uint64_t *bytes) {
    if (c->job.is_busy) return false;
    int failure = c->is_cancelled ? ECANCELED : c->error;
    bool is_done = c->state == COMPACTION_FINISHING && c->error == 0; /* cancelled too late */
    if (c->state == COMPACTION_UNDOING || is_done) {
        go_to(c, COMPACTION_OVER);
    } else if (c->state != COMPACTION_OVER && failure != 0) {
        c->outcome = failure;
        go_to(c, COMPACTION_UNDOING);
    } else if (c->state == COMPACTION_OPENING || c->state == COMPACTION_WALKING) {
        go_on(c, may_finish);
    }
    *error = c->outcome;
    *bytes = c->file.bytes;
    return c->state == COMPACTION_OVER;
}

void compaction_cancel(struct compaction *c) {
    c->is_cancelled = true;
}

void compaction_free(struct compaction *c) {
    assert(!c->job.is_busy);
    if (c->file.fd >= 0) close(c->file.fd);
    buffer_free(&c->frames);
    buffer_free(&c->records);
    free(c);
}
