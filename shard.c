/* Slots and maps. See shard.h.
 *
 * A reshard deals slots and nodes by the same rule, deal(). How many of them each shard is to have
 * follows from the numbers alone. A shard that has too many lets go of evenly spaced ones, so that
 * what it keeps is still a fair sample: the slots of similar keys are not independent, and a run of
 * neighbours might hold many more keys than its share. What is let go, and what was nobody's, is
 * dealt in turn to the shards that have too few. So a shard that goes on keeps live members, if it
 * has any, together with slots whose keys they have.
 */
#include "shard.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "frame.h"
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

/* Room for so many; there are none yet. */
static void alloc_nodes(struct map *m, uint32_t nodes_max) {
    m->nodes = bytes_alloc(nodes_max * sizeof *m->nodes + 1);
    m->shard_of_node = bytes_alloc(nodes_max * sizeof *m->shard_of_node + 1);
    m->founder = bytes_alloc_zeroed(nodes_max * sizeof *m->founder + 1);
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
    alloc_nodes(m, node_count);
    for (uint32_t i = 0; i < node_count; i++) {
        assert(i == 0 || address_compare(&nodes[i - 1], &nodes[i]) < 0);
        m->nodes[i] = nodes[i];
        m->shard_of_node[i] = i % shard_count;
    }
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot++) {
        m->shard_of_slot[slot] = (uint8_t)(slot % shard_count);
    }
    m->id = first_map_id(m);
    for (uint32_t s = 0; s < shard_count; s++) {
        m->group[s] = first_group_id(m->id, s);
        m->newborn[s] = true;
    }
    return m;
}

void map_free(struct map *m) {
    free(m->nodes);
    free(m->shard_of_node);
    free(m->founder);
    free(m);
}

/* ---- Later maps ---- */

static void add_node(struct map *m, const struct address *node, uint32_t shard) {
    uint32_t i = m->node_count++;
    for (; i > 0 && address_compare(&m->nodes[i - 1], node) > 0; i--) {
        m->nodes[i] = m->nodes[i - 1];
        m->shard_of_node[i] = m->shard_of_node[i - 1];
        m->founder[i] = m->founder[i - 1];
    }
    m->nodes[i] = *node;
    m->shard_of_node[i] = shard;
    m->founder[i] = 0;
}

/* The place of a node in a map, or node_count. */
static uint32_t place_of(const struct map *m, const struct address *node) {
    uint32_t i = 0;
    while (i < m->node_count && address_compare(&m->nodes[i], node) != 0)
        i++;
    return i;
}

static void add_member(struct map *m, const struct address *node, uint32_t shard) {
    uint32_t i = place_of(m, node);
    assert(shard < m->shard_count);
    if (i == m->node_count) {
        add_node(m, node, shard);
        return;
    }
    assert(m->shard_of_node[i] == SHARD_NONE || m->shard_of_node[i] == shard);
    m->shard_of_node[i] = shard;
}

/* ---- Struck off ---- */

/* The place of a node among the struck off, or struck_count. */
static uint32_t struck_place(const struct map *m, const struct address *node) {
    uint32_t i = 0;
    while (i < m->struck_count && address_compare(&m->struck[i].node, node) != 0)
        i++;
    return i;
}

uint64_t map_struck_boot(const struct map *m, const struct address *node) {
    uint32_t i = struck_place(m, node);
    return i < m->struck_count ? m->struck[i].boot : 0;
}

static void pardon(struct map *m, const struct address *node) {
    uint32_t i = struck_place(m, node);
    if (i == m->struck_count) return;
    m->struck_count--;
    memmove(m->struck + i, m->struck + i + 1, (m->struck_count - i) * sizeof *m->struck);
}

static void strike(struct map *m, const struct address *node, uint64_t boot) {
    pardon(m, node); /* an earlier process of it */
    if (m->struck_count == SHARD_STRUCK_MAX) pardon(m, &m->struck[0].node);
    m->struck[m->struck_count++] = (struct struck){*node, boot};
}

static void change_struck(struct map *m, const struct map_change *change) {
    if (change->pardon != NULL) pardon(m, change->pardon);
    for (uint32_t i = 0; i < change->add_count; i++)
        pardon(m, &change->add[i]);
    bool strikes = change->remove != NULL && change->remove_boot != 0;
    if (strikes) strike(m, change->remove, change->remove_boot);
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
    memset(m->newborn, 0, sizeof m->newborn);
    alloc_nodes(m, nodes_max);
    m->node_count = 0;
    for (uint32_t i = 0; i < from->node_count; i++) {
        const struct address *node = &from->nodes[i];
        if (change->remove != NULL && address_compare(node, change->remove) == 0) continue;
        add_node(m, node, from->shard_of_node[i]);
    }
    for (uint32_t i = 0; i < change->add_count; i++)
        add_member(m, &change->add[i], change->shard);
    change_struck(m, change);
    name_later_map(m);
    return m;
}

/* ---- Reshard ---- */

/* `count` things, dealt as evenly as can be. The larger shares go first to the shards that have
 * more than the smaller one: there each saves a move. */
static void choose_shares(uint32_t *share, const uint32_t *has, uint32_t count,
                          uint32_t shard_count) {
    uint32_t smaller = count / shard_count, larger_ones = count % shard_count;
    for (uint32_t s = 0; s < shard_count; s++) {
        share[s] = smaller;
        if (has[s] <= smaller || larger_ones == 0) continue;
        share[s]++;
        larger_ones--;
    }
    for (uint32_t s = 0; s < shard_count && larger_ones > 0; s++) {
        if (share[s] > smaller) continue;
        share[s]++;
        larger_ones--;
    }
}

/* Whether the i-th of `has` things is one of those to let go of. */
static bool is_let_go(uint32_t i, uint32_t has, uint32_t share) {
    uint32_t surplus = has > share ? has - share : 0;
    return (i + 1) * surplus / has > i * surplus / has;
}

/* shard_of: where each thing is, and then where it comes. No such shard: it is nobody's. */
static void deal(uint32_t *shard_of, uint32_t count, uint32_t shard_count) {
    uint32_t has[SHARD_COUNT_MAX] = {0}, seen[SHARD_COUNT_MAX] = {0}, share[SHARD_COUNT_MAX];
    uint32_t taker = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (shard_of[i] < shard_count) has[shard_of[i]]++;
    }
    choose_shares(share, has, count, shard_count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t s = shard_of[i];
        if (s < shard_count && !is_let_go(seen[s]++, has[s], share[s])) continue;
        while (has[taker] >= share[taker])
            taker = (taker + 1) % shard_count;
        has[taker]++;
        shard_of[i] = taker;
        taker = (taker + 1) % shard_count;
    }
}

static void deal_slots(struct map *m, const struct map *from) {
    uint32_t shard_of[SHARD_SLOTS];
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot++)
        shard_of[slot] = from->shard_of_slot[slot];
    deal(shard_of, SHARD_SLOTS, m->shard_count);
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot++)
        m->shard_of_slot[slot] = (uint8_t)shard_of[slot];
}

static void deal_nodes(struct map *m, const struct map *from, const struct map_plan *plan) {
    uint32_t nodes_max = from->node_count + plan->live_count;
    alloc_nodes(m, nodes_max);
    for (uint32_t i = 0; i < plan->live_count; i++) {
        assert(i == 0 || address_compare(&plan->live[i - 1], &plan->live[i]) < 0);
        add_node(m, &plan->live[i], map_shard_of_node(from, &plan->live[i]));
    }
    deal(m->shard_of_node, m->node_count, m->shard_count);
    for (uint32_t i = 0; i < from->node_count; i++) {
        if (!map_has_node(m, &from->nodes[i])) add_node(m, &from->nodes[i], SHARD_NONE);
    }
    assert(m->node_count <= SHARD_NODES_MAX);
}

/* Who is live is no process that was struck off. */
static void keep_struck(struct map *m, const struct map *from) {
    for (uint32_t i = 0; i < from->struck_count; i++) {
        if (!map_has_node(m, &from->struck[i].node)) m->struck[m->struck_count++] = from->struck[i];
    }
}

/* The shard of `from` with exactly the slots of this one, or SHARD_NONE. */
static uint32_t shard_of_same_slots(const struct map *from, const struct map *m, uint32_t shard) {
    const uint8_t *first = memchr(m->shard_of_slot, (int)shard, sizeof m->shard_of_slot);
    uint32_t old = from->shard_of_slot[first - m->shard_of_slot];
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot++) {
        bool is_in = m->shard_of_slot[slot] == shard, was_in = from->shard_of_slot[slot] == old;
        if (is_in != was_in) return SHARD_NONE;
    }
    return old;
}

/* All members are live ones; was one of them in shard `old` of `from`? */
static bool keeps_member(const struct map *m, uint32_t shard, const struct map *from,
                         uint32_t old) {
    for (uint32_t i = 0; i < from->node_count; i++) {
        bool was_in = from->shard_of_node[i] == old;
        if (was_in && map_shard_of_node(m, &from->nodes[i]) == shard) return true;
    }
    return false;
}

static bool has_group(const struct map *m, uint64_t id) {
    for (uint32_t s = 0; s < m->shard_count; s++) {
        if (m->group[s] == id) return true;
    }
    return false;
}

/* As random as the nonce. 0 stands for no group, and an id of `from` would pass for a group that
 * was kept; so both are passed over, unlikely as they are. */
static uint64_t new_group_id(uint64_t nonce, uint32_t shard, const struct map *from) {
    for (uint32_t attempt = 0;; attempt++) {
        char text[64];
        int len = snprintf(text, sizeof text, "founded %016llx s%u %u", (unsigned long long)nonce,
                           shard, attempt);
        uint64_t id = name_of((struct slice){text, (size_t)len});
        if (id != 0 && !has_group(from, id)) return id;
    }
}

static void keep_or_found_groups(struct map *m, const struct map *from) {
    for (uint32_t s = 0; s < m->shard_count; s++) {
        uint32_t old = shard_of_same_slots(from, m, s);
        m->newborn[s] = old == SHARD_NONE || !keeps_member(m, s, from, old);
        m->group[s] = m->newborn[s] ? new_group_id(m->nonce, s, from) : from->group[old];
    }
}

static void name_founders(struct map *m, const struct map_plan *plan) {
    for (uint32_t i = 0; i < plan->live_count; i++) {
        uint32_t place = place_of(m, &plan->live[i]);
        assert(plan->boots[i] != 0);
        if (m->newborn[m->shard_of_node[place]]) m->founder[place] = plan->boots[i];
    }
}

struct map *map_reshard(const struct map *from, const struct map_plan *plan) {
    assert(plan->shard_count >= 1 && plan->shard_count <= SHARD_COUNT_MAX);
    assert(plan->shard_count <= plan->live_count);
    struct map *m = bytes_alloc_zeroed(sizeof *m);
    m->is_explicit = true;
    m->epoch = from->epoch + 1;
    m->live_count = plan->live_count;
    m->proposer = *plan->proposer;
    m->nonce = plan->nonce;
    m->shard_count = plan->shard_count;
    deal_slots(m, from);
    deal_nodes(m, from, plan);
    keep_struck(m, from);
    keep_or_found_groups(m, from);
    name_founders(m, plan);
    name_later_map(m);
    return m;
}

/* ---- The order of maps ---- */

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

void map_encode(struct buffer *out, const struct map *m) {
    put_u8(out, m->is_explicit);
    put_u32(out, m->epoch);
    put_u32(out, m->live_count);
    put_address(out, &m->proposer);
    wire_put_u64(out, m->nonce);
    put_u8(out, (uint8_t)m->shard_count);
    for (uint32_t s = 0; s < m->shard_count; s++) {
        wire_put_u64(out, m->group[s]);
        put_u8(out, m->newborn[s]);
    }
    put_u16(out, (uint16_t)m->node_count);
    for (uint32_t i = 0; i < m->node_count; i++) {
        put_address(out, &m->nodes[i]);
        put_u8(out, (uint8_t)m->shard_of_node[i]); /* of SHARD_NONE: UINT8_MAX */
        wire_put_u64(out, m->founder[i]);
    }
    put_u8(out, (uint8_t)m->struck_count);
    for (uint32_t i = 0; i < m->struck_count; i++) {
        wire_put_u64(out, m->struck[i].boot);
        put_address(out, &m->struck[i].node);
    }
    buffer_put(out, (struct slice){(const char *)m->shard_of_slot, sizeof m->shard_of_slot});
}

/* A first map has none: an empty text stands in its place. */
static bool take_proposer(struct slice *rest, struct address *out) {
    struct slice ahead = *rest;
    uint16_t len;
    if (!take_u16(&ahead, &len)) return false;
    if (len > 0) return take_address(rest, out);
    *rest = ahead;
    return true;
}

static bool take_head(struct slice *rest, struct map *m) {
    uint8_t is_explicit, shard_count;
    bool taken = take_flags(rest, 1, &is_explicit) && take_u32(rest, &m->epoch) &&
                 take_u32(rest, &m->live_count) && take_proposer(rest, &m->proposer) &&
                 take_u64(rest, &m->nonce) && take_u8(rest, &shard_count);
    if (!taken) return false;
    m->is_explicit = is_explicit;
    m->shard_count = shard_count;
    return shard_count >= 1 && shard_count <= SHARD_COUNT_MAX && m->epoch >= 1 &&
           m->epoch < SHARD_EPOCH_MAX;
}

static bool take_groups(struct slice *rest, struct map *m) {
    for (uint32_t s = 0; s < m->shard_count; s++) {
        uint8_t newborn;
        bool good = take_u64(rest, &m->group[s]) && take_flags(rest, 1, &newborn);
        if (!good || m->group[s] == 0) return false; /* 0 stands for no group */
        m->newborn[s] = newborn;
    }
    return true;
}

static bool take_node(struct slice *rest, struct map *m) {
    struct address node;
    uint8_t shard;
    uint64_t founder;
    bool good = take_address(rest, &node) && take_u8(rest, &shard) && take_u64(rest, &founder) &&
                (shard < m->shard_count || shard == UINT8_MAX) &&
                (m->node_count == 0 || address_compare(&m->nodes[m->node_count - 1], &node) < 0);
    if (!good) return false;
    bool founds = m->epoch > 1 && shard != UINT8_MAX && m->newborn[shard];
    add_node(m, &node, shard == UINT8_MAX ? SHARD_NONE : shard);
    m->founder[m->node_count - 1] = founder;
    return founds == (founder != 0);
}

static bool take_nodes(struct slice *rest, struct map *m) {
    uint16_t count;
    if (!take_u16(rest, &count) || count > SHARD_NODES_MAX) return false;
    alloc_nodes(m, count);
    for (uint16_t i = 0; i < count; i++) {
        if (!take_node(rest, m)) return false;
    }
    return true;
}

static bool take_struck(struct slice *rest, struct map *m) {
    uint8_t count;
    if (!take_u8(rest, &count) || count > SHARD_STRUCK_MAX) return false;
    for (uint8_t i = 0; i < count; i++) {
        struct struck s;
        bool good = take_u64(rest, &s.boot) && s.boot != 0 && take_address(rest, &s.node) &&
                    !map_has_node(m, &s.node) && map_struck_boot(m, &s.node) == 0;
        if (!good) return false;
        m->struck[m->struck_count++] = s;
    }
    return true;
}

static bool take_slots(struct slice *rest, struct map *m) {
    const char *at;
    if (!take_bytes(rest, sizeof m->shard_of_slot, &at)) return false;
    memcpy(m->shard_of_slot, at, sizeof m->shard_of_slot);
    for (uint32_t s = 0; s < SHARD_SLOTS; s++) {
        if (m->shard_of_slot[s] >= m->shard_count) return false;
    }
    return true;
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
    struct slice rest = bytes;
    struct map *m = bytes_alloc_zeroed(sizeof *m);
    bool good = take_head(&rest, m) && take_groups(&rest, m) && take_nodes(&rest, m) &&
                take_struck(&rest, m) && take_slots(&rest, m) && rest.len == 0;
    if (good && name_decoded(m, bytes)) return m;
    map_free(m);
    return NULL;
}

/* ---- Questions ---- */

bool map_has_node(const struct map *m, const struct address *node) {
    return place_of(m, node) < m->node_count;
}

uint32_t map_shard_of_node(const struct map *m, const struct address *node) {
    uint32_t i = place_of(m, node);
    return i < m->node_count ? m->shard_of_node[i] : SHARD_NONE;
}

bool map_founds(const struct map *m, const struct address *node, uint64_t boot) {
    uint32_t i = place_of(m, node);
    if (i == m->node_count || m->shard_of_node[i] == SHARD_NONE) return false;
    return m->newborn[m->shard_of_node[i]] && (m->epoch == 1 || m->founder[i] == boot);
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
