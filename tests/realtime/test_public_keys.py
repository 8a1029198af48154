"""Public keys as text: which are read, for which algorithms, and what is said of the others."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from realtime.public_keys import MAX_KEYS, load, members
from tests.provider import PrivateKey, jwk, key_set, p256

EC_KEY = p256()
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PRIVATE_KEYS: dict[str, PrivateKey] = {
    "RS256": RSA_KEY,
    "ES256": EC_KEY,
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def loaded(key: PrivateKey, **changed: object) -> Any:
    return load(json.dumps(jwk(key, **{"kid": "k1"} | changed)))


def complaint(**jwk: object) -> str:
    with pytest.raises(ValueError, match=r".") as refused:
        load(json.dumps(jwk))
    return str(refused.value)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_a_jwk_is_the_key_that_it_describes(algorithm: str) -> None:
    private = PRIVATE_KEYS[algorithm]
    key = loaded(private)
    assert (key.key, key.kid) == (private.public_key(), "k1")
    assert key.algorithms[0] == algorithm
    public = private.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    in_pem = load(pem.decode())
    assert in_pem is not None
    assert (in_pem.key, in_pem.algorithms, in_pem.kid) == (key.key, key.algorithms, "")


def test_the_algorithm_of_a_jwk_is_the_only_one_of_its_key() -> None:
    assert loaded(RSA_KEY, alg="PS384").algorithms == ("PS384",)
    assert len(loaded(RSA_KEY).algorithms) == 6


@pytest.mark.parametrize(
    "what", [{"use": "enc"}, {"key_ops": ["sign"]}, {"use": "enc", "alg": "RSA-OAEP"}, {"use": ""}]
)
def test_a_jwk_for_something_else_is_no_key_here(what: dict[str, object]) -> None:
    assert loaded(RSA_KEY, **what) is None


def test_a_jwk_needs_no_more_than_its_key() -> None:
    key = loaded(EC_KEY, use=..., kid=...)
    assert (key.key, key.algorithms, key.kid) == (EC_KEY.public_key(), ("ES256",), "")
    assert loaded(EC_KEY, key_ops=["verify"], x5c=["not looked at"]).kid == "k1"


@pytest.mark.parametrize("algorithm", ["HS256", "none", "ES256", "RSA-OAEP", ""])
def test_a_jwk_for_an_algorithm_that_is_not_its_kinds_is_refused(algorithm: str) -> None:
    assert repr(algorithm) in complaint(**jwk(RSA_KEY, alg=algorithm))


def test_a_curve_has_one_algorithm() -> None:
    assert "'ES384'" in complaint(**jwk(EC_KEY, alg="ES384"))


def test_a_secret_or_private_key_that_is_published_is_refused() -> None:
    assert "a secret" in complaint(kty="oct", k="c2VjcmV0", kid="k1", alg="HS256")
    assert "a private key" in complaint(**jwk(EC_KEY, d="c2VjcmV0"))


def test_a_jwk_that_cannot_check_tokens_is_refused() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
    assert "1024 bits" in complaint(**jwk(weak))
    assert "secp256k1" in complaint(**jwk(ec.generate_private_key(ec.SECP256K1())))
    assert "'DSA'" in complaint(kty="DSA")


@pytest.mark.parametrize(
    "changed",
    [
        {"x": ...},
        {"x": "AAAA"},
        {"x": "!"},
        {"crv": "P-384"},
        {"crv": "P-257"},
        {"y": "A" * 43},
        {"kty": "OKP"},
        {"kty": "RSA"},
    ],
)
def test_a_jwk_whose_numbers_are_no_key_is_refused(changed: dict[str, object]) -> None:
    assert "cannot be read" in complaint(**jwk(EC_KEY, **changed))
    edwards = jwk(ed25519.Ed25519PrivateKey.generate(), x="AAAA")
    assert "cannot be read" in complaint(**edwards)


@pytest.mark.parametrize("text", ['{"kty":1}', "{}", "{", '{"kty":"EC","kid":7}'])
def test_text_that_is_no_jwk_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no JWK"):
        load(text)


def test_a_key_may_not_have_an_endless_name() -> None:
    assert "no JWK" in complaint(**jwk(EC_KEY, kid="k" * 257))


def test_a_set_is_taken_apart() -> None:
    keys = [jwk(EC_KEY, kid="a"), jwk(RSA_KEY, kid="b")]
    assert [json.loads(member) for member in members(key_set(*keys))] == keys
    assert members(b'{"keys":[],"more":1}') == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"keys":{}}',
        '{"keys":[}',
        '{"keys":' + "[" * 5000,
        json.dumps({"keys": [{}] * (MAX_KEYS + 1)}),
    ],
)
def test_what_is_no_set_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no JWK Set"):
        members(text)
