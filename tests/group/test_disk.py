"""Nodes that keep a log: killed all at once or one by one they come back with everything; on a full disk they refuse
writes and go on reading."""

import collections
import os
import pathlib
import shutil
import subprocess
import tempfile
import time
import unittest

import harness
import test_history
from cluster import LONG, GroupCase, Member, load, until
from harness import build_request, encode_body, key_path
from workload import CHECKER

ROUNDS = 200 if LONG else 5
CHECK_S_MAX = 1800  # of hundreds of thousands of operations
KEYS = 100_000
SERVES_S = 0.3  # a restarted node, with that many keys
SANITIZED_SLOWER = 4 if "asan" in harness.BINARY else 1
SMALL_DISK = "32m"
NOTICED_S = 3  # a disk that is full, or is not any more


class KillAll(test_history.History):
    """kill -9 of all nodes at once, under load, again and again, started in any order: nothing that was acknowledged
    is lost, and all that was seen is causal."""

    count = 6
    keeps_data = True
    environment = {"SHARD_COUNT": "2", "READMIT_MS": "1000"}
    needs_network = False

    @classmethod
    def setUpClass(cls):
        if not CHECKER.exists():
            raise unittest.SkipTest("the checker is not built: make check_history")
        GroupCase.setUpClass.__func__(cls)

    def check(self, text):
        file = self.keep(text)
        verdict = subprocess.run([CHECKER, file], stdout=subprocess.PIPE, timeout=CHECK_S_MAX)
        if verdict.returncode == 0:
            file.unlink()
        return verdict.returncode, f"{verdict.stdout.decode()}\nhistory: {file}"

    def run_faults(self, until_s):
        slowest_s = 0
        for _ in range(ROUNDS):
            time.sleep(self.random.uniform(0.1, 1.5))
            self.cluster.kill()
            time.sleep(self.random.uniform(0, 0.3))
            for member in self.random.sample(list(self.cluster), len(self.cluster)):
                member.spawn()
                time.sleep(self.random.uniform(0, 0.1))
            slowest_s = max(slowest_s, self.cluster.settle(20))
            self.healed_at = time.monotonic()
        self.figures["all ready and in all views after a restart of all, at most"] = f"{slowest_s:.2f} s"
        return collections.Counter(kill_all=ROUNDS)

    def test_no_acknowledged_write_is_lost_and_the_history_is_causal(self):
        shards = self.shards()
        written, _, outcomes = self.run_history()
        self.expect_all_ledger_entries(written)
        self.assertGreater(len(written.ledger), 10 * ROUNDS)
        self.assertGreater(outcomes["GET 200"], 50 * ROUNDS)
        self.assertEqual(self.shards(), shards)

    def shards(self):
        return {name: self.cluster[0].ask("GET", f"/shard/members/{name}").json["shard-members"] for name in ("s0", "s1")}


class KillAllAlways(KillAll):
    """The same with a sync before anything is told."""

    environment = {"SHARD_COUNT": "2", "READMIT_MS": "1000", "FSYNC": "always"}


class OneAtATime(GroupCase):
    alone = True
    count = 3
    keeps_data = True

    def test_a_killed_node_serves_100000_keys_at_once(self):
        body = encode_body(value="v" * 100)
        load(self.cluster[0].address, [build_request("PUT", key_path(f"key{i}"), body) for i in range(KEYS)], 500)
        until(lambda: all(member.key_count() >= KEYS for member in self.cluster), 4, "all have all")
        for number, member in enumerate(self.cluster):
            key = f"last-{number}"
            metadata = self.put(member, key, number).metadata
            member.kill()
            member.spawn()
            start = time.monotonic()
            served = lambda: member.ready() and member.get("key77777").status == 200  # noqa: E731, B023
            took_s = until(served, 10, self.describe)
            self.assertLess(time.monotonic() - start, 10)
            self.measured(f"{member.name} serves again", took_s, SERVES_S * SANITIZED_SLOWER)
            self.assertEqual(member.get(key, metadata).json.get("value"), number)
            self.assertGreaterEqual(member.key_count(), KEYS)
            self.cluster.settle()
        self.assertTrue(self.cluster.are_equal())


class WholeCluster(GroupCase):
    """Stopped and started in any order it comes back as it was."""

    count = 4
    extra = 0
    keeps_data = True
    environment = {"SHARD_COUNT": "1"}

    def reshard(self, count):
        answer = self.cluster[1].ask("PUT", "/shard/reshard", {"shard-count": count}, timeout_s=20)
        self.assertEqual(answer.status, 200, answer)

    def members_of_shards(self, member):
        names = member.ask("GET", "/shard/ids").json["shard-ids"]
        return {name: member.ask("GET", f"/shard/members/{name}").json["shard-members"] for name in names}

    def test_the_map_and_the_keys_are_there_again(self):
        pairs = {f"key-{i}": i for i in range(300)}
        for i, (key, value) in enumerate(pairs.items()):
            metadata = self.put(self.cluster[i % 4], key, value).metadata
        self.reshard(2)
        for stop in (self.cluster.stop, self.cluster.kill):
            shards = self.members_of_shards(self.cluster[0])
            self.assertEqual(len(shards), 2)
            stop()
            for member in self.random.sample(list(self.cluster), 4):
                member.spawn()
                time.sleep(self.random.uniform(0, 0.5))
            self.cluster.settle(20)
            for member in self.cluster:
                self.assertEqual(self.members_of_shards(member), shards)
                self.assertEqual(member.everything(), pairs)
                answer = member.get("key-299", metadata)
                self.assertEqual((answer.status, answer.json.get("value")), (200, 299), answer)


class Refused(GroupCase):
    count = 1
    keeps_data = True

    def expect_refused(self, address, why, **environment):
        code, out, err = harness.run_to_exit({"SOCKET_ADDRESS": address, **environment})
        self.assertEqual((code, out), (1, ""), err)
        self.assertIn(why, err)

    def test_a_directory_of_a_live_process_another_node_or_another_cluster(self):
        member = self.cluster[0]
        data = member.environment["DATA_DIR"]
        self.put(member, "k", 1)
        other = harness.fresh_address()
        self.expect_refused(other, "in use by another live process", DATA_DIR=data)
        member.kill()
        self.expect_refused(other, f"belongs to node {member.address} of cluster kvs", DATA_DIR=data)
        self.expect_refused(member.address, "cluster another", DATA_DIR=data, CLUSTER="another")
        self.expect_refused(member.address, "cannot be made", DATA_DIR=f"{data}/there/is/none")
        self.expect_refused(member.address, "Not a directory", DATA_DIR="/dev/null")
        member.spawn()
        until(member.ready, 5, self.describe)
        self.assertEqual(member.get("k").json["value"], 1)


def why_no_small_disk():
    if os.geteuid() != 0:
        return "a small file system needs root"
    if not shutil.which("mount"):
        return "no mount here"
    return None


class FullDisk(unittest.TestCase):
    """One node on a file system of SMALL_DISK."""

    def setUp(self):
        why_not = why_no_small_disk()
        if why_not:
            self.skipTest(why_not)
        directory = tempfile.TemporaryDirectory(prefix="kvs-small-")
        self.addCleanup(directory.cleanup)
        self.disk = pathlib.Path(directory.name)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "kvs-test", str(self.disk)],
                                 stderr=subprocess.PIPE, text=True)
        if mounted.returncode != 0:
            self.skipTest(f"a small file system cannot be made: {mounted.stderr.strip()}")
        self.addCleanup(lambda: subprocess.run(["umount", str(self.disk)], check=True))
        address = harness.fresh_address()
        self.node = Member("node", {"DATA_DIR": str(self.disk / "data")}, address=address)
        self.node.start()
        self.addCleanup(self.node.kill)

    def describe(self):
        return self.node.all_stderr()[-3000:]

    def fill(self):
        with open(self.disk / "filler", "ab", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(65536))
            except OSError:
                pass

    def put_until_refused(self, prefix):
        """Returns the keys that were acknowledged."""
        kept, value = [], "v" * 20000
        for i in range(2000):
            answer = self.node.put(f"{prefix}-{i}", value)
            if answer.status == 503:
                self.assertEqual(answer.json["error"], "Disk full", answer)
                return kept
            self.assertEqual(answer.status, 201, answer)
            kept.append(f"{prefix}-{i}")
        self.fail("it never noticed")

    def expect(self, kept):
        for key in kept[:3] + kept[-3:]:
            self.assertEqual(self.node.get(key).status, 200)
        self.assertEqual(self.node.key_count(), len(kept))

    def test_writes_are_refused_reads_go_on_and_all_is_well_when_space_is_back(self):
        kept = []
        for turn in range(2):
            self.fill()
            kept += self.put_until_refused(f"round{turn}")
            self.expect(kept)
            self.assertEqual(self.node.ask("GET", "/health").json["disk"], "Disk full")
            self.node.kill()
            (self.disk / "filler").unlink()
            self.node.spawn()
            until(self.node.ready, 5, self.describe)
            self.expect(kept)

    def test_it_recovers_by_itself(self):
        self.fill()
        kept = self.put_until_refused("first")
        (self.disk / "filler").unlink()
        until(lambda: self.node.ask("GET", "/health").json["disk"] == "ok", NOTICED_S, self.describe)
        self.assertEqual(self.node.put("after", 1).status, 201)
        self.expect([*kept, "after"])
        self.node.kill()
        self.node.spawn()
        until(self.node.ready, 5, self.describe)
        self.expect([*kept, "after"])


if __name__ == "__main__":
    unittest.main()
