/* A hash table of guests. See guests.h. Tokens count up, so they spread over it by themselves. */
#include "guests.h"

#include <stdlib.h>

void guests_free(struct guests *g) {
    for (uint32_t i = 0; i < GUESTS_BUCKETS; i++) {
        for (struct guest *at = g->buckets[i], *next; at != NULL; at = next) {
            next = at->chain;
            free(at);
        }
    }
}

uint64_t guests_admit(struct guests *g, struct link *from, uint64_t id) {
    if (g->count == GUESTS_MAX) return 0;
    uint64_t token = ++g->last_token | UINT64_C(1) << 63;
    struct guest **bucket = &g->buckets[token % GUESTS_BUCKETS];
    struct guest *guest = bytes_alloc(sizeof *guest);
    *guest = (struct guest){*bucket, token, id, from};
    *bucket = guest;
    g->count++;
    return token;
}

const struct guest *guests_find(const struct guests *g, uint64_t token) {
    const struct guest *at = g->buckets[token % GUESTS_BUCKETS];
    while (at != NULL && at->token != token)
        at = at->chain;
    return at;
}

static void erase(struct guests *g, struct guest **at) {
    struct guest *guest = *at;
    *at = guest->chain;
    free(guest);
    g->count--;
}

bool guests_dismiss(struct guests *g, uint64_t token, struct guest *out) {
    struct guest **at = &g->buckets[token % GUESTS_BUCKETS];
    while (*at != NULL && (*at)->token != token)
        at = &(*at)->chain;
    if (*at == NULL) return false;
    *out = **at;
    erase(g, at);
    return true;
}

void guests_link_ended(struct guests *g, const struct link *l) {
    for (uint32_t i = 0; i < GUESTS_BUCKETS && g->count > 0; i++) {
        for (struct guest **at = &g->buckets[i]; *at != NULL;) {
            if ((*at)->from == l)
                erase(g, at);
            else
                at = &(*at)->chain;
        }
    }
}
