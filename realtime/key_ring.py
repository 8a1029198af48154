"""The keys that check tokens: what each of them may check, and which one a token means."""

from collections.abc import Iterable, Sequence

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from msgspec import Struct

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey
Key = bytes | PublicKey
"""Bytes are a secret, for HMAC."""


class TokenKey(Struct, frozen=True):
    """A key, and what it may be used for."""

    key: Key
    algorithms: tuple[str, ...]
    """Those that it is made for, the usual one first."""
    kid: str = ""
    """Its name in the headers of tokens; empty for a key that has none."""

    def checks(self, allowed: Sequence[str]) -> Sequence[str]:
        """What it is used for where these are allowed; where none is named, its usual one."""
        return [name for name in allowed if name in self.algorithms] or (
            () if allowed else self.algorithms[:1]
        )


class KeyRing:
    """Keys by the algorithm and the name that a token's header has.

    A key is only ever found under the algorithms that it is used for, so what a header asks for
    cannot turn a public key into a secret.
    """

    def __init__(self, keys: Iterable[TokenKey], allowed: Sequence[str]) -> None:
        """`allowed` are the only algorithms to be used; empty for the usual one of each key."""
        self.names: set[str] = set()
        """The names of the keys that have one."""
        self._all: dict[str, list[Key]] = {}
        self._nameless: dict[str, list[Key]] = {}
        self._named: dict[tuple[str, str], list[Key]] = {}
        for key in keys:
            for algorithm in key.checks(allowed):
                self._add(key, algorithm)

    @property
    def algorithms(self) -> Sequence[str]:
        """Those that there is a key for."""
        return [*self._all]

    def find(self, algorithm: str, kid: str) -> Sequence[Key]:
        """The keys that may have signed a token with this header.

        A name that no key has tells nothing of those without one, which may be called so elsewhere.
        """
        if not kid:
            return self._all.get(algorithm, ())
        named = self._named.get((algorithm, kid))
        return self._nameless.get(algorithm, ()) if named is None else named

    def _add(self, key: TokenKey, algorithm: str) -> None:
        self._all.setdefault(algorithm, []).append(key.key)
        if key.kid:
            self.names.add(key.kid)
            self._named.setdefault((algorithm, key.kid), []).append(key.key)
        else:
            self._nameless.setdefault(algorithm, []).append(key.key)
