/* What kind of world a seed is, and what breaks in it.
 *
 * Most seeds have some kinds of faults and not others, for the invariants are sharpest where little
 * is allowed: in a world without cuts nobody may ever miss what was everywhere, in one that kills
 * one node at a time nothing may be lost. What breaks is mended after a while; a fault may hit
 * right behind a write, at the node that it went to.
 */
#include "sim.h"

#include <stdlib.h>

/* ---- The plan ---- */

static uint32_t pick(struct sim *s, const uint32_t *from, uint32_t count) {
    return from[base_below(&s->base, count)];
}

#define PICK(s, ...)                                                                               \
    pick((s), (const uint32_t[]){__VA_ARGS__}, sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static void plan_nodes(struct sim *s) {
    struct plan *p = &s->plan;
    p->hosts = PICK(s, 1, 2, 2, 3, 3, 3, 3, 4, 5, 6);
    p->shard_count = PICK(s, 0, 0, 1);
    p->park_ms = PICK(s, 300, 300, 300, 0);
    p->readmit_ms = PICK(s, 3000, 1000, 400);
    p->ring_writes_max = PICK(s, 0, 0, 64, 4);
    p->start_spread_us = PICK(s, 0, 100 * MS, 3 * S);
    p->batch_permille = PICK(s, 0, 200, 700);
    uint64_t seed = s->base.seed; /* no dice, so that the seeds of old remain what they were */
    p->over_actors_max = seed % 6 == 2 ? (uint32_t)(1 + seed / 6 % 3) : 0;
}

static void plan_clients(struct sim *s) {
    struct plan *p = &s->plan;
    p->sessions = (uint32_t)base_between(&s->base, 2, SESSIONS_MAX);
    p->keys = (uint32_t)base_between(&s->base, 2, KEYS_MAX);
    p->think_us = PICK(s, 0, 5 * MS, 40 * MS, 200 * MS);
    p->operations_max = PICK(s, 150, 300, 300, 1000);
    p->get_permille = PICK(s, 200, 500, 700);
    p->delete_permille = PICK(s, 0, 100, 250);
    p->forget_permille = PICK(s, 0, 20, 200);
    p->take_permille = PICK(s, 0, 50, 300);
    p->value_bytes = PICK(s, 0, 0, 0, 3000);
}

static void plan_network(struct sim *s) {
    struct net *net = &s->net;
    net->delay_us = PICK(s, 50, 300, 2 * MS, 15 * MS);
    net->delay_spread_us = PICK(s, 20, 1 * MS, 20 * MS);
    net->lag_us = PICK(s, 20, 200, 5 * MS);
    net->window_bytes = PICK(s, 65536, 65536, 65536, 4000);
    net->split_permille = PICK(s, 0, 100, 800);
    net->slow_us_per_kb = PICK(s, 5 * MS, 50 * MS, 1 * S);
    if (net->window_bytes < 65536) { /* what the clients write must fit through */
        net->delay_us = 50;
        net->delay_spread_us = 1 * MS;
        s->plan.value_bytes = 0;
        if (s->plan.think_us < 40 * MS) s->plan.think_us = 40 * MS;
    }
}

/* Breaks and clocks are harmless to what is promised; each of the other kinds takes some of it. */
static void plan_faults(struct sim *s) {
    struct plan *p = &s->plan;
    uint32_t harmless = FAULT_BIT(FAULT_BREAK) | FAULT_BIT(FAULT_CLOCK);
    uint32_t kills = FAULTS_OF_DEATH;
    uint32_t some = (uint32_t)base_below(&s->base, FAULT_BIT(FAULTS));
    uint32_t styles[] = {0,
                         harmless,
                         harmless | kills,
                         harmless | kills,
                         kills,
                         some,
                         some,
                         some & ~FAULT_BIT(FAULT_ALL)};
    p->faults = styles[base_below(&s->base, sizeof styles / sizeof *styles)];
    p->one_at_a_time = (p->faults & FAULTS_OF_CUT) == 0 &&
                       (p->faults & FAULT_BIT(FAULT_ALL)) == 0 && base_chance(&s->base, 600);
    p->one_stays_dead = p->hosts >= 3 && (p->faults & kills) != 0 && base_chance(&s->base, 150);
    p->fault_gap_us = PICK(s, 100 * MS, 500 * MS, 2 * S);
    p->fault_us = base_between(&s->base, 2, p->one_at_a_time ? 20 : 10) * S;
    p->aim_permille = PICK(s, 0, 30, 100);
}

/* Several shards: mostly so many that some have one node, and some have three. */
static void plan_shards(struct sim *s) {
    struct plan *p = &s->plan;
    p->hosts = PICK(s, 2, 3, 4, 4, 5, 6, 6);
    p->shard_count = PICK(s, 1, 2, 2, 2, 3, 3);
    if (p->shard_count > p->hosts) p->shard_count = p->hosts;
}

/* Nodes that are there from the beginning, and newcomers. */
static void plan_newcomers(struct sim *s) {
    struct plan *p = &s->plan;
    p->hosts = PICK(s, 3, 4, 5, 5, 6, 6);
    uint32_t newcomers = PICK(s, 0, 0, 1, 1, 2);
    while (newcomers > 0 && p->hosts - newcomers >= 2) {
        uint32_t h = (uint32_t)base_below(&s->base, p->hosts);
        if ((p->newcomers >> h & 1) == 0) newcomers--;
        p->newcomers |= 1u << h;
        if ((uint32_t)__builtin_popcount(p->newcomers) + 2 == p->hosts) break;
    }
}

/* Maps that change. A third is mild: one fault or request at a time, the next when all is well
 * again, every shard with two members at least, no cuts. Then nothing is lost, and nobody steps
 * back. */
static void plan_maps(struct sim *s) {
    struct plan *p = &s->plan;
    bool mild = base_chance(&s->base, 333);
    plan_newcomers(s);
    uint32_t founders = p->hosts - (uint32_t)__builtin_popcount(p->newcomers);
    uint32_t most = mild ? founders / CHANGE_SHARD_NODES_MIN : founders;
    p->shard_count = PICK(s, 0, 1, 2, 2, 3);
    if (p->shard_count > most) p->shard_count = most;
    p->requests = (uint32_t)base_below(&s->base, 1u << REQUESTS) | 1u << REQUEST_RESHARD;
    p->request_gap_us = PICK(s, 300 * MS, 1 * S, 3 * S);
    p->request_aim_permille = PICK(s, 0, 300, 700);
    p->one_at_a_time = mild;
    if (!mild) return;
    p->faults &= ~(FAULTS_OF_CUT | FAULT_BIT(FAULT_ALL));
    p->one_stays_dead = false;
    p->fault_us = base_between(&s->base, 10, 40) * S;
    p->request_gap_us = 300 * MS;
}

/* The size of the seed says what world it is otherwise; here its last digits do. */
static void plan_disks(struct sim *s) {
    struct plan *p = &s->plan;
    p->syncs_always = base_chance(&s->base, 300);
    p->keeps_power = base_chance(&s->base, 400);
    p->snapshot_permille = PICK(s, 0, 1, 5, 20);
    if (p->keeps_power) p->faults &= ~FAULT_BIT(FAULT_OFF);
    bool all = !p->one_at_a_time && base_chance(&s->base, 300);
    if (all) p->faults |= FAULT_BIT(FAULT_ALL);
    bool fills = (!p->one_at_a_time || p->keeps_power) && base_chance(&s->base, 300);
    if (fills) p->faults |= FAULT_BIT(FAULT_FULL);
    base_trace(&s->base, p->snapshot_permille, "disks: %s, power %s, snapshots %u",
               p->syncs_always ? "always" : "every second", p->keeps_power ? "stays" : "fails",
               p->snapshot_permille);
}

static enum world world_of(uint64_t seed) {
    uint64_t world = seed / WORLD_SEEDS == WORLD_OF_DISKS ? seed % WORLDS : seed / WORLD_SEEDS;
    return world < WORLD_MAPS ? (enum world)world : WORLD_MAPS;
}

void plan_make(struct sim *s) {
    s->plan.world = world_of(s->base.seed);
    plan_nodes(s);
    if (s->plan.world == WORLD_SHARDS) plan_shards(s);
    plan_clients(s);
    plan_network(s);
    plan_faults(s);
    if (s->plan.world == WORLD_MAPS) plan_maps(s);
    s->plan.has_disks = s->base.seed / WORLD_SEEDS == WORLD_OF_DISKS;
    if (s->plan.has_disks) plan_disks(s);
    base_trace(&s->base, s->plan.faults,
               "%u nodes (newcomers %02x), %u shards, requests %x, %u sessions, %u keys; faults "
               "%03x%s for %llu s; delay %llu "
               "us, window %zu; "
               "park %u ms, readmit %u ms, ring %u, over %u",
               s->plan.hosts, s->plan.newcomers, s->plan.shard_count, s->plan.requests,
               s->plan.sessions, s->plan.keys, s->plan.faults,
               s->plan.one_at_a_time ? " one at a time" : "",
               (unsigned long long)(s->plan.fault_us / S), (unsigned long long)s->net.delay_us,
               s->net.window_bytes, s->plan.park_ms, s->plan.readmit_ms, s->plan.ring_writes_max,
               s->plan.over_actors_max);
}

/* ---- Cuts ---- */

static void set_cut(struct sim *s, uint32_t from, uint32_t to, bool cut) {
    if (from == to || s->net.cut[from][to] == cut) return;
    base_trace(&s->base, from * HOSTS_MAX + to, "n%u -> n%u: %s", from, to, cut ? "cut" : "healed");
    net_cut(&s->base, &s->net, from, to, cut);
    check_cut(s, from, to);
}

/* Between all of the set `hosts` and all others. */
static void set_split(struct sim *s, uint32_t hosts, bool cut) {
    for (uint32_t x = 0; x < s->plan.hosts; x++) {
        for (uint32_t y = 0; y < s->plan.hosts; y++) {
            if ((hosts >> x & 1) != (hosts >> y & 1)) set_cut(s, x, y, cut);
        }
    }
}

/* ---- One fault ---- */

static void jump_clock(struct sim *s, uint32_t h) {
    s->hosts[h].wall_skew_ms = (int64_t)base_below(&s->base, 20001) - 10000;
    base_trace(&s->base, h, "n%u: wall clock now %lld ms off", h,
               (long long)s->hosts[h].wall_skew_ms);
}

static void break_one(struct sim *s) {
    uint32_t open[64], count = 0;
    for (uint32_t i = s->net.count; i-- > 0 && count < 64;) {
        const struct net_conn *c = &s->net.conns[i];
        if (c->end[0].open && c->end[1].open) open[count++] = i;
    }
    if (count == 0) return;
    uint32_t conn = open[base_below(&s->base, count)];
    base_trace(&s->base, conn, "c%u breaks", conn);
    net_break(&s->base, &s->net, conn);
}

/* Has everybody the same map and all that belongs to it, and hears all others? */
static bool is_settled(const struct sim *s, uint32_t h) {
    const struct node *n = s->hosts[h].node;
    bool in_shard = maps_roster_of(s, h) != 0;
    for (uint32_t o = 0; o < s->plan.hosts; o++) {
        bool same = s->hosts[o].node == NULL || s->check.hosts[o].map == s->check.hosts[h].map;
        if (!same || request_has_struck(s, h, o)) return false;
    }
    return !node_has_residue(n) && !node_resharding(n) && (!in_shard || node_base_complete(n));
}

bool fault_is_over(const struct sim *s) {
    uint64_t now = s->base.now_us;
    for (uint32_t h = 0; h < s->plan.hosts; h++) {
        uint64_t since = s->check.hosts[h].ready_since_us;
        bool unborn = (s->plan.newcomers >> h & 1) != 0 && s->hosts[h].changes == 0;
        bool in_shard = s->plan.world != WORLD_MAPS || maps_roster_of(s, h) != 0;
        if (unborn) continue;
        if (s->hosts[h].node == NULL) return false;
        if (in_shard && (since == 0 || now - since < 3 * S)) return false;
        if (s->plan.world == WORLD_MAPS && !is_settled(s, h)) return false;
        if (s->disks[h].is_full) return false;
    }
    bool calm = now - s->requests.last_us >= 3 * S && now - s->maps.changed_us >= 3 * S;
    return calm || s->plan.world != WORLD_MAPS;
}

/* May one more die in a plan of one at a time? One may, right behind a request. */
static bool may_kill(struct sim *s) {
    if (!s->plan.one_at_a_time || fault_is_over(s)) return true;
    bool may = s->requests.aim_open;
    s->requests.aim_open = false;
    return may;
}

static void kill(struct sim *s, uint32_t h, enum fault fault) {
    if (s->hosts[h].node == NULL || !may_kill(s)) return;
    host_dies(s, h, fault == FAULT_KILL ? NET_KILLED : fault == FAULT_OFF ? NET_OFF : NET_STOPPED);
}

/* Where there are disks, mostly all the same way: without power, or not. */
static void kill_all(struct sim *s) {
    uint32_t killed_permille = 800;
    if (s->plan.has_disks) killed_permille = PICK(s, 0, 500, 1000, 1000);
    if (s->plan.keeps_power && s->plan.has_disks) killed_permille = 1000;
    for (uint32_t h = 0; h < s->plan.hosts; h++)
        host_dies(s, h, base_chance(&s->base, killed_permille) ? NET_KILLED : NET_OFF);
}

static void begin_fault(struct sim *s, const struct breakage *f) {
    switch (f->fault) {
    case FAULT_BREAK: break_one(s); break;
    case FAULT_ONE_WAY: set_cut(s, f->a, f->b, true); break;
    case FAULT_PAIR:
        set_cut(s, f->a, f->b, true);
        set_cut(s, f->b, f->a, true);
        break;
    case FAULT_ISOLATE:
        set_split(s, 1u << f->a, true);
        requests_across(s, 1u << f->a);
        break;
    case FAULT_SPLIT:
        set_split(s, f->b, true);
        requests_across(s, f->b);
        break;
    case FAULT_PAUSE: host_pause(s, f->a, true); break;
    case FAULT_KILL:
    case FAULT_OFF:
    case FAULT_STOP: kill(s, f->a, f->fault); break;
    case FAULT_SLOW: s->net.slow[f->a][f->b] = true; break;
    case FAULT_CLOCK: jump_clock(s, f->a); break;
    case FAULT_ALL: kill_all(s); break;
    case FAULT_FULL: disk_fills(s, f->a, true); break;
    case FAULTS_WITH_DISKS: break;
    }
}

static void start_dead(struct sim *s) {
    for (uint32_t h = 0; h < s->plan.hosts; h++) {
        if (s->hosts[h].node == NULL && base_chance(&s->base, 700)) host_start(s, h);
    }
}

static void end_fault(struct sim *s, const struct breakage *f) {
    switch (f->fault) {
    case FAULT_ONE_WAY: set_cut(s, f->a, f->b, false); break;
    case FAULT_PAIR:
        set_cut(s, f->a, f->b, false);
        set_cut(s, f->b, f->a, false);
        break;
    case FAULT_ISOLATE: set_split(s, 1u << f->a, false); break;
    case FAULT_SPLIT: set_split(s, f->b, false); break;
    case FAULT_PAUSE: host_pause(s, f->a, false); break;
    case FAULT_KILL:
    case FAULT_OFF:
    case FAULT_STOP:
        if (s->hosts[f->a].node == NULL) host_start(s, f->a);
        break;
    case FAULT_SLOW: s->net.slow[f->a][f->b] = false; break;
    case FAULT_ALL: start_dead(s); break;
    case FAULT_FULL: disk_fills(s, f->a, false); break;
    case FAULT_BREAK:
    case FAULT_CLOCK:
    case FAULTS_WITH_DISKS: break;
    }
}

/* ---- The schedule ---- */

static enum fault pick_fault(struct sim *s, uint32_t of) {
    enum fault fault;
    do {
        uint32_t kinds = s->plan.has_disks ? FAULTS_WITH_DISKS : FAULTS;
        fault = (enum fault)base_below(&s->base, kinds);
    } while ((of & FAULT_BIT(fault)) == 0);
    return fault;
}

/* Mostly short; some long enough for the views to change, some longer still. */
static uint64_t pick_duration(struct sim *s) {
    static const uint32_t most_ms[] = {100, 900, 1500, 3000, 6000};
    return base_between(&s->base, 1, most_ms[base_below(&s->base, 5)]) * MS;
}

static void break_something(struct sim *s, uint32_t h, uint32_t of) {
    if (s->breakage_count == s->breakage_cap) {
        s->breakage_cap = s->breakage_cap == 0 ? 32 : s->breakage_cap * 2;
        s->breakages = bytes_realloc(s->breakages, s->breakage_cap * sizeof *s->breakages);
    }
    struct breakage f = {.fault = pick_fault(s, of), .a = h};
    f.b = (uint32_t)base_below(&s->base, s->plan.hosts);
    if (f.fault == FAULT_SPLIT) f.b = (uint32_t)base_below(&s->base, 1u << s->plan.hosts);
    s->breakages[s->breakage_count] = f;
    begin_fault(s, &f);
    base_at(&s->base, s->base.now_us + pick_duration(s), EVENT_REPAIR, s->breakage_count++, 0);
}

void fault_step(struct sim *s) {
    if (s->plan.faults == 0 || s->phase != PHASE_FAULTS) return;
    break_something(s, (uint32_t)base_below(&s->base, s->plan.hosts), s->plan.faults);
    uint64_t gap = base_below(&s->base, 2 * s->plan.fault_gap_us);
    base_at(&s->base, s->base.now_us + gap, EVENT_FAULT, 0, 0);
}

/* The node hears of the write within the next moments, and then something breaks there. */
void fault_behind_write(struct sim *s, uint32_t h) {
    if (s->plan.faults == 0 || s->phase != PHASE_FAULTS) return;
    if (!base_chance(&s->base, s->plan.aim_permille)) return;
    uint64_t at =
        s->base.now_us + base_below(&s->base, 2 * (s->net.delay_us + s->net.lag_us) + 300);
    base_at(&s->base, at, EVENT_FAULT, h + 1, 0);
}

void fault_aimed(struct sim *s, uint32_t h) {
    if (s->phase == PHASE_FAULTS) break_something(s, h, s->plan.faults);
}

/* One of those that a request moves, or who was asked, soon after. */
void fault_behind_request(struct sim *s, uint32_t id) {
    s->requests.aim_open = false;
    if (s->plan.faults == 0 || !base_chance(&s->base, s->plan.request_aim_permille)) return;
    s->requests.aim_open = s->requests.list[id].kind != REQUEST_LIST;
    base_at(&s->base, s->base.now_us + base_below(&s->base, 500 * MS), EVENT_FAULT, 0, id + 1);
}

void fault_at_request(struct sim *s, uint32_t id) {
    uint32_t kills = s->plan.faults & FAULTS_OF_DEATH;
    if (s->phase != PHASE_FAULTS) return;
    break_something(s, request_target(s, id), kills != 0 ? kills : s->plan.faults);
    s->requests.aim_open = false;
}

void fault_repair(struct sim *s, uint32_t which) {
    if (s->phase == PHASE_FAULTS) end_fault(s, &s->breakages[which]);
}

void fault_heal_all(struct sim *s) {
    uint32_t stays =
        s->plan.one_stays_dead ? (uint32_t)base_below(&s->base, s->plan.hosts) : HOSTS_MAX;
    for (uint32_t x = 0; x < s->plan.hosts; x++) {
        host_pause(s, x, false);
        disk_fills(s, x, false);
        for (uint32_t y = 0; y < s->plan.hosts; y++) {
            set_cut(s, x, y, false);
            s->net.slow[x][y] = false;
        }
        if (x != stays && s->hosts[x].node == NULL) host_start(s, x);
        if (x == stays && s->hosts[x].node == NULL) disk_burns(s, x);
    }
    requests_heal(s, stays);
}
