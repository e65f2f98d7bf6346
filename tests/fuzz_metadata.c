/* Metadata: what was read is written and read again as the same; the short cuts of the reader give
 * what the long way gives; a version keeps what it must and nothing else. */
#include <assert.h>
#include <stdlib.h>

#include "../hlc.h"
#include "../metadata.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LATEST hlc_of_wall(1800000000000)
#define ACTORS 8
#define AUTHOR 3

/* Known actors: 10.0.0.1:8090#5f3a9c01d2e4b700 to ...703 and alice:8090#...704 to ...707; the even
 * ones are of our group. */
static struct actors *known_actors(void) {
    static struct actors *as;
    if (as != NULL) return as;
    struct address nodes[2];
    address_parse(SLICE("10.0.0.1:8090"), &nodes[0]);
    address_parse(SLICE("alice:8090"), &nodes[1]);
    as = actors_create();
    for (uint64_t i = 0; i < ACTORS; i++) {
        actors_learn(as, 0x5f3a9c01d2e4b700 + i, &nodes[i / 4], 1, 100 + i % 2);
    }
    return as;
}

/* True when the whole text is JSON. */
static bool read_claim(struct claim *c, struct slice text) {
    struct json_reader r = json_reader_of(text);
    claim_read(c, &r, known_actors(), LATEST);
    assert(c->form != CLAIM_BAD || (c->error != NULL && c->error_offset <= text.len));
    return json_finish(&r);
}

static bool same_clock(const struct vclock *a, const struct vclock *b) {
    bool same = a->len == b->len;
    for (uint32_t i = 0; same && i < a->len; i++) {
        same = a->dots[i].actor == b->dots[i].actor && a->dots[i].n == b->dots[i].n;
    }
    return same;
}

static bool same_metadata(const struct metadata *a, const struct metadata *b) {
    bool same = a->time == b->time && a->maps_len == b->maps_len;
    for (uint32_t i = 0; same && i < a->maps_len; i++) {
        same = a->maps[i].epoch == b->maps[i].epoch && a->maps[i].id == b->maps[i].id;
    }
    return same && same_clock(&a->clock, &b->clock);
}

/* ---- Properties ---- */

static void check_round_trip(const struct claim *c) {
    struct buffer text = {0};
    struct claim again = {0};
    metadata_put(&text, &c->metadata, known_actors());
    assert(read_claim(&again, buffer_slice(&text)));
    assert(again.form == CLAIM_GOOD && same_metadata(&again.metadata, &c->metadata));
    assert(slice_equal(again.text, buffer_slice(&text)));
    claim_free(&again);
    buffer_free(&text);
}

/* What is taken for ours has no member, or all three and no other. */
static void check_members(struct slice text) {
    static const char *const names[] = {"maps", "time", "clock"};
    struct json_reader r = json_reader_of(text);
    struct slice name;
    bool has[3] = {false}, any = false;
    if (json_peek(&r) != '{') return;
    json_enter_object(&r);
    while (json_next_member(&r, &name)) {
        int which = 0;
        while (which < 3 && !json_name_is(name, slice_of(names[which])))
            which++;
        assert(which < 3);
        has[which] = any = true;
        json_skip(&r);
    }
    assert(!any || (has[0] && has[1] && has[2]));
}

/* The names of the unknown go into answers, between brackets. */
static void check_unknown(const struct claim *c) {
    struct buffer text = {0};
    assert((c->form == CLAIM_UNKNOWN) == (c->unknown.len > 0));
    buffer_put_char(&text, '[');
    buffer_put(&text, buffer_slice(&c->unknown));
    buffer_put_char(&text, ']');
    struct json_reader r = json_reader_of(buffer_slice(&text));
    assert(json_skip(&r) && json_finish(&r));
    buffer_free(&text);
}

/* A space behind each bracket and comma leaves no member where it is guessed. */
static void check_without_guesses(const struct claim *c, struct slice text) {
    struct buffer spaced = {0};
    struct claim slow = {0};
    bool in_string = false;
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.at[i];
        buffer_put_char(&spaced, byte);
        if (in_string && byte == '\\') buffer_put_char(&spaced, text.at[++i]);
        if (byte == '"') in_string = !in_string;
        if (!in_string && (byte == '{' || byte == ',' || byte == '[')) {
            buffer_put_char(&spaced, ' ');
        }
    }
    if (spaced.len <= METADATA_BYTES_MAX) {
        assert(read_claim(&slow, buffer_slice(&spaced)));
        assert(slow.form == c->form);
        if (c->form != CLAIM_BAD) {
            assert(same_metadata(&slow.metadata, &c->metadata));
            assert(slice_equal(buffer_slice(&slow.unknown), buffer_slice(&c->unknown)));
        }
    }
    claim_free(&slow);
    buffer_free(&spaced);
}

/* What a version keeps, given to a reader who has seen nothing and to one who has seen it all. */
static void check_packed(const struct metadata *m) {
    struct buffer packed = {0};
    struct metadata fresh = {0}, all = {0};
    metadata_pack(&packed, m, AUTHOR);
    assert(packed.len <= UINT16_MAX);
    char *exact = malloc(packed.len);
    if (packed.len > 0) memcpy(exact, packed.at, packed.len);
    metadata_join_packed(&fresh, (struct slice){exact, packed.len});
    assert(fresh.time == 0 && fresh.maps_len == m->maps_len);
    for (uint32_t actor = 0; actor < ACTORS; actor++) {
        uint64_t n = vclock_get(&m->clock, actor);
        assert(vclock_get(&fresh.clock, actor) == (actor == AUTHOR ? 0 : n));
        if (n > 0) vclock_set(&all.clock, (struct dot){actor, n});
    }
    for (uint32_t i = 0; i < m->maps_len; i++)
        metadata_add_map(&all, m->maps[i]);
    all.time = m->time;
    metadata_join_packed(&all, (struct slice){exact, packed.len});
    assert(same_metadata(&all, m));
    free(exact);
    metadata_free(&fresh);
    metadata_free(&all);
    buffer_free(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *copy = malloc(size); /* exactly that large, so that reading on is seen */
    if (size > 0) memcpy(copy, data, size);
    struct slice text = {copy, size};
    struct claim c = {0};
    if (read_claim(&c, text)) {
        check_without_guesses(&c, text);
        if (c.form != CLAIM_BAD) {
            check_members(text);
            check_round_trip(&c);
            check_unknown(&c);
            check_packed(&c.metadata);
        }
    }
    claim_free(&c);
    free(copy);
    return 0;
}
