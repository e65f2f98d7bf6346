"""What the README shows is what happens: its curl lines, one after the other, at six nodes in two shards."""

import pathlib
import re
import shlex
import unittest

from cluster import GroupCase

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"
COMMAND = re.compile(r"^    \$ (curl .*)$")
FIRST_PORT = 8082
VARIABLE = re.compile(r'"time":"[0-9a-f]{16}"|"clock":{"[^}]*}|{\.\.\.}')  # nobody can foresee it
LIKE = {'"time"': '"time":"[0-9a-f]{16}"', '"clock"': r'"clock":{"[^}]*}', "{...}": "{.*}"}


def examples(text):
    """(command, answer) of every example: indented lines, the first of them `$ curl ...`."""
    found, lines = [], text.splitlines()
    for number, line in enumerate(lines):
        if match := COMMAND.match(line):
            answer = lines[number + 1] if number + 1 < len(lines) else ""
            found.append((match[1], answer.strip()))
    return found


def parse(command):
    """The port, verb, path and body of a curl line."""
    words = shlex.split(command)[1:]
    method, body, target = "GET", None, None
    while words:
        word = words.pop(0)
        if word == "-X":
            method = words.pop(0)
        elif word == "-d":
            body = words.pop(0).encode()
        else:
            target = word
    match = re.fullmatch(r"localhost:(\d+)(/.*)", target)
    return int(match[1]), method, match[2], body


class Readme(GroupCase):
    count = 6
    environment = {"SHARD_COUNT": "2"}

    def pattern_of(self, answer):
        """The answer that the README shows, at the addresses of this cluster."""
        for i, member in enumerate(self.cluster):
            answer = answer.replace(f"127.0.0.1:{FIRST_PORT + i}", member.address)
        fixed, parts = VARIABLE.split(answer), VARIABLE.findall(answer)
        likes = [LIKE[part.partition(":")[0]] for part in parts]
        return "^" + "".join(re.escape(text) + like for text, like in zip(fixed, [*likes, ""])) + "$"

    def test_every_curl_line_is_answered_as_shown(self):
        shown = examples(README.read_text())
        self.assertGreaterEqual(len(shown), 5)
        for command, answer in shown:
            port, method, path, body = parse(command)
            got = self.cluster[port - FIRST_PORT].ask(method, path, body, timeout_s=10)
            self.assertRegex(got.body.decode().strip(), self.pattern_of(answer), command)


if __name__ == "__main__":
    unittest.main()
