"""Attacks on the port of peers: by strangers, where the cluster has a secret, and by one who is let in, where it has none.

Who is let in is trusted with the data and with maps (docs/wire.md): nothing here asks for those. What a peer sends must
not stop the node, nor make it take memory without bound.
"""

import os
import random
import selectors
import socket
import unittest

import forge
from beside import LONG, MIB, AttackCase, connect, discard, drop, in_file
from harness import fresh_address, split_address

SECRET = "correct-horse-battery-staple"
BOOT = 0xB007B007B007B007
STRANGERS = 2000 if LONG else 600


class PeerAttackCase(AttackCase):
    @property
    def peer_address(self):
        host, port = split_address(self.node.address)
        return f"{host}:{port + 10000}"

    def caller(self, number=0):
        """An address where nobody listens."""
        return f"127.255.{number // 250}.{number % 250 + 1}:9999"

    def greeting(self, number=0):
        return forge.hello(self.caller(number), self.node.address, BOOT + number)

    def calling(self, data, count=32, receive_bytes=None):
        """The attack of `count` connections that send `data`, call again when they are cut off, and throw away what is
        said to them. Done: calls."""
        file = in_file(data)

        def attack():
            selector = selectors.DefaultSelector()

            def begin():
                s = connect(self.peer_address, receive_bytes)
                selector.register(s, selectors.EVENT_READ | selectors.EVENT_WRITE, [0])

            for _ in range(count):
                begin()
            yield
            while True:
                done = 0
                for key, events in selector.select(0.1):
                    if events & selectors.EVENT_READ and discard(key.fileobj) == 0:
                        selector.unregister(key.fileobj)
                        drop(key.fileobj)
                        begin()
                        done += 1
                    elif key.data[0] >= len(data):
                        if events & selectors.EVENT_WRITE:
                            selector.modify(key.fileobj, selectors.EVENT_READ, key.data)
                    elif events & selectors.EVENT_WRITE:
                        try:
                            key.data[0] += os.sendfile(key.fileobj.fileno(), file, key.data[0], MIB)
                        except OSError:
                            pass
                yield done
        self.beside(attack, "calls")


class Strangers:
    """What holds with a secret and without."""

    def test_strangers_in_a_hot_loop(self):
        def attack():
            yield
            while True:
                s = connect(self.peer_address)
                s.send(b"GET / HTTP/1.1\r\n\r\n")
                drop(s)
                yield 1
        self.beside(attack, "calls")

    def test_strangers_that_say_nothing(self):
        def attack():
            raws = [connect(self.peer_address) for _ in range(STRANGERS)]
            yield
            while True:
                drop(raws.pop(0))
                raws.append(connect(self.peer_address))
                yield 1
        self.beside(attack, "calls")

    def test_frames_that_are_truncated(self):
        whole = self.greeting()
        self.calling(whole[:random.Random(self.id()).randrange(1, len(whole))])

    def test_frames_that_are_oversized(self):
        self.calling(b"\xff\xff\xff\xff\x01" + b"x" * MIB)

    def test_large_frames_before_a_greeting(self):
        self.calling(forge.write((1, 1), b"key", b"x" * (8 * MIB)))

    def test_frames_of_no_sense(self):
        self.calling(random.Random(self.id()).randbytes(MIB))

    def test_greetings_for_another_node(self):
        self.calling(forge.hello(self.caller(), "127.255.0.9:8090", BOOT))

    def test_greetings_by_the_thousand_that_are_replayed(self):
        self.calling(self.greeting() * 1000)


class WithSecret(Strangers, PeerAttackCase):
    environment = {"CLUSTER_SECRET": SECRET}

    def test_frames_behind_a_greeting_without_a_proof(self):
        self.calling(self.greeting() + forge.row([1]) + forge.write((1, 1), b"key", b"1"))

    def test_a_proof_that_is_replayed(self):
        """Recorded on a link where it was good; each link has a nonce of its own."""
        with socket.create_connection(split_address(self.peer_address)) as s:
            said = forge.hello_body(self.caller(), self.node.address, BOOT)
            s.sendall(forge.frame(forge.HELLO, said))
            nonce = forge.take(s, forge.CHALLENGE)
            good = forge.proof(SECRET, said, nonce, b"n" * 16)
            s.sendall(good)
            self.assertIsNotNone(forge.take(s, forge.PROOF), "the proof was good once")
        self.calling(forge.frame(forge.HELLO, said) + good)
        self.assertIn("another cluster secret", self.node.stderr())

    def test_a_proof_by_who_does_not_know_it(self):
        self.calling(self.greeting() + forge.proof("another", b"", b"", b"n" * 16))


class LetIn(PeerAttackCase):
    """A cluster without a secret: the attacker says that he is a node, is dialled back, and answers. Then he is let in."""

    GROUP = 77

    def setUp(self):
        super().setUp()
        self.address = fresh_address()

    def let_in(self, frames):
        """The attack by one who is let in, and sends the frames again and again. Cut off, he calls again. Done: bytes."""
        host, port = split_address(self.address)
        file = in_file(frames)

        def attack():
            selector, listener = selectors.DefaultSelector(), socket.create_server((host, port + 10000))
            calls = [None, 0]  # the connection on which he sends, and how far he is in the frames
            selector.register(listener, selectors.EVENT_READ, "listener")

            def call():
                calls[:] = [connect(self.peer_address), 0]
                calls[0].send(forge.hello(self.address, self.node.address, BOOT))
                selector.register(calls[0], selectors.EVENT_READ, "greeting")

            def send():
                try:
                    sent = os.sendfile(calls[0].fileno(), file, calls[1], min(len(frames) - calls[1], MIB))
                except OSError:
                    return 0
                calls[1] = (calls[1] + sent) % len(frames)
                return sent

            def serve(key, events):
                if key.data == "listener":
                    selector.register(listener.accept()[0], selectors.EVENT_READ, "dialled")
                elif key.data == "dialled":
                    key.fileobj.recv(1 << 16)  # its greeting
                    key.fileobj.send(forge.frame(forge.WELCOME, BOOT.to_bytes(8, "big")))
                    key.fileobj.setblocking(False)
                    selector.modify(key.fileobj, selectors.EVENT_READ, "heard")
                elif events & selectors.EVENT_READ and discard(key.fileobj) == 0:
                    selector.unregister(key.fileobj)
                    drop(key.fileobj)
                    if key.fileobj is calls[0]:
                        call()
                elif key.data == "greeting":  # welcome
                    selector.modify(calls[0], selectors.EVENT_READ | selectors.EVENT_WRITE, "calling")
                elif events & selectors.EVENT_WRITE:
                    return send()
                return 0

            call()
            sent = 0
            while sent == 0:
                sent = sum(serve(key, events) for key, events in selector.select(0.1))
            yield
            while True:
                yield sum(serve(key, events) for key, events in selector.select(0.1))
        self.beside(attack, "bytes")

    def actor(self):
        return forge.actor(1, BOOT, self.GROUP, self.address)

    def writes(self, numbers, **more):
        return b"".join(forge.write((1, number), b"key-%d" % number, b"1" * 1000, **more) for number in numbers)

    def test_writes_that_are_reordered(self):
        """The last first: what comes too early is kept for later, so far as there is room."""
        self.let_in(self.actor() + self.writes(range(20_000, 1, -1)))

    def test_writes_that_are_replayed(self):
        self.let_in(self.actor() + self.writes([1, 2, 3] * 5000))

    def test_writes_that_name_maps_from_the_future(self):
        maps = [(2 ** 31 + number, number) for number in range(256)]
        self.let_in(self.actor() + self.writes(range(1, 3000), maps=maps))

    def test_maps_from_the_future(self):
        """Named in heartbeats, and asked for: he never sends them."""
        self.let_in(b"".join(forge.row(range(number, number + 1000)) for number in range(1, 200_000, 1000)))

    def test_unknown_actors(self):
        self.let_in(b"".join(forge.write((number, 1), b"key", b"1") for number in range(2, 20_000)))

    def test_operations_of_nobody(self):
        self.let_in(forge.frame(forge.OP, b"\0" * 41) * 5000)

    def test_callers_of_many_addresses(self):
        greetings = [self.greeting(number) for number in range(1500)]

        def attack():
            raws, number = [], 0
            yield
            while True:
                raws.append(connect(self.peer_address))
                raws[-1].send(greetings[number % len(greetings)])
                number += 1
                if len(raws) > 200:
                    drop(raws.pop(0))
                yield 1
        self.beside(attack, "calls")


if __name__ == "__main__":
    unittest.main()
