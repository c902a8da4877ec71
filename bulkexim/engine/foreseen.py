"""What a dry run finds out beforehand: whether the migration could begin, and what the destination would decline."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from anyio import to_thread

from bulkexim.artifacts.agreement import check_writable
from bulkexim.artifacts.places import proxied_root
from bulkexim.artifacts.proxied import Proxied
from bulkexim.ends.server import Server
from bulkexim.engine.report import INCOMPLETE
from bulkexim.errors import BulkeximError, CallError, FatalError, SwitchedOff
from bulkexim.ledger.files import check_usable
from bulkexim.left_behind import Cause, accepts

#: Experiments of the destination that are looked at; for the latest somebody may have chosen the root.
LOOKED_AT = 20


class Obstacle(msgspec.Struct, frozen=True):
    """What would end the migration at its beginning, or only keep files back, with the exit code that comes of it."""

    problem: str
    exit_code: int
    ends: bool = True


class _Located(msgspec.Struct, frozen=True):
    experiment_id: str
    artifact_location: str = ""


class _Page(msgspec.Struct, frozen=True):
    experiments: tuple[_Located, ...] = ()


async def obstacles(
    work_dir: Path, destination: Server, accept: Sequence[str], *, files: bool
) -> AsyncIterator[Obstacle]:
    """Yield what the migration could not get over; nothing is written to find it out.

    ``files`` says that it has any, ``accept`` which of them may stay behind.

    :raises CallError: the destination keeps failing
    """
    if (found := await _of_folder(check_usable, work_dir)) is not None:
        yield found
    if not files:
        return
    if destination.folder is not None:
        if (found := await _of_folder(check_writable, destination.folder)) is not None:
            yield found
    elif destination.capabilities.proxies_artifacts:
        try:
            await Proxied(destination, "").entries("")
        except SwitchedOff as error:
            exit_code = 0 if accepts(accept, Cause.FILE_REFUSED) else INCOMPLETE
            yield Obstacle(str(error), exit_code, ends=False)
        except CallError as error:
            if not error.definite:
                raise
        except FatalError as error:
            yield _obstacle(error)


async def _of_folder(check: Any, folder: Path) -> Obstacle | None:
    try:
        await to_thread.run_sync(check, folder)
    except BulkeximError as error:
        return _obstacle(error)
    return None


def _obstacle(error: BulkeximError) -> Obstacle:
    return Obstacle(str(error), error.exit_code)


async def knowing_its_roots(destination: Server) -> Server:
    """Return the destination as one of which it is known whether its artifact service takes files of new experiments.

    :raises CallError: it keeps failing
    """
    body = {"max_results": LOOKED_AT, "view_type": "ALL", "order_by": ["experiment_id DESC"]}
    latest = (await destination.post("experiments/search", body, _Page)).experiments
    # A root that a server chose itself ends with the id of the experiment; how it chose last, it will choose again.
    roots = [one.artifact_location for one in latest if one.artifact_location.endswith(f"/{one.experiment_id}")]
    proxies = not roots or proxied_root(roots[0]) is not None
    return replace(destination, capabilities=replace(destination.capabilities, proxies_artifacts=proxies))
