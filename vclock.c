/* The actor registry and vector clock algebra. See vclock.h. */
#include "vclock.h"

#include <assert.h>
#include <stdlib.h>

/* ---- The registry ---- */

struct actors {
    struct actor *list; /* by index */
    uint32_t count, cap;
    uint32_t *table; /* index + 1 by id, open addressing; 0 is free */
    uint32_t table_mask;
};

#define ACTORS_MIN     16
#define LABEL_ID_BYTES 17 /* '#' and 16 hex digits */

struct actors *actors_create(void) {
    struct actors *as = bytes_alloc_zeroed(sizeof *as);
    as->cap = ACTORS_MIN;
    as->list = bytes_alloc(as->cap * sizeof *as->list);
    as->table_mask = 2 * ACTORS_MIN - 1;
    as->table = bytes_alloc_zeroed((as->table_mask + 1) * sizeof *as->table);
    return as;
}

void actors_free(struct actors *as) {
    for (uint32_t i = 0; i < as->count; i++)
        free((char *)as->list[i].member.at);
    free(as->list);
    free(as->table);
    free(as);
}

/* The place of `id` in the table: where it stands, or the free place where it belongs. Ids are
 * random numbers, so their low bits serve as the hash. */
static uint32_t *table_place(const struct actors *as, uint64_t id) {
    uint32_t i = (uint32_t)id & as->table_mask;
    while (as->table[i] != 0 && as->list[as->table[i] - 1].id != id)
        i = (i + 1) & as->table_mask;
    return &as->table[i];
}

static void grow(struct actors *as) {
    as->cap *= 2;
    as->list = bytes_realloc(as->list, as->cap * sizeof *as->list);
    free(as->table);
    as->table_mask = 2 * as->cap - 1;
    as->table = bytes_alloc_zeroed((as->table_mask + 1) * sizeof *as->table);
    for (uint32_t i = 0; i < as->count; i++)
        *table_place(as, as->list[i].id) = i + 1;
}

static struct slice make_member(uint64_t id, const struct address *node) {
    struct buffer member = {0};
    buffer_put_char(&member, '"');
    buffer_put(&member, address_text(node));
    buffer_put_char(&member, '#');
    buffer_put_hex64(&member, id);
    buffer_put(&member, SLICE("\":"));
    return buffer_slice(&member);
}

uint32_t actors_learn(struct actors *as, uint64_t id, const struct address *node, uint64_t boot,
                      uint64_t group) {
    uint32_t known = *table_place(as, id);
    if (known != 0) return known - 1;
    if (as->count == as->cap) grow(as);
    uint32_t index = as->count++;
    struct slice member = make_member(id, node);
    struct slice label = {member.at + 1, member.len - strlen("\"\":")};
    as->list[index] = (struct actor){id, boot, group, *node, false, label, member};
    *table_place(as, id) = index + 1;
    return index;
}

void actors_end(struct actors *as, uint32_t index) {
    assert(index < as->count);
    as->list[index].is_over = true;
}

uint32_t actors_find_id(const struct actors *as, uint64_t id) {
    uint32_t known = *table_place(as, id);
    return known == 0 ? ACTOR_NONE : known - 1;
}

uint32_t actors_find(const struct actors *as, struct slice label) {
    uint64_t id;
    if (label.len < LABEL_ID_BYTES) return ACTOR_NONE;
    if (!hex64_parse(label.at + label.len - 16, &id)) return ACTOR_NONE;
    uint32_t known = *table_place(as, id);
    if (known == 0 || !slice_equal(as->list[known - 1].label, label)) return ACTOR_NONE;
    return known - 1;
}

const struct actor *actors_get(const struct actors *as, uint32_t index) {
    assert(index < as->count);
    return &as->list[index];
}

uint32_t actors_count(const struct actors *as) {
    return as->count;
}

/* ---- Clocks ---- */

void vclock_clear(struct vclock *c) {
    c->len = 0;
}

void vclock_free(struct vclock *c) {
    free(c->dots);
    *c = (struct vclock){0};
}

/* Where the dot of `actor` stands or belongs. */
static uint32_t find_place(const struct vclock *c, uint32_t actor) {
    /* A clock that holds all actors, as most do, has each at its own index. */
    if (actor < c->len && c->dots[actor].actor == actor) return actor;
    uint32_t low = 0, high = c->len;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (c->dots[middle].actor < actor) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint64_t vclock_get(const struct vclock *c, uint32_t actor) {
    uint32_t i = find_place(c, actor);
    return i < c->len && c->dots[i].actor == actor ? c->dots[i].n : 0;
}

static void make_room(struct vclock *c) {
    if (c->len < c->cap) return;
    c->cap = c->cap == 0 ? 8 : c->cap * 2;
    c->dots = bytes_realloc(c->dots, c->cap * sizeof *c->dots);
}

/* The dot of `actor`, made with n = 0 if it was not there. Borrowed until the next change. */
static struct dot *dot_of(struct vclock *c, uint32_t actor) {
    uint32_t i = find_place(c, actor);
    if (i < c->len && c->dots[i].actor == actor) return &c->dots[i];
    make_room(c);
    memmove(c->dots + i + 1, c->dots + i, (c->len - i) * sizeof *c->dots);
    c->len++;
    c->dots[i] = (struct dot){actor, 0};
    return &c->dots[i];
}

void vclock_set(struct vclock *c, struct dot dot) {
    if (c->len == 0 || c->dots[c->len - 1].actor < dot.actor) { /* clocks are read in order */
        make_room(c);
        c->dots[c->len++] = dot;
    } else {
        dot_of(c, dot.actor)->n = dot.n;
    }
}

void vclock_raise(struct vclock *c, struct dot dot) {
    struct dot *mine = dot_of(c, dot.actor);
    if (mine->n < dot.n) mine->n = dot.n;
}

void vclock_join(struct vclock *c, const struct vclock *other) {
    if (c->len == 0 && other->len > 0) {
        if (c->cap < other->len) {
            c->cap = other->len;
            c->dots = bytes_realloc(c->dots, c->cap * sizeof *c->dots);
        }
        memcpy(c->dots, other->dots, other->len * sizeof *c->dots);
        c->len = other->len;
        return;
    }
    for (uint32_t i = 0; i < other->len; i++)
        vclock_raise(c, other->dots[i]);
}

/* From the end: two clocks that differ mostly do so in the actors that came last. */
bool vclock_covers(const struct vclock *c, const struct vclock *other) {
    for (uint32_t i = other->len; i-- > 0;) {
        if (!vclock_has(c, other->dots[i])) return false;
    }
    return true;
}

bool vclock_equal(const struct vclock *a, const struct vclock *b) {
    return vclock_covers(a, b) && vclock_covers(b, a);
}
