/* A node's state into frames, and back: snapshots and recovery. See durable.h for the idea, redo.h
 * for the frames.
 */
#ifndef KVS_RECOVER_H
#define KVS_RECOVER_H

#include "cluster.h"

/* ---- Recovery: into a cluster of cluster_config.keeps_journal that has not begun ---- */

struct recovery {
    struct buffer image; /* VERSIONs, until the SLOT comes that they belong to */
    uint64_t map_id;     /* that the former process lived by; 0: none yet */
    bool has_maps, synced, provisional;
};

/* Applies whole frames in their order. False: nonsense. */
bool recover_frames(struct recovery *rc, struct cluster *c, struct slice frames);

/* There are no more: begins, or resumes. From now on changes are recorded. */
void recover_end(struct recovery *rc, struct cluster *c, bool is_intact);

/* ---- Snapshots ---- */

struct snapshot {         /* a walk; it begins with zeroes, and owns nothing */
    uint32_t actors_told; /* so many of them are in it */
    uint32_t slot;        /* the next one to be walked */
    bool has_head;
};

/* Appends the next piece; false: that was the last. */
bool snapshot_next(struct snapshot *walk, struct cluster *c, struct buffer *out);

#endif
