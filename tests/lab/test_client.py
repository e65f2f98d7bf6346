"""kvs_client.py: against real nodes, and against fake ones that refuse, hang up and keep silent as they are told."""

import doctest
import json
import pathlib
import sys
import time
import unittest

from harness import Node, NodeCase, fresh_address, fresh_network

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(pathlib.Path(__file__).resolve().parent)]

import kvs_client  # noqa: E402  found by the line above
from fake_node import FakeNode  # noqa: E402
from kvs_client import KeyNotFound, OutcomeUnknown, Refused, Session, Unavailable  # noqa: E402

REFUSAL = {"status": 503, "members": {"error": "Causal dependencies not satisfied; try again later",
                                      "missing": ["10.0.0.1:8090#5f3a9c01d2e4b7a1:17"], "causal-metadata": {"seen": 0}}}
UNKNOWN = {"status": 503, "members": {"error": "Outcome unknown; the write may have happened",
                                      "causal-metadata": {"seen": 0}}}


def refusal(seconds):
    return {**REFUSAL, "headers": {"Retry-After": seconds}}


class RealNode(NodeCase):
    def setUp(self):
        super().setUp()
        self.session = Session([self.node.address])
        self.addCleanup(self.session.close)

    def test_values_come_back_as_they_were(self):
        for value in ("text", "", 1, 1.5, None, True, [1, {"a": None}], {"k": "ü"}):
            key = self.key("välue/ of ")
            self.assertIs(self.session.put(key, value), True)
            self.assertEqual(self.session.get(key), value)
            self.assertIs(self.session.put(key, value), False)
            self.session.delete(key)
            with self.assertRaises(KeyNotFound):
                self.session.get(key)
            self.assertEqual(self.session.get(key, "none"), "none")
            with self.assertRaises(KeyError):
                self.session.delete(key)

    def test_a_value_that_is_no_json_is_not_sent(self):
        for value in (float("nan"), object()):
            with self.assertRaises((TypeError, ValueError)):
                self.session.put("no-json", value)
        self.assertIsNone(self.session.metadata)

    def test_the_metadata_of_each_answer_is_taken_over(self):
        seen = []
        for step in (lambda: self.session.put("step", 1), lambda: self.session.get("step"),
                     lambda: self.session.put("step", 2), lambda: self.session.delete("step"),
                     lambda: self.session.get("step", None)):
            step()
            seen.append(self.session.metadata)
        for earlier, later in zip(seen, seen[1:]):
            self.expect_covers(later, earlier)
        self.assertGreater(seen[-1]["time"], seen[0]["time"])

    def test_what_is_refused_says_why(self):
        with self.assertRaisesRegex(Refused, "400: Key is too long") as caught:
            self.session.put("k" * 51, 1)
        self.assertEqual((caught.exception.status, caught.exception.error), (400, "Key is too long"))

    def test_a_listing_has_all_pages(self):
        pairs = {f"page-{i}": i for i in range(25)}
        for key, value in pairs.items():
            self.session.put(key, value)
        kvs_client.PAGE_KEYS, before = 10, kvs_client.PAGE_KEYS
        self.addCleanup(setattr, kvs_client, "PAGE_KEYS", before)
        self.assertEqual(self.session.list("page-"), pairs)
        self.assertEqual(self.session.list("no such "), {})

    def test_a_saved_session_goes_on_where_it_was(self):
        self.session.put("saved", 1)
        other = Session.restore(self.session.save())
        self.addCleanup(other.close)
        self.assertEqual((other.nodes, other.metadata), (self.session.nodes, self.session.metadata))
        self.assertEqual(other.get("saved"), 1)

    def test_a_dependency_that_nobody_has_ends_patience_and_is_named(self):
        lost = self.unknown_metadata()
        session = Session([self.node.address], lost, patience_s=1)
        with self.assertRaisesRegex(Unavailable, f"503: Causal dependencies.*{next(iter(lost['clock']))}:7"):
            session.get("anything")
        session.close()

    def test_a_node_that_wants_a_token(self):
        with Node({"AUTH_TOKEN": "sesame"}) as node, Session([node.address], token="sesame") as session:
            session.put("k", 1)
            self.assertNotIn("sesame", session.save())
            with Session.restore(session.save()) as other, self.assertRaisesRegex(Refused, "401"):
                other.get("k")
            with Session.restore(session.save(), token="sesame") as other:
                self.assertEqual(other.get("k"), 1)

    def test_a_connection_that_the_node_closed_meanwhile_costs_no_doubt(self):
        with Node({"IDLE_MS": "200"}) as node, Session([node.address]) as session:
            session.put("idle", 1)
            time.sleep(0.6)
            session.put("idle", 2)


class Example(unittest.TestCase):
    def test_what_the_docstring_shows_is_what_happens(self):
        network, port = fresh_network()
        addresses = [f"{network}.{i}:{port}" for i in (1, 2)]
        text = kvs_client.__doc__
        for shown, real in zip(("localhost:8082", "localhost:8085"), addresses):
            self.assertIn(shown, text)
            text = text.replace(shown, real)
        view = {"VIEW": ",".join(addresses)}
        with Node(view, address=addresses[0]) as one, Node(view, address=addresses[1]) as other:
            for node in (one, other):
                node.wait_for_health()
            example = doctest.DocTestParser().get_doctest(text, {"Session": Session}, "kvs_client", None, 0)
            self.assertGreaterEqual(len(example.examples), 7)
            said = []
            doctest.DocTestRunner().run(example, out=said.append)
            self.assertEqual("".join(said), "")


class Retries(unittest.TestCase):
    def session(self, *addresses, **options):
        session = Session(addresses, **options)
        self.addCleanup(session.close)
        return session

    def test_a_503_is_tried_again_with_its_metadata_and_ever_longer_pauses(self):
        with FakeNode(*[REFUSAL] * 4) as node:
            start = time.monotonic()
            session = self.session(node.address)
            self.assertEqual(session.get("k"), "ok")
            self.assertGreater(time.monotonic() - start, (0.02 + 0.04 + 0.08 + 0.16) / 2)
            self.assertEqual(len(node.asked), 5)
            self.assertEqual([asked[2]["causal-metadata"] for asked in node.asked], [None] + [{"seen": 0}] * 4)
            self.assertEqual(session.metadata, {"seen": 5})

    def test_retry_after_is_honoured_by_going_elsewhere_meanwhile(self):
        with FakeNode(refusal(1)) as busy, FakeNode() as free:
            start = time.monotonic()
            self.assertEqual(self.session(busy.address, free.address).get("k"), "ok")
            self.assertLess(time.monotonic() - start, 0.8)
            self.assertEqual((len(busy.asked), len(free.asked)), (1, 1))

    def test_retry_after_is_waited_for_where_there_is_nobody_else(self):
        with FakeNode(refusal(1)) as node:
            start = time.monotonic()
            self.session(node.address).get("k")
            self.assertGreaterEqual(time.monotonic() - start, 1)

    def test_retry_after_is_honoured_within_reason(self):
        for header in ("86400", "Sat, 21 Nov 2026 05:27:34 GMT", "-1", "soon"):
            with FakeNode(refusal(header)) as node:
                start = time.monotonic()
                self.assertEqual(self.session(node.address).get("k"), "ok")
                self.assertLess(time.monotonic() - start, kvs_client.RETRY_AFTER_S_MAX + 1, header)

    def test_patience_ends(self):
        with FakeNode(*[REFUSAL] * 1000) as node:
            start = time.monotonic()
            with self.assertRaisesRegex(Unavailable, "missing: 10.0.0.1:8090#5f3a9c01d2e4b7a1:17"):
                self.session(node.address, patience_s=0.5).put("k", 1)
            self.assertLess(time.monotonic() - start, 1.5)

    def test_outcome_unknown_is_told_and_not_tried_again(self):
        for operation in (lambda session: session.put("k", 1), lambda session: session.delete("k")):
            with FakeNode(UNKNOWN) as node:
                with self.assertRaises(OutcomeUnknown):
                    operation(self.session(node.address))
                self.assertEqual(len(node.asked), 1)

    def test_outcome_unknown_is_tried_again_if_wanted(self):
        with FakeNode(UNKNOWN, {"silent": True}) as node:
            self.assertIs(self.session(node.address, repeat_unknown=True).put("k", 1), False)
            self.assertEqual(len(node.asked), 3)

    def test_a_write_without_an_answer_is_told_and_not_tried_again(self):
        with FakeNode({"silent": True}) as node, FakeNode() as other:
            session = self.session(node.address, other.address)
            with self.assertRaisesRegex(OutcomeUnknown, node.address):
                session.put("k", 1)
            self.assertEqual(len(other.asked), 0)
            session.put("k", 1)  # the caller has decided; and it is somebody else who is asked now
            self.assertEqual(len(other.asked), 1)

    def test_a_read_without_an_answer_is_asked_elsewhere(self):
        with FakeNode({"silent": True}) as node, FakeNode() as other:
            self.assertEqual(self.session(node.address, other.address).get("k"), "ok")

    def test_a_node_that_keeps_silent_is_not_waited_for_longer_than_said(self):
        with FakeNode({"slow_s": 30}) as node, FakeNode() as other:
            start = time.monotonic()
            self.assertEqual(self.session(node.address, other.address, timeout_s=0.3).get("k"), "ok")
            self.assertLess(time.monotonic() - start, 2)

    def test_nodes_that_are_down_are_passed_over_even_for_writes(self):
        with FakeNode() as node:
            session = self.session(fresh_address(), fresh_address(), node.address)
            session.put("k", 1)
            session.put("k", 2)
            self.assertEqual(len(node.asked), 2)

    def test_nobody_is_up(self):
        with self.assertRaisesRegex(Unavailable, "cannot be reached"):
            self.session(fresh_address(), fresh_address(), patience_s=0.3).put("k", 1)

    def test_an_answer_that_is_none_of_kvs(self):
        with FakeNode({"members": ["no", "object"]}) as node:
            self.assertEqual(self.session(node.address).get("k"), "ok")

    def test_other_refusals_are_not_tried_again(self):
        for status in (400, 404, 405, 413, 500, 507):
            with FakeNode({"status": status, "members": {"error": "no"}}) as node:
                with self.assertRaises(Refused):
                    self.session(node.address).put("k", 1)
                self.assertEqual(len(node.asked), 1)

    def test_a_listing_that_lacks_a_shard(self):
        part = {"members": {"kvs": {"a": 1}, "next": None, "complete": False, "unreachable": ["s1"]}}
        with FakeNode(part, part) as node:
            session = self.session(node.address)
            with self.assertRaisesRegex(Unavailable, "s1"):
                session.list()
            self.assertEqual(session.list(partial=True), {"a": 1})

    def test_a_session_needs_a_node(self):
        with self.assertRaises(ValueError):
            Session([])

    def test_what_is_saved_is_json_and_nodes_can_be_changed(self):
        session = self.session("a:1", "b:2")
        session.metadata = {"seen": 3}
        self.assertEqual(json.loads(session.save()), {"nodes": ["a:1", "b:2"], "causal-metadata": {"seen": 3}})
        self.assertEqual(Session.restore(session.save(), nodes=["c:3"]).nodes, ["c:3"])


if __name__ == "__main__":
    unittest.main()
