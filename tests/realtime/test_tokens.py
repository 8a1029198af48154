"""Tokens: which are taken, which are refused and why, and that minted ones are taken."""

import hashlib
import hmac
import json
import random
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from models.errors import TokenExpired, Unauthorized
from models.identity import Identity, Role
from realtime.public_keys import load, load_pem
from realtime.tokens import ALGORITHMS, NoSigningKey, Secret, TokenRules, Tokens, UnknownKey
from tests.provider import jwk

NOW_S = 1_700_000_000
NOW = NOW_S * 1000
SECRET = Secret("the secret that the company's backend signs its tokens with, long enough")
OLD_SECRET = Secret("the secret that it signed them with before, and just as long as that one")

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
P256_KEY = ec.generate_private_key(ec.SECP256R1())
PRIVATE_KEYS: dict[str, PrivateKey] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), RSA_KEY),
    "ES256": P256_KEY,
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def pem_of(key: PrivateKey | dsa.DSAPrivateKey) -> str:
    public = key.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


RULES = TokenRules(secrets=(SECRET,))


def checking(rules: TokenRules = RULES, now: int = NOW) -> Tokens:
    return Tokens(rules, lambda: now)


def claims(**changed: object) -> dict[str, Any]:
    """Return a driver's claims with some changed; `...` takes one away."""
    every = {"sub": "ada", "role": "driver", "exp": NOW_S + 60} | changed
    return {name: value for name, value in every.items() if value is not ...}


def signed(
    key: PrivateKey | str = SECRET,
    algorithm: str = "HS256",
    headers: dict[str, Any] | None = None,
    /,
    **changed: object,
) -> str:
    return jwt.encode(claims(**changed), key, algorithm, headers)


def segment(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def handmade(header: bytes, payload: bytes, key: bytes = SECRET.encode()) -> str:
    """Return a token of any bytes that is rightly signed with HS256."""
    message = f"{segment(header)}.{segment(payload)}"
    return f"{message}.{segment(hmac.digest(key, message.encode(), hashlib.sha256))}"


def secrets_made_of(key: rsa.RSAPrivateKey) -> list[bytes]:
    """What a forger has of a public key, each as the secret of an HMAC."""
    public, numbers = key.public_key(), key.public_key().public_numbers()
    pem = pem_of(key).encode()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    modulus = numbers.n.to_bytes(256)
    return [pem, pem.strip(), der, modulus, json.dumps(jwk(key)).encode(), b"a", b""]


def refusal(token: str, tokens: Tokens | None = None) -> str:
    with pytest.raises(Unauthorized) as refused:
        (tokens or checking()).verify(token)
    assert type(refused.value) is Unauthorized
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    return refused.value.message


HS256 = b'{"alg":"HS256","typ":"JWT"}'


class TestWhatIsTaken:
    def test_a_token_gives_its_identity(self) -> None:
        token = signed(jti="t-1", iat=NOW_S - 5, exp=NOW_S + 60)
        assert checking().verify(token) == Identity(
            user_id="ada",
            role=Role.DRIVER,
            expires_at=NOW + 60_000,
            issued_at=NOW - 5000,
            token_id="t-1",
        )

    def test_only_sub_role_and_exp_are_needed(self) -> None:
        identity = checking().verify(signed())
        assert (identity.issued_at, identity.token_id, identity.trips) == (None, None, frozenset())

    @pytest.mark.parametrize("role", Role)
    def test_every_role_is_known(self, role: Role) -> None:
        assert checking().verify(signed(role=role, trips=["trip-1"])).role is role

    @pytest.mark.parametrize("algorithm", [*PRIVATE_KEYS])
    def test_a_public_key_checks_what_its_private_key_signed(self, algorithm: str) -> None:
        key = PRIVATE_KEYS[algorithm]
        tokens = checking(TokenRules(public_keys=(pem_of(key),), algorithms=(algorithm,)))
        assert tokens.verify(signed(key, algorithm)).user_id == "ada"

    @pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
    def test_a_secret_checks_with_the_algorithms_that_are_allowed(self, algorithm: str) -> None:
        tokens = checking(TokenRules(secrets=(SECRET,), algorithms=(algorithm,)))
        assert tokens.verify(signed(SECRET, algorithm)).user_id == "ada"

    def test_the_test_covers_every_algorithm(self) -> None:
        assert {*PRIVATE_KEYS, "HS256", "HS384", "HS512"} == set(ALGORITHMS)

    def test_every_secret_and_every_public_key_checks(self) -> None:
        other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        keys = (RSA_KEY, other, P256_KEY)
        tokens = checking(
            TokenRules(secrets=(SECRET, OLD_SECRET), public_keys=tuple(pem_of(key) for key in keys))
        )
        for key, algorithm in (
            (SECRET, "HS256"),
            (OLD_SECRET, "HS256"),
            (RSA_KEY, "RS256"),
            (other, "RS256"),
            (P256_KEY, "ES256"),
        ):
            assert tokens.verify(signed(key, algorithm)).user_id == "ada"

    def test_a_secret_may_be_short_and_of_any_script(self) -> None:
        for secret in (Secret("s"), Secret("ключ 🔑")):
            tokens = checking(TokenRules(secrets=(secret,)))
            token = handmade(HS256, json.dumps(claims()).encode(), secret.encode())
            assert tokens.verify(token).user_id == "ada"

    def test_claims_that_mean_nothing_here_are_ignored(self) -> None:
        token = signed(scope=["a"], email=None, trips="not a list", iss="anybody")
        assert checking().verify(token).trips == frozenset()


class TestWhoSigned:
    def test_a_token_signed_with_another_secret_is_refused(self) -> None:
        assert "signature" in refusal(signed(OLD_SECRET))

    def test_a_token_signed_with_another_private_key_is_refused(self) -> None:
        other = ec.generate_private_key(ec.SECP256R1())
        tokens = checking(TokenRules(public_keys=(pem_of(P256_KEY),)))
        assert "signature" in refusal(signed(other, "ES256"), tokens)

    def test_a_changed_payload_is_refused(self) -> None:
        header, _, signature = signed().split(".")
        agent = segment(json.dumps(claims(role="agent")).encode())
        assert "signature" in refusal(f"{header}.{agent}.{signature}")

    def test_a_changed_header_is_refused(self) -> None:
        _, payload, signature = signed().split(".")
        header = segment(b'{"alg":"HS256","typ":"JWT" }')
        assert "signature" in refusal(f"{header}.{payload}.{signature}")

    def test_every_single_changed_character_is_refused(self) -> None:
        token = signed()
        for position, old in enumerate(token):
            for new in "Aw_.=":
                if new != old:
                    refusal(token[:position] + new + token[position + 1 :])

    def test_a_token_without_a_signature_is_refused(self) -> None:
        assert "signature" in refusal(signed().rpartition(".")[0] + ".")
        refusal(signed().rpartition(".")[0])

    @pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", ""])
    def test_the_algorithm_none_is_refused(self, name: str) -> None:
        header = segment(json.dumps({"alg": name}).encode())
        payload = segment(json.dumps(claims()).encode())
        for signature in ("", segment(b"x")):
            assert "algorithm" in refusal(f"{header}.{payload}.{signature}")

    @pytest.mark.parametrize("allowed", [(), ("RS256",), ("RS256", "PS256", "HS256")])
    def test_a_public_key_is_never_an_hmac_secret(self, allowed: tuple[str, ...]) -> None:
        pem = pem_of(RSA_KEY)
        tokens = checking(TokenRules(public_keys=(pem,), algorithms=allowed))
        for secret in (pem, pem.strip(), pem.replace("\n", "\\n")):
            forged = handmade(HS256, json.dumps(claims()).encode(), secret.encode())
            assert "algorithm" in refusal(forged, tokens)

    def test_nor_is_it_one_beside_a_secret(self) -> None:
        pem = pem_of(RSA_KEY)
        tokens = checking(
            TokenRules(secrets=(SECRET,), public_keys=(pem,), algorithms=("HS256", "RS256"))
        )
        forged = handmade(HS256, json.dumps(claims()).encode(), pem.encode())
        assert "signature" in refusal(forged, tokens)

    def test_a_public_key_is_refused_as_a_secret(self) -> None:
        for text in (pem_of(RSA_KEY), '{"kty":"oct","k":"c2VjcmV0"}', ""):
            with pytest.raises(ValueError, match="instead of a secret"):
                checking(TokenRules(secrets=(Secret(text),)))

    def test_an_algorithm_that_is_not_allowed_is_refused(self) -> None:
        assert "only HS256" in refusal(signed(SECRET, "HS512"))
        tokens = checking(TokenRules(public_keys=(pem_of(RSA_KEY),)))
        assert "only RS256" in refusal(signed(RSA_KEY, "PS256"), tokens)

    def test_a_token_cannot_bring_or_choose_its_key(self) -> None:
        mine = ed25519.Ed25519PrivateKey.generate()
        jwk = jwt.algorithms.OKPAlgorithm.to_jwk(mine.public_key(), as_dict=True)
        tokens = checking(TokenRules(public_keys=(pem_of(PRIVATE_KEYS["EdDSA"]),)))
        brought = {"jwk": jwk, "jku": "https://evil.example/jwks", "x5u": "https://evil.example"}
        assert "signature" in refusal(signed(mine, "EdDSA", brought), tokens)

    @pytest.mark.parametrize("kid", [0, None, ["a"], {}])
    def test_a_key_id_that_is_no_string_is_refused(self, kid: object) -> None:
        header = json.dumps({"alg": "HS256", "kid": kid}).encode()
        assert "malformed" in refusal(handmade(header, json.dumps(claims()).encode()))

    @pytest.mark.parametrize("kid", ["../../../dev/null", "' OR 1=1 --", ""])
    def test_a_key_id_changes_nothing(self, kid: object) -> None:
        payload = json.dumps(claims()).encode()
        header = json.dumps({"alg": "HS256", "kid": kid}).encode()
        assert checking().verify(handmade(header, payload)).user_id == "ada"
        assert "signature" in refusal(handmade(header, payload, b""))

    def test_a_key_id_chooses_among_the_keys_that_have_one(self) -> None:
        other = ec.generate_private_key(ec.SECP256R1())
        keys = [json.dumps(jwk(key, kid=kid)) for key, kid in ((P256_KEY, "a"), (other, "b"))]
        tokens = checking(TokenRules(public_keys=tuple(keys)))
        assert tokens.verify(signed(other, "ES256", {"kid": "b"})).user_id == "ada"
        assert tokens.verify(signed(other, "ES256")).user_id == "ada"
        for kid in ("a", "c"):
            assert "signature" in refusal(signed(other, "ES256", {"kid": kid}), tokens)

    def test_a_key_is_used_for_its_own_algorithm_whatever_else_is_allowed(self) -> None:
        key = json.dumps(jwk(RSA_KEY, kid="a", alg="RS256"))
        tokens = checking(
            TokenRules(secrets=(SECRET,), public_keys=(key,), algorithms=("PS256", *ALGORITHMS))
        )
        assert tokens.verify(signed(RSA_KEY, "RS256", {"kid": "a"})).user_id == "ada"
        for kid in ("a", ""):
            refusal(signed(RSA_KEY, "PS256", {"kid": kid}), tokens)
            for secret in secrets_made_of(RSA_KEY):
                header = json.dumps({"alg": "HS256", "kid": kid}).encode()
                forged = handmade(header, json.dumps(claims()).encode(), secret)
                assert "signature" in refusal(forged, tokens)

    @pytest.mark.parametrize("critical", [["b64"], ["exp"], [], "b64", 0, None])
    def test_a_critical_extension_is_refused(self, critical: object) -> None:
        header = json.dumps({"alg": "HS256", "crit": critical, "b64": False}).encode()
        said = refusal(handmade(header, json.dumps(claims()).encode()))
        assert "critical" in said or "malformed" in said

    def test_without_any_key_there_is_no_check(self) -> None:
        with pytest.raises(ValueError, match="no key"):
            Tokens(TokenRules(), lambda: NOW)
        with pytest.raises(ValueError, match="no key"):
            checking(TokenRules(secrets=(SECRET,), algorithms=("RS256",)))


class TestPublishedKeys:
    """What is taken by the keys of an identity provider, and while they are not known."""

    RULES = TokenRules(key_set_url="https://id.example/keys")

    def told(self, *keys: dict[str, Any], rules: TokenRules = RULES) -> Tokens:
        tokens = checking(rules)
        tokens.take([key for jwk in keys if (key := load(json.dumps(jwk)))])
        return tokens

    def test_they_check_instead_of_those_before_them(self) -> None:
        tokens = self.told(jwk(RSA_KEY, kid="a"))
        assert tokens.verify(signed(RSA_KEY, "RS256", {"kid": "a"})).user_id == "ada"
        tokens.take([key for key in [load(json.dumps(jwk(P256_KEY, kid="b")))] if key])
        assert tokens.verify(signed(P256_KEY, "ES256", {"kid": "b"})).user_id == "ada"
        with pytest.raises(UnknownKey):
            tokens.verify(signed(RSA_KEY, "RS256", {"kid": "a"}))

    def test_they_check_beside_the_settings_keys(self) -> None:
        both = TokenRules(secrets=(SECRET,), key_set_url="https://id.example/keys")
        tokens = self.told(jwk(RSA_KEY, kid="a"), rules=both)
        for token in (signed(), signed(RSA_KEY, "RS256", {"kid": "a"})):
            assert tokens.verify(token).user_id == "ada"
        assert tokens.can_mint
        assert not self.told(jwk(RSA_KEY)).can_mint

    def test_before_they_are_known_a_token_may_be_good(self) -> None:
        tokens = checking(self.RULES)
        assert not tokens.has_keys
        for headers in ({"kid": "a"}, {"kid": ""}, None):
            with pytest.raises(UnknownKey):
                tokens.verify(signed(RSA_KEY, "RS256", headers))

    def test_what_no_published_key_can_have_signed_is_refused_at_once(self) -> None:
        tokens = self.told(jwk(RSA_KEY, kid="a"))
        assert "algorithm" in refusal(signed(), tokens)
        assert "algorithm" in refusal(handmade(b'{"alg":"none","kid":"b"}', b"{}"), tokens)
        other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        assert "signature" in refusal(signed(other, "RS256", {"kid": "a"}), tokens)
        assert "signature" in refusal(signed(P256_KEY, "ES256", {"kid": "a"}), tokens)
        only = TokenRules(key_set_url="https://id.example/keys", algorithms=("ES256",))
        refused = refusal(signed(RSA_KEY, "RS256", {"kid": "b"}), self.told(rules=only))
        assert "only ES256" in refused

    def test_none_of_them_is_an_hmac_secret(self) -> None:
        both = TokenRules(secrets=(SECRET,), key_set_url="https://id.example/keys")
        tokens = self.told(jwk(RSA_KEY, kid="a"), rules=both)
        for secret in secrets_made_of(RSA_KEY):
            forged = handmade(b'{"alg":"HS256","kid":"a"}', json.dumps(claims()).encode(), secret)
            assert "signature" in refusal(forged, tokens)

    @pytest.mark.parametrize(
        "kid",
        [
            "../../../../dev/null",
            "/etc/passwd",
            "https://evil.example/jwks",
            "a' UNION SELECT 'key' --",
            "a\x00",
            "a\n",
            "\u202ea",
            "а",  # noqa: RUF001 - Cyrillic, which looks like the key's
            "k" * 5_000,
        ],
    )
    def test_a_hostile_name_is_only_unknown(self, kid: str) -> None:
        tokens = self.told(jwk(RSA_KEY, kid="a"))
        with pytest.raises(UnknownKey) as refused:
            tokens.verify(signed(RSA_KEY, "RS256", {"kid": kid}))
        assert kid not in refused.value.message

    def test_a_name_of_ten_kilobytes_is_refused_unread(self) -> None:
        tokens = self.told(jwk(RSA_KEY, kid="a"))
        assert "longer than" in refusal(signed(RSA_KEY, "RS256", {"kid": "k" * 10_240}), tokens)

    def test_a_header_brings_no_key(self) -> None:
        mine = ec.generate_private_key(ec.SECP256R1())
        tokens = self.told(jwk(P256_KEY, kid="a"))
        brought: dict[str, Any] = {
            "jwk": jwk(mine, kid="a"),
            "jku": "https://evil.example/jwks",
            "x5u": "https://evil.example/certificate",
            "x5c": ["MIICmzCCAYMCBgGP"],
        }
        assert "signature" in refusal(signed(mine, "ES256", {"kid": "a", **brought}), tokens)
        with pytest.raises(UnknownKey):
            tokens.verify(signed(mine, "ES256", {"kid": "mine", **brought}))


class TestTimes:
    def test_a_token_lives_until_its_last_millisecond(self) -> None:
        token = signed(exp=NOW_S + 60)
        assert checking(now=NOW + 59_999).verify(token).expires_at == NOW + 60_000

    @pytest.mark.parametrize("late", [0, 1, 1000, 10**10])
    def test_a_token_has_expired_when_its_time_has_come(self, late: int) -> None:
        with pytest.raises(TokenExpired):
            checking(now=NOW + 60_000 + late).verify(signed(exp=NOW_S + 60))

    def test_a_token_may_expire_within_a_second(self) -> None:
        token = signed(exp=NOW_S + 0.123)
        assert checking(now=NOW + 122).verify(token).expires_at == NOW + 123
        with pytest.raises(TokenExpired):
            checking(now=NOW + 123).verify(token)

    def test_an_expired_forgery_is_a_forgery(self) -> None:
        assert "signature" in refusal(signed(OLD_SECRET, exp=NOW_S - 1))

    @pytest.mark.parametrize("name", ["nbf", "iat"])
    def test_the_issuers_clock_may_be_half_a_minute_ahead(self, name: str) -> None:
        assert checking().verify(signed(**{name: NOW_S + 30})).user_id == "ada"
        assert name in refusal(signed(**{name: NOW_S + 30.001}))

    def test_the_given_clock_is_the_only_one(self) -> None:
        assert checking(now=1_000).verify(signed(exp=1.001)).expires_at == 1_001


class TestAddressee:
    def test_a_token_for_one_of_the_audiences_is_taken(self) -> None:
        tokens = checking(TokenRules(secrets=(SECRET,), audiences=("rides", "food")))
        for audience in ("rides", "food", ["web", "food"]):
            assert tokens.verify(signed(aud=audience)).user_id == "ada"

    @pytest.mark.parametrize("audience", ["web", "Rides", "", [], ["web"], "rides,food"])
    def test_a_token_for_others_is_refused(self, audience: object) -> None:
        tokens = checking(TokenRules(secrets=(SECRET,), audiences=("rides", "food")))
        assert '"aud"' in refusal(signed(aud=audience), tokens)

    def test_a_token_for_anybody_is_refused_where_an_audience_is_set(self) -> None:
        tokens = checking(TokenRules(secrets=(SECRET,), audiences=("rides",)))
        assert '"aud"' in refusal(signed(), tokens)
        assert '"aud"' in refusal(signed(aud=None), tokens)

    def test_a_token_for_somebody_is_refused_where_no_audience_is_set(self) -> None:
        assert "JWT_AUDIENCE" in refusal(signed(aud="web"))

    def test_the_issuer_has_to_be_the_one_that_is_set(self) -> None:
        tokens = checking(TokenRules(secrets=(SECRET,), issuer="https://id.example"))
        assert tokens.verify(signed(iss="https://id.example")).user_id == "ada"
        for issuer in ("https://id.example/", "", ...):
            assert '"iss"' in refusal(signed(iss=issuer), tokens)


class TestRoles:
    @pytest.mark.parametrize(
        "role", ["admin", "Driver", "driver ", "", None, 1, True, {}, [], ["x"], [["driver"]], ...]
    )
    def test_an_unknown_role_is_refused(self, role: object) -> None:
        assert "one role" in refusal(handmade(HS256, json.dumps(claims(role=role)).encode()))

    def test_one_known_role_among_others_counts(self) -> None:
        token = signed(role=["offline_access", {"a": 1}, 7, "agent", "agent"])
        assert checking().verify(token).role is Role.AGENT

    def test_two_known_roles_are_refused(self) -> None:
        assert "one role" in refusal(signed(role=["driver", "rider"]))

    def test_the_role_may_be_nested(self) -> None:
        tokens = checking(TokenRules(secrets=(SECRET,), role_claim="realm_access.roles"))
        token = signed(role="agent", realm_access={"roles": ["uma_authorization", "rider"]})
        assert tokens.verify(token).role is Role.RIDER

    def test_the_role_may_have_a_name_with_dots(self) -> None:
        name = "https://rides.example/role"
        tokens = checking(TokenRules(secrets=(SECRET,), role_claim=name))
        token = signed(**{name: "rider", "https://rides": {"example/role": "agent"}})
        assert tokens.verify(token).role is Role.RIDER

    @pytest.mark.parametrize(
        ("path", "claim"),
        [
            ("cognito:groups", {"cognito:groups": ["eu_Google", "rider"]}),
            (
                "https://rides.example/claims.role",
                {"https://rides.example/claims": {"role": "rider"}},
            ),
            (
                "resource_access.rides.app.roles",
                {"resource_access": {"rides.app": {"roles": ["rider"]}}},
            ),
            ("a.b.c", {"a": {"b": 1}, "a.b": {"c": "rider"}}),
            ("a..c", {"a": {"": {"c": "rider"}}}),
        ],
    )
    def test_names_on_the_way_to_the_role_may_have_dots(
        self, path: str, claim: dict[str, Any]
    ) -> None:
        tokens = checking(TokenRules(secrets=(SECRET,), role_claim=path))
        assert tokens.verify(signed(role="agent", **claim)).role is Role.RIDER

    @pytest.mark.parametrize("access", [None, "roles", 1, [], ["rider"], {"roles": {}}, {}])
    def test_a_path_that_leads_nowhere_is_refused(self, access: object) -> None:
        tokens = checking(TokenRules(secrets=(SECRET,), role_claim="realm_access.roles"))
        assert "one role" in refusal(signed(realm_access=access), tokens)

    def test_a_viewer_sees_the_trips_that_its_token_names(self) -> None:
        token = signed(role="viewer", trips=["trip-1", "trip-2", "trip-1"])
        assert checking().verify(token).trips == {"trip-1", "trip-2"}

    @pytest.mark.parametrize(
        "trips",
        [
            ...,
            None,
            [],
            "trip-1",
            {"trip-1": 1},
            [1],
            [None],
            ["a b"],
            [f"t{n}" for n in range(101)],
        ],
    )
    def test_a_viewer_without_good_trips_is_refused(self, trips: object) -> None:
        assert '"trips"' in refusal(signed(role="viewer", trips=trips))


class TestClaimsOfWrongTypes:
    @pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
    @pytest.mark.parametrize(
        "time", [str(NOW_S), True, [], {}, -1, NOW, 10**18, 10**30, 10**400, 1e300, "soon"]
    )
    def test_a_time_is_seconds_since_the_epoch(self, name: str, time: object) -> None:
        assert f'"{name}"' in refusal(handmade(HS256, json.dumps(claims(**{name: time})).encode()))

    @pytest.mark.parametrize("time", [..., None])
    def test_a_token_has_to_end(self, time: object) -> None:
        assert '"exp"' in refusal(signed(exp=time))

    @pytest.mark.parametrize("name", ["sub", "jti"])
    @pytest.mark.parametrize("text", ["", "a b", "a\n", "\x00", "x" * 129, "\u200b", 7, False, []])
    def test_an_id_is_printable_and_short(self, name: str, text: object) -> None:
        assert f'"{name}"' in refusal(handmade(HS256, json.dumps(claims(**{name: text})).encode()))

    @pytest.mark.parametrize("name", ["sub", "exp"])
    def test_a_missing_claim_is_named(self, name: str) -> None:
        assert f'"{name}"' in refusal(signed(**{name: ...}))

    @pytest.mark.parametrize("audience", [1, {}, [1], [None]])
    def test_an_audience_is_text(self, audience: object) -> None:
        assert '"aud"' in refusal(handmade(HS256, json.dumps(claims(aud=audience)).encode()))

    def test_an_issuer_is_text(self) -> None:
        assert '"iss"' in refusal(handmade(HS256, json.dumps(claims(iss=["a"])).encode()))

    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            b"null",
            b"[]",
            b'"ada"',
            b"{",
            b'{"sub":"ada","role":"driver","exp":NaN}',
            b'{"sub":"ada","role":"driver","exp":1e999}',
            b'{"sub":"ada","role":"driver","exp":1' + b"0" * 5000 + b"}",
            b'{"sub":"\\ud800","role":"driver","exp":9999999999}',
            b'{"sub":"\xed\xa0\x80","role":"driver","exp":9999999999}',
            b'{"sub":"\xff","role":"driver","exp":9999999999}',
            b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}",
            b'{"a":' * 1000,
        ],
    )
    def test_a_payload_that_is_no_proper_object_is_refused(self, payload: bytes) -> None:
        refusal(handmade(HS256, payload))


class TestMalformedTokens:
    @pytest.mark.parametrize(
        "token",
        [
            "",
            ".",
            "..",
            "...",
            "a",
            "a.b",
            "a.b.c",
            "a.b.c.d.e",
            "é.é.é",
            "\ud800.a.a",
            "\x00",
            " ",
        ],
    )
    def test_text_that_is_no_token_is_refused(self, token: str) -> None:
        assert "malformed" in refusal(token)

    def test_a_token_with_anything_around_it_is_refused(self) -> None:
        token = signed()
        for spoilt in (
            f" {token}",
            f"{token}\n",
            f"Bearer {token}",
            f"{token}.",
            f".{token}",
        ):
            refusal(spoilt)

    def test_a_token_has_one_spelling(self) -> None:
        token = signed()
        signature = token.rpartition(".")[2]
        bits = urlsafe_b64decode(signature + "=")
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        twins = [token[:-1] + last for last in alphabet if last != token[-1]]
        same = [twin for twin in twins if urlsafe_b64decode(twin.rpartition(".")[2] + "=") == bits]
        assert same
        for twin in same:
            assert "malformed" in refusal(twin)

    @pytest.mark.parametrize(("digit", "foreign"), [("-", "+"), ("_", "/"), ("-", " ")])
    def test_a_token_has_one_alphabet(self, digit: str, foreign: str) -> None:
        token = next(
            each
            for each in (signed(jti=str(number)) for number in range(1_000))
            if digit in each.rpartition(".")[2]
        )
        head, _, signature = token.rpartition(".")
        checking().verify(token)
        assert "malformed" in refusal(f"{head}.{signature.replace(digit, foreign)}")

    @pytest.mark.parametrize(
        "header",
        [
            b"",
            b"{}",
            b"[]",
            b'"HS256"',
            b'{"alg":null}',
            b'{"alg":["HS256"]}',
            b'{"alg":1}',
            b"[" * 5000,
            b'{"alg":' * 800,
            b'{"x":' + b"[" * 2500 + b"]" * 2500 + b',"alg":"HS256"}',
            b"\xff\xfe",
        ],
    )
    def test_a_header_without_an_algorithm_is_refused(self, header: bytes) -> None:
        said = refusal(handmade(header, json.dumps(claims()).encode()))
        assert "malformed" in said or "algorithm is not allowed" in said

    def test_an_endless_token_is_refused_unread(self) -> None:
        assert "longer than 8192" in refusal(handmade(HS256, b"[" * 10_000))
        assert "longer than 8192" in refusal(handmade(b'{"alg":' * 10_000, b"{}"))
        assert "longer than 8192" in refusal("a" * 100_000)

    def test_a_long_token_is_taken(self) -> None:
        assert len(token := signed(more="x" * 5900)) > 8000
        assert checking().verify(token).user_id == "ada"

    @pytest.mark.parametrize("algorithm", ["HS256", *PRIVATE_KEYS])
    def test_noise_is_refused_and_never_fails(self, algorithm: str) -> None:
        noise = random.Random(algorithm)  # noqa: S311
        keys = dict.fromkeys(map(pem_of, PRIVATE_KEYS.values()))
        tokens = checking(
            TokenRules(secrets=(SECRET,), public_keys=tuple(keys), algorithms=ALGORITHMS)
        )
        good = signed(PRIVATE_KEYS.get(algorithm, SECRET), algorithm)
        for _ in range(200):
            head, _, signature = good.rpartition(".")
            size = noise.choice([0, 1, 32, 64, 96, 132, 256, 300, len(signature)])
            refusal(f"{head}.{segment(noise.randbytes(size))}", tokens)
            cut = noise.randrange(len(good))
            refusal(good[:cut] + chr(noise.randrange(0x11000)) + good[cut + 1 :] + "!", tokens)

    def test_a_refusal_tells_nothing_of_the_token(self) -> None:
        bad = [
            signed(OLD_SECRET, sub="ada-lovelace"),
            signed(sub="ada lovelace"),
            signed(sub="ada-lovelace", role="lovelace"),
            signed(sub="ada-lovelace", aud="lovelace"),
            signed(SECRET, "HS256", {"x": "lovelace", "crit": ["lovelace"]}),
            handmade(b'{"alg":"lovelace"}', b"{}"),
        ]
        for token in bad:
            message = refusal(token)
            assert "lovelace" not in message
            assert not any(part in message for part in token.split("."))


class TestMinting:
    def test_a_minted_token_is_taken(self) -> None:
        tokens = checking(now=NOW + 1)
        identity = tokens.verify(tokens.mint(Role.RIDER, "ada", ttl_s=60))
        assert (identity.user_id, identity.role) == ("ada", Role.RIDER)
        assert (identity.issued_at, identity.expires_at) == (NOW, NOW + 61_000)
        assert identity.token_id

    def test_other_implementations_take_it_too(self) -> None:
        token = checking().mint(Role.AGENT, "ada", ttl_s=60, token_id="t-1")
        payload = jwt.decode(token, SECRET, ["HS256"], {"verify_exp": False, "verify_iat": False})
        assert payload == {
            "sub": "ada",
            "role": "agent",
            "iat": NOW_S,
            "exp": NOW_S + 60,
            "jti": "t-1",
        }

    def test_no_two_have_the_same_id(self) -> None:
        tokens = checking()
        ids = {tokens.verify(tokens.mint(Role.RIDER, "ada", ttl_s=60)).token_id for _ in range(100)}
        assert len(ids) == 100

    def test_a_viewers_token_carries_its_trips(self) -> None:
        tokens = checking()
        token = tokens.mint(Role.VIEWER, "link-1", ttl_s=60, trips=["trip-1", "trip-2"])
        assert tokens.verify(token).trips == {"trip-1", "trip-2"}

    def test_the_first_secret_signs(self) -> None:
        both = checking(TokenRules(secrets=(SECRET, OLD_SECRET)))
        token = both.mint(Role.RIDER, "ada", ttl_s=60)
        assert checking(TokenRules(secrets=(SECRET,))).verify(token).user_id == "ada"
        assert "signature" in refusal(token, checking(TokenRules(secrets=(OLD_SECRET,))))

    def test_it_follows_all_rules_that_are_set(self) -> None:
        tokens = checking(
            TokenRules(
                secrets=(SECRET,),
                public_keys=(pem_of(RSA_KEY),),
                algorithms=("RS256", "HS512", "HS256"),
                audiences=("rides", "food"),
                issuer="https://id.example",
                role_claim="realm_access.roles",
            )
        )
        token = tokens.mint(Role.SERVICE, "ada", ttl_s=60)
        assert tokens.verify(token).role is Role.SERVICE
        assert jwt.get_unverified_header(token) == {"alg": "HS512", "typ": "JWT"}

    def test_public_keys_alone_cannot_sign(self) -> None:
        tokens = checking(TokenRules(public_keys=(pem_of(RSA_KEY),)))
        assert not tokens.can_mint
        assert checking().can_mint
        with pytest.raises(NoSigningKey, match="JWT_SECRET"):
            tokens.mint(Role.RIDER, "ada", ttl_s=60)

    def test_what_would_be_refused_is_not_minted(self) -> None:
        tokens = checking()
        with pytest.raises(ValueError, match="trips"):
            tokens.mint(Role.VIEWER, "ada", ttl_s=60)
        with pytest.raises(ValueError, match="sub"):
            tokens.mint(Role.RIDER, "a b", ttl_s=60)
        with pytest.raises(ValueError, match="expired"):
            tokens.mint(Role.RIDER, "ada", ttl_s=0)
        with pytest.raises(ValueError, match="longer"):
            tokens.mint(Role.VIEWER, "ada", ttl_s=60, trips=[f"{n:0100}" for n in range(100)])


class TestKeys:
    def test_a_secret_does_not_show_itself(self) -> None:
        rules = TokenRules(secrets=(SECRET, OLD_SECRET))
        assert SECRET not in f"{rules} {rules!r} {rules.secrets}"
        assert OLD_SECRET not in f"{rules} {rules!r} {rules.secrets}"

    def test_a_public_key_that_cannot_check_tokens_is_refused(self) -> None:
        weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
        for key, complaint in (
            (weak, "1024 bits"),
            (ec.generate_private_key(ec.SECP256K1()), "secp256k1"),
            (dsa.generate_private_key(2048), "kind"),
        ):
            with pytest.raises(ValueError, match=complaint):
                load_pem(pem_of(key))
        with pytest.raises(ValueError, match="cannot be read"):
            load_pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----")
