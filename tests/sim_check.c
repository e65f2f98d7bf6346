/* The invariants, as docs/sim.md numbers them.
 *
 * After each turn of a node it is looked at: its registry of actors, what it has delivered of the
 * keys' slots, what its store shows under each key. Whatever changed since its last turn is judged,
 * by itself, against the truth and against the other nodes. Answers are judged when they are given.
 * At rest everything is.
 */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>

#include "checker.h"

#define SETTLED_US (1500 * MS) /* by then nodes that reach one another know how they stand */
#define OP_US      (7 * S)     /* I15: beyond park_ms */

static struct check_host *seen_of(struct sim *s, uint32_t h) {
    return &s->check.hosts[h];
}

void check_init(struct sim *s) {
    for (uint32_t h = 0; h < HOSTS_MAX; h++)
        seen_of(s, h)->map = MAP_NONE;
    for (uint32_t k = 0; k < KEYS_MAX; k++)
        s->check.floor[k] = WRITE_NONE;
}

void check_free(struct sim *s) {
    for (uint32_t h = 0; h < HOSTS_MAX; h++)
        free(s->check.hosts[h].actor_of);
}

void check_booted(struct sim *s, uint32_t h) {
    struct check_host *c = seen_of(s, h);
    free(c->actor_of);
    *c = (struct check_host){
        .boot_serial = s->hosts[h].boot_serial, .map = MAP_NONE, .map_judged = MAP_NONE};
    for (uint32_t k = 0; k < KEYS_MAX; k++)
        c->shows[k] = WRITE_NONE;
    for (uint32_t o = 0; o < HOSTS_MAX; o++)
        c->named_under[o] = MAP_NONE;
}

/* ---- Names ---- */

uint32_t check_actor(struct sim *s, uint32_t h, uint32_t index) {
    struct check_host *c = seen_of(s, h);
    const struct actors *as = node_actors(s->hosts[h].node);
    for (; c->actors <= index; c->actors++) {
        if (c->actors == c->cap) {
            c->cap = c->cap == 0 ? 16 : c->cap * 2;
            c->actor_of = bytes_realloc(c->actor_of, c->cap * sizeof *c->actor_of);
        }
        c->actor_of[c->actors] = truth_actor(&s->base, &s->truth, actors_get(as, c->actors));
    }
    return c->actor_of[index];
}

static bool find(struct sim *s, uint32_t h, uint32_t key, struct version *out) {
    const struct store *store = node_store(s->hosts[h].node);
    struct slice name = s->key_names[key];
    return store_find(store, store_locate(store, name), name, out);
}

/* D of the key's slot, in the truth's numbers. */
static void delivered(struct sim *s, uint32_t h, uint32_t key, uint32_t out[ACTORS_MAX]) {
    const struct vclock *clock = node_slot_clock(s->hosts[h].node, s->slots[key]);
    memset(out, 0, ACTORS_MAX * sizeof *out);
    for (uint32_t i = 0; clock != NULL && i < clock->len; i++) {
        out[check_actor(s, h, clock->dots[i].actor)] = (uint32_t)clock->dots[i].n;
    }
}

/* ---- What a node holds ---- */

static bool not_older(const struct sim *s, uint32_t shown, uint32_t than) {
    const struct truth_write *w = &s->truth.writes[than];
    if (shown == than || !w->has_stamp) return true;
    if (shown != WRITE_NONE && !s->truth.writes[shown].has_stamp) return true; /* who can tell */
    return shown != WRITE_NONE && !stamp_less(s->truth.writes[shown].stamp, w->stamp);
}

static bool has(const struct sim *s, uint32_t h, const struct truth_write *w) {
    return s->hosts[h].node != NULL && s->check.hosts[h].delivered[w->key][w->actor] >= w->n;
}

static const struct truth_write *write_at(const struct sim *s, uint32_t write) {
    return write == WRITE_NONE ? NULL : &s->truth.writes[write];
}

/* By the map that h lives by, or by one before it: named again since, it may bring back what the
 * others have given up, and nobody knows until it does. */
static bool was_struck(const struct sim *s, uint32_t h, uint32_t o) {
    const struct map *mine = s->maps.list[s->check.hosts[h].map].map;
    for (uint32_t i = 0; i < s->maps.count; i++) {
        const struct map *m = s->maps.list[i].map;
        uint64_t struck = map_struck_boot(m, &s->hosts[o].address);
        if (struck != 0 && struck == s->hosts[o].boot && !map_less(mine, m)) return true;
    }
    return false;
}

/* Whoever else has it was struck off: that is as good as dead. */
static bool is_out_of_reach(const struct sim *s, uint32_t h, const struct truth_write *w) {
    for (uint32_t o = 0; o < s->plan.hosts && s->check.hosts[h].map != MAP_NONE; o++) {
        bool there = has(s, o, w) || (s->hosts[o].node == NULL && disk_keeps(s, o, w));
        if (o != h && there && !was_struck(s, h, o)) return false;
    }
    return true;
}

/* Entries that went from metadata were on every node. If all of these died, and the map did not,
 * since others or one who was still catching up knew it, nobody can tell that anything is missing:
 * the lost is passed over as if it had been waived. */
static bool is_pruned_and_lost(const struct sim *s, uint32_t h, uint32_t key, uint32_t actor,
                               uint32_t here, uint32_t seen) {
    bool lost = seen <= s->check.pruned[actor];
    for (uint32_t n = here + 1; n <= seen && lost; n++) {
        uint32_t write = truth_find(&s->truth, actor, n);
        const struct truth_write *w = write_at(s, write);
        lost = w == NULL || w->key != key || w->lost || is_out_of_reach(s, h, w);
    }
    return lost;
}

/* What has gone from metadata was with all owners of that map: it comes with the base, without
 * which nobody reads. It may have gone from a disk since: then it comes before that node serves. */
static bool is_read_by_nobody(const struct sim *s, uint32_t h, uint32_t key) {
    const struct node *n = s->hosts[h].node;
    return (s->plan.has_disks && !node_ready(n)) || !node_may_read_slot(n, s->slots[key]);
}

/* I1: what a version depends on of its own group is here. I2: so is it. The shown version never
 * gets older. */
static void judge_shown(struct sim *s, uint32_t h, uint32_t key, uint32_t shown,
                        const uint32_t *clock) {
    struct check_host *c = seen_of(s, h);
    if (c->shows[key] != WRITE_NONE && !not_older(s, shown, c->shows[key])) {
        base_violation(&s->base, "I13", "n%u: k%u goes back from w%u to w%u", h, key, c->shows[key],
                       shown);
    }
    c->shows[key] = shown;
    if (shown == WRITE_NONE) return;
    const struct truth_write *w = &s->truth.writes[shown];
    if (clock[w->actor] < w->n) {
        base_violation(&s->base, "I2", "n%u shows w%u, dot %u, of which it has delivered %u", h,
                       shown, w->n, clock[w->actor]);
    }
    uint64_t group = s->truth.actors[w->actor].group;
    for (uint32_t a = 0; a < s->truth.actor_count; a++) {
        if (clock[a] >= w->past.seen[a] || s->truth.actors[a].group != group) continue;
        if (is_pruned_and_lost(s, h, key, a, clock[a], w->past.seen[a])) continue;
        if (w->past.seen[a] <= s->check.pruned[a] && is_read_by_nobody(s, h, key)) continue;
        base_violation(&s->base, "I1", "n%u has w%u, which depends on %u of actor %016llx, not %u",
                       h, shown, w->past.seen[a], (unsigned long long)s->truth.actors[a].id,
                       clock[a]);
    }
}

/* One more process start has the write; that of its origin counts from the beginning. */
static void count_boot(struct sim *s, uint32_t h, struct truth_write *w) {
    uint32_t serial = s->hosts[h].boot_serial;
    if (w->boots == 0) w->boots = 1;
    if (s->hosts[h].boot == truth_origin(&s->truth, w) || w->last_boot == serial) return;
    w->boots++;
    w->last_boot = serial;
}

/* The group whose members count as second copies of what h shows: its own; of what it has written
 * before it changed its group in this very turn, the one before. */
static uint64_t group_of_copies(struct sim *s, uint32_t h, const struct truth_write *w) {
    const struct check_host *c = seen_of(s, h);
    bool wrote = w->has_dot && s->hosts[h].boot == truth_origin(&s->truth, w);
    bool has_left = wrote && c->group_since_us == s->base.now_us;
    return has_left ? s->truth.actors[w->actor].group : c->group;
}

/* Is nobody there who would count as a second copy, as far as this node can know? */
static bool is_alone(struct sim *s, uint32_t h, uint64_t group) {
    uint32_t roster = group == seen_of(s, h)->group ? maps_roster_of(s, h) : UINT32_MAX;
    for (uint32_t o = 0; o < s->plan.hosts; o++) {
        const struct check_host *other = seen_of(s, o);
        bool member = (roster >> o & 1) != 0 && other->group == group;
        bool ready = s->hosts[o].node != NULL && other->ready_since_us != 0 &&
                     s->base.now_us > other->ready_since_us + SETTLED_US &&
                     s->base.now_us > other->group_since_us + SETTLED_US;
        const struct disk *disk = &s->disks[o];
        bool was_full = disk->full_us != 0 && s->base.now_us - disk->full_us <= SETTLED_US;
        ready &= !disk->is_full && !was_full;
        const struct peer *peer = peers_find(node_view(s->hosts[h].node), &s->hosts[o].address);
        bool listed =
            peer != NULL && peer_in_view(peer) && !peer->row.is_full; /* as it last said */
        /* A row may be seconds behind what is owed to who starts with a disk over a thin link. */
        if (s->plan.has_disks) listed &= listed && peer->row.synced;
        bool met = seen_of(s, h)->sees[o] && seen_of(s, h)->sees_boot[o] == s->hosts[o].boot_serial;
        if (o != h && member && ready && listed && met) return false;
    }
    return true;
}

/* I19 looks at what was once on the whole roster, all of which lived by one map. */
static void judge_whole(struct sim *s, uint32_t h, uint32_t write) {
    struct truth_write *w = &s->truth.writes[write];
    uint32_t map = seen_of(s, h)->map;
    if (w->whole || !w->has_stamp || !maps_owns(s, h, w->key)) return;
    uint32_t owners = maps_owners(s, map, w->key);
    for (uint32_t o = 0; o < s->plan.hosts; o++) {
        const struct check_host *c = seen_of(s, o);
        bool other = c->map != map || c->ready_since_us == 0;
        bool lacks = !has(s, o, w) || (s->plan.world == WORLD_MAPS && other);
        if ((owners >> o & 1) != 0 && lacks) return;
    }
    w->whole = true;
    uint32_t *floor = &s->check.floor[w->key];
    if (*floor != WRITE_NONE && !stamp_less(s->truth.writes[*floor].stamp, w->stamp)) return;
    *floor = write;
    s->check.floor_map[w->key] = map;
}

/* A lost write is within D: because it was waived, here in this turn or where D came from before;
 * or because a copy was still under way when its last node died. */
static bool is_waived(const struct sim *s, uint32_t h, struct truth_write *w) {
    w->waived |= node_replica_stats(s->hosts[h].node)->waived > s->check.hosts[h].waived;
    return w->waived;
}

/* I13: of each dot that was delivered, the write or a later one is here; but for the waived. */
static void judge_dot(struct sim *s, uint32_t h, uint32_t key, uint32_t write) {
    struct truth_write *w = &s->truth.writes[write];
    uint32_t shown = seen_of(s, h)->shows[key];
    if (w->key != key) return;
    if (w->lost) {
        bool covered = shown != write && not_older(s, shown, write);
        if (covered) { /* delivered or waived: a later version stands in its place anyway... */
            if (s->plan.has_disks) is_waived(s, h, w); /* ...unless power takes that */
            return;
        }
        if (shown != write && is_waived(s, h, w)) return;
        w->lost = false;
        s->truth.lost_count--;
    }
    if (shown == write && w->waived) {
        base_violation(&s->base, "I13", "n%u shows w%u, which was waived", h, write);
    }
    if (!not_older(s, shown, write)) {
        if (is_out_of_reach(s, h, w) && is_waived(s, h, w)) return;
        base_violation(&s->base, "I13", "n%u has delivered w%u of k%u and shows w%u", h, write, key,
                       shown);
    }
    count_boot(s, h, w);
    if (s->hosts[h].boot == truth_origin(&s->truth, w)) {
        w->lone |= is_alone(s, h, group_of_copies(s, h, w));
    }
    judge_whole(s, h, write);
}

void check_named(struct sim *s, uint32_t write) {
    maps_check_writer(s, write);
    for (uint32_t h = 0; h < s->plan.hosts; h++) {
        struct truth_write *w = &s->truth.writes[write];
        bool had = seen_of(s, h)->delivered[w->key][w->actor] >= w->n;
        if (has(s, h, w)) {
            judge_dot(s, h, w->key, write);
        } else if (had) {
            count_boot(s, h, w); /* it has died since */
        }
    }
}

uint32_t check_shown(struct sim *s, uint32_t h, uint32_t key) {
    struct version v;
    if (!find(s, h, key, &v)) return WRITE_NONE;
    uint32_t actor = check_actor(s, h, v.dot.actor);
    bool is_new = truth_find(&s->truth, actor, v.dot.n) == WRITE_NONE;
    uint32_t write = truth_sight(&s->base, &s->truth, &v, actor, key);
    if (is_new) check_named(s, write);
    return write;
}

/* I3 for each actor, then what is new. */
static bool judge_clock(struct sim *s, uint32_t h, uint32_t key, const uint32_t *now) {
    uint32_t *before = seen_of(s, h)->delivered[key];
    bool changed = false;
    for (uint32_t a = 0; a < s->truth.actor_count; a++) {
        uint32_t from = before[a];
        if (now[a] < from) {
            base_violation(&s->base, "I3", "n%u: D of k%u's slot shrinks from %u to %u", h, key,
                           from, now[a]);
        }
        if (now[a] == from) continue;
        changed = true;
        before[a] = now[a];
        uint32_t *had = &s->check.had[h][key][a];
        if (*had < now[a]) *had = now[a];
        base_trace(&s->base, now[a], "  n%u: D of k%u: %016llx now %u", h, key,
                   (unsigned long long)s->truth.actors[a].id, now[a]);
        for (uint32_t n = from + 1; n <= now[a]; n++) {
            uint32_t write = truth_find(&s->truth, a, n);
            if (write != WRITE_NONE) judge_dot(s, h, key, write);
        }
    }
    return changed;
}

/* I9: two nodes that have a slot and have delivered the same of it show the same in it. */
static void judge_pairs(struct sim *s, uint32_t h, uint32_t key) {
    const struct check_host *mine = seen_of(s, h);
    for (uint32_t o = 0; o < s->plan.hosts; o++) {
        const struct check_host *other = seen_of(s, o);
        bool both = o != h && s->hosts[o].node != NULL && other->holds[key];
        if (!both || other->shows[key] == mine->shows[key]) continue;
        size_t bytes = s->truth.actor_count * sizeof mine->delivered[key][0];
        if (memcmp(mine->delivered[key], other->delivered[key], bytes) != 0) continue;
        base_violation(&s->base, "I9", "n%u and n%u have delivered the same and show w%u and w%u",
                       h, o, mine->shows[key], other->shows[key]);
    }
}

/* It makes the write, and has its slot; or has made it, and kept the slot ever since. */
static bool is_origin(const struct sim *s, uint32_t h, const struct truth_write *w) {
    bool is_its_boot = s->hosts[h].node != NULL && s->hosts[h].boot == truth_origin(&s->truth, w);
    bool is_made = w->has_dot && s->check.had[h][w->key][w->actor] >= w->n;
    return is_its_boot && (is_made ? has(s, h, w) : s->check.hosts[h].holds[w->key]);
}

/* Does anybody but this host (HOSTS_MAX: anybody at all) have the write, or the disk of the dead?
 */
static bool is_elsewhere(const struct sim *s, uint32_t h, const struct truth_write *w) {
    for (uint32_t o = 0; o < s->plan.hosts; o++) {
        if (o == h) continue;
        if (is_origin(s, o, w) || has(s, o, w)) return true;
        if (s->hosts[o].node == NULL && disk_keeps(s, o, w)) return true;
    }
    return false;
}

static void lose(struct sim *s, uint32_t write) {
    s->truth.writes[write].lost = true;
    s->truth.lost_count++;
    base_trace(&s->base, write, "  w%u is lost", write);
}

/* The slot is not kept any more. That may not be the end of any write, unless somebody died who was
 * counted on. */
static void judge_dropped(struct sim *s, uint32_t h, uint32_t key) {
    struct check_host *c = seen_of(s, h);
    bool death = s->check.died_us != 0 && s->base.now_us - s->check.died_us < START_US;
    for (uint32_t i = 0; i < s->truth.count; i++) {
        struct truth_write *w = &s->truth.writes[i];
        bool here = w->has_dot && w->key == key && has(s, h, w);
        if (!here || w->lost || is_elsewhere(s, h, w)) continue;
        lose(s, i);
        if (!death || s->plan.one_at_a_time) {
            base_violation(&s->base, "I8", "n%u drops the slot of k%u, and w%u is lost", h, key, i);
        }
    }
    base_say(&s->base, "  n%u drops the slot of k%u", h, key);
    memset(c->delivered[key], 0, sizeof c->delivered[key]);
    c->shows[key] = WRITE_NONE;
    c->holds[key] = false;
}

/* By the map that it lived by before this turn, a slot was another's; it dropped that, and has it
 * anew by the map that it lives by now. */
static bool is_begun_anew(struct sim *s, uint32_t h, uint32_t key, const uint32_t *now) {
    const struct check_host *c = seen_of(s, h);
    bool shrinks = false;
    for (uint32_t a = 0; a < s->truth.actor_count; a++)
        shrinks |= now[a] < c->delivered[key][a];
    bool owned = c->map_judged == MAP_NONE || (maps_owners(s, c->map_judged, key) >> h & 1) != 0;
    return shrinks && !owned && maps_owns(s, h, key);
}

static void judge_state(struct sim *s, uint32_t h) {
    struct check_host *c = seen_of(s, h);
    for (uint32_t key = 0; key < s->plan.keys; key++) {
        uint32_t now[ACTORS_MAX];
        bool holds = node_slot_clock(s->hosts[h].node, s->slots[key]) != NULL;
        if (c->holds[key] && !holds && maps_owns(s, h, key)) {
            base_violation(&s->base, "I3", "n%u drops the slot of k%u, which it owns", h, key);
        }
        delivered(s, h, key, now);
        if (c->holds[key] && (!holds || is_begun_anew(s, h, key, now))) judge_dropped(s, h, key);
        c->holds[key] = holds;
        uint32_t before = seen_of(s, h)->shows[key], shown = check_shown(s, h, key);
        judge_shown(s, h, key, shown, now);
        if (judge_clock(s, h, key, now) || shown != before) judge_pairs(s, h, key);
    }
}

/* ---- Two copies ---- */

/* An answer from elsewhere has named a write; meanwhile all that had it may have died. */
void check_named_late(struct sim *s, uint32_t h, uint32_t write) {
    const struct truth_write *w = &s->truth.writes[write];
    if (w->lost || is_elsewhere(s, HOSTS_MAX, w)) return;
    lose(s, write);
    uint32_t owners = maps_owners(s, seen_of(s, h)->map, w->key);
    if (s->plan.one_at_a_time && (owners & (owners - 1)) != 0) {
        base_violation(&s->base, "I8", "w%u was answered and is nowhere", write);
    }
}

/* I8: what is answered or served is on two nodes, or its node was alone. */
static void judge_copies(struct sim *s, uint32_t h) {
    struct check_host *c = seen_of(s, h);
    for (uint32_t i = 0; i < c->due_count; i++) {
        struct truth_write *w = &s->truth.writes[c->due[i]];
        count_boot(s, h, w);
        if (w->boots >= 2 || w->lone) continue;
        w->lone = is_alone(s, h, group_of_copies(s, h, w));
        if (w->lone) continue;
        base_violation(&s->base, "I8", "n%u shows or acknowledges w%u, which is on one node", h,
                       c->due[i]);
    }
    c->due_count = 0;
}

/* When the last node that has a write dies, the write is lost. It may be, if its node was alone or
 * if several nodes died; never in a plan that kills one at a time and waits between, but of a shard
 * of one node. Who has a disk and keeps its power loses nothing. */
void check_before_death(struct sim *s, uint32_t h) {
    uint32_t roster = maps_roster_of(s, h);
    bool strict = s->plan.one_at_a_time && (roster & ~(1u << h)) != 0;
    strict |= s->plan.has_disks && s->plan.keeps_power;
    for (uint32_t i = 0; i < s->truth.count; i++) {
        struct truth_write *w = &s->truth.writes[i];
        if (!w->has_dot || (!is_origin(s, h, w) && !has(s, h, w))) continue;
        if (w->lost || is_elsewhere(s, h, w) || disk_keeps(s, h, w)) continue;
        lose(s, i);
        if (strict && (w->state == WRITE_DONE || w->served)) {
            base_violation(&s->base, "I8", "n%u dies and w%u, which was answered, is lost", h, i);
        }
    }
}

void check_burned(struct sim *s, uint32_t h) {
    for (uint32_t i = 0; i < s->truth.count; i++) {
        const struct truth_write *w = &s->truth.writes[i];
        if (w->has_dot && !w->lost && s->check.had[h][w->key][w->actor] >= w->n &&
            !is_elsewhere(s, HOSTS_MAX, w)) {
            lose(s, i);
        }
    }
}

/* ---- Views ---- */

static bool lists(const struct sim *s, uint32_t h, uint32_t o) {
    return peers_lists(node_view(s->hosts[h].node), &s->hosts[o].address);
}

/* Both hear each other and have for a while. */
static bool settled(const struct sim *s, uint32_t h, uint32_t o) {
    const struct host *x = &s->hosts[h], *y = &s->hosts[o];
    uint64_t since = s->check.uncut_us[h][o];
    if (since < x->changed_us) since = x->changed_us;
    if (since < y->changed_us) since = y->changed_us;
    if (since < x->resumed_us) since = x->resumed_us;
    if (since < y->resumed_us) since = y->resumed_us;
    bool passes = !s->net.cut[h][o] && !s->net.cut[o][h] && host_runs(y);
    return passes && s->base.now_us - since > SETTLED_US;
}

void check_cut(struct sim *s, uint32_t from, uint32_t to) {
    struct check *c = &s->check;
    bool cut = s->net.cut[from][to] || s->net.cut[to][from];
    uint64_t since = c->cut_us[from][to], now = s->base.now_us;
    if (cut == (since != 0)) return;
    if (!cut) {
        c->uncut_us[from][to] = c->uncut_us[to][from] = now;
        if (now - since > SETTLED_US) c->gap_us[from][to] = c->gap_us[to][from] = now;
    }
    c->cut_us[from][to] = c->cut_us[to][from] = cut ? now : 0;
}

/* Has a pair that was thrown apart been back for less than READMIT_MS? Who was stopped meanwhile
 * cannot know how long the gap was. */
static bool is_too_early(const struct sim *s, uint32_t h, uint32_t o) {
    const struct check *c = &s->check;
    uint64_t now = s->base.now_us, gap = c->gap_us[h][o], cut = c->cut_us[h][o];
    bool early = gap != 0 && now - gap + 2 * MS < s->plan.readmit_ms * MS &&
                 s->hosts[h].resumed_us + SETTLED_US < gap;
    bool awake = now - s->hosts[h].resumed_us > SETTLED_US;
    return early || (cut != 0 && now - cut > SETTLED_US && awake);
}

/* Who was struck off by request is out. Connections that break throw nobody out, nor do the deaths
 * of others; unless they break so often that an acknowledgement finds no way for a second. */
static void judge_gone(struct sim *s, uint32_t h, uint32_t o) {
    if ((s->plan.faults & FAULTS_OF_CUT) != 0 || s->plan.fault_gap_us < 500 * MS) return;
    uint64_t struck_us = s->check.struck_us[h][o];
    /* One that resumes by a map that keeps the other out is a new process for that, too. */
    uint64_t while_us = s->plan.has_disks ? 2 * SETTLED_US : SETTLED_US;
    if (struck_us != 0 && s->base.now_us - struck_us < while_us) return;
    /* And who is named again is listed for a moment, and for good when it has heard the others for
     * long enough. */
    bool is_named_again = was_struck(s, h, o) || was_struck(s, o, h);
    while_us += s->plan.readmit_ms * MS;
    if (is_named_again && s->base.now_us - s->maps.changed_us < while_us) return;
    base_violation(&s->base, "VIEW", "n%u lists n%u no more, and nothing was cut", h, o);
}

/* In this turn it has lived by a map that keeps the other out, and by one that does not again. */
static bool has_passed_over(const struct sim *s, uint32_t h, uint32_t o) {
    const struct check_host *c = &s->check.hosts[h];
    if (c->map_judged == MAP_NONE || c->map_judged == c->map) return false;
    for (uint32_t i = 0; i < s->maps.count; i++) {
        uint64_t boot = map_struck_boot(s->maps.list[i].map, &s->hosts[o].address);
        bool between = maps_greater(s, i, c->map_judged) && maps_greater(s, c->map, i);
        if (between && boot != 0 && boot == s->hosts[o].boot) return true;
    }
    return false;
}

static void note_struck(struct sim *s, uint32_t h, uint32_t o) {
    if (!request_has_struck(s, h, o) && !has_passed_over(s, h, o)) return;
    s->check.struck_us[h][o] = s->check.struck_us[o][h] = s->base.now_us;
}

/* The very process that lives there now; unless h was asked to list it, and the map that says so
 * waits to be adopted; or takes it for its former one, whose death it has not noticed yet. */
static bool is_struck_off(const struct sim *s, uint32_t h, uint32_t o) {
    uint64_t boot = map_struck_boot(node_map(s->hosts[h].node), &s->hosts[o].address);
    const struct peer *p = peers_find(node_view(s->hosts[h].node), &s->hosts[o].address);
    bool is_named = s->check.hosts[h].named_under[o] == s->check.hosts[h].map;
    bool is_meant = p == NULL || p->boot == 0 || p->boot == boot;
    return boot != 0 && boot == s->hosts[o].boot && is_meant && !is_named;
}

/* Who was thrown out is back only after READMIT_MS without a gap. */
static void judge_view(struct sim *s, uint32_t h) {
    struct check_host *c = seen_of(s, h);
    for (uint32_t o = 0; o < s->plan.hosts; o++) {
        if (o == h || s->hosts[o].node == NULL) continue;
        bool now = lists(s, h, o);
        note_struck(s, h, o);
        if (now && is_struck_off(s, h, o)) {
            base_violation(&s->base, "STRUCK", "n%u lists n%u, whom its map keeps out", h, o);
        }
        if (c->sees_boot[o] != s->hosts[o].boot_serial) {
            c->sees[o] = false;
            if (now && settled(s, h, o)) {
                c->sees[o] = true;
                c->sees_boot[o] = s->hosts[o].boot_serial;
            }
        } else if (now && !c->sees[o]) {
            if (is_too_early(s, h, o)) {
                base_violation(&s->base, "READMIT", "n%u lists n%u again too early", h, o);
            }
            c->sees[o] = true;
        } else if (!now && c->sees[o]) {
            judge_gone(s, h, o);
            c->sees[o] = false;
        }
    }
}

/* Nobody has changed his map lately, nor was anybody asked to. */
static bool are_maps_calm(const struct sim *s) {
    uint64_t since = s->maps.changed_us;
    if (since < s->requests.last_us) since = s->requests.last_us;
    return s->base.now_us - since > START_US + S + s->plan.readmit_ms * MS;
}

void check_expected(struct sim *s, uint32_t h, uint32_t changes) {
    const struct host *host = &s->hosts[h];
    bool calm = (s->plan.faults & FAULTS_OF_CUT) == 0 && host->changes == changes;
    calm &= s->plan.requests == 0 || are_maps_calm(s);
    for (uint32_t o = 0; o < s->plan.hosts; o++) {
        bool fresh = s->base.now_us - s->hosts[o].changed_us < START_US + S;
        uint64_t full_us = s->disks[o].full_us;
        calm &= !s->disks[o].is_full && (full_us == 0 || s->base.now_us - full_us >= START_US);
        if (o != h && (s->hosts[o].node == NULL || fresh)) calm = false;
    }
    if (!calm) return;
    if (host->node != NULL && maps_roster_of(s, h) != 0 && !node_ready(host->node)) {
        base_violation(&s->base, "START", "n%u is not ready 3 s after its start", h);
    }
    for (uint32_t o = 0; o < s->plan.hosts; o++) {
        if (o == h || s->hosts[o].node == NULL) continue;
        if (lists(s, o, h) == (host->node != NULL) || !request_is_introduced(s, h, o)) continue;
        if (request_has_struck(s, h, o)) continue;
        if (host->node == NULL && seen_of(s, o)->sees_boot[h] == 0) continue; /* never heard */
        base_violation(&s->base, "VIEW", "n%u %s n%u", o,
                       host->node != NULL ? "does not list, 3 s after its start,"
                                          : "still lists, 2 s after its death,",
                       h);
    }
}

/* ---- Turns ---- */

/* Who could not reach everybody says so, and nobody else. */
static void judge_ready(struct sim *s, uint32_t h) {
    bool late = s->base.now_us - s->hosts[h].changed_us + 2 * MS >= CATCHUP_LEVEL_MS * MS;
    if (node_provisional(s->hosts[h].node) && !late && !s->plan.has_disks) {
        base_violation(&s->base, "START", "n%u is provisionally ready at once", h);
    }
}

/* It has noticed that another process lives there now. */
static bool knows_process(const struct sim *s, uint32_t h, uint32_t o) {
    const struct peer *p = peers_find(node_view(s->hosts[h].node), &s->hosts[o].address);
    return o == h || p->boot == s->hosts[o].boot;
}

/* A reshard is over when everybody has what it owns, which holds as long as nothing else happens;
 * a death that is not noticed yet does not count.
 */
static void judge_resharded(struct sim *s, uint32_t h) {
    struct check_host *c = seen_of(s, h);
    bool was = c->reshards;
    c->reshards = node_resharding(s->hosts[h].node);
    if (!was || c->reshards || !s->plan.one_at_a_time) return;
    base_say(&s->base, "  n%u: the reshard is over", h);
    for (uint32_t o = 0; o < s->plan.hosts; o++) {
        const struct node *n = s->hosts[o].node;
        if (n == NULL || !lists(s, h, o) || !knows_process(s, h, o)) continue;
        bool done = seen_of(s, o)->map == c->map && !node_has_residue(n) && node_base_complete(n);
        if (done) continue;
        base_violation(&s->base, "RESHARD", "over, says n%u, and n%u has not all", h, o);
    }
}

void check_turn(struct sim *s, uint32_t h) {
    struct check_host *c = seen_of(s, h);
    const struct node *n = s->hosts[h].node;
    s->check.turns++;
    maps_look(s, h);
    if (!node_ready(n)) {
        c->ready_since_us = 0;
    } else if (c->ready_since_us == 0) {
        c->ready_since_us = s->base.now_us + 1;
        base_trace(&s->base, h, "n%u is ready", h);
        judge_ready(s, h);
    }
    if (s->plan.has_disks) disk_check_turn(s, h);
    judge_resharded(s, h);
    judge_state(s, h);
    judge_copies(s, h);
    c->waived = node_replica_stats(n)->waived;
    judge_view(s, h);
    c->map_judged = c->map;
}

/* A write may be on its whole roster by a map that came later. */
static void judge_all_whole(struct sim *s) {
    for (uint32_t i = 0; i < s->truth.count; i++) {
        const struct truth_write *w = &s->truth.writes[i];
        for (uint32_t h = 0; h < s->plan.hosts && !w->whole && !w->lost; h++) {
            if (has(s, h, w)) judge_whole(s, h, i);
        }
    }
}

/* I15: whatever waits at a node that runs comes to an end. */
void check_pending(struct sim *s) {
    if (s->plan.world == WORLD_MAPS) judge_all_whole(s);
    for (uint32_t i = 0; i < s->plan.sessions; i++) {
        const struct session *me = &s->clients.sessions[i];
        if (!me->busy) continue;
        const struct client_op *op = &s->clients.ops[me->op];
        const struct host *host = &s->hosts[op->host];
        uint64_t since =
            op->waits_since_us > host->resumed_us ? op->waits_since_us : host->resumed_us;
        uint64_t limit = s->plan.park_ms * MS + OP_US;
        if (op->state != OP_AT_NODE || host->paused || s->base.now_us - since < limit) continue;
        base_violation(&s->base, "I15", "#%u waits at n%u for more than 7 s", me->op, op->host);
    }
}

/* ---- Answers ---- */

/* Its process is gone, or its node is of another group by that map. */
static bool is_over(const struct sim *s, const struct map *map, uint32_t actor) {
    const struct truth_actor *a = &s->truth.actors[actor];
    uint32_t shard = map_shard_of_node(map, &a->node);
    return host_of_boot(s, a->boot) == NULL || shard == SHARD_NONE || map->group[shard] != a->group;
}

/* Under a map that was made later an entry may go whose writer is over and that all owners have had
 * by that map, the dead included. */
static bool may_go_under(struct sim *s, uint32_t map, uint32_t h, uint32_t actor, uint32_t n) {
    if (!is_over(s, s->maps.list[map].map, actor)) return false;
    for (uint32_t k = 0; k < s->plan.keys; k++) {
        uint32_t now[ACTORS_MAX], owners = maps_owners(s, map, k);
        if (!truth_concerns(&s->truth, actor, k)) continue;
        delivered(s, h, k, now); /* it may have come in this very turn */
        for (uint32_t o = 0; o < s->plan.hosts; o++) {
            bool had = s->check.had[o][k][actor] >= n || (o == h && now[actor] >= n);
            if (!had && (owners >> o & 1) != 0) return false;
        }
    }
    return true;
}

/* The answer may be from a node that lives by another map than h: metadata names the one that it
 * was trimmed under. What has gone once need not come back. */
static bool is_pruned(struct sim *s, uint32_t h, const struct metadata *m, uint32_t actor,
                      uint32_t n) {
    uint32_t *pruned = &s->check.pruned[actor];
    if (m->maps_len > 0 && s->plan.world > WORLD_GROUP && n <= *pruned) return true;
    for (uint32_t i = 0; i < m->maps_len; i++) {
        uint32_t map = maps_named(s, m->maps[i]);
        if (map == MAP_NONE || !may_go_under(s, map, h, actor, n)) continue;
        if (*pruned < n) *pruned = n;
        return true;
    }
    return false;
}

/* I6: the metadata names all that its owner has seen, the past of what is shown included. */
static void judge_metadata(struct sim *s, uint32_t h, const struct past *past,
                           const struct metadata *m, uint32_t shown) {
    uint32_t named[ACTORS_MAX] = {0};
    for (uint32_t i = 0; i < m->clock.len; i++) {
        struct dot dot = m->clock.dots[i];
        named[check_actor(s, h, dot.actor)] = (uint32_t)dot.n;
    }
    const struct truth_write *w = write_at(s, shown);
    for (uint32_t x = 0; x < s->truth.actor_count; x++) {
        uint32_t seen = past->seen[x];
        if (w != NULL && w->past.seen[x] > seen) seen = w->past.seen[x];
        if (w != NULL && w->actor == x && w->n > seen) seen = w->n;
        if (named[x] >= seen || is_pruned(s, h, m, x, seen)) continue;
        base_violation(&s->base, "I6", "n%u: metadata names %u of actor %016llx, seen was %u", h,
                       named[x], (unsigned long long)s->truth.actors[x].id, seen);
    }
    uint64_t time = past->stamp.hlc;
    if (w != NULL && w->has_stamp) time = hlc_max(time, w->stamp.hlc);
    if (m->time < time) {
        base_violation(&s->base, "I6", "n%u: metadata's time is below what was seen", h);
    }
}

/* I7: all that the client knew of about the key is here, and nothing older than it is shown. Who
 * only writes may do so before a new owner has what was pruned long ago. */
static void judge_delivered(struct sim *s, uint32_t h, const struct client_op *op,
                            const struct past *past, bool wrote) {
    uint32_t now[ACTORS_MAX];
    delivered(s, h, op->key, now);
    for (uint32_t x = 0; x < s->truth.actor_count; x++) {
        if (now[x] >= past->seen[x] || !truth_concerns(&s->truth, x, op->key)) continue;
        if (wrote && past->seen[x] <= s->check.pruned[x]) continue;
        if (is_pruned_and_lost(s, h, op->key, x, now[x], past->seen[x])) continue;
        base_violation(&s->base, "I7",
                       "n%u answers for k%u, with %u of %016llx delivered; seen: %u", h, op->key,
                       now[x], (unsigned long long)s->truth.actors[x].id, past->seen[x]);
    }
}

static void judge_latest(struct sim *s, uint32_t h, const struct client_op *op,
                         const struct past *past, uint32_t shown) {
    uint32_t latest = past->latest[op->key];
    const struct truth_write *w = write_at(s, latest);
    if (w == NULL || w->lost || not_older(s, shown, latest)) return;
    if (!has(s, h, w) && is_pruned_and_lost(s, h, op->key, w->actor, w->n - 1, w->n)) {
        lose(s, latest); /* until one that was struck off brings it back */
        return;
    }
    base_violation(&s->base, "I7", "n%u shows w%u to one who has seen w%u", h, shown, latest);
}

/* All whose disk has it whole are dead, and those alive have lost the end of their logs; or one of
 * these knows that it has not met all. */
static bool is_out_of_sight(const struct sim *s, uint32_t h, uint32_t write) {
    bool alive = false;
    for (uint32_t o = 0; o < s->plan.hosts; o++)
        alive |= has(s, o, &s->truth.writes[write]);
    return s->plan.has_disks && (!alive || node_provisional(s->hosts[h].node));
}

/* I19: what was once on a whole roster is never missed, even by who knows nothing, by that map or
 * a later one. */
static void judge_floor(struct sim *s, uint32_t h, const struct client_op *op, uint32_t shown) {
    uint32_t floor = s->check.floor[op->key];
    bool judged =
        s->plan.world == WORLD_MAPS ? s->plan.one_at_a_time : (s->plan.faults & FAULTS_OF_CUT) == 0;
    if (!judged || floor == WRITE_NONE || is_out_of_sight(s, h, floor)) return;
    uint32_t map = s->check.floor_map[op->key], mine = seen_of(s, h)->map;
    if (s->plan.world > WORLD_GROUP && maps_greater(s, map, mine)) return;
    if (!s->truth.writes[floor].lost && !not_older(s, shown, floor)) {
        base_violation(&s->base, "I19", "n%u shows w%u, and w%u was on the whole roster", h, shown,
                       floor);
    }
}

void check_begins(struct sim *s, uint32_t h) {
    if (node_ready(s->hosts[h].node)) return;
    base_violation(&s->base, "I14", "n%u serves and is not ready", h);
}

static void judge_served_here(struct sim *s, uint32_t h, const struct client_op *op,
                              uint32_t shown) {
    struct check_host *c = seen_of(s, h);
    bool wrote = shown != WRITE_NONE && shown == op->write;
    if (!wrote) check_begins(s, h);
    if (shown != WRITE_NONE) {
        s->truth.writes[shown].lone |= is_alone(s, h, c->group);
        if (c->due_count < DUE_MAX) c->due[c->due_count++] = shown;
    }
    judge_delivered(s, h, op, &s->clients.sessions[op->session].past, wrote);
    if (op->kind == OP_GET) judge_floor(s, h, op, shown);
}

void check_answer(struct sim *s, uint32_t h, const struct client_op *op, const struct metadata *m,
                  uint32_t shown, bool here) {
    const struct past *past = &s->clients.sessions[op->session].past;
    if (shown != WRITE_NONE) s->truth.writes[shown].served = true;
    if (here) judge_served_here(s, h, op, shown);
    judge_metadata(s, h, past, m, shown);
    judge_latest(s, h, op, past, shown);
}

void check_answer_of_unknown(struct sim *s, uint32_t h, const struct client_op *op,
                             const struct metadata *m) {
    judge_metadata(s, h, &s->clients.sessions[op->session].past, m, WRITE_NONE);
}

/* ---- Rest ---- */

/* With a member gone for good, what waits for the lost waits for ever. */
static bool is_complete(const struct sim *s) {
    for (uint32_t h = 0; h < s->plan.hosts; h++) {
        if (s->hosts[h].node == NULL) return false;
    }
    return true;
}

static void judge_quiet(struct sim *s, uint32_t h) {
    const struct node *n = s->hosts[h].node;
    bool complete = is_complete(s), in_shard = maps_roster_of(s, h) != 0;
    if (in_shard && !node_ready(n)) {
        base_violation(&s->base, "I10", "n%u is not ready at rest", h);
    }
    if (in_shard && !node_base_complete(n)) {
        base_violation(&s->base, "I10", "n%u has not all of the groups before, at rest", h);
    }
    if (node_has_residue(n) || node_resharding(n)) {
        base_violation(&s->base, "I10", "n%u %s at rest", h,
                       node_has_residue(n) ? "keeps slots that it does not own" : "reshards");
    }
    if ((complete ? node_held_back(n) : 0) + node_under_way(n) > 0) {
        base_violation(&s->base, "I10", "n%u: %u held back, %u under way at rest", h,
                       node_held_back(n), node_under_way(n));
    }
    if (complete && node_provisional(n)) {
        base_violation(&s->base, "I10", "n%u is provisional at rest", h);
    }
}

static void judge_rest_view(struct sim *s, uint32_t h) {
    for (uint32_t o = 0; o < s->plan.hosts; o++) {
        if (o == h || lists(s, h, o) == (s->hosts[o].node != NULL)) continue;
        if (s->hosts[o].node != NULL && !request_is_introduced(s, h, o)) continue;
        base_violation(&s->base, "I10", "n%u %s n%u at rest", h,
                       s->hosts[o].node == NULL ? "lists the dead" : "does not list", o);
    }
}

static void judge_level(struct sim *s, uint32_t h, uint32_t first, uint32_t k) {
    const struct check_host *mine = seen_of(s, h), *other = seen_of(s, first);
    size_t bytes = s->truth.actor_count * sizeof(uint32_t);
    bool level = memcmp(mine->delivered[k], other->delivered[k], bytes) == 0;
    if (level && mine->shows[k] == other->shows[k]) return;
    base_violation(&s->base, "I10", "at rest k%u: n%u shows w%u, n%u shows w%u%s", k, h,
                   mine->shows[k], first, other->shows[k], level ? "" : ", other D");
}

/* What was answered is where it belongs, unless all that had it have died. */
static void judge_kept(struct sim *s, uint32_t h, uint32_t k) {
    uint32_t shown = seen_of(s, h)->shows[k];
    for (uint32_t i = 0; i < s->truth.count; i++) {
        const struct truth_write *w = &s->truth.writes[i];
        bool counts = w->key == k && !w->lost && (w->state == WRITE_DONE || w->served);
        if (!counts || not_older(s, shown, i)) continue;
        base_violation(&s->base, "I10", "at rest n%u shows w%u of k%u, and w%u was answered", h,
                       shown, k, i);
    }
}

/* The keys of a host's shard: all its owners show the same, and count them right. */
static void judge_rest_keys(struct sim *s, uint32_t h) {
    const struct node *n = s->hosts[h].node;
    uint64_t keys = 0, live = 0;
    for (uint32_t k = 0; k < s->plan.keys; k++) {
        uint32_t first = 0, owners;
        if (!maps_owns(s, h, k)) continue;
        owners = maps_owners(s, seen_of(s, h)->map, k);
        while ((owners >> first & 1) == 0 || s->hosts[first].node == NULL)
            first++;
        uint32_t shown = check_shown(s, h, k);
        live += shown != WRITE_NONE && !s->truth.writes[shown].is_delete;
        judge_level(s, h, first, k);
        if (h == first) judge_kept(s, h, k);
    }
    if (maps_roster_of(s, h) == 0) return;
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot++) {
        if (node_owns_slot(n, slot)) keys += store_slot_live(node_store(n), slot);
    }
    if (keys != live) {
        base_violation(&s->base, "I10", "n%u counts %llu keys in its shard, there are %llu", h,
                       (unsigned long long)keys, (unsigned long long)live);
    }
}

void check_rest(struct sim *s) {
    uint32_t first = HOSTS_MAX;
    for (uint32_t h = 0; h < s->plan.hosts; h++) {
        if (s->hosts[h].node == NULL) continue;
        if (first == HOSTS_MAX) first = h;
        judge_quiet(s, h);
        judge_rest_view(s, h);
        if (node_map(s->hosts[h].node)->id != node_map(s->hosts[first].node)->id) {
            base_violation(&s->base, "I10", "n%u and n%u live by different maps", h, first);
        }
        judge_rest_keys(s, h);
    }
}

/* An entry of a living actor: its process writes for that group now. */
static bool is_of_the_living(const struct sim *s, uint32_t actor) {
    const struct truth_actor *a = &s->truth.actors[actor];
    const struct host *host = host_of_boot(s, a->boot);
    return host != NULL && s->check.hosts[host->index].group == a->group;
}

/* In some slot no node has the dot: who had taken it over there has died, and since none of the
 * keys is there, nobody misses it. */
static bool is_gone_somewhere(const struct sim *s, uint64_t actor_id, uint64_t n) {
    for (uint32_t slot = 0; slot < SHARD_SLOTS; slot++) {
        uint64_t most = 0;
        for (uint32_t h = 0; h < s->plan.hosts; h++) {
            const struct node *node = s->hosts[h].node;
            uint32_t actor = actors_find_id(node_actors(node), actor_id);
            const struct vclock *clock = node_slot_clock(node, slot);
            uint64_t has = clock == NULL || actor == ACTOR_NONE ? 0 : vclock_get(clock, actor);
            if (has > most) most = has;
        }
        if (most < n) return true;
    }
    return false;
}

/* I10: metadata has become small: under a later map it names living actors only. What is lost, or
 * whose node is gone for good, stays named. */
void check_rest_answer(struct sim *s, uint32_t h, const struct metadata *m) {
    const struct check_host *c = seen_of(s, h);
    bool later = c->map != MAP_NONE && s->maps.list[c->map].map->epoch > 1;
    if (!later || !is_complete(s) || s->truth.lost_count > 0) return;
    for (uint32_t i = 0; i < m->clock.len; i++) {
        uint32_t actor = check_actor(s, h, m->clock.dots[i].actor);
        const struct truth_actor *x = &s->truth.actors[actor];
        if (is_of_the_living(s, actor) || is_gone_somewhere(s, x->id, m->clock.dots[i].n)) continue;
        base_violation(&s->base, "I10", "at rest n%u's metadata names actor %016llx, which is over",
                       h, (unsigned long long)s->truth.actors[actor].id);
    }
}

/* I18 */
void check_history(struct sim *s) {
    struct verdict v;
    checker_run(&v, buffer_slice(&s->clients.history));
    if (v.kind != VERDICT_CLEAN) {
        struct buffer text = {0};
        verdict_put(&text, &v, buffer_slice(&s->clients.history));
        buffer_put_char(&text, '\0');
        base_violation(&s->base, "I18", "%s", text.at);
    }
    verdict_free(&v);
}
