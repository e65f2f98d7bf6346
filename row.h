/* A row: what a node says about itself in each heartbeat, as its peers keep it. */
#ifndef KVS_ROW_H
#define KVS_ROW_H

#include "part.h"
#include "wire.h"

struct row_peer {
    struct address address;
    uint64_t boot;              /* last heard by the sender; 0: never */
    bool is_listed, shares_map; /* with the sender */
};

struct row_part {
    struct slots slots;
    struct vclock clock; /* D of these slots */
    struct base base;
};

struct row {
    bool is_heard;      /* there is one */
    bool synced;        /* its sender is not catching up after its start */
    bool settled;       /* it has all of the slots that it owns by its map, and no others */
    bool hears_me;      /* its sender would have this node in its view */
    bool is_full;       /* it can keep nothing just now, and takes no writes */
    struct vclock held; /* the first write of each actor that waits for others there */
    uint64_t map_id;    /* that its sender lives by; 0: none yet */
    uint64_t *maps;     /* all that its sender knows */
    uint32_t map_count;
    struct row_peer *peers;
    uint32_t peer_count;
    uint64_t total; /* of all numbers in the parts: it moves when the sender's D does */
    struct row_part *parts;
    uint32_t part_count;
};

void row_clear(struct row *row); /* frees what it owns; is_heard is false */

/* Replaces *row by what the body says. False, and *row is cleared: malformed, or it names an actor
 * that nobody has introduced. */
bool row_read(struct row *row, struct slice body, const struct actors *as);

/* Reads dots and slots as rows, pulls and images carry them; false: an unknown actor. */
bool row_read_dots(struct vclock *out, struct wire_list dots, const struct actors *as);
void row_read_slots(struct slots *out, struct slice bytes);

/* Writes a clock as dots, wherever a frame has them. */
void row_put_dots(struct buffer *out, const struct vclock *clock, const struct actors *as);

/* Writes one part of a row or a pull, and a set of slots as both carry it. */
void row_put_part(struct buffer *out, const struct part *part, const struct actors *as);
void row_put_slots(uint8_t out[WIRE_SLOTS_BYTES], const struct slots *slots);

/* What the sender has said of this peer, or NULL. */
const struct row_peer *row_find_peer(const struct row *row, const struct address *address);

bool row_knows_map(const struct row *row, uint64_t map_id);

/* What is there of a slot; NULL: nothing is said of it. */
const struct row_part *row_part(const struct row *row, uint32_t slot);
const struct vclock *row_clock(const struct row *row, uint32_t slot); /* D */

/* The group's state of all these slots is there as a whole. */
bool row_holds(const struct row *row, uint64_t group, const struct slots *slots);

/* True when `parts` has everything that the row shows of the slots in `of`. */
bool row_is_covered(const struct row *row, const struct parts *parts, const struct slots *of);

/* True when the row shows a dot of every slot that is in both sets. */
bool row_has(const struct row *row, struct dot dot, const struct slots *a, const struct slots *b);

#endif
