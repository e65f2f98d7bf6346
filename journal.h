/* The node's log on disk: what node_journal() gives is appended, and then what a turn has produced
 * may leave (gate.h). It reads the directory when the node starts, moves on to the next file when
 * one is large, writes a snapshot when there is much log, and tells the node of trouble.
 *
 * In the loop. Two threads do what may have to wait for a disk: the *writer* makes sure of the log,
 * the *helper* prepares files and writes snapshots. docs/disk.md has the whole story.
 */
#ifndef KVS_JOURNAL_H
#define KVS_JOURNAL_H

#include "config.h"
#include "gate.h"
#include "metrics.h"
#include "reactor.h"
#include "restart.h"

struct journal_config {
    struct restart_config restart;
    enum config_fsync fsync;
    uint64_t file_bytes, compact_bytes; /* 0: the defaults; see journal.c */
};

struct journal;

/* Locks the directory, gives the node all that is in it, and begins a new file of the log. Borrows
 * the reactor and the node until journal_close(). NULL: `error` says why, and what to do. */
struct journal *journal_open(struct reactor *r, struct node *n, const struct journal_config *config,
                             char error[DATADIR_ERROR_BYTES]);

/* Takes what the node wants to be kept: after node_end_turn(), before anything is sent. */
void journal_turn_end(struct journal *j);

const struct gate *journal_gate(const struct journal *j);
const struct log_stats *journal_stats(const struct journal *j);

/* When the loop has ended: all is made sure of, and the log says so. */
void journal_close(struct journal *j);

#endif
