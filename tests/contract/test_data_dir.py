"""DATA_DIR: what was answered is there again after a restart, and metadata from before it is honoured."""

import json
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import harness
from harness import LONG, Client, Node, fresh_address

STEP = 1 if LONG else 29  # bytes from one damage to the next; the unit tests try every one


class DataDir(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.address = fresh_address()
        self.environment = {"DATA_DIR": directory.name}

    def node(self):
        node = Node(self.environment, address=self.address).start()
        self.addCleanup(node.kill)
        return node

    def expect_kept(self, stop):
        first = self.node()
        with Client(self.address) as client:
            self.assertEqual(client.put("kept", {"a": [1.0, None]}).status, 201)
            self.assertEqual(client.put("gone", 1).status, 201)
            metadata = client.delete("gone").metadata
        stop(first)
        with self.node(), Client(self.address) as client:
            answer = client.get("kept", metadata)
            self.assertEqual((answer.status, answer.json.get("value")), (200, {"a": [1.0, None]}), answer)
            self.assertIn(b'"value":{"a": [1.0, null]}', answer.body)
            self.assertEqual(client.get("gone", metadata).status, 404)
            self.assertEqual(client.put("kept", 2, metadata).status, 200)
            self.assertEqual(client.request("GET", "/shard/key-count/s0").json, {"shard-key-count": 1})

    def test_a_stopped_node_comes_back_with_its_keys(self):
        self.expect_kept(Node.stop)

    def test_a_killed_node_comes_back_with_its_keys(self):
        self.expect_kept(Node.kill)

    def test_a_node_restarted_many_times_keeps_the_last_values(self):
        metadata = {}
        for value in range(4):
            node = self.node()
            with Client(self.address) as client:
                answer = client.put("k", value, metadata)
                self.assertEqual(answer.status, 201 if value == 0 else 200, answer)
                metadata = answer.metadata
            node.kill()
        with self.node(), Client(self.address) as client:
            self.assertEqual(client.get("k", metadata).json["value"], 3)


class Damage(unittest.TestCase):
    """A small log, cut or with a byte flipped: what is read is a front part of what was written, or it is refused."""

    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.base = pathlib.Path(directory.name)
        cls.written = [f"key-{i}" for i in range(8)]
        node = Node({"DATA_DIR": str(cls.base / "good")}, address=fresh_address()).start()
        cls.addClassCleanup(node.kill)
        with Client(node.address) as client:
            for i, key in enumerate(cls.written):
                assert client.put(key, i).status == 201
        node.kill()
        cls.log = (cls.base / "good" / "log-000001").read_bytes()

    def dump(self, content):
        damaged = self.base / "damaged"
        shutil.copytree(self.base / "good", damaged)
        try:
            (damaged / "log-000001").write_bytes(content)
            return subprocess.run([harness.BINARY, "--dump", str(damaged)], env=harness.node_environment({"DATA_DIR": ""}),
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20)
        finally:
            shutil.rmtree(damaged)

    def expect_front_or_refused(self, content):
        result = self.dump(content)
        if result.returncode == 0:
            pairs = {line["key"]: line["value"] for line in map(json.loads, result.stdout.splitlines())}
            self.assertEqual(pairs, {key: i for i, key in enumerate(self.written[:len(pairs)])})
            return len(pairs)
        self.assertEqual((result.returncode, result.stdout), (1, b""), result.stderr)
        self.assertRegex(result.stderr.decode(), r"\Akvs: .*log-000001: at byte \d+: .*\n\Z")
        return None

    def test_cut_at_any_byte(self):
        fronts = {self.expect_front_or_refused(self.log[:i]) for i in range(0, len(self.log) + 1, STEP)}
        self.assertIn(None, fronts)
        self.assertGreaterEqual(len(fronts), 5)
        self.assertEqual(self.expect_front_or_refused(self.log), len(self.written))

    def test_any_byte_flipped(self):
        fronts = set()
        for i in range(0, len(self.log), STEP):
            content = bytearray(self.log)
            content[i] ^= 1 << i % 8
            fronts.add(self.expect_front_or_refused(bytes(content)))
        self.assertLessEqual(fronts, {None, len(self.written) - 1, len(self.written)})


if __name__ == "__main__":
    unittest.main()
