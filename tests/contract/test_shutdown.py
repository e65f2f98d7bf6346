"""SIGTERM: stop accepting, answer what runs, exit 0 within 2 s, whatever clients do."""

import signal
import socket
import time
import unittest

from harness import EMPTY_METADATA, EndOfStream, Node, build_request, encode_body, pipeline, split_address

PARKED = build_request("GET", "/kvs/parked", encode_body(
    causal_metadata={**EMPTY_METADATA, "clock": {"127.0.0.1:8090#00000000000000ff": 1}}))


class Shutdown(unittest.TestCase):
    def start(self, **environment):
        node = Node(environment).start()
        self.addCleanup(node.kill)
        return node

    def expect_exit(self, node):
        start = time.monotonic()
        node.stop()
        self.assertLess(time.monotonic() - start, 2)

    def test_an_idle_node_exits_0(self):
        self.expect_exit(self.start())

    def test_idle_connections_are_closed(self):
        node = self.start()
        raws = [node.raw() for _ in range(20)]
        for raw in raws[:10]:
            raw.send(build_request("GET", "/health"))
            self.assertEqual(raw.read_answer().status, 200)
        self.expect_exit(node)
        for raw in raws:
            raw.expect_end()
            raw.close()

    def test_a_parked_request_gets_its_answer(self):
        node = self.start(PARK_MS="800")
        with node.raw() as raw:
            raw.send(PARKED)
            time.sleep(0.2)
            node.terminate()
            self.assertEqual(raw.read_answer().status, 503)
            raw.expect_end(reset_is_fine=False)
        node.expect_clean_exit()

    def test_a_long_parked_request_does_not_hold_up_the_exit(self):
        node = self.start(PARK_MS="60000")
        with node.raw() as raw:
            raw.send(PARKED)
            time.sleep(0.2)
            self.expect_exit(node)

    def test_nobody_new_is_accepted_while_the_rest_is_answered(self):
        node = self.start(PARK_MS="1200")
        with node.raw() as parked:
            parked.send(PARKED)
            time.sleep(0.2)
            node.terminate()
            time.sleep(0.3)
            self.assertTrue(node.running())
            with self.assertRaises((ConnectionError, EndOfStream)), node.raw() as late:
                late.send(build_request("GET", "/health"))
                late.read_answer()
            self.assertEqual(parked.read_answer().status, 503)
        node.expect_clean_exit()

    def test_requests_received_before_the_signal_are_answered(self):
        node = self.start()
        with node.raw() as raw:
            raw.send(build_request("GET", "/health"))  # the node has accepted this connection
            self.assertEqual(raw.read_answer().status, 200)
            node.process.send_signal(signal.SIGSTOP)  # so that request and SIGTERM wait for the node together
            raw.send(build_request("PUT", "/kvs/last", b'{"value":1}'))
            node.terminate()
            time.sleep(0.05)
            node.process.send_signal(signal.SIGCONT)
            self.assertEqual(raw.read_answer().status, 201)
            node.expect_clean_exit()

    def test_half_a_request_does_not_hold_up_the_exit(self):
        node = self.start()
        raws = [node.raw() for _ in range(3)]
        raws[0].send(b"GET /hea")
        raws[1].send(build_request("PUT", "/kvs/half", None, ["Content-Length: 1000"]) + b'{"value"')
        raws[2].send(build_request("PUT", "/kvs/half", None, ["Transfer-Encoding: chunked"]) + b"5\r\nab")
        time.sleep(0.1)
        self.expect_exit(node)
        for raw in raws:
            raw.close()

    def test_a_client_that_does_not_read_does_not_hold_up_the_exit(self):
        node = self.start()
        with node.client() as client:
            client.put("large", "x" * (1 << 20))
        with node.raw(receive_bytes=4096) as raw:
            raw.send(build_request("GET", "/kvs/large") * 50)
            time.sleep(0.2)
            self.expect_exit(node)

    def test_a_client_that_goes_on_asking_does_not_hold_up_the_exit(self):
        node = self.start()
        with node.raw() as raw:
            raw.send(build_request("GET", "/health") * 20)
            node.terminate()
            start = time.monotonic()
            try:
                while time.monotonic() - start < 2:
                    raw.send(build_request("GET", "/health"))
                    raw.read_answer()
            except (ConnectionError, EndOfStream):
                pass
            self.assertLess(time.monotonic() - start, 2)
        node.expect_clean_exit()

    def test_a_listing_that_is_being_read_is_finished(self):
        node = self.start()
        body = encode_body(value="v" * 1000)
        pipeline(node.reach, [build_request("PUT", f"/kvs/listed{number}", body) for number in range(20_000)])
        with node.raw(receive_bytes=1 << 16) as raw:
            raw.send(build_request("GET", "/kvs"))
            raw.buffer += raw.socket.recv(1000)  # 20 MB are to come, more than the kernel holds
            node.terminate()
            self.assertEqual(len(raw.read_answer().json["kvs"]), 20_000)
        node.expect_clean_exit()

    def test_a_second_signal_changes_nothing(self):
        node = self.start(PARK_MS="800")
        with node.raw() as raw:
            raw.send(PARKED)
            time.sleep(0.2)
            for _ in range(3):
                node.terminate()
                time.sleep(0.05)
            self.assertEqual(raw.read_answer().status, 503)
        node.expect_clean_exit()

    def test_the_address_is_free_after_the_exit(self):
        node = self.start()
        address = node.address
        node.stop()
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(split_address(address), 1)


if __name__ == "__main__":
    unittest.main()
