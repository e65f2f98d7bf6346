/* Notes: what has happened inside the core that an operator wants to read. The core writes lines,
 * the edge logs them. */
#ifndef KVS_NOTES_H
#define KVS_NOTES_H

#include "address.h"

#define NOTES_BYTES_MAX (64 * 1024) /* when nobody takes them */

struct notes {
    struct buffer lines; /* each ended by '\n' */
    bool taken;          /* they are lent out and go at the next note */
};

/* A line: `what`, and the node that it is about where `about` is not NULL. */
void notes_put(struct notes *ns, const char *what, const struct address *about);

/* The lines since the last call; borrowed until the next one of notes_put() or notes_take(). */
struct slice notes_take(struct notes *ns);
void notes_free(struct notes *ns);

#endif
