"""A network of this machine's own that can be cut: a bridge, and a namespace for each host on it.

Cuts are firewall rules inside the namespaces, in a chain of their own. Whoever is outside, on the machine itself,
reaches every host whatever is cut: so one can ask both sides. Needs root, `ip` and `iptables`.
"""

import os
import re
import shutil
import subprocess


def run(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=True, timeout=60).stdout


def attempt(command):
    """Whether it worked; nothing is said if not."""
    try:
        run(*command.split())
    except (OSError, subprocess.SubprocessError):
        return False
    return True


class Namespaces:
    """Everything has a name that follows from `name`, so that whoever knows that can take it all away."""

    def __init__(self, name, prefix, count, first=1):
        """Hosts are `count` of the prefix, from `first` on; the machine itself is prefix.254."""
        self.name, self.prefix = name, prefix
        self.spaces = {f"{prefix}.{first + i}": f"{name}-{i + 1}" for i in range(count)}
        self.passing = f"FORWARD -i {name} -o {name} -j ACCEPT"

    def open(self):
        try:
            self._open()
        except (OSError, subprocess.SubprocessError):
            self.close()
            raise
        return self

    def _open(self):
        bridge = self.name
        run(*f"ip link add {bridge} type bridge".split())
        run(*f"ip addr add {self.prefix}.254/24 dev {bridge}".split())
        run(*f"ip link set {bridge} up".split())
        run(*f"iptables -w -I {self.passing}".split())  # where Docker runs, others' bridges pass nothing
        for i, (host, space) in enumerate(self.spaces.items()):
            run(*f"ip netns add {space}".split())
            run(*f"ip link add {bridge}.{i} type veth peer name eth0 netns {space}".split())
            run(*f"ip link set {bridge}.{i} master {bridge} up".split())
            self.inside(host, f"ip addr add {host}/24 dev eth0")
            self.inside(host, "ip link set eth0 up")
            self.inside(host, "ip link set lo up")
            self.inside(host, "iptables -w -N cut")
            self.inside(host, "iptables -w -A INPUT -j cut")

    def close(self):
        """Takes away what there is of it; all processes inside have ended."""
        for i, space in enumerate(self.spaces.values()):
            attempt(f"ip link del {self.name}.{i}")
            attempt(f"ip netns del {space}")
        while attempt(f"iptables -w -D {self.passing}"):
            pass
        attempt(f"ip link del {self.name}")

    def command(self, host):
        """In front of another command: it runs inside."""
        return ["ip", "netns", "exec", self.spaces[host]]

    def inside(self, host, command):
        return run(*self.command(host), *command.split())

    def deafen(self, host, other):
        """Nothing of the other arrives at the host."""
        self.inside(host, f"iptables -w -A cut -s {other} -j DROP")

    def cut(self, host, other):
        self.deafen(host, other)
        self.deafen(other, host)

    def heal(self, host=None, other=None):
        """All cuts, those of a host, or those between two."""
        for deaf, source in self.cuts():
            if {host, other} - {None} <= {deaf, source}:
                self.inside(deaf, f"iptables -w -D cut -s {source} -j DROP")

    def cuts(self):
        """[(who is deaf, to whom)], as the firewalls have it."""
        return [(host, source) for host in self.spaces
                for source in re.findall(r"-s ([0-9.]+)\S* -j DROP", self.inside(host, "iptables -w -S cut"))]


def why_not():
    """Why namespaces cannot be had here; None if they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [tool for tool in ("ip", "iptables") if not shutil.which(tool)]
    if missing:
        return f"no {' and no '.join(missing)} here"
    try:
        Namespaces(f"kvstry{os.getpid() % 10 ** 7}", "10.199.199", 1).open().close()
    except (OSError, subprocess.SubprocessError) as failure:
        return f"network namespaces cannot be made: {failure}: {getattr(failure, 'stderr', '')}"
    return None
