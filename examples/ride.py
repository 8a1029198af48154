import asyncio
import os
import time
import uuid

import socketio

driver, rider, backend = (socketio.AsyncClient() for _ in range(3))
over = asyncio.Event()
route = {
    "accepted": (52.5214, 13.4125),
    "arriving": (52.5217, 13.4128),
    "arrived": (52.5219, 13.4132),
    "in_progress": (52.5216, 13.4136),
    "completed": (52.5213, 13.4139),
}


# The driver's app takes what it is offered, and says where the car is.
async def drive(trip_id):
    for status, (lat, lng) in route.items():
        await driver.call("trip:update", {"trip_id": trip_id, "status": status})
        ts = int(time.time() * 1000)
        await driver.emit("driver:location", {"lat": lat, "lng": lng, "ts": ts, "seq": ts})
        await asyncio.sleep(0.5)


@driver.on("session:ready")
async def take_waiting(session):
    for trip in session["trips"]:
        if trip["offer"]:
            await drive(trip["id"])


@driver.on("trip:status")
async def take(event):
    if event["offer"] and event["offer"]["driver_id"] == "dan":
        await drive(event["trip_id"])


@driver.on("chat:message")
def read(message):
    print("driver reads:", message["text"])


# The rider's app asks for a trip, follows it, and writes to whoever accepts.
@rider.on("session:ready")
async def request(_session):
    wish = {"client_id": str(uuid.uuid4()), "pickup": {"lat": 52.5219, "lng": 13.4132}}
    trip_id = (await rider.call("trip:create", wish))["trip"]["id"]
    await rider.call("trip:subscribe", {"trip_id": trip_id})
    # Choosing the driver is your backend's part.
    await backend.call("trip:offer", {"trip_id": trip_id, "driver_id": "dan"})


@rider.on("trip:status")
async def follow(event):
    offer, status = event["offer"], event["status"]
    if event["version"] == 1:
        return  # its own request
    print("rider sees:", f"offered to {offer['driver_id']}" if offer else status)
    if status == "accepted":
        message = {"client_id": str(uuid.uuid4()), "text": "I am the one in the red coat"}
        await rider.emit("chat:send", {"conversation_id": event["trip_id"], **message})
    if status == "completed":
        over.set()


@rider.on("trip:location")
def watch(location):
    print(f"rider sees: the car at {location['lat']}, {location['lng']}")


async def main():
    for client, name in ((backend, "BACKEND"), (driver, "DRIVER"), (rider, "RIDER")):
        auth = {"token": os.environ[name]}
        await client.connect("http://127.0.0.1:8080", auth=auth, transports=["websocket"])
    await over.wait()
    for client in (backend, driver, rider):
        await client.disconnect()


asyncio.run(main())
