"""DATA_DIR: what was answered is there again after a restart, and metadata from before it is honoured."""

import tempfile
import unittest

from harness import LOG_EXISTS, Client, Node, fresh_address


@unittest.skipUnless(LOG_EXISTS, "there is no log yet")
class DataDir(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.address = fresh_address()
        self.environment = {"DATA_DIR": directory.name}

    def node(self):
        node = Node(self.environment, address=self.address).start()
        self.addCleanup(node.kill)
        return node

    def expect_kept(self, stop):
        first = self.node()
        with Client(self.address) as client:
            self.assertEqual(client.put("kept", {"a": [1.0, None]}).status, 201)
            self.assertEqual(client.put("gone", 1).status, 201)
            metadata = client.delete("gone").metadata
        stop(first)
        with self.node(), Client(self.address) as client:
            answer = client.get("kept", metadata)
            self.assertEqual((answer.status, answer.json.get("value")), (200, {"a": [1.0, None]}), answer)
            self.assertIn(b'"value":{"a": [1.0, null]}', answer.body)
            self.assertEqual(client.get("gone", metadata).status, 404)
            self.assertEqual(client.put("kept", 2, metadata).status, 200)
            self.assertEqual(client.request("GET", "/shard/key-count/s0").json, {"shard-key-count": 1})

    def test_a_stopped_node_comes_back_with_its_keys(self):
        self.expect_kept(Node.stop)

    def test_a_killed_node_comes_back_with_its_keys(self):
        self.expect_kept(Node.kill)

    def test_a_node_restarted_many_times_keeps_the_last_values(self):
        metadata = {}
        for value in range(4):
            node = self.node()
            with Client(self.address) as client:
                answer = client.put("k", value, metadata)
                self.assertEqual(answer.status, 201 if value == 0 else 200, answer)
                metadata = answer.metadata
            node.kill()
        with self.node(), Client(self.address) as client:
            self.assertEqual(client.get("k", metadata).json["value"], 3)


if __name__ == "__main__":
    unittest.main()
