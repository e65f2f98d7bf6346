/* Routes, request bodies and answer bodies. See api.h.
 *
 * api_handle() looks the path up in ROUTES and calls the handler of its row. Handlers read top to
 * bottom like the rows of the contract: refuse what is wrong, in the order that the contract gives,
 * then ask the node, then write the answer.
 */
#include "api.h"

#include <assert.h>
#include <strings.h>

#include "json.h"
#include "sha256.h"
#include "utf8.h"
#include "version.h"

#define KEY_CODE_POINTS_MAX 50
_Static_assert(KEY_CODE_POINTS_MAX * 4 <= STORE_KEY_BYTES_MAX, "every legal key fits the store");

#define KEYS SLICE("/kvs/")

#define TYPE_JSON       SLICE("application/json")
#define TYPE_PROMETHEUS SLICE("text/plain; version=0.0.4; charset=utf-8")

/* ---- Writing answers ---- */

static void put(struct reply *reply, struct slice text) {
    buffer_put(&reply->body, text);
}

/* {"name":"value"}; neither needs escapes. */
static enum api_outcome answer_text(struct reply *reply, int status, const char *name,
                                    const char *value) {
    reply->status = status;
    put(reply, SLICE("{\""));
    put(reply, slice_of(name));
    put(reply, SLICE("\":\""));
    put(reply, slice_of(value));
    put(reply, SLICE("\"}"));
    return API_ANSWERED;
}

static enum api_outcome answer_error(struct reply *reply, int status, const char *error) {
    return answer_text(reply, status, "error", error);
}

static enum api_outcome answer_result(struct reply *reply, int status, const char *result) {
    return answer_text(reply, status, "result", result);
}

void api_put_error(struct reply *reply, int status, const char *error) {
    reply->content_type = TYPE_JSON;
    answer_error(reply, status, error);
}

/* {"error":"<subject> at byte <offset>: <what>"} */
static enum api_outcome answer_malformed(struct reply *reply, const char *subject, size_t offset,
                                         const char *what) {
    reply->status = 400;
    struct buffer text = {0};
    buffer_put(&text, slice_of(subject));
    buffer_put(&text, SLICE(" at byte "));
    buffer_put_u64(&text, offset);
    buffer_put(&text, SLICE(": "));
    buffer_put(&text, slice_of(what));
    put(reply, SLICE("{\"error\":"));
    json_put_string(&reply->body, buffer_slice(&text));
    put(reply, SLICE("}"));
    buffer_free(&text);
    return API_ANSWERED;
}

/* ---- Reading bodies ---- */

/* The members that any route looks at, as JSON text; absent ones are empty. The metadata goes to
 * api->claim. */
struct body {
    struct slice value, socket_address, shard_count;
};

static bool read_member(struct api *api, struct body *b, struct json_reader *r) {
    struct slice name;
    if (!json_next_member(r, &name)) return false;
    if (json_name_is(name, SLICE("causal-metadata"))) {
        node_read_claim(api->node, &api->claim, r);
    } else if (json_name_is(name, SLICE("value"))) {
        json_read_value(r, &b->value);
    } else if (json_name_is(name, SLICE("socket-address"))) {
        json_read_value(r, &b->socket_address);
    } else if (json_name_is(name, SLICE("shard-count"))) {
        json_read_value(r, &b->shard_count);
    } else {
        json_skip(r);
    }
    return true;
}

/* The two members that nearly all bodies have, as nearly all clients write them. */
static bool read_usual_member(struct api *api, struct body *b, struct json_reader *r) {
    if (json_guess_member(r, SLICE("\"value\":"))) {
        json_read_value(r, &b->value);
    } else if (json_guess_member(r, SLICE("\"causal-metadata\":"))) {
        node_read_claim(api->node, &api->claim, r);
    } else {
        return false;
    }
    return true;
}

/* An empty body has no members. False: malformed, and answered. */
static bool read_body(struct api *api, struct slice text, struct body *b, struct reply *reply) {
    *b = (struct body){0};
    claim_clear(&api->claim);
    if (text.len == 0) return true;
    struct json_reader r = json_reader_of(text);
    json_enter_object(&r);
    while (read_usual_member(api, b, &r) || read_member(api, b, &r))
        continue;
    if (json_finish(&r)) return true;
    answer_malformed(reply, "Malformed JSON", json_error_offset(&r), r.error);
    return false;
}

/* The member must be a string with an address in it. False: answered with 400. */
static bool read_address(struct api *api, struct slice json, struct address *out,
                         struct reply *reply) {
    struct json_reader r = json_reader_of(json);
    struct slice inside;
    const char *error = "expected a string";
    if (json.len == 0) {
        answer_error(reply, 400, "Request does not specify a socket-address");
        return false;
    }
    if (json_read_string(&r, &inside)) {
        api->scratch.len = 0;
        json_unescape(inside, &api->scratch);
        error = address_parse(buffer_slice(&api->scratch), out);
        if (error == NULL && node_has_peer_port(api->node, out)) return true;
        if (error == NULL) error = "PEER_PORT_OFFSET above its port there is none";
    }
    put(reply, SLICE("{\"error\":\"Malformed socket-address: "));
    put(reply, slice_of(error));
    put(reply, SLICE("\"}"));
    reply->status = 400;
    return false;
}

/* ---- Operations on keys ---- */

#define EMPTY_METADATA SLICE("{\"maps\":[],\"time\":\"0000000000000000\",\"clock\":{}}")

/* The metadata that the client sent, given back as it came, or the empty one in its place. */
static void put_metadata_text(struct reply *reply, struct slice text) {
    put(reply, text.len == 0 ? EMPTY_METADATA : text);
}

/* {"error":...,"causal-metadata":...}: refused before the node was asked. */
static enum api_outcome refuse_operation(const struct api *api, struct reply *reply, int status,
                                         const char *error) {
    if (api->claim.form == CLAIM_BAD) return answer_error(reply, status, error);
    reply->status = status;
    put(reply, SLICE("{\"error\":\""));
    put(reply, slice_of(error));
    put(reply, SLICE("\",\"causal-metadata\":"));
    put_metadata_text(reply, api->claim.text);
    put(reply, SLICE("}"));
    return API_ANSWERED;
}

/* How each result of the node is told. */
static const struct {
    int status;
    struct slice text; /* how the body begins */
} ANSWERS[NODE_STATUSES] = {
    [NODE_FOUND] = {200, SLICE_INIT("{\"result\":\"found\",")},
    [NODE_CREATED] = {201, SLICE_INIT("{\"result\":\"created\",")},
    [NODE_REPLACED] = {200, SLICE_INIT("{\"result\":\"replaced\",")},
    [NODE_DELETED] = {200, SLICE_INIT("{\"result\":\"deleted\",")},
    [NODE_NO_KEY] = {404, SLICE_INIT("{\"error\":\"Key does not exist\",")},
    [NODE_NOT_YET] = {503,
                      SLICE_INIT(
                          "{\"error\":\"Causal dependencies not satisfied; try again later\",")},
    [NODE_CANNOT_FORWARD] = {503, SLICE_INIT("{\"error\":\"Cannot forward request\",")},
    [NODE_MEMORY_LIMIT] = {507, SLICE_INIT("{\"error\":\"Memory limit reached\",")},
    [NODE_OUTCOME_UNKNOWN] = {503,
                              SLICE_INIT(
                                  "{\"error\":\"Outcome unknown; the write may have happened\",")},
    [NODE_DISK_TROUBLE] = {503, SLICE_INIT("{\"error\":\"")}, /* the reason follows */
};

static void put_key_count(const struct answer *a, struct reply *reply) {
    if (a->status != NODE_FOUND) {
        answer_error(reply, 503, "Cannot forward request");
        return;
    }
    reply->status = 200;
    put(reply, SLICE("{\"shard-key-count\":"));
    put(reply, a->value);
    put(reply, SLICE("}"));
}

static void put_key_answer(const struct api *api, const struct answer *a, struct reply *reply) {
    char shard[SHARD_ID_BYTES];
    shard_id_text(a->shard, shard);
    reply->status = ANSWERS[a->status].status;
    put(reply, ANSWERS[a->status].text);
    if (a->status == NODE_FOUND) {
        put(reply, SLICE("\"value\":"));
        put(reply, a->value);
        put(reply, SLICE(","));
    } else if (a->status == NODE_NOT_YET) {
        put(reply, SLICE("\"missing\":["));
        put(reply, a->missing);
        put(reply, SLICE("],"));
    } else if (a->status == NODE_DISK_TROUBLE) {
        put(reply, a->missing);
        put(reply, SLICE("\","));
    }
    put(reply, SLICE("\"causal-metadata\":"));
    if (a->metadata != NULL) {
        metadata_put(&reply->body, a->metadata, node_actors(api->node));
    } else {
        put_metadata_text(reply, a->metadata_text);
    }
    put(reply, SLICE(",\"shard-id\":\""));
    put(reply, slice_of(shard));
    put(reply, SLICE("\"}"));
}

static enum api_outcome unknown_shard(struct reply *reply) {
    return answer_error(reply, 404, "Shard does not exist");
}

/* How a change of the map has ended. */
static enum api_outcome put_change(struct reply *reply, enum node_status status) {
    switch (status) {
    case NODE_RESHARDED: return answer_result(reply, 200, "resharded");
    case NODE_TOO_FEW_NODES:
        return answer_error(
            reply, 400, "Not enough nodes to provide fault tolerance with requested shard count");
    case NODE_SUPERSEDED:
        return answer_error(reply, 503, "Another reshard has taken its place; try again later");
    case NODE_JOINED: return answer_result(reply, 200, "node added to shard");
    case NODE_NOT_IN_VIEW: return answer_error(reply, 404, "View has no such replica");
    case NODE_NO_SHARD: return unknown_shard(reply);
    case NODE_OTHER_SHARD: return answer_error(reply, 400, "Replica is a member of another shard");
    default: break;
    }
    return answer_error(reply, 503, "Too many changes wait already; try again later");
}

static void put_answer(const struct api *api, const struct answer *a, struct reply *reply) {
    if (a->status >= NODE_STATUSES) {
        put_change(reply, a->status);
    } else if (a->kind == OP_COUNT) {
        put_key_count(a, reply);
    } else {
        put_key_answer(api, a, reply);
    }
}

static enum api_outcome ask_node(struct api *api, const struct api_request *request, struct op *op,
                                 struct reply *reply) {
    struct answer answer;
    op->claim = &api->claim;
    op->stream = request->stream;
    switch (node_submit(api->node, request->token, op, &answer)) {
    case NODE_ANSWERED: put_answer(api, &answer, reply); return API_ANSWERED;
    case NODE_UNDER_WAY: reply->lane = answer.lane; return API_UNDER_WAY;
    case NODE_PARKED: break;
    }
    return API_WAITS;
}

/* Decodes the key. Returns NULL, or the error to answer. */
static const char *read_key(struct api *api, struct slice escaped, struct slice *key,
                            size_t *code_points) {
    *key = escaped;
    if (escaped.len == 0) return "Key is empty";
    if (memchr(escaped.at, '%', escaped.len) != NULL) {
        api->scratch.len = 0;
        if (!http_percent_decode(escaped, &api->scratch)) return "Malformed percent escape in key";
        *key = buffer_slice(&api->scratch);
    }
    return utf8_count(*key, code_points) ? NULL : "Key is not UTF-8";
}

static enum op_kind op_of_method(enum http_method method) {
    return method == HTTP_PUT ? OP_PUT : method == HTTP_DELETE ? OP_DELETE : OP_GET;
}

/* /kvs/<key> */
static enum api_outcome handle_key(struct api *api, const struct api_request *request,
                                   struct slice rest, struct reply *reply) {
    struct body body;
    struct op op = {.kind = op_of_method(request->method)};
    size_t code_points = 0;
    if (!read_body(api, request->body, &body, reply)) return API_ANSWERED;
    op.value = body.value;
    if (op.kind == OP_PUT && body.value.len == 0) {
        return refuse_operation(api, reply, 400, "PUT request does not specify a value");
    }
    const char *error = read_key(api, rest, &op.key, &code_points);
    if (error != NULL) return refuse_operation(api, reply, 400, error);
    bool too_long = code_points > KEY_CODE_POINTS_MAX;
    if (too_long && op.kind == OP_PUT) return refuse_operation(api, reply, 400, "Key is too long");
    if (api->claim.form == CLAIM_BAD) {
        return answer_malformed(reply, "Malformed causal-metadata", api->claim.error_offset,
                                api->claim.error);
    }
    if (too_long) return refuse_operation(api, reply, 404, "Key does not exist");
    return ask_node(api, request, &op, reply);
}

enum api_taken api_take_answer(struct api *api, uint64_t *token, struct reply *reply) {
    if (!node_take_answer(api->node, token, &api->chunk)) return API_NOTHING;
    if (api->chunk.kind == OP_LIST) return API_CHUNK;
    reply->content_type = TYPE_JSON;
    put_answer(api, &api->chunk, reply);
    return API_REPLY;
}

/* ---- GET /kvs ---- */

/* Decodes ?prefix=, ?after= and ?limit= into *q, with the bytes in api->scratch; others are
 * ignored. Returns NULL, or the error to answer. */
static const char *read_query(struct api *api, struct slice query, struct listing_query *q) {
    *q = (struct listing_query){0};
    api->scratch.len = 0;
    buffer_reserve(&api->scratch, query.len); /* decoding never grows: slices stay put */
    while (query.len > 0) {
        struct slice escaped = slice_cut(&query, '&');
        struct slice name = slice_cut(&escaped, '=');
        size_t from = api->scratch.len;
        if (!http_percent_decode(escaped, &api->scratch))
            return "Malformed percent escape in query";
        struct slice value = {api->scratch.at + from, api->scratch.len - from};
        if (slice_equal(name, SLICE("prefix"))) q->prefix = value;
        if (slice_equal(name, SLICE("after"))) q->after = value;
        if (!slice_equal(name, SLICE("limit"))) continue;
        if (!slice_to_u64(value, &q->limit) || q->limit < 1 || q->limit > LISTING_LIMIT_MAX) {
            return "limit is not a number from 1 to 10000";
        }
    }
    return NULL;
}

static enum api_outcome handle_listing(struct api *api, const struct api_request *request,
                                       struct slice rest, struct reply *reply) {
    struct slice path, query;
    struct listing_query q;
    struct body ignored;
    (void)rest;
    if (!read_body(api, request->body, &ignored, reply)) return API_ANSWERED;
    http_split_target(request->target, &path, &query);
    const char *error = read_query(api, query, &q);
    if (error != NULL) return answer_error(reply, 400, error);
    reply->status = 200;
    reply->listing = listing_create(&q, request->token);
    return API_STREAMS;
}

/* ---- /view ---- */

static enum api_outcome show_view(struct api *api, struct reply *reply) {
    const struct peers *view = node_view(api->node);
    put(reply, SLICE("{\"view\":["));
    bool first = true;
    for (uint32_t i = 0; i < view->count; i++) {
        if (!peer_is_listed(view, view->list[i])) continue;
        if (!first) put(reply, SLICE(","));
        json_put_string(&reply->body, address_text(&view->list[i]->address));
        first = false;
    }
    put(reply, SLICE("]}"));
    return API_ANSWERED;
}

static enum api_outcome add_to_view(struct api *api, const struct address *address,
                                    struct reply *reply) {
    switch (node_view_add(api->node, address)) {
    case PEERS_ADDED: return answer_result(reply, 201, "added");
    case PEERS_ALREADY_PRESENT: return answer_result(reply, 200, "already present");
    case PEERS_FULL: break;
    }
    return answer_error(reply, 400, "View is full");
}

static enum api_outcome remove_from_view(struct api *api, const struct address *address,
                                         struct reply *reply) {
    switch (node_view_remove(api->node, address)) {
    case NODE_REMOVED: return answer_result(reply, 200, "deleted");
    case NODE_REMOVED_UNKNOWN: return answer_error(reply, 404, "View has no such replica");
    case NODE_REMOVED_SELF:
        return answer_error(reply, 400, "Ask another replica to remove this one");
    case NODE_REMOVED_LAST: break;
    }
    return answer_error(reply, 400, "Replica is the last live member of its shard");
}

static enum api_outcome handle_view(struct api *api, const struct api_request *request,
                                    struct slice rest, struct reply *reply) {
    struct body body;
    struct address address;
    (void)rest;
    if (!read_body(api, request->body, &body, reply)) return API_ANSWERED;
    if (request->method == HTTP_GET || request->method == HTTP_HEAD) return show_view(api, reply);
    if (!read_address(api, body.socket_address, &address, reply)) return API_ANSWERED;
    return request->method == HTTP_PUT ? add_to_view(api, &address, reply)
                                       : remove_from_view(api, &address, reply);
}

/* ---- /shard ---- */

static void put_shard_id(struct reply *reply, uint32_t shard) {
    char id[SHARD_ID_BYTES];
    if (shard == SHARD_NONE) {
        put(reply, SLICE("null"));
        return;
    }
    shard_id_text(shard, id);
    json_put_string(&reply->body, slice_of(id));
}

static enum api_outcome handle_shard_ids(struct api *api, const struct api_request *request,
                                         struct slice rest, struct reply *reply) {
    (void)request, (void)rest;
    put(reply, SLICE("{\"shard-ids\":["));
    for (uint32_t shard = 0; shard < node_map(api->node)->shard_count; shard++) {
        if (shard > 0) put(reply, SLICE(","));
        put_shard_id(reply, shard);
    }
    put(reply, SLICE("]}"));
    return API_ANSWERED;
}

static enum api_outcome handle_node_shard_id(struct api *api, const struct api_request *request,
                                             struct slice rest, struct reply *reply) {
    (void)request, (void)rest;
    put(reply, SLICE("{\"node-shard-id\":"));
    put_shard_id(reply, node_shard(api->node));
    put(reply, SLICE("}"));
    return API_ANSWERED;
}

static enum api_outcome handle_members(struct api *api, const struct api_request *request,
                                       struct slice rest, struct reply *reply) {
    (void)request;
    const struct map *map = node_map(api->node);
    uint32_t shard = shard_of_id_text(map, rest);
    if (shard == SHARD_NONE) return unknown_shard(reply);
    put(reply, SLICE("{\"shard-members\":["));
    bool first = true;
    for (uint32_t i = 0; i < map->node_count; i++) {
        bool member = map->shard_of_node[i] == shard;
        if (!member || !peers_lists(node_view(api->node), &map->nodes[i])) continue;
        if (!first) put(reply, SLICE(","));
        json_put_string(&reply->body, address_text(&map->nodes[i]));
        first = false;
    }
    put(reply, SLICE("]}"));
    return API_ANSWERED;
}

static enum api_outcome handle_key_count(struct api *api, const struct api_request *request,
                                         struct slice rest, struct reply *reply) {
    const struct map *map = node_map(api->node);
    struct op op = {.kind = OP_COUNT};
    uint32_t shard = shard_of_id_text(map, rest);
    if (shard == SHARD_NONE) return unknown_shard(reply);
    while (op.slot < SHARD_SLOTS && map->shard_of_slot[op.slot] != shard)
        op.slot++;
    if (op.slot == SHARD_SLOTS) return unknown_shard(reply); /* one that owns nothing */
    claim_clear(&api->claim);
    return ask_node(api, request, &op, reply);
}

static enum api_outcome put_progress(const struct api *api, struct reply *reply) {
    struct node_progress progress;
    node_reshard_progress(api->node, &progress);
    put(reply, progress.settled ? SLICE("{\"state\":\"settled\"") : SLICE("{\"state\":\"moving\""));
    put(reply, SLICE(",\"keys-moved\":"));
    buffer_put_u64(&reply->body, progress.keys_moved);
    put(reply, SLICE(",\"keys-to-go\":"));
    buffer_put_u64(&reply->body, progress.keys_to_go);
    put(reply, SLICE("}"));
    return API_ANSWERED;
}

static enum api_outcome handle_add_member(struct api *api, const struct api_request *request,
                                          struct slice rest, struct reply *reply) {
    struct body body;
    struct address address;
    if (!read_body(api, request->body, &body, reply)) return API_ANSWERED;
    uint32_t shard = shard_of_id_text(node_map(api->node), rest);
    if (shard == SHARD_NONE) return unknown_shard(reply);
    if (!read_address(api, body.socket_address, &address, reply)) return API_ANSWERED;
    struct answer answer;
    if (node_add_member(api->node, request->token, shard, &address, &answer) == NODE_PARKED) {
        return API_WAITS;
    }
    return put_change(reply, answer.status);
}

/* A whole number of shards, or false: answered with 400. */
static bool read_shard_count(struct slice json, uint32_t *count, struct reply *reply) {
    uint64_t n;
    if (json.len == 0) {
        answer_error(reply, 400, "Request does not specify a shard-count");
        return false;
    }
    if (!slice_to_u64(json, &n) || n < 1 || n > SHARD_COUNT_MAX) {
        answer_error(reply, 400, "shard-count is not a whole number from 1 to 64");
        return false;
    }
    *count = (uint32_t)n;
    return true;
}

static enum api_outcome handle_reshard(struct api *api, const struct api_request *request,
                                       struct slice rest, struct reply *reply) {
    struct body body;
    uint32_t count;
    (void)rest;
    if (!read_body(api, request->body, &body, reply)) return API_ANSWERED;
    if (request->method != HTTP_PUT) return put_progress(api, reply);
    if (!read_shard_count(body.shard_count, &count, reply)) return API_ANSWERED;
    struct answer answer;
    if (node_reshard(api->node, request->token, count, &answer) == NODE_PARKED) return API_WAITS;
    return put_change(reply, answer.status);
}

/* ---- /health and /metrics ---- */

static void put_bool(struct reply *reply, bool value) {
    put(reply, value ? SLICE("true") : SLICE("false"));
}

/* null: memory only; "ok"; or why writes are refused. */
static void put_disk(const struct api *api, struct reply *reply) {
    if (api->log == NULL) {
        put(reply, SLICE("null"));
    } else {
        const char *trouble = api->log->trouble;
        json_put_string(&reply->body, trouble[0] == '\0' ? SLICE("ok") : slice_of(trouble));
    }
}

static enum api_outcome handle_health(struct api *api, const struct api_request *request,
                                      struct slice rest, struct reply *reply) {
    (void)request, (void)rest;
    put(reply, SLICE("{\"status\":\"up\",\"ready\":"));
    put_bool(reply, node_ready(api->node));
    put(reply, SLICE(",\"provisional\":"));
    put_bool(reply, node_provisional(api->node));
    put(reply, SLICE(",\"node\":"));
    json_put_string(&reply->body, address_text(node_self(api->node)));
    put(reply, SLICE(",\"shard-id\":"));
    put_shard_id(reply, node_shard(api->node));
    put(reply, SLICE(",\"keys\":"));
    buffer_put_u64(&reply->body, store_live(node_store(api->node)));
    put(reply, SLICE(",\"disk\":"));
    put_disk(api, reply);
    put(reply, SLICE(",\"version\":\"" KVS_VERSION "\"}"));
    return API_ANSWERED;
}

/* The same, for those that look at the status alone: 503 until the node serves keys. */
static enum api_outcome handle_ready(struct api *api, const struct api_request *request,
                                     struct slice rest, struct reply *reply) {
    if (!node_ready(api->node)) return answer_error(reply, 503, "Replica is not ready");
    return handle_health(api, request, rest, reply);
}

static enum api_outcome handle_metrics(struct api *api, const struct api_request *request,
                                       struct slice rest, struct reply *reply) {
    (void)request, (void)rest;
    reply->content_type = TYPE_PROMETHEUS;
    metrics_put(&reply->body, api->stats, api->log, api->node);
    return API_ANSWERED;
}

/* ---- Routes ---- */

void api_init(struct api *api, struct node *node, const struct server_stats *stats,
              const struct log_stats *log) {
    *api = (struct api){.node = node, .stats = stats, .log = log};
}

void api_free(struct api *api) {
    buffer_free(&api->scratch);
    claim_free(&api->claim);
}

enum verbs { VERB_GET = 1, VERB_PUT = 2, VERB_DELETE = 4, NEEDS_NO_TOKEN = 8 };

typedef enum api_outcome (*handler)(struct api *api, const struct api_request *request,
                                    struct slice rest, struct reply *reply);

/* A path that ends with '/' takes anything behind it, which the handler gets as `rest`. */
static const struct route {
    struct slice path;
    unsigned verbs;
    const char *allow;
    handler handle;
} ROUTES[] = {
    {SLICE_INIT("/kvs/"), VERB_GET | VERB_PUT | VERB_DELETE, "GET, HEAD, PUT, DELETE", handle_key},
    {SLICE_INIT("/kvs"), VERB_GET, "GET, HEAD", handle_listing},
    {SLICE_INIT("/view"), VERB_GET | VERB_PUT | VERB_DELETE, "GET, HEAD, PUT, DELETE", handle_view},
    {SLICE_INIT("/shard/ids"), VERB_GET, "GET, HEAD", handle_shard_ids},
    {SLICE_INIT("/shard/node-shard-id"), VERB_GET, "GET, HEAD", handle_node_shard_id},
    {SLICE_INIT("/shard/members/"), VERB_GET, "GET, HEAD", handle_members},
    {SLICE_INIT("/shard/key-count/"), VERB_GET, "GET, HEAD", handle_key_count},
    {SLICE_INIT("/shard/add-member/"), VERB_PUT, "PUT", handle_add_member},
    {SLICE_INIT("/shard/reshard"), VERB_GET | VERB_PUT, "GET, HEAD, PUT", handle_reshard},
    {SLICE_INIT("/health"), VERB_GET | NEEDS_NO_TOKEN, "GET, HEAD", handle_health},
    {SLICE_INIT("/health/ready"), VERB_GET | NEEDS_NO_TOKEN, "GET, HEAD", handle_ready},
    {SLICE_INIT("/metrics"), VERB_GET, "GET, HEAD", handle_metrics},
};

static const struct route *find_route(struct slice path, struct slice *rest) {
    for (size_t i = 0; i < sizeof ROUTES / sizeof *ROUTES; i++) {
        const struct route *route = &ROUTES[i];
        bool takes_rest = route->path.at[route->path.len - 1] == '/';
        if (takes_rest ? slice_starts_with(path, route->path) : slice_equal(path, route->path)) {
            *rest = (struct slice){path.at + route->path.len, path.len - route->path.len};
            return route;
        }
    }
    return NULL;
}

static unsigned verb_of_method(enum http_method method) {
    switch (method) {
    case HTTP_GET:
    case HTTP_HEAD: return VERB_GET;
    case HTTP_PUT: return VERB_PUT;
    case HTTP_DELETE: return VERB_DELETE;
    case HTTP_OTHER: break;
    }
    return 0;
}

/* "Bearer <token>" */
static bool brings_token(const struct api *api, const struct api_request *request) {
    struct slice rest = request->authorization;
    struct slice scheme = slice_cut(&rest, ' ');
    bool is_bearer =
        scheme.len == strlen("Bearer") && strncasecmp(scheme.at, "Bearer", scheme.len) == 0;
    return is_bearer && equal_in_constant_time(slice_trim(rest), api->token);
}

/* While there is one shard, whatever the key is does not matter. */
uint64_t api_lane(struct api *api, enum http_method method, struct slice target) {
    struct slice path, query, key;
    size_t code_points;
    http_split_target(target, &path, &query);
    if (method != HTTP_PUT || !slice_starts_with(path, KEYS)) return 0;
    if (node_map(api->node)->shard_count == 1) return node_lane(api->node, 0);
    path = (struct slice){path.at + KEYS.len, path.len - KEYS.len};
    if (read_key(api, path, &key, &code_points) != NULL) return 0;
    return node_lane(api->node, shard_slot(key));
}

enum api_outcome api_handle(struct api *api, const struct api_request *request,
                            struct reply *reply) {
    struct slice path, query, rest;
    reply->status = 200;
    reply->content_type = TYPE_JSON;
    reply->allow = NULL;
    reply->listing = NULL;
    http_split_target(request->target, &path, &query);
    const struct route *route = find_route(path, &rest);
    bool is_open = api->token.len == 0 || (route != NULL && route->verbs & NEEDS_NO_TOKEN);
    if (!is_open && !brings_token(api, request)) {
        return answer_error(reply, 401, "Authorization: Bearer with the right token is needed");
    }
    if (route == NULL) return answer_error(reply, 404, "Not found");
    if ((route->verbs & verb_of_method(request->method)) == 0) {
        reply->allow = route->allow;
        return answer_error(reply, 405, "Method not allowed");
    }
    return route->handle(api, request, rest, reply);
}
