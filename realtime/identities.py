"""Who may come in: the one check of a token, for sockets and for HTTP."""

from models.errors import Unauthorized, Unavailable
from models.identity import Identity
from realtime.revocations import Revocations
from realtime.tokens import Tokens


class Identities:
    def __init__(self, tokens: Tokens, revocations: Revocations) -> None:
        self._tokens = tokens
        self._revocations = revocations

    def verify(self, token: str) -> Identity:
        """Who holds this token.

        Raises Unauthorized or TokenExpired, which say why it is refused, and Unavailable while it
        cannot be known whether it was revoked.
        """
        identity = self._tokens.verify(token)
        if self._revocations.refuses(identity):
            raise Unauthorized("the token was revoked", "revoked")
        if not self._revocations.in_touch:
            raise Unavailable("no store tells whether the token was revoked")
        return identity
