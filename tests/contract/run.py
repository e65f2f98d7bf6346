#!/usr/bin/env python3
"""Runs the contract suite: run.py [pattern], e.g. `run.py test_keys` or `run.py put_of_a_new`.

The pattern is looked for in `module.Class.test`. Test classes run side by side, each against its own nodes; most of
their time is waiting. The last line is `N passed, N failed` (and `, N skipped`); exit code 1 if anything failed.
"""

import concurrent.futures
import concurrent.futures.process
import multiprocessing
import os
import pathlib
import random
import sys
import time
import traceback
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
os.environ.setdefault("KVS_SEED", str(random.SystemRandom().randrange(10**9)))

import harness  # noqa: E402  reads KVS_SEED when imported

WORKERS = 2 + (os.cpu_count() or 1)
CAUSES_SHOWN = 3  # of the failed sub-tests of one test


class Outcome(unittest.TestResult):
    """Counts tests: several failed sub-tests are one failed test with several texts."""

    def __init__(self):
        super().__init__()
        self.passed = 0
        self.texts = {}  # id of a failed test -> what went wrong
        self.skips = []

    def addSuccess(self, test):
        self.passed += 1

    def _add(self, test, error, where=""):
        text = "".join(traceback.format_exception(*error))
        self.texts.setdefault(test.id(), []).append(where + text)

    def addFailure(self, test, error):
        self._add(test, error)

    def addError(self, test, error):
        self._add(test, error)

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self._add(test, error, f"{subtest}\n")

    def addSkip(self, test, reason):
        self.skips.append((test.id(), reason))


def collect(pattern):
    """[(class, [names of its tests])] of all that match, slow classes first."""
    found = {}
    for file in sorted(HERE.glob("test_*.py")):
        for group in unittest.defaultTestLoader.loadTestsFromName(file.stem):
            if isinstance(group, unittest.loader._FailedTest):
                raise SystemExit(f"cannot load {file.name}: {group._exception}")
            for test in group:
                if pattern in test.id():
                    found.setdefault(type(test), []).append(test.id().rsplit(".", 1)[1])
    return sorted(found.items(), key=lambda item: not getattr(item[0], "slow", False))


def run_class(case, names):
    """Runs in a worker. Returns (passed, texts of failed, skips, seconds)."""
    outcome = Outcome()
    start = time.monotonic()
    unittest.TestSuite(case(name) for name in names).run(outcome)
    return outcome.passed, outcome.texts, outcome.skips, time.monotonic() - start


def main():
    pattern = sys.argv[1] if len(sys.argv) > 1 else ""
    if not os.access(harness.BINARY, os.X_OK):
        raise SystemExit(f"no binary at {harness.BINARY}: build it first, or set KVS_BINARY")
    print(f"seed {harness.SEED} (repeat with KVS_SEED={harness.SEED})", flush=True)
    passed = failed = skipped = 0
    with concurrent.futures.ProcessPoolExecutor(WORKERS, multiprocessing.get_context("fork")) as pool:
        running = {pool.submit(run_class, case, names): case for case, names in collect(pattern)}
        for done in concurrent.futures.as_completed(running):
            case = running[done]
            try:
                ok, texts, skips, seconds = done.result()
            except concurrent.futures.process.BrokenProcessPool as failure:
                ok, texts, skips, seconds = 0, {f"{case.__module__}.{case.__name__}": [str(failure)]}, [], 0
            print(f"{case.__module__}.{case.__name__}: {ok} passed in {seconds:.1f} s", flush=True)
            for test, reason in skips:
                print(f"  skipped {test}: {reason}")
            for test, causes in texts.items():
                print(f"\nFAILED {test}")
                for cause in causes[:CAUSES_SHOWN]:
                    print("  " + cause.rstrip().replace("\n", "\n  "), flush=True)
                if len(causes) > CAUSES_SHOWN:
                    print(f"  ... and {len(causes) - CAUSES_SHOWN} more sub-tests", flush=True)
            passed, failed, skipped = passed + ok, failed + len(texts), skipped + len(skips)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
