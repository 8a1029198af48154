"""What a back end does to a user's connections over HTTP: events of its own, and the end."""

import pytest

from tests.conftest import Cluster, Connect, fresh
from tests.http.conftest import Company


async def test_an_event_reaches_every_connection_of_the_user(
    company: Company, cluster: Cluster, connect: Connect
) -> None:
    devices = [
        await connect(cluster.first, "rider", company.rider_id),
        await connect(cluster.second, "rider", company.rider_id, kind="js", parser="msgpack"),
    ]
    other = await connect(cluster.first, "rider", fresh("other"))
    body = {"event": "payment:due", "data": {"amount": 12.5, "currency": "EUR"}}
    answer = await company.service.ask("POST", f"/v1/users/{company.rider_id}/events", body)
    assert (answer.status, answer.text) == (202, "")
    for device in devices:
        assert await device.hears("payment:due") == body["data"]
    await company.service.ask("POST", f"/v1/users/{other.user_id}/events", {"event": "done"})
    await other.hears("done")
    assert other.heard("payment:due") == []


async def test_an_event_for_one_role_reaches_no_other(
    company: Company, cluster: Cluster, connect: Connect
) -> None:
    user_id = fresh("both")
    rider = await connect(cluster.first, "rider", user_id)
    driver = await connect(cluster.second, "driver", user_id)
    path = f"/v1/users/{user_id}/events"
    await company.service.ask("POST", path, {"event": "bonus", "role": "driver"})
    await company.service.ask("POST", path, {"event": "done"})
    for client in (rider, driver):
        await client.hears("done")
    assert (len(rider.heard("bonus")), len(driver.heard("bonus"))) == (0, 1)


@pytest.mark.parametrize(
    "name",
    [
        *("trip:status", "chat:message", "session:ended", "driver:x", "control:follow"),
        *("connect", "disconnect", "connect_error", "", "with space", 'quo"te', "x" * 65, "ü"),
    ],
)
async def test_an_event_cannot_pass_for_one_of_the_servers(company: Company, name: str) -> None:
    path = f"/v1/users/{company.rider_id}/events"
    answer = await company.service.ask("POST", path, {"event": name})
    assert (answer.status, answer.error["path"]) == (400, "event")


@pytest.mark.parametrize("who", ["agent", "rider", "driver"])
async def test_only_the_service_pushes_and_revokes(company: Company, who: str) -> None:
    caller = getattr(company, who)
    user = f"/v1/users/{company.rider_id}"
    assert await caller.refused("POST", f"{user}/events", {"event": "x"}) == "403 forbidden"
    assert await caller.refused("DELETE", f"{user}/sessions") == "403 forbidden"
    assert await caller.refused("DELETE", f"/v1/sessions/{fresh('jti')}") == "403 forbidden"


async def test_a_cut_off_user_is_out_through_both_doors(
    company: Company, cluster: Cluster, connect: Connect
) -> None:
    client = await connect(cluster.second, "rider", company.rider_id)
    answer = await company.service.ask("DELETE", f"/v1/users/{company.rider_id}/sessions")
    assert (answer.status, answer.text) == (204, "")
    ended = await client.hears("session:ended")
    assert (ended["code"], ended["retry"]) == ("revoked", False)
    await client.disconnected.wait()
    assert await company.rider.refused("GET", "/v1/trips") == "401 unauthorized"
