"""Everything of one server that the oracle compares, read once."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from urllib.parse import quote

import httpx
from mlflow import MlflowClient
from mlflow.entities import Experiment, LoggedModel, Metric, Run, ViewType
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.entities import PagedList

T = TypeVar("T")
K = TypeVar("K")

READERS = 8


@dataclass(frozen=True)
class Snapshot:
    """The objects of one server, as MLflow's client returns them."""

    url: str
    experiments: dict[str, Experiment]
    runs: dict[str, Run]
    histories: dict[str, list[Metric]]
    """All points of all metrics of a run."""
    logged_models: dict[str, LoggedModel]
    deleted_models: frozenset[str]
    """Logged models that are known only because a run has them as input or output."""
    registered_models: dict[str, RegisteredModel]
    versions: dict[tuple[str, int], ModelVersion]
    locations: dict[tuple[str, int], str]
    """Where MLflow takes the files of a version from; not its source when that is another version."""
    files: dict[str, dict[str, str]]
    """Files below an artifact root: path to the text of an ``MLmodel``, to size and digest of any other."""


def read(url: str, *, artifacts: bool = True) -> Snapshot:
    """Reads a server, deleted experiments and runs included."""
    client = MlflowClient(tracking_uri=url, registry_uri=url)
    with ThreadPoolExecutor(READERS) as pool, httpx.Client(base_url=url, timeout=60, trust_env=False) as http:

        def each(keys: Iterable[K], call: Callable[[K], T]) -> dict[K, T]:
            listed = list(keys)
            return dict(zip(listed, pool.map(call, listed), strict=True))

        experiments = {
            e.experiment_id: e for e in _pages(lambda t: client.search_experiments(ViewType.ALL, page_token=t))
        }
        ids = list(experiments)
        found = _pages(lambda t: client.search_runs(ids, run_view_type=ViewType.ALL, max_results=500, page_token=t))
        # A search does not return the logged models that a run has as inputs.
        runs = each([run.info.run_id for run in found], client.get_run)
        keys = [(run_id, key) for run_id, run in runs.items() for key in run.data.metrics]
        points = each(keys, lambda at: list(client.get_metric_history(*at)))
        models = {model.model_id: model for model in _logged_models(client, ids)}
        deleted = frozenset(_linked_models(runs.values()) - set(models))
        models |= each(deleted, lambda it: client._tracking_client.store.get_logged_model(it, allow_deleted=True))
        # The client asks for what is no prompt, which an MLflow without prompts takes for a tag that nothing has.
        store = client._get_registry_client().store  # type: ignore[no-untyped-call]
        registered = {m.name: m for m in _pages(lambda t: store.search_registered_models(page_token=t))}
        versions = {
            (version.name, int(version.version)): version
            for version in _pages(lambda t: client.search_model_versions(max_results=1000, page_token=t))
        }
        downloads = {run.info.artifact_uri: partial(_of_run, http, run_id) for run_id, run in runs.items()}
        downloads |= {m.artifact_location: partial(_of_model, http, m.artifact_location) for m in models.values()}
        return Snapshot(
            url=url,
            experiments=experiments,
            runs=runs,
            histories={run: [p for (owner, _), all_ in points.items() if owner == run for p in all_] for run in runs},
            logged_models=models,
            deleted_models=deleted,
            registered_models=registered,
            versions=versions,
            locations=each(versions, lambda it: client.get_model_version_download_uri(it[0], str(it[1]))),
            files=each(downloads, lambda root: dict(_files(http, root, downloads[root]))) if artifacts else {},
        )


def _pages(page: Callable[[str | None], PagedList[T]]) -> Iterator[T]:
    token = None
    while True:
        part = page(token)
        yield from part
        token = part.token
        if not token:
            return


def _logged_models(client: MlflowClient, experiments: list[str]) -> list[LoggedModel]:
    try:
        return list(_pages(lambda t: client.search_logged_models(experiments, max_results=1000, page_token=t)))
    except MlflowException as error:
        if error.error_code in ("ENDPOINT_NOT_FOUND", "NOT_FOUND"):  # MLflow 2 has no logged models
            return []
        raise


def _linked_models(runs: Iterable[Run]) -> set[str]:
    linked: set[str] = set()
    for run in runs:
        linked |= {model.model_id for model in (run.inputs.model_inputs if run.inputs else None) or ()}
        linked |= {model.model_id for model in (run.outputs.model_outputs if run.outputs else None) or ()}
    return linked


def _files(http: httpx.Client, root: str, download: Callable[[str], httpx.Response]) -> Iterator[tuple[str, str]]:
    """Lists with MLflow's client; downloads without, because that cannot address a name with ``?``.

    The download from a run is that of MLflow's web pages: at the proxied path, MLflow 2.22 on gunicorn closes the
    connection without an answer when the name of the file is not Latin-1.
    """
    repository = get_artifact_repository(root, tracking_uri=str(http.base_url))
    folders: list[str | None] = [None]
    while folders:
        for entry in repository.list_artifacts(folders.pop()):
            if entry.is_dir:
                folders.append(entry.path)
                continue
            answer = download(entry.path)
            answer.raise_for_status()
            if entry.path.rsplit("/", 1)[-1] == "MLmodel":
                yield entry.path, answer.text
            else:
                yield entry.path, f"{len(answer.content)} bytes, sha256 {hashlib.sha256(answer.content).hexdigest()}"


def _of_run(http: httpx.Client, run_id: str, path: str) -> httpx.Response:
    return http.get("/get-artifact", params={"run_id": run_id, "path": path})


def _of_model(http: httpx.Client, location: str, path: str) -> httpx.Response:
    """The endpoint of the web pages answers 404 for a deleted logged model; the proxied path does not."""
    folder = location.removeprefix("mlflow-artifacts:/")
    return http.get(f"/api/2.0/mlflow-artifacts/artifacts/{folder}/{quote(path)}")
