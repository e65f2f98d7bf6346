"""Files and memory: few to spend, none to lose."""

import time
import unittest

from harness import LONG, EndOfStream, Node, NodeCase, Raw, build_request, encode_body, split_address

REQUESTS = 1_000_000 if LONG else 20_000


class FewFiles(NodeCase):
    """A node that may open 64 files meets 100 connections."""

    @classmethod
    def make_node(cls):
        return Node(open_files_max=64)

    def tearDown(self):
        limit = time.monotonic() + 3  # connections that were waiting in the queue are noticed to be gone one by one
        while True:
            try:
                super().tearDown()
                return
            except (ConnectionError, EndOfStream, TimeoutError):
                if time.monotonic() > limit:
                    raise
                time.sleep(0.05)

    def answered(self, raws, timeout_s):
        """How many of the connections get an answer to GET /health in time."""
        served = 0
        for raw in raws:
            try:
                raw.send(build_request("GET", "/health"))
            except ConnectionError:
                pass
        limit = time.monotonic() + timeout_s
        for raw in raws:
            raw.socket.settimeout(max(0.01, limit - time.monotonic()))
            try:
                served += raw.read_answer().status == 200
            except (ConnectionError, EndOfStream, TimeoutError):
                pass
        return served

    def test_100_connections_are_survived_and_those_accepted_are_served(self):
        raws = [self.node.raw() for _ in range(100)]
        self.assertGreaterEqual(self.answered(raws, 1), 20)
        self.assertEqual(self.answered(raws[:20], 1), 20)
        for raw in raws:
            raw.close()

    def test_a_node_out_of_files_does_not_spin(self):
        raws = [self.node.raw() for _ in range(100)]
        time.sleep(0.3)
        before = self.node.cpu_s()
        time.sleep(1)
        self.assertLess(self.node.cpu_s() - before, 0.4)
        for raw in raws:
            raw.close()

    def test_peers_are_still_let_in(self):
        """What calls there and makes no sense is told so; waiting in the queue it would hear nothing."""
        raws = [self.node.raw() for _ in range(100)]
        time.sleep(0.3)
        host, port = split_address(self.node.address)
        with Raw(f"{host}:{port + 10000}", timeout_s=2) as peer:
            peer.send_pieces([build_request("GET", "/health")])
            try:
                peer.read_to_end()
            except ConnectionResetError:
                pass
        for raw in raws:
            raw.close()

    def test_it_recovers_when_connections_close(self):
        for _ in range(3):
            raws = [self.node.raw() for _ in range(100)]
            time.sleep(0.1)
            for raw in raws:
                raw.close()
            start = time.monotonic()
            with self.node.client(timeout_s=3) as client:
                self.assertIn(client.put("recovered", 1).status, (200, 201))
            self.assertLess(time.monotonic() - start, 3)

    def test_waiting_connections_are_served_when_others_close(self):
        raws = [self.node.raw() for _ in range(100)]
        time.sleep(0.1)
        for raw in raws[:70]:
            raw.close()
        rest = raws[70:]
        # Each of these is served, or was turned away with notice; none is left hanging.
        open_ones = 0
        for raw in rest:
            raw.socket.settimeout(3)
            try:
                raw.send(build_request("GET", "/health"))
                self.assertEqual(raw.read_answer().status, 200)
                open_ones += 1
            except (ConnectionError, EndOfStream):
                pass
        for raw in rest:
            raw.close()
        with self.node.client(timeout_s=3) as client:
            self.assertEqual(client.request("GET", "/health").status, 200)


class NothingIsLost(NodeCase):
    """Files and memory are the same before and after many requests of all kinds."""

    slow = True
    RSS_KIB_MAX = 12 << 10

    def round(self, number):
        """100 requests on one connection: every kind that the node knows, good ones and bad ones."""
        put = build_request("PUT", f"/kvs/leak{number % 50}", encode_body(value="v" * (number % 700)))
        mix = [put, build_request("GET", f"/kvs/leak{number % 50}"), build_request("DELETE", f"/kvs/leak{number % 50}"),
               build_request("GET", "/kvs/none"), build_request("GET", "/view"), build_request("PUT", "/kvs/bad", b"{"),
               build_request("GET", "/kvs?limit=5"), build_request("POST", "/view", b"x"),
               build_request("GET", "/nowhere"), build_request("PUT", "/kvs/" + "k" * 60, encode_body(value=1))]
        with Raw(self.node.reach) as raw:
            raw.send(b"".join(mix) * 10)
            for _ in range(100):
                raw.read_answer()
            if number % 3 == 0:
                raw.send(b"NONSENSE\r\n\r\n")
                raw.read_answer()

    def test_many_requests_leave_files_and_memory_as_they_were(self):
        for number in range(100):  # warm-up: rings, pools and tables reach their size
            self.round(number)
        self.client.request("GET", "/health")
        files, memory = self.node.fd_count(), self.node.rss_kib()
        for number in range(REQUESTS // 100):
            self.round(number)
        self.node.wait_for_fd_count(files)
        self.assertLess(self.node.rss_kib() - memory, self.RSS_KIB_MAX)

    def test_many_connections_leave_no_file_behind(self):
        self.client.request("GET", "/health")
        files = self.node.fd_count()
        for number in range(REQUESTS // 20):
            with Raw(self.node.reach) as raw:
                raw.send(build_request("GET", "/health", headers=["Connection: close"] if number % 2 else []))
                self.assertEqual(raw.read_answer().status, 200)
        self.node.wait_for_fd_count(files)

    def test_growing_and_shrinking_gives_memory_back_to_the_store(self):
        """The store is filled and emptied again and again: it may keep what it had at its largest, and no more."""
        def cycle():
            for start in range(0, 4000, 500):
                self.pipelined([build_request("PUT", f"/kvs/wave{number}", encode_body(value="w" * 200))
                                for number in range(start, start + 500)])
            for start in range(0, 4000, 500):
                self.pipelined([build_request("DELETE", f"/kvs/wave{number}") for number in range(start, start + 500)])

        cycle()
        cycle()
        memory = self.node.rss_kib()
        for _ in range(3):
            cycle()
        self.assertLess(self.node.rss_kib() - memory, self.RSS_KIB_MAX)

    def pipelined(self, requests):
        with Raw(self.node.reach) as raw:
            raw.send(b"".join(requests))
            for _ in requests:
                self.assertIn(raw.read_answer().status, (200, 201))


class Fuzz(NodeCase):
    """Good requests with random damage: any well-formed answers or a close will do, as long as the node lives."""

    SEEDS = [
        build_request("PUT", "/kvs/fuzz%20key?x=y", b'{"value":{"a":[1,2.5e3,"\\u00e9"]},"causal-metadata":{}}'),
        build_request("GET", "/kvs/fuzz", b'{"causal-metadata":{"maps":["1.00000000"],"time":"0000000000000001",'
                                          b'"clock":{"127.0.0.1:8090#00000000000000ff":3}}}'),
        build_request("PUT", "/kvs/fuzz", None, ["Transfer-Encoding: chunked", "Expect: 100-continue"])
        + b'5;ext="x"\r\n{"val\r\n6\r\nue":1}\r\n0\r\nTrailer: x\r\n\r\n',
        build_request("GET", "/kvs?prefix=a&limit=10&after=b%20c"),
        build_request("PUT", "/view", b'{"socket-address":"127.0.0.1:8090"}'),
        build_request("PUT", "/shard/reshard", b'{"shard-count":2}'),
    ]
    INSERTS = [b"\r\n", b"\0", b":", b" ", b"\xff", b"%", b'"', b"{", b"[" * 99, b"9" * 30]
    environment = {"PARK_MS": "10"}

    def damage(self, data):
        data = bytearray(data)
        for _ in range(self.random.randrange(1, 6)):
            at = self.random.randrange(len(data) + 1)
            kind = self.random.randrange(5)
            if kind == 0:
                data[at:at + 1] = bytes([self.random.randrange(256)])
            elif kind == 1:
                del data[at:at + self.random.randrange(1, 8)]
            elif kind == 2:
                data[at:at] = self.random.choice(self.INSERTS)
            elif kind == 3:
                data[at:at] = data[self.random.randrange(len(data)):][:self.random.randrange(1, 40)]
            else:
                data[at:] = b""
            if not data:
                data = bytearray(b"\0")
        return bytes(data)

    def test_damaged_requests_never_hurt_the_node(self):
        allowed = {100, 200, 201, 400, 404, 405, 408, 413, 414, 417, 431, 501, 503, 505}
        for _ in range(1500):
            data = b"".join(self.damage(self.random.choice(self.SEEDS)) for _ in range(self.random.randrange(1, 4)))
            with self.subTest(data=data), self.node.raw() as raw:
                raw.send_pieces([data])
                raw.half_close()
                try:
                    while True:
                        self.assertIn(raw.read_answer().status, allowed)
                except EndOfStream:
                    self.assertEqual(bytes(raw.buffer), b"", "half an answer")
                except ConnectionResetError:
                    pass


if __name__ == "__main__":
    unittest.main()
