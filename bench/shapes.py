"""What the parts of the benchmark tell each other: a load to make, and what came of it.

The load generator is a process of its own, pinned beside the stores: it reads one `Task` as JSON
from its standard input and writes one `Outcome` as JSON to its standard output.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct


class Scenario(StrEnum):
    """A kind of load. What counts as one event is what the report divides by."""

    RELAY = "relay"
    """Drivers report as fast as their riders receive, one location of a pair on its way at a time.
    An event is a location delivered."""
    PACED_RELAY = "paced_relay"
    """The same pairs at a given rate in all, whatever comes back: for latency."""
    FAN_OUT = "fan_out"
    """One driver, many subscribers of its trip. An event is a location delivered to one of them."""
    CITY = "city"
    """Drivers at 1 Hz, a rider each, chat, riders that come and go. An event is any delivery."""
    CONNECT = "connect"
    """Clients come with a token each. An event is a `session:ready`."""
    IDLE = "idle"
    """Clients that only stay. An event is a connection; what counts is memory."""
    LEAVE = "leave"
    """All clients leave at once while one goes on asking. An event is a connection that ended."""
    CHAT = "chat"
    """Parties of many conversations send as fast as they are answered. An event is an answer."""
    READ_TRIPS = "read_trips"
    """A backend reads trips over HTTP, as fast as it is answered or, with a rate, evenly. An event
    is an answer."""
    CREATE_TRIPS = "create_trips"
    """The same, creating trips."""


HTTP: Final = frozenset({Scenario.READ_TRIPS, Scenario.CREATE_TRIPS})
"""Loads on the interface for a company's own programs."""


class Target(Struct, frozen=True):
    """A server under test: where it listens (two instances: drivers, then riders)."""

    urls: tuple[str, ...]
    pids: tuple[int, ...]
    """The server processes, whose CPU time is added up."""
    has_trips: bool
    """Whether trips are created through its commands. Else they are what the tokens claim."""
    secret: str
    """Signs the tokens (HS256)."""


class Task(Struct, frozen=True):
    scenario: Scenario
    target: Target
    clients: int
    """Pairs of the relay, subscribers of the fan-out, drivers of the city, else connections;
    for the chat, conversations."""
    seconds: float
    """How long is measured, where the load does not end by itself."""
    warm_up_s: float = 1.0
    rate: float = 0.0
    """Events a second that are sent in all, where the scenario is paced."""
    in_flight: int = 1
    """FAN_OUT: locations on their way at a time."""


class Outcome(Struct, frozen=True):
    events: int
    """Delivered, each checked to be the right one at the right client."""
    seconds: float
    cpu_s: tuple[float, ...]
    """CPU time of each process of the target, in the same window as `events`."""
    p50_ms: float | None = None
    p99_ms: float | None = None
    """From sending to receipt, on the generator's clock."""
    largest_gap_ms: float | None = None
    """LEAVE: the longest that answers to questions asked every 10 ms stayed away."""
    scrape_ms: float | None = None
    """IDLE: CPU time that one reading of `/metrics` costs the target."""
    rss_before: int = 0
    rss_after: int = 0
    """Bytes of the target's processes, proportionally shared (PSS): IDLE."""
    missing: int = 0
    wrong: int = 0
    """Deliveries that did not come, or were not what was sent. Anything but 0 spoils the round."""
    generator_busy: float = 0.0
    """The generator's own share of its core; near 1 the load is the limit, not the server."""
    note: str = ""
