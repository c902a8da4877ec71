"""The ``meta.yaml`` files of a file store: what each must say so that MLflow shows what it describes.

MLflow builds its entities from these files: a field that is missing or has another type fails the whole listing that it
is part of. (``FileStore`` of ``mlflow.store.tracking`` and of ``mlflow.store.model_registry``, read from the release
3.17.2.)
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from bulkexim.expected import in_words

META = "meta.yaml"

Id = str | int
Stage = Literal["active", "deleted"]


class ExperimentMeta(msgspec.Struct, frozen=True):
    """Of an experiment."""

    experiment_id: Id
    name: str
    artifact_location: str
    lifecycle_stage: Stage
    creation_time: int | None = None
    last_update_time: int | None = None


class RunMeta(msgspec.Struct, frozen=True):
    """Of a run; ``status`` is a number of ``mlflow.entities.RunStatus``, times are in milliseconds since the epoch."""

    run_id: str
    experiment_id: Id
    user_id: str
    start_time: int
    end_time: int | None
    status: Annotated[int, msgspec.Meta(ge=1, le=5)] = 1
    lifecycle_stage: Stage = "active"
    artifact_uri: str | None = None
    run_name: str | None = None


class LoggedModelMeta(msgspec.Struct, frozen=True):
    """Of a logged model."""

    model_id: str
    experiment_id: Id
    name: str
    artifact_location: str
    creation_timestamp: int
    last_updated_timestamp: int
    status: Annotated[int, msgspec.Meta(ge=0, le=3)] = 2
    lifecycle_stage: Stage = "active"
    model_type: str | None = None
    source_run_id: str | None = None
    status_message: str | None = None


class RegisteredModelMeta(msgspec.Struct, frozen=True):
    """Of a registered model, or of a prompt."""

    name: str
    creation_timestamp: int | None = None
    last_updated_timestamp: int | None = None
    description: str | None = None


class VersionMeta(msgspec.Struct, frozen=True):
    """Of a version of a registered model."""

    name: str
    version: Id
    creation_timestamp: int
    last_updated_timestamp: int | None = None
    description: str | None = None
    user_id: str | None = None
    current_stage: str | None = None
    source: str | None = None
    run_id: str | None = None
    run_link: str | None = None
    model_id: str | None = None
    status: Literal["PENDING_REGISTRATION", "FAILED_REGISTRATION", "READY"] | None = None
    status_message: str | None = None


Meta = TypeVar("Meta", ExperimentMeta, RunMeta, LoggedModelMeta, RegisteredModelMeta, VersionMeta)


class BadMetaError(Exception):
    """A folder has no ``meta.yaml`` that MLflow could use; the text continues a sentence that begins with it."""


def meta(folder: str | Path, kind: type[Meta], problem: str = "") -> Meta:
    """Return what the ``meta.yaml`` in ``folder`` says of an object of ``kind``.

    :raises BadMetaError: there is none, or MLflow could not use it, or the folder has a ``problem`` that is known
    """
    if problem:
        raise BadMetaError(problem)
    try:
        return msgspec.convert(fields(folder), kind)
    except msgspec.ValidationError as error:
        raise BadMetaError(f"has a {META} that MLflow cannot use ({_told(error)})") from error


def fields(folder: str | Path) -> dict[str, Any]:
    """Return the fields of the ``meta.yaml`` in ``folder``.

    :raises BadMetaError: there is none, or it cannot be read
    """
    import yaml  # noqa: PLC0415 - comes with MLflow, without which no store is served

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    path = Path(folder, META)
    try:
        if path.exists() and not path.is_file():
            raise BadMetaError(f"has a {META} that is no file")
        content = path.read_bytes()
        known = yaml.load(content.decode(), loader)  # noqa: S506 - one of the two safe loaders
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadMetaError(f"has no {META}") from error
    except OSError as error:
        raise BadMetaError(f"has a {META} that cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise BadMetaError(f"has a {META} that is no YAML ({' '.join(str(error).split())[:120]})") from error
    if known is None:
        raise BadMetaError(f"has an empty {META}" if not content.strip() else f"has a {META} without any field")
    if not isinstance(known, dict):
        raise BadMetaError(f"has a {META} that holds no fields")
    return known


def inside(folder: Path) -> dict[str, bool]:
    """Return the names in a folder, and whether each is a folder again.

    :raises BadMetaError: it cannot be listed
    """
    try:
        with os.scandir(folder) as found:
            return {entry.name: entry.is_dir() for entry in found}
    except OSError as error:
        raise BadMetaError(f"cannot be read ({error.strerror})") from error


def _told(error: msgspec.ValidationError) -> str:
    problem = str(error)
    place = problem.partition(" - at `$.")[2].rstrip("`")
    if "missing required field" in problem:
        return f"without {problem.partition('`')[2].partition('`')[0]}"
    return f"{place}: {in_words(problem)}"
