"""What is broken on purpose, to see that the checks can fail: by name, with what shows it."""

import sys
from typing import Final

from msgspec import Struct

from chaos.checks import promises


class Breakage(Struct, frozen=True):
    """What is broken, which promise it breaks, and the faults that bring it to light.

    `chaos.broken_server` has a function of the same name that does it.
    """

    what: str
    promise: str
    faults: tuple[str, ...] = ()


BREAKAGES: Final[dict[str, Breakage]] = {
    "publish-dropped": Breakage(
        "nothing is published to other instances, and no sweep finds it",
        promises.GAPLESS,
    ),
    "sweep-off": Breakage(
        "publications are lost, and no sweep finds the newest",
        promises.GAPLESS,
    ),
    "repair-off": Breakage(
        "publications are lost, and no gap is filled",
        promises.GAPLESS,
    ),
    "ack-before-commit": Breakage(
        "a message is answered before it is stored",
        promises.STORED,
        ("kill-instance", "kill-instance"),
    ),
    "transition-before-commit": Breakage(
        "a transition is answered before it is stored",
        promises.STORED,
        ("kill-instance", "kill-instance"),
    ),
    "receipts-forgotten": Breakage(
        "a receipt is answered and not stored",
        promises.STORED,
    ),
    "duplicate-filter-off": Breakage(
        "a message that is sent again is stored again",
        promises.STORED_ONCE,
        ("half-open-clients", "half-open-clients"),
    ),
    "told-again": Breakage(
        "what a client knows already is told again",
        promises.ONCE,
    ),
    "order-off": Breakage(
        "publications are lost, and events are told as they come",
        promises.GAPLESS,
    ),
    "newest-wins-off": Breakage("older locations are shown", promises.NEWEST),
    "points-forgotten": Breakage("points are shown, and not kept", promises.TRACKED),
    "lists-cut-short": Breakage(
        "of points that come together only the newest is kept", promises.TRACKED
    ),
    "points-answered-early": Breakage(
        "points are answered before any store has them",
        promises.TRACKED,
        ("kill-instance", "kill-instance"),
    ),
    "points-taken-out-early": Breakage(
        "points leave Redis before they are in MongoDB",
        promises.TRACKED,
        ("kill-instance", "kill-instance"),
    ),
    "trips-read-once": Breakage(
        "which trips a driver serves is read once, and changes are not",
        promises.TRACKED,
    ),
    "strangers-let-in": Breakage("who may is not looked at", promises.PRIVATE),
    "off-the-trip": Breakage(
        "a driver hears on after it is off the trip",
        promises.PRIVATE,
    ),
    "pin-shown": Breakage("drivers are shown the pin", promises.PRIVATE),
    "told-after-the-end": Breakage("a location is shown after the end", promises.PRIVATE),
    "read-from-the-start": Breakage(
        "a driver reads what was written before it accepted", promises.PRIVATE
    ),
    "pages-cut-short": Breakage("a page lacks its last message", promises.READ),
    "sessions-begin-empty": Breakage(
        "a session begins without its trips", promises.READ, ("half-open-clients",)
    ),
    "answers-late": Breakage("one answer in a hundred comes late", promises.PROMPT),
    "answered-twice": Breakage("each command has two answers", promises.ONE_ANSWER),
}
"""By the names that the command line takes."""


def command(*names: str) -> tuple[str, ...]:
    """What starts a server that is broken so."""
    return (sys.executable, "-m", "chaos.broken_server", *names)
