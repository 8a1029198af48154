"""Trips over HTTP: created, read, listed, changed, offered, shared."""

import asyncio
from typing import Any

import pytest

from models import mongo
from realtime.http.cursors import cursor
from tests.conftest import Cluster, fresh
from tests.http.conftest import Company
from tests.rides import PICKUP

DROPOFF = {"lat": 52.6, "lng": 13.5}


async def test_a_created_trip_is_there_to_be_read(company: Company) -> None:
    answer = await company.service.ask("POST", "/v1/trips", company.request(dropoff=DROPOFF))
    assert answer.status == 201
    trip = answer.json
    assert answer.headers["Location"] == f"/v1/trips/{trip['id']}"
    assert answer.headers["ETag"] == '"1"'
    assert (trip["rider_id"], trip["status"]) == (company.rider_id, "requested")
    for caller in (company.service, company.agent, company.rider):
        assert await caller.ok("GET", answer.headers["Location"]) == trip


async def test_a_retried_creation_is_one_trip(company: Company) -> None:
    body = company.request()
    trips = await asyncio.gather(
        *(caller.ok("POST", "/v1/trips", body) for caller in [company.service] * 5)
    )
    assert len({trip["id"] for trip in trips}) == 1


async def test_an_idempotency_key_is_the_client_id(company: Company) -> None:
    key = fresh("key")
    body = company.request()
    del body["client_id"]
    by_header = await company.service.ok(
        "POST", "/v1/trips", body, headers={"Idempotency-Key": key}
    )
    by_body = await company.service.ok("POST", "/v1/trips", {**body, "client_id": key})
    assert by_header["id"] == by_body["id"]


async def test_two_different_keys_are_refused(company: Company) -> None:
    answer = await company.service.ask(
        "POST", "/v1/trips", company.request(), headers={"Idempotency-Key": "other"}
    )
    assert answer.status == 400
    assert (answer.error["code"], answer.error["path"]) == ("invalid", "client_id")


async def test_an_unknown_trip_and_a_strangers_look_the_same(company: Company) -> None:
    trip_id = await company.trip()
    for path in (f"/v1/trips/{trip_id}", f"/v1/trips/{fresh('trip')}"):
        answer = await company.stranger.ask("GET", path)
        assert answer.status == 404
        assert (answer.error["code"], answer.error["message"]) == ("not_found", "no such trip")


async def test_everybody_sees_the_trip_in_their_own_view(company: Company) -> None:
    trip_id = await company.trip("accepted", pin="1234")
    viewer = company.caller("viewer", fresh("viewer"), trips=[trip_id])
    path = f"/v1/trips/{trip_id}"
    assert (await company.rider.ok("GET", path))["pin"] == "1234"
    assert "pin" not in await company.driver.ok("GET", path)
    assert set(await viewer.ok("GET", path)) == {
        *("id", "status", "version", "pickup", "dropoff", "stops")
    }


class TestChanges:
    async def test_a_trip_moves_through_its_states(self, company: Company) -> None:
        path = f"/v1/trips/{await company.trip('accepted')}"
        for status in ("arriving", "arrived", "in_progress", "completed"):
            trip = await company.driver.ok("POST", f"{path}/status", {"status": status})
            assert trip["status"] == status
        assert (await company.rider.ok("GET", path))["version"] == 6

    async def test_an_illegal_transition_tells_the_legal_ones(self, company: Company) -> None:
        trip_id = await company.trip()
        answer = await company.service.ask(
            "POST", f"/v1/trips/{trip_id}/status", {"status": "completed"}
        )
        assert answer.status == 409
        assert answer.error["code"] == "illegal_transition"
        assert "accepted" in answer.error["allowed"]

    async def test_an_edit_changes_what_it_names(self, company: Company) -> None:
        path = f"/v1/trips/{await company.trip()}"
        trip = await company.rider.ok("PATCH", path, {"dropoff": DROPOFF})
        assert (trip["dropoff"], trip["version"], trip["pickup"]) == (DROPOFF, 2, PICKUP)
        assert (await company.rider.ok("PATCH", path, {"dropoff": None}))["dropoff"] is None

    async def test_an_ended_trip_takes_no_edit(self, company: Company) -> None:
        path = f"/v1/trips/{await company.trip('cancelled')}"
        assert await company.rider.refused("PATCH", path, {"dropoff": DROPOFF}) == "409 closed"

    async def test_an_offer_is_taken_by_the_driver(self, company: Company) -> None:
        trip_id = await company.trip()
        body = {"driver_id": company.driver_id, "expires_in_ms": 60_000}
        trip = await company.agent.ok("POST", f"/v1/trips/{trip_id}/offer", body)
        assert trip["offer"]["driver_id"] == company.driver_id
        taken = await company.driver.ok(
            "POST", f"/v1/trips/{trip_id}/status", {"status": "accepted"}
        )
        assert taken["driver_id"] == company.driver_id


class TestVersions:
    async def test_if_match_lets_one_of_two_changes_through(self, company: Company) -> None:
        path = f"/v1/trips/{await company.trip()}"
        tag = (await company.rider.ask("GET", path)).headers["ETag"]
        headers = {"If-Match": tag}
        first = await company.rider.ask("PATCH", path, {"dropoff": DROPOFF}, headers=headers)
        assert (first.status, first.headers["ETag"]) == (200, '"2"')
        second = await company.rider.ask("PATCH", path, {"dropoff": PICKUP}, headers=headers)
        assert second.status == 412
        assert second.error["code"] == "conflict"
        assert second.error["trip"] == first.json

    async def test_a_version_in_the_body_conflicts_as_on_sockets(self, company: Company) -> None:
        path = f"/v1/trips/{await company.trip('accepted')}"
        body = {"status": "arriving", "version": 1}
        assert await company.driver.refused("POST", f"{path}/status", body) == "409 conflict"

    async def test_a_tag_that_holds_does_not_answer_for_the_body(self, company: Company) -> None:
        path = f"/v1/trips/{await company.trip('accepted')}"
        body = {"dropoff": DROPOFF, "version": 1}
        any_version = {"If-Match": "*"}
        assert await company.rider.refused("PATCH", path, body, headers=any_version) == (
            "409 conflict"
        )
        wrong = {"dropoff": DROPOFF, "version": True}
        assert await company.rider.refused("PATCH", path, wrong, headers={"If-Match": '"1"'}) == (
            "400 invalid"
        )

    async def test_repeating_the_last_transition_is_no_conflict(self, company: Company) -> None:
        path = f"/v1/trips/{await company.trip('accepted')}/status"
        headers = {"If-Match": '"2"'}
        first = await company.driver.ok("POST", path, {"status": "arriving"}, headers=headers)
        again = await company.driver.ok("POST", path, {"status": "arriving"}, headers=headers)
        assert again == first

    @pytest.mark.parametrize("tag", ["7", '"1', "W/7", '"1" "2"', "", ","])
    async def test_what_is_no_tag_is_refused(self, company: Company, tag: str) -> None:
        path = f"/v1/trips/{await company.trip()}"
        headers = {"If-Match": tag}
        answer = await company.rider.ask("PATCH", path, {"dropoff": DROPOFF}, headers=headers)
        assert answer.status == 400
        assert answer.error["path"] == "If-Match"

    @pytest.mark.parametrize(
        ("tag", "status"),
        [('"x"', 412), ('"-1"', 412), ('W/"2"', 412), ('W/"1"', 200), ('"x", "1"', 200)],
    )
    async def test_a_tag_holds_where_one_of_it_is_the_version(
        self, company: Company, tag: str, status: int
    ) -> None:
        path = f"/v1/trips/{await company.trip()}"
        headers = {"If-Match": tag}
        answer = await company.rider.ask("PATCH", path, {"dropoff": DROPOFF}, headers=headers)
        assert answer.status == status

    async def test_an_offer_is_made_on_the_version_that_was_looked_at(
        self, company: Company
    ) -> None:
        path = f"/v1/trips/{await company.trip()}/offer"
        body = {"driver_id": company.driver_id}
        stale = {"If-Match": '"9"'}
        assert await company.service.refused("POST", path, body, headers=stale) == "412 conflict"
        assert (await company.service.ok("POST", path, body, headers={"If-Match": '"1"'}))["offer"]

    async def test_what_a_client_has_already_is_not_sent_again(self, company: Company) -> None:
        path = f"/v1/trips/{await company.trip()}"
        tag = (await company.rider.ask("GET", path)).headers["ETag"]
        headers = {"If-None-Match": f'"99", W/{tag}'}
        answer = await company.rider.ask("GET", path, headers=headers)
        assert (answer.status, answer.text, answer.headers["ETag"]) == (304, "", tag)
        await company.rider.ok("PATCH", path, {"dropoff": DROPOFF})
        assert (await company.rider.ask("GET", path, headers=headers)).status == 200

    async def test_a_long_history_comes_compressed_under_its_own_tag(
        self, company: Company
    ) -> None:
        path = f"/v1/trips/{await company.trip('arrived', metadata={'note': 'x' * 2_000})}"
        plain = await company.rider.ask("GET", path, headers={"Accept-Encoding": "identity"})
        packed = await company.rider.ask("GET", path, headers={"Accept-Encoding": "gzip"})
        assert (plain.headers.get("Content-Encoding"), plain.headers["ETag"]) == (None, '"4"')
        assert packed.headers["Content-Encoding"] == "gzip"
        assert packed.headers["ETag"] == '"4-gzip"'
        assert packed.json == plain.json
        edited = await company.rider.ask(
            "PATCH", path, {"dropoff": DROPOFF}, headers={"If-Match": packed.headers["ETag"]}
        )
        assert edited.status == 200


async def ids(company: Company, who: str, **query: Any) -> list[str]:
    """The ids on all pages of a list."""
    caller = getattr(company, who)
    found: list[str] = []
    while True:
        page = await caller.ok("GET", "/v1/trips", query=query)
        found += [trip["id"] for trip in page["items"]]
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]


class TestLists:
    async def test_pages_hold_every_trip_once_the_newest_first(self, company: Company) -> None:
        made = [await company.trip() for _ in range(5)]
        for limit in (1, 2, 5, 6):
            listed = await ids(company, "service", rider_id=company.rider_id, limit=limit)
            assert listed == made[::-1]

    async def test_a_trip_created_between_two_pages_moves_none(self, company: Company) -> None:
        made = [await company.trip() for _ in range(3)]
        query = {"rider_id": company.rider_id, "limit": 2}
        first = await company.service.ok("GET", "/v1/trips", query=query)
        await company.trip()
        query["cursor"] = first["next_cursor"]
        second = await company.service.ok("GET", "/v1/trips", query=query)
        assert [trip["id"] for trip in first["items"] + second["items"]] == made[::-1]

    async def test_a_filter_finds_what_has_all_of_it(self, company: Company) -> None:
        requested, accepted = await company.trip(), await company.trip("accepted")
        rider = {"rider_id": company.rider_id}
        assert await ids(company, "agent", **rider, status="requested") == [requested]
        assert await ids(company, "agent", driver_id=company.driver_id) == [accepted]
        assert await ids(company, "agent", **rider, status="completed") == []
        newest = await company.service.ok("GET", "/v1/trips", query={"limit": 1})
        assert len(newest["items"]) == 1

    async def test_riders_and_drivers_list_their_own(self, company: Company) -> None:
        trip_id = await company.trip("accepted", pin="1234")
        assert await ids(company, "rider") == await ids(company, "driver") == [trip_id]
        assert await ids(company, "stranger") == []
        page = await company.driver.ok("GET", "/v1/trips")
        assert "pin" not in page["items"][0]

    @pytest.mark.parametrize(("who", "field"), [("rider", "rider_id"), ("driver", "driver_id")])
    async def test_nobody_lists_somebody_elses(
        self, company: Company, who: str, field: str
    ) -> None:
        answer = await getattr(company, who).ask("GET", "/v1/trips", query={field: "another"})
        assert answer.status == 403
        assert (answer.error["code"], answer.error["path"]) == ("forbidden", field)

    async def test_a_cursor_that_was_changed_or_is_another_lists_is_refused(
        self, company: Company
    ) -> None:
        for _ in range(2):
            await company.trip()
        query: dict[str, Any] = {"rider_id": company.rider_id, "limit": 1}
        cursor: str = (await company.service.ok("GET", "/v1/trips", query=query))["next_cursor"]
        broken = [
            cursor[:-2],
            cursor[:10] + ("A" if cursor[10] != "A" else "B") + cursor[11:],
            "nonsense",
            "é",
            "====",
        ]
        for wrong in broken:
            answer = await company.service.ask("GET", "/v1/trips", query=query | {"cursor": wrong})
            assert (answer.status, answer.error["path"]) == (400, "cursor"), wrong
        for other in ({"status": "requested"}, {"rider_id": "another"}):
            answer = await company.service.ask(
                "GET", "/v1/trips", query=query | other | {"cursor": cursor}
            )
            assert (answer.status, answer.error["path"]) == (400, "cursor")

    @pytest.mark.parametrize(
        ("query", "path"),
        [
            ({"limit": 0}, "limit"),
            ({"limit": 201}, "limit"),
            ({"limit": "ten"}, "limit"),
            ({"limit": 1.5}, "limit"),
            ({"status": "parked"}, "status"),
            ({"rider_id": "a b"}, "rider_id"),
            ({"driver_id": ""}, "driver_id"),
            ({"cursor": ""}, "cursor"),
        ],
    )
    async def test_a_wrong_query_says_where(
        self, company: Company, query: dict[str, Any], path: str
    ) -> None:
        answer = await company.service.ask("GET", "/v1/trips", query=query)
        assert answer.status == 400
        assert (answer.error["code"], answer.error["path"]) == ("invalid", path)

    async def test_a_field_given_twice_is_refused(self, company: Company) -> None:
        answer = await company.service.ask("GET", "/v1/trips?limit=1&limit=2")
        assert (answer.status, answer.error["path"]) == (400, "limit")

    async def test_what_is_unknown_is_ignored(self, company: Company) -> None:
        await company.service.ok("GET", "/v1/trips?limit=1&colour=red&event=x&colour=blue")

    @pytest.mark.parametrize("position", ["a b", 7, None, {"before_seq": -1}])
    async def test_a_forged_cursor_is_read_like_any_input(
        self, company: Company, position: object
    ) -> None:
        query = [f"rider:{company.rider_id}", None, None, None]
        forged = {"cursor": cursor(position, query)}
        answer = await company.rider.ask("GET", "/v1/trips", query=forged)
        assert (answer.status, answer.error["path"]) == (400, "cursor")


class TestSharing:
    async def test_a_link_shows_the_trip_until_it_ends(self, company: Company) -> None:
        trip_id = await company.trip("accepted")
        shared = await company.rider.ok("POST", f"/v1/trips/{trip_id}/share")
        viewer = company.with_token(shared["token"], second=True)
        assert (await viewer.ok("GET", f"/v1/trips/{trip_id}"))["status"] == "accepted"
        other = await company.trip()
        assert await viewer.refused("GET", f"/v1/trips/{other}") == "404 not_found"
        await company.rider.ok("POST", f"/v1/trips/{trip_id}/status", {"status": "cancelled"})
        assert await viewer.refused("GET", f"/v1/trips/{trip_id}") == "409 closed"

    async def test_a_link_is_for_the_time_asked_for(self, company: Company) -> None:
        trip_id = await company.trip()
        body = {"expires_in_ms": 60_000}
        short = await company.rider.ok("POST", f"/v1/trips/{trip_id}/share", body)
        usual = await company.agent.ok("POST", f"/v1/trips/{trip_id}/share", {})
        assert 23 * 3_600_000 < usual["expires_at"] - short["expires_at"] < 24 * 3_600_000

    async def test_an_ended_trip_is_not_shared(self, company: Company) -> None:
        path = f"/v1/trips/{await company.trip('completed')}/share"
        assert await company.rider.refused("POST", path) == "409 closed"

    async def test_a_driver_and_a_viewer_share_nothing(self, company: Company) -> None:
        trip_id = await company.trip("accepted")
        viewer = company.caller("viewer", fresh("viewer"), trips=[trip_id])
        for caller in (company.driver, viewer):
            assert await caller.refused("POST", f"/v1/trips/{trip_id}/share") == "403 forbidden"

    @pytest.mark.parametrize("wrong", [0, 59_999, 7 * 86_400_000 + 1, "1h", None])
    async def test_a_wrong_time_is_refused(self, company: Company, wrong: object) -> None:
        answer = await company.rider.ask(
            "POST", f"/v1/trips/{fresh('trip')}/share", {"expires_in_ms": wrong}
        )
        assert (answer.status, answer.error["path"]) == (400, "expires_in_ms")


async def test_a_distance_that_becomes_known_is_news_but_no_version(
    company: Company, cluster: Cluster
) -> None:
    trip = f"/v1/trips/{await company.trip('completed')}"
    before = await company.rider.ask("GET", trip)
    connection = mongo.connect(str(cluster.stores.mongodb_url))
    await connection.stores.trips.set_distance(before.json["id"], 6_120)
    await connection.close()
    known = {"If-None-Match": before.headers["ETag"]}
    after = await company.rider.ask("GET", trip, headers=known)
    assert after.status == 200
    assert after.json == before.json | {"distance_m": 6_120}
    known = {"If-None-Match": after.headers["ETag"]}
    assert (await company.rider.ask("GET", trip, headers=known)).status == 304
    body, match = {"status": "completed"}, {"If-Match": after.headers["ETag"]}
    again = await company.service.ask("POST", f"{trip}/status", body, headers=match)
    assert again.json["version"] == before.json["version"]
