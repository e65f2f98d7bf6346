"""What docs/lab.md shows is what happens: its commands are run as they stand, in one shell."""

import re
import shutil
import subprocess
import unittest

from lab_case import CHECKER, LabCase, namespaces, places

TEXT = places.ROOT / "docs" / "lab.md"
WHY_NOT = namespaces.why_not() or (None if shutil.which("curl") else "no curl here")


def steps():
    """[(command, lines of its output as shown)] of the indented blocks."""
    found = []
    for line in TEXT.read_text().splitlines():
        if line.startswith("    $ "):
            found.append((line[6:], []))
        elif line.startswith("    ") and found:
            found[-1][1].append(line.strip())
    return found


def pattern_of(shown):
    """`...` stands for anything, and spaces for so many as a table needs."""
    return "".join({"...": ".*?"}.get(part) or (r"\s+" if part.isspace() else re.escape(part))
                   for part in re.split(r"(\.\.\.|\s+)", shown) if part)


@unittest.skipIf(WHY_NOT, str(WHY_NOT))
@unittest.skipUnless(CHECKER.exists(), "the checker is not built: make VARIANT=asan unit")
class Walk(LabCase):
    alone = True  # no other lab takes the number that the text is told

    def run_all(self, commands):
        """One shell, so that `&` and `wait` mean what they mean. Returns the outputs."""
        script = "".join(f"{command}\necho '--- {number}' $?\n" for number, command in enumerate(commands))
        done = subprocess.run(["bash"], input=script, env=self.environment, cwd=places.ROOT, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=180)
        parts = re.split(r"--- \d+ (\d+)\n", done.stdout)
        for command, output, code in zip(commands, parts[::2], parts[1::2]):
            self.assertEqual(code, "0", f"{command}\n{output}\n{done.stdout}")
        return parts[::2]

    def test_the_walk_goes_as_it_is_shown(self):
        prefix = f"10.77.{self.free_number()}."
        walk = [(command.replace("10.77.0.", prefix), [line.replace("10.77.0.", prefix) for line in lines])
                for command, lines in steps()]
        self.assertGreater(len(walk), 20)
        outputs = self.run_all([command for command, _ in walk])
        for (command, shown), said in zip(walk, outputs):
            expected = r"\s*".join(map(pattern_of, shown))
            self.assertTrue(re.fullmatch(expected, said.strip(), re.DOTALL), f"$ {command}\n{said}\nis not\n{shown}")
        self.expect_nothing_left(f"kvslab{prefix.split('.')[2]}")

    def free_number(self):
        """Where the lab of the walk will stand."""
        return next(n for n in range(255) if not namespaces.attempt(f"ip link show kvslab{n}"))


if __name__ == "__main__":
    unittest.main()
