"""Attacks by causal metadata: what a client claims to have seen."""

import random
import unittest

from beside import MIB, AttackCase, asking, streams
from harness import build_request, encode_body

PARKED = 1000  # connections, each with a request that waits: just as many as may
METADATA_BYTES_MAX = 64 << 10
KNOWN_MAPS_MAX = 256  # that one request may name


def actor(number):
    return f"10.0.0.1:8090#{number:016x}"


class Metadata(AttackCase):
    def request(self, clock, maps=(), time="0000000000000001", method="GET"):
        metadata = {"maps": list(maps), "time": time, "clock": clock}
        return build_request(method, "/kvs/claimed", encode_body(value=1, causal_metadata=metadata))

    def own_actor(self):
        """The node's, as an answer to a write names it."""
        with self.node.client() as client:
            return next(iter(client.put("mine", 1).metadata["clock"]))

    def largest(self, entry_of):
        """As many entries as fit into what a request may claim."""
        count = METADATA_BYTES_MAX // (len(actor(0)) + len('"": 99, ')) - 20
        return {entry_of(number): 99 for number in range(count)}

    def test_metadata_with_a_million_entries(self):
        """In each body as many as fit into 8 MiB: refused, but not before all of it was read."""
        clock = ",".join(f'"{number:x}":1' for number in range(700_000)).encode()
        body = b'{"value":1,"causal-metadata":{"maps":[],"time":"0000000000000001","clock":{' + clock + b"}}}"
        self.assertLess(len(body), 8 * MIB)
        self.beside(lambda: streams(self.node.reach, build_request("PUT", "/kvs/claimed", body), 8), "bytes")

    def test_metadata_of_one_entry_a_million_times(self):
        """The last of equal names counts; each is looked up."""
        entry = f'"{self.own_actor()}":1'.encode()
        clock = b",".join([entry] * (60_000 // len(entry)))
        body = b'{"causal-metadata":{"maps":[],"time":"0000000000000001","clock":{' + clock + b"}}}"
        self.beside(lambda: streams(self.node.reach, build_request("GET", "/kvs/claimed", body), 8), "bytes")

    def test_unknown_actors(self):
        """Requests that wait in vain, as many as may: what else happens must not cost them all a new attempt."""
        self.beside(lambda: asking(self.node.reach, self.request({actor(1): 7}), PARKED), "requests")

    def test_unknown_actors_by_the_thousand(self):
        """The same, each with as many of them as a request may name."""
        request = self.request(self.largest(actor))
        self.beside(lambda: asking(self.node.reach, request, PARKED), "requests")

    def test_writes_of_a_known_actor_from_the_future(self):
        self.beside(lambda: asking(self.node.reach, self.request({self.own_actor(): 1 << 50}), PARKED), "requests")

    def test_a_known_actor_behind_unknown_ones(self):
        clock = self.largest(actor)
        clock[self.own_actor()] = 1 << 50
        self.beside(lambda: asking(self.node.reach, self.request(clock), PARKED), "requests")

    def test_maps_from_the_future(self):
        maps = [f"{2 ** 31 + number}.{number:08x}" for number in range(KNOWN_MAPS_MAX)]
        self.beside(lambda: asking(self.node.reach, self.request({}, maps), PARKED), "requests")

    def test_times_from_the_future(self):
        request = self.request({}, time="7fffffffffffffff")
        self.beside(lambda: streams(self.node.reach, request * 50, 8), "bytes")

    def test_metadata_with_random_damage(self):
        source = random.Random(f"{self.id()}")
        good = self.request({self.own_actor(): 1, actor(3): 4}, ["2.9f3c01d2"], method="PUT")
        head, body = good.split(b"\r\n\r\n", 1)

        def damaged():
            data = bytearray(body)
            for _ in range(source.randrange(1, 4)):
                data[source.randrange(len(data))] = source.randrange(32, 127)
            return head + b"\r\n\r\n" + bytes(data)
        requests = b"".join(damaged() for _ in range(500))
        self.beside(lambda: streams(self.node.reach, requests, 8), "bytes")


if __name__ == "__main__":
    unittest.main()
