/* The REST contract: from a parsed HTTP request to the body of its answer.
 *
 * Pure: it talks to the node and to memory. Most requests are answered at once; an operation on a
 * key may have to wait for its dependencies, and a write for its second copy: then its answer is
 * fetched with api_take_answer(). A listing is answered piece by piece, which is the caller's to
 * drive; what it asks of other nodes comes from api_take_answer(), too.
 */
#ifndef KVS_API_H
#define KVS_API_H

#include "bytes.h"
#include "http.h"
#include "listing.h"
#include "metrics.h"
#include "node.h"

#define API_RETRY_AFTER_S 1

struct api {
    struct node *node;                /* borrowed */
    const struct server_stats *stats; /* borrowed; for /metrics */
    struct slice token;               /* borrowed; that requests must bring; empty: none */
    const struct log_stats *log;      /* the same; NULL: no log is kept */
    struct buffer scratch;            /* owned; a decoded key or query */
    struct claim claim;               /* owned; the metadata of the request in hand */
    struct answer chunk;              /* API_CHUNK: for listing_take() */
};

void api_init(struct api *api, struct node *node, const struct server_stats *stats,
              const struct log_stats *log);
void api_free(struct api *api);

struct api_request {
    enum http_method method;
    struct slice target;
    struct slice body;
    struct slice authorization; /* the header's value, or empty */
    uint64_t token;             /* names the request if it has to wait; less than 2^63 */
    uint64_t stream;            /* names the connection; not 0 */
};

struct reply {
    int status;
    struct slice content_type;
    const char *allow;       /* 405: the verbs of that path, or NULL */
    struct buffer body;      /* the caller's, emptied before use */
    uint64_t lane;           /* API_UNDER_WAY: see api_lane() */
    struct listing *listing; /* API_STREAMS: the body; taken by the caller */
};

enum api_outcome {
    API_ANSWERED,
    API_UNDER_WAY, /* a write has its place; its answer comes from api_take_answer() */
    API_WAITS,     /* not begun yet, has no place; the answer comes from api_take_answer() */
    API_STREAMS,   /* status and type stand in the reply, the body comes from reply->listing */
};

/* A request may be handled while writes before it are under way if it is a plain write, which does
 * not look at what is there, of the same lane. 0: of none. */
uint64_t api_lane(struct api *api, enum http_method method, struct slice target);

enum api_outcome api_handle(struct api *api, const struct api_request *request,
                            struct reply *reply);

enum api_taken {
    API_NOTHING,
    API_REPLY, /* a waiting request has ended */
    API_CHUNK, /* what a listing waits for; borrowed until the next call that takes the node */
};
enum api_taken api_take_answer(struct api *api, uint64_t *token, struct reply *reply);

/* Answers that are made before there is a request to route. */
void api_put_error(struct reply *reply, int status, const char *error);

#endif
