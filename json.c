/* A pull reader for JSON. See json.h for how it is used.
 *
 * Two speeds. Strings are where the bytes are, so scan_string() passes over plain ones eight at a
 * time; everything else goes byte by byte through small functions that mirror the grammar of
 * RFC 8259. Skipping a value of unknown shape keeps no stack but one bit a level ("is this an
 * object?"), so deep nesting costs neither recursion nor allocation.
 */
#include "json.h"

#include "utf8.h"

/* ---- Mistakes ---- */

bool json_fail(struct json_reader *r, const char *error) {
    if (r->error == NULL) r->error = error;
    return false;
}

size_t json_error_offset(const struct json_reader *r) {
    return (size_t)(r->at - r->start);
}

/* ---- White space and punctuation ---- */

struct json_reader json_reader_of(struct slice text) {
    static const char nothing[1];
    const char *at = text.at == NULL ? nothing : text.at;
    return (struct json_reader){.start = at, .at = at, .end = at + text.len};
}

static inline bool is_space(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static inline void pass_space(struct json_reader *r) {
    while (r->at < r->end && is_space(*r->at))
        r->at++;
}

/* Passes white space, then `c` if it stands there. */
static inline bool take(struct json_reader *r, char c) {
    if (r->error != NULL) return false;
    pass_space(r);
    if (r->at == r->end || *r->at != c) return false;
    r->at++;
    return true;
}

static inline bool expect(struct json_reader *r, char c, const char *error) {
    return take(r, c) || json_fail(r, error);
}

static inline bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static inline char peek(struct json_reader *r) {
    if (r->error != NULL) return 0;
    pass_space(r);
    if (r->at == r->end) return 0;
    char c = *r->at;
    return c == '-' || is_digit(c) ? '0' : c;
}

char json_peek(struct json_reader *r) {
    return peek(r);
}

/* ---- Strings ---- */

/* Passes bytes that need no look: printable ASCII but for the quote and the backslash. Stops at
 * the first other byte, or less than eight bytes before the end. */
static inline const char *pass_plain(const char *at, const char *end) {
    for (; end - at >= 8; at += 8) {
        uint64_t w = word_load(at);
        uint64_t stop =
            word_mark_control(w) | word_mark_equal(w, '"') | word_mark_equal(w, '\\') | w;
        stop &= EACH_BYTE(0x80);
        if (stop != 0) return at + __builtin_ctzll(stop) / 8;
    }
    return at;
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Four hex digits at `at`, or -1. */
static int32_t hex4(const char *at, const char *end) {
    if (end - at < 4) return -1;
    int32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(at[i]);
        if (digit < 0) return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

static bool is_high_surrogate(int32_t unit) {
    return unit >= 0xD800 && unit <= 0xDBFF;
}

static bool is_low_surrogate(int32_t unit) {
    return unit >= 0xDC00 && unit <= 0xDFFF;
}

/* The reader stands behind "\u". */
static bool scan_unicode_escape(struct json_reader *r) {
    int32_t unit = hex4(r->at, r->end);
    if (unit < 0) return json_fail(r, "\\u needs four hex digits");
    if (is_low_surrogate(unit)) return json_fail(r, "lone surrogate");
    if (is_high_surrogate(unit)) {
        const char *next = r->at + 4;
        bool pair = r->end - next >= 6 && next[0] == '\\' && next[1] == 'u' &&
                    is_low_surrogate(hex4(next + 2, r->end));
        if (!pair) return json_fail(r, "lone surrogate");
        r->at += 6;
    }
    r->at += 4;
    return true;
}

/* The reader stands at a backslash. */
static bool scan_escape(struct json_reader *r) {
    r->at++;
    if (r->at == r->end) return json_fail(r, "string is not closed");
    char c = *r->at;
    if (c == 'u') {
        r->at++;
        return scan_unicode_escape(r);
    }
    if (c == '\0' || strchr("\"\\/bfnrt", c) == NULL) return json_fail(r, "unknown escape");
    r->at++;
    return true;
}

/* The reader stands behind the opening quote; leaves it behind the closing one. */
static bool scan_string(struct json_reader *r, struct slice *inside) {
    const char *from = r->at;
    r->escaped = false;
    for (;;) {
        r->at = pass_plain(r->at, r->end);
        if (r->at == r->end) return json_fail(r, "string is not closed");
        unsigned char c = (unsigned char)*r->at;
        if (c == '"') {
            *inside = (struct slice){from, (size_t)(r->at - from)};
            r->at++;
            return true;
        }
        if (c == '\\') {
            r->escaped = true;
            if (!scan_escape(r)) return false;
        } else if (c < 0x20) {
            return json_fail(r, "control character in a string");
        } else {
            size_t len = utf8_sequence(r->at, r->end);
            if (len == 0) return json_fail(r, "not UTF-8");
            r->at += len;
        }
    }
}

bool json_read_string(struct json_reader *r, struct slice *inside) {
    r->first = false;
    return expect(r, '"', "expected a string") && scan_string(r, inside);
}

/* ---- Numbers and literals ---- */

static inline bool is_digit_at(const struct json_reader *r) {
    return r->at < r->end && is_digit(*r->at);
}

static bool scan_digits(struct json_reader *r) {
    if (!is_digit_at(r)) return json_fail(r, "expected a digit");
    while (is_digit_at(r))
        r->at++;
    return true;
}

static bool scan_number(struct json_reader *r) {
    if (*r->at == '-') r->at++;
    if (r->at < r->end && *r->at == '0') {
        r->at++;
        if (is_digit_at(r)) return json_fail(r, "number with a leading zero");
    } else if (!scan_digits(r)) {
        return false;
    }
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        if (!scan_digits(r)) return false;
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        r->at++;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-')) r->at++;
        return scan_digits(r);
    }
    return true;
}

#define U64_DIGITS_SAFE 19 /* they always fit 64 bits */

/* Passes the digits at `at`, which make *n. NULL, and no *n: there are none or more than fit, or
 * there is a leading zero. */
static inline const char *pass_u64(const char *at, const char *end, uint64_t *n) {
    const char *from = at;
    uint64_t sum = 0;
    for (; at < end && is_digit(*at); at++)
        sum = sum * 10 + (unsigned)(*at - '0');
    bool form = at - from == 1 || (at > from && at - from <= U64_DIGITS_SAFE && *from != '0');
    if (!form) return NULL;
    *n = sum;
    return at;
}

bool json_read_u64(struct json_reader *r, uint64_t *n) {
    r->first = false;
    if (peek(r) != '0') return json_fail(r, "expected a number");
    const char *at = pass_u64(r->at, r->end, n);
    bool more = at != NULL && at < r->end && (*at == '.' || *at == 'e' || *at == 'E');
    if (at == NULL || more) return json_fail(r, "expected a whole number");
    r->at = at;
    return true;
}

static bool scan_literal(struct json_reader *r, const char *word) {
    size_t len = strlen(word);
    if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0) {
        return json_fail(r, "expected a value");
    }
    r->at += len;
    return true;
}

static bool scan_scalar(struct json_reader *r) {
    struct slice ignored;
    switch (peek(r)) {
    case '"': r->at++; return scan_string(r, &ignored);
    case '0': return scan_number(r);
    case 't': return scan_literal(r, "true");
    case 'f': return scan_literal(r, "false");
    case 'n': return scan_literal(r, "null");
    default: return json_fail(r, r->at == r->end ? "ends too early" : "expected a value");
    }
}

/* ---- Containers ---- */

static inline bool enter(struct json_reader *r, char bracket, const char *error) {
    if (!expect(r, bracket, error)) return false;
    if (r->depth == JSON_DEPTH_MAX) return json_fail(r, "nested too deeply");
    r->depth++;
    r->first = true;
    return true;
}

bool json_enter_object(struct json_reader *r) {
    return enter(r, '{', "expected an object");
}

bool json_enter_array(struct json_reader *r) {
    return enter(r, '[', "expected an array");
}

/* Passes the comma that is due before the next element; false at the end of the container. */
static inline bool to_next(struct json_reader *r, char bracket, const char *error) {
    if (take(r, bracket)) {
        r->depth--;
        r->first = false;
        return false;
    }
    if (!r->first && !expect(r, ',', error)) return false;
    r->first = false;
    return r->error == NULL;
}

bool json_next_member(struct json_reader *r, struct slice *name) {
    return to_next(r, '}', "expected a comma or the end of the object") &&
           expect(r, '"', "expected a member name") && scan_string(r, name) &&
           expect(r, ':', "expected a colon");
}

/* Where the value of the guessed member stands, or NULL. */
static inline const char *guess(const struct json_reader *r, struct slice exact) {
    const char *at = r->at;
    if (r->error != NULL) return NULL;
    if (!r->first) {
        if (at == r->end || *at != ',') return NULL;
        at++;
    }
    bool right = (size_t)(r->end - at) >= exact.len && word_equal(at, exact.at, exact.len);
    return right ? at + exact.len : NULL;
}

bool json_guess_member(struct json_reader *r, struct slice exact) {
    const char *at = guess(r, exact);
    if (at == NULL) return false;
    r->at = at;
    r->first = false;
    return true;
}

bool json_guess_u64(struct json_reader *r, struct slice exact, uint64_t *n) {
    const char *at = guess(r, exact);
    if (at != NULL) at = pass_u64(at, r->end, n);
    if (at == NULL || at == r->end || (*at != ',' && *at != '}')) return false;
    r->at = at;
    r->first = false;
    return true;
}

bool json_next_item(struct json_reader *r) {
    return to_next(r, ']', "expected a comma or the end of the array");
}

/* ---- Values of any shape ---- */

/* Which of the containers being skipped are objects, a bit for each level. */
struct shape {
    uint64_t bits[JSON_DEPTH_MAX / 64 + 1];
};

static void shape_set(struct shape *s, unsigned depth, bool object) {
    uint64_t bit = (uint64_t)1 << depth % 64;
    if (object) {
        s->bits[depth / 64] |= bit;
    } else {
        s->bits[depth / 64] &= ~bit;
    }
}

static bool shape_is_object(const struct shape *s, unsigned depth) {
    return s->bits[depth / 64] >> depth % 64 & 1;
}

/* Skips a container, and all inside it, without recursion. */
static bool skip_container(struct json_reader *r) {
    struct shape shape = {{0}};
    struct slice name;
    unsigned outside = r->depth;
    do {
        char c = peek(r);
        if (c == '{' || c == '[') {
            if (!enter(r, c, "")) return false;
            shape_set(&shape, r->depth, c == '{');
        } else if (!scan_scalar(r)) {
            return false;
        }
        while (r->depth > outside) { /* on to the next element, out of all that end here */
            unsigned depth = r->depth;
            bool more =
                shape_is_object(&shape, depth) ? json_next_member(r, &name) : json_next_item(r);
            if (r->error != NULL) return false;
            if (more) break;
        }
    } while (r->depth > outside);
    return true;
}

bool json_skip(struct json_reader *r) {
    char c = peek(r);
    r->first = false;
    return c == '{' || c == '[' ? skip_container(r) : scan_scalar(r);
}

bool json_read_value(struct json_reader *r, struct slice *text) {
    peek(r);
    const char *from = r->at;
    if (!json_skip(r)) return false;
    *text = (struct slice){from, (size_t)(r->at - from)};
    return true;
}

bool json_finish(struct json_reader *r) {
    if (r->error != NULL) return false;
    pass_space(r);
    return r->at == r->end || json_fail(r, "something follows the value");
}

/* ---- The inside of strings ---- */

/* One character of a checked string: passes it and writes its UTF-8 into out[4]. */
static size_t next_character(const char **at, const char *end, char *out) {
    if (**at != '\\') {
        out[0] = *(*at)++;
        return 1; /* a byte of a longer sequence passes as itself */
    }
    char c = (*at)[1];
    *at += 2;
    switch (c) {
    case 'b': out[0] = '\b'; return 1;
    case 'f': out[0] = '\f'; return 1;
    case 'n': out[0] = '\n'; return 1;
    case 'r': out[0] = '\r'; return 1;
    case 't': out[0] = '\t'; return 1;
    case 'u': break;
    default: out[0] = c; return 1;
    }
    int32_t unit = hex4(*at, end);
    *at += 4;
    if (is_high_surrogate(unit)) {
        int32_t low = hex4(*at + 2, end);
        *at += 6;
        unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
    }
    return utf8_encode((uint32_t)unit, out);
}

bool json_name_is(struct slice inside, struct slice plain) {
    if (inside.len <= plain.len) return slice_equal(inside, plain);
    const char *at = inside.at, *end = inside.at + inside.len; /* an escape makes a name longer */
    size_t matched = 0;
    while (at < end) {
        char bytes[4];
        size_t n = next_character(&at, end, bytes);
        if (plain.len - matched < n || memcmp(plain.at + matched, bytes, n) != 0) return false;
        matched += n;
    }
    return matched == plain.len;
}

void json_unescape(struct slice inside, struct buffer *out) {
    if (inside.len == 0) return;         /* of which no pointer may come */
    buffer_reserve(out, inside.len + 4); /* an escape is longer than what it stands for */
    const char *at = inside.at, *end = at + inside.len;
    while (at < end)
        out->len += next_character(&at, end, out->at + out->len);
}

static void put_escaped(struct buffer *out, char c) {
    static const char hex[] = "0123456789abcdef";
    char text[6] = {'\\', 'u', '0', '0', hex[(unsigned char)c >> 4], hex[c & 15]};
    size_t len = 2;
    switch (c) {
    case '"':
    case '\\': text[1] = c; break;
    case '\b': text[1] = 'b'; break;
    case '\f': text[1] = 'f'; break;
    case '\n': text[1] = 'n'; break;
    case '\r': text[1] = 'r'; break;
    case '\t': text[1] = 't'; break;
    default: len = 6; break;
    }
    buffer_put(out, (struct slice){text, len});
}

void json_put_string(struct buffer *out, struct slice s) {
    buffer_put_char(out, '"');
    const char *at = s.at, *end = s.len > 0 ? at + s.len : at;
    while (at < end) {
        const char *plain = at;
        while (at < end && (unsigned char)*at >= 0x20 && *at != '"' && *at != '\\')
            at++;
        buffer_put(out, (struct slice){plain, (size_t)(at - plain)});
        if (at < end) put_escaped(out, *at++);
    }
    buffer_put_char(out, '"');
}
