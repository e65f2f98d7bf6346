/* See reply.h. */
#include "reply.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* The beginning of the next line; NULL if this one has not ended yet. */
static const char *line_next(const char *line, const char *end) {
    const char *feed = memchr(line, '\n', (size_t)(end - line));
    return feed == NULL ? NULL : feed + 1;
}

/* What is not below the limit is refused here, before anybody adds it to something. */
bool number_parse(const char *at, const char *end, size_t *number) {
    while (at < end && *at == ' ')
        at++;
    size_t n = 0;
    const char *digits = at;
    for (; at < end && isdigit((unsigned char)*at) && n < REPLY_BYTES_MAX; at++)
        n = n * 10 + (size_t)(*at - '0');
    *number = n;
    return at > digits && n < REPLY_BYTES_MAX;
}

/* Declares the reply to be `needed` bytes long and says whether they are all there. */
static enum parse reply_set_bytes(struct reply *reply, size_t needed, size_t bytes) {
    reply->bytes = needed;
    return needed <= bytes ? PARSE_DONE : PARSE_MORE;
}

static bool line_is_content_length(const char *line, const char *next) {
    return (*line | 0x20) == 'c' && (size_t)(next - line) > CONTENT_LENGTH_CHARS &&
           strncasecmp(line, CONTENT_LENGTH, CONTENT_LENGTH_CHARS) == 0;
}

/* Three digits. */
static bool status_parse(const char *at, unsigned *status) {
    *status = 0;
    for (int i = 0; i < 3; i++) {
        if (!isdigit((unsigned char)at[i])) return false;
        *status = *status * 10 + (unsigned)(at[i] - '0');
    }
    return *status >= 100 && *status < STATUSES;
}

enum parse parse_http(const char *text, size_t bytes, struct reply *reply) {
    static const char VERSION[] = "HTTP/1.1 ";
    const size_t version_chars = sizeof VERSION - 1;
    const char *end = text + bytes;
    const char *line = line_next(text, end);
    if (line == NULL) return PARSE_MORE;
    if ((size_t)(line - text) < version_chars + 3) return PARSE_BAD;
    if (memcmp(text, VERSION, version_chars) != 0) return PARSE_BAD;
    if (!status_parse(text + version_chars, &reply->status)) return PARSE_BAD;

    size_t body_bytes = 0;
    bool framed = false;
    for (;;) {
        const char *next = line_next(line, end);
        if (next == NULL) return PARSE_MORE;
        if (next - line == 2 && *line == '\r') {
            line = next;
            break;
        }
        if (line_is_content_length(line, next)) {
            framed = number_parse(line + CONTENT_LENGTH_CHARS, next, &body_bytes);
            if (!framed) return PARSE_BAD;
        }
        line = next;
    }
    if (!framed) return PARSE_BAD;
    return reply_set_bytes(reply, (size_t)(line - text) + body_bytes, bytes);
}

enum parse parse_resp(const char *text, size_t bytes, struct reply *reply) {
    const char *end = text + bytes;
    const char *line = line_next(text, end);
    if (line == NULL) return PARSE_MORE;
    size_t line_bytes = (size_t)(line - text), body_bytes = 0;
    reply->status = STATUS_OK;
    switch (text[0]) {
    case '+':
    case ':': return reply_set_bytes(reply, line_bytes, bytes);
    case '-': reply->status = STATUS_ERROR; return reply_set_bytes(reply, line_bytes, bytes);
    case '$': break;
    default: return PARSE_BAD;
    }
    if (text[1] == '-') { /* nil is a bulk string of length -1 */
        reply->status = STATUS_ABSENT;
        return reply_set_bytes(reply, line_bytes, bytes);
    }
    if (!number_parse(text + 1, line, &body_bytes)) return PARSE_BAD;
    return reply_set_bytes(reply, line_bytes + body_bytes + strlen("\r\n"), bytes);
}

static bool starts_with(const char *text, size_t bytes, const char *prefix) {
    size_t chars = strlen(prefix);
    return bytes >= chars && memcmp(text, prefix, chars) == 0;
}

/* VALUE <key> <flags> <bytes>\r\n<data>\r\nEND\r\n, or one line. */
enum parse parse_memcached(const char *text, size_t bytes, struct reply *reply) {
    const char *line = line_next(text, text + bytes);
    if (line == NULL) return PARSE_MORE;
    size_t line_bytes = (size_t)(line - text), body_bytes = 0;
    reply->status = STATUS_ERROR;
    if (starts_with(text, bytes, "STORED\r")) reply->status = STATUS_OK;
    if (starts_with(text, bytes, "END\r")) reply->status = STATUS_ABSENT;
    if (!starts_with(text, bytes, "VALUE ")) return reply_set_bytes(reply, line_bytes, bytes);

    reply->status = STATUS_OK;
    const char *field = text;
    for (int spaces = 0; spaces < 3; spaces++) {
        field = memchr(field, ' ', (size_t)(line - field));
        if (field == NULL) return PARSE_BAD;
        field++;
    }
    if (!number_parse(field, line, &body_bytes)) return PARSE_BAD;
    return reply_set_bytes(reply, line_bytes + body_bytes + strlen("\r\nEND\r\n"), bytes);
}
