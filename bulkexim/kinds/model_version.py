"""Model versions: one serial lane for each model, so that every version keeps its own number."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import msgspec

from bulkexim.errors import CallError, NotFound, ObjectError, Refused
from bulkexim.http.retry import Repeat
from bulkexim.ids import MARKER_TAG, DestinationId, MadeFrom, SourceId, marker
from bulkexim.kinds.base import Draft, Estimate, Filled, Kind, Placed, Recovered, Remnant
from bulkexim.kinds.case import Case
from bulkexim.kinds.columns import (
    DESCRIPTION,
    RUN_ID,
    RUN_LINK,
    SOURCE,
    Form,
    cut,
    is_for_text,
    lengths,
    missing,
    whole_or_cut,
)
from bulkexim.kinds.registered_model import RegisteredModelKind
from bulkexim.kinds.scope import Pair, chosen
from bulkexim.kinds.sizes import create, set_each
from bulkexim.kinds.version_source import Choice, Sources, outcome
from bulkexim.kinds.version_translation import VersionPlan, translated
from bulkexim.kinds.version_values import (
    GAP_TAG,
    MODEL_TAG,
    NUMBER_LOST,
    NUMBER_TAKEN,
    SOURCE_TAG,
    ModelVersion,
    came_from,
    model_versions,
    versions_by_page,
    versions_of,
)
from bulkexim.kinds.wire import (
    Tag,
    gone_tags,
    marks,
    provenance_of,
    tag_value,
)
from bulkexim.ledger.schema import Row
from bulkexim.left_behind import LeftBehind

CREATION_TAG = "bulkexim.source.creation_timestamp"
#: Stands in a number that was deleted at the source until the next version is there.
GAP_SOURCE = "s3://bulkexim/gap"
#: Versions of a page where one model is read again while others are.
FEW = 250
#: Numbers in a row that are filled up; each takes two calls, and a server may claim any number.
WIDEST_GAP = 100_000

NUMBER_REMEDY = (
    "If others register there, give the model another name with --model-rename-file; if not, 'bulkexim sweep' shows "
    "the model and removes it with --yes, so that the next run makes all of its versions anew."
)


class _One(msgspec.Struct, frozen=True):
    model_version: ModelVersion


#: A version that was created, and whether the call held all of its tags.
Made = tuple[ModelVersion, bool]


class ModelVersionKind(Kind[ModelVersion, VersionPlan]):
    """The versions of the selected models."""

    name: ClassVar[str] = "model_version"
    kept: ClassVar[tuple[str, ...]] = ("creation and update time", "user", "source and run as they were")

    def __init__(self, pair: Pair, models: RegisteredModelKind) -> None:
        self._pair = pair
        self._models = models
        self._sources = Sources(pair)
        #: Characters of a tag that the destination takes.
        self._longest = lengths(pair.destination.capabilities).version_tag
        self._case = Case(pair.destination)
        #: Versions that were created and not filled yet, and what the destination said to their own source.
        self._made: dict[SourceId, tuple[ModelVersion, str]] = {}
        #: Highest number at the destination, placeholders included, by model.
        self._highest: dict[str, int] = {}
        #: Numbers of placeholders that stand at the destination, by model.
        self._gaps: dict[str, set[int]] = {}
        #: Pages that the listing of all models took.
        self._pages = 1

    async def pages(self) -> AsyncIterator[Sequence[ModelVersion]]:
        patterns = self._pair.settings.models
        number = 0
        async for page in model_versions(self._pair.source):
            number += 1
            self._pages = max(self._pages, number)
            rows = await self._pair.ledger.rows(RegisteredModelKind.name, {SourceId(found.name) for found in page})
            # A version whose model was not listed is a prompt's: those are counted elsewhere.
            yield [found for found in page if SourceId(found.name) in rows and chosen(patterns, found.name)]

    def made_from(self, value: ModelVersion) -> MadeFrom:
        return provenance_of(value.tags, MODEL_TAG, SOURCE_TAG, created=CREATION_TAG)

    async def again(self, ids: Sequence[SourceId]) -> AsyncIterator[Sequence[ModelVersion]]:
        wanted = set(ids)
        names = sorted({src_id.rpartition("/")[0] for src_id in ids})
        # Of many models all are listed together, where that takes fewer requests.
        alone = len(names) <= self._pages
        listings = [versions_by_page(self._pair.source, name, FEW) for name in names] if alone else [self.pages()]
        for listing in listings:
            async for page in listing:
                yield [found for found in page if found.id in wanted]

    async def drafts(self, values: Sequence[ModelVersion], *, final: bool) -> Sequence[Draft[VersionPlan]]:
        models = await self._pair.ledger.rows(RegisteredModelKind.name, {SourceId(value.name) for value in values})
        origins = await self._sources.of(values, final=final)
        return [
            translated(value, models.get(SourceId(value.name)), origins[value.id], self._longest) for value in values
        ]

    async def find(self, draft: Draft[VersionPlan], mark: str) -> Placed | None:
        # One with the marker and another number is not the version; it fails as one whose number is taken.
        return await self._arrived(_moved(draft), draft.value.version.number, mark)

    async def _numbers(self, model: str) -> list[ModelVersion]:
        found = await versions_of(self._pair.destination, model)
        self._highest[model] = found[-1].number if found else 0
        self._gaps[model] = {version.number for version in found if tag_value(version.tags, GAP_TAG)}
        return found

    async def create(self, draft: Draft[VersionPlan], mark: str) -> Placed:
        plan, model = draft.value, _moved(draft)
        await self._case.check("tags", (tag.key for tag in plan.tags))
        wanted = plan.version.number
        if plan.origin.problem is not None:
            raise plan.origin.problem
        if model not in self._highest:
            if model in self._models.born:
                self._highest[model] = 0
            else:
                await self._numbers(model)
        if self._highest[model] >= wanted:
            if arrived := await self._arrived(model, wanted, mark):
                return arrived
            raise ObjectError(
                NUMBER_TAKEN,
                f"The destination has version {self._highest[model]} of {model!r}, so {wanted} cannot be given.",
                NUMBER_REMEDY,
            )
        if wanted - self._highest[model] > WIDEST_GAP:
            raise ObjectError(
                "version number out of reach",
                f"{model!r} goes from version {self._highest[model]:,} to {wanted:,}: too many to fill up in between.",
                "Check whether the source really has this number.",
            )
        for number in range(self._highest[model] + 1, wanted):
            await self._fill_gap(model, number, mark)
        (created, whole), refusal = await self._registered(model, plan, marks(mark, draft.digest))
        if created.number != wanted:
            await self._take_back(model, created.version)
            if arrived := await self._arrived(model, wanted, mark):
                return arrived
            raise _number_lost(model, wanted, created.version)
        self._made[draft.id] = created, refusal
        return _placed(created)._replace(whole=whole)

    async def foreseen(self, drafts: Sequence[Draft[VersionPlan]]) -> Mapping[SourceId, ObjectError]:
        return {draft.id: problem for draft in drafts if (problem := _obstacle(draft)) is not None}

    async def _registered(self, model: str, plan: VersionPlan, own: Sequence[Tag]) -> tuple[Made, str]:
        """Create a version with the best source that the destination takes; return what it said to the very best."""
        refusal: Refused | None = None
        for choice in plan.origin.all:
            post = partial(self._post_version, model, plan, choice, own)
            try:
                made = await whole_or_cut(post, cuttable=plan.cuttable)
            except Refused as error:
                if not (is_for_text(error) or isinstance(error, NotFound)):
                    raise
                refusal = refusal or error
            else:
                return made, refusal.problem if refusal else ""
        raise refusal or Refused("Nothing can be the source of this version.")

    async def _post_version(
        self, model: str, plan: VersionPlan, choice: Choice, own: Sequence[Tag], form: Form
    ) -> Made:
        body = {
            "source": form.text(choice.source, SOURCE),
            "run_id": form.text(choice.run_id, RUN_ID),
            "model_id": choice.model_id,
            "run_link": form.text(plan.version.run_link, RUN_LINK),
            "description": form.text(plan.version.description, DESCRIPTION),
        }
        tags = [*form.tags(plan.tags, self._longest), *own]
        return await self._post(model, tags, body, bare=form is Form.CUT or not plan.cuttable)

    async def _arrived(self, model: str, wanted: int, mark: str) -> Placed | None:
        """Find the version under its own number: an earlier create may have been carried out after all."""
        found = await self._numbers(model)
        ours = (version for version in found if tag_value(version.tags, MARKER_TAG) == mark)
        return next((_placed(version) for version in ours if version.number == wanted), None)

    async def _post(self, model: str, tags: Sequence[Tag], fields: Mapping[str, str], *, bare: bool) -> Made:
        body, path, to = {"name": model, **fields}, "model-versions/create", self._pair.destination
        try:
            reply, whole = await create(to, path, body, _One, tags=tags, bare=bare, repeat=Repeat.ONCE)
        except Refused:
            raise  # No number was taken.
        except CallError:
            self._highest.pop(model, None)
            raise
        self._highest[model] = reply.model_version.number
        return reply.model_version, whole

    async def _fill_gap(self, model: str, number: int, mark: str) -> None:
        """Take a number that was deleted at the source, so that the next one is right.

        The placeholder goes when that next one is there: until then it keeps the highest number visible.
        """
        created, _ = await self._post(model, [Tag(GAP_TAG, mark)], {"source": GAP_SOURCE}, bare=False)
        if created.number != number:
            await self._take_back(model, created.version)
            raise _number_lost(model, number, created.version)
        self._gaps.setdefault(model, set()).add(number)

    async def _close_gaps(self, model: str, below: int) -> None:
        for number in sorted(gap for gap in self._gaps.get(model, ()) if gap < below):
            await self._delete(model, str(number))
            self._gaps[model].discard(number)

    async def _take_back(self, model: str, version: str) -> None:
        """Delete a version that was created a moment ago and got a number that is not its own."""
        await self._delete(model, version)
        self._highest.pop(model, None)

    async def _delete(self, model: str, version: str) -> None:
        await self._pair.destination.remove("DELETE", "model-versions/delete", {"name": model, "version": version})

    async def fill(self, draft: Draft[VersionPlan], row: Row, details: Any, *, fresh: bool) -> Filled:
        version = draft.value.version
        model, number = _named(row)
        made, refusal = self._made.pop(draft.id, (None, ""))
        refused: list[LeftBehind] = []
        if made is None or not fresh:
            made, refused = await self._refresh(draft, row, model, number)
        remarks, left = outcome(version, draft.value.origin, made, refusal)
        await self._close_gaps(model, int(number))
        if version.current_stage != made.current_stage:
            body = {
                "name": model,
                "version": number,
                "stage": version.current_stage,
                "archive_existing_versions": False,
            }
            await self._pair.destination.send("POST", "model-versions/transition-stage", body)
        return Filled(0, tuple(remarks), (*left, *refused))

    async def _refresh(
        self, draft: Draft[VersionPlan], row: Row, model: str, number: str
    ) -> tuple[ModelVersion, list[LeftBehind]]:
        """Write what `create` would have written, but for what nothing can change; return the version as it was."""
        destination = self._pair.destination
        found = await self._numbers(model)
        existing = next((version for version in found if version.version == number), None)
        if existing is None:
            raise ObjectError(
                "gone at the destination", f"Version {number} of {model!r} was deleted at the destination."
            )
        description = draft.value.version.description
        mark = marker(self._pair.source.identity, self.name, draft.id)

        async def describe(form: Form) -> None:
            body = {"name": model, "version": number, "description": form.text(description, DESCRIPTION)}
            await destination.send("PATCH", "model-versions/update", body)

        async def set_tag(tag: Tag) -> None:
            body = {"name": model, "version": number, "key": tag.key, "value": tag.value}
            await destination.send("POST", "model-versions/set-tag", body)

        if existing.description not in (description, cut(description, DESCRIPTION)):
            await whole_or_cut(describe, cuttable=True)
        tags = missing((*draft.value.tags, *marks(mark, draft.digest)), existing.tags, self._longest)
        left = await set_each(tags, set_tag, self._longest)
        for key in gone_tags(row.written, draft.value.tags, existing.tags):
            body = {"name": model, "version": number, "key": key}
            await destination.remove("DELETE", "model-versions/delete-tag", body)
        return existing, left

    async def seal(self, draft: Draft[VersionPlan], row: Row) -> None:
        """Nothing is left to do: a version is READY from the start."""

    async def recover(self) -> AsyncIterator[Sequence[Recovered]]:
        if not await self._pair.ledger.in_thread(self._pair.ledger.known, RegisteredModelKind.name):
            return
        async for page in model_versions(self._pair.destination):
            yield [found for version in page if (found := self._recovered(version)) is not None]

    def _recovered(self, version: ModelVersion) -> Recovered | None:
        src_id = came_from(version, self._pair.source.identity)
        if src_id is None:
            return None
        # Only one that got a number of its own is the object itself; see `create`.
        complete = src_id.endswith(f"/{version.version}")
        return Recovered(
            src_id, f"{version.name} version {version.version}", DestinationId(version.id), "", "", complete
        )

    async def remnants(self) -> AsyncIterator[Sequence[Remnant]]:
        """Yield placeholders whose version stands there already, or will never come."""
        ours = set(await self._pair.ledger.placed(RegisteredModelKind.name))
        placeholders: dict[str, list[tuple[str, str]]] = {}
        async for page in model_versions(self._pair.destination):
            for version in page:
                if version.name in ours and (mark := tag_value(version.tags, GAP_TAG)):
                    placeholders.setdefault(version.name, []).append((version.version, mark))
        # A tenant has few models with gaps, and far more versions than may be held.
        for model, gaps in placeholders.items():
            coming = await self._coming(model)
            yield [
                Remnant(DestinationId(f"{model}/{number}"), f"{model} version {number}", "a placeholder")
                for number, mark in gaps
                if mark not in coming
            ]

    async def _coming(self, model: str) -> set[str]:
        """Return the markers of the versions of a model that the source has and the destination has not."""
        name = await self._pair.ledger.source_id(RegisteredModelKind.name, DestinationId(model))
        there = {tag_value(version.tags, MARKER_TAG) for version in await versions_of(self._pair.destination, model)}
        identity = self._pair.source.identity
        listed = await versions_of(self._pair.source, name) if name else []
        return {marker(identity, self.name, version.id) for version in listed} - there

    async def discard(self, dst_id: DestinationId) -> None:
        model, _, number = dst_id.rpartition("/")
        await self._delete(model, number)

    async def estimate(self, drafts: Sequence[Draft[VersionPlan]]) -> Estimate:
        writes = 0
        last: dict[str, int] = {}
        for draft in drafts:
            version = draft.value.version
            gap = version.number - last.get(version.name, version.number - 1) - 1
            last[version.name] = version.number
            writes += 1 + 2 * gap + (version.current_stage != "None")
        return Estimate(0, writes)


def _moved(draft: Draft[VersionPlan]) -> str:
    if draft.value.model is None:
        raise _not_moved(draft)
    return draft.value.model


def _not_moved(draft: Draft[VersionPlan]) -> ObjectError:
    return ObjectError("model not moved", f"The registered model {draft.value.version.name!r} was not moved.")


def _obstacle(draft: Draft[VersionPlan]) -> ObjectError | None:
    """Return why a version cannot be created, as far as that is known beforehand."""
    return _not_moved(draft) if draft.value.model is None else draft.value.origin.problem


def _placed(version: ModelVersion) -> Placed:
    return Placed(DestinationId(version.id))


def _named(row: Row) -> tuple[str, str]:
    name, _, number = str(row.dst_id).rpartition("/")
    return name, number


def _number_lost(model: str, wanted: int, given: str) -> ObjectError:
    return ObjectError(
        NUMBER_LOST,
        f"The destination gave {model!r} version {given} where {wanted} was due.",
        NUMBER_REMEDY,
    )
