"""Which object of the destination came from which of the source: by provenance tags, never by a ledger."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.support.oracle.selection import Selection
from tests.support.oracle.snapshot import Snapshot


@dataclass(frozen=True)
class Match:
    """How a run or logged model of the destination names the one it came from; no tag means: it has the same id."""

    run_tag: str | None
    model_tag: str | None


BY_MARKER = Match("bulkexim.source.run_id", "bulkexim.source.model_id")
BY_ID = Match(None, None)


@dataclass(frozen=True)
class Translation:
    """Ids of the source to ids of the destination; ``keep`` says what becomes of ids that have none."""

    runs: Mapping[str, str]
    models: Mapping[str, str]
    keep: bool

    def run(self, run_id: str | None) -> str | None:
        """The run at the destination, if there is one."""
        return self.runs.get(run_id, run_id if self.keep else None) if run_id else None

    def model(self, model_id: str | None) -> str | None:
        """The logged model at the destination, if there is one."""
        return self.models.get(model_id, model_id if self.keep else None) if model_id else None

    def any(self, text: str) -> str:
        """The id at the destination if the text is an id that has one, otherwise the text."""
        return self.runs.get(text) or self.models.get(text) or text


@dataclass(frozen=True)
class Pairs:
    """The pairs of runs and logged models of two servers, source id to destination ids."""

    source: Snapshot
    destination: Snapshot
    match: Match
    runs: Mapping[str, list[str]]
    models: Mapping[str, list[str]]

    @classmethod
    def find(cls, source: Snapshot, destination: Snapshot, match: Match) -> "Pairs":
        """Pairs what belongs together."""
        runs: defaultdict[str, list[str]] = defaultdict(list)
        models: defaultdict[str, list[str]] = defaultdict(list)
        for run_id, run in destination.runs.items():
            if "bulkexim.swept" in run.data.tags and run.info.lifecycle_stage == "deleted":
                continue  # MLflow's API can only put a double into the bin.
            runs[run.data.tags.get(match.run_tag, "") if match.run_tag else run_id].append(run_id)
        for model_id, model in destination.logged_models.items():
            models[model.tags.get(match.model_tag, "") if match.model_tag else model_id].append(model_id)
        return cls(source, destination, match, runs, models)

    @property
    def doubled(self) -> list[str]:
        """Objects of the source that the destination has more than once."""
        return [
            f"{kind} {origin}: doubled at the destination as {', '.join(sorted(copies))}"
            for kind, pairs in (("run", self.runs), ("logged model", self.models))
            for origin, copies in pairs.items()
            if origin and len(copies) > 1
        ]

    def extra(self, wanted: Selection) -> Iterator[str]:
        """Runs and logged models of the destination that came from nothing that is wanted there."""
        for kind, pairs, of in (("run", self.runs, wanted.runs), ("logged model", self.models, wanted.logged_models)):
            for origin, copies in pairs.items():
                if origin not in of:
                    came = f"came from {origin}, which is not to be there" if origin else "came from nowhere"
                    yield from (f"{kind} {copy}: extra, {came}" for copy in copies)

    def present(self, wanted: Selection) -> Selection:
        """What there is at the destination of the runs and models that are wanted, and all the rest."""
        return Selection(
            experiments=frozenset(self.destination.experiments),
            runs={origin: self.runs[origin][0] for origin in wanted.runs if origin in self.runs},
            logged_models={origin: self.models[origin][0] for origin in wanted.logged_models if origin in self.models},
        )

    def translation(self) -> Translation:
        """Turns ids of the source into those of the destination."""
        return Translation(
            {origin: copies[0] for origin, copies in self.runs.items() if origin},
            {origin: copies[0] for origin, copies in self.models.items() if origin},
            keep=self.match == BY_ID,
        )

    def untranslated(self) -> Translation:
        """Leaves the ids of the destination as they are."""
        return Translation({}, {}, keep=True)
