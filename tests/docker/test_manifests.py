"""The compose file is run; the Kubernetes manifest is read, and three nodes are run with what it says."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import unittest

from cluster import until
from containers import PORT, ROOT, Box, Boxes, DockerCase, Subnet, docker, fresh_name, image, is_routed, try_docker
from harness import Client

COMPOSE_FILE = ROOT / "compose.yaml"
MANIFEST = ROOT / "deploy" / "kvs.yaml"
PORTS = range(8082, 8088)


def compose_command():
    """None where there is neither the plugin nor the program of old."""
    if try_docker("compose", "version"):
        return ["docker", "compose"]
    return ["docker-compose"] if shutil.which("docker-compose") else None


class Compose(unittest.TestCase):
    figures = {}

    def compose(self, *arguments):
        done = subprocess.run([*self.command, "-f", self.file, "-p", self.project, *arguments], cwd=ROOT, text=True,
                              env={**os.environ, "KVS_IMAGE": image()}, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
        return done

    def down(self):
        done = self.compose("down", "-v", "-t", "5")
        self.assertEqual(done.returncode, 0, done.stderr)

    def up(self):
        """The file as it is; or, if its ports or subnet are taken on this machine, a copy with others."""
        self.file, self.first_port = str(COMPOSE_FILE), PORTS[0]
        taken = is_routed("10.10.0.0/16")
        if not taken:
            done = self.compose("up", "-d", "--no-build")
            taken = done.returncode != 0 and re.search("already allocated|already in use|overlap", done.stderr)
        if taken:
            self.down()
            self.file, self.first_port = str(pathlib.Path(self.directory, "compose.yaml")), 28082
            text = COMPOSE_FILE.read_text().replace("10.10.", "10.60.").replace('ports: ["8', 'ports: ["28')
            pathlib.Path(self.file).write_text(text)
            self.figures["compose"] = "with other ports and addresses, as its own are taken on this machine"
            done = self.compose("up", "-d", "--no-build")
        self.assertEqual(done.returncode, 0, done.stderr)

    def ask(self, number, method, path, body=None):
        with Client(f"127.0.0.1:{self.first_port + number}", 3) as client:
            return client.request(method, path, body)

    def is_up(self):
        views = [self.ask(i, "GET", "/view").json["view"] for i in range(6)]
        ready = all(self.ask(i, "GET", "/health").json["ready"] for i in range(6))
        return ready and all(len(view) == 6 for view in views)

    def test_the_six_nodes_of_the_file_come_up_serve_and_stop(self):
        self.command, self.project = compose_command(), fresh_name("kvstest")
        if not self.command:
            self.skipTest("no docker compose here")
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.addCleanup(self.down)  # before that: it needs the file
        start = time.monotonic()
        self.up()
        until(self.is_up, 10, "six nodes in all views")
        self.figures["compose up to six nodes in all views"] = f"{time.monotonic() - start:.2f} s"
        self.assertEqual(self.ask(0, "GET", "/shard/ids").json, {"shard-ids": ["s0", "s1"]})
        written = self.ask(0, "PUT", "/kvs/color", {"value": "red"})
        self.assertEqual(written.status, 201)
        read = self.ask(5, "GET", "/kvs/color", {"causal-metadata": written.metadata})
        self.assertEqual(read.json.get("value"), "red", read)
        start = time.monotonic()
        self.assertEqual(self.compose("stop").returncode, 0)
        self.figures["compose stop"] = f"{time.monotonic() - start:.2f} s"
        ids = self.compose("ps", "-q").stdout.split()
        self.assertEqual(len(ids), 6)
        for container in ids:
            self.assertEqual(docker("inspect", "-f", "{{.State.ExitCode}}", container), "0")


# --- Kubernetes ------------------------------------------------------------------------------------------------------


def read_yaml(lines, indent=0):
    """What the manifest uses of YAML: blocks of maps and lists, plain and quoted scalars, lists in brackets. Takes the
    lines [(indent, text)] that belong to the block."""
    if lines[0][1].startswith("- "):
        items = []
        while lines and lines[0][0] == indent and lines[0][1].startswith("- "):
            lines[0] = (indent + 2, lines[0][1][2:])
            items.append(read_yaml(lines, indent + 2))
        return items
    members = {}
    while lines and lines[0][0] == indent and not lines[0][1].startswith("- "):
        name, colon, rest = lines.pop(0)[1].partition(":")
        assert colon and re.fullmatch(r"[A-Za-z]+", name) and name not in members, name
        rest = rest.strip()
        if rest:
            members[name] = json.loads(rest) if rest[0] in '"[' or rest.isdigit() else rest
        else:
            members[name] = read_yaml(lines, lines[0][0]) if lines and lines[0][0] > indent else None
    assert not lines or lines[0][0] < indent or lines[0][1].startswith("- "), f"bad indentation: {lines[0]}"
    return members


def read_manifest():
    """{(kind, name): document}"""
    documents = []
    for text in MANIFEST.read_text().split("\n---\n"):
        assert "\t" not in text
        lines = [(len(line) - len(line.lstrip()), line.strip()) for line in text.splitlines()
                 if line.strip() and not line.lstrip().startswith("#")]
        documents.append(read_yaml(lines))
        assert not lines, lines
    return {(document["kind"], document["metadata"]["name"]): document for document in documents}


class Manifest(unittest.TestCase):
    def setUp(self):
        self.documents = read_manifest()
        self.set = self.documents["StatefulSet", "kvs"]["spec"]
        self.pod = self.set["template"]["spec"]
        self.container, = self.pod["containers"]

    def test_the_service_is_headless_and_names_pods_that_are_not_ready(self):
        service = self.documents["Service", "kvs"]["spec"]
        self.assertEqual(service["clusterIP"], "None")
        self.assertEqual(service["publishNotReadyAddresses"], "true")
        self.assertEqual(self.set["serviceName"], "kvs")
        self.assertEqual([port["port"] for port in service["ports"]], [PORT, PORT + 10000])

    def test_all_select_the_pods(self):
        labels = self.set["template"]["metadata"]["labels"]
        self.assertEqual(self.set["selector"]["matchLabels"], labels)
        self.assertEqual(self.documents["PodDisruptionBudget", "kvs"]["spec"]["selector"]["matchLabels"], labels)
        for name in ("kvs", "kvs-client"):
            self.assertEqual(self.documents["Service", name]["spec"]["selector"], labels)

    def test_view_names_all_replicas(self):
        env = {entry["name"]: entry.get("value") for entry in self.container["env"]}
        self.assertEqual(env["VIEW"].split(","), [f"kvs-{i}.kvs:{PORT}" for i in range(self.set["replicas"])])
        self.assertEqual(env["SOCKET_ADDRESS"], f"$(POD).kvs:{PORT}")
        self.assertLess(list(env).index("POD"), list(env).index("SOCKET_ADDRESS"))  # or it is not put in

    def test_probes_ports_and_volumes(self):
        paths = {probe: self.container[probe]["httpGet"]["path"]
                 for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
        self.assertEqual(paths, {"startupProbe": "/health", "livenessProbe": "/health",
                                 "readinessProbe": "/health/ready"})
        self.assertEqual({port["name"]: port["containerPort"] for port in self.container["ports"]},
                         {"http": PORT, "peers": PORT + 10000})
        claim, = self.set["volumeClaimTemplates"]
        mount, = self.container["volumeMounts"]
        self.assertEqual((mount["name"], mount["mountPath"]), (claim["metadata"]["name"], "/data"))
        self.assertEqual(docker("inspect", "-f", "{{.Config.User}}", image()),
                         f"{self.pod['securityContext']['runAsUser']}:{self.pod['securityContext']['runAsGroup']}")

    def test_kubectl_reads_it(self):
        if not shutil.which("kubectl"):
            self.skipTest("no kubectl here")
        with tempfile.TemporaryDirectory() as directory:
            shutil.copy(MANIFEST, directory)
            pathlib.Path(directory, "kustomization.yaml").write_text("resources: [kvs.yaml]\n")
            done = subprocess.run(["kubectl", "kustomize", directory], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(re.findall("^kind: ", done.stdout, re.MULTILINE)), len(self.documents))


class Pods(DockerCase):
    """Nodes with the environment of the manifest, each under the name that its pod would have. Pods have no fixed
    address: one that is deleted comes back with another."""

    @classmethod
    def setUpClass(cls):
        cls.figures = {}
        cls.subnet = Subnet().open()
        cls.addClassCleanup(cls.subnet.close)
        container, = read_manifest()["StatefulSet", "kvs"]["spec"]["template"]["spec"]["containers"]
        env = {entry["name"]: entry["value"] for entry in container["env"] if "value" in entry}
        addresses = env["VIEW"].split(",")
        cls.cluster = Boxes(cls.subnet, 0)
        cls.cluster.members = [
            Box(fresh_name("pod"), cls.subnet, None, address,
                {**env, "SOCKET_ADDRESS": address}, alias=address.split(":")[0]) for address in addresses]
        cls.addClassCleanup(cls.cluster.kill)
        cls.start_cluster()

    def test_a_pod_that_is_deleted_comes_back_with_another_address(self):
        metadata = self.put(self.cluster[0], "pod", 1).metadata
        first, second = self.cluster[0], self.cluster[1]
        had = first.present_ip(), second.present_ip()
        first.kill()
        second.kill()
        second.spawn()
        first.spawn()
        self.assertEqual((second.present_ip(), first.present_ip()), had)
        self.take("two pods deleted, back with each other's address", self.cluster.is_settled, 5)
        for box in self.cluster:
            until(lambda: box.get("pod", metadata).status != 503, 4, "an answer")
            self.assertEqual(box.get("pod", metadata).json["value"], 1)


if __name__ == "__main__":
    unittest.main()
