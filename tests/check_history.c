/* check_history: reads a history, prints the verdict. See docs/checker.md. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checker.h"

enum { EXIT_CLEAN, EXIT_VIOLATION, EXIT_MALFORMED };

#define READ_BYTES ((size_t)1 << 20)

/* False: it cannot be read, and errno says why. */
static bool read_all(FILE *file, struct buffer *text) {
    size_t got;
    do {
        buffer_reserve(text, READ_BYTES);
        got = fread(text->at + text->len, 1, READ_BYTES, file);
        text->len += got;
    } while (got > 0);
    return ferror(file) == 0;
}

static bool read_history(const char *path, struct buffer *text) {
    FILE *file = path == NULL ? stdin : fopen(path, "rb");
    bool ok = file != NULL && read_all(file, text);
    if (!ok) fprintf(stderr, "check_history: %s: %s\n", path == NULL ? "-" : path, strerror(errno));
    if (file != NULL && file != stdin) fclose(file);
    return ok;
}

static int exit_code(enum verdict_kind kind) {
    switch (kind) {
    case VERDICT_CLEAN: return EXIT_CLEAN;
    case VERDICT_MALFORMED: return EXIT_MALFORMED;
    default: return EXIT_VIOLATION;
    }
}

static int check(const char *path) {
    struct buffer history = {0}, report = {0};
    int code = EXIT_MALFORMED;
    if (read_history(path, &history)) {
        struct verdict v;
        checker_run(&v, buffer_slice(&history));
        verdict_put(&report, &v, buffer_slice(&history));
        fwrite(report.at, 1, report.len, v.kind == VERDICT_MALFORMED ? stderr : stdout);
        code = exit_code(v.kind);
        verdict_free(&v);
    }
    buffer_free(&history);
    buffer_free(&report);
    return code;
}

int main(int argc, char **argv) {
    if (argc == 1 || (argc == 2 && strcmp(argv[1], "-") == 0)) return check(NULL);
    if (argc == 2 && argv[1][0] != '-') return check(argv[1]);
    FILE *to = argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr;
    fputs(
        "usage: check_history [FILE]    reads standard input without FILE, or when it is -\n"
        "Is the history causally consistent? Exit code 0: yes; 1: no, and the smallest offending\n"
        "chain is printed; 2: it is no history, or there was no reading it.\n",
        to);
    return to == stdout ? EXIT_CLEAN : EXIT_MALFORMED;
}
