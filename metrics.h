/* GET /metrics: counters in the text format of Prometheus. */
#ifndef KVS_METRICS_H
#define KVS_METRICS_H

#include "bytes.h"
#include "node.h"

/* What the HTTP server counts. */
struct server_stats {
    uint64_t connections_open, connections_accepted, connections_refused;
    uint64_t connections_timed_out;
    uint64_t requests;
    uint64_t responses_4xx, responses_5xx;
    uint64_t bytes_received, bytes_sent;
};

void metrics_put(struct buffer *out, const struct server_stats *server, const struct node *n);

#endif
