"""The migrating process is killed, its ledger harmed: the next run loses nothing and doubles nothing.

Slices with fixed seeds of the campaigns that ``python -m bench.campaigns`` runs in full.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import pytest

from bulkexim import Settings
from bulkexim.engine.migration import copier, ends
from bulkexim.kinds.order import every_kind, resolve
from bulkexim.kinds.scope import Pair
from bulkexim.ledger.opening import blank
from tests.support.campaigns.disks import NotAllowed
from tests.support.campaigns.ground import Ground, prepare, single
from tests.support.campaigns.kill import kill_everywhere, kill_in_chains
from tests.support.campaigns.ledger import harm_ledgers
from tests.support.campaigns.tenant import build_linked
from tests.support.faults import Asked, Fault
from tests.support.migrating import planned
from tests.support.servers import Servers


@pytest.fixture(scope="module")
def ground(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """A tenant with every link between kinds, and a destination with room for many trials."""
    source = servers.start()
    build_linked(source.url)
    return prepare(servers, source, tmp_path_factory.mktemp("trials"))


def test_a_kill_at_any_request_loses_and_doubles_nothing(ground: Ground) -> None:
    killed = anyio.run(lambda: kill_everywhere(ground, first=9, step=29))
    assert (killed.unfinished, killed.differences, killed.doubled) == ((), (), ())
    assert killed.kills >= 9


def test_a_chain_of_kills_loses_and_doubles_nothing(ground: Ground) -> None:
    killed = anyio.run(lambda: kill_in_chains(ground, seed=3, chains=1, length=6))
    assert (killed.unfinished, killed.differences, killed.doubled) == ((), (), ())
    assert killed.kills >= 2


def test_a_harmed_ledger_is_rebuilt_or_refused_in_a_sentence(ground: Ground) -> None:
    harmed = anyio.run(lambda: harm_ledgers(ground, cuts=4, limits=1))
    assert (harmed.unclear, harmed.differences, harmed.doubled) == ((), (), ())
    assert harmed.rebuilt + harmed.stopped == harmed.trials


def test_full_and_read_only_disks_stop_in_a_sentence_and_lose_nothing(ground: Ground) -> None:
    try:
        harmed = anyio.run(lambda: harm_ledgers(ground, cuts=0, limits=0, disks=1, seed=2))
    except NotAllowed as reason:
        pytest.skip(f"no disk can be mounted here: {reason}")
    assert (harmed.unclear, harmed.differences, harmed.doubled) == ((), (), ())


def test_the_campaigns_move_every_kind_that_there_is(ground: Ground, tmp_path: Path) -> None:
    """A kind that is added to the registry has to be added to their tenant, too."""

    async def names() -> set[str]:
        settings = Settings(work_dir=tmp_path, include_deleted=True)
        async with ends(ground.source, ground.destination.url, settings) as (source, destination), blank() as ledger:
            pair = Pair(source, destination, ledger, settings)
            scope = await resolve(pair)
            return {kind.name for kind in every_kind(pair, copier(source, destination, settings), scope)}

    registered = anyio.run(names)
    plan = planned(ground.source, ground.destination, tmp_path, include_deleted=True)
    assert {kind.kind for kind in plan.kinds if kind.to_move} == registered


def test_a_run_that_only_a_version_refers_to_is_completed_after_a_kill(ground: Ground) -> None:
    """It is deleted, so that no selection brings it: the next run has to see that it was begun."""
    active = replace(ground, include_deleted=False)

    async def trials() -> list[str]:
        async with single(active, "quiet") as one:
            assert (await one.run()).exit_code == 0
            creates = sum(_creates_run(entry.asked) for entry in one.faults.log)
        async with single(active, "referred") as one:
            assert (await one.run(_Create(creates))).killed
            assert (await one.run()).exit_code == 0
            return await one.differences()

    assert anyio.run(trials) == []


@dataclass
class _Create:
    """Kills the client when so many runs were created."""

    left: int

    def __call__(self, asked: Asked) -> Fault:
        self.left -= _creates_run(asked)
        return Fault.KILL_AFTER if self.left == 0 and _creates_run(asked) else Fault.PASS


def _creates_run(asked: Asked) -> bool:
    return asked.end == "destination" and asked.path.endswith("runs/create")
