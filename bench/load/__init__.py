"""The load generator: many Socket.IO clients in one process, which check all that they hear."""
