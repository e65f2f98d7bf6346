"""An honest client beside an attack: AttackCase, and the process in which the attackers live.

What must hold under each attack: the honest client, 16 connections of the load generator of bench/ that read and write,
has no error and keeps at least half of its undisturbed rate; the node stays below a bound of memory that follows from
its limits; afterwards it answers, and what it answers is right.

The node has one core, its clients the other. Rounds with and without the attack take turns, each attacked one is compared
with the mean of its two neighbours, and the median counts: a machine that is busy with something else is so in all of
them. If the median is too low, more rounds are measured before that is believed. The short form has rounds of a quarter
of a second, in which a rate is no test: it demands that nobody starves (a tenth); KVS_LONG=1 demands what is promised.

The attackers share their core with the honest client, which is no part of the question: attackers have machines of their
own. So they are written to cost little (what they send is prepared, or lies in a file that the kernel sends by itself;
what they receive is thrown away unread), take a quarter of the core at most, and that from what the honest client leaves.
How much of the core they took, and how much they got done, is printed.
"""

import json
import mmap
import os
import pathlib
import resource
import selectors
import signal
import socket
import statistics
import struct
import subprocess
import tempfile
import time

import harness
from harness import LONG, NodeCase, Raw, build_request, encode_body, key_path, pipeline

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOAD = ROOT / "build" / "bench" / "load"
MEASURES = "asan" not in harness.BINARY  # otherwise rates and memory are those of the sanitizers

MIB = 1 << 20
RATE_SHARE = 0.5  # that is promised
RATE_SHARE_MIN = RATE_SHARE if LONG else 0.1  # rounds this short decide about no more than starving
ROUNDS, ROUNDS_MORE = (12, 24) if LONG else (3, 12)  # with the attack; as many more before a verdict against the node
ROUND_S = 1.0 if LONG else 0.25
WARMUP_S = 0.05
CONNS = 16
HONEST_KEYS = 2000
NICE = 10
CPU_SHARE_MAX = 0.25  # of their core, for the attackers

# The bound of memory: what a node may keep for clients in buffers, what it keeps of parked and forwarded operations
# included, and what it needs to run. The store comes on top.
BUFFERED_BYTES_MAX = 256 * MIB
OWN_BYTES_MAX = 32 * MIB

CORES = sorted(os.sched_getaffinity(0))
NODE_CORE, CLIENT_CORE = CORES[0], CORES[-1]


# --- attackers -------------------------------------------------------------------------------------------------------


class Attackers:
    """A process that runs an attack: a generator that yields once when all is set up, then how much it got done."""

    def __init__(self, attack):
        self.board = mmap.mmap(-1, mmap.PAGESIZE)  # shared: is it set up, what is done so far, what went wrong
        self.pid = os.fork()
        if self.pid == 0:
            self._run(attack)

    def _run(self, attack):
        code = 1
        try:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.sched_setaffinity(0, {CLIENT_CORE})
            os.nice(NICE)
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            done, steps = 0, attack()
            next(steps)
            struct.pack_into("QQ", self.board, 0, 1, 0)
            start_s, start_cpu_s = time.monotonic(), time.process_time()
            for count in steps:
                done += count
                struct.pack_into("Q", self.board, 8, done)
                owed_s = (time.process_time() - start_cpu_s) / CPU_SHARE_MAX - (time.monotonic() - start_s)
                if owed_s > 0.002:
                    time.sleep(owed_s)
            code = 0
        except BaseException as failure:
            text = repr(failure).encode()[:1000]
            self.board[16:18 + len(text)] = len(text).to_bytes(2, "little") + text
        finally:
            os._exit(code)

    def is_set_up(self):
        return struct.unpack_from("Q", self.board, 0)[0] != 0

    def failure(self):
        size = int.from_bytes(self.board[16:18], "little")
        return self.board[18:18 + size].decode()

    def await_set_up(self, timeout_s=20):
        limit = time.monotonic() + timeout_s
        while not self.is_set_up() and not self.failure():
            assert time.monotonic() < limit, "the attackers are not ready"
            time.sleep(0.005)
        assert not self.failure(), f"the attackers failed: {self.failure()}"

    def done(self):
        return struct.unpack_from("Q", self.board, 8)[0]

    def cpu_s(self):
        with open(f"/proc/{self.pid}/schedstat") as stat:
            return int(stat.read().split()[0]) / 1e9

    def end(self):
        failure = self.failure()
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        assert not failure, f"the attackers failed: {failure}"


def connect(address, receive_bytes=None):
    """A connected socket that does not block from now on."""
    s = socket.socket()
    if receive_bytes is not None:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    s.connect(harness.split_address(address))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.setblocking(False)
    return s


def drop(s):
    """Closes with a reset: nothing of it stays with this machine."""
    try:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    s.close()


def discard(s, size=MIB):
    """Throws away what has arrived, without a copy. None: nothing is there; 0: the other side has ended."""
    try:
        return len(s.recv(1, socket.MSG_TRUNC)) if size == 1 else s.recv_into(_nowhere, size, socket.MSG_TRUNC)
    except BlockingIOError:
        return None
    except OSError:
        return 0


_nowhere = bytearray(MIB)  # with MSG_TRUNC, TCP counts and drops, and writes nothing here


def in_file(data):
    """A file in memory, from which the kernel sends without a copy."""
    file = os.memfd_create("attack")
    os.write(file, data) if len(data) < MIB else write_all(file, data)
    return file


def write_all(file, data):
    view = memoryview(data)
    while view:
        view = view[os.write(file, view):]


class Stream:
    """A connection that sends the same bytes over and over, and throws away what comes back. The node may close it, or
    answer: it is opened again."""

    def __init__(self, address, file, size, reads=True, receive_bytes=None):
        self.address, self.file, self.size = address, file, size
        self.reads, self.receive_bytes = reads, receive_bytes
        self.socket = None
        self.at = 0

    def open(self, selector):
        self.socket = connect(self.address, self.receive_bytes)
        self.at = 0
        events = selectors.EVENT_WRITE | (selectors.EVENT_READ if self.reads else 0)
        selector.register(self.socket, events, self)

    def reopen(self, selector):
        selector.unregister(self.socket)
        drop(self.socket)
        self.open(selector)

    def step(self, selector, events):
        """Returns the bytes that went."""
        if events & selectors.EVENT_READ and discard(self.socket) == 0:
            self.reopen(selector)
            return 0
        if not events & selectors.EVENT_WRITE:
            return 0
        try:
            sent = os.sendfile(self.socket.fileno(), self.file, self.at, min(self.size - self.at, MIB))
        except BlockingIOError:
            return 0
        except OSError:
            self.reopen(selector)
            return 0
        self.at = (self.at + sent) % self.size
        return sent


def streams(address, data, count, **options):
    """The attack of `count` connections that send `data` again and again. Done: bytes."""
    file, selector = in_file(data), selectors.DefaultSelector()
    for _ in range(count):
        Stream(address, file, len(data), **options).open(selector)
    yield
    while True:
        sent = 0
        for key, events in selector.select(0.1):
            sent += key.data.step(selector, events)
        yield sent


def asking(address, request, count):
    """The attack of `count` connections, each of which sends one request, waits for something to come back, and sends
    it again. Done: requests."""
    selector, lacks = selectors.DefaultSelector(), []

    def send(s):
        try:
            return s.send(request) == len(request)
        except OSError:
            return False

    def begin():
        s = connect(address)
        selector.register(s, selectors.EVENT_READ)
        if not send(s):
            lacks.append(s)

    for _ in range(count):
        begin()
    yield
    while True:
        done = 0
        for key, _ in selector.select(0.1):
            more = discard(key.fileobj)
            if not more or not send(key.fileobj):
                selector.unregister(key.fileobj)
                drop(key.fileobj)
                begin()
            done += 1
        yield done


# --- the honest client -----------------------------------------------------------------------------------------------


def honest_value(number):
    return f"honest value {number}"


def write_requests(path):
    """In the form that the load generator reads: half of them PUTs, half GETs, of the same keys and values always."""
    with open(path, "wb") as file:
        for number in range(HONEST_KEYS):
            path_of_key = key_path(f"honest-{number * 7 % HONEST_KEYS}")
            body = encode_body(value=honest_value(number * 7 % HONEST_KEYS)) if number % 2 else None
            request = build_request("PUT" if number % 2 else "GET", path_of_key, body)
            file.write(b"%d\n%b" % (len(request), request))


def put_requests():
    return [build_request("PUT", key_path(f"honest-{number}"), encode_body(value=honest_value(number)))
            for number in range(HONEST_KEYS)]


class Round:
    def __init__(self, report, attacker_share=0.0, done_rate=0.0):
        self.report, self.attacker_share, self.done_rate = report, attacker_share, done_rate
        self.rate = report["rate"]


# --- test cases ------------------------------------------------------------------------------------------------------


class AttackCase(NodeCase):
    """Attacks on one node, each a test that calls beside()."""

    alone = True
    store_bytes_max = 0  # what the attack may put into the store

    @classmethod
    def setUpClass(cls, wait_ready=True):
        cls.figures = getattr(cls, "figures", {}) if "figures" in cls.__dict__ else {}
        super().setUpClass(wait_ready)
        for task in os.listdir(f"/proc/{cls.node.pid}/task"):
            os.sched_setaffinity(int(task), {NODE_CORE})
        directory = tempfile.TemporaryDirectory(prefix="kvs-attack-")
        cls.addClassCleanup(directory.cleanup)
        cls.requests_path = f"{directory.name}/honest"
        write_requests(cls.requests_path)
        pipeline(cls.node.reach, put_requests())

    def honest_round(self, seconds=ROUND_S):
        done = subprocess.run(
            [LOAD, "--target", self.node.reach, "--framing", "http", "--requests", self.requests_path, "--conns", str(CONNS),
             "--warmup", str(WARMUP_S), "--seconds", str(seconds)],
            capture_output=True, text=True, timeout=60, check=False,
            preexec_fn=lambda: os.sched_setaffinity(0, {CLIENT_CORE}))
        self.assertEqual(done.returncode, 0, f"the honest client: {done.stderr}\n{self.node.stderr()[-4000:]}")
        report = json.loads(done.stdout)
        self.assertEqual(report["errors"], 0, f"the honest client was refused: {report}")
        return report

    def attacked_round(self, attack):
        attackers = Attackers(attack)
        try:
            attackers.await_set_up()
            cpu_s, done, start = attackers.cpu_s(), attackers.done(), time.monotonic()
            report = self.honest_round()
            seconds = time.monotonic() - start
            return Round(report, (attackers.cpu_s() - cpu_s) / seconds, (attackers.done() - done) / seconds)
        finally:
            attackers.end()

    def calm_round(self):
        self.await_idle()
        return Round(self.honest_round())

    def await_idle(self, timeout_s=15):
        """What the attackers have left behind is cleared away: parked requests, too, which take little time each."""
        limit = time.monotonic() + timeout_s
        while time.monotonic() < limit:
            before = self.node.cpu_s()
            time.sleep(0.05)
            if self.node.cpu_s() - before < 0.01 and self.metric("kvs_parked") == 0:
                return

    def beside(self, attack, units, name=None):
        """Measures the honest client with and without the attack, and judges."""
        calm, attacked = [self.calm_round()], []

        def measure(rounds):
            for _ in range(rounds):
                attacked.append(self.attacked_round(attack))
                calm.append(self.calm_round())
            return [attacked[i].rate * 2 / (calm[i].rate + calm[i + 1].rate) for i in range(len(attacked))]

        shares = measure(ROUNDS if MEASURES else 1)
        if MEASURES and statistics.median(shares) < RATE_SHARE_MIN:
            shares = measure(ROUNDS_MORE)
        bound = BUFFERED_BYTES_MAX + OWN_BYTES_MAX + self.store_bytes()
        text = self.describe_rounds(shares, calm, attacked, units, bound)
        self.figures[name or self._testMethodName] = text
        self.check_after()
        if MEASURES:
            self.assertGreaterEqual(statistics.median(shares), RATE_SHARE_MIN, text)
            self.assertLess(self.peak_bytes(), bound, text)

    def describe_rounds(self, shares, calm, attacked, units, bound):
        median = statistics.median
        return (f"{median(shares):.2f} ({min(shares):.2f} to {max(shares):.2f}) of {median(r.rate for r in calm):,.0f}/s; "
                f"p99 {median(r.report['p99_us'] for r in attacked) / 1e3:.2f} ms, "
                f"calm {median(r.report['p99_us'] for r in calm) / 1e3:.2f}; "
                f"attackers {median(r.attacker_share for r in attacked):.0%} of their core, "
                f"{median(r.done_rate for r in attacked):,.0f} {units}/s; "
                f"peak {self.peak_bytes() / MIB:.0f} MiB of {bound / MIB:.0f}")

    def peak_bytes(self):
        with open(f"/proc/{self.node.pid}/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM")

    def store_bytes(self):
        return self.metric("kvs_store_bytes")

    def metric(self, name):
        with self.node.client() as client:
            text = client.request("GET", "/metrics").body.decode()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))

    def check_after(self):
        """The node answers, and with what the honest client has written."""
        with self.node.client() as client:
            self.assertEqual(client.request("GET", "/health").status, 200)
            for number in self.random.sample(range(HONEST_KEYS), 20):
                self.assertEqual(client.get(f"honest-{number}").json["value"], honest_value(number))
            answer = client.put("after", self._testMethodName)
            self.assertIn(answer.status, (200, 201))
            self.assertEqual(client.get("after", answer.metadata).json["value"], self._testMethodName)


__all__ = ["LONG", "MEASURES", "MIB", "AttackCase", "Raw", "asking", "connect", "discard", "drop", "streams"]
