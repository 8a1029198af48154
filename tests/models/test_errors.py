"""Refusals as clients see them: stable codes, and whether trying again may help."""

import pytest

from models import errors
from models.errors import Conflict, Forbidden, IllegalTransition, Invalid, NotFound, RateLimited

CODES = """
    unauthorized token_expired forbidden not_found invalid unknown_event conflict closed
    illegal_transition rate_limited too_large unavailable internal
"""
WORTH_RETRYING = {"rate_limited", "unavailable"}

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type)
    and issubclass(kind, errors.RidewireError)
    and kind is not errors.RidewireError
]


def test_the_codes_are_the_documented_ones() -> None:
    assert sorted(kind.code for kind in KINDS) == sorted(CODES.split())


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_time_cures_is_worth_retrying(kind: type[errors.RidewireError]) -> None:
    assert kind.retry is (kind.code in WORTH_RETRYING)


def test_a_refusal_of_a_field_names_it() -> None:
    assert Forbidden("no", path="pin").details == {"path": "pin"}
    assert Forbidden("no").details == {}
    assert Invalid("a number", path="stops.0.lat").details == {
        "path": "stops.0.lat",
        "expected": "a number",
    }


def test_a_refusal_says_what_the_client_needs_to_go_on() -> None:
    assert RateLimited("wait", retry_after_ms=5).details == {"retry_after_ms": 5}
    assert IllegalTransition("no", ["cancelled"]).details == {"allowed": ["cancelled"]}
    assert Conflict("no", trip=1).details == {"trip": 1}


def test_what_is_not_there_is_told_without_its_id() -> None:
    assert NotFound("trip").details == {}
    assert NotFound("trip").message == "no such trip"
