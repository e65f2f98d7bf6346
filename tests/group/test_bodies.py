"""Large values between nodes, and strangers at the peer port of nodes that are at work."""

import socket
import struct
import threading
import time
import unittest

from cluster import Client, GroupCase, until
from harness import Raw, split_address

BODY_BYTES_MAX = 8 << 20
CALLERS = 10_000
CALLERS_AT_ONCE = 250
CALM_S = 0.5  # a PUT beside all that


class LargeValues(GroupCase):
    alone = True

    def expect_everywhere(self, key, value, metadata, s_max):
        for member in self.cluster:
            until(lambda: member.get(key, metadata, timeout_s=10).status == 200, s_max, self.describe)
            self.assertTrue(member.get(key, metadata, timeout_s=10).json["value"] == value, f"{member.name}: differs")

    def test_a_value_as_large_as_a_body_can_be_replicates(self):
        value = "v" * (BODY_BYTES_MAX - len('{"value": ""}'))
        for number, member in enumerate(self.cluster):
            start = time.monotonic()
            answer = member.put(f"large-{number}", value, timeout_s=15)
            self.assertEqual(answer.status, 201)
            self.figures[f"PUT of 8 MiB at {member.name}"] = f"{time.monotonic() - start:.2f} s"
            self.expect_everywhere(f"large-{number}", value, answer.metadata, 4)
        victim = self.cluster[1]
        victim.kill()
        victim.spawn()
        self.cluster.settle()
        self.assertTrue(victim.get("large-2", answer.metadata, timeout_s=10).json["value"] == value)

    def test_many_large_values_at_once_throw_nobody_out(self):
        value, answers = "w" * (4 << 20), {}

        def write(member):
            with member.client(30) as client:
                for number in range(8):
                    answers[member.name, number] = client.put(f"{member.name}-{number}", value)

        writers = [threading.Thread(target=write, args=(member,)) for member in self.cluster]
        for writer in writers:
            writer.start()
        while any(writer.is_alive() for writer in writers):
            for member in self.cluster:
                self.assertEqual(member.view(), self.cluster.addresses())
            time.sleep(0.05)
        self.assertEqual({answer.status for answer in answers.values()}, {201})
        for (name, number), answer in answers.items():
            self.expect_everywhere(f"{name}-{number}", value, answer.metadata, 4)


class Strangers(GroupCase):
    alone = True

    def setUp(self):
        super().setUp()
        self.target = self.cluster[0]
        host, port = split_address(self.target.address)
        self.peer_address = f"{host}:{port + 10000}"
        self.stop = threading.Event()
        self.faults, self.longest_s = [], 0
        self.worker = threading.Thread(target=self.work)
        self.worker.start()
        self.files = self.target.fd_count()
        self.rss_kib = self.target.rss_kib()

    def work(self):
        """All the while, clients are served as ever and nobody leaves a view."""
        clients, number = [Client(member.address) for member in self.cluster], 0
        while not self.stop.is_set():
            for client in clients:
                start, number = time.monotonic(), number + 1
                answer = client.put(f"calm-{number % 100}", number)
                self.longest_s = max(self.longest_s, time.monotonic() - start)
                if answer.status not in (200, 201):
                    self.faults.append(answer)
                if not set(self.cluster.addresses()) <= set(view := client.view()):
                    self.faults.append(view)
            time.sleep(0.01)

    def tearDown(self):
        self.stop.set()
        self.worker.join()
        self.figures[f"longest PUT ({self._testMethodName})"] = f"{self.longest_s:.3f} s"
        self.assertEqual(self.faults, [])
        self.assertLess(self.longest_s, CALM_S)
        self.target.wait_for_fd_count(self.files + 2)
        self.assertLess(self.target.rss_kib() - self.rss_kib, 64 << 10)
        self.cluster.settle(1)

    def call(self, data, pause_s=0.0):
        with Raw(self.peer_address, timeout_s=5) as raw:
            raw.send_pieces([data])
            time.sleep(pause_s)
            self.random.randrange(2) and raw.reset()

    def test_random_bytes_disturb_nobody(self):
        for _ in range(300):
            self.call(self.random.randbytes(self.random.randrange(1, 2000)))
        for _ in range(5):
            self.call(self.random.randbytes(4 << 20))

    def test_frames_that_end_in_the_middle_disturb_nobody(self):
        """What a node says first, as it would be from each of the others; cut, changed, twice."""
        greeting = self.overhear_greeting()
        for size in range(0, len(greeting), 3):
            self.call(greeting[:size])
        for _ in range(200):
            changed = bytearray(greeting)
            changed[self.random.randrange(len(changed))] ^= 1 << self.random.randrange(8)
            self.call(bytes(changed) + self.random.randbytes(self.random.randrange(50)))

    def overhear_greeting(self):
        """The bytes that a node sends to whom it dials: to a listener here, which the target was told to look for."""
        host, port = split_address(self.target.address)
        own = f"{host.rsplit('.', 1)[0]}.250"
        with socket.socket() as listener:
            listener.bind((own, port + 10000))
            listener.listen()
            listener.settimeout(5)
            stranger = self.cluster[2]
            answer = stranger.ask("PUT", "/view", {"socket-address": f"{own}:{port}"})
            self.assertEqual(answer.status, 201)
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(5)
                greeting = connection.recv(4096)
            self.assertEqual(stranger.ask("DELETE", "/view", {"socket-address": f"{own}:{port}"}).status, 200)
        self.assertGreater(len(greeting), 20)
        return greeting

    def test_10000_callers_disturb_nobody(self):
        start = time.monotonic()
        for _ in range(CALLERS // CALLERS_AT_ONCE):
            raws = [Raw(self.peer_address, timeout_s=5) for _ in range(CALLERS_AT_ONCE)]
            for raw in raws:
                if self.random.randrange(2):
                    raw.send_pieces([struct.pack(">I", self.random.getrandbits(32))])
            for raw in raws:
                raw.reset() if self.random.randrange(2) else raw.close()
        self.figures["10,000 callers"] = f"{time.monotonic() - start:.1f} s"


if __name__ == "__main__":
    unittest.main()
