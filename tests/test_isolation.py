"""One bad object fails alone: it is named with its cause, its neighbours arrive, and a repaired source completes it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from bulkexim import Report
from tests.support.migrating import left_behind, migrated
from tests.support.oracle import compare, read
from tests.support.servers import Servers
from tests.support.tenant.builder import START, Builder

RUNS = 8


class Fragile:
    """A small source that a test may break and repair, and an empty destination."""

    def __init__(self, servers: Servers, folder: Path) -> None:
        self.source, self.destination = servers.start(), servers.start()
        self.work_dir = folder / "work"
        self.build = Builder(self.source.url, folder)
        self.build.experiment("plain", "fragile")
        for number in range(RUNS):
            run_id = self.build.run(f"run {number}", start=START + number)
            self.build.client.log_batch(run_id, [Metric("loss", number, START, 0)])
            self.build.put(f"run {number}", "model/weights.bin", b"weights")
        for name in ("good", "of the bad run"):
            self.build.client.create_registered_model(name)
            run_id = self.build.runs["run 3" if "bad" in name else "run 4"]
            self.build.client.create_model_version(name, f"runs:/{run_id}/model", run_id)

    def sql(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.source.database)) as database, database:
            database.execute(statement, values)

    def migrated(self) -> Report:
        return migrated(self.source, self.destination, self.work_dir)

    def complete(self) -> None:
        """Moves again, and finds nothing missing."""
        report = self.migrated()
        assert (report.failures, report.exit_code) == ((), 0)
        assert compare(self.source.url, self.destination.url) == []


@pytest.fixture
def fragile(servers: Servers, tmp_path: Path) -> Fragile:
    return Fragile(servers, tmp_path)


def test_a_folder_that_cannot_be_listed_stays_behind_alone(fragile: Fragile) -> None:
    bad = fragile.build.runs["run 3"]
    (file,) = fragile.source.artifacts.glob(f"*/{bad}/artifacts/model/weights.bin")
    aside = file.rename(file.with_name("aside"))
    file.symlink_to(file)

    report = fragile.migrated()

    assert (report.failures, report.exit_code) == ((), 3)
    (told,) = left_behind(report)
    assert told[0] == "file-unreadable"
    assert told[1].startswith("model/") and "source GET /api/2.0/mlflow-artifacts/artifacts" in told[1]
    after = read(fragile.destination.url)
    assert {run.info.status for run in after.runs.values()} == {"FINISHED"}
    assert ("good", 1) in after.versions

    file.unlink()
    aside.rename(file)
    fragile.complete()


def test_a_version_whose_source_is_refused_keeps_its_number_and_is_told(fragile: Fragile) -> None:
    client = fragile.build.client
    for name in ("good", "of the bad run"):
        client.create_model_version(name, "s3://bucket/x")
    update = "update model_versions set source = ? where name = 'of the bad run' and version = 1"
    fragile.sql(update, "s3://bucket/../x")
    report = fragile.migrated()
    assert (report.failures, report.exit_code) == ((), 3)
    told = [(str(one.cause), left.id) for one in report.left_behind for left in one.first]
    assert told == [("version-source", "of the bad run/1")]
    after = read(fragile.destination.url)
    assert sorted(after.versions) == [("good", 1), ("good", 2), ("of the bad run", 1), ("of the bad run", 2)]


def test_an_alias_that_mlflow_refuses_takes_no_other_with_it(fragile: Fragile) -> None:
    """No client sets such an alias; a database that was edited may hold one."""
    for alias in ("v1", "zebra"):
        fragile.sql("insert into registered_model_aliases (name, alias, version) values ('good', ?, 1)", alias)

    report = fragile.migrated()

    (failure,) = report.failures
    assert (failure.kind, failure.name) == ("registered_model", "good")
    assert "v1" in failure.error
    assert dict(MlflowClient(fragile.destination.url).get_registered_model("good").aliases) == {"zebra": "1"}

    fragile.sql("delete from registered_model_aliases where alias = 'v1'")
    fragile.complete()
