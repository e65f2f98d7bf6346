"""kvs --check, --dump and --load: what was kept can be looked at, taken out, and put in elsewhere."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import harness
from harness import Client, Node, fresh_address

AWKWARD = {"plain": 1, "with space/and slash": "x", "\u00e4\U0001f600": {"a": [1.0, None]}, '"quoted"\n': "line\nbreak",
           "+%41": True, "null": None, "long": "v" * 100000}


def run_tool(*arguments, given=None):
    return subprocess.run([harness.BINARY, *arguments], env=harness.node_environment({"DATA_DIR": "", **(given or {})}),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)


class Tools(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.base = pathlib.Path(directory.name)
        self.data = self.base / "data"

    def node(self, **environment):
        node = Node({"DATA_DIR": str(self.data), **environment}, address=fresh_address()).start()
        self.addCleanup(node.kill)
        return node

    def fill(self):
        node = self.node()
        with Client(node.address) as client:
            for key, value in AWKWARD.items():
                self.assertEqual(client.put(key, value).status, 201)
            self.assertEqual(client.put_text("spread", '{\n  "a":\r\n [1.0]\n}').status, 201)
            client.put("gone", 1)
            self.assertEqual(client.delete("gone").status, 200)
        return node

    def test_check_says_what_is_there_and_dump_goes_into_another_node(self):
        node = self.fill()
        address = node.address
        node.kill()
        checked = run_tool("--check", str(self.data))
        self.assertEqual((checked.returncode, checked.stderr), (0, b""))
        self.assertIn(f"node: {address} of cluster kvs", checked.stdout.decode())
        self.assertIn("keys: 8, and 1 deleted", checked.stdout.decode())
        dumped = run_tool("--dump", str(self.data))
        self.assertEqual((dumped.returncode, dumped.stderr), (0, b""))
        lines = [json.loads(line) for line in dumped.stdout.decode().splitlines()]
        expected = {**AWKWARD, "spread": {"a": [1.0]}}
        self.assertEqual({line["key"]: line["value"] for line in lines}, expected)
        self.assertIn(b"[1.0]", dumped.stdout)

        file = self.base / "dump"
        file.write_bytes(dumped.stdout)
        other = Node({}, address=fresh_address()).start()
        self.addCleanup(other.kill)
        loaded = run_tool("--load", str(file), other.address)
        self.assertEqual((loaded.returncode, loaded.stderr), (0, b""))
        with Client(other.address) as client:
            self.assertEqual(client.request("GET", "/kvs").json["kvs"], expected)
        again = subprocess.run([harness.BINARY, "--load", "-"], input=dumped.stdout, timeout=60, stdout=subprocess.PIPE,
                               env=harness.node_environment({"SOCKET_ADDRESS": other.address, "DATA_DIR": ""}))
        self.assertEqual((again.returncode, again.stdout), (0, b"8 of 8 lines put\n"))

    def test_what_cannot_be_read_is_said_with_exit_code_1(self):
        self.fill().kill()
        log = self.data / "log-000001"
        content = bytearray(log.read_bytes())
        content[len(content) // 2] ^= 1
        log.write_bytes(content)
        for verb in ("--check", "--dump"):
            result = run_tool(verb, str(self.data))
            self.assertEqual(result.returncode, 1)
            self.assertIn(b"log-000001: at byte", result.stderr)
            self.assertIn(b"move it away", result.stderr)
        for directory in (str(self.base / "nowhere"), str(self.base), "/dev/null"):
            result = run_tool("--check", directory)
            self.assertEqual((result.returncode, result.stdout), (1, b""))
            self.assertIn(directory.encode(), result.stderr)

    def test_a_directory_in_use_is_left_alone(self):
        node = self.fill()
        for verb in ("--check", "--dump"):
            result = run_tool(verb, str(self.data))
            self.assertEqual(result.returncode, 1)
            self.assertIn(b"in use by another live process", result.stderr)
        self.assertTrue(node.running())

    def test_dump_to_a_full_disk_fails(self):
        self.fill().kill()
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full here")
        with open("/dev/full", "wb") as full:
            result = subprocess.run([harness.BINARY, "--dump", str(self.data)], stdout=full, stderr=subprocess.PIPE,
                                    env=harness.node_environment({"DATA_DIR": ""}), timeout=60)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"No space left", result.stderr)

    def test_lines_that_are_none_are_refused_by_number(self):
        node = Node({}, address=fresh_address()).start()
        self.addCleanup(node.kill)
        file = self.base / "lines"
        for bad in (b"no json", b'{"key":1,"value":2}', b'{"value":2}', b'{"key":"k"}', b'{"key":"","value":1}', b"[]",
                    b'{"key":"k","value":1} {}', b"\xff", b'{"key":"' + b"k" * 51 + b'","value":1}'):
            file.write_bytes(b'{"key":"good","value":1}\n\n' + bad + b"\n")
            result = run_tool("--load", str(file), node.address)
            self.assertEqual(result.returncode, 1, bad)
            self.assertIn(b"line 3: ", result.stderr)
        file.write_bytes(b'{"key":"long","value":"' + b"v" * (17 << 20) + b'"}\n')
        result = run_tool("--load", str(file), node.address)
        self.assertEqual((result.returncode, result.stderr), (1, b"kvs: line 1: too long\n"))

    def test_wrong_arguments_are_refused(self):
        nobody = fresh_address()
        for arguments, code in ((["--load", str(self.base / "nothing"), nobody], 1), (["--load", "/dev/null", nobody], 1),
                                (["--load", "/dev/null", "nonsense"], 2), (["--load"], 2), (["--check"], 2),
                                (["--dump", "a", "b"], 2)):
            result = run_tool(*arguments)
            self.assertEqual(result.returncode, code, arguments)
            self.assertRegex(result.stderr, rb"\Akvs: [^\n]+\n\Z")


if __name__ == "__main__":
    unittest.main()
