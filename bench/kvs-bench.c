/* The server under test, told of five foreign actors beforehand.
 *
 * Clients of a real cluster carry metadata with an entry for each node, but a single node alone has
 * one actor only and would answer 503 to the others. So the bench runs the real server with five
 * actors of other groups already known, and prints metadata that names them and the map. Then all
 * that a request costs in a cluster of six, reading and writing six entries, it costs here.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../config.h"
#include "../hash.h"
#include "../startup.h"

#define FOREIGN_ACTORS 5

static void learn_foreign_actors(struct node *n, struct metadata *m) {
    for (unsigned i = 0; i < FOREIGN_ACTORS; i++) {
        char text[32];
        struct address address;
        snprintf(text, sizeof text, "10.10.0.%u:8090", i + 3);
        address_parse(slice_of(text), &address);
        uint64_t id = hash_seeded(&(struct hash_seed){i, 1}, slice_of(text));
        uint32_t actor = node_learn_actor(n, id, &address, id, id);
        vclock_raise(&m->clock, (struct dot){actor, 17 * i + 9});
    }
}

/* The sixth entry is this node's own, which exists from its first write on. */
static void write_once(struct node *n, struct metadata *m) {
    struct claim none = {0};
    struct op op = {.kind = OP_PUT, .key = SLICE("bench"), .value = SLICE("0"), .claim = &none};
    struct answer answer;
    if (node_submit(n, 0, &op, &answer) == NODE_ANSWERED)
        vclock_join(&m->clock, &answer.metadata->clock);
    m->time = answer.metadata->time;
    claim_free(&none);
}

int main(void) {
    struct config config;
    char error[CONFIG_ERROR_BYTES];
    if (!config_read(&config, getenv, error)) {
        fprintf(stderr, "kvs-bench: %s\n", error);
        return 2;
    }
    struct process *process = process_create(&config);
    if (process == NULL) return 1;
    struct node *n = process_node(process);
    struct metadata m = {0};
    struct buffer text = {0};
    const struct map *map = node_map(n);
    metadata_add_map(&m, (struct map_ref){map->epoch, (uint32_t)(map->id >> 32)});
    learn_foreign_actors(n, &m);
    write_once(n, &m);
    metadata_put(&text, &m, node_actors(n));
    printf("metadata %.*s\n", (int)text.len, text.at);
    fflush(stdout);
    metadata_free(&m);
    buffer_free(&text);
    process_run(process);
    process_free(process);
    config_free(&config);
    return 0;
}
