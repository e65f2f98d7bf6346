/* A linear hash table for each slot. See store.h.
 *
 * A table of b buckets, 2^k <= b < 2^(k+1), puts hash h into bucket h mod 2^(k+1), or h mod 2^k
 * where that bucket does not exist yet. Adding bucket b therefore takes entries from bucket
 * b - 2^k and from no other: that is the whole of growing, and it happens whenever there are more
 * entries than buckets.
 *
 *   buckets   0 1 2 3 4 5            b = 6, 2^k = 4: hashes ending in binary 110 and 111 are still
 *             | | | | | |            in buckets 2 and 3; adding bucket 6 splits bucket 2
 *             chains of entries
 *
 * An entry is one allocation: the fields below, then key, packed dependencies and value. The array
 * of buckets grows by an eighth with realloc(), which moves pages, not bytes, once it is large.
 */
#include "store.h"

#include <assert.h>
#include <stdlib.h>

#include "shard.h"

struct entry {
    struct entry *next; /* in the same bucket */
    uint64_t hlc;
    uint64_t n; /* with actor: the dot */
    uint32_t actor;
    uint32_t value_len;
    uint16_t deps_len;
    uint8_t key_len;
    bool is_tombstone;
    char bytes[]; /* key, deps, value */
};

_Static_assert(STORE_KEY_BYTES_MAX <= UINT8_MAX, "key_len is a byte");

struct table {
    struct entry **buckets; /* owned; of `bucket_count` in use */
    uint32_t bucket_count, bucket_cap;
    uint32_t live, tombstones;
};

struct store {
    struct hash_seed seed;
    uint64_t bytes, live, tombstones;
    struct table tables[SHARD_SLOTS];
    struct table *dropped; /* owned; what store_sweep() has still to free */
    uint32_t dropped_count, dropped_cap;
};

/* ---- Life ---- */

struct store *store_create(const struct hash_seed *seed) {
    struct store *s = bytes_alloc_zeroed(sizeof *s);
    s->seed = *seed;
    s->bytes = sizeof *s;
    return s;
}

static void table_free(struct table *t) {
    for (uint32_t b = 0; b < t->bucket_count; b++) {
        for (struct entry *e = t->buckets[b], *next; e != NULL; e = next) {
            next = e->next;
            free(e);
        }
    }
    free(t->buckets);
}

void store_free(struct store *s) {
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot++)
        table_free(&s->tables[slot]);
    for (uint32_t i = 0; i < s->dropped_count; i++)
        table_free(&s->dropped[i]);
    free(s->dropped);
    free(s);
}

/* ---- Entries ---- */

/* malloc() keeps eight bytes beside each block and hands out multiples of 16. */
static uint64_t allocated_bytes(size_t size) {
    return ((uint64_t)size + 8 + 15) & ~(uint64_t)15;
}

static size_t entry_size(size_t key_len, size_t deps_len, size_t value_len) {
    return offsetof(struct entry, bytes) + key_len + deps_len + value_len;
}

static uint64_t entry_bytes(const struct entry *e) {
    return allocated_bytes(entry_size(e->key_len, e->deps_len, e->value_len));
}

static struct slice entry_key(const struct entry *e) {
    return (struct slice){e->bytes, e->key_len};
}

static struct version version_of(const struct entry *e) {
    return (struct version){
        .dot = {e->actor, e->n},
        .hlc = e->hlc,
        .is_tombstone = e->is_tombstone,
        .key = entry_key(e),
        .deps = {e->bytes + e->key_len, e->deps_len},
        .value = {e->bytes + e->key_len + e->deps_len, e->value_len},
    };
}

static char *append(char *at, struct slice s) {
    if (s.len > 0) memcpy(at, s.at, s.len);
    return at + s.len;
}

/* NULL when there is no memory. */
static struct entry *entry_create(const struct version *v) {
    assert(v->key.len <= STORE_KEY_BYTES_MAX);
    assert(v->deps.len <= UINT16_MAX && v->value.len <= UINT32_MAX);
    struct entry *e = malloc(entry_size(v->key.len, v->deps.len, v->value.len));
    if (e == NULL) return NULL;
    e->next = NULL;
    e->hlc = v->hlc;
    e->n = v->dot.n;
    e->actor = v->dot.actor;
    e->value_len = (uint32_t)v->value.len;
    e->deps_len = (uint16_t)v->deps.len;
    e->key_len = (uint8_t)v->key.len;
    e->is_tombstone = v->is_tombstone;
    append(append(append(e->bytes, v->key), v->deps), v->value);
    return e;
}

/* ---- Buckets ---- */

static uint32_t power_of_two_up_to(uint32_t n) {
    return (uint32_t)1 << (31 - __builtin_clz(n));
}

static struct entry **bucket_of(const struct table *t, uint64_t hash) {
    uint32_t low = power_of_two_up_to(t->bucket_count);
    uint32_t bucket = (uint32_t)hash & (2 * low - 1);
    if (bucket >= t->bucket_count) bucket &= low - 1;
    return &t->buckets[bucket];
}

static bool make_room_for_bucket(struct store *s, struct table *t) {
    if (t->bucket_count < t->bucket_cap) return true;
    uint32_t cap = t->bucket_cap < 8 ? t->bucket_cap + 2 : t->bucket_cap + t->bucket_cap / 8;
    struct entry **buckets = realloc(t->buckets, cap * sizeof *buckets);
    if (buckets == NULL) return false; /* longer chains serve as well */
    uint64_t before = t->bucket_cap == 0 ? 0 : allocated_bytes(t->bucket_cap * sizeof *buckets);
    s->bytes += allocated_bytes(cap * sizeof *buckets) - before;
    t->buckets = buckets;
    t->bucket_cap = cap;
    return true;
}

/* Adds one bucket and moves into it what belongs there. */
static void grow_by_one_bucket(struct store *s, struct table *t) {
    if (!make_room_for_bucket(s, t)) return;
    uint32_t added = t->bucket_count++;
    t->buckets[added] = NULL;
    if (added == 0) return;
    struct entry **from = &t->buckets[added - power_of_two_up_to(added)];
    while (*from != NULL) {
        struct entry *e = *from;
        struct entry **to = bucket_of(t, hash_seeded(&s->seed, entry_key(e)));
        if (to == &t->buckets[added]) {
            *from = e->next;
            e->next = *to;
            *to = e;
        } else {
            from = &e->next;
        }
    }
}

/* The link that points to the entry of `key`, or the NULL at the end of its chain. */
static struct entry **find_link(const struct table *t, uint64_t hash, struct slice key) {
    struct entry **link = bucket_of(t, hash);
    while (*link != NULL && !slice_equal(entry_key(*link), key))
        link = &(*link)->next;
    return link;
}

/* ---- Finding and putting ---- */

struct store_place store_locate(const struct store *s, struct slice key) {
    return (struct store_place){shard_slot(key), hash_seeded(&s->seed, key)};
}

bool store_find(const struct store *s, struct store_place place, struct slice key,
                struct version *out) {
    const struct table *t = &s->tables[place.slot];
    if (t->bucket_count == 0) return false;
    const struct entry *e = *find_link(t, place.hash, key);
    if (e == NULL) return false;
    *out = version_of(e);
    return true;
}

/* Enters e into the books (one = 1) or takes it out of them (one = -1). */
static void count(struct store *s, struct table *t, const struct entry *e, int64_t one) {
    uint64_t change = (uint64_t)one; /* unsigned sums wrap to the right result */
    s->bytes += change * entry_bytes(e);
    if (e->is_tombstone) {
        t->tombstones += (uint32_t)change;
        s->tombstones += change;
    } else {
        t->live += (uint32_t)change;
        s->live += change;
    }
}

bool store_put(struct store *s, struct store_place place, const struct version *v) {
    struct table *t = &s->tables[place.slot];
    if (t->live + t->tombstones >= t->bucket_count) grow_by_one_bucket(s, t);
    if (t->bucket_count == 0) return false;
    struct entry *e = entry_create(v);
    if (e == NULL) return false;

    struct entry **link = find_link(t, place.hash, v->key);
    struct entry *old = *link;
    if (old != NULL) {
        e->next = old->next;
        count(s, t, old, -1);
    }
    *link = e;
    count(s, t, e, +1);
    free(old);
    return true;
}

int64_t store_growth(const struct version *v, const struct version *old) {
    uint64_t after = allocated_bytes(entry_size(v->key.len, v->deps.len, v->value.len));
    if (old == NULL) return (int64_t)(after + sizeof(struct entry *));
    return (int64_t)(after -
                     allocated_bytes(entry_size(old->key.len, old->deps.len, old->value.len)));
}

/* ---- Dropping ---- */

void store_drop_slot(struct store *s, uint32_t slot) {
    struct table *t = &s->tables[slot];
    s->live -= t->live;
    s->tombstones -= t->tombstones;
    if (t->bucket_cap > 0) {
        if (s->dropped_count == s->dropped_cap) {
            s->dropped_cap = s->dropped_cap == 0 ? 16 : s->dropped_cap * 2;
            s->dropped = bytes_realloc(s->dropped, s->dropped_cap * sizeof *s->dropped);
        }
        s->dropped[s->dropped_count++] = *t;
    }
    *t = (struct table){0};
}

/* Frees the last bucket of a dropped table; with the first one, the table. */
static uint32_t sweep_bucket(struct store *s, struct table *t) {
    uint32_t freed = 0;
    struct entry *e = t->bucket_count == 0 ? NULL : t->buckets[--t->bucket_count];
    for (struct entry *next; e != NULL; e = next, freed++) {
        next = e->next;
        s->bytes -= entry_bytes(e);
        free(e);
    }
    if (t->bucket_count > 0) return freed;
    s->bytes -= allocated_bytes(t->bucket_cap * sizeof *t->buckets);
    free(t->buckets);
    s->dropped_count--;
    return freed;
}

void store_sweep(struct store *s, uint32_t versions_max) {
    uint32_t freed = 0;
    while (s->dropped_count > 0 && freed < versions_max)
        freed += sweep_bucket(s, &s->dropped[s->dropped_count - 1]);
}

/* ---- Counting and walking ---- */

uint64_t store_bytes(const struct store *s) {
    return s->bytes;
}

uint64_t store_live(const struct store *s) {
    return s->live;
}

uint64_t store_tombstones(const struct store *s) {
    return s->tombstones;
}

uint64_t store_slot_live(const struct store *s, uint32_t slot) {
    return s->tables[slot].live;
}

struct store_walk store_walk_slot(uint32_t slot) {
    return (struct store_walk){.slot = slot};
}

bool store_walk_next(const struct store *s, struct store_walk *walk, struct version *out) {
    const struct table *t = &s->tables[walk->slot];
    while (walk->entry == NULL) {
        if (walk->bucket == t->bucket_count) return false;
        walk->entry = t->buckets[walk->bucket++];
    }
    *out = version_of(walk->entry);
    walk->entry = walk->entry->next;
    return true;
}
