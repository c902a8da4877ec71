"""Opens the ledger: for writing, as a copy in memory for a rehearsal, or empty."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread

from bulkexim.ledger.files import LEDGER_NAME, connect
from bulkexim.ledger.journal import Journal
from bulkexim.ledger.schema import STAMP, TABLES
from bulkexim.tasks import together


@asynccontextmanager
async def journal(work_dir: Path) -> AsyncIterator[Journal]:
    """Open the ledger of ``work_dir`` with its writer at work; everything pending is committed at the end."""
    path = work_dir / LEDGER_NAME
    writing = await to_thread.run_sync(connect, path)
    reading = await to_thread.run_sync(partial(connect, path, read_only=True))
    async with _at_work(Journal(path, writing, reading)) as ledger:
        await ledger.in_thread(ledger.begin)
        try:
            yield ledger
        finally:
            await ledger.end()


@asynccontextmanager
async def rehearsal(work_dir: Path, *, empty: bool = False) -> AsyncIterator[Journal]:
    """Open a copy of the ledger of ``work_dir`` (or an empty one) in memory: nothing is written anywhere."""
    path = work_dir / LEDGER_NAME
    memory = await to_thread.run_sync(_copied, None if empty else path)
    async with _at_work(Journal(path, memory, memory)) as ledger:
        yield ledger


def _copied(path: Path | None) -> sqlite3.Connection:
    """Return a ledger in memory with the content of the one at ``path``, if there is one."""
    memory = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
    if path is not None and path.is_file():
        with closing(connect(path, read_only=True)) as original:
            original.backup(memory)
    memory.executescript(TABLES)
    memory.execute(*STAMP)
    return memory


@asynccontextmanager
async def blank() -> AsyncIterator[Journal]:
    """Open an empty ledger that knows nothing of any migration and is gone when it is closed."""
    store = await to_thread.run_sync(_empty)
    async with _at_work(Journal(Path(LEDGER_NAME), store, store)) as ledger:
        yield ledger


def _empty() -> sqlite3.Connection:
    # SQLite keeps a database without a name in memory, and what is too much for that in a file without a name.
    store = sqlite3.connect("", check_same_thread=False, isolation_level=None)
    store.executescript(TABLES)
    return store


@asynccontextmanager
async def _at_work(ledger: Journal) -> AsyncIterator[Journal]:
    try:
        async with together() as tasks:
            tasks.start_soon(_committing, ledger)
            try:
                yield ledger
            finally:
                ledger.stop()
    finally:
        ledger.close()


async def _committing(ledger: Journal) -> None:
    # The writer outlives a cancelled run: the last replies still have to be written down.
    with anyio.CancelScope(shield=True):
        await ledger.run()
