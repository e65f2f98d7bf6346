/* HTTP/1.1 parsing and answer heads. See http.h.
 *
 * The stages of one request; each arrow is a function of the section "Stages":
 *
 *   REQUEST_LINE -> HEADERS -+-> (no body) ----------------------------> COMPLETE
 *                            +-> SIZED_BODY ------------------------------^
 *                            +-> CHUNK_SIZE -> CHUNK_DATA -> CHUNK_END    |
 *                                  ^   |                         |        |
 *                                  +---|-------------------------+        |
 *                                      +-> TRAILERS ----------------------+
 *
 * A stage returns HTTP_DONE when it moved on, HTTP_MORE when it lacks bytes and HTTP_BAD when it
 * refuses; http_parse() loops over them. All of HTTP but sized data comes in lines, so take_line()
 * is the one place where "is it complete yet?" and "is it too long?" are decided for them.
 */
#include "http.h"

#include <assert.h>
#include <strings.h>

_Static_assert((uint64_t)HTTP_HEAD_BYTES_MAX + HTTP_BODY_BYTES_MAX < UINT32_MAX / 2,
               "offsets are 32 bits");

/* ---- Refusing ---- */

static enum http_result refuse(struct http_parser *p, int status, const char *error) {
    p->status = status;
    p->error = error;
    return HTTP_BAD;
}

static enum http_result bad_request(struct http_parser *p, const char *error) {
    return refuse(p, 400, error);
}

static enum http_result body_too_large(struct http_parser *p) {
    return refuse(p, 413, "Body is larger than 8 MiB");
}

/* A refusal that waits for the end of the head: a mistake in the form of a later line, above all
 * one folded onto this header, comes before what the header says. */
static enum http_result refuse_at_end(struct http_parser *p, int status, const char *error) {
    p->status = status;
    p->error = error;
    return HTTP_DONE;
}

/* ---- Character classes ---- */

enum { IS_TOKEN = 1, IS_TEXT = 2 };

/* Filled before main(), read-only from then on. Bytes from 0x80 up are let through in texts: curl
 * sends a path as it was typed, and what must be UTF-8 is checked where it is used. */
static unsigned char classes[256];

__attribute__((constructor)) static void classes_fill(void) {
    for (int c = 0x21; c < 0x100; c++) {
        if (c != 0x7F) classes[c] |= IS_TEXT;
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (alnum || (c < 0x80 && strchr("!#$%&'*+-.^_`|~", c) != NULL)) classes[c] |= IS_TOKEN;
    }
    classes[' '] |= IS_TEXT;
    classes['\t'] |= IS_TEXT;
}

static bool is_of(char c, unsigned char class) {
    return (classes[(unsigned char)c] & class) != 0;
}

/* ---- Lines ---- */

/* The first control character but the tab, or `end`. Words are searched as in bytes.h; adding 1
 * finds 0x7F, and by a carry out of 0xFF at times a byte that is fine: so its class has a say. */
static const char *pass_text(const char *at, const char *end) {
    while (end - at >= 8) {
        uint64_t w = word_load(at);
        uint64_t stop = ((w - EACH_BYTE(0x20)) | (w + EACH_BYTE(1))) & ~w & EACH_BYTE(0x80);
        if (stop == 0) {
            at += 8;
        } else {
            at += __builtin_ctzll(stop) / 8;
            if (!is_of(*at, IS_TEXT)) return at;
            at++;
        }
    }
    while (at < end && is_of(*at, IS_TEXT))
        at++;
    return at;
}

/* Takes the next line, without its CRLF, if it is complete. No line has control characters inside.
 * It is refused as soon as it is too long, not when it ends: a chunk's line by itself, the others
 * by what the head holds so far. Inline, because it runs once a header: a call is dear by then. */
static inline enum http_result take_line(struct http_parser *p, const char *bytes, size_t len,
                                         struct slice *line) {
    const char *stop = pass_text(bytes + p->scanned, bytes + len);
    size_t stop_at = (size_t)(stop - bytes);
    bool ends = len - stop_at >= 2 && memcmp(stop, "\r\n", 2) == 0;
    size_t line_bytes = stop_at - p->at + (ends ? 2 : 0);
    if (p->stage == HTTP_CHUNK_SIZE) {
        if (line_bytes > HTTP_CHUNK_LINE_MAX) return bad_request(p, "Chunk size line is too long");
    } else if (p->head_bytes + line_bytes > HTTP_HEAD_BYTES_MAX) {
        return refuse(p, 431, "Headers are larger than 16 KiB");
    }
    if (!ends) {
        bool may_end = stop_at == len || (stop[0] == '\r' && len - stop_at == 1);
        if (!may_end) return bad_request(p, "Control character, or a line without CR LF");
        p->scanned = (uint32_t)stop_at;
        return HTTP_MORE;
    }
    *line = (struct slice){bytes + p->at, stop_at - p->at};
    if (p->stage != HTTP_CHUNK_SIZE) p->head_bytes += (uint32_t)line_bytes;
    p->at = p->scanned = (uint32_t)stop_at + 2;
    return HTTP_DONE;
}

/* What a line, or the rest of one, starts with. The CR that stands behind it is part of neither,
 * so there is no length to look at; and a target ends at a space or tab, there being no other
 * control characters in a line. */
static struct slice token_of(struct slice line) {
    const char *end = line.at;
    while (is_of(*end, IS_TOKEN))
        end++;
    return (struct slice){line.at, (size_t)(end - line.at)};
}

/* Word by word as long as the line goes on: targets are long. */
static struct slice target_of(struct slice line) {
    const char *end = line.at;
    for (const char *line_end = line.at + line.len; line_end - end >= 8; end += 8) {
        uint64_t w = word_load(end);
        uint64_t stop = (w - EACH_BYTE(' ' + 1)) & ~w & EACH_BYTE(0x80);
        if (stop != 0) {
            end += __builtin_ctzll(stop) / 8;
            break;
        }
    }
    while ((unsigned char)*end > ' ')
        end++;
    return (struct slice){line.at, (size_t)(end - line.at)};
}

/* `lower` consists of lower-case letters, digits and '-'; s of printable characters. */
static bool equals_ignoring_case(struct slice s, struct slice lower) {
    if (s.len != lower.len) return false;
    for (size_t i = 0; i < s.len; i++) {
        if ((s.at[i] | 0x20) != lower.at[i]) return false;
    }
    return true;
}

/* ---- Stages: the request line ---- */

static enum http_method method_of(struct slice s) {
    if (slice_equal(s, SLICE("GET"))) return HTTP_GET;
    if (slice_equal(s, SLICE("PUT"))) return HTTP_PUT;
    if (slice_equal(s, SLICE("DELETE"))) return HTTP_DELETE;
    if (slice_equal(s, SLICE("HEAD"))) return HTTP_HEAD;
    return HTTP_OTHER;
}

static enum http_result set_version(struct http_parser *p, struct slice version) {
    bool form = version.len == 8 && memcmp(version.at, "HTTP/", 5) == 0 && version.at[5] >= '0' &&
                version.at[5] <= '9' && version.at[6] == '.' && version.at[7] >= '0' &&
                version.at[7] <= '9';
    if (!form) return bad_request(p, "Malformed request line");
    if (version.at[5] != '1') return refuse(p, 505, "Only HTTP/1.0 and HTTP/1.1 are spoken here");
    p->minor_0 = version.at[7] == '0';
    return HTTP_DONE;
}

static bool skip_space(struct slice *s) {
    if (s->len == 0 || s->at[0] != ' ') return false;
    s->at++, s->len--;
    return true;
}

static enum http_result on_request_line(struct http_parser *p, const char *bytes, size_t len) {
    struct slice line;
    enum http_result result = take_line(p, bytes, len, &line);
    if (result != HTTP_DONE) return result;
    if (line.len == 0) return HTTP_DONE; /* empty lines before a request are passed over */

    struct slice method = token_of(line);
    struct slice rest = {line.at + method.len, line.len - method.len};
    if (method.len == 0 || !skip_space(&rest)) return bad_request(p, "Malformed request line");
    struct slice target = target_of(rest);
    struct slice version = {rest.at + target.len, rest.len - target.len};
    if (target.len == 0 || !skip_space(&version)) return bad_request(p, "Malformed request line");
    p->method = method_of(method);
    p->target_at = (uint32_t)(target.at - bytes);
    p->target_len = (uint32_t)target.len;
    p->stage = HTTP_HEADERS;
    return set_version(p, version);
}

/* ---- Stages: headers ---- */

static enum http_result on_content_length(struct http_parser *p, struct slice raw) {
    struct slice value = slice_trim(raw);
    uint64_t n = 0;
    if (value.len == 0) return bad_request(p, "Malformed Content-Length");
    for (size_t i = 0; i < value.len; i++) {
        if (value.at[i] < '0' || value.at[i] > '9') {
            return bad_request(p, "Malformed Content-Length");
        }
        if (n <= HTTP_BODY_BYTES_MAX) n = n * 10 + (uint64_t)(value.at[i] - '0');
    }
    if (n > HTTP_BODY_BYTES_MAX) n = HTTP_BODY_BYTES_MAX + 1; /* refused when the head is read */
    if (p->has_length && p->content_length != n) {
        return bad_request(p, "Two different Content-Length headers");
    }
    p->has_length = true;
    p->content_length = (uint32_t)n;
    return HTTP_DONE;
}

static enum http_result on_transfer_encoding(struct http_parser *p, struct slice value) {
    if (p->chunked) return bad_request(p, "Two Transfer-Encoding headers");
    if (!equals_ignoring_case(slice_trim(value), SLICE("chunked"))) {
        return refuse_at_end(p, 501, "No Transfer-Encoding but chunked is understood");
    }
    p->chunked = true;
    return HTTP_DONE;
}

static enum http_result on_connection(struct http_parser *p, struct slice value) {
    while (value.len > 0) {
        struct slice option = slice_trim(slice_cut(&value, ','));
        if (equals_ignoring_case(option, SLICE("close"))) p->says_close = true;
        if (equals_ignoring_case(option, SLICE("keep-alive"))) p->says_keep_alive = true;
    }
    return HTTP_DONE;
}

static enum http_result on_expect(struct http_parser *p, struct slice value) {
    if (!equals_ignoring_case(slice_trim(value), SLICE("100-continue"))) {
        return refuse_at_end(p, 417, "No Expect but 100-continue is understood");
    }
    p->expects_continue = !p->minor_0;
    return HTTP_DONE;
}

static enum http_result on_authorization(struct http_parser *p, const char *bytes,
                                         struct slice raw) {
    struct slice value = slice_trim(raw);
    if (p->authorization_at != 0) return bad_request(p, "Two Authorization headers");
    p->authorization_at = (uint32_t)(value.at - bytes);
    p->authorization_len = (uint32_t)value.len;
    return HTTP_DONE;
}

/* The few headers that matter here; their lengths differ from nearly all others. */
static enum http_result on_header(struct http_parser *p, const char *bytes, struct slice name,
                                  struct slice value) {
    switch (name.len) {
    case 4:
        if (equals_ignoring_case(name, SLICE("host")) && p->hosts < UINT16_MAX) p->hosts++;
        return HTTP_DONE;
    case 6: return equals_ignoring_case(name, SLICE("expect")) ? on_expect(p, value) : HTTP_DONE;
    case 10:
        return equals_ignoring_case(name, SLICE("connection")) ? on_connection(p, value)
                                                               : HTTP_DONE;
    case 13:
        return equals_ignoring_case(name, SLICE("authorization"))
                   ? on_authorization(p, bytes, value)
                   : HTTP_DONE;
    case 14:
        if (!equals_ignoring_case(name, SLICE("content-length"))) return HTTP_DONE;
        return on_content_length(p, value);
    case 17:
        if (!equals_ignoring_case(name, SLICE("transfer-encoding"))) return HTTP_DONE;
        return on_transfer_encoding(p, value);
    default: return HTTP_DONE;
    }
}

static enum http_result on_head_end(struct http_parser *p) {
    if (p->minor_0 ? p->hosts > 1 : p->hosts != 1) {
        return bad_request(p, "Exactly one Host header is needed");
    }
    if (p->chunked && p->has_length) {
        return bad_request(p, "Both Content-Length and Transfer-Encoding");
    }
    if (p->chunked && p->minor_0) return bad_request(p, "Transfer-Encoding in HTTP/1.0");
    if (p->content_length > HTTP_BODY_BYTES_MAX) return body_too_large(p);
    if (p->error != NULL) return HTTP_BAD;
    p->keep_alive = !p->says_close && (!p->minor_0 || p->says_keep_alive);
    p->body_at = p->at;
    p->stage = p->chunked ? HTTP_CHUNK_SIZE : HTTP_SIZED_BODY;
    return HTTP_DONE;
}

/* Trailers are checked like headers and ignored. */
static enum http_result on_header_line(struct http_parser *p, const char *bytes,
                                       struct slice line) {
    struct slice name = token_of(line);
    if (name.len == 0 || line.at[name.len] != ':') {
        bool folded = line.at[0] == ' ' || line.at[0] == '\t';
        return bad_request(p, folded ? "Folded header" : "Malformed header");
    }
    struct slice value = {line.at + name.len + 1, line.len - name.len - 1};
    return p->stage == HTTP_HEADERS ? on_header(p, bytes, name, value) : HTTP_DONE;
}

static enum http_result complete(struct http_parser *p) {
    p->consumed = p->at;
    p->stage = HTTP_COMPLETE;
    return HTTP_DONE;
}

/* The headers or, behind chunks, the trailers, up to the empty line. */
static enum http_result on_headers(struct http_parser *p, const char *bytes, size_t len) {
    struct slice line;
    enum http_result result;
    do {
        result = take_line(p, bytes, len, &line);
        if (result != HTTP_DONE) return result;
        if (line.len == 0) return p->stage == HTTP_HEADERS ? on_head_end(p) : complete(p);
        result = on_header_line(p, bytes, line);
    } while (result == HTTP_DONE);
    return result;
}

/* ---- Stages: bodies ---- */

static enum http_result on_sized_body(struct http_parser *p, size_t len) {
    size_t here = len - p->body_at;
    if (here < p->content_length) return HTTP_MORE;
    p->body_len = p->content_length;
    p->at += p->content_length;
    return complete(p);
}

static int chunk_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static enum http_result on_chunk_size(struct http_parser *p, const char *bytes, size_t len) {
    struct slice line;
    enum http_result result = take_line(p, bytes, len, &line);
    if (result != HTTP_DONE) return result;

    uint64_t size = 0;
    size_t digits = 0;
    for (; digits < line.len && chunk_digit(line.at[digits]) >= 0; digits++) {
        size = size << 4 | (unsigned)chunk_digit(line.at[digits]);
        if (size > HTTP_BODY_BYTES_MAX) return body_too_large(p);
    }
    struct slice extension = slice_trim((struct slice){line.at + digits, line.len - digits});
    bool form = digits > 0 && (line.len == digits || (extension.len > 0 && extension.at[0] == ';'));
    if (!form) return bad_request(p, "Malformed chunk size");
    if (p->body_len + size > HTTP_BODY_BYTES_MAX) return body_too_large(p);
    p->chunk_left = (uint32_t)size;
    p->stage = size == 0 ? HTTP_TRAILERS : HTTP_CHUNK_DATA;
    return HTTP_DONE;
}

/* Moves what is here of the chunk down behind the body so far. */
static enum http_result on_chunk_data(struct http_parser *p, char *bytes, size_t len) {
    size_t here = len - p->at;
    if (here > p->chunk_left) here = p->chunk_left;
    if (here > 0) memmove(bytes + p->body_at + p->body_len, bytes + p->at, here);
    p->body_len += (uint32_t)here;
    p->at += (uint32_t)here;
    p->scanned = p->at;
    p->chunk_left -= (uint32_t)here;
    if (p->chunk_left > 0) return HTTP_MORE;
    p->stage = HTTP_CHUNK_END;
    return HTTP_DONE;
}

static enum http_result on_chunk_end(struct http_parser *p, const char *bytes, size_t len) {
    if (p->at < len && bytes[p->at] != '\r') return bad_request(p, "Chunk longer than its size");
    if (len - p->at < 2) return HTTP_MORE;
    if (bytes[p->at + 1] != '\n') return bad_request(p, "Chunk longer than its size");
    p->at += 2;
    p->scanned = p->at;
    p->stage = HTTP_CHUNK_SIZE;
    return HTTP_DONE;
}

/* Closes the gap that removed framing has left between the body and the rest of the bytes. */
static void close_gap(struct http_parser *p, char *bytes, size_t *len) {
    if (!p->chunked || p->body_at == 0) return;
    uint32_t body_end = p->body_at + p->body_len;
    uint32_t gap = p->at - body_end;
    if (gap == 0) return;
    memmove(bytes + body_end, bytes + p->at, *len - p->at);
    *len -= gap;
    p->at -= gap;
    p->scanned -= gap;
    p->consumed = p->at;
}

/* ---- The parser ---- */

void http_parser_reset(struct http_parser *p) {
    *p = (struct http_parser){.stage = HTTP_REQUEST_LINE};
}

static enum http_result next_stage(struct http_parser *p, char *bytes, size_t len) {
    switch (p->stage) {
    case HTTP_REQUEST_LINE: return on_request_line(p, bytes, len);
    case HTTP_HEADERS:
    case HTTP_TRAILERS: return on_headers(p, bytes, len);
    case HTTP_SIZED_BODY: return on_sized_body(p, len);
    case HTTP_CHUNK_SIZE: return on_chunk_size(p, bytes, len);
    case HTTP_CHUNK_DATA: return on_chunk_data(p, bytes, len);
    case HTTP_CHUNK_END: return on_chunk_end(p, bytes, len);
    case HTTP_COMPLETE: break;
    }
    assert(false && "http_parse() called on a request that was complete");
    return HTTP_BAD;
}

enum http_result http_parse(struct http_parser *p, char *bytes, size_t *len) {
    enum http_result result;
    do {
        result = next_stage(p, bytes, *len);
    } while (result == HTTP_DONE && p->stage != HTTP_COMPLETE);
    close_gap(p, bytes, len);
    return result;
}

struct slice http_target(const struct http_parser *p, const char *bytes) {
    return (struct slice){bytes + p->target_at, p->target_len};
}

struct slice http_body(const struct http_parser *p, const char *bytes) {
    return (struct slice){bytes + p->body_at, p->body_len};
}

struct slice http_authorization(const struct http_parser *p, const char *bytes) {
    return (struct slice){bytes + p->authorization_at, p->authorization_len};
}

bool http_wants_continue(const struct http_parser *p) {
    bool body_due = p->stage == HTTP_SIZED_BODY || p->stage == HTTP_CHUNK_SIZE;
    return p->expects_continue && body_due;
}

/* ---- Targets ---- */

/* The target without "http://host". */
static struct slice after_authority(struct slice target) {
    struct slice start = target;
    static const char *const schemes[] = {"http://", "https://"};
    for (int i = 0; i < 2; i++) {
        size_t at = strlen(schemes[i]);
        if (target.len < at || strncasecmp(target.at, schemes[i], at) != 0) continue;
        while (at < target.len && target.at[at] != '/' && target.at[at] != '?')
            at++;
        start = (struct slice){target.at + at, target.len - at};
    }
    return start;
}

void http_split_target(struct slice target, struct slice *path, struct slice *query) {
    if (target.len > 0 && target.at[0] != '/') target = after_authority(target);
    const char *mark = target.len > 0 ? memchr(target.at, '?', target.len) : NULL;
    size_t path_len = mark != NULL ? (size_t)(mark - target.at) : target.len;
    *path = (struct slice){target.at, path_len};
    *query = mark != NULL ? (struct slice){mark + 1, target.len - path_len - 1} : (struct slice){0};
}

bool http_percent_decode(struct slice s, struct buffer *out) {
    buffer_reserve(out, s.len);
    for (size_t i = 0; i < s.len; i++) {
        char c = s.at[i];
        if (c == '%') {
            if (s.len - i < 3) return false;
            int high = chunk_digit(s.at[i + 1]), low = chunk_digit(s.at[i + 2]);
            if (high < 0 || low < 0) return false;
            c = (char)(high << 4 | low);
            i += 2;
        }
        out->at[out->len++] = c;
    }
    return true;
}

/* ---- Heads of answers ---- */

static struct slice status_line(int status) {
    switch (status) {
    case 200: return SLICE("HTTP/1.1 200 OK\r\n");
    case 201: return SLICE("HTTP/1.1 201 Created\r\n");
    case 400: return SLICE("HTTP/1.1 400 Bad Request\r\n");
    case 401: return SLICE("HTTP/1.1 401 Unauthorized\r\n");
    case 404: return SLICE("HTTP/1.1 404 Not Found\r\n");
    case 405: return SLICE("HTTP/1.1 405 Method Not Allowed\r\n");
    case 408: return SLICE("HTTP/1.1 408 Request Timeout\r\n");
    case 413: return SLICE("HTTP/1.1 413 Content Too Large\r\n");
    case 417: return SLICE("HTTP/1.1 417 Expectation Failed\r\n");
    case 429: return SLICE("HTTP/1.1 429 Too Many Requests\r\n");
    case 431: return SLICE("HTTP/1.1 431 Request Header Fields Too Large\r\n");
    case 501: return SLICE("HTTP/1.1 501 Not Implemented\r\n");
    case 503: return SLICE("HTTP/1.1 503 Service Unavailable\r\n");
    case 505: return SLICE("HTTP/1.1 505 HTTP Version Not Supported\r\n");
    case 507: return SLICE("HTTP/1.1 507 Insufficient Storage\r\n");
    default: assert(false && "a status without a line"); return SLICE("");
    }
}

#define FIXED_BYTES_MAX 256 /* of a head with all that it can have, but for the caller's texts */

void http_put_head(struct buffer *out, const struct http_head *head) {
    struct slice allow = head->allow != NULL ? slice_of(head->allow) : (struct slice){0};
    buffer_reserve(out, FIXED_BYTES_MAX + head->date.len + head->content_type.len + allow.len);
    char *at = out->at + out->len;
    at = write_slice(at, status_line(head->status));
    at = write_slice(at, SLICE("Date: "));
    at = write_slice(at, head->date);
    at = write_slice(at, SLICE("\r\nContent-Type: "));
    at = write_slice(at, head->content_type);
    if (head->chunked) {
        at = write_slice(at, SLICE("\r\nTransfer-Encoding: chunked"));
    } else if (!head->until_close) {
        at = write_slice(at, SLICE("\r\nContent-Length: "));
        at = write_u64(at, head->content_length);
    }
    if (head->allow != NULL) {
        at = write_slice(at, SLICE("\r\nAllow: "));
        at = write_slice(at, allow);
    }
    if (head->wants_token) at = write_slice(at, SLICE("\r\nWWW-Authenticate: Bearer"));
    if (head->retry_after_s > 0) {
        at = write_slice(at, SLICE("\r\nRetry-After: "));
        at = write_u64(at, head->retry_after_s);
    }
    if (head->close) {
        at = write_slice(at, SLICE("\r\nConnection: close"));
    } else if (head->keep_alive_1_0) {
        at = write_slice(at, SLICE("\r\nConnection: keep-alive"));
    }
    at = write_slice(at, SLICE("\r\n\r\n"));
    out->len = (size_t)(at - out->at);
    assert(out->len <= out->cap);
}

/* ---- Dates ---- */

/* Civil date of a day number since 1970-01-01 (the well-known arithmetic over 400-year eras that
 * start on 1 March, so that the leap day comes last). */
static void civil_date(uint64_t days, unsigned *year, unsigned *month, unsigned *day) {
    uint64_t shifted = days + 719468;
    uint64_t era = shifted / 146097, day_of_era = shifted % 146097;
    uint64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint64_t month_from_march = (5 * day_of_year + 2) / 153;
    *day = (unsigned)(day_of_year - (153 * month_from_march + 2) / 5 + 1);
    *month = (unsigned)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
    *year = (unsigned)(year_of_era + era * 400 + (*month <= 2));
}

static void put_two_digits(char *at, uint64_t n) {
    at[0] = (char)('0' + n / 10 % 10);
    at[1] = (char)('0' + n % 10);
}

void http_date(char out[HTTP_DATE_BYTES], uint64_t wall_ms) {
    static const char weekdays[] = "ThuFriSatSunMonTueWed"; /* 1970-01-01 was a Thursday */
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    uint64_t seconds = wall_ms / 1000, days = seconds / 86400, in_day = seconds % 86400;
    unsigned year, month, day;
    civil_date(days, &year, &month, &day);
    memcpy(out, "Thu, 01 Jan 1970 00:00:00 GMT", HTTP_DATE_BYTES);
    memcpy(out, weekdays + 3 * (days % 7), 3);
    put_two_digits(out + 5, day);
    memcpy(out + 8, months + 3 * (size_t)(month - 1), 3);
    put_two_digits(out + 12, year / 100);
    put_two_digits(out + 14, year % 100);
    put_two_digits(out + 17, in_day / 3600);
    put_two_digits(out + 20, in_day / 60 % 60);
    put_two_digits(out + 23, in_day % 60);
}
