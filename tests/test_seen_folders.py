"""Artifacts in folders that this machine sees: the same files arrive, and no server sends or takes them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bulkexim import Endpoint
from bulkexim.artifacts.seen import PARTS
from bulkexim.errors import FatalError, UsageError
from tests.support.migrating import foretold, migrated, planned
from tests.support.oracle import compare
from tests.support.servers import MlflowServer, Servers
from tests.support.verifying import told, verified

pytestmark = pytest.mark.usefixtures("small_tenant")

#: A request that carries the bytes of a file, as a server logs it.
CARRIED = re.compile(r'"(PUT|GET) [^"]*(mlflow-artifacts/artifacts/|get-artifact|artifacts/files)')


@pytest.fixture
def destination(servers: Servers) -> Iterator[MlflowServer]:
    """An empty server."""
    with servers.start() as server:
        yield server


def seen(server: MlflowServer, folder: Path | None = None) -> Endpoint:
    """The server, with the folder of its artifacts."""
    return Endpoint(uri=server.url, artifacts_dir=str(folder or server.artifacts))


def carried(server: MlflowServer) -> int:
    """How many files went through a server so far."""
    return len(CARRIED.findall(server.log.read_text()))


@pytest.mark.parametrize("sides", ["source", "destination", "both"])
def test_the_same_files_arrive_and_none_goes_through_a_server_whose_folder_is_seen(
    small_server: MlflowServer, destination: MlflowServer, tmp_path: Path, sides: str
) -> None:
    before = carried(small_server)
    ends = (
        small_server.url if sides == "destination" else seen(small_server),
        destination.url if sides == "source" else seen(destination),
    )
    plan = planned(*ends, tmp_path / "work", include_deleted=True)
    report = migrated(*ends, tmp_path / "work", include_deleted=True)
    assert (report.failures, report.exit_code) == ((), 0)
    assert foretold(plan, report)
    assert sum(kind.bytes for kind in report.kinds) > 0
    assert (carried(small_server) > before, carried(destination) > 0) == (sides == "destination", sides == "source")
    assert compare(small_server.url, destination.url, include_deleted=True) == []
    assert told(verified(*ends, include_deleted=True)) == []
    assert not (destination.artifacts / PARTS).exists()


def test_a_dry_run_writes_nothing_to_the_folder(
    small_server: MlflowServer, destination: MlflowServer, tmp_path: Path
) -> None:
    planned(seen(small_server), seen(destination), tmp_path / "work")
    assert not destination.artifacts.exists()


def test_the_folder_of_another_source_is_refused(
    small_server: MlflowServer, destination: MlflowServer, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    for experiment in small_server.artifacts.iterdir():
        (other / experiment.name / ("0" * 32)).mkdir(parents=True)
    with pytest.raises(FatalError, match=r"not where the source keeps its artifacts.*--src-artifacts-dir"):
        migrated(seen(small_server, other), destination, tmp_path / "work")


def test_the_folder_of_another_destination_is_refused_before_anything_is_moved(
    small_server: MlflowServer, destination: MlflowServer, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(FatalError, match=r"not where the destination keeps its artifacts.*--dst-artifacts-dir"):
        migrated(small_server, seen(destination, other), tmp_path / "work")
    assert [path for path in other.rglob("*") if path.is_file()] == []


def test_a_folder_that_is_not_there_is_told(
    small_server: MlflowServer, destination: MlflowServer, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        migrated(seen(small_server, tmp_path / "none"), destination, tmp_path / "work")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_ends_the_run_with_what_helps(
    small_server: MlflowServer, destination: MlflowServer, tmp_path: Path
) -> None:
    destination.artifacts.mkdir(mode=0o500)
    with pytest.raises(UsageError, match="cannot be written"):
        migrated(small_server, seen(destination), tmp_path / "work")


def test_a_local_store_takes_no_folder(destination: MlflowServer, tmp_path: Path) -> None:
    store = Endpoint(uri=f"sqlite:///{tmp_path / 'mlflow.db'}", artifacts_dir=str(tmp_path))
    with pytest.raises(UsageError, match="says itself where its files are"):
        migrated(store, destination, tmp_path / "work")
