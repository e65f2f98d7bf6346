/* Shards change hands: one story a test. See net.h. */
#include "net.h"

#include <stdio.h>
#include <stdlib.h>

#define KEYS 200

/* ---- What happens in many stories ---- */

static struct net begin_shards(unsigned nodes, uint32_t shards) {
    struct net net = begin(nodes);
    for (unsigned i = 0; i < nodes; i++)
        net.configs[i].shard_count = shards;
    make_ready(&net);
    return net;
}

/* A node that runs and owns the key by its own map. */
static unsigned owner_of(const struct net *net, const char *key, unsigned nth) {
    for (unsigned i = 0; i < 2 * net->count; i++) {
        const struct node *n = net->nodes[i % net->count];
        if (n == NULL || !node_owns_slot(n, shard_slot(slice_of(key)))) continue;
        if (nth-- == 0) return i % net->count;
    }
    return 0;
}

static struct result put_keys(struct net *net, const char *value, struct result w) {
    for (int k = 0; k < KEYS; k++) {
        char key[16];
        snprintf(key, sizeof key, "key%d", k);
        w = put(net, owner_of(net, key, 0), key, value, w.metadata);
        CHECK(w.status == NODE_CREATED || w.status == NODE_REPLACED);
    }
    return w;
}

/* At every owner. */
static void check_keys(struct net *net, const char *metadata, const char *want) {
    for (int k = 0; k < KEYS; k++) {
        char key[16];
        snprintf(key, sizeof key, "key%d", k);
        for (unsigned i = 0; i < net->count; i++) {
            const struct node *n = net->nodes[i];
            if (n == NULL || !node_owns_slot(n, shard_slot(slice_of(key)))) continue;
            check_value(net, i, key, metadata, want);
            check_value(net, i, key, "", want);
        }
    }
}

static void reshard(struct net *net, unsigned at, uint32_t count) {
    struct answer a;
    uint64_t token = 0;
    enum node_taken taken = node_reshard(net->nodes[at], 77, count, &a);
    for (int ms = 0; taken == NODE_PARKED && ms < 5000 && token != 77; ms += 10) {
        pass(net, 10);
        node_take_answer(net->nodes[at], &token, &a);
    }
    CHECK(taken == NODE_ANSWERED || token == 77);
    CHECK(a.status == NODE_RESHARDED);
    CHECK_U64(node_map(net->nodes[at])->shard_count, count);
}

static void check_settled(struct net *net) {
    uint64_t live = 0;
    for (unsigned i = 0; i < net->count; i++) {
        struct node_progress progress;
        const struct map *m = node_map(net->nodes[i]);
        CHECK(node_ready(net->nodes[i]));
        CHECK_U64(m->id, node_map(net->nodes[0])->id);
        node_reshard_progress(net->nodes[i], &progress);
        CHECK(progress.settled);
        CHECK_U64(progress.keys_to_go, 0);
        for (uint32_t s = 0; s < SHARD_SLOTS; s++)
            CHECK((node_slot_clock(net->nodes[i], s) != NULL) == node_owns_slot(net->nodes[i], s));
        uint32_t mates = 0;
        for (uint32_t j = 0; j < m->node_count; j++)
            mates += m->shard_of_node[j] == node_shard(net->nodes[i]);
        live += store_live(node_store(net->nodes[i])) * 60 / mates;
    }
    CHECK_U64(live, KEYS * 60);
}

/* ---- Stories ---- */

static void all_keys_move_and_nothing_else_changes(void) {
    static const uint32_t counts[] = {3, 2, 1, 3, 2};
    struct net net = begin_shards(6, 2);
    struct result w = put_keys(&net, "1", (struct result){0});
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        char value[8];
        kit_note("to %u shards", counts[i]);
        reshard(&net, (unsigned)i, counts[i]);
        pass(&net, 500);
        check_settled(&net);
        snprintf(value, sizeof value, "%zu", i + 1);
        check_keys(&net, w.metadata, value);
        snprintf(value, sizeof value, "%zu", i + 2);
        w = put_keys(&net, value, w);
    }
    end(&net);
}

int main(void) {
    RUN(all_keys_move_and_nothing_else_changes);
    return kit_finish();
}
