/* Records: how frames (frame.h) stand in the files of a data directory. Pure: bytes in, bytes out.
 *
 * A file is a row of records, each a head of RECORD_HEAD_BYTES and a body; docs/disk.md has every
 * byte. The first one, the *opening*, says whose file it is. A record knows where it stands: its
 * *mark* is the file's random salt and its offset, so what an older file or a client's value has
 * left on the disk is never taken for one. And it knows how far everything before it was safely on
 * disk when it was written: its `synced`, a *position* (number of the log file << 32 | offset).
 * That tells what a power cut may have taken from what must be there.
 */
#ifndef KVS_RECORD_H
#define KVS_RECORD_H

#include "frame.h"

#define RECORD_FORMAT_VERSION 1
#define RECORD_HEAD_BYTES     24
#define RECORD_CUT_BYTES      (1024 * 1024)        /* frames beyond that go into the next record */
#define RECORD_BODY_MAX       WIRE_FRAME_BYTES_MAX /* one frame may be larger than that */
#define RECORD_OPENING_MAX    512                  /* bytes of the first record, head and all */

enum record_kind {
    RECORD_OPENING = 1,
    RECORD_FRAMES,
    RECORD_NEXT,   /* the last of a log file: it goes on in the next one */
    RECORD_CLOSED, /* the last of a log, all before it being synced; the last of a snapshot */
    RECORD_KINDS,
};

struct record {
    enum record_kind kind;
    uint64_t synced;
    struct slice body;
    size_t bytes; /* head and body */
};

/* ---- Writing ---- */

/* The head of a record whose body follows, at that offset of the file with that salt. */
void record_head(char head[RECORD_HEAD_BYTES], enum record_kind kind, uint32_t salt,
                 uint64_t offset, uint64_t synced, struct slice body);
void record_put(struct buffer *out, enum record_kind kind, uint32_t salt, uint64_t offset,
                uint64_t synced, struct slice body);

/* How many bytes of these whole frames go into one record. */
size_t record_fit(struct slice frames);

/* ---- Reading ---- */

enum record_cut { RECORD_CUT_MORE, RECORD_CUT_WHOLE, RECORD_CUT_BAD };

/* What stands at the front of `stream`, which begins at that offset of its file: the start of a
 * record (MORE: out->bytes is how many it has, 0 while its head is not there), a record, or
 * something else. Borrows the stream. */
enum record_cut record_cut(struct slice stream, uint32_t salt, uint64_t offset, struct record *out);

/* The first whole record of the file in `stream`, wherever it begins: *at is how far into it. */
bool record_find(struct slice stream, uint32_t salt, uint64_t offset, size_t *at,
                 struct record *out);

/* ---- The opening ---- */

enum { OPENING_SNAPSHOT = 1, OPENING_AFTER_TROUBLE = 2 };

struct opening {
    uint8_t flags;
    uint32_t number;
    uint64_t directory; /* random; all files of a directory have the same */
    uint32_t salt;      /* of the marks behind the opening */
    uint64_t boot[2];   /* of the machine, when the file was begun */
    struct slice cluster;
    struct address node;
};

void record_put_opening(struct buffer *out, const struct opening *o);

enum opening_read { OPENING_GOOD, OPENING_BAD, OPENING_OTHER_VERSION };

/* The opening at the front of a file; *bytes is its length. */
enum opening_read record_read_opening(struct slice file, struct opening *out, size_t *bytes);

static inline uint64_t record_position(uint32_t number, uint64_t offset) {
    return (uint64_t)number << 32 | (uint32_t)offset;
}

#endif
