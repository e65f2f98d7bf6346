/* A link: one TCP connection between two nodes, as the core sees it. Each node sends on the link
 * that it dialled and receives on the one that the other dialled; backwards goes only the answer to
 * the handshake.
 *
 * Here is what concerns that connection alone: how far it has come, and the bytes that wait to be
 * sent. Whom it leads to and when it opens and ends is peer.h's to say, and what goes through it
 * replica.h's and catchup.h's; what they remember of it, for as long as it lasts, stands here too.
 *
 *   (dialled) --> LINK_DIALLING --connected--> LINK_GREETING --handshake--> LINK_OPEN
 *   (accepted) --------------------------------------^
 *   any of them --given up by the node--> LINK_CLOSING --the shell was told--> (freed)
 *   any of them --the shell says that it is broken--> (freed)
 */
#ifndef KVS_LINK_H
#define KVS_LINK_H

#include "part.h"

#define LINK_OUTPUT_KEEP (256 * 1024)       /* a larger buffer is given back when it is empty */
#define LINK_OUTPUT_MAX  (64 * 1024 * 1024) /* a peer that takes nothing is disconnected */

struct peer;

enum link_state {
    LINK_DIALLING,
    LINK_GREETING, /* connected, the handshake is not complete */
    LINK_OPEN,
    LINK_CLOSING, /* the shell will be told */
};

/* Of the cluster's secret, if there is one (handshake.h). */
enum link_proof {
    PROOF_NONE,
    PROOF_ASKED, /* of the caller */
    PROOF_GIVEN, /* by this node, which has called */
    PROOF_GOOD,  /* the other side knows it */
};

struct link {
    struct link *next;
    struct peer *peer; /* NULL: accepted, has not said who it is */
    bool dialled;
    bool dial_due; /* the shell has not been told to dial */
    enum link_state state;
    uint64_t boot;        /* LINK_OPEN: of the process at the other end */
    uint64_t deadline_ms; /* of dialling and greeting */
    enum link_proof proof;
    struct buffer said; /* LINK_GREETING, with a secret: HELLO and the nonces, by both sides */
    size_t hello_bytes; /* of it, at the callee */
    struct buffer out;  /* to be sent, from out_sent on */
    size_t out_sent;
    uint64_t gone_bytes;  /* sent in all */
    uint32_t actors_told; /* how many of the registry were introduced on this link */
    struct slots images;  /* that the other side has asked for and that were not sent yet */
    bool images_due;
    struct buffer image;      /* of a slot, while it arrives: the frames of its versions... */
    struct buffer image_head; /* ...and the body of the WIRE_SLOT before them */
    uint64_t asked_map_id;    /* in the pull that is being answered */
};

/* The caller's, until link_free(). What is not named here is 0. */
struct link *link_create(struct peer *p, enum link_state state, uint64_t deadline_ms);
void link_free(struct link *l);

size_t link_unsent_bytes(const struct link *l);
struct slice link_output(const struct link *l); /* to be sent; borrowed until `out` changes */
void link_sent(struct link *l, size_t bytes);   /* that much of it has gone */

/* Places in all that is ever sent on it: where the next byte will stand; and what stands from such
 * a place on, if nothing of that has gone (false: some has). */
uint64_t link_place(const struct link *l);
bool link_unsent_from(const struct link *l, uint64_t place, struct slice *rest);

/* ---- What the shell has to do ---- */

enum link_order_kind { LINK_DIAL, LINK_CLOSE };

struct link_order {
    enum link_order_kind kind;
    struct link *link; /* LINK_DIAL: the one to come; LINK_CLOSE: gone, freed at the next call */
    struct address to; /* LINK_DIAL */
};

#endif
