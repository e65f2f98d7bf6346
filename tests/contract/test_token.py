"""AUTH_TOKEN: every route but /health wants it, and it is told to nobody."""

import unittest

from harness import NodeCase, encode_body

TOKEN = "correct-horse-battery-staple"
GOOD = (f"Authorization: Bearer {TOKEN}",)
ERROR = "Authorization: Bearer with the right token is needed"
ROUTES = [("GET", "/kvs"), ("GET", "/kvs/a"), ("DELETE", "/kvs/a"), ("GET", "/view"), ("GET", "/shard/ids"),
          ("GET", "/shard/reshard"), ("GET", "/metrics"), ("GET", "/nothing"), ("PATCH", "/view")]


class Token(NodeCase):
    environment = {"AUTH_TOKEN": TOKEN}

    def check_honest_request(self):
        with self.node.client() as client:
            self.assertEqual(client.request("GET", "/health").status, 200)
            self.assertIn(client.request("GET", "/kvs/honest", None, GOOD).status, (200, 404))

    def test_with_the_token_everything_works(self):
        body = encode_body(value=1)
        self.expect(self.client.request("PUT", "/kvs/a", body, GOOD), 201)
        self.assertEqual(self.expect(self.client.request("GET", "/kvs/a", None, GOOD), 200).json["value"], 1)
        self.expect(self.client.request("GET", "/nothing", None, GOOD), 404)

    def test_without_it_nothing_but_health_is_told(self):
        for headers in ((), ("Authorization: Bearer wrong",), (f"Authorization: Basic {TOKEN}",)):
            for method, path in ROUTES:
                with self.subTest(path=path, headers=headers):
                    answer = self.expect(self.client.request(method, path, None, headers), 401, ERROR)
                    self.assertEqual(answer.headers["www-authenticate"], "Bearer")
            for path in ("/health", "/health/ready"):
                self.expect(self.client.request("GET", path, None, headers), 200)

    def test_a_write_without_it_is_not_made(self):
        key = self.key("kept-out")
        self.expect(self.client.request("PUT", f"/kvs/{key}", encode_body(value=1)), 401, ERROR)
        self.expect(self.client.request("GET", f"/kvs/{key}", None, GOOD), 404)

    def test_two_authorizations_are_refused(self):
        with self.node.client() as client:
            answer = client.request("GET", "/kvs", None, (*GOOD, *GOOD))
            self.expect(answer, 400, "Two Authorization headers")

    def test_it_is_never_told(self):
        told = [self.client.request("GET", path, None, GOOD).body for path in ("/metrics", "/health", "/view")]
        self.client.request("GET", "/view", None, (f"Authorization: Bearer {TOKEN}x",))
        self.assertNotIn(TOKEN.encode(), b"".join(told))
        self.assertNotIn(TOKEN, self.node.stderr())


if __name__ == "__main__":
    unittest.main()
