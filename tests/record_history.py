#!/usr/bin/env python3
"""Loads a key-value store from concurrent sessions and records the history for check_history (docs/checker.md).

  record_history.py --operations 10000 localhost:8090 localhost:8091 > history && check_history history

Each thread is one client after another: it carries the causal metadata of its answers along, hops between the nodes,
now and then starts anew with no metadata, and now and then with that of another thread. Keys start with a prefix that
is new in each run, since a value from before would count as one that nobody wrote. A key is deleted at most once: of
several deletes nobody could say which one an absence is due to. So keys go out of use, too, and new ones come in. The
seed on the first line repeats the choices, not the timing.

Where nobody answers anything can be said to be causal. Such a history ends with a line that the checker refuses, and
the exit code is 1.
"""

import argparse
import collections
import http.client
import json
import random
import sys
import threading
import time
from urllib.parse import quote

READ_SHARE = 0.5
HOP_SHARE = 0.3
FRESH_SHARE = 0.3  # of the sessions of a thread begin with no metadata, the others with another's
KEY_LIFE = 50  # operations until a new key comes into use and the oldest one goes
FINAL_TRIES = 20  # of each final read, a fifth of a second apart
NO_ANSWERS = "no-answers"  # is no line of a history


def arguments(given=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("nodes", nargs="+", metavar="HOST:PORT")
    parser.add_argument("--operations", type=int, default=10000, help="of all threads together (10000)")
    parser.add_argument("--seconds", type=float, help="go on for so long, however many operations that makes")
    parser.add_argument("--pause", type=float, default=0, metavar="SECONDS", help="of a thread between two of them (0)")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--keys", type=int, default=20, help="in use at a time (20)")
    parser.add_argument("--deletes", type=float, default=0.03, metavar="SHARE", help="of all operations (0.03)")
    parser.add_argument("--renew", type=float, default=0.02, metavar="SHARE",
                        help="how often a thread drops its metadata or takes another's (0.02)")
    parser.add_argument("--timeout", type=float, default=10, metavar="SECONDS")
    parser.add_argument("--settle", type=float, metavar="SECONDS",
                        help="wait that long at the end, then hold every node to knowing everything")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    return parser.parse_args(given)


def name_of(value):
    """A JSON value as one field of a line."""
    return quote(value if isinstance(value, str) else json.dumps(value)) or "%"


class Session:
    """A chain of metadata. Whoever drops or swaps metadata goes on as a new session."""

    def __init__(self, name, metadata=None):
        self.name = name
        self.metadata = metadata
        self.writes = 0


class Recorder:
    """The history. A line and the metadata that came with it change together, under one lock: or else a session that
    takes over another's metadata would stand behind more of it, or less, than it took."""

    def __init__(self, out):
        self.out = out
        self.lock = threading.Lock()
        self.names = {}  # of the sessions that have a line, in order
        self.answers = 0  # lines that say what a node did or what there was
        self.outcomes = collections.Counter()

    def note(self, session, line, metadata=None):
        """Lines read `verb session ...`; metadata None: the session's stays as it is."""
        with self.lock:
            self._write(session, line)
            if metadata is not None:
                session.metadata = metadata

    def _write(self, session, line):
        verb, rest = line.split(" ", 1)
        self.out.write(f"{verb} {session.name} {rest}\n")
        self.names[session.name] = True
        self.answers += verb == "get" or rest.endswith(" ok")

    def hand_over(self, other, name):
        """A new session with the metadata of another one."""
        with self.lock:
            session = Session(name, other.metadata)
            if other.name in self.names:
                self._write(session, f"take {other.name}")
            return session

    def count(self, outcome):
        with self.lock:
            self.outcomes[outcome] += 1


class Keys:
    """Those in use."""

    def __init__(self, count):
        self.prefix = f"{random.SystemRandom().randrange(16**8):08x}"
        self.count = count
        self.lock = threading.Lock()
        self.picked = 0
        self.deleted = set()

    def pick(self, rng):
        with self.lock:
            self.picked += 1
            return f"{self.prefix}-{self.picked // KEY_LIFE + rng.randrange(self.count)}"

    def may_delete(self, key):
        """Once."""
        with self.lock:
            fresh = key not in self.deleted
            self.deleted.add(key)
            return fresh

    def all(self):
        return [f"{self.prefix}-{i}" for i in range(self.picked // KEY_LIFE + self.count)]


class Client:
    """Connections of one thread to all nodes."""

    def __init__(self, nodes, timeout):
        self.connections = [http.client.HTTPConnection(node, timeout=timeout) for node in nodes]

    def ask(self, node, verb, key, members):
        """(status, members of the answer); status 0: nothing was sent; None: it was sent, and no answer came."""
        connection = self.connections[node]
        try:
            if connection.sock is None:
                connection.connect()
        except OSError:
            connection.close()
            return 0, {}
        try:
            connection.request(verb, f"/kvs/{quote(key, safe='')}", json.dumps(members))
            answer = connection.getresponse()
            members = json.loads(answer.read())
            return answer.status, members if isinstance(members, dict) else {}
        except (OSError, http.client.HTTPException, ValueError):
            connection.close()
            return None, {}


def outcome_of_write(status, members):
    if status in (200, 201):
        return "ok"
    unknown = status is None or (status == 503 and str(members.get("error", "")).startswith("Outcome unknown"))
    if unknown or (status >= 500 and status not in (503, 507)):
        return "unknown"
    return "refused"


def read(recorder, client, session, node, key):
    """False: no usable answer, so it was no operation."""
    status, members = client.ask(node, "GET", key, {"causal-metadata": session.metadata})
    if status == 200 and "value" in members:
        recorder.note(session, f"get {key} found {name_of(members['value'])}", members.get("causal-metadata"))
    elif status == 404:
        recorder.note(session, f"get {key} absent", members.get("causal-metadata"))
    recorder.count(f"GET {status}")
    return status in (200, 404)


def next_value(session):
    session.writes += 1
    return f"{session.name}.{session.writes}"


def put(recorder, client, session, node, key, value):
    """The outcome and the status."""
    status, members = client.ask(node, "PUT", key, {"value": value, "causal-metadata": session.metadata})
    outcome = outcome_of_write(status, members)
    recorder.note(session, f"put {key} {value} {outcome}", members.get("causal-metadata") if outcome == "ok" else None)
    recorder.count(f"PUT {status}")
    return outcome, status


def write(recorder, client, session, node, key):
    put(recorder, client, session, node, key, next_value(session))


def delete(recorder, client, session, node, key):
    status, members = client.ask(node, "DELETE", key, {"causal-metadata": session.metadata})
    if status == 404:  # it wrote nothing, and saw what a GET sees
        recorder.note(session, f"get {key} absent", members.get("causal-metadata"))
    else:
        outcome = outcome_of_write(status, members)
        recorder.note(session, f"delete {key} {outcome}", members.get("causal-metadata") if outcome == "ok" else None)
    recorder.count(f"DELETE {status}")


def renew(recorder, sessions, me, name, rng):
    """The thread goes on without its metadata: with none, or with that of another thread."""
    if rng.random() < FRESH_SHARE:
        sessions[me] = Session(name)
    else:
        sessions[me] = recorder.hand_over(rng.choice(sessions), name)


class Load:
    """Threads that load the nodes, from start() until their operations or seconds are over, or until stop()."""

    def __init__(self, options, out):
        self.options, self.recorder, self.keys = options, Recorder(out), Keys(options.keys)
        self.sessions = [Session(f"t{i}") for i in range(options.threads)]  # the one that thread i is at
        self.stopping, self.going_on = threading.Event(), threading.Event()
        self.resting, self.lock = 0, threading.Lock()
        self.failures = []  # of this program: no thread ends quietly
        self.threads = [threading.Thread(target=self._guard, args=(i,)) for i in range(options.threads)]
        out.write(f"# seed {options.seed}, nodes {' '.join(options.nodes)}\n")

    def start(self):
        self.going_on.set()
        self.end = time.monotonic() + (self.options.seconds or float("inf"))
        for thread in self.threads:
            thread.start()

    def join(self):
        for thread in self.threads:
            thread.join()
        if self.failures:
            raise self.failures[0]

    def stop(self):
        self.stopping.set()
        self.going_on.set()

    def pause(self):
        """Returns when nothing is under way, until resume()."""
        self.going_on.clear()
        while self.resting < sum(thread.is_alive() for thread in self.threads):
            time.sleep(0.01)

    def resume(self):
        self.going_on.set()

    def _guard(self, me):
        try:
            self._work(me)
        except Exception as failure:
            self.failures.append(failure)
            raise

    def _turns(self):
        """One for each operation of a thread, as long as it shall go on."""
        count = 0
        while not self.stopping.is_set() and time.monotonic() < self.end:
            if self.options.seconds is None and count == self.options.operations // self.options.threads:
                return
            yield
            count += 1
            time.sleep(self.options.pause)
            self._rest_while_paused()

    def _rest_while_paused(self):
        if not self.going_on.is_set():
            with self.lock:
                self.resting += 1
            self.going_on.wait()
            with self.lock:
                self.resting -= 1

    def _work(self, me):
        options, sessions = self.options, self.sessions
        rng = random.Random(f"{options.seed}.{me}")
        client = Client(options.nodes, options.timeout)
        node, renewals = rng.randrange(len(options.nodes)), 0
        for _ in self._turns():
            if rng.random() < options.renew:
                renewals += 1
                renew(self.recorder, sessions, me, f"t{me}.{renewals}", rng)
            if rng.random() < HOP_SHARE:
                node = rng.randrange(len(options.nodes))
            self._operate(client, sessions[me], node, rng)

    def _operate(self, client, session, node, rng):
        key, dice = self.keys.pick(rng), rng.random()
        if dice < self.options.deletes and self.keys.may_delete(key):
            delete(self.recorder, client, session, node, key)
        elif dice < self.options.deletes + READ_SHARE:
            read(self.recorder, client, session, node, key)
        else:
            write(self.recorder, client, session, node, key)

    def read_everything(self):
        """Everything is everywhere by now, we claim: a session that has seen all others reads all keys, at each node.
        Returns [(address, key)] of those that were not answered."""
        client, unanswered = Client(self.options.nodes, self.options.timeout), []
        everything = Session("end")
        for name in list(self.recorder.names):
            self.recorder.note(everything, f"take {name}")
        for node, address in enumerate(self.options.nodes):
            session = self.recorder.hand_over(everything, f"end.{node}")
            for key in self.keys.all():
                if not self._read_patiently(client, session, node, key):
                    unanswered.append((address, key))
        return unanswered

    def _read_patiently(self, client, session, node, key):
        for _ in range(FINAL_TRIES):
            if read(self.recorder, client, session, node, key):
                return True
            time.sleep(0.2)
        return False

    def describe(self):
        return ", ".join(f"{outcome}: {n}" for outcome, n in sorted(self.recorder.outcomes.items()))


def main():
    options = arguments()
    load = Load(options, sys.stdout)
    load.start()
    load.join()
    if load.recorder.answers == 0:
        print(NO_ANSWERS)
        sys.exit(f"no operation was answered by {', '.join(options.nodes)}: there is nothing to judge")
    if options.settle is not None:
        time.sleep(options.settle)
        for address, key in load.read_everything():
            print(f"no answer from {address} for {key}", file=sys.stderr)
    print(load.describe(), file=sys.stderr)


if __name__ == "__main__":
    main()
