/* The outermost layer: what happens in a turn; signals, limits and random numbers of the machine.
 * See startup.h.
 *
 * A turn. At its start the node is told the time. Then events come: requests of clients and bytes
 * from peers, which the node takes in. At its end the answers are made that have become possible.
 * Then, where a log is kept, all that has changed is appended to it, before any of it is told; and
 * then clients get their answers, and peers what the node wants to tell them, once for each.
 *
 * The end. SIGTERM and SIGINT arrive on a descriptor like everything else, so they interrupt
 * nothing. The server stops first and answers what runs, for which it may need the peers; then the
 * node says goodbye, and that is sent last. Both have a time limit.
 */
#include "startup.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "journal.h"
#include "links.h"
#include "log.h"
#include "reactor.h"
#include "server.h"
#include "version.h"

#define GOODBYE_MS 200 /* for the kernel to take what the peers are still to be sent */
_Static_assert(SERVER_STOP_MS + GOODBYE_MS < 2000, "a node stops within two seconds");

/* A handshake of nodes in TLS costs both some milliseconds of a CPU. When all of a cluster begin at
 * once on a busy machine, who gives up early makes the others begin again, and it never ends. */
#define TLS_GREET_MS 5000

#define PEER_DESCRIPTORS_SPARE 16 /* for callers that say hello, and newcomers */

struct process {
    const struct config *config; /* borrowed */
    struct turn turn;
    struct reactor *reactor;
    struct node *node;
    struct journal *journal; /* NULL: no log is kept */
    struct server *server;   /* NULL: it has stopped */
    struct links *links;
    struct greed greed;                /* of clients, and of callers at both ports */
    struct tls *client_tls, *peer_tls; /* NULL: not encrypted */
    int client_fd_end; /* descriptors from here on are for peers; 0: all are for anybody */
    struct watch signals;
    struct timer node_timer;    /* the node's next deadline: wakes the loop */
    struct timer goodbye_timer; /* saying goodbye has taken too long */
};

static uint64_t random64(void) {
    uint64_t n;
    if (getrandom(&n, sizeof n, 0) != (ssize_t)sizeof n) {
        log_line(LOG_ERROR, "start: the machine gives no random numbers: %s", strerror(errno));
        abort();
    }
    return n;
}

/* Each connection takes a descriptor; the default limit of 1,024 is a leftover of select(). What
 * clients may have of them ends here: however many there are, nodes must find one another. */
static int raise_descriptor_limit(const struct config *c) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    rlim_t most = limit.rlim_cur < INT_MAX ? limit.rlim_cur : INT_MAX;
    rlim_t peers = PEER_DESCRIPTORS_SPARE + 2 * (rlim_t)c->view_count; /* one each way */
    return (int)(most - (peers < most / 4 ? peers : most / 4));
}

/* ---- Encryption ---- */

/* What the files say now, in place of *tls: connections that there are go on as they began. False:
 * nothing has changed. */
static bool renew_tls(struct tls **tls, const struct tls_files *files) {
    char error[TLS_ERROR_BYTES];
    struct tls *fresh = tls_create(files, error);
    if (fresh == NULL) {
        log_line(LOG_ERROR, "tls: %s", error);
        return false;
    }
    tls_release(*tls);
    *tls = fresh;
    return true;
}

/* Clients are shown the certificate; peers must show one of the authority, too. */
static bool read_certificates(struct process *p) {
    const struct config *c = p->config;
    struct tls_files files = {c->tls_cert, c->tls_key, NULL};
    if (c->tls_cert == NULL) return true;
    if (!renew_tls(&p->client_tls, &files)) return false;
    files.ca = c->tls_ca;
    return files.ca == NULL || renew_tls(&p->peer_tls, &files);
}

/* ---- Signals ---- */

static void on_signal(struct watch *w, unsigned events) {
    struct process *p = CONTAINER_OF(w, struct process, signals);
    struct signalfd_siginfo info;
    (void)events;
    if (read(w->fd, &info, sizeof info) != (ssize_t)sizeof info) return;
    if (info.ssi_signo == SIGHUP) {
        if (read_certificates(p)) log_line(LOG_INFO, "tls: certificates were read again");
        return;
    }
    if (p->server == NULL) return;
    log_line(LOG_INFO, "stop: signal %u, answering what runs", info.ssi_signo);
    server_stop(p->server);
}

static bool watch_signals(struct process *p) {
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    if (p->config->tls_cert != NULL) sigaddset(&stop, SIGHUP);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    p->signals = (struct watch){
        .fd = signalfd(-1, &stop, SFD_NONBLOCK | SFD_CLOEXEC),
        .on_event = on_signal,
    };
    return p->signals.fd >= 0 && reactor_watch(p->reactor, &p->signals, REACTOR_READ);
}

/* The time that the node goes by. Log lines keep the true one: those of several nodes are compared.
 */
static uint64_t skewed_wall_ms(const struct config *c, const struct reactor *r) {
    return reactor_wall_ms(r) + (uint64_t)(int64_t)c->clock_skew_ms;
}

static struct node *create_node(const struct config *c, const struct reactor *r) {
    struct node_config config = {
        .self = c->self,
        .view = c->view,
        .view_count = c->view_count,
        .shard_count = c->shard_count,
        .memory_bytes_max = c->memory_bytes_max,
        .park_ms = c->park_ms,
        .forward_ms = c->forward_ms,
        .peer_port_offset = c->peer_port_offset,
        .readmit_ms = c->readmit_ms,
        .greet_ms = c->tls_ca == NULL ? 0 : TLS_GREET_MS,
        .parked = {c->parked_max, c->parked_bytes_max},
        .forwarded = {c->forwarded_max, c->forwarded_bytes_max},
        .cluster = slice_of(c->cluster),
        .secret = slice_of(c->cluster_secret),
        .keeps_journal = c->data_dir != NULL,
        .boot = random64(),
        .seed = {random64(), random64()},
        .random64 = random64,
    };
    return node_create(&config, reactor_now_ms(r), skewed_wall_ms(c, r));
}

static void warn_about_settings(const struct config *c) {
    if (c->self_was_missing) {
        log_line(LOG_WARN, "start: VIEW does not name this node, %s; added", c->self.text);
    }
    if (c->shard_count > 0 && c->view_count < CHANGE_SHARD_NODES_MIN * c->shard_count) {
        log_line(LOG_WARN, "start: fewer than two nodes a shard: no fault tolerance");
    }
    if (c->clock_skew_ms != 0) {
        log_line(LOG_WARN, "start: CLOCK_SKEW_MS makes this node's clock wrong by %d ms",
                 c->clock_skew_ms);
    }
}

/* ---- Turns ---- */

static void on_turn_start(struct turn *t) {
    struct process *p = CONTAINER_OF(t, struct process, turn);
    node_set_time(p->node, reactor_now_ms(p->reactor), skewed_wall_ms(p->config, p->reactor));
}

static void log_notes(struct node *n) {
    struct slice notes = node_take_notes(n);
    while (notes.len > 0) {
        struct slice line = slice_cut(&notes, '\n');
        log_line(LOG_INFO, "%.*s", (int)line.len, line.at);
    }
}

static void on_turn_end(struct turn *t) {
    struct process *p = CONTAINER_OF(t, struct process, turn);
    if (p->server != NULL) server_turn_end(p->server);
    node_end_turn(p->node);
    if (p->journal != NULL) journal_turn_end(p->journal);
    if (p->server != NULL) server_release(p->server);
    links_turn_end(p->links);
    tls_turn_end(p->client_tls);
    tls_turn_end(p->peer_tls);
    log_notes(p->node);
    uint64_t deadline_ms = node_deadline_ms(p->node);
    if (deadline_ms != p->node_timer.deadline_ms) {
        reactor_set_timer(p->reactor, &p->node_timer, deadline_ms);
    }
    if (p->server == NULL && links_all_sent(p->links)) reactor_stop(p->reactor);
}

static void on_node_timer(struct timer *t) {
    (void)t; /* waking up was all: the turn around it does the rest */
}

static void on_goodbye_timer(struct timer *t) {
    reactor_stop(CONTAINER_OF(t, struct process, goodbye_timer)->reactor);
}

/* ---- Life ---- */

static bool create_server(struct process *p) {
    const struct config *c = p->config;
    struct server_config config = {
        .bind_ipv4 = c->bind_ipv4,
        .port = c->self.port,
        .fd_end = p->client_fd_end,
        .request_ms = c->request_ms,
        .stall_ms = c->stall_ms,
        .idle_ms = c->idle_ms,
        .connections_max = c->connections_max,
        .per_client_max = c->connections_per_client_max,
        .buffered_bytes_max = c->buffered_bytes_max,
        .seed = {random64(), random64()},
        .greed = &p->greed,
        .tls = &p->client_tls,
        .auth_token = slice_of(c->auth_token),
        .gate = p->journal == NULL ? NULL : journal_gate(p->journal),
        .log = p->journal == NULL ? NULL : journal_stats(p->journal),
    };
    p->server = server_create(p->reactor, p->node, &config);
    if (p->server != NULL) return true;
    log_line(LOG_ERROR, "start: cannot listen on port %u: %s", config.port, strerror(errno));
    return false;
}

static bool create_links(struct process *p) {
    const struct config *c = p->config;
    struct links_config config = {
        .bind_ipv4 = c->bind_ipv4,
        .port = (uint16_t)(c->self.port + c->peer_port_offset), /* config_read() has checked it */
        .peer_port_offset = c->peer_port_offset,
        .greed = &p->greed,
        .tls = &p->peer_tls,
        .gate = p->journal == NULL ? NULL : journal_gate(p->journal),
    };
    p->links = links_create(p->reactor, p->node, &config);
    if (p->links != NULL) return true;
    log_line(LOG_ERROR, "start: cannot listen for peers on port %u: %s", config.port,
             strerror(errno));
    return false;
}

/* Gives the node what it knew. */
static bool open_journal(struct process *p) {
    const struct config *c = p->config;
    if (c->data_dir == NULL) return true;
    struct journal_config config = {
        .restart = {.path = c->data_dir,
                    .cluster = slice_of(c->cluster),
                    .node = c->self,
                    .disk = disk_of_machine(),
                    .random64 = random64},
        .fsync = c->fsync,
    };
    char error[DATADIR_ERROR_BYTES];
    p->journal = journal_open(p->reactor, p->node, &config, error);
    if (p->journal == NULL) log_line(LOG_ERROR, "start: %s", error);
    return p->journal != NULL;
}

struct process *process_create(const struct config *config) {
    struct process *p = bytes_alloc_zeroed(sizeof *p);
    p->config = config;
    p->turn = (struct turn){on_turn_start, on_turn_end};
    p->signals.fd = -1;
    p->node_timer = (struct timer)TIMER_INIT(on_node_timer);
    p->goodbye_timer = (struct timer)TIMER_INIT(on_goodbye_timer);
    p->client_fd_end = raise_descriptor_limit(config);
    warn_about_settings(config);
    p->reactor = reactor_create();
    if (p->reactor == NULL || !watch_signals(p)) {
        log_line(LOG_ERROR, "start: no event loop: %s", strerror(errno));
        process_free(p);
        return NULL;
    }
    greed_init(&p->greed, p->reactor);
    p->node = create_node(config, p->reactor);
    bool ready = read_certificates(p) && open_journal(p) && create_server(p) && create_links(p);
    if (!ready) {
        process_free(p);
        return NULL;
    }
    return p;
}

struct node *process_node(struct process *p) {
    return p->node;
}

static void say_goodbye(struct process *p) {
    node_stop(p->node);
    reactor_set_timer(p->reactor, &p->goodbye_timer, reactor_now_ms(p->reactor) + GOODBYE_MS);
    reactor_set_timer(p->reactor, &p->node_timer, 0); /* the first turn ends at once */
    reactor_run(p->reactor, &p->turn);
}

void process_run(struct process *p) {
    log_line(LOG_INFO, "start: kvs " KVS_VERSION " is node %s", p->config->self.text);
    reactor_set_timer(p->reactor, &p->node_timer, 0); /* the node has work before anybody asks */
    reactor_run(p->reactor, &p->turn);                /* until the server has stopped */
    server_free(p->server);
    p->server = NULL;
    say_goodbye(p);
    log_line(LOG_INFO, "stop: done");
}

void process_free(struct process *p) {
    if (p->server != NULL) server_free(p->server);
    if (p->links != NULL) links_free(p->links);
    if (p->journal != NULL) journal_close(p->journal);
    if (p->node != NULL) node_free(p->node);
    if (p->signals.fd >= 0) close(p->signals.fd);
    if (p->greed.reactor != NULL) greed_free(&p->greed);
    if (p->reactor != NULL) reactor_free(p->reactor);
    tls_release(p->peer_tls);
    tls_release(p->client_tls);
    free(p);
}
