/* Start-up settings, read from the environment.
 *
 * Pure but for the function that looks a name up, so that tests can bring an environment of their
 * own, and for the files that secrets may stand in. Nonsense is refused with one sentence; nothing
 * is guessed.
 */
#ifndef KVS_CONFIG_H
#define KVS_CONFIG_H

#include "address.h"
#include "bytes.h"
#include "log.h"

#define CONFIG_VIEW_MAX    1024 /* nodes */
#define CONFIG_CLUSTER_MAX 64   /* bytes of a cluster's name */
#define CONFIG_ERROR_BYTES 256
#define CONFIG_SECRET_MAX  256  /* bytes of a token or secret */
#define CONFIG_PATH_MAX    1000 /* bytes of DATA_DIR */

#define CONFIG_BUFFERED_EACH_MIN 1024 /* half of it is a connection's own: a small request fits */

/* When the log is made sure of: before anything leaves, once a second, when the machine likes. */
enum config_fsync { CONFIG_FSYNC_ALWAYS, CONFIG_FSYNC_EVERYSEC, CONFIG_FSYNC_NEVER };

struct config {
    struct address self;
    struct address *view; /* owned; sorted, without repeats, self among them */
    uint32_t view_count;
    bool self_was_missing; /* in VIEW; it was added */
    uint32_t shard_count;  /* 0: not given */
    uint32_t bind_ipv4;    /* host order */
    char cluster[CONFIG_CLUSTER_MAX + 1];
    char auth_token[CONFIG_SECRET_MAX + 1];     /* that clients must bring; empty: none */
    char cluster_secret[CONFIG_SECRET_MAX + 1]; /* that peers must know; empty: none */
    const char *tls_cert, *tls_key, *tls_ca;    /* files; borrowed; NULL: not given */
    uint64_t memory_bytes_max;                  /* 0: no limit */
    uint32_t connections_max, connections_per_client_max;
    uint64_t buffered_bytes_max; /* at least CONFIG_BUFFERED_EACH_MIN for each connection */
    uint32_t parked_max, forwarded_max;
    uint64_t parked_bytes_max, forwarded_bytes_max;
    uint32_t peer_port_offset;
    uint32_t park_ms, readmit_ms, forward_ms;
    uint32_t request_ms, stall_ms, idle_ms;
    int32_t clock_skew_ms; /* for tests: how wrong this node's wall clock is to be */
    enum log_level log_level;
    const char *data_dir; /* borrowed from the environment; NULL: memory only */
    enum config_fsync fsync;
};

typedef char *(*config_lookup)(const char *name); /* NULL when not set; getenv() is one */

/* False: *out is untouched and `error` says what is wrong. */
bool config_read(struct config *out, config_lookup lookup, char error[CONFIG_ERROR_BYTES]);
void config_free(struct config *c);

/* The settings with their defaults, a line each, for --help. */
void config_describe(struct buffer *out);

#endif
