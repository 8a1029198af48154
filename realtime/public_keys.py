"""Public keys as they are written down: PEM, JWK (RFC 7517, 7518 and 8037) and sets of JWKs."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import InvalidKeyError
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from msgspec import UNSET, Meta, Raw, Struct

from realtime.key_ring import PublicKey, TokenKey

MAX_KEYS: Final = 100
"""In a set. Providers have two or three."""
MAX_KID: Final = 256
"""Characters of a key's name."""
MIN_RSA_BITS: Final = 2048

_RSA_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVE_ALGORITHMS: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}

_READERS: Final[Mapping[str, Callable[[dict[str, Any]], object]]] = {
    "RSA": RSAAlgorithm.from_jwk,
    "EC": ECAlgorithm.from_jwk,
    "OKP": OKPAlgorithm.from_jwk,
}

ALGORITHMS: Final = (*_RSA_ALGORITHMS, *_CURVE_ALGORITHMS.values(), "EdDSA")
"""All that a public key can check."""


class _Set(Struct, frozen=True):
    keys: Annotated[list[Raw], Meta(max_length=MAX_KEYS)]


class _Jwk(Struct, frozen=True):
    """What counts of a JWK. Other members are ignored, certificates (`x5c`) as well."""

    kty: str
    kid: Annotated[str, Meta(max_length=MAX_KID)] = ""
    use: str = "sig"
    key_ops: tuple[str, ...] = ("verify",)
    alg: str | None = None
    crv: str = ""
    n: str = ""
    e: str = ""
    x: str = ""
    y: str = ""
    d: object = UNSET

    @property
    def is_for_signatures(self) -> bool:
        return self.use == "sig" and "verify" in self.key_ops


def load(text: str) -> TokenKey | None:
    """Read one key, in PEM or as a JWK; None for a JWK that is not for checking signatures.

    `ValueError` says in plain words what is wrong with it: that it "has 1024 bits, …".
    """
    if text.startswith("{"):
        return _load_jwk(text)
    key = load_pem(text)
    return TokenKey(key, algorithms_of(key))


def load_pem(pem: str) -> PublicKey:
    """Read one key in PEM. `ValueError` as for `load`."""
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("cannot be read as a public key") from None
    return _checked(key)


def members(key_set: str | bytes) -> list[str]:
    """The JWKs of a set, one text each. `ValueError` says what is wrong with the set as a whole."""
    try:
        return [bytes(member).decode() for member in msgspec.json.decode(key_set, type=_Set).keys]
    except (ValueError, RecursionError):
        raise ValueError(f'is no JWK Set: {{"keys": […]}}, up to {MAX_KEYS} of them') from None


def algorithms_of(key: PublicKey) -> tuple[str, ...]:
    """Return what a key of this kind can check, the usual one first."""
    if isinstance(key, RSAPublicKey):
        return _RSA_ALGORITHMS
    if isinstance(key, EllipticCurvePublicKey):
        return (_CURVE_ALGORITHMS[key.curve.name],)
    return ("EdDSA",)


def _load_jwk(text: str) -> TokenKey | None:
    try:
        jwk = msgspec.json.decode(text, type=_Jwk)
    except (ValueError, RecursionError):
        raise ValueError("is no JWK") from None
    if not jwk.is_for_signatures:
        return None
    if jwk.kty == "oct":
        raise ValueError("is a secret, which belongs into JWT_SECRET")
    if jwk.d is not UNSET:
        raise ValueError("is a private key, which belongs to nobody but the one who signs")
    key = _public_key(jwk)
    return TokenKey(key, _pinned(jwk, algorithms_of(key)), jwk.kid)


def _pinned(jwk: _Jwk, fitting: tuple[str, ...]) -> tuple[str, ...]:
    """What the JWK itself says that it is for, if it says so."""
    if jwk.alg is None:
        return fitting
    if jwk.alg not in fitting:
        raise ValueError(f"is for {jwk.alg[:32]!r}, and its kind is for {', '.join(fitting)}")
    return (jwk.alg,)


def _public_key(jwk: _Jwk) -> PublicKey:
    read = _READERS.get(jwk.kty)
    if read is None:
        raise ValueError(f"is of the kind {jwk.kty[:32]!r}, not of {', '.join(_READERS)}")
    try:
        key = read(msgspec.to_builtins(jwk))
    except (InvalidKeyError, ValueError, UnsupportedAlgorithm):
        raise ValueError("cannot be read as a public key") from None
    return _checked(key)


def _checked(key: object) -> PublicKey:
    """Refuse what checks no tokens, or not safely."""
    match key:
        case RSAPublicKey() if key.key_size < MIN_RSA_BITS:
            raise ValueError(f"has {key.key_size} bits, and RSA needs {MIN_RSA_BITS}")
        case EllipticCurvePublicKey() if key.curve.name not in _CURVE_ALGORITHMS:
            raise ValueError(f"is on {key.curve.name}, not on {', '.join(_CURVE_ALGORITHMS)}")
        case RSAPublicKey() | EllipticCurvePublicKey() | Ed25519PublicKey() | Ed448PublicKey():
            return key
        case _:
            raise ValueError("is of a kind that signs no tokens")
