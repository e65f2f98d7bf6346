/* A list with limits. See parked.h. */
#include "parked.h"

#include <stdlib.h>

void parking_init(struct parking *p, struct op_limits limits) {
    *p = (struct parking){.end = &p->first, .limits = limits};
    if (limits.ops_max == 0) p->limits.ops_max = PARKED_MAX;
    if (limits.bytes_max == 0) p->limits.bytes_max = PARKED_BYTES_MAX;
}

void parking_free(struct parking *p) {
    for (struct parked *at = p->first, *next; at != NULL; at = next) {
        next = at->next;
        free(at);
    }
}

struct parked *parking_add(struct parking *p, const struct errand *errand, const struct op *op) {
    size_t size = sizeof(struct parked) + op->key.len + op->value.len + op->claim->text.len;
    if (p->count >= p->limits.ops_max || p->bytes + size > p->limits.bytes_max) {
        p->refused++;
        return NULL;
    }
    struct parked *parked = bytes_alloc(size);
    char *at = parked->bytes;
    *parked = (struct parked){.errand = *errand, .op = *op, .size = size};
    parked->op.key = write_copy(&at, op->key);
    parked->op.value = write_copy(&at, op->value);
    parked->claim_text = write_copy(&at, op->claim->text);
    *p->end = parked;
    p->end = &parked->next;
    p->count++;
    p->bytes += size;
    p->total++;
    if (op_is_write(op->kind)) p->writes[op->stream % PARKED_STREAMS]++;
    return parked;
}

struct parked *parking_remove(struct parking *p, struct parked **link) {
    struct parked *parked = *link;
    *link = parked->next;
    if (p->end == &parked->next) p->end = link;
    p->count--;
    p->bytes -= parked->size;
    if (op_is_write(parked->op.kind)) p->writes[parked->op.stream % PARKED_STREAMS]--;
    return parked;
}

/* It is asked for each write: most streams have none, and a thousand of others may be parked. */
bool parking_has_stream(const struct parking *p, uint64_t stream, const struct parked *until) {
    if (stream == 0 || p->writes[stream % PARKED_STREAMS] == 0) return false;
    for (const struct parked *at = p->first; at != NULL && at != until; at = at->next) {
        if (at->op.stream == stream && op_is_write(at->op.kind)) return true;
    }
    return false;
}
