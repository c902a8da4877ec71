"""Finds out whether the destination holds this very source already, moved there under another name of it.

Markers are digests of the source's identity, so what came from another address of the same server is not recognised and
would be moved a second time. What gives it away: ids and times of creation that were kept as tags, and ids of runs.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import NamedTuple

from bulkexim.errors import FatalError
from bulkexim.ids import MARKER_TAG
from bulkexim.kinds import experiment, registered_model
from bulkexim.kinds.distinct_ends import is_telling
from bulkexim.kinds.experiment import DEFAULT_ID, Experiment, ExperimentKind, experiments
from bulkexim.kinds.registered_model import RegisteredModelKind, registered_models
from bulkexim.kinds.run import RunKind
from bulkexim.kinds.run_values import SOURCE_TAG, RunPage
from bulkexim.kinds.scope import Pair
from bulkexim.kinds.wire import provenance_of

_MARKED = f"tags.`{MARKER_TAG}` LIKE '%'"
#: Experiments whose runs are asked for, where nothing else tells from which source they came.
_ASKED = 3


class _Twins(NamedTuple):
    """An experiment of the destination that came from one with the id of ``ours``, at this source or another one."""

    ours: Experiment
    there: Experiment


async def duplicates(pair: Pair, known: Sequence[Experiment], *, models: bool) -> list[str]:
    """Return warnings on what the destination may hold already; ``models`` says that registered models are moved.

    It is asked once for a ledger: afterwards what is there is known to have come under the present name.

    :raises FatalError: it evidently holds this source, and nobody said that everything shall be there twice
    """
    if f"recovered {ExperimentKind.name}" in await pair.ledger.in_thread(pair.ledger.setup):
        return []
    certain, possible = await _experiments(pair, known)
    found = _told("experiment", certain) if certain else await _models(pair) if models else None
    if found is not None and not pair.settings.allow_duplicates:
        raise FatalError(f"{found.text} Going on would put everything there twice.", found.remedy)
    if found is not None:
        return [found.text]
    if not possible:
        return []
    names = ", ".join(repr(one.there.name) for one in possible)
    warning = (
        f"The destination holds experiments of another source with the ids and names of some here (such as {names}). "
        "If that source is this one under another address, stop, and give that address as --source-id."
    )
    return [warning]


class _Told(NamedTuple):
    text: str
    remedy: str


def _told(kind: str, found: Sequence[_Twins]) -> _Told:
    names = (experiment.made_from(one.there).named(ExperimentKind.name) for one in found)
    return _sentences(kind, found[0].there.name, len(found), next(filter(None, names), ""))


def _sentences(kind: str, example: str, number: int, identity: str) -> _Told:
    objects = f"the {kind} {example!r}" if number == 1 else f"{number:,} {kind}s (such as {example!r})"
    old = shlex.quote(identity) if identity else "and the address that the source had then"
    return _Told(
        f"The destination holds {objects} from this same source, or a copy of it, under "
        f"{f'the name {identity}' if identity else 'another name'}.",
        f"Add --source-id {old}: then what is there is recognised. Where two of everything are wanted, add "
        "--allow-duplicates.",
    )


async def _experiments(pair: Pair, known: Sequence[Experiment]) -> tuple[list[_Twins], list[_Twins]]:
    """Return experiments that came from this source under another name, and those of which nobody can tell."""
    ours = {one.experiment_id: one for one in known}
    certain: list[_Twins] = []
    unclear: list[_Twins] = []
    async for page in experiments(pair.destination, _MARKED):
        for there in page:
            made = experiment.made_from(there)
            twin = ours.get(made.src_id)
            if twin is None or made.is_from(pair.source.identity, ExperimentKind.name):
                continue
            created = str(twin.creation_time or "")
            if not (made.created and created) or (made.created == created and not is_telling(twin)):
                unclear.append(_Twins(twin, there))
            elif made.created == created:
                certain.append(_Twins(twin, there))
    if certain or not unclear:
        return certain, []
    return await _told_by_runs(pair, unclear)


async def _told_by_runs(pair: Pair, unclear: Sequence[_Twins]) -> tuple[list[_Twins], list[_Twins]]:
    certain, possible = [], []
    for twins in unclear[:_ASKED]:
        moved = await _has_moved_run(pair, twins)
        if moved:
            certain.append(twins)
        elif moved is None and twins.ours.name == twins.there.name and twins.ours.experiment_id != DEFAULT_ID:
            possible.append(twins)
    return certain, possible


async def _has_moved_run(pair: Pair, twins: _Twins) -> bool | None:
    """Return whether the first run of an experiment was moved under another name; ``None`` where it has no run."""
    body = {
        "experiment_ids": [twins.ours.experiment_id],
        "run_view_type": "ACTIVE_ONLY",
        "max_results": 1,
        "order_by": ["attributes.start_time ASC"],
    }
    first = (await pair.source.post("runs/search", body, RunPage)).runs
    if not first:
        return None
    query = f"tags.`{SOURCE_TAG}` = '{first[0].info.run_id}'"
    body = {
        "experiment_ids": [twins.there.experiment_id],
        "run_view_type": "ALL",
        "filter": query,
        "max_results": 1,
    }
    copies = (await pair.destination.post("runs/search", body, RunPage)).runs
    made = [provenance_of(run.data.tags, SOURCE_TAG) for run in copies]
    return any(one.mark and not one.is_from(pair.source.identity, RunKind.name) for one in made)


async def _models(pair: Pair) -> _Told | None:
    """Return what is told of registered models that came from this source under another name."""
    marked = {}
    async for page in registered_models(pair.destination, _MARKED):
        for there in page:
            made = registered_model.made_from(there)
            if made.created and not made.is_from(pair.source.identity, RegisteredModelKind.name):
                marked[made.src_id, made.created] = there
    if not marked:
        return None
    keys = [
        (model.name, str(model.creation_timestamp)) async for page in registered_models(pair.source) for model in page
    ]
    found = [marked[key] for key in keys if key in marked]
    if not found:
        return None
    names = (registered_model.made_from(one).named(RegisteredModelKind.name) for one in found)
    return _sentences("registered model", found[0].name, len(found), next(filter(None, names), ""))
