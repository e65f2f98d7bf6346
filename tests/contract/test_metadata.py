"""Causal metadata: what is taken, what is refused, what is waited for, and that answers cover requests."""

import json
import threading
import time
import unittest

from harness import ABSENT, EMPTY_METADATA, Node, NodeCase, Client, build_request, encode_body, key_path

UNMET = "Causal dependencies not satisfied; try again later"


def hybrid_time(seconds_ahead):
    """The hybrid clock: milliseconds of wall clock, then 16 bits of counter."""
    return f"{int((time.time() + seconds_ahead) * 1000) << 16:016x}"


class Skewed(unittest.TestCase):
    """CLOCK_SKEW_MS moves the clock that stamps writes, and no other."""

    def time_of_a_write(self, skew):
        with Node({"CLOCK_SKEW_MS": skew}) as node, node.client() as client:
            return int(client.put("k", 1).metadata["time"], 16) >> 16

    def test_the_stamps_of_a_node_are_wrong_by_its_skew(self):
        for skew_ms in (0, 10000, -3600000):
            now_ms = int(time.time() * 1000)
            self.assertLess(abs(self.time_of_a_write(str(skew_ms)) - skew_ms - now_ms), 3000, skew_ms)


class Carrying(NodeCase):
    environment = {"PARK_MS": "100"}

    def test_absent_null_empty_string_and_empty_object_are_no_dependencies(self):
        for none in (ABSENT, None, "", {}):
            with self.subTest(metadata=none):
                key = self.key()
                self.expect_metadata_form(self.expect(self.client.put(key, 1, none), 201).metadata)
                self.expect_metadata_form(self.expect(self.client.get(key, none), 200).metadata)
                self.expect_metadata_form(self.expect(self.client.delete(key, none), 200).metadata)
                self.expect_metadata_form(self.expect(self.client.get(key, none), 404).metadata)

    def test_the_canonical_empty_metadata_is_taken(self):
        self.expect(self.client.put(self.key(), 1, EMPTY_METADATA), 201)

    def test_a_write_adds_a_dot_of_this_node(self):
        before = self.client.put(self.key(), 1).metadata
        after = self.client.put(self.key(), 2, before).metadata
        self.assertEqual(len(after["clock"]), 1)
        actor, number = next(iter(after["clock"].items()))
        self.assertTrue(actor.startswith(self.node.address + "#"), actor)
        self.assertGreater(number, before["clock"][actor])

    def test_each_answer_covers_its_request(self):
        key, metadata = self.key(), EMPTY_METADATA
        steps = [("put", 1, 201), ("get", None, 200), ("put", 2, 200), ("delete", None, 200), ("get", None, 404),
                 ("delete", None, 404), ("put", 3, 201), ("get", None, 200)]
        for operation, value, status in steps:
            with self.subTest(operation=operation, status=status):
                if operation == "put":
                    answer = self.client.put(key, value, metadata)
                else:
                    answer = getattr(self.client, operation)(key, metadata)
                self.expect(answer, status)
                self.expect_metadata_form(answer.metadata)
                self.expect_covers(answer.metadata, metadata)
                metadata = answer.metadata

    def test_answers_cover_a_time_ahead_of_the_clock_of_the_node(self):
        key = self.key()
        ahead = dict(self.client.put(key, 1).metadata, time=hybrid_time(30))
        for answer in (self.client.get(key, ahead), self.client.get(self.key(), ahead), self.client.put(key, 2, ahead),
                       self.client.delete(key, ahead)):
            self.expect_covers(answer.metadata, ahead)

    def test_a_write_is_stamped_past_the_time_it_depends_on(self):
        ahead = dict(self.client.put(self.key(), 1).metadata, time=hybrid_time(30))
        answer = self.client.put(self.key(), 1, ahead)
        self.assertGreater(self.expect(answer, 201).metadata["time"], ahead["time"])

    def test_a_read_shows_the_dot_of_what_it_read(self):
        key = self.key()
        written = self.client.put(key, 1).metadata
        self.expect_covers(self.client.get(key).metadata, {**written, "time": "0" * 16})

    def test_a_404_after_a_delete_carries_the_dot_of_the_tombstone(self):
        key = self.key()
        self.client.put(key, 1)
        deleted = self.client.delete(key).metadata
        for operation in (self.client.get, self.client.delete):
            found = self.expect(operation(key), 404).metadata
            self.expect_covers(found, {**deleted, "time": "0" * 16})

    def test_metadata_from_one_key_is_honoured_at_another(self):
        metadata = self.client.put(self.key(), 1).metadata
        self.expect(self.client.get(self.key(), metadata), 404)
        self.expect(self.client.put(self.key(), 1, metadata), 201)

    def test_old_metadata_is_taken_for_ever(self):
        key = self.key()
        oldest = self.client.put(key, 0).metadata
        for value in range(50):
            self.client.put(key, value)
        self.assertEqual(self.expect(self.client.get(key, oldest), 200).json["value"], 49)

    def test_metadata_stays_flat_over_many_operations(self):
        metadata = {}
        for number in range(300):
            metadata = self.client.put(f"flat{number % 7}", number, metadata).metadata
        self.assertLess(len(json.dumps(metadata)), 300)

    def test_names_inside_the_metadata_are_compared_after_unescaping(self):
        metadata = self.client.put(self.key(), 1).metadata
        text = json.dumps(metadata).replace('"clock"', r'"cl\u006fck"').replace('"maps"', r'"\u006daps"')
        text = text.replace("#", r"\u0023").replace("127.", r"\u0031\u00327.")
        body = b'{"value":1,"causal-metadata":' + text.encode() + b"}"
        answer = self.expect(self.client.request("PUT", key_path(self.key()), body), 201)
        self.expect_covers(answer.metadata, metadata)

    def test_white_space_inside_the_metadata_is_fine(self):
        metadata = self.client.put(self.key(), 1).metadata
        body = b'{"value":1,"causal-metadata":' + json.dumps(metadata, indent="\t").encode() + b"}"
        self.expect(self.client.request("PUT", key_path(self.key()), body), 201)


class Malformed(NodeCase):
    def expect_refused(self, metadata, start="Malformed causal-metadata"):
        """metadata: a JSON value, or bytes as they are. Asks with each verb."""
        text = metadata if isinstance(metadata, bytes) else json.dumps(metadata).encode()
        key = self.key()
        for method in ("PUT", "GET", "DELETE"):
            with self.subTest(method=method, metadata=text[:200]):
                value = b'"value":1,' if method == "PUT" else b""
                body = b"{" + value + b'"causal-metadata":' + text + b"}"
                self.expect_error_like(self.client.request(method, key_path(key), body), 400, start)
        self.expect(self.client.get(key), 404)

    def setUp(self):
        super().setUp()
        self.good = self.client.put(self.key("good"), 1).metadata
        self.actor = next(iter(self.good["clock"]))

    def test_the_metadata_is_no_object(self):
        for metadata in (1, 0, -1, 1.5, True, False, [], [{}], "x", " ", "{}", json.dumps(self.good)):
            self.expect_refused(metadata)

    def test_maps_is_no_list_of_map_ids(self):
        for maps in (None, "2.9f3c01d2", {}, 1, [1], [None], [[]], [""], ["x"], ["1"], ["1."], [".9f3c01d2"],
                     ["1.9f3c01d"], ["1.9f3c01d22"], ["1.9f3c01dg"], ["-1.9f3c01d2"], ["1.5.9f3c01d2"], [" 1.9f3c01d2"],
                     ["1.9f3c01d2", 5], ["99999999999999999999999.9f3c01d2"], ["1.9f3c01d2\0"]):
            self.expect_refused({**self.good, "maps": maps})

    def test_time_is_no_string_of_16_hexadecimal_digits(self):
        for value in (None, 0, 1.5, [], {}, True, "", "0", "00000000000000", "00000000000000000", "000000000000000g",
                      "0x00000000000000", "-000000000000001", "+000000000000001", " 00000000000000 ", "\0" * 16):
            self.expect_refused({**self.good, "time": value})

    def test_clock_is_no_object_of_actors_and_numbers(self):
        for clock in (None, 1, "", "x", [], [self.actor], True):
            self.expect_refused({**self.good, "clock": clock})

    def test_an_actor_is_none(self):
        identity = "5f3a9c01d2e4b7a1"
        for actor in ("", "#", "x", self.node.address, f"#{identity}", f"{self.node.address}#", identity,
                      f"{self.node.address}#{identity[:-1]}", f"{self.node.address}#{identity}0",
                      f"{self.node.address}#{identity[:-1]}g", f"127.0.0.1#{identity}", f"127.0.0.1:99999#{identity}",
                      f"{self.node.address}##{identity}", f"{self.node.address}#{identity}\0"):
            self.expect_refused({**self.good, "clock": {actor: 1}})

    def test_a_number_is_none(self):
        for number in (None, "1", -1, 1.5, [], {}, True, [1]):
            self.expect_refused({**self.good, "clock": {self.actor: number}})
        for text in (b"1e3", b"1.0", b"18446744073709551616", b"1e400", b"99999999999999999999999999"):
            metadata = b'{"maps":[],"time":"0000000000000000","clock":{"%s":%s}}' % (self.actor.encode(), text)
            self.expect_refused(metadata)

    def test_over_64_kib_is_refused(self):
        clock = {f"127.0.0.1:8090#{number:016x}": 1 for number in range(1, 2001)}
        self.expect_refused({**self.good, "clock": clock}, start="")
        self.expect_refused({**self.good, "clock": {"x" * 70_000: 1}}, start="")

    def test_a_time_more_than_60_s_ahead_is_refused(self):
        for value in (hybrid_time(90), hybrid_time(3600), "ffffffffffffffff", "7fffffffffffffff"):
            self.expect_refused({**self.good, "time": value}, start="")
        self.expect(self.client.get(self.key(), {**self.good, "time": hybrid_time(50)}), 404)

    def test_a_refused_time_does_not_move_the_clock_of_the_node(self):
        self.client.get(self.key(), {**self.good, "time": hybrid_time(3600)})
        self.assertLess(self.client.put(self.key(), 1).metadata["time"], hybrid_time(61))


class Unmet(NodeCase):
    """With the default PARK_MS of 300."""

    def expect_unmet(self, metadata, *missing, operations=("PUT", "GET", "DELETE")):
        """503 after the time that a request is parked, naming each text of `missing` in one of its strings."""
        key = self.key()
        for method in operations:
            with self.subTest(method=method):
                body = encode_body(value=1 if method == "PUT" else ABSENT, causal_metadata=metadata)
                start = time.monotonic()
                answer = self.expect(self.client.request(method, key_path(key), body), 503, UNMET)
                seconds = time.monotonic() - start
                self.assertTrue(0.25 <= seconds <= 1.5, f"parked {seconds:.3f} s")
                self.assertEqual(answer.metadata, metadata)
                self.assertTrue(answer.json["missing"])
                for text in missing:
                    self.assertTrue(any(text in entry for entry in answer.json["missing"]), answer)
        self.expect(self.client.get(key), 404)  # the PUT did not happen

    def test_an_unknown_actor_is_503_and_named(self):
        metadata = self.unknown_metadata(number=4711)
        actor = next(iter(metadata["clock"]))
        self.expect_unmet(metadata, actor, "4711")

    def test_an_unknown_actor_of_another_node_is_503_and_named(self):
        metadata = {**EMPTY_METADATA, "clock": {"10.99.98.97:8090#00000000000000ff": 3}}
        self.expect_unmet(metadata, "10.99.98.97:8090#00000000000000ff", operations=["GET"])

    def test_a_later_dot_of_this_very_node_is_503_and_named(self):
        metadata = self.client.put(self.key(), 1).metadata
        actor = next(iter(metadata["clock"]))
        metadata["clock"][actor] += 1_000_000
        self.expect_unmet(metadata, actor, str(metadata["clock"][actor]))

    def test_the_greatest_number_that_all_json_readers_keep_is_503(self):
        metadata = self.client.put(self.key(), 1).metadata
        actor = next(iter(metadata["clock"]))
        metadata["clock"][actor] = 2**53 - 1
        self.expect_unmet(metadata, actor, operations=["GET"])

    def test_an_unknown_map_is_503_and_named(self):
        metadata = self.client.put(self.key(), 1).metadata
        metadata["maps"] = ["9.deadbeef"]
        self.expect_unmet(metadata, "9.deadbeef")

    def test_each_missing_dependency_is_named(self):
        metadata = {**EMPTY_METADATA, "clock": {f"127.0.0.1:8090#{number:016x}": number for number in (17, 18, 19)}}
        self.expect_unmet(metadata, *metadata["clock"], operations=["GET"])

    def test_one_missing_among_met_ones_is_503(self):
        metadata = self.client.put(self.key(), 1).metadata
        metadata["clock"].update(self.unknown_metadata()["clock"])
        self.expect_unmet(metadata, operations=["GET"])

    def test_answers_on_one_connection_keep_their_order_behind_a_parked_request(self):
        key = self.key()
        parked = encode_body(causal_metadata=self.unknown_metadata())
        with self.node.raw() as raw:
            raw.send(build_request("GET", key_path(key), parked) + build_request("PUT", key_path(key), b'{"value":1}')
                     + build_request("GET", key_path(key)) + build_request("GET", "/health"))
            self.assertEqual([raw.read_answer().status for _ in range(4)], [503, 201, 200, 200])

    def test_other_connections_are_served_while_requests_are_parked(self):
        parked = build_request("GET", key_path(self.key()), encode_body(causal_metadata=self.unknown_metadata()))
        with self.node.raw() as raw:
            raw.send(parked)
            start = time.monotonic()
            self.expect(self.client.put(self.key(), 1), 201)
            self.assertLess(time.monotonic() - start, 0.25)
            self.expect(raw.read_answer(), 503, UNMET)

    def test_a_dependency_that_comes_true_while_parked_is_served_at_once(self):
        key = self.key()
        ahead = self.client.put(key, "old").metadata
        actor = next(iter(ahead["clock"]))
        ahead["clock"][actor] += 1
        with self.node.raw() as raw:
            raw.send(build_request("GET", key_path(key), encode_body(causal_metadata=ahead)))
            time.sleep(0.05)
            start = time.monotonic()
            self.client.put(key, "new")
            answer = self.expect(raw.read_answer(), 200)
            self.assertLess(time.monotonic() - start, 0.2)
        self.assertEqual(answer.json["value"], "new")
        self.expect_covers(answer.metadata, ahead)

    def test_200_requests_parked_at_once_all_end_in_503(self):
        body = encode_body(causal_metadata=self.unknown_metadata())
        start = time.monotonic()
        raws = [self.node.raw() for _ in range(200)]
        for raw in raws:
            raw.send(build_request("GET", key_path("parked"), body))
        for raw in raws:
            self.expect(raw.read_answer(), 503)
            raw.close()
        self.assertLess(time.monotonic() - start, 3)

    def test_the_bytes_of_parked_requests_are_bounded(self):
        before = self.node.rss_kib()
        body = encode_body(value="v" * (4 << 20), causal_metadata=self.unknown_metadata())
        raws = [self.node.raw() for _ in range(60)]
        for raw in raws:
            raw.send(build_request("PUT", key_path("parked"), body))
        self.assertLess(self.node.rss_kib() - before, 128 << 10)  # of 240 MiB that were sent
        for raw in raws:
            self.expect(raw.read_answer(), 503)
            raw.close()

    def test_a_client_that_leaves_while_parked_harms_nobody(self):
        body = encode_body(causal_metadata=self.unknown_metadata())
        before = self.node.fd_count()
        for leave in ("close", "reset"):
            for _ in range(20):
                raw = self.node.raw()
                raw.send(build_request("GET", key_path("left"), body))
                getattr(raw, leave)()
        time.sleep(0.5)
        self.node.wait_for_fd_count(before)


class ParkTime(NodeCase):
    environment = {"PARK_MS": "900"}

    def test_park_ms_sets_how_long_a_request_is_parked(self):
        start = time.monotonic()
        self.expect(self.client.get(self.key(), self.unknown_metadata()), 503, UNMET)
        self.assertTrue(0.85 <= time.monotonic() - start <= 2)


class NoParking(NodeCase):
    environment = {"PARK_MS": "0"}

    def test_park_ms_0_answers_503_at_once(self):
        start = time.monotonic()
        self.expect(self.client.get(self.key(), self.unknown_metadata()), 503, UNMET)
        self.assertLess(time.monotonic() - start, 0.2)


class Sessions(NodeCase):
    def test_sessions_side_by_side_never_step_back(self):
        failures = []

        def session(name):
            metadata, key = {}, f"session-{name % 3}"
            try:
                with Client(self.node.reach) as client:
                    for number in range(60):
                        for answer in (client.put(key, [name, number], metadata), client.get(key, metadata)):
                            assert answer.status in (200, 201), answer
                            self.expect_covers(answer.metadata, {"time": "", "clock": {}, **metadata})
                            metadata = answer.metadata
            except Exception as failure:  # raised again below, in the thread of the test
                failures.append(failure)

        threads = [threading.Thread(target=session, args=(name,)) for name in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]


if __name__ == "__main__":
    unittest.main()
