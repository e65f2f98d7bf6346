"""The port for peers meets strangers: whatever they send, the node closes them and lives on."""

import time
import unittest

from harness import NodeCase, Raw, build_request, split_address


class PeerPort(NodeCase):
    def setUp(self):
        super().setUp()
        host, port = split_address(self.node.address)
        self.peer_address = f"{host}:{port + 10000}"
        self.client.request("GET", "/health")
        self.files = self.node.fd_count()

    def tearDown(self):
        self.node.wait_for_fd_count(self.files)
        super().tearDown()

    def expect_closed(self, data):
        """The node ends the connection by itself."""
        with Raw(self.peer_address, timeout_s=10) as raw:
            raw.send_pieces([data])
            try:
                raw.read_to_end()  # a greeting of its own may come first
            except ConnectionResetError:
                pass

    def test_an_http_request_is_closed(self):
        self.expect_closed(build_request("GET", "/health"))

    def test_garbage_is_closed(self):
        for data in (b"\0" * 4096, b"\xff" * 4096, b"A" * 4096, b"\r\n" * 2048, self.random.randbytes(1 << 20)):
            self.expect_closed(data)

    def test_lengths_beyond_all_bounds_cost_no_memory(self):
        before = self.node.rss_kib()
        for width in (2, 4, 8):
            for value in (2 ** (8 * width) - 1, 2 ** (8 * width - 1), 2 ** (8 * width - 1) - 1):
                for order in ("little", "big"):
                    self.expect_closed(value.to_bytes(width, order) + b"\1" * 70_000)
        self.assertLess(self.node.rss_kib() - before, 16 << 10)

    def test_random_beginnings_and_resets_hurt_nobody(self):
        for _ in range(200):
            raw = Raw(self.peer_address)
            raw.send_pieces([self.random.randbytes(self.random.randrange(0, 200))])
            raw.reset() if self.random.randrange(2) else raw.close()

    def test_strangers_that_say_nothing_do_not_stay_for_ever(self):
        raws = [Raw(self.peer_address, timeout_s=10) for _ in range(20)]
        start = time.monotonic()
        self.expect(self.client.put(self.key(), 1), 201)
        self.assertLess(time.monotonic() - start, 0.5)
        for raw in raws:
            try:
                raw.read_to_end()
            except ConnectionResetError:
                pass
            raw.close()

    def test_strangers_are_in_no_view(self):
        with Raw(self.peer_address) as raw:
            raw.send(b"hello")
            self.assertEqual(self.client.view(), [self.node.address])


if __name__ == "__main__":
    unittest.main()
