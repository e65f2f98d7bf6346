"""GET /kvs: every live pair in slot order, paged or streamed."""

import json
import unittest
from urllib.parse import quote

from harness import NodeCase, build_request, encode_body, key_path, pipeline, slot_order


def parse_listing(body):
    """The members in their order, and the pairs of `kvs` in theirs. No name may come twice."""

    def ordered(pairs):
        assert len({name for name, _ in pairs}) == len(pairs), "a name twice"
        return dict(pairs)

    return json.loads(body, object_pairs_hook=ordered)


class Listing(NodeCase):
    def list(self, query=""):
        answer = self.expect(self.client.request("GET", "/kvs" + query), 200)
        listing = parse_listing(answer.body)
        self.assertEqual(list(listing), ["kvs", "next", "complete", "unreachable"], answer)
        self.assertIs(listing["complete"], True)
        self.assertEqual(listing["unreachable"], [])
        return listing

    def expect_keys(self, listing, keys):
        self.assertEqual(list(listing["kvs"]), slot_order(keys))

    def fill(self, keys):
        for key in keys:
            self.expect(self.client.put(key, "value of " + key), 201)

    def pages(self, query, limit):
        """The keys of each page, one after the other."""
        after, keys, count = "", [], 0
        while after is not None:
            listing = self.list(f"?limit={limit}{query}" + (f"&after={quote(after, safe='')}" if after else ""))
            self.assertLessEqual(len(listing["kvs"]), limit)
            keys.extend(listing["kvs"])
            after = listing["next"]
            count += 1
            self.assertLess(count, 1000, "paging does not end")
        return keys


class EmptyListing(Listing):
    def test_an_empty_store_lists_nothing(self):
        self.assertEqual(self.list(), {"kvs": {}, "next": None, "complete": True, "unreachable": []})

    def test_an_empty_store_has_nothing_with_any_prefix_or_after_any_key(self):
        for query in ("?prefix=a", "?limit=1", "?after=a", "?prefix=a&limit=1&after=b"):
            self.assertEqual(self.list(query), {"kvs": {}, "next": None, "complete": True, "unreachable": []})


class FilledListing(Listing):
    """A store with the same pairs for all tests."""

    keys = ([f"key{number}" for number in range(300)] + [f"other/{number}" for number in range(40)]
            + ["é", "日本語", "😀", "a b", "a+b", "a%20b", "a\0b", 'q"\\', "key"])

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        answers = pipeline(cls.node.reach, [build_request("PUT", key_path(key), encode_body(value=f"of {key}"))
                                            for key in [*cls.keys, "deleted", "key0"]])
        assert {answer.status for answer in answers} == {201, 200}
        with cls.node.client() as client:
            client.delete("deleted")

    def test_all_pairs_are_listed_in_slot_order(self):
        listing = self.list()
        self.expect_keys(listing, self.keys)
        self.assertEqual(listing["kvs"], {key: f"of {key}" for key in self.keys})
        self.assertIsNone(listing["next"])

    def test_the_listing_carries_no_metadata(self):
        self.assertNotIn(b"causal-metadata", self.client.request("GET", "/kvs").body)

    def test_a_body_is_no_harm(self):
        self.expect(self.client.request("GET", "/kvs", encode_body(causal_metadata={})), 200)

    def test_a_prefix_selects(self):
        for prefix in ("key", "key1", "key29", "other/", "é", "a", "key299", "nothing", "日", "a\0"):
            with self.subTest(prefix=prefix):
                listing = self.list("?prefix=" + quote(prefix, safe=""))
                self.expect_keys(listing, [key for key in self.keys if key.startswith(prefix)])

    def test_an_empty_prefix_selects_all(self):
        self.expect_keys(self.list("?prefix="), self.keys)

    def test_a_plus_in_a_prefix_is_a_plus(self):
        self.expect_keys(self.list("?prefix=a+"), ["a+b"])

    def test_a_limit_cuts(self):
        for limit in (1, 2, 50):
            with self.subTest(limit=limit):
                listing = self.list(f"?limit={limit}")
                self.assertEqual(list(listing["kvs"]), slot_order(self.keys)[:limit])
                self.assertIsInstance(listing["next"], str)

    def test_the_greatest_limit_takes_all(self):
        listing = self.list("?limit=10000")
        self.expect_keys(listing, self.keys)
        self.assertIsNone(listing["next"])

    def test_pages_add_up_to_the_whole(self):
        for limit in (1, 7, 100, len(self.keys) - 1, len(self.keys), len(self.keys) + 1):
            with self.subTest(limit=limit):
                self.assertEqual(self.pages("", limit), slot_order(self.keys))

    def test_pages_with_a_prefix_add_up(self):
        for prefix in ("key", "other/", "a"):
            expected = slot_order([key for key in self.keys if key.startswith(prefix)])
            self.assertEqual(self.pages("&prefix=" + quote(prefix, safe=""), 3), expected)

    def test_after_without_a_limit_lists_the_rest(self):
        order = slot_order(self.keys)
        after = self.list("?limit=10")["next"]
        self.assertEqual(list(self.list("?after=" + quote(after, safe=""))["kvs"]), order[10:])

    def test_paging_goes_on_where_a_key_was_deleted(self):
        order = slot_order(self.keys)
        after = self.list("?limit=5")["next"]
        for gone in (order[4], order[5]):
            self.client.delete(gone)
        rest = self.list("?after=" + quote(after, safe=""))["kvs"]
        for again in (order[4], order[5]):
            self.client.put(again, f"of {again}")
        self.assertEqual(list(rest), order[6:])

    def test_bad_limits_are_refused(self):
        for limit in ("0", "10001", "-1", "abc", "", "1.5", "+5", "1e2", "0x5", "99999999999999999999", "5%00", "1,2"):
            with self.subTest(limit=limit):
                self.expect(self.client.request("GET", f"/kvs?limit={limit}"), 400)

    def test_head_of_the_listing_has_no_body(self):
        answer = self.client.request("HEAD", "/kvs")
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.expect(self.client.request("GET", "/health"), 200)


class HugeListing(Listing):
    """100,000 keys: more than any buffer should hold."""

    slow = True
    COUNT = 100_000
    VALUE = "0123456789" * 5

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        body = encode_body(value=cls.VALUE)
        answers = pipeline(cls.node.reach,
                           [build_request("PUT", f"/kvs/huge{number}", body) for number in range(cls.COUNT)], batch=500)
        assert {answer.status for answer in answers} == {201}

    def expect_all(self, body):
        listing = parse_listing(body)
        self.assertEqual(len(listing["kvs"]), self.COUNT)
        self.assertEqual(list(listing["kvs"]), slot_order(listing["kvs"]))
        self.assertEqual(set(listing["kvs"].values()), {self.VALUE})
        self.assertEqual((listing["next"], listing["complete"], listing["unreachable"]), (None, True, []))

    def test_all_keys_are_streamed_in_chunks_in_bounded_memory(self):
        before = self.node.rss_kib()
        answer = self.expect(self.client.request("GET", "/kvs"), 200)
        self.assertLess(self.node.rss_kib() - before, 16 << 10)
        self.assertEqual(answer.headers.get("transfer-encoding"), "chunked")
        self.expect_all(answer.body)
        self.expect(self.client.request("GET", "/health"), 200)  # the connection lives on

    def test_http_1_0_gets_it_up_to_the_close(self):
        for headers in ([], ["Connection: keep-alive"]):
            with self.node.raw() as raw:
                raw.send(build_request("GET", "/kvs", headers=headers, version="HTTP/1.0", host=None))
                answer = raw.read_answer()
                self.assertNotIn("transfer-encoding", answer.headers)
                self.assertNotIn("content-length", answer.headers)
                self.expect_all(answer.body)

    def test_a_slow_reader_costs_no_memory_and_stops_nobody(self):
        before = self.node.rss_kib()
        with self.node.raw(receive_bytes=8192) as raw:
            raw.send(build_request("GET", "/kvs"))
            for _ in range(50):
                self.expect(self.client.put("huge0", self.VALUE), 200)
            self.assertLess(self.node.rss_kib() - before, 16 << 10)
            self.expect_all(raw.read_answer().body)

    def test_a_reader_that_leaves_in_the_middle_leaves_nothing_behind(self):
        before = self.node.fd_count()
        for leave in ("close", "reset"):
            for _ in range(5):
                raw = self.node.raw(receive_bytes=8192)
                raw.send(build_request("GET", "/kvs"))
                raw.socket.recv(1000)
                getattr(raw, leave)()
        self.node.wait_for_fd_count(before)

    def test_requests_pipelined_behind_the_listing_are_answered_after_it(self):
        with self.node.raw() as raw:
            raw.send(b"".join(build_request("GET", path) for path in ("/kvs", "/health", "/kvs?limit=3")))
            self.expect_all(raw.read_answer().body)
            self.assertEqual(raw.read_answer().json["status"], "up")
            self.assertEqual(len(raw.read_answer().json["kvs"]), 3)

    def test_pages_of_10000_add_up(self):
        keys = self.pages("", 10000)
        self.assertEqual(len(keys), self.COUNT)
        self.assertEqual(keys, slot_order(keys))

    def test_the_key_count_is_the_number_of_live_keys(self):
        self.assertEqual(self.client.request("GET", "/shard/key-count/s0").json, {"shard-key-count": self.COUNT})


if __name__ == "__main__":
    unittest.main()
