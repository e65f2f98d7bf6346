/* Operations and answers as frames. See wire_op.h.
 *
 * As with WRITE all lengths stand in a head of fixed size, so that one comparison with the length
 * of the body settles all of them, and writing reserves once. What an operation of its kind cannot
 * have, and what an answer of its status cannot have, must be empty: each has one form.
 */
#include "wire_op.h"

#include <assert.h>

#include "shard.h"
#include "store.h"

enum { /* the fixed head of an OP */
       OP_ID = 0,
       OP_STREAM = 8,
       OP_KIND = 16,
       OP_HOPS = 17,
       OP_MS = 18,
       OP_SLOT = 22,
       OP_KEY_LEN = 24,
       OP_VALUE_LEN = 26,
       OP_CLAIM_LEN = 30,
       OP_HEAD_BYTES = 34,
};

enum { /* of an ANSWER */
       ANSWER_ID = 0,
       ANSWER_STATUS = 8,
       ANSWER_SHARD = 9,
       ANSWER_METADATA_LEN = 10,
       ANSWER_MISSING_LEN = 14,
       ANSWER_VALUE_LEN = 18,
       ANSWER_HEAD_BYTES = 22,
};

/* These numbers are on the wire. */
_Static_assert(OP_GET == 0 && OP_PUT == 1 && OP_DELETE == 2 && OP_COUNT == 3 && OP_LIST == 4,
               "docs/wire.md");
_Static_assert(NODE_FOUND == 0 && NODE_NO_KEY == 4 && NODE_OUTCOME_UNKNOWN == 8, "docs/wire.md");
_Static_assert(NODE_DISK_TROUBLE == 9 && NODE_STATUSES == 10, "docs/wire.md");

#define LIST_BYTES_MIN 4 /* a limit; then a prefix */
#define BODY_BYTES_MAX (WIRE_FRAME_BYTES_MAX - WIRE_HEAD_BYTES)

/* Takes a text of that length from *at, which is known to have it. */
static struct slice cut(const char **at, size_t len) {
    struct slice text = {*at, len};
    *at += len;
    return text;
}

/* ---- Operations ---- */

static bool is_op(const struct wire_op *m) {
    bool has_key = m->key.len >= 1 && m->key.len <= STORE_KEY_BYTES_MAX;
    bool has_value = m->value.len > 0, has_claim = m->claim.len > 0;
    if (m->slot >= SHARD_SLOTS || (has_key && m->slot != shard_slot(m->key))) return false;
    switch (m->kind) {
    case OP_GET:
    case OP_DELETE: return has_key && !has_value;
    case OP_PUT: return has_key && has_value;
    case OP_COUNT: return m->key.len == 0 && !has_value && !has_claim;
    case OP_LIST:
        return (has_key || m->key.len == 0) && m->value.len >= LIST_BYTES_MIN && !has_claim;
    case OP_KINDS: break;
    }
    return false;
}

bool wire_op_fits(const struct wire_op *m) {
    uint64_t bytes = (uint64_t)OP_HEAD_BYTES + m->key.len + m->value.len + m->claim.len;
    return bytes <= BODY_BYTES_MAX;
}

void wire_put_op(struct buffer *out, const struct wire_op *m) {
    assert(wire_op_fits(m) && is_op(m));
    buffer_reserve(out, WIRE_HEAD_BYTES + OP_HEAD_BYTES + m->key.len + m->value.len + m->claim.len);
    size_t begun = frame_open(out, WIRE_OP);
    char *at = store_u64(buffer_grow(out, OP_HEAD_BYTES), m->id);
    at = store_u64(at, m->stream);
    *at++ = (char)m->kind;
    *at++ = (char)m->hops;
    at = store_u32(at, m->ms);
    at = store_u16(at, m->slot);
    at = store_u16(at, (uint16_t)m->key.len);
    at = store_u32(at, (uint32_t)m->value.len);
    store_u32(at, (uint32_t)m->claim.len);
    buffer_put(out, m->key);
    buffer_put(out, m->value);
    buffer_put(out, m->claim);
    frame_close(out, begun);
}

bool wire_read_op(struct slice body, struct wire_op *m) {
    if (body.len < OP_HEAD_BYTES) return false;
    const char *at = body.at;
    uint8_t kind = (uint8_t)at[OP_KIND];
    size_t key_len = load_u16(at + OP_KEY_LEN);
    size_t value_len = load_u32(at + OP_VALUE_LEN);
    size_t claim_len = load_u32(at + OP_CLAIM_LEN);
    uint64_t named = (uint64_t)OP_HEAD_BYTES + key_len + value_len + claim_len;
    if (named != body.len || kind >= OP_KINDS) return false;

    m->id = load_u64(at + OP_ID);
    m->stream = load_u64(at + OP_STREAM);
    m->kind = (enum op_kind)kind;
    m->hops = (uint8_t)at[OP_HOPS];
    m->ms = load_u32(at + OP_MS);
    m->slot = load_u16(at + OP_SLOT);
    at += OP_HEAD_BYTES;
    m->key = cut(&at, key_len);
    m->value = cut(&at, value_len);
    m->claim = cut(&at, claim_len);
    return is_op(m);
}

/* ---- Answers ---- */

static bool is_answer(uint8_t status, uint8_t shard, size_t missing_len, size_t value_len) {
    bool tells_why = status == NODE_NOT_YET || status == NODE_DISK_TROUBLE;
    return status < NODE_STATUSES && shard < SHARD_COUNT_MAX && (tells_why || missing_len == 0) &&
           (status == NODE_FOUND || value_len == 0);
}

bool wire_answer_fits(const struct wire_answer *m) {
    uint64_t bytes = (uint64_t)ANSWER_HEAD_BYTES + m->metadata.len + m->missing.len + m->value.len;
    return bytes <= BODY_BYTES_MAX;
}

void wire_put_answer(struct buffer *out, const struct wire_answer *m) {
    assert(wire_answer_fits(m));
    assert(is_answer((uint8_t)m->status, m->shard, m->missing.len, m->value.len));
    size_t texts = m->metadata.len + m->missing.len + m->value.len;
    buffer_reserve(out, WIRE_HEAD_BYTES + ANSWER_HEAD_BYTES + texts);
    size_t begun = frame_open(out, WIRE_ANSWER);
    char *at = store_u64(buffer_grow(out, ANSWER_HEAD_BYTES), m->id);
    *at++ = (char)m->status;
    *at++ = (char)m->shard;
    at = store_u32(at, (uint32_t)m->metadata.len);
    at = store_u32(at, (uint32_t)m->missing.len);
    store_u32(at, (uint32_t)m->value.len);
    buffer_put(out, m->metadata);
    buffer_put(out, m->missing);
    buffer_put(out, m->value);
    frame_close(out, begun);
}

/* It becomes part of a JSON text. */
static bool is_reason(struct slice text) {
    bool plain = text.len <= WIRE_REASON_MAX;
    for (size_t i = 0; i < text.len && plain; i++) {
        char c = text.at[i];
        plain = c >= ' ' && c <= '~' && c != '"' && c != '\\';
    }
    return plain;
}

bool wire_read_answer(struct slice body, struct wire_answer *m) {
    if (body.len < ANSWER_HEAD_BYTES) return false;
    const char *at = body.at;
    uint8_t status = (uint8_t)at[ANSWER_STATUS], shard = (uint8_t)at[ANSWER_SHARD];
    size_t metadata_len = load_u32(at + ANSWER_METADATA_LEN);
    size_t missing_len = load_u32(at + ANSWER_MISSING_LEN);
    size_t value_len = load_u32(at + ANSWER_VALUE_LEN);
    uint64_t named = (uint64_t)ANSWER_HEAD_BYTES + metadata_len + missing_len + value_len;
    if (named != body.len || !is_answer(status, shard, missing_len, value_len)) return false;

    m->id = load_u64(at + ANSWER_ID);
    m->status = (enum node_status)status;
    m->shard = shard;
    at += ANSWER_HEAD_BYTES;
    m->metadata = cut(&at, metadata_len);
    m->missing = cut(&at, missing_len);
    m->value = cut(&at, value_len);
    return status != NODE_DISK_TROUBLE || is_reason(m->missing);
}
