"""Viewers' tokens for share links, signed with the server's own secret."""

from handlers.answers import Shared
from models.errors import Forbidden
from models.fields import Id, Millis
from models.identity import Role
from realtime.tokens import Tokens


class Links:
    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def mint(self, user_id: Id, trip_id: Id, ttl_ms: Millis) -> Shared:
        """See `handlers.sharing.MintViewer`."""
        if not self._tokens.can_mint:
            raise Forbidden("this server signs no tokens: it needs a JWT_SECRET for share links")
        token = self._tokens.mint(Role.VIEWER, user_id, ttl_s=ttl_ms // 1000, trips=[trip_id])
        return Shared(token, self._tokens.verify(token).expires_at)
