"""A live node that is struck off stays out of every view, whoever was asked, and comes back when it is named."""

import time
import unittest

from cluster import READMIT_S, GroupCase

OUT_S = 2
STAYS_OUT_S = 5
BACK_S = READMIT_S + 3


class StruckOff(GroupCase):
    count = 4

    def is_out(self, gone):
        rest = self.cluster.addresses([member for member in self.cluster if member is not gone])
        others = all(member.hears(rest) for member in self.cluster if member is not gone)
        return others and gone.hears([gone.address])

    def strike_and_name(self, asked, gone, named_at):
        key = self.key()
        answer = self.put(asked, key, 1)
        body = {"socket-address": gone.address}
        self.assertEqual(asked.ask("DELETE", "/view", body).status, 200)
        self.take(f"{gone.name} out of all views", lambda: self.is_out(gone), OUT_S, self.describe)
        answer = self.put(asked, key, 2, answer.metadata)
        end = time.monotonic() + STAYS_OUT_S
        while time.monotonic() < end:
            self.assertTrue(self.is_out(gone), self.describe())
            time.sleep(0.1)
        self.assertIs(gone.ready(), False)
        self.assertEqual(named_at.ask("PUT", "/view", body).status, 201)
        self.take(f"{gone.name} back", self.cluster.is_settled, BACK_S, self.describe)
        self.assertEqual(gone.get(key, answer.metadata).json["value"], 2)
        self.assertTrue(self.cluster.are_equal())

    def test_by_the_third_the_first_is_struck_off(self):
        first, second, third, _ = self.cluster
        self.strike_and_name(third, first, second)

    def test_by_the_second_the_last_is_struck_off(self):
        _, second, _, last = self.cluster
        self.strike_and_name(second, last, second)


if __name__ == "__main__":
    unittest.main()
