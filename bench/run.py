#!/usr/bin/env python3
"""The benchmark: what does one request cost the server, beside its peers and beside the ceiling?

WHAT IS MEASURED. Every contestant makes about two system calls a request and so does the load
generator, so the generator saturates when the server does or before: a rate says as much about
the one as about the other. What counts here is the server's CPU time a request: the time on CPU of
all its threads (/proc/PID/task/*/schedstat, in ns) over the whole life of one generator process,
divided by all requests that this process had answered, its warm-up included. Rate and percentiles
are those of the measured seconds only.

THE CONTESTANTS. kvs, whose clients carry the metadata that it gave them, as those of a node alone
do: one entry; kvs-six (bench/kvs-bench.c: the same server, but it knows five foreign actors
beforehand, so that its clients carry the six entries that a cluster of six would give them); bare (bench/bare.c: finds the end of each request and sends kvs's bytes: the ceiling); nginx
(`return 200` with a body as long as kvs's, to the same requests, but always with the verb GET);
redis and memcached (GET and SET of the same keys and values). Everyone has one worker thread, no
disk and no access log, but for the part "disk": kvs and redis with their logs, beside kvs without;
there it is the rate that counts. The part "recovery" kills a node with a million keys, and asks how
much a compaction is felt. The part "tls" asks for a GET in TLS, over connections that stay, kvs (built with TLS=1) and
nginx, which have the same certificate and send the same body, with wrk; and how many full handshakes
a second they make, and at which CPU time. Peers that are not installed are passed over and named.

WHERE. Servers on one core, the generator and this script on another; on a machine with a single
core nothing is pinned, and the report says so. Loopback only; all files in a temporary directory.

WHEN. A round of a row takes every contestant in order and then again in reverse (A B B A), so that
a drift of the machine hits all alike; each round begins one contestant further. Ratios are taken
inside a round and then reported as median (min..max) over the rounds that count.

WHICH ROUNDS COUNT. The rule, fixed before anything was measured: the busy time of our two cores
during the round (/proc/stat) minus that of our own processes, plus stolen time, is `others`.
A round with others above OTHERS_MAX of a core is dropped. If fewer than ROUNDS_MIN rounds would
stay, the ROUNDS_MIN least disturbed stay, and the report names the row as disturbed.

HOW IT ENDS. 0 when everything could be measured, targets missed or not (speed is no test); 1 when
a server dies or answers with anything but success.

WHERE TO READ ON. machine.py (cores, clocks, memory), wire.py (the requests), contestants.py (how
each server is run), measure.py (the three measurements), report.py (tables and targets); load.c is
the generator, bare.c the ceiling.
"""
from __future__ import annotations

import argparse
import pathlib
import shutil
import signal
import sys
import tempfile
import time
from typing import Callable, Iterable

from contestants import (CONTESTANTS, DISK, OURS, PAIRS, TLS, TLS_TOOLS, Kvs, Nginx, Server,
                         Workplace)
from machine import BenchError, Cores, machine_describe, progress, raise_fd_limit
from measure import (LOADINGS, Row, grid_measure, idle_measure, memory_measure,
                     recovery_measure, tls_measure)
from report import Results, report, results_json

MEMORY_KEYS = 1_000_000
IDLE_CONNS = 10_000
FDS_SPARE = 100       # a server's own, beside its connections
PARTS = ("grid", "pairs", "tls", "disk", "recovery", "memory", "idle")
PAIR_ROWS = [Row("PUT", conns, pipeline) for pipeline in (1, 16) for conns in (16, 64)]
DISK_ROWS = [Row("PUT", conns, pipeline) for pipeline in (1, 16) for conns in (16, 64)]
ROOT = pathlib.Path(__file__).resolve().parent.parent


def comma_list(item: Callable[[str], object]) -> Callable[[str], list]:
    def parse(text: str) -> list:
        return [item(part) for part in text.split(",")]
    parse.__name__ = "list"
    return parse


def one_of(choices: Iterable[str]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"{text}: choose from {', '.join(choices)}")
        return text
    return parse


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Server CPU time a request, kvs beside its peers.")
    names = [kind.name for kind in CONTESTANTS]
    parser.add_argument("--full", action="store_true", help="1 to 256 connections, longer passes")
    parser.add_argument("--only", type=comma_list(one_of(names)), default=names, metavar="NAME,...",
                        help=f"contestants, of {','.join(names)}")
    parser.add_argument("--parts", type=comma_list(one_of(PARTS)), default=PARTS,
                        metavar="PART,...", help=f"of {','.join(PARTS)}")
    parser.add_argument("--rows", type=comma_list(Row.parse), metavar="GET/16/1,...",
                        help="operation/connections/pipeline, instead of the grid")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, help="measured in a pass (0.3; with --full 1)")
    parser.add_argument("--memory-keys", type=int, default=MEMORY_KEYS)
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "build" / "bench",
                        help="where kvs, kvs-bench, load and bare are")
    parser.add_argument("--json", type=pathlib.Path, help="also write every pass to this file")
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.memory_keys < 1:
        parser.error("at least one round and one key")
    if arguments.seconds is None:
        arguments.seconds = 1.0 if arguments.full else 0.3
    if arguments.rows is None:
        arguments.rows = Row.grid((1, 16, 64, 256) if arguments.full else (16, 64))
    return arguments


def contestants_choose(place: Workplace, names: list[str]) -> tuple[list[type[Server]], list[str]]:
    """Those of `names` that can take part, and the names of those that cannot."""
    chosen = [kind for kind in CONTESTANTS if kind.name in names]
    missing = [kind for kind in chosen if kind.find(place) is None]
    for kind in missing:
        if kind in OURS:
            raise BenchError(f"{kind.program} is not built in {place.programs}")
    return ([kind for kind in chosen if kind not in missing], [kind.name for kind in missing])


def measure(arguments: argparse.Namespace, place: Workplace, fds: int) -> Results:
    kinds, missing = contestants_choose(place, arguments.only)
    results = Results(f"{machine_describe()}; {place.cores.describe()}",
                      [f"{kind.name} {kind.version(place)}" for kind in kinds if kind not in OURS],
                      missing, arguments.seconds)
    if "grid" in arguments.parts:
        results.rows = grid_measure(place, kinds, arguments.rows, arguments.rounds,
                                    arguments.seconds)
    if "pairs" in arguments.parts and "redis" not in missing:
        results.pairs = grid_measure(place, list(PAIRS), PAIR_ROWS, arguments.rounds,
                                     arguments.seconds)
    if "tls" in arguments.parts:
        absent = [kind.program for kind in TLS if kind.find(place) is None]
        absent += [tool for tool in TLS_TOOLS if shutil.which(tool) is None]
        missing += [f"{what} for TLS" for what in absent]
        if not absent:
            results.tls = tls_measure(place, arguments.rounds)
    if "disk" in arguments.parts:
        kinds_of_disk = [kind for kind in DISK if kind.find(place) is not None]
        results.disk = grid_measure(place, kinds_of_disk, DISK_ROWS, arguments.rounds,
                                    arguments.seconds)
    if "recovery" in arguments.parts:
        results.recovery = [recovery_measure(place, arguments.memory_keys)]
    if "memory" in arguments.parts:
        results.memory = [memory_measure(place, loading, arguments.memory_keys)
                          for loading in LOADINGS if loading.kind in kinds]
    if "idle" in arguments.parts:
        conns = min(IDLE_CONNS, fds - FDS_SPARE)
        results.idle = [idle_measure(place, kind, conns) for kind in (Kvs, Nginx) if kind in kinds]
    return results


def main() -> int:
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that servers are stopped
    began = time.monotonic()
    cores = Cores.choose()
    cores.pin(cores.generator)
    fds = raise_fd_limit()
    try:
        with tempfile.TemporaryDirectory(prefix="kvs-bench-") as directory:
            place = Workplace(pathlib.Path(directory), arguments.programs.resolve(), cores)
            results = measure(arguments, place, fds)
    except (BenchError, OSError) as error:
        progress(f"bench: {error}")
        return 1
    print(report(results), end="")
    if arguments.json:
        arguments.json.write_text(results_json(results))
    progress(f"{time.monotonic() - began:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
