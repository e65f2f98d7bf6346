/* One run from seed to verdict, and many of them on all cores.
 *
 * The phases of a run:
 *
 *   FAULTS   clients ask, things break
 *   HEALED   everything is mended and started; clients go on
 *   CALM     7 s and READMIT_MS later: no answer may be 503 any more
 *   QUIET    the clients stop
 *   REST     all nodes must be level; each session reads each key at each node
 *   OVER     the checker judges the whole history
 *
 * Usage: sim SEED | sim --seeds FIRST-LAST [--jobs N] [--keep-going] | sim --soak SECONDS
 *
 * The size of a seed says what world it is (enum world).
 */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REPLAY_EVERY 50 /* I17: such seeds run twice */
#define SEED_SECONDS 60 /* a run that takes longer is stuck */
#define JOBS_MAX     256

/* ---- One run ---- */

/* The second row is spread over the shards of two and of three; two of its keys share a slot. */
static const char *const KEY_NAMES[2][KEYS_MAX] = {{"k0", "k1", "k2", "k3", "k4"},
                                                   {"a", "d", "g", "a1295", "i"}};

static void make_world(struct sim *s) {
    plan_make(s);
    for (uint32_t h = 0; h < s->plan.hosts; h++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.0.%u:8090", h + 1);
        s->view[h] = kit_address(text);
    }
    for (uint32_t k = 0; k < KEYS_MAX; k++) {
        s->key_names[k] = slice_of(KEY_NAMES[s->plan.world != WORLD_GROUP][k]);
        s->slots[k] = shard_slot(s->key_names[k]);
    }
    check_init(s);
    for (uint32_t h = 0; h < s->plan.hosts; h++) {
        host_init(s, h);
        bool newcomer = (s->plan.newcomers >> h & 1) != 0;
        uint64_t spread_us = newcomer ? s->plan.fault_us : s->plan.start_spread_us;
        uint64_t at = base_below(&s->base, spread_us + 1);
        base_at(&s->base, at, EVENT_EXPECT, h, 0);
    }
    clients_init(s);
    base_at(&s->base, base_below(&s->base, 2 * S), EVENT_FAULT, 0, 0);
    base_at(&s->base, s->plan.fault_us, EVENT_PHASE, PHASE_HEALED, 0);
    if (s->plan.requests != 0) {
        base_at(&s->base, base_below(&s->base, 5 * S), EVENT_REQUEST, 0, 0);
    }
}

static void free_world(struct sim *s) {
    for (uint32_t h = 0; h < s->plan.hosts; h++) {
        if (s->hosts[h].node != NULL) node_free(s->hosts[h].node);
        free(s->hosts[h].links);
    }
    clients_free(s);
    check_free(s);
    maps_free(s);
    requests_free(s);
    net_free(&s->net);
    truth_free(&s->truth);
    free(s->breakages);
    disks_free(s);
    base_free(&s->base);
}

static void begin_phase(struct sim *s, enum phase phase) {
    static const char *const names[] = {"faults", "healed", "calm", "quiet", "rest", "over"};
    s->phase = phase;
    base_trace(&s->base, phase, "---- %s ----", names[phase]);
    uint64_t now = s->base.now_us;
    switch (phase) {
    case PHASE_FAULTS: break;
    case PHASE_HEALED:
        fault_heal_all(s);
        base_at(&s->base, now + HEAL_US + s->plan.readmit_ms * MS, EVENT_PHASE, PHASE_CALM, 0);
        break;
    case PHASE_CALM:
        s->healed_us = now;
        base_at(&s->base, now + 2 * S, EVENT_PHASE, PHASE_QUIET, 0);
        break;
    case PHASE_QUIET: base_at(&s->base, now + 3 * S, EVENT_PHASE, PHASE_REST, 0); break;
    case PHASE_REST:
        check_rest(s);
        s->plan.think_us = 0;
        base_at(&s->base, now, EVENT_SESSION, 0, 0);
        break;
    case PHASE_OVER: check_history(s); break;
    }
}

/* A first start. One fault at a time: a newcomer waits until the last one is over. */
static void on_first_start(struct sim *s, uint32_t h) {
    bool newcomer = (s->plan.newcomers >> h & 1) != 0;
    if (s->hosts[h].node != NULL || s->hosts[h].changes > 0) return;
    if (newcomer && s->plan.one_at_a_time && s->phase == PHASE_FAULTS && !fault_is_over(s)) {
        base_at(&s->base, s->base.now_us + 200 * MS, EVENT_EXPECT, h, 0);
        return;
    }
    if (newcomer) s->requests.last_us = s->base.now_us;
    host_start(s, h);
}

static void on_expect(struct sim *s, uint32_t h, uint32_t changes) {
    if (changes > 0) {
        check_expected(s, h, changes);
    } else {
        on_first_start(s, h);
    }
}

static void on_request(struct sim *s, uint32_t at, uint32_t about) {
    if (about == 0) {
        request_step(s, at == 0 ? s->plan.hosts : at - 1);
    } else if (at == 0) {
        requests_settle(s, about - 1);
    } else {
        request_list(s, at - 1, about - 1);
    }
}

static void on_event(struct sim *s, const struct sim_event *e) {
    switch (e->kind) {
    case EVENT_WAKE: host_wake(s, e->a); break;
    case EVENT_SYN: net_on_syn(&s->base, &s->net, e->a); break;
    case EVENT_SYN_ACK: net_on_syn_ack(&s->base, &s->net, e->a, e->b != 0); break;
    case EVENT_BYTES: net_on_bytes(&s->base, &s->net, e->a, e->b); break;
    case EVENT_SESSION:
        if (e->b == 0) client_step(s, e->a);
        if (e->b != 0) client_hang_up(s, e->a, e->b - 1);
        break;
    case EVENT_FAULT:
        if (e->a == 0 && e->b == 0) fault_step(s);
        if (e->a != 0) fault_aimed(s, e->a - 1);
        if (e->b != 0) fault_at_request(s, e->b - 1);
        break;
    case EVENT_REQUEST: on_request(s, e->a, e->b); break;
    case EVENT_REPAIR: fault_repair(s, e->a); break;
    case EVENT_EXPECT: on_expect(s, e->a, e->b); break;
    case EVENT_PHASE: begin_phase(s, (enum phase)e->a); break;
    }
}

struct figures {
    uint64_t trace_hash, events, turns, answered, refused, writes, lost;
};

static struct figures run_seed(uint64_t seed, bool loud) {
    struct sim *s = bytes_alloc_zeroed(sizeof *s);
    struct sim_event event;
    base_init(&s->base, seed, loud);
    make_world(s);
    uint64_t pending_ms = 0;
    while (s->phase != PHASE_OVER) {
        if (!base_next(&s->base, &event)) base_violation(&s->base, "END", "nothing happens");
        on_event(s, &event);
        if (s->base.now_us / MS / 100 == pending_ms) continue;
        pending_ms = s->base.now_us / MS / 100;
        check_pending(s);
    }
    struct figures f = {s->base.trace_hash, s->base.events, s->check.turns,     s->clients.answered,
                        s->clients.refused, s->truth.count, s->truth.lost_count};
    free_world(s);
    free(s);
    return f;
}

static void run_loud(uint64_t seed) {
    struct figures f = run_seed(seed, true);
    printf("SEED=%llu: clean; %llu events, %llu turns, %llu answers, %llu 503s, %llu writes, %llu "
           "lost; trace %016llx\n",
           (unsigned long long)seed, (unsigned long long)f.events, (unsigned long long)f.turns,
           (unsigned long long)f.answered, (unsigned long long)f.refused,
           (unsigned long long)f.writes, (unsigned long long)f.lost,
           (unsigned long long)f.trace_hash);
}

static void run_quiet(uint64_t seed) {
    alarm(SEED_SECONDS);
    struct figures f = run_seed(seed, false);
    bool again = seed % REPLAY_EVERY == 0;
    if (again && run_seed(seed, false).trace_hash != f.trace_hash) {
        printf("VIOLATION of I17: two runs of one seed differ\nSEED=%llu\n",
               (unsigned long long)seed);
        exit(1);
    }
}

/* ---- Many runs ---- */

/* Shared by all processes. */
struct board {
    uint64_t next;   /* seed to be run; when soaking, the number of the run */
    uint64_t last;   /* inclusive */
    int64_t until_s; /* 0: no limit in time */
    uint64_t passed;
    uint64_t running[JOBS_MAX]; /* by each job */
};

static int64_t now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* A soak takes the worlds in turn. */
static uint64_t seed_of(const struct board *board, uint64_t next) {
    if (board->until_s == 0) return next;
    uint64_t worlds = WORLD_OF_DISKS + 1;
    return next / worlds % WORLD_SEEDS + next % worlds * WORLD_SEEDS;
}

static void work(struct board *board, uint32_t job) {
    for (;;) {
        uint64_t next = __atomic_fetch_add(&board->next, 1, __ATOMIC_SEQ_CST);
        uint64_t seed = seed_of(board, next);
        if (next > board->last || (board->until_s != 0 && now_s() >= board->until_s)) exit(0);
        board->running[job] = seed;
        run_quiet(seed);
        __atomic_fetch_add(&board->passed, 1, __ATOMIC_SEQ_CST);
    }
}

static pid_t start_job(struct board *board, uint32_t job) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) work(board, job);
    if (pid < 0) {
        perror("fork");
        exit(2);
    }
    return pid;
}

/* A job that died says which seed it was at, unless the violation has said so already. */
static void report(const struct board *board, uint32_t job, int status) {
    if (WIFSIGNALED(status)) {
        printf("DIED by signal %d\n", WTERMSIG(status));
    }
    printf("FAILED: make sim SEED=%llu\n", (unsigned long long)board->running[job]);
}

static uint32_t run_jobs(struct board *board, uint32_t jobs, bool keep_going) {
    pid_t pids[JOBS_MAX];
    uint32_t failed = 0, alive = jobs;
    for (uint32_t i = 0; i < jobs; i++)
        pids[i] = start_job(board, i);
    while (alive > 0) {
        int status;
        pid_t pid = wait(&status);
        uint32_t job = 0;
        while (job < jobs && pids[job] != pid)
            job++;
        if (job == jobs) continue;
        alive--;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
        failed++;
        report(board, job, status);
        if (keep_going) {
            pids[job] = start_job(board, job);
            alive++;
        } else {
            board->last = 0; /* the others finish what they are at */
        }
    }
    return failed;
}

static int run_many(uint64_t first, uint64_t last, uint64_t seconds, uint32_t jobs,
                    bool keep_going) {
    struct board *board =
        mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED) {
        perror("mmap");
        return 2;
    }
    board->next = first;
    board->last = last;
    board->until_s = seconds == 0 ? 0 : now_s() + (int64_t)seconds;
    uint32_t failed = run_jobs(board, jobs, keep_going);
    printf("%llu passed, %u failed\n", (unsigned long long)board->passed, failed);
    munmap(board, sizeof *board);
    return failed > 0;
}

/* ---- The command line ---- */

static int usage(void) {
    fputs("usage: sim SEED | sim --seeds FIRST-LAST | sim --soak SECONDS\n"
          "       with --jobs N (all cores), --keep-going (beyond the first failure)\n",
          stderr);
    return 2;
}

static bool number(const char *text, uint64_t *out) {
    return text != NULL && slice_to_u64(slice_of(text), out);
}

int main(int argc, char **argv) {
    uint64_t first = 1, last = 0, seconds = 0, jobs = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
    bool keep_going = false;
    if (argc == 2 && number(argv[1], &first)) {
        printf("SEED=%llu\n", (unsigned long long)first);
        run_loud(first);
        return 0;
    }
    for (int i = 1; i < argc; i++) {
        struct slice rest = i + 1 < argc ? slice_of(argv[i + 1]) : SLICE("");
        if (strcmp(argv[i], "--keep-going") == 0) {
            keep_going = true;
            continue;
        }
        bool good = false;
        if (strcmp(argv[i], "--jobs") == 0) {
            good = slice_to_u64(rest, &jobs) && jobs >= 1 && jobs <= JOBS_MAX;
        } else if (strcmp(argv[i], "--soak") == 0) {
            good = slice_to_u64(rest, &seconds) && seconds > 0;
        } else if (strcmp(argv[i], "--seeds") == 0) {
            struct slice from = slice_cut(&rest, '-');
            good = slice_to_u64(from, &first) && slice_to_u64(rest, &last);
        }
        if (!good) return usage();
        i++;
    }
    if (seconds > 0) {
        first = (uint64_t)time(NULL) * 1000000;
        last = UINT64_MAX;
    }
    if (last == 0) return usage();
    if (seconds > 0) printf("random seeds, %llu jobs\n", (unsigned long long)jobs);
    if (seconds == 0) {
        printf("seeds from %llu on, %llu jobs\n", (unsigned long long)first,
               (unsigned long long)jobs);
    }
    return run_many(first, last, seconds, (uint32_t)jobs, keep_going);
}
