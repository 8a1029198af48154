"""The command line of the benchmark: `python -m bench`."""

import argparse
import asyncio
import datetime as dt
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import structs

from bench import accounting, counting, plan, plot, profile, report, servers
from bench.accounting import CannotPin, Machine
from bench.plan import Contestant, Plan
from bench.results import Results
from bench.run import run
from realtime.embedded import EmbeddedError

PUBLISHED: Final = Path(__file__).parent
RESULTS: Final = "results.json"
UNFINISHED: Final = PUBLISHED / "quick" / "unfinished.json"
STOPPED: Final = 130
_OURS: Final = (Contestant.RIDEWIRE,)
BUSY: Final = 0.5
"""Load average of a machine that has something else to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit status: 0, or 1 where a round of Ridewire was spoiled or cannot be run."""
    options = _parser().parse_args(arguments)
    try:
        if options.profile:
            results = asyncio.run(_profiled(_whole(options), options.profile))
            _tell(report.profiled(results))
            return int(any(found.problem for found in results.profiles))
        if options.render:
            folder = options.output or PUBLISHED
            results = Results.load(folder / RESULTS)
        else:
            chosen = _plan(options)
            folder = options.output or folder_for(chosen)
            results = asyncio.run(_run(chosen))
    except (CannotPin, EmbeddedError, OSError) as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    except KeyboardInterrupt:
        return STOPPED
    _write(results, folder)
    return int(any(m.contestant is Contestant.RIDEWIRE for m in results.spoiled()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure Ridewire beside Node's socket.io, python-socketio and bare picows.",
    )
    parser.add_argument("--quick", action="store_true", help="smaller loads, one round: minutes")
    parser.add_argument("--only", nargs="+", metavar="ROW", choices=plan.NAMES, help=_rows_help())
    parser.add_argument("--rounds", type=_count, metavar="N", help="how often each is measured")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where the results are written")
    parser.add_argument(
        "--profile",
        metavar="ROW",
        choices=profile.ROWS,
        help=f"show where Ridewire's time goes in one of {', '.join(profile.ROWS)}; needs py-spy",
    )
    parser.add_argument(
        "--render", action="store_true", help="make page and plot anew from DIR/results.json"
    )
    return parser


def _rows_help() -> str:
    return f"of {', '.join(plan.NAMES)}"


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _whole(options: argparse.Namespace) -> Plan:
    return plan.quick() if options.quick else plan.full()


def _plan(options: argparse.Namespace) -> Plan:
    chosen = _whole(options)
    if options.only:
        chosen = chosen.only(options.only)
    return chosen.in_rounds(options.rounds) if options.rounds else chosen


def folder_for(chosen: Plan) -> Path:
    """Only the whole benchmark takes the place of the results that are published."""
    return PUBLISHED if chosen == plan.full() else PUBLISHED / "quick"


async def _run(chosen: Plan) -> Results:
    _claim_cores()
    _warn_if_busy()
    accounting.raise_open_files()
    _tell(f"{chosen.trials} rounds, about {chosen.estimate_s / 60:.0f} min")
    began, results = time.monotonic(), Results(_today(), Machine.this(), chosen, ())
    async for one in run(chosen):
        results = structs.replace(results, measured=(*results.measured, one))
        _keep(results)
        elapsed = dt.timedelta(seconds=int(time.monotonic() - began))
        count = f"{len(results.measured)}/{chosen.trials}"
        _tell(f"{elapsed} {count} {report.progress(one)}")
    return await _with_insight(results)


async def _with_insight(results: Results) -> Results:
    """Add what the server does with the time of what was measured."""
    seconds = profile.QUICK_SECONDS if results.plan.quick else profile.SECONDS
    profiles = [
        await profile.profile(row, seconds) for row in results.plan.rows if row.name in profile.ROWS
    ]
    counted = await counting.counting() if profiles else None
    return structs.replace(results, profiles=tuple(profiles), counting=counted)


async def _profiled(chosen: Plan, name: str) -> Results:
    """A round of a row with Ridewire alone, and its profile."""
    [row] = [row for row in chosen.rows if row.name == name]
    alone = structs.replace(chosen, rows=(structs.replace(row, contestants=_OURS),), rounds=1)
    _claim_cores()
    _warn_if_busy()
    accounting.raise_open_files()
    measured = tuple([one async for one in run(alone)])
    found = await profile.profile(row)
    return Results(_today(), Machine.this(), alone, measured, (found,))


def _today() -> str:
    return dt.datetime.now(dt.UTC).date().isoformat()


def _keep(so_far: Results) -> None:
    """What was measured is there even if the run is broken off."""
    UNFINISHED.parent.mkdir(exist_ok=True)
    so_far.save(UNFINISHED)


def _claim_cores() -> None:
    """Stay on the load's core, and be sure of the servers'. Raises CannotPin."""
    missing = {servers.SERVER_CORE, servers.LOAD_CORE} - {*accounting.usable_cores()}
    if missing:
        raise CannotPin(f"the benchmark needs core {', '.join(map(str, missing))}")
    accounting.pin(servers.LOAD_CORE)


def _warn_if_busy() -> None:
    load = os.getloadavg()[0]
    if load > BUSY:
        sys.stderr.write(f"bench: others use this machine, too (load average {load:.1f})\n")


def _write(results: Results, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    results.save(folder / RESULTS)
    (folder / "results.md").write_text(report.text(results), "utf-8")
    plot.draw(results, folder / "results.svg")
    _tell(f"written: {folder / 'results.md'}, results.svg and results.json")


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
