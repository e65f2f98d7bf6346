/* From files to frames. See logread.h; docs/disk.md has the reasons at length.
 *
 * What a crash leaves. Records are appended, so a process that is killed leaves a front part of
 * what it was writing, at the very end of the last file. A machine that loses power may also lose,
 * or leave as zeros, any of the bytes that were not known to be on disk, in the last file and in
 * one that was left shortly before. Every record says how far that was known when it was written
 * (`synced`), and the greatest of these, wherever it stands, is the truth:
 *
 *   a bad record before it         a disk has lost what it had: refused
 *   a bad record at or behind it   a power cut has torn the tail: the log ends there
 *   the same, and the machine has  no crash does that, unless the record is the last of all and the
 *   not been started since         file ends in the middle of it: refused
 *
 * A file that ends well is judged in the same way when the log goes on behind it although it does
 * not say so: then its tail is missing.
 */
#include "logread.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES ((size_t)256 * 1024)

/* A file that is being read. */
struct reading {
    int fd;
    char name[DATADIR_NAME_BYTES];
    uint64_t bytes;   /* of the file */
    uint64_t at;      /* of the next record */
    struct buffer in; /* what was read and not taken, from the record at `at` on; and... */
    size_t taken;     /* ...this much before it */
    struct opening opening;
    struct buffer opening_bytes; /* which that borrows */
};

struct logread {
    const struct datadir *dir;
    const uint64_t *boot;
    struct log_sink *sink;
    struct log_found *found;
    char *error; /* DATADIR_ERROR_BYTES */
    struct datadir_list list;
    uint64_t synced;     /* the greatest that any record has said */
    bool has_owner;      /* on_owner() was called */
    uint64_t directory;  /* of the first file */
    bool is_boot_of_now; /* the last file was begun since the machine was started */
    bool was_closed;     /* the last record says so */
};

/* ---- Errors ---- */

static bool refuse(struct logread *l, const struct reading *r, uint64_t offset, const char *what) {
    snprintf(l->error, DATADIR_ERROR_BYTES,
             "%s/%s: at byte %llu: %s. Nothing was changed. Restore the directory from a copy; or "
             "move it away, and the node starts empty and gets its data from its peers",
             l->dir->path, r->name, (unsigned long long)offset, what);
    return false;
}

static bool refuse_file(struct logread *l, const struct reading *r, const char *what) {
    snprintf(l->error, DATADIR_ERROR_BYTES, "%s/%s: %s", l->dir->path, r->name, what);
    return false;
}

/* ---- Files ---- */

static void end_reading(struct reading *r) {
    if (r->fd >= 0) close(r->fd);
    buffer_free(&r->in);
    buffer_free(&r->opening_bytes);
    r->fd = -1;
}

/* False: the machine cannot read it. At the end of the file nothing is added. */
static bool read_more(struct logread *l, struct reading *r) {
    if (r->taken > 0) {
        r->in.len -= r->taken;
        memmove(r->in.at, r->in.at + r->taken, r->in.len);
        r->taken = 0;
    }
    buffer_reserve(&r->in, READ_BYTES);
    ssize_t n = pread(r->fd, r->in.at + r->in.len, READ_BYTES, (off_t)(r->at + r->in.len));
    if (n < 0) return refuse_file(l, r, strerror(errno));
    r->in.len += (size_t)n;
    return true;
}

static struct slice unread(const struct reading *r) {
    return (struct slice){r->in.at + r->taken, r->in.len - r->taken};
}

static bool has_read_all(const struct reading *r) {
    return r->at + unread(r).len >= r->bytes;
}

static bool take_opening(struct logread *l, struct reading *r, const struct datadir_file *f) {
    size_t bytes = 0;
    switch (record_read_opening(unread(r), &r->opening, &bytes)) {
    case OPENING_GOOD: break;
    case OPENING_OTHER_VERSION:
        return refuse_file(l, r,
                           "written by another version of kvs, whose format this one does not "
                           "know; start that version");
    case OPENING_BAD: return refuse(l, r, 0, "the first record is damaged, or no file of kvs");
    }
    buffer_put(&r->opening_bytes, (struct slice){r->in.at, bytes});
    record_read_opening(buffer_slice(&r->opening_bytes), &r->opening, &bytes);
    r->at = r->taken = bytes;
    bool is_snapshot = (r->opening.flags & OPENING_SNAPSHOT) != 0;
    if (r->opening.number != f->number || is_snapshot != (f->kind == DATADIR_SNAPSHOT))
        return refuse_file(l, r, "this file was renamed: it says that it is another one");
    if (!l->has_owner) {
        l->has_owner = true;
        l->directory = r->opening.directory;
        char why[LOG_SINK_ERROR_BYTES];
        if (!l->sink->on_owner(l->sink, &r->opening, why)) return refuse_file(l, r, why);
    }
    if (r->opening.directory != l->directory)
        return refuse_file(l, r, "this file comes from another data directory; move it away");
    return true;
}

static bool begin_reading(struct logread *l, struct reading *r, const struct datadir_file *f) {
    *r = (struct reading){.fd = -1, .bytes = f->bytes};
    datadir_name(r->name, f->kind, f->number, f->is_part);
    r->fd = openat(l->dir->fd, r->name, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0) return refuse_file(l, r, strerror(errno));
    if (f->kind == DATADIR_LOG && f->bytes > LOGREAD_FILE_BYTES_MAX)
        return refuse_file(l, r, "larger than any log file of kvs");
    return read_more(l, r) && take_opening(l, r, f);
}

/* ---- Records of a file ---- */

enum next { NEXT_RECORD, NEXT_END, NEXT_SHORT, NEXT_BAD, NEXT_UNREADABLE };

/* SHORT: the file ends before the record does. */
static enum next next_record(struct logread *l, struct reading *r, struct record *out) {
    for (;;) {
        switch (record_cut(unread(r), r->opening.salt, r->at, out)) {
        case RECORD_CUT_WHOLE:
            r->at += out->bytes;
            r->taken += out->bytes;
            if (out->synced > l->synced) l->synced = out->synced;
            return NEXT_RECORD;
        case RECORD_CUT_BAD: return NEXT_BAD;
        case RECORD_CUT_MORE: break;
        }
        if (has_read_all(r)) return unread(r).len == 0 ? NEXT_END : NEXT_SHORT;
        size_t before = unread(r).len;
        if (!read_more(l, r)) return NEXT_UNREADABLE;
        if (unread(r).len == before) r->bytes = r->at + before; /* it was cut under our hands */
    }
}

static bool take_frames(struct logread *l, const struct reading *r, const struct record *record) {
    l->found->records++;
    l->found->frames_bytes += record->body.len;
    return record->body.len == 0 || l->sink->on_frames(l->sink, record->body) ||
           refuse(l, r, r->at - record->bytes, "a record that this version makes no sense of");
}

/* ---- Snapshots ---- */

/* A snapshot got its name when it was whole and on disk: all of it must be good. */
static bool read_snapshot_records(struct logread *l, struct reading *r) {
    struct record record;
    for (;;) {
        enum next next = next_record(l, r, &record);
        if (next == NEXT_UNREADABLE) return false;
        if (next == NEXT_END) return refuse(l, r, r->at, "the end of the snapshot is missing");
        if (next != NEXT_RECORD) return refuse(l, r, r->at, "the snapshot is damaged");
        if (record.kind == RECORD_CLOSED) break;
        if (record.kind != RECORD_FRAMES) return refuse(l, r, r->at, "the snapshot is damaged");
        if (!take_frames(l, r, &record)) return false;
    }
    if (r->at < r->bytes) return refuse(l, r, r->at, "something stands behind the snapshot's end");
    return true;
}

static bool read_snapshot(struct logread *l) {
    const struct datadir_file *f =
        datadir_find(&l->list, DATADIR_SNAPSHOT, l->found->snapshot, false);
    struct reading r;
    bool good = begin_reading(l, &r, f) && read_snapshot_records(l, &r);
    l->found->snapshot_bytes = f->bytes;
    end_reading(&r);
    return good;
}

/* ---- A log that does not end as it should ---- */

/* Whether whole records stand behind the bad one; what they say of `synced` counts. A file of the
 * log is not so long that its rest could not be read, and this happens once. */
static bool finds_record_behind(struct logread *l, struct reading *r, bool *found) {
    struct record record;
    size_t at = 0, from = r->taken;
    uint64_t begin = r->at;
    *found = false;
    while (!has_read_all(r)) {
        size_t before = r->in.len - r->taken;
        if (!read_more(l, r)) return false;
        from = r->taken;
        if (unread(r).len == before) break;
    }
    for (;;) {
        struct slice rest = {r->in.at + from, r->in.len - from};
        if (!record_find(rest, r->opening.salt, begin, &at, &record)) return true;
        *found = true;
        if (record.synced > l->synced) l->synced = record.synced;
        from += at + record.bytes;
        begin += at + record.bytes;
    }
}

/* The files behind that one: whether they hold any record, and what these say. */
static bool look_at_later(struct logread *l, uint32_t number, bool *has_records,
                          bool *after_trouble) {
    const struct datadir_file *f;
    *has_records = *after_trouble = false;
    while ((f = datadir_find(&l->list, DATADIR_LOG, ++number, false)) != NULL) {
        struct reading r;
        struct record record;
        bool good = begin_reading(l, &r, f);
        if (good) *after_trouble |= (r.opening.flags & OPENING_AFTER_TROUBLE) != 0;
        while (good && next_record(l, &r, &record) == NEXT_RECORD)
            *has_records = true;
        end_reading(&r);
        if (!good) return false;
    }
    return true;
}

static bool is_boot_of_now(const struct logread *l, const struct reading *r) {
    return r->opening.boot[0] == l->boot[0] && r->opening.boot[1] == l->boot[1];
}

/* The log file in hand has no good record at r->at, and does not say that this is its end. */
static bool judge_end(struct logread *l, struct reading *r, enum next next) {
    uint32_t number = r->opening.number;
    uint64_t end = r->at;
    bool is_of_now = is_boot_of_now(l, r);
    bool behind = false, later, after_trouble;
    if (next == NEXT_SHORT || next == NEXT_BAD) {
        if (!finds_record_behind(l, r, &behind)) return false;
    }
    if (!look_at_later(l, number, &later, &after_trouble)) return false;

    bool is_sound = next == NEXT_END && !later;
    bool was_killed = next == NEXT_SHORT && !behind && !later;
    if (record_position(number, end) < l->synced)
        return refuse(l, r, end, "damaged, though it was safely on disk once");
    if (!is_sound && !was_killed && is_of_now && !after_trouble)
        return refuse(l, r, end, "damaged, and no crash leaves it like that");
    l->found->is_intact = (is_of_now || l->was_closed) && (is_sound || was_killed);
    l->found->torn_bytes = r->bytes - end;
    return true;
}

/* ---- The log ---- */

/* Takes one file. *more: the log goes on in the next one. */
static bool read_log_records(struct logread *l, struct reading *r, bool *more) {
    struct record record;
    enum next next;
    *more = l->was_closed = false;
    while ((next = next_record(l, r, &record)) == NEXT_RECORD) {
        if (*more || (l->was_closed && record.kind != RECORD_NEXT))
            return refuse(l, r, r->at - record.bytes, "a record behind the end of the log");
        *more = record.kind == RECORD_NEXT;
        l->was_closed = record.kind == RECORD_CLOSED;
        if (record.kind == RECORD_OPENING)
            return refuse(l, r, r->at - record.bytes, "a second opening");
        if (record.kind == RECORD_FRAMES && !take_frames(l, r, &record)) return false;
    }
    if (next == NEXT_UNREADABLE) return false;
    if (*more && next != NEXT_END) return refuse(l, r, r->at, "something behind the file's end");
    return *more || judge_end(l, r, next);
}

static bool read_log_file(struct logread *l, const struct datadir_file *f, bool *more) {
    struct reading r;
    bool good = begin_reading(l, &r, f) && read_log_records(l, &r, more);
    l->is_boot_of_now = is_boot_of_now(l, &r);
    l->found->last = f->number;
    l->found->last_salt = r.opening.salt;
    l->found->end = r.at;
    l->found->log_bytes += r.at;
    l->found->log_files++;
    end_reading(&r);
    return good;
}

static bool refuse_missing(struct logread *l, uint32_t number) {
    snprintf(l->error, DATADIR_ERROR_BYTES,
             "%s: log-%06u is missing. Restore the directory from a copy; or move it away, and the "
             "node starts empty and gets its data from its peers",
             l->dir->path, number);
    return false;
}

/* A process that was killed between ending one file and naming the next left the next as a part:
 * nothing of that has had an effect. */
static bool was_about_to_go_on(const struct logread *l, uint32_t number) {
    return datadir_find(&l->list, DATADIR_LOG, number, true) != NULL;
}

static bool read_log(struct logread *l) {
    uint32_t number = l->found->snapshot > 0 ? l->found->snapshot : 1;
    bool more = true;
    for (; more; number++) {
        const struct datadir_file *f = datadir_find(&l->list, DATADIR_LOG, number, false);
        if (f == NULL && l->found->last > 0 && was_about_to_go_on(l, number)) {
            l->found->has_next = true;
            l->found->is_intact = l->is_boot_of_now;
            return true;
        }
        if (f == NULL) return refuse_missing(l, number);
        if (!read_log_file(l, f, &more)) return false;
    }
    return true;
}

static uint32_t newest_snapshot(const struct datadir_list *list) {
    uint32_t newest = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct datadir_file *f = &list->files[i];
        if (f->kind == DATADIR_SNAPSHOT && !f->is_part) newest = f->number;
    }
    return newest;
}

static bool has_whole_file(const struct datadir_list *list) {
    for (uint32_t i = 0; i < list->count; i++) {
        if (!list->files[i].is_part) return true;
    }
    return false;
}

bool logread_all(const struct datadir *d, const uint64_t boot[2], struct log_sink *sink,
                 struct log_found *out, char error[DATADIR_ERROR_BYTES]) {
    struct logread l = {.dir = d, .boot = boot, .sink = sink, .found = out, .error = error};
    *out = (struct log_found){0};
    if (!datadir_read_list(d, &l.list, error)) return false;
    out->is_new = !has_whole_file(&l.list);
    out->snapshot = newest_snapshot(&l.list);
    bool good = out->is_new || ((out->snapshot == 0 || read_snapshot(&l)) && read_log(&l));
    out->directory = l.directory;
    datadir_free_list(&l.list);
    return good;
}
