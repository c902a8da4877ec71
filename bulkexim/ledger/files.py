"""The work directory: private, locked by one process, with the ledger in it."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from anyio import to_thread
from filelock import FileLock, Timeout

from bulkexim.errors import BulkeximError, FatalError, TemporaryTrouble, UsageError, unwritable
from bulkexim.ledger.schema import EARLIER_FILES, FORMAT, STAMP, TABLES, TAKE_OVER

LEDGER_NAME = "ledger.db"
PRIVATE = 0o077
#: ``bulkexim status`` takes the lock for a moment to see whether somebody holds it.
LOCK_SECONDS = 1.0


@contextmanager
def locked(work_dir: Path) -> Iterator[None]:
    """Make ``work_dir`` (readable by its owner only) and hold it for this process.

    A folder that is there keeps its mode; a ledger in it that others could read is closed to them.

    :raises UsageError: it cannot be written
    :raises TemporaryTrouble: another process holds it, or the disk is full
    """
    previous = os.umask(PRIVATE)
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
        # It is taken in one thread and given back in another (`holding`).
        lock = FileLock(work_dir / "lock", thread_local=False)
        lock.acquire(timeout=LOCK_SECONDS)
        for part in work_dir.glob(f"{LEDGER_NAME}*"):
            # One that belongs to somebody else is his to close.
            with suppress(PermissionError):
                part.chmod(part.stat().st_mode & ~PRIVATE)
    except Timeout as error:
        raise in_use(work_dir) from error
    except OSError as error:
        raise unwritable(work_dir, error, "Give another --work-dir.") from error
    finally:
        os.umask(previous)
    try:
        yield
    finally:
        lock.release()


def check_usable(work_dir: Path) -> None:
    """Make sure that a run could hold ``work_dir`` and write to it now, as far as that shows without writing.

    :raises UsageError: it cannot be written
    :raises TemporaryTrouble: another process holds it
    """
    there = next((folder for folder in (work_dir, *work_dir.absolute().parents) if os.path.lexists(folder)), work_dir)
    # The ledger is written with files beside it.
    for part in (there, *work_dir.glob("lock"), *work_dir.glob(f"{LEDGER_NAME}*")):
        if not os.access(part, os.W_OK):
            raise _not_for_us(part, errno.EACCES)
    if not there.is_dir():
        raise _not_for_us(there, errno.ENOTDIR)
    if is_locked(work_dir):
        raise in_use(work_dir)


def _not_for_us(part: Path, number: int) -> BulkeximError:
    return unwritable(part, OSError(number, os.strerror(number)), "Give another --work-dir.")


@asynccontextmanager
async def holding(work_dir: Path) -> AsyncIterator[None]:
    """Hold a work directory as `locked` does, without holding up the event loop."""
    with ExitStack() as held:
        await to_thread.run_sync(held.enter_context, locked(work_dir))
        yield


def set_aside(work_dir: Path) -> None:
    """Give the ledger of ``work_dir``, if there is one, a name under which nobody reads it; the next one begins empty.

    :raises UsageError: it cannot be renamed
    """
    now = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"
    try:
        for part in sorted(work_dir.glob(f"{LEDGER_NAME}*")):
            part.rename(part.with_name(part.name.replace("ledger", f"ledger-until-{now}", 1)))
    except OSError as error:
        raise unwritable(work_dir, error, "Give another --work-dir.") from error


def in_use(work_dir: Path) -> TemporaryTrouble:
    """Return the error for a work directory that another process holds."""
    return TemporaryTrouble(
        f"Another process is migrating with {work_dir}.",
        "Wait for it (bulkexim status), then run the same command again; or give another --work-dir.",
    )


def is_locked(work_dir: Path) -> bool:
    """Return whether a process holds ``work_dir`` at this moment."""
    lock = FileLock(work_dir / "lock")
    if not Path(lock.lock_file).exists():
        return False
    try:
        with lock.acquire(timeout=0):
            return False
    except Timeout:
        return True


def connect(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open the ledger file, with its tables in place unless it is opened ``read_only``.

    :raises FatalError: the file is damaged, or of another version of bulkexim
    """
    previous = os.umask(PRIVATE)
    try:
        target = f"{path.resolve().as_uri()}?mode={'ro' if read_only else 'rwc'}"
        connection = sqlite3.connect(target, uri=True, check_same_thread=False, isolation_level=None, timeout=30)
        if not read_only:
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = full")
            connection.executescript(TABLES)
            connection.execute(*STAMP)
        (found,) = connection.execute("select value from setup where key = 'format'").fetchone()
        if not read_only and found == FORMAT:
            _take_over(connection)
    except (sqlite3.Error, TypeError) as error:
        raise trouble(path, error) from error
    finally:
        os.umask(previous)
    if found != FORMAT:
        raise FatalError(f"{path} was written by another version of bulkexim.", "Go on with that version.")
    return connection


def _take_over(connection: sqlite3.Connection) -> None:
    """Put what an earlier bulkexim noted of files into the table of today."""
    query = "select 1 from sqlite_master where type = 'table' and name = ?"
    if connection.execute(query, (EARLIER_FILES,)).fetchone() is not None:
        connection.create_function("from_hex", 1, bytes.fromhex, deterministic=True)
        connection.executescript(TAKE_OVER)


def trouble(path: Path, error: Exception) -> BulkeximError:
    """Say what a failure of SQLite means and what helps."""
    text = str(error)
    if "full" in text or "disk I/O" in text:
        return TemporaryTrouble(
            f"{path}: cannot be written ({text}).", "Free some space, then run the same command again: nothing is lost."
        )
    if "locked" in text:
        return TemporaryTrouble(
            f"{path}: another program holds it ({text}).", "End that one, then run the same command again."
        )
    if "readonly" in text or "unable to open" in text:
        return UsageError(f"{path}: cannot be opened ({text}).", "Give another --work-dir.")
    return FatalError(
        f"{path} is damaged ({text}).",
        "Run the migration with --rebuild-ledger: what was moved is recognised at the destination.",
    )
