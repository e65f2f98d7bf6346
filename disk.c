/* The machine's files. See disk.h. */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static int outcome(int result) {
    return result < 0 ? errno : 0;
}

static int machine_create(struct disk *d, int dir, const char *name, int *fd) {
    (void)d;
    *fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return outcome(*fd);
}

static int machine_write(struct disk *d, int fd, const struct iovec *parts, int count,
                         size_t *written) {
    (void)d;
    ssize_t n = writev(fd, parts, count);
    *written = n > 0 ? (size_t)n : 0;
    if (n >= 0) return n > 0 ? 0 : ENOSPC;
    return errno == EINTR ? 0 : errno;
}

static int machine_sync(struct disk *d, int fd) {
    (void)d;
    return outcome(fdatasync(fd));
}

static int machine_reserve(struct disk *d, int fd, uint64_t from, uint64_t bytes) {
    (void)d;
    int error = outcome(fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)bytes));
    return error == EOPNOTSUPP || error == ENOSYS ? 0 : error; /* then a write will find out */
}

static int machine_cut(struct disk *d, int fd, uint64_t bytes) {
    (void)d;
    return outcome(ftruncate(fd, (off_t)bytes));
}

static int machine_rename(struct disk *d, int dir, const char *from, const char *to) {
    (void)d;
    return outcome(renameat(dir, from, dir, to));
}

static int machine_remove(struct disk *d, int dir, const char *name) {
    (void)d;
    return outcome(unlinkat(dir, name, 0));
}

static int machine_sync_dir(struct disk *d, int dir) {
    (void)d;
    return outcome(fsync(dir));
}

struct disk *disk_of_machine(void) {
    static struct disk machine = {
        .create = machine_create,
        .write = machine_write,
        .sync = machine_sync,
        .reserve = machine_reserve,
        .cut = machine_cut,
        .rename = machine_rename,
        .remove = machine_remove,
        .sync_dir = machine_sync_dir,
    };
    return &machine;
}

int disk_write(struct disk *d, int fd, const char *head, size_t head_len, const char *body,
               size_t body_len) {
    while (head_len + body_len > 0) {
        struct iovec parts[2] = {{(char *)head, head_len}, {(char *)body, body_len}};
        size_t written;
        int skip = head_len == 0; /* the head has gone */
        int error = d->write(d, fd, parts + skip, 2 - skip, &written);
        if (error != 0) return error;
        size_t of_head = written < head_len ? written : head_len;
        size_t of_body = written - of_head;
        if (of_head > 0) head += of_head; /* a part of no bytes may stand nowhere */
        if (of_body > 0) body += of_body;
        head_len -= of_head;
        body_len -= of_body;
    }
    return 0;
}
