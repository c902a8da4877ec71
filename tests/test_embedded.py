"""Local stores as a source: served, never altered, and refused where they would be read wrongly."""

import hashlib
import os
import re
import shlex
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest
from mlflow import MlflowClient

from bulkexim.artifacts.places import place
from bulkexim.config import Endpoint
from bulkexim.ends import child_server as serving
from bulkexim.ends.embedded import embedded
from bulkexim.ends.local_artifacts import check_roots
from bulkexim.ends.local_store import is_local, local_store
from bulkexim.ends.opening import opened
from bulkexim.ends.server import Server
from bulkexim.errors import BulkeximError, FatalError, UsageError
from tests.support.file_store import HandMadeStore

pytestmark = pytest.mark.anyio

EARLIER_SCHEMA = "cfd24bdc0731"
#: With the MLflow that will serve the store: the ``mlflow`` of the path may be another one, or none.
UPGRADE = re.escape(shlex.quote(sys.executable)) + r" -m mlflow db upgrade sqlite:////.*/other-upgraded\.db"
"""A revision that MLflow 3.17 knows, and has left behind."""


class Store(NamedTuple):
    """A store in a folder of its own, with the run that it holds."""

    home: Path
    run_id: str

    @property
    def database(self) -> Path:
        return self.home / "mlflow.db"


@pytest.fixture(scope="module")
def file_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    home = tmp_path_factory.mktemp("files")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        patch.chdir(home)  # MLflow makes a default store where it stands
        return _built(home, "mlruns")


@pytest.fixture(scope="module")
def sqlite_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    home = tmp_path_factory.mktemp("sqlite")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)  # for the default artifact root
        return _built(home, "sqlite:///mlflow.db")


def _built(home: Path, address: str) -> Store:
    uri = address if "://" in address else str(home / address)
    client = MlflowClient(uri, uri)
    run = client.create_run(client.create_experiment("kept"))
    client.log_metric(run.info.run_id, "loss", 0.5)
    client.log_text(run.info.run_id, "weights", "model/weights.txt")
    client.set_terminated(run.info.run_id)
    client.create_registered_model("net")
    client.create_model_version("net", f"{run.info.artifact_uri}/model", run.info.run_id)
    return Store(home, run.info.run_id)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that temporary files go to; its path marks the processes that were started in a test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


async def test_a_file_store_is_served_unaltered(
    file_store: Store, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = file_store.home / "mlruns"
    shutil.rmtree(root / ".trash", ignore_errors=True)  # MLflow would make it again
    (file_store.home / "json.py").write_text("raise SystemExit('code beside a store was run')")
    monkeypatch.setenv("MLFLOW_WORKSPACE", "of another server")
    monkeypatch.setenv("MLFLOW_STATIC_PREFIX", "/elsewhere")
    before = _state(file_store.home)
    async with opened(Endpoint(uri=str(root)), "source") as server:
        assert server.identity == root.as_uri()
        assert server.capabilities.file_store
        await _check_content(server, file_store)
    assert _state(file_store.home) == before
    await _check_gone(temporary)


async def test_an_sqlite_store_is_served_unaltered_until_the_reading_is_cancelled(
    sqlite_store: Store, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = sqlite_store.home
    served = home / "wal.db"
    shutil.copyfile(sqlite_store.database, served)
    proxied = _proxied_run(served)
    kept = home / "mlartifacts" / "9" / proxied / "artifacts" / "kept.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("proxied")
    monkeypatch.chdir(home.parent)
    before = _state(home)
    with anyio.CancelScope() as scope:
        async with opened(Endpoint(uri=f"sqlite:///{home.name}/wal.db"), "source") as server:
            assert server.identity == f"sqlite:///{served}"
            assert not server.capabilities.file_store
            await _check_content(server, sqlite_store)
            assert await _text(server, f"mlflow-artifacts:/9/{proxied}/artifacts", proxied, "kept.txt") == b"proxied"
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert _state(home) == before
    await _check_gone(temporary)


async def test_a_server_that_dies_ends_the_reading(sqlite_store: Store, temporary: Path) -> None:
    with pytest.raises(FatalError, match="ended before"):
        async with embedded(local_store(f"sqlite:///{sqlite_store.database}")):
            for process in _processes(temporary):
                os.kill(process, signal.SIGKILL)
            await anyio.sleep_forever()
    await _check_gone(temporary)


async def test_a_start_that_is_cancelled_leaves_nothing(
    sqlite_store: Store, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = anyio.CancelScope()

    async def cancel(*_: object) -> bool:
        assert _processes(temporary)
        scope.cancel()
        return False

    monkeypatch.setattr(serving, "_is_healthy", cancel)
    with scope:
        async with embedded(local_store(f"sqlite:///{sqlite_store.database}")):
            pytest.fail("it was never healthy")
    assert scope.cancelled_caught
    await _check_gone(temporary)


async def test_a_start_that_fails_shows_the_log(
    sqlite_store: Store, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_FOREIGN", ())
    monkeypatch.setenv("MLFLOW_WORKSPACE", "ours")  # which no server accepts
    with pytest.raises(FatalError, match=r"did not start\. It said last:\n(.*\n)*.*MLFLOW_WORKSPACE"):
        async with embedded(local_store(f"sqlite:///{sqlite_store.database}")):
            pytest.fail("it started")
    await _check_gone(temporary)


@pytest.mark.parametrize(
    ("schema", "advice"),
    [
        (EARLIER_SCHEMA, UPGRADE),
        ("ffffffffffff", "newer mlflow"),
    ],
)
async def test_another_schema_is_refused_unaltered(
    sqlite_store: Store, tmp_path: Path, schema: str, advice: str
) -> None:
    other = _copied(sqlite_store, tmp_path / "other.db", ("update alembic_version set version_num = ?", schema))
    await _check_refused(f"sqlite:///{other}", FatalError, advice)


async def test_a_store_that_was_not_closed_is_refused_unaltered(sqlite_store: Store, tmp_path: Path) -> None:
    origin = _copied(sqlite_store, tmp_path / "origin.db")
    (tmp_path / "crashed").mkdir()
    with closing(sqlite3.connect(origin)) as writer:
        writer.execute("pragma journal_mode = wal")
        writer.execute("update runs set name = 'late'")
        writer.commit()
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{origin}{suffix}", tmp_path / "crashed" / f"mlflow.db{suffix}")
    await _check_refused(f"sqlite:///{tmp_path}/crashed/mlflow.db", FatalError, "not closed properly")


async def test_the_folder_above_a_store_is_refused_with_the_name_of_the_store(tmp_path: Path) -> None:
    HandMadeStore(tmp_path)
    await _check_refused(str(tmp_path), UsageError, f"is not a file store.*Did you mean {tmp_path}/mlruns")


@pytest.mark.parametrize("address", ["nothing", "sqlite:///nothing.db", "sqlite:////nowhere/nothing.db"])
async def test_a_missing_store_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.chdir(tmp_path)
    await _check_refused(address, UsageError, "no store at /")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("folder", "is not a file store"),
        ("notes.txt", "is not a folder. If it is an SQLite database, give sqlite:////"),
        ("sqlite:///folder", "is not an SQLite database"),
        ("sqlite:///notes.txt", "is not an SQLite database"),
        ("sqlite:///other.db", "is not an MLflow store"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("file://elsewhere/mlruns", "names no folder of this machine"),
    ],
)
async def test_what_is_no_store_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder" / "recipe").mkdir(parents=True)
    (tmp_path / "folder" / "recipe" / "meta.yaml").write_text("package: {name: other}")
    (tmp_path / "notes.txt").write_text("not a database, but long enough to be taken for one" * 10)
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("create table alembic_version (version_num text)")
    before = _state(tmp_path)
    await _check_refused(address, UsageError, problem)
    assert _state(tmp_path) == before


async def test_a_file_store_that_was_moved_without_its_artifacts_is_refused(file_store: Store, tmp_path: Path) -> None:
    shutil.copytree(file_store.home / "mlruns", tmp_path / "renamed")
    (meta,) = tmp_path.glob(f"renamed/*/{file_store.run_id}/meta.yaml")
    meta.write_text(meta.read_text().replace(str(file_store.home), str(file_store.home / "gone")))
    shutil.rmtree(meta.parent / "artifacts" / "model")
    await _check_refused(str(tmp_path / "renamed"), FatalError, r"was moved: it says that artifacts are in /.*/gone/")


async def test_a_moved_database_is_refused(sqlite_store: Store, tmp_path: Path) -> None:
    moved = _copied(
        sqlite_store, tmp_path / "mlflow.db", ("update experiments set artifact_location = ?", "/no/such/1")
    )
    await _check_refused(f"sqlite:///{moved}", FatalError, "was moved")


async def test_artifacts_that_a_server_keeps_are_missed(sqlite_store: Store, tmp_path: Path) -> None:
    query = "update experiments set artifact_location = ?"
    behind = _copied(sqlite_store, tmp_path / "mlflow.db", (query, "mlflow-artifacts:/1"))
    await _check_refused(f"sqlite:///{behind}", FatalError, "Start that server")


async def test_roots_that_never_got_an_artifact_are_fine(sqlite_store: Store) -> None:
    store = local_store(f"sqlite:///{sqlite_store.database}")
    check_roots(store, [f"{store.home}/never", "./mlruns/7", f"file://{store.home}/a%20b/8", "s3://bucket/9"])


async def test_a_destination_must_be_a_server(file_store: Store) -> None:
    before = _state(file_store.home)
    for address in (str(file_store.home / "mlruns"), "sqlite:///mlflow.db"):
        with pytest.raises(UsageError, match=r"must be a server.*mlflow server --backend-store-uri"):
            opened(Endpoint(uri=address), "destination")
    assert _state(file_store.home) == before


@pytest.mark.parametrize(
    ("address", "advice"),
    [
        ("postgresql://user:secret@host/db", "Start mlflow server --backend-store-uri"),
        ("mysql+pymysql://user:secret@host/db", "Start mlflow server --backend-store-uri"),
        ("s3://bucket/mlruns", "Give http://host:port"),
        ("databricks", "Give http://host:port"),
        ("localhost:5000", "Give http://host:port"),
    ],
)
async def test_other_addresses_are_refused_without_repeating_them(address: str, advice: str) -> None:
    with pytest.raises(UsageError, match=advice) as refusal:
        opened(Endpoint(uri=address), "source")
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("./mlruns", True),
        ("/abs/mlruns", True),
        ("file:///abs/mlruns", True),
        ("sqlite:///mlflow.db", True),
        ("http://host", False),
        ("databricks", False),
        ("postgresql://host/db", False),
    ],
)
def test_local_addresses_are_told_from_others(address: str, local: bool) -> None:
    assert is_local(address) is local


async def _check_content(server: Server, store: Store) -> None:
    run = (await server.get("runs/get", dict[str, Any], {"run_id": store.run_id}))["run"]
    assert [(metric["key"], metric["value"]) for metric in run["data"]["metrics"]] == [("loss", 0.5)]
    assert await _text(server, run["info"]["artifact_uri"], store.run_id, "model/weights.txt") == b"weights"
    reply = await server.get("model-versions/get", dict[str, Any], {"name": "net", "version": "1"})
    assert reply["model_version"]["run_id"] == store.run_id


async def _text(server: Server, root: str, run_id: str, path: str) -> bytes:
    async with place(server, root, run_id=run_id).read(path) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def _check_refused(address: str, error: type[BulkeximError], problem: str) -> None:
    path = Path(address.removeprefix("sqlite:///"))
    before = _state(path.parent)
    with pytest.raises(error, match=problem):
        async with opened(Endpoint(uri=address), "source"):
            pytest.fail("it was served")
    assert _state(path.parent) == before


def _state(folder: Path) -> dict[str, tuple[int, str]]:
    """Every file and folder below ``folder``, with its time of change and digest."""
    return {
        str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
        for path in [folder, *folder.rglob("*")]
        if path.exists()
    }


def _copied(store: Store, target: Path, change: tuple[str, str] | None = None) -> Path:
    shutil.copyfile(store.database, target)
    if change:
        with closing(sqlite3.connect(target)) as copy:
            copy.execute(change[0], change[1:])
            copy.commit()
    return target


def _proxied_run(database: Path) -> str:
    """Add a run as a server with an artifact service would have made it, and leave the database idle in WAL mode."""
    uri = f"sqlite:///{database}"
    client = MlflowClient(uri, uri)
    run = client.create_run(client.create_experiment("proxied", "mlflow-artifacts:/9"))
    client.set_terminated(run.info.run_id)
    client._tracking_client.store._dispose_engine()
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("pragma journal_mode = wal")
    return str(run.info.run_id)


async def _check_gone(temporary: Path) -> None:
    """Check that no process and no file is left; the kernel may need a moment for the children of a killed process."""
    with anyio.fail_after(10):
        while _processes(temporary):
            await anyio.lowlevel.checkpoint()
    assert not list(temporary.iterdir())


def _processes(temporary: Path) -> list[int]:
    mark = os.fsencode(f"TMPDIR={temporary}/")
    return [int(entry.parent.name) for entry in Path("/proc").glob("[0-9]*/environ") if _holds(entry.read_bytes, mark)]


def _holds(read: Callable[[], bytes], mark: bytes) -> bool:
    try:
        return mark in read()
    except OSError:  # another user's process, or one that has just ended
        return False
