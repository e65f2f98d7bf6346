/* Counts by address. See origins.h.
 *
 * Open addressing, linear: an address stands in the row that its hash names or behind it, with no
 * empty row between. When a row becomes empty, those behind it that it cuts off move up, so that
 * there are no marks of what was deleted and the table never has to be cleaned.
 *
 * It is at most three quarters full, grows to twice its size, and shrinks to half when an eighth of
 * it is in use: between growing and shrinking lie many steps, so neither is done again and again.
 */
#include "origins.h"

#include <assert.h>
#include <stdlib.h>

#define CAP_MIN 16

struct origin {
    uint32_t ipv4;
    uint32_t connections; /* 0: the row is empty */
};

void origins_init(struct origins *o, uint32_t each_max, struct hash_seed seed) {
    *o = (struct origins){.each_max = each_max, .seed = seed};
}

void origins_free(struct origins *o) {
    free(o->rows);
    *o = (struct origins){0};
}

static uint32_t home_of(const struct origins *o, uint32_t ipv4) {
    char bytes[sizeof ipv4];
    memcpy(bytes, &ipv4, sizeof bytes);
    return (uint32_t)hash_seeded(&o->seed, (struct slice){bytes, sizeof bytes}) & (o->cap - 1);
}

/* Its row, or the empty one where it would go. */
static struct origin *find(const struct origins *o, uint32_t ipv4) {
    uint32_t at = home_of(o, ipv4);
    while (o->rows[at].connections > 0 && o->rows[at].ipv4 != ipv4)
        at = (at + 1) & (o->cap - 1);
    return &o->rows[at];
}

static void resize(struct origins *o, uint32_t cap) {
    struct origin *old = o->rows;
    uint32_t old_cap = o->cap;
    o->rows = bytes_alloc_zeroed(cap * sizeof *o->rows);
    o->cap = cap;
    for (uint32_t i = 0; i < old_cap; i++) {
        if (old[i].connections > 0) *find(o, old[i].ipv4) = old[i];
    }
    free(old);
}

bool origins_enter(struct origins *o, uint32_t ipv4) {
    if (o->count >= o->cap / 4 * 3) resize(o, o->cap == 0 ? CAP_MIN : o->cap * 2);
    struct origin *row = find(o, ipv4);
    if (row->connections >= o->each_max) return false;
    o->count += row->connections == 0;
    row->ipv4 = ipv4;
    row->connections++;
    o->full += row->connections == o->each_max;
    return true;
}

/* Row `at` is empty now: those behind it must still be found from where they belong. */
static void close_gap(struct origins *o, uint32_t at) {
    uint32_t mask = o->cap - 1;
    for (uint32_t next = (at + 1) & mask; o->rows[next].connections > 0; next = (next + 1) & mask) {
        uint32_t away = (next - home_of(o, o->rows[next].ipv4)) & mask; /* from its home */
        if (away < ((next - at) & mask)) continue; /* which is behind the gap */
        o->rows[at] = o->rows[next];
        o->rows[next].connections = 0;
        at = next;
    }
}

void origins_leave(struct origins *o, uint32_t ipv4) {
    struct origin *row = o->cap == 0 ? NULL : find(o, ipv4);
    assert(row != NULL && row->connections > 0);
    o->full -= row->connections == o->each_max;
    if (--row->connections > 0) return;
    o->count--;
    close_gap(o, (uint32_t)(row - o->rows));
    if (o->cap > CAP_MIN && o->count < o->cap / 8) resize(o, o->cap / 2);
}

uint32_t origins_connections(const struct origins *o, uint32_t ipv4) {
    return o->cap == 0 ? 0 : find(o, ipv4)->connections;
}
