/* Known maps and their groups. See maps.h. */
#include "maps.h"

#include <stdlib.h>

static struct group *add_group(struct maps *ms, uint64_t id) {
    ms->groups = bytes_realloc(ms->groups, (ms->group_count + 1) * sizeof *ms->groups);
    struct group *g = &ms->groups[ms->group_count++];
    *g = (struct group){.id = id};
    return g;
}

void maps_add_foreign(struct maps *ms, uint64_t group) {
    if (maps_slots(ms, group) == NULL) add_group(ms, group);
}

static void learn_groups(struct maps *ms, const struct map *m) {
    for (uint32_t shard = 0; shard < m->shard_count; shard++) {
        if (maps_slots(ms, m->group[shard]) != NULL) continue;
        struct group *g = add_group(ms, m->group[shard]);
        for (uint32_t s = 0; s < SHARD_SLOTS; s++) {
            if (m->shard_of_slot[s] == shard) slots_add(&g->slots, s);
        }
    }
}

void maps_add(struct maps *ms, struct map *m) {
    ms->list = bytes_realloc(ms->list, (ms->count + 1) * sizeof *ms->list);
    ms->list[ms->count++] = m;
    learn_groups(ms, m);
}

void maps_init(struct maps *ms, struct map *first) {
    *ms = (struct maps){.map = first};
    maps_add(ms, first);
}

void maps_clear(struct maps *ms) {
    for (uint32_t i = 0; i < ms->count; i++)
        map_free(ms->list[i]);
    free(ms->list);
    free(ms->groups);
}

void maps_replace(struct maps *ms, struct map *m) {
    maps_clear(ms);
    maps_init(ms, m);
}

const struct map *maps_find(const struct maps *ms, uint64_t id) {
    for (uint32_t i = 0; i < ms->count; i++) {
        if (ms->list[i]->id == id) return ms->list[i];
    }
    return NULL;
}

bool maps_is_past(const struct maps *ms, const struct map *m) {
    return !map_less(ms->map, m);
}

struct map *maps_greatest_beyond(const struct maps *ms) {
    struct map *greatest = ms->map;
    for (uint32_t i = 0; i < ms->count; i++) {
        if (map_less(greatest, ms->list[i])) greatest = ms->list[i];
    }
    return greatest == ms->map ? NULL : greatest;
}

const struct slots *maps_slots(const struct maps *ms, uint64_t group) {
    for (uint32_t i = 0; i < ms->group_count; i++) {
        if (ms->groups[i].id == group) return &ms->groups[i].slots;
    }
    return NULL;
}
