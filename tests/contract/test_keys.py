"""Keys: all between /kvs/ and ?, percent-decoded once, valid UTF-8, at most 50 code points."""

import unittest

from harness import NodeCase, build_request, encode_body, key_path


class Keys(NodeCase):
    def put_path(self, path, value):
        return self.client.request("PUT", path, encode_body(value=value))

    def get_path(self, path):
        return self.client.request("GET", path)

    def expect_same_key(self, *paths):
        """All paths name one key: what is put by each is got by all."""
        for value, path in enumerate(paths):
            self.assertIn(self.put_path(path, value).status, (200, 201), path)
            for other in paths:
                self.assertEqual(self.get_path(other).json.get("value"), value, (path, other))

    def expect_different_keys(self, *paths):
        for value, path in enumerate(paths):
            self.expect(self.put_path(path, value), 201)
        for value, path in enumerate(paths):
            self.assertEqual(self.get_path(path).json.get("value"), value, path)

    def expect_listed(self, prefix, *keys):
        """GET /kvs has exactly these keys with that (percent-encoded) prefix."""
        self.assertEqual(set(self.get_path("/kvs?prefix=" + prefix).json["kvs"]), set(keys))

    def test_escapes_are_decoded(self):
        self.expect_same_key("/kvs/decode-abc", "/kvs/decode-%61bc", "/kvs/decode-%61%62%63")
        self.expect_listed("decode-", "decode-abc")

    def test_hexadecimal_digits_are_taken_in_both_cases(self):
        self.expect_same_key("/kvs/hex-%c3%a9%2f", "/kvs/hex-%C3%A9%2F", "/kvs/hex-%c3%A9%2f")

    def test_escapes_are_decoded_once(self):
        self.expect_different_keys("/kvs/once-%2525", "/kvs/once-%25", "/kvs/once-%252525")
        self.expect_listed("once-", "once-%", "once-%25", "once-%2525")

    def test_slashes_belong_to_the_key(self):
        self.expect_different_keys("/kvs/s/a", "/kvs/s/a/", "/kvs/s//a", "/kvs/s/a/b", "/kvs//s")
        self.expect_same_key("/kvs/s2/a", "/kvs/s2%2Fa")

    def test_dots_are_no_path_segments(self):
        self.expect_different_keys("/kvs/.", "/kvs/..", "/kvs/../view", "/kvs/./view", "/kvs/a/../view")

    def test_a_plus_is_a_plus(self):
        self.expect_same_key("/kvs/plus+1", "/kvs/plus%2B1")
        self.expect_different_keys("/kvs/plus+2", "/kvs/plus%202")

    def test_the_query_string_is_no_part_of_the_key(self):
        self.expect_same_key("/kvs/query", "/kvs/query?", "/kvs/query?a=b", "/kvs/query?%zz", "/kvs/query?a?b/c")

    def test_an_escaped_question_mark_belongs_to_the_key(self):
        self.expect_different_keys("/kvs/mark", "/kvs/mark%3F", "/kvs/mark%3Fa=b")

    def test_ampersands_colons_and_others_are_literal(self):
        self.expect_different_keys(*("/kvs/o" + sign for sign in "&:;=@!$'()*,~-._|^`{}\"<>\\[]"))

    def test_a_nul_is_a_code_point_like_any_other(self):
        self.expect_different_keys("/kvs/nul", "/kvs/nul%00", "/kvs/nul%00a", "/kvs/nul%00b", "/kvs/%00")
        self.expect_listed("nul", "nul", "nul\0", "nul\0a", "nul\0b")

    def test_control_and_quote_characters_are_escaped_in_the_listing(self):
        key = "c\n\r\t\x01\x1f\x7f\"\\/"
        self.expect(self.client.put(key, 1), 201)
        self.assertEqual(self.client.get(key).json["value"], 1)
        self.expect_listed("c%0a", key)

    def test_keys_in_any_script_come_back(self):
        for key in ("é", "日本語", "😀", "\U0010ffff", "\u07ff\u0800\uffff", "e\u0301", "\ufeff", "\u2028"):
            with self.subTest(key=key):
                self.expect(self.client.put("u" + key, key), 201)
                self.assertEqual(self.client.get("u" + key).json["value"], key)
        self.expect_listed("ue", "ue\u0301")  # not folded into é

    def test_raw_utf8_in_the_path_is_the_same_as_escaped(self):
        self.expect_same_key("/kvs/raw-é".encode(), "/kvs/raw-%C3%A9")

    def test_bad_escapes_are_refused(self):
        for tail in ("%", "a%", "%4", "a%4", "%zz", "%4g", "%g4", "%%41", "%-1", "% 1", "%u0041", "%0x"):
            for method in ("PUT", "GET", "DELETE"):
                with self.subTest(tail=tail, method=method):
                    path = b"/kvs/" + tail.replace(" ", "+").encode()
                    body = encode_body(value=1) if method == "PUT" else None
                    self.expect(self.client.request(method, path, body), 400)

    def test_keys_that_are_no_utf8_are_refused(self):
        for tail in (b"%ff", b"%80", b"%c3", b"%c3a", b"%c0%80", b"%c1%bf", b"%e0%80%80", b"%e0%9f%bf", b"%ed%a0%80",
                     b"%ed%bf%bf", b"%f0%80%80%80", b"%f0%8f%bf%bf", b"%f4%90%80%80", b"%f5%80%80%80", b"%e2%82",
                     b"%f0%9f%98", b"a%fe", b"%c3%28", b"\xff", b"\xc3", b"\xed\xa0\x80"):
            for method in ("PUT", "GET", "DELETE"):
                with self.subTest(tail=tail, method=method):
                    body = encode_body(value=1) if method == "PUT" else None
                    self.expect(self.client.request(method, b"/kvs/" + tail, body), 400)

    def test_50_code_points_are_a_key(self):
        for sign in ("k", "é", "日", "😀", "\0", "%"):
            with self.subTest(sign=sign):
                key = sign * 50
                self.expect(self.client.put(key, sign), 201)
                self.assertEqual(self.client.get(key).json["value"], sign)
                self.expect(self.client.delete(key), 200)

    def test_51_code_points_are_too_long(self):
        for sign in ("k", "é", "日", "😀", "\0", "%"):
            with self.subTest(sign=sign):
                key = sign * 51
                answer = self.expect(self.client.put(key, 1), 400, "Key is too long")
                self.expect_metadata_form(answer.metadata)
                self.expect(self.client.get(key), 404, "Key does not exist")
                self.expect(self.client.delete(key), 404, "Key does not exist")

    def test_a_key_of_thousands_of_characters_is_too_long(self):
        for sign in ("k", "é"):
            self.expect(self.client.put(sign * 2000, 1), 400, "Key is too long")
            self.expect(self.client.get(sign * 2000), 404, "Key does not exist")

    def test_case_matters(self):
        self.expect_different_keys("/kvs/case", "/kvs/Case", "/kvs/CASE")

    def test_names_of_routes_are_fine_as_keys(self):
        self.expect_different_keys("/kvs/kvs", "/kvs/view", "/kvs/shard/ids", "/kvs/health", "/kvs/kvs/")

    def test_a_key_fed_byte_by_byte_is_the_same_key(self):
        key = "split é/%"
        for byte in build_request("PUT", key_path(key), encode_body(value=1)):
            if self.client.raw is None:
                self.client.view()
            self.client.raw.send(bytes([byte]))
        self.expect(self.client.raw.read_answer(), 201)
        self.expect(self.client.get(key), 200)


if __name__ == "__main__":
    unittest.main()
