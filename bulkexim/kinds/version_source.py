"""Where the files of a model version will be found at the destination.

A version gets the source that it has, with the ids of the destination; only where the destination refuses that, it gets
another one that leads to the same files, and at last one that leads nowhere, so that its number is not lost.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec

from bulkexim.artifacts.places import proxied_root, serviced
from bulkexim.errors import CallError, ObjectError
from bulkexim.ids import SourceId
from bulkexim.kinds.base import Remark
from bulkexim.kinds.columns import RUN_ID, cut
from bulkexim.kinds.scope import Pair
from bulkexim.kinds.version_values import ModelVersion, Target, target
from bulkexim.ledger.schema import Row
from bulkexim.left_behind import Cause, LeftBehind

#: Source of a version whose own is refused: accepted everywhere, leading nowhere.
GONE = "s3://bulkexim/gone"
#: What only the server itself can resolve: its artifact service, its own disk, its runs and models.
_OF_THE_SERVER = re.compile(
    r"mlflow-artifacts:/(?!/[^/])|file:|runs:/|models:/|[A-Za-z]:[\\/]|(?![A-Za-z][A-Za-z0-9+.-]*:)"
)

Rows = dict[str, dict[SourceId, Row]]


class Choice(NamedTuple):
    """A source, with the run and the logged model that a version gets with it."""

    source: str
    run_id: str = ""
    model_id: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a version may get, best first; a later choice is for a destination that refuses the earlier ones.

    ``leads`` says that the choices lead to the files of the version, ``lost`` why they do not although the source has
    them. ``waits`` while something that it points to may still come. ``earlier`` is what an earlier release would have
    written, if it is as good.
    """

    choices: tuple[Choice, ...] = ()
    leads: bool = False
    lost: str = ""
    waits: bool = False
    remarks: tuple[Remark, ...] = ()
    problem: ObjectError | None = None
    earlier: Choice | None = None

    @property
    def best(self) -> Choice:
        """The first choice."""
        return self.choices[0] if self.choices else Choice("")

    @property
    def all(self) -> list[Choice]:
        """Every choice, and at last those that any destination takes."""
        return list(dict.fromkeys((*self.choices, Choice(GONE, self.best.run_id), Choice(GONE))))


class _DownloadUri(msgspec.Struct, frozen=True):
    artifact_uri: str = ""


class Sources:
    """Translates the sources of versions with the ids that the ledger knows."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._empty: dict[str, bool] = {}

    async def of(self, versions: Sequence[ModelVersion], *, final: bool) -> dict[SourceId, Origin]:
        """Return the origin of each version; when ``final``, a version to which it points will not come any more."""
        targets = {version.id: _target(version) for version in versions}
        rows = await self._rows(versions, targets)
        origins = {}
        for version in versions:
            origin = self._origin(version, targets[version.id], rows, final=final)
            if origin is None:
                origin = await self._resolved(version, rows)
            if origin.lost and await self._is_empty(version.source):
                remark = Remark("source of a version leads nowhere", f"{version.source}: the source has no files there")
                origin = replace(origin, lost="", remarks=(*origin.remarks, remark))
            origins[version.id] = origin
        return origins

    async def _is_empty(self, source: str) -> bool:
        """Return whether the artifact service of the source has no file at a place; each is asked for once."""
        if source not in self._empty:
            root = proxied_root(source)
            try:
                self._empty[source] = bool(root) and not await serviced(self._pair.source, root or "").entries("")
            except ObjectError:
                self._empty[source] = False
        return self._empty[source]

    async def _rows(self, versions: Sequence[ModelVersion], targets: dict[SourceId, Target]) -> Rows:
        wanted: dict[str, set[SourceId]] = {"run": {version.run_id for version in versions if version.run_id}}
        for found in targets.values():
            wanted.setdefault(found.kind, set()).add(found.id)
        return {kind: await self._pair.ledger.rows(kind, ids) for kind, ids in wanted.items() if kind != "elsewhere"}

    def _origin(self, version: ModelVersion, to: Target, rows: Rows, *, final: bool) -> Origin | None:
        """Return the origin, or ``None`` for a reference to a version that is gone."""
        row, run = rows.get(to.kind, {}).get(to.id), rows["run"].get(version.run_id)
        for kind, needed in ((to.kind, row), ("run", run)):
            if needed is not None and needed.dst_id is None and kind != "model_version":
                return _not_moved(kind, needed.src_id)
        # A run that the source does not have either is named as it is named there.
        given = version.run_id if run is None else run.dst_id or ""
        if row is not None and row.dst_id is not None:
            return _moved(version, to, row, given)
        if to.kind == "model_version":
            return None if final else Origin((Choice("", given),), waits=True)
        return self._elsewhere(version, to, given)

    def _elsewhere(self, version: ModelVersion, to: Target, given: str) -> Origin:
        """Return the origin of a version whose files were not brought by anything that was moved."""
        kept = (Choice(version.source, given),)
        if not _OF_THE_SERVER.match(version.source):
            remark = Remark("files outside MLflow", f"{version.source}: left where they are")
            return Origin(kept, leads=True, remarks=(remark,), earlier=Choice(version.source, given))
        if to.kind == "logged_model" and "logged_model" in self._pair.settings.without:
            return Origin((Choice(GONE, given),), lost="the logged model was left out (--without logged_model)")
        if version.source.startswith(("runs:/", "models:/")):
            what = to.kind.replace("_", " ")
            return Origin(kept, remarks=(Remark("source of a version leads nowhere", _nowhere(version, what)),))
        return Origin(kept, lost="it is a place of the source server that belongs to nothing that was moved")

    async def _resolved(self, version: ModelVersion, rows: Rows) -> Origin:
        """Follow a reference to a version that is gone to the files themselves."""
        params = {"name": version.name, "version": version.version}
        try:
            found = await self._pair.source.get("model-versions/get-download-uri", _DownloadUri, params)
        except CallError:
            found = _DownloadUri()
        to = target(found.artifact_uri)
        if found.artifact_uri and to.kind != "model_version":
            known = await self._pair.ledger.rows(to.kind, [to.id])
            stored = msgspec.structs.replace(version, source=found.artifact_uri)
            origin = self._origin(stored, to, rows | {to.kind: rows.get(to.kind, {}) | known}, final=True)
            if origin is not None:
                remark = Remark("promoted from a version that is gone", version.source)
                return replace(origin, remarks=(*origin.remarks, remark))
        # Not as it is: another model may have taken that name at the destination.
        remark = Remark("source of a version leads nowhere", _nowhere(version, "model version"))
        run = rows["run"].get(version.run_id)
        return Origin((Choice(GONE, run.dst_id or "" if run else version.run_id),), remarks=(remark,))


def left_of(version: ModelVersion, origin: Origin) -> tuple[LeftBehind, ...]:
    """Return what is known to stay behind before anything is written."""
    if not origin.lost:
        return ()
    return (LeftBehind(Cause.VERSION_SOURCE, f"{version.source}: {origin.lost}"),)


def outcome(
    version: ModelVersion, origin: Origin, made: ModelVersion, refusal: str
) -> tuple[list[Remark], list[LeftBehind]]:
    """Return what became of a source, and of the run; ``refusal`` is what the destination said to the first choice."""
    remarks, left = [], []
    if origin.leads and made.source not in {choice.source for choice in origin.choices}:
        became = "points nowhere" if made.source == GONE else "has a part of it"
        said = f" ({refusal})" if refusal else ""
        detail = f"{version.source}: the destination refuses it{said}; the version {became}, and a tag keeps it"
        left.append(LeftBehind(Cause.VERSION_SOURCE, detail))
    if made.run_id not in (origin.best.run_id, cut(origin.best.run_id, RUN_ID)):
        ids = f"{made.run_id or 'no run'} in place of {origin.best.run_id or 'none'}"
        remarks.append(Remark("run of a version set by the destination", f"{ids}: there the source says which it is"))
    return remarks, left


def _target(version: ModelVersion) -> Target:
    found = target(version.source)
    if found.kind == "elsewhere" and version.model_id:
        return Target("logged_model", version.model_id)
    return found


def _moved(version: ModelVersion, to: Target, row: Row, given: str) -> Origin:
    """Return the origin of a version that points to something which is at the destination."""
    there, place = row.dst_id or "", f"{row.dst_location}/{to.path}".rstrip("/")
    choices: tuple[Choice, ...]
    if to.kind == "model_version":
        # From 3.17 the run must be that of the other version, which is what a call without one gets.
        choices = (Choice(f"models:/{there}", given), Choice(f"models:/{there}"))
    elif to.kind == "logged_model":
        source = place if to.path else f"models:/{there}"
        choices = (Choice(source, given, there), Choice(place, given, there))
    else:
        by_run = Choice(f"runs:/{there}/{to.path}", there)
        source = by_run.source if version.source.startswith("runs:/") else place
        # From 3.17 a source inside a run takes that run, and no other.
        choices = (Choice(source, given), Choice(source, there), by_run)
    return Origin(tuple(dict.fromkeys(choices)), leads=True, earlier=choices[1 if to.kind == "run" else 0])


def _not_moved(kind: str, src_id: str) -> Origin:
    words = kind.replace("_", " ")
    problem = ObjectError(f"{words} not moved", f"The {words} {src_id} that this version points to was not moved.")
    return Origin(problem=problem)


def _nowhere(version: ModelVersion, what: str) -> str:
    return f"{version.source}: the source does not have this {what} either"
