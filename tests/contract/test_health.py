"""/health, /health/ready and /metrics."""

import re
import unittest

from harness import NodeCase

SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)"  # name
                    r"(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*=\"(?:[^\"\\\n]|\\[\\n\"])*\",?)*)\})?"  # labels
                    r" ([-+]?(?:[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?|Inf)|NaN)"  # value
                    r"(?: -?[0-9]+)?")  # time
TYPES = ("counter", "gauge", "histogram", "summary", "untyped")


def parse_metrics(text):
    """{(name, labels): value} and {name: type}. Fails on anything that the text format does not allow."""
    assert text.endswith("\n"), "the last line has no end"
    samples, types, finished, current = {}, {}, set(), None
    for line in text[:-1].split("\n"):
        if not line or (line.startswith("#") and not line.startswith(("# TYPE ", "# HELP "))):
            continue
        if line.startswith("# "):
            _, kind, name, *rest = line.split(" ", 3)
            if kind == "TYPE":
                assert rest and rest[0] in TYPES, line
                assert name not in types, f"two TYPE lines: {line}"
                types[name] = rest[0]
        else:
            match = SAMPLE.fullmatch(line)
            assert match, f"bad sample line {line!r}"
            name = match[1]
            family = re.sub("_(bucket|sum|count)$", "", name)
            if types.get(family) in ("histogram", "summary"):
                name = family
            assert name in types, f"sample before its TYPE: {line}"
            assert (match[1], match[2]) not in samples, f"sample twice: {line}"
            samples[match[1], match[2]] = float(match[3].replace("Inf", "inf"))
        if name != current:
            assert name not in finished, f"lines of {name} are not together"
            finished.add(current)
            current = name
    return samples, types


class Health(NodeCase):
    def test_health_says_up_ready_and_not_provisional(self):
        health = self.expect(self.client.request("GET", "/health"), 200).json
        self.assertEqual(health["status"], "up")
        self.assertIs(health["ready"], True)
        self.assertIs(health["provisional"], False)

    def test_ready_answers_200(self):
        self.expect(self.client.request("GET", "/health/ready"), 200)

    def test_a_query_string_changes_nothing(self):
        for path in ("/health?x=1", "/health/ready?", "/view?a", "/shard/ids?b=c", "/metrics?"):
            self.expect(self.client.request("GET", path), 200)


class Metrics(NodeCase):
    def metrics(self):
        answer = self.client.request("GET", "/metrics")
        self.assertEqual(answer.status, 200)
        self.assertRegex(answer.headers["content-type"], r"^text/plain")
        return parse_metrics(answer.body.decode("utf-8"))

    def test_the_text_is_in_prometheus_format(self):
        samples, types = self.metrics()
        self.assertGreater(len(samples), 5)
        self.assertIn("counter", types.values())
        self.assertIn("gauge", types.values())

    def test_counters_never_go_down_and_count_requests(self):
        def counters():
            samples, types = self.metrics()
            return {sample: value for sample, value in samples.items() if types.get(sample[0]) == "counter"}

        before = counters()
        for number in range(25):
            self.client.put(f"counted{number}", number)
        after = counters()
        for sample, value in before.items():
            self.assertGreaterEqual(after.get(sample, -1), value, sample)
        self.assertTrue(any(value - before.get(sample, 0) >= 25 for sample, value in after.items()), after)

    def test_errors_and_strange_keys_do_not_break_the_format(self):
        for path in ('/kvs/"\\', "/kvs/%0a", "/nowhere", "/kvs/%zz"):
            self.client.request("GET", path)
        self.client.request("POST", "/view")
        self.metrics()


if __name__ == "__main__":
    unittest.main()
