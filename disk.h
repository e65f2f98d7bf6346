/* The operations on files that can fail, as a table, so that tests can bring a disk that is full,
 * that breaks, or that forgets.
 *
 * Names are relative to an open directory. Everything returns 0 or an errno, and may be called by
 * several threads at once.
 */
#ifndef KVS_DISK_H
#define KVS_DISK_H

#include <stdint.h>
#include <sys/uio.h>

struct disk {
    int (*create)(struct disk *d, int dir, const char *name, int *fd); /* empty, to be written */
    int (*write)(struct disk *d, int fd, const struct iovec *parts, int count, size_t *written);
    int (*sync)(struct disk *d, int fd); /* what was written is on disk */
    int (*reserve)(struct disk *d, int fd, uint64_t from, uint64_t bytes); /* beyond the end */
    int (*cut)(struct disk *d, int fd, uint64_t bytes); /* the file ends here; reserves are freed */
    int (*rename)(struct disk *d, int dir, const char *from, const char *to);
    int (*remove)(struct disk *d, int dir, const char *name);
    int (*sync_dir)(struct disk *d, int dir); /* names are on disk */
};

struct disk *disk_of_machine(void);

/* Writes all of it, in as many steps as it takes. */
int disk_write(struct disk *d, int fd, const char *head, size_t head_len, const char *body,
               size_t body_len);

#endif
