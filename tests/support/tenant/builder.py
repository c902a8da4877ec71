"""What the parts of a tenant share: the client, labels for what they made, and the few calls the client lacks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx
from mlflow import MlflowClient

START = 1_700_000_000_000
"""The time (ms) at which the oldest run of a tenant started; all times of runs are explicit and in the past."""

NO_RUN = "0123456789abcdef0123456789abcdef"
"""The id of a run that exists nowhere."""


@dataclass(frozen=True)
class Tenant:
    """What a tenant holds, by labels that say which case an object is."""

    url: str
    experiments: Mapping[str, str]
    """Label to experiment id."""
    runs: Mapping[str, str]
    """Label to run id."""
    logged_models: Mapping[str, str]
    """Label to logged model id."""
    registered_models: Mapping[str, str]
    """Label to registered model name."""
    deleted_experiments: frozenset[str]
    """Labels of the deleted experiments."""
    deleted_runs: frozenset[str]
    """Labels of the deleted runs, those of deleted experiments included."""
    traces: tuple[str, ...]
    prompts: tuple[str, ...]
    evaluation_datasets: tuple[str, ...]


@dataclass
class Builder:
    """A tenant while it is built."""

    url: str
    scratch: Path
    experiments: dict[str, str] = field(default_factory=dict)
    runs: dict[str, str] = field(default_factory=dict)
    logged_models: dict[str, str] = field(default_factory=dict)
    registered_models: dict[str, str] = field(default_factory=dict)
    traces: list[str] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    evaluation_datasets: list[str] = field(default_factory=list)
    deleted_experiments: set[str] = field(default_factory=set)
    deleted_runs: set[str] = field(default_factory=set)
    _home: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client = MlflowClient(tracking_uri=self.url, registry_uri=self.url)
        self._http = httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def __enter__(self) -> "Builder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def rest(self, method: str, endpoint: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """A call that MLflow's client does not offer, such as ``rest("POST", "2.0/mlflow/runs/update", …)``."""
        answer = self._http.request(method, f"/api/{endpoint}", json=body)
        answer.raise_for_status()
        result: dict[str, Any] = answer.json()
        return result

    def put(self, label: str, path: str, content: bytes) -> None:
        """Uploads one artifact of a run under any name; MLflow's client cannot send names with ``?`` or ``#``."""
        root = self.client.get_run(self.runs[label]).info.artifact_uri.removeprefix("mlflow-artifacts:/")
        answer = self._http.put(f"/api/2.0/mlflow-artifacts/artifacts/{root}/{quote(path)}", content=content)
        answer.raise_for_status()

    def experiment(self, label: str, name: str, **tags: str) -> None:
        """Creates an experiment."""
        self.experiments[label] = self.client.create_experiment(name, tags=tags)

    def run(
        self,
        label: str,
        experiment: str = "plain",
        *,
        name: str | None = None,
        start: int = START,
        status: str = "FINISHED",
        user: str = "ada",
        parent: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Creates a run that lasted a minute; ``parent`` is the label of a run or the id of none."""
        given = {"mlflow.user": user, "mlflow.source.name": "train.py"} | dict(tags or {})
        if parent:
            given["mlflow.parentRunId"] = self.runs.get(parent, parent)
        run_id: str = self.client.create_run(
            self.experiments[experiment], start_time=start, tags=given, run_name=name or label
        ).info.run_id
        if status in ("FINISHED", "FAILED", "KILLED"):
            self.client.set_terminated(run_id, status, end_time=start + 60_000)
        elif status != "RUNNING":
            self.client.update_run(run_id, status=status)
        return self.keep(label, run_id, experiment)

    def keep(self, label: str, run_id: str, experiment: str) -> str:
        """Notes a run that was created by other means."""
        self.runs[label] = run_id
        self._home[label] = experiment
        return run_id

    def delete(self) -> None:
        """Deletes what is to be deleted, runs one by one and experiments with all their runs; the last step."""
        for label in sorted(self.deleted_runs):
            self.client.delete_run(self.runs[label])
        for label in sorted(self.deleted_experiments):
            self.client.delete_experiment(self.experiments[label])
        self.deleted_runs |= {run for run, home in self._home.items() if home in self.deleted_experiments}

    def tenant(self) -> Tenant:
        """What was built."""
        return Tenant(
            url=self.url,
            experiments=self.experiments,
            runs=self.runs,
            logged_models=self.logged_models,
            registered_models=self.registered_models,
            deleted_experiments=frozenset(self.deleted_experiments),
            deleted_runs=frozenset(self.deleted_runs),
            traces=tuple(self.traces),
            prompts=tuple(self.prompts),
            evaluation_datasets=tuple(self.evaluation_datasets),
        )
