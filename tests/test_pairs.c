/* Pairs of a store in their order, and chunks of them. */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>

#include "../pairs.h"

static struct store *store_of(unsigned keys, size_t value_len) {
    static const struct hash_seed seed = {1, 2};
    struct store *s = store_create(&seed);
    char *value = bytes_alloc(value_len);
    memset(value, '7', value_len);
    for (unsigned i = 0; i < keys; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%u", i);
        struct version v = {.key = slice_of(key), .value = {value, value_len}};
        CHECK(store_put(s, store_locate(s, v.key), &v));
    }
    free(value);
    return s;
}

static struct slots all_slots(void) {
    struct slots all;
    memset(&all, 0xff, sizeof all);
    return all;
}

/* Reads all pairs, chunk after chunk, as a listing does. Returns how many; *chunks, how many of
 * those. */
static unsigned read_all(const struct store *s, const struct slots *owned, uint32_t limit,
                         struct slice prefix, unsigned *chunks) {
    struct buffer bytes = {0}, last = {0};
    struct pairs_chunk c;
    unsigned pairs = 0;
    uint32_t slot = slots_next(owned, 0);
    for (*chunks = 0; slot < SHARD_SLOTS; ++*chunks) {
        bool inside = last.len > 0 && shard_slot(buffer_slice(&last)) == slot;
        struct slice key, value, after = inside ? buffer_slice(&last) : (struct slice){0};
        struct pairs_query q = {slot, after, limit, prefix};
        uint32_t from = slot, in_chunk = 0;
        bytes.len = 0;
        pairs_put_chunk(&bytes, s, owned, &q);
        if (!CHECK(pairs_read_chunk(buffer_slice(&bytes), &c))) break;
        for (; pairs_peek(&c, &key, &value); pairs_skip(&c), in_chunk++, pairs++) {
            uint32_t at = shard_slot(key);
            CHECK(at >= slot && slots_has(owned, at) && slice_starts_with(key, prefix));
            bool same = last.len > 0 && at == shard_slot(buffer_slice(&last));
            if (same) CHECK(slice_compare(key, buffer_slice(&last)) > 0);
            slot = at;
            last.len = 0;
            buffer_put(&last, key);
        }
        CHECK(in_chunk <= limit);
        CHECK(in_chunk > 0 || slots_has(&c.slots, from));
        while (slot < SHARD_SLOTS && slots_has(&c.slots, slot))
            slot = slots_next(owned, slot + 1);
    }
    buffer_free(&bytes);
    buffer_free(&last);
    return pairs;
}

static void chunk_after_chunk_gives_all_pairs_in_order(void) {
    static const uint32_t limits[] = {1, 2, 7, 1000, UINT32_MAX};
    struct store *s = store_of(3000, 100);
    struct slots owned = all_slots();
    unsigned chunks;
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        kit_note("limit %u", limits[i]);
        CHECK_U64(read_all(s, &owned, limits[i], SLICE(""), &chunks), 3000);
        CHECK_U64(read_all(s, &owned, limits[i], SLICE("k29"), &chunks), 111);
    }
    CHECK_U64(read_all(s, &owned, UINT32_MAX, SLICE(""), &chunks), 3000);
    CHECK(chunks >= 4 && chunks <= 6); /* 300,000 bytes and some */
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot += 2)
        slots_remove(&owned, slot);
    unsigned odd = read_all(s, &owned, UINT32_MAX, SLICE(""), &chunks);
    CHECK(odd > 1000 && odd < 2000);
    store_free(s);
}

static void values_larger_than_a_chunk_come_one_by_one(void) {
    struct store *s = store_of(20, 2 * PAIRS_CHUNK_BYTES);
    struct slots owned = all_slots();
    unsigned chunks;
    CHECK_U64(read_all(s, &owned, UINT32_MAX, SLICE(""), &chunks), 20);
    CHECK(chunks >= 20);
    store_free(s);
}

static void keys_that_are_not_wanted_end_a_chunk_too(void) {
    struct store *s = store_of(3 * PAIRS_CHUNK_WALK, 1);
    struct slots owned = all_slots();
    unsigned chunks;
    CHECK_U64(read_all(s, &owned, UINT32_MAX, SLICE("x"), &chunks), 0);
    CHECK(chunks >= 3 && chunks <= 4);
    store_free(s);
}

static void an_empty_chunk_is_complete(void) {
    struct store *s = store_of(0, 1);
    struct slots owned = all_slots();
    struct buffer out = {0};
    struct pairs_chunk c;
    struct slice key, value;
    struct pairs_query q = {.slot = 1000, .limit = 1};
    pairs_put_chunk(&out, s, &owned, &q);
    CHECK_U64(out.len, SHARD_SLOTS / 8);
    CHECK(pairs_read_chunk(buffer_slice(&out), &c) && !pairs_peek(&c, &key, &value));
    CHECK(!slots_has(&c.slots, 999) && slots_next(&c.slots, 0) == 1000);
    CHECK(slots_has(&c.slots, 1023));
    buffer_free(&out);
    store_free(s);
}

static void malformed_chunks_and_queries_are_refused(void) {
    struct guard guard = guard_create();
    struct store *s = store_of(30, 5);
    struct slots owned = all_slots();
    struct buffer out = {0};
    struct pairs_chunk c;
    struct pairs_query q = {.limit = UINT32_MAX, .prefix = SLICE("k")}, got;
    struct slice key, value;
    pairs_put_chunk(&out, s, &owned, &q);
    unsigned good = 0;
    for (size_t len = 0; len <= out.len; len++) {
        struct slice cut = {guard_end(&guard, (struct slice){out.at, len}), len};
        bool reads = pairs_read_chunk(cut, &c);
        good += reads;
        if (reads && len > SHARD_SLOTS / 8) CHECK(pairs_peek(&c, &key, &value));
    }
    CHECK_U64(good, 31); /* behind the slots, and behind each pair */
    out.at[SHARD_SLOTS / 8] = out.at[SHARD_SLOTS / 8 + 1] = 0; /* a key of no bytes */
    CHECK(!pairs_read_chunk(buffer_slice(&out), &c));
    out.len = 0;
    pairs_put_query(&out, &q);
    CHECK(pairs_read_query(buffer_slice(&out), &got) && got.limit == q.limit);
    CHECK_SLICE(got.prefix, q.prefix);
    CHECK(!pairs_read_query((struct slice){out.at, 3}, &got));
    memset(out.at, 0, 4);
    CHECK(!pairs_read_query(buffer_slice(&out), &got));
    buffer_free(&out);
    store_free(s);
    guard_free(&guard);
}

/* Keys of 32 bytes that are in one slot: of CRCs that agree in ten bits. */
static struct store *store_of_one_slot(unsigned keys) {
    struct store *s = store_of(0, 1);
    char key[33];
    for (unsigned i = 0, found = 0; found < keys; i++) {
        snprintf(key, sizeof key, "%032x", i * 2654435761u);
        struct version v = {.key = slice_of(key), .value = SLICE("1")};
        if (shard_slot(v.key) != 7) continue;
        CHECK(store_put(s, store_locate(s, v.key), &v));
        found++;
    }
    return s;
}

static void a_slot_with_many_keys_is_gathered_in_parts(void) {
    enum { KEYS = 2 * PAIRS_KEYS_MAX + 700 };
    struct store *s = store_of_one_slot(KEYS);
    struct slots owned = all_slots();
    struct pairs p = {0};
    struct version v;
    struct buffer last = {0};
    size_t most_bytes = 0;
    unsigned pairs = 0, chunks;
    pairs_gather(&p, s, 7, SLICE("0"), (struct slice){0});
    for (; pairs_next(&p, s, &v); pairs++) {
        CHECK(slice_compare(v.key, buffer_slice(&last)) > 0);
        last.len = 0;
        buffer_put(&last, v.key);
        if (p.bytes.len > most_bytes) most_bytes = p.bytes.len;
    }
    CHECK_U64(pairs, KEYS);
    CHECK_U64(most_bytes, PAIRS_KEYS_MAX * 32);
    CHECK(pairs_at_end(&p));
    CHECK_U64(read_all(s, &owned, UINT32_MAX, SLICE(""), &chunks), KEYS);
    CHECK_U64(read_all(s, &owned, PAIRS_KEYS_MAX, SLICE(""), &chunks), KEYS);
    buffer_free(&last);
    pairs_free(&p);
    store_free(s);
}

int main(void) {
    RUN(a_slot_with_many_keys_is_gathered_in_parts);
    RUN(chunk_after_chunk_gives_all_pairs_in_order);
    RUN(values_larger_than_a_chunk_come_one_by_one);
    RUN(keys_that_are_not_wanted_end_a_chunk_too);
    RUN(an_empty_chunk_is_complete);
    RUN(malformed_chunks_and_queries_are_refused);
    return kit_finish();
}
