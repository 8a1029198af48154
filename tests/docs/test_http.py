"""docs/http.md says what the table of routes does."""

from handlers.access import ACCESS, ALL_ROLES
from models import commands, requests
from models.revocations import KEPT_MS
from realtime.http.answers import GZIP_FROM
from realtime.http.errors import STATUSES, MethodNotAllowed
from realtime.http.requests import MAX_BODY
from realtime.http.table import ROUTES, Route
from tests.docs.markdown import Document

HTTP = Document("docs/http.md")
SOCKETS = ["trip:create", "trip:edit", "trip:update", "trip:offer", "chat:open", "chat:send"]
RELATIONS = {"offered": "offered driver"}


def roles(route: Route) -> str:
    may = ACCESS[route.access].roles
    return "any" if may == ALL_ROLES else ", ".join(sorted(may))


def relations(route: Route) -> str:
    needed = (RELATIONS.get(name, name) for name in ACCESS[route.access].relations)
    return ", ".join(sorted(needed)) or "—"


def test_every_route_is_described_with_who_may_and_what_it_answers() -> None:
    described = [
        (row["Method"], row["Path"], row["Operation"], row["Roles"], row["As"])
        for row in HTTP.table_of("Routes", "Method")
    ]
    assert described == [
        (route.method, route.path, route.name, roles(route), relations(route)) for route in ROUTES
    ]
    answers = [row["Good answer"] for row in HTTP.table_of("Routes", "Method")]
    for route, answer in zip(ROUTES, answers, strict=True):
        assert answer.startswith(str(route.status))
        assert answer.endswith("empty") is (route.answers is None)


def test_every_route_takes_the_fields_that_are_described() -> None:
    described = {row["Operation"]: row["Fields"] for row in HTTP.table_of("Routes", "Fields")}
    assert list(described) == [route.name for route in ROUTES]
    for route in ROUTES:
        fields = [
            field for field in route.takes.__struct_encode_fields__ if field not in route.in_path
        ]
        if route.access in SOCKETS:
            assert described[route.name] == f"those of {route.access}"
        else:
            assert described[route.name] == (", ".join(fields) or "—")


def test_every_error_has_the_status_that_is_described() -> None:
    described = {row["Code"]: int(row["Status"]) for row in HTTP.table("Errors")}
    assert described == {
        **{kind.code: status for kind, status in STATUSES.items()},
        MethodNotAllowed.code: 405,
    }


def test_the_numbers_are_the_codes() -> None:
    assert f"{MAX_BODY // 1024} KiB" in HTTP.section("Routes")
    assert GZIP_FROM == 1_024
    assert f"{commands.MAX_PAGE}, {requests.DEFAULT_PAGE} where" in HTTP.section("Pages")
    assert f"kept for {KEPT_MS // 86_400_000} days" in HTTP.section("Taking tokens back")
    assert requests.SHARE_MS == 86_400_000
    for prefix in requests.OWN_PREFIXES:
        assert f"`{prefix}`" in HTTP.section("Events of your own")
