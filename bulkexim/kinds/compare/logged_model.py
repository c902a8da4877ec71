"""Logged models: with the metrics that runs measured on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from bulkexim.ends.server import Server
from bulkexim.ids import MARKER_TAG, DestinationId, SourceId
from bulkexim.kinds.compare import listings
from bulkexim.kinds.compare.base import NOT_OURS, Comparison, Facts, Paired, Present, Sides, Subject
from bulkexim.kinds.compare.cut import whole, whole_pairs
from bulkexim.kinds.compare.masks import REGENERATED
from bulkexim.kinds.compare.metrics import number
from bulkexim.kinds.compare.pointing import pointed
from bulkexim.kinds.compare.records import LoggedModel, value_of
from bulkexim.kinds.compare.roots import Root
from bulkexim.kinds.compare.tags import KEPT, carried, kept, tag_facts

PENDING = "LOGGED_MODEL_PENDING"


@dataclass
class LoggedModelComparison(Comparison[LoggedModel]):
    """Name, type, status, lifecycle, experiment, run, params, tags, metrics with run and dataset, files.

    ``only`` are the ids of single models, in place of those of the experiments ``homes``.
    """

    name: ClassVar[str] = "logged_model"
    home: ClassVar[str] = "experiment"
    restorable: ClassVar[bool] = False

    homes: Sequence[str] = ()
    only: Sequence[str] | None = None

    async def subjects(self) -> AsyncIterator[Sequence[Subject[LoggedModel]]]:
        if self.only is None:
            source, deleted = self.ends.source, set[str]()
            if self.ends.settings.include_deleted:
                deleted = self.ends.named["source"] | await _of_versions(source)
            async for page in _all(source, self.homes, deleted):
                yield [_subject(model) for model in page if not model.deleted or model.info.experiment_id in self.homes]
            return
        for start in range(0, len(self.only), self.window):
            found = await _each(self.ends.source, self.only[start : start + self.window])
            yield [_subject(model) for model in found.values()]

    async def present(self) -> AsyncIterator[Sequence[Present]]:
        if self.ends.destination.capabilities.logged_models:
            known = sorted(self.ends.partners.of(self.home).values())
            named = self.ends.named["destination"] | await _of_versions(self.ends.destination)
            async for page in _all(self.ends.destination, known, named):
                yield [self._present(found) for found in page]

    def _present(self, found: LoggedModel) -> Present:
        info, src_id = found.info, value_of(found.info.tags, f"{KEPT}model_id")
        return Present(
            DestinationId(info.model_id),
            info.name,
            self.origin(info.tags, src_id),
            stranger="" if value_of(info.tags, MARKER_TAG) or found.deleted else NOT_OURS,
            complete=info.status != PENDING,
            home=info.experiment_id,
            deleted=found.deleted,
            twin=self.twin(info.tags, src_id, src_id),
        )

    async def existing(self, ids: Sequence[SourceId]) -> set[SourceId]:
        found: set[SourceId] = set()
        for start in range(0, len(ids), self.window):
            found |= set(map(SourceId, await _each(self.ends.source, ids[start : start + self.window])))
        return found

    def unseen(self, subject: Subject[LoggedModel]) -> str:
        if not subject.deleted:
            return ""
        if not self.ends.destination.capabilities.shows_deleted_logged_models:
            return "MLflow before 3.7 shows no deleted logged model"
        # What a run of the source names as output would be named by that of the destination too.
        named = subject.id in self.ends.named["source"]
        return "" if named else "it is deleted, and nothing at the destination names it: MLflow lists no such model"

    async def read(self, pairs: Sequence[Paired]) -> dict[str, LoggedModel]:
        return await _each(self.ends.destination, [paired.dst_id for paired in pairs])

    async def sides(self, paired: Paired, read: Any) -> Sides | None:
        found: LoggedModel | None = read.get(paired.dst_id)
        if found is None:
            return None
        model: LoggedModel = paired.subject.value
        info, partners = model.info, self.ends.partners
        run = partners.find("run", info.source_run_id)
        expected = carried(info.tags) | kept(
            model_id=info.model_id,
            creation_timestamp=info.creation_timestamp_ms,
            status_message=info.status_message,
            creator_id=info.creator_id,
            run_id="" if run else info.source_run_id,
        )
        tags = {tag.key: tag.value for tag in found.info.tags}
        wanted, there = tag_facts(expected, tags, unseen=REGENERATED)
        files = await self.files.sides(
            Root(self.ends.source, info.artifact_uri, "logged_model", paired.subject.id, gone=model.deleted),
            Root(self.ends.destination, found.info.artifact_uri, "logged_model", paired.dst_id, gone=found.deleted),
            {paired.subject.id: paired.dst_id} | ({info.source_run_id: run} if run else {}),
        )
        runs = {metric.run_id: partners.find("run", metric.run_id) for metric in model.data.metrics}
        home = partners.find("experiment", info.experiment_id)
        own = {"experiment": home, "run": run, "tags": wanted, "metrics": _metrics(model, runs)}
        theirs = {"experiment": found.info.experiment_id, "run": found.info.source_run_id, "tags": there}
        return Sides(
            {**_facts(model, {}), **own, **files.expected},
            {**_facts(found, tags), **theirs, "metrics": _metrics(found, {}), **files.found},
            tuple(SourceId(run_id) for run_id, moved in runs.items() if moved),
        )


async def _all(server: Server, homes: Sequence[str], named: set[str]) -> AsyncIterator[list[LoggedModel]]:
    """Yield the logged models of some experiments, then those of ``named`` that are deleted."""
    active: set[str] = set()
    async for page in listings.logged_models(server, homes):
        active |= {model.info.model_id for model in page} & named
        yield list(page)
    left = sorted(named - active)
    for start in range(0, len(left), LoggedModelComparison.window):
        found = await _each(server, left[start : start + LoggedModelComparison.window])
        yield [model for model in found.values() if model.deleted]


async def _of_versions(server: Server) -> set[str]:
    """Return the logged models to which versions point: those that are deleted are in no search."""
    if not server.capabilities.shows_deleted_logged_models:
        return set()
    found: set[str] = set()
    async for page in listings.versions(server):
        found |= {to.id for to in (pointed(version.source) for version in page) if to.kind == "logged_model"}
    return found


async def _each(server: Server, ids: Sequence[str]) -> dict[str, LoggedModel]:
    return await listings.each(lambda model_id: listings.logged_model(server, model_id), ids)


def _subject(model: LoggedModel) -> Subject[LoggedModel]:
    return Subject(SourceId(model.info.model_id), model.info.name, model, model.deleted)


def _facts(model: LoggedModel, tags: Mapping[str, str]) -> Facts:
    info = model.info
    return {
        "name": whole("name", info.name, tags),
        "type": whole("model_type", info.model_type, tags),
        "status": info.status,
        "lifecycle": "deleted" if model.deleted else "active",
        "params": whole_pairs("param", {param.key: param.value for param in model.data.params}, tags),
    }


def _metrics(model: LoggedModel, runs: Mapping[str, str]) -> Facts:
    """Return the points of a model by key, run and dataset; a run that is not at the destination keeps its own id."""
    groups: dict[str, list[str]] = {}
    for metric in model.data.metrics:
        dataset = f", dataset {metric.dataset_name} ({metric.dataset_digest})" if metric.dataset_name else ""
        # A database has no NaN for a logged model: it keeps 0. A file store has.
        value = number(0.0 if metric.value == "NaN" else metric.value)
        point = f"step {metric.step}, time {metric.timestamp}: {value}"
        groups.setdefault(f"{metric.key} of run {runs.get(metric.run_id) or metric.run_id}{dataset}", []).append(point)
    return {group: dict(Counter(points)) for group, points in groups.items()}
