"""Where the artifacts of one object are, and how a server gives or takes them.

Objects whose root is proxied (``mlflow-artifacts:``) are reached by the artifact service, which needs no database, in
its folder or in its storage; any other root through the run or logged model that owns it, with the server's own access.
The files of a local store are read from its folders.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from bulkexim.artifacts.on_disk import NotHere, OnDisk
from bulkexim.artifacts.owned import OfLoggedModel, OfRun
from bulkexim.artifacts.place import Place
from bulkexim.artifacts.proxied import Proxied
from bulkexim.artifacts.seen import Seen
from bulkexim.artifacts.signed import Signed, to_write
from bulkexim.artifacts.two_ways import TwoWays
from bulkexim.ends.local_artifacts import LocalRoots, is_folder
from bulkexim.ends.server import Server

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


def place(server: Server, location: str, *, run_id: str | None = None, model_id: str | None = None) -> Place:
    """Return the place of an object by its artifact root, a URI that its server gave."""
    if server.local is not None:
        kind, object_id = ("run", run_id or "") if model_id is None else ("logged_model", model_id)
        if (folder := server.local.folder(location, kind, object_id)) is not None:
            # A link may lead to the files of another object, as far as MLflow's own service would follow it.
            limit = folder if proxied_root(location) is None else server.local.service
            return OnDisk(Seen(folder, "", server.client.traffic), limit)
        if proxied_root(location) is not None and not server.local.service.is_dir():
            return NotHere(server.local.service)
    owner: Place = OfRun(server, run_id or "") if model_id is None else OfLoggedModel(server, model_id)
    proxied = proxied_root(location)
    if proxied is None:
        return owner
    service = serviced(server, proxied)
    return service if isinstance(service, Seen) else TwoWays(service, owner)


def new_place(server: Server, *, of_model: bool) -> Place:
    """Return the place of a run or logged model that does not exist yet: it tells which files it would decline."""
    if server.capabilities.proxies_artifacts:
        return serviced(server, "new")
    return OfLoggedModel(server, "") if of_model else OfRun(server, "")


def needs_owner(server: Server, location: str) -> bool:
    """Return whether the files of a root are given by its owner only, as long as that is not deleted."""
    on_disk = server.local is not None and is_folder(location)
    return proxied_root(location) is None and not on_disk


def is_lost(server: Server, location: str) -> bool:
    """Return whether a root is a folder that should be on this machine and is not, and neither are those above it."""
    if server.local is not None:
        return server.local.is_lost(location)
    is_here = server.client.http.base_url.host in _THIS_MACHINE and location.startswith(("/", "file:///"))
    return is_here and LocalRoots(Path("/")).is_lost(location)


def serviced(server: Server, root: str) -> Seen | Signed | Proxied:
    """Return the place of a root at the artifact service: in its folder or its storage, where one was given."""
    if server.folder is not None:
        return Seen(server.folder, root, server.client.traffic)
    service = Proxied(server, root)
    return service if server.storage is None else Signed(service, server.storage)


class Toll(NamedTuple):
    """Requests that a folder takes to be listed, and a file to be read or written, by its size in bytes."""

    listing: int = 1
    reading: int = 1
    writing: Callable[[int], int] = lambda _: 1


def toll(server: Server, location: str) -> Toll:
    """Return what the files of a root cost, or would if the destination had one like it."""
    proxied = proxied_root(location) is not None
    if server.local is not None and not needs_owner(server, location):
        return Toll(0, 0, lambda _: 0)
    if proxied and server.folder is not None:
        return Toll(0, 0, lambda _: 0)
    if proxied and server.storage is not None:
        return Toll(reading=1 + server.capabilities.signs_downloads, writing=to_write)
    return Toll()


def proxied_root(location: str) -> str | None:
    """Return the path of a proxied root at the artifact service, or ``None`` for any other storage."""
    parts = urlsplit(location)
    return parts.path.strip("/") if parts.scheme == "mlflow-artifacts" else None
