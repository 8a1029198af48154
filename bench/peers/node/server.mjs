// The Node peer of the benchmark: socket.io with its Redis adapter, doing what Ridewire does.
//
// Checks tokens, who belongs to a trip, and every point; keeps each driver's newest point in Redis,
// written in bulk; stores messages in MongoDB before it acknowledges them; counts for Prometheus.
// Which trips somebody belongs to stands in the token's claim `trips`. Over HTTP a service creates
// trips, each once, and reads them.
//
// Environment: HOST, PORT (0 is any free one), JWT_SECRET, REDIS_URL, MONGODB_URL.
import { createSecretKey } from "node:crypto";
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import jwt from "jsonwebtoken";
import { MongoClient, ObjectId } from "mongodb";
import metrics from "prom-client";
import { createClient } from "redis";
import { Server } from "socket.io";

const FLUSH_MS = 100;
const SIGHTING_TTL_S = 86_400;
const FUTURE_MS = 5_000;
const MAX_ID = 128;
const MAX_TEXT = 2_000;
const MAX_ADDRESS = 500;
const MAX_FRAME = 256 * 1024;
const MAX_BODY = 256 * 1024;
const BACKLOG = 1_024;
const STOP_MS = 2_000;
const DUPLICATE_KEY = 11_000;
const STATUSES = {
  invalid: 400,
  unauthorized: 401,
  token_expired: 401,
  forbidden: 403,
  not_found: 404,
  too_large: 413,
};
const ROLES = new Set(["driver", "rider", "agent", "service", "viewer"]);
const PARTIES = new Set(["driver", "rider"]);

const { HOST = "127.0.0.1", PORT = "0", JWT_SECRET, REDIS_URL, MONGODB_URL } = process.env;

const key = createSecretKey(Buffer.from(JWT_SECRET));
// A timer for every publication, which the client has by default, costs a fifth of all the CPU.
const redis = createClient({ url: REDIS_URL, commandOptions: { timeout: 0 } });
const subscriber = redis.duplicate();
const mongodb = new MongoClient(MONGODB_URL);
for (const client of [redis, subscriber]) client.on("error", (error) => console.error(error));
await Promise.all([redis.connect(), subscriber.connect(), mongodb.connect()]);

const concerns = { readConcern: { level: "majority" }, writeConcern: { w: "majority", journal: true } };
const messages = mongodb.db().collection("messages", concerns);
const trips = mongodb.db().collection("trips", concerns);
await messages.createIndex({ conversation_id: 1, sender_id: 1, client_id: 1 }, { unique: true });
await trips.createIndex({ creator: 1, client_id: 1 }, { unique: true });

metrics.collectDefaultMetrics();
const points = new metrics.Counter({
  name: "points_total",
  help: "Points of drivers by outcome.",
  labelNames: ["outcome"],
});
const counted = {
  accepted: points.labels("accepted"),
  invalid: points.labels("invalid"),
  future: points.labels("future"),
  stale: points.labels("stale"),
};
const connections = new metrics.Gauge({ name: "connections", help: "Open connections." });
const requests = new metrics.Counter({
  name: "requests_total",
  help: "HTTP requests by method and status.",
  labelNames: ["method", "status"],
});

const http = createServer(async (request, response) => {
  if (request.url === "/metrics") {
    response.setHeader("Content-Type", metrics.register.contentType);
    response.end(await metrics.register.metrics());
  } else {
    const { status, headers, body } = await answered(request).catch(refused);
    requests.labels(request.method, String(status)).inc();
    const text = JSON.stringify(body);
    const length = Buffer.byteLength(text); // else it would be written in chunks
    const head = { "Content-Type": "application/json", "Content-Length": length, ...headers };
    response.writeHead(status, head).end(text);
  }
});
const io = new Server(http, {
  adapter: createAdapter(redis, subscriber),
  transports: ["websocket"],
  serveClient: false,
  maxHttpBufferSize: MAX_FRAME,
});
await subscriber.ping(); // answered when the adapter's subscriptions are
// The handshake's request is not needed any more, and would stay in memory with its connection.
io.engine.on("connection", (connection) => {
  connection.request = null;
});

/** A refusal as every command answers it. */
class Refused extends Error {
  constructor(code, message, retry = false) {
    super(message);
    this.answer = { ok: false, error: { code, message, retry } };
  }
}

const tripRoom = (tripId) => `trip:${tripId}`;
const chatRoom = (conversationId) => `chat:${conversationId}`;

const isWithin = (value, low, high) => typeof value === "number" && value >= low && value <= high;
const isCount = (value) => Number.isSafeInteger(value) && value >= 0;
const isText = (value, longest) =>
  typeof value === "string" && value.length > 0 && value.length <= longest;

function isPoint(point) {
  return (
    typeof point === "object" &&
    point !== null &&
    isWithin(point.lat, -90, 90) &&
    isWithin(point.lng, -180, 180) &&
    isCount(point.ts) &&
    isCount(point.seq) &&
    (point.heading === undefined || (isWithin(point.heading, 0, 360) && point.heading < 360)) &&
    (point.speed === undefined || isWithin(point.speed, 0, 1_000)) &&
    (point.accuracy === undefined || isWithin(point.accuracy, 0, 10_000_000))
  );
}

const isPlace = (place) =>
  isWithin(place?.lat, -90, 90) && isWithin(place?.lng, -180, 180) && isAddress(place.address);
const isAddress = (address) => address === undefined || isText(address, MAX_ADDRESS);

/** Who a token speaks of. Throws when it is not to be believed. */
function identify(token) {
  const { sub, role, exp, trips = [] } = jwt.verify(token, key, { algorithms: ["HS256"] });
  if (!isText(sub, MAX_ID) || !ROLES.has(role) || !exp) throw new Error("a claim is missing");
  if (!Array.isArray(trips) || !trips.every((id) => isText(id, MAX_ID))) {
    throw new Error("trips are not ids");
  }
  return { user_id: sub, role, expires_at: exp * 1000, trips: new Set(trips) };
}

io.use((socket, next) => {
  try {
    socket.data = identify(socket.handshake.auth.token);
    next();
  } catch (error) {
    const code = error.name === "TokenExpiredError" ? "token_expired" : "unauthorized";
    next(Object.assign(new Error(code), { data: { code } }));
  }
});

/** Each driver's newest point. */
const newest = new Map();
/** Those that Redis does not have yet. */
let unsaved = new Map();

function judge(driverId, point) {
  if (!isPoint(point)) return "invalid";
  if (point.ts > Date.now() + FUTURE_MS) return "future";
  return point.ts <= newest.get(driverId)?.ts ? "stale" : "accepted";
}

function locate(socket, point) {
  const { user_id, role, trips } = socket.data;
  if (role !== "driver") return;
  const outcome = judge(user_id, point);
  counted[outcome].inc();
  if (outcome !== "accepted") return;
  newest.set(user_id, point);
  unsaved.set(user_id, point);
  const { lat, lng, ts, seq, heading, speed, accuracy } = point;
  for (const trip_id of trips) {
    const location = { trip_id, lat, lng, ts, seq, heading, speed, accuracy };
    io.to(tripRoom(trip_id)).emit("trip:location", location);
  }
}

async function flush() {
  if (unsaved.size === 0) return;
  const writing = unsaved;
  unsaved = new Map();
  const pipeline = redis.multi();
  for (const [driverId, point] of writing) {
    pipeline.setEx(`sighting:${driverId}`, SIGHTING_TTL_S, JSON.stringify(point));
  }
  try {
    await pipeline.execAsPipeline();
  } catch (error) {
    console.error(error);
    unsaved = new Map([...writing, ...unsaved]);
  }
}

async function subscribe(socket, payload) {
  const tripId = payload?.trip_id;
  if (!socket.data.trips.has(tripId)) throw new Refused("not_found", "no such trip");
  await socket.join(tripRoom(tripId));
  return { ok: true, trip: { id: tripId } };
}

async function unsubscribe(socket, payload) {
  await socket.leave(tripRoom(payload?.trip_id));
  return { ok: true };
}

async function send(socket, payload) {
  const { user_id, role, trips } = socket.data;
  const { conversation_id, client_id, text } = payload ?? {};
  if (!PARTIES.has(role) || !trips.has(conversation_id)) {
    throw new Refused("not_found", "no such conversation");
  }
  if (!isText(client_id, MAX_ID) || !isText(text, MAX_TEXT)) {
    throw new Refused("invalid", "client_id and text are expected");
  }
  const sent_at = Date.now();
  const message = { conversation_id, sender_id: user_id, client_id, kind: "text", text, sent_at };
  return { ok: true, message: await stored(socket, message) };
}

/** Store a message and tell the others; a retried one is there already, and they were told. */
async function stored(socket, message) {
  const { conversation_id, sender_id, client_id } = message;
  const _id = new ObjectId();
  try {
    await messages.insertOne({ _id, ...message });
  } catch (error) {
    if (error.code !== DUPLICATE_KEY) throw error;
    const { _id, ...earlier } = await messages.findOne({ conversation_id, sender_id, client_id });
    return { id: _id.toHexString(), ...earlier };
  }
  const told = { id: _id.toHexString(), ...message };
  socket.to(chatRoom(conversation_id)).emit("chat:message", told);
  return told;
}

/** Answer a command with what its work returns, or with why it was refused. */
function command(socket, event, work) {
  socket.on(event, async (payload, acknowledge) => {
    const answer = await work(socket, payload).catch(failure);
    if (typeof acknowledge === "function") acknowledge(answer);
  });
}

function failure(error) {
  if (error instanceof Refused) return error.answer;
  console.error(error);
  return new Refused("unavailable", "the outcome is unknown", true).answer;
}

io.on("connection", async (socket) => {
  const { user_id, role, expires_at, trips } = socket.data;
  connections.inc();
  socket.on("disconnect", () => connections.dec());
  socket.on("driver:location", (point) => locate(socket, point));
  command(socket, "trip:subscribe", subscribe);
  command(socket, "trip:unsubscribe", unsubscribe);
  command(socket, "chat:send", send);
  if (PARTIES.has(role)) await socket.join([...trips].map(chatRoom));
  socket.emit("session:ready", {
    user_id,
    role,
    protocol: 1,
    server_time: Date.now(),
    expires_at,
    trips: [],
    conversations: [],
  });
});

/** What `/v1/trips` answers: status, headers and body. */
async function answered(request) {
  const caller = authorized(request.headers.authorization);
  const [, id] = /^\/v1\/trips(?:\/([^/?]+))?$/.exec(request.url) ?? [];
  if (request.method === "GET" && id !== undefined) return shown(200, await readTrip(id));
  if (request.method === "POST" && request.url === "/v1/trips") {
    return shown(201, await createTrip(caller, await jsonOf(request)));
  }
  throw new Refused("not_found", "no such path");
}

function authorized(header = "") {
  let caller;
  try {
    caller = identify(header.replace(/^bearer /i, ""));
  } catch (error) {
    const code = error.name === "TokenExpiredError" ? "token_expired" : "unauthorized";
    throw new Refused(code, "the token is not to be believed");
  }
  if (caller.role !== "service") throw new Refused("forbidden", "for services only");
  return caller;
}

/** The body of a request. */
async function jsonOf(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > MAX_BODY) throw new Refused("too_large", "the body is too large");
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString());
  } catch {
    throw new Refused("invalid", "JSON is expected");
  }
}

async function readTrip(id) {
  const stored = await trips.findOne({ _id: id });
  if (stored === null) throw new Refused("not_found", "no such trip");
  return stored;
}

/** Store a new trip; a retried one is there already. */
async function createTrip({ user_id: by }, draft) {
  const { client_id, rider_id, pickup, dropoff = null } = draft ?? {};
  if (!isText(client_id, MAX_ID) || !isText(rider_id, MAX_ID)) {
    throw new Refused("invalid", "client_id and rider_id are expected");
  }
  if (!isPlace(pickup) || (dropoff !== null && !isPlace(dropoff))) {
    throw new Refused("invalid", "places are expected");
  }
  const at = Date.now();
  const status = "requested";
  const stored = {
    _id: new ObjectId().toHexString(),
    creator: by,
    client_id,
    rider_id,
    driver_id: null,
    offer: null,
    status,
    version: 1,
    pickup,
    dropoff,
    stops: [],
    created_at: at,
    updated_at: at,
    events: [{ version: 1, status, driver_id: null, offer: null, at, by }],
    metadata: {},
  };
  try {
    await trips.insertOne(stored);
  } catch (error) {
    if (error.code !== DUPLICATE_KEY) throw error;
    return trips.findOne({ creator: by, client_id });
  }
  return stored;
}

function shown(status, { _id, creator, client_id, ...trip }) {
  return { status, headers: { ETag: `"${trip.version}"` }, body: { id: _id, ...trip } };
}

/** An error as an HTTP answer. */
function refused(error) {
  const body = { error: failure(error).error };
  return { status: STATUSES[body.error.code] ?? 503, headers: {}, body };
}

async function stop() {
  setTimeout(() => process.exit(), STOP_MS).unref(); // however long clients take to close
  clearInterval(flushing);
  await io.close();
  await flush();
  await Promise.all([redis.close(), subscriber.close(), mongodb.close()]);
}

const flushing = setInterval(flush, FLUSH_MS);
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, stop);
http.listen({ host: HOST, port: Number(PORT), backlog: BACKLOG }, () => {
  const { address, port } = http.address();
  console.log(`listens on http://${address}:${port}`);
});
