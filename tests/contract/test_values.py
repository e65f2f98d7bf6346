"""Values come back as the same JSON text."""

import unittest

from harness import NodeCase, encode_body, key_path

MIB = 1 << 20


class Values(NodeCase):
    def expect_same_text(self, text):
        raw_text = text if isinstance(text, bytes) else text.encode()
        key = self.key()
        with self.subTest(value=raw_text[:80]):
            self.expect(self.client.put_text(key, raw_text), 201)
            answer = self.client.get(key)
            self.assertEqual(answer.status, 200, answer)
            start = answer.body.find(b'"value":') + len(b'"value":')
            self.assertEqual(answer.body[start:start + len(raw_text)], raw_text, answer)
            self.assertIn(answer.body[start + len(raw_text):][:1], (b",", b"}"), answer)

    def test_numbers_keep_their_digits(self):
        for text in ("0", "-0", "1.0", "-0.0", "10", "12345678901234567890", "-9223372036854775809", "1e400", "1E+2",
                     "1e-400", "0.1000000000000000055511151231257827", "1.50", "1e0", "0e0", "9" * 4000):
            self.expect_same_text(text)

    def test_the_other_scalars(self):
        for text in ("null", "true", "false", '""', '"x"'):
            self.expect_same_text(text)

    def test_escapes_stay_escapes(self):
        for text in (r'"A"', r'"\u0000"', r'"\/\b\f\n\r\t\"\\"', r'"\ud83d\ude00"', r'"\u00e9\u00E9"', r'"\uFFFF"',
                     r'"\ufdd0"', r'"\udbff\udfff"', r'"\u0022"', r'"\\u0041"', r'"\\"', r'"\\\\"'):
            self.expect_same_text(text)

    def test_raw_utf8_stays_raw(self):
        for text in ('"é"', '"日本語"', '"😀"', '"\u2028\u2029"', '"\x7f"', '"\ufeff"', '"\U0010ffff"', '"\uffff"'):
            self.expect_same_text(text)

    def test_nesting_stays(self):
        for text in ("[]", "{}", "[[],{},[{}]]", '{"a":{"b":[1,{"c":null}]}}', "[" * 50 + "]" * 50,
                     '{"a":' * 50 + "1" + "}" * 50, '{"value":1,"causal-metadata":{"clock":5}}', '{"":{"":""}}'):
            self.expect_same_text(text)

    def test_equal_names_inside_a_value_stay(self):
        self.expect_same_text('{"a":1,"a":2,"\\u0061":3}')

    def test_white_space_inside_a_value_stays(self):
        for text in ('{ "a" : [ 1 ,\t2 ] }', "[\r\n1\r\n]", '" a  b "'):
            self.expect_same_text(text)

    def test_white_space_around_a_value_does_not_belong_to_it(self):
        key = self.key()
        self.expect(self.client.request("PUT", key_path(key), b'{"value": \t 7 \r\n }'), 201)
        self.assertRegex(self.client.get(key).body, rb'"value":7[,}]')

    def test_strings_that_look_like_structure_stay(self):
        for text in (r'"}"', r'"\"}"', r'"[{"', r'"\\\"}"', r'"\"value\":2"', r'["]","[","{\"a\":"]'):
            self.expect_same_text(text)

    def test_a_replaced_value_is_gone(self):
        key = self.key()
        for text in ('"' + "x" * 5000 + '"', "1", '"' + "y" * 5001 + '"', "null", "[]"):
            self.client.put_text(key, text)
            self.assertIn(b'"value":' + text.encode() + b",", self.client.get(key).body.replace(b"}", b","))

    def test_sizes_around_the_powers_of_two(self):
        for power in range(4, 18):
            for size in ((1 << power) - 1, 1 << power, (1 << power) + 1):
                self.expect_same_text('"' + "s" * (size - 2) + '"')

    def test_an_array_of_many_elements(self):
        self.expect_same_text("[" + ",".join(str(number) for number in range(50_000)) + "]")

    def test_a_value_of_a_mebibyte(self):
        self.expect_same_text('"' + "m" * MIB + '"')

    def test_a_body_of_exactly_8_mib_is_taken(self):
        key = self.key()
        text = b'"' + b"x" * (8 * MIB - len(b'{"value":""}')) + b'"'
        body = b'{"value":' + text + b"}"
        self.assertEqual(len(body), 8 * MIB)
        self.expect(self.client.request("PUT", key_path(key), body), 201)
        self.assertIn(b'"value":' + text, self.client.get(key).body)
        self.expect(self.client.delete(key), 200)

    def test_an_unknown_member_of_a_mebibyte_is_ignored(self):
        body = encode_body(junk="j" * MIB, value=1)
        self.expect(self.client.request("PUT", key_path(self.key()), body), 201)


if __name__ == "__main__":
    unittest.main()
