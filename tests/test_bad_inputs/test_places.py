"""Local stores that are none, and work directories that cannot be used."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bulkexim.ledger.schema import TABLES
from tests.test_bad_inputs.liar import Liar
from tests.test_bad_inputs.test_flags import migration
from tests.test_bad_inputs.told import Surroundings, refused

Prepare = Callable[[Path], object]


def database(*statements: str) -> Prepare:
    """Returns what makes an SQLite file."""

    def make(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(";".join(statements))

    return make


def holding(content: bytes) -> Prepare:
    """Returns what makes a file."""
    return lambda path: path.write_bytes(content)


def folder(**files: bytes) -> Prepare:
    """Returns what makes a folder; ``a__b`` is the file ``b.yaml`` in the folder ``a``."""

    def make(path: Path) -> None:
        path.mkdir()
        for name, content in files.items():
            target = path / f"{name.replace('__', '/')}.yaml"
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(content)

    return make


def loop(path: Path) -> None:
    """Makes a link that leads to itself."""
    path.symlink_to(path)


def dangling(path: Path) -> None:
    """Makes a link that leads nowhere."""
    path.symlink_to("nowhere")


TRACKING = ("create table experiments (experiment_id, artifact_location)", "create table runs (experiment_id)")

#: How ``store`` is made, what --src-uri is, the exit code, and words of the sentence.
STORES = [
    (holding(b"in the way"), "store", 2, "is not a folder"),
    (holding(b""), "store", 2, "is not a folder"),
    (holding(b"in the way"), "./store/", 2, "is not a folder"),
    (holding(b"in the way"), "store/mlruns", 2, "There is no store at"),
    (folder(), "store", 2, "is not a file store"),
    (folder(), "file:store", 2, "is not a file store"),
    (folder(readme=b"hello"), "store", 2, "is not a file store"),
    (folder(run__meta=b"run_id: a\nexperiment_id: '0'\n"), "store", 2, "is not a file store"),
    (folder(e__meta=b"- a list\n"), "store", 2, "is not a file store"),
    (folder(e__meta=b""), "store", 2, "is not a file store"),
    (folder(e__meta=b"a: [b"), "store", 2, "e has a meta.yaml that is no YAML"),
    (folder(e__meta=b"\xff\xfe\x00"), "store", 2, "e has a meta.yaml that is no YAML"),
    (folder(e__meta=b"a: \x00"), "store", 2, "e has a meta.yaml that is no YAML"),
    (folder(e__meta=b"!!python/object/apply:os.system ['touch pwned']"), "store", 2, "is no YAML"),
    (folder(e__meta=b"[" * 100_000), "store", 2, "e has a meta.yaml that is no YAML"),
    (loop, "store", 2, "There is no store at"),
    (dangling, "store", 2, "There is no store at"),
    (dangling, "sqlite:///store", 2, "There is no store at"),
    (loop, "sqlite:///store", 2, "There is no store at"),
    (folder(), "sqlite:///store", 2, "is not an SQLite database"),
    (holding(b""), "sqlite:///store", 2, "is not an MLflow store"),
    (holding(b"in the way"), "sqlite:///store", 2, "is not an SQLite database"),
    (holding(b"SQLite format 3\x00"), "sqlite:///store", 2, "SQLite database"),
    (holding(b"SQLite format 3\x00" + b"\xff" * 5000), "sqlite:///store", 2, "SQLite database"),
    (holding(b"SQLite format 3\x00\x10\x00\x02\x02" + b"\x00" * 5000), "sqlite:///store", 2, "store"),
    (holding(b"\x00" * 100_000), "sqlite:///store", 2, "SQLite database"),
    (database("create table songs (name)"), "sqlite:///store", 2, "no tables of experiments and runs"),
    (database(TRACKING[0]), "sqlite:///store", 2, "no tables of experiments and runs"),
    (database(*TRACKING), "sqlite:///store", 7, "has the schema of an older MLflow"),
    (
        database(*TRACKING, "create table alembic_version (version_num)"),
        "sqlite:///store",
        7,
        "has the schema of an older MLflow",
    ),
    (
        database(
            *TRACKING,
            "create table alembic_version (version_num)",
            "insert into alembic_version values ('ffffffffffff')",
        ),
        "sqlite:///store",
        7,
        "was written by a newer MLflow",
    ),
    (
        database(*TRACKING, "create table alembic_version (v)", "insert into alembic_version values (1)"),
        "sqlite:///store",
        2,
        "cannot be read",
    ),
    (
        database(
            *TRACKING,
            "create table alembic_version (version_num)",
            "insert into alembic_version values (null)",
        ),
        "sqlite:///store",
        7,
        "was written by a newer MLflow",
    ),
]

#: How the work directory is made, and words of the sentence.
WORK_DIRS = [
    (holding(b"in the way"), 2, "cannot be written"),
    (holding(b""), 2, "cannot be written"),
    (loop, 2, "cannot be written"),
    (dangling, 2, "cannot be written"),
]


def ledger(make: Prepare) -> Prepare:
    """Returns what makes a work directory whose ledger is something else."""

    def prepare(path: Path) -> None:
        path.mkdir()
        make(path / "ledger.db")

    return prepare


#: With an object that may be at the destination, a ledger belongs to its pair of servers.
BEGUN = "insert into objects values ('run', 'r', 'one', 'created', 'x', '', '', '', '', 0, 1, 0, 0, '', '')"
#: How a ledger is made that nobody can go on with, the exit code, and words of the sentence.
LEDGERS = [
    (ledger(folder()), 2, "ledger.db: cannot be opened"),
    (ledger(loop), 2, "work"),
    (ledger(holding(b"just a text")), 7, "is damaged"),
    (ledger(holding(b"SQLite format 3\x00" + b"\xff" * 5000)), 7, "is damaged"),
    (ledger(holding(b"\x00" * 5000)), 7, "is damaged"),
    (ledger(database("create table setup (name)")), 7, "is damaged"),
    (ledger(database("create table objects (name)")), 7, "is damaged"),
    (ledger(database("create view setup as select 1")), 7, "is damaged"),
    (ledger(database(TABLES, "insert into setup values ('format', '999')")), 7, "another version of bulkexim"),
    (ledger(database(TABLES, "insert into setup values ('format', '')")), 7, "another version of bulkexim"),
    (
        ledger(database(TABLES, "insert into setup values ('format', '1'), ('source', 'http://another')", BEGUN)),
        7,
        "belongs to a migration from http://another",
    ),
]

#: Paths for --work-dir, with words of the sentence.
WORK_PATHS = [
    ("/dev/null", "cannot be written"),
    ("/dev/null/work", "cannot be written"),
    ("/proc/no-such-place/work", "cannot be written"),
    ("a" * 300, "cannot be written"),
]


@pytest.mark.parametrize(("make", "uri", "code", "says"), STORES)
def test_a_store_that_is_none(
    liar: Liar, surroundings: Surroundings, make: Prepare, uri: str, code: int, says: str
) -> None:
    make(Path("store"))
    args = ["migrate-workspace", "--src-uri", uri, "--dst-uri", liar.url("dst"), "--work-dir", "work"]
    refused(surroundings, args, says, code=code)
    assert liar.seen == []


@pytest.mark.parametrize(("make", "code", "says"), [*WORK_DIRS, *LEDGERS])
def test_a_work_directory_that_is_none(
    liar: Liar, surroundings: Surroundings, make: Prepare, code: int, says: str
) -> None:
    make(Path("work"))
    refused(surroundings, migration(liar), says, code=code)
    assert not [seen for seen in liar.seen if "create" in seen.target]


@pytest.mark.parametrize(("make", "code", "says"), LEDGERS[:-1])
def test_a_ledger_that_cannot_be_looked_at(surroundings: Surroundings, make: Prepare, code: int, says: str) -> None:
    make(Path("work"))
    for command in ("status", "id-map"):
        refused(surroundings, [command, "--work-dir", "work"], code=code)


@pytest.mark.parametrize(("path", "says"), WORK_PATHS)
def test_a_path_that_can_be_no_work_directory(liar: Liar, surroundings: Surroundings, path: str, says: str) -> None:
    refused(surroundings, [*migration(liar)[:-1], path], says)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
@pytest.mark.parametrize("uri", ["store", "store/mlruns", "sqlite:///store/mlflow.db"])
def test_a_store_that_we_may_not_look_into(liar: Liar, surroundings: Surroundings, uri: str) -> None:
    Path("store").mkdir(mode=0o000)
    refused(surroundings, ["migrate-workspace", "--src-uri", uri, "--dst-uri", liar.url("dst")], "store")
