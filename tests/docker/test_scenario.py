"""The scenario that people script: six named containers in two shards on 10.10.0.0/16, a seventh joins later, the data
moves to three shards, nodes die, are stopped and come again. The tests are its steps, in the order of their names."""

import time
import unittest

from cluster import until
from containers import DockerCase
from harness import Client

OUT_S, BACK_S = 2, 3       # a crashed node is out of every view; a restarted one is back with its data
SETTLED_S = 5              # everything has settled so long after a start, crash or request
HEALED_S = 7               # and so long after a cut has healed
CHAIN_503_S = 1.2          # PUTs chained round robin succeed within so long of 503s
KEYS = 600
SPREAD = 0.25              # of a shard's keys around K/N


class Scenario(DockerCase):
    slow = True
    scripted = True
    count = 6
    extra = 1
    environment = {"SHARD_COUNT": "2"}
    wished_subnet = "10.10"
    metadata = None  # carried through all steps
    pairs = {}       # that must be there

    @classmethod
    def start_cluster(cls):
        """One by one, as by hand."""
        for box in cls.cluster:
            box.spawn()

    # --- what holds after each step ---

    def shard_ids(self, box):
        return box.ask("GET", "/shard/ids").json["shard-ids"]

    def members(self, box, shard):
        return box.ask("GET", f"/shard/members/{shard}").json["shard-members"]

    def shard_of(self, box):
        return box.ask("GET", "/shard/node-shard-id").json["node-shard-id"]

    def all_say_the_same(self, shard_count):
        boxes = self.cluster.working()
        ids = [f"s{i}" for i in range(shard_count)]
        if any(sorted(self.shard_ids(box)) != ids for box in boxes):
            return False
        members = {shard: self.members(boxes[0], shard) for shard in ids}
        return all(set(self.members(box, shard)) == set(members[shard]) for box in boxes for shard in ids) \
            and all(box.address in members[self.shard_of(box)] for box in boxes) \
            and sorted(sum(members.values(), [])) == sorted(box.address for box in boxes)

    def key_counts(self, box, shard_count):
        return [box.ask("GET", f"/shard/key-count/s{i}").json["shard-key-count"] for i in range(shard_count)]

    def expect_all_pairs(self):
        """Each pair at some node, with the metadata of the last answer; and the whole list at each node."""
        boxes = self.cluster.working()
        for i, (key, value) in enumerate(self.pairs.items()):
            if i % 7 == 0:
                answer = self.get(boxes[i // 7 % len(boxes)], key)
                self.assertEqual(answer.json.get("value"), value, answer)
        for box in boxes:
            self.assertEqual(box.everything(), self.pairs)

    def get(self, box, key, s_max=2):
        """A GET with the metadata so far, after some 503s maybe."""
        limit = time.monotonic() + s_max
        while (answer := box.get(key, self.metadata)).status == 503 and time.monotonic() < limit:
            time.sleep(0.05)
        self.assertEqual(answer.status, 200, answer)
        return answer

    def put_chain(self, prefix, count):
        """Round robin over all that run, each with the metadata of the one before. Returns the longest wait for 503s."""
        cls, longest_s = type(self), 0
        clients = [Client(box.reach, 5) for box in self.cluster.working()]
        for i in range(count):
            key, start = f"{prefix}{i}", time.monotonic()
            while (answer := clients[i % len(clients)].put(key, i, self.metadata)).status == 503:
                self.assertLess(time.monotonic() - start, 2 * CHAIN_503_S, answer)
                time.sleep(0.02)
                longest_s = max(longest_s, time.monotonic() - start)
            self.assertIn(answer.status, (200, 201), answer)
            cls.metadata, self.pairs[key] = answer.metadata, i
        for client in clients:
            client.close()
        return longest_s

    # --- the steps ---

    def test_01_six_nodes_find_each_other(self):
        first = self.cluster[0].started_at
        for box in self.cluster:  # nobody is thrown out of a view for not being up yet
            self.assertIn(box.address, self.cluster[0].view())
        self.take("all six in all views, after the last docker run", self.cluster.is_settled, SETTLED_S)
        self.note("from the first docker run to that", f"{time.monotonic() - first:.2f} s")

    def test_02_all_nodes_list_the_same_two_shards(self):
        until(lambda: self.all_say_the_same(2), 2, "all agree")
        for shard in ("s0", "s1"):
            self.assertEqual(len(self.members(self.cluster[3], shard)), 3)
        self.assertEqual(self.cluster[0].ask("GET", "/shard/members/s2").status, 404)

    def test_03_chained_puts_round_robin_succeed_at_once_or_soon(self):
        longest_s = self.put_chain("key", KEYS)
        self.measured("longest 503s of a chain of PUTs", longest_s, CHAIN_503_S)
        self.expect_all_pairs()

    def test_04_keys_are_spread_over_the_shards(self):
        for box in self.cluster:
            counts = self.key_counts(box, 2)
            self.assertEqual(sum(counts), KEYS)
            for count in counts:
                self.assertLessEqual(abs(count - KEYS / 2), SPREAD * KEYS / 2, counts)

    def test_05_any_node_answers_for_any_key_and_says_of_which_shard_it_is(self):
        for i in range(0, KEYS, 50):
            shards = {self.get(box, f"key{i}").json["shard-id"] for box in self.cluster}
            self.assertEqual(len(shards), 1)

    def test_06_the_seventh_joins_and_stands_by(self):
        grace = self.cluster.extras[0]
        grace.environment.pop("SHARD_COUNT")
        grace.environment["VIEW"] += f",{grace.address}"
        grace.spawn()
        until(lambda: grace.ask("GET", "/health").status == 200, 10, "an answer")
        answer = self.cluster[0].ask("PUT", "/view", {"socket-address": grace.address})
        self.assertIn((answer.status, answer.json.get("result")), ((201, "added"), (200, "already present")))
        self.cluster.members.append(self.cluster.extras.pop())
        self.take("the seventh in all views, after PUT /view", self.cluster.is_settled, SETTLED_S)
        self.assertIsNone(self.shard_of(grace))
        self.assertEqual(self.get(grace, "key0").json["value"], 0)

    def test_07_it_is_added_to_a_shard_and_has_its_data(self):
        grace = self.cluster[6]
        path, body = "/shard/add-member/s1", {"socket-address": grace.address}
        answer = self.cluster[0].ask("PUT", path, body, timeout_s=10)
        self.assertEqual((answer.status, answer.json["result"]), (200, "node added to shard"))
        until(lambda: self.all_say_the_same(2), 2 * SETTLED_S, "all list the same shards")
        self.assertEqual(self.shard_of(grace), "s1")
        self.expect_all_pairs()

    def test_08_more_shards_than_nodes_allow_are_refused(self):
        answer = self.cluster[1].ask("PUT", "/shard/reshard", {"shard-count": 4}, timeout_s=10)
        self.assertEqual(answer.status, 400)
        self.assertEqual(answer.json["error"],
                         "Not enough nodes to provide fault tolerance with requested shard count")

    def test_09_reshard_to_three(self):
        start = time.monotonic()
        answer = self.cluster[6].ask("PUT", "/shard/reshard", {"shard-count": 3}, timeout_s=20)
        self.assertEqual((answer.status, answer.json.get("result")), (200, "resharded"), answer)
        self.note("reshard of 600 keys from two shards to three", f"{time.monotonic() - start:.2f} s")
        self.take("all list the three shards", lambda: self.all_say_the_same(3), SETTLED_S)
        counts = self.key_counts(self.cluster[4], 3)
        self.assertEqual(sum(counts), KEYS)
        for count in counts:
            self.assertLessEqual(abs(count - KEYS / 3), SPREAD * KEYS / 3, counts)
        self.expect_all_pairs()  # with metadata from before it
        self.put_chain("after", 30)

    def test_10_docker_kill_and_a_new_run_at_the_same_address(self):
        bob = self.cluster[1]
        killed_at = bob.kill()
        until(lambda: self.views_lack(bob), 2 * OUT_S, "out of every view")
        self.measured("killed: out of every view", time.monotonic() - killed_at, OUT_S)
        self.put_chain("without-bob", 30)
        bob.spawn()
        self.take("run again: back in every view", self.cluster.is_settled, BACK_S)
        self.assertEqual(self.get(bob, "key1").json["value"], 1)
        self.expect_all_pairs()
        until(lambda: self.all_say_the_same(3), 2, "all agree")

    def test_11_docker_stop_and_a_new_run(self):
        dave = self.cluster[3]
        took_s = dave.stop()
        start = time.monotonic()
        until(lambda: self.views_lack(dave), 2 * OUT_S, "out of every view")
        self.note("docker stop", f"{took_s:.2f} s; out of every view {time.monotonic() - start:.2f} s later")
        dave.spawn()
        self.take("run again: back in every view", self.cluster.is_settled, BACK_S)
        self.put_chain("dave-again", 12)
        self.expect_all_pairs()

    def test_12_docker_network_disconnect_and_connect_without_an_address(self):
        """The others do not know yet when they are asked; it comes back with its own address, the lowest free one."""
        erin = self.cluster[4]
        erin.disconnect()
        self.measured("disconnect: longest 503s of a chain of PUTs", self.put_chain("without-erin", 60), CHAIN_503_S)
        until(lambda: self.views_lack(erin), 2 * OUT_S, "out of every view")
        erin.connect()
        self.assertEqual(erin.present_ip(), erin.ip)
        self.take("connected: back in every view", self.cluster.is_settled, HEALED_S)
        self.put_chain("erin-again", 12)
        self.expect_all_pairs()

    def test_13_docker_pause_and_unpause(self):
        carol = self.cluster[2]
        carol.freeze()
        self.measured("pause: longest 503s of a chain of PUTs", self.put_chain("without-carol", 60), CHAIN_503_S)
        until(lambda: self.views_lack(carol), 2 * OUT_S, "out of every view")
        carol.thaw()
        self.take("unpaused: back in every view", self.cluster.is_settled, HEALED_S)
        self.put_chain("carol-again", 12)
        self.expect_all_pairs()

    def test_14_a_node_is_struck_off_and_the_rest_is_spread_anew(self):
        frank = self.cluster[5]
        frank.kill()
        until(lambda: self.views_lack(frank), 2 * OUT_S, "out of every view")
        body = {"socket-address": frank.address}
        self.assertEqual(self.cluster[0].ask("DELETE", "/view", body, timeout_s=10).status, 200)
        self.assertEqual(self.cluster[0].ask("DELETE", "/view", body, timeout_s=10).status, 404)
        self.cluster.members.remove(frank)
        answer = self.cluster[2].ask("PUT", "/shard/reshard", {"shard-count": 3}, timeout_s=20)
        self.assertEqual((answer.status, answer.json.get("result")), (200, "resharded"), answer)
        until(lambda: self.all_say_the_same(3), 2 * SETTLED_S, "all list the same shards")
        self.put_chain("six-again", 12)
        self.expect_all_pairs()

    def test_15_back_to_one_shard(self):
        answer = self.cluster[3].ask("PUT", "/shard/reshard", {"shard-count": 1}, timeout_s=20)
        self.assertEqual((answer.status, answer.json.get("result")), (200, "resharded"), answer)
        until(lambda: self.all_say_the_same(1), 2 * SETTLED_S, "all list the same shards")
        self.assertEqual(self.key_counts(self.cluster[0], 1), [len(self.pairs)])
        self.expect_all_pairs()

    def test_16_what_is_deleted_is_gone_everywhere(self):
        cls = type(self)
        with Client(self.cluster[2].reach, 5) as client:
            answer = client.delete("key7", self.metadata)
        self.assertEqual(answer.status, 200, answer)
        cls.metadata = answer.metadata
        del self.pairs["key7"]
        for box in self.cluster:
            until(lambda: box.get("key7", self.metadata).status != 503, 2, "all agree")
            self.assertEqual(box.get("key7", self.metadata).status, 404)

    def test_17_all_stop_in_time(self):
        """Each by docker stop, with code 0 within its two seconds."""
        longest_s = max(box.stop() for box in self.cluster.working())
        self.note("longest docker stop", f"{longest_s:.2f} s")


if __name__ == "__main__":
    unittest.main()
