/* Reading and checking the environment. See config.h.
 *
 * Whole numbers are rows of NUMBERS, which also makes their part of --help; what has more structure
 * has a function each. An empty variable counts as not set: `docker run -e VIEW=` is how people
 * leave something out.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "shard.h"

#define DEFAULT_ADDRESS "127.0.0.1:8090"
#define HOUR_MS         3600000
#define SKEW_MS_MAX     (24 * HOUR_MS)

/* What one reading works on. */
struct reading {
    config_lookup lookup;
    char *error; /* CONFIG_ERROR_BYTES */
    struct config c;
};

static bool fail(struct reading *r, const char *name, const char *text, const char *why) {
    snprintf(r->error, CONFIG_ERROR_BYTES, "%s=%.100s: %s", name, text, why);
    return false;
}

static const char *look_up(const struct reading *r, const char *name) {
    const char *text = r->lookup(name);
    return text == NULL || text[0] == '\0' ? NULL : text;
}

/* ---- Whole numbers ---- */

static const struct number {
    const char *name;
    size_t at; /* of a uint32_t in struct config */
    uint32_t fallback, min, max;
    const char *help;
} NUMBERS[] = {
#define NUMBER(name, field, fallback, min, max, help)                                              \
    { name, offsetof(struct config, field), fallback, min, max, help }
    NUMBER("SHARD_COUNT", shard_count, 0, 1, SHARD_COUNT_MAX, "shards of the first map"),
    NUMBER("PEER_PORT_OFFSET", peer_port_offset, 10000, 1, 65534,
           "peers speak on the port this much higher"),
    NUMBER("PARK_MS", park_ms, 300, 0, 60000, "wait for a missing dependency before a 503"),
    NUMBER("MAX_CONNECTIONS", connections_max, 65536, 1, 1048576,
           "client connections at once; beyond it 503"),
    NUMBER("MAX_CONNECTIONS_PER_CLIENT", connections_per_client_max, 16384, 1, 1048576,
           "those of one address; beyond it 429"),
    NUMBER("MAX_PARKED", parked_max, 1024, 1, 1048576,
           "requests that wait for a dependency at once; beyond it 503"),
    NUMBER("MAX_FORWARDED", forwarded_max, 16384, 1, 1048576,
           "requests that wait for other nodes at once; beyond it 503"),
    NUMBER("READMIT_MS", readmit_ms, 3000, 0, HOUR_MS,
           "a node that was cut off must be heard this long"),
    NUMBER("FORWARD_MS", forward_ms, 2500, 1, 60000, "wait for another shard's answer"),
    NUMBER("REQUEST_MS", request_ms, 30000, 1, HOUR_MS,
           "a request must be complete this long after its first byte"),
    NUMBER("STALL_MS", stall_ms, 30000, 1, HOUR_MS,
           "a client must take something of its answer this often"),
    NUMBER("IDLE_MS", idle_ms, 300000, 1, 24 * HOUR_MS,
           "a connection without a request is closed after this"),
#undef NUMBER
};

#define NUMBERS_COUNT (sizeof NUMBERS / sizeof *NUMBERS)

static bool read_number(struct reading *r, const struct number *row) {
    const char *text = look_up(r, row->name);
    uint64_t n = row->fallback;
    if (text != NULL && (!slice_to_u64(slice_of(text), &n) || n < row->min || n > row->max)) {
        char why[64];
        snprintf(why, sizeof why, "expected a whole number from %u to %u", row->min, row->max);
        return fail(r, row->name, text, why);
    }
    uint32_t value = (uint32_t)n;
    memcpy((char *)&r->c + row->at, &value, sizeof value);
    return true;
}

static bool read_numbers(struct reading *r) {
    for (size_t i = 0; i < NUMBERS_COUNT; i++) {
        if (!read_number(r, &NUMBERS[i])) return false;
    }
    return true;
}

/* ---- Bytes ---- */

static const struct amount {
    const char *name;
    size_t at; /* of a uint64_t in struct config */
    const char *fallback, *help;
} AMOUNTS[] = {
#define AMOUNT(name, field, fallback, help)                                                        \
    { name, offsetof(struct config, field), fallback, help }
    AMOUNT("MAX_MEMORY", memory_bytes_max, NULL, "bytes of the store, such as 512M; beyond it 507"),
    AMOUNT("MAX_BUFFERED", buffered_bytes_max, "256M",
           "bytes kept for all clients together; beyond it 503"),
    AMOUNT("MAX_PARKED_BYTES", parked_bytes_max, "64M", "bytes of what MAX_PARKED counts"),
    AMOUNT("MAX_FORWARDED_BYTES", forwarded_bytes_max, "64M", "bytes of what MAX_FORWARDED counts"),
#undef AMOUNT
};

#define AMOUNTS_COUNT (sizeof AMOUNTS / sizeof *AMOUNTS)

/* With K, M or G for powers of 1024. */
static bool read_amount(struct reading *r, const struct amount *row) {
    const char *text = look_up(r, row->name);
    if (text == NULL) text = row->fallback;
    if (text == NULL) return true;
    struct slice digits = slice_of(text);
    unsigned shift = 0;
    switch (digits.at[digits.len - 1]) {
    case 'K': shift = 10; break;
    case 'M': shift = 20; break;
    case 'G': shift = 30; break;
    default: break;
    }
    if (shift > 0) digits.len--;
    uint64_t n;
    if (!slice_to_u64(digits, &n) || n == 0 || n > UINT64_MAX >> 1 >> shift) {
        return fail(r, row->name, text, "expected bytes, such as 500000000, 512M or 2G");
    }
    n <<= shift;
    memcpy((char *)&r->c + row->at, &n, sizeof n);
    return true;
}

static bool read_amounts(struct reading *r) {
    for (size_t i = 0; i < AMOUNTS_COUNT; i++) {
        if (!read_amount(r, &AMOUNTS[i])) return false;
    }
    return true;
}

/* Tests want to see nodes with clocks that disagree. */
static bool read_skew(struct reading *r) {
    const char *text = look_up(r, "CLOCK_SKEW_MS");
    if (text == NULL) return true;
    bool behind = text[0] == '-';
    uint64_t n;
    if (!slice_to_u64(slice_of(text + behind), &n) || n > SKEW_MS_MAX) {
        return fail(r, "CLOCK_SKEW_MS", text, "expected milliseconds, up to a day, such as -500");
    }
    r->c.clock_skew_ms = behind ? -(int32_t)n : (int32_t)n;
    return true;
}

/* ---- Addresses ---- */

static bool read_self(struct reading *r) {
    const char *text = look_up(r, "SOCKET_ADDRESS");
    const char *why = address_parse(slice_of(text == NULL ? DEFAULT_ADDRESS : text), &r->c.self);
    return why == NULL || fail(r, "SOCKET_ADDRESS", text, why);
}

/* A node on a loopback address listens there alone, so that many fit on one machine; one that was
 * told nothing at all listens everywhere. */
static bool read_bind(struct reading *r) {
    const char *text = look_up(r, "BIND_ADDRESS");
    bool told = look_up(r, "SOCKET_ADDRESS") != NULL;
    r->c.bind_ipv4 = told && address_is_loopback(&r->c.self) ? r->c.self.ipv4 : 0;
    if (text == NULL) return true;
    char with_port[32];
    struct address address;
    int len = snprintf(with_port, sizeof with_port, "%s:1", text);
    bool good = len < (int)sizeof with_port &&
                address_parse((struct slice){with_port, (size_t)len}, &address) == NULL &&
                address.is_ipv4;
    if (!good) return fail(r, "BIND_ADDRESS", text, "expected an IPv4 address");
    r->c.bind_ipv4 = address.ipv4;
    return true;
}

static int compare_addresses(const void *a, const void *b) {
    return address_compare(a, b);
}

static bool view_has_self(const struct config *c) {
    for (uint32_t i = 0; i < c->view_count; i++) {
        if (address_compare(&c->view[i], &c->self) == 0) return true;
    }
    return false;
}

/* Sorted and without repeats. */
static void tidy_view(struct config *c) {
    qsort(c->view, c->view_count, sizeof *c->view, compare_addresses);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->view_count; i++) {
        bool repeat = kept > 0 && address_compare(&c->view[kept - 1], &c->view[i]) == 0;
        if (!repeat) c->view[kept++] = c->view[i];
    }
    c->view_count = kept;
}

static bool read_view(struct reading *r) {
    const char *text = look_up(r, "VIEW");
    struct config *c = &r->c;
    c->view = bytes_alloc((CONFIG_VIEW_MAX + 1) * sizeof *c->view);
    struct slice rest = text == NULL ? SLICE("") : slice_of(text);
    if (rest.len > 0 && rest.at[rest.len - 1] == ',')
        return fail(r, "VIEW", text, "expected an address after the comma");
    while (rest.len > 0) {
        struct slice item = slice_trim(slice_cut(&rest, ','));
        if (c->view_count == CONFIG_VIEW_MAX) return fail(r, "VIEW", text, "too many nodes");
        const char *why = address_parse(item, &c->view[c->view_count]);
        if (why != NULL) return fail(r, "VIEW", text, why);
        c->view_count++;
    }
    c->self_was_missing = text != NULL && !view_has_self(c);
    if (!view_has_self(c)) c->view[c->view_count++] = c->self;
    tidy_view(c);
    return true;
}

/* ---- The rest ---- */

static bool read_cluster(struct reading *r) {
    const char *text = look_up(r, "CLUSTER");
    if (text == NULL) text = "kvs";
    size_t len = strlen(text);
    size_t good = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    if (len > CONFIG_CLUSTER_MAX || good != len) {
        return fail(r, "CLUSTER", text, "expected up to 64 letters, digits, '-', '_' or '.'");
    }
    memcpy(r->c.cluster, text, len + 1);
    return true;
}

/* ---- Secrets ---- */

/* One line of printable ASCII without spaces. What is wrong is said without what it is. */
static bool take_secret(struct reading *r, const char *name, const char *text, char *into) {
    size_t len = strlen(text), good = 0;
    if (len > 0 && text[len - 1] == '\n') len--;
    while (good < len && text[good] > ' ' && text[good] <= '~')
        good++;
    if (len == 0 || len > CONFIG_SECRET_MAX || good != len)
        return fail(r, name, "...", "expected 1 to 256 printable characters without spaces");
    memcpy(into, text, len);
    return true;
}

static bool read_secret_file(struct reading *r, const char *name, const char *path, char *into) {
    char text[CONFIG_SECRET_MAX + 3]; /* with a newline, one byte too many, and NUL */
    FILE *file = fopen(path, "r");
    if (file == NULL) return fail(r, name, path, strerror(errno));
    size_t len = fread(text, 1, sizeof text - 1, file);
    bool broken = ferror(file) != 0;
    fclose(file);
    if (broken) return fail(r, name, path, "cannot be read");
    text[len] = '\0';
    return take_secret(r, name, strlen(text) == len ? text : "", into);
}

/* NAME, or a file that NAME_FILE names. */
static bool read_secret(struct reading *r, const char *name, char *into) {
    char name_file[32];
    snprintf(name_file, sizeof name_file, "%s_FILE", name);
    const char *text = look_up(r, name), *path = look_up(r, name_file);
    if (text != NULL && path != NULL)
        return fail(r, name_file, path, "give the secret or the file, not both");
    if (path != NULL) return read_secret_file(r, name_file, path, into);
    return text == NULL || take_secret(r, name, text, into);
}

static bool read_secrets(struct reading *r) {
    return read_secret(r, "AUTH_TOKEN", r->c.auth_token) &&
           read_secret(r, "CLUSTER_SECRET", r->c.cluster_secret);
}

static bool read_tls(struct reading *r) {
    r->c.tls_cert = look_up(r, "TLS_CERT");
    r->c.tls_key = look_up(r, "TLS_KEY");
    r->c.tls_ca = look_up(r, "TLS_CA");
    if (r->c.tls_cert != NULL && r->c.tls_key == NULL)
        return fail(r, "TLS_CERT", r->c.tls_cert, "TLS_KEY is needed, too");
    if (r->c.tls_cert == NULL && r->c.tls_key != NULL)
        return fail(r, "TLS_KEY", r->c.tls_key, "TLS_CERT is needed, too");
    return r->c.tls_ca == NULL || r->c.tls_cert != NULL ||
           fail(r, "TLS_CA", r->c.tls_ca, "TLS_CERT and TLS_KEY are needed, too");
}

static bool read_log_level(struct reading *r) {
    const char *text = look_up(r, "LOG_LEVEL");
    r->c.log_level = LOG_INFO;
    return text == NULL || log_level_parse(text, &r->c.log_level) ||
           fail(r, "LOG_LEVEL", text, "expected error, warn, info or debug");
}

static bool read_log(struct reading *r) {
    static const char *const names[] = {"always", "everysec", "never"};
    const char *text = look_up(r, "FSYNC");
    r->c.data_dir = look_up(r, "DATA_DIR");
    r->c.fsync = CONFIG_FSYNC_EVERYSEC;
    if (r->c.data_dir != NULL && strlen(r->c.data_dir) > CONFIG_PATH_MAX)
        return fail(r, "DATA_DIR", r->c.data_dir, "longer than 1000 bytes");
    if (text == NULL) return true;
    for (int i = CONFIG_FSYNC_ALWAYS; i <= CONFIG_FSYNC_NEVER; i++) {
        if (strcmp(text, names[i]) != 0) continue;
        r->c.fsync = (enum config_fsync)i;
        /* Whoever asks for that must not be given a store that forgets. */
        return r->c.data_dir != NULL || fail(r, "FSYNC", text, "there is no DATA_DIR to keep");
    }
    return fail(r, "FSYNC", text, "expected always, everysec or never");
}

/* A request of a few hundred bytes must fit into what every connection may keep. */
static bool check_buffered(struct reading *r) {
    const struct config *c = &r->c;
    uint64_t least = (uint64_t)c->connections_max * CONFIG_BUFFERED_EACH_MIN;
    char text[24], why[80];
    if (c->buffered_bytes_max >= least) return true;
    snprintf(text, sizeof text, "%llu", (unsigned long long)c->buffered_bytes_max);
    snprintf(why, sizeof why, "MAX_CONNECTIONS=%u needs at least %lluK", c->connections_max,
             (unsigned long long)least / 1024);
    return fail(r, "MAX_BUFFERED", text, why);
}

/* What the settings must be to one another. */
static bool check_together(struct reading *r) {
    const struct config *c = &r->c;
    char text[16];
    if (!check_buffered(r)) return false;
    if (c->shard_count > c->view_count) {
        snprintf(text, sizeof text, "%u", c->shard_count);
        return fail(r, "SHARD_COUNT", text, "more shards than nodes in VIEW");
    }
    for (uint32_t i = 0; i < c->view_count; i++) {
        if (c->view[i].port + c->peer_port_offset > 65535) {
            bool self = address_compare(&c->view[i], &c->self) == 0;
            return fail(r, self ? "SOCKET_ADDRESS" : "VIEW", c->view[i].text,
                        "PEER_PORT_OFFSET above it there is no port");
        }
    }
    return true;
}

bool config_read(struct config *out, config_lookup lookup, char error[CONFIG_ERROR_BYTES]) {
    struct reading r = {.lookup = lookup, .error = error};
    bool good = read_self(&r) && read_bind(&r) && read_view(&r) && read_numbers(&r) &&
                read_amounts(&r) && read_skew(&r) && read_cluster(&r) && read_secrets(&r) &&
                read_tls(&r) && read_log_level(&r) && read_log(&r) && check_together(&r);
    if (good) {
        *out = r.c;
    } else {
        config_free(&r.c);
    }
    return good;
}

void config_free(struct config *c) {
    free(c->view);
    c->view = NULL;
}

static void put_setting(struct buffer *out, const char *name, const char *fallback,
                        const char *help) {
    char line[160];
    int len = snprintf(line, sizeof line, "  %-26s %-15s %s\n", name, fallback, help);
    buffer_put(out, (struct slice){line, (size_t)len});
}

void config_describe(struct buffer *out) {
    put_setting(out, "SOCKET_ADDRESS", DEFAULT_ADDRESS, "this node, HOST:PORT");
    put_setting(out, "VIEW", "itself", "all nodes, separated by commas");
    put_setting(out, "BIND_ADDRESS", "0.0.0.0", "a loopback SOCKET_ADDRESS binds just that");
    put_setting(out, "CLUSTER", "kvs", "nodes of another name are refused");
    put_setting(out, "CLUSTER_SECRET", "none", "that all nodes must know; or CLUSTER_SECRET_FILE");
    put_setting(out, "AUTH_TOKEN", "none", "that clients must bring; or AUTH_TOKEN_FILE");
    put_setting(out, "TLS_CERT", "none", "this node's certificates, PEM: clients speak HTTPS");
    put_setting(out, "TLS_KEY", "none", "its key");
    put_setting(out, "TLS_CA", "none", "the authority by which peers know one another");
    put_setting(out, "DATA_DIR", "none", "directory of the log; without it all is in memory");
    put_setting(out, "FSYNC", "everysec", "always, everysec or never: when it is made sure of");
    put_setting(out, "CLOCK_SKEW_MS", "0", "for tests: the wall clock is wrong by this, +-");
    put_setting(out, "LOG_LEVEL", "info", "error, warn, info or debug");
    for (size_t i = 0; i < AMOUNTS_COUNT; i++) {
        const char *fallback = AMOUNTS[i].fallback;
        put_setting(out, AMOUNTS[i].name, fallback == NULL ? "none" : fallback, AMOUNTS[i].help);
    }
    for (size_t i = 0; i < NUMBERS_COUNT; i++) {
        char fallback[16] = "none";
        if (NUMBERS[i].fallback > 0) {
            snprintf(fallback, sizeof fallback, "%u", NUMBERS[i].fallback);
        }
        put_setting(out, NUMBERS[i].name, fallback, NUMBERS[i].help);
    }
}
