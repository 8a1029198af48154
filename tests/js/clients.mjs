// Socket.IO clients for the tests: commands come as JSON lines on stdin, what happens leaves on stdout.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const { io } = require("socket.io-client");
const msgpackParser = require("socket.io-msgpack-parser");

const clients = new Map();
const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");

function open({ client, url, auth, parser, transports, headers, reconnection }) {
  const options = { auth, transports, reconnection, forceNew: true, extraHeaders: headers };
  if (parser === "msgpack") options.parser = msgpackParser;
  const socket = io(url, options);
  clients.set(client, socket);
  socket.on("connect", () => say({ client, on: "connect" }));
  socket.on("connect_error", (error) =>
    say({ client, on: "connect_error", message: error.message, data: error.data ?? null, active: reconnection && socket.active }),
  );
  socket.on("disconnect", (reason) =>
    say({ client, on: "disconnect", reason, active: reconnection && socket.active }),
  );
  socket.io.engine.on("upgrade", () => say({ client, on: "upgrade" }));
  socket.onAny((event, payload, answer) => {
    say({ client, on: "event", event, payload });
    answer?.(payload); // to who asks
  });
}

// Bytes are in JSON what Node makes of a Buffer: { type: "Buffer", data: [1, 2, 3] }.
const withBytes = (_key, value) => (value?.type === "Buffer" ? Buffer.from(value.data) : value);

const operations = {
  open,
  emit: ({ client, event, args }) => clients.get(client).emit(event, ...args),
  call: ({ client, id, event, args }) =>
    clients.get(client).emit(event, ...args, (answer) => say({ client, on: "answer", id, answer })),
  close: ({ client }) => {
    clients.get(client).disconnect();
    clients.delete(client);
  },
};

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const command = JSON.parse(line, withBytes);
    operations[command.do](command);
  })
  .on("close", () => process.exit(0));
say({ on: "started" });
