/* Slots and maps. See shard.h. */
#include "shard.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "hash.h"

_Static_assert(SHARD_COUNT_MAX <= UINT8_MAX, "shard_of_slot holds a shard in a byte");
_Static_assert(SHARD_COUNT_MAX <= 100, "SHARD_ID_BYTES has room for two digits");

uint32_t shard_slot(struct slice key) {
    return hash_crc32(key) % SHARD_SLOTS;
}

/* ---- Maps ---- */

/* A name for immutable content, the same on every node. */
static uint64_t name_of(struct slice content) {
    static const struct hash_seed fixed;
    return hash_seeded(&fixed, content);
}

/* The id of a first map: it depends on nothing but the sorted VIEW and the number of shards. */
static uint64_t first_map_id(const struct map *m) {
    struct buffer canonical = {0};
    buffer_put(&canonical, m->is_explicit ? SLICE("explicit 1 ") : SLICE("automatic 1 "));
    buffer_put_u64(&canonical, m->shard_count);
    for (uint32_t i = 0; i < m->node_count; i++) {
        buffer_put_char(&canonical, ' ');
        buffer_put(&canonical, address_text(&m->nodes[i]));
    }
    uint64_t id = name_of(buffer_slice(&canonical));
    buffer_free(&canonical);
    return id;
}

static uint64_t first_group_id(uint64_t map_id, uint32_t shard) {
    char text[32];
    int len = snprintf(text, sizeof text, "%016llx s%u", (unsigned long long)map_id, shard);
    return name_of((struct slice){text, (size_t)len});
}

struct map *map_create_first(const struct address *nodes, uint32_t node_count, uint32_t shard_count,
                             bool is_explicit) {
    assert(shard_count >= 1 && shard_count <= SHARD_COUNT_MAX && shard_count <= node_count);
    struct map *m = bytes_alloc_zeroed(sizeof *m);
    m->epoch = 1;
    m->live_count = node_count;
    m->is_explicit = is_explicit;
    m->shard_count = shard_count;
    m->node_count = node_count;
    m->nodes = bytes_alloc(node_count * sizeof *m->nodes);
    m->shard_of_node = bytes_alloc(node_count * sizeof *m->shard_of_node);
    for (uint32_t i = 0; i < node_count; i++) {
        assert(i == 0 || address_compare(&nodes[i - 1], &nodes[i]) < 0);
        m->nodes[i] = nodes[i];
        m->shard_of_node[i] = i % shard_count;
    }
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot++) {
        m->shard_of_slot[slot] = (uint8_t)(slot % shard_count);
    }
    m->id = first_map_id(m);
    for (uint32_t s = 0; s < shard_count; s++)
        m->group[s] = first_group_id(m->id, s);
    return m;
}

void map_free(struct map *m) {
    free(m->nodes);
    free(m->shard_of_node);
    free(m);
}

/* ---- Later maps ---- */

static void add_node(struct map *m, const struct address *node, uint32_t shard) {
    uint32_t i = m->node_count++;
    for (; i > 0 && address_compare(&m->nodes[i - 1], node) > 0; i--) {
        m->nodes[i] = m->nodes[i - 1];
        m->shard_of_node[i] = m->shard_of_node[i - 1];
    }
    m->nodes[i] = *node;
    m->shard_of_node[i] = shard;
}

static void name_later_map(struct map *m) {
    struct buffer canonical = {0};
    map_encode(&canonical, m);
    m->id = name_of(buffer_slice(&canonical));
    buffer_free(&canonical);
}

struct map *map_derive(const struct map *from, const struct map_change *change) {
    struct map *m = bytes_alloc(sizeof *m);
    uint32_t nodes_max = from->node_count + change->add_count;
    *m = *from;
    m->epoch++;
    m->live_count = change->live_count;
    m->proposer = *change->proposer;
    m->nonce = change->nonce;
    m->nodes = bytes_alloc(nodes_max * sizeof *m->nodes);
    m->shard_of_node = bytes_alloc(nodes_max * sizeof *m->shard_of_node);
    m->node_count = 0;
    for (uint32_t i = 0; i < from->node_count; i++) {
        const struct address *node = &from->nodes[i];
        if (change->remove != NULL && address_compare(node, change->remove) == 0) continue;
        add_node(m, node, from->shard_of_node[i]);
    }
    for (uint32_t i = 0; i < change->add_count; i++)
        add_node(m, &change->add[i], change->shard);
    name_later_map(m);
    return m;
}

bool map_less(const struct map *a, const struct map *b) {
    if (a->is_explicit != b->is_explicit) return b->is_explicit;
    if (a->epoch != b->epoch) return a->epoch < b->epoch;
    if (a->live_count != b->live_count) return a->live_count < b->live_count;
    int proposers = address_compare(&a->proposer, &b->proposer);
    if (proposers != 0) return proposers < 0;
    if (a->nonce != b->nonce) return a->nonce < b->nonce;
    return a->id < b->id;
}

/* ---- Maps as bytes ---- */

static void put_number(struct buffer *out, uint64_t number, unsigned bytes) {
    for (unsigned i = bytes; i-- > 0;)
        buffer_put_char(out, (char)(number >> (8 * i)));
}

static void put_text(struct buffer *out, struct slice text) {
    put_number(out, text.len, 2);
    buffer_put(out, text);
}

void map_encode(struct buffer *out, const struct map *m) {
    put_number(out, m->is_explicit, 1);
    put_number(out, m->epoch, 4);
    put_number(out, m->live_count, 4);
    put_text(out, address_text(&m->proposer));
    put_number(out, m->nonce, 8);
    put_number(out, m->shard_count, 1);
    for (uint32_t s = 0; s < m->shard_count; s++)
        put_number(out, m->group[s], 8);
    put_number(out, m->node_count, 2);
    for (uint32_t i = 0; i < m->node_count; i++) {
        put_text(out, address_text(&m->nodes[i]));
        put_number(out, m->shard_of_node[i] == SHARD_NONE ? UINT8_MAX : m->shard_of_node[i], 1);
    }
    buffer_put(out, (struct slice){(const char *)m->shard_of_slot, sizeof m->shard_of_slot});
}

/* Reading: whatever does not fit sets `bad`, and then everything reads as 0. */
struct map_reader {
    struct slice rest;
    bool bad;
};

static struct slice take_bytes(struct map_reader *r, size_t count) {
    if (r->bad || r->rest.len < count) {
        r->bad = true;
        return (struct slice){0};
    }
    struct slice taken = {r->rest.at, count};
    r->rest = (struct slice){r->rest.at + count, r->rest.len - count};
    return taken;
}

static uint64_t take_number(struct map_reader *r, unsigned bytes) {
    struct slice s = take_bytes(r, bytes);
    uint64_t number = 0;
    for (size_t i = 0; i < s.len; i++)
        number = number << 8 | (unsigned char)s.at[i];
    return number;
}

static struct slice take_text(struct map_reader *r) {
    return take_bytes(r, (size_t)take_number(r, 2));
}

static void take_node(struct map_reader *r, struct map *m) {
    struct address node;
    struct slice text = take_text(r);
    uint64_t shard = take_number(r, 1);
    bool good = !r->bad && address_parse(text, &node) == NULL &&
                slice_equal(address_text(&node), text) &&
                (shard < m->shard_count || shard == UINT8_MAX) &&
                (m->node_count == 0 || address_compare(&m->nodes[m->node_count - 1], &node) < 0);
    r->bad = r->bad || !good;
    if (good) add_node(m, &node, shard == UINT8_MAX ? SHARD_NONE : (uint32_t)shard);
}

static void take_slots(struct map_reader *r, struct map *m) {
    struct slice slots = take_bytes(r, sizeof m->shard_of_slot);
    for (size_t s = 0; s < slots.len; s++) {
        m->shard_of_slot[s] = (uint8_t)slots.at[s];
        r->bad = r->bad || m->shard_of_slot[s] >= m->shard_count;
    }
}

static void take_map(struct map_reader *r, struct map *m) {
    m->is_explicit = take_number(r, 1) == 1;
    m->epoch = (uint32_t)take_number(r, 4);
    m->live_count = (uint32_t)take_number(r, 4);
    struct slice proposer = take_text(r);
    if (proposer.len > 0 && address_parse(proposer, &m->proposer) != NULL) r->bad = true;
    m->nonce = take_number(r, 8);
    m->shard_count = (uint32_t)take_number(r, 1);
    if (m->shard_count < 1 || m->shard_count > SHARD_COUNT_MAX || m->epoch < 1 ||
        m->epoch >= SHARD_EPOCH_MAX)
        r->bad = true;
    for (uint32_t s = 0; s < m->shard_count && !r->bad; s++) {
        m->group[s] = take_number(r, 8);
        r->bad = r->bad || m->group[s] == 0; /* stands for no group */
    }
    uint64_t nodes = take_number(r, 2);
    if (nodes > SHARD_NODES_MAX) r->bad = true;
    m->nodes = bytes_alloc((r->bad ? 0 : nodes) * sizeof *m->nodes + 1);
    m->shard_of_node = bytes_alloc((r->bad ? 0 : nodes) * sizeof *m->shard_of_node + 1);
    for (uint64_t i = 0; i < nodes && !r->bad; i++)
        take_node(r, m);
    take_slots(r, m);
}

static bool is_encoding_of(const struct map *m, struct slice bytes) {
    struct buffer canonical = {0};
    map_encode(&canonical, m);
    bool same = slice_equal(buffer_slice(&canonical), bytes);
    buffer_free(&canonical);
    return same;
}

/* A later map has one encoding, which names it: a node that passes it on must pass on these bytes.
 * A first map must be the one that everybody computes from its nodes. */
static bool name_decoded(struct map *m, struct slice bytes) {
    if (m->epoch > 1) {
        m->id = name_of(bytes);
        return is_encoding_of(m, bytes);
    }
    if (m->node_count == 0 || m->shard_count > m->node_count) return false;
    struct map *same = map_create_first(m->nodes, m->node_count, m->shard_count, m->is_explicit);
    bool good = is_encoding_of(same, bytes);
    m->id = same->id;
    map_free(same);
    return good;
}

struct map *map_decode(struct slice bytes) {
    struct map_reader r = {.rest = bytes};
    struct map *m = bytes_alloc_zeroed(sizeof *m);
    take_map(&r, m);
    if (!r.bad && r.rest.len == 0 && name_decoded(m, bytes)) return m;
    map_free(m);
    return NULL;
}

/* ---- Questions ---- */

bool map_has_node(const struct map *m, const struct address *node) {
    for (uint32_t i = 0; i < m->node_count; i++) {
        if (address_compare(&m->nodes[i], node) == 0) return true;
    }
    return false;
}

uint32_t map_shard_of_node(const struct map *m, const struct address *node) {
    for (uint32_t i = 0; i < m->node_count; i++) {
        if (address_compare(&m->nodes[i], node) == 0) return m->shard_of_node[i];
    }
    return SHARD_NONE;
}

/* ---- Shard ids ---- */

void shard_id_text(uint32_t shard, char out[SHARD_ID_BYTES]) {
    assert(shard < SHARD_COUNT_MAX);
    *out++ = 's';
    if (shard >= 10) *out++ = (char)('0' + shard / 10);
    *out++ = (char)('0' + shard % 10);
    *out = '\0';
}

uint32_t shard_of_id_text(const struct map *m, struct slice text) {
    uint64_t n;
    if (text.len < 2 || text.len >= SHARD_ID_BYTES || text.at[0] != 's') return SHARD_NONE;
    if (!slice_to_u64((struct slice){text.at + 1, text.len - 1}, &n)) return SHARD_NONE;
    bool leading_zero = text.len > 2 && text.at[1] == '0';
    return n < m->shard_count && !leading_zero ? (uint32_t)n : SHARD_NONE;
}
