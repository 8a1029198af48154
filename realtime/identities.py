"""Who may come in: the one check of a token, for sockets and for HTTP."""

from models.errors import Unauthorized, Unavailable
from models.identity import Identity
from realtime.provider_keys import ProviderKeys
from realtime.revocations import Revocations
from realtime.tokens import Tokens, UnknownKey


class Identities:
    def __init__(
        self, tokens: Tokens, revocations: Revocations, provider: ProviderKeys | None = None
    ) -> None:
        """`provider` is who may have published a key that `tokens` do not know yet."""
        self._tokens = tokens
        self._revocations = revocations
        self._provider = provider

    def verify(self, token: str) -> Identity:
        """Who holds this token, by what is known here.

        Raises Unauthorized or TokenExpired, which say why it is refused, UnknownKey where `renewed`
        may bring the key, and Unavailable while it cannot be known whether it was revoked.
        """
        identity = self._tokens.verify(token)
        if self._revocations.refuses(identity):
            raise Unauthorized("the token was revoked", "revoked")
        if not self._revocations.in_touch:
            raise Unavailable("no store tells whether the token was revoked")
        return identity

    async def verified(self, token: str) -> Identity:
        """The same. Waits for keys where the token's is not known; Unavailable if none come."""
        try:
            return self.verify(token)
        except UnknownKey:
            await self.renewed()
            return self.verify(token)

    async def renewed(self) -> None:
        """Wait for the provider's keys of now. Raises Unavailable."""
        if self._provider is not None:
            await self._provider.renewed()
