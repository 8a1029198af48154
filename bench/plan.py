"""Which rows a run of the benchmark has: a load, its size and time, and who is put under it."""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from msgspec import Struct

from bench.shapes import Scenario


class Contestant(StrEnum):
    RIDEWIRE = "ridewire"
    NODE = "node"
    """socket.io on Node with @socket.io/redis-adapter."""
    STOCK = "stock"
    """python-socketio with its AsyncRedisManager."""
    PICOWS = "picows"
    """A bare WebSocket server that writes the same frames: the limit, not a rival."""


class Row(Struct, frozen=True):
    """One load, to which every contestant is put in turn."""

    name: str
    scenario: Scenario
    contestants: tuple[Contestant, ...]
    clients: int
    """As `bench.shapes.Task.clients` counts them."""
    seconds: float
    """Measured, where the load does not end by itself."""
    instances: int = 1
    """Server processes. With two, drivers are on one and riders on the other."""
    warm_up_s: float = 0.0
    """Before that. Node compiles what runs often only after a while."""
    half_of: str = ""
    """The row, run before, at half of whose rate on Node this one is paced."""
    in_flight: int = 1
    """Locations of a fan-out that are on their way at a time."""


class Plan(Struct, frozen=True):
    rows: tuple[Row, ...]
    rounds: int
    quick: bool = False
    """Whether sizes and times are those of a short run, which shows less."""

    def only(self, names: Collection[str]) -> "Plan":
        """The rows of these names, and those that they need."""
        needed = {row.half_of for row in self.rows if row.name in names} | {*names}
        return Plan(tuple(row for row in self.rows if row.name in needed), self.rounds, self.quick)

    def in_rounds(self, rounds: int) -> "Plan":
        return Plan(self.rows, rounds, self.quick)

    @property
    def trials(self) -> int:
        return self.rounds * sum(len(row.contestants) for row in self.rows)

    @property
    def estimate_s(self) -> float:
        """How long it takes, roughly: with servers that start and clients that connect."""
        return self.rounds * sum(len(row.contestants) * _trial_s(row) for row in self.rows)


class _Size(NamedTuple):
    clients: int
    seconds: float = 0.0


_R, _N, _S, _P = Contestant
_ALL: Final = (_R, _N, _S, _P)
_PEERS: Final = (_R, _N, _S)
_PAIR: Final = (_R, _N)

_FULL: Final = {
    "relay": _Size(100, 10),
    "relay_two": _Size(100, 10),
    "paced_relay": _Size(100, 10),
    "fan_out": _Size(1_000, 8),
    "fan_out_burst": _Size(1_000, 8),
    "city": _Size(2_000, 15),
    "connect": _Size(4_000),
    "idle": _Size(10_000, 5),
    "leave": _Size(10_000),
    "chat": _Size(200, 10),
}
_QUICK: Final = {
    "relay": _Size(100, 1),
    "relay_two": _Size(100, 1),
    "paced_relay": _Size(100, 1),
    "fan_out": _Size(300, 1),
    "fan_out_burst": _Size(300, 1),
    "city": _Size(200, 2),
    "connect": _Size(500),
    "idle": _Size(500, 0.5),
    "leave": _Size(500),
    "chat": _Size(50, 1),
}
NAMES: Final = tuple(_FULL)


def full() -> Plan:
    return Plan(_rows(_FULL, warm_up_s=3, comers=_PEERS), rounds=3)


def quick() -> Plan:
    """A few minutes in all: to see that everything runs, and about how it compares."""
    return Plan(_rows(_QUICK, warm_up_s=2, comers=_PAIR), rounds=1, quick=True)


def _rows(
    size: Mapping[str, _Size], warm_up_s: float, comers: tuple[Contestant, ...]
) -> tuple[Row, ...]:
    """`comers` are the contestants to which clients come, stay and leave."""

    def row(
        name: str,
        scenario: Scenario,
        contestants: tuple[Contestant, ...],
        *,
        instances: int = 1,
        half_of: str = "",
        in_flight: int = 1,
    ) -> Row:
        sized = size[name]
        return Row(name, scenario, contestants, *sized, instances, warm_up_s, half_of, in_flight)

    return (
        row("relay", Scenario.RELAY, _ALL),
        row("relay_two", Scenario.RELAY, _PEERS, instances=2),
        # python-socketio cannot carry half of Node's rate.
        row("paced_relay", Scenario.PACED_RELAY, _PAIR, half_of="relay"),
        row("fan_out", Scenario.FAN_OUT, _ALL),
        row("fan_out_burst", Scenario.FAN_OUT, _PAIR, in_flight=4),
        row("city", Scenario.CITY, _PEERS),
        row("connect", Scenario.CONNECT, comers),
        row("idle", Scenario.IDLE, comers),
        row("leave", Scenario.LEAVE, comers),
        row("chat", Scenario.CHAT, _PEERS),
    )


_START_S: Final = 2.5
"""Stores, a server and the generator, until they are ready, and their end."""
_CONNECT_S: Final = 0.001
"""One client, with a token."""
_CONNECTIONS: Final = {
    Scenario.RELAY: 2,
    Scenario.PACED_RELAY: 2,
    Scenario.CITY: 2,
    Scenario.CHAT: 2,
}
"""Connections for each of `clients`, where it is more than one."""


def _trial_s(row: Row) -> float:
    connections = row.clients * _CONNECTIONS.get(row.scenario, 1)
    return _START_S + connections * _CONNECT_S + row.warm_up_s + row.seconds
