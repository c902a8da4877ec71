"""Whether a folder that was given for a server is the one whose files its artifact service has."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

import anyio
from anyio import to_thread

from bulkexim.artifacts.places import serviced
from bulkexim.artifacts.proxied import Proxied
from bulkexim.artifacts.seen import PARTS
from bulkexim.ends.server import Server
from bulkexim.errors import FatalError, UsageError

#: Folders of experiments that are compared: the ids of runs in them are like no other server's.
COMPARED = 3
#: Seconds after which a file that never got its name counts as left by a run that was killed.
FORGOTTEN = 86_400.0


async def check_folder(server: Server) -> None:
    """Make sure that what the artifact service of a server lists stands in its folder.

    :raises FatalError: it does not, so the folder is another one
    :raises UsageError: it cannot be read
    """
    if server.folder is None:
        return
    experiments = await _compared(server, server.folder, "")
    for folder in experiments[:COMPARED]:
        await _compared(server, server.folder, folder)


async def _compared(server: Server, folder: Path, below: str) -> Sequence[str]:
    """Compare one folder, and return the folders in it."""
    listed = await Proxied(server, below).entries("")
    if not listed and server.client.name == "destination":
        return []  # A server makes its folder with the first file; what is written there will tell.
    there = await to_thread.run_sync(_names, folder / below)
    missing = {entry.path for entry in listed} - there - {PARTS}
    if missing or (there and not listed):
        raise _another(server, folder)
    return [entry.path for entry in listed if entry.is_dir and entry.path != PARTS]


def _names(folder: Path) -> set[str]:
    try:
        return {path.name for path in folder.iterdir()}
    except OSError as error:
        raise UsageError(f"{folder} cannot be read ({error.strerror}).", "Check the folder and its rights.") from error


@asynccontextmanager
async def writable(server: Server) -> AsyncIterator[None]:
    """Make sure that a file written to the folder of a server shows in what its artifact service lists.

    :raises FatalError: it does not, so the folder is another one
    :raises UsageError: the folder cannot be written
    :raises TemporaryTrouble: its disk is full
    """
    if server.folder is None:
        yield
        return
    try:
        await _probe(server, server.folder)
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(_tidy, server.folder / PARTS)


def check_writable(folder: Path) -> None:
    """Make sure, as far as that shows without writing, that files can be written to a folder.

    :raises UsageError: they cannot
    """
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"{folder} cannot be written.", "Check the folder and its rights.")


async def _probe(server: Server, folder: Path) -> None:
    probe = f"bulkexim-probe-{uuid4().hex}"
    try:
        await serviced(server, "").write(probe, b"", 0)
        listed = await Proxied(server, "").entries("")
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(_removed, folder / probe)
    if probe not in {entry.path for entry in listed}:
        raise _another(server, folder)


def _removed(probe: Path) -> None:
    with suppress(OSError):
        probe.unlink()


def _tidy(parts: Path) -> None:
    """Remove what runs that were killed left; another migration may be writing here at this moment."""
    for part in parts.glob("*"):
        with suppress(OSError):
            if part.stat().st_mtime < time.time() - FORGOTTEN:
                part.unlink()
    with suppress(OSError):
        parts.rmdir()


def _another(server: Server, folder: Path) -> FatalError:
    flag = "--src-artifacts-dir" if server.client.name == "source" else "--dst-artifacts-dir"
    return FatalError(
        f"{folder} is not where the {server.client.name} keeps its artifacts: other files stand there than it lists.",
        f"Give the folder of its --artifacts-destination with {flag}, or leave that out: all goes through the server.",
    )
