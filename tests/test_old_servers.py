"""MLflow 2.22 at either end: everything it can hold is moved, and nothing that it cannot is lost in silence."""

import math
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

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


def test_a_run_that_goes_on_is_written_again_at_an_old_server(
    fresh_server: StartServer, old_python: str, tmp_path: Path
) -> None:
    """MLflow before 3.16 refuses points that it has: a NaN, and those of several metrics beyond a hundred in a call."""
    source, destination = fresh_server(), fresh_server(python=old_python)
    client = MlflowClient(source.url)
    run_id = client.create_run("0", run_name="goes on").info.run_id
    points = [Metric(f"metric {key}", step / 7, 1000 + step, step) for key in range(10) for step in range(30)]
    client.log_batch(run_id, [*points, Metric("not a number", math.nan, 1000, 1)])
    report = migrated(source, destination, tmp_path, without=("logged_model",))
    assert (report.failures, report.exit_code) == ((), 0)
    client.log_batch(run_id, [Metric("metric 3", 9.0, 2000, 31), Metric("not a number", math.nan, 2000, 2)])
    client.set_terminated(run_id)
    again = migrated(source, destination, tmp_path, without=("logged_model",))
    assert (again.failures, again.exit_code) == ((), 0)
    assert compare(source.url, destination.url) == []
