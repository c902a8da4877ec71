"""What a migration may leave over at the destination is seen by every later run, and removed by a sweep only."""

import contextlib
import json
import shlex
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.entities import ViewType

from bulkexim.cli.main import main
from bulkexim.engine.events import Leftover
from bulkexim.engine.report import Report
from bulkexim.ids import marker
from tests.support.migrating import migrated, swept
from tests.support.oracle import compare
from tests.support.servers import MlflowServer, Servers
from tests.support.tenant import Tenant
from tests.support.verifying import told, verified


class Moved:
    """A small tenant that was moved, deleted objects too."""

    def __init__(self, source: MlflowServer, tenant: Tenant, destination: MlflowServer, work_dir: Path) -> None:
        self.source, self.tenant, self.destination, self.work_dir = source, tenant, destination, work_dir
        self.client = MlflowClient(destination.url, destination.url)
        assert self.again().exit_code == 0
        [found] = [one for one in self.client.search_experiments() if one.name == "small experiment"]
        self.experiment = found.experiment_id

    def again(self) -> Report:
        return migrated(self.source, self.destination, self.work_dir, include_deleted=True)

    def look(self, *, remove: bool = False) -> list[Leftover]:
        found = swept(self.source, self.destination, self.work_dir, remove=remove)
        assert found.failures == ()
        assert found.exit_code == (4 if found.found and not remove else 0)
        return list(found.found)

    def run(self, name: str) -> str:
        """The id of a run that arrived, in the bin or not."""
        query = f"attributes.run_name = '{name}'"
        found = self.client.search_runs([self.experiment], query, ViewType.ALL)
        return next(str(run.info.run_id) for run in found if "bulkexim.marker" in run.data.tags)

    def double_of_run(self, name: str) -> str:
        """A create that the server carried out a second time."""
        tags = self.client.get_run(self.run(name)).data.tags
        double = self.client.create_run(self.experiment, run_name=name, tags=tags)
        self.unanswered()
        return str(double.info.run_id)

    def unanswered(self) -> None:
        """Leave the ledger as a run does one of whose creates got no answer."""
        with contextlib.closing(sqlite3.connect(self.work_dir / "ledger.db")) as ledger, ledger:
            ledger.execute("delete from setup where key = 'clear'")

    def as_it_was(self) -> None:
        """Both ends are equal, and nothing of the marker's is there twice."""
        report = self.again()
        assert (report.failures, report.left, report.exit_code) == ((), 0, 0)
        assert compare(self.source.url, self.destination.url, include_deleted=True) == []
        assert told(verified(self.source, self.destination, include_deleted=True)) == []
        assert self.look() == []


@pytest.fixture
def moved(servers: Servers, small_server: MlflowServer, small_tenant: Tenant, tmp_path: Path) -> Iterator[Moved]:
    destination = servers.start()
    yield Moved(small_server, small_tenant, destination, tmp_path / "work")
    destination.stop()


def test_nothing_is_left_over_by_a_migration_that_nothing_disturbed(moved: Moved) -> None:
    moved.as_it_was()


def test_a_run_looks_at_the_destination_only_while_something_may_be_left_there(moved: Moved) -> None:
    quiet = moved.again().requests["destination"]
    moved.unanswered()
    looking = moved.again().requests["destination"]
    assert looking > quiet
    assert moved.again().requests["destination"] == quiet


def test_a_run_that_leaves_a_kind_out_does_not_answer_for_it(moved: Moved) -> None:
    quiet = moved.again().requests["destination"]
    moved.unanswered()
    migrated(moved.source, moved.destination, moved.work_dir, include_deleted=True, without=("logged_model",))
    assert moved.again().requests["destination"] > quiet


def test_a_doubled_run_is_told_by_every_later_run_and_removed_on_demand_only(moved: Moved) -> None:
    kept, double = moved.run("parent"), moved.double_of_run("parent")
    for _ in range(2):
        report = moved.again()
        assert (report.failed, report.left, report.exit_code) == (0, 1, 4)
        assert [(one.dst_id, one.why) for one in report.leftovers] == [(double, "doubled")]
    assert [one.dst_id for one in moved.look()] == [double]
    assert moved.client.get_run(double).info.lifecycle_stage == "active"
    assert [one.dst_id for one in moved.look(remove=True)] == [double]
    assert moved.client.get_run(double).info.lifecycle_stage == "deleted"
    assert moved.client.get_run(kept).info.lifecycle_stage == "active"
    moved.as_it_was()


def test_a_double_that_is_in_the_bin_is_not_found_by_its_marker_again(moved: Moved) -> None:
    double = moved.double_of_run("other")
    moved.client.delete_run(double)
    assert [one.dst_id for one in moved.look(remove=True)] == [double]
    assert "bulkexim.marker" not in moved.client.get_run(double).data.tags
    moved.as_it_was()


def test_without_a_ledger_the_complete_one_of_two_is_kept(moved: Moved) -> None:
    double = moved.double_of_run("child")
    for part in moved.work_dir.glob("ledger.db*"):
        part.unlink()
    assert [one.dst_id for one in moved.look(remove=True)] == [double]
    moved.as_it_was()


def test_the_only_one_is_never_taken_for_a_double(moved: Moved) -> None:
    """The ledger says that another one is to be kept, but that one is gone."""
    kept = moved.run("parent")
    moved.double_of_run("parent")
    with contextlib.closing(sqlite3.connect(moved.destination.database)) as store, store:
        store.execute("DELETE FROM runs WHERE run_uuid = ?", [kept])
    assert moved.look() == []


def test_a_sweep_that_was_interrupted_is_finished_by_the_next(moved: Moved) -> None:
    double = moved.double_of_run("parent")
    moved.client.set_tag(double, "bulkexim.swept", moved.client.get_run(double).data.tags["bulkexim.marker"])
    moved.client.delete_tag(double, "bulkexim.marker")
    assert [(one.dst_id, one.why) for one in moved.look(remove=True)] == [(double, "not needed any more")]
    moved.as_it_was()


def test_a_doubled_logged_model_goes(moved: Moved) -> None:
    [kept] = moved.client.search_logged_models([moved.experiment])
    double = moved.client.create_logged_model(moved.experiment, "net", tags=kept.tags)
    moved.unanswered()
    assert moved.again().exit_code == 4
    assert [one.dst_id for one in moved.look(remove=True)] == [double.model_id]
    assert [one.model_id for one in moved.client.search_logged_models([moved.experiment])] == [kept.model_id]
    moved.as_it_was()


def test_a_model_whose_numbers_were_taken_by_late_creates_is_made_anew(
    servers: Servers, small_server: MlflowServer, small_tenant: Tenant, tmp_path: Path
) -> None:
    source = servers.copy(small_server)
    moved = Moved(source, small_tenant, servers.start(), tmp_path / "work")
    third = moved.client.get_model_version("small model", "3")
    # A create and a placeholder of it that were given up on, and carried out in the end.
    moved.client.create_model_version("small model", "s3://bucket/x", tags=third.tags)
    mark = third.tags["bulkexim.marker"]
    moved.client.create_model_version("small model", "s3://bulkexim/gap", tags={"bulkexim.gap": mark})
    MlflowClient(source.url, source.url).create_model_version("small model", "s3://bucket/4")

    report = moved.again()
    assert report.exit_code == 3
    assert report.causes == {"version number taken": 1}
    assert [(one.dst_id, one.why) for one in report.leftovers] == [
        ("small model", "not needed any more"),
        ("small model/4", "doubled"),
        ("small model/5", "not needed any more"),
    ]
    assert len(moved.look(remove=True)) == 3
    moved.as_it_was()
    assert moved.client.get_model_version("small model", "4").source == "s3://bucket/4"


def test_a_placeholder_whose_version_is_to_come_stays(moved: Moved, servers: Servers) -> None:
    client = moved.client
    source = MlflowClient(servers.copy(moved.source).url)
    assert source is not client
    for number in ("1", "3"):
        client.delete_model_version("small model", number)
    identity = f"{moved.source.url}"
    coming = marker(identity, "model_version", "small model/3")
    client.create_model_version("small model", "s3://bulkexim/gap", tags={"bulkexim.gap": coming})
    before = moved.source.log.stat().st_size
    assert moved.look() == []
    # Of the versions of the source only those are read whose model has a placeholder.
    asked = moved.source.log.read_bytes()[before:].decode()
    searches = [line for line in asked.splitlines() if "model-versions/search" in line]
    assert len(searches) == 1
    assert "small+model" in searches[0] or "small%20model" in searches[0]


def test_what_was_half_made_of_an_object_that_is_gone_goes(
    servers: Servers, small_server: MlflowServer, small_tenant: Tenant, tmp_path: Path
) -> None:
    source = servers.copy(small_server)
    moved = Moved(source, small_tenant, servers.start(), tmp_path / "work")
    moved.client.update_run(moved.run("other"), status="RUNNING")
    assert moved.look() == [], "the next run completes it"
    with contextlib.closing(sqlite3.connect(source.database)) as store, store:
        store.execute("DELETE FROM runs WHERE run_uuid = ?", [small_tenant.runs["other"]])
    unfinished = moved.run("other")
    assert [(one.dst_id, one.why) for one in moved.look(remove=True)] == [(unfinished, "half made")]
    moved.as_it_was()


def test_the_command_shows_first_and_removes_when_told(
    moved: Moved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    double = moved.double_of_run("parent")
    ends = ["--src-uri", moved.source.url, "--dst-uri", moved.destination.url, "--work-dir", str(moved.work_dir)]

    def run(*args: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, [*args, *ends])
        assert "Traceback" not in result.output
        return result.exit_code, result.stdout

    code, text = run("migrate-workspace", "--include-deleted")
    assert code == 4
    assert f"doubled  run 'parent' ({double})" in text
    # The whole command, to be copied; what a sweep does not take is left out.
    assert f"\n    bulkexim sweep {shlex.join(ends)}\n" in text
    code, text = run("sweep")
    assert code == 4
    assert f"doubled  run 'parent' ({double})" in text
    assert "--yes" in text
    code, text = run("sweep", "--yes", "--json")
    assert (code, json.loads(text)["removed"], json.loads(text)["exit_code"]) == (0, 1, 0)
    code, text = run("sweep")
    assert code == 0
    assert "Nothing is left over." in text
    assert run("migrate-workspace", "--include-deleted")[0] == 0
