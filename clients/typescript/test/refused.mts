// What must not compile, each with the error by which tsc refuses the line below it.
import { io, type Socket } from "socket.io-client";
import type { ClientToServerEvents, RidewireSocket, ServerToClientEvents } from "@ridewire/types";

const socket: RidewireSocket = io();
const stock: Socket<ServerToClientEvents, ClientToServerEvents> = io();
const trip_id = "01JC";
const client_id = crypto.randomUUID();
const pickup = { lat: 52.5219, lng: 13.4132 };

// A field that does not exist.
// @ts-expect-error TS2353
socket.emit("trip:subscribe", { trip_id, after: 3 });
// @ts-expect-error TS2769
await socket.emitWithAck("trip:create", { client_id, pickup, dropof: pickup });

// A required field that is missing.
// @ts-expect-error TS2741
socket.emit("trip:offer", { trip_id });
// @ts-expect-error TS2741
socket.emit("trip:create", { client_id });

// A payload that is missing.
// @ts-expect-error TS2554
await socket.emitWithAck("trip:create");

// A value of the wrong type, a state that does not exist.
// @ts-expect-error TS2322
socket.emit("chat:history", { conversation_id: trip_id, limit: "50" });
// @ts-expect-error TS2322
socket.emit("trip:update", { trip_id, status: "done" });

// A command or an event that does not exist, or that goes the other way.
// @ts-expect-error TS2769
socket.emit("trip:delete", { trip_id });
// @ts-expect-error TS2769
socket.emit("trip:status", { trip_id });
// @ts-expect-error TS2345
socket.on("trip:statuses", () => undefined);
// @ts-expect-error TS2345
socket.on("trip:create", () => undefined);

// A field of an event that it does not have.
// @ts-expect-error TS2339
socket.on("trip:location", ({ latitude }) => latitude);

// A message without what its kind needs.
// @ts-expect-error TS2345
socket.emit("chat:send", { conversation_id: trip_id, client_id, kind: "location" });
// @ts-expect-error TS2345
socket.emit("chat:send", { conversation_id: trip_id, client_id, kind: "text" });

// An edit of nothing, a receipt of nothing.
// @ts-expect-error TS2345
socket.emit("trip:edit", { trip_id, version: 3 });
// @ts-expect-error TS2345
socket.emit("chat:receipt", { conversation_id: trip_id });

// An answer that is used before it is looked at.
const answer = await socket.emitWithAck("trip:create", { client_id, pickup });
// @ts-expect-error TS2339
answer.trip;
// @ts-expect-error TS2339
answer.error;
// @ts-expect-error TS2339
(await socket.timeout(1_000).emitWithAck("trip:subscribe", { trip_id })).messages;
// @ts-expect-error TS2339
socket.emit("trip:create", { client_id, pickup }, ({ trip }) => trip);
if (answer.ok) {
  // @ts-expect-error TS2339
  answer.error;
  // @ts-expect-error TS2339
  answer.trip.rider;
}

// With Socket.IO's own type of a socket: the same.
// @ts-expect-error TS2345
stock.emit("trip:delete", { trip_id }, () => undefined);
// @ts-expect-error TS2339
(await stock.emitWithAck("trip:create", { client_id, pickup })).trip;
