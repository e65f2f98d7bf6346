"""TLS, where this machine can build it (make TLS=1) and make certificates: clients speak HTTPS and verify it, peers show
one another certificates, and who has none is kept out while the others go on."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from cluster import Cluster, GroupCase, until
from harness import SANITIZER_TEXT, encode_body, split_address

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import kvs_client  # noqa: E402  found by the line above

BINARY = ROOT / "build" / "asan-tls" / "kvs"
OUT_S = 3  # within this a node that could come in would have
FLOOD = 200  # handshakes that are begun at once
CONNECTIONS_MAX = FLOOD + 50
LARGE = 8 * 1024 * 1024 - 1000


class Authority:
    """Certificates of its own, in a directory."""

    def __init__(self, directory, name):
        self.directory, self.name = pathlib.Path(directory), name
        self.cert, self.key = self._file("pem"), self._file("key")
        self._make_key(self.key)
        self._openssl("req", "-x509", "-new", "-key", self.key, "-days", "2", "-subj", f"/CN={name}", "-out", self.cert)

    def _file(self, suffix, name="ca"):
        return str(self.directory / f"{self.name}-{name}.{suffix}")

    @staticmethod
    def _openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)

    def _make_key(self, path):
        self._openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)

    def issue(self, name, hosts):
        """(certificate, key) for those IPv4 addresses."""
        cert, key, request, extra = (self._file(suffix, name) for suffix in ("pem", "key", "csr", "ext"))
        pathlib.Path(extra).write_text("subjectAltName=" + ",".join(f"IP:{host}" for host in hosts))
        self._make_key(key)
        self._openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
        self._openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-days",
                      "2", "-extfile", extra, "-out", cert)
        return cert, key


def serial_shown(address, context):
    """Of the certificate that the node shows now."""
    with socket.create_connection(split_address(address), timeout=5) as plain:
        with context.wrap_socket(plain, server_hostname=split_address(address)[0]) as encrypted:
            return encrypted.getpeercert()["serialNumber"]


class Tls(GroupCase):
    count = 3
    extra = 1

    @classmethod
    def setUpClass(cls):
        if not BINARY.exists():
            raise unittest.SkipTest("no mbedTLS here: make TLS=1 VARIANT=asan")
        if not shutil.which("openssl"):
            raise unittest.SkipTest("no openssl here to make certificates")
        cls.figures = {}
        cls.network = None
        cls.directory = tempfile.mkdtemp(prefix="kvs-tls-")
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.cluster = Cluster(cls.count, {"REQUEST_MS": "1500", "MAX_CONNECTIONS": str(CONNECTIONS_MAX)}, None, cls.extra)
        cls.addClassCleanup(cls.cluster.kill)
        cls.everyone = [*cls.cluster, *cls.cluster.extras]
        cls.hosts = [split_address(member.address)[0] for member in cls.everyone]
        cls.authority = Authority(cls.directory, "ours")
        cls.cert, cls.key = cls.authority.issue("node", cls.hosts)
        cls.context = ssl.create_default_context(cafile=cls.authority.cert)
        for member in cls.everyone:
            member.command, member.context = [str(BINARY)], cls.context
            member.environment.update(TLS_CERT=cls.cert, TLS_KEY=cls.key, TLS_CA=cls.authority.cert)
        cls.cluster.start()

    def check_others_go_on(self):
        for member in self.cluster:
            self.assertTrue(member.hears(self.cluster.addresses()), "the others go on by themselves")
            self.put(member, self.key_name(), 1)

    def key_name(self):
        return f"tls-{self.random.randrange(10**12)}"

    def start_fourth(self, **environment):
        """Starts the fourth node beside the others, and gives it time to come in."""
        fourth = self.cluster.extras[0]
        view = ",".join([*self.cluster.addresses(), fourth.address])
        before = dict(fourth.environment)
        self.addCleanup(setattr, fourth, "environment", before)
        fourth.environment = {**before, "VIEW": view, **environment}
        fourth.environment = {name: value for name, value in fourth.environment.items() if value is not None}
        fourth.spawn()
        self.addCleanup(fourth.kill)
        ends = time.monotonic() + OUT_S
        while time.monotonic() < ends:
            self.check_others_go_on()
            time.sleep(0.2)
        return fourth

    def test_connections_beyond_the_limit_are_closed_before_a_session_is_agreed_on(self):
        member = self.cluster[0]
        plain = [socket.create_connection(split_address(member.address), timeout=1) for _ in range(CONNECTIONS_MAX + 10)]
        closed = 0
        for connection in plain[-5:]:
            try:
                closed += connection.recv(100) == b""
            except ConnectionResetError:
                closed += 1
        self.assertEqual(closed, 5)
        for connection in plain:
            connection.close()
        time.sleep(0.3)  # until the node has noticed
        self.check_others_go_on()

    def test_clients_verify_and_read_what_they_wrote_elsewhere(self):
        key = self.key_name()
        written = self.put(self.cluster[0], key, {"a": [1, 2]})
        for member in self.cluster:
            answer = member.get(key, written.metadata)
            self.assertEqual(answer.json["value"], {"a": [1, 2]})

    def test_curl_verifies(self):
        if not shutil.which("curl"):
            self.skipTest("no curl here")
        url = f"https://{self.cluster[0].address}/health"
        good = subprocess.run(["curl", "-sS", "--cacert", self.authority.cert, url], capture_output=True, timeout=10)
        self.assertEqual((good.returncode, good.stderr), (0, b""))
        self.assertIn(b'"ready"', good.stdout)
        bad = subprocess.run(["curl", "-sS", url], capture_output=True, timeout=10)
        self.assertEqual(bad.returncode, 60, "who signed it is not known")

    def test_openssl_verifies_and_agrees_on_ciphers_that_processors_know(self):
        said = subprocess.run(["openssl", "s_client", "-connect", self.cluster[0].address, "-CAfile", self.authority.cert,
                               "-verify_return_error"], input="", capture_output=True, text=True, timeout=10)
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertIn("Verify return code: 0 (ok)", said.stdout)
        self.assertIn("TLSv1.2, Cipher is ECDHE-ECDSA-AES128-GCM-SHA256", said.stdout)
        self.assertRegex(said.stdout, "Temp Key: ECDH, (prime256v1|secp256r1)")

    def test_the_python_client_verifies_and_comes_back(self):
        nodes = self.cluster.addresses()
        with kvs_client.Session(nodes, ca_file=self.authority.cert) as session:
            key = self.key_name()
            self.assertTrue(session.put(key, "x" * 100000))
            self.assertEqual(session.get(key), "x" * 100000)
            letter = session.save()
        with kvs_client.Session.restore(letter, ca_file=self.authority.cert) as other:
            self.assertEqual(other.get(key), "x" * 100000)
        other = Authority(self.directory, "unknown")
        with kvs_client.Session(nodes, ca_file=other.cert, patience_s=1) as session:
            with self.assertRaisesRegex(kvs_client.Unavailable, "certificate verify failed"):
                session.get(key)

    def test_requests_that_end_anywhere_in_a_record_are_answered(self):
        """What one read leaves over, in a record that was begun, no longer shows at the socket."""
        member, key = self.cluster[0], self.key_name()
        self.addCleanup(member.thaw)
        with socket.create_connection(split_address(member.address), timeout=5) as plain:
            with self.context.wrap_socket(plain, server_hostname=self.hosts[0]) as encrypted:
                self.send_in_pieces(encrypted, key, 4_000_000, 16_384)  # the kernel learns that much comes here
                for length, piece in ((70_000, 10_000), (90_000, 16_384), (110_000, 9_999), (65_536, 8_000), (80_000, 777)):
                    member.freeze()  # so that it finds all of it
                    threading.Timer(0.1, member.thaw).start()
                    self.send_in_pieces(encrypted, key, length, piece)

    def send_in_pieces(self, encrypted, key, length, piece):
        body = encode_body(value="y" * length)
        request = f"PUT /kvs/{key} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        for at in range(0, len(request), piece):
            encrypted.sendall(request[at:at + piece])
        self.assertRegex(encrypted.recv(1000), b"^HTTP/1.1 20[01] ")

    def test_others_are_served_while_handshakes_flood_in(self):
        member = self.cluster[0]
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        with self.assertRaises(ssl.SSLWantReadError):
            self.context.wrap_bio(incoming, outgoing, server_hostname=self.hosts[0]).do_handshake()
        hello = outgoing.read()
        with member.client() as client, contextlib.ExitStack() as flood:
            client.request("GET", "/health")
            callers = []
            for _ in range(FLOOD):
                callers.append(flood.enter_context(socket.create_connection(split_address(member.address), timeout=5)))
            for caller in callers:
                caller.sendall(hello)
            waits, start = [], time.monotonic()
            while not waits or self.is_silent(callers[-1]):
                asked = time.monotonic()
                self.assertEqual(client.request("GET", "/health").status, 200)
                waits.append(time.monotonic() - asked)
            whole = time.monotonic() - start
            self.assertGreater(len(waits), FLOOD / 16, f"in {whole:.2f} s")
        self.check_others_go_on()

    @staticmethod
    def is_silent(caller):
        caller.setblocking(False)
        try:
            return not caller.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True

    def test_values_of_many_records_come_back(self):
        key, value = self.key_name(), "x" * LARGE
        self.put(self.cluster[1], key, value, s_max=20)
        self.assertEqual(self.cluster[1].get(key, timeout_s=20).json["value"], value)

    def test_pipelined_requests_are_answered_in_order(self):
        with self.cluster[0].raw() as raw:
            request = b"GET /kvs/none-%d HTTP/1.1\r\nHost: a\r\n\r\n"
            raw.send(b"".join(request % i for i in range(500)))
            for _ in range(500):
                self.assertEqual(raw.read_answer().status, 404)

    def test_health_is_asked_in_tls(self):
        member = self.cluster[0]
        environment = {**os.environ, **member.environment}
        self.assertEqual(subprocess.run([str(BINARY), "--health"], env=environment, timeout=10).returncode, 0)
        environment.update(TLS_CERT="", TLS_KEY="", TLS_CA="")
        plain = subprocess.run([str(BINARY), "--health"], env=environment, timeout=10, capture_output=True)
        self.assertEqual(plain.returncode, 1)

    def test_a_client_that_trusts_others_sees_that(self):
        with self.assertRaises(ssl.SSLCertVerificationError):
            serial_shown(self.cluster[0].address, ssl.create_default_context())

    def test_plain_requests_and_nonsense_are_sent_away(self):
        for data in (b"GET /view HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 70000, b"\0" * 1000):
            with socket.create_connection(split_address(self.cluster[0].address), timeout=5) as plain:
                try:
                    plain.sendall(data)
                    while plain.recv(65536):
                        pass
                except ConnectionError:
                    pass
        self.check_others_go_on()

    def test_who_never_finishes_the_handshake_is_cut_off(self):
        with socket.create_connection(split_address(self.cluster[0].address), timeout=5) as plain:
            plain.sendall(b"\x16\x03\x01")
            start = time.monotonic()
            try:
                while plain.recv(100):
                    pass
            except ConnectionResetError:
                pass
            self.assertLess(time.monotonic() - start, 2 * 1.5)

    def test_old_versions_are_refused(self):
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.load_verify_locations(self.authority.cert)
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            serial_shown(self.cluster[0].address, old)

    def test_a_peer_of_another_authority_is_kept_out(self):
        other = Authority(self.directory, "theirs")
        cert, key = other.issue("node", self.hosts)
        fourth = self.cluster.extras[0]
        fourth.context = ssl.create_default_context(cafile=other.cert)
        self.addCleanup(setattr, fourth, "context", self.context)
        self.start_fourth(TLS_CERT=cert, TLS_KEY=key, TLS_CA=other.cert)
        self.assertIsNone(SANITIZER_TEXT.search(fourth.stderr()))

    def test_a_peer_without_a_certificate_is_kept_out(self):
        self.cluster.extras[0].context = None
        self.addCleanup(setattr, self.cluster.extras[0], "context", self.context)
        self.start_fourth(TLS_CERT=None, TLS_KEY=None, TLS_CA=None)

    def test_a_peer_with_a_good_one_comes_in(self):
        fourth = self.cluster.extras[0]
        view = [*self.cluster.addresses(), fourth.address]
        before = dict(fourth.environment)
        self.addCleanup(setattr, fourth, "environment", before)
        fourth.environment = {**before, "VIEW": ",".join(view)}
        fourth.start()
        self.addCleanup(fourth.kill)
        until(lambda: self.cluster[0].hears(sorted(view)), 10, "in view")
        fourth.stop()
        until(lambda: self.cluster[0].hears(self.cluster.addresses()), 10, "out of view")
        self.cluster[0].ask("DELETE", "/view", encode_body(socket_address=fourth.address))

    def test_certificates_are_read_again_on_hangup_and_connections_go_on(self):
        member = self.cluster[0]
        before = serial_shown(member.address, self.context)
        with member.client() as client:
            self.assertEqual(client.request("GET", "/health").status, 200)
            cert, key = self.authority.issue("renewed", self.hosts)
            os.replace(cert, self.cert)
            os.replace(key, self.key)
            member.process.send_signal(signal.SIGHUP)
            until(lambda: serial_shown(member.address, self.context) != before, 5, "another certificate")
            self.assertEqual(client.request("GET", "/health").status, 200)
        self.check_others_go_on()

    def test_a_bad_certificate_changes_nothing_on_hangup(self):
        member = self.cluster[1]
        good = pathlib.Path(self.cert).read_bytes()
        pathlib.Path(self.cert).write_text("no certificate")
        self.addCleanup(pathlib.Path(self.cert).write_bytes, good)
        member.process.send_signal(signal.SIGHUP)
        until(lambda: "error tls: " in member.stderr(), 5, "a line in the log")
        self.assertEqual(member.ask("GET", "/health").status, 200)


if __name__ == "__main__":
    unittest.main()
