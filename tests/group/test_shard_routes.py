"""/shard on real processes: every row of the contract, asked of every node, of one that stands by, too."""

import unittest

from cluster import GroupCase, until
from harness import ABSENT, encode_body
from workload import expect_layout, key_counts, layout, members_of, reshard, shard_ids

CHANGE_S_MAX = 10
LEVEL_S = 5
KEYS = 300
UNKNOWN_SHARDS = ("s2", "s63", "s64", "S0", "s", "s-1", "s00", "s0x", "0", "s99999999999999999999")

NO_SHARD = {"error": "Shard does not exist"}
NO_REPLICA = {"error": "View has no such replica"}
OTHER_SHARD = {"error": "Replica is a member of another shard"}
UNREACHABLE = {"error": "Cannot forward request"}
NOT_ENOUGH = {"error": "Not enough nodes to provide fault tolerance with requested shard count"}
NO_COUNT = {"error": "Request does not specify a shard-count"}
BAD_COUNT = {"error": "shard-count is not a whole number from 1 to 64"}
ADDED = {"result": "node added to shard"}
RESHARDED = {"result": "resharded"}


class Routes(GroupCase):
    environment = {"SHARD_COUNT": "2"}

    def expect(self, answer, status, body):
        self.assertEqual((answer.status, answer.json), (status, body), answer)

    def add(self, member, shard, address):
        return member.ask("PUT", f"/shard/add-member/{shard}", encode_body(socket_address=address), CHANGE_S_MAX)

    def stand_by(self, member):
        """It starts beside a cluster of an explicit map, which was not told its address."""
        member.environment.update(SHARD_COUNT=ABSENT, VIEW=",".join([*self.cluster.addresses(), member.address]))
        member.start()
        self.cluster.members.append(member)
        self.cluster.settle()

    def write_keys(self, prefix):
        """Through every node. Returns the pairs."""
        pairs = {f"{prefix}-{number}": number for number in range(KEYS)}
        for number, (key, value) in enumerate(pairs.items()):
            self.put(self.cluster[number % len(self.cluster)], key, value)
        return pairs

    def expect_everywhere(self, pairs):
        """At every node: all pairs are listed, every shard is counted, and a few keys are read."""
        def is_level():
            return all(member.everything() == pairs and sum(key_counts(member).values()) == len(pairs)
                       for member in self.cluster)
        until(is_level, 2 * LEVEL_S, self.describe)
        for member in self.cluster:
            for key in self.random.sample(sorted(pairs), 10):
                self.assertEqual(member.get(key).json["value"], pairs[key])


class SixNodes(Routes):
    count = 6

    def test_ids_members_and_the_shard_of_a_node(self):
        expect_layout(self.cluster, 2)
        for number, member in enumerate(self.cluster):
            self.expect(member.ask("GET", "/shard/ids"), 200, {"shard-ids": ["s0", "s1"]})
            self.expect(member.ask("GET", "/shard/node-shard-id"), 200, {"node-shard-id": f"s{number % 2}"})
            for shard in range(2):
                self.expect(member.ask("GET", f"/shard/members/s{shard}"), 200,
                            {"shard-members": self.cluster.addresses()[shard::2]})

    def test_unknown_shards_are_said_to_be(self):
        for member in self.cluster:
            for shard in UNKNOWN_SHARDS:
                with self.subTest(member=member.name, shard=shard):
                    self.expect(member.ask("GET", f"/shard/members/{shard}"), 404, NO_SHARD)
                    self.expect(member.ask("GET", f"/shard/key-count/{shard}"), 404, NO_SHARD)
                    self.expect(self.add(member, shard, member.address), 404, NO_SHARD)

    def test_adding_a_member(self):
        nobody = f"{self.cluster[0].address.rsplit(':', 1)[0].rsplit('.', 1)[0]}.200:8090"
        for number, member in enumerate(self.cluster):
            for other in self.cluster:
                index = self.cluster.addresses().index(other.address)
                self.expect(self.add(member, f"s{index % 2}", other.address), 200, ADDED)
                self.expect(self.add(member, f"s{1 - index % 2}", other.address), 400, OTHER_SHARD)
            self.expect(self.add(member, f"s{number % 2}", nobody), 404, NO_REPLICA)
            for body in (b"", b"{}", b"[]", b"{", encode_body(socket_address=5), encode_body(socket_address="node"),
                         encode_body(socket_address="127.0.0.1:65536"), encode_body(socket_address=None)):
                answer = member.ask("PUT", "/shard/add-member/s0", body)
                self.assertEqual((answer.status, list(answer.json)), (400, ["error"]), (body, answer))
        expect_layout(self.cluster, 2)

    def test_a_reshard_that_cannot_be(self):
        for member in self.cluster:
            for count in (4, 5, 6, 64):
                self.expect(reshard(member, count, CHANGE_S_MAX), 400, NOT_ENOUGH)
            for count in (0, -1, 65, 1.5, "2", None, True, [2], 2**64, 2**32 + 2):
                self.expect(reshard(member, count, CHANGE_S_MAX), 400, BAD_COUNT)
            for body in (b"", b"{}", b'{"shard_count":3}'):
                self.expect(member.ask("PUT", "/shard/reshard", body), 400, NO_COUNT)
            answer = member.ask("PUT", "/shard/reshard", b'{"shard-count":')
            self.assertEqual(answer.status, 400)
            self.assertTrue(answer.json["error"].startswith("Malformed JSON"), answer)
        expect_layout(self.cluster, 2)

    def test_other_verbs_are_not_allowed(self):
        for path, allowed in (("ids", "GET"), ("node-shard-id", "GET"), ("members/s0", "GET"), ("key-count/s0", "GET"),
                              ("add-member/s0", "PUT"), ("reshard", "GET PUT")):
            for verb in {"GET", "PUT", "DELETE", "POST"} - set(allowed.split()):
                answer = self.cluster[0].ask(verb, f"/shard/{path}", b"{}")
                self.assertEqual((answer.status, answer.allow - {"HEAD"}), (405, set(allowed.split())), (path, verb))


class Deals(Routes):
    """One reshard after the other; each asked at another node."""

    count = 6

    def test_the_shards_are_always_s0_to_the_last_and_everybody_has_one(self):
        pairs = {**self.cluster[0].everything(), **self.write_keys("dealt")}
        for member, count in zip(self.cluster, (2, 3, 3, 1, 2, 3)):
            self.expect(reshard(member, count, CHANGE_S_MAX), 200, RESHARDED)
            expect_layout(self.cluster, count)
            self.expect_everywhere(pairs)
            for other in self.cluster:
                progress = other.ask("GET", "/shard/reshard").json
                self.assertEqual(list(progress), ["state", "keys-moved", "keys-to-go"])
                self.assertEqual((progress["state"], progress["keys-to-go"]), ("settled", 0))
                self.assertIs(type(progress["keys-moved"]), int)
                self.expect(other.ask("GET", f"/shard/members/s{count}"), 404, NO_SHARD)

    def test_the_same_count_again_moves_nothing(self):
        self.expect(reshard(self.cluster[0], 2, CHANGE_S_MAX), 200, RESHARDED)
        before = layout(self.cluster[0])
        for member in self.cluster:
            self.expect(reshard(member, 2, CHANGE_S_MAX), 200, RESHARDED)
        expect_layout(self.cluster, 2)
        self.assertEqual(layout(self.cluster[0]), before)

    def test_a_dead_node_is_dealt_out_and_comes_in_again_by_the_same_count(self):
        self.expect(reshard(self.cluster[0], 2, CHANGE_S_MAX), 200, RESHARDED)
        pairs = {**self.cluster[0].everything(), **self.write_keys("spread")}
        victim, alive = self.cluster[5], list(self.cluster)[:5]
        victim.kill()
        until(lambda: alive[0].hears(self.cluster.addresses(alive)), 4, self.describe)
        self.expect(reshard(alive[0], 3, CHANGE_S_MAX), 400, NOT_ENOUGH)
        self.expect(reshard(alive[0], 2, CHANGE_S_MAX), 200, RESHARDED)
        expect_layout(self.cluster, 2)
        victim.spawn()
        self.cluster.settle()
        self.expect(reshard(alive[1], 3, CHANGE_S_MAX), 200, RESHARDED)
        expect_layout(self.cluster, 3)
        self.expect_everywhere(pairs)


class StandingBy(Routes):
    count = 4
    extra = 2

    def test_who_stands_by_answers_everything_and_comes_in_by_either_way(self):
        pairs = self.write_keys("standing")
        added, dealt = self.cluster.extras
        self.stand_by(added)
        self.expect_stands_by(added, pairs)
        self.expect(self.add(self.cluster[1], "s1", added.address), 200, ADDED)
        for member in self.cluster:
            until(lambda: added.address in members_of(member, "s1"), 2, self.describe)  # noqa: B023
        self.expect(added.ask("GET", "/shard/node-shard-id"), 200, {"node-shard-id": "s1"})
        self.expect(self.add(added, "s1", added.address), 200, ADDED)
        self.expect(self.add(added, "s0", added.address), 400, OTHER_SHARD)
        until(lambda: added.ask("GET", "/health").json["keys"] > 0, LEVEL_S, "its share of the keys")
        self.expect_everywhere(pairs)
        self.stand_by(dealt)
        self.expect_stands_by(dealt, pairs)
        self.expect(reshard(dealt, 3, CHANGE_S_MAX), 200, RESHARDED)
        expect_layout(self.cluster, 3)
        self.expect_everywhere(pairs)

    def expect_stands_by(self, member, pairs):
        self.expect(member.ask("GET", "/shard/node-shard-id"), 200, {"node-shard-id": None})
        for other in self.cluster:
            self.assertNotIn(member.address, [address for members in layout(other).values() for address in members])
        self.assertEqual(shard_ids(member), ["s0", "s1"])
        self.expect_everywhere(pairs)
        answer = member.put("by hand", 1)
        self.assertEqual((answer.status, answer.json["result"]), (201, "created"))
        with member.client() as client:
            self.assertEqual(client.get("by hand", answer.metadata).json["value"], 1)
            self.assertEqual(client.delete("by hand", answer.metadata).json["result"], "deleted")
            self.assertEqual(client.get("by hand").status, 404)


class GoneShard(Routes):
    count = 4

    def test_what_nobody_can_count_is_said_to_be_so(self):
        here, gone = [self.cluster[0], self.cluster[2]], [self.cluster[1], self.cluster[3]]
        for member in gone:
            member.kill()
        for member in here:
            until(lambda: member.hears(self.cluster.addresses(here)), 4, self.describe)  # noqa: B023
            self.expect(member.ask("GET", "/shard/ids"), 200, {"shard-ids": ["s0", "s1"]})
            self.expect(member.ask("GET", "/shard/members/s1"), 200, {"shard-members": []})
            self.expect(member.ask("GET", "/shard/members/s0"), 200, {"shard-members": self.cluster.addresses(here)})
            self.expect(member.ask("GET", "/shard/key-count/s1"), 503, UNREACHABLE)
            self.expect(member.ask("GET", "/shard/key-count/s0"), 200, {"shard-key-count": 0})


if __name__ == "__main__":
    unittest.main()
