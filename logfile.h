/* A file of a data directory that is being written: its making, and where its end is. */
#ifndef KVS_LOGFILE_H
#define KVS_LOGFILE_H

#include "datadir.h"
#include "disk.h"
#include "record.h"

struct logfile {
    int fd; /* -1: none */
    uint32_t number, salt;
    uint64_t bytes;    /* appended */
    uint64_t reserved; /* the disk has room up to here */
};

/* Makes the part of a file and writes its opening, and `frames` in records behind it. 0 or an
 * errno, with no file open. The kind is in the flags of *o. */
int logfile_create(struct disk *d, int dir, const struct opening *o, struct slice frames,
                   struct logfile *out);

/* What is in the part is on disk, and then it gets its name. 0 or an errno. */
int logfile_name(struct disk *d, int dir, enum datadir_kind kind, const struct logfile *f);

/* Puts frames into records of that file, from f->bytes on, which moves. */
void logfile_put(struct buffer *out, struct logfile *f, uint64_t synced, struct slice frames);

#endif
