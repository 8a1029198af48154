"""The trip's states over real sockets: who may move a trip from where to where, repeats, pins."""

import asyncio
from typing import Any, Final

import pytest

from tests.clients import Client
from tests.conftest import Cluster, Connect, fresh
from tests.rides import WAY, Cast, cast, hears_version, versions

STATUSES: Final = tuple(WAY)

MOVES: Final = {
    ("requested", "accepted"): "driver agent service",
    ("requested", "cancelled"): "rider agent service",
    ("requested", "unfulfilled"): "agent service",
    ("accepted", "arriving"): "driver agent service",
    ("accepted", "arrived"): "driver agent service",
    ("accepted", "requested"): "driver agent service",
    ("accepted", "cancelled"): "driver rider agent service",
    ("arriving", "arrived"): "driver agent service",
    ("arriving", "requested"): "driver agent service",
    ("arriving", "cancelled"): "driver rider agent service",
    ("arrived", "in_progress"): "driver agent service",
    ("arrived", "requested"): "driver agent service",
    ("arrived", "cancelled"): "driver rider agent service",
    ("in_progress", "completed"): "driver agent service",
    ("in_progress", "cancelled"): "agent service",
}
"""From, to, and by whom. The driver of a requested trip is the one whom it is offered to."""

STRANGERS: Final = ("other rider", "other driver")


class _Everybody:
    """The people of a trip and those around it, each with a connection."""

    def __init__(self, people: Cast, others: dict[str, Client]) -> None:
        self.people = people
        self.clients = {"rider": people.rider, "driver": people.driver, **others}

    async def move(self, who: str, trip_id: str, to: str) -> dict[str, Any]:
        staff = who in ("agent", "service")
        named = {"driver_id": self.people.driver.user_id} if staff and to == "accepted" else {}
        move = {"trip_id": trip_id, "status": to, **named}
        answer: dict[str, Any] = await self.clients[who].call("trip:update", move)
        return answer


async def _everybody(cluster: Cluster, connect: Connect) -> _Everybody:
    others = {
        "other rider": await connect(cluster.second, "rider", fresh("rider")),
        "other driver": await connect(cluster.first, "driver", fresh("driver"), kind="js"),
        "agent": await connect(cluster.first, "agent", fresh("agent"), parser="msgpack"),
        "service": await connect(cluster.first, "service", fresh("service"), kind="js"),
    }
    return _Everybody(await cast(cluster, connect), others)


def _allowed(start: str, who: str) -> list[str]:
    return [
        to for (origin, to), movers in MOVES.items() if origin == start and who in movers.split()
    ]


def _expected(start: str, who: str, to: str) -> str:
    if who == "viewer":
        return "forbidden"
    if who in STRANGERS or (start, who) == ("unfulfilled", "driver"):
        return "not_found"
    if (start, to) not in MOVES:
        return "illegal_transition"
    return "ok" if to in _allowed(start, who) else "forbidden"


@pytest.mark.parametrize("start", STATUSES)
async def test_nobody_moves_a_trip_where_it_may_not(
    cluster: Cluster, connect: Connect, start: str
) -> None:
    everybody = await _everybody(cluster, connect)
    trip_id = await everybody.people.trip(start)
    viewer = await connect(cluster.first, "viewer", fresh("viewer"), trips=[trip_id])
    everybody.clients["viewer"] = viewer
    expected: dict[tuple[str, str], str] = {}
    found: dict[tuple[str, str], str] = {}
    for who in everybody.clients:
        for to in STATUSES:
            outcome = _expected(start, who, to)
            if outcome == "ok":
                continue
            error = (await everybody.move(who, trip_id, to))["error"]
            expected[who, to], found[who, to] = outcome, error["code"]
            if error["code"] == "illegal_transition":
                assert sorted(error["allowed"]) == sorted(_allowed(start, who))
    assert found == expected
    snapshot = await everybody.people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    assert (snapshot["trip"]["status"], snapshot["trip"]["version"]) == (start, 1 + len(WAY[start]))


@pytest.mark.parametrize("start", ["requested", "accepted", "arriving", "arrived", "in_progress"])
async def test_whoever_may_move_a_trip_moves_it(
    cluster: Cluster, connect: Connect, start: str
) -> None:
    everybody = await _everybody(cluster, connect)
    people = everybody.people
    for who in ("driver", "rider", "agent", "service"):
        for to in _allowed(start, who):
            trip_id = await people.trip(start)
            trip = (await everybody.move(who, trip_id, to))["trip"]
            version = 2 + len(WAY[start])
            assert (trip["status"], trip["version"]) == (to, version)
            served = to not in ("requested", "unfulfilled") and start != "requested"
            driver_id = people.driver.user_id if served or to == "accepted" else None
            assert trip["driver_id"] == driver_id
            for client in (people.rider, people.driver):
                told = await hears_version(client, trip_id, version)
                assert (told["status"], told["driver_id"]) == (to, driver_id)
                assert told["by"] == everybody.clients[who].user_id


async def test_a_cancelled_trip_says_by_whom_and_why(cluster: Cluster, connect: Connect) -> None:
    people = await cast(cluster, connect)
    for canceller, role in (
        (people.rider, "rider"),
        (people.driver, "driver"),
        (people.dispatcher, "service"),
    ):
        trip_id = await people.trip("accepted")
        cancel = {"trip_id": trip_id, "status": "cancelled", "reason": "changed plans"}
        trip = (await canceller.ok("trip:update", cancel))["trip"]
        assert (trip["cancelled_by"], trip["reason"]) == (role, "changed plans")
        told = await hears_version(people.rider, trip_id, 3)
        assert told["reason"] == "changed plans"
        assert told == {"trip_id": trip_id, **trip["events"][-1]}


async def test_staff_names_the_driver_when_it_accepts(cluster: Cluster, connect: Connect) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip()
    accept = {"trip_id": trip_id, "status": "accepted"}
    error = await people.dispatcher.refused("trip:update", accept)
    assert (error["code"], error["path"]) == ("invalid", "driver_id")
    other = await connect(cluster.first, "driver", fresh("driver"))
    await people.dispatcher.ok("trip:update", {**accept, "driver_id": other.user_id})
    assert (await hears_version(other, trip_id, 2))["driver_id"] == other.user_id
    assert (await hears_version(people.driver, trip_id, 2))["offer"] is None


@pytest.mark.parametrize("kind", ["py", "js"])
async def test_a_repeated_transition_returns_the_trip_and_changes_nothing(
    cluster: Cluster, connect: Connect, kind: str
) -> None:
    people = await cast(cluster, connect, kind=kind)
    trip_id = await people.trip(pin="4711")
    for version, status in enumerate(WAY["completed"], start=1):
        move = {"trip_id": trip_id, "status": status, "version": version, "pin": "4711"}
        first = await people.driver.ok("trip:update", move)
        assert first["trip"]["version"] == version + 1
        del move["pin"]
        assert await people.driver.ok("trip:update", move) == first
        assert (
            await people.driver.ok("trip:update", {"trip_id": trip_id, "status": status}) == first
        )
    await hears_version(people.rider, trip_id, 6)
    await hears_version(people.driver, trip_id, 6)
    await people.passed(people.rider, people.driver)
    assert versions(people.rider, trip_id) == [1, 2, 3, 4, 5, 6]
    assert versions(people.driver, trip_id) == [1, 2, 3, 4, 5, 6]


async def test_a_driver_who_gave_the_trip_back_may_repeat_that(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("arriving", pin="4711")
    back = {"trip_id": trip_id, "status": "requested", "version": 3, "reason": "flat tyre"}
    first = await people.driver.ok("trip:update", back)
    assert (first["trip"]["driver_id"], first["trip"]["version"]) == (None, 4)
    assert await people.driver.ok("trip:update", back) == first
    assert "pin" not in first["trip"]
    again = {"trip_id": trip_id, "status": "accepted"}
    assert (await people.driver.refused("trip:update", again))["code"] == "not_found"


async def test_a_repeat_counts_from_the_last_transition_not_from_the_last_change(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    arriving = {"trip_id": trip_id, "status": "arriving", "version": 2}
    await people.driver.ok("trip:update", arriving)
    await people.rider.ok("trip:edit", {"trip_id": trip_id, "metadata": {"bags": 2}})
    assert (await people.driver.ok("trip:update", arriving))["trip"]["version"] == 4


async def test_what_somebody_else_did_is_not_repeated(cluster: Cluster, connect: Connect) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    cancel = {"trip_id": trip_id, "status": "cancelled"}
    await people.driver.ok("trip:update", cancel)
    error = await people.rider.refused("trip:update", cancel)
    assert (error["code"], error["allowed"]) == ("illegal_transition", [])


async def test_staff_repeats_with_the_same_driver_only(cluster: Cluster, connect: Connect) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    accept = {"trip_id": trip_id, "status": "accepted", "driver_id": people.driver.user_id}
    assert (await people.dispatcher.ok("trip:update", accept))["trip"]["version"] == 2
    other = {**accept, "driver_id": fresh("driver")}
    assert (await people.dispatcher.refused("trip:update", other))["code"] == "illegal_transition"


async def test_the_same_sub_in_another_role_repeats_nothing(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("cancelled")
    namesake = await connect(cluster.second, "driver", people.dispatcher.user_id)
    cancel = {"trip_id": trip_id, "status": "cancelled"}
    assert (await namesake.refused("trip:update", cancel))["code"] == "not_found"


async def test_a_trip_that_moved_on_is_a_conflict_that_carries_it(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("arriving", pin="4711")
    snapshot = await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    cancel = {"trip_id": trip_id, "status": "cancelled", "version": 2}
    error = await people.rider.refused("trip:update", cancel)
    assert (error["code"], error["retry"]) == ("conflict", False)
    assert error["trip"] == snapshot["trip"]
    assert error["trip"]["pin"] == "4711"
    ahead = {"trip_id": trip_id, "status": "arrived", "version": 4}
    error = await people.driver.refused("trip:update", ahead)
    assert error["code"] == "conflict"
    assert error["trip"] == {k: v for k, v in snapshot["trip"].items() if k != "pin"}
    arrived = {"trip_id": trip_id, "status": "arrived", "version": 3}
    assert (await people.driver.ok("trip:update", arrived))["trip"]["version"] == 4


async def test_the_ride_starts_with_the_pin(cluster: Cluster, connect: Connect) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("arrived", pin="4711")
    start = {"trip_id": trip_id, "status": "in_progress"}
    for pin in ({}, {"pin": "4712"}, {"pin": "471"}, {"pin": "47111"}):
        error = await people.driver.refused("trip:update", {**start, **pin})
        assert (error["code"], error["path"]) == ("forbidden", "pin")
    started = await people.driver.ok("trip:update", {**start, "pin": "4711"})
    assert (started["trip"]["status"], started["trip"]["version"]) == ("in_progress", 5)


async def test_five_wrong_pins_lock_the_start_for_a_minute(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("arrived", pin="4711")
    start = {"trip_id": trip_id, "status": "in_progress"}
    for pin in range(5):
        error = await people.driver.refused("trip:update", {**start, "pin": f"{pin}"})
        assert error["code"] == "forbidden"
    error = await people.driver.refused("trip:update", {**start, "pin": "4711"})
    assert (error["code"], error["retry"]) == ("rate_limited", True)
    assert 0 < error["retry_after_ms"] <= 60_000
    other_device = await connect(cluster.first, "driver", people.driver.user_id)
    error = await other_device.refused("trip:update", {**start, "pin": "4711"})
    assert error["code"] == "rate_limited"
    await people.dispatcher.ok("trip:update", start)


async def test_guesses_at_the_same_time_are_no_more_than_five(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("arrived", pin="4711")
    phones = [people.driver] + [
        await connect(url, "driver", people.driver.user_id)
        for url in (cluster.first, cluster.second) * 5
    ]
    start = {"trip_id": trip_id, "status": "in_progress"}
    errors = await asyncio.gather(
        *(
            phone.refused("trip:update", {**start, "pin": f"{number}"})
            for number, phone in enumerate(phones)
        )
    )
    codes = [error["code"] for error in errors]
    assert sorted(codes) == ["forbidden"] * 5 + ["rate_limited"] * (len(phones) - 5)


async def test_a_driver_may_serve_several_trips_at_once(cluster: Cluster, connect: Connect) -> None:
    people = await cast(cluster, connect)
    first, second = await people.trip("in_progress"), await people.trip("accepted")
    for trip_id, status in ((first, "completed"), (second, "arriving")):
        move = {"trip_id": trip_id, "status": status}
        assert (await people.driver.ok("trip:update", move))["trip"]["status"] == status


@pytest.mark.parametrize("attempt", range(3))
async def test_of_two_who_move_a_trip_at_once_exactly_one_does(
    cluster: Cluster, connect: Connect, attempt: int
) -> None:
    people = await cast(cluster, connect, kind="js" if attempt else "py")
    for _ in range(5):
        trip_id = await people.trip("arrived")
        answers = await asyncio.gather(
            people.rider.call("trip:update", {"trip_id": trip_id, "status": "cancelled"}),
            people.driver.call("trip:update", {"trip_id": trip_id, "status": "in_progress"}),
        )
        won = [answer for answer in answers if answer["ok"]]
        lost = [answer["error"]["code"] for answer in answers if not answer["ok"]]
        assert len(won) == 1
        assert lost[0] in ("forbidden", "illegal_transition")
        for client in (people.rider, people.driver):
            told = await hears_version(client, trip_id, 5)
            assert told["status"] == won[0]["trip"]["status"]


async def test_of_two_with_the_same_version_exactly_one_wins_and_the_other_sees_how(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    for _ in range(5):
        trip_id = await people.trip("accepted")
        version = {"trip_id": trip_id, "version": 2}
        answers = await asyncio.gather(
            people.rider.call("trip:update", {**version, "status": "cancelled"}),
            people.driver.call("trip:update", {**version, "status": "arrived"}),
        )
        won = [answer for answer in answers if answer["ok"]]
        lost = [answer["error"] for answer in answers if not answer["ok"]]
        assert [error["code"] for error in lost] == ["conflict"]
        assert lost[0]["trip"]["status"] == won[0]["trip"]["status"]


async def test_of_two_drivers_exactly_one_gets_the_trip(cluster: Cluster, connect: Connect) -> None:
    people = await cast(cluster, connect)
    others = [
        await connect(url, "service", fresh("dispatch"))
        for url in (cluster.first, cluster.second) * 2
    ]
    for _ in range(3):
        trip_id = await people.trip()
        accept = {"trip_id": trip_id, "status": "accepted"}
        answers = await asyncio.gather(
            people.driver.call("trip:update", accept),
            *(o.call("trip:update", {**accept, "driver_id": fresh("driver")}) for o in others),
        )
        won = [answer["trip"] for answer in answers if answer["ok"]]
        assert len(won) == 1
        told = await hears_version(people.rider, trip_id, 2)
        assert told["driver_id"] == won[0]["driver_id"]
        assert (await hears_version(people.driver, trip_id, 2)) == told
