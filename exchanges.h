/* The exchanges of one connection that are under way: begun, and not answered.
 *
 * A queue in the order in which they were begun, which is that in which they must be answered. What
 * is answered before its turn keeps its answer here. The first one is created with the queue, and a
 * connection without any has none, so that one at rest is small.
 */
#ifndef KVS_EXCHANGES_H
#define KVS_EXCHANGES_H

#include "bytes.h"

struct node;
struct conn;

/* A request that was begun and could not be answered at once. */
struct exchange {
    struct exchange *next;
    uint64_t token;                         /* by which the node knows it */
    size_t bytes;                           /* its own, of its body in the node, of its answer */
    bool head_only, client_1_0, keep_alive; /* as in struct conn */
    bool parked;                            /* was not begun at once */
    bool answered;                          /* before its turn */
    struct buffer answer;                   /* it, then */
};

struct exchanges {
    struct exchange *first, **end; /* owned */
    uint32_t count;
    size_t bytes;          /* of all of them */
    uint64_t lane;         /* of all of them, if they are writes */
    struct buffer answers; /* whose turn has come; sent at the end of the loop's turn */
    struct conn *next;     /* the server's: another connection that has such answers */
};

/* Puts a copy of *begun behind the others. *q NULL: it is the first, and they are created. */
struct exchange *exchanges_push(struct exchanges **q, const struct exchange *begun);
void exchanges_pop(struct exchanges *q); /* the first */

/* NULL: it is not among them; q may be NULL. */
struct exchange *exchanges_find(const struct exchanges *q, uint64_t token);

/* Nobody waits for the answers any more. */
void exchanges_free(struct exchanges *q, struct node *n);

#endif
