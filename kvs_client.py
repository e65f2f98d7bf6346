"""A client of kvs in one file: sessions that carry what they have seen.

With the nodes of `make run` up, this is how it goes:

    >>> alice = Session(["localhost:8082", "localhost:8085"])
    >>> alice.put("color", "red"), alice.put("color", "blue")
    (True, False)
    >>> bob = Session.restore(alice.save())  # a letter from alice: what she has seen
    >>> bob.get("color")  # at any node: blue, or something newer, but never red
    'blue'
    >>> bob.delete("color")
    >>> alice = Session.restore(bob.save())  # his answer
    >>> alice.get("color", "gone")
    'gone'

What causal metadata is. The store has copies of each key on several nodes, and they do not wait for one another: right
after a write one node has it, and another not yet. So every answer says in its `causal-metadata` what whoever reads
it has seen by now: which writes, of which nodes. The next request takes that along, and a node that has not got all of
it waits a moment, then answers 503 and names what is missing, rather than answer with something older. To the client it
is opaque: it reads nothing in it, it keeps it and sends it back.

Why each answer's replaces the one before. An answer's metadata is that of its request joined with what the answer
shows: the write just made, the version just read, and all that these depended on. It covers everything that was known
before, so nothing is lost by forgetting the older one; and going back to an older one is how a client comes to see the
past again. That is true of 404 and 503 as well: they carry metadata, and it counts.

What a session is. One line of thought: one request after another, each with the metadata of the answer before. Two
sessions know nothing of each other until one hands its metadata to the other (`save` and `restore`, or the attribute
`metadata`): as people do, who can only build on what they were told. A session is for one thread at a time.

What is tried again. A node that does not let us in, and each 503 but one, has certainly done nothing: so the session
goes to the next node, waits a little, longer each time, and asks again, until its patience ends (Unavailable). A node
that says Retry-After is left alone for so long, within reason. When a *write* was sent and no answer came, or a node
answers "Outcome unknown", it may have happened, and to send it again could undo what others have written since: this
is told to the caller (OutcomeUnknown), who can look, and decide. With `repeat_unknown=True` it is sent again all the
same, which is right where the same write twice does no harm.
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import ssl
import time
from typing import Any, Iterable
from urllib.parse import quote, urlencode

PAUSE_S_FIRST, PAUSE_S_MAX = 0.02, 1.0  # before asking again; doubles, and is drawn from its upper half
RETRY_AFTER_S_MAX = 3.0  # longer than this no node is left alone, whatever it asks for
PAGE_KEYS = 1000  # of a listing
WRITES = ("PUT", "DELETE")
NOTHING = object()


class KvsError(Exception):
    """All that a session raises."""


class KeyNotFound(KvsError, KeyError):
    """There is no such key, as far as this session can know."""

    def __str__(self) -> str:
        return f"no key {self.args[0]!r}"


class Refused(KvsError):
    """The request is wrong or too much, at every node: a key too long, a value too large, no memory, no token."""

    def __init__(self, status: int, error: str):
        super().__init__(f"{status}: {error}")
        self.status, self.error = status, error


class Unavailable(KvsError):
    """Patience has ended; no write was done. The text says what the last node answered, or why it could not."""


class OutcomeUnknown(KvsError):
    """A write was sent, and nobody can say whether it has happened, or will."""


class _NotSent(Exception):
    """The node let nobody in."""


class _NoAnswer(Exception):
    """The request went out, and no whole answer came back."""


class _Answer:
    def __init__(self, status: int, members: dict, retry_after_s: float):
        self.status, self.members, self.retry_after_s = status, members, retry_after_s

    @property
    def error(self) -> str:
        """What went wrong; a 503 for missing dependencies names them."""
        missing = self.members.get("missing")
        return str(self.members.get("error", "")) + (f" (missing: {', '.join(missing)})" if missing else "")


def _seconds(text: str | None) -> float:
    """Of a Retry-After header; dates, which kvs does not send, count as none."""
    return min(float(text), RETRY_AFTER_S_MAX) if text and text.isdecimal() else 0.0


class _Node:
    """One node, with a connection that is kept."""

    def __init__(self, address: str, headers: dict[str, str], tls: ssl.SSLContext | None):
        self.address, self.headers = address, headers
        self.connection = (http.client.HTTPSConnection(address, context=tls) if tls else
                           http.client.HTTPConnection(address))
        self.rests_until = 0.0  # by the monotonic clock

    def exchange(self, verb: str, path: str, body: str | None, timeout_s: float) -> _Answer:
        self._connect(timeout_s)
        try:
            self.connection.request(verb, path, body, self.headers)
            answer = self.connection.getresponse()
            members = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as why:
            self.connection.close()
            raise _NoAnswer(f"{self.address} gave no answer: {why or type(why).__name__}") from why
        if not isinstance(members, dict):
            raise _NoAnswer(f"{self.address} answered with something that is not of kvs")
        return _Answer(answer.status, members, _seconds(answer.getheader("Retry-After")))

    def _connect(self, timeout_s: float) -> None:
        """A connection that the node closed meanwhile is opened anew: a write sent into it would be in doubt."""
        if self.connection.sock is not None and self._was_closed():
            self.connection.close()
        self.connection.timeout = timeout_s
        try:
            if self.connection.sock is None:
                self.connection.connect()
                self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connection.sock.settimeout(timeout_s)
        except OSError as why:
            self.connection.close()
            raise _NotSent(f"{self.address} cannot be reached: {why}") from why

    def _was_closed(self) -> bool:
        """Nothing is due on an idle connection: whatever can be read is its end."""
        try:
            self.connection.sock.settimeout(0)
            socket.socket.recv(self.connection.sock, 1, socket.MSG_PEEK)  # that of TLS does not peek
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True


class Session:
    """One line of thought; see the top of this file.

    nodes           "host:port" of one node or more, in order of preference; it stays with one as long as that answers
    metadata        of another session, to go on from what that has seen
    timeout_s       how long one node may take for one answer
    patience_s      how long one call may take, with all that is tried again
    repeat_unknown  writes whose outcome is unknown are sent again
    token           of nodes with AUTH_TOKEN; it is not saved
    ca_file         of nodes with TLS_CERT: the authority, PEM, that must have signed their certificates
    """

    def __init__(self, nodes: Iterable[str], metadata: Any = None, *, timeout_s: float = 5.0, patience_s: float = 15.0,
                 repeat_unknown: bool = False, token: str | None = None, ca_file: str | None = None):
        self.nodes = list(nodes)
        if not self.nodes:
            raise ValueError("a session needs at least one node")
        self.metadata = metadata  # of the last answer; opaque
        self.timeout_s, self.patience_s, self.repeat_unknown = timeout_s, patience_s, repeat_unknown
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        tls = ssl.create_default_context(cafile=ca_file) if ca_file else None
        self._nodes = [_Node(address, headers, tls) for address in self.nodes]
        self._at = 0  # the node that we are with

    # Operations.

    def get(self, key: str, default: Any = NOTHING) -> Any:
        """The value. Where there is none: `default`, or KeyNotFound if none was given."""
        answer = self._ask_for_key("GET", key, {})
        if answer.status == 404:
            if default is NOTHING:
                raise KeyNotFound(key)
            return default
        return answer.members["value"]

    def put(self, key: str, value: Any) -> bool:
        """Any value that JSON can say. True: the key is new, as far as this session can know."""
        json.dumps(value, allow_nan=False)  # what cannot be said raises here, before a node hears of it
        return self._ask_for_key("PUT", key, {"value": value}).status == 201

    def delete(self, key: str) -> None:
        """KeyNotFound where there is nothing."""
        if self._ask_for_key("DELETE", key, {}).status == 404:
            raise KeyNotFound(key)

    def list(self, prefix: str = "", partial: bool = False) -> dict[str, Any]:
        """All pairs, of all shards. Each is causal, but they are no snapshot, and no part of the session: it may lack
        what this session wrote a moment ago. A shard that nobody can reach raises Unavailable, unless partial."""
        pairs: dict[str, Any] = {}
        query = {"prefix": prefix, "limit": PAGE_KEYS}
        while True:
            answer = self._ask("GET", "/kvs?" + urlencode(query), None)
            self._expect(answer, 200)
            pairs.update(answer.members["kvs"])
            if not answer.members["complete"] and not partial:
                raise Unavailable(f"nobody reaches {', '.join(answer.members['unreachable'])}")
            if answer.members["next"] is None:
                return pairs
            query["after"] = answer.members["next"]

    # Handing over.

    def save(self) -> str:
        """What this session has seen, and whom it asks, as JSON text: to go on later, elsewhere, as somebody else."""
        return json.dumps({"nodes": self.nodes, "causal-metadata": self.metadata})

    @classmethod
    def restore(cls, text: str, **options: Any) -> Session:
        """A session that goes on from there; with nodes=[...] among the options, at these."""
        saved = json.loads(text)
        return cls(options.pop("nodes", saved["nodes"]), saved["causal-metadata"], **options)

    def close(self) -> None:
        for node in self._nodes:
            node.connection.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    # Asking, again and elsewhere.

    def _ask_for_key(self, verb: str, key: str, members: dict) -> _Answer:
        answer = self._ask(verb, "/kvs/" + quote(key, safe=""), members)
        self._expect(answer, *((200, 201) if verb == "PUT" else (200, 404)))
        return answer

    @staticmethod
    def _expect(answer: _Answer, *statuses: int) -> None:
        if answer.status not in statuses:
            raise Refused(answer.status, answer.error)

    def _ask(self, verb: str, path: str, members: dict | None) -> _Answer:
        """Until somebody answers something other than 503, or patience ends."""
        deadline = time.monotonic() + self.patience_s
        pause_s = PAUSE_S_FIRST
        while True:
            node, left_s = self._nodes[self._at], deadline - time.monotonic()
            try:
                answer = self._ask_once(node, verb, path, members, max(0.001, min(self.timeout_s, left_s)))
                if answer.status != 503:
                    return answer
                trouble = f"{node.address} answered 503: {answer.error}"
                node.rests_until = time.monotonic() + answer.retry_after_s
            except (_NotSent, _NoAnswer) as why:
                trouble = str(why)
            self._go_on_elsewhere(pause_s, deadline, trouble)
            pause_s = min(2 * pause_s, PAUSE_S_MAX)

    def _ask_once(self, node: _Node, verb: str, path: str, members: dict | None, timeout_s: float) -> _Answer:
        body = None if members is None else json.dumps({**members, "causal-metadata": self.metadata})
        try:
            answer = node.exchange(verb, path, body, timeout_s)
        except _NoAnswer as why:
            if verb in WRITES and not self.repeat_unknown:
                self._turn_away()
                raise OutcomeUnknown(str(why)) from why
            raise
        self.metadata = answer.members.get("causal-metadata", self.metadata)
        if answer.status == 503 and answer.error.startswith("Outcome unknown") and not self.repeat_unknown:
            raise OutcomeUnknown(f"{node.address}: {answer.error}")
        return answer

    def _turn_away(self) -> None:
        """To the next node in the ring that is not to be left alone; to the first to be free again if all are."""
        ring = [(self._at + step) % len(self._nodes) for step in range(1, len(self._nodes) + 1)]
        now = time.monotonic()
        self._at = min(ring, key=lambda at: max(self._nodes[at].rests_until, now))

    def _go_on_elsewhere(self, pause_s: float, deadline: float, trouble: str) -> None:
        self._turn_away()
        now = time.monotonic()
        wait_s = max(pause_s * random.uniform(0.5, 1), self._nodes[self._at].rests_until - now)
        if now + wait_s >= deadline:
            raise Unavailable(trouble)
        time.sleep(wait_s)
