"""A demonstration and a first load test: whole rides, driven through real Socket.IO clients."""
