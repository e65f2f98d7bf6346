/* What nodes say to each other, one message a frame (frame.h); docs/wire.md has every byte.
 *
 * Actors are named by their 64-bit ids, so that a frame means the same on every connection and can
 * be kept and relayed as it is; WIRE_ACTOR introduces an id before it is used. The handshake stands
 * in wire_hello.h.
 *
 * wire_put_...() appends one whole frame to a buffer; one over WIRE_FRAME_BYTES_MAX is a mistake of
 * the caller. wire_read_...() takes the body of a frame and is false unless every length and count
 * in it fits and nothing is left over; the slices of its result borrow the body.
 */
#ifndef KVS_WIRE_H
#define KVS_WIRE_H

#include "frame.h"
#include "shard.h"

void wire_put_goodbye(struct buffer *out);

/* ---- Rows ---- */

#define WIRE_SLOTS_BYTES (SHARD_SLOTS / 8) /* a set of slots: slot s is bit s % 8 of byte s / 8 */

/* Slots with an equal history. */
struct wire_part {
    struct slice slots;      /* WIRE_SLOTS_BYTES */
    struct wire_list groups; /* whose whole state has been taken over here, by id */
    struct wire_list dots;   /* what has been delivered here */
};

enum { WIRE_ROW_SYNCED = 1, WIRE_ROW_HEARS_YOU = 2, WIRE_ROW_SETTLED = 4, WIRE_ROW_FULL = 8 };

/* A row is written piece by piece: begin, its peers, its parts, end; and read in the same order. */
struct wire_row {
    uint8_t flags;
    struct wire_list maps; /* ids known to the sender; the first is the one it lives by, or 0 */
    uint16_t peer_count, part_count;
    struct slice rest; /* when reading: what was not read yet */
};

struct wire_row_peer {
    struct address address;
    uint64_t boot; /* last heard; 0: never */
    bool in_view;
    bool shares_map; /* lives by the same map as the sender, as last heard */
};

struct wire_row_writer {
    struct buffer *out;
    size_t frame_at, counts_at, parts_at;
    uint16_t peer_count, part_count;
};
void wire_begin_row(struct wire_row_writer *w, struct buffer *out, uint8_t flags,
                    const uint64_t *maps, uint16_t map_count);
void wire_put_row_peer(struct wire_row_writer *w, const struct wire_row_peer *p);

/* A part whose lists follow: first all groups, then all dots, of the counts given here. */
void wire_begin_part(struct buffer *out, const uint8_t slots[WIRE_SLOTS_BYTES],
                     uint16_t group_count, uint32_t dot_count);
void wire_count_part(struct wire_row_writer *w); /* one more part was put into the row */
void wire_end_row(struct wire_row_writer *w);

/* Checks the whole row first; then each next...() succeeds as often as the counts say. */
bool wire_read_row(struct slice body, struct wire_row *m);
struct wire_row_peer wire_next_row_peer(struct wire_row *m); /* all peers before the first part */
struct wire_part wire_next_part(struct slice *rest);         /* of a row's or a pull's rest */

/* ---- Maps and actors ---- */

void wire_put_map_ask(struct buffer *out, uint64_t map_id);
bool wire_read_map_ask(struct slice body, uint64_t *map_id);
void wire_put_map(struct buffer *out, struct slice encoded); /* shard.h has the encoding */

struct wire_actor {
    uint64_t id, boot, group;
    struct address node;
};
void wire_put_actor(struct buffer *out, const struct wire_actor *m);
bool wire_read_actor(struct slice body, struct wire_actor *m);

/* ---- Writes ---- */

/* Of maps and dependencies of one write: packed, which is never more, a version has room for 64 KiB
 * of them. The metadata of a request, 64 KiB of text, cannot name as many. */
#define WIRE_LISTS_BYTES_MAX 65533

struct wire_write {
    struct wire_dot dot;
    uint64_t hlc;
    bool is_tombstone;
    struct wire_list maps; /* wire_map_ref_at() */
    struct wire_list deps; /* wire_dot_at() */
    struct slice key, value;
};

/* The head of a WRITE or VERSION: exactly m->maps.count references and then m->deps.count dots are
 * put behind it, then wire_end_write(). The lists' pointers are not looked at. */
size_t wire_begin_write(struct buffer *out, enum wire_type type, const struct wire_write *m);
void wire_end_write(struct buffer *out, size_t begun, struct slice key, struct slice value);
bool wire_read_write(struct slice body, struct wire_write *m);

/* All writes of the actor up to n have been delivered by the sender. */
void wire_put_ack(struct buffer *out, struct wire_dot dot);
bool wire_read_ack(struct slice body, struct wire_dot *dot);

/* ---- Catching up ---- */

/* "Send me what lies beyond these parts": put like a row, part_count parts by wire_begin_part(). */
struct wire_pull {
    uint64_t map_id;    /* that the asker lives by; echoed in the images */
    struct slice whole; /* WIRE_SLOTS_BYTES: images of these slots are wanted in any case */
    uint16_t part_count;
    struct slice rest; /* for wire_next_part() */
};
size_t wire_begin_pull(struct buffer *out, uint64_t map_id, const uint8_t whole[WIRE_SLOTS_BYTES],
                       uint16_t part_count);
void wire_end_pull(struct buffer *out, size_t begun);
bool wire_read_pull(struct slice body, struct wire_pull *m);

/* The image of one slot at one instant: this, its versions, the end. */
struct wire_slot {
    uint16_t slot;
    uint64_t asked_map_id;
    struct wire_list groups; /* as in wire_part */
    struct wire_list dots;
};
size_t wire_begin_slot(struct buffer *out, uint16_t slot, uint64_t asked_map_id,
                       uint16_t group_count, uint32_t dot_count); /* then groups, dots, end */
void wire_end_slot(struct buffer *out, size_t begun);
bool wire_read_slot(struct slice body, struct wire_slot *m);
void wire_put_slot_end(struct buffer *out, uint16_t slot);
bool wire_read_slot_end(struct slice body, uint16_t *slot);

#endif
