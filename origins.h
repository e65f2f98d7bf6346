/* How many connections come from each IPv4 address, so that no single one can have all that there
 * are.
 *
 * A table with a row for each address that has a connection, so its size follows from how many
 * connections there are. Its hash is seeded: nobody can choose addresses that pile up in it.
 */
#ifndef KVS_ORIGINS_H
#define KVS_ORIGINS_H

#include "hash.h"

struct origin;

struct origins {
    struct origin *rows; /* owned */
    uint32_t cap;        /* rows: 0, or a power of two */
    uint32_t count;      /* addresses that have connections */
    uint32_t full;       /* of them, those that have as many as they may */
    uint32_t each_max;   /* connections of one address */
    struct hash_seed seed;
};

void origins_init(struct origins *o, uint32_t each_max, struct hash_seed seed);
void origins_free(struct origins *o);

/* It has one more connection. False: it has as many as it may, and nothing has changed. */
bool origins_enter(struct origins *o, uint32_t ipv4);
void origins_leave(struct origins *o, uint32_t ipv4); /* one less; it must have one */

uint32_t origins_connections(const struct origins *o, uint32_t ipv4); /* that it has */

#endif
