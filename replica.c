/* A replica's state and place. See replica.h. */
#include "replica.h"

#include <stdlib.h>

/* ---- Life ---- */

void replica_init(struct replica *r, const struct replica_config *config, uint64_t now_ms) {
    *r = (struct replica){
        .maps = config->maps,
        .peers = config->peers,
        .actors = config->actors,
        .store = config->store,
        .notes = config->notes,
        .random64 = config->random64,
        .boot = config->boot,
        .joined_ms = now_ms,
        .actor = ACTOR_NONE,
        .redo = {.actors = config->actors},
    };
    ring_init(&r->ring, config->ring_writes_max);
    r->under_way_end = &r->under_way;
    r->done_end = &r->done;
    parts_init(&r->parts);
}

void replica_free(struct replica *r) {
    under_way_free_list(r->under_way);
    under_way_free_list(r->done);
    ring_free(&r->ring);
    held_free(&r->held);
    trail_free(&r->trail);
    free(r->mates);
    free(r->others);
    parts_free(&r->parts);
    redo_free(&r->redo);
    buffer_free(&r->scratch);
    metadata_free(&r->unpacked);
}

/* What was said and heard before concerned another group, or another actor of this node. */
static void forget_dealings(struct peer *p) {
    p->is_fed = false;
    p->acked = 0;
    row_clear(&p->target);
}

/* Who is a member no more gets no more writes, and owes nothing. Two that stand by are in no shard
 * together. */
static void leave(struct peer *p, const struct map *map, uint32_t shard) {
    bool stays = shard != SHARD_NONE && map_shard_of_node(map, &p->address) == shard;
    p->owes_since_ms = UINT64_MAX;
    if (!stays) p->is_fed = false;
}

/* The other nodes of the map, and the members of the shard among them. */
static void take_others(struct replica *r, const struct map *map, uint32_t shard) {
    for (uint32_t i = 0; i < r->mate_count; i++)
        leave(r->mates[i], map, shard);
    r->mate_count = r->other_count = 0;
    r->mates = bytes_realloc(r->mates, map->node_count * sizeof(struct peer *) + 1);
    r->others = bytes_realloc(r->others, map->node_count * sizeof(struct peer *) + 1);
    for (uint32_t i = 0; i < map->node_count; i++) {
        struct peer *p = peers_find(r->peers, &map->nodes[i]);
        if (p->state == PEER_SELF) continue;
        r->others[r->other_count++] = p;
        if (shard != SHARD_NONE && map->shard_of_node[i] == shard) r->mates[r->mate_count++] = p;
    }
}

static void change_group(struct replica *r, uint64_t group) {
    static const struct slots none;
    r->group = group;
    r->slots = group == 0 ? none : *maps_slots(r->maps, group);
    r->actor = ACTOR_NONE;
    r->assigned = 0;
    redo_open_slots(&r->redo, &r->parts, &r->slots);
    for (uint32_t i = 0; i < r->mate_count; i++)
        forget_dealings(r->mates[i]);
}

void replica_take_place(struct replica *r, bool is_recovered) {
    const struct map *map = r->maps->map;
    uint32_t shard = map_shard_of_node(map, &r->peers->self);
    uint64_t group = shard == SHARD_NONE ? 0 : map->group[shard];
    bool first = r->map_id == 0;
    r->map_id = map->id;
    r->base_moved = true;
    r->settled = false;
    take_others(r, map, shard);
    if (group != r->group) {
        change_group(r, group);
        if (!first) r->joined_ms = peers_awake_ms(r->peers);
    }
    if (first && !is_recovered && group != 0 && r->mate_count == 0) {
        r->synced = true; /* nobody else can ever have had any of it */
        redo_found(&r->redo, &r->parts, &r->slots, group);
        redo_ready(&r->redo, true, false);
    }
    for (uint32_t i = 0; i < r->other_count; i++)
        replica_note_row(r, r->others[i]);
    r->progress++;
}

void replica_note_row(struct replica *r, struct peer *p) {
    const struct map *map = r->maps->map;
    uint32_t shard = map_shard_of_node(map, &p->address);
    uint64_t group = shard == SHARD_NONE ? 0 : map->group[shard];
    const struct slots *slots = group == 0 ? NULL : maps_slots(r->maps, group);
    uint32_t first = slots == NULL ? SHARD_SLOTS : slots_next(slots, 0);
    p->has_slots = first < SHARD_SLOTS && row_part(&p->row, first) != NULL;
    p->holds = p->has_slots && row_holds(&p->row, group, slots);
}

const struct slots *replica_slots_of(const struct replica *r, uint32_t actor) {
    uint64_t group = actors_get(r->actors, actor)->group;
    return group == r->group && group != 0 ? &r->slots : maps_slots(r->maps, group);
}

bool replica_is_past(const struct replica *r, uint32_t actor) {
    const struct actor *a = actors_get(r->actors, actor);
    const struct map *map = r->maps->map;
    uint32_t shard = map_shard_of_node(map, &a->node);
    return a->is_over || shard == SHARD_NONE || map->group[shard] != a->group;
}

uint32_t replica_actor(struct replica *r) {
    if (r->actor == ACTOR_NONE) {
        r->actor = actors_learn(r->actors, r->random64(), &r->peers->self, r->boot, r->group);
        r->peers->rows_due = true; /* so that everybody knows it before its metadata travels */
    }
    return r->actor;
}

/* A peer has one actor in each of its groups, one after the other, and introduces them in that
 * order. */
void replica_note_actor(struct peer *p, uint32_t actor) {
    p->actor = actor;
    p->ack_told = 0;
}

/* ---- Frames ---- */

struct buffer *replica_output(struct replica *r, struct peer *p) {
    struct buffer *out = peer_output(p);
    if (out == NULL) return NULL;
    for (uint32_t *told = &p->to->actors_told; *told < actors_count(r->actors); ++*told) {
        const struct actor *a = actors_get(r->actors, *told);
        struct wire_actor m = {a->id, a->boot, a->group, a->node};
        wire_put_actor(out, &m);
    }
    return out;
}

void replica_put_write(const struct replica *r, struct buffer *out, enum wire_type type,
                       const struct version *v, const struct metadata *deps) {
    struct wire_write w = {
        .dot = {actors_get(r->actors, v->dot.actor)->id, v->dot.n},
        .hlc = v->hlc,
        .is_tombstone = v->is_tombstone,
        .maps = {.count = deps->maps_len},
        .deps = {.count = deps->clock.len},
    };
    size_t begun = wire_begin_write(out, type, &w);
    for (uint32_t i = 0; i < deps->maps_len; i++)
        wire_put_map_ref(out, (struct wire_map_ref){deps->maps[i].epoch, deps->maps[i].id});
    row_put_dots(out, &deps->clock, r->actors);
    wire_end_write(out, begun, v->key, v->value);
}

void replica_put_stored(struct replica *r, struct buffer *out, enum wire_type type,
                        const struct version *v) {
    struct metadata *deps = &r->unpacked;
    metadata_clear(deps);
    metadata_join_packed(deps, v->deps);
    replica_put_write(r, out, type, v, deps);
}

/* ---- Clients ---- */

void replica_observe(struct metadata *seen, const struct version *v) {
    metadata_join_packed(seen, v->deps);
    vclock_raise(&seen->clock, v->dot);
    seen->time = hlc_max(seen->time, v->hlc);
}
