"""Revocations: tokens that stop working before their end. Each is stored, and told everywhere."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from handlers.ports import Clock, Publish
from models import rooms, stores
from models.facts import Revoked
from models.identity import Identity
from models.requests import TokenRevoke, UserRevoke
from models.revocations import Revocation, RevokedToken, RevokedUser

_SECOND_MS: Final = 1_000


class RevocationHandler:
    """What revokes tokens. Answered means stored: refused wherever a store is reached.

    Unavailable means that it may be forgotten again; until then it holds wherever it was told.
    """

    def __init__(
        self,
        kept: stores.Stores,
        publish: Publish,
        clock: Clock,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`pause` waits for some seconds."""
        self._revocations = kept.revocations
        self._publish = publish
        self._clock = clock
        self._pause = pause

    async def revoke_user(self, _caller: Identity, command: UserRevoke) -> None:
        """Refuse every token of the user that was issued until now, and end its sessions.

        A token of the running second cannot be told from one of before, so this takes as long as
        the second lasts: one that is issued after the answer works.
        """
        now = self._clock()
        await self._revoke(RevokedUser(command.user_id, now))
        left = _SECOND_MS - now % _SECOND_MS - (self._clock() - now)
        if left > 0:
            await self._pause(left / _SECOND_MS)

    async def revoke_token(self, _caller: Identity, command: TokenRevoke) -> None:
        """Refuse the token with this `jti`, known or not, and end its sessions."""
        await self._revoke(RevokedToken(command.jti, self._clock()))

    async def _revoke(self, revocation: Revocation) -> None:
        # Told first: however slow the store is, nobody who asks for this wants the token to go on.
        self._publish(rooms.INSTANCES, Revoked(revocation))
        await self._revocations.add(revocation)
