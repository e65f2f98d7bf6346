/* Which maps there are, who lives by which, and who belonged to which group when.
 *
 * The simulator looks at a node after each of its turns and before each of its answers are judged,
 * and keeps a copy of each map that it finds. From these it knows the owners of a key and what
 * a group is.
 */
#include "sim.h"

#include <stdlib.h>

void maps_free(struct sim *s) {
    for (uint32_t i = 0; i < s->maps.count; i++)
        map_free(s->maps.list[i].map);
    free(s->maps.list);
    free(s->maps.tenures);
}

/* ---- Maps ---- */

bool maps_greater(const struct sim *s, uint32_t a, uint32_t b) {
    return map_less(s->maps.list[b].map, s->maps.list[a].map);
}

uint32_t maps_named(const struct sim *s, struct map_ref ref) {
    for (uint32_t i = 0; i < s->maps.count; i++) {
        const struct map *m = s->maps.list[i].map;
        if (m->epoch == ref.epoch && (uint32_t)(m->id >> 32) == ref.id) return i;
    }
    return MAP_NONE;
}

uint32_t maps_owners(const struct sim *s, uint32_t map, uint32_t key) {
    const struct sim_map *m = &s->maps.list[map];
    return m->rosters[m->shard_of_key[key]];
}

bool maps_owns(const struct sim *s, uint32_t h, uint32_t key) {
    uint32_t map = s->check.hosts[h].map;
    return map != MAP_NONE && (maps_owners(s, map, key) >> h & 1) != 0;
}

uint32_t maps_roster_of(const struct sim *s, uint32_t h) {
    uint32_t map = s->check.hosts[h].map;
    if (map == MAP_NONE) return 0;
    const struct sim_map *m = &s->maps.list[map];
    uint32_t shard = map_shard_of_node(m->map, &s->hosts[h].address);
    return shard == SHARD_NONE ? 0 : m->rosters[shard];
}

static struct map *copy_of(const struct map *map) {
    struct buffer bytes = {0};
    map_encode(&bytes, map);
    struct map *copy = map_decode(buffer_slice(&bytes));
    buffer_free(&bytes);
    return copy;
}

static void learn_groups(struct sim *s, const struct sim_map *m) {
    for (uint32_t shard = 0; shard < m->map->shard_count; shard++) {
        bool has[KEYS_MAX];
        for (uint32_t k = 0; k < KEYS_MAX; k++)
            has[k] = m->shard_of_key[k] == shard;
        truth_learn_group(&s->truth, m->map->group[shard], has);
    }
}

/* The place of a map; it is copied when it is new. */
static uint32_t place_of(struct sim *s, uint32_t h, const struct map *map) {
    struct sim_maps *ms = &s->maps;
    for (uint32_t i = 0; i < ms->count; i++) {
        if (ms->list[i].map->id == map->id) return i;
    }
    if (ms->count == ms->cap) {
        ms->cap = ms->cap == 0 ? 8 : ms->cap * 2;
        ms->list = bytes_realloc(ms->list, ms->cap * sizeof *ms->list);
    }
    struct sim_map *m = &ms->list[ms->count];
    *m = (struct sim_map){.map = copy_of(map)};
    if (m->map == NULL) base_violation(&s->base, "I12", "n%u lives by a map that is none", h);
    for (uint32_t k = 0; k < KEYS_MAX; k++)
        m->shard_of_key[k] = map->shard_of_slot[s->slots[k]];
    for (uint32_t i = 0; i < map->node_count; i++) {
        uint32_t host = host_at(s, &map->nodes[i]), shard = map->shard_of_node[i];
        if (host < s->plan.hosts && shard != SHARD_NONE) m->rosters[shard] |= 1u << host;
    }
    learn_groups(s, m);
    return ms->count++;
}

static void put_hosts(struct buffer *out, const char *before, uint32_t hosts) {
    buffer_put(out, slice_of(before));
    for (uint32_t h = 0; h < HOSTS_MAX; h++) {
        if ((hosts >> h & 1) == 0) continue;
        buffer_put(out, SLICE(" n"));
        buffer_put_u64(out, h);
    }
    buffer_put(out, SLICE(" }"));
}

/* "map 3: epoch 4 by n1, explicit, 9f3c01d2; s0 { n0 n2 } k0 k3; s1 { n1 n3 } k1" */
static void say_map(const struct sim *s, uint32_t h, uint32_t at) {
    const struct sim_map *m = &s->maps.list[at];
    if (!s->base.loud) return;
    struct buffer text = {0};
    for (uint32_t shard = 0; shard < m->map->shard_count; shard++) {
        char id[SHARD_ID_BYTES];
        shard_id_text(shard, id);
        buffer_put(&text, SLICE("; "));
        buffer_put(&text, slice_of(id));
        put_hosts(&text, " {", m->rosters[shard]);
        for (uint32_t k = 0; k < s->plan.keys; k++) {
            if (m->shard_of_key[k] != shard) continue;
            buffer_put(&text, SLICE(" k"));
            buffer_put_u64(&text, k);
        }
    }
    buffer_put_char(&text, '\0');
    uint32_t by = m->map->epoch == 1 ? h : host_at(s, &m->map->proposer);
    base_say(&s->base, "  n%u lives by map %u: epoch %u by n%u, %s, %08x%s", h, at, m->map->epoch,
             by, m->map->is_explicit ? "explicit" : "automatic", (unsigned)(m->map->id >> 32),
             text.at);
    buffer_free(&text);
}

/* ---- Groups ---- */

static void change_group(struct sim *s, uint32_t h, uint64_t group) {
    struct sim_maps *ms = &s->maps;
    struct check_host *c = &s->check.hosts[h];
    uint64_t boot = s->hosts[h].boot;
    if (c->group == group) return;
    for (uint32_t i = 0; i < ms->tenure_count; i++) {
        struct tenure *t = &ms->tenures[i];
        if (t->boot == boot && t->group == c->group) t->until_us = s->base.now_us;
    }
    if (ms->tenure_count == ms->tenure_cap) {
        ms->tenure_cap = ms->tenure_cap == 0 ? 32 : ms->tenure_cap * 2;
        ms->tenures = bytes_realloc(ms->tenures, ms->tenure_cap * sizeof *ms->tenures);
    }
    ms->tenures[ms->tenure_count++] = (struct tenure){boot, group, UINT64_MAX};
    c->group = group;
    c->group_since_us = s->base.now_us;
}

/* Before a node has decided for a map, it shows the one that it would draw, and is in no shard. */
void maps_look(struct sim *s, uint32_t h) {
    const struct node *n = s->hosts[h].node;
    struct check_host *c = &s->check.hosts[h];
    const struct map *map = node_map(n);
    uint32_t shard = map_shard_of_node(map, &s->hosts[h].address), before = c->map;
    if (shard != node_shard(n) || node_is_resuming(n)) return;
    if (before != MAP_NONE && s->maps.list[before].map->id == map->id) return;
    uint32_t now = place_of(s, h, map);
    if (before != MAP_NONE && !maps_greater(s, now, before)) {
        base_violation(&s->base, "I12", "n%u: map %u, which is smaller, after map %u", h, now,
                       before);
    }
    c->map = now;
    if (before != MAP_NONE) s->maps.changed_us = s->base.now_us;
    change_group(s, h, shard == SHARD_NONE ? 0 : map->group[shard]);
    say_map(s, h, now);
}

void maps_check_writer(struct sim *s, uint32_t write) {
    const struct truth_write *w = &s->truth.writes[write];
    const struct truth_actor *a = &s->truth.actors[w->actor];
    bool was_member = false;
    for (uint32_t i = 0; i < s->maps.tenure_count; i++) {
        const struct tenure *t = &s->maps.tenures[i];
        was_member |= t->boot == a->boot && t->group == a->group && t->until_us >= w->sent_us;
    }
    if (was_member && truth_concerns(&s->truth, w->actor, w->key)) return;
    base_violation(&s->base, "I11", "w%u of k%u is of actor %016llx, whose group %s", write, w->key,
                   (unsigned long long)a->id,
                   was_member ? "has not that key" : "its node was not in then");
}
