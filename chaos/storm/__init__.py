"""Thousands of clients that come back at once, to an instance that has others to serve."""
