"""A local store as a source: an MLflow server of our own in front of it, for as long as it is read.

The store is never altered: the server gets a replica, and artifacts are read from where they are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from anyio import to_thread

from bulkexim.ends.child_server import child_server
from bulkexim.ends.files_replica import files_replica
from bulkexim.ends.local_artifacts import check_roots, service_folder
from bulkexim.ends.local_store import LocalStore
from bulkexim.ends.replica import Replica
from bulkexim.ends.sqlite_replica import sqlite_replica


class Embedded(NamedTuple):
    """The address of a server for a local store, and what it was given in place of that."""

    url: str
    replica: Replica


@asynccontextmanager
async def embedded(
    store: LocalStore, *, artifacts: bool = True, tell: Callable[[str], None] = lambda _: None
) -> AsyncIterator[Embedded]:
    """Serve a local store on loopback. With ``artifacts``, it is checked first where they are.

    ``tell`` hears what is done.

    :raises UsageError: MLflow is not installed, or the store is none
    :raises FatalError: the store cannot be served as it is, its artifacts cannot be reached, or the server failed
    :raises TemporaryTrouble: somebody is writing to the store
    """
    with TemporaryDirectory(prefix="bulkexim-", ignore_cleanup_errors=True) as name:
        folder = await to_thread.run_sync(Path(name).resolve)
        replicate = sqlite_replica if store.is_database else files_replica
        tell("copying the local store" if store.is_database else "reading the folders of the local store")
        replica = await to_thread.run_sync(replicate, store, folder)
        if artifacts:
            check_roots(store, replica.doubtful)
        tell("starting a server for the local store")
        options = _options(store, replica, folder)
        async with child_server(options, folder=folder, home=store.home, what="of the local store") as url:
            yield Embedded(url, replica)


def _options(store: LocalStore, replica: Replica, folder: Path) -> list[str]:
    service = service_folder(store)
    # Where there is none, its files are not here: MLflow would list a folder that does not exist as an empty one.
    served = ["--artifacts-destination", str(service)] if service.is_dir() else ["--no-serve-artifacts"]
    return [
        *("--backend-store-uri", replica.backend),
        # Nothing is ever written to either; by default they would be made in the folder of the store.
        *("--default-artifact-root", str(folder / "artifacts")),
        *served,
        *(["--enable-workspaces"] if replica.has_workspaces else []),
    ]
