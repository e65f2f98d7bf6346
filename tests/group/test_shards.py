"""Six nodes in two shards: any node answers for any key, through the death of owners."""

import threading
import time
import unittest

from cluster import GroupCase, until
from harness import build_request, encode_body, key_path, key_slot, slot_order

CANNOT_FORWARD = "Cannot forward request"
UNKNOWN = "Outcome unknown; the write may have happened"


class Shards(GroupCase):
    count = 6
    environment = {"SHARD_COUNT": "2"}

    def members_of(self, shard):
        return [member for i, member in enumerate(self.cluster) if i % 2 == shard]

    def key_of(self, shard):
        while key_slot(key := self.key()) % 2 != shard:
            pass
        return key

    def expect(self, answer, status, error=None):
        self.assertEqual((answer.status, answer.json.get("error")), (status, error), answer)
        return answer


class SixNodesTwoShards(Shards):
    def test_every_route_for_a_key_works_at_every_node(self):
        for i, member in enumerate(self.cluster):
            after = self.cluster[(i + 1) % 6]
            for shard in range(2):
                with self.subTest(node=i, shard=shard), member.client() as client, after.client() as other:
                    key, name = self.key_of(shard), f"s{shard}"
                    self.expect(client.get(key), 404, "Key does not exist")
                    self.expect(client.delete(key), 404, "Key does not exist")
                    answer = self.expect(client.put(key, [i]), 201)
                    self.assertEqual((answer.json["result"], answer.json["shard-id"]), ("created", name))
                    answer = self.expect(other.put(key, {"n": i}, answer.metadata), 200)
                    self.assertEqual((answer.json["result"], answer.json["shard-id"]), ("replaced", name))
                    answer = self.expect(client.get(key, answer.metadata), 200)
                    self.assertEqual((answer.json["value"], answer.json["shard-id"]), ({"n": i}, name))
                    self.assertEqual(client.request("HEAD", key_path(key)).status, 200)
                    answer = self.expect(other.delete(key, answer.metadata), 200)
                    self.assertEqual((answer.json["result"], answer.json["shard-id"]), ("deleted", name))
                    self.expect(client.get(key, answer.metadata), 404, "Key does not exist")
                    self.expect(client.get("k" * 51), 404, "Key does not exist")
                    self.assertEqual(client.put(key, 1, {"no": "metadata"}).status, 400)

    def test_shards_and_members_are_the_same_everywhere(self):
        for i, member in enumerate(self.cluster):
            self.assertEqual(member.ask("GET", "/shard/ids").json, {"shard-ids": ["s0", "s1"]})
            self.assertEqual(member.ask("GET", "/shard/node-shard-id").json, {"node-shard-id": f"s{i % 2}"})
            for shard in range(2):
                self.assertEqual(member.ask("GET", f"/shard/members/s{shard}").json["shard-members"],
                                 self.cluster.addresses(self.members_of(shard)))

    def test_keys_are_counted_and_listed_from_any_node(self):
        before = self.counts(self.cluster[0])
        keys = [self.key("counted") for _ in range(200)]
        metadata = None
        for number, key in enumerate(keys):
            metadata = self.put(self.cluster[number % 6], key, number, metadata).metadata
        more = [sum(key_slot(key) % 2 == shard for key in keys) for shard in range(2)]
        expected = [count + new for count, new in zip(before, more)]
        for member in self.cluster:
            until(lambda member=member: self.counts(member) == expected, 2, lambda: expected)
            listed = member.ask("GET", "/kvs?prefix=counted", timeout_s=10).json
            self.assertEqual((listed["next"], listed["complete"], listed["unreachable"]), (None, True, []))
            self.assertEqual(list(listed["kvs"]), slot_order(keys))
            self.assertEqual(listed["kvs"], {key: number for number, key in enumerate(keys)})

    @staticmethod
    def counts(member):
        return [member.ask("GET", f"/shard/key-count/s{shard}").json["shard-key-count"] for shard in range(2)]

    def test_a_long_listing_comes_whole_through_any_node(self):
        value = "v" * 5000
        keys = [self.key("long") for _ in range(400)]
        with self.cluster[0].client() as client:
            for key in keys:
                self.assertEqual(client.put(key, value).status, 201)
        for member in (self.cluster[0], self.cluster[3]):
            def is_whole(member=member):
                return list(member.ask("GET", "/kvs?prefix=long", timeout_s=10).json["kvs"]) == slot_order(keys)
            until(is_whole, 2, "the whole listing")

    def test_a_large_value_goes_through(self):
        value = "x" * (6 * 1024 * 1024)
        for shard in range(2):
            with self.cluster[0].client() as client, self.cluster[1].client() as other:
                key = self.key_of(shard)
                metadata = self.expect(client.put(key, value), 201).metadata
                self.assertEqual(self.expect(other.get(key, metadata), 200).json["value"], value)
                self.expect(other.delete(key, metadata), 200)

    def test_puts_chained_round_robin_are_read_at_every_node(self):
        metadata, waits = None, []
        for number in range(300):
            start = time.monotonic()
            metadata = self.put(self.cluster[number % 6], f"chain-{number % 50}", number, metadata, 2.4).metadata
            waits.append(time.monotonic() - start)
        self.figures["300 chained PUTs"] = f"median {sorted(waits)[150] * 1000:.1f} ms, longest {max(waits):.3f} s"
        for member in self.cluster:
            with member.client() as client:
                for number in range(250, 300):
                    answer = client.get(f"chain-{number % 50}", metadata)
                    self.assertEqual((answer.status, answer.json.get("value")), (200, number), answer)

    def test_pipelined_requests_are_answered_in_order_and_take_effect_in_it(self):
        keys = [self.key_of(n % 3 == 0) for n in range(6)]  # s1, s0, s0, s1, s0, s0
        requests, expected = b"", []
        for number in range(120):
            key = keys[number * 7 % 6]
            requests += build_request("PUT", key_path(key), encode_body(value=number))
            expected.append(None)
            if number % 5 == 0:
                requests += build_request("GET", key_path(key))
                expected.append(number)
        for member in self.cluster:
            with member.raw() as raw:
                raw.send(requests)
                for number in expected:
                    answer = raw.read_answer()
                    self.assertIn(answer.status, (200, 201), answer)
                    if number is not None:
                        self.assertEqual(answer.json["value"], number)

    def test_forwarded_operations_are_counted(self):
        member, key = self.cluster[0], self.key_of(1)
        self.put(member, key, 1)
        metrics = member.ask("GET", "/metrics").body.decode()
        self.assertRegex(metrics, r'kvs_forwarded_total\{op="put"\} [1-9]')
        self.assertRegex(metrics, r"kvs_forwarded_unknown_total 0")


class OwnersDie(Shards):
    def test_reads_go_on_and_no_write_is_lost_while_owners_die(self):
        """Clients at the nodes of s0 work on keys of s1, whose nodes are killed one after the other. A write that
        was answered is read by whoever carries its metadata; unknown ones may be there or not."""
        done, faults, statuses = threading.Event(), [], {}

        def work(i):
            with self.cluster[2 * i].client() as client:
                keys, metadata, number = [self.key_of(1) for _ in range(5)], None, 0
                may_be = {key: {None} for key in keys}
                while not done.is_set():
                    number += 1
                    key = keys[number % 5]
                    answer = client.put(key, number, metadata)
                    outcome = answer.json.get("error", answer.status)
                    statuses[outcome] = statuses.get(outcome, 0) + 1
                    if answer.status in (200, 201):
                        may_be[key], metadata = {number}, answer.metadata
                    elif outcome == UNKNOWN:
                        may_be[key].add(number)
                    answer = client.get(key, metadata)
                    if answer.status == 503:
                        continue
                    if answer.json.get("value") not in may_be[key]:
                        faults.append((i, key, may_be[key], answer))

        workers = [threading.Thread(target=work, args=(i,)) for i in range(3)]
        for worker in workers:
            worker.start()
        try:
            for member in self.members_of(1):
                time.sleep(0.3)
                member.kill()
                time.sleep(0.3)
                member.spawn()
                until(self.cluster.is_settled, 8, self.cluster.describe)
        finally:
            done.set()
            for worker in workers:
                worker.join()
        self.assertEqual(faults, [])
        self.assertLessEqual(set(statuses), {200, 201, UNKNOWN, CANNOT_FORWARD}, statuses)
        self.figures["writes"] = str(statuses)

    def test_a_shard_that_is_gone_is_said_to_be(self):
        here, gone = self.members_of(0)[0], self.members_of(1)
        key, own = self.key_of(1), self.key_of(0)
        metadata = self.put(here, own, 1).metadata
        for member in gone:
            member.kill()
        until(lambda: len(here.view()) == 3, 4, "the others are out of the view")
        with here.client() as client:
            for answer in (client.put(key, 1, metadata), client.get(key, metadata), client.delete(key, metadata)):
                self.expect(answer, 503, CANNOT_FORWARD)
                self.assertEqual(answer.metadata, metadata)
            self.expect(client.request("GET", "/shard/key-count/s1"), 503, CANNOT_FORWARD)
            self.assertIn(own, client.request("GET", "/kvs").json["kvs"])
            listing = client.request("GET", "/kvs").json
            self.assertEqual((listing["complete"], listing["unreachable"]), (False, ["s1"]))
        for member in gone:
            member.spawn()
        self.cluster.settle()
        self.put(here, key, 2, metadata)


if __name__ == "__main__":
    unittest.main()
