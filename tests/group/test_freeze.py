"""SIGSTOP and SIGCONT: a node that stands still, and then goes on as if nothing had happened."""

import threading
import time
import unittest

from cluster import READMIT_S, Client, GroupCase, load, until
from harness import build_request, encode_body, key_path

STOP_S = 5
PAUSE_ONCE_S = 1  # what a frozen node costs the clients of the others, once
LEVEL_S = 2       # level this long after being taken back
CALM_S = 0.3      # a PUT that waits for nobody, on a busy machine
PEAK_GROWTH_KIB = 200 << 10  # the 64 MiB of one link's output, twice while the buffer moves; the ring; slack
LOAD_WRITES, LOAD_VALUE_BYTES = 12800, 64 << 10  # 800 MiB


class Freeze(GroupCase):
    def put_for(self, seconds, members):
        """PUTs at these nodes by turns. Returns [(when it began, how long it took)], of all together."""
        times, start = [], time.monotonic()
        clients = [Client(member.address, 10) for member in members]
        while time.monotonic() - start < seconds:
            for client in clients:
                before = time.monotonic()
                answer = client.put("calm", len(times))
                self.assertIn(answer.status, (200, 201), answer)
                times.append((before - start, time.monotonic() - before))
            time.sleep(0.01)
        return times

    def expect_one_pause(self, frozen):
        others = [member for member in self.cluster if member is not frozen]
        self.put_for(0.2, others)
        frozen.freeze()
        times = self.put_for(STOP_S, others)
        slow = [took for _, took in times if took > CALM_S]
        longest = max(took for _, took in times)
        self.figures[f"frozen beside {len(others)}"] = \
            f"longest PUT {longest:.3f} s, over {CALM_S} s: {len(slow)} of {len(times)}"
        self.assertLessEqual(sum(slow), 2 * PAUSE_ONCE_S, slow)
        late = [took for begun, took in times if begun > 2 * PAUSE_ONCE_S and took > CALM_S]
        self.assertEqual(late, [])
        return others

    def expect_return(self, member):
        """Taken back after READMIT_S of being heard, and not sooner; level soon after."""
        newest = self.put([other for other in self.cluster.working()][0], self.key("while-frozen"), 1)
        key = f"k-{self.random.random()}"
        newest = self.put(self.cluster.working()[0], key, "new", newest.metadata)
        member.thaw()
        thawed = time.monotonic()
        statuses = self.expect_never_stale(member, key, newest.metadata, thawed + 1)
        self.assertIn(503, statuses)
        self.take("back in all views", self.cluster.is_settled, READMIT_S + LEVEL_S, self.describe)
        back_s = time.monotonic() - thawed
        self.figures["back in all views after SIGCONT"] = f"{back_s:.2f} s (READMIT_MS {READMIT_S} s)"
        self.assertGreater(back_s, READMIT_S - 0.3)
        self.assertLess(back_s, 2 * (READMIT_S + LEVEL_S))
        self.take("level after that", lambda: member.get(key, newest.metadata).status == 200, LEVEL_S, self.describe)
        self.assertEqual(member.get(key, newest.metadata).json["value"], "new")
        self.assertTrue(self.cluster.are_equal())

    def expect_never_stale(self, member, key, metadata, until_s):
        statuses = set()
        while time.monotonic() < until_s:
            answer = member.get(key, metadata)
            statuses.add(answer.status)
            self.assertIn(answer.status, (200, 503), answer)
            if answer.status == 200:
                self.assertEqual(answer.json["value"], "new")
        return statuses


class FreezeOfThree(Freeze):
    count = 3

    def test_a_frozen_node_costs_its_clients_only_and_comes_back_level(self):
        self.expect_one_pause(self.cluster[1])
        self.expect_return(self.cluster[1])

    def test_a_short_stop_throws_nobody_out(self):
        member = self.cluster[2]
        metadata = self.put(self.cluster[0], "short", 1).metadata
        member.freeze()
        time.sleep(0.4)
        member.thaw()
        end = time.monotonic() + 1
        while time.monotonic() < end:
            for each in self.cluster:
                self.assertEqual(each.view(), self.cluster.addresses())
        self.assertEqual(member.get("short", metadata).status, 200)

    def test_what_a_frozen_node_was_sent_and_could_not_answer_is_there_or_not_but_the_same_everywhere(self):
        member = self.cluster[1]
        self.put(self.cluster[0], "torn", "old")
        member.freeze()
        asked = threading.Thread(target=lambda: member.put("torn", "while frozen", timeout_s=15))
        asked.start()
        time.sleep(2)
        self.put(self.cluster[0], "torn", "newer")
        member.thaw()
        asked.join()
        self.cluster.settle()
        until(self.cluster.are_equal, 4, self.describe)


class FreezeOfTwo(Freeze):
    count = 2

    def test_a_frozen_node_costs_the_other_one_pause(self):
        self.expect_one_pause(self.cluster[0])
        self.expect_return(self.cluster[0])


class LongFreezeUnderLoad(Freeze):
    alone = True

    def test_the_memory_of_the_others_stays_bounded(self):
        frozen, *others = self.cluster
        body = encode_body(value="v" * LOAD_VALUE_BYTES)
        requests = [build_request("PUT", key_path(f"key{i % 100}"), body) for i in range(LOAD_WRITES)]
        load(others[0].address, requests[:800], 8)
        before = [member.rss_kib() for member in others]
        frozen.freeze()
        start = time.monotonic()
        load(others[0].address, requests, 8)
        took = time.monotonic() - start
        growth = [member.peak_kib() - kib for member, kib in zip(others, before)]
        self.figures["memory of the others"] = \
            f"peak is {growth} KiB above that before, over {LOAD_WRITES * LOAD_VALUE_BYTES >> 20} MiB of writes in {took:.1f} s"
        for kib in growth:
            self.assertLess(kib, PEAK_GROWTH_KIB)
        last = self.put(others[1], "last", 1)
        frozen.thaw()
        self.take("back in all views", self.cluster.is_settled, READMIT_S + LEVEL_S, self.describe)
        self.take("level", lambda: frozen.get("last", last.metadata).status == 200, LEVEL_S)
        until(self.cluster.are_equal, 4, self.describe)


if __name__ == "__main__":
    unittest.main()
