/* The address of a node, "10.10.0.2:8090" or "alice:8090", which is also its identity.
 *
 * Two texts name the same node iff they are equal after lower-casing and after writing an IPv4
 * address in its normal form. Names are never resolved to decide that: a name may move between
 * machines and the node behind it stays the same node.
 *
 * Order, the same on every node: IPv4 addresses by number, then names by bytes, then the port.
 */
#ifndef KVS_ADDRESS_H
#define KVS_ADDRESS_H

#include "bytes.h"

#define ADDRESS_HOST_MAX 253 /* bytes; the longest name DNS can carry */
#define ADDRESS_TEXT_MAX (ADDRESS_HOST_MAX + 6)

struct address {
    bool is_ipv4;
    uint32_t ipv4; /* host order; 0 for a name */
    uint16_t port;
    uint16_t host_len;
    uint16_t text_len;
    char text[ADDRESS_TEXT_MAX + 1]; /* normal form, ended by NUL */
};

/* Returns NULL and fills *out, or says in one phrase what is wrong with the text. */
const char *address_parse(struct slice text, struct address *out);

int address_compare(const struct address *a, const struct address *b);
struct slice address_text(const struct address *a); /* borrows *a */
struct slice address_host(const struct address *a); /* borrows *a */
bool address_is_loopback(const struct address *a);  /* 127.0.0.0/8 */

#endif
