"""Model versions: the number itself, and where the files are, whichever way the source is written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from bulkexim.ids import MARKER_TAG, DestinationId, SourceId
from bulkexim.kinds.compare.base import NOT_OURS, Comparison, Paired, Present, Sides
from bulkexim.kinds.compare.masks import tag_facts
from bulkexim.kinds.model_version import SOURCE_TAG
from bulkexim.kinds.registered_model import RegisteredModelKind
from bulkexim.kinds.version_translation import VersionPlan
from bulkexim.kinds.version_values import GAP_TAG, ModelVersion, model_versions, target, versions_of
from bulkexim.kinds.wire import tag_value

Versions = dict[DestinationId, ModelVersion]


class ModelVersionComparison(Comparison[ModelVersion, VersionPlan]):
    """Number, stage, status, run, source, logged model, run link, tags and description."""

    home = RegisteredModelKind.name

    async def present(self) -> AsyncIterator[Sequence[Present]]:
        async for page in model_versions(self.pair.destination):
            yield [self._present(found) for found in page]

    def _present(self, found: ModelVersion) -> Present:
        number = tag_value(found.tags, SOURCE_TAG)
        return Present(
            DestinationId(found.id),
            f"{found.name} version {found.version}",
            src_id=self.origin(found.tags, f"{tag_value(found.tags, 'bulkexim.source.name')}/{number}"),
            stranger=_stranger(found),
            # Of two that came from one version, it is the other that has no business there.
            complete=found.version == number,
            home=found.name,
        )

    async def existing(self, ids: Sequence[SourceId]) -> set[SourceId]:
        found: set[SourceId] = set()
        for name in sorted({one.rpartition("/")[0] for one in ids}):
            found |= {version.id for version in await versions_of(self.pair.source, name)}
        return found & set(ids)

    async def read(self, pairs: Sequence[Paired]) -> Versions:
        names = {paired.dst_id.rpartition("/")[0] for paired in pairs}
        versions = [version for name in sorted(names) for version in await versions_of(self.pair.destination, name)]
        return {DestinationId(version.id): version for version in versions}

    async def sides(self, paired: Paired, read: Versions) -> Sides | None:
        found = read.get(paired.dst_id)
        if found is None:
            return None
        plan: VersionPlan = paired.draft.value
        value, origin = plan.version, plan.origin
        models = await self.translation("logged_model", [value.model_id])
        wanted, there = tag_facts(plan.tags, found.tags)
        expected = next((choice for choice in origin.choices if choice.source == found.source), origin.best)
        return Sides(
            {
                "model": plan.model,
                "number": value.number,
                "stage": value.current_stage,
                # Another status cannot be given; it is kept as a tag.
                "status": "READY",
                "description": value.description,
                "run": expected.run_id,
                "run link": value.run_link,
                "source": _words(expected.source) if origin.problem is None else str(origin.problem),
                "logged model": models.get(value.model_id, ""),
                "tags": wanted,
            },
            {
                "model": found.name,
                "number": found.number,
                "stage": found.current_stage,
                "status": found.status,
                "description": found.description,
                "run": found.run_id,
                "run link": found.run_link,
                "source": _words(found.source),
                "logged model": found.model_id,
                "tags": there,
            },
        )


def _stranger(found: ModelVersion) -> str:
    if tag_value(found.tags, MARKER_TAG):
        return ""
    return "a placeholder that a migration left in a gap" if tag_value(found.tags, GAP_TAG) else NOT_OURS


def _words(source: str) -> str:
    """Return what a source points to: MLflow writes one place in several ways."""
    to = target(source)
    return f"{to.kind.replace('_', ' ')} {to.id}{' / ' if to.path else ''}{to.path.rstrip('/')}"
