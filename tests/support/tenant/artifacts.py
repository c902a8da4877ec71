"""The artifacts of a tenant's runs: odd names, deep and wide folders, an empty and a large file, MLflow 2 models."""

import json
from pathlib import Path

import yaml
from mlflow.entities import RunTag

from tests.support.tenant.builder import Builder

LARGE = 12 * 1024 * 1024
MANY = 300
ODD_NAMES = (
    "with space.txt",
    "ünïcödé 実験 🚀.txt",
    "what?.txt",
    "a+b&c=d.txt",
    "colon:semi;comma,.txt",
    """it's "quoted".txt""",
    "[brackets](and){more}.txt",
    ".hidden",
    "folder with space/.also hidden/x?.txt",
)


def add(build: Builder) -> None:
    """Uploads the artifacts."""
    files = _folder(build, "files", {"empty.bin": b"", "a/b/c/d/e/f/g/deep.txt": b"deep", "notes.md": b"# Notes\r\n"})
    (files / "large.bin").write_bytes(bytes(range(256)) * (LARGE // 256))
    build.client.log_artifacts(build.run("artifacts"), str(files))
    for name in ODD_NAMES:
        build.put("artifacts", f"odd/{name}", f"the content of {name}".encode())
    many = _folder(build, "many", {f"part-{i:03}.json": json.dumps({"i": i}).encode() for i in range(MANY)})
    build.client.log_artifacts(build.run("many files"), str(many), "parts")
    for label in ("deleted", "in deleted experiment", "running", "default"):
        build.put(label, "kept/log.txt", f"artifact of {label}".encode())
    _model_of_mlflow_2(build)


def _model_of_mlflow_2(build: Builder) -> None:
    """What ``log_model`` of MLflow 2 left in a run: a folder below the run, and a tag that repeats its ``MLmodel``."""
    run_id = build.run("model of mlflow 2")
    history = []
    for path, uuid in (("model", "11112222333344445555666677778888"), ("nested/second model", "9" * 32)):
        described = {
            "artifact_path": path,
            "flavors": {"python_function": {"env": "conda.yaml", "loader_module": "mlflow.sklearn"}},
            "mlflow_version": "2.22.5",
            "model_uuid": uuid,
            "run_id": run_id,
            "utc_time_created": "2023-11-14 22:13:20.000000",
        }
        files = {
            "MLmodel": yaml.safe_dump(described).encode(),
            "model.pkl": uuid.encode(),
            "conda.yaml": b"name: mlflow-env\n",
        }
        build.client.log_artifacts(run_id, str(_folder(build, f"model-{uuid}", files)), path)
        history.append(described)
    build.client.log_batch(run_id, tags=[RunTag("mlflow.log-model.history", json.dumps(history))])


def _folder(build: Builder, name: str, files: dict[str, bytes]) -> Path:
    folder = build.scratch / name
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return folder
