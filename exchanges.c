/* A queue of exchanges. See exchanges.h. */
#include "exchanges.h"

#include <stdlib.h>

#include "node.h"

struct exchange *exchanges_push(struct exchanges **q, const struct exchange *begun) {
    if (*q == NULL) {
        *q = bytes_alloc_zeroed(sizeof **q);
        (*q)->end = &(*q)->first;
    }
    struct exchange *e = bytes_alloc(sizeof *e);
    *e = *begun;
    *(*q)->end = e;
    (*q)->end = &e->next;
    (*q)->count++;
    (*q)->bytes += e->bytes;
    return e;
}

void exchanges_pop(struct exchanges *q) {
    struct exchange *e = q->first;
    q->first = e->next;
    if (q->first == NULL) q->end = &q->first;
    q->count--;
    q->bytes -= e->bytes;
    buffer_free(&e->answer);
    free(e);
}

struct exchange *exchanges_find(const struct exchanges *q, uint64_t token) {
    struct exchange *e = q == NULL ? NULL : q->first; /* it is nearly always this one */
    while (e != NULL && e->token != token)
        e = e->next;
    return e;
}

/* A parked operation is not to be executed; writes that are under way go on, and their answers are
 * passed over. To cancel them would cost the node a search for each, and a hundred clients may
 * leave at once. */
void exchanges_free(struct exchanges *q, struct node *n) {
    while (q->first != NULL) {
        if (q->first->parked && !q->first->answered) node_cancel(n, q->first->token);
        exchanges_pop(q);
    }
    buffer_free(&q->answers);
    free(q);
}
