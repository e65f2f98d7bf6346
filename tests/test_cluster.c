/* A group of nodes in one process, with a network that delivers at once. Random schedules are the
 * simulator's business; here each test is one story. */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>

#define NODES_MAX 6
#define WIRES_MAX 128

/* One connection: bytes written at one end are received at the other. */
struct wire {
    struct link *ends[2];
    unsigned at[2]; /* the nodes */
    struct buffer arrived[2];
};

struct net {
    unsigned count;
    struct node_config configs[NODES_MAX];
    struct node *nodes[NODES_MAX]; /* NULL: not running */
    struct wire wires[WIRES_MAX];
    unsigned wire_count;
    bool cut[NODES_MAX][NODES_MAX]; /* nothing passes from one to the other */
    uint64_t now_ms;
    uint64_t boots;
};

static struct net begin(unsigned count) {
    struct net net = {.count = count, .now_ms = KIT_NOW_MS};
    for (unsigned i = 0; i < count; i++) {
        net.configs[i] = kit_cluster_config(count, 0);
        net.configs[i].self = net.configs[i].view[i];
        net.configs[i].readmit_ms = 2000;
        net.configs[i].cluster = SLICE("kvs");
    }
    return net;
}

static void start(struct net *net, unsigned i) {
    net->configs[i].boot = 1000 + ++net->boots;
    net->nodes[i] = node_create(&net->configs[i], net->now_ms, KIT_WALL_MS + net->now_ms);
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

static void kill_node(struct net *net, unsigned i) {
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

static void dial(struct net *net, unsigned from, const struct link_order *order) {
    unsigned to = index_of(net, &order->to);
    if (net->cut[from][to] || net->cut[to][from]) return; /* silence */
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
                net->wires[w].ends[end] = NULL;
                buffer_free(&net->wires[w].arrived[end]);
                break_end(net, &net->wires[w], !end, false);
            }
        }
    }
}

/* Moves what is to be sent; true if anything moved. */
static bool move(struct net *net, struct wire *w, int end) {
    if (w->ends[end] == NULL || w->ends[!end] == NULL) return false;
    if (net->cut[w->at[end]][w->at[!end]]) return false;
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

/* Runs until nothing moves. */
static void turn(struct net *net) {
    bool moved = true;
    for (int rounds = 0; moved && rounds < 1000; rounds++) {
        moved = false;
        for (unsigned i = 0; i < net->count; i++) {
            if (net->nodes[i] == NULL) continue;
            node_set_time(net->nodes[i], net->now_ms, KIT_WALL_MS + net->now_ms);
            node_end_turn(net->nodes[i]);
            obey(net, i);
        }
        for (unsigned w = 0; w < net->wire_count; w++) {
            moved = move(net, &net->wires[w], 0) || moved;
            moved = move(net, &net->wires[w], 1) || moved;
        }
    }
    CHECK(!moved);
}

static void pass(struct net *net, uint64_t ms) {
    for (uint64_t end = net->now_ms + ms; net->now_ms < end;) {
        net->now_ms += 10;
        turn(net);
    }
}

static void end(struct net *net) {
    for (unsigned i = 0; i < net->count; i++) {
        if (net->nodes[i] != NULL) kill_node(net, i);
    }
    for (unsigned w = 0; w < net->wire_count; w++) {
        buffer_free(&net->wires[w].arrived[0]);
        buffer_free(&net->wires[w].arrived[1]);
    }
}

/* ---- Operations: metadata travels as text, as it does through clients ---- */

struct result {
    bool is_answered;
    enum node_status status;
    char value[64];
    char metadata[4096];
};

static void copy_text(char *to, size_t size, struct slice s) {
    CHECK(s.len < size);
    if (s.len > 0) memcpy(to, s.at, s.len);
    to[s.len] = '\0';
}

static void take_result(struct node *n, struct result *r, const struct answer *a) {
    struct buffer text = {0};
    r->is_answered = true;
    r->status = a->status;
    copy_text(r->value, sizeof r->value, a->value);
    if (a->metadata != NULL)
        metadata_put(&text, a->metadata, node_actors(n));
    else
        buffer_put(&text, a->asked);
    copy_text(r->metadata, sizeof r->metadata, buffer_slice(&text));
    buffer_free(&text);
}

/* Asks and lets time pass until there is an answer. */
static struct result ask(struct net *net, unsigned i, enum op_kind kind, const char *key,
                         const char *value, const char *metadata) {
    struct result r = {0};
    struct claim claim = {0};
    struct answer answer;
    uint64_t token;
    struct node *n = net->nodes[i];
    claim_clear(&claim);
    struct json_reader reader = json_reader_of(slice_of(metadata));
    if (metadata[0] != '\0') node_read_claim(n, &claim, &reader);
    struct op op = {kind, slice_of(key), slice_of(value), &claim};
    if (node_submit(n, 1, &op, &answer) == NODE_ANSWERED) take_result(n, &r, &answer);
    for (int ms = 0; !r.is_answered && ms < 5000; ms += 10) {
        turn(net);
        if (node_take_answer(n, &token, &answer))
            take_result(n, &r, &answer);
        else
            pass(net, 10);
    }
    CHECK(r.is_answered);
    claim_free(&claim);
    return r;
}

static struct result get(struct net *net, unsigned i, const char *key, const char *metadata) {
    return ask(net, i, OP_GET, key, "", metadata);
}

static struct result put(struct net *net, unsigned i, const char *key, const char *value,
                         const char *metadata) {
    return ask(net, i, OP_PUT, key, value, metadata);
}

static struct net begin_ready(unsigned count) {
    struct net net = begin(count);
    for (unsigned i = 0; i < count; i++)
        start(&net, i);
    pass(&net, 500);
    for (unsigned i = 0; i < count; i++) {
        CHECK(node_ready(net.nodes[i]) && !node_provisional(net.nodes[i]));
        CHECK_U64(peers_listed_count(node_view(net.nodes[i])), count);
    }
    return net;
}

/* ---- Stories ---- */

static void a_write_reaches_all_members(void) {
    struct net net = begin_ready(3);
    struct result w = put(&net, 0, "k", "1", "");
    CHECK(w.status == NODE_CREATED);
    for (unsigned i = 0; i < 3; i++) {
        struct result r = get(&net, i, "k", w.metadata);
        CHECK(r.status == NODE_FOUND);
        CHECK_TEXT(slice_of(r.value), "1");
    }
    end(&net);
}

static void a_restarted_member_gets_everything_back(void) {
    struct net net = begin_ready(3);
    struct result w = {0};
    for (int i = 0; i < 300; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        w = put(&net, (unsigned)i % 3, key, "7", w.metadata);
        CHECK(w.status == NODE_CREATED);
    }
    kill_node(&net, 1);
    pass(&net, 100);
    CHECK_U64(peers_listed_count(node_view(net.nodes[0])), 2);
    w = put(&net, 0, "late", "8", w.metadata);
    start(&net, 1);
    pass(&net, 1000);
    CHECK(node_ready(net.nodes[1]));
    struct result r = get(&net, 1, "late", w.metadata);
    CHECK(r.status == NODE_FOUND);
    CHECK_U64(store_live(node_store(net.nodes[1])), 301);
    end(&net);
}

static void a_cut_heals_and_both_sides_level(void) {
    struct net net = begin_ready(3);
    for (unsigned i = 0; i < 2; i++)
        net.cut[i][2] = net.cut[2][i] = true;
    pass(&net, 1500);
    CHECK_U64(peers_listed_count(node_view(net.nodes[0])), 2);
    CHECK_U64(peers_listed_count(node_view(net.nodes[2])), 1);
    struct result here = put(&net, 0, "k", "1", ""), there = put(&net, 2, "k", "2", "");
    CHECK(here.status == NODE_CREATED && there.status == NODE_CREATED);
    CHECK(get(&net, 2, "k", here.metadata).status == NODE_NOT_YET);
    memset(net.cut, 0, sizeof net.cut);
    pass(&net, 300);
    CHECK(get(&net, 2, "k", here.metadata).status == NODE_NOT_YET); /* not readmitted yet */
    pass(&net, 4000);
    for (unsigned i = 0; i < 3; i++) {
        struct result r = get(&net, i, "k", here.metadata);
        CHECK(r.status == NODE_FOUND);
        CHECK_TEXT(slice_of(r.value), "2"); /* the later of the two, or of the greater actor */
        CHECK(get(&net, i, "k", there.metadata).status == NODE_FOUND);
    }
    end(&net);
}

static void a_newcomer_that_nobody_expects_joins_the_group_that_it_finds(void) {
    struct net net = begin(4);
    for (unsigned i = 0; i < 3; i++)
        net.configs[i].view_count = 3;
    for (unsigned i = 0; i < 3; i++)
        start(&net, i);
    pass(&net, 500);
    uint64_t group = node_map(net.nodes[0])->group[0];
    struct result w = put(&net, 0, "k", "1", "");
    start(&net, 3);
    pass(&net, 100);
    for (unsigned i = 0; i < 3; i++)
        CHECK(node_ready(net.nodes[i]));
    pass(&net, 900);
    for (unsigned i = 0; i < 4; i++) {
        CHECK(node_ready(net.nodes[i]) && !node_provisional(net.nodes[i]));
        CHECK_U64(node_shard(net.nodes[i]), 0);
        CHECK_U64(node_map(net.nodes[i])->node_count, 4);
        CHECK(node_map(net.nodes[i])->group[0] == group);
        CHECK_U64(peers_listed_count(node_view(net.nodes[i])), 4);
        CHECK(get(&net, i, "k", w.metadata).status == NODE_FOUND);
    }
    end(&net);
}

static void a_caller_that_says_nothing_is_closed_even_by_a_node_alone(void) {
    struct node_config config = kit_node_config();
    struct node *n = node_create(&config, KIT_NOW_MS, KIT_WALL_MS);
    struct link *l = node_link_accepted(n);
    struct link_order order;
    CHECK(node_deadline_ms(n) <= KIT_NOW_MS + PEER_DIAL_MS);
    node_set_time(n, KIT_NOW_MS + PEER_DIAL_MS - 1, KIT_WALL_MS);
    CHECK(!node_take_order(n, &order));
    node_set_time(n, KIT_NOW_MS + PEER_DIAL_MS + PEER_TICK_MS, KIT_WALL_MS);
    CHECK(node_take_order(n, &order) && order.kind == LINK_CLOSE && order.link == l);
    CHECK(!node_take_order(n, &order));
    CHECK_U64(node_deadline_ms(n), UINT64_MAX);
    node_free(n);
}

int main(void) {
    RUN(a_write_reaches_all_members);
    RUN(a_restarted_member_gets_everything_back);
    RUN(a_cut_heals_and_both_sides_level);
    RUN(a_newcomer_that_nobody_expects_joins_the_group_that_it_finds);
    RUN(a_caller_that_says_nothing_is_closed_even_by_a_node_alone);
    return kit_finish();
}
