/* The state of one GET /kvs. See listing.h.
 *
 *   listing_fill: the head once; then next_pair and put_pair; at the end, or at the limit with
 *   another pair in sight, put_tail. next_pair goes from slot to slot: next_here where this node
 *   has the slot, next_elsewhere where it has not.
 *
 * The place where a listing stands is its slot and the last key that was written out. Nothing else
 * is needed to go on, so it does not matter when a slot moves from one shard to another meanwhile:
 * the next pair is asked of who owns it then.
 */
#include "listing.h"

#include <stdlib.h>

#include "json.h"
#include "pairs.h"

enum source_state { SOURCE_IDLE, SOURCE_ASKED, SOURCE_HAS, SOURCE_UNREACHABLE };

/* A shard whose slots this node does not have. */
struct source {
    enum source_state state;
    uint32_t asked_slot; /* SOURCE_ASKED: where the chunk is to begin */
    struct buffer bytes; /* SOURCE_HAS: of the chunk, */
    struct pairs_chunk chunk;
};

struct listing {
    uint64_t token;
    struct buffer prefix;
    uint64_t pairs_left; /* UINT64_MAX: no limit */
    bool begun, any;     /* the head, and a first pair, are written */

    uint32_t slot;      /* where it is... */
    struct buffer last; /* ...and behind which key; at first, that of the query */
    bool is_gathered;   /* `pairs` are those of the slot */
    struct pairs pairs;

    bool is_asking;         /* the first chunk of each shard was asked for */
    struct source *sources; /* owned; by shard; NULL while all is here */
    uint64_t unreachable;   /* shards that were left out, a bit each */
    struct buffer query;    /* of an operation in the making */
};

_Static_assert(SHARD_COUNT_MAX <= 64, "a bit a shard");

struct listing *listing_create(const struct listing_query *query, uint64_t token) {
    struct listing *l = bytes_alloc_zeroed(sizeof *l);
    l->token = token;
    buffer_put(&l->prefix, query->prefix);
    buffer_put(&l->last, query->after);
    l->pairs_left = query->limit == 0 ? UINT64_MAX : query->limit;
    l->slot = query->after.len == 0 ? 0 : shard_slot(query->after);
    return l;
}

size_t listing_bytes(const struct listing *l) {
    size_t bytes = sizeof *l + l->prefix.cap + l->last.cap + l->query.cap + l->pairs.bytes.cap +
                   l->pairs.count * sizeof *l->pairs.keys;
    if (l->sources == NULL) return bytes;
    for (uint32_t i = 0; i < SHARD_COUNT_MAX; i++)
        bytes += sizeof l->sources[i] + l->sources[i].bytes.cap;
    return bytes;
}

void listing_free(struct listing *l, struct node *n) {
    bool any_asked = false;
    for (uint32_t i = 0; l->sources != NULL && i < SHARD_COUNT_MAX; i++) {
        any_asked = any_asked || l->sources[i].state == SOURCE_ASKED;
        buffer_free(&l->sources[i].bytes);
    }
    if (any_asked) node_cancel(n, l->token);
    free(l->sources);
    pairs_free(&l->pairs);
    buffer_free(&l->prefix);
    buffer_free(&l->last);
    buffer_free(&l->query);
    free(l);
}

/* Behind which key it stands in that slot; empty: at its beginning. */
static struct slice after_in(const struct listing *l, uint32_t slot) {
    bool inside = l->last.len > 0 && shard_slot(buffer_slice(&l->last)) == slot;
    return inside ? buffer_slice(&l->last) : (struct slice){0};
}

/* ---- Slots of this node ---- */

struct pair {
    struct slice key, value;
};

/* False: the slot is at its end. */
static bool next_here(struct listing *l, const struct node *n, struct pair *pair) {
    struct version v;
    const struct store *s = node_store(n);
    if (!l->is_gathered) {
        pairs_gather(&l->pairs, s, l->slot, buffer_slice(&l->prefix), after_in(l, l->slot));
    }
    l->is_gathered = true;
    if (!pairs_next(&l->pairs, s, &v)) return false;
    *pair = (struct pair){v.key, v.value};
    return true;
}

/* ---- Slots of others ---- */

/* It must have something of the slot that was asked for. */
static void take_chunk(struct source *source, const struct answer *a) {
    struct slice key, value;
    source->bytes.len = 0;
    buffer_put(&source->bytes, a->value);
    bool good =
        a->status == NODE_FOUND && pairs_read_chunk(buffer_slice(&source->bytes), &source->chunk);
    bool any = good && pairs_peek(&source->chunk, &key, &value);
    good = good && (slots_has(&source->chunk.slots, source->asked_slot) ||
                    (any && shard_slot(key) == source->asked_slot));
    source->state = good ? SOURCE_HAS : SOURCE_UNREACHABLE;
}

/* For pairs of a shard from a slot on. The answer may be there at once: that nobody can be asked.
 */
static void ask(struct listing *l, struct node *n, struct source *source, uint32_t slot) {
    struct claim nothing = {0};
    struct answer answer;
    uint64_t pairs = l->pairs_left < UINT32_MAX ? l->pairs_left + 1 : UINT32_MAX;
    struct pairs_query query = {.limit = (uint32_t)pairs, .prefix = buffer_slice(&l->prefix)};
    l->query.len = 0;
    pairs_put_query(&l->query, &query);
    struct op op = {
        .kind = OP_LIST,
        .key = after_in(l, slot),
        .value = buffer_slice(&l->query),
        .claim = &nothing,
        .slot = slot,
    };
    source->state = SOURCE_ASKED;
    source->asked_slot = slot;
    if (node_submit(n, l->token, &op, &answer) == NODE_ANSWERED) take_chunk(source, &answer);
    claim_free(&nothing);
}

/* All shards at once: while the slots of one are written out, the others' are on their way. */
static void ask_all(struct listing *l, struct node *n) {
    const struct map *map = node_map(n);
    l->is_asking = true;
    for (uint32_t slot = l->slot; slot < SHARD_SLOTS; slot++) {
        uint32_t shard = map->shard_of_slot[slot];
        if (node_may_read_slot(n, slot)) continue;
        if (l->sources == NULL)
            l->sources = bytes_alloc_zeroed(SHARD_COUNT_MAX * sizeof *l->sources);
        if (l->sources[shard].state == SOURCE_IDLE) ask(l, n, &l->sources[shard], slot);
    }
}

/* Passes over pairs of the chunk that lie before the place where the listing stands. */
static bool peek(struct listing *l, struct source *source, struct pair *pair) {
    struct slice after = after_in(l, l->slot);
    while (pairs_peek(&source->chunk, &pair->key, &pair->value)) {
        uint32_t slot = shard_slot(pair->key);
        bool behind = slot < l->slot ||
                      (slot == l->slot && after.len > 0 && slice_compare(pair->key, after) <= 0);
        if (!behind) return slot == l->slot;
        pairs_skip(&source->chunk);
    }
    return false;
}

enum step { STEP_PAIR, STEP_SLOT_ENDS, STEP_WAITS, STEP_END };

static enum step next_elsewhere(struct listing *l, struct node *n, struct pair *pair) {
    uint32_t shard = node_map(n)->shard_of_slot[l->slot];
    if (!l->is_asking) ask_all(l, n);
    struct source *source = &l->sources[shard];
    if (source->state == SOURCE_HAS && peek(l, source, pair)) return STEP_PAIR;
    if (source->state == SOURCE_HAS && slots_has(&source->chunk.slots, l->slot))
        return STEP_SLOT_ENDS;
    if (source->state == SOURCE_HAS || source->state == SOURCE_IDLE) ask(l, n, source, l->slot);
    if (source->state == SOURCE_HAS) return next_elsewhere(l, n, pair);
    if (source->state == SOURCE_ASKED) return STEP_WAITS;
    l->unreachable |= (uint64_t)1 << shard;
    return STEP_SLOT_ENDS;
}

void listing_take(struct listing *l, const struct answer *answer) {
    for (uint32_t i = 0; i < SHARD_COUNT_MAX; i++) {
        struct source *source = &l->sources[i];
        if (source->state == SOURCE_ASKED && source->asked_slot == answer->slot) {
            take_chunk(source, answer);
            return;
        }
    }
}

/* ---- Pairs ---- */

static enum step next_pair(struct listing *l, struct node *n, struct pair *pair) {
    while (l->slot < SHARD_SLOTS) {
        enum step step;
        if (node_may_read_slot(n, l->slot)) {
            step = next_here(l, n, pair) ? STEP_PAIR : STEP_SLOT_ENDS;
        } else {
            l->is_gathered = false;
            step = next_elsewhere(l, n, pair);
        }
        if (step != STEP_SLOT_ENDS) return step;
        l->slot++;
        l->is_gathered = false;
    }
    return STEP_END;
}

/* ---- The text ---- */

static void put_pair(struct listing *l, struct buffer *out, const struct pair *pair) {
    if (l->any) buffer_put_char(out, ',');
    l->any = true;
    json_put_string(out, pair->key);
    buffer_put_char(out, ':');
    buffer_put(out, pair->value);
    l->last.len = 0;
    buffer_put(&l->last, pair->key);
}

static void put_tail(const struct listing *l, struct buffer *out, bool more) {
    buffer_put(out, SLICE("},\"next\":"));
    if (more) {
        json_put_string(out, buffer_slice(&l->last));
    } else {
        buffer_put(out, SLICE("null"));
    }
    buffer_put(out, SLICE(",\"complete\":"));
    buffer_put(out, l->unreachable == 0 ? SLICE("true") : SLICE("false"));
    buffer_put(out, SLICE(",\"unreachable\":["));
    bool first = true;
    for (uint32_t shard = 0; shard < SHARD_COUNT_MAX; shard++) {
        char id[SHARD_ID_BYTES];
        if ((l->unreachable >> shard & 1) == 0) continue;
        shard_id_text(shard, id);
        if (!first) buffer_put_char(out, ',');
        json_put_string(out, slice_of(id));
        first = false;
    }
    buffer_put(out, SLICE("]}"));
}

enum listing_state listing_fill(struct listing *l, struct node *n, struct buffer *out,
                                size_t enough) {
    if (!l->begun) buffer_put(out, SLICE("{\"kvs\":{"));
    l->begun = true;
    while (out->len < enough) {
        struct pair pair;
        enum step step = next_pair(l, n, &pair);
        if (step == STEP_WAITS) return LISTING_WAITS;
        if (step == STEP_END || l->pairs_left == 0) {
            put_tail(l, out, step == STEP_PAIR);
            return LISTING_DONE;
        }
        put_pair(l, out, &pair);
        l->pairs_left--;
    }
    return LISTING_MORE;
}
