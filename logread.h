/* Reading a data directory: the newest snapshot and the log behind it, in order.
 *
 * What a crash can have left (a torn tail) ends the log there; anything else that is not as it was
 * written is refused, with the file, the place and what to do. Nothing is written: what has to be
 * tidied up is in the result.
 *
 * A file is read in pieces; the most memory that it takes is one record and READ_BYTES, and, if a
 * record is bad, all that stands behind it in that file of the log.
 */
#ifndef KVS_LOGREAD_H
#define KVS_LOGREAD_H

#include "datadir.h"
#include "record.h"

#define LOGREAD_FILE_BYTES_MAX ((uint64_t)1 << 30) /* of a log file: more than journal.c makes */

#define LOG_SINK_ERROR_BYTES 320

struct log_sink {
    /* Whose directory it is, before anything else: false if that is wrong; `error` says why. */
    bool (*on_owner)(struct log_sink *s, const struct opening *o, char error[LOG_SINK_ERROR_BYTES]);
    /* Whole frames, in order. False: they make no sense. */
    bool (*on_frames)(struct log_sink *s, struct slice frames);
};

struct log_found {
    bool is_new;        /* there is nothing */
    bool is_intact;     /* nothing that ever had an effect outside is missing */
    uint64_t directory; /* as in struct opening */
    uint32_t last;      /* the number of the last log file with anything in it; 0: none */
    uint64_t end;       /* where its last good record ends */
    bool has_next;      /* that record says that the log goes on in the next file */
    uint32_t last_salt;
    uint32_t snapshot; /* number; 0: none */
    uint64_t snapshot_bytes, log_bytes;
    uint32_t log_files;
    uint64_t records, frames_bytes;
    uint64_t torn_bytes; /* behind `end` */
};

/* `boot`: of the machine now. */
bool logread_all(const struct datadir *d, const uint64_t boot[2], struct log_sink *sink,
                 struct log_found *out, char error[DATADIR_ERROR_BYTES]);

#endif
