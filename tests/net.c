/* A group of nodes and the connections between them. See net.h. */
#include "net.h"

#include "../durable.h"

#include <stdio.h>
#include <stdlib.h>

struct net begin(unsigned count) {
    struct net net = {.count = count, .now_ms = KIT_NOW_MS};
    for (unsigned i = 0; i < count; i++) {
        net.configs[i] = kit_cluster_config(count, 0);
        net.configs[i].self = net.configs[i].view[i];
        net.configs[i].readmit_ms = 2000;
        net.configs[i].cluster = SLICE("kvs");
    }
    return net;
}

void start(struct net *net, unsigned i) {
    net->configs[i].boot = 1000 + ++net->boots;
    net->nodes[i] = node_create(&net->configs[i], net->now_ms, KIT_WALL_MS + net->now_ms);
    if (net->configs[i].keeps_journal) node_recovered(net->nodes[i], true); /* of an empty log */
}

static unsigned index_of(const struct net *net, const struct address *address) {
    unsigned i = 0;
    while (address_compare(&net->configs[i].self, address) != 0)
        i++;
    return i;
}

static void break_end(struct net *net, struct wire *w, int end, bool refused) {
    struct link *l = w->ends[end];
    w->ends[end] = NULL;
    buffer_free(&w->arrived[end]);
    if (l != NULL && net->nodes[w->at[end]] != NULL) {
        node_link_closed(net->nodes[w->at[end]], l, refused);
    }
}

void kill_node(struct net *net, unsigned i) {
    struct node *dead = net->nodes[i];
    net->nodes[i] = NULL;
    for (unsigned w = 0; w < net->wire_count; w++) {
        for (int end = 0; end < 2; end++) {
            if (net->wires[w].at[end] != i || net->wires[w].ends[end] == NULL) continue;
            net->wires[w].ends[end] = NULL;
            buffer_free(&net->wires[w].arrived[end]);
            break_end(net, &net->wires[w], !end, false);
        }
    }
    node_free(dead);
}

void restart(struct net *net, unsigned i) {
    kill_node(net, i);
    start(net, i);
}

static void dial(struct net *net, unsigned from, const struct link_order *order) {
    unsigned to = index_of(net, &order->to);
    if (net->cut[from][to] || net->cut[to][from] || net->stopped[to]) return; /* silence */
    if (net->nodes[to] == NULL) {
        node_link_closed(net->nodes[from], order->link, true);
        return;
    }
    unsigned i = 0;
    while (i < net->wire_count && (net->wires[i].ends[0] != NULL || net->wires[i].ends[1] != NULL))
        i++;
    if (i == net->wire_count) net->wire_count++;
    CHECK(i < WIRES_MAX);
    struct wire *w = &net->wires[i];
    *w = (struct wire){.ends = {order->link, node_link_accepted(net->nodes[to])}, .at = {from, to}};
    node_link_connected(net->nodes[from], order->link);
}

/* Moves what is to be sent; true if anything moved. */
static bool move(struct net *net, struct wire *w, int end) {
    if (w->ends[end] == NULL || w->ends[!end] == NULL) return false;
    if (net->cut[w->at[end]][w->at[!end]]) return false;
    if (net->stopped[w->at[end]] || net->stopped[w->at[!end]]) return false;
    struct slice out = node_link_output(w->ends[end]);
    if (out.len == 0) return false;
    buffer_put(&w->arrived[!end], out);
    node_link_sent(net->nodes[w->at[end]], w->ends[end], out.len);
    struct buffer *in = &w->arrived[!end];
    size_t taken = node_link_received(net->nodes[w->at[!end]], w->ends[!end], buffer_slice(in));
    CHECK(taken <= in->len);
    memmove(in->at, in->at + taken, in->len - taken);
    in->len -= taken;
    return true;
}

static void obey(struct net *net, unsigned i) {
    struct link_order order;
    while (node_take_order(net->nodes[i], &order)) {
        if (order.kind == LINK_DIAL) {
            dial(net, i, &order);
            continue;
        }
        for (unsigned w = 0; w < net->wire_count; w++) {
            for (int end = 0; end < 2; end++) {
                if (net->wires[w].ends[end] != order.link) continue;
                move(net, &net->wires[w], end); /* its last word */
                net->wires[w].ends[end] = NULL;
                buffer_free(&net->wires[w].arrived[end]);
                break_end(net, &net->wires[w], !end, false);
            }
        }
    }
}

bool step(struct net *net) {
    bool moved = false;
    for (unsigned i = 0; i < net->count; i++) {
        if (net->nodes[i] == NULL || net->stopped[i]) continue;
        node_set_time(net->nodes[i], net->now_ms, KIT_WALL_MS + net->now_ms);
        node_end_turn(net->nodes[i]);
        obey(net, i);
    }
    for (unsigned w = 0; w < net->wire_count; w++) {
        moved = move(net, &net->wires[w], 0) || moved;
        moved = move(net, &net->wires[w], 1) || moved;
    }
    return moved;
}

void turn(struct net *net) {
    int rounds = 0;
    while (rounds < 1000 && step(net))
        rounds++;
    CHECK(rounds < 1000);
}

void pass(struct net *net, uint64_t ms) {
    for (uint64_t end = net->now_ms + ms; net->now_ms < end;) {
        net->now_ms += 10;
        turn(net);
    }
}

void creep(struct net *net) {
    if (!step(net)) net->now_ms += 10;
}

void creep_until_met(struct net *net, unsigned a, unsigned b) {
    for (int steps = 0; CHECK(steps < 1000); steps++) {
        if (sees(net, a, b) && sees(net, b, a)) return;
        creep(net);
    }
}

void end(struct net *net) {
    for (unsigned i = 0; i < net->count; i++) {
        if (net->nodes[i] != NULL) kill_node(net, i);
    }
    for (unsigned w = 0; w < net->wire_count; w++) {
        buffer_free(&net->wires[w].arrived[0]);
        buffer_free(&net->wires[w].arrived[1]);
    }
}

/* Starts all that do not run. */
void make_ready(struct net *net) {
    for (unsigned i = 0; i < net->count; i++) {
        if (net->nodes[i] == NULL) start(net, i);
    }
    pass(net, 500);
    for (unsigned i = 0; i < net->count; i++) {
        CHECK(node_ready(net->nodes[i]) && !node_provisional(net->nodes[i]));
        CHECK_U64(listed_count(net, i), net->count);
    }
}

struct net begin_ready(unsigned count) {
    struct net net = begin(count);
    make_ready(&net);
    return net;
}

struct net begin_short(unsigned count) {
    struct net net = begin(count);
    for (unsigned i = 0; i < count; i++)
        net.configs[i].ring_writes_max = RING_SHORT_WRITES;
    make_ready(&net);
    return net;
}

struct net begin_shards(unsigned count, uint32_t shards) {
    struct net net = begin(count);
    for (unsigned i = 0; i < count; i++)
        net.configs[i].shard_count = shards;
    make_ready(&net);
    return net;
}

/* ---- What is between them ---- */

void set_pair(struct net *net, unsigned a, unsigned b, bool cut) {
    net->cut[a][b] = net->cut[b][a] = cut;
}

void set_cut(struct net *net, unsigned i, bool cut) {
    for (unsigned j = 0; j < net->count; j++)
        set_pair(net, i, j, cut && i != j);
}

void cut_off(struct net *net, unsigned i) {
    set_cut(net, i, true);
    pass(net, 1500);
}

void set_mute(struct net *net, unsigned i, bool mute) {
    for (unsigned j = 0; j < net->count; j++)
        net->cut[i][j] = mute && i != j;
}

void set_deaf(struct net *net, unsigned i, bool deaf) {
    for (unsigned j = 0; j < net->count; j++)
        net->cut[j][i] = deaf && i != j;
}

void break_links(struct net *net, unsigned a, unsigned b) {
    for (unsigned w = 0; w < net->wire_count; w++) {
        const unsigned *at = net->wires[w].at;
        if (!(at[0] == a && at[1] == b) && !(at[0] == b && at[1] == a)) continue;
        break_end(net, &net->wires[w], 0, false);
        break_end(net, &net->wires[w], 1, false);
    }
}

/* ---- Operations: metadata travels as text, as it does through clients ---- */

static void copy_text(char *to, size_t size, struct slice s) {
    CHECK(s.len < size);
    if (s.len > 0) memcpy(to, s.at, s.len);
    to[s.len] = '\0';
}

static void take_result(struct node *n, struct result *r, const struct answer *a) {
    struct buffer text = {0};
    r->is_answered = true;
    r->status = a->status;
    r->shard = a->shard;
    copy_text(r->value, sizeof r->value, a->value);
    if (a->metadata != NULL)
        metadata_put(&text, a->metadata, node_actors(n));
    else
        buffer_put(&text, a->metadata_text);
    copy_text(r->metadata, sizeof r->metadata, buffer_slice(&text));
    buffer_free(&text);
}

/* Hands an operation to node i; whether it has an answer yet stands in the result. */
struct result submit(struct net *net, unsigned i, enum op_kind kind, const char *key,
                     const char *value, const char *metadata) {
    struct result r = {0};
    struct claim claim = {0};
    struct answer answer;
    struct node *n = net->nodes[i];
    claim_clear(&claim);
    struct json_reader reader = json_reader_of(slice_of(metadata));
    if (metadata[0] != '\0') node_read_claim(n, &claim, &reader);
    CHECK(claim.form != CLAIM_BAD);
    struct op op = {.kind = kind, .key = slice_of(key), .value = slice_of(value), .claim = &claim};
    if (node_submit(n, 1, &op, &answer) == NODE_ANSWERED) take_result(n, &r, &answer);
    claim_free(&claim);
    return r;
}

/* The answer of an operation that waits, if it has ended. */
struct result take(struct net *net, unsigned i) {
    struct result r = {0};
    struct answer answer;
    uint64_t token;
    if (node_take_answer(net->nodes[i], &token, &answer)) {
        take_result(net->nodes[i], &r, &answer);
    }
    return r;
}

/* Asks and lets time pass until there is an answer. */
struct result ask(struct net *net, unsigned i, enum op_kind kind, const char *key,
                  const char *value, const char *metadata) {
    struct result r = submit(net, i, kind, key, value, metadata);
    for (int ms = 0; !r.is_answered && ms < 5000; ms += 10) {
        turn(net);
        r = take(net, i);
        if (!r.is_answered) pass(net, 10);
    }
    CHECK(r.is_answered);
    return r;
}

struct result get(struct net *net, unsigned i, const char *key, const char *metadata) {
    return ask(net, i, OP_GET, key, "", metadata);
}

struct result put(struct net *net, unsigned i, const char *key, const char *value,
                  const char *metadata) {
    return ask(net, i, OP_PUT, key, value, metadata);
}

/* ---- Requests ---- */

void propose_shards(struct net *net, unsigned i, uint32_t count) {
    struct answer a;
    uint64_t token = 77;
    CHECK(node_reshard(net->nodes[i], token, count, &a) == NODE_PARKED);
    node_cancel(net->nodes[i], token);
    CHECK_U64(node_map(net->nodes[i])->shard_count, count);
}

bool strike_off(struct net *net, unsigned by, unsigned whom) {
    return node_view_remove(net->nodes[by], &net->configs[whom].self) == NODE_REMOVED;
}

/* ---- Checks ---- */

bool sees(const struct net *net, unsigned i, unsigned other) {
    return peer_in_view(peers_find(node_view(net->nodes[i]), &net->configs[other].self));
}

bool owns(const struct net *net, unsigned i, const char *key) {
    return node_owns_slot(net->nodes[i], shard_slot(slice_of(key)));
}

bool keeps(const struct net *net, unsigned i, const char *key) {
    return node_slot_clock(net->nodes[i], shard_slot(slice_of(key))) != NULL;
}

unsigned listed_count(const struct net *net, unsigned i) {
    return peers_listed_count(node_view(net->nodes[i]));
}

unsigned mapped_count(const struct net *net, unsigned i) {
    return node_map(net->nodes[i])->node_count;
}

unsigned entries_of(const char *metadata) {
    unsigned entries = 0;
    for (const char *at = metadata; *at != '\0'; at++)
        entries += *at == '#';
    return entries;
}

void check_value(struct net *net, unsigned i, const char *key, const char *metadata,
                 const char *want) {
    struct result r = get(net, i, key, metadata);
    kit_note("node %u, key %s, status %d, %s", i, key, (int)r.status, metadata);
    CHECK(r.status == NODE_FOUND);
    CHECK_TEXT(slice_of(r.value), want);
    kit_note("%s", "");
}

/* All members have delivered the same writes and show the same of them. */
void check_level(struct net *net) {
    struct node *first = net->nodes[0];
    for (unsigned i = 1; i < net->count; i++) {
        struct node *n = net->nodes[i];
        kit_note("node %u", i);
        CHECK(node_ready(n) && node_map(n)->id == node_map(first)->id);
        CHECK_U64(store_live(node_store(n)), store_live(node_store(first)));
        CHECK(node_held_back(n) == 0 && node_under_way(n) == 0);
        for (uint32_t s = 0; s < SHARD_SLOTS; s++) {
            const struct vclock *a = node_slot_clock(first, s), *b = node_slot_clock(n, s);
            if (!CHECK(a != NULL && b != NULL)) break;
            for (uint32_t d = 0; d < a->len; d++) {
                uint32_t actor = actors_find_id(
                    node_actors(n), actors_get(node_actors(first), a->dots[d].actor)->id);
                CHECK(actor != ACTOR_NONE && vclock_get(b, actor) == a->dots[d].n);
            }
            CHECK_U64(b->len, a->len);
        }
    }
    kit_note("%s", "");
}
