"""Makes sure that nothing is copied into itself: neither end may be the other one under another address."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bulkexim.ends.server import Server
from bulkexim.errors import FatalError, NotFound, Refused
from bulkexim.ids import MadeFrom
from bulkexim.kinds.experiment import DEFAULT_ID, Experiment, ExperimentKind, made_from, named_experiment
from bulkexim.kinds.registered_model import RegisteredModel, named_model, registered_models
from bulkexim.kinds.run_values import EXPERIMENTS_AT_ONCE, RunPage, get_run
from bulkexim.kinds.scope import Pair


async def check_distinct(source: Server, destination: Server, known: Sequence[Experiment]) -> None:
    """Compare one object of the source (of which ``known`` are the experiments) with what the destination has.

    Two servers without any object of a user are not told apart: there is nothing that could be doubled.

    :raises FatalError: both ends are one server, or one is a copy of the other
    """
    for look in (_same_experiment, _same_run, _same_model):
        try:
            same = await look(source, destination, known)
        except NotFound:
            return
        except Refused:
            continue  # This login may not see it, if it is there.
        if same:
            raise FatalError(
                f"Source and destination are one server, or one is a copy of the other: both have {same}.",
                "Give two servers, or two workspaces of one server (--src-workspace, --dst-workspace).",
            )
        if same is not None:
            return


async def _same_experiment(_source: Server, destination: Server, known: Sequence[Experiment]) -> str | None:
    """Return an experiment that both ends have, nothing if they differ, ``None`` if there is none to compare."""
    own = max(filter(is_telling, known), key=lambda one: one.creation_time or 0, default=None)
    if own is None:
        return None
    there = await named_experiment(destination, own.name)
    same = (there.experiment_id, there.creation_time) == (own.experiment_id, own.creation_time)
    return f"experiment {own.name!r} with the same id and time of creation" if same else ""


def is_telling(found: Experiment) -> bool:
    """Return whether no other server can have an experiment of that id and time of creation.

    Every server has the default one, and those that began as copies of one empty database have it of the same time.
    """
    return found.experiment_id != DEFAULT_ID and found.creation_time is not None


async def _same_run(source: Server, destination: Server, known: Sequence[Experiment]) -> str | None:
    for start in range(0, len(known), EXPERIMENTS_AT_ONCE):
        ids = [found.experiment_id for found in known[start : start + EXPERIMENTS_AT_ONCE]]
        body = {"experiment_ids": ids, "run_view_type": "ALL", "max_results": 1}
        for run in (await source.post("runs/search", body, RunPage)).runs:
            there = await get_run(destination, run.info.run_id)
            return f"run {run.info.run_id}" if there.info.run_id == run.info.run_id else ""
    return None


async def _same_model(source: Server, destination: Server, _known: Sequence[Experiment]) -> str | None:
    async for page in registered_models(source, page=1):
        for own in page:
            there = await named_model(destination, own.name)
            same = _times(there) == _times(own) and own.creation_timestamp is not None
            return f"registered model {own.name!r} with the same times of creation and change" if same else ""
    return None


def _times(model: RegisteredModel) -> tuple[int | None, int | None]:
    return model.creation_timestamp, model.last_updated_timestamp


def check_no_own_copy(pair: Pair, kind: str, objects: Iterable[tuple[str, MadeFrom]]) -> None:
    """Make sure that none of some objects of the source, given by name, was made by this very migration.

    :raises FatalError: one was
    """
    identity = pair.source.identity
    for name, made in objects:
        if made.is_from(identity, kind):
            raise FatalError(
                f"The source holds the {kind.replace('_', ' ')} {name!r}, which this migration made: it is copied into "
                f"itself, or {identity} was the address of another server when that was moved.",
                "Check --src-uri and --dst-uri; if the address is that of another server by now, give a --source-id of "
                "your own.",
            )


async def swapped(pair: Pair, known: Sequence[Experiment]) -> list[str]:
    """Return a warning where experiments of the source were once moved there from the destination."""
    moved = [found for found in known if made_from(found).mark]
    identity = pair.destination.identity
    if not any(made_from(found).is_from(identity, ExperimentKind.name) for found in moved):
        telling = next((found for found in moved if _is_telling_of_origin(found)), None)
        if telling is None or not await _has_original(pair.destination, telling):
            return []
    warning = (
        f"The source holds {len(moved):,} experiments (such as {moved[0].name!r}) that were moved there from the "
        "destination. If --src-uri and --dst-uri are swapped, stop: what they hold would be at the destination twice."
    )
    return [warning]


def _is_telling_of_origin(found: Experiment) -> bool:
    made = made_from(found)
    return made.src_id != DEFAULT_ID and bool(made.created)


async def _has_original(server: Server, copy: Experiment) -> bool:
    """Return whether a server has the experiment from which one was made, under the same name."""
    made = made_from(copy)
    try:
        there = await named_experiment(server, copy.name)
    except Refused:
        return False
    return (there.experiment_id, str(there.creation_time)) == (made.src_id, made.created)
