"""Frames between nodes, made by hand (docs/wire.md), and the caller's side of the handshake. For those who attack."""

import hashlib
import hmac
import os
import struct

HELLO, WELCOME, REFUSED, ROW, MAP_ASK, MAP, ACTOR, WRITE, ACK, PULL, SLOT, VERSION, SLOT_END, GOODBYE, OP, ANSWER, \
    CHALLENGE, PROOF = range(1, 19)
SLOTS_BYTES = 128


def frame(kind, body=b""):
    return struct.pack(">IB", 1 + len(body), kind) + body


def address(text):
    return struct.pack(">H", len(text)) + text.encode()


def hello_body(caller, callee, boot, cluster="kvs"):
    name = struct.pack(">B", len(cluster)) + cluster.encode()
    return b"kvs!" + struct.pack(">HQ", 1, boot) + name + address(caller) + address(callee)


def hello(caller, callee, boot):
    return frame(HELLO, hello_body(caller, callee, boot))


def proof(secret, hello_said, nonce, own_nonce):
    """What a caller says who knows the secret, or thinks so."""
    said = b"kvs caller" + hello_said + nonce + own_nonce
    return frame(PROOF, own_nonce + hmac.new(secret.encode(), said, hashlib.sha256).digest())


def row(maps):
    return frame(ROW, struct.pack(f">BHHH{len(maps)}Q", 3, 0, 0, len(maps), *maps))


def actor(number, boot, group, node):
    return frame(ACTOR, struct.pack(">QQQ", number, boot, group) + address(node))


def write(dot, key, value, maps=(), deps=(), hlc=1 << 40, kind=WRITE):
    lists = b"".join(struct.pack(">II", *ref) for ref in maps) + b"".join(struct.pack(">QQ", *dep) for dep in deps)
    head = struct.pack(">QQQBHIHI", *dot, hlc, 0, len(maps), len(deps), len(key), len(value))
    return frame(kind, head + lists + key + value)


def pull(parts=b"", count=0):
    return frame(PULL, struct.pack(">Q", 1) + b"\xff" * SLOTS_BYTES + struct.pack(">H", count) + parts)


def take(sock, kind):
    """Reads one frame of that type from a blocking socket. None: something else, or the end."""
    head = sock.recv(5, 0x100)  # MSG_WAITALL
    if len(head) < 5 or head[4] != kind:
        return None
    size = struct.unpack(">I", head[:4])[0] - 1
    return sock.recv(size, 0x100) if size else b""


def call(sock, caller, callee, boot, secret=None):
    """Says hello on a blocking socket. True: let in."""
    said = hello_body(caller, callee, boot)
    sock.sendall(frame(HELLO, said))
    if secret is not None:
        nonce = take(sock, CHALLENGE)
        if nonce is None:
            return False
        sock.sendall(proof(secret, said, nonce, os.urandom(16)))
        if take(sock, PROOF) is None:
            return False
    return take(sock, WELCOME) is not None
