"""What every route has in common: tokens, bad bodies, wrong methods, request ids, CORS, limits."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
import pytest

from realtime.http.requests import MAX_BODY
from realtime.http.table import ROUTES, Route
from tests.conftest import Cluster, fresh, mint
from tests.http.conftest import JSON, Caller, Company
from tests.servers import Server

ORIGIN: Final = "https://console.example"
WITH_BODY: Final = [route for route in ROUTES if route.method.has_body]


def path_of(route: Route) -> str:
    return route.path.format(**{name: fresh("id") for name in route.in_path})


def name(route: Route) -> str:
    return route.name


class TestTokens:
    @pytest.mark.parametrize("route", ROUTES, ids=name)
    async def test_no_route_answers_without_a_token(self, company: Company, route: Route) -> None:
        answer = await company.nobody.ask(route.method, path_of(route))
        assert (answer.status, answer.error["code"]) == (401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"

    @pytest.mark.parametrize(
        "header",
        ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer a.b.c", "Token {token}", "{token}"],
    )
    async def test_what_is_no_bearer_token_is_refused(self, company: Company, header: str) -> None:
        headers = {"Authorization": header.format(token=mint("service", "s"))}
        answer = await company.nobody.ask("GET", "/v1/trips", headers=headers)
        assert (answer.status, answer.error["code"]) == (401, "unauthorized")

    async def test_a_token_that_is_too_long_is_told_so(self, company: Company) -> None:
        headers = {"Authorization": f"Bearer {'x' * 9_000}"}
        answer = await company.nobody.ask("GET", "/v1/trips", headers=headers)
        assert (answer.status, answer.error["code"]) == (401, "unauthorized")
        assert "longer than" in answer.error["message"]

    async def test_an_expired_token_says_so(self, company: Company) -> None:
        token = mint("service", fresh("service"), ttl_s=1)
        caller = company.with_token(token)
        deadline = time.monotonic() + 10
        while (await caller.ask("GET", "/v1/trips?limit=1")).status == 200:
            assert time.monotonic() < deadline
        assert await caller.refused("GET", "/v1/trips?limit=1") == "401 token_expired"

    async def test_a_token_in_the_query_is_not_looked_at(self, company: Company) -> None:
        token = mint("service", fresh("service"))
        for parameter in ("token", "access_token", "Authorization"):
            path = f"/v1/trips?{parameter}={token}"
            assert await company.nobody.refused("GET", path) == "401 unauthorized"

    async def test_the_scheme_is_written_in_any_case(self, company: Company) -> None:
        headers = {"Authorization": f"bEARER  {mint('service', 's')}"}
        answer = await company.nobody.ask("GET", "/v1/trips?limit=1", headers=headers)
        assert answer.status == 200


class TestBodies:
    @pytest.mark.parametrize("route", WITH_BODY, ids=name)
    @pytest.mark.parametrize(
        "body", [b"{", b"[]", b'"x"', b"null", b"\xff", b'{"a": 1', b"[" * 5_000, b"{} {}"]
    )
    async def test_what_is_no_json_object_is_invalid(
        self, company: Company, route: Route, body: bytes
    ) -> None:
        answer = await company.service.ask(route.method, path_of(route), data=body, headers=JSON)
        assert (answer.status, answer.error["code"]) == (400, "invalid")

    @pytest.mark.parametrize("route", WITH_BODY, ids=name)
    @pytest.mark.parametrize(
        "headers",
        [
            {"Content-Type": "text/plain"},
            {"Content-Type": "application/x-www-form-urlencoded"},
            {"Content-Type": "application/json; charset=utf-16"},
            {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        ],
    )
    async def test_another_media_type_is_refused(
        self, company: Company, route: Route, headers: dict[str, str]
    ) -> None:
        answer = await company.service.ask(
            route.method, path_of(route), data=b"{}", headers=headers
        )
        assert (answer.status, answer.error["code"]) == (415, "unsupported_media_type")

    @pytest.mark.parametrize("route", WITH_BODY, ids=name)
    async def test_a_body_that_is_too_large_is_refused(
        self, company: Company, route: Route
    ) -> None:
        body = b'{"x": "' + b"x" * MAX_BODY + b'"}'
        answer = await company.service.ask(route.method, path_of(route), data=body, headers=JSON)
        assert (answer.status, answer.error["code"]) == (413, "too_large")

    async def test_the_largest_body_is_read(self, company: Company) -> None:
        body = company.request()
        padding = "x" * (MAX_BODY - 1_000)
        await company.service.ok("POST", "/v1/trips", {**body, "unknown": padding})

    @pytest.mark.parametrize("route", WITH_BODY, ids=name)
    async def test_half_a_body_changes_nothing_and_harms_nobody(
        self, company: Company, cluster: Cluster, route: Route
    ) -> None:
        where = urlsplit(cluster.first)
        _, writer = await asyncio.open_connection(where.hostname, where.port)
        head = (
            f"{route.method} {path_of(route)} HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {mint('service', 's')}\r\n"
            'Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"client_id"'
        )
        writer.write(head.encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert (await company.service.ask("GET", "/v1/trips?limit=1")).status == 200

    async def test_a_field_of_the_path_may_stand_in_the_body_if_it_is_the_same(
        self, company: Company
    ) -> None:
        trip_id = await company.trip()
        path = f"/v1/trips/{trip_id}"
        await company.rider.ok("PATCH", path, {"trip_id": trip_id, "stops": []})
        answer = await company.rider.ask("PATCH", path, {"trip_id": "another", "stops": []})
        assert (answer.status, answer.error["path"]) == (400, "trip_id")

    @pytest.mark.parametrize(
        ("body", "headers"),
        [
            (b'{"trip_id": "\xff"}', {}),
            (b'{"version": "\xff"}', {"If-Match": '"1"'}),
            (b'{"unknown": "\xff", "stops": []}', {}),
        ],
    )
    async def test_what_is_no_utf_8_is_invalid_wherever_it_stands(
        self, company: Company, body: bytes, headers: dict[str, str]
    ) -> None:
        path = f"/v1/trips/{fresh('trip')}"
        answer = await company.service.ask("PATCH", path, data=body, headers={**JSON, **headers})
        assert (answer.status, answer.error["code"]) == (400, "invalid")

    async def test_a_key_that_no_id_can_be_is_invalid(self, cluster: Cluster) -> None:
        where = urlsplit(cluster.first)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        head = (
            "POST /v1/trips HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Authorization: Bearer {mint('service', 's')}\r\n"
            "Content-Type: application/json\r\nContent-Length: 2\r\nIdempotency-Key: "
        )
        writer.write(head.encode() + b"\xff\r\n\r\n{}")
        answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 400")
        assert b'"invalid"' in answer

    async def test_a_token_that_is_revoked_while_the_body_comes_does_nothing(
        self, company: Company, cluster: Cluster
    ) -> None:
        user_id = fresh("slow")
        body = msgspec.json.encode(company.request())
        where = urlsplit(cluster.first)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        head = (
            "POST /v1/trips HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            f"Authorization: Bearer {mint('service', user_id)}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode())
        await writer.drain()
        await company.service.ask("DELETE", f"/v1/users/{user_id}/sessions")
        writer.write(body)
        assert (await reader.read()).startswith(b"HTTP/1.1 401")
        writer.close()
        listed = await company.rider.ok("GET", "/v1/trips")
        assert listed["items"] == []


class TestPaths:
    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/v1/trips/a%2Fb", 404),
            ("/v1/trips/..%2F..%2Fetc", 404),
            ("/v1/trips/%C3%BC%E2%9C%93", 404),
            ("/v1/trips/a%20b", 400),
            ("/v1/trips/%00", 400),
            ("/v1/trips/" + "x" * 128, 404),
            ("/v1/trips/" + "x" * 129, 400),
            ("/v1/trips/%E2%80%AE", 400),
            ("/v1/trips/%7Bx%7D", 404),
            ("/v1/trips/", 404),
            ("/v1/trip", 404),
            ("/v1", 404),
            ("/", 404),
            ("/v1/drivers", 404),
        ],
    )
    async def test_any_path_gets_a_json_error(
        self, company: Company, path: str, status: int
    ) -> None:
        answer = await company.service.ask("GET", path)
        assert answer.status == status
        assert answer.error["code"] == ("not_found" if status == 404 else "invalid")

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("DELETE", "/v1/trips", "GET, HEAD, OPTIONS, POST"),
            ("PUT", "/v1/trips/t", "GET, HEAD, OPTIONS, PATCH"),
            ("GET", "/v1/trips/t/status", "OPTIONS, POST"),
            ("POST", "/v1/sessions/j", "DELETE, OPTIONS"),
            ("POST", "/healthz", "GET, HEAD, OPTIONS"),
        ],
    )
    async def test_a_wrong_method_is_told_the_right_ones(
        self, company: Company, method: str, path: str, allowed: str
    ) -> None:
        answer = await company.service.ask(method, path)
        assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")
        assert answer.headers["Allow"] == allowed
        options = await company.nobody.ask("OPTIONS", path)
        assert (options.status, options.headers["Allow"]) == (204, allowed)


class TestRequestIds:
    async def test_a_good_id_is_kept_and_another_replaced(self, company: Company) -> None:
        for given, kept in (("abc-123", True), ("x" * 128, True), ("x" * 129, False), ("", False)):
            answer = await company.service.ask(
                "GET", "/v1/trips?limit=1", headers={"X-Request-Id": given}
            )
            assert (answer.headers["X-Request-Id"] == given) is kept
            assert answer.headers["X-Request-Id"]

    async def test_an_error_names_its_request(self, company: Company) -> None:
        answer = await company.nobody.ask("GET", "/v1/trips", headers={"X-Request-Id": "mine"})
        assert answer.error["request_id"] == "mine"


@pytest.fixture(scope="module")
async def shared_server(cluster: Cluster) -> AsyncIterator[Server]:
    server = await Server.start({**cluster.settings, "ALLOWED_ORIGINS": ORIGIN})
    yield server
    await server.stop()


class TestOrigins:
    async def test_a_page_of_an_allowed_origin_may_read_answers(
        self, shared_server: Server
    ) -> None:
        async with aiohttp.ClientSession() as session:
            caller = Caller(session, shared_server.url, mint("service", "s"))
            for path in ("/v1/trips?limit=1", "/v1/trips/none", "/nowhere"):
                answer = await caller.ask("GET", path, headers={"Origin": ORIGIN})
                assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
                assert "ETag" in answer.headers["Access-Control-Expose-Headers"]
                assert "Origin" in answer.headers["Vary"]

    async def test_a_browser_that_asks_before_it_sends_may_send(
        self, shared_server: Server
    ) -> None:
        async with aiohttp.ClientSession() as session:
            caller = Caller(session, shared_server.url, None)
            asking = {"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH"}
            answer = await caller.ask("OPTIONS", "/v1/trips/t", headers=asking)
            assert answer.status == 204
            assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
            assert "If-Match" in answer.headers["Access-Control-Allow-Headers"]
            assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]

    async def test_another_origin_may_not(self, shared_server: Server) -> None:
        async with aiohttp.ClientSession() as session:
            caller = Caller(session, shared_server.url, mint("service", "s"))
            for origin in ("https://evil.example", "null", f"{ORIGIN}.evil.example"):
                answer = await caller.ask("GET", "/v1/trips?limit=1", headers={"Origin": origin})
                assert not [key for key in answer.headers if key.startswith("Access-Control")]
