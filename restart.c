/* Reading, tidying up, and the first file. See restart.h.
 *
 * What happens, in an order that can be broken off anywhere and begun again:
 *
 *   1. All is read into the node (logread.c). If it is refused, nothing has been touched.
 *   2. Files that mean nothing any more go: parts, what is older than the snapshot, and files of
 *      the log in which nothing stands or whose beginning was lost with a torn tail before them.
 *   3. The next file of the log is made as a part: its opening, and what recovery itself has
 *      changed (a node that came back from a crash of the machine must not forget that it did).
 *   4. The file before it is cut where its last good record ends, and its last record now says that
 *      the log goes on.
 *   5. The part gets its name.
 *
 * A file that goes on in one that is only a part was left by a crash between 4 and 5.
 */
#include "restart.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"

struct restart {
    const struct restart_config *config;
    struct node *node;
    struct restarted *out;
    char *error; /* DATADIR_ERROR_BYTES */
    struct log_sink sink;
};

static bool fail(const struct restart *r, const char *what, int error) {
    snprintf(r->error, DATADIR_ERROR_BYTES, "%s: %s: %s", r->config->path, what, strerror(error));
    return false;
}

/* ---- Reading ---- */

void restart_read_boot(uint64_t boot[2]) {
    char text[64] = "";
    boot[0] = boot[1] = 0;
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t len = read(fd, text, sizeof text - 1);
    close(fd);
    for (ssize_t i = 0, digits = 0; i < len && digits < 32; i++) {
        const char *hex = "0123456789abcdef", *at = strchr(hex, text[i]);
        if (at == NULL || text[i] == '\0') continue;
        boot[digits / 16] = boot[digits / 16] << 4 | (uint64_t)(at - hex);
        digits++;
    }
}

static bool on_owner(struct log_sink *s, const struct opening *o,
                     char error[LOG_SINK_ERROR_BYTES]) {
    const struct restart_config *c = CONTAINER_OF(s, struct restart, sink)->config;
    if (slice_equal(o->cluster, c->cluster) && address_compare(&o->node, &c->node) == 0)
        return true;
    snprintf(error, LOG_SINK_ERROR_BYTES,
             "the directory belongs to node %.80s of cluster %.*s, and this is node %.80s of "
             "cluster %.*s; give each node a directory of its own",
             o->node.text, (int)o->cluster.len, o->cluster.at, c->node.text, (int)c->cluster.len,
             c->cluster.at);
    return false;
}

static bool on_frames(struct log_sink *s, struct slice frames) {
    return node_recover(CONTAINER_OF(s, struct restart, sink)->node, frames);
}

static void log_what_was_found(const struct restart *r) {
    const struct log_found *f = &r->out->found;
    if (f->torn_bytes > 0) {
        log_line(LOG_WARN,
                 "disk: %s/log-%06u: cut off at byte %llu: a crash has torn the last %llu "
                 "bytes",
                 r->config->path, f->last, (unsigned long long)f->end,
                 (unsigned long long)f->torn_bytes);
    }
    if (!f->is_new) {
        log_line(LOG_INFO, "disk: %s: %llu records, %llu bytes of log, %llu of snapshot%s",
                 r->config->path, (unsigned long long)f->records, (unsigned long long)f->log_bytes,
                 (unsigned long long)f->snapshot_bytes,
                 f->is_intact ? "" : "; the machine was restarted, so a tail may be missing");
    }
}

static bool read_everything(struct restart *r) {
    r->sink = (struct log_sink){on_owner, on_frames};
    struct log_found *found = &r->out->found;
    if (!logread_all(&r->out->dir, r->out->boot, &r->sink, found, r->error)) return false;
    log_what_was_found(r);
    node_recovered(r->node, found->is_intact);
    return true;
}

/* ---- Tidying up ---- */

static bool is_of_use(const struct log_found *found, const struct datadir_file *f) {
    if (f->kind == DATADIR_SNAPSHOT) return !f->is_part && f->number == found->snapshot;
    if (f->is_part) return found->has_next && f->number == found->last + 1;
    return f->number >= found->snapshot && f->number <= found->last;
}

static bool remove_useless(struct restart *r) {
    struct disk *d = r->config->disk;
    struct datadir *dir = &r->out->dir;
    struct datadir_list list;
    if (!datadir_read_list(dir, &list, r->error)) return false;
    int error = 0;
    for (uint32_t i = 0; i < list.count && error == 0; i++) {
        const struct datadir_file *f = &list.files[i];
        char name[DATADIR_NAME_BYTES];
        datadir_name(name, f->kind, f->number, f->is_part);
        if (!is_of_use(&r->out->found, f)) error = d->remove(d, dir->fd, name);
    }
    datadir_free_list(&list);
    if (error == 0) error = d->sync_dir(d, dir->fd);
    return error == 0 || fail(r, "cannot be tidied up", error);
}

/* The log goes on in the next file. */
static int end_last_file(const struct restart *r, int fd) {
    const struct log_found *f = &r->out->found;
    struct disk *d = r->config->disk;
    char head[RECORD_HEAD_BYTES];
    int error = d->cut(d, fd, f->end);
    if (error == 0) error = d->sync(d, fd);
    record_head(head, RECORD_NEXT, f->last_salt, f->end, record_position(f->last, f->end),
                (struct slice){0});
    if (error == 0) error = disk_write(d, fd, head, sizeof head, NULL, 0);
    if (error == 0) error = d->sync(d, fd);
    return error;
}

static bool end_last(struct restart *r) {
    char name[DATADIR_NAME_BYTES];
    const struct log_found *f = &r->out->found;
    if (f->last == 0 || f->has_next) return true;
    datadir_name(name, DATADIR_LOG, f->last, false);
    int fd = openat(r->out->dir.fd, name, O_WRONLY | O_APPEND | O_CLOEXEC);
    int error = fd < 0 ? errno : end_last_file(r, fd);
    if (fd >= 0) close(fd);
    return error == 0 || fail(r, "the last file of the log cannot be ended", error);
}

/* ---- The next file ---- */

struct opening restart_opening(const struct restart_config *config, const struct restarted *r,
                               uint8_t flags, uint32_t number) {
    return (struct opening){
        .flags = flags,
        .number = number,
        .directory = r->found.directory,
        .salt = (uint32_t)config->random64(),
        .boot = {r->boot[0], r->boot[1]},
        .cluster = config->cluster,
        .node = config->node,
    };
}

static bool begin_next(struct restart *r) {
    struct disk *d = r->config->disk;
    struct restarted *out = r->out;
    struct opening o = restart_opening(r->config, out, 0, out->found.last + 1);
    int error = logfile_create(d, out->dir.fd, &o, node_journal(r->node), &out->file);
    if (error == 0) error = d->sync(d, out->file.fd);
    if (error != 0) return fail(r, "no new file of the log can be made", error);
    node_journal_taken(r->node);
    if (!end_last(r)) return false;
    error = logfile_name(d, out->dir.fd, DATADIR_LOG, &out->file);
    return error == 0 || fail(r, "the new file of the log cannot be named", error);
}

bool restart_node(const struct restart_config *config, struct node *n, struct restarted *out,
                  char error[DATADIR_ERROR_BYTES]) {
    struct restart r = {.config = config, .node = n, .out = out, .error = error};
    *out = (struct restarted){.file.fd = -1};
    restart_read_boot(out->boot);
    if (!datadir_open(&out->dir, config->path, true, error)) return false;
    bool good = read_everything(&r);
    if (good && out->found.is_new) out->found.directory = config->random64();
    good = good && remove_useless(&r) && begin_next(&r);
    if (good) return true;
    if (out->file.fd >= 0) close(out->file.fd);
    datadir_close(&out->dir);
    return false;
}
