"""Fills a store with what every MLflow since 1.30 can hold; a script for the interpreter of that MLflow.

It imports nothing of this repository, for an old MLflow lives in an environment of its own. The store may be a server
(``http://…``) or a folder (``file:///…``), which is then written by the old client itself.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import mlflow
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

START = 1_600_000_000_000
Made = dict[str, dict[str, str]]
"""Ids by kind and label."""

KEYS = 3
SHARED = 25
"""Runs that have the same metrics: more than an old server returns the histories of at once."""
VERSIONS = 14


def main(uri: str, *, with_registry: bool) -> None:
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    made: Made = {"experiments": {"default": "0"}, "runs": {}}
    with tempfile.TemporaryDirectory() as scratch:
        experiments(client, made)
        runs(client, made, Path(scratch))
        if with_registry:
            registry(client, made)
        deletions(client, made)
    print(json.dumps(made))


def experiments(client: MlflowClient, made: Made) -> None:
    for name in ("training", "given up", "empty"):
        made["experiments"][name] = client.create_experiment(name)
    client.set_experiment_tag(made["experiments"]["training"], "mlflow.note.content", "What we *know*.")
    client.set_experiment_tag(made["experiments"]["training"], "team", "growth")


def runs(client: MlflowClient, made: Made, scratch: Path) -> None:
    def run(label: str, experiment: str = "training", *, parent: str = "", name: str | None = None) -> None:
        tags = {"mlflow.user": "ada", "mlflow.source.name": "train.py"}
        if parent:
            tags["mlflow.parentRunId"] = made["runs"][parent]
        created = client.create_run(
            made["experiments"][experiment], start_time=START + len(made["runs"]), tags=tags, run_name=name
        )
        made["runs"][label] = created.info.run_id

    run("of default", "default", name="of default")
    run("parent", name="a parent")
    run("child", parent="parent", name="a child")
    run("nameless")
    run("deleted", name="deleted")
    run("given up", "given up", name="given up")
    run("never ended", "given up", name="never ended")
    run("running", name="running")
    for number in range(SHARED):
        run(f"shared {number}", name=f"shared {number}")
    run("metrics", name="metrics")
    for label, run_id in made["runs"].items():
        points = [Metric(f"key {key}", step / 8, START + step, step) for key in range(KEYS) for step in range(12)]
        client.log_batch(run_id, points, [Param("depth", "3"), Param("label", label)], [RunTag("label", label)])
    odd = [("odd", math.nan, 0), ("odd", math.inf, 1), ("odd", -math.inf, 2), ("odd", -0.5, -7), ("odd", 1e-320, 3)]
    long = [Metric("loss", 1 / (step + 1), START + step, step) for step in range(2600)]
    long += [Metric(key, value, START, step) for key, value, step in odd]
    for at in range(0, len(long), 1000):
        client.log_batch(made["runs"]["metrics"], metrics=long[at : at + 1000])
    files(client, made, scratch)
    for label, run_id in made["runs"].items():
        if label not in ("running", "never ended"):
            client.set_terminated(run_id, "FAILED" if label == "child" else "FINISHED", START + 60_000)


def files(client: MlflowClient, made: Made, scratch: Path) -> None:
    for path in ("empty.bin", "model/MLmodel", "model/data/with space.bin", "deep/a/b/c/ünï.txt"):
        place = scratch / path
        place.parent.mkdir(parents=True, exist_ok=True)
        content = f"content of {path}\n" if "." in place.name else "flavors: {}\n"
        place.write_text("" if path == "empty.bin" else content, encoding="utf-8")
    for label in ("parent", "deleted", "given up", "of default"):
        client.log_artifacts(made["runs"][label], str(scratch))


def registry(client: MlflowClient, made: Made) -> None:
    many, run_id = "many versions", made["runs"]["parent"]
    client.create_registered_model(many, tags={"team": "growth"}, description="A model of *many* versions")
    source = client.get_run(run_id).info.artifact_uri + "/model"
    for number in range(1, VERSIONS + 1):
        client.create_model_version(many, source, run_id, tags={"n": str(number)}, description=f"v{number}")
    for number, stage in ((2, "Archived"), (10, "Staging"), (13, "Production")):
        client.transition_model_version_stage(many, str(number), stage)
    for number in (5, 9):
        client.delete_model_version(many, str(number))
    # The order in which they changed last is not that of their numbers.
    for number in (3, 1, 11):
        client.update_model_version(many, str(number), f"changed {number}")
    for name in ("a few", "zeta"):
        client.create_registered_model(name)
        for label in ("of default", "deleted", "metrics"):
            run = client.get_run(made["runs"][label])
            client.create_model_version(name, run.info.artifact_uri + "/model", run.info.run_id)
    client.create_registered_model("without versions", description="soon")
    with suppress(AttributeError, MlflowException):  # Aliases came with MLflow 2.3.
        client.set_registered_model_alias(many, "champion", "11")


def deletions(client: MlflowClient, made: Made) -> None:
    client.delete_run(made["runs"]["deleted"])
    client.delete_experiment(made["experiments"]["given up"])


if __name__ == "__main__":
    main(sys.argv[1], with_registry="--without-registry" not in sys.argv)
