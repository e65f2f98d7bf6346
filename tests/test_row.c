/* Rows as their receivers keep and compare them. */
#include "kit.h"

#include <stdlib.h>

#include "../row.h"

#define GROUP 4711

/* ---- Making rows ---- */

static struct actors *two_actors(void) {
    struct actors *as = actors_create();
    struct address a = kit_address("a:1"), b = kit_address("b:1");
    CHECK_U64(actors_learn(as, 0xa, &a, 1, GROUP), 0);
    CHECK_U64(actors_learn(as, 0xb, &b, 2, GROUP), 1);
    return as;
}

/* Slots below `split` have {a: low}, the others {a: high, b: 1}. */
static struct parts two_parts(uint32_t split, uint64_t low, uint64_t high) {
    struct parts ps;
    struct vclock below = {0}, above = {0};
    vclock_set(&below, (struct dot){0, low});
    vclock_set(&above, (struct dot){0, high});
    vclock_set(&above, (struct dot){1, 1});
    parts_init(&ps);
    for (uint32_t s = 0; s < SHARD_SLOTS; s++)
        parts_join_slot(&ps, s, s < split ? &below : &above, NULL);
    parts_found(&ps, &ps.list[ps.of_slot[0]].slots, GROUP);
    vclock_free(&below);
    vclock_free(&above);
    return ps;
}

static void put_row(struct buffer *out, const struct parts *ps, const struct actors *as) {
    static const uint64_t maps[] = {77, 11};
    static const uint8_t no_slots[WIRE_SLOTS_BYTES];
    struct wire_row_writer w;
    struct wire_row_peer peer = {.address = kit_address("b:1"), .boot = 2, .in_view = true};
    wire_begin_row(&w, out, WIRE_ROW_SYNCED | WIRE_ROW_HEARS_YOU, maps, 2);
    wire_put_row_peer(&w, &peer);
    for (uint32_t i = 0; i < ps->count; i++) {
        row_put_part(out, &ps->list[i], as);
        wire_count_part(&w);
    }
    wire_begin_part(out, no_slots, 0, 1); /* held back: from the fifth write of b on */
    wire_put_dot(out, (struct wire_dot){0xb, 5});
    wire_count_part(&w);
    wire_end_row(&w);
}

static struct slice body_of(const struct buffer *frame) {
    return (struct slice){frame->at + WIRE_HEAD_BYTES, frame->len - WIRE_HEAD_BYTES};
}

static struct row row_of(const struct parts *ps, const struct actors *as) {
    struct buffer frame = {0};
    struct row row = {0};
    put_row(&frame, ps, as);
    CHECK(row_read(&row, body_of(&frame), as));
    buffer_free(&frame);
    return row;
}

/* ---- Reading ---- */

static void a_row_is_read_as_it_was_put(void) {
    struct actors *as = two_actors();
    struct parts ps = two_parts(10, 3, 4);
    struct row row = row_of(&ps, as);
    struct address b = kit_address("b:1"), c = kit_address("c:1");
    CHECK(row.is_heard && row.synced && row.hears_me);
    CHECK(row.map_id == 77 && row_knows_map(&row, 77) && row_knows_map(&row, 11));
    CHECK(!row_knows_map(&row, 0) && !row_knows_map(&row, 12));
    CHECK(row_find_peer(&row, &c) == NULL);
    const struct row_peer *peer = row_find_peer(&row, &b);
    CHECK(peer != NULL && peer->boot == 2 && peer->is_listed);
    CHECK_U64(row.part_count, 2);
    CHECK_U64(vclock_get(&row.held, 1), 5);
    for (uint32_t s = 0; s < SHARD_SLOTS; s++)
        CHECK(vclock_equal(row_clock(&row, s), parts_clock(&ps, s)));
    row_clear(&row);
    CHECK(!row.is_heard && row_clock(&row, 0) == NULL);
    parts_free(&ps);
    actors_free(as);
}

static void a_row_that_names_a_stranger_is_refused_and_leaves_nothing(void) {
    struct actors *as = two_actors(), *fewer = actors_create();
    struct address a = kit_address("a:1");
    struct parts ps = two_parts(10, 3, 4);
    struct row row = row_of(&ps, as);
    struct buffer frame = {0};
    actors_learn(fewer, 0xa, &a, 1, GROUP);
    put_row(&frame, &ps, as);
    CHECK(!row_read(&row, body_of(&frame), fewer));
    CHECK(!row.is_heard && !row.synced && row.part_count == 0 && row.peers == NULL);
    row = row_of(&ps, as);
    struct slice body = body_of(&frame);
    CHECK(!row_read(&row, (struct slice){body.at, body.len - 1}, as));
    CHECK(!row.is_heard && row.part_count == 0);
    buffer_free(&frame);
    parts_free(&ps);
    actors_free(as);
    actors_free(fewer);
}

/* ---- Comparing ---- */

static void slots_below(struct slots *set, uint32_t end) {
    *set = (struct slots){0};
    for (uint32_t s = 0; s < end; s++)
        slots_add(set, s);
}

static void a_row_is_covered_slot_by_slot(void) {
    struct actors *as = two_actors();
    struct parts theirs = two_parts(10, 3, 4), level = two_parts(10, 3, 4);
    struct parts ahead = two_parts(10, 4, 4), behind = two_parts(11, 3, 4);
    struct row row = row_of(&theirs, as);
    struct slots all, ten;
    slots_below(&all, SHARD_SLOTS);
    slots_below(&ten, 10);
    CHECK(row_is_covered(&row, &level, &all));
    CHECK(row_is_covered(&row, &ahead, &all));
    CHECK(!row_is_covered(&row, &behind, &all)); /* slot 10 lacks the fourth write */
    CHECK(row_is_covered(&row, &behind, &ten));
    struct row nothing = {0};
    CHECK(row_is_covered(&nothing, &behind, &all));
    row_clear(&row);
    parts_free(&theirs);
    parts_free(&level);
    parts_free(&ahead);
    parts_free(&behind);
    actors_free(as);
}

static void a_dot_is_there_when_every_slot_has_it(void) {
    struct actors *as = two_actors();
    struct parts ps = two_parts(10, 3, 4);
    struct row row = row_of(&ps, as), nothing = {0};
    struct slots all, ten, none = {0};
    slots_below(&all, SHARD_SLOTS);
    slots_below(&ten, 10);
    CHECK(row_has(&row, (struct dot){0, 3}, &all, &all));
    CHECK(!row_has(&row, (struct dot){0, 4}, &all, &all));
    CHECK(!row_has(&row, (struct dot){0, 4}, &all, &ten));
    CHECK(row_has(&row, (struct dot){0, 4}, &all, &none)); /* no slot is in both */
    CHECK(!row_has(&row, (struct dot){1, 1}, &all, &all));
    CHECK(!row_has(&row, (struct dot){1, 1}, &ten, &ten));
    CHECK(!row_has(&nothing, (struct dot){0, 1}, &all, &all));
    row_clear(&row);
    parts_free(&ps);
    actors_free(as);
}

static void a_group_is_held_where_each_slot_has_its_base(void) {
    struct actors *as = two_actors();
    struct parts ps = two_parts(10, 3, 4);
    struct row row = row_of(&ps, as);
    struct slots all, ten;
    slots_below(&all, SHARD_SLOTS);
    slots_below(&ten, 10);
    CHECK(row_holds(&row, GROUP, &ten));
    CHECK(!row_holds(&row, GROUP, &all));
    CHECK(!row_holds(&row, GROUP + 1, &ten));
    row_clear(&row);
    parts_free(&ps);
    actors_free(as);
}

int main(void) {
    RUN(a_row_is_read_as_it_was_put);
    RUN(a_row_that_names_a_stranger_is_refused_and_leaves_nothing);
    RUN(a_row_is_covered_slot_by_slot);
    RUN(a_group_is_held_where_each_slot_has_its_base);
    RUN(a_dot_is_there_when_every_slot_has_it);
    return kit_finish();
}
