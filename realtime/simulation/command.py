"""The `simulate` command: its arguments, its run, what it prints and returns."""

import argparse
import asyncio
import math
import re
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Final

import uvloop

from models.fields import Id
from models.identity import Role
from realtime import logs
from realtime.app import now
from realtime.settings import Settings
from realtime.simulation import faults, report, traces
from realtime.simulation.course import Routes
from realtime.simulation.fleet import Fleet, Plan
from realtime.simulation.link import CannotConnect
from realtime.simulation.streets import Cruise, Streets
from realtime.simulation.traces import TraceError, Traces
from realtime.tokens import Tokens

SEED: Final = 1
TOKEN_MARGIN_S: Final = 600
LIVE_S: Final = 0.5
"""How often the progress is shown on a terminal; and elsewhere:"""
LINE_S: Final = 10.0
_URL: Final = re.compile(r"https?://[^\s/?#]+/?")
_NOT_GOOD: Final = 1


class CannotSimulate(Exception):
    """The simulation cannot begin. The message says what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--url",
        action="extend",
        type=_urls,
        metavar="U",
        help="a server's address; of several, drivers connect to the first (http://localhost:PORT)",
    )
    parser.add_argument("--drivers", type=_count, default=50, metavar="N", help="how many (50)")
    parser.add_argument(
        "--rate", type=_positive, default=1.0, metavar="HZ", help="points a second of each (1)"
    )
    parser.add_argument(
        "--seconds", type=_positive, default=60.0, metavar="S", help="how long rides go on (60)"
    )
    parser.add_argument(
        "--traces",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="recorded rides to drive; lines: latitude longitude occupied unix_seconds, also .gz",
    )
    parser.add_argument(
        "--faults",
        type=_faults,
        metavar="FAULTS",
        help="what happens to points: loss=0.05,jitter=10,teleport=0.01,duplicate=0.05,"
        "reorder=0.05,tunnel=0.01, any of these; how often to each, jitter in metres",
    )


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Simulate and print; the exit status. Raises CannotSimulate."""
    logs.configure("error", settings.log_format)
    plan = _plan(options, settings)
    fleet = uvloop.run(_simulate(plan))
    print(f"\n{report.table(fleet.tally, fleet.lag)}\n")  # noqa: T201
    print(report.verdict(fleet.tally))  # noqa: T201
    return _NOT_GOOD if fleet.tally.problems() else 0


def _plan(options: argparse.Namespace, settings: Settings) -> Plan:
    tokens = Tokens(settings.token_rules(), now)
    if not tokens.can_mint:
        raise CannotSimulate("the clients' tokens have to be signed with a secret: set JWT_SECRET")
    ttl_s = int(options.seconds) + TOKEN_MARGIN_S

    def mint(role: Role, user_id: Id) -> str:
        return tokens.mint(role, user_id, ttl_s=ttl_s)

    return Plan(
        urls=options.url or [f"http://localhost:{settings.port or 8080}"],
        drivers=options.drivers,
        rate_hz=options.rate,
        seconds=options.seconds,
        mint=mint,
        routes=_routes(options.traces),
        faults=options.faults,
    )


def _routes(paths: Sequence[Path]) -> Callable[[Random], Routes]:
    """Where drivers drive: along recorded rides, which they share, or through made-up streets."""
    rng = Random(SEED)  # noqa: S311 - the same in every run, not a secret
    if not paths:
        streets = Streets(rng)
        return lambda driver: Cruise(streets, driver)
    try:
        recorded = Traces(traces.load(paths), rng)
    except TraceError as error:
        raise CannotSimulate(str(error)) from error
    return lambda _: recorded


async def _simulate(plan: Plan) -> Fleet:
    closing = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, _stop_once, loop, closing)
    fleet = Fleet(plan, closing)
    progress = asyncio.create_task(_show_progress(fleet))
    try:
        await fleet.run()
    except CannotConnect as error:
        raise CannotSimulate(str(error)) from error
    finally:
        progress.cancel()
    return fleet


def _stop_once(loop: asyncio.AbstractEventLoop, closing: asyncio.Event) -> None:
    """The first Ctrl-C brings the rides to their end; the next one ends the process at once."""
    closing.set()
    loop.remove_signal_handler(signal.SIGINT)


async def _show_progress(fleet: Fleet) -> None:
    """On a terminal one line that changes, else a line now and then."""
    live = sys.stderr.isatty()
    while True:
        await asyncio.sleep(LIVE_S if live else LINE_S)
        line = report.progress(fleet.tally, fleet.elapsed_s)
        width = shutil.get_terminal_size().columns - 1  # a line that wraps would stay
        sys.stderr.write(f"\r\x1b[K{line[:width]}" if live else f"{line}\n")
        sys.stderr.flush()


def _faults(text: str) -> faults.Faults:
    try:
        return faults.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _urls(text: str) -> list[str]:
    urls = text.split(",")
    for url in urls:
        if not _URL.fullmatch(url):
            raise argparse.ArgumentTypeError(f"{url!r} is not like http://localhost:8080")
    return urls


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of drivers, from 1 on")
    return int(text)


def _positive(text: str) -> float:
    with suppress(ValueError):
        if 0 < (value := float(text)) < math.inf:
            return value
    raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
