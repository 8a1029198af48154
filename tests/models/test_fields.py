"""What an id, a moment, a coordinate may look like."""

import unicodedata
from typing import Any

import msgspec
import pytest

from models.fields import (
    Accuracy,
    Heading,
    Id,
    Latitude,
    Longitude,
    Millis,
    Number,
    Pin,
    Reason,
    Speed,
    new_id,
)

LARGEST = 2**53 - 1


def takes(kind: Any, value: object) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


class TestIds:
    @pytest.mark.parametrize(
        "good", ["a", "x" * 128, "a/b:c.$", "Ünï", "日本", "🚕" * 128, "'\"\\"]
    )
    def test_printable_characters_are_taken(self, good: str) -> None:
        assert takes(Id, good)

    @pytest.mark.parametrize("bad", ["", "x" * 129, 7, None, ["a"], True, b"a"])
    def test_other_lengths_and_types_are_not(self, bad: object) -> None:
        assert not takes(Id, bad)

    @pytest.mark.parametrize("place", ["{}a", "a{}", "a{}b", "{}"])
    def test_no_space_and_no_control_character_is_taken_anywhere(self, place: str) -> None:
        invisible = [
            chr(code)
            for code in range(0x1_0000)
            if unicodedata.category(chr(code)) in ("Cc", "Zs", "Zl", "Zp")
        ]
        assert len(invisible) > 80
        assert [c for c in invisible if takes(Id, place.format(c))] == []

    @pytest.mark.parametrize("code", [0xAD, 0x180E, 0x200B, 0x200D, 0x202E, 0x2066, 0x2060, 0xFEFF])
    def test_what_cannot_be_seen_is_not_taken(self, code: int) -> None:
        assert not takes(Id, f"a{chr(code)}b")

    def test_a_line_break_at_the_end_is_not_overlooked(self) -> None:
        assert not takes(Id, "a\n")
        assert not takes(Pin, "4711\n")

    def test_letters_of_every_script_are_taken(self) -> None:
        letters = [chr(c) for c in range(0x3_0000) if unicodedata.category(chr(c)) in ("Ll", "Lo")]
        assert len(letters) > 10_000
        fillers = set("\u115f\u1160\u3164\uffa0")  # letters by category, but nothing to see
        assert {letter for letter in letters if not takes(Id, letter)} == fillers


class TestNumbers:
    @pytest.mark.parametrize("kind", [Millis, Number])
    def test_whole_numbers_that_every_language_holds_exactly(self, kind: object) -> None:
        assert takes(kind, 0)
        assert takes(kind, LARGEST)
        for bad in (-1, LARGEST + 1, 1.5, "1", True, None):
            assert not takes(kind, bad)

    @pytest.mark.parametrize(
        ("kind", "least", "most"),
        [
            (Latitude, -90, 90),
            (Longitude, -180, 180),
            (Speed, 0, 1_000),
            (Accuracy, 0, 10_000_000),
        ],
    )
    def test_measurements_lie_between_bounds(self, kind: object, least: float, most: float) -> None:
        assert takes(kind, least)
        assert takes(kind, most)
        assert takes(kind, (least + most) / 2)
        assert not takes(kind, least - 1e-6)
        assert not takes(kind, most + 1e-6)
        assert not takes(kind, True)
        assert not takes(kind, "1")

    def test_a_heading_of_360_degrees_is_0(self) -> None:
        assert takes(Heading, 0)
        assert takes(Heading, 359.999)
        assert not takes(Heading, 360)
        assert not takes(Heading, -0.001)

    @pytest.mark.parametrize("kind", [Latitude, Longitude, Heading, Speed, Accuracy])
    @pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
    def test_what_is_no_number_is_no_measurement(self, kind: object, value: str) -> None:
        assert not takes(kind, float(value))


class TestTexts:
    def test_a_reason_has_a_length(self) -> None:
        assert takes(Reason, "x")
        assert takes(Reason, "x y" * 166)
        assert not takes(Reason, "")
        assert not takes(Reason, "x" * 501)

    def test_a_pin_has_a_length(self) -> None:
        assert takes(Pin, "0")
        assert takes(Pin, "0" * 16)
        assert not takes(Pin, "")
        assert not takes(Pin, "0" * 17)
        assert not takes(Pin, 4711)


class TestNewIds:
    def test_an_id_of_ours_is_an_id(self) -> None:
        made = new_id()
        assert len(made) == 26
        assert takes(Id, made)
        assert made.isascii()
        assert made.isalnum()

    def test_ids_sort_by_the_time_of_their_making(self) -> None:
        moments = [0, 1, 31, 32, 1_023, 1_024, 1_800_000_000_000, 1_800_000_000_001, 2**48 - 1]
        made = [new_id(moment) for moment in moments]
        assert made == sorted(made)

    def test_ids_of_one_moment_differ(self) -> None:
        assert len({new_id(1) for _ in range(1_000)}) == 1_000
