/* Looking at a data directory that no process uses: kvs --check and kvs --dump. Nothing in it is
 * changed. */
#ifndef KVS_INSPECT_H
#define KVS_INSPECT_H

#include <stdbool.h>

/* Reads all of it and prints what there is. False: it is not whole; stderr says where. */
bool inspect_check(const char *path);

/* Prints each live key as a line {"key":...,"value":...}. False: stderr says why not all of them.
 */
bool inspect_dump(const char *path);

#endif
