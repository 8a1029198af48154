"""The keys of tokens: what each of them is used for, and which one a header means."""

from realtime.key_ring import Key, KeyRing, TokenKey

SECRETS = ("HS256", "HS384", "HS512")


def ring(*keys: TokenKey, allowed: tuple[str, ...] = ()) -> KeyRing:
    return KeyRing(keys, allowed)


def found(ring: KeyRing, algorithm: str, kid: str = "") -> list[Key]:
    return [*ring.find(algorithm, kid)]


def test_a_key_is_used_for_its_usual_algorithm() -> None:
    one = ring(TokenKey(b"a", SECRETS))
    assert found(one, "HS256") == [b"a"]
    assert found(one, "HS512") == []
    assert one.algorithms == ["HS256"]


def test_a_key_is_used_for_all_that_is_allowed_and_that_it_is_made_for() -> None:
    one = ring(TokenKey(b"a", SECRETS), allowed=("RS256", "HS512", "HS384"))
    assert one.algorithms == ["HS512", "HS384"]
    assert ring(TokenKey(b"a", SECRETS), allowed=("RS256",)).algorithms == []


def test_a_name_means_the_key_that_has_it_and_no_other() -> None:
    keys = ring(TokenKey(b"a", SECRETS, "old"), TokenKey(b"b", SECRETS, "new"))
    assert found(keys, "HS256", "new") == [b"b"]
    assert found(keys, "HS256", "other") == []
    assert found(keys, "HS512", "new") == []
    assert keys.names == {"old", "new"}


def test_a_name_that_no_key_has_may_mean_any_without_a_name() -> None:
    keys = ring(TokenKey(b"a", SECRETS, "old"), TokenKey(b"b", SECRETS), TokenKey(b"c", SECRETS))
    assert found(keys, "HS256", "other") == [b"b", b"c"]
    assert found(keys, "HS256", "old") == [b"a"]


def test_a_header_without_a_name_may_mean_every_key() -> None:
    keys = ring(TokenKey(b"a", SECRETS, "old"), TokenKey(b"b", SECRETS))
    assert found(keys, "HS256") == [b"a", b"b"]


def test_keys_may_share_a_name() -> None:
    keys = ring(TokenKey(b"a", ("HS256",), "k"), TokenKey(b"b", ("HS384",), "k"))
    assert (found(keys, "HS256", "k"), found(keys, "HS384", "k")) == ([b"a"], [b"b"])
