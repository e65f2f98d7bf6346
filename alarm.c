/* Counters that an operator should hear of. See alarm.h. */
#include "alarm.h"

#include <stddef.h>

#include "log.h"

void alarm_look(struct alarm *a, uint64_t now_ms) {
    unsigned long long count = *a->count;
    if (count == a->told || now_ms < a->quiet_until_ms) return;
    if (a->ipv4 == NULL) {
        log_line(LOG_WARN, "limit: %s; %llu times since the start", a->text, count);
    } else {
        uint32_t ip = *a->ipv4;
        log_line(LOG_WARN, "limit: %s; %llu times since the start, just now %u.%u.%u.%u", a->text,
                 count, ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
    }
    a->told = count;
    a->quiet_until_ms = now_ms + ALARM_QUIET_MS;
}
