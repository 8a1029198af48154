"""A restart of everything between two commands of a ride: nothing that was answered is lost."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from itertools import product
from pathlib import Path

import pytest

from tests.clients import WAIT_S, JsClient
from tests.conftest import Connect, fresh, now
from tests.rides import PICKUP, hears_version, point, say, where
from tests.servers import Server


class _Company:
    """A server with stores of its own; it can be ended and started again where it was."""

    def __init__(self, data: Path) -> None:
        self._settings = {"DATA_DIR": str(data)}
        self.server: Server | None = None

    @property
    def url(self) -> str:
        assert self.server is not None
        return self.server.url

    async def start(self) -> None:
        self.server = await Server.start(self._settings)
        self._settings["PORT"] = self.server.url.rpartition(":")[2]

    async def end(self, how: signal.Signals) -> None:
        assert self.server is not None
        await (self.server.kill() if how == signal.SIGKILL else self.server.stop())


@pytest.fixture
async def company(tmp_path: Path) -> AsyncIterator[_Company]:
    company = _Company(tmp_path / "data")
    await company.start()
    yield company
    await company.end(signal.SIGINT)


async def test_a_ride_goes_on_after_restarts_of_everything(
    company: _Company, connect: Connect
) -> None:
    """Once it was ended in order, and once killed."""
    rider_id, driver_id = fresh("rider"), fresh("driver")
    request = {"client_id": "one", "pickup": PICKUP, "pin": "4711"}

    rider = await connect(company.url, "rider", rider_id)
    trip = (await rider.ok("trip:create", request))["trip"]
    await company.end(signal.SIGINT)
    await company.start()

    dispatcher = await connect(company.url, "service", fresh("dispatch"))
    offer = {"trip_id": trip["id"], "driver_id": driver_id}
    await dispatcher.ok("trip:offer", offer)
    driver = await connect(company.url, "driver", driver_id)
    ready = driver.heard("session:ready")[0]
    assert [(t["id"], t["offer"]) for t in ready["trips"]] == [
        (trip["id"], {"driver_id": driver_id})
    ]
    accepted = await driver.ok("trip:update", {"trip_id": trip["id"], "status": "accepted"})
    sent = await say(driver, trip["id"], "on my way")
    rider = await connect(company.url, "rider", rider_id)
    read = {"conversation_id": trip["id"], "read_seq": 1}
    await rider.ok("chat:receipt", read)
    await company.end(signal.SIGKILL)
    await company.start()

    rider = await connect(company.url, "rider", rider_id)
    ready = rider.heard("session:ready")[0]
    assert ready["trips"] == [accepted["trip"] | {"pin": "4711"}]
    assert ready["conversations"] == [{"id": trip["id"], "last_seq": 1, "read_seq": 1}]
    snapshot = await rider.ok("trip:subscribe", {"trip_id": trip["id"]})
    assert snapshot["messages"] == [sent]
    assert snapshot["read"] == {rider_id: {"delivered_seq": 1, "read_seq": 1}}
    assert (await rider.ok("trip:create", request))["trip"] == ready["trips"][0]

    driver = await connect(company.url, "driver", driver_id)
    again = {name: sent[name] for name in ("conversation_id", "client_id", "text")}
    assert (await driver.ok("chat:send", again))["message"] == sent
    await driver.ok("driver:location", point(1))
    await rider.hears("trip:location")
    for status in ("arriving", "arrived", "in_progress", "completed"):
        move = {"trip_id": trip["id"], "status": status, "pin": "4711"}
        await driver.ok("trip:update", move)
    await hears_version(rider, trip["id"], 7)
    assert (await say(rider, trip["id"], "thank you"))["seq"] == 2


async def test_a_stock_client_is_told_of_the_end_and_comes_back_by_itself(
    company: _Company, connect: Connect
) -> None:
    transports = (["websocket"], ["polling"], ["polling", "websocket"])
    riders = [
        await connect(
            company.url,
            "rider",
            fresh("rider"),
            kind="js",
            parser=parser,
            transports=transport,
            reconnection=True,
        )
        for parser, transport in product(("json", "msgpack"), transports)
    ]
    trips = [
        (await rider.ok("trip:create", {"client_id": "one", "pickup": PICKUP}))["trip"]
        for rider in riders
    ]
    await company.end(signal.SIGINT)
    for rider in riders:
        assert isinstance(rider, JsClient)
        await asyncio.wait_for(rider.disconnected.wait(), WAIT_S)
        (ended,) = rider.heard("session:ended")
        assert (ended["code"], ended["retry"]) == ("draining", True)
        assert 0 <= ended["retry_in_ms"] < 60_000
        assert rider.comes_back
        assert rider.reason != "io server disconnect"
    restarted_at = now()
    await company.start()
    for rider, trip in zip(riders, trips, strict=True):
        ready = await rider.hears("session:ready", _later_than(restarted_at))
        assert ready["trips"] == [trip]
        cancel = {"trip_id": trip["id"], "status": "cancelled"}
        await rider.ok("trip:update", cancel)
        await rider.hears("trip:status", where(trip_id=trip["id"], status="cancelled"))


def _later_than(moment: int) -> Callable[[dict[str, int]], bool]:
    return lambda ready: ready["server_time"] > moment
