"""What each command means: who may, what changes, who is told. No sockets, no Redis, no driver."""
