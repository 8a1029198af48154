"""/v1/openapi.json is OpenAPI 3.1, and describes the routes that there are."""

from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator

from handlers.access import ACCESS
from realtime.app import Instance
from realtime.http.errors import STATUSES
from realtime.http.table import ROUTES
from realtime.settings import Settings
from tests.http.documents import operations, over_http, problems

WITHOUT_TOKEN = {"operations", "documents"}
NOWHERE = ("redis://127.0.0.1:1", "mongodb://127.0.0.1:1")


def test_it_is_openapi() -> None:
    assert [*OpenAPIV31SpecValidator(over_http()).iter_errors()] == []


def test_every_route_of_the_table_is_in_it() -> None:
    described = [
        (method, path, operation["operationId"])
        for method, path, operation in operations()
        if not WITHOUT_TOKEN & {*operation["tags"]}
    ]
    assert described == [(route.method, route.path, route.name) for route in ROUTES]


async def test_it_has_the_paths_that_are_served(tmp_path: Path) -> None:
    instance = Instance(Settings.from_environment({}, tmp_path), *NOWHERE)
    served = {
        (route.method, route.resource.canonical)
        for route in instance.app.router.routes()
        if route.resource and not route.resource.canonical.startswith("/socket.io/")
    }
    described = {(method, path) for method, path, _ in operations()}
    heads = {("HEAD", path) for method, path in described if method == "GET"}
    assert served == described | heads


def test_an_operation_is_for_the_roles_that_the_server_admits() -> None:
    roles = {operation["operationId"]: operation.get("x-roles") for *_, operation in operations()}
    for route in ROUTES:
        assert set(roles[route.name] or []) == ACCESS[route.access].roles


def test_only_what_is_for_operators_and_readers_needs_no_token() -> None:
    assert over_http()["security"] == [{"token": []}]
    for *_, operation in operations():
        open_to_all = operation.get("security") == []
        assert open_to_all is bool(WITHOUT_TOKEN & {*operation["tags"]})


def test_every_field_comes_from_one_place() -> None:
    document = over_http()
    by_name = {operation["operationId"]: operation for *_, operation in operations()}
    for route in ROUTES:
        operation = by_name[route.name]
        given = [each["name"] for each in operation["parameters"] if "name" in each]
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            name = schema["$ref"].rpartition("/")[2]
            given += document["components"]["schemas"][name]["properties"]
        assert sorted(given) == sorted(route.takes.__struct_encode_fields__)


def test_headers_stand_in_for_fields_where_there_are_such() -> None:
    by_name = {operation["operationId"]: operation for *_, operation in operations()}
    for route in ROUTES:
        named = {
            each["$ref"].rpartition("/")[2]
            for each in by_name[route.name]["parameters"]
            if "$ref" in each
        }
        assert ("Idempotency-Key" in named) is route.takes_key
        assert ("If-Match" in named) is route.takes_version
        assert ("304" in by_name[route.name]["responses"]) is ("If-None-Match" in named)


def test_refusals_have_the_codes_of_their_status() -> None:
    statuses = {kind.code: status for kind, status in STATUSES.items()}
    for *_, operation in operations():
        for status, response in operation["responses"].items():
            for code in response.get("x-codes", ()):
                assert statuses[code] == int(status) or (code, status) == ("conflict", "412")


def test_every_example_is_a_good_one() -> None:
    document = over_http()
    held = 0
    for *_, operation in operations():
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        contents = [each for body in bodies for each in body.get("content", {}).values()]
        for part in (*operation["parameters"], *contents):
            if "example" in part:
                assert problems(document, part["schema"], part["example"]) == []
                held += 1
    assert held > len(ROUTES)


def test_every_body_and_every_good_answer_has_an_example() -> None:
    by_name = {operation["operationId"]: operation for *_, operation in operations()}
    for route in ROUTES:
        operation = by_name[route.name]
        contents = {
            **operation.get("requestBody", {}).get("content", {}),
            **operation["responses"][str(route.status)].get("content", {}),
        }
        assert all("example" in content for content in contents.values())
