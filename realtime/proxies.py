"""Where a request comes from, behind proxies that are trusted to say so."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from aiohttp import web
from msgspec import Struct

FORWARDED_FOR: Final = "X-Forwarded-For"
_REMEMBERED: Final = 1_000
"""Peers whose addresses need not be read again: proxies, and who opens several connections."""
_IPV6_SITE: Final = 64
"""Bits of an IPv6 address that tell customers apart: the others are each one's own to choose."""

Network = IPv4Network | IPv6Network
_Address = IPv4Address | IPv6Address


class Origin(Struct, frozen=True):
    """Where a client is."""

    address: str
    """For the log: the client's, or that of a proxy that does not tell whose request it is."""
    counts_as: str | None
    """What limits go by: IPv4 addresses and IPv6 networks; None where it is not known."""

    @property
    def place(self) -> str:
        """One place for all who may be one, but for those of whom nothing is known."""
        return self.counts_as or self.address


class Proxies:
    """Those whose word counts. What anybody else says of a request's way is not looked at."""

    def __init__(self, trusted: Sequence[Network] = ()) -> None:
        """A network of all addresses says that every peer is a proxy, not that every client is."""
        self._trusted = trusted
        self._passed_over = [network for network in trusted if network.prefixlen]

    def origin(self, request: web.BaseRequest) -> Origin:
        """Where the request comes from, as far as its trusted proxies tell.

        Each proxy adds whom it was asked by on the right. Read from there, the first that is not
        trusted is the client; where all are, it is the one farthest away.
        """
        peer = request.remote or ""
        told = ",".join(request.headers.getall(FORWARDED_FOR, ()))
        address = _peer_address(peer)
        if address is None or not _is_in(self._trusted, address):
            return _of(peer, address)
        return self._behind(peer, told.split(",")) if told.strip(", ") else Origin(peer, None)

    def _behind(self, proxy: str, told: Iterable[str]) -> Origin:
        address: _Address | None = None
        for entry in reversed([*told]):
            address = _parsed(_without_port(entry.strip()))
            if address is None:  # the last one that can be read does not say whom it was asked by
                break
            proxy = str(address)
            if not _is_in(self._passed_over, address):
                break
        return _of(proxy, address)


def _is_in(networks: Iterable[Network], address: _Address) -> bool:
    return any(address in network for network in networks)


def _of(shown: str, address: _Address | None) -> Origin:
    if isinstance(address, IPv6Address):
        site = IPv6Network((int(address), _IPV6_SITE), strict=False)
        return Origin(shown, str(site))
    return Origin(shown, None if address is None else str(address))


def _parsed(text: str) -> _Address | None:
    """An address without its zone; an IPv4 address within IPv6 is that address."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


_peer_address: Final = lru_cache(_REMEMBERED)(_parsed)


def _without_port(entry: str) -> str:
    """`192.0.2.7:4711` and `[2001:db8::7]:4711`, which some proxies write, without the port."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry
