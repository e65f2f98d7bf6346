"""Nodes that are started one by one, in any order, and one that comes later."""

import random
import time
import unittest

from cluster import SEED, Cluster, GroupCase, until

LISTED_S = 10
PAUSE_S = 2


class OneByOne(unittest.TestCase):
    slow = True
    figures = {}

    def setUp(self):
        self.cluster = Cluster(4)
        self.addCleanup(self.cluster.kill)

    def describe(self):
        return self.cluster.describe()

    def watch(self, until_s):
        """Nobody is thrown out of any view."""
        while time.monotonic() < until_s:
            for member in self.cluster.working():
                self.assertEqual(member.view(), self.cluster.addresses(), member.name)
            time.sleep(0.1)

    def test_nobody_is_thrown_out_of_a_view_and_all_become_ready(self):
        order = list(self.cluster)
        random.Random(SEED).shuffle(order)
        for member in order:
            member.start(wait_ready=False)
            self.watch(time.monotonic() + PAUSE_S)
        until(self.cluster.is_settled, 6, "all ready")
        self.figures["all ready after the last start"] = f"{PAUSE_S + order[-1].age_s():.2f} s"
        self.watch(order[0].started_at + LISTED_S + 2)
        answer = order[0].put("k", 1)
        for member in order:
            self.assertEqual(member.get("k", answer.metadata).json["value"], 1)
        for member in order:
            self.assertIs(member.ask("GET", "/health").json["provisional"], False)
        self.cluster.stop()

    def test_one_that_starts_alone_serves_provisionally_and_hands_on_what_it_took(self):
        first, second, *_ = self.cluster
        first.spawn()
        until(first.ready, 8, "the first is ready")
        self.assertIs(first.ask("GET", "/health").json["provisional"], True)
        answer = first.put("k", 1)
        self.assertEqual(answer.status, 201)
        second.spawn()
        until(second.ready, 4, "the second is ready")
        self.assertEqual(second.get("k").json["value"], 1)
        self.assertEqual(second.get("k", answer.metadata).json["value"], 1)
        self.cluster.stop()


class Newcomer(GroupCase):
    count = 3
    extra = 2

    def come(self, newcomer):
        """It is told all addresses, the others were not told its own."""
        newcomer.environment["VIEW"] = ",".join([*self.cluster.addresses(), newcomer.address])
        newcomer.spawn()
        self.cluster.members.append(newcomer)

    def test_a_node_that_was_in_nobodys_view_joins_by_itself_and_has_the_data(self):
        written = {f"old-{i}": i for i in range(500)}
        for number, (key, value) in enumerate(written.items()):
            metadata = self.put(self.cluster[number % 3], key, value).metadata
        for newcomer in self.cluster.extras:
            self.come(newcomer)
            self.take(f"{newcomer.name} in all views, ready", self.cluster.is_settled, 3, self.describe)
            is_member = lambda: all(  # noqa: E731
                member.ask("GET", "/shard/members/s0").json["shard-members"] == self.cluster.addresses()
                and member.ask("GET", "/shard/node-shard-id").json["node-shard-id"] == "s0" for member in self.cluster)
            self.take(f"{newcomer.name} a member of the shard", is_member, 3, self.describe)
            self.take(f"{newcomer.name} has the data", lambda: newcomer.everything() == written, 3)
            self.assertEqual(newcomer.get("old-499", metadata).json["value"], 499)
            answer = newcomer.put("new", newcomer.name, metadata)
            self.assertIn(answer.status, (200, 201), answer)
            written["new"] = newcomer.name
            for member in self.cluster:
                self.assertEqual(member.get("new", answer.metadata).json["value"], newcomer.name)


if __name__ == "__main__":
    unittest.main()
