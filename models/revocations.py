"""Tokens that are taken back before their end: one by its id, or all that a user had so far."""

from typing import Final

from msgspec import Struct

from models.fields import Id, Millis
from models.identity import Identity

KEPT_MS: Final = 400 * 86_400_000
"""How long a revocation is remembered: longer than any token that it is for should live.

What revokes a `jti` does not know when that token ends. One that lived on after this would work
again.
"""


class RevokedToken(Struct, frozen=True, tag=True):
    """The token with this `jti` was revoked at `at` (ms)."""

    token_id: Id
    at: Millis


class RevokedUser(Struct, frozen=True, tag=True):
    """All tokens of the user, in whatever role, that were issued until `at` (ms) were revoked."""

    user_id: Id
    at: Millis


Revocation = RevokedToken | RevokedUser


def issued_until(identity: Identity, at: Millis) -> bool:
    """Whether the token was issued until then; so counts one that does not say when it was.

    Most issuers tell whole seconds, rounded down: then a token of the same second counts, too.
    """
    return identity.issued_at is None or identity.issued_at <= at
