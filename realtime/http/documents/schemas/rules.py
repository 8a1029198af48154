"""Rules that types check when they are made, over several fields, as JSON Schema."""

from typing import Any, Final

from models.messages import ImageData, Kind, LocationData
from models.requests import OWN_PREFIXES, RESERVED
from realtime.http.documents.schemas.types import ref

Schema = dict[str, Any]

_WHOLE: Final = 2**63
_NEEDS_DATA: Final = (Kind.LOCATION, Kind.IMAGE)
_NEEDS_TEXT: Final = [kind for kind in Kind if kind not in _NEEDS_DATA]


def _has(name: str, kind: str) -> Schema:
    """The field is there and not null."""
    return {"required": [name], "properties": {name: {"type": kind}}}


def _no_two(*names: str) -> Schema:
    """At most one of these is there."""
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    both: list[Schema] = [
        {"required": [*pair], "properties": {name: {"type": "integer"} for name in pair}}
        for pair in pairs
    ]
    return {"not": both[0] if len(both) == 1 else {"anyOf": both}}


def _with_data(kind: Kind, data: type) -> Schema:
    return {
        "title": f"of kind {kind}",
        "required": ["kind", "data"],
        "properties": {"kind": {"const": str(kind)}, "data": ref(data)},
    }


RULES: Final[dict[str, Schema]] = {
    "TripCreate": {
        "if": _has("expires_in_ms", "integer"),
        "then": _has("driver_id", "string"),
    },
    "TripEdit": {"anyOf": [{"required": [name]} for name in ("dropoff", "stops", "metadata")]},
    "MarkRead": {"anyOf": [_has("delivered_seq", "integer"), _has("read_seq", "integer")]},
    "ChatHistory": _no_two("before_seq", "after_seq"),
    "Draft": {
        "anyOf": [
            {
                "title": f"of kind {', '.join(_NEEDS_TEXT[:-1])} or {_NEEDS_TEXT[-1]}",
                "required": ["text"],
                "properties": {
                    "kind": {"enum": [str(kind) for kind in _NEEDS_TEXT]},
                    "text": {"type": "string"},
                },
            },
            _with_data(Kind.LOCATION, LocationData),
            _with_data(Kind.IMAGE, ImageData),
        ]
    },
}
"""By the name of the type, what its schema has besides."""

RULED: Final = (LocationData, ImageData)
"""Types that only rules speak of."""

FIELD_RULES: Final[dict[str, dict[str, Schema]]] = {
    "UserPush": {
        "event": {
            "not": {
                "anyOf": [
                    {"pattern": f"^(?:{'|'.join(OWN_PREFIXES)})"},
                    {"enum": sorted(RESERVED)},
                ]
            }
        }
    }
}
"""By the names of the type and of a field, what the field's schema has besides."""

FREE_FORM: Final = "FreeForm"
FREE_VALUE: Final = "FreeValue"

ADDED: Final[dict[str, Schema]] = {
    FREE_FORM: {
        "title": FREE_FORM,
        "description": (
            "A JSON object of the company's own: at most 4 KiB as JSON and 8 levels deep. Keys are "
            "without leading `$`, dots and NUL."
        ),
        "type": "object",
        "propertyNames": {"pattern": r"^(?!\$)[^.\x00]*$"},
        "additionalProperties": {"$ref": f"#/components/schemas/{FREE_VALUE}"},
    },
    FREE_VALUE: {
        "title": FREE_VALUE,
        "description": "Any JSON value; integers have at most 64 bits.",
        "anyOf": [
            {"type": "null"},
            {"type": "boolean"},
            {"type": "number", "minimum": -_WHOLE, "maximum": _WHOLE - 1},
            {"type": "string"},
            {"type": "array", "items": {"$ref": f"#/components/schemas/{FREE_VALUE}"}},
            {"$ref": f"#/components/schemas/{FREE_FORM}"},
        ],
    },
}
"""What no type of the code says: the free-form values that apps attach."""
