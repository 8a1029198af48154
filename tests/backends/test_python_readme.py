"""clients/python/README.md says what is so, and its examples run as they stand there."""

import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final, get_args

import django
import httpx
import pytest
import ridewire
from django.conf import settings
from django.test import RequestFactory
from ridewire import Place, Ridewire, calls, errors, tokens

from realtime.tokens import Secret, TokenRules, Tokens
from tests.conftest import Cluster, Connect, fresh, now
from tests.docs.markdown import ROOT, Document
from tests.servers import SECRET

README: Final = Document("clients/python/README.md")
FROM_SOURCE: Final = str(ROOT / "clients/python/src")
TRIED_ELSEWHERE: Final = {
    "install": "it needs a package registry",
}
TRIED_HERE: Final = {"script.py", "views.py", "main.py", "app.py", "by_version.py"}


@pytest.fixture
def example(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Example":
    monkeypatch.setenv("RIDEWIRE_URL", cluster.first)
    monkeypatch.setenv("JWT_SECRET", SECRET)
    return Example(tmp_path)


class Example:
    """The README's blocks as files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def saved(self, name: str) -> Path:
        path = self._folder / name
        path.write_text(README.code_named(name))
        return path

    def imported(self, name: str) -> ModuleType:
        path = self.saved(name)
        spec = importlib.util.spec_from_file_location(f"readme_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # where the frameworks look annotations up
        spec.loader.exec_module(module)
        return module


@pytest.fixture
def rides(cluster: Cluster) -> Ridewire:
    return Ridewire(cluster.second, token=tokens.minter(SECRET))


def test_the_script_prints_what_is_shown(example: Example) -> None:
    [shown] = [
        code.text for code in README.code() if (code.language, code.name) == ("text", "script")
    ]
    done = subprocess.run(  # noqa: S603 - the README's script
        [sys.executable, example.saved("script.py")],
        env={**os.environ, "PYTHONPATH": FROM_SOURCE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (shown, "")


class TestDjango:
    @pytest.fixture
    def views(self, example: Example) -> ModuleType:
        if not settings.configured:
            apps = ["django.contrib.auth", "django.contrib.contenttypes"]
            settings.configure(INSTALLED_APPS=apps, ALLOWED_HOSTS=["testserver"], ROOT_URLCONF=())
            django.setup()
        return example.imported("views.py")

    def test_a_user_gets_a_riders_token(self, views: ModuleType) -> None:
        answer = views.token(_by_user(RequestFactory().get("/token"), 7))
        identity = _identity(json.loads(answer.content)["token"])
        assert (identity.user_id, identity.role) == ("7", "rider")

    def test_nobody_gets_none(self, views: ModuleType) -> None:
        answer = views.token(_by_user(RequestFactory().get("/token"), None))
        assert (answer.status_code, answer["Location"][:16]) == (302, "/accounts/login/")

    def test_a_booking_is_one_trip_however_often_it_is_sent(
        self, views: ModuleType, rides: Ridewire
    ) -> None:
        wish = {"lat": 52.5, "lng": 13.4, "booking": fresh("booking")}

        def book(user: int) -> str:
            request = RequestFactory().post("/book", wish, content_type="application/json")
            answer = views.book(_by_user(request, user))
            assert answer.status_code == 201
            trip_id: str = json.loads(answer.content)["trip_id"]
            return trip_id

        assert book(7) == book(7)
        assert rides.get_trip(book(7)).rider_id == "7"
        assert rides.get_trip(book(8)).rider_id == "8"


class TestFastApi:
    async def test_a_trip_is_cancelled_and_refusals_are_passed_on(
        self, example: Example, rides: Ridewire
    ) -> None:
        app = example.imported("main.py").app
        trip = rides.create_trip(rider_id=fresh("rider"), pickup=Place(52.5, 13.4))
        async with app.router.lifespan_context(app) as state:

            async def living(scope: Any, receive: Any, send: Any) -> None:
                await app({**scope, "state": state}, receive, send)

            transport = httpx.ASGITransport(living)
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
                done = await client.post(f"/trips/{trip.id}/cancel?reason=rain")
                missing = await client.post(f"/trips/{fresh('trip')}/cancel?reason=rain")
        assert (done.status_code, done.json()["status"]) == (200, "cancelled")
        assert rides.get_trip(trip.id).reason == "rain"
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


class TestFlask:
    async def test_a_payment_is_told_once_in_the_chat_and_to_the_driver(
        self, example: Example, rides: Ridewire, cluster: Cluster, connect: Connect
    ) -> None:
        client = example.imported("app.py").app.test_client()
        driver = await connect(cluster.first, "driver", fresh("driver"))
        trip = rides.create_trip(rider_id=fresh("rider"), pickup=Place(52.5, 13.4))
        rides.update_trip(trip.id, "accepted", driver_id=driver.user_id)
        payment = {"trip_id": trip.id, "id": fresh("payment")}
        for _ in range(2):
            assert client.post("/paid", json=payment).status_code == 204
        assert [message.text for message in rides.iter_messages(trip.id)] == ["Paid"]
        assert await driver.hears("payment:done") == {"trip_id": trip.id}

    def test_a_payment_for_nothing_is_not_found(self, example: Example) -> None:
        client = example.imported("app.py").app.test_client()
        payment = {"trip_id": fresh("trip"), "id": fresh("payment")}
        assert client.post("/paid", json=payment).status_code == 404


def test_a_driver_is_taken_off_unless_the_trip_has_moved_on(
    example: Example, rides: Ridewire
) -> None:
    take_off = example.imported("by_version.py").take_off
    trip = rides.create_trip(rider_id=fresh("rider"), pickup=Place(52.5, 13.4))
    seen = rides.update_trip(trip.id, "accepted", driver_id=fresh("driver"))
    moved = rides.update_trip(trip.id, "arriving")
    assert take_off(rides, seen) == moved
    assert take_off(rides, moved).driver_id is None


def test_every_method_is_in_the_table_and_no_other() -> None:
    rows = README.table("What there is")
    methods = [
        name
        for name, _ in inspect.getmembers(Ridewire, inspect.isfunction)
        if not name.startswith("_") and name != "close"
    ]
    assert sorted(row["Method"] for row in rows) == methods


def test_what_is_sent_again_is_as_the_table_says() -> None:
    told = {
        row["Method"]: row["Sent again after a lost answer"]
        for row in README.table("What there is")
    }
    never: Mapping[str, calls.Call[Any]] = {
        "push_event": calls.push_event("rita", "news"),
        "revoke_user": calls.revoke_user("rita"),
    }
    by_version: Mapping[str, Callable[..., calls.Call[Any]]] = {
        "edit_trip": partial(calls.edit_trip, "T1", dropoff=None),
        "offer_trip": partial(calls.offer_trip, "T1", "dan"),
        "update_trip": partial(calls.update_trip, "T1", "accepted"),
    }
    assert {name for name, when in told.items() if when == "no"} == set(never)
    assert {name for name, when in told.items() if "with version" in when} == set(by_version)
    assert {name for name, when in told.items() if when != "yes"} == {*never, *by_version}
    assert not any(call.repeatable for call in never.values())
    assert not any(described().repeatable for described in by_version.values())
    assert all(described(version=1).repeatable for described in by_version.values())


def test_which_states_are_sent_again_without_a_version_is_as_the_table_says() -> None:
    [told] = [
        row["Sent again after a lost answer"]
        for row in README.table("What there is")
        if row["Method"] == "update_trip"
    ]
    states = set(get_args(ridewire.Status))
    named = states & set(re.findall(r"\w+", told))
    assert named == {state for state in states if calls.update_trip("T1", state).repeatable}


def test_every_exception_is_in_the_table_with_what_it_has() -> None:
    rows = {row["Exception"]: row["Has"] for row in README.table("When something fails")}
    kinds = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, ridewire.RidewireError)
    }
    assert set(rows) == set(kinds) - {"RidewireError"}
    assert set(rows) <= set(ridewire.__all__)
    for name, told in rows.items():
        own = {
            attribute
            for attribute in vars(kinds[name])
            if isinstance(vars(kinds[name])[attribute], property)
        }
        assert own <= {word.strip(",") for word in told.split()}, name


def test_every_block_is_tried() -> None:
    shown = {code.name for code in README.code() if code.language != "text"}
    assert shown == TRIED_HERE | TRIED_ELSEWHERE.keys()


def test_every_link_leads_somewhere() -> None:
    for link in README.links():
        path, _, anchor = link.partition("#")
        target = README.path.parent / path
        assert target.exists(), link
        assert not anchor or anchor in Document(str(target.resolve())).anchors(), link


def test_the_numbers_are_those_of_the_code() -> None:
    rules = ridewire.Retries()
    assert f"up to {('zero', 'one', 'two', 'three', 'four')[rules.attempts]} times" in README.prose
    assert f"within {rules.within_s:g} s" in README.prose.replace("\n", " ")


def _by_user(request: Any, key: int | None) -> Any:
    """The request as Django's own middleware hands it on after a login, or without one."""
    known = importlib.import_module("django.contrib.auth.models")  # only once the apps are set up
    request.user = known.AnonymousUser() if key is None else known.User(pk=key)
    return request


def _identity(token: str) -> Any:
    return Tokens(TokenRules(secrets=(Secret(SECRET),)), now).verify(token)
