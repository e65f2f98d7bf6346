/* The list of nodes in view. See peer.h for the states. */
#include "peer.h"

#include <stdlib.h>

/* The place where `address` stands or belongs. */
static uint32_t find_place(const struct peers *ps, const struct address *address) {
    uint32_t i = 0;
    while (i < ps->count && address_compare(&ps->list[i].address, address) < 0)
        i++;
    return i;
}

static bool stands_at(const struct peers *ps, uint32_t i, const struct address *address) {
    return i < ps->count && address_compare(&ps->list[i].address, address) == 0;
}

static void insert(struct peers *ps, uint32_t i, struct peer peer) {
    if (ps->count == ps->cap) {
        ps->cap = ps->cap == 0 ? 8 : ps->cap * 2;
        ps->list = bytes_realloc(ps->list, ps->cap * sizeof *ps->list);
    }
    memmove(ps->list + i + 1, ps->list + i, (ps->count - i) * sizeof *ps->list);
    ps->list[i] = peer;
    ps->count++;
}

static void erase(struct peers *ps, uint32_t i) {
    ps->count--;
    memmove(ps->list + i, ps->list + i + 1, (ps->count - i) * sizeof *ps->list);
}

void peers_init(struct peers *ps, const struct address *self) {
    *ps = (struct peers){0};
    insert(ps, 0, (struct peer){.address = *self, .state = PEER_SELF});
}

void peers_free(struct peers *ps) {
    free(ps->list);
    *ps = (struct peers){0};
}

enum peers_added peers_add(struct peers *ps, const struct address *address, uint64_t now_ms) {
    uint32_t i = find_place(ps, address);
    if (stands_at(ps, i, address)) return PEERS_ALREADY_PRESENT;
    if (ps->count == PEERS_MAX) return PEERS_FULL;
    insert(ps, i, (struct peer){*address, PEER_EXPECTED, now_ms + PEER_UNHEARD_MS});
    return PEERS_ADDED;
}

bool peers_remove(struct peers *ps, const struct address *address) {
    uint32_t i = find_place(ps, address);
    if (!stands_at(ps, i, address) || ps->list[i].state == PEER_SELF) return false;
    erase(ps, i);
    return true;
}

bool peers_drop_unheard(struct peers *ps, uint64_t now_ms, struct address *dropped) {
    for (uint32_t i = 0; i < ps->count; i++) {
        const struct peer *p = &ps->list[i];
        if (p->state == PEER_EXPECTED && p->listed_until_ms <= now_ms) {
            *dropped = p->address;
            erase(ps, i);
            return true;
        }
    }
    return false;
}

bool peers_has(const struct peers *ps, const struct address *address) {
    return stands_at(ps, find_place(ps, address), address);
}

uint64_t peers_deadline_ms(const struct peers *ps) {
    uint64_t earliest = UINT64_MAX;
    for (uint32_t i = 0; i < ps->count; i++) {
        const struct peer *p = &ps->list[i];
        if (p->state == PEER_EXPECTED && p->listed_until_ms < earliest) {
            earliest = p->listed_until_ms;
        }
    }
    return earliest;
}
