/* What of a node survives its process: the seam between the core, which says what must be on disk,
 * and the shell, which has the files. The core knows no file, the shell no meaning.
 *
 * While it runs. After node_end_turn() the *journal* of the turn is what has changed in it, as
 * whole frames. Nothing that the turn has produced, answers and outputs of links, may leave the
 * process before these bytes are safe, as safe as the operator wants. They are appended in order.
 *
 * When it starts. A node of node_config.keeps_journal does nothing until it has been given what was
 * kept: node_recover() as often as needed, then node_recovered(). All of that comes before its
 * first turn, and before anything else but node_create(). The journal is not empty behind it.
 *
 * Snapshots, so that the log does not grow for ever. In the turn in which the shell begins a new
 * file of the log, after it has taken the journal, it begins a walk, and takes it on by a piece
 * whenever it likes, between turns. The pieces together, and then all of the log from that file on,
 * give back the node. They are of different moments; docs/recovery.md says why that does no harm. A
 * snapshot counts as soon as it is safe itself and so is the log up to the moment of its last
 * piece: it tells of changes that no crash of the machine may take back.
 */
#ifndef KVS_DURABLE_H
#define KVS_DURABLE_H

#include "recover.h"

struct node;

/* ---- The journal of a turn ---- */

struct slice node_journal(const struct node *n); /* borrowed until the next call; may be empty */
void node_journal_taken(struct node *n);         /* all of it */

/* Cuts one whole frame off the front, of a journal or of a snapshot: where a long one can be
 * divided. False: what stands there is none, or is not complete. */
bool durable_cut(struct slice *rest, struct slice *frame);

/* ---- Recovery ---- */

/* One or more whole frames, in the order in which they were given out: those of the snapshot first.
 * False: they make no sense here; the node must be thrown away. */
bool node_recover(struct node *n, struct slice frames);

/* That was all, or there was nothing. `is_intact`: nothing that ever had an effect outside can be
 * missing. Otherwise (the machine has crashed, and a tail may be gone) the node levels with the
 * others before it serves. */
void node_recovered(struct node *n, bool is_intact);

/* It has data, and does not go on with it yet: it waits to hear somebody, or for a second. */
bool node_is_resuming(const struct node *n);

/* ---- Snapshots ---- */

/* Appends the next piece: the versions of a slot at most. A walk begins with a struct of zeroes,
 * which owns nothing. False: that was the last. */
bool node_snapshot_next(struct node *n, struct snapshot *walk, struct buffer *out);

/* ---- Trouble ---- */

/* Nothing can be kept just now (`reason`: one phrase; printable ASCII, at most
 * DURABLE_REASON_BYTES_MAX), or all is well again (empty). Meanwhile new writes are refused with
 * the reason, those of peers are neither delivered nor acknowledged, and reads go on. What little
 * the node changes all the same (it learns of maps, for example) is in the journal as ever. */
#define DURABLE_REASON_BYTES_MAX WIRE_REASON_MAX
void node_set_disk_trouble(struct node *n, struct slice reason);

#endif
