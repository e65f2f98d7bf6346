/* Redo records: every change of what must survive a process, done and recorded in one call.
 *
 * Versions, D, base, maps, actors and whether the node is synced survive; what is held back, under
 * way, in the ring or known of peers does not. Whoever changes one of the former does it by a
 * function of this module, or puts the frame that tells it, in the order in which things change. So
 * the records, replayed one after the other, make the same state; recover.c does that.
 *
 * A record is a frame. Where nodes tell each other the same it is theirs (wire.h): ACTOR before its
 * first use, MAP, WRITE, and SLOT, which joins its clock and base to a slot, behind the VERSIONs
 * that come with it. The others are of the types below, which are never sent.
 */
#ifndef KVS_REDO_H
#define KVS_REDO_H

#include "row.h"

/* docs/recovery.md has the bytes. */
enum redo_type {
    REDO_ADOPT = 64, /* this node lives by that map */
    REDO_READY,      /* it has caught up since it began with nothing; or not, or provisionally */
    REDO_ADVANCE,    /* D has moved by a write that is here already, or belongs to others */
    REDO_OPEN,       /* slots are here, with nothing in them if they were not */
    REDO_DROP,       /* a slot is gone with all that is in it */
    REDO_FOUND,      /* a group's state of some slots is whole: parts_found() */
    REDO_DEMOTE,     /* a group's state is whole nowhere: parts_demote() */
    REDO_TYPES,
};

enum { REDO_READY_SYNCED = 1, REDO_READY_PROVISIONAL = 2 }; /* flags of REDO_READY */

struct redo {
    bool is_on;                  /* a log is kept: otherwise nothing is recorded */
    const struct actors *actors; /* borrowed */
    uint32_t actors_told;        /* so many of them have been introduced */
    struct buffer out;           /* the records */
};

void redo_free(struct redo *redo);

/* ---- Frames: of writes and versions as they came or were sent ---- */

void redo_put_frames(struct redo *redo, struct slice frames);
struct buffer *redo_output(struct redo *redo); /* the same for who makes the frame; if it is on */

/* ---- Parts ---- */

void redo_open_slots(struct redo *redo, struct parts *ps, const struct slots *slots);
void redo_join_slot(struct redo *redo, struct parts *ps, uint32_t slot, const struct vclock *clock,
                    const struct base *base); /* parts_join_slot() */
void redo_drop_slot(struct redo *redo, struct parts *ps, uint32_t slot);
void redo_found(struct redo *redo, struct parts *ps, const struct slots *slots, uint64_t group);
void redo_demote(struct redo *redo, struct parts *ps, uint64_t group);
/* parts_deliver() of a write that is not put as a frame. */
bool redo_advance(struct redo *redo, struct parts *ps, const struct slots *of, uint32_t slot,
                  struct dot dot);

/* ---- The rest, which is changed by others ---- */

void redo_map(struct redo *redo, const struct map *m);
void redo_adopt(struct redo *redo, uint64_t map_id);
void redo_ready(struct redo *redo, bool synced, bool provisional);
void redo_put_slot(struct redo *redo, uint32_t slot, const struct vclock *clock,
                   const struct base *base); /* the SLOT alone */

/* ---- Reading ---- */

/* As wire_cut(), which it asks about the frames of wire.h. */
enum wire_cut redo_cut(struct slice stream, struct wire_frame *out);

bool redo_read_adopt(struct slice body, uint64_t *map_id);
bool redo_read_ready(struct slice body, uint8_t *flags);
bool redo_read_advance(struct slice body, struct wire_dot *dot, uint16_t *slot);
bool redo_read_open(struct slice body, struct slots *slots);
bool redo_read_drop(struct slice body, uint16_t *slot);
bool redo_read_found(struct slice body, uint64_t *group, struct slots *slots);
bool redo_read_demote(struct slice body, uint64_t *group);

#endif
