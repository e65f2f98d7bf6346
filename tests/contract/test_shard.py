"""/shard on a single node."""

import unittest

from harness import NodeCase, encode_body, fresh_address

NOT_ENOUGH = "Not enough nodes to provide fault tolerance with requested shard count"
UNKNOWN_SHARDS = ("s1", "s63", "s64", "S0", "s", "0", "s00", "s-1", "s0x", "s99999999999999999999", "s0%00", "%73",
                  "é", "s0/")


class Shard(NodeCase):
    def get(self, path):
        return self.expect(self.client.request("GET", path), 200).json

    def put(self, path, body):
        return self.client.request("PUT", path, body)

    def test_the_only_shard_is_s0(self):
        self.assertEqual(self.get("/shard/ids"), {"shard-ids": ["s0"]})

    def test_the_node_is_in_s0(self):
        self.assertEqual(self.get("/shard/node-shard-id"), {"node-shard-id": "s0"})

    def test_the_only_member_is_the_node_itself(self):
        self.assertEqual(self.get("/shard/members/s0"), {"shard-members": [self.node.address]})

    def test_the_key_count_counts_live_keys_only(self):
        before = self.get("/shard/key-count/s0")["shard-key-count"]
        keys = [self.key("count") for _ in range(5)]
        for key in keys:
            self.client.put(key, 1)
        self.client.put(keys[0], 2)
        self.assertEqual(self.get("/shard/key-count/s0"), {"shard-key-count": before + 5})
        for key in (keys[1], keys[1], keys[2], "never there"):
            self.client.delete(key)
        self.assertEqual(self.get("/shard/key-count/s0"), {"shard-key-count": before + 3})
        self.client.put(keys[1], 3)
        self.assertEqual(self.get("/shard/key-count/s0"), {"shard-key-count": before + 4})

    def test_the_shard_id_of_answers_is_the_one_that_counts(self):
        self.assertEqual(self.client.put(self.key(), 1).json["shard-id"], "s0")

    def test_unknown_shards_answer_404(self):
        for what in ("members", "key-count"):
            for shard in UNKNOWN_SHARDS:
                with self.subTest(what=what, shard=shard):
                    self.expect(self.client.request("GET", f"/shard/{what}/{shard}"), 404)
            self.expect(self.client.request("GET", f"/shard/{what}/s1"), 404, "Shard does not exist")


class AddMember(NodeCase):
    def add(self, shard, body):
        return self.client.request("PUT", f"/shard/add-member/{shard}", body)

    def test_a_member_that_is_there_already_answers_200(self):
        answer = self.expect(self.add("s0", encode_body(socket_address=self.node.address)), 200)
        self.assertEqual(answer.json, {"result": "node added to shard"})

    def test_an_unknown_shard_answers_404(self):
        for shard in UNKNOWN_SHARDS:
            with self.subTest(shard=shard):
                self.expect(self.add(shard, encode_body(socket_address=self.node.address)), 404)
        self.expect(self.add("s1", encode_body(socket_address=self.node.address)), 404, "Shard does not exist")

    def test_a_node_not_in_the_view_answers_404(self):
        answer = self.add("s0", encode_body(socket_address=fresh_address()))
        self.expect(answer, 404, "View has no such replica")

    def test_no_or_a_malformed_address_answers_400(self):
        for body in (b"", b"{}", b"[]", b"7", encode_body(socket_address=None), encode_body(socket_address=5),
                     encode_body(socket_address=""), encode_body(socket_address="node"),
                     encode_body(socket_address="127.0.0.1:65536"), encode_body(socket_address="[::1]:8090"),
                     encode_body(socket_address=[self.node.address])):
            with self.subTest(body=body):
                self.expect(self.add("s0", body), 400)

    def test_malformed_json_answers_400(self):
        self.expect_error_like(self.add("s0", b'{"socket-address":'), 400, "Malformed JSON")


class Reshard(NodeCase):
    def reshard(self, body):
        return self.client.request("PUT", "/shard/reshard", body)

    def test_one_live_node_is_not_enough_for_any_count(self):
        for count in (1, 2, 3, 64):
            with self.subTest(count=count):
                answer = self.expect(self.reshard(encode_body(shard_count=count)), 400, NOT_ENOUGH)
                self.assertEqual(answer.json, {"error": NOT_ENOUGH})
        self.assertEqual(self.client.request("GET", "/shard/ids").json, {"shard-ids": ["s0"]})

    def test_a_listed_node_that_was_never_heard_is_not_live(self):
        other = fresh_address()
        self.client.request("PUT", "/view", {"socket-address": other})
        self.expect(self.reshard(encode_body(shard_count=1)), 400, NOT_ENOUGH)
        self.client.request("DELETE", "/view", {"socket-address": other})

    def test_a_count_that_is_none_answers_400_with_another_text(self):
        bodies = [b"", b"{}", b"[]", b"2", b'{"shard_count":2}', b'{"shard-count":1.5}',
                  b'{"shard-count":99999999999999999999}', b'{"shard-count":18446744073709551617}',
                  b'{"shard-count":4294967297}', b'{"shard-count":-0.5}', b'{"shard-count":1e400}']
        bodies += [encode_body(shard_count=count) for count in (0, -1, 65, 1000, "1", "two", None, True, [], {}, [1])]
        for body in bodies:
            with self.subTest(body=body):
                answer = self.expect(self.reshard(body), 400)
                self.assertNotEqual(answer.json["error"], NOT_ENOUGH)

    def test_malformed_json_answers_400(self):
        for body in (b'{"shard-count":', b'{"shard-count":01}', b'{"shard-count":1}x'):
            self.expect_error_like(self.reshard(body), 400, "Malformed JSON")

    def test_progress_names_the_state_and_the_keys_moved_and_to_go(self):
        progress = self.expect(self.client.request("GET", "/shard/reshard"), 200).json
        self.assertIsInstance(progress.get("state"), str)
        numbers = [value for value in progress.values() if type(value) is int]
        self.assertGreaterEqual(len(numbers), 2, progress)


if __name__ == "__main__":
    unittest.main()
