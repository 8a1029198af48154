"""Logs: one line per record, whatever the input, and no secrets in it."""

import asyncio
import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jwt
import pytest

from models.identity import Role
from realtime.logs import (
    MOST_OTHERS,
    MOST_WARNINGS,
    WINDOW_S,
    GatheringHandler,
    JsonFormatter,
    Limit,
    TextFormatter,
)

ROOT = Path(__file__).parents[2]
TOKEN = jwt.encode({"sub": "ada"}, "a secret that is long enough to sign with")

Say = Callable[[logging.Logger], object]


class Writes(io.StringIO):
    """A stream that keeps what was written at once."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []
        self.written = asyncio.Event()

    def write(self, text: str, /) -> int:
        self.writes.append(text)
        self.written.set()
        return len(text)


def written(formatter: logging.Formatter, say: Say) -> str:
    """Return what a logger with this formatter writes, without the last line end."""
    out = io.StringIO()
    logger = logging.Logger("realtime.test")
    logger.addHandler(logging.StreamHandler(out))
    logger.handlers[0].setFormatter(formatter)
    say(logger)
    assert out.getvalue().endswith("\n")
    return out.getvalue()[:-1]


def text(say: Say) -> str:
    """Return a text record without its time."""
    time, _, rest = written(TextFormatter(), say).partition(" ")
    assert len(time) == len("2026-01-31T12:00:00.000Z")
    return rest


def parsed(say: Say) -> dict[str, object]:
    line = written(JsonFormatter(), say)
    assert "\n" not in line
    found = json.loads(line, parse_constant=pytest.fail)
    assert isinstance(found, dict)
    return found


def explode(message: str) -> None:
    raise ValueError(message)


def fail(logger: logging.Logger, message: str) -> None:
    try:
        explode(message)
    except ValueError:
        logger.exception("it failed")


def run(program: str) -> str:
    """Return what a process that configures its logs writes to standard error."""
    imports = "import logging; from realtime.logs import configure\n"
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", imports + program],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout == ""
    return done.stderr


class TestText:
    def test_a_record_is_a_line(self) -> None:
        line = text(
            lambda log: log.info("up on %s", "host", extra={"port": 8080, "role": Role.RIDER})
        )
        assert line == "INFO realtime.test: up on host port=8080 role=rider"

    def test_a_field_ends_where_it_seems_to(self) -> None:
        extra = {
            "a": "x y",
            "b": "x=y",
            "c": 'say "x"',
            "d": "",
            "e": None,
            "f": True,
            "g": "é/1.5",
        }
        line = text(lambda log: log.info("hi", extra=extra))
        assert line.endswith(r': hi a="x y" b="x=y" c="say \"x\"" d="" e=null f=true g=é/1.5')

    @pytest.mark.parametrize(
        "break_", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\x00"]
    )
    def test_input_cannot_begin_a_line(self, break_: str) -> None:
        forged = f"hi{break_}2026-01-31T12:00:00.000Z INFO realtime.test: paid"
        for line in (
            text(lambda log: log.info(forged)),
            text(lambda log: log.info("%s", forged)),
            text(lambda log: log.info("hi", extra={"name_given": forged})),
        ):
            assert len(line.splitlines()) == 1
            assert break_ not in line

    @pytest.mark.parametrize(
        "sign", ["\x1b[2J", "\x9b2J", "\x07", "\x7f", "\u202e", "\u200b", "\ud800"]
    )
    def test_input_cannot_steer_the_terminal(self, sign: str) -> None:
        line = text(lambda log: log.info("%s", sign, extra={"x": sign, "y": f" {sign}"}))
        assert sign[0] not in line
        line.encode()

    def test_a_traceback_is_indented_below(self) -> None:
        forged = f"\n2026-01-31T12:00:00.000Z INFO realtime.test: paid\x1b[2J {TOKEN}"
        head, *below = text(lambda log: fail(log, forged)).splitlines()
        assert head == "ERROR realtime.test: it failed"
        assert below[0] == "    Traceback (most recent call last):"
        assert all(line.startswith("    ") for line in below)
        assert "\x1b" not in "".join(below)
        assert TOKEN not in "".join(below)


class TestJson:
    def test_a_record_is_an_object(self) -> None:
        found = parsed(lambda log: log.warning("up on %s", "host", extra={"port": 8080}))
        assert str(found.pop("time")).endswith("Z")
        assert found == {
            "level": "warning",
            "logger": "realtime.test",
            "message": "up on host",
            "port": 8080,
        }

    def test_a_field_cannot_pass_for_what_is_always_there(self) -> None:
        found = parsed(lambda log: log.info("hi", extra={"level": "error", "time": 0}))
        assert found["level"] == "info"
        assert found["time"] != 0

    def test_values_are_those_that_json_has(self) -> None:
        extra = {"a": float("nan"), "b": 1.5, "c": None, "d": [1], "e": Path("x"), "f": b"\xff"}
        found = parsed(lambda log: log.info("hi", extra=extra))
        assert [found[name] for name in extra] == ["nan", 1.5, None, "[1]", "x", r"b'\xff'"]

    def test_any_input_stays_in_its_line(self) -> None:
        evil = '\n"},{\x1b[2J\u2028\u202e\ud800'
        line = written(JsonFormatter(), lambda log: log.info(evil, extra={"x": evil}))
        assert line.isascii()
        assert line.isprintable()
        assert parsed(lambda log: log.info(evil))["message"] == evil

    def test_a_traceback_is_a_field(self) -> None:
        found = parsed(lambda log: fail(log, f"of {TOKEN}"))
        assert str(found["traceback"]).endswith("ValueError: of <token>")


class TestMasking:
    @pytest.mark.parametrize("form", [TextFormatter(), JsonFormatter()])
    def test_tokens_and_passwords_are_masked_everywhere(self, form: logging.Formatter) -> None:
        url = "redis://user:hunter2@cache:6379/0"
        line = written(
            form,
            lambda log: log.info(
                f"got {TOKEN} from {url}",
                extra={"auth": f"Bearer {TOKEN}", "auth_dict": {"token": TOKEN}, "url": url},
            ),
        )
        assert TOKEN.split(".")[1] not in line
        assert TOKEN.split(".")[2] not in line
        assert "hunter2" not in line
        assert line.count("<token>") == 3
        assert line.count("redis://***@cache:6379/0") == 2

    @pytest.mark.parametrize(
        "harmless", ["realtime.settings.loader", "eye.example.com", "a@b.c", "1.2.3"]
    )
    def test_other_text_is_not(self, harmless: str) -> None:
        assert text(lambda log: log.info(harmless)).endswith(f": {harmless}")

    def test_a_long_line_is_searched_once(self) -> None:
        for part in ("ey-", "eyaaaaaa.", "://", "ew.", "eyJ"):
            line = text(lambda log, part=part: log.info(part * 100_000))  # type: ignore[misc]
            assert line.endswith(part * 10) or "<token>" in line


class TestConfigure:
    def test_all_loggers_write_to_standard_error(self) -> None:
        written = run(
            "configure('info', 'text')\n"
            "logging.getLogger('realtime.app').info('up', extra={'port': 1})\n"
            "logging.getLogger('realtime.app').debug('detail')\n"
        )
        assert written.endswith("INFO realtime.app: up port=1\n")
        assert len(written.splitlines()) == 1

    def test_the_last_one_counts(self) -> None:
        written = run(
            "configure('debug', 'text')\nconfigure('warning', 'json')\n"
            "logging.info('no')\nlogging.warning('yes')\n"
        )
        assert json.loads(written)["message"] == "yes"

    @pytest.mark.parametrize(
        "order", ["configure('debug', 'json'); make()", "make(); configure('debug', 'json')"]
    )
    def test_chatty_libraries_tell_warnings_only_and_once(self, order: str) -> None:
        written = run(
            "import socketio\n"
            "def make(): socketio.AsyncServer(async_mode='aiohttp')\n"
            f"{order}\n"
            "for name in ('aiohttp.access', 'engineio.server', 'socketio.server', 'pymongo'):\n"
            "    logging.getLogger(name).info('no')\n"
            "    logging.getLogger(name).warning('yes')\n"
        )
        lines = [json.loads(line) for line in written.splitlines()]
        assert [line["message"] for line in lines] == ["yes"] * 4

    def test_an_error_level_quiets_them_further(self) -> None:
        written = run(
            "configure('error', 'text')\nlogging.getLogger('aiohttp.access').warning('no')"
        )
        assert written == ""


class TestGathering:
    """In a process, as its standard error is what is written to."""

    def test_lines_are_written_in_order_however_the_process_ends(self) -> None:
        written = run(
            "configure('info', 'text')\n"
            "import asyncio\n"
            "async def work():\n"
            "    for number in range(3): logging.info('%d', number)\n"
            "    logging.warning('3')\n"
            "    logging.info('4')\n"
            "asyncio.run(work())\n"
            "logging.info('5')\n"
            "async def fail():\n"
            "    logging.info('6')\n"
            "    raise SystemExit(0)\n"
            "asyncio.run(fail())\n"
        )
        assert [line[-1] for line in written.splitlines()] == list("0123456")

    async def test_what_waits_is_written_soon_and_at_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = Writes()
        monkeypatch.setattr(sys, "stderr", out)
        logger = logging.Logger("realtime.test")
        logger.addHandler(GatheringHandler())
        logger.info("one")
        logger.info("two")
        assert out.writes == []
        await asyncio.wait_for(out.written.wait(), 10)
        assert out.writes == ["one\ntwo\n"]

    async def test_a_warning_does_not_wait(self, monkeypatch: pytest.MonkeyPatch) -> None:
        out = Writes()
        monkeypatch.setattr(sys, "stderr", out)
        logger = logging.Logger("realtime.test")
        logger.addHandler(GatheringHandler())
        logger.info("one")
        logger.warning("two")
        assert out.writes == ["one\ntwo\n"]


class Limited:
    """A logger whose lines go through a limit, and a clock to turn."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.now = 0.0
        self.limit = Limit(self._write, clock=lambda: self.now)
        self.log = logging.Logger("realtime.test")
        handler = logging.Handler()
        handler.emit = self._write  # type: ignore[method-assign]
        handler.addFilter(self.limit)
        self.log.addHandler(handler)

    def _write(self, record: logging.LogRecord) -> None:
        self.lines.append(TextFormatter().format(record).partition(" ")[2])


class TestLimit:
    def test_a_flood_becomes_some_lines_and_how_many_more(self) -> None:
        limited = Limited()
        for number in range(100):
            limited.log.warning("no store: %s", number)
        limited.now = WINDOW_S
        limited.log.warning("no store: %s", "again")
        first = [f"no store: {number}" for number in range(MOST_WARNINGS)]
        left_out = 100 - MOST_WARNINGS
        more = f"{left_out - 1} more like it in the last 10 s left_out={left_out}"
        then = [f"no store: {MOST_WARNINGS}: this and {more}", "no store: again"]
        assert limited.lines == [f"WARNING realtime.test: {line}" for line in first + then]

    def test_an_end_tells_what_was_left_out_until_then(self) -> None:
        limited = Limited()
        for _ in range(MOST_WARNINGS + 2):
            limited.log.error("no store")
        limited.limit.tell_all()
        limited.limit.tell_all()
        assert len(limited.lines) == MOST_WARNINGS + 1
        assert limited.lines[-1].endswith("left_out=2")

    def test_lines_of_other_kinds_are_let_through(self) -> None:
        limited = Limited()
        for _ in range(100):
            limited.log.warning("no store")
        before = len(limited.lines)
        limited.log.error("no store")
        limited.log.warning("no bus")
        fail(limited.log, "one")
        assert len(limited.lines) == before + 3

    def test_every_kind_of_exception_is_a_kind_of_line(self) -> None:
        limited = Limited()
        for kind in (KeyError, ValueError):
            for _ in range(100):
                limited.log.error("a command failed", exc_info=kind("x"))
        assert len(limited.lines) == 2 * MOST_WARNINGS

    def test_connections_may_come_and_go_in_numbers(self) -> None:
        limited = Limited()
        for _ in range(MOST_OTHERS + 10):
            limited.log.info("connection opened")
            limited.log.info("connection closed")
        assert len(limited.lines) == 2 * MOST_OTHERS

    def test_what_is_for_debugging_is_not_limited(self) -> None:
        limited = Limited()
        for _ in range(MOST_OTHERS + 10):
            limited.log.debug("detail")
        assert len(limited.lines) == MOST_OTHERS + 10

    def test_messages_that_are_made_up_each_time_are_limited_in_the_end(self) -> None:
        limited = Limited()
        for number in range(10_000):
            limited.log.warning(f"made up: {number}")
        assert len(limited.lines) < 2_000

    def test_what_was_left_out_forges_no_line(self) -> None:
        limited = Limited()
        for _ in range(100):
            limited.log.warning("said: %s", f"hi\n2026 INFO realtime.test: paid {TOKEN}")
        limited.limit.tell_all()
        assert "\n" not in limited.lines[-1]
        assert "<token>" in limited.lines[-1]

    async def test_a_loop_tells_when_the_flood_is_over(self) -> None:
        told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        limit = Limit(lambda record: told.set_result(record.getMessage()), window_s=0.01)
        record = logging.makeLogRecord({"name": "a", "levelno": logging.ERROR, "msg": "again"})
        while limit.filter(record):
            pass
        async with asyncio.timeout(15):
            assert (await told).startswith("again: this and 0 more")

    def test_a_process_that_ends_tells_what_was_left_out(self) -> None:
        written = run(
            "configure('info', 'json')\nfor _ in range(100): logging.warning('no store')\n"
        )
        lines = [json.loads(line) for line in written.splitlines()]
        assert len(lines) == MOST_WARNINGS + 1
        assert lines[-1]["left_out"] == 100 - MOST_WARNINGS
