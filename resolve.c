/* getaddrinfo() in threads. See resolve.h.
 *
 * The loop and the threads share a list of questions, under a lock:
 *
 *                 resolver_start        take_question         answer_question         on_answers
 *   (no question) --------------> ASKED --------------> TAKEN ----------------> ANSWERED -->
 * (freed) |                                              ^ |  resolver_cancel: nobody waits any
 * more      |
 *                                   +-----------------> (freed)                    |
 *                                                                                  |
 *   TAKEN and nobody waits any more: goes on, since getaddrinfo() cannot be stopped
 *
 * Whoever asks for a name that is TAKEN waits for the answer under way instead of asking again. So
 * a name that hangs occupies one thread, however often its link is dialled, and an answer that
 * takes longer than one attempt to connect serves the next attempt. It is fresh all the same: it
 * arrives after the question.
 *
 * The question is what may be late, too: it was asked while this machine was cut off, name server
 * and all, and getaddrinfo() asks again only after five seconds. So much later than its network
 * would a node be back. One second is long for a name server; whoever has a slower one sets
 * RES_OPTIONS.
 *
 * A thread that hangs outlives its resolver: what they share is freed by the last of them.
 */
#include "resolve.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum question_state { QUESTION_ASKED, QUESTION_TAKEN, QUESTION_ANSWERED };

struct question {
    struct question *next;     /* in the order they were asked; under the lock */
    enum question_state state; /* under the lock */
    bool found;                /* QUESTION_ANSWERED */
    uint32_t ipv4;
    struct lookup *lookups; /* that wait for it; the loop's alone */
    char name[RESOLVE_NAME_MAX + 1];
};

/* What the loop and the threads share; freed by the last user. */
struct desk {
    pthread_mutex_t lock;
    pthread_cond_t wake;         /* a question was asked, or the resolver closes */
    struct question *questions;  /* owned */
    uint32_t count, asked_count; /* of questions, and of those that no thread has taken */
    uint32_t threads, idle_threads;
    uint32_t users; /* threads, and the resolver */
    bool closing;
    int answered_fd; /* an eventfd: a question was answered */
};

struct resolver {
    struct desk *desk;
    struct reactor *reactor;
    struct watch answers;
};

/* ---- The desk ---- */

/* To be called with the lock held, which is gone afterwards. */
static void leave_desk(struct desk *d) {
    bool last = --d->users == 0;
    pthread_mutex_unlock(&d->lock);
    if (!last) return;
    while (d->questions != NULL) {
        struct question *q = d->questions;
        d->questions = q->next;
        free(q);
    }
    close(d->answered_fd);
    pthread_cond_destroy(&d->wake);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

static struct question *find_question(struct desk *d, enum question_state state) {
    struct question *q = d->questions;
    while (q != NULL && q->state != state)
        q = q->next;
    return q;
}

static void remove_question(struct desk *d, struct question *q) {
    struct question **at = &d->questions;
    while (*at != q)
        at = &(*at)->next;
    *at = q->next;
    d->count--;
}

/* ---- Threads ---- */

static bool look_up(const char *name, uint32_t *ipv4) {
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (getaddrinfo(name, NULL, &hints, &found) != 0) return false;
    struct sockaddr_in first;
    memcpy(&first, found->ai_addr, sizeof first);
    *ipv4 = ntohl(first.sin_addr.s_addr);
    freeaddrinfo(found);
    return true;
}

/* Waits for a question; NULL: the resolver closes. */
static struct question *take_question(struct desk *d) {
    struct question *q;
    d->idle_threads++;
    while ((q = find_question(d, QUESTION_ASKED)) == NULL && !d->closing)
        pthread_cond_wait(&d->wake, &d->lock);
    d->idle_threads--;
    if (d->closing) return NULL;
    q->state = QUESTION_TAKEN;
    d->asked_count--;
    return q;
}

static void answer_question(struct desk *d, struct question *q, bool found, uint32_t ipv4) {
    uint64_t one = 1;
    q->found = found;
    q->ipv4 = ipv4;
    q->state = QUESTION_ANSWERED;
    ssize_t n = write(d->answered_fd, &one, sizeof one);
    (void)n; /* fails only when the loop was told 2^64 times and has not looked */
}

static void *run_thread(void *argument) {
    struct desk *d = argument;
    struct question *q;
    pthread_mutex_lock(&d->lock);
    while ((q = take_question(d)) != NULL) {
        uint32_t ipv4 = 0;
        pthread_mutex_unlock(&d->lock);
        bool found = look_up(q->name, &ipv4);
        pthread_mutex_lock(&d->lock);
        answer_question(d, q, found, ipv4);
    }
    leave_desk(d);
    return NULL;
}

/* One thread more, unless one will be idle or there are enough. False: there is none at all. */
static bool have_thread(struct desk *d) {
    if (d->idle_threads > d->asked_count || d->threads == RESOLVE_THREADS_MAX) return true;
    pthread_t thread;
    if (pthread_create(&thread, NULL, run_thread, d) == 0) {
        pthread_detach(thread);
        d->threads++;
        d->users++;
    }
    return d->threads > 0;
}

/* ---- Answers ---- */

/* Takes one answered question off the desk, if there is any. */
static struct question *take_answer(struct desk *d) {
    pthread_mutex_lock(&d->lock);
    struct question *q = find_question(d, QUESTION_ANSWERED);
    if (q != NULL) remove_question(d, q);
    pthread_mutex_unlock(&d->lock);
    return q;
}

/* A callback may start and cancel lookups, its neighbours' included. */
static void on_answers(struct watch *w, unsigned events) {
    struct resolver *s = CONTAINER_OF(w, struct resolver, answers);
    struct question *q;
    uint64_t times;
    (void)events;
    if (read(w->fd, &times, sizeof times) != (ssize_t)sizeof times) return;
    while ((q = take_answer(s->desk)) != NULL) {
        while (q->lookups != NULL) {
            struct lookup *l = q->lookups;
            q->lookups = l->next;
            l->question = NULL;
            l->on_found(l, q->found, q->ipv4);
        }
        free(q);
    }
}

/* ---- The resolver ---- */

struct resolver *resolver_create(struct reactor *r) {
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) return NULL;
    setenv("RES_OPTIONS", "timeout:1", false); /* read when a thread looks up its first name */
    struct resolver *s = bytes_alloc_zeroed(sizeof *s);
    s->reactor = r;
    s->answers = (struct watch){.fd = fd, .on_event = on_answers};
    if (!reactor_watch(r, &s->answers, REACTOR_READ)) {
        int error = errno;
        close(fd);
        free(s);
        errno = error;
        return NULL;
    }
    s->desk = bytes_alloc_zeroed(sizeof *s->desk);
    s->desk->users = 1;
    s->desk->answered_fd = fd;
    pthread_mutex_init(&s->desk->lock, NULL);
    pthread_cond_init(&s->desk->wake, NULL);
    return s;
}

void resolver_free(struct resolver *s) {
    struct desk *d = s->desk;
    reactor_unwatch(s->reactor, &s->answers);
    pthread_mutex_lock(&d->lock);
    d->closing = true;
    pthread_cond_broadcast(&d->wake);
    leave_desk(d);
    free(s);
}

/* The question about that name that is asked or taken, or a new one; NULL: too many. */
static struct question *ask(struct desk *d, struct slice name) {
    struct question **end = &d->questions;
    for (; *end != NULL; end = &(*end)->next) {
        bool open = (*end)->state != QUESTION_ANSWERED;
        if (open && slice_equal(slice_of((*end)->name), name)) return *end;
    }
    if (d->count == RESOLVE_NAMES_MAX || !have_thread(d)) return NULL;
    struct question *q = bytes_alloc_zeroed(sizeof *q);
    memcpy(q->name, name.at, name.len);
    *end = q;
    d->count++;
    d->asked_count++;
    pthread_cond_signal(&d->wake);
    return q;
}

bool resolver_start(struct resolver *s, struct lookup *l, struct slice name) {
    assert(l->question == NULL);
    if (name.len > RESOLVE_NAME_MAX) return false;
    pthread_mutex_lock(&s->desk->lock);
    struct question *q = ask(s->desk, name);
    pthread_mutex_unlock(&s->desk->lock);
    if (q == NULL) return false;
    l->question = q;
    l->next = q->lookups;
    q->lookups = l;
    return true;
}

void resolver_cancel(struct resolver *s, struct lookup *l) {
    struct question *q = l->question;
    if (q == NULL) return;
    struct lookup **at = &q->lookups;
    while (*at != l)
        at = &(*at)->next;
    *at = l->next;
    l->question = NULL;
    if (q->lookups != NULL) return;
    pthread_mutex_lock(&s->desk->lock);
    bool drop = q->state == QUESTION_ASKED;
    if (drop) {
        remove_question(s->desk, q);
        s->desk->asked_count--;
    }
    pthread_mutex_unlock(&s->desk->lock);
    if (drop) free(q);
}
