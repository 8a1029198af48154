"""The HTTP side: the same commands, identities, rules and errors as the sockets have."""
