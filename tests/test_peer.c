/* The list of nodes in view. */
#include "kit.h"

#include <stdio.h>

#include "../peer.h"

static struct peers peers_of(const char *self) {
    struct peers ps;
    struct address address = kit_address(self);
    peers_init(&ps, &address);
    return ps;
}

static enum peers_added add(struct peers *ps, const char *text, uint64_t now_ms) {
    struct address address = kit_address(text);
    return peers_add(ps, &address, now_ms);
}

static void drop_unheard(struct peers *ps, uint64_t now_ms) {
    struct address dropped;
    while (peers_drop_unheard(ps, now_ms, &dropped))
        CHECK(!peers_has(ps, &dropped));
}

static bool has(const struct peers *ps, const char *text) {
    struct address address = kit_address(text);
    return peers_has(ps, &address);
}

static bool remove_of(struct peers *ps, const char *text) {
    struct address address = kit_address(text);
    return peers_remove(ps, &address);
}

static void a_new_view_holds_this_node_alone(void) {
    struct peers ps = peers_of("b:1");
    CHECK_U64(ps.count, 1);
    CHECK(has(&ps, "b:1") && !has(&ps, "a:1") && !has(&ps, "c:1"));
    CHECK(ps.list[0].state == PEER_SELF);
    CHECK(peers_deadline_ms(&ps) == UINT64_MAX);
    peers_free(&ps);
}

static void nodes_are_listed_once_and_sorted(void) {
    static const char *const sorted[] = {"9.0.0.1:1", "10.0.0.1:1", "10.0.0.1:2",
                                         "a:1",       "b:1",        "c:1"};
    struct peers ps = peers_of("b:1");
    CHECK(add(&ps, "c:1", 5) == PEERS_ADDED);
    CHECK(add(&ps, "10.0.0.1:2", 5) == PEERS_ADDED);
    CHECK(add(&ps, "a:1", 5) == PEERS_ADDED);
    CHECK(add(&ps, "9.0.0.1:1", 5) == PEERS_ADDED);
    CHECK(add(&ps, "10.0.0.1:1", 5) == PEERS_ADDED);
    CHECK(add(&ps, "A:1", 5) == PEERS_ALREADY_PRESENT);
    CHECK(add(&ps, "b:1", 5) == PEERS_ALREADY_PRESENT);
    CHECK_U64(ps.count, 6);
    for (uint32_t i = 0; i < 6; i++)
        CHECK_TEXT(address_text(&ps.list[i].address), sorted[i]);
    peers_free(&ps);
}

static void an_unheard_node_disappears_after_its_time(void) {
    struct peers ps = peers_of("b:1");
    add(&ps, "a:1", 1000);
    add(&ps, "c:1", 3000);
    CHECK_U64(peers_deadline_ms(&ps), 1000 + PEER_UNHEARD_MS);
    drop_unheard(&ps, 1000 + PEER_UNHEARD_MS - 1);
    CHECK(has(&ps, "a:1"));
    drop_unheard(&ps, 1000 + PEER_UNHEARD_MS);
    CHECK(!has(&ps, "a:1") && has(&ps, "b:1") && has(&ps, "c:1"));
    CHECK_U64(peers_deadline_ms(&ps), 3000 + PEER_UNHEARD_MS);
    drop_unheard(&ps, UINT64_MAX);
    CHECK_U64(ps.count, 1);
    CHECK(has(&ps, "b:1"));
    CHECK(peers_deadline_ms(&ps) == UINT64_MAX);
    peers_free(&ps);
}

static void each_node_that_disappears_is_told(void) {
    struct peers ps = peers_of("c:1");
    struct address dropped;
    add(&ps, "d:1", 0);
    add(&ps, "a:1", 0);
    add(&ps, "b:1", 1);
    CHECK(peers_drop_unheard(&ps, PEER_UNHEARD_MS, &dropped));
    CHECK_TEXT(address_text(&dropped), "a:1");
    CHECK(peers_drop_unheard(&ps, PEER_UNHEARD_MS, &dropped));
    CHECK_TEXT(address_text(&dropped), "d:1");
    CHECK(!peers_drop_unheard(&ps, PEER_UNHEARD_MS, &dropped));
    CHECK_U64(ps.count, 2);
    peers_free(&ps);
}

static void neighbours_that_are_due_together_all_disappear(void) {
    struct peers ps = peers_of("c:1");
    add(&ps, "a:1", 0);
    add(&ps, "b:1", 0);
    add(&ps, "d:1", 0);
    add(&ps, "e:1", 0);
    drop_unheard(&ps, PEER_UNHEARD_MS);
    CHECK_U64(ps.count, 1);
    peers_free(&ps);
}

static void adding_again_does_not_lengthen_the_time(void) {
    struct peers ps = peers_of("b:1");
    add(&ps, "a:1", 1000);
    CHECK(add(&ps, "a:1", 9000) == PEERS_ALREADY_PRESENT);
    CHECK_U64(peers_deadline_ms(&ps), 1000 + PEER_UNHEARD_MS);
    peers_free(&ps);
}

static void nodes_are_removed_but_never_this_one(void) {
    struct peers ps = peers_of("b:1");
    add(&ps, "a:1", 0);
    CHECK(remove_of(&ps, "A:1"));
    CHECK(!remove_of(&ps, "a:1"));
    CHECK(!remove_of(&ps, "b:1"));
    CHECK(!remove_of(&ps, "z:1"));
    CHECK_U64(ps.count, 1);
    CHECK(add(&ps, "a:1", 7) == PEERS_ADDED);
    CHECK_U64(peers_deadline_ms(&ps), 7 + PEER_UNHEARD_MS);
    peers_free(&ps);
}

static void a_full_view_takes_no_more(void) {
    struct peers ps = peers_of("b:1");
    for (uint32_t i = 0; i < PEERS_MAX - 1; i++) {
        char text[32];
        snprintf(text, sizeof text, "10.0.%u.%u:1", i / 200, i % 200);
        CHECK(add(&ps, text, 0) == PEERS_ADDED);
    }
    CHECK(add(&ps, "z:1", 0) == PEERS_FULL);
    CHECK(add(&ps, "10.0.0.1:1", 0) == PEERS_ALREADY_PRESENT);
    CHECK_U64(ps.count, PEERS_MAX);
    CHECK(remove_of(&ps, "10.0.0.1:1"));
    CHECK(add(&ps, "z:1", 0) == PEERS_ADDED);
    peers_free(&ps);
}

int main(void) {
    RUN(a_new_view_holds_this_node_alone);
    RUN(nodes_are_listed_once_and_sorted);
    RUN(an_unheard_node_disappears_after_its_time);
    RUN(each_node_that_disappears_is_told);
    RUN(neighbours_that_are_due_together_all_disappear);
    RUN(adding_again_does_not_lengthen_the_time);
    RUN(nodes_are_removed_but_never_this_one);
    RUN(a_full_view_takes_no_more);
    return kit_finish();
}
