/* SHA-256 against the published vectors of FIPS 180-4 and NIST, HMAC against those of RFC 4231. */
#include "kit.h"

#include <stdio.h>

#include "../sha256.h"

static const char *hex(const uint8_t digest[SHA256_BYTES]) {
    static char text[2 * SHA256_BYTES + 1];
    for (size_t i = 0; i < SHA256_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    return text;
}

/* ---- SHA-256 ---- */

static const struct {
    const char *text, *digest;
} HASHES[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqr"
     "lmnopqrsmnopqrstnopqrstu",
     "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
};

static void sha256_gives_the_published_digests(void) {
    for (size_t i = 0; i < sizeof HASHES / sizeof *HASHES; i++) {
        struct sha256 h;
        uint8_t digest[SHA256_BYTES];
        kit_note("'%s'", HASHES[i].text);
        sha256_begin(&h);
        sha256_take(&h, slice_of(HASHES[i].text));
        sha256_end(&h, digest);
        CHECK_TEXT(slice_of(hex(digest)), HASHES[i].digest);
    }
}

static void a_million_letters_a(void) {
    struct sha256 h;
    uint8_t digest[SHA256_BYTES];
    char letters[1000];
    memset(letters, 'a', sizeof letters);
    sha256_begin(&h);
    for (int i = 0; i < 1000; i++)
        sha256_take(&h, (struct slice){letters, sizeof letters});
    sha256_end(&h, digest);
    CHECK_TEXT(slice_of(hex(digest)),
               "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* Lengths on both sides of every border that padding has. */
static void how_a_message_is_split_does_not_matter(void) {
    char bytes[200];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 7);
    for (size_t len = 0; len <= sizeof bytes; len++) {
        struct sha256 whole, split;
        uint8_t a[SHA256_BYTES], b[SHA256_BYTES];
        sha256_begin(&whole);
        sha256_take(&whole, (struct slice){bytes, len});
        sha256_end(&whole, a);
        sha256_begin(&split);
        for (size_t i = 0; i < len; i++)
            sha256_take(&split, (struct slice){bytes + i, 1});
        sha256_end(&split, b);
        kit_note("%zu bytes", len);
        CHECK(memcmp(a, b, sizeof a) == 0);
    }
}

/* ---- HMAC ---- */

static char ones[131], dots[50], twos[50];

static void hmac_gives_the_published_codes(void) {
    memset(ones, 0xaa, sizeof ones);
    memset(dots, 0xdd, sizeof dots);
    memset(twos, 0x0b, sizeof twos);
    const struct {
        struct slice key, message;
        const char *code;
    } cases[] = {
        {{twos, 20},
         SLICE("Hi There"),
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {SLICE("Jefe"), SLICE("what do ya want for nothing?"),
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {{ones, 20},
         {dots, 50},
         "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
        {{ones, 131},
         SLICE("Test Using Larger Than Block-Size Key - Hash Key First"),
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t code[SHA256_BYTES];
        kit_note("case %zu", i);
        hmac_sha256(cases[i].key, &cases[i].message, 1, code);
        CHECK_TEXT(slice_of(hex(code)), cases[i].code);
    }
}

static void pieces_are_one_message(void) {
    struct slice pieces[] = {SLICE("what do ya "), SLICE(""), SLICE("want for nothing?")};
    uint8_t code[SHA256_BYTES];
    hmac_sha256(SLICE("Jefe"), pieces, 3, code);
    CHECK_TEXT(slice_of(hex(code)),
               "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void equal_means_every_byte(void) {
    CHECK(equal_in_constant_time(SLICE(""), SLICE("")));
    CHECK(equal_in_constant_time(SLICE("secret"), SLICE("secret")));
    CHECK(!equal_in_constant_time(SLICE("secret"), SLICE("secreT")));
    CHECK(!equal_in_constant_time(SLICE("Secret"), SLICE("secret")));
    CHECK(!equal_in_constant_time(SLICE("secret"), SLICE("secre")));
    CHECK(!equal_in_constant_time(SLICE("secret"), SLICE("secrets")));
}

int main(void) {
    RUN(sha256_gives_the_published_digests);
    RUN(a_million_letters_a);
    RUN(how_a_message_is_split_does_not_matter);
    RUN(hmac_gives_the_published_codes);
    RUN(pieces_are_one_message);
    RUN(equal_means_every_byte);
    return kit_finish();
}
