"""Registered models: by marker, or by name where the marker was taken away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from bulkexim.ids import MARKER_TAG, DestinationId, SourceId
from bulkexim.kinds.compare import listings
from bulkexim.kinds.compare.base import Comparison, Facts, Paired, Present, Sides, Subject
from bulkexim.kinds.compare.cut import whole
from bulkexim.kinds.compare.records import RegisteredModel, value_of
from bulkexim.kinds.compare.selection import fits, new_name
from bulkexim.kinds.compare.tags import KEPT, carried, kept, original, tag_facts


@dataclass
class RegisteredModelComparison(Comparison[RegisteredModel]):
    """Name, description, tags and aliases."""

    name: ClassVar[str] = "registered_model"
    container: ClassVar[bool] = True

    chosen: frozenset[str] = frozenset()

    async def subjects(self) -> AsyncIterator[Sequence[Subject[RegisteredModel]]]:
        renames = self.ends.settings.model_renames
        async for page in listings.registered_models(self.ends.source):
            yield [
                Subject(SourceId(one.name), new_name(renames, one.name), one) for one in page if one.name in self.chosen
            ]

    async def present(self) -> AsyncIterator[Sequence[Present]]:
        async for page in listings.registered_models(self.ends.destination):
            yield [self._present(found) for found in page]

    def _present(self, found: RegisteredModel) -> Present:
        name, created = original(found.tags, "name"), value_of(found.tags, f"{KEPT}creation_timestamp")
        src_id, twin = self.origin(found.tags, name), self.twin(found.tags, name, _birth(name, created))
        return Present(DestinationId(found.name), found.name, src_id, own=src_id is not None, twin=twin)

    def birth(self, subject: Subject[RegisteredModel]) -> str:
        return _birth(subject.id, subject.value.creation_timestamp)

    def selects(self, found: Present) -> bool:
        return fits(self.ends.settings.models, found.src_id or "")

    async def by_name(self, subject: Subject[RegisteredModel]) -> Present | None:
        found = await listings.registered_model(self.ends.destination, subject.name)
        return self._present(found) if found else None

    async def existing(self, ids: Sequence[SourceId]) -> set[SourceId]:
        everything = {SourceId(one.name) async for page in listings.registered_models(self.ends.source) for one in page}
        return everything & set(ids)

    async def read(self, pairs: Sequence[Paired]) -> dict[str, RegisteredModel]:
        destination = self.ends.destination
        return await listings.each(
            lambda one: listings.registered_model(destination, one), [paired.dst_id for paired in pairs]
        )

    async def sides(self, paired: Paired, read: Any) -> Sides | None:
        found: RegisteredModel | None = read.get(paired.dst_id)
        if found is None:
            return None
        value: RegisteredModel = paired.subject.value
        expected = carried(value.tags) | kept(name=value.name, creation_timestamp=value.creation_timestamp)
        tags = {tag.key: tag.value for tag in found.tags}
        wanted, there = tag_facts(expected, tags)
        marked = value_of(found.tags, MARKER_TAG) == self.mark(paired.subject.id)
        return Sides(
            {**_facts(value, {}), "name": paired.subject.name, "tags": wanted, "marker": True},
            {**_facts(found, tags), "name": whole("name", found.name, tags), "tags": there, "marker": marked},
        )


def _birth(name: str, created: object) -> str:
    """Servers may well have models of one name, but not made in the same millisecond."""
    return f"{name}, created {created}" if created else ""


def _facts(model: RegisteredModel, tags: Mapping[str, str]) -> Facts:
    return {
        "description": whole("description", model.description, tags),
        "aliases": {alias.alias: alias.version for alias in model.aliases},
    }
