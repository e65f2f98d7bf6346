"""Shards are dealt anew, up and down, while eight sessions go on: nothing is lost, nothing comes back, nobody sees an
effect before its cause, and hardly anybody is told to try again."""

import time
import unittest

from cluster import LONG, GroupCase
from workload import CHECKER, Workload, expect_layout, reshard

KEYS = 10_000
COUNTS = (3, 2, 1, 3)  # after 2
ROUNDS = 3 if LONG else 1
LOAD_S = 4 if LONG else 1.5  # before each reshard, and after it
RESHARD_S_MAX = 30
REFUSED_SHARE_MAX = 0.005


@unittest.skipUnless(CHECKER.exists(), "the checker is not built: make check_history")
class Reshard(GroupCase):
    count = 6
    environment = {"SHARD_COUNT": "2"}
    slow = True

    def test_up_and_down_under_load(self):
        load, self.moves = Workload(self.cluster, self.random, KEYS), []
        load.preload(self.cluster[0].address)
        expect_layout(self.cluster, 2)
        with load:
            for count in COUNTS * ROUNDS:
                self.move(load, count)
            time.sleep(LOAD_S)
        load.expect_no_failure()
        load.expect_every_read(load.expect_level())
        load.expect_causal()
        self.figures["reshards"] = ", ".join(self.moves)
        self.figures["operations"] = load.describe()
        self.figures["answered with 503"] = f"{100 * load.share_refused():.3f} %"
        self.assertLess(load.share_refused(), REFUSED_SHARE_MAX, load.describe())
        self.assertGreater(load.recorder.outcomes["GET 200"], 1000)
        self.assertGreater(len(load.dead), 50)

    def move(self, load, count):
        time.sleep(LOAD_S)
        old = load.remember(f"before{len(self.moves)}")
        asked, start = self.random.choice(list(self.cluster)), time.monotonic()
        answer = reshard(asked, count, RESHARD_S_MAX)
        self.moves.append(f"to {count} in {time.monotonic() - start:.2f} s")
        self.assertEqual((answer.status, answer.json), (200, {"result": "resharded"}))
        expect_layout(self.cluster, count)
        load.expect_honoured(old)
        time.sleep(LOAD_S)
        load.pause()
        load.expect_level()
        load.resume()


if __name__ == "__main__":
    unittest.main()
