"""The command line of the fault suite: `python -m chaos`."""

import argparse
import asyncio
import secrets
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Final

from chaos import breakages, caught, page, plan, results
from chaos.breakages import BREAKAGES
from chaos.checks.conditions import SLACK_S
from chaos.faults import KINDS
from chaos.load.city import Size
from chaos.processes import SERVE, ProcessFailed
from chaos.round import Outcome, Plan, run
from chaos.storm import report
from chaos.storm.measure import WITHIN_S, measure

STOPPED: Final = 130
STORM_SIZE: Final = 5_000
MOST_TOLD: Final = 20
COMMANDS_PER_S: Final = 3.0
"""Of a client with a pause of one second."""
WANTED_PER_S: Final = 260
"""Commands of all clients together, where nothing is broken."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; the exit status: 0, or 1 where a promise was broken (or a breakage not seen)."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: servers end with it
    try:
        if options.storm:
            return asyncio.run(_brew(options))
        if options.breakages is not None:
            return asyncio.run(_see_breakages(options))
        return asyncio.run(_run(options))
    except ProcessFailed as failure:
        sys.stderr.write(f"chaos: {failure}\n")
        return 1
    except TimeoutError:
        sys.stderr.write(f"chaos: the clients did not all come in within {WITHIN_S:.0f} s\n")
        return 1
    except KeyboardInterrupt:
        return STOPPED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m chaos",
        description="Kill, freeze and cut off a busy cluster, and hold it to its promises.",
    )
    parser.add_argument("--rounds", type=_count, default=3, metavar="N")
    parser.add_argument("--seed", type=int, metavar="S", help="of the first round; others follow")
    parser.add_argument("--seconds", type=float, default=20.0, help="of a round, at least (20)")
    parser.add_argument("--clients", type=_count, default=200, metavar="N")
    parser.add_argument("--faults", type=_kinds, default=tuple(KINDS), metavar="A,B", help=_help())
    parser.add_argument("--each", type=_count, default=4, metavar="N", help="faults a round (4)")
    parser.add_argument(
        "--slack",
        type=float,
        default=SLACK_S,
        metavar="SECONDS",
        help=f"how much longer than promised anything may take ({SLACK_S})",
    )
    parser.add_argument("--break", dest="broken", choices=BREAKAGES, metavar="NAME")
    parser.add_argument(
        "--breakages",
        nargs="*",
        metavar="NAME",
        help=f"break servers on purpose, all ways or these, and see that each is caught:"
        f" {', '.join(BREAKAGES)}",
    )
    parser.add_argument(
        "--storm",
        type=_count,
        nargs="?",
        const=STORM_SIZE,
        metavar="N",
        help=f"have so many clients ({STORM_SIZE}) of a killed instance come to the other one",
    )
    parser.add_argument(
        "--publish", action="store_true", help="put the table into docs/reliability.md"
    )
    return parser


def _help() -> str:
    return f"of {', '.join(KINDS)}"


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _kinds(text: str) -> tuple[str, ...]:
    kinds = tuple(text.split(","))
    if unknown := set(kinds) - set(KINDS):
        raise argparse.ArgumentTypeError(f"{sorted(unknown)} is none of {sorted(KINDS)}")
    return kinds


async def _run(options: argparse.Namespace) -> int:
    first = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    outcomes: list[Outcome] = []
    for number in range(options.rounds):
        outcome = await run(_plan(options, first + number))
        outcomes.append(outcome)
        _tell(results.line(number + 1, outcome))
        for line in results.details(outcome):
            _tell(line)
        if outcome.timelines:
            _tell(f"what was recorded: {_written(outcome)}")
    _tell("\n" + results.table(outcomes))
    if options.publish:
        _publish(page.RESULTS, results.markdown(outcomes))
    return int(any(outcome.violations for outcome in outcomes))


def _written(outcome: Outcome) -> Path:
    path = Path(tempfile.gettempdir()) / f"ridewire-chaos-{outcome.seed}.txt"
    path.write_text("\n".join(results.timelines(outcome)) + "\n", "utf-8")
    return path


def _plan(options: argparse.Namespace, seed: int) -> Plan:
    rng = Random(seed)  # noqa: S311 - to be repeated, not a secret
    size = size_of(options.clients)
    answers = int(options.seconds * WANTED_PER_S / options.each)
    waves = plan.waves(rng, options.faults, options.each, answers)
    command = breakages.command(options.broken) if options.broken else SERVE
    return Plan(seed, size, waves, options.seconds, command, slack_s=options.slack)


def size_of(clients: int) -> Size:
    """So many, at a pace at which they give about `WANTED_PER_S` commands."""
    return Size.of(clients, max(0.4, clients * COMMANDS_PER_S / WANTED_PER_S))


async def _see_breakages(options: argparse.Namespace) -> int:
    """Whether each is caught by what it breaks."""
    found: dict[str, Counter[str]] = {}
    for name in options.breakages or BREAKAGES:
        found[name] = caught.by_promise(await caught.violations_of([name]))
        _tell(caught.line(name, found[name]))
    if options.publish:
        _publish(page.BREAKAGES, caught.markdown(found))
    return int(any(BREAKAGES[name].promise not in found[name] for name in found))


async def _brew(options: argparse.Namespace) -> int:
    figures = await measure(options.storm, options.seed or 1)
    for wrong in figures.wrongs[:MOST_TOLD]:
        _tell(f"WRONG {wrong}")
    _tell(report.table(figures))
    if options.publish:
        _publish(page.STORM, report.markdown(figures))
    return int(bool(figures.wrongs))


def _publish(place: page.Place, text: str) -> None:
    place.put(text)
    _tell(f"written: {page.PAGE}")


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
