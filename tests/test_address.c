/* Node addresses: which texts name the same node, which are refused, and their order. */
#include "kit.h"

static struct guard guard;

static const char *parse(const char *text, struct address *out) {
    struct slice s = slice_of(text);
    return address_parse((struct slice){guard_end(&guard, s), s.len}, out);
}

static void addresses_are_brought_to_their_normal_form(void) {
    static const struct {
        const char *text, *normal, *host;
        uint32_t ipv4;
        uint16_t port;
    } cases[] = {
        {"10.10.0.2:8090", "10.10.0.2:8090", "10.10.0.2", 0x0a0a0002, 8090},
        {"010.1.002.000:1", "10.1.2.0:1", "10.1.2.0", 0x0a010200, 1},
        {"255.255.255.255:65535", "255.255.255.255:65535", "255.255.255.255", 0xffffffff, 65535},
        {"0.0.0.0:080", "0.0.0.0:80", "0.0.0.0", 0, 80},
        {"Alice:8090", "alice:8090", "alice", 0, 8090},
        {"ALICE.Example.ORG:1", "alice.example.org:1", "alice.example.org", 0, 1},
        {"node-1_a:9", "node-1_a:9", "node-1_a", 0, 9},
        {"1.2.3.x:9", "1.2.3.x:9", "1.2.3.x", 0, 9},
        {"1a:9", "1a:9", "1a", 0, 9},
        {"alice:0000000000000008090", "alice:8090", "alice", 0, 8090},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct address a;
        kit_note("%s", cases[i].text);
        if (!CHECK(parse(cases[i].text, &a) == NULL)) continue;
        CHECK_TEXT(address_text(&a), cases[i].normal);
        CHECK_TEXT(slice_of(a.text), cases[i].normal);
        CHECK_TEXT(address_host(&a), cases[i].host);
        CHECK_U64(a.ipv4, cases[i].ipv4);
        CHECK_U64(a.port, cases[i].port);
    }
}

static void nonsense_is_refused_with_a_phrase(void) {
    static const char *const cases[] = {
        "",
        ":",
        "alice",
        "alice:",
        ":8090",
        "alice:0",
        "alice:65536",
        "alice:99999999999999999999",
        "alice:80x",
        "alice:-1",
        "alice:+80",
        "alice: 80",
        "alice:80 ",
        " alice:80",
        "al ice:80",
        "al/ice:80",
        "alice,bob:80",
        "http://alice:80",
        ".alice:80",
        "alice.:80",
        "al..ice:80",
        ".:80",
        "1.2.3:80",
        "1.2.3.4.5:80",
        "1.2.3.256:80",
        "1.2.3.0004:80",
        "1..2.3:80",
        "1.2.3.:80",
        ".1.2.3:80",
        "1234:80",
        "1.2.3.4",
        "::1:80",
        "[::1]:80",
        "[fe80::1]:80",
        "a:b:80",
        "b\xc3\xa4r:80",
        "alice\x01:80",
        "alice:8\x01",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct address a;
        kit_note("%s", cases[i]);
        const char *error = parse(cases[i], &a);
        CHECK(error != NULL && strlen(error) > 5);
    }
    struct address a;
    CHECK(address_parse((struct slice){"a\0b:80", 6}, &a) != NULL);
    CHECK(address_parse((struct slice){NULL, 0}, &a) != NULL);
}

static void ipv6_literals_are_refused_by_name(void) {
    struct address a;
    CHECK_TEXT(slice_of(parse("http://a:1", &a)), "expected HOST:PORT, not a URL");
    CHECK_TEXT(slice_of(parse("http://a", &a)), "expected HOST:PORT, not a URL");
    CHECK_TEXT(slice_of(parse("[::1]:80", &a)), "IPv6 literals are not supported");
    CHECK_TEXT(slice_of(parse("::1", &a)), "IPv6 literals are not supported");
}

static void every_text_is_refused_at_every_truncation_before_its_port(void) {
    struct slice whole = SLICE("alice.example.org:8090");
    for (size_t len = 0; len <= whole.len; len++) {
        struct address a;
        struct slice part = {guard_end(&guard, (struct slice){whole.at, len}), len};
        CHECK((address_parse(part, &a) == NULL) == (len > whole.len - 4));
    }
}

static void hosts_are_as_long_as_dns_allows(void) {
    for (size_t len = ADDRESS_HOST_MAX - 1; len <= ADDRESS_HOST_MAX + 1; len++) {
        char text[ADDRESS_HOST_MAX + 16];
        struct address a;
        memset(text, 'a', len);
        memcpy(text + len, ":65535", 7);
        bool good = parse(text, &a) == NULL;
        CHECK(good == (len <= ADDRESS_HOST_MAX));
        if (good) CHECK_TEXT(address_text(&a), text);
    }
}

static void order_is_ipv4_by_number_then_names_then_ports(void) {
    static const char *const sorted[] = {
        "2.0.0.1:9",   "10.0.0.1:80", "10.0.0.1:8090", "10.0.0.2:1", "10.0.0.10:1",
        "127.0.0.1:1", "200.0.0.1:1", "a:2",           "a:10",       "a-b:1",
        "a.b:1",       "aa:1",        "alice:8090",    "b:1",
    };
    size_t count = sizeof sorted / sizeof *sorted;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            struct address a = kit_address(sorted[i]), b = kit_address(sorted[j]);
            int order = address_compare(&a, &b);
            kit_note("%s and %s", sorted[i], sorted[j]);
            CHECK((order > 0) - (order < 0) == (i > j) - (i < j));
        }
    }
}

static void equal_nodes_compare_equal_however_they_are_written(void) {
    static const char *const pairs[][2] = {{"Alice:80", "aLICE:80"},
                                           {"010.0.0.1:80", "10.0.0.001:080"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct address a = kit_address(pairs[i][0]), b = kit_address(pairs[i][1]);
        CHECK(address_compare(&a, &b) == 0);
        CHECK_SLICE(address_text(&a), address_text(&b));
    }
}

static void loopback_is_127_whatever_follows(void) {
    static const struct {
        const char *text;
        bool is;
    } cases[] = {{"127.0.0.1:1", true},  {"127.255.0.9:1", true}, {"126.0.0.1:1", false},
                 {"128.0.0.1:1", false}, {"localhost:1", false},  {"127:1", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct address a;
        if (parse(cases[i].text, &a) != NULL) continue;
        CHECK(address_is_loopback(&a) == cases[i].is);
    }
}

int main(void) {
    guard = guard_create();
    RUN(addresses_are_brought_to_their_normal_form);
    RUN(nonsense_is_refused_with_a_phrase);
    RUN(ipv6_literals_are_refused_by_name);
    RUN(every_text_is_refused_at_every_truncation_before_its_port);
    RUN(hosts_are_as_long_as_dns_allows);
    RUN(order_is_ipv4_by_number_then_names_then_ports);
    RUN(equal_nodes_compare_equal_however_they_are_written);
    RUN(loopback_is_127_whatever_follows);
    guard_free(&guard);
    return kit_finish();
}
