"""What concurrent sessions saw of one another, judged by the causal checker."""

import pathlib
import subprocess
import sys
import unittest

from harness import NodeCase

TESTS = pathlib.Path(__file__).resolve().parent.parent
CHECKER = TESTS.parent / "build" / "asan" / "tests" / "check_history"


@unittest.skipUnless(CHECKER.exists(), "the checker is not built: make VARIANT=asan unit")
class Causality(NodeCase):
    def record(self, *arguments):
        recorder = [sys.executable, str(TESTS / "record_history.py"), *arguments, self.node.address]
        return subprocess.run(recorder, stdout=subprocess.PIPE, check=True, timeout=60).stdout

    def check(self, history):
        verdict = subprocess.run([CHECKER, "-"], input=history, stdout=subprocess.PIPE, timeout=60)
        return verdict.returncode, verdict.stdout.decode()

    def test_concurrent_sessions_see_a_causal_history(self):
        history = self.record("--operations", "4000")
        self.assertGreaterEqual(history.count(b"\nget "), 500)
        self.assertGreaterEqual(history.count(b"\nput "), 500)
        code, text = self.check(history)
        self.assertEqual(code, 0, text)

    def test_a_stale_read_would_have_been_seen(self):
        history = self.record("--operations", "200")
        code, text = self.check(history + b"put z z-key z1 ok\nput z z-key z2 ok\nget z z-key found z1\n")
        self.assertEqual(code, 1, text)
