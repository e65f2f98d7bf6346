"""Nodes that are cut off from each other, in network namespaces; passed over where those cannot be had."""

import time
import unittest

from cluster import READMIT_S, GroupCase, host_of, until

OUT_S = 2
LEVEL_S = 2
STILL_BEHIND_S = 1  # after the cut has healed; existing scripts rely on it


class Cut(GroupCase):
    count = 3
    needs_network = True
    slow = True

    def views_are(self, *sides):
        return all(member.hears(self.cluster.addresses(side)) for side in sides for member in side)

    def expect_level(self, key, metadata, values, healed, seconds):
        """Every node serves what the others wrote, and the same."""
        def level():
            answers = [member.get(key, metadata) for member in self.cluster]
            return all(answer.status == 200 for answer in answers) and \
                len({answer.json["value"] for answer in answers}) == 1

        until(level, 2 * seconds, self.describe)
        self.figures[f"level after a cut ({self._testMethodName})"] = f"{time.monotonic() - healed:.2f} s"
        self.assertIn(self.cluster[0].get(key, metadata).json["value"], values)
        until(self.cluster.is_settled, 2 * seconds, self.describe)
        until(self.cluster.are_equal, 2, self.describe)

    def test_both_sides_serve_and_are_level_after_the_cut_has_healed(self):
        many, one = self.cluster[0:2], [self.cluster[2]]
        self.put(self.cluster[0], "both", "before")
        self.network.cut(many, one)
        self.take("views out after a cut", lambda: self.views_are(many, one), OUT_S, self.describe)
        metadata = self.put(many[0], "both", "many").metadata
        self.assertEqual(many[1].get("both", metadata).json["value"], "many")
        there = self.put(one[0], "both", "one")
        self.assertEqual(one[0].get("both", there.metadata).json["value"], "one")
        self.assertEqual(one[0].get("both", metadata).status, 503)
        for number in range(100):
            self.put(many[number % 2], f"many-{number}", number)
            self.put(one[0], f"one-{number}", number)
        self.network.heal()
        healed = time.monotonic()
        while time.monotonic() - healed < STILL_BEHIND_S:
            self.assertEqual(one[0].get("both", metadata).status, 503)
            self.assertEqual(many[0].get("both", there.metadata).status, 503)
            self.assertTrue(self.views_are(many, one))
        self.expect_level("both", metadata, ("many", "one"), healed, READMIT_S + LEVEL_S)
        self.expect_level("both", there.metadata, ("many", "one"), healed, READMIT_S + LEVEL_S)
        for member in self.cluster:
            pairs = member.everything()
            self.assertEqual([pairs.get(f"{side}-{n}") for side in ("many", "one") for n in range(100)],
                             [*range(100), *range(100)])

    def test_a_short_cut_costs_nothing_but_time(self):
        """Far below a second: TCP doubles its pauses, so that the silence is up to three times as long as the cut."""
        self.network.cut(self.cluster[0:2], [self.cluster[2]])
        time.sleep(0.15)
        self.network.heal()
        metadata = self.put(self.cluster[0], "short", 1).metadata
        self.put(self.cluster[2], "short", 2, metadata, s_max=4)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            for member in self.cluster:
                self.assertEqual(member.view(), self.cluster.addresses())

    def test_one_that_cannot_hear_is_in_no_view_and_comes_back(self):
        deaf, others = self.cluster[2], self.cluster[0:2]
        self.network.deafen(deaf, others)
        self.take("views out, cut one way", lambda: self.views_are(others, [deaf]), OUT_S, self.describe)
        metadata = self.put(others[0], "deaf", "others").metadata
        self.put(deaf, "deaf too", "deaf")
        self.network.heal()
        healed = time.monotonic()
        self.expect_level("deaf", metadata, ("others",), healed, READMIT_S + LEVEL_S)
        self.assertEqual(others[0].get("deaf too").json["value"], "deaf")

    def move(self, member, old, new):
        self.network.inside(host_of(member), f"ip addr del {old}/24 dev eth0")
        self.network.inside(host_of(member), f"ip addr add {new}/24 dev eth0")

    def test_a_node_whose_address_changes_and_changes_back_is_reached_again(self):
        """What it has dialled from the other address is dead after that, and nothing comes back to say so."""
        others, one = self.cluster[0:2], self.cluster[2]
        own, other = host_of(one), f"{self.network.prefix}.99"
        self.move(one, own, other)
        try:
            self.take("views out, address changed", lambda: self.views_are(others), OUT_S, self.describe)
            time.sleep(READMIT_S + 1)  # it reaches the others, but they cannot reach it: nobody is in another's view
            self.assertTrue(self.views_are(others))
        finally:
            self.move(one, other, own)
        self.take("back with its own address", self.cluster.is_settled, READMIT_S + LEVEL_S, self.describe)

    def test_two_that_are_cut_from_each_other_while_a_third_sees_both(self):
        left, middle, right = self.cluster
        self.network.cut([left], [right])
        self.take("views out, partial cut", lambda: left.hears(self.cluster.addresses([left, middle]))
                  and right.hears(self.cluster.addresses([middle, right]))
                  and middle.hears(self.cluster.addresses()), OUT_S, self.describe)
        for origin, other in ((left, right), (right, left)):
            key = f"from-{origin.name}"
            metadata = self.put(origin, key, 1).metadata
            self.assertEqual(middle.get(key, metadata).status, 200)
            self.take("relayed across a partial cut", lambda: other.get(key, metadata).status == 200, 2, self.describe)
        self.network.heal()
        healed = time.monotonic()
        metadata = self.put(left, "partial", 1).metadata
        self.expect_level("partial", metadata, (1,), healed, READMIT_S + LEVEL_S)

    def test_an_effect_that_takes_a_shorter_way_than_its_cause_waits_for_it(self):
        """The cause cannot go from left to right; the effect goes from the middle to both."""
        left, middle, right = self.cluster
        waits = []
        self.network.cut([left], [right])
        for number in range(12):
            cause = self.put(left, f"cause-{number}", 1)
            effect = self.put(middle, f"effect-{number}", 1, cause.metadata)
            start = time.monotonic()
            until(lambda: right.get(f"effect-{number}").status == 200, 4, self.describe)
            waits.append(time.monotonic() - start)
            self.assertEqual(right.get(f"cause-{number}").status, 200, f"effect {number} is there without its cause")
            self.assertEqual(right.get(f"cause-{number}", effect.metadata).status, 200)
        self.assertGreater(max(waits), 0.02, "no effect had to wait: this has tested nothing")
        self.figures["effects that waited for their causes"] = f"longest {max(waits):.2f} s"

    def test_a_cut_off_node_that_is_killed_and_started_again_takes_what_it_wrote_alone_with_it(self):
        """Without a log a write on one copy dies with its process; what the others have stays."""
        many, one = self.cluster[0:2], self.cluster[2]
        kept = self.put(many[0], "kept", 1).metadata
        self.network.cut(many, [one])
        until(lambda: self.views_are(many, [one]), 2 * OUT_S, self.describe)
        self.put(one, "alone", 1)
        one.kill()
        self.network.heal()
        one.spawn()
        self.cluster.settle()
        for member in self.cluster:
            self.assertEqual(member.get("kept", kept).status, 200)
            self.assertEqual(member.get("alone").status, 404)


if __name__ == "__main__":
    unittest.main()
