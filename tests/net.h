/* A group of nodes in one process, with a network that delivers at once, for tests that tell one
 * story each. Random schedules are the simulator's business.
 *
 * Time passes only in pass(), creep() and ask(). What is written at one end of a connection is
 * received at the other in the same turn, unless it is cut or one of the nodes is stopped; then it
 * waits.
 */
#ifndef KVS_NET_H
#define KVS_NET_H

#include "kit.h"

#define NODES_MAX 6
#define WIRES_MAX 128

#define RING_SHORT_WRITES 4

/* One connection: bytes written at one end are received at the other. */
struct wire {
    struct link *ends[2];
    unsigned at[2]; /* the nodes */
    struct buffer arrived[2];
};

struct net {
    unsigned count;
    struct node_config configs[NODES_MAX];
    struct node *nodes[NODES_MAX]; /* NULL: not running */
    struct wire wires[WIRES_MAX];
    unsigned wire_count;
    bool cut[NODES_MAX][NODES_MAX]; /* nothing passes from one to the other */
    bool stopped[NODES_MAX];        /* SIGSTOP: its connections stand, it does nothing */
    uint64_t now_ms;
    uint64_t boots;
};

struct result {
    bool is_answered;
    enum node_status status;
    uint32_t shard;
    char value[64];
    char metadata[4096];
};

/* ---- Nodes ---- */

struct net begin(unsigned count);       /* nobody runs yet; `configs` may be changed */
struct net begin_ready(unsigned count); /* all run, are ready and see one another */
struct net begin_short(unsigned count); /* the same; a ring keeps RING_SHORT_WRITES at most */
struct net begin_shards(unsigned count, uint32_t shards); /* all are ready, in so many shards */
void make_ready(struct net *net); /* starts all that do not run, until that is so */
void start(struct net *net, unsigned i);
void kill_node(struct net *net, unsigned i);
void restart(struct net *net, unsigned i); /* killed, and started at once */
void end(struct net *net);

bool step(struct net *net); /* each node has one turn, what it says arrives; false: nothing did */
void turn(struct net *net); /* until nothing moves */
void pass(struct net *net, uint64_t ms);
void creep(struct net *net); /* one step, and 10 ms if nothing moved: to stop at the right moment */
void creep_until_met(struct net *net, unsigned a, unsigned b); /* each is in the other's view */

void set_cut(struct net *net, unsigned i, bool cut); /* off from all others, or joined again */
void set_pair(struct net *net, unsigned a, unsigned b, bool cut); /* both ways between two */
void cut_off(struct net *net, unsigned i); /* from all others, until everybody has noticed */
void set_mute(struct net *net, unsigned i, bool mute);     /* what it says waits on the way */
void set_deaf(struct net *net, unsigned i, bool deaf);     /* what is said to it does */
void break_links(struct net *net, unsigned a, unsigned b); /* and what was on the way is lost */

/* ---- Operations: metadata travels as text, as it does through clients ---- */

/* Hands an operation to node i; whether it has an answer yet stands in the result. */
struct result submit(struct net *net, unsigned i, enum op_kind kind, const char *key,
                     const char *value, const char *metadata);
struct result take(struct net *net, unsigned i); /* of one that waits, if it has ended */

/* Asks and lets time pass until there is an answer. */
struct result ask(struct net *net, unsigned i, enum op_kind kind, const char *key,
                  const char *value, const char *metadata);
struct result get(struct net *net, unsigned i, const char *key, const char *metadata);
struct result put(struct net *net, unsigned i, const char *key, const char *value,
                  const char *metadata);

/* ---- Requests ---- */

/* Node i makes a map of so many shards; nobody waits until it is so. */
void propose_shards(struct net *net, unsigned i, uint32_t count);
bool strike_off(struct net *net, unsigned by, unsigned whom);

/* ---- Checks ---- */

bool sees(const struct net *net, unsigned i, unsigned other);   /* has it in view */
bool owns(const struct net *net, unsigned i, const char *key);  /* by the map that it lives by */
bool keeps(const struct net *net, unsigned i, const char *key); /* its slot, owned or not */

unsigned listed_count(const struct net *net, unsigned i); /* whom node i counts as present */
unsigned mapped_count(const struct net *net, unsigned i); /* members by its map */
unsigned entries_of(const char *metadata);                /* actors that it names */

void check_value(struct net *net, unsigned i, const char *key, const char *metadata,
                 const char *want);
void check_level(struct net *net); /* all have delivered the same writes and show the same */

#endif
