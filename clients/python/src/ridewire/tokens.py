"""Tokens for your apps and for your back end itself, signed with the server's secret.

Whoever has the secret can be anybody: it stays in the back end. What an app gets is a token, from
your login endpoint, after you have checked who it is.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from uuid import uuid4

import jwt

from ridewire.resources import Role

_SECRETS = ("HS256", "HS384", "HS512")


def mint(
    secret: str,
    *,
    role: Role,
    user_id: str,
    ttl_s: int = 3600,
    trips: Sequence[str] = (),
    token_id: str | None = None,
    audience: str | None = None,
    issuer: str | None = None,
    role_claim: str = "role",
    algorithm: str = "HS256",
) -> str:
    """Sign a token that works for `ttl_s` seconds.

    `secret` is the server's `JWT_SECRET`; of several, separated by commas, the first one signs.
    With another `algorithm` (`RS256`, `ES256`, `EdDSA`: install `cryptography` for these) it is a
    private key in PEM. `trips` are those that a viewer may watch. `token_id` is the `jti` by which
    the token can be revoked, a new one where none is given. `audience`, `issuer` and `role_claim`
    are for servers that have `JWT_AUDIENCE`, `JWT_ISSUER` and `JWT_ROLE_CLAIM` set.
    """
    if (role == "viewer") != bool(trips):
        raise ValueError("trips are for viewers, who need some")
    key = secret.split(",", maxsplit=1)[0].strip() if algorithm in _SECRETS else secret
    if not key:
        raise ValueError("the secret is empty")
    now = int(time.time())
    claims = {
        "sub": user_id,
        role_claim: role,
        "iat": now,
        "exp": now + ttl_s,
        "jti": token_id or uuid4().hex,
        "trips": list(trips) or None,
        "aud": audience,
        "iss": issuer,
    }
    given = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(given, key, algorithm=algorithm)


def minter(
    secret: str,
    *,
    role: Role = "service",
    user_id: str = "backend",
    ttl_s: int = 300,
    audience: str | None = None,
    issuer: str | None = None,
    role_claim: str = "role",
    algorithm: str = "HS256",
) -> Callable[[], str]:
    """What a client takes as its `token`: it mints a short-lived one whenever one is needed."""
    return partial(
        mint,
        secret,
        role=role,
        user_id=user_id,
        ttl_s=ttl_s,
        audience=audience,
        issuer=issuer,
        role_claim=role_claim,
        algorithm=algorithm,
    )
