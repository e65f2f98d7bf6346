/* HTTP/1.1 requests, parsed in place, and the heads of answers.
 *
 * http_parse() is given the bytes received so far, again and again while they grow; all progress
 * is kept in the parser, so any split of the input gives the same result:
 *
 *   HTTP_MORE  the request is not complete; call again when there are more bytes
 *   HTTP_DONE  complete: its parts can be read, its bytes end at parser.consumed
 *   HTTP_BAD   refused: parser.status and parser.error say how to answer; then close
 *
 * The parser keeps offsets, so the buffer may move between calls. A chunked body is put together
 * in place: http_parse() removes the framing and shrinks *len by as much.
 *
 * Understood: any method, HTTP/1.0 and 1.1, origin and absolute targets, Content-Length or chunked
 * bodies, keep-alive, Expect: 100-continue. Refused, because two servers in a row may read it
 * differently (request smuggling): a bare CR or LF, folded headers, space before the colon, both or
 * two differing lengths, any length that is not plain digits, any coding but one `chunked`.
 */
#ifndef KVS_HTTP_H
#define KVS_HTTP_H

#include "bytes.h"

#define HTTP_HEAD_BYTES_MAX (16 * 1024)       /* request line, headers and trailers together */
#define HTTP_BODY_BYTES_MAX (8 * 1024 * 1024) /* after chunks are put together */
#define HTTP_CHUNK_LINE_MAX 256               /* a chunk's size with its extensions */

enum http_result { HTTP_MORE, HTTP_DONE, HTTP_BAD };

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_PUT, HTTP_DELETE, HTTP_OTHER };

enum http_stage {
    HTTP_REQUEST_LINE,
    HTTP_HEADERS,
    HTTP_SIZED_BODY,
    HTTP_CHUNK_SIZE,
    HTTP_CHUNK_DATA,
    HTTP_CHUNK_END,
    HTTP_TRAILERS,
    HTTP_COMPLETE,
};

struct http_parser {
    enum http_stage stage;
    enum http_method method;
    uint32_t at;         /* offset of the next byte to parse */
    uint32_t scanned;    /* no line ends before this offset */
    uint32_t head_bytes; /* what counts against HTTP_HEAD_BYTES_MAX so far */
    uint32_t target_at, target_len;
    uint32_t authorization_at, authorization_len; /* the value of that header; 0: there is none */
    uint32_t body_at, body_len;                   /* body_len: what of it is here */
    uint32_t chunk_left;                          /* bytes of the running chunk to come */
    uint32_t content_length;
    uint32_t consumed;                /* HTTP_DONE: the next request starts here */
    uint16_t hosts;                   /* Host headers seen */
    bool minor_0;                     /* HTTP/1.0 */
    bool says_close, says_keep_alive; /* Connection */
    bool keep_alive;                  /* after this request; close wins */
    bool expects_continue;            /* wants "100 Continue" before it sends its body */
    bool has_length, chunked;
    int status;        /* HTTP_BAD: the status to answer */
    const char *error; /* HTTP_BAD: why, for the client */
};

void http_parser_reset(struct http_parser *p); /* ready for a request at offset 0 */
enum http_result http_parse(struct http_parser *p, char *bytes, size_t *len);

/* The parts of a complete request; they borrow `bytes`. */
struct slice http_target(const struct http_parser *p, const char *bytes);
struct slice http_body(const struct http_parser *p, const char *bytes);
struct slice http_authorization(const struct http_parser *p, const char *bytes);

/* The head is read, the body is due, and the client waits for leave to send it. */
bool http_wants_continue(const struct http_parser *p);

/* Splits a target into path and query; takes scheme and authority off an absolute one. */
void http_split_target(struct slice target, struct slice *path, struct slice *query);

/* Decodes %XX once, '+' stays; false on a bad escape. */
bool http_percent_decode(struct slice s, struct buffer *out);

struct http_head {
    int status;
    struct slice content_type;
    const char *allow;      /* the Allow header, or NULL */
    bool wants_token;       /* the WWW-Authenticate header: Bearer */
    unsigned retry_after_s; /* the Retry-After header, or 0 */
    size_t content_length;
    bool chunked;     /* instead of a length */
    bool until_close; /* neither: the body ends with the connection (HTTP/1.0) */
    bool close;
    bool keep_alive_1_0; /* say so to a client of HTTP/1.0 that asked for it */
    struct slice date;   /* as http_date() wrote it */
};

void http_put_head(struct buffer *out, const struct http_head *head);

#define HTTP_DATE_BYTES 29
void http_date(char out[HTTP_DATE_BYTES], uint64_t wall_ms); /* "Sat, 21 Nov 2026 05:27:34 GMT" */

#endif
