"""Serving: turn protocol, limits, batches, world threads, the websocket and HTTP shell."""
