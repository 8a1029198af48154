"""Snapshots and what follows them: together they are everything, once and in order."""

import asyncio
from typing import Any

import pytest

from tests.clients import Client
from tests.conftest import Cluster, Connect, fresh
from tests.rides import Cast, cast, hears_version, point, say, seqs, versions, where

MESSAGES = 30


class _Flow:
    """Messages and edits on the second instance; others can wait until it has come some way."""

    def __init__(self, people: Cast, trip_id: str) -> None:
        self._people = people
        self._trip_id = trip_id
        self._sent = 0
        self._news = asyncio.Condition()

    async def run(self) -> None:
        for number in range(1, MESSAGES + 1):
            await say(self._people.driver, self._trip_id, f"{number}")
            if number % 3 == 0:
                edit = {"trip_id": self._trip_id, "metadata": {"number": number}}
                await self._people.dispatcher.ok("trip:edit", edit)
            async with self._news:
                self._sent = number
                self._news.notify_all()

    async def has_sent(self, number: int) -> None:
        async with self._news:
            await self._news.wait_for(lambda: self._sent >= number)

    @property
    def is_over(self) -> bool:
        return self._sent == MESSAGES


async def test_a_snapshot_has_the_fields_of_the_protocol(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    sent = await say(people.rider, trip_id, "hello")
    await people.driver.ok("chat:receipt", {"conversation_id": trip_id, "read_seq": 1})
    position = point(1, speed=3.5)
    await people.driver.ok("driver:location", position)
    agent = await connect(cluster.second, "agent", fresh("agent"), kind="js", parser="msgpack")
    snapshot = await agent.ok("trip:subscribe", {"trip_id": trip_id})
    last_seen = snapshot["driver"]["last_seen"]
    trip = snapshot["trip"]
    assert (trip["id"], trip["version"], len(trip["events"])) == (trip_id, 2, 2)
    assert snapshot == {
        "ok": True,
        "trip": trip,
        "location": position,
        "driver": {"trip_id": trip_id, "connection": "live", "last_seen": last_seen},
        "messages": [sent],
        "last_seq": 1,
        "read": {people.driver.user_id: {"delivered_seq": 1, "read_seq": 1}},
        "has_more": False,
    }


async def test_a_trip_without_a_driver_has_no_drivers_connection(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    await people.driver.ok("driver:location", point(1))
    trip_id = await people.trip()
    snapshot = await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    assert (snapshot["driver"], snapshot["location"]) == (None, None)


@pytest.mark.parametrize("parser", ["json", "msgpack"])
@pytest.mark.parametrize("kind", ["py", "js"])
async def test_a_snapshot_and_what_follows_are_everything_once(
    cluster: Cluster, connect: Connect, kind: str, parser: str
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    flow = _Flow(people, trip_id)
    agents = [
        await connect(url, "agent", fresh("agent"), kind=kind, parser=parser)
        for url in (cluster.first, cluster.second) * 5
    ]

    async def subscribe(number: int, agent: Client) -> dict[str, Any]:
        await flow.has_sent(number)
        request = {"trip_id": trip_id, "after_seq": 0}
        snapshot: dict[str, Any] = await agent.ok("trip:subscribe", request)
        return snapshot

    late = (subscribe(3 * number, agent) for number, agent in enumerate(agents))
    _, *snapshots = await asyncio.gather(flow.run(), *late)
    for agent, snapshot in zip(agents, snapshots, strict=True):
        contained = [message["seq"] for message in snapshot["messages"]]
        assert contained == list(range(1, snapshot["last_seq"] + 1))
        if snapshot["last_seq"] < MESSAGES:
            await agent.hears("chat:message", where(seq=MESSAGES))
        assert contained + seqs(agent, trip_id) == list(range(1, MESSAGES + 1))
        known = snapshot["trip"]["version"]
        if known < 12:
            await hears_version(agent, trip_id, 12)
        assert versions(agent, trip_id) == list(range(known + 1, 13))


@pytest.mark.parametrize(("kind", "parser"), [("py", "msgpack"), ("js", "json")])
async def test_who_subscribes_again_and_again_with_after_seq_misses_nothing_and_gets_nothing_twice(
    cluster: Cluster, connect: Connect, kind: str, parser: str
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    flow = _Flow(people, trip_id)
    agent = await connect(cluster.first, "agent", fresh("agent"), kind=kind, parser=parser)
    contained: list[int] = []

    async def come_and_go() -> None:
        while True:
            last_time = flow.is_over
            known = max([0, *contained, *seqs(agent, trip_id)])
            request = {"trip_id": trip_id, "after_seq": known}
            snapshot = await agent.ok("trip:subscribe", request)
            contained.extend(message["seq"] for message in snapshot["messages"])
            await agent.ok("trip:unsubscribe", {"trip_id": trip_id})
            if last_time:
                return

    await asyncio.gather(flow.run(), come_and_go())
    assert sorted(contained + seqs(agent, trip_id)) == list(range(1, MESSAGES + 1))
    assert seqs(agent, trip_id) == sorted(seqs(agent, trip_id))


@pytest.mark.parametrize(("kind", "parser"), [("py", "json"), ("js", "msgpack")])
async def test_a_party_that_subscribes_again_and_again_hears_everything_in_order(
    cluster: Cluster, connect: Connect, kind: str, parser: str
) -> None:
    people = await cast(cluster, connect, kind=kind, parser=parser)
    trip_id = await people.trip("accepted")
    flow = _Flow(people, trip_id)
    contained: set[int] = set()
    known_versions: set[int] = set()

    async def subscribe() -> None:
        while not flow.is_over:
            known = max([0, *contained, *seqs(people.rider, trip_id)])
            request = {"trip_id": trip_id, "after_seq": known}
            snapshot = await people.rider.ok("trip:subscribe", request)
            contained.update(message["seq"] for message in snapshot["messages"])
            known_versions.update(event["version"] for event in snapshot["trip"]["events"])

    await asyncio.gather(flow.run(), subscribe())
    await people.passed(people.rider)
    heard = seqs(people.rider, trip_id)
    assert heard == sorted(set(heard))
    assert contained | set(heard) == set(range(1, MESSAGES + 1))
    told = versions(people.rider, trip_id)
    assert told == sorted(set(told))
    assert known_versions | set(told) == set(range(1, 13))


async def test_who_connects_while_much_happens_misses_nothing(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    flow = _Flow(people, trip_id)

    async def come(number: int, url: str) -> Client:
        await flow.has_sent(number)
        return await connect(url, "rider", people.rider.user_id, kind="js" if number % 2 else "py")

    urls = (cluster.first, cluster.second) * 4
    flowing = asyncio.create_task(flow.run())
    devices = await asyncio.gather(*(come(3 * n, url) for n, url in enumerate(urls)))
    await flowing
    for device in devices:
        ready = device.heard("session:ready")[0]
        (conversation,) = ready["conversations"]
        (trip,) = ready["trips"]
        if conversation["last_seq"] < MESSAGES:
            await device.hears("chat:message", where(seq=MESSAGES))
        assert seqs(device, trip_id) == list(range(conversation["last_seq"] + 1, MESSAGES + 1))
        if trip["version"] < 12:
            await hears_version(device, trip_id, 12)
        assert versions(device, trip_id) == list(range(trip["version"] + 1, 13))
