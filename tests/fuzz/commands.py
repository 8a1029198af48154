"""Payloads of every command: good ones, spoilt ones and noise, and who gives them."""

import json
from collections.abc import Mapping
from typing import Any, Final

import msgpack  # type: ignore[import-untyped]
import msgspec
from hypothesis import strategies as some
from msgspec import Raw, Struct

from handlers.access import COMMANDS
from models import commands
from models.commands import DRIVER_LOCATION, DriverAvailability, DriverStatus
from models.identity import Identity
from models.messages import Draft, Kind
from models.points import Point
from models.trips import Status
from tests.handlers.world import (
    ANN,
    DAN,
    DAY_MS,
    EVE,
    NOW,
    RITA,
    SERVICE,
    World,
    driver,
    rider,
    viewer,
)

Strategy = some.SearchStrategy[Any]

PAYLOADS: Final[dict[str, type[Struct]]] = {
    kind.event: kind
    for kind in (Draft, *vars(commands).values())
    if isinstance(kind, type) and issubclass(kind, Struct) and hasattr(kind, "event")
} | {DRIVER_LOCATION: Point}

CALLERS: Final[dict[str, Identity]] = {
    "rita": RITA,
    "ruth": rider("ruth"),
    "dan": DAN,
    "olga": driver("olga"),
    "eve": EVE,
    "ann": ANN,
    "service": SERVICE,
    "vera": viewer("vera", "@served"),
}

PEOPLE: Final = some.sampled_from(("rita", "ruth", "dan", "olga", "eve", "ann"))
PLACES: Final = some.sampled_from(
    ({"lat": 52.5, "lng": 13.4}, {"lat": 90, "lng": -180.0, "address": "Gate 2"})
)
NUMBERS: Final = some.integers(0, 4) | some.sampled_from((2**31, 2**53 - 1))
ABOUT: Final = some.sampled_from(("@served", "@offered", "@new", "@ended", "@support", "nowhere"))
TEXTS: Final = some.sampled_from(("hello", "Grüße 🚕", "x" * 500, "\0", "$where", "a\u202eb"))
FREE_FORMS: Final = some.sampled_from(
    (
        {},
        {"lat": 52.5, "lng": 13.4},
        {"url": "https://example.com/a.jpg", "size": 5},
        {"a": [1, {"b": None}]},
    )
)

GOOD: Final[dict[str, Strategy]] = {
    "accuracy": some.floats(0, 100),
    "after_seq": NUMBERS,
    "before_seq": NUMBERS,
    "client_id": some.sampled_from(("c1", "c2", "c3")),
    "conversation_id": ABOUT,
    "data": FREE_FORMS,
    "delivered_seq": NUMBERS,
    "driver_id": PEOPLE,
    "dropoff": PLACES | some.none(),
    "expires_in_ms": some.integers(1, DAY_MS),
    "heading": some.floats(0, 360, exclude_max=True),
    "kind": some.sampled_from(Kind),
    "lat": some.floats(-90, 90),
    "limit": some.integers(1, commands.MAX_PAGE),
    "lng": some.floats(-180, 180),
    "metadata": FREE_FORMS,
    "participants": some.lists(PEOPLE, min_size=1, max_size=3),
    "pickup": PLACES,
    "pin": some.sampled_from(("4711", "0000")),
    "read_seq": NUMBERS,
    "reason": TEXTS,
    "rider_id": PEOPLE,
    "seq": NUMBERS,
    "speed": some.floats(0, 50),
    "status": some.sampled_from(Status),
    "stops": some.lists(PLACES, max_size=2),
    "text": TEXTS,
    "title": TEXTS,
    "token": some.sampled_from(("", "a.b.c", "@token")),
    "trip_id": ABOUT,
    "ts": some.integers(NOW - 2 * DAY_MS, NOW + 60_000),
    "typing": some.booleans(),
    "version": NUMBERS,
}
"""What a field may be, by its name; what begins with @ is put in place by `placed`."""

NOISE: Final = some.recursive(
    some.none()
    | some.booleans()
    | some.integers()
    | some.sampled_from((2**63, -(2**63) - 1, 2**64, 10**400))
    | some.floats()
    | some.text(some.characters(), max_size=8)
    | some.binary(max_size=4)
    | ABOUT
    | some.sampled_from(({"$set": 1}, {"a.b": 1}, {"_placeholder": True, "num": 0})),
    lambda inner: (
        some.lists(inner, max_size=4)
        | some.dictionaries(some.sampled_from(sorted(GOOD)) | some.text(max_size=4), inner)
    ),
    max_leaves=8,
)


class Step(Struct, frozen=True):
    """One command."""

    caller: str
    event: str
    payload: Any


def good(kind: type[Struct]) -> Strategy:
    """What has the type's fields, each by itself as it may be."""
    fields = msgspec.structs.fields(kind)
    if kind is DriverStatus:
        return some.builds(dict, status=some.sampled_from(DriverAvailability))
    return some.fixed_dictionaries(
        {each.name: GOOD[each.name] for each in fields if each.required},
        optional={each.name: GOOD[each.name] for each in fields if not each.required},
    )


@some.composite
def spoilt(draw: some.DrawFn, kind: type[Struct]) -> Any:
    """The same, with noise in place of a field, or in a field that there is not, or without one."""
    payload = dict(draw(good(kind)))
    name = draw(some.sampled_from(sorted(payload)) | some.text(max_size=8))
    if draw(some.booleans()):
        payload[name] = draw(NOISE)
    else:
        payload.pop(name, None)
    return payload


def _payloads(event: str) -> Strategy:
    kind = PAYLOADS[event]
    likely = good(kind) | good(kind) | good(kind) | spoilt(kind) | NOISE
    return likely | some.lists(likely, max_size=5) if event == DRIVER_LOCATION else likely


def _callers(event: str) -> Strategy:
    """Mostly who may give the command at all."""
    fitting = [name for name, caller in CALLERS.items() if caller.role in COMMANDS[event].roles]
    return some.sampled_from(fitting) | some.sampled_from(fitting) | some.sampled_from([*CALLERS])


STEPS: Final = some.one_of(
    *(
        some.builds(Step, _callers(event), some.just(event), _payloads(event))
        for event in sorted(PAYLOADS)
    )
)


async def people_a_scene(world: World) -> dict[str, str]:
    """A trip of each kind and a conversation of support; what the names with @ stand for."""
    served = await world.trip_in("arrived", pin="4711")
    offered = await world.new_trip(driver_id="olga")
    ended = await world.trip_in("completed")
    support = await world.support("rita", "ann")
    await world.say(RITA, served.id, "where are you?")
    return {
        "@served": served.id,
        "@offered": offered.id,
        "@new": (await world.new_trip()).id,
        "@ended": ended.id,
        "@support": support.id,
    }


def placed(value: Any, names: Mapping[str, str]) -> Any:
    """A payload with what its names stand for."""
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, list):
        return [placed(each, names) for each in value]
    if isinstance(value, dict):
        return {key: placed(each, names) for key, each in value.items()}
    return value


def encoded(payload: Any, parser: str) -> Raw:
    """As a careless client would: NaN in JSON, half a surrogate in either."""
    if parser == "json":
        return Raw(json.dumps(payload, default=bytes.hex).encode())
    packed: bytes = msgpack.packb(_of_64_bits(payload), unicode_errors="surrogatepass")
    return Raw(packed)


def _of_64_bits(value: Any) -> Any:
    """A payload without the integers that msgpack has no room for."""
    if isinstance(value, list):
        return [_of_64_bits(each) for each in value]
    if isinstance(value, dict):
        return {key: _of_64_bits(each) for key, each in value.items()}
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    return value
