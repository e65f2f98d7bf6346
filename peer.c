/* Who is up, and the links to them. See peer.h for the states.
 *
 * What happens in the usual cases:
 *
 * A process dies: the kernel ends its connections; the peer is suspected and dialled at once, the
 * dial is refused, and it is down within milliseconds. A machine dies, or a cable is cut: nothing
 * arrives for PEER_SILENT_MS, and it is down. A connection breaks: the dial succeeds, the same boot
 * answers, and nothing has happened but that some frames were lost, which the group makes good.
 *
 * Two nodes were cut off from each other: each has the other down. Both dial all the time, so the
 * links are there soon after the cut has healed; rows pass, but they say "I do not hear you yet"
 * until the other was heard for readmit_ms without a gap. This damps flapping.
 */
#include "peer.h"

#include <assert.h>
#include <stdlib.h>

#define ROW_MS          200   /* the heartbeat */
#define STRUCK_MS       3000  /* one that is kept out and has not called for this long is gone */
#define REFUSAL_NOTE_MS 60000 /* each refusal is noted this often */

static void enter(struct peers *ps, struct peer *p, enum peer_state state, const char *note) {
    p->state = state;
    ps->rows_due = true;
    if (note != NULL) notes_put(ps->notes, note, &p->address);
}

/* ---- The list ---- */

/* The place where `address` stands or belongs. */
static uint32_t find_place(const struct peers *ps, const struct address *address) {
    uint32_t i = 0;
    while (i < ps->count && address_compare(&ps->list[i]->address, address) < 0)
        i++;
    return i;
}

struct peer *peers_find(const struct peers *ps, const struct address *address) {
    uint32_t i = find_place(ps, address);
    bool found = i < ps->count && address_compare(&ps->list[i]->address, address) == 0;
    return found ? ps->list[i] : NULL;
}

static struct peer *insert(struct peers *ps, const struct address *address) {
    uint32_t i = find_place(ps, address);
    if (ps->count == ps->cap) {
        ps->cap = ps->cap == 0 ? 8 : ps->cap * 2;
        ps->list = bytes_realloc(ps->list, ps->cap * sizeof *ps->list);
    }
    memmove(ps->list + i + 1, ps->list + i, (ps->count - i) * sizeof *ps->list);
    struct peer *p = bytes_alloc_zeroed(sizeof *p);
    p->address = *address;
    p->state = PEER_EXPECTED;
    p->actor = ACTOR_NONE;
    p->owes_since_ms = UINT64_MAX;
    ps->list[i] = p;
    ps->count++;
    return p;
}

static void peer_free(struct peer *p) {
    row_clear(&p->row);
    row_clear(&p->target);
    free(p);
}

static void erase(struct peers *ps, struct peer *p) {
    uint32_t i = find_place(ps, &p->address);
    assert(ps->list[i] == p && p->to == NULL && p->from == NULL);
    ps->count--;
    memmove(ps->list + i, ps->list + i + 1, (ps->count - i) * sizeof *ps->list);
    peer_free(p);
}

/* ---- Life ---- */

void peers_init(struct peers *ps, const struct peers_config *config, struct notes *notes,
                uint64_t now_ms) {
    *ps = (struct peers){
        .self = config->self,
        .boot = config->boot,
        .cluster = config->cluster,
        .readmit_ms = config->readmit_ms,
        .greet_ms = config->greet_ms,
        .notes = notes,
        .now_ms = now_ms,
        .tick_ms = now_ms,
        .row_ms = now_ms,
    };
    insert(ps, &ps->self)->state = PEER_SELF;
}

void peers_free(struct peers *ps) {
    for (struct link *l = ps->links, *next; l != NULL; l = next) {
        next = l->next;
        link_free(l);
    }
    if (ps->closed != NULL) link_free(ps->closed);
    for (uint32_t i = 0; i < ps->count; i++)
        peer_free(ps->list[i]);
    free(ps->list);
    *ps = (struct peers){0};
}

/* ---- Links ---- */

static struct link *open_link(struct peers *ps, struct peer *p, enum link_state state) {
    uint32_t ms = state == LINK_DIALLING ? PEER_DIAL_MS : ps->greet_ms;
    struct link *l = link_create(p, state, ps->now_ms + ms);
    l->next = ps->links;
    ps->links = l;
    return l;
}

/* Takes a link from its peer; what the shell has to hear of it remains. */
static void detach(struct link *l) {
    struct peer *p = l->peer;
    l->peer = NULL;
    if (p == NULL) return;
    if (p->from == l) p->from = NULL;
    if (p->caller == l) p->caller = NULL;
    if (p->to == l) {
        p->to = NULL;
        p->is_fed = false;
    }
}

static void close_link(struct link *l) {
    if (l == NULL) return;
    detach(l);
    l->state = LINK_CLOSING;
}

static void unlist_link(struct peers *ps, struct link *l) {
    struct link **at = &ps->links;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
}

bool peers_take_order(struct peers *ps, struct link_order *order) {
    if (ps->closed != NULL) link_free(ps->closed);
    ps->closed = NULL;
    for (struct link *l = ps->links, *next; l != NULL; l = next) {
        next = l->next;
        if (l->state == LINK_CLOSING) {
            unlist_link(ps, l);
            ps->closed = l;
            if (l->dial_due) return peers_take_order(ps, order); /* the shell never knew it */
            *order = (struct link_order){.kind = LINK_CLOSE, .link = l};
            return true;
        }
        if (l->dial_due) {
            l->dial_due = false;
            *order = (struct link_order){.kind = LINK_DIAL, .link = l, .to = l->peer->address};
            return true;
        }
    }
    return false;
}

struct buffer *peer_output(struct peer *p) {
    return p->to != NULL && p->to->state == LINK_OPEN ? &p->to->out : NULL;
}

static bool wants_dial(const struct peers *ps, const struct peer *p) {
    if (p->to != NULL || p->dial_ms > ps->now_ms) return false;
    switch (p->state) {
    case PEER_SELF: return false;
    case PEER_STRUCK: return p->caller != NULL;
    case PEER_EXPECTED:
    case PEER_UP:
    case PEER_PROBATION:
    case PEER_DOWN: break;
    }
    return true;
}

static void dial_peers(struct peers *ps) {
    for (uint32_t i = 0; i < ps->count; i++) {
        struct peer *p = ps->list[i];
        if (!wants_dial(ps, p)) continue;
        p->to = open_link(ps, p, LINK_DIALLING);
        p->to->dialled = true;
        p->to->dial_due = true;
    }
}

/* ---- Up and down ---- */

void peers_take_down(struct peers *ps, struct peer *p, const char *why) {
    if (p->state == PEER_UP) enter(ps, p, PEER_DOWN, why);
    if (p->state == PEER_PROBATION) enter(ps, p, PEER_DOWN, NULL);
    close_link(p->to);
    close_link(p->from);
    row_clear(&p->row);
    row_clear(&p->target);
    p->listed_until_ms = 0;
    p->owes_since_ms = UINT64_MAX;
    p->dial_ms = ps->now_ms + PEER_REDIAL_MS;
}

/* A process of that node that was never heard before. It is taken in at once. */
static void on_new_boot(struct peers *ps, struct peer *p, uint64_t boot) {
    if (p->boot != 0) {
        p->old_boots[p->old_boot_count++ % PEER_OLD_BOOTS] = p->boot;
        row_clear(&p->row);
        row_clear(&p->target);
        if (p->from != NULL && p->from->boot != boot) close_link(p->from);
        if (p->to != NULL && p->to->state == LINK_OPEN && p->to->boot != boot) close_link(p->to);
    }
    p->boot = boot;
    p->actor = ACTOR_NONE;
    p->acked = p->ack_told = 0;
    p->owes_since_ms = UINT64_MAX;
    p->is_met = false;
    p->heard_ms = p->heard_since_ms = ps->now_ms;
    if (p->listed_until_ms < ps->now_ms + PEER_SILENT_MS)
        p->listed_until_ms = ps->now_ms + PEER_SILENT_MS; /* until its first row says more */
    enter(ps, p, PEER_UP, "view: heard ");
}

bool peer_boot_is_over(const struct peer *p, uint64_t boot) {
    uint32_t count = p->old_boot_count < PEER_OLD_BOOTS ? p->old_boot_count : PEER_OLD_BOOTS;
    for (uint32_t i = 0; i < count; i++) {
        if (p->old_boots[i] == boot) return true;
    }
    return false;
}

static void heard(struct peers *ps, struct peer *p) {
    p->heard_ms = ps->now_ms;
    if (p->state != PEER_DOWN) return;
    p->heard_since_ms = ps->now_ms;
    enter(ps, p, PEER_PROBATION, NULL);
}

void peers_heard(struct peers *ps, struct link *l) {
    if (l->peer != NULL && l->peer->from == l) heard(ps, l->peer);
}

bool peer_in_view(const struct peer *p) {
    return p->state == PEER_SELF || (p->state == PEER_UP && p->row.is_heard && p->row.hears_me);
}

bool peer_is_listed(const struct peers *ps, const struct peer *p) {
    bool expected = p->state == PEER_EXPECTED || p->state == PEER_UP;
    return peer_in_view(p) || (expected && p->listed_until_ms > ps->now_ms);
}

uint32_t peers_listed_count(const struct peers *ps) {
    uint32_t listed = 0;
    for (uint32_t i = 0; i < ps->count; i++)
        listed += peer_is_listed(ps, ps->list[i]);
    return listed;
}

bool peers_lists(const struct peers *ps, const struct address *address) {
    const struct peer *p = peers_find(ps, address);
    return p != NULL && peer_is_listed(ps, p);
}

/* A node that finds a running group starts from that group's view. */
static void take_over_view(struct peers *ps, const struct row *row) {
    ps->group_found = true;
    for (uint32_t i = 0; i < ps->count; i++) {
        struct peer *p = ps->list[i];
        if (p->state != PEER_EXPECTED) continue;
        const struct row_peer *theirs = row_find_peer(row, &p->address);
        if (theirs == NULL || !theirs->is_listed) p->listed_until_ms = ps->now_ms;
    }
}

void peers_on_row(struct peers *ps, struct peer *p) {
    if (p->row.synced && !ps->group_found) take_over_view(ps, &p->row);
    if (peer_in_view(p)) p->listed_until_ms = 0;
}

/* ---- By request ---- */

enum peers_added peers_add(struct peers *ps, const struct address *address, bool is_member) {
    struct peer *p = peers_find(ps, address);
    if (p == NULL && ps->count >= PEERS_MAX) return PEERS_FULL;
    if (p == NULL) p = insert(ps, address);
    p->is_member = p->is_member || is_member;
    if (p->state == PEER_SELF || peer_is_listed(ps, p)) return PEERS_ALREADY_PRESENT;
    p->struck_boot = 0;
    if (p->state != PEER_EXPECTED) { /* whatever it was: taken in as soon as it greets again */
        peers_take_down(ps, p, NULL);
        p->state = PEER_EXPECTED;
        p->boot = 0;
    }
    p->listed_until_ms = ps->now_ms + PEER_UNHEARD_MS;
    p->dial_ms = ps->now_ms;
    ps->rows_due = true;
    return PEERS_ADDED;
}

void peers_know(struct peers *ps, const struct address *address) {
    struct peer *p = peers_find(ps, address);
    if (p == NULL) {
        p = insert(ps, address);
        p->state = PEER_DOWN;
    }
    p->is_member = true;
}

/* A node that this process has not heard of is remembered, for it may call. One that lives as
 * another process than that is not touched. */
void peers_strike(struct peers *ps, const struct address *address, uint64_t boot) {
    struct peer *p = peers_find(ps, address);
    if (p == NULL) p = insert(ps, address);
    if (p->state == PEER_SELF) return;
    p->struck_boot = boot;
    if (p->state == PEER_STRUCK || (p->boot != 0 && p->boot != boot)) return;
    peers_take_down(ps, p, NULL);
    p->heard_ms = ps->now_ms;
    enter(ps, p, boot == 0 ? PEER_DOWN : PEER_STRUCK, "view: out, by request: ");
}

/* It calls for as long as it lives, and what it has is not lost. */
bool peers_keep_out_the_living(const struct peers *ps) {
    for (uint32_t i = 0; i < ps->count; i++) {
        const struct peer *p = ps->list[i];
        if (p->state == PEER_STRUCK && p->heard_ms + STRUCK_MS > ps->now_ms) return true;
    }
    return false;
}

void peers_pardon(struct peers *ps, struct peer *p) {
    p->struck_boot = 0;
    if (p->state != PEER_STRUCK) return;
    enter(ps, p, PEER_DOWN, "view: may come back, by request: ");
    p->dial_ms = ps->now_ms;
}

/* ---- Handshake ---- */

struct link *peers_accept(struct peers *ps) {
    return open_link(ps, NULL, LINK_GREETING);
}

static bool is_kept_out(const struct peer *p, uint64_t boot) {
    return boot != 0 && p->struck_boot == boot;
}

const char *peers_why_not(const struct peers *ps, const struct wire_hello *hello) {
    if (!slice_equal(hello->cluster, ps->cluster)) return "another cluster";
    if (address_compare(&hello->callee, &ps->self) != 0) return "this is another node";
    if (address_compare(&hello->caller, &ps->self) == 0) return "that address is mine";
    const struct peer *p = peers_find(ps, &hello->caller);
    if (p == NULL) return ps->count >= PEERS_MAX ? "too many nodes" : NULL;
    if (peer_boot_is_over(p, hello->boot)) return "a later process has taken that address";
    if (is_kept_out(p, hello->boot)) return "struck off by request";
    return NULL;
}

/* Each is noted once a minute; all whose name means nothing together. */
static bool is_due(const struct peers *ps, uint64_t *noted_ms) {
    if (*noted_ms > ps->now_ms) return false;
    *noted_ms = ps->now_ms + REFUSAL_NOTE_MS;
    return true;
}

void peers_turn_away(struct peers *ps, struct link *l, const char *why,
                     const struct address *caller) {
    struct peer *p = caller == NULL ? NULL : peers_find(ps, caller);
    close_link(l);
    if (p != NULL && p->state == PEER_STRUCK) p->heard_ms = ps->now_ms;
    if (!is_due(ps, p != NULL ? &p->refusal_noted_ms : &ps->stranger_noted_ms)) return;
    notes_put(ps->notes, why, NULL);
    notes_put(ps->notes, "peer: refused a caller: that was ", caller);
}

/* The link brings what the peer says from now on. */
static void take_in(struct peers *ps, struct peer *p, struct link *l) {
    if (p->caller == l) p->caller = NULL;
    close_link(p->from);
    p->from = l;
    heard(ps, p);
}

/* The caller says that it is another process than the one known so far. It may be the next one; or
 * one that has died, whose greeting comes late. Who answers a dial that begins now is alive, so the
 * caller waits for that; what it sends meanwhile is not read. */
static void ask_back(struct peers *ps, struct peer *p, struct link *l) {
    close_link(p->caller);
    p->caller = l;
    l->deadline_ms = ps->now_ms + PEER_SILENT_MS - PEER_DIAL_MS + ps->greet_ms;
    if (p->to != NULL && p->to->state == LINK_OPEN) close_link(p->to);
}

bool peers_is_waiting(const struct link *l) {
    return l->peer != NULL && l->peer->caller == l;
}

static void open_for_good(struct link *l, uint64_t boot) {
    l->boot = boot;
    l->state = LINK_OPEN;
    buffer_free(&l->said);
}

void peers_let_in(struct peers *ps, struct link *l, const struct wire_hello *hello) {
    struct peer *p = peers_find(ps, &hello->caller);
    if (p == NULL) p = insert(ps, &hello->caller);
    p->awaited_until_ms = ps->now_ms + ps->greet_ms; /* so long it may take to dial it back */
    p->dial_ms = ps->now_ms;
    l->peer = p;
    open_for_good(l, hello->boot);
    if (p->boot == l->boot)
        take_in(ps, p, l);
    else
        ask_back(ps, p, l);
}

/* A dial is answered by who lives now. */
void peers_welcomed(struct peers *ps, struct link *l, uint64_t boot) {
    struct peer *p = l->peer;
    if (peer_boot_is_over(p, boot) || is_kept_out(p, boot)) {
        peers_break(ps, l, NULL);
        return;
    }
    open_for_good(l, boot);
    if (p->boot != boot) on_new_boot(ps, p, boot);
    ps->rows_due = true;
    if (p->caller == NULL) return;
    if (p->caller->boot == boot)
        take_in(ps, p, p->caller);
    else
        peers_break(ps, l, NULL); /* one of them is gone: dialled again, until the caller goes */
}

void peers_turned_away(struct peers *ps, struct link *l, const char *note) {
    struct peer *p = l->peer;
    if (is_due(ps, &p->refusal_noted_ms)) notes_put(ps->notes, note, &p->address);
    peers_take_down(ps, p, "view: out, refuses this node: ");
    p->dial_ms = ps->now_ms + PEER_REFUSED_MS;
}

/* ---- Ends of links ---- */

void peers_break(struct peers *ps, struct link *l, const char *why) {
    struct peer *p = l->peer;
    if (why != NULL && p != NULL) notes_put(ps->notes, why, &p->address);
    if (why != NULL && p == NULL && is_due(ps, &ps->stranger_noted_ms))
        notes_put(ps->notes, "peer: a stranger's call made no sense", NULL);
    if (p != NULL && p->to == l) p->dial_ms = ps->now_ms + PEER_REDIAL_MS;
    close_link(l);
}

void peers_closed(struct peers *ps, struct link *l, bool refused) {
    struct peer *p = l->peer;
    if (p != NULL && p->to == l) {
        bool was_open = l->state == LINK_OPEN;
        p->dial_ms = ps->now_ms + (was_open ? 0 : PEER_REDIAL_MS);
        /* The dial may have been refused before that process began; then it has called since. */
        bool heard_since = p->from != NULL && p->heard_ms + PEER_DIAL_MS >= l->deadline_ms;
        bool is_judged = p->state == PEER_UP || p->state == PEER_PROBATION;
        if (refused && is_judged && !heard_since) {
            peers_take_down(ps, p, "view: out, its process is gone: ");
        }
    }
    detach(l);
    unlist_link(ps, l);
    link_free(l);
}

/* ---- Time ---- */

/* This turn comes so late that this process was stopped or starved: what its peers have sent waits
 * to be read, and their silence says nothing. */
static void forgive_silence(struct peers *ps, uint64_t late_ms) {
    ps->forgiven_ms += late_ms;
    ps->woken_ms = ps->now_ms;
    for (uint32_t i = 0; i < ps->count; i++) {
        struct peer *p = ps->list[i];
        p->heard_ms += late_ms;
        p->heard_since_ms += late_ms;
        if (p->listed_until_ms != 0) p->listed_until_ms += late_ms;
        if (p->owes_since_ms != UINT64_MAX) p->owes_since_ms += late_ms;
    }
    for (struct link *l = ps->links; l != NULL; l = l->next)
        l->deadline_ms += late_ms;
}

static void judge_link(struct peers *ps, struct link *l) {
    bool waits = l->state == LINK_DIALLING || l->state == LINK_GREETING || peers_is_waiting(l);
    if (waits && l->deadline_ms <= ps->now_ms) peers_break(ps, l, NULL);
    if (link_unsent_bytes(l) > LINK_OUTPUT_MAX) {
        peers_break(ps, l, "peer: takes nothing, is caught up later: ");
    }
}

/* Heard for long enough, and still: of the last two rows at least one has come. */
static bool is_readmitted(const struct peers *ps, const struct peer *p) {
    return p->heard_since_ms + ps->readmit_ms <= ps->now_ms &&
           p->heard_ms + 2 * ROW_MS > ps->now_ms;
}

static void judge(struct peers *ps, struct peer *p) {
    bool silent = p->heard_ms + PEER_SILENT_MS <= ps->now_ms;
    switch (p->state) {
    case PEER_UP:
        if (silent)
            peers_take_down(ps, p, "view: out, silent: ");
        else if (p->owes_since_ms != UINT64_MAX && p->owes_since_ms + PEER_SILENT_MS <= ps->now_ms)
            peers_take_down(ps, p, "view: out, acknowledges nothing: ");
        break;
    case PEER_PROBATION:
        if (silent)
            peers_take_down(ps, p, NULL);
        else if (is_readmitted(ps, p))
            enter(ps, p, PEER_UP, "view: heard again ");
        break;
    case PEER_EXPECTED:
        if (p->listed_until_ms > ps->now_ms || p->awaited_until_ms > ps->now_ms) break;
        enter(ps, p, PEER_DOWN, "view: out, was not heard: ");
        break;
    case PEER_SELF:
    case PEER_DOWN:
    case PEER_STRUCK: break;
    }
}

/* What was never heard, or not for long, makes room for others, unless a map or VIEW names it. */
static bool is_forgotten(const struct peers *ps, const struct peer *p) {
    bool gone = p->boot == 0 || p->heard_ms + PEER_STRANGER_MS <= ps->now_ms;
    return p->state == PEER_DOWN && !p->is_member && gone;
}

static void tick(struct peers *ps) {
    for (struct link *l = ps->links; l != NULL; l = l->next)
        judge_link(ps, l);
    for (uint32_t i = ps->count; i > 0; i--) {
        struct peer *p = ps->list[i - 1];
        judge(ps, p);
        if (!is_forgotten(ps, p)) continue;
        close_link(p->to);
        close_link(p->from);
        close_link(p->caller);
        erase(ps, p);
    }
}

/* A node alone has nobody to judge, but strangers that call and say nothing. */
static bool needs_ticks(const struct peers *ps) {
    return ps->count > 1 || ps->links != NULL;
}

void peers_set_time(struct peers *ps, uint64_t now_ms) {
    ps->now_ms = now_ms;
    if (needs_ticks(ps) && now_ms >= ps->tick_ms) {
        uint64_t late_ms = now_ms - ps->tick_ms;
        if (late_ms > PEER_LATE_MS) forgive_silence(ps, late_ms);
        tick(ps);
        ps->tick_ms = now_ms + PEER_TICK_MS;
    }
    if (!needs_ticks(ps)) ps->tick_ms = now_ms;
    if (now_ms >= ps->row_ms) {
        ps->rows_due = true;
        ps->row_ms = now_ms + ROW_MS;
    }
    dial_peers(ps);
}

/* Who has died meanwhile is noticed within that time, and who lives has sent rows again. */
bool peers_rows_are_old(const struct peers *ps) {
    return ps->woken_ms != 0 && ps->now_ms < ps->woken_ms + PEER_SILENT_MS + PEER_TICK_MS;
}

uint64_t peers_awake_ms(const struct peers *ps) {
    return ps->now_ms - ps->forgiven_ms;
}

uint64_t peers_deadline_ms(const struct peers *ps) {
    return needs_ticks(ps) ? ps->tick_ms : UINT64_MAX;
}
