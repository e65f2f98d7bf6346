/* The state of one GET /kvs. See listing.h.
 *
 *   listing_fill: put_head once; then for each slot that this node owns gather_slot, and for each
 *   of its keys put_pair; at the end, or at the limit with another pair in sight, put_tail.
 */
#include "listing.h"

#include <stdlib.h>

#include "json.h"

struct listing {
    struct buffer prefix, after; /* owned copies of the query */
    uint64_t pairs_left;         /* UINT64_MAX: no limit */
    bool begun, any;             /* the head, and a first pair, are written */

    uint32_t slot;       /* the next to gather */
    struct buffer bytes; /* the gathered keys, one behind the other */
    struct slice *keys;  /* owned; sorted; into `bytes` */
    size_t key_count, key_at;
    struct buffer last; /* the key of the last pair written */
};

struct listing *listing_create(const struct listing_query *query) {
    struct listing *l = bytes_alloc_zeroed(sizeof *l);
    buffer_put(&l->prefix, query->prefix);
    buffer_put(&l->after, query->after);
    l->pairs_left = query->limit == 0 ? UINT64_MAX : query->limit;
    l->slot = query->after.len == 0 ? 0 : shard_slot(query->after);
    return l;
}

void listing_free(struct listing *l) {
    buffer_free(&l->prefix);
    buffer_free(&l->after);
    buffer_free(&l->bytes);
    buffer_free(&l->last);
    free(l->keys);
    free(l);
}

/* ---- One slot ---- */

static bool wanted(const struct listing *l, const struct version *v) {
    if (v->is_tombstone || !slice_starts_with(v->key, buffer_slice(&l->prefix))) return false;
    bool in_first_slot = l->after.len > 0 && l->slot == shard_slot(buffer_slice(&l->after));
    return !in_first_slot || slice_compare(v->key, buffer_slice(&l->after)) > 0;
}

static int compare_keys(const void *a, const void *b) {
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

/* Replaces the gathered keys by the wanted ones of l->slot. */
static void gather_slot(struct listing *l, const struct store *s) {
    struct version v;
    l->bytes.len = l->key_count = l->key_at = 0;
    for (struct store_walk w = store_walk_slot(l->slot); store_walk_next(s, &w, &v);) {
        if (!wanted(l, &v)) continue;
        buffer_put(&l->bytes, v.key);
        l->key_count++;
    }
    if (l->key_count == 0) return;
    l->keys = bytes_realloc(l->keys, l->key_count * sizeof *l->keys);
    const char *at = l->bytes.at; /* it has stopped moving: the same walk gives the same keys */
    size_t i = 0;
    for (struct store_walk w = store_walk_slot(l->slot); store_walk_next(s, &w, &v);) {
        if (!wanted(l, &v)) continue;
        l->keys[i++] = (struct slice){at, v.key.len};
        at += v.key.len;
    }
    qsort(l->keys, l->key_count, sizeof *l->keys, compare_keys);
}

/* The next pair that is still alive; false at the end of the last slot. */
static bool next_pair(struct listing *l, const struct node *n, struct version *v) {
    const struct store *s = node_store(n);
    for (;;) {
        while (l->key_at < l->key_count) {
            struct slice key = l->keys[l->key_at++];
            if (store_find(s, store_locate(s, key), key, v) && !v->is_tombstone) return true;
        }
        while (l->slot < SHARD_SLOTS && !node_owns_slot(n, l->slot))
            l->slot++;
        if (l->slot == SHARD_SLOTS) return false;
        gather_slot(l, s);
        l->slot++;
    }
}

/* ---- The text ---- */

static void put_pair(struct listing *l, struct buffer *out, const struct version *v) {
    if (l->any) buffer_put_char(out, ',');
    l->any = true;
    json_put_string(out, v->key);
    buffer_put_char(out, ':');
    buffer_put(out, v->value);
    l->last.len = 0;
    buffer_put(&l->last, v->key);
}

static void put_tail(const struct listing *l, const struct node *n, struct buffer *out, bool more) {
    buffer_put(out, SLICE("},\"next\":"));
    if (more) {
        json_put_string(out, buffer_slice(&l->last));
    } else {
        buffer_put(out, SLICE("null"));
    }
    bool complete = node_map(n)->shard_count == 1 && node_shard(n) == 0;
    buffer_put(out, SLICE(",\"complete\":"));
    buffer_put(out, complete ? SLICE("true") : SLICE("false"));
    buffer_put(out, SLICE(",\"unreachable\":["));
    bool first = true;
    for (uint32_t shard = 0; shard < node_map(n)->shard_count; shard++) {
        char id[SHARD_ID_BYTES];
        if (shard == node_shard(n)) continue;
        shard_id_text(shard, id);
        if (!first) buffer_put_char(out, ',');
        json_put_string(out, slice_of(id));
        first = false;
    }
    buffer_put(out, SLICE("]}"));
}

bool listing_fill(struct listing *l, const struct node *n, struct buffer *out, size_t enough) {
    if (!l->begun) buffer_put(out, SLICE("{\"kvs\":{"));
    l->begun = true;
    while (out->len < enough) {
        struct version v;
        bool found = next_pair(l, n, &v);
        if (!found || l->pairs_left == 0) {
            put_tail(l, n, out, found);
            return false;
        }
        put_pair(l, out, &v);
        l->pairs_left--;
    }
    return true;
}
