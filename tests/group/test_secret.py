"""CLUSTER_SECRET on real processes: who does not know it is kept out while the others go on, and nobody says it."""

import time
import unittest

from cluster import GroupCase, until

SECRET = "correct-horse-battery-staple"
OUT_S = 3  # within this a node that could come in would have


class Secret(GroupCase):
    count = 3
    extra = 1
    environment = {"CLUSTER_SECRET": SECRET}

    def try_fourth(self, secret):
        """It starts beside the others, and is told of them. Returns its log when it has had its chance."""
        fourth = self.cluster.extras[0]
        view = ",".join([*self.cluster.addresses(), fourth.address])
        fourth.environment = {"SOCKET_ADDRESS": fourth.address, "VIEW": view}
        if secret is not None:
            fourth.environment["CLUSTER_SECRET"] = secret
        fourth.start(wait_ready=False)
        self.addCleanup(fourth.kill)
        ends = time.monotonic() + OUT_S
        while time.monotonic() < ends:
            for member in self.cluster:
                self.assertTrue(member.hears(self.cluster.addresses()), "the others go on by themselves")
                self.put(member, self.key(), 1)
            time.sleep(0.1)
        fourth.stop()
        return fourth.all_stderr()

    def check_nobody_says_it(self):
        for member in [*self.cluster, *self.cluster.extras]:
            self.assertNotIn(SECRET, member.all_stderr())

    def test_another_secret_is_refused(self):
        self.assertIn("peer: this node was refused by ", self.try_fourth("another"))
        self.assertIn("another cluster secret", "".join(member.all_stderr() for member in self.cluster))
        self.check_nobody_says_it()

    def test_none_is_asked_for_it(self):
        self.assertIn("peer: asks for the cluster secret: ", self.try_fourth(None))
        self.check_nobody_says_it()

    def test_one_that_restarts_is_back(self):
        self.cluster[2].kill()
        until(lambda: self.cluster[0].hears(self.cluster.addresses()[:2]), 4, "out of view")
        self.cluster[2].start()
        self.cluster.settle()
        self.check_nobody_says_it()


if __name__ == "__main__":
    unittest.main()
