"""What waits for the disk does so in another thread: all requests of a migration share the one of the event loop."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bulkexim.ledger.journal import Journal
from bulkexim.ledger.queries import Queries
from tests.conftest import StartServer
from tests.support.migrating import migrated, planned, swept
from tests.support.servers import MlflowServer
from tests.support.tenant import Tenant


@pytest.fixture
def on_the_loop(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Questions to the ledger, and commits, that were made in the main thread, where the event loop of tests runs."""
    found: list[str] = []
    ask, commit = Queries._ask, Journal._commit

    def note(what: str) -> None:
        if threading.current_thread() is threading.main_thread():
            found.append(what)

    def asking(self: Queries, sql: str, values: Sequence[object] = ()) -> Iterator[Any]:
        note(sql)
        yield from ask(self, sql, values)

    def committing(self: Journal, changes: Sequence[Any]) -> None:
        note(f"commit {changes}")
        commit(self, changes)

    monkeypatch.setattr(Queries, "_ask", asking)
    monkeypatch.setattr(Journal, "_commit", committing)
    return found


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
    swept(small_tenant.url, destination, tmp_path)
    assert on_the_loop == []
