#!/usr/bin/env python3
"""Does the simulator find bugs? Plants them one at a time and demands that it turns red.

Each mutant is a small replacement in a copy of the sources. A mutant whose old text does not stand
in its file exactly once is a failure: the table has to follow the code. So is one that does not
compile, and so is one that SEEDS_MAX seeds do not find.

`mutants.py NAME ...` tries just those; `--list` names them all. Closes with "N passed, M failed".
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SEEDS_MAX = 2000
SECONDS_MAX = 600
JOBS = str(os.cpu_count() or 1)

# (name, file, old text, new text); the names say what is wrong then.
MUTANTS = []


def copy_sources(to):
    for pattern in ("*.c", "*.h", "Makefile", "tests/*.c", "tests/*.h"):
        for path in ROOT.glob(pattern):
            target = to / path.relative_to(ROOT)
            target.parent.mkdir(exist_ok=True)
            shutil.copy2(path, target)
    objects = ROOT / "build" / "sim"
    if objects.exists():  # what the mutant does not touch need not be compiled again
        shutil.copytree(objects, to / "build" / "sim")


def plant(tree, file, old, new):
    path = tree / file
    text = path.read_text()
    found = text.count(old)
    if found != 1:
        return f"its old text stands {found} times in {file}"
    path.write_text(text.replace(old, new))
    now = time.time() + 1
    os.utime(path, (now, now))
    return None


def run(tree, command, seconds):
    try:
        result = subprocess.run(command, cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True, errors="replace", timeout=seconds)
    except subprocess.TimeoutExpired:
        return None, ""
    return result.returncode, result.stdout


def build(tree):
    return run(tree, ["make", "-s", f"-j{JOBS}", "VARIANT=sim", "sim-build"], SECONDS_MAX)


def how_found(output):
    """The first violation, in one line."""
    match = re.search(r"VIOLATION of [^\n]*|DIED by [^\n]*|Assertion[^\n]*", output)
    seed = re.search(r"make sim SEED=(\d+)", output)
    return f"{match.group(0)[:100] if match else '?'} (seed {seed.group(1) if seed else '?'})"


def try_mutant(mutant):
    """(whether it was found, one line about it)"""
    name, file, old, new = mutant
    with tempfile.TemporaryDirectory() as directory:
        tree = pathlib.Path(directory)
        copy_sources(tree)
        complaint = plant(tree, file, old, new)
        if complaint:
            return False, complaint
        code, output = build(tree)
        if code != 0:
            return False, f"does not compile:\n{output}"
        command = ["build/sim/sim", "--seeds", f"1-{SEEDS_MAX}", "--jobs", JOBS]
        code, output = run(tree, command, SECONDS_MAX)
        if code is None:
            return True, f"found: the run does not end in {SECONDS_MAX} s"
        if code == 0:
            return False, f"NOT FOUND in {SEEDS_MAX} seeds"
        return True, f"found: {how_found(output)}"


def main(names):
    known = [mutant[0] for mutant in MUTANTS]
    if names == ["--list"]:
        print("\n".join(known))
        return 0
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"no such mutant: {', '.join(unknown)}")
    code, output = build(ROOT)
    if code != 0:
        sys.exit(f"the sources themselves do not compile:\n{output}")
    failed = 0
    chosen = [mutant for mutant in MUTANTS if not names or mutant[0] in names]
    for mutant in chosen:
        found, line = try_mutant(mutant)
        failed += not found
        print(f"{mutant[0]}: {line}", flush=True)
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
