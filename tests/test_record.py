"""What a copy notes of its files, and how a comparison uses it: to say which side changed, and for nothing else."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from bulkexim.config import Level
from bulkexim.ids import DestinationId, SourceId
from bulkexim.ledger.files import LEDGER_NAME
from bulkexim.ledger.opening import journal
from bulkexim.ledger.queries import CopiedFile, look
from tests.conftest import StartServer
from tests.support.migrating import migrated
from tests.support.servers import MlflowServer, Servers
from tests.support.tenant import Tenant
from tests.support.verifying import told, verified

RUN = SourceId("run1")
NEW = DestinationId("new1")
NOTE = "notes/read me.txt"
CHANGED = "(changed since it was copied)"
AS_COPIED = "(as it was copied)"
SIZE_AS_COPIED = "(the size that was copied)"

Step = Callable[[Path], None]


@pytest.fixture
def source(servers: Servers, small_server: MlflowServer, small_tenant: Tenant) -> MlflowServer:
    """A source that the test may change."""
    del small_tenant
    return servers.copy(small_server)


@pytest.fixture
def destination(source: MlflowServer, fresh_server: StartServer, tmp_path: Path) -> MlflowServer:
    """Where everything of the source arrived; the ledger of that is in the directory of the test."""
    server = fresh_server()
    assert migrated(source, server, tmp_path).exit_code == 0
    return server


def note_of(server: MlflowServer, run: str) -> Path:
    """Return the file of a run, as its server stores it."""
    with closing(sqlite3.connect(server.database)) as store:
        [(root,)] = store.execute("select artifact_uri from runs where name = ?", (run,)).fetchall()
    return server.artifacts / str(root).removeprefix("mlflow-artifacts:/") / NOTE


def ledger(work_dir: Path, statement: str) -> list[tuple[Any, ...]]:
    """Do something to a ledger, as another program would."""
    with closing(sqlite3.connect(work_dir / LEDGER_NAME)) as connection, connection:
        return connection.execute(statement).fetchall()


@pytest.mark.anyio
async def test_the_files_of_a_later_copy_take_the_place_of_earlier_ones(tmp_path: Path) -> None:
    async with journal(tmp_path) as open_ledger:
        await open_ledger.planned("run", {RUN: "one"})
        await open_ledger.created("run", RUN, NEW, "")
        await open_ledger.copied("run", RUN, [("a", 1, "aa"), ("b", 2, "bb")], anew=True)
        await open_ledger.copied("run", RUN, [("b", 3, "cc")], anew=True)
        await open_ledger.copied("run", RUN, [("c", 4, "dd")])
        assert await open_ledger.copied_files("run", RUN, NEW) == [CopiedFile("b", 3, "cc"), CopiedFile("c", 4, "dd")]
        assert await open_ledger.copied_files("run", RUN, DestinationId("another")) == []
        await open_ledger.unsealed("run", RUN)
        assert await open_ledger.copied_files("run", RUN, NEW) == []


def test_every_file_that_was_copied_is_noted_as_it_stands_at_the_destination(
    destination: MlflowServer, small_tenant: Tenant, tmp_path: Path
) -> None:
    stored = [path for path in destination.artifacts.rglob("*") if path.is_file()]
    files = {(len(content), sha256(content).hexdigest()) for content in (path.read_bytes() for path in stored)}
    noted = ledger(tmp_path, "select kind, src_id, path, size, lower(hex(sha256)) from copied_files")
    assert {(size, digest) for *_, size, digest in noted} == files
    runs = {("run", run_id, NOTE) for label, run_id in small_tenant.runs.items() if label != "deleted"}
    models = {("logged_model", model_id, "MLmodel") for model_id in small_tenant.logged_models.values()}
    assert {(kind, src_id, path) for kind, src_id, path, *_ in noted} == runs | models


#: What is done to the file at each end, and what is told of it when every byte is read.
ALTERED: dict[str, tuple[bytes | None, bytes | None, str, str]] = {
    "at the source": (b"PARENT", None, CHANGED, AS_COPIED),
    "at the destination": (None, b"PARENT", AS_COPIED, CHANGED),
    "at both ends": (b"PARENT", b"pARENT", CHANGED, CHANGED),
}


@pytest.mark.parametrize("at", ALTERED)
def test_of_a_file_whose_bytes_differ_it_is_told_which_side_changed(
    source: MlflowServer, destination: MlflowServer, tmp_path: Path, at: str
) -> None:
    here, there, expected, found = ALTERED[at]
    for server, content in ((source, here), (destination, there)):
        if content is not None:
            note_of(server, "parent").write_bytes(content)
    digests = [sha256(content or b"parent").hexdigest() for content in (here, there)]
    sides = f"expected 6 bytes, sha256 {digests[0]} {expected}, found 6 bytes, sha256 {digests[1]} {found}"
    lines = told(verified(source, destination, Level.FULL, work_dir=tmp_path))
    assert lines == [f"run parent differs artifacts / {NOTE}: {sides}"]
    assert told(verified(source, destination, Level.CONTENT, work_dir=tmp_path)) == []


def test_without_reading_any_file_its_size_tells_which_side_changed(
    source: MlflowServer, destination: MlflowServer, tmp_path: Path
) -> None:
    note_of(source, "parent").write_bytes(b"longer than before")
    note_of(destination, "child").write_bytes(b"")
    note_of(destination, "other").unlink()
    lines = told(verified(source, destination, Level.CONTENT, work_dir=tmp_path))
    assert sorted(lines) == [
        f"run child differs artifacts / {NOTE}: expected 5 bytes {SIZE_AS_COPIED}, found 0 bytes {CHANGED}",
        f"run other differs artifacts / {NOTE}: expected 5 bytes {SIZE_AS_COPIED}, found (nothing)",
        f"run parent differs artifacts / {NOTE}: expected 18 bytes {CHANGED}, found 6 bytes {SIZE_AS_COPIED}",
    ]


def test_an_mlmodel_file_counts_as_copied_in_the_form_that_was_written(
    source: MlflowServer, destination: MlflowServer, tmp_path: Path
) -> None:
    assert told(verified(source, destination, Level.FULL, work_dir=tmp_path)) == []
    [here], [there] = (list(server.artifacts.rglob("MLmodel")) for server in (source, destination))
    original = here.read_bytes()
    here.write_bytes(original + b"# more\n")
    [line] = told(verified(source, destination, Level.FULL, work_dir=tmp_path))
    assert [line.count(CHANGED), line.count(AS_COPIED), line.index(CHANGED) < line.index(AS_COPIED)] == [1, 1, True]
    here.write_bytes(original)
    there.write_bytes(there.read_bytes() + b"# more\n")
    [line] = told(verified(source, destination, Level.FULL, work_dir=tmp_path))
    assert [line.count(CHANGED), line.count(AS_COPIED), line.index(CHANGED) > line.index(AS_COPIED)] == [1, 1, True]


def test_what_was_copied_again_is_what_counts(source: MlflowServer, destination: MlflowServer, tmp_path: Path) -> None:
    note_of(source, "parent").write_bytes(b"second")
    assert migrated(source, destination, tmp_path, recheck=True).exit_code == 0
    assert told(verified(source, destination, Level.FULL, work_dir=tmp_path)) == []
    note_of(destination, "parent").write_bytes(b"PARENT")
    [line] = told(verified(source, destination, Level.FULL, work_dir=tmp_path))
    assert line.endswith(CHANGED)
    assert AS_COPIED in line


def _forget(work_dir: Path) -> None:
    ledger(work_dir, "delete from copied_files")


def _remove(work_dir: Path) -> None:
    for path in work_dir.glob(f"{LEDGER_NAME}*"):
        path.unlink()


def _make_older(work_dir: Path) -> None:
    ledger(work_dir, "drop table copied_files")


def _give_to_another_source(work_dir: Path) -> None:
    ledger(work_dir, "update setup set value = 'http://elsewhere.example' where key = 'source'")


def _give_to_another_destination(work_dir: Path) -> None:
    ledger(work_dir, "update setup set value = 'http://elsewhere.example' where key = 'destination'")


def _lay_in_ruins(work_dir: Path) -> None:
    _remove(work_dir)
    (work_dir / LEDGER_NAME).write_bytes(b"no database" * 1000)


def _ruin_a_table(work_dir: Path) -> None:
    ledger(work_dir, "alter table copied_files rename column sha256 to something")


USELESS: list[Step] = [
    _forget,
    _remove,
    _make_older,
    _give_to_another_source,
    _give_to_another_destination,
    _lay_in_ruins,
    _ruin_a_table,
]


@pytest.fixture(scope="module")
def altered(
    servers: Servers, small_server: MlflowServer, small_tenant: Tenant, tmp_path_factory: pytest.TempPathFactory
) -> tuple[MlflowServer, Path]:
    """A destination at which a file has changed since it was copied, and the directory with the ledger."""
    del small_tenant
    server, work_dir = servers.start(), tmp_path_factory.mktemp("altered")
    assert migrated(small_server, server, work_dir).exit_code == 0
    note_of(server, "parent").write_bytes(b"PARENT")
    return server, work_dir


@pytest.mark.parametrize("step", USELESS, ids=lambda step: step.__name__.strip("_"))
def test_without_a_record_of_this_pair_a_comparison_finds_the_same_and_says_less(
    small_server: MlflowServer, altered: tuple[MlflowServer, Path], tmp_path: Path, step: Step
) -> None:
    server, work_dir = altered
    shutil.copytree(work_dir, tmp_path, dirs_exist_ok=True)
    step(tmp_path)
    before, after = (sha256(content).hexdigest() for content in (b"parent", b"PARENT"))
    assert told(verified(small_server, server, Level.FULL, work_dir=tmp_path)) == [
        f"run parent differs artifacts / {NOTE}: expected 6 bytes, sha256 {before}, found 6 bytes, sha256 {after}"
    ]


def test_a_record_that_lies_changes_no_verdict(source: MlflowServer, destination: MlflowServer, tmp_path: Path) -> None:
    ledger(tmp_path, "update copied_files set size = 7, sha256 = x'ab'")
    assert told(verified(source, destination, Level.FULL, work_dir=tmp_path)) == []
    assert told(verified(source, destination, Level.CONTENT, work_dir=tmp_path)) == []


def test_an_older_ledger_goes_on_and_notes_files_from_now_on(
    source: MlflowServer, destination: MlflowServer, tmp_path: Path
) -> None:
    _make_older(tmp_path)
    assert migrated(source, destination, tmp_path).exit_code == 0
    with closing(look(tmp_path)) as held:
        assert held.known("run")
    assert ledger(tmp_path, "select * from copied_files") == []
    assert migrated(source, destination, tmp_path, recheck=True).exit_code == 0
    assert len(ledger(tmp_path, "select * from copied_files")) == 4


def test_a_ledger_that_noted_files_at_greater_length_is_read_and_taken_over(
    source: MlflowServer, destination: MlflowServer, tmp_path: Path
) -> None:
    noted = ledger(tmp_path, "select kind, src_id, path, size, lower(hex(sha256)) from copied_files")
    _make_older(tmp_path)
    ledger(
        tmp_path,
        "create table files (kind text not null, src_id text not null, path text not null, size bigint not null,"
        " sha256 text not null, primary key (kind, src_id, path))",
    )
    for values in noted:
        ledger(tmp_path, f"insert into files values {values}")
    note_of(destination, "parent").write_bytes(b"PARENT")
    [line] = told(verified(source, destination, Level.FULL, work_dir=tmp_path))
    assert line.endswith(CHANGED)
    assert migrated(source, destination, tmp_path).exit_code == 0
    assert ledger(tmp_path, "select kind, src_id, path, size, lower(hex(sha256)) from copied_files") == noted
    assert ledger(tmp_path, "select name from sqlite_master where name = 'files'") == []
