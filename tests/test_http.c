/* The HTTP parser: each request is fed whole, in two parts at every place and byte by byte, always
 * with the bytes right before or right behind a guard page. All ways must tell the same. */
#include "kit.h"

#include <stdio.h>
#include <time.h>

#include "../http.h"

static struct guard guard;

/* ---- Feeding ---- */

struct feed {
    struct http_parser p;
    enum http_result result;
    struct buffer bytes; /* received and not consumed */
    size_t fed;          /* bytes of the input that were fed until it was not HTTP_MORE any more */
    bool at_start;       /* which side of the guard */
};

static void feed_begin(struct feed *f, bool at_start) {
    *f = (struct feed){.result = HTTP_MORE, .at_start = at_start};
    http_parser_reset(&f->p);
}

/* What comes after the end of a request is kept, as a server does. */
static void feed_more(struct feed *f, struct slice piece) {
    buffer_put(&f->bytes, piece);
    if (f->result != HTTP_MORE) return;
    f->fed += piece.len;
    struct slice held = buffer_slice(&f->bytes);
    char *at = f->at_start ? guard_start(&guard, held) : guard_end(&guard, held);
    f->result = http_parse(&f->p, at, &f->bytes.len);
    CHECK(f->bytes.len <= held.len);
    if (f->bytes.len > 0) memcpy(f->bytes.at, at, f->bytes.len);
}

static void put_flag(struct buffer *out, bool is, const char *name) {
    if (is) buffer_put(out, slice_of(name));
}

static void describe_done(const struct feed *f, struct buffer *out) {
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE", "other"};
    const struct http_parser *p = &f->p;
    buffer_put(out, slice_of(methods[p->method]));
    buffer_put_char(out, ' ');
    buffer_put(out, http_target(p, f->bytes.at));
    buffer_put(out, SLICE(" ["));
    buffer_put(out, http_body(p, f->bytes.at));
    buffer_put(out, SLICE("]"));
    put_flag(out, p->minor_0, " 1.0");
    put_flag(out, p->keep_alive, " keep");
    put_flag(out, p->expects_continue, " expect");
    put_flag(out, p->authorization_at > 0, " auth=");
    buffer_put(out, http_authorization(p, f->bytes.at));
    buffer_put(out, SLICE(" | "));
    CHECK(p->consumed <= f->bytes.len);
    buffer_put(out, (struct slice){f->bytes.at + p->consumed, f->bytes.len - p->consumed});
}

/* Everything that a caller can see, as one text: "PUT /target [body] keep | what follows". */
static struct buffer describe(const struct feed *f) {
    struct buffer out = {0};
    if (f->result == HTTP_MORE) {
        buffer_put(&out, SLICE("more"));
        put_flag(&out, http_wants_continue(&f->p), " wants continue");
    } else if (f->result == HTTP_BAD) {
        buffer_put_u64(&out, (uint64_t)f->p.status);
        buffer_put_char(&out, ' ');
        buffer_put(&out, slice_of(f->p.error));
    } else {
        describe_done(f, &out);
    }
    return out;
}

static void check_feed(struct feed *f, struct slice want) {
    struct buffer got = describe(f);
    CHECK_SLICE(buffer_slice(&got), want);
    buffer_free(&got);
    buffer_free(&f->bytes);
}

static void check_in_parts(struct slice input, size_t first, bool at_start, struct slice want) {
    struct feed f;
    feed_begin(&f, at_start);
    feed_more(&f, (struct slice){input.at, first});
    feed_more(&f, (struct slice){input.at + first, input.len - first});
    check_feed(&f, want);
}

/* Byte by byte; returns after how many bytes the outcome was clear. */
static size_t check_by_bytes(struct slice input, bool at_start, struct slice want) {
    struct feed f;
    feed_begin(&f, at_start);
    for (size_t i = 0; i < input.len; i++)
        feed_more(&f, (struct slice){input.at + i, 1});
    size_t fed = f.fed;
    check_feed(&f, want);
    return fed;
}

static size_t check_every_way(struct slice input, struct slice want) {
    for (size_t first = 0; first <= input.len; first++) {
        check_in_parts(input, first, false, want);
        check_in_parts(input, first, true, want);
    }
    check_by_bytes(input, true, want);
    return check_by_bytes(input, false, want);
}

/* ---- Requests that are understood ---- */

#define HOST "Host: a\r\n"

struct good {
    const char *request; /* complete with its last byte, and not before */
    const char *follower;
    const char *seen;
};

static void check_good(const struct good *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct buffer input = {0}, want = {0};
        buffer_put(&input, slice_of(cases[i].request));
        size_t request_len = input.len;
        buffer_put(&input, slice_of(cases[i].follower));
        buffer_put(&want, slice_of(cases[i].seen));
        buffer_put(&want, SLICE(" | "));
        buffer_put(&want, slice_of(cases[i].follower));
        kit_note("%s", cases[i].request);
        CHECK_U64(check_every_way(buffer_slice(&input), buffer_slice(&want)), request_len);
        buffer_free(&input);
        buffer_free(&want);
    }
}

static void requests_are_complete_with_their_last_byte_however_they_are_split(void) {
    static const struct good cases[] = {
        {"GET / HTTP/1.1\r\n" HOST "\r\n", "", "GET / [] keep"},
        {"GET / HTTP/1.1\r\nhOsT:\r\n\r\n", "", "GET / [] keep"},
        {"GET /kvs/a?b=c%20d HTTP/1.1\r\n" HOST "\r\n", "GET /b HTTP/1.1\r\n",
         "GET /kvs/a?b=c%20d [] keep"},
        {"\r\n\r\nHEAD /x HTTP/1.1\r\n" HOST "\r\n", "\r\n", "HEAD /x [] keep"},
        {"DELETE http://h:1/p?q HTTP/1.1\r\n" HOST "\r\n", "x", "DELETE http://h:1/p?q [] keep"},
        {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "", "other * [] keep"},
        {"get / HTTP/1.1\r\n" HOST "\r\n", "", "other / [] keep"},
        {"PUT / HTTP/1.9\r\n" HOST "\r\n", "", "PUT / [] keep"},
        {"GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n", "", "GET /\xc3\xa4 [] keep"},
        {"GET / HTTP/1.1\r\n" HOST "X:\t a:b \xff \t\r\nY:\r\n\r\n", "", "GET / [] keep"},
        {"GET / HTTP/1.1\r\n" HOST "Host-Not: b\r\nHos: c\r\nHostt: d\r\n\r\n", "",
         "GET / [] keep"},
    };
    check_good(cases, sizeof cases / sizeof *cases);
}

static void sized_bodies_are_as_long_as_they_say(void) {
    static const struct good cases[] = {
        {"PUT / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello", "GET", "PUT / [hello] keep"},
        {"PUT / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", "hello", "PUT / [] keep"},
        {"PUT / HTTP/1.1\r\ncontent-LENGTH:2 \t\r\n" HOST "\r\n\r\n", "\r\n", "PUT / [\r\n] keep"},
        {"GET / HTTP/1.1\r\n" HOST "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", "y",
         "GET / [x] keep"},
        {"PUT / HTTP/1.1\r\n" HOST "Content-Length: 0000000000000000000000003\r\n\r\nabc", "",
         "PUT / [abc] keep"},
    };
    check_good(cases, sizeof cases / sizeof *cases);
}

#define CHUNKED HOST "Transfer-Encoding: chunked\r\n\r\n"

static void chunked_bodies_are_put_together_and_followers_kept(void) {
    static const struct good cases[] = {
        {"PUT / HTTP/1.1\r\n" CHUNKED "0\r\n\r\n", "GET / HTTP/1.1\r\n", "PUT / [] keep"},
        {"PUT / HTTP/1.1\r\n" CHUNKED "5\r\nhello\r\n0\r\n\r\n", "", "PUT / [hello] keep"},
        {"PUT / HTTP/1.1\r\n" CHUNKED "1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n0\r\n\r\n",
         "GET /next HTTP/1.1\r\n" HOST "\r\n", "PUT / [abcdef] keep"},
        {"PUT / HTTP/1.1\r\n" CHUNKED "000A;a=b;c=\"d\"\r\n0123456789\r\n00\r\n\r\n", "0\r\n\r\n",
         "PUT / [0123456789] keep"},
        {"PUT / HTTP/1.1\r\n" CHUNKED "4 ; x\r\n\r\n\r\n\r\n0 \t;\r\n\r\n", "z",
         "PUT / [\r\n\r\n] keep"},
        {"PUT / HTTP/1.1\r\n" CHUNKED "3\r\nabc\r\n0\r\nTrailer: 1\r\nContent-Length: 7\r\n\r\n",
         "x", "PUT / [abc] keep"},
        {"PUT / HTTP/1.1\r\n" HOST "TRANSFER-encoding: \tCHUNKED \r\n\r\n1\r\nx\r\n0\r\n\r\n", "",
         "PUT / [x] keep"},
    };
    check_good(cases, sizeof cases / sizeof *cases);
}

static void connections_are_kept_as_version_and_header_say(void) {
    static const struct good cases[] = {
        {"GET / HTTP/1.0\r\n\r\n", "", "GET / [] 1.0"},
        {"GET / HTTP/1.0\r\n" HOST "\r\n", "", "GET / [] 1.0"},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "", "GET / [] 1.0 keep"},
        {"GET / HTTP/1.0\r\nConnection: x,keep-alive , close\r\n\r\n", "", "GET / [] 1.0"},
        {"GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n", "", "GET / [] 1.0"},
        {"GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", "", "GET / []"},
        {"GET / HTTP/1.1\r\n" HOST "Connection: foo, CLOSE ,,\r\n\r\n", "", "GET / []"},
        {"GET / HTTP/1.1\r\n" HOST "Connection: closed\r\n\r\n", "", "GET / [] keep"},
        {"GET / HTTP/1.1\r\n" HOST "Connection:\r\n\r\n", "", "GET / [] keep"},
        {"GET / HTTP/1.1\r\n" HOST "Connection: close\r\nConnection: keep-alive\r\n\r\n", "",
         "GET / []"},
        {"PUT / HTTP/1.0\r\nContent-Length: 2\r\n\r\nab", "", "PUT / [ab] 1.0"},
    };
    check_good(cases, sizeof cases / sizeof *cases);
}

/* ---- Requests that are refused ---- */

struct seen {
    const char *input;
    const char *seen;
};

/* Refused for the reason that begins with `seen`, and for the same one however it is split. */
static void check_bad_input(struct slice input, const char *seen) {
    struct feed whole;
    feed_begin(&whole, false);
    feed_more(&whole, input);
    struct buffer reason = describe(&whole);
    if (!CHECK(slice_starts_with(buffer_slice(&reason), slice_of(seen)))) {
        CHECK_TEXT(buffer_slice(&reason), seen);
    }
    check_every_way(input, buffer_slice(&reason));
    buffer_free(&reason);
    buffer_free(&whole.bytes);
}

static void check_bad(const struct seen *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        kit_note("%s", cases[i].input);
        check_bad_input(slice_of(cases[i].input), cases[i].seen);
    }
}

static void check_seen(const struct seen *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        kit_note("%s", cases[i].input);
        check_every_way(slice_of(cases[i].input), slice_of(cases[i].seen));
    }
}

static void malformed_request_lines_are_refused(void) {
    static const struct seen cases[] = {
        {"GET\r\n", "400 "},
        {"GET /\r\n", "400 "},
        {"GET  / HTTP/1.1\r\n", "400 "},
        {"GET /  HTTP/1.1\r\n", "400 "},
        {"GET / a HTTP/1.1\r\n", "400 "},
        {" GET / HTTP/1.1\r\n", "400 "},
        {"GET / HTTP/1.1 \r\n", "400 "},
        {"GET / HTTP/1.1x\r\n", "400 "},
        {"GET / HTTP/1\r\n", "400 "},
        {"GET / http/1.1\r\n", "400 "},
        {"GET / HTTP/a.1\r\n", "400 "},
        {"GET / HTTP/1.:\r\n", "400 "},
        {"GET / \r\n", "400 "},
        {"G(T / HTTP/1.1\r\n", "400 "},
        {"GET\t/ HTTP/1.1\r\n", "400 "},
        {"GET /\t HTTP/1.1\r\n", "400 "},
        {"GET /\x7f HTTP/1.1\r\n", "400 "},
        {"GET /\x01 HTTP/1.1\r\n", "400 "},
        {"GET /a\rb HTTP/1.1\r\n", "400 "},
        {"\xc3\xa4 / HTTP/1.1\r\n", "400 "},
        {"GET / HTTP/1.1\n", "400 "},
        {"\nGET / HTTP/1.1\r\n", "400 "},
        {"GET / HTTP/2.0\r\n", "505 Only HTTP/1.0 and HTTP/1.1 are spoken here"},
        {"GET / HTTP/0.9\r\n", "505 Only HTTP/1.0 and HTTP/1.1 are spoken here"},
    };
    check_bad(cases, sizeof cases / sizeof *cases);
}

#define GET "GET / HTTP/1.1\r\n"

static void what_two_servers_may_read_differently_is_refused(void) {
    static const struct seen cases[] = {
        {GET "\r\n", "400 Exactly one Host header is needed"},
        {GET HOST HOST "\r\n", "400 Exactly one Host header is needed"},
        {"GET / HTTP/1.0\r\n" HOST HOST "\r\n", "400 Exactly one Host header is needed"},
        {GET "Host a\r\n", "400 "},
        {GET "Host : a\r\n", "400 "},
        {GET ": a\r\n", "400 "},
        {GET "H\xc3\xb6st: a\r\n", "400 "},
        {GET " Host: a\r\n", "400 Folded header"},
        {GET HOST "X: a\r\n b\r\n", "400 Folded header"},
        {GET HOST "X: a\r\n\tb\r\n", "400 Folded header"},
        {GET HOST "X: a\rb\r\n", "400 "},
        {GET HOST "X: a\x01\r\n", "400 "},
        {GET HOST "X: a\x7f\r\n", "400 "},
        {GET HOST "X: a\r\r\n", "400 "},
        {GET HOST "X: a\nY: b\r\n", "400 "},
        {GET HOST "\n", "400 "},
        {GET HOST "\r\r\n", "400 "},
    };
    check_bad(cases, sizeof cases / sizeof *cases);
    check_bad_input(SLICE(GET HOST "X: \0\r\n"), "400 ");
    check_bad_input(SLICE("GET /\0 HTTP/1.1\r\n"), "400 ");
}

static void lengths_in_doubt_are_refused(void) {
    static const struct seen cases[] = {
        {GET HOST "Content-Length: 1\r\nContent-Length: 2\r\n",
         "400 Two different Content-Length headers"},
        {GET HOST "Content-Length: 0\r\nContent-Length: 1\r\n",
         "400 Two different Content-Length headers"},
        {GET HOST "Content-Length: 1, 1\r\n", "400 Malformed Content-Length"},
        {GET HOST "Content-Length: +1\r\n", "400 Malformed Content-Length"},
        {GET HOST "Content-Length: -1\r\n", "400 Malformed Content-Length"},
        {GET HOST "Content-Length: 0x1\r\n", "400 Malformed Content-Length"},
        {GET HOST "Content-Length: 1 2\r\n", "400 Malformed Content-Length"},
        {GET HOST "Content-Length:\r\n", "400 Malformed Content-Length"},
        {GET HOST "Content-Length: 1a\r\n", "400 Malformed Content-Length"},
        {GET HOST "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
         "400 Both Content-Length and Transfer-Encoding"},
        {GET HOST "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
         "400 Both Content-Length and Transfer-Encoding"},
        {GET HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
         "400 Two Transfer-Encoding headers"},
        {"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
         "400 Transfer-Encoding in HTTP/1.0"},
        {GET HOST "Transfer-Encoding: gzip, chunked\r\n\r\n",
         "501 No Transfer-Encoding but chunked is understood"},
        {GET HOST "Transfer-Encoding: chunked;\r\n\r\n",
         "501 No Transfer-Encoding but chunked is understood"},
        {GET HOST "Transfer-Encoding: identity\r\n\r\n",
         "501 No Transfer-Encoding but chunked is understood"},
        {GET HOST "Transfer-Encoding:\r\n\r\n",
         "501 No Transfer-Encoding but chunked is understood"},
        {GET HOST "Transfer-Encoding:\r\n chunked\r\n", "400 Folded header"},
        {GET HOST "Expect:\r\n 100-continue\r\n", "400 Folded header"},
        {GET HOST "Expect: 200-ok\r\n\r\n", "417 No Expect but 100-continue is understood"},
    };
    check_bad(cases, sizeof cases / sizeof *cases);
}

#define PUT "PUT / HTTP/1.1\r\n" CHUNKED

static void malformed_chunks_are_refused(void) {
    static const struct seen cases[] = {
        {PUT "\r\n", "400 "},
        {PUT "g\r\n", "400 "},
        {PUT "-1\r\n", "400 "},
        {PUT "+1\r\n", "400 "},
        {PUT "0x1\r\n", "400 "},
        {PUT " 1\r\n", "400 "},
        {PUT "1 \r\n", "400 "},
        {PUT "1 x\r\n", "400 "},
        {PUT ";x\r\n", "400 "},
        {PUT "1;\x01\r\n", "400 "},
        {PUT "1;a\rb\r\n", "400 "},
        {PUT "1\n", "400 "},
        {PUT "1\r\nab", "400 Chunk longer than its size"},
        {PUT "1\r\na\n", "400 Chunk longer than its size"},
        {PUT "1\r\na\rb", "400 Chunk longer than its size"},
        {PUT "1\r\na\r\n\r\n", "400 "},
        {PUT "0\r\nX\r\n", "400 "},
        {PUT "0\r\n X: 1\r\n", "400 Folded header"},
        {PUT "0\r\nX: 1\n", "400 "},
        {PUT "0\r\n\n", "400 "},
        {PUT "800001\r\n", "413 Body is larger than 8 MiB"},
        {PUT "ffffffffffffffffffff\r\n", "413 Body is larger than 8 MiB"},
        {PUT "1\r\na\r\n800000\r\n", "413 Body is larger than 8 MiB"},
    };
    check_bad(cases, sizeof cases / sizeof *cases);
}

static void a_request_that_is_not_complete_asks_for_more(void) {
    static const struct seen cases[] = {
        {"", "more"},
        {"\r", "more"},
        {"\r\n", "more"},
        {"GE", "more"},
        {GET, "more"},
        {GET HOST, "more"},
        {GET HOST "\r", "more"},
        {"PUT / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nab", "more"},
        {"PUT / HTTP/1.1\r\n" HOST "Content-Length: 8388608\r\n\r\n", "more"},
        {PUT, "more"},
        {PUT "3", "more"},
        {PUT "3\r\n", "more"},
        {PUT "3\r\nab", "more"},
        {PUT "3\r\nabc", "more"},
        {PUT "3\r\nabc\r", "more"},
        {PUT "3\r\nabc\r\n0\r\n\r", "more"},
        {PUT "800000\r\n", "more"},
    };
    check_seen(cases, sizeof cases / sizeof *cases);
}

static void leave_to_send_a_body_is_wanted_while_it_is_due(void) {
#define EXPECT HOST "eXpect: 100-CONTINUE\r\n"
    static const struct seen cases[] = {
        {"PUT / HTTP/1.1\r\n" EXPECT "Content-Length: 3\r\n\r\n", "more wants continue"},
        {"PUT / HTTP/1.1\r\n" EXPECT "Transfer-Encoding: chunked\r\n\r\n", "more wants continue"},
        {"PUT / HTTP/1.1\r\n" EXPECT "Content-Length: 3\r\n", "more"},
        {"PUT / HTTP/1.1\r\n" EXPECT "Content-Length: 3\r\n\r\nabc", "PUT / [abc] keep expect | "},
        {"PUT / HTTP/1.1\r\n" EXPECT "Content-Length: 8388609\r\n\r\n",
         "413 Body is larger than 8 MiB"},
        {"PUT / HTTP/1.0\r\n" EXPECT "Content-Length: 3\r\n\r\n", "more"},
        {"PUT / HTTP/1.1\r\n" EXPECT "\r\n", "PUT / [] keep expect | "},
    };
    check_seen(cases, sizeof cases / sizeof *cases);
}

static void a_length_over_the_limit_is_refused_before_the_body_comes(void) {
    static const struct seen cases[] = {
        {"PUT / HTTP/1.1\r\n" HOST "Content-Length: 8388609\r\n\r\n",
         "413 Body is larger than 8 MiB"},
        {"PUT / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551621\r\n\r\n",
         "413 Body is larger than 8 MiB"},
        {"PUT / HTTP/1.1\r\n" HOST "Content-Length: 4294967301\r\n\r\nhello",
         "413 Body is larger than 8 MiB"},
    };
    check_bad(cases, sizeof cases / sizeof *cases);
}

static void the_authorization_is_given_as_it_came(void) {
    static const struct good cases[] = {
        {"GET / HTTP/1.1\r\n" HOST "Authorization: Bearer abc\r\n\r\n", "GET / HTTP/1.1",
         "GET / [] keep auth=Bearer abc"},
        {"PUT / HTTP/1.1\r\naUTHORIZATION:  x \t\r\n" HOST "Content-Length: 2\r\n\r\nhi", "G",
         "PUT / [hi] keep auth=x"},
        {"GET / HTTP/1.1\r\n" HOST "Authorization:\r\n\r\n", "", "GET / [] keep auth="},
        {"PUT / HTTP/1.1\r\n" HOST "Authorization: b\r\nTransfer-Encoding: chunked\r\n\r\n"
         "2\r\nhi\r\n0\r\nAuthorization: trailer\r\n\r\n",
         "", "PUT / [hi] keep auth=b"},
    };
    static const struct seen bad[] = {
        {"GET / HTTP/1.1\r\n" HOST "Authorization: a\r\nAuthorization: a\r\n",
         "400 Two Authorization headers"},
    };
    check_good(cases, sizeof cases / sizeof *cases);
    check_bad(bad, 1);
}

/* ---- Limits ---- */

/* A head of exactly `bytes` with the given headers, whose last header is filled up. */
static struct buffer head_of(size_t bytes, const char *headers) {
    struct buffer head = {0};
    buffer_put(&head, SLICE("PUT / HTTP/1.1\r\n" HOST));
    buffer_put(&head, slice_of(headers));
    buffer_put(&head, SLICE("Fill: "));
    while (head.len < bytes - 4)
        buffer_put_char(&head, 'x');
    buffer_put(&head, SLICE("\r\n\r\n"));
    return head;
}

/* Whole, in halves and around each of the last 40 bytes. */
static void check_long(struct slice input, struct slice want) {
    check_in_parts(input, input.len, false, want);
    check_in_parts(input, input.len, true, want);
    for (size_t left = 1; left < 40 && left < input.len; left++) {
        check_in_parts(input, input.len - left, false, want);
    }
    for (size_t first = 0; first < input.len; first += 997) {
        check_in_parts(input, first, false, want);
    }
    check_by_bytes(input, false, want);
}

static void a_head_may_be_16_kib_and_no_more(void) {
    for (size_t bytes = HTTP_HEAD_BYTES_MAX - 1; bytes <= HTTP_HEAD_BYTES_MAX + 2; bytes++) {
        struct buffer head = head_of(bytes, "");
        kit_note("%zu bytes", bytes);
        check_long(buffer_slice(&head), bytes <= HTTP_HEAD_BYTES_MAX
                                            ? SLICE("PUT / [] keep | ")
                                            : SLICE("431 Headers are larger than 16 KiB"));
        buffer_free(&head);
    }
}

static void a_line_without_end_is_refused_at_the_limit(void) {
    struct buffer input = {0};
    buffer_put(&input, SLICE("GET /"));
    while (input.len < HTTP_HEAD_BYTES_MAX)
        buffer_put_char(&input, 'x');
    check_long(buffer_slice(&input), SLICE("more"));
    buffer_put_char(&input, 'x');
    check_long(buffer_slice(&input), SLICE("431 Headers are larger than 16 KiB"));
    buffer_free(&input);
}

static void empty_lines_without_end_are_refused_at_the_limit(void) {
    struct buffer input = {0};
    while (input.len < HTTP_HEAD_BYTES_MAX)
        buffer_put(&input, SLICE("\r\n"));
    check_long(buffer_slice(&input), SLICE("more"));
    buffer_put(&input, SLICE("\r\n"));
    check_long(buffer_slice(&input), SLICE("431 Headers are larger than 16 KiB"));
    buffer_free(&input);
}

static void trailers_count_with_the_head(void) {
    for (size_t over = 0; over <= 1; over++) {
        struct buffer input =
            head_of(HTTP_HEAD_BYTES_MAX - 9 + over, "Transfer-Encoding: chunked\r\n");
        buffer_put(&input, SLICE("1\r\na\r\n0\r\nT: 12\r\n\r\n"));
        kit_note("over by %zu", over);
        check_long(buffer_slice(&input), over == 0 ? SLICE("PUT / [a] keep | ")
                                                   : SLICE("431 Headers are larger than 16 KiB"));
        buffer_free(&input);
    }
}

static void chunk_lines_do_not_count_with_the_head(void) {
    struct buffer input = head_of(HTTP_HEAD_BYTES_MAX - 2, "Transfer-Encoding: chunked\r\n");
    buffer_put(&input, SLICE("00000000005;an=extension\r\nhello\r\n0\r\n\r\n"));
    check_long(buffer_slice(&input), SLICE("PUT / [hello] keep | "));
    buffer_free(&input);
}

static void a_chunk_line_is_short_even_behind_a_long_head(void) {
    static const size_t heads[] = {1000, HTTP_HEAD_BYTES_MAX - 300, HTTP_HEAD_BYTES_MAX - 2};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        for (size_t line = HTTP_CHUNK_LINE_MAX - 1; line < 700;
             line = line < 257 ? line + 1 : 2 * line) {
            struct buffer input = head_of(heads[i], "Transfer-Encoding: chunked\r\n");
            buffer_put(&input, SLICE("1;"));
            for (size_t filled = 2; filled < line - 2; filled++)
                buffer_put_char(&input, 'x');
            buffer_put(&input, SLICE("\r\na\r\n0\r\n\r\n"));
            kit_note("head of %zu, line of %zu bytes", heads[i], line);
            check_long(buffer_slice(&input), line <= HTTP_CHUNK_LINE_MAX
                                                 ? SLICE("PUT / [a] keep | ")
                                                 : SLICE("400 Chunk size line is too long"));
            buffer_free(&input);
        }
    }
}

static void a_chunk_line_without_end_is_refused_at_its_limit(void) {
    struct buffer input = {0};
    buffer_put(&input, SLICE(PUT));
    for (size_t i = 0; i < HTTP_CHUNK_LINE_MAX; i++)
        buffer_put_char(&input, '0');
    check_long(buffer_slice(&input), SLICE("more"));
    buffer_put_char(&input, '0');
    check_long(buffer_slice(&input), SLICE("400 Chunk size line is too long"));
    buffer_free(&input);
}

/* The body limit, by chunks of which the last goes one byte too far. */
static void chunks_may_add_up_to_8_mib_and_no_more(void) {
    struct http_parser p;
    struct buffer held = {0};
    enum http_result result = HTTP_MORE;
    buffer_put(&held, SLICE(PUT));
    http_parser_reset(&p);
    for (int chunk = 0; chunk < 8 && result == HTTP_MORE; chunk++) {
        buffer_put(&held, SLICE("100000\r\n"));
        buffer_reserve(&held, 1 << 20);
        memset(held.at + held.len, 'a' + chunk, 1 << 20);
        held.len += 1 << 20;
        buffer_put(&held, SLICE("\r\n"));
        result = http_parse(&p, held.at, &held.len);
    }
    CHECK(result == HTTP_MORE);
    CHECK_U64(held.len, sizeof PUT - 1 + HTTP_BODY_BYTES_MAX); /* the framing is gone */
    struct http_parser saved = p;
    struct buffer over = {0};
    buffer_put(&over, buffer_slice(&held));
    buffer_put(&held, SLICE("0\r\n\r\n"));
    CHECK(http_parse(&p, held.at, &held.len) == HTTP_DONE);
    struct slice body = http_body(&p, held.at);
    CHECK_U64(body.len, HTTP_BODY_BYTES_MAX);
    for (size_t i = 0; i < body.len; i += 4096)
        CHECK(body.at[i] == (char)('a' + (i >> 20)));
    buffer_put(&over, SLICE("1\r\n"));
    CHECK(http_parse(&saved, over.at, &over.len) == HTTP_BAD && saved.status == 413);
    buffer_free(&held);
    buffer_free(&over);
}

/* ---- Several requests ---- */

static const char PIPELINE[] =
    GET HOST "\r\n"
             "PUT /1 HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"
             "PUT /2 HTTP/1.1\r\n" CHUNKED "2\r\nde\r\n1\r\nf\r\n0\r\nT: 1\r\n\r\n"
             "\r\nDELETE /3 HTTP/1.1\r\n" HOST "\r\n"
             "PUT /4 HTTP/1.1\r\n" CHUNKED "0\r\n\r\n" GET HOST "\r\n";

static const char PIPELINE_SEEN[] = "GET / [];PUT /1 [abc];PUT /2 [def];DELETE /3 [];PUT /4 [];"
                                    "GET / [];";

/* Takes all complete requests off the front of f->bytes. */
static void take_requests(struct feed *f, struct buffer *seen) {
    while (f->result == HTTP_DONE) {
        struct buffer text = describe(f);
        size_t shown = (size_t)((char *)memchr(text.at, ']', text.len) - text.at) + 1;
        buffer_put(seen, (struct slice){text.at, shown});
        buffer_put_char(seen, ';');
        buffer_free(&text);
        struct buffer rest = {0};
        buffer_put(&rest,
                   (struct slice){f->bytes.at + f->p.consumed, f->bytes.len - f->p.consumed});
        buffer_free(&f->bytes);
        feed_begin(f, f->at_start);
        feed_more(f, buffer_slice(&rest));
        buffer_free(&rest);
    }
}

static void pipelined_requests_are_the_same_at_every_random_split(void) {
    struct kit_random random = {kit_seed()};
    for (int round = 0; round < 2000; round++) {
        struct feed f;
        struct buffer seen = {0};
        uint64_t most = 1 + kit_below(&random, 60);
        feed_begin(&f, round % 2 == 0);
        for (size_t at = 0; at < sizeof PIPELINE - 1;) {
            size_t len = 1 + kit_below(&random, most);
            if (len > sizeof PIPELINE - 1 - at) len = sizeof PIPELINE - 1 - at;
            feed_more(&f, (struct slice){PIPELINE + at, len});
            take_requests(&f, &seen);
            at += len;
        }
        kit_note("round %d", round);
        CHECK_TEXT(buffer_slice(&seen), PIPELINE_SEEN);
        CHECK_U64(f.bytes.len, 0);
        buffer_free(&seen);
        buffer_free(&f.bytes);
    }
}

/* ---- Targets ---- */

static void targets_are_split_into_path_and_query(void) {
    static const struct {
        const char *target, *path, *query;
    } cases[] = {
        {"/kvs/a", "/kvs/a", ""},
        {"/kvs/a?b=c", "/kvs/a", "b=c"},
        {"/kvs/a?", "/kvs/a", ""},
        {"/a?b?c", "/a", "b?c"},
        {"?x", "", "x"},
        {"*", "*", ""},
        {"http://host:1/p/q?r", "/p/q", "r"},
        {"HTTP://host/p", "/p", ""},
        {"https://host/p", "/p", ""},
        {"http://host", "", ""},
        {"http://host?q", "", "q"},
        {"http://", "", ""},
        {"http:///p", "/p", ""},
        {"/kvs/http://x/y", "/kvs/http://x/y", ""},
        {"ftp://host/p", "ftp://host/p", ""},
        {"httpx://host/p", "httpx://host/p", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice text = slice_of(cases[i].target), path, query;
        kit_note("%s", cases[i].target);
        http_split_target((struct slice){guard_end(&guard, text), text.len}, &path, &query);
        CHECK_TEXT(path, cases[i].path);
        CHECK_TEXT(query, cases[i].query);
    }
}

static void percent_escapes_are_decoded_once(void) {
    static const struct {
        const char *text, *plain; /* NULL: refused */
    } cases[] = {
        {"", ""},         {"abc", "abc"},         {"a%2Fb%2fc", "a/b/c"}, {"a+b", "a+b"},
        {"%2541", "%41"}, {"%c3%A4", "\xc3\xa4"}, {"%ff%80", "\xff\x80"}, {"%", NULL},
        {"a%4", NULL},    {"a%4g", NULL},         {"%g4", NULL},          {"%%41", NULL},
        {"% 41", NULL},   {"%-1", NULL},          {"%+1", NULL},          {"%0x", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct slice text = slice_of(cases[i].text);
        struct buffer out = {0};
        kit_note("%s", cases[i].text);
        buffer_put(&out, SLICE("="));
        bool good = http_percent_decode((struct slice){guard_end(&guard, text), text.len}, &out);
        CHECK(good == (cases[i].plain != NULL));
        if (good) CHECK_TEXT(((struct slice){out.at + 1, out.len - 1}), cases[i].plain);
        buffer_free(&out);
    }
}

static void every_byte_has_an_escape(void) {
    for (int c = 0; c < 256; c++) {
        char text[4];
        struct buffer out = {0};
        snprintf(text, sizeof text, "%%%02X", (unsigned)c);
        CHECK(http_percent_decode(slice_of(text), &out));
        CHECK(out.len == 1 && out.at[0] == (char)c);
        buffer_free(&out);
    }
}

/* ---- Answers ---- */

static void check_head(struct http_head head, const char *want) {
    struct buffer out = {0};
    head.date = SLICE("Sat, 21 Nov 2026 05:27:34 GMT");
    head.content_type = SLICE("application/json");
    http_put_head(&out, &head);
    CHECK_TEXT(buffer_slice(&out), want);
    buffer_free(&out);
}

#define DATE_TYPE                                                                                  \
    "Date: Sat, 21 Nov 2026 05:27:34 GMT\r\n"                                                      \
    "Content-Type: application/json\r\n"

static void heads_of_answers_say_what_they_are_told(void) {
    check_head((struct http_head){.status = 200, .content_length = 12},
               "HTTP/1.1 200 OK\r\n" DATE_TYPE "Content-Length: 12\r\n\r\n");
    check_head((struct http_head){.status = 503, .retry_after_s = 1, .close = true},
               "HTTP/1.1 503 Service Unavailable\r\n" DATE_TYPE
               "Content-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n");
    check_head((struct http_head){.status = 405, .allow = "GET, HEAD", .content_length = 5},
               "HTTP/1.1 405 Method Not Allowed\r\n" DATE_TYPE
               "Content-Length: 5\r\nAllow: GET, HEAD\r\n\r\n");
    check_head((struct http_head){.status = 200, .chunked = true, .content_length = 7},
               "HTTP/1.1 200 OK\r\n" DATE_TYPE "Transfer-Encoding: chunked\r\n\r\n");
    check_head((struct http_head){.status = 200, .until_close = true, .close = true},
               "HTTP/1.1 200 OK\r\n" DATE_TYPE "Connection: close\r\n\r\n");
    check_head((struct http_head){.status = 201, .keep_alive_1_0 = true},
               "HTTP/1.1 201 Created\r\n" DATE_TYPE
               "Content-Length: 0\r\nConnection: keep-alive\r\n\r\n");
    check_head((struct http_head){.status = 200, .keep_alive_1_0 = true, .close = true},
               "HTTP/1.1 200 OK\r\n" DATE_TYPE "Content-Length: 0\r\nConnection: close\r\n\r\n");
}

static void every_status_in_use_has_a_line(void) {
    static const int statuses[] = {200, 201, 400, 404, 405, 408, 413, 417, 431, 501, 503, 505, 507};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        struct buffer out = {0};
        char want[16];
        struct http_head head = {.status = statuses[i], .content_type = SLICE("a")};
        snprintf(want, sizeof want, "HTTP/1.1 %d ", statuses[i]);
        http_put_head(&out, &head);
        CHECK(slice_starts_with(buffer_slice(&out), slice_of(want)));
        buffer_free(&out);
    }
}

static void check_date(time_t second) {
    char got[HTTP_DATE_BYTES], want[64];
    struct tm utc;
    strftime(want, sizeof want, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&second, &utc));
    http_date(got, (uint64_t)second * 1000 + 999);
    CHECK_TEXT(((struct slice){got, sizeof got}), want);
}

static void dates_agree_with_the_library(void) {
    const time_t day = 86400;
    for (time_t d = 0; d < 60000; d++)
        check_date(d * day + d * 7 % day); /* to the year 2134 */
    check_date(951782400);                 /* 29 February 2000 */
    check_date(4107542400);                /* 1 March 2100, which has no leap day */
    check_date(253402300799);              /* the last second with four digits */
    for (time_t s = 0; s < day; s += 61)
        check_date(1700000000 + s);
}

int main(void) {
    guard = guard_create();
    RUN(requests_are_complete_with_their_last_byte_however_they_are_split);
    RUN(sized_bodies_are_as_long_as_they_say);
    RUN(chunked_bodies_are_put_together_and_followers_kept);
    RUN(connections_are_kept_as_version_and_header_say);
    RUN(malformed_request_lines_are_refused);
    RUN(what_two_servers_may_read_differently_is_refused);
    RUN(lengths_in_doubt_are_refused);
    RUN(malformed_chunks_are_refused);
    RUN(a_request_that_is_not_complete_asks_for_more);
    RUN(leave_to_send_a_body_is_wanted_while_it_is_due);
    RUN(the_authorization_is_given_as_it_came);
    RUN(a_length_over_the_limit_is_refused_before_the_body_comes);
    RUN(a_head_may_be_16_kib_and_no_more);
    RUN(a_line_without_end_is_refused_at_the_limit);
    RUN(empty_lines_without_end_are_refused_at_the_limit);
    RUN(trailers_count_with_the_head);
    RUN(chunk_lines_do_not_count_with_the_head);
    RUN(a_chunk_line_is_short_even_behind_a_long_head);
    RUN(a_chunk_line_without_end_is_refused_at_its_limit);
    RUN(chunks_may_add_up_to_8_mib_and_no_more);
    RUN(pipelined_requests_are_the_same_at_every_random_split);
    RUN(targets_are_split_into_path_and_query);
    RUN(percent_escapes_are_decoded_once);
    RUN(every_byte_has_an_escape);
    RUN(heads_of_answers_say_what_they_are_told);
    RUN(every_status_in_use_has_a_line);
    RUN(dates_agree_with_the_library);
    guard_free(&guard);
    return kit_finish();
}
