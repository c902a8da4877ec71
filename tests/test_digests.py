"""The digest of an object depends on its content alone; digests of earlier releases are still understood."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from bulkexim import Settings
from bulkexim.engine.migration import copier, ends
from bulkexim.ids import DIGEST_FORM, SourceId
from bulkexim.kinds.base import Draft
from bulkexim.kinds.columns import Lengths
from bulkexim.kinds.history import Point
from bulkexim.kinds.order import every_kind, resolve
from bulkexim.kinds.run_translation import Known, translated
from bulkexim.kinds.run_values import Run, RunData, RunInfo, RunInputs
from bulkexim.kinds.scope import Pair
from bulkexim.kinds.wire import Tag
from bulkexim.ledger.journal import Journal
from bulkexim.ledger.opening import journal
from bulkexim.ledger.schema import State
from tests.support.migrating import changes, migrated, moved
from tests.support.oracle import read
from tests.support.servers import MlflowServer, Servers
from tests.support.tenant import Tenant

Digests = Mapping[str, Mapping[SourceId, str]]

DATASETS = (
    {"dataset": {"name": "train", "digest": "aa"}, "tags": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]},
    {"dataset": {"name": "test", "digest": "bb"}, "tags": []},
)
RUN = Run(
    info=RunInfo(
        run_id=SourceId("1" * 32),
        experiment_id=SourceId("7"),
        run_name="a run",
        user_id="ada",
        status="FINISHED",
        start_time=5,
        end_time=9,
        artifact_uri="mlflow-artifacts:/7/run/artifacts",
    ),
    data=RunData(
        metrics=(Point("loss", 0.5, 8, 3), Point("odd", "NaN", 8, 3)),
        params=(Tag("depth", "3"), Tag("width", "4")),
        tags=(Tag("colour", "blue"), Tag("mlflow.runName", "a run"), Tag("team", "tests")),
    ),
    inputs=RunInputs(dataset_inputs=DATASETS),
)
#: What release 0.1 noted for RUN.
EARLIER = "fcae2c65fcf551089e4631454cc04f8e"


def _draft(run: Run) -> Draft[Any]:
    return translated(run, Known({}, {}, {}, frozenset()), Lengths(), final=True, artifacts=True)


def _turned(run: Run) -> Run:
    """Return the same run in another order of everything that MLflow gives without one."""
    data, given = run.data, run.inputs.dataset_inputs
    return Run(
        info=run.info,
        data=RunData(metrics=data.metrics[::-1], params=data.params[::-1], tags=data.tags[::-1]),
        inputs=RunInputs(dataset_inputs=tuple({**one, "tags": one["tags"][::-1]} for one in reversed(given))),
    )


def test_the_order_in_which_a_server_gives_rows_changes_nothing() -> None:
    assert _draft(_turned(RUN)).digest == _draft(RUN).digest


@pytest.mark.parametrize("part", ["metrics", "params", "tags"])
def test_a_row_less_is_other_content(part: str) -> None:
    data = msgspec.structs.replace(RUN.data, **{part: getattr(RUN.data, part)[1:]})
    assert _draft(msgspec.structs.replace(RUN, data=data)).digest != _draft(RUN).digest


def test_a_digest_of_an_earlier_release_is_understood() -> None:
    draft = _draft(RUN)
    assert draft.digest.startswith(DIGEST_FORM)
    assert draft.is_content(EARLIER)
    assert not draft.is_content("")
    assert not draft.is_content(EARLIER[::-1])
    assert not replace(draft, earlier=None).is_content(EARLIER)


def test_a_ledger_of_an_earlier_release_is_taken_over(
    small_server: MlflowServer, small_tenant: Tenant, servers: Servers, tmp_path: Path
) -> None:
    destination = servers.start()
    assert migrated(small_server, destination, tmp_path, include_deleted=True).exit_code == 0

    async def aged(ledger: Journal, pair: Pair) -> None:
        for kind, of_kind in (await _digests(pair)).items():
            assert of_kind
            await ledger.renewed(kind, of_kind)

    _with_ledger(small_server, destination, tmp_path, aged)
    before = read(destination.url)
    report = migrated(small_server, destination, tmp_path, include_deleted=True)
    assert (report.exit_code, moved(report)) == (0, 0)
    assert changes(before, read(destination.url)) == []

    async def renewed(ledger: Journal, pair: Pair) -> None:
        for kind, of_kind in (await _digests(pair)).items():
            rows = (await ledger.rows(kind, of_kind)).values()
            assert all(row.state is State.SEALED and row.digest.startswith(DIGEST_FORM) for row in rows)

    _with_ledger(small_server, destination, tmp_path, renewed)


async def _digests(pair: Pair) -> Digests:
    """Return, by kind and id, the digests that an earlier release would have noted."""
    scope = await resolve(pair)
    found: dict[str, dict[SourceId, str]] = {}
    for kind in every_kind(pair, copier(*pair.servers, pair.settings), scope):
        drafts = [draft async for page in kind.pages() for draft in await kind.drafts(page, final=True)]
        found[kind.name] = {draft.id: draft.earlier() for draft in drafts if draft.earlier}
    return found


def _with_ledger(source: MlflowServer, destination: MlflowServer, work_dir: Path, work: Any) -> None:
    settings = Settings(work_dir=work_dir, include_deleted=True)

    async def run() -> None:
        async with ends(source.url, destination.url, settings) as both, journal(work_dir) as ledger:
            await work(ledger, Pair(*both, ledger, settings))

    anyio.run(run)
