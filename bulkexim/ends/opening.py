"""Opens the end that an address names."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from bulkexim.config import Endpoint
from bulkexim.ends.server import Server, connected


def opened(endpoint: Endpoint, name: str, *, identity: str | None = None) -> AbstractAsyncContextManager[Server]:
    """Return the open end ``name`` ("source" or "destination")."""
    return connected(endpoint, name, identity=identity)
