"""JSON Schemas as people read them: a table of fields, types in words with links to each other."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from realtime.http.documents.page.html import Html, code, join, phrase, tag
from realtime.http.documents.schemas.types import named

Schema = Mapping[str, Any]

_MAX: Final = 2**53 - 1
_ID_LENGTH: Final = 128


def link(name: str) -> Html:
    """A link to the shape of this name."""
    return tag("a", name, href=f"#shape-{name}")


def in_words(schema: Schema) -> Html:
    """A type in a few words."""
    if "$ref" in schema:
        return link(named(schema))
    if "anyOf" in schema:
        return join(map(in_words, schema["anyOf"]), " or ")
    if "const" in schema:
        return code(json.dumps(schema["const"]))
    if "x-enumDescriptions" in schema:
        return tag("span", schema["type"])
    if "enum" in schema:
        return join((code(json.dumps(value)) for value in schema["enum"]), ", ")
    return _BY_TYPE[schema["type"]](schema)


def asked(schema: Schema) -> Html:
    """The fields that clients send, and which of them they have to."""
    return _fields(schema, "required", "")


def told(schema: Schema) -> Html:
    """The fields that the server sends, and which of them are not always there."""
    return _fields(schema, "", "optional")


def parameter(described: Mapping[str, Any]) -> Html:
    """What comes in the path, the query or a header."""
    schema = {**described["schema"], "description": described["description"]}
    return _field(described["name"], schema, "required" if described.get("required") else "")


def _fields(schema: Schema, if_required: str, if_not: str) -> Html:
    required = schema.get("required", ())
    rows = [
        _field(name, described, if_required if name in required else if_not)
        for name, described in schema.get("properties", {}).items()
    ]
    return join([*([tag("dl", *rows, class_="fields")] if rows else []), *_variants(schema)])


def _field(name: str, schema: Schema, mark: str) -> Html:
    marked = [tag("span", mark, class_=mark)] if mark else []
    kind = tag("span", in_words(schema), class_="type")
    return tag(
        "div", tag("dt", code(name), *marked), tag("dd", kind, tag("div", *_meaning(schema)))
    )


def _meaning(schema: Schema) -> Iterator[Html]:
    yield phrase(schema.get("description", ""))
    if schema.get("default") not in (None, {}, []):
        yield tag("span", " Default ", code(json.dumps(schema["default"])), class_="by")
    if "x-enumDescriptions" in schema:
        yield _choices(schema["x-enumDescriptions"])


def _choices(meanings: Mapping[str, str]) -> Html:
    """The values of a field, each with what it means."""
    rows = [tag("li", code(value), " ", phrase(words)) for value, words in meanings.items()]
    return tag("ul", *rows, class_="choices")


def _variants(schema: Schema) -> list[Html]:
    """What else has to be there, of an object with a choice."""
    if "properties" not in schema or "anyOf" not in schema:
        return []
    choices = [_variant(part) for part in schema["anyOf"]]
    return [tag("p", "At least one of: ", join(choices, "; "), ".", class_="by")]


def _variant(schema: Schema) -> Html:
    needed = [code(name) for name in schema["required"] if name != "kind"]
    whose = f" ({schema['title']})" if "title" in schema else ""
    return join([*needed, whose])


def _string(schema: Schema) -> Html:
    low, high = schema.get("minLength", 0), schema.get("maxLength")
    if high == _ID_LENGTH and "pattern" in schema:
        return tag("span", "id")
    if high is None:
        return tag("span", "string")
    return tag("span", f"string, {f'{low} to' if low else 'up to'} {high:,} characters")


def _number(schema: Schema) -> Html:
    low, high = schema.get("minimum"), schema.get("maximum")
    below = schema.get("exclusiveMaximum")
    name = schema["type"]
    if (low is None and below is None) or (low == 0 and high == _MAX):
        return tag("span", name)
    up_to = f"{high:,}" if below is None else f"below {below:,}"
    return tag("span", f"{name}, {low:,} to {up_to}")


def _list(schema: Schema) -> Html:
    low, high = schema.get("minItems", 0), schema.get("maxItems")
    span = "" if high is None else f", {f'{low} to' if low else 'up to'} {high:,}"
    return join(["list of ", in_words(schema["items"]), span])


def _object(schema: Schema) -> Html:
    values = schema.get("additionalProperties")
    if "properties" in schema or not isinstance(values, Mapping):
        return tag("span", "object")
    return join(["object of ", in_words(values)])


_BY_TYPE: Final[dict[str, Callable[[Schema], Html]]] = {
    "string": _string,
    "integer": _number,
    "number": _number,
    "boolean": lambda _: tag("span", "boolean"),
    "null": lambda _: tag("span", "null"),
    "array": _list,
    "object": _object,
}
