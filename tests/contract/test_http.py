"""The HTTP side: verbs, paths, versions, keep-alive, pipelining, bodies of both kinds, limits."""

import time
import unittest

from harness import EndOfStream, NodeCase, Raw, build_request, encode_body, feeds, key_path

MIB = 1 << 20
BODY_BYTES_MAX = 8 * MIB

# Path -> the verbs that it has.
ROUTES = {
    "/kvs/key": {"GET", "HEAD", "PUT", "DELETE"},
    "/kvs": {"GET", "HEAD"},
    "/view": {"GET", "HEAD", "PUT", "DELETE"},
    "/shard/ids": {"GET", "HEAD"},
    "/shard/node-shard-id": {"GET", "HEAD"},
    "/shard/members/s0": {"GET", "HEAD"},
    "/shard/key-count/s0": {"GET", "HEAD"},
    "/shard/add-member/s0": {"PUT"},
    "/shard/reshard": {"GET", "HEAD", "PUT"},
    "/health": {"GET", "HEAD"},
    "/health/ready": {"GET", "HEAD"},
    "/metrics": {"GET", "HEAD"},
}


def chunked(method, path, pieces, trailer=b"", headers=(), last=b"0"):
    """A request with a chunked body. pieces: bytes, or (size line, bytes) where the size line is special."""
    head = build_request(method, path, None, ["Transfer-Encoding: chunked", *headers])
    chunks = [piece if isinstance(piece, tuple) else (b"%x" % len(piece), piece) for piece in pieces]
    body = b"".join(size + b"\r\n" + data + b"\r\n" for size, data in chunks)
    return head + body + last + b"\r\n" + trailer + b"\r\n"


class Routes(NodeCase):
    def test_a_wrong_verb_answers_405_with_allow(self):
        for path, verbs in ROUTES.items():
            for verb in ("GET", "PUT", "DELETE", "POST", "PATCH", "OPTIONS", "TRACE", "get", "FOO", "GETX"):
                if verb in verbs:
                    continue
                with self.subTest(path=path, verb=verb):
                    answer = self.expect(self.client.request(verb, path), 405, "Method not allowed")
                    self.assertEqual(answer.json, {"error": "Method not allowed"})
                    self.assertLessEqual(verbs, answer.allow)
                    self.assertNotIn(verb, answer.allow)

    def test_a_wrong_verb_with_a_body_leaves_the_connection_in_step(self):
        with self.node.raw() as raw:
            raw.send(build_request("POST", "/view", b'{"a":1}') + build_request("GET", "/health"))
            self.expect(raw.read_answer(), 405)
            self.expect(raw.read_answer(), 200)

    def test_unknown_paths_answer_404(self):
        for path in ("/", "/kv", "/kvss", "/KVS/a", "/kvs-a", "/views", "/view/x", "/shard", "/shard/",
                     "/shard/idss", "/shard/ids/s0", "/shard/members", "/shard/members/s0/x", "/healthy",
                     "/health/live", "/metrics/x", "/favicon.ico", "//kvs/a", "/../kvs/a", "/%6bvs/a/..", "/key-value-store/a"):
            with self.subTest(path=path):
                answer = self.client.request("GET", path)
                self.assertEqual(answer.status, 404, answer)
        for path in ("/", "/nowhere", "/shard"):
            self.assertEqual(self.client.request("GET", path).json, {"error": "Not found"})

    def test_an_unknown_path_is_404_for_each_verb(self):
        for verb in ("GET", "PUT", "DELETE", "POST", "PATCH"):
            self.expect(self.client.request(verb, "/nowhere"), 404, "Not found")

    def test_head_answers_as_get_without_a_body(self):
        key = self.key()
        self.client.put(key, "v")
        unknown = key_path(self.key())
        for path in (key_path(key), unknown, "/view", "/shard/ids", "/health", "/health/ready", "/nowhere"):
            with self.subTest(path=path):
                get, head = self.client.request("GET", path), self.client.request("HEAD", path)
                self.assertEqual((head.status, head.body), (get.status, b""))
                self.assertEqual(head.headers["content-type"], get.headers["content-type"])
                if "content-length" in head.headers and path != "/health":  # /health holds numbers that move
                    self.assertEqual(head.headers["content-length"], get.headers["content-length"])

    def test_head_of_the_metrics_has_no_body(self):
        self.assertEqual(self.client.request("HEAD", "/metrics").status, 200)
        self.expect(self.client.request("GET", "/health"), 200)


class Versions(NodeCase):
    def expect_closed_after(self, data, status=200):
        with self.node.raw() as raw:
            raw.send(data)
            answer = self.expect(raw.read_answer(), status)
            self.assertEqual(answer.headers.get("connection", "").lower(), "close", answer)
            raw.expect_end(reset_is_fine=False)

    def expect_open_after(self, data):
        with self.node.raw() as raw:
            for _ in range(2):
                raw.send(data)
                answer = self.expect(raw.read_answer(), 200)
                self.assertNotEqual(answer.headers.get("connection", "").lower(), "close")
            return answer

    def test_http_1_1_keeps_the_connection(self):
        self.expect_open_after(build_request("GET", "/health"))
        self.expect_open_after(build_request("GET", "/health", headers=["Connection: keep-alive"]))

    def test_connection_close_is_honoured(self):
        for header in ("Connection: close", "connection: Close", "Connection: keep-alive, close",
                       "Connection: foo , CLOSE"):
            with self.subTest(header=header):
                self.expect_closed_after(build_request("GET", "/health", headers=[header]))

    def test_requests_after_connection_close_are_not_answered(self):
        late = build_request("PUT", "/kvs/late", b'{"value":1}')
        self.expect_closed_after(build_request("GET", "/health", headers=["Connection: close"]) + late)
        self.expect(self.client.get("late"), 404)

    def test_http_1_0_closes(self):
        self.expect_closed_after(build_request("GET", "/health", version="HTTP/1.0", host=None))
        self.expect_closed_after(build_request("GET", "/kvs/none", version="HTTP/1.0"), status=404)

    def test_http_1_0_with_keep_alive_stays(self):
        answer = self.expect_open_after(
            build_request("GET", "/health", headers=["Connection: keep-alive"], version="HTTP/1.0", host=None))
        self.assertEqual(answer.headers.get("connection", "").lower(), "keep-alive")

    def test_http_1_0_takes_a_body(self):
        self.expect_closed_after(build_request("PUT", "/kvs/ten", b'{"value":1}', version="HTTP/1.0", host=None), 201)

    def test_other_versions_are_refused(self):
        for version in ("HTTP/2.0", "HTTP/0.9", "HTTP/3", "HTTP/1", "HTTP/1.", "HTTP/11", "http/1.1", "HTTP/1.1x",
                        "HTTP/-1.1", "HTTX/1.1", "1.1", "HTTP/1.1 HTTP/1.1"):
            with self.subTest(version=version), self.node.raw() as raw:
                raw.send(build_request("GET", "/health", version=version))
                self.assertIn(raw.read_answer().status, (400, 505))
                raw.expect_end()

    def test_a_request_without_a_version_is_refused(self):
        with self.node.raw() as raw:
            raw.send(b"GET /health\r\n\r\n")
            self.expect(raw.read_answer(), 400)
            raw.expect_end()


class Host(NodeCase):
    def expect_refused(self, data):
        with self.node.raw() as raw:
            raw.send(data)
            self.expect(raw.read_answer(), 400)

    def test_http_1_1_without_host_is_refused(self):
        self.expect_refused(build_request("GET", "/health", host=None))

    def test_two_hosts_are_refused(self):
        self.expect_refused(build_request("GET", "/health", headers=["Host: other"]))
        self.expect_refused(build_request("GET", "/health", headers=["hOST: kvs"]))

    def test_an_absolute_target_does_not_stand_for_host(self):
        self.expect_refused(build_request("GET", "http://kvs/health", host=None))

    def test_absolute_targets_work(self):
        for target in ("http://kvs/health", "http://kvs:8090/health", "HTTP://KVS/health",
                       "http://kvs/health?x=http://y/", "http://1.2.3.4:5/kvs/abs"):
            with self.subTest(target=target):
                self.assertIn(self.client.request("GET", target).status, (200, 404))
        self.expect(self.client.request("PUT", "http://kvs/kvs/abs%2Fa/b?c", encode_body(value=1)), 201)
        self.expect(self.client.get("abs/a/b"), 200)
        self.expect(self.client.request("GET", "http://kvs"), 404, "Not found")
        self.expect(self.client.request("GET", "http://kvs/"), 404, "Not found")

    def test_targets_of_no_form_are_refused(self):
        for target in ("health", "kvs/a", "view?x", "http:/kvs/a", "ftp://kvs/health"):
            with self.subTest(target=target), self.node.raw() as raw:
                raw.send(build_request("GET", target))
                self.assertIn(raw.read_answer().status, (400, 404))


class Pipelining(NodeCase):
    def requests_and_values(self, count):
        """PUT and GET of few keys by turns; a GET must see the PUT right before it."""
        requests, values = [], []
        for number in range(count // 2):
            path = f"/kvs/pipe{number % 5}"
            requests += [build_request("PUT", path, encode_body(value=number)), build_request("GET", path)]
            values += [None, number]
        return requests, values

    def expect_in_order(self, raw, values):
        for value in values:
            answer = raw.read_answer()
            self.assertIn(answer.status, (200, 201))
            self.assertEqual(answer.json.get("value"), value)

    def test_100_requests_in_one_write_are_answered_in_order(self):
        requests, values = self.requests_and_values(100)
        with self.node.raw() as raw:
            raw.send(b"".join(requests))
            self.expect_in_order(raw, values)

    def test_100_requests_cut_anywhere_are_answered_in_order(self):
        requests, values = self.requests_and_values(100)
        for _ in range(3):
            for name, pieces, pause in feeds(b"".join(requests), self.random, 1):
                with self.subTest(feed=name), self.node.raw() as raw:
                    raw.send_pieces(pieces, 0 if name == "byte by byte" else pause)
                    self.expect_in_order(raw, values)

    def test_2000_requests_are_answered_in_order_while_more_are_sent(self):
        requests, values = self.requests_and_values(2000)
        with self.node.raw() as raw:
            for start in range(0, 2000, 500):
                raw.send(b"".join(requests[start:start + 500]))
            self.expect_in_order(raw, values)

    def test_refused_and_good_requests_mixed_keep_their_order(self):
        mix = [(build_request("GET", "/nowhere"), 404), (build_request("POST", "/view", b"abc"), 405),
               (build_request("PUT", "/kvs/mix", b"{"), 400),
               (chunked("PUT", "/kvs/mix", [b'{"value"', b":1}"]), 201),
               (build_request("GET", "/kvs/" + "x" * 51), 404), (build_request("GET", "/kvs/mix"), 200),
               (build_request("DELETE", "/kvs/mix", b""), 200), (build_request("GET", "/kvs/%zz"), 400)]
        with self.node.raw() as raw:
            raw.send(b"".join(data for data, _ in mix) * 20)
            statuses = [raw.read_answer().status for _ in range(20 * len(mix))]
        self.assertEqual(statuses, [status for _, status in mix] * 20)

    def test_every_split_of_good_requests_gives_the_same_answers(self):
        pieces_of_a_body = [b'{"val', (b'5;x="y z"', b'ue":1'), b"}"]
        data = b"".join([
            build_request("PUT", "/kvs/split%20a?x", b'{"value":{"a":[1,"\\u00e9"]}}', ["X-Empty:", "A:b "]),
            chunked("PUT", "/kvs/split%20b", pieces_of_a_body, b"T: r\r\nU: s\r\n"),
            build_request("GET", "http://kvs/kvs/split%20a"),
            build_request("DELETE", "/kvs/split%20b", b"{}"),
            build_request("GET", "/nowhere")])
        for name, pieces, pause in feeds(data, self.random, 20):
            with self.subTest(feed=name), self.node.raw() as raw:
                raw.send_pieces(pieces, pause)
                statuses = [raw.read_answer().status for _ in range(5)]
                self.assertIn(statuses[0], (200, 201))
                self.assertEqual(statuses[1:], [201, 200, 200, 404])


class Headers(NodeCase):
    def expect_ok(self, *headers):
        self.expect(self.client.request("PUT", key_path(self.key()), encode_body(value=1), headers), 201)

    def test_names_are_taken_in_any_case(self):
        with self.node.raw() as raw:
            raw.send(b'PUT /kvs/case-of-names HTTP/1.1\r\nhOsT: x\r\ncOnTeNt-LeNgTh: 11\r\n\r\n{"value":1}')
            self.expect(raw.read_answer(), 201)
            raw.send(b"PUT /kvs/case-of-names HTTP/1.1\r\nHOST:x\r\nTRANSFER-ENCODING: Chunked\r\n\r\n"
                     b'b\r\n{"value":1}\r\n0\r\n\r\n')
            self.expect(raw.read_answer(), 200)

    def test_white_space_around_a_value_is_stripped(self):
        with self.node.raw() as raw:
            raw.send(b'PUT /kvs/ows HTTP/1.1\r\nHost: \t x \t\r\nContent-Length:\t 11 \t\r\n\r\n{"value":1}')
            self.expect(raw.read_answer(), 201)

    def test_unknown_and_empty_headers_are_ignored(self):
        self.expect_ok("X-Anything: at all", "X-Empty:", "X-High: \xe9\xff", "X-Tab: a\tb", "!#$%&'*+-.^_`|~: token")

    def test_many_headers_are_fine(self):
        self.expect_ok(*(f"X-{number}: v" for number in range(60)))

    def test_headers_of_15_kib_are_fine(self):
        self.expect_ok("X-Long: " + "v" * (15 << 10))

    def expect_431(self, data, statuses=(431,)):
        with self.node.raw() as raw:
            raw.send_pieces([data])
            self.assertIn(raw.read_answer().status, statuses)
            raw.expect_end()

    def test_one_header_over_16_kib_answers_431(self):
        self.expect_431(build_request("GET", "/health", headers=["X-Long: " + "v" * (17 << 10)]))

    def test_many_headers_over_16_kib_answer_431(self):
        self.expect_431(build_request("GET", "/health", headers=[f"X-{number}: {'v' * 90}" for number in range(200)]))

    def test_thousands_of_tiny_headers_answer_431(self):
        self.expect_431(build_request("GET", "/health", headers=["a:"] * 5000))

    def test_headers_without_an_end_answer_431(self):
        self.expect_431(b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"v" * 20_000)

    def test_a_request_line_without_an_end_is_cut_off(self):
        self.expect_431(b"GET /" + b"x" * 20_000, statuses=(414, 431))
        self.expect_431(b"G" * 20_000, statuses=(400, 414, 431))

    def test_a_client_that_goes_on_sending_reads_the_431(self):
        with self.node.raw() as raw:
            raw.send_pieces([b"GET /health HTTP/1.1\r\nHost: x\r\n"] + [b"X: " + b"v" * 5000 + b"\r\n"] * 100)
            self.expect(raw.read_answer(), 431)


class Bodies(NodeCase):
    def test_get_and_delete_may_carry_a_body(self):
        key = self.key()
        self.client.put(key, 1)
        for method in ("GET", "DELETE"):
            with self.node.raw() as raw:
                raw.send(build_request(method, key_path(key), b'{"causal-metadata":{}}')
                         + build_request("GET", "/health"))
                self.expect(raw.read_answer(), 200)
                self.expect(raw.read_answer(), 200)

    def test_a_body_where_none_is_read_leaves_the_connection_in_step(self):
        for path in ("/health", "/view", "/shard/ids", "/metrics", "/nowhere"):
            with self.subTest(path=path), self.node.raw() as raw:
                raw.send(build_request("GET", path, b"GET /kvs/x HTTP/1.1\r\n\r\n")
                         + build_request("GET", "/shard/ids"))
                raw.read_answer()
                self.assertEqual(raw.read_answer().json, {"shard-ids": ["s0"]})

    def expect_chunked(self, *pieces, **options):
        key = self.key()
        with self.node.raw() as raw:
            raw.send(chunked("PUT", key_path(key), pieces, **options) + build_request("GET", key_path(key)))
            self.expect(raw.read_answer(), 201)
            self.assertEqual(self.expect(raw.read_answer(), 200).json["value"], 1)

    def test_chunked_bodies(self):
        self.expect_chunked(b'{"value":1}')
        self.expect_chunked(*(bytes([byte]) for byte in b'{"value":1}'))

    def test_a_body_of_very_many_chunks_takes_no_longer_than_one_of_few(self):
        body = encode_body(value="x" * (256 << 10))
        request = chunked("PUT", key_path(self.key()), [bytes([byte]) for byte in body])
        start = time.monotonic()
        with self.node.raw() as raw:
            raw.send(request)
            self.expect(raw.read_answer(), 201)
        self.assertLess(time.monotonic() - start, 5)

    def test_chunk_sizes_in_either_case_and_with_leading_zeros(self):
        long = b'{"value":1,"x":"' + b"y" * 0xab + b'"}'
        self.expect_chunked((b"%x" % len(long), long))
        self.expect_chunked((b"%X" % len(long), long))
        self.expect_chunked((b"0000%x" % len(long), long), last=b"000")

    def test_chunk_extensions_are_ignored(self):
        self.expect_chunked((b"b;name", b'{"value":1}'))
        self.expect_chunked((b"b;name=value;other=more", b'{"value":1}'))
        self.expect_chunked((b'b;name="quoted; 5 \\" text"', b'{"value":1}'), last=b"0;end=1")

    def test_trailers_are_ignored(self):
        self.expect_chunked(b'{"value":1}', trailer=b"Check: sum\r\nContent-Length: 500\r\nHost: other\r\n")

    def test_an_empty_chunked_body_is_an_empty_body(self):
        with self.node.raw() as raw:
            raw.send(chunked("PUT", key_path(self.key()), []) + chunked("GET", "/kvs/none", []))
            self.expect(raw.read_answer(), 400, "PUT request does not specify a value")
            self.expect(raw.read_answer(), 404)

    def test_trailers_over_16_kib_are_refused(self):
        with self.node.raw() as raw:
            trailer = b"X: " + b"v" * 20_000 + b"\r\n"
            raw.send_pieces([chunked("PUT", "/kvs/trailer", [b'{"value":1}'], trailer)])
            self.assertIn(raw.read_answer().status, (400, 413, 431))
            raw.expect_end()
        self.expect(self.client.get("trailer"), 404)

    def test_a_chunk_extension_without_an_end_is_refused(self):
        with self.node.raw() as raw:
            head = build_request("PUT", "/kvs/ext", None, ["Transfer-Encoding: chunked"])
            raw.send_pieces([head + b"b;x=", b"v" * MIB])
            self.assertIn(raw.read_answer().status, (400, 413, 431))
            raw.expect_end()

    def test_expect_100_continue_is_answered_before_the_body(self):
        key, body = self.key(), b'{"value":1}'
        request = build_request("PUT", key_path(key), body, ["Expect: 100-continue"])
        with self.node.raw() as raw:
            raw.send(request[:-len(body)])
            self.assertEqual(raw.read_answer().status, 100)
            raw.send(body + build_request("GET", key_path(key)))
            self.expect(raw.read_answer(), 201)
            self.expect(raw.read_answer(), 200)

    def test_expect_100_continue_works_for_chunked_bodies(self):
        with self.node.raw() as raw:
            headers = ["Transfer-Encoding: chunked", "expect: 100-Continue"]
            raw.send(build_request("PUT", key_path(self.key()), None, headers))
            self.assertEqual(raw.read_answer().status, 100)
            raw.send(b'b\r\n{"value":1}\r\n0\r\n\r\n')
            self.expect(raw.read_answer(), 201)

    def test_expect_100_continue_with_the_body_in_the_same_write(self):
        with self.node.raw() as raw:
            raw.send(build_request("PUT", key_path(self.key()), b'{"value":1}', ["Expect: 100-continue"]))
            answer = raw.read_answer()
            if answer.status == 100:  # may be left out when the body is there already
                answer = raw.read_answer()
            self.expect(answer, 201)

    def test_half_close_after_the_request_still_gets_the_answer(self):
        for path in ("/health", "/kvs/none", "/kvs", "/metrics"):
            with self.subTest(path=path), self.node.raw() as raw:
                raw.send(build_request("GET", path))
                raw.half_close()
                self.assertIn(raw.read_answer().status, (200, 404))
                raw.expect_end(reset_is_fine=False)

    def test_half_close_after_many_pipelined_requests_gets_all_answers(self):
        with self.node.raw() as raw:
            raw.send(build_request("PUT", "/kvs/half", b'{"value":1}') * 50)
            raw.half_close()
            for _ in range(50):
                self.assertIn(raw.read_answer().status, (200, 201))
            raw.expect_end(reset_is_fine=False)

    def test_half_close_while_parked_still_gets_the_answer(self):
        with self.node.raw() as raw:
            raw.send(build_request("GET", "/kvs/none", encode_body(causal_metadata=self.unknown_metadata())))
            raw.half_close()
            self.expect(raw.read_answer(), 503)
            raw.expect_end(reset_is_fine=False)

    def test_half_close_inside_a_request_ends_the_connection(self):
        whole = build_request("PUT", "/kvs/torn", b'{"value":1}')
        for size in (1, 10, whole.index(b"\r\n\r\n"), len(whole) - 1):
            with self.subTest(size=size), self.node.raw() as raw:
                raw.send(whole[:size])
                raw.half_close()
                try:
                    self.assertIn(raw.read_answer().status, (400, 408))
                except EndOfStream:
                    pass
                raw.expect_end()
        self.expect(self.client.get("torn"), 404)


class BodyLimit(NodeCase):
    def expect_413(self, raw):
        answer = self.expect(raw.read_answer(), 413)
        raw.expect_end(reset_is_fine=False)
        return answer

    def test_a_declared_length_over_8_mib_is_refused_before_the_body_comes(self):
        for length in (BODY_BYTES_MAX + 1, 2**31, 2**32, 2**32 + 5, 2**53, 2**63 - 1):
            with self.subTest(length=length), self.node.raw() as raw:
                raw.send(build_request("PUT", "/kvs/big", None, [f"Content-Length: {length}"]))
                answer = self.expect(raw.read_answer(), 413)
                self.assertEqual(answer.headers.get("connection", "").lower(), "close")

    def test_a_declared_length_over_8_mib_is_refused_on_every_path(self):
        for method, path in (("GET", "/health"), ("POST", "/view"), ("PUT", "/nowhere"), ("GET", "/kvs/a")):
            with self.subTest(path=path), self.node.raw() as raw:
                raw.send(build_request(method, path, None, [f"Content-Length: {BODY_BYTES_MAX + 1}"]))
                self.expect(raw.read_answer(), 413)

    def test_a_client_that_sends_all_of_a_declared_body_reads_the_413(self):
        with self.node.raw() as raw:
            raw.send(build_request("PUT", "/kvs/big", None, [f"Content-Length: {9 * MIB}"]))
            for _ in range(9 * 16):
                raw.send(b"x" * (MIB // 16))  # an error here is a failure: the node must let the client finish
            self.expect_413(raw)
        self.expect(self.client.get("big"), 404)

    def test_a_client_that_sends_a_chunked_body_over_8_mib_reads_the_413(self):
        with self.node.raw() as raw:
            raw.send(build_request("PUT", "/kvs/big", None, ["Transfer-Encoding: chunked"]))
            for _ in range(9 * 16):
                raw.send(b"10000\r\n" + b"x" * (MIB // 16) + b"\r\n")
            raw.send(b"0\r\n\r\n")
            self.expect_413(raw)
        self.expect(self.client.get("big"), 404)

    def test_one_chunk_declared_over_8_mib_is_refused(self):
        for size in (b"800001", b"7fffffff", b"ffffffff", b"7fffffffffffffff"):
            with self.subTest(size=size), self.node.raw() as raw:
                raw.send(build_request("PUT", "/kvs/big", None, ["Transfer-Encoding: chunked"]) + size + b"\r\nxxxx")
                self.expect(raw.read_answer(), 413)

    def test_many_small_chunks_that_add_up_are_refused(self):
        with self.node.raw() as raw:
            raw.send(build_request("PUT", "/kvs/big", None, ["Transfer-Encoding: chunked"]))
            raw.send_pieces([(b"400\r\n" + b" " * 1024 + b"\r\n") * 64] * 132)
            self.expect(raw.read_answer(), 413)

    def test_expect_100_continue_over_8_mib_gets_413_and_no_100(self):
        with self.node.raw() as raw:
            raw.send(build_request("PUT", "/kvs/big", None, [f"Content-Length: {9 * MIB}", "Expect: 100-continue"]))
            self.expect(raw.read_answer(), 413)

    def test_a_sender_without_end_is_cut_off(self):
        start = time.monotonic()
        with self.node.raw(timeout_s=5) as raw, self.assertRaises(OSError):
            raw.send(build_request("PUT", "/kvs/big", None, [f"Content-Length: {2**40}"]))
            while time.monotonic() - start < 8:
                raw.send(b"x" * MIB)
                time.sleep(0.002)  # leaves a slow machine to the others

    def test_large_bodies_side_by_side_stay_apart(self):
        raws = [Raw(self.node.reach) for _ in range(4)]
        requests = [build_request("PUT", f"/kvs/side{number}", encode_body(value=str(number) * MIB))
                    for number in range(4)]
        step = MIB // 4
        for at in range(0, max(map(len, requests)), step):
            for raw, request in zip(raws, requests):
                raw.send(request[at:at + step])
        for raw in raws:
            self.expect(raw.read_answer(), 201)
            raw.close()
        for number in range(4):
            self.assertEqual(self.client.get(f"side{number}").json["value"], str(number) * MIB)
            self.client.delete(f"side{number}")


if __name__ == "__main__":
    unittest.main()
