/* Memory that many may use, with a limit for all together and room for each.
 *
 * Everyone may always keep a *share*; all the shares are half of the whole. More than its share may
 * be kept only by who asks while all together keep no more than the other half. So what is kept is
 * never more than the whole and what the last one was given, whoever takes part; and who needs
 * little gets it, however much others try to have.
 *
 * Nobody is searched for, nothing is taken back: who is told no gives back itself.
 */
#ifndef KVS_BUDGET_H
#define KVS_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct budget {
    uint64_t bytes_max;  /* the whole */
    uint64_t common_max; /* when all keep more, nobody gets more than a share */
    uint64_t share;      /* that each may always keep, bytes */
    uint64_t bytes;      /* that all keep */
};

static inline void budget_init(struct budget *b, uint64_t bytes_max, uint64_t users_max) {
    uint64_t half = bytes_max / 2;
    *b = (struct budget){.bytes_max = bytes_max, .common_max = half, .share = half / users_max};
}

/* Nobody gets more than a share just now. */
static inline bool budget_is_spent(const struct budget *b) {
    return b->bytes > b->common_max;
}

/* A user that kept *kept bytes keeps `bytes` now. False: more than before, and more than it may; it
 * counts all the same, until the user says that it keeps less. */
static inline bool budget_set(struct budget *b, uint32_t *kept, size_t bytes) {
    if (bytes == *kept) return true;
    bool may = bytes < *kept || bytes <= b->share || !budget_is_spent(b);
    b->bytes += bytes - *kept;
    *kept = (uint32_t)bytes;
    return may;
}

#endif
