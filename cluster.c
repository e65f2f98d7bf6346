/* Maps, rows and the way of frames. See cluster.h.
 *
 * PRUNE (cluster_prune). Each process start brings a new actor, so metadata would grow with every
 * restart. Entry (a, n) goes when a is over and every node of the map, dead ones included, has said
 * in a synced row, living by this very map, that it has (a, n): then whoever lives by this map or a
 * greater one can lack it no more, and the metadata names the map in its place. Never under a first
 * map: a node that restarts without a log knows that one by itself and could not tell that it is
 * behind. For the same reason a node that came to serve without having met all members takes over
 * a map only from one whose data it has had: from then on it answers to who names that map. So when
 * the D of a node counts many actors that are over, the lowest ready member in view proposes the
 * same map again under the next epoch.
 */
#include "cluster.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Maps ---- */

/* What a map stands for was here when it was named; see PRUNE. It may have been in the end of a log
 * that is gone, and then only those tell that others have it. */
bool cluster_knows_map(const struct cluster *c, struct map_ref ref) {
    if (c->lost_tail && c->replica.provisional && ref.epoch > 1) return false;
    for (uint32_t i = 0; i < c->maps.count; i++) {
        const struct map *m = c->maps.list[i];
        if (m->epoch == ref.epoch && m->id >> 32 == ref.id) return true;
    }
    return false;
}

struct map_ref cluster_map_ref(const struct cluster *c) {
    return (struct map_ref){c->maps.map->epoch, (uint32_t)(c->maps.map->id >> 32)};
}

static void put_map(struct buffer *out, const struct map *m) {
    struct buffer encoded = {0};
    map_encode(&encoded, m);
    wire_put_map(out, buffer_slice(&encoded));
    buffer_free(&encoded);
}

/* The last that it hears of this node is the map that it is not in: it serves nobody by that. */
static void strike(struct cluster *c, const struct map *m, const struct struck *s) {
    struct peer *p = peers_find(&c->peers, &s->node);
    struct buffer *out = p == NULL ? NULL : replica_output(&c->replica, p);
    if (out != NULL && p->boot == s->boot) put_map(out, m);
    peers_strike(&c->peers, &s->node, s->boot);
}

/* Who is out by the map is out here, and nobody else. */
static void take_struck(struct cluster *c, const struct map *m) {
    for (uint32_t i = 0; i < m->struck_count; i++)
        strike(c, m, &m->struck[i]);
    for (uint32_t i = 0; i < c->peers.count; i++) {
        struct peer *p = c->peers.list[i];
        if (map_struck_boot(m, &p->address) == 0) peers_pardon(&c->peers, p);
    }
}

/* What it takes from base is recorded before it is, what it opens after: a log may end anywhere. */
static void adopt(struct cluster *c, struct map *m) {
    const struct map *before = c->maps.is_decided ? c->maps.map : NULL;
    c->maps.map = m;
    c->maps.next = NULL;
    c->maps.is_decided = true;
    c->shard = map_shard_of_node(m, &c->peers.self);
    for (uint32_t i = 0; i < m->node_count; i++)
        peers_know(&c->peers, &m->nodes[i]);
    take_struck(c, m);
    replica_take_place(&c->replica, c->resume.is_due);
    handover_adopt(&c->replica, before);
    handover_judge(&c->replica);
    if (before == NULL && !c->resume.is_due) redo_map(&c->replica.redo, m);
    redo_adopt(&c->replica.redo, m->id);
    c->peers.rows_due = true;
}

/* Goes on as the former process, as a node does that was only cut off. */
static void resume(struct cluster *c) {
    adopt(c, c->maps.map);
    c->resume.is_due = false;
    c->maps.next = maps_greatest_beyond(&c->maps);
    if (c->resume.synced) catchup_resume(&c->replica, c->resume.provisional);
    if (c->peers.count == 1) catchup_tick(&c->replica); /* nobody else: no other tick comes */
}

/* By the map at hand from now on. */
static void settle_on_map(struct cluster *c) {
    if (c->resume.is_due)
        resume(c);
    else
        adopt(c, c->maps.map);
}

static uint64_t group_in(const struct cluster *c, const struct map *m) {
    uint32_t shard = map_shard_of_node(m, &c->peers.self);
    return shard == SHARD_NONE ? 0 : m->group[shard];
}

bool cluster_is_leaving(const struct cluster *c) {
    return c->maps.next != NULL && group_in(c, c->maps.next) != c->replica.group;
}

static void note_map(struct cluster *c) {
    char text[96], id[SHARD_ID_BYTES] = "";
    const struct map *m = c->maps.map;
    bool any = c->shard != SHARD_NONE;
    if (any) shard_id_text(c->shard, id);
    snprintf(text, sizeof text, "map: epoch %u, %u shards, this node %s%s", m->epoch,
             m->shard_count, any ? "in " : "stands by", id);
    notes_put(&c->notes, text, NULL);
}

/* A change of group waits for the writes under way: their second copies are with the old members,
 * and an actor writes for one group only. */
static void try_adopt(struct cluster *c) {
    if (c->maps.next == NULL) return;
    if (cluster_is_leaving(c) && c->replica.under_way != NULL) return;
    adopt(c, c->maps.next);
    note_map(c);
}

/* One that was heard of waits until those are known that came before it: by one of them this node
 * may have lost its base. */
static void try_adopt_heard(struct cluster *c) {
    if (!catchup_awaits_maps(&c->replica)) try_adopt(c);
}

/* What is full stays full until this process ends, and peers go on offering more. */
static void note_full(struct cluster *c, const char *what) {
    if (c->full_noted_ms > c->peers.now_ms) return;
    c->full_noted_ms = c->peers.now_ms + CLUSTER_FULL_NOTE_MS;
    notes_put(&c->notes, what, NULL);
}

/* Takes m. */
static void learn_map(struct cluster *c, struct map *m) {
    struct maps *ms = &c->maps;
    bool known = maps_find(ms, m->id) != NULL;
    if (!known && ms->count == MAPS_MAX) {
        note_full(c, "map: too many maps are known; no more are taken until this node restarts");
    }
    if (known || ms->count == MAPS_MAX) {
        map_free(m);
        return;
    }
    if (c->resume.is_due) resume(c);
    if (!ms->is_decided) { /* nobody has lived by the one that this node would have drawn */
        maps_replace(ms, m);
        adopt(c, m);
        return;
    }
    maps_add(ms, m);
    handover_learn(&c->replica, m);
    redo_map(&c->replica.redo, m);
    c->replica.progress++; /* somebody may wait for it */
    if (!map_less(ms->next != NULL ? ms->next : ms->map, m)) return;
    ms->next = m;
}

static bool nobody_has_a_map(const struct cluster *c) {
    for (uint32_t i = 0; i < c->peers.count; i++) {
        const struct peer *p = c->peers.list[i];
        if (p->state != PEER_SELF && (!p->row.is_heard || p->row.map_id != 0)) return false;
    }
    return true;
}

static void decide_map(struct cluster *c) {
    if (nobody_has_a_map(c) || peers_awake_ms(&c->peers) >= c->started_ms + CLUSTER_ASK_MS)
        settle_on_map(c);
}

/* Somebody lives by the map that this node would live by; or, in the case of one that resumes, by
 * any that it knows. */
static bool decides_for_me(const struct cluster *c, const struct row *row) {
    if (c->maps.is_decided) return false;
    return c->resume.is_due ? maps_find(&c->maps, row->map_id) != NULL
                            : row->map_id == c->maps.map->id;
}

static bool lives_here(const struct cluster *c, const struct row *row) {
    return row->is_heard && row->synced && row->map_id == c->maps.map->id;
}

/* ---- Proposing maps ---- */

/* Of the nodes in view that could propose a map: a newcomer cannot. */
static bool is_lowest_in_view(const struct cluster *c) {
    for (uint32_t i = 0; i < c->peers.count; i++) {
        const struct peer *p = c->peers.list[i];
        if (p->state == PEER_SELF) return true;
        if (peer_in_view(p) && p->row.synced && map_has_node(c->maps.map, &p->address))
            return false;
    }
    return false;
}

uint32_t cluster_live_count(const struct cluster *c) {
    uint32_t live = 0;
    for (uint32_t i = 0; i < c->peers.count; i++)
        live += peer_in_view(c->peers.list[i]);
    return live;
}

static const struct map *latest_map(const struct cluster *c) {
    return c->maps.next != NULL ? c->maps.next : c->maps.map;
}

bool cluster_has_a_say(const struct cluster *c) {
    return c->maps.is_decided && map_struck_boot(c->maps.map, &c->peers.self) != c->peers.boot;
}

bool cluster_may_propose(const struct cluster *c) {
    return cluster_has_a_say(c) && c->maps.next == NULL && c->replica.synced;
}

/* What this node makes itself it lives by at once. Takes m. */
static void take_proposed(struct cluster *c, struct map *m) {
    learn_map(c, m);
    try_adopt(c);
}

/* On top of one that waits to be adopted, if there is one: it would take the place of this. */
static void propose(struct cluster *c, struct map_change *change) {
    change->live_count = cluster_live_count(c);
    change->proposer = &c->peers.self;
    change->nonce = c->random64();
    take_proposed(c, map_derive(latest_map(c), change));
}

/* Nodes that live by an automatic map without being in it join by themselves. */
static void propose_newcomers(struct cluster *c) {
    struct address newcomers[16];
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->peers.count && count < 16; i++) {
        const struct peer *p = c->peers.list[i];
        bool lives_here =
            peer_in_view(p) && p->state != PEER_SELF && p->row.map_id == c->maps.map->id;
        if (lives_here && !map_has_node(c->maps.map, &p->address)) newcomers[count++] = p->address;
    }
    if (count == 0) return;
    struct map_change change = {.add = newcomers, .add_count = count, .shard = 0};
    propose(c, &change);
}

static uint32_t count_over(const struct cluster *c) {
    uint32_t over = 0;
    uint32_t slot = slots_next(&c->replica.slots, 0);
    const struct vclock *clock = slot < SHARD_SLOTS ? parts_clock(&c->replica.parts, slot) : NULL;
    for (uint32_t i = 0; clock != NULL && i < clock->len; i++)
        over += actors_get(c->actors, clock->dots[i].actor)->is_over;
    return over;
}

static void propose_maps(struct cluster *c) {
    if (!cluster_may_propose(c) || !is_lowest_in_view(c)) return;
    if (!c->maps.map->is_explicit) propose_newcomers(c);
    if (c->maps.map->epoch == 1 && count_over(c) > c->over_actors_max) {
        struct map_change nothing = {0};
        propose(c, &nothing);
    }
}

/* ---- Changes by request ---- */

static bool is_same_layout(const struct map *a, const struct map *b) {
    if (a->shard_count != b->shard_count || a->node_count != b->node_count) return false;
    for (uint32_t i = 0; i < a->node_count; i++) {
        bool same = address_compare(&a->nodes[i], &b->nodes[i]) == 0;
        if (!same || a->shard_of_node[i] != b->shard_of_node[i]) return false;
    }
    return memcmp(a->shard_of_slot, b->shard_of_slot, sizeof a->shard_of_slot) == 0;
}

/* All that are in view, in so many shards. */
static struct map *deal_anew(const struct cluster *c, uint32_t shard_count) {
    struct address *live = bytes_alloc(c->peers.count * sizeof *live);
    uint64_t *boots = bytes_alloc(c->peers.count * sizeof *boots);
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->peers.count; i++) {
        const struct peer *p = c->peers.list[i];
        if (!peer_in_view(p)) continue;
        live[count] = p->address;
        boots[count++] = p->state == PEER_SELF ? c->peers.boot : p->boot;
    }
    struct map_plan plan = {
        .live = live,
        .boots = boots,
        .live_count = count,
        .shard_count = shard_count,
        .proposer = &c->peers.self,
        .nonce = c->random64(),
    };
    struct map *m = map_reshard(c->maps.map, &plan);
    free(live);
    free(boots);
    return m;
}

uint64_t cluster_propose_reshard(struct cluster *c, uint32_t shard_count) {
    struct map *m = deal_anew(c, shard_count);
    bool nothing_moves = c->maps.map->is_explicit && is_same_layout(m, c->maps.map);
    uint64_t id = nothing_moves ? c->maps.map->id : m->id;
    if (nothing_moves)
        map_free(m);
    else
        take_proposed(c, m);
    return id;
}

void cluster_propose_member(struct cluster *c, const struct address *node, uint32_t shard) {
    struct map_change change = {.add = node, .add_count = 1, .shard = shard};
    propose(c, &change);
}

bool cluster_is_settled(const struct cluster *c) {
    for (uint32_t i = 0; i < c->peers.count; i++) {
        const struct peer *p = c->peers.list[i];
        if (p->state != PEER_UP) continue; /* its row may still be to come */
        if (!peer_in_view(p) || !lives_here(c, &p->row) || !p->row.settled) return false;
    }
    return c->maps.next == NULL && c->replica.synced && c->replica.settled;
}

/* Its process as this node knows it, or else one that is in view. */
static uint64_t boot_of(const struct cluster *c, const struct peer *p) {
    uint64_t boot = p->boot;
    for (uint32_t i = 0; i < c->peers.count && boot == 0; i++) {
        const struct peer *other = c->peers.list[i];
        const struct row_peer *said = row_find_peer(&other->row, &p->address);
        if (peer_in_view(other) && said != NULL) boot = said->boot;
    }
    return boot;
}

/* Everybody learns of it by the map. Where nobody has heard the node there is no process to keep
 * out, and it only leaves the map. */
void cluster_remove(struct cluster *c, const struct address *node) {
    const struct peer *p = peers_find(&c->peers, node);
    uint64_t boot = boot_of(c, p);
    if (cluster_has_a_say(c) && (boot != 0 || map_has_node(c->maps.map, node))) {
        struct map_change change = {.remove = node, .remove_boot = boot};
        propose(c, &change);
    }
    peers_strike(&c->peers, node, boot); /* at once, though the map may have to wait */
}

void cluster_pardon(struct cluster *c, const struct address *node) {
    if (!c->maps.is_decided || map_struck_boot(latest_map(c), node) == 0) return;
    struct map_change change = {.pardon = node};
    propose(c, &change);
}

/* ---- Pruning ---- */

/* Every node of the map is synced, lives by it, and has the dot wherever it should. */
static bool all_have(const struct cluster *c, struct dot dot) {
    const struct replica *r = &c->replica;
    const struct map *m = c->maps.map;
    const struct slots *of = replica_slots_of(r, dot.actor);
    if (of == NULL || !r->synced) return false;
    if (!parts_have(&r->parts, dot, &r->slots, of)) return false;
    for (uint32_t i = 0; i < r->other_count; i++) {
        const struct row *row = &r->others[i]->row;
        uint32_t shard = map_shard_of_node(m, &r->others[i]->address);
        if (!lives_here(c, row)) return false;
        if (shard == SHARD_NONE) continue;
        if (!row_has(row, dot, maps_slots(&c->maps, m->group[shard]), of)) return false;
    }
    return true;
}

static bool all_know_map(const struct cluster *c, struct map_ref ref) {
    if (!c->replica.settled) return false;
    for (uint32_t i = 0; i < c->replica.other_count; i++) {
        const struct row *row = &c->replica.others[i]->row;
        bool knows = false;
        for (uint32_t j = 0; j < c->maps.count && lives_here(c, row) && row->settled; j++) {
            const struct map *m = c->maps.list[j];
            bool meant = m->epoch == ref.epoch && m->id >> 32 == ref.id;
            knows = knows || (meant && row_knows_map(row, m->id));
        }
        if (!knows) return false;
    }
    return true;
}

/* What the maps named so far stand for is covered by all nodes of this one. */
static void prune_maps(const struct cluster *c, struct metadata *m) {
    struct map_ref mine = cluster_map_ref(c);
    uint32_t kept = 0, before = m->maps_len;
    for (uint32_t i = 0; i < before; i++) {
        struct map_ref ref = m->maps[i];
        bool is_mine = ref.epoch == mine.epoch && ref.id == mine.id;
        if (is_mine || !all_know_map(c, ref)) m->maps[kept++] = ref;
    }
    m->maps_len = kept;
    if (kept < before) metadata_add_map(m, mine);
}

void cluster_prune(const struct cluster *c, struct metadata *m) {
    if (c->maps.map->epoch == 1) return;
    uint32_t kept = 0, before = m->clock.len;
    for (uint32_t i = 0; i < before; i++) {
        struct dot dot = m->clock.dots[i];
        bool goes = replica_is_past(&c->replica, dot.actor) && all_have(c, dot);
        if (!goes) m->clock.dots[kept++] = dot;
    }
    m->clock.len = kept;
    if (kept < before) metadata_add_map(m, cluster_map_ref(c));
    if (m->maps_len > 1) prune_maps(c, m);
}

/* ---- Life ---- */

void cluster_init(struct cluster *c, const struct cluster_config *config, uint64_t now_ms) {
    *c = (struct cluster){
        .actors = actors_create(),
        .store = store_create(&config->seed),
        .random64 = config->random64,
        .started_ms = now_ms,
        .over_actors_max =
            config->over_actors_max == 0 ? CLUSTER_OVER_ACTORS : config->over_actors_max,
        .shard = SHARD_NONE,
    };
    struct peers_config peers = {
        .self = config->self,
        .boot = config->boot,
        .cluster = config->cluster,
        .readmit_ms = config->readmit_ms,
        .greet_ms = config->greet_ms == 0 ? PEER_DIAL_MS : config->greet_ms,
    };
    peers_init(&c->peers, &peers, &c->notes, now_ms);
    c->handshake = (struct handshake){&c->peers, config->secret, config->random64};
    for (uint32_t i = 0; i < config->view_count; i++)
        peers_add(&c->peers, &config->view[i], true);
    struct replica_config replica = {
        .maps = &c->maps,
        .peers = &c->peers,
        .actors = c->actors,
        .store = c->store,
        .notes = &c->notes,
        .random64 = config->random64,
        .boot = config->boot,
        .ring_writes_max = config->ring_writes_max,
    };
    replica_init(&c->replica, &replica, now_ms);
    uint32_t shards = config->shard_count == 0 ? 1 : config->shard_count;
    maps_init(&c->maps,
              map_create_first(config->view, config->view_count, shards, config->shard_count != 0));
    c->draws_map = config->shard_count != 0 || config->view_count == 1;
    if (!config->keeps_journal) cluster_begin(c);
}

void cluster_begin(struct cluster *c) {
    if (c->draws_map) adopt(c, c->maps.map);
}

void cluster_resume(struct cluster *c, struct map *m, bool synced, bool provisional) {
    c->maps.map = m;
    c->resume = (struct cluster_resume){true, synced, provisional};
    for (uint32_t i = 0; i < m->node_count; i++)
        peers_know(&c->peers, &m->nodes[i]);
    take_struck(c, m);
    if (c->peers.count == 1) resume(c);
}

void cluster_free(struct cluster *c) {
    replica_free(&c->replica);
    peers_free(&c->peers);
    maps_clear(&c->maps);
    actors_free(c->actors);
    store_free(c->store);
    notes_free(&c->notes);
}

/* ---- Rows ---- */

static void put_row(struct cluster *c, struct peer *p, struct buffer *out) {
    uint64_t maps[MAPS_MAX];
    uint16_t count = 0;
    if (c->maps.is_decided) maps[count++] = c->maps.map->id;
    for (uint32_t i = 0; i < c->maps.count && c->maps.is_decided; i++) {
        if (c->maps.list[i] != c->maps.map) maps[count++] = c->maps.list[i]->id;
    }
    unsigned flags = (c->replica.synced ? WIRE_ROW_SYNCED : 0u) |
                     (p->state == PEER_UP ? WIRE_ROW_HEARS_YOU : 0u) |
                     (c->replica.settled ? WIRE_ROW_SETTLED : 0u) |
                     (c->replica.is_full ? WIRE_ROW_FULL : 0u);
    struct wire_row_writer w;
    wire_begin_row(&w, out, (uint8_t)flags, maps, count);
    for (uint32_t i = 0; i < c->peers.count; i++) {
        const struct peer *about = c->peers.list[i];
        bool self = about->state == PEER_SELF;
        struct wire_row_peer row_peer = {.address = about->address,
                                         .boot = self ? c->peers.boot : about->boot,
                                         .in_view = peer_is_listed(&c->peers, about),
                                         .shares_map = self || lives_here(c, &about->row)};
        wire_put_row_peer(&w, &row_peer);
    }
    if (!c->resume.is_due) catchup_put_parts(&c->replica, &w);
    wire_end_row(&w);
}

static void send_rows(struct cluster *c) {
    for (uint32_t i = 0; i < c->peers.count; i++) {
        struct peer *p = c->peers.list[i];
        struct buffer *out = p->state == PEER_SELF ? NULL : replica_output(&c->replica, p);
        if (out != NULL) put_row(c, p, out);
    }
    c->peers.rows_due = false;
}

/* ---- Frames ---- */

static void ask_for_maps(struct cluster *c, struct peer *p) {
    struct buffer *out = replica_output(&c->replica, p);
    for (uint32_t i = 0; out != NULL && i < p->row.map_count; i++) {
        if (maps_find(&c->maps, p->row.maps[i]) == NULL) wire_put_map_ask(out, p->row.maps[i]);
    }
}

static bool on_row(struct cluster *c, struct peer *p, struct slice body) {
    bool was_in_view = peer_in_view(p);
    if (!catchup_on_row(&c->replica, p, body)) return false;
    peers_on_row(&c->peers, p);
    if (catchup_asks_for_maps(&c->replica, p)) ask_for_maps(c, p);
    if (decides_for_me(c, &p->row)) settle_on_map(c);
    if (was_in_view != peer_in_view(p)) c->peers.rows_due = true;
    return true;
}

static bool on_map_ask(struct cluster *c, struct peer *p, struct slice body) {
    uint64_t id;
    struct buffer *out = replica_output(&c->replica, p);
    if (!wire_read_map_ask(body, &id)) return false;
    const struct map *m = maps_find(&c->maps, id);
    if (m == NULL || out == NULL) return true;
    put_map(out, m);
    return true;
}

static bool on_map(struct cluster *c, struct slice body) {
    struct map *m = map_decode(body);
    if (m == NULL) return false;
    learn_map(c, m);
    try_adopt_heard(c);
    return true;
}

/* An actor of an address is over when the process that now lives there knows it and is another one:
 * nobody knows who comes after him. */
static void judge_actor(struct cluster *c, struct peer *from, uint32_t index) {
    const struct actor *a = actors_get(c->actors, index);
    const struct address *self = &c->peers.self;
    bool mine = address_compare(&a->node, self) == 0 && a->boot != c->peers.boot;
    bool theirs = address_compare(&a->node, &from->address) == 0 && a->boot != from->boot;
    if (mine || theirs) actors_end(c->actors, index);
    if (a->boot == from->boot) replica_note_actor(from, index);
}

static bool on_actor(struct cluster *c, struct peer *from, struct slice body) {
    struct wire_actor m;
    if (!wire_read_actor(body, &m)) return false;
    bool known = actors_find_id(c->actors, m.id) != ACTOR_NONE;
    if (!known && actors_count(c->actors) >= CLUSTER_ACTORS_MAX) {
        note_full(c, "peer: too many sources of writes are known; no more are taken");
        return false;
    }
    judge_actor(c, from, actors_learn(c->actors, m.id, &m.node, m.boot, m.group));
    c->replica.progress++; /* somebody may wait for it */
    return true;
}

/* Frames about data; only of peers that are up. */
static bool on_data(struct cluster *c, struct link *l, const struct wire_frame *f,
                    struct slice frame) {
    struct replica *r = &c->replica;
    if (l->peer->state != PEER_UP) return true;
    switch (f->type) {
    case WIRE_WRITE: return broadcast_on_write(r, l->peer, frame, f->body);
    case WIRE_ACK: return broadcast_on_ack(r, l->peer, f->body);
    case WIRE_PULL: return catchup_on_pull(r, l->peer, f->body);
    case WIRE_SLOT: return catchup_on_slot(l, f->body);
    case WIRE_VERSION: return catchup_on_version(l, frame);
    case WIRE_SLOT_END: return catchup_on_slot_end(r, l, f->body);
    case WIRE_OP:
    case WIRE_ANSWER: return c->on_operation(c, l, f);
    default: return false;
    }
}

/* A frame on a link that the peer dialled, after the handshake. False: nonsense. */
static bool on_frame(struct cluster *c, struct link *l, const struct wire_frame *f,
                     struct slice frame) {
    switch (f->type) {
    case WIRE_ROW: return on_row(c, l->peer, f->body);
    case WIRE_MAP_ASK: return on_map_ask(c, l->peer, f->body);
    case WIRE_MAP: return on_map(c, f->body);
    case WIRE_ACTOR: return on_actor(c, l->peer, f->body);
    case WIRE_GOODBYE:
        peers_take_down(&c->peers, l->peer, "view: out, said goodbye: ");
        return true;
    default: return on_data(c, l, f, frame);
    }
}

static void take_frame(struct cluster *c, struct link *l, const struct wire_frame *f,
                       struct slice frame) {
    if (!l->dialled && l->state == LINK_OPEN) {
        if (!on_frame(c, l, f, frame)) peers_break(&c->peers, l, "peer: a frame makes no sense: ");
        return;
    }
    handshake_on_frame(&c->handshake, l, f);
}

size_t cluster_received(struct cluster *c, struct link *l, struct slice bytes) {
    size_t taken = 0;
    peers_heard(&c->peers, l);
    while (l->state != LINK_CLOSING) {
        if (peers_is_waiting(l)) return taken;
        struct wire_frame f;
        struct slice rest = {bytes.at + taken, bytes.len - taken};
        enum wire_cut cut = wire_cut(rest, &f);
        bool odd = f.bytes > 0 && !handshake_may_come(l, f.type);
        if (cut == WIRE_CUT_MORE && !odd) return taken;
        if (cut == WIRE_CUT_BAD || odd) {
            peers_break(&c->peers, l, "peer: bytes that are no frame, or not now: ");
            break;
        }
        take_frame(c, l, &f, (struct slice){rest.at, f.bytes});
        taken += f.bytes;
    }
    return bytes.len;
}

/* ---- Turns ---- */

void cluster_set_time(struct cluster *c, uint64_t now_ms) {
    bool ticks = now_ms >= c->peers.tick_ms;
    uint64_t forgiven_ms = c->peers.forgiven_ms;
    peers_set_time(&c->peers, now_ms);
    c->is_late = c->peers.forgiven_ms != forgiven_ms;
    if (!ticks || c->is_late || c->peers.count == 1) return;
    if (!c->maps.is_decided) decide_map(c);
    broadcast_tick(&c->replica);
    catchup_tick(&c->replica);
    store_sweep(c->store, CLUSTER_SWEEP_VERSIONS_MAX);
    propose_maps(c);
    try_adopt_heard(c);
}

void cluster_end_turn(struct cluster *c) {
    if (c->peers.count == 1) return;
    broadcast_end_turn(&c->replica);
    if (!c->is_late) catchup_end_turn(&c->replica);
    if (c->peers.rows_due) send_rows(c);
}

void cluster_stop(struct cluster *c) {
    for (uint32_t i = 0; i < c->peers.count; i++) {
        struct buffer *out = peer_output(c->peers.list[i]);
        if (out != NULL) wire_put_goodbye(out);
    }
}
