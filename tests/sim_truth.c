/* Who wrote what and knew what. See sim_truth.h. */
#include "sim_truth.h"

#include <assert.h>
#include <stdlib.h>

void truth_free(struct truth *t) {
    free(t->writes);
    for (uint32_t i = 0; i < t->actor_count; i++)
        free(t->actors[i].writes);
    free(t->groups);
}

/* ---- Pasts ---- */

void past_clear(struct past *p) {
    *p = (struct past){0};
    for (uint32_t k = 0; k < KEYS_MAX; k++)
        p->latest[k] = WRITE_NONE;
}

static struct stamp greater(struct stamp a, struct stamp b) {
    return stamp_less(a, b) ? b : a;
}

static void raise_latest(struct truth *t, struct past *p, uint32_t key, uint32_t write) {
    if (write == WRITE_NONE || !t->writes[write].has_stamp) return;
    uint32_t now = p->latest[key];
    if (now == WRITE_NONE || stamp_less(t->writes[now].stamp, t->writes[write].stamp)) {
        p->latest[key] = write;
    }
}

void past_join(struct truth *t, struct past *p, const struct past *other) {
    for (uint32_t a = 0; a < t->actor_count; a++) {
        if (p->seen[a] < other->seen[a]) p->seen[a] = other->seen[a];
    }
    for (uint32_t k = 0; k < KEYS_MAX; k++)
        raise_latest(t, p, k, other->latest[k]);
    p->stamp = greater(p->stamp, other->stamp);
}

void past_add(struct truth *t, struct past *p, uint32_t write) {
    const struct truth_write *w = &t->writes[write];
    past_join(t, p, &w->past);
    assert(w->has_dot);
    if (p->seen[w->actor] < w->n) p->seen[w->actor] = w->n;
    raise_latest(t, p, w->key, write);
    if (w->has_stamp) p->stamp = greater(p->stamp, w->stamp);
}

bool past_is_torn(const struct truth *t, const struct past *p) {
    if (t->lost_count == 0) return false;
    for (uint32_t i = 0; i < t->count; i++) {
        const struct truth_write *w = &t->writes[i];
        if (w->lost && w->has_dot && p->seen[w->actor] >= w->n) return true;
    }
    return false;
}

/* ---- Writes ---- */

uint32_t truth_send(struct truth *t, bool is_delete, uint32_t key, const struct past *past,
                    uint64_t now_us) {
    if (t->count == t->cap) {
        t->cap = t->cap == 0 ? 64 : t->cap * 2;
        t->writes = bytes_realloc(t->writes, t->cap * sizeof *t->writes);
    }
    t->writes[t->count] =
        (struct truth_write){.is_delete = is_delete, .key = key, .sent_us = now_us, .past = *past};
    return t->count++;
}

bool truth_has_nameless_delete(const struct truth *t, uint32_t key) {
    for (uint32_t i = 0; i < t->count; i++) {
        const struct truth_write *w = &t->writes[i];
        bool known = w->has_dot && w->has_stamp;
        if (w->is_delete && w->key == key && !known && w->state != WRITE_REFUSED) return true;
    }
    return false;
}

/* The delete of that key whose dot is not known and which that boot has made; if it was sent none,
 * the one of which nobody knows who took it. */
static uint32_t nameless_delete(const struct truth *t, uint32_t key, uint64_t boot) {
    uint32_t found = WRITE_NONE;
    for (uint32_t i = 0; i < t->count; i++) {
        const struct truth_write *w = &t->writes[i];
        bool open = w->is_delete && w->key == key && !w->has_dot && w->state != WRITE_REFUSED;
        if (open && w->boot == boot) return i;
        if (open && w->boot == BOOT_ANY) found = i;
    }
    return found;
}

/* The number in a value: "w17" and whatever follows. */
uint32_t truth_of_value(const struct truth *t, struct slice value) {
    uint64_t write = 0;
    if (value.len < 3 || value.at[1] != 'w') return WRITE_NONE;
    for (size_t i = 2; i < value.len && value.at[i] >= '0' && value.at[i] <= '9'; i++) {
        write = write * 10 + (uint64_t)(value.at[i] - '0');
    }
    return write < t->count ? (uint32_t)write : WRITE_NONE;
}

/* ---- Groups ---- */

static const struct truth_group *find_group(const struct truth *t, uint64_t id) {
    for (uint32_t i = 0; i < t->group_count; i++) {
        if (t->groups[i].id == id) return &t->groups[i];
    }
    return NULL;
}

void truth_learn_group(struct truth *t, uint64_t id, const bool has[KEYS_MAX]) {
    if (find_group(t, id) != NULL) return;
    t->groups = bytes_realloc(t->groups, (t->group_count + 1) * sizeof *t->groups);
    struct truth_group *g = &t->groups[t->group_count++];
    g->id = id;
    memcpy(g->has, has, sizeof g->has);
}

bool truth_concerns(const struct truth *t, uint32_t actor, uint32_t key) {
    const struct truth_group *g = find_group(t, t->actors[actor].group);
    return g != NULL && g->has[key];
}

/* ---- Names ---- */

uint32_t truth_actor(struct sim_base *b, struct truth *t, const struct actor *actor) {
    uint32_t i = 0;
    while (i < t->actor_count && t->actors[i].id != actor->id)
        i++;
    if (i == t->actor_count) {
        assert(i < ACTORS_MAX);
        t->actors[i] = (struct truth_actor){
            .id = actor->id, .boot = actor->boot, .group = actor->group, .node = actor->node};
        t->actor_count++;
    }
    if (t->actors[i].boot != actor->boot || t->actors[i].group != actor->group) {
        base_violation(b, "I11", "an actor of two boots or groups: %s", actor->label.at);
    }
    return i;
}

uint64_t truth_origin(const struct truth *t, const struct truth_write *w) {
    return w->has_dot ? t->actors[w->actor].boot : w->boot;
}

uint32_t truth_find(const struct truth *t, uint32_t actor, uint64_t n) {
    const struct truth_actor *a = &t->actors[actor];
    return n >= 1 && n <= a->count ? a->writes[n - 1] : WRITE_NONE;
}

void truth_name(struct sim_base *b, struct truth *t, uint32_t write, uint32_t actor, uint64_t n) {
    struct truth_actor *a = &t->actors[actor];
    struct truth_write *w = &t->writes[write];
    uint32_t known = truth_find(t, actor, n);
    bool same = !w->has_dot || (w->actor == actor && w->n == n);
    if (!same || (known != WRITE_NONE && known != write)) {
        base_violation(b, "I4", "dot %llu of actor %016llx names w%u, and w%u was dot %u",
                       (unsigned long long)n, (unsigned long long)a->id, known, write, w->n);
    }
    if (w->boot != BOOT_ANY && a->boot != w->boot) {
        base_violation(b, "I4", "w%u has a dot of actor %016llx, of another boot than it went to",
                       write, (unsigned long long)a->id);
    }
    if (w->state == WRITE_REFUSED) {
        base_violation(b, "I4", "w%u was refused, and yet it exists", write);
    }
    if (n > a->count) {
        a->writes = bytes_realloc(a->writes, n * sizeof *a->writes);
        while (a->count < n)
            a->writes[a->count++] = WRITE_NONE;
    }
    a->writes[n - 1] = write;
    w->has_dot = true;
    w->actor = actor;
    w->n = (uint32_t)n;
}

/* I4: one stamp a dot. I5: it is greater than those of all that its writer knew. */
static void set_stamp(struct sim_base *b, struct truth *t, uint32_t write, uint64_t hlc) {
    struct truth_write *w = &t->writes[write];
    struct stamp stamp = {hlc, t->actors[w->actor].id};
    if (w->has_stamp && w->stamp.hlc != hlc) {
        base_violation(b, "I4", "w%u has stamp %llx and had %llx", write, (unsigned long long)hlc,
                       (unsigned long long)w->stamp.hlc);
    }
    w->stamp = stamp;
    w->has_stamp = true;
    if (!stamp_less(w->past.stamp, stamp)) {
        base_violation(b, "I5", "w%u is stamped %llx, not above %llx which its writer had seen",
                       write, (unsigned long long)hlc, (unsigned long long)w->past.stamp.hlc);
    }
}

uint32_t truth_sight(struct sim_base *b, struct truth *t, const struct version *v, uint32_t actor,
                     uint32_t key) {
    uint32_t write = truth_find(t, actor, v->dot.n);
    if (write == WRITE_NONE) {
        write = v->is_tombstone ? nameless_delete(t, key, t->actors[actor].boot)
                                : truth_of_value(t, v->value);
    }
    if (write == WRITE_NONE) {
        base_violation(b, "I4", "a version under k%u, dot %llu of actor %016llx, that nobody wrote",
                       key, (unsigned long long)v->dot.n, (unsigned long long)t->actors[actor].id);
    }
    const struct truth_write *w = &t->writes[write];
    bool right = w->key == key && w->is_delete == v->is_tombstone;
    if (!right || (!v->is_tombstone && truth_of_value(t, v->value) != write)) {
        base_violation(b, "I4", "w%u is another key, kind or value than it was", write);
    }
    truth_name(b, t, write, actor, v->dot.n);
    set_stamp(b, t, write, v->hlc);
    return write;
}
