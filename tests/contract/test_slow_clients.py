"""Slow senders, idle connections, resets in the middle, readers that do not read."""

import contextlib
import socket
import time
import unittest

from harness import NodeCase, build_request, encode_body, key_path

MIB = 1 << 20
REQUEST_S = 0.7
IDLE_S = 1.2


class Deadlines(NodeCase):
    environment = {"REQUEST_MS": "700", "IDLE_MS": "1200"}

    def drip(self, head, drop, pause_s=0.05):
        """Sends head, then drops until the node answers. Returns (answer, seconds since the first byte)."""
        with self.node.raw(timeout_s=5) as raw:
            start = time.monotonic()
            raw.send(head)
            raw.socket.setblocking(False)
            while time.monotonic() - start < 5:
                try:
                    if data := raw.socket.recv(4096):
                        raw.buffer += data
                    break
                except BlockingIOError:
                    pass
                try:
                    raw.socket.send(drop)
                except OSError:
                    break
                time.sleep(pause_s)
            seconds = time.monotonic() - start
            raw.socket.settimeout(5)
            answer = raw.read_answer()
            raw.expect_end()
            return answer, seconds

    def expect_cut_off(self, head, drop):
        answer, seconds = self.drip(head, drop)
        self.expect(answer, 408)
        self.assertEqual(answer.headers.get("connection", "").lower(), "close")
        self.assertTrue(REQUEST_S - 0.1 <= seconds <= REQUEST_S + 1.5, f"cut off after {seconds:.2f} s")

    def test_a_slow_request_line_is_cut_off(self):
        self.expect_cut_off(b"GET /", b"x")

    def test_slow_headers_are_cut_off(self):
        self.expect_cut_off(b"GET /health HTTP/1.1\r\n", b"X: y\r\n")

    def test_a_slow_body_is_cut_off(self):
        self.expect_cut_off(build_request("PUT", "/kvs/slow", None, ["Content-Length: 5000"]), b" ")

    def test_a_slow_chunked_body_is_cut_off(self):
        self.expect_cut_off(build_request("PUT", "/kvs/slow", None, ["Transfer-Encoding: chunked"]), b"1\r\n \r\n")

    def test_a_sender_that_stops_in_the_middle_is_cut_off(self):
        for part in (b"G", b"GET /health HTTP/1.1\r\nHost: x\r\n", build_request("PUT", "/kvs/a", b'{"value":1}')[:-1]):
            with self.subTest(part=part), self.node.raw(timeout_s=5) as raw:
                raw.send(part)
                start = time.monotonic()
                self.expect(raw.read_answer(), 408)
                self.assertTrue(REQUEST_S - 0.1 <= time.monotonic() - start <= REQUEST_S + 1.5)
                raw.expect_end()

    def test_the_time_of_a_request_starts_with_its_own_first_byte(self):
        with self.node.raw() as raw:
            for _ in range(4):
                data = build_request("PUT", key_path(self.key()), b'{"value":1}')
                raw.send(data[:20])
                time.sleep(0.3)
                raw.send(data[20:])
                self.expect(raw.read_answer(), 201)

    def test_an_idle_connection_is_closed_without_a_word(self):
        for first in (b"", build_request("GET", "/health")):
            with self.subTest(first=first), self.node.raw(timeout_s=5) as raw:
                start = time.monotonic()
                if first:
                    raw.send(first)
                    self.expect(raw.read_answer(), 200)
                raw.expect_end(reset_is_fine=False)
                self.assertTrue(IDLE_S - 0.1 <= time.monotonic() - start <= IDLE_S + 1.5)

    def test_a_connection_in_use_is_not_idle(self):
        with self.node.raw() as raw:
            for _ in range(5):
                raw.send(build_request("GET", "/health"))
                self.expect(raw.read_answer(), 200)
                time.sleep(IDLE_S / 2)

    def test_many_slow_senders_stop_nobody(self):
        raws = [self.node.raw() for _ in range(100)]
        for raw in raws:
            raw.send(b"GET /health HT")
        start = time.monotonic()
        for _ in range(20):
            self.expect(self.client.put(self.key(), 1), 201)
        self.assertLess(time.monotonic() - start, 1)
        for raw in raws:
            self.expect(raw.read_answer(), 408)
            raw.close()


class DeadlineOfALaterRequest(NodeCase):
    """The first bytes of a request may come with the end of the one before; its time runs all the same."""

    environment = {"REQUEST_MS": "400", "IDLE_MS": "60000", "PARK_MS": "200"}

    def expect_408(self, raw):
        start = time.monotonic()
        self.expect(raw.read_answer(), 408)
        self.assertLess(time.monotonic() - start, 2)
        raw.expect_end()

    def test_a_part_that_comes_with_a_whole_request(self):
        with self.node.raw(timeout_s=3) as raw:
            raw.send(build_request("GET", "/health") + b"GET /hea")
            self.expect(raw.read_answer(), 200)
            self.expect_408(raw)

    def test_a_part_that_comes_with_the_second_half_of_a_request(self):
        whole = build_request("GET", "/health")
        with self.node.raw(timeout_s=3) as raw:
            raw.send(whole[:10])
            time.sleep(0.1)
            raw.send(whole[10:] + b"GET /hea")
            self.expect(raw.read_answer(), 200)
            self.expect_408(raw)

    def test_a_part_that_waits_behind_a_parked_request(self):
        with self.node.raw(timeout_s=3) as raw:
            raw.send(build_request("GET", "/kvs/none", encode_body(causal_metadata=self.unknown_metadata()))
                     + b"GET /hea")
            self.expect(raw.read_answer(), 503)
            self.expect_408(raw)

    def test_a_part_that_waits_behind_answers_that_were_not_read(self):
        self.client.put("large", "x" * (4 * MIB))
        with self.node.raw(timeout_s=10, receive_bytes=4096) as raw:
            raw.send(build_request("GET", "/kvs/large") * 2 + b"GET /hea")
            time.sleep(0.8)
            for _ in range(2):
                self.expect(raw.read_answer(), 200)
            self.expect_408(raw)

    def test_a_whole_request_behind_answers_that_were_not_read_is_not_late(self):
        self.client.put("large", "x" * (4 * MIB))
        with self.node.raw(timeout_s=10, receive_bytes=4096) as raw:
            raw.send(build_request("GET", "/kvs/large") * 2 + build_request("GET", "/health"))
            time.sleep(0.8)
            for _ in range(3):
                self.expect(raw.read_answer(), 200)


class LongParking(NodeCase):
    environment = {"REQUEST_MS": "300", "IDLE_MS": "300", "PARK_MS": "1200"}

    def test_a_request_under_way_is_neither_slow_nor_idle(self):
        with self.node.raw() as raw:
            raw.send(build_request("GET", "/kvs/none", encode_body(causal_metadata=self.unknown_metadata())))
            self.expect(raw.read_answer(), 503)


class Leavers(NodeCase):
    def setUp(self):
        super().setUp()
        self.client.request("GET", "/health")  # open the connection before counting
        self.files = self.node.fd_count()

    def tearDown(self):
        self.node.wait_for_fd_count(self.files)
        super().tearDown()

    def test_resets_at_every_byte_of_a_request(self):
        chunked = build_request("PUT", "/kvs/reset", None, ["Transfer-Encoding: chunked"])
        for data in (build_request("PUT", "/kvs/reset", b'{"value":1}'),
                     chunked + b'b\r\n{"value":1}\r\n0\r\n\r\n'):
            for size in range(0, len(data) + 1, 2):
                raw = self.node.raw()
                raw.send(data[:size])
                raw.reset()

    def test_resets_with_answers_unread(self):
        data = build_request("GET", "/kvs/none") * 50
        for _ in range(100):
            raw = self.node.raw()
            raw.send(data)
            raw.reset()

    def test_resets_in_the_middle_of_a_large_answer(self):
        self.client.put("large", "x" * MIB)
        for _ in range(20):
            raw = self.node.raw(receive_bytes=4096)
            raw.send(build_request("GET", "/kvs/large") * 3)
            raw.socket.recv(1000)
            raw.reset()
        self.client.delete("large")

    def test_resets_in_the_middle_of_a_large_body(self):
        for size in (1000, 100_000, 4 * MIB):
            for _ in range(5):
                raw = self.node.raw()
                raw.send(build_request("PUT", "/kvs/part", None, [f"Content-Length: {5 * MIB}"]) + b" " * size)
                raw.reset()
        self.expect(self.client.get("part"), 404)

    def test_connections_opened_and_closed_without_a_word(self):
        for leave in ("close", "reset", "half_close"):
            for _ in range(100):
                raw = self.node.raw()
                getattr(raw, leave)()
                raw.close()

    def test_a_client_that_closes_at_once_after_a_put_has_put(self):
        key = self.key()
        raw = self.node.raw()
        raw.send(build_request("PUT", key_path(key), b'{"value":1}'))
        raw.close()
        limit = time.monotonic() + 2
        while self.client.get(key).status != 200:
            self.assertLess(time.monotonic(), limit)


class SlowReaders(NodeCase):
    """Who takes something of an answer now and then is slow, who takes nothing is gone."""

    environment = {"STALL_MS": "1000"}
    VALUE = "v" * (8 * MIB - 100)

    def test_a_slow_reader_keeps_its_connection(self):
        self.client.put("slow", self.VALUE)
        with self.node.raw() as raw:
            raw.send(build_request("GET", "/kvs/slow"))
            # Far less than what makes the kernel ask the node for more: between two such moments lie many seconds.
            for _ in range(40):
                time.sleep(0.15)
                self.assertGreater(len(raw.socket.recv(16 << 10)), 0)
            got = 0
            while (piece := raw.socket.recv(1 << 20)) and got < 6 * MIB:
                got += len(piece)
            self.assertGreaterEqual(got, 6 * MIB, "the connection was closed under a slow reader")

    def test_a_reader_that_takes_nothing_is_closed(self):
        self.client.put("slow", self.VALUE)
        with self.node.raw(receive_bytes=4096) as raw:
            raw.send(build_request("GET", "/kvs/slow"))
            time.sleep(3.5)
            raw.socket.settimeout(5)
            got = 0
            with contextlib.suppress(ConnectionError):
                while piece := raw.socket.recv(1 << 20):
                    got += len(piece)
            self.assertLess(got, len(self.VALUE), "the whole answer came: nobody had closed")


class NonReaders(NodeCase):
    """What a client does not read must not pile up in the node."""

    VALUE = "0123456789abcdef" * (1 << 14)  # 256 KiB
    RSS_KIB_MAX = 32 << 10  # growth allowed while answers of hundreds of MiB are asked for

    def test_pipelined_large_gets_that_nobody_reads_stay_bounded(self):
        self.client.put("large", self.VALUE)
        before = self.node.rss_kib()
        raws = [self.node.raw(receive_bytes=4096) for _ in range(4)]
        for raw in raws:
            raw.send(build_request("GET", "/kvs/large") * 200)
        for _ in range(10):
            time.sleep(0.1)
            self.expect(self.client.get("none"), 404)
            self.assertLess(self.node.rss_kib() - before, self.RSS_KIB_MAX)
        raws[0].socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        for _ in range(200):  # one of them reads after all, and gets every answer
            answer = raws[0].read_answer()
            self.assertEqual(answer.status, 200)
            self.assertIn(self.VALUE.encode(), answer.body)
        for raw in raws:
            raw.close()

    def test_a_sender_of_requests_that_reads_nothing_is_held_back(self):
        request = build_request("GET", "/health")
        before = self.node.rss_kib()
        with self.node.raw(receive_bytes=4096) as raw:
            raw.socket.setblocking(False)
            block, sent, quiet_since = request * 1000, 0, time.monotonic()
            while time.monotonic() - quiet_since < 0.7 and sent < 256 * MIB:
                try:
                    # Always go on from where the last partial send ended inside the block.
                    sent += raw.socket.send(block[sent % len(block):])
                    quiet_since = time.monotonic()
                except BlockingIOError:
                    time.sleep(0.01)
            self.assertLess(sent, 256 * MIB, "the node takes requests for ever without an answer read")
            self.assertLess(self.node.rss_kib() - before, self.RSS_KIB_MAX)
            self.expect(self.client.put(self.key(), 1), 201)
            raw.socket.settimeout(10)
            for _ in range(min(2000, sent // len(request))):
                self.expect(raw.read_answer(), 200)

    def test_answers_are_whole_when_read_in_tiny_steps(self):
        self.client.put("tiny-steps", "z" * 20_000)
        with self.node.raw(receive_bytes=2048) as raw:
            raw.send(build_request("GET", "/kvs/tiny-steps") * 3)
            for _ in range(30):
                raw.buffer += raw.socket.recv(100)
                time.sleep(0.001)
            for _ in range(3):
                self.assertEqual(raw.read_answer().json["value"], "z" * 20_000)

    def test_a_non_reader_does_not_delay_others(self):
        self.client.put("large", self.VALUE)
        with self.node.raw(receive_bytes=4096) as raw:
            raw.send(build_request("GET", "/kvs/large") * 100)
            start = time.monotonic()
            for _ in range(50):
                self.expect(self.client.get("none"), 404)
            self.assertLess(time.monotonic() - start, 2)


class LargeBodiesThatNeverEnd(NodeCase):
    def test_unfinished_bodies_cost_what_was_sent_and_are_given_back(self):
        before, files = self.node.rss_kib(), self.node.fd_count()
        raws = [self.node.raw() for _ in range(50)]
        for raw in raws:  # declared 7 MiB each, 350 MiB in all, sent 1 KiB each
            raw.send(build_request("PUT", "/kvs/never", None, [f"Content-Length: {7 * MIB}"]) + b" " * 1024)
        time.sleep(0.3)
        self.expect(self.client.get("never"), 404)
        self.assertLess(self.node.rss_kib() - before, 32 << 10)
        for raw in raws:
            raw.close()
        self.client.close()
        self.node.wait_for_fd_count(files)

    def test_a_client_that_never_reads_the_413_is_let_go(self):
        files = self.node.fd_count()
        with self.node.raw(receive_bytes=4096) as raw:
            raw.send(build_request("PUT", "/kvs/never", None, [f"Content-Length: {9 * MIB}"]))
            raw.half_close()
            limit = time.monotonic() + 5
            while self.node.fd_count() > files:
                self.assertLess(time.monotonic(), limit, "the connection is still open on the side of the node")
                time.sleep(0.05)


if __name__ == "__main__":
    unittest.main()
