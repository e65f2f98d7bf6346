/* Reading, writing and comparing rows. See row.h. */
#include "row.h"

#include <stdlib.h>

void row_clear(struct row *row) {
    for (uint32_t i = 0; i < row->part_count; i++) {
        vclock_free(&row->parts[i].clock);
        base_clear(&row->parts[i].base);
    }
    vclock_free(&row->held);
    free(row->parts);
    free(row->peers);
    free(row->maps);
    *row = (struct row){0};
}

/* ---- Reading ---- */

bool row_read_dots(struct vclock *out, struct wire_list dots, const struct actors *as) {
    for (uint32_t i = 0; i < dots.count; i++) {
        struct wire_dot dot = wire_dot_at(dots, i);
        uint32_t actor = actors_find_id(as, dot.actor_id);
        if (actor == ACTOR_NONE) return false;
        vclock_raise(out, (struct dot){actor, dot.n});
    }
    return true;
}

/* Slot s is bit s % 8 of byte s / 8: so eight bytes are a word of the set, the lowest first. */
void row_read_slots(struct slots *out, struct slice bytes) {
    for (uint32_t i = 0; i < SHARD_SLOTS / 64; i++) {
        uint64_t word;
        memcpy(&word, bytes.at + i * sizeof word, sizeof word);
        out->bits[i] = le64toh(word);
    }
}

static void read_maps(struct row *row, struct wire_list maps) {
    row->maps = bytes_alloc(maps.count * sizeof *row->maps + 1);
    for (; row->map_count < maps.count; row->map_count++)
        row->maps[row->map_count] = wire_u64_at(maps, row->map_count);
    row->map_id = maps.count > 0 ? row->maps[0] : 0;
}

static void read_peers(struct row *row, struct wire_row *m) {
    row->peers = bytes_alloc(m->peer_count * sizeof *row->peers + 1);
    for (; row->peer_count < m->peer_count; row->peer_count++) {
        struct wire_row_peer p = wire_next_row_peer(m);
        row->peers[row->peer_count] = (struct row_peer){p.address, p.boot, p.in_view, p.shares_map};
    }
}

/* A part of no slots tells what is held back. */
static bool read_parts(struct row *row, struct wire_row *m, const struct actors *as) {
    row->parts = bytes_alloc_zeroed(m->part_count * sizeof *row->parts + 1);
    for (uint32_t i = 0; i < m->part_count; i++) {
        struct wire_part part = wire_next_part(&m->rest);
        struct row_part *mine = &row->parts[row->part_count];
        row_read_slots(&mine->slots, part.slots);
        bool held = slots_next(&mine->slots, 0) == SHARD_SLOTS;
        if (!held) row->part_count++;
        if (part.groups.count > (held ? 0 : BASE_GROUPS_MAX)) return false;
        for (uint32_t g = 0; g < part.groups.count; g++)
            base_add(&mine->base, wire_u64_at(part.groups, g));
        if (!row_read_dots(held ? &row->held : &mine->clock, part.dots, as)) return false;
    }
    return true;
}

static uint64_t total_of(const struct row *row) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < row->part_count; i++) {
        const struct vclock *clock = &row->parts[i].clock;
        for (uint32_t d = 0; d < clock->len; d++)
            total += clock->dots[d].n;
    }
    return total;
}

bool row_read(struct row *row, struct slice body, const struct actors *as) {
    struct wire_row m;
    row_clear(row);
    if (!wire_read_row(body, &m)) return false;
    row->is_heard = true;
    row->synced = m.flags & WIRE_ROW_SYNCED;
    row->hears_me = m.flags & WIRE_ROW_HEARS_YOU;
    row->settled = m.flags & WIRE_ROW_SETTLED;
    row->is_full = m.flags & WIRE_ROW_FULL;
    read_maps(row, m.maps);
    read_peers(row, &m);
    if (read_parts(row, &m, as)) {
        row->total = total_of(row);
        return true;
    }
    row_clear(row);
    return false;
}

/* ---- Writing ---- */

void row_put_dots(struct buffer *out, const struct vclock *clock, const struct actors *as) {
    for (uint32_t i = 0; i < clock->len; i++) {
        struct dot dot = clock->dots[i];
        wire_put_dot(out, (struct wire_dot){actors_get(as, dot.actor)->id, dot.n});
    }
}

void row_put_slots(uint8_t out[WIRE_SLOTS_BYTES], const struct slots *slots) {
    for (uint32_t i = 0; i < SHARD_SLOTS / 64; i++) {
        uint64_t word = htole64(slots->bits[i]);
        memcpy(out + i * sizeof word, &word, sizeof word);
    }
}

void row_put_part(struct buffer *out, const struct part *part, const struct actors *as) {
    uint8_t slots[WIRE_SLOTS_BYTES];
    row_put_slots(slots, &part->slots);
    wire_begin_part(out, slots, (uint16_t)part->base.count, part->clock.len);
    for (uint32_t i = 0; i < part->base.count; i++)
        wire_put_u64(out, part->base.groups[i]);
    row_put_dots(out, &part->clock, as);
}

/* ---- Comparing ---- */

bool row_knows_map(const struct row *row, uint64_t map_id) {
    for (uint32_t i = 0; i < row->map_count; i++) {
        if (row->maps[i] == map_id) return true;
    }
    return false;
}

const struct row_peer *row_find_peer(const struct row *row, const struct address *address) {
    for (uint32_t i = 0; i < row->peer_count; i++) {
        if (address_compare(&row->peers[i].address, address) == 0) return &row->peers[i];
    }
    return NULL;
}

const struct row_part *row_part(const struct row *row, uint32_t slot) {
    for (uint32_t i = 0; i < row->part_count; i++) {
        if (slots_has(&row->parts[i].slots, slot)) return &row->parts[i];
    }
    return NULL;
}

const struct vclock *row_clock(const struct row *row, uint32_t slot) {
    const struct row_part *part = row_part(row, slot);
    return part == NULL ? NULL : &part->clock;
}

bool row_holds(const struct row *row, uint64_t group, const struct slots *slots) {
    struct slots held = {0};
    for (uint32_t i = 0; i < row->part_count; i++) {
        if (base_has(&row->parts[i].base, group)) slots_join(&held, &row->parts[i].slots);
    }
    return slots_within(slots, &held);
}

static bool any_common(const struct slots *a, const struct slots *b, const struct slots *c) {
    for (uint32_t i = 0; i < SHARD_SLOTS / 64; i++) {
        if (a->bits[i] & b->bits[i] & c->bits[i]) return true;
    }
    return false;
}

bool row_is_covered(const struct row *row, const struct parts *parts, const struct slots *of) {
    for (uint32_t i = 0; i < row->part_count; i++) {
        const struct row_part *theirs = &row->parts[i];
        for (uint32_t j = 0; j < parts->count; j++) {
            const struct part *mine = &parts->list[j];
            bool common = any_common(&theirs->slots, &mine->slots, of);
            if (common && !vclock_covers(&mine->clock, &theirs->clock)) return false;
        }
    }
    return true;
}

bool row_has(const struct row *row, struct dot dot, const struct slots *a, const struct slots *b) {
    struct slots wanted = slots_common(a, b), there = {0};
    for (uint32_t i = 0; i < row->part_count; i++) {
        const struct row_part *part = &row->parts[i];
        if (!slots_meet(&part->slots, &wanted)) continue;
        if (!vclock_has(&part->clock, dot)) return false;
        slots_join(&there, &part->slots);
    }
    return slots_within(&wanted, &there);
}
