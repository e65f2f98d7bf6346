"""Labs for tests: each in a directory of its own, driven as a user does it, by its command line."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import harness

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHECKER = ROOT / "build" / "asan" / "tests" / "check_history"
sys.path.append(str(ROOT / "lab"))

import namespaces  # noqa: E402  found by the line above
import places  # noqa: E402


class LabCase(unittest.TestCase):
    def setUp(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="kvs-lab-")) / "lab"
        self.environment = {**os.environ, "KVS_LAB": str(self.path), "KVS_BINARY": harness.BINARY,
                            "KVS_CHECKER": str(CHECKER)}
        self.addCleanup(shutil.rmtree, self.path.parent)
        self.addCleanup(subprocess.run, self.command("down"), env=self.environment, cwd=ROOT, capture_output=True,
                        timeout=60)

    def command(self, *words):
        return [sys.executable, "lab", *map(str, words)]

    def lab(self, *words, code=0, timeout_s=60):
        """What it says."""
        done = subprocess.run(self.command(*words), env=self.environment, cwd=ROOT, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=timeout_s)
        self.assertEqual(done.returncode, code, f"{words}\n{done.stdout}{done.stderr}{self.logs()}")
        self.assertNotIn("Traceback", done.stderr)
        return done.stdout if code in (0, 1) else done.stderr

    def logs(self):
        return "".join(f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}"
                       for path in sorted(self.path.glob("*.log")))

    def refused(self, why, *words):
        said = self.lab(*words, code=2)
        self.assertRegex(said, why)
        self.assertEqual(len(said.splitlines()), 1, said)

    def state(self):
        return json.loads((self.path / "state.json").read_text())

    def addresses(self):
        return [node["address"] for node in self.state()["nodes"]]

    def table(self):
        """{node: {column: text}} of `status`."""
        head, *lines = self.lab("status").splitlines()
        starts = [match.start() for match in re.finditer(r"(?:^|(?<=  ))\S+( \S+)*", head)]
        rows = [[line[a:b].strip() for a, b in zip(starts, [*starts[1:], None])] for line in (head, *lines)]
        return {row[0]: dict(zip(rows[0], row)) for row in rows[1:]}

    def column(self, name):
        return {node: row[name] for node, row in self.table().items()}

    def expect_nothing_left(self, name):
        self.assertFalse(self.path.exists(), list(self.path.glob("*")) if self.path.exists() else "")
        place = places.Processes(name, "127.77.0", 1, self.path.resolve())
        self.assertEqual(list(place.strays()), [])
        if os.geteuid() == 0 and shutil.which("ip"):
            for listing in ("ip netns", "ip -o link"):
                self.assertNotRegex(namespaces.run(*listing.split()), rf"\b{name}\b")
            self.assertNotRegex(namespaces.run("iptables", "-w", "-S"), rf"\b{name}\b")
