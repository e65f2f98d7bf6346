/* The causal checker. See checker.h, and docs/checker.md for the format.
 *
 * The problem: a store is causally convergent (CCv) if there is one order of all writes, the
 * arbitration, that agrees with what was known when, and in which each read returns the last write
 * of its key among those that it knew of. Trying all orders is hopeless; but where no value is
 * written twice, a read says by itself which write it returned, and then it is enough to look for a
 * few patterns (Bouajjani, Enea, Guerraoui, Hamza: On Verifying Causal Consistency, POPL 2017).
 *
 * The causal graph has an edge to an operation from the one before it in its session (`before`),
 * and from the write that it returned or the session that handed it its metadata (`source`): never
 * more than two. The *past* of an operation is all that leads to it. A delete is a write like any
 * other, of the value "absent". Now if a read r returned w1 and has w2, another write of the key,
 * in its past, then w2 must be arbitrated before w1: one more edge, w2 -> w1 because of r. The
 * history is right iff the graph with all these edges has no cycle, and nobody found that a key had
 * never been written with a write of it in his past.
 *
 * The way of a history:
 *
 *   read_lines -> link_reads -> mark_operations -> lay_chains
 *              -> sort_causally -> sweep -> judge_absences     again, while absences are deduced
 *              -> check_order -> offend_cycle                  if there is one
 *
 * Which writes are in a read's past? Each session is a *chain*: of its writes of the key only the
 * last one in the past matters, the others follow. So each operation wants a vector clock: of each
 * chain, how many *marks* (writes, mostly) are in its past. That is operations x chains numbers,
 * too many to keep, so they are swept in *blocks* of 16 *lanes* of 32 bits. The sweep of a block
 * walks once over all operations in causal order, makes each its row of 64 bytes from the rows of
 * its two predecessors, and looks at what the reads see of the block's chains. The next block uses
 * the same rows again, and so memory does not depend on the number of sessions.
 *
 *   a chain of over 32 marks has a lane of its own,   |     in binary: 114 are in the past     |
 *   rows are joined by the greater number
 *
 *   shorter chains share one, a bit for each mark,    | 00111 | 0001 | 11 | 0000111 | 01 | ... |
 *   ones for those in the past; joined by "or"          3 of 5  1 of 4
 *
 * A hundred long sessions are seven sweeps. A hundred thousand sessions of two writes are four
 * hundred, where a lane for each would have made six thousand of them. There is at most one lane
 * for each 16 writes or so.
 *
 * A write that may have happened precedes nothing in its session. It is a chain of its own if
 * somebody read it, or if it is a delete; otherwise it is of no interest.
 *
 * An absence need not say which delete it saw. A *survey* of each counts the candidates: "nothing
 * was ever there", if no write is in its past; the deletes that neither are in its past nor have it
 * in theirs; those that are the last write of their chain in its past. None: a violation. Exactly
 * one: it was that. This adds to pasts, so there is another round. More: it is left alone, for we
 * must not guess. Here the checker may miss something. It never sees too much: each edge says what
 * must be so, given the ones before.
 *
 * The offending chain: a depth-first walk meets back edges, at least one in each cycle, so the
 * shortest way round through each of them is the smallest cycle (the search is bounded where they
 * are many). Ways are measured by their changes of session, since any stretch inside a session is
 * one step to the human eye.
 */
#include "checker.h"

#include <assert.h>
#include <stdlib.h>

#include "../hash.h"

#define NONE       UINT32_MAX
#define FIELDS_MAX 5

#define LANES      16 /* in a row, which is a cache line */
#define LANE_BITS  32
#define BLOCK_BITS (LANES * LANE_BITS)

#define ROUNDS_MAX     16                  /* of deducing; real histories need two or three */
#define EDGES_MAX      ((size_t)1 << 28)   /* 3 GB; the most seen of a million operations is 1 % */
#define BACK_EDGES_MAX 4096                /* whose cycles are compared */
#define VISITS_MAX     ((uint64_t)1 << 26) /* of the search for the smallest; about a second */

_Static_assert((uint64_t)CHECKER_OPERATIONS_MAX * 2 * LANE_BITS < NONE, "a place fits 32 bits");

enum verb { PUT, DELETE, GET, TAKE };

enum answer {
    OK,      /* the write happened */
    UNKNOWN, /* the write may have happened */
    TOLD,    /* GET: the line tells which write it returned */
    ABSENT,  /* GET: 404, because of nothing or of some delete */
    NEVER,   /* GET: 404, nothing was ever there */
    DEDUCED, /* GET: 404, and there is but one delete that it can be because of */
    TAKEN,   /* TAKE */
};

struct op {
    uint32_t line;
    uint32_t key;
    uint32_t version; /* GET: the one returned, where the line tells; used by link_reads() */
    uint32_t before;  /* the operation before this one in its session, or NONE */
    uint32_t source;  /* GET: the write returned; TAKE: the end of the other session; or NONE */
    uint32_t chain;
    uint32_t mark;   /* its number among the marks of its chain, from 1; 0: it is none */
    uint32_t survey; /* of an absence in question, or NONE */
    enum verb verb : 8;
    enum answer answer : 8;
};

struct chain {
    uint32_t marks;
    uint32_t place; /* its first bit; block, lane and shift in one number */
};

/* A text and the number that stands for it. Sessions, keys and each key's values and deletes are
 * spaces of their own, so that one table serves them all. */
struct name {
    uint64_t space;
    struct slice text; /* borrowed from the history */
    uint32_t id;
};

struct names {
    struct name *list;
    size_t len, cap;
    uint32_t *table; /* index + 1 by hash, open addressing; 0 is free */
    size_t table_mask;
};

/* A set of deletes, as far as counting goes: the sum names the member of a set of one. */
struct tally {
    uint32_t count;
    uint64_t sum;
};

/* The writes that are marks, by key, place of the chain and mark. */
struct entry {
    uint32_t key, place, mark, op;
};

/* The entries of one key and one chain, one behind the other. */
struct run {
    struct chain chain;
    uint32_t first, count;
};

struct index {
    struct entry *entries;
    struct tally *deletes; /* by entry: the deletes before it; one more at the end */
    struct run *runs;
    uint32_t *of_key; /* the first run of a key; one more at the end */
    uint32_t *cursor; /* by key: its first run that is not before the block in hand */
    uint32_t entries_len;
};

struct block {
    uint32_t number;
    uint32_t start; /* no operation before this one has marks of the block in its past */
    bool shared;    /* lanes hold several chains */
};

/* Why nothing was there: what a round finds out about one GET. */
struct survey {
    uint32_t op;
    uint32_t write;        /* of the key, in the past: the last one in causal order, or NONE */
    uint32_t last_deletes; /* that are the last writes of their chains in the past */
    uint32_t last_delete;  /* one of them */
    struct tally past;     /* deletes in the past */
    struct tally later;    /* deletes that have the GET in theirs */
};

struct edge {
    uint32_t from, to; /* writes: `from` is arbitrated before `to`, */
    uint32_t because;  /* which this GET returned though it had `from` in its past */
};

/* Of ways between operations, found from their ends. */
struct search {
    uint32_t number;   /* of the search in hand */
    uint32_t *visited; /* by operation: the number of the last search that was there, */
    uint32_t *next;    /* and where its way leads from there; NONE: this is the end */
    uint32_t *queue;
    size_t queue_len;
    uint64_t visits; /* of all searches */
};

struct check {
    struct slice text;
    struct verdict *v;

    struct names names;
    uint32_t *session_end; /* by session: its last operation, or NONE */
    size_t sessions_len, sessions_cap;
    uint32_t *writer; /* by version: the write, or NONE */
    size_t versions_len, versions_cap;
    uint32_t keys_len;

    struct op *ops; /* as read; after sort_causally() in an order that agrees with all pasts */
    size_t ops_len, ops_cap;

    struct chain *chains;
    uint32_t chains_len;
    uint32_t shared_from; /* the first block whose lanes are shared */
    uint32_t blocks;
    struct index writes;

    uint32_t (*rows)[LANES];
    uint32_t *block_start; /* by block: its first mark */
    struct survey *surveys;
    size_t surveys_len, surveys_cap;

    struct edge *edges; /* by `to` once sort_edges() is through */
    size_t edges_len, edges_cap;
    uint32_t *last_target; /* by write: where its newest edge leads */
    uint32_t *edges_to;    /* by write: its first edge; one more at the end; or NULL */

    struct edge *back; /* back edges of the walk; `because` unused */
    size_t back_len, back_cap;
    struct search search;
};

/* Makes room for one more item. */
static void *grown(void *items, size_t len, size_t *cap, size_t item_bytes) {
    if (len < *cap) return items;
    *cap = *cap == 0 ? 64 : *cap * 2;
    return bytes_realloc(items, *cap * item_bytes);
}

/* ---- Names ---- */

enum { SPACE_SESSIONS, SPACE_KEYS, SPACE_VERSIONS };

static uint64_t space_of_versions(uint32_t key, bool is_delete) {
    return SPACE_VERSIONS + 2 * (uint64_t)key + is_delete;
}

static uint32_t *table_place(const struct names *n, uint64_t space, struct slice text) {
    struct hash_seed seed = {space, 0};
    size_t i = (size_t)hash_seeded(&seed, text) & n->table_mask;
    for (;; i = (i + 1) & n->table_mask) {
        if (n->table[i] == 0) return &n->table[i];
        const struct name *there = &n->list[n->table[i] - 1];
        if (there->space == space && slice_equal(there->text, text)) return &n->table[i];
    }
}

static void names_grow(struct names *n) {
    free(n->table);
    n->table_mask = n->table_mask == 0 ? 1023 : n->table_mask * 2 + 1;
    n->table = bytes_alloc_zeroed((n->table_mask + 1) * sizeof *n->table);
    for (size_t i = 0; i < n->len; i++)
        *table_place(n, n->list[i].space, n->list[i].text) = (uint32_t)i + 1;
}

/* Where the number of a text stands: NONE until the caller sets it. Borrowed until the next call.
 */
static uint32_t *names_at(struct names *n, uint64_t space, struct slice text) {
    if (n->len * 2 >= n->table_mask) names_grow(n);
    uint32_t *place = table_place(n, space, text);
    if (*place == 0) {
        n->list = grown(n->list, n->len, &n->cap, sizeof *n->list);
        n->list[n->len++] = (struct name){space, text, NONE};
        *place = (uint32_t)n->len;
    }
    return &n->list[*place - 1].id;
}

static uint32_t session_of(struct check *c, struct slice text) {
    uint32_t *id = names_at(&c->names, SPACE_SESSIONS, text);
    if (*id == NONE) {
        c->session_end = grown(c->session_end, c->sessions_len, &c->sessions_cap, sizeof(uint32_t));
        c->session_end[c->sessions_len] = NONE;
        *id = (uint32_t)c->sessions_len++;
    }
    return *id;
}

static uint32_t key_of(struct check *c, struct slice text) {
    uint32_t *id = names_at(&c->names, SPACE_KEYS, text);
    if (*id == NONE) *id = c->keys_len++;
    return *id;
}

static uint32_t version_of(struct check *c, uint32_t key, bool is_delete, struct slice text) {
    uint32_t *id = names_at(&c->names, space_of_versions(key, is_delete), text);
    if (*id == NONE) {
        c->writer = grown(c->writer, c->versions_len, &c->versions_cap, sizeof(uint32_t));
        c->writer[c->versions_len] = NONE;
        *id = (uint32_t)c->versions_len++;
    }
    return *id;
}

/* ---- Lines ---- */

/* A line cut at its spaces; a comment and an empty line have no fields. */
struct line {
    struct slice field[FIELDS_MAX];
    size_t fields;
};

static bool is_name_byte(char c) {
    return (unsigned char)c > 0x20 && c != 0x7f;
}

/* NULL, or what is wrong. */
static const char *split(struct slice text, struct line *line) {
    line->fields = 0;
    if (text.len == 0 || text.at[0] == '#') return NULL;
    for (size_t at = 0;; at++) {
        size_t start = at;
        while (at < text.len && is_name_byte(text.at[at]))
            at++;
        if (at == start) return "an empty field: fields are separated by one space";
        if (line->fields == FIELDS_MAX) return "too many fields";
        line->field[line->fields++] = (struct slice){text.at + start, at - start};
        if (at == text.len) return NULL;
        if (text.at[at] != ' ') return "a control character";
    }
}

/* Takes the next line off *rest. False: it has no newline. */
static bool next_line(struct slice *rest, struct slice *line) {
    const char *end = memchr(rest->at, '\n', rest->len);
    if (end == NULL) return false;
    *line = (struct slice){rest->at, (size_t)(end - rest->at)};
    *rest = (struct slice){end + 1, rest->len - line->len - 1};
    return true;
}

/* ---- Reading a history ----
 *
 * Each read_...() takes one line and returns NULL, or what is wrong with it. */

static struct op *add_op(struct check *c, enum verb verb, enum answer answer, uint32_t session) {
    c->ops = grown(c->ops, c->ops_len, &c->ops_cap, sizeof *c->ops);
    struct op *op = &c->ops[c->ops_len++];
    *op = (struct op){
        .line = c->v->line,
        .key = NONE,
        .version = NONE,
        .before = c->session_end[session],
        .source = NONE,
        .chain = session,
        .survey = NONE,
        .verb = verb,
        .answer = answer,
    };
    /* The session's metadata does not name a write whose answer it never got. */
    if (answer != UNKNOWN) c->session_end[session] = (uint32_t)c->ops_len - 1;
    return op;
}

/* put S K V, delete S K, delete S K NAME; and then ok, unknown or refused */
static const char *read_write(struct check *c, const struct line *l) {
    static const char again[] = "this was written before, so nobody can tell who reads which";
    struct slice outcome = l->field[l->fields - 1];
    bool is_delete = slice_equal(l->field[0], SLICE("delete"));
    bool ok = slice_equal(outcome, SLICE("ok")), unknown = slice_equal(outcome, SLICE("unknown"));
    uint32_t session = session_of(c, l->field[1]), key = key_of(c, l->field[2]);
    if (slice_equal(outcome, SLICE("refused"))) return NULL;
    if (!ok && !unknown) return "a write ends with ok, unknown or refused";
    if (l->fields == 5) {
        uint32_t version = version_of(c, key, is_delete, l->field[3]);
        if (c->writer[version] != NONE) {
            c->v->other_line = c->ops[c->writer[version]].line;
            return again;
        }
        c->writer[version] = (uint32_t)c->ops_len;
    }
    add_op(c, is_delete ? DELETE : PUT, ok ? OK : UNKNOWN, session)->key = key;
    return NULL;
}

/* get S K found V, get S K absent, get S K absent NAME, get S K never */
static const char *read_get(struct check *c, const struct line *l) {
    static const char wrong[] = "a get ends with found VALUE, absent, absent NAME or never";
    struct slice saw = l->field[3];
    bool is_absent = slice_equal(saw, SLICE("absent"));
    bool is_never = slice_equal(saw, SLICE("never"));
    bool tells = l->fields == 5;
    bool fits = tells ? is_absent || slice_equal(saw, SLICE("found")) : is_absent || is_never;
    if (!fits) return wrong;

    uint32_t session = session_of(c, l->field[1]), key = key_of(c, l->field[2]);
    struct op *op = add_op(c, GET, tells ? TOLD : is_never ? NEVER : ABSENT, session);
    op->key = key;
    if (tells) op->version = version_of(c, key, is_absent, l->field[4]);
    return NULL;
}

/* take S T: what S does from here on has the past of T as well */
static const char *read_take(struct check *c, const struct line *l) {
    if (*names_at(&c->names, SPACE_SESSIONS, l->field[2]) == NONE) {
        return "nobody has heard of the other session";
    }
    uint32_t session = session_of(c, l->field[1]), other = session_of(c, l->field[2]);
    if (session == other) return "a session has its own metadata already";
    uint32_t end = c->session_end[other];
    add_op(c, TAKE, TAKEN, session)->source = end;
    return NULL;
}

static const struct {
    struct slice word;
    size_t fields_min, fields_max;
    const char *(*read)(struct check *c, const struct line *l);
} verbs[] = {
    {{"put", 3}, 5, 5, read_write},
    {{"get", 3}, 4, 5, read_get},
    {{"delete", 6}, 4, 5, read_write},
    {{"take", 4}, 3, 3, read_take},
};

static const char *read_line(struct check *c, struct slice text) {
    struct line l;
    const char *error = split(text, &l);
    if (error != NULL || l.fields == 0) return error;
    if (c->ops_len == CHECKER_OPERATIONS_MAX) return "too many operations to check";
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (!slice_equal(l.field[0], verbs[i].word)) continue;
        if (l.fields < verbs[i].fields_min) return "too few fields";
        if (l.fields > verbs[i].fields_max) return "too many fields";
        return verbs[i].read(c, &l);
    }
    return "a line begins with put, get, delete, take or #";
}

/* False: malformed. */
static bool read_lines(struct check *c) {
    struct slice rest = c->text, line;
    while (rest.len > 0 && c->v->error == NULL) {
        c->v->line++;
        if (next_line(&rest, &line)) {
            c->v->error = read_line(c, line);
        } else {
            /* The rest of it may be missing: "found 12" of "found 123". */
            c->v->error = "the last line is cut off: it has no newline";
            break;
        }
    }
    c->v->operations = (uint32_t)c->ops_len;
    c->v->sessions = (uint32_t)c->sessions_len;
    if (c->v->error == NULL) c->v->line = 0;
    return c->v->error == NULL;
}

/* ---- Chains of evidence ---- */

static void add_step(struct verdict *v, uint32_t line, enum step_reason reason, uint32_t because) {
    v->steps = grown(v->steps, v->steps_len, &v->steps_cap, sizeof *v->steps);
    v->steps[v->steps_len++] = (struct step){line, reason, because};
}

/* ---- Reads and what they returned ---- */

static struct slice line_text(struct slice history, uint32_t number) {
    struct slice line = {0};
    while (number-- > 0 && next_line(&history, &line)) {
    }
    return line;
}

/* The line of a write that would explain what the GET returned, were it not for its answer
 * (`refused`) or its key. 0: there is none. */
static uint32_t find_culprit(struct check *c, const struct line *get, bool refused) {
    bool is_absent = slice_equal(get->field[3], SLICE("absent"));
    struct slice verb = is_absent ? SLICE("delete") : SLICE("put");
    struct slice rest = c->text, text;
    for (uint32_t number = 1; next_line(&rest, &text); number++) {
        struct line l;
        if (split(text, &l) != NULL || l.fields != 5) continue;
        if (!slice_equal(l.field[0], verb) || !slice_equal(l.field[3], get->field[4])) continue;
        if (slice_equal(l.field[2], get->field[2]) != refused) continue;
        if (slice_equal(l.field[4], SLICE("refused")) == refused) return number;
    }
    return 0;
}

static void offend_thin_air(struct check *c, const struct op *get) {
    struct line l;
    split(line_text(c->text, get->line), &l);
    uint32_t refused = find_culprit(c, &l, true), elsewhere = find_culprit(c, &l, false);
    c->v->kind = VERDICT_THIN_AIR;
    if (refused != 0) {
        c->v->kind = VERDICT_REFUSED_WRITE;
        add_step(c->v, refused, STEP_REFUSED, 0);
    } else if (elsewhere != 0) {
        c->v->kind = VERDICT_OTHER_KEY;
        add_step(c->v, elsewhere, STEP_SAME_VALUE, 0);
    }
    add_step(c->v, get->line, STEP_LAST, 0);
}

/* A read may stand before the line of the write that it returned: the reader was answered first. */
static bool link_reads(struct check *c) {
    for (size_t i = 0; i < c->ops_len; i++) {
        struct op *op = &c->ops[i];
        if (op->version == NONE) continue;
        op->source = c->writer[op->version];
        if (op->source != NONE) continue;
        offend_thin_air(c, op);
        return false;
    }
    return true;
}

/* ---- Marks, chains and lanes ---- */

static bool is_write(const struct op *op) {
    return op->verb == PUT || op->verb == DELETE;
}

/* Marks are what others look for in their past: writes, and absences whose delete is not known.
 * A chain is a session, or a write that may have happened. */
static void mark_operations(struct check *c) {
    uint32_t unknown = 0;
    for (size_t i = 0; i < c->ops_len; i++) {
        struct op *op = &c->ops[i];
        if (op->verb == GET && op->source != NONE) c->ops[op->source].mark = 1; /* it is read */
        unknown += op->answer == UNKNOWN;
    }
    c->chains_len = (uint32_t)c->sessions_len;
    c->chains = bytes_alloc_zeroed((c->sessions_len + unknown) * sizeof *c->chains);
    for (size_t i = 0; i < c->ops_len; i++) {
        struct op *op = &c->ops[i];
        bool is_marked = is_write(op) || op->answer == ABSENT;
        if (op->answer == UNKNOWN) {
            is_marked = op->mark == 1 || op->verb == DELETE;
            if (is_marked) op->chain = c->chains_len++;
        }
        op->mark = is_marked ? ++c->chains[op->chain].marks : 0;
    }
}

static bool has_own_lane(struct chain chain) {
    return chain.marks > LANE_BITS;
}

static uint32_t block_of(struct chain chain) {
    return chain.place / BLOCK_BITS;
}

static uint32_t round_up(uint32_t n, uint32_t unit) {
    return (n + unit - 1) / unit * unit;
}

static void lay_chains(struct check *c) {
    uint32_t place = 0;
    for (uint32_t i = 0; i < c->chains_len; i++) {
        if (!has_own_lane(c->chains[i])) continue;
        c->chains[i].place = place;
        place += LANE_BITS;
    }
    place = round_up(place, BLOCK_BITS);
    c->shared_from = place / BLOCK_BITS;
    for (uint32_t i = 0; i < c->chains_len; i++) {
        uint32_t marks = c->chains[i].marks;
        if (marks == 0 || has_own_lane(c->chains[i])) continue;
        if (place % LANE_BITS + marks > LANE_BITS) place = round_up(place, LANE_BITS);
        c->chains[i].place = place;
        place += marks;
    }
    c->blocks = round_up(place, BLOCK_BITS) / BLOCK_BITS;
}

/* How many marks of the chain, which is in the row's block, are in the past. */
static uint32_t row_get(const uint32_t row[LANES], struct chain chain) {
    uint32_t lane = row[chain.place / LANE_BITS % LANES];
    if (has_own_lane(chain)) return lane;
    uint64_t ones = ((uint64_t)1 << chain.marks) - 1;
    return (uint32_t)__builtin_popcountll(lane >> chain.place % LANE_BITS & ones);
}

static void row_set(uint32_t row[LANES], struct chain chain, uint32_t mark) {
    uint32_t *lane = &row[chain.place / LANE_BITS % LANES];
    if (has_own_lane(chain)) {
        *lane = mark;
    } else {
        *lane |= (uint32_t)1 << (chain.place % LANE_BITS + mark - 1);
    }
}

/* ---- Walking back along the edges ---- */

static uint32_t predecessors(const struct check *c, uint32_t op) {
    return 2 + (c->edges_to == NULL ? 0 : c->edges_to[op + 1] - c->edges_to[op]);
}

static uint32_t predecessor(const struct check *c, uint32_t op, uint32_t i) {
    if (i == 0) return c->ops[op].before;
    if (i == 1) return c->ops[op].source;
    return c->edges[c->edges_to[op] + i - 2].from;
}

static void add_back_edge(struct check *c, uint32_t from, uint32_t to) {
    if (c->back_len == BACK_EDGES_MAX) return;
    c->back = grown(c->back, c->back_len, &c->back_cap, sizeof *c->back);
    c->back[c->back_len++] = (struct edge){from, to, NONE};
}

/* Depth first, predecessors first: `order` gets all operations in an order that agrees with the
 * edges, unless there is a cycle: then there are back edges. */
static void walk(struct check *c, uint32_t *order) {
    enum { WHITE, GREY, BLACK };
    struct visit {
        uint32_t op, i;
    } *stack = bytes_alloc(c->ops_len * sizeof *stack);
    uint8_t *colour = bytes_alloc_zeroed(c->ops_len);
    size_t depth = 0, ordered = 0;
    c->back_len = 0;
    for (uint32_t root = 0; root < c->ops_len; root++) {
        if (colour[root] != WHITE) continue;
        colour[root] = GREY;
        stack[depth++] = (struct visit){root, 0};
        while (depth > 0) {
            struct visit *top = &stack[depth - 1];
            if (top->i == predecessors(c, top->op)) {
                colour[top->op] = BLACK;
                order[ordered++] = top->op;
                depth--;
                continue;
            }
            uint32_t p = predecessor(c, top->op, top->i++);
            if (p == NONE || colour[p] == BLACK) continue;
            if (colour[p] == GREY) {
                add_back_edge(c, p, top->op);
            } else {
                colour[p] = GREY;
                stack[depth++] = (struct visit){p, 0};
            }
        }
    }
    free(colour);
    free(stack);
}

/* Renumbers all operations: the new number i was order[i]. */
static void renumber(struct check *c, const uint32_t *order) {
    struct op *moved = bytes_alloc(c->ops_cap * sizeof *moved);
    uint32_t *number = bytes_alloc(c->ops_len * sizeof *number);
    for (uint32_t i = 0; i < c->ops_len; i++)
        number[order[i]] = i;
    for (uint32_t i = 0; i < c->ops_len; i++) {
        moved[i] = c->ops[order[i]];
        if (moved[i].before != NONE) moved[i].before = number[moved[i].before];
        if (moved[i].source != NONE) moved[i].source = number[moved[i].source];
    }
    free(number);
    free(c->ops);
    c->ops = moved;
}

/* ---- Index: which writes of a key are where ---- */

static int compare_entries(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    if (x->place != y->place) return x->place < y->place ? -1 : 1;
    return (x->mark > y->mark) - (x->mark < y->mark);
}

static void collect_entries(struct index *x, const struct check *c) {
    x->entries = bytes_alloc(c->ops_len * sizeof *x->entries);
    x->entries_len = 0;
    for (uint32_t i = 0; i < c->ops_len; i++) {
        const struct op *op = &c->ops[i];
        if (!is_write(op) || op->mark == 0) continue;
        uint32_t place = c->chains[op->chain].place;
        x->entries[x->entries_len++] = (struct entry){op->key, place, op->mark, i};
    }
    qsort(x->entries, x->entries_len, sizeof *x->entries, compare_entries);
}

static void collect_runs(struct index *x, const struct check *c) {
    uint32_t runs = 0, key = 0;
    for (uint32_t i = 0; i < x->entries_len; i++) {
        const struct entry *e = &x->entries[i];
        if (i == 0 || e->key != e[-1].key || e->place != e[-1].place) {
            while (key <= e->key)
                x->of_key[key++] = runs;
            x->runs[runs++] = (struct run){c->chains[c->ops[e->op].chain], i, 0};
        }
        x->runs[runs - 1].count++;
        bool is_delete = c->ops[e->op].verb == DELETE;
        struct tally before = x->deletes[i];
        x->deletes[i + 1] =
            (struct tally){before.count + is_delete, before.sum + (is_delete ? e->op : 0)};
    }
    while (key <= c->keys_len)
        x->of_key[key++] = runs;
}

static void index_build(struct index *x, const struct check *c) {
    size_t keys = (size_t)c->keys_len + 1;
    collect_entries(x, c);
    x->deletes = bytes_alloc(((size_t)x->entries_len + 1) * sizeof *x->deletes);
    x->deletes[0] = (struct tally){0, 0};
    x->runs = bytes_alloc(((size_t)x->entries_len + 1) * sizeof *x->runs);
    x->of_key = bytes_alloc(keys * sizeof *x->of_key);
    x->cursor = bytes_alloc(keys * sizeof *x->cursor);
    collect_runs(x, c);
    memcpy(x->cursor, x->of_key, keys * sizeof *x->cursor);
}

static void index_free(struct index *x) {
    free(x->entries);
    free(x->deletes);
    free(x->runs);
    free(x->of_key);
    free(x->cursor);
    *x = (struct index){0};
}

static const struct run *runs_begin(const struct index *x, uint32_t key) {
    return &x->runs[x->of_key[key]];
}

static const struct run *runs_end(const struct index *x, uint32_t key) {
    return &x->runs[x->of_key[key + 1]];
}

/* The first run of the key in the block, or one that is not in it. Blocks come in order. */
static const struct run *runs_in_block(struct index *x, uint32_t key, uint32_t block) {
    uint32_t *cursor = &x->cursor[key];
    while (*cursor < x->of_key[key + 1] && block_of(x->runs[*cursor].chain) < block)
        ++*cursor;
    return &x->runs[*cursor];
}

/* How many writes of the run are among the first `marks` of their chain. */
static uint32_t run_count(const struct index *x, const struct run *run, uint32_t marks) {
    const struct entry *entries = x->entries + run->first;
    uint32_t low = 0, high = run->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (entries[middle].mark <= marks) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct tally deletes_between(const struct index *x, uint32_t from, uint32_t to) {
    struct tally a = x->deletes[from], b = x->deletes[to];
    return (struct tally){b.count - a.count, b.sum - a.sum};
}

static void tally_add(struct tally *t, struct tally more) {
    t->count += more.count;
    t->sum += more.sum;
}

/* ---- The sweep ---- */

static bool is_in_block(const struct check *c, const struct op *op, const struct block *b) {
    return op->mark != 0 && block_of(c->chains[op->chain]) == b->number;
}

static const uint32_t *past_row(const struct check *c, const struct block *b, uint32_t op) {
    static const uint32_t nothing[LANES];
    return op != NONE && op >= b->start ? c->rows[op] : nothing;
}

static void fill_row(struct check *c, const struct block *b, uint32_t i) {
    const struct op *op = &c->ops[i];
    const uint32_t *x = past_row(c, b, op->before), *y = past_row(c, b, op->source);
    uint32_t *row = c->rows[i];
    if (b->shared) {
        for (int lane = 0; lane < LANES; lane++)
            row[lane] = x[lane] | y[lane];
    } else {
        for (int lane = 0; lane < LANES; lane++)
            row[lane] = x[lane] > y[lane] ? x[lane] : y[lane];
    }
    if (is_in_block(c, op, b)) row_set(row, c->chains[op->chain], op->mark);
}

/* Of many reads of one write, most have the same edges to tell: only what is new is kept. */
static void add_edge(struct check *c, uint32_t from, uint32_t to, uint32_t because) {
    if (c->last_target[from] == to || c->edges_len > EDGES_MAX) return;
    c->last_target[from] = to;
    c->edges = grown(c->edges, c->edges_len, &c->edges_cap, sizeof *c->edges);
    c->edges[c->edges_len++] = (struct edge){from, to, because};
}

static void survey_add(struct survey *s, uint32_t last_write, enum verb verb, struct tally past) {
    if (s->write == NONE || s->write < last_write) s->write = last_write;
    if (verb == DELETE) {
        s->last_deletes++;
        s->last_delete = last_write;
    }
    tally_add(&s->past, past);
}

/* What a GET saw is after all other writes of its key in the past: after the last one of each
 * chain, that is. An absence that is not explained yet takes note of them. */
static void look_into_past(struct check *c, const struct block *b, uint32_t get) {
    const struct index *x = &c->writes;
    const struct op *op = &c->ops[get];
    const uint32_t *row = c->rows[get], *source_row = past_row(c, b, op->source);
    const struct run *run = runs_in_block(&c->writes, op->key, b->number);
    for (; run < runs_end(x, op->key) && block_of(run->chain) == b->number; run++) {
        uint32_t count = run_count(x, run, row_get(row, run->chain));
        if (count == 0) continue;
        const struct entry *last = &x->entries[run->first + count - 1];
        if (op->survey != NONE) {
            struct tally past = deletes_between(x, run->first, run->first + count);
            survey_add(&c->surveys[op->survey], last->op, c->ops[last->op].verb, past);
        } else if (row_get(source_row, run->chain) < last->mark) {
            add_edge(c, last->op, op->source, get);
        }
    }
}

/* Where in the run the writes begin that have the GET in their past. */
static uint32_t run_later(const struct check *c, const struct run *run, uint32_t get) {
    struct chain chain = c->chains[c->ops[get].chain];
    uint32_t low = run->first, high = run->first + run->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2, write = c->writes.entries[middle].op;
        if (write > get && row_get(c->rows[write], chain) >= c->ops[get].mark) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/* Once all rows are there. */
static void look_into_future(struct check *c, const struct block *b, struct survey *s) {
    const struct index *x = &c->writes;
    const struct op *op = &c->ops[s->op];
    if (!is_in_block(c, op, b)) return;
    for (const struct run *run = runs_begin(x, op->key); run < runs_end(x, op->key); run++) {
        uint32_t end = run->first + run->count;
        if (deletes_between(x, run->first, end).count == 0) continue;
        tally_add(&s->later, deletes_between(x, run_later(c, run, s->op), end));
    }
}

static void sweep_block(struct check *c, const struct block *b) {
    for (uint32_t i = b->start; i < c->ops_len; i++) {
        const struct op *op = &c->ops[i];
        fill_row(c, b, i);
        if (op->verb == GET) look_into_past(c, b, i);
    }
    for (size_t s = 0; s < c->surveys_len; s++)
        look_into_future(c, b, &c->surveys[s]);
}

static void open_surveys(struct check *c) {
    c->surveys_len = 0;
    for (uint32_t i = 0; i < c->ops_len; i++) {
        struct op *op = &c->ops[i];
        op->survey = NONE;
        if (op->answer != ABSENT && op->answer != NEVER) continue;
        op->survey = (uint32_t)c->surveys_len;
        c->surveys = grown(c->surveys, c->surveys_len, &c->surveys_cap, sizeof *c->surveys);
        c->surveys[c->surveys_len++] = (struct survey){.op = i, .write = NONE, .last_delete = NONE};
    }
}

/* No row can show a mark before the operation that carries it. */
static void find_starts(struct check *c) {
    for (uint32_t b = 0; b < c->blocks; b++)
        c->block_start[b] = (uint32_t)c->ops_len;
    for (uint32_t i = (uint32_t)c->ops_len; i-- > 0;) {
        const struct op *op = &c->ops[i];
        if (op->mark != 0) c->block_start[block_of(c->chains[op->chain])] = i;
    }
}

static void sweep(struct check *c) {
    index_build(&c->writes, c);
    open_surveys(c);
    find_starts(c);
    c->edges_len = 0;
    for (uint32_t i = 0; i < c->ops_len; i++)
        c->last_target[i] = NONE;
    for (uint32_t number = 0; number < c->blocks; number++) {
        struct block b = {number, c->block_start[number], number >= c->shared_from};
        sweep_block(c, &b);
    }
}

/* ---- The smallest way back ---- */

/* Takes in `op`, from which the way leads to `next`, and all of its session before it. */
static void enter(struct check *c, uint32_t op, uint32_t next) {
    struct search *s = &c->search;
    for (; op != NONE && s->visited[op] != s->number; next = op, op = c->ops[op].before) {
        s->visited[op] = s->number;
        s->next[op] = next;
        s->queue[s->queue_len++] = op;
        s->visits++;
    }
}

/* How often the shortest way between two operations changes sessions; NONE if there is no way, or
 * if it is more than `limit` times. */
static uint32_t find_way(struct check *c, uint32_t from, uint32_t to, bool causal, uint32_t limit) {
    struct search *s = &c->search;
    size_t at = 0;
    s->number++;
    s->queue_len = 0;
    enter(c, to, NONE);
    for (uint32_t changes = 0; at < s->queue_len && changes <= limit; changes++) {
        if (s->visited[from] == s->number) return changes;
        for (size_t end = s->queue_len; at < end; at++) {
            uint32_t op = s->queue[at], count = causal ? 2 : predecessors(c, op);
            for (uint32_t i = 1; i < count; i++)
                enter(c, predecessor(c, op, i), op);
        }
    }
    return NONE;
}

/* Copies the way that was just found. Returns how many operations it has. */
static size_t copy_way(const struct check *c, uint32_t from, uint32_t *ops) {
    size_t len = 0;
    uint32_t op = from;
    do {
        ops[len++] = op;
        op = c->search.next[op];
    } while (op != NONE);
    return len;
}

static enum step_reason edge_reason(const struct check *c, uint32_t from, uint32_t to) {
    const struct op *op = &c->ops[to];
    if (op->before == from) return STEP_SESSION_ORDER;
    if (op->source != from) return STEP_ARBITRATED;
    if (op->verb == TAKE) return STEP_HANDED_OVER;
    return op->answer == DEDUCED ? STEP_EXPLAINS : STEP_READ_FROM;
}

static struct edge *find_edge(const struct check *c, uint32_t from, uint32_t to) {
    uint32_t i = c->edges_to[to];
    while (c->edges[i].from != from)
        i++;
    return &c->edges[i];
}

/* A stretch inside a session is one step. */
static void add_chain(struct check *c, const uint32_t *ops, size_t len) {
    enum step_reason previous = STEP_LAST;
    for (size_t i = 0; i < len; i++) {
        enum step_reason reason = i + 1 == len ? STEP_LAST : edge_reason(c, ops[i], ops[i + 1]);
        uint32_t because = 0;
        if (reason == STEP_ARBITRATED) {
            because = c->ops[find_edge(c, ops[i], ops[i + 1])->because].line;
        }
        bool is_inside = previous == STEP_SESSION_ORDER && reason == STEP_SESSION_ORDER;
        if (!is_inside) add_step(c->v, c->ops[ops[i]].line, reason, because);
        previous = reason;
    }
}

/* How `from` got into the past of `to`. */
static void add_causal_chain(struct check *c, uint32_t from, uint32_t to) {
    find_way(c, from, to, true, NONE);
    size_t len = copy_way(c, from, c->search.queue); /* which is in use no more */
    add_chain(c, c->search.queue, len);
}

/* ---- Offences ---- */

static void prepare_search(struct check *c) {
    struct search *s = &c->search;
    s->next = bytes_alloc(c->ops_len * sizeof *s->next);
    s->queue = bytes_alloc(c->ops_len * sizeof *s->queue);
    s->visited = bytes_alloc_zeroed(c->ops_len * sizeof *s->visited);
}

/* The back edge that closes the smallest cycle. */
static struct edge choose_cycle(struct check *c) {
    struct edge best = c->back[0];
    uint32_t best_changes = NONE;
    for (size_t i = 0; i < c->back_len && c->search.visits < VISITS_MAX; i++) {
        struct edge e = c->back[i];
        uint32_t closing = c->ops[e.to].before != e.from;
        uint32_t changes = find_way(c, e.to, e.from, false, best_changes - closing);
        if (changes == NONE || changes + closing >= best_changes) continue;
        best_changes = changes + closing;
        best = e;
    }
    return best;
}

/* Turns a cycle so that it ends with an arbitration, the heart of the offence, or else with a
 * change of session. Returns how many arbitrations it has. */
static uint32_t turn_cycle(const struct check *c, uint32_t *ops, size_t len) {
    uint32_t arbitrations = 0, best = 0;
    size_t start = 0;
    uint32_t *turned = bytes_alloc(len * sizeof *turned);
    for (size_t i = 0; i < len; i++) {
        enum step_reason reason = edge_reason(c, ops[i], ops[(i + 1) % len]);
        uint32_t rank = reason == STEP_ARBITRATED ? 2 : reason != STEP_SESSION_ORDER;
        arbitrations += reason == STEP_ARBITRATED;
        if (rank <= best) continue;
        best = rank;
        start = i + 1;
    }
    for (size_t i = 0; i < len; i++)
        turned[i] = ops[(start + i) % len];
    memcpy(ops, turned, len * sizeof *ops);
    free(turned);
    return arbitrations;
}

/* Of all reads because of which the edge is there, the sweep kept the first. The nearest one makes
 * a better witness. */
static void choose_witness(struct check *c, struct edge *e) {
    uint32_t best_changes = find_way(c, e->from, e->because, true, NONE);
    for (uint32_t i = 0; i < c->ops_len && best_changes > 0; i++) {
        if (c->ops[i].verb != GET || c->ops[i].source != e->to) continue;
        if (c->search.visits >= VISITS_MAX) return;
        uint32_t changes = find_way(c, e->from, i, true, best_changes - 1);
        if (changes == NONE) continue;
        best_changes = changes;
        e->because = i;
    }
}

static void add_cycle(struct check *c, const uint32_t *ops, size_t len) {
    for (size_t i = 0; i + 1 < len; i++) {
        if (edge_reason(c, ops[i], ops[i + 1]) != STEP_ARBITRATED) continue;
        choose_witness(c, find_edge(c, ops[i], ops[i + 1]));
    }
    add_chain(c, ops, len);
    for (size_t i = 0; i + 1 < len; i++) {
        if (edge_reason(c, ops[i], ops[i + 1]) != STEP_ARBITRATED) continue;
        add_causal_chain(c, ops[i], find_edge(c, ops[i], ops[i + 1])->because);
    }
}

/* After a walk that met back edges. */
static void offend_cycle(struct check *c) {
    prepare_search(c);
    struct edge closing = choose_cycle(c);
    uint32_t *ops = bytes_alloc((c->ops_len + 1) * sizeof *ops);
    find_way(c, closing.to, closing.from, false, NONE);
    size_t len = copy_way(c, closing.to, ops);
    uint32_t arbitrations = turn_cycle(c, ops, len);
    c->v->kind = arbitrations == 0   ? VERDICT_CAUSALITY_CYCLE
                 : arbitrations == 1 ? VERDICT_STALE_READ
                                     : VERDICT_CONFLICTING_ORDER;
    ops[len] = ops[0];
    add_cycle(c, ops, len + 1);
    free(ops);
}

static void offend_nothing(struct check *c, const struct survey *s) {
    prepare_search(c);
    c->v->kind = VERDICT_READ_OF_NOTHING;
    add_causal_chain(c, s->write, s->op);
}

/* ---- Absences ---- */

enum judgement { EXPLAINED, NEWLY_DEDUCED, UNJUDGED, INEXPLICABLE };

static enum judgement judge_absence(struct check *c, const struct survey *s, bool may_deduce) {
    struct op *op = &c->ops[s->op];
    const struct index *x = &c->writes;
    if (s->write == NONE) return EXPLAINED; /* by nothing, which asks for nothing */
    if (op->answer == NEVER) return INEXPLICABLE;

    uint32_t first = runs_begin(x, op->key)->first;
    const struct run *last = runs_end(x, op->key) - 1;
    struct tally all = deletes_between(x, first, last->first + last->count);
    uint32_t concurrent = all.count - s->past.count - s->later.count;
    if (concurrent + s->last_deletes == 0) return INEXPLICABLE;
    if (concurrent + s->last_deletes > 1 || !may_deduce) return UNJUDGED;

    uint64_t the_one = all.sum - s->past.sum - s->later.sum;
    op->source = concurrent == 1 ? (uint32_t)the_one : s->last_delete;
    op->answer = DEDUCED;
    return NEWLY_DEDUCED;
}

/* False: one of them is inexplicable, and the verdict says so. */
static bool judge_absences(struct check *c, bool may_deduce, bool *deduced) {
    const struct survey *offence = NULL;
    c->v->unjudged = 0;
    *deduced = false;
    for (size_t i = 0; i < c->surveys_len && offence == NULL; i++) {
        switch (judge_absence(c, &c->surveys[i], may_deduce)) {
        case EXPLAINED: break;
        case NEWLY_DEDUCED: *deduced = true; break;
        case UNJUDGED: c->v->unjudged++; break;
        case INEXPLICABLE: offence = &c->surveys[i]; break;
        }
    }
    if (offence != NULL) offend_nothing(c, offence);
    return offence == NULL;
}

/* ---- The order of everything ---- */

/* False: there is no such order, and the verdict says so. */
static bool sort_causally(struct check *c) {
    uint32_t *order = bytes_alloc(c->ops_len * sizeof *order);
    walk(c, order);
    if (c->back_len == 0) {
        renumber(c, order);
    } else {
        offend_cycle(c);
    }
    free(order);
    return c->back_len == 0;
}

/* Rounds of sorting, sweeping and deducing. False: a violation, and the verdict says so. */
static bool find_edges(struct check *c) {
    c->rows = bytes_alloc(c->ops_len * sizeof *c->rows);
    c->last_target = bytes_alloc(c->ops_len * sizeof *c->last_target);
    c->block_start = bytes_alloc(c->blocks * sizeof *c->block_start);
    bool right = true, deduced = true;
    for (int round = 1; right && deduced; round++) {
        right = sort_causally(c);
        if (!right) break;
        sweep(c);
        right = judge_absences(c, round < ROUNDS_MAX, &deduced);
        index_free(&c->writes);
    }
    free(c->rows);
    free(c->last_target);
    free(c->block_start);
    return right;
}

/* By where they lead, so that they can be walked back. */
static void sort_edges(struct check *c) {
    uint32_t *at = bytes_alloc_zeroed((c->ops_len + 1) * sizeof *at);
    struct edge *sorted = bytes_alloc(c->edges_len * sizeof *sorted);
    for (size_t i = 0; i < c->edges_len; i++)
        at[c->edges[i].to]++;
    for (size_t i = 0, sum = 0; i <= c->ops_len; i++) {
        sum += at[i];
        at[i] = (uint32_t)sum;
    }
    for (size_t i = c->edges_len; i-- > 0;)
        sorted[--at[c->edges[i].to]] = c->edges[i];
    free(c->edges);
    c->edges = sorted;
    c->edges_to = at;
}

static void check_order(struct check *c) {
    c->v->edges = c->edges_len;
    if (c->edges_len > EDGES_MAX) {
        c->v->kind = VERDICT_MALFORMED;
        c->v->error = "too many concurrent writes to check";
        return;
    }
    sort_edges(c);
    uint32_t *order = bytes_alloc(c->ops_len * sizeof *order);
    walk(c, order);
    free(order);
    if (c->back_len > 0) offend_cycle(c);
}

/* ---- The verdict ---- */

void checker_run(struct verdict *v, struct slice history) {
    *v = (struct verdict){.kind = VERDICT_CLEAN};
    struct check c = {.text = history, .v = v};
    if (!read_lines(&c)) {
        v->kind = VERDICT_MALFORMED;
    } else if (link_reads(&c)) {
        mark_operations(&c);
        lay_chains(&c);
        if (find_edges(&c)) check_order(&c);
    }
    free(c.names.list);
    free(c.names.table);
    free(c.session_end);
    free(c.writer);
    free(c.ops);
    free(c.chains);
    free(c.surveys);
    free(c.edges);
    free(c.edges_to);
    free(c.back);
    free(c.search.next);
    free(c.search.visited);
    free(c.search.queue);
}

void verdict_free(struct verdict *v) {
    free(v->steps);
    *v = (struct verdict){0};
}

/* ---- The verdict as text ---- */

static const struct {
    const char *name, *meaning;
} kinds[VERDICT_KINDS] = {
    [VERDICT_CLEAN] = {"clean", "the history is causally convergent"},
    [VERDICT_MALFORMED] = {"malformed", "this is no history"},
    [VERDICT_THIN_AIR] = {"thin-air", "a read returned what nobody wrote"},
    [VERDICT_OTHER_KEY] = {"other-key", "a read returned what was written under another key"},
    [VERDICT_REFUSED_WRITE] = {"refused-write", "a read returned a write that was refused"},
    [VERDICT_CAUSALITY_CYCLE] = {"causality-cycle", "an operation is in its own past"},
    [VERDICT_READ_OF_NOTHING] = {"read-of-nothing",
                                 "a key was absent, with a write of it in the past and no delete "
                                 "to explain it"},
    [VERDICT_STALE_READ] = {"stale-read", "a read returned what it knew to be overwritten"},
    [VERDICT_CONFLICTING_ORDER] = {"conflicting-order",
                                   "no one order of the writes explains all reads"},
};

const char *verdict_name(enum verdict_kind kind) {
    assert(kind < VERDICT_KINDS);
    return kinds[kind].name;
}

static void put_text(struct buffer *out, const char *text) {
    buffer_put(out, slice_of(text));
}

static void put_line_number(struct buffer *out, const char *before, uint32_t line) {
    put_text(out, before);
    buffer_put_u64(out, line);
}

/* What stands between two lines of a chain. */
static void put_reason(struct buffer *out, const struct step *s) {
    switch (s->reason) {
    case STEP_LAST: return;
    case STEP_SESSION_ORDER: put_text(out, "    before, in session order\n"); return;
    case STEP_READ_FROM: put_text(out, "    before, being what was read in\n"); return;
    case STEP_EXPLAINS:
        put_text(out, "    before, being the only delete that can explain\n");
        return;
    case STEP_HANDED_OVER: put_text(out, "    before, its metadata being handed over in\n"); return;
    case STEP_REFUSED: put_text(out, "    was refused, but was read in\n"); return;
    case STEP_SAME_VALUE: put_text(out, "    has another key than\n"); return;
    case STEP_ARBITRATED:
        put_line_number(out, "    arbitrated before, because line ", s->because);
        put_line_number(out, " knew of line ", s->line);
        put_line_number(out, " and yet answered with line ", s[1].line);
        put_text(out, "\n");
        return;
    }
}

static void put_chains(struct buffer *out, const struct verdict *v, struct slice history) {
    bool is_first = true; /* of its chain */
    for (size_t i = 0; i < v->steps_len; i++) {
        const struct step *s = &v->steps[i];
        if (is_first && i > 0) put_line_number(out, "how line ", s->line);
        if (is_first && i > 0) {
            const struct step *last = s;
            while (last->reason != STEP_LAST)
                last++;
            put_line_number(out, " was known to line ", last->line);
            put_text(out, ":\n");
        }
        put_line_number(out, "  line ", s->line);
        put_text(out, ": ");
        buffer_put(out, line_text(history, s->line));
        put_text(out, "\n");
        put_reason(out, s);
        is_first = s->reason == STEP_LAST;
    }
}

static void put_figures(struct buffer *out, const struct verdict *v) {
    put_line_number(out, "clean: ", v->operations);
    put_line_number(out, " operations in ", v->sessions);
    put_text(out, " sessions, ");
    buffer_put_u64(out, v->edges);
    put_text(out, " edges of arbitration");
    if (v->unjudged > 0) {
        put_line_number(out, "; ", v->unjudged);
        put_text(out, " absences not judged, several deletes could explain each");
    }
    put_text(out, "\n");
}

static void put_malformed(struct buffer *out, const struct verdict *v) {
    put_text(out, "malformed: ");
    if (v->line != 0) put_line_number(out, "line ", v->line);
    if (v->line != 0) put_text(out, ": ");
    put_text(out, v->error);
    if (v->other_line != 0) put_line_number(out, ": see line ", v->other_line);
    put_text(out, "\n");
}

void verdict_put(struct buffer *out, const struct verdict *v, struct slice history) {
    if (v->kind == VERDICT_CLEAN) {
        put_figures(out, v);
    } else if (v->kind == VERDICT_MALFORMED) {
        put_malformed(out, v);
    } else {
        put_text(out, "violation: ");
        put_text(out, kinds[v->kind].name);
        put_text(out, ": ");
        put_text(out, kinds[v->kind].meaning);
        put_text(out, "\n");
        put_chains(out, v, history);
    }
}
