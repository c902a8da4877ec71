"""What waits for the disk does so in another thread: all requests of a migration share the one of the event loop."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bulkexim.config import Level
from bulkexim.ledger.journal import Journal
from bulkexim.ledger.queries import Queries
from tests.conftest import StartServer
from tests.support.migrating import migrated, planned, swept
from tests.support.servers import MlflowServer
from tests.support.tenant import Tenant
from tests.support.verifying import verified

#: What Python tells its audit hooks of files and databases.
OF_FILES = ("open", "os.scandir", "os.listdir", "os.mkdir", "os.rename", "os.remove", "os.chmod", "sqlite3.connect")


@pytest.fixture
def on_the_loop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """What waits for the disk in the main thread while the event loop of a test runs there.

    These are questions to the ledger, and commits, and whatever is done with files of the work directory.
    """
    found: list[str] = []
    listening = [True]
    ask, commit = Queries._ask, Journal._commit

    def note(what: str) -> None:
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            found.append(what)

    def asking(self: Queries, sql: str, values: Sequence[object] = ()) -> Iterator[Any]:
        note(sql)
        yield from ask(self, sql, values)

    def committing(self: Journal, changes: Sequence[Any]) -> None:
        note(f"commit {changes}")
        commit(self, changes)

    def hearing(event: str, given: tuple[Any, ...]) -> None:
        if listening and event in OF_FILES and str(tmp_path) in str(given[0]):
            note(f"{event} {given[0]}")

    monkeypatch.setattr(Queries, "_ask", asking)
    monkeypatch.setattr(Journal, "_commit", committing)
    sys.addaudithook(hearing)
    yield found
    listening.clear()  # A hook stays for the life of the process.


def test_the_ledger_is_read_and_written_beside_the_event_loop(
    small_server: MlflowServer,
    small_tenant: Tenant,
    fresh_server: StartServer,
    tmp_path: Path,
    on_the_loop: list[str],
) -> None:
    destination = fresh_server()
    planned(small_tenant.url, destination, tmp_path, include_deleted=True)
    assert migrated(small_tenant.url, destination, tmp_path, include_deleted=True).failures == ()
    migrated(small_tenant.url, destination, tmp_path, include_deleted=True)
    planned(small_tenant.url, destination, tmp_path, include_deleted=True)
    swept(small_tenant.url, destination, tmp_path)
    verified(small_tenant.url, destination, Level.COUNTS, include_deleted=True, work_dir=tmp_path)
    migrated(small_tenant.url, destination, tmp_path, include_deleted=True, rebuild_ledger=True)
    assert on_the_loop == []
