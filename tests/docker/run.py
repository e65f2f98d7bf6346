#!/usr/bin/env python3
"""Runs the container suite: run.py [pattern], e.g. `run.py test_scenario`. Needs a Docker engine, but no registry.

The image is that of `make image`, under a name of its own, and is removed afterwards. Deadlines are twice those of the
contract; the figures printed are what was measured. The last line is `N passed, N failed`.
"""

import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "contract"), str(HERE.parent / "group"), str(HERE)]
os.environ["KVS_BINARY"] = str(ROOT / "build" / "static" / "kvs")

import containers  # noqa: E402  these are found by the lines above, and the second reads KVS_BINARY
import suite  # noqa: E402

WORKERS = 3  # clusters side by side: the engine does one thing at a time anyway


def main():
    why_not = containers.why_no_engine()
    if why_not:
        print(f"passed over: {why_not}\n0 passed, 0 failed, 1 skipped")
        return 0
    name = os.environ["KVS_IMAGE"] = containers.fresh_name("kvs-test")
    try:
        subprocess.run(["make", "-s", "image", f"IMAGE={name}"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        return suite.main(HERE, WORKERS)
    finally:
        containers.remove_all_labelled()
        containers.try_docker("rmi", "-f", name)


if __name__ == "__main__":
    sys.exit(main())
