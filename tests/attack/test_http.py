"""Attacks on the port of clients, below HTTP and by it."""

import selectors
import time
import unittest

from beside import LONG, MIB, AttackCase, connect, discard, drop, streams
from harness import build_request, encode_body, pipeline

THOUSANDS = 4000 if LONG else 2000
VALUE = "0123456789abcdef" * (1 << 12)  # 64 KiB


class SlowSenders(AttackCase):
    def test_slow_loris_by_the_thousand(self):
        """Each has begun a request, and goes on by a byte now and then."""
        def attack():
            begun = build_request("GET", "/kvs/slow", headers=["X-Long: "])[:-4]
            raws = []
            for _ in range(THOUSANDS):
                s = connect(self.node.reach)
                s.send(begun)
                raws.append(s)
            yield
            while True:
                for at, s in enumerate(raws):
                    try:
                        s.send(b"x")
                    except OSError:
                        drop(s)
                        raws[at] = connect(self.node.reach)
                    if at % 50 == 49:
                        yield 50
                        time.sleep(0.02)
        self.beside(attack, "bytes")

    def test_connections_in_a_hot_loop(self):
        """Connect, a byte, reset: as fast as one process can."""
        def attack():
            yield
            while True:
                s = connect(self.node.reach)
                s.send(b"G")
                drop(s)
                yield 1
        self.beside(attack, "connections")


class Pipelines(AttackCase):
    @classmethod
    def setUpClass(cls, wait_ready=True):
        super().setUpClass(wait_ready)
        pipeline(cls.node.reach, [build_request("PUT", "/kvs/large", encode_body(value=VALUE))])

    def test_pipelining_without_reading(self):
        """Large answers are asked for by the hundred, none is taken; then the same again on a new connection."""
        requests = build_request("GET", "/kvs/large") * 200

        def attack():
            raws = []
            yield
            while True:
                s = connect(self.node.reach, receive_bytes=4096)
                s.send(requests)
                raws.append(s)
                if len(raws) > 200:
                    drop(raws.pop(0))
                yield 200
        self.beside(attack, "requests")

    def test_pipelining_small_requests_without_reading(self):
        """As many requests as the kernel takes, answers small; never one read."""
        requests = build_request("GET", "/kvs/none") * 3000
        self.beside(lambda: streams(self.node.reach, requests, 64, reads=False, receive_bytes=4096), "bytes")

    def test_pipelining_and_reading(self):
        """As many small requests as the node answers."""
        requests = build_request("GET", "/kvs/none") * 3000
        self.beside(lambda: streams(self.node.reach, requests, 8), "bytes")

    def test_pipelining_nonsense(self):
        """Requests that are refused one by one, without an end of the connection."""
        requests = (build_request("PUT", "/kvs/bad", b"{") + build_request("BREW", "/kvs/bad")
                    + build_request("GET", "/nowhere") + build_request("PUT", "/kvs/" + "k" * 60, b'{"value":1}')) * 500
        self.beside(lambda: streams(self.node.reach, requests, 8), "bytes")


class Bodies(AttackCase):
    """Large bodies, one after the other, on connections that take turns. The node has them whole before it reads them."""

    COUNT = 8
    SIZE = 8 * MIB - 64

    def bodies(self, body, method="PUT", path="/kvs/giant"):
        request = build_request(method, path, body)
        self.beside(lambda: streams(self.node.reach, request, self.COUNT), "bytes")

    def filled(self, start, piece, end):
        return start + piece * ((self.SIZE - len(start) - len(end)) // len(piece)) + end

    def test_giant_json_string(self):
        self.bodies(self.filled(b'{"value":"', b"x", b'"}'))

    def test_giant_json_numbers(self):
        self.bodies(self.filled(b'{"value":[1', b",1", b"]}"))

    def test_giant_json_escapes(self):
        self.bodies(self.filled(b'{"value":"', b"\\ud83d\\ude00", b'"}'))

    def test_giant_json_that_ends_wrong(self):
        self.bodies(self.filled(b'{"value":[[]', b",{}", b"]"))

    def test_giant_json_of_empty_members(self):
        self.bodies(self.filled(b'{"value":1', b',"":0', b"}"))

    def test_nested_json(self):
        nest = b"[" * 120 + b"]" * 120
        self.bodies(self.filled(b'{"value":[' + nest, b"," + nest, b"]}"))

    def test_json_nested_too_deeply(self):
        self.bodies(b'{"value":' + b"[" * (self.SIZE - 16))

    def test_chunks_of_one_byte(self):
        head = build_request("PUT", "/kvs/chunks", None, ["Transfer-Encoding: chunked"])
        body = b'{"value":"' + b"x" * (MIB - 20) + b'"}'
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
        self.beside(lambda: streams(self.node.reach, head + chunks + b"0\r\n\r\n", self.COUNT), "bytes")

    def test_giant_heads(self):
        request = build_request("GET", "/kvs/none", None, [f"X-{i}: " + "y" * 8 for i in range(900)])
        self.assertLess(len(request), 16 << 10)
        self.beside(lambda: streams(self.node.reach, request * 64, self.COUNT), "bytes")


if __name__ == "__main__":
    unittest.main()
