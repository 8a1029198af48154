"""Whose request it is, as far as trusted proxies tell, whatever the client claims besides."""

from ipaddress import ip_network

from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from realtime.proxies import Origin, Proxies

TRUSTED = Proxies((ip_network("127.0.0.1"), ip_network("::1"), ip_network("10.0.0.0/8")))
EVERYBODY = Proxies((ip_network("0.0.0.0/0"), ip_network("::/0")))
PROXY = "10.0.0.1"
CLIENT = Origin("192.0.2.7", "192.0.2.7")


def origin(peer: str, *forwarded: str, proxies: Proxies = TRUSTED) -> Origin:
    headers = CIMultiDict([("X-Forwarded-For", value) for value in forwarded])
    return proxies.origin(make_mocked_request("GET", "/", headers=headers).clone(remote=peer))


def test_without_a_proxy_it_is_who_connected() -> None:
    assert origin("192.0.2.7") == CLIENT


def test_what_a_client_says_of_itself_is_not_believed() -> None:
    assert origin("192.0.2.7", "198.51.100.1") == CLIENT
    assert origin("192.0.2.7", PROXY) == CLIENT
    assert Proxies().origin(make_mocked_request("GET", "/").clone(remote=PROXY)).address == PROXY


def test_behind_a_proxy_it_is_who_asked_the_proxy() -> None:
    assert origin(PROXY, "192.0.2.7") == CLIENT
    assert origin("::1", "192.0.2.7") == CLIENT


def test_what_the_client_told_the_proxy_stands_to_the_left_and_is_not_believed() -> None:
    assert origin(PROXY, "198.51.100.1, 127.0.0.1, nonsense, 192.0.2.7") == CLIENT
    assert origin(PROXY, "198.51.100.1", "192.0.2.7") == CLIENT


def test_several_proxies_are_passed_over() -> None:
    assert origin(PROXY, "198.51.100.1, 192.0.2.7, 10.9.9.9,10.0.0.2") == CLIENT
    assert origin(PROXY, "192.0.2.7", "10.9.9.9, 10.0.0.2") == CLIENT


def test_where_all_are_trusted_it_is_the_farthest() -> None:
    assert origin(PROXY, "10.1.1.1, 10.0.0.2") == Origin("10.1.1.1", "10.1.1.1")


def test_where_everybody_may_be_a_proxy_only_the_one_that_connected_is_believed() -> None:
    forged = "198.51.100.9"
    assert origin("203.0.113.5", f"{forged}, 192.0.2.7", proxies=EVERYBODY) == CLIENT
    assert origin("2001:db8::1", forged, "192.0.2.7", proxies=EVERYBODY) == CLIENT


def test_a_proxy_that_does_not_tell_counts_for_no_address() -> None:
    for told in ((), ("",), (" , ",)):
        assert origin(PROXY, *told) == Origin(PROXY, None)
    assert origin(PROXY, "unknown") == Origin(PROXY, None)
    assert origin(PROXY, "192.0.2.7, unknown, 10.0.0.2") == Origin("10.0.0.2", None)


def test_ports_are_no_part_of_an_address() -> None:
    assert origin(PROXY, "192.0.2.7:4711") == CLIENT
    assert origin(PROXY, "[2001:db8::7]:4711").address == "2001:db8::7"
    assert origin(PROXY, "[2001:db8::7]").address == "2001:db8::7"


def test_ipv6_addresses_of_one_site_count_together() -> None:
    one, two, other = (origin(f"2001:db8:0:{n}") for n in ("1::1", "1:ffff::2", "2::1"))
    assert one == Origin("2001:db8:0:1::1", "2001:db8:0:1::/64")
    assert two.counts_as == one.counts_as != other.counts_as
    assert origin(PROXY, "fe80::1%eth0").counts_as == "fe80::/64"


def test_an_ipv4_address_within_ipv6_is_that_address() -> None:
    assert origin(PROXY, "::ffff:192.0.2.7").counts_as == "192.0.2.7"
    assert origin("::ffff:10.0.0.1", "192.0.2.7") == CLIENT


def test_a_local_socket_has_no_address() -> None:
    assert origin("", "192.0.2.7") == Origin("", None)
