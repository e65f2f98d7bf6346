"""Six nodes: metadata that goes round, effects and causes, two writers of one key, view changes by hand."""

import threading
import time
import unittest

from cluster import LONG, Client, GroupCase, until
from harness import encode_body

CHAIN_S = 1.2  # of 503s at the most
RACES = 1000 if LONG else 100


class SixNodes(GroupCase):
    count = 6

    def put_patiently(self, client, key, value, metadata, waits):
        """A PUT that may be told to try again for a while; how long goes into `waits`."""
        start = time.monotonic()
        while (answer := client.put(key, value, metadata)).status == 503:
            self.assertLess(time.monotonic() - start, 2 * CHAIN_S, answer)
            time.sleep(0.02)
        self.assertIn(answer.status, (200, 201), answer)
        waits.append(time.monotonic() - start)
        return answer.metadata

    def test_puts_chained_round_robin_succeed_at_once_or_soon(self):
        clients, metadata, waits = [member.client() for member in self.cluster], None, []
        for number in range(600):
            metadata = self.put_patiently(clients[number % 6], f"chain-{number % 50}", number, metadata, waits)
        self.figures["600 chained PUTs"] = f"median {sorted(waits)[300] * 1000:.1f} ms, longest {max(waits):.3f} s"
        for client in clients:
            for number in range(550, 600):
                answer = client.get(f"chain-{number % 50}", metadata)
                self.assertEqual((answer.status, answer.json.get("value")), (200, number), answer)

    def test_a_chain_never_shows_an_effect_before_its_cause(self):
        """Each PUT depends on the one before. Who finds a link at some node must find the one before it there:
        without metadata as well as with that of its answer at any other node."""
        count, done, faults, seen = 400, threading.Event(), [], [0] * 6

        def read(i):
            source = self.random.__class__(i)
            here, newest = self.cluster[i].client(), 0
            elsewhere = [member.client() for member in self.cluster]
            while not done.is_set():
                number = newest + source.randrange(1, 4)
                answer = here.get(f"link-{number}")
                if answer.status == 404:
                    continue
                newest, seen[i] = number, seen[i] + 1
                before = f"link-{number - 1}"
                plain = here.get(before)
                if plain.status != 200:
                    faults.append((i, number, plain))
                other = source.randrange(6)
                there = elsewhere[other].get(before, answer.metadata)
                if there.status not in (200, 503):
                    faults.append((i, other, number, there))

        readers = [threading.Thread(target=read, args=(i,)) for i in range(6)]
        for reader in readers:
            reader.start()
        clients, metadata, waits = [member.client() for member in self.cluster], None, []
        number = 0
        while number < count or (min(seen) <= 20 and number < 10 * count):  # on a busy machine, more
            metadata = self.put_patiently(clients[number % 6], f"link-{number}", number, metadata, waits)
            number += 1
        done.set()
        for reader in readers:
            reader.join()
        self.assertEqual(faults, [])
        self.assertGreater(min(seen), 20, seen)

    def test_two_sessions_that_write_one_key_at_two_nodes_end_with_the_same_value(self):
        results, barrier = [None, None], threading.Barrier(3)  # the two, and who compares
        pairs = [(i % 6, (i + 1 + i // 6 % 5) % 6) for i in range(RACES)]

        def write(side):
            clients = [member.client() for member in self.cluster]
            for race, pair in enumerate(pairs):
                barrier.wait(10)
                results[side] = clients[pair[side]].put(f"race-{race}", side)
                barrier.wait(10)
                barrier.wait(10)

        writers = [threading.Thread(target=write, args=(side,), daemon=True) for side in range(2)]
        for writer in writers:
            writer.start()
        clients, winners = [member.client() for member in self.cluster], [0, 0]
        for race, pair in enumerate(pairs):
            barrier.wait(10)
            barrier.wait(10)
            a, b = results
            self.assertTrue({a.status, b.status} <= {200, 201}, results)
            read = [clients[pair[0]].get(f"race-{race}", b.metadata), clients[pair[1]].get(f"race-{race}", a.metadata)]
            self.assertEqual([answer.status for answer in read], [200, 200], read)
            self.assertEqual(read[0].json["value"], read[1].json["value"], race)
            winners[read[0].json["value"]] += 1
            barrier.wait(10)
        self.figures[f"{RACES} races"] = f"won by one {winners[0]}, by the other {winners[1]}"
        until(self.cluster.are_equal, 4, self.describe)

    def test_all_nodes_list_the_same_shards_and_members(self):
        for member in self.cluster:
            self.assertEqual(member.ask("GET", "/shard/ids").json, {"shard-ids": ["s0"]})
            self.assertEqual(member.ask("GET", "/shard/node-shard-id").json, {"node-shard-id": "s0"})
            self.assertEqual(member.ask("GET", "/shard/members/s0").json["shard-members"], self.cluster.addresses())


class ViewByHand(GroupCase):
    count = 3

    def change(self, method, member, address):
        return member.ask(method, "/view", encode_body(socket_address=address))

    def expect(self, answer, status, **members):
        self.assertEqual((answer.status, answer.json), (status, members))

    def test_a_live_node_that_was_struck_off_stays_out_until_it_is_named_again(self):
        a, b, c = self.cluster
        self.put(a, "struck", 1)
        self.expect(self.change("DELETE", a, c.address), 200, result="deleted")
        self.assertEqual(a.view(), self.cluster.addresses([a, b]))
        self.expect(self.change("DELETE", a, c.address), 404, error="View has no such replica")
        end = time.monotonic() + 5
        while time.monotonic() < end:
            self.assertNotIn(c.address, a.view())
            time.sleep(0.05)
        metadata = self.put(a, "without", 1).metadata
        self.assertEqual(b.get("without", metadata).status, 200)
        self.expect(self.change("PUT", a, c.address), 201, result="added")
        self.assertIn(c.address, a.view())
        self.take("back in all views after PUT /view", self.cluster.is_settled, 5, self.describe)
        self.expect(self.change("PUT", a, c.address), 200, result="already present")
        self.take("level", lambda: c.get("without", metadata).status == 200, 2, self.describe)
        until(self.cluster.are_equal, 4, self.describe)

    def test_a_node_that_was_struck_off_is_back_when_it_restarts(self):
        a, b, c = self.cluster
        metadata = self.put(c, "mine", 1).metadata
        self.expect(self.change("DELETE", b, c.address), 200, result="deleted")
        c.kill()
        c.spawn()
        self.take("back after a restart", self.cluster.is_settled, 3, self.describe)
        self.take("level", lambda: c.get("mine", metadata).status == 200, 2, self.describe)

    def test_a_crashed_node_can_be_struck_off_for_good(self):
        a, b, c = self.cluster
        metadata = self.put(c, "dead", 1).metadata
        c.kill()
        until(lambda: a.hears(self.cluster.addresses([a, b])), 4, self.describe)
        self.expect(self.change("DELETE", a, c.address), 200, result="deleted")
        self.expect(self.change("DELETE", a, c.address), 404, error="View has no such replica")
        for member in (a, b):
            self.take(f"{member.name} lists the members that are left", lambda: member.ask(
                "GET", "/shard/members/s0").json["shard-members"] == self.cluster.addresses([a, b]), 1, self.describe)
            self.assertEqual(member.get("dead", metadata).json["value"], 1)
        for member in (a, b):
            self.assertEqual(member.put("dead", 2, metadata).status, 200)

    def test_the_last_live_member_cannot_be_struck_off(self):
        a, b, c = self.cluster
        b.kill()
        c.kill()
        until(lambda: a.hears([a.address]), 4, self.describe)
        answer = self.change("DELETE", a, a.address)
        self.assertEqual(answer.status, 400)
        self.assertEqual(a.view(), [a.address])
        self.assertEqual(a.put("alone", 1).status, 201)

    def test_an_address_where_nobody_is_disappears_after_10_s(self):
        a, b, _ = self.cluster
        host, port = a.address.rsplit(":", 1)
        nobody = f"{host.rsplit('.', 1)[0]}.200:{port}"
        self.expect(self.change("PUT", a, nobody), 201, result="added")
        start = time.monotonic()
        self.assertEqual(sorted(a.view()), sorted([*self.cluster.addresses(), nobody]))
        with Client(a.address) as client:
            self.assertEqual(client.put("calm", 1).status, 201)
        self.assertLess(time.monotonic() - start, 0.5)
        until(lambda: a.hears(self.cluster.addresses()), 12, self.describe)
        self.assertGreater(time.monotonic() - start, 9)
        self.assertTrue(b.hears(self.cluster.addresses()))


if __name__ == "__main__":
    unittest.main()
