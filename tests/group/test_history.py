"""Concurrent sessions while nodes are killed, frozen and cut off; what they saw is judged by the causal checker.

Each thread is a chain of sessions as in record_history.py. Beside the keys that all of them fight for, some writes go
to keys that are written once: of an acknowledged one nothing else could hide the loss.
"""

import collections
import io
import pathlib
import subprocess
import sys
import threading
import time
import unittest

from cluster import LONG, GroupCase, until, why_no_network

TESTS = pathlib.Path(__file__).resolve().parent.parent
CHECKER = TESTS.parent / "build" / "asan" / "tests" / "check_history"
sys.path.insert(0, str(TESTS))

import record_history as recording  # noqa: E402  found by the line above

LOAD_S = 60 if LONG else 15
THREADS = 8
KEYS = 10
FAULT_S = 2
EQUAL_S = 5  # after the last fault
SETTLED_S = 7  # after that there are no more 503s, even where writes are lost
HOP_SHARE, RENEW_SHARE, LEDGER_SHARE, READ_SHARE, DELETE_SHARE = 0.3, 0.02, 0.1, 0.5, 0.02
REQUEST_S_MAX = 4
PAUSE_S = 0.004  # of a session between two operations: the checker need not judge millions


class Load:
    """The threads, and what they saw."""

    def __init__(self, addresses, source):
        self.addresses, self.source = addresses, source
        self.text = io.StringIO()
        self.recorder = recording.Recorder(self.text)
        self.keys = recording.Keys(KEYS)
        self.sessions = [recording.Session(f"t{i}") for i in range(THREADS)]
        self.ledger = {}  # key: value of the acknowledged writes to keys that are written once
        self.stopping = threading.Event()
        self.failures = []
        self.threads = [threading.Thread(target=self.guard, args=(i, source.getrandbits(64))) for i in range(THREADS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def guard(self, me, seed):
        try:
            self.work(me, seed)
        except Exception as failure:  # of the test, which must not end as a quiet thread
            self.failures.append(failure)
            raise

    def work(self, me, seed):
        rng = self.source.__class__(seed)
        client, node, renewals = recording.Client(self.addresses, REQUEST_S_MAX), me % len(self.addresses), 0
        while not self.stopping.is_set():
            if rng.random() < RENEW_SHARE:
                renewals += 1
                recording.renew(self.recorder, self.sessions, me, f"t{me}.{renewals}", rng)
            if rng.random() < HOP_SHARE:
                node = rng.randrange(len(self.addresses))
            self.operate(client, self.sessions[me], node, rng)
            time.sleep(PAUSE_S)

    def operate(self, client, session, node, rng):
        key, dice = self.keys.pick(rng), rng.random()
        if dice < LEDGER_SHARE:
            self.write_once(client, session, node)
        elif dice < LEDGER_SHARE + DELETE_SHARE and self.keys.may_delete(key):
            recording.delete(self.recorder, client, session, node, key)
        elif dice < LEDGER_SHARE + DELETE_SHARE + READ_SHARE:
            recording.read(self.recorder, client, session, node, key)
        else:
            recording.write(self.recorder, client, session, node, key)

    def write_once(self, client, session, node):
        value = recording.next_value(session)
        key = f"once-{value}"
        outcome, _status = recording.put(self.recorder, client, session, node, key, value)
        if outcome == "ok":
            self.ledger[key] = value


class History(GroupCase):
    count = 3
    environment = {"READMIT_MS": "1000"}
    slow = True
    faults_at_once = 1

    @classmethod
    def setUpClass(cls):
        if not CHECKER.exists():
            raise unittest.SkipTest("the checker is not built: make VARIANT=asan unit")
        cls.needs_network = why_no_network() is None
        super().setUpClass()

    # Each fault: begins; returns what ends it.

    def kill(self, member):
        member.kill()
        return member.spawn

    def freeze(self, member):
        member.freeze()
        return member.thaw

    def cut_off(self, member):
        self.network.cut([member], [other for other in self.cluster if other is not member])
        return self.network.heal

    def inject(self, kinds, members):
        ends = [kind(member) for kind, member in zip(kinds, members)]
        time.sleep(self.random.uniform(0.2, FAULT_S))
        for end in self.random.sample(ends, len(ends)):
            end()
            self.healed_at = time.monotonic()
            time.sleep(self.random.uniform(0, 0.3))

    def run_faults(self, until_s):
        kinds = [self.kill, self.freeze] + ([self.cut_off] if self.network else [])
        done, number = collections.Counter(), 0
        while time.monotonic() < until_s:
            chosen = [kinds[(number + i) % len(kinds)] for i in range(self.faults_at_once)]
            self.inject(chosen, self.random.sample(list(self.cluster), len(chosen)))
            done.update(kind.__name__ for kind in chosen)
            number += 1
            self.cluster.settle(20)
            time.sleep(0.3)
        return done

    def check(self, text):
        verdict = subprocess.run([CHECKER, "-"], input=text.encode(), stdout=subprocess.PIPE, timeout=120)
        return verdict.returncode, verdict.stdout.decode()

    def expect_all_ledger_entries(self, load):
        for member in self.cluster:
            pairs = member.everything()
            lost = {key for key, value in load.ledger.items() if pairs.get(key) != value}
            self.assertEqual(lost, set(), f"{len(lost)} acknowledged writes are not at {member.name}")

    def read_everything_everywhere(self, load):
        """A session that has seen all others reads all keys at each node: for the checker."""
        everything, client = recording.Session("end"), recording.Client(self.cluster.addresses(), 10)
        for name in list(load.recorder.names):
            load.recorder.note(everything, f"take {name}")
        for node, _ in enumerate(self.cluster):
            session = load.recorder.hand_over(everything, f"end.{node}")
            for key in load.keys.all():
                answered = lambda: recording.read(load.recorder, client, session, node, key)  # noqa: E731, B023
                until(answered, SETTLED_S, lambda: f"an answer of {self.cluster[node].name} for {key}, "
                      f"to {session.metadata}:\n{self.describe()}")

    def keep(self, text):
        """A history that is not clean is worth more than a verdict."""
        path = pathlib.Path(f"/tmp/kvs-history-{self.random.getrandbits(32):08x}")
        path.write_text(text)
        return path

    def run_history(self):
        with Load(self.cluster.addresses(), self.random) as load:
            time.sleep(0.5)
            faults = self.run_faults(time.monotonic() + LOAD_S)
        self.assertEqual(load.failures, [])
        until(self.cluster.are_equal, 2 * EQUAL_S, self.describe)
        equal_s = time.monotonic() - self.healed_at  # the load went on until all saw one another
        self.assertLess(equal_s, 2 * EQUAL_S)
        self.read_everything_everywhere(load)
        text = load.text.getvalue()
        outcomes = load.recorder.outcomes
        self.figures[self._testMethodName] = (
            f"{dict(faults)}, {text.count(chr(10))} operations, {len(load.ledger)} written once, "
            f"equal after {equal_s:.2f} s, " + ", ".join(f"{name}: {n}" for name, n in sorted(outcomes.items())))
        code, verdict = self.check(text)
        self.assertEqual(code, 0, f"{verdict}\nhistory: {self.keep(text) if code else ''}")
        return load, faults, outcomes


class OneFaultAtATime(History):
    def test_the_history_is_causal_and_no_acknowledged_write_is_lost(self):
        load, faults, outcomes = self.run_history()
        self.expect_all_ledger_entries(load)
        self.assertGreaterEqual(min(faults["kill"], faults["freeze"]), 1)
        self.assertGreater(len(load.ledger), 100)
        self.assertGreater(outcomes["GET 200"], 1000)


@unittest.skipUnless(LONG, "two faults at once: KVS_LONG=1")
class TwoFaultsAtOnce(History):
    """Acknowledged writes may be lost, when both of their copies die; that is allowed here. Nothing else is."""

    count = 4
    faults_at_once = 2

    def test_the_history_is_causal_and_all_nodes_end_equal(self):
        _, faults, outcomes = self.run_history()
        self.assertGreaterEqual(sum(faults.values()), 4)
        self.assertGreater(outcomes["GET 200"], 1000)


if __name__ == "__main__":
    unittest.main()
