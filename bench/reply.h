/* Where a reply ends, and what its status is, in the three protocols.
 *
 * A parser looks at the bytes received so far and either finds one whole reply at their beginning,
 * or wants more, or gives up. It keeps nothing in between: a reply that came in two pieces, which
 * is rare on loopback, is looked at twice. An HTTP reply has to have a Content-Length.
 */
#ifndef KVS_BENCH_REPLY_H
#define KVS_BENCH_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#define REPLY_BYTES_MAX ((size_t)64 * 1024) /* head and body; whoever declares more is BAD */

enum parse { PARSE_DONE, PARSE_MORE, PARSE_BAD };

/* Of HTTP. The other framings borrow the three that matter. */
enum { STATUS_OK = 200, STATUS_ABSENT = 404, STATUS_ERROR = 500, STATUSES = 600 };

struct reply {
    size_t bytes; /* head and body */
    unsigned status;
};

typedef enum parse reply_parser(const char *text, size_t bytes, struct reply *reply);

enum parse parse_http(const char *text, size_t bytes, struct reply *reply);
enum parse parse_resp(const char *text, size_t bytes, struct reply *reply);
enum parse parse_memcached(const char *text, size_t bytes, struct reply *reply);

#define CONTENT_LENGTH       "Content-Length:"
#define CONTENT_LENGTH_CHARS (sizeof CONTENT_LENGTH - 1)

/* A decimal number behind optional spaces, below REPLY_BYTES_MAX. */
bool number_parse(const char *at, const char *end, size_t *number);

#endif
