/* The causal checker: does a recorded history look like that of a causally consistent store?
 *
 * A history is text, one operation a line; docs/checker.md has the format and says what a session
 * is. The verdict is CLEAN, or one violation with the smallest offending chain that is cheap to
 * find, or MALFORMED. There are no false alarms: a violation means that no order of the writes, and
 * no choice of what the unanswered writes did, explains what the clients saw.
 *
 * The checker is pure: text in, verdict out. The history is borrowed and must stay as it is until
 * the verdict is no longer shown.
 */
#ifndef KVS_CHECKER_H
#define KVS_CHECKER_H

#include "../bytes.h"

#define CHECKER_OPERATIONS_MAX ((uint32_t)1 << 24) /* some 200 bytes each: 3 GB in all */

enum verdict_kind {
    VERDICT_CLEAN,
    VERDICT_MALFORMED,
    VERDICT_THIN_AIR,          /* read: a value that nobody wrote */
    VERDICT_OTHER_KEY,         /* read: a value that was written under another key */
    VERDICT_REFUSED_WRITE,     /* read: a write whose answer said that it did not happen */
    VERDICT_CAUSALITY_CYCLE,   /* an operation is in its own past */
    VERDICT_READ_OF_NOTHING,   /* absent, with a write in the past and no delete to explain it */
    VERDICT_STALE_READ,        /* read: a write that was known to be overwritten */
    VERDICT_CONFLICTING_ORDER, /* reads that no one order of the writes can satisfy together */
    VERDICT_KINDS,
};

/* Why the operation of one step comes before the operation of the next. */
enum step_reason {
    STEP_LAST,          /* it does not: here a chain ends */
    STEP_SESSION_ORDER, /* same session */
    STEP_READ_FROM,     /* the next one returned it */
    STEP_EXPLAINS,      /* a delete, and no other one can explain that the next one saw nothing */
    STEP_HANDED_OVER,   /* the next line takes its metadata */
    STEP_ARBITRATED,    /* line `because` had it in its past and yet returned the next one */
    STEP_REFUSED,       /* it was refused, and yet the next one returned it */
    STEP_SAME_VALUE,    /* the next one returned its value, under another key */
};

struct step {
    uint32_t line; /* of the history, counted from 1 */
    enum step_reason reason;
    uint32_t because; /* a line */
};

struct verdict {
    enum verdict_kind kind;

    /* MALFORMED: which line, what is wrong with it, and the earlier line that it clashes with (0:
     * with none). */
    uint32_t line, other_line;
    const char *error;

    /* A violation: chains, each closed by STEP_LAST. The first is the offence itself; each other
     * one says how a `because` of the first came to know what it knew. Owned. */
    struct step *steps;
    size_t steps_len, steps_cap;

    /* Figures. `unjudged` counts the absences that several deletes could explain: they were taken
     * to be right. */
    uint32_t operations, sessions, unjudged;
    size_t edges; /* between writes, beyond the causal ones */
};

void checker_run(struct verdict *v, struct slice history);
void verdict_free(struct verdict *v);

/* "stale-read" and its like: one word, fixed. */
const char *verdict_name(enum verdict_kind kind);

/* Appends the verdict as text for people, one or more whole lines. */
void verdict_put(struct buffer *out, const struct verdict *v, struct slice history);

#endif
