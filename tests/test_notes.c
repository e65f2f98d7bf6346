/* Lines for the operator. */
#include "kit.h"

#include "../notes.h"

static void notes_are_lines_in_the_order_they_came(void) {
    struct notes ns = {0};
    struct address node = kit_address("10.0.0.1:8090");
    CHECK_TEXT(notes_take(&ns), "");
    notes_put(&ns, "ready", NULL);
    notes_put(&ns, "view: heard ", &node);
    CHECK_TEXT(notes_take(&ns), "ready\nview: heard 10.0.0.1:8090\n");
    CHECK_TEXT(notes_take(&ns), "");
    notes_free(&ns);
}

static void what_was_taken_stays_until_the_next_note(void) {
    struct notes ns = {0};
    notes_put(&ns, "one", NULL);
    struct slice taken = notes_take(&ns);
    CHECK_TEXT(taken, "one\n");
    notes_put(&ns, "two", NULL);
    CHECK_TEXT(notes_take(&ns), "two\n");
    notes_free(&ns);
}

static void notes_that_nobody_takes_end_at_the_limit(void) {
    struct notes ns = {0};
    for (int i = 0; i < NOTES_BYTES_MAX; i++)
        notes_put(&ns, "the same again", NULL);
    size_t len = notes_take(&ns).len;
    CHECK(len >= NOTES_BYTES_MAX && len < NOTES_BYTES_MAX + 100);
    notes_put(&ns, "heard again", NULL);
    CHECK_TEXT(notes_take(&ns), "heard again\n");
    notes_free(&ns);
}

int main(void) {
    RUN(notes_are_lines_in_the_order_they_came);
    RUN(what_was_taken_stays_until_the_next_note);
    RUN(notes_that_nobody_takes_end_at_the_limit);
    return kit_finish();
}
