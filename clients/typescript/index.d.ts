// What Ridewire and its clients say to each other. index.d.ts is for CommonJS and index.d.mts, the
// same, for ES modules: socket.io-client has types of its own for each.

import type { Socket } from "socket.io-client";
import type { Commands } from "./commands.js";
import type { ClientToServerEvents, ServerToClientEvents } from "./protocol.js";

export * from "./commands.js";
export * from "./protocol.js";

/**
 * A socket of socket.io-client that is connected to Ridewire.
 *
 * `Own` are events that the company's own backend sends: their names, and functions that take them.
 */
export type RidewireSocket<Own extends object = {}> = Commands &
  Socket<ServerToClientEvents & Own, ClientToServerEvents>;
