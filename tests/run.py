#!/usr/bin/env python3
"""Everything that `make test` runs. The last line is `N passed, N failed`; exit code 1 if anything failed.

  unit      tests/test_*.c with ASan and UBSan: by gcc, by gcc with unsigned char, by clang
  replay    the corpora of tests/fuzz_*.c, by a plain main
  tidy      formatting, function length, banned calls, layers, names in the docs
  sim       tests/sim.c: a whole cluster from a seed, 1 to 10000, some of each other world, tests/sim_seeds.txt
  mutants   tests/mutants.py: the tests turn red for planted bugs, those that few seeds find
  contract  tests/contract: the real binary through the REST contract and through bad input
  group     tests/group: several real processes that replicate, are killed, frozen and cut off
  attack    tests/attack: who wants to hurt a node, beside an honest client: its rate, memory, what is answered
  lab       tests/lab: the Python client, and the fault lab as a teacher and the hunt for stale reads use it
  docker    tests/docker: the image, and the scenario that people script, on containers
  fuzz      only with FUZZ_SECONDS=n in the environment: that long a target

`run.py unit contract` runs just those. What this machine cannot run is said and passed over.
"""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SIM_WORLDS = (("one group", 1, 10000, 300), ("several shards", 1000000000, 1000, 50),
              ("maps that change", 2000000000, 10000, 20), ("disks", 3000000000, 2000, 20))  # first seed, how many, how many with ASan
CLOSING = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.MULTILINE)
MOST_SHOWN, MOST_REPEATED = 30000, 3000  # bytes of what a failed part printed: where it failed, and again at the end
JOBS = f"-j{os.cpu_count() or 1}"


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []  # of each part that failed: its line, and the end of what it printed

    def add(self, name, passed, failed, skipped=0, output=""):
        self.passed += passed
        self.failed += failed
        self.skipped += skipped
        tail = f", {skipped} skipped" if skipped else ""
        line = f"{name}: {passed} passed, {failed} failed{tail}"
        print(line, flush=True)
        if failed:
            print(output[-MOST_SHOWN:])
            self.failures.append((line, output[-MOST_REPEATED:]))

    def repeat_failures(self):
        """Once more, at the end, where whoever sees only the end of a long log finds them."""
        for line, output in self.failures:
            print(f"FAILED {line}\n{output}")

    def pass_over(self, name, why):
        self.skipped += 1
        print(f"{name}: passed over: {why}", flush=True)


def run(command, **more):
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", **more)


def count(tally, name, command, show=False, env=None):
    """Runs a program that closes with the counting line; anything else is one failure. What it prints is shown when
    something has failed, or if that is wished."""
    result = run(command, env=env)
    closing = CLOSING.findall(result.stdout)
    if closing and (result.returncode == 0) == (closing[-1][1] == "0"):
        passed, failed, skipped = (int(n or 0) for n in closing[-1])
        tally.add(name, passed, failed, skipped, result.stdout)
        if show and not failed:
            print(result.stdout)
    else:
        tally.add(f"{name} (exit {result.returncode})", 0, 1, output=result.stdout)


def build(tally, variant, targets):
    result = run(["make", "-s", JOBS, f"VARIANT={variant}", *targets])
    clean = result.returncode == 0 and "warning:" not in result.stdout
    tally.add(f"build {variant}", int(clean), int(not clean), output=result.stdout)
    return clean


def unit(tally):
    for variant in ("asan", "unsigned", "clang"):
        if variant == "clang" and not shutil.which("clang"):
            tally.pass_over("unit clang", "no clang here")
        elif build(tally, variant, ["unit"]):
            for program in sorted((ROOT / "build" / variant / "tests").glob("test_*")):
                if not program.suffix:
                    count(tally, f"{variant} {program.name}", [program])


def replay(tally):
    if not build(tally, "asan", ["replay"]):
        return
    for corpus in sorted((ROOT / "tests" / "corpus").iterdir()):
        program = ROOT / "build" / "asan" / "tests" / f"replay_{corpus.name}"
        count(tally, f"replay {corpus.name}", [program, corpus])


def tidy(tally):
    count(tally, "tidy", [sys.executable, "tests/tidy.py"])


def named_seeds():
    lines = (ROOT / "tests" / "sim_seeds.txt").read_text().splitlines()
    return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]


def sim(tally):
    for variant in ("sim", "asan"):
        if not build(tally, variant, ["sim-build"]):
            continue
        program = ROOT / "build" / variant / "sim"
        for world, first, many, with_asan in SIM_WORLDS:
            last = first + (with_asan if variant == "asan" else many) - 1
            count(tally, f"sim {variant}, {world}", [program, "--seeds", f"{first}-{last}"])
        for seed in named_seeds():
            count(tally, f"sim {variant}, seed {seed}", [program, "--seeds", f"{seed}-{seed}"])


def mutants(tally):
    count(tally, "mutants", [sys.executable, "tests/mutants.py", "--short"])


def contract(tally):
    if build(tally, "asan", ["all", "unit"]) and build(tally, "release", ["all"]):
        count(tally, "contract", [sys.executable, "tests/contract/run.py"])


def build_tls(tally):
    header = run(["sh", "-c", "echo '#include <mbedtls/ssl.h>' | ${CC:-cc} -E -"])
    if header.returncode != 0:
        tally.pass_over("group, TLS", "no mbedTLS here")
    else:
        build(tally, "asan", ["TLS=1", "all"])


def group(tally):
    build_tls(tally)
    if build(tally, "asan", ["all", "unit"]) and build(tally, "release", ["check_history"]):
        count(tally, "group", [sys.executable, "tests/group/run.py"])


def attack(tally):
    """On the release build, where rates mean something, and on what the sanitizers watch."""
    if build(tally, "release", ["all", "build/bench/load"]):
        count(tally, "attack", [sys.executable, "tests/attack/run.py"], show=True)
    if build(tally, "asan", ["all"]):
        count(tally, "attack asan", [sys.executable, "tests/attack/run.py"],
              env={**os.environ, "KVS_BINARY": str(ROOT / "build" / "asan" / "kvs")})


def lab(tally):
    if build(tally, "asan", ["all", "unit"]):
        count(tally, "lab", [sys.executable, "tests/lab/run.py"])


def docker(tally):
    count(tally, "docker", [sys.executable, "tests/docker/run.py"], show=True)


def fuzz(tally):
    seconds = os.environ.get("FUZZ_SECONDS")
    if not seconds:
        return
    if not shutil.which("clang"):
        tally.pass_over("fuzz", "no clang here")
        return
    result = run(["make", "-s", JOBS, "fuzz-build"])
    if result.returncode != 0:
        tally.pass_over("fuzz", "clang has no libFuzzer here")
        return
    targets = [corpus.name for corpus in sorted((ROOT / "tests" / "corpus").iterdir())]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:  # each takes one core
        runs = {target: pool.submit(run, ["make", "-s", "fuzz", f"FUZZ_TARGETS={target}"])
                for target in targets}
    for target, future in runs.items():
        result = future.result()
        tally.add(f"fuzz {target}, {seconds} s", int(result.returncode == 0),
                  int(result.returncode != 0), output=result.stdout)


STEPS = {"tidy": tidy, "unit": unit, "replay": replay, "sim": sim, "mutants": mutants,
         "contract": contract, "group": group, "attack": attack, "lab": lab, "docker": docker, "fuzz": fuzz}


def main(names):
    unknown = [name for name in names if name not in STEPS]
    if unknown:
        sys.exit(f"no such step: {', '.join(unknown)}; there are {', '.join(STEPS)}")
    tally, start = Tally(), time.monotonic()
    for name in names or STEPS:
        STEPS[name](tally)
    tally.repeat_failures()
    print(f"in {time.monotonic() - start:.0f} s")
    tail = f", {tally.skipped} skipped" if tally.skipped else ""
    print(f"{tally.passed} passed, {tally.failed} failed{tail}")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
