/* Log lines: "2026-11-21T05:27:34.123Z warn text". See log.h. */
#include "log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const LEVEL_NAMES[] = {"error", "warn", "info", "debug"};

static struct {
    enum log_level level;
    time_t second;            /* that `lines` counts */
    unsigned lines;           /* let through in it */
    unsigned long suppressed; /* since the last line that was let through */
} state = {.level = LOG_INFO};

bool log_level_parse(const char *name, enum log_level *level) {
    for (int i = LOG_ERROR; i <= LOG_DEBUG; i++) {
        if (strcmp(name, LEVEL_NAMES[i]) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_set_level(enum log_level level) {
    state.level = level;
}

/* A pipe that nobody reads must not stop the loop. Writable means room for PIPE_BUF bytes, which is
 * more than a line. */
static bool would_block(void) {
    struct pollfd stderr_poll = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&stderr_poll, 1, 0) == 0;
}

static bool within_rate(time_t second) {
    if (second != state.second) {
        state.second = second;
        state.lines = 0;
    }
    if (state.lines == LOG_LINES_PER_SECOND || would_block()) {
        state.suppressed++;
        return false;
    }
    state.lines++;
    return true;
}

/* Control characters would let a client forge lines. */
static void make_printable(char *text) {
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7F) *text = '?';
    }
}

static void write_line(const struct timespec *now, enum log_level level, const char *text) {
    char when[32], line[LOG_LINE_BYTES_MAX + 64];
    struct tm utc;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", gmtime_r(&now->tv_sec, &utc));
    int len = snprintf(line, sizeof line, "%s.%03ldZ %s %s\n", when, now->tv_nsec / 1000000,
                       LEVEL_NAMES[level], text);
    ssize_t ignored = write(STDERR_FILENO, line, (size_t)len);
    (void)ignored; /* there is nowhere to complain to */
}

void log_line(enum log_level level, const char *format, ...) {
    struct timespec now;
    char text[LOG_LINE_BYTES_MAX];
    clock_gettime(CLOCK_REALTIME, &now);
    if (level > state.level || !within_rate(now.tv_sec)) return;
    if (state.suppressed > 0) {
        snprintf(text, sizeof text, "log: %lu lines suppressed", state.suppressed);
        state.suppressed = 0;
        write_line(&now, LOG_WARN, text);
    }
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    make_printable(text);
    write_line(&now, level, text);
}
