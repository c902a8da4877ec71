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
from bulkexim.kinds.version_references import References
from bulkexim.kinds.version_values import ModelVersion, Target, target
from bulkexim.ledger.schema import Row
from bulkexim.left_behind import Cause, LeftBehind

#: Source of a version whose own is refused: accepted everywhere, leading nowhere.
GONE = "s3://bulkexim/gone"
#: What only the server itself can resolve: its artifact service, its own disk, its runs and models.
_OF_THE_SERVER = re.compile(
    r"mlflow-artifacts:/(?!/[^/])|file:|runs:/|models:/|[A-Za-z]:[\\/]|(?![A-Za-z][A-Za-z0-9+.-]*:)"
)

#: Since then a server follows a source in its registry when a version is created: a stage, an alias or "latest" fails
#: with 500, and from 3.17 a number is put in its place (MLflow pull request 10078, ``server/handlers.py``).
FOLLOWS_REFERENCES = (2, 8)

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
    them. ``waits`` is a version to which it points and which may still come. ``earlier`` is what an earlier release
    would have written, if it is as good. ``meant`` is the version that a stage, an alias or "latest" means at the
    source at present; nothing where the source says it by its number.
    """

    choices: tuple[Choice, ...] = ()
    leads: bool = False
    lost: str = ""
    waits: SourceId | None = None
    remarks: tuple[Remark, ...] = ()
    problem: ObjectError | None = None
    earlier: Choice | None = None
    meant: tuple[str, ...] = ()

    @property
    def best(self) -> Choice:
        """The first choice."""
        return self.choices[0] if self.choices else Choice("")

    @property
    def all(self) -> list[Choice]:
        """Every choice, and at last those that any destination takes."""
        return list(dict.fromkeys((*self.choices, Choice(GONE, self.best.run_id), Choice(GONE))))


class Sources:
    """Translates the sources of versions with the ids that the ledger knows."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._references = References(pair.source)
        self._empty: dict[str, bool] = {}

    async def of(self, versions: Sequence[ModelVersion], *, final: bool) -> dict[SourceId, Origin]:
        """Return the origin of each version; when ``final``, a version to which it points will not come any more."""
        targets = {version.id: _target(version) for version in versions}
        rows = await self._rows(versions, targets)
        origins = {}
        for version in versions:
            try:
                origin = await self._of(version, targets[version.id], rows, final=final)
            except CallError as error:
                origin = Origin(problem=error)
            if origin.lost and await self._is_empty(version.source):
                remark = Remark("source of a version leads nowhere", f"{version.source}: the source has no files there")
                origin = replace(origin, lost="", remarks=(*origin.remarks, remark))
            origins[version.id] = origin
        return origins

    async def _of(self, version: ModelVersion, to: Target, rows: Rows, *, final: bool) -> Origin:
        if to.kind == "registered_model":
            return await self._referring(version, to, rows, final=final)
        return self._origin(version, to, rows, final=final) or await self._resolved(version, to, rows)

    async def _referring(self, version: ModelVersion, to: Target, rows: Rows, *, final: bool) -> Origin:
        """Return the origin of a version that names another one by a stage, an alias, or as the latest.

        It is tried as it is, with the name that the model has there, and then the version that it means at present. A
        server that would follow it gets that version at once: while others are still to come, it may mean another one.
        """
        model, run = rows[to.kind].get(to.id), rows["run"].get(version.run_id)
        given = version.run_id if run is None else run.dst_id or ""
        meant = await self._references.meant(to)
        as_it_is: tuple[Choice, ...] = ()
        # Not of a model that was not moved: there, another one may have taken its name.
        keeps = self._pair.destination.capabilities.version < FOLLOWS_REFERENCES
        if keeps and model is not None and model.dst_id is not None:
            source = f"models:/{model.dst_id}{to.path}"
            as_it_is = (Choice(source, given), Choice(source))
        if meant is None:
            if not as_it_is:
                return await self._resolved(version, to, rows)
            remark = Remark("source of a version leads nowhere", f"{version.source}: it means no version of the source")
            return Origin(as_it_is, remarks=(remark,))
        one = Target("model_version", meant)
        there = await self._pair.ledger.rows(one.kind, [one.id])
        name, _, number = meant.rpartition("/")
        found = None
        if name != version.name or int(number) < version.number:  # Else it comes later than this one.
            found = self._origin(version, one, rows | {one.kind: there}, final=final)
        found = found or await self._resolved(version, to, rows)
        if found.problem is not None:
            return found
        choices = tuple(dict.fromkeys((*as_it_is, *(() if found.waits else found.choices))))
        return replace(found, choices=choices, leads=found.leads or bool(as_it_is), earlier=None, meant=(meant,))

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
            if needed is not None and needed.dst_id is None and kind not in ("model_version", "registered_model"):
                return _not_moved(kind, needed.src_id)
        # A run that the source does not have either is named as it is named there.
        given = version.run_id if run is None else run.dst_id or ""
        if row is not None and row.dst_id is not None:
            return _moved(version, to, row, given)
        if to.kind == "model_version":
            return None if final else Origin((Choice("", given),), waits=to.id)
        return self._elsewhere(version, to, given)

    def _elsewhere(self, version: ModelVersion, to: Target, given: str) -> Origin:
        """Return the origin of a version whose files were not brought by anything that was moved."""
        kept = (Choice(version.source, given),)
        if not _OF_THE_SERVER.match(version.source):
            remark = Remark("files outside MLflow", f"{version.source}: left where they are")
            return Origin(kept, leads=True, remarks=(remark,), earlier=Choice(version.source, given))
        if to.kind == "logged_model" and "logged_model" in self._pair.settings.without:
            return Origin((Choice(GONE, given),), lost="the logged model was left out (--without logged_model)")
        if to.kind == "logged_model" and not self._pair.source.capabilities.shows_deleted_logged_models:
            return Origin(kept, lost="it is deleted or gone, and the source, MLflow before 3.7, does not show which")
        if version.source.startswith(("runs:/", "models:/")):
            what = to.kind.replace("_", " ")
            return Origin(kept, remarks=(Remark("source of a version leads nowhere", _nowhere(version, what)),))
        return Origin(kept, lost="it is a place of the source server that belongs to nothing that was moved")

    async def _resolved(self, version: ModelVersion, to: Target, rows: Rows) -> Origin:
        """Follow a reference to a version that was not moved, or is gone, to the files themselves."""
        place = await self._references.place(version)
        if place:
            of_files = target(place)
            known = await self._pair.ledger.rows(of_files.kind, [of_files.id])
            stored = msgspec.structs.replace(version, source=place)
            origin = self._origin(
                stored, of_files, rows | {of_files.kind: rows.get(of_files.kind, {}) | known}, final=True
            )
            if origin is not None:
                what = "promoted from a version that is not moved, or gone"
                return replace(origin, remarks=(*origin.remarks, Remark(what, version.source)))
        run = rows["run"].get(version.run_id)
        # Not as it is: another model may have taken that name at the destination.
        nowhere = Origin((Choice(GONE, run.dst_id or "" if run else version.run_id),))
        if await self._references.meant(to) is not None:
            return replace(nowhere, lost="the version that it names was not moved, or comes after it")
        remark = Remark("source of a version leads nowhere", _nowhere(version, "model version"))
        return replace(nowhere, remarks=(remark,))


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
    said = f" ({refusal})" if refusal else ""
    if origin.leads and made.source not in {choice.source for choice in origin.choices}:
        detail = f"the version points to {made.source}, which MLflow cannot change; a tag keeps this one"
        if made.source == GONE:
            detail = f"the destination refuses it{said}; the version points nowhere, and a tag keeps it"
        elif refusal:
            detail = f"the destination refuses it{said}; the version has a part of it, and a tag keeps it"
        elif origin.meant:
            detail = (
                f"it means {origin.meant[0]} by now; the version points to {made.source}, which MLflow cannot change"
            )
        left.append(LeftBehind(Cause.VERSION_SOURCE, f"{version.source}: {detail}"))
    elif origin.meant and target(made.source).kind != "registered_model" and made.source != GONE:
        detail = f"{version.source}: the destination keeps no such reference{said}; it points to {made.source}"
        remarks.append(Remark("source of a version fixed to what it means at present", detail))
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
