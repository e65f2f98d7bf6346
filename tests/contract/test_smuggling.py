"""Requests whose end two readers could see in different places: 400, closed, and what follows is no request.

Each shape is followed by a request that must never be answered, and each is sent in several ways: the splits must not
change the outcome.
"""

import unittest

from harness import EndOfStream, NodeCase, build_request, feeds

BODY = b'{"value":1}'  # 11 bytes
SMUGGLED = build_request("PUT", "/kvs/smuggled", b'{"value":"smuggled"}')


def with_headers(*lines, body=BODY, target=b"/kvs/shape"):
    """A PUT with exactly these header lines after Host."""
    return b"PUT " + target + b" HTTP/1.1\r\nHost: x\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def in_chunks(chunks):
    return with_headers(b"Transfer-Encoding: chunked", body=chunks)


ONE_CHUNK = b"b\r\n" + BODY + b"\r\n0\r\n\r\n"
LENGTH = b"Content-Length: 11"

LENGTHS = {
    "two different lengths": with_headers(b"Content-Length: 11", b"Content-Length: 12"),
    "two different lengths, the shorter last": with_headers(b"Content-Length: 11", b"Content-Length: 0"),
    "two different lengths in different case": with_headers(b"Content-Length: 11", b"content-length: 5"),
    "a list of two different lengths": with_headers(b"Content-Length: 11, 12"),
    "a list of equal lengths": with_headers(b"Content-Length: 11, 11"),
    "length with a plus": with_headers(b"Content-Length: +11"),
    "length with a minus": with_headers(b"Content-Length: -11"),
    "hexadecimal length": with_headers(b"Content-Length: 0xb"),
    "hexadecimal length without prefix": with_headers(b"Content-Length: b"),
    "length with a fraction": with_headers(b"Content-Length: 11.0"),
    "length with an exponent": with_headers(b"Content-Length: 1e1"),
    "length with a space inside": with_headers(b"Content-Length: 1 1"),
    "length with text behind": with_headers(b"Content-Length: 11x"),
    "length with a semicolon": with_headers(b"Content-Length: 11;x"),
    "empty length": with_headers(b"Content-Length:"),
    "quoted length": with_headers(b'Content-Length: "11"'),
    "length with an underscore": with_headers(b"Content-Length: 1_1"),
    "length with a vertical tab": with_headers(b"Content-Length: \x0b11"),
    "length in other digits": with_headers("Content-Length: \u0661\u0661".encode()),
    "length and chunked": with_headers(b"Content-Length: 11", b"Transfer-Encoding: chunked", body=ONE_CHUNK),
    "chunked and length": with_headers(b"Transfer-Encoding: chunked", b"Content-Length: 11", body=ONE_CHUNK),
    "length 0 and chunked": with_headers(b"Content-Length: 0", b"Transfer-Encoding: chunked", body=ONE_CHUNK),
}
# A length that is a number, though no machine holds it, may as well be called too large.
HUGE_LENGTHS = {
    "length of 2^63": with_headers(b"Content-Length: 9223372036854775808"),
    "length of 2^64 + 11": with_headers(b"Content-Length: 18446744073709551627"),
    "length of 2^32 * 2^32 * 2^32 + 11": with_headers(b"Content-Length: 79228162514264337593543950347"),
    "length of 300 digits": with_headers(b"Content-Length: " + b"9" * 300),
}
CODINGS = {
    "space before the colon of the coding": with_headers(b"Transfer-Encoding : chunked", body=ONE_CHUNK),
    "coding after a vertical tab": with_headers(b"Transfer-Encoding: \x0bchunked", body=ONE_CHUNK),
}
# Codings that we do not know, of which chunked twice is one: 400 or, as HTTP has it, 501.
UNKNOWN_CODINGS = {
    "chunked twice in a list": with_headers(b"Transfer-Encoding: chunked, chunked", body=ONE_CHUNK),
    "chunked twice": with_headers(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=ONE_CHUNK),
    "empty coding": with_headers(b"Transfer-Encoding:", body=ONE_CHUNK),
    "identity": with_headers(b"Transfer-Encoding: identity", LENGTH),
    "identity alone": with_headers(b"Transfer-Encoding: identity", body=b""),
    "gzip": with_headers(b"Transfer-Encoding: gzip", body=ONE_CHUNK),
    "gzip, chunked": with_headers(b"Transfer-Encoding: gzip, chunked", body=ONE_CHUNK),
    "chunked, gzip": with_headers(b"Transfer-Encoding: chunked, gzip", body=ONE_CHUNK),
    "chunked, identity": with_headers(b"Transfer-Encoding: chunked, identity", body=ONE_CHUNK),
    "chunked then identity": with_headers(
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=ONE_CHUNK),
    "xchunked": with_headers(b"Transfer-Encoding: xchunked", body=ONE_CHUNK),
    "chunkedx": with_headers(b"Transfer-Encoding: chunkedx", body=ONE_CHUNK),
    "chunked with a parameter": with_headers(b"Transfer-Encoding: chunked;q=1", body=ONE_CHUNK),
    "quoted chunked": with_headers(b'Transfer-Encoding: "chunked"', body=ONE_CHUNK),
}
LINES = {
    "space before the colon": with_headers(b"Content-Length : 11"),
    "tab before the colon": with_headers(b"Content-Length\t: 11"),
    "space inside a name": with_headers(LENGTH, b"X Y: z"),
    "space before the first name": b"PUT /kvs/shape HTTP/1.1\r\n Host: x\r\n" + LENGTH + b"\r\n\r\n" + BODY,
    "folded header": with_headers(LENGTH, b"X: a", b" b"),
    "folded header with a tab": with_headers(LENGTH, b"X: a", b"\tb"),
    "folded length": with_headers(b"Content-Length:", b" 11"),
    "folded coding": with_headers(b"Transfer-Encoding:", b" chunked", body=ONE_CHUNK),
    "bare CR in a value": with_headers(LENGTH, b"X: a\rb"),
    "bare CR that hides a header": with_headers(LENGTH, b"X: a\rTransfer-Encoding: chunked"),
    "bare CR at the end of a value": with_headers(LENGTH, b"X: a\r"),
    "bare CR in a name": with_headers(LENGTH, b"X\rY: a"),
    "bare CR in the request line": with_headers(LENGTH, target=b"/kvs/sha\rpe"),
    "bare LF in a value": with_headers(LENGTH, b"X: a\nb"),
    "bare LF that ends a header": with_headers(LENGTH, b"X: a\nY: b"),
    "bare LF in the request line": with_headers(LENGTH, target=b"/kvs/sha\npe"),
    "bare LF that ends the request line": b"PUT /kvs/shape HTTP/1.1\nHost: x\r\n" + LENGTH + b"\r\n\r\n" + BODY,
    "bare LF that ends the headers": b"PUT /kvs/shape HTTP/1.1\r\nHost: x\r\n" + LENGTH + b"\r\n\n" + BODY,
    "bare LFs only": b"PUT /kvs/shape HTTP/1.1\nHost: x\n" + LENGTH + b"\n\n" + BODY,
    "NUL in a value": with_headers(LENGTH, b"X: a\0b"),
    "NUL in a name": with_headers(LENGTH, b"X\0: a"),
    "NUL in the target": with_headers(LENGTH, target=b"/kvs/sha\0pe"),
    "NUL in the verb": b"P\0UT /kvs/shape HTTP/1.1\r\nHost: x\r\n" + LENGTH + b"\r\n\r\n" + BODY,
    "header without a colon": with_headers(LENGTH, b"Nonsense"),
    "header without a name": with_headers(LENGTH, b": x"),
    "control character in a name": with_headers(LENGTH, b"X\x01: a"),
    "high byte in a name": with_headers(LENGTH, b"X\xff: a"),
    "brackets in a name": with_headers(LENGTH, b"X[0]: a"),
    "space inside the target": with_headers(LENGTH, target=b"/kvs/sha pe"),
    "two spaces after the verb": with_headers(LENGTH, target=b" /kvs/shape"),
    "tab after the verb": b"PUT\t/kvs/shape HTTP/1.1\r\nHost: x\r\n" + LENGTH + b"\r\n\r\n" + BODY,
    "space at the end of the request line": b"PUT /kvs/shape HTTP/1.1 \r\nHost: x\r\n" + LENGTH + b"\r\n\r\n" + BODY,
    "no target": b"PUT  HTTP/1.1\r\nHost: x\r\n" + LENGTH + b"\r\n\r\n" + BODY,
    "space before the verb": b" PUT /kvs/shape HTTP/1.1\r\nHost: x\r\n" + LENGTH + b"\r\n\r\n" + BODY,
}
CHUNKS = {
    "size with a plus": in_chunks(b"+b\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "size with a minus": in_chunks(b"-b\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "negative one": in_chunks(b"-1\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "size with a prefix": in_chunks(b"0xb\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "space before the size": in_chunks(b" b\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "space after the size": in_chunks(b"b \r\n" + BODY + b"\r\n0\r\n\r\n"),
    "space inside the size": in_chunks(b"0 b\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "size that is no number": in_chunks(b"g\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "no size": in_chunks(b"\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "no size but an extension": in_chunks(b";x\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "bare LF after the size": in_chunks(b"b\n" + BODY + b"\r\n0\r\n\r\n"),
    "bare CR after the size": in_chunks(b"b\r" + BODY + b"\r\n0\r\n\r\n"),
    "bare LF in an extension": in_chunks(b"b;x\ny\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "bare CR in an extension": in_chunks(b"b;x\ry\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "NUL in an extension": in_chunks(b"b;x\0\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "bare LF after the data": in_chunks(b"b\r\n" + BODY + b"\n0\r\n\r\n"),
    "no line end after the data": in_chunks(b"b\r\n" + BODY + b"0\r\n\r\n"),
    "chunk longer than its size": in_chunks(b"a\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "bare LF after the last chunk": in_chunks(b"b\r\n" + BODY + b"\r\n0\n\r\n"),
    "bare LF at the end of the trailers": in_chunks(b"b\r\n" + BODY + b"\r\n0\r\nX: y\n\r\n"),
    "trailer without a colon": in_chunks(b"b\r\n" + BODY + b"\r\n0\r\nnonsense\r\n\r\n"),
    "folded trailer": in_chunks(b"b\r\n" + BODY + b"\r\n0\r\nX: y\r\n z\r\n\r\n"),
    "size with an underscore": in_chunks(b"0_b\r\n" + BODY + b"\r\n0\r\n\r\n"),
}
HUGE_CHUNKS = {
    "size of 2^64 + 11": in_chunks(b"1000000000000000b\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "size of 2^64 - 1": in_chunks(b"ffffffffffffffff\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "size of 2^63": in_chunks(b"8000000000000000\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "size of 2^32 + 11 after a good chunk": in_chunks(b"1\r\n{\r\n10000000b\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "size of 200 digits": in_chunks(b"f" * 200 + b"\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "size that makes the sum overflow": in_chunks(
        b"b\r\n" + BODY + b"\r\nfffffffffffffff5\r\n" + BODY + b"\r\n0\r\n\r\n"),
}


class Smuggling(NodeCase):
    def setUp(self):
        super().setUp()
        for key in ("smuggled", "shape"):  # what a test before this one let through is its failure, not ours
            self.client.delete(key)

    def expect_refused(self, shapes, statuses):
        for name, shape in shapes.items():
            for feed, pieces, pause in feeds(shape + SMUGGLED, self.random):
                with self.subTest(shape=name, feed=feed), self.node.raw(timeout_s=5) as raw:
                    raw.send_pieces(pieces, pause)
                    answer = raw.read_answer()
                    self.assertIn(answer.status, statuses, answer)
                    self.assertIsInstance(answer.json.get("error"), str)
                    self.assertEqual(answer.headers.get("connection", "").lower(), "close", answer)
                    raw.expect_end()
        self.expect(self.client.get("smuggled"), 404)
        self.expect(self.client.get("shape"), 404)

    def test_lengths_that_are_doubtful(self):
        self.expect_refused(LENGTHS, {400})

    def test_lengths_that_no_machine_holds(self):
        self.expect_refused(HUGE_LENGTHS, {400, 413})

    def test_codings_that_are_doubtful(self):
        self.expect_refused(CODINGS, {400})

    def test_codings_that_are_unknown(self):
        self.expect_refused(UNKNOWN_CODINGS, {400, 501})

    def test_lines_that_are_doubtful(self):
        self.expect_refused(LINES, {400})

    def test_chunks_that_are_doubtful(self):
        self.expect_refused(CHUNKS, {400})

    def test_chunks_that_are_larger_than_any_body(self):
        self.expect_refused(HUGE_CHUNKS, {400, 413})

    def test_truncated_chunks_are_never_a_body(self):
        whole = in_chunks(b"5\r\n" + BODY[:5] + b"\r\n6\r\n" + BODY[5:] + b"\r\n0\r\n\r\n")
        for size in range(whole.index(b"\r\n\r\n") + 4, len(whole)):
            with self.subTest(sent=whole[-len(whole) + size - 10:size]), self.node.raw(timeout_s=5) as raw:
                raw.send(whole[:size])
                raw.half_close()
                try:
                    self.assertIn(raw.read_answer().status, (400, 408))
                except EndOfStream:
                    pass
                raw.expect_end()
        self.expect(self.client.get("shape"), 404)

    def test_a_body_longer_than_its_length_starts_the_next_request(self):
        with self.node.raw() as raw:
            raw.send(with_headers(b"Content-Length: 11", body=BODY + b"x", target=b"/kvs/longer") + SMUGGLED)
            self.expect(raw.read_answer(), 201)
            self.assertIn(raw.read_answer().status, (400, 405))  # the verb is now xPUT
        self.client.delete("smuggled")

    def test_a_request_inside_a_body_is_a_body(self):
        with self.node.raw() as raw:
            raw.send(build_request("PUT", "/kvs/inside", SMUGGLED) + build_request("GET", "/health"))
            self.expect_error_like(raw.read_answer(), 400, "Malformed JSON")
            self.assertEqual(raw.read_answer().json["status"], "up")
        self.expect(self.client.get("smuggled"), 404)

    def test_garbage_in_place_of_a_request(self):
        tls_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"
        for garbage in (b"\r\n\r\n\r\n\r\nx\r\n\r\n", b"\0" * 100 + b"\r\n\r\n", tls_hello,
                        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"hello\r\n\r\n",
                        b"GET\r\n\r\n", b"\xff\xfe\r\n\r\n", b"GET / HTTP/1.1 / HTTP/1.1\r\n\r\n",
                        b"{}\r\n\r\n", b": :\r\n\r\n"):
            for feed, pieces, pause in feeds(garbage, self.random):
                with self.subTest(garbage=garbage, feed=feed), self.node.raw(timeout_s=5) as raw:
                    raw.send_pieces(pieces, pause)
                    self.assertIn(raw.read_answer().status, (400, 505))
                    raw.expect_end()


if __name__ == "__main__":
    unittest.main()
