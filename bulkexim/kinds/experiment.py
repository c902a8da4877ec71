"""Experiments: found again by name, sealed (and deleted, where they are deleted at the source) after their runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import msgspec

from bulkexim.ends.server import Server
from bulkexim.errors import NotFound, ObjectError
from bulkexim.ids import IDENTITY_TAG, MARKER_TAG, DestinationId, MadeFrom, SourceId, marker
from bulkexim.kinds.base import Draft, Estimate, Filled, Kind, Placed, Recovered, Remark
from bulkexim.kinds.case import Case
from bulkexim.kinds.columns import (
    EXPERIMENT_NAME,
    Form,
    Text,
    copies,
    lengths,
    missing,
    told,
    unfit,
    unfit_tags,
    whole_or_cut,
)
from bulkexim.kinds.naming import check_exact, names, under_a_name
from bulkexim.kinds.one_name import Names
from bulkexim.kinds.scope import Pair, renamed
from bulkexim.kinds.sizes import create, set_each
from bulkexim.kinds.wire import (
    Tag,
    content_digest,
    earlier_digest,
    gone_tags,
    key_list,
    marks,
    provenance,
    provenance_of,
    tag_value,
    users_tags,
)
from bulkexim.ledger.schema import Row, State
from bulkexim.left_behind import LeftBehind

PAGE = 1000
#: The experiment that every server has from the start.
DEFAULT_ID = "0"
SOURCE_TAG = "bulkexim.source.experiment_id"
CREATION_TAG = "bulkexim.source.creation_time"
#: Says for which object of which source the experiment was created, by its marker; one that was joined before any
#: migration does not have it, and one that another source joined later keeps it.
CREATED_TAG = "bulkexim.created"


#: The experiment that every server has, and joins with that of every other.
DEFAULT = "Default"
DEFAULT_DELETED = Remark(
    f"{DEFAULT} is deleted at the source", f"the {DEFAULT} of the destination stays as it is; its runs arrive deleted"
)


class Experiment(msgspec.Struct, frozen=True):
    """``experiments/search``; times are in milliseconds since the epoch."""

    experiment_id: SourceId
    name: str
    artifact_location: str = ""
    lifecycle_stage: str = "active"
    creation_time: int | None = None
    last_update_time: int | None = None
    tags: tuple[Tag, ...] = ()

    @property
    def deleted(self) -> bool:
        """Whether the experiment is in the bin."""
        return self.lifecycle_stage == "deleted"


class _Page(msgspec.Struct, frozen=True):
    experiments: tuple[Experiment, ...] = ()
    next_page_token: str | None = None


class _One(msgspec.Struct, frozen=True):
    experiment: Experiment


class _New(msgspec.Struct, frozen=True):
    experiment_id: DestinationId


async def experiments(server: Server, query: str = "", *, deleted: bool = True) -> AsyncIterator[Sequence[Experiment]]:
    """Yield the experiments of a server, oldest id first; with ``deleted``, those in the bin as well.

    A file store keeps deleted experiments in a folder of their own; one that MLflow 1 put there still says that it is
    active. So where the store may be one of files, the listing tells what is deleted, not the experiment.
    """
    if not deleted:
        views = ["ACTIVE_ONLY"]
    elif server.capabilities.database:
        views = ["ALL"]
    else:
        views = ["ACTIVE_ONLY", "DELETED_ONLY"]
    for view in views:
        body = {"max_results": PAGE, "view_type": view, "order_by": ["experiment_id ASC"], "filter": query}
        async for page in server.search("experiments/search", body, _Page, lambda page: page.next_page_token):
            yield [_put_into_bin(found) for found in page.experiments] if view == "DELETED_ONLY" else page.experiments


def _put_into_bin(found: Experiment) -> Experiment:
    return msgspec.structs.replace(found, lifecycle_stage="deleted")


async def experiment(server: Server, experiment_id: str) -> Experiment:
    """Return one experiment, deleted or not (``experiments/get``)."""
    return (await server.get("experiments/get", _One, {"experiment_id": experiment_id})).experiment


async def named_experiment(server: Server, name: str) -> Experiment:
    """Return the experiment of a name, deleted or not (``experiments/get-by-name``)."""
    return (await server.get("experiments/get-by-name", _One, {"experiment_name": name})).experiment


def _taken_by_deleted(name: str) -> ObjectError:
    return ObjectError(
        "name taken",
        f"The destination has a deleted experiment {name!r}.",
        "Restore it, remove it for good (mlflow gc), or give another name with --experiment-rename-file.",
    )


class ExperimentKind(Kind[Experiment, Experiment]):
    """The experiments of a scope."""

    name: ClassVar[str] = "experiment"
    container: ClassVar[bool] = True
    kept: ClassVar[tuple[str, ...]] = ("id", "creation time", "artifact location")

    def __init__(self, pair: Pair, selected: Sequence[Experiment]) -> None:
        self._pair = pair
        self._selected = selected
        #: Characters of a tag that the destination takes.
        self._longest = lengths(pair.destination.capabilities).experiment_tag
        self._case = Case(pair.destination)
        self._names = names_of(pair, selected)

    async def pages(self) -> AsyncIterator[Sequence[Experiment]]:
        for start in range(0, len(self._selected), PAGE):
            yield self._selected[start : start + PAGE]

    async def total(self) -> int:
        return len(self._selected)

    def made_from(self, value: Experiment) -> MadeFrom:
        return made_from(value)

    async def drafts(self, values: Sequence[Experiment], *, final: bool) -> Sequence[Draft[Experiment]]:
        del final
        return [self._draft(value) for value in values]

    def _draft(self, value: Experiment) -> Draft[Experiment]:
        tags = users_tags(value.tags)
        texts = self._texts(value)
        name = renamed(self._pair.settings.experiment_renames, value.name)
        joined = value.deleted and name == DEFAULT
        return Draft(
            id=value.experiment_id,
            name=name,
            value=value,
            digest=content_digest(name, tags, value.lifecycle_stage),
            earlier=partial(earlier_digest, name, tags, value.lifecycle_stage),
            src_location=value.artifact_location,
            remarks=(*told(texts), *((DEFAULT_DELETED,) if joined else ())),
            written=key_list(tag.key for tag in (*tags, *copies(texts, self._longest))),
        )

    def _texts(self, value: Experiment) -> list[Text]:
        name = renamed(self._pair.settings.experiment_renames, value.name)
        return [*unfit(Text("name", name, EXPERIMENT_NAME)), *unfit_tags(users_tags(value.tags), self._longest)]

    def _tags(self, draft: Draft[Experiment], mark: str) -> list[Tag]:
        identity = Tag(IDENTITY_TAG, self._pair.source.identity)
        tags = [*kept_tags(draft.value), *users_tags(draft.value.tags)]
        # A longer one is refused whatever the database.
        short = (Tag(tag.key, tag.value[: self._longest]) for tag in tags)
        # The marker comes first where each tag takes a call: what is kept must never stand there under another's.
        return [*marks(mark, draft.digest), identity, *short, *copies(self._texts(draft.value), self._longest)]

    async def find(self, draft: Draft[Experiment], mark: str) -> Placed | None:
        body = {"max_results": 1, "view_type": "ALL", "filter": f"tags.`{MARKER_TAG}` = '{mark}'"}
        page = await self._pair.destination.post("experiments/search", body, _Page)
        return next((_placed(found) for found in page.experiments), None)

    async def create(self, draft: Draft[Experiment], mark: str) -> Placed:
        # The name is unique, so a repeated create shows itself: this call may safely be sent twice.
        tags, destination = [*self._tags(draft, mark), Tag(CREATED_TAG, mark)], self._pair.destination
        self._names.check(draft.id)
        await self._case.check("tags", (tag.key for tag in tags))
        whole, cuttable = True, bool(self._texts(draft.value))

        async def post(name: str, form: Form) -> Experiment:
            nonlocal whole
            sent = form.tags(tags, self._longest)
            body, bare = {"name": name}, form is Form.CUT or not cuttable
            created, whole = await create(destination, "experiments/create", body, _New, tags=sent, bare=bare)
            return await experiment(destination, created.experiment_id)

        made, existed = await under_a_name(
            draft.name,
            EXPERIMENT_NAME,
            post,
            partial(named_experiment, destination),
            cuttable=cuttable,
            ours=lambda found: tag_value(found.tags, MARKER_TAG) == mark,
        )
        return await self._adopted(draft, made, mark) if existed else _placed(made)._replace(whole=whole)

    async def _adopted(self, draft: Draft[Experiment], existing: Experiment, mark: str) -> Placed:
        if tag_value(existing.tags, MARKER_TAG) != mark:
            check_exact("experiment", draft.name, existing.name, "--experiment-rename-file")
            if existing.deleted:
                raise _taken_by_deleted(draft.name)
            await self._check_joined(draft.id, made_from(existing))
        placed = _placed(existing)
        if existing.deleted:
            return placed
        left = await self._write_tags(placed.id, self._tags(draft, mark), existing.tags)
        return placed._replace(whole=not left)

    async def foreseen(self, drafts: Sequence[Draft[Experiment]]) -> Mapping[SourceId, ObjectError]:
        pages = experiments(self._pair.destination)
        ours = {marker(self._pair.source.identity, self.name, draft.id) for draft in drafts}
        taken = {
            found.name
            async for page in pages
            for found in page
            if found.deleted and tag_value(found.tags, MARKER_TAG) not in ours
        }
        return {draft.id: _taken_by_deleted(draft.name) for draft in drafts if draft.name in taken}

    async def _check_joined(self, src_id: SourceId, there: MadeFrom) -> None:
        """Make sure that no other experiment of the source is the one at the destination, unless it is gone for good.

        :raises NameTakenError: one is
        """
        if not there.is_from(self._pair.source.identity, self.name) or there.src_id == src_id:
            return
        try:
            await experiment(self._pair.source, there.src_id)
        except NotFound:
            return
        self._names.check_joined(src_id, there)

    async def fill(self, draft: Draft[Experiment], row: Row, details: Any, *, fresh: bool) -> Filled:
        if fresh or row.dst_id is None:
            return Filled()
        existing = await experiment(self._pair.destination, row.dst_id)
        if existing.deleted:
            await restore(self._pair.destination, row.dst_id)
        mark = marker(self._pair.source.identity, self.name, draft.id)
        # Another source that joined the experiment since has put its marker, and what it keeps, in place of ours.
        shared = tag_value(existing.tags, MARKER_TAG) not in ("", mark)
        tags = users_tags(draft.value.tags) if shared else self._tags(draft, mark)
        left = await self._write_tags(row.dst_id, tags, existing.tags)
        removable = self._pair.destination.capabilities.removes_experiment_tags
        for key in gone_tags(row.written, self._tags(draft, mark), existing.tags) if removable else ():
            body = {"experiment_id": row.dst_id, "key": key}
            await self._pair.destination.remove("POST", "experiments/delete-experiment-tag", body)
        await self._rename(row.dst_id, draft.name, existing.name)
        return Filled(left=tuple(left))

    async def _rename(self, dst_id: DestinationId, name: str, held: str) -> None:
        if held in names(name, EXPERIMENT_NAME):
            return

        async def post(form: Form) -> None:
            body = {"experiment_id": dst_id, "new_name": form.text(name, EXPERIMENT_NAME)}
            await self._pair.destination.send("POST", "experiments/update", body)

        await whole_or_cut(post, cuttable=True)

    async def _write_tags(
        self, dst_id: DestinationId, tags: Sequence[Tag], existing: Sequence[Tag]
    ) -> list[LeftBehind]:
        async def post(tag: Tag) -> None:
            body = {"experiment_id": dst_id, "key": tag.key, "value": tag.value}
            await self._pair.destination.send("POST", "experiments/set-experiment-tag", body)

        return await set_each(missing(tags, existing, self._longest), post, self._longest)

    async def seal(self, draft: Draft[Experiment], row: Row) -> None:
        if not draft.value.deleted or row.dst_id is None:
            return
        existing = await experiment(self._pair.destination, row.dst_id)
        if not created_for(self._pair, existing, draft.id):
            if draft.name == DEFAULT:
                return
            raise ObjectError(
                "not ours to delete",
                f"Experiment {draft.name!r} is deleted at the source, but the destination had one of that name before.",
                "Give it another name with --experiment-rename-file.",
            )
        if not existing.deleted:
            await self._pair.destination.remove("POST", "experiments/delete", {"experiment_id": row.dst_id})

    async def recover(self) -> AsyncIterator[Sequence[Recovered]]:
        query = f"tags.`{MARKER_TAG}` LIKE '%'"
        async for page in experiments(self._pair.destination, query):
            yield [
                Recovered(SourceId(src_id), found.name, DestinationId(found.experiment_id), found.artifact_location, "")
                for found in page
                if (src_id := tag_value(found.tags, SOURCE_TAG))
                and tag_value(found.tags, MARKER_TAG) == marker(self._pair.source.identity, self.name, src_id)
            ]

    async def estimate(self, drafts: Sequence[Draft[Experiment]]) -> Estimate:
        deletions = sum(draft.value.deleted for draft in drafts)
        # Every destination has this one already: it is asked for, and each tag is set by a call of its own.
        adopted = sum(len(self._tags(draft, "")) for draft in drafts if draft.name == DEFAULT)
        return Estimate(0, 2 * len(drafts) + adopted + 2 * deletions)


def names_of(pair: Pair, selected: Sequence[Experiment]) -> Names:
    """Return the names that experiments get at the destination."""
    return Names({found.experiment_id: renamed(pair.settings.experiment_renames, found.name) for found in selected})


def created_for(pair: Pair, found: Experiment, src_id: SourceId) -> bool:
    """Return whether an experiment of the destination was created for that of the source, and not joined."""
    return tag_value(found.tags, CREATED_TAG) == marker(pair.source.identity, ExperimentKind.name, src_id)


async def reopened(pair: Pair, rows: Sequence[Row]) -> None:
    """Restore deleted experiments at the destination into which something is to be written again."""
    for row in rows:
        if row.state is State.SEALED and row.dst_id is not None:
            existing = await experiment(pair.destination, row.dst_id)
            if existing.deleted:
                await pair.ledger.unsealed(ExperimentKind.name, row.src_id)
                await restore(pair.destination, row.dst_id)


async def restore(server: Server, experiment_id: DestinationId) -> None:
    """Take an experiment out of the bin (``experiments/restore``; all its runs become active)."""
    await server.remove("POST", "experiments/restore", {"experiment_id": experiment_id})


def made_from(value: Experiment) -> MadeFrom:
    """Return what the tags of an experiment say of the one from which a migration made it."""
    return provenance_of(value.tags, SOURCE_TAG, created=CREATION_TAG)


def kept_tags(value: Experiment) -> list[Tag]:
    """Return the tags that keep what MLflow's API cannot set."""
    kept = {
        "experiment_id": value.experiment_id,
        "creation_time": value.creation_time,
        "artifact_location": value.artifact_location,
    }
    return provenance(kept)


def _placed(found: Experiment) -> Placed:
    return Placed(DestinationId(found.experiment_id), found.artifact_location)
