"""The runs of a tenant: every status, long values, full metric histories, dataset inputs, nesting and deletion."""

import math

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

from tests.support.tenant.builder import NO_RUN, START, Builder

HISTORY = 2600
"""Points of one metric: more than the 2500 that the sampling endpoint of MLflow returns at most."""


def add(build: Builder) -> None:
    """Creates the runs; their artifacts come later."""
    _states(build)
    _values(build)
    _metrics(build)
    _inputs(build)
    _nesting(build)
    _deleted(build)


def _states(build: Builder) -> None:
    build.run("default", "default")
    build.run("in quotes", "quotes", user="bob o'neil")
    build.run("in emoji", "emoji", user="zoë")
    for offset, status in enumerate(("FINISHED", "FAILED", "KILLED", "SCHEDULED", "RUNNING")):
        build.run(status.lower(), start=START + offset, status=status)
    build.client.log_metric(build.runs["running"], "loss", 0.5, timestamp=START, step=0)
    build.run("odd name", name='  🚀 "odd" name, isn\'t it? 100 % / \\ ')
    build.run("long name", name="n" * 250)
    # The client names a run by itself and always sends an end time.
    _raw(build, "bare", {"start_time": START})
    run_id = _raw(build, "finished without end", {"start_time": START, "user_id": "cron"})
    build.rest("POST", "2.0/mlflow/runs/update", {"run_id": run_id, "status": "FINISHED"})
    tags = [{"key": "mlflow.user", "value": "somebody else"}]
    _raw(build, "user unlike its tag", {"start_time": START, "user_id": "the real one", "tags": tags})


def _raw(build: Builder, label: str, body: dict[str, object]) -> str:
    body = {"experiment_id": build.experiments["plain"], **body}
    run_id: str = build.rest("POST", "2.0/mlflow/runs/create", body)["run"]["info"]["run_id"]
    return build.keep(label, run_id, "plain")


def _values(build: Builder) -> None:
    run_id = build.run("values")
    params = [Param(f"param {i:03}", str(i)) for i in range(150)]
    params += [Param("long", "p" * 6000), Param("unicode/π", "ünïcödé 🚀\nsecond line"), Param("spaced", "  a  ")]
    tags = [RunTag(f"tag.{i:03}", f"value {i}") for i in range(150)]
    tags += [RunTag("long", "t" * 8000), RunTag("mlflow.note.content", "a *description*"), RunTag("blank", "")]
    for at in range(0, len(params), 100):
        build.client.log_batch(run_id, params=params[at : at + 100], tags=tags[at : at + 100])


def _metrics(build: Builder) -> None:
    run_id = build.run("metrics")
    points = [Metric("loss", 1 / (i + 1), START + i, i) for i in range(HISTORY)]
    points += [Metric("val/acc : top-5", i / 10, START + i, i) for i in range(10)]
    points += [
        Metric("odd", math.nan, START, 0),
        Metric("odd", math.inf, START, 1),
        Metric("odd", -math.inf, START, 2),
        Metric("odd", 1e-320, START, 3),
        Metric("odd", -0.1, START, -7),
        Metric("odd", 1.0, START, 2**53 + 1),
        Metric("odd", 2.0, START, 2**62 + 3),
        Metric("odd", 3.0, 0, 4),
        Metric("odd", 4.0, 2**53 + 1, 4),
        # One moment, three values: all of them are kept.
        Metric("twins", 1.0, START, 5),
        Metric("twins", 2.0, START, 5),
        Metric("twins", math.nan, START, 5),
    ]
    for at in range(0, len(points), 1000):
        build.client.log_batch(run_id, metrics=points[at : at + 1000])


def _inputs(build: Builder) -> None:
    def dataset(name: str, digest: str, **tags: str) -> DatasetInput:
        source = '{"uri": "s3://data/' + name + '.parquet"}'
        entity = Dataset(name, digest, "s3", source, schema='{"cols": ["a", "ü"]}', profile='{"rows": 3}')
        return DatasetInput(entity, [InputTag(key, value) for key, value in tags.items()])

    run_id = build.run("inputs")
    extra = {"mlflow.data.context": "testing", "split": "1/3", "long": "x" * 500}
    build.client.log_inputs(
        run_id,
        [
            dataset("train", "aaaa1111", **{"mlflow.data.context": "training"}),
            dataset("test 'ü'", "bbbb2222", **extra),
            dataset("untagged", "cccc3333"),
        ],
    )
    run_id = build.run("shared inputs")
    build.client.log_inputs(run_id, [dataset("train", "aaaa1111", **{"mlflow.data.context": "validation"})])
    # A dataset of the same name and digest, but in another experiment: a row of its own.
    run_id = build.run("inputs elsewhere", "evaluation")
    build.client.log_inputs(run_id, [dataset("train", "aaaa1111", role="reference")])


def _nesting(build: Builder) -> None:
    build.run("parent", start=START + 100_000)
    build.run("child", start=START + 150_000, parent="parent")
    build.run("grandchild", start=START + 160_000, parent="child")
    build.run("child older than its parent", start=START + 50_000, parent="parent")
    build.run("child in another experiment", "evaluation", start=START + 10_000, parent="parent")
    build.run("orphan", parent=NO_RUN)
    build.run("deleted parent")
    build.run("child of deleted", parent="deleted parent")
    build.deleted_runs.add("deleted parent")


def _deleted(build: Builder) -> None:
    for label, experiment in (("deleted", "plain"), ("in deleted experiment", "deleted")):
        run_id = build.run(label, experiment)
        build.client.log_batch(
            run_id, [Metric("loss", 0.25, START, 1), Metric("loss", 0.125, START, 2)], [Param("depth", "3")]
        )
    build.run("failed in deleted experiment", "deleted", status="FAILED", parent="in deleted experiment")
    build.deleted_runs.add("deleted")
