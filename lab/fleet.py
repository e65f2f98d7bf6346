"""The nodes of a lab, and what is remembered of them from one command to the next.

A lab has a directory: `state.json` says what was made, and is written before it is made, so that `down` finds all of it
whatever happened in between; beside it stand the logs of the nodes and the history of the last load. Each command takes
the lock of the directory, does one thing and lets go.
"""

import concurrent.futures
import contextlib
import fcntl
import http.client
import json
import os
import pathlib
import string
import tempfile
import time

import namespaces
from places import DOWN, FIRST_HOST, KINDS, NODES_MAX, PAUSED, ROOT, UP, Containers, LabError, Processes, end_process

PORT = 8090
SETTLED_S_MAX = 20
ASK_S_MAX = 1.5
FILES = ("state.json", "state.new", "history", "hunt.log", "lock")  # and a log a node; `down` deletes no others


def directory():
    return pathlib.Path(os.environ.get("KVS_LAB") or ROOT / "build" / "lab").resolve()


def ask(address, path, verb="GET", members=None, timeout_s=ASK_S_MAX):
    """(status, members of the answer or its text). OSError where there is none."""
    connection = http.client.HTTPConnection(address, timeout=timeout_s)
    try:
        connection.request(verb, path, None if members is None else json.dumps(members))
        answer = connection.getresponse()
        body = answer.read()
        if answer.getheader("Content-Type") != "application/json":
            return answer.status, body.decode()
        return answer.status, json.loads(body)
    except (http.client.HTTPException, ValueError) as why:
        raise OSError(f"{address}: {why!r}") from why
    finally:
        connection.close()


@contextlib.contextmanager
def locked(path):
    """The lock of all labs may belong to another user: who can read it can take it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.touch()
    with open(path) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Fleet:
    """with Fleet(path) as fleet: the lock is held, and what has changed is kept."""

    def __init__(self, path=None):
        self.path = path or directory()
        self.state = None

    def __enter__(self):
        file = self.path / "state.json"
        with contextlib.ExitStack() as stack:
            if file.exists():
                stack.enter_context(locked(self.path / "lock"))
            if not file.exists():  # it may have gone down while we waited
                raise LabError("the lab is not up: python3 lab up 6 --shards 2")
            self._adopt(json.loads(file.read_text()))
            self._hold = stack.pop_all()
        return self

    def __exit__(self, *failure):
        if self.state is not None:
            self._save()
        self._hold.__exit__(*failure)

    def _adopt(self, state):
        self.state = state
        self.nodes = state["nodes"]
        kind = KINDS[state["kind"]]
        self.place = kind(state["name"], state["prefix"], len(self.nodes), self.path)

    def _save(self):
        whole = self.path / "state.new"
        whole.write_text(json.dumps(self.state, indent=1))
        whole.rename(self.path / "state.json")

    # Up and down.

    @classmethod
    def up(cls, count, shards, kind, path=None):
        fleet = cls(path)
        with locked(fleet.path / "lock"):
            if (fleet.path / "state.json").exists():
                raise LabError("a lab is up already (or was left behind by a crash): python3 lab down")
            with locked(pathlib.Path(tempfile.gettempdir()) / "kvs-lab.lock"):  # of all labs: each has its own number
                try:
                    fleet._plan(new_state(count, shards, kind))  # which may be refused
                except LabError:
                    fleet._delete_files()
                    raise
                fleet.place.open()
            for node in fleet.nodes:
                fleet._start(node)
        return fleet

    def _plan(self, state):
        """Written down before anything is made."""
        self._adopt(state)
        why_not = self.place.why_not()
        if why_not:
            raise LabError(why_not)
        self._save()

    def down(self):
        """Ends all processes and takes away all that was made, or what of it is still there."""
        load = self.state.get("load")
        if load:
            end_process(load["pid"], load["born"])
        if isinstance(self.place, Processes):
            running = [node for node in self.nodes if self.state_of(node) != DOWN]
            with concurrent.futures.ThreadPoolExecutor(NODES_MAX) as pool:
                list(pool.map(self.place.stop, running))
        self.place.close()
        self._delete_files()
        self.state = None

    def _delete_files(self):
        for name in (*FILES, *(f"{name}.log" for name in string.ascii_lowercase[:NODES_MAX])):
            (self.path / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # there may be files of others
            self.path.rmdir()

    def _settings(self, node):
        return {"SOCKET_ADDRESS": node["address"], "VIEW": ",".join(other["address"] for other in self.nodes),
                "SHARD_COUNT": str(self.state["shards"]), "CLOCK_SKEW_MS": str(node["skew_ms"])}

    def _start(self, node):
        self.place.start(node, self._settings(node))
        self._save()

    # Nodes.

    def node(self, name):
        for node in self.nodes:
            if name in (node["name"], node["address"]):
                return node
        raise LabError(f"there is no node {name}: they are {', '.join(node['name'] for node in self.nodes)}")

    def name_of(self, address):
        return next((node["name"] for node in self.nodes if node["address"] == address), address)

    def name_of_host(self, host):
        return next((node["name"] for node in self.nodes if node["host"] == host), host)

    def states(self):
        return self.place.states(self.nodes)

    def state_of(self, node):
        return self.place.states([node])[node["name"]]

    def _expect(self, name, *states):
        node = self.node(name)
        state = self.state_of(node)
        if state not in states:
            raise LabError(f"{name} is {state}")
        return node

    # Faults.

    def cut(self, name, *others):
        for other in others:
            if self.node(other) is self.node(name):
                raise LabError(f"{name} cannot be cut off from itself")
        for other in others:
            self.place.heal(self.node(name), self.node(other))  # no rule twice
            self.place.cut(self.node(name), self.node(other))

    def isolate(self, name):
        node = self.node(name)
        if node.get("unplugged"):
            raise LabError(f"{name} is isolated already")
        if isinstance(self.place, Containers):
            self.place.unplug(node)
        else:
            self.cut(name, *(other["name"] for other in self.nodes if other is not node))

    def heal(self, *names):
        """All cuts and isolations, those of one node, or the cut between two."""
        chosen = [self.node(name) for name in names]
        self.place.heal(*chosen)
        for node in chosen if len(names) == 1 else () if names else self.nodes:
            self.place.plug(node)

    def pause(self, name):
        self.place.pause(self._expect(name, UP))

    def resume(self, name):
        self.place.resume(self._expect(name, PAUSED))

    def kill(self, name):
        node = self._expect(name, UP, PAUSED)
        if self.state_of(node) == PAUSED and isinstance(self.place, Containers):
            self.place.resume(node)  # the engine kills no container that is paused
        self.place.kill(node)

    def start(self, name):
        self._start(self._expect(name, DOWN))

    def skew(self, name, skew_ms):
        """Its clock is wrong from its next start on; so one that is up is stopped and started."""
        node = self._expect(name, UP, DOWN)
        node["skew_ms"] = skew_ms
        if self.state_of(node) == UP:
            self.place.stop(node)
            self._start(node)

    # What they say.

    def addresses(self):
        return [node["address"] for node in self.nodes]

    def report(self):
        """A row a node: {column: text}, as they all say it at this moment."""
        states, cuts = self.states(), self.place.cuts()
        with concurrent.futures.ThreadPoolExecutor(NODES_MAX) as pool:
            return list(pool.map(lambda node: self._row(node, states[node["name"]], cuts), self.nodes))

    def _row(self, node, state, cuts):
        clock = f"{node['skew_ms'] / 1000:+g} s" if node["skew_ms"] else "right"
        row = {"node": node["name"], "address": node["address"], "process": state, "ready": "-", "shard": "-",
               "view": "-", "keys": "-", "held back": "-", "clock": clock, "cut from": self._cut_from(node, cuts)}
        if state == UP:
            try:
                row.update(self._words_of(node["address"]))
            except OSError:
                row["ready"] = "silent"
        return row

    def _cut_from(self, node, cuts):
        if node.get("unplugged"):
            return "all, and this machine"
        names = sorted(map(self.name_of_host, cuts.get(node["host"], ())))
        return "all" if len(names) == len(self.nodes) - 1 and names else " ".join(names) or "-"

    def _words_of(self, address):
        health, view = ask(address, "/health")[1], ask(address, "/view")[1]["view"]
        metrics = dict(line.rsplit(" ", 1) for line in ask(address, "/metrics")[1].splitlines() if line[:1] != "#")
        ready = "yes" if health["ready"] else "no"
        return {"ready": "alone yet" if health["provisional"] else ready, "shard": str(health["shard-id"] or "none"),
                "view": " ".join(map(self.name_of, view)), "keys": str(health["keys"]),
                "held back": metrics["kvs_writes_held_back"]}

    def unsettled(self):
        """[what is not as it should be]: all nodes are to be up and ready, and each to have all in its view."""
        with concurrent.futures.ThreadPoolExecutor(NODES_MAX) as pool:
            return [words for words in pool.map(self._complaint_of, self.nodes) if words]

    def _complaint_of(self, node):
        try:
            health, view = ask(node["address"], "/health")[1], ask(node["address"], "/view")[1]["view"]
        except OSError as why:
            return f"{node['name']} cannot be asked: {why}"
        if not health["ready"] or health["provisional"]:
            return f"{node['name']} is {'ready, but has not met all' if health['ready'] else 'not ready'}"
        missing = sorted(self.name_of(address) for address in set(self.addresses()) - set(view))
        return f"{node['name']} does not see {', '.join(missing)}" if missing else None

    def wait_until_settled(self, timeout_s=SETTLED_S_MAX):
        """What is unsettled still; nothing: all is as it should be."""
        limit = time.monotonic() + timeout_s
        while (complaints := self.unsettled()) and time.monotonic() < limit:
            time.sleep(0.1)
        return complaints


def new_state(count, shards, kind):
    if not 1 <= count <= NODES_MAX:
        raise LabError(f"a lab has 1 to {NODES_MAX} nodes")
    if not 1 <= shards <= count:
        raise LabError(f"{count} nodes make 1 to {count} shards")
    number = next(n for n in range(255) if is_free(kind, n))
    prefix = f"{KINDS[kind].network}.{number}"
    nodes = [{"name": name, "host": f"{prefix}.{i}", "address": f"{prefix}.{i}:{PORT}", "skew_ms": 0}
             for i, name in enumerate(string.ascii_lowercase[:count], FIRST_HOST)]
    return {"name": f"{KINDS[kind].stem}{number}", "prefix": prefix, "kind": kind, "shards": shards, "nodes": nodes}


def is_free(kind, number):
    """No other lab of this machine has this number."""
    if kind == Processes.kind:
        try:
            ask(f"{Processes.network}.{number}.{FIRST_HOST}:{PORT}", "/health", timeout_s=0.2)
        except ConnectionRefusedError:
            return True
        except OSError:
            pass
        return False
    return not namespaces.attempt(f"ip link show {KINDS[kind].stem}{number}")
