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
