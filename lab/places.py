"""Where the nodes of a lab live, and what can be done to them there. Three kinds with the same functions:

  Processes   of this machine, each on a loopback address of its own; no network to cut
  Spaces      processes, too, each in a network namespace: needs root
  Containers  of Docker

A node is a dict that the lab keeps: name, host, and where it is a process, its pid and when that was born (a number may
be used again). Nothing is stopped by the name of its program. All that a place makes has a name that follows from that
of the lab, so that `close` can take it away after a crash, too.
"""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

import namespaces
from namespaces import attempt, run

ROOT = pathlib.Path(__file__).resolve().parent.parent
IMAGE = os.environ.get("KVS_IMAGE", "kvs")
MARK = "KVS_LAB_NODE"  # in the environment of each process, so that none is ever lost
NODES_MAX = 26  # they are called a to z
FIRST_HOST = 11  # the number of a; .1 is what a network of Docker, even a larger one around ours, gives to the machine
STOP_S_MAX = 4
PASSED_ON = ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS")
UP, PAUSED, DOWN = "up", "paused", "down"


class LabError(Exception):
    """Something to tell the user, in one line."""


def birth_of(pid):
    """(when it was born, the letter of its state), or None: there is no such process."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return int(fields[19]), fields[0]


def state_of(pid, born):
    found = birth_of(pid) if pid else None
    if found is None or found[0] != born or found[1] in "ZX":
        return DOWN
    return PAUSED if found[1] == "T" else UP


def wait_until_gone(pid, born, timeout_s):
    limit = time.monotonic() + timeout_s
    while state_of(pid, born) != DOWN:
        if time.monotonic() > limit:
            return False
        time.sleep(0.01)
    return True


def end_process(pid, born):
    """SIGTERM, and SIGKILL for who does not listen."""
    for number, timeout_s in ((signal.SIGTERM, STOP_S_MAX), (signal.SIGKILL, STOP_S_MAX)):
        if state_of(pid, born) == DOWN:
            return
        os.kill(pid, number)
        os.kill(pid, signal.SIGCONT)  # or else it would take the first only when it is thawed
        if wait_until_gone(pid, born, timeout_s):
            return


def marked_processes():
    """[(pid, mark)] of all labs."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:  # somebody else's, or gone
            continue
        found += [(int(path.parent.name), word.split("=", 1)[1]) for word in words if word.startswith(f"{MARK}=")]
    return found


def lost_places(directory):
    """Those of labs whose directory was deleted under them, as far as processes still tell."""
    marks = {mark for _, mark in marked_processes() if mark.endswith(f" {directory}")}
    for name in {mark.split(" ", 1)[0] for mark in marks}:
        kind = Spaces if name.startswith(Spaces.stem) else Processes
        number = name[len(kind.stem):]
        yield kind(name, f"{kind.network}.{number}", NODES_MAX, directory)


class Processes:
    kind, word, stem, network = "processes", "processes without a network", "kvsplain", "127.77"
    why_no_cuts = "processes on loopback addresses have no network to cut: run the lab as root, or with --docker"

    def __init__(self, name, prefix, count, directory):
        self.name, self.prefix, self.count, self.directory = name, prefix, count, directory
        self.mark = f"{name} {directory}"

    def why_not(self):
        """Why this kind cannot be had here, or None."""
        return None

    def open(self):
        pass

    def close(self):
        for pid in self.strays():
            end_process(pid, (birth_of(pid) or (0,))[0])

    def strays(self):
        """Processes of this lab, whatever the lab remembers of them."""
        return [pid for pid, mark in marked_processes() if mark == self.mark]

    # Nodes.

    def binary(self):
        path = pathlib.Path(os.environ.get("KVS_BINARY", ROOT / "kvs"))
        if not os.access(path, os.X_OK):
            subprocess.run(["make", "-s", "kvs"], cwd=ROOT, check=True, timeout=600)
        return str(path)

    def command(self, node):
        return [self.binary()]

    def log_path(self, node):
        return self.directory / f"{node['name']}.log"

    def start(self, node, settings):
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        with open(self.log_path(node), "ab") as log:
            process = subprocess.Popen(self.command(node), env={**environment, MARK: self.mark, **settings},
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        node["pid"], node["born"] = process.pid, (birth_of(process.pid) or (0,))[0]

    def kill(self, node):
        os.kill(node["pid"], signal.SIGKILL)
        wait_until_gone(node["pid"], node["born"], STOP_S_MAX)

    def stop(self, node):
        end_process(node["pid"], node["born"])

    def pause(self, node):
        os.kill(node["pid"], signal.SIGSTOP)

    def resume(self, node):
        os.kill(node["pid"], signal.SIGCONT)

    def states(self, nodes):
        return {node["name"]: state_of(node.get("pid"), node.get("born")) for node in nodes}

    def log(self, node):
        path = self.log_path(node)
        return path.read_text(errors="replace") if path.exists() else ""

    # The network.

    def cut(self, node, other):
        raise LabError(self.why_no_cuts)

    def heal(self, node=None, other=None):
        """All cuts, those of a node, or those between two."""

    def plug(self, node):
        """Puts back what isolate() took away, but for cuts."""

    def cuts(self):
        """{host: the hosts of whom nothing arrives there}"""
        return {}


class Spaces(Processes):
    kind, word, stem, network = "spaces", "processes in network namespaces", "kvslab", "10.77"

    def __init__(self, name, prefix, count, directory):
        super().__init__(name, prefix, count, directory)
        self.spaces = namespaces.Namespaces(name, prefix, count, FIRST_HOST)

    def why_not(self):
        return namespaces.why_not()

    def open(self):
        self.spaces.open()

    def close(self):
        super().close()
        self.spaces.close()

    def command(self, node):
        return [*self.spaces.command(node["host"]), self.binary()]

    def cut(self, node, other):
        self.spaces.cut(node["host"], other["host"])

    def heal(self, node=None, other=None):
        self.spaces.heal(node and node["host"], other and other["host"])

    def cuts(self):
        return gather(self.spaces.cuts())


def gather(pairs):
    found = {}
    for deaf, source in pairs:
        found.setdefault(deaf, set()).add(source)
    return found


class Containers:
    """A cut is a firewall rule of this machine for what passes the bridge, in a chain of its own. An isolated container
    is unplugged: its network is taken away, and it is not reached from the machine either."""

    kind, word, stem, network = "containers", "containers", "kvslab", "10.77"

    def __init__(self, name, prefix, count, directory):
        self.name, self.prefix, self.count, self.directory = name, prefix, count, directory
        self.passing = f"FORWARD -i {name} -o {name} -j {name}"

    def why_not(self):
        if not shutil.which("docker") or not attempt("docker info"):
            return "no Docker engine answers here"
        if not attempt(f"docker image inspect {IMAGE}"):
            return f"there is no image {IMAGE}: docker build -t {IMAGE} ."
        return None

    def open(self):
        run(*f"docker network create --subnet {self.prefix}.0/24 --gateway {self.prefix}.254 "
            f"-o com.docker.network.bridge.name={self.name} {self.name}".split())
        if self.can_cut():
            run(*f"iptables -w -N {self.name}".split())
            run(*f"iptables -w -A {self.name} -j ACCEPT".split())
            run(*f"iptables -w -I {self.passing}".split())

    def can_cut(self):
        setting = pathlib.Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
        seen = setting.exists() and setting.read_text().strip() == "1"
        return os.geteuid() == 0 and bool(shutil.which("iptables")) and seen

    def close(self):
        for container in run("docker", "ps", "-aq", "--filter", f"label=kvs.lab={self.name}").split():
            attempt(f"docker rm -f -v {container}")
        attempt(f"docker network rm {self.name}")
        while attempt(f"iptables -w -D {self.passing}"):
            pass
        attempt(f"iptables -w -F {self.name}")
        attempt(f"iptables -w -X {self.name}")

    # Nodes.

    def container(self, node):
        return f"{self.name}-{node['name']}"

    def start(self, node, settings):
        attempt(f"docker rm -f -v {self.container(node)}")
        given = [word for name, text in settings.items() for word in ("-e", f"{name}={text}")]
        run("docker", "run", "--pull", "never", "-d", "--name", self.container(node), "--label", f"kvs.lab={self.name}",
            "--network", self.name, "--ip", node["host"], *given, IMAGE)
        if node.get("unplugged"):
            self.unplug(node)

    def kill(self, node):
        run("docker", "kill", self.container(node))

    def stop(self, node):
        run("docker", "stop", "-t", str(STOP_S_MAX), self.container(node))

    def pause(self, node):
        run("docker", "pause", self.container(node))

    def resume(self, node):
        run("docker", "unpause", self.container(node))

    def states(self, nodes):
        lines = run("docker", "ps", "-a", "--filter", f"label=kvs.lab={self.name}", "--format", "{{.Names}} {{.State}}")
        found = dict(line.split() for line in lines.splitlines())
        words = {"running": UP, "paused": PAUSED}
        return {node["name"]: words.get(found.get(self.container(node)), DOWN) for node in nodes}

    def log(self, node):
        command = ["docker", "logs", self.container(node)]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                              timeout=60).stdout

    # The network.

    def cut(self, node, other):
        if not self.can_cut():
            raise LabError("cuts between containers need root on the machine of the engine, and iptables that see what "
                           "passes a bridge; `isolate` needs neither")
        for source, target in ((node, other), (other, node)):
            run(*f"iptables -w -I {self.name} -s {source['host']} -d {target['host']} -j DROP".split())

    def unplug(self, node):
        run("docker", "network", "disconnect", "-f", self.name, self.container(node))
        node["unplugged"] = True

    def heal(self, node=None, other=None):
        chosen = {end["host"] for end in (node, other) if end}
        for deaf, source in self._rules():
            if chosen <= {deaf, source}:
                run(*f"iptables -w -D {self.name} -s {source} -d {deaf} -j DROP".split())

    def plug(self, node):
        if node.get("unplugged"):
            run(*f"docker network connect --ip {node['host']} {self.name} {self.container(node)}".split())
            del node["unplugged"]

    def _rules(self):
        rules = run("iptables", "-w", "-S", self.name) if self.can_cut() else ""
        return [(deaf, source) for source, deaf in re.findall(r"-s ([0-9.]+)\S* -d ([0-9.]+)\S* -j DROP", rules)]

    def cuts(self):
        return gather(self._rules())


KINDS = {place.kind: place for place in (Spaces, Processes, Containers)}
