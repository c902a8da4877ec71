"""What a comparison finds missing or differing is moved again, and nothing else; a lost ledger is rebuilt on demand."""

import contextlib
import json
import shlex
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from bulkexim.cli.main import main
from tests.support.migrating import migrated, moved
from tests.support.oracle import compare, read
from tests.support.servers import MlflowServer, Servers
from tests.support.tenant import Tenant


@pytest.fixture
def destination(servers: Servers, small_tenant: Tenant, tmp_path: Path) -> Iterator[MlflowServer]:
    """Where the small tenant was moved, with the ledger in ``work``."""
    server = servers.start()
    assert migrated(small_tenant.url, server, tmp_path / "work").exit_code == 0
    yield server
    server.stop()


class Command:
    """``migrate-workspace`` between the two, as a user calls it."""

    def __init__(self, source: Tenant, destination: MlflowServer, work_dir: Path) -> None:
        self.ends = ["--src-uri", source.url, "--dst-uri", destination.url, "--work-dir", str(work_dir)]

    def __call__(self, *args: str) -> tuple[int, dict[str, Any]]:
        result = CliRunner().invoke(main, ["migrate-workspace", *self.ends, "--json", *args])
        assert "Traceback" not in result.output
        return result.exit_code, json.loads(result.stdout)


@pytest.fixture
def command(small_tenant: Tenant, destination: MlflowServer, tmp_path: Path) -> Command:
    return Command(small_tenant, destination, tmp_path / "work")


def _moved(report: dict[str, Any]) -> dict[str, int]:
    """How many objects of each kind were moved."""
    return {kind["kind"]: kind["moved"] for kind in report["kinds"] if kind["moved"]}


def _again(report: dict[str, Any]) -> dict[str, int]:
    """How many objects of each kind a repair moved."""
    return _moved(report["repair"])


def test_nothing_is_moved_again_where_nothing_is_wrong(command: Command) -> None:
    code, report = command("--repair")
    assert (code, report["verification"]["findings"]) == (0, [])
    assert "repair" not in report


def test_what_is_missing_or_differs_is_moved_again_and_nothing_else(
    small_tenant: Tenant, destination: MlflowServer, command: Command
) -> None:
    client = MlflowClient(destination.url, destination.url)
    before = read(destination.url)
    [parent] = [run for run in before.runs.values() if run.info.run_name == "parent"]
    client.set_tag(parent.info.run_id, "colour", "red")
    client.delete_tag(parent.info.run_id, "bulkexim.source.experiment_id")
    client.delete_registered_model_alias("small model", "live")
    path = destination.artifacts / parent.info.artifact_uri.removeprefix("mlflow-artifacts:/") / "notes/read me.txt"
    path.unlink()
    with contextlib.closing(sqlite3.connect(destination.database)) as store, store:
        store.execute("DELETE FROM runs WHERE name = 'other'")
        store.execute("DELETE FROM metrics WHERE step = 3")

    code, report = command()
    assert code == 0
    assert _moved(report) == {"run": 1}, "what is gone is seen without any comparison"
    assert command("--verify", "content")[0] == 4
    code, report = command("--repair")
    assert code == 0, report["verification"]
    assert report["verification"]["findings"] == []
    assert _again(report) == {"run": 2, "registered_model": 1}
    after = read(destination.url)
    assert compare(small_tenant.url, after) == []
    assert parent.info.run_id in after.runs


def test_a_whole_model_that_is_gone_comes_again_under_its_numbers(
    small_tenant: Tenant, destination: MlflowServer, command: Command
) -> None:
    MlflowClient(destination.url, destination.url).delete_registered_model("small model")
    code, report = command("--repair", "--verify", "full")
    assert (code, report["verification"]["level"]) == (0, "full")
    assert _moved(report) == {"registered_model": 1, "model_version": 2}
    assert "repair" not in report, "the run itself saw that they were gone"
    assert compare(small_tenant.url, destination.url) == []


def test_what_mlflow_cannot_change_is_named_and_ends_with_4(destination: MlflowServer, command: Command) -> None:
    client = MlflowClient(destination.url, destination.url)
    [experiment] = [one for one in client.search_experiments() if one.name == "small experiment"]
    [run] = client.search_runs([experiment.experiment_id], "attributes.run_name = 'other'")
    client.log_metric(run.info.run_id, "loss", 7.0, step=99)
    code, report = command("--repair")
    assert code == 4
    [finding] = report["verification"]["findings"]
    assert finding["name"] == "other"
    assert "step 99" in finding["differences"][0]["field"]


def _text(command: Command, name: str, *args: str) -> str:
    result = CliRunner().invoke(main, [name, *command.ends, *args])
    assert "Traceback" not in result.output
    return result.stdout


def test_a_repair_is_told_once_with_the_truth_at_the_end(destination: MlflowServer, command: Command) -> None:
    client = MlflowClient(destination.url, destination.url)
    client.delete_registered_model_alias("small model", "live")
    text = _text(command, "migrate-workspace", "--repair")
    assert text.count("in all") == 1
    assert "Moved again, because a comparison found it missing or differing: registered_model 1." in text
    assert "Everything is accounted for" not in text
    assert text.rstrip().endswith("Both ends are equal in every field, and in names and sizes of files.")


def test_the_advice_is_a_whole_command_and_never_one_that_was_just_followed(
    destination: MlflowServer, command: Command, tmp_path: Path
) -> None:
    client = MlflowClient(destination.url, destination.url)
    client.set_registered_model_tag("small model", "team", "others")
    [experiment] = [one for one in client.search_experiments() if one.name == "small experiment"]
    [run] = client.search_runs([experiment.experiment_id], "attributes.run_name = 'other'")
    client.log_metric(run.info.run_id, "loss", 7.0, step=99)
    flags = ("--experiments", "small *", "--models", "all", "--dst-token", "not shown")
    advice = ["bulkexim", "migrate-workspace", *command.ends, *flags[:4], "--repair"]
    for told in (_text(command, "verify", *flags), _text(command, "migrate-workspace", "--verify", "content", *flags)):
        [line] = [line for line in told.splitlines() if line.startswith("    bulkexim migrate-workspace")]
        assert [word for word in shlex.split(line) if word not in ("--verify", "content")] == advice
        assert "not shown" not in told
        assert "(MLflow's API cannot change it)" in told
    told = _text(command, "migrate-workspace", "--repair", *flags)
    assert "team" not in told
    assert "bulkexim migrate-workspace" not in told
    assert "1 stays as it is: MLflow's API cannot change these fields" in told


def test_what_stands_twice_is_told_with_the_command_that_removes_it(
    destination: MlflowServer, command: Command
) -> None:
    client = MlflowClient(destination.url, destination.url)
    [experiment] = [one for one in client.search_experiments() if one.name == "small experiment"]
    [run] = client.search_runs([experiment.experiment_id], "attributes.run_name = 'other'")
    client.create_run(experiment.experiment_id, run_name="other", tags=run.data.tags)
    told = _text(command, "verify", "--experiments", "all")
    [line] = [line for line in told.splitlines() if line.startswith("    bulkexim")]
    assert shlex.split(line) == ["bulkexim", "sweep", *command.ends]


def test_metrics_of_a_logged_model_are_written_through_their_runs(
    small_tenant: Tenant, destination: MlflowServer, command: Command
) -> None:
    with contextlib.closing(sqlite3.connect(destination.database)) as store, store:
        assert store.execute("DELETE FROM logged_model_metrics").rowcount
    code, report = command("--repair")
    assert (code, _again(report)) == (0, {"run": 1, "logged_model": 1})


def test_a_ledger_is_rebuilt_on_demand_and_the_old_one_kept(
    small_tenant: Tenant, destination: MlflowServer, command: Command, tmp_path: Path
) -> None:
    work_dir, before = tmp_path / "work", read(destination.url)
    (work_dir / "ledger.db").write_bytes(b"not a ledger any more")
    (work_dir / "ledger.db-wal").unlink(missing_ok=True)
    result = CliRunner().invoke(main, ["migrate-workspace", *command.ends])
    assert result.exit_code == 7
    assert "--rebuild-ledger" in result.stderr
    code, report = command("--rebuild-ledger", "--verify", "content")
    assert (code, report["verification"]["findings"]) == (0, [])
    assert read(destination.url).runs.keys() == before.runs.keys()
    assert any(path.read_bytes() == b"not a ledger any more" for path in work_dir.glob("ledger-until-*"))
    assert moved(migrated(small_tenant.url, destination, work_dir)) == 0
