"""What the company's apps may attach: JSON objects, within limits."""

import datetime as dt
from typing import Any

import pytest

from models import free_form


def nested(levels: int, *, kind: str = "object") -> dict[str, Any]:
    """An object that holds objects or arrays, so many levels in all."""
    value: Any = 1
    for _ in range(levels - 1):
        value = {"a": value} if kind == "object" else [value]
    return {"a": value}


def sized(size: int, character: str = "x") -> dict[str, Any]:
    """An object of this many bytes as JSON."""
    frame = len('{"a":""}')
    return {"a": character * ((size - frame) // len(character.encode()))}


def refused(value: dict[str, Any]) -> bool:
    try:
        free_form.check(value, "metadata")
    except ValueError:
        return True
    return False


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": None, "b": True, "c": 1.5, "d": "x", "e": [], "f": {}, "g": [1, [2, {"h": 3}]]},
        {"": 1, "a$": 2, "a b": 3, "Größe 🚕": 4, "-": 5},
    ],
)
def test_json_objects_are_taken(value: dict[str, Any]) -> None:
    assert not refused(value)


@pytest.mark.parametrize("kind", ["object", "array"])
def test_eight_levels_are_taken_and_nine_are_not(kind: str) -> None:
    assert not refused(nested(8, kind=kind))
    assert refused(nested(9, kind=kind))


def test_an_empty_object_is_a_level_too() -> None:
    assert refused({"a": [[[[[[[{}]]]]]]]})
    assert not refused({"a": [[[[[[{}]]]]]]})


def test_any_depth_is_refused_in_the_same_way() -> None:
    with pytest.raises(ValueError, match="levels"):
        free_form.check(nested(100_000, kind="array"), "metadata")


def test_4096_bytes_are_taken_and_one_more_is_not() -> None:
    assert not refused(sized(4_096))
    assert refused(sized(4_097))


def test_bytes_count_and_not_characters() -> None:
    assert not refused(sized(4_096, "🚕"))
    assert refused({"a": "🚕" * 1_023})


@pytest.mark.parametrize("key", ["$where", "$", "a.b", ".", "a\0b"])
def test_keys_that_a_store_could_take_for_its_own_are_refused(key: str) -> None:
    assert refused({key: 1})
    assert refused({"a": {key: 1}})
    assert refused({"a": [1, {key: 1}]})


def test_keys_are_strings() -> None:
    assert refused({"a": {1: 2}})


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 0])
def test_integers_of_64_bits_are_taken(number: int) -> None:
    assert not refused({"a": [number]})


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**64, 10**4_000])
def test_larger_integers_are_refused(number: int) -> None:
    assert refused({"a": [number]})


@pytest.mark.parametrize("value", [b"x", dt.datetime.now(dt.UTC), (1,), {1}, object()])
def test_what_is_not_json_is_refused(value: object) -> None:
    assert refused({"a": value})


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_numbers_that_json_does_not_have_are_refused(value: str) -> None:
    assert refused({"a": float(value)})
