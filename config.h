/* Start-up settings, read from the environment.
 *
 * Pure but for the function that looks a name up, so that tests can bring an environment of their
 * own. Nonsense is refused with one sentence; nothing is guessed.
 */
#ifndef KVS_CONFIG_H
#define KVS_CONFIG_H

#include "address.h"
#include "bytes.h"
#include "log.h"

#define CONFIG_VIEW_MAX    1024 /* nodes */
#define CONFIG_CLUSTER_MAX 64   /* bytes of a cluster's name */
#define CONFIG_ERROR_BYTES 256

struct config {
    struct address self;
    struct address *view; /* owned; sorted, without repeats, self among them */
    uint32_t view_count;
    bool self_was_missing; /* in VIEW; it was added */
    uint32_t shard_count;  /* 0: not given */
    uint32_t bind_ipv4;    /* host order */
    char cluster[CONFIG_CLUSTER_MAX + 1];
    uint64_t memory_bytes_max; /* 0: no limit */
    uint32_t peer_port_offset;
    uint32_t park_ms, readmit_ms, forward_ms;
    uint32_t request_ms, stall_ms, idle_ms;
    enum log_level log_level;
};

typedef char *(*config_lookup)(const char *name); /* NULL when not set; getenv() is one */

/* False: *out is untouched and `error` says what is wrong. */
bool config_read(struct config *out, config_lookup lookup, char error[CONFIG_ERROR_BYTES]);
void config_free(struct config *c);

/* The settings with their defaults, a line each, for --help. */
void config_describe(struct buffer *out);

#endif
