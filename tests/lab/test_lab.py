"""The fault lab, by its command line: on plain processes, in network namespaces, in containers."""

import os
import shutil
import signal
import subprocess
import time
import unittest

from lab_case import CHECKER, LabCase, namespaces, places

SETTLED_S_MAX = 15


def until(probe, timeout_s=SETTLED_S_MAX):
    limit = time.monotonic() + timeout_s
    while not probe():
        assert time.monotonic() < limit, "not in time"
        time.sleep(0.1)


class Words(LabCase):
    """What can be said wrong."""

    def test_a_lab_that_is_not_up(self):
        for words in ("status", "down", "cut a b", "heal", "pause a", "skew a -10s", "load", "check", "hunt", "log a"):
            self.refused("lab: the lab is not up: python3 lab up", *words.split())
        self.assertFalse(self.path.exists())

    def test_numbers_of_nodes_and_shards(self):
        for count, shards in ((0, 1), (27, 1), (2, 3), (2, 0)):
            self.refused("lab: .*(nodes|shards)", "up", count, "--shards", shards, "--plain")
        self.assertFalse(self.path.exists())

    def test_without_a_command_and_with_help_it_says_what_there_is(self):
        self.assertIn("python3 lab cut a b", self.lab("--help"))
        self.lab(code=2)
        self.assertIn("invalid choice", self.lab("fly", code=2))

    def test_times(self):
        for text in ("soon", "10 s", "+2d", "25h", "-25h"):
            self.assertIn("expected a time up to a day", self.lab("skew", "a", text, code=2))


class Plain(LabCase):
    """Two processes on loopback addresses."""

    slow = True

    def setUp(self):
        super().setUp()
        self.assertIn("2 nodes in 1 shards: processes without a network", self.lab("up", 2, "--shards", 1, "--plain"))
        self.name = self.state()["name"]

    def test_what_can_be_done_to_processes_and_what_not(self):
        self.refused("up already", "up", 2, "--shards", 1, "--plain")
        self.refused("no network to cut", "cut", "a", "b")
        self.refused("no network to cut", "isolate", "a")
        self.refused("no node z: they are a, b", "pause", "z")
        self.refused("a is up", "resume", "a")
        self.refused("a is up", "start", "a")
        self.lab("pause", "a")
        self.refused("a is paused", "pause", "a")
        self.assertEqual(self.column("process"), {"a": "paused", "b": "up"})
        self.lab("resume", "a")
        self.lab("kill", "b")
        self.refused("b is down", "kill", "b")
        self.assertEqual(self.column("process"), {"a": "up", "b": "down"})
        self.lab("start", "b")
        until(lambda: self.column("view") == {"a": "a b", "b": "a b"})
        self.lab("pause", "b")
        self.lab("kill", "b")
        self.lab("down")
        self.expect_nothing_left(self.name)

    def test_a_clock_that_is_wrong(self):
        for time_given, shown, skew_s in (("+10s", "+10 s", 10), ("-500ms", "-0.5 s", -0.5), ("0", "right", 0)):
            self.lab("skew", "b", time_given)
            self.assertEqual(self.column("clock"), {"a": "right", "b": shown})
            until(lambda: self.column("ready")["b"] == "yes")
            self.lab("log", "b")
        self.assertIn("wrong by 10000 ms", self.lab("log", "b"))
        self.assertIn("wrong by -500 ms", self.lab("log", "b"))

    @unittest.skipUnless(CHECKER.exists(), "the checker is not built: make VARIANT=asan unit")
    def test_a_load_is_recorded_and_checked(self):
        self.refused("nothing was recorded", "check")
        load = subprocess.Popen(self.command("load", "--seconds", 60, "--sessions", 3), env=self.environment,
                                cwd=places.ROOT, stdout=subprocess.PIPE, text=True)
        self.addCleanup(load.stdout.close)
        until(lambda: "load" in self.state())
        self.refused("a load is running", "load")
        self.refused("a load is running", "hunt")
        self.refused("still running", "check")
        time.sleep(1)
        load.send_signal(signal.SIGINT)
        self.assertEqual(load.wait(10), 0)
        self.assertRegex(load.stdout.read(), "operations: .*GET 200: ")
        self.assertRegex(self.lab("check"), "^clean: ")

    @unittest.skipUnless(CHECKER.exists(), "the checker is not built: make VARIANT=asan unit")
    def test_a_history_that_is_not_causal_is_told(self):
        (self.path / "history").write_text("put s k one ok\nput s k two ok\nget s k found one\n")
        self.assertIn("violation: stale-read", self.lab("check", code=1))

    def test_down_ends_a_load(self):
        load = subprocess.Popen(self.command("load", "--seconds", 60), env=self.environment, cwd=places.ROOT,
                                stdout=subprocess.DEVNULL)
        until(lambda: "load" in self.state())
        self.lab("down")
        load.wait(5)
        self.expect_nothing_left(self.name)

    def test_a_crash_of_the_lab_leaves_nothing_that_down_does_not_find(self):
        """A process was started, and the lab ended before it wrote that down."""
        text = (self.path / "state.json").read_text()
        pids = [node["pid"] for node in self.state()["nodes"]]
        (self.path / "state.json").write_text(text.replace('"pid"', '"lost"'))
        os.kill(pids[0], signal.SIGSTOP)
        self.lab("down")
        self.expect_nothing_left(self.name)

    def test_a_directory_that_was_deleted_leaves_nothing_that_down_does_not_find(self):
        shutil.rmtree(self.path)
        self.refused("not up", "status")
        self.lab("down")
        self.expect_nothing_left(self.name)
        self.refused("not up", "down")

    def test_files_of_others_are_left_alone(self):
        (self.path / "notes.txt").write_text("mine")
        self.lab("down")
        self.assertEqual([path.name for path in self.path.iterdir()], ["notes.txt"])
        self.lab("up", 1, "--shards", 1, "--plain")


class WithCuts:
    """What is the same in namespaces and containers."""

    def up(self):
        self.lab("up", 4, "--shards", 2, *self.kind)
        self.name = self.state()["name"]

    def test_cuts_are_shown_and_felt_and_heal(self):
        self.up()
        self.lab("cut", "a", "b", "c")
        self.lab("cut", "b", "a")  # once more, the other way round: it is the same cut
        until(lambda: self.column("view") == {"a": "a d", "b": "b c d", "c": "b c d", "d": "a b c d"})
        self.assertEqual(self.column("cut from"), {"a": "b c", "b": "a", "c": "a", "d": "-"})
        self.refused("cannot be cut off from itself", "cut", "a", "b", "a")
        self.refused("heal all, heal a node", "heal", "a", "b", "c")
        self.lab("heal", "b", "a")
        self.assertEqual(self.column("cut from"), {"a": "c", "b": "-", "c": "a", "d": "-"})
        self.lab("cut", "a", "b")
        self.lab("heal", "a")
        self.assertEqual(set(self.column("cut from").values()), {"-"})
        until(lambda: set(self.column("view").values()) == {"a b c d"})
        self.lab("down")
        self.expect_nothing_left(self.name)


@unittest.skipIf(namespaces.why_not(), f"no network namespaces: {namespaces.why_not()}")
class InNamespaces(WithCuts, LabCase):
    kind = ()
    slow = True

    def test_an_isolated_node_can_still_be_asked(self):
        self.up()
        self.lab("isolate", "a")
        self.lab("isolate", "b")
        until(lambda: self.column("view") == {"a": "a", "b": "b", "c": "c d", "d": "c d"})
        self.assertEqual(self.column("cut from"), {"a": "all", "b": "all", "c": "a b", "d": "a b"})
        self.assertEqual(self.column("ready")["a"], "yes")
        self.lab("kill", "a")
        self.lab("start", "a")
        self.assertEqual(self.column("cut from")["a"], "all")
        self.lab("heal")
        until(lambda: set(self.column("view").values()) == {"a b c d"})

    def test_the_address_that_networks_of_docker_give_to_the_machine_hides_no_node(self):
        self.up()
        taken = f"{self.state()['prefix']}.1/32 dev lo"
        namespaces.run(*f"ip addr add {taken}".split())
        self.addCleanup(namespaces.attempt, f"ip addr del {taken}")
        self.assertEqual(set(self.column("ready").values()), {"yes"})

    def test_down_goes_on_where_something_is_gone_already(self):
        self.up()
        namespaces.run("ip", "link", "del", self.name)
        namespaces.run("ip", "netns", "del", f"{self.name}-2")
        self.lab("down")
        self.expect_nothing_left(self.name)

    def test_a_directory_that_was_deleted_leaves_nothing_that_down_does_not_find(self):
        self.up()
        shutil.rmtree(self.path)
        self.lab("down")
        self.expect_nothing_left(self.name)

    def test_two_labs_stand_side_by_side(self):
        self.up()
        other = InNamespaces()
        other.setUp()
        self.addCleanup(other.doCleanups)
        other.up()
        self.assertNotEqual(self.name, other.name)
        other.lab("down")
        self.assertEqual(set(self.column("process").values()), {"up"})


class InContainers(WithCuts, LabCase):
    """Of the image that KVS_IMAGE names, else of one that is made here."""

    kind = ("--docker",)
    slow = True
    image = os.environ.get("KVS_IMAGE")

    @classmethod
    def setUpClass(cls):
        if not shutil.which("docker") or not namespaces.attempt("docker info"):
            raise unittest.SkipTest("no Docker engine answers here")
        if cls.image is None:
            cls.image = f"kvs-lab-test-{os.getpid()}"
            cls.addClassCleanup(namespaces.attempt, f"docker rmi -f {cls.image}")
            made = subprocess.run(["make", "-s", "image", f"IMAGE={cls.image}"], cwd=places.ROOT, capture_output=True,
                                  text=True, timeout=600)
            if made.returncode != 0:
                raise unittest.SkipTest(f"no image can be made: {made.stderr.strip()}")

    def setUp(self):
        super().setUp()
        self.environment["KVS_IMAGE"] = self.image

    def test_an_image_that_is_not_there(self):
        self.environment["KVS_IMAGE"] = "kvs-no-such-image"
        self.refused("there is no image kvs-no-such-image", "up", 2, "--shards", 1, "--docker")

    def test_an_isolated_container_is_unplugged_and_comes_back_at_its_address(self):
        self.up()
        self.lab("isolate", "a")
        self.refused("isolated already", "isolate", "a")
        until(lambda: self.column("view")["b"] == "b c d")
        self.assertEqual(self.table()["a"]["cut from"], "all, and this machine")
        self.lab("heal")
        until(lambda: set(self.column("view").values()) == {"a b c d"})

    def test_containers_stand_still_and_die_and_start_again(self):
        self.up()
        self.lab("pause", "a")
        self.lab("kill", "b")
        self.assertEqual(self.column("process"), {"a": "paused", "b": "down", "c": "up", "d": "up"})
        self.lab("resume", "a")
        self.lab("start", "b")
        self.lab("skew", "c", "+10s")
        self.assertIn("wrong by 10000 ms", self.lab("log", "c"))
        until(lambda: set(self.column("view").values()) == {"a b c d"})


if __name__ == "__main__":
    unittest.main()
