"""/health, /health/ready and /metrics."""

import re
import signal
import socket
import threading
import time
import unittest

from harness import Node, NodeCase, fresh_address, run_to_exit, split_address

SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)"  # name
                    r"(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*=\"(?:[^\"\\\n]|\\[\\n\"])*\",?)*)\})?"  # labels
                    r" ([-+]?(?:[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?|Inf)|NaN)"  # value
                    r"(?: -?[0-9]+)?")  # time
TYPES = ("counter", "gauge", "histogram", "summary", "untyped")


def parse_metrics(text):
    """{(name, labels): value} and {name: type}. Fails on anything that the text format does not allow."""
    assert text.endswith("\n"), "the last line has no end"
    samples, types, finished, current = {}, {}, set(), None
    for line in text[:-1].split("\n"):
        if not line or (line.startswith("#") and not line.startswith(("# TYPE ", "# HELP "))):
            continue
        if line.startswith("# "):
            _, kind, name, *rest = line.split(" ", 3)
            if kind == "TYPE":
                assert rest and rest[0] in TYPES, line
                assert name not in types, f"two TYPE lines: {line}"
                types[name] = rest[0]
        else:
            match = SAMPLE.fullmatch(line)
            assert match, f"bad sample line {line!r}"
            name = match[1]
            family = re.sub("_(bucket|sum|count)$", "", name)
            if types.get(family) in ("histogram", "summary"):
                name = family
            assert name in types, f"sample before its TYPE: {line}"
            assert (match[1], match[2]) not in samples, f"sample twice: {line}"
            samples[match[1], match[2]] = float(match[3].replace("Inf", "inf"))
        if name != current:
            assert name not in finished, f"lines of {name} are not together"
            finished.add(current)
            current = name
    return samples, types


class Health(NodeCase):
    def test_health_says_up_ready_and_not_provisional(self):
        health = self.expect(self.client.request("GET", "/health"), 200).json
        self.assertEqual(health["status"], "up")
        self.assertIs(health["ready"], True)
        self.assertIs(health["provisional"], False)

    def test_ready_answers_200(self):
        self.expect(self.client.request("GET", "/health/ready"), 200)

    def test_a_query_string_changes_nothing(self):
        for path in ("/health?x=1", "/health/ready?", "/view?a", "/shard/ids?b=c", "/metrics?"):
            self.expect(self.client.request("GET", path), 200)


class HealthOption(NodeCase):
    """`kvs --health`: a client in the binary, for containers that have no other."""

    def check(self, address, **more):
        start = time.monotonic()
        code, out, err = run_to_exit({"SOCKET_ADDRESS": address, **more}, ["--health"])
        self.assertEqual(out, "")
        self.assertLess(time.monotonic() - start, 2.5)
        return code, err

    def serve(self, answer):
        """Somebody who takes one request and sends this; the address."""
        address = fresh_address()
        listener = socket.create_server(split_address(address))
        self.addCleanup(listener.close)

        def run():
            with listener.accept()[0] as caller:
                caller.recv(4096)
                caller.sendall(answer)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 5)
        return address

    def test_a_running_node_gives_0_and_no_word(self):
        self.assertEqual(self.check(self.node.address), (0, ""))

    def test_where_nobody_listens_gives_1(self):
        code, err = self.check(fresh_address())
        self.assertEqual((code, err), (1, "kvs: unhealthy: nobody listens\n"))

    def test_a_frozen_node_gives_1_within_its_second(self):
        self.node.process.send_signal(signal.SIGSTOP)
        try:
            code, err = self.check(self.node.address)
        finally:
            self.node.process.send_signal(signal.SIGCONT)
        self.assertEqual((code, err), (1, "kvs: unhealthy: it does not answer\n"))

    def test_any_other_answer_gives_1(self):
        for answer in (b"", b"HTTP/1.1 20", b"HTTP/1.1 503 Service Unavailable\r\n\r\n", b"SSH-2.0-Other\r\n"):
            with self.subTest(answer=answer):
                self.assertEqual(self.check(self.serve(answer))[0], 1)
        self.assertEqual(self.check(self.serve(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000)), (0, ""))

    def test_it_asks_where_the_node_listens_and_not_the_name_that_others_know(self):
        host, port = split_address(self.node.address)
        self.assertEqual(self.check(f"no-such-name.invalid:{port}", BIND_ADDRESS=host), (0, ""))

    def test_it_needs_no_token(self):
        with Node({"AUTH_TOKEN": "opensesame-opensesame"}) as node:
            self.assertEqual(self.check(node.address), (0, ""))

    def test_nonsense_in_the_settings_gives_1(self):
        code, err = self.check("nowhere")
        self.assertEqual(code, 1)
        self.assertIn("SOCKET_ADDRESS=nowhere", err)


class Metrics(NodeCase):
    def metrics(self):
        answer = self.client.request("GET", "/metrics")
        self.assertEqual(answer.status, 200)
        self.assertRegex(answer.headers["content-type"], r"^text/plain")
        return parse_metrics(answer.body.decode("utf-8"))

    def test_the_text_is_in_prometheus_format(self):
        samples, types = self.metrics()
        self.assertGreater(len(samples), 5)
        self.assertIn("counter", types.values())
        self.assertIn("gauge", types.values())

    def test_counters_never_go_down_and_count_requests(self):
        def counters():
            samples, types = self.metrics()
            return {sample: value for sample, value in samples.items() if types.get(sample[0]) == "counter"}

        before = counters()
        for number in range(25):
            self.client.put(f"counted{number}", number)
        after = counters()
        for sample, value in before.items():
            self.assertGreaterEqual(after.get(sample, -1), value, sample)
        self.assertTrue(any(value - before.get(sample, 0) >= 25 for sample, value in after.items()), after)

    def test_errors_and_strange_keys_do_not_break_the_format(self):
        for path in ('/kvs/"\\', "/kvs/%0a", "/nowhere", "/kvs/%zz"):
            self.client.request("GET", path)
        self.client.request("POST", "/view")
        self.metrics()


if __name__ == "__main__":
    unittest.main()
