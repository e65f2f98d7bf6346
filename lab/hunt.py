"""The hunt for stale reads: random faults under load; then all heals, must converge, and the history is judged.

It goes in episodes. Each begins with all nodes up, ready and level; then mostly one process is ended, by kill -9 or
to be started with another clock, and while it comes back other faults overlap: cuts, isolations, pauses. Then all is
mended, and they must become level again.

Why a process is ended only where all are level: an answered write is on two nodes, or on one if that was alone. Who
ends the only process that has a write loses it, and who reads on after that sees the past, as it must. The hunt is
for faults that no write may be lost to.
"""

import collections
import pathlib
import random
import shutil
import time

import load as loading
from fleet import Fleet, ask
from places import DOWN, PAUSED, ROOT, Containers, LabError, Processes, Spaces

ENDING_SHARE = 0.7  # of the episodes begin with a process that is ended
EPISODE_S = (3, 12)
STEP_S = (0.2, 1.5)  # between two things that happen
FAULT_S = (0.3, 5)
FAULTS_MAX = 3  # at a time, beside the process that was ended
DOWN_S = (0.1, 3)
SKEW_MS_MAX = 25000  # two nodes differ by less than the minute that a client's time may be ahead
LEVEL_S_MAX = 30  # after all is mended; what the contract says is 7
LOAD_S_MAX = 24 * 3600  # it is stopped long before
SANITIZERS = ("AddressSanitizer", "LeakSanitizer", "runtime error:", "Assertion")


class Found(Exception):
    """What the hunt is for."""


def add_options(parser):
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--pause", type=float, default=loading.PAUSE_S)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    parser.add_argument("--keep", type=pathlib.Path, default=ROOT / "build" / "hunt-failure",
                        help="where history and logs go if something is found")


class Faults:
    """What is wrong at the moment; each fault knows how it ends. Whoever uses the lab beside the hunt may have done so
    already: that is no error."""

    def __init__(self, rng, log):
        self.rng, self.log = rng, log
        self.active = []  # (when it ends, its text, what ends it)
        self.done = collections.Counter()

    def act(self, command, *names):
        self.log(f"{command} {' '.join(map(str, names))}")
        with Fleet() as fleet:
            getattr(fleet, command)(*names)

    def _begin(self, kind, seconds, end, *names):
        self.act(kind, *names)
        self.done[kind] += 1
        self.active.append((time.monotonic() + self.rng.uniform(*seconds), kind, end))

    def end_due(self):
        now = time.monotonic()
        due, self.active = [f for f in self.active if f[0] <= now], [f for f in self.active if f[0] > now]
        for _, _, end in due:
            end()

    def end_all(self):
        for _, _, end in self.active:
            end()
        self.active = []
        self.act("heal")

    # Kinds.

    def end_process(self, name):
        if self.rng.random() < 0.5:
            self._begin("kill", DOWN_S, lambda: self.act("start", name), name)
        else:
            self.act("skew", name, round(self.rng.uniform(-SKEW_MS_MAX, SKEW_MS_MAX)))
            self.done["skew"] += 1

    def pause(self, name):
        with Fleet() as fleet:
            state = fleet.state_of(fleet.node(name))
        if state not in (DOWN, PAUSED):
            self._begin("pause", FAULT_S, lambda: self.act("resume", name), name)

    def isolate(self, name):
        with Fleet() as fleet:
            isolated = fleet.node(name).get("unplugged") or \
                (isinstance(fleet.place, Containers) and fleet.state_of(fleet.node(name)) != "up")
        if not isolated:
            self._begin("isolate", FAULT_S, lambda: self.act("heal", name), name)

    def cut(self, name, other):
        self._begin("cut", FAULT_S, lambda: self.act("heal", name, other), name, other)


class Hunt:
    def __init__(self, options):
        self.options = options
        self.seconds = options.minutes * 60 if options.minutes else options.seconds
        self.rng = random.Random(options.seed)
        with Fleet() as fleet:
            self.path, self.addresses = fleet.path, fleet.addresses()
            self.names = [node["name"] for node in fleet.nodes]
            self.can_cut = isinstance(fleet.place, Spaces) or \
                (isinstance(fleet.place, Containers) and fleet.place.can_cut())
            self.can_isolate = not isinstance(fleet.place, Processes) or isinstance(fleet.place, Spaces)
        self.history = self.path / "history"
        self.began = time.monotonic()
        self.log_file = open(self.path / "hunt.log", "w")
        self.faults = Faults(self.rng, self.log)
        self.episodes, self.level_s = 0, []

    def log(self, text):
        self.log_file.write(f"{time.strftime('%H:%M:%S')} {time.monotonic() - self.began:8.2f}  {text}\n")
        self.log_file.flush()

    # Episodes.

    def episode(self, load):
        end = time.monotonic() + self.rng.uniform(*EPISODE_S)
        if self.rng.random() < ENDING_SHARE:
            time.sleep(self.rng.uniform(0, 1))
            self.faults.end_process(self.rng.choice(self.names))
        while time.monotonic() < end and not load.stopping.is_set():
            if len(self.faults.active) < FAULTS_MAX:
                self.begin_one()
            time.sleep(self.rng.uniform(*STEP_S))
            self.faults.end_due()
        self.faults.end_all()
        self.episodes += 1

    def begin_one(self):
        kinds = [self.faults.pause] + [self.faults.isolate] * self.can_isolate
        kind = self.rng.choice(kinds + [None] * self.can_cut)
        if kind is None:
            self.faults.cut(*self.rng.sample(self.names, 2))
        else:
            kind(self.rng.choice(self.names))

    def become_level(self, load):
        """All nodes see one another; then, with the load at rest, all list the same."""
        mended = time.monotonic()
        limit = mended + LEVEL_S_MAX
        with Fleet() as fleet:
            complaints = fleet.wait_until_settled(LEVEL_S_MAX)
            down = [name for name, state in fleet.states().items() if state == DOWN]
        if down:
            raise Found(f"{', '.join(down)} ended without being told to")
        if complaints:
            raise Found(f"{LEVEL_S_MAX} s after all was mended: {'; '.join(complaints)}")
        load.pause()
        while (difference := self.difference()) is not None:
            if time.monotonic() > limit:
                raise Found(f"not level {LEVEL_S_MAX} s after all was mended: {difference}")
            time.sleep(0.1)
        load.resume()
        self.level_s.append(time.monotonic() - mended)
        self.log(f"level after {self.level_s[-1]:.2f} s")

    def difference(self):
        """None: every node lists the same, of its own shard from its own copy."""
        first = None
        for address in self.addresses:
            try:
                status, members = ask(address, "/kvs", timeout_s=10)
            except OSError as why:
                return str(why)
            if status != 200 or not members["complete"]:
                return f"{address} lists not everything"
            pairs = members["kvs"]
            first = pairs if first is None else first
            if pairs != first:
                keys = {key for key in first.keys() | pairs.keys() if first.get(key) != pairs.get(key)}
                return f"{self.addresses[0]} and {address} list {len(keys)} keys differently: {sorted(keys)[:5]}"
        return None

    # The whole.

    def run(self):
        """Found is raised if there is something; else the figures."""
        with open(self.history, "w") as out:
            load = loading.recording.Load(loading.recorder_options(self.options, LOAD_S_MAX, self.addresses), out)
            loading.stop_on_signals(load.stop)
            load.start()
            try:
                self.become_level(load)
                while time.monotonic() < self.began + self.seconds and not load.stopping.is_set():
                    self.episode(load)
                    self.become_level(load)
            finally:
                load.stop()
                load.join()
                self.faults.end_all()
            self.become_level(load)
            unanswered = load.read_everything()
        if unanswered:
            raise Found(f"{len(unanswered)} reads of all that was seen are not answered, first {unanswered[:3]}")
        code, verdict = loading.judge(self.history)
        if code != 0:
            raise Found(verdict)
        self.expect_clean_logs()
        return self.figures(load, verdict)

    def expect_clean_logs(self):
        with Fleet() as fleet:
            for node in fleet.nodes:
                log = fleet.place.log(node)
                if any(text in log for text in SANITIZERS):
                    raise Found(f"the log of {node['name']} tells of a bug")

    def figures(self, load, verdict):
        faults = ", ".join(f"{kind}: {n}" for kind, n in sorted(self.faults.done.items()))
        return (f"{self.episodes} episodes in {time.monotonic() - self.began:.0f} s; {faults}\n"
                f"{sum(load.recorder.outcomes.values())} operations; {load.describe()}\n"
                f"level after {min(self.level_s):.1f} to {max(self.level_s):.1f} s\n{verdict.rstrip()}")

    def keep(self, what):
        """All that is known, where `down` does not take it away."""
        self.log(f"found: {what}")
        folder = self.options.keep
        folder.mkdir(parents=True, exist_ok=True)
        with Fleet() as fleet:
            for node in fleet.nodes:
                (folder / f"{node['name']}.log").write_text(fleet.place.log(node))
        for name in ("history", "hunt.log"):
            shutil.copy(self.path / name, folder / name)
        return folder


def hunt(options):
    with Fleet() as fleet:
        loading.claim(fleet)
    print(f"seed {options.seed} (it repeats the choices, not the timing)", flush=True)
    run = Hunt(options)
    try:
        print(run.run())
    except (Found, LabError) as what:  # such as a node that is down and should not be
        print(f"{what}\nseed {options.seed}; history and logs are in {run.keep(what)}")
        return 1
    return 0
