/* What operators ask of nodes: other shards, other members, other views.
 *
 * A request goes to a host like any other, and whatever it is answered is right, so long as the
 * invariants hold. In a plan of one fault at a time it waits until the last one is over, and leaves
 * every shard two members.
 */
#include "sim.h"

#include <stdlib.h>

#define REQUEST_TOKENS ((uint64_t)1 << 62) /* tokens from here on are of requests */
#define ACROSS_US      (1500 * MS)         /* requests on both sides come within that of a cut */
#define ACROSS_MAX     3                   /* on each side */
#define LIST_AGAIN_US  (2 * S) /* one at a time: who was struck off is listed again after this */
#define SETTLE_US      (1500 * MS) /* after the heal; by then it is known who stays dead */

void requests_free(struct sim *s) {
    free(s->requests.list);
}

/* ---- Who knows whom ---- */

static const struct peer *peer_of(const struct sim *s, uint32_t h, uint32_t o) {
    const struct node *n = s->hosts[h].node;
    return n == NULL ? NULL : peers_find(node_view(n), &s->hosts[o].address);
}

/* By request there, or because the map says so. */
static bool has_struck(const struct sim *s, uint32_t h, uint32_t o) {
    const struct peer *p = peer_of(s, h, o);
    return p != NULL && p->state == PEER_STRUCK && p->struck_boot == s->hosts[o].boot;
}

bool request_has_struck(const struct sim *s, uint32_t h, uint32_t o) {
    return has_struck(s, h, o) || has_struck(s, o, h);
}

/* A node that was listed by request and never heard is forgotten again. */
static bool is_told(const struct sim *s, uint32_t h, uint32_t o) {
    const struct host *host = &s->hosts[h];
    if (s->requests.told[h][o] != host->boot_serial || host->node == NULL) return false;
    return peers_find(node_view(host->node), &s->hosts[o].address) != NULL;
}

/* By VIEW, by the map that it lives by, or by request. Whom it has struck off it does not call,
 * even if that one has restarted since. */
static bool is_introduced(const struct sim *s, uint32_t h, uint32_t o) {
    const struct host *host = &s->hosts[h];
    uint32_t map = s->check.hosts[h].map;
    const struct peer *p = peer_of(s, h, o);
    if (p != NULL && p->state == PEER_STRUCK) return false;
    for (uint32_t i = 0; i < host->view_count; i++) {
        if (address_compare(&host->view[i], &s->hosts[o].address) == 0) return true;
    }
    if (map != MAP_NONE && map_has_node(s->maps.list[map].map, &s->hosts[o].address)) return true;
    return is_told(s, h, o);
}

bool request_is_introduced(const struct sim *s, uint32_t h, uint32_t o) {
    return is_introduced(s, h, o) || is_introduced(s, o, h);
}

/* ---- Arriving ---- */

static const char *name_of(enum node_status status) {
    switch (status) {
    case NODE_RESHARDED: return "resharded";
    case NODE_TOO_FEW_NODES: return "too few nodes";
    case NODE_SUPERSEDED: return "superseded";
    case NODE_JOINED: return "added";
    case NODE_NOT_IN_VIEW: return "not in view";
    case NODE_NO_SHARD: return "no such shard";
    case NODE_OTHER_SHARD: return "in another shard";
    default: return "not now";
    }
}

static uint64_t token_of(const struct sim *s, const struct request *q) {
    return REQUEST_TOKENS + (uint64_t)(q - s->requests.list);
}

/* A reshard that another map has superseded is given up, and not over. */
bool request_answered(struct sim *s, uint32_t h, uint64_t token, const struct answer *a) {
    if (token < REQUEST_TOKENS) return false;
    if (a->status != NODE_RESHARDED) s->check.hosts[h].reshards = false;
    base_trace(&s->base, h, "n%u answers request #%u: %s", h, (uint32_t)(token - REQUEST_TOKENS),
               name_of(a->status));
    return true;
}

static const char *reshard(struct sim *s, const struct request *q) {
    struct answer a;
    struct node *n = s->hosts[q->host].node;
    enum node_taken taken = node_reshard(n, token_of(s, q), q->shards, &a);
    return taken == NODE_PARKED ? "begun" : name_of(a.status);
}

static const char *add_member(struct sim *s, const struct request *q) {
    const struct address *about = &s->hosts[q->about].address;
    struct answer a;
    struct node *n = s->hosts[q->host].node;
    enum node_taken taken = node_add_member(n, token_of(s, q), q->shards, about, &a);
    return taken == NODE_PARKED ? "begun" : name_of(a.status);
}

/* For ever: if it does not work, the dead one has to come back, since others may wait for it. */
static const char *strike(struct sim *s, const struct request *q) {
    switch (node_view_remove(s->hosts[q->host].node, &s->hosts[q->about].address)) {
    case NODE_REMOVED: return "removed";
    case NODE_REMOVED_UNKNOWN: return "unknown";
    default: break;
    }
    if (q->for_ever && s->hosts[q->about].node == NULL) host_start(s, q->about);
    return "last member";
}

static const char *list(struct sim *s, const struct request *q) {
    struct requests *r = &s->requests;
    if (q->host == q->about) return "itself";
    enum peers_added added = node_view_add(s->hosts[q->host].node, &s->hosts[q->about].address);
    struct check_host *c = &s->check.hosts[q->host];
    c->sees_boot[q->about] = 0; /* listed at once, whatever was before */
    if (added == PEERS_ADDED) c->named_under[q->about] = c->map;
    if (s->hosts[q->about].node != NULL) { /* who is not there will be forgotten */
        r->told[q->host][q->about] = s->hosts[q->host].boot_serial;
    }
    return added == PEERS_ADDED ? "added" : "already there";
}

static const char *carry_out(struct sim *s, const struct request *q) {
    switch (q->kind) {
    case REQUEST_RESHARD: return reshard(s, q);
    case REQUEST_ADD: return add_member(s, q);
    case REQUEST_REMOVE: return strike(s, q);
    case REQUEST_LIST: return list(s, q);
    case REQUESTS: break;
    }
    return "?";
}

void request_arrives(struct sim *s, uint32_t h, uint32_t id) {
    struct request *q = &s->requests.list[id];
    s->requests.last_us = s->base.now_us;
    q->map = s->check.hosts[h].map;
    base_trace(&s->base, id, "n%u takes request #%u: %s", h, id, carry_out(s, q));
    if (s->phase == PHASE_FAULTS) fault_behind_request(s, id);
}

/* ---- Asking ---- */

static void send(struct sim *s, struct request q) {
    static const char *const names[] = {"reshard to", "add to shard", "remove", "list"};
    struct requests *r = &s->requests;
    if (s->hosts[q.host].node == NULL) return;
    if (r->count == r->cap) {
        r->cap = r->cap == 0 ? 16 : r->cap * 2;
        r->list = bytes_realloc(r->list, r->cap * sizeof *r->list);
    }
    q.map = s->check.hosts[q.host].map;
    if (s->plan.has_disks) r->last_us = s->base.now_us; /* not when it arrives: one at a time */
    if (q.kind == REQUEST_RESHARD) {
        base_trace(&s->base, q.shards, "request #%u at n%u: reshard to %u", r->count, q.host,
                   q.shards);
    } else {
        base_trace(&s->base, q.about, "request #%u at n%u: %s%s%.0u n%u", r->count, q.host,
                   names[q.kind], q.kind == REQUEST_ADD ? " s" : "",
                   q.kind == REQUEST_ADD ? q.shards : 0, q.about);
    }
    net_push(&s->base, &s->net, q.host, (struct net_item){ITEM_ORDER, r->count, 0});
    r->list[r->count++] = q;
}

static uint32_t pick_live(struct sim *s) {
    uint32_t live[HOSTS_MAX], count = 0;
    for (uint32_t h = 0; h < s->plan.hosts; h++) {
        if (s->hosts[h].node != NULL) live[count++] = h;
    }
    return count == 0 ? HOSTS_MAX : live[base_below(&s->base, count)];
}

/* One fault at a time: whoever goes leaves two members behind, and the next fault waits until he is
 * back in the view. */
static bool is_harmless(struct sim *s, const struct request *q) {
    if (!s->plan.one_at_a_time || q->kind != REQUEST_REMOVE) return true;
    uint32_t roster = maps_roster_of(s, q->about);
    bool harmless = roster == 0 || __builtin_popcount(roster) >= 3;
    if (harmless) {
        uint64_t at = s->base.now_us + base_between(&s->base, 1, LIST_AGAIN_US);
        base_at(&s->base, at, EVENT_REQUEST, q->host + 1, q->about + 1);
    }
    return harmless;
}

static void ask_at(struct sim *s, uint32_t h) {
    struct request q = {.host = h};
    uint32_t map = s->check.hosts[h].map;
    do {
        q.kind = (enum request_kind)base_below(&s->base, REQUESTS);
    } while ((s->plan.requests >> q.kind & 1) == 0);
    q.about = (uint32_t)base_below(&s->base, s->plan.hosts);
    q.shards = (uint32_t)base_between(&s->base, 1, 3);
    if (q.kind == REQUEST_ADD) {
        uint32_t count = map == MAP_NONE ? 1 : s->maps.list[map].map->shard_count;
        q.shards = (uint32_t)base_below(&s->base, count);
    }
    if (is_harmless(s, &q)) send(s, q);
}

void request_step(struct sim *s, uint32_t h) {
    if (s->phase != PHASE_FAULTS) return;
    bool any = h == s->plan.hosts;
    if (any) h = pick_live(s);
    bool may = !s->plan.one_at_a_time || fault_is_over(s);
    if (may && h < s->plan.hosts) ask_at(s, h);
    uint64_t gap = base_below(&s->base, 2 * s->plan.request_gap_us);
    if (any) base_at(&s->base, s->base.now_us + gap, EVENT_REQUEST, 0, 0);
}

/* Should that one have died, another is asked: nobody stays struck off for that. */
void request_list(struct sim *s, uint32_t h, uint32_t about) {
    for (uint32_t o = 0; o < s->plan.hosts && s->hosts[h].node == NULL; o++) {
        if (o != about && s->hosts[o].node != NULL) h = o;
    }
    send(s, (struct request){.kind = REQUEST_LIST, .host = h, .about = about});
}

static void ask_side(struct sim *s, uint32_t hosts) {
    uint32_t times = (uint32_t)base_below(&s->base, ACROSS_MAX + 1);
    for (uint32_t i = 0; i < times && hosts != 0; i++) {
        uint32_t h;
        do {
            h = (uint32_t)base_below(&s->base, s->plan.hosts);
        } while ((hosts >> h & 1) == 0);
        base_at(&s->base, s->base.now_us + base_below(&s->base, ACROSS_US), EVENT_REQUEST, h + 1,
                0);
    }
}

void requests_across(struct sim *s, uint32_t hosts) {
    uint32_t all = (1u << s->plan.hosts) - 1;
    if (s->plan.requests == 0 || !base_chance(&s->base, 300)) return;
    ask_side(s, hosts & all);
    ask_side(s, ~hosts & all);
}

/* ---- Where it hurts ---- */

static uint64_t group_of(const struct sim *s, uint32_t map, uint32_t h) {
    const struct map *m = s->maps.list[map].map;
    uint32_t shard = map_shard_of_node(m, &s->hosts[h].address);
    return shard == SHARD_NONE ? 0 : m->group[shard];
}

uint32_t request_target(struct sim *s, uint32_t id) {
    const struct request *q = &s->requests.list[id];
    uint32_t targets[HOSTS_MAX + 1], count = 0, newest = s->maps.count - 1;
    targets[count++] = q->host;
    for (uint32_t h = 0; h < s->plan.hosts && q->map != MAP_NONE && newest != MAP_NONE; h++) {
        if (group_of(s, q->map, h) != group_of(s, newest, h)) targets[count++] = h;
    }
    return targets[base_below(&s->base, count)];
}

/* ---- The end of all faults ---- */

/* Who is dead is no process that anybody keeps out. */
static void list_struck(struct sim *s) {
    for (uint32_t h = 0; h < s->plan.hosts; h++) {
        for (uint32_t o = 0; o < s->plan.hosts; o++) {
            if (o != h && s->hosts[o].node != NULL && has_struck(s, h, o)) request_list(s, h, o);
        }
    }
}

void requests_heal(struct sim *s, uint32_t stays_dead) {
    if (s->plan.requests == 0) return;
    list_struck(s);
    base_at(&s->base, s->base.now_us + SETTLE_US, EVENT_REQUEST, 0, stays_dead + 1);
}

/* By now all that was asked for before the heal has arrived, and all maps with it. */
void requests_settle(struct sim *s, uint32_t stays_dead) {
    list_struck(s);
    uint32_t h = pick_live(s);
    bool dead = stays_dead < s->plan.hosts && s->hosts[stays_dead].node == NULL;
    if (h == HOSTS_MAX || !dead) return;
    send(s, (struct request){
                .kind = REQUEST_REMOVE, .host = h, .about = stays_dead, .for_ever = true});
}
