/* Start-up settings: the defaults, every setting, every value that is refused. */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../config.h"
#include "../forward.h"
#include "../parked.h"

/* ---- An environment of our own ---- */

#define SETTINGS_MAX 16

static struct {
    const char *name;
    char *value;
} settings[SETTINGS_MAX];
static size_t settings_count;

static void unset_all(void) {
    settings_count = 0;
}

static void set(const char *name, const char *value) {
    settings[settings_count].name = name;
    settings[settings_count++].value = (char *)value;
}

static char *look_up(const char *name) {
    for (size_t i = 0; i < settings_count; i++) {
        if (strcmp(settings[i].name, name) == 0) return settings[i].value;
    }
    return NULL;
}

static struct config read_good(void) {
    struct config c = {0};
    char error[CONFIG_ERROR_BYTES] = "";
    if (!CHECK(config_read(&c, look_up, error))) CHECK_TEXT(slice_of(error), "no error");
    return c;
}

/* Refused with a line that starts with `why`, and *out untouched. */
static void check_refused(const char *why) {
    struct config c, before;
    char error[CONFIG_ERROR_BYTES] = "";
    memset(&c, 0x55, sizeof c);
    memset(&before, 0x55, sizeof before);
    if (CHECK(!config_read(&c, look_up, error))) {
        if (!CHECK(slice_starts_with(slice_of(error), slice_of(why)))) {
            CHECK_TEXT(slice_of(error), why);
        }
        CHECK(memcmp(&c, &before, sizeof c) == 0);
        CHECK(strchr(error, '\n') == NULL);
    } else {
        config_free(&c);
    }
}

/* ---- Good settings ---- */

static void without_settings_there_are_defaults(void) {
    unset_all();
    struct config c = read_good();
    CHECK_TEXT(address_text(&c.self), "127.0.0.1:8090");
    CHECK_U64(c.view_count, 1);
    CHECK_TEXT(address_text(&c.view[0]), "127.0.0.1:8090");
    CHECK(!c.self_was_missing);
    CHECK_U64(c.shard_count, 0);
    CHECK_U64(c.bind_ipv4, 0);
    CHECK_TEXT(slice_of(c.cluster), "kvs");
    CHECK_U64(c.memory_bytes_max, 0);
    CHECK_U64(c.peer_port_offset, 10000);
    CHECK_U64(c.park_ms, 300);
    CHECK_U64(c.readmit_ms, 3000);
    CHECK_U64(c.forward_ms, 2500);
    CHECK(c.request_ms > 0 && c.idle_ms > 0);
    CHECK_U64(c.connections_max, 65536);
    CHECK_U64(c.connections_per_client_max, 16384);
    CHECK_U64(c.buffered_bytes_max, 256 << 20);
    CHECK_U64(c.parked_max, PARKED_MAX);
    CHECK_U64(c.parked_bytes_max, PARKED_BYTES_MAX);
    CHECK_U64(c.forwarded_max, FORWARD_OPS_MAX);
    CHECK_U64(c.forwarded_bytes_max, FORWARD_BYTES_MAX);
    CHECK(c.clock_skew_ms == 0);
    CHECK(c.log_level == LOG_INFO);
    config_free(&c);
}

static void empty_settings_count_as_absent(void) {
    static const char *const names[] = {
        "SOCKET_ADDRESS", "VIEW",     "SHARD_COUNT", "BIND_ADDRESS", "CLUSTER",        "MAX_MEMORY",
        "LOG_LEVEL",      "DATA_DIR", "FSYNC",       "MAX_BUFFERED", "MAX_CONNECTIONS"};
    unset_all();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        set(names[i], "");
    struct config c = read_good();
    CHECK_TEXT(address_text(&c.self), "127.0.0.1:8090");
    CHECK_U64(c.view_count, 1);
    CHECK(!c.self_was_missing);
    CHECK_U64(c.bind_ipv4, 0);
    CHECK_U64(c.buffered_bytes_max, 256 << 20);
    config_free(&c);
}

static void limits_can_be_set(void) {
    unset_all();
    set("MAX_CONNECTIONS", "20");
    set("MAX_CONNECTIONS_PER_CLIENT", "1048576");
    set("MAX_BUFFERED", "20K");
    set("MAX_PARKED", "1");
    set("MAX_PARKED_BYTES", "1");
    set("MAX_FORWARDED", "2");
    set("MAX_FORWARDED_BYTES", "1M");
    struct config c = read_good();
    CHECK_U64(c.connections_max, 20);
    CHECK_U64(c.connections_per_client_max, 1048576);
    CHECK_U64(c.buffered_bytes_max, 20 << 10);
    CHECK_U64(c.parked_max, 1);
    CHECK_U64(c.parked_bytes_max, 1);
    CHECK_U64(c.forwarded_max, 2);
    CHECK_U64(c.forwarded_bytes_max, 1 << 20);
    config_free(&c);
}

static void every_connection_has_room_for_a_small_request(void) {
    unset_all();
    set("MAX_CONNECTIONS", "20");
    set("MAX_BUFFERED", "20479");
    check_refused("MAX_BUFFERED=20479: MAX_CONNECTIONS=20 needs at least 20K");
    unset_all();
    set("MAX_CONNECTIONS", "1000000");
    check_refused("MAX_BUFFERED=268435456: MAX_CONNECTIONS=1000000 needs at least 1000000K");
}

static void the_view_is_sorted_without_repeats(void) {
    unset_all();
    set("SOCKET_ADDRESS", "Bob:8090");
    set("VIEW", "bob:8090, 10.0.0.10:8090,10.0.0.9:8090 ,BOB:8090,alice:1,010.0.0.9:8090");
    set("SHARD_COUNT", "4");
    struct config c = read_good();
    static const char *const sorted[] = {"10.0.0.9:8090", "10.0.0.10:8090", "alice:1", "bob:8090"};
    CHECK_U64(c.view_count, 4);
    for (uint32_t i = 0; i < 4 && i < c.view_count; i++) {
        CHECK_TEXT(address_text(&c.view[i]), sorted[i]);
    }
    CHECK(!c.self_was_missing);
    CHECK_U64(c.shard_count, 4);
    config_free(&c);
}

static void this_node_is_added_where_the_view_lacks_it(void) {
    unset_all();
    set("SOCKET_ADDRESS", "10.0.0.2:8090");
    set("VIEW", "10.0.0.1:8090,10.0.0.3:8090");
    struct config c = read_good();
    CHECK_U64(c.view_count, 3);
    CHECK(c.self_was_missing);
    CHECK_TEXT(address_text(&c.view[1]), "10.0.0.2:8090");
    config_free(&c);
}

static void a_loopback_address_binds_itself_and_others_everything(void) {
    static const struct {
        const char *self, *bind;
        uint32_t ipv4;
    } cases[] = {
        {"127.0.0.2:8090", NULL, 0x7f000002},
        {"10.0.0.2:8090", NULL, 0},
        {"alice:8090", NULL, 0},
        {"127.0.0.2:8090", "0.0.0.0", 0},
        {"127.0.0.2:8090", "127.0.0.3", 0x7f000003},
        {"10.0.0.2:8090", "10.0.0.7", 0x0a000007},
        {NULL, NULL, 0},
        {NULL, "127.0.0.1", 0x7f000001},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unset_all();
        if (cases[i].self != NULL) set("SOCKET_ADDRESS", cases[i].self);
        if (cases[i].bind != NULL) set("BIND_ADDRESS", cases[i].bind);
        struct config c = read_good();
        kit_note("case %zu", i);
        CHECK_U64(c.bind_ipv4, cases[i].ipv4);
        config_free(&c);
    }
}

static void memory_is_given_in_bytes_or_powers_of_1024(void) {
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {{"1", 1},           {"500000000", 500000000},
                 {"3K", 3072},       {"512M", 536870912},
                 {"2G", 2147483648}, {"8589934591G", 8589934591u * ((uint64_t)1 << 30)}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unset_all();
        set("MAX_MEMORY", cases[i].text);
        struct config c = read_good();
        kit_note("%s", cases[i].text);
        CHECK_U64(c.memory_bytes_max, cases[i].bytes);
        config_free(&c);
    }
}

static void a_clock_may_be_wrong_by_a_day_either_way(void) {
    static const struct {
        const char *text;
        int32_t skew_ms;
    } cases[] = {{"0", 0},
                 {"-0", 0},
                 {"10000", 10000},
                 {"-500", -500},
                 {"86400000", 86400000},
                 {"-86400000", -86400000}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unset_all();
        set("CLOCK_SKEW_MS", cases[i].text);
        struct config c = read_good();
        kit_note("%s", cases[i].text);
        CHECK(c.clock_skew_ms == cases[i].skew_ms);
        config_free(&c);
    }
}

static void numbers_go_to_their_limits(void) {
    unset_all();
    set("PARK_MS", "0");
    set("READMIT_MS", "3600000");
    set("FORWARD_MS", "1");
    set("PEER_PORT_OFFSET", "1");
    set("CLUSTER", "a-Z_0.9");
    set("LOG_LEVEL", "debug");
    struct config c = read_good();
    CHECK(c.park_ms == 0 && c.readmit_ms == 3600000 && c.forward_ms == 1);
    CHECK_U64(c.peer_port_offset, 1);
    CHECK_TEXT(slice_of(c.cluster), "a-Z_0.9");
    CHECK(c.log_level == LOG_DEBUG);
    config_free(&c);
}

/* ---- Refused ---- */

static const struct {
    const char *name, *value, *why;
} REFUSED[] = {
    {"SOCKET_ADDRESS", "alice", "SOCKET_ADDRESS=alice: expected HOST:PORT"},
    {"SOCKET_ADDRESS", "alice:0", "SOCKET_ADDRESS=alice:0: port"},
    {"SOCKET_ADDRESS", "alice:65536", "SOCKET_ADDRESS=alice:65536: port"},
    {"SOCKET_ADDRESS", "[::1]:8090", "SOCKET_ADDRESS=[::1]:8090: IPv6"},
    {"SOCKET_ADDRESS", " alice:1", "SOCKET_ADDRESS= alice:1: malformed"},
    {"SOCKET_ADDRESS", "10.0.0.256:1", "SOCKET_ADDRESS=10.0.0.256:1: malformed"},
    {"VIEW", "10.0.0.1:8090,", "VIEW=10.0.0.1:8090,: expected"},
    {"VIEW", ",10.0.0.1:8090", "VIEW=,10.0.0.1:8090: expected"},
    {"VIEW", "a:1,,b:1", "VIEW=a:1,,b:1: expected"},
    {"VIEW", "a:1;b:1", "VIEW=a:1;b:1: "},
    {"VIEW", "a:1 b:1", "VIEW=a:1 b:1: "},
    {"VIEW", "a:1,[::1]:2", "VIEW=a:1,[::1]:2: IPv6"},
    {"VIEW", "a:55536", "VIEW=a:55536: PEER_PORT_OFFSET"},
    {"SHARD_COUNT", "0", "SHARD_COUNT=0: expected a whole number from 1 to 64"},
    {"SHARD_COUNT", "65", "SHARD_COUNT=65: expected"},
    {"SHARD_COUNT", "two", "SHARD_COUNT=two: expected"},
    {"SHARD_COUNT", "-1", "SHARD_COUNT=-1: expected"},
    {"SHARD_COUNT", "+1", "SHARD_COUNT=+1: expected"},
    {"SHARD_COUNT", "1.0", "SHARD_COUNT=1.0: expected"},
    {"SHARD_COUNT", " 1", "SHARD_COUNT= 1: expected"},
    {"SHARD_COUNT", "4294967297", "SHARD_COUNT=4294967297: expected"},
    {"SHARD_COUNT", "18446744073709551617", "SHARD_COUNT=18446744073709551617: expected"},
    {"SHARD_COUNT", "2", "SHARD_COUNT=2: more shards than nodes"},
    {"BIND_ADDRESS", "localhost", "BIND_ADDRESS=localhost: expected an IPv4"},
    {"BIND_ADDRESS", "10.0.0.1:80", "BIND_ADDRESS=10.0.0.1:80: expected an IPv4"},
    {"BIND_ADDRESS", "10.0.0", "BIND_ADDRESS=10.0.0: expected an IPv4"},
    {"BIND_ADDRESS", "::", "BIND_ADDRESS=::: expected an IPv4"},
    {"BIND_ADDRESS", "0000000000000000000000000000000000000001.1.1.1", "BIND_ADDRESS=0"},
    {"PEER_PORT_OFFSET", "0", "PEER_PORT_OFFSET=0: expected"},
    {"PEER_PORT_OFFSET", "65535", "PEER_PORT_OFFSET=65535: expected"},
    {"PARK_MS", "60001", "PARK_MS=60001: expected"},
    {"PARK_MS", "300ms", "PARK_MS=300ms: expected"},
    {"READMIT_MS", "3600001", "READMIT_MS=3600001: expected"},
    {"FORWARD_MS", "0", "FORWARD_MS=0: expected"},
    {"REQUEST_MS", "0", "REQUEST_MS=0: expected"},
    {"STALL_MS", "0", "STALL_MS=0: expected"},
    {"IDLE_MS", "0", "IDLE_MS=0: expected"},
    {"IDLE_MS", "86400001", "IDLE_MS=86400001: expected"},
    {"MAX_MEMORY", "0", "MAX_MEMORY=0: expected bytes"},
    {"MAX_MEMORY", "M", "MAX_MEMORY=M: expected bytes"},
    {"MAX_MEMORY", "1k", "MAX_MEMORY=1k: expected bytes"},
    {"MAX_MEMORY", "1MB", "MAX_MEMORY=1MB: expected bytes"},
    {"MAX_MEMORY", "1.5G", "MAX_MEMORY=1.5G: expected bytes"},
    {"MAX_MEMORY", "-1", "MAX_MEMORY=-1: expected bytes"},
    {"MAX_MEMORY", "8589934592G", "MAX_MEMORY=8589934592G: expected bytes"},
    {"MAX_CONNECTIONS", "0", "MAX_CONNECTIONS=0: expected a whole number from 1"},
    {"MAX_CONNECTIONS", "64k", "MAX_CONNECTIONS=64k: expected"},
    {"MAX_CONNECTIONS", "1048577", "MAX_CONNECTIONS=1048577: expected"},
    {"MAX_CONNECTIONS_PER_CLIENT", "0", "MAX_CONNECTIONS_PER_CLIENT=0: expected"},
    {"MAX_BUFFERED", "0", "MAX_BUFFERED=0: expected bytes"},
    {"MAX_BUFFERED", "many", "MAX_BUFFERED=many: expected bytes"},
    {"MAX_BUFFERED", "63M", "MAX_BUFFERED=66060288: MAX_CONNECTIONS=65536 needs at least"},
    {"MAX_PARKED", "0", "MAX_PARKED=0: expected"},
    {"MAX_PARKED_BYTES", "0", "MAX_PARKED_BYTES=0: expected bytes"},
    {"MAX_FORWARDED", "0", "MAX_FORWARDED=0: expected"},
    {"MAX_FORWARDED_BYTES", "-1", "MAX_FORWARDED_BYTES=-1: expected bytes"},
    {"CLOCK_SKEW_MS", "10s", "CLOCK_SKEW_MS=10s: expected milliseconds"},
    {"CLOCK_SKEW_MS", "+1", "CLOCK_SKEW_MS=+1: expected"},
    {"CLOCK_SKEW_MS", "-", "CLOCK_SKEW_MS=-: expected"},
    {"CLOCK_SKEW_MS", "--1", "CLOCK_SKEW_MS=--1: expected"},
    {"CLOCK_SKEW_MS", "86400001", "CLOCK_SKEW_MS=86400001: expected"},
    {"CLOCK_SKEW_MS", "-86400001", "CLOCK_SKEW_MS=-86400001: expected"},
    {"CLUSTER", "a b", "CLUSTER=a b: expected"},
    {"CLUSTER", "a/b", "CLUSTER=a/b: expected"},
    {"CLUSTER", "b\xc3\xa4r", "CLUSTER=b"},
    {"LOG_LEVEL", "verbose", "LOG_LEVEL=verbose: expected"},
    {"LOG_LEVEL", "INFO", "LOG_LEVEL=INFO: expected"},
    {"FSYNC", "sometimes", "FSYNC=sometimes: expected"},
    {"FSYNC", "always", "FSYNC=always: there is no DATA_DIR"},
};

static void each_bad_value_is_refused_by_name(void) {
    for (size_t i = 0; i < sizeof REFUSED / sizeof *REFUSED; i++) {
        unset_all();
        set(REFUSED[i].name, REFUSED[i].value);
        kit_note("%s=%s", REFUSED[i].name, REFUSED[i].value);
        check_refused(REFUSED[i].why);
    }
}

static void names_of_clusters_are_bounded(void) {
    char name[CONFIG_CLUSTER_MAX + 2];
    memset(name, 'c', sizeof name);
    name[CONFIG_CLUSTER_MAX + 1] = '\0';
    unset_all();
    set("CLUSTER", name);
    check_refused("CLUSTER=ccc");
    name[CONFIG_CLUSTER_MAX] = '\0';
    struct config c = read_good();
    CHECK_TEXT(slice_of(c.cluster), name);
    config_free(&c);
}

/* VIEW with that many nodes, this node among them or not. */
static struct buffer view_of(uint32_t nodes) {
    struct buffer text = {0};
    for (uint32_t i = 0; i < nodes; i++) {
        char node[32];
        snprintf(node, sizeof node, "%s10.0.%u.%u:8090", i == 0 ? "" : ",", i / 250, i % 250);
        buffer_put(&text, slice_of(node));
    }
    buffer_put_char(&text, '\0');
    return text;
}

static void views_are_bounded(void) {
    struct buffer full = view_of(CONFIG_VIEW_MAX), over = view_of(CONFIG_VIEW_MAX + 1);
    unset_all();
    set("SOCKET_ADDRESS", "10.0.0.0:8090");
    set("VIEW", full.at);
    struct config c = read_good();
    CHECK_U64(c.view_count, CONFIG_VIEW_MAX);
    config_free(&c);
    unset_all();
    set("VIEW", over.at);
    check_refused("VIEW=10.0.0.0:8090,");
    buffer_free(&full);
    buffer_free(&over);
}

static void a_full_view_without_this_node_takes_it_still(void) {
    struct buffer full = view_of(CONFIG_VIEW_MAX);
    unset_all();
    set("SOCKET_ADDRESS", "alice:8090");
    set("VIEW", full.at);
    struct config c = read_good();
    CHECK_U64(c.view_count, CONFIG_VIEW_MAX + 1);
    CHECK(c.self_was_missing);
    config_free(&c);
    buffer_free(&full);
}

static void a_log_is_made_sure_of_once_a_second_unless_told_otherwise(void) {
    static const char *const names[] = {"always", "everysec", "never"};
    unset_all();
    struct config c = read_good();
    CHECK(c.data_dir == NULL);
    config_free(&c);
    set("DATA_DIR", "/data");
    c = read_good();
    CHECK(strcmp(c.data_dir, "/data") == 0);
    CHECK(c.fsync == CONFIG_FSYNC_EVERYSEC);
    config_free(&c);
    for (int i = CONFIG_FSYNC_ALWAYS; i <= CONFIG_FSYNC_NEVER; i++) {
        unset_all();
        set("DATA_DIR", "/data");
        set("FSYNC", names[i]);
        c = read_good();
        CHECK(c.fsync == (enum config_fsync)i);
        config_free(&c);
    }
}

static void a_long_bad_value_is_shown_in_part(void) {
    char text[5000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    static const char *const names[] = {"SOCKET_ADDRESS", "VIEW",    "SHARD_COUNT",
                                        "BIND_ADDRESS",   "CLUSTER", "MAX_MEMORY",
                                        "LOG_LEVEL",      "DATA_DIR"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char why[64];
        snprintf(why, sizeof why, "%s=xxxxxxxxxx", names[i]);
        unset_all();
        set(names[i], text);
        check_refused(why);
    }
}

static void every_node_needs_a_port_for_peers(void) {
    unset_all();
    set("SOCKET_ADDRESS", "127.0.0.1:55536");
    check_refused("SOCKET_ADDRESS=127.0.0.1:55536: PEER_PORT_OFFSET");
    set("PEER_PORT_OFFSET", "9999");
    struct config c = read_good();
    CHECK_U64(c.self.port, 55536);
    config_free(&c);
}

/* ---- --help ---- */

static void every_setting_has_a_line_of_help(void) {
    static const char *const names[] = {
        "SOCKET_ADDRESS", "VIEW",       "SHARD_COUNT",      "BIND_ADDRESS", "CLUSTER",
        "MAX_MEMORY",     "LOG_LEVEL",  "PEER_PORT_OFFSET", "PARK_MS",      "READMIT_MS",
        "FORWARD_MS",     "REQUEST_MS", "STALL_MS",         "IDLE_MS",      "CLOCK_SKEW_MS"};
    struct buffer out = {0};
    config_describe(&out);
    buffer_put_char(&out, '\0');
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char start[64];
        snprintf(start, sizeof start, "  %s ", names[i]);
        kit_note("%s", names[i]);
        CHECK(strstr(out.at, start) != NULL);
    }
    buffer_free(&out);
}

/* ---- Secrets ---- */

static const char *file_with(const char *text) {
    static char path[64];
    snprintf(path, sizeof path, "/tmp/kvs-test-config-%d", (int)getpid());
    FILE *file = fopen(path, "w");
    if (CHECK(file != NULL)) {
        fputs(text, file);
        fclose(file);
    }
    return path;
}

static void secrets_are_given_or_stand_in_files(void) {
    unset_all();
    set("AUTH_TOKEN", "s3cret");
    set("CLUSTER_SECRET_FILE", file_with("correct-horse\n"));
    struct config c = read_good();
    CHECK_TEXT(slice_of(c.auth_token), "s3cret");
    CHECK_TEXT(slice_of(c.cluster_secret), "correct-horse");
    config_free(&c);
    unlink(file_with(""));
}

static void a_bad_secret_is_refused_and_not_shown(void) {
    static char long_one[CONFIG_SECRET_MAX + 2];
    memset(long_one, 'x', CONFIG_SECRET_MAX + 1);
    const char *const bad[] = {"two words", "tab\there", "b\xc3\xa4r", long_one, "\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        kit_note("%s", bad[i]);
        unset_all();
        set("AUTH_TOKEN", bad[i]);
        check_refused("AUTH_TOKEN=...: expected 1 to 256 printable characters without spaces");
        unset_all();
        set("CLUSTER_SECRET_FILE", file_with(bad[i]));
        check_refused("CLUSTER_SECRET_FILE=...: expected 1 to 256");
    }
    unset_all();
    set("AUTH_TOKEN_FILE", file_with(""));
    check_refused("AUTH_TOKEN_FILE=...: expected 1 to 256");
    unset_all();
    set("AUTH_TOKEN_FILE", "/nowhere/token");
    check_refused("AUTH_TOKEN_FILE=/nowhere/token: No such file");
    set("AUTH_TOKEN", "s3cret");
    check_refused("AUTH_TOKEN_FILE=/nowhere/token: give the secret or the file, not both");
    unlink(file_with(""));
}

int main(void) {
    RUN(secrets_are_given_or_stand_in_files);
    RUN(a_bad_secret_is_refused_and_not_shown);
    RUN(without_settings_there_are_defaults);
    RUN(empty_settings_count_as_absent);
    RUN(limits_can_be_set);
    RUN(every_connection_has_room_for_a_small_request);
    RUN(the_view_is_sorted_without_repeats);
    RUN(this_node_is_added_where_the_view_lacks_it);
    RUN(a_loopback_address_binds_itself_and_others_everything);
    RUN(memory_is_given_in_bytes_or_powers_of_1024);
    RUN(a_clock_may_be_wrong_by_a_day_either_way);
    RUN(numbers_go_to_their_limits);
    RUN(each_bad_value_is_refused_by_name);
    RUN(names_of_clusters_are_bounded);
    RUN(views_are_bounded);
    RUN(a_full_view_without_this_node_takes_it_still);
    RUN(a_log_is_made_sure_of_once_a_second_unless_told_otherwise);
    RUN(a_long_bad_value_is_shown_in_part);
    RUN(every_node_needs_a_port_for_peers);
    RUN(every_setting_has_a_line_of_help);
    return kit_finish();
}
