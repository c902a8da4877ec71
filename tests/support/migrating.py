"""Runs migrations from tests: short settling, a work directory of the test's own, the report as a value."""

from pathlib import Path
from typing import Any

import anyio

from bulkexim import Endpoint, Report, Settings, migrate
from bulkexim.engine.events import Listener
from bulkexim.engine.plan import Plan, plan
from bulkexim.engine.report import KindReport
from bulkexim.engine.sweep import Swept, sweep
from bulkexim.left_behind import UNSUPPORTED_KINDS
from tests.support.oracle import BY_ID, Snapshot, compare
from tests.support.servers import MlflowServer

End = MlflowServer | Endpoint | str


def migrated(source: End, destination: End, work_dir: Path, *listeners: Listener, **settings: Any) -> Report:
    """Moves what ``settings`` select; the ledger stays in ``work_dir``."""

    async def run() -> Report:
        return await migrate(_end(source), _end(destination), _settings(work_dir, settings), listeners=listeners)

    return anyio.run(run)


def planned(source: End, destination: End, work_dir: Path, **settings: Any) -> Plan:
    """Says what ``migrated`` would do with the same arguments."""

    async def run() -> Plan:
        return await plan(_end(source), _end(destination), _settings(work_dir, settings))

    return anyio.run(run)


def foretold(plan: Plan, report: Report) -> bool:
    """Whether so many requests were sent to either end as the plan had said, within 5 % and a few."""
    both = zip((plan.src_requests, plan.dst_requests), report.requests.values(), strict=True)
    return all(abs(expected - sent) <= 5 + 0.05 * sent for expected, sent in both)


def swept(source: End, destination: End, work_dir: Path, *, remove: bool = False) -> Swept:
    """Looks for what migrations with that ledger left over, and removes it on demand."""

    async def run() -> Swept:
        return await sweep(_end(source), _end(destination), _settings(work_dir, {}), remove=remove)

    return anyio.run(run)


def of(report: Report, kind: str) -> KindReport:
    """What became of one kind."""
    return next((found for found in report.kinds if found.kind == kind), KindReport(kind=kind))


def left_behind(report: Report) -> list[tuple[str, str]]:
    """What stayed behind of objects that arrived, with its cause, in order."""
    return sorted((str(one.cause), event.detail) for one in report.left_behind for event in one.first)


def moved(report: Report) -> int:
    """How many objects of any kind were moved."""
    return sum(kind.moved for kind in report.kinds)


def changes(before: Snapshot, after: Snapshot) -> list[str]:
    """How one server differs from itself at an earlier time: ids, content, and times of change."""
    found = compare(before, after, match=BY_ID, include_deleted=True)
    return found + [f"{name} changed" for name, then in _marks(before).items() if then != _marks(after)[name]]


def _marks(server: Snapshot) -> dict[str, object]:
    """What a write leaves behind even where it changes nothing that the oracle compares."""
    return {
        "experiments": {
            one.experiment_id: (one.name, one.last_update_time, one.tags) for one in server.experiments.values()
        },
        "tags of runs": {run_id: run.data.tags for run_id, run in server.runs.items()},
        "logged models": {
            one.model_id: (one.last_updated_timestamp, one.tags) for one in server.logged_models.values()
        },
        "registered models": {one.name: one.last_updated_timestamp for one in server.registered_models.values()},
        "versions": {name: one.last_updated_timestamp for name, one in server.versions.items()},
    }


def _end(end: End) -> Endpoint | str:
    return end.url if isinstance(end, MlflowServer) else end


def _settings(work_dir: Path, chosen: dict[str, Any]) -> Settings:
    # Most tenants of the tests hold traces and other kinds that are not moved yet.
    usual: dict[str, Any] = {"settle_seconds": 0.5, "accept": UNSUPPORTED_KINDS}
    return Settings(work_dir=work_dir, **(usual | chosen))
