"""Limits under attack: connections, those of one address, what is kept for clients, what waits. Beyond each the node says
no, goes on serving the others, and forgets all of it when they have gone."""

import contextlib
import re
import signal
import time
import unittest

from harness import EndOfStream, NodeCase, build_request, encode_body, key_path, run_to_exit
from test_under_way import make_pair, start_pair

KIB, MIB = 1 << 10, 1 << 20
TOO_MUCH = "Too much is buffered for clients; try again later"


class LimitCase(NodeCase):
    def open(self, count, **options):
        """So many connections, each of which has asked something: the node knows them all."""
        raws = [self.node.raw(**options) for _ in range(count)]
        for raw in raws:
            self.addCleanup(raw.close)
            self.ask(raw)
        return raws

    def ask(self, raw, method="GET", path="/health", body=None):
        raw.send(build_request(method, path, body))
        return self.expect(raw.read_answer(), 200)

    def metrics(self, client=None):
        text = (client or self.client).request("GET", "/metrics").body.decode()
        return {name: int(value) for name, value in re.findall(r"^(\w+) (\d+)$", text, re.MULTILINE)}

    def wait_for_metric(self, name, value, timeout_s=5):
        limit = time.monotonic() + timeout_s
        while (now := self.metrics()[name]) != value:
            self.assertLess(time.monotonic(), limit, f"{name} is {now}, not {value}")
            time.sleep(0.02)

    def expect_refusal(self, raw, status, error):
        answer = self.expect(raw.read_answer(), status, error)
        self.assertEqual(answer.headers["connection"], "close")
        self.assertIn("retry-after", answer.headers)
        raw.expect_end(reset_is_fine=False)
        return answer

    def logged(self, name):
        return len(re.findall(rf" warn limit: {name}: ", self.node.stderr()))


class Connections(LimitCase):
    environment = {"MAX_CONNECTIONS": "20"}
    ERROR = "Too many connections"

    def tearDown(self):
        self.doCleanups()  # or the honest request of the harness would be one too many
        super().tearDown()

    def test_one_too_many_is_answered_and_closed(self):
        before = self.metrics()
        raws = self.open(19)
        self.assertEqual(self.metrics()["kvs_connections_open"], 20)
        for _ in range(10):
            with self.node.raw() as raw:
                self.expect_refusal(raw, 503, self.ERROR)
        for raw in raws:
            self.ask(raw)
        after = self.metrics()
        self.assertEqual(after["kvs_connections_open_max"], 20)
        self.assertEqual(after["kvs_connections_refused_total"] - before["kvs_connections_refused_total"], 10)
        self.assertEqual(after["kvs_connections_accepted_total"] - before["kvs_connections_accepted_total"], 19)

    def test_who_has_already_sent_a_request_reads_the_refusal_all_the_same(self):
        self.open(19)
        self.metrics()
        for request in (build_request("GET", "/health"), build_request("PUT", "/kvs/k", b" " * 200 * KIB)):
            for _ in range(20):
                with self.node.raw() as raw:
                    raw.send_pieces([request])
                    self.expect(raw.read_answer(), 503, self.ERROR)
                    raw.expect_end(reset_is_fine=False)

    def test_a_connection_that_is_closed_makes_room(self):
        raws = self.open(19)
        self.metrics()
        for raw in raws[:5]:
            with self.node.raw() as refused:
                self.expect_refusal(refused, 503, self.ERROR)
            raw.close()
            self.wait_for_metric("kvs_connections_open", 19)
            self.open(1)
            self.assertEqual(self.metrics()["kvs_connections_open"], 20)

    def test_a_storm_of_connections_keeps_nobody_waiting_and_is_forgotten(self):
        self.client.put("k", 1)
        files, memory = self.node.fd_count(), self.node.rss_kib()
        self.open(19)
        slowest = 0
        for _ in range(30):
            storm = [self.node.raw() for _ in range(100)]
            start = time.monotonic()
            self.expect(self.client.get("k"), 200)
            slowest = max(slowest, time.monotonic() - start)
            for raw in storm[::2]:
                raw.send_pieces([build_request("GET", "/health")])
            for raw in storm:
                raw.close()
        self.assertLess(slowest, 0.5)
        self.assertLess(self.node.rss_kib() - memory, 8 * KIB)
        self.doCleanups()
        self.client.request("GET", "/health")
        self.node.wait_for_fd_count(files)
        self.assertEqual(self.logged("MAX_CONNECTIONS"), 1)

    def test_a_node_that_has_as_many_as_it_may_have_is_well(self):
        self.open(19)
        self.client.request("GET", "/health")
        refused = self.metrics()["kvs_connections_refused_total"]
        code, _, error = run_to_exit({"SOCKET_ADDRESS": self.node.address}, ["--health"])
        self.assertEqual((code, error), (0, ""))
        self.assertEqual(self.metrics()["kvs_connections_refused_total"], refused + 1)

    def test_a_node_that_refuses_stops_in_time(self):
        self.open(19)
        self.client.request("GET", "/health")
        before = self.metrics()["kvs_connections_refused_total"]
        refused = [self.node.raw() for _ in range(50)]
        self.wait_for_metric("kvs_connections_refused_total", before + 50)
        self.node.stop()
        for raw in refused:
            self.expect(raw.read_answer(), 503)
            raw.close()
        self.doCleanups()
        self.setUpClass()
        self.setUp()


class OneAddress(LimitCase):
    environment = {"MAX_CONNECTIONS_PER_CLIENT": "5"}
    ERROR = "Too many connections from this address"

    def setUp(self):
        super().setUp()
        self.client.request("GET", "/health")

    def test_one_too_many_of_an_address_is_answered_and_others_are_served(self):
        before = self.metrics()
        raws = self.open(5, source="127.0.0.2")
        for _ in range(10):
            with self.node.raw(source="127.0.0.2") as raw:
                self.expect_refusal(raw, 429, self.ERROR)
            self.open(1, source="127.0.0.3")[0].close()
        for raw in raws:
            self.ask(raw)
        after = self.metrics()
        self.assertEqual(after["kvs_clients_full"], 1)
        self.assertEqual(after["kvs_connections_per_client_max"], 5)
        self.assertEqual(after["kvs_connections_per_client_refused_total"]
                         - before["kvs_connections_per_client_refused_total"], 10)
        self.assertEqual(self.logged("MAX_CONNECTIONS_PER_CLIENT"), 1)
        self.assertRegex(self.node.stderr(), "just now 127[.]0[.]0[.][24]\n")

    def test_a_connection_that_is_closed_makes_room(self):
        raws = self.open(5, source="127.0.0.4")
        for number, raw in enumerate(raws):
            raw.reset() if number % 2 else raw.close()
            self.wait_for_metric("kvs_connections_open", 5)
            self.open(1, source="127.0.0.4")
            with self.node.raw(source="127.0.0.4") as refused:
                self.expect_refusal(refused, 429, self.ERROR)

    def test_many_addresses_come_and_go(self):
        for number in range(300):
            raw = self.open(1, source=f"127.1.{number % 3}.{number % 100 + 1}")[0]
            if number % 4:
                raw.close()
        self.doCleanups()
        self.client.request("GET", "/health")
        self.wait_for_metric("kvs_clients", 1)
        self.assertEqual(self.metrics()["kvs_clients_full"], 0)


class BufferedCase(LimitCase):
    """64 connections at most, so a share of 32 KiB, and 2 MiB for those who want more."""

    environment = {"MAX_CONNECTIONS": "64", "MAX_BUFFERED": "4M", "REQUEST_MS": "20000", "STALL_MS": "20000"}
    RSS_KIB_MAX = (4 + 8 + 8) * KIB  # the limit, one request, and what the allocator and the sanitizer make of it

    def setUp(self):
        super().setUp()
        self.honest()
        self.memory = self.node.rss_kib()

    def tearDown(self):
        self.doCleanups()
        self.client = self.node.client()
        self.wait_for_metric("kvs_buffered_bytes", 0)
        self.client.close()
        super().tearDown()

    def honest(self):
        """Small requests are served, whatever the others do; what is kept stays within its bounds."""
        key = self.key()
        self.expect(self.client.put(key, "h" * 500), 201)
        self.expect(self.client.get(key), 200)
        metrics = self.metrics()
        self.assertLessEqual(metrics["kvs_buffered_bytes"], metrics["kvs_buffered_bytes_max"] + 8 * MIB)
        return metrics

    def begin_body(self, sent, whole=7 * MIB):
        raw = self.node.raw()
        self.addCleanup(raw.close)
        raw.send_pieces([build_request("PUT", "/kvs/never", None, [f"Content-Length: {whole}"]) + b" " * sent])
        return raw


class Buffered(BufferedCase):
    def fill(self):
        """Connections that keep all that there is beyond the shares."""
        raws = []
        for sent in (300 * KIB, 60 * KIB):
            refused = self.metrics()["kvs_buffered_refused_total"]
            while self.metrics()["kvs_buffered_refused_total"] == refused:
                raws.append(self.begin_body(sent))
                self.assertLess(len(raws), 50, "nobody is refused")
                time.sleep(0.02)
            raw = raws.pop()
            self.expect_refusal(raw, 503, TOO_MUCH)
            raw.close()
        while self.metrics()["kvs_buffered_bytes"] <= 2 * MIB:  # who was refused has given back what it kept
            raws.append(self.begin_body(14 * KIB))
            self.assertLess(len(raws), 50, "nothing is kept")
            time.sleep(0.02)
        return raws

    def test_bodies_that_do_not_end_are_kept_up_to_a_limit_and_refused_beyond(self):
        before = self.metrics()["kvs_buffered_refused_total"]
        raws = [self.begin_body(2 * MIB) for _ in range(40)]
        refused = 0
        for _ in range(5):
            self.honest()
            self.assertLess(self.node.rss_kib() - self.memory, self.RSS_KIB_MAX)
            time.sleep(0.05)
        for raw in raws:
            raw.socket.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                refused += self.expect(raw.read_answer(), 503, TOO_MUCH).status == 503
        self.assertGreaterEqual(refused, 37)
        self.assertLess(refused, 40, "somebody was there first")
        self.assertEqual(self.honest()["kvs_buffered_refused_total"] - before, refused)
        self.assertGreaterEqual(self.logged("MAX_BUFFERED"), 1)

    def test_beginnings_within_the_share_are_kept_and_can_be_completed(self):
        raws = self.fill()
        small, body = [], encode_body(value="s" * 20 * KIB)
        for _ in range(64 - len(raws) - 3):  # this one, and those that were refused and linger
            raw = self.node.raw()
            self.addCleanup(raw.close)
            small.append((raw, build_request("PUT", key_path(self.key()), body)))
        for part in range(4):
            for raw, request in small:
                raw.send(request[len(request) * part // 4:len(request) * (part + 1) // 4])
            self.honest() if part < 3 else None
        for raw, _ in small:
            self.expect(raw.read_answer(), 201)

    def test_what_is_given_back_can_be_had_again(self):
        raws = self.fill()
        refused = self.begin_body(300 * KIB)
        self.expect_refusal(refused, 503, TOO_MUCH)
        for raw in raws:
            raw.close()
        self.wait_for_metric("kvs_buffered_bytes", 0)
        self.expect(self.client.put(self.key(), "v" * MIB), 201)

    def test_a_listing_is_refused_while_too_much_is_kept(self):
        raws = self.fill()
        self.expect(self.client.request("GET", "/kvs?limit=1"), 503, TOO_MUCH)
        self.expect(self.client.request("GET", "/health"), 200)
        for raw in raws:
            raw.close()
        self.wait_for_metric("kvs_buffered_bytes", 0)
        self.expect(self.client.request("GET", "/kvs?limit=1"), 200)

    def test_what_stands_before_a_refused_request_is_answered(self):
        self.fill()
        with self.node.raw() as raw:
            raw.send_pieces([build_request("GET", "/health") * 3
                             + build_request("PUT", "/kvs/never", None, [f"Content-Length: {MIB}"]) + b" " * 500 * KIB])
            for _ in range(3):
                self.expect(raw.read_answer(), 200)
            self.expect_refusal(raw, 503, TOO_MUCH)

    def test_small_requests_in_a_row_are_all_answered(self):
        self.fill()
        with self.node.raw() as raw:
            for _ in range(20):
                raw.send(build_request("PUT", key_path("row"), encode_body(value="r" * 300)) * 50)
                for _ in range(50):
                    self.assertIn(raw.read_answer().status, (200, 201))


class NonReaders(BufferedCase):
    environment = {**BufferedCase.environment, "MAX_BUFFERED": "16M"}
    RSS_KIB_MAX = (16 + 8 + 8) * KIB
    VALUE = "v" * 6 * MIB  # more than the kernel takes at once

    def setUp(self):
        super().setUp()
        self.expect(self.client.put("large", self.VALUE), 201)
        self.wait_for_metric("kvs_buffered_bytes", 0)
        self.memory = self.node.rss_kib()

    def test_who_does_not_take_large_answers_is_closed_beyond_the_limit(self):
        before = self.metrics()["kvs_buffered_refused_total"]
        raws = [self.node.raw(receive_bytes=4096) for _ in range(60)]
        for raw in raws:
            self.addCleanup(raw.close)
            raw.send_pieces([build_request("GET", "/kvs/large") * 2])
            if raw is raws[30]:
                self.honest()
        for _ in range(5):
            self.honest()
            self.assertLess(self.node.rss_kib() - self.memory, self.RSS_KIB_MAX)
            time.sleep(0.05)
        metrics = self.honest()
        closed = metrics["kvs_buffered_refused_total"] - before
        self.assertGreater(closed, 40)
        self.assertLess(closed, 60, "somebody was there first")
        self.assertEqual(metrics["kvs_connections_open"], 1 + 60 - closed)


class BufferedInAPair(LimitCase):
    """Writes wait for the other node: their bodies count, and answers stand in their order behind them."""

    environment = {"MAX_CONNECTIONS": "64", "MAX_BUFFERED": "1M"}  # a share of 8 KiB

    @classmethod
    def setUpClass(cls):
        pair = make_pair(cls.environment)
        start_pair(pair, lambda node: cls.addClassCleanup(node.kill))
        cls.node, cls.other = pair

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.other.stop()

    def answers(self, raw):
        """The statuses up to the end of the stream, or until nothing more comes."""
        statuses = []
        raw.socket.settimeout(2)
        with contextlib.suppress(EndOfStream, TimeoutError, ConnectionError):
            while True:
                statuses.append(raw.read_answer().status)
                if len(statuses) == 16:
                    raw.socket.settimeout(0.05)
        return statuses

    def test_writes_that_wait_count_and_are_answered_when_they_are_done(self):
        self.client.request("GET", "/health")
        raws = [self.node.raw() for _ in range(50)]
        self.other.process.send_signal(signal.SIGSTOP)
        try:
            for raw in raws:
                self.addCleanup(raw.close)
                raw.send(b"".join(build_request("PUT", f"/kvs/w{number}", encode_body(value="w" * 3000))
                                  for number in range(16)))
            time.sleep(0.2)
            metrics = self.metrics()
            self.assertGreater(metrics["kvs_buffered_bytes"], 400 * KIB)
            self.assertLess(metrics["kvs_buffered_bytes"], MIB + 128 * KIB)
        finally:
            self.other.process.send_signal(signal.SIGCONT)
        whole = 0
        for raw in raws:
            statuses = self.answers(raw)
            self.assertGreaterEqual(len(statuses), 1)
            done = [status for status in statuses if status in (200, 201)]
            self.assertEqual(statuses[:len(done)], done, "what was begun is answered first")
            self.assertIn(statuses[len(done):], ([], [503]))
            whole += len(done) == 16
        self.assertGreater(whole, 3)
        self.assertLess(whole, 50)
        self.doCleanups()
        self.client = self.node.client()
        self.wait_for_metric("kvs_buffered_bytes", 0)

    def test_one_write_after_the_other_is_served_whatever_is_kept(self):
        hogs = [self.node.raw() for _ in range(12)]
        for raw in hogs:
            self.addCleanup(raw.close)
            raw.send_pieces([build_request("PUT", "/kvs/never", None, [f"Content-Length: {MIB}"]) + b" " * 60 * KIB])
        time.sleep(0.2)
        self.assertGreater(self.metrics()["kvs_buffered_refused_total"], 0)
        for number in range(50):
            self.expect(self.client.put(self.key(), "v" * 3000), 201)
        answer = self.client.put(self.key(), "v" * 12_000)  # beyond a share, and would have to be kept
        self.expect(answer, 503, TOO_MUCH)
        self.expect(self.client.put(self.key(), "v" * 3000), 201)


class Parked(LimitCase):
    environment = {"MAX_PARKED": "3", "PARK_MS": "1500"}
    ERROR = "Causal dependencies not satisfied; try again later"

    def test_beyond_the_limit_nobody_waits(self):
        request = build_request("GET", "/kvs/none", encode_body(causal_metadata=self.unknown_metadata()))
        raws = self.open(3)
        for raw in raws:
            raw.send(request)
        self.wait_for_metric("kvs_parked", 3)
        for _ in range(4):
            start = time.monotonic()
            answer = self.client.get("none", self.unknown_metadata())
            self.expect(answer, 503, self.ERROR)
            self.assertLess(time.monotonic() - start, 1)
        metrics = self.metrics()
        self.assertEqual(metrics["kvs_parked_max"], 3)
        self.assertEqual(metrics["kvs_parked_bytes_max"], 64 * MIB)
        self.assertEqual(metrics["kvs_parked_refused_total"], 4)
        for raw in raws:
            self.expect(raw.read_answer(), 503, self.ERROR)
        self.wait_for_metric("kvs_parked", 0)
        self.assertEqual(self.metrics()["kvs_parked_bytes"], 0)
        self.assertEqual(self.metrics()["kvs_buffered_bytes"], 0)
        self.assertEqual(self.logged("MAX_PARKED"), 1)


class Forwarded(LimitCase):
    """Two shards of a node each; the other one does not answer for a moment."""

    environment = {"SHARD_COUNT": "2", "MAX_FORWARDED": "2", "PARK_MS": "200"}
    ERROR = "Cannot forward request"

    @classmethod
    def setUpClass(cls):
        pair = make_pair(cls.environment)
        start_pair(pair, lambda node: cls.addClassCleanup(node.kill))
        cls.node, cls.other = pair

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.other.stop()

    def foreign_key(self):
        own = self.client.request("GET", "/shard/node-shard-id").json["node-shard-id"]
        while self.client.put(key := self.key(), 1).json["shard-id"] == own:
            pass
        return key

    def test_beyond_the_limit_they_wait_for_room_and_are_refused(self):
        key = self.foreign_key()
        raws = self.open(5)
        self.other.process.send_signal(signal.SIGSTOP)
        try:
            for raw in raws:
                raw.send(build_request("GET", key_path(key)))
            self.wait_for_metric("kvs_forwarded", 2)
            for raw in raws[2:]:
                self.expect(raw.read_answer(), 503, self.ERROR)
        finally:
            self.other.process.send_signal(signal.SIGCONT)
        for raw in raws[:2]:
            self.assertIn(raw.read_answer().status, (200, 503))
        metrics = self.metrics()
        self.assertEqual(metrics["kvs_forwarded_max"], 2)
        self.assertEqual(metrics["kvs_forwarded"], 0)
        self.assertEqual(metrics["kvs_forwarded_bytes"], 0)
        self.assertGreaterEqual(metrics["kvs_forwarded_refused_total"], 3)
        self.assertEqual(self.logged("MAX_FORWARDED"), 1)


class ManyIdle(NodeCase):
    def test_many_idle_connections_of_one_address_are_welcome(self):
        self.client.request("GET", "/health")
        memory = self.node.rss_kib()
        raws = []
        for _ in range(1000):
            raws.append(self.node.raw())
            raws[-1].send(build_request("GET", "/health"))
        for raw in raws:
            self.expect(raw.read_answer(), 200)
        self.assertLess(self.node.rss_kib() - memory, 1000)  # less than 1 KiB each, redzones and all
        for raw in raws:
            raw.close()


if __name__ == "__main__":
    unittest.main()
