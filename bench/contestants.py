"""The contestants: how each is started, what it is sent, how it is stopped.

All of them share a Workplace. A Server is a context manager: its processes run as long as the
`with` block, pinned to the server's core, with an environment of their own; their output goes to
a log whose last lines are shown when something goes wrong. Server.load() is the only place that
runs the generator.
"""
from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import time
from typing import Callable

from machine import BenchError, Cores, port_is_free, process_cpu_s, process_resident_bytes
from wire import (BLANK_LINE, OPS, SAMPLE_METADATA, http_body, http_exchange, http_request,
                  memcached_request, metadata_of, requests_write, resp_request, sample_answer)

KEYS = 1000           # of the grid
START_S_MAX = 10.0    # from the start of a server to its first accepted connection
RESTART_S_MAX = 60.0  # with all its keys
STOP_S_MAX = 5.0      # from SIGTERM to its end
PORT_MIN = 21000      # kvs uses PORT + 10000 too, which so stays below the ephemeral ports
PORT_MAX = 22000
PEER_PORT_OFFSET = 10000


@dataclasses.dataclass
class Workplace:
    """What all contestants share."""
    directory: pathlib.Path  # temporary
    programs: pathlib.Path   # holds kvs-bench, load and bare
    cores: Cores
    metadata: str = SAMPLE_METADATA  # that clients send; what kvs has given if it takes part
    answers: dict[str, bytes] = dataclasses.field(  # to a GET, to a PUT; kvs's if it takes part
        default_factory=lambda: {op: sample_answer(op) for op in OPS})
    port_next: int = PORT_MIN

    def take_port(self) -> int:
        """One that is free, and so is the one that kvs adds for its peers; never twice the same."""
        while self.port_next < PORT_MAX:
            port = self.port_next
            self.port_next += 1
            if port_is_free(port) and port_is_free(port + PEER_PORT_OFFSET):
                return port
        raise BenchError(f"no free port from {PORT_MIN} to {PORT_MAX}")


class Server:
    """A contestant while it runs: `with Redis(place) as server`.

    A subclass says how to launch it and what a request to it looks like.
    """
    name = ""
    program = ""
    framing = "http"
    version_flag = "--version"

    def __init__(self, place: Workplace):
        self.place = place
        self.log = place.directory / f"{self.name}.log"
        self.processes: list[subprocess.Popen] = []
        self.ports: dict[str, int] = {}  # by operation: most serve both on one

    def launch(self) -> None:
        """Sets ports and spawns what serves them."""
        raise NotImplementedError

    def request(self, op: str, i: int) -> bytes:
        """The grid's request for key i."""
        raise NotImplementedError

    @classmethod
    def find(cls, place: Workplace) -> str | None:
        """Where the program is; None when it is not installed."""
        places = [str(place.programs), os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]
        return shutil.which(cls.program, path=os.pathsep.join(places))

    @classmethod
    def version(cls, place: Workplace) -> str:
        done = subprocess.run([cls.find(place), cls.version_flag], capture_output=True, text=True)
        return re.search(r"\d+(\.\d+)+|$", done.stdout + done.stderr).group(0)

    # Life cycle.

    def __enter__(self) -> Server:
        self.log.write_bytes(b"")
        try:
            self.launch()
            for port in self.ports.values():
                self.await_true(f"listening on {port}", lambda: not self.refuses(port))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def spawn(self, *args: str, **environment: str) -> None:
        """Starts the program with these arguments and with nothing else in its environment."""
        with open(self.log, "ab") as log:
            self.processes.append(subprocess.Popen(
                [self.find(self.place), *args], env=environment, cwd=self.place.directory,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=lambda: self.place.cores.pin(self.place.cores.server)))

    @staticmethod
    def refuses(port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0

    def await_true(self, what: str, condition: Callable[[], bool],
                   s_max: float = START_S_MAX) -> None:
        deadline = time.monotonic() + s_max
        while not condition():
            if self.has_died() or time.monotonic() > deadline:
                raise BenchError(f"{self.name} does not start: no {what}{self.last_words()}")
            time.sleep(0.02)

    def has_died(self) -> bool:
        return any(process.poll() is not None for process in self.processes)

    def last_words(self) -> str:
        said = self.log.read_text(errors="replace").splitlines()[-10:]
        fate = ["it has died"] if self.has_died() else []
        return "".join(f"\n  {self.name}: {line}" for line in said + fate)

    # Measuring.

    def cpu_s(self) -> float:
        return sum(process_cpu_s(process.pid) for process in self.processes)

    def resident_bytes(self) -> int:
        return sum(process_resident_bytes(process.pid) for process in self.processes)

    def requests_path(self, op: str) -> pathlib.Path:
        return self.place.directory / f"{self.name}-{op}.requests"

    def prepare(self) -> None:
        """Renders the grid's requests and sends each PUT once, so that each GET finds its key."""
        for op in OPS:
            requests_write(self.requests_path(op), (self.request(op, i) for i in range(KEYS)))
        self.load("PUT", self.requests_path("PUT"), count=KEYS)

    def load(self, op: str, requests: pathlib.Path, core: int | None = None,
             **options: object) -> dict:
        """One run of the generator; its report. Anything but success raises."""
        cores = self.place.cores
        command = [self.place.programs / "load", "--target", f"127.0.0.1:{self.ports[op]}",
                   "--framing", self.framing, "--requests", requests]
        for name, value in options.items():
            command += [f"--{name}"] if value is True else [f"--{name}", str(value)]
        done = subprocess.run(command, capture_output=True, text=True, preexec_fn=lambda:
                              cores.pin(cores.generator if core is None else core))
        if done.returncode != 0:
            raise BenchError(f"{self.name}: {done.stderr.strip()}{self.last_words()}")
        report = json.loads(done.stdout)
        if report["errors"] > 0:
            raise BenchError(f"{self.name} answered with errors: {report['by_class']}")
        return report


class Kvs(Server):
    """The server as it is; clients carry what it gave them: metadata of one entry."""
    name = program = "kvs"
    metadata = "{}"

    def launch(self) -> None:
        port = self.place.take_port()
        self.ports = {"GET": port, "PUT": port}
        self.spawn(SOCKET_ADDRESS=f"127.0.0.1:{port}")

    def prepare(self) -> None:
        self.metadata = self.metadata_given()
        super().prepare()
        self.place.metadata = self.metadata
        self.place.answers = {op: self.exchange(op) for op in OPS}

    def metadata_given(self) -> str:
        return metadata_of(self.exchange("PUT"))

    def exchange(self, op: str) -> bytes:
        with socket.create_connection(("127.0.0.1", self.ports[op])) as connection:
            return http_exchange(connection, self.request(op, 0))

    def request(self, op: str, i: int) -> bytes:
        return http_request(op, i, http_body(op, i, self.metadata))


class KvsSix(Kvs):
    """What a request costs in a cluster of six, whose clients carry metadata of six entries."""
    name, program = "kvs-six", "kvs-bench"

    def metadata_given(self) -> str:
        said = None

        def has_said() -> bool:
            nonlocal said
            said = re.search(r"^metadata (\{.*\})\n", self.log.read_text(), re.MULTILINE)
            return said is not None
        self.await_true("metadata line", has_said)
        return said.group(1)


class Bare(Server):
    name = program = "bare"

    def launch(self) -> None:
        for op in OPS:
            answer = self.place.directory / f"bare-{op}.answer"
            answer.write_bytes(self.place.answers[op])
            self.ports[op] = self.place.take_port()
            self.spawn(f"127.0.0.1:{self.ports[op]}", str(answer))

    def request(self, op: str, i: int) -> bytes:
        return http_request(op, i, http_body(op, i, self.place.metadata))


class Nginx(Server):
    name = program = "nginx"
    version_flag = "-v"

    CONFIG = """
        daemon off;
        master_process off;
        worker_processes 1;
        pid {directory}/nginx.pid;
        error_log {log};
        events {{ worker_connections 16384; }}
        http {{
            access_log off;
            default_type application/json;
            keepalive_requests 1000000000;
            keepalive_timeout 1h;
            {temporary_paths}
            {sites}
        }}
        """

    def sites(self) -> str:
        sites = ""
        for op in OPS:
            self.ports[op] = self.place.take_port()
            body = "x" * len(self.place.answers[op].partition(BLANK_LINE)[2])
            sites += f"server {{ listen 127.0.0.1:{self.ports[op]}; return 200 '{body}'; }}\n"
        return sites

    def launch(self) -> None:
        config = self.place.directory / f"{self.name}.conf"
        config.write_text(self.CONFIG.format(directory=self.place.directory, log=self.log,
                                             temporary_paths=self.temporary_paths(), sites=self.sites()))
        self.spawn("-e", str(self.log), "-p", str(self.place.directory), "-c", str(config))

    def temporary_paths(self) -> str:
        """Nothing is ever written there, but nginx creates each one when it starts."""
        build = subprocess.run([self.find(self.place), "-V"], capture_output=True, text=True).stderr
        modules = [module for module in ("proxy", "fastcgi", "uwsgi", "scgi")
                   if f"--without-http_{module}_module" not in build]
        return " ".join(f"{name}_temp_path {self.place.directory}/nginx-{name};"
                        for name in ("client_body", *modules))

    def request(self, op: str, i: int) -> bytes:
        return http_request("GET", i, http_body(op, i, self.place.metadata))


class Redis(Server):
    name, program, framing = "redis", "redis-server", "resp"

    def launch(self) -> None:
        port = self.place.take_port()
        self.ports = {"GET": port, "PUT": port}
        self.spawn("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                   "--daemonize", "no", "--loglevel", "warning")

    def request(self, op: str, i: int) -> bytes:
        return resp_request(op, i)


class Memcached(Server):
    name = program = framing = "memcached"

    def launch(self) -> None:
        port = self.place.take_port()
        self.ports = {"GET": port, "PUT": port}
        user = ["-u", "root"] if os.geteuid() == 0 else []  # it refuses to be root unasked
        self.spawn("-l", "127.0.0.1", "-p", str(port), "-t", "1", "-m", "1024", "-c", "4096", *user)

    def request(self, op: str, i: int) -> bytes:
        return memcached_request(op, i)


# ---- Pairs: a write is answered when two processes have it ----


class KvsPair(Server):
    """Two nodes of one group; clients talk to the first."""
    name, program = "kvs-pair", "kvs"

    def launch(self) -> None:
        ports = [self.place.take_port(), self.place.take_port()]
        view = ",".join(f"127.0.0.1:{port}" for port in ports)
        self.ports = {"PUT": ports[0]}
        for port in ports:
            self.spawn(SOCKET_ADDRESS=f"127.0.0.1:{port}", VIEW=view)
        self.await_true("both ready", lambda: self.said("ready") == len(ports))
        self.metadata = "{}"
        for port in ports:  # one write at each, in a chain: metadata of two entries
            with socket.create_connection(("127.0.0.1", port)) as connection:
                answer = http_exchange(connection, self.request("PUT", 0))
            self.metadata = metadata_of(answer)

    def said(self, word: str) -> int:
        return len(re.findall(rf" {word}$", self.log.read_text(), re.MULTILINE))

    def request(self, op: str, i: int) -> bytes:
        return http_request(op, i, http_body(op, i, self.metadata))

    def prepare(self) -> None:
        requests_write(self.requests_path("PUT"), (self.request("PUT", i) for i in range(KEYS)))
        self.load("PUT", self.requests_path("PUT"), count=KEYS)


class RedisPair(Server):
    """A primary and its replica. `pipeline` writes go out with one WAIT 1 behind them."""
    name, program, framing = "redis-pair", "redis-server", "resp"
    WAIT = b"*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$1\r\n0\r\n"

    def launch(self) -> None:
        ports = [self.place.take_port(), self.place.take_port()]
        self.ports = {"PUT": ports[0]}
        common = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no",
                  "--repl-diskless-sync-delay", "0")
        self.spawn("--port", str(ports[0]), *common)
        self.await_true("primary", lambda: not self.refuses(ports[0]))
        self.spawn("--port", str(ports[1]), "--replicaof", "127.0.0.1", str(ports[0]), *common)
        self.await_true("replica online", self.is_replicated)

    def is_replicated(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.ports["PUT"])) as connection:
            connection.sendall(b"INFO replication\r\n")
            return b"state=online" in connection.recv(65536)

    def prepare(self) -> None:
        pass  # the requests depend on the pipeline

    def load(self, op: str, requests: pathlib.Path, core: int | None = None,
             **options: object) -> dict:
        writes = int(options["pipeline"])
        batches = ([resp_request("PUT", (b * writes + i) % KEYS) for i in range(writes)] + [self.WAIT]
                   for b in range(KEYS // writes))
        requests_write(requests, (request for batch in batches for request in batch))
        report = super().load(op, requests, core, **{**options, "pipeline": writes + 1})
        for count in ("requests_total", "rate"):  # of writes, not of WAITs
            report[count] *= writes / (writes + 1)
        return report


# ---- With a log, on the disk of the temporary directory ----


class KvsLog(Kvs):
    fsync = ""

    def spawn(self, *args: str, **environment: str) -> None:
        directory = self.place.directory / f"{self.name}-{environment['SOCKET_ADDRESS']}"  # it belongs to that node
        super().spawn(*args, **environment, DATA_DIR=str(directory), FSYNC=self.fsync)


class KvsEverysec(KvsLog):
    name, fsync = "kvs-everysec", "everysec"

    def metrics(self) -> dict[str, int]:
        with socket.create_connection(("127.0.0.1", self.ports["GET"])) as connection:
            answer = http_exchange(connection, b"GET /metrics HTTP/1.1\r\nHost: kvs\r\n\r\n")
        return {name.decode(): int(value)
                for name, value in re.findall(rb"^(\w+) (\d+)$", answer, re.MULTILINE)}

    def restart(self, request: bytes) -> tuple[float, float]:
        """kill -9, and again on the same port: seconds until the request is answered from its keys,
        and CPU seconds that took."""
        self.processes[0].kill()
        self.processes[0].wait()
        self.processes.clear()
        began = time.monotonic()
        self.spawn(SOCKET_ADDRESS=f"127.0.0.1:{self.ports['GET']}")

        def is_served() -> bool:
            try:
                with socket.create_connection(("127.0.0.1", self.ports["GET"])) as connection:
                    return http_exchange(connection, request).startswith(b"HTTP/1.1 200")
            except (OSError, BenchError):
                return False
        self.await_true("answer from its keys", is_served, RESTART_S_MAX)
        return time.monotonic() - began, self.cpu_s()


class KvsAlways(KvsLog):
    name, fsync = "kvs-always", "always"


class RedisLog(Redis):
    fsync = ""

    def launch(self) -> None:
        port = self.place.take_port()
        self.ports = {"GET": port, "PUT": port}
        self.spawn("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes",
                   "--appendfsync", self.fsync, "--appenddirname", f"{self.name}-data",
                   "--daemonize", "no", "--loglevel", "warning")


class RedisEverysec(RedisLog):
    name, fsync = "redis-everysec", "everysec"


class RedisAlways(RedisLog):
    name, fsync = "redis-always", "always"


# ---- TLS: one certificate, one cipher suite; wrk asks, and openssl s_time shakes hands ----

TLS_TOOLS = ("openssl", "wrk")
TLS_CIPHER = "ECDHE-ECDSA-AES128-GCM-SHA256"  # TLS 1.2: what mbedTLS 2.28 has; over P-256
HANDSHAKE = "handshake"  # beside OPS

WRK_WARMUP_S = 2  # all have shaken hands by then

WRK_SCRIPT = """
local sent, began, warm = 0, os.time(), false
request = function()
    sent = sent + 1
    if not warm and os.time() >= began + {warmup_s} then
        warm = true
        io.write('warm ', sent, '\\n')
        io.flush()
    end
    return {request}
end
done = function(summary, _, _)
    local e = summary.errors
    io.write(string.format('\\nended %d %d\\n', summary.requests,
                           e.connect + e.read + e.write + e.status + e.timeout))
end
"""


class Tls(Server):
    """What KvsTls and NginxTls have in common."""

    def certificate(self) -> tuple[str, str]:
        """The files of certificate and key, made when first asked for."""
        cert, key = (self.place.directory / f"tls-{what}.pem" for what in ("cert", "key"))
        if not cert.exists():
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                            "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
                            "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
                           check=True, capture_output=True)
        return str(cert), str(key)

    def connect(self) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.ports["GET"]))
        context = ssl.create_default_context(cafile=self.certificate()[0])
        return context.wrap_socket(plain, server_hostname="127.0.0.1")

    def prepare(self) -> None:
        with self.connect() as connection:
            if connection.cipher()[0] != TLS_CIPHER or connection.session_reused:
                raise BenchError(f"{self.name}: {connection.cipher()} in place of {TLS_CIPHER}")
            self.exchange_first(connection)
        script = WRK_SCRIPT.format(warmup_s=WRK_WARMUP_S, request=json.dumps(self.request("GET", 0).decode()))
        self.requests_path("GET").write_text(script)

    def exchange_first(self, connection: ssl.SSLSocket) -> None:
        http_exchange(connection, self.request("GET", 0))

    def load(self, op: str, requests: pathlib.Path, core: int | None = None,
             **options: object) -> dict:
        conns, seconds = int(options["conns"]), round(float(options["seconds"]))
        if op == HANDSHAKE:
            return self.shake_hands(conns, seconds)
        command = ["wrk", "-t", "1", "-c", str(conns), "-d", f"{WRK_WARMUP_S + seconds}s", "--timeout", "10s",
                   "-s", str(requests), f"https://127.0.0.1:{self.ports[op]}/"]
        with self.generator(command) as wrk:
            sent = next((int(line.split()[1]) for line in wrk.stdout if line.startswith("warm ")), 0)
            began, began_cpu_s = time.monotonic(), self.cpu_s()
            said = wrk.stdout.read()
        elapsed_s, cpu_s = time.monotonic() - began, self.cpu_s() - began_cpu_s
        ended = re.search(r"^ended (\d+) (\d+)$", said, re.MULTILINE)
        if not ended or sent == 0 or ended.group(2) != "0":
            raise BenchError(f"{self.name}: {said.strip()}{self.last_words()}")
        count = int(ended.group(1)) - sent
        return {"requests_total": count, "rate": count / elapsed_s, "server_cpu_s": cpu_s}

    def shake_hands(self, processes: int, seconds: int) -> dict:
        """s_time prints a * for each full handshake, and an r for one that goes on with an old session."""
        command = ["openssl", "s_time", "-new", "-cipher", TLS_CIPHER, "-time", str(seconds),
                   "-connect", f"127.0.0.1:{self.ports['GET']}"]
        began = time.monotonic()
        running = [self.generator(command) for _ in range(processes)]
        said = [process.communicate()[0] for process in running]
        elapsed_s = time.monotonic() - began
        marks = "".join(line for text in said for line in text.splitlines() if set(line) <= set("*r"))
        if not marks or "r" in marks or any(process.returncode for process in running):
            raise BenchError(f"{self.name}: not full handshakes: {said[0].strip()}{self.last_words()}")
        return {"requests_total": len(marks), "rate": len(marks) / elapsed_s}

    def generator(self, command: list[str]) -> subprocess.Popen:
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=lambda:
                                self.place.cores.pin(self.place.cores.generator))


class KvsTls(Tls, Kvs):
    name, program = "kvs-tls", "kvs-bench-tls"

    def spawn(self, *args: str, **environment: str) -> None:
        cert, key = self.certificate()
        super().spawn(*args, **environment, TLS_CERT=cert, TLS_KEY=key)

    def exchange_first(self, connection: ssl.SSLSocket) -> None:
        http_exchange(connection, self.request("PUT", 0))
        self.place.answers["GET"] = http_exchange(connection, self.request("GET", 0))


class NginxTls(Tls, Nginx):
    name = "nginx-tls"

    def sites(self) -> str:
        cert, key = self.certificate()
        self.ports["GET"] = self.place.take_port()
        body = self.place.answers["GET"].partition(BLANK_LINE)[2].decode()
        return (f"server {{ listen 127.0.0.1:{self.ports['GET']} ssl; ssl_certificate {cert}; "
                f"ssl_certificate_key {key}; ssl_protocols TLSv1.2; ssl_ciphers {TLS_CIPHER}; "
                f"ssl_ecdh_curve prime256v1; ssl_session_cache off; ssl_session_tickets off; "
                f"return 200 '{body}'; }}\n")


TLS = (KvsTls, NginxTls)
DISK = (Kvs, KvsEverysec, RedisEverysec, KvsAlways, RedisAlways)
PAIRS = (KvsPair, RedisPair)
CONTESTANTS = (Kvs, Bare, Nginx, Redis, Memcached, KvsSix)  # kvs first: bare and nginx imitate it
OURS = (Kvs, Bare, KvsSix)                                  # built here; the others may be missing
