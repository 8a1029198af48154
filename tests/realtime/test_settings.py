"""Settings: what the environment may say, and what is told when it says something wrong."""

import json
import re
import stat
import subprocess
import sys
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from models.identity import Role
from realtime.settings import VARIABLES, Settings, SettingsError, Url, load
from realtime.tokens import TokenRules, Tokens
from tests.provider import jwk, key_set

ROOT = Path(__file__).parents[2]
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
SECRET = "a secret with more than thirty-two bytes"
PRODUCTION = {
    "RIDEWIRE_ENV": "production",
    "REDIS_URL": "redis://cache:6379",
    "MONGODB_URL": "mongodb://store:27017",
    "JWT_SECRET": SECRET,
}


def pem_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    public = key.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def settings(**environ: str) -> Settings:
    return Settings.from_environment(environ)


def problems(environ: Mapping[str, str], cwd: Path | None = None) -> dict[str, str]:
    with pytest.raises(SettingsError) as refused:
        load(environ, cwd or ROOT / "tests")
    return refused.value.problems


def problem(name: str, text: str, **others: str) -> str:
    """Return what is told of this variable, which is all that is told."""
    found = problems({name: text, **others})
    assert [*found] == [name]
    return found[name]


class TestDefaults:
    def test_an_empty_environment_is_a_development_server(self, tmp_path: Path) -> None:
        assert Settings.from_environment({}, tmp_path) == Settings(
            production=False,
            host="127.0.0.1",
            port=8080,
            workers=1,
            redis_url=None,
            mongodb_url=None,
            jwt=TokenRules(),
            allowed_origins=(),
            log_level="info",
            log_format="text",
            data_dir=tmp_path / "data",
            chat_after_trip_ms=24 * 3_600_000,
            driver_stale_ms=10_000,
            driver_offline_ms=60_000,
            connects_per_s=500,
            max_connections=25_000,
            max_opening=1_000,
            authenticate_within_s=10,
            max_message_bytes=262_144,
            pending_commands=200,
            connections_per_user=20,
            viewers_per_link=1_000,
            connections_per_address=5_000,
            attempts_per_address_per_s=100,
            requests_per_address_per_s=500,
            forwarded_allow_ips=(ip_network("127.0.0.1"), ip_network("::1")),
            commands_per_s=20,
            reports_per_s=100,
            subscriptions_per_connection=1_000,
            max_accuracy_m=200,
            max_speed_mps=70,
            locations_per_s=5,
            osrm_url=None,
            arrival_radius_m=250,
            track_days=90,
            track_buffer_points=5_000_000,
            drain_s=25,
        )

    def test_production_listens_on_all_addresses(self) -> None:
        production = settings(**PRODUCTION)
        assert production.production
        assert production.host == "0.0.0.0"  # noqa: S104
        assert settings(**PRODUCTION, HOST="10.0.0.1").host == "10.0.0.1"

    def test_blank_variables_are_not_set(self) -> None:
        assert settings(**dict.fromkeys(VARIABLES, " ")) == settings()

    def test_every_variable_is_listed(self) -> None:
        asked = set()

        class Environment(dict[str, str]):
            def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
                asked.add(name)
                return default

        Settings.from_environment(Environment())
        assert asked == set(VARIABLES)

    def test_no_other_module_reads_the_environment(self) -> None:
        sources = [
            path
            for name in ("models", "handlers", "realtime")
            for path in (ROOT / name).rglob("*.py")
        ]
        readers = [
            path.name
            for path in sources
            if re.search(r"\bos\.(environ|getenv)|import .*(environ|getenv)", path.read_text())
        ]
        assert readers == ["settings.py"]


class TestValues:
    def test_every_value_is_taken(self, tmp_path: Path) -> None:
        every = settings(
            HOST="::1",
            PORT="0",
            WORKERS="4",
            REDIS_URL="redis+sentinel://:pw@a:26379,b:26379/main/0",
            MONGODB_URL="mongodb+srv://u:p%40ss@db.example/rides?retryWrites=true",
            JWT_SECRET=f"new {SECRET}, old {SECRET}",
            JWT_ALGORITHMS="HS512, ES256",
            JWT_AUDIENCE="rides,food",
            JWT_JWKS_URL="https://id.example/keys@1.json?key=7",
            JWT_ISSUER="https://id.example",
            JWT_ROLE_CLAIM="https://rides.example/role",
            ALLOWED_ORIGINS="https://App.example, http://localhost:3000,capacitor://localhost",
            LOG_LEVEL="DEBUG",
            LOG_FORMAT="json",
            DATA_DIR=str(tmp_path),
            CHAT_HOURS_AFTER_TRIP="2",
            DRIVER_STALE_S="5",
            DRIVER_OFFLINE_S="30",
            CONNECTS_PER_S="50",
            MAX_CONNECTIONS="100",
            MAX_OPENING="30",
            AUTHENTICATE_WITHIN_S="3",
            MAX_MESSAGE_BYTES="200000",
            PENDING_COMMANDS="11",
            CONNECTIONS_PER_USER="3",
            VIEWERS_PER_LINK="12",
            CONNECTIONS_PER_ADDRESS="70",
            ATTEMPTS_PER_ADDRESS_PER_S="9",
            REQUESTS_PER_ADDRESS_PER_S="7",
            FORWARDED_ALLOW_IPS="10.0.0.0/8, 2001:db8::1",
            COMMANDS_PER_S="4",
            REPORTS_PER_S="8",
            SUBSCRIPTIONS_PER_CONNECTION="6",
            MAX_ACCURACY_M="50",
            MAX_SPEED_MPS="40",
            LOCATIONS_PER_S="2",
            DRAIN_S="0",
        )
        assert (every.host, every.port, every.workers) == ("::1", 0, 4)
        assert every.redis_url == "redis+sentinel://:pw@a:26379,b:26379/main/0"
        assert every.mongodb_url == "mongodb+srv://u:p%40ss@db.example/rides?retryWrites=true"
        assert every.jwt.secrets == (f"new {SECRET}", f"old {SECRET}")
        assert every.jwt.algorithms == ("HS512", "ES256")
        assert every.jwt.audiences == ("rides", "food")
        assert every.jwt.key_set_url == "https://id.example/keys@1.json?key=7"
        assert every.jwt.issuer == "https://id.example"
        assert every.jwt.role_claim == "https://rides.example/role"
        assert every.allowed_origins == (
            "https://app.example",
            "http://localhost:3000",
            "capacitor://localhost",
        )
        assert (every.log_level, every.log_format) == ("debug", "json")
        assert every.data_dir == tmp_path
        assert every.chat_after_trip_ms == 2 * 3_600_000
        assert (every.driver_stale_ms, every.driver_offline_ms) == (5_000, 30_000)
        assert (every.connects_per_s, every.drain_s) == (50, 0)
        assert (every.max_accuracy_m, every.max_speed_mps) == (50, 40)
        assert every.locations_per_s == 2
        assert (every.max_connections, every.connections_per_user) == (100, 3)
        assert every.viewers_per_link == 12
        assert (every.max_opening, every.authenticate_within_s) == (30, 3)
        assert (every.max_message_bytes, every.pending_commands) == (200_000, 11)
        assert (every.connections_per_address, every.attempts_per_address_per_s) == (70, 9)
        assert every.requests_per_address_per_s == 7
        assert (every.commands_per_s, every.reports_per_s) == (4, 8)
        assert every.subscriptions_per_connection == 6
        proxies = (ip_network("10.0.0.0/8"), ip_network("2001:db8::1"))
        assert every.forwarded_allow_ips == proxies

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("RIDEWIRE_ENV", "prod"),
            ("HOST", "http://localhost"),
            ("HOST", "localhost:8080"),
            ("HOST", "a b"),
            ("PORT", "80a"),
            ("PORT", "65536"),
            ("PORT", "-1"),
            ("PORT", "8_0"),
            ("PORT", "٨٠"),
            ("PORT", "9" * 5000),
            ("WORKERS", "0"),
            ("WORKERS", "two"),
            ("REDIS_URL", "cache:6379"),
            ("REDIS_URL", "http://cache"),
            ("REDIS_URL", "redis://"),
            ("REDIS_URL", "redis://:p@ss@cache"),
            ("REDIS_URL", "redis://cache:port"),
            ("MONGODB_URL", "redis://store"),
            ("MONGODB_URL", "mongodb://a,,b"),
            ("JWT_AUDIENCE", "rides,,food"),
            ("JWT_JWKS_URL", "id.example/jwks.json"),
            ("JWT_JWKS_URL", "file:///etc/jwks.json"),
            ("JWT_JWKS_URL", "https://user:pw@id.example/jwks.json"),
            ("JWT_JWKS_URL", "https://id.example/jwks.json#keys"),
            ("ALLOWED_ORIGINS", "app.example"),
            ("ALLOWED_ORIGINS", "https://app.example/"),
            ("ALLOWED_ORIGINS", "https://*.example"),
            ("ALLOWED_ORIGINS", "*,https://app.example"),
            ("ALLOWED_ORIGINS", "null"),
            ("LOG_LEVEL", "loud"),
            ("LOG_FORMAT", "xml"),
            ("DATA_DIR", "~/data"),
            ("DATA_DIR", __file__),
            ("CHAT_HOURS_AFTER_TRIP", "1.5"),
            ("DRIVER_STALE_S", "0"),
            ("DRIVER_OFFLINE_S", "10"),
            ("CONNECTS_PER_S", "0"),
            ("MAX_CONNECTIONS", "0"),
            ("MAX_OPENING", "0"),
            ("AUTHENTICATE_WITHIN_S", "301"),
            ("MAX_MESSAGE_BYTES", "1000"),
            ("PENDING_COMMANDS", "0"),
            ("CONNECTIONS_PER_USER", "0"),
            ("VIEWERS_PER_LINK", "0"),
            ("CONNECTIONS_PER_ADDRESS", "many"),
            ("ATTEMPTS_PER_ADDRESS_PER_S", "0"),
            ("REQUESTS_PER_ADDRESS_PER_S", "0"),
            ("FORWARDED_ALLOW_IPS", "proxy.internal"),
            ("FORWARDED_ALLOW_IPS", "10.0.0.1/8"),
            ("FORWARDED_ALLOW_IPS", "10.0.0.1,*"),
            ("COMMANDS_PER_S", "0"),
            ("REPORTS_PER_S", "0"),
            ("SUBSCRIPTIONS_PER_CONNECTION", "0"),
            ("MAX_ACCURACY_M", "0"),
            ("MAX_SPEED_MPS", "fast"),
            ("LOCATIONS_PER_S", "0"),
            ("DRAIN_S", "-1"),
        ],
    )
    def test_a_wrong_value_is_told_with_what_was_expected(self, name: str, text: str) -> None:
        assert VARIABLES[name] in problem(name, text)

    def test_everything_wrong_is_told_at_once(self) -> None:
        with pytest.raises(SettingsError) as refused:
            settings(PORT="80a", WORKERS="-1", REDIS_URL="cache", LOG_LEVEL="loud")
        lines = str(refused.value).splitlines()
        assert [line.split()[0] for line in lines[1:]] == [
            "PORT",
            "WORKERS",
            "REDIS_URL",
            "LOG_LEVEL",
        ]
        assert (
            lines[1]
            == "  PORT is '80a'; expected a port from 0 to 65535, where 0 takes any free one"
        )

    def test_text_that_is_not_utf8_is_told(self) -> None:
        assert "UTF-8" in problem("JWT_SECRET", "\udcff" * 40)

    def test_origins_are_spelled_as_browsers_spell_them(self) -> None:
        text = "https://a.example:443,http://a.example:80,https://a.example:80,http://[::1]:5173"
        assert settings(ALLOWED_ORIGINS=text).allowed_origins == (
            "https://a.example",
            "http://a.example",
            "https://a.example:80",
            "http://[::1]:5173",
        )

    def test_the_word_of_all_proxies_may_be_taken(self) -> None:
        everywhere = settings(FORWARDED_ALLOW_IPS="*").forwarded_allow_ips
        assert everywhere == (ip_network("0.0.0.0/0"), ip_network("::/0"))

    def test_all_origins_may_be_allowed(self) -> None:
        assert settings(**PRODUCTION, ALLOWED_ORIGINS="*").allowed_origins == ("*",)


class TestProduction:
    def test_it_refuses_to_start_without_stores_and_a_key(self) -> None:
        found = problems({"RIDEWIRE_ENV": "production"})
        assert [*found] == ["REDIS_URL", "MONGODB_URL", "JWT_SECRET"]
        assert "openssl rand" in found["JWT_SECRET"]

    def test_it_refuses_any_secret_under_32_bytes(self) -> None:
        found = problems(PRODUCTION | {"JWT_SECRET": f"{SECRET},{'é' * 15}x"})
        assert "(secret 2) has 31 bytes" in found["JWT_SECRET"]
        assert settings(**PRODUCTION | {"JWT_SECRET": "é" * 16}).jwt.secrets == ("é" * 16,)

    def test_public_keys_are_enough(self) -> None:
        keys = PRODUCTION | {"JWT_SECRET": "", "JWT_PUBLIC_KEY": pem_of(RSA_KEY)}
        assert settings(**keys).jwt.public_keys
        assert settings(**keys).generated_secret is None

    def test_a_key_set_is_enough_if_it_comes_encrypted_or_from_this_machine(self) -> None:
        keys = PRODUCTION | {"JWT_SECRET": "", "JWT_JWKS_URL": "https://id.example/keys"}
        assert settings(**keys).jwt.key_set_url == "https://id.example/keys"
        assert settings(**keys).generated_secret is None
        for url in ("http://127.0.0.1:8080/keys", "http://localhost/keys", "http://[::1]/keys"):
            assert settings(**keys | {"JWT_JWKS_URL": url}).jwt.key_set_url == url
        for url in ("http://id.example/keys", "http://localhost.example/keys"):
            found = problems(keys | {"JWT_JWKS_URL": url})
            assert "is http:// in production" in found["JWT_JWKS_URL"]
            assert settings(JWT_JWKS_URL=url).jwt.key_set_url == url

    def test_an_unreadable_key_is_not_called_missing(self) -> None:
        found = problems(PRODUCTION | {"JWT_SECRET": "", "JWT_PUBLIC_KEY": "gone.pem"})
        assert [*found] == ["JWT_PUBLIC_KEY"]

    def test_development_takes_a_short_secret(self) -> None:
        assert settings(JWT_SECRET="short").jwt.secrets == ("short",)


class TestSecretsStaySecret:
    def test_in_the_repr(self) -> None:
        every = settings(
            REDIS_URL="rediss://user:hunter2@cache:6379/0?password=hunter2",
            MONGODB_URL="mongodb://user:hunter2@a:1,b:2/rides?tlsCertificateKeyFilePassword=hunter2",
            JWT_SECRET="hunter2 and more,hunter2 and less",
            JWT_JWKS_URL="https://id.example/me@keys?key=hunter2",
        )
        for text in (repr(every), str(every), f"{every}", f"{[every.redis_url, every.jwt]}"):
            assert "hunter2" not in text
        assert "rediss://***@cache:6379/0" in repr(every)
        assert "mongodb://***@a:1,b:2/rides" in repr(every)
        assert "'https://id.example/me@keys'" in repr(every)

    @pytest.mark.parametrize(
        "text",
        [
            "hunter2",
            "hunter2@cache",
            "redis://:hunter2@cache@",
            "redis://:hun/hunter2@cache",
            "redis://:12?hunter2@cache",
            "redis://u:12?hunter2@cache",
            "redis://u:12#hunter2@cache",
            "redis://u:12/hunter2@cache",
            "redis://u:hunter2 @cache",
            "http://u:hunter2@cache",
            "http://u:12/hunter2@cache",
        ],
    )
    def test_in_a_wrong_url(self, text: str) -> None:
        with pytest.raises(SettingsError) as refused:
            settings(REDIS_URL=text)
        assert "hunter2" not in str(refused.value)
        assert "hunter2" not in repr(Url(text))

    def test_in_a_wrong_key(self) -> None:
        private = RSA_KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()).hex()
        for environ in (
            {"JWT_SECRET": "hunter2,,"},
            {"JWT_SECRET": "hunter2", "JWT_ALGORITHMS": "RS256"},
            {"JWT_SECRET": '{"kty":"oct","k":"hunter2"}'},
            {"JWT_PUBLIC_KEY": "hunter2"},
            {"JWT_PUBLIC_KEY": private},
            {"JWT_PUBLIC_KEY": '{"keys":[{"kty":"oct","k":"hunter2"}]}'},
            {"JWT_JWKS_URL": "https://u:hunter2@id.example/keys"},
            PRODUCTION | {"JWT_SECRET": "hunter2"},
        ):
            told = f"{problems(environ)}"
            assert "hunter2" not in told
            assert private[:20] not in told


class TestKeys:
    def test_a_key_may_be_text(self) -> None:
        pem = pem_of(RSA_KEY)
        for text in (pem, pem.replace("\n", "\\n"), pem.replace("\n", "\r\n")):
            rules = settings(JWT_PUBLIC_KEY=text).token_rules()
            assert Tokens(rules, lambda: 0)

    def test_a_key_may_be_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "key.pem").write_text(pem_of(EC_KEY))
        for path in ("key.pem", str(tmp_path / "key.pem")):
            found = Settings.from_environment({"JWT_PUBLIC_KEY": path}, tmp_path)
            assert found.jwt.public_keys == (pem_of(EC_KEY).strip(),)

    def test_there_may_be_several(self) -> None:
        found = settings(JWT_PUBLIC_KEY=f"# new\n{pem_of(RSA_KEY)}\n# old\n{pem_of(EC_KEY)}")
        assert found.jwt.public_keys == (pem_of(RSA_KEY).strip(), pem_of(EC_KEY).strip())

    def test_they_may_be_a_key_set(self, tmp_path: Path) -> None:
        keys = [jwk(EC_KEY, kid="a"), jwk(RSA_KEY, use="enc"), jwk(RSA_KEY, kid="b")]
        text = key_set(*keys).decode()
        (tmp_path / "keys.json").write_text(f"\n{text}\n")
        for given in (text, str(tmp_path / "keys.json")):
            found = settings(JWT_PUBLIC_KEY=given).jwt.public_keys
            assert [json.loads(key)["kid"] for key in found] == ["a", "b"]
        told = problem("JWT_PUBLIC_KEY", key_set(keys[0], jwk(EC_KEY, crv="P-384")).decode())
        assert "(key 2) cannot be read" in told
        assert "no key for signatures" in problem("JWT_PUBLIC_KEY", key_set(keys[1]).decode())
        assert "no JWK Set" in problem("JWT_PUBLIC_KEY", "{}")

    @pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
    def test_a_private_key_is_refused(self, form: PrivateFormat, tmp_path: Path) -> None:
        private = EC_KEY.private_bytes(Encoding.PEM, form, NoEncryption()).decode()
        (tmp_path / "key.pem").write_text(pem_of(EC_KEY) + private)
        for text in (private, str(tmp_path / "key.pem")):
            told = problem("JWT_PUBLIC_KEY", text)
            assert "is a private key" in told
            assert private.splitlines()[1] not in told

    def test_a_file_that_cannot_be_read_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "binary.pem").write_bytes(b"\xff\xfe")
        for path, reason in (
            ("no.pem", "No such file"),
            ("", "directory"),
            ("binary.pem", "UTF-8"),
        ):
            told = problem("JWT_PUBLIC_KEY", str(tmp_path / path))
            assert str(tmp_path / path) in told
            assert reason in told

    def test_a_key_that_is_none_is_refused(self) -> None:
        pem = pem_of(EC_KEY)
        for text, reason in (
            (pem[:-30], "without its end"),
            (pem + pem[:60], "without its end"),
            (pem + pem.replace("A", "B"), "(key 2) cannot be read"),
            (pem.replace("PUBLIC KEY", "CERTIFICATE"), "cannot be read"),
        ):
            assert reason in problem("JWT_PUBLIC_KEY", text)

    @pytest.mark.parametrize("text", ["none", "HS256,none", "hs256", "HS1", "HS256,"])
    def test_an_unknown_algorithm_is_refused(self, text: str) -> None:
        assert "RS256" in problem("JWT_ALGORITHMS", text)

    def test_an_algorithm_needs_a_key_and_a_key_an_algorithm(self) -> None:
        told = problem("JWT_ALGORITHMS", "HS256,RS256", JWT_SECRET=SECRET)
        assert "allows RS256, and there is no key" in told
        told = problem("JWT_ALGORITHMS", "ES256", JWT_PUBLIC_KEY=pem_of(EC_KEY), JWT_SECRET=SECRET)
        assert "allows none of HS256" in told
        told = problem("JWT_ALGORITHMS", "HS256", JWT_PUBLIC_KEY=pem_of(EC_KEY))
        assert "allows HS256, and there is no key" in told
        assert settings(JWT_ALGORITHMS="HS512").jwt.algorithms == ("HS512",)
        fetched = {"JWT_JWKS_URL": "https://id.example/keys"}
        assert settings(JWT_ALGORITHMS="ES256", **fetched).jwt.algorithms == ("ES256",)
        told = problem("JWT_ALGORITHMS", "HS256,RS256", **fetched)
        assert "allows HS256, and there is no key" in told
        told = problem("JWT_ALGORITHMS", "HS256", JWT_SECRET=SECRET, **fetched)
        assert "allows none of RS256" in told

    def test_a_public_key_is_no_secret(self) -> None:
        for text in (pem_of(RSA_KEY), pem_of(RSA_KEY).replace("\n", "\\n")):
            assert "instead of a secret" in problem("JWT_SECRET", text)


class TestGeneratedSecret:
    def test_it_stands_in_where_no_key_is_set(self, tmp_path: Path) -> None:
        fresh = Settings.from_environment({"DATA_DIR": "some/where"}, tmp_path)
        path = tmp_path / "some/where/jwt-secret"
        assert fresh.generated_secret == path
        assert not path.exists()
        tokens = Tokens(fresh.token_rules(), lambda: 0)
        assert tokens.verify(tokens.mint(Role.RIDER, "ada", ttl_s=60)).user_id == "ada"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [*path.parent.iterdir()] == [path]

    def test_it_stays_the_same(self, tmp_path: Path) -> None:
        first, again = (Settings.from_environment({}, tmp_path).token_rules() for _ in range(2))
        assert first.secrets == again.secrets
        assert len(first.secrets[0]) >= 32

    def test_it_keeps_the_other_rules(self, tmp_path: Path) -> None:
        rules = Settings.from_environment({"JWT_ISSUER": "a"}, tmp_path).token_rules()
        assert rules.issuer == "a"

    def test_a_key_that_is_set_is_enough(self, tmp_path: Path) -> None:
        for environ in (
            {"JWT_SECRET": "s"},
            {"JWT_PUBLIC_KEY": pem_of(EC_KEY)},
            {"JWT_JWKS_URL": "https://id.example/keys"},
        ):
            found = Settings.from_environment(environ, tmp_path)
            assert found.generated_secret is None
            assert found.token_rules() == found.jwt
        assert [*tmp_path.iterdir()] == []

    def test_processes_that_start_together_share_it(self, tmp_path: Path) -> None:
        program = (
            "from pathlib import Path; from realtime.settings import Settings;"
            f"here = Settings.from_environment({{}}, Path({str(tmp_path)!r}));"
            "print('ready', flush=True); input();"
            "print(str(here.token_rules().secrets[0]))"
        )
        started = [
            subprocess.Popen(  # noqa: S603
                [sys.executable, "-c", program],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(4)
        ]
        for process in started:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        secrets = {process.communicate()[0] for process in started}
        assert len(secrets) == 1
        assert secrets == {(tmp_path / "data/jwt-secret").read_text() + "\n"}
        assert [*(tmp_path / "data").iterdir()] == [tmp_path / "data/jwt-secret"]

    def test_a_spoilt_one_is_not_used(self, tmp_path: Path) -> None:
        path = tmp_path / "data/jwt-secret"
        path.parent.mkdir()
        for spoilt in (b"", b"short", b"\xff" * 40):
            path.write_bytes(spoilt)
            with pytest.raises(SettingsError, match="jwt-secret"):
                Settings.from_environment({}, tmp_path).token_rules()

    def test_a_directory_that_cannot_be_made_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        found = Settings.from_environment({"DATA_DIR": "file/data"}, tmp_path)
        with pytest.raises(SettingsError, match="Not a directory"):
            found.token_rules()


class TestDotenv:
    def test_it_is_read_in_development(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text(
            "PORT=9000\nexport WORKERS='2'\nJWT_SECRET=a$b${HOME}\nHOST\n"
        )
        found = load({}, tmp_path)
        assert (found.port, found.workers) == (9000, 2)
        assert found.jwt.secrets == ("a$b${HOME}",)

    def test_the_environment_wins(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("PORT=9000\nWORKERS=2\n")
        found = load({"PORT": "9001", "WORKERS": ""}, tmp_path)
        assert (found.port, found.workers) == (9001, 1)

    @pytest.mark.parametrize("name", ["production", " Production"])
    def test_it_is_not_read_in_production(self, tmp_path: Path, name: str) -> None:
        (tmp_path / ".env").write_text("PORT=9000\n")
        assert load(PRODUCTION | {"RIDEWIRE_ENV": name}, tmp_path).port == 8080

    def test_it_cannot_declare_production(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("\n".join(f"{k}={v}" for k, v in PRODUCTION.items()))
        assert ".env" in problems({}, tmp_path)["RIDEWIRE_ENV"]
        assert not load({"RIDEWIRE_ENV": "development"}, tmp_path).production

    def test_there_need_not_be_one(self, tmp_path: Path) -> None:
        assert load({}, tmp_path).port == 8080

    def test_one_that_cannot_be_read_is_told(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_bytes(b"PORT=\xff")
        assert "UTF-8" in problems({}, tmp_path)[str(tmp_path / ".env")]

    def test_a_key_in_it_may_span_lines(self, tmp_path: Path) -> None:
        pem = pem_of(EC_KEY)
        for text in (f'"{pem}"', '"' + pem.replace("\n", "\\n") + '"', pem.replace("\n", "\\n")):
            (tmp_path / ".env").write_text(f"JWT_PUBLIC_KEY={text}\n")
            assert load({}, tmp_path).jwt.public_keys == (pem.strip(),)
