"""Writes wait for their second copy: those of one connection together, and everything keeps its order."""

import signal
import time
import unittest

from harness import Client, Node, NodeCase, build_request, encode_body, fresh_network, key_path


def put_request(key, value, headers=()):
    return build_request("PUT", key_path(key), encode_body(value=value), headers)


def get_request(key, headers=()):
    return build_request("GET", key_path(key), headers=headers)


def make_pair(environment=None):
    """Two nodes of one shard, not started."""
    network, port = fresh_network()
    view = [f"{network}.{last}:{port}" for last in (1, 2)]
    return [Node({"VIEW": ",".join(view), **(environment or {})}, address=address) for address in view]


def start_pair(pair, on_started):
    for node in pair:
        node.start(wait_ready=False)
        on_started(node)
    for node in pair:
        node.wait_for_health()


class UnderWay(NodeCase):
    @classmethod
    def setUpClass(cls):
        pair = make_pair()
        start_pair(pair, lambda node: cls.addClassCleanup(node.kill))
        cls.node, cls.other = pair

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.other.stop()

    def exchange(self, requests):
        """The answers to requests that are sent all at once on one connection."""
        with self.node.raw() as raw:
            raw.send(b"".join(requests))
            return [raw.read_answer() for _ in requests]

    def expect_statuses(self, answers, statuses):
        self.assertEqual([answer.status for answer in answers], statuses)

    def own_dot(self, answer):
        """The number of the write that an answer was given for, by the clock of its node."""
        return max(n for actor, n in answer.metadata["clock"].items() if actor.startswith(self.node.address + "#"))

    def test_pipelined_writes_are_answered_in_order_and_a_read_behind_them_sees_the_last(self):
        key, count = self.key(), 200
        *puts, get = self.exchange([put_request(key, n) for n in range(count)] + [get_request(key)])
        self.expect_statuses(puts, [201] + [200] * (count - 1))
        dots = [self.own_dot(put) for put in puts]
        self.assertEqual(dots, sorted(set(dots)))
        self.assertEqual(self.expect(get, 200).json["value"], count - 1)

    def test_every_read_sees_the_write_right_before_it(self):
        key, count = self.key(), 50
        answers = self.exchange([request for n in range(count) for request in (put_request(key, n), get_request(key))])
        self.assertEqual([answer.json["value"] for answer in answers[1::2]], list(range(count)))

    def test_a_delete_stands_between_the_writes_around_it(self):
        key = self.key()
        delete = build_request("DELETE", key_path(key))
        requests = [put_request(key, 1), delete, delete, put_request(key, 2), get_request(key), delete, get_request(key)]
        self.expect_statuses(self.exchange(requests), [201, 200, 404, 201, 200, 200, 404])

    def test_a_random_mixture_is_answered_as_by_a_dictionary(self):
        keys, held, requests, expected = [self.key() for _ in range(4)], {}, [], []
        for number in range(400):
            key, what = self.random.choice(keys), self.random.random()
            if what < 0.7:
                requests.append(put_request(key, number))
                expected.append((200 if key in held else 201, None))
                held[key] = number
            elif what < 0.8:
                requests.append(get_request(key))
                expected.append((200, held[key]) if key in held else (404, None))
            elif what < 0.9:
                requests.append(build_request("DELETE", key_path(key)))
                expected.append((200 if key in held else 404, None))
                held.pop(key, None)
            else:
                path, body = self.random.choice([(key_path(key), b"{}"), (key_path(key), b"{"), (key_path("x" * 51), None)])
                requests.append(build_request("PUT", path, body))
                expected.append((400, None))
        answers = self.exchange(requests)
        self.assertEqual([(a.status, a.json.get("value")) for a in answers], expected)

    def test_any_split_of_the_requests_gives_the_same_answers(self):
        for _ in range(5):
            key = self.key()
            data = b"".join([put_request(key, 1), put_request(key, 2), get_request(key), put_request(key, 3)])
            cuts = sorted(self.random.sample(range(1, len(data)), 6))
            with self.node.raw() as raw:
                raw.send_pieces([data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)])], 0.001)
                self.expect_statuses([raw.read_answer() for _ in range(4)], [201, 200, 200, 200])

    def test_more_writes_than_may_be_under_way_are_all_answered(self):
        key, count = self.key(), 3000
        self.expect_statuses(self.exchange([put_request(key, n) for n in range(count)]), [201] + [200] * (count - 1))

    def test_large_writes_are_all_answered(self):
        key, value = self.key(), "v" * (1 << 20)
        with self.node.raw() as raw:
            for _ in range(20):
                raw.send(put_request(key, value))
            self.expect_statuses([raw.read_answer() for _ in range(20)], [201] + [200] * 19)

    def test_requests_for_other_paths_wait_their_turn(self):
        key = self.key()
        requests = [put_request(key, 1), build_request("GET", "/health"), put_request(key, 2),
                    build_request("GET", f"/kvs?prefix={key}"), put_request(key, 3), build_request("POST", "/kvs/x")]
        answers = self.exchange(requests)
        self.expect_statuses(answers, [201, 200, 200, 200, 200, 405])
        self.assertEqual(answers[3].json["kvs"], {key: 2})

    def test_what_is_no_http_is_refused_behind_the_answers_before_it(self):
        key = self.key()
        with self.node.raw() as raw:
            raw.send(b"".join(put_request(key, n) for n in range(10)) + b"no http\r\n\r\n")
            self.expect_statuses([raw.read_answer() for _ in range(11)], [201] + [200] * 9 + [400])
            raw.expect_end()

    def test_leave_to_send_a_body_comes_behind_the_answers_before_it(self):
        key, body = self.key(), encode_body(value=9)
        head = build_request("PUT", key_path(key), None, [f"Content-Length: {len(body)}", "Expect: 100-continue"])
        with self.node.raw() as raw:
            raw.send(b"".join(put_request(key, n) for n in range(10)) + head)
            self.expect_statuses([raw.read_answer() for _ in range(11)], [201] + [200] * 9 + [100])
            raw.send(body)
            self.assertEqual(raw.read_answer().status, 200)

    def test_the_last_write_closes_the_connection_when_it_says_so(self):
        key = self.key()
        with self.node.raw() as raw:
            raw.send(put_request(key, 1) + put_request(key, 2, ["Connection: close"]) + put_request(key, 3))
            answers = [raw.read_answer(), raw.read_answer()]
            self.expect_statuses(answers, [201, 200])
            self.assertEqual(answers[1].headers.get("connection"), "close")
            raw.expect_end()
        self.assertEqual(self.client.get(key).json["value"], 2)

    def test_a_client_that_ends_its_side_gets_all_answers(self):
        key = self.key()
        with self.node.raw() as raw:
            raw.send(b"".join(put_request(key, n) for n in range(100)))
            raw.half_close()
            self.expect_statuses([raw.read_answer() for _ in range(100)], [201] + [200] * 99)
            raw.expect_end(reset_is_fine=False)

    def test_clients_that_leave_in_the_middle_hurt_nobody(self):
        self.client.get(self.key())
        files = self.node.fd_count()
        for number in range(100):
            raw = self.node.raw()
            requests = [put_request(self.key(), number) for _ in range(50)] + [get_request("k")] * (number % 3)
            raw.send_pieces([b"".join(requests)[:-self.random.randrange(1, 200)]])
            if number % 2:
                self.random.randrange(2) and raw.read_answer()
            raw.reset() if number % 4 < 2 else raw.close()
        self.node.wait_for_fd_count(files)
        self.expect_statuses(self.exchange([put_request("after", n) for n in range(10)]), [201] + [200] * 9)

    def test_an_answered_write_is_on_the_other_node(self):
        key = self.key()
        *_, last = self.exchange([put_request(key, n) for n in range(100)])
        with self.other.client() as client:
            self.assertEqual(client.get(key, last.metadata).json["value"], 99)

    def test_a_lone_write_is_answered_without_delay(self):
        times = []
        for number in range(30):
            start = time.monotonic()
            self.client.put(self.key(), number)
            times.append(time.monotonic() - start)
        self.assertLess(sorted(times)[15], 0.02)


class StopWithWritesUnderWay(unittest.TestCase):
    def start_pair(self):
        pair = make_pair()
        start_pair(pair, lambda node: self.addCleanup(node.kill))
        return pair

    def test_what_was_begun_is_answered_before_the_exit(self):
        node, other = self.start_pair()
        with node.raw() as raw:
            raw.send(put_request("k", 0))
            raw.read_answer()
            other.process.send_signal(signal.SIGSTOP)  # no second copy for now
            raw.send(b"".join(put_request("k", n) for n in range(1, 11)))
            time.sleep(0.1)
            node.terminate()
            time.sleep(0.1)
            other.process.send_signal(signal.SIGCONT)
            answers = [raw.read_answer() for _ in range(10)]
            self.assertEqual([answer.status for answer in answers], [200] * 10)
            raw.expect_end()
        node.expect_clean_exit()
        with Client(other.address) as client:
            self.assertEqual(client.get("k", answers[-1].metadata).json["value"], 10)
        other.stop()

    def test_many_clients_that_leave_at_once_hold_up_nobody(self):
        node, other = self.start_pair()
        other.process.send_signal(signal.SIGSTOP)
        raws = [node.raw() for _ in range(60)]
        for number, raw in enumerate(raws):
            raw.send(b"".join(put_request(f"{number} {n}", n) for n in range(256)))
        time.sleep(0.3)
        start = time.monotonic()
        for raw in raws:
            raw.reset()
        with Client(node.address) as client:
            self.assertEqual(client.request("GET", "/health").status, 200)
            self.assertLess(time.monotonic() - start, 0.3)
            other.process.send_signal(signal.SIGCONT)
            while client.request("GET", "/shard/key-count/s0").json["shard-key-count"] < 60 * 256:
                self.assertLess(time.monotonic() - start, 5)
                time.sleep(0.02)
        node.stop()
        other.stop()

    def test_a_node_that_stops_is_out_of_the_view_of_the_other_at_once(self):
        node, other = self.start_pair()
        node.stop()
        with Client(other.address) as client:
            start = time.monotonic()
            while client.view() != [other.address]:
                self.assertLess(time.monotonic() - start, 0.5)
                time.sleep(0.02)
            self.assertEqual(client.put("k", 1).status, 201)
        other.stop()


if __name__ == "__main__":
    unittest.main()
