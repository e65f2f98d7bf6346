"""The image: how large it is, what is in it, that it starts, stops and is healthy as nobody, on a read-only disk."""

import io
import json
import pathlib
import subprocess
import tarfile
import tempfile
import time
import unittest

from cluster import until
from containers import (BUILD_IMAGE, PORT, ROOT, docker, free_port, fresh_name, has_image, image, inspect, label,
                        try_docker)
from harness import STOP_S_MAX, Client

IMAGE_BYTES_MAX = 2_000_000
START_S_MAX = 4  # from `docker run` to the first answer; nearly all of it is the engine's
USER = 65532


def config_of(name):
    """What the engine keeps of a Dockerfile; not the names of the build's own things."""
    kept = ("User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "Healthcheck", "WorkingDir", "StopSignal")
    config = inspect(name, "json .Config")
    return {field: config.get(field) for field in kept}


def files_of(name):
    """{path: (owner, mode)} of what a container of this image begins with, but for what the engine puts there."""
    container = docker("create", "--pull", "never", "--label", label(), name)
    try:
        data = subprocess.run(["docker", "export", container], stdout=subprocess.PIPE, check=True).stdout
    finally:
        docker("rm", "-v", container)
    engines = ("dev", "etc", "proc", "sys", ".dockerenv")
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name.rstrip("/"): (member.uid, oct(member.mode & 0o777)) for member in tar
                if member.name.split("/")[0] not in engines}


class Image(unittest.TestCase):
    figures = {}

    def run_container(self, *options, arguments=()):
        """Returns (id, address to reach it). It is removed after the test."""
        port = free_port()
        container = docker("run", "--pull", "never", "-d", "--label", label(), "-p", f"127.0.0.1:{port}:{PORT}",
                           *options, image(), *arguments)
        self.addCleanup(try_docker, "rm", "-f", "-v", container)
        return container, f"127.0.0.1:{port}"

    def wait_for_answer(self, address):
        until(lambda: self.ask(address).status == 200, 10, "an answer")

    def ask(self, address, method="GET", path="/health", body=None):
        with Client(address, 2) as client:
            return client.request(method, path, body)

    def test_it_is_smaller_than_2_megabytes(self):
        size = inspect(image(), "json .Size")
        self.figures["image size"] = f"{size / 1e6:.2f} MB (at most {IMAGE_BYTES_MAX / 1e6:.0f} MB)"
        self.assertLess(size, IMAGE_BYTES_MAX)

    def test_there_is_the_binary_and_a_directory_for_the_data_and_nothing_else(self):
        self.assertEqual(files_of(image()), {"kvs": (0, "0o755"), "data": (USER, "0o755")})

    def test_what_the_dockerfile_says_is_there(self):
        config = config_of(image())
        self.assertEqual(config["User"], f"{USER}:{USER}")
        self.assertEqual(config["ExposedPorts"], {f"{PORT}/tcp": {}})
        self.assertEqual(config["Volumes"], {"/data": {}})
        self.assertEqual(config["Entrypoint"], ["/kvs"])
        self.assertEqual(config["Healthcheck"]["Test"], ["CMD", "/kvs", "--health"])

    def test_data_dir_is_set(self):
        self.assertIn("DATA_DIR=/data", config_of(image())["Env"])

    def test_arguments_go_to_the_binary(self):
        self.assertRegex(docker("run", "--rm", "--pull", "never", image(), "--version"), r"^kvs \d")

    def test_one_container_without_settings_is_a_whole_store(self):
        """As nobody, without capabilities and on a read-only disk, and with a first answer at once."""
        start = time.monotonic()
        container, address = self.run_container("--read-only", "--cap-drop", "ALL")
        run_s = time.monotonic() - start
        self.wait_for_answer(address)
        first_s = time.monotonic() - start
        self.figures["docker run to first answer"] = f"{first_s:.2f} s, {run_s:.2f} s of that in docker run"
        self.assertLess(first_s, 2 * START_S_MAX)
        self.assertEqual(self.ask(address, "PUT", "/kvs/color", {"value": "red"}).status, 201)
        self.assertEqual(self.ask(address, "GET", "/kvs/color").json["value"], "red")
        self.assertEqual(docker("exec", container, "/kvs", "--health"), "")

    def test_docker_stop_is_over_in_time(self):
        container, address = self.run_container()
        self.wait_for_answer(address)
        with Client(address) as idle:  # a connection that is kept alive holds nothing up
            idle.request("GET", "/health")
            start = time.monotonic()
            docker("stop", "-t", "10", container)
            took_s = time.monotonic() - start
        self.figures["docker stop"] = f"{took_s:.2f} s (at most {STOP_S_MAX} s)"
        self.assertLess(took_s, 2 * STOP_S_MAX)
        self.assertEqual(inspect(container, "json .State.ExitCode"), 0)
        self.assertIn("stop: done", try_docker_logs(container))

    def test_the_engine_finds_it_healthy_and_unhealthy_when_it_stands_still(self):
        quick = ("--health-interval", "1s", "--health-timeout", "3s", "--health-retries", "2",
                 "--health-start-period", "0s")
        container, address = self.run_container(*quick)
        start = time.monotonic()
        until(lambda: self.health(container) == "healthy", 20, lambda: self.health_log(container))
        self.figures["docker run to healthy, asked every second"] = f"{time.monotonic() - start:.2f} s"
        docker("kill", "--signal", "STOP", container)
        until(lambda: self.health(container) == "unhealthy", 30, lambda: self.health_log(container))
        self.assertIn("kvs: unhealthy: it does not answer", self.health_log(container))
        docker("kill", "--signal", "CONT", container)
        until(lambda: self.health(container) == "healthy", 30, lambda: self.health_log(container))

    def health(self, container):
        return inspect(container, "json .State.Health.Status")

    def health_log(self, container):
        return json.dumps(inspect(container, "json .State.Health.Log"))

    def test_nonsense_ends_it_with_code_2_and_one_line(self):
        container, _ = self.run_container("-e", "SHARD_COUNT=two")
        until(lambda: inspect(container, "json .State.Status") == "exited", 10, "exited")
        self.assertEqual(inspect(container, "json .State.ExitCode"), 2)
        self.assertRegex(try_docker_logs(container), r"^kvs: SHARD_COUNT=two: [^\n]*\n$")

    def make_volume(self):
        volume = fresh_name("kvs-volume")
        docker("volume", "create", "--label", label(), volume)
        self.addCleanup(try_docker, "volume", "rm", volume)
        return volume

    def test_a_new_container_with_the_same_volume_has_the_data(self):
        volume = self.make_volume()
        container, address = self.run_container("-v", f"{volume}:/data")
        self.wait_for_answer(address)
        metadata = self.ask(address, "PUT", "/kvs/kept", {"value": "v"}).metadata
        docker("kill", container)
        docker("rm", container)
        container, address = self.run_container("-v", f"{volume}:/data", "--read-only")
        self.wait_for_answer(address)
        until(lambda: self.ask(address, "GET", "/health/ready").status == 200, 10, "ready")
        answer = self.ask(address, "GET", "/kvs/kept", {"causal-metadata": metadata})
        self.assertEqual(answer.json.get("value"), "v", answer)

    def test_a_new_volume_belongs_to_the_user(self):
        volume = self.make_volume()
        container, address = self.run_container("-v", f"{volume}:/data")
        self.wait_for_answer(address)
        data = subprocess.run(["docker", "cp", f"{container}:/data", "-"], stdout=subprocess.PIPE, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            self.assertEqual(tar.getmembers()[0].uid, USER)


class BuildStage(unittest.TestCase):
    """`docker build` as the README says it. Where its base image is not there, no registry is asked for it."""

    figures = {}

    @unittest.skipUnless(has_image(BUILD_IMAGE), f"no image {BUILD_IMAGE} here, so no docker build")
    def test_docker_build_of_a_clean_clone_gives_the_same_as_make_image(self):
        name, stage = fresh_name("kvs-test-build"), fresh_name("kvs-test-stage")
        for each in (name, stage):
            self.addCleanup(try_docker, "rmi", "-f", each)
        with tempfile.TemporaryDirectory() as directory:
            files = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
            for file in filter(None, files.decode().split("\0")):
                copy = pathlib.Path(directory, file)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes((ROOT / file).read_bytes())
            start = time.monotonic()
            build = ("build", "--pull=false", "--force-rm")
            docker(*build, "--no-cache", "--target", "build", "-t", stage, directory, timeout_s=300)  # or it would stay
            docker(*build, "-t", name, directory, timeout_s=300)
            self.figures["docker build"] = f"{time.monotonic() - start:.1f} s"
        size = inspect(name, "json .Size")
        self.assertLess(size, IMAGE_BYTES_MAX)
        self.assertEqual(config_of(name), config_of(image()))
        self.assertEqual(files_of(name), files_of(image()))
        for option in ("--version", "--help"):
            self.assertEqual(docker("run", "--rm", "--pull", "never", name, option),
                             docker("run", "--rm", "--pull", "never", image(), option))


def try_docker_logs(container):
    return subprocess.run(["docker", "logs", container], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=60).stdout


if __name__ == "__main__":
    unittest.main()
