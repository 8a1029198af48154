"""The process and its I/O: Socket.IO and HTTP, Redis, signals, settings, metrics, command line."""

__version__ = "0.1.0"
