"""The stale-read hunt: twenty seconds of it, or ten minutes with KVS_LONG=1; and that it does find what there is."""

import os
import re
import shutil
import signal
import subprocess
import time
import unittest

from harness import LONG
from lab_case import CHECKER, LabCase, namespaces, places

SECONDS = 600 if LONG else 20


@unittest.skipUnless(CHECKER.exists(), "the checker is not built: make VARIANT=asan unit")
class Hunt(LabCase):
    slow = True

    def setUp(self):
        super().setUp()
        type(self).figures = {}

    def test_random_faults_leave_the_history_causal_and_the_nodes_level(self):
        self.lab("up", 6, "--shards", 2)
        said = self.lab("hunt", "--seconds", SECONDS, "--keep", self.path.parent / "kept", timeout_s=SECONDS + 180)
        self.figures[f"hunt of {SECONDS} s"] = "; ".join(said.splitlines())
        self.assertRegex(said, r"clean: \d+ operations")
        if not namespaces.why_not():
            self.assertGreater(sum(int(n) for n in re.findall(r"(?:cut|isolate|pause): (\d+)", said)), 2)

    def test_a_node_that_dies_by_itself_is_found_and_what_is_known_is_kept(self):
        self.lab("up", 3, "--shards", 1, "--plain")
        kept = self.path.parent / "kept"
        command = self.command("hunt", "--seconds", 60, "--keep", kept, "--seed", 1)
        hunt = subprocess.Popen(command, env=self.environment, cwd=places.ROOT, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)
        self.addCleanup(hunt.kill)
        limit = time.monotonic() + 20
        while not ((self.path / "hunt.log").exists() and "level" in (self.path / "hunt.log").read_text()):
            self.assertLess(time.monotonic(), limit)
            time.sleep(0.05)
        node = next(node for node in self.state()["nodes"] if node["name"] == "b")
        os.kill(node["pid"], signal.SIGKILL)
        said, _ = hunt.communicate(timeout=90)
        self.assertEqual(hunt.returncode, 1, said)
        self.assertRegex(said, r"b (ended without being told to|is down)")
        self.assertIn("seed 1;", said)
        self.assertEqual({path.name for path in kept.iterdir()}, {"a.log", "b.log", "c.log", "history", "hunt.log"})

    @unittest.skipUnless(LONG, "a hunt of a node that is built wrong: KVS_LONG=1")
    def test_stamps_that_do_not_go_above_what_was_seen_are_found(self):
        folder = self.path.parent / "wrong"
        folder.mkdir()
        for path in [*places.ROOT.glob("*.c"), *places.ROOT.glob("*.h"), places.ROOT / "Makefile"]:
            shutil.copy(path, folder)
        right, wrong = "    return (g->known ? hlc_max(seen, g->old.hlc) : seen) + 1;", \
            "    (void)seen, (void)g;\n    return hlc_of_wall(s->wall_ms) + 1;"
        source = folder / "serve.c"
        self.assertEqual(source.read_text().count(right), 1)
        source.write_text(source.read_text().replace(right, wrong))
        subprocess.run(["make", "-s", "kvs"], cwd=folder, check=True, capture_output=True, timeout=300)
        self.environment["KVS_BINARY"] = str(folder / "kvs")
        self.lab("up", 4, "--shards", 1, "--plain")
        said = self.lab("hunt", "--seconds", 60, "--keep", self.path.parent / "kept", code=1, timeout_s=200)
        self.assertRegex(said, "violation: (stale-read|conflicting-order)")


if __name__ == "__main__":
    unittest.main()
