"""What the ledger holds for complete and the destination has no more, because somebody deleted it there.

It is told to the ledger before anything is moved, so the same run brings it back. Nothing to do must stay cheap: runs
that are deleted are listed, for they are few; of what is gone for good the object in the last place shows whether there
is any (`token_at`), and only where that is missing all ids are listed. If others brought as many marked objects
meanwhile, the last place is taken all the same, and only a comparison of both ends tells.
"""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from bulkexim.ends.page_tokens import token_at
from bulkexim.errors import ObjectError, Refused
from bulkexim.ids import MARKER_TAG, DestinationId, SourceId
from bulkexim.kinds.compare import listings
from bulkexim.kinds.experiment import ExperimentKind
from bulkexim.kinds.logged_model import LoggedModelKind
from bulkexim.kinds.model_version import ModelVersionKind
from bulkexim.kinds.order import Scope
from bulkexim.kinds.registered_model import RegisteredModelKind
from bulkexim.kinds.run import RunKind
from bulkexim.kinds.run_translation import DELETED
from bulkexim.kinds.scope import Pair

MARKED = f"tags.`{MARKER_TAG}` LIKE '%'"
#: Experiments beyond which nobody asks for the last object of all: each of them stands in the question.
MOST_EXPERIMENTS = 5000


class _Some(msgspec.Struct, frozen=True):
    """A page of which it matters only whether anything is on it."""

    runs: tuple[msgspec.Raw, ...] = ()
    models: tuple[msgspec.Raw, ...] = ()
    model_versions: tuple[msgspec.Raw, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.runs or self.models or self.model_versions)


async def bring_back(pair: Pair, scope: Scope) -> list[str]:
    """Note in the ledger what has to be moved again, and return sentences that tell it."""
    looking = _Looking(pair, scope)
    told: list[str] = []
    try:
        await looking.experiments()
        await looking.runs()
        if scope.logged_models:
            await looking.logged_models()
        if scope.registry:
            await looking.registered_models()
            await looking.versions()
    except ObjectError as error:
        told.append(f"Whether anything was deleted at the destination could not be found out: {error.problem}")
    if found := ", ".join(f"{kind} {objects:,}" for kind, objects in looking.found.items() if objects):
        told.append(f"Deleted at the destination since it was moved there, so it is moved again: {found}.")
    return told


@dataclass(slots=True)
class _Looking:
    pair: Pair
    scope: Scope
    found: Counter[str] = field(default_factory=Counter)
    #: The experiments that still stand at the destination; those that are deleted there and will be restored.
    _homes: list[DestinationId] = field(default_factory=list)
    _restored: set[DestinationId] = field(default_factory=set)
    #: An experiment, or a registered model, is gone for good.
    _home_gone: bool = False
    _model_gone: bool = False

    async def experiments(self) -> None:
        # Where a run was stopped, none may be complete, and what they hold is there all the same.
        placed = await self.pair.ledger.placed(ExperimentKind.name)
        if not placed:
            return
        complete = await self.pair.ledger.complete(ExperimentKind.name)
        there = {one.experiment_id: one async for page in listings.experiments(self.pair.destination) for one in page}
        by_right = {one.experiment_id for one in self.scope.known if one.deleted}
        gone = [one.src_id for dst_id, one in complete.items() if dst_id not in there]
        deleted = {dst_id for dst_id in complete if dst_id in there and there[dst_id].deleted}
        self._restored = {dst_id for dst_id in deleted if complete[dst_id].src_id not in by_right}
        self._home_gone = bool(gone)
        await self._gone(ExperimentKind.name, gone)
        await self._changed(ExperimentKind.name, [complete[dst_id].src_id for dst_id in sorted(self._restored)])
        self._homes = [one for one in placed if one in there]

    async def runs(self) -> None:
        kind, ledger, destination = RunKind.name, self.pair.ledger, self.pair.destination
        active = await ledger.count_complete(kind)
        if not active:
            return
        async for page in listings.runs(destination, self._homes, "DELETED_ONLY", MARKED):
            complete = await ledger.complete(kind, [DestinationId(run.info.run_id) for run in page])
            active -= len(complete)
            homes = {DestinationId(run.info.run_id): DestinationId(run.info.experiment_id) for run in page}
            # An experiment that is restored takes all of its runs along, those too that are deleted by right.
            wrong = [
                one.src_id
                for dst_id, one in complete.items()
                if one.digest.endswith(DELETED) == (homes[dst_id] in self._restored)
            ]
            await self._changed(kind, wrong)
        body = {"experiment_ids": self._homes, "run_view_type": "ACTIVE_ONLY", "filter": MARKED}
        if self._home_gone or not await self._reaches(active, "runs/search", body):
            pages = listings.runs(destination, self._homes, "ALL", MARKED)
            seen = {run.info.run_id async for page in pages for run in page}
            await self._gone(kind, await self._unseen(kind, seen))

    async def logged_models(self) -> None:
        """Look for logged models; nothing restores one, so those that are deleted are gone as well."""
        kind, destination = LoggedModelKind.name, self.pair.destination
        active = await self.pair.ledger.count_complete(kind, but=DELETED)
        body = {"experiment_ids": self._homes, "filter": MARKED}
        if self._home_gone or not await self._reaches(active, "logged-models/search", body):
            pages = listings.logged_models(destination, self._homes)
            seen = {model.info.model_id async for page in pages for model in page}
            unseen = await self._unseen(kind, seen)
            found = await listings.each(lambda model_id: listings.logged_model(self.pair.source, model_id), unseen)
            # What is deleted at the source is so by right, and what is gone there is nobody's to move.
            await self._gone(kind, [SourceId(model_id) for model_id, model in found.items() if not model.deleted])

    async def registered_models(self) -> None:
        kind, ledger = RegisteredModelKind.name, self.pair.ledger
        complete = await ledger.complete(kind)
        if complete:
            pages = listings.registered_models(self.pair.destination)
            there = {model.name async for page in pages for model in page}
            gone = [one.src_id for dst_id, one in complete.items() if dst_id not in there]
            self._model_gone = bool(gone)
            await self._gone(kind, gone)

    async def versions(self) -> None:
        kind = ModelVersionKind.name
        standing = await self.pair.ledger.count_complete(kind)
        if self._model_gone or not await self._reaches(standing, "model-versions/search", {"filter": MARKED}):
            pages = listings.versions(self.pair.destination)
            seen = {version.id async for page in pages for version in page}
            await self._gone(kind, await self._unseen(kind, seen))

    async def _unseen(self, kind: str, seen: Container[str]) -> list[SourceId]:
        complete = await self.pair.ledger.complete(kind)
        return [one.src_id for dst_id, one in complete.items() if dst_id not in seen]

    async def _reaches(self, objects: int, path: str, asked: dict[str, Any]) -> bool:
        """Return whether a search finds so many objects; where the server does not tell, it is taken for granted."""
        if objects <= 0 or len(asked.get("experiment_ids", ())) > MOST_EXPERIMENTS:
            return True
        given = {**asked, "max_results": 1} | ({"page_token": _token(asked, objects - 1)} if objects > 1 else {})
        destination = self.pair.destination
        try:
            if "experiment_ids" in asked:
                return bool(await destination.post(path, given, _Some))
            return bool(await destination.get(path, _Some, given))
        except Refused:
            return True  # Its tokens are of another kind.

    async def _gone(self, kind: str, ids: Sequence[SourceId]) -> None:
        self.found[kind] += len(ids)
        await self.pair.ledger.forgotten(kind, *ids)

    async def _changed(self, kind: str, ids: Sequence[SourceId]) -> None:
        self.found[kind] += len(ids)
        await self.pair.ledger.unsealed(kind, *ids)


def _token(asked: Mapping[str, Any], offset: int) -> str:
    """Return the page token for an object by its place; a search of logged models has its question in it."""
    if "run_view_type" in asked or "experiment_ids" not in asked:
        return token_at(offset)
    token = {
        "experiment_ids": list(asked["experiment_ids"]),
        "filter_string": asked["filter"],
        "order_by": None,
        "offset": offset,
    }
    return b64encode(msgspec.json.encode(token)).decode()
