"""Tokens and secrets stay where they belong, however much is logged and whatever goes wrong."""

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import jwt
import msgspec
import pytest

from tests.conftest import Cluster, fresh, mint, now
from tests.hostile.process import logged
from tests.hostile.raw import HANDSHAKE, JSON, Response, Session, WebSocket, request
from tests.servers import SECRET, Server

HERE: Final = {"lat": 52.5, "lng": 13.4}
FORGED: Final = "2026-01-31T12:00:00.000Z ERROR realtime.app: forged"
QUERIES: Final = ("token", "access_token", "auth", "Authorization", "jwt")


@pytest.fixture(scope="module")
async def talkative(cluster: Cluster) -> AsyncIterator[Server]:
    server = await Server.start(cluster.settings | {"LOG_LEVEL": "debug"}, program=True)
    yield server
    await server.stop()


class Company:
    """A ride's parties, their tokens, and everything that the server said to whom it refused."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.tokens: dict[str, str] = {}
        self.said: list[str] = []

    async def session(self, role: str) -> Session:
        session = Session(await WebSocket.open(self.server.url), JSON, fresh(role))
        self.tokens[role] = mint(role, session.user_id)
        await session.begin(self.tokens[role])
        return session

    async def refused(self, session: Session, event: str, payload: object) -> None:
        answer = await session.call(event, payload)
        assert answer["ok"] is False
        self.said.append(str(answer))

    async def asks(self, method: str, path: str, token: str, body: bytes = b"") -> Response:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        answer = await request(self.server.url, method, path, headers, body)
        if answer.status >= 400:
            self.said.append(answer.body.decode())
        return answer

    async def refused_connection(self, target: str, auth: object) -> str:
        """The code with which somebody is not let in."""
        socket = await WebSocket.open(self.server.url, target)
        await socket.receive()
        socket.send(JSON.connect(auth) if auth is not None else "40")
        kind, _, error = JSON.read(await socket.receive())
        assert kind == 4
        self.said.append(str(error))
        socket.close()
        code: str = error["data"]["code"]
        return code


async def _ride(company: Company) -> str:
    """A ride over both doors; the trip's id."""
    rider, driver = await company.session("rider"), await company.session("driver")
    staff = await company.session("service")
    trip = {"client_id": "r", "rider_id": rider.user_id, "pickup": HERE}
    body = msgspec.json.encode(trip)
    created = await company.asks("POST", "/v1/trips", company.tokens["service"], body)
    trip_id: str = msgspec.json.decode(created.body)["id"]
    moved = {"trip_id": trip_id, "status": "accepted", "driver_id": driver.user_id}
    await staff.ok("trip:update", moved)
    await driver.hears("trip:status")
    await rider.ok("trip:subscribe", {"trip_id": trip_id})
    await driver.ok("driver:location", {**HERE, "ts": now(), "seq": 1})
    await rider.hears("trip:location")
    message = {"conversation_id": trip_id, "client_id": "m", "text": "hello"}
    await driver.ok("chat:send", message)
    company.tokens["refreshed"] = mint("rider", rider.user_id, ttl_s=900)
    await rider.ok("session:refresh", {"token": company.tokens["refreshed"]})
    share = f"/v1/trips/{trip_id}/share"
    shared = await company.asks("POST", share, company.tokens["service"])
    company.tokens["shared"] = msgspec.json.decode(shared.body)["token"]
    for session in (rider, driver, staff):
        session.close()
    return trip_id


async def _mishaps(company: Company, trip_id: str) -> None:
    """Good and bad tokens where none belongs, and in requests and commands that are refused."""
    good = company.tokens["service"]
    spoilt = company.tokens["spoilt"] = f"{good[:-8]}AAAAAAAA"
    foreign = company.tokens["foreign"] = mint("rider", fresh("rider"))
    expired = company.tokens["expired"] = _expired()
    rider = await company.session("agent")
    for token in (spoilt, foreign, expired, [good]):
        await company.refused(rider, "session:refresh", {"token": token})
    for event in (good, f"x {good}"):
        await company.refused(rider, event, {})
    await company.refused(rider, "trip:subscribe", {"trip_id": good})
    await company.refused(rider, "trip:update", {"trip_id": trip_id, "status": good})
    for auth in ({"token": spoilt}, {"token": expired}, {"token": good, "device": [good]}):
        await company.refused_connection(HANDSHAKE, auth)
    for token in (spoilt, expired, f"{good} {good}"):
        assert (await company.asks("GET", "/v1/trips", token)).status == 401
    for path in (f"/v1/trips/{good}", f"/v1/{good}", f"/v1/trips?status={good}&cursor={good}"):
        assert (await company.asks("GET", path, good)).status in (400, 404)
    assert (await company.asks("POST", "/v1/trips", good, good.encode())).status == 400
    rider.close()


def _expired() -> str:
    claims = {"sub": fresh("rider"), "role": "rider", "exp": now() // 1_000 - 60}
    return jwt.encode(claims, SECRET, "HS256")


def _command_line(server: Server) -> str:
    """The process' title and arguments, as everybody on the machine may see them."""
    process = Path(f"/proc/{server.process.pid}")
    if process.exists():
        return (process / "cmdline").read_text() + (process / "comm").read_text()
    ps = ("ps", "-o", "command=", "-p", str(server.process.pid))
    return subprocess.run(ps, capture_output=True, check=True, text=True).stdout  # noqa: S603


async def test_no_token_or_secret_shows_up_in_logs_errors_metrics_or_the_process_title(
    talkative: Server,
) -> None:
    company = Company(talkative)
    await _mishaps(company, await _ride(company))
    last = await company.session("agent")
    last.close()
    await logged(talkative, "connection closed", last.user_id)
    places = {
        "log": "\n".join(talkative.output),
        "errors": "\n".join(company.said),
        "metrics": (await request(talkative.url, "GET", "/metrics")).body.decode(),
        "title": _command_line(talkative),
    }
    assert len(company.said) > 15
    for place, text in places.items():
        assert SECRET not in text, place
        for name, token in company.tokens.items():
            for part in token.split(".")[1:]:
                assert part not in text, f"{name} token in {place}"


@pytest.mark.parametrize("name", QUERIES)
async def test_a_token_in_the_query_string_of_the_handshake_lets_nobody_in(
    talkative: Server, name: str
) -> None:
    company = Company(talkative)
    target = f"{HANDSHAKE}&{name}={mint('rider', fresh('rita'))}"
    assert await company.refused_connection(target, None) == "unauthorized"
    assert await company.refused_connection(target, {}) == "unauthorized"


async def test_what_a_client_says_of_itself_forges_no_line(talkative: Server) -> None:
    rita = fresh("rita")
    socket = await WebSocket.open(talkative.url)
    await socket.receive()
    about = {"token": mint("rider", rita), "client": f"phone\n{FORGED}\r{FORGED}\u2028{FORGED}"}
    socket.send(JSON.connect(about))
    await logged(talkative, "connection opened", rita)
    assert [line for line in talkative.output if line.startswith(FORGED)] == []
    [line] = [line for line in talkative.output if rita in line]
    assert "forged" in line
    assert line.isprintable()
    socket.close()
