/* The truth: every write, what it is named and what its writer had really seen.
 *
 * The nodes keep clocks and metadata; the simulator keeps, apart from them, who read what. A *past*
 * is what one has seen: of each actor the greatest number, of each key the write that was last. It
 * is joined when a session reads and handed over when a session takes the metadata of another, and
 * each write keeps that of its session. A write is recognised in a store by its value, which is
 * unique; a tombstone by its actor and key, for of one boot there is at most one delete of a key
 * whose dot is not known.
 *
 * An actor writes for one group, and a dot says something about the keys of that group only.
 */
#ifndef KVS_SIM_TRUTH_H
#define KVS_SIM_TRUTH_H

#include "../hlc.h"
#include "sim_base.h"

#define KEYS_MAX   5
#define ACTORS_MAX 256
#define BOOT_ANY   0
#define WRITE_NONE UINT32_MAX

struct past {
    uint32_t seen[ACTORS_MAX]; /* the greatest number of each actor */
    uint32_t latest[KEYS_MAX]; /* the write last in the order of stamps; WRITE_NONE */
    struct stamp stamp;        /* the greatest */
};

enum write_state { WRITE_SENT, WRITE_DONE, WRITE_REFUSED, WRITE_UNKNOWN };

struct truth_write {
    bool is_delete;
    uint32_t key;
    uint64_t boot; /* of the node that began it; BOOT_ANY: it may have been sent on */
    uint64_t sent_us;
    struct past past;
    enum write_state state;
    bool has_dot, has_stamp;
    uint32_t actor, n; /* its dot */
    struct stamp stamp;
    bool served;        /* somebody has read it */
    bool lone;          /* answered while its node was alone */
    bool lost;          /* nobody alive has it */
    bool waived;        /* and somebody has waived it */
    bool whole;         /* every member of the roster had it at once */
    uint32_t boots;     /* process starts that ever had it, the one that made it included */
    uint32_t last_boot; /* serial number of the last one counted */
};

/* The slots of one shard of one map, or of several maps that kept it. */
struct truth_group {
    uint64_t id;
    bool has[KEYS_MAX];
};

struct truth_actor {
    uint64_t id, boot, group;
    struct address node;
    uint32_t *writes; /* owned; by number from 1, WRITE_NONE where not known */
    uint32_t count;
};

struct truth {
    struct truth_write *writes; /* owned */
    uint32_t count, cap;
    struct truth_actor actors[ACTORS_MAX];
    uint32_t actor_count;
    struct truth_group *groups; /* owned */
    uint32_t group_count;
    uint32_t lost_count;
};

void truth_free(struct truth *t);
void past_clear(struct past *p);
void past_join(struct truth *t, struct past *p, const struct past *other);
void past_add(struct truth *t, struct past *p, uint32_t write); /* with all that it depends on */
/* Does it depend on a write that nobody has any more? */
bool past_is_torn(const struct truth *t, const struct past *p);

/* A write is sent: its place, which is also in its value. */
uint32_t truth_send(struct truth *t, bool is_delete, uint32_t key, const struct past *past,
                    uint64_t now_us);

/* A map has such a group. */
void truth_learn_group(struct truth *t, uint64_t id, const bool has[KEYS_MAX]);

/* Is the key in the group that the actor writes for? Of a group that no map had that was seen,
 * nothing is. */
bool truth_concerns(const struct truth *t, uint32_t actor, uint32_t key);

/* The place of an actor; asserts I11. */
uint32_t truth_actor(struct sim_base *b, struct truth *t, const struct actor *actor);

/* A write is known under its dot from now on; asserts I4. */
void truth_name(struct sim_base *b, struct truth *t, uint32_t write, uint32_t actor, uint64_t n);

/* A version was seen in a store or an answer: which write is it? Asserts I4 and I5. */
uint32_t truth_sight(struct sim_base *b, struct truth *t, const struct version *v, uint32_t actor,
                     uint32_t key);

/* The write in a value; WRITE_NONE: of none. */
uint32_t truth_of_value(const struct truth *t, struct slice value);

/* Is there a delete of the key that may have happened and whose dot or stamp is not known? */
bool truth_has_nameless_delete(const struct truth *t, uint32_t key);

/* The boot that made it; BOOT_ANY: not known. */
uint64_t truth_origin(const struct truth *t, const struct truth_write *w);

/* WRITE_NONE: not known yet. */
uint32_t truth_find(const struct truth *t, uint32_t actor, uint64_t n);

#endif
