"""An identity provider on a free port: its keys over real HTTP, and tokens signed with them."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.apps import served

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_ALGORITHMS: Final = {rsa.RSAPrivateKey: "RS256", ec.EllipticCurvePrivateKey: "ES256"}


def p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def jwk(key: PrivateKey, /, **members: object) -> dict[str, Any]:
    """The public half for signatures, with these members; `...` takes one away."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        written = RSAAlgorithm.to_jwk(public, as_dict=True)
    elif isinstance(public, ec.EllipticCurvePublicKey):
        written = ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        written = OKPAlgorithm.to_jwk(public, as_dict=True)
    every = {**written, "use": "sig"} | members
    return {name: value for name, value in every.items() if value is not ...}


def key_set(*keys: Mapping[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def algorithm_of(key: PrivateKey) -> str:
    return next((name for kind, name in _ALGORITHMS.items() if isinstance(key, kind)), "EdDSA")


class Provider:
    """Answers with what the test has put into it."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: dict[str, PrivateKey] = {}
        self.asked = 0
        """Requests so far."""
        self.answer: Callable[[], web.Response] | None = None
        """What is answered instead of the keys."""
        self.answers = asyncio.Event()
        """While this is not set, requests get no answer."""
        self.answers.set()

    @classmethod
    @asynccontextmanager
    async def open(cls, *kids: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[Self]:
        provider = cls()
        for kid in kids:
            provider.add(kid)
        app = web.Application()
        app.router.add_get("/keys", provider._serve)
        async with served(app, tls=tls, shutdown_timeout=0) as url:
            provider.url = f"{url}/keys"
            try:
                yield provider
            finally:
                provider.answers.set()

    def add(self, kid: str, key: PrivateKey | None = None) -> None:
        self.keys[kid] = p256() if key is None else key

    def sign(self, kid: str, key: PrivateKey | None = None, **claims: object) -> str:
        """A driver's token with this `kid` and, if none is given, the key of this name."""
        key = self.keys[kid] if key is None else key
        now = int(time.time())
        every = {"sub": "dan", "role": "driver", "iat": now, "exp": now + 600} | claims
        return jwt.encode(every, key, algorithm_of(key), {"kid": kid})

    async def _serve(self, _request: web.Request) -> web.Response:
        self.asked += 1
        await self.answers.wait()
        return self.answer() if self.answer else self._key_set()

    def _key_set(self) -> web.Response:
        keys = (jwk(key, kid=kid, alg=algorithm_of(key)) for kid, key in self.keys.items())
        return web.Response(body=key_set(*keys), content_type="application/json")
