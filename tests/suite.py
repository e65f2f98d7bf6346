"""Runs the test classes of a directory side by side, each against its own nodes; most of their time is waiting.

The entry points are contract/run.py and group/run.py. The last line is `N passed, N failed` (and `, N skipped`).
A class may say `slow`: it is started first, and `alone`: it is run when all others are done. What a test leaves in
the `figures` of its class, {name: text}, is printed with the class; what its `describe()` says, with its failures.
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

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "contract"))
os.environ.setdefault("KVS_SEED", str(random.SystemRandom().randrange(10**9)))

import harness  # noqa: E402  reads KVS_SEED when imported

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
        if hasattr(test, "describe"):
            text += test.describe()
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


def collect(directory, pattern):
    """[(class, [names of its tests])] of all that match, slow classes first."""
    found = {}
    for file in sorted(directory.glob("test_*.py")):
        for group in unittest.defaultTestLoader.loadTestsFromName(file.stem):
            if isinstance(group, unittest.loader._FailedTest):
                raise SystemExit(f"cannot load {file.name}: {group._exception}")
            for test in group:
                if pattern in test.id():
                    found.setdefault(type(test), []).append(test.id().rsplit(".", 1)[1])
    return sorted(found.items(), key=lambda item: not getattr(item[0], "slow", False))


def run_class(case, names):
    """Runs in a worker. Returns (passed, texts of failed, skips, figures, seconds)."""
    outcome = Outcome()
    start = time.monotonic()
    unittest.TestSuite(case(name) for name in names).run(outcome)
    return outcome.passed, outcome.texts, outcome.skips, getattr(case, "figures", {}), time.monotonic() - start


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, name, passed, texts, skips, figures, seconds):
        self.passed, self.failed, self.skipped = self.passed + passed, self.failed + len(texts), self.skipped + len(skips)
        print(f"{name}: {passed} passed in {seconds:.1f} s", flush=True)
        for figure, text in figures.items():
            print(f"  {figure}: {text}")
        for test, reason in skips:
            print(f"  skipped {test}: {reason}")
        for test, causes in texts.items():
            print(f"\nFAILED {test}")
            for cause in causes[:CAUSES_SHOWN]:
                print("  " + cause.rstrip().replace("\n", "\n  "), flush=True)
            if len(causes) > CAUSES_SHOWN:
                print(f"  ... and {len(causes) - CAUSES_SHOWN} more sub-tests", flush=True)


def run_all(classes, workers, tally):
    with concurrent.futures.ProcessPoolExecutor(workers, multiprocessing.get_context("fork")) as pool:
        running = {pool.submit(run_class, case, names): f"{case.__module__}.{case.__name__}" for case, names in classes}
        for done in concurrent.futures.as_completed(running):
            try:
                tally.add(running[done], *done.result())
            except concurrent.futures.process.BrokenProcessPool as failure:
                tally.add(running[done], 0, {running[done]: [str(failure)]}, [], {}, 0)


def main(directory, workers):
    sys.path.insert(0, str(directory))
    pattern = sys.argv[1] if len(sys.argv) > 1 else ""
    if not os.access(harness.BINARY, os.X_OK):
        raise SystemExit(f"no binary at {harness.BINARY}: build it first, or set KVS_BINARY")
    print(f"seed {harness.SEED} (repeat with KVS_SEED={harness.SEED})", flush=True)
    tally, classes = Tally(), collect(directory, pattern)
    run_all([entry for entry in classes if not getattr(entry[0], "alone", False)], workers, tally)
    run_all([entry for entry in classes if getattr(entry[0], "alone", False)], 1, tally)
    print(f"{tally.passed} passed, {tally.failed} failed" + (f", {tally.skipped} skipped" if tally.skipped else ""))
    return 1 if tally.failed or not tally.passed else 0
