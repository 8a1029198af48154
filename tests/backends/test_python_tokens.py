"""Tokens that the Python client signs are taken by the server, and say what they should."""

import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from ridewire import tokens

from models.errors import TokenExpired, Unauthorized
from models.identity import Identity, Role
from realtime.tokens import Secret, TokenRules, Tokens
from tests.conftest import now
from tests.servers import SECRET


def verified(token: str, **rules: Any) -> Identity:
    return Tokens(TokenRules(**{"secrets": (Secret(SECRET),), **rules}), now).verify(token)


@pytest.mark.parametrize("role", ["driver", "rider", "agent", "service"])
def test_a_token_says_who_and_for_how_long(role: Any) -> None:
    identity = verified(tokens.mint(SECRET, role=role, user_id="rita", ttl_s=600))
    assert (identity.user_id, identity.role) == ("rita", Role(role))
    assert identity.issued_at is not None
    assert identity.expires_at - identity.issued_at == 600_000
    assert identity.issued_at <= now()


def test_a_viewers_token_names_its_trips() -> None:
    token = tokens.mint(SECRET, role="viewer", user_id="mum", trips=["T1", "T2"])
    assert verified(token).trips == {"T1", "T2"}


@pytest.mark.parametrize(("role", "trips"), [("viewer", []), ("rider", ["T1"])])
def test_trips_are_for_viewers_and_needed_by_them(role: Any, trips: list[str]) -> None:
    with pytest.raises(ValueError, match="viewers"):
        tokens.mint(SECRET, role=role, user_id="rita", trips=trips)


def test_a_token_has_the_id_by_which_it_can_be_revoked() -> None:
    given = tokens.mint(SECRET, role="rider", user_id="rita", token_id="login-7")
    assert verified(given).token_id == "login-7"
    made = [verified(tokens.mint(SECRET, role="rider", user_id="rita")) for _ in range(2)]
    assert made[0].token_id != made[1].token_id


def test_the_first_of_several_secrets_signs() -> None:
    token = tokens.mint(
        f" {SECRET} , the-one-before-it-of-32-bytes-or-so", role="rider", user_id="r"
    )
    assert verified(token).user_id == "r"


@pytest.mark.parametrize("secret", ["", " ", ",another"])
def test_an_empty_secret_signs_nothing(secret: str) -> None:
    with pytest.raises(ValueError, match="empty"):
        tokens.mint(secret, role="rider", user_id="rita")


def test_a_server_with_an_audience_an_issuer_and_a_claim_of_its_own_takes_it() -> None:
    token = tokens.mint(
        SECRET, role="rider", user_id="r", audience="rides", issuer="idp", role_claim="kind"
    )
    rules = {"audiences": ("rides",), "issuer": "idp", "role_claim": "kind"}
    assert verified(token, **rules).role is Role.RIDER
    with pytest.raises(Unauthorized):
        verified(token)


def test_a_private_key_signs_as_well() -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    token = tokens.mint(pem, role="rider", user_id="rita", algorithm="ES256")
    assert verified(token, secrets=(), public_keys=(public.decode(),)).user_id == "rita"


def test_a_minter_makes_another_short_lived_service_token_each_time() -> None:
    mint = tokens.minter(SECRET)
    first, second = mint(), mint()
    assert first != second
    claims = jwt.decode(first, SECRET, algorithms=["HS256"])
    assert (claims["role"], claims["sub"]) == ("service", "backend")
    assert claims["exp"] <= time.time() + 300


def test_a_token_of_a_time_that_is_over_is_expired() -> None:
    with pytest.raises(TokenExpired):
        verified(tokens.mint(SECRET, role="rider", user_id="rita", ttl_s=-1))
