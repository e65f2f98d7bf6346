"""/kvs/<key>: the rows of the table, one by one, and the order of the checks."""

import unittest

from harness import ABSENT, EMPTY_METADATA, NodeCase, encode_body, key_path


class Rows(NodeCase):
    environment = {"PARK_MS": "50"}

    def expect_members(self, answer, *names):
        self.assertEqual(set(answer.json), set(names), answer)
        self.expect_metadata_form(answer.metadata)

    def test_put_of_a_new_key_answers_201_created(self):
        answer = self.expect(self.client.put(self.key(), 1), 201)
        self.expect_members(answer, "result", "causal-metadata", "shard-id")
        self.assertEqual((answer.json["result"], answer.json["shard-id"]), ("created", "s0"))

    def test_put_of_a_known_key_answers_200_replaced(self):
        key = self.key()
        self.client.put(key, 1)
        answer = self.expect(self.client.put(key, 2), 200)
        self.expect_members(answer, "result", "causal-metadata", "shard-id")
        self.assertEqual((answer.json["result"], answer.json["shard-id"]), ("replaced", "s0"))
        self.assertEqual(self.client.get(key).json["value"], 2)

    def test_put_of_the_same_value_again_answers_200_replaced(self):
        key = self.key()
        self.client.put(key, "same")
        self.assertEqual(self.client.put(key, "same").json["result"], "replaced")

    def test_get_of_a_known_key_answers_200_found(self):
        key = self.key()
        self.client.put(key, "v")
        answer = self.expect(self.client.get(key), 200)
        self.expect_members(answer, "result", "value", "causal-metadata", "shard-id")
        self.assertEqual((answer.json["result"], answer.json["value"], answer.json["shard-id"]), ("found", "v", "s0"))

    def test_delete_of_a_known_key_answers_200_deleted(self):
        key = self.key()
        self.client.put(key, "v")
        answer = self.expect(self.client.delete(key), 200)
        self.expect_members(answer, "result", "causal-metadata", "shard-id")
        self.assertEqual((answer.json["result"], answer.json["shard-id"]), ("deleted", "s0"))

    def test_get_and_delete_of_an_unknown_key_answer_404(self):
        for operation in (self.client.get, self.client.delete):
            answer = self.expect(operation(self.key()), 404, "Key does not exist")
            self.expect_metadata_form(answer.metadata)

    def test_get_and_delete_after_a_delete_answer_404(self):
        key = self.key()
        self.client.put(key, "v")
        self.client.delete(key)
        for operation in (self.client.get, self.client.delete):
            answer = self.expect(operation(key), 404, "Key does not exist")
            self.expect_metadata_form(answer.metadata)

    def test_put_after_a_delete_answers_201_created(self):
        key = self.key()
        self.client.put(key, "v")
        self.client.delete(key)
        self.assertEqual(self.expect(self.client.put(key, "w"), 201).json["result"], "created")
        self.assertEqual(self.client.get(key).json["value"], "w")

    def test_put_of_null_is_a_value(self):
        key = self.key()
        self.expect(self.client.put(key, None), 201)
        self.expect(self.client.put(key, None), 200)
        answer = self.expect(self.client.get(key), 200)
        self.assertIn("value", answer.json)
        self.assertIsNone(answer.json["value"])
        self.expect(self.client.delete(key), 200)

    def test_put_without_a_value_answers_400(self):
        key = self.key()
        for body in (b"{}", b'{"Value":1}', b'{"values":1}', b'{"":1}', b" { } "):
            with self.subTest(body=body):
                answer = self.client.request("PUT", key_path(key), body)
                self.expect(answer, 400, "PUT request does not specify a value")
                self.assertEqual(answer.metadata, EMPTY_METADATA)
        self.expect(self.client.get(key), 404)

    def test_put_with_an_empty_body_answers_400(self):
        for body in (b"", None):
            answer = self.client.request("PUT", key_path(self.key()), body)
            self.expect(answer, 400, "PUT request does not specify a value")

    def test_a_400_to_a_request_of_no_dependencies_carries_the_empty_metadata(self):
        for none in (ABSENT, None, "", {}):
            with self.subTest(metadata=none):
                answer = self.client.request("PUT", key_path(self.key()), encode_body(causal_metadata=none))
                self.expect(answer, 400, "PUT request does not specify a value")
                self.assertEqual(answer.metadata, EMPTY_METADATA)

    def test_a_400_echoes_the_metadata_of_the_request(self):
        metadata = self.client.put(self.key(), 1).metadata
        answer = self.client.request("PUT", key_path(self.key()), encode_body(causal_metadata=metadata))
        self.expect(answer, 400, "PUT request does not specify a value")
        self.assertEqual(answer.metadata, metadata)

    def test_get_and_delete_take_an_empty_body_for_no_dependencies(self):
        key = self.key()
        self.client.put(key, "v")
        self.expect(self.client.request("GET", key_path(key), b""), 200)
        self.expect(self.client.request("DELETE", key_path(key), b""), 200)

    def test_get_and_delete_ignore_a_value_member(self):
        key = self.key()
        self.client.put(key, "v")
        answer = self.client.request("GET", key_path(key), encode_body(value="other"))
        self.assertEqual(self.expect(answer, 200).json["value"], "v")
        self.expect(self.client.request("DELETE", key_path(key), encode_body(value="other")), 200)

    def test_the_content_type_of_a_request_is_ignored(self):
        for content_type in ("application/x-www-form-urlencoded", "text/plain", "application/json", "nonsense", ""):
            answer = self.client.request("PUT", key_path(self.key()), encode_body(value=1),
                                         [f"Content-Type: {content_type}"])
            self.expect(answer, 201)

    def test_unknown_members_are_ignored(self):
        key = self.key()
        body = b'{"x":[{"value":9}],"value":1,"causal-metadat":5,"shard-id":"s9","result":null}'
        self.expect(self.client.request("PUT", key_path(key), body), 201)
        self.assertEqual(self.client.get(key).json["value"], 1)

    def test_member_names_are_compared_after_unescaping(self):
        key = self.key()
        body = rb'{"\u0076alue":5,"causal\u002dmetadat\u0061":"wrong"}'
        self.expect(self.client.request("PUT", key_path(key), body), 400)
        self.expect(self.client.request("PUT", key_path(key), rb'{"\u0076\u0061lue":5}'), 201)
        self.assertEqual(self.client.get(key).json["value"], 5)

    def test_of_equal_names_the_last_counts(self):
        key = self.key()
        for body, value in ((b'{"value":1,"value":2}', 2), (rb'{"value":3,"\u0076alue":4}', 4),
                            (rb'{"\u0076alue":5,"value":6}', 6), (b'{"value":7,"x":0,"value":null}', None)):
            with self.subTest(body=body):
                self.assertIn(self.client.request("PUT", key_path(key), body).status, (200, 201))
                self.assertEqual(self.client.get(key).json["value"], value)

    def test_of_two_metadata_members_the_last_counts(self):
        good, bad = b'"causal-metadata":{}', b'"causal-metadata":5'
        path = key_path(self.key())
        self.expect(self.client.request("PUT", path, b'{"value":1,' + bad + b"," + good + b"}"), 201)
        self.expect(self.client.request("PUT", path, b'{"value":1,' + good + b"," + bad + b"}"), 400)

    def test_white_space_around_every_token_is_fine(self):
        body = b' \t\r\n{ \n"value" \t: \r\n 1 , "causal-metadata"\n:\tnull } \r\n\t '
        self.expect(self.client.request("PUT", key_path(self.key()), body), 201)


class EmptyKey(NodeCase):
    def test_an_empty_key_answers_400(self):
        for method, body in (("PUT", encode_body(value=1)), ("GET", None), ("DELETE", None)):
            for path in ("/kvs/", "/kvs/?", "/kvs/?key=a"):
                with self.subTest(method=method, path=path):
                    answer = self.expect(self.client.request(method, path, body), 400, "Key is empty")
                    self.assertEqual(answer.metadata, EMPTY_METADATA)


class OrderOfChecks(NodeCase):
    """JSON, value, key, then causality."""

    def setUp(self):
        super().setUp()
        self.unmet = self.unknown_metadata()

    def test_json_comes_before_the_value_and_the_key(self):
        for path in (key_path("k" * 51), "/kvs/", "/kvs/%zz"):
            answer = self.client.request("PUT", path, b'{"x":')
            self.expect_error_like(answer, 400, "Malformed JSON")

    def test_the_value_comes_before_the_key(self):
        for path in (key_path("k" * 51), "/kvs/"):
            answer = self.client.request("PUT", path, encode_body(causal_metadata=self.unmet))
            self.expect(answer, 400, "PUT request does not specify a value")
            self.assertEqual(answer.metadata, self.unmet)

    def test_the_key_comes_before_causality(self):
        answer = self.expect(self.client.put("k" * 51, 1, self.unmet), 400, "Key is too long")
        self.assertEqual(answer.metadata, self.unmet)
        answer = self.client.request("PUT", "/kvs/", encode_body(value=1, causal_metadata=self.unmet))
        self.expect(answer, 400, "Key is empty")

    def test_get_and_delete_of_a_key_over_the_limit_are_404_at_once_whatever_the_metadata(self):
        for operation in (self.client.get, self.client.delete):
            answer = self.expect(operation("k" * 51, self.unmet), 404, "Key does not exist")
            self.expect_covers(answer.metadata, self.unmet)


class Bodies(NodeCase):
    def test_json_that_is_no_object_is_refused(self):
        for method in ("PUT", "GET", "DELETE"):
            for body in (b"[]", b"5", b'"value"', b"null", b"true", b'[{"value":1}]', b"-0.0"):
                with self.subTest(method=method, body=body):
                    self.expect(self.client.request(method, key_path(self.key()), body), 400)

    def test_malformed_bodies_of_get_and_delete_are_refused(self):
        key = self.key()
        self.client.put(key, "v")
        for method in ("GET", "DELETE"):
            for body in (b"{", b"nonsense", b'{"causal-metadata":}', b" ", b"{}{}"):
                with self.subTest(method=method, body=body):
                    self.expect_error_like(self.client.request(method, key_path(key), body), 400, "Malformed JSON")
        self.assertEqual(self.client.get(key).json["value"], "v")

    def test_metadata_may_be_left_out_or_null_or_empty(self):
        key = self.key()
        self.client.put(key, "v")
        for none in (ABSENT, None, "", {}):
            self.expect(self.client.get(key, none), 200)


if __name__ == "__main__":
    unittest.main()
