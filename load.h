/* Putting the lines that kvs --dump prints into a running cluster: kvs --load. */
#ifndef KVS_LOAD_H
#define KVS_LOAD_H

#include <stdbool.h>

#include "address.h"

/* From a file, or standard input (`path` is "-"), by way of the node at that address. False: stderr
 * says what went wrong and at which line; the lines before it may all have been put. */
bool load_file(const char *path, const struct address *to);

#endif
