"""kill -9, SIGTERM, and starting again on the same address."""

import threading
import time
import unittest

from cluster import GroupCase, load, until
from harness import build_request, encode_body, key_path

OUT_S = 2   # a crashed node is out of every view within
BACK_S = 3  # a restarted one is back with its data within
KEYS = 100_000


class Crash(GroupCase):
    def others(self, gone):
        return [member for member in self.cluster if member is not gone]

    def is_out(self, gone):
        others = self.others(gone)
        return all(member.hears(self.cluster.addresses(others)) for member in others)

    def is_back(self, pairs):
        """In every view, and everybody has these pairs."""
        return self.cluster.is_settled() and all(
            pairs.items() <= member.everything().items() for member in self.cluster)

    def test_a_killed_node_is_out_of_every_view_and_comes_back_with_all_data(self):
        for number, member in enumerate(self.cluster):
            pairs = {f"before-{number}-{i}": i for i in range(200)}
            for key, value in pairs.items():
                self.put(member, key, value)
            member.kill()
            self.take(f"{member.name} out of all views", lambda: self.is_out(member), OUT_S)
            for other in self.others(member):
                key = f"without-{number}-{other.name}"
                pairs[key] = 1
                start = time.monotonic()
                self.assertEqual(other.put(key, 1).status, 201)
                self.assertLess(time.monotonic() - start, 0.5)
            member.spawn()
            self.take(f"{member.name} back with its data", lambda: self.is_back(pairs), BACK_S)

    def test_a_write_answered_right_before_the_crash_is_not_lost(self):
        for number in range(6):
            victim, other = self.cluster[number % 3], self.cluster[(number + 1) % 3]
            answer = self.put(victim, f"last-{number}", number)
            victim.kill()
            got = until_answered(other, f"last-{number}", answer.metadata)
            self.assertEqual(got.json.get("value"), number, got)
            self.assertEqual(other.get(f"last-{number}").status, 200)
            victim.spawn()
            self.cluster.settle()

    def test_a_dead_nodes_metadata_is_honoured_after_all_have_been_restarted_in_turn(self):
        metadata = self.put(self.cluster[0], "kept", "v").metadata
        for member in self.cluster:
            member.kill()
            member.spawn()
            self.cluster.settle()
        for member in self.cluster:
            got = member.get("kept", metadata)
            self.assertEqual((got.status, got.json.get("value")), (200, "v"), got)

    def test_sigterm_ends_a_node_with_code_0_and_it_is_out_of_the_views_at_once(self):
        for member in list(self.cluster):
            key = f"stopped-{member.name}"
            self.put(member, key, 1)
            member.terminate()
            start = time.monotonic()
            until(lambda: self.is_out(member), 4, f"{member.name} is out")
            out_s = time.monotonic() - start
            stop_s = member.stop() + out_s
            self.figures[f"{member.name} after SIGTERM"] = f"out of the views {out_s:.2f} s, ended {stop_s:.2f} s"
            self.assertLess(out_s, 1)
            self.assertLess(stop_s, 2)
            for other in self.others(member):
                self.assertEqual(other.get(key).status, 200)
            member.spawn()
            self.cluster.settle()

    def test_a_crashed_node_stays_out_while_it_is_away(self):
        self.cluster[2].kill()
        until(lambda: self.is_out(self.cluster[2]), 2 * OUT_S, "out")
        end = time.monotonic() + 3
        while time.monotonic() < end:
            self.assertTrue(self.is_out(self.cluster[2]))
            time.sleep(0.05)


def until_answered(member, key, metadata):
    limit = time.monotonic() + 4
    while (answer := member.get(key, metadata)).status == 503 and time.monotonic() < limit:
        time.sleep(0.05)
    return answer


class ManyKeys(GroupCase):
    alone = True

    def test_a_node_gets_100000_keys_back(self):
        body = encode_body(value="v" * 100)
        start = time.monotonic()
        load(self.cluster[0].address, [build_request("PUT", key_path(f"key{i}"), body) for i in range(KEYS)], 500)
        self.figures["loading 100,000 keys"] = f"{time.monotonic() - start:.2f} s"
        until(lambda: all(member.key_count() >= KEYS for member in self.cluster), 4, "all have all")
        victim = self.cluster[2]
        victim.kill()
        time.sleep(0.5)
        last = self.put(self.cluster[0], "last", 1)
        victim.spawn()
        count = self.cluster[0].key_count()
        is_back = lambda: self.cluster.is_settled() and victim.key_count() == count  # noqa: E731
        self.take("back with 100,000 keys", is_back, BACK_S)
        self.assertEqual(victim.get("last", last.metadata).json["value"], 1)
        self.assertEqual(victim.everything(), self.cluster[1].everything())

    def test_a_node_that_catches_up_under_load_answers_and_stays_in_all_views(self):
        body = encode_body(value="v" * 100)
        requests = [build_request("PUT", key_path(f"busy{i}"), body) for i in range(KEYS // 2)]
        load(self.cluster[0].address, requests, 500)
        stopping, victim, longest_s = threading.Event(), self.cluster[2], 0

        def write():
            while not stopping.is_set():
                load(self.cluster[1].address, requests[:5000], 500)

        writer = threading.Thread(target=write)
        writer.start()
        self.addCleanup(writer.join)
        self.addCleanup(stopping.set)
        victim.kill()
        victim.spawn()
        until(self.cluster.is_settled, 2 * BACK_S, self.describe)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            start = time.monotonic()
            self.assertTrue(victim.ready())
            longest_s = max(longest_s, time.monotonic() - start)
            for member in self.cluster:
                self.assertEqual(member.view(), self.cluster.addresses())
        self.figures["longest /health of a node that catches up under load"] = f"{longest_s:.3f} s"
        self.assertLess(longest_s, 0.5)


if __name__ == "__main__":
    unittest.main()
