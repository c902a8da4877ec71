"""What somebody deleted at the destination is noticed by a plain run, and brought back or told."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from bulkexim.config import Level
from bulkexim.engine.report import Report
from tests.support.migrating import migrated, moved, of, planned, swept
from tests.support.servers import MlflowServer, Servers
from tests.support.tenant import Tenant
from tests.support.verifying import told, verified

OF_RUNS = ("metrics", "latest_metrics", "params", "tags", "runs")


class Moved:
    """A destination to which the small tenant was moved, deleted objects included, and its ledger."""

    def __init__(self, tenant: Tenant, server: MlflowServer, work: Path) -> None:
        self.tenant, self.server, self.work = tenant, server, work
        self.client = MlflowClient(server.url, server.url)

    def again(self, **settings: Any) -> Report:
        return migrated(self.tenant.url, self.server, self.work, include_deleted=True, **settings)

    def differences(self) -> list[str]:
        return told(verified(self.tenant.url, self.server, Level.FULL, include_deleted=True))

    def id_of(self, table: str, column: str, name: str) -> str:
        with contextlib.closing(sqlite3.connect(self.server.database)) as store:
            found = store.execute(f"SELECT {column} FROM {table} WHERE name = ?", (name,)).fetchone()
        return str(found[0])

    def run(self, name: str) -> str:
        return self.id_of("runs", "run_uuid", name)

    @property
    def experiment(self) -> str:
        return self.id_of("experiments", "experiment_id", "small experiment")

    def purge(self, *runs: str) -> None:
        """Removes runs for good, as ``mlflow gc`` does."""
        ids = [self.run(name) for name in runs]
        with contextlib.closing(sqlite3.connect(self.server.database)) as store, store:
            for table in OF_RUNS:
                store.executemany(f"DELETE FROM {table} WHERE run_uuid = ?", [(run_id,) for run_id in ids])

    def purge_experiment(self) -> None:
        """Removes an experiment for good, and all it holds."""
        home = self.experiment
        self.purge("parent", "child", "other", "deleted")
        with contextlib.closing(sqlite3.connect(self.server.database)) as store, store:
            for table in ("logged_model_metrics", "logged_model_params", "logged_model_tags", "logged_models"):
                store.execute(f"DELETE FROM {table} WHERE experiment_id = ?", (home,))
            for table in ("experiment_tags", "datasets", "experiments"):
                store.execute(f"DELETE FROM {table} WHERE experiment_id = ?", (home,))


@pytest.fixture
def there(servers: Servers, small_tenant: Tenant, tmp_path: Path) -> Iterator[Moved]:
    """Where everything stands as it should."""
    server = servers.start()
    there = Moved(small_tenant, server, tmp_path / "work")
    assert there.again().exit_code == 0
    yield there
    server.stop()


def test_nothing_is_taken_for_deleted_where_no_experiment_is_complete_yet(there: Moved) -> None:
    """Experiments are sealed last: a run that was stopped in order before that leaves their runs complete."""
    with contextlib.closing(sqlite3.connect(there.work / "ledger.db")) as ledger, ledger:
        ledger.execute("UPDATE objects SET state = 'filled', digest = '' WHERE kind = 'experiment'")
    report = there.again()
    assert (report.exit_code, report.warnings) == (0, ())
    assert (of(report, "run").moved, of(report, "logged_model").moved) == (0, 0)
    assert there.differences() == []


def test_runs_come_back_whether_they_are_deleted_or_gone(there: Moved) -> None:
    there.client.delete_run(there.run("other"))
    there.purge("child")
    assert planned(there.tenant.url, there.server, there.work, include_deleted=True).kinds[1].to_move > 0
    report = there.again()
    assert report.exit_code == 0
    assert of(report, "run").moved == 2
    assert report.warnings == ("Deleted at the destination since it was moved there, so it is moved again: run 2.",)
    assert there.differences() == []
    report = there.again()
    assert (moved(report), report.warnings) == (0, ())


def test_a_deleted_run_that_is_gone_comes_back_deleted(there: Moved) -> None:
    there.purge("deleted")
    assert of(there.again(), "run").moved == 1
    assert there.differences() == []


def test_an_experiment_comes_back_with_its_runs_as_they_were(there: Moved) -> None:
    there.client.delete_experiment(there.experiment)
    assert there.again().exit_code == 0
    assert there.differences() == []
    assert moved(there.again()) == 0


def test_an_experiment_that_is_gone_comes_back_with_all_it_held(there: Moved) -> None:
    there.purge_experiment()
    report = there.again()
    # The logged model comes back as a new one; the version, whose source MLflow cannot change, leads to the old one.
    assert [str(one.cause) for one in report.left_behind] == ["version-source"]
    assert (report.failures, report.exit_code) == ((), 3)
    assert (of(report, "run").moved, of(report, "logged_model").moved) == (4, 1)
    # The versions stay: MLflow cannot change to what one of them points.
    assert {line.split(" differs ")[0] for line in there.differences()} == {"model_version small model version 1"}


def test_a_registered_model_comes_back_with_its_versions_under_their_numbers(there: Moved) -> None:
    there.client.delete_registered_model("small model")
    report = there.again()
    assert report.exit_code == 0
    assert (of(report, "registered_model").moved, of(report, "model_version").moved) == (1, 2)
    assert there.differences() == []


@pytest.mark.parametrize("number", ["1", "3"])
def test_a_version_whose_number_is_lost_is_told_with_the_way_to_have_it_again(there: Moved, number: str) -> None:
    there.client.delete_model_version("small model", number)
    report = there.again()
    assert report.exit_code == 3
    [failure] = report.failures
    assert (failure.kind, failure.id) == ("model_version", f"small model/{number}")
    assert "bulkexim sweep" in failure.error
    assert [left.name for left in report.leftovers] == ["small model"]
    assert swept(there.tenant.url, there.server, there.work, remove=True).removed == 1
    assert there.again().exit_code == 0
    assert there.differences() == []


def test_a_logged_model_comes_back_as_another_one(there: Moved) -> None:
    there.client.delete_logged_model(there.id_of("logged_models", "model_id", "net"))
    report = there.again()
    assert of(report, "logged_model").moved == 1
    assert report.left == 0, "what is deleted can be neither restored nor removed"
    assert {line.split(" differs ")[0] for line in there.differences()} == {"model_version small model version 1"}
    assert moved(there.again()) == 0


def test_a_look_for_what_is_gone_takes_a_few_requests(there: Moved) -> None:
    report = there.again()
    assert (moved(report), report.warnings) == (0, ())
    assert report.requests["destination"] <= 7


def test_what_is_deleted_by_right_is_not_looked_for(there: Moved, servers: Servers, tmp_path: Path) -> None:
    # Back from there: a source of its own, in which a logged model is deleted and a run still names it.
    source, server = servers.copy(there.server), servers.start()
    client = MlflowClient(source.url, source.url)
    client.finalize_logged_model(client.create_logged_model(there.experiment, "beside").model_id, "READY")
    client.delete_logged_model(there.id_of("logged_models", "model_id", "net"))
    work = tmp_path / "back"
    assert of(migrated(source, server, work, include_deleted=True), "logged_model").moved == 2
    report = migrated(source, server, work, include_deleted=True)
    assert (moved(report), report.warnings) == (0, ())
    assert report.requests["destination"] <= 8
    server.stop()
