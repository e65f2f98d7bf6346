"""Several nodes to start, kill, freeze and cut off from each other: Cluster, its Members, and a Network to cut.

Without a Network every node has a loopback address of its own; with one, a network namespace. Whatever happens, each
process is ended by its id, and namespaces, bridge and firewall rule are taken away.
"""

import pathlib
import random
import re
import signal
import sys
import tempfile
import time
import unittest

import harness
from harness import ANSWER_S_MAX, ABSENT, LONG, SANITIZER_TEXT, SEED, Client, EndOfStream, Node, Raw, fresh_network

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "lab"))

import namespaces  # noqa: E402  found by the line above
from namespaces import why_not as why_no_network  # noqa: E402

READMIT_S = 3  # the default of READMIT_MS
LOG_LINES_SHOWN = 30


def until(probe, timeout_s, what):
    """Asks until the probe says yes. Returns the seconds that took."""
    start = time.monotonic()
    while True:
        try:
            if probe():
                return time.monotonic() - start
        except (OSError, EndOfStream):
            pass
        if time.monotonic() - start > timeout_s:
            raise AssertionError(f"not within {timeout_s} s: {what() if callable(what) else what}")
        time.sleep(0.02)


class Member(Node):
    """A node that may be started again; its stderr is kept over all its lives."""

    def __init__(self, name, *arguments, **named):
        super().__init__(*arguments, **named)
        self.name = name
        self.earlier_log = ""
        self.frozen = False

    def spawn(self):
        self._keep_log()
        super().spawn()

    def _keep_log(self):
        if self.log is not None and not self.log.closed:
            self.earlier_log += self.stderr() + "--- the process is gone ---\n"
            self.log.close()

    def all_stderr(self):
        return self.earlier_log + ("" if self.log is None or self.log.closed else self.stderr())

    def kill(self):
        """kill -9"""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.frozen = False
        self._keep_log()
        assert not SANITIZER_TEXT.search(self.earlier_log), self.earlier_log[-8000:]

    def stop(self):
        """SIGTERM; code 0 in time. Returns the seconds that took."""
        start = time.monotonic()
        log = self.stderr()
        super().stop()
        self.earlier_log += log + "--- stopped ---\n"
        return time.monotonic() - start

    def peak_kib(self):
        """The most memory that the process ever had."""
        with open(f"/proc/{self.pid}/status") as status:
            return int(re.search(r"VmHWM:\s+(\d+) kB", status.read())[1])

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)
        self.frozen = False

    def works(self):
        return self.running() and not self.frozen

    def ask(self, method, path, body=None, timeout_s=2):
        with self.client(timeout_s) as client:
            return client.request(method, path, body)

    def view(self):
        return self.ask("GET", "/view").json["view"]

    def ready(self):
        return self.ask("GET", "/health").json["ready"]

    def get(self, key, metadata=ABSENT, timeout_s=5):
        with self.client(timeout_s) as client:
            return client.get(key, metadata)

    def put(self, key, value, metadata=ABSENT, timeout_s=5):
        with self.client(timeout_s) as client:
            return client.put(key, value, metadata)

    def everything(self):
        """All pairs."""
        answer = self.ask("GET", "/kvs", timeout_s=30)
        assert answer.status == 200 and answer.json["next"] is None and answer.json["complete"], answer
        return answer.json["kvs"]

    def key_count(self):
        return self.ask("GET", "/shard/key-count/s0").json.get("shard-key-count")

    def hears(self, addresses):
        return self.view() == addresses


class Cluster:
    def __init__(self, count, environment=None, network=None, extra=0, data=None):
        """`extra` further nodes have an address, but stand in nobody's VIEW. `data`: a directory, in which each node
        gets a DATA_DIR of its own."""
        self.network = network
        host, port = fresh_network()
        host = network.prefix if network else host
        addresses = [f"{host}.{number}:{port}" for number in range(1, count + extra + 1)]
        self.environment = {"VIEW": ",".join(addresses[:count]), **(environment or {})}
        self.members = [Member(f"node {i + 1}", dict(self.environment), address=address)
                        for i, address in enumerate(addresses)]
        for member in self.members if data else ():
            member.environment["DATA_DIR"] = f"{data}/{member.name.replace(' ', '-')}"
        for member in self.members if network else ():
            member.command = network.command(member)
        self.extras = self.members[count:]
        del self.members[count:]

    def __getitem__(self, i):
        return self.members[i]

    def __iter__(self):
        return iter(self.members)

    def __len__(self):
        return len(self.members)

    def working(self):
        return [member for member in self.members if member.works()]

    def addresses(self, members=None):
        return [member.address for member in self.members if members is None or member in members]

    def start(self):
        for member in self.members:
            member.spawn()
        self.settle(harness.START_S_MAX)
        return self

    def is_settled(self):
        """All that run are ready and see one another, and nobody else."""
        expected = self.addresses(self.working())
        return all(member.ready() and member.hears(expected) for member in self.working())

    def settle(self, timeout_s=2 * (READMIT_S + 2)):
        return until(self.is_settled, timeout_s, lambda: f"all ready and in all views:\n{self.describe()}")

    def are_equal(self):
        first, *others = [member.everything() for member in self.working()]
        return all(other == first for other in others)

    def stop(self):
        for member in [*self.members, *self.extras]:
            if member.running():
                if member.frozen:
                    member.thaw()
                member.stop()

    def kill(self):
        for member in [*self.members, *self.extras]:
            if member.process is not None:
                member.process.kill()  # all of them before any is waited for
        for member in [*self.members, *self.extras]:
            member.kill()

    def describe(self):
        """The ends of all logs."""
        parts = []
        for member in [*self.members, *self.extras]:
            lines = member.all_stderr().splitlines()[-LOG_LINES_SHOWN:]
            parts.append(f"--- stderr of {member.name}, {member.address}\n" + "\n".join(lines) + "\n")
        return "".join(parts)


# --- a network that can be cut ---------------------------------------------------------------------------------------


class Network:
    """Namespaces of the lab, by members of a cluster."""

    def __init__(self, count):
        source = random.SystemRandom()
        self.prefix = f"10.{source.randrange(200, 250)}.{source.randrange(1, 255)}"
        self.spaces = namespaces.Namespaces(f"kvs{source.randrange(16**5):05x}", self.prefix, count)

    def open(self):
        self.spaces.open()
        return self

    def close(self):
        self.spaces.close()

    def command(self, member):
        return [*self.spaces.command(host_of(member)), harness.BINARY]

    def inside(self, host, command):
        return self.spaces.inside(host, command)

    def deafen(self, member, others):
        """Nothing of the others arrives at the member."""
        for other in others:
            self.spaces.deafen(host_of(member), host_of(other))

    def cut(self, side, other_side):
        for member in side:
            self.deafen(member, other_side)
        for member in other_side:
            self.deafen(member, side)

    def heal(self):
        self.spaces.heal()


def host_of(member):
    return harness.split_address(member.address)[0]


# --- load ------------------------------------------------------------------------------------------------------------


def load(address, requests, batch, timeout_s=ANSWER_S_MAX):
    """Pipelines prepared requests, a batch at a time. All must be answered with 200 or 201."""
    with Raw(address, timeout_s) as raw:
        for start in range(0, len(requests), batch):
            part = requests[start:start + batch]
            raw.send(b"".join(part))
            answers = bytearray()
            while answers.count(b"HTTP/1.1 ") < len(part):
                data = raw.socket.recv(1 << 18)
                if not data:
                    raise EndOfStream("connection closed under load")
                answers += data
            _finish_last(raw, answers)
            good = answers.count(b"HTTP/1.1 200 ") + answers.count(b"HTTP/1.1 201 ")
            assert good == len(part), f"{len(part) - good} of {len(part)} refused: {bytes(answers[-500:])!r}"


def _finish_last(raw, answers):
    """The last head has come; waits for its body, which is an object on its own."""
    while not answers.endswith(b"}"):
        answers += raw.socket.recv(1 << 18)


# --- test cases ------------------------------------------------------------------------------------------------------


class GroupCase(unittest.TestCase):
    """Tests that share one cluster of `count` nodes. Before each one all nodes run and see each other."""

    count = 3
    extra = 0
    environment = {}
    keeps_data = False
    needs_network = False
    cluster = None

    @classmethod
    def setUpClass(cls):
        cls.figures = {}
        network = None
        if cls.needs_network:
            why_not = why_no_network()
            if why_not:
                raise unittest.SkipTest(why_not)
            network = Network(cls.count + cls.extra).open()
            cls.addClassCleanup(network.close)
        cls.network = network
        data = tempfile.TemporaryDirectory(prefix="kvs-data-") if cls.keeps_data else None
        if data:
            cls.addClassCleanup(data.cleanup)
        cls.cluster = Cluster(cls.count, cls.environment, network, cls.extra, data and data.name)
        cls.addClassCleanup(cls.cluster.kill)
        cls.cluster.start()

    @classmethod
    def tearDownClass(cls):
        cls.cluster.stop()

    def setUp(self):
        self.random = random.Random(f"{SEED} {self.id()}")
        if self.network:
            self.network.heal()
        for member in self.cluster:
            if member.frozen:
                member.thaw()
            if not member.running():
                member.spawn()
        self.cluster.settle()

    def describe(self):
        return "" if self.cluster is None else self.cluster.describe()

    def key(self, hint="k"):
        """A key that no other test of the cluster uses."""
        GroupCase.keys_made = getattr(GroupCase, "keys_made", 0) + 1
        return f"{hint}-{GroupCase.keys_made}"

    def measured(self, name, seconds, s_max):
        """The time is noted, and is at most twice what the contract says."""
        self.figures[name] = f"{seconds:.2f} s (contract: {s_max} s)"
        self.assertLessEqual(seconds, 2 * s_max, f"{name}\n")

    def take(self, name, probe, s_max, what=None):
        """Waits until the probe says yes, twice as long as the contract allows."""
        self.measured(name, until(probe, 2 * s_max, what or name), s_max)

    def put(self, member, key, value, metadata=ABSENT, s_max=2):
        """A PUT that succeeds, after some 503s maybe."""
        limit = time.monotonic() + s_max
        while (answer := member.put(key, value, metadata)).status == 503 and time.monotonic() < limit:
            time.sleep(0.05)
        self.assertIn(answer.status, (200, 201), answer)
        return answer


__all__ = ["LONG", "READMIT_S", "SEED", "Client", "Cluster", "GroupCase", "Member", "Network", "load", "until",
           "why_no_network"]
