"""What waits for the disk does so in another thread: all requests of a migration share the one of the event loop."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bulkexim.artifacts.stored import AT_ONCE, Stored
from bulkexim.config import Endpoint, Level
from bulkexim.ledger.journal import Journal
from bulkexim.ledger.queries import Queries
from tests.conftest import StartServer
from tests.support.migrating import migrated, planned, swept
from tests.support.servers import MlflowServer, Servers
from tests.support.tenant import Tenant
from tests.support.tenant.builder import Builder
from tests.support.verifying import verified

#: What Python tells its audit hooks of files and databases.
OF_FILES = ("open", "os.scandir", "os.listdir", "os.mkdir", "os.rename", "os.remove", "os.chmod", "sqlite3.connect")


@pytest.fixture
def watched(tmp_path: Path) -> list[Path]:
    """Folders whose files nobody may wait for on the event loop; a test adds its own."""
    return [tmp_path]


@pytest.fixture
def on_the_loop(monkeypatch: pytest.MonkeyPatch, watched: list[Path]) -> Iterator[list[str]]:
    """What waits for the disk, or digests a large file, in the main thread while the event loop of a test runs there.

    These are questions to the ledger, and commits, and whatever is done with files of the folders that are watched.
    """
    found: list[str] = []
    listening = [True]
    ask, commit, of = Queries._ask, Journal._commit, Stored.of

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
        if listening and event in OF_FILES and any(str(folder) in str(given[0]) for folder in watched):
            note(f"{event} {given[0]}")

    def digesting(content: bytes) -> Stored:
        if len(content) > AT_ONCE:
            note(f"digest of {len(content)} bytes")
        return of(content)

    monkeypatch.setattr(Queries, "_ask", asking)
    monkeypatch.setattr(Journal, "_commit", committing)
    monkeypatch.setattr(Stored, "of", digesting)
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


def test_files_in_folders_are_read_written_and_digested_beside_the_event_loop(
    servers: Servers, tmp_path: Path, watched: list[Path], on_the_loop: list[str]
) -> None:
    build = Builder((source := servers.start()).url, tmp_path / "scratch")
    build.experiment("plain", "plain")
    build.run("run")
    build.put("run", "small.txt", b"small")
    build.put("run", "model/large.bin", bytes(8 * AT_ONCE))
    destination = servers.start()
    watched += [source.artifacts, destination.artifacts]
    ends = [Endpoint(uri=server.url, artifacts_dir=str(server.artifacts)) for server in (source, destination)]
    planned(ends[0], ends[1], tmp_path / "work")
    assert migrated(ends[0], ends[1], tmp_path / "work").exit_code == 0
    assert verified(ends[0], ends[1]).exit_code == 0
    assert migrated(source, servers.start(), tmp_path / "other").exit_code == 0
    assert on_the_loop == []
