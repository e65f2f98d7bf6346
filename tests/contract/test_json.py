"""Bodies that are no JSON: 400, the text names the byte offset, the key stays as it was."""

import re
import unittest

from harness import NodeCase, key_path

BODY = rb'{"value": {"a": [1.5e+3, true, "\u00e9\n", null], "": -0}, "causal-metadata": {}, "x": false}'


class MalformedJson(NodeCase):
    def setUp(self):
        super().setUp()
        self.untouched = self.key()
        self.client.put(self.untouched, "before")

    def expect_malformed(self, body):
        with self.subTest(body=body[:100]):
            answer = self.client.request("PUT", key_path(self.untouched), body)
            self.expect_error_like(answer, 400, "Malformed JSON")
            offsets = [int(number) for number in re.findall(r"\d+", answer.json["error"])]
            self.assertTrue(any(offset <= len(body) for offset in offsets), answer)
            self.assertEqual(self.client.get(self.untouched).json["value"], "before")

    def test_a_body_truncated_at_any_byte(self):
        for size in range(1, len(BODY)):
            self.expect_malformed(BODY[:size])
        self.expect(self.client.request("PUT", key_path(self.key()), BODY), 201)

    def test_a_value_with_any_byte_missing_from_its_front(self):
        for start in range(1, len(BODY)):
            self.expect_malformed(BODY[start:])

    def test_the_offset_is_where_the_error_is(self):
        body = b'{"value": [1, 2, 3, x], "more": 1}'
        error = self.expect(self.client.request("PUT", key_path(self.untouched), body), 400).json["error"]
        offset = int(re.findall(r"\d+", error)[0])
        self.assertIn(offset, (body.index(b"x"), body.index(b"x") + 1), error)

    def test_numbers_that_are_none(self):
        for text in (b"01", b"-01", b"00", b"1.", b".5", b"-", b"+1", b"1e", b"1e+", b"1.e5", b"0x10", b"1_000", b"--1",
                     b"1.2.3", b"1e5.5", b"NaN", b"-NaN", b"Infinity", b"-Infinity", b"1a", b"- 1", b"1,5"):
            self.expect_malformed(b'{"value":' + text + b"}")

    def test_literals_that_are_none(self):
        for text in (b"tru", b"True", b"truee", b"nul", b"NULL", b"nullx", b"fals", b"undefined", b"x", b"'x'"):
            self.expect_malformed(b'{"value":' + text + b"}")

    def test_strings_that_are_none(self):
        for text in (rb'"\x41"', rb'"\u12"', rb'"\u00g0"', rb'"\u 041"', rb'"\U0041"', rb'"\u+041"', rb'"\a"', rb'"\0"',
                     rb'"\'"', b'"\x00"', b'"\x01"', b'"\n"', b'"\t"', b'"\x1f"', rb'"\u-001"', rb'"\"', b'"a"b"'):
            self.expect_malformed(b'{"value":' + text + b"}")

    def test_lone_surrogates(self):
        for text in (rb'"\ud800"', rb'"\udbff"', rb'"\udc00"', rb'"\udfff"', rb'"\ud800\ud800"', rb'"\udc00\ud800"',
                     rb'"\ud800x"', rb'"\ud800\n"', rb'"\ud800\u0041"', rb'"a\uD83Db"', rb'["x",{"k":"\ud83d"}]',
                     rb'{"\ud800":1}', rb'"\ud800\udc0"', rb'"\ud800\\udc00"'):
            self.expect_malformed(b'{"value":' + text + b"}")
        self.expect_malformed(rb'{"value":1,"\ud800":2}')

    def test_bytes_that_are_no_utf8(self):
        for raw in (b"\xff", b"\x80", b"\xc3", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\x80", b"\xed\xa0\x80",
                    b"\xed\xb0\x80", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xe2\x82", b"\xf0\x9f\x98",
                    b"\xc3\x28", b"\xf8\x88\x80\x80\x80"):
            self.expect_malformed(b'{"value":"' + raw + b'"}')
            self.expect_malformed(b'{"value":1,"' + raw + b'":2}')
        self.expect_malformed(b'{"value":1}\xff')

    def test_commas_and_colons_out_of_place(self):
        for body in (b'{"value":1,}', b'{,"value":1}', b'{"value":1,,"a":2}', b'{"value":[1,]}', b'{"value":[,1]}',
                     b'{"value":[1,,2]}', b'{"value":[1 2]}', b'{"value" 1}', b'{"value"}', b'{"value":}',
                     b'{"value"::1}',
                     b'{"value":1 "a":2}', b'{"value":1;"a":2}', b'{"value"=1}', b'{:1}', b'{"value":{,}}', b'{,}'):
            self.expect_malformed(body)

    def test_names_that_are_no_strings(self):
        for body in (b"{value:1}", b"{'value':1}", b'{1:1,"value":1}', b'{null:1,"value":1}', b'{["a"]:1,"value":1}'):
            self.expect_malformed(body)

    def test_brackets_that_do_not_match(self):
        for body in (b'{"value":1]', b'{"value":[1}', b'{"value":[1}}', b'{"value":[{]}}', b'{"value":1',
                     b'{{"value":1}}', b'}"value":1{', b'["value":1]'):
            self.expect_malformed(body)

    def test_anything_after_the_object(self):
        good = b'{"value":1}'
        for tail in (b"x", b"{}", good, b",", b"}", b"]", b"1", b"null", b"\x00", b"/**/", b"//", b" \n x", b"\x0b"):
            self.expect_malformed(good + tail)

    def test_a_byte_order_mark_and_other_white_space(self):
        for white in (b"\xef\xbb\xbf", b"\x0c", b"\x0b", b"\xc2\xa0", b"\xe2\x80\xa8", b"\x00", b"\x1c"):
            self.expect_malformed(white + b'{"value":1}')
            self.expect_malformed(b'{"value":' + white + b"1}")

    def test_comments(self):
        for body in (b'/* x */{"value":1}', b'{"value":1 /* x */}', b'{"value":1 // x\n}', b'# x\n{"value":1}'):
            self.expect_malformed(body)

    def test_other_encodings(self):
        text = '{"value":1}'
        for encoding in ("utf-16-le", "utf-16-be", "utf-16", "utf-32-le", "utf-32-be"):
            self.expect_malformed(text.encode(encoding))

    def test_open_brackets_without_end(self):
        for opening in (b"[", b'{"a":', b'[{"a":'):
            self.expect_malformed(b'{"value":' + opening * 100_000)
            self.expect_malformed(opening * 100_000)

    def test_closed_nesting_of_100000_is_refused_or_kept_but_never_fatal(self):
        key = self.key()
        for text in (b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000):
            answer = self.client.put_text(key, text)
            self.assertIn(answer.status, (200, 201, 400), answer)
            if answer.status != 400:
                self.assertIn(b'"value":' + text, self.client.get(key).body)

    def test_random_bytes(self):
        for _ in range(300):
            body = self.random.randbytes(self.random.randrange(1, 60))
            answer = self.client.request("PUT", key_path(self.untouched), body)
            self.expect(answer, 400)  # a lone digit is JSON, though no object: no single text fits all

    def test_json_with_one_byte_changed_never_kills_and_answers_in_form(self):
        for _ in range(500):
            body = bytearray(BODY)
            body[self.random.randrange(len(body))] = self.random.randrange(256)
            answer = self.client.request("PUT", key_path(self.key()), bytes(body))
            self.assertIn(answer.status, (201, 400), (bytes(body), answer))


if __name__ == "__main__":
    unittest.main()
