/* Reading, writing and packing causal metadata. See metadata.h.
 *
 * The packed form inside a version is a 16-bit number of maps, the maps, then the dots, each 12
 * bytes, in memory order: it never leaves the process.
 */
#include "metadata.h"

#include <assert.h>
#include <stdlib.h>

#include "json.h"

#define NUMBER_MAX       ((uint64_t)1 << 53) /* what JavaScript and jq still count exactly */
#define MAP_ID_DIGITS    8
#define PACKED_DOT_BYTES (sizeof(uint32_t) + sizeof(uint64_t))

void metadata_clear(struct metadata *m) {
    m->time = 0;
    m->maps_len = 0;
    vclock_clear(&m->clock);
}

void metadata_free(struct metadata *m) {
    vclock_free(&m->clock);
    free(m->maps);
    *m = (struct metadata){0};
}

void metadata_add_map(struct metadata *m, struct map_ref ref) {
    for (uint32_t i = 0; i < m->maps_len; i++) {
        if (m->maps[i].epoch == ref.epoch && m->maps[i].id == ref.id) return;
    }
    if (m->maps_len == m->maps_cap) {
        m->maps_cap = m->maps_cap == 0 ? 4 : m->maps_cap * 2;
        m->maps = bytes_realloc(m->maps, m->maps_cap * sizeof *m->maps);
    }
    m->maps[m->maps_len++] = ref;
}

void metadata_copy(struct metadata *to, const struct metadata *from) {
    metadata_clear(to);
    to->time = from->time;
    vclock_join(&to->clock, &from->clock);
    for (uint32_t i = 0; i < from->maps_len; i++)
        metadata_add_map(to, from->maps[i]);
}

/* ---- Reading ---- */

/* What one reading works on, so that the functions below stay small. */
struct parse {
    struct json_reader r;
    struct claim *claim;
    struct metadata *m; /* &claim->metadata */
    const struct actors *as;
    uint64_t latest;     /* acceptable time */
    struct buffer plain; /* a string after unescaping, where it had escapes */
    bool has_maps, has_time, has_clock;
};

/* The string that was just read, without escapes; borrows the text or p->plain. */
static struct slice plain_string(struct parse *p, struct slice inside) {
    if (!p->r.escaped) return inside;
    p->plain.len = 0;
    json_unescape(inside, &p->plain);
    return buffer_slice(&p->plain);
}

/* "EPOCH.XXXXXXXX" */
static bool parse_map_ref(struct slice s, struct map_ref *out) {
    if (s.len < MAP_ID_DIGITS + 2 || s.at[s.len - MAP_ID_DIGITS - 1] != '.') return false;
    uint64_t epoch;
    if (!slice_to_u64((struct slice){s.at, s.len - MAP_ID_DIGITS - 1}, &epoch)) return false;
    out->epoch = (uint32_t)epoch;
    return epoch > 0 && epoch <= UINT32_MAX && hex32_parse(s.at + s.len - MAP_ID_DIGITS, &out->id);
}

static void read_maps(struct parse *p) {
    p->has_maps = true;
    p->m->maps_len = 0;
    json_enter_array(&p->r);
    while (json_next_item(&p->r)) {
        struct slice text;
        struct map_ref ref;
        if (!json_read_string(&p->r, &text)) return;
        if (!parse_map_ref(plain_string(p, text), &ref)) {
            json_fail(&p->r, "expected a map such as \"2.9f3c01d2\"");
            return;
        }
        if (p->m->maps_len == METADATA_MAPS_MAX) {
            json_fail(&p->r, "more than 256 maps");
            return;
        }
        metadata_add_map(p->m, ref);
    }
}

static void read_time(struct parse *p) {
    struct slice text;
    p->has_time = true;
    if (!json_read_string(&p->r, &text)) return;
    text = plain_string(p, text);
    if (text.len != 16 || !hex64_parse(text.at, &p->m->time)) {
        json_fail(&p->r, "expected a time of 16 lower-case hex digits");
    } else if (p->m->time > p->latest) {
        json_fail(&p->r, "time is more than 60 s ahead of this node's clock");
    }
}

static bool is_label(struct slice s) {
    struct address ignored;
    uint64_t id;
    return s.len > 17 && s.at[s.len - 17] == '#' && hex64_parse(s.at + s.len - 16, &id) &&
           address_parse((struct slice){s.at, s.len - 17}, &ignored) == NULL;
}

/* The reader has read n. */
static bool check_number(struct parse *p, uint64_t n) {
    bool good = n > 0 && n <= NUMBER_MAX;
    return good || json_fail(&p->r, "expected a number from 1 to 2^53");
}

static void read_entry_of(struct parse *p, struct slice label) {
    uint64_t n;
    uint32_t actor = actors_find(p->as, label);
    if (actor == ACTOR_NONE && !is_label(label)) {
        json_fail(&p->r, "expected an actor such as \"10.10.0.2:8090#5f3a9c01d2e4b7a1\"");
    } else if (!json_read_u64(&p->r, &n) || !check_number(p, n)) {
        return;
    } else if (actor != ACTOR_NONE) {
        vclock_set(&p->m->clock, (struct dot){actor, n});
    } else {
        metadata_put_missing(&p->claim->unknown, label, n);
    }
}

/* Clients send back what we wrote, in our order: the actors of a clock come by ascending index.
 * So the next entry is mostly the one of the next actor, which takes one comparison to find out. */
static void read_guessed_entries(struct parse *p, uint32_t actor) {
    uint32_t count = actors_count(p->as);
    uint64_t n;
    while (actor < count && json_guess_u64(&p->r, actors_get(p->as, actor)->member, &n)) {
        if (!check_number(p, n)) return;
        vclock_set(&p->m->clock, (struct dot){actor++, n});
    }
}

static void read_clock(struct parse *p) {
    struct slice name;
    p->has_clock = true;
    vclock_clear(&p->m->clock);
    p->claim->unknown.len = 0;
    json_enter_object(&p->r);
    read_guessed_entries(p, 0);
    while (json_next_member(&p->r, &name)) {
        read_entry_of(p, plain_string(p, name));
        const struct vclock *clock = &p->m->clock;
        if (clock->len > 0) read_guessed_entries(p, clock->dots[clock->len - 1].actor + 1);
    }
}

static const struct member {
    struct slice name;
    struct slice exact; /* as we write it */
    void (*read)(struct parse *p);
} MEMBERS[] = {
    {SLICE_INIT("maps"), SLICE_INIT("\"maps\":"), read_maps},
    {SLICE_INIT("time"), SLICE_INIT("\"time\":"), read_time},
    {SLICE_INIT("clock"), SLICE_INIT("\"clock\":"), read_clock},
};

#define MEMBERS_COUNT (sizeof MEMBERS / sizeof *MEMBERS)

static void read_member(struct parse *p, struct slice name) {
    for (size_t i = 0; i < MEMBERS_COUNT; i++) {
        if (json_name_is(name, MEMBERS[i].name)) {
            MEMBERS[i].read(p);
            return;
        }
    }
    json_fail(&p->r, "no such member is ours");
}

/* First the members as we write them, which is how they mostly come back; then whatever else. */
static void read_object(struct parse *p) {
    struct slice name;
    json_enter_object(&p->r);
    bool empty = json_peek(&p->r) == '}';
    for (size_t i = 0; i < MEMBERS_COUNT; i++) {
        if (json_guess_member(&p->r, MEMBERS[i].exact)) MEMBERS[i].read(p);
    }
    while (json_next_member(&p->r, &name))
        read_member(p, name);
    bool whole = p->has_maps && p->has_time && p->has_clock;
    if (!empty && !whole) json_fail(&p->r, "maps, time and clock belong together");
}

static void read_claim(struct parse *p) {
    struct slice text;
    switch (json_peek(&p->r)) {
    case '{': read_object(p); break;
    case '"':
        if (json_read_string(&p->r, &text) && text.len > 0) {
            json_fail(&p->r, "a string with something in it");
        }
        break;
    case 'n': json_skip(&p->r); break;
    default: json_fail(&p->r, "expected an object"); break;
    }
}

void claim_clear(struct claim *c) {
    metadata_clear(&c->metadata);
    c->form = CLAIM_GOOD;
    c->unknown.len = 0;
    c->text = (struct slice){0};
}

void claim_free(struct claim *c) {
    metadata_free(&c->metadata);
    buffer_free(&c->unknown);
}

/* The reading is tried on a copy of the reader that ends at our limit. If that fails, the value is
 * skipped as JSON: where even that fails the mistake is one of JSON and is the reader's. */
void claim_read(struct claim *c, struct json_reader *r, const struct actors *as, uint64_t latest) {
    claim_clear(c);
    json_peek(r);
    const char *from = r->at;
    struct parse p = {.r = *r, .claim = c, .m = &c->metadata, .as = as, .latest = latest};
    if (p.r.end - from > METADATA_BYTES_MAX) p.r.end = from + METADATA_BYTES_MAX;
    read_claim(&p);
    buffer_free(&p.plain);
    if (p.r.error == NULL) {
        p.r.end = r->end;
        *r = p.r;
        c->form = c->unknown.len > 0 ? CLAIM_UNKNOWN : CLAIM_GOOD;
    } else if (json_skip(r)) {
        bool large = r->at - from > METADATA_BYTES_MAX;
        c->form = CLAIM_BAD;
        c->error = large ? "larger than 64 KiB" : p.r.error;
        c->error_offset = json_error_offset(&p.r);
    }
    bool claims_nothing = c->form == CLAIM_GOOD && !p.has_clock;
    if (!claims_nothing) c->text = (struct slice){from, (size_t)(r->at - from)};
}

/* ---- Writing ---- */

static void put_map_ref(struct buffer *out, struct map_ref ref) {
    buffer_put_u64(out, ref.epoch);
    buffer_put_char(out, '.');
    buffer_put_hex32(out, ref.id);
}

/* "10.10.0.2:8090#5f3a9c01d2e4b7a1":17, */
static void put_entry(struct buffer *out, struct slice member, uint64_t n) {
    buffer_reserve(out, member.len + U64_DIGITS_MAX + 1);
    char *at = write_slice(out->at + out->len, member);
    at = write_u64(at, n);
    *at++ = ',';
    out->len = (size_t)(at - out->at);
}

void metadata_put(struct buffer *out, const struct metadata *m, const struct actors *as) {
    buffer_put(out, SLICE("{\"maps\":["));
    for (uint32_t i = 0; i < m->maps_len; i++) {
        buffer_put(out, i == 0 ? SLICE("\"") : SLICE(",\""));
        put_map_ref(out, m->maps[i]);
        buffer_put_char(out, '"');
    }
    buffer_put(out, SLICE("],\"time\":\""));
    buffer_put_hex64(out, m->time);
    buffer_put(out, SLICE("\",\"clock\":{"));
    for (uint32_t i = 0; i < m->clock.len; i++) {
        put_entry(out, actors_get(as, m->clock.dots[i].actor)->member, m->clock.dots[i].n);
    }
    if (m->clock.len > 0) out->len--; /* the comma behind the last entry */
    buffer_put(out, SLICE("}}"));
}

void metadata_put_missing(struct buffer *items, struct slice label, uint64_t n) {
    if (items->len > 0) buffer_put_char(items, ',');
    buffer_put_char(items, '"');
    buffer_put(items, label);
    buffer_put_char(items, ':');
    buffer_put_u64(items, n);
    buffer_put_char(items, '"');
}

void metadata_put_missing_map(struct buffer *items, struct map_ref ref) {
    if (items->len > 0) buffer_put_char(items, ',');
    buffer_put(items, SLICE("\"map "));
    put_map_ref(items, ref);
    buffer_put_char(items, '"');
}

/* ---- Packing ---- */

static void put_raw(struct buffer *out, const void *bytes, size_t len) {
    buffer_put(out, (struct slice){bytes, len});
}

void metadata_pack(struct buffer *out, const struct metadata *m, uint32_t actor) {
    size_t start = out->len;
    uint16_t maps_len = (uint16_t)m->maps_len;
    assert(m->maps_len <= UINT16_MAX);
    put_raw(out, &maps_len, sizeof maps_len);
    put_raw(out, m->maps, m->maps_len * sizeof *m->maps);
    bool others = false;
    for (uint32_t i = 0; i < m->clock.len; i++) {
        const struct dot *dot = &m->clock.dots[i];
        if (dot->actor == actor) continue;
        put_raw(out, &dot->actor, sizeof dot->actor);
        put_raw(out, &dot->n, sizeof dot->n);
        others = true;
    }
    if (maps_len == 0 && !others) out->len = start;
}

void metadata_join_packed(struct metadata *m, struct slice packed) {
    if (packed.len == 0) return;
    uint16_t maps_len;
    memcpy(&maps_len, packed.at, sizeof maps_len);
    const char *at = packed.at + sizeof maps_len, *end = packed.at + packed.len;
    for (unsigned i = 0; i < maps_len; i++, at += sizeof(struct map_ref)) {
        struct map_ref ref;
        memcpy(&ref, at, sizeof ref);
        metadata_add_map(m, ref);
    }
    for (; at < end; at += PACKED_DOT_BYTES) {
        struct dot dot;
        memcpy(&dot.actor, at, sizeof dot.actor);
        memcpy(&dot.n, at + sizeof dot.actor, sizeof dot.n);
        vclock_raise(&m->clock, dot);
    }
    assert(at == end);
}
