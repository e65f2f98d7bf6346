/* The simulator: a whole cluster, its network and its clients in one process, from one seed.
 *
 *   sim_base    time, events, chance, trace
 *   sim_net     byte streams and what breaks them
 *   sim_truth   what was written and known
 *   sim_host    node processes: turns, boots, clocks
 *   sim_disk    what survives them
 *   sim_maps    which maps there are and who lives by which
 *   sim_request what is asked about nodes and shards: reshard, members, the view
 *   sim_client  sessions and their operations; the history for the checker
 *   sim_check   the invariants
 *   sim_fault   what goes wrong, and when
 *   sim         one run from seed to verdict, and many of them on all cores
 *
 * docs/sim.md says what is simulated and lists the invariants.
 */
#ifndef KVS_SIM_H
#define KVS_SIM_H

#include "../durable.h"
#include "sim_net.h"
#include "sim_truth.h"

#define SESSIONS_MAX 6
#define S            1000000u /* microseconds */

#define HEAR_US  (2 * S) /* a crashed node is out of every view after that */
#define START_US (3 * S) /* a restarted one is back with its data after that */
#define HEAL_US  (7 * S) /* all is well so long after the last fault, READMIT_MS apart */

/* A seed says by its size what world it is: below WORLD_SEEDS one group, from there on several
 * shards of the first map, from twice that on maps that change. From three times that on it is one
 * of these, and the nodes have disks. */
enum world { WORLD_GROUP, WORLD_SHARDS, WORLD_MAPS, WORLDS };
#define WORLD_OF_DISKS WORLDS

#define WORLD_SEEDS ((uint64_t)1000000000)

/* What this seed is like. */
struct plan {
    enum world world;
    uint32_t hosts, sessions, keys;
    uint32_t shard_count; /* of those that are in VIEW; 0: not given */
    uint32_t newcomers;   /* a set of hosts that the others do not know at first */
    uint32_t park_ms, readmit_ms, ring_writes_max;
    uint32_t over_actors_max; /* of past boots before a map comes that allows to prune */
    uint32_t think_us, operations_max;
    uint32_t get_permille, delete_permille, forget_permille, take_permille;
    uint32_t value_bytes;
    uint32_t faults;                 /* bits of enum fault */
    uint64_t fault_gap_us, fault_us; /* mean pause between faults; how long they go on */
    uint64_t start_spread_us;
    uint32_t aim_permille;         /* faults right behind a write */
    bool one_at_a_time;            /* a kill waits until all are ready and level again */
    uint32_t requests;             /* bits of enum request_kind */
    uint64_t request_gap_us;       /* mean pause between them */
    uint32_t request_aim_permille; /* faults right behind them, where they move something */
    bool one_stays_dead;           /* at the end */
    uint32_t batch_permille;       /* turns that take only some of what has arrived */
    bool has_disks;
    bool syncs_always; /* every turn is synced before it is over; otherwise every second or so */
    bool keeps_power;  /* nobody ever loses it: then no answered write is ever lost */
    uint32_t snapshot_permille; /* turns that begin one */
};

enum fault {
    FAULT_BREAK,   /* a connection */
    FAULT_ONE_WAY, /* from a to b nothing arrives */
    FAULT_PAIR,    /* nor from b to a */
    FAULT_ISOLATE, /* one host from all */
    FAULT_SPLIT,   /* two sides */
    FAULT_PAUSE,   /* SIGSTOP */
    FAULT_KILL,    /* SIGKILL */
    FAULT_OFF,     /* the plug */
    FAULT_STOP,    /* SIGTERM */
    FAULT_SLOW,    /* a thin link */
    FAULT_CLOCK,   /* the wall clock jumps */
    FAULT_ALL,     /* everything is killed */
    FAULTS,
    FAULT_FULL = FAULTS, /* a disk, of a world that has some */
    FAULTS_WITH_DISKS,
};

#define FAULT_BIT(f) (1u << (f))
#define FAULTS_OF_CUT                                                                              \
    (FAULT_BIT(FAULT_ONE_WAY) | FAULT_BIT(FAULT_PAIR) | FAULT_BIT(FAULT_ISOLATE) |                 \
     FAULT_BIT(FAULT_SPLIT) | FAULT_BIT(FAULT_PAUSE) | FAULT_BIT(FAULT_SLOW))

#define FAULTS_OF_DEATH (FAULT_BIT(FAULT_KILL) | FAULT_BIT(FAULT_STOP) | FAULT_BIT(FAULT_OFF))

/* ---- Hosts ---- */

struct host_link {
    uint32_t conn, side;
};

struct host {
    uint32_t index;
    struct address address;
    struct address view[HOSTS_MAX]; /* VIEW */
    uint32_t view_count;
    struct node *node; /* NULL: no process */
    uint64_t boot;
    uint32_t boot_serial; /* over all hosts, from 1 */
    uint32_t changes;     /* boots and deaths of this host */
    bool paused, stays_dead;
    uint64_t mono_ms; /* the monotonic clock when the world began */
    int64_t wall_skew_ms;
    uint64_t changed_us;     /* when it was started or died */
    uint64_t resumed_us;     /* when it was last paused, until it goes on: now */
    uint64_t wake_us;        /* the wake that is under way for its deadline; 0: none */
    uint32_t idle_turns;     /* in a row that had nothing to do */
    struct host_link *links; /* owned */
    uint32_t link_count, link_cap;
};

struct sim;

void host_init(struct sim *s, uint32_t h);
void host_start(struct sim *s, uint32_t h);
void host_dies(struct sim *s, uint32_t h, enum net_death how);
void host_pause(struct sim *s, uint32_t h, bool paused);
void host_wake(struct sim *s, uint32_t h);
bool host_runs(const struct host *h);
uint64_t host_now_ms(const struct sim *s, const struct host *h);
const struct host *host_of_boot(const struct sim *s, uint64_t boot);  /* alive; or NULL */
uint32_t host_at(const struct sim *s, const struct address *address); /* plan.hosts: none */
struct node_config host_config(const struct sim *s, uint32_t h);      /* no boot, no seed */

/* ---- Disks: nothing happens where there are none ---- */

struct disk {
    struct buffer snapshot, log; /* what a process will find: the one, then the other */
    size_t synced;               /* of the log: so much outlives a loss of power */
    uint64_t sync_us;            /* the rest will be synced then */
    bool walks;                  /* a snapshot is being made, */
    struct snapshot walk;        /* so far, */
    struct buffer part;          /* in here, */
    size_t log_part;             /* for the log from here on */
    bool has_lost;               /* power was lost since the last start */
    bool is_full;
    uint64_t full_us; /* when that changed */

    /* As of its last process's death. */
    bool was_ready;
    uint32_t map;         /* that it lived by; MAP_NONE */
    bool holds[KEYS_MAX]; /* the key's slot */
    uint32_t delivered[KEYS_MAX][ACTORS_MAX];
    uint64_t shows[KEYS_MAX]; /* the clock reading of the version; 0: none */
};

void disks_free(struct sim *s);
void disk_recover(struct sim *s, uint32_t h, struct node *n); /* into a new process */
void disk_started(struct sim *s, uint32_t h);
void disk_take(struct sim *s, uint32_t h); /* the journal of a turn */
void disk_dies(struct sim *s, uint32_t h, enum net_death how, bool in_turn);
void disk_check_turn(struct sim *s, uint32_t h); /* of who has resumed */
void disk_fills(struct sim *s, uint32_t h, bool is_full);
void disk_burns(struct sim *s, uint32_t h); /* its host will never be back */
bool disk_keeps(const struct sim *s, uint32_t h, const struct truth_write *w); /* of the dead */

/* ---- Maps ---- */

#define MAP_NONE UINT32_MAX

struct sim_map {
    struct map *map; /* owned */
    uint32_t shard_of_key[KEYS_MAX];
    uint32_t rosters[SHARD_COUNT_MAX]; /* sets of hosts */
};

/* A process belonged to a group. */
struct tenure {
    uint64_t boot, group, until_us;
};

struct sim_maps {
    struct sim_map *list; /* owned; in the order in which they were seen */
    uint32_t count, cap;
    struct tenure *tenures; /* owned */
    uint32_t tenure_count, tenure_cap;
    uint64_t changed_us; /* when a process last changed its map */
};

void maps_free(struct sim *s);
void maps_look(struct sim *s, uint32_t h);                    /* asserts I12 */
uint32_t maps_named(const struct sim *s, struct map_ref ref); /* MAP_NONE: nobody has lived by it */
bool maps_greater(const struct sim *s, uint32_t a, uint32_t b);
uint32_t maps_owners(const struct sim *s, uint32_t map, uint32_t key); /* a set of hosts */
bool maps_owns(const struct sim *s, uint32_t h, uint32_t key);         /* by its own map */
uint32_t maps_roster_of(const struct sim *s, uint32_t h);              /* of its own shard */
/* Was the process that made the write of its group then? Asserts I11. */
void maps_check_writer(struct sim *s, uint32_t write);

/* ---- Requests about nodes and shards ---- */

enum request_kind {
    REQUEST_RESHARD, /* PUT /shard/reshard */
    REQUEST_ADD,     /* PUT /shard/add-member */
    REQUEST_REMOVE,  /* DELETE /view */
    REQUEST_LIST,    /* PUT /view */
    REQUESTS,
};

struct request {
    enum request_kind kind;
    uint32_t host;   /* that is asked */
    uint32_t about;  /* another host */
    uint32_t shards; /* how many, or which */
    uint32_t map;    /* that the asked one lived by */
    bool for_ever;   /* what it removes does not come back; if that fails, it does */
};

struct requests {
    struct request *list; /* owned */
    uint32_t count, cap;
    uint64_t last_us; /* when the last one arrived */
    bool aim_open;    /* one at a time: the last one may still be followed by a fault */
    uint32_t told[HOSTS_MAX][HOSTS_MAX]; /* the first, of the second, in that boot */
};

void requests_free(struct sim *s);
void request_step(struct sim *s, uint32_t h); /* at that host, or at any: plan.hosts */
void request_list(struct sim *s, uint32_t h, uint32_t about);
void requests_settle(struct sim *s, uint32_t stays_dead);
bool request_answered(struct sim *s, uint32_t h, uint64_t token, const struct answer *a);
void request_arrives(struct sim *s, uint32_t h, uint32_t id);
void requests_across(struct sim *s, uint32_t hosts); /* of both sides of a cut */
void requests_heal(struct sim *s, uint32_t stays_dead);
bool request_has_struck(const struct sim *s, uint32_t h, uint32_t o);    /* either the other */
bool request_is_introduced(const struct sim *s, uint32_t h, uint32_t o); /* either to the other */
uint32_t request_target(struct sim *s, uint32_t id); /* a host that it moves, or that was asked */

/* ---- Clients ---- */

enum op_state {
    OP_TRAVELS,
    OP_AT_NODE,
    OP_ABANDONED, /* its client has hung up; an answer reaches nobody */
    OP_OVER,
};

struct client_op {
    enum op_kind kind;
    enum op_state state;
    uint32_t session, host, key, write;
    uint32_t boot_serial;
    uint64_t sent_us, waits_since_us;
};

struct session {
    uint32_t name, life;    /* s<name>.<life> in the history; a new life knows nothing */
    struct buffer metadata; /* as the last answer had it */
    struct past past;       /* the truth of it */
    bool busy;
    uint32_t op;
    uint64_t refused_since_us; /* 503s in a row; 0: none */
    uint32_t refused;
};

struct clients {
    struct session sessions[SESSIONS_MAX];
    struct client_op *ops; /* owned */
    uint32_t count, cap;
    struct buffer history;
    struct claim claim; /* of the request in hand */
    uint32_t lives;
    uint32_t finals; /* how many of the last reads are begun */
    uint32_t refused, answered;
};

void clients_init(struct sim *s);
void clients_free(struct sim *s);
void client_step(struct sim *s, uint32_t session);
void client_submit(struct sim *s, uint32_t h, uint32_t op);        /* a request arrives */
void client_hang_up(struct sim *s, uint32_t session, uint32_t op); /* its patience ends */
void client_give_up(struct sim *s, uint32_t h, uint32_t op);       /* the node learns it */
void client_answered(struct sim *s, uint32_t h, uint64_t token, const struct answer *a);
void clients_host_died(struct sim *s, uint32_t h);

/* ---- Invariants ---- */

#define DUE_MAX SESSIONS_MAX /* each session has one operation under way */

/* What was last seen at a host. */
struct check_host {
    uint32_t boot_serial;
    uint32_t map;        /* that it lives by; MAP_NONE */
    uint32_t map_judged; /* the same, when its last turn was judged */
    uint64_t group;      /* 0: it is in none */
    uint64_t group_since_us;
    bool holds[KEYS_MAX]; /* the key's slot */
    uint32_t *actor_of;   /* owned; node's index -> truth's */
    uint32_t actors, cap;
    uint32_t delivered[KEYS_MAX][ACTORS_MAX]; /* D of the key's slot */
    uint32_t shows[KEYS_MAX];                 /* the write in the store; WRITE_NONE */
    uint64_t ready_since_us;                  /* 0: not ready */
    bool reshards;
    bool sees[HOSTS_MAX]; /* listed, and both had settled */
    uint32_t sees_boot[HOSTS_MAX];
    uint32_t named_under[HOSTS_MAX]; /* the map when it was last asked to list that host */
    uint64_t waived;                 /* waivers before this turn */
    uint32_t due[DUE_MAX];           /* writes answered or served in this turn, for I8 */
    uint32_t due_count;
};

struct check {
    struct check_host hosts[HOSTS_MAX];
    uint64_t cut_us[HOSTS_MAX][HOSTS_MAX];    /* since when a pair is cut, one way or both; or 0 */
    uint64_t uncut_us[HOSTS_MAX][HOSTS_MAX];  /* when bytes last began to pass, both ways */
    uint64_t gap_us[HOSTS_MAX][HOSTS_MAX];    /* the same after a cut too long to be overlooked */
    uint64_t struck_us[HOSTS_MAX][HOSTS_MAX]; /* when one last kept the other out; 0: never */
    uint32_t floor[KEYS_MAX];     /* I19: the last write that was on the whole roster, */
    uint32_t floor_map[KEYS_MAX]; /* and of which map that was */
    uint32_t had[HOSTS_MAX][KEYS_MAX][ACTORS_MAX]; /* delivered by any process of the host so far */
    uint32_t pruned[ACTORS_MAX];                   /* so far metadata need not name it any more */
    uint64_t died_us;                              /* when a process last died */
    uint64_t turns;
};

void check_init(struct sim *s);
void check_free(struct sim *s);
void check_booted(struct sim *s, uint32_t h);
void check_before_death(struct sim *s, uint32_t h); /* who has what now decides what may be lost */
void check_burned(struct sim *s, uint32_t h);       /* its disk is gone, too */
void check_turn(struct sim *s, uint32_t h);
void check_cut(struct sim *s, uint32_t from, uint32_t to); /* something was cut or healed there */
void check_begins(struct sim *s, uint32_t h);              /* a write, or answers a read */

/* An answer other than 503, its metadata and the version it told of (WRITE_NONE: none). `here`: it
 * was found in the store of this very node. */
void check_answer(struct sim *s, uint32_t h, const struct client_op *op, const struct metadata *m,
                  uint32_t shown, bool here);
/* The same of one that told of nobody knows which version. */
void check_answer_of_unknown(struct sim *s, uint32_t h, const struct client_op *op,
                             const struct metadata *m);
void check_pending(struct sim *s);
void check_expected(struct sim *s, uint32_t h, uint32_t changes);
void check_rest(struct sim *s);
void check_rest_answer(struct sim *s, uint32_t h, const struct metadata *m);
void check_history(struct sim *s);
uint32_t check_actor(struct sim *s, uint32_t h, uint32_t index); /* node's index -> truth's */
/* What stands under the key: which write? WRITE_NONE: nothing. */
uint32_t check_shown(struct sim *s, uint32_t h, uint32_t key);
/* The dot of a write has become known: is it where it must be by now? */
void check_named(struct sim *s, uint32_t write);
void check_named_late(struct sim *s, uint32_t h, uint32_t write);

/* ---- Faults ---- */

void plan_make(struct sim *s);
void fault_step(struct sim *s);
void fault_repair(struct sim *s, uint32_t which);
void fault_behind_write(struct sim *s, uint32_t h);
void fault_aimed(struct sim *s, uint32_t h);
void fault_behind_request(struct sim *s, uint32_t id);
void fault_at_request(struct sim *s, uint32_t id);
void fault_heal_all(struct sim *s);
/* Everybody is up, ready and level, and has been for a while: the next fault may come in a plan of
 * one at a time. */
bool fault_is_over(const struct sim *s);

/* One fault that lasts. */
struct breakage {
    enum fault fault;
    uint32_t a, b; /* hosts; FAULT_SPLIT: b is a set of them */
};

/* ---- The run ---- */

enum phase { PHASE_FAULTS, PHASE_HEALED, PHASE_CALM, PHASE_QUIET, PHASE_REST, PHASE_OVER };

struct sim {
    struct sim_base base;
    struct plan plan;
    struct net net;
    struct host hosts[HOSTS_MAX];
    struct disk disks[HOSTS_MAX];
    struct address view[HOSTS_MAX];
    struct sim_maps maps;
    struct requests requests;
    struct truth truth;
    struct clients clients;
    struct check check;
    struct breakage *breakages; /* owned */
    uint32_t breakage_count, breakage_cap;
    enum phase phase;
    uint64_t healed_us; /* no fault since */
    uint32_t boots;
    struct slice key_names[KEYS_MAX];
    uint32_t slots[KEYS_MAX];
};

#endif
