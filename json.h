/* JSON (RFC 8259, strict) read in one pass over the caller's bytes, without building a tree.
 *
 * A reader stands before the next value. The caller says what it wants to find there:
 *
 *     struct json_reader r = json_reader_of(text);
 *     struct slice name, value;
 *     json_enter_object(&r);
 *     while (json_next_member(&r, &name)) {
 *         if (json_name_is(name, SLICE("value"))) json_read_value(&r, &value);
 *         else json_skip(&r);
 *     }
 *     if (!json_finish(&r)) complain(r.error, json_error_offset(&r));
 *
 * The first mistake sticks: from then on each call does nothing and returns false, so one look at
 * the end is enough. Slices that come back borrow the text and are checked: UTF-8, escapes, numbers
 * and nesting are right. Strings come back as they stand between the quotes, escapes and all.
 *
 * Stricter than the RFC has to be in one point: an escaped lone surrogate (\ud800) names no
 * character and is refused.
 */
#ifndef KVS_JSON_H
#define KVS_JSON_H

#include "bytes.h"

#define JSON_DEPTH_MAX                                                                             \
    128 /* containers inside one another; a recursion bound for our readers too */

struct json_reader {
    const char *start, *at, *end;
    const char *error; /* what is wrong at `at`, or NULL */
    unsigned depth;    /* containers entered */
    bool first;        /* just inside a container: no comma is due yet */
    bool escaped;      /* the last string, or name, has escapes in it */
};

struct json_reader json_reader_of(struct slice text);

/* '{', '[', '"', 't', 'f', 'n', '0' for any number, or 0 at the end or after a mistake. */
char json_peek(struct json_reader *r);

/* Enter a container, then call its next function until false: at its end it was left, or a mistake
 * was met. Each true must be followed by exactly one read, skip or enter. */
bool json_enter_object(struct json_reader *r);
bool json_next_member(struct json_reader *r, struct slice *name);
bool json_enter_array(struct json_reader *r);
bool json_next_item(struct json_reader *r);

bool json_read_value(struct json_reader *r, struct slice *text); /* any value, as it stands */
bool json_read_string(struct json_reader *r, struct slice *inside);
bool json_read_u64(struct json_reader *r, uint64_t *n); /* digits only, 19 at most */
bool json_skip(struct json_reader *r);

/* Passes over a member name, and its colon, iff `exact` ("name": with quotes and colon) is what
 * stands there, byte for byte: a short cut for those who can guess what comes. In place of
 * json_next_member(); false changes nothing. */
bool json_guess_member(struct json_reader *r, struct slice exact);

/* The same together with the number that is its value, iff that is plain digits with a comma or the
 * closing brace behind them. */
bool json_guess_u64(struct json_reader *r, struct slice exact, uint64_t *n);

/* True when there was no mistake and nothing but white space follows. */
bool json_finish(struct json_reader *r);
size_t json_error_offset(const struct json_reader *r);

/* Makes the caller's own judgement ("not a number") the mistake that sticks. Returns false. */
bool json_fail(struct json_reader *r, const char *error);

/* Compares and converts the inside of a string that a reader gave. */
bool json_name_is(struct slice inside, struct slice plain);
void json_unescape(struct slice inside, struct buffer *out);

/* Appends `s`, which is UTF-8, in quotes and escaped. */
void json_put_string(struct buffer *out, struct slice s);

#endif
