/* Who wants much waits for those who want little.
 *
 * A turn of the loop serves whoever has something to be done. A client that has one request at a
 * time costs it microseconds; one that pipelines without end, sends megabytes or lists everything
 * costs as much as it likes, and a few of those would have the node to themselves. So connections
 * that have more to be done than a *light* one are *greedy*, and all greedy ones together get a
 * slice of time, after which they rest three times as long: they have a quarter of the node,
 * however many they are, while there is anybody else. Where there is nobody else they rest only
 * until the turn is over, so that somebody else may turn up.
 *
 * Here is the accounting, and the queue of those that wait. What makes a connection greedy is
 * server.c's to say; it charges the time that it spends on them.
 */
#ifndef KVS_GREED_H
#define KVS_GREED_H

#include "reactor.h"

#define GREED_LIGHT_BYTES (16 * 1024) /* read from or made for one who is light, in one go */
#define GREED_SLICE_US    1000        /* of the greedy together, before they rest; at least */
#define GREED_REST        3           /* this many times as long */
#define GREED_RESUMED     16          /* of those that wait, so many go on in one turn */

struct greed_row {
    int fd;
    uint64_t number; /* of the connection: another one may have that descriptor by now */
};

struct greed {
    struct reactor *reactor; /* borrowed */
    struct timer timer;      /* ends the rest, or the turn when somebody waits */
    uint64_t rest_until_ms;
    uint64_t begun_us, spent_us; /* in this slice */
    bool is_spent;               /* the slice, in this turn */
    bool others;                 /* somebody light was served since the last rest */
    struct greed_row *rows;      /* owned; [first, count) wait, oldest first */
    size_t first, count, cap;
};

void greed_init(struct greed *g, struct reactor *r);
void greed_free(struct greed *g);

/* No greedy one is served now. */
bool greed_rests(const struct greed *g);

/* Around what is done for a greedy one; the others are only noted. */
void greed_begin(struct greed *g);
void greed_end(struct greed *g);
static inline void greed_note_light(struct greed *g) {
    g->others = true;
}

/* Somebody waits already: who has not waited goes behind. */
static inline bool greed_has_queue(const struct greed *g) {
    return g->first < g->count;
}

/* It waits until greed_take() gives it out. */
void greed_wait(struct greed *g, struct greed_row row);

/* At the end of each turn. Then the next one that may go on (false: nobody, or it is no time), and
 * behind the last one taken: the loop must not sleep while somebody waits. */
void greed_turn_end(struct greed *g);
bool greed_take(struct greed *g, struct greed_row *row);
void greed_taken(struct greed *g);

#endif
