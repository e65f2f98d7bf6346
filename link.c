/* The buffers of one connection. See link.h. */
#include "link.h"

#include <stdlib.h>

struct link *link_create(struct peer *p, enum link_state state, uint64_t deadline_ms) {
    struct link *l = bytes_alloc_zeroed(sizeof *l);
    l->peer = p;
    l->state = state;
    l->deadline_ms = deadline_ms;
    return l;
}

void link_free(struct link *l) {
    buffer_free(&l->out);
    buffer_free(&l->image);
    buffer_free(&l->image_head);
    free(l);
}

size_t link_unsent_bytes(const struct link *l) {
    return l->out.len - l->out_sent;
}

struct slice link_output(const struct link *l) {
    if (l->out.len == 0) return (struct slice){0}; /* there may be no buffer to point into */
    return (struct slice){l->out.at + l->out_sent, link_unsent_bytes(l)};
}

/* What has gone is cut off when it is half of the buffer, so each byte moves once at most. */
void link_sent(struct link *l, size_t bytes) {
    struct buffer *out = &l->out;
    l->out_sent += bytes;
    if (l->out_sent * 2 < out->len) return;
    out->len -= l->out_sent;
    if (out->len > 0) memmove(out->at, out->at + l->out_sent, out->len);
    l->out_sent = 0;
    if (out->len == 0 && out->cap > LINK_OUTPUT_KEEP) buffer_free(out);
}
