"""Runs: every value, the full metric history, inputs, outputs, files."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from bulkexim.ids import MARKER_TAG, DestinationId, SourceId
from bulkexim.kinds.compare import listings
from bulkexim.kinds.compare.base import NOT_OURS, Comparison, Facts, Paired, Present, Sides, Subject
from bulkexim.kinds.compare.cut import whole, whole_pairs
from bulkexim.kinds.compare.files import FileSides
from bulkexim.kinds.compare.histories import Histories
from bulkexim.kinds.compare.links import LONGEST_TAG, dataset_texts, datasets, models, pair_unseen, without_partner
from bulkexim.kinds.compare.masks import NAME_TAG
from bulkexim.kinds.compare.metrics import MetricReader
from bulkexim.kinds.compare.records import Run, value_of
from bulkexim.kinds.compare.roots import Root
from bulkexim.kinds.compare.tags import KEPT, carried, kept, tag_facts

PARENT_TAG = "mlflow.parentRunId"
#: The tag that repeats what models were logged; it holds ids of the run itself.
HISTORY_TAG = "mlflow.log-model.history"
ENDED = frozenset({"FINISHED", "FAILED", "KILLED"})
_ID = re.compile(r"(?:m-)?[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Window:
    """What was read for a window of pairs: both runs of each, by their own ids, and the way to their histories."""

    sources: Mapping[str, Run]
    arrived: Mapping[str, Run]
    metrics: MetricReader


@dataclass
class RunComparison(Comparison[Run]):
    """The runs of the experiments ``homes``, or those with the ids ``only``.

    Those of the ``deleted`` experiments count as deleted, whatever they say themselves. ``logged`` says that logged
    models are moved too, and with them the links to them; ``linked`` that there may be links which no search shows, so
    that each run is asked for by itself.
    """

    name: ClassVar[str] = "run"
    home: ClassVar[str] = "experiment"

    homes: Sequence[str] = ()
    only: Sequence[str] | None = None
    deleted: Container[str] = ()
    logged: bool = False
    linked: bool = False

    async def subjects(self) -> AsyncIterator[Sequence[Subject[Run]]]:
        if self.only is not None:
            for start in range(0, len(self.only), self.window):
                found = await self._each_source(self.only[start : start + self.window])
                yield self._subjects(found.values())
            return
        settings = self.ends.settings
        bounds = ((">=", settings.run_start_time), ("<", settings.runs_until))
        query = " and ".join(f"attributes.start_time {sign} {time}" for sign, time in bounds if time is not None)
        view = "ALL" if settings.include_deleted else "ACTIVE_ONLY"
        async for page in listings.runs(self.ends.source, self.homes, view, query):
            yield self._subjects(page)

    def _subjects(self, found: Iterable[Run]) -> list[Subject[Run]]:
        runs = list(found)
        self._note_models("source", runs)
        return [Subject(SourceId(run.info.run_id), run.info.run_name, run, self._is_deleted(run)) for run in runs]

    def _is_deleted(self, run: Run) -> bool:
        return run.deleted or run.info.experiment_id in self.deleted

    def _note_models(self, side: str, runs: Iterable[Run]) -> None:
        self.ends.named[side].update(link.model_id for run in runs for link in run.outputs.model_outputs)

    async def present(self) -> AsyncIterator[Sequence[Present]]:
        known = sorted(self.ends.partners.of(self.home).values())
        async for page in listings.runs(self.ends.destination, known, "ALL"):
            self._note_models("destination", page)
            yield [self._present(found) for found in page]

    def _present(self, found: Run) -> Present:
        info, tags = found.info, found.data.tags
        src_id = value_of(tags, f"{KEPT}run_id")
        return Present(
            DestinationId(info.run_id),
            info.run_name,
            self.origin(tags, src_id),
            stranger="" if value_of(tags, MARKER_TAG) or found.deleted else NOT_OURS,
            complete=info.status in ENDED,
            home=info.experiment_id,
            deleted=found.deleted,
            twin=self.twin(tags, src_id, src_id),
        )

    async def existing(self, ids: Sequence[SourceId]) -> set[SourceId]:
        found: set[SourceId] = set()
        for start in range(0, len(ids), self.window):
            found |= set(map(SourceId, await self._each_source(ids[start : start + self.window])))
        return found

    async def _each_source(self, ids: Iterable[str]) -> dict[str, Run]:
        return await listings.each(lambda run_id: listings.run(self.ends.source, run_id), ids)

    async def _each_arrived(self, ids: Iterable[str]) -> dict[str, Run]:
        return await listings.each(lambda run_id: listings.run(self.ends.destination, run_id), ids)

    async def read(self, pairs: Sequence[Paired]) -> Window:
        sources: dict[str, Run] = {str(paired.subject.id): paired.subject.value for paired in pairs}
        there = [paired.dst_id for paired in pairs]
        if self.linked or (self.logged and any(run.outputs.model_outputs for run in sources.values())):
            # A search does not tell the logged models that a run read.
            if self.only is None:
                sources = await self._each_source(sources)
                self._note_models("source", sources.values())
            arrived = await self._each_arrived(there)
            if not self.ends.destination.capabilities.shows_deleted_logged_models:
                self._pair_unseen(pairs, sources, arrived)
        else:
            known = sorted(self.ends.partners.of(self.home).values())
            arrived = await listings.runs_of(self.ends.destination, known, there)
        before = Histories(self.ends.source, {run.info.run_id: run.data.metrics for run in sources.values()})
        after = Histories(self.ends.destination, {run.info.run_id: run.data.metrics for run in arrived.values()})
        await before.read_ahead()
        await after.read_ahead()
        return Window(sources, arrived, MetricReader(before, after))

    def _pair_unseen(self, pairs: Sequence[Paired], sources: Mapping[str, Run], arrived: Mapping[str, Run]) -> None:
        """Pair logged models that the destination does not show, for they are deleted: only runs name them there."""
        for paired in pairs:
            if (run := sources.get(paired.subject.id)) and (found := arrived.get(paired.dst_id)):
                pair_unseen(run, found, self.ends.partners)

    async def sides(self, paired: Paired, read: Window) -> Sides | None:
        found = read.arrived.get(paired.dst_id)
        run = read.sources.get(paired.subject.id)
        if found is None or run is None:
            return None
        there = {tag.key: tag.value for tag in found.data.tags}
        wanted, held = self._tags(run, there)
        metrics = await read.metrics.sides(run.info.run_id, found.info.run_id)
        files = await self._files(run, found)
        # A run without a name gets one from the server.
        name = whole("run_name", found.info.run_name, there)
        names = ({"name": run.info.run_name}, {"name": name}) if run.info.run_name else ({}, {})
        kept_texts = dataset_texts(run, there)
        links = models(run, found, self.ends.partners) if self.logged else ({}, {})
        params = {param.key: param.value for param in run.data.params}
        params_there = whole_pairs("param", {param.key: param.value for param in found.data.params}, there)
        return Sides(
            {
                **_facts(run),
                "lifecycle": "deleted" if paired.subject.deleted else "active",
                "user": run.info.user_id,
                "dataset inputs": datasets(run),
                **names[0],
                **links[0],
                **files.expected,
                "params": params,
                "experiment": self.ends.partners.find(self.home, run.info.experiment_id),
                "tags": wanted,
                "metrics": metrics.expected,
            },
            {
                **_facts(found),
                "user": whole("user", found.info.user_id, there),
                "dataset inputs": datasets(found, kept_texts),
                **names[1],
                **links[1],
                **files.found,
                "params": params_there,
                "experiment": found.info.experiment_id,
                "tags": held,
                "metrics": metrics.found,
            },
        )

    def _tags(self, run: Run, there: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        expected = carried(run.data.tags) | kept(run_id=run.info.run_id, experiment_id=run.info.experiment_id)
        partners = self.ends.partners
        if parent := expected.pop(PARENT_TAG, ""):
            moved = partners.find(self.name, parent)
            expected |= {PARENT_TAG: moved} if moved else kept(parent_run_id=parent)
        # MLflow keeps one of the two names of a run.
        tag = expected.get(NAME_TAG, "")
        expected |= kept(
            run_name_tag="" if tag == run.info.run_name else tag[:LONGEST_TAG],
            model_outputs=without_partner(run.outputs.model_outputs, partners),
        )
        wanted, held = tag_facts(expected, there, unseen=[NAME_TAG])
        for tags in (wanted, held):
            if HISTORY_TAG in tags:
                tags[HISTORY_TAG] = self._renewed(tags[HISTORY_TAG])
        return wanted, held

    def _renewed(self, text: str) -> str:
        """Return a text with the ids of the destination in place of those of the source."""

        def new(found: re.Match[str]) -> str:
            return (
                self.ends.partners.find("run", found[0])
                or self.ends.partners.find("logged_model", found[0])
                or found[0]
            )

        return _ID.sub(new, text)

    async def _files(self, run: Run, found: Run) -> FileSides:
        source = Root(self.ends.source, run.info.artifact_uri, "run", run.info.run_id)
        destination = Root(self.ends.destination, found.info.artifact_uri, "run", found.info.run_id)
        return await self.files.sides(source, destination, {run.info.run_id: found.info.run_id})


def _facts(run: Run) -> Facts:
    info = run.info
    return {
        "status": info.status,
        "start time": info.start_time or 0,
        "end time": info.end_time or 0,
        "lifecycle": info.lifecycle_stage,
    }
