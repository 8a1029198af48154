"""Sessions: tokens, what a connection is told at its beginning, how and why it ends."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from models.identity import Role
from realtime.tokens import Secret, TokenRules, Tokens
from tests.clients import WAIT_S, Client, JsClient, JsProcess, PythonClient, Refused
from tests.conftest import Cluster, Connect, fresh, mint, now
from tests.rides import PICKUP, cast, hears_version, passed, point, say
from tests.servers import SECRET

KINDS_AND_PARSERS = pytest.mark.parametrize(
    ("kind", "parser"), [("py", "json"), ("py", "msgpack"), ("js", "json"), ("js", "msgpack")]
)


async def _refusal(
    cluster: Cluster,
    js: JsProcess,
    kind: str,
    auth: Mapping[str, Any] | None,
    *,
    parser: str = "json",
    authorization: str | None = None,
) -> str | None:
    """The code of the CONNECT_ERROR that this `auth` gets."""
    connect = js.connect if kind == "js" else PythonClient.connect
    headers = {} if authorization is None else {"Authorization": authorization}
    with pytest.raises(Refused) as refused:
        await connect(
            cluster.first, auth, parser=parser, transports=("websocket",), headers=headers
        )
    assert str(refused.value)
    return refused.value.code


@KINDS_AND_PARSERS
async def test_a_connection_without_a_good_token_is_refused_with_a_code(
    cluster: Cluster, js: JsProcess, kind: str, parser: str
) -> None:
    good = mint("rider", fresh("rider"))
    head, claims, signature = good.split(".")
    for auth in (
        None,
        {},
        {"token": None},
        {"token": ""},
        {"token": "garbage"},
        {"token": 7},
        {"token": f"{head}.{claims}.{signature[::-1]}"},
        {"token": good, "device": "two words"},
    ):
        assert await _refusal(cluster, js, kind, auth, parser=parser) == "unauthorized"


@KINDS_AND_PARSERS
async def test_an_expired_token_is_refused_as_expired(
    cluster: Cluster, js: JsProcess, kind: str, parser: str
) -> None:
    auth = {"token": _expired("rider", fresh("rider"))}
    assert await _refusal(cluster, js, kind, auth, parser=parser) == "token_expired"


def _expired(role: str, user_id: str) -> str:
    """A token that was good a minute ago."""
    a_minute_ago = Tokens(TokenRules(secrets=(Secret(SECRET),)), lambda: now() - 60_000)
    return a_minute_ago.mint(Role(role), user_id, ttl_s=30)


@pytest.mark.parametrize("kind", ["py", "js"])
async def test_a_client_of_another_protocol_is_refused(
    cluster: Cluster, js: JsProcess, kind: str
) -> None:
    auth = {"token": mint("rider", fresh("rider")), "protocol": 2}
    assert await _refusal(cluster, js, kind, auth) == "unsupported_client"


@pytest.mark.parametrize("kind", ["py", "js"])
async def test_a_header_that_is_no_bearer_token_is_refused(
    cluster: Cluster, js: JsProcess, kind: str
) -> None:
    token = mint("rider", fresh("rider"))
    for header in (f"Basic {token}", token, "Bearer ", "Bearer garbage"):
        assert await _refusal(cluster, js, kind, None, authorization=header) == "unauthorized"


@KINDS_AND_PARSERS
async def test_the_token_may_come_in_the_authorization_header(
    cluster: Cluster, connect: Connect, kind: str, parser: str
) -> None:
    rider_id = fresh("rider")
    headers = {"Authorization": f"Bearer {mint('rider', rider_id)}"}
    rider = await connect(
        cluster.first, "rider", rider_id, kind=kind, parser=parser, headers=headers
    )
    assert rider.user_id == rider_id
    await rider.ok("trip:create", {"client_id": "one", "pickup": PICKUP})


async def test_who_somebody_is_comes_from_the_token_only(
    cluster: Cluster, connect: Connect
) -> None:
    rider_id = fresh("rider")
    claimed = {"sub": fresh("other"), "sender_id": fresh("other"), "trips": [fresh("trip")]}
    rider = await connect(cluster.first, "rider", rider_id, protocol=1, client="test/1", **claimed)
    ready = rider.heard("session:ready")[0]
    assert (ready["user_id"], ready["role"]) == (rider_id, "rider")
    request = {"client_id": "one", "pickup": PICKUP, "by": fresh("other"), "role": "service"}
    trip = (await rider.ok("trip:create", request))["trip"]
    assert (trip["rider_id"], trip["events"][0]["by"]) == (rider_id, rider_id)
    draft = {"conversation_id": trip["id"], "client_id": "one", "text": "hello", **claimed}
    assert (await rider.ok("chat:send", draft))["message"]["sender_id"] == rider_id


@KINDS_AND_PARSERS
async def test_session_ready_says_once_who_one_is_and_what_one_follows(
    cluster: Cluster, connect: Connect, kind: str, parser: str
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted", pin="4711")
    ended = await people.trip("completed")
    for text in ("one", "two", "three"):
        await say(people.rider, trip_id, text)
    await people.rider.ok("chat:receipt", {"conversation_id": trip_id, "read_seq": 1})
    await people.driver.ok("chat:receipt", {"conversation_id": trip_id, "read_seq": 2})
    support = await people.dispatcher.ok(
        "chat:open", {"client_id": "one", "participants": [people.rider.user_id]}
    )
    support_id = support["conversation"]["id"]
    before = now()
    for role, client, read_seq in (("rider", people.rider, 1), ("driver", people.driver, 2)):
        device = await connect(cluster.first, role, client.user_id, kind=kind, parser=parser)
        trip = (await client.ok("trip:subscribe", {"trip_id": trip_id}))["trip"]
        (ready,) = device.heard("session:ready")
        assert before <= ready["server_time"] <= now()
        assert 590_000 < ready["expires_at"] - ready["server_time"] <= 601_000
        conversations = {c.pop("id"): c for c in ready["conversations"]}
        assert conversations.pop(trip_id) == {"last_seq": 3, "read_seq": read_seq}
        assert conversations.pop(ended) == {"last_seq": 0, "read_seq": 0}
        if role == "rider":
            assert conversations.pop(support_id) == {"last_seq": 0, "read_seq": 0}
        assert conversations == {}
        assert ready["trips"] == [trip]
        assert {"user_id": client.user_id, "role": role, "protocol": 1}.items() <= ready.items()


@pytest.mark.parametrize("role", ["agent", "service", "viewer"])
async def test_staff_and_viewers_follow_nothing_from_the_start(
    cluster: Cluster, connect: Connect, role: str
) -> None:
    people = await cast(cluster, connect)
    trip_id = await people.trip("accepted")
    client = await connect(cluster.first, role, people.rider.user_id, trips=[trip_id])
    ready = client.heard("session:ready")[0]
    assert (ready["role"], ready["trips"], ready["conversations"]) == (role, [], [])


async def test_the_same_sub_rides_with_one_token_and_drives_with_another(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    riding = await people.trip("accepted")
    as_driver = await connect(cluster.first, "driver", people.rider.user_id)
    assert as_driver.heard("session:ready")[0]["trips"] == []
    error = await as_driver.refused("trip:subscribe", {"trip_id": riding})
    assert error["code"] == "not_found"
    request = {"client_id": "one", "rider_id": fresh("rider"), "pickup": PICKUP}
    offered = {**request, "driver_id": people.rider.user_id}
    driving = (await people.dispatcher.ok("trip:create", offered))["trip"]["id"]
    await hears_version(as_driver, driving, 1)
    await people.passed(people.rider, as_driver)
    assert [s["trip_id"] for s in as_driver.heard("trip:status")] == [driving]
    assert driving not in [s["trip_id"] for s in people.rider.heard("trip:status")]


async def test_a_session_ends_with_its_token(cluster: Cluster, connect: Connect) -> None:
    await _ends_with_its_token(cluster, connect, "websocket")


async def test_a_session_ends_with_its_token_over_polling(
    cluster: Cluster, connect: Connect
) -> None:
    await _ends_with_its_token(cluster, connect, "polling")


async def _ends_with_its_token(cluster: Cluster, connect: Connect, transport: str) -> None:
    clients: list[Client] = await asyncio.gather(
        *(
            connect(
                cluster.first,
                "rider",
                fresh("rider"),
                kind=kind,
                parser=parser,
                transports=[transport],
                ttl_s=1,
                reconnection=True,
            )
            for kind in ("py", "js")
            for parser in ("json", "msgpack")
        )
    )
    for client in clients:
        await asyncio.wait_for(client.disconnected.wait(), WAIT_S)
        expires_at = client.heard("session:ready")[0]["expires_at"]
        assert now() >= expires_at
        assert client.heard("session:expiring") == [{"expires_at": expires_at}]
        assert client.heard("session:ended") == [{"code": "token_expired", "retry": False}]
        if isinstance(client, JsClient):
            assert (client.reason, client.comes_back) == ("io server disconnect", False)


async def test_a_session_is_told_of_its_tokens_end_a_minute_before(
    cluster: Cluster, connect: Connect
) -> None:
    rider = await connect(cluster.first, "rider", fresh("rider"), ttl_s=61)
    expires_at = rider.heard("session:ready")[0]["expires_at"]
    assert await rider.hears("session:expiring") == {"expires_at": expires_at}
    assert now() >= expires_at - 60_000


async def test_a_long_session_is_not_told_of_its_expiry_yet(
    cluster: Cluster, connect: Connect
) -> None:
    rider = await connect(cluster.first, "rider", fresh("rider"), ttl_s=120)
    await passed(await connect(cluster.first, "agent", fresh("agent")), rider)
    assert rider.heard("session:expiring") == []


async def test_a_refreshed_session_outlives_its_first_token(
    cluster: Cluster, connect: Connect
) -> None:
    riders = [
        await connect(cluster.first, "rider", fresh("rider"), kind=kind, ttl_s=1)
        for kind in ("py", "js")
    ]
    witness = await connect(cluster.first, "rider", fresh("rider"), ttl_s=2)
    for rider in riders:
        expires_at = rider.heard("session:ready")[0]["expires_at"]
        answer = await rider.ok("session:refresh", {"token": mint("rider", rider.user_id)})
        assert answer["expires_at"] >= expires_at + 598_000
    await witness.hears("session:ended")
    for rider in riders:
        assert now() > rider.heard("session:ready")[0]["expires_at"]
        await rider.ok("trip:create", {"client_id": "one", "pickup": PICKUP})
        assert rider.heard("session:ended") == []


async def test_a_session_can_be_refreshed_with_a_shorter_token(
    cluster: Cluster, connect: Connect
) -> None:
    rider = await connect(cluster.first, "rider", fresh("rider"))
    answer = await rider.ok("session:refresh", {"token": mint("rider", rider.user_id, ttl_s=1)})
    expiring = await rider.hears("session:expiring")
    assert expiring == {"expires_at": answer["expires_at"]}
    assert (await rider.hears("session:ended"))["code"] == "token_expired"


@pytest.mark.parametrize("role", ["driver", "rider", "agent", "service", "viewer"])
async def test_a_refresh_keeps_the_user_and_the_role(
    cluster: Cluster, connect: Connect, role: str
) -> None:
    user_id, trip_id = fresh(role), fresh("trip")
    client = await connect(cluster.first, role, user_id, trips=[trip_id])
    before = client.heard("session:ready")[0]["expires_at"]
    for other in (
        mint(role, fresh(role), trips=[trip_id]),
        mint("service" if role != "service" else "agent", user_id),
    ):
        error = await client.refused("session:refresh", {"token": other})
        assert error["code"] == "forbidden"
    for bad in ("garbage", ""):
        assert (await client.refused("session:refresh", {"token": bad}))["code"] == "unauthorized"
    own = mint(role, user_id, ttl_s=1_200, trips=[trip_id])
    assert (await client.ok("session:refresh", {"token": own}))["expires_at"] > before


async def test_an_expired_token_refreshes_nothing_and_the_session_goes_on(
    cluster: Cluster, connect: Connect
) -> None:
    rider = await connect(cluster.first, "rider", fresh("rider"))
    expired = _expired("rider", rider.user_id)
    assert (await rider.refused("session:refresh", {"token": expired}))["code"] == "token_expired"
    await rider.ok("trip:create", {"client_id": "one", "pickup": PICKUP})


async def test_a_refreshed_viewer_hears_of_the_trips_of_its_new_token_only(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    first, second = await people.trip("accepted"), await people.trip("accepted")
    viewer = await connect(cluster.second, "viewer", fresh("viewer"), trips=[first])
    await viewer.ok("trip:subscribe", {"trip_id": first})
    error = await viewer.refused("trip:subscribe", {"trip_id": second})
    assert error["code"] == "not_found"
    await viewer.ok("session:refresh", {"token": mint("viewer", viewer.user_id, trips=[second])})
    await viewer.ok("trip:subscribe", {"trip_id": second})
    await people.driver.ok("driver:location", point(1))
    await people.move(first, "arriving")
    await people.move(second, "arriving")
    await hears_version(viewer, second, 3)
    assert {payload["trip_id"] for name, payload in viewer.events if "trip:" in name} == {second}


@KINDS_AND_PARSERS
@pytest.mark.parametrize("across", [False, True])
async def test_a_new_connection_of_a_device_ends_the_old_one(
    cluster: Cluster, connect: Connect, kind: str, parser: str, *, across: bool
) -> None:
    rider_id = fresh("rider")
    old = await connect(
        cluster.first,
        "rider",
        rider_id,
        kind=kind,
        parser=parser,
        device="phone",
        reconnection=True,
    )
    url = cluster.second if across else cluster.first
    new = await connect(url, "rider", rider_id, device="phone")
    assert await old.hears("session:ended") == {"code": "replaced", "retry": False}
    await asyncio.wait_for(old.disconnected.wait(), WAIT_S)
    if isinstance(old, JsClient):
        assert (old.reason, old.comes_back) == ("io server disconnect", False)
    await new.ok("trip:create", {"client_id": "one", "pickup": PICKUP})


async def test_other_devices_roles_and_users_stay(cluster: Cluster, connect: Connect) -> None:
    rider_id = fresh("rider")
    stay = [
        await connect(cluster.first, "rider", rider_id, device="tablet"),
        await connect(cluster.second, "rider", rider_id),
        await connect(cluster.second, "rider", rider_id),
        await connect(cluster.first, "driver", rider_id, device="phone"),
        await connect(cluster.second, "rider", fresh("rider"), device="phone"),
    ]
    old = await connect(cluster.first, "rider", rider_id, device="phone")
    new = await connect(cluster.second, "rider", rider_id, device="phone")
    await old.hears("session:ended")
    for url in (cluster.first, cluster.second):
        await passed(await connect(url, "agent", fresh("agent")), new, *stay)
    assert [client.heard("session:ended") for client in (new, *stay)] == [[]] * 6


async def test_of_many_connections_of_a_device_at_once_one_stays(
    cluster: Cluster, connect: Connect
) -> None:
    rider_id = fresh("rider")
    phones: list[Client] = await asyncio.gather(
        *(
            connect(url, "rider", rider_id, device="phone")
            for url in (cluster.first, cluster.second) * 4
        )
    )
    last = await connect(cluster.first, "rider", rider_id, device="phone")
    for phone in phones:
        assert (await phone.hears("session:ended"))["code"] == "replaced"
    await passed(await connect(cluster.second, "agent", fresh("agent")), last)
    assert last.heard("session:ended") == []


async def test_a_device_that_comes_back_finds_what_it_followed(
    cluster: Cluster, connect: Connect
) -> None:
    people = await cast(cluster, connect)
    phone = await connect(cluster.first, "rider", people.rider.user_id, device="phone")
    trip_id = await people.trip("accepted")
    await say(people.driver, trip_id, "one")
    await phone.hears("chat:message")
    again = await connect(cluster.second, "rider", people.rider.user_id, device="phone")
    await phone.hears("session:ended")
    await people.move(trip_id, "arriving")
    await say(people.driver, trip_id, "two")
    assert (await again.hears("chat:message"))["seq"] == 2
    assert (await hears_version(again, trip_id, 3))["status"] == "arriving"
