"""Who may give which command: every command by everybody, as the protocol has it."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from tests.clients import Client, JsProcess, PythonClient
from tests.conftest import Cluster, Connect, fresh, mint
from tests.rides import PICKUP, Cast, cast, hears_version, point, say, texts, where

PEOPLE: Final = (
    "rider",
    "other rider",
    "driver",
    "former driver",
    "other driver",
    "agent",
    "service",
    "viewer",
    "other viewer",
)
"""The trip's rider; its driver, or the one it is offered to; one who declined it, or gave it back;
strangers; staff; a viewer of the trip and one of another."""

WHILE_OFFERED: Final = {
    "session:refresh": "ok ok ok ok ok ok ok ok ok",
    "driver:status": "forbidden forbidden ok ok ok forbidden forbidden forbidden forbidden",
    "driver:location": "forbidden forbidden ok ok ok forbidden forbidden forbidden forbidden",
    "trip:create": "ok ok forbidden forbidden forbidden ok ok forbidden forbidden",
    "trip:offer": "forbidden forbidden forbidden forbidden forbidden ok ok forbidden forbidden",
    "trip:decline": "forbidden forbidden ok ok not_found forbidden forbidden forbidden forbidden",
    "trip:edit": "ok not_found forbidden forbidden forbidden ok ok forbidden forbidden",
    "trip:subscribe": "ok not_found ok not_found not_found ok ok ok not_found",
    "trip:unsubscribe": "ok ok ok ok ok ok ok ok ok",
    "chat:send": "ok not_found forbidden not_found not_found ok ok forbidden forbidden",
    "chat:history": "ok not_found forbidden not_found not_found ok ok forbidden forbidden",
    "chat:receipt": (
        "ok not_found forbidden not_found not_found forbidden forbidden forbidden forbidden"
    ),
    "chat:typing": (
        "ok not_found forbidden not_found not_found forbidden forbidden forbidden forbidden"
    ),
    "chat:open": "forbidden forbidden forbidden forbidden forbidden ok ok forbidden forbidden",
    "chat:close": "forbidden forbidden forbidden forbidden forbidden ok ok forbidden forbidden",
}

WHILE_SERVED: Final = WHILE_OFFERED | {
    "trip:offer": (
        "forbidden forbidden forbidden forbidden forbidden"
        " illegal_transition illegal_transition forbidden forbidden"
    ),
    "trip:decline": (
        "forbidden forbidden forbidden ok not_found forbidden forbidden forbidden forbidden"
    ),
    "chat:send": "ok not_found ok not_found not_found ok ok forbidden forbidden",
    "chat:history": "ok not_found ok not_found not_found ok ok forbidden forbidden",
    "chat:receipt": "ok not_found ok not_found not_found forbidden forbidden forbidden forbidden",
    "chat:typing": "ok not_found ok not_found not_found forbidden forbidden forbidden forbidden",
}

Payload = Callable[[Client, Cast, str], Awaitable[Any]]


def _plain(**fields: Any) -> Payload:
    async def payload(_caller: Client, _people: Cast, trip_id: str) -> Any:
        return {name: trip_id if value == "TRIP" else value for name, value in fields.items()}

    return payload


async def _refresh(caller: Client, _people: Cast, trip_id: str) -> Any:
    role = caller.heard("session:ready")[0]["role"]
    trips = [trip_id] if role == "viewer" else []
    return {"token": mint(role, caller.user_id, trips=trips)}


async def _point(_caller: Client, _people: Cast, _trip_id: str) -> Any:
    return point(1)


async def _request(caller: Client, _people: Cast, _trip_id: str) -> Any:
    is_rider = caller.heard("session:ready")[0]["role"] == "rider"
    whose = {} if is_rider else {"rider_id": fresh("rider")}
    return {"client_id": fresh("request"), "pickup": PICKUP, **whose}


async def _offer(_caller: Client, people: Cast, trip_id: str) -> Any:
    return {"trip_id": trip_id, "driver_id": people.driver.user_id}


async def _edit(_caller: Client, _people: Cast, trip_id: str) -> Any:
    return {"trip_id": trip_id, "metadata": {"note": fresh("note")}}


async def _draft(_caller: Client, _people: Cast, trip_id: str) -> Any:
    return {"conversation_id": trip_id, "client_id": fresh("message"), "text": "hello"}


async def _opening(_caller: Client, people: Cast, _trip_id: str) -> Any:
    return {"client_id": fresh("opening"), "participants": [people.rider.user_id]}


async def _open_one(caller: Client, people: Cast, trip_id: str) -> Any:
    opening = await _opening(caller, people, trip_id)
    opened = await people.dispatcher.ok("chat:open", opening)
    return {"conversation_id": opened["conversation"]["id"]}


PAYLOADS: Final[dict[str, Payload]] = {
    "session:refresh": _refresh,
    "driver:status": _plain(status="busy"),
    "driver:location": _point,
    "trip:create": _request,
    "trip:offer": _offer,
    "trip:decline": _plain(trip_id="TRIP"),
    "trip:edit": _edit,
    "trip:subscribe": _plain(trip_id="TRIP"),
    "trip:unsubscribe": _plain(trip_id="TRIP"),
    "chat:send": _draft,
    "chat:history": _plain(conversation_id="TRIP"),
    "chat:receipt": _plain(conversation_id="TRIP", read_seq=1),
    "chat:typing": _plain(conversation_id="TRIP", typing=True),
    "chat:open": _opening,
    "chat:close": _open_one,
}


async def _try(cluster: Cluster, connect: Connect, command: str, *, served: bool) -> dict[str, str]:
    """The command, given by everybody; what came of it: `ok` or the error's code."""
    people = await cast(cluster, connect)
    former = await connect(cluster.first, "driver", fresh("driver"))
    trip_id = await _trip(people, former, served=served)
    other_trip = (
        await people.dispatcher.ok("trip:create", await _request(people.dispatcher, people, ""))
    )["trip"]
    clients = (
        people.rider,
        await connect(cluster.first, "rider", fresh("rider"), kind="js"),
        people.driver,
        former,
        await connect(cluster.first, "driver", fresh("driver"), parser="msgpack"),
        await connect(cluster.second, "agent", fresh("agent")),
        await connect(cluster.first, "service", fresh("service"), kind="js", parser="msgpack"),
        await connect(cluster.second, "viewer", fresh("viewer"), trips=[trip_id]),
        await connect(cluster.first, "viewer", fresh("viewer"), trips=[other_trip["id"]]),
    )
    outcomes = {}
    for name, client in zip(PEOPLE, clients, strict=True):
        answer = await client.call(command, await PAYLOADS[command](client, people, trip_id))
        outcomes[name] = "ok" if answer["ok"] else answer["error"]["code"]
    return outcomes


async def _trip(people: Cast, former: Client, *, served: bool) -> str:
    """A trip with a message, that `former` had or could have had, and that is now the driver's."""
    request = {"rider_id": people.rider.user_id, "pickup": PICKUP, "client_id": fresh("request")}
    created = await people.dispatcher.ok("trip:create", {**request, "driver_id": former.user_id})
    trip_id: str = created["trip"]["id"]
    await hears_version(former, trip_id, 1)
    if served:
        await former.ok("trip:update", {"trip_id": trip_id, "status": "accepted"})
        await former.ok("trip:update", {"trip_id": trip_id, "status": "requested"})
    else:
        await former.ok("trip:decline", {"trip_id": trip_id})
    driver = people.driver
    offer = {"trip_id": trip_id, "driver_id": driver.user_id}
    offered = await people.dispatcher.ok("trip:offer", offer)
    await hears_version(driver, trip_id, offered["trip"]["version"])
    if served:
        await driver.ok("trip:update", {"trip_id": trip_id, "status": "accepted"})
    await say(people.rider, trip_id, "hello")
    return trip_id


def _row(outcomes: str) -> dict[str, str]:
    return dict(zip(PEOPLE, outcomes.split(), strict=True))


@pytest.mark.parametrize("command", WHILE_OFFERED)
async def test_who_may_give_a_command_while_the_trip_is_offered(
    cluster: Cluster, connect: Connect, command: str
) -> None:
    outcomes = await _try(cluster, connect, command, served=False)
    assert outcomes == _row(WHILE_OFFERED[command])


@pytest.mark.parametrize("command", WHILE_SERVED)
async def test_who_may_give_a_command_while_the_trip_is_served(
    cluster: Cluster, connect: Connect, command: str
) -> None:
    outcomes = await _try(cluster, connect, command, served=True)
    assert outcomes == _row(WHILE_SERVED[command])


@pytest.mark.parametrize("role", ["driver", "rider", "agent", "service", "viewer"])
async def test_a_trip_of_others_and_one_that_does_not_exist_look_the_same(
    cluster: Cluster, connect: Connect, role: str
) -> None:
    people = await cast(cluster, connect)
    others = await people.trip()
    stranger = await connect(cluster.first, role, fresh(role), trips=[fresh("trip")])
    no_such = {"code": "not_found", "retry": False}
    for command, payload in (
        ("trip:subscribe", {}),
        ("trip:update", {"status": "cancelled"}),
        ("trip:edit", {"metadata": {}}),
        ("trip:decline", {}),
    ):
        missing = await stranger.refused(command, {"trip_id": fresh("trip"), **payload})
        if missing["code"] != "forbidden" and role not in ("agent", "service"):
            assert missing | no_such == missing
            assert await stranger.refused(command, {"trip_id": others, **payload}) == missing
    for command, payload in (
        ("chat:history", {}),
        ("chat:send", {"client_id": "one", "text": "hello"}),
    ):
        missing = await stranger.refused(command, {"conversation_id": fresh("trip"), **payload})
        if role in ("driver", "rider"):
            assert missing | no_such == missing
            assert (
                await stranger.refused(command, {"conversation_id": others, **payload}) == missing
            )


async def test_an_unknown_event_is_answered_so(cluster: Cluster, connect: Connect) -> None:
    client = await connect(cluster.first, "rider", fresh("rider"))
    for name in ("trip:teleport", "toString", ""):
        assert (await client.refused(name, {}))["code"] == "unknown_event"


@pytest.mark.parametrize("name", ["connect", "connect_error", "disconnect", "disconnecting"])
async def test_an_event_that_is_the_clients_own_ends_its_session(
    cluster: Cluster, connect: Connect, name: str
) -> None:
    """As at the official server; a client of its own making hears why."""
    client = await connect(cluster.first, "rider", fresh("rider"))
    assert (await client.refused(name, {}))["code"] == "invalid"
    assert await client.hears("session:ended") == {"code": "invalid", "retry": True}


async def test_an_invalid_payload_is_answered_with_the_path_of_what_is_wrong(
    cluster: Cluster, connect: Connect
) -> None:
    rider = await connect(cluster.first, "rider", fresh("rider"))
    for event, payload, path in (
        ("trip:create", {"pickup": PICKUP}, "client_id"),
        ("trip:create", {"client_id": "two words", "pickup": PICKUP}, "client_id"),
        ("trip:create", {"client_id": "c" * 129, "pickup": PICKUP}, "client_id"),
        ("trip:create", {"client_id": "one", "pickup": {"lat": 91, "lng": 0}}, "pickup.lat"),
        (
            "trip:create",
            {"client_id": "one", "pickup": PICKUP, "stops": [PICKUP, {"lat": 1}]},
            "stops.1.lng",
        ),
        ("trip:update", {"trip_id": "one", "status": "flying"}, "status"),
        ("trip:subscribe", {"trip_id": "one", "after_seq": -1}, "after_seq"),
        ("chat:history", {"conversation_id": "one", "limit": 201}, "limit"),
        ("chat:typing", {"conversation_id": "one", "typing": "yes"}, "typing"),
        ("session:refresh", {}, "token"),
        ("chat:send", [], ""),
        ("chat:send", "hello", ""),
        ("chat:send", None, ""),
    ):
        error = await rider.refused(event, payload)
        assert (error["code"], error["path"], error["retry"]) == ("invalid", path, False)
        assert "xpected" in error["message"]
    assert (await rider.refused("chat:send"))["code"] == "invalid"


async def test_unknown_fields_are_ignored(cluster: Cluster, connect: Connect) -> None:
    rider = await connect(cluster.first, "rider", fresh("rider"))
    request = {"client_id": "one", "pickup": {**PICKUP, "floor": 3}, "luggage": {"bags": 2}}
    trip = (await rider.ok("trip:create", request))["trip"]
    assert "luggage" not in trip
    assert trip["pickup"] == PICKUP


async def test_commands_that_come_with_the_connection_wait_for_the_session(
    cluster: Cluster, js: JsProcess
) -> None:
    for connect in (PythonClient.connect, js.connect):
        client = await connect(
            cluster.first,
            {"token": mint("driver", fresh("driver"))},
            parser="msgpack",
            transports=["websocket"],
            headers={},
        )
        assert (await client.ok("driver:location", point(1)))["accepted"] == 1
        await client.ok("driver:status", {"status": "available"})
        assert [name for name, _ in client.events] == ["session:ready"]
        await client.close()


@pytest.mark.parametrize("parser", ["json", "msgpack"])
async def test_commands_of_one_connection_take_effect_in_order(
    cluster: Cluster, connect: Connect, parser: str
) -> None:
    people = await cast(cluster, connect, parser=parser)
    trip_id = await people.trip("accepted")
    for number in range(30):
        draft = {"conversation_id": trip_id, "client_id": f"{number}", "text": f"{number}"}
        await people.rider.emit("chat:send", draft)
    await people.rider.ok("chat:history", {"conversation_id": trip_id})
    history = await people.rider.ok("chat:history", {"conversation_id": trip_id})
    assert [m["text"] for m in history["messages"]] == [f"{number}" for number in range(30)]
    await people.driver.hears("chat:message", where(seq=30))
    assert texts(people.driver, trip_id) == [f"{number}" for number in range(30)]


@pytest.mark.parametrize("kind", ["py", "js"])
async def test_a_command_without_an_acknowledgement_takes_effect_as_well(
    cluster: Cluster, connect: Connect, kind: str
) -> None:
    people = await cast(cluster, connect, kind=kind)
    trip_id = await people.trip("accepted")
    await people.rider.emit("trip:update", {"trip_id": trip_id, "status": "cancelled"})
    assert (await hears_version(people.driver, trip_id, 3))["status"] == "cancelled"
