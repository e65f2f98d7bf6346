/* The REST contract, from a request's target and body to the answer's status and body. */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>

#include "../api.h"
#include "../json.h"

/* ---- Asking ---- */

static struct guard target_guard, body_guard;

struct site {
    struct node *n;
    struct server_stats stats;
    struct api api;
    struct reply reply;
    enum api_outcome outcome;
    uint64_t token;
    const char *authorization;
};

#define ACTOR "10.0.0.1:8090#5f3a9c01d2e4b7a1"

static uint64_t fixed_random(void) {
    return 0x5f3a9c01d2e4b7a1;
}

static struct site *site_of(struct node_config config) {
    struct site *s = calloc(1, sizeof *s);
    config.random64 = fixed_random;
    s->n = node_create(&config, KIT_NOW_MS, KIT_WALL_MS);
    api_init(&s->api, s->n, &s->stats, NULL);
    return s;
}

static struct site *lone_site(void) {
    return site_of(kit_node_config());
}

static void site_free(struct site *s) {
    buffer_free(&s->reply.body);
    api_free(&s->api);
    node_free(s->n);
    free(s);
}

static void read_listing(struct site *s) {
    while (listing_fill(s->reply.listing, s->n, &s->reply.body, s->reply.body.len + 1) ==
           LISTING_MORE)
        continue;
    listing_free(s->reply.listing, s->n);
    s->reply.listing = NULL;
}

/* The request's bytes end at guard pages. A listing is read to its end. */
static void call_bytes(struct site *s, enum http_method method, struct slice target,
                       struct slice body) {
    struct api_request request = {
        .method = method,
        .target = {guard_end(&target_guard, target), target.len},
        .body = {guard_end(&body_guard, body), body.len},
        .token = ++s->token,
    };
    if (s->authorization != NULL) request.authorization = slice_of(s->authorization);
    s->reply.body.len = 0;
    s->outcome = api_handle(&s->api, &request, &s->reply);
    if (s->outcome == API_UNDER_WAY) { /* a member that is alone has the answer at once */
        uint64_t token = 0;
        CHECK(api_take_answer(&s->api, &token, &s->reply) && token == s->token);
    }
    if (s->outcome == API_STREAMS) read_listing(s);
}

static void call(struct site *s, enum http_method method, const char *target, const char *body) {
    call_bytes(s, method, slice_of(target), slice_of(body));
}

static void check_is_json(struct slice text) {
    struct json_reader r = json_reader_of(text);
    CHECK(json_skip(&r) && json_finish(&r));
}

static void check(struct site *s, enum http_method method, const char *target, const char *body,
                  int status, const char *want) {
    call(s, method, target, body);
    CHECK(s->outcome != API_WAITS);
    CHECK_U64((uint64_t)s->reply.status, (uint64_t)status);
    CHECK_TEXT(buffer_slice(&s->reply.body), want);
    CHECK_TEXT(s->reply.content_type, "application/json");
    check_is_json(buffer_slice(&s->reply.body));
}

static void check_status(struct site *s, enum http_method method, const char *target,
                         const char *body, int status) {
    call(s, method, target, body);
    CHECK_U64((uint64_t)s->reply.status, (uint64_t)status);
    check_is_json(buffer_slice(&s->reply.body));
}

/* The member of the last answer, as JSON text. */
static struct slice member(const struct site *s, const char *want) {
    struct json_reader r = json_reader_of(buffer_slice(&s->reply.body));
    struct slice name, value, found = {0};
    json_enter_object(&r);
    while (json_next_member(&r, &name)) {
        json_read_value(&r, &value);
        if (json_name_is(name, slice_of(want))) found = value;
    }
    CHECK(json_finish(&r));
    return found;
}

/* Metadata with the node's first writes: the n-th has the n-th reading of its millisecond. */
#define NOTHING_SEEN "{\"maps\":[],\"time\":\"0000000000000000\",\"clock\":{}}"
#define CLOCK(n)     "\"clock\":{\"" ACTOR "\":" n "}"
#define SEEN(n)      "{\"maps\":[],\"time\":\"01a3185c5000000" n "\"," CLOCK(n) "}"

/* ---- /kvs/<key> ---- */

static void operations_on_a_key_have_the_bodies_of_the_contract(void) {
    struct site *s = lone_site();
    check(s, HTTP_GET, "/kvs/k", "", 404,
          "{\"error\":\"Key does not exist\",\"causal-metadata\":" NOTHING_SEEN
          ",\"shard-id\":\"s0\"}");
    check(s, HTTP_PUT, "/kvs/k", "{\"value\":[1, null]}", 201,
          "{\"result\":\"created\",\"causal-metadata\":" SEEN("1") ",\"shard-id\":\"s0\"}");
    check(s, HTTP_PUT, "/kvs/k", "{\"value\":1.0,\"causal-metadata\":" SEEN("1") "}", 200,
          "{\"result\":\"replaced\",\"causal-metadata\":" SEEN("2") ",\"shard-id\":\"s0\"}");
    check(s, HTTP_GET, "/kvs/k", "{\"causal-metadata\":" SEEN("1") "}", 200,
          "{\"result\":\"found\",\"value\":1.0,\"causal-metadata\":" SEEN(
              "2") ",\"shard-id\":\"s0\"}");
    check(s, HTTP_HEAD, "/kvs/k", "", 200,
          "{\"result\":\"found\",\"value\":1.0,\"causal-metadata\":" SEEN(
              "2") ",\"shard-id\":\"s0\"}");
    check(s, HTTP_DELETE, "/kvs/k", "", 200,
          "{\"result\":\"deleted\",\"causal-metadata\":" SEEN("3") ",\"shard-id\":\"s0\"}");
    check(
        s, HTTP_GET, "/kvs/k", "", 404,
        "{\"error\":\"Key does not exist\",\"causal-metadata\":" SEEN("3") ",\"shard-id\":\"s0\"}");
    check(
        s, HTTP_DELETE, "/kvs/k", "{\"causal-metadata\":" SEEN("1") "}", 404,
        "{\"error\":\"Key does not exist\",\"causal-metadata\":" SEEN("3") ",\"shard-id\":\"s0\"}");
    site_free(s);
}

static void values_come_back_as_the_same_json(void) {
    static const char *const values[] = {
        "null",
        "true",
        "0",
        "-0.0e+0",
        "1.0",
        "12345678901234567890",
        "\"\"",
        "\"\\u00e9\\/\"",
        "[ 1 ]",
        "[[],{}]",
        "{\"a\":{\"a\": 1,\"a\":2}}",
        "\"\xc3\xa9\xf0\x9f\x8c\x8d\"",
    };
    struct site *s = lone_site();
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char body[128];
        snprintf(body, sizeof body, " { \"value\" : %s } ", values[i]);
        kit_note("%s", values[i]);
        check_status(s, HTTP_PUT, "/kvs/k", body, i == 0 ? 201 : 200);
        check_status(s, HTTP_GET, "/kvs/k", "", 200);
        CHECK_TEXT(member(s, "value"), values[i]);
    }
    site_free(s);
}

static void a_body_is_read_by_name_and_the_last_of_equal_names_counts(void) {
    static const struct {
        const char *body, *value;
    } cases[] = {
        {"{\"value\":1}", "1"},
        {"{\"value\":1,\"value\":2}", "2"},
        {"{\"valu\\u0065\":3}", "3"},
        {"{\"value\":4,\"Value\":5,\"value \":6,\"\":7,\"x\":{\"value\":8}}", "4"},
        {"{\"socket-address\":1,\"shard-count\":[],\"value\":9}", "9"},
        {"{\"causal-metadata\":5,\"causal-metadata\":null,\"value\":10}", "10"},
        {"{\"causal-metadata\":\"\",\"value\":11}", "11"},
        {"{\"causal-metadata\":{},\"value\":12}", "12"},
    };
    struct site *s = lone_site();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kit_note("%s", cases[i].body);
        check_status(s, HTTP_PUT, "/kvs/k", cases[i].body, i == 0 ? 201 : 200);
        check_status(s, HTTP_GET, "/kvs/k", "", 200);
        CHECK_TEXT(member(s, "value"), cases[i].value);
    }
    site_free(s);
}

static void a_body_that_is_no_object_is_refused_with_its_place(void) {
    static const struct {
        const char *body, *answer;
    } cases[] = {
        {"[]", "{\"error\":\"Malformed JSON at byte 0: expected an object\"}"},
        {" ", "{\"error\":\"Malformed JSON at byte 1: expected an object\"}"},
        {"{\"value\":1", "{\"error\":\"Malformed JSON at byte 10: expected a comma or the end of "
                         "the object\"}"},
        {"{\"value\":01}", "{\"error\":\"Malformed JSON at byte 10: number with a leading zero\"}"},
        {"{\"value\":1} x", "{\"error\":\"Malformed JSON at byte 12: something follows the "
                            "value\"}"},
        {"{\"value\":\"\\x\"}", "{\"error\":\"Malformed JSON at byte 11: unknown escape\"}"},
        {"{\"causal-metadata\":{\"a\":}}", "{\"error\":\"Malformed JSON at byte 24: expected a "
                                           "value\"}"},
    };
    static const enum http_method methods[] = {HTTP_GET, HTTP_PUT, HTTP_DELETE};
    struct site *s = lone_site();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t m = 0; m < sizeof methods / sizeof *methods; m++) {
            kit_note("%s", cases[i].body);
            check(s, methods[m], "/kvs/k", cases[i].body, 400, cases[i].answer);
        }
    }
    site_free(s);
}

static void checks_go_in_the_order_json_value_key_causality(void) {
#define LONG_KEY "/kvs/123456789012345678901234567890123456789012345678901"
    static const struct {
        const char *target, *body, *error;
    } cases[] = {
        {"/kvs/", "{", "\"Malformed JSON at byte 1: expected a member name\""},
        {"/kvs/", "{\"causal-metadata\":5}", "\"PUT request does not specify a value\""},
        {LONG_KEY, "", "\"PUT request does not specify a value\""},
        {"/kvs/%", "{}", "\"PUT request does not specify a value\""},
        {"/kvs/", "{\"value\":1,\"causal-metadata\":5}", "\"Key is empty\""},
        {"/kvs/%zz", "{\"value\":1,\"causal-metadata\":5}", "\"Malformed percent escape in key\""},
        {"/kvs/%ff", "{\"value\":1,\"causal-metadata\":5}", "\"Key is not UTF-8\""},
        {LONG_KEY, "{\"value\":1,\"causal-metadata\":5}", "\"Key is too long\""},
        {"/kvs/k", "{\"value\":1,\"causal-metadata\":5}",
         "\"Malformed causal-metadata at byte 29: expected an object\""},
    };
    struct site *s = lone_site();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kit_note("%s %s", cases[i].target, cases[i].body);
        check_status(s, HTTP_PUT, cases[i].target, cases[i].body, 400);
        CHECK_TEXT(member(s, "error"), cases[i].error);
    }
    CHECK_U64(store_live(node_store(s->n)), 0);
    site_free(s);
}

static void a_refused_operation_gives_its_metadata_back(void) {
    struct site *s = lone_site();
    check(s, HTTP_PUT, "/kvs/k", "{\"causal-metadata\": " SEEN("9") " }", 400,
          "{\"error\":\"PUT request does not specify a value\",\"causal-metadata\":" SEEN("9") "}");
    check(s, HTTP_GET, "/kvs/", "{\"causal-metadata\":null}", 400,
          "{\"error\":\"Key is empty\",\"causal-metadata\":" NOTHING_SEEN "}");
    check(s, HTTP_DELETE, LONG_KEY, "{\"causal-metadata\":" SEEN("9") "}", 404,
          "{\"error\":\"Key does not exist\",\"causal-metadata\":" SEEN("9") "}");
    check(s, HTTP_GET, LONG_KEY, "", 404,
          "{\"error\":\"Key does not exist\",\"causal-metadata\":" NOTHING_SEEN "}");
    check(s, HTTP_PUT, LONG_KEY, "{\"value\":1}", 400,
          "{\"error\":\"Key is too long\",\"causal-metadata\":" NOTHING_SEEN "}");
    check(s, HTTP_GET, "/kvs/%f", "{\"causal-metadata\":7}", 400,
          "{\"error\":\"Malformed percent escape in key\"}");
    check(s, HTTP_GET, LONG_KEY, "{\"causal-metadata\":7}", 400,
          "{\"error\":\"Malformed causal-metadata at byte 19: expected an object\"}");
    check(s, HTTP_DELETE, LONG_KEY, "{\"causal-metadata\":7}", 400,
          "{\"error\":\"Malformed causal-metadata at byte 19: expected an object\"}");
    site_free(s);
}

static void keys_are_decoded_once_and_keep_everything(void) {
    static const struct {
        const char *put, *get;
    } cases[] = {
        {"/kvs/a%2Fb", "/kvs/a/b"},
        {"/kvs/a+b", "/kvs/a%2bb"},
        {"/kvs/%2541", "/kvs/%2541"},
        {"/kvs/%41", "/kvs/A"},
        {"/kvs/%c3%a4", "/kvs/\xc3\xa4"},
        {"/kvs/a%00b", "/kvs/a%00b"},
        {"/kvs/a%20b%3F%22%5c", "/kvs/a%20b%3f%22\\"},
        {"/kvs//", "/kvs/%2f"},
        {"/kvs/x?query=1", "/kvs/x"},
        {"http://any:1/kvs/abs", "/kvs/abs"},
        {"/kvs/../view", "/kvs/..%2Fview"},
    };
    struct site *s = lone_site();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kit_note("%s", cases[i].put);
        check_status(s, HTTP_PUT, cases[i].put, "{\"value\":1}", 201);
        check_status(s, HTTP_GET, cases[i].get, "", 200);
        CHECK_U64(store_live(node_store(s->n)), i + 1);
    }
    check_status(s, HTTP_GET, "/kvs/%2561", "", 404);
    check_status(s, HTTP_GET, "/kvs/a%20b", "", 404);
    site_free(s);
}

static void keys_may_have_50_characters_of_any_size(void) {
    static const char *const characters[] = {"k", "%6b", "\xc3\xa4", "%E2%82%AC",
                                             "\xf0\x9f\x8c\x8d"};
    struct site *s = lone_site();
    for (size_t i = 0; i < sizeof characters / sizeof *characters; i++) {
        for (int count = 49; count <= 51; count++) {
            struct buffer target = {0};
            buffer_put(&target, SLICE("/kvs/"));
            for (int c = 0; c < count; c++)
                buffer_put(&target, slice_of(characters[i]));
            kit_note("%d of %s", count, characters[i]);
            bool fits = count <= 50, again = i == 1;
            call_bytes(s, HTTP_PUT, buffer_slice(&target), SLICE("{\"value\":1}"));
            CHECK(s->reply.status == (!fits ? 400 : again ? 200 : 201));
            call_bytes(s, HTTP_GET, buffer_slice(&target), SLICE(""));
            CHECK(s->reply.status == (fits ? 200 : 404));
            call_bytes(s, HTTP_DELETE, buffer_slice(&target), SLICE(""));
            CHECK(s->reply.status == (fits ? 200 : 404));
            call_bytes(s, HTTP_PUT, buffer_slice(&target), SLICE("{\"value\":1}"));
            buffer_free(&target);
        }
    }
    site_free(s);
}

static void bad_keys_are_refused(void) {
    static const char *const targets[] = {"/kvs/",       "/kvs/?x",       "/kvs/%",    "/kvs/a%4",
                                          "/kvs/%4g",    "/kvs/%ff",      "/kvs/\xff", "/kvs/%c3",
                                          "/kvs/%c0%80", "/kvs/%ed%a0%80"};
    static const enum http_method methods[] = {HTTP_GET, HTTP_PUT, HTTP_DELETE};
    struct site *s = lone_site();
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        for (size_t m = 0; m < sizeof methods / sizeof *methods; m++) {
            kit_note("%s", targets[i]);
            check_status(s, methods[m], targets[i], "{\"value\":1}", 400);
        }
    }
    site_free(s);
}

static void malformed_metadata_is_named_with_its_place_in_the_body(void) {
    struct site *s = lone_site();
    check(s, HTTP_GET, "/kvs/k", "{\"causal-metadata\":{\"vector\":[1]}}", 400,
          "{\"error\":\"Malformed causal-metadata at byte 29: no such member is ours\"}");
    check(s, HTTP_GET, "/kvs/k", "{\"causal-metadata\":[]}", 400,
          "{\"error\":\"Malformed causal-metadata at byte 19: expected an object\"}");
    check(s, HTTP_DELETE, "/kvs/k", "{ \"x\":1, \"causal-metadata\":\"abc\"}", 400,
          "{\"error\":\"Malformed causal-metadata at byte 32: a string with something in it\"}");
    CHECK_U64(node_parking(s->n)->total, 0);
    site_free(s);
}

/* ---- Waiting ---- */

static void a_dependency_that_is_missing_is_waited_for_and_then_named(void) {
    struct site *s = lone_site();
    uint64_t token = 0;
#define BODY                                                                                       \
    "{\"causal-metadata\":{\"maps\":[\"9.00000001\"],\"time\":\"0000000000000000\",\"clock\":{"    \
    "\"b:1#0123456789abcdef\":3}}}"
    call(s, HTTP_GET, "/kvs/k", BODY);
    CHECK(s->outcome == API_WAITS);
    CHECK(!api_take_answer(&s->api, &token, &s->reply));
    node_set_time(s->n, KIT_NOW_MS + 300, KIT_WALL_MS);
    s->reply.body.len = 0;
    if (CHECK(api_take_answer(&s->api, &token, &s->reply))) {
        CHECK_U64(token, s->token);
        CHECK_U64((uint64_t)s->reply.status, 503);
        CHECK_TEXT(s->reply.content_type, "application/json");
        CHECK_TEXT(buffer_slice(&s->reply.body),
                   "{\"error\":\"Causal dependencies not satisfied; try again later\","
                   "\"missing\":[\"b:1#0123456789abcdef:3\",\"map 9.00000001\"],"
                   "\"causal-metadata\":{\"maps\":[\"9.00000001\"],\"time\":\"0000000000000000\","
                   "\"clock\":{\"b:1#0123456789abcdef\":3}},\"shard-id\":\"s0\"}");
    }
    CHECK(!api_take_answer(&s->api, &token, &s->reply));
    site_free(s);
}

static void a_read_that_waited_gets_the_value_when_it_comes(void) {
    struct site *s = lone_site();
    uint64_t token = 0;
    check_status(s, HTTP_PUT, "/kvs/k", "{\"value\":1}", 201);
    call(s, HTTP_GET, "/kvs/k", "{\"causal-metadata\":" SEEN("2") "}");
    CHECK(s->outcome == API_WAITS);
    uint64_t waiting = s->token;
    check_status(s, HTTP_PUT, "/kvs/k", "{\"value\":2}", 200);
    s->reply.body.len = 0;
    CHECK(api_take_answer(&s->api, &token, &s->reply) && token == waiting);
    CHECK_TEXT(
        buffer_slice(&s->reply.body),
        "{\"result\":\"found\",\"value\":2,\"causal-metadata\":" SEEN("2") ",\"shard-id\":\"s0\"}");
    site_free(s);
}

static void other_refusals_of_the_node_have_their_bodies(void) {
    struct node_config config = kit_cluster_config(2, 2);
    config.park_ms = 0;
    struct site *s = site_of(config);
    check(s, HTTP_PUT, "/kvs/key4", "{\"value\":1,\"causal-metadata\":" SEEN("4") "}", 503,
          "{\"error\":\"Cannot forward request\",\"causal-metadata\":" SEEN(
              "4") ",\"shard-id\":\"s1\"}");
    site_free(s);
    config = kit_node_config();
    config.memory_bytes_max = 1;
    s = site_of(config);
    check(s, HTTP_PUT, "/kvs/k", "{\"value\":1}", 507,
          "{\"error\":\"Memory limit reached\",\"causal-metadata\":" NOTHING_SEEN
          ",\"shard-id\":\"s0\"}");
    site_free(s);
}

/* ---- GET /kvs ---- */

static void a_listing_is_answered_with_all_pairs(void) {
    struct site *s = lone_site();
    check(s, HTTP_GET, "/kvs", "", 200,
          "{\"kvs\":{},\"next\":null,\"complete\":true,\"unreachable\":[]}");
    check_status(s, HTTP_PUT, "/kvs/a%22", "{\"value\":[1]}", 201);
    CHECK(s->outcome == API_ANSWERED);
    check(s, HTTP_GET, "/kvs", "", 200,
          "{\"kvs\":{\"a\\\"\":[1]},\"next\":null,\"complete\":true,\"unreachable\":[]}");
    CHECK(s->outcome == API_STREAMS);
    check(s, HTTP_GET, "/kvs?prefix=b&x=1", "{\"any\":1}", 200,
          "{\"kvs\":{},\"next\":null,\"complete\":true,\"unreachable\":[]}");
    check(s, HTTP_GET, "/kvs?prefix=a%22", "", 200,
          "{\"kvs\":{\"a\\\"\":[1]},\"next\":null,\"complete\":true,\"unreachable\":[]}");
    check(s, HTTP_GET, "/kvs?after=a%22&limit=10000", "", 200,
          "{\"kvs\":{},\"next\":null,\"complete\":true,\"unreachable\":[]}");
    site_free(s);
}

static void queries_are_read_by_name(void) {
    struct site *s = lone_site();
    check_status(s, HTTP_PUT, "/kvs/ab", "{\"value\":1}", 201);
    check_status(s, HTTP_PUT, "/kvs/a+", "{\"value\":1}", 201);
    static const struct {
        const char *target;
        size_t pairs;
    } cases[] = {
        {"/kvs?", 2},
        {"/kvs?&&", 2},
        {"/kvs?prefix=", 2},
        {"/kvs?prefix", 2},
        {"/kvs?prefix=a", 2},
        {"/kvs?prefix=a+", 1},
        {"/kvs?prefix=a%2b", 1},
        {"/kvs?Prefix=x", 2},
        {"/kvs?prefix=x&prefix=ab", 1},
        {"/kvs?limit=1", 1},
        {"/kvs?limit=2", 2},
        {"/kvs?after=&limit=7&prefix=a", 2},
        {"/kvs?limit=1&limit=5", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice name;
        size_t pairs = 0;
        kit_note("%s", cases[i].target);
        check_status(s, HTTP_GET, cases[i].target, "", 200);
        struct json_reader r = json_reader_of(member(s, "kvs"));
        json_enter_object(&r);
        while (json_next_member(&r, &name))
            pairs += json_skip(&r);
        CHECK_U64(pairs, cases[i].pairs);
    }
    site_free(s);
}

static void bad_queries_are_refused(void) {
    static const char *const limits[] = {"/kvs?limit=0",         "/kvs?limit=10001",
                                         "/kvs?limit=",          "/kvs?limit=-1",
                                         "/kvs?limit=1.0",       "/kvs?limit=ten",
                                         "/kvs?limit=+1",        "/kvs?limit=1%20",
                                         "/kvs?limit=5&limit=0", "/kvs?limit=18446744073709551617"};
    static const char *const escapes[] = {"/kvs?prefix=%", "/kvs?after=%4", "/kvs?x=%zz"};
    struct site *s = lone_site();
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        kit_note("%s", limits[i]);
        check(s, HTTP_GET, limits[i], "", 400,
              "{\"error\":\"limit is not a number from 1 to 10000\"}");
    }
    for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++) {
        kit_note("%s", escapes[i]);
        check(s, HTTP_GET, escapes[i], "", 400,
              "{\"error\":\"Malformed percent escape in query\"}");
    }
    check_status(s, HTTP_GET, "/kvs", "[", 400);
    site_free(s);
}

/* ---- /view ---- */

static void the_view_is_shown_added_to_and_removed_from(void) {
    struct site *s = site_of(kit_cluster_config(2, 0));
    check(s, HTTP_GET, "/view", "", 200, "{\"view\":[\"10.0.0.1:8090\",\"10.0.0.2:8090\"]}");
    check(s, HTTP_PUT, "/view", "{\"socket-address\":\"Alice:8090\"}", 201,
          "{\"result\":\"added\"}");
    check(s, HTTP_PUT, "/view", "{\"socket-address\":\"alic\\u0065:8090\"}", 200,
          "{\"result\":\"already present\"}");
    check(s, HTTP_GET, "/view", "", 200,
          "{\"view\":[\"10.0.0.1:8090\",\"10.0.0.2:8090\",\"alice:8090\"]}");
    check(s, HTTP_DELETE, "/view", "{\"socket-address\":\"10.0.0.2:8090\"}", 200,
          "{\"result\":\"deleted\"}");
    check(s, HTTP_DELETE, "/view", "{\"socket-address\":\"10.0.0.2:8090\"}", 404,
          "{\"error\":\"View has no such replica\"}");
    check(s, HTTP_DELETE, "/view", "{\"socket-address\":\"10.0.0.1:8090\"}", 400,
          "{\"error\":\"Ask another replica to remove this one\"}");
    check(s, HTTP_GET, "/view", "", 200, "{\"view\":[\"10.0.0.1:8090\",\"alice:8090\"]}");
    site_free(s);
}

static void an_address_must_be_there_and_good(void) {
    static const struct {
        const char *body, *answer;
    } cases[] = {
        {"", "{\"error\":\"Request does not specify a socket-address\"}"},
        {"{}", "{\"error\":\"Request does not specify a socket-address\"}"},
        {"{\"socket-address\":null}",
         "{\"error\":\"Malformed socket-address: expected a string\"}"},
        {"{\"socket-address\":8090}",
         "{\"error\":\"Malformed socket-address: expected a string\"}"},
        {"{\"socket-address\":[\"a:1\"]}",
         "{\"error\":\"Malformed socket-address: expected a string\"}"},
        {"{\"socket-address\":\"\"}",
         "{\"error\":\"Malformed socket-address: expected HOST:PORT\"}"},
        {"{\"socket-address\":\"[::1]:80\"}",
         "{\"error\":\"Malformed socket-address: IPv6 literals are not supported\"}"},
        {"{\"socket-address\":\"a:65536\"}",
         "{\"error\":\"Malformed socket-address: port is not a number from 1 to 65535\"}"},
        {"{\"socket-address\":\"a\\u0000:1\"}",
         "{\"error\":\"Malformed socket-address: malformed host name\"}"},
    };
    struct site *s = lone_site();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kit_note("%s", cases[i].body);
        check(s, HTTP_PUT, "/view", cases[i].body, 400, cases[i].answer);
        check(s, HTTP_DELETE, "/view", cases[i].body, 400, cases[i].answer);
        check(s, HTTP_PUT, "/shard/add-member/s0", cases[i].body, 400, cases[i].answer);
    }
    CHECK_U64(peers_listed_count(node_view(s->n)), 1);
    site_free(s);
}

/* ---- /shard ---- */

static void shards_are_described(void) {
    struct node_config config = kit_cluster_config(5, 2);
    config.park_ms = 0;
    struct site *s = site_of(config);
    kit_pass_until_ready(s->n);
    check(s, HTTP_GET, "/shard/ids", "", 200, "{\"shard-ids\":[\"s0\",\"s1\"]}");
    check(s, HTTP_GET, "/shard/node-shard-id", "", 200, "{\"node-shard-id\":\"s0\"}");
    check(s, HTTP_GET, "/shard/members/s0", "", 200,
          "{\"shard-members\":[\"10.0.0.1:8090\",\"10.0.0.3:8090\",\"10.0.0.5:8090\"]}");
    check(s, HTTP_GET, "/shard/members/s1", "", 200,
          "{\"shard-members\":[\"10.0.0.2:8090\",\"10.0.0.4:8090\"]}");
    check(s, HTTP_GET, "/shard/members/s2", "", 404, "{\"error\":\"Shard does not exist\"}");
    check(s, HTTP_GET, "/shard/members/", "", 404, "{\"error\":\"Shard does not exist\"}");
    check(s, HTTP_GET, "/shard/key-count/s0", "", 200, "{\"shard-key-count\":0}");
    check(s, HTTP_GET, "/shard/key-count/s1", "", 503, "{\"error\":\"Cannot forward request\"}");
    check(s, HTTP_GET, "/shard/key-count/x", "", 404, "{\"error\":\"Shard does not exist\"}");
    check_status(s, HTTP_PUT, "/kvs/key0", "{\"value\":1}", 201);
    check(s, HTTP_GET, "/shard/key-count/s0", "", 200, "{\"shard-key-count\":1}");
    kit_pass(s->n, KIT_READY_MS, KIT_NOW_MS + PEER_UNHEARD_MS);
    check(s, HTTP_GET, "/shard/members/s0", "", 200, "{\"shard-members\":[\"10.0.0.1:8090\"]}");
    check(s, HTTP_GET, "/shard/members/s1", "", 200, "{\"shard-members\":[]}");
    site_free(s);
}

static void members_are_added_as_the_contract_says(void) {
    struct site *s = site_of(kit_cluster_config(4, 2));
    check(s, HTTP_PUT, "/shard/add-member/s0", "{\"socket-address\":\"10.0.0.3:8090\"}", 200,
          "{\"result\":\"node added to shard\"}");
    check(s, HTTP_PUT, "/shard/add-member/s1", "{\"socket-address\":\"10.0.0.3:8090\"}", 400,
          "{\"error\":\"Replica is a member of another shard\"}");
    check(s, HTTP_PUT, "/shard/add-member/s0", "{\"socket-address\":\"b:1\"}", 404,
          "{\"error\":\"View has no such replica\"}");
    check(s, HTTP_PUT, "/shard/add-member/s2", "{\"socket-address\":\"10.0.0.3:8090\"}", 404,
          "{\"error\":\"Shard does not exist\"}");
    check(s, HTTP_PUT, "/shard/add-member/s2", "{}", 404, "{\"error\":\"Shard does not exist\"}");
    check_status(s, HTTP_PUT, "/shard/add-member/s0", "{", 400);
    site_free(s);
}

static void a_reshard_wants_a_whole_number_of_shards_and_enough_nodes(void) {
    static const char *const bad[] = {"0",    "65",  "-1",   "1.0", "1e1", "\"2\"",
                                      "null", "[2]", "true", "{}",  "1.5", "18446744073709551617"};
    struct site *s = site_of(kit_cluster_config(4, 2));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char body[64];
        snprintf(body, sizeof body, "{\"shard-count\":%s}", bad[i]);
        kit_note("%s", body);
        check(s, HTTP_PUT, "/shard/reshard", body, 400,
              "{\"error\":\"shard-count is not a whole number from 1 to 64\"}");
    }
    check(s, HTTP_PUT, "/shard/reshard", "", 400,
          "{\"error\":\"Request does not specify a shard-count\"}");
    check(s, HTTP_PUT, "/shard/reshard", "{\"shard-count\":1}", 400,
          "{\"error\":\"Not enough nodes to provide fault tolerance with requested shard "
          "count\"}");
    check(s, HTTP_PUT, "/shard/reshard", "{\"shard-count\":64}", 400,
          "{\"error\":\"Not enough nodes to provide fault tolerance with requested shard "
          "count\"}");
    check(s, HTTP_GET, "/shard/reshard", "", 200,
          "{\"state\":\"moving\",\"keys-moved\":0,\"keys-to-go\":0}");
    site_free(s);
}

/* ---- Routes ---- */

static void each_path_has_its_verbs_and_names_them_otherwise(void) {
    static const struct {
        const char *target, *allow;
    } routes[] = {
        {"/kvs/k", "GET, HEAD, PUT, DELETE"},  {"/kvs", "GET, HEAD"},
        {"/view", "GET, HEAD, PUT, DELETE"},   {"/shard/ids", "GET, HEAD"},
        {"/shard/node-shard-id", "GET, HEAD"}, {"/shard/members/s0", "GET, HEAD"},
        {"/shard/key-count/s0", "GET, HEAD"},  {"/shard/add-member/s0", "PUT"},
        {"/shard/reshard", "GET, HEAD, PUT"},  {"/health", "GET, HEAD"},
        {"/health/ready", "GET, HEAD"},        {"/metrics", "GET, HEAD"},
    };
    static const char *const names[] = {"GET", "HEAD", "PUT", "DELETE", "none"};
    struct site *s = lone_site();
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        for (int method = HTTP_GET; method <= HTTP_OTHER; method++) {
            kit_note("%s %s", names[method], routes[i].target);
            bool allowed = strstr(routes[i].allow, names[method]) != NULL;
            call(s, (enum http_method)method, routes[i].target, "");
            CHECK((s->reply.status == 405) == !allowed);
            CHECK((s->reply.allow != NULL) == !allowed);
            if (allowed) continue;
            CHECK_TEXT(slice_of(s->reply.allow), routes[i].allow);
            CHECK_TEXT(buffer_slice(&s->reply.body), "{\"error\":\"Method not allowed\"}");
        }
    }
    site_free(s);
}

static void head_is_answered_like_get(void) {
    static const char *const targets[] = {
        "/kvs/k",         "/kvs",    "/view",   "/shard/ids", "/shard/key-count/s0",
        "/shard/reshard", "/health", "/metrics"};
    struct site *s = lone_site();
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        kit_note("%s", targets[i]);
        call(s, HTTP_GET, targets[i], "");
        enum api_outcome outcome = s->outcome;
        int status = s->reply.status;
        call(s, HTTP_HEAD, targets[i], "");
        CHECK(s->outcome == outcome && s->reply.status == status);
    }
    site_free(s);
}

static void unknown_paths_are_not_found_whatever_the_verb(void) {
    static const char *const targets[] = {"/",
                                          "*",
                                          "?x",
                                          "/kv",
                                          "/kvsx",
                                          "/KVS/k",
                                          "kvs/k",
                                          "//kvs/k",
                                          "/view/",
                                          "/viewx",
                                          "/shard",
                                          "/shard/",
                                          "/shard/ids/",
                                          "/shard/members",
                                          "/shard/key-count",
                                          "/shard/add-member",
                                          "/shard/reshard/",
                                          "/health/",
                                          "/health/live",
                                          "/metrics/",
                                          "/%6bvs/k",
                                          "http://host",
                                          "http://host/x"};
    struct site *s = lone_site();
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        for (int method = HTTP_GET; method <= HTTP_OTHER; method++) {
            kit_note("%s", targets[i]);
            check(s, (enum http_method)method, targets[i], "", 404, "{\"error\":\"Not found\"}");
            CHECK(s->reply.allow == NULL);
        }
    }
    site_free(s);
}

static void a_reply_forgets_the_one_before(void) {
    struct site *s = lone_site();
    call(s, HTTP_GET, "/metrics", "");
    CHECK(!slice_equal(s->reply.content_type, SLICE("application/json")));
    check(s, HTTP_DELETE, "/kvs", "", 405, "{\"error\":\"Method not allowed\"}");
    check(s, HTTP_GET, "/view", "", 200, "{\"view\":[\"10.0.0.1:8090\"]}");
    CHECK(s->reply.allow == NULL && s->reply.listing == NULL);
    s->reply.body.len = 0;
    api_put_error(&s->reply, 431, "Too much");
    CHECK_U64((uint64_t)s->reply.status, 431);
    CHECK_TEXT(buffer_slice(&s->reply.body), "{\"error\":\"Too much\"}");
    site_free(s);
}

/* ---- /health and /metrics ---- */

static void health_tells_what_this_node_is(void) {
    struct site *s = site_of(kit_cluster_config(2, 2));
    check_status(s, HTTP_PUT, "/kvs/key0", "{\"value\":1}", 201);
    check_status(s, HTTP_GET, "/health", "", 200);
    CHECK_TEXT(member(s, "status"), "\"up\"");
    CHECK_TEXT(member(s, "ready"), "true");
    CHECK_TEXT(member(s, "provisional"), "false");
    CHECK_TEXT(member(s, "node"), "\"10.0.0.1:8090\"");
    CHECK_TEXT(member(s, "shard-id"), "\"s0\"");
    CHECK_TEXT(member(s, "keys"), "1");
    check_status(s, HTTP_GET, "/health/ready", "", 200);
    site_free(s);
}

static void a_node_that_has_not_met_its_shard_is_up_and_not_ready(void) {
    struct site *s = site_of(kit_cluster_config(2, 1));
    check_status(s, HTTP_GET, "/health", "", 200);
    CHECK_TEXT(member(s, "status"), "\"up\"");
    CHECK_TEXT(member(s, "ready"), "false");
    check_status(s, HTTP_GET, "/health/ready", "", 503);
    kit_pass_until_ready(s->n);
    check_status(s, HTTP_GET, "/health", "", 200);
    CHECK_TEXT(member(s, "ready"), "true");
    CHECK_TEXT(member(s, "provisional"), "true");
    check_status(s, HTTP_GET, "/health/ready", "", 200);
    site_free(s);
}

/* name, name{label="value",...} and a number; or a comment. */
static bool is_metric_line(struct slice line) {
    if (slice_starts_with(line, SLICE("# HELP ")) || slice_starts_with(line, SLICE("# TYPE "))) {
        return true;
    }
    const char *space = memchr(line.at, ' ', line.len);
    const char *brace = memchr(line.at, '}', line.len);
    uint64_t n;
    if (brace != NULL) space = brace + 1;
    if (space == NULL || !slice_starts_with(line, SLICE("kvs_"))) return false;
    struct slice number = {space + 1, (size_t)(line.at + line.len - space - 1)};
    return *space == ' ' && slice_to_u64(number, &n);
}

static void metrics_are_lines_of_the_text_format(void) {
    struct site *s = lone_site();
    s->stats.requests = 4711;
    check_status(s, HTTP_PUT, "/kvs/k", "{\"value\":1}", 201);
    call(s, HTTP_GET, "/metrics", "");
    CHECK_TEXT(s->reply.content_type, "text/plain; version=0.0.4; charset=utf-8");
    struct slice text = buffer_slice(&s->reply.body);
    buffer_put_char(&s->reply.body, '\0');
    text.at = s->reply.body.at;
    CHECK(strstr(text.at, "\nkvs_requests_total 4711\n") != NULL);
    CHECK(strstr(text.at, "\nkvs_keys 1\n") != NULL);
    CHECK(strstr(text.at, "\nkvs_operations_total{op=\"put\",result=\"created\"} 1\n") != NULL);
    CHECK(strstr(text.at, "\nkvs_operations_total{op=\"get\",result=\"found\"} 0\n") != NULL);
    CHECK(text.len > 0 && text.at[text.len - 1] == '\n');
    while (text.len > 0) {
        const char *end = memchr(text.at, '\n', text.len);
        struct slice line = {text.at, (size_t)(end - text.at)};
        if (!CHECK(is_metric_line(line))) CHECK_TEXT(line, "a line of a metric");
        text = (struct slice){end + 1, text.len - line.len - 1};
    }
    site_free(s);
}

static void only_a_plain_write_of_the_same_lane_may_join_writes_under_way(void) {
    struct site *s = site_of(kit_cluster_config(2, 2));
    struct api *api = &s->api;
    uint64_t lane = api_lane(api, HTTP_PUT, SLICE("/kvs/key0"));
    CHECK(lane != 0 && shard_slot(SLICE("key0")) % 2 == 0);
    CHECK_U64(api_lane(api, HTTP_PUT, SLICE("http://kvs:8090/kvs/k%65y0?x")), lane);
    CHECK_U64(api_lane(api, HTTP_PUT, SLICE("/kvs/key4")), 0); /* whose shard is not there */
    CHECK_U64(api_lane(api, HTTP_PUT, SLICE("/kvs")), 0);
    CHECK_U64(api_lane(api, HTTP_PUT, SLICE("/kvs/%zz")), 0);
    CHECK_U64(api_lane(api, HTTP_PUT, SLICE("/view?/kvs/key0")), 0);
    CHECK_U64(api_lane(api, HTTP_DELETE, SLICE("/kvs/key0")), 0);
    CHECK_U64(api_lane(api, HTTP_GET, SLICE("/kvs/key0")), 0);
    CHECK_U64(api_lane(api, HTTP_PUT, (struct slice){0}), 0);
    site_free(s);
    s = lone_site();
    CHECK(api_lane(&s->api, HTTP_PUT, SLICE("/kvs/key4")) != 0);
    site_free(s);
}

/* ---- Tokens ---- */

#define NO_TOKEN "{\"error\":\"Authorization: Bearer with the right token is needed\"}"

static void check_kept_out(struct site *s, const char *authorization) {
    s->authorization = authorization;
    kit_note("Authorization: %s", authorization == NULL ? "(none)" : authorization);
    check(s, HTTP_PUT, "/kvs/k", "{\"value\":2}", 401, NO_TOKEN);
    check(s, HTTP_GET, "/kvs", "", 401, NO_TOKEN);
    check(s, HTTP_GET, "/metrics", "", 401, NO_TOKEN);
    check(s, HTTP_OTHER, "/view", "", 401, NO_TOKEN);
    check(s, HTTP_GET, "/nothing", "", 401, NO_TOKEN);
    check_status(s, HTTP_GET, "/health", "", 200);
    check_status(s, HTTP_GET, "/health/ready", "", 200);
}

static void without_the_token_only_health_is_told(void) {
    struct site *s = lone_site();
    s->api.token = SLICE("s3cret");
    s->authorization = "Bearer s3cret";
    check_status(s, HTTP_PUT, "/kvs/k", "{\"value\":1}", 201);
    static const char *const wrong[] = {
        NULL,
        "",
        "s3cret",
        "Bearer",
        "Bearer ",
        "Bearer s3cre",
        "Bearer x",
        "Bearer s3crets",
        "Basic s3cret",
        "Bearer s3cret s3cret",
        "Bearer S3CRET",
        "Bearers3cret",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        check_kept_out(s, wrong[i]);
    s->authorization = "bearer  s3cret";
    call(s, HTTP_GET, "/kvs", "");
    CHECK_TEXT(buffer_slice(&s->reply.body), "{\"kvs\":{\"k\":1},\"next\":null,\"complete\":true,"
                                             "\"unreachable\":[]}");
    site_free(s);
}

int main(void) {
    target_guard = guard_create();
    body_guard = guard_create();
    RUN(operations_on_a_key_have_the_bodies_of_the_contract);
    RUN(without_the_token_only_health_is_told);
    RUN(values_come_back_as_the_same_json);
    RUN(a_body_is_read_by_name_and_the_last_of_equal_names_counts);
    RUN(a_body_that_is_no_object_is_refused_with_its_place);
    RUN(checks_go_in_the_order_json_value_key_causality);
    RUN(a_refused_operation_gives_its_metadata_back);
    RUN(keys_are_decoded_once_and_keep_everything);
    RUN(keys_may_have_50_characters_of_any_size);
    RUN(bad_keys_are_refused);
    RUN(malformed_metadata_is_named_with_its_place_in_the_body);
    RUN(a_dependency_that_is_missing_is_waited_for_and_then_named);
    RUN(a_read_that_waited_gets_the_value_when_it_comes);
    RUN(other_refusals_of_the_node_have_their_bodies);
    RUN(only_a_plain_write_of_the_same_lane_may_join_writes_under_way);
    RUN(a_listing_is_answered_with_all_pairs);
    RUN(queries_are_read_by_name);
    RUN(bad_queries_are_refused);
    RUN(the_view_is_shown_added_to_and_removed_from);
    RUN(an_address_must_be_there_and_good);
    RUN(shards_are_described);
    RUN(members_are_added_as_the_contract_says);
    RUN(a_reshard_wants_a_whole_number_of_shards_and_enough_nodes);
    RUN(each_path_has_its_verbs_and_names_them_otherwise);
    RUN(head_is_answered_like_get);
    RUN(unknown_paths_are_not_found_whatever_the_verb);
    RUN(a_reply_forgets_the_one_before);
    RUN(health_tells_what_this_node_is);
    RUN(a_node_that_has_not_met_its_shard_is_up_and_not_ready);
    RUN(metrics_are_lines_of_the_text_format);
    guard_free(&target_guard);
    guard_free(&body_guard);
    return kit_finish();
}
