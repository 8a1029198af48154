"""Every target on the corpus and on mutilated inputs of it, each time the same ones."""

import logging
import random
from typing import Final

import pytest

from realtime import engine, payloads, websocket, wire
from tests.fuzz import corpus, guided, targets
from tests.fuzz.targets import TARGETS, nothing_fails
from tests.hostile.raw import message
from tests.hostile.test_noise import MUTATIONS

MUTATED: Final = {"json": 3_000, "msgpack": 3_000, "frames": 600, "polling": 60}


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_worth_keeping_breaks_nothing(name: str) -> None:
    inputs = corpus.read(name)
    assert len(inputs) > 10
    for data in inputs:
        TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_mutilated_breaks_nothing(name: str) -> None:
    chance, inputs = random.Random(name), corpus.read(name)  # noqa: S311 - no secret is made of it
    for _ in range(MUTATED[name]):
        data = chance.choice(inputs) or b"\0"
        TARGETS[name](chance.choice(MUTATIONS)(chance, data))


def test_the_corpus_is_of_the_targets() -> None:
    assert {file.stem for file in corpus.FOLDER.iterdir()} == set(TARGETS)
    assert {*guided.NAMES} == {*TARGETS, guided.COMMANDS}


class TestTargets:
    """They notice a server that is broken."""

    def test_a_parser_that_fails_is_noticed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(wire, "MAX_ATTACHMENTS", "ten")
        with pytest.raises(TypeError):
            targets.json_packets(b'51-["a"]')

    def test_a_shorter_way_that_reads_more_is_noticed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(payloads, "plain_point", lambda data: data)
        with pytest.raises(AssertionError):
            targets.json_packets(targets.DIRECT + b'{"lat":1,"lng":2,"ts":3,"seq":4}]')

    def test_a_stream_that_depends_on_its_pieces_is_noticed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(websocket, "AT_ONCE", 7)
        with pytest.raises(AssertionError):
            targets.websocket_frames(message("hello") * 2)

    def test_a_body_that_is_not_refused_but_fails_is_noticed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine, "_decoded", lambda encoded: encoded[99])
        with pytest.raises(IndexError):
            targets.polled_sessions(b"bAAEC")

    def test_a_failure_that_is_logged_is_noticed(self) -> None:
        with pytest.raises(AssertionError, match="it broke"), nothing_fails():
            logging.getLogger("realtime.engine").error("it broke")
