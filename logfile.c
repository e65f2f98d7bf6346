/* Making files. See logfile.h. */
#include "logfile.h"

#include <fcntl.h>
#include <unistd.h>

void logfile_put(struct buffer *out, struct logfile *f, uint64_t synced, struct slice frames) {
    while (frames.len > 0) {
        struct slice front = {frames.at, record_fit(frames)};
        record_put(out, RECORD_FRAMES, f->salt, f->bytes, synced, front);
        f->bytes += RECORD_HEAD_BYTES + front.len;
        frames = (struct slice){frames.at + front.len, frames.len - front.len};
    }
}

int logfile_create(struct disk *d, int dir, const struct opening *o, struct slice frames,
                   struct logfile *out) {
    *out = (struct logfile){.fd = -1, .number = o->number, .salt = o->salt};
    enum datadir_kind kind = o->flags & OPENING_SNAPSHOT ? DATADIR_SNAPSHOT : DATADIR_LOG;
    char name[DATADIR_NAME_BYTES];
    datadir_name(name, kind, o->number, true);
    int error = d->create(d, dir, name, &out->fd);
    if (error != 0) return error;
    struct buffer bytes = {0};
    record_put_opening(&bytes, o);
    out->bytes = out->reserved = bytes.len;
    logfile_put(&bytes, out, 0, frames);
    error = disk_write(d, out->fd, NULL, 0, bytes.at, bytes.len);
    buffer_free(&bytes);
    if (error == 0) return 0;
    close(out->fd);
    out->fd = -1;
    return error;
}

int logfile_name(struct disk *d, int dir, enum datadir_kind kind, const struct logfile *f) {
    char part[DATADIR_NAME_BYTES], name[DATADIR_NAME_BYTES];
    datadir_name(part, kind, f->number, true);
    datadir_name(name, kind, f->number, false);
    int error = d->sync(d, f->fd);
    if (error == 0) error = d->rename(d, dir, part, name);
    if (error == 0) error = d->sync_dir(d, dir);
    return error;
}
