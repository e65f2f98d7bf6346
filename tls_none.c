/* No encryption: what a build without TLS=1 has in place of tls_mbed.c. See tls.h. */
#include "tls.h"

#include <assert.h>
#include <stdio.h>

#include "sock.h"

struct tls *tls_create(const struct tls_files *files, char error[TLS_ERROR_BYTES]) {
    (void)files;
    snprintf(error, TLS_ERROR_BYTES, "this build has no TLS; build it with: make TLS=1");
    return NULL;
}

/* ---- Of what there is none ---- */

void tls_release(struct tls *t) {
    assert(t == NULL);
    (void)t;
}

void tls_turn_end(struct tls *t) {
    assert(t == NULL);
    (void)t;
}

struct tls_session *tls_begin(struct tls *t, int fd, bool dials) {
    (void)t, (void)fd, (void)dials;
    return NULL;
}

void tls_end(struct tls_session *s) {
    assert(s == NULL);
    (void)s;
}

long tls_read(struct tls_session *s, char *into, size_t size) {
    (void)s, (void)into, (void)size;
    return SOCK_BROKEN;
}

long tls_write(struct tls_session *s, const char *from, size_t len) {
    (void)s, (void)from, (void)len;
    return SOCK_BROKEN;
}

bool tls_awaits_input(const struct tls_session *s) {
    (void)s;
    return false;
}

void tls_say_end(struct tls_session *s) {
    (void)s;
}
