"""What goes over the wire: the requests of the three protocols, rendered beforehand.

The key and value of number i are the same in all of them.
"""
from __future__ import annotations

import json
import pathlib
import re
import socket
from typing import Iterable

from machine import BenchError

VALUE_BYTES = 64
BLANK_LINE = b"\r\n\r\n"
OPS = ("GET", "PUT")


def key_name(i: int) -> str:
    return f"key:{i:012x}"


def value_text(i: int) -> str:
    return f"{i * 2654435761 % 2**32:08x}" * (VALUE_BYTES // 8)


def http_request(verb: str, i: int, body: str) -> bytes:
    """As curl sends it."""
    return (f"{verb} /kvs/{key_name(i)} HTTP/1.1\r\nHost: 127.0.0.1:8090\r\n"
            f"User-Agent: curl/7.88.1\r\nAccept: */*\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}").encode()


def http_body(op: str, i: int, metadata: str) -> str:
    value = f'"value":"{value_text(i)}",' if op == "PUT" else ""
    return f'{{{value}"causal-metadata":{metadata}}}'


def resp_request(op: str, i: int) -> bytes:
    if op == "GET":
        return f"*2\r\n$3\r\nGET\r\n$16\r\n{key_name(i)}\r\n".encode()
    return (f"*3\r\n$3\r\nSET\r\n$16\r\n{key_name(i)}\r\n"
            f"${VALUE_BYTES}\r\n{value_text(i)}\r\n").encode()


def memcached_request(op: str, i: int) -> bytes:
    if op == "GET":
        return f"get {key_name(i)}\r\n".encode()
    return f"set {key_name(i)} 0 0 {VALUE_BYTES}\r\n{value_text(i)}\r\n".encode()


def requests_write(path: pathlib.Path, requests: Iterable[bytes]) -> None:
    """In the form that load.c reads: each request behind its length and a newline."""
    with open(path, "wb", buffering=1 << 20) as file:
        for request in requests:
            file.write(b"%d\n%b" % (len(request), request))


def http_exchange(connection: socket.socket, request: bytes) -> bytes:
    """Sends one request and returns the whole answer, which has to be a success."""
    connection.sendall(request)
    answer = b""
    while True:
        received = connection.recv(65536)
        if not received:
            raise BenchError("a server closed a connection instead of answering")
        answer += received
        head, blank_line, body = answer.partition(BLANK_LINE)
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if blank_line and length and len(body) >= int(length.group(1)):
            break
    if not head.startswith(b"HTTP/1.1 2"):
        raise BenchError(f"not a success: {head.splitlines()[0].decode(errors='replace')}")
    return answer


def metadata_of(answer: bytes) -> str:
    """As a client hands it on."""
    return json.dumps(json.loads(answer.partition(BLANK_LINE)[2])["causal-metadata"],
                      separators=(",", ":"))


# What clients send and bare answers when kvs itself does not take part.

SAMPLE_METADATA = json.dumps(
    {"maps": ["2.9f3c01d2"], "time": "018f3a9c01d2e4b7",
     "clock": {"127.0.0.1:8090#5f3a9c01d2e4b7a2": 17}},
    separators=(",", ":"))


def sample_answer(op: str) -> bytes:
    result = f'"found","value":"{value_text(0)}"' if op == "GET" else '"replaced"'
    body = f'{{"result":{result},"causal-metadata":{SAMPLE_METADATA},"shard-id":"s0"}}'
    return (f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}").encode()
