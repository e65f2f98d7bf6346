/* HTTP: however the bytes are split, the same requests come out; what was understood means the same
 * when it is written in the plainest form; the bytes behind a request stay as they were. */
#include <assert.h>
#include <stdlib.h>

#include "../http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Bytes in a block of exactly their size, so that reading one more is seen. */
struct exact {
    char *at;
    size_t len;
};

static struct exact exact_of(struct slice s) {
    struct exact e = {malloc(s.len), s.len};
    if (s.len > 0) memcpy(e.at, s.at, s.len);
    return e;
}

/* *e without its first `drop` bytes, and with `more` behind. */
static void exact_change(struct exact *e, size_t drop, struct slice more) {
    struct exact next = {malloc(e->len - drop + more.len), e->len - drop + more.len};
    if (e->len > drop) memcpy(next.at, e->at + drop, e->len - drop);
    if (more.len > 0) memcpy(next.at + e->len - drop, more.at, more.len);
    free(e->at);
    *e = next;
}

/* ---- One outcome as text ---- */

static void put_number(struct buffer *out, const char *name, uint64_t n) {
    buffer_put(out, slice_of(name));
    buffer_put_u64(out, n);
    buffer_put_char(out, ' ');
}

static void put_request(struct buffer *out, const struct http_parser *p, const char *bytes) {
    put_number(out, "method ", p->method);
    put_number(out, "minor ", p->minor_0 ? 0 : 1);
    put_number(out, "keep ", p->keep_alive);
    put_number(out, "expect ", p->expects_continue);
    buffer_put(out, http_target(p, bytes));
    buffer_put_char(out, ' ');
    put_number(out, "body ", http_body(p, bytes).len);
    buffer_put(out, http_body(p, bytes));
    buffer_put_char(out, '\n');
}

static void put_refusal(struct buffer *out, const struct http_parser *p) {
    assert(p->status >= 400 && p->status < 600 && p->error != NULL);
    put_number(out, "status ", (uint64_t)p->status);
    buffer_put(out, slice_of(p->error));
}

/* ---- Feeding ---- */

struct feed {
    struct http_parser p;
    struct exact held; /* received and not consumed */
    enum http_result result;
    struct buffer seen; /* all outcomes so far */
    size_t taken;       /* bytes of the input up to here: consumed, and the framing removed */
};

/* Takes as many requests as are there. `input` is all that was fed so far. */
static void take_requests(struct feed *f, struct slice input) {
    for (;;) {
        size_t before = f->held.len;
        f->result = http_parse(&f->p, f->held.at, &f->held.len);
        assert(f->held.len <= before);
        if (f->result == HTTP_BAD) put_refusal(&f->seen, &f->p);
        if (f->result != HTTP_DONE) break;
        size_t rest = f->held.len - f->p.consumed;
        assert(f->p.consumed <= f->held.len && rest <= input.len);
        assert(memcmp(f->held.at + f->p.consumed, input.at + input.len - rest, rest) == 0);
        put_request(&f->seen, &f->p, f->held.at);
        exact_change(&f->held, f->p.consumed, (struct slice){NULL, 0});
        http_parser_reset(&f->p);
        if (f->held.len == 0) {
            f->result = HTTP_MORE;
            break;
        }
    }
    exact_change(&f->held, 0, (struct slice){NULL, 0}); /* to its exact size again */
}

/* Pieces of 1 to `most` bytes, drawn from a hash of the input: the same input splits the same. */
static struct buffer outcomes(struct slice input, size_t most) {
    struct feed f = {.held = exact_of((struct slice){NULL, 0})};
    uint64_t random = 14695981039346656037u;
    for (size_t i = 0; i < input.len; i++)
        random = (random ^ (unsigned char)input.at[i]) * 1099511628211u;
    http_parser_reset(&f.p);
    for (size_t at = 0; at < input.len && f.result != HTTP_BAD;) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        size_t len = 1 + (size_t)(random >> 33) % most;
        if (len > input.len - at) len = input.len - at;
        exact_change(&f.held, 0, (struct slice){input.at + at, len});
        at += len;
        take_requests(&f, (struct slice){input.at, at});
    }
    if (f.result == HTTP_MORE) put_number(&f.seen, "more, continue ", http_wants_continue(&f.p));
    free(f.held.at);
    return f.seen;
}

static void check_same(struct slice input, const struct buffer *whole, size_t most) {
    struct buffer split = outcomes(input, most);
    assert(slice_equal(buffer_slice(&split), buffer_slice(whole)));
    buffer_free(&split);
}

/* ---- The plainest form ---- */

/* The first request of the input, written anew, is read as the same. */
static void check_plain_form(struct slice input) {
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE", "PATCH"};
    struct exact bytes = exact_of(input), again;
    struct http_parser p, plain;
    struct buffer text = {0};
    http_parser_reset(&p);
    if (http_parse(&p, bytes.at, &bytes.len) == HTTP_DONE) {
        buffer_put(&text, slice_of(methods[p.method]));
        buffer_put_char(&text, ' ');
        buffer_put(&text, http_target(&p, bytes.at));
        buffer_put(&text, SLICE(" HTTP/1.1\r\nHost: a\r\nContent-Length: "));
        buffer_put_u64(&text, http_body(&p, bytes.at).len);
        buffer_put(&text, SLICE("\r\n\r\n"));
        buffer_put(&text, http_body(&p, bytes.at));
        again = exact_of(buffer_slice(&text));
        http_parser_reset(&plain);
        enum http_result result = http_parse(&plain, again.at, &again.len);
        if (p.target_len < HTTP_HEAD_BYTES_MAX - 100) {
            assert(result == HTTP_DONE && plain.method == p.method);
            assert(slice_equal(http_target(&plain, again.at), http_target(&p, bytes.at)));
            assert(slice_equal(http_body(&plain, again.at), http_body(&p, bytes.at)));
            assert(plain.consumed == again.len);
        }
        free(again.at);
    }
    buffer_free(&text);
    free(bytes.at);
}

/* A path and a query lie inside the target, and decoding never lengthens. */
static void check_target(struct slice input) {
    struct exact target = exact_of(input);
    struct slice path, query;
    struct buffer out = {0};
    http_split_target((struct slice){target.at, target.len}, &path, &query);
    assert(path.len + query.len <= target.len);
    assert(path.len == 0 || memchr(path.at, '?', path.len) == NULL);
    if (http_percent_decode(path, &out)) assert(out.len <= path.len);
    buffer_free(&out);
    free(target.at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct slice input = {(const char *)data, size};
    if (size == 0 || size > 1 << 16) return 0;
    struct buffer whole = outcomes(input, SIZE_MAX);
    check_same(input, &whole, 1 + size / 3);
    check_same(input, &whole, 1 + size / 40);
    if (size < 2000) check_same(input, &whole, 1);
    buffer_free(&whole);
    check_plain_form(input);
    check_target(input);
    return 0;
}
