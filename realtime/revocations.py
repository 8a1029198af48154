"""What was revoked, known to each instance in memory, so that a token is checked without waiting.

It is told over Redis at once, and read from MongoDB every second besides; while MongoDB is away,
what Redis keeps of the last hour is read, for what was told may be lost. Either store alone is
enough, and an instance that has neither knows that it does not know.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from itertools import takewhile
from typing import Final

from handlers.ports import Clock
from models import stores
from models.errors import Unavailable
from models.fields import Id, Millis
from models.identity import Identity
from models.revocations import KEPT_MS, Revocation, RevokedToken, RevokedUser, issued_until
from realtime.recent_revocations import RecentRevocations

_log = logging.getLogger(__name__)

READ_EVERY_S: Final = 1.0
OVERLAP_MS: Final = 60_000
"""How far each reading goes back behind the one before: twice what clocks may differ by (as for
`iat`), for who revokes and who reads; that leaves time for a slow write, which takes seconds."""
SHARE_EVERY_S: Final = 0.25
"""How often Redis is given what is new, and asked while MongoDB is away."""
AWAY_S: Final = READ_EVERY_S + SHARE_EVERY_S
"""When MongoDB was read so long ago, Redis is asked."""
IN_TOUCH_S: Final = 2.0
"""For how long an instance may trust what it knows."""
LOOK_EVERY_S: Final = 0.1
LONGEST_LOOK_S: Final = 0.3
"""What a longer pause between two looks counts for: an instance that is busy or was asleep for a
while has not been away from the stores for so long."""
GATHER_S: Final = 0.05
"""How long news wait for more, before all sessions are looked through."""


class Revocations:
    """All that matter: one per token or user, and some 230 bytes, for `KEPT_MS`."""

    def __init__(self, kept: stores.Stores, recent: RecentRevocations, clock: Clock) -> None:
        self.on_news: Callable[[], None] | None = None
        """Called soon after something was revoked: sessions may have to end."""
        self._kept = kept.revocations
        self._recent = recent
        self._clock = clock
        # By jti and by user: when it was revoked (ms), the earliest first.
        self._tokens: dict[Id, Millis] = {}
        self._users: dict[Id, Millis] = {}
        self._read_until: Millis = 0
        self._redis_read_until: Millis = 0
        self._telling: asyncio.TimerHandle | None = None
        # Seconds that this instance was awake, and at how many of them what happened last.
        self._awake = 0.0
        self._read_at = float("-inf")
        self._heard_at = float("-inf")
        self._missed_at = float("-inf")
        self._was_in_touch = True

    def refuses(self, identity: Identity, shown_at: Millis | None = None) -> bool:
        """Whether this token was revoked, or all that its user had when it was issued.

        With `shown_at` (ms) also whether the user was cut off after the token was shown here: its
        issuer's clock may be ahead.
        """
        if identity.token_id in self._tokens:
            return True
        at = self._users.get(identity.user_id)
        if at is None:
            return False
        return issued_until(identity, at) or (shown_at is not None and shown_at <= at)

    @property
    def in_touch(self) -> bool:
        """Whether what was revoked two seconds ago is known here for sure."""
        # What Redis brings is all there is, if it has brought everything since the last reading.
        known_at = self._read_at
        if self._missed_at < self._read_at:
            known_at = max(known_at, self._heard_at)
        return self._awake - known_at < IN_TOUCH_S - LOOK_EVERY_S

    def take(self, revocation: Revocation) -> None:
        """Something was revoked, perhaps known already."""
        match revocation:
            case RevokedToken(token_id, at):
                is_new = self._note(self._tokens, token_id, at)
            case RevokedUser(user_id, at):
                is_new = self._note(self._users, user_id, at)
        if is_new:
            self._recent.note(revocation)

    def heard(self) -> None:
        """Redis has brought everything up to now, since it last missed something."""
        self._heard_at = self._awake

    def missed(self) -> None:
        """Redis may have lost something: what it brings from now on is not all."""
        self._missed_at = self._awake

    def look(self, elapsed_s: float) -> None:
        """So much time has passed since the last look."""
        self._awake += min(elapsed_s, LONGEST_LOOK_S)
        self._say_when_out_of_touch()

    async def load(self) -> None:
        """Read everything; the channel is subscribed already. Raises Unavailable."""
        began, now = self._awake, self._clock()
        for revocation in sorted(await self._kept.all(), key=lambda each: each.at):
            self.take(revocation)
        self._read_at, self._read_until = began, now

    async def run(self) -> None:
        """Read what is new, every second, and look how old that is, until cancelled."""
        await asyncio.gather(self._read_on(), self._share_on(), self._look_on())

    async def _read_on(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await self._try(self._read)
            self._forget()
            await asyncio.sleep(max(0.0, began + READ_EVERY_S - loop.time()))

    async def _share_on(self) -> None:
        while True:
            await asyncio.sleep(SHARE_EVERY_S)
            await self._try(self._recent.flush)
            if self._awake - self._read_at > AWAY_S:
                await self._try(self._read_redis)

    async def _look_on(self) -> None:
        loop = asyncio.get_running_loop()
        looked_at = loop.time()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            looked_at, before = loop.time(), looked_at
            self.look(looked_at - before)

    async def _try(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Unavailable:
            pass  # others say so, and `in_touch` tells what it means
        except Exception:  # noqa: BLE001 - logged; the next round may do better
            _log.exception("revocations could not be read")

    async def _read(self) -> None:
        began, now = self._awake, self._clock()
        # Not after now: this clock may have been ahead, and put right.
        for revocation in await self._kept.since(min(self._read_until, now) - OVERLAP_MS):
            self.take(revocation)
        self._read_at, self._read_until = began, now

    async def _read_redis(self) -> None:
        now = self._clock()
        since = min(max(self._read_until, self._redis_read_until), now) - OVERLAP_MS
        for revocation in await self._recent.since(since):
            self.take(revocation)
        self._redis_read_until = now

    def _note(self, known: dict[Id, Millis], subject: Id, at: Millis) -> bool:
        """Whether it is new."""
        if at <= known.get(subject, -1):
            return False
        known.pop(subject, None)  # so that it comes last
        known[subject] = at
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(GATHER_S, self._tell)
        return True

    def _tell(self) -> None:
        self._telling = None
        if self.on_news is not None:
            self.on_news()

    def _forget(self) -> None:
        oldest = self._clock() - KEPT_MS
        for known in (self._tokens, self._users):
            _drop_until(known, oldest)

    def _say_when_out_of_touch(self) -> None:
        in_touch = self.in_touch
        if self._was_in_touch and not in_touch:
            _log.error("neither Redis nor MongoDB tells what was revoked: nobody is let in")
        elif in_touch and not self._was_in_touch:
            _log.info("it is known again what was revoked")
        self._was_in_touch = in_touch


def _drop_until(known: dict[Id, Millis], oldest: Millis) -> None:
    for subject in list(takewhile(lambda each: known[each] <= oldest, known)):
        del known[subject]
