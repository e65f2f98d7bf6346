#!/usr/bin/env python3
"""Runs the contract suite: run.py [pattern], e.g. `run.py test_keys` or `run.py put_of_a_new`.

The pattern is looked for in `module.Class.test`. The last line is `N passed, N failed`; exit code 1 if anything failed.
"""

import os
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import suite  # noqa: E402  found by the line above

if __name__ == "__main__":
    sys.exit(suite.main(HERE, workers=2 + (os.cpu_count() or 1)))
