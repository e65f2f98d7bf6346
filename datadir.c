/* Lock, list and names. See datadir.h. */
#include "datadir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const PREFIXES[] = {[DATADIR_LOG] = "log-", [DATADIR_SNAPSHOT] = "snapshot-"};
#define PART_SUFFIX ".part"

static bool fail(const struct datadir *d, char *error, const char *what) {
    snprintf(error, DATADIR_ERROR_BYTES, "%s: %s: %s", d->path, what, strerror(errno));
    return false;
}

/* ---- Opening and locking ---- */

/* The name of a new directory must survive a power cut as its files do. */
static bool make_directory(const struct datadir *d) {
    if (mkdir(d->path, 0700) != 0) return errno == EEXIST;
    char parent[4096];
    snprintf(parent, sizeof parent, "%s/..", d->path);
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) close(fd);
    return good;
}

static bool lock_directory(struct datadir *d, bool writes, char *error) {
    int flags = writes ? O_RDWR | O_CREAT : O_RDONLY;
    d->lock_fd = openat(d->fd, "lock", flags | O_CLOEXEC, 0600);
    if (d->lock_fd < 0 && errno == ENOENT) {
        snprintf(error, DATADIR_ERROR_BYTES, "%s: no data directory of kvs: it has no file lock",
                 d->path);
        return false;
    }
    if (d->lock_fd < 0) return fail(d, error, "cannot open its file lock");
    if (flock(d->lock_fd, (writes ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0) return true;
    if (errno != EWOULDBLOCK) return fail(d, error, "cannot be locked");
    snprintf(error, DATADIR_ERROR_BYTES,
             "%s: in use by another live process; stop that one, or give each node a directory of "
             "its own",
             d->path);
    return false;
}

bool datadir_open(struct datadir *d, const char *path, bool writes,
                  char error[DATADIR_ERROR_BYTES]) {
    *d = (struct datadir){.fd = -1, .lock_fd = -1, .path = path};
    if (writes && !make_directory(d)) return fail(d, error, "cannot be made");
    d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->fd < 0) return fail(d, error, "cannot be opened");
    if (lock_directory(d, writes, error)) return true;
    datadir_close(d);
    return false;
}

void datadir_close(struct datadir *d) {
    if (d->lock_fd >= 0) close(d->lock_fd);
    if (d->fd >= 0) close(d->fd);
    d->fd = d->lock_fd = -1;
}

/* ---- Names ---- */

void datadir_name(char name[DATADIR_NAME_BYTES], enum datadir_kind kind, uint32_t number,
                  bool is_part) {
    snprintf(name, DATADIR_NAME_BYTES, "%s%06u%s", PREFIXES[kind], number,
             is_part ? PART_SUFFIX : "");
}

/* Only a name that we would write. */
static bool parse_name(const char *name, struct datadir_file *out) {
    for (int kind = DATADIR_LOG; kind <= DATADIR_SNAPSHOT; kind++) {
        struct slice rest = slice_of(name), prefix = slice_of(PREFIXES[kind]);
        if (!slice_starts_with(rest, prefix)) continue;
        rest = (struct slice){rest.at + prefix.len, rest.len - prefix.len};
        uint64_t number;
        if (!slice_to_u64(slice_cut(&rest, '.'), &number) || number > UINT32_MAX) return false;
        *out = (struct datadir_file){(enum datadir_kind)kind, (uint32_t)number, rest.len > 0, 0};
        char again[DATADIR_NAME_BYTES];
        datadir_name(again, out->kind, out->number, out->is_part);
        return out->number > 0 && strcmp(again, name) == 0;
    }
    return false;
}

/* ---- Listing ---- */

static int compare_files(const void *a, const void *b) {
    const struct datadir_file *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static bool add_file(const struct datadir *d, struct datadir_list *list, const char *name) {
    struct datadir_file file;
    struct stat status;
    if (!parse_name(name, &file)) return true;
    if (list->count == DATADIR_FILES_MAX) {
        errno = EMFILE;
        return false;
    }
    if (fstatat(d->fd, name, &status, 0) != 0) return false;
    file.bytes = (uint64_t)status.st_size;
    list->files = bytes_realloc(list->files, (list->count + 1) * sizeof *list->files);
    list->files[list->count++] = file;
    return true;
}

bool datadir_read_list(const struct datadir *d, struct datadir_list *out,
                       char error[DATADIR_ERROR_BYTES]) {
    *out = (struct datadir_list){0};
    int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        if (fd >= 0) close(fd);
        return fail(d, error, "cannot be listed");
    }
    struct dirent *entry;
    bool good = true;
    for (errno = 0; good && (entry = readdir(dir)) != NULL; errno = good ? 0 : errno)
        good = add_file(d, out, entry->d_name);
    good = good && errno == 0;
    if (!good) fail(d, error, "cannot be listed");
    closedir(dir);
    if (!good) {
        datadir_free_list(out);
        return false;
    }
    if (out->count > 0) qsort(out->files, out->count, sizeof *out->files, compare_files);
    return true;
}

void datadir_free_list(struct datadir_list *list) {
    free(list->files);
    *list = (struct datadir_list){0};
}

const struct datadir_file *datadir_find(const struct datadir_list *list, enum datadir_kind kind,
                                        uint32_t number, bool is_part) {
    for (uint32_t i = 0; i < list->count; i++) {
        const struct datadir_file *f = &list->files[i];
        if (f->kind == kind && f->number == number && f->is_part == is_part) return f;
    }
    return NULL;
}
