"""Logs: one line per record on standard error, as text or JSON, that no input can forge.

Fields go in as `logger.info("connection opened", extra={"user_id": user_id})`. Control characters
come out escaped, and what looks like a token or a URL's password masked, wherever they stand.
"""

import asyncio
import atexit
import json
import logging
import math
import re
import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from time import monotonic
from typing import Final

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import RequestPayloadError

from realtime.settings import LogFormat, LogLevel

_NOISY = (
    "aiohttp.access",
    "engineio",
    "engineio.client",
    "engineio.server",
    "pymongo",
    "socketio",
    "socketio.client",
    "socketio.server",
)
"""Loggers with a line per request or packet. Those of engineio and socketio are named one by one,
because each adds a handler of its own as long as it has no level."""

_OWN_ATTRIBUTES = {*vars(logging.makeLogRecord({})), "message", "asctime"}

# A JWT's header is a JSON object, so its base64url begins with `ey` or `ew`. The look-behind keeps
# the search linear: no second start within one run of characters.
_TOKEN = re.compile(r"(?<![\w-])e[wy][\w-]{6,}\.[\w-]{6,}\.[\w-]*", re.ASCII)
_PASSWORD = re.compile(r"(?<=://)[^\s/?#]*@")
# Line ends, terminal sequences, and what turns or hides the text around it.
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
_BARE = re.compile(r"[^\s\"'=\\]+")

GATHER_S: Final = 0.1
"""How long a line may wait that is no warning."""

WINDOW_S: Final = 10.0
"""In which lines of one kind are counted."""
MOST_WARNINGS: Final = 5
"""Lines of one kind in a window, of warnings and what is worse."""
MOST_OTHERS: Final = 1_000
"""And of others, each of which tells of something that happened: a connection opened or closed."""
_MOST_KINDS: Final = 1_000

Plain = str | int | float | None
Kind = tuple[str, int, object, object]
"""What makes lines alike: logger, level, message before its arguments, type of the exception."""


def configure(level: LogLevel, style: LogFormat) -> None:
    """Send all logging of this process to standard error. Repeating it replaces what was."""
    # No format here names a file, a thread or a task, so none is looked for (the standard
    # library's logging how-to, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    http = logging.getLogger("aiohttp.server")
    http.removeFilter(_is_our_fault)
    http.addFilter(_is_our_fault)
    handler = GatheringHandler()
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    handler.addFilter(Limit(handler.emit))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for logger in map(logging.getLogger, _NOISY):
        logger.setLevel(max(logging.getLogger().level, logging.WARNING))
        logger.handlers.clear()


def _is_our_fault(record: logging.LogRecord) -> bool:
    """Requests that are no HTTP are answered with 400; they are nobody's to look into."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | RequestPayloadError)


class GatheringHandler(logging.Handler):
    """Writes to standard error: warnings at once, and what leads to them, in order.

    Other lines wait up to `GATHER_S` for more where a loop runs: when very many clients come, a
    write for each would cost more than the rest of the line. A normal end writes what waits.
    """

    def __init__(self) -> None:
        super().__init__()
        self._stream = sys.stderr
        self._lines: list[str] = []
        self._write_at = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.append(self.format(record) + "\n")
            if record.levelno >= logging.WARNING or not self._is_written_soon():
                self.flush()
        except Exception:  # noqa: BLE001 - the standard library's way to tell
            self.handleError(record)

    def flush(self) -> None:
        with self.lock or nullcontext():
            lines, self._lines = self._lines, []
            if lines:
                self._stream.write("".join(lines))
                self._stream.flush()

    def _is_written_soon(self) -> bool:
        now = monotonic()
        if len(self._lines) > 1:  # the first of them has seen to it, unless its loop has ended
            return now < self._write_at
        try:
            asyncio.get_running_loop().call_later(GATHER_S, self.flush)
        except RuntimeError:
            return False
        self._write_at = now + 2 * GATHER_S
        return True


class Limit(logging.Filter):
    """Of lines of one kind, lets the first ones in each window through, and tells how many more
    there were at its end. What is for debugging is not limited.

    Threads need no lock here: the worst that can happen is a line more or less.
    """

    def __init__(
        self,
        tell: Callable[[logging.LogRecord], object],
        window_s: float = WINDOW_S,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`tell` writes a record. `clock` tells seconds."""
        super().__init__()
        self._tell = tell
        self._window_s = window_s
        self._clock = clock
        self._windows: dict[Kind, _Window] = {}
        atexit.register(self.tell_all)

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.INFO:
            return True
        kind = _kind(record)
        window = self._windows.get(kind)
        if window is None or self._clock() - window.began >= self._window_s:
            window = self._begin(kind)
        window.lines += 1
        if window.lines <= window.most:
            return True
        window.example = window.example or record.getMessage()
        return False

    def tell_all(self) -> None:
        """Tell of all lines that were left out until now."""
        for kind in list(self._windows):
            self._end(kind)

    def _begin(self, kind: Kind) -> "_Window":
        self._end(kind)
        if len(self._windows) >= _MOST_KINDS:
            kind = (kind[0], kind[1], "lines of many kinds", None)
        window = self._windows.get(kind)
        if window is None:
            window = self._windows[kind] = _Window(kind[1], self._clock())
            with suppress(RuntimeError):  # without a loop the next of the kind tells, or the end
                asyncio.get_running_loop().call_later(self._window_s, self._end, kind)
        return window

    def _end(self, kind: Kind) -> None:
        window = self._windows.pop(kind, None)
        if window is not None and window.lines > window.most:
            self._tell(_more(kind, window, self._clock() - window.began))


class _Window:
    """How many lines of a kind there were since a moment."""

    __slots__ = ("began", "example", "lines", "most")

    def __init__(self, level: int, began: float) -> None:
        self.began = began
        self.lines = 0
        self.example = ""
        """The first message that was left out."""
        self.most = MOST_WARNINGS if level >= logging.WARNING else MOST_OTHERS


def _kind(record: logging.LogRecord) -> Kind:
    message = record.msg if isinstance(record.msg, str) else type(record.msg)
    return record.name, record.levelno, message, record.exc_info and record.exc_info[0]


def _more(kind: Kind, window: _Window, seconds: float) -> logging.LogRecord:
    name, level, *_ = kind
    left_out = window.lines - window.most
    return logging.makeLogRecord(
        {
            "name": name,
            "levelno": level,
            "levelname": logging.getLevelName(level),
            "msg": "%s: this and %d more like it in the last %.0f s",
            "args": (window.example, left_out - 1, seconds),
            "left_out": left_out,
        }
    )


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO realtime.app: up port=8080`, and an indented traceback."""

    def format(self, record: logging.LogRecord) -> str:
        message = _escaped(_masked(record.getMessage()))
        head = f"{_time(record)} {record.levelname} {record.name}: {message}"
        fields = [f" {_escaped(name)}={_quoted(value)}" for name, value in _fields(record).items()]
        trace = _traceback(self, record)
        lines = [f"\n    {_escaped(line)}" for line in trace.split("\n") if trace]
        return "".join([head, *fields, *lines])


class JsonFormatter(logging.Formatter):
    """One object per line: `time`, `level`, `logger`, `message`, the fields, and `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        fixed = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _masked(record.getMessage()),
        }
        trace = _traceback(self, record)
        if trace:
            fixed["traceback"] = trace
        # A field cannot take the place of what is always there.
        return json.dumps(fixed | {k: v for k, v in _fields(record).items() if k not in fixed})


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, Plain]:
    extra = vars(record).items()
    return {name: _plain(value) for name, value in extra if name not in _OWN_ATTRIBUTES}


def _plain(value: object) -> Plain:
    """Keep what JSON has as well, and take everything else as text."""
    if isinstance(value, int | None) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return _masked(str(value))


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info:
        parts.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return _masked("\n".join(parts))


def _masked(text: str) -> str:
    if "." in text:
        text = _TOKEN.sub("<token>", text)
    return _PASSWORD.sub("***@", text) if "@" in text else text


def _escaped(text: str) -> str:
    if text.isprintable():
        return text
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _quoted(value: Plain) -> str:
    """Write a value so that it ends where it seems to end."""
    if isinstance(value, str) and _BARE.fullmatch(value):
        return _escaped(value)
    return _escaped(json.dumps(value, ensure_ascii=False))
