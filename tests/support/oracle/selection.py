"""Which objects of the source are to be at the destination."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.oracle.locations import Locations
from tests.support.oracle.snapshot import Snapshot

DEFAULT = "0"
"""The id of the experiment that every server has (a workspace may be without)."""


@dataclass(frozen=True)
class Selection:
    """Experiments by id; runs and logged models by the id of their origin, with the id of the object itself."""

    experiments: frozenset[str]
    runs: Mapping[str, str]
    logged_models: Mapping[str, str]


def select(source: Snapshot, include_deleted: bool) -> Selection:
    """What is active, or everything; and in any case what a model version points to, with its experiment."""
    locations = Locations(source)
    needed = {
        target
        for version, model in source.versions.items()
        for target in (("run", model.run_id), *map(locations.find, (model.source or "", source.locations[version])))
    }

    def kept(experiment: str, active: bool) -> bool:
        return include_deleted or (active and source.experiments[experiment].lifecycle_stage == "active")

    runs = {
        run_id: run.info.experiment_id
        for run_id, run in source.runs.items()
        if kept(run.info.experiment_id, run.info.lifecycle_stage == "active") or ("run", run_id) in needed
    }
    models = {
        model_id: model.experiment_id
        for model_id, model in source.logged_models.items()
        if kept(model.experiment_id, model_id not in source.deleted_models) or ("logged model", model_id) in needed
    }
    experiments = {experiment for experiment in source.experiments if kept(experiment, True)}
    return Selection(
        frozenset(experiments | (source.experiments.keys() & {DEFAULT}) | set(runs.values()) | set(models.values())),
        {run_id: run_id for run_id in runs},
        {model_id: model_id for model_id in models},
    )
