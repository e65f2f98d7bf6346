"""/view: the nodes that this node holds to be up."""

import time
import unittest

from harness import NodeCase, encode_body, fresh_address


class View(NodeCase):
    def setUp(self):
        super().setUp()
        self.other = fresh_address()
        self.addCleanup(lambda: self.client.request("DELETE", "/view", {"socket-address": self.other}))

    def put(self, address):
        return self.client.request("PUT", "/view", {"socket-address": address})

    def delete(self, address):
        return self.client.request("DELETE", "/view", {"socket-address": address})

    def expect_result(self, answer, status, result):
        self.expect(answer, status)
        self.assertEqual(answer.json, {"result": result})

    def test_get_lists_the_node_itself(self):
        answer = self.expect(self.client.request("GET", "/view"), 200)
        self.assertEqual(answer.json, {"view": [self.node.address]})

    def test_put_of_a_new_address_answers_201_and_is_listed_at_once(self):
        self.expect_result(self.put(self.other), 201, "added")
        self.assertEqual(set(self.client.view()), {self.node.address, self.other})

    def test_put_of_a_listed_address_answers_200(self):
        self.put(self.other)
        self.expect_result(self.put(self.other), 200, "already present")

    def test_put_of_the_node_itself_answers_200(self):
        self.expect_result(self.put(self.node.address), 200, "already present")

    def test_the_view_stays_sorted(self):
        host = self.node.address.rsplit(".", 1)[0]
        others = [f"{host}.{last}:7" for last in (9, 100, 10)]
        for other in others:
            self.put(other)
        view = self.client.view()
        for other in others:
            self.delete(other)
        self.assertEqual([address for address in view if address in others], [others[0], others[2], others[1]])

    def test_a_host_name_is_lower_cased(self):
        self.expect_result(self.put("Node-X.Example.INVALID:8090"), 201, "added")
        self.assertIn("node-x.example.invalid:8090", self.client.view())
        self.expect_result(self.put("node-x.example.invalid:8090"), 200, "already present")
        self.expect_result(self.delete("NODE-X.example.invalid:8090"), 200, "deleted")

    def test_delete_of_a_listed_address_answers_200_and_takes_it_out_at_once(self):
        self.put(self.other)
        self.expect_result(self.delete(self.other), 200, "deleted")
        self.assertEqual(self.client.view(), [self.node.address])

    def test_delete_of_an_address_not_in_the_view_answers_404(self):
        answer = self.expect(self.delete(self.other), 404, "View has no such replica")
        self.assertEqual(answer.json, {"error": "View has no such replica"})

    def test_delete_twice_answers_404_the_second_time(self):
        self.put(self.other)
        self.expect_result(self.delete(self.other), 200, "deleted")
        self.expect(self.delete(self.other), 404, "View has no such replica")

    def test_put_after_delete_adds_again(self):
        for _ in range(3):
            self.expect_result(self.put(self.other), 201, "added")
            self.expect_result(self.delete(self.other), 200, "deleted")

    def test_delete_of_the_node_that_is_asked_answers_400_and_says_why(self):
        self.expect(self.delete(self.node.address), 400, "Ask another replica to remove this one")
        self.assertEqual(self.client.view(), [self.node.address])
        self.expect(self.client.put(self.key(), 1), 201)

    def test_no_or_a_malformed_address_answers_400(self):
        bodies = [b"", b"{}", b"[]", b"null", b'"127.0.0.1:8090"', encode_body(address=self.other)]
        bodies += [encode_body(socket_address=address) for address in (
            None, 5, True, [], {}, [self.other], "", "node", "127.0.0.1", "127.0.0.1:", ":8090", "127.0.0.1:65536",
            "127.0.0.1:0", "127.0.0.1:-1", "127.0.0.1:8o90", "[::1]:8090", "::1:8090", "256.0.0.1:8090", "a b:8090",
            " 127.0.0.1:8090", "127.0.0.1:8090 ", "127.0.0.1:8090,127.0.0.2:8090", "x" * 5000 + ":8090",
            "127.0.0.1:8090\0", "\0", "é:8090", "http://127.0.0.1:8090")]
        for method in ("PUT", "DELETE"):
            for body in bodies:
                with self.subTest(method=method, body=body[:80]):
                    self.expect(self.client.request(method, "/view", body), 400)
        self.assertEqual(self.client.view(), [self.node.address])

    def test_an_address_without_a_peer_port_answers_400(self):
        for method, path in (("PUT", "/view"), ("DELETE", "/view"), ("PUT", "/shard/add-member/s0")):
            answer = self.client.request(method, path, {"socket-address": "127.0.0.9:55536"})
            self.expect_error_like(answer, 400, "Malformed socket-address: PEER_PORT_OFFSET")
        self.assertEqual(self.client.view(), [self.node.address])

    def test_a_url_for_an_address_is_named_as_such(self):
        answer = self.client.request("PUT", "/view", {"socket-address": "http://127.0.0.1:8090"})
        self.expect_error_like(answer, 400, "Malformed socket-address: expected HOST:PORT, not a URL")

    def test_malformed_json_answers_400_and_says_so(self):
        for method in ("PUT", "DELETE"):
            for body in (b"{", b'{"socket-address":', b'{"socket-address":"x:1"}}', b'{"socket-address":"\xff:1"}'):
                self.expect_error_like(self.client.request(method, "/view", body), 400, "Malformed JSON")

    def test_names_are_unescaped_and_of_equal_ones_the_last_counts(self):
        body = (rb'{"socket-address":5,"\u0073ocket-address":"' + self.other.replace(":", r"\u003a").encode()
                + b'","other":[]}')
        self.expect_result(self.client.request("PUT", "/view", body), 201, "added")
        self.assertIn(self.other, self.client.view())

    def test_keys_are_served_as_ever_while_an_absent_node_is_listed(self):
        self.put(self.other)
        start = time.monotonic()
        key = self.key()
        self.expect(self.client.put(key, 1), 201)
        self.expect(self.client.get(key), 200)
        self.expect(self.client.delete(key), 200)
        self.assertLess(time.monotonic() - start, 0.5)
        self.assertEqual(self.client.request("GET", "/shard/members/s0").json, {"shard-members": [self.node.address]})


class NotHeard(NodeCase):
    slow = True

    def test_an_added_node_that_is_not_heard_for_10_s_disappears(self):
        other = fresh_address()
        self.client.request("PUT", "/view", {"socket-address": other})
        start = time.monotonic()
        while other in self.client.view():
            self.assertLess(time.monotonic() - start, 12)
            time.sleep(0.1)
        self.assertGreater(time.monotonic() - start, 9)
        self.assertEqual(self.client.view(), [self.node.address])


if __name__ == "__main__":
    unittest.main()
