"""MAX_MEMORY: a PUT that grows the store is refused beyond it; all else goes on."""

import unittest

from harness import NodeCase

LIMIT_BYTES = 8 << 20
VALUE_BYTES = 64 << 10


class MemoryLimit(NodeCase):
    environment = {"MAX_MEMORY": str(LIMIT_BYTES)}

    def setUp(self):
        super().setUp()
        self.filled = []
        while True:
            key = self.key("fill")
            answer = self.client.put(key, "v" * VALUE_BYTES)
            if answer.status == 507:
                break
            self.expect(answer, 201)
            self.filled.append(key)
            self.assertLess(len(self.filled) * VALUE_BYTES, 2 * LIMIT_BYTES, "no 507 at twice the limit")
        self.refused, self.refused_key = answer, key

    def tearDown(self):
        for key in self.client.request("GET", "/kvs").json["kvs"]:
            self.client.delete(key)
        super().tearDown()

    def test_beyond_the_limit_a_new_key_gets_507(self):
        self.assertGreater(len(self.filled) * VALUE_BYTES, LIMIT_BYTES // 4)
        self.expect(self.refused, 507, "Memory limit reached")
        self.expect_metadata_form(self.refused.metadata)
        self.expect(self.client.get(self.refused_key), 404)

    def test_a_507_covers_the_metadata_of_the_request(self):
        metadata = self.client.get(self.filled[0]).metadata
        answer = self.expect(self.client.put(self.key(), "v" * VALUE_BYTES, metadata), 507, "Memory limit reached")
        self.expect_covers(answer.metadata, metadata)

    def test_beyond_the_limit_reads_go_on(self):
        self.assertEqual(self.client.get(self.filled[0]).json["value"], "v" * VALUE_BYTES)
        self.expect(self.client.request("GET", "/kvs?limit=1"), 200)

    def test_beyond_the_limit_a_value_is_replaced_by_one_that_is_not_larger(self):
        for size in (VALUE_BYTES, VALUE_BYTES, VALUE_BYTES // 2, 0):
            self.expect(self.client.put(self.filled[0], "w" * size), 200)
            self.assertEqual(self.client.get(self.filled[0]).json["value"], "w" * size)

    def test_beyond_the_limit_a_value_is_not_replaced_by_a_larger_one(self):
        self.expect(self.client.put(self.filled[0], "w" * 2 * VALUE_BYTES), 507, "Memory limit reached")
        self.assertEqual(self.client.get(self.filled[0]).json["value"], "v" * VALUE_BYTES)

    def test_beyond_the_limit_deletes_go_on_and_make_room(self):
        for key in self.filled[:len(self.filled) // 2]:
            self.expect(self.client.delete(key), 200)
            self.expect(self.client.get(key), 404)
        for _ in range(len(self.filled) // 4):
            self.expect(self.client.put(self.key("again"), "v" * VALUE_BYTES), 201)


if __name__ == "__main__":
    unittest.main()
