/* kvs: a causally consistent key-value store. This is main(); the README has the reading order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "health_check.h"
#include "inspect.h"
#include "load.h"
#include "startup.h"
#include "version.h"

enum { EXIT_FAILED = 1, EXIT_NONSENSE = 2 };

static int print_help(void) {
    struct buffer settings = {0};
    config_describe(&settings);
    printf(
        "kvs %s, a causally consistent key-value store\n\n"
        "usage: kvs             run a node; settings come from the environment\n"
        "       kvs --check DIR        read a data directory, say what is in it or what is bad\n"
        "       kvs --dump DIR         print its keys as JSON lines\n"
        "       kvs --load FILE [ADDRESS]\n"
        "                              put such lines into a running cluster, by way of the node\n"
        "                              at ADDRESS (HOST:PORT, or else SOCKET_ADDRESS); FILE may be "
        "-\n"
        "       kvs --health           is the node of these settings up? exit code 0 or 1\n"
        "       kvs --version\n"
        "       kvs --help\n\n"
        "  %-26s %-15s %s\n%.*s",
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

/* Exit code 1 for nonsense, too: to a container engine 2 means something else. */
static int check_health(void) {
    struct config config;
    char error[CONFIG_ERROR_BYTES];
    const char *wrong = error;
    if (config_read(&config, getenv, error)) {
        wrong = health_check(&config);
        config_free(&config);
    }
    if (wrong != NULL) fprintf(stderr, "kvs: unhealthy: %s\n", wrong);
    return wrong == NULL ? EXIT_SUCCESS : EXIT_FAILED;
}

/* The address is read as SOCKET_ADDRESS is. */
static char *given_address;

static char *look_up_given(const char *name) {
    return strcmp(name, "SOCKET_ADDRESS") == 0 ? given_address : NULL;
}

static int load(const char *file, char *address) {
    struct config config;
    char error[CONFIG_ERROR_BYTES];
    given_address = address != NULL ? address : getenv("SOCKET_ADDRESS");
    if (!config_read(&config, look_up_given, error)) {
        fprintf(stderr, "kvs: %s\n", error);
        return EXIT_NONSENSE;
    }
    bool good = load_file(file, &config.self);
    config_free(&config);
    return good ? EXIT_SUCCESS : EXIT_FAILED;
}

int main(int argc, char **argv) {
    if (argc == 1) return run();
    if (argc == 2 && strcmp(argv[1], "--help") == 0) return print_help();
    if (argc == 2 && strcmp(argv[1], "--health") == 0) return check_health();
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("kvs " KVS_VERSION);
        return EXIT_SUCCESS;
    }
    if (argc == 3 && strcmp(argv[1], "--check") == 0)
        return inspect_check(argv[2]) ? EXIT_SUCCESS : EXIT_FAILED;
    if (argc == 3 && strcmp(argv[1], "--dump") == 0)
        return inspect_dump(argv[2]) ? EXIT_SUCCESS : EXIT_FAILED;
    if ((argc == 3 || argc == 4) && strcmp(argv[1], "--load") == 0)
        return load(argv[2], argc == 4 ? argv[3] : NULL);
    fprintf(stderr, "kvs: unknown argument '%s'; try kvs --help\n", argv[1]);
    return EXIT_NONSENSE;
}
