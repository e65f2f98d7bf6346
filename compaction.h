/* A snapshot that is being written while the node goes on: then the log before it is removed.
 *
 * The loop takes the node's walk on, a few pieces a turn, and a helper thread writes them; there is
 * never more in memory than what it is writing. What the walk visits is of different moments, which
 * the log from its beginning on puts right (durable.h).
 */
#ifndef KVS_COMPACTION_H
#define KVS_COMPACTION_H

#include "durable.h"
#include "logfile.h"
#include "worker.h"

struct compaction;

struct compaction_config {
    struct disk *disk; /* borrowed, as are the next four */
    const struct datadir *dir;
    struct worker *worker;
    struct node *node;
    struct slice cluster;
    struct opening opening; /* of the snapshot */
};

/* In the turn in which log file opening.number begins, after its journal was taken. */
struct compaction *compaction_begin(const struct compaction_config *config);

/* Takes it on: at the end of each turn. True: it is over; *error is how, 0 or an errno, and *bytes
 * is the size of the snapshot. It is still to be freed.
 *
 * When all has been visited it waits until `may_finish`: a snapshot must not be ahead of what of
 * the log is on disk, or a power cut could leave a write without what it depends on. */
bool compaction_step(struct compaction *c, bool may_finish, int *error, uint64_t *bytes);
bool compaction_has_visited_all(const struct compaction *c);

/* Given up: what was written is removed, and it ends with ECANCELED. */
void compaction_cancel(struct compaction *c);

void compaction_free(struct compaction *c); /* its job must not be under way */

#endif
