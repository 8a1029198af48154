"""What keeps an embedded store from running."""


class EmbeddedError(Exception):
    """Its message tells the operator what is wrong and what to do."""


class PortTaken(EmbeddedError):
    """Somebody else got the port first: another one will do."""
