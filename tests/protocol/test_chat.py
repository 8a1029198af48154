"""Chat: messages once and in order, receipts, typing, support conversations, paging."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.clients import Client, PythonClient
from tests.conftest import Cluster, Connect, fresh, mint, now
from tests.rides import PICKUP, Cast, cast, passed, say, seqs, texts, where
from tests.servers import Server


@pytest.mark.parametrize("parser", ["json", "msgpack"])
@pytest.mark.parametrize("kind", ["py", "js"])
async def test_a_message_has_the_fields_of_the_protocol(
    cluster: Cluster, connect: Connect, kind: str, parser: str
) -> None:
    people = await cast(cluster, connect, kind=kind, parser=parser)
    trip_id = await people.trip("accepted")
    before = now()
    text = "Grüße 👋\n\t\"quoted\" \\ \x7f and 'so on'"
    draft = {"conversation_id": trip_id, "client_id": "one", "text": text}
    message = (await people.rider.ok("chat:send", draft))["message"]
    assert before <= message["sent_at"] <= now()
    assert message == {
        "id": message["id"],
        "conversation_id": trip_id,
        "seq": 1,
        "sender_id": people.rider.user_id,
        "client_id": "one",
        "kind": "text",
        "text": text,
        "sent_at": message["sent_at"],
    }
    assert await people.driver.hears("chat:message") == message
    answer = {**draft, "client_id": "two", "text": "back"}
    sent = (await people.driver.ok("chat:send", answer))["message"]
    assert await people.rider.hears("chat:message") == sent


async def test_there_are_messages_of_several_kinds(cluster: Cluster, connect: Connect) -> None:
    people = await cast(cluster, connect, parser="msgpack")
    trip_id = await people.trip("accepted")
    for sender, kind, content in (
        (people.rider, "quick_reply", {"text": "I am here"}),
        (people.rider, "location", {"data": {"lat": 52.5, "lng": 13.4}}),
        (people.rider, "image", {"data": {"url": "https://img.example/1.jpg", "size": 48_213}}),
        (people.rider, "text", {"text": "x" * 2_000, "data": {"mood": ["fine", 1.5, None]}}),
        (people.dispatcher, "system", {"text": "Your driver is near."}),
    ):
        draft = {"conversation_id": trip_id, "client_id": fresh("message"), "kind": kind, **content}
        message = (await sender.ok("chat:send", draft))["message"]
        assert (message["kind"], content.items() <= message.items()) == (kind, True)
        assert await people.driver.hears("chat:message", where(kind=kind)) == message


async def test_only_the_service_writes_system_messages(cluster: Cluster, connect: Connect) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    agent = await connect(cluster.first, "agent", fresh("agent"))
    draft = {"conversation_id": trip_id, "client_id": "one", "kind": "system", "text": "hello"}
    for client in (people.rider, people.driver, agent):
        assert (await client.refused("chat:send", draft))["code"] == "forbidden"


async def test_a_message_of_the_wrong_shape_is_refused_and_takes_no_seq(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    draft = {"conversation_id": trip_id, "client_id": "one"}
    for content in (
        {},
        {"text": ""},
        {"text": "x" * 2_001},
        {"text": 7},
        {"kind": "song", "text": "la"},
        {"kind": "quick_reply"},
        {"kind": "location", "data": {"lat": 91, "lng": 0}},
        {"kind": "image", "data": {"url": "https://img.example/1.jpg"}},
        {"kind": "image", "data": {"url": "javascript:alert(1)", "size": 1}},
    ):
        assert (await people.rider.refused("chat:send", {**draft, **content}))["code"] == "invalid"
    assert (await say(people.rider, trip_id, "well"))["seq"] == 1


async def test_the_senders_connection_gets_no_event_but_its_other_devices_do(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect, kind="js")
    rider_id = people.rider.user_id
    devices = [
        await connect(cluster.first, "rider", rider_id),
        await connect(cluster.second, "rider", rider_id, kind="js", parser="msgpack"),
    ]
    trip_id = await people.trip("accepted")
    sent = await say(people.rider, trip_id, "hello")
    for client in (*devices, people.driver):
        assert await client.hears("chat:message") == sent
    agents = [
        await connect(url, "agent", fresh("agent")) for url in (cluster.first, cluster.second)
    ]
    for agent in agents:
        await passed(agent, people.rider, people.driver, *devices)
    assert texts(people.rider, trip_id) == []
    assert [texts(c, trip_id) for c in (*devices, people.driver)] == [["hello"]] * 3


async def test_a_retried_message_is_the_stored_one_and_told_once(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    draft = {"conversation_id": trip_id, "client_id": "one", "text": "hello"}
    first = await people.rider.ok("chat:send", draft)
    await say(people.driver, trip_id, "hi")
    far = await connect(cluster.second, "rider", people.rider.user_id, kind="js")
    for client in (people.rider, far):
        assert await client.ok("chat:send", {**draft, "text": "hello again"}) == first
    await people.passed(people.rider, people.driver, far)
    assert texts(people.driver, trip_id) == ["hello"]
    assert texts(people.rider, trip_id) == ["hi"]
    assert (await say(people.rider, trip_id, "more"))["seq"] == 3


async def test_the_same_client_id_is_another_message_of_another_sender_or_elsewhere(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    first, second = await people.trip("accepted"), await people.trip("accepted")
    sent = [
        (await client.ok("chat:send", {"conversation_id": chat_id, "client_id": "1", "text": "x"}))
        for client in (people.rider, people.driver)
        for chat_id in (first, second)
    ]
    assert len({answer["message"]["id"] for answer in sent}) == 4
    assert sorted(answer["message"]["seq"] for answer in sent) == [1, 1, 2, 2]


async def test_a_message_sent_many_times_at_once_is_one(cluster: Cluster, connect: Connect) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    phones = [
        await connect(url, "rider", people.rider.user_id, parser=parser)
        for url in (cluster.first, cluster.second)
        for parser in ("json", "msgpack")
    ]
    for client_id in ("one", "two", "three"):
        draft = {"conversation_id": trip_id, "client_id": client_id, "text": client_id}
        answers = await asyncio.gather(*(p.ok("chat:send", draft) for p in phones * 3))
        assert len({answer["message"]["id"] for answer in answers}) == 1
    await people.driver.hears("chat:message", where(text="three"))
    for url in (cluster.first, cluster.second):
        await passed(await connect(url, "agent", fresh("agent")), people.driver)
    assert seqs(people.driver, trip_id) == [1, 2, 3]


async def test_receipts_only_grow_and_what_is_read_is_delivered(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    for text in ("one", "two", "three"):
        await say(people.driver, trip_id, text)
    chat = {"conversation_id": trip_id}
    for receipt, delivered_seq, read_seq in (
        ({"delivered_seq": 1}, 1, 0),
        ({"read_seq": 2}, 2, 2),
        ({"delivered_seq": 1, "read_seq": 1}, 2, 2),
        ({"delivered_seq": 3}, 3, 2),
        ({"read_seq": 0}, 3, 2),
    ):
        answer = await people.rider.ok("chat:receipt", {**chat, **receipt})
        assert answer == {"ok": True, "delivered_seq": delivered_seq, "read_seq": read_seq}
    snapshot = await people.driver.ok("trip:subscribe", {"trip_id": trip_id})
    assert snapshot["read"] == {people.rider.user_id: {"delivered_seq": 3, "read_seq": 2}}
    told = await people.driver.hears("chat:receipt", where(delivered_seq=3))
    assert told == {**chat, "user_id": people.rider.user_id, "delivered_seq": 3, "read_seq": 2}


async def test_a_receipt_reaches_ones_other_devices(cluster: Cluster, connect: Connect) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    tablet = await connect(cluster.second, "rider", people.rider.user_id, kind="js")
    await say(people.driver, trip_id, "hello")
    await people.rider.ok("chat:receipt", {"conversation_id": trip_id, "read_seq": 1})
    assert (await tablet.hears("chat:receipt"))["read_seq"] == 1
    again = await connect(cluster.first, "rider", people.rider.user_id)
    conversation = {"id": trip_id, "last_seq": 1, "read_seq": 1}
    assert again.heard("session:ready")[0]["conversations"] == [conversation]


async def test_typing_is_for_subscribed_parties_but_its_author(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    tablet = await connect(cluster.second, "rider", people.rider.user_id)
    idle = await connect(cluster.first, "driver", people.driver.user_id)
    agent = await connect(cluster.first, "agent", fresh("agent"))
    viewer = await connect(cluster.first, "viewer", fresh("viewer"), trips=[trip_id])
    for client in (people.rider, tablet, people.driver, agent, viewer):
        await client.ok("trip:subscribe", {"trip_id": trip_id})
    typing = {"conversation_id": trip_id, "typing": True}
    assert await people.rider.ok("chat:typing", typing) == {"ok": True}
    assert await people.driver.hears("chat:typing") == {**typing, "user_id": people.rider.user_id}
    await people.rider.ok("chat:typing", {**typing, "typing": False})
    await people.driver.hears("chat:typing", where(typing=False))
    marker = {"trip_id": trip_id, "metadata": {"seen": True}}
    await people.rider.ok("trip:edit", marker)
    for client in (people.rider, tablet, idle, agent, viewer):
        await client.hears("trip:status", where(version=3))
        assert client.heard("chat:typing") == []
    assert len(people.driver.heard("chat:typing")) == 2


async def test_a_support_conversation_reaches_its_participants(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    tablet = await connect(cluster.second, "rider", people.rider.user_id, parser="msgpack")
    agent = await connect(cluster.first, "agent", fresh("agent"), kind="js")
    other = await connect(cluster.second, "agent", fresh("agent"))
    participants = [people.rider.user_id, agent.user_id]
    opening = {"client_id": "one", "participants": participants, "title": "A lost umbrella"}
    conversation = (await agent.ok("chat:open", opening))["conversation"]
    assert conversation == {
        "id": conversation["id"],
        "participants": participants,
        "created_at": conversation["created_at"],
        "created_by": agent.user_id,
        "title": "A lost umbrella",
    }
    chat_id = conversation["id"]
    first = await say(agent, chat_id, "What colour?")
    assert await people.rider.hears("chat:message") == first
    assert await tablet.hears("chat:message") == first
    second = await say(people.rider, chat_id, "Red.")
    assert (first["seq"], second["seq"]) == (1, 2)
    assert await agent.hears("chat:message") == second
    assert await tablet.hears("chat:message", where(seq=2)) == second
    await people.rider.ok("chat:receipt", {"conversation_id": chat_id, "read_seq": 1})
    assert (await agent.hears("chat:receipt"))["user_id"] == people.rider.user_id
    await people.passed(people.rider, tablet, agent, other, people.driver)
    assert (seqs(people.rider, chat_id), seqs(tablet, chat_id)) == ([1], [1, 2])
    assert (seqs(agent, chat_id), seqs(other, chat_id), seqs(people.driver, chat_id)) == (
        [2],
        [],
        [],
    )
    history = await other.ok("chat:history", {"conversation_id": chat_id})
    assert history["messages"] == [first, second]
    for stranger in (people.driver, await connect(cluster.first, "rider", fresh("rider"))):
        error = await stranger.refused("chat:history", {"conversation_id": chat_id})
        assert error["code"] == "not_found"
        error = await stranger.refused(
            "chat:send", {"conversation_id": chat_id, "client_id": "one", "text": "hello"}
        )
        assert error["code"] == "not_found"


async def test_a_conversation_opened_again_is_the_same_one(
    cluster: Cluster, connect: Connect
) -> None:
    agent = await connect(cluster.first, "agent", fresh("agent"))
    far = await connect(cluster.second, "agent", agent.user_id)
    opening = {"client_id": "one", "participants": [fresh("rider")]}
    answers = await asyncio.gather(*(c.ok("chat:open", opening) for c in (agent, far) * 3))
    assert len({answer["conversation"]["id"] for answer in answers}) == 1


async def test_a_closed_conversation_takes_no_more_messages(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    opening = {"client_id": "one", "participants": [people.rider.user_id]}
    chat_id = (await people.dispatcher.ok("chat:open", opening))["conversation"]["id"]
    draft = {"conversation_id": chat_id, "client_id": "one", "text": "hello"}
    sent = await people.rider.ok("chat:send", draft)
    close = {"conversation_id": chat_id}
    for _ in range(2):
        assert await people.dispatcher.ok("chat:close", close) == {"ok": True}
    for client in (people.rider, people.dispatcher):
        error = await client.refused("chat:send", {**draft, "client_id": "two"})
        assert (error["code"], error["retry"]) == ("closed", False)
    assert await people.rider.ok("chat:send", draft) == sent
    history = await people.rider.ok("chat:history", close)
    assert history["messages"] == [sent["message"]]
    again = await connect(cluster.second, "rider", people.rider.user_id)
    assert again.heard("session:ready")[0]["conversations"] == []


async def test_a_trips_conversation_closes_some_time_after_its_end(
    cluster: Cluster, connect: Connect
) -> None:
    """That time is a setting; here there is a third instance whose trips' chats close at once."""
    server = await Server.start(cluster.settings | {"CHAT_HOURS_AFTER_TRIP": "0"})
    try:
        rider = await connect(cluster.first, "rider", fresh("rider"))
        agent = await connect(server.url, "agent", fresh("agent"))
        trip_id = (await rider.ok("trip:create", {"client_id": "one", "pickup": PICKUP}))["trip"][
            "id"
        ]
        draft = {"conversation_id": trip_id, "client_id": "one", "text": "hello"}
        sent = await rider.ok("chat:send", draft)
        await agent.ok("trip:update", {"trip_id": trip_id, "status": "cancelled"})
        await rider.hears("trip:status", where(status="cancelled"))
        for client in (rider, agent):
            error = await client.refused("chat:send", {**draft, "client_id": "two"})
            assert error["code"] == "closed"
        assert (await rider.refused("chat:typing", {"conversation_id": trip_id, "typing": True}))[
            "code"
        ] == "closed"
        assert await rider.ok("chat:send", draft) == sent
        assert (await rider.ok("chat:history", {"conversation_id": trip_id}))["messages"] == [
            sent["message"]
        ]
        again = await connect(cluster.first, "rider", rider.user_id)
        assert again.heard("session:ready")[0]["conversations"] == []
    finally:
        await server.stop()


LONG = 300


@pytest.fixture(scope="module")
async def long_chat(cluster: Cluster) -> AsyncIterator[tuple[Cast, str]]:
    """A trip with 300 messages, and those who wrote them: rider and driver, on both instances."""

    async def connected(url: str, role: str) -> Client:
        auth = {"token": mint(role, fresh(role))}
        client = await PythonClient.connect(
            url, auth, parser="json", transports=("websocket",), headers={}
        )
        await client.hears("session:ready")
        return client

    rider = await connected(cluster.first, "rider")
    driver = await connected(cluster.second, "driver")
    dispatcher = await connected(cluster.second, "service")
    people = Cast(rider, driver, dispatcher)
    trip_id = await people.trip("accepted")
    for _ in range(0, LONG, 50):
        talking = (say(client, trip_id, "hello") for client in (rider, driver) * 25)
        await asyncio.gather(*talking)
    yield people, trip_id
    for client in (rider, driver, dispatcher):
        await client.close()


async def _pages(client: Client, chat_id: str, *, forward: bool, limit: int | None) -> list[Any]:
    """All messages, page by page from one end to the other, as they were answered."""
    pages: list[Any] = []
    request: dict[str, Any] = {"conversation_id": chat_id} | ({"limit": limit} if limit else {})
    if forward:
        request["after_seq"] = 0
    while True:
        page = await client.ok("chat:history", request)
        pages.append(page["messages"])
        if not page["has_more"]:
            return pages
        side, index = ("after_seq", -1) if forward else ("before_seq", 0)
        request[side] = page["messages"][index]["seq"]


@pytest.mark.parametrize(
    ("limit", "sizes"), [(200, [200, 100]), (None, [50] * 6), (150, [150] * 2)]
)
async def test_history_is_read_page_by_page_both_ways(
    long_chat: tuple[Cast, str], limit: int | None, sizes: list[int]
) -> None:
    people, trip_id = long_chat
    for client in (people.rider, people.driver, people.dispatcher):
        back = await _pages(client, trip_id, forward=False, limit=limit)
        ahead = await _pages(client, trip_id, forward=True, limit=limit)
        assert [len(page) for page in back] == [len(page) for page in ahead] == sizes
        newest_first = [message for page in reversed(back) for message in page]
        assert newest_first == [message for page in ahead for message in page]
        assert [message["seq"] for message in newest_first] == list(range(1, LONG + 1))


async def test_every_message_of_a_long_chat_is_heard_in_order(long_chat: tuple[Cast, str]) -> None:
    people, trip_id = long_chat
    everything = [
        m for page in await _pages(people.rider, trip_id, forward=True, limit=200) for m in page
    ]
    for client in (people.rider, people.driver):
        of_others = [m for m in everything if m["sender_id"] != client.user_id]
        await client.hears("chat:message", where(conversation_id=trip_id, seq=of_others[-1]["seq"]))
        heard = [m for m in client.heard("chat:message") if m["conversation_id"] == trip_id]
        assert heard == of_others


async def test_a_snapshot_has_the_newest_fifty_or_two_hundred_after_a_seq(
    long_chat: tuple[Cast, str],
) -> None:
    people, trip_id = long_chat
    for after_seq, first, last, has_more in (
        (None, 251, 300, True),
        (0, 1, 200, True),
        (99, 100, 299, True),
        (100, 101, 300, False),
        (299, 300, 300, False),
        (300, 301, 300, False),
        (10_000, 301, 300, False),
    ):
        request = {"trip_id": trip_id} | ({} if after_seq is None else {"after_seq": after_seq})
        snapshot = await people.rider.ok("trip:subscribe", request)
        assert [m["seq"] for m in snapshot["messages"]] == list(range(first, last + 1))
        assert (snapshot["last_seq"], snapshot["has_more"]) == (300, has_more)


async def test_there_is_no_more_than_all(cluster: Cluster, connect: Connect) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    empty = await people.rider.ok("chat:history", {"conversation_id": trip_id})
    assert empty == {"ok": True, "messages": [], "has_more": False}
    sent = [await say(people.driver, trip_id, text) for text in ("one", "two", "three")]
    for request, expected, has_more in (
        ({}, sent, False),
        ({"limit": 3}, sent, False),
        ({"limit": 2}, sent[1:], True),
        ({"before_seq": 3}, sent[:2], False),
        ({"before_seq": 3, "limit": 1}, sent[1:2], True),
        ({"before_seq": 1}, [], False),
        ({"before_seq": 0}, [], False),
        ({"after_seq": 1}, sent[1:], False),
        ({"after_seq": 0, "limit": 1}, sent[:1], True),
        ({"after_seq": 3}, [], False),
        ({"after_seq": 9}, [], False),
    ):
        answer = await people.rider.ok("chat:history", {"conversation_id": trip_id, **request})
        assert (answer["messages"], answer["has_more"]) == (expected, has_more), request
