/* kvs: a causally consistent key-value store. This is main(); the README has the reading order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "startup.h"
#include "version.h"

enum { EXIT_FAILED = 1, EXIT_NONSENSE = 2 };

static int print_help(void) {
    struct buffer settings = {0};
    config_describe(&settings);
    printf("kvs %s, a causally consistent key-value store\n\n"
           "usage: kvs             run a node; settings come from the environment\n"
           "       kvs --version\n"
           "       kvs --help\n\n"
           "  %-17s %-15s %s\n%.*s",
           KVS_VERSION, "setting", "default", "meaning", (int)settings.len, settings.at);
    buffer_free(&settings);
    return EXIT_SUCCESS;
}

static int run(void) {
    struct config config;
    char error[CONFIG_ERROR_BYTES];
    if (!config_read(&config, getenv, error)) {
        fprintf(stderr, "kvs: %s\n", error);
        return EXIT_NONSENSE;
    }
    log_set_level(config.log_level);
    struct process *process = process_create(&config);
    if (process != NULL) {
        process_run(process);
        process_free(process);
    }
    config_free(&config);
    return process != NULL ? EXIT_SUCCESS : EXIT_FAILED;
}

int main(int argc, char **argv) {
    if (argc == 1) return run();
    if (argc == 2 && strcmp(argv[1], "--help") == 0) return print_help();
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("kvs " KVS_VERSION);
        return EXIT_SUCCESS;
    }
    fprintf(stderr, "kvs: unknown argument '%s'; try kvs --help\n", argv[1]);
    return EXIT_NONSENSE;
}
