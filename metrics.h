/* GET /metrics: counters in the text format of Prometheus. */
#ifndef KVS_METRICS_H
#define KVS_METRICS_H

#include "budget.h"
#include "bytes.h"
#include "node.h"

/* What the HTTP server counts. */
struct server_stats {
    uint64_t connections_open, connections_accepted, connections_refused;
    uint64_t connections_timed_out;
    uint64_t connections_max, connections_beyond;                   /* refused for that */
    uint64_t clients, clients_full, per_client_max, clients_beyond; /* by address; the same */
    struct budget buffered; /* what is kept for all of them */
    uint64_t buffered_beyond;
    uint64_t requests;
    uint64_t responses_4xx, responses_5xx;
    uint64_t bytes_received, bytes_sent;
};

/* What the log counts. */
#define LOG_TROUBLE_BYTES 128
struct log_stats {
    uint64_t records, bytes;                         /* appended since the start */
    uint64_t syncs;                                  /* times that the writer made sure of them */
    uint64_t snapshots, snapshot_bytes, snapshot_ms; /* how many; of the last one */
    uint64_t failures; /* of a disk, after which all was written anew */
    bool is_compacting;
    char trouble[LOG_TROUBLE_BYTES]; /* why writes are refused; empty: all is well */
};

/* `log`: NULL if none is kept. */
void metrics_put(struct buffer *out, const struct server_stats *server, const struct log_stats *log,
                 const struct node *n);

#endif
