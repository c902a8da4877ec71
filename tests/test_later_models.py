"""Logged models that come after the runs which measured or read them: nothing of either is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModelInput, LoggedModelOutput, Metric

from tests.support.migrating import left_behind, migrated, moved
from tests.support.oracle import compare
from tests.support.servers import Servers
from tests.support.verifying import told, verified


class Evaluated:
    """A run in one experiment that measured and read a logged model of another one, and made one there."""

    def __init__(self, servers: Servers) -> None:
        self.source, self.destination = servers.start(), servers.start()
        self.client = MlflowClient(self.source.url, self.source.url)
        self.homes = [self.client.create_experiment(name) for name in ("runs", "models")]
        self.run_id = self.client.create_run(self.homes[0]).info.run_id
        self.model_id = self.model("first")
        self.client.log_batch(self.run_id, [Metric("loss", 0.5, 1000, 1), Metric("acc", 0.9, 1000, 1, self.model_id)])
        self.made_id = self.model("made")
        self.client.log_outputs(self.run_id, [LoggedModelOutput(self.made_id, 3)])
        self.client.log_inputs(self.run_id, models=[LoggedModelInput(self.model_id)])
        self.client.set_terminated(self.run_id)

    def model(self, name: str) -> str:
        """Logs a model that no run made."""
        made = self.client.create_logged_model(self.homes[1], name).model_id
        self.client.finalize_logged_model(made, "READY")
        return str(made)

    def is_complete(self, work_dir: Path) -> bool:
        """Whether both ends are equal, for the tool's own comparison as well, and one more run writes nothing."""
        again = migrated(self.source, self.destination, work_dir)
        assert (moved(again), again.exit_code) == (0, 0)
        assert told(verified(self.source, self.destination)) == []
        return compare(self.source.url, self.destination.url) == []


@pytest.fixture
def evaluated(servers: Servers) -> Evaluated:
    return Evaluated(servers)


def test_a_model_that_comes_with_a_later_selection_gets_its_metrics_and_its_reader(
    evaluated: Evaluated, tmp_path: Path
) -> None:
    first = migrated(evaluated.source, evaluated.destination, tmp_path, experiments=("runs",))
    why = "this logged model was not moved"
    # A tag keeps the output.
    assert left_behind(first) == [("link", f"input {evaluated.model_id}: {why}")]
    assert migrated(evaluated.source, evaluated.destination, tmp_path).exit_code == 0
    assert evaluated.is_complete(tmp_path)


def test_a_model_whose_run_is_not_selected_again_names_the_points_that_wait_for_it(
    evaluated: Evaluated, tmp_path: Path
) -> None:
    ends = evaluated.source, evaluated.destination
    migrated(*ends, tmp_path, experiments=("runs",))
    second = migrated(*ends, tmp_path, experiments=("models",))
    ((cause, detail),) = left_behind(second)
    assert cause == "value"
    assert detail.startswith(f"1 metric point: their run {evaluated.run_id} (")
    assert detail.endswith(") was not moved again, which would bring them: it is not selected")
    found = verified(evaluated.source, evaluated.destination, experiments=("models",), work_dir=tmp_path)
    assert (found.different, found.mendable) == (1, 0)
    assert migrated(evaluated.source, evaluated.destination, tmp_path).exit_code == 0
    assert evaluated.is_complete(tmp_path)


@pytest.mark.parametrize("is_new", [True, False])
def test_a_model_that_a_finished_run_measures_later_gets_its_metric(
    evaluated: Evaluated, tmp_path: Path, *, is_new: bool
) -> None:
    """The run has that very point already, so it looks unchanged; the model came before, or comes with it."""
    assert migrated(evaluated.source, evaluated.destination, tmp_path).exit_code == 0
    new = Metric("acc", 0.9, 1000, 1, evaluated.model("later")) if is_new else None
    evaluated.client.log_batch(evaluated.run_id, [new or Metric("loss", 0.5, 1000, 1, evaluated.model_id)])
    assert migrated(evaluated.source, evaluated.destination, tmp_path).exit_code == 0
    assert evaluated.is_complete(tmp_path)


def test_a_model_that_comes_again_after_it_was_deleted_by_hand_has_its_metrics(
    evaluated: Evaluated, tmp_path: Path
) -> None:
    assert migrated(evaluated.source, evaluated.destination, tmp_path).exit_code == 0
    there = MlflowClient(evaluated.destination.url, evaluated.destination.url)
    homes = [one.experiment_id for one in there.search_experiments()]
    (model,) = there.search_logged_models(homes, filter_string="name = 'first'")
    there.delete_logged_model(model.model_id)
    migrated(evaluated.source, evaluated.destination, tmp_path)
    (again,) = there.search_logged_models(homes, filter_string="name = 'first'")
    assert again.model_id != model.model_id
    assert [(metric.key, metric.value) for metric in again.metrics or ()] == [("acc", 0.9)]


def test_a_lost_ledger_writes_no_run_again_for_points_that_are_there(evaluated: Evaluated, tmp_path: Path) -> None:
    assert migrated(evaluated.source, evaluated.destination, tmp_path / "first").exit_code == 0
    again = migrated(evaluated.source, evaluated.destination, tmp_path / "second")
    assert {kind.kind: kind.moved for kind in again.kinds if kind.kind == "run"} == {"run": 0}
