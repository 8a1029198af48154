"""Logs: one line per record, whatever the input, and no secrets in it."""

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
from realtime.logs import JsonFormatter, TextFormatter

ROOT = Path(__file__).parents[2]
TOKEN = jwt.encode({"sub": "ada"}, "a secret that is long enough to sign with")

Say = Callable[[logging.Logger], object]


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
