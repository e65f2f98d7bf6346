/* The text of GET /metrics. See metrics.h. */
#include "metrics.h"

#include <stdio.h>

static void put_metric(struct buffer *out, const char *name, const char *type, const char *help,
                       uint64_t value) {
    buffer_put(out, SLICE("# HELP "));
    buffer_put(out, slice_of(name));
    buffer_put_char(out, ' ');
    buffer_put(out, slice_of(help));
    buffer_put(out, SLICE("\n# TYPE "));
    buffer_put(out, slice_of(name));
    buffer_put_char(out, ' ');
    buffer_put(out, slice_of(type));
    buffer_put_char(out, '\n');
    buffer_put(out, slice_of(name));
    buffer_put_char(out, ' ');
    buffer_put_u64(out, value);
    buffer_put_char(out, '\n');
}

/* A gauge, and beside it how far it may go. */
static void put_limited(struct buffer *out, const char *name, const char *help, uint64_t value,
                        uint64_t max) {
    char max_name[64];
    snprintf(max_name, sizeof max_name, "%s_max", name);
    put_metric(out, name, "gauge", help, value);
    put_metric(out, max_name, "gauge", "The limit of the one before.", max);
}

static const char *const OP_NAMES[OP_KINDS] = {"get", "put", "delete", "count", "list"};

static const char *const STATUS_NAMES[NODE_STATUSES] = {
    [NODE_FOUND] = "found",
    [NODE_CREATED] = "created",
    [NODE_REPLACED] = "replaced",
    [NODE_DELETED] = "deleted",
    [NODE_NO_KEY] = "no_key",
    [NODE_NOT_YET] = "dependencies_missing",
    [NODE_CANNOT_FORWARD] = "cannot_forward",
    [NODE_MEMORY_LIMIT] = "memory_limit",
    [NODE_OUTCOME_UNKNOWN] = "outcome_unknown",
    [NODE_DISK_TROUBLE] = "disk_trouble",
};

static void put_operations(struct buffer *out, const struct node_stats *stats) {
    buffer_put(out, SLICE("# HELP kvs_operations_total Operations of clients by kind and result.\n"
                          "# TYPE kvs_operations_total counter\n"));
    for (int op = 0; op < OP_KINDS; op++) {
        for (int status = 0; status < NODE_STATUSES; status++) {
            buffer_put(out, SLICE("kvs_operations_total{op=\""));
            buffer_put(out, slice_of(OP_NAMES[op]));
            buffer_put(out, SLICE("\",result=\""));
            buffer_put(out, slice_of(STATUS_NAMES[status]));
            buffer_put(out, SLICE("\"} "));
            buffer_put_u64(out, stats->answered[op][status]);
            buffer_put_char(out, '\n');
        }
    }
}

static void put_node(struct buffer *out, const struct node *n) {
    const struct parking *parking = node_parking(n);
    put_operations(out, node_stats(n));
    put_limited(out, "kvs_parked", "Operations that wait for dependencies.", parking->count,
                parking->limits.ops_max);
    put_limited(out, "kvs_parked_bytes", "Bytes held by waiting operations.", parking->bytes,
                parking->limits.bytes_max);
    put_metric(out, "kvs_parked_refused_total", "counter",
               "Operations that had to wait and found no room.", parking->refused);
    put_metric(out, "kvs_parked_total", "counter", "Operations that had to wait.", parking->total);
    put_metric(out, "kvs_keys", "gauge", "Live keys in the store.", store_live(node_store(n)));
    put_metric(out, "kvs_tombstones", "gauge", "Deleted keys that are remembered.",
               store_tombstones(node_store(n)));
    put_metric(out, "kvs_store_bytes", "gauge", "Bytes held by the store.",
               store_bytes(node_store(n)));
    put_metric(out, "kvs_view_nodes", "gauge", "Nodes listed in the view.",
               peers_listed_count(node_view(n)));
}

static void put_forwarded(struct buffer *out, const struct node *n) {
    const struct forward_stats *stats = node_forward_stats(n);
    buffer_put(out, SLICE("# HELP kvs_forwarded_total Operations sent on to another node.\n"
                          "# TYPE kvs_forwarded_total counter\n"));
    for (int op = 0; op < OP_KINDS; op++) {
        buffer_put(out, SLICE("kvs_forwarded_total{op=\""));
        buffer_put(out, slice_of(OP_NAMES[op]));
        buffer_put(out, SLICE("\"} "));
        buffer_put_u64(out, stats->sent[op]);
        buffer_put_char(out, '\n');
    }
    put_limited(out, "kvs_forwarded", "Operations that wait for another node's answer.", stats->now,
                stats->limits.ops_max);
    put_limited(out, "kvs_forwarded_bytes", "Bytes held by those.", stats->bytes,
                stats->limits.bytes_max);
    put_metric(out, "kvs_forwarded_refused_total", "counter",
               "Times that an operation was to be sent on and too many were.", stats->refused);
    put_metric(out, "kvs_forwarded_again_total", "counter",
               "Reads that were sent on to a second node, since the first was lost.",
               stats->sent_again);
    put_metric(out, "kvs_forwarded_unknown_total", "counter",
               "Writes sent on whose outcome was not heard.", stats->unknown);
    put_metric(out, "kvs_served_for_peers_total", "counter",
               "Operations that other nodes have sent on to this one.", node_stats(n)->guests);
}

static void put_replica(struct buffer *out, const struct node *n) {
    const struct replica_stats *stats = node_replica_stats(n);
    put_metric(out, "kvs_ready", "gauge", "1 when operations on keys are served.", node_ready(n));
    put_metric(out, "kvs_writes_under_way", "gauge", "Own writes that wait for a second copy.",
               node_under_way(n));
    put_metric(out, "kvs_writes_held_back", "gauge", "Writes of peers that wait for others.",
               node_held_back(n));
    put_metric(out, "kvs_writes_sent_total", "counter", "Own writes sent to the group.",
               stats->sent);
    put_metric(out, "kvs_writes_delivered_total", "counter", "Writes of the group delivered.",
               stats->delivered);
    put_metric(out, "kvs_writes_superseded_total", "counter",
               "Delivered writes that lost to a later version.", stats->superseded);
    put_metric(out, "kvs_pulls_total", "counter", "Times that something missing was asked for.",
               stats->pulls);
    put_metric(out, "kvs_images_sent_total", "counter", "Slots sent whole.", stats->images_sent);
    put_metric(out, "kvs_images_taken_total", "counter", "Slots taken over whole.",
               stats->images_taken);
    put_metric(out, "kvs_writes_waived_total", "counter", "Writes proven lost.", stats->waived);
}

static void put_log(struct buffer *out, const struct log_stats *log) {
    put_metric(out, "kvs_log_records_total", "counter", "Records appended to the log.",
               log->records);
    put_metric(out, "kvs_log_bytes_total", "counter", "Bytes appended to the log.", log->bytes);
    put_metric(out, "kvs_log_syncs_total", "counter", "Times that the log was made sure of.",
               log->syncs);
    put_metric(out, "kvs_log_failures_total", "counter",
               "Times that a disk failed and all was written anew.", log->failures);
    put_metric(out, "kvs_log_trouble", "gauge", "1 when writes are refused for want of a disk.",
               log->trouble[0] != '\0');
    put_metric(out, "kvs_snapshots_total", "counter", "Snapshots written.", log->snapshots);
    put_metric(out, "kvs_snapshot_bytes", "gauge", "Size of the last snapshot.",
               log->snapshot_bytes);
    put_metric(out, "kvs_snapshot_milliseconds", "gauge", "How long it took to write.",
               log->snapshot_ms);
    put_metric(out, "kvs_snapshot_under_way", "gauge", "1 while a snapshot is being written.",
               log->is_compacting);
}

/* What clients may have of this node. */
static void put_client_limits(struct buffer *out, const struct server_stats *server) {
    put_limited(out, "kvs_connections_open", "Client connections.", server->connections_open,
                server->connections_max);
    put_metric(out, "kvs_connections_refused_total", "counter",
               "Client connections refused since there were too many.", server->connections_beyond);
    put_metric(out, "kvs_clients", "gauge", "Addresses that have connections.", server->clients);
    put_metric(out, "kvs_clients_full", "gauge", "Those that have as many as they may.",
               server->clients_full);
    put_metric(out, "kvs_connections_per_client_max", "gauge", "Connections of one address.",
               server->per_client_max);
    put_metric(out, "kvs_connections_per_client_refused_total", "counter",
               "Connections refused since their address had too many.", server->clients_beyond);
    put_limited(out, "kvs_buffered_bytes", "Bytes kept for all client connections.",
                server->buffered.bytes, server->buffered.bytes_max);
    put_metric(out, "kvs_buffered_refused_total", "counter",
               "Requests refused and connections closed since too much was kept.",
               server->buffered_beyond);
}

void metrics_put(struct buffer *out, const struct server_stats *server, const struct log_stats *log,
                 const struct node *n) {
    put_client_limits(out, server);
    put_metric(out, "kvs_connections_accepted_total", "counter", "Client connections accepted.",
               server->connections_accepted);
    put_metric(out, "kvs_accept_failures_total", "counter",
               "Times that no connection could be accepted for lack of descriptors or memory.",
               server->connections_refused);
    put_metric(out, "kvs_connections_timed_out_total", "counter",
               "Client connections closed for being idle or slow.", server->connections_timed_out);
    put_metric(out, "kvs_requests_total", "counter", "Requests answered.", server->requests);
    put_metric(out, "kvs_responses_4xx_total", "counter", "Answers that blame the request.",
               server->responses_4xx);
    put_metric(out, "kvs_responses_5xx_total", "counter", "Answers that ask to try again.",
               server->responses_5xx);
    put_metric(out, "kvs_received_bytes_total", "counter", "Bytes received from clients.",
               server->bytes_received);
    put_metric(out, "kvs_sent_bytes_total", "counter", "Bytes sent to clients.",
               server->bytes_sent);
    put_node(out, n);
    put_forwarded(out, n);
    put_replica(out, n);
    if (log != NULL) put_log(out, log);
}
