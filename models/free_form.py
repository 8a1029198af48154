"""What the company's apps attach to trips and messages: JSON objects, within limits."""

from collections.abc import Iterable
from math import isfinite
from typing import Annotated, Any

import msgspec
from msgspec import Meta

MAX_BYTES = 4_096
MAX_DEPTH = 8
_INT64 = 2**63

FreeForm = Annotated[dict[str, Any], Meta(description="a JSON object of at most 4 KiB")]


def check(value: FreeForm, field: str) -> None:
    """Raise ValueError, which names the field, unless the object can be kept as it came.

    At most 4 KiB as JSON and 8 levels deep; keys without leading `$`, dots and NUL, which a
    MongoDB query could take for its own; integers of 64 bits, finite numbers.
    """
    try:
        _walk(value, MAX_DEPTH)
        _weigh(value)
    except ValueError as error:
        raise ValueError(f"{error} - at `$.{field}`") from error


def _weigh(value: FreeForm) -> None:
    if len(msgspec.json.encode(value)) > MAX_BYTES:
        raise ValueError(f"Expected a JSON object of at most {MAX_BYTES} bytes")


def _walk(value: object, depth: int) -> None:
    if isinstance(value, dict):
        for key in value:
            _check_key(key)
        _descend(value.values(), depth)
    elif isinstance(value, list):
        _descend(value, depth)
    elif isinstance(value, int) and not -_INT64 <= value < _INT64:
        raise ValueError("Expected integers of at most 64 bits")
    elif isinstance(value, float) and not isfinite(value):
        raise ValueError("Expected finite numbers")
    elif not isinstance(value, str | int | float | None):
        raise ValueError("Expected JSON values only")


def _descend(values: Iterable[object], depth: int) -> None:
    if depth == 0:
        raise ValueError(f"Expected at most {MAX_DEPTH} levels")
    for value in values:
        _walk(value, depth - 1)


def _check_key(key: object) -> None:
    if not isinstance(key, str) or key.startswith("$") or "." in key or "\0" in key:
        raise ValueError("Expected keys that are strings without leading '$', dots and NUL")
