"""Revocation: a token that is taken back stops working everywhere, whichever store is reached."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import aiohttp
import jwt
import pytest
from msgspec import Struct

from models.identity import Role
from realtime.tokens import Secret, TokenRules, Tokens
from tests.clients import WAIT_S, Client, JsClient, JsProcess, PythonClient, Refused
from tests.conftest import Cluster, Connect, fresh, mint, now
from tests.relay import Relay
from tests.servers import SECRET, Server

HANDSHAKE = "/socket.io/?EIO=4&transport=polling"


class Asked(Struct, frozen=True):
    status: int
    code: str | None
    retry_after: str | None


async def ask(method: str, url: str, token: str | None = None) -> Asked:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, headers=headers) as response,
    ):
        is_json = response.content_type == "application/json"
        body = await response.json() if is_json and response.status >= 400 else {}
        code = body.get("error", {}).get("code")
        return Asked(response.status, code, response.headers.get("Retry-After"))


async def revoke(url: str, what: str) -> None:
    """`what` is the path under `/v1/`."""
    asked = await ask("DELETE", f"{url}/v1/{what}", mint("service", fresh("backend")))
    assert asked.status == HTTPStatus.NO_CONTENT


def cut_off(user_id: str) -> str:
    return f"users/{user_id}/sessions"


def token_of(user_id: str, jti: str, role: str = "rider") -> str:
    tokens = Tokens(TokenRules(secrets=(Secret(SECRET),)), now)
    return tokens.mint(Role(role), user_id, ttl_s=600, token_id=jti)


def signed(**claims: Any) -> str:
    """A token as some issuer makes it; for ten minutes, a rider's."""
    return jwt.encode({"role": "rider", "exp": now() / 1000 + 600} | claims, SECRET)


async def refusal(url: str, token: str) -> str | None:
    """The code of the CONNECT_ERROR that this token gets."""
    with pytest.raises(Refused) as refused:
        await PythonClient.connect(
            url, {"token": token}, parser="json", transports=("websocket",), headers={}
        )
    return refused.value.code


async def is_out(client: Client) -> None:
    assert await client.hears("session:ended") == {"code": "revoked", "retry": False}
    await asyncio.wait_for(client.disconnected.wait(), WAIT_S)


async def asked_until(url: str, status: HTTPStatus, token: str | None = None) -> Asked:
    """Ask until the answer has this status."""
    async with asyncio.timeout(WAIT_S):
        while (asked := await ask("GET", url, token)).status != status:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)
    return asked


async def until_redis_is_back(url: str) -> None:
    async with asyncio.timeout(WAIT_S), aiohttp.ClientSession() as session:
        problems = {"redis": ""}
        while "redis" in problems:
            async with session.get(f"{url}/readyz") as response:
                problems = (await response.json()).get("problems", {})


@asynccontextmanager
async def another(settings: dict[str, str]) -> AsyncIterator[Server]:
    server = await Server.start(settings)
    try:
        yield server
    finally:
        await server.stop()


@pytest.mark.parametrize("transport", ["websocket", "polling"])
@pytest.mark.parametrize("kind", ["py", "js"])
async def test_a_revoked_token_ends_its_sessions_on_every_instance(
    cluster: Cluster, connect: Connect, kind: str, transport: str
) -> None:
    rider_id, jti = fresh("rider"), fresh("jti")
    sessions = [
        await connect(
            url,
            "rider",
            rider_id,
            kind=kind,
            transports=[transport],
            token=token_of(rider_id, jti),
            reconnection=True,
        )
        for url in (cluster.first, cluster.second)
    ]
    other = await connect(cluster.second, "rider", rider_id)
    await revoke(cluster.first, f"sessions/{jti}")
    for session in sessions:
        await is_out(session)
        if isinstance(session, JsClient):
            assert (session.reason, session.comes_back) == ("io server disconnect", False)
    await other.ok("session:refresh", {"token": mint("rider", rider_id)})
    assert other.heard("session:ended") == []


async def test_a_revoked_token_is_refused_at_both_doors(cluster: Cluster) -> None:
    rider_id, jti = fresh("rider"), fresh("jti")
    token = token_of(rider_id, jti)
    for url in (cluster.first, cluster.second):
        assert (await ask("GET", f"{url}/v1/trips", token)).status == HTTPStatus.OK
    await revoke(cluster.first, f"sessions/{jti}")
    for url in (cluster.first, cluster.second):
        asked = await asked_until(f"{url}/v1/trips", HTTPStatus.UNAUTHORIZED, token)
        assert (asked.status, asked.code) == (HTTPStatus.UNAUTHORIZED, "unauthorized")
        assert await refusal(url, token) == "unauthorized"
        fine = await ask("GET", f"{url}/v1/trips", token_of(rider_id, fresh("jti")))
        assert fine.status == HTTPStatus.OK


async def test_a_cut_off_user_is_out_in_every_role_and_with_every_earlier_token(
    cluster: Cluster, connect: Connect
) -> None:
    user_id = fresh("user")
    long_ago, just_now = now() // 1000 - 3_600, now() // 1000
    earlier = [
        signed(sub=user_id, iat=long_ago),
        signed(sub=user_id, iat=just_now, jti=fresh("jti")),
        signed(sub=user_id, iat=just_now, role="driver"),
        signed(sub=user_id),
    ]
    sessions = [
        await connect(url, "rider", user_id, token=token)
        for token, url in zip(earlier, (cluster.first, cluster.second) * 2, strict=True)
    ]
    other = await connect(cluster.second, "rider", fresh("other"))
    await revoke(cluster.first, cut_off(user_id))
    for session in sessions:
        await is_out(session)
    for token in earlier:
        for url in (cluster.first, cluster.second):
            assert await refusal(url, token) == "unauthorized"
            assert (await ask("GET", f"{url}/v1/trips", token)).code == "unauthorized"
    await other.ok("session:refresh", {"token": mint("rider", other.user_id)})
    assert other.heard("session:ended") == []


async def test_a_token_that_is_issued_after_the_answer_works_at_once(
    cluster: Cluster, connect: Connect
) -> None:
    user_id = fresh("user")
    old = await connect(cluster.second, "rider", user_id)
    await revoke(cluster.first, cut_off(user_id))
    token = mint("rider", user_id)
    await is_out(old)
    for url in (cluster.first, cluster.second):
        assert (await connect(url, "rider", user_id, token=token)).user_id == user_id
        assert (await ask("GET", f"{url}/v1/trips", token)).status == HTTPStatus.OK


async def test_a_session_cannot_be_refreshed_with_a_revoked_token(
    cluster: Cluster, connect: Connect
) -> None:
    rider_id, jti = fresh("rider"), fresh("jti")
    rider = await connect(cluster.first, "rider", rider_id)
    await revoke(cluster.first, f"sessions/{jti}")
    error = await rider.refused("session:refresh", {"token": token_of(rider_id, jti)})
    assert (error["code"], error["retry"]) == ("unauthorized", False)
    await rider.ok("session:refresh", {"token": mint("rider", rider_id)})


async def test_a_refreshed_session_goes_on_when_its_old_token_is_revoked(
    cluster: Cluster, connect: Connect
) -> None:
    rider_id, old, new = fresh("rider"), fresh("jti"), fresh("jti")
    rider = await connect(cluster.first, "rider", rider_id, token=token_of(rider_id, old))
    witness = await connect(cluster.first, "rider", rider_id, token=token_of(rider_id, old))
    await rider.ok("session:refresh", {"token": token_of(rider_id, new)})
    await revoke(cluster.second, f"sessions/{old}")
    await is_out(witness)
    assert rider.heard("session:ended") == []
    await revoke(cluster.second, f"sessions/{new}")
    await is_out(rider)


async def test_an_instance_without_redis_finds_it_in_the_store(
    cluster: Cluster, connect: Connect
) -> None:
    rider_id, jti = fresh("rider"), fresh("jti")
    async with another(cluster.settings | {"REDIS_URL": "redis://127.0.0.1:1"}) as deaf:
        by_token = await connect(deaf.url, "rider", rider_id, token=token_of(rider_id, jti))
        by_user = await connect(deaf.url, "rider", fresh("rider"))
        await revoke(cluster.first, f"sessions/{jti}")
        await is_out(by_token)
        assert await refusal(deaf.url, token_of(rider_id, jti)) == "unauthorized"
        await revoke(cluster.first, cut_off(by_user.user_id))
        await is_out(by_user)


async def test_what_an_instance_without_redis_revokes_stops_elsewhere(
    cluster: Cluster, connect: Connect
) -> None:
    rider = await connect(cluster.first, "rider", fresh("rider"))
    async with another(cluster.settings | {"REDIS_URL": "redis://127.0.0.1:1"}) as mute:
        await revoke(mute.url, cut_off(rider.user_id))
        await is_out(rider)


async def test_an_instance_without_mongodb_hears_it_over_redis(
    cluster: Cluster, connect: Connect
) -> None:
    rider_id, jti = fresh("rider"), fresh("jti")
    async with (
        Relay.to(cluster.settings["MONGODB_URL"]) as mongodb,
        another(cluster.settings | {"MONGODB_URL": mongodb.url}) as server,
    ):
        by_token = await connect(server.url, "rider", rider_id, token=token_of(rider_id, jti))
        by_user = await connect(server.url, "rider", fresh("rider"))
        mongodb.cut()
        await revoke(cluster.first, f"sessions/{jti}")
        await revoke(cluster.first, cut_off(by_user.user_id))
        await is_out(by_token)
        await is_out(by_user)
        assert await refusal(server.url, token_of(rider_id, jti)) == "unauthorized"


async def test_what_was_told_while_redis_was_away_reaches_an_instance_without_mongodb(
    cluster: Cluster, connect: Connect
) -> None:
    async with (
        Relay.to(cluster.settings["MONGODB_URL"]) as mongodb,
        Relay.to(cluster.settings["REDIS_URL"]) as redis,
        another(cluster.settings | {"MONGODB_URL": mongodb.url, "REDIS_URL": redis.url}) as server,
    ):
        rider = await connect(server.url, "rider", fresh("rider"))
        mongodb.cut()
        redis.cut()
        await revoke(cluster.first, cut_off(rider.user_id))
        redis.mend()
        await is_out(rider)


async def test_what_cannot_be_stored_is_told_and_answered_unavailable(
    cluster: Cluster, connect: Connect
) -> None:
    rider = await connect(cluster.first, "rider", fresh("rider"))
    async with (
        Relay.to(cluster.settings["MONGODB_URL"]) as mongodb,
        another(cluster.settings | {"MONGODB_URL": mongodb.url}) as server,
    ):
        mongodb.cut()
        backend = mint("service", fresh("backend"))
        asked = await ask("DELETE", f"{server.url}/v1/{cut_off(rider.user_id)}", backend)
        assert (asked.status, asked.code) == (HTTPStatus.SERVICE_UNAVAILABLE, "unavailable")
        assert asked.retry_after is not None
        await is_out(rider)


async def test_an_instance_without_either_lets_nobody_in_until_one_is_back(
    cluster: Cluster, connect: Connect
) -> None:
    async with (
        Relay.to(cluster.settings["MONGODB_URL"]) as mongodb,
        Relay.to(cluster.settings["REDIS_URL"]) as redis,
        another(cluster.settings | {"MONGODB_URL": mongodb.url, "REDIS_URL": redis.url}) as server,
    ):
        rider_id, jti = fresh("rider"), fresh("jti")
        inside = await connect(server.url, "rider", rider_id, token=token_of(rider_id, jti))
        token = mint("rider", inside.user_id)
        mongodb.cut()
        redis.cut()
        asked = await asked_until(f"{server.url}{HANDSHAKE}", HTTPStatus.SERVICE_UNAVAILABLE)
        assert (asked.status, asked.code) == (HTTPStatus.SERVICE_UNAVAILABLE, "unavailable")
        assert 1 <= int(asked.retry_after or 0) <= 5
        asked = await ask("GET", f"{server.url}/v1/trips", token)
        assert (asked.status, asked.code) == (HTTPStatus.SERVICE_UNAVAILABLE, "unavailable")
        assert (await ask("GET", f"{server.url}/healthz")).status == HTTPStatus.OK
        error = await inside.refused("session:refresh", {"token": token})
        assert (error["code"], error["retry"]) == ("unavailable", True)
        await revoke(cluster.first, f"sessions/{jti}")
        assert inside.heard("session:ended") == []
        mongodb.mend()
        await is_out(inside)
        await asked_until(f"{server.url}{HANDSHAKE}", HTTPStatus.OK)
        assert (await connect(server.url, "rider", rider_id, token=token)).user_id == rider_id


async def test_redis_that_comes_back_alone_is_not_trusted_for_what_it_missed(
    cluster: Cluster, connect: Connect
) -> None:
    async with (
        Relay.to(cluster.settings["MONGODB_URL"]) as mongodb,
        Relay.to(cluster.settings["REDIS_URL"]) as redis,
        another(cluster.settings | {"MONGODB_URL": mongodb.url, "REDIS_URL": redis.url}) as server,
    ):
        mongodb.cut()
        redis.cut()
        await asked_until(f"{server.url}{HANDSHAKE}", HTTPStatus.SERVICE_UNAVAILABLE)
        rider_id, jti = fresh("rider"), fresh("jti")
        await revoke(cluster.first, f"sessions/{jti}")
        redis.mend()
        await until_redis_is_back(server.url)
        asked = await ask("GET", f"{server.url}{HANDSHAKE}")
        assert asked.status == HTTPStatus.SERVICE_UNAVAILABLE
        mongodb.mend()
        await asked_until(f"{server.url}{HANDSHAKE}", HTTPStatus.OK)
        assert await refusal(server.url, token_of(rider_id, jti)) == "unauthorized"


async def test_what_was_revoked_is_refused_after_a_restart(cluster: Cluster, js: JsProcess) -> None:
    rider_id, jti, cut = fresh("rider"), fresh("jti"), fresh("cut")
    by_user = mint("rider", cut)
    server = await Server.start(cluster.settings)
    await revoke(server.url, f"sessions/{jti}")
    await revoke(server.url, cut_off(cut))
    await server.kill()
    async with another(cluster.settings) as again:
        for token in (token_of(rider_id, jti), by_user):
            assert await refusal(again.url, token) == "unauthorized"
            with pytest.raises(Refused) as refused:
                await js.connect(
                    again.url,
                    {"token": token},
                    parser="msgpack",
                    transports=["polling"],
                    headers={},
                )
            assert refused.value.code == "unauthorized"
            assert (await ask("GET", f"{again.url}/v1/trips", token)).code == "unauthorized"
