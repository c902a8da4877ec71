"""Turns the objects of a server into plain documents that can be compared leaf by leaf."""

import json
from collections import Counter
from typing import Any

import yaml
from mlflow.entities import LoggedModel, Metric, Run
from mlflow.entities.model_registry import ModelVersion

from tests.support.oracle.difference import Either
from tests.support.oracle.locations import Locations
from tests.support.oracle.match import Translation
from tests.support.oracle.selection import Selection
from tests.support.oracle.snapshot import Snapshot

Document = dict[str, Any]

OWN = "bulkexim."
"""The prefix of the migrator's own tags, which the source does not have."""

LOST_PARENT = "bulkexim.source.parent_run_id"
"""Keeps the parent of a run whose parent is not at the destination."""


class Documents:
    """The documents of one server, in ids and experiment names of the destination."""

    def __init__(self, server: Snapshot, ids: Translation, rename: dict[str, str]) -> None:
        self._server = server
        self._ids = ids
        self._rename = rename
        self._locations = Locations(server)

    def of(self, selection: Selection) -> dict[str, Document]:
        """The documents of what is selected and of all registered models, by a label that both servers share."""
        documents: dict[str, Document] = {}
        for experiment in selection.experiments:
            found = self._server.experiments[experiment]
            name = self._experiment(experiment)
            documents[f"experiment {name!r}"] = {"lifecycle": found.lifecycle_stage, "tags": _tags(found.tags)}
        for origin, run_id in selection.runs.items():
            documents[f"run {origin}"] = self._run(self._server.runs[run_id])
        for origin, model_id in selection.logged_models.items():
            documents[f"logged model {origin}"] = self._logged_model(self._server.logged_models[model_id])
        for name in self._server.registered_models:
            documents[f"registered model {name!r}"] = self._registered_model(name)
        return documents

    def _experiment(self, experiment_id: str) -> str:
        name: str = self._server.experiments[experiment_id].name
        return self._rename.get(name, name)

    def _run(self, run: Run) -> Document:
        tags = _tags(run.data.tags)
        parent = tags.pop("mlflow.parentRunId", None)
        history = json.loads(tags.pop("mlflow.log-model.history", "null"))
        lost = run.data.tags.get(LOST_PARENT) if parent is None else None
        inputs = run.inputs.dataset_inputs if run.inputs else ()
        used = (run.inputs.model_inputs if run.inputs else None) or ()
        made = (run.outputs.model_outputs if run.outputs else None) or ()
        return {
            "experiment": self._experiment(run.info.experiment_id),
            "name": run.info.run_name,
            "status": run.info.status,
            "start": run.info.start_time,
            "end": run.info.end_time,
            "user": run.info.user_id,
            "lifecycle": run.info.lifecycle_stage,
            "parent": self._ids.run(parent),
            "lost parent": parent if parent and not self._ids.run(parent) else lost,
            "params": dict(run.data.params),
            "tags": tags,
            "models of mlflow 2": self._mapped(history),
            "metrics": _counted(_point(point) for point in self._server.histories[run.info.run_id]),
            "datasets": {
                f"{it.dataset.name} {it.dataset.digest}": vars(it.dataset)
                | {"tags": _tags({t.key: t.value for t in it.tags})}
                for it in inputs
            },
            "model inputs": _counted(
                self._ids.model(model.model_id) for model in used if self._ids.model(model.model_id)
            ),
            "model outputs": _counted(
                (self._ids.model(model.model_id), model.step) for model in made if self._ids.model(model.model_id)
            ),
            "artifacts": self._artifacts(run.info.artifact_uri),
        }

    def _logged_model(self, model: LoggedModel) -> Document:
        tags = _tags(model.tags)
        tags.pop("mlflow.modelVersions", None)  # the server keeps it
        run = self._ids.run(model.source_run_id)
        return {
            "experiment": self._experiment(model.experiment_id),
            "deleted": model.model_id in self._server.deleted_models,
            "name": model.name,
            "type": model.model_type or "",
            "status": str(model.status),
            "run": Either((None, model.source_run_id)) if model.source_run_id and not run else run,
            "params": dict(model.params or {}),
            "tags": tags,
            # A metric is written to a model by writing it to a run: what belongs to a run that is not there is lost.
            "metrics": _counted(
                (*_point(point), point.dataset_name, point.dataset_digest, self._ids.run(point.run_id))
                for point in model.metrics or ()
                if self._ids.run(point.run_id)
            ),
            "artifacts": self._artifacts(model.artifact_location),
        }

    def _registered_model(self, name: str) -> Document:
        model = self._server.registered_models[name]
        return {
            "description": model.description or "",
            "tags": _tags(model.tags),
            "aliases": {alias: int(version) for alias, version in model.aliases.items()},
            "versions": {number: self._version(it) for (of, number), it in self._server.versions.items() if of == name},
        }

    def _version(self, version: ModelVersion) -> Document:
        location = self._location(self._server.locations[version.name, int(version.version)])
        source = self._location(version.source or "")
        kind, name, number = self._locations.parse(version.source or "")
        gone = kind == "version" and (name, int(number)) not in self._server.versions
        run = version.run_id or None
        return {
            # A copy of a version that was deleted since may name the files instead.
            "source": Either((source, location)) if gone else source,
            "location": location,
            "run": self._ids.run(run) or run,
            "run link": version.run_link or "",
            "stage": version.current_stage,
            "status": version.status,
            "description": version.description or "",
            "tags": _tags(version.tags),
        }

    def _location(self, uri: str) -> str:
        kind, name, path = self._locations.parse(uri)
        return f"{kind} {self._ids.any(name)} / {path}"

    def _artifacts(self, root: str) -> Document:
        return {
            path: self._described(content) if path.rsplit("/", 1)[-1] == "MLmodel" else content
            for path, content in self._server.files.get(root, {}).items()
        }

    def _described(self, text: str) -> Document:
        """An ``MLmodel`` with the ids in it translated; MLflow 2 writes a relative path, MLflow 3 a URI."""
        content: Document = yaml.safe_load(text)
        path = content.get("artifact_path")
        mapped: Document = self._mapped(content)
        return mapped | ({"artifact_path": self._location(path)} if path and ":/" in path else {})

    def _mapped(self, value: Any) -> Any:
        """Replaces each text that is an id as a whole, at any depth."""
        if isinstance(value, dict):
            return {key: self._mapped(item) for key, item in value.items()}
        if isinstance(value, list):
            return {str(at): self._mapped(item) for at, item in enumerate(value)}
        return self._ids.any(value) if isinstance(value, str) else value


def _tags(tags: dict[str, str] | None) -> dict[str, str]:
    return {key: value for key, value in (tags or {}).items() if not key.startswith(OWN)}


def _point(point: Metric) -> tuple[str, int, int, str]:
    return point.key, point.step, point.timestamp, repr(point.value)


def _counted(items: Any) -> dict[Any, int]:
    return dict(Counter(items))
