"""From measurements to Markdown, and the targets with their verdicts."""
from __future__ import annotations

import dataclasses
import json
import statistics

from contestants import (CONTESTANTS, DISK, HANDSHAKE, TLS_CIPHER, Kvs, KvsAlways, KvsEverysec,
                         KvsPair, KvsSix, KvsTls, NginxTls, Redis, RedisAlways, RedisPair)
from measure import (KVS_PLAIN, OTHERS_MAX, ROUNDS_MIN, TLS_PASS_S, IdleResult, MemoryResult,
                     RecoveryResult, Row, RowResult)
from wire import OPS, VALUE_BYTES, key_name


# ---- Targets ----


@dataclasses.dataclass
class Verdict:
    text: str
    held: bool | None  # None: the rows that it is about were not all measured
    figures: str


@dataclasses.dataclass
class CpuTarget:
    """For kvs's CPU time a request divided by a peer's: the medians of every row at CONNS."""
    peer: str
    pipeline: int
    limit: float
    below: bool = False       # the limit itself is a miss already
    aim: float | None = None  # better still

    CONNS = (16, 64)

    def judge(self, results: list[RowResult]) -> Verdict:
        text = (f"CPU to {self.peer} at pipeline {self.pipeline} "
                f"{'below' if self.below else 'at most'} {self.limit:g}")
        ratios = {f"{result.row.op} at {result.row.conns}":
                  statistics.median(result.ratios(Kvs.name, self.peer))
                  for result in results if self.concerns(result)}
        figures = ", ".join(f"{row} {ratio:.3f}" for row, ratio in ratios.items())
        if len(ratios) < len(OPS) * len(self.CONNS):
            return Verdict(text, None, figures)
        worst = max(ratios.values())
        held = worst < self.limit if self.below else worst <= self.limit
        if self.aim is not None:
            reached = "reached" if worst <= self.aim else "missed"
            figures += f"; the aim of {self.aim:g} is {reached}"
        return Verdict(text, held, figures)

    def concerns(self, result: RowResult) -> bool:
        compared = {Kvs.name, self.peer} <= result.kept[0].passes.keys()
        return compared and result.row.pipeline == self.pipeline and result.row.conns in self.CONNS


CPU_TARGETS = (
    CpuTarget("nginx", 1, 1.0, below=True),
    CpuTarget("nginx", 16, 0.2),
    CpuTarget("bare", 1, 1.25),
    CpuTarget("bare", 16, 2.2),
    CpuTarget("redis", 1, 1.15, aim=1.0),
    CpuTarget("redis", 16, 1.15, aim=1.0),
)
BYTES_A_KEY_MAX = 150
EVERYSEC_MIN = 0.85
ALWAYS_MIN = 0.9
COMPACTION_P999_MAX = 3
TLS_MIN, TLS_AIM = 0.6, 0.8
PAIR_LIMITS = {1: 1.0, 16: 0.9}  # by pipeline: rate to Redis's, and Redis's CPU time to ours


def pair_rate_ratio(result: RowResult) -> float:
    return result.figure(KvsPair.name, "rate") / result.figure(RedisPair.name, "rate")


def pair_cpu_ratio(result: RowResult) -> float:
    return statistics.median(result.ratios(RedisPair.name, KvsPair.name))


def pairs_judge(results: list[RowResult]) -> list[Verdict]:
    verdicts = []
    for result in results:
        limit = PAIR_LIMITS[result.row.pipeline]
        rate, cpu = pair_rate_ratio(result), pair_cpu_ratio(result)
        verdicts.append(Verdict(
            f"two copies before the answer, pipeline {result.row.pipeline}, "
            f"{result.row.conns} connections: rate, and Redis's CPU to ours, at least {limit:g}",
            min(rate, cpu) >= limit, f"{rate:.2f}, {cpu:.2f}"))
    return verdicts


def tls_rate_ratio(result: RowResult) -> float:
    return result.figure(KvsTls.name, "rate") / result.figure(NginxTls.name, "rate")


def tls_cpu_ratio(result: RowResult) -> float:
    return statistics.median(result.ratios(NginxTls.name, KvsTls.name))


def tls_judge(results: list[RowResult]) -> list[Verdict]:
    verdicts = []
    for result in results:
        if result.row.op == HANDSHAKE:
            continue  # reported
        rate, cpu = tls_rate_ratio(result), tls_cpu_ratio(result)
        worst = min(rate, cpu)
        verdicts.append(Verdict(
            f"TLS, {result.row.conns} connections: rate to nginx's, and nginx's CPU to ours, at least "
            f"{TLS_MIN:g}", worst >= TLS_MIN, f"{rate:.2f}, {cpu:.2f}; the aim of {TLS_AIM:g} is "
            f"{'reached' if worst >= TLS_AIM else 'missed'}"))
    return verdicts


def disk_ratio(result: RowResult, name: str, peer: str) -> float | None:
    """Of the rates; None: one of them did not take part."""
    if not {name, peer} <= result.kept[0].passes.keys():
        return None
    return result.figure(name, "rate") / result.figure(peer, "rate")


def disk_cpu(result: RowResult) -> float:
    """Of memory only to FSYNC=everysec: what the rate would be if nobody else were about."""
    return statistics.median(result.ratios(Kvs.name, KvsEverysec.name))


def disk_judge(results: list[RowResult]) -> list[Verdict]:
    verdicts = []
    for result in results:
        row = f"PUT, pipeline {result.row.pipeline}, {result.row.conns} connections"
        everysec = disk_ratio(result, KvsEverysec.name, Kvs.name)
        if everysec is not None:
            verdicts.append(Verdict(f"{row}: rate with FSYNC=everysec to memory only at least "
                                    f"{EVERYSEC_MIN:g}", everysec >= EVERYSEC_MIN,
                                    f"{everysec:.2f}, CPU {disk_cpu(result):.2f}"))
        always = disk_ratio(result, KvsAlways.name, RedisAlways.name)
        if always is not None and result.row == Row("PUT", 64, 1):
            reached = "reached" if always >= 1 else "missed"
            verdicts.append(Verdict(f"{row}: rate with FSYNC=always to Redis's with appendfsync "
                                    f"always at least {ALWAYS_MIN:g}", always >= ALWAYS_MIN,
                                    f"{always:.2f}; the aim of 1 is {reached}"))
    return verdicts


def recovery_judge(results: list[RecoveryResult]) -> list[Verdict]:
    return [Verdict(f"p99.9 during a compaction to that without at most {COMPACTION_P999_MAX:g}",
                    result.latency_ratio() <= COMPACTION_P999_MAX, f"{result.latency_ratio():.2f}")
            for result in results]


def memory_judge(results: list[MemoryResult]) -> Verdict:
    text = f"resident bytes a key, loaded without metadata, at most {BYTES_A_KEY_MAX}"
    for result in results:
        if result.label == KVS_PLAIN:
            figure = result.bytes_a_key()
            return Verdict(text, figure <= BYTES_A_KEY_MAX, f"{figure:.1f}")
    return Verdict(text, None, "")


# ---- Report ----


@dataclasses.dataclass
class Results:
    machine: str
    peers: list[str]  # with versions
    peers_missing: list[str]
    seconds: float    # measured in one pass
    rows: list[RowResult] = dataclasses.field(default_factory=list)
    pairs: list[RowResult] = dataclasses.field(default_factory=list)
    tls: list[RowResult] = dataclasses.field(default_factory=list)
    disk: list[RowResult] = dataclasses.field(default_factory=list)
    recovery: list[RecoveryResult] = dataclasses.field(default_factory=list)
    memory: list[MemoryResult] = dataclasses.field(default_factory=list)
    idle: list[IdleResult] = dataclasses.field(default_factory=list)

    def verdicts(self) -> list[Verdict]:
        return [*(target.judge(self.rows) for target in CPU_TARGETS), *pairs_judge(self.pairs),
                *tls_judge(self.tls), *disk_judge(self.disk), *recovery_judge(self.recovery),
                memory_judge(self.memory)]


def table(header: list[str], lines: list[list[str]]) -> str:
    """Markdown; the first column to the left, figures to the right."""
    rule = [":--"] + ["--:"] * (len(header) - 1)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (header, rule, *lines)) + "\n"


def ratio_text(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})"


def row_cells(row: Row) -> list[str]:
    return [row.op, str(row.conns), str(row.pipeline)]


def report_kvs(results: list[RowResult]) -> str:
    """The table of the README: kvs, and its cost as a multiple of each other's."""
    peers = [name for name in results[0].kept[0].passes if name not in (Kvs.name, KvsSix.name)]
    peers.sort(key=[kind.name for kind in CONTESTANTS].index)
    lines = []
    for result in results:
        percentiles = (result.figure(Kvs.name, field) for field in ("p50_us", "p99_us", "p999_us"))
        lines.append([
            *row_cells(result.row), f"{result.cpu_us(Kvs.name):.2f}",
            f"{result.figure(Kvs.name, 'rate'):,.0f}",
            " / ".join(f"{us:.0f}" for us in percentiles),
            *(ratio_text(result.ratios(Kvs.name, peer)) for peer in peers),
            f"{result.others() * 100:.0f} %"])
    header = ["operation", "connections", "pipeline", "CPU us/request", "requests/s",
              "p50 / p99 / p99.9 us", *(f"CPU to {peer}" for peer in peers), "others"]
    return table(header, lines)


def report_costs(results: list[RowResult]) -> str:
    names = [kind.name for kind in CONTESTANTS if kind.name in results[0].kept[0].passes]
    lines = [[*row_cells(result.row), *(f"{result.cpu_us(name):.2f}" for name in names)]
             for result in results]
    return ("Server CPU of everyone, us a request (GET and SET for redis and memcached):\n\n" +
            table(["operation", "connections", "pipeline", *names], lines))


def report_six(results: list[RowResult]) -> str:
    """What a server that hands nothing on from request to request has no counterpart for."""
    lines = [[*row_cells(result.row), f"{result.cpu_us(KvsSix.name):.2f}",
              *(ratio_text(result.ratios(KvsSix.name, peer)) for peer in (Kvs.name, Redis.name))]
             for result in results]
    header = ["operation", "connections", "pipeline", "CPU us/request", "CPU to kvs", "CPU to redis"]
    return ("With the metadata of a cluster of six, six entries in each request and answer:\n\n" +
            table(header, lines))


def report_pairs(results: list[RowResult]) -> str:
    lines = []
    for result in results:
        cells = [str(result.row.conns), str(result.row.pipeline)]
        for name in (KvsPair.name, RedisPair.name):
            cells += [f"{result.figure(name, 'rate'):,.0f}", f"{result.cpu_us(name):.2f}",
                      f"{result.figure(name, 'p50_us'):.0f} / {result.figure(name, 'p99_us'):.0f}"]
        lines.append([*cells, f"{pair_rate_ratio(result):.2f}", f"{pair_cpu_ratio(result):.2f}",
                      f"{result.others() * 100:.0f} %"])
    header = ["connections", "writes a batch", "kvs writes/s", "kvs CPU us", "kvs p50 / p99 us",
              "redis writes/s", "redis CPU us", "redis p50 / p99 us", "rate to redis",
              "redis CPU to ours", "others"]
    return ("Two copies before the answer: PUT in a group of two, SETs and one WAIT 1 with a primary "
            "and a replica; both processes on one core:\n\n" + table(header, lines))


def report_tls(results: list[RowResult]) -> str:
    lines = []
    for result in results:
        cells = [result.row.op, str(result.row.conns)]
        for name in (KvsTls.name, NginxTls.name):
            cells += [f"{result.figure(name, 'rate'):,.0f}", f"{result.cpu_us(name):.1f}"]
        lines.append([*cells, f"{tls_rate_ratio(result):.2f}", f"{tls_cpu_ratio(result):.2f}",
                      f"{result.others() * 100:.0f} %"])
    header = ["operation", "connections", "kvs /s", "kvs CPU us", "nginx /s", "nginx CPU us",
              "rate to nginx", "nginx CPU to ours", "others"]
    return (f"TLS 1.2, {TLS_CIPHER}, one certificate (P-256) for both: GETs over connections that stay, asked by "
            f"wrk, and full handshakes, by `openssl s_time` in so many processes:\n\n" + table(header, lines))


def report_disk(results: list[RowResult]) -> str:
    names = [kind.name for kind in DISK if kind.name in results[0].kept[0].passes]
    lines = []
    for result in results:
        cells = [str(result.row.conns), str(result.row.pipeline)]
        for name in names:
            cells += [f"{result.figure(name, 'rate'):,.0f}", f"{result.cpu_us(name):.2f}",
                      f"{result.figure(name, 'p99_us'):.0f}"]
        lines.append([*cells, f"{result.others() * 100:.0f} %"])
    header = ["connections", "pipeline", *(f"{name} {what}" for name in names
                                           for what in ("PUT/s", "CPU us", "p99 us")), "others"]
    return ("With a log on the disk of the temporary directory, or none (kvs):\n\n" +
            table(header, lines))


def report_recovery(results: list[RecoveryResult]) -> str:
    lines = [[f"{result.keys:,}", f"{result.restart_s:.2f}", f"{result.restart_cpu_s:.2f}",
              f"{result.snapshot_bytes / 2**20:.0f}", f"{result.compaction_s:.2f}",
              f"{statistics.median(result.calm_p999_us):.0f}",
              f"{statistics.median(result.busy_p999_us):.0f}",
              f"{result.latency_ratio():.2f}"] for result in results]
    header = ["keys", "restart s", "CPU s of it", "snapshot MiB", "compaction s",
              "p99.9 us without", "p99.9 us during", "ratio"]
    return ("A node with FSYNC=everysec that is written to without pause (16 connections, pipeline 16), and killed:"
            "\n\n" + table(header, lines))


def report_rounds(results: list[RowResult], seconds: float) -> str:
    dropped = sum(len(result.dropped) for result in results)
    total = dropped + sum(len(result.kept) for result in results)
    text = (f"{seconds:g} s a pass. Dropped {dropped} of {total} rounds because others took more "
            f"than {OTHERS_MAX:.0%} of a core; `others` is the median of the rounds that count.\n")
    disturbed = [" ".join(row_cells(result.row)) for result in results if result.disturbed]
    if disturbed:
        text += (f"DISTURBED, fewer than {ROUNDS_MIN} calm rounds, so the {ROUNDS_MIN} least "
                 f"disturbed count: {'; '.join(disturbed)}.\n")
    return text + "\n"


def report_memory(results: list[MemoryResult]) -> str:
    lines = [[result.label, f"{result.bytes_a_key():.1f}", f"{result.before_bytes / 2**20:.1f}",
              f"{result.after_bytes / 2**20:.1f}", f"{result.load_s:.1f}"] for result in results]
    header = ["loaded into", "resident bytes a key", "MiB before", "MiB after", "seconds to load"]
    return (f"{results[0].keys:,} keys of {len(key_name(0))} bytes with values of "
            f"{VALUE_BYTES} bytes:\n\n" + table(header, lines))


def report_idle(results: list[IdleResult]) -> str:
    figures = ", ".join(f"{result.name} {result.bytes_a_connection():,.0f}" for result in results)
    return (f"{results[0].conns:,} idle connections that made one request each, resident bytes a "
            f"connection: {figures}. (nginx sets its connection slots up when it starts: they are "
            f"not in its figure. The kernel's share is in nobody's.)\n\n")


def report_verdicts(verdicts: list[Verdict]) -> str:
    words = {True: "held", False: "missed", None: "not judged"}
    lines = [f"- {words[verdict.held]}: {verdict.text}" +
             (f": {verdict.figures}" if verdict.figures else "") for verdict in verdicts]
    return "Targets:\n\n" + "\n".join(lines) + "\n"


def report(results: Results) -> str:
    text = f"{results.machine}. Beside {', '.join(results.peers) or 'nobody'}.\n"
    if results.peers_missing:
        text += f"Not installed, passed over: {', '.join(results.peers_missing)}.\n"
    text += "\n"
    if results.rows:
        if Kvs.name in results.rows[0].kept[0].passes:
            text += report_kvs(results.rows)
        if {Kvs.name, KvsSix.name, Redis.name} <= results.rows[0].kept[0].passes.keys():
            text += report_six(results.rows)
        text += report_costs(results.rows) + report_rounds(results.rows, results.seconds)
    if results.pairs:
        text += report_pairs(results.pairs) + report_rounds(results.pairs, results.seconds)
    if results.tls:
        text += report_tls(results.tls) + report_rounds(results.tls, TLS_PASS_S)
    if results.disk:
        text += report_disk(results.disk) + report_rounds(results.disk, results.seconds)
    if results.recovery:
        text += report_recovery(results.recovery)
    if results.memory:
        text += report_memory(results.memory)
    if results.idle:
        text += report_idle(results.idle)
    return text + report_verdicts(results.verdicts())


def results_json(results: Results) -> str:
    document = dataclasses.asdict(results)
    document["verdicts"] = [dataclasses.asdict(verdict) for verdict in results.verdicts()]
    return json.dumps(document, indent=1) + "\n"
