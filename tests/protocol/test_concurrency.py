"""Many at once: one conversation, two instances, both languages and parsers."""

import asyncio
from itertools import product

import pytest

from tests.clients import Client
from tests.conftest import Cluster, Connect, fresh
from tests.rides import Cast, cast, hears_version, say, seqs, versions, where

EACH = 8


async def _crowd(cluster: Cluster, connect: Connect, people: Cast, trip_id: str) -> list[Client]:
    """Ten who may write: devices of rider and driver, agents; of every kind, on both instances."""
    users = (("rider", people.rider.user_id), ("driver", people.driver.user_id))
    ways = product((cluster.first, cluster.second), ("py", "js"), ("json", "msgpack"))
    crowd = [
        await connect(url, *users[number % 2], kind=kind, parser=parser)
        for number, (url, kind, parser) in enumerate(ways)
    ]
    for url in (cluster.first, cluster.second):
        agent = await connect(url, "agent", fresh("agent"))
        await agent.ok("trip:subscribe", {"trip_id": trip_id})
        crowd.append(agent)
    return crowd


async def test_ten_senders_make_one_sequence_that_everybody_hears_in_order(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    crowd = await _crowd(cluster, connect, people, trip_id)

    async def talk(client: Client) -> list[int]:
        sending = (say(client, trip_id, f"{number}") for number in range(EACH))
        return [message["seq"] for message in await asyncio.gather(*sending)]

    own = await asyncio.gather(*(talk(client) for client in crowd))
    everything = list(range(1, EACH * len(crowd) + 1))
    assert sorted(seq for seqs_of_one in own for seq in seqs_of_one) == everything
    for client, mine in zip(crowd, own, strict=True):
        of_others = [seq for seq in everything if seq not in mine]
        await client.hears("chat:message", where(conversation_id=trip_id, seq=of_others[-1]))
        assert seqs(client, trip_id) == of_others
    for listener in (people.rider, people.driver):
        await listener.hears("chat:message", where(conversation_id=trip_id, seq=everything[-1]))
        assert seqs(listener, trip_id) == everything
    told = [p for n, p in people.rider.events if n == "chat:message"]
    assert told == [p for n, p in people.driver.events if n == "chat:message"]


async def test_messages_of_one_sender_keep_their_order_among_those_of_others(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect, kind="js", parser="msgpack")
    trip_id = await people.trip("accepted")
    for number in range(40):
        for client in (people.rider, people.driver):
            draft = {"conversation_id": trip_id, "client_id": f"{number}", "text": f"{number}"}
            await client.emit("chat:send", draft)
    agent = await connect(cluster.first, "agent", fresh("agent"))
    await agent.ok("trip:subscribe", {"trip_id": trip_id, "after_seq": 0})
    for listener, author in ((people.rider, people.driver), (people.driver, people.rider)):
        await listener.hears("chat:message", where(text="39"))
        heard = [m["text"] for m in listener.heard("chat:message")]
        assert heard == [f"{number}" for number in range(40)]
        assert {m["sender_id"] for m in listener.heard("chat:message")} == {author.user_id}


@pytest.mark.parametrize("kind", ["py", "js"])
async def test_too_many_commands_at_once_are_refused_each_and_the_others_done(
    cluster: Cluster, connect: Connect, kind: str
) -> None:
    people = await cast(cluster, connect, kind=kind)
    trip_id = await people.trip("accepted")
    draft = {"conversation_id": trip_id, "text": "hello"}
    calls = (people.rider.call("chat:send", {**draft, "client_id": f"{n}"}) for n in range(400))
    answers = await asyncio.gather(*calls)
    done = [answer["message"]["seq"] for answer in answers if answer["ok"]]
    errors = [answer["error"] for answer in answers if not answer["ok"]]
    assert {(error["code"], error["retry"]) for error in errors} <= {("rate_limited", True)}
    assert all(error["retry_after_ms"] > 0 for error in errors)
    assert done == list(range(1, len(done) + 1))
    await people.driver.hears("chat:message", where(conversation_id=trip_id, seq=len(done)))
    assert seqs(people.driver, trip_id) == done


@pytest.mark.parametrize("count", [3])
async def test_many_trips_at_once_keep_apart(
    cluster: Cluster, connect: Connect, count: int
) -> None:
    casts = [await cast(cluster, connect) for _ in range(count)]

    async def ride(people: Cast) -> str:
        trip_id = await people.trip("accepted")
        for status in ("arriving", "arrived", "in_progress", "completed"):
            await people.driver.ok("trip:update", {"trip_id": trip_id, "status": status})
            await say(people.rider, trip_id, status)
        return trip_id

    trips = await asyncio.gather(*(ride(people) for people in casts for _ in range(3)))
    for number, trip_id in enumerate(trips):
        people = casts[number // 3]
        for client in (people.rider, people.driver):
            await hears_version(client, trip_id, 6)
            assert versions(client, trip_id) == [1, 2, 3, 4, 5, 6]
        await people.driver.hears("chat:message", where(conversation_id=trip_id, seq=4))
        assert seqs(people.driver, trip_id) == [1, 2, 3, 4]
    for number, people in enumerate(casts):
        mine = set(trips[3 * number : 3 * number + 3])
        for client in (people.rider, people.driver):
            assert {s["trip_id"] for s in client.heard("trip:status")} == mine
