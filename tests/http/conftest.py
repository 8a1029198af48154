"""What tests over real HTTP share: a caller with a token, on either of two instances."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import msgspec
import pytest
from msgspec import Struct
from yarl import URL

from tests.conftest import Cluster, fresh, mint
from tests.rides import PICKUP, WAY

JSON: Final = {"Content-Type": "application/json"}


class Answer(Struct, frozen=True):
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.text)

    @property
    def error(self) -> Any:
        """The error, whose answer is of the one shape that all have."""
        assert set(self.json) == {"error"}, self.text
        error = self.json["error"]
        assert {"code", "message", "retry", "request_id"} <= set(error)
        assert error["request_id"] == self.headers["X-Request-Id"]
        assert self.headers["Content-Type"].startswith("application/json")
        return error


def _query(fields: Mapping[str, Any]) -> str:
    return f"?{urlencode(fields)}" if fields else ""


class Caller:
    """Somebody with a token (or without one), who asks one instance."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str | None) -> None:
        self._session = session
        self._url = url
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Answer:
        """`body` goes as JSON, `data` as it is."""
        sent = dict(self._headers)
        if body is not None:
            sent, data = sent | JSON, msgspec.json.encode(body)
        async with self._session.request(
            method,
            URL(f"{self._url}{path}{_query(query or {})}", encoded=True),
            data=data,
            headers=sent | dict(headers or {}),
        ) as response:
            return Answer(response.status, response.headers, await response.text())

    async def ok(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Ask, insist on success, and return the JSON."""
        answer = await self.ask(method, path, body, **more)
        assert answer.status in (200, 201), f"{method} {path}: {answer.status} {answer.text}"
        return answer.json

    async def refused(self, method: str, path: str, body: Any = None, **more: Any) -> str:
        """Ask, and return `status code` of the refusal."""
        answer = await self.ask(method, path, body, **more)
        return f"{answer.status} {answer.error['code']}"


class Company:
    """A company's back end with its people, each on an instance of the cluster."""

    def __init__(self, session: aiohttp.ClientSession, cluster: Cluster) -> None:
        self._session = session
        self._cluster = cluster
        self.rider_id = fresh("rider")
        self.driver_id = fresh("driver")
        self.service = self.caller("service", fresh("service"))
        self.agent = self.caller("agent", fresh("agent"), second=True)
        self.rider = self.caller("rider", self.rider_id)
        self.driver = self.caller("driver", self.driver_id, second=True)
        self.stranger = self.caller("rider", fresh("stranger"))
        self.nobody = self.with_token(None)

    def caller(
        self, role: str, user_id: str, *, second: bool = False, trips: Sequence[str] = ()
    ) -> Caller:
        return self.with_token(mint(role, user_id, trips=trips), second=second)

    def with_token(self, token: str | None, *, second: bool = False) -> Caller:
        url = self._cluster.second if second else self._cluster.first
        return Caller(self._session, url, token)

    def request(self, **fields: Any) -> dict[str, Any]:
        """The body of a new trip."""
        return {
            "client_id": fresh("request"),
            "rider_id": self.rider_id,
            "pickup": PICKUP,
            **fields,
        }

    async def trip(self, status: str = "requested", **fields: Any) -> str:
        """A trip in this state; its id."""
        trip_id: str = (await self.service.ok("POST", "/v1/trips", self.request(**fields)))["id"]
        for step in WAY[status]:
            driver = {"driver_id": self.driver_id} if step == "accepted" else {}
            await self.service.ok("POST", f"/v1/trips/{trip_id}/status", {"status": step, **driver})
        return trip_id

    async def conversation(self, *participants: str) -> str:
        body = {"client_id": fresh("open"), "participants": participants or [self.rider_id]}
        conversation_id: str = (await self.service.ok("POST", "/v1/conversations", body))["id"]
        return conversation_id


@pytest.fixture
async def company(cluster: Cluster) -> AsyncIterator[Company]:
    async with aiohttp.ClientSession() as session:
        yield Company(session, cluster)
