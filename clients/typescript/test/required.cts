// The same types for a program in CommonJS.
import { io } from "socket.io-client";
import type { RidewireSocket, Trip } from "@ridewire/types";

const socket: RidewireSocket = io("https://rides.example");
socket.emit("trip:subscribe", { trip_id: "01JC" }, (answer) => {
  if (answer.ok && answer.trip.events) show(answer.trip);
});

function show(trip: Trip): void {
  console.log(trip.status);
}
