"""A server that is a function: a request comes in, a reply goes out, and no pause takes any time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx

from bulkexim.ends.capabilities import Capabilities
from bulkexim.ends.server import Server
from bulkexim.http.client import Client
from bulkexim.http.limiter import Limiter
from bulkexim.http.retry import Patience
from tests.virtual_clock import VirtualClock

Answer = Callable[[httpx.Request], httpx.Response]
LISTING = "/api/2.0/mlflow-artifacts/artifacts"
#: What is told of a folder: its entries, or a reply of its own; an exception is a broken connection.
Folder = list[tuple[str, int | None]] | httpx.Response | Exception


def answering(answer: Answer, name: str = "source") -> Server:
    """Returns a server of today's MLflow that answers so."""
    clock = VirtualClock()
    http = httpx.AsyncClient(base_url=f"http://{name}.example", transport=httpx.MockTransport(answer))
    limiter = Limiter(clock=clock, sleep=clock.skip)
    client = Client(name, http, limiter, Patience(), sleep=clock.skip, clock=clock)
    return Server(client, name, Capabilities((3, 17), "3.17.2"))


def listing(folders: Mapping[str, Folder], name: str = "source") -> Server:
    """Returns a server whose artifact service holds these folders, each by its whole path; ``None`` marks a folder.

    The entries of a folder are names with sizes. What is not named is empty, and there is no file to be had.
    """

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != LISTING:
            return httpx.Response(404, json={"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"})
        found = folders.get(request.url.params["path"], [])
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, httpx.Response) else httpx.Response(200, json={"files": _entries(found)})

    return answering(answer, name)


def _entries(found: list[tuple[str, int | None]]) -> list[dict[str, Any]]:
    return [{"path": name, "is_dir": size is None, "file_size": size or 0} for name, size in found]
