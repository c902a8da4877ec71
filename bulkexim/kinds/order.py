"""The kinds in the order of their dependencies, as the passes of a migration."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bulkexim.artifacts.copier import Copier
from bulkexim.config import ALL, Settings
from bulkexim.errors import FatalError
from bulkexim.ids import SourceId
from bulkexim.kinds.base import FOR_A_VERSION, Kind
from bulkexim.kinds.experiment import Experiment, ExperimentKind, experiments, names_of
from bulkexim.kinds.logged_model import LoggedModelKind
from bulkexim.kinds.logged_model_values import (
    EXPERIMENTS_AT_ONCE,
    LoggedModel,
    deleted_logged_models,
    every_logged_model,
    logged_models,
    models_by_id,
)
from bulkexim.kinds.model_version import ModelVersionKind
from bulkexim.kinds.registered_model import RegisteredModelKind, registered_models
from bulkexim.kinds.run import RunKind
from bulkexim.kinds.run_search import runs_by_id
from bulkexim.kinds.run_shells import RunShells
from bulkexim.kinds.scope import Pair, Unmatched, check_names, chosen, unused
from bulkexim.kinds.version_values import model_versions, target
from bulkexim.ledger.schema import State

AnyKind = Kind[Any, Any]
#: Returns those of some objects of a kind of which nothing need be asked.
Known = Callable[[str, set[SourceId]], Awaitable[Container[SourceId]]]


@dataclass(frozen=True, slots=True)
class Scope:
    """What was selected: experiments (all of the source are ``known``), and whether the registry is moved.

    ``warnings`` are sentences on what of the selection fits nothing.
    """

    known: Sequence[Experiment]
    selected: Sequence[Experiment]
    registry: bool
    logged_models: bool
    warnings: Sequence[str] = ()


async def resolve(pair: Pair) -> Scope:
    """Find out what the selection means at the source.

    :raises UsageError: it names something that does not exist
    :raises FatalError: the destination cannot hold something that was selected
    """
    known = [found async for page in experiments(pair.source) for found in page]
    selected, warnings = _experiments(pair.settings, known)
    warnings += names_of(pair, selected).doubles()
    warnings = [*_guesses(pair), *pair.source.local_warnings, *warnings, *await _check_models(pair)]
    logged = await _moves_logged_models(pair, known, selected)
    return Scope(known, selected, pair.settings.moves_models, logged, warnings)


def _guesses(pair: Pair) -> Iterator[str]:
    """Yield a warning for each end whose version could only be guessed."""
    for server in pair.servers:
        if server.capabilities.guessed:
            yield (
                f"The {server.client.name} does not say which MLflow it is; by its routes it is "
                f"{server.capabilities.text}, and it is used as the oldest of these."
            )


def _experiments(settings: Settings, known: Sequence[Experiment]) -> tuple[list[Experiment], list[str]]:
    """Return the selected experiments, and warnings."""
    unmatched = Unmatched("--experiments", settings.experiments)
    for found in known:
        moved = settings.include_deleted or not found.deleted
        unmatched.seen(found.name, found.experiment_id, moved=moved)
    warnings = unmatched.check("is deleted there and stays behind: --include-deleted moves it too.")
    selected = [
        found
        for found in known
        if settings.moves_experiments
        and (settings.include_deleted or not found.deleted)
        and chosen(settings.experiments, found.name, found.experiment_id)
    ]
    flag, renames = "--experiment-rename-file", settings.experiment_renames
    check_names(flag, renames, (found.name for found in selected))
    # A version may still bring an experiment that nobody selected.
    possible = known if settings.moves_models else selected
    return selected, warnings + unused(flag, renames, (found.name for found in possible))


async def _check_models(pair: Pair) -> list[str]:
    """Return warnings on the selection of models."""
    settings, flag = pair.settings, "--model-rename-file"
    if not settings.moves_models:
        return unused(flag, settings.model_renames, ())
    if settings.models in (None, ALL) and not settings.model_renames:
        return []
    unmatched = Unmatched("--models", settings.models)
    names = [model.name async for page in registered_models(pair.source) for model in page]
    for name in names:
        unmatched.seen(name)
    warnings = unmatched.check()
    moved = [name for name in names if chosen(settings.models, name)]
    check_names(flag, settings.model_renames, moved)
    return warnings + unused(flag, settings.model_renames, moved)


async def _moves_logged_models(pair: Pair, known: Sequence[Experiment], selected: Sequence[Experiment]) -> bool:
    if "logged_model" in pair.settings.without or not pair.source.capabilities.logged_models:
        return False
    # A run may have read a model of any experiment, and only the run itself tells that.
    homes = known if pair.destination.capabilities.logged_models or pair.settings.moves_models else selected
    present = await _shows(logged_models(pair.source, some, page=1) for some in _chunks(homes))
    if not present and pair.settings.include_deleted and pair.source.capabilities.shows_deleted_logged_models:
        present = await _shows(deleted_logged_models(pair.source, some) for some in _chunks(selected))
    if present and not pair.destination.capabilities.logged_models:
        raise FatalError(
            f"The destination is MLflow {pair.destination.capabilities.text} and cannot hold the logged models "
            "of the source.",
            "Upgrade it to MLflow 3, or leave them out knowingly with --without logged_model.",
        )
    return present


async def _shows(listings: Iterable[AsyncIterator[Sequence[LoggedModel]]]) -> bool:
    for pages in listings:
        async for page in pages:
            if page:
                return True
    return False


def _chunks(found: Sequence[Experiment]) -> Iterator[list[SourceId]]:
    """Yield the ids of experiments, as many as one search names."""
    ids = [one.experiment_id for one in found]
    return (ids[start : start + EXPERIMENTS_AT_ONCE] for start in range(0, len(ids), EXPERIMENTS_AT_ONCE))


async def left_out(pair: Pair, scope: Scope) -> AsyncIterator[tuple[str, int]]:
    """Yield kinds that are left out knowingly, with the number of their objects."""
    if LoggedModelKind.name in pair.settings.without and pair.source.capabilities.logged_models:
        ids, deleted = [found.experiment_id for found in scope.selected], pair.settings.include_deleted
        pages = every_logged_model(pair.source, ids, deleted=deleted)
        yield LoggedModelKind.name, sum([len(page) async for page in pages])
    if RegisteredModelKind.name in pair.settings.without:
        yield RegisteredModelKind.name, sum([len(page) async for page in registered_models(pair.source)])
        yield ModelVersionKind.name, sum([len(page) async for page in model_versions(pair.source)])


def every_kind(pair: Pair, copier: Copier, scope: Scope) -> list[AnyKind]:
    """Return each kind of the selection once, in order."""
    kinds = tracking(pair, copier, scope, scope.selected)
    return [kind for kind in [*kinds, *(registry(pair) if scope.registry else [])] if kind.until is State.SEALED]


@dataclass(frozen=True, slots=True)
class Referenced:
    """Runs and logged models to which selected versions point, and which no selection brings; their experiments."""

    runs: Sequence[SourceId] = ()
    models: Sequence[SourceId] = ()
    experiments: frozenset[SourceId] = frozenset()


async def passes(pair: Pair, copier: Copier, scope: Scope) -> AsyncIterator[Sequence[AnyKind]]:
    """Yield the kinds in groups; a later group is built when the earlier ones are moved.

    What only versions need comes with all the rest: MLflow links a logged model with its run when it is created, and
    never later; and what is linked with an object must be there when that is written.
    """
    needed = await _referenced(pair, scope, partial(_complete, pair)) if scope.registry else Referenced()
    _check_experiment_names(pair, scope, needed)
    yield tracking(pair, copier, scope, scope.selected, needed)
    if not scope.registry:
        return
    # The source may be written to: what was selected a moment ago may be deleted by now.
    later = await _referenced(pair, scope, pair.ledger.rows)
    if later.runs or later.models:
        _check_experiment_names(pair, scope, later)
        moved = needed.experiments | {found.experiment_id for found in scope.selected}
        yield tracking(pair, copier, scope, (), later, moved=moved)
    yield registry(pair)


def _check_experiment_names(pair: Pair, scope: Scope, needed: Referenced) -> None:
    owners = {found.name for found in scope.known if found.experiment_id in needed.experiments}
    names = sorted(owners | {found.name for found in scope.selected})
    check_names("--experiment-rename-file", pair.settings.experiment_renames, names)


def tracking(
    pair: Pair,
    copier: Copier,
    scope: Scope,
    selected: Sequence[Experiment],
    needed: Referenced = Referenced(),
    *,
    moved: Container[SourceId] = (),
) -> list[AnyKind]:
    """Return the kinds of the tracking store: experiments that are not ``moved`` yet, then what they hold."""
    wanted = needed.experiments | {found.experiment_id for found in selected}
    homes = [found for found in scope.known if found.experiment_id in wanted]
    first = ExperimentKind(pair, [found for found in homes if found.experiment_id not in moved])
    # A version may point to a deleted one where the source has no other.
    logged = scope.logged_models or bool(needed.models)
    runs = RunKind(pair, copier, selected, homes, needed.runs, with_models=logged)
    if not logged:
        return [first, runs]
    models = LoggedModelKind(pair, copier, selected, homes, needed.models)
    shells = RunShells(pair, copier, selected, homes, needed.runs)
    shells.models = models
    return [first, shells, models, runs]


def registry(pair: Pair) -> list[AnyKind]:
    """Return the kinds of the registry: models, then their versions."""
    registered = RegisteredModelKind(pair)
    return [registered, ModelVersionKind(pair, registered)]


async def _referenced(pair: Pair, scope: Scope, known: Known) -> Referenced:
    """Find runs that no selection brings, although a version needs them: deleted ones, or all with --models.

    ``known`` says of which objects this need not be asked.
    """
    everywhere = [found.experiment_id for found in scope.known]
    selected = frozenset(found.experiment_id for found in scope.selected)
    runs: dict[SourceId, SourceId] = {}
    models: dict[SourceId, SourceId] = {}
    async for page in model_versions(pair.source):
        chosen_ones = [version for version in page if chosen(pair.settings.models, version.name)]
        wanted_runs = {version.run_id for version in chosen_ones if version.run_id}
        wanted_models = {version.model_id for version in chosen_ones if version.model_id}
        for to in (target(version.source) for version in chosen_ones):
            if to.kind == "run":
                wanted_runs.add(to.id)
            elif to.kind == "logged_model":
                wanted_models.add(to.id)
        # A run that is not found is gone for good: the version keeps its id as provenance.
        async for some in runs_by_id(pair.source, everywhere, await _unknown(known, "run", wanted_runs)):
            runs |= {
                run.info.run_id: run.info.experiment_id
                for run in some
                if not _is_selected(
                    pair, selected, run.info.experiment_id, deleted=run.deleted, time=run.info.start_time
                )
            }
        if "logged_model" not in pair.settings.without and pair.destination.capabilities.logged_models:
            unknown = await _unknown(known, "logged_model", wanted_models)
            async for found in models_by_id(pair.source, everywhere, unknown):
                models |= {
                    model.info.model_id: model.info.experiment_id
                    for model in found
                    if not _is_selected(pair, selected, model.info.experiment_id, deleted=model.deleted)
                }
    return Referenced(sorted(runs), sorted(models), frozenset(runs.values()) | frozenset(models.values()))


async def _unknown(known: Known, kind: str, ids: set[SourceId]) -> list[SourceId]:
    there = await known(kind, ids)
    return sorted(one for one in ids if one not in there)


async def _complete(pair: Pair, kind: str, ids: set[SourceId]) -> Container[SourceId]:
    # What came for a version only is not in any listing, so it is looked at again here.
    rows = await pair.ledger.rows(kind, ids - await pair.ledger.noted(kind, FOR_A_VERSION.what))
    return {one for one, row in rows.items() if row.state is State.SEALED and not row.error}


def _is_selected(
    pair: Pair, experiments: Container[SourceId], home: SourceId, *, deleted: bool, time: int | None = None
) -> bool:
    """Return whether the selection itself brings a run or logged model, so that nothing else need do it."""
    settings = pair.settings
    early = time is not None and settings.run_start_time is not None and time < settings.run_start_time
    late = time is not None and settings.runs_until is not None and time >= settings.runs_until
    return home in experiments and (settings.include_deleted or not deleted) and not early and not late
