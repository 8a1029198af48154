// A ride of a rider and a driver, arranged by a backend, over the server at URL. Prints what happens.
import { randomUUID } from "node:crypto";
import { io } from "socket.io-client";
import type { Command, GoodAnswerTo, PayloadOf, RidewireSocket, Status } from "@ridewire/types";

const { URL, RIDER, DRIVER, BACKEND } = process.env;
const [rider, driver, backend] = [connected(RIDER), connected(DRIVER), connected(BACKEND)];
const pickup = { lat: 52.5219, lng: 13.4132 };

rider.on("trip:status", ({ version, status, offer }) => {
  if (version > 1) print("rider", offer ? `offered to ${offer.driver_id}` : status);
});
rider.on("chat:message", ({ text, seq }) => print("rider", `${seq} ${text}`));
driver.on("chat:message", ({ text, seq }) => print("driver", `${seq} ${text}`));

const [, { user_id }] = await Promise.all([ready(rider), ready(driver), ready(backend)]);
const { trip } = await ask(rider, "trip:create", { client_id: randomUUID(), pickup });
const snapshot = await ask(rider, "trip:subscribe", { trip_id: trip.id });
print("rider", `${snapshot.trip.status} with ${snapshot.messages.length} messages`);
await ask(backend, "trip:offer", { trip_id: trip.id, driver_id: user_id });
await move("accepted");

const heard = new Promise<void>((resolve) => {
  rider.once("trip:location", ({ lat, lng, heading }) => {
    print("rider", `car at ${lat}, ${lng}, heading ${heading}`);
    resolve();
  });
});
const point = { lat: 52.5217, lng: 13.4128, ts: Date.now(), seq: 1, heading: 90 };
const { accepted, rejected } = await ask(driver, "driver:location", [point, point]);
print("driver", `${accepted} accepted, ${rejected.map(({ code }) => code)}`);
await heard;

await say(rider, "I am the one in the red coat");
await say(driver, "On my way");
for (const status of ["arriving", "arrived", "in_progress", "completed"] as const)
  await move(status);

const late = await driver
  .timeout(10_000)
  .emitWithAck("trip:update", { trip_id: trip.id, status: "arrived" });
if (!late.ok && late.error.code === "illegal_transition")
  print("driver", `only to ${late.error.allowed?.join() || "nothing"}`);
for (const socket of [rider, driver, backend]) socket.disconnect();

function connected(token: string | undefined): RidewireSocket {
  return io(URL, { transports: ["websocket"], auth: { token }, forceNew: true });
}

function ready(socket: RidewireSocket): Promise<{ user_id: string }> {
  return new Promise((resolve, reject) => {
    socket.once("session:ready", resolve).once("connect_error", reject);
  });
}

async function ask<Event extends Command>(
  socket: RidewireSocket,
  event: Event,
  payload: PayloadOf<Event>,
): Promise<GoodAnswerTo<Event>> {
  const answer = await socket.timeout(10_000).emitWithAck(event, payload);
  if (!answer.ok) throw new Error(`${event}: ${answer.error.code}, ${answer.error.message}`);
  return answer;
}

async function move(status: Status): Promise<void> {
  await ask(driver, "trip:update", { trip_id: trip.id, status });
}

async function say(socket: RidewireSocket, text: string): Promise<void> {
  await ask(socket, "chat:send", { conversation_id: trip.id, client_id: randomUUID(), text });
}

function print(who: string, what: string): void {
  console.log(`${who}: ${what}`);
}
