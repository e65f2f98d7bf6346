"""Nodes in containers: Box is one, Boxes are a cluster on a network of its own, DockerCase a test of such.

They are driven through published ports, so that the tests need no root and no way into the engine's bridges. So nobody
can ask a node while its network is disconnected, as users cannot either.

Every name has a random suffix, a container is ended by its id, and all is taken away whatever happens.
"""

import ipaddress
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import time

from cluster import READMIT_S, Cluster, GroupCase, Member
from harness import STOP_S_MAX

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD_IMAGE = "gcc:12-bookworm"
COMMAND_S_MAX = 120  # of one docker command
NAMES = ("alice", "bob", "carol", "dave", "erin", "frank", "grace")
PORT = 8090

_random = random.SystemRandom()


def fresh_name(hint):
    return f"{hint}-{_random.randrange(16**6):06x}"


def docker(*arguments, timeout_s=COMMAND_S_MAX, check=True):
    """What the command prints."""
    done = subprocess.run(["docker", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          errors="replace", stdin=subprocess.DEVNULL, timeout=timeout_s)
    assert not check or done.returncode == 0, f"docker {' '.join(arguments)}: exit {done.returncode}: {done.stderr}"
    return done.stdout.strip()


def try_docker(*arguments):
    return docker(*arguments, check=False)


def inspect(thing, template="json ."):
    return json.loads(docker("inspect", "-f", "{{" + template + "}}", thing))


def has_image(name):
    return bool(try_docker("images", "-q", name))


def image():
    """That all tests run; tests/docker/run.py has made it."""
    return os.environ["KVS_IMAGE"]


def label():
    """On all that is made, so that nothing stays behind of a test that was killed."""
    return f"kvs-test={image()}"


def remove_all_labelled():
    mark = f"label={label()}"
    for kind, remove in (("ps -aq", "rm -f -v"), ("network ls -q", "network rm"), ("volume ls -q", "volume rm")):
        for each in try_docker(*kind.split(), "--filter", mark).split():
            try_docker(*remove.split(), each)


def why_no_engine():
    """Why containers cannot be had here; None if they can."""
    if not shutil.which("docker"):
        return "no docker here"
    try:
        docker("info", timeout_s=20)
    except (OSError, AssertionError, subprocess.TimeoutExpired):
        return "no Docker engine answers"
    return None


def free_port():
    """On the loopback of this machine, below the range of outgoing connections; fixed, as it has to stay the same when
    the container's network comes back."""
    while True:
        port = _random.randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


# --- networks --------------------------------------------------------------------------------------------------------


def routed_networks():
    """What this machine knows a way to but for the default. The engine does not look: a network that overlaps with one
    of them comes up, and then its containers cannot be reached from here."""
    networks = []
    for line in pathlib.Path("/proc/net/route").read_text().splitlines()[1:]:
        _, destination, _, _, _, _, _, mask, *_ = line.split()
        address, bits = (socket.inet_ntoa(bytes.fromhex(word)[::-1]) for word in (destination, mask))
        if int(mask, 16):
            networks.append(ipaddress.ip_network(f"{address}/{bits}"))
    return networks


def is_routed(network):
    try:
        return any(ipaddress.ip_network(network).overlaps(other) for other in routed_networks())
    except (OSError, ValueError):  # not Linux: the engine runs on another machine
        return False


class Subnet:
    """A bridge of the engine: 10.10.0.0/16 if that is wished for and free, otherwise another one."""

    def __init__(self, wished=None):
        self.name = fresh_name("kvs-net")
        self.wished = wished

    def open(self):
        others = [f"10.{_random.randrange(100, 200)}" for _ in range(20)]
        failure = None
        for self.prefix in ([self.wished] if self.wished else []) + others:
            if is_routed(f"{self.prefix}.0.0/16"):
                failure = AssertionError(f"there is a way to {self.prefix}.0.0/16 already")
                continue
            try:
                docker("network", "create", "--label", label(), "--subnet", f"{self.prefix}.0.0/16", self.name)
                return self
            except AssertionError as error:  # it overlaps with another one
                failure = error
        raise failure

    def close(self):
        try_docker("network", "rm", self.name)

    def address(self, i):
        """Of the i-th node: .1 is the bridge itself."""
        return f"{self.prefix}.0.{i + 2}"


# --- nodes -----------------------------------------------------------------------------------------------------------


class Box(Member):
    """A node in a container. It is what Member is to a process: kill and spawn give a new one of the same name."""

    def __init__(self, name, subnet, ip, address, environment, alias=None):
        """ip: None for whatever the engine gives. alias: another name by which it is found on its network."""
        self.host_port = free_port()
        super().__init__(name, environment, address=address, reach=f"127.0.0.1:{self.host_port}")
        self.subnet, self.ip, self.alias = subnet, ip, alias
        self.id = None
        self.connected = True
        self.run_s = None  # docker run took so long

    def spawn(self):
        options = ["--name", self.name, "--label", label(), "--network", self.subnet.name,
                   "-p", f"127.0.0.1:{self.host_port}:{PORT}"]
        options += ["--ip", self.ip] if self.ip else []
        options += ["--network-alias", self.alias] if self.alias else []
        for name, value in self.environment.items():
            options += ["-e", f"{name}={value}"]
        self.started_at = time.monotonic()
        self.id = docker("run", "--pull", "never", "-d", *options, image())
        self.run_s = self.age_s()
        self.connected, self.frozen = True, False

    def running(self):
        return self.id is not None

    def works(self):
        return self.running() and not self.frozen and self.connected

    def _keep_log(self):
        self.earlier_log += self.stderr() + "--- the container is gone ---\n"

    def stderr(self):
        if self.id is None:
            return ""
        done = subprocess.run(["docker", "logs", self.id], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", timeout=COMMAND_S_MAX)
        return done.stdout

    def all_stderr(self):
        return self.earlier_log + self.stderr()

    def _remove(self):
        """As `docker rm` would, and its own volumes with it."""
        self._keep_log()
        gone, self.id = self.id, None
        docker("rm", "-f", "-v", gone)

    def kill(self):
        """docker kill, and the container is removed. Returns when it was sent."""
        if self.id is None:
            return None
        try_docker("kill", self.id)
        killed_at = time.monotonic()
        self._remove()
        return killed_at

    def stop(self):
        """docker stop; code 0 in time, of which the engine takes a part. Returns the seconds that took."""
        start = time.monotonic()
        docker("stop", "-t", "10", self.id)
        took_s = time.monotonic() - start
        code = inspect(self.id, "json .State.ExitCode")
        log = self.stderr()
        self._remove()
        assert code == 0 and took_s < 2 * STOP_S_MAX, f"exit code {code} after {took_s:.2f} s:\n{log}"
        return took_s

    def freeze(self):
        docker("pause", self.id)
        self.frozen = True

    def thaw(self):
        docker("unpause", self.id)
        self.frozen = False

    def disconnect(self):
        docker("network", "disconnect", self.subnet.name, self.id)
        self.connected = False

    def connect(self, ip=None):
        """Without an address it gets the lowest that is free."""
        docker("network", "connect", *(["--ip", ip] if ip else []), self.subnet.name, self.id)
        self.connected = True

    def present_ip(self):
        return inspect(self.id, f'json (index .NetworkSettings.Networks "{self.subnet.name}").IPAddress')


class Boxes(Cluster):
    def __init__(self, subnet, count, environment=None, extra=0, by_name=False):
        """by_name: SOCKET_ADDRESS and VIEW have names of containers, which have no fixed addresses."""
        self.network = None
        self.subnet = subnet
        names = [fresh_name(name) for name in NAMES[:count + extra]]
        ips = [subnet.address(i) for i in range(count + extra)]
        addresses = [f"{host}:{PORT}" for host in (names if by_name else ips)]
        self.environment = {"VIEW": ",".join(addresses[:count]), **(environment or {})}
        self.members = [Box(name, subnet, None if by_name else ip, address, dict(self.environment))
                        for name, ip, address in zip(names, ips, addresses)]
        self.extras = self.members[count:]
        del self.members[count:]

    def addresses(self, members=None):
        return sorted_addresses(super().addresses(members))

    def settle(self, timeout_s=2 * (READMIT_S + 2)):
        try:
            return super().settle(timeout_s)
        except AssertionError as failure:
            raise AssertionError(f"{failure}\n" + "\n".join(self.state_of(box) for box in self)) from None

    def state_of(self, box):
        if not box.works():
            return f"{box.name}: does not run, is paused or cut off"
        try:
            return f"{box.name} at {box.reach}: ready {box.ready()}, view {box.view()}"
        except (OSError, AssertionError) as failure:
            return f"{box.name} at {box.reach} ({box.present_ip()}): {failure!r}"

    def stop(self):
        self.kill()


def sorted_addresses(addresses):
    """As /view has them: IPv4 addresses by number, then names by bytes."""
    def order(address):
        host = address.rsplit(":", 1)[0].split(".")
        is_ipv4 = len(host) == 4 and all(part.isdigit() for part in host)
        return (0, [int(part) for part in host], "") if is_ipv4 else (1, [], address)
    return sorted(addresses, key=order)


# --- test cases ------------------------------------------------------------------------------------------------------


class DockerCase(GroupCase):
    """Tests that share one cluster of containers. Before each one all run and see each other, unless `scripted`."""

    by_name = False
    wished_subnet = None
    scripted = False  # the tests are steps, in the order of their names

    @classmethod
    def setUpClass(cls):
        cls.figures = {}
        cls.cluster = None
        cls.subnet = Subnet(cls.wished_subnet).open()
        cls.addClassCleanup(cls.subnet.close)
        if cls.wished_subnet and cls.subnet.prefix != cls.wished_subnet:
            cls.figures["network"] = f"{cls.subnet.prefix}.0.0/16, as {cls.wished_subnet}.0.0/16 is taken"
        cls.cluster = Boxes(cls.subnet, cls.count, cls.environment, cls.extra, cls.by_name)
        cls.addClassCleanup(cls.cluster.kill)
        cls.start_cluster()

    @classmethod
    def start_cluster(cls):
        for box in cls.cluster:
            box.spawn()
        cls.cluster.settle()

    @classmethod
    def tearDownClass(cls):
        pass  # the clean-up kills them

    def setUp(self):
        self.random = random.Random(self.id())
        if self.scripted:
            return
        for box in self.cluster:
            if box.frozen:
                box.thaw()
            if not box.connected or box.ip and box.running() and box.present_ip() != box.ip:
                box.kill()
            if not box.running():
                box.spawn()
        self.cluster.settle()

    def others(self, gone):
        return [box for box in self.cluster if box is not gone]

    def views_lack(self, gone):
        others = self.others(gone)
        return all(box.hears(self.cluster.addresses(others)) for box in others)

    def note(self, name, text):
        self.figures[name] = text
