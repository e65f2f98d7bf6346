/* Replays inputs through a fuzz target without a fuzzer: files, or all files of directories, given
 * as arguments. A property that does not hold ends the process. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "../bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned passed, failed;

static void fail(const char *path, const char *why) {
    printf("%s: %s\n", path, why);
    failed++;
}

static void replay_file(const char *path) {
    struct buffer bytes = {0};
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fail(path, "cannot be read");
        return;
    }
    for (int c = getc(file); c != EOF; c = getc(file))
        buffer_put_char(&bytes, (char)c);
    fclose(file);
    printf("%s\n", path); /* the last one printed is the one that ended the process */
    fflush(stdout);
    LLVMFuzzerTestOneInput((const uint8_t *)bytes.at, bytes.len);
    passed++;
    buffer_free(&bytes);
}

static void replay_directory(const char *path) {
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0) {
        fail(path, "cannot be listed");
        return;
    }
    for (int i = 0; i < count; i++) {
        char inside[4096];
        snprintf(inside, sizeof inside, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.') replay_file(inside);
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        struct stat status;
        if (stat(argv[i], &status) != 0) {
            fail(argv[i], "is not there");
        } else if (S_ISDIR(status.st_mode)) {
            replay_directory(argv[i]);
        } else {
            replay_file(argv[i]);
        }
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed > 0;
}
