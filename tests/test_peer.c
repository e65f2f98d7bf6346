/* Who is up: the states of peer.h and the links, with the other side played by hand. */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>

#define BOOT 5 /* of the other side's first process */

/* ---- The other side ---- */

struct far {
    struct node *n;
    struct address address;
    uint64_t now_ms;
    struct link *in, *out, *dial; /* dialled by the other side; by the node; not connected yet */
    unsigned dials;
};

/* What the shell is told to do; dials hang until the test says how they end. */
static void obey(struct far *f) {
    struct link_order order;
    while (node_take_order(f->n, &order)) {
        if (order.kind == LINK_DIAL) {
            if (address_compare(&order.to, &f->address) != 0) continue;
            CHECK(f->dial == NULL);
            f->dial = order.link;
            f->dials++;
            continue;
        }
        if (f->in == order.link) f->in = NULL;
        if (f->out == order.link) f->out = NULL;
        if (f->dial == order.link) f->dial = NULL;
    }
}

static void tick(struct far *f, uint64_t ms) {
    f->now_ms += ms;
    node_set_time(f->n, f->now_ms, KIT_WALL_MS + f->now_ms);
    node_end_turn(f->n);
    obey(f);
}

static void pass(struct far *f, uint64_t ms) {
    for (; ms > PEER_TICK_MS; ms -= PEER_TICK_MS)
        tick(f, PEER_TICK_MS);
    tick(f, ms);
}

static struct far begin_with(struct node_config config) {
    struct far f = {.now_ms = KIT_NOW_MS, .address = kit_address("10.0.0.2:8090")};
    config.cluster = SLICE("kvs");
    config.readmit_ms = 2000;
    f.n = node_create(&config, f.now_ms, KIT_WALL_MS + f.now_ms);
    tick(&f, 0);
    return f;
}

static struct far begin(void) {
    return begin_with(kit_cluster_config(2, 0));
}

static void end(struct far *f) {
    node_free(f->n);
}

static const struct peer *peer_of(const struct far *f) {
    return peers_find(node_view(f->n), &f->address);
}

static bool is_in(const struct far *f, enum peer_state state) {
    return peer_of(f) != NULL && peer_of(f)->state == state;
}

static bool in_view(const struct far *f) {
    return peer_of(f) != NULL && peer_in_view(peer_of(f));
}

static bool noted(struct far *f, const char *what) {
    struct slice notes = node_take_notes(f->n);
    return notes.len > 0 && memmem(notes.at, notes.len, what, strlen(what)) != NULL;
}

/* Sends a frame; whether all of it was read. */
static bool send_frame(struct far *f, struct link *l, struct buffer *frame) {
    bool taken = node_link_received(f->n, l, buffer_slice(frame)) == frame->len;
    buffer_free(frame);
    node_end_turn(f->n);
    obey(f);
    return taken;
}

/* The one frame that the node has sent on a link. */
static enum wire_type sent(struct far *f, struct link *l) {
    struct wire_frame frame;
    struct slice out = node_link_output(l);
    if (wire_cut(out, &frame) != WIRE_CUT_FRAME) return WIRE_TYPES;
    node_link_sent(f->n, l, out.len);
    return frame.type;
}

static struct wire_hello hello_of(const struct far *f, uint64_t boot) {
    return (struct wire_hello){.version = WIRE_PROTOCOL_VERSION,
                               .boot = boot,
                               .cluster = SLICE("kvs"),
                               .caller = f->address,
                               .callee = *node_self(f->n)};
}

/* The other side dials and greets. The link is in f->in unless the node has closed it. */
static void call(struct far *f, uint64_t boot) {
    struct buffer frame = {0};
    struct wire_hello hello = hello_of(f, boot);
    f->in = node_link_accepted(f->n);
    wire_put_hello(&frame, &hello);
    CHECK(send_frame(f, f->in, &frame));
}

/* The node's dial succeeds, and the process of that boot answers. */
static void answer(struct far *f, uint64_t boot) {
    struct buffer frame = {0};
    if (!CHECK(f->dial != NULL)) return;
    f->out = f->dial;
    f->dial = NULL;
    node_link_connected(f->n, f->out);
    CHECK(sent(f, f->out) == WIRE_HELLO);
    wire_put_welcome(&frame, boot);
    CHECK(send_frame(f, f->out, &frame));
}

/* It holds the whole state of the group, on every slot. */
static void put_whole(struct wire_row_writer *w, uint64_t group) {
    uint8_t slots[WIRE_SLOTS_BYTES];
    memset(slots, 0xff, sizeof slots);
    wire_begin_part(w->out, slots, 1, 0);
    wire_put_u64(w->out, group);
    wire_count_part(w);
}

static void send_row(struct far *f, uint8_t flags) {
    struct buffer frame = {0};
    struct wire_row_writer w;
    struct wire_row_peer both[] = {{*node_self(f->n), 77, true, true},
                                   {f->address, BOOT, true, true}};
    uint64_t map = node_map(f->n)->id;
    wire_begin_row(&w, &frame, flags, &map, 1);
    for (int i = 0; i < 2; i++)
        wire_put_row_peer(&w, &both[i]);
    if (flags & WIRE_ROW_SYNCED) put_whole(&w, node_map(f->n)->group[0]);
    wire_end_row(&w);
    CHECK(f->in != NULL && send_frame(f, f->in, &frame));
}

static void pass_heard(struct far *f, uint64_t ms) {
    for (; ms > 0; ms -= PEER_TICK_MS) {
        tick(f, PEER_TICK_MS);
        send_row(f, WIRE_ROW_HEARS_YOU);
    }
}

static void meet(struct far *f, uint64_t boot) {
    answer(f, boot);
    call(f, boot);
    send_row(f, WIRE_ROW_HEARS_YOU);
    CHECK(in_view(f));
    node_take_notes(f->n);
}

static struct far begin_met(void) {
    struct far f = begin();
    meet(&f, BOOT);
    return f;
}

static void end_link(struct far *f, struct link **l, bool refused) {
    node_link_closed(f->n, *l, refused);
    *l = NULL;
    tick(f, 0);
}

static void fall_silent(struct far *f) {
    pass(f, PEER_SILENT_MS + PEER_TICK_MS);
    CHECK(is_in(f, PEER_DOWN));
    CHECK(f->in == NULL && f->out == NULL);
    node_take_notes(f->n);
}

/* ---- Coming up ---- */

static void an_answered_dial_is_the_first_contact(void) {
    struct far f = begin();
    CHECK(is_in(&f, PEER_EXPECTED));
    CHECK(peers_lists(node_view(f.n), &f.address));
    answer(&f, BOOT);
    CHECK(is_in(&f, PEER_UP) && !in_view(&f));
    CHECK(noted(&f, "view: heard 10.0.0.2:8090\n"));
    end(&f);
}

/* It may come late, from a process that is gone: who lives answers the dial. */
static void a_greeting_waits_until_its_sender_answers_a_dial(void) {
    struct far f = begin();
    struct buffer goodbye = {0};
    call(&f, BOOT);
    CHECK(is_in(&f, PEER_EXPECTED) && f.in != NULL);
    wire_put_goodbye(&goodbye);
    CHECK(!send_frame(&f, f.in, &goodbye)); /* not read, comes again */
    answer(&f, BOOT);
    CHECK(is_in(&f, PEER_UP));
    send_row(&f, WIRE_ROW_HEARS_YOU);
    CHECK(in_view(&f));
    end(&f);
}

static void a_caller_that_another_process_answers_for_is_not_heard(void) {
    struct far f = begin();
    call(&f, BOOT);
    answer(&f, BOOT + 1);
    CHECK(!is_in(&f, PEER_UP) || peer_of(&f)->boot == BOOT + 1);
    CHECK(peer_of(&f)->from == NULL);
    pass(&f, PEER_SILENT_MS + PEER_TICK_MS);
    CHECK(f.in == NULL);
    end(&f);
}

static void a_view_is_mutual(void) {
    struct far f = begin_met();
    for (int i = 0; i < 3; i++) {
        send_row(&f, 0);
        CHECK(is_in(&f, PEER_UP) && !in_view(&f) && !peers_lists(node_view(f.n), &f.address));
        send_row(&f, WIRE_ROW_HEARS_YOU);
        CHECK(in_view(&f) && peers_lists(node_view(f.n), &f.address));
    }
    end(&f);
}

static void what_is_never_heard_is_listed_for_10_seconds(void) {
    struct far f = begin();
    struct address stranger = kit_address("alice:1");
    CHECK(node_view_add(f.n, &stranger) == PEERS_ADDED);
    pass(&f, PEER_UNHEARD_MS - 1);
    CHECK(is_in(&f, PEER_EXPECTED) && peers_lists(node_view(f.n), &f.address));
    pass(&f, 1 + PEER_TICK_MS);
    CHECK(is_in(&f, PEER_DOWN) && !peers_lists(node_view(f.n), &f.address));
    CHECK(peers_find(node_view(f.n), &stranger) == NULL); /* only what VIEW names is dialled on */
    unsigned dials = f.dials;
    pass(&f, 2000);
    CHECK(f.dials > dials);
    answer(&f, BOOT);
    CHECK(is_in(&f, PEER_UP));
    end(&f);
}

static void the_view_of_a_running_group_is_taken_over(void) {
    struct far f = begin_with(kit_cluster_config(4, 0));
    CHECK_U64(peers_listed_count(node_view(f.n)), 4);
    meet(&f, BOOT);
    CHECK_U64(peers_listed_count(node_view(f.n)), 4); /* it starts like this node */
    send_row(&f, WIRE_ROW_HEARS_YOU | WIRE_ROW_SYNCED);
    CHECK_U64(peers_listed_count(node_view(f.n)), 2);
    end(&f);
}

/* ---- Going down ---- */

static void silence_of_a_second_is_down(void) {
    struct far f = begin_met();
    pass_heard(&f, 3000);
    pass(&f, PEER_SILENT_MS - PEER_TICK_MS);
    CHECK(in_view(&f));
    pass(&f, PEER_TICK_MS);
    CHECK(is_in(&f, PEER_DOWN) && !peers_lists(node_view(f.n), &f.address));
    CHECK(noted(&f, "view: out, silent: 10.0.0.2:8090\n"));
    CHECK(f.in == NULL && f.out == NULL);
    end(&f);
}

static void any_byte_counts_as_life(void) {
    struct far f = begin_met();
    struct buffer frame = {0};
    wire_put_goodbye(&frame); /* cut off before its last byte */
    for (int i = 0; i < 10; i++) {
        pass(&f, PEER_SILENT_MS - PEER_TICK_MS);
        CHECK_U64(node_link_received(f.n, f.in, (struct slice){frame.at, frame.len - 1}), 0);
    }
    CHECK(in_view(&f));
    buffer_free(&frame);
    end(&f);
}

static void a_redial_that_is_refused_is_down_at_once(void) {
    struct far f = begin_met();
    pass_heard(&f, 1000);
    unsigned dials = f.dials;
    end_link(&f, &f.in, false);
    end_link(&f, &f.out, false);
    CHECK(in_view(&f)); /* a broken connection is suspicion only */
    CHECK_U64(f.dials, dials + 1);
    end_link(&f, &f.dial, true);
    CHECK(is_in(&f, PEER_DOWN) && noted(&f, "view: out, its process is gone: "));
    pass(&f, PEER_REDIAL_MS);
    CHECK_U64(f.dials, dials + 2);
    end(&f);
}

static void a_refusal_of_one_that_was_heard_meanwhile_changes_nothing(void) {
    struct far f = begin_met();
    end_link(&f, &f.out, false);
    tick(&f, PEER_TICK_MS);
    send_row(&f, WIRE_ROW_HEARS_YOU);
    end_link(&f, &f.dial, true);
    CHECK(in_view(&f));
    tick(&f, PEER_REDIAL_MS);
    end_link(&f, &f.dial, true);
    CHECK(is_in(&f, PEER_DOWN));
    end(&f);
}

static void a_redial_that_the_same_process_answers_changes_nothing(void) {
    struct far f = begin_met();
    pass_heard(&f, 1000);
    end_link(&f, &f.in, false);
    end_link(&f, &f.out, false);
    answer(&f, BOOT);
    call(&f, BOOT);
    CHECK(in_view(&f) && sent(&f, f.in) == WIRE_WELCOME);
    pass_heard(&f, 500);
    CHECK(in_view(&f));
    CHECK_TEXT(node_take_notes(f.n), "");
    end(&f);
}

static void a_second_call_takes_the_place_of_the_first(void) {
    struct far f = begin_met();
    struct link *first = f.in;
    call(&f, BOOT);
    CHECK(f.in != first && peer_of(&f)->from == f.in && in_view(&f));
    pass_heard(&f, 500);
    CHECK(in_view(&f));
    end(&f);
}

static void a_goodbye_is_down_at_once(void) {
    struct far f = begin_met();
    struct buffer frame = {0};
    wire_put_goodbye(&frame);
    send_frame(&f, f.in, &frame);
    CHECK(is_in(&f, PEER_DOWN) && noted(&f, "view: out, said goodbye: 10.0.0.2:8090\n"));
    CHECK(f.in == NULL && f.out == NULL);
    end(&f);
}

static void nonsense_breaks_the_link_and_nothing_else(void) {
    struct far f = begin_met();
    struct buffer frame = {0};
    wire_put_welcome(&frame, BOOT); /* backwards only */
    send_frame(&f, f.in, &frame);
    CHECK(f.in == NULL && f.out != NULL && in_view(&f));
    call(&f, BOOT);
    buffer_put(&frame, SLICE("\xff\xff\xff\xff\xff"));
    send_frame(&f, f.in, &frame);
    CHECK(f.in == NULL && in_view(&f));
    end(&f);
}

/* ---- Acknowledgements ---- */

static void put(struct far *f) {
    struct claim claim = {0};
    struct answer a;
    struct op op = {.kind = OP_PUT, .key = SLICE("k"), .value = SLICE("1"), .claim = &claim};
    claim_clear(&claim);
    CHECK(node_submit(f->n, 1, &op, &a) == NODE_UNDER_WAY);
    claim_free(&claim);
}

static void pass_synced(struct far *f, uint64_t ms) {
    for (; ms > 0; ms -= PEER_TICK_MS) {
        tick(f, PEER_TICK_MS);
        if (f->in != NULL) send_row(f, WIRE_ROW_HEARS_YOU | WIRE_ROW_SYNCED);
    }
}

/* The process before it wrote that for a group that nobody here knows. */
static void introduce_forgotten(struct far *f) {
    struct buffer frame = {0};
    struct wire_actor m = {0x99, BOOT + 1, 0x4242, f->address};
    wire_put_actor(&frame, &m);
    CHECK(send_frame(f, f->in, &frame));
}

static enum node_status get_after(struct far *f, const char *metadata) {
    struct claim claim = {0};
    struct answer a = {0};
    struct op op = {.kind = OP_GET, .key = SLICE("k"), .claim = &claim};
    uint64_t token;
    claim_clear(&claim);
    struct json_reader r = json_reader_of(slice_of(metadata));
    node_read_claim(f->n, &claim, &r);
    CHECK(claim.form == CLAIM_GOOD);
    if (node_submit(f->n, 1, &op, &a) == NODE_PARKED) {
        pass_synced(f, 1000);
        CHECK(node_take_answer(f->n, &token, &a));
    }
    claim_free(&claim);
    return a.status;
}

static void what_was_written_for_a_map_that_everybody_has_forgotten_is_lost(void) {
    static const char metadata[] = "{\"maps\":[],\"time\":\"0000000000000001\",\"clock\":{"
                                   "\"10.0.0.2:8090#0000000000000099\":3}}";
    struct far f = begin_met();
    introduce_forgotten(&f);
    pass_synced(&f, 500);
    CHECK(get_after(&f, metadata) == NODE_NOT_YET); /* it may have what is not its own */
    tick(&f, PEER_TICK_MS);
    send_row(&f, WIRE_ROW_HEARS_YOU | WIRE_ROW_SYNCED | WIRE_ROW_SETTLED);
    CHECK(get_after(&f, metadata) == NODE_NO_KEY);
    end(&f);
}

static void who_owes_an_acknowledgement_for_a_second_is_down(void) {
    struct far f = begin_met();
    struct answer a;
    uint64_t token;
    pass_synced(&f, 500);
    CHECK(node_ready(f.n));
    put(&f);
    pass_synced(&f, PEER_SILENT_MS - PEER_TICK_MS);
    CHECK(in_view(&f) && !node_take_answer(f.n, &token, &a));
    pass_synced(&f, 2 * PEER_TICK_MS);
    CHECK(is_in(&f, PEER_DOWN) && noted(&f, "view: out, acknowledges nothing: "));
    CHECK(node_take_answer(f.n, &token, &a) && a.status == NODE_CREATED); /* alone */
    end(&f);
}

static void who_acknowledges_stays(void) {
    struct far f = begin_met();
    struct answer a;
    uint64_t token;
    pass_synced(&f, 500);
    for (uint64_t n = 1; n <= 5; n++) {
        put(&f);
        pass_synced(&f, PEER_SILENT_MS - 2 * PEER_TICK_MS);
        struct buffer frame = {0};
        wire_put_ack(&frame, (struct wire_dot){actors_get(node_actors(f.n), 0)->id, n});
        CHECK(send_frame(&f, f.in, &frame));
        CHECK(node_take_answer(f.n, &token, &a));
    }
    pass_synced(&f, 3000);
    CHECK(in_view(&f));
    end(&f);
}

/* It would take the numbers that the node is about to give. */
static void who_claims_to_have_what_was_never_written_is_not_believed(void) {
    struct far f = begin_met();
    struct buffer frame = {0};
    struct answer a;
    uint64_t token;
    uint16_t slot = (uint16_t)shard_slot(SLICE("k"));
    pass_synced(&f, 500);
    put(&f);
    struct wire_dot made = {actors_get(node_actors(f.n), 0)->id, 1}, more = {made.actor_id, 2};
    wire_put_ack(&frame, made);
    CHECK(send_frame(&f, f.in, &frame) && node_take_answer(f.n, &token, &a));
    size_t begun = wire_begin_slot(&frame, slot, node_map(f.n)->id, 0, 1);
    wire_put_dot(&frame, more);
    wire_end_slot(&frame, begun);
    wire_put_slot_end(&frame, slot);
    send_frame(&f, f.in, &frame);
    CHECK(f.in == NULL);
    call(&f, BOOT);
    wire_put_ack(&frame, more);
    send_frame(&f, f.in, &frame);
    CHECK(f.in == NULL);
    call(&f, BOOT);
    put(&f);
    wire_put_ack(&frame, more);
    CHECK(send_frame(&f, f.in, &frame) && node_take_answer(f.n, &token, &a));
    CHECK(a.status == NODE_REPLACED);
    end(&f);
}

/* ---- Coming back ---- */

static void the_same_process_is_back_when_it_was_heard_for_readmit_ms(void) {
    struct far f = begin_met();
    fall_silent(&f);
    call(&f, BOOT);
    CHECK(is_in(&f, PEER_PROBATION) && !in_view(&f));
    pass_heard(&f, 2000 - PEER_TICK_MS);
    CHECK(is_in(&f, PEER_PROBATION) && !in_view(&f));
    pass_heard(&f, 2 * PEER_TICK_MS);
    CHECK(in_view(&f) && noted(&f, "view: heard again 10.0.0.2:8090\n"));
    end(&f);
}

static void a_gap_starts_the_probation_again(void) {
    struct far f = begin_met();
    fall_silent(&f);
    for (int i = 0; i < 3; i++) {
        call(&f, BOOT);
        pass_heard(&f, 1500);
        CHECK(is_in(&f, PEER_PROBATION));
        fall_silent(&f);
    }
    call(&f, BOOT);
    pass_heard(&f, 900);
    end_link(&f, &f.in, false); /* a broken connection is no gap */
    call(&f, BOOT);
    pass_heard(&f, 1200);
    CHECK(in_view(&f));
    end(&f);
}

static void a_new_process_is_taken_in_at_once(void) {
    struct far f = begin_met();
    fall_silent(&f);
    call(&f, BOOT);
    CHECK(is_in(&f, PEER_PROBATION));
    for (uint64_t boot = BOOT + 1; boot < BOOT + 4; boot++) {
        call(&f, boot);
        tick(&f, 0);
        answer(&f, boot);
        CHECK(is_in(&f, PEER_UP) && peer_of(&f)->boot == boot);
        send_row(&f, WIRE_ROW_HEARS_YOU);
        CHECK(in_view(&f) && peer_boot_is_over(peer_of(&f), boot - 1));
    }
    end(&f);
}

/* What it said before it ended may still be on the way. */
static void the_process_before_is_not_listened_to_any_more(void) {
    struct far f = begin_met();
    end_link(&f, &f.out, false);
    CHECK(f.in != NULL);
    answer(&f, BOOT + 1);
    CHECK(f.in == NULL && peer_of(&f)->from == NULL);
    call(&f, BOOT + 1);
    send_row(&f, WIRE_ROW_HEARS_YOU);
    CHECK(in_view(&f));
    end(&f);
}

/* ---- Refusals ---- */

static void check_refused_quietly(struct far *f, const struct wire_hello *hello, const char *why) {
    struct buffer frame = {0};
    struct wire_frame out;
    struct slice reason = {0};
    struct link *l = node_link_accepted(f->n);
    wire_put_hello(&frame, hello);
    node_link_received(f->n, l, buffer_slice(&frame));
    CHECK(wire_cut(node_link_output(l), &out) == WIRE_CUT_FRAME && out.type == WIRE_REFUSED);
    CHECK(wire_read_refused(out.body, &reason));
    CHECK_TEXT(reason, why);
    struct link_order order;
    CHECK(node_take_order(f->n, &order) && order.kind == LINK_CLOSE && order.link == l);
    buffer_free(&frame);
}

static void check_refused(struct far *f, const struct wire_hello *hello, const char *why) {
    check_refused_quietly(f, hello, why);
    CHECK(noted(f, why));
    pass_heard(f, 100);
    CHECK(in_view(f));
}

static void callers_that_do_not_belong_here_are_refused(void) {
    struct far f = begin_met();
    struct wire_hello hello = hello_of(&f, BOOT);
    hello.cluster = SLICE("kvs2");
    check_refused(&f, &hello, "another cluster");
    hello = hello_of(&f, BOOT);
    hello.version++;
    hello.caller = kit_address("10.0.0.3:8090");
    check_refused(&f, &hello, "another version of the protocol");
    hello = hello_of(&f, BOOT);
    hello.callee = hello.caller = kit_address("10.0.0.4:8090");
    check_refused_quietly(&f, &hello, "this is another node");
    CHECK(!noted(&f, "refused")); /* all strangers together are noted once a minute */
    hello = hello_of(&f, BOOT);
    hello.caller = *node_self(f.n);
    check_refused(&f, &hello, "that address is mine");
    CHECK_U64(node_view(f.n)->count, 2);
    end(&f);
}

static void a_process_that_another_has_followed_is_refused(void) {
    struct far f = begin_met();
    call(&f, BOOT + 1);
    tick(&f, 0);
    answer(&f, BOOT + 1);
    send_row(&f, WIRE_ROW_HEARS_YOU);
    struct wire_hello hello = hello_of(&f, BOOT);
    check_refused(&f, &hello, "a later process has taken that address");
    end(&f);
}

static void who_refuses_this_node_is_down_and_dialled_less_often(void) {
    struct far f = begin_met();
    struct buffer frame = {0};
    end_link(&f, &f.out, false);
    struct link *l = f.dial;
    f.out = f.dial;
    f.dial = NULL;
    node_link_connected(f.n, l);
    wire_put_refused(&frame, SLICE("struck off by request"));
    send_frame(&f, l, &frame);
    CHECK(is_in(&f, PEER_DOWN) && noted(&f, "this node was refused by 10.0.0.2:8090"));
    unsigned dials = f.dials;
    pass(&f, PEER_REFUSED_MS - PEER_TICK_MS);
    CHECK_U64(f.dials, dials);
    pass(&f, 2 * PEER_TICK_MS);
    CHECK_U64(f.dials, dials + 1);
    end(&f);
}

/* ---- Struck off ---- */

static void who_is_struck_off_is_out_until_it_is_named(void) {
    struct far f = begin_met();
    unsigned dials = f.dials;
    CHECK(node_view_remove(f.n, &f.address) == NODE_REMOVED);
    tick(&f, 0);
    CHECK(is_in(&f, PEER_STRUCK) && f.in == NULL && f.out == NULL);
    call(&f, BOOT);
    CHECK(f.in == NULL && is_in(&f, PEER_STRUCK));
    pass(&f, 5000);
    CHECK_U64(f.dials, dials);
    CHECK(node_view_add(f.n, &f.address) == PEERS_ADDED);
    tick(&f, PEER_TICK_MS);
    CHECK_U64(f.dials, dials + 1);
    CHECK(is_in(&f, PEER_EXPECTED));
    answer(&f, BOOT);
    CHECK(is_in(&f, PEER_UP));
    end(&f);
}

static void who_is_struck_off_is_back_with_a_new_process(void) {
    struct far f = begin_met();
    CHECK(node_view_remove(f.n, &f.address) == NODE_REMOVED);
    tick(&f, 0);
    call(&f, BOOT + 1);
    tick(&f, PEER_TICK_MS);
    answer(&f, BOOT + 1);
    CHECK(is_in(&f, PEER_UP));
    send_row(&f, WIRE_ROW_HEARS_YOU);
    CHECK(in_view(&f));
    end(&f);
}

/* ---- Time ---- */

static void dials_are_given_up_and_tried_again(void) {
    struct far f = begin();
    CHECK(f.dial != NULL && f.dials == 1);
    pass(&f, PEER_DIAL_MS - 1);
    CHECK(f.dial != NULL);
    pass(&f, PEER_TICK_MS);
    CHECK(f.dial == NULL);
    pass(&f, PEER_REDIAL_MS + PEER_TICK_MS);
    CHECK(f.dial != NULL && f.dials == 2);
    f.out = f.dial;
    f.dial = NULL;
    node_link_connected(f.n, f.out); /* and then says nothing */
    pass(&f, PEER_DIAL_MS + PEER_TICK_MS);
    CHECK(f.out == NULL);
    end(&f);
}

static void handshakes_may_take_longer_than_dials_where_that_is_said(void) {
    struct node_config config = kit_cluster_config(2, 0);
    config.greet_ms = 4 * PEER_DIAL_MS;
    struct far f = begin_with(config);
    pass(&f, PEER_DIAL_MS + PEER_TICK_MS);
    CHECK(f.dial == NULL); /* it is given up as ever */
    pass(&f, PEER_REDIAL_MS + PEER_TICK_MS);
    f.out = f.dial;
    f.dial = NULL;
    node_link_connected(f.n, f.out);
    f.in = node_link_accepted(f.n);
    pass(&f, 4 * PEER_DIAL_MS - PEER_TICK_MS);
    CHECK(f.out != NULL && f.in != NULL);
    pass(&f, 2 * PEER_TICK_MS);
    CHECK(f.out == NULL && f.in == NULL);
    end(&f);
}

static void callers_that_do_not_greet_are_sent_away(void) {
    struct far f = begin();
    f.in = node_link_accepted(f.n);
    CHECK_U64(node_link_received(f.n, f.in, (struct slice){"\0\0", 2}), 0);
    pass(&f, PEER_DIAL_MS + PEER_TICK_MS);
    CHECK(f.in == NULL);
    end(&f);
}

static void a_late_turn_forgives_silence(void) {
    struct far f = begin_met();
    pass_heard(&f, 500);
    tick(&f, 5000); /* this process was stopped */
    CHECK(in_view(&f));
    pass(&f, PEER_SILENT_MS - 2 * PEER_TICK_MS);
    CHECK(in_view(&f));
    pass(&f, 3 * PEER_TICK_MS);
    CHECK(is_in(&f, PEER_DOWN));
    end(&f);
}

/* It was not heard for that long: it was not listened to. */
static void a_late_turn_does_not_end_a_probation(void) {
    struct far f = begin_met();
    fall_silent(&f);
    call(&f, BOOT);
    pass_heard(&f, 500);
    tick(&f, 5000);
    CHECK(is_in(&f, PEER_PROBATION));
    pass_heard(&f, 1300);
    CHECK(is_in(&f, PEER_PROBATION));
    pass_heard(&f, 500);
    CHECK(in_view(&f));
    end(&f);
}

static void a_late_turn_gives_up_no_dial_and_no_node(void) {
    struct far f = begin();
    pass(&f, PEER_REDIAL_MS);
    CHECK(f.dial != NULL);
    tick(&f, 2 * PEER_UNHEARD_MS);
    CHECK(is_in(&f, PEER_EXPECTED) && f.dial != NULL);
    answer(&f, BOOT);
    CHECK(is_in(&f, PEER_UP));
    end(&f);
}

/* ---- A full list ---- */

/* Or else so many that come and go would leave no room for any other. */
static void a_node_in_no_map_is_forgotten_long_after_it_was_heard(void) {
    struct node_config config = kit_node_config();
    config.shard_count = 1;
    struct far f = begin_with(config);
    call(&f, BOOT);
    tick(&f, PEER_TICK_MS);
    answer(&f, BOOT);
    send_row(&f, WIRE_ROW_HEARS_YOU);
    CHECK(in_view(&f));
    pass(&f, PEER_STRANGER_MS - PEER_TICK_MS);
    CHECK(is_in(&f, PEER_DOWN));
    pass(&f, 2 * PEER_TICK_MS);
    CHECK(peers_find(node_view(f.n), &f.address) == NULL);
    CHECK_U64(node_view(f.n)->count, 1);
    end(&f);
}

static void a_map_names_members_though_the_list_of_nodes_is_full(void) {
    struct far f = begin_met();
    send_row(&f, WIRE_ROW_HEARS_YOU);
    for (int i = 0; i < PEERS_MAX; i++) {
        char text[32];
        snprintf(text, sizeof text, "stranger%d:1", i);
        struct address stranger = kit_address(text);
        CHECK(node_view_add(f.n, &stranger) == (i < PEERS_MAX - 2 ? PEERS_ADDED : PEERS_FULL));
    }
    struct address member = kit_address("10.0.0.9:8090");
    struct map_change change = {.add = &member, .add_count = 1, .proposer = &f.address};
    struct map *m = map_derive(node_map(f.n), &change);
    struct buffer encoded = {0}, frame = {0};
    map_encode(&encoded, m);
    wire_put_map(&frame, buffer_slice(&encoded));
    CHECK(send_frame(&f, f.in, &frame));
    CHECK(node_map(f.n)->id == m->id);
    CHECK(peers_find(node_view(f.n), &member) != NULL);
    tick(&f, PEER_TICK_MS);
    buffer_free(&encoded);
    map_free(m);
    end(&f);
}

static void put_map(struct buffer *out, const struct map *m) {
    struct buffer encoded = {0};
    map_encode(&encoded, m);
    wire_put_map(out, buffer_slice(&encoded));
    buffer_free(&encoded);
}

static unsigned count_of(struct slice notes, const char *what) {
    unsigned count = 0;
    while (notes.len > 0)
        count += slice_equal(slice_cut(&notes, '\n'), slice_of(what));
    return count;
}

/* The greatest first: then there is but one to adopt. */
static void when_no_more_maps_fit_it_is_noted_and_requests_are_told(void) {
    enum { SENT = MAPS_MAX + 10 };
    struct far f = begin_met();
    static struct map *maps[SENT];
    struct buffer frames = {0};
    for (uint32_t i = 0; i < SENT; i++) {
        struct map_change change = {.proposer = &f.address, .nonce = i};
        maps[i] = map_derive(i == 0 ? node_map(f.n) : maps[i - 1], &change);
    }
    for (uint32_t i = SENT; i > 0; i--) {
        put_map(&frames, maps[i - 1]);
        map_free(maps[i - 1]);
    }
    CHECK(send_frame(&f, f.in, &frames));
    CHECK_U64(count_of(node_take_notes(f.n),
                       "map: too many maps are known; no more are taken until this node restarts"),
              1);
    struct answer a;
    struct address third = kit_address("10.0.0.3:8090");
    CHECK(node_view_add(f.n, &third) == PEERS_ADDED);
    CHECK(node_add_member(f.n, 1, 0, &third, &a) == NODE_ANSWERED);
    CHECK(a.status == NODE_TOO_MANY_CHANGES);
    end(&f);
}

static void when_no_more_actors_fit_that_is_noted_once_a_minute(void) {
    struct far f = begin_met();
    for (uint64_t id = 1; f.in != NULL && id <= CLUSTER_ACTORS_MAX + 1; id++) {
        struct wire_actor m = {.id = id, .boot = BOOT, .group = 1, .node = f.address};
        struct buffer frame = {0};
        wire_put_actor(&frame, &m);
        send_frame(&f, f.in, &frame);
    }
    CHECK_U64(actors_count(node_actors(f.n)), CLUSTER_ACTORS_MAX);
    CHECK_U64(count_of(node_take_notes(f.n),
                       "peer: too many sources of writes are known; no more are taken"),
              1);
    end(&f);
}

/* ---- Links that end at any moment ---- */

#define CHAOS_LINKS 16

struct chaos {
    struct far f;
    struct link *links[CHAOS_LINKS]; /* those that the shell knows */
    bool connected[CHAOS_LINKS], ours[CHAOS_LINKS], greeted[CHAOS_LINKS];
    struct kit_random random;
    uint64_t boot; /* of the other side's present process */
};

static void add_link(struct chaos *c, struct link *l, bool ours) {
    for (int i = 0; i < CHAOS_LINKS; i++) {
        if (c->links[i] != NULL) continue;
        c->links[i] = l;
        c->ours[i] = ours;
        c->connected[i] = !ours;
        c->greeted[i] = false;
        return;
    }
    node_link_closed(c->f.n, l, false);
}

static void take_one_order(struct chaos *c) {
    struct link_order order;
    if (!node_take_order(c->f.n, &order)) return;
    if (order.kind == LINK_DIAL) {
        add_link(c, order.link, true);
        return;
    }
    for (int i = 0; i < CHAOS_LINKS; i++) {
        if (c->links[i] == order.link) c->links[i] = NULL;
    }
}

static void put_row(struct chaos *c, struct buffer *frame) {
    struct wire_row_writer w;
    uint64_t map = node_map(c->f.n)->id;
    wire_begin_row(&w, frame, (uint8_t)kit_below(&c->random, 4), &map, 1);
    wire_end_row(&w);
}

/* Mostly what comes next on that link. */
static void put_frame(struct chaos *c, int i, struct buffer *frame) {
    if (kit_below(&c->random, 300) == 0) c->boot++;
    uint64_t boot = kit_below(&c->random, 50) == 0 ? 1 + kit_below(&c->random, 9) : c->boot;
    struct wire_hello hello = hello_of(&c->f, boot);
    bool sensible = kit_below(&c->random, 30) != 0;
    uint64_t any = kit_below(&c->random, 5);
    if (sensible) any = c->greeted[i] ? 2 : c->ours[i] ? 1 : 0;
    if (sensible && c->greeted[i] && c->ours[i]) return;
    c->greeted[i] = true;
    switch (any) {
    case 0: wire_put_hello(frame, &hello); break;
    case 1: wire_put_welcome(frame, boot); break;
    case 2: put_row(c, frame); break;
    case 3: wire_put_refused(frame, SLICE("no")); break;
    default: wire_put_goodbye(frame); break;
    }
}

static void do_something(struct chaos *c) {
    struct far *f = &c->f;
    int i = (int)kit_below(&c->random, CHAOS_LINKS);
    struct buffer frame = {0};
    switch (kit_below(&c->random, 12)) {
    case 0: add_link(c, node_link_accepted(f->n), false); break;
    case 1:
    case 2: take_one_order(c); break;
    case 3:
        f->now_ms += kit_below(&c->random, kit_below(&c->random, 20) == 0 ? 2000 : 100);
        node_set_time(f->n, f->now_ms, KIT_WALL_MS);
        node_end_turn(f->n);
        break;
    case 4:
        if (c->links[i] == NULL || kit_below(&c->random, 10) != 0) break;
        node_link_closed(f->n, c->links[i], kit_below(&c->random, 2) == 0 && !c->connected[i]);
        c->links[i] = NULL;
        break;
    case 5:
        if (c->links[i] == NULL || c->connected[i]) break;
        c->connected[i] = true;
        node_link_connected(f->n, c->links[i]);
        break;
    case 6:
        if (kit_below(&c->random, 200) == 0) node_view_remove(f->n, &f->address);
        if (kit_below(&c->random, 10) == 0) node_view_add(f->n, &f->address);
        break;
    default:
        if (c->links[i] == NULL || !c->connected[i]) break;
        put_frame(c, i, &frame);
        if (frame.len == 0) break;
        node_link_received(f->n, c->links[i], buffer_slice(&frame));
    }
    buffer_free(&frame);
}

static void links_may_end_at_any_moment(void) {
    struct kit_random random = {kit_seed()};
    unsigned up = 0;
    for (int round = 0; round < 100; round++) {
        struct node_config config = kit_cluster_config(2, 0);
        struct chaos *c = calloc(1, sizeof *c);
        kit_note("round %d", round);
        config.cluster = SLICE("kvs");
        config.readmit_ms = 100;
        c->boot = 1;
        c->random = (struct kit_random){kit_next(&random)};
        c->f = (struct far){.now_ms = KIT_NOW_MS, .address = kit_address("10.0.0.2:8090")};
        c->f.n = node_create(&config, KIT_NOW_MS, KIT_WALL_MS);
        for (int i = 0; i < 2000; i++) {
            do_something(c);
            up += in_view(&c->f);
        }
        node_free(c->f.n);
        free(c);
    }
    kit_note("%u", up);
    CHECK(up > 1000);
}

int main(void) {
    RUN(an_answered_dial_is_the_first_contact);
    RUN(a_greeting_waits_until_its_sender_answers_a_dial);
    RUN(a_caller_that_another_process_answers_for_is_not_heard);
    RUN(a_view_is_mutual);
    RUN(what_is_never_heard_is_listed_for_10_seconds);
    RUN(the_view_of_a_running_group_is_taken_over);
    RUN(silence_of_a_second_is_down);
    RUN(any_byte_counts_as_life);
    RUN(a_redial_that_is_refused_is_down_at_once);
    RUN(a_refusal_of_one_that_was_heard_meanwhile_changes_nothing);
    RUN(a_redial_that_the_same_process_answers_changes_nothing);
    RUN(a_second_call_takes_the_place_of_the_first);
    RUN(a_goodbye_is_down_at_once);
    RUN(nonsense_breaks_the_link_and_nothing_else);
    RUN(what_was_written_for_a_map_that_everybody_has_forgotten_is_lost);
    RUN(who_owes_an_acknowledgement_for_a_second_is_down);
    RUN(who_acknowledges_stays);
    RUN(who_claims_to_have_what_was_never_written_is_not_believed);
    RUN(the_same_process_is_back_when_it_was_heard_for_readmit_ms);
    RUN(a_gap_starts_the_probation_again);
    RUN(a_new_process_is_taken_in_at_once);
    RUN(the_process_before_is_not_listened_to_any_more);
    RUN(callers_that_do_not_belong_here_are_refused);
    RUN(a_process_that_another_has_followed_is_refused);
    RUN(who_refuses_this_node_is_down_and_dialled_less_often);
    RUN(who_is_struck_off_is_out_until_it_is_named);
    RUN(who_is_struck_off_is_back_with_a_new_process);
    RUN(dials_are_given_up_and_tried_again);
    RUN(handshakes_may_take_longer_than_dials_where_that_is_said);
    RUN(callers_that_do_not_greet_are_sent_away);
    RUN(a_late_turn_forgives_silence);
    RUN(a_late_turn_does_not_end_a_probation);
    RUN(a_late_turn_gives_up_no_dial_and_no_node);
    RUN(a_node_in_no_map_is_forgotten_long_after_it_was_heard);
    RUN(when_no_more_maps_fit_it_is_noted_and_requests_are_told);
    RUN(when_no_more_actors_fit_that_is_noted_once_a_minute);
    RUN(a_map_names_members_though_the_list_of_nodes_is_full);
    RUN(links_may_end_at_any_moment);
    return kit_finish();
}
