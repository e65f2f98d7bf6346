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
    buffer_free(&l->said);
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
    l->gone_bytes += bytes;
    if (l->out_sent * 2 < out->len) return;
    out->len -= l->out_sent;
    if (out->len > 0) memmove(out->at, out->at + l->out_sent, out->len);
    l->out_sent = 0;
    if (out->len == 0 && out->cap > LINK_OUTPUT_KEEP) buffer_free(out);
}

uint64_t link_place(const struct link *l) {
    return l->gone_bytes + link_unsent_bytes(l);
}

bool link_unsent_from(const struct link *l, uint64_t place, struct slice *rest) {
    if (place < l->gone_bytes) return false;
    size_t skip = (size_t)(place - l->gone_bytes);
    *rest = (struct slice){l->out.at + l->out_sent + skip, link_unsent_bytes(l) - skip};
    return true;
}
