"""The machine: its cores, clocks, memory and ports, and how to tell the user of them."""
from __future__ import annotations

import dataclasses
import os
import pathlib
import platform
import re
import resource
import socket
import sys
import time


class BenchError(Exception):
    """Something could not be measured. The message is for the person who ran the benchmark."""


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclasses.dataclass
class Cores:
    server: int
    generator: int
    pinned: bool

    @staticmethod
    def choose() -> Cores:
        allowed = sorted(os.sched_getaffinity(0))
        return Cores(allowed[0], allowed[-1], pinned=len(allowed) > 1)

    def pin(self, core: int) -> None:
        """Pins the calling process."""
        if self.pinned:
            os.sched_setaffinity(0, {core})

    def describe(self) -> str:
        if not self.pinned:
            return "one core only: nothing is pinned, server and generator take turns"
        return f"servers on core {self.server}, generator on core {self.generator}"


def process_cpu_s(pid: int) -> float:
    tasks = pathlib.Path(f"/proc/{pid}/task")
    try:
        stats = [(task / "schedstat").read_text() for task in tasks.iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        raise BenchError(f"process {pid} is gone, or /proc/PID/schedstat is missing") from None
    return sum(int(stat.split()[0]) for stat in stats) / 1e9


def process_resident_bytes(pid: int) -> int:
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Rss: *(\d+) kB", rollup, re.MULTILINE).group(1)) * 1024


def own_cpu_s() -> float:
    """Of this script and of every generator that has ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@dataclasses.dataclass
class MachineTime:
    """The clocks of our cores at one instant or, as a difference, over a stretch of time."""
    elapsed_s: float
    busy_s: float
    steal_s: float
    ours_s: float  # of busy_s: servers, generators, this script

    @staticmethod
    def now(cores: Cores, servers_cpu_s: float) -> MachineTime:
        ticks_busy = ticks_stolen = 0
        for line in pathlib.Path("/proc/stat").read_text().splitlines():
            name, *counts = line.split()
            if name in (f"cpu{cores.server}", f"cpu{cores.generator}"):
                user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, counts[:8])
                ticks_busy += user + nice + system + irq + softirq
                ticks_stolen += steal
        ticks_per_s = os.sysconf("SC_CLK_TCK")
        return MachineTime(time.monotonic(), ticks_busy / ticks_per_s, ticks_stolen / ticks_per_s,
                           own_cpu_s() + servers_cpu_s)

    def since(self, then: MachineTime) -> MachineTime:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(then))
        return MachineTime(*(later - earlier for later, earlier in pairs))

    def others(self) -> float:
        """What disturbed us, in cores. Busy time comes in ticks: a little below 0 means 0."""
        return max(0.0, self.busy_s - self.ours_s + self.steal_s) / self.elapsed_s


def machine_describe() -> str:
    said = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    model = said.group(1) if said else platform.machine()
    kernel = re.match(r"[\d.]*\d", platform.release()).group(0)
    return f"{model}, {os.cpu_count()} cores, Linux {kernel}"


def raise_fd_limit() -> int:
    """Lets us and the servers open as many files as we may; returns how many."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
