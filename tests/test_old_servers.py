"""MLflow 2.22 at either end: everything it can hold is moved, and nothing that it cannot is lost in silence."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from bulkexim.errors import FatalError
from tests.conftest import StartServer
from tests.support.migrating import changes, migrated, moved
from tests.support.oracle import compare, read
from tests.support.servers import MlflowServer
from tests.support.tenant import Tenant, build_old_tenant


def test_an_old_tenant_arrives_at_a_new_server(old_tenant: Tenant, fresh_server: StartServer, tmp_path: Path) -> None:
    destination = fresh_server()
    report = migrated(old_tenant.url, destination, tmp_path, include_deleted=True)
    assert (report.failures, report.exit_code) == ((), 0)
    assert compare(old_tenant.url, destination.url, include_deleted=True) == []


def test_an_old_tenant_arrives_at_an_old_server_once(
    old_tenant: Tenant, fresh_server: StartServer, old_python: str, tmp_path: Path
) -> None:
    destination = fresh_server(python=old_python, workers=2)
    report = migrated(old_tenant.url, destination, tmp_path, include_deleted=True)
    assert (report.failures, report.exit_code) == ((), 0)
    after = read(destination.url)
    assert compare(old_tenant.url, after, include_deleted=True) == []
    again = migrated(old_tenant.url, destination, tmp_path, include_deleted=True)
    assert (moved(again), again.exit_code) == (0, 0)
    assert changes(after, read(destination.url)) == []


def test_what_an_old_server_can_hold_arrives_there_from_a_new_one(
    fresh_server: StartServer, old_python: str, tmp_path: Path
) -> None:
    source, destination = fresh_server(), fresh_server(python=old_python, workers=2)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    build_old_tenant(source.url, scratch)
    report = migrated(source, destination, tmp_path / "work", include_deleted=True)
    assert (report.failures, report.exit_code) == ((), 0)
    assert compare(source.url, destination.url, include_deleted=True) == []


def test_logged_models_are_refused_before_anything_is_written_to_an_old_server(
    small_server: MlflowServer, small_tenant: Tenant, fresh_server: StartServer, old_python: str, tmp_path: Path
) -> None:
    destination = fresh_server(python=old_python)
    with pytest.raises(
        FatalError, match=r"MLflow 2\.22\.\d+ and cannot hold the logged models.*--without logged_model"
    ):
        migrated(small_tenant.url, destination, tmp_path)
    client = MlflowClient(destination.url, destination.url)
    assert [experiment.name for experiment in client.search_experiments()] == ["Default"]
    assert client.search_registered_models() == []

    # The files of a version that is a logged model's stay behind with it.
    report = migrated(small_tenant.url, destination, tmp_path, without=("logged_model",), accept=("version-source",))
    assert (report.failures, report.exit_code) == ((), 0)
