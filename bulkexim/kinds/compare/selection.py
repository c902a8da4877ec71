"""What a comparison expects to be at the destination: the selection, worked out from plain listings of the source."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

from bulkexim.config import ALL, Settings
from bulkexim.config import Selection as Chosen
from bulkexim.ends.server import Server
from bulkexim.kinds.compare.listings import (
    each,
    experiments,
    logged_model,
    logged_models,
    registered_models,
    run,
    versions,
)
from bulkexim.kinds.compare.pointing import pointed
from bulkexim.kinds.compare.records import Experiment

#: Objects that are asked for one by one at a time.
AT_ONCE = 100


def fits(patterns: Chosen, *names: str) -> bool:
    """Return whether one of the names of an object is among the patterns; without patterns every object is."""
    if patterns is None or patterns == ALL:
        return True
    return any(name == one or re.match(fnmatch.translate(one), name) for one in patterns for name in names)


def new_name(renames: Mapping[str, str], name: str) -> str:
    """Return what an object is called at the destination: an entry may end in ``*`` and stand for a beginning."""
    if name in renames:
        return renames[name]
    beginnings = ((old.removesuffix("*"), new) for old, new in renames.items() if old.endswith("*"))
    for beginning, new in beginnings:
        if name.startswith(beginning):
            return new.removesuffix("*") + name.removeprefix(beginning)
    return name


@dataclass(frozen=True)
class Selection:
    """The experiments of the source (``all``, and those ``chosen``), and which further parts are expected.

    ``models`` are the names of the chosen registered models; ``None`` where the registry is left out. ``logged_models``
    says whether logged models and the links to them are expected, ``linked`` that the source has any which is not
    deleted.
    """

    settings: Settings
    all: Sequence[Experiment]
    chosen: Sequence[Experiment]
    models: frozenset[str] | None
    logged_models: bool
    linked: bool

    def holds(self, home: str, *, deleted: bool, start: int | None = None) -> bool:
        """Return whether the selection itself names a run or logged model of the experiment ``home``."""
        since, until = self.settings.run_start_time, self.settings.runs_until
        in_time = start is None or ((since is None or start >= since) and (until is None or start < until))
        return home in self.homes and in_time and (self.settings.include_deleted or not deleted)

    @cached_property
    def deleted(self) -> frozenset[str]:
        """The ids of the deleted experiments."""
        return frozenset(one.experiment_id for one in self.all if one.deleted)

    @cached_property
    def homes(self) -> frozenset[str]:
        """The ids of the chosen experiments."""
        return frozenset(one.experiment_id for one in self.chosen)


@dataclass(frozen=True, slots=True)
class Referenced:
    """Runs and logged models to which chosen versions point and that the selection does not name, with their homes."""

    runs: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)

    @property
    def homes(self) -> frozenset[str]:
        """The experiments that hold them."""
        return frozenset(self.runs.values()) | frozenset(self.models.values())


async def select(source: Server, settings: Settings) -> Selection:
    """List the source, and choose."""
    everything = [one async for page in experiments(source) for one in page]
    chosen = [
        one
        for one in everything
        if settings.moves_experiments
        and fits(settings.experiments, one.name, one.experiment_id)
        and (settings.include_deleted or not one.deleted)
    ]
    models = None
    if settings.moves_models:
        names = [one.name async for page in registered_models(source) for one in page]
        models = frozenset(name for name in names if fits(settings.models, name))
    logged = "logged_model" not in settings.without and source.capabilities.logged_models
    linked = logged and await _has_logged_models(source, everything)
    return Selection(settings, everything, chosen, models, logged, linked)


async def _has_logged_models(source: Server, homes: Sequence[Experiment]) -> bool:
    async for page in logged_models(source, [one.experiment_id for one in homes], size=1):
        if page:
            return True
    return False


async def referenced(source: Server, selection: Selection, met: Mapping[str, Container[str]]) -> Referenced:
    """Find what the chosen versions need beyond the objects ``met`` (by kind), as far as the source still has it."""
    wanted: dict[str, set[str]] = {"run": set(), "logged_model": set()}
    async for page in versions(source):
        for version in page:
            if selection.models and version.name in selection.models:
                to = pointed(version.source)
                wanted["run"] |= {version.run_id} - {""}
                wanted.get(to.kind, set()).add(to.id)
                wanted["logged_model"] |= {version.model_id} - {""}
    runs: dict[str, str] = {}
    for some in _batches(one for one in wanted["run"] if one not in met["run"]):
        for run_id, found in (await each(lambda run_id: run(source, run_id), some)).items():
            if not selection.holds(found.info.experiment_id, deleted=found.deleted, start=found.info.start_time):
                runs[run_id] = found.info.experiment_id
    models: dict[str, str] = {}
    ids = (one for one in wanted["logged_model"] if one not in met["logged_model"])
    for some in _batches(ids if selection.logged_models else ()):
        for model_id, model in (await each(lambda model_id: logged_model(source, model_id), some)).items():
            if not selection.holds(model.info.experiment_id, deleted=model.deleted):
                models[model_id] = model.info.experiment_id
    return Referenced(runs, models)


def _batches(ids: Iterable[str]) -> Iterable[list[str]]:
    left = iter(sorted(ids))
    while some := list(islice(left, AT_ONCE)):
        yield some
