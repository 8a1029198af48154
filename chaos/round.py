"""One round: a busy cluster, faults in waves, quiet again, and then the promises are checked."""

import asyncio
import time
from collections.abc import Sequence
from random import Random
from typing import Final

from msgspec import Struct

from chaos import cluster
from chaos.checks import promises
from chaos.checks.checker import check
from chaos.checks.conditions import RETURN_S, SLACK_S, Conditions, Disturbance, outside
from chaos.checks.timeline import timeline
from chaos.checks.truth import Truth
from chaos.checks.violation import Violation
from chaos.cluster import Cluster
from chaos.load.city import City, Size, Ways
from chaos.load.knowledge import Ledger
from chaos.load.pulse import Interval, Pulse
from chaos.load.record import Life, What, now
from chaos.plan import Strike, Wave
from chaos.processes import SERVE
from models.errors import Unavailable

CONVERGED_WITHIN_S: Final = 30.0
WOUND_UP_WITHIN_S: Final = 60.0
STALLED_S: Final = 8.0
"""How long is waited for the load to make progress, before the next wave comes anyway."""
ARCHIVED_WITHIN_S: Final = 40.0
"""Longer than it takes another instance to take over what a killed one had, and to store it."""
LOOK_S: Final = 0.5
SETTLE_S: Final = 2.5
"""Longer than the time between two sweeps: what nobody has heard of yet comes by one."""


class Plan(Struct, frozen=True):
    """What a round is made of."""

    seed: int
    size: Size
    waves: Sequence[Wave]
    seconds: float
    """At least so long the load runs."""
    command: Sequence[str] = SERVE
    """What starts a server."""
    patience_s: float = CONVERGED_WITHIN_S
    """After which nobody is waited for any more to be up to date."""
    slack_s: float = SLACK_S
    """How much longer than promised anything may take: for a machine that has more to do."""


class Healed(Struct, frozen=True):
    """A wave that is over: the kinds of its faults, how long everybody took to be up to date
    (None: too long), and who took longest.
    """

    kinds: Sequence[str]
    converged_s: float | None
    last: str


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of a round."""

    seed: int
    clients: int
    seconds: float
    commands: int
    acknowledged: int
    received: int
    reconnects: int
    healed: Sequence[Healed]
    violations: Sequence[Violation]
    timelines: dict[str, list[str]]
    """By trip or conversation, of those that violations are about."""


async def run(plan: Plan) -> Outcome:
    """Raises ProcessFailed when the cluster does not start."""
    async with cluster.running(plan.command) as running:
        return await Round(plan, running).run()


class Round:
    def __init__(self, plan: Plan, running: Cluster) -> None:
        self._plan = plan
        self._cluster = running
        ways = Ways(
            [lambda each=each: each.url for each in running.instances],  # type: ignore[misc]
            [lambda each=each: each.url for each in running.proxies],  # type: ignore[misc]
            cluster.SECRET,
        )
        self._city = City(plan.size, ways, plan.seed)
        self._rng = Random(plan.seed)  # noqa: S311 - to be repeated, not a secret
        self._healed: list[Healed] = []
        self._violations: list[Violation] = []
        self._disturbances: list[Disturbance] = []
        self._pulse = Pulse()
        self._seconds = 0.0

    async def run(self) -> Outcome:
        async with self._pulse.beating():
            await self._city.run(self._live)
        return self._outcome

    async def _live(self) -> None:
        began = time.monotonic()
        for wave in self._plan.waves:
            await self._city.progresses(wave.answers, STALLED_S)
            await self._suffer(wave)
        await asyncio.sleep(max(0.0, self._plan.seconds - (time.monotonic() - began)))
        self._seconds = time.monotonic() - began
        self._cluster.note_deaths()
        late = await self._city.wind_up(WOUND_UP_WITHIN_S)
        self._note("the load", promises.ANSWERED, late)
        await self._archived()
        truth = await self._settled()
        lives = self._city.lives
        # At once: nothing more is recorded meanwhile.
        self._violations += check(truth, lives, self._conditions)
        self._note("the cluster", promises.RUNNING, self._cluster.failures)
        for instance in self._cluster.instances:
            self._note(f"instance {instance.name}", promises.SOUND, instance.exceptions)
        self._outcome = self._told(lives)

    async def _suffer(self, wave: Wave) -> None:
        """Have the faults happen, and see how long it takes until everybody is up to date."""
        await asyncio.gather(*(self._strike(strike) for strike in wave.strikes))
        due, began = self._city.ledger.copy(), now()
        took, last = await self._city.converged(due, self._plan.patience_s)
        self._healed.append(Healed([strike.kind for strike in wave.strikes], took, last))
        if took is None:
            self._note_lags(due)
        elif outside(began, began + took, self._pulse.stalls) > RETURN_S + self._plan.slack_s:
            kinds = "+".join(strike.kind for strike in wave.strikes)
            self._note(last, promises.CONVERGED, [f"{took:.1f} s after {kinds}"])

    async def _strike(self, strike: Strike) -> None:
        await asyncio.sleep(strike.after_s)
        began = now()
        await strike.fault.begin(self._cluster)
        await asyncio.sleep(strike.lasts_s)
        await strike.fault.mend(self._cluster)
        fault = strike.fault
        happened = Disturbance(Interval(began, now()), fault.silences, fault.forgets)
        self._disturbances.append(happened)

    @property
    def _conditions(self) -> Conditions:
        return Conditions(
            self._disturbances, self._pulse.stalls, self._cluster.places, self._plan.slack_s
        )

    async def _archived(self) -> None:
        """Wait until all points are in tracks that were taken."""
        deadline = now() + ARCHIVED_WITHIN_S
        while (waiting := await self._cluster.reports_waiting()) and now() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)
        if waiting:
            self._note("Redis", promises.TRACKED, [f"{waiting} reports of points still wait"])

    async def _settled(self) -> Truth:
        """What is stored, once everybody has been given the time to hear of it."""
        await asyncio.sleep(SETTLE_S)
        truth = await self._stored()
        due = Ledger()
        for trip_id, record in truth.trips.items():
            due.note_version(trip_id, record.trip.version)
        for conversation_id in truth.messages:
            due.note_seq(conversation_id, truth.newest_seq(conversation_id))
        took, _ = await self._city.converged(due, self._plan.patience_s)
        if took is None:
            self._note_lags(due)
        await self._city.read_back(self._plan.patience_s)
        await self._city.all_answered(self._plan.patience_s)
        return truth

    async def _stored(self) -> Truth:
        """All faults are over: the store has some seconds to answer again."""
        for _ in range(10):
            try:
                return await Truth.read(self._cluster.mongodb.url)
            except Unavailable:
                await asyncio.sleep(1)
        return await Truth.read(self._cluster.mongodb.url)

    def _note_lags(self, due: Ledger) -> None:
        for app, behind in self._city.lagging(due).items():
            self._note(app.life.who, promises.CONVERGED, behind)

    def _note(self, who: str, promise: str, found: Sequence[str]) -> None:
        self._violations += [Violation(promise, who, what) for what in found]

    def _told(self, lives: Sequence[Life]) -> Outcome:
        entries = [e for life in lives for session in life.sessions for e in session.entries]
        about = sorted({v.about for v in self._violations if v.about})
        return Outcome(
            seed=self._plan.seed,
            clients=sum(1 for life in lives if any(s.is_ready for s in life.sessions)),
            seconds=self._seconds,
            commands=sum(entry.what is What.SENT for entry in entries),
            acknowledged=sum(entry.what is What.ANSWERED for entry in entries),
            received=sum(entry.what is What.HEARD for entry in entries),
            reconnects=sum(life.reconnects for life in lives),
            healed=self._healed,
            violations=self._violations,
            timelines={topic: timeline(lives, topic) for topic in about},
        )
