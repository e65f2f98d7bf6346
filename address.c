/* Parsing and ordering of node addresses. See address.h. */
#include "address.h"

#include <stdio.h>

_Static_assert(ADDRESS_TEXT_MAX <= UINT16_MAX, "text_len is 16 bits");

/* ---- Hosts ---- */

/* Four decimal numbers. Leading zeros are decimal, too: the other reading, octal, is a trap. */
static bool parse_ipv4(struct slice host, uint32_t *out) {
    uint32_t ip = 0;
    size_t at = 0;
    for (int part = 0; part < 4; part++) {
        size_t from = at;
        while (at < host.len && host.at[at] != '.')
            at++;
        uint64_t n;
        if (at - from > 3 || !slice_to_u64((struct slice){host.at + from, at - from}, &n)) {
            return false;
        }
        if (n > 255) return false;
        ip = ip << 8 | (uint32_t)n;
        bool last = part == 3;
        if (last != (at == host.len)) return false;
        at++; /* the dot */
    }
    *out = ip;
    return true;
}

static bool looks_like_ipv4(struct slice host) {
    for (size_t i = 0; i < host.len; i++) {
        if (host.at[i] != '.' && (host.at[i] < '0' || host.at[i] > '9')) return false;
    }
    return true;
}

static bool is_name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Labels of letters, digits, '-' and '_' (container names have it), with single dots between. */
static bool lower_name(struct slice host, char *out) {
    char before = '.';
    for (size_t i = 0; i < host.len; i++) {
        char c = host.at[i];
        if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
        if (!is_name_char(c) && (c != '.' || before == '.')) return false;
        out[i] = before = c;
    }
    return before != '.';
}

/* ---- Addresses ---- */

static const char *parse_host(struct slice host, struct address *out) {
    if (host.len == 0) return "no host before the colon";
    if (memchr(host.at, ':', host.len) != NULL) return "IPv6 literals are not supported";
    if (host.len > ADDRESS_HOST_MAX) return "host name is too long";
    if (looks_like_ipv4(host)) {
        if (!parse_ipv4(host, &out->ipv4)) return "malformed IPv4 address";
        out->is_ipv4 = true;
        int len = snprintf(out->text, sizeof out->text, "%u.%u.%u.%u", out->ipv4 >> 24,
                           out->ipv4 >> 16 & 255, out->ipv4 >> 8 & 255, out->ipv4 & 255);
        out->host_len = (uint16_t)len;
        return NULL;
    }
    if (!lower_name(host, out->text)) return "malformed host name";
    out->host_len = (uint16_t)host.len;
    return NULL;
}

const char *address_parse(struct slice text, struct address *out) {
    *out = (struct address){0};
    bool is_url = text.len > 0 && memmem(text.at, text.len, "://", 3) != NULL;
    if (is_url) return "expected HOST:PORT, not a URL";
    size_t colon = text.len;
    while (colon > 0 && text.at[colon - 1] != ':')
        colon--;
    if (colon == 0) return "expected HOST:PORT";

    const char *error = parse_host((struct slice){text.at, colon - 1}, out);
    if (error != NULL) return error;
    uint64_t port;
    struct slice port_text = {text.at + colon, text.len - colon};
    if (!slice_to_u64(port_text, &port) || port < 1 || port > 65535) {
        return "port is not a number from 1 to 65535";
    }
    out->port = (uint16_t)port;
    int len = snprintf(out->text + out->host_len, sizeof out->text - out->host_len, ":%u",
                       (unsigned)port);
    out->text_len = (uint16_t)(out->host_len + len);
    return NULL;
}

int address_compare(const struct address *a, const struct address *b) {
    if (a->is_ipv4 != b->is_ipv4) return a->is_ipv4 ? -1 : 1;
    if (a->ipv4 != b->ipv4) return a->ipv4 < b->ipv4 ? -1 : 1;
    int order = slice_compare(address_host(a), address_host(b));
    if (order != 0) return order;
    return (a->port > b->port) - (a->port < b->port);
}

struct slice address_text(const struct address *a) {
    return (struct slice){a->text, a->text_len};
}

struct slice address_host(const struct address *a) {
    return (struct slice){a->text, a->host_len};
}

bool address_is_loopback(const struct address *a) {
    return a->is_ipv4 && a->ipv4 >> 24 == 127;
}
