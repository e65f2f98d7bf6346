/* Encryption of connections: what sock.h reads and writes passes through a session of this module
 * where there is a certificate.
 *
 * There are two of it. `make TLS=1` takes tls_mbed.c, which stands on mbedTLS; a plain build takes
 * tls_none.c, which refuses to begin, so that nobody believes to be safe who is not.
 *
 * A session begins with a handshake, which happens inside the first reads and writes. Each of its
 * two rounds costs a millisecond or so of a CPU, so there is a limit to them in one turn of the
 * event loop: who comes later finds that nothing can be read yet, and is asked again.
 */
#ifndef KVS_TLS_H
#define KVS_TLS_H

#include <stdbool.h>
#include <stddef.h>

#define TLS_ERROR_BYTES         256
#define TLS_ROUNDS_PER_TURN     2 /* of handshakes */
#define TLS_READ_BYTES_MIN      (32 * 1024)
#define TLS_SESSION_BYTES_ABOUT (40 * 1024) /* of memory, as long as it lasts */

struct tls; /* certificates and rules; lives as long as there are sessions of it */
struct tls_session;

struct tls_files {
    const char *cert; /* the chain, PEM */
    const char *key;
    const char *ca; /* others must show a certificate of that authority; NULL: they need none */
};

/* The caller's, until tls_release(). NULL: `error` says why. */
struct tls *tls_create(const struct tls_files *files, char error[TLS_ERROR_BYTES]);
void tls_release(struct tls *t);

void tls_turn_end(struct tls *t); /* in the next one handshakes may go on */

/* On a connected socket; `dials`: this side has made the connection. NULL: no memory. */
struct tls_session *tls_begin(struct tls *t, int fd, bool dials);
void tls_end(struct tls_session *s); /* the socket is the caller's to close */

/* As sock_read() and sock_write(). With room for less than TLS_READ_BYTES_MIN, call it until
 * SOCK_AGAIN: something may be left that no longer shows at the socket. After SOCK_AGAIN the next
 * bytes written must begin with the same ones. */
long tls_read(struct tls_session *s, char *into, size_t size);
long tls_write(struct tls_session *s, const char *from, size_t len);

/* What is to be written waits for the other side to say something, not for room. */
bool tls_awaits_input(const struct tls_session *s);

void tls_say_end(struct tls_session *s); /* nothing more will be written */

#endif
