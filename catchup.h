/* Catching up: rows, pulls, images; when a replica may serve; which writes are lost for ever.
 *
 * A replica that lacks something asks one member at a time, with its D: "what lies beyond this?".
 * The member answers from its ring where that reaches back far enough, and otherwise with images of
 * whole slots, each of one instant, made one after the other as the asker takes them.
 */
#ifndef KVS_CATCHUP_H
#define KVS_CATCHUP_H

#include "replica.h"

#define CATCHUP_IMAGES_BYTES_MAX  (256 * 1024)      /* of output before the next image is made */
#define CATCHUP_HURRIED_BYTES_MAX (1024 * 1024)     /* the same, when somebody waits to read it */
#define CATCHUP_IMAGE_BYTES_MAX   ((size_t)1 << 30) /* of one slot */
#define CATCHUP_PARTS_BYTES_MAX   (4 * 1024 * 1024) /* of D in one frame */
#define CATCHUP_FRONTIER          256  /* last dots of an actor that tell other slots something */
#define CATCHUP_LEVEL_MS          3000 /* members not reached by then are not waited for at start */

/* Appends the parts of this node's row. */
void catchup_put_parts(struct replica *r, struct wire_row_writer *w);

/* A row has arrived from a member. False: nonsense. */
bool catchup_on_row(struct replica *r, struct peer *from, struct slice body);

bool catchup_on_pull(struct replica *r, struct peer *from, struct slice body);
bool catchup_on_slot(struct link *l, struct slice body);
bool catchup_on_version(struct link *l, struct slice frame);
bool catchup_on_slot_end(struct replica *r, struct link *l, struct slice body);

/* Somebody waits for that dot, which is not here. True: it is proven lost, and D of the slot covers
 * it from now on. */
bool catchup_waive(struct replica *r, struct dot dot, uint32_t slot);

/* Somebody waits to read the slot, of which not all is here: it is asked for at once, and comes
 * before all other images. */
void catchup_hurry(struct replica *r, uint32_t slot);

/* It takes over maps from the peer: see PRUNE in cluster.c. */
bool catchup_asks_for_maps(const struct replica *r, const struct peer *p);
/* Somebody in view knows a map that this node has asked for. */
bool catchup_awaits_maps(const struct replica *r);

/* This node had caught up, in a former process, and has all that that had. */
void catchup_resume(struct replica *r, bool provisional);

void catchup_tick(struct replica *r);
void catchup_end_turn(struct replica *r); /* asks, and sends images */

/* A link has taken what it was given of the images that are due: the next turn must not wait. */
bool catchup_has_more_to_send(const struct replica *r);

#endif
