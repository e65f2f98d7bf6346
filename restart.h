/* From a data directory to a node that knows what it knew, and a new file of the log for what
 * comes. */
#ifndef KVS_RESTART_H
#define KVS_RESTART_H

#include "disk.h"
#include "durable.h"
#include "logfile.h"
#include "logread.h"

struct restart_config {
    const char *path;     /* of the directory; borrowed */
    struct slice cluster; /* borrowed */
    struct address node;
    struct disk *disk;          /* borrowed */
    uint64_t (*random64)(void); /* for the directory's number and salts */
};

struct restarted {
    struct datadir dir; /* open and locked */
    uint64_t boot[2];   /* of the machine */
    struct log_found found;
    struct logfile file; /* to be appended to; all in it is on disk */
};

/* False: `error` says why and what to do, the directory is as it was but for what a crash had torn,
 * and the node must be thrown away. */
bool restart_node(const struct restart_config *config, struct node *n, struct restarted *out,
                  char error[DATADIR_ERROR_BYTES]);

/* What the opening of a further file is: of these flags, with that number. */
struct opening restart_opening(const struct restart_config *config, const struct restarted *r,
                               uint8_t flags, uint32_t number);

/* This boot of the machine: 128 bits that no other boot has. */
void restart_read_boot(uint64_t boot[2]);

#endif
