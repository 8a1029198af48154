"""The documents and the page as the server gives them, and that it does what they say."""

import re
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import aiohttp
import pytest
from msgspec import Struct

from handlers.access import COMMANDS
from realtime.http.documents.page import page
from tests.clients import Client
from tests.conftest import Cluster, Connect, fresh, mint, now
from tests.http.conftest import Company
from tests.http.documents import (
    answers_of,
    message_of,
    operations,
    over_http,
    over_sockets,
    problems,
)

PATHS = {
    "/v1/openapi.json": "application/json",
    "/v1/asyncapi.json": "application/json",
    "/v1/docs": "text/html",
}
VOID = {"meta", "link", "input", "wbr"}


class Reading(HTMLParser):
    """What a page has: its ids, what it links to, what it would load, and whether it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if tag == "a" else []
        self.loaded += [given["src"]] if "src" in given else []
        self.loaded += [given["href"]] if tag == "link" else []
        self.loaded += [tag] if tag in ("script", "iframe", "object") else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(text: str) -> Reading:
    reading = Reading()
    reading.feed(text)
    reading.close()
    return reading


@pytest.mark.parametrize("path", PATHS)
async def test_a_document_is_for_everybody(company: Company, path: str) -> None:
    answer = await company.nobody.ask("GET", path)
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith(PATHS[path])
    assert answer.headers["X-Request-Id"]
    assert (await company.nobody.ask("HEAD", path)).status == 200


@pytest.mark.parametrize("path", PATHS)
async def test_who_has_a_document_gets_it_not_again(company: Company, path: str) -> None:
    tag = (await company.nobody.ask("GET", path)).headers["ETag"]
    known = await company.nobody.ask("GET", path, headers={"If-None-Match": f'"x", {tag}'})
    assert (known.status, known.text, known.headers["ETag"]) == (304, "", tag)
    other = await company.nobody.ask("GET", path, headers={"If-None-Match": 'W/"x"'})
    assert other.status == 200


async def test_the_documents_are_those_of_the_code(company: Company) -> None:
    assert await company.nobody.ok("GET", "/v1/openapi.json") == over_http()
    assert await company.nobody.ok("GET", "/v1/asyncapi.json") == over_sockets()
    shown = (await company.nobody.ask("GET", "/v1/docs")).text
    assert shown == page(over_http(), over_sockets())


async def test_the_documents_come_compressed(cluster: Cluster) -> None:
    async with aiohttp.ClientSession(cluster.first, auto_decompress=False) as session:
        for path in PATHS:
            headers = {"Accept-Encoding": "gzip"}
            async with session.get(path, headers=headers) as response:
                assert response.headers["Content-Encoding"] == "gzip"
                assert len(await response.read()) < 40_000


async def test_the_page_loads_nothing_and_runs_nothing(company: Company) -> None:
    answer = await company.nobody.ask("GET", "/v1/docs")
    style = re.search(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    assert style is not None
    digest = b64encode(sha256(style[1].encode()).digest()).decode()
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    assert " style=" not in answer.text
    assert read(answer.text).loaded == ["data:,"]


def test_everything_has_its_place_on_the_page() -> None:
    reading = read(page(over_http(), over_sockets()))
    assert reading.open == []
    assert len(reading.ids) == len({*reading.ids})
    names = {operation["operationId"] for *_, operation in operations()}
    assert names | over_sockets()["operations"].keys() <= {*reading.ids}


def test_every_link_on_the_page_leads_somewhere() -> None:
    reading = read(page(over_http(), over_sockets()))
    inside = {link.removeprefix("#") for link in reading.links if link.startswith("#")}
    assert inside <= {*reading.ids}
    assert {link for link in reading.links if not link.startswith("#")} == {
        "openapi.json",
        "asyncapi.json",
    }


def test_what_the_code_says_is_text_on_the_page() -> None:
    document = over_http()
    info = {**document["info"], "description": "<script>alert(1)</script> & `<b>`"}
    text = page({**document, "info": info}, over_sockets())
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; <code>&lt;b&gt;</code>" in text


class Ride(Struct, frozen=True):
    rider: Client
    driver: Client
    agent: Client
    viewer: Client
    trip_id: str
    support_id: str

    @property
    def everybody(self) -> tuple[Client, ...]:
        return (self.rider, self.driver, self.agent, self.viewer)


@pytest.fixture
async def ride(cluster: Cluster, connect: Connect) -> Ride:
    rider = await connect(cluster.first, "rider", fresh("rider"))
    driver = await connect(cluster.second, "driver", fresh("driver"))
    agent = await connect(cluster.first, "agent", fresh("agent"))
    request = {"client_id": fresh("c"), "pickup": {"lat": 52.5, "lng": 13.4}}
    trip_id = (await rider.ok("trip:create", request))["trip"]["id"]
    viewer = await connect(cluster.second, "viewer", fresh("viewer"), trips=[trip_id])
    opened = await agent.ok("chat:open", support(rider))
    return Ride(rider, driver, agent, viewer, trip_id, opened["conversation"]["id"])


def support(rider: Client) -> dict[str, Any]:
    return {"client_id": fresh("open"), "participants": [rider.user_id]}


async def test_what_the_server_answers_and_tells_is_as_described(ride: Ride) -> None:
    given = [*_commands(ride)]
    assert {event for _, event, _ in given} == COMMANDS.keys()
    for client, event, payload in given:
        (asked,) = message_of(event, sent=False)
        assert problems(over_sockets(), asked, payload) == []
        answer = await client.ok(event, payload)
        good, _ = answers_of(event)
        assert problems(over_sockets(), good, answer) == [], event
    for client in ride.everybody:
        await client.hears("trip:status", lambda fact: fact["status"] == "cancelled")
        for event, fact in client.events:
            assert _problems_of_fact(event, fact) == [], event
    heard = {event for client in ride.everybody for event, _ in client.events}
    assert {"trip:location", "trip:driver", "chat:message", "chat:receipt"} <= heard


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("trip:create", {}),
        ("trip:update", {"trip_id": "nowhere", "status": "accepted"}),
        ("trip:offer", {"trip_id": "nowhere", "driver_id": "dan"}),
        ("session:refresh", {"token": "none"}),
    ],
)
async def test_what_the_server_refuses_is_as_described(
    ride: Ride, event: str, payload: Any
) -> None:
    answer = await ride.rider.call(event, payload)
    _, refusal = answers_of(event)
    assert answer["ok"] is False
    assert problems(over_sockets(), refusal, answer) == []
    described = over_sockets()["operations"][event.replace(":", "_")]["x-codes"]
    assert answer["error"]["code"] in described


def _problems_of_fact(event: str, fact: Any) -> list[str]:
    """What the forms of an event have against a fact, if none of them takes it."""
    found = [problems(over_sockets(), form, fact) for form in message_of(event, sent=True)]
    assert found, f"{event} is not described"
    return min(found, key=len)


def _commands(ride: Ride) -> Iterator[tuple[Client, str, dict[str, Any]]]:
    """A ride on which everything is done that can be done."""
    rider, driver, agent, viewer = ride.everybody
    trip, talk = {"trip_id": ride.trip_id}, {"conversation_id": ride.trip_id}
    place = {"lat": 52.6, "lng": 13.5, "address": "Alexanderplatz"}
    create = {"client_id": fresh("c"), "pickup": place}
    yield rider, "trip:create", create
    yield driver, "driver:status", {"status": "available"}
    yield agent, "trip:subscribe", trip
    yield viewer, "trip:subscribe", trip
    yield agent, "trip:offer", {**trip, "driver_id": driver.user_id}
    yield driver, "trip:decline", {**trip, "reason": "too far"}
    yield agent, "trip:offer", {**trip, "driver_id": driver.user_id, "expires_in_ms": 60_000}
    yield driver, "trip:update", {**trip, "status": "accepted"}
    yield rider, "trip:subscribe", {**trip, "after_seq": 0}
    yield driver, "trip:subscribe", trip
    yield driver, "driver:location", {"lat": 52.5, "lng": 13.4, "ts": now(), "seq": 1}
    yield rider, "trip:edit", {**trip, "dropoff": place, "metadata": {"bags": 2}}
    yield rider, "chat:send", {**talk, "client_id": "m1", "text": "hello"}
    yield driver, "chat:send", {**talk, "client_id": "m2", "kind": "location", "data": place}
    yield rider, "chat:receipt", {**talk, "read_seq": 2}
    yield driver, "chat:typing", {**talk, "typing": True}
    yield rider, "chat:history", talk
    yield rider, "trip:subscribe", trip
    yield agent, "chat:open", support(rider)
    yield agent, "chat:close", {"conversation_id": ride.support_id}
    yield rider, "session:refresh", {"token": mint("rider", rider.user_id)}
    yield rider, "trip:update", {**trip, "status": "cancelled", "reason": "changed my mind"}
    yield rider, "trip:unsubscribe", trip
