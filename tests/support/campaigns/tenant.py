"""The tenants of campaigns: a small one with every link between kinds, and a large one of plain objects."""

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import anyio
import httpx
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, LoggedModelOutput, Metric

from tests.support.tenant import Tenant
from tests.support.tenant.builder import START, Builder
from tests.support.tenant.small import build_small

AT_ONCE = 8


def build_linked(url: str) -> Tenant:
    """Fills a server with a few objects of each kind that is moved, and every link that one may have to another."""
    with TemporaryDirectory() as scratch, Builder(url, Path(scratch)) as build:
        build_small(build)
        _tracking(build)
        _binned(build)
        _registry(build)
        build.delete()
        return build.tenant()


def _tracking(build: Builder) -> None:
    """A run of another experiment that has a parent, datasets, a model as its input and points that measure it."""
    build.experiment("evaluation", "evaluation", purpose="measures")
    model = build.logged_models["net"]
    run_id = build.run("measuring", "evaluation", parent="parent", start=START + 1000)
    build.client.log_batch(run_id, [Metric("accuracy", 0.8, START, 1, model), Metric("loss", 0.2, START, 1)])
    dataset = Dataset("holdout", "abcd1234", "s3", '{"uri": "s3://data/holdout"}')
    tags = [InputTag("mlflow.data.context", "testing")]
    build.client.log_inputs(run_id, [DatasetInput(dataset, tags)], [LoggedModelInput(model)])
    _logged(build, "removed", "plain", "other")
    build.client.log_outputs(build.runs["other"], [LoggedModelOutput(build.logged_models["removed"], 3)])
    build.client.delete_logged_model(build.logged_models["removed"])


def _binned(build: Builder) -> None:
    """A deleted experiment that holds a run and a logged model."""
    build.experiment("binned", "binned")
    build.run("in binned", "binned")
    _logged(build, "of binned", "binned", "in binned")
    build.deleted_experiments.add("binned")


def _registry(build: Builder) -> None:
    """Versions with every kind of source: a run, a deleted run, a promotion; a stage, and gaps at start and end."""
    name = "of runs"
    build.client.create_registered_model(name, description="from runs")
    build.registered_models["of runs"] = name
    for label in ("other", "deleted", "parent", "other"):
        run_id = build.runs[label]
        build.client.create_model_version(name, f"runs:/{run_id}/notes", run_id, description=f"of {label}")
    for number in ("1", "4"):
        build.client.delete_model_version(name, number)
    stage = {"name": name, "version": "3", "stage": "Production", "archive_existing_versions": False}
    build.rest("POST", "2.0/mlflow/model-versions/transition-stage", stage)
    build.client.set_registered_model_alias(name, "champion", "2")
    build.client.copy_model_version("models:/small model/1", "a promoted one")
    build.registered_models["promoted"] = "a promoted one"


def _logged(build: Builder, label: str, experiment: str, run: str) -> None:
    model = build.client.create_logged_model(build.experiments[experiment], label, build.runs[run], params={"a": "1"})
    build.logged_models[label] = model.model_id
    text = build.scratch / "MLmodel"
    text.write_text(f"model_id: {model.model_id}\nmodel_uuid: {model.model_id}\n")
    build.client.log_model_artifact(model.model_id, str(text))
    build.client.finalize_logged_model(model.model_id, "READY")


async def build_many(url: str, *, runs: int, models: int, versions: int, seed: int = 1) -> None:
    """Fills a server with runs, each with values and a file, and models of up to so many versions, some deleted."""
    limit = anyio.CapacityLimiter(AT_ONCE)
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:

        async def post(path: str, body: dict[str, object]) -> httpx.Response:
            return (await http.post(f"/api/2.0/mlflow/{path}", json=body)).raise_for_status()

        names = [f"experiment {number}" for number in range(5)]
        homes = [(await post("experiments/create", {"name": name})).json()["experiment_id"] for name in names]

        async def run(number: int) -> None:
            chance = Random(f"{seed}/run {number}")
            start = START + number * 1000
            new = {"experiment_id": homes[number % 5], "run_name": f"run {number}", "start_time": start}
            async with limit:
                info = (await post("runs/create", new)).json()["run"]["info"]
                metrics = [
                    {"key": key, "value": chance.random(), "timestamp": start + step, "step": step}
                    for key in ("loss", "accuracy")
                    for step in range(chance.randint(0, 20))
                ]
                params = [{"key": f"param {at}", "value": str(chance.random())} for at in range(chance.randint(0, 5))]
                await post("runs/log-batch", {"run_id": info["run_id"], "metrics": metrics, "params": params})
                root = info["artifact_uri"].removeprefix("mlflow-artifacts:/")
                content = chance.randbytes(500)
                (
                    await http.put(f"/api/2.0/mlflow-artifacts/artifacts/{root}/data.bin", content=content)
                ).raise_for_status()
                end = {"run_id": info["run_id"], "status": "FINISHED", "end_time": start + 500}
                await post("runs/update", end)

        async def model(number: int) -> None:
            chance = Random(f"{seed}/model {number}")
            name = f"model {number}"
            async with limit:
                await post("registered-models/create", {"name": name})
                numbers = range(1, chance.randint(1, versions) + 1)
                for at in numbers:
                    await post("model-versions/create", {"name": name, "source": f"s3://bucket/{name}/{at}"})
                for at in numbers:
                    if chance.random() < 0.1:
                        body = {"name": name, "version": str(at)}
                        gone = await http.request("DELETE", "/api/2.0/mlflow/model-versions/delete", json=body)
                        gone.raise_for_status()

        async with anyio.create_task_group() as tasks:
            for number in range(runs):
                tasks.start_soon(run, number)
            for number in range(models):
                tasks.start_soon(model, number)
