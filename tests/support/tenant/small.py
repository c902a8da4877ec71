"""A tenant of a few objects of each kind that is moved; built in a second or two."""

from mlflow.entities import LoggedModelOutput, Metric, Param

from tests.support.tenant.builder import START, Builder


def build_small(build: Builder) -> None:
    """Two experiments, four runs (nested, deleted), a logged model and a registered model of three versions."""
    build.experiment("plain", "small experiment", team="tests")
    build.experiment("empty", "small and empty")
    for label, parent in (("parent", None), ("child", "parent"), ("other", None), ("deleted", None)):
        run_id = build.run(label, parent=parent, tags={"colour": "blue"})
        points = [Metric("loss", 1 / (step + 1), START + step, step) for step in range(5)]
        build.client.log_batch(run_id, points, [Param("depth", "3")])
        build.put(label, "notes/read me.txt", label.encode())
    build.deleted_runs.add("deleted")

    run_id = build.runs["parent"]
    model = build.client.create_logged_model(build.experiments["plain"], "net", run_id, params={"size": "1"})
    build.logged_models["net"] = model.model_id
    build.client.log_batch(run_id, [Metric("accuracy", 0.9, START, 0, model.model_id)])
    build.client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    text = build.scratch / "MLmodel"
    text.write_text(
        f"artifact_path: {model.artifact_location}\nmodel_id: {model.model_id}\nmodel_uuid: {model.model_id}\n"
    )
    build.client.log_model_artifact(model.model_id, str(text))
    build.client.finalize_logged_model(model.model_id, "READY")

    build.client.create_registered_model("small model", {"team": "tests"}, "a small one")
    build.registered_models["small"] = "small model"
    build.client.create_model_version("small model", f"models:/{model.model_id}", run_id, model_id=model.model_id)
    for number in (2, 3):
        build.client.create_model_version("small model", "s3://bucket/x", tags={"number": str(number)})
    build.client.delete_model_version("small model", "2")
    build.client.set_registered_model_alias("small model", "live", "3")
