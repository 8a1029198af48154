"""The page's entries of routes, from the OpenAPI document."""

from collections.abc import Iterator
from typing import Final

from realtime.http.documents.page import samples
from realtime.http.documents.page.html import Html, html, join, phrase, tag
from realtime.http.documents.page.parts import Entry, Object, Part, roles
from realtime.http.documents.page.schema import asked, in_words, parameter
from realtime.http.documents.schemas.types import named
from realtime.http.errors import REQUEST_ID

_JSON: Final = "application/json"


def routes(openapi: Object) -> Iterator[Part]:
    """A part for each tag."""
    for about in openapi["tags"]:
        entries = [
            _route(method, path, operation, openapi["components"])
            for path, item in openapi["paths"].items()
            for method, operation in item.items()
            if about["name"] in operation["tags"]
        ]
        yield Part(f"HTTP: {about['name']}", about["description"], entries)


def _route(method: str, path: str, operation: Object, common: Object) -> Entry:
    verb = method.upper()
    about = [
        tag("p", phrase(operation["summary"])),
        *roles(operation),
        *_parameters(operation, common["parameters"]),
        *_body(operation, common["schemas"]),
        tag("h4", "Answers"),
        tag("dl", *_responses(operation), class_="answers"),
    ]
    curl = samples.sample("curl", samples.curl(verb, path, operation))
    return Entry(
        operation["operationId"],
        join([tag("b", verb, class_=f"verb {method}"), " ", _broken(path)]),
        about,
        [curl, *_answered(operation)],
    )


def _broken(path: str) -> Html:
    """A path that may go on in the next line after a slash."""
    return tag("code", Html(html(path).replace("/", "/<wbr>")))


def _parameters(operation: Object, common: Object) -> Iterator[Html]:
    """All but the request's id, of which the beginning tells."""
    given = [
        common.get(named(each), each)
        for each in operation["parameters"]
        if named(each) != REQUEST_ID
    ]
    for where, title in (("path", "Path"), ("query", "Query"), ("header", "Headers")):
        rows = [parameter(each) for each in given if each["in"] == where]
        if rows:
            yield tag("h4", title)
            yield tag("dl", *rows, class_="fields")


def _body(operation: Object, schemas: Object) -> Iterator[Html]:
    if "requestBody" in operation:
        yield tag("h4", "Body")
        schema = operation["requestBody"]["content"][_JSON]["schema"]
        yield asked(schemas[named(schema)])


def _responses(operation: Object) -> Iterator[Html]:
    for status, response in operation["responses"].items():
        schemas = [content["schema"] for content in response.get("content", {}).values()]
        what = [" ", in_words(schemas[0])] if schemas and "x-codes" not in response else []
        yield tag("div", tag("dt", status), tag("dd", phrase(response["description"]), *what))


def _answered(operation: Object) -> Iterator[Html]:
    for status, response in operation["responses"].items():
        for content in response.get("content", {}).values():
            if "example" in content:
                yield samples.sample(f"Answer {status}", samples.pretty(content["example"]))
