"""Reads both servers of the demo afresh and sets them side by side."""

from __future__ import annotations

from typing import NamedTuple

from bulkexim.demo.fill import MODEL
from bulkexim.ends.server import Server
from bulkexim.kinds.experiment import Experiment, experiments
from bulkexim.kinds.registered_model import registered_models
from bulkexim.kinds.run_search import search_runs
from bulkexim.kinds.run_values import Run
from bulkexim.kinds.version_values import versions_of


class Line(NamedTuple):
    """One fact at both ends."""

    fact: str
    source: str
    destination: str

    @property
    def equal(self) -> bool:
        """Whether both ends say the same."""
        return self.source == self.destination


async def compare(source: Server, destination: Server) -> list[Line]:
    """Return what the demo shows: counts, and the twelve versions with their aliases and runs."""
    left, right = await _facts(source), await _facts(destination)
    return [Line(fact, left.get(fact, "-"), right.get(fact, "-")) for fact in {**left, **right}]


async def _facts(server: Server) -> dict[str, str]:
    found: list[Experiment] = []
    async for page in experiments(server, deleted=False):
        found += page
    runs: dict[str, Run] = {}
    async for some in search_runs(server, [one.experiment_id for one in found], "ACTIVE_ONLY", ""):
        runs |= {run.info.run_id: run for run in some}
    facts = {"experiments": str(len(found)), "runs": str(len(runs))}
    facts["earliest start (ms)"] = str(min(run.info.start_time or 0 for run in runs.values()))
    aliases: dict[str, list[str]] = {}
    async for models in registered_models(server):
        for model in models:
            if model.name == MODEL:
                for alias in model.aliases:
                    aliases.setdefault(alias.version, []).append(f"@{alias.alias}")
    for version in await versions_of(server, MODEL):
        run = runs.get(version.run_id)
        said = [run.info.run_name if run else "no run", version.description]
        facts[f"{MODEL} {version.version}"] = ", ".join(said + aliases.get(version.version, []))
    return facts
