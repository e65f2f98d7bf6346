/* Operations that this node has sent on to another one, and what becomes of them.
 *
 *   forward_send ---> sent --ANSWER--> ended --forward_take--> (gone)
 *                     |  ^               ^
 *                     |  | a node is     | no time is left, or nobody is there; a write
 *              lost   v  | there         | whose fate nobody knows
 *                    homeless -----------+
 *
 * An operation is *lost* when a link that it or its answer travels on ends, which is also how a
 * target that goes down shows. One that leaves no trace is asked again, of another owner. A write
 * never is, for a second execution could undo what came after the first: unless its frame has not
 * begun to leave this node, its outcome is unknown.
 *
 * Nothing here is ever done twice, and nothing waits for ever: each errand has its deadline.
 */
#ifndef KVS_FORWARD_H
#define KVS_FORWARD_H

#include "cluster.h"
#include "op.h"
#include "wire_op.h"

#define FORWARD_HOPS_MAX   3     /* while maps change, nodes may not agree who owns a slot */
#define FORWARD_OPS_MAX    16384 /* the default: sent on at once */
#define FORWARD_BYTES_MAX  (64 * 1024 * 1024) /* kept of them, answers included */
#define FORWARD_OUTPUT_MAX (16 * 1024 * 1024) /* unsent on a link: nothing is put behind it */
#define FORWARD_BUCKETS    4096

struct forward_stats {
    uint64_t sent[OP_KINDS];
    uint64_t sent_again, unknown; /* reads, of another owner; writes without an answer */
    uint64_t refused;             /* times that there was no room for one more */
    uint64_t now, bytes;
    struct op_limits limits; /* of these */
};

struct sent;

struct sent_list {
    struct sent *first, **end; /* owned; oldest first */
};

struct forward {
    struct cluster *cluster; /* borrowed */
    uint32_t forward_ms;     /* how long an answer is waited for */
    uint32_t patience_ms;    /* and how long an owner may be missing */
    uint64_t now_ms;
    uint64_t due_ms;   /* nothing runs out before; UINT64_MAX: never */
    uint32_t homeless; /* how many look for another owner */
    uint64_t last_id;
    struct sent *buckets[FORWARD_BUCKETS]; /* of `sent`, by id */
    struct sent_list sent, ended[2];       /* of clients, of guests */
    struct sent *taken;                    /* whose answer is borrowed */

    uint64_t map_id;       /* that the following is of */
    struct peer **members; /* owned; shard by shard, each in the order of preference */
    uint32_t first[SHARD_COUNT_MAX + 1];

    struct forward_stats stats;
};

void forward_init(struct forward *f, struct cluster *cluster, struct op_limits limits,
                  uint32_t forward_ms, uint32_t patience_ms);
void forward_free(struct forward *f);

/* Moves the clock; ends what has run out of time, sends what was homeless. */
void forward_set_time(struct forward *f, uint64_t now_ms);
uint64_t forward_deadline_ms(const struct forward *f);

/* An owner of the slot, other than this node, can be asked now. */
bool forward_reaches(struct forward *f, uint32_t slot);

/* Operations on slots of one lane that are sent one after the other arrive in that order; 0: nobody
 * can be asked. */
uint64_t forward_lane(struct forward *f, uint32_t slot);

/* Sends an operation on; what may be needed of it is copied. The lane that it went; 0: nobody can
 * be asked now, or too many are sent. */
uint64_t forward_send(struct forward *f, const struct errand *errand, const struct op *op,
                      uint32_t slot);

/* An ANSWER has come from a peer that is up. False: nonsense. */
bool forward_on_answer(struct forward *f, const struct peer *from, struct slice body);

/* Before a link is freed. */
void forward_link_ended(struct forward *f, const struct link *l);

/* The next that has ended, of clients or of guests. The answer is borrowed until the next call that
 * takes f. */
bool forward_take(struct forward *f, bool of_guests, uint64_t *token, struct answer *answer);

/* Nobody here waits for the answers any more. */
void forward_cancel(struct forward *f, uint64_t token);

#endif
