"""Model versions: the number itself, and where the files are, whichever way the source is written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from bulkexim.errors import CallError
from bulkexim.ids import MARKER_TAG, PREFIX, DestinationId, SourceId
from bulkexim.kinds.compare import listings
from bulkexim.kinds.compare.base import NOT_OURS, Comparison, Paired, Present, Sides, Subject
from bulkexim.kinds.compare.pointing import Pointed, pointed
from bulkexim.kinds.compare.records import Version, value_of
from bulkexim.kinds.compare.tags import KEPT, carried, kept, tag_facts

GAP_TAG = f"{PREFIX}gap"

Versions = dict[str, Version]


class _Files(msgspec.Struct, frozen=True):
    artifact_uri: str = ""


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
            self.origin(found.tags, f"{value_of(found.tags, f'{KEPT}name')}/{number}"),
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
        partners = self.ends.partners
        run = partners.find("run", value.run_id)
        expected = carried(value.tags) | kept(
            version=value.version,
            name=value.name,
            creation_timestamp=value.creation_timestamp,
            user_id=value.user_id,
        )
        if value.status != "READY":
            expected |= kept(status=value.status, status_message=value.status_message)
        held = {tag.key: tag.value for tag in found.tags}
        wanted, there = tag_facts(expected, held)
        source, points_to = await self._source(value, found)
        return Sides(
            {
                "model": partners.find(self.home, value.name),
                "number": value.version,
                "stage": value.current_stage,
                # Another status cannot be given; it is kept as a tag.
                "status": "READY",
                "description": value.description,
                "run": run or value.run_id,
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
                "description": found.description,
                # A run that is not at the destination cannot be named there; a tag keeps its id.
                "run": found.run_id or ("" if run else held.get(f"{KEPT}run_id", "")),
                "run link": found.run_link,
                "source": points_to,
                "logged model": found.model_id,
                "tags": there,
            },
        )

    async def _source(self, version: Version, found: Version) -> tuple[str, str]:
        """Return what the source should be and what it is: to what it points, or the very text if nobody moved that."""
        points_to = pointed(found.source)
        to = pointed(version.source)
        if to.kind == "elsewhere" and version.model_id:
            to = Pointed("logged_model", version.model_id)
        here = self._there(to)
        if here is not None:
            return str(here), str(points_to)
        if to.kind == "model_version" and found.source != version.source:
            # A version that was promoted from one that is gone may point to the files themselves.
            files = self._there(pointed(await self._files(version)))
            if files is not None:
                return str(files), str(points_to)
        return version.source, found.source

    def _there(self, to: Pointed) -> Pointed | None:
        partner = self.ends.partners.find(to.kind, to.id)
        return to._replace(id=partner) if partner else None

    async def _files(self, version: Version) -> str:
        params = {"name": version.name, "version": version.version}
        try:
            return (await self.ends.source.get("model-versions/get-download-uri", _Files, params)).artifact_uri
        except CallError:
            return ""


def _stranger(found: Version) -> str:
    if value_of(found.tags, MARKER_TAG):
        return ""
    return "a placeholder that a migration left in a gap" if value_of(found.tags, GAP_TAG) else NOT_OURS
