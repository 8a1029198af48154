"""JSON Schemas of the types of the code: what clients may send, and what the server sends.

msgspec describes its types. What it leaves open is added here: which fields are always there, rules
over several fields, patterns that every language reads, and what each field means.
"""

import inspect
import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec import Struct

from handlers.answers import Answer
from realtime.http.documents.schemas.fields import SHAPES, meaning
from realtime.http.documents.schemas.rules import ADDED, FIELD_RULES, FREE_FORM, RULED, RULES
from realtime.http.documents.schemas.types import (
    PREFIX,
    Kind,
    always_sent,
    choices_in,
    describable,
    msgspec_name_of,
    name_of,
    named,
    never_null,
    ref,
    references,
    struct_of,
    structs_in,
)

Schema = dict[str, Any]

_ASTRAL: Final = re.compile(r"\\U([0-9a-f]{8})")
_SURROGATES: Final = r"\ud800-\udfff"
_NULL: Final[Schema] = {"type": "null"}


class Schemas:
    """The schemas of one document, by name, under `components`.

    `asked` are the types that clients send, `told` those that the server sends. A type that goes
    both ways is described as it is asked for.
    """

    def __init__(self, asked: Iterable[Kind], told: Iterable[Kind]) -> None:
        asked, told = (*asked, *RULED), tuple(told)
        from_clients = structs_in(asked)
        kinds = {**from_clients, **structs_in(told)}
        _, described = msgspec.json.schema_components(
            [describable(kind) for kind in kinds], ref_template=f"{PREFIX}{{name}}"
        )
        self.components: dict[str, Schema] = {**ADDED}
        for kind in kinds:
            schema = described[msgspec_name_of(kind)]
            finish = _asked if kind in from_clients else _told
            self.components[name_of(kind)] = finish(kind, schema)
        for choice in choices_in((*asked, *told)):
            self.components[name_of(choice)] = _choice(choice)

    def add(self, name: str, schema: Schema) -> Schema:
        """Add one that is no type's; a reference to it."""
        self.components[name] = {"title": name, **schema}
        return {"$ref": f"{PREFIX}{name}"}

    def set_field(self, kind: type[Struct], name: str, schema: Schema) -> None:
        """Say more of a field than its type does."""
        properties = self.components[name_of(kind)]["properties"]
        properties[name] = {**schema, "description": properties[name]["description"]}

    def body(self, kind: type[Struct], elsewhere: Sequence[str]) -> Schema:
        """What is left of a type without the fields that come elsewhere than in the body."""
        whole = self.components[name_of(kind)]
        if not elsewhere:
            return ref(kind)
        left = {
            "properties": {n: s for n, s in whole["properties"].items() if n not in elsewhere},
            "required": [name for name in whole.get("required", ()) if name not in elsewhere],
        }
        name = f"{name_of(kind)}Body"
        return self.add(name, _without_empty({**whole, **left, "title": name}))

    def resolved(self, schema: Schema) -> Schema:
        """The schema that a reference points to."""
        return self.components[named(schema)]

    def named_in(self, document: object) -> dict[str, Schema]:
        """The schemas that a document refers to, and those that these refer to, by name."""
        found: dict[str, Schema] = {}
        waiting = list(references(document))
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = self.components[name]
                waiting.extend(references(found[name]))
        return dict(sorted(found.items()))

    def field(self, kind: type[Struct], name: str) -> Schema:
        """A field as it comes outside of JSON, in a path or query: there or not, never null."""
        field: Schema = self.components[name_of(kind)]["properties"][name]
        return _without_null(field)


def _asked(kind: Kind, schema: Schema) -> Schema:
    """A type as clients send it: what they may leave out is not required."""
    name = name_of(kind)
    properties = {
        field: {
            **_without_default(_portable(described), None),
            **FIELD_RULES.get(name, {}).get(field, {}),
        }
        for field, described in schema["properties"].items()
    }
    return {**_object(kind, properties, schema["required"]), **RULES.get(name, {})}


def _told(kind: Kind, schema: Schema) -> Schema:
    """A type as the server sends it: what it never leaves out is required, and has no default."""
    struct = struct_of(kind)
    always, nullless = always_sent(struct), never_null(struct)
    properties = {
        field: _portable(_without_default(_without_null(told) if field in nullless else told))
        for field, told in schema["properties"].items()
    }
    if issubclass(struct, Answer):
        properties["ok"] = {"const": True}
    return _object(kind, properties, [field for field in properties if field in always])


def _object(kind: Kind, properties: dict[str, Schema], required: Sequence[str]) -> Schema:
    name = name_of(kind)
    schema = {
        "title": name,
        "description": _words(kind),
        "type": "object",
        "properties": {
            field: {**_free(described), "description": meaning(name, field)}
            for field, described in properties.items()
        },
        "required": [*required],
    }
    return _without_empty(schema)


def _without_empty(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if value != []}


def _choice(choice: type[StrEnum]) -> Schema:
    return {
        "title": name_of(choice),
        "description": _words(choice),
        "type": "string",
        "enum": [str(value) for value in choice],
    }


def _words(kind: Kind) -> str:
    """What the code says of a type, in its docstring or in the table."""
    struct = struct_of(kind)
    return SHAPES.get(struct.__name__) or inspect.cleandoc(struct.__doc__ or "")


def _free(described: Schema) -> Schema:
    """Objects without fields of ours are the company's own."""
    if "anyOf" in described:
        return {**described, "anyOf": [_free(part) for part in described["anyOf"]]}
    if described.get("type") == "object" and "additionalProperties" not in described:
        kept = {name: value for name, value in described.items() if name == "default"}
        return {"$ref": f"{PREFIX}{FREE_FORM}", **kept}
    return described


def _without_null(described: Schema) -> Schema:
    parts = [part for part in described.get("anyOf", ()) if part != _NULL]
    if len(parts) != 1:
        return described
    rest = {name: value for name, value in described.items() if name != "anyOf"}
    return {**parts[0], **rest}


def _without_default(described: Schema, *only: object) -> Schema:
    """Without its default, or without it where it is one of these."""
    if only and described.get("default", only) not in only:
        return described
    return {name: value for name, value in described.items() if name != "default"}


def _portable(described: Any) -> Any:  # noqa: ANN401 - any JSON
    """Patterns that Python takes, in words that JSON Schema's regular expressions have, too.

    A string of JSON holds no lone surrogates, and what is beyond four hexadecimal digits is written
    as itself, because languages have no common escape for it.
    """
    if isinstance(described, list | tuple):
        return [_portable(part) for part in described]
    if not isinstance(described, dict):
        return described
    portable = {name: _portable(value) for name, value in described.items()}
    if isinstance(pattern := portable.get("pattern"), str):
        pattern = pattern.replace(r"\A", "^").replace(r"\Z", "$").replace(_SURROGATES, "")
        portable["pattern"] = _ASTRAL.sub(lambda found: chr(int(found[1], 16)), pattern)
    return portable
