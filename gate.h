/* What may leave the process: answers to clients and bytes to peers, none of which may tell of
 * anything that is not in the log, as safe as FSYNC wants it.
 *
 * All three count bytes of the log since the start. Whatever a turn has produced depends on what
 * `appended` is at its end, and may leave when `safe` has come so far. Bytes become safe in rounds,
 * one at a time; `flying` is what `safe` will be when the round under way has ended.
 */
#ifndef KVS_GATE_H
#define KVS_GATE_H

#include <stdbool.h>
#include <stdint.h>

struct gate {
    uint64_t appended, flying, safe;
    bool is_broken; /* a disk has failed: nothing becomes safe until a whole snapshot is on disk */
};

static inline bool gate_is_open(const struct gate *g) {
    return g->safe == g->appended;
}

#endif
