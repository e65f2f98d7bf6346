/* A data directory: whose it is, that nobody else uses it, and the names of its files.
 *
 *   lock              held (flock) by the process that uses the directory
 *   log-000007        a file of the log
 *   snapshot-000007   the whole state at the start of log-000007, or some moments later
 *   ....part          not whole yet; removed at the next start
 */
#ifndef KVS_DATADIR_H
#define KVS_DATADIR_H

#include "bytes.h"

#define DATADIR_NAME_BYTES  32 /* of a file's name, and the zero behind it */
#define DATADIR_ERROR_BYTES 512
#define DATADIR_FILES_MAX   10000 /* more than any kvs has ever made */

struct datadir {
    int fd, lock_fd;
    const char *path; /* borrowed */
};

/* Opens and locks it. `writes`: it is made if it is not there (its parent must be). False: nothing
 * is open, and `error` says what is wrong and what to do. */
bool datadir_open(struct datadir *d, const char *path, bool writes,
                  char error[DATADIR_ERROR_BYTES]);
void datadir_close(struct datadir *d);

enum datadir_kind { DATADIR_LOG, DATADIR_SNAPSHOT };

struct datadir_file {
    enum datadir_kind kind;
    uint32_t number;
    bool is_part;
    uint64_t bytes;
};

struct datadir_list {
    struct datadir_file *files; /* owned; sorted by number */
    uint32_t count;
};

/* Files of other names are passed over. False: `error` says why. */
bool datadir_read_list(const struct datadir *d, struct datadir_list *out,
                       char error[DATADIR_ERROR_BYTES]);
void datadir_free_list(struct datadir_list *list);

const struct datadir_file *datadir_find(const struct datadir_list *list, enum datadir_kind kind,
                                        uint32_t number, bool is_part);

void datadir_name(char name[DATADIR_NAME_BYTES], enum datadir_kind kind, uint32_t number,
                  bool is_part);

#endif
