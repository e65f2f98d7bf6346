/* A node that only remembers. See inspect.h.
 *
 * The directory is read as at a start, into a node of its owner's name that never begins to run.
 */
#include "inspect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "durable.h"
#include "json.h"
#include "node.h"
#include "restart.h"

struct inspection {
    struct datadir dir;
    struct log_sink sink;
    struct log_found found;
    struct node *node; /* owned; NULL: there is nothing in the directory */
    struct buffer cluster;
    struct address owner;
    char error[DATADIR_ERROR_BYTES];
};

static uint64_t no_random_numbers(void) {
    static uint64_t n;
    return ++n; /* names for what is never written or told */
}

static bool on_owner(struct log_sink *s, const struct opening *o,
                     char error[LOG_SINK_ERROR_BYTES]) {
    struct inspection *i = CONTAINER_OF(s, struct inspection, sink);
    (void)error;
    buffer_put(&i->cluster, o->cluster);
    i->owner = o->node;
    struct node_config config = {
        .self = o->node,
        .view = &i->owner,
        .view_count = 1,
        .cluster = buffer_slice(&i->cluster),
        .keeps_journal = true,
        .boot = no_random_numbers(),
        .random64 = no_random_numbers,
    };
    i->node = node_create(&config, 0, 0);
    return true;
}

static bool on_frames(struct log_sink *s, struct slice frames) {
    return node_recover(CONTAINER_OF(s, struct inspection, sink)->node, frames);
}

static bool begin(struct inspection *i, const char *path) {
    uint64_t boot[2];
    *i = (struct inspection){.sink = {on_owner, on_frames}};
    restart_read_boot(boot);
    if (!datadir_open(&i->dir, path, false, i->error)) return false;
    if (!logread_all(&i->dir, boot, &i->sink, &i->found, i->error)) return false;
    if (i->node != NULL) node_recovered(i->node, i->found.is_intact);
    return true;
}

static void end(struct inspection *i) {
    datadir_close(&i->dir);
    if (i->node != NULL) node_free(i->node);
    buffer_free(&i->cluster);
}

static bool complain(const struct inspection *i) {
    fprintf(stderr, "kvs: %s\n", i->error);
    return false;
}

static unsigned long long number(uint64_t n) {
    return n;
}

/* ---- kvs --check ---- */

static void print_files(const struct log_found *f) {
    if (f->snapshot > 0)
        printf("snapshot-%06u: %llu bytes\n", f->snapshot, number(f->snapshot_bytes));
    printf("log-%06u to log-%06u: %u files, %llu bytes\n", f->snapshot > 0 ? f->snapshot : 1,
           f->last, f->log_files, number(f->log_bytes));
    printf("records: %llu, with %llu bytes of frames\n", number(f->records),
           number(f->frames_bytes));
    if (f->torn_bytes > 0) {
        printf("torn: %llu bytes behind byte %llu of log-%06u, which the next start cuts off\n",
               number(f->torn_bytes), number(f->end), f->last);
    }
    if (!f->is_intact)
        printf("not intact: the machine has stopped without warning since, and some may be gone\n");
}

static void print_contents(const struct node *n) {
    const struct store *s = node_store(n);
    const struct map *m = node_map(n);
    printf("keys: %llu, and %llu deleted ones\n", number(store_live(s)),
           number(store_tombstones(s)));
    printf("actors: %u\n", actors_count(node_actors(n)));
    printf("map: number %u, %u shards, %u nodes\n", m->epoch, m->shard_count, m->node_count);
}

bool inspect_check(const char *path) {
    struct inspection i;
    bool good = begin(&i, path) || complain(&i);
    if (good && i.node == NULL) {
        printf("%s: good, and empty\n", path);
    } else if (good) {
        printf("%s: good\nnode: %s of cluster %.*s\n", path, i.owner.text, (int)i.cluster.len,
               i.cluster.at);
        print_files(&i.found);
        print_contents(i.node);
    }
    end(&i);
    return good && fflush(stdout) == 0;
}

/* ---- kvs --dump ---- */

/* A value is kept as it was sent. Between its tokens may stand ends of lines, and nowhere else. */
static void put_on_one_line(struct buffer *out, struct slice value) {
    size_t begin = out->len;
    buffer_put(out, value);
    for (size_t i = begin; i < out->len; i++) {
        if (out->at[i] == '\n' || out->at[i] == '\r') out->at[i] = ' ';
    }
}

static bool print_slot(const struct store *s, uint32_t slot, struct buffer *line) {
    struct store_walk walk = store_walk_slot(slot);
    struct version v;
    bool good = true;
    while (good && store_walk_next(s, &walk, &v)) {
        if (v.is_tombstone) continue;
        line->len = 0;
        buffer_put(line, SLICE("{\"key\":"));
        json_put_string(line, v.key);
        buffer_put(line, SLICE(",\"value\":"));
        put_on_one_line(line, v.value);
        buffer_put(line, SLICE("}\n"));
        good = fwrite(line->at, 1, line->len, stdout) == line->len;
    }
    return good;
}

bool inspect_dump(const char *path) {
    struct inspection i;
    struct buffer line = {0};
    bool good = begin(&i, path) || complain(&i);
    bool written = true;
    for (uint32_t slot = 0; good && i.node != NULL && written && slot < SHARD_SLOTS; slot++)
        written = print_slot(node_store(i.node), slot, &line);
    if (fflush(stdout) != 0) written = false;
    if (!written) fprintf(stderr, "kvs: standard output: %s\n", strerror(errno));
    if (good && !i.found.is_new && !i.found.is_intact)
        fprintf(stderr, "kvs: the machine has stopped without warning since; some may be gone\n");
    buffer_free(&line);
    end(&i);
    return good && written;
}
