/* Lines for the operator. See notes.h. */
#include "notes.h"

static void forget_taken(struct notes *ns) {
    if (ns->taken) ns->lines.len = 0;
    ns->taken = false;
}

void notes_put(struct notes *ns, const char *what, const struct address *about) {
    forget_taken(ns);
    if (ns->lines.len > NOTES_BYTES_MAX) return;
    buffer_put(&ns->lines, slice_of(what));
    if (about != NULL) buffer_put(&ns->lines, address_text(about));
    buffer_put_char(&ns->lines, '\n');
}

struct slice notes_take(struct notes *ns) {
    forget_taken(ns);
    ns->taken = true;
    return buffer_slice(&ns->lines);
}

void notes_free(struct notes *ns) {
    buffer_free(&ns->lines);
}
