"""Tokens: whether a JWT is genuine, and the identity that it gives."""

import re
import warnings
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Final, cast

import msgspec
from jwt import InvalidKeyError, InvalidTokenError, PyJWS
from jwt.algorithms import HMACAlgorithm
from jwt.warnings import InsecureKeyLengthWarning
from msgspec import UNSET, Meta, Struct

from models.errors import TokenExpired, Unauthorized
from models.fields import Id, Millis, new_id
from models.identity import Identity, Role
from realtime import public_keys
from realtime.key_ring import KeyRing, TokenKey

MAX_LENGTH = 8 * 1024
"""Characters of the longest token that is looked at."""

LEEWAY_MS = 30_000
"""How far the issuer's clock may be ahead in `nbf` and `iat`. `exp` has no leeway."""

SECRET_ALGORITHMS = ("HS256", "HS384", "HS512")
"""What a secret can sign, the usual one first."""

ALGORITHMS = (*SECRET_ALGORITHMS, *public_keys.ALGORITHMS)
"""All that may be allowed. `none` is not among them."""

_JWS = PyJWS(algorithms=ALGORITHMS)

# Short secrets are refused in production by the settings; elsewhere they are the user's choice.
warnings.filterwarnings("ignore", category=InsecureKeyLengthWarning)


class Secret(str):
    """Text that does not show itself in a repr, so neither in a log nor in a failed assertion."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class TokenRules(Struct, frozen=True):
    """Which tokens are taken."""

    secrets: tuple[Secret, ...] = ()
    """The first one signs, all of them check."""
    public_keys: tuple[str, ...] = ()
    """PEM or JWK, one key each."""
    key_set_url: str | None = None
    """Where an identity provider publishes the keys that it signs with, a JWK Set."""
    algorithms: tuple[str, ...] = ()
    """The only ones allowed; empty means the usual one of each key."""
    audiences: tuple[str, ...] = ()
    """The token has to be for one of them. Empty: only tokens without `aud` are taken."""
    issuer: str | None = None
    role_claim: str = "role"
    """A claim's exact name, or else the path to a nested one (`realm_access.roles`)."""

    @property
    def has_keys(self) -> bool:
        """Whether there is anything to check tokens with."""
        return bool(self.secrets or self.public_keys or self.key_set_url)


def load_secret(secret: Secret) -> bytes:
    """Return what an HMAC is made with. `ValueError` says in plain words what is wrong with it."""
    try:
        return HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except InvalidKeyError:
        raise ValueError("is empty, or a public key or JWK instead of a secret") from None


class NoSigningKey(Exception):
    """There is no secret to sign a token with: public keys only check."""


class UnknownKey(Unauthorized):
    """The token may be signed with a key of the identity provider's that is not known here yet."""

    def __init__(self) -> None:
        super().__init__("the token's signature is not by a key that is known here", "unknown_key")


class Tokens:
    """Checks tokens, and mints them with the first secret.

    Each key is tried only with the allowed algorithms that are made for it, whatever a token's
    header asks for; `none` is made for no key. A header's `kid` chooses among the keys that are
    known here, and brings no others: `jwk`, `jku`, `x5c` and `x5u` are not looked at.
    """

    def __init__(self, rules: TokenRules, clock: Callable[[], int]) -> None:
        """Prepare the keys. `clock` tells the time in ms since the epoch.

        `ValueError` when there is no key at all, or one that cannot be used.
        """
        self._rules = rules
        self._clock = clock
        self._own = _own_keys(rules)
        self._published = _published_algorithms(rules)
        self._ring = KeyRing(self._own, rules.algorithms)
        if not self._ring.algorithms and not self._published:
            raise ValueError("no key to check tokens with")

    def take(self, published: Iterable[TokenKey]) -> None:
        """Check with these keys of the identity provider, and no more with those before them."""
        self._ring = KeyRing([*self._own, *published], self._rules.algorithms)

    @property
    def has_keys(self) -> bool:
        """Whether any token can be taken: the identity provider's keys may be all there are."""
        return bool(self._ring.algorithms)

    def verify(self, token: str) -> Identity:
        """Return who holds this token. `Unauthorized` or `TokenExpired` say why it is refused.

        It is `UnknownKey` where the identity provider may have published the key meanwhile.
        """
        payload = self._opened(token)
        role = _role(_claim(payload, self._rules.role_claim))
        claims = _typed(payload, _ViewerClaims if role is Role.VIEWER else _Claims)
        self._check_times(claims)
        self._check_addressee(claims)
        return Identity(
            user_id=claims.sub,
            role=role,
            expires_at=_millis(claims.exp),
            issued_at=None if claims.iat is None else _millis(claims.iat),
            token_id=claims.jti,
            trips=claims.trips if isinstance(claims, _ViewerClaims) else frozenset(),
        )

    @property
    def can_mint(self) -> bool:
        return self._signing_algorithm() is not None

    def mint(
        self,
        role: Role,
        user_id: Id,
        *,
        ttl_s: int,
        trips: Sequence[Id] = (),
        token_id: Id | None = None,
    ) -> str:
        """Sign a token that `verify` takes for the next `ttl_s` seconds.

        `NoSigningKey` without a secret; `ValueError` for what `verify` would refuse.
        """
        name = self._signing_algorithm()
        if name is None:
            raise NoSigningKey("a token can only be signed with a secret: set JWT_SECRET")
        token = self._signed(name, self._minted(role, user_id, ttl_s, trips, token_id))
        try:
            self.verify(token)
        except Unauthorized as refused:
            raise ValueError(refused.message) from None
        return token

    def _opened(self, token: str) -> dict[str, Any]:
        """Return the payload of a token that one of the keys has signed."""
        if len(token) > MAX_LENGTH:
            raise Unauthorized(f"the token is longer than {MAX_LENGTH} characters", "malformed")
        try:
            signed, _, signature = token.encode().rpartition(b".")
            head, _, payload = signed.partition(b".")
            self._check_signature(_HEADER.decode(_from_base64(head)), signed, signature)
            return _PAYLOAD.decode(_from_base64(payload))
        except (InvalidTokenError, ValueError, RecursionError):
            # The cause holds parts of the token, which have no place in a traceback.
            raise Unauthorized("the token is malformed", "malformed") from None

    def _check_signature(self, header: "_Header", signed: bytes, signature: bytes) -> None:
        """Check that one of the keys has signed this."""
        if header.crit is not UNSET or header.b64 is False:
            raise Unauthorized(
                "the token's header has critical extensions, none is known here", "malformed"
            )
        name, kid, ring = str(header.alg), header.kid, self._ring
        keys = ring.find(name, kid)
        if not keys and name not in self._published and name not in ring.algorithms:
            allowed = ", ".join(dict.fromkeys((*ring.algorithms, *self._published)))
            raise Unauthorized(
                f"the token's algorithm is not allowed here, only {allowed}", "algorithm"
            )
        verify = _JWS.get_algorithm_by_name(name).verify
        bits = _from_base64(signature)
        if any(verify(signed, key, bits) for key in keys):
            return
        if name in self._published and kid not in ring.names:
            raise UnknownKey
        raise Unauthorized("the token's signature is not by a key that is known here", "signature")

    def _check_times(self, claims: "_Claims") -> None:
        now = self._clock()
        if now >= _millis(claims.exp):
            raise TokenExpired("the token has expired")
        for name, start in (("nbf", claims.nbf), ("iat", claims.iat)):
            if start is not None and _millis(start) > now + LEEWAY_MS:
                raise Unauthorized(
                    f'the token is not valid yet: its "{name}" is in the future', "not_yet_valid"
                )

    def _check_addressee(self, claims: "_Claims") -> None:
        """Check `aud` and `iss`.

        A token for somebody else is refused even if no audience is set here (RFC 7519, 4.1.3):
        the same key may sign for other services.
        """
        rules = self._rules
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        if audiences is not None and not set(audiences) & set(rules.audiences):
            raise Unauthorized(
                'the token\'s "aud" is not for this server (its JWT_AUDIENCE)', "audience"
            )
        if audiences is None and rules.audiences:
            raise Unauthorized('the token needs an "aud"', "audience")
        if rules.issuer is not None and claims.iss != rules.issuer:
            raise Unauthorized(
                'the token\'s "iss" is not the issuer that this server trusts', "issuer"
            )

    def _signing_algorithm(self) -> str | None:
        return next((name for name in self._ring.algorithms if name in SECRET_ALGORITHMS), None)

    def _minted(
        self, role: Role, user_id: Id, ttl_s: int, trips: Sequence[Id], token_id: Id | None
    ) -> dict[str, Any]:
        now = self._clock()
        rules = self._rules
        claims = {
            "sub": user_id,
            rules.role_claim: role,
            "iat": now // 1000,
            # Rounded up: what lives for a second is not over within a millisecond.
            "exp": -(-now // 1000) + ttl_s,
            "jti": token_id or new_id(now),
            "aud": next(iter(rules.audiences), None),
            "iss": rules.issuer,
            "trips": list(trips) or None,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def _signed(self, name: str, claims: dict[str, Any]) -> str:
        key = cast("bytes", self._ring.find(name, "")[0])  # secrets alone have these algorithms
        return _JWS.encode(msgspec.json.encode(claims), key, algorithm=name)


def _own_keys(rules: TokenRules) -> list[TokenKey]:
    """The keys that the settings have."""
    secrets = [TokenKey(load_secret(secret), SECRET_ALGORITHMS) for secret in rules.secrets]
    loaded = map(public_keys.load, rules.public_keys)
    return [*secrets, *(key for key in loaded if key is not None)]


def _published_algorithms(rules: TokenRules) -> Sequence[str]:
    """What keys of the identity provider may be used for. A published secret would be none."""
    if rules.key_set_url is None:
        return ()
    allowed = rules.algorithms or public_keys.ALGORITHMS
    return [name for name in allowed if name in public_keys.ALGORITHMS]


# Up to the end of the year 9999: a time in milliseconds by mistake is far beyond.
_Seconds = Annotated[float, Meta(ge=0, le=253_402_300_799)]


class _Header(Struct, frozen=True):
    """What counts of it. Members that are unknown here are ignored, unless they are critical."""

    alg: object = None
    kid: str = ""
    crit: object = UNSET
    b64: object = True


class _Claims(Struct, frozen=True, kw_only=True):
    sub: Id
    exp: _Seconds
    iat: _Seconds | None = None
    nbf: _Seconds | None = None
    jti: Id | None = None
    aud: str | list[str] | None = None
    iss: str | None = None


class _ViewerClaims(_Claims, frozen=True, kw_only=True):
    trips: Annotated[frozenset[Id], Meta(min_length=1, max_length=100)]


_HEADER = msgspec.json.Decoder(_Header)
_PAYLOAD = msgspec.json.Decoder(dict[str, Any])

_ROLES: Final = {role.value: role for role in Role}
_AN_ID = "an id of 1-128 printable characters without spaces"
_A_TIME = "in seconds since the epoch, not milliseconds"
_EXPECTED = {
    "sub": _AN_ID,
    "exp": _A_TIME,
    "iat": _A_TIME,
    "nbf": _A_TIME,
    "jti": _AN_ID,
    "aud": "a string or a list of strings",
    "iss": "a string",
    "trips": "a list of 1-100 trip ids",
}
_TO_BASE64: Final = bytes.maketrans(b"-_+/", b"+/  ")
"""From base64url, which has no `+` and `/`: they become spaces, which are digits of neither."""
_CLAIM_IN_ERROR = re.compile(r"(?:\$\.|field `)(\w+)")


def _typed(payload: dict[str, Any], kind: type[_Claims]) -> _Claims:
    try:
        return msgspec.convert(payload, kind)
    except msgspec.ValidationError as error:
        names = _CLAIM_IN_ERROR.findall(str(error))
        wrong = [f'"{name}" has to be {_EXPECTED[name]}' for name in names]
        told = f"the token's {''.join(wrong) or 'claims are wrong'}"
        raise Unauthorized(told, "claims") from None


def _from_base64(segment: bytes) -> bytes:
    """What a part of a token says (RFC 7515, section 2). Raises ValueError.

    There is one way to write it; that some issuers leave the padding on does no harm.
    """
    bare = segment.rstrip(b"=")
    padded = bare + b"=" * (-len(bare) % 4)
    digits = padded.translate(_TO_BASE64)
    decoded = a2b_base64(digits)
    # What is no digit is skipped by the decoder, and so are bits that are left over.
    if segment not in (bare, padded) or b2a_base64(decoded, newline=False) != digits:
        raise ValueError("no base64url")
    return decoded


def _claim(claims: object, path: str) -> object:
    """Return the claim of exactly this name, or else the one at this path, or else None.

    Names within a path may have dots themselves (`https://rides.example/claims.role`).
    """
    if not isinstance(claims, dict):
        return None
    if path in claims:
        return claims[path]
    inner = (
        _claim(value, path.removeprefix(f"{name}."))
        for name, value in claims.items()
        if path.startswith(f"{name}.")
    )
    return next((found for found in inner if found is not None), None)


def _role(claim: object) -> Role:
    """Take a role, or a list with one known role among those of other systems."""
    names = claim if isinstance(claim, list) else [claim]
    roles = {_ROLES[name] for name in names if isinstance(name, str) and name in _ROLES}
    if len(roles) != 1:
        raise Unauthorized(f"the token needs one role of {', '.join(Role)}", "claims")
    return roles.pop()


def _millis(seconds: float) -> Millis:
    return round(seconds * 1000)
