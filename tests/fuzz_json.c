/* JSON: exactly what a second, naive reader accepts is accepted; entering agrees with skipping; and
 * strings survive unescaping and escaping. */
#include <assert.h>
#include <stdlib.h>

#include "../json.h"
#include "../utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- A naive reader: recursion, one byte at a time, no fast paths ---- */

struct naive {
    const unsigned char *at, *end;
    unsigned depth;
};

static bool naive_value(struct naive *n);

static void naive_space(struct naive *n) {
    while (n->at < n->end &&
           (*n->at == ' ' || *n->at == '\t' || *n->at == '\n' || *n->at == '\r')) {
        n->at++;
    }
}

static bool naive_byte(struct naive *n, char c) {
    if (n->at == n->end || *n->at != (unsigned char)c) return false;
    n->at++;
    return true;
}

static bool naive_digits(struct naive *n) {
    const unsigned char *from = n->at;
    while (n->at < n->end && *n->at >= '0' && *n->at <= '9')
        n->at++;
    return n->at > from;
}

static bool naive_number(struct naive *n) {
    naive_byte(n, '-');
    if (!naive_byte(n, '0') && !naive_digits(n)) return false;
    if (naive_byte(n, '.') && !naive_digits(n)) return false;
    if (naive_byte(n, 'e') || naive_byte(n, 'E')) {
        if (!naive_byte(n, '+')) naive_byte(n, '-');
        return naive_digits(n);
    }
    return true;
}

static int naive_hex4(struct naive *n) {
    int unit = 0;
    for (int i = 0; i < 4; i++, n->at++) {
        if (n->at == n->end) return -1;
        const char *digits = "0123456789abcdef0123456789ABCDEF";
        const char *found = *n->at == 0 ? NULL : strchr(digits, *n->at);
        if (found == NULL) return -1;
        unit = unit * 16 + (int)(found - digits) % 16;
    }
    return unit;
}

static bool naive_escape(struct naive *n) {
    if (n->at == n->end) return false;
    unsigned char c = *n->at++;
    if (c != 'u') return c != 0 && strchr("\"\\/bfnrt", c) != NULL;
    int unit = naive_hex4(n);
    if (unit >= 0xD800 && unit < 0xDC00) {
        if (!naive_byte(n, '\\') || !naive_byte(n, 'u')) return false;
        unit = naive_hex4(n);
        return unit >= 0xDC00 && unit < 0xE000;
    }
    return unit >= 0 && (unit < 0xDC00 || unit >= 0xE000);
}

/* The code point that starts at n->at, by arithmetic; false when it is not UTF-8. */
static bool naive_utf8(struct naive *n) {
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = *n->at++;
    int len = first < 0x80 ? 1 : first < 0xC0 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if (len == 0 || first >= 0xF8) return false;
    uint32_t point = len == 1 ? first : first & (0x7Fu >> len);
    for (int i = 1; i < len; i++, n->at++) {
        if (n->at == n->end || (*n->at & 0xC0) != 0x80) return false;
        point = point << 6 | (*n->at & 0x3F);
    }
    return point >= smallest[len] && point <= 0x10FFFF && (point < 0xD800 || point > 0xDFFF);
}

static bool naive_string(struct naive *n) {
    if (!naive_byte(n, '"')) return false;
    while (n->at < n->end && *n->at != '"') {
        if (*n->at < 0x20) return false;
        if (naive_byte(n, '\\') ? !naive_escape(n) : !naive_utf8(n)) return false;
    }
    return naive_byte(n, '"');
}

static bool naive_container(struct naive *n, char close) {
    if (++n->depth > JSON_DEPTH_MAX) return false;
    naive_space(n);
    for (bool first = true; !naive_byte(n, close); first = false) {
        if (!first && !naive_byte(n, ',')) return false;
        naive_space(n);
        if (close == '}') {
            if (!naive_string(n)) return false;
            naive_space(n);
            if (!naive_byte(n, ':')) return false;
        }
        if (!naive_value(n)) return false;
        naive_space(n);
    }
    n->depth--;
    return true;
}

static bool naive_word(struct naive *n, const char *word) {
    for (; *word != '\0'; word++) {
        if (!naive_byte(n, *word)) return false;
    }
    return true;
}

static bool naive_value(struct naive *n) {
    naive_space(n);
    if (n->at == n->end) return false;
    switch (*n->at) {
    case '{': n->at++; return naive_container(n, '}');
    case '[': n->at++; return naive_container(n, ']');
    case '"': return naive_string(n);
    case 't': return naive_word(n, "true");
    case 'f': return naive_word(n, "false");
    case 'n': return naive_word(n, "null");
    default: return naive_number(n);
    }
}

static bool naive_accepts(struct slice text) {
    struct naive n = {(const unsigned char *)text.at, (const unsigned char *)text.at + text.len, 0};
    if (!naive_value(&n)) return false;
    naive_space(&n);
    return n.at == n.end;
}

/* ---- What must hold of an accepted text ---- */

static void check_string(struct slice inside) {
    struct buffer plain = {0}, escaped = {0}, again = {0};
    struct slice back;
    size_t points;
    json_unescape(inside, &plain);
    assert(plain.len <= inside.len && utf8_count(buffer_slice(&plain), &points));
    assert(json_name_is(inside, buffer_slice(&plain)));
    json_put_string(&escaped, buffer_slice(&plain));
    struct json_reader r = json_reader_of(buffer_slice(&escaped));
    assert(json_read_string(&r, &back) && json_finish(&r));
    json_unescape(back, &again);
    assert(slice_equal(buffer_slice(&again), buffer_slice(&plain)));
    buffer_put_char(&plain, '!');
    assert(!json_name_is(inside, buffer_slice(&plain)));
    buffer_free(&plain);
    buffer_free(&escaped);
    buffer_free(&again);
}

static void check_number(struct json_reader *r) {
    struct json_reader other = *r;
    struct slice text;
    uint64_t n, same = 0;
    assert(json_read_value(r, &text));
    bool whole = slice_to_u64(text, &same);
    assert(json_read_u64(&other, &n) == whole);
    if (whole) assert(n == same && other.at == r->at);
}

/* A guess of what stands there is right iff nothing stands in between. */
static void check_guess(struct json_reader before, const struct json_reader *after,
                        struct slice name) {
    struct buffer exact = {0};
    buffer_put_char(&exact, '"');
    buffer_put(&exact, name);
    buffer_put(&exact, SLICE("\":"));
    if (json_guess_member(&before, buffer_slice(&exact))) assert(before.at == after->at);
    buffer_free(&exact);
}

static void walk(struct json_reader *r) {
    struct slice inside;
    struct json_reader before;
    switch (json_peek(r)) {
    case '{':
        json_enter_object(r);
        for (before = *r; json_next_member(r, &inside); before = *r) {
            check_string(inside);
            check_guess(before, r, inside);
            walk(r);
        }
        break;
    case '[':
        json_enter_array(r);
        while (json_next_item(r))
            walk(r);
        break;
    case '"':
        assert(json_read_string(r, &inside));
        check_string(inside);
        break;
    case '0': check_number(r); break;
    default: assert(json_skip(r)); break;
    }
}

/* What passes for a whole number is a JSON number of digits only, and all of it. */
static void check_u64(struct slice text) {
    struct json_reader r = json_reader_of(text);
    struct naive n = {(const unsigned char *)text.at, (const unsigned char *)text.at + text.len, 0};
    uint64_t got, want = 0;
    if (!json_read_u64(&r, &got)) return;
    naive_space(&n);
    struct slice digits = {(const char *)n.at, 0};
    assert(naive_number(&n) && (const char *)n.at == r.at);
    digits.len = (size_t)(r.at - digits.at);
    assert(slice_to_u64(digits, &want) && got == want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *copy = malloc(size); /* exactly that large, so that reading on is seen */
    if (size > 0) memcpy(copy, data, size);
    struct slice text = {copy, size}, value;
    struct json_reader r = json_reader_of(text);
    bool accepted = json_read_value(&r, &value) && json_finish(&r);
    assert(accepted == naive_accepts(text));
    assert(accepted == (r.error == NULL));
    assert(json_error_offset(&r) <= size);
    if (accepted) {
        struct json_reader walker = json_reader_of(text), inner = json_reader_of(value);
        walk(&walker);
        assert(json_finish(&walker) && walker.depth == 0);
        assert(json_skip(&inner) && inner.at == inner.end);
    }
    check_u64(text);
    free(copy);
    return 0;
}
