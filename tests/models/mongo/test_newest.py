"""How the newest seqs are found, and what is remembered of them."""

from collections.abc import Mapping, Sequence

import pytest

from models.mongo.newest import ONE_STEP, SHORT_STEPS, KnownSeqs, Position, newest_seqs


class Kept:
    """Conversations without holes, and every question about them."""

    def __init__(self, newest: Mapping[str, int]) -> None:
        self.newest = dict(newest)
        self.questions: list[list[Position]] = []

    async def existing(self, positions: list[Position]) -> set[Position]:
        self.questions.append(positions)
        return {(key, seq) for key, seq in positions if 1 <= seq <= self.newest.get(key, 0)}


@pytest.mark.parametrize("steps", [ONE_STEP, SHORT_STEPS])
@pytest.mark.parametrize("newest", [*range(40), 2_047, 2_048, 2_049, 4_096, 12_345, 1_000_000])
async def test_the_newest_is_found_from_nothing(newest: int, steps: Sequence[int]) -> None:
    kept = Kept({"a": newest})
    assert await newest_seqs({"a": 0}, kept.existing, steps) == {"a": newest}


@pytest.mark.parametrize("behind", [0, 1, 2, 3, 5, 100])
async def test_the_newest_is_found_from_what_is_known(behind: int) -> None:
    kept = Kept({"a": 1_000})
    assert await newest_seqs({"a": 1_000 - behind}, kept.existing) == {"a": 1_000}


async def test_where_nothing_is_new_one_key_of_each_is_asked_once() -> None:
    kept = Kept({"a": 7, "b": 1})
    assert await newest_seqs({"a": 7, "b": 1, "c": 0}, kept.existing) == {"a": 7, "b": 1, "c": 0}
    assert kept.questions == [[("a", 8), ("b", 2), ("c", 1)]]


async def test_a_million_messages_take_few_questions() -> None:
    kept = Kept({"a": 1_000_000})
    await newest_seqs({"a": 0}, kept.existing)
    assert sum(len(question) for question in kept.questions) < 10_000


async def test_many_are_found_together() -> None:
    newest = {f"c{n}": n * n for n in range(30)}
    kept = Kept(newest)
    assert await newest_seqs(dict.fromkeys(newest, 0), kept.existing) == newest
    assert len(kept.questions) < 10


async def test_no_conversation_is_no_question() -> None:
    kept = Kept({})
    assert await newest_seqs({}, kept.existing) == {}
    assert kept.questions == []


async def test_what_is_written_meanwhile_does_not_confuse() -> None:
    kept = Kept({"a": 20})

    async def growing(positions: list[Position]) -> set[Position]:
        found = await kept.existing(positions)
        kept.newest["a"] += 5
        return found

    found = await newest_seqs({"a": 0}, growing)
    assert 20 <= found["a"] <= kept.newest["a"]


class TestKnownSeqs:
    def test_a_lower_number_is_no_news(self) -> None:
        known = KnownSeqs(2)
        known.learn("a", 5)
        known.learn("a", 3)
        assert known.get("a") == 5

    def test_what_was_not_used_longest_is_forgotten(self) -> None:
        known = KnownSeqs(2)
        known.learn("a", 1)
        known.learn("b", 2)
        known.get("a")
        known.learn("c", 3)
        assert [known.get(key) for key in ("a", "b", "c")] == [1, None, 3]
