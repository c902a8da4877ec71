"""Where the files of a model version will be found at the destination."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from bulkexim.errors import CallError, ObjectError
from bulkexim.ids import SourceId
from bulkexim.kinds.base import Remark
from bulkexim.kinds.scope import Pair
from bulkexim.kinds.version_values import ModelVersion, Target, target
from bulkexim.ledger.schema import Row

#: Storage that MLflow accepts as a source without asking whose it is.
SHARED_SCHEMES = ("s3://", "gs://", "wasbs://", "dbfs:/")
#: Source of a version whose files are gone: accepted everywhere, leading nowhere.
GONE = "s3://bulkexim/gone"

Rows = dict[str, dict[SourceId, Row]]


@dataclass(frozen=True, slots=True)
class Origin:
    """The source, run and logged model that a version gets; ``waits`` while one of them may still come."""

    source: str
    run_id: str = ""
    model_id: str = ""
    waits: bool = False
    remarks: tuple[Remark, ...] = ()
    problem: ObjectError | None = None


class _DownloadUri(msgspec.Struct, frozen=True):
    artifact_uri: str = ""


class Sources:
    """Translates the sources of versions with the ids that the ledger knows."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    async def of(self, versions: Sequence[ModelVersion], *, final: bool) -> dict[SourceId, Origin]:
        """Return the origin of each version; when ``final``, a version to which it points will not come any more."""
        targets = {version.id: _target(version) for version in versions}
        rows = await self._rows(versions, targets)
        origins = {}
        for version in versions:
            origin = self._origin(version, targets[version.id], rows, final=final)
            if origin is None:
                origin = await self._resolved(version, rows)
            origins[version.id] = origin
        return origins

    async def _rows(self, versions: Sequence[ModelVersion], targets: dict[SourceId, Target]) -> Rows:
        wanted: dict[str, set[SourceId]] = {"run": {version.run_id for version in versions if version.run_id}}
        for found in targets.values():
            wanted.setdefault(found.kind, set()).add(found.id)
        return {kind: await self._pair.ledger.rows(kind, ids) for kind, ids in wanted.items() if kind != "elsewhere"}

    def _origin(self, version: ModelVersion, to: Target, rows: Rows, *, final: bool) -> Origin | None:
        """Return the origin, or ``None`` for a reference to a version that is gone."""
        run = rows["run"].get(version.run_id)
        run_id = run.dst_id if run and run.dst_id else ""
        row = rows.get(to.kind, {}).get(to.id)
        if row is not None and row.dst_id is None and to.kind != "model_version":
            words = to.kind.replace("_", " ")
            problem = ObjectError(
                f"{words} not moved", f"The {words} {to.id} that this version points to was not moved."
            )
            return Origin("", problem=problem)
        if to.kind == "elsewhere":
            return _elsewhere(version, run_id)
        if to.kind == "model_version":
            if row is not None and row.dst_id is not None:
                return Origin(f"models:/{row.dst_id}", run_id)
            return None if final else Origin("", run_id, waits=True)
        if row is None or row.dst_id is None:
            return _gone(version, to)
        if to.kind == "logged_model":
            return Origin(f"models:/{row.dst_id}", run_id, row.dst_id)
        if version.source.startswith("runs:/"):
            return Origin(f"runs:/{row.dst_id}/{to.path}", row.dst_id)
        return Origin(f"{row.dst_location}/{to.path}".rstrip("/"), row.dst_id)

    async def _resolved(self, version: ModelVersion, rows: Rows) -> Origin:
        """Follow a reference to a version that is gone to the files themselves."""
        params = {"name": version.name, "version": version.version}
        try:
            found = await self._pair.source.get("model-versions/get-download-uri", _DownloadUri, params)
        except CallError:
            found = _DownloadUri()
        to = target(found.artifact_uri)
        if found.artifact_uri:
            known = await self._pair.ledger.rows(to.kind, [to.id])
            stored = msgspec.structs.replace(version, source=found.artifact_uri)
            origin = self._origin(stored, to, rows | {to.kind: rows.get(to.kind, {}) | known}, final=True)
            if origin is not None:
                remark = Remark("promoted from a version that is gone", version.source)
                return replace(origin, remarks=(*origin.remarks, remark))
        return _gone(version, Target("model_version", SourceId(version.source)))


def _target(version: ModelVersion) -> Target:
    found = target(version.source)
    if found.kind == "elsewhere" and version.model_id:
        return Target("logged_model", version.model_id)
    return found


def _elsewhere(version: ModelVersion, run_id: str) -> Origin:
    if version.source.startswith(SHARED_SCHEMES):
        remark = Remark("files outside MLflow", f"{version.source}: left where they are")
        return Origin(version.source, run_id, remarks=(remark,))
    return Origin(GONE, run_id, remarks=(Remark("files out of reach", f"{version.source}, kept as a tag"),))


def _gone(version: ModelVersion, to: Target) -> Origin:
    remark = Remark("source of a version is gone", f"{version.source}, kept as a tag")
    if to.kind == "run":
        # MLflow takes any run here as long as source and run agree, so the version keeps saying where it came from.
        return Origin(f"runs:/{to.id}/{to.path}", to.id, remarks=(remark,))
    return Origin(GONE, remarks=(remark,))
