/* The causal checker: histories that it must pass and must refuse.
 *
 * Three kinds of evidence. Small histories written by hand, one fact each. Random tiny histories,
 * where a reference that tries every order of the writes must agree with the checker, and every
 * chain that the checker shows must be one. And a simulated store of three replicas: what it
 * records is clean as long as it is right, and is found out when it is not.
 */
#include "kit.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "checker.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct guard guard;

/* Histories that fit end at a guard page. */
static struct verdict verdict_of(struct slice history) {
    struct verdict v;
    if (history.len <= GUARD_BYTES_MAX) history.at = guard_end(&guard, history);
    checker_run(&v, history);
    return v;
}

__attribute__((format(printf, 2, 3))) static void add_line(struct buffer *history,
                                                           const char *format, ...) {
    char line[128];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    CHECK(len >= 0 && (size_t)len < sizeof line);
    buffer_put(history, slice_of(line));
    buffer_put_char(history, '\n');
}

/* ---- A chain must be one ----
 *
 * What a violation shows is proof: here each step is looked up in the history. */

struct fields {
    struct slice at[5];
    size_t count;
};

static struct fields fields_of(struct slice history, uint32_t line) {
    struct fields f = {0};
    const char *at = history.at, *end = at + history.len;
    while (--line > 0)
        at = (const char *)memchr(at, '\n', (size_t)(end - at)) + 1;
    for (; f.count < 5; at++) {
        size_t len = strcspn(at, " \n");
        f.at[f.count++] = (struct slice){at, len};
        at += len;
        if (*at == '\n') break;
    }
    return f;
}

static bool field_is(const struct fields *f, size_t i, const char *text) {
    return i < f->count && slice_equal(f->at[i], slice_of(text));
}

static bool same_field(const struct fields *a, const struct fields *b, size_t i) {
    return i < a->count && i < b->count && slice_equal(a->at[i], b->at[i]);
}

static bool is_write(const struct fields *f) {
    return field_is(f, 0, "put") || field_is(f, 0, "delete");
}

/* May `get` have returned `write`? */
static bool returned(const struct fields *get, const struct fields *write) {
    if (!field_is(get, 0, "get") || !is_write(write) || !same_field(get, write, 2)) return false;
    if (field_is(get, 3, "found"))
        return field_is(write, 0, "put") && slice_equal(get->at[4], write->at[3]);
    if (!field_is(get, 3, "absent") || !field_is(write, 0, "delete")) return false;
    return get->count == 4 || slice_equal(get->at[4], write->at[3]);
}

/* Does a later chain of the verdict lead from one line to the other? */
static bool has_chain(const struct verdict *v, uint32_t from, uint32_t to) {
    for (size_t i = 1; i < v->steps_len; i++) {
        if (v->steps[i - 1].reason != STEP_LAST || v->steps[i].line != from) continue;
        size_t last = i;
        for (; v->steps[last].reason != STEP_LAST; last++)
            if (v->steps[last].reason == STEP_ARBITRATED) return false;
        if (v->steps[last].line == to) return true;
    }
    return false;
}

static bool step_holds(const struct verdict *v, size_t i, struct slice history) {
    const struct step *s = &v->steps[i], *next = s + 1;
    struct fields from = fields_of(history, s->line), to = {0}, because = {0};
    if (s->reason != STEP_LAST) to = fields_of(history, next->line);
    switch (s->reason) {
    case STEP_LAST: return true;
    case STEP_SESSION_ORDER:
        return s->line < next->line && same_field(&from, &to, 1) &&
               !(is_write(&from) && field_is(&from, 4, "unknown"));
    case STEP_READ_FROM: return to.count == 5 && returned(&to, &from);
    case STEP_EXPLAINS: return to.count == 4 && returned(&to, &from);
    case STEP_HANDED_OVER:
        return s->line < next->line && field_is(&to, 0, "take") &&
               slice_equal(from.at[1], to.at[2]);
    case STEP_ARBITRATED:
        because = fields_of(history, s->because);
        return s->line != next->line && is_write(&from) && same_field(&from, &because, 2) &&
               returned(&because, &to) && has_chain(v, s->line, s->because);
    case STEP_REFUSED: return field_is(&from, 4, "refused") && returned(&to, &from);
    case STEP_SAME_VALUE: return !same_field(&from, &to, 2) && slice_equal(from.at[3], to.at[4]);
    }
    return false;
}

static bool is_cycle(enum verdict_kind kind) {
    return kind == VERDICT_CAUSALITY_CYCLE || kind == VERDICT_STALE_READ ||
           kind == VERDICT_CONFLICTING_ORDER;
}

static void check_evidence(const struct verdict *v, struct slice history) {
    if (v->kind == VERDICT_CLEAN) {
        CHECK_U64(v->steps_len, 0);
        return;
    }
    if (!CHECK(v->steps_len > 0 && v->steps[v->steps_len - 1].reason == STEP_LAST)) return;
    size_t arbitrations = 0, last = 0;
    for (size_t i = 0; i < v->steps_len; i++) {
        CHECK(step_holds(v, i, history));
        arbitrations += v->steps[i].reason == STEP_ARBITRATED;
    }
    while (v->steps[last].reason != STEP_LAST)
        last++;
    if (is_cycle(v->kind)) CHECK(last > 0 && v->steps[0].line == v->steps[last].line);
    CHECK((v->kind == VERDICT_STALE_READ) == (arbitrations == 1));
    CHECK((v->kind == VERDICT_CONFLICTING_ORDER) == (arbitrations > 1));
}

/* ---- Written by hand ---- */

static void expect(enum verdict_kind kind, const char *text) {
    struct slice history = slice_of(text);
    struct verdict v = verdict_of(history);
    struct buffer shown = {0};
    verdict_put(&shown, &v, history);
    kit_note("%.*s", (int)shown.len, shown.at);
    CHECK_TEXT(slice_of(verdict_name(v.kind)), verdict_name(kind));
    CHECK(shown.len > 0 && shown.at[shown.len - 1] == '\n');
    if (v.kind != VERDICT_MALFORMED) check_evidence(&v, history);
    buffer_free(&shown);
    verdict_free(&v);
}

static void an_empty_history_is_clean(void) {
    expect(VERDICT_CLEAN, "");
    expect(VERDICT_CLEAN, "\n\n# nothing happened\n");
}

static void reading_what_was_written_is_clean(void) {
    expect(VERDICT_CLEAN, "get a x absent\n"
                          "put a x 1 ok\n"
                          "get a x found 1\n"
                          "put a x 2 ok\n"
                          "get b x found 1\n"
                          "get b x found 2\n");
}

static void a_read_may_be_recorded_before_the_write_that_it_returned(void) {
    expect(VERDICT_CLEAN, "get b x found 1\nput a x 1 ok\n");
}

static void not_knowing_of_a_write_excuses_an_old_answer(void) {
    expect(VERDICT_CLEAN, "put a x 1 ok\nput a x 2 ok\nget b x found 1\nget b x found 1\n");
    expect(VERDICT_CLEAN, "put a x 1 ok\nget b x absent\nget b x never\n");
}

static void concurrent_writes_may_be_seen_in_any_order_by_one_reader(void) {
    expect(VERDICT_CLEAN, "put a x 1 ok\nput b x 2 ok\nget c x found 1\nget c x found 2\n");
    expect(VERDICT_CLEAN, "put a x 1 ok\nput b x 2 ok\nget c x found 2\nget c x found 1\n");
}

static void one_session_must_see_its_own_writes(void) {
    expect(VERDICT_STALE_READ, "put a x 1 ok\nput a x 2 ok\nget a x found 1\n");
    expect(VERDICT_READ_OF_NOTHING, "put a x 1 ok\nget a x absent\n");
    expect(VERDICT_READ_OF_NOTHING, "put a x 1 ok\nget a x never\n");
}

static void reads_of_one_session_must_not_go_back(void) {
    expect(VERDICT_STALE_READ, "put a x 1 ok\n"
                               "put a x 2 ok\n"
                               "get b x found 2\n"
                               "get b x found 1\n");
}

static void a_read_brings_the_past_of_the_write_with_it(void) {
    expect(VERDICT_STALE_READ, "put a x 1 ok\n"
                               "put a x 2 ok\n"
                               "put a y 3 ok\n"
                               "get b y found 3\n"
                               "get b x found 1\n");
    expect(VERDICT_READ_OF_NOTHING, "put a x 1 ok\n"
                                    "put a y 2 ok\n"
                                    "get b y found 2\n"
                                    "put b z 3 ok\n"
                                    "get c z found 3\n"
                                    "get c x absent\n");
}

static void a_write_that_follows_another_wins_for_all(void) {
    expect(VERDICT_STALE_READ, "put a x 1 ok\n"
                               "get b x found 1\n"
                               "put b x 2 ok\n"
                               "get c x found 2\n"
                               "get c x found 1\n");
}

static void two_readers_must_agree_which_concurrent_write_wins(void) {
    expect(VERDICT_CONFLICTING_ORDER, "put a x 1 ok\n"
                                      "put b x 2 ok\n"
                                      "get c x found 1\n"
                                      "get c x found 2\n"
                                      "get d x found 2\n"
                                      "get d x found 1\n");
    expect(VERDICT_CONFLICTING_ORDER, "put a x 1 ok\n"
                                      "put b x 2 ok\n"
                                      "get a x found 2\n"
                                      "get b x found 1\n");
}

static void replicas_at_rest_must_agree(void) {
    expect(VERDICT_CLEAN, "put a x 1 ok\n"
                          "put b x 2 ok\n"
                          "take c a\ntake c b\n"
                          "take d a\ntake d b\n"
                          "get c x found 2\n"
                          "get d x found 2\n");
    expect(VERDICT_CONFLICTING_ORDER, "put a x 1 ok\n"
                                      "put b x 2 ok\n"
                                      "take c a\ntake c b\n"
                                      "take d a\ntake d b\n"
                                      "get c x found 2\n"
                                      "get d x found 1\n");
}

/* Each key for itself has an order; together, and with what was known when, they have none. */
static void orders_of_two_keys_must_fit_together(void) {
    expect(VERDICT_CONFLICTING_ORDER, "put a x 1 ok\n"
                                      "put a y 2 ok\n"
                                      "put b y 3 ok\n"
                                      "put b x 4 ok\n"
                                      "take c a\ntake c b\n"
                                      "get c x found 1\n"
                                      "take d a\ntake d b\n"
                                      "get d y found 3\n");
    expect(VERDICT_CLEAN, "put a x 1 ok\n"
                          "put a y 2 ok\n"
                          "put b y 3 ok\n"
                          "put b x 4 ok\n"
                          "take c a\ntake c b\n"
                          "get c x found 1\n"
                          "take d a\ntake d b\n"
                          "get d y found 2\n");
}

static void three_writes_must_not_win_in_a_circle(void) {
    expect(VERDICT_CONFLICTING_ORDER, "put a x 1 ok\n"
                                      "put b x 2 ok\n"
                                      "put c x 3 ok\n"
                                      "take d a\nget d x found 1\nget d x found 2\n"
                                      "take e b\nget e x found 2\nget e x found 3\n"
                                      "take f c\nget f x found 3\nget f x found 1\n");
}

static void nothing_is_in_its_own_past(void) {
    expect(VERDICT_CAUSALITY_CYCLE, "get a x found 1\nput a x 1 ok\n");
    expect(VERDICT_CAUSALITY_CYCLE, "get a x found 1\n"
                                    "put a y 2 ok\n"
                                    "get b y found 2\n"
                                    "put b x 1 ok\n");
}

static void metadata_handed_over_brings_its_past(void) {
    static const char *const start = "put a x 1 ok\nput a x 2 ok\ntake b a\n";
    char text[256];
    snprintf(text, sizeof text, "%s%s", start, "get b x found 2\n");
    expect(VERDICT_CLEAN, text);
    snprintf(text, sizeof text, "%s%s", start, "get b x found 1\n");
    expect(VERDICT_STALE_READ, text);
    snprintf(text, sizeof text, "%s%s", start, "get b x absent\n");
    expect(VERDICT_READ_OF_NOTHING, text);
    snprintf(text, sizeof text, "%s%s", start, "take c b\nget c x found 1\n");
    expect(VERDICT_STALE_READ, text);
}

static void metadata_handed_over_does_not_bring_what_came_later(void) {
    expect(VERDICT_CLEAN, "put a x 1 ok\ntake b a\nput a x 2 ok\nget b x found 1\n");
}

static void a_circle_through_handed_metadata_is_found(void) {
    expect(VERDICT_CAUSALITY_CYCLE, "get a x found 1\ntake b a\nput b x 1 ok\n");
    expect(VERDICT_CONFLICTING_ORDER, "put a x 1 ok\n"
                                      "take c a\n"
                                      "put b x 2 ok\n"
                                      "take d b\n"
                                      "get c x found 1\n"
                                      "get d x found 2\n"
                                      "take e d\n"
                                      "take e c\n"
                                      "get e x found 1\n"
                                      "take f e\n"
                                      "get f x found 2\n"
                                      "get a x found 2\n");
}

static void a_session_that_did_nothing_hands_over_nothing(void) {
    expect(VERDICT_CLEAN, "put a x 1 unknown\ntake b a\nget b x absent\n");
    expect(VERDICT_CLEAN, "put a x 1 refused\ntake b a\nget b x never\n");
}

/* ---- Writes that may have happened ---- */

static void an_unknown_write_may_never_show(void) {
    expect(VERDICT_CLEAN, "put a x 1 unknown\nget a x absent\nget b x never\n");
    expect(VERDICT_CLEAN, "put a x 1 ok\nput a x 2 unknown\nget a x found 1\n");
}

static void an_unknown_write_may_show_late(void) {
    expect(VERDICT_CLEAN, "put a x 1 unknown\n"
                          "get a x absent\n"
                          "put a x 2 ok\n"
                          "get a x found 2\n"
                          "get b x found 1\n"
                          "get a x found 1\n");
    expect(VERDICT_CLEAN, "put a x 1 ok\nput a x 2 unknown\nget a x found 1\nget a x found 2\n");
}

static void an_unknown_write_must_not_go_once_it_has_shown(void) {
    expect(VERDICT_READ_OF_NOTHING, "put a x 1 unknown\nget b x found 1\nget b x absent\n");
    expect(VERDICT_STALE_READ, "put a x 1 ok\n"
                               "put a x 2 unknown\n"
                               "get b x found 2\n"
                               "get b x found 1\n");
}

static void an_unknown_write_has_the_past_of_its_session(void) {
    expect(VERDICT_READ_OF_NOTHING, "put a y 1 ok\n"
                                    "put a x 2 unknown\n"
                                    "get b x found 2\n"
                                    "get b y absent\n");
}

static void an_unknown_write_precedes_nothing_in_its_session(void) {
    expect(VERDICT_CLEAN, "put a x 1 unknown\n"
                          "put a y 2 ok\n"
                          "get b y found 2\n"
                          "get b x absent\n"
                          "get b x found 1\n");
}

/* ---- Refused writes, values out of thin air ---- */

static void a_refused_operation_is_none(void) {
    expect(VERDICT_CLEAN, "put a x 1 ok\nput a x 2 refused\ndelete a x refused\n"
                          "get a x found 1\n");
    expect(VERDICT_CLEAN, "put a x 1 refused\nput a x 1 refused\nput a x 1 ok\nget a x found 1\n");
}

static void a_refused_write_must_not_show(void) {
    expect(VERDICT_REFUSED_WRITE, "put a x 1 refused\nget b x found 1\n");
    expect(VERDICT_REFUSED_WRITE, "get b x absent d\ndelete a x d refused\n");
}

static void values_do_not_come_out_of_thin_air(void) {
    expect(VERDICT_THIN_AIR, "get a x found 1\n");
    expect(VERDICT_THIN_AIR, "put a x 1 ok\nget a x found 11\n");
    expect(VERDICT_THIN_AIR, "put a y 1 refused\nget a x found 1\n");
    expect(VERDICT_THIN_AIR, "put a x 1 ok\ndelete a x d ok\nget a x absent e\n");
    expect(VERDICT_THIN_AIR, "put a x 1 ok\nget a x absent 1\n");
    expect(VERDICT_THIN_AIR, "put a x 1 ok\ndelete a x d ok\nget a x found d\n");
}

static void a_value_belongs_to_its_key(void) {
    expect(VERDICT_OTHER_KEY, "put a x 1 ok\nput a y 2 ok\nget b x found 2\n");
    expect(VERDICT_OTHER_KEY, "delete a x d ok\nget b y absent d\n");
    expect(VERDICT_CLEAN, "put a x 1 ok\nput b y 1 ok\nget c x found 1\nget c y found 1\n");
}

/* ---- Deletes ---- */

static void after_a_delete_its_value_does_not_come_back(void) {
    expect(VERDICT_CLEAN, "put a x 1 ok\ndelete a x d ok\nget a x absent d\n");
    expect(VERDICT_CLEAN, "put a x 1 ok\ndelete a x ok\nget a x absent\n");
    expect(VERDICT_STALE_READ, "put a x 1 ok\ndelete a x d ok\nget a x found 1\n");
    expect(VERDICT_STALE_READ, "put a x 1 ok\n"
                               "delete a x d ok\n"
                               "get b x absent d\n"
                               "get b x found 1\n");
    expect(VERDICT_READ_OF_NOTHING, "delete a x d ok\nget a x never\n");
}

static void a_delete_that_was_overwritten_explains_nothing(void) {
    expect(VERDICT_STALE_READ, "put a x 1 ok\n"
                               "delete a x d ok\n"
                               "put a x 2 ok\n"
                               "get a x absent d\n");
    expect(VERDICT_READ_OF_NOTHING, "put a x 1 ok\n"
                                    "delete a x ok\n"
                                    "put a x 2 ok\n"
                                    "get a x absent\n");
    expect(VERDICT_STALE_READ, "put a x 1 ok\n"
                               "delete a x ok\n"
                               "take b a\n"
                               "put b x 2 ok\n"
                               "get b x absent\n");
}

static void a_delete_that_follows_the_read_explains_nothing(void) {
    expect(VERDICT_READ_OF_NOTHING, "put a x 1 ok\nget a x absent\ndelete a x ok\n");
    expect(VERDICT_READ_OF_NOTHING, "put a x 1 ok\n"
                                    "get a x absent\n"
                                    "put a y 2 ok\n"
                                    "get b y found 2\n"
                                    "delete b x d ok\n");
    expect(VERDICT_READ_OF_NOTHING, "put a x 1 ok\nget a x absent\ntake b a\ndelete b x ok\n");
}

/* The second deduction rests on the first, and the stale read on the second. */
static void deductions_build_on_one_another(void) {
    expect(VERDICT_STALE_READ, "put e y 1 ok\n"
                               "put e y 2 ok\n"
                               "delete e z ok\n"
                               "delete a z ok\n"
                               "put a z 3 ok\n"
                               "delete a x ok\n"
                               "put c x 4 ok\n"
                               "get c x absent\n"
                               "get c z absent\n"
                               "get c y found 1\n");
}

static void a_delete_of_another_key_explains_nothing(void) {
    expect(VERDICT_READ_OF_NOTHING, "put a x 1 ok\ndelete b y ok\nget a x absent\n");
}

static void a_concurrent_delete_explains_an_absence(void) {
    expect(VERDICT_CLEAN, "put a x 1 ok\ndelete b x ok\nget a x absent\n");
    expect(VERDICT_CLEAN, "put a x 1 ok\ndelete b x unknown\nget a x absent\n");
    expect(VERDICT_READ_OF_NOTHING, "put a x 1 ok\ndelete b x refused\nget a x absent\n");
}

static void the_only_delete_that_explains_an_absence_was_seen(void) {
    expect(VERDICT_STALE_READ, "put a x 1 ok\n"
                               "delete a x ok\n"
                               "get b x found 1\n"
                               "get b x absent\n"
                               "get b x found 1\n");
    /* with it comes its past */
    expect(VERDICT_READ_OF_NOTHING, "put a y 1 ok\n"
                                    "delete a x ok\n"
                                    "put b x 2 ok\n"
                                    "get b x absent\n"
                                    "get b y absent\n");
}

static void of_two_deletes_none_is_held_to_have_been_seen(void) {
    struct slice history = SLICE("put a y 1 ok\n"
                                 "delete a x ok\n"
                                 "delete c x ok\n"
                                 "put b x 2 ok\n"
                                 "get b x absent\n"
                                 "get b y absent\n");
    struct verdict v = verdict_of(history);
    CHECK_U64(v.kind, VERDICT_CLEAN);
    CHECK_U64(v.unjudged, 1);
    verdict_free(&v);
}

static void two_readers_must_agree_whether_a_delete_wins(void) {
    expect(VERDICT_CONFLICTING_ORDER, "put a x 1 ok\n"
                                      "delete b x d ok\n"
                                      "get a x absent d\n"
                                      "get b x found 1\n");
    expect(VERDICT_CONFLICTING_ORDER, "put a x 1 ok\n"
                                      "delete b x ok\n"
                                      "get a x absent\n"
                                      "get b x found 1\n");
}

/* ---- Malformed input ---- */

static void malformed_input_is_refused_with_its_line(void) {
    static const struct {
        const char *text;
        uint32_t line, other_line;
    } cases[] = {
        {"put a x 1 ok", 1, 0},
        {"put a x 1 ok\nget a x found 1", 2, 0},
        {"\n", 0, 0},
        {" \n", 1, 0},
        {"put a x 1 ok\n\nput a x\n", 3, 0},
        {"put a x 1\n", 1, 0},
        {"put a x 1 ok \n", 1, 0},
        {"put a x 1 ok ok\n", 1, 0},
        {"put  a x 1 ok\n", 1, 0},
        {" put a x 1 ok\n", 1, 0},
        {"put\ta x 1 ok\n", 1, 0},
        {"put a x 1 ok\r\n", 1, 0},
        {"put a x 1\x7f ok\n", 1, 0},
        {"put a x 1 OK\n", 1, 0},
        {"put a x 1 maybe\n", 1, 0},
        {"Put a x 1 ok\n", 1, 0},
        {"read a x 1 ok\n", 1, 0},
        {"delete a x\n", 1, 0},
        {"delete a x d\n", 1, 0},
        {"delete a x d gone\n", 1, 0},
        {"get a x\n", 1, 0},
        {"get a x found\n", 1, 0},
        {"get a x 1\n", 1, 0},
        {"get a x seen 1\n", 1, 0},
        {"get a x never d\n", 1, 0},
        {"get a x absent d e\n", 1, 0},
        {"take a\n", 1, 0},
        {"take a a\n", 1, 0},
        {"take a b\n", 1, 0},
        {"put a x 1 ok\ntake a a\n", 2, 0},
        {"put a x 1 ok\ntake b a c\n", 2, 0},
        {"put a x 1 ok\ntake b c\nput c y 1 ok\n", 2, 0},
        {"put a x 1 ok\nput b y 1 ok\nput b x 1 ok\n", 3, 1},
        {"# twice\nput a x 1 unknown\nput a x 1 ok\n", 3, 2},
        {"delete a x d ok\ndelete a y d ok\ndelete b x d ok\n", 3, 1},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct verdict v = verdict_of(slice_of(cases[i].text));
        kit_note("%s", cases[i].text);
        CHECK((v.kind == VERDICT_MALFORMED) == (cases[i].line != 0));
        CHECK((v.error != NULL) == (cases[i].line != 0));
        CHECK_U64(v.line, cases[i].line);
        CHECK_U64(v.other_line, cases[i].other_line);
        verdict_free(&v);
        if (cases[i].line != 0) expect(VERDICT_MALFORMED, cases[i].text);
    }
}

static void names_are_any_bytes_but_space_and_control(void) {
    expect(VERDICT_CLEAN, "put \xc3\xa4\xff %20 {\"a\":[1]} ok\nget - %20 found {\"a\":[1]}\n");
    expect(VERDICT_CLEAN, "put put put put ok\nget take put found put\ntake get take\n");
    expect(VERDICT_THIN_AIR, "put a x %41 ok\nget a x found A\n");
    CHECK_U64(verdict_of((struct slice){"put a x \0 ok\n", 13}).kind, VERDICT_MALFORMED);
}

static void a_history_cut_anywhere_inside_a_line_is_refused(void) {
    struct slice whole = SLICE("# a\nput a x 1 ok\ntake b a\nget b x found 1\ndelete b x ok\n");
    for (size_t len = 1; len <= whole.len; len++) {
        struct verdict v = verdict_of((struct slice){whole.at, len});
        bool at_line_end = whole.at[len - 1] == '\n';
        CHECK_U64(v.kind, at_line_end ? VERDICT_CLEAN : VERDICT_MALFORMED);
        verdict_free(&v);
    }
}

static void random_bytes_are_survived(void) {
    static const char *const words[] = {"put",   "get",  "delete", "take",   "a",       "b",
                                        "x",     "y",    "1",      "2",      "ok",      "unknown",
                                        "found", "-",    "absent", "never",  "refused", " ",
                                        "\n",    "\r\n", "#",      "\xff\n", "  ",      "\n\n"};
    struct kit_random random = {kit_seed()};
    for (int round = 0; round < 3000; round++) {
        struct buffer text = {0};
        for (uint64_t left = kit_below(&random, 40); left > 0; left--) {
            buffer_put(&text, slice_of(words[kit_below(&random, COUNT(words))]));
            if (kit_below(&random, 8) != 0) buffer_put_char(&text, left % 5 == 0 ? '\n' : ' ');
        }
        kit_note("round %d", round);
        struct verdict v = verdict_of(buffer_slice(&text));
        CHECK(v.kind < VERDICT_KINDS);
        verdict_free(&v);
        buffer_free(&text);
    }
}

/* ---- What is shown ---- */

static void check_shown(const char *text, const char *expected) {
    struct slice history = slice_of(text);
    struct verdict v = verdict_of(history);
    struct buffer shown = {0};
    verdict_put(&shown, &v, history);
    CHECK_TEXT(buffer_slice(&shown), expected);
    buffer_free(&shown);
    verdict_free(&v);
}

/* The same as in docs/checker.md. */
static void a_violation_is_shown_with_its_reasons(void) {
    check_shown(
        "# two sessions; bob knows of red through the shape\n"
        "put alice color blue ok\n"
        "put alice color red ok\n"
        "get carol shape never\n"
        "put alice shape round ok\n"
        "get bob shape found round\n"
        "get bob color found blue\n",
        "violation: stale-read: a read returned what it knew to be overwritten\n"
        "  line 2: put alice color blue ok\n"
        "    before, in session order\n"
        "  line 3: put alice color red ok\n"
        "    arbitrated before, because line 7 knew of line 3 and yet answered with line 2\n"
        "  line 2: put alice color blue ok\n"
        "how line 3 was known to line 7:\n"
        "  line 3: put alice color red ok\n"
        "    before, in session order\n"
        "  line 5: put alice shape round ok\n"
        "    before, being what was read in\n"
        "  line 6: get bob shape found round\n"
        "    before, in session order\n"
        "  line 7: get bob color found blue\n");
}

static void of_several_writes_before_an_absence_the_last_is_shown(void) {
    check_shown("put a x 1 ok\nput a x 2 ok\ntake b a\nput b x 3 ok\nget b x absent\n",
                "violation: read-of-nothing: a key was absent, with a write of it in the past and "
                "no delete to explain it\n"
                "  line 4: put b x 3 ok\n"
                "    before, in session order\n"
                "  line 5: get b x absent\n");
}

static void figures_and_errors_are_shown_in_a_line(void) {
    check_shown("put a x 1 ok\nput b x 2 ok\nget a x found 2\n",
                "clean: 3 operations in 2 sessions, 1 edges of arbitration\n");
    check_shown("put a x 1 ok\nput a x 1 ok\n",
                "malformed: line 2: this was written before, so nobody can tell who reads which: "
                "see line 1\n");
}

/* Twenty sessions pass each other values, in a ring of forty reads; a short cut is there as well.
 */
static void the_smallest_of_many_cycles_is_shown(void) {
    struct buffer history = {0};
    add_line(&history, "put s0 x old ok");
    add_line(&history, "put s0 x new ok");
    add_line(&history, "put s0 k0 v0 ok");
    for (int i = 1; i < 20; i++) {
        add_line(&history, "get s%d k%d found v%d", i, i - 1, i - 1);
        add_line(&history, "put s%d k%d v%d ok", i, i, i);
    }
    add_line(&history, "get s19 x found old");
    add_line(&history, "get s1 x found old");
    struct verdict v = verdict_of(buffer_slice(&history));
    CHECK_U64(v.kind, VERDICT_STALE_READ);
    CHECK_U64(v.steps_len, 3 + 4); /* old, new, old; and new, v0, read by s1, who reads old */
    check_evidence(&v, buffer_slice(&history));
    verdict_free(&v);
    buffer_free(&history);
}

/* ---- Chains of any number and length ---- */

#define LENGTHS_MIXED 0

static int writes_of(int session, int writes) {
    return writes == LENGTHS_MIXED ? 2 + session * 11 % 37 : writes;
}

/* Sessions write a key each, `writes` times; after each write somebody takes the metadata and reads
 * the newest value, or, in one place, the one before. */
static enum verdict_kind check_chains(int sessions, int writes, int stale_session,
                                      int stale_write) {
    struct buffer history = {0};
    for (int s = 0; s < sessions; s++) {
        for (int n = 0; n < writes_of(s, writes); n++) {
            bool stale = s == stale_session && n == stale_write;
            add_line(&history, "put s%d k%d v%d ok", s, s, n);
            add_line(&history, "take r%d-%d s%d", s, n, s);
            add_line(&history, "get r%d-%d k%d found v%d", s, n, s, stale ? n - 1 : n);
        }
    }
    struct verdict v = verdict_of(buffer_slice(&history));
    enum verdict_kind kind = v.kind;
    kit_note("%d sessions of %d writes; at %d, %d", sessions, writes, stale_session, stale_write);
    check_evidence(&v, buffer_slice(&history));
    verdict_free(&v);
    buffer_free(&history);
    return kind;
}

static void chains_of_any_number_and_length_are_followed(void) {
    static const int sessions[] = {1, 2, 15, 16, 17, 40};
    static const int writes[] = {LENGTHS_MIXED, 2, 5, 16, 31, 32, 33, 34, 70};
    for (size_t i = 0; i < COUNT(sessions); i++) {
        for (size_t j = 0; j < COUNT(writes); j++) {
            int count = sessions[i], last = count - 1;
            CHECK_U64(check_chains(count, writes[j], -1, -1), VERDICT_CLEAN);
            for (int s = 0; s < count; s += 1 + count / 5) {
                int len = writes_of(s, writes[j]);
                for (int n = 1; n < len; n += 1 + len / 5)
                    CHECK_U64(check_chains(count, writes[j], s, n), VERDICT_STALE_READ);
                CHECK_U64(check_chains(count, writes[j], s, len - 1), VERDICT_STALE_READ);
            }
            CHECK_U64(check_chains(count, writes[j], last, 1), VERDICT_STALE_READ);
        }
    }
}

/* ---- The reference ----
 *
 * The definition as it stands, by brute force. For each choice of which uncertain writes happened
 * and of what each absent read saw: close the causal order, and try every order of the writes that
 * agrees with it; if in one of them each read returns the last write of its key in its past, the
 * history is right. */

#define TINY_OPS_MAX  8
#define TINY_SESSIONS 3
#define TINY_KEYS     2

enum { TINY_PUT, TINY_DELETE, TINY_GET, TINY_TAKE };
enum { SAW_NOTHING = -1, SAW_THIN_AIR = -2 };

struct tiny_op {
    int verb, session, key;
    bool uncertain; /* write: unknown; GET: absent, and what it saw is not said */
    int saw;        /* GET: the write, or SAW_...; TAKE: the other session */
};

struct tiny {
    struct tiny_op op[TINY_OPS_MAX];
    int len;
};

struct world {
    const struct tiny *t;
    bool happened[TINY_OPS_MAX];
    int saw[TINY_OPS_MAX];
    bool past[TINY_OPS_MAX][TINY_OPS_MAX]; /* [a][b]: a is in the past of b */
    int order[TINY_OPS_MAX], ordered;
    bool placed[TINY_OPS_MAX];
};

static bool tiny_is_write(const struct tiny_op *op) {
    return op->verb == TINY_PUT || op->verb == TINY_DELETE;
}

/* The last operation before `end` that the session's metadata tells of, or -1. */
static int tiny_end(const struct tiny *t, int session, int end) {
    for (int i = end - 1; i >= 0; i--) {
        bool tells = !(tiny_is_write(&t->op[i]) && t->op[i].uncertain);
        if (t->op[i].session == session && tells) return i;
    }
    return -1;
}

/* False: something is in its own past. */
static bool close_past(struct world *w) {
    const struct tiny *t = w->t;
    memset(w->past, 0, sizeof w->past);
    for (int i = 0; i < t->len; i++) {
        int before = tiny_end(t, t->op[i].session, i);
        if (before >= 0) w->past[before][i] = true;
        if (t->op[i].verb == TINY_GET && w->saw[i] >= 0) w->past[w->saw[i]][i] = true;
        int other = t->op[i].verb == TINY_TAKE ? tiny_end(t, t->op[i].saw, i) : -1;
        if (other >= 0) w->past[other][i] = true;
    }
    for (int k = 0; k < t->len; k++)
        for (int i = 0; i < t->len; i++)
            for (int j = 0; j < t->len; j++)
                w->past[i][j] = w->past[i][j] || (w->past[i][k] && w->past[k][j]);
    for (int i = 0; i < t->len; i++)
        if (w->past[i][i]) return false;
    return true;
}

static bool reads_return_the_last(const struct world *w) {
    for (int r = 0; r < w->t->len; r++) {
        const struct tiny_op *get = &w->t->op[r];
        if (get->verb != TINY_GET) continue;
        int last = SAW_NOTHING;
        for (int i = 0; i < w->ordered; i++)
            if (w->t->op[w->order[i]].key == get->key && w->past[w->order[i]][r])
                last = w->order[i];
        if (last != w->saw[r]) return false;
    }
    return true;
}

static bool some_order_fits(struct world *w) {
    bool is_complete = true;
    for (int i = 0; i < w->t->len; i++) {
        if (!tiny_is_write(&w->t->op[i]) || !w->happened[i] || w->placed[i]) continue;
        is_complete = false;
        bool is_next = true;
        for (int j = 0; j < w->t->len; j++) {
            bool waits = tiny_is_write(&w->t->op[j]) && w->happened[j] && !w->placed[j];
            if (waits && w->past[j][i]) is_next = false;
        }
        if (!is_next) continue;
        w->placed[i] = true;
        w->order[w->ordered++] = i;
        bool fits = some_order_fits(w);
        w->placed[i] = false;
        w->ordered--;
        if (fits) return true;
    }
    return is_complete && reads_return_the_last(w);
}

static bool some_world_fits(struct world *w, int i) {
    const struct tiny *t = w->t;
    if (i == t->len) {
        for (int r = 0; r < t->len; r++)
            if (t->op[r].verb == TINY_GET && w->saw[r] >= 0 && !w->happened[w->saw[r]])
                return false;
        return close_past(w) && some_order_fits(w);
    }
    const struct tiny_op *op = &t->op[i];
    w->happened[i] = true;
    w->saw[i] = op->saw;
    if (tiny_is_write(op) && op->uncertain) {
        w->happened[i] = false;
        if (some_world_fits(w, i + 1)) return true;
        w->happened[i] = true;
    }
    if (op->verb == TINY_GET && op->uncertain) {
        for (int d = 0; d < t->len; d++) {
            w->saw[i] = d;
            bool explains = t->op[d].verb == TINY_DELETE && t->op[d].key == op->key;
            if (explains && some_world_fits(w, i + 1)) return true;
        }
        w->saw[i] = SAW_NOTHING;
    }
    return w->saw[i] != SAW_THIN_AIR && some_world_fits(w, i + 1);
}

static bool reference_is_clean(const struct tiny *t) {
    struct world w = {.t = t};
    return some_world_fits(&w, 0);
}

/* ---- Tiny histories ---- */

static int pick(struct kit_random *random, int bound) {
    return (int)kit_below(random, (uint64_t)bound);
}

/* What the GET returns: most often some write of its key, be it in the future. */
static void pick_answer(struct kit_random *random, struct tiny *t, struct tiny_op *get) {
    int writes[TINY_OPS_MAX], count = 0;
    bool from_future = pick(random, 10) == 0;
    for (int i = 0; i < t->len && (&t->op[i] < get || from_future); i++)
        if (tiny_is_write(&t->op[i]) && t->op[i].key == get->key) writes[count++] = i;
    get->saw = SAW_NOTHING;
    if (pick(random, 200) == 0) get->saw = SAW_THIN_AIR;
    if (count == 0 || pick(random, 8) == 0) {
        get->uncertain = get->saw == SAW_NOTHING && pick(random, 2) == 0;
        return;
    }
    get->saw = writes[pick(random, count)];
    if (t->op[get->saw].verb == TINY_DELETE && pick(random, 2) == 0) {
        get->uncertain = true;
        get->saw = SAW_NOTHING;
    }
}

static struct tiny random_tiny(struct kit_random *random) {
    struct tiny t = {.len = 2 + pick(random, TINY_OPS_MAX - 1)};
    int sessions = 1 + pick(random, TINY_SESSIONS), keys = 1 + pick(random, TINY_KEYS);
    int deletes = pick(random, 3);  /* in a third of the histories none */
    int gets = 6 + pick(random, 9); /* of twenty */
    bool writes_first = pick(random, 2) == 0;
    for (int i = 0; i < t.len; i++) {
        struct tiny_op *op = &t.op[i];
        int dice = pick(random, 20);
        if (writes_first) gets = i < t.len / 2 ? 1 : 18;
        op->verb = dice < gets ? TINY_GET : dice < gets + 2 ? TINY_TAKE : TINY_PUT;
        if (op->verb == TINY_PUT && pick(random, 4) < deletes) op->verb = TINY_DELETE;
        op->session = pick(random, sessions);
        op->key = pick(random, keys);
        op->uncertain = tiny_is_write(op) && pick(random, 6) == 0;
        if (op->verb != TINY_TAKE) continue;
        int other = t.op[pick(random, i + 1)].session; /* somebody who was there before */
        if (other == op->session) op->verb = TINY_GET;
        op->saw = other;
    }
    for (int i = 0; i < t.len; i++)
        if (t.op[i].verb == TINY_GET) pick_answer(random, &t, &t.op[i]);
    return t;
}

static void put_tiny_get(struct buffer *history, const struct tiny *t, const struct tiny_op *op) {
    if (op->uncertain) {
        add_line(history, "get s%d k%d absent", op->session, op->key);
    } else if (op->saw == SAW_NOTHING) {
        add_line(history, "get s%d k%d never", op->session, op->key);
    } else if (op->saw == SAW_THIN_AIR) {
        add_line(history, "get s%d k%d found air", op->session, op->key);
    } else {
        bool found = t->op[op->saw].verb == TINY_PUT;
        add_line(history, "get s%d k%d %s v%d", op->session, op->key, found ? "found" : "absent",
                 op->saw);
    }
}

static void put_tiny(struct buffer *history, const struct tiny *t) {
    for (int i = 0; i < t->len; i++) {
        const struct tiny_op *op = &t->op[i];
        if (op->verb == TINY_GET) {
            put_tiny_get(history, t, op);
        } else if (op->verb == TINY_TAKE) {
            add_line(history, "take s%d s%d", op->session, op->saw);
        } else {
            add_line(history, "%s s%d k%d v%d %s", op->verb == TINY_PUT ? "put" : "delete",
                     op->session, op->key, i, op->uncertain ? "unknown" : "ok");
        }
    }
}

static void verdicts_agree_with_the_reference(void) {
    enum { ROUNDS = 40000 };
    struct kit_random random = {kit_seed()};
    unsigned seen[VERDICT_KINDS] = {0}, unjudged = 0, missed = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct tiny t = random_tiny(&random);
        struct buffer history = {0};
        put_tiny(&history, &t);
        struct verdict v = verdict_of(buffer_slice(&history));
        bool clean = reference_is_clean(&t);
        kit_note("round %d\n%.*s", round, (int)history.len, history.at);
        if (v.kind == VERDICT_CLEAN && v.unjudged > 0) {
            unjudged++;
            missed += !clean;
        } else {
            CHECK_U64(v.kind == VERDICT_CLEAN, clean);
        }
        check_evidence(&v, buffer_slice(&history));
        seen[v.kind]++;
        verdict_free(&v);
        buffer_free(&history);
    }
    kit_note("all rounds");
    printf("%d tiny histories agree:", ROUNDS);
    for (enum verdict_kind kind = VERDICT_CLEAN; kind < VERDICT_KINDS; kind++) {
        bool can_come =
            kind != VERDICT_MALFORMED && kind != VERDICT_OTHER_KEY && kind != VERDICT_REFUSED_WRITE;
        CHECK(!can_come || seen[kind] > ROUNDS / 1000);
        if (can_come) printf(" %s %u", verdict_name(kind), seen[kind]);
    }
    printf("; %u with absences not judged, %u of them wrong\n", unjudged, missed);
}

/* ---- A simulated store ----
 *
 * Three replicas, last writer wins. A session's metadata is a vector clock of what it has seen; a
 * replica that lacks some of it refuses. Writes travel along the order of their origin and are
 * delivered when their dependencies are there. */

#define REPLICAS      3
#define SESSIONS_MAX  400
#define STORE_NOTHING UINT32_MAX
#define DELIVERIES    3 /* tried at each step; some six of nine are between two replicas */
#define TICK_STEPS    4 /* of the clock that all replicas share: equal stamps must happen */

enum bug {
    BUG_NONE,
    BUG_NO_CHECK,         /* dependencies are neither checked at reads nor awaited at delivery */
    BUG_NO_TIE_BREAK,     /* of equal stamps the one that arrives later wins */
    BUG_LOST_WRITE,       /* now and then a delivered write is not stored */
    BUG_SILENT_TOMBSTONE, /* a 404 does not tell the session what it has seen */
    BUGS,
};

struct clock {
    uint32_t n[REPLICAS];
};

struct stored_write {
    uint32_t key, origin, n;
    bool is_delete;
    uint64_t time;
    struct clock deps;
};

struct store_session {
    struct clock seen;
    uint32_t number;
    bool did_anything;
};

struct model {
    struct kit_random random;
    enum bug bug;
    bool tells_deletes; /* a 404 tells which delete it was */
    uint32_t keys, sessions, sessions_named;
    uint32_t steps, operations;
    struct buffer history;
    struct stored_write *writes; /* all of them, by number */
    uint32_t writes_len, writes_cap;
    uint32_t *by_origin[REPLICAS]; /* [n - 1]: number of the write (origin, n) */
    struct clock delivered[REPLICAS];
    uint64_t time[REPLICAS];
    uint32_t *value[REPLICAS]; /* by key: number of the write that stands, or STORE_NOTHING */
    struct store_session session[SESSIONS_MAX];
};

static bool chance(struct model *m, uint64_t one_in) {
    return kit_below(&m->random, one_in) == 0;
}

static void model_init(struct model *m, uint64_t seed, enum bug bug, uint32_t sessions,
                       uint32_t keys, uint32_t steps) {
    *m = (struct model){.random = {seed}, .bug = bug, .keys = keys, .sessions = sessions};
    m->tells_deletes = bug != BUG_NONE || seed % 2 == 0;
    m->writes_cap = steps;
    m->writes = bytes_alloc(steps * sizeof *m->writes);
    for (int r = 0; r < REPLICAS; r++) {
        m->by_origin[r] = bytes_alloc(steps * sizeof(uint32_t));
        m->value[r] = bytes_alloc(keys * sizeof(uint32_t));
        for (uint32_t key = 0; key < keys; key++)
            m->value[r][key] = STORE_NOTHING;
    }
    for (uint32_t s = 0; s < sessions; s++)
        m->session[s] = (struct store_session){.number = m->sessions_named++};
}

static void model_free(struct model *m) {
    for (int r = 0; r < REPLICAS; r++) {
        free(m->by_origin[r]);
        free(m->value[r]);
    }
    free(m->writes);
    buffer_free(&m->history);
}

static bool clock_covers(const struct clock *have, const struct clock *need) {
    for (int r = 0; r < REPLICAS; r++)
        if (have->n[r] < need->n[r]) return false;
    return true;
}

static void clock_join(struct clock *c, const struct clock *other) {
    for (int r = 0; r < REPLICAS; r++)
        if (c->n[r] < other->n[r]) c->n[r] = other->n[r];
}

static void observe(struct clock *seen, const struct stored_write *w) {
    clock_join(seen, &w->deps);
    if (seen->n[w->origin] < w->n) seen->n[w->origin] = w->n;
}

static void apply(struct model *m, uint32_t replica, uint32_t number) {
    const struct stored_write *w = &m->writes[number];
    uint32_t *stands = &m->value[replica][w->key];
    m->delivered[replica].n[w->origin] = w->n;
    if (m->time[replica] < w->time) m->time[replica] = w->time;
    if (m->bug == BUG_LOST_WRITE && w->origin != replica && chance(m, 10)) return;
    const struct stored_write *old = *stands == STORE_NOTHING ? NULL : &m->writes[*stands];
    bool wins = old == NULL || w->time > old->time;
    if (old != NULL && w->time == old->time) {
        wins = m->bug == BUG_NO_TIE_BREAK || w->origin > old->origin;
    }
    if (wins) *stands = number;
}

/* The next write of one origin, if it may come. */
static bool model_deliver_next(struct model *m, uint32_t replica, uint32_t origin) {
    uint32_t n = m->delivered[replica].n[origin];
    if (origin == replica || n == m->delivered[origin].n[origin]) return false;
    uint32_t number = m->by_origin[origin][n];
    bool ready = clock_covers(&m->delivered[replica], &m->writes[number].deps);
    if (!ready && m->bug != BUG_NO_CHECK) return false;
    apply(m, replica, number);
    return true;
}

static void deliver_all(struct model *m) {
    bool moved = true;
    while (moved) {
        moved = false;
        for (uint32_t r = 0; r < REPLICAS; r++)
            for (uint32_t origin = 0; origin < REPLICAS; origin++)
                while (model_deliver_next(m, r, origin))
                    moved = true;
    }
}

static void model_write(struct model *m, struct store_session *s, uint32_t replica, uint32_t key) {
    bool is_delete = m->value[replica][key] != STORE_NOTHING && chance(m, 4);
    bool is_answered = !chance(m, 20), happens = is_answered || chance(m, 2);
    uint32_t number = m->writes_len;
    assert(number < m->writes_cap);
    if (is_delete && !m->tells_deletes) {
        add_line(&m->history, "delete s%u k%u %s", s->number, key, is_answered ? "ok" : "unknown");
    } else {
        add_line(&m->history, "%s s%u k%u v%u %s", is_delete ? "delete" : "put", s->number, key,
                 number, is_answered ? "ok" : "unknown");
    }
    s->did_anything = true;
    m->writes_len++;
    if (!happens) return;
    uint32_t n = m->delivered[replica].n[replica] + 1;
    uint64_t tick = m->steps / TICK_STEPS, next = m->time[replica] + 1;
    m->writes[number] = (struct stored_write){.key = key,
                                              .origin = replica,
                                              .n = n,
                                              .is_delete = is_delete,
                                              .time = next > tick ? next : tick,
                                              .deps = s->seen};
    m->by_origin[replica][n - 1] = number;
    apply(m, replica, number);
    if (is_answered) observe(&s->seen, &m->writes[number]);
}

static void model_read(struct model *m, struct store_session *s, uint32_t replica, uint32_t key) {
    uint32_t number = m->value[replica][key];
    s->did_anything = true;
    if (number == STORE_NOTHING) {
        add_line(&m->history, "get s%u k%u %s", s->number, key,
                 m->tells_deletes ? "never" : "absent");
        return;
    }
    const struct stored_write *w = &m->writes[number];
    if (w->is_delete && !m->tells_deletes) {
        add_line(&m->history, "get s%u k%u absent", s->number, key);
    } else {
        add_line(&m->history, "get s%u k%u %s v%u", s->number, key,
                 w->is_delete ? "absent" : "found", number);
    }
    if (!w->is_delete || m->bug != BUG_SILENT_TOMBSTONE) observe(&s->seen, w);
}

/* The thread goes on as a new session, with nothing or with the metadata of another one. */
static void model_renew(struct model *m, struct store_session *s) {
    struct store_session *other = &m->session[kit_below(&m->random, m->sessions)];
    struct store_session fresh = {.number = m->sessions_named++};
    if (other->did_anything) {
        add_line(&m->history, "take s%u s%u", fresh.number, other->number);
        fresh.seen = other->seen;
        fresh.did_anything = true;
    }
    *s = fresh;
}

static void model_step(struct model *m, uint64_t renew_one_in) {
    struct store_session *s = &m->session[kit_below(&m->random, m->sessions)];
    uint32_t replica = (uint32_t)kit_below(&m->random, REPLICAS);
    uint32_t key = (uint32_t)kit_below(&m->random, m->keys);
    for (int i = 0; i < DELIVERIES; i++) {
        uint32_t to = (uint32_t)kit_below(&m->random, REPLICAS);
        uint32_t from = (uint32_t)kit_below(&m->random, REPLICAS);
        model_deliver_next(m, to, from);
    }
    m->steps++;
    if (chance(m, renew_one_in)) model_renew(m, s);
    if (!clock_covers(&m->delivered[replica], &s->seen) && m->bug != BUG_NO_CHECK) {
        if (chance(m, 4)) add_line(&m->history, "put s%u k%u no refused", s->number, key);
        if (s->did_anything) return;
    }
    m->operations++;
    if (chance(m, 2)) {
        model_write(m, s, replica, key);
    } else {
        model_read(m, s, replica, key);
    }
}

/* When everything is everywhere, sessions that know of everything read every key everywhere. */
static void model_finish(struct model *m) {
    deliver_all(m);
    for (uint32_t s = 0; s < m->sessions; s++) {
        if (m->session[s].did_anything) {
            add_line(&m->history, "take end%d s%u", 0, m->session[s].number);
        }
    }
    struct store_session end[REPLICAS];
    for (uint32_t r = 0; r < REPLICAS; r++) {
        end[r] = (struct store_session){.number = m->sessions_named++};
        add_line(&m->history, "take s%u end0", end[r].number);
        for (uint32_t key = 0; key < m->keys; key++)
            model_read(m, &end[r], r, key);
    }
}

static struct verdict run_model(struct model *m, uint64_t seed, enum bug bug, uint32_t operations) {
    uint32_t sessions = 2 + (uint32_t)(seed % 7), keys = 1 + (uint32_t)(seed % 5);
    model_init(m, seed, bug, sessions, keys, operations);
    while (m->operations < operations)
        model_step(m, 10 + seed % 50);
    model_finish(m);
    struct verdict v = verdict_of(buffer_slice(&m->history));
    check_evidence(&v, buffer_slice(&m->history));
    return v;
}

static void a_right_store_is_always_clean(void) {
    enum { SEEDS = 3000 };
    static struct model m;
    uint64_t operations = 0;
    for (uint64_t i = 0; i < SEEDS; i++) {
        uint64_t seed = kit_seed() + i;
        kit_note("seed %llu", (unsigned long long)seed);
        struct verdict v = run_model(&m, seed, BUG_NONE, 300);
        CHECK_TEXT(slice_of(verdict_name(v.kind)), "clean");
        operations += v.operations;
        verdict_free(&v);
        model_free(&m);
    }
    printf("%d histories of a right store, %llu operations\n", SEEDS,
           (unsigned long long)operations);
}

static void a_wrong_store_is_found_out_in_most_seeds(void) {
    enum { SEEDS = 200 };
    static const char *const names[BUGS] = {"", "no check", "no tie-break", "a write lost",
                                            "silent tombstone"};
    static struct model m;
    for (enum bug bug = BUG_NO_CHECK; bug < BUGS; bug++) {
        unsigned found = 0;
        for (uint64_t i = 0; i < SEEDS; i++) {
            kit_note("%s, seed %llu", names[bug], (unsigned long long)(kit_seed() + i));
            struct verdict v = run_model(&m, kit_seed() + i, bug, 2000);
            CHECK(v.kind != VERDICT_MALFORMED);
            found += v.kind != VERDICT_CLEAN;
            verdict_free(&v);
            model_free(&m);
        }
        printf("%s: found in %u of %d seeds\n", names[bug], found, SEEDS);
        CHECK(found > SEEDS / 2);
    }
}

/* ---- Size ---- */

static void check_large(const char *what, uint32_t sessions, uint32_t keys, uint64_t renew_one_in,
                        uint32_t operations) {
    static struct model m;
    struct timespec start, end;
    model_init(&m, kit_seed(), BUG_NONE, sessions, keys, operations);
    m.tells_deletes = true;
    while (m.operations < operations)
        model_step(&m, renew_one_in);
    model_finish(&m);
    clock_gettime(CLOCK_MONOTONIC, &start);
    struct verdict v = verdict_of(buffer_slice(&m.history));
    clock_gettime(CLOCK_MONOTONIC, &end);
    CHECK_U64(v.kind, VERDICT_CLEAN);
    printf("%s: %u operations in %u sessions, %zu edges, %u unjudged: %.2f s\n", what, v.operations,
           v.sessions, v.edges, v.unjudged,
           (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9);
    verdict_free(&v);
    model_free(&m);
}

static void a_million_operations_are_checked(void) {
    check_large("few long sessions", 100, 1000, 1000000, 1000000);
}

static void tens_of_thousands_of_sessions_are_checked(void) {
    check_large("many short sessions", 100, 1000, 3, 100000);
}

int main(void) {
    guard = guard_create();
    RUN(an_empty_history_is_clean);
    RUN(reading_what_was_written_is_clean);
    RUN(a_read_may_be_recorded_before_the_write_that_it_returned);
    RUN(not_knowing_of_a_write_excuses_an_old_answer);
    RUN(concurrent_writes_may_be_seen_in_any_order_by_one_reader);
    RUN(one_session_must_see_its_own_writes);
    RUN(reads_of_one_session_must_not_go_back);
    RUN(a_read_brings_the_past_of_the_write_with_it);
    RUN(a_write_that_follows_another_wins_for_all);
    RUN(two_readers_must_agree_which_concurrent_write_wins);
    RUN(replicas_at_rest_must_agree);
    RUN(orders_of_two_keys_must_fit_together);
    RUN(three_writes_must_not_win_in_a_circle);
    RUN(nothing_is_in_its_own_past);
    RUN(metadata_handed_over_brings_its_past);
    RUN(metadata_handed_over_does_not_bring_what_came_later);
    RUN(a_circle_through_handed_metadata_is_found);
    RUN(a_session_that_did_nothing_hands_over_nothing);
    RUN(an_unknown_write_may_never_show);
    RUN(an_unknown_write_may_show_late);
    RUN(an_unknown_write_must_not_go_once_it_has_shown);
    RUN(an_unknown_write_has_the_past_of_its_session);
    RUN(an_unknown_write_precedes_nothing_in_its_session);
    RUN(a_refused_operation_is_none);
    RUN(a_refused_write_must_not_show);
    RUN(values_do_not_come_out_of_thin_air);
    RUN(a_value_belongs_to_its_key);
    RUN(after_a_delete_its_value_does_not_come_back);
    RUN(a_delete_that_was_overwritten_explains_nothing);
    RUN(a_delete_that_follows_the_read_explains_nothing);
    RUN(deductions_build_on_one_another);
    RUN(a_delete_of_another_key_explains_nothing);
    RUN(a_concurrent_delete_explains_an_absence);
    RUN(the_only_delete_that_explains_an_absence_was_seen);
    RUN(of_two_deletes_none_is_held_to_have_been_seen);
    RUN(two_readers_must_agree_whether_a_delete_wins);
    RUN(malformed_input_is_refused_with_its_line);
    RUN(names_are_any_bytes_but_space_and_control);
    RUN(a_history_cut_anywhere_inside_a_line_is_refused);
    RUN(random_bytes_are_survived);
    RUN(a_violation_is_shown_with_its_reasons);
    RUN(of_several_writes_before_an_absence_the_last_is_shown);
    RUN(figures_and_errors_are_shown_in_a_line);
    RUN(the_smallest_of_many_cycles_is_shown);
    RUN(chains_of_any_number_and_length_are_followed);
    RUN(verdicts_agree_with_the_reference);
    RUN(a_right_store_is_always_clean);
    RUN(a_wrong_store_is_found_out_in_most_seeds);
    RUN(a_million_operations_are_checked);
    RUN(tens_of_thousands_of_sessions_are_checked);
    guard_free(&guard);
    return kit_finish();
}
