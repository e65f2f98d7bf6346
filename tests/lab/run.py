#!/usr/bin/env python3
"""Runs the suite of the fault lab and of the Python client: run.py [pattern]. The last line is `N passed, N failed`.

KVS_LONG=1: the stale-read hunt takes ten minutes in place of twenty seconds.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import suite  # noqa: E402  found by the line above

WORKERS = 2  # of those that start whole labs; most of it is waiting

if __name__ == "__main__":
    sys.exit(suite.main(HERE, WORKERS))
