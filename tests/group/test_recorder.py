"""record_history.py, whose histories are worth as much as the answers in them."""

import pathlib
import subprocess
import sys
import unittest

from harness import Node, fresh_address

TESTS = pathlib.Path(__file__).resolve().parent.parent
CHECKER = TESTS.parent / "build" / "asan" / "tests" / "check_history"
OPERATIONS = 400


def record(*addresses):
    command = [sys.executable, TESTS / "record_history.py", "--operations", str(OPERATIONS), *addresses]
    return subprocess.run(command, capture_output=True, timeout=60)


@unittest.skipUnless(CHECKER.exists(), "the checker is not built: make VARIANT=asan unit")
class Recorder(unittest.TestCase):
    def judge(self, history):
        return subprocess.run([CHECKER, "-"], input=history, capture_output=True, timeout=60).returncode

    def test_a_history_without_any_answer_is_refused(self):
        address = fresh_address()
        done = record(address)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn(f"no operation was answered by {address}".encode(), done.stderr)
        self.assertEqual(self.judge(done.stdout), 2, done.stdout[-200:])

    def test_a_history_of_a_node_that_answers_is_judged(self):
        with Node() as node:
            done = record(node.address)
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(self.judge(done.stdout), 0)

    def test_answers_of_one_node_are_enough(self):
        with Node() as node:
            done = record(node.address, fresh_address())
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(self.judge(done.stdout), 0)


if __name__ == "__main__":
    unittest.main()
