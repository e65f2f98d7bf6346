/* The way of an operation to another node and back. See forward.h.
 *
 * Whom to ask (find_owner). Each shard's members stand in an order of preference of this node's
 * own, and the first that can be asked is. The orders of different nodes begin with different
 * members, so that a shard's load is spread; and since it is the same order as long as the map is
 * the same, operations on one shard go to one member, over one link, and stay in order, until that
 * one is not in view any more. A connection whose earlier writes went another way has to see them
 * answered first: that is what lanes are for.
 *
 * What is kept. Of a read all that it takes to ask again. Of a write the client's metadata, to be
 * given back if its outcome is unknown; its value is in the output of the link, and if the link
 * ends before any of the frame has gone, the frame moves from there to another link as it is.
 *
 * The answer travels on the link that the target has dialled, so that one counts as well: when it
 * ends, answers may have been lost with it, though the target lives on and links are made again.
 */
#include "forward.h"

#include <assert.h>
#include <stdlib.h>

#include "guests.h"
#include "hash.h"

struct sent {
    struct sent *next, **at; /* in a list */
    struct sent *chain;      /* in its bucket */
    uint64_t id;
    struct errand errand;
    uint32_t slot, shard;
    struct op op;         /* slices into `bytes`; of a write without key and value; no claim */
    struct slice claim;   /* of the client, as text */
    struct link *out;     /* that it went by; NULL: homeless, */
    uint64_t homeless_ms; /* until then at most */
    struct link *in;      /* that the answer comes by; NULL: it is made again */
    uint64_t place;       /* of the frame in what `out` sends */
    uint64_t frame_bytes;
    size_t size;
    enum node_status status;   /* ended */
    struct wire_answer answer; /* slices into `body`, */
    struct buffer body;        /* if there was one */
    char bytes[];
};

/* ---- Life ---- */

void forward_init(struct forward *f, struct cluster *cluster, struct op_limits limits,
                  uint32_t forward_ms, uint32_t patience_ms) {
    *f = (struct forward){
        .cluster = cluster,
        .stats.limits = limits,
        .forward_ms = forward_ms,
        .patience_ms = patience_ms,
        .due_ms = UINT64_MAX,
    };
    if (limits.ops_max == 0) f->stats.limits.ops_max = FORWARD_OPS_MAX;
    if (limits.bytes_max == 0) f->stats.limits.bytes_max = FORWARD_BYTES_MAX;
    f->sent.end = &f->sent.first;
    for (int i = 0; i < 2; i++)
        f->ended[i].end = &f->ended[i].first;
}

static void sent_free(struct sent *s) {
    buffer_free(&s->body);
    free(s);
}

static void free_list(struct sent_list *list) {
    for (struct sent *s = list->first, *next; s != NULL; s = next) {
        next = s->next;
        sent_free(s);
    }
}

void forward_free(struct forward *f) {
    free_list(&f->sent);
    free_list(&f->ended[0]);
    free_list(&f->ended[1]);
    if (f->taken != NULL) sent_free(f->taken);
    free(f->members);
}

/* ---- Lists ---- */

static void list_add(struct sent_list *list, struct sent *s) {
    s->next = NULL;
    s->at = list->end;
    *list->end = s;
    list->end = &s->next;
}

static void list_remove(struct sent_list *list, struct sent *s) {
    *s->at = s->next;
    if (s->next != NULL)
        s->next->at = s->at;
    else
        list->end = s->at;
}

static struct sent **bucket_of(struct forward *f, uint64_t id) {
    return &f->buckets[id % FORWARD_BUCKETS]; /* ids count up: they spread by themselves */
}

static struct sent *find(struct forward *f, uint64_t id) {
    struct sent *s = *bucket_of(f, id);
    while (s != NULL && s->id != id)
        s = s->chain;
    return s;
}

/* It is answered, given up or cancelled: no answer finds it any more. */
static void leave_sent(struct forward *f, struct sent *s) {
    struct sent **at = bucket_of(f, s->id);
    while (*at != s)
        at = &(*at)->chain;
    *at = s->chain;
    list_remove(&f->sent, s);
    f->homeless -= s->out == NULL;
    f->stats.now--;
}

/* Makes the answer that forward_take() will give. */
static void end(struct forward *f, struct sent *s, enum node_status status) {
    leave_sent(f, s);
    s->status = status;
    f->stats.unknown += status == NODE_OUTCOME_UNKNOWN;
    list_add(&f->ended[guests_has_token(s->errand.token)], s);
}

/* ---- Owners ---- */

/* Which member of a shard this node prefers. */
static uint32_t own_turn(const struct cluster *c) {
    const struct address *self = &c->peers.self;
    if (c->shard == SHARD_NONE) return hash_crc32(address_text(self));
    uint32_t turn = 0;
    for (uint32_t i = 0; i < c->maps.map->node_count; i++) {
        if (address_compare(&c->maps.map->nodes[i], self) == 0) break;
        turn += c->maps.map->shard_of_node[i] == c->shard;
    }
    return turn;
}

static void rotate(struct peer **list, uint32_t count, uint32_t by) {
    for (uint32_t i = 0; i < by; i++) {
        struct peer *first = list[0];
        memmove(list, list + 1, (count - 1) * sizeof *list);
        list[count - 1] = first;
    }
}

/* Those whom the map names are never forgotten: their peers stay where they are. */
static void order_members(struct forward *f) {
    const struct cluster *c = f->cluster;
    const struct map *m = c->maps.map;
    uint32_t turn = own_turn(c), count = 0;
    f->map_id = m->id;
    f->members = bytes_realloc(f->members, m->node_count * sizeof(struct peer *));
    for (uint32_t shard = 0; shard < m->shard_count; shard++) {
        uint32_t from = f->first[shard] = count;
        for (uint32_t i = 0; i < m->node_count; i++) {
            struct peer *p = peers_find(&c->peers, &m->nodes[i]);
            if (m->shard_of_node[i] == shard && p != NULL) f->members[count++] = p;
        }
        if (count > from) rotate(f->members + from, count - from, turn % (count - from));
    }
    f->first[m->shard_count] = count;
}

/* It serves its shard by the map of this node, or by the one that this node is about to adopt. */
static bool serves(const struct cluster *c, const struct peer *p) {
    const struct map *next = c->maps.next;
    bool same = p->row.map_id == c->maps.map->id || (next != NULL && p->row.map_id == next->id);
    return p->state != PEER_SELF && peer_in_view(p) && same && p->row.synced && p->holds;
}

/* Both links stand, too. */
static bool can_be_asked(const struct cluster *c, const struct peer *p, const struct link *dead) {
    if (!serves(c, p) || p->to == NULL || p->to->state != LINK_OPEN || p->from == NULL)
        return false;
    if (p->to == dead || p->from == dead) return false;
    return link_unsent_bytes(p->to) <= FORWARD_OUTPUT_MAX;
}

/* `dead` is a link that is about to end, or NULL. */
static struct peer *find_owner(struct forward *f, uint32_t slot, const struct link *dead) {
    const struct cluster *c = f->cluster;
    if (!c->maps.is_decided) return NULL;
    if (f->map_id != c->maps.map->id) order_members(f);
    uint32_t shard = c->maps.map->shard_of_slot[slot];
    struct peer *full = NULL; /* it refuses writes, and lacks the last ones of others */
    for (uint32_t i = f->first[shard]; i < f->first[shard + 1]; i++) {
        struct peer *p = f->members[i];
        if (!can_be_asked(c, p, dead)) continue;
        if (!p->row.is_full) return p;
        if (full == NULL) full = p;
    }
    return full;
}

static bool has_room(const struct forward *f, size_t size) {
    return f->stats.now < f->stats.limits.ops_max &&
           f->stats.bytes + size <= f->stats.limits.bytes_max;
}

bool forward_reaches(struct forward *f, uint32_t slot) {
    return has_room(f, 0) && find_owner(f, slot, NULL) != NULL;
}

uint64_t forward_lane(struct forward *f, uint32_t slot) {
    const struct peer *owner = find_owner(f, slot, NULL);
    return owner == NULL ? 0 : owner->boot;
}

/* ---- Sending ---- */

static void is_due_by(struct forward *f, uint64_t ms) {
    if (ms < f->due_ms) f->due_ms = ms;
}

static struct sent *sent_create(const struct errand *errand, const struct op *op, uint32_t slot) {
    bool again = !op_is_write(op->kind); /* may have to be asked again */
    struct slice key = again ? op->key : (struct slice){0};
    struct slice value = again ? op->value : (struct slice){0};
    size_t size = sizeof(struct sent) + key.len + value.len + op->claim->text.len;
    struct sent *s = bytes_alloc(size);
    char *at = s->bytes;
    *s = (struct sent){.errand = *errand, .op = *op, .slot = slot, .size = size};
    s->op.claim = NULL;
    s->op.key = write_copy(&at, key);
    s->op.value = write_copy(&at, value);
    s->claim = write_copy(&at, op->claim->text);
    return s;
}

static struct wire_op message_of(const struct forward *f, const struct sent *s,
                                 const struct op *op) {
    uint64_t left = s->errand.deadline_ms > f->now_ms ? s->errand.deadline_ms - f->now_ms : 0;
    return (struct wire_op){
        .id = s->id,
        .stream = op->stream,
        .kind = op->kind,
        .hops = (uint8_t)(s->errand.hops - 1),
        .ms = left < UINT32_MAX ? (uint32_t)left : UINT32_MAX,
        .slot = (uint16_t)s->slot,
        .key = op->key,
        .value = op->value,
        .claim = s->claim,
    };
}

/* The actors that the operation names are introduced before it. */
static struct buffer *open_output(struct forward *f, struct sent *s, struct peer *owner) {
    struct buffer *out = replica_output(&f->cluster->replica, owner);
    s->out = owner->to;
    s->in = owner->from;
    s->place = link_place(owner->to);
    return out;
}

static void put_op(struct forward *f, struct sent *s, struct peer *owner, const struct op *op) {
    struct wire_op m = message_of(f, s, op);
    wire_put_op(open_output(f, s, owner), &m);
    s->frame_bytes = link_place(s->out) - s->place;
}

uint64_t forward_send(struct forward *f, const struct errand *errand, const struct op *op,
                      uint32_t slot) {
    assert(errand->hops > 0);
    struct peer *owner = find_owner(f, slot, NULL);
    struct wire_op whole = {.key = op->key, .value = op->value, .claim = op->claim->text};
    if (owner == NULL || !wire_op_fits(&whole)) return 0;
    if (!has_room(f, sizeof(struct sent) + op->key.len + op->claim->text.len)) {
        f->stats.refused++;
        return 0;
    }
    struct sent *s = sent_create(errand, op, slot);
    s->id = ++f->last_id;
    s->shard = f->cluster->maps.map->shard_of_slot[slot];
    s->chain = *bucket_of(f, s->id);
    *bucket_of(f, s->id) = s;
    list_add(&f->sent, s);
    f->stats.now++;
    f->stats.bytes += s->size;
    f->stats.sent[op->kind]++;
    uint64_t latest_ms = f->now_ms + f->forward_ms;
    if (s->errand.deadline_ms > latest_ms) s->errand.deadline_ms = latest_ms;
    is_due_by(f, s->errand.deadline_ms);
    put_op(f, s, owner, op);
    return owner->boot;
}

/* ---- Losing ---- */

/* A write of which no byte has gone: its frame goes to another owner as it is. */
static void move_write(struct forward *f, struct sent *s, struct slice rest) {
    struct link *dead = s->out;
    struct peer *owner = find_owner(f, s->slot, dead);
    if (owner == NULL) {
        end(f, s, NODE_CANNOT_FORWARD);
        return;
    }
    buffer_put(open_output(f, s, owner), (struct slice){rest.at, s->frame_bytes});
}

static void ask_again(struct forward *f, struct sent *s, const struct link *dead) {
    struct peer *owner = find_owner(f, s->slot, dead);
    f->homeless -= s->out == NULL;
    if (owner != NULL) {
        f->stats.sent_again++;
        put_op(f, s, owner, &s->op);
        return;
    }
    if (s->out != NULL) s->homeless_ms = f->now_ms + f->patience_ms;
    s->out = s->in = NULL;
    f->homeless++;
}

static void lose(struct forward *f, struct sent *s, const struct link *dead) {
    struct slice rest;
    if (!op_is_write(s->op.kind)) {
        ask_again(f, s, dead);
    } else if (!link_unsent_from(s->out, s->place, &rest)) {
        end(f, s, NODE_OUTCOME_UNKNOWN);
    } else if (s->out == dead) {
        move_write(f, s, rest);
    } else {
        s->in = NULL; /* no answer can have been on its way; one may come by the next */
    }
}

void forward_link_ended(struct forward *f, const struct link *l) {
    for (struct sent *s = f->sent.first, *next; s != NULL; s = next) {
        next = s->next;
        if (s->out != l && s->in != l) continue;
        lose(f, s, l);
        f->due_ms = f->now_ms; /* there is something to send, or to take */
    }
}

/* ---- Time ---- */

/* The link that the answer will come by is gone, and the other side dials again. */
static void await_return(struct forward *f, struct sent *s) {
    if (s->out->peer != NULL) s->in = s->out->peer->from;
    if (s->in == NULL) is_due_by(f, f->now_ms + PEER_TICK_MS);
}

static bool runs_out(const struct forward *f, const struct sent *s) {
    bool homeless_too_long = s->out == NULL && s->homeless_ms <= f->now_ms;
    return s->errand.deadline_ms <= f->now_ms || homeless_too_long;
}

void forward_set_time(struct forward *f, uint64_t now_ms) {
    f->now_ms = now_ms;
    if (f->due_ms > now_ms && f->homeless == 0) return;
    f->due_ms = UINT64_MAX;
    for (struct sent *s = f->sent.first, *next; s != NULL; s = next) {
        next = s->next;
        if (s->out == NULL)
            ask_again(f, s, NULL);
        else if (s->in == NULL)
            await_return(f, s);
        if (runs_out(f, s)) {
            end(f, s, op_is_write(s->op.kind) ? NODE_OUTCOME_UNKNOWN : NODE_CANNOT_FORWARD);
            continue;
        }
        is_due_by(f, s->errand.deadline_ms);
        if (s->out == NULL) is_due_by(f, s->homeless_ms);
    }
}

uint64_t forward_deadline_ms(const struct forward *f) {
    bool any_ended = f->ended[0].first != NULL || f->ended[1].first != NULL;
    return any_ended ? f->now_ms : f->due_ms;
}

/* ---- Answers ---- */

static bool suits(enum op_kind kind, enum node_status status) {
    switch (status) {
    case NODE_FOUND: return !op_is_write(kind);
    case NODE_CREATED:
    case NODE_REPLACED:
    case NODE_MEMORY_LIMIT: return kind == OP_PUT;
    case NODE_DELETED: return kind == OP_DELETE;
    case NODE_NO_KEY: return kind == OP_GET || kind == OP_DELETE;
    case NODE_NOT_YET: return op_has_key(kind);
    case NODE_OUTCOME_UNKNOWN:
    case NODE_DISK_TROUBLE: return op_is_write(kind);
    case NODE_CANNOT_FORWARD: return true;
    default: break;
    }
    return false;
}

/* One that nobody waits for any more is passed over. */
bool forward_on_answer(struct forward *f, const struct peer *from, struct slice body) {
    struct wire_answer m;
    if (!wire_read_answer(body, &m)) return false;
    struct sent *s = find(f, m.id);
    if (s == NULL || s->out == NULL || s->out->peer != from) return true;
    if (!suits(s->op.kind, m.status)) return false;
    buffer_put(&s->body, body);
    f->stats.bytes += s->body.len;
    wire_read_answer(buffer_slice(&s->body), &s->answer);
    bool strays = s->op.kind == OP_COUNT && m.shard != s->shard; /* by another map */
    s->shard = m.shard;
    end(f, s, strays ? NODE_CANNOT_FORWARD : m.status);
    return true;
}

bool forward_take(struct forward *f, bool of_guests, uint64_t *token, struct answer *answer) {
    struct sent *s = f->ended[of_guests].first;
    if (f->taken != NULL) sent_free(f->taken);
    f->taken = s;
    if (s == NULL) return false;
    list_remove(&f->ended[of_guests], s);
    f->stats.bytes -= s->size + s->body.len;
    *token = s->errand.token;
    *answer = (struct answer){
        .kind = s->op.kind,
        .status = s->status,
        .shard = s->shard,
        .slot = s->slot,
        .value = s->answer.value,
        .metadata_text = s->answer.metadata.len > 0 ? s->answer.metadata : s->claim,
        .missing = s->answer.missing,
    };
    return true;
}

static void cancel(struct forward *f, struct sent *s) {
    f->stats.bytes -= s->size + s->body.len;
    sent_free(s);
}

void forward_cancel(struct forward *f, uint64_t token) {
    for (struct sent *s = f->sent.first, *next; s != NULL; s = next) {
        next = s->next;
        if (s->errand.token != token) continue;
        leave_sent(f, s);
        cancel(f, s);
    }
    for (struct sent *s = f->ended[0].first, *next; s != NULL; s = next) {
        next = s->next;
        if (s->errand.token != token) continue;
        list_remove(&f->ended[0], s);
        cancel(f, s);
    }
}
