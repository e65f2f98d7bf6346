/* Sessions: what clients ask, what they carry and what they saw.
 *
 * A session has one operation under way at a time, at any live node, and carries the metadata of
 * its last answer as the text that it was. Now and then it forgets it, or takes that of another: a
 * new life begins, with a name of its own in the history that the checker reads. What it truly
 * knows is kept beside it (sim_truth.h).
 *
 * When a write is lost for good, who had seen it may come to see the state without it, once it was
 * waived. No checker can know that; so the operations of such a session stand in the history as
 * lives of their own.
 */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define GIVE_UP_US    (12 * S) /* a client's own patience, with paused nodes */
#define NO_NODE_US    (50 * MS)
#define RETRY_US      (20 * MS) /* after a 503, on average */
#define CALM_THINK_US (30 * MS) /* at least, on average, once nothing breaks any more */
#define TRAVEL_US     300
#define FRUSTRATED_US (10 * S) /* of nothing but 503s: it starts anew */

static struct session *session_of(struct sim *s, const struct client_op *op) {
    return &s->clients.sessions[op->session];
}

/* ---- The history ---- */

__attribute__((format(printf, 2, 3))) static void record(struct sim *s, const char *format, ...) {
    char line[200];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    buffer_put(&s->clients.history, (struct slice){line, (size_t)len});
    base_trace(&s->base, hash_crc32((struct slice){line, (size_t)len}), "  history: %.*s", len - 1,
               line);
}

static void new_life(struct sim *s, struct session *me) {
    me->life = ++s->clients.lives;
    me->refused_since_us = 0;
}

static void forget(struct sim *s, struct session *me) {
    new_life(s, me);
    me->metadata.len = 0;
    past_clear(&me->past);
    me->past.stamp = (struct stamp){0, 0};
}

/* A life of nothing but refusals leaves no line. */
static bool is_in_history(const struct sim *s, const struct session *me) {
    char name[32];
    int len = snprintf(name, sizeof name, " s%u.%u ", me->name, me->life);
    struct slice history = buffer_slice(&s->clients.history);
    return history.len > 0 && memmem(history.at, history.len, name, (size_t)len) != NULL;
}

static void take(struct sim *s, struct session *me, const struct session *other) {
    new_life(s, me);
    me->metadata.len = 0;
    buffer_put(&me->metadata, buffer_slice(&other->metadata));
    me->past = other->past;
    if (past_is_torn(&s->truth, &me->past) || !is_in_history(s, other)) return;
    record(s, "take s%u.%u s%u.%u\n", me->name, me->life, other->name, other->life);
}

static void record_write(struct sim *s, const struct client_op *op, const char *outcome) {
    const struct session *me = session_of(s, op);
    if (op->kind == OP_DELETE) {
        record(s, "delete s%u.%u k%u w%u %s\n", me->name, me->life, op->key, op->write, outcome);
    } else {
        record(s, "put s%u.%u k%u w%u %s\n", me->name, me->life, op->key, op->write, outcome);
    }
}

static void record_read(struct sim *s, const struct client_op *op, uint32_t shown) {
    const struct session *me = session_of(s, op);
    if (shown == WRITE_NONE) {
        record(s, "get s%u.%u k%u never\n", me->name, me->life, op->key);
    } else {
        const char *what = s->truth.writes[shown].is_delete ? "absent" : "found";
        record(s, "get s%u.%u k%u %s w%u\n", me->name, me->life, op->key, what, shown);
    }
}

/* ---- Asking ---- */

void clients_init(struct sim *s) {
    for (uint32_t i = 0; i < s->plan.sessions; i++) {
        struct session *me = &s->clients.sessions[i];
        me->name = i;
        forget(s, me);
        base_at(&s->base, base_below(&s->base, S), EVENT_SESSION, i, 0);
    }
}

void clients_free(struct sim *s) {
    for (uint32_t i = 0; i < SESSIONS_MAX; i++)
        buffer_free(&s->clients.sessions[i].metadata);
    free(s->clients.ops);
    buffer_free(&s->clients.history);
    claim_free(&s->clients.claim);
}

static uint32_t new_op(struct sim *s, struct client_op op) {
    struct clients *c = &s->clients;
    if (c->count == c->cap) {
        c->cap = c->cap == 0 ? 256 : c->cap * 2;
        c->ops = bytes_realloc(c->ops, c->cap * sizeof *c->ops);
    }
    c->ops[c->count] = op;
    return c->count++;
}

/* A tombstone does not say which delete it is of: there is one at a time that a live process may
 * have made or may make yet. */
static bool may_delete(const struct sim *s, uint32_t key) {
    for (uint32_t i = 0; i < s->truth.count; i++) {
        const struct truth_write *w = &s->truth.writes[i];
        bool open = w->is_delete && w->key == key && !w->has_dot && w->state != WRITE_REFUSED;
        if (open && (w->boot == BOOT_ANY || host_of_boot(s, w->boot) != NULL)) return false;
    }
    return true;
}

static enum op_kind pick_kind(struct sim *s, uint32_t key) {
    uint64_t dice = base_below(&s->base, 1000);
    if (dice < s->plan.get_permille) return OP_GET;
    return dice < s->plan.get_permille + s->plan.delete_permille && may_delete(s, key) ? OP_DELETE
                                                                                       : OP_PUT;
}

static void ask(struct sim *s, uint32_t session, enum op_kind kind, uint32_t h, uint32_t key) {
    struct session *me = &s->clients.sessions[session];
    uint32_t write = WRITE_NONE;
    if (kind != OP_GET) {
        write = truth_send(&s->truth, kind == OP_DELETE, key, &me->past, s->base.now_us);
    }
    uint32_t op = new_op(s, (struct client_op){
                                .kind = kind,
                                .session = session,
                                .host = h,
                                .key = key,
                                .write = write,
                                .boot_serial = s->hosts[h].boot_serial,
                                .sent_us = s->base.now_us,
                                .waits_since_us = s->base.now_us,
                            });
    me->busy = true;
    me->op = op;
    static const char *const verbs[] = {"get", "put", "delete"};
    base_trace(&s->base, op, "s%u.%u asks n%u: %s k%u%s%.0u (#%u) %.*s", me->name, me->life, h,
               verbs[kind], key, kind == OP_GET ? "" : " w", kind == OP_GET ? 0 : write, op,
               (int)me->metadata.len, me->metadata.len == 0 ? "" : me->metadata.at);
    net_push(&s->base, &s->net, h, (struct net_item){ITEM_REQUEST, op, 0});
    base_at(&s->base, s->base.now_us + GIVE_UP_US, EVENT_SESSION, session, op + 1);
}

static void next_step(struct sim *s, uint32_t session) {
    uint64_t least = s->clients.sessions[session].refused_since_us != 0   ? RETRY_US
                     : s->phase == PHASE_HEALED || s->phase == PHASE_CALM ? CALM_THINK_US
                                                                          : 0;
    uint64_t think = base_below(&s->base, 2 * (s->plan.think_us + least) + 1);
    base_at(&s->base, s->base.now_us + TRAVEL_US + think, EVENT_SESSION, session, 0);
}

/* A live node; HOSTS_MAX: there is none. */
static uint32_t pick_host(struct sim *s) {
    uint32_t live[HOSTS_MAX], count = 0;
    for (uint32_t h = 0; h < s->plan.hosts; h++) {
        if (s->hosts[h].node != NULL) live[count++] = h;
    }
    return count == 0 ? HOSTS_MAX : live[base_below(&s->base, count)];
}

static void change_life(struct sim *s, uint32_t session) {
    struct session *me = &s->clients.sessions[session];
    bool frustrated =
        me->refused_since_us != 0 && s->base.now_us - me->refused_since_us > FRUSTRATED_US;
    if (base_chance(&s->base, s->plan.forget_permille) ||
        (frustrated && base_chance(&s->base, 100))) {
        forget(s, me);
    } else if (base_chance(&s->base, s->plan.take_permille)) {
        uint32_t other = (uint32_t)base_below(&s->base, s->plan.sessions);
        if (other != session) take(s, me, &s->clients.sessions[other]);
    }
}

/* At the very end each session reads every key at every live node. */
static void final_step(struct sim *s, uint32_t session) {
    uint32_t hosts = s->plan.hosts, keys = s->plan.keys, per_session = hosts * keys;
    uint32_t *done = &s->clients.finals;
    while (*done < per_session * s->plan.sessions && *done / per_session == session) {
        uint32_t at = (*done)++ % per_session;
        if (s->hosts[at / keys].node == NULL) continue;
        ask(s, session, OP_GET, at / keys, at % keys);
        return;
    }
    if (*done == per_session * s->plan.sessions) {
        base_at(&s->base, s->base.now_us, EVENT_PHASE, PHASE_OVER, 0);
    } else {
        base_at(&s->base, s->base.now_us, EVENT_SESSION, session + 1, 0);
    }
}

static void random_step(struct sim *s, uint32_t session) {
    if (s->clients.count >= s->plan.operations_max && s->phase == PHASE_FAULTS) {
        base_at(&s->base, s->base.now_us + 300 * MS, EVENT_SESSION, session, 0);
        return;
    }
    change_life(s, session);
    uint32_t h = pick_host(s), key = (uint32_t)base_below(&s->base, s->plan.keys);
    if (h == HOSTS_MAX) {
        base_at(&s->base, s->base.now_us + NO_NODE_US, EVENT_SESSION, session, 0);
        return;
    }
    enum op_kind kind = pick_kind(s, key);
    ask(s, session, kind, h, key);
    if (kind != OP_GET) fault_behind_write(s, h);
}

void client_step(struct sim *s, uint32_t session) {
    if (s->clients.sessions[session].busy || s->phase == PHASE_OVER) return;
    if (s->phase == PHASE_REST) {
        final_step(s, session);
    } else if (s->phase != PHASE_QUIET) {
        random_step(s, session);
    }
}

/* ---- At the node ---- */

static struct slice value_of(struct sim *s, const struct client_op *op, struct buffer *out) {
    if (op->kind != OP_PUT) return (struct slice){0};
    buffer_put(out, SLICE("\"w"));
    buffer_put_u64(out, op->write);
    if (s->plan.value_bytes > 0) buffer_put_char(out, '.');
    while (out->len < s->plan.value_bytes)
        buffer_put_char(out, 'x');
    buffer_put_char(out, '"');
    return buffer_slice(out);
}

void client_submit(struct sim *s, uint32_t h, uint32_t number) {
    struct client_op *op = &s->clients.ops[number];
    if (op->state != OP_TRAVELS) return;
    struct session *me = session_of(s, op);
    struct node *n = s->hosts[h].node;
    struct claim *claim = &s->clients.claim;
    struct buffer value = {0};
    claim_clear(claim);
    if (me->metadata.len > 0) {
        struct json_reader r = json_reader_of(buffer_slice(&me->metadata));
        node_read_claim(n, claim, &r);
        if (!json_finish(&r) || claim->form == CLAIM_BAD) {
            base_violation(&s->base, "I6", "metadata that we issued is refused: %.*s",
                           (int)me->metadata.len, me->metadata.at);
        }
    }
    struct op request = {.kind = op->kind,
                         .key = s->key_names[op->key],
                         .value = value_of(s, op, &value),
                         .claim = claim};
    struct answer answer;
    op->state = OP_AT_NODE;
    op->waits_since_us = s->base.now_us;
    uint32_t under_way = node_under_way(n);
    enum node_taken taken = node_submit(n, number, &request, &answer);
    base_trace(&s->base, (uint64_t)taken, "n%u takes #%u: %s", h, number,
               taken == NODE_ANSWERED ? "answered"
               : taken == NODE_PARKED ? "parked"
                                      : "under way");
    if (node_under_way(n) > under_way) {
        check_begins(s, h);
        s->truth.writes[op->write].boot = s->hosts[h].boot;
    }
    if (taken == NODE_ANSWERED) client_answered(s, h, number, &answer);
    buffer_free(&value);
}

/* The operation has no answer; a write may have happened. */
static void end_unanswered(struct sim *s, struct client_op *op) {
    if (op->write != WRITE_NONE) {
        s->truth.writes[op->write].state = WRITE_UNKNOWN;
        record_write(s, op, "unknown");
    }
    op->state = OP_OVER;
    session_of(s, op)->busy = false;
    next_step(s, op->session);
}

void client_hang_up(struct sim *s, uint32_t session, uint32_t number) {
    struct client_op *op = &s->clients.ops[number];
    if (!s->clients.sessions[session].busy || s->clients.sessions[session].op != number) return;
    base_trace(&s->base, number, "s%u hangs up: #%u", session, number);
    bool at_node = op->state == OP_AT_NODE;
    end_unanswered(s, op);
    if (!at_node) return;
    op->state = OP_ABANDONED;
    net_push(&s->base, &s->net, op->host, (struct net_item){ITEM_GIVE_UP, number, 0});
}

void client_give_up(struct sim *s, uint32_t h, uint32_t number) {
    struct client_op *op = &s->clients.ops[number];
    if (op->state != OP_ABANDONED || op->boot_serial != s->hosts[h].boot_serial) return;
    node_cancel(s->hosts[h].node, number);
    op->state = OP_OVER;
}

void clients_host_died(struct sim *s, uint32_t h) {
    for (uint32_t i = 0; i < s->plan.sessions; i++) {
        struct session *me = &s->clients.sessions[i];
        if (me->busy && s->clients.ops[me->op].host == h) {
            end_unanswered(s, &s->clients.ops[me->op]);
        }
    }
}

/* ---- Answers ---- */

static const char *status_name(enum node_status status) {
    static const char *const names[] = {
        "found",   "created",        "replaced",     "deleted",         "no key",
        "not yet", "cannot forward", "memory limit", "outcome unknown", "disk trouble"};
    return (size_t)status < sizeof names / sizeof *names ? names[status] : "?";
}

static bool is_served(enum node_status status) {
    return status == NODE_FOUND || status == NODE_CREATED || status == NODE_REPLACED ||
           status == NODE_DELETED || status == NODE_NO_KEY;
}

/* It certainly did not happen. Of a write with any other answer nobody knows. */
static bool is_refused(enum node_status status) {
    return status == NODE_NOT_YET || status == NODE_CANNOT_FORWARD || status == NODE_MEMORY_LIMIT ||
           status == NODE_DISK_TROUBLE;
}

/* Has every node forgotten that actor? All that knew it have died since. */
static bool is_forgotten(const struct sim *s, uint32_t actor) {
    for (uint32_t h = 0; h < s->plan.hosts; h++) {
        if (s->hosts[h].node == NULL) continue;
        const struct actors *as = node_actors(s->hosts[h].node);
        if (actors_find_id(as, s->truth.actors[actor].id) != ACTOR_NONE) return false;
    }
    return true;
}

/* Does the refusal name an actor that still lives? */
static bool names_the_living(const struct sim *s, struct slice missing) {
    for (uint32_t x = 0; x < s->truth.actor_count && missing.len > 0; x++) {
        char id[17];
        snprintf(id, sizeof id, "%016llx", (unsigned long long)s->truth.actors[x].id);
        if (memmem(missing.at, missing.len, id, 16) == NULL) continue;
        for (uint32_t h = 0; h < s->plan.hosts; h++) {
            bool lives = s->hosts[h].node != NULL && s->hosts[h].boot == s->truth.actors[x].boot;
            if (lives) return true;
        }
    }
    return false;
}

/* Does the refusal name an actor that was in the lost tails of all logs? Who has met a write of it
 * need not have read it. */
static bool names_the_forgotten(const struct sim *s, struct slice missing) {
    for (uint32_t x = 0; x < s->truth.actor_count && missing.len > 0; x++) {
        char id[17];
        snprintf(id, sizeof id, "%016llx", (unsigned long long)s->truth.actors[x].id);
        if (memmem(missing.at, missing.len, id, 16) != NULL && is_forgotten(s, x)) return true;
    }
    return false;
}

/* Does the refusal name a map that nobody lives by? Without a log it dies with those who knew it.
 */
static bool names_a_forgotten_map(const struct sim *s, struct slice missing) {
    if (missing.len == 0 || memmem(missing.at, missing.len, "\"map ", 5) == NULL) return false;
    for (uint32_t h = 0; h < s->plan.hosts; h++) {
        char name[32];
        if (s->hosts[h].node == NULL) continue;
        const struct map *m = node_map(s->hosts[h].node);
        int len = snprintf(name, sizeof name, "map %u.%08x", m->epoch, (unsigned)(m->id >> 32));
        if (memmem(missing.at, missing.len, name, (size_t)len) != NULL) return false;
    }
    return true;
}

/* A shard may be gone as a whole. */
static bool has_live_owner(const struct sim *s, uint32_t h, uint32_t key) {
    uint32_t map = s->check.hosts[h].map;
    for (uint32_t o = 0; o < s->plan.hosts && map != MAP_NONE; o++) {
        if ((maps_owners(s, map, key) >> o & 1) != 0 && s->hosts[o].node != NULL) return true;
    }
    return false;
}

/* May who has seen all that be refused in calm times? What is lost can be waived when everybody is
 * back who could have it, and if it is known whose it was. */
static bool may_be_refused(const struct sim *s, const struct past *past, struct slice missing) {
    bool all_back = true;
    for (uint32_t h = 0; h < s->plan.hosts; h++)
        all_back &= s->hosts[h].node != NULL;
    if (names_a_forgotten_map(s, missing)) return true;
    if (s->plan.has_disks && !s->plan.keeps_power && names_the_forgotten(s, missing)) return true;
    /* With a member gone for good nothing of the dead can be proven lost, nor that a slot has all.
     */
    if (!all_back && missing.len > 0 && !names_the_living(s, missing)) return true;
    for (uint32_t i = 0; i < s->truth.count; i++) {
        const struct truth_write *w = &s->truth.writes[i];
        bool lost = w->lost && w->has_dot && past->seen[w->actor] >= w->n;
        if (lost && (!all_back || is_forgotten(s, w->actor))) return true;
    }
    return false;
}

static void end_write(struct sim *s, const struct client_op *op, bool refused) {
    struct truth_write *w = &s->truth.writes[op->write];
    w->state = refused ? WRITE_REFUSED : WRITE_UNKNOWN;
    record_write(s, op, refused ? "refused" : "unknown");
    if (refused && w->has_dot) {
        base_violation(&s->base, "I4", "w%u is refused, and yet it exists", op->write);
    }
}

/* 503 and 507: no operation, or nobody knows. I16: in calm times only for what was lost and cannot
 * be waived. */
static void on_refusal(struct sim *s, const struct client_op *op, const struct answer *a) {
    struct session *me = session_of(s, op);
    s->clients.refused++;
    if (op->write != WRITE_NONE) end_write(s, op, is_refused(a->status));
    enum phase from = s->plan.park_ms > 0 ? PHASE_CALM : PHASE_REST; /* writes take a moment */
    bool calm = s->phase >= from && op->sent_us >= s->healed_us;
    calm &= a->status != NODE_CANNOT_FORWARD || has_live_owner(s, op->host, op->key);
    if (calm && !may_be_refused(s, &me->past, a->missing)) {
        base_violation(&s->base, "I16", "n%u still answers s%u \"%s\", missing %.*s", op->host,
                       op->session, status_name(a->status), (int)a->missing.len,
                       a->missing.len == 0 ? "" : a->missing.at);
    }
    if (me->refused_since_us == 0) me->refused_since_us = s->base.now_us;
}

/* What another node has found comes with its metadata as text. */
static bool is_answered_here(const struct answer *a) {
    return a->metadata != NULL;
}

static struct slice metadata_text(const struct answer *a) {
    return a->metadata_text;
}

/* What the client has now seen. */
static const struct metadata *metadata_of(struct sim *s, uint32_t h, const struct answer *a) {
    struct claim *claim = &s->clients.claim;
    if (a->metadata != NULL) return a->metadata;
    claim_clear(claim);
    struct json_reader r = json_reader_of(metadata_text(a));
    node_read_claim(s->hosts[h].node, claim, &r);
    if (metadata_text(a).len == 0 || !json_finish(&r) || claim->form != CLAIM_GOOD) {
        base_violation(&s->base, "I6", "n%u: an answer without metadata, or that is none", h);
    }
    return &claim->metadata;
}

/* The answer names the write. All else that it names was known before it; so the one dot that
 * nobody has a write for is that of this one. If there are several, the write was overwritten
 * before it was ever seen, as was what it met, and it stays without a name. */
static void name_write(struct sim *s, uint32_t h, const struct client_op *op,
                       const struct metadata *m) {
    const struct truth_write *w = &s->truth.writes[op->write];
    uint32_t actor = ACTOR_NONE, n = 0, count = 0;
    for (uint32_t i = 0; i < m->clock.len; i++) {
        struct dot dot = m->clock.dots[i];
        uint32_t x = check_actor(s, h, dot.actor), known = truth_find(&s->truth, x, dot.n);
        bool may = w->boot == BOOT_ANY || s->truth.actors[x].boot == w->boot;
        /* What was made on top of it may have been met already: the entry may say more. */
        bool named = w->has_dot && w->actor == x && w->n <= dot.n;
        if (!named && (known != WRITE_NONE || !may || w->has_dot)) continue;
        actor = x;
        n = (uint32_t)dot.n;
        count++;
    }
    if (count == 0 && m->maps_len > 0) return; /* its node has left the group, and all have it */
    if (count == 0) {
        base_violation(&s->base, "I6", "n%u: the answer to the write w%u does not name it", h,
                       op->write);
    }
    if (count > 1 || (w->has_dot && w->n != n)) return;
    truth_name(&s->base, &s->truth, op->write, actor, n);
    check_named(s, op->write);
}

/* The tombstone that was met elsewhere: the last of the key that the answer's metadata names. What
 * it names is there, so nothing earlier was met. */
static uint32_t tombstone_named(struct sim *s, uint32_t h, const struct client_op *op,
                                const struct metadata *m) {
    uint32_t named[ACTORS_MAX] = {0}, found = WRITE_NONE;
    for (uint32_t i = 0; i < m->clock.len; i++) {
        struct dot dot = m->clock.dots[i];
        named[check_actor(s, h, dot.actor)] = (uint32_t)dot.n;
    }
    for (uint32_t i = 0; i < s->truth.count; i++) {
        const struct truth_write *w = &s->truth.writes[i];
        bool candidate = w->is_delete && w->key == op->key && w->has_stamp;
        if (!candidate || named[w->actor] < w->n) continue;
        if (found == WRITE_NONE || stamp_less(s->truth.writes[found].stamp, w->stamp)) found = i;
    }
    return found;
}

/* What was read elsewhere. A value says which write it is of. */
static uint32_t what_was_read_elsewhere(struct sim *s, uint32_t h, const struct client_op *op,
                                        const struct answer *a, const struct metadata *m) {
    if (a->status != NODE_FOUND) return tombstone_named(s, h, op, m);
    uint32_t shown = truth_of_value(&s->truth, a->value);
    if (shown == WRITE_NONE || s->truth.writes[shown].key != op->key) {
        base_violation(&s->base, "I4", "n%u answers with a value of k%u that nobody wrote", h,
                       op->key);
    }
    return shown;
}

/* What a read told of. */
static uint32_t what_was_read(struct sim *s, uint32_t h, const struct client_op *op,
                              const struct answer *a, const struct metadata *m) {
    if (!is_answered_here(a)) return what_was_read_elsewhere(s, h, op, a, m);
    uint32_t shown = check_shown(s, h, op->key);
    bool absent = shown == WRITE_NONE || s->truth.writes[shown].is_delete;
    if (absent != (a->status == NODE_NO_KEY)) {
        base_violation(&s->base, "I2", "n%u answers \"%s\" and has w%u", h, status_name(a->status),
                       shown);
    }
    return shown;
}

/* What the answer told of: the write itself, or what a read found. */
static uint32_t what_was_shown(struct sim *s, uint32_t h, const struct client_op *op,
                               const struct answer *a, const struct metadata *m) {
    bool wrote =
        a->status == NODE_CREATED || a->status == NODE_REPLACED || a->status == NODE_DELETED;
    if (wrote) {
        s->truth.writes[op->write].state = WRITE_DONE;
        if (!s->truth.writes[op->write].has_dot) check_shown(s, h, op->key);
        name_write(s, h, op, m);
        if (!is_answered_here(a)) check_named_late(s, h, op->write);
        return op->write;
    }
    if (op->write != WRITE_NONE) s->truth.writes[op->write].state = WRITE_REFUSED;
    return what_was_read(s, h, op, a, m);
}

/* Who was answered from elsewhere may have met what nobody can tell: a tombstone that was
 * overwritten before its dot was known, or a write that was; a tombstone whose dot has gone from
 * the metadata; or, having seen what was lost since, whatever is left. He need not have seen it:
 * an entry covers all that its actor wrote before. What was waived is never met again (I13). */
static bool is_known(const struct sim *s, const struct client_op *op, const struct answer *a,
                     const struct metadata *m, uint32_t shown) {
    if (shown != WRITE_NONE && !s->truth.writes[shown].has_dot) return false;
    if (a->status != NODE_NO_KEY || is_answered_here(a)) return true;
    if (shown != WRITE_NONE && s->truth.writes[shown].waived) return false;
    return m->maps_len == 0 && !truth_has_nameless_delete(&s->truth, op->key) &&
           !past_is_torn(&s->truth, &s->clients.sessions[op->session].past);
}

static void record_served(struct sim *s, const struct client_op *op, uint32_t shown, bool known) {
    if (shown != WRITE_NONE && shown == op->write) {
        record_write(s, op, "ok");
    } else if (known) {
        record_read(s, op, shown);
    }
}

static void on_served(struct sim *s, uint32_t h, const struct client_op *op,
                      const struct answer *a) {
    struct session *me = session_of(s, op);
    const struct metadata *m = metadata_of(s, h, a);
    uint32_t shown = what_was_shown(s, h, op, a, m);
    bool known = is_known(s, op, a, m, shown);
    if (known)
        check_answer(s, h, op, m, shown, is_answered_here(a));
    else
        check_answer_of_unknown(s, h, op, m);
    if (s->phase == PHASE_REST && is_answered_here(a)) check_rest_answer(s, h, m);
    bool torn = past_is_torn(&s->truth, &me->past);
    if (torn) new_life(s, me);
    record_served(s, op, shown, known);
    if (torn) {
        for (uint32_t k = 0; k < KEYS_MAX; k++)
            me->past.latest[k] = WRITE_NONE;
    }
    if (shown != WRITE_NONE && known) past_add(&s->truth, &me->past, shown);
    me->metadata.len = 0;
    if (is_answered_here(a)) {
        metadata_put(&me->metadata, m, node_actors(s->hosts[h].node));
    } else {
        buffer_put(&me->metadata, metadata_text(a));
    }
    me->refused_since_us = 0;
    s->clients.answered++;
}

void client_answered(struct sim *s, uint32_t h, uint64_t token, const struct answer *a) {
    struct client_op *op = token < s->clients.count ? &s->clients.ops[token] : NULL;
    if (op != NULL && op->state == OP_ABANDONED) {
        op->state = OP_OVER;
        return;
    }
    if (op == NULL || op->state != OP_AT_NODE || op->boot_serial != s->hosts[h].boot_serial) {
        base_violation(&s->base, "I15", "n%u answers #%llu, which does not wait there", h,
                       (unsigned long long)token);
    }
    maps_look(s, h);
    base_trace(&s->base, (uint64_t)a->status, "n%u answers #%llu: %s %.*s", h,
               (unsigned long long)token, status_name(a->status), (int)a->missing.len,
               a->missing.len == 0 ? "" : a->missing.at);
    op->state = OP_OVER;
    if (is_served(a->status)) {
        on_served(s, h, op, a);
    } else {
        on_refusal(s, op, a);
    }
    session_of(s, op)->busy = false;
    next_step(s, op->session);
}
