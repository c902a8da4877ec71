"""Two sources are moved to one destination and share an experiment there: neither harms or disturbs the other."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Experiment

from bulkexim.config import Level
from tests.conftest import StartServer
from tests.support.migrating import migrated
from tests.support.servers import MlflowServer
from tests.support.tenant import Tenant
from tests.support.verifying import told, verified

SHARED = "small experiment"


@pytest.fixture
def other(fresh_server: StartServer) -> MlflowServer:
    """A second source, with a run in each experiment that it shares with the first."""
    server = fresh_server()
    client = MlflowClient(server.url, server.url)
    client.create_experiment(SHARED)
    for experiment in client.search_experiments():
        client.set_terminated(client.create_run(experiment.experiment_id).info.run_id)
    return server


def _shared(client: MlflowClient) -> Experiment:
    found = client.get_experiment_by_name(SHARED)
    assert found is not None
    return found


def test_each_is_equal_to_what_became_of_it(
    small_server: MlflowServer, small_tenant: Tenant, other: MlflowServer, fresh_server: StartServer, tmp_path: Path
) -> None:
    both = fresh_server()
    assert migrated(small_server, both, tmp_path / "one").exit_code == 0
    assert migrated(other, both, tmp_path / "other").exit_code == 0
    for source in (small_server, other):
        assert told(verified(source, both, Level.FULL)) == []


def test_an_experiment_that_only_one_of_them_deleted_stays(
    small_server: MlflowServer, small_tenant: Tenant, other: MlflowServer, fresh_server: StartServer, tmp_path: Path
) -> None:
    both = fresh_server()
    client = MlflowClient(other.url, other.url)
    client.delete_experiment(_shared(client).experiment_id)
    assert migrated(small_server, both, tmp_path / "one").exit_code == 0
    report = migrated(other, both, tmp_path / "other", include_deleted=True)
    assert [(failure.kind, failure.cause) for failure in report.failures] == [("experiment", "not ours to delete")]
    assert _shared(MlflowClient(both.url, both.url)).lifecycle_stage == "active"
    assert told(verified(small_server, both, Level.FULL)) == []
