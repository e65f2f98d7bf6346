"""One node of a VIEW of several: the others are listed for 10 s, never waited for, their shards are out of reach."""

import time
import unittest

from harness import ABSENT, Node, NodeCase, build_request, encode_body, fresh_network, key_path, key_slot, pipeline
from test_listing import parse_listing

CANNOT_FORWARD = "Cannot forward request"
LISTED_S = 10


class AbsentCase(NodeCase):
    """`lasts` are the last numbers of the addresses in order, `index` says which of them runs."""

    slow = True
    lasts = (9, 10, 100)
    index = 1
    shard_count = "3"

    @classmethod
    def make_node(cls):
        network, port = fresh_network()
        cls.view = [f"{network}.{last}:{port}" for last in cls.lasts]
        shuffled = [*cls.view[1:], cls.view[0]]
        return Node({"VIEW": ",".join(shuffled), "SHARD_COUNT": cls.shard_count, **cls.environment},
                    address=cls.view[cls.index])

    @classmethod
    def setUpClass(cls):
        super().setUpClass(wait_ready=False)

    def check_honest_request(self):
        with self.node.client() as client:
            self.assertEqual(client.request("GET", "/health").status, 200)

    def wait_until_alone(self):
        while self.client.view() != [self.node.address]:
            self.assertLess(self.node.age_s(), LISTED_S + 3, "absent nodes are still listed")
            time.sleep(0.1)

    def owner(self, key):
        """The index of the shard that owns the key by the first map."""
        return key_slot(key) % int(self.shard_count)

    def key_of(self, shard):
        while self.owner(key := self.key()) != shard:
            pass
        return key

    def expect_out_of_reach(self):
        """For three shards with this node in s1: every operation on keys of s0 and s2 is refused."""
        self.node.wait_for_health()
        for shard in (0, 2):
            key = self.key_of(shard)
            metadata = self.client.put(self.key_of(1), 1).metadata
            for answer in (self.client.put(key, 1), self.client.get(key), self.client.delete(key)):
                self.expect(answer, 503, CANNOT_FORWARD)
                self.expect_metadata_form(answer.metadata)
            for answer in (self.client.put(key, 1, metadata), self.client.get(key, metadata)):
                self.expect(answer, 503, CANNOT_FORWARD)
                self.assertEqual(answer.metadata, metadata)
            self.expect(self.client.request("GET", f"/shard/key-count/s{shard}"), 503)


class WhileListed(AbsentCase):
    """The first 10 s, when the two absent nodes are still in the view. No test here waits for their end."""

    environment = {"FORWARD_MS": "300"}

    def tearDown(self):
        self.assertLess(self.node.age_s(), LISTED_S - 1, "the test was too slow to say anything")
        super().tearDown()

    def test_keys_of_an_absent_shard_cannot_be_forwarded(self):
        self.expect_out_of_reach()

    def test_members_of_absent_shards_are_those_listed(self):
        for shard in range(3):
            answer = self.client.request("GET", f"/shard/members/s{shard}")
            self.assertEqual(answer.json, {"shard-members": [self.view[shard]]})

    def test_the_view_is_the_sorted_environment(self):
        self.assertEqual(self.client.view(), self.view)


class ShardsOfTheFirstMap(AbsentCase):
    """Three nodes, three shards: this one is in s1."""

    environment = {"FORWARD_MS": "300"}

    def test_the_shard_ids_are_those_of_the_map(self):
        shards = self.client.request("GET", "/shard/ids").json["shard-ids"]
        self.assertEqual(sorted(shards), ["s0", "s1", "s2"])

    def test_node_i_of_the_sorted_view_is_in_shard_i(self):
        self.assertEqual(self.client.request("GET", "/shard/node-shard-id").json, {"node-shard-id": "s1"})
        self.assertEqual(self.client.request("GET", "/shard/members/s1").json, {"shard-members": [self.node.address]})

    def test_keys_of_the_own_shard_are_served(self):
        self.node.wait_for_health()
        key = self.key_of(1)
        answer = self.expect(self.client.put(key, 1), 201)
        self.assertEqual(answer.json["shard-id"], "s1")
        self.expect(self.client.get(key), 200)
        self.expect(self.client.delete(key), 200)

    def test_keys_of_an_absent_shard_cannot_be_forwarded_when_it_is_gone(self):
        self.wait_until_alone()
        start = time.monotonic()
        self.expect_out_of_reach()
        self.assertLess(time.monotonic() - start, 8)

    def test_members_are_those_in_the_view(self):
        self.wait_until_alone()
        self.assertEqual(self.client.request("GET", "/shard/members/s2").json, {"shard-members": []})
        self.assertEqual(self.client.request("GET", "/shard/members/s1").json, {"shard-members": [self.node.address]})
        self.expect(self.client.request("GET", "/shard/members/s3"), 404, "Shard does not exist")

    def test_own_keys_are_counted_and_listed_and_the_rest_is_named_unreachable(self):
        self.wait_until_alone()
        key = self.key_of(1)
        self.client.put(key, "mine")
        self.assertGreaterEqual(self.client.request("GET", "/shard/key-count/s1").json["shard-key-count"], 1)
        listing = parse_listing(self.expect(self.client.request("GET", "/kvs"), 200).body)
        self.assertEqual(list(listing), ["kvs", "next", "complete", "unreachable"])
        self.assertEqual(listing["kvs"][key], "mine")
        self.assertIs(listing["complete"], False)
        self.assertEqual(sorted(listing["unreachable"]), ["s0", "s2"])

    def test_nodes_that_are_gone_do_not_count_for_a_reshard(self):
        self.wait_until_alone()
        answer = self.client.request("PUT", "/shard/reshard", encode_body(shard_count=1))
        self.expect(answer, 400, "Not enough nodes to provide fault tolerance with requested shard count")

    def test_add_member_knows_the_rows(self):
        self.wait_until_alone()
        answer = self.client.request("PUT", "/shard/add-member/s0", encode_body(socket_address=self.node.address))
        self.expect(answer, 400)  # a member of another shard
        answer = self.client.request("PUT", "/shard/add-member/s0", encode_body(socket_address=self.view[0]))
        self.expect(answer, 404, "View has no such replica")

    def test_delete_of_the_last_live_member_of_a_shard_answers_400(self):
        answer = self.client.request("DELETE", "/view", encode_body(socket_address=self.node.address))
        self.expect(answer, 400)


class ListedFor10Seconds(AbsentCase):
    def test_absent_nodes_are_listed_for_10_s_and_then_gone(self):
        while self.node.age_s() < LISTED_S - 1:
            self.assertEqual(self.client.view(), self.view)
            time.sleep(0.2)
        self.wait_until_alone()


class Spread:
    """Which keys can be served shows the slot mapping: slot s is in shard s mod SHARD_COUNT."""

    environment = {"FORWARD_MS": "100", "PARK_MS": "0"}  # every other key would wait that long

    def expect_spread(self, count):
        self.wait_until_alone()
        keys = [f"key{number}" for number in range(count)]
        answers = pipeline(self.node.reach, [build_request("PUT", key_path(key), encode_body(value=1)) for key in keys])
        for key, answer in zip(keys, answers):
            if self.owner(key) == self.index:
                self.assertIn(answer.status, (200, 201), (key, answer))
                self.assertEqual(answer.json["shard-id"], f"s{self.index}")
            else:
                self.expect(answer, 503, CANNOT_FORWARD)
        mine = sum(answer.status != 503 for answer in answers)
        fair = count / int(self.shard_count)
        self.assertTrue(abs(mine - fair) <= fair / 4, f"{mine} of {count} keys, fair is {fair}")
        self.assertEqual(self.client.request("GET", f"/shard/key-count/s{self.index}").json["shard-key-count"], mine)

    def test_600_keys_spread_within_25_percent_of_fair(self):
        self.expect_spread(600)

    def test_200_keys_spread_within_25_percent_of_fair(self):
        self.expect_spread(200)

    def setUp(self):
        super().setUp()
        self.node.wait_for_health()
        for key in self.client.request("GET", "/kvs").json["kvs"]:
            self.client.delete(key)


class SpreadOver2Shards(Spread, AbsentCase):
    lasts = (9, 10)
    index = 0
    shard_count = "2"


class SpreadOver3Shards(Spread, AbsentCase):
    index = 2


class SpreadOver4Shards(Spread, AbsentCase):
    lasts = (9, 10, 100, 101)
    index = 3
    shard_count = "4"


class MemberOfAShardOfTwo(AbsentCase):
    """The other member of the only shard is absent: not ready for 3 s, then alone and provisional."""

    lasts = (9, 10)
    index = 0
    shard_count = "1"

    def test_it_serves_no_key_before_it_is_ready_and_all_after(self):
        key = self.key()
        self.expect(self.client.request("GET", "/health/ready"), 503)
        self.expect(self.client.put(key, 1), 503)
        self.assertIs(self.client.request("GET", "/health").json["ready"], False)
        self.assertLess(self.node.age_s(), 2, "the test was too slow to say anything")
        self.node.wait_for_health(timeout_s=6 - min(5, self.node.age_s()))
        self.assertGreater(self.node.age_s(), 2.5)
        self.expect(self.client.request("GET", "/health/ready"), 200)
        self.assertIs(self.client.request("GET", "/health").json["provisional"], True)
        start = time.monotonic()
        self.expect(self.client.put(key, 2), 201)
        self.expect(self.client.get(key), 200)
        self.assertLess(time.monotonic() - start, 0.5)

    def test_the_absent_member_can_be_struck_off_for_good(self):
        self.node.wait_for_health()
        self.wait_until_alone()
        answer = self.client.request("DELETE", "/view", encode_body(socket_address=self.view[1]))
        self.expect(answer, 200)
        self.assertEqual(answer.json, {"result": "deleted"})
        self.expect(self.client.put(self.key(), 1), 201)
        answer = self.client.request("DELETE", "/view", encode_body(socket_address=self.view[1]))
        self.expect(answer, 404, "View has no such replica")


class NoShardCount(AbsentCase):
    """Nobody has a map after 1 s: the automatic one, one shard of all of VIEW."""

    @classmethod
    def make_node(cls):
        node = super().make_node()
        node.environment["SHARD_COUNT"] = ABSENT
        return node

    def test_the_automatic_map_is_one_shard_of_all(self):
        self.node.wait_for_health()
        self.assertEqual(self.client.request("GET", "/shard/ids").json, {"shard-ids": ["s0"]})
        self.assertEqual(self.client.request("GET", "/shard/node-shard-id").json, {"node-shard-id": "s0"})
        if self.node.age_s() < LISTED_S - 1:
            self.assertEqual(self.client.request("GET", "/shard/members/s0").json, {"shard-members": self.view})
        self.expect(self.client.put(self.key(), 1), 201)
        self.wait_until_alone()
        self.assertEqual(self.client.request("GET", "/shard/members/s0").json, {"shard-members": [self.node.address]})


if __name__ == "__main__":
    unittest.main()
