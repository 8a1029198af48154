"""docs/tokens.md says what is so: with its lines, tokens of the four providers let people in."""

import shlex
import time
from collections.abc import Mapping
from typing import Any, Final

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from models.errors import Unauthorized
from models.identity import Role
from realtime.app import now
from realtime.counting import Counts
from realtime.provider_keys import MAX_BODY, Pace, ProviderKeys
from realtime.public_keys import MAX_KEYS, MIN_RSA_BITS
from realtime.settings import Settings
from realtime.tokens import Tokens
from tests.docs.markdown import Document
from tests.provider import Provider, jwk, key_set

PAGE = Document("docs/tokens.md")
STORES: Final = {"REDIS_URL": "redis://cache", "MONGODB_URL": "mongodb://store"}
KEY, OTHER_KEY = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
NOW = int(time.time())
CERTIFICATE: Final = {"x5c": ["MIICmzCCAYMCBgGP"], "x5t": "hn4b8UZ0zBqRmN1cJk5d2w0XH5E"}

FIREBASE_KEYS: Final = [
    {"e": "AQAB", "alg": "RS256", "kid": "a8df62d3a0a44e3dfcdcafc6da138377459"},
    {"e": "AQAB", "alg": "RS256", "kid": "c7e1141059a1935b2c8d5c1d2e6b8a15a0d"},
]
FIREBASE: Final = {
    "role": "driver",
    "iss": "https://securetoken.google.com/rides-42",
    "aud": "rides-42",
    "auth_time": NOW - 900,
    "user_id": "kG7vQ2nX8bYtR4mW1cZ5pL9sD3f2",
    "sub": "kG7vQ2nX8bYtR4mW1cZ5pL9sD3f2",
    "iat": NOW - 900,
    "exp": NOW + 2700,
    "phone_number": "+4915112345678",
    "firebase": {
        "identities": {"phone": ["+4915112345678"]},
        "sign_in_provider": "phone",
    },
}
AUTH0_KEYS: Final = [
    {"alg": "RS256", "kid": "q1nXv8ZbKpT0sR5wJ2mYd", **CERTIFICATE},
    {"alg": "RS256", "kid": "V7hLc3uGfE9oAi6tNx4kB", **CERTIFICATE},
]
AUTH0: Final = {
    "https://rides.example/role": "rider",
    "iss": "https://rides.eu.auth0.com/",
    "sub": "auth0|64f1c2a97be0d35c18e2f6ab",
    "aud": ["https://api.rides.example", "https://rides.eu.auth0.com/userinfo"],
    "iat": NOW - 60,
    "exp": NOW + 86_340,
    "scope": "openid profile offline_access",
    "azp": "Zk3mT8qLw1nVb6yRx0sPd5hJf9cG2aEu",
    "permissions": [],
}
COGNITO_KEYS: Final = [
    {"alg": "RS256", "kid": "1nZ0oJtWqk0v4Xf5yHr2cLbP8sUe7gMa3dKiBxTqRjw="},
    {"alg": "RS256", "kid": "Qd6uYv9mC2hRk8pLs3xTn7bGw5eJf1aZo4iVcMtXyB0="},
]
COGNITO: Final = {
    "sub": "93b4a8f2-10c1-7042-9e5d-8a6f1c2b3d4e",
    "cognito:groups": ["eu-central-1_Ab12Cd34E_Google", "driver"],
    "email_verified": True,
    "iss": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab12Cd34E",
    "cognito:username": "dan",
    "origin_jti": "5a1e7c1c-62f9-4d7b-8f0e-3c2b1a09d8e7",
    "aud": "4h57k8v2m1q9example",
    "event_id": "f3b0c442-98fc-4c14-9afb-f4c8996fb924",
    "token_use": "id",
    "auth_time": NOW - 60,
    "exp": NOW + 3540,
    "iat": NOW - 60,
    "jti": "0f2d6b8a-4c3e-4b1d-9a7f-6e5d4c3b2a19",
    "email": "dan@rides.example",
}
KEYCLOAK_KEYS: Final = [
    {"alg": "RSA-OAEP", "use": "enc", "kid": "Zt5rXw8yQe2uIo7pAs3dFg", **CERTIFICATE},
    {"alg": "RS256", "kid": "FJ86GcF3jTbNLOco4NvZkUCIUmfYCqoqtOQeMfbhNlE", **CERTIFICATE},
]
KEYCLOAK: Final = {
    "exp": NOW + 1_740,
    "iat": NOW - 60,
    "auth_time": NOW - 60,
    "jti": "onrtac:7d3c9e52-1f4b-4a86-b0d7-2e5f8c9a1b34",
    "iss": "https://id.rides.example/realms/rides",
    "aud": ["ridewire", "account"],
    "sub": "5d0c8f7e-3b2a-4916-8e7d-1c0b9a8f7e6d",
    "typ": "Bearer",
    "azp": "driver-app",
    "sid": "b8a7c6d5-e4f3-4210-9f8e-7d6c5b4a3921",
    "acr": "1",
    "allowed-origins": ["https://app.rides.example"],
    "realm_access": {"roles": ["default-roles-rides", "offline_access", "agent"]},
    "resource_access": {
        "ridewire": {"roles": ["uma_protection", "driver"]},
        "account": {"roles": ["manage-account"]},
    },
    "scope": "openid profile",
    "preferred_username": "ann",
}

Layout = list[dict[str, Any]]


def lines(name: str) -> dict[str, str]:
    """The variables of one of the document's blocks."""
    words = shlex.split(PAGE.code_named(name))
    return dict(word.split("=", 1) for word in words if word != "export")


def signed(
    layout: Layout, claims: Mapping[str, Any], key: rsa.RSAPrivateKey = KEY, kid: str | None = None
) -> str:
    """A token that the last key of the set has signed."""
    headers = {"kid": kid or layout[-1]["kid"], "typ": "JWT"}
    return jwt.encode(dict(claims), key, "RS256", headers)


async def fetched(layout: Layout, environ: Mapping[str, str]) -> Tokens:
    """A server's check with these settings, but for the host that its keys are fetched from."""
    keys = key_set(*({**jwk(OTHER_KEY), **entry} for entry in layout[:-1]), jwk(KEY, **layout[-1]))
    async with Provider.open() as provider:
        provider.answer = lambda: web.Response(body=keys, content_type="application/json")
        rules = Settings.from_environment({**environ, "JWT_JWKS_URL": provider.url}).token_rules()
        tokens = Tokens(rules, now)
        await ProviderKeys(provider.url, tokens.take, Counts(int)).fetch()
    return tokens


PROVIDERS: Final[dict[str, tuple[Layout, dict[str, Any], Role]]] = {
    "firebase": (FIREBASE_KEYS, FIREBASE, Role.DRIVER),
    "auth0": (AUTH0_KEYS, AUTH0, Role.RIDER),
    "cognito": (COGNITO_KEYS, COGNITO, Role.DRIVER),
    "keycloak": (KEYCLOAK_KEYS, KEYCLOAK, Role.AGENT),
}


@pytest.mark.parametrize("name", PROVIDERS)
async def test_a_token_of_the_provider_lets_its_user_in(name: str) -> None:
    layout, claims, role = PROVIDERS[name]
    tokens = await fetched(layout, lines(name))
    identity = tokens.verify(signed(layout, claims))
    assert (identity.user_id, identity.role) == (claims["sub"], role)
    assert (identity.issued_at, identity.expires_at) == (
        claims["iat"] * 1000,
        claims["exp"] * 1000,
    )
    assert identity.token_id == claims.get("jti")


@pytest.mark.parametrize("name", PROVIDERS)
async def test_tokens_for_others_and_by_others_are_refused(name: str) -> None:
    layout, claims, _ = PROVIDERS[name]
    tokens = await fetched(layout, lines(name))
    path = lines(name).get("JWT_ROLE_CLAIM", "role")
    nobody = {claim: claims[claim] for claim in claims if not f"{path}.".startswith(f"{claim}.")}
    for reason, token in {
        "audience": signed(layout, claims | {"aud": "somebody-else"}),
        "issuer": signed(layout, claims | {"iss": "https://somebody-else.example"}),
        "claims": signed(layout, nobody),
        "signature": signed(layout, claims, OTHER_KEY),
        "unknown_key": signed(layout, claims, kid="another"),
    }.items():
        with pytest.raises(Unauthorized) as refused:
            tokens.verify(token)
        assert refused.value.reason == reason


@pytest.mark.parametrize("name", PROVIDERS)
def test_the_lines_are_good_in_production(name: str) -> None:
    environ = {"RIDEWIRE_ENV": "production", **STORES, **lines(name)}
    rules = Settings.from_environment(environ).token_rules()
    assert rules.key_set_url == lines(name)["JWT_JWKS_URL"]
    assert (rules.issuer, rules.audiences) == (environ["JWT_ISSUER"], (environ["JWT_AUDIENCE"],))


def test_there_is_no_provider_without_a_test() -> None:
    assert [code.name for code in PAGE.code()] == [*PROVIDERS]


async def test_cognitos_access_tokens_are_taken_without_an_audience() -> None:
    environ = lines("cognito")
    del environ["JWT_AUDIENCE"]
    tokens = await fetched(COGNITO_KEYS, environ)
    access = {name: value for name, value in COGNITO.items() if name not in ("aud", "email")}
    access |= {"token_use": "access", "client_id": "4h57k8v2m1q9example", "username": "dan"}
    assert tokens.verify(signed(COGNITO_KEYS, access)).role is Role.DRIVER
    with pytest.raises(Unauthorized):
        tokens.verify(signed(COGNITO_KEYS, COGNITO))


async def test_keycloaks_roles_may_be_those_of_a_client() -> None:
    environ = lines("keycloak") | {"JWT_ROLE_CLAIM": "resource_access.ridewire.roles"}
    assert environ["JWT_ROLE_CLAIM"] in PAGE.section("Keycloak")
    tokens = await fetched(KEYCLOAK_KEYS, environ)
    assert tokens.verify(signed(KEYCLOAK_KEYS, KEYCLOAK)).role is Role.DRIVER


@pytest.mark.parametrize("name", PROVIDERS)
async def test_own_tokens_are_taken_besides(name: str) -> None:
    layout, claims, role = PROVIDERS[name]
    secret = {"JWT_SECRET": "a secret of the back end, and long enough"}
    tokens = await fetched(layout, lines(name) | secret)
    own = tokens.mint(Role.SERVICE, "backend", ttl_s=60)
    assert tokens.verify(own).role is Role.SERVICE
    assert tokens.verify(signed(layout, claims)).role is role


def test_the_numbers_are_those_of_the_code() -> None:
    text = " ".join(PAGE.section("Keys").split())
    pace = Pace()
    for told in (
        f"every {pace.renew_every / 60:g} minutes",
        f"up to {pace.wait:g} s",
        f"with {pace.pause:g} s between two",
        f"within {pace.fetch_within:g} s",
        f"more than {MAX_BODY // 1024} KiB or {MAX_KEYS} keys",
        f"tries again every {pace.pause:g} s",
        f"below {MIN_RSA_BITS} bits",
    ):
        assert told in text, told
