"""Sessions that read, write and delete without pause while a cluster changes under them, and what they may expect.

Every answer is judged by the contract. Of the keys, most are written again and again; the *doomed* ones are deleted
once and never written again; the *contested* ones are deleted once and written at the same time; and more keys come,
each written once. So the live keys are known exactly, but for the contested ones and for writes whose outcome nobody
was told: of these, that all nodes agree.
"""

import io
import json
import pathlib
import re
import subprocess
import sys
import threading
import time

from cluster import until
from harness import ANSWER_S_MAX, Client, EndOfStream, Raw, build_request, encode_body, key_path

TESTS = pathlib.Path(__file__).resolve().parent.parent
CHECKER = TESTS.parent / "build" / "release" / "tests" / "check_history"
sys.path.insert(0, str(TESTS))

import record_history as recording  # noqa: E402  found by the line above

THREADS = 8
READ_SHARE, DELETE_SHARE, ONCE_SHARE, HOP_SHARE, RENEW_SHARE = 0.5, 0.05, 0.1, 0.3, 0.02
DOOMED_SHARE = 0.1  # of the keys
CONTESTED = 50
BATCH = 250  # requests that are pipelined at a time
LEVEL_S = 7  # after the last request or fault all nodes say the same

NOT_FOUND = "Key does not exist"
UNMET = "Causal dependencies not satisfied; try again later"
UNREACHABLE = "Cannot forward request"
UNKNOWN = "Outcome unknown; the write may have happened"


# --- the contract ----------------------------------------------------------------------------------------------------

RESULTS = {("PUT", 201): "created", ("PUT", 200): "replaced", ("GET", 200): "found", ("DELETE", 200): "deleted"}
REFUSALS = {("GET", 404): {NOT_FOUND}, ("DELETE", 404): {NOT_FOUND}, ("GET", 503): {UNMET, UNREACHABLE},
            ("PUT", 503): {UNMET, UNREACHABLE, UNKNOWN}, ("DELETE", 503): {UNMET, UNREACHABLE, UNKNOWN}}


def judge(verb, answer):
    """The members of an answer to an operation on a key, held to docs/api.md; its headers were checked before."""
    kind, members = (verb, answer.status), answer.json
    assert kind in RESULTS or kind in REFUSALS, f"{verb}: {answer!r}"
    if kind in RESULTS:
        assert members.get("result") == RESULTS[kind], f"{verb}: {answer!r}"
        expected = {"result", "causal-metadata", "shard-id"} | ({"value"} if verb == "GET" else set())
    else:
        assert members.get("error") in REFUSALS[kind], f"{verb}: {answer!r}"
        expected = {"error", "causal-metadata", "shard-id"} | ({"missing"} if members["error"] == UNMET else set())
    assert set(members) == expected, f"{verb}: {answer!r}"
    assert re.fullmatch("s[0-9]+", members["shard-id"]), f"{verb}: {answer!r}"
    judge_metadata(members["causal-metadata"])
    return members


ABSENT_TEXT = b'{"error":"%s","causal-metadata":' % NOT_FOUND.encode()


def found_text(value):
    """How the answer to a GET begins: thousands need not be parsed."""
    return b'{"result":"found","value":%s,"causal-metadata":' % json.dumps(value).encode()


def judge_metadata(metadata):
    assert set(metadata) == {"maps", "time", "clock"}, metadata
    assert all(re.fullmatch("[1-9][0-9]*[.][0-9a-f]{8}", name) for name in metadata["maps"]), metadata
    assert re.fullmatch("[0-9a-f]{16}", metadata["time"]), metadata
    for actor, number in metadata["clock"].items():
        assert re.fullmatch("[^#]+:[0-9]+#[0-9a-f]{16}", actor) and type(number) is int and number > 0, metadata


class JudgingClient:
    """Asks as recording.Client does, and holds every answer to the contract."""

    def __init__(self, addresses, timeout_s):
        self.clients = [Client(address, timeout_s) for address in addresses]

    def ask(self, node, verb, key, members):
        """(status, members of the answer); status 0: nothing was sent; None: it was sent, and no answer came."""
        client = self.clients[node]
        try:
            if client.raw is None:
                client.raw = Raw(client.address, client.timeout_s)
        except OSError:
            return 0, {}
        try:
            answer = client.request(verb, key_path(key), members)
        except (OSError, EndOfStream):
            return None, {}
        return answer.status, judge(verb, answer)

    def close(self):
        for client in self.clients:
            client.close()


def pipeline(address, requests, timeout_s=ANSWER_S_MAX):
    """The answers in order, many requests at a time under way."""
    with Raw(address, timeout_s) as raw:
        for start in range(0, len(requests), BATCH):
            part = requests[start:start + BATCH]
            raw.send(b"".join(part))
            for _ in part:
                yield raw.read_answer()


# --- the load --------------------------------------------------------------------------------------------------------


class Workload:
    """Threads between `with` and its end; quiet while paused()."""

    def __init__(self, cluster, source, keys, request_s_max=5, pause_s=0.0):
        self.cluster, self.source = cluster, source
        self.addresses = cluster.addresses()
        self.request_s_max, self.pause_s = request_s_max, pause_s
        self.text = io.StringIO()
        self.recorder = recording.Recorder(self.text)
        self.sessions = [recording.Session(f"t{i}") for i in range(THREADS)]
        doomed = int(keys * DOOMED_SHARE)
        self.steady = [f"steady-{i}" for i in range(keys - doomed)]
        self.doomed = [f"doomed-{i}" for i in range(doomed)]
        self.contested = [f"contested-{i}" for i in range(CONTESTED)]
        self.to_delete = self.doomed + self.contested
        source.shuffle(self.to_delete)
        self.live, self.dead, self.open = {}, set(), set()  # open: nobody was told whether they live
        self.once = {}  # key: its one value
        self.lock = threading.Lock()
        self.running, self.stopping, self.waiting = threading.Event(), threading.Event(), 0
        self.failures = []
        self.threads = [threading.Thread(target=self.guard, args=(i, source.getrandbits(64))) for i in range(THREADS)]

    def __enter__(self):
        self.running.set()
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.running.set()
        for thread in self.threads:
            thread.join()

    def preload(self, address):
        """Every key is written before the threads begin; each write is a session, since it depends on nothing."""
        keys = [*self.steady, *self.doomed, *self.contested]
        requests = [build_request("PUT", key_path(key), encode_body(value=f"first.{key}")) for key in keys]
        for key, answer in zip(keys, pipeline(address, requests)):
            assert answer.status == 201, f"{key}: {answer!r}"
            judge("PUT", answer)
            self.recorder.note(recording.Session(f"first.{key}"), f"put {key} first.{key} ok")
            if key not in self.contested:
                self.live[key] = True

    # Threads.

    def guard(self, me, seed):
        client = JudgingClient(self.addresses, self.request_s_max)
        try:
            self.work(me, client, self.source.__class__(seed))
        except Exception as failure:  # of the test, which must not end as a quiet thread
            self.failures.append(failure)
            raise
        finally:
            client.close()

    def work(self, me, client, rng):
        node, renewals = me % len(self.addresses), 0
        while not self.stopping.is_set():
            self.rest_while_paused()
            if rng.random() < RENEW_SHARE:
                renewals += 1
                recording.renew(self.recorder, self.sessions, me, f"t{me}.{renewals}", rng)
            if rng.random() < HOP_SHARE:
                node = rng.randrange(len(self.addresses))
            self.operate(client, self.sessions[me], node, rng)
            time.sleep(self.pause_s)

    def rest_while_paused(self):
        if not self.running.is_set():
            with self.lock:
                self.waiting += 1
            self.running.wait()
            with self.lock:
                self.waiting -= 1

    def operate(self, client, session, node, rng):
        dice = rng.random()
        if dice < DELETE_SHARE:
            self.delete(client, session, node)
        elif dice < DELETE_SHARE + ONCE_SHARE:
            self.write_once(client, session, node)
        elif dice < DELETE_SHARE + ONCE_SHARE + READ_SHARE:
            recording.read(self.recorder, client, session, node, self.pick_to_read(rng))
        else:
            recording.write(self.recorder, client, session, node, self.pick_to_write(rng))

    def pick_to_read(self, rng):
        groups = [self.steady, self.doomed, self.contested, list(self.once) if rng.random() < 0.1 else []]
        return rng.choice(rng.choice([group for group in groups if group]))

    def pick_to_write(self, rng):
        return rng.choice(self.contested if rng.random() < 0.1 else self.steady)

    def write_once(self, client, session, node):
        value = recording.next_value(session)
        key = f"once-{value}"
        outcome, status = recording.put(self.recorder, client, session, node, key, value)
        with self.lock:
            if outcome == "ok":
                assert status == 201, f"{key} was there before"
                self.live[key] = True
                self.once[key] = value
            elif outcome == "unknown":
                self.open.add(key)
        return outcome

    def delete(self, client, session, node):
        with self.lock:
            key = self.to_delete.pop() if self.to_delete else None
        if key is None:
            return
        status, members = client.ask(node, "DELETE", key, {"causal-metadata": session.metadata})
        outcome = recording.outcome_of_write(status, members) if status != 404 else "absent"
        metadata = members.get("causal-metadata") if outcome in ("ok", "absent") else None
        line = f"get {key} absent" if outcome == "absent" else f"delete {key} {outcome}"
        self.recorder.note(session, line, metadata)
        self.recorder.count(f"DELETE {status}")
        assert outcome != "absent", f"{key} was gone before its only DELETE: {members}"
        with self.lock:
            if key in self.contested:
                return
            if outcome == "refused":
                self.to_delete.insert(0, key)
                return
            self.live.pop(key, None)
            (self.dead if outcome == "ok" else self.open).add(key)

    # From outside.

    def pause(self):
        """Returns when nothing is under way."""
        self.running.clear()
        until(lambda: self.waiting == THREADS or self.failures, 2 * self.request_s_max, "all threads rest")
        self.expect_no_failure()

    def resume(self):
        self.running.set()

    def expect_no_failure(self):
        assert not self.failures, self.failures[:3]

    def remember(self, label):
        """Sessions that stop here: those of the threads, and one for each node that has just written there."""
        old = [self.recorder.hand_over(session, f"{label}.{i}") for i, session in enumerate(self.sessions)]
        client = JudgingClient(self.addresses, self.request_s_max)
        for node in range(len(self.addresses)):
            session = recording.Session(f"{label}.at{node}")
            until(lambda: self.write_once(client, session, node) == "ok", LEVEL_S, "a write")  # noqa: B023
            old.append(session)
        client.close()
        return old

    def expect_honoured(self, old):
        """With what these sessions hold, every node answers every read and every write at once."""
        client = JudgingClient(self.addresses, self.request_s_max)
        for node, address in enumerate(self.addresses):
            for number, remembered in enumerate(old):
                session = self.recorder.hand_over(remembered, f"{remembered.name}.{node}")
                key = self.steady[number]
                assert recording.read(self.recorder, client, session, node, key), f"{address} refuses {remembered.metadata}"
                session = self.recorder.hand_over(remembered, f"{remembered.name}.{node}.w")
                outcome = self.write_once(client, session, node)
                assert outcome == "ok", f"{address} refuses {remembered.metadata}: {outcome}"
        client.close()

    def share_refused(self):
        """Of all operations, those answered with 503."""
        outcomes = self.recorder.outcomes
        return sum(n for name, n in outcomes.items() if name.endswith("503")) / max(1, sum(outcomes.values()))

    # What must be true when nothing is under way.

    def expect_level(self):
        """All nodes come to list the same, and count it right; and it is what is expected. Returns the pairs."""
        until(lambda: self.differences() is None, 2 * LEVEL_S, lambda: f"{self.differences()}\n{self.cluster.describe()}")
        pairs = self.cluster.working()[0].everything()
        assert not (lost := self.live.keys() - pairs.keys()), f"{len(lost)} live keys are gone: {sorted(lost)[:5]}"
        assert not (risen := self.dead & pairs.keys()), f"{len(risen)} deleted keys are back: {sorted(risen)[:5]}"
        others = pairs.keys() - self.live.keys() - self.open - set(self.contested)
        assert not others, f"{len(others)} keys that nobody wrote: {sorted(others)[:5]}"
        wrong = {key for key, value in self.once.items() if pairs[key] != value}
        assert not wrong, f"{len(wrong)} keys written once have another value: {sorted(wrong)[:5]}"
        return pairs

    def differences(self):
        """What is not level yet; None: nothing."""
        listings = {member.name: member.everything() for member in self.cluster.working()}
        first_name, first = next(iter(listings.items()))
        for name, pairs in listings.items():
            if pairs != first:
                keys = {key for key in first.keys() | pairs.keys() if first.get(key) != pairs.get(key)}
                return f"{name} and {first_name} list {len(keys)} keys differently: {sorted(keys)[:5]}"
        for member in self.cluster.working():
            counts = key_counts(member)
            if sum(counts.values()) != len(first):
                return f"{member.name} counts {counts}, there are {len(first)} keys"
        return None

    def expect_every_read(self, pairs):
        """Every key that ever was, at every node, without metadata; for the checker too: all have seen all by now."""
        keys = [*self.steady, *self.doomed, *self.contested, *self.once, *self.open]
        everything = recording.Session("end")
        for name in list(self.recorder.names):
            self.recorder.note(everything, f"take {name}")
        for member in self.cluster.working():
            session = self.recorder.hand_over(everything, f"end.{member.name.replace(' ', '.')}")
            for key, answer in zip(keys, pipeline(member.address, [build_request("GET", key_path(key)) for key in keys])):
                status, start = (200, found_text(pairs[key])) if key in pairs else (404, ABSENT_TEXT)
                good = answer.status == status and answer.body.startswith(start)
                assert good, f"{member.name}, {key}, {pairs.get(key)}: {answer!r}"
                said = f"found {recording.name_of(pairs[key])}" if key in pairs else "absent"
                self.recorder.note(session, f"get {key} {said}")

    def expect_causal(self):
        """The checker finds nothing."""
        text = self.text.getvalue()
        verdict = subprocess.run([CHECKER, "-"], input=text.encode(), stdout=subprocess.PIPE, timeout=300)
        if verdict.returncode != 0:  # a history that is not clean is worth more than a verdict
            path = pathlib.Path(f"/tmp/kvs-history-{self.source.getrandbits(32):08x}")
            path.write_text(text)
            raise AssertionError(f"{verdict.stdout.decode()}\nhistory: {path}")
        assert self.recorder.answers > 0

    def describe(self):
        return ", ".join(f"{name}: {n}" for name, n in sorted(self.recorder.outcomes.items()))


# --- shards ----------------------------------------------------------------------------------------------------------


def shard_ids(member):
    return member.ask("GET", "/shard/ids").json["shard-ids"]


def key_counts(member):
    """{shard: how many keys, as this node tells}"""
    answers = {shard: member.ask("GET", f"/shard/key-count/{shard}") for shard in shard_ids(member)}
    return {shard: answer.json.get("shard-key-count", -1) for shard, answer in answers.items()}


def members_of(member, shard):
    return member.ask("GET", f"/shard/members/{shard}").json["shard-members"]


def layout(member):
    """{shard: its members, as this node tells}"""
    return {shard: members_of(member, shard) for shard in shard_ids(member)}


def reshard(member, count, timeout_s):
    return member.ask("PUT", "/shard/reshard", {"shard-count": count}, timeout_s=timeout_s)


def expect_layout(cluster, count):
    """All nodes say the same: shards s0 to s(count-1), two members each or more, every node in one of them."""
    expected = layout(cluster.working()[0])
    assert list(expected) == [f"s{i}" for i in range(count)], expected
    assert all(len(members) >= 2 for members in expected.values()), expected
    everybody = [address for members in expected.values() for address in members]
    assert sorted(everybody) == sorted(cluster.addresses(cluster.working())), expected
    for member in cluster.working():
        assert layout(member) == expected, (member.name, layout(member), expected)
        own = member.ask("GET", "/shard/node-shard-id").json["node-shard-id"]
        assert member.address in expected[own], (member.name, own, expected)
