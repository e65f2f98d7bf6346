/* Encryption on mbedTLS, 2.28 or 3. See tls.h.
 *
 * It speaks TLS 1.2, which is all that 2.28 has; 3 would want more for 1.3 than this module does.
 *
 * mbedTLS is given the bare socket by two functions that say when it would block. A handshake goes
 * as far as the bytes that are here allow; each time that it has to wait for the other side one of
 * its rounds is over. Once it is done, reading and writing are one record at a time, up to 16 KiB.
 *
 * Reading. What the socket has is taken with one call, and mbedTLS is fed from that: by itself it
 * makes three for a record, for its head, for its body, and to see that there is no other. No more
 * is taken than has room in the caller's buffer, so nothing is left when a read ends, neither here
 * nor in mbedTLS: the reactor, which looks at the socket alone, would not wake anybody for it.
 *
 * Writing. A record that the socket has taken in part must be finished with the same bytes before
 * anything else: mbedTLS has them encrypted already, and counts on being called again for them. So
 * the session remembers how long it was, since the caller may have more to say by then.
 */
#include "tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/ssl.h>
#include <mbedtls/version.h>

#include "bytes.h"
#include "sock.h"

#define RECORD_BYTES_MAX (16 * 1024) /* that are encrypted in one */
#define AHEAD_BYTES      (64 * 1024) /* taken from a socket at once */
_Static_assert(TLS_READ_BYTES_MIN > RECORD_BYTES_MAX, "a read may take something");
_Static_assert(MBEDTLS_SSL_IN_CONTENT_LEN <= RECORD_BYTES_MAX, "no record has more");

struct tls {
    unsigned holders; /* the creator, and each session */
    unsigned rounds_left;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    mbedtls_x509_crt cert, ca;
    mbedtls_pk_context key;
    mbedtls_ssl_config accepting, dialling;
    char ahead[AHEAD_BYTES]; /* of the session that is being read */
};

struct tls_session {
    struct tls *tls;
    int fd;
    mbedtls_ssl_context ssl;
    bool is_open; /* the handshake is done */
    bool awaits_input;
    size_t unfinished; /* bytes of the record that the socket has taken in part */
    /* While it is being read: what was taken and mbedTLS has not asked for yet, in tls->ahead; how
     * much more may be; and that there is no more. */
    struct slice ahead;
    size_t ahead_bytes_max;
    bool reads_ahead, is_dry;
};

/* In the order in which they are preferred. All of them agree on a key that is gone afterwards, and
 * none can be altered on the way. AES is first since processors have instructions for it: mbedTLS
 * would take ChaCha20, which costs it four times as much there. */
static const int CIPHERS[] = {
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    MBEDTLS_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    0,
};

/* The same for agreeing on that key. mbedTLS would take the largest that the client has, which
 * makes a handshake five times as long. */
static const mbedtls_ecp_group_id CURVES[] = {
    MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_CURVE25519, MBEDTLS_ECP_DP_SECP384R1,
    MBEDTLS_ECP_DP_SECP521R1, MBEDTLS_ECP_DP_NONE,
};

/* ---- Certificates and rules ---- */

static bool fail(char error[TLS_ERROR_BYTES], const char *what, int code) {
    char why[128];
    mbedtls_strerror(code, why, sizeof why);
    snprintf(error, TLS_ERROR_BYTES, "%s: %s", what, why);
    return false;
}

static int parse_key(struct tls *t, const char *path) {
#if MBEDTLS_VERSION_MAJOR >= 3
    return mbedtls_pk_parse_keyfile(&t->key, path, NULL, mbedtls_ctr_drbg_random, &t->random);
#else
    return mbedtls_pk_parse_keyfile(&t->key, path, NULL);
#endif
}

static bool read_files(struct tls *t, const struct tls_files *files, char *error) {
    int code = mbedtls_x509_crt_parse_file(&t->cert, files->cert);
    if (code != 0) return fail(error, files->cert, code);
    code = parse_key(t, files->key);
    if (code != 0) return fail(error, files->key, code);
    code = files->ca == NULL ? 0 : mbedtls_x509_crt_parse_file(&t->ca, files->ca);
    return code == 0 || fail(error, files->ca, code);
}

/* Names are not looked at: who has a certificate of the authority is let in. */
static bool set_rules(struct tls *t, mbedtls_ssl_config *rules, int side, bool has_ca,
                      char *error) {
    int code = mbedtls_ssl_config_defaults(rules, side, MBEDTLS_SSL_TRANSPORT_STREAM,
                                           MBEDTLS_SSL_PRESET_DEFAULT);
    if (code == 0) code = mbedtls_ssl_conf_own_cert(rules, &t->cert, &t->key);
    if (code != 0) return fail(error, "TLS", code);
    mbedtls_ssl_conf_rng(rules, mbedtls_ctr_drbg_random, &t->random);
    mbedtls_ssl_conf_ciphersuites(rules, CIPHERS);
    mbedtls_ssl_conf_curves(rules, CURVES);
    mbedtls_ssl_conf_min_version(rules, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_max_version(rules, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
    mbedtls_ssl_conf_authmode(rules,
                              has_ca ? MBEDTLS_SSL_VERIFY_REQUIRED : MBEDTLS_SSL_VERIFY_NONE);
    if (has_ca) mbedtls_ssl_conf_ca_chain(rules, &t->ca, NULL);
    return true;
}

static bool prepare(struct tls *t, const struct tls_files *files, char *error) {
    int code = mbedtls_ctr_drbg_seed(&t->random, mbedtls_entropy_func, &t->entropy, NULL, 0);
    if (code != 0) return fail(error, "random numbers", code);
    bool has_ca = files->ca != NULL;
    return read_files(t, files, error) &&
           set_rules(t, &t->accepting, MBEDTLS_SSL_IS_SERVER, has_ca, error) &&
           set_rules(t, &t->dialling, MBEDTLS_SSL_IS_CLIENT, has_ca, error);
}

struct tls *tls_create(const struct tls_files *files, char error[TLS_ERROR_BYTES]) {
    struct tls *t = bytes_alloc_zeroed(sizeof *t);
    t->holders = 1;
    t->rounds_left = TLS_ROUNDS_PER_TURN;
    mbedtls_entropy_init(&t->entropy);
    mbedtls_ctr_drbg_init(&t->random);
    mbedtls_x509_crt_init(&t->cert);
    mbedtls_x509_crt_init(&t->ca);
    mbedtls_pk_init(&t->key);
    mbedtls_ssl_config_init(&t->accepting);
    mbedtls_ssl_config_init(&t->dialling);
    if (prepare(t, files, error)) return t;
    tls_release(t);
    return NULL;
}

void tls_release(struct tls *t) {
    if (t == NULL || --t->holders > 0) return;
    mbedtls_ssl_config_free(&t->dialling);
    mbedtls_ssl_config_free(&t->accepting);
    mbedtls_pk_free(&t->key);
    mbedtls_x509_crt_free(&t->ca);
    mbedtls_x509_crt_free(&t->cert);
    mbedtls_ctr_drbg_free(&t->random);
    mbedtls_entropy_free(&t->entropy);
    free(t);
}

void tls_turn_end(struct tls *t) {
    if (t != NULL) t->rounds_left = TLS_ROUNDS_PER_TURN;
}

/* ---- The bare socket ---- */

static int on_send(void *context, const unsigned char *from, size_t len) {
    const struct tls_session *s = context;
    ssize_t n;
    do {
        n = send(s->fd, from, len, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) return (int)n;
    return errno == EAGAIN ? MBEDTLS_ERR_SSL_WANT_WRITE : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static int receive(const struct tls_session *s, void *into, size_t size) {
    ssize_t n;
    do {
        n = recv(s->fd, into, size, 0);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) return (int)n; /* 0: the end, though TLS has not said so */
    return errno == EAGAIN ? MBEDTLS_ERR_SSL_WANT_READ : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

/* As receive(). */
static int take_ahead(struct tls_session *s) {
    size_t size = s->ahead_bytes_max < AHEAD_BYTES ? s->ahead_bytes_max : AHEAD_BYTES;
    if (s->is_dry || size == 0) return MBEDTLS_ERR_SSL_WANT_READ;
    int n = receive(s, s->tls->ahead, size);
    if (n > 0) s->ahead = (struct slice){s->tls->ahead, (size_t)n};
    s->is_dry = n > 0 && (size_t)n < size;
    return n;
}

static int on_receive(void *context, unsigned char *into, size_t size) {
    struct tls_session *s = context;
    if (!s->reads_ahead) return receive(s, into, size);
    if (s->ahead.len == 0) {
        int n = take_ahead(s);
        if (n <= 0) return n;
    }
    if (size > s->ahead.len) size = s->ahead.len;
    memcpy(into, s->ahead.at, size);
    s->ahead = (struct slice){s->ahead.at + size, s->ahead.len - size};
    return (int)size;
}

/* ---- Sessions ---- */

struct tls_session *tls_begin(struct tls *t, int fd, bool dials) {
    struct tls_session *s = bytes_alloc_zeroed(sizeof *s);
    s->tls = t;
    s->fd = fd;
    t->holders++;
    mbedtls_ssl_init(&s->ssl);
    if (mbedtls_ssl_setup(&s->ssl, dials ? &t->dialling : &t->accepting) != 0) {
        tls_end(s);
        return NULL;
    }
    mbedtls_ssl_set_bio(&s->ssl, s, on_send, on_receive, NULL);
    return s;
}

void tls_end(struct tls_session *s) {
    if (s == NULL) return;
    struct tls *t = s->tls;
    mbedtls_ssl_free(&s->ssl);
    free(s);
    tls_release(t);
}

/* What mbedTLS says, as sock.h does. */
static long result_of(struct tls_session *s, int code) {
    s->awaits_input = code == MBEDTLS_ERR_SSL_WANT_READ;
    if (code == MBEDTLS_ERR_SSL_WANT_READ || code == MBEDTLS_ERR_SSL_WANT_WRITE) return SOCK_AGAIN;
    bool over =
        code == 0 || code == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY || code == MBEDTLS_ERR_SSL_CONN_EOF;
    return over ? SOCK_END : SOCK_BROKEN;
}

/* True: bytes may pass. False: *result says why they may not, yet or ever. */
static bool shake_hands(struct tls_session *s, long *result) {
    if (s->is_open) return true;
    if (s->tls->rounds_left == 0) {
        s->awaits_input = false; /* so it is asked again in the next turn */
        *result = SOCK_AGAIN;
        return false;
    }
    s->tls->rounds_left--;
    int code = mbedtls_ssl_handshake(&s->ssl);
    s->is_open = code == 0;
    if (code == 0) s->awaits_input = false;
    if (code != 0) *result = result_of(s, code);
    return s->is_open;
}

/* Of a record that mbedTLS has begun to read, all may still come out. */
static int read_record(struct tls_session *s, char *into, size_t size) {
    s->ahead_bytes_max = size > RECORD_BYTES_MAX ? size - RECORD_BYTES_MAX : 0;
    int n;
    do {
        n = mbedtls_ssl_read(&s->ssl, (unsigned char *)into, size);
    } while (n == MBEDTLS_ERR_SSL_WANT_READ && s->ahead.len > 0); /* that was no data */
    return n;
}

/* Record by record, until there are no more or no more room. */
long tls_read(struct tls_session *s, char *into, size_t size) {
    long result = SOCK_AGAIN;
    size_t got = 0;
    if (!shake_hands(s, &result)) return result;
    s->reads_ahead = size >= TLS_READ_BYTES_MIN;
    s->is_dry = false;
    while (got < size) {
        int n = read_record(s, into + got, size - got);
        if (n <= 0) {
            result = result_of(s, n);
            break;
        }
        got += (size_t)n;
    }
    /* Left over when the other side breaks rules and does not take what is said to that. */
    if (s->ahead.len > 0 && result == SOCK_AGAIN) result = SOCK_BROKEN;
    s->ahead.len = 0;
    s->reads_ahead = false;
    if (result == SOCK_BROKEN) return result;
    return got > 0 ? (long)got : result; /* an end is found again by the next call */
}

static int write_record(struct tls_session *s, const char *from, size_t len) {
    if (s->unfinished > 0) len = s->unfinished;
    int n = mbedtls_ssl_write(&s->ssl, (const unsigned char *)from, len);
    s->unfinished = n == MBEDTLS_ERR_SSL_WANT_WRITE ? len : 0;
    return n;
}

long tls_write(struct tls_session *s, const char *from, size_t len) {
    long result = SOCK_AGAIN;
    size_t sent = 0;
    if (!shake_hands(s, &result)) return result;
    s->awaits_input = false; /* the last read has */
    while (sent < len) {
        int n = write_record(s, from + sent, len - sent);
        if (n <= 0) {
            result = result_of(s, n);
            break;
        }
        sent += (size_t)n;
    }
    if (sent > 0 && result != SOCK_BROKEN) return (long)sent;
    return result;
}

bool tls_awaits_input(const struct tls_session *s) {
    return s->awaits_input;
}

void tls_say_end(struct tls_session *s) {
    if (s->is_open) mbedtls_ssl_close_notify(&s->ssl);
}
