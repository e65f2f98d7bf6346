/* epoll and a heap of timers. See reactor.h. */
#include "reactor.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "bytes.h"

#define EVENTS_MAX        256 /* fetched at once */
#define EXTRA_FETCHES_MAX 64  /* rounds of events that may go before late timers */
#define WAIT_MS_MAX       60000

struct reactor {
    int epoll_fd;
    bool running;
    uint64_t turn;   /* counts them, from 1 on */
    bool gone_round; /* in this turn a watch has had events twice: all have had theirs */
    uint64_t now_ms, wall_ms;
    struct epoll_event events[EVENTS_MAX]; /* the batch in hand */
    int event_at, event_count;             /* those from event_at on are still to come */
    struct timer **heap;                   /* owned; the earliest first */
    uint32_t timer_count, timer_cap;
};

/* ---- Clocks ---- */

static uint64_t read_clock_ms(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void read_clocks(struct reactor *r) {
    r->now_ms = read_clock_ms(CLOCK_MONOTONIC);
    r->wall_ms = read_clock_ms(CLOCK_REALTIME);
}

uint64_t reactor_now_ms(const struct reactor *r) {
    return r->now_ms;
}

uint64_t reactor_wall_ms(const struct reactor *r) {
    return r->wall_ms;
}

uint64_t reactor_clock_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- Life ---- */

struct reactor *reactor_create(void) {
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0) return NULL;
    struct reactor *r = bytes_alloc_zeroed(sizeof *r);
    r->epoll_fd = fd;
    read_clocks(r);
    return r;
}

void reactor_free(struct reactor *r) {
    close(r->epoll_fd);
    free(r->heap);
    free(r);
}

/* ---- Watches ---- */

static struct epoll_event to_epoll(struct watch *w) {
    struct epoll_event e = {.data.ptr = w};
    if (w->events & REACTOR_READ) e.events |= EPOLLIN;
    if (w->events & REACTOR_WRITE) e.events |= EPOLLOUT;
    return e;
}

static unsigned from_epoll(uint32_t events) {
    unsigned ours = 0;
    if (events & EPOLLIN) ours |= REACTOR_READ;
    if (events & EPOLLOUT) ours |= REACTOR_WRITE;
    if (events & (EPOLLHUP | EPOLLERR)) ours |= REACTOR_HANGUP;
    return ours;
}

bool reactor_watch(struct reactor *r, struct watch *w, unsigned events) {
    w->events = events;
    struct epoll_event e = to_epoll(w);
    return epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, w->fd, &e) == 0;
}

void reactor_change(struct reactor *r, struct watch *w, unsigned events) {
    if (w->events == events) return;
    w->events = events;
    struct epoll_event e = to_epoll(w);
    int result = epoll_ctl(r->epoll_fd, EPOLL_CTL_MOD, w->fd, &e);
    assert(result == 0); /* fails for descriptors that are not watched, and for nothing else */
    (void)result;
}

void reactor_unwatch(struct reactor *r, struct watch *w) {
    epoll_ctl(r->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
    for (int i = r->event_at; i < r->event_count; i++) {
        if (r->events[i].data.ptr == w) r->events[i].data.ptr = NULL;
    }
}

/* ---- Timers: a binary heap, each timer knowing its place ---- */

static void heap_place(struct reactor *r, uint32_t at, struct timer *t) {
    r->heap[at] = t;
    t->heap_at = at;
}

static void heap_up(struct reactor *r, uint32_t at, struct timer *t) {
    while (at > 0 && r->heap[(at - 1) / 2]->deadline_ms > t->deadline_ms) {
        heap_place(r, at, r->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_place(r, at, t);
}

static void heap_down(struct reactor *r, uint32_t at, struct timer *t) {
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= r->timer_count) break;
        if (child + 1 < r->timer_count &&
            r->heap[child + 1]->deadline_ms < r->heap[child]->deadline_ms) {
            child++;
        }
        if (r->heap[child]->deadline_ms >= t->deadline_ms) break;
        heap_place(r, at, r->heap[child]);
        at = child;
    }
    heap_place(r, at, t);
}

/* Puts t where it belongs, starting from a place that is free. */
static void heap_settle(struct reactor *r, uint32_t at, struct timer *t) {
    if (at > 0 && r->heap[(at - 1) / 2]->deadline_ms > t->deadline_ms) {
        heap_up(r, at, t);
    } else {
        heap_down(r, at, t);
    }
}

void reactor_cancel_timer(struct reactor *r, struct timer *t) {
    if (t->deadline_ms == UINT64_MAX) return;
    t->deadline_ms = UINT64_MAX;
    struct timer *last = r->heap[--r->timer_count];
    if (last != t) heap_settle(r, t->heap_at, last);
}

void reactor_set_timer(struct reactor *r, struct timer *t, uint64_t deadline_ms) {
    reactor_cancel_timer(r, t);
    if (deadline_ms == UINT64_MAX) return;
    if (r->timer_count == r->timer_cap) {
        r->timer_cap = r->timer_cap == 0 ? 16 : r->timer_cap * 2;
        r->heap = bytes_realloc(r->heap, r->timer_cap * sizeof(struct timer *));
    }
    t->deadline_ms = deadline_ms;
    heap_up(r, r->timer_count++, t);
}

/* Fires what was due when it began: a timer that sets itself again waits for the next turn. */
static void fire_timers(struct reactor *r) {
    uint64_t due_ms = r->now_ms;
    uint32_t most = r->timer_count;
    while (most-- > 0 && r->timer_count > 0 && r->heap[0]->deadline_ms <= due_ms) {
        struct timer *t = r->heap[0];
        reactor_cancel_timer(r, t);
        t->on_timer(t);
    }
}

/* ---- Turns ---- */

static int wait_ms(const struct reactor *r) {
    if (r->timer_count == 0) return WAIT_MS_MAX;
    uint64_t deadline_ms = r->heap[0]->deadline_ms;
    if (deadline_ms <= r->now_ms) return 0;
    uint64_t left_ms = deadline_ms - r->now_ms;
    return left_ms < WAIT_MS_MAX ? (int)left_ms : WAIT_MS_MAX;
}

static void fetch_events(struct reactor *r, int timeout_ms) {
    int count = epoll_wait(r->epoll_fd, r->events, EVENTS_MAX, timeout_ms);
    assert(count >= 0 || errno == EINTR);
    r->event_at = 0;
    r->event_count = count < 0 ? 0 : count;
    read_clocks(r);
}

static void handle_events(struct reactor *r) {
    while (r->event_at < r->event_count) {
        struct epoll_event *e = &r->events[r->event_at++];
        struct watch *w = e->data.ptr;
        if (w == NULL) continue;
        r->gone_round = r->gone_round || w->last_turn == r->turn;
        w->last_turn = r->turn;
        w->on_event(w, from_epoll(e->events));
    }
}

static bool may_fetch_more(const struct reactor *r) {
    return r->event_count == EVENTS_MAX && !r->gone_round;
}

void reactor_run(struct reactor *r, struct turn *turn) {
    r->running = true;
    while (r->running) {
        r->turn++;
        r->gone_round = false;
        fetch_events(r, wait_ms(r));
        turn->on_start(turn);
        handle_events(r);
        for (int extra = 0; may_fetch_more(r) && extra < EXTRA_FETCHES_MAX; extra++) {
            fetch_events(r, 0);
            turn->on_start(turn);
            handle_events(r);
        }
        fire_timers(r);
        turn->on_end(turn);
    }
}

void reactor_stop(struct reactor *r) {
    r->running = false;
}
