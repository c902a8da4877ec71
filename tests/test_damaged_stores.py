"""A damaged file store is migrated as far as it goes; the migration and the comparison name what stays behind."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient

from bulkexim import Endpoint, Settings
from bulkexim.config import Level
from bulkexim.ends import store_values
from bulkexim.ends.unaccounted import Unaccounted
from bulkexim.engine.verification import Verdict
from bulkexim.errors import ObjectError
from bulkexim.ids import MadeFrom, SourceId
from bulkexim.kinds.one_name import Names, NameTakenError
from bulkexim.kinds.unaccounted import unaccounted
from tests.conftest import StartServer
from tests.support.file_store import HandMadeStore, changed
from tests.support.migrating import migrated, planned
from tests.support.verifying import told, verified


def _damaged(home: Path) -> HandMadeStore:
    """A store with one of everything that befell the stores of users."""
    store = HandMadeStore(home)
    store.experiment("5", "five")
    odd = store.run("5", 1, file="x#y.txt")
    (odd / "artifacts" / "secret").symlink_to("/etc/hostname")
    (store.run("5", 2) / "meta.yaml").write_text("")
    bare = store.run("5", 3)
    for name in ("params", "artifacts", "tags"):
        shutil.rmtree(bare / name)
    with (store.run("5", 4) / "metrics" / "loss").open("a") as metric:
        metric.write("30")
    store.run("5", 5, artifact_uri=f"file:///old/place/mlruns/5/{5:032x}/artifacts")
    store.experiment("6", "six")
    store.run("6", 6)
    (store.path / "6" / "meta.yaml").write_text("")
    store.experiment("7", "twin")
    measured = store.run("7", 7)
    with (measured / "metrics" / "loss").open("a") as metric:
        metric.write("2000 nan 1\n")  # As MLflow 3 writes a point once more for the model.
    model = store.logged_model("7", 7, measured)
    (model / "metrics").mkdir()
    (model / "metrics" / "loss").write_text(f"2000 nan 1 {measured.name}\n")
    store.experiment("8", "twin")
    store.run("8", 8)
    store.experiment("9", "given up")
    store.run("9", 9)
    store.trashed("9")
    unplaced, served = store.run("5", 11), store.run("5", 12)
    changed(unplaced, artifact_uri="")
    changed(served, artifact_uri=f"mlflow-artifacts:/5/{12:032x}/artifacts")
    for run in (unplaced, served):
        for value in ("metrics/val/acc/best", "params/opt/name", "tags/team/owner"):
            (run / value).parent.mkdir(parents=True)
            (run / value).write_text("1000 0.5 0")
    for kind in ("metrics", "params", "tags"):
        (unplaced / kind / ".DS_Store").write_bytes(b"Bud1")
    store.run("0", 10).rename(store.path / "5" / f"{10:032x}")
    (store.path / "my notes").mkdir()
    store.registered("net", 2, odd)
    (store.path / "models" / "net" / "version-1" / "meta.yaml").unlink()
    return store


def test_what_a_damaged_store_holds_arrives_or_is_named(fresh_server: StartServer, tmp_path: Path) -> None:
    store, server = _damaged(tmp_path / "home"), fresh_server()
    source, destination = str(store.path), Endpoint(uri=server.url, artifacts_dir=str(server.artifacts))
    selected: dict[str, Any] = {"include_deleted": True}
    plan = planned(source, destination, tmp_path / "work", **selected)
    report = migrated(source, destination, tmp_path / "work", **selected)

    client = MlflowClient(server.url, server.url)
    there = {one.name: one.experiment_id for one in client.search_experiments(3)}
    assert there.keys() == {"Default", "five", "twin", "given up"}
    runs = {run.info.run_name: run for run in client.search_runs(list(there.values()), run_view_type=3)}
    assert set(runs) == {"run 1", "run 3", "run 4", "run 5", "run 7", "run 9", "run 11", "run 12"}
    files = {
        name: {path.name: path.read_bytes() for path in server.artifacts.glob(f"*/{run.info.run_id}/artifacts/*")}
        for name, run in runs.items()
    }
    held = {f"run {number}": {"weights.txt": f"weights {number}".encode()} for number in (4, 5, 7, 9, 11)}
    assert files == held | {"run 1": {"x#y.txt": b"weights 1"}, "run 3": {}, "run 12": {}}
    for name in ("run 11", "run 12"):
        data = runs[name].data
        assert data.metrics["val/acc/best"] == 0.5
        assert (data.params["opt/name"], data.tags["team/owner"]) == ("1000 0.5 0",) * 2
    points = client.get_metric_history(runs["run 4"].info.run_id, "loss")
    assert [point.timestamp for point in points] == [1000, 2000]

    told = {(str(one.cause), one.name, one.detail) for cause in report.left_behind for one in cause.first}
    belongs = (
        "the folder says that it belongs to experiment 0, and lies in the folder of experiment 5, so MLflow shows it"
    )
    kept_elsewhere = "kept by the server that the store belongs to, and there is no"
    assert told == {
        ("folder", f"5/{2:032x}", "the folder has an empty meta.yaml"),
        ("folder", f"5/{10:032x}", f"{belongs} in neither"),
        ("folder", "6", "the folder has an empty meta.yaml"),
        ("folder", f"6/{6:032x}", "the folder lies in the folder of an experiment that has an empty meta.yaml"),
        ("folder", "my notes", "the folder has no meta.yaml"),
        ("folder", "models/net/version-1", "the folder has no meta.yaml"),
        ("value", f"5/{4:032x}", "metrics/loss has 1 of 3 lines that are no points, such as '30'"),
        ("file-unreadable", "run 1", "secret: it is a link to something outside"),
        ("file-unreadable", "run 12", f"every file: they are {kept_elsewhere} {store.home}/mlartifacts"),
    }
    assert {(one.kind, one.id, one.cause) for one in report.failures} == {
        ("experiment", "8", "name taken"),
        ("run", f"{8:032x}", "experiment not moved"),
    }
    assert report.exit_code == 3
    assert any("Experiments 7 and 8 of the source are both called 'twin'" in warning for warning in report.warnings)
    assert any(f"such as /old/place/mlruns/5/{5:032x}/artifacts" in warning for warning in report.warnings)
    foreseen = {(str(one.cause), event.detail) for one in plan.left_behind for event in one.first}
    assert foreseen == {(cause, detail) for cause, _, detail in told}

    check = verified(source, destination, Level.FULL, work_dir=tmp_path / "work", **selected)
    missing = {one.name for one in check.findings if one.verdict is Verdict.MISSING}
    assert {"6", "my notes", "models/net/version-1", f"5/{2:032x}", f"5/{10:032x}", "twin"} <= missing
    (incomplete,) = [one for one in check.findings if one.hidden]
    assert (incomplete.verdict, incomplete.name) == (Verdict.DIFFERS, "run 4")
    assert check.exit_code == 4
    accepted = ("folder", "value", "file-unreadable")
    check = verified(source, destination, Level.FULL, work_dir=tmp_path / "work", accept=accepted, **selected)
    assert {(one.kind, one.name) for one in check.findings} == {("experiment", "twin"), ("run", "run 8")}


def test_the_comparison_finds_values_of_which_the_store_that_is_served_shows_nothing(
    fresh_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of the mover is planted: a link to a folder, which MLflow does not enter."""
    store, destination = HandMadeStore(tmp_path / "home"), fresh_server()
    store.experiment("5", "five")
    run = store.run("5", 1)
    model = store.logged_model("5", 7, run)
    registered = store.registered("net", 1, run)
    for folder in (run, model, registered, registered / "version-1", store.path / "5"):
        (folder / "tags" / "team").mkdir(parents=True)
        (folder / "tags" / "team" / "owner").write_text("ann")
        (folder / "tags" / ".DS_Store").write_bytes(b"Bud1")
    (run / "metrics" / "val").mkdir()
    (run / "metrics" / "val" / "acc").write_text("1000 0.5 0\n")
    (run / "metrics" / "._loss").write_bytes(b"\x00\x05\x16\x07")

    assert migrated(str(store.path), destination, tmp_path / "whole").exit_code == 0
    assert told(verified(str(store.path), destination)) == []

    monkeypatch.setattr(store_values, "_links", lambda folder: folder)
    lost = fresh_server()
    assert migrated(str(store.path), lost, tmp_path / "lost").exit_code == 0
    tag = "differs tags / team/owner: expected a file in the store, found nothing that MLflow shows"
    metric = "differs metrics / val/acc: expected a file in the store, found nothing that MLflow shows"
    names = ["experiment five", "logged_model model 7", "model_version net version 1", "registered_model net"]
    expected = [*(f"{name} {tag}" for name in names), f"run run 1 {metric}", f"run run 1 {tag}"]
    assert sorted(told(verified(str(store.path), lost))) == expected


@pytest.mark.parametrize("level", [Level.COUNTS, Level.FULL])
def test_a_value_that_cannot_be_shown_is_no_object_of_its_own(
    fresh_server: StartServer, tmp_path: Path, level: Level
) -> None:
    store, server = HandMadeStore(tmp_path / "home"), fresh_server()
    with (store.run("0", 1) / "metrics" / "loss").open("a") as metric:
        metric.write("30")
    source, work = str(store.path), tmp_path / "work"
    assert migrated(source, server, work).exit_code == 3

    check = verified(source, server, level, work_dir=work)
    (run,) = [kind for kind in check.kinds if kind.kind == "run"]
    assert (run.source, run.destination, run.same, run.differing, run.missing) == (1, 1, 0, 1, 0)
    (finding,) = check.findings
    assert finding.hidden == ("metrics/loss has 1 of 3 lines that are no points, such as '30'",)
    assert (check.different, check.left_behind, check.kept_back) == (1, {"value": 1}, 1)
    assert (check.mendable, check.exit_code) == (0, 4)

    check = verified(source, server, level, work_dir=work, accept=("value",))
    assert (check.findings, check.accepted, check.exit_code) == ((), {"value": 1}, 0)


LOST = (
    Unaccounted("experiment", "6", "6", "", "6"),
    Unaccounted("run", "r", "5/r", "", "5", "five"),
    Unaccounted("run", "gone", "5/gone", "", "5", "five", deleted=True),
    Unaccounted("logged_model", "m", "5/models/m", "", "5", "five"),
    Unaccounted("model_version", "net/1", "models/net/version-1", "", name="net"),
)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (Settings(), "6 5/r 5/models/m models/net/version-1"),
        (Settings(include_deleted=True), "6 5/r 5/gone 5/models/m models/net/version-1"),
        (Settings(experiments=("f*",)), "5/r 5/models/m"),
        (Settings(experiments=("6",)), "6"),
        (Settings(experiments=("6",), models="all"), "6 models/net/version-1"),
        (Settings(models=("net",)), "models/net/version-1"),
        (Settings(models=("other",)), ""),
        (Settings(without=("logged_model", "registered_model")), "6 5/r"),
    ],
)
def test_only_what_is_selected_is_named(settings: Settings, named: str) -> None:
    source: Any = SimpleNamespace(unaccounted=LOST)
    assert [one.where for one in unaccounted(source, settings)] == named.split()


def test_the_first_of_a_name_has_it_and_the_others_are_told() -> None:
    names = Names({SourceId("3"): "a", SourceId("7"): "a", SourceId("8"): "b"})
    names.check(SourceId("3"))
    names.check(SourceId("8"))
    with pytest.raises(ObjectError, match=r"The name 'a' is taken\. Experiment 3 of the source has it too"):
        names.check(SourceId("7"))
    (told,) = names.doubles()
    assert told.startswith("Experiments 3 and 7 of the source are both called 'a': 7 is not moved")


@pytest.mark.parametrize(("other", "temporary"), [("3", False), ("9", False), ("8", True)])
def test_what_another_one_of_the_source_became_is_not_joined(other: str, *, temporary: bool) -> None:
    names = Names({SourceId("3"): "a", SourceId("7"): "a", SourceId("8"): "b"})
    with pytest.raises(NameTakenError, match=f"[Ee]xperiment {other} of the source") as refusal:
        names.check_joined(SourceId("7"), MadeFrom("mark", SourceId(other)))
    assert refusal.value.temporary is temporary
    names.check_joined(SourceId("7"), MadeFrom("mark", SourceId("7")))
