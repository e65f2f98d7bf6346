#!/usr/bin/env python3
"""Runs the attack suite: run.py [pattern], e.g. `run.py test_http`. One attack a test, beside it an honest client.

By default on build/release/kvs, where rates and memory mean something; with KVS_BINARY=build/asan/kvs the same attacks
are short, and only what is answered and what the sanitizers say counts. It needs build/bench/load. KVS_LONG=1: longer.
The last line is `N passed, N failed`. See beside.py for what is measured, and how.
"""

import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
os.environ.setdefault("KVS_BINARY", str(HERE.parents[1] / "build" / "release" / "kvs"))

import suite  # noqa: E402  found by the line above

if __name__ == "__main__":
    sys.exit(suite.main(HERE, workers=1))  # one after the other: they measure
