"""Attacks by keys: the slot of a key is its CRC-32, which anybody can choose; its place in the slot's table is not."""

import socket
import unittest
import zlib

from beside import LONG, MEASURES, MIB, AttackCase, asking, connect, drop, streams
from harness import build_request, encode_body, key_path, pipeline

LISTINGS = 40
LISTING_BYTES_MAX = MIB  # 4,096 keys of 44 bytes, what orders them, and some pieces of output
KEYS = (200_000 if LONG else 50_000) if MEASURES else 5_000
TAIL = b"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"  # each letter may be a 'c' as well: a bit of the CRC's argument


def colliding_keys(count, mask):
    """Keys whose CRC-32 are all the same in the bits of the mask. The CRC is linear: each letter of the tail that is
    changed changes the same bits of it whatever the rest is, so the letters that make up for a difference are known."""
    base = zlib.crc32(b"00000000" + TAIL)
    basis = {}  # highest bit -> (bits of the CRC that change, letters that are changed)
    for at in range(len(TAIL)):
        changed = (base ^ zlib.crc32(b"00000000" + TAIL[:at] + b"c" + TAIL[at + 1:])) & mask
        letters = 1 << at
        while changed and changed.bit_length() in basis:
            other, more = basis[changed.bit_length()]
            changed, letters = changed ^ other, letters ^ more
        if changed:
            basis[changed.bit_length()] = (changed, letters)
    assert len(basis) == mask.bit_count()
    for number in range(count):
        head = b"%08x" % number
        wanted, letters = (zlib.crc32(head + TAIL) ^ base) & mask, 0
        while wanted:
            other, more = basis[wanted.bit_length()]
            wanted, letters = wanted ^ other, letters ^ more
        yield (head + bytes(98 + (letters >> at & 1) for at in range(len(TAIL)))).decode()


class Flood(AttackCase):
    """All keys are of one and the same CRC-32, and so in one slot."""

    environment = {"STALL_MS": "60000"}

    @classmethod
    def setUpClass(cls, wait_ready=True):
        super().setUpClass(wait_ready)
        cls.keys = list(colliding_keys(KEYS, 0xFFFFFFFF))
        cls.assertEqual(cls(), {zlib.crc32(key.encode()) for key in cls.keys[:100]}, {zlib.crc32(cls.keys[0].encode())})
        requests = [build_request("PUT", key_path(key), encode_body(value=1)) for key in cls.keys]
        for start in range(0, len(requests), 1000):
            cls.send_all(requests[start:start + 1000])

    def runTest(self):
        """For the assertion in setUpClass()."""

    @classmethod
    def send_all(cls, requests):
        with socket.create_connection((cls.node.reach.split(":")[0], int(cls.node.reach.split(":")[1]))) as s:
            s.sendall(b"".join(requests[:-1]) + requests[-1].replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            while s.recv(1 << 16):
                pass

    def test_keys_of_one_crc_do_not_share_a_bucket(self):
        """Reading them costs no more than reading keys of all kinds: as a client at 16 connections does."""
        requests = [build_request("GET", key_path(key)) for key in self.keys[::len(self.keys) // 2000]]
        calm = [build_request("GET", key_path(f"honest-{number}")) for number in range(len(requests))]

        def cpu_ns():
            with open(f"/proc/{self.node.pid}/schedstat") as stat:
                return int(stat.read().split()[0])

        def cpu_of(some):
            before = cpu_ns()
            for _ in range(10):
                pipeline(self.node.reach, some, batch=len(some))
            return cpu_ns() - before
        pairs = [(cpu_of(requests), cpu_of(calm)) for _ in range(3)]
        share = sorted(flooded / normal for flooded, normal in pairs)[1]
        self.figures[self._testMethodName] = f"CPU of {len(self.keys)} keys of one CRC to that of others: {share:.2f}"
        self.assertLess(share, 4)  # in one bucket: thousands

    def test_reading_keys_of_one_crc(self):
        requests = b"".join(build_request("GET", key_path(key)) for key in self.keys[::7][:3000])
        self.beside(lambda: streams(self.node.reach, requests, 8), "bytes")

    def test_listing_a_slot_with_everything_in_it(self):
        """One pair is asked for, of the slot that has them all."""
        request = build_request("GET", f"/kvs?limit=1&after={self.keys[KEYS // 2]}")
        self.beside(lambda: asking(self.node.reach, request, 16), "requests")

    def test_listings_of_such_a_slot_cost_little_memory(self):
        """Each has begun with that slot, and is not read."""
        request = build_request("GET", f"/kvs?after={self.keys[0]}")
        before, raws = self.node.rss_kib(), []
        for _ in range(LISTINGS):
            raws.append(self.node.raw(receive_bytes=4096))
            raws[-1].send(request)
            self.assertTrue(raws[-1].socket.recv(1))  # it has gathered, and stands still soon
        grown = (self.node.rss_kib() - before) * 1024 / LISTINGS
        self.figures[self._testMethodName] = f"{grown / MIB:.2f} MiB each, of {KEYS} keys; bound {LISTING_BYTES_MAX / MIB:.2f}"
        for raw in raws:
            raw.close()
        if MEASURES:
            self.assertLess(grown, LISTING_BYTES_MAX)

    def test_listings_that_nobody_reads(self):
        """The same, one after the other."""
        request = build_request("GET", f"/kvs?after={self.keys[0]}")

        def attack():
            raws = []
            for _ in range(300):
                s = connect(self.node.reach, receive_bytes=4096)
                s.send(request)
                raws.append(s)
            yield
            while True:
                drop(raws.pop(0))
                raws.append(connect(self.node.reach, receive_bytes=4096))
                raws[-1].send(request)
                yield 1
        self.beside(attack, "listings")

    def test_counting_keys(self):
        request = build_request("GET", "/shard/key-count/s0")
        self.beside(lambda: streams(self.node.reach, request * 1000, 8), "bytes")


if __name__ == "__main__":
    unittest.main()
