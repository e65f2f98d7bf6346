/* A thread that does what the loop must not wait for, one job after the other.
 *
 * A job is embedded in whatever it is about. The loop hands it over and may not touch what the job
 * works on until on_done(), which is called in the loop, in the order of the jobs: so nothing is
 * shared, and nothing else needs a lock.
 */
#ifndef KVS_WORKER_H
#define KVS_WORKER_H

#include "reactor.h"

struct job {
    void (*work)(struct job *j);    /* in the thread */
    void (*on_done)(struct job *j); /* in the loop */
    struct job *next;               /* the worker's */
    bool is_busy;                   /* handed over, and not done */
};

struct worker;

/* NULL with errno set. Borrows the reactor until worker_free(). */
struct worker *worker_create(struct reactor *r);
void worker_start(struct worker *w, struct job *j);

/* Waits until all jobs are done, and calls on_done() for each. */
void worker_finish(struct worker *w);

/* Waits for the job in hand; those behind it are never done. */
void worker_free(struct worker *w);

#endif
