"""How each row is shown: its words, its columns, and what contestants are compared by."""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from bench.figures import (
    BUSY,
    CPU,
    GAP,
    MEMORY,
    P50,
    P99,
    PER_CPU_SECOND,
    RATE,
    SCRAPE,
    SERVER_BUSY,
    Measure,
)
from bench.plan import Contestant

CALLED: Final[Mapping[Contestant, str]] = {
    Contestant.RIDEWIRE: "Ridewire",
    Contestant.NODE: "Node, socket.io",
    Contestant.STOCK: "python-socketio",
    Contestant.PICOWS: "picows, bare",
}


class View(Struct, frozen=True):
    title: str
    load: str
    """With `{clients}`, and `{rate}` where the row is paced."""
    event: str
    plotted: Measure
    columns: tuple[Measure, ...]
    compared: tuple[Measure, ...]
    """Ridewire's number is divided by each other contestant's."""


_DELIVERIES: Final = (CPU, PER_CPU_SECOND, RATE, P50, P99, SERVER_BUSY, BUSY)

VIEWS: Final[Mapping[str, View]] = {
    "relay": View(
        "Relay",
        "{clients} drivers, each to a rider of its own, as fast as the riders receive.",
        "a location delivered",
        CPU,
        _DELIVERIES,
        (PER_CPU_SECOND,),
    ),
    "relay_two": View(
        "Relay over two instances",
        "{clients} drivers on one instance, their riders on the other; CPU of both added.",
        "a location delivered",
        CPU,
        _DELIVERIES,
        (PER_CPU_SECOND,),
    ),
    "paced_relay": View(
        "Relay at half the rate",
        "{clients} pairs as above, {rate} locations a second in all, whatever comes back: half of"
        " what the slower of the two relayed.",
        "a location delivered",
        P99,
        _DELIVERIES,
        (P99,),
    ),
    "fan_out": View(
        "Fan-out",
        "One driver, {clients} subscribers of its trip; the next location when all have the one"
        " before.",
        "a location delivered to one of them",
        CPU,
        _DELIVERIES,
        (PER_CPU_SECOND,),
    ),
    "fan_out_burst": View(
        "Fan-out of bursts",
        "The same with four locations on their way at a time, which soon come together: what a"
        " server makes of several events for one client.",
        "a location delivered to one of them",
        CPU,
        _DELIVERIES,
        (PER_CPU_SECOND,),
    ),
    "city": View(
        "A mixed city",
        "{clients} drivers that report once a second, a rider each, chat, riders that come and go.",
        "a location or message delivered",
        CPU,
        _DELIVERIES,
        (PER_CPU_SECOND,),
    ),
    "connect": View(
        "Connect",
        "{clients} riders without a trip come, fifty at a time, with a token each.",
        "a client that was told that its session is ready",
        CPU,
        _DELIVERIES,
        (CPU,),
    ),
    "idle": View(
        "Idle connections",
        "{clients} riders without a trip that only stay. Memory is shared out among processes"
        " (PSS). Afterwards, `/metrics` is read a few times.",
        "a connection",
        MEMORY,
        (MEMORY, SCRAPE),
        (MEMORY,),
    ),
    "leave": View(
        "All leave at once",
        "{clients} riders without a trip leave while one goes on asking, every 10 ms. Their process"
        " is killed: they hang up, all at once and without a word.",
        "a connection that ended",
        GAP,
        (GAP, CPU, SERVER_BUSY, BUSY),
        (GAP, CPU),
    ),
    "chat": View(
        "Chat",
        "In {clients} conversations one party writes, and again when it has its answer and the"
        " other has the message.",
        "a message that was stored and acknowledged",
        CPU,
        _DELIVERIES,
        (RATE, CPU),
    ),
    "read_trips": View(
        "Read trips over HTTP",
        "`GET /v1/trips/{{id}}` with a service's token, over {clients} connections that stay open;"
        " the next on each when it has its answer.",
        "a trip read",
        CPU,
        _DELIVERIES,
        (CPU,),
    ),
    "read_trips_paced": View(
        "Read trips at half the rate",
        "The same, {rate} requests a second in all, whatever comes back: half of what the slower of"
        " the two answered.",
        "a trip read",
        P99,
        _DELIVERIES,
        (P99,),
    ),
    "create_trips": View(
        "Create trips over HTTP",
        "`POST /v1/trips` in the same way. MongoDB has the trip on disk before it is answered.",
        "a trip created",
        CPU,
        _DELIVERIES,
        (CPU,),
    ),
    "create_trips_paced": View(
        "Create trips at half the rate",
        "The same, {rate} requests a second in all, whatever comes back: half of what the slower of"
        " the two answered.",
        "a trip created",
        P99,
        _DELIVERIES,
        (P99,),
    ),
}
