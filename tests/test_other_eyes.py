"""The comparison looks with other eyes than the mover: what a fault of the mover hides from itself is found.

Each fault is planted while everything is moved and while both ends are compared.
"""

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from bulkexim.config import Level
from tests.conftest import StartServer
from tests.support.migrating import left_behind, migrated, of
from tests.support.planted import FAULTS, Fault
from tests.support.servers import MlflowServer, Servers
from tests.support.tenant import Tenant, build_compact_tenant
from tests.support.verifying import told, verified


@pytest.fixture(scope="module")
def origin(servers: Servers) -> MlflowServer:
    """The server of ``compact``."""
    return servers.start()


@pytest.fixture(scope="module")
def compact(origin: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Tenant:
    """A tenant in which every part of the mover has something to lose."""
    return build_compact_tenant(origin.url, origin.database, tmp_path_factory.mktemp("scratch"))


def test_nothing_is_told_without_a_fault(compact: Tenant, fresh_server: StartServer, tmp_path: Path) -> None:
    server = fresh_server()
    assert migrated(compact.url, server, tmp_path, include_deleted=True).exit_code == 0
    assert told(verified(compact.url, server, include_deleted=True)) == []


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_what_a_fault_of_the_mover_loses_is_told(
    fault: Fault, compact: Tenant, fresh_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = fresh_server()
    fault.plant(monkeypatch, compact)
    migrated(compact.url, server, tmp_path, **dict(fault.settings))
    lines = told(verified(compact.url, server, **dict(fault.settings)))
    assert [line for line in fault.told if not any(found.startswith(line) for found in lines)] == []
    assert lines


def test_logged_models_are_looked_for_also_where_all_of_them_are_deleted(
    compact: Tenant, origin: MlflowServer, servers: Servers, fresh_server: StartServer, tmp_path: Path
) -> None:
    source, destination = servers.copy(origin), fresh_server()
    MlflowClient(source.url, source.url).delete_logged_model(compact.logged_models["net"])
    settings: dict[str, Any] = {"include_deleted": True, "experiments": ("first",)}
    migrated(source, destination, tmp_path, **settings, without=("logged_model",))
    lines = told(verified(source, destination, **settings))
    assert "logged_model net missing" in lines


def test_deleted_logged_models_are_moved_also_where_the_source_has_no_other(
    small_tenant: Tenant, small_server: MlflowServer, servers: Servers, fresh_server: StartServer, tmp_path: Path
) -> None:
    source = servers.copy(small_server)
    MlflowClient(source.url, source.url).delete_logged_model(small_tenant.logged_models["net"])
    destination, selected = fresh_server(), dict[str, Any](include_deleted=True, without=("registered_model",))
    report = migrated(source, destination, tmp_path / "selected", **selected)
    assert (of(report, "logged_model").moved, report.failures, left_behind(report)) == (1, (), [])
    assert told(verified(source, destination, Level.CONTENT, **selected)) == []
    # A version needs one that nobody selected: it is deleted at the destination when the version is there.
    report = migrated(source, fresh_server(), tmp_path / "needed")
    assert (of(report, "logged_model").moved, left_behind(report)) == (1, [])
