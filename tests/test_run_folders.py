"""The folders of runs are listed once for many runs, and no run loses its files by that."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from mlflow import MlflowClient

from bulkexim.config import Endpoint
from bulkexim.ends.server import Server, connected
from bulkexim.kinds.files import RunFolders
from bulkexim.kinds.run_values import Run, get_run
from tests.support.servers import MlflowServer, Servers

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server(servers: Servers) -> MlflowServer:
    return servers.start()


@pytest.fixture
async def source(server: MlflowServer) -> AsyncIterator[Server]:
    async with connected(Endpoint(uri=server.url), "source") as found:
        yield found


class Experiment:
    """An experiment of a test's own, in which runs start and end."""

    def __init__(self, server: MlflowServer, name: str) -> None:
        self.client = MlflowClient(server.url, server.url)
        self.id = self.client.create_experiment(name)

    def run(self, text: str = "") -> str:
        """Starts and ends a run, and returns its id; with ``text``, it logs a file."""
        run_id = str(self.client.create_run(self.id).info.run_id)
        if text:
            self.client.log_text(run_id, text, "notes.txt")
        self.client.set_terminated(run_id)
        return run_id


async def listed(source: Server, folders: RunFolders, *ids: str) -> list[Run]:
    """Returns runs as a listing brings them."""
    return folders.page([await get_run(source, run_id) for run_id in ids])


async def test_a_run_that_starts_and_ends_after_its_experiment_was_listed_keeps_its_files(
    server: MlflowServer, source: Server
) -> None:
    experiment, folders = Experiment(server, "meanwhile"), RunFolders(source)
    [early] = await listed(source, folders, experiment.run())
    assert not await folders.may_have_artifacts(early)
    [late] = await listed(source, folders, experiment.run("started and ended meanwhile"))
    assert await folders.may_have_artifacts(late)


async def test_a_run_that_was_listed_before_it_logged_is_looked_for_again_when_it_is_listed_again(
    server: MlflowServer, source: Server
) -> None:
    experiment, folders = Experiment(server, "growing"), RunFolders(source)
    run_id = str(experiment.client.create_run(experiment.id).info.run_id)
    [running] = await listed(source, folders, run_id)
    assert not await folders.may_have_artifacts(running)
    experiment.client.log_text(run_id, "late", "notes.txt")
    [ended] = await listed(source, folders, run_id)
    assert await folders.may_have_artifacts(ended)


async def test_an_experiment_is_listed_once_for_each_page_of_its_runs_at_most(
    server: MlflowServer, source: Server
) -> None:
    experiment, folders = Experiment(server, "counted"), RunFolders(source)
    ids = [experiment.run("a file" if number % 2 else "") for number in range(6)]
    for page, requests in ((ids[:4], 1), (ids[4:], 2)):
        runs = await listed(source, folders, *page)
        assert [await folders.may_have_artifacts(run) for run in runs] == [False, True] * (len(page) // 2)
        assert folders.requests == requests
    with_files = await listed(source, folders, *ids[1::2])
    assert all([await folders.may_have_artifacts(run) for run in with_files])
    assert folders.requests == 2
