"""A copy of an SQLite store, made without a trace in the store.

MLflow's server writes to a database that it serves: it adds missing tables and a missing default experiment, and SQLite
itself leaves files beside a database in WAL mode. So the server gets a copy.
"""

from __future__ import annotations

import shlex
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from anyio import from_thread

from bulkexim.ends.local_artifacts import LocalRoots
from bulkexim.ends.local_store import ACCEPTED, LocalStore
from bulkexim.ends.replica import Replica
from bulkexim.ends.sqlite_schema import check_schema
from bulkexim.errors import FatalError, TemporaryTrouble, UsageError

#: Pages that are copied between two looks whether the copy is still wanted.
PAGES = 16_384
#: The byte of an SQLite file that says how it is written, and its value for WAL mode.
_WRITE_VERSION, _WAL = 18, 2

#: Tables whose rows can have artifacts, and belong to experiments; an older MLflow has not all of them.
_OWNERS = ("runs", "logged_models", "trace_info")


def sqlite_replica(store: LocalStore, folder: Path) -> Replica:
    """Copy an SQLite store into ``folder``. Runs in a worker thread and ends when its caller is cancelled.

    :raises UsageError: the file is no MLflow store
    :raises FatalError: the schema is not that of the installed MLflow, or the store was not closed properly
    :raises TemporaryTrouble: somebody is writing to the store, or there is no room for the copy
    """
    path = store.path
    if shutil.disk_usage(folder).free < path.stat().st_size:
        raise TemporaryTrouble(
            f"There is no room for a copy of {path} in {folder.parent}.",
            "Free some space there, or name a larger folder in TMPDIR; then run the same command again.",
        )
    target = folder / "store.db"
    with _read_only(path) as origin, closing(sqlite3.connect(target)) as copy:
        tables = _tables(origin)
        check_schema(origin, tables, path)
        # A loss of power would lose the temporary folder too: nothing has to reach the disk.
        copy.execute("pragma synchronous = off")
        origin.backup(copy, pages=PAGES, progress=lambda *_: from_thread.check_cancelled())
        doubtful, workspaces = _roots(copy, tables), _has_workspaces(copy, tables)
        return Replica(f"sqlite:///{target}", doubtful, LocalRoots(store.home), has_workspaces=workspaces)


def _tables(store: sqlite3.Connection) -> set[str]:
    return {name for (name,) in store.execute("select name from sqlite_master where type = 'table'")}


def _roots(store: sqlite3.Connection, tables: set[str]) -> frozenset[str]:
    filled = " union ".join(f"select experiment_id from {owner}" for owner in _OWNERS if owner in tables)  # noqa: S608
    found = store.execute(f"select artifact_location from experiments where experiment_id in ({filled})")  # noqa: S608
    return frozenset(root for (root,) in found if root)


def _has_workspaces(store: sqlite3.Connection, tables: set[str]) -> bool:
    query = "select 1 from workspaces where name <> 'default'"
    return "workspaces" in tables and store.execute(query).fetchone() is not None


@contextmanager
def _read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a database for one consistent look, with no file beside it created or removed."""
    has_wal, has_index = (path.with_name(path.name + suffix).exists() for suffix in ("-wal", "-shm"))
    if has_wal and not has_index:
        raise _not_closed(path)
    # To read an idle database in WAL mode, SQLite would create the files that only writers need.
    idle = _in_wal_mode(path) and not has_wal
    address = f"{path.as_uri()}?mode=ro{'&immutable=1' if idle else ''}"
    before = path.stat()
    try:
        with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as store:
            # Held to the end: no writer can change a page between two parts of the copy.
            store.execute("begin")
            yield store
    except sqlite3.OperationalError as error:
        raise _unreadable(path, error) from error
    except sqlite3.DatabaseError as error:
        raise UsageError(f"{path} is not an SQLite database, or a damaged one ({error}).", ACCEPTED) from error
    after = path.stat()
    if idle and (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
        raise _busy(path)


def _in_wal_mode(path: Path) -> bool:
    with path.open("rb") as file:
        header = file.read(_WRITE_VERSION + 1)
    return len(header) > _WRITE_VERSION and header[_WRITE_VERSION] == _WAL


def _unreadable(path: Path, error: sqlite3.OperationalError) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return _busy(path)
    if code == sqlite3.SQLITE_READONLY:
        return _not_closed(path)
    return UsageError(f"{path} cannot be read or copied ({error}).", ACCEPTED)


def _busy(path: Path) -> TemporaryTrouble:
    return TemporaryTrouble(f"Somebody is writing to {path}.", "Run the same command again when they have finished.")


def _not_closed(path: Path) -> FatalError:
    return FatalError(
        f"{path} was not closed properly: the last changes stand in a file beside it.",
        f"Let SQLite put it in order: {shlex.join(['sqlite3', str(path), '.tables'])}",
    )
