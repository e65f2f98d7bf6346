"""What the environment and the command line do: every row of the table in the contract that one node can show."""

import pathlib
import shutil
import socket
import subprocess
import time
import unittest

import harness
from harness import ABSENT, Client, Node, fresh_address, fresh_network, run_to_exit, split_address


def can_connect(host, port):
    try:
        socket.create_connection((host, port), 2).close()
    except ConnectionRefusedError:
        return False
    return True


class Identity(unittest.TestCase):
    def expect_view(self, client_address, view):
        with Client(client_address) as client:
            self.assertEqual(client.view(), view)

    def test_nothing_set_is_a_single_node_127_0_0_1_8090_on_all_interfaces(self):
        if not (harness.can_bind("0.0.0.0", 8090) and harness.can_bind("0.0.0.0", 18090)):
            self.skipTest("port 8090 or 18090 is taken on this machine")
        with Node({"SOCKET_ADDRESS": ABSENT}, address="127.0.0.1:8090"):
            self.expect_view("127.0.0.1:8090", ["127.0.0.1:8090"])
            self.expect_view("127.9.8.7:8090", ["127.0.0.1:8090"])
            with Client("127.0.0.1:8090") as client:
                self.assertEqual(client.put("k", 1).status, 201)

    def test_socket_address_alone_is_a_single_node_of_that_name(self):
        with Node() as node:
            self.expect_view(node.address, [node.address])

    def test_a_loopback_address_binds_only_that_address(self):
        with Node() as node:
            port = split_address(node.address)[1]
            self.assertFalse(can_connect("127.0.0.1", port))
            self.assertFalse(can_connect("127.0.0.1", port + 10000))

    def test_another_address_listens_on_all_interfaces(self):
        port = fresh_network()[1]
        with Node(address=f"10.10.0.2:{port}", reach=f"127.0.0.1:{port}"):
            self.expect_view(f"127.0.0.1:{port}", [f"10.10.0.2:{port}"])
            self.expect_view(f"127.4.5.6:{port}", [f"10.10.0.2:{port}"])

    def test_bind_address_narrows_where_it_listens(self):
        network, port = fresh_network()
        with Node({"BIND_ADDRESS": f"{network}.7"}, address=f"10.10.0.2:{port}", reach=f"{network}.7:{port}") as node:
            self.expect_view(node.reach, [node.address])
            self.assertFalse(can_connect(f"{network}.8", port))

    def test_a_host_name_is_lower_cased_and_never_resolved(self):
        port = fresh_network()[1]
        with Node(address=f"Node-A.Example.INVALID:{port}", reach=f"127.0.0.1:{port}"):
            self.expect_view(f"127.0.0.1:{port}", [f"node-a.example.invalid:{port}"])

    def test_peers_are_listened_for_on_the_port_plus_10000(self):
        with Node() as node:
            host, port = split_address(node.address)
            self.assertTrue(can_connect(host, port + 10000))

    def test_peer_port_offset_moves_the_peer_port(self):
        with Node({"PEER_PORT_OFFSET": "12345"}) as node:
            host, port = split_address(node.address)
            self.assertTrue(can_connect(host, port + 12345))
            self.assertFalse(can_connect(host, port + 10000))

    def test_the_cluster_name_can_be_set(self):
        with Node({"CLUSTER": "another"}) as node, Client(node.address) as client:
            self.assertEqual(client.put("k", 1).status, 201)


class ViewAndShardCount(unittest.TestCase):
    def test_a_view_of_only_itself_is_a_single_node_without_warning(self):
        address = fresh_address()
        with Node({"VIEW": address}, address=address) as node, Client(address) as client:
            self.assertEqual(client.view(), [address])
            self.assertNotIn("warn", node.stderr().lower())

    def test_a_view_that_lists_itself_twice_holds_it_once(self):
        address = fresh_address()
        with Node({"VIEW": f"{address},{address}"}, address=address), Client(address) as client:
            self.assertEqual(client.view(), [address])

    def test_a_view_that_misses_itself_gets_it_added_with_a_warning(self):
        network, port = fresh_network()
        own, other = f"{network}.1:{port}", f"{network}.2:{port}"
        node = Node({"VIEW": other}, address=own)
        node.start(wait_ready=False)
        with node, Client(own) as client:
            self.assertEqual(client.view(), [own, other])
            warnings = [line for line in node.stderr().splitlines() if "warn" in line.lower()]
            self.assertTrue(any(own in line for line in warnings), node.stderr())

    def test_the_view_is_sorted_by_number_whatever_its_order_in_the_environment(self):
        network, port = fresh_network()
        view = [f"{network}.{last}:{port}" for last in (9, 10, 100)]
        node = Node({"VIEW": ",".join([view[2], view[0], view[1]]), "SHARD_COUNT": "1"}, address=view[0])
        node.start(wait_ready=False)
        with node, Client(view[0]) as client:
            self.assertEqual(client.view(), view)

    def test_names_sort_after_ipv4_addresses_and_then_the_port_decides(self):
        network, port = fresh_network()
        own = f"{network}.9:{port}"
        view = [own, f"{network}.9:{port + 1}", "alpha.invalid:9000", "alpha.invalid:10000", "beta.invalid:80"]
        node = Node({"VIEW": ",".join(reversed(view)).replace("alpha", "ALPHA"), "SHARD_COUNT": "1"}, address=own)
        node.start(wait_ready=False)
        with node, Client(own) as client:
            self.assertEqual(client.view(), view)

    def test_fewer_than_two_nodes_a_shard_is_a_warning(self):
        network, port = fresh_network()
        view = [f"{network}.{last}:{port}" for last in (1, 2, 3)]
        node = Node({"VIEW": ",".join(view), "SHARD_COUNT": "2"}, address=view[0])
        node.start(wait_ready=False)
        with node:
            self.assertIn("warn", node.stderr().lower())

    def test_64_shards_are_allowed_with_64_nodes(self):
        network, port = fresh_network()
        view = [f"{network}.{last}:{port}" for last in range(1, 65)]
        node = Node({"VIEW": ",".join(view), "SHARD_COUNT": "64"}, address=view[63])
        node.start(wait_ready=False)
        with node, Client(view[63]) as client:
            shards = client.request("GET", "/shard/ids").json["shard-ids"]
            self.assertEqual(sorted(shards), sorted(f"s{number}" for number in range(64)))
            self.assertEqual(client.request("GET", "/shard/node-shard-id").json, {"node-shard-id": "s63"})


class Nonsense(unittest.TestCase):
    """One clear line on stderr and exit code 2."""

    def expect_refused(self, culprit, **environment):
        """culprit: what the line must name, so that it is a clear one."""
        given = {"SOCKET_ADDRESS": fresh_address(), **environment}
        code, out, err = run_to_exit(given)
        with self.subTest(**environment):
            self.assertEqual(code, 2, (out, err))
            self.assertEqual(len(err.splitlines()), 1, err)
            self.assertIn(culprit, err)
            self.assertEqual(out, "")

    def test_addresses_that_are_none(self):
        for address in ("127.0.0.1:65536", "127.0.0.1:99999999999999999999", "127.0.0.1:0", "127.0.0.1:-1",
                        "127.0.0.1", "127.0.0.1:", ":8090", "127.0.0.1:80a", "127.0.0.1:0x50", "127.0.0.1:+80",
                        "127.0.0.1:8090:8091", "[::1]:8090", "::1:8090", "256.1.1.1:8090", "1.2.3:8090",
                        "a b:8090", "a/b:8090", "http://127.0.0.1:8090", "127.0.0.1 :8090", "x" * 300 + ":8090"):
            self.expect_refused("SOCKET_ADDRESS", SOCKET_ADDRESS=address)

    def test_a_port_whose_peer_port_would_be_over_65535(self):
        code, _, err = run_to_exit({"SOCKET_ADDRESS": "127.0.0.9:60000"})
        self.assertEqual((code, len(err.splitlines())), (2, 1), err)

    def test_views_with_an_entry_that_is_no_address(self):
        for entry in ("127.0.0.1:65536", "[::1]:8090", "::1:8090", "node", "node:", ":8090", "node:http"):
            own = fresh_address()
            self.expect_refused("VIEW", SOCKET_ADDRESS=own, VIEW=f"{own},{entry},127.0.0.4:8090")

    def test_shard_counts_that_are_none(self):
        network, port = fresh_network()
        view = [f"{network}.{last}:{port}" for last in range(1, 81)]
        for count in ("two", "0", "65", "-1", "1.5", "1 2", "0x1", "+1", "1e0", "99999999999999999999"):
            self.expect_refused("SHARD_COUNT", SHARD_COUNT=count, SOCKET_ADDRESS=view[0], VIEW=",".join(view))

    def test_more_shards_than_nodes(self):
        own = fresh_address()
        self.expect_refused("SHARD_COUNT", SHARD_COUNT="2", SOCKET_ADDRESS=own)
        self.expect_refused("SHARD_COUNT", SHARD_COUNT="3", SOCKET_ADDRESS=own, VIEW=f"{own},127.0.0.2:8090")

    def test_numbers_that_are_none(self):
        for name in ("READMIT_MS", "PARK_MS", "FORWARD_MS", "REQUEST_MS", "IDLE_MS", "MAX_MEMORY"):
            for text in ("soon", "-1", "1.5", "10ms", "99999999999999999999"):
                self.expect_refused(name, **{name: text})

    def test_peer_port_offsets_that_are_none(self):
        for text in ("x", "-10000", "65536"):
            self.expect_refused("PEER_PORT_OFFSET", PEER_PORT_OFFSET=text)

    def test_bind_addresses_that_are_none(self):
        for text in ("300.1.1.1", "::1", "127.0.0.1:8090", "some where"):
            self.expect_refused("BIND_ADDRESS", BIND_ADDRESS=text)


    def test_settings_of_tls_that_do_not_go_together(self):
        self.expect_refused("TLS_KEY is needed", TLS_CERT="/c")
        self.expect_refused("TLS_CERT is needed", TLS_KEY="/k")
        self.expect_refused("TLS_CERT and TLS_KEY are needed", TLS_CA="/a")

    def test_a_build_without_tls_says_so_and_does_not_start(self):
        code, _, err = run_to_exit({"SOCKET_ADDRESS": fresh_address(), "TLS_CERT": "/c", "TLS_KEY": "/k"})
        self.assertEqual(code, 1)
        self.assertIn("this build has no TLS; build it with: make TLS=1", err)

    def test_the_plain_build_stands_on_libc_alone(self):
        release = pathlib.Path(harness.BINARY).resolve().parents[1] / "release" / "kvs"
        if not (shutil.which("ldd") and release.exists()):
            self.skipTest("no ldd, or no release build here")
        names = subprocess.run(["ldd", release], capture_output=True, text=True, check=True).stdout.split("\n")
        names = {line.split()[0].rpartition("/")[2].partition(".so")[0] for line in names if line.strip()}
        self.assertLessEqual(names - {"linux-vdso", "linux-gate"}, {"libc", "libpthread"} | {
            name for name in names if name.startswith("ld-")})


class CommandLine(unittest.TestCase):
    def test_version_prints_one_line_and_exits_0(self):
        code, out, err = run_to_exit({}, ["--version"])
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, r"\A.*\d.*\n\Z")

    def test_help_names_the_environment_and_exits_0(self):
        code, out, err = run_to_exit({}, ["--help"])
        self.assertEqual((code, err), (0, ""))
        for name in ("SOCKET_ADDRESS", "VIEW", "SHARD_COUNT", "--version"):
            self.assertIn(name, out)

    def test_help_and_version_look_at_no_environment(self):
        for option in ("--help", "--version"):
            self.assertEqual(run_to_exit({"SHARD_COUNT": "two"}, [option])[0], 0)

    def test_an_unknown_argument_is_refused_with_exit_2(self):
        for argument in ("--nonsense", "serve"):
            code, out, err = run_to_exit({"SOCKET_ADDRESS": fresh_address()}, [argument])
            self.assertEqual((code, out), (2, ""))
            self.assertIn(argument, err)


class PortInUse(unittest.TestCase):
    def expect_clear_message(self, address, taken_port):
        start = time.monotonic()
        code, _, err = run_to_exit({"SOCKET_ADDRESS": address})
        self.assertEqual(code, 1, err)
        self.assertIn(str(taken_port), err)
        self.assertLess(time.monotonic() - start, 3)

    def test_the_second_node_of_an_address_says_so_and_exits_1(self):
        with Node() as node:
            self.expect_clear_message(node.address, split_address(node.address)[1])

    def test_a_taken_peer_port_is_reported_too(self):
        host, port = split_address(fresh_address())
        with socket.socket() as other:
            other.bind((host, port + 10000))
            other.listen()
            self.expect_clear_message(f"{host}:{port}", port + 10000)

    def test_an_address_can_be_used_again_at_once_after_a_stop(self):
        address = fresh_address()
        for _ in range(3):
            # The client outlives the node, so that the node's end of the connection lingers in TIME_WAIT.
            with Client(address) as client, Node(address=address):
                self.assertEqual(client.put("k", 1).status, 201)


class Restart(unittest.TestCase):
    def test_without_data_dir_a_restart_forgets_the_keys(self):
        address = fresh_address()
        with Node(address=address), Client(address) as client:
            client.put("k", 1)
        with Node(address=address), Client(address) as client:
            self.assertEqual(client.get("k").status, 404)


class SilentStart(unittest.TestCase):
    def test_a_node_reads_nothing_from_stdin_and_writes_nothing_to_stdout(self):
        address = fresh_address()
        environment = harness.node_environment({"SOCKET_ADDRESS": address})
        process = subprocess.Popen([harness.BINARY], env=environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(0.5)
        process.terminate()
        out, err = process.communicate(timeout=5)
        self.assertEqual((process.returncode, out), (0, b""), err)


if __name__ == "__main__":
    unittest.main()
