"""Drives the real binary from outside: a Node to start and stop, a Client that speaks JSON, a Raw socket for the rest.

Everything that is true of every answer is checked in one place, Answer.check(), so that no test has to remember it:
exact framing, Content-Type, Retry-After on a 503, Allow on a 405.

Environment of the suite:
  KVS_BINARY  the binary under test, default build/asan/kvs
  KVS_SEED    seed of the random splits and mutations; run.py prints the one it used
  KVS_FSYNC   always, everysec or never: every node of the suite keeps a log, in a directory of its own
  KVS_LONG=1  the leak test makes 1,000,000 requests in place of 20,000
"""

import json
import os
import pathlib
import random
import re
import resource
import signal
import socket
import struct
import subprocess
import tempfile
import time
import unittest
import zlib
from urllib.parse import quote

BINARY = os.environ.get(
    "KVS_BINARY", str(pathlib.Path(__file__).resolve().parents[2] / "build" / "asan" / "kvs"))
FSYNC = os.environ.get("KVS_FSYNC")
SEED = os.environ.get("KVS_SEED") or str(random.SystemRandom().randrange(10**9))
LONG = os.environ.get("KVS_LONG") == "1"
LEAKS = pathlib.Path(__file__).resolve().parent.parent / "leaks.supp"

START_S_MAX = 10
STOP_S_MAX = 2  # the contract: SIGTERM ends the process with code 0 within this time
ANSWER_S_MAX = 15

EMPTY_METADATA = {"maps": [], "time": "0000000000000000", "clock": {}}
ABSENT = object()  # "the body has no such member", which None (JSON null) cannot say

SANITIZER_TEXT = re.compile(r"AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|runtime error:")


# --- addresses -------------------------------------------------------------------------------------------------------

_addresses = random.SystemRandom()


def fresh_network():
    """The first three numbers of a loopback network and a port, so improbable that nobody else uses them now.

    The port keeps clear of 8090, which the start-up test with an empty environment needs on every address, and port
    and peer port (+ 10000) stay below the range that the kernel hands out to outgoing connections.
    """
    numbers = [_addresses.randrange(1, 255) for _ in range(2)]
    return f"127.{numbers[0]}.{numbers[1]}", _addresses.randrange(10000, 20000)


def fresh_address():
    network, port = fresh_network()
    return f"{network}.{_addresses.randrange(1, 255)}:{port}"


def split_address(address):
    host, port = address.rsplit(":", 1)
    return host, int(port)


def can_bind(host, port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError:
            return False
    return True


# --- answers ---------------------------------------------------------------------------------------------------------


class Answer:
    def __init__(self, version, status, reason, headers, body=b""):
        self.version = version
        self.status = status
        self.reason = reason
        self.headers = headers  # names in lower case
        self.body = body

    def __repr__(self):
        shown = self.body if len(self.body) <= 400 else self.body[:400] + b"..."
        return f"<{self.status} {self.reason} {self.headers} {shown!r}>"

    @property
    def json(self):
        assert self.headers.get("content-type") == "application/json", f"not application/json: {self!r}"
        members = json.loads(self.body, parse_constant=refuse_constant)
        assert isinstance(members, dict), f"not a JSON object: {self!r}"
        return members

    @property
    def metadata(self):
        assert "causal-metadata" in self.json, f"no causal-metadata: {self!r}"
        return self.json["causal-metadata"]

    @property
    def allow(self):
        return {verb.strip() for verb in self.headers["allow"].split(",")}

    def check(self):
        """What holds for every answer, whatever the request was."""
        if self.status in (429, 503):
            assert re.fullmatch(r"[0-9]+", self.headers.get("retry-after", "")), f"no Retry-After: {self!r}"
        if self.status == 405:
            assert self.headers.get("allow"), f"405 without Allow: {self!r}"
        content_type = self.headers.get("content-type", "")
        if self.status >= 200 and not (self.status == 200 and content_type.startswith("text/plain")):  # /metrics
            assert content_type == "application/json", f"not application/json: {self!r}"
            whole = self.body[:1] == b"{" and self.body[-1:] == b"}"
            assert whole or not self.body, f"not an object: {self!r}"


def refuse_constant(text):
    raise AssertionError(f"{text} is no JSON")


# --- connections -----------------------------------------------------------------------------------------------------


def build_request(method, path, body=None, headers=(), version="HTTP/1.1", host="kvs"):
    """The bytes of one request. path: str or bytes, as it goes on the wire. body: None for none, bytes as they are."""
    raw_path = path if isinstance(path, bytes) else path.encode()
    head = [method.encode() + b" " + raw_path + b" " + version.encode()]
    if host is not None:
        head.append(b"Host: " + host.encode())
    if body is not None:
        head.append(b"Content-Length: %d" % len(body))
    head.extend(header.encode("latin-1") for header in headers)
    return b"\r\n".join(head) + b"\r\n\r\n" + (body or b"")


def encode_body(**members):
    """A JSON object of the members given; ABSENT ones are left out, `causal_metadata` becomes `causal-metadata`."""
    given = {name.replace("_", "-"): value for name, value in members.items() if value is not ABSENT}
    return json.dumps(given).encode()


def key_path(key):
    return "/kvs/" + quote(key, safe="")


STATUS_LINE = re.compile(r"HTTP/(1\.[01]) ([1-5][0-9][0-9]) ([^\x00-\x1f]*)")
HEADER_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f]*?)[ \t]*")


class EndOfStream(AssertionError):
    """The node closed the connection where an answer was due."""


class Raw:
    """A socket that sends any bytes and reads exactly framed answers."""

    def __init__(self, address, timeout_s=ANSWER_S_MAX, receive_bytes=None, context=None, source=None):
        """`context`: of ssl, to speak TLS. `source`: the IP address to come from."""
        self.socket = socket.socket()
        if source is not None:
            self.socket.bind((source, 0))
        if receive_bytes is not None:  # must be set before connect to limit the window
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(timeout_s)
        try:
            self.socket.connect(split_address(address))
            if context is not None:
                self.socket = context.wrap_socket(self.socket, server_hostname=split_address(address)[0])
        except OSError:
            self.socket.close()
            raise
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.socket.sendall(data)

    def send_pieces(self, pieces, pause_s=0.0):
        """Sends piece by piece. A node may answer and close before it has seen everything: that is no error here."""
        try:
            for piece in pieces:
                self.socket.sendall(piece)
                if pause_s:
                    time.sleep(pause_s)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def read_answer(self, method="GET"):
        head = bytes(self._take_through(b"\r\n\r\n"))[:-4].decode("latin-1")
        status_line, *lines = head.split("\r\n")
        match = STATUS_LINE.fullmatch(status_line)
        assert match, f"bad status line {status_line!r}"
        headers = {}
        for line in lines:
            header = HEADER_LINE.fullmatch(line)
            assert header, f"bad header line {line!r}"
            name = header[1].lower()
            assert name not in headers, f"header {name} given twice"
            headers[name] = header[2]
        answer = Answer(match[1], int(match[2]), match[3], headers)
        answer.body = self._take_body(answer, method)
        answer.check()
        return answer

    def _take_body(self, answer, method):
        length, coding = answer.headers.get("content-length"), answer.headers.get("transfer-encoding")
        assert length is None or coding is None, f"both Content-Length and Transfer-Encoding: {answer!r}"
        if method == "HEAD" or answer.status < 200 or answer.status in (204, 304):
            return b""
        if coding is not None:
            assert coding == "chunked", f"unknown coding: {answer!r}"
            return self._take_chunks()
        if length is not None:
            assert re.fullmatch("[0-9]+", length), f"bad Content-Length: {answer!r}"
            return bytes(self._take(int(length)))
        assert answer.headers.get("connection", "").lower() == "close", f"body without an end: {answer!r}"
        return self.read_to_end()

    def _take_chunks(self):
        body = bytearray()
        while True:
            line = bytes(self._take_through(b"\r\n"))[:-2]
            assert re.fullmatch(rb"[0-9A-Fa-f]{1,8}", line), f"bad chunk size {line!r}"
            size = int(line, 16)
            chunk = self._take(size + 2)
            assert chunk[-2:] == b"\r\n", f"chunk of {size} bytes without its end"
            if size == 0:
                return bytes(body)
            body += chunk[:-2]

    def _fill(self):
        data = self.socket.recv(1 << 18)
        if not data:
            raise EndOfStream(f"connection closed, read so far: {bytes(self.buffer[:300])!r}")
        self.buffer += data

    def _take(self, size):
        while len(self.buffer) < size:
            self._fill()
        taken = self.buffer[:size]
        del self.buffer[:size]
        return taken

    def _take_through(self, mark):
        start = 0
        while (at := self.buffer.find(mark, start)) < 0:
            start = max(0, len(self.buffer) - len(mark) + 1)
            assert len(self.buffer) < 1 << 20, "no end of the head within a MiB"
            self._fill()
        return self._take(at + len(mark))

    def read_to_end(self):
        """All bytes up to the end of the stream."""
        while True:
            try:
                self._fill()
            except EndOfStream:
                return bytes(self._take(len(self.buffer)))

    def expect_end(self, reset_is_fine=True):
        """The node closes the connection and says nothing more."""
        try:
            rest = self.read_to_end()
        except ConnectionResetError:
            assert reset_is_fine, "reset where a clean end was due"
            rest = bytes(self.buffer)
        assert rest == b"", f"bytes after the last answer: {rest[:300]!r}"

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self):
        """Closes with RST rather than FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self):
        self.socket.close()


class Client:
    """One keep-alive connection, opened when first needed and again after the node has closed it with notice."""

    def __init__(self, address, timeout_s=ANSWER_S_MAX, context=None):
        self.address = address
        self.timeout_s = timeout_s
        self.context = context
        self.raw = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def request(self, method, path, body=None, headers=()):
        """body: None for none, bytes as they are, anything else is dumped as JSON."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if self.raw is None:
            self.raw = Raw(self.address, self.timeout_s, context=self.context)
        try:
            self.raw.send(build_request(method, path, body, headers, host=self.address))
            answer = self.raw.read_answer(method)
        except BaseException:
            self.close()
            raise
        if answer.headers.get("connection", "").lower() == "close":
            self.close()
        return answer

    def put(self, key, value, metadata=ABSENT):
        return self.request("PUT", key_path(key), encode_body(value=value, causal_metadata=metadata))

    def put_text(self, key, text):
        """PUT of a value given as JSON text (str or bytes)."""
        raw_text = text if isinstance(text, bytes) else text.encode()
        return self.request("PUT", key_path(key), b'{"value":' + raw_text + b"}")

    def get(self, key, metadata=ABSENT):
        return self.request("GET", key_path(key), None if metadata is ABSENT else encode_body(causal_metadata=metadata))

    def delete(self, key, metadata=ABSENT):
        return self.request(
            "DELETE", key_path(key), None if metadata is ABSENT else encode_body(causal_metadata=metadata))

    def view(self):
        return self.request("GET", "/view").json["view"]

    def close(self):
        if self.raw is not None:
            self.raw.close()
            self.raw = None


# --- nodes -----------------------------------------------------------------------------------------------------------


def node_environment(given):
    """Nothing of the caller's environment reaches a node but what its sanitizers need.

    The quarantine of freed memory is kept small: at its default of 256 MiB the bounds on RSS would mean nothing.
    """
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "ASAN_OPTIONS": "quarantine_size_mb=4:" + os.environ.get("ASAN_OPTIONS", ""),
        "LSAN_OPTIONS": f"print_suppressions=0:suppressions={LEAKS}:" + os.environ.get("LSAN_OPTIONS", ""),
        "UBSAN_OPTIONS": "print_stacktrace=1:" + os.environ.get("UBSAN_OPTIONS", ""),
    }
    if FSYNC and "DATA_DIR" not in given:
        environment.update(DATA_DIR=fresh_data_dir(), FSYNC=FSYNC)
    environment.update(given)
    return environment


def fresh_data_dir():
    """Removed when this process ends."""
    if not _directories:
        _directories.append(tempfile.TemporaryDirectory(prefix="kvs-data-"))
    return tempfile.mkdtemp(dir=_directories[0].name)


_directories = []


def run_to_exit(environment, arguments=(), timeout_s=5):
    """Runs a binary that is expected to end by itself. Returns (exit code or None, stdout, stderr)."""
    try:
        done = subprocess.run([BINARY, *arguments], env=node_environment(environment), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired as still_running:
        return None, str(still_running.stdout or ""), str(still_running.stderr or "")
    return done.returncode, done.stdout, done.stderr


class Node:
    """One process. `address` is its identity, `reach` (the same by default) is where this suite connects to."""

    def __init__(self, environment=None, address=None, reach=None, open_files_max=None):
        self.address = address or fresh_address()
        self.reach = reach or self.address
        self.environment = {"SOCKET_ADDRESS": self.address}
        self.environment.update(environment or {})
        self.open_files_max = open_files_max
        self.command = [BINARY]
        self.context = None  # of ssl, where it speaks TLS
        self.process = None
        self.log = None
        self.started_at = None

    def __enter__(self):
        return self.start() if self.process is None else self

    def __exit__(self, failure, *_):
        if failure is None:
            self.stop()
        else:
            self.kill()

    @property
    def pid(self):
        return self.process.pid

    def spawn(self):
        self.log = tempfile.TemporaryFile(mode="w+b")
        self.started_at = time.monotonic()
        environment = {name: value for name, value in self.environment.items() if value is not ABSENT}
        self.process = subprocess.Popen(self.command, env=node_environment(environment), stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, preexec_fn=self._limit_files)

    def start(self, wait_ready=True):
        """Starts the process and waits until it serves keys, or only until /health answers."""
        self.spawn()
        try:
            self.wait_for_health(ready=wait_ready)
        except BaseException:
            self.kill()
            raise
        return self

    def _limit_files(self):
        if self.open_files_max is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.open_files_max, self.open_files_max))

    def wait_for_health(self, ready=True, timeout_s=START_S_MAX):
        limit = time.monotonic() + timeout_s
        while True:
            answer = None
            try:
                with self.client(timeout_s=2) as client:
                    answer = client.request("GET", "/health")
                    if answer.status == 200 and (answer.json.get("ready") is True or not ready):
                        return answer
            except (OSError, EndOfStream):
                pass
            if self.process.poll() is not None:
                raise AssertionError(f"node ended with code {self.process.returncode}:\n{self.stderr()}")
            if time.monotonic() > limit:
                raise AssertionError(f"node not up after {timeout_s} s, last answer {answer}:\n{self.stderr()}")
            time.sleep(0.02)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def age_s(self):
        return time.monotonic() - self.started_at

    def client(self, timeout_s=ANSWER_S_MAX):
        return Client(self.reach, timeout_s, self.context)

    def raw(self, **options):
        return Raw(self.reach, context=self.context, **options)

    def stderr(self):
        # pread leaves the file offset alone, which the node shares with us.
        size = os.fstat(self.log.fileno()).st_size
        return os.pread(self.log.fileno(), size, 0).decode(errors="replace")

    def rss_kib(self):
        with open(f"/proc/{self.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1])

    def fd_count(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_s(self):
        with open(f"/proc/{self.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait_for_fd_count(self, count_max, timeout_s=5):
        limit = time.monotonic() + timeout_s
        while (count := self.fd_count()) > count_max:
            assert time.monotonic() < limit, f"{count} open files after {timeout_s} s, expected at most {count_max}"
            time.sleep(0.02)

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def stop(self):
        """SIGTERM; the process must end with code 0 in time and its sanitizers must have nothing to say."""
        if self.running():
            self.terminate()
        self.expect_clean_exit()

    def expect_clean_exit(self):
        try:
            code = self.process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            log = self.stderr()
            self.kill()
            raise AssertionError(f"still running {STOP_S_MAX} s after SIGTERM:\n{log[-4000:]}") from None
        log = self.stderr()
        self.log.close()
        assert code == 0 and not SANITIZER_TEXT.search(log), f"exit code {code}:\n{log[-8000:]}"

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        if self.log is not None:
            self.log.close()


# --- test cases ------------------------------------------------------------------------------------------------------


class NodeCase(unittest.TestCase):
    """Tests that share one node. After each test it must be the same process, unhurt and serving."""

    environment = {}
    slow = False  # run.py starts slow classes first
    node = None

    @classmethod
    def make_node(cls):
        return Node(cls.environment)

    @classmethod
    def setUpClass(cls, wait_ready=True):
        cls.node = cls.make_node().start(wait_ready)
        cls.addClassCleanup(cls.node.kill)  # runs even when the setUpClass of a subclass fails after this

    @classmethod
    def tearDownClass(cls):
        if cls.node.running():
            cls.node.stop()

    def setUp(self):
        if not self.node.running():  # a test before this one ended it and has failed for that
            type(self).setUpClass()
        self.pid = self.node.pid
        self.client = self.node.client()
        self.addCleanup(self.client.close)
        self.random = random.Random(f"{SEED} {self.id()}")

    def tearDown(self):
        if not self.node.running():
            self.fail(f"the node ended with code {self.node.process.returncode}:\n{self.node.stderr()[-8000:]}")
        self.assertEqual(self.node.pid, self.pid)
        log = self.node.stderr()
        self.assertIsNone(SANITIZER_TEXT.search(log), log[-8000:])
        self.check_honest_request()

    def check_honest_request(self):
        with self.node.client() as client:
            self.assertEqual(client.request("GET", "/health").status, 200)
            self.assertIn(client.get("honest").status, (200, 404))

    def key(self, hint=""):
        """A key that no other test uses."""
        NodeCase.keys_made = getattr(NodeCase, "keys_made", 0) + 1
        return f"{hint}-{NodeCase.keys_made}"

    def expect(self, answer, status, error=None):
        """The answer has this status and, if one is named, exactly this error text."""
        self.assertEqual(answer.status, status, answer)
        if error is not None:
            self.assertEqual(answer.json.get("error"), error, answer)
        elif status >= 400 and answer.body:
            self.assertIsInstance(answer.json.get("error"), str, answer)
        return answer

    def expect_error_like(self, answer, status, start):
        self.expect(answer, status)
        self.assertTrue(answer.json["error"].startswith(start), answer)
        return answer

    def expect_metadata_form(self, metadata):
        self.assertEqual(set(metadata), {"maps", "time", "clock"})
        for map_id in metadata["maps"]:
            self.assertRegex(map_id, r"^[1-9][0-9]*\.[0-9a-f]{8}$")
        self.assertRegex(metadata["time"], r"^[0-9a-f]{16}$")
        for actor, number in metadata["clock"].items():
            self.assertRegex(actor, r"^[^#]+:[0-9]+#[0-9a-f]{16}$")
            self.assertIs(type(number), int)
            self.assertGreater(number, 0)

    def expect_covers(self, later, earlier):
        """Who holds `later` depends on all that who holds `earlier` depends on."""
        self.assertGreaterEqual(later["time"], earlier["time"])
        for actor, number in earlier["clock"].items():
            self.assertGreaterEqual(later["clock"].get(actor, 0), number, (later, earlier))

    def unknown_metadata(self, number=7):
        """Metadata of our form that depends on a write which nobody has ever heard of."""
        actor = f"{self.node.address}#{self.random.getrandbits(64):016x}"
        return {"maps": [], "time": "0000000000000001", "clock": {actor: number}}


def slot_order(keys):
    """The order of GET /kvs: by slot, inside a slot by bytes."""
    return sorted(keys, key=lambda key: (key_slot(key), key.encode()))


def key_slot(key):
    return zlib.crc32(key.encode()) % 1024


def feeds(data, source, random_splits=3):
    """The ways to send the same bytes: (name, pieces, pause between them). source: a random.Random."""
    yield "at once", [data], 0
    yield "byte by byte", [data[at:at + 1] for at in range(len(data))], 0.0001
    for _ in range(random_splits):
        cuts = sorted(source.sample(range(1, len(data)), min(len(data) - 1, source.randrange(1, 6))))
        yield f"cut at {cuts}", [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])], 0.001


def pipeline(client_address, requests, batch=200):
    """Sends prepared requests on one connection, a batch at a time, and returns the answers in order."""
    answers = []
    with Raw(client_address) as raw:
        for start in range(0, len(requests), batch):
            part = requests[start:start + batch]
            raw.send(b"".join(part))
            answers.extend(raw.read_answer() for _ in part)
    return answers
