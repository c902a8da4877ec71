"""Registered models: by marker, or by name where the marker was taken away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from bulkexim.ends.server import Server
from bulkexim.errors import Refused
from bulkexim.ids import MARKER_TAG, DestinationId, SourceId, marker
from bulkexim.kinds.base import Draft
from bulkexim.kinds.compare.base import Comparison, Facts, Paired, Present, Sides
from bulkexim.kinds.compare.masks import tag_facts
from bulkexim.kinds.registered_model import SOURCE_TAG, RegisteredModel, kept_tags, registered_models
from bulkexim.kinds.scope import chosen
from bulkexim.kinds.wire import tag_value, users_tags


class _One(msgspec.Struct, frozen=True):
    registered_model: RegisteredModel


class RegisteredModelComparison(Comparison[RegisteredModel, RegisteredModel]):
    """Name, description, tags and aliases."""

    async def present(self) -> AsyncIterator[Sequence[Present]]:
        async for page in registered_models(self.pair.destination):
            yield [self._present(found) for found in page]

    def _present(self, found: RegisteredModel) -> Present:
        src_id = self.origin(found.tags, tag_value(found.tags, SOURCE_TAG))
        return Present(DestinationId(found.name), found.name, src_id=src_id, own=src_id is not None)

    def selects(self, found: Present) -> bool:
        return chosen(self.pair.settings.models, found.src_id or "")

    async def by_name(self, draft: Draft[RegisteredModel]) -> Present | None:
        found = await _model(self.pair.destination, draft.name)
        return self._present(found) if found else None

    async def existing(self, ids: Sequence[SourceId]) -> set[SourceId]:
        return {name for name in ids if await _model(self.pair.source, name)}

    async def read(self, pairs: Sequence[Paired]) -> Any:
        del pairs

    async def sides(self, paired: Paired, read: Any) -> Sides | None:
        del read
        found = await _model(self.pair.destination, paired.dst_id)
        if found is None:
            return None
        value: RegisteredModel = paired.draft.value
        wanted, there = tag_facts([*users_tags(value.tags), *kept_tags(value)], found.tags)
        mark = marker(self.pair.source.identity, self.kind.name, paired.draft.id)
        return Sides(
            {**_facts(value), "name": paired.draft.name, "tags": wanted, "marker": True},
            {**_facts(found), "name": found.name, "tags": there, "marker": tag_value(found.tags, MARKER_TAG) == mark},
        )


def _facts(model: RegisteredModel) -> Facts:
    return {"description": model.description, "aliases": {alias.alias: alias.version for alias in model.aliases}}


async def _model(server: Server, name: str) -> RegisteredModel | None:
    try:
        return (await server.get("registered-models/get", _One, {"name": name})).registered_model
    except Refused:
        return None  # Not there, or of a name that this server takes for none.
