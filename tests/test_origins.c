/* Connections by address, against plain counting. */
#include "kit.h"

#include "../origins.h"

#define ADDRESSES 300

static const struct hash_seed SEED = {0x0706050403020100, 0x0f0e0d0c0b0a0908};

static struct origins begin(uint32_t each_max) {
    struct origins c;
    origins_init(&c, each_max, SEED);
    return c;
}

static void an_address_may_have_so_many_connections(void) {
    struct origins c = begin(3);
    for (int i = 0; i < 3; i++)
        CHECK(origins_enter(&c, 0x0a000001));
    CHECK(!origins_enter(&c, 0x0a000001));
    CHECK(!origins_enter(&c, 0x0a000001));
    CHECK_U64(origins_connections(&c, 0x0a000001), 3);
    origins_leave(&c, 0x0a000001);
    CHECK(origins_enter(&c, 0x0a000001));
    CHECK(!origins_enter(&c, 0x0a000001));
    origins_free(&c);
}

static void others_are_not_concerned(void) {
    struct origins c = begin(1);
    CHECK(origins_enter(&c, 0x0a000001));
    CHECK(!origins_enter(&c, 0x0a000001));
    CHECK(origins_enter(&c, 0x0a000002));
    CHECK(origins_enter(&c, 0)); /* an address like any other */
    CHECK(origins_enter(&c, UINT32_MAX));
    CHECK_U64(c.count, 4);
    CHECK_U64(c.full, 4);
    origins_free(&c);
}

static void who_has_left_is_forgotten(void) {
    struct origins c = begin(2);
    CHECK_U64(origins_connections(&c, 1), 0);
    CHECK(origins_enter(&c, 1));
    CHECK(origins_enter(&c, 1));
    CHECK_U64(c.full, 1);
    origins_leave(&c, 1);
    CHECK_U64(c.full, 0);
    CHECK_U64(c.count, 1);
    origins_leave(&c, 1);
    CHECK_U64(c.count, 0);
    CHECK_U64(origins_connections(&c, 1), 0);
    origins_free(&c);
}

static void the_table_follows_the_number_of_addresses(void) {
    struct origins c = begin(10);
    for (uint32_t i = 0; i < 100000; i++)
        CHECK(origins_enter(&c, i));
    CHECK_U64(c.count, 100000);
    CHECK(c.cap >= 100000 && c.cap <= 300000);
    for (uint32_t i = 0; i < 100000; i++)
        origins_leave(&c, i);
    CHECK_U64(c.count, 0);
    CHECK(c.cap <= 32);
    origins_free(&c);
}

/* Near one another and far apart, so that some stand in one another's way. */
static uint32_t address_of(uint64_t n) {
    return n % 2 == 0 ? (uint32_t)n : (uint32_t)n * 0x01000193;
}

static void any_coming_and_going_is_counted_as_by_an_array(void) {
    struct kit_random random = {kit_seed()};
    uint32_t expected[ADDRESSES] = {0};
    struct origins c = begin(4);
    for (int step = 0; step < 200000; step++) {
        /* Tides: most come, then most go. */
        bool comes = kit_below(&random, 10) < (step / 5000 % 2 == 0 ? 7u : 3u);
        uint64_t n = kit_below(&random, ADDRESSES);
        if (comes) {
            CHECK(origins_enter(&c, address_of(n)) == (expected[n] < 4));
            expected[n] += expected[n] < 4;
        } else if (expected[n] > 0) {
            origins_leave(&c, address_of(n));
            expected[n]--;
        }
        if (step % 100 != 0) continue;
        uint32_t count = 0, full = 0;
        for (uint64_t i = 0; i < ADDRESSES; i++) {
            CHECK_U64(origins_connections(&c, address_of(i)), expected[i]);
            count += expected[i] > 0;
            full += expected[i] == 4;
        }
        CHECK_U64(c.count, count);
        CHECK_U64(c.full, full);
    }
    origins_free(&c);
}

int main(void) {
    RUN(an_address_may_have_so_many_connections);
    RUN(others_are_not_concerned);
    RUN(who_has_left_is_forgotten);
    RUN(the_table_follows_the_number_of_addresses);
    RUN(any_coming_and_going_is_counted_as_by_an_array);
    return kit_finish();
}
