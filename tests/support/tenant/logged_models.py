"""The logged models of a tenant (MLflow 3): every status, several of one run, shared metrics, a real one."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import mlflow
import yaml
from mlflow.entities import LoggedModelInput, LoggedModelOutput, Metric

from tests.support.tenant.builder import START, Builder


def add(build: Builder) -> None:
    """Creates the logged models, and the runs that have them as inputs and outputs."""
    build.experiment("models", "models")
    _of_one_run(build)
    _alone(build)
    _metrics(build)
    _deleted_output(build)
    _scikit_learn(build)


def _of_one_run(build: Builder) -> None:
    run_id = build.run("training", "models")
    params = {f"layer.{i}": str(i) for i in range(130)} | {"long": "p" * 6000}
    _logged(
        build, "first", "net", run=run_id, params=params, tags={"stage": "β", "long": "t" * 5000}, kind="classifier"
    )
    _logged(build, "second", "net", run=run_id, kind="classifier")
    _logged(build, "third", "it is the 3rd, (small) net", run=run_id, status=None)
    models = [LoggedModelOutput(build.logged_models[label], step) for label, step in (("first", 0), ("second", 40))]
    build.client.log_outputs(run_id, [*models, LoggedModelOutput(build.logged_models["third"], 2**40)])


def _alone(build: Builder) -> None:
    _logged(build, "without run", "handmade", params={"kind": "rules"})
    _logged(build, "failed", "broken", run=build.run("broken training", "models", status="FAILED"), status="FAILED")
    _logged(build, "of mlflow 2 run", "late", run=build.runs["model of mlflow 2"], experiment="plain")
    _logged(build, "in deleted experiment", "lost", run=build.runs["in deleted experiment"], experiment="deleted")
    # No file, no parameter, no tag, and a name that MLflow chose.
    model = build.client.create_logged_model(build.experiments["models"])
    build.logged_models["bare"] = model.model_id


def _metrics(build: Builder) -> None:
    """Metrics on models: of their own run, of two models under one key, and of an evaluation run elsewhere."""
    first, second = build.logged_models["first"], build.logged_models["second"]

    def point(key: str, value: float, step: int, model: str, dataset: str | None) -> Metric:
        digest = f"digest-{dataset}" if dataset else None
        return Metric(key, value, START + step, step, model, dataset, digest)

    points = [point("accuracy", 0.5 + step / 100, step, first, "train") for step in range(20)]
    points += [point("accuracy", 0.6 + step / 100, step, second, "train") for step in range(20)]
    # A model holds one value for one key, time, step and run, whatever the dataset.
    points += [
        point("accuracy", 0.9, 30, first, None),
        point("f1", 0.7, 0, first, "test"),
        point("f1", 0.7, 1, first, "test"),
    ]
    # The store has no column for "not a number" here: a logged model shows NaN as 0.0.
    points += [point("f1", math.nan, 2, second, "test"), Metric("loss", 0.1, START, 0)]
    build.client.log_batch(build.runs["training"], metrics=points)

    run_id = build.run("evaluation", "evaluation", start=START + 500_000)
    build.client.log_batch(
        run_id, metrics=[point("accuracy", 0.42, 0, first, "holdout"), point("f1", 0.4, 0, second, None)]
    )
    build.client.log_inputs(run_id, models=[LoggedModelInput(first), LoggedModelInput(second)])
    run_id = build.run("input and output", "models")
    build.client.log_inputs(run_id, models=[LoggedModelInput(first)])
    _logged(build, "fine-tuned", "net", run=run_id)
    build.client.log_outputs(run_id, [LoggedModelOutput(build.logged_models["fine-tuned"], 7)])


def _deleted_output(build: Builder) -> None:
    run_id = build.run("with deleted output", "models")
    for label in ("deleted", "beside deleted"):
        _logged(build, label, label, run=run_id)
    build.client.log_outputs(
        run_id, [LoggedModelOutput(build.logged_models[n], 1) for n in ("deleted", "beside deleted")]
    )
    build.client.delete_logged_model(build.logged_models["deleted"])


def _scikit_learn(build: Builder) -> None:
    import mlflow.sklearn
    from sklearn.linear_model import LogisticRegression

    run_id = build.run("scikit-learn", "models")
    fitted = LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    with _fluent(build), mlflow.start_run(run_id=run_id):
        logged = mlflow.sklearn.log_model(
            fitted, name="logistic", registered_model_name="logistic regression", pip_requirements=["scikit-learn"]
        )
    build.client.set_terminated(run_id, end_time=START + 60_000)
    build.logged_models["scikit-learn"] = logged.model_id
    build.registered_models["scikit-learn"] = "logistic regression"


@contextmanager
def _fluent(build: Builder) -> Iterator[None]:
    """MLflow's flavors know only the global tracking server: it is set for a moment, in the environment too."""
    mlflow.set_tracking_uri(build.url)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


def _logged(
    build: Builder,
    label: str,
    name: str,
    *,
    run: str | None = None,
    experiment: str = "models",
    params: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
    kind: str | None = None,
    status: Literal["READY", "FAILED"] | None = "READY",
) -> None:
    """Creates a logged model with the files that ``log_model`` of MLflow 3 leaves; no status means: still pending."""
    model = build.client.create_logged_model(
        build.experiments[experiment], name, run, tags=tags, params=params, model_type=kind
    )
    build.logged_models[label] = model.model_id
    described = {
        "artifact_path": model.artifact_location,
        "flavors": {"python_function": {"loader_module": "mlflow.sklearn", "python_version": "3.11.7"}},
        "mlflow_version": "3.17.2",
        "model_id": model.model_id,
        "model_uuid": model.model_id,
        "run_id": run,
        "utc_time_created": "2023-11-14 22:13:20.000000",
    }
    folder = build.scratch / f"logged-{label}"
    (folder / "code").mkdir(parents=True)
    (folder / "MLmodel").write_text(yaml.safe_dump({key: value for key, value in described.items() if value}))
    (folder / "code" / "weights 1.bin").write_bytes(label.encode() * 50)
    build.client.log_model_artifacts(model.model_id, str(folder))
    if status:
        build.client.finalize_logged_model(model.model_id, status)
