"""Every command with every field wrong in every way: always an answer, and never `internal`."""

import math
from collections.abc import Iterator
from copy import copy
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import pytest
from msgspec import Struct

from handlers.access import COMMANDS as ACCESS
from tests.conftest import fresh, now
from tests.hostile.raw import Session
from tests.servers import Server

Path = tuple[str | int, ...]

FREE_FORMS: Final = ("metadata", "data")
MAY_BE_LISTS: Final = (*FREE_FORMS, "stops", "participants")
HERE: Final = {"lat": 52.5, "lng": 13.4, "address": "at the corner"}

NEVER_A_FIELD: Final[dict[str, object]] = {
    "list": [],
    "list of lists": [[[]], [1, [2]]],
    "operator": {"$ne": 1},
    "query": {"$where": "sleep(1000)"},
}
"""Nothing that is expected anywhere but in free forms, which have rules of their own."""

WRONG: Final[dict[str, object]] = {
    **NEVER_A_FIELD,
    "null": None,
    "true": True,
    "zero": 0,
    "minus": -1,
    "fraction": 1.5,
    "float": 1.0,
    "huge float": 1e308,
    "2**63": 2**63,
    "empty": "",
    "long": "x" * 200,
    "space": " ",
    "two words": "a b",
    "NUL": "a\0b",
    "emoji": "😀" * 2_001,
    "object": {},
    "number as text": "1",
    "like an error": "x' - at `$.status`",
}

ONLY_JSON: Final[dict[str, object]] = {
    "2**70": 2**70,
    "1e999": msgspec.Raw(b"1e999"),
    "5,000 digits": msgspec.Raw(b"9" * 5_000),
    "500 brackets": msgspec.Raw(b"[" * 500 + b"]" * 500),
}

ONLY_MSGPACK: Final[dict[str, object]] = {
    "NaN": math.nan,
    "infinity": math.inf,
    "binary": b"binary",
    "extension": msgspec.msgpack.Ext(5, b"x"),
    "timestamp": datetime(2026, 1, 1, tzinfo=UTC),
    "integer keys": {1: 2},
    "list as key": msgspec.Raw(b"\x81\x91\x01\x02"),
    "object as key": msgspec.Raw(b"\x81\x81\x01\x02\x03"),
    "nested key": msgspec.Raw(b"\x81\xa1a\x81\x91\x81\x01\x02\x03"),
    "no UTF-8": msgspec.Raw(b"\xa2\xff\xfe"),
    "timestamp out of range": msgspec.Raw(b"\xc7\x0c\xff" + b"\xff" * 12),
}

REFUSALS: Final = frozenset(
    {
        "invalid",
        "forbidden",
        "not_found",
        "unauthorized",
        "conflict",
        "closed",
        "illegal_transition",
        "rate_limited",
        "too_large",
    }
)
"""What a payload may be answered with: the server's own faults are not among them."""


class Example(Struct, frozen=True):
    """A good payload with every field, and who gives the command."""

    role: str
    payload: dict[str, Any]


def examples(trip_id: str, chat_id: str) -> dict[str, Example]:
    trip, chat = {"trip_id": trip_id}, {"conversation_id": chat_id}
    draft = {**chat, "client_id": "m", "kind": "text", "text": "hello", "data": {"a": 1}}
    return {
        "session:refresh": Example("agent", {"token": "no token"}),
        "driver:status": Example("driver", {"status": "available"}),
        "driver:location": Example(
            "driver",
            {
                "lat": 52.5,
                "lng": 13.4,
                "ts": now(),
                "seq": 1,
                "heading": 90,
                "speed": 1,
                "accuracy": 1,
            },
        ),
        "trip:create": Example(
            "agent",
            {
                "client_id": fresh("request"),
                "pickup": HERE,
                "dropoff": HERE,
                "stops": [HERE],
                "pin": "4711",
                "metadata": {"a": 1},
                "rider_id": "rita",
                "driver_id": "dan",
                "expires_in_ms": 60_000,
            },
        ),
        "trip:offer": Example("agent", {**trip, "driver_id": "dan", "expires_in_ms": 60_000}),
        "trip:decline": Example("driver", {**trip, "reason": "too far"}),
        "trip:update": Example(
            "agent",
            {
                **trip,
                "status": "accepted",
                "version": 1,
                "driver_id": "dan",
                "reason": "why",
                "pin": "4711",
            },
        ),
        "trip:edit": Example(
            "agent",
            {**trip, "version": 1, "dropoff": HERE, "stops": [HERE], "metadata": {"a": 1}},
        ),
        "trip:subscribe": Example("agent", {**trip, "after_seq": 0}),
        "trip:unsubscribe": Example("agent", trip),
        "chat:send": Example("agent", draft),
        "chat:history": Example("agent", {**chat, "before_seq": 5, "limit": 5}),
        "chat:receipt": Example("agent", {**chat, "delivered_seq": 0, "read_seq": 0}),
        "chat:typing": Example("agent", {**chat, "typing": True}),
        "chat:open": Example(
            "agent", {"client_id": fresh("chat"), "participants": ["rita", "dan"], "title": "Hi"}
        ),
        "chat:close": Example("agent", {"conversation_id": fresh("none")}),
    }


EVENTS: Final = tuple(examples("t", "c"))


def test_every_command_has_its_example() -> None:
    assert set(EVENTS) == set(ACCESS)


@pytest.fixture(scope="module")
async def ids(server: Server) -> tuple[str, str]:
    """A trip and a support conversation that staff may use."""
    staff = await Session.open(server.url, "service", fresh("dispatch"))
    request = {"client_id": "t", "rider_id": "rita", "pickup": HERE}
    trip = (await staff.ok("trip:create", request))["trip"]
    opening = {"client_id": "c", "participants": [staff.user_id]}
    chat = (await staff.ok("chat:open", opening))["conversation"]
    staff.close()
    return trip["id"], chat["id"]


@pytest.mark.parametrize("parser", ["json", "msgpack"])
@pytest.mark.parametrize("event", EVENTS)
async def test_a_wrong_field_is_refused_by_its_path(
    server: Server, ids: tuple[str, str], event: str, parser: str
) -> None:
    example = examples(*ids)[event]
    session = await Session.open(server.url, example.role, fresh("mallory"), parser)
    wrong = WRONG | (ONLY_JSON if parser == "json" else ONLY_MSGPACK)
    for path in _paths(example.payload):
        sent = {
            name: session.emit(event, _spoilt(example.payload, path, value))
            for name, value in wrong.items()
        }
        for name, ack_id in sent.items():
            case = f"{event} {path} = {name}"
            answer = await session.answer(ack_id)
            _assert_documented(answer, case)
            if name in NEVER_A_FIELD and path[-1] not in MAY_BE_LISTS:
                _assert_refused_at(path, answer, case)
    await session.is_alive()
    session.close()


@pytest.mark.parametrize("parser", ["json", "msgpack"])
async def test_a_payload_that_is_no_object_is_refused(
    server: Server, ids: tuple[str, str], parser: str
) -> None:
    sessions = {
        role: await Session.open(server.url, role, fresh("mallory"), parser)
        for role in ("agent", "driver")
    }
    wrong = WRONG | (ONLY_JSON if parser == "json" else ONLY_MSGPACK)
    for event, example in examples(*ids).items():
        session = sessions[example.role]
        for name, value in wrong.items():
            answer = await session.call(event, value)
            _assert_documented(answer, f"{event} {name}")
            if event != "driver:location" or name in ("null", "true", "long", "zero"):
                assert answer["error"]["code"] == "invalid", (event, name, answer)
    for session in sessions.values():
        await session.is_alive()
        session.close()


async def test_a_command_without_a_payload_is_refused(server: Server, ids: tuple[str, str]) -> None:
    for event, example in examples(*ids).items():
        session = await Session.open(server.url, example.role, fresh("mallory"))
        session.socket.send(f'421["{event}"]', f'422["{event}",{{}}]')
        for ack_id in (1, 2):
            answer = await session.answer(ack_id)
            if (event, ack_id) != ("driver:location", 2):
                assert answer["error"]["code"] == "invalid", answer
        session.close()


async def test_commands_of_other_roles_are_forbidden_whatever_they_carry(server: Server) -> None:
    viewer = await Session.open(server.url, "viewer", fresh("mallory"), trips=["t"])
    for event in EVENTS:
        if "viewer" not in ACCESS[event].roles:
            answer = await viewer.call(event, {"$ne": 1})
            assert answer["error"]["code"] == "forbidden", answer
    viewer.close()


@pytest.mark.parametrize("parser", ["json", "msgpack"])
async def test_a_bad_point_costs_only_itself(server: Server, parser: str) -> None:
    driver = await Session.open(server.url, "driver", fresh("dan"), parser)
    wrong = [*(WRONG | (ONLY_JSON if parser == "json" else ONLY_MSGPACK)).values()]
    start = now()
    for name in ("lat", "lng", "ts", "seq"):
        good = {"lat": 52.5, "lng": 13.4, "ts": now(), "seq": now() - start + 1}
        batch = [{**good, name: value} for value in wrong if value is not None]
        answer = await driver.ok("driver:location", [*batch, 5, None, good])
        assert answer["accepted"] + len(answer["rejected"]) == len(batch) + 3, answer
    await driver.is_alive()
    driver.close()


@pytest.mark.parametrize("count", [0, 501, 60_000])
async def test_too_many_points_or_none_are_refused(server: Server, count: int) -> None:
    driver = await Session.open(server.url, "driver", fresh("dan"))
    answer = await driver.call("driver:location", [0] * count)
    assert answer["error"]["code"] == "invalid"
    driver.close()


async def test_who_asks_without_waiting_is_held_up_and_answered_all_the_same(
    server: Server, ids: tuple[str, str]
) -> None:
    """More commands at once than may wait: each gets one answer."""
    agent = await Session.open(server.url, "agent", fresh("mallory"))
    sent = [agent.emit("chat:history", {"conversation_id": ids[1]}) for _ in range(1_000)]
    answers = [await agent.answer(ack_id) for ack_id in sent]
    codes = {answer.get("error", {}).get("code") for answer in answers}
    assert codes == {None, "rate_limited"}
    agent.close()


def _paths(value: object, *before: str | int) -> Iterator[Path]:
    """Where in a payload something else could be; free forms have no fields of their own."""
    if before:
        yield before
    if before and before[-1] in FREE_FORMS:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _paths(inner, *before, name)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _paths(inner, *before, index)


def _spoilt(value: Any, path: Path, wrong: object) -> Any:
    if not path:
        return wrong
    spoilt = copy(value)
    spoilt[path[0]] = _spoilt(value[path[0]], path[1:], wrong)
    return spoilt


def _assert_documented(answer: Any, case: str) -> None:
    if answer["ok"] is not True:
        error = answer["error"]
        assert error["code"] in REFUSALS, f"{case}: {answer}"
        if error["code"] == "invalid":
            assert isinstance(error["path"], str), f"{case}: {answer}"
            assert error["expected"], f"{case}: {answer}"


def _assert_refused_at(path: Path, answer: Any, case: str) -> None:
    if "rejected" in answer:
        assert answer["accepted"] == 0, f"{case}: {answer}"
    else:
        assert answer["ok"] is False, f"{case}: {answer}"
        assert answer["error"]["code"] == "invalid", f"{case}: {answer}"
        assert answer["error"]["path"].startswith(".".join(map(str, path))), f"{case}: {answer}"
