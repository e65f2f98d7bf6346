/* The event log: its lines, its levels, and what those who provoke events cannot do to it. */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "../log.h"

/* ---- Reading what is logged ---- */

static FILE *captured;
static int real_stderr;

static void capture_begin(void) {
    captured = tmpfile();
    real_stderr = dup(STDERR_FILENO);
    if (captured == NULL || real_stderr < 0) abort();
    dup2(fileno(captured), STDERR_FILENO);
}

/* All that was logged since capture_begin(), ended by NUL. */
static struct buffer capture_end(void) {
    struct buffer text = {0};
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    rewind(captured);
    for (int c = getc(captured); c != EOF; c = getc(captured))
        buffer_put_char(&text, (char)c);
    fclose(captured);
    buffer_put_char(&text, '\0');
    return text;
}

#define WHEN_BYTES 24 /* "2026-11-21T05:27:34.123Z" */

static bool has_form_of_time(const char *at) {
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ ";
    for (size_t i = 0; form[i] != '\0'; i++) {
        bool digit = at[i] >= '0' && at[i] <= '9';
        if (form[i] == 'd' ? !digit : at[i] != form[i]) return false;
    }
    return true;
}

/* Waits for a second of the wall clock to begin, so that no test straddles two. */
static void await_next_second(void) {
    time_t second = time(NULL);
    while (time(NULL) == second) {
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
}

/* ---- Lines ---- */

static void a_line_has_a_time_a_level_and_the_text(void) {
    static const struct {
        enum log_level level;
        const char *name;
    } levels[] = {
        {LOG_ERROR, "error"}, {LOG_WARN, "warn"}, {LOG_INFO, "info"}, {LOG_DEBUG, "debug"}};
    log_set_level(LOG_DEBUG);
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        char want[64];
        capture_begin();
        log_line(levels[i].level, "peer %s is %d", "alice", 42);
        struct buffer text = capture_end();
        snprintf(want, sizeof want, " %s peer alice is 42\n", levels[i].name);
        CHECK(text.len > WHEN_BYTES && has_form_of_time(text.at));
        CHECK_TEXT(slice_of(text.at + WHEN_BYTES), want);
        buffer_free(&text);
    }
    log_set_level(LOG_INFO);
}

static void lines_below_the_level_are_left_out(void) {
    for (int level = LOG_ERROR; level <= LOG_DEBUG; level++) {
        unsigned lines = 0;
        log_set_level((enum log_level)level);
        capture_begin();
        for (int line = LOG_ERROR; line <= LOG_DEBUG; line++) {
            log_line((enum log_level)line, "level %d", line);
        }
        struct buffer text = capture_end();
        for (size_t i = 0; i < text.len; i++)
            lines += text.at[i] == '\n';
        CHECK_U64(lines, (uint64_t)level + 1);
        buffer_free(&text);
    }
    log_set_level(LOG_INFO);
}

static void levels_have_names(void) {
    enum log_level level = LOG_ERROR;
    CHECK(log_level_parse("error", &level) && level == LOG_ERROR);
    CHECK(log_level_parse("warn", &level) && level == LOG_WARN);
    CHECK(log_level_parse("info", &level) && level == LOG_INFO);
    CHECK(log_level_parse("debug", &level) && level == LOG_DEBUG);
    CHECK(!log_level_parse("", &level) && !log_level_parse("Info", &level));
    CHECK(!log_level_parse("information", &level) && level == LOG_DEBUG);
}

static void control_characters_cannot_forge_lines(void) {
    capture_begin();
    log_line(LOG_WARN, "key %s",
             "a\nb\r\n2026-01-01T00:00:00.000Z error \x1b[2J\x01\x7f\t\xc3\xa4");
    struct buffer text = capture_end();
    CHECK_TEXT(slice_of(text.at + WHEN_BYTES),
               " warn key a?b??2026-01-01T00:00:00.000Z error ?[2J???\xc3\xa4\n");
    buffer_free(&text);
}

static void long_lines_are_cut_and_still_end(void) {
    char long_text[5000];
    memset(long_text, 'x', sizeof long_text);
    long_text[sizeof long_text - 1] = '\0';
    capture_begin();
    log_line(LOG_WARN, "%s", long_text);
    log_line(LOG_WARN, "next");
    struct buffer text = capture_end();
    const char *end = strchr(text.at, '\n');
    if (CHECK(end != NULL)) {
        CHECK((size_t)(end - text.at) <= WHEN_BYTES + 6 + LOG_LINE_BYTES_MAX);
        CHECK((size_t)(end - text.at) >= LOG_LINE_BYTES_MAX);
        CHECK(has_form_of_time(end + 1));
    }
    buffer_free(&text);
}

/* ---- The rate ---- */

/* Where it does block, the alarm ends the program. */
static void a_pipe_that_nobody_reads_stops_nobody(void) {
    int ends[2], real = dup(STDERR_FILENO);
    if (pipe(ends) != 0 || real < 0) abort();
    fflush(stderr);
    dup2(ends[1], STDERR_FILENO);
    alarm(20);
    for (int second = 0; second < 3; second++) { /* 150 lines of 1 KiB into a pipe of 64 KiB */
        await_next_second();
        for (int i = 0; i < LOG_LINES_PER_SECOND; i++)
            log_line(LOG_ERROR, "%01000d", i);
    }
    alarm(0);
    dup2(real, STDERR_FILENO);
    close(ends[0]), close(ends[1]), close(real);
    await_next_second(); /* the lines that were lost are told of before other tests look */
    log_line(LOG_ERROR, "that was a full pipe");
}

static void lines_over_the_rate_are_counted_and_the_count_is_told(void) {
    enum { LINES = 500 };
    unsigned through = 0, told = 0;
    await_next_second();
    capture_begin();
    for (int i = 0; i < LINES; i++)
        log_line(LOG_WARN, "flood");
    struct buffer text = capture_end();
    for (const char *at = text.at; (at = strstr(at, " warn flood\n")) != NULL; at++)
        through++;
    CHECK(through >= LOG_LINES_PER_SECOND && through <= 2 * LOG_LINES_PER_SECOND);
    buffer_free(&text);
    await_next_second();
    capture_begin();
    log_line(LOG_INFO, "calm");
    log_line(LOG_INFO, "calm again");
    text = capture_end();
    char want[64];
    snprintf(want, sizeof want, " warn log: %u lines suppressed\n", LINES - through);
    told += slice_starts_with(slice_of(text.at + WHEN_BYTES), slice_of(want));
    CHECK_U64(told, 1);
    CHECK(strstr(text.at, " info calm\n") != NULL && strstr(text.at, " info calm again\n") != NULL);
    CHECK(strstr(strstr(text.at, "suppressed") + 1, "suppressed") == NULL);
    buffer_free(&text);
}

int main(void) {
    await_next_second();
    RUN(a_line_has_a_time_a_level_and_the_text);
    RUN(lines_below_the_level_are_left_out);
    RUN(levels_have_names);
    RUN(control_characters_cannot_forge_lines);
    RUN(long_lines_are_cut_and_still_end);
    RUN(a_pipe_that_nobody_reads_stops_nobody);
    RUN(lines_over_the_rate_are_counted_and_the_count_is_told);
    return kit_finish();
}
