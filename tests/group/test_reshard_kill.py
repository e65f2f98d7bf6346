"""The node that was asked for a reshard is killed in the middle of it, while sessions go on. Another one, asked again,
completes it; nothing that was acknowledged is lost; and the node that comes back is level with the others."""

import concurrent.futures
import time
import unittest

from cluster import LONG, GroupCase, until
from harness import EndOfStream
from workload import CHECKER, LEVEL_S, Workload, key_counts, layout, reshard

KEYS = 5_000
ROUNDS = 20 if LONG else 3
COUNTS = (3, 2)  # in turn; with seven nodes there are two for each of three shards even when one is dead
LOAD_S = 0.5
RESHARD_S_MAX = 20
PATIENCE_S = 4  # of a client, before it asks again
MOMENTS = 1.5  # of the time that a move takes when nobody dies: until then, at random, the node is killed


@unittest.skipUnless(CHECKER.exists(), "the checker is not built: make check_history")
class AskedNodeDies(GroupCase):
    count = 7
    environment = {"SHARD_COUNT": "2"}
    slow = True

    def test_the_reshard_completes_at_another_node_and_nothing_is_lost(self):
        load, self.rounds = Workload(self.cluster, self.random, KEYS, request_s_max=4, pause_s=0.002), []
        load.preload(self.cluster[0].address)
        with load:
            usual_s = self.undisturbed(3)
            self.undisturbed(2)
            for number in range(ROUNDS):
                self.kill_and_ask_again(load, COUNTS[number % 2], usual_s)
        load.expect_no_failure()
        load.expect_every_read(load.expect_level())
        load.expect_causal()
        self.figures["a move without a death"] = f"{usual_s:.2f} s"
        self.figures["killed after, done again after"] = ", ".join(self.rounds)
        self.figures["operations"] = load.describe()
        self.assertGreater(len(load.once), 50)

    def undisturbed(self, count):
        time.sleep(LOAD_S)
        start = time.monotonic()
        answer = reshard(self.random.choice(list(self.cluster)), count, RESHARD_S_MAX)
        self.assertEqual((answer.status, answer.json), (200, {"result": "resharded"}))
        return time.monotonic() - start

    def kill_and_ask_again(self, load, count, usual_s):
        time.sleep(LOAD_S)
        victim, other = self.random.sample(list(self.cluster), 2)
        moment_s = self.random.uniform(0, MOMENTS * usual_s)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            asked = pool.submit(self.ask_who_may_die, victim, count)
            time.sleep(moment_s)
            victim.kill()
            first = asked.result()
        took_s = self.ask_again(other, count)
        self.rounds.append(f"{moment_s * 1000:.0f} ms ({'answered' if first else 'no answer'}) {took_s:.2f} s")
        self.expect_no_loss_without(victim, load, count)
        victim.spawn()
        self.cluster.settle(2 * LEVEL_S)
        load.pause()
        load.expect_level()
        load.resume()

    def ask_again(self, member, count):
        """Until it is done. Whoever is asked right after the death may count the dead node in and wait for it; a
        client that gives up asks again. Returns the seconds that took."""
        start = time.monotonic()
        while (answer := self.ask_with_patience(member, count)) is None:
            self.assertLess(time.monotonic() - start, RESHARD_S_MAX, self.describe())
        self.assertEqual((answer.status, answer.json), (200, {"result": "resharded"}), self.describe())
        return time.monotonic() - start

    @staticmethod
    def ask_with_patience(member, count):
        """The answer; None: there was none for so long."""
        try:
            return reshard(member, count, PATIENCE_S)
        except TimeoutError:
            return None

    @staticmethod
    def ask_who_may_die(member, count):
        """The answer; None: there was none."""
        try:
            answer = reshard(member, count, RESHARD_S_MAX)
        except (OSError, EndOfStream):
            return None
        assert answer.status == 200, answer
        return answer

    def expect_no_loss_without(self, victim, load, count):
        """While it is away: its shard has another member, and everything is there."""
        until(lambda: victim.address not in self.cluster.working()[0].view(), 4, "the dead node is out of the view")
        load.pause()
        load.expect_level()
        load.resume()
        for member in self.cluster.working():
            self.assertEqual(list(layout(member)), [f"s{i}" for i in range(count)])
            self.assertNotIn(-1, key_counts(member).values())


if __name__ == "__main__":
    unittest.main()
