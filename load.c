/* Lines into PUTs. See load.h.
 *
 * Each line is checked here before anything of it is sent. Requests go BATCH_LINES at a time on one
 * connection; of their answers, a 503 is asked again a second later, and anything but success ends
 * it. A line that was put twice is no harm: it says the same.
 */
#include "load.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "bytes.h"
#include "json.h"

#define BATCH_LINES    64
#define BATCH_BYTES    ((size_t)1024 * 1024)      /* of one batch, or a line more */
#define LINE_BYTES_MAX ((size_t)16 * 1024 * 1024) /* a value of 8 MiB, escaped, and its key */
#define ANSWER_MAX     ((size_t)1024 * 1024)      /* of one answer */
#define ANSWER_S_MAX   30
#define ATTEMPTS_MAX   60 /* a second apart */

struct line {
    uint64_t number;
    struct buffer request;
    int status; /* of its answer */
};

struct loading {
    FILE *file;
    int fd;
    char host[ADDRESS_TEXT_MAX + 1]; /* and port, for the requests */
    struct line batch[BATCH_LINES];
    uint32_t count;
    bool is_bad; /* the file */
    uint64_t lines, put;
    struct buffer text; /* of the line in hand */
    struct buffer key, answers;
};

static bool fail_at(const struct line *l, const char *what) {
    fprintf(stderr, "kvs: line %llu: %s\n", (unsigned long long)l->number, what);
    return false;
}

/* ---- Connecting ---- */

static int dial(const struct addrinfo *found) {
    int fd = socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = ANSWER_S_MAX};
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, found->ai_addr, found->ai_addrlen) == 0) return fd;
    close(fd);
    return -1;
}

static bool connect_to(struct loading *l, const struct address *to) {
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
    struct slice host = address_host(to);
    char name[ADDRESS_TEXT_MAX + 1], port[8];
    snprintf(name, sizeof name, "%.*s", (int)host.len, host.at);
    snprintf(port, sizeof port, "%u", to->port);
    snprintf(l->host, sizeof l->host, "%s", to->text);
    int error = getaddrinfo(name, port, &hints, &found);
    l->fd = error == 0 ? dial(found) : -1;
    if (l->fd < 0)
        fprintf(stderr, "kvs: %s: %s\n", to->text,
                error != 0 ? gai_strerror(error) : strerror(errno));
    if (found != NULL) freeaddrinfo(found);
    return l->fd >= 0;
}

/* ---- Lines ---- */

/* {"key":"...","value":...}; other members are passed over. */
static bool parse_line(struct loading *l, struct slice text, struct slice *value) {
    struct json_reader r = json_reader_of(text);
    struct slice name, inside = {0};
    bool has_key = false;
    *value = (struct slice){0};
    json_enter_object(&r);
    while (json_next_member(&r, &name)) {
        if (json_name_is(name, SLICE("key"))) {
            has_key = json_read_string(&r, &inside);
        } else if (json_name_is(name, SLICE("value"))) {
            json_read_value(&r, value);
        } else {
            json_skip(&r);
        }
    }
    l->key.len = 0;
    if (!json_finish(&r) || !has_key || value->len == 0) return false;
    json_unescape(inside, &l->key);
    return l->key.len > 0;
}

static void put_request(struct loading *l, struct buffer *out, struct slice value) {
    static const char hex[] = "0123456789ABCDEF";
    buffer_put(out, SLICE("PUT /kvs/"));
    for (size_t i = 0; i < l->key.len; i++) {
        unsigned char c = (unsigned char)l->key.at[i];
        buffer_put_char(out, '%');
        buffer_put_char(out, hex[c >> 4]);
        buffer_put_char(out, hex[c & 15]);
    }
    buffer_put(out, SLICE(" HTTP/1.1\r\nHost: "));
    buffer_put(out, slice_of(l->host));
    buffer_put(out, SLICE("\r\nContent-Length: "));
    buffer_put_u64(out, SLICE("{\"value\":}").len + value.len);
    buffer_put(out, SLICE("\r\n\r\n{\"value\":"));
    buffer_put(out, value);
    buffer_put_char(out, '}');
}

/* Takes a line into the batch. False: it is none of ours. */
static bool take_line(struct loading *l, struct slice text) {
    struct line *line = &l->batch[l->count];
    struct slice value;
    line->number = l->lines;
    line->request.len = 0;
    line->status = 0;
    if (slice_trim(text).len == 0) return true;
    if (!parse_line(l, text, &value))
        return fail_at(line, "expected {\"key\":\"...\",\"value\":...}");
    put_request(l, &line->request, value);
    l->count++;
    return true;
}

/* The next line, without its end. False: there is none; l->is_bad if that is no good end. */
static bool read_line(struct loading *l) {
    int c;
    l->text.len = 0;
    while ((c = getc_unlocked(l->file)) != EOF && c != '\n') {
        if (l->text.len == LINE_BYTES_MAX) {
            l->is_bad = true;
            fprintf(stderr, "kvs: line %llu: too long\n", (unsigned long long)l->lines + 1);
            return false;
        }
        buffer_put_char(&l->text, (char)c);
    }
    if (ferror(l->file)) {
        l->is_bad = true;
        fprintf(stderr, "kvs: cannot be read: %s\n", strerror(errno));
        return false;
    }
    return c != EOF || l->text.len > 0;
}

/* Fills the batch. *more: the file has not ended. */
static bool take_lines(struct loading *l, bool *more) {
    size_t bytes = 0;
    *more = true;
    while (l->count < BATCH_LINES && bytes < BATCH_BYTES) {
        *more = read_line(l);
        if (!*more) return !l->is_bad;
        l->lines++;
        if (!take_line(l, buffer_slice(&l->text))) return false;
        bytes += l->text.len;
    }
    return true;
}

/* ---- Asking ---- */

static bool send_all(struct loading *l, struct slice bytes) {
    while (bytes.len > 0) {
        ssize_t n = send(l->fd, bytes.at, bytes.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        bytes = (struct slice){bytes.at + n, bytes.len - (size_t)n};
    }
    return true;
}

static bool receive_more(struct loading *l) {
    if (l->answers.len > ANSWER_MAX) return false;
    buffer_reserve(&l->answers, 65536);
    ssize_t n = recv(l->fd, l->answers.at + l->answers.len, 65536, 0);
    if (n > 0) l->answers.len += (size_t)n;
    return n > 0;
}

/* The number behind a text that stands somewhere in a head; false: there is none. */
static bool number_behind(struct slice head, const char *text, uint64_t *out) {
    size_t len = strlen(text), digits = 0;
    for (size_t i = 0; i + len < head.len; i++) {
        if (strncasecmp(head.at + i, text, len) != 0) continue;
        const char *at = head.at + i + len, *end = head.at + head.len;
        while (at + digits < end && at[digits] >= '0' && at[digits] <= '9')
            digits++;
        return slice_to_u64((struct slice){at, digits}, out);
    }
    return false;
}

/* The head of an answer of kvs: its status, and how long its body is. */
static bool parse_head(struct slice head, int *status, size_t *body_bytes) {
    uint64_t code, bytes;
    if (!number_behind(head, "HTTP/1.1 ", &code) || code < 100 || code > 599) return false;
    if (!number_behind(head, "\r\nContent-Length: ", &bytes) || bytes > ANSWER_MAX) return false;
    *status = (int)code;
    *body_bytes = (size_t)bytes;
    return true;
}

/* How long the head is, with the empty line; 0: not all of it is there. */
static size_t head_bytes(const struct buffer *b) {
    for (size_t i = 4; i <= b->len; i++) {
        if (memcmp(b->at + i - 4, "\r\n\r\n", 4) == 0) return i;
    }
    return 0;
}

/* The next answer, which *body borrows until the one after it. */
static bool take_answer(struct loading *l, int *status, struct buffer *body) {
    size_t head, bytes;
    while ((head = head_bytes(&l->answers)) == 0) {
        if (!receive_more(l)) return false;
    }
    if (!parse_head((struct slice){l->answers.at, head}, status, &bytes)) return false;
    while (l->answers.len < head + bytes) {
        if (!receive_more(l)) return false;
    }
    body->len = 0;
    buffer_put(body, (struct slice){l->answers.at + head, bytes});
    l->answers.len -= head + bytes;
    memmove(l->answers.at, l->answers.at + head + bytes, l->answers.len);
    return true;
}

static bool is_put(const struct line *l) {
    return l->status == 200 || l->status == 201;
}

/* Sends those that are not put yet. *left: so many are to be tried again. */
static bool ask_batch(struct loading *l, struct buffer *body, uint32_t *left) {
    *left = 0;
    for (uint32_t i = 0; i < l->count; i++) {
        struct line *line = &l->batch[i];
        if (!is_put(line) && !send_all(l, buffer_slice(&line->request)))
            return fail_at(line, "the connection broke");
    }
    for (uint32_t i = 0; i < l->count; i++) {
        struct line *line = &l->batch[i];
        if (is_put(line)) continue;
        if (!take_answer(l, &line->status, body)) return fail_at(line, "there is no answer");
        if (is_put(line)) {
            l->put++;
        } else if (line->status == 503) {
            ++*left;
        } else {
            fprintf(stderr, "kvs: line %llu: refused with %d: %.*s\n",
                    (unsigned long long)line->number, line->status, (int)body->len, body->at);
            return false;
        }
    }
    return true;
}

static bool put_batch(struct loading *l) {
    struct buffer body = {0};
    uint32_t left = l->count;
    bool good = true;
    for (int attempt = 0; good && left > 0; attempt++) {
        if (attempt > 0) sleep(1);
        good = attempt < ATTEMPTS_MAX && ask_batch(l, &body, &left);
        if (attempt == ATTEMPTS_MAX)
            fprintf(stderr, "kvs: the cluster goes on refusing: %.*s\n", (int)body.len, body.at);
    }
    buffer_free(&body);
    l->count = 0;
    return good;
}

/* ---- All of it ---- */

static void end_loading(struct loading *l) {
    if (l->file != NULL && l->file != stdin) fclose(l->file);
    if (l->fd >= 0) close(l->fd);
    for (uint32_t i = 0; i < BATCH_LINES; i++)
        buffer_free(&l->batch[i].request);
    buffer_free(&l->key);
    buffer_free(&l->answers);
    buffer_free(&l->text);
}

bool load_file(const char *path, const struct address *to) {
    struct loading l = {.fd = -1};
    bool more = true;
    l.file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    if (l.file == NULL) fprintf(stderr, "kvs: %s: %s\n", path, strerror(errno));
    bool good = l.file != NULL && connect_to(&l, to);
    while (good && more)
        good = take_lines(&l, &more) && put_batch(&l);
    if (l.file != NULL && l.fd >= 0)
        printf("%llu of %llu lines put\n", (unsigned long long)l.put, (unsigned long long)l.lines);
    end_loading(&l);
    return good;
}
