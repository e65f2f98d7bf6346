/* The outermost layer: signals, limits and random numbers of the machine. See startup.h.
 *
 * SIGTERM and SIGINT arrive on a descriptor like everything else, so they interrupt nothing.
 */
#include "startup.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "log.h"
#include "reactor.h"
#include "server.h"
#include "version.h"

struct process {
    const struct config *config; /* borrowed */
    struct reactor *reactor;
    struct node *node;
    struct server *server;
    struct watch signals;
};

static uint64_t random64(void) {
    uint64_t n;
    if (getrandom(&n, sizeof n, 0) != (ssize_t)sizeof n) {
        log_line(LOG_ERROR, "start: the machine gives no random numbers: %s", strerror(errno));
        abort();
    }
    return n;
}

/* Each connection takes a descriptor; the default limit of 1,024 is a leftover of select(). */
static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void on_signal(struct watch *w, unsigned events) {
    struct process *p = CONTAINER_OF(w, struct process, signals);
    struct signalfd_siginfo info;
    (void)events;
    if (read(w->fd, &info, sizeof info) != (ssize_t)sizeof info) return;
    log_line(LOG_INFO, "stop: signal %u, answering what runs", info.ssi_signo);
    server_stop(p->server);
}

static bool watch_signals(struct process *p) {
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    sigprocmask(SIG_BLOCK, &stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    p->signals = (struct watch){
        .fd = signalfd(-1, &stop, SFD_NONBLOCK | SFD_CLOEXEC),
        .on_event = on_signal,
    };
    return p->signals.fd >= 0 && reactor_watch(p->reactor, &p->signals, REACTOR_READ);
}

static struct node *create_node(const struct config *c, const struct reactor *r) {
    struct node_config config = {
        .self = c->self,
        .view = c->view,
        .view_count = c->view_count,
        .shard_count = c->shard_count,
        .memory_bytes_max = c->memory_bytes_max,
        .park_ms = c->park_ms,
        .boot = random64(),
        .seed = {random64(), random64()},
        .random64 = random64,
    };
    return node_create(&config, reactor_now_ms(r), reactor_wall_ms(r));
}

static void warn_about_settings(const struct config *c) {
    if (c->self_was_missing) {
        log_line(LOG_WARN, "start: VIEW does not name this node, %s; added", c->self.text);
    }
    if (c->shard_count > 0 && c->view_count < NODE_SHARD_NODES_MIN * c->shard_count) {
        log_line(LOG_WARN, "start: fewer than two nodes a shard: no fault tolerance");
    }
}

struct process *process_create(const struct config *config) {
    struct process *p = bytes_alloc_zeroed(sizeof *p);
    p->config = config;
    p->signals.fd = -1;
    raise_descriptor_limit();
    warn_about_settings(config);
    p->reactor = reactor_create();
    if (p->reactor == NULL || !watch_signals(p)) {
        log_line(LOG_ERROR, "start: no event loop: %s", strerror(errno));
        process_free(p);
        return NULL;
    }
    p->node = create_node(config, p->reactor);
    struct server_config server = {
        .bind_ipv4 = config->bind_ipv4,
        .port = config->self.port,
        .request_ms = config->request_ms,
        .stall_ms = config->stall_ms,
        .idle_ms = config->idle_ms,
    };
    p->server = server_create(p->reactor, p->node, &server);
    if (p->server == NULL) {
        log_line(LOG_ERROR, "start: cannot listen on port %u: %s", config->self.port,
                 strerror(errno));
        process_free(p);
        return NULL;
    }
    return p;
}

struct node *process_node(struct process *p) {
    return p->node;
}

void process_run(struct process *p) {
    log_line(LOG_INFO, "start: kvs " KVS_VERSION " is node %s", p->config->self.text);
    reactor_run(p->reactor, server_turn(p->server));
    log_line(LOG_INFO, "stop: done");
}

void process_free(struct process *p) {
    if (p->server != NULL) server_free(p->server);
    if (p->node != NULL) node_free(p->node);
    if (p->signals.fd >= 0) close(p->signals.fd);
    if (p->reactor != NULL) reactor_free(p->reactor);
    free(p);
}
