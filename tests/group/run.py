#!/usr/bin/env python3
"""Runs the group suite: real processes that replicate. run.py [pattern], e.g. `run.py test_crash`.

Deadlines are twice those of the contract, so that a busy machine does not fail; the figures printed are what was
measured. KVS_LONG=1: longer, and two faults at once. The last line is `N passed, N failed`.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import suite  # noqa: E402  found by the line above

WORKERS = 3  # clusters side by side: they mostly wait, and a starved node is no subject here

if __name__ == "__main__":
    sys.exit(suite.main(HERE, WORKERS))
