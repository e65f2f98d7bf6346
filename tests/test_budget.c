/* Memory that many share: what each may always keep, and what all may keep together. */
#include "kit.h"

#include "../budget.h"

#define USERS 10
#define BYTES 2000 /* so a share is 100 */

static struct budget begin(void) {
    struct budget b;
    budget_init(&b, BYTES, USERS);
    return b;
}

static void everyone_has_a_share_whatever_others_keep(void) {
    struct budget b = begin();
    uint32_t kept[USERS] = {0};
    CHECK_U64(b.share, 100);
    CHECK(budget_set(&b, &kept[0], 1500));
    CHECK(budget_is_spent(&b));
    for (int i = 1; i < USERS; i++)
        CHECK(budget_set(&b, &kept[i], 100));
    CHECK_U64(b.bytes, 1500 + 9 * 100);
}

static void more_than_a_share_is_kept_only_while_all_keep_half(void) {
    struct budget b = begin();
    uint32_t kept[USERS] = {0};
    CHECK(budget_set(&b, &kept[0], 600));
    CHECK(budget_set(&b, &kept[1], 400)); /* half, and not more */
    CHECK(!budget_is_spent(&b));
    CHECK(budget_set(&b, &kept[2], 101));
    CHECK(budget_is_spent(&b));
    CHECK(!budget_set(&b, &kept[3], 101));
    CHECK(!budget_set(&b, &kept[2], 102));
    CHECK_U64(b.bytes, 600 + 400 + 102 + 101); /* what is refused counts until it is given back */
}

static void who_keeps_less_is_never_refused(void) {
    struct budget b = begin();
    uint32_t kept[USERS] = {0};
    CHECK(budget_set(&b, &kept[0], 5000));
    CHECK(budget_set(&b, &kept[0], 4000));
    CHECK(budget_set(&b, &kept[0], 4000));
    CHECK(!budget_set(&b, &kept[0], 4001));
    CHECK(budget_set(&b, &kept[0], 0));
    CHECK_U64(b.bytes, 0);
    CHECK(budget_set(&b, &kept[0], 5000));
}

/* Each has one thing at a time, of at most 700 bytes, and gives it up when it is refused. */
static void all_together_never_keep_more_than_the_whole_and_one_thing(void) {
    struct budget b = begin();
    struct kit_random random = {kit_seed()};
    uint32_t kept[USERS] = {0};
    for (int step = 0; step < 100000; step++) {
        uint32_t *user = &kept[kit_below(&random, USERS)];
        if (!budget_set(&b, user, kit_below(&random, 701))) budget_set(&b, user, 0);
        uint64_t sum = 0;
        for (int i = 0; i < USERS; i++)
            sum += kept[i];
        CHECK_U64(b.bytes, sum);
        CHECK(b.bytes <= BYTES + 700);
    }
    for (int i = 0; i < USERS; i++)
        budget_set(&b, &kept[i], 0);
    CHECK_U64(b.bytes, 0);
}

int main(void) {
    RUN(everyone_has_a_share_whatever_others_keep);
    RUN(more_than_a_share_is_kept_only_while_all_keep_half);
    RUN(who_keeps_less_is_never_refused);
    RUN(all_together_never_keep_more_than_the_whole_and_one_thing);
    return kit_finish();
}
