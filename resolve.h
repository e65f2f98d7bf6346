/* Names of machines, looked up beside the event loop.
 *
 * getaddrinfo() blocks, for many seconds when a name server is silent, so it runs in threads of its
 * own; the answer comes through the reactor. A lookup, like a watch or a timer, is embedded in
 * whatever waits for it. Nothing is remembered between lookups: a name may move to another machine.
 */
#ifndef KVS_RESOLVE_H
#define KVS_RESOLVE_H

#include "bytes.h"
#include "reactor.h"

#define RESOLVE_THREADS_MAX 4   /* so that a name that hangs does not hold up the others */
#define RESOLVE_NAMES_MAX   256 /* looked up or waiting for it at once */
#define RESOLVE_NAME_MAX    253 /* bytes; the longest that DNS can carry */

struct question;

struct lookup {
    void (*on_found)(struct lookup *l, bool found, uint32_t ipv4); /* host order */
    struct question *question; /* kept by the resolver; NULL: not waiting */
    struct lookup *next;       /* kept by the resolver */
};

struct resolver;

/* Borrows the reactor until resolver_free(). Threads are started when there is work for them. */
struct resolver *resolver_create(struct reactor *r); /* NULL with errno set */

/* All lookups must have ended or been cancelled. Does not wait for names that hang. */
void resolver_free(struct resolver *s);

/* Looks up `name`; on_found() is called in a later turn, once. Until then, or until it is
 * cancelled, the resolver borrows *l. False: too many names, or no thread can be had. */
bool resolver_start(struct resolver *s, struct lookup *l, struct slice name);
void resolver_cancel(struct resolver *s, struct lookup *l); /* nothing happens if it has ended */

#endif
