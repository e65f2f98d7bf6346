#!/usr/bin/env python3
"""What a reshard costs those who go on meanwhile, how long it takes, and what it needs.

UNDER LOAD. Six nodes hold KEYS keys in two shards; load.c asks them RATE times a second, a quarter
of it PUTs, in sessions that hop between nodes and carry their metadata (--rate --chain): latencies
count from when a request was due. Then the shards become 3, 2, 1 and 3. A stage of the table is a
number of shards, or the time from a PUT /shard/reshard to its answer. Of several runs the medians
are shown. Limits: under 0.5 % of a move answered with 503; p99 in it at most three times that of
the quiet stage before it, or 50 ms.

A MILLION KEYS with values of 100 bytes go from two shards to three: as fast, by the key, as a node
that has lost everything gets its shard back, give or take a factor of two; and no node's peak of
resident memory is above 1.6 times the larger of what it has before and after. Peaks are counted
from right before the move (/proc/PID/clear_refs).

WHERE. Nothing is pinned: a move takes whatever the machine has, and the seven processes share it.
Others that want its cores show in all figures, and the load average tells of them.

HOW IT ENDS. 0 when everything could be measured, limits missed or not; 1 when a node dies, refuses
the reshard or gives an answer that nobody expects.
"""
from __future__ import annotations

import argparse
import dataclasses
import http.client
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from contestants import Server, Workplace
from machine import BenchError, Cores, machine_describe, process_resident_bytes, progress
from report import table
from wire import http_body, http_request, requests_write

NODES = 6
KEYS = 10_000
RATE = 2000
SESSIONS = 20 * NODES
COUNTS = (3, 2, 1, 3)       # after 2
QUIET_S = 4.0               # of a stage without a move
WARM_S = 2.0
SCRIPT_REQUESTS = 100_000   # different ones of the load
PUT_EVERY = 4
VALUE_BYTES = 100
CHANGE_S_MAX = 120.0
P99_FACTOR, P99_MS = 3.0, 50.0
REFUSED_SHARE_MAX = 0.005
STREAM_FACTOR = 2.0
MEMORY_FACTOR = 1.6
ROOT = pathlib.Path(__file__).resolve().parent.parent


class Cluster(Server):
    """Six nodes; each has a log of its own to be ready in."""
    name = program = "kvs"

    def launch(self) -> None:
        self.addresses = [f"127.0.0.1:{self.place.take_port()}" for _ in range(NODES)]
        self.ports = {"PUT": int(self.addresses[0].split(":")[1])}
        for address in self.addresses:
            self.spawn_node(address)
        self.await_true("all ready", lambda: all(map(self.is_ready, self.addresses)))

    def spawn_node(self, address: str) -> None:
        self.spawn(SOCKET_ADDRESS=address, VIEW=",".join(self.addresses), SHARD_COUNT="2",
                   LOG_LEVEL="warn")

    def ask(self, address: str, verb: str, path: str, body: dict | None = None) -> dict:
        connection = http.client.HTTPConnection(address, timeout=CHANGE_S_MAX)
        connection.request(verb, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status != 200:
            raise BenchError(f"{verb} {path}: {answer.status} {text.decode()}{self.last_words()}")
        return json.loads(text)

    def is_ready(self, address: str) -> bool:
        try:
            return self.ask(address, "GET", "/health")["ready"]
        except OSError:
            return False

    def reshard(self, count: int) -> float:
        """Seconds to the answer."""
        start = time.monotonic()
        self.ask(self.addresses[count % NODES], "PUT", "/shard/reshard", {"shard-count": count})
        return time.monotonic() - start

    def fill(self, keys: int) -> float:
        """Values of VALUE_BYTES; seconds that took."""
        requests = self.place.directory / "fill.requests"
        requests_write(requests, (http_request("PUT", i, json.dumps({"value": value_text(i)}))
                                  for i in range(keys)))
        report = self.load("PUT", requests, conns=16, pipeline=16, count=keys)
        requests.unlink()
        return report["seconds"]

    def key_counts(self) -> dict[str, int]:
        first = self.addresses[0]
        return {shard: self.ask(first, "GET", f"/shard/key-count/{shard}")["shard-key-count"]
                for shard in self.ask(first, "GET", "/shard/ids")["shard-ids"]}


def value_text(i: int) -> str:
    return f"{i:0{VALUE_BYTES}x}"


# ---- Under load ----


class Pace:
    """load.c while it goes on: stage(name) begins a stage, finish() ends the run."""

    def __init__(self, cluster: Cluster, requests: pathlib.Path):
        command = [cluster.place.programs / "load", "--framing", "http", "--requests", requests,
                   "--rate", str(RATE), "--conns", str(SESSIONS), "--chain"]
        for address in cluster.addresses:
            command += ["--target", address]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)

    def stage(self, name: str, seconds: float = 0) -> None:
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        time.sleep(seconds)

    def finish(self) -> list[dict]:
        said, complaint = self.process.communicate()
        if self.process.returncode != 0:
            raise BenchError(complaint.strip())
        return json.loads(said)["stages"]

    def __enter__(self) -> Pace:
        return self

    def __exit__(self, *_exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def script_write(path: pathlib.Path, keys: int) -> None:
    """Keys in an order that meets all of them, spread over all slots."""
    def request(i: int) -> bytes:
        op = "PUT" if i % PUT_EVERY == 0 else "GET"
        key = i * 7919 % keys
        return http_request(op, key, http_body(op, key, "{}"))
    requests_write(path, (request(i) for i in range(SCRIPT_REQUESTS)))


def run_under_load(place: Workplace, keys: int) -> list[dict]:
    requests = place.directory / "pace.requests"
    script_write(requests, keys)
    with Cluster(place) as cluster:
        cluster.fill(keys)
        with Pace(cluster, requests) as pace:
            pace.stage("warm", WARM_S)
            before = 2
            for count in COUNTS:
                pace.stage(f"{before} shards", QUIET_S)
                pace.stage(f"{before} to {count}")
                cluster.reshard(count)
                before = count
            pace.stage(f"{before} shards again", QUIET_S)
            stages = pace.finish()
    return stages[1:]


@dataclasses.dataclass
class Stage:
    """The same stage of all runs."""
    runs: list[dict]

    def figure(self, field: str) -> float:
        return statistics.median(run[field] for run in self.runs)

    def count(self, *statuses: str) -> int:
        return sum(run["by_status"].get(status, 0) for run in self.runs for status in statuses)

    def total(self) -> int:
        return sum(run["requests"] for run in self.runs)

    def others(self) -> int:
        return self.total() - self.count("200", "201", "404", "503")

    def row(self) -> list[str]:
        return [self.runs[0]["name"], f"{self.figure('seconds'):.2f}", f"{self.total():,}",
                *(f"{self.figure(field) / 1000:.2f}" for field in ("p50_us", "p99_us", "max_us")),
                *(f"{self.count(status):,}" for status in ("200", "201", "404", "503")),
                f"{self.others():,}"]


def load_report(runs: list[list[dict]]) -> str:
    stages = [Stage(list(same)) for same in zip(*runs)]
    text = table(["stage", "s", "requests", "p50 ms", "p99 ms", "max ms", "200", "201", "404", "503",
                  "other"], [stage.row() for stage in stages])
    for quiet, move in zip(stages[::2], stages[1::2]):
        limit_ms = max(P99_FACTOR * quiet.figure("p99_us") / 1000, P99_MS)
        p99_ms, refused = move.figure("p99_us") / 1000, move.count("503") / max(1, move.total())
        name = move.runs[0]["name"]
        text += verdict(p99_ms <= limit_ms, f"{name}: p99 {p99_ms:.2f} ms, at most {limit_ms:.2f}")
        text += verdict(refused < REFUSED_SHARE_MAX, f"{name}: {100 * refused:.3f} % answered with "
                        f"503, below {100 * REFUSED_SHARE_MAX:g}")
    return text


def verdict(held: bool, text: str) -> str:
    return f"- {'held' if held else 'MISSED'}: {text}\n"


# ---- A million keys ----


def peaks_reset(cluster: Cluster) -> None:
    for process in cluster.processes:
        pathlib.Path(f"/proc/{process.pid}/clear_refs").write_text("5")


def peak_bytes(pid: int) -> int:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024


def restart_empty(cluster: Cluster, index: int, keys: int) -> float:
    """Seconds until a node that is killed and started again has its keys."""
    process, address = cluster.processes[index], cluster.addresses[index]
    process.kill()
    process.wait()
    del cluster.processes[index]
    start = time.monotonic()
    cluster.spawn_node(address)
    cluster.processes.insert(index, cluster.processes.pop())
    while not cluster.is_ready(address) or cluster.ask(address, "GET", "/health")["keys"] < keys:
        if time.monotonic() - start > CHANGE_S_MAX:
            raise BenchError(f"{address} does not catch up")
        time.sleep(0.01)
    return time.monotonic() - start


def run_million(place: Workplace, keys: int) -> str:
    mib = 1 << 20
    with Cluster(place) as cluster:
        fill_s = cluster.fill(keys)
        progress(f"{keys:,} keys written in {fill_s:.1f} s")
        time.sleep(2)
        shard = cluster.ask(cluster.addresses[1], "GET", "/shard/node-shard-id")["node-shard-id"]
        shard_keys = cluster.key_counts()[shard]
        catch_up_s = restart_empty(cluster, 1, shard_keys)
        time.sleep(2)
        peaks_reset(cluster)
        before = [process_resident_bytes(process.pid) for process in cluster.processes]
        move_s = cluster.reshard(3)
        peaks = [peak_bytes(process.pid) for process in cluster.processes]
        moved = cluster.ask(cluster.addresses[0], "GET", "/shard/reshard")["keys-moved"]
        time.sleep(2)
        after = [process_resident_bytes(process.pid) for process in cluster.processes]
        counts = cluster.key_counts()
    if sum(counts.values()) != keys:
        raise BenchError(f"{keys} keys were written, and now there are {counts}")
    ratios = [peak / max(b, a) for peak, b, a in zip(peaks, before, after)]
    text = table(["node", "MiB before", "MiB after", "MiB peak", "peak to the larger"],
                 [[str(i + 1), f"{b / mib:.1f}", f"{a / mib:.1f}", f"{p / mib:.1f}", f"{r:.2f}"]
                  for i, (b, a, p, r) in enumerate(zip(before, after, peaks, ratios))])
    move_us, catch_up_us = 1e6 * move_s / moved, 1e6 * catch_up_s / shard_keys
    text += f"{keys:,} keys, 2 to 3 shards: {move_s:.2f} s for {moved:,} copies, {move_us:.2f} us "
    text += f"each. An empty replica had {shard_keys:,} in {catch_up_s:.2f} s, {catch_up_us:.2f} us "
    text += f"each. Key-counts: {counts}.\n\n"
    text += verdict(move_us <= STREAM_FACTOR * catch_up_us,
                    f"a copy moves in {move_us / catch_up_us:.2f} times what streaming it takes, at "
                    f"most {STREAM_FACTOR:g}")
    text += verdict(max(ratios) <= MEMORY_FACTOR, f"peak of memory {max(ratios):.2f} times the "
                    f"larger end state, at most {MEMORY_FACTOR:g}")
    return text


# ---- Command line ----


def main() -> int:
    parser = argparse.ArgumentParser(description="What a reshard costs.")
    parser.add_argument("--runs", type=int, default=3, help="under load; medians are shown (3)")
    parser.add_argument("--keys", type=int, default=KEYS, help=f"under load ({KEYS})")
    parser.add_argument("--many-keys", type=int, default=1_000_000, help="of the large move")
    parser.add_argument("--parts", default="load,million", help="of load,million")
    parser.add_argument("--programs", type=pathlib.Path, default=ROOT / "build" / "bench")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nodes are stopped
    cores = dataclasses.replace(Cores.choose(), pinned=False)
    print(f"{machine_describe()}; nothing is pinned; load average {os.getloadavg()[0]:.1f} before.\n")
    try:
        with tempfile.TemporaryDirectory(prefix="kvs-bench-") as directory:
            place = Workplace(pathlib.Path(directory), arguments.programs.resolve(), cores)
            if "load" in arguments.parts.split(","):
                runs = []
                for number in range(arguments.runs):
                    runs.append(run_under_load(place, arguments.keys))
                    progress(f"run {number + 1} of {arguments.runs} under load is over")
                print(f"{arguments.keys:,} keys, {RATE:,} requests a second, {arguments.runs} runs:\n")
                print(load_report(runs))
            if "million" in arguments.parts.split(","):
                print(run_million(place, arguments.many_keys))
    except (BenchError, OSError) as error:
        progress(f"bench: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
