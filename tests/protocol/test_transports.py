"""WebSocket, long-polling and the way from one to the other; one worker and several."""

import asyncio
from itertools import product

import pytest

from tests.clients import WAIT_S, Client, JsClient, JsProcess, PythonClient, Refused
from tests.conftest import Cluster, Connect, fresh, mint
from tests.rides import cast, hears_version, point, say, seqs, texts, where
from tests.servers import Server

WAYS = list(product(("py", "js"), ("json", "msgpack")))


@pytest.mark.parametrize(("kind", "parser"), WAYS)
async def test_a_polling_client_does_what_others_do(
    cluster: Cluster, connect: Connect, kind: str, parser: str
) -> None:
    people = await cast(cluster, connect, kind=kind, parser=parser, transports=["polling"])
    trip_id = await people.trip("accepted")
    snapshot = await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
    assert snapshot["trip"]["version"] == 2
    position = point(1)
    await people.driver.ok("driver:location", position)
    assert await people.rider.hears("trip:location") == {"trip_id": trip_id, **position}
    sent = await say(people.rider, trip_id, "Grüße 👋 \x1e and more")
    assert await people.driver.hears("chat:message") == sent
    answered = await say(people.driver, trip_id, "🙂\x1e")
    assert await people.rider.hears("chat:message") == answered
    cancel = {"trip_id": trip_id, "status": "cancelled"}
    await people.rider.ok("trip:update", cancel)
    assert (await hears_version(people.driver, trip_id, 3))["status"] == "cancelled"


async def test_polling_upgraded_and_websocket_clients_share_a_room(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    transports = (["polling"], ["polling", "websocket"], ["websocket"])
    crowd = [
        await connect(
            url, "rider", people.rider.user_id, kind=kind, parser=parser, transports=transport
        )
        for (kind, parser), transport, url in product(
            WAYS, transports, (cluster.first, cluster.second)
        )
    ]
    for number in range(1, 21):
        await say(people.driver, trip_id, f"{number}")
    for client in crowd:
        await client.hears("chat:message", where(seq=20))
        assert texts(client, trip_id) == [f"{number}" for number in range(1, 21)]


@pytest.mark.parametrize("parser", ["json", "msgpack"])
async def test_nothing_is_lost_or_doubled_while_a_client_upgrades(
    cluster: Cluster, connect: Connect, parser: str
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")

    async def come(kind: str) -> Client:
        return await connect(
            cluster.first,
            "rider",
            people.rider.user_id,
            kind=kind,
            parser=parser,
            transports=["polling", "websocket"],
        )

    async def talk() -> None:
        for number in range(1, 41):
            await say(people.driver, trip_id, f"{number}")

    talking = asyncio.create_task(talk())
    upgraded = await asyncio.gather(*(come(kind) for kind in ("js", "py") * 4))
    await talking
    for client in upgraded:
        if isinstance(client, JsClient):
            await asyncio.wait_for(client.upgraded.wait(), WAIT_S)
        known = client.heard("session:ready")[0]["conversations"][0]["last_seq"]
        if known < 40:
            await client.hears("chat:message", where(seq=40))
        assert seqs(client, trip_id) == list(range(known + 1, 41))
    for number, client in enumerate(upgraded, start=41):
        assert (await say(client, trip_id, "after the upgrade"))["seq"] == number


async def test_several_workers_share_a_port_and_hear_each_other(
    cluster: Cluster, connect: Connect, js: JsProcess
) -> None:
    server = await Server.start(cluster.settings | {"WORKERS": "2"})
    try:
        both = Cluster(server.url, server.url, cluster.stores)
        people = await cast(both, connect)
        trip_id = await people.trip("accepted")
        # Which worker takes a connection is the kernel's choice; so many do not all meet one.
        crowd = [
            await connect(server.url, role, user_id, kind=kind, parser=parser)
            for role, user_id in (
                ("rider", people.rider.user_id),
                ("driver", people.driver.user_id),
            )
            for kind, parser in WAYS * 2
        ]
        for number, client in enumerate(crowd, start=1):
            assert (await say(client, trip_id, f"{number}"))["seq"] == number
        for number, client in enumerate(crowd, start=1):
            of_others = [seq for seq in range(1, len(crowd) + 1) if seq != number]
            await client.hears("chat:message", where(seq=of_others[-1]))
            assert seqs(client, trip_id) == of_others
        await people.rider.ok("trip:subscribe", {"trip_id": trip_id})
        for number in range(1, 9):
            phone = crowd[-number]
            await phone.ok("driver:location", point(number))
            await people.rider.hears("trip:location", where(seq=number))
        for open_one in (PythonClient.connect, js.connect):
            with pytest.raises(Refused) as refused:
                await open_one(
                    server.url,
                    {"token": mint("rider", fresh("rider"))},
                    parser="json",
                    transports=["polling"],
                    headers={},
                )
            assert refused.value.code is None
    finally:
        status = await server.stop()
    assert status == 0
