/* The REST contract: a script of requests against one node. Every answer is one that the contract
 * knows, its body is JSON, its metadata covers what was asked with, what was written is read back,
 * and every request that waits is answered in the end.
 *
 * A script has a command a line; '$' in a body stands for the metadata of the last answer:
 *
 *   2m                           shards (1 to 3), m: little memory; the first line
 *   P /kvs/a {"value":1}         PUT; so G, D, H, O for GET, DELETE, HEAD and any other verb
 *   T 300                        time passes, ms
 *   W 5000, w 5000               the wall clock is set forward, back
 *   L 7 0                        learns actor 7 of a foreign group, of our own when not 0
 */
#include <assert.h>
#include <stdlib.h>

#include "../api.h"
#include "../json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COMMANDS_MAX 200
#define WALL_MS      1800000000000
#define LITTLE_BYTES 20000 /* of memory above the empty store */

struct site {
    struct node *n;
    struct server_stats stats;
    struct api api;
    struct reply reply;
    uint64_t now_ms, wall_ms;
    uint64_t tokens;       /* given so far */
    bool *waits;           /* owned; by token */
    struct buffer carried; /* the metadata of the last answer */
};

/* ---- The node ---- */

static uint64_t counted_random(void) {
    static uint64_t n;
    return n += 0x9E3779B97F4A7C15u;
}

static void site_begin(struct site *s, uint32_t shards, bool little_memory) {
    static const char *const texts[] = {"10.0.0.1:8090", "10.0.0.2:8090", "alice:8090"};
    struct address view[3];
    for (int i = 0; i < 3; i++)
        address_parse(slice_of(texts[i]), &view[i]);
    struct node_config config = {
        .self = view[0],
        .view = view,
        .view_count = 3,
        .shard_count = shards,
        .park_ms = 300,
        .random64 = counted_random,
    };
    *s = (struct site){.now_ms = 1000, .wall_ms = WALL_MS};
    if (little_memory) {
        struct node *probe = node_create(&config, s->now_ms, s->wall_ms);
        config.memory_bytes_max = store_bytes(node_store(probe)) + LITTLE_BYTES;
        node_free(probe);
    }
    s->n = node_create(&config, s->now_ms, s->wall_ms);
    s->waits = calloc(COMMANDS_MAX * 2 + 1, sizeof *s->waits);
    api_init(&s->api, s->n, &s->stats, NULL);
}

static void site_end(struct site *s) {
    buffer_free(&s->reply.body);
    buffer_free(&s->carried);
    api_free(&s->api);
    node_free(s->n);
    free(s->waits);
}

/* ---- What must hold of an answer ---- */

static bool is_json(struct slice text) {
    struct json_reader r = json_reader_of(text);
    return json_skip(&r) && json_finish(&r);
}

/* The last member of that name, as JSON; empty when there is none or the text is no object. */
static struct slice member_of(struct slice text, struct slice want) {
    struct json_reader r = json_reader_of(text);
    struct slice name, value, found = {0};
    json_enter_object(&r);
    while (json_next_member(&r, &name)) {
        if (json_read_value(&r, &value) && json_name_is(name, want)) found = value;
    }
    return json_finish(&r) ? found : (struct slice){0};
}

static void read_claim(const struct site *s, struct claim *c, struct slice text) {
    struct json_reader r = json_reader_of(text);
    if (text.len > 0) node_read_claim(s->n, c, &r);
}

/* The answer's metadata is ours and has at least what the request's had. */
static void check_metadata(struct site *s, struct slice asked_with) {
    struct claim asked = {0}, answered = {0};
    struct slice text = member_of(buffer_slice(&s->reply.body), SLICE("causal-metadata"));
    assert(text.len > 0);
    read_claim(s, &asked, asked_with);
    read_claim(s, &answered, text);
    if (asked.form != CLAIM_BAD) { /* the wall clock may have been set back since */
        assert(answered.form != CLAIM_BAD && answered.metadata.time >= asked.metadata.time);
        assert(answered.metadata.maps_len >= asked.metadata.maps_len);
        for (uint32_t i = 0; i < asked.metadata.clock.len; i++) {
            assert(vclock_has(&answered.metadata.clock, asked.metadata.clock.dots[i]));
        }
    }
    s->carried.len = 0;
    buffer_put(&s->carried, text);
    claim_free(&asked);
    claim_free(&answered);
}

static void check_answer(const struct site *s) {
    static const int known[] = {200, 201, 400, 404, 405, 503, 507};
    bool is_known = false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        is_known |= s->reply.status == known[i];
    assert(is_known);
    assert((s->reply.status == 405) == (s->reply.allow != NULL));
    bool json = slice_equal(s->reply.content_type, SLICE("application/json"));
    if (json) assert(is_json(buffer_slice(&s->reply.body)));
}

/* Of requests that wait; and, if `l` is the listing in hand, chunks of it. */
static void take_answers(struct site *s, struct listing *l) {
    uint64_t token;
    for (;;) {
        s->reply.body.len = 0;
        s->reply.allow = NULL;
        enum api_taken taken = api_take_answer(&s->api, &token, &s->reply);
        if (taken == API_NOTHING) break;
        assert(token <= s->tokens && s->waits[token] == (taken == API_REPLY));
        if (taken == API_CHUNK) {
            listing_take(l, &s->api.chunk);
            continue;
        }
        s->waits[token] = false;
        check_answer(s);
        bool counts = member_of(buffer_slice(&s->reply.body), SLICE("shard-key-count")).len > 0 ||
                      slice_equal(buffer_slice(&s->reply.body),
                                  SLICE("{\"error\":\"Cannot forward request\"}"));
        if (counts) continue;
        assert(member_of(buffer_slice(&s->reply.body), SLICE("causal-metadata")).len > 0);
    }
}

/* ---- Requests ---- */

/* Time passes while it waits for shards that nobody can be asked about. */
static void read_listing(struct site *s) {
    struct listing *l = s->reply.listing;
    struct buffer text = {0};
    for (;;) {
        enum listing_state state = listing_fill(l, s->n, &text, text.len + 1);
        if (state == LISTING_DONE) break;
        if (state == LISTING_MORE) continue;
        s->now_ms += 100;
        node_set_time(s->n, s->now_ms, s->wall_ms);
        take_answers(s, l);
    }
    listing_free(l, s->n);
    s->reply.listing = NULL;
    s->reply.status = 200;
    s->reply.allow = NULL;
    s->reply.content_type = SLICE("application/json");
    s->reply.body.len = 0;
    buffer_put(&s->reply.body, buffer_slice(&text));
    buffer_free(&text);
}

static enum api_outcome call(struct site *s, enum http_method method, struct slice target,
                             struct slice body) {
    struct api_request request = {
        .method = method, .target = target, .body = body, .token = ++s->tokens, .stream = 1};
    s->reply.body.len = 0;
    enum api_outcome outcome = api_handle(&s->api, &request, &s->reply);
    bool waits = outcome == API_WAITS || outcome == API_UNDER_WAY;
    s->waits[s->tokens] = waits;
    if (outcome == API_STREAMS) read_listing(s);
    if (!waits) check_answer(s);
    return outcome;
}

/* The time of the metadata is that of the write: the last answer's, and that of the one before. */
static void check_same_time(struct site *s) {
    struct claim write = {0}, read = {0};
    read_claim(s, &write, buffer_slice(&s->carried));
    read_claim(s, &read, member_of(buffer_slice(&s->reply.body), SLICE("causal-metadata")));
    assert(write.form != CLAIM_BAD && read.form != CLAIM_BAD);
    assert(read.metadata.time == write.metadata.time && read.metadata.time > 0);
    claim_free(&write);
    claim_free(&read);
}

/* A read right behind a write that went well sees it, also where it was a delete. */
static void check_read_back(struct site *s, enum http_method method, struct slice target,
                            struct slice body) {
    struct slice value = member_of(body, SLICE("value"));
    assert(call(s, HTTP_GET, target, (struct slice){0}) == API_ANSWERED);
    assert(s->reply.status == (method == HTTP_PUT ? 200 : 404));
    check_same_time(s);
    if (method == HTTP_PUT) {
        assert(slice_equal(member_of(buffer_slice(&s->reply.body), SLICE("value")), value));
    }
}

static bool is_key_target(struct slice target) {
    struct slice path, query;
    http_split_target(target, &path, &query);
    return slice_starts_with(path, SLICE("/kvs/"));
}

static void ask(struct site *s, enum http_method method, struct slice target, struct slice body) {
    enum api_outcome outcome = call(s, method, target, body);
    if (outcome == API_ANSWERED && is_key_target(target) && s->reply.status != 405) {
        struct slice asked_with = member_of(body, SLICE("causal-metadata"));
        int status = s->reply.status;
        if (status != 400) check_metadata(s, asked_with);
        bool writes = method == HTTP_PUT || method == HTTP_DELETE;
        if (writes && status < 300) check_read_back(s, method, target, body);
    }
    take_answers(s, NULL);
}

/* ---- Scripts ---- */

/* The body with the carried metadata in place of each '$', in a block of exactly its size. */
static struct slice exact_body(const struct site *s, struct slice text) {
    struct buffer body = {0};
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] == '$' && body.len < 1 << 17) {
            buffer_put(&body, s->carried.len > 0 ? buffer_slice(&s->carried) : SLICE("null"));
        } else {
            buffer_put_char(&body, text.at[i]);
        }
    }
    char *exact = malloc(body.len);
    if (body.len > 0) memcpy(exact, body.at, body.len);
    size_t len = body.len;
    buffer_free(&body);
    return (struct slice){exact, len};
}

static uint64_t number_at(struct slice *s) {
    uint64_t n = 0;
    while (s->len > 0 && *s->at == ' ')
        s->at++, s->len--;
    for (; s->len > 0 && *s->at >= '0' && *s->at <= '9' && n < 100000; s->at++, s->len--) {
        n = n * 10 + (uint64_t)(*s->at - '0');
    }
    return n;
}

static void run_request(struct site *s, enum http_method method, struct slice rest) {
    const char *space = rest.len > 0 ? memchr(rest.at, ' ', rest.len) : NULL;
    size_t len = space != NULL ? (size_t)(space - rest.at) : rest.len;
    if (len == 0) return; /* the parser lets no empty target through */
    struct slice body = {rest.at + len, rest.len - len};
    if (body.len > 0) body.at++, body.len--;
    char *target = malloc(len);
    memcpy(target, rest.at, len);
    body = exact_body(s, body);
    ask(s, method, (struct slice){target, len}, body);
    free((char *)body.at);
    free(target);
}

static void learn_actor(struct site *s, struct slice rest) {
    uint64_t id = number_at(&rest);
    bool own = number_at(&rest) != 0;
    node_learn_actor(s->n, id, node_self(s->n), 1, own ? node_map(s->n)->group[0] : 4711);
}

static void run_command(struct site *s, struct slice line) {
    char verb = line.at[0];
    struct slice rest = {line.at + 1, line.len - 1};
    if (rest.len > 0) rest.at++, rest.len--;
    switch (verb) {
    case 'G': run_request(s, HTTP_GET, rest); return;
    case 'P': run_request(s, HTTP_PUT, rest); return;
    case 'D': run_request(s, HTTP_DELETE, rest); return;
    case 'H': run_request(s, HTTP_HEAD, rest); return;
    case 'O': run_request(s, HTTP_OTHER, rest); return;
    case 'L': learn_actor(s, rest); break;
    case 'T': s->now_ms += number_at(&rest); break;
    case 'W': s->wall_ms += number_at(&rest); break;
    case 'w': s->wall_ms -= number_at(&rest); break;
    default: return;
    }
    node_set_time(s->n, s->now_ms, s->wall_ms);
    take_answers(s, NULL);
}

/* Nothing waits for ever, and the listing has what the store has. */
static void check_end(struct site *s) {
    struct slice name;
    uint64_t pairs = 0;
    node_set_time(s->n, s->now_ms + 1000, s->wall_ms);
    take_answers(s, NULL);
    assert(node_parking(s->n)->count == 0 && node_parking(s->n)->bytes == 0);
    for (uint64_t token = 0; token <= s->tokens; token++)
        assert(!s->waits[token]);
    call(s, HTTP_GET, SLICE("/kvs"), (struct slice){0});
    struct slice listed = member_of(buffer_slice(&s->reply.body), SLICE("kvs"));
    struct json_reader r = json_reader_of(listed);
    json_enter_object(&r);
    while (json_next_member(&r, &name))
        pairs += json_skip(&r);
    assert(json_finish(&r) && pairs == store_live(node_store(s->n)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice script = {(const char *)data, size};
    struct site s;
    bool first = true;
    site_begin(&s, size > 0 && data[0] >= '1' && data[0] <= '3' ? data[0] - (uint32_t)'0' : 1,
               size > 1 && data[1] == 'm');
    for (int commands = 0; script.len > 0 && commands < COMMANDS_MAX - 1; commands++) {
        const char *end = memchr(script.at, '\n', script.len);
        size_t len = end != NULL ? (size_t)(end - script.at) : script.len;
        if (len > 0 && !first) run_command(&s, (struct slice){script.at, len});
        first = false;
        size_t passed = end != NULL ? len + 1 : len;
        script = (struct slice){script.at + passed, script.len - passed};
    }
    check_end(&s);
    site_end(&s);
    return 0;
}
