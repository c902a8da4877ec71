"""A tenant in which every part of the mover has something to lose; built in a few seconds."""

import contextlib
import json
import sqlite3
from pathlib import Path

from mlflow.entities import LoggedModelOutput, Metric, Param

from tests.support.tenant.builder import START, Builder

LONG = "long " * 2_000


def build_compact(build: Builder, store: Path) -> None:
    """Three experiments, runs of every kind of folder, a logged model, versions that point to all of it.

    ``store`` is the server's SQLite database: some of what older servers hold the client cannot write.
    """
    build.experiment("first", "first", team="tests")
    build.experiment("second", "second")
    own = build.scratch / "own root"
    build.experiments["third"] = build.client.create_experiment("third", artifact_location=own.as_uri())
    _runs(build)
    _logged_model(build)
    _registry(build)
    build.deleted_runs.add("deleted")
    with contextlib.closing(sqlite3.connect(store)) as database, database:
        database.execute("UPDATE tags SET value = ? WHERE key = 'long'", (LONG,))
        database.execute("UPDATE params SET value = ? WHERE key = 'long'", (LONG,))
        database.execute("UPDATE model_versions SET status = 'FAILED_REGISTRATION' WHERE name = 'net' AND version = 3")


def _runs(build: Builder) -> None:
    history = json.dumps([{"run_id": "", "artifact_path": "model"}])
    for label, experiment in (("parent", "first"), ("child", "first"), ("deleted", "first"), ("outside", "third")):
        tags = {"team": "tests", "long": "-", "earlier": "-"} if label == "parent" else {}
        run_id = build.run(label, experiment, parent="parent" if label == "child" else None, tags=tags)
        points = [Metric("loss", 1 / (step + 1), START + step, step) for step in range(10)]
        build.client.log_batch(run_id, points, [Param("depth", "3"), Param("long", "-")])
    run_id = build.runs["parent"]
    build.client.set_tag(run_id, "mlflow.log-model.history", history.replace('""', f'"{run_id}"'))
    build.put("parent", "top.txt", b"top")
    build.put("parent", "notes/deep.txt", b"deep")
    build.client.log_text(build.runs["outside"], "own", "own.txt")
    build.run("registered", "second")
    build.put("registered", "model/weights.bin", b"weights")


def _logged_model(build: Builder) -> None:
    run_id = build.runs["parent"]
    model = build.client.create_logged_model(build.experiments["first"], "net", run_id, tags={"team": "tests"})
    build.logged_models["net"] = model.model_id
    build.client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    build.client.log_batch(run_id, [Metric("accuracy", 0.9, START, 0, model.model_id)])
    text = build.scratch / "MLmodel"
    text.write_text(f"artifact_path: {model.artifact_location}\nflavors: {{}}\nmodel_id: {model.model_id}\n")
    build.client.log_model_artifact(model.model_id, str(text))
    build.client.finalize_logged_model(model.model_id, "READY")


def _registry(build: Builder) -> None:
    for name in ("net", "promoted"):
        build.client.create_registered_model(name, {"team": "tests"}, f"the {name}")
        build.registered_models[name] = name
    model, run_id = build.logged_models["net"], build.runs["registered"]
    build.client.create_model_version("net", f"models:/{model}", build.runs["parent"], {"team": "x"}, model_id=model)
    build.client.create_model_version("net", f"runs:/{run_id}/model", run_id)
    build.client.create_model_version("net", "s3://bucket/x")
    build.client.create_model_version("promoted", f"runs:/{run_id}/model", run_id)
    build.client.set_registered_model_alias("net", "live", "2")
