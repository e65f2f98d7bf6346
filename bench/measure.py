"""The measurements: CPU time a request, with TLS, memory a key, recovery, memory an idle connection.

The rules (interleaving, which rounds count) are those of the essay in run.py.
"""
from __future__ import annotations

import contextlib
import dataclasses
import socket
import statistics
import time
from typing import Callable, Iterable

from contestants import (HANDSHAKE, KEYS, TLS, Kvs, KvsEverysec, Memcached, Redis, Server,
                         Workplace)
from machine import BenchError, MachineTime, progress
from wire import (OPS, http_body, http_exchange, http_request, memcached_request, requests_write,
                  resp_request, value_text)

OTHERS_MAX = 0.15     # of one core, during a round
ROUNDS_MIN = 3        # that count, however disturbed
WARMUP_SHARE = 0.15   # of the measured seconds, before them
SETTLE_S = 1.0        # before resident memory is read


# ---- The grid: CPU time a request ----


@dataclasses.dataclass(frozen=True)
class Row:
    op: str
    conns: int
    pipeline: int

    @staticmethod
    def parse(text: str) -> Row:
        op, conns, pipeline = text.split("/")
        if op not in OPS:
            raise ValueError(op)
        return Row(op, int(conns), int(pipeline))

    @staticmethod
    def grid(conns: Iterable[int]) -> list[Row]:
        return [Row(op, c, p) for op in OPS for p in (1, 16) for c in conns]


@dataclasses.dataclass
class Round:
    others: float  # in cores
    passes: dict[str, list[dict]]  # by contestant: the generator's reports, with server_cpu_s

    def cpu_us(self, name: str) -> float:
        passes = self.passes[name]
        requests = sum(one["requests_total"] for one in passes)
        return sum(one["server_cpu_s"] for one in passes) * 1e6 / requests


@dataclasses.dataclass
class RowResult:
    row: Row
    kept: list[Round]
    dropped: list[Round]
    disturbed: bool  # the rule would have kept fewer

    @staticmethod
    def select(row: Row, rounds: list[Round]) -> RowResult:
        """The rule of the essay."""
        ranked = sorted(rounds, key=lambda round_: round_.others)
        calm = sum(round_.others <= OTHERS_MAX for round_ in ranked)
        wanted = min(ROUNDS_MIN, len(ranked))
        keep = max(calm, wanted)
        return RowResult(row, ranked[:keep], ranked[keep:], disturbed=calm < wanted)

    def cpu_us(self, name: str) -> float:
        return statistics.median(round_.cpu_us(name) for round_ in self.kept)

    def ratios(self, name: str, peer: str) -> list[float]:
        return [round_.cpu_us(name) / round_.cpu_us(peer) for round_ in self.kept]

    def figure(self, name: str, field: str) -> float:
        return statistics.median(one[field] for round_ in self.kept for one in round_.passes[name])

    def others(self) -> float:
        return statistics.median(round_.others for round_ in self.kept)


def pass_measure(server: Server, row: Row, seconds: float) -> dict:
    before_s = server.cpu_s()
    report = server.load(row.op, server.requests_path(row.op), conns=row.conns,
                         pipeline=row.pipeline, seconds=seconds, warmup=seconds * WARMUP_SHARE)
    report.setdefault("server_cpu_s", server.cpu_s() - before_s)
    return report


def machine_now(servers: list[Server]) -> MachineTime:
    return MachineTime.now(servers[0].place.cores, sum(server.cpu_s() for server in servers))


def round_measure(servers: list[Server], row: Row, seconds: float) -> Round:
    passes: dict[str, list[dict]] = {server.name: [] for server in servers}
    before = machine_now(servers)
    for server in servers + servers[::-1]:
        passes[server.name].append(pass_measure(server, row, seconds))
    return Round(machine_now(servers).since(before).others(), passes)


def row_measure(servers: list[Server], row: Row, rounds: int, seconds: float) -> RowResult:
    measured = []
    for i in range(rounds):
        first = i % len(servers)
        measured.append(round_measure(servers[first:] + servers[:first], row, seconds))
    result = RowResult.select(row, measured)
    costs = ", ".join(f"{server.name} {result.cpu_us(server.name):.2f}" for server in servers)
    progress(f"{row.op} {row.conns} connections, pipeline {row.pipeline}: {costs} us; "
             f"{len(result.dropped)} rounds dropped")
    return result


def grid_measure(place: Workplace, kinds: list[type[Server]], rows: list[Row], rounds: int,
                 seconds: float) -> list[RowResult]:
    with contextlib.ExitStack() as running:
        servers = []
        for kind in kinds:
            servers.append(running.enter_context(kind(place)))
            servers[-1].prepare()
        return [row_measure(servers, row, rounds, seconds) for row in rows]


# ---- TLS ----

TLS_ROWS = [Row("GET", 64, 1), Row(HANDSHAKE, 4, 1)]
TLS_PASS_S = 2.0


def tls_measure(place: Workplace, rounds: int) -> list[RowResult]:
    return grid_measure(place, list(TLS), TLS_ROWS, rounds, TLS_PASS_S)


# ---- Memory: a million keys ----


@dataclasses.dataclass
class MemoryResult:
    label: str
    keys: int
    before_bytes: int
    after_bytes: int
    load_s: float

    def bytes_a_key(self) -> float:
        return (self.after_bytes - self.before_bytes) / self.keys


@dataclasses.dataclass
class Loading:
    """One way to bring keys into one contestant."""
    label: str
    kind: type[Server]
    put: Callable[[int], bytes]  # the request that stores key i
    get: Callable[[int], bytes]  # the one that finds it
    chained: bool = False


KVS_PLAIN = "kvs"
KVS_CHAINED = "kvs, one chained session"
LOADINGS = (
    Loading(KVS_PLAIN, Kvs, lambda i: http_request("PUT", i, f'{{"value":"{value_text(i)}"}}'),
            lambda i: http_request("GET", i, "{}")),
    Loading(KVS_CHAINED, Kvs, lambda i: http_request("PUT", i, http_body("PUT", i, "{}")),
            lambda i: http_request("GET", i, "{}"), chained=True),
    Loading("redis", Redis, lambda i: resp_request("PUT", i), lambda i: resp_request("GET", i)),
    Loading("memcached", Memcached, lambda i: memcached_request("PUT", i),
            lambda i: memcached_request("GET", i)),
)


def memory_measure(place: Workplace, loading: Loading, keys: int) -> MemoryResult:
    requests = place.directory / "memory.requests"
    with loading.kind(place) as server:
        before_bytes = server.resident_bytes()
        requests_write(requests, (loading.put(i) for i in range(keys)))
        if loading.chained:
            # One request at a time: on the server's own core it wakes nobody on another.
            report = server.load("PUT", requests, core=place.cores.server, conns=1, pipeline=1,
                                 count=keys, chain=True)
        else:
            report = server.load("PUT", requests, conns=16, pipeline=16, count=keys)
        time.sleep(SETTLE_S)
        after_bytes = server.resident_bytes()
        # Whoever throws keys away would look thrifty: read some, from the first to the last.
        sample = sorted({*range(0, keys, max(1, keys // KEYS)), keys - 1})
        requests_write(requests, (loading.get(i) for i in sample))
        server.load("GET", requests, count=len(sample))
    requests.unlink()
    result = MemoryResult(loading.label, keys, before_bytes, after_bytes, report["seconds"])
    progress(f"{keys:,} keys, {result.label}: {result.bytes_a_key():.1f} bytes a key, "
             f"loaded in {result.load_s:.1f} s")
    return result


# ---- A restart and a compaction, with as many keys ----

RECOVERY_ROW = Row("PUT", 16, 16)  # so much is written that a compaction is due every few seconds
RECOVERY_PASS_S = 0.1              # a fast machine has one every second: short enough to fall between
RECOVERY_PASSES = 20               # with and without a compaction, at least
RECOVERY_S_MAX = 120.0


@dataclasses.dataclass
class RecoveryResult:
    keys: int
    restart_s: float       # from the start of the process to the first answer from its keys
    restart_cpu_s: float
    snapshot_bytes: int
    compaction_s: float
    calm_p999_us: list[float]  # of passes without a compaction
    busy_p999_us: list[float]  # of those that have one

    def latency_ratio(self) -> float:
        return statistics.median(self.busy_p999_us) / statistics.median(self.calm_p999_us)


def recovery_passes(server: KvsEverysec) -> tuple[list[float], list[float]]:
    """p99.9 of passes without a compaction, and of those that one began, went on or ended in."""
    calm, busy = [], []
    limit = time.monotonic() + RECOVERY_S_MAX
    after = server.metrics()
    while min(len(calm), len(busy)) < RECOVERY_PASSES:
        before = after
        report = server.load("PUT", server.requests_path("PUT"), conns=RECOVERY_ROW.conns,
                             pipeline=RECOVERY_ROW.pipeline, seconds=RECOVERY_PASS_S)
        after = server.metrics()
        was_busy = (before["kvs_snapshot_under_way"] or after["kvs_snapshot_under_way"] or
                    before["kvs_snapshots_total"] != after["kvs_snapshots_total"])
        (busy if was_busy else calm).append(report["p999_us"])
        if time.monotonic() > limit:
            raise BenchError(f"{len(busy)} compactions, {len(calm)} passes without one")
    return calm, busy


def recovery_measure(place: Workplace, keys: int) -> RecoveryResult:
    requests = place.directory / "recovery.requests"
    with KvsEverysec(place) as server:
        requests_write(requests, (http_request("PUT", i, f'{{"value":"{value_text(i)}"}}')
                                  for i in range(keys)))
        server.load("PUT", requests, conns=16, pipeline=16, count=keys)
        requests_write(server.requests_path("PUT"),
                       (http_request("PUT", i, f'{{"value":"{value_text(i + 1)}"}}')
                        for i in range(0, keys, max(1, keys // 100_000))))
        calm, busy = recovery_passes(server)
        metrics = server.metrics()
        restart_s, restart_cpu_s = server.restart(http_request("GET", keys - 1, "{}"))
    requests.unlink()
    result = RecoveryResult(keys, restart_s, restart_cpu_s, metrics["kvs_snapshot_bytes"],
                            metrics["kvs_snapshot_milliseconds"] / 1000, calm, busy)
    progress(f"{keys:,} keys: restart {restart_s:.2f} s, compaction {result.compaction_s:.2f} s, "
             f"p99.9 during it {result.latency_ratio():.2f} of that without")
    return result


# ---- Idle connections ----


@dataclasses.dataclass
class IdleResult:
    name: str
    conns: int
    before_bytes: int
    after_bytes: int

    def bytes_a_connection(self) -> float:
        return (self.after_bytes - self.before_bytes) / self.conns


def idle_measure(place: Workplace, kind: type[Server], conns: int) -> IdleResult:
    with kind(place) as server, contextlib.ExitStack() as open_connections:
        server.prepare()
        before_bytes = server.resident_bytes()
        request = server.request("GET", 0)
        for i in range(conns):
            try:
                connection = socket.create_connection(("127.0.0.1", server.ports["GET"]))
                open_connections.enter_context(connection)
                http_exchange(connection, request)
            except (OSError, BenchError) as error:
                raise BenchError(f"{kind.name}: connection {i}: {error}{server.last_words()}")
        time.sleep(SETTLE_S)
        result = IdleResult(kind.name, conns, before_bytes, server.resident_bytes())
    progress(f"{conns:,} idle connections, {result.name}: "
             f"{result.bytes_a_connection():.0f} bytes each")
    return result
