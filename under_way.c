/* Own writes that wait for a second copy. See under_way.h. */
#include "under_way.h"

#include <stdlib.h>

struct under_way *under_way_create(struct kept *write, uint64_t token, bool is_delete,
                                   const struct metadata *seen) {
    struct under_way *u = bytes_alloc(sizeof *u);
    *u = (struct under_way){.write = write, .token = token, .is_delete = is_delete};
    u->n = write->dot.n;
    u->slot = write->slot;
    metadata_copy(&u->seen, seen);
    return u;
}

void under_way_free(struct under_way *u) {
    free(u->write);
    metadata_free(&u->seen);
    free(u);
}

void under_way_free_list(struct under_way *list) {
    for (struct under_way *u = list, *next; u != NULL; u = next) {
        next = u->next;
        under_way_free(u);
    }
}

void under_way_cancel(struct under_way *list, uint64_t token) {
    for (struct under_way *u = list; u != NULL; u = u->next)
        u->cancelled = u->cancelled || u->token == token;
}
