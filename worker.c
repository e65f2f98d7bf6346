/* One thread and two rows of jobs. See worker.h.
 *
 *   worker_start          run_thread           on_finished, worker_finish
 *   ------------> waiting ----------> (worked) ------------------------> finished --> on_done()
 *
 * The thread tells the loop through an eventfd. Both rows are behind one lock, which is held for a
 * few instructions only.
 */
#include "worker.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct row {
    struct job *first, **end;
};

struct worker {
    struct reactor *reactor;
    struct watch finished_watch; /* an eventfd */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake, idle;
    struct row waiting, finished; /* under the lock */
    bool working, closing;        /* under the lock */
};

static void row_init(struct row *r) {
    r->first = NULL;
    r->end = &r->first;
}

static void row_push(struct row *r, struct job *j) {
    j->next = NULL;
    *r->end = j;
    r->end = &j->next;
}

static struct job *row_pop(struct row *r) {
    struct job *j = r->first;
    if (j == NULL) return NULL;
    r->first = j->next;
    if (r->first == NULL) r->end = &r->first;
    return j;
}

/* ---- The thread ---- */

static void *run_thread(void *argument) {
    struct worker *w = argument;
    pthread_mutex_lock(&w->lock);
    while (!w->closing) {
        struct job *j = row_pop(&w->waiting);
        if (j == NULL) {
            pthread_cond_signal(&w->idle);
            pthread_cond_wait(&w->wake, &w->lock);
            continue;
        }
        w->working = true;
        pthread_mutex_unlock(&w->lock);
        j->work(j);
        pthread_mutex_lock(&w->lock);
        w->working = false;
        row_push(&w->finished, j);
        uint64_t one = 1;
        ssize_t n = write(w->finished_watch.fd, &one, sizeof one);
        (void)n; /* fails only when the loop was told 2^64 times and has not looked */
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* ---- In the loop ---- */

static struct job *take_finished(struct worker *w) {
    pthread_mutex_lock(&w->lock);
    struct job *j = row_pop(&w->finished);
    pthread_mutex_unlock(&w->lock);
    return j;
}

static void end_finished(struct worker *w) {
    struct job *j;
    while ((j = take_finished(w)) != NULL) {
        j->is_busy = false;
        j->on_done(j);
    }
}

static void on_finished(struct watch *watch, unsigned events) {
    struct worker *w = CONTAINER_OF(watch, struct worker, finished_watch);
    uint64_t times;
    (void)events;
    if (read(watch->fd, &times, sizeof times) == (ssize_t)sizeof times) end_finished(w);
}

/* Signals are the loop's. */
static int start_thread(struct worker *w) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&w->thread, NULL, run_thread, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static void free_parts(struct worker *w) {
    reactor_unwatch(w->reactor, &w->finished_watch);
    close(w->finished_watch.fd);
    pthread_cond_destroy(&w->wake);
    pthread_cond_destroy(&w->idle);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

struct worker *worker_create(struct reactor *r) {
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) return NULL;
    struct worker *w = bytes_alloc_zeroed(sizeof *w);
    w->reactor = r;
    w->finished_watch = (struct watch){.fd = fd, .on_event = on_finished};
    row_init(&w->waiting);
    row_init(&w->finished);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    pthread_cond_init(&w->idle, NULL);
    int error = reactor_watch(r, &w->finished_watch, REACTOR_READ) ? start_thread(w) : errno;
    if (error == 0) return w;
    free_parts(w);
    errno = error;
    return NULL;
}

void worker_start(struct worker *w, struct job *j) {
    assert(!j->is_busy);
    j->is_busy = true;
    pthread_mutex_lock(&w->lock);
    row_push(&w->waiting, j);
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

void worker_finish(struct worker *w) {
    pthread_mutex_lock(&w->lock);
    while (w->working || w->waiting.first != NULL)
        pthread_cond_wait(&w->idle, &w->lock);
    pthread_mutex_unlock(&w->lock);
    end_finished(w);
}

void worker_free(struct worker *w) {
    pthread_mutex_lock(&w->lock);
    w->closing = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    free_parts(w);
}
