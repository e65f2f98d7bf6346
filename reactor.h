/* The event loop: one thread, epoll, timers.
 *
 * A *watch* is embedded in whatever owns a descriptor, a *timer* in whatever waits; CONTAINER_OF
 * leads back to the owner. Callbacks may watch, unwatch, set, cancel and free anything, themselves
 * included: what was unwatched gets no more events, not even those already fetched.
 *
 * One turn: wait, read the clocks, on_start, handle events, fire timers that are due, on_end. When
 * the process was stopped or starved, all its timers are late at once and all the input that would
 * have moved them is waiting: so events go first, and timers fire only when all that were there
 * have had theirs.
 */
#ifndef KVS_REACTOR_H
#define KVS_REACTOR_H

#include "bytes.h"

enum { REACTOR_READ = 1, REACTOR_WRITE = 2, REACTOR_HANGUP = 4 }; /* HANGUP comes unasked */

struct watch {
    int fd;
    unsigned events;    /* asked for; kept by the reactor */
    uint64_t last_turn; /* that it had an event in; kept by the reactor */
    void (*on_event)(struct watch *w, unsigned events);
};

struct timer {
    uint64_t deadline_ms; /* kept by the reactor; UINT64_MAX: not set */
    uint32_t heap_at;     /* kept by the reactor */
    void (*on_timer)(struct timer *t);
};

struct turn {
    void (*on_start)(struct turn *t); /* the clocks have moved */
    void (*on_end)(struct turn *t);
};

#define TIMER_INIT(callback)                                                                       \
    { .deadline_ms = UINT64_MAX, .heap_at = 0, .on_timer = (callback) }

struct reactor;

struct reactor *reactor_create(void); /* NULL with errno set */
void reactor_free(struct reactor *r);

/* Begins to watch w->fd. False with errno set. */
bool reactor_watch(struct reactor *r, struct watch *w, unsigned events);
void reactor_change(struct reactor *r, struct watch *w, unsigned events);
void reactor_unwatch(struct reactor *r, struct watch *w); /* before the descriptor is closed */

void reactor_set_timer(struct reactor *r, struct timer *t, uint64_t deadline_ms);
void reactor_cancel_timer(struct reactor *r, struct timer *t);

uint64_t reactor_now_ms(const struct reactor *r);  /* monotonic, of this turn */
uint64_t reactor_wall_ms(const struct reactor *r); /* since 1970, of this turn */
uint64_t reactor_clock_us(void);                   /* monotonic, as it is now */

void reactor_run(struct reactor *r, struct turn *turn); /* until reactor_stop() */
void reactor_stop(struct reactor *r);

#endif
