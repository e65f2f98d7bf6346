/* Reshard and add-member, step by step. See change.h.
 *
 * A change waits for the map at hand to be adopted before it proposes the next, and then
 *   - a reshard for every node in view to live by that map or a later one of as many shards, to
 *     have all that it owns, and nothing else;
 *   - a join for the new member to know the map.
 * Should somebody else's greater map take its place with another number of shards, it says so.
 *
 * A node that dies meanwhile still has its place in the map. With one owner left, who had its slots
 * before keep them (see DROP in handover.c), and that could last until it is back. So a reshard
 * that waits deals anew without it, if the others are enough.
 */
#include "change.h"

/* ---- Reshard ---- */

/* Some shard has a member that is not in view. */
static bool somebody_is_absent(const struct cluster *c) {
    const struct map *m = c->maps.map;
    for (uint32_t i = 0; i < m->node_count; i++) {
        const struct peer *p = peers_find(&c->peers, &m->nodes[i]);
        bool here = p != NULL && peer_in_view(p);
        if (m->shard_of_node[i] != SHARD_NONE && !here) return true;
    }
    return false;
}

static bool reshard_step(struct cluster *c, struct change *ch, enum node_status *status) {
    const struct maps *ms = &c->maps;
    bool enough = cluster_live_count(c) >= CHANGE_SHARD_NODES_MIN * ch->shard_count;
    bool anew = ch->map_id != 0 && enough && ms->map->shard_count == ch->shard_count &&
                c->peers.now_ms >= ch->proposed_ms + CHANGE_ANEW_MS && somebody_is_absent(c);
    *status = NODE_TOO_FEW_NODES;
    if (ch->map_id == 0 && !enough) return true;
    if (ch->map_id == 0 || anew) {
        if (!cluster_may_propose(c)) return false;
        ch->map_id = cluster_propose_reshard(c, ch->shard_count);
        ch->proposed_ms = c->peers.now_ms;
    }
    *status = NODE_TOO_MANY_CHANGES; /* there was no room for the map */
    const struct map *asked = maps_find(ms, ch->map_id);
    if (asked == NULL) return true;
    if (!maps_is_past(ms, asked)) return false;
    *status = NODE_SUPERSEDED;
    if (ms->map->shard_count != ch->shard_count) return true;
    *status = NODE_RESHARDED;
    return cluster_is_settled(c);
}

/* ---- Join ---- */

static bool join_step(struct cluster *c, struct change *ch, enum node_status *status) {
    uint32_t now = map_shard_of_node(c->maps.map, &ch->node);
    const struct peer *p = peers_find(&c->peers, &ch->node);
    *status = NODE_NOT_IN_VIEW;
    if (!peers_lists(&c->peers, &ch->node)) return true;
    *status = NODE_NO_SHARD;
    if (ch->shard >= c->maps.map->shard_count) return true;
    *status = NODE_OTHER_SHARD;
    if (now != SHARD_NONE && now != ch->shard) return true;
    *status = NODE_JOINED;
    if (now == ch->shard && ch->map_id == 0) return true; /* it was there before */
    if (now == SHARD_NONE && c->maps.count == MAPS_MAX) {
        *status = NODE_TOO_MANY_CHANGES;
        return true;
    }
    if (now == SHARD_NONE && cluster_may_propose(c)) {
        cluster_propose_member(c, &ch->node, ch->shard);
        ch->map_id = c->maps.map->id;
    }
    bool here = map_shard_of_node(c->maps.map, &ch->node) == ch->shard;
    return here && (p->state == PEER_SELF || row_knows_map(&p->row, c->maps.map->id));
}

bool change_step(struct cluster *c, struct change *ch, enum node_status *status) {
    return ch->kind == CHANGE_RESHARD ? reshard_step(c, ch, status) : join_step(c, ch, status);
}
