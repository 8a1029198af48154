// Every command and every event, and what their types say. Compiled, not run.
import { io, type Socket } from "socket.io-client";
import type {
  AnswerTo,
  Auth,
  ClientToServerEvents,
  Command,
  Conversation,
  DriverAvailability,
  Message,
  Place,
  Point,
  Rejected,
  RidewireSocket,
  ServerToClientEvents,
  Status,
  Trip,
  TripDriver,
} from "@ridewire/types";

/** Only for what has exactly this type: what is wider, or `any`, is refused. */
declare function exactly<Expected>(): <Given>(given: Same<Expected, Given>) => void;
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? B : never;

const auth: Auth = { token: "a JWT", device: "install-1", client: "rider-ios/4.2", protocol: 1 };
const socket: RidewireSocket = io("https://rides.example", { transports: ["websocket"], auth });
const trip_id = "01JC";
const conversation_id = trip_id;
const client_id = crypto.randomUUID();
const here: Place = { lat: 52.5219, lng: 13.4132, address: "Alexanderplatz" };
const point: Point = {
  lat: 52.5163,
  lng: 13.3777,
  ts: Date.now(),
  seq: 1,
  heading: 90,
  speed: 8.3,
};

export const commands = {
  "session:refresh": async () => {
    const answer = await socket.emitWithAck("session:refresh", { token: "the next JWT" });
    if (answer.ok) exactly<number>()(answer.expires_at);
  },
  "driver:status": async () => {
    const answer = await socket.emitWithAck("driver:status", { status: "available" });
    if (answer.ok) exactly<DriverAvailability>()(answer.status);
  },
  "driver:location": async () => {
    socket.emit("driver:location", point);
    socket.volatile.emit("driver:location", point);
    const answer = await socket.emitWithAck("driver:location", [point, { ...point, seq: 2 }]);
    if (answer.ok) exactly<Rejected[]>()(answer.rejected);
  },
  "trip:create": async () => {
    const answer = await socket.emitWithAck("trip:create", {
      client_id,
      pickup: here,
      dropoff: { lat: 52.5, lng: 13.4 },
      stops: [here],
      pin: "4711",
      metadata: { luggage: 2, wishes: ["child seat"] },
      rider_id: "rita",
      driver_id: "dan",
      expires_in_ms: 30_000,
    });
    if (answer.ok) exactly<Trip>()(answer.trip);
  },
  "trip:offer": async () => {
    const answer = await socket.emitWithAck("trip:offer", { trip_id, driver_id: "dan" });
    if (answer.ok) exactly<string | null>()(answer.trip.driver_id);
  },
  "trip:decline": async () => {
    const answer = await socket.emitWithAck("trip:decline", { trip_id, reason: "too far" });
    exactly<boolean>()(answer.ok);
  },
  "trip:update": async () => {
    const answer = await socket.emitWithAck("trip:update", {
      trip_id,
      status: "arrived",
      version: 4,
    });
    if (answer.ok) exactly<Trip>()(answer.trip);
    else if (answer.error.code === "conflict") exactly<Trip | undefined>()(answer.error.trip);
    else if (answer.error.retry) exactly<number | undefined>()(answer.error.retry_after_ms);
  },
  "trip:edit": async () => {
    const answer = await socket.emitWithAck("trip:edit", { trip_id, dropoff: null });
    if (answer.ok) exactly<Place | null>()(answer.trip.dropoff);
  },
  "trip:subscribe": async () => {
    const answer = await socket.emitWithAck("trip:subscribe", { trip_id, after_seq: 3 });
    if (!answer.ok) return;
    exactly<Status>()(answer.trip.status);
    if (answer.trip.events) exactly<Trip>()(answer.trip);
    exactly<Point | null>()(answer.location);
    exactly<TripDriver | null>()(answer.driver);
    exactly<Message[]>()(answer.messages);
    exactly<number | undefined>()(answer.read["rita"]?.read_seq);
  },
  "trip:unsubscribe": async () => {
    const answer = await socket.emitWithAck("trip:unsubscribe", { trip_id });
    exactly<boolean>()(answer.ok);
  },
  "chat:send": async () => {
    const to = { conversation_id, client_id };
    await socket.emitWithAck("chat:send", {
      ...to,
      kind: "location",
      data: { lat: 52.5, lng: 13.4 },
    });
    await socket.emitWithAck("chat:send", {
      ...to,
      kind: "image",
      data: { url: "https://images.example/1.jpg", size: 120_000 },
    });
    const answer = await socket.emitWithAck("chat:send", { ...to, text: "On my way" });
    if (answer.ok) exactly<Message>()(answer.message);
  },
  "chat:history": async () => {
    const answer = await socket.emitWithAck("chat:history", { conversation_id, before_seq: 51 });
    if (answer.ok) exactly<boolean>()(answer.has_more);
  },
  "chat:receipt": async () => {
    const answer = await socket.emitWithAck("chat:receipt", { conversation_id, read_seq: 5 });
    if (answer.ok) exactly<number>()(answer.delivered_seq);
  },
  "chat:typing": async () => {
    socket.emit("chat:typing", { conversation_id, typing: true });
  },
  "chat:open": async () => {
    const opening = { client_id, participants: ["rita", "support"], title: "Lost umbrella" };
    const answer = await socket.emitWithAck("chat:open", opening);
    if (answer.ok) exactly<Conversation>()(answer.conversation);
  },
  "chat:close": async () => {
    const answer = await socket.emitWithAck("chat:close", { conversation_id });
    exactly<boolean>()(answer.ok);
  },
} satisfies { [Each in Command]: () => Promise<void> };

export const events: ServerToClientEvents = {
  "session:ready": ({ trips, conversations, status }) => {
    exactly<Trip[]>()(trips);
    exactly<number | undefined>()(conversations[0]?.last_seq);
    exactly<DriverAvailability | undefined>()(status);
  },
  "session:expiring": ({ expires_at }) => exactly<number>()(expires_at),
  "session:ended": ({ retry, retry_in_ms }) => {
    exactly<boolean>()(retry);
    exactly<number | undefined>()(retry_in_ms);
  },
  "trip:status": (change) => {
    exactly<number>()(change.version);
    exactly<string | undefined>()(change.offer?.driver_id);
  },
  "trip:location": (location) => exactly<number | undefined>()(location.heading),
  "trip:eta": ({ to }) => exactly<"pickup" | "dropoff">()(to),
  "trip:driver": ({ connection }) => exactly<"live" | "stale" | "offline">()(connection),
  "chat:message": (message) => exactly<Message>()(message),
  "chat:receipt": ({ user_id }) => exactly<string>()(user_id),
  "chat:typing": ({ typing }) => exactly<boolean>()(typing),
};

export function listening(): void {
  socket.on("session:ready", events["session:ready"]).once("chat:message", events["chat:message"]);
  socket.on("connect_error", (error) => exactly<string>()(error.message));
  socket.on("disconnect", (reason) => exactly<Socket.DisconnectReason>()(reason));
  socket.off("trip:location");
}

export async function acknowledged(): Promise<void> {
  socket.emit("trip:decline", { trip_id }, (answer) => exactly<AnswerTo<"trip:decline">>()(answer));
  const timed = await socket.timeout(5_000).emitWithAck("trip:decline", { trip_id });
  exactly<AnswerTo<"trip:decline">>()(timed);
  socket.timeout(5_000).emit("trip:subscribe", { trip_id }, (error, answer) => {
    if (error) exactly<Error>()(error);
    else if (answer.ok) exactly<boolean>()(answer.has_more);
  });
}

/** A function that asks for any command: the answer has the type that belongs to the event. */
export async function insist<Event extends Command>(
  event: Event,
  payload: Parameters<ClientToServerEvents[Event]>[0],
): Promise<AnswerTo<Event>> {
  return await socket.timeout(5_000).emitWithAck(event, payload);
}

/** Socket.IO's own type of a socket does as well, where every command has its acknowledgement. */
export async function plain(): Promise<void> {
  const stock: Socket<ServerToClientEvents, ClientToServerEvents> = io("https://rides.example");
  const answer = await stock.emitWithAck("trip:create", { client_id, pickup: here });
  exactly<AnswerTo<"trip:create">>()(answer);
  stock.timeout(5_000).emit("driver:location", point, (error, answer) => {
    if (!error && answer.ok) exactly<number>()(answer.accepted);
  });
  stock.on("trip:status", events["trip:status"]);
  const same: Socket<ServerToClientEvents, ClientToServerEvents> = socket;
  same.disconnect();
}

/** Events that the company's own backend sends, beside the server's. */
export function ownEvents(): void {
  type Own = { "promo:granted": (promo: { percent: number }) => void };
  const own: RidewireSocket<Own> = io("https://rides.example");
  own.on("promo:granted", ({ percent }) => exactly<number>()(percent));
  own.on("trip:status", events["trip:status"]);
  own.emit("trip:unsubscribe", { trip_id });
}

/** Codes that the server may get later are fine, and those of today are known. */
export function codes(answer: AnswerTo<"trip:update">): string {
  if (answer.ok) return "done";
  switch (answer.error.code) {
    case "illegal_transition":
      return `only to ${answer.error.allowed?.join(", ")}`;
    case "a_code_of_next_year":
      return "new";
    default:
      return answer.error.message;
  }
}
