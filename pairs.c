/* Gathering a slot, and the bytes of chunks. See pairs.h.
 *
 * Whoever makes a chunk stops after a slot or after a pair, whichever comes first beyond its size;
 * so there is always something new in it, one slot that is larger than any chunk included.
 */
#include "pairs.h"

#include <assert.h>
#include <stdlib.h>

#include "frame.h"

#define PAIR_HEAD_BYTES  6 /* lengths of key and value */
#define CHUNK_HEAD_BYTES (SHARD_SLOTS / 8)

/* ---- One slot ---- */

void pairs_free(struct pairs *p) {
    buffer_free(&p->bytes);
    free(p->keys);
}

static bool is_wanted(const struct version *v, struct slice prefix, struct slice after) {
    if (v->is_tombstone || !slice_starts_with(v->key, prefix)) return false;
    return after.len == 0 || slice_compare(v->key, after) > 0;
}

static int compare_keys(const void *a, const void *b) {
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

/* Of those so far the first are kept. */
static void sort_and_cut(struct pairs *p) {
    if (p->count > 0) qsort(p->keys, p->count, sizeof *p->keys, compare_keys);
    if (p->count <= PAIRS_KEYS_MAX) return;
    p->count = PAIRS_KEYS_MAX;
    p->is_cut = true;
}

/* A key of the store. The first of those gathered stand sorted in front once there were too many.
 */
static void add_key(struct pairs *p, struct slice key) {
    if (p->is_cut && slice_compare(key, p->keys[PAIRS_KEYS_MAX - 1]) > 0) return;
    if (p->count == p->cap) {
        p->cap = p->cap == 0 ? 8 : p->cap * 2;
        p->keys = bytes_realloc(p->keys, p->cap * sizeof *p->keys);
    }
    p->keys[p->count++] = key;
    if (p->count == 2 * PAIRS_KEYS_MAX) sort_and_cut(p);
}

/* The keys are the store's: copies take their place. */
static void copy_keys(struct pairs *p) {
    p->bytes.len = 0;
    for (size_t i = 0; i < p->count; i++)
        buffer_put(&p->bytes, p->keys[i]);
    const char *at = p->bytes.at; /* it has stopped moving */
    for (size_t i = 0; i < p->count; i++) {
        p->keys[i].at = at;
        at += p->keys[i].len;
    }
}

size_t pairs_gather(struct pairs *p, const struct store *s, uint32_t slot, struct slice prefix,
                    struct slice after) {
    struct version v;
    size_t walked = 0;
    p->count = p->at = 0;
    p->is_cut = false;
    p->slot = slot;
    p->prefix = prefix;
    for (struct store_walk w = store_walk_slot(slot); store_walk_next(s, &w, &v); walked++) {
        if (is_wanted(&v, prefix, after)) add_key(p, v.key);
    }
    sort_and_cut(p);
    copy_keys(p);
    return walked;
}

static void gather_behind(struct pairs *p, const struct store *s) {
    struct buffer last = {0};
    buffer_put(&last, p->keys[p->count - 1]);
    pairs_gather(p, s, p->slot, p->prefix, buffer_slice(&last));
    buffer_free(&last);
}

bool pairs_next(struct pairs *p, const struct store *s, struct version *v) {
    for (;;) {
        while (p->at < p->count) {
            struct slice key = p->keys[p->at++];
            if (store_find(s, store_locate(s, key), key, v) && !v->is_tombstone) return true;
        }
        if (!p->is_cut) return false;
        gather_behind(p, s);
    }
}

bool pairs_at_end(const struct pairs *p) {
    return p->at == p->count && !p->is_cut;
}

/* ---- Chunks ---- */

void pairs_put_query(struct buffer *out, const struct pairs_query *q) {
    put_u32(out, q->limit);
    buffer_put(out, q->prefix);
}

bool pairs_read_query(struct slice bytes, struct pairs_query *q) {
    if (!take_u32(&bytes, &q->limit) || q->limit == 0) return false;
    q->prefix = bytes;
    return true;
}

static void put_pair(struct buffer *out, const struct version *v) {
    char *head = buffer_grow(out, PAIR_HEAD_BYTES);
    store_u32(store_u16(head, (uint16_t)v->key.len), (uint32_t)v->value.len);
    buffer_put(out, v->key);
    buffer_put(out, v->value);
}

/* Bit s % 8 of byte s / 8 is slot s. */
static void put_slots(char *at, const struct slots *slots) {
    memset(at, 0, CHUNK_HEAD_BYTES);
    for (uint32_t s = slots_next(slots, 0); s < SHARD_SLOTS; s = slots_next(slots, s + 1))
        at[s / 8] = (char)((uint8_t)at[s / 8] | 1u << s % 8);
}

void pairs_put_chunk(struct buffer *out, const struct store *s, const struct slots *owned,
                     const struct pairs_query *q) {
    struct pairs pairs = {0};
    struct slots whole = {0};
    size_t begun = out->len, walked = 0;
    uint32_t left = q->limit;
    bool full = false;
    buffer_grow(out, CHUNK_HEAD_BYTES);
    uint32_t slot = slots_next(owned, q->slot);
    while (slot < SHARD_SLOTS && !full && walked < PAIRS_CHUNK_WALK) {
        struct slice after = slot == q->slot ? q->after : (struct slice){0};
        struct version v;
        walked += pairs_gather(&pairs, s, slot, q->prefix, after);
        while (!full && pairs_next(&pairs, s, &v)) {
            put_pair(out, &v);
            full = --left == 0 || out->len - begun >= PAIRS_CHUNK_BYTES;
        }
        if (!full || pairs_at_end(&pairs)) slots_add(&whole, slot);
        slot = slots_next(owned, slot + 1);
    }
    put_slots(out->at + begun, &whole);
    pairs_free(&pairs);
}

static bool take_pair(struct slice *rest, struct slice *key, struct slice *value) {
    uint16_t key_len;
    uint32_t value_len;
    if (!take_u16(rest, &key_len) || !take_u32(rest, &value_len)) return false;
    if (key_len == 0 || key_len > STORE_KEY_BYTES_MAX || value_len == 0) return false;
    key->len = key_len;
    value->len = value_len;
    return take_bytes(rest, key_len, &key->at) && take_bytes(rest, value_len, &value->at);
}

bool pairs_read_chunk(struct slice bytes, struct pairs_chunk *c) {
    const char *slots;
    struct slice key, value;
    *c = (struct pairs_chunk){0};
    if (!take_bytes(&bytes, CHUNK_HEAD_BYTES, &slots)) return false;
    for (uint32_t s = 0; s < SHARD_SLOTS; s++) {
        if ((uint8_t)slots[s / 8] >> s % 8 & 1) slots_add(&c->slots, s);
    }
    c->rest = bytes;
    while (bytes.len > 0) {
        if (!take_pair(&bytes, &key, &value)) return false;
    }
    return true;
}

bool pairs_peek(const struct pairs_chunk *c, struct slice *key, struct slice *value) {
    struct slice rest = c->rest;
    return take_pair(&rest, key, value);
}

void pairs_skip(struct pairs_chunk *c) {
    struct slice key, value;
    bool there = take_pair(&c->rest, &key, &value);
    assert(there);
    (void)there;
}
