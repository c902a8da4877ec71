"""The registered models of a tenant: gaps, aliases, stages, promotions and every kind of version source."""

from mlflow.entities.model_registry import ModelVersion

from tests.support.tenant.builder import NO_RUN, Builder

TWELVE = "churn.prod v1"


def add(build: Builder) -> None:
    """Creates the registered models that need no logged model."""
    _twelve(build)
    _gaps(build)
    _sources(build)
    _promotions(build)
    _names(build)


def add_versions_of_logged_models(build: Builder) -> None:
    """Registers logged models: the right one of several of a run, in an order that is not theirs."""
    name = _registered(build, "logged", "of logged models")
    for label in ("second", "first", "without run", "scikit-learn", "fine-tuned"):
        model = build.client.get_logged_model(build.logged_models[label])
        build.client.create_model_version(
            name, f"models:/{model.model_id}", model.source_run_id, tags={"which": label}, model_id=model.model_id
        )
    # MLflow 3 still takes the folder of the logged model itself as a source.
    model = build.client.get_logged_model(build.logged_models["third"])
    build.client.create_model_version(
        name, model.artifact_location, model.source_run_id, tags={"which": "third"}, model_id=model.model_id
    )
    build.client.copy_model_version(f"models:/{name}/1", "copy of logged")
    build.registered_models["copy of logged"] = "copy of logged"


def _twelve(build: Builder) -> None:
    name = _registered(
        build, "twelve", TWELVE, description="A model of *twelve* versions", team="growth", long="x" * 5000
    )
    stages = {2: "Archived", 10: "Staging", 12: "Production"}
    for number in range(1, 13):
        run = build.run(f"training {number}")
        build.put(f"training {number}", "model/weights.bin", f"weights {number}".encode())
        tags = {"number": str(number), f"only {number}": "yes"}
        description = f"the {number}th" if number % 2 else None
        build.client.create_model_version(name, f"runs:/{run}/model", run, tags=tags, description=description)
        if number in stages:
            # The client warns that stages are deprecated; they are still there, and have to be moved.
            moved = {"name": name, "version": str(number), "stage": stages[number], "archive_existing_versions": False}
            build.rest("POST", "2.0/mlflow/model-versions/transition-stage", moved)
    build.client.delete_model_version(name, "5")
    for alias, number in (("champion", 11), ("Challenger", 3), ("also-champion", 11), ("newest", 12)):
        build.client.set_registered_model_alias(name, alias, str(number))


def _gaps(build: Builder) -> None:
    name = _registered(build, "gap at start", "starts at three")
    for number in range(1, 6):
        _external(build, name, number)
    for gap in ("1", "2", "4"):
        build.client.delete_model_version(name, gap)
    _registered(build, "all deleted", "lost all its versions")
    _external(build, "lost all its versions", 1)
    build.client.delete_model_version("lost all its versions", "1")
    _registered(build, "without versions", "without versions", description="soon", soon="yes")


def _external(build: Builder, name: str, number: int) -> ModelVersion:
    return build.client.create_model_version(name, f"s3://bucket/{number}", tags={"number": str(number)})


def _sources(build: Builder) -> None:
    name = _registered(build, "sources", "sources")
    run_id = build.runs["model of mlflow 2"]
    root = build.client.get_run(run_id).info.artifact_uri
    deleted = build.run("registered, then deleted")
    build.put("registered, then deleted", "model/weights.bin", b"still needed")
    build.deleted_runs.add("registered, then deleted")
    for source, run in (
        ("s3://bucket/x", None),
        (f"runs:/{run_id}/model", run_id),
        (f"{root}/nested/second model", run_id),
        (f"runs:/{deleted}/model", deleted),
        # MLflow does not look whether the run exists.
        (f"runs:/{NO_RUN}/model", NO_RUN),
        ("gs://bucket/of/a/run", run_id),
        # A folder that holds no model, and one that does not exist.
        (f"runs:/{run_id}/nothing/here", run_id),
    ):
        build.client.create_model_version(name, source, run, run_link="https://example.org/run" if run else None)


def _promotions(build: Builder) -> None:
    """Copies of versions, one of them in a model whose name sorts before the one it comes from."""
    _registered(build, "origin", "origin of promotions")
    run_id = build.runs["model of mlflow 2"]
    for number in range(1, 4):
        build.client.create_model_version("origin of promotions", f"runs:/{run_id}/model", run_id, {"n": str(number)})
    for label, name, number in (("promoted before", "a promoted one", 2), ("promoted after", "promoted", 3)):
        build.client.copy_model_version(f"models:/origin of promotions/{number}", name)
        build.registered_models[label] = name
    # A promotion of a promotion, and one from a version that is deleted afterwards.
    build.client.copy_model_version("models:/promoted/1", "a promoted one")
    build.client.copy_model_version("models:/origin of promotions/1", "promoted")
    build.client.delete_model_version("origin of promotions", "1")


def _names(build: Builder) -> None:
    for label, name in (
        ("quotes", """it's the "best" model"""),
        ("emoji", "🚀 modèle 実験"),
        ("dots", "prod.eu-west.churn_2"),
        ("spaces", "  a model  with spaces "),
    ):
        _registered(build, label, name)
        _external(build, name, 1)
        build.client.set_registered_model_alias(name, "live", "1")


def _registered(build: Builder, label: str, name: str, *, description: str | None = None, **tags: str) -> str:
    build.client.create_registered_model(name, tags=tags, description=description)
    build.registered_models[label] = name
    return name
