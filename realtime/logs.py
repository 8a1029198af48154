"""Logs: one line per record on standard error, as text or JSON, that no input can forge.

Fields go in as `logger.info("connection opened", extra={"user_id": user_id})`. Control characters
come out escaped, and what looks like a token or a URL's password masked, wherever they stand.
"""

import json
import logging
import math
import re
import sys
from datetime import UTC, datetime

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

Plain = str | int | float | None


def configure(level: LogLevel, style: LogFormat) -> None:
    """Send all logging of this process to standard error. Repeating it replaces what was."""
    # No format here names a file, a thread or a task, so none is looked for (the standard
    # library's logging how-to, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    http = logging.getLogger("aiohttp.server")
    http.removeFilter(_is_our_fault)
    http.addFilter(_is_our_fault)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for logger in map(logging.getLogger, _NOISY):
        logger.setLevel(max(logging.getLogger().level, logging.WARNING))
        logger.handlers.clear()


def _is_our_fault(record: logging.LogRecord) -> bool:
    """Requests that are no HTTP are answered with 400; they are nobody's to look into."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | RequestPayloadError)


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
