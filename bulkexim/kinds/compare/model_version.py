"""Model versions: the number itself, and where the files are, whichever way the source is written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from bulkexim.errors import ObjectError
from bulkexim.ids import MARKER_TAG, PREFIX, DestinationId, SourceId
from bulkexim.kinds.compare import listings
from bulkexim.kinds.compare.base import NOT_OURS, Comparison, Paired, Present, Sides, Subject
from bulkexim.kinds.compare.cut import whole
from bulkexim.kinds.compare.difference import Unread
from bulkexim.kinds.compare.records import Version, value_of
from bulkexim.kinds.compare.tags import KEPT, carried, kept, original, tag_facts
from bulkexim.kinds.compare.version_source import VersionSources

GAP_TAG = f"{PREFIX}gap"

Versions = dict[str, Version]


@dataclass
class ModelVersionComparison(Comparison[Version]):
    """Number, stage, status, run, source, logged model, run link, tags and description."""

    name: ClassVar[str] = "model_version"
    home: ClassVar[str] = "registered_model"

    chosen: frozenset[str] = frozenset()

    async def subjects(self) -> AsyncIterator[Sequence[Subject[Version]]]:
        async for page in listings.versions(self.ends.source):
            yield [self._subject(found) for found in page if found.name in self.chosen]

    def _subject(self, found: Version) -> Subject[Version]:
        model = self.ends.partners.find(self.home, found.name) or found.name
        return Subject(SourceId(found.id), f"{model} version {found.version}", found)

    async def present(self) -> AsyncIterator[Sequence[Present]]:
        async for page in listings.versions(self.ends.destination):
            yield [self._present(found) for found in page]

    def _present(self, found: Version) -> Present:
        number = value_of(found.tags, f"{KEPT}version")
        return Present(
            DestinationId(found.id),
            f"{found.name} version {found.version}",
            self.origin(found.tags, f"{original(found.tags, 'name')}/{number}"),
            stranger=_stranger(found),
            # Of two that came from one version, it is the other that has no business there.
            complete=found.version == number,
            home=found.name,
            needless=bool(value_of(found.tags, GAP_TAG)),
        )

    async def existing(self, ids: Sequence[SourceId]) -> set[SourceId]:
        everything = {SourceId(found.id) async for page in listings.versions(self.ends.source) for found in page}
        return everything & set(ids)

    async def read(self, pairs: Sequence[Paired]) -> Versions:
        numbers: dict[str, set[str]] = {}
        for paired in pairs:
            name, _, number = paired.dst_id.rpartition("/")
            numbers.setdefault(name, set()).add(number)
        found: Versions = {}
        for name, wanted in numbers.items():
            there = await listings.versions_of(self.ends.destination, name, wanted)
            found |= {version.id: version for version in there.values()}
        return found

    async def sides(self, paired: Paired, read: Any) -> Sides | None:
        found: Version | None = read.get(paired.dst_id)
        if found is None:
            return None
        value: Version = paired.subject.value
        expected = carried(value.tags) | kept(
            version=value.version,
            name=value.name,
            creation_timestamp=value.creation_timestamp,
            user_id=value.user_id,
            run_id="" if found.run_id == self.ends.partners.find("run", value.run_id) else value.run_id,
        )
        if value.status != "READY":
            expected |= kept(status=value.status, status_message=value.status_message)
        tags = {tag.key: tag.value for tag in found.tags}
        wanted, there = tag_facts(expected, tags)
        source, points_to = await _sides(self._sources.sides(value, found, tags))
        run, run_there = await _sides(self._sources.runs(value, found, tags))
        partners = self.ends.partners
        return Sides(
            {
                "model": partners.find(self.home, value.name),
                "number": value.version,
                "stage": value.current_stage,
                # Another status cannot be given; it is kept as a tag.
                "status": "READY",
                "description": value.description,
                "run": run,
                "run link": value.run_link,
                "source": source,
                "logged model": partners.find("logged_model", value.model_id),
                "tags": wanted,
            },
            {
                "model": found.name,
                "number": found.version,
                "stage": found.current_stage,
                "status": found.status,
                "description": whole("description", found.description, tags),
                "run": run_there,
                "run link": whole("run_link", found.run_link, tags),
                "source": points_to,
                "logged model": found.model_id,
                "tags": there,
            },
        )

    @property
    def _sources(self) -> VersionSources:
        return VersionSources(self.ends)


async def _sides(asked: Awaitable[tuple[str, str]]) -> tuple[str | Unread, str | Unread]:
    """Return both sides of a field, or that it cannot be read, which says nothing of the others."""
    try:
        return await asked
    except ObjectError as error:
        return Unread.of(error), Unread.of(error)


def _stranger(found: Version) -> str:
    if value_of(found.tags, MARKER_TAG):
        return ""
    return "a placeholder that a migration left in a gap" if value_of(found.tags, GAP_TAG) else NOT_OURS
