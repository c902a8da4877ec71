"""A file store written by hand, as MLflow writes it, so that a test can damage it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

RUN_FOLDERS = ("metrics", "params", "tags", "artifacts")


class HandMadeStore:
    """The folder ``mlruns`` in ``home``, with ``Default`` in it; every method returns the folder that it made."""

    def __init__(self, home: Path) -> None:
        self.home, self.path = home, home / "mlruns"
        self.experiment("0", "Default")

    def experiment(self, experiment_id: str, name: str, **other: Any) -> Path:
        folder = self.path / experiment_id
        described = {
            "artifact_location": folder.as_uri(),
            "creation_time": 1,
            "experiment_id": experiment_id,
            "last_update_time": 1,
            "lifecycle_stage": "active",
            "name": name,
        }
        return written(folder, described | other)

    def trashed(self, experiment_id: str) -> Path:
        """Delete an experiment as MLflow does."""
        folder = self.path / ".trash" / experiment_id
        folder.parent.mkdir(exist_ok=True)
        (self.path / experiment_id).rename(folder)
        for described in (folder, *(meta.parent for meta in folder.glob("*/meta.yaml"))):
            changed(described, lifecycle_stage="deleted")
        return folder

    def run(self, experiment_id: str, number: int, *, file: str = "weights.txt", **other: Any) -> Path:
        run_id = f"{number:032x}"
        folder = self.path / experiment_id / run_id
        described = {
            "artifact_uri": f"{folder.as_uri()}/artifacts",
            "end_time": 2000,
            "experiment_id": experiment_id,
            "lifecycle_stage": "active",
            "run_id": run_id,
            "run_name": f"run {number}",
            "start_time": 1000,
            "status": 3,
            "tags": [],
            "user_id": "ann",
        }
        written(folder, described | other)
        for name in RUN_FOLDERS:
            (folder / name).mkdir()
        (folder / "params" / "lr").write_text("0.1")
        (folder / "metrics" / "loss").write_text("1000 0.5 0\n2000 nan 1\n")
        (folder / "tags" / "mlflow.runName").write_text(f"run {number}")
        (folder / "artifacts" / file).write_bytes(f"weights {number}".encode())
        return folder

    def logged_model(self, experiment_id: str, number: int, run: Path, **other: Any) -> Path:
        model_id = f"m-{number:032x}"
        folder = self.path / experiment_id / "models" / model_id
        described = {
            "artifact_location": f"{folder.as_uri()}/artifacts",
            "creation_timestamp": 1,
            "experiment_id": experiment_id,
            "last_updated_timestamp": 1,
            "model_id": model_id,
            "name": f"model {number}",
            "source_run_id": run.name,
            "status": 2,
        }
        written(folder, described | other)
        written(
            run / "outputs" / model_id,
            {
                "source_type": "RUN_OUTPUT",
                "source_id": model_id,
                "destination_type": "MODEL_OUTPUT",
                "destination_id": model_id,
                "tags": {},
                "step": 0,
            },
        )
        (folder / "artifacts").mkdir()
        (folder / "artifacts" / "MLmodel").write_text(f"model_id: {model_id}\n")
        return folder

    def registered(self, name: str, versions: int, run: Path) -> Path:
        folder = written(self.path / "models" / name, {"creation_timestamp": 1, "name": name})
        for number in range(1, versions + 1):
            described = {
                "creation_timestamp": 1,
                "current_stage": "None",
                "last_updated_timestamp": 1,
                "name": name,
                "run_id": run.name,
                "source": f"{run.as_uri()}/artifacts",
                "status": "READY",
                "version": number,
            }
            written(folder / f"version-{number}", described)
        return folder


def written(folder: Path, described: dict[str, Any]) -> Path:
    """Describe what a folder is."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "meta.yaml").write_text(yaml.safe_dump(described))
    return folder


def changed(folder: Path, **fields: Any) -> None:
    """Change what a folder says of itself; ``None`` leaves a field out."""
    described = yaml.safe_load((folder / "meta.yaml").read_text()) | fields
    written(folder, {key: value for key, value in described.items() if value is not None})
