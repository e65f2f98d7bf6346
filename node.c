/* The step machine of one node. See node.h.
 *
 * The way of an operation:
 *
 *   node_submit, on_op -> attempt -> send_on        its slot is elsewhere: forward.c has it from
 * there
 *                                 -> attempt_here   is all that the client has seen here? serve.c
 *                      -> park    if it cannot be done now; take_parked attempts it again
 *
 * What can go wrong on the way: a dependency that is not here (parked, then refused by name),
 * nobody to send it on to (the same), no memory (refused).
 *
 * Where the group has other members, a write is only begun here; broadcast.c has the rest of its
 * way, and take_write() picks it up when it is delivered.
 *
 * An operation that another node has sent on to this one goes the same way as a client's, as a
 * *guest*; but its answer is not the shell's to take. It goes out at the end of the turn.
 */
#include "node.h"

#include <assert.h>
#include <stdlib.h>

#include "durable.h"
#include "guests.h"
#include "serve.h"

#define LANE_HERE        1            /* writes served here; the lanes of others are their boots */
#define REREAD_BYTES_MS  (16 * 1024)  /* of metadata of what is parked, a millisecond... */
#define REREAD_BYTES_MAX (128 * 1024) /* ...and at once after a rest */

/* Own writes that are delivered, oldest first. */
struct done {
    struct under_way *first, **end; /* owned */
};

struct node {
    struct cluster cluster;
    struct replica *replica; /* the cluster's */
    struct serve serve;
    struct forward forward;
    struct guests guests;
    uint32_t park_ms, peer_port_offset;
    uint64_t now_ms; /* as the shell last said */

    struct parking parking;
    uint64_t reread_ms;   /* when what follows was true: */
    size_t reread_bytes;  /* of what is parked, read again; a long one counts for later, too */
    struct done done[2];  /* of clients, of guests */
    struct parked *ended; /* the one whose answer is borrowed... */
    struct under_way *answered; /* ...or this write */

    struct change *changes; /* that wait until they are so */
    uint32_t change_count;

    struct claim claim; /* of the operation in hand, if it waited or came from another node */
    struct buffer text; /* metadata of an answer to another node */
    struct node_stats stats;
    struct recovery recovery; /* until node_recovered() */
};

static bool on_operation(struct cluster *c, struct link *l, const struct wire_frame *f);

/* ---- Life ---- */

struct node *node_create(const struct node_config *config, uint64_t now_ms, uint64_t wall_ms) {
    struct node *n = bytes_alloc_zeroed(sizeof *n);
    struct cluster_config cluster = {
        .self = config->self,
        .view = config->view,
        .view_count = config->view_count,
        .shard_count = config->shard_count,
        .boot = config->boot,
        .cluster = config->cluster,
        .secret = config->secret,
        .readmit_ms = config->readmit_ms,
        .greet_ms = config->greet_ms,
        .ring_writes_max = config->ring_writes_max,
        .over_actors_max = config->over_actors_max,
        .keeps_journal = config->keeps_journal,
        .seed = config->seed,
        .random64 = config->random64,
    };
    cluster_init(&n->cluster, &cluster, now_ms);
    n->cluster.on_operation = on_operation;
    n->replica = &n->cluster.replica;
    serve_init(&n->serve, &n->cluster, config->memory_bytes_max);
    forward_init(&n->forward, &n->cluster, config->forwarded, config->forward_ms, config->park_ms);
    parking_init(&n->parking, config->parked);
    for (int i = 0; i < 2; i++)
        n->done[i].end = &n->done[i].first;
    n->park_ms = config->park_ms;
    n->peer_port_offset = config->peer_port_offset;
    n->now_ms = now_ms;
    n->serve.wall_ms = wall_ms;
    return n;
}

/* Takes *link out of the list. */
static void end_change(struct node *n, struct change **link) {
    struct change *ch = *link;
    *link = ch->next;
    n->change_count--;
    free(ch);
}

void node_free(struct node *n) {
    parking_free(&n->parking);
    for (int i = 0; i < 2; i++)
        under_way_free_list(n->done[i].first);
    free(n->ended);
    while (n->changes != NULL)
        end_change(n, &n->changes);
    if (n->answered != NULL) under_way_free(n->answered);
    serve_free(&n->serve);
    forward_free(&n->forward);
    guests_free(&n->guests);
    cluster_free(&n->cluster);
    buffer_free(&n->recovery.image);
    claim_free(&n->claim);
    buffer_free(&n->text);
    free(n);
}

struct slice node_take_notes(struct node *n) {
    return notes_take(&n->cluster.notes);
}

void node_set_time(struct node *n, uint64_t now_ms, uint64_t wall_ms) {
    n->now_ms = now_ms;
    n->serve.wall_ms = wall_ms;
    cluster_set_time(&n->cluster, now_ms);
    forward_set_time(&n->forward, now_ms);
}

static void answer_guests(struct node *n);

void node_end_turn(struct node *n) {
    answer_guests(n);
    cluster_end_turn(&n->cluster);
}

void node_stop(struct node *n) {
    cluster_stop(&n->cluster);
}

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* The oldest parked client is the first whose time is up; guests may be a tick late. */
uint64_t node_deadline_ms(const struct node *n) {
    bool any_done =
        n->replica->done != NULL || n->done[0].first != NULL || n->done[1].first != NULL;
    if (any_done || catchup_has_more_to_send(n->replica)) return n->now_ms;
    uint64_t oldest = n->parking.first != NULL ? n->parking.first->deadline_ms : UINT64_MAX;
    bool read_enough = n->reread_ms == n->now_ms && n->reread_bytes >= REREAD_BYTES_MAX;
    if (read_enough) oldest = n->now_ms + 1; /* any may be due */
    uint64_t sent = forward_deadline_ms(&n->forward);
    return earlier(earlier(oldest, sent), peers_deadline_ms(&n->cluster.peers));
}

/* ---- Links ---- */

struct link *node_link_accepted(struct node *n) {
    return peers_accept(&n->cluster.peers);
}

void node_link_connected(struct node *n, struct link *l) {
    handshake_begin(&n->cluster.handshake, l);
}

size_t node_link_received(struct node *n, struct link *l, struct slice bytes) {
    return cluster_received(&n->cluster, l, bytes);
}

static void link_ends(struct node *n, const struct link *l) {
    forward_link_ended(&n->forward, l);
    guests_link_ended(&n->guests, l);
}

void node_link_closed(struct node *n, struct link *l, bool refused) {
    link_ends(n, l);
    peers_closed(&n->cluster.peers, l, refused);
}

struct slice node_link_output(const struct link *l) {
    return link_output(l);
}

void node_link_sent(struct node *n, struct link *l, size_t bytes) {
    (void)n;
    link_sent(l, bytes);
}

bool node_take_order(struct node *n, struct link_order *order) {
    if (!peers_take_order(&n->cluster.peers, order)) return false;
    if (order->kind == LINK_CLOSE) link_ends(n, order->link);
    return true;
}

/* ---- What an operation depends on ---- */

void node_read_claim(const struct node *n, struct claim *c, struct json_reader *r) {
    claim_read(c, r, n->cluster.actors, hlc_latest_acceptable(n->replica->hlc, n->serve.wall_ms));
}

/* ---- Attempts ---- */

/* An operation that is attempted. */
struct attempt {
    const struct op *op;
    const struct errand *errand;
    const struct parked *parked; /* it is; or NULL */
    enum parked_for waits_for;   /* if it cannot be done now... */
    struct lack lack;            /* ...for want of this */
    struct store_place place;
};

/* Another shard has the slot, or this node is not ready. */
static bool send_on(struct node *n, struct attempt *t, struct answer *a) {
    bool own = node_owns_slot(n, t->place.slot);
    if (t->errand->hops == 0) return !own; /* maps differ too much: "cannot" is the answer */
    t->waits_for = PARKED_FOR_OWNER;
    a->lane = forward_send(&n->forward, t->errand, t->op, t->place.slot);
    if (a->lane == 0) return false;
    a->status = NODE_SENT_ON;
    return true;
}

/* Much that was asked before waits on the link to who asks. */
static bool lacks_room(const struct node *n, const struct errand *e) {
    const struct guest *guest =
        guests_has_token(e->token) ? guests_find(&n->guests, e->token) : NULL;
    const struct peer *asker = guest == NULL ? NULL : guest->from->peer;
    return asker != NULL && asker->to != NULL && link_unsent_bytes(asker->to) > FORWARD_OUTPUT_MAX;
}

static bool lacks_turn(const struct node *n, const struct attempt *t) {
    return op_is_write(t->op->kind) && parking_has_stream(&n->parking, t->op->stream, t->parked);
}

/* Tries to serve it here. */
static bool attempt_here(struct node *n, struct attempt *t, struct answer *a) {
    const struct op *op = t->op;
    if (!serve_covers(&n->serve, op->claim, t->place.slot)) {
        n->replica->pull_wanted = true;
        a->status = NODE_NOT_YET;
        a->missing = buffer_slice(&n->serve.missing);
        t->lack = n->serve.lack;
        return false;
    }
    if (!serve_may_begin(&n->serve, op->kind, t->place.slot)) {
        catchup_hurry(n->replica, t->place.slot);
        return false;
    }
    if (!op_is_write(op->kind) && lacks_room(n, t->errand)) {
        t->waits_for = PARKED_FOR_ROOM;
        return false;
    }
    a->status = serve_operation(&n->serve, op, t->errand->token, t->place, a);
    bool refused = a->status == NODE_MEMORY_LIMIT || a->status == NODE_DISK_TROUBLE;
    if (refused) return true; /* it goes back with what it came with */
    if (op_has_key(op->kind)) a->metadata = &op->claim->metadata;
    if (a->status != NODE_BEGUN) cluster_prune(&n->cluster, &op->claim->metadata);
    return true;
}

/* Here or elsewhere. False: it cannot be done now; *a is the answer if it waits in vain. */
static bool attempt(struct node *n, struct attempt *t, struct answer *a) {
    const struct op *op = t->op;
    t->place.slot = op->slot;
    if (op_has_key(op->kind)) t->place = store_locate(n->cluster.store, op->key);
    t->waits_for = PARKED_FOR_PROGRESS;
    *a = (struct answer){
        .kind = op->kind,
        .status = NODE_CANNOT_FORWARD,
        .lane = LANE_HERE,
        .shard = n->cluster.maps.map->shard_of_slot[t->place.slot],
        .slot = t->place.slot,
        .metadata_text = op->claim->text,
    };
    if (!n->cluster.maps.is_decided) return false;
    if (lacks_turn(n, t)) {
        t->waits_for = PARKED_FOR_TURN;
        return false;
    }
    bool here = serve_is_ready(&n->serve, t->place.slot);
    return here ? attempt_here(n, t, a) : send_on(n, t, a);
}

/* Reads the metadata of an operation that is not a client's just now into n->claim. Its time was
 * judged when it came; the wall clock may be another one, and that must not make it bad. */
static bool read_claim_text(struct node *n, struct slice text) {
    claim_clear(&n->claim);
    if (text.len == 0) return true;
    struct json_reader r = json_reader_of(text);
    claim_read(&n->claim, &r, n->cluster.actors, HLC_MAX);
    return json_finish(&r) && n->claim.form != CLAIM_BAD;
}

/* Attempts a parked operation, by what is known now of the actors that it names. */
static bool attempt_again(struct node *n, struct parked *p, struct answer *a) {
    bool good = read_claim_text(n, p->claim_text);
    assert(good);
    (void)good;
    p->op.claim = &n->claim;
    p->tried_at = n->replica->progress;
    struct attempt t = {.op = &p->op, .errand = &p->errand, .parked = p};
    bool done = attempt(n, &t, a);
    p->what = t.waits_for;
    p->lack = t.lack;
    return done;
}

/* ---- Parking ---- */

/* False: too many wait already. */
static bool park(struct node *n, const struct attempt *t) {
    struct parked *p = n->park_ms == 0 ? NULL : parking_add(&n->parking, t->errand, t->op);
    if (p == NULL) return false;
    p->op.slot = t->place.slot;
    p->what = t->waits_for;
    p->lack = t->lack;
    p->deadline_ms = earlier(n->now_ms + n->park_ms, t->errand->deadline_ms);
    p->tried_at = n->replica->progress;
    return true;
}

/* Something has happened for which it waits, or its time is up. To attempt it takes its metadata,
 * which may be long: that there is none the less what it lacks is found out without. */
static bool is_ripe(struct node *n, struct parked *p) {
    if (p->deadline_ms <= n->now_ms) return true;
    if (p->tried_at != n->replica->progress) {
        if (!serve_still_lacks(&n->serve, &p->lack, p->op.slot)) return true;
        p->tried_at = n->replica->progress;
        return false;
    }
    switch (p->what) {
    case PARKED_FOR_PROGRESS: break;
    case PARKED_FOR_OWNER: return forward_reaches(&n->forward, p->op.slot);
    case PARKED_FOR_TURN: return !parking_has_stream(&n->parking, p->op.stream, p);
    case PARKED_FOR_ROOM: return !lacks_room(n, &p->errand);
    }
    return false;
}

/* ---- Operations ---- */

/* Each operation counts once: where its client is. */
static void count_answer(struct node *n, uint64_t token, const struct answer *a) {
    if (!guests_has_token(token)) n->stats.answered[a->kind][a->status]++;
}

static enum node_taken begin(struct node *n, const struct errand *errand, const struct op *op,
                             struct answer *answer) {
    struct attempt t = {.op = op, .errand = errand};
    bool done = attempt(n, &t, answer);
    if (!done && park(n, &t)) return NODE_PARKED;
    if (answer->status == NODE_BEGUN) return NODE_UNDER_WAY;
    if (answer->status == NODE_SENT_ON) return op_is_write(op->kind) ? NODE_UNDER_WAY : NODE_PARKED;
    count_answer(n, errand->token, answer);
    return NODE_ANSWERED;
}

enum node_taken node_submit(struct node *n, uint64_t token, const struct op *op,
                            struct answer *answer) {
    assert(!guests_has_token(token));
    struct errand errand = {token, UINT64_MAX, FORWARD_HOPS_MAX};
    struct op named = *op;
    if (op->stream != 0) named.stream += n->cluster.peers.boot; /* random: nobody else's */
    return begin(n, &errand, &named, answer);
}

static void answer_write(struct node *n, struct under_way *u, struct answer *a) {
    enum node_status put = u->replaced ? NODE_REPLACED : NODE_CREATED;
    *a = (struct answer){
        .kind = u->is_delete ? OP_DELETE : OP_PUT,
        .status = u->is_delete ? NODE_DELETED : put,
        .shard = n->cluster.maps.map->shard_of_slot[u->slot],
        .metadata = &u->seen,
    };
    cluster_prune(&n->cluster, &u->seen);
}

/* What the replica has delivered goes to those who wait for it. */
static void sort_done(struct node *n) {
    struct under_way *u;
    while ((u = broadcast_take_done(n->replica)) != NULL) {
        struct done *list = &n->done[guests_has_token(u->token)];
        u->next = NULL;
        *list->end = u;
        list->end = &u->next;
    }
}

/* The next write that is delivered. */
static bool take_write(struct node *n, bool of_guests, uint64_t *token, struct answer *answer) {
    struct done *list = &n->done[of_guests];
    sort_done(n);
    for (;;) {
        if (n->answered != NULL) under_way_free(n->answered);
        n->answered = list->first;
        if (n->answered == NULL) return false;
        list->first = n->answered->next;
        if (list->first == NULL) list->end = &list->first;
        if (n->answered->cancelled) continue;
        *token = n->answered->token;
        answer_write(n, n->answered, answer);
        return true;
    }
}

/* The node that asked is gone: what has not begun is not to begin any more. */
static bool is_orphan(const struct node *n, const struct parked *p) {
    uint64_t token = p->errand.token;
    return guests_has_token(token) && guests_find(&n->guests, token) == NULL;
}

/* A thousand may have to be answered at once: the others get on meanwhile. */
static bool may_reread(struct node *n, const struct parked *p) {
    uint64_t forgotten = (n->now_ms - n->reread_ms) * REREAD_BYTES_MS;
    n->reread_bytes -= n->reread_bytes < forgotten ? n->reread_bytes : (size_t)forgotten;
    n->reread_ms = n->now_ms;
    if (n->reread_bytes >= REREAD_BYTES_MAX) return false;
    n->reread_bytes += p->claim_text.len;
    return true;
}

/* Attempts what is parked, so far as something has happened since or its time is up. */
static bool take_parked(struct node *n, bool of_guests, uint64_t *token, struct answer *answer) {
    for (struct parked **link = &n->parking.first; *link != NULL;) {
        struct parked *p = *link;
        bool late = p->deadline_ms <= n->now_ms;
        if (is_orphan(n, p)) {
            free(parking_remove(&n->parking, link));
            continue;
        }
        bool is_meant = guests_has_token(p->errand.token) == of_guests;
        bool is_tried = is_meant && is_ripe(n, p) && may_reread(n, p);
        if (is_tried && (attempt_again(n, p, answer) || late)) {
            free(n->ended);
            n->ended = parking_remove(&n->parking, link);
            if (answer->status == NODE_BEGUN || answer->status == NODE_SENT_ON) continue;
            *token = p->errand.token;
            return true;
        }
        link = &p->next;
    }
    return false;
}

static bool take_answer(struct node *n, bool of_guests, uint64_t *token, struct answer *answer) {
    return take_write(n, of_guests, token, answer) || take_parked(n, of_guests, token, answer) ||
           take_write(n, of_guests, token, answer) ||
           forward_take(&n->forward, of_guests, token, answer);
}

static bool take_change(struct node *n, uint64_t *token, struct answer *answer) {
    *answer = (struct answer){0};
    for (struct change **link = &n->changes; *link != NULL; link = &(*link)->next) {
        if (!change_step(&n->cluster, *link, &answer->status)) continue;
        *token = (*link)->token;
        end_change(n, link);
        return true;
    }
    return false;
}

bool node_take_answer(struct node *n, uint64_t *token, struct answer *answer) {
    if (take_change(n, token, answer)) return true;
    if (!take_answer(n, false, token, answer)) return false;
    count_answer(n, *token, answer);
    return true;
}

void node_cancel(struct node *n, uint64_t token) {
    broadcast_cancel(n->replica, token);
    under_way_cancel(n->done[0].first, token);
    forward_cancel(&n->forward, token);
    for (struct parked **link = &n->parking.first; *link != NULL;) {
        if ((*link)->errand.token == token)
            free(parking_remove(&n->parking, link));
        else
            link = &(*link)->next;
    }
    for (struct change **link = &n->changes; *link != NULL; link = &(*link)->next) {
        if ((*link)->token == token) {
            end_change(n, link);
            return;
        }
    }
}

uint64_t node_lane(struct node *n, uint32_t slot) {
    return serve_is_ready(&n->serve, slot) ? LANE_HERE : forward_lane(&n->forward, slot);
}

/* ---- Operations of other nodes ---- */

static void answer_guest(struct node *n, uint64_t token, const struct answer *a) {
    struct guest guest;
    if (!guests_dismiss(&n->guests, token, &guest)) return;
    struct peer *asker = guest.from->peer;
    if (asker == NULL || asker->state != PEER_UP || peer_output(asker) == NULL) return;
    struct wire_answer m = {
        .id = guest.id,
        .status = a->status,
        .shard = (uint8_t)a->shard,
        .metadata = a->metadata_text,
        .missing = a->missing,
        .value = a->value,
    };
    if (a->metadata != NULL) {
        n->text.len = 0;
        metadata_put(&n->text, a->metadata, n->cluster.actors);
        m.metadata = buffer_slice(&n->text);
    }
    if (!wire_answer_fits(&m)) {
        m = (struct wire_answer){.id = guest.id, .status = NODE_CANNOT_FORWARD, .shard = m.shard};
    }
    wire_put_answer(replica_output(n->replica, asker), &m);
}

static void answer_guests(struct node *n) {
    uint64_t token;
    struct answer a;
    while (take_answer(n, true, &token, &a))
        answer_guest(n, token, &a);
}

/* Of the time that the asker has left, a part is for the way back. */
static uint64_t guest_deadline_ms(const struct node *n, uint32_t ms) {
    return n->now_ms + ms - ms / 8;
}

/* Served like an operation of a client here. */
static bool on_op(struct node *n, struct link *l, struct slice body) {
    struct wire_op m;
    struct answer a;
    if (!wire_read_op(body, &m) || !read_claim_text(n, m.claim)) return false;
    struct errand errand = {guests_admit(&n->guests, l, m.id), guest_deadline_ms(n, m.ms), m.hops};
    struct op op = {m.kind, m.key, m.value, &n->claim, m.stream, m.slot};
    n->stats.guests++;
    if (errand.token == 0) return true; /* too many: it hears nothing, as from one that is stuck */
    if (begin(n, &errand, &op, &a) == NODE_ANSWERED) answer_guest(n, errand.token, &a);
    return true;
}

static bool on_operation(struct cluster *c, struct link *l, const struct wire_frame *f) {
    struct node *n = CONTAINER_OF(c, struct node, cluster);
    return f->type == WIRE_OP ? on_op(n, l, f->body)
                              : forward_on_answer(&n->forward, l->peer, f->body);
}

/* ---- View and shards ---- */

const struct peers *node_view(const struct node *n) {
    return &n->cluster.peers;
}

bool node_has_peer_port(const struct node *n, const struct address *address) {
    return address->port + n->peer_port_offset <= UINT16_MAX;
}

enum peers_added node_view_add(struct node *n, const struct address *address) {
    enum peers_added added = peers_add(&n->cluster.peers, address, false);
    if (added != PEERS_ADDED) return added;
    notes_put(&n->cluster.notes, "view: in, by request: ", address);
    cluster_pardon(&n->cluster, address);
    return added;
}

/* Would a shard be left without any member, or lose its last live one? */
static bool is_last_member(const struct node *n, const struct address *address) {
    const struct map *m = n->cluster.maps.map;
    uint32_t shard = map_shard_of_node(m, address), others = 0, live = 0;
    const struct peer *p = peers_find(&n->cluster.peers, address);
    if (shard == SHARD_NONE) return false;
    for (uint32_t i = 0; i < m->node_count; i++) {
        const struct peer *other = peers_find(&n->cluster.peers, &m->nodes[i]);
        if (m->shard_of_node[i] != shard || other == p) continue;
        others++;
        live += other != NULL && peer_in_view(other);
    }
    return others == 0 || (live == 0 && p != NULL && peer_in_view(p));
}

static bool may_be_removed(const struct node *n, const struct peer *p) {
    return !is_last_member(n, &p->address) && !handover_is_only_source(n->replica, p);
}

enum node_removed node_view_remove(struct node *n, const struct address *address) {
    const struct peer *p = peers_find(&n->cluster.peers, address);
    bool known =
        p != NULL && (peer_is_listed(&n->cluster.peers, p) ||
                      (n->cluster.maps.is_decided && map_has_node(n->cluster.maps.map, address)));
    if (!known || p->state == PEER_STRUCK) return NODE_REMOVED_UNKNOWN;
    if (p->state == PEER_SELF) return NODE_REMOVED_SELF;
    if (!may_be_removed(n, p)) return NODE_REMOVED_LAST;
    cluster_remove(&n->cluster, address);
    return NODE_REMOVED;
}

const struct map *node_map(const struct node *n) {
    return n->cluster.maps.map;
}

uint32_t node_shard(const struct node *n) {
    return n->cluster.shard;
}

bool node_owns_slot(const struct node *n, uint32_t slot) {
    return serve_owns(&n->serve, slot);
}

bool node_may_read_slot(const struct node *n, uint32_t slot) {
    return serve_may_read(&n->serve, slot);
}

/* ---- Changes of the map ---- */

static enum node_taken submit_change(struct node *n, const struct change *asked,
                                     struct answer *answer) {
    struct change ch = *asked;
    *answer = (struct answer){.status = NODE_TOO_MANY_CHANGES};
    if (n->change_count == CHANGES_MAX) return NODE_ANSWERED;
    if (change_step(&n->cluster, &ch, &answer->status)) return NODE_ANSWERED;
    struct change *waiting = bytes_alloc(sizeof *waiting);
    *waiting = ch;
    waiting->next = n->changes;
    n->changes = waiting;
    n->change_count++;
    return NODE_PARKED;
}

enum node_taken node_reshard(struct node *n, uint64_t token, uint32_t shard_count,
                             struct answer *answer) {
    struct change ch = {.kind = CHANGE_RESHARD, .token = token, .shard_count = shard_count};
    return submit_change(n, &ch, answer);
}

enum node_taken node_add_member(struct node *n, uint64_t token, uint32_t shard,
                                const struct address *address, struct answer *answer) {
    struct change ch = {.kind = CHANGE_JOIN, .token = token, .shard = shard, .node = *address};
    return submit_change(n, &ch, answer);
}

/* Slots have about as many keys each. */
void node_reshard_progress(const struct node *n, struct node_progress *out) {
    struct handover_progress progress = handover_progress(n->replica);
    uint64_t slots_here = 0;
    for (uint32_t s = 0; s < SHARD_SLOTS; s++)
        slots_here += node_slot_clock(n, s) != NULL;
    uint64_t keys = slots_here == 0 ? 0 : store_live(n->cluster.store) / slots_here;
    *out = (struct node_progress){
        .settled = cluster_is_settled(&n->cluster),
        .keys_moved = keys * (progress.slots - progress.to_go),
        .keys_to_go = keys * progress.to_go,
    };
}

bool node_resharding(const struct node *n) {
    for (const struct change *ch = n->changes; ch != NULL; ch = ch->next) {
        if (ch->kind == CHANGE_RESHARD) return true;
    }
    return false;
}

/* ---- What survives: durable.h ---- */

struct slice node_journal(const struct node *n) {
    return buffer_slice(&n->replica->redo.out);
}

void node_journal_taken(struct node *n) {
    n->replica->redo.out.len = 0;
}

bool durable_cut(struct slice *rest, struct slice *frame) {
    struct wire_frame f;
    if (redo_cut(*rest, &f) != WIRE_CUT_FRAME) return false;
    *frame = (struct slice){rest->at, f.bytes};
    *rest = (struct slice){rest->at + f.bytes, rest->len - f.bytes};
    return true;
}

bool node_recover(struct node *n, struct slice frames) {
    return recover_frames(&n->recovery, &n->cluster, frames);
}

void node_recovered(struct node *n, bool is_intact) {
    recover_end(&n->recovery, &n->cluster, is_intact);
}

bool node_is_resuming(const struct node *n) {
    return n->cluster.resume.is_due;
}

bool node_snapshot_next(struct node *n, struct snapshot *walk, struct buffer *out) {
    return snapshot_next(walk, &n->cluster, out);
}

/* It becomes part of JSON texts. */
static void put_reason(struct buffer *out, struct slice reason) {
    for (size_t i = 0; i < reason.len && i < DURABLE_REASON_BYTES_MAX; i++) {
        bool plain = reason.at[i] >= ' ' && reason.at[i] <= '~';
        bool ends_text = reason.at[i] == '"' || reason.at[i] == '\\';
        buffer_put_char(out, plain && !ends_text ? reason.at[i] : '?');
    }
}

void node_set_disk_trouble(struct node *n, struct slice reason) {
    n->serve.trouble.len = 0;
    put_reason(&n->serve.trouble, reason);
    n->replica->is_full = reason.len > 0;
    n->replica->progress++;
    n->cluster.peers.rows_due = true; /* so that nobody waits for this node */
}

/* ---- Reports ---- */

const struct node_stats *node_stats(const struct node *n) {
    return &n->stats;
}

const struct parking *node_parking(const struct node *n) {
    return &n->parking;
}

const struct forward_stats *node_forward_stats(const struct node *n) {
    return &n->forward.stats;
}

const struct store *node_store(const struct node *n) {
    return n->cluster.store;
}

const struct address *node_self(const struct node *n) {
    return &n->cluster.peers.self;
}

const struct actors *node_actors(const struct node *n) {
    return n->cluster.actors;
}

const struct replica_stats *node_replica_stats(const struct node *n) {
    return &n->replica->stats;
}

/* One that stands by has no keys, and sends every operation on; unless the map keeps it out. */
bool node_ready(const struct node *n) {
    const struct replica *r = n->replica;
    return cluster_has_a_say(&n->cluster) && r->synced && (r->group == 0 || r->holds);
}

bool node_provisional(const struct node *n) {
    return n->replica->provisional;
}

const struct vclock *node_slot_clock(const struct node *n, uint32_t slot) {
    return parts_clock(&n->replica->parts, slot);
}

bool node_has_residue(const struct node *n) {
    return n->replica->has_residue;
}

bool node_base_complete(const struct node *n) {
    return n->replica->synced && (n->replica->settled || handover_is_complete(n->replica));
}

uint32_t node_held_back(const struct node *n) {
    return n->replica->held.count;
}

uint32_t node_under_way(const struct node *n) {
    return n->replica->under_way_count;
}

uint32_t node_learn_actor(struct node *n, uint64_t id, const struct address *node, uint64_t boot,
                          uint64_t group) {
    n->replica->progress++;
    maps_add_foreign(&n->cluster.maps, group);
    return actors_learn(n->cluster.actors, id, node, boot, group);
}
