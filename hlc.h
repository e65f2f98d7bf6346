/* The hybrid logical clock and the stamps made with it.
 *
 * A reading is 64 bits: 48 bits of wall time in milliseconds, then a 16-bit counter for what
 * happens within one. It follows the wall clock where that runs ahead, and counts on from what it
 * has seen where that lags or jumps back; so a write always carries a greater reading than
 * everything in its past, and the readings stay close to real time.
 *
 * A *stamp* (reading, actor id) orders all writes in one line: the greater wins on every replica.
 */
#ifndef KVS_HLC_H
#define KVS_HLC_H

#include <stdbool.h>
#include <stdint.h>

#define HLC_COUNTER_BITS 16
#define HLC_AHEAD_MS_MAX 60000 /* a client's time further ahead of our wall clock is refused */
#define HLC_MAX          (UINT64_MAX / 2) /* the year 6429; later stamps are refused: none wraps */

struct stamp {
    uint64_t hlc;
    uint64_t actor_id;
};

static inline bool stamp_less(struct stamp a, struct stamp b) {
    return a.hlc != b.hlc ? a.hlc < b.hlc : a.actor_id < b.actor_id;
}

static inline uint64_t hlc_of_wall(uint64_t wall_ms) {
    return wall_ms << HLC_COUNTER_BITS;
}

static inline uint64_t hlc_max(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

/* The latest reading to accept from a client: HLC_AHEAD_MS_MAX ahead of the wall clock, so that
 * nobody can push our clock into the future step by step; but always what we have seen ourselves,
 * which we may have told it before the wall clock was set back. */
static inline uint64_t hlc_latest_acceptable(uint64_t seen, uint64_t wall_ms) {
    return hlc_max(seen, hlc_of_wall(wall_ms + HLC_AHEAD_MS_MAX + 1) - 1);
}

#endif
