/* A small test kit.
 *
 * A test is a function that states a fact in its name. RUN() calls it; each CHECK() in it that does
 * not hold is reported with its place, and the test goes on. main() ends with kit_finish(), which
 * counts tests, not checks. Checks return whether they held, so that a test can stop early.
 */
#ifndef KVS_KIT_H
#define KVS_KIT_H

#include "../bytes.h"
#include "../node.h"

#define CHECK(condition)       kit_check((condition), __FILE__, __LINE__, #condition)
#define CHECK_U64(got, want)   kit_check_u64((got), (want), __FILE__, __LINE__, #got)
#define CHECK_SLICE(got, want) kit_check_slice((got), (want), __FILE__, __LINE__, #got)
#define CHECK_TEXT(got, want)  CHECK_SLICE(got, slice_of(want))
#define RUN(test)              kit_run((test), #test)

bool kit_check(bool holds, const char *file, int line, const char *what);
bool kit_check_u64(uint64_t got, uint64_t want, const char *file, int line, const char *what);
bool kit_check_slice(struct slice got, struct slice want, const char *file, int line,
                     const char *what);

/* Says with each failure from here to the end of the test, or to the next note, which case of a
 * table is in hand. */
__attribute__((format(printf, 1, 2))) void kit_note(const char *format, ...);

void kit_run(void (*test)(void), const char *name);

/* Prints "N passed, N failed". Returns 1 when a test failed, else 0: for main(). */
int kit_finish(void);

/* ---- Random numbers that can be had again ---- */

struct kit_random {
    uint64_t state;
};

/* From the environment variable SEED, or else a fresh one; the first call prints it. */
uint64_t kit_seed(void);
uint64_t kit_next(struct kit_random *random);
uint64_t kit_below(struct kit_random *random, uint64_t bound); /* 0 <= result < bound */

/* ---- Guard pages ---- */

#define GUARD_BYTES_MAX ((size_t)1 << 18)

struct guard {
    char *map; /* owned; GUARD_BYTES_MAX bytes between two pages that cannot be touched */
    size_t map_bytes;
};

struct guard guard_create(void);
void guard_free(struct guard *g);

/* Copies bytes to where they end right before, or begin right behind, a page that cannot be
 * touched. `s` may lie inside the guard. The copy lives until the next one. */
char *guard_end(const struct guard *g, struct slice s);
char *guard_start(const struct guard *g, struct slice s);

/* ---- Nodes ---- */

/* A lone node 10.0.0.1:8090 with a fixed seed and counted random numbers. The view is static. */
struct node_config kit_node_config(void);

/* The same with `count` nodes 10.0.0.1:8090, 10.0.0.2:8090... in view; at most 16. */
struct node_config kit_cluster_config(uint32_t count, uint32_t shard_count);

struct address kit_address(const char *text); /* which must be a good one */

#define KIT_NOW_MS   1000
#define KIT_READY_MS (KIT_NOW_MS + CLUSTER_ASK_MS + CATCHUP_LEVEL_MS + 2 * PEER_TICK_MS)
#define KIT_WALL_MS  1800000000000 /* in 2027 */

/* Lets time go on in ticks, as a shell would; the wall clock goes along. */
static inline void kit_pass(struct node *n, uint64_t from_ms, uint64_t to_ms) {
    for (uint64_t ms = from_ms; ms < to_ms;) {
        ms = ms + PEER_TICK_MS < to_ms ? ms + PEER_TICK_MS : to_ms;
        node_set_time(n, ms, KIT_WALL_MS + ms - KIT_NOW_MS);
        node_end_turn(n);
    }
}

/* From KIT_NOW_MS to KIT_READY_MS, when a node that reaches nobody has become ready. */
static inline void kit_pass_until_ready(struct node *n) {
    kit_pass(n, KIT_NOW_MS, KIT_READY_MS);
    CHECK(node_ready(n));
}

#endif
