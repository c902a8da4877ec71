"""Logged models that are looked for by their ids: what is found, and what it costs."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from bulkexim.config import Endpoint
from bulkexim.ends.server import Server, connected
from bulkexim.ids import SourceId
from bulkexim.kinds.logged_model_values import PAGE, models_by_id
from tests.support.old_mlflow import interpreter
from tests.support.servers import MlflowServer, Servers

pytestmark = pytest.mark.anyio

NOBODY = SourceId("m-" + "0" * 32)
NO_ID = SourceId("quote ' (and more)")


class Filled:
    """A server with logged models in two experiments, of which some are deleted."""

    def __init__(self, server: MlflowServer, models: int) -> None:
        self.url, client = server.url, MlflowClient(server.url)
        self.experiments = [client.create_experiment(name) for name in ("one", "two")]
        homes = [self.experiments[number % 2] for number in range(models)]
        self.models = [SourceId(client.create_logged_model(home).model_id) for home in homes]
        self.deleted = self.models[:2]
        for model_id in self.deleted:
            client.delete_logged_model(model_id)

    async def found(self, experiments: list[str]) -> tuple[dict[SourceId, bool], int]:
        """Return which logged models are found with whether they are deleted, and the number of requests."""
        async with connected(Endpoint(uri=self.url), "source") as server:
            return await self._found(server, experiments)

    async def _found(self, server: Server, experiments: list[str]) -> tuple[dict[SourceId, bool], int]:
        before = server.client.traffic.requests
        pages = models_by_id(server, experiments, [*self.models, NOBODY, NO_ID])
        found = [model async for page in pages for model in page]
        ids = {model.info.model_id: model.deleted for model in found}
        assert len(ids) == len(found), "a logged model is told twice"
        return ids, server.client.traffic.requests - before


def expected(filled: Filled) -> dict[SourceId, bool]:
    """All of them, with whether they are deleted."""
    return {model_id: model_id in filled.deleted for model_id in filled.models}


async def test_a_hundred_are_found_with_one_request_and_only_the_rest_is_asked_for_one_by_one(servers: Servers) -> None:
    """Deleted ones, and an id that nobody has, show in no search."""
    filled = Filled(servers.start(), PAGE + 5)
    found, requests = await filled.found(filled.experiments)
    assert found == expected(filled)
    assert requests == 2 + 2 * len([*filled.deleted, NOBODY])


async def test_what_is_in_another_experiment_is_found_as_well(servers: Servers) -> None:
    """A selection that is no longer complete must not take what is there for gone."""
    filled = Filled(servers.start(), 6)
    for experiments in (filled.experiments[:1], []):
        found, _ = await filled.found(experiments)
        assert found == expected(filled)


async def test_a_file_store_is_asked_for_each(servers: Servers, tmp_path: Path) -> None:
    """It does not understand a list of ids."""
    filled = Filled(servers.start(store=tmp_path / "mlruns", env={"MLFLOW_ALLOW_FILE_STORE": "true"}), 4)
    found, _ = await filled.found(filled.experiments)
    assert found == expected(filled)


async def test_the_first_releases_of_mlflow_3_understand_the_search_as_well(servers: Servers) -> None:
    """MLflow 3.0 to 3.6 shows no deleted logged model."""
    python = interpreter("3.4")
    if python is None:
        pytest.skip("needs MLflow 3.4 in BULKEXIM_TEST_MLFLOW")
    filled = Filled(servers.start(python=python), 6)
    found, requests = await filled.found(filled.experiments)
    assert found == dict.fromkeys(filled.models[2:], False)
    assert requests == 1 + 2 * len([*filled.deleted, NOBODY])
