/* The other nodes: who is up, and the links to them.
 *
 * Each node sends on the link that it dialled to a peer and receives on the one that the peer
 * dialled. Any byte received counts as life.
 *
 *                 WELCOME by a process that was never heard before, in any state
 *   PEER_EXPECTED ----------------------------------------------------------> PEER_UP
 *        | unheard for PEER_UNHEARD_MS                                        |    ^
 *        v                                                                    |    | heard for
 *   (forgotten; members: PEER_DOWN)     silent for PEER_SILENT_MS, refused,   |    | readmit_ms
 *                                       goodbye, owing an acknowledgement     v    | without a gap
 *   PEER_STRUCK ----------------------> PEER_DOWN <------------------------------ PEER_PROBATION
 *     from any state, by request,  named  |   ^         silent again              ^
 *     told by the map; or it       again  |   +-----------------------------------+
 *     restarts: PEER_UP                   +------ the same boot is heard again ---+
 *
 * A peer is *in view* while it is PEER_UP here and its own rows say that this node is PEER_UP
 * there: views are mutual in pairs. Whoever is not in view is out for every purpose: only the
 * handshake and rows pass. A view says whom to send to and wait for; correctness rests on none.
 */
#ifndef KVS_PEER_H
#define KVS_PEER_H

#include "link.h"
#include "notes.h"
#include "row.h"
#include "wire_hello.h"

#define PEER_UNHEARD_MS  10000  /* how long a node that was never heard stays listed */
#define PEER_SILENT_MS   1000   /* heard nothing for this long: down */
#define PEER_DIAL_MS     500    /* a dial is given up after this; a handshake after greet_ms */
#define PEER_REDIAL_MS   200    /* and tried again after this */
#define PEER_REFUSED_MS  1000   /* the same after it was refused with a reason */
#define PEER_OLD_BOOTS   16     /* past boots remembered of one node */
#define PEER_STRANGER_MS 600000 /* who is in no map is forgotten when not heard for so long */
#define PEER_TICK_MS     50
#define PEER_LATE_MS     300  /* a turn this late judges nobody */
#define PEERS_MAX        1024 /* nodes that are listed or call; those of a map come on top */

enum peer_state { PEER_SELF, PEER_EXPECTED, PEER_UP, PEER_PROBATION, PEER_DOWN, PEER_STRUCK };

struct peer {
    struct address address;
    enum peer_state state;
    bool is_member; /* VIEW or the map names it: it is dialled for ever */
    uint64_t boot;  /* of its process, as last heard; 0: never */
    uint64_t old_boots[PEER_OLD_BOOTS];
    uint32_t old_boot_count;
    uint64_t struck_boot;      /* its process that is kept out; 0: none */
    uint64_t listed_until_ms;  /* though it is not in view */
    uint64_t awaited_until_ms; /* though it is not listed either: it has called */
    uint64_t heard_ms, heard_since_ms;
    uint64_t dial_ms; /* not before */
    uint64_t refusal_noted_ms;
    struct link *to, *from; /* dialled by this node; by the peer */
    struct link *caller; /* by another process of it than the known one; see peers_is_waiting() */
    struct row row;      /* its last one */

    /* What the group keeps about it (replica.h). */
    bool is_fed;            /* it gets writes as they are made, on the link `to`, */
    bool is_fed_whole;      /* and had a place for them when that began */
    uint32_t actor;         /* its present source of writes, or ACTOR_NONE */
    uint64_t acked;         /* of this node's writes, by it: delivered there */
    uint64_t ack_told;      /* of its writes, to it on the link `to` */
    uint64_t owes_since_ms; /* an acknowledgement; UINT64_MAX: nothing */
    bool has_slots;         /* its row shows the slots of its group: what it gets, it keeps */
    bool holds;             /* and that its group's state is there as a whole */
    struct row target;      /* its first row after it came into view, while this node catches up */
    bool is_met;            /* this node has had all that it had */
};

struct peers {
    struct address self;
    uint64_t boot;
    struct slice cluster; /* borrowed */
    uint32_t readmit_ms, greet_ms;
    struct notes *notes; /* borrowed */
    uint64_t now_ms, tick_ms, stranger_noted_ms;
    uint64_t forgiven_ms, woken_ms; /* stopped or starved: how long in all; last until (0: never) */
    bool group_found;               /* a running group was heard, and its view taken over */
    bool rows_due;                  /* something that rows tell has changed */
    uint64_t row_ms;                /* when the next row is due anyway */
    struct peer **list;             /* owned; sorted by address, self among them */
    uint32_t count, cap;
    struct link *links;  /* owned */
    struct link *closed; /* the one whose LINK_CLOSE was taken last */
};

struct peers_config {
    struct address self;
    uint64_t boot;
    struct slice cluster;
    uint32_t readmit_ms, greet_ms;
};

void peers_init(struct peers *ps, const struct peers_config *config, struct notes *notes,
                uint64_t now_ms);
void peers_free(struct peers *ps);

/* Moves the clock; judges who is silent, dials, gives up. */
void peers_set_time(struct peers *ps, uint64_t now_ms);
uint64_t peers_awake_ms(const struct peers *ps); /* the clock, without the time it could not run */
uint64_t peers_deadline_ms(const struct peers *ps); /* UINT64_MAX when there is nobody else */
bool peers_rows_are_old(const struct peers *ps);    /* some may be from before it was stopped */

/* ---- The view ---- */

enum peers_added { PEERS_ADDED, PEERS_ALREADY_PRESENT, PEERS_FULL };

/* Lists a node by request or because VIEW or a map names it (`is_member`). */
enum peers_added peers_add(struct peers *ps, const struct address *address, bool is_member);
void peers_know(struct peers *ps, const struct address *address); /* as a member; lists nothing */
void peers_strike(struct peers *ps, const struct address *address, uint64_t boot);
void peers_pardon(struct peers *ps, struct peer *p);
bool peers_keep_out_the_living(const struct peers *ps);
struct peer *peers_find(const struct peers *ps, const struct address *address); /* or NULL */
bool peer_in_view(const struct peer *p);
bool peer_is_listed(const struct peers *ps, const struct peer *p); /* in view, or expected */
uint32_t peers_listed_count(const struct peers *ps);
bool peers_lists(const struct peers *ps, const struct address *address);
void peers_take_down(struct peers *ps, struct peer *p, const char *why);
bool peer_boot_is_over(const struct peer *p, uint64_t boot); /* another one was heard since */
void peers_on_row(struct peers *ps, struct peer *p);         /* it stands in p->row */

/* ---- Links ---- */

struct link *peers_accept(struct peers *ps);
void peers_heard(struct peers *ps, struct link *l); /* bytes have arrived */
void peers_closed(struct peers *ps, struct link *l, bool refused);
bool peers_is_waiting(const struct link *l); /* not to be read: is its caller alive? */

/* Of the handshake (handshake.h): why a caller is not let in, or NULL; how it ends at the callee,
 * and at the caller, who notes why it was not let in. `caller`: who it said it is, or NULL. */
const char *peers_why_not(const struct peers *ps, const struct wire_hello *hello);
void peers_let_in(struct peers *ps, struct link *l, const struct wire_hello *hello);
void peers_turn_away(struct peers *ps, struct link *l, const char *why,
                     const struct address *caller);
void peers_welcomed(struct peers *ps, struct link *l, uint64_t boot);
void peers_turned_away(struct peers *ps, struct link *l, const char *note);

/* Breaks a link; the peer is dialled again. `why` is noted, if there is a reason to. */
void peers_break(struct peers *ps, struct link *l, const char *why);

/* Where to write frames for a peer; NULL while there is no open link to it. */
struct buffer *peer_output(struct peer *p);

/* See node_take_order(). */
bool peers_take_order(struct peers *ps, struct link_order *order);

#endif
