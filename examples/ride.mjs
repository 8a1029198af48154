import { randomUUID } from "node:crypto";
import { io } from "socket.io-client";

const { DRIVER, RIDER, BACKEND } = process.env;
const [driver, rider, backend] = [DRIVER, RIDER, BACKEND].map((token) =>
  io("http://127.0.0.1:8080", { transports: ["websocket"], auth: { token } }),
);
const route = {
  accepted: [52.5214, 13.4125],
  arriving: [52.5217, 13.4128],
  arrived: [52.5219, 13.4132],
  in_progress: [52.5216, 13.4136],
  completed: [52.5213, 13.4139],
};

// The driver's app takes what it is offered, and says where the car is.
async function drive(trip_id) {
  for (const [status, [lat, lng]] of Object.entries(route)) {
    await driver.emitWithAck("trip:update", { trip_id, status });
    const ts = Date.now();
    driver.emit("driver:location", { lat, lng, ts, seq: ts });
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}
driver.on("session:ready", ({ trips }) => trips.forEach((trip) => trip.offer && drive(trip.id)));
driver.on("trip:status", ({ trip_id, offer }) => offer?.driver_id === "dan" && drive(trip_id));
driver.on("chat:message", ({ text }) => console.log(`driver reads: ${text}`));

// The rider's app asks for a trip, follows it, and writes to whoever accepts.
rider.once("session:ready", async () => {
  const wish = { client_id: randomUUID(), pickup: { lat: 52.5219, lng: 13.4132 } };
  const { trip } = await rider.emitWithAck("trip:create", wish);
  await rider.emitWithAck("trip:subscribe", { trip_id: trip.id });
  // Choosing the driver is your backend's part.
  await backend.emitWithAck("trip:offer", { trip_id: trip.id, driver_id: "dan" });
});
rider.on("trip:status", ({ trip_id, version, status, offer }) => {
  if (version === 1) return; // its own request
  console.log("rider sees:", offer ? `offered to ${offer.driver_id}` : status);
  const message = { client_id: randomUUID(), text: "I am the one in the red coat" };
  if (status === "accepted") rider.emit("chat:send", { conversation_id: trip_id, ...message });
  if (status === "completed") process.exit();
});
rider.on("trip:location", ({ lat, lng }) => console.log(`rider sees: the car at ${lat}, ${lng}`));
