/* A line in the log when something that is counted begins to happen: one at once, and then, while
 * it goes on, one each ALARM_QUIET_MS. */
#ifndef KVS_ALARM_H
#define KVS_ALARM_H

#include <stdint.h>

#define ALARM_QUIET_MS 60000

struct alarm {
    const char *text;      /* what happens; borrowed */
    const uint64_t *count; /* how often it has; borrowed */
    const uint32_t *ipv4;  /* of the client that it was the last time; borrowed; NULL: nobody's */
    uint64_t told;         /* of them, when the last line was written */
    uint64_t quiet_until_ms;
};

void alarm_look(struct alarm *a, uint64_t now_ms);

#endif
