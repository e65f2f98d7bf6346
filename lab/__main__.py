"""A lab of kvs nodes whose network can be cut, clocks set wrong and processes killed, while one looks on.

  python3 lab up 6 --shards 2    six nodes, a to f; as root each in a network namespace, else plain processes
  python3 lab up 6 --docker      in containers of the image kvs
  python3 lab status             who is up, ready and cut off, and whom each node sees
  python3 lab cut a b            nothing passes between a and b (and others: cut a b c d)
  python3 lab isolate a          nothing passes between a and all others
  python3 lab heal               all passes again; heal a: what a was cut off from; heal a b: between the two
  python3 lab pause a, resume a  a stands still, and goes on
  python3 lab kill a, start a    as by kill -9; without DATA_DIR what only a had is lost
  python3 lab skew a +10s        starts a again with a clock that is ten seconds ahead; skew a 0
  python3 lab log a              what a has said
  python3 lab load               sessions read and write, and what they saw is recorded
  python3 lab check              whether a causally consistent store can have answered like that
  python3 lab hunt --minutes 10  random faults under load; then all heals, must be level, and is checked
  python3 lab down               ends all of it

docs/lab.md is a walk through it. The lab lives in build/lab, or where KVS_LAB says; KVS_BINARY is another kvs,
KVS_IMAGE another image.
"""

import argparse
import os
import re
import subprocess
import sys

import hunt
import load
import namespaces
from fleet import Fleet, directory
from places import Containers, LabError, Processes, Spaces, lost_places

SKEW = re.compile(r"([+-]?\d+(?:\.\d+)?)(ms|s|m|h)?")
UNIT_MS = {"ms": 1, "s": 1000, "m": 60000, "h": 3600000, None: 1000}
SKEW_MS_MAX = 24 * 3600 * 1000  # more is refused by a node


def skew_ms(text):
    match = SKEW.fullmatch(text.strip())
    if not match or abs(float(match[1]) * UNIT_MS[match[2]]) > SKEW_MS_MAX:
        raise argparse.ArgumentTypeError(f"{text.strip()}: expected a time up to a day, such as +10s, -500ms or 0")
    return round(float(match[1]) * UNIT_MS[match[2]])


def arguments(given):
    # A time that starts with a minus is no option.
    given = [" " + word if re.match(r"-\d", word) else word for word in given]
    parser = argparse.ArgumentParser(prog="python3 lab", usage=argparse.SUPPRESS, description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter, add_help=False)
    parser.add_argument("-h", "--help", action="store_true")
    commands = parser.add_subparsers(dest="command")

    up = commands.add_parser("up")
    up.add_argument("count", type=int, nargs="?", default=6)
    up.add_argument("--shards", type=int, default=2)
    up.add_argument("--docker", dest="kind", action="store_const", const=Containers.kind)
    up.add_argument("--plain", dest="kind", action="store_const", const=Processes.kind, help="no network to cut")

    for name in ("status", "check", "down"):
        commands.add_parser(name)
    for name in ("isolate", "pause", "resume", "kill", "start", "log"):
        commands.add_parser(name).add_argument("node")
    cut = commands.add_parser("cut")
    cut.add_argument("node")
    cut.add_argument("others", nargs="+", metavar="other")
    commands.add_parser("heal").add_argument("nodes", nargs="*", metavar="node")
    skew = commands.add_parser("skew")
    skew.add_argument("node")
    skew.add_argument("skew_ms", type=skew_ms, metavar="time")
    load.add_options(commands.add_parser("load"))
    hunt.add_options(commands.add_parser("hunt"))
    return parser.parse_args(given)


# --- commands --------------------------------------------------------------------------------------------------------


def up(options):
    kind = options.kind or (Processes.kind if namespaces.why_not() else Spaces.kind)
    try:
        fleet = Fleet.up(options.count, options.shards, kind)
        complaints = fleet.wait_until_settled()
    except (OSError, subprocess.SubprocessError, KeyboardInterrupt):
        take_down_quietly()
        raise
    print(f"{options.count} nodes in {options.shards} shards: {fleet.place.word}")
    if kind == Processes.kind and options.kind is None:
        print("There is no network to cut; for that, run the lab as root, or with --docker.")
    for complaint in complaints:
        print(f"{complaint}: see status and log")
    print_table(fleet.report())
    return 1 if complaints else 0


def take_down_quietly():
    try:
        with Fleet() as fleet:
            fleet.down()
    except LabError:
        pass


def print_table(rows):
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    for row in [{name: name for name in widths}, *rows]:
        print("  ".join(text.ljust(widths[name]) for name, text in row.items()).rstrip())


def status(_options):
    with Fleet() as fleet:
        print_table(fleet.report())


def down(_options):
    lost = [] if (directory() / "state.json").exists() else list(lost_places(directory()))
    for place in lost:
        place.close()
    if not lost:
        with Fleet() as fleet:
            fleet.down()


def log(options):
    with Fleet() as fleet:
        sys.stdout.write(fleet.place.log(fleet.node(options.node)))


def cut(options):
    with Fleet() as fleet:
        fleet.cut(options.node, *options.others)


def heal(options):
    if len(options.nodes) > 2:
        raise LabError("heal all, heal a node, or heal the cut between two")
    with Fleet() as fleet:
        fleet.heal(*options.nodes)


def skew(options):
    with Fleet() as fleet:
        fleet.skew(options.node, options.skew_ms)


def on_one_node(options):
    with Fleet() as fleet:
        getattr(fleet, options.command)(options.node)


COMMANDS = {"up": up, "status": status, "down": down, "log": log, "cut": cut, "heal": heal, "skew": skew,
            "load": load.load, "check": load.check, "hunt": hunt.hunt,
            **dict.fromkeys(("isolate", "pause", "resume", "kill", "start"), on_one_node)}


def main():
    options = arguments(sys.argv[1:])
    if options.help or options.command is None:
        print(__doc__.strip())
        return 0 if options.help else 2
    try:
        return COMMANDS[options.command](options) or 0
    except LabError as why:
        print(f"lab: {why}", file=sys.stderr)
    except BrokenPipeError:  # whoever reads our words has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, subprocess.SubprocessError) as why:
        print(f"lab: {why}: {(getattr(why, 'stderr', None) or '').strip()}", file=sys.stderr)
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
