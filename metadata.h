/* Causal metadata: what a client has seen, in the form that travels through the client.
 *
 *   {"maps":["2.9f3c01d2"],
 *    "time":"018f3a9c01d2e4b7",
 *    "clock":{"10.10.0.2:8090#5f3a9c01d2e4b7a1":17}}
 *
 * `maps` are the maps that the clock was trimmed under (epoch and the first 32 bits of the id),
 * `time` is the hybrid clock of everything seen, `clock` holds one entry for each actor depended
 * on. Absent, null, "" and {} all mean: no dependencies. Otherwise all three members are there and
 * no other: metadata of some other store must be refused, not taken for "depends on nothing".
 */
#ifndef KVS_METADATA_H
#define KVS_METADATA_H

#include "bytes.h"
#include "json.h"
#include "vclock.h"

#define METADATA_BYTES_MAX (64 * 1024) /* of JSON text in a request */
#define METADATA_MAPS_MAX  256         /* each is looked up among the others */

struct map_ref {
    uint32_t epoch;
    uint32_t id; /* the first 32 bits of the map's id */
};

struct metadata {
    uint64_t time;
    struct vclock clock;
    struct map_ref *maps; /* owned */
    uint32_t maps_len, maps_cap;
};

void metadata_clear(struct metadata *m); /* keeps the memory */
void metadata_free(struct metadata *m);
void metadata_copy(struct metadata *to, const struct metadata *from); /* over what `to` held */
void metadata_add_map(struct metadata *m, struct map_ref ref);

/* ---- Reading what a client sends ---- */

enum claim_form {
    CLAIM_GOOD,
    CLAIM_UNKNOWN, /* well-formed, but names actors that are not in the registry */
    CLAIM_BAD,     /* not ours */
};

/* What a client says it has seen: the metadata of one request. */
struct claim {
    enum claim_form form;
    struct metadata metadata; /* without the entries of unknown actors */
    struct buffer unknown;    /* these, as items of a JSON array */
    struct slice text;        /* the JSON as it came; borrowed; empty when it claims nothing */
    const char *error;        /* CLAIM_BAD: one phrase, */
    size_t error_offset;      /* and where, counted like the reader's errors */
};

void claim_clear(struct claim *c); /* claims nothing; keeps the memory */
void claim_free(struct claim *c);

/* Reads the value that *r stands before. A form that is not ours is CLAIM_BAD and no mistake of the
 * reader's: it goes on behind the value. Any hybrid clock reading is a promise that we must keep
 * ahead of, so one later than `latest` is refused. */
void claim_read(struct claim *c, struct json_reader *r, const struct actors *as, uint64_t latest);

/* ---- Writing ---- */

/* Appends the JSON form. */
void metadata_put(struct buffer *out, const struct metadata *m, const struct actors *as);

/* Appends one missing dot as an item of a JSON array: "10.10.0.2:8090#5f3a9c01d2e4b7a1:17". */
void metadata_put_missing(struct buffer *items, struct slice label, uint64_t n);
void metadata_put_missing_map(struct buffer *items, struct map_ref ref);

/* What a stored version of `actor` keeps of the metadata it was written with: the maps and all
 * entries but that of the actor itself, which follows from the version's own dot. (Entries of the
 * same group do not follow from it: with D kept slot by slot, a slot may have the dot and not yet
 * what the dot's writer had seen.) Appends nothing when there is nothing to keep;
 * metadata_join_packed() takes that as well. */
void metadata_pack(struct buffer *out, const struct metadata *m, uint32_t actor);
void metadata_join_packed(struct metadata *m, struct slice packed);

#endif
