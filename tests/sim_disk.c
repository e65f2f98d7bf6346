/* Disks: what of a process is kept, what a death leaves of it, and whether that is right.
 *
 * A host has one log, one snapshot and perhaps a walk for the next one. At the end of a turn the
 * journal goes to the log before anything is sent. A kill leaves the whole log, and may come in the
 * middle of a turn: then some of its frames are there and nothing was sent. A loss of power takes
 * what was not synced, from some frame on. Each death is followed by a look at what a new process
 * will find: a node that recovers, for nothing else.
 */
#include <stdlib.h>

#include "sim.h"

#define PIECES_MAX 300 /* of a walk, in one turn */

static struct disk *disk_of(struct sim *s, uint32_t h) {
    return &s->disks[h];
}

void disks_free(struct sim *s) {
    for (uint32_t h = 0; h < HOSTS_MAX; h++) {
        buffer_free(&s->disks[h].snapshot);
        buffer_free(&s->disks[h].log);
        buffer_free(&s->disks[h].part);
    }
}

static void cut_front(struct buffer *b, size_t bytes) {
    if (bytes == 0) return; /* there may be no buffer */
    memmove(b->at, b->at + bytes, b->len - bytes);
    b->len -= bytes;
}

/* ---- While a process runs ---- */

/* The snapshot counts when the log is safe up to its end. */
static void end_walk(struct sim *s, uint32_t h) {
    struct disk *d = disk_of(s, h);
    d->snapshot.len = 0;
    buffer_put(&d->snapshot, buffer_slice(&d->part));
    cut_front(&d->log, d->log_part);
    d->synced = d->log.len;
    d->walks = false;
    base_trace(&s->base, d->snapshot.len, "n%u has a snapshot of %zu bytes", h, d->snapshot.len);
}

static void walk(struct sim *s, uint32_t h) {
    struct disk *d = disk_of(s, h);
    if (!d->walks && base_chance(&s->base, s->plan.snapshot_permille)) {
        d->walks = true;
        d->walk = (struct snapshot){0};
        d->part.len = 0;
        d->log_part = d->log.len;
        base_trace(&s->base, h, "n%u begins a snapshot", h);
    }
    for (uint64_t i = d->walks ? base_below(&s->base, PIECES_MAX) : 0; i > 0 && d->walks; i--) {
        if (!node_snapshot_next(s->hosts[h].node, &d->walk, &d->part)) end_walk(s, h);
    }
}

void disk_fills(struct sim *s, uint32_t h, bool is_full) {
    struct disk *d = disk_of(s, h);
    if (d->is_full == is_full) return;
    d->is_full = is_full;
    d->full_us = s->base.now_us;
    base_trace(&s->base, h, "n%u: its disk %s", h, is_full ? "is full" : "has room again");
    if (s->hosts[h].node == NULL) return;
    node_set_disk_trouble(s->hosts[h].node, is_full ? SLICE("Disk full") : SLICE(""));
}

/* FULL: no more than own writes that others have already, and notes of a few bytes. */
static void judge_frugal(struct sim *s, uint32_t h, struct slice journal) {
    const struct actors *as = node_actors(s->hosts[h].node);
    struct slice frame;
    while (disk_of(s, h)->is_full && durable_cut(&journal, &frame)) {
        struct wire_frame f;
        if (wire_cut(frame, &f) != WIRE_CUT_FRAME) continue;
        bool keeps = f.type == WIRE_VERSION;
        if (f.type == WIRE_WRITE) {
            const struct actor *a = actors_get(as, actors_find_id(as, load_u64(f.body.at)));
            keeps = a->boot != s->hosts[h].boot;
        }
        if (keeps) base_violation(&s->base, "FULL", "n%u takes a write, and its disk is full", h);
    }
}

void disk_take(struct sim *s, uint32_t h) {
    struct disk *d = disk_of(s, h);
    struct node *n = s->hosts[h].node;
    if (!s->plan.has_disks) return;
    struct slice journal = node_journal(n);
    judge_frugal(s, h, journal);
    buffer_put(&d->log, journal);
    if (journal.len > 0) base_trace(&s->base, journal.len, "n%u logs %zu bytes", h, journal.len);
    node_journal_taken(n);
    bool due = s->plan.syncs_always || s->base.now_us >= d->sync_us;
    if (due) {
        d->synced = d->log.len;
        d->sync_us = s->base.now_us + base_below(&s->base, 1 * S);
    }
    walk(s, h);
}

/* ---- Recovery ---- */

static void feed(struct sim *s, uint32_t h, struct node *n, struct slice frames) {
    struct slice frame;
    while (frames.len > 0) {
        if (durable_cut(&frames, &frame) && node_recover(n, frame)) continue;
        base_violation(&s->base, "DISK",
                       "n%u cannot recover: type %d, %zu bytes, %zu before the end", h, frame.at[4],
                       frame.len, frames.len);
    }
}

void disk_recover(struct sim *s, uint32_t h, struct node *n) {
    const struct disk *d = disk_of(s, h);
    if (!s->plan.has_disks) return;
    feed(s, h, n, buffer_slice(&d->snapshot));
    feed(s, h, n, buffer_slice(&d->log));
    node_recovered(n, !d->has_lost);
}

/* ---- What a death leaves ---- */

/* What a process would find there now. */
static void look(struct sim *s, uint32_t h) {
    struct disk *d = disk_of(s, h);
    struct node_config config = host_config(s, h);
    struct node *n = node_create(&config, 0, 0);
    disk_recover(s, h, n);
    memset(d->delivered, 0, sizeof d->delivered);
    for (uint32_t k = 0; k < s->plan.keys; k++) {
        const struct vclock *clock = node_slot_clock(n, s->slots[k]);
        struct version v;
        struct store_place place = store_locate(node_store(n), s->key_names[k]);
        d->holds[k] = clock != NULL;
        d->shows[k] = store_find(node_store(n), place, s->key_names[k], &v) ? v.hlc : 0;
        for (uint32_t i = 0; clock != NULL && i < clock->len; i++) {
            const struct actor *a = actors_get(node_actors(n), clock->dots[i].actor);
            uint32_t actor = truth_actor(&s->base, &s->truth, a);
            d->delivered[k][actor] = (uint32_t)clock->dots[i].n;
        }
    }
    node_free(n);
}

static bool shrinks(const uint32_t *from, const uint32_t *to, uint32_t count) {
    for (uint32_t a = 0; a < count; a++) {
        if (to[a] < from[a]) return true;
    }
    return false;
}

/* DISK: who is killed finds all that it had. */
static void judge_whole(struct sim *s, uint32_t h) {
    const struct disk *d = disk_of(s, h);
    const struct check_host *c = &s->check.hosts[h];
    for (uint32_t k = 0; k < s->plan.keys; k++) {
        struct version v;
        const struct store *store = node_store(s->hosts[h].node);
        struct store_place place = store_locate(store, s->key_names[k]);
        bool known = store_find(store, place, s->key_names[k], &v);
        bool same = d->holds[k] == c->holds[k] && d->shows[k] == (known ? v.hlc : 0);
        if (same && !shrinks(c->delivered[k], d->delivered[k], s->truth.actor_count)) continue;
        base_violation(&s->base, "DISK", "n%u dies, and its disk has less of k%u's slot", h, k);
    }
}

/* Some of the frames of a turn that nobody will hear of. */
static void write_some(struct sim *s, uint32_t h) {
    struct slice rest = node_journal(s->hosts[h].node), frame, all = rest;
    size_t kept = 0, upto = (size_t)base_below(&s->base, rest.len + 1);
    while (durable_cut(&rest, &frame) && all.len - rest.len <= upto)
        kept = all.len - rest.len;
    buffer_put(&disk_of(s, h)->log, (struct slice){all.at, kept});
    base_trace(&s->base, kept, "n%u has logged %zu of %zu bytes", h, kept, all.len);
}

/* What is not synced is gone, from some frame on. */
static void lose_tail(struct sim *s, uint32_t h) {
    struct disk *d = disk_of(s, h);
    struct slice rest = {d->log.at + d->synced, d->log.len - d->synced}, frame;
    size_t upto = d->synced + (size_t)base_below(&s->base, rest.len + 1), before = d->log.len;
    d->log.len = d->synced;
    while (durable_cut(&rest, &frame) && (size_t)(rest.at - d->log.at) <= upto)
        d->log.len = (size_t)(rest.at - d->log.at);
    base_trace(&s->base, d->log.len, "n%u: %zu of %zu bytes of the log are left", h, d->log.len,
               before);
    d->has_lost |= !s->plan.syncs_always;
}

void disk_dies(struct sim *s, uint32_t h, enum net_death how, bool in_turn) {
    struct disk *d = disk_of(s, h);
    if (!s->plan.has_disks) return;
    d->walks = false;
    if (in_turn) write_some(s, h);
    if (how == NET_OFF) lose_tail(s, h);
    look(s, h);
    d->was_ready = !in_turn && !d->has_lost && node_ready(s->hosts[h].node);
    d->map = s->check.hosts[h].map;
    if (!in_turn && !d->has_lost) judge_whole(s, h);
}

/* Some map goes on with the group of node h without it. Whoever hears of that loses its base. */
static bool is_left_out(const struct sim *s, uint32_t h) {
    const struct map *mine = node_map(s->hosts[h].node);
    uint32_t shard = map_shard_of_node(mine, &s->hosts[h].address);
    for (uint32_t i = 0; i < s->maps.count && shard != SHARD_NONE; i++) {
        const struct map *m = s->maps.list[i].map;
        for (uint32_t k = 0; k < m->shard_count; k++) {
            bool goes_on = m->group[k] == mine->group[shard];
            if (goes_on && map_shard_of_node(m, &s->hosts[h].address) != k) return true;
        }
    }
    return false;
}

/* DISK: who was ready and killed is ready again at once, as long as nothing else has changed. */
void disk_check_turn(struct sim *s, uint32_t h) {
    struct disk *d = disk_of(s, h);
    const struct node *n = s->hosts[h].node;
    if (!d->was_ready || node_is_resuming(n)) return;
    d->was_ready = false;
    bool same = s->check.hosts[h].map == d->map && d->map != MAP_NONE;
    if (!same || node_ready(n) || is_left_out(s, h)) return;
    base_violation(&s->base, "DISK", "n%u was ready when it was killed, and is not", h);
}

/* The process runs: what it has is what its next one will find, unless power fails. */
void disk_started(struct sim *s, uint32_t h) {
    struct disk *d = disk_of(s, h);
    d->has_lost = false;
    disk_take(s, h);
    if (d->is_full) node_set_disk_trouble(s->hosts[h].node, SLICE("Disk full"));
}

void disk_burns(struct sim *s, uint32_t h) {
    struct disk *d = disk_of(s, h);
    if (!s->plan.has_disks) return;
    d->snapshot.len = d->log.len = d->synced = 0;
    d->has_lost = false;
    memset(d->delivered, 0, sizeof d->delivered);
    check_burned(s, h);
}

bool disk_keeps(const struct sim *s, uint32_t h, const struct truth_write *w) {
    return s->plan.has_disks && w->has_dot && s->disks[h].delivered[w->key][w->actor] >= w->n;
}
