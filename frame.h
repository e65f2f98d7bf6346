/* Frames: a 32-bit length (of what follows it), a type byte and a body. Numbers are big-endian and
 * of fixed size. Here a stream is cut into frames, a body is taken apart from its front, piece by
 * piece, and a frame is put together; wire.h and its kin make messages of the pieces.
 */
#ifndef KVS_FRAME_H
#define KVS_FRAME_H

#include <endian.h>

#include "address.h"
#include "bytes.h"

#define WIRE_HEAD_BYTES      5
#define WIRE_FRAME_BYTES_MAX (9 * 1024 * 1024) /* head and body: a value of 8 MiB and metadata */
#define WIRE_CLUSTER_MAX     64                /* the name in a HELLO */
#define WIRE_REASON_MAX      200               /* the text of a REFUSED */
#define WIRE_NONCE_BYTES     16                /* of a CHALLENGE and a PROOF */
#define WIRE_CODE_BYTES      32                /* of a PROOF */

enum wire_type {
    WIRE_HELLO = 1, /* caller to callee, first */
    WIRE_WELCOME,   /* callee to caller: and then nothing more, ever, in this direction */
    WIRE_REFUSED,   /* callee to caller, in place of WELCOME */
    WIRE_ROW,       /* heartbeat: what the sender has and whom it hears */
    WIRE_MAP_ASK,
    WIRE_MAP,
    WIRE_ACTOR,
    WIRE_WRITE,
    WIRE_ACK,
    WIRE_PULL,
    WIRE_SLOT,    /* the image of a slot begins; its versions follow, then SLOT_END */
    WIRE_VERSION, /* the same body as WRITE */
    WIRE_SLOT_END,
    WIRE_GOODBYE,   /* the sender stops */
    WIRE_OP,        /* an operation that the sender cannot serve; see wire_op.h */
    WIRE_ANSWER,    /* what came of it */
    WIRE_CHALLENGE, /* callee to caller, before WELCOME: prove that you know our secret */
    WIRE_PROOF,     /* and so they do, the caller first */
    WIRE_TYPES,
};

/* ---- Frames in a stream of bytes ---- */

enum wire_cut { WIRE_CUT_MORE, WIRE_CUT_FRAME, WIRE_CUT_BAD };

struct wire_frame {
    enum wire_type type;
    struct slice body;
    size_t bytes; /* of the whole frame, head included */
};

/* What stands at the front of `stream`: the start of a frame (MORE: out->bytes is how many bytes
 * the whole frame has, 0 while its head is not complete), a frame, or nonsense: an unknown type, a
 * length of 0 or over what a frame of this type can have. */
enum wire_cut wire_cut(struct slice stream, struct wire_frame *out);

/* ---- Taking a body apart ----
 *
 * Each takes something from the front of *rest, or is false because it is not there or not in its
 * one form. What is taken borrows the body. */

bool take_bytes(struct slice *rest, size_t bytes, const char **at);
bool take_u8(struct slice *rest, uint8_t *out);
bool take_u16(struct slice *rest, uint16_t *out);
bool take_u32(struct slice *rest, uint32_t *out);
bool take_u64(struct slice *rest, uint64_t *out);
bool take_flags(struct slice *rest, uint8_t known, uint8_t *out); /* no others set */
bool take_address(struct slice *rest, struct address *out);
bool take_plain(struct slice *rest, size_t len_max, struct slice *out); /* printable ASCII */

/* ---- Putting a frame together ---- */

size_t frame_open(struct buffer *out, enum wire_type type); /* where it begins */
void frame_close(struct buffer *out, size_t begun);
struct slice frame_body(const struct buffer *out, size_t begun); /* so far */

void put_u8(struct buffer *out, uint8_t n);
void put_u16(struct buffer *out, uint16_t n);
void put_u32(struct buffer *out, uint32_t n);
void wire_put_u64(struct buffer *out, uint64_t number);
void put_address(struct buffer *out, const struct address *a);
void put_plain(struct buffer *out, struct slice text, size_t len_max);

/* ---- Lists inside a body: checked as a whole, then read one by one ---- */

#define WIRE_DOT_BYTES     16
#define WIRE_MAP_REF_BYTES 8

struct wire_dot {
    uint64_t actor_id, n;
};

struct wire_map_ref {
    uint32_t epoch, id;
};

struct wire_list { /* borrowed; `count` items that were checked to fit */
    const char *at;
    uint32_t count;
};

bool take_u64s(struct slice *rest, uint32_t count, struct wire_list *out);
bool take_dots(struct slice *rest, uint32_t count, struct wire_list *out);
bool take_dot(struct slice *rest, struct wire_dot *out);

uint64_t wire_u64_at(struct wire_list numbers, uint32_t i); /* map ids, group ids */
struct wire_dot wire_dot_at(struct wire_list dots, uint32_t i);
struct wire_map_ref wire_map_ref_at(struct wire_list maps, uint32_t i);
void wire_put_dot(struct buffer *out, struct wire_dot dot);
void wire_put_map_ref(struct buffer *out, struct wire_map_ref ref);

/* ---- Numbers at a place that is known to have room ---- */

static inline uint16_t load_u16(const char *at) {
    uint16_t n;
    memcpy(&n, at, sizeof n);
    return be16toh(n);
}

static inline uint32_t load_u32(const char *at) {
    uint32_t n;
    memcpy(&n, at, sizeof n);
    return be32toh(n);
}

static inline uint64_t load_u64(const char *at) {
    uint64_t n;
    memcpy(&n, at, sizeof n);
    return be64toh(n);
}

static inline char *store_u16(char *at, uint16_t n) {
    n = htobe16(n);
    memcpy(at, &n, sizeof n);
    return at + sizeof n;
}

static inline char *store_u32(char *at, uint32_t n) {
    n = htobe32(n);
    memcpy(at, &n, sizeof n);
    return at + sizeof n;
}

static inline char *store_u64(char *at, uint64_t n) {
    n = htobe64(n);
    memcpy(at, &n, sizeof n);
    return at + sizeof n;
}

#endif
