"""Load on the nodes of a lab, recorded; and the checker on what was recorded."""

import os
import pathlib
import signal
import subprocess
import sys

from fleet import Fleet
from places import DOWN, ROOT, LabError, birth_of, state_of

sys.path.append(str(ROOT / "tests"))

import record_history as recording  # noqa: E402  found by the line above

TIMEOUT_S = 3  # of a request: a node that waits for another one's answer gives up after 2.5 s
PAUSE_S = 0.01  # of a session between two requests: the checker need not judge millions


def add_options(parser):
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--pause", type=float, default=PAUSE_S, help="seconds of a session between two requests")
    parser.add_argument("--seed", type=int)


def recorder_options(options, seconds, addresses):
    """Of the recorder, as on its command line."""
    given = ["--seconds", seconds, "--threads", options.sessions, "--pause", options.pause, "--timeout", TIMEOUT_S]
    if options.seed is not None:
        given += ["--seed", options.seed]
    return recording.arguments([str(word) for word in (*given, *addresses)])


def claim(fleet):
    """This process is the one that loads."""
    running = fleet.state.get("load")
    if running and state_of(running["pid"], running["born"]) != DOWN:
        raise LabError(f"a load is running already: process {running['pid']}")
    fleet.state["load"] = {"pid": os.getpid(), "born": birth_of(os.getpid())[0]}


def stop_on_signals(stop):
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop())


def load(options):
    with Fleet() as fleet:
        claim(fleet)
        addresses, path = fleet.addresses(), fleet.path / "history"
    with open(path, "w") as out:
        run = recording.Load(recorder_options(options, options.seconds, addresses), out)
        stop_on_signals(run.stop)
        run.start()
        run.join()
    print(f"{sum(run.recorder.outcomes.values())} operations: {run.describe()}")
    if run.recorder.answers == 0:
        raise LabError("no operation was answered: there is nothing to judge")


def checker():
    path = pathlib.Path(os.environ.get("KVS_CHECKER", ROOT / "check_history"))
    if not os.access(path, os.X_OK):
        subprocess.run(["make", "-s", "check_history"], cwd=ROOT, check=True, timeout=600)
    return str(path)


def judge(history):
    """(exit code of the checker, what it says)"""
    done = subprocess.run([checker(), str(history)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=600)
    return done.returncode, done.stdout


def check(_options):
    with Fleet() as fleet:
        running, path = fleet.state.get("load"), fleet.path / "history"
        if running and state_of(running["pid"], running["born"]) != DOWN:
            raise LabError("the load is still running")
    if not path.exists():
        raise LabError("nothing was recorded: python3 lab load")
    code, verdict = judge(path)
    print(verdict.rstrip())
    return code
