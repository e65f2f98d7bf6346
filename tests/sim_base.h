/* What everything in the simulator stands on: virtual time, the queue of events, one source of
 * random numbers, the trace, and the way to say that an invariant does not hold.
 *
 * Everything that happens follows from the seed: events are ordered by time, then by the order in
 * which they were put in, and nothing looks at an address or at the machine's clock.
 */
#ifndef KVS_SIM_BASE_H
#define KVS_SIM_BASE_H

#include "kit.h"

#define MS 1000u /* microseconds, in which the world counts */

enum sim_event_kind {
    EVENT_WAKE,    /* a: host; it may have something to do */
    EVENT_SYN,     /* a: connection; the call arrives */
    EVENT_SYN_ACK, /* a: connection; its answer arrives; b: refused */
    EVENT_BYTES,   /* a: connection, b: end that sent; bytes or the end of the stream arrive */
    EVENT_SESSION, /* a: session; its next step */
    EVENT_FAULT,   /* something breaks */
    EVENT_REPAIR,  /* a: what broke */
    EVENT_EXPECT,  /* a: host; where it must stand in the views by now; b: how often it had changed
                    */
    EVENT_PHASE,   /* a: which begins */
    EVENT_REQUEST, /* about nodes and shards; a: the host that is asked, b: another one that it is
                    about, both from 1 on; 0: any */
};

struct sim_event {
    uint64_t at_us, order;
    enum sim_event_kind kind;
    uint32_t a, b;
};

struct sim_base {
    uint64_t seed;
    struct kit_random random;
    bool loud;              /* prints the trace */
    uint64_t now_us;        /* true time */
    uint64_t trace_hash;    /* of everything that happened */
    uint64_t events;        /* that happened */
    struct sim_event *heap; /* owned; the earliest first */
    uint32_t count, cap;
    uint64_t order;
};

void base_init(struct sim_base *b, uint64_t seed, bool loud);
void base_free(struct sim_base *b);

void base_at(struct sim_base *b, uint64_t at_us, enum sim_event_kind kind, uint32_t x, uint32_t y);
bool base_next(struct sim_base *b, struct sim_event *out); /* and its time has come */

uint64_t base_below(struct sim_base *b, uint64_t bound);                /* 0 <= result < bound */
uint64_t base_between(struct sim_base *b, uint64_t low, uint64_t high); /* both included */
bool base_chance(struct sim_base *b, uint32_t permille);

/* One event: `what` goes into the hash, the text is printed in a loud run. */
__attribute__((format(printf, 3, 4))) void base_trace(struct sim_base *b, uint64_t what,
                                                      const char *format, ...);

/* Prints a line in a loud run: what follows from events that the trace has. */
__attribute__((format(printf, 2, 3))) void base_say(const struct sim_base *b, const char *format,
                                                    ...);

/* Prints the invariant that does not hold, how to replay, and ends the process with 1. */
__attribute__((format(printf, 3, 4))) _Noreturn void base_violation(struct sim_base *b,
                                                                    const char *invariant,
                                                                    const char *format, ...);

#endif
