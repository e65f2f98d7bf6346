/* The test kit. See kit.h. */
#include "kit.h"

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* ---- Checks ---- */

#define REPORTS_PER_TEST_MAX 4 /* one mistake in a loop must not bury all others */
#define SHOWN_BYTES_MAX      400

static struct {
    const char *test;
    char note[256];
    unsigned failures; /* of the running test */
    unsigned passed, failed;
} state;

static bool report(const char *file, int line) {
    if (++state.failures > REPORTS_PER_TEST_MAX) return false;
    printf("%s:%d: %s", file, line, state.test == NULL ? "outside a test" : state.test);
    if (state.note[0] != '\0') printf(" [%s]", state.note);
    printf(": ");
    return true;
}

static void show(const char *label, struct slice s) {
    printf("    %s \"", label);
    for (size_t i = 0; i < s.len && i < SHOWN_BYTES_MAX; i++) {
        unsigned char c = (unsigned char)s.at[i];
        if (isprint(c)) {
            putchar(c);
        } else {
            printf("\\x%02x", c);
        }
    }
    printf("\"%s (%zu bytes)\n", s.len > SHOWN_BYTES_MAX ? "..." : "", s.len);
}

bool kit_check(bool holds, const char *file, int line, const char *what) {
    if (!holds && report(file, line)) printf("%s does not hold\n", what);
    return holds;
}

bool kit_check_u64(uint64_t got, uint64_t want, const char *file, int line, const char *what) {
    if (got != want && report(file, line)) {
        printf("%s is %llu (0x%llx), expected %llu (0x%llx)\n", what, (unsigned long long)got,
               (unsigned long long)got, (unsigned long long)want, (unsigned long long)want);
    }
    return got == want;
}

bool kit_check_slice(struct slice got, struct slice want, const char *file, int line,
                     const char *what) {
    bool equal = slice_equal(got, want);
    if (!equal && report(file, line)) {
        printf("%s differs\n", what);
        show("got     ", got);
        show("expected", want);
    }
    return equal;
}

void kit_note(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(state.note, sizeof state.note, format, args);
    va_end(args);
    for (char *c = state.note; *c != '\0'; c++) {
        if (!isprint((unsigned char)*c)) *c = '.';
    }
}

/* ---- Running ---- */

void kit_run(void (*test)(void), const char *name) {
    state.test = name;
    state.note[0] = '\0';
    state.failures = 0;
    test();
    if (state.failures > REPORTS_PER_TEST_MAX) {
        printf("    and %u more\n", state.failures - REPORTS_PER_TEST_MAX);
    }
    if (state.failures > 0) {
        printf("FAILED %s\n", name);
        state.failed++;
    } else {
        state.passed++;
    }
    fflush(stdout);
    state.test = NULL;
}

int kit_finish(void) {
    printf("%u passed, %u failed\n", state.passed, state.failed);
    return state.failed > 0;
}

/* ---- Random numbers ---- */

uint64_t kit_seed(void) {
    static uint64_t seed;
    static bool known;
    if (!known) {
        const char *text = getenv("SEED");
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        seed = text != NULL ? strtoull(text, NULL, 10)
                            : ((uint64_t)now.tv_sec * 1000003 + (uint64_t)now.tv_nsec) % 1000000000;
        known = true;
        printf("SEED=%llu\n", (unsigned long long)seed);
        fflush(stdout);
    }
    return seed;
}

uint64_t kit_next(struct kit_random *random) { /* splitmix64 */
    uint64_t z = random->state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

uint64_t kit_below(struct kit_random *random, uint64_t bound) {
    return kit_next(random) % bound;
}

/* ---- Guard pages ---- */

struct guard guard_create(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t bytes = GUARD_BYTES_MAX + 2 * page;
    char *map = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(map + page, GUARD_BYTES_MAX, PROT_READ | PROT_WRITE) != 0) {
        perror("guard pages");
        abort();
    }
    return (struct guard){map + page, bytes};
}

void guard_free(struct guard *g) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    munmap(g->map - page, g->map_bytes);
    *g = (struct guard){0};
}

char *guard_end(const struct guard *g, struct slice s) {
    assert(s.len <= GUARD_BYTES_MAX);
    char *to = g->map + GUARD_BYTES_MAX - s.len;
    if (s.len > 0) memmove(to, s.at, s.len);
    return to;
}

char *guard_start(const struct guard *g, struct slice s) {
    assert(s.len <= GUARD_BYTES_MAX);
    if (s.len > 0) memmove(g->map, s.at, s.len);
    return g->map;
}

/* ---- Nodes ---- */

struct address kit_address(const char *text) {
    struct address address;
    const char *error = address_parse(slice_of(text), &address);
    assert(error == NULL);
    (void)error;
    return address;
}

static uint64_t counted_random(void) {
    static struct kit_random random = {1};
    return kit_next(&random);
}

struct node_config kit_cluster_config(uint32_t count, uint32_t shard_count) {
    static struct address view[16];
    assert(count >= 1 && count <= sizeof view / sizeof *view);
    for (uint32_t i = 0; i < count; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.0.%u:8090", i + 1);
        view[i] = kit_address(text);
    }
    return (struct node_config){
        .self = view[0],
        .view = view,
        .view_count = count,
        .shard_count = shard_count,
        .park_ms = 300,
        .forward_ms = 2500,
        .boot = 77,
        .seed = {0x0706050403020100, 0x0f0e0d0c0b0a0908},
        .random64 = counted_random,
    };
}

struct node_config kit_node_config(void) {
    return kit_cluster_config(1, 0);
}
