/* The maps that this node knows, and the groups that they name.
 *
 * A node lives by one of them (`map`) and knows others: greater ones that it has not adopted yet,
 * and smaller ones, whose groups are where data comes from. A group is one shard of one map, or of
 * several: its slots never change, its members may.
 */
#ifndef KVS_MAPS_H
#define KVS_MAPS_H

#include "part.h"

#define MAPS_MAX 1024 /* known at once */

struct group {
    uint64_t id;
    struct slots slots;
};

struct maps {
    struct map **list; /* owned */
    uint32_t count;
    struct map *map;  /* lives by this one; before it is decided: would, if nobody had another */
    struct map *next; /* greater, and not adopted yet; or NULL */
    bool is_decided;
    struct group *groups; /* owned; all that the maps name */
    uint32_t group_count;
};

void maps_init(struct maps *ms, struct map *first); /* takes it; not decided */
void maps_clear(struct maps *ms);

/* Takes m, which is not known yet, and there is room. */
void maps_add(struct maps *ms, struct map *m);
/* The only map is forgotten for this one, which is taken. */
void maps_replace(struct maps *ms, struct map *m);

const struct map *maps_find(const struct maps *ms, uint64_t id); /* or NULL */

/* The map at hand or one before it: its groups are where data comes from. */
bool maps_is_past(const struct maps *ms, const struct map *m);

/* The greatest that is known beyond the map at hand; NULL: there is none. */
struct map *maps_greatest_beyond(const struct maps *ms);

/* The slots of a group; NULL: no known map has it. */
const struct slots *maps_slots(const struct maps *ms, uint64_t group);

/* A group that no map names has no slots here (tests and benchmarks). */
void maps_add_foreign(struct maps *ms, uint64_t group);

/* The group that a map has at a slot. */
static inline uint64_t map_group(const struct map *m, uint32_t slot) {
    return m->group[m->shard_of_slot[slot]];
}

#endif
