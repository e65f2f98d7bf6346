#!/usr/bin/env python3
"""The rules of style that a machine can check. Each rule is a function that yields its complaints.

`tidy.py --graph` prints the include graph, as the README shows it.
"""

import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINE_MAX = 100
FUNCTION_LINES_MAX = 60
HEADER_LINES_MAX = 150

MODULES = sorted(ROOT.glob("*.c"))
HEADERS = sorted(ROOT.glob("*.h"))
C_FILES = MODULES + HEADERS + sorted(ROOT.glob("tests/*.[ch]")) + sorted(ROOT.glob("bench/*.[ch]"))
DOCS = sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/*.md"))

# What the core may include: nothing that reaches a socket, a clock, a file or a random source.
CORE_HEADERS = {"assert.h", "endian.h", "stdbool.h", "stddef.h", "stdint.h", "stdio.h", "stdlib.h",
                "string.h", "strings.h"}
BANNED_ANYWHERE = ["strcpy", "strcat", "sprintf", "vsprintf", "gets", "atoi", "atol", "strtok",
                   "scanf", "sscanf", "alloca", "rand", "srand", "random", "system", "popen",
                   "gethostbyname"]
BANNED_IN_CORE = ["printf", "puts", "fopen", "time", "clock", "getenv", "socket", "read", "write"]


def name(path):
    return str(path.relative_to(ROOT))


def makefile_list(variable):
    text = (ROOT / "Makefile").read_text().replace("\\\n", " ")
    return re.search(rf"^{variable}\s*:=\s*(.*)$", text, re.MULTILINE).group(1).split()


CORE = makefile_list("CORE")
HEADERS_ALONE = ["budget", "durable", "hlc", "op", "version"]  # of the core, too: there is nothing to compile


def code_of(text):
    """The text with comments and strings blanked, line by line as before."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', blank, text,
                  flags=re.DOTALL)


def formatting():
    if not shutil.which("clang-format"):
        print("formatting: passed over: no clang-format here")
        return
    result = subprocess.run(["clang-format", "--dry-run", "-Werror", *map(str, C_FILES)],
                            capture_output=True, text=True)
    for line in result.stderr.splitlines():
        if "error:" in line:
            yield line.replace(str(ROOT) + "/", "")


def line_length():
    for path in C_FILES:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if len(line) > LINE_MAX or line != line.rstrip():
                yield f"{name(path)}:{number}: over {LINE_MAX} columns, or space at its end"


def function_length():
    for path in C_FILES:
        start = None
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.match(r"[A-Za-z_].*\)\s*\{$", line) or (start is None and line == "{"):
                start = number
            elif line == "}" and start is not None:
                if number - start + 1 > FUNCTION_LINES_MAX:
                    yield f"{name(path)}:{start}: a function of {number - start + 1} lines"
                start = None


def header_length():
    for path in HEADERS:
        lines = len(path.read_text().splitlines())
        if lines > HEADER_LINES_MAX:
            yield f"{name(path)}: a header of {lines} lines"


def banned_calls():
    for path in C_FILES:
        banned = BANNED_ANYWHERE + (BANNED_IN_CORE if path.stem in CORE else [])
        calls = re.compile(rf"(?<![\w.>])({'|'.join(banned)})\s*\(")
        for number, line in enumerate(code_of(path.read_text()).splitlines(), 1):
            for match in calls.finditer(line):
                yield f"{name(path)}:{number}: {match.group(1)}() is banned here"


def includes(path):
    return re.findall(r'^#include ([<"])([^>"]+)[>"]', path.read_text(), re.MULTILINE)


def core_is_pure():
    for path in MODULES + HEADERS:
        if path.stem not in CORE + HEADERS_ALONE:
            continue
        for kind, header in includes(path):
            if kind == "<" and header not in CORE_HEADERS:
                yield f"{name(path)}: the core must not include <{header}>"
            if kind == '"' and header[:-2] not in CORE + HEADERS_ALONE:
                yield f"{name(path)}: the core must not include \"{header}\" of the shell"


def include_graph():
    """{module: modules whose headers it includes}, of .h and .c together."""
    graph = {}
    for path in MODULES + HEADERS:
        used = {header[:-2] for kind, header in includes(path) if kind == '"'}
        graph.setdefault(path.stem, set()).update(used - {path.stem})
    return graph


def graph_text():
    graph = include_graph()
    modules = sorted(graph, key=lambda m: (len(graph[m]), m))
    return "\n".join(f"{m:9} {' '.join(sorted(graph[m]))}".rstrip() for m in modules)


def includes_are_acyclic():
    graph, done = include_graph(), []
    while len(done) < len(graph):
        free = sorted(m for m in graph if m not in done and graph[m] <= set(done))
        if not free:
            yield "modules include one another in a circle: " + \
                ", ".join(sorted(set(graph) - set(done)))
            return
        done += free


def own_header_first():
    for path in MODULES:
        own = path.with_suffix(".h")
        if own.exists() and includes(path)[0] != ('"', own.name):
            yield f"{name(path)}: its own header comes first"


def todos():
    for path in C_FILES:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(r"\b(TODO|FIXME|XXX)\b", line):
                yield f"{name(path)}:{number}: a TODO"


def names_in_docs():
    """`file.c`, `function()` and `CONSTANT_NAMES` in the docs must exist."""
    source = "\n".join(p.read_text() for p in C_FILES + [ROOT / "Makefile"] +
                       sorted(ROOT.glob("tests/**/*.py")) + sorted(ROOT.glob("bench/*.py")) +
                       sorted(ROOT.glob("lab/*.py")) + sorted(ROOT.glob("*.py")))
    for path in DOCS:
        for quoted in re.findall(r"`([^`\n]+)`", path.read_text()):
            if re.fullmatch(r"[\w/.-]+\.(c|h|py)|(tests|bench|docs|lab)/[\w/.-]*", quoted):
                if not (ROOT / quoted).exists():
                    yield f"{name(path)}: there is no file {quoted}"
            elif re.fullmatch(r"\w+\(\)|[A-Z][A-Z0-9]*(_[A-Z0-9]+)+", quoted):
                if not re.search(rf"\b{quoted.rstrip('()')}\b", source):
                    yield f"{name(path)}: there is no {quoted}"


def graph_in_readme():
    if graph_text() not in (ROOT / "README.md").read_text():
        yield "README.md: its include graph is not what tidy.py --graph prints"


RULES = [graph_in_readme, formatting, line_length, function_length, header_length, banned_calls, core_is_pure,
         includes_are_acyclic, own_header_first, todos, names_in_docs]


def main():
    failed = 0
    for rule in RULES:
        complaints = list(rule())
        failed += bool(complaints)
        for complaint in complaints:
            print(f"{rule.__name__}: {complaint}")
    print(f"{len(RULES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--graph"]:
        print(graph_text())
    else:
        sys.exit(main())
