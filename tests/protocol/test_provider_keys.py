"""An identity provider's keys on a real server: who waits for them, and who comes back."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from msgspec import Struct

from realtime.embedded import EmbeddedStores
from tests.clients import Client, JsProcess, PythonClient, Refused
from tests.conftest import fresh
from tests.hostile.process import logged, until
from tests.hostile.raw import HANDSHAKE, UPGRADE, Response, request
from tests.provider import Provider, p256
from tests.servers import Server

WEBSOCKET = ("websocket",)


class Site(Struct, frozen=True):
    """A server that has no keys but its provider's, which it was started without."""

    server: Server
    provider: Provider
    readiness: Response
    """Before the provider was there."""
    handshake: Response
    """The same."""
    patient: Client
    """A stock client that was told to connect then."""

    def token(self, kid: str, role: str = "driver", sub: str | None = None) -> str:
        return self.provider.sign(kid, role=role, sub=sub or fresh("driver"))

    async def connect(self, token: str, transport: str = "websocket") -> PythonClient:
        client = await PythonClient.connect(
            self.server.url, {"token": token}, parser="json", transports=[transport], headers={}
        )
        await client.hears("session:ready")
        return client

    async def ask(self, token: str) -> tuple[int, Any]:
        """A request over HTTP that only staff may make."""
        headers = {"Authorization": f"Bearer {token}"}
        url = f"{self.server.url}/v1/trips"
        async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as response:
            return response.status, (await response.json()).get("error", {}).get("code")

    def rotate(self) -> str:
        """A new key of the provider's; its name."""
        kid = fresh("key")
        self.provider.add(kid)
        return kid


@pytest.fixture(scope="module")
async def site(stores: EmbeddedStores, js: JsProcess) -> AsyncIterator[Site]:
    async with Provider.open("first", "doomed") as provider:
        provider.answer = lambda: web.Response(status=500)
        addresses = {"REDIS_URL": str(stores.redis_url), "MONGODB_URL": str(stores.mongodb_url)}
        keys = {"JWT_SECRET": "", "JWT_JWKS_URL": provider.url}
        server = await Server.start(addresses | keys)
        await logged(server, "WARNING", "the keys of tokens cannot be fetched: the answer is 500")
        readiness = await request(server.url, "GET", "/readyz")
        handshake = await request(server.url, "GET", HANDSHAKE, UPGRADE)
        waiting = asyncio.create_task(_patient(server, provider.sign("first"), js))
        provider.answer = None
        patient = await waiting
        yield Site(server, provider, readiness, handshake, patient)
        await patient.close()
        await server.stop()


async def _patient(server: Server, token: str, js: JsProcess) -> Client:
    """A stock client that gets in as soon as it can."""
    client = await js.connect(
        server.url,
        {"token": token},
        parser="json",
        transports=WEBSOCKET,
        headers={},
        reconnection=True,
    )
    await client.hears("session:ready")
    return client


async def test_a_server_without_any_keys_is_not_ready_and_who_comes_comes_back(site: Site) -> None:
    assert site.readiness.status == 503
    assert b'"keys":"the keys of tokens cannot be fetched: the answer is 500"' in (
        site.readiness.body
    )
    assert site.handshake.status == 503
    assert "retry-after" in site.handshake.headers
    assert (await request(site.server.url, "GET", "/readyz")).status == 200
    assert site.patient.heard("session:ready")[0]["role"] == "driver"
    await logged(site.server, "INFO", "the keys of tokens were fetched", "first ES256")


async def test_who_has_a_new_key_waits_for_it_and_nobody_else_does(
    site: Site, js: JsProcess
) -> None:
    refreshing = await site.connect(site.token("first"))
    kid, asked = site.rotate(), site.provider.asked
    token = site.token(kid, sub=refreshing.user_id)
    site.provider.answers.clear()
    waiting: list[asyncio.Task[Any]] = [
        asyncio.create_task(work)
        for work in (
            site.connect(site.token(kid)),
            site.connect(site.token(kid), "polling"),
            _patient(site.server, site.token(kid), js),
            refreshing.ok("session:refresh", {"token": token}),
            site.ask(site.token(kid, role="agent")),
        )
    ]
    await until(lambda: site.provider.asked > asked)
    bystander = await site.connect(site.token("first"))
    await bystander.ok("driver:status", {"status": "available"})
    assert (await site.ask(site.token("first", role="agent")))[0] == 200
    assert not any(task.done() for task in waiting)

    site.provider.answers.set()
    *clients, answer, asked_over_http = await asyncio.gather(*waiting)
    assert answer["expires_at"] > 0
    assert asked_over_http == (200, None)
    for client in (*clients, refreshing, bystander):
        await client.close()


async def test_a_key_that_the_provider_does_not_have_is_refused(site: Site) -> None:
    connected = await site.connect(site.token("first"))
    forged = site.provider.sign("made-up", p256(), role="agent", sub=connected.user_id)

    async def connecting() -> str | None:
        with pytest.raises(Refused) as refused:
            await site.connect(forged)
        return refused.value.code

    code, error, answered = await asyncio.gather(
        connecting(), connected.refused("session:refresh", {"token": forged}), site.ask(forged)
    )
    assert (code, error["code"], answered) == (
        "unauthorized",
        *("unauthorized", (401, "unauthorized")),
    )
    metrics = (await request(site.server.url, "GET", "/metrics")).body
    assert b'ridewire_authentication_failures_total{reason="unknown_key"} 3' in metrics
    await connected.close()


async def test_while_the_provider_is_away_nobody_is_called_a_forger(
    site: Site, js: JsProcess
) -> None:
    kid = site.rotate()
    site.provider.answer = lambda: web.Response(status=502)
    connected = await site.connect(site.token("first"))
    patient = asyncio.create_task(_patient(site.server, site.token(kid), js))
    error, answered = await asyncio.gather(
        connected.refused("session:refresh", {"token": site.token(kid, sub=connected.user_id)}),
        site.ask(site.token(kid, role="agent")),
    )
    assert (error["code"], error["retry"]) == ("unavailable", True)
    assert answered == (503, "unavailable")
    await connected.ok("driver:status", {"status": "available"})
    assert not patient.done()
    site.provider.answer = None
    await (await patient).close()
    await connected.close()


async def test_a_key_that_is_not_published_any_more_stops_working(site: Site) -> None:
    token = site.token("doomed")
    connected = await site.connect(token)
    del site.provider.keys["doomed"]
    await (await site.connect(site.token(site.rotate()))).close()
    with pytest.raises(Refused) as refused:
        await site.connect(token)
    assert refused.value.code == "unauthorized"
    await connected.ok("driver:status", {"status": "available"})
    await connected.close()
