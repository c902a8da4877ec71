"""Where the trials of a campaign happen: a source that nobody changes, and a destination with a workspace for each."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
from anyio import to_thread

from tests.support.campaigns.children import Child, Ended, child
from tests.support.faults import Faults, Proxy, Rule, proxied, quiet
from tests.support.oracle import Snapshot, compare, read
from tests.support.servers import MlflowServer, Servers

#: Seconds that a trial may take before it counts as stuck.
STUCK = 900.0
#: What a run of the tests can wait for.
QUICK = {"settle_seconds": 0.3, "reply_seconds": 5.0, "patience_seconds": 60.0}
WORKSPACE = "X-MLFLOW-WORKSPACE"


@dataclass
class Ground:
    """The two servers, and what stands at the source."""

    source: str
    original: Snapshot
    destination: MlflowServer
    home: Path
    include_deleted: bool = True
    _names: dict[str, int] = field(default_factory=dict)

    def workspace(self, label: str) -> str:
        """Makes a workspace at the destination, with nothing in it."""
        self._names[label] = self._names.get(label, 0) + 1
        name = f"{label}-{self._names[label]}"
        with httpx.Client(base_url=self.destination.url, timeout=60, trust_env=False) as http:
            http.post("/api/3.0/mlflow/workspaces", json={"name": name}).raise_for_status()
        return name

    async def differences(self, workspace: str) -> list[str]:
        """How a workspace differs from the source."""
        async with proxied(self.destination.url, Faults(), "oracle", {WORKSPACE: workspace}) as gateway:
            look = partial(compare, self.original, gateway.url, include_deleted=self.include_deleted)
            return await to_thread.run_sync(look)

    def doubled(self) -> list[str]:
        """Markers that more than one living object of the destination bears, in whatever table its tags are."""
        address = f"{self.destination.database.as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
            return list(_doubled(database))


def _doubled(database: sqlite3.Connection) -> Iterator[str]:
    tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
    for table in tables:
        columns = {column for _, column, *_ in database.execute(f"pragma table_info('{table}')")}
        if not {"key", "value"} <= columns:
            continue
        living = ""
        if table == "model_version_tags":
            living = (
                " and not exists (select 1 from model_versions v where v.name = t.name and v.version = t.version"
                " and v.workspace = t.workspace and v.current_stage = 'Deleted_Internal')"
            )
        query = f"select value, count(*) from {table} t where key = 'bulkexim.marker'{living} group by value"
        yield from (f"{table}: {mark} {times} times" for mark, times in database.execute(query) if times > 1)


@dataclass
class Trial:
    """One migration into a workspace of its own, in as many runs as it takes, through two proxies."""

    ground: Ground
    child: Child
    workspace: str
    work_dir: Path
    faults: Faults
    source: Proxy
    destination: Proxy
    settings: dict[str, Any]
    concurrency: int | None = None

    async def run(self, rule: Rule = quiet, *, file_limit: int = 0, sweep: bool = False) -> Ended:
        """Runs the migration under a rule, until it ends or is killed and nothing is under way any more."""
        self.faults.rule, self.faults.kill, self.faults.log = rule, self.child.kill, []
        order = {
            "source": self.source.url,
            "destination": self.destination.url,
            "workspace": self.workspace,
            "concurrency": self.concurrency,
            "work_dir": str(self.work_dir),
            "settings": self.settings | {"source_id": f"source of {self.workspace}"},
            "include_deleted": self.ground.include_deleted,
            "file_limit": file_limit,
            "sweep": sweep,
        }
        with anyio.fail_after(STUCK):
            ended = await self.child.migrate(order, self.work_dir.with_suffix(".json"))
            await self.source.idle()
            await self.destination.idle()
        return ended

    async def release(self) -> None:
        """Forwards every request that was held back."""
        await self.source.release()
        await self.destination.release()

    async def differences(self) -> list[str]:
        """What is not as it is at the source."""
        return await self.ground.differences(self.workspace)


@asynccontextmanager
async def trial(
    ground: Ground, at: Child, label: str, *, concurrency: int | None = None, **settings: Any
) -> AsyncIterator[Trial]:
    """Makes ready for one trial."""
    workspace = await to_thread.run_sync(ground.workspace, label)
    faults = Faults()
    async with (
        proxied(ground.source, faults, "source") as source,
        proxied(ground.destination.url, faults, "destination") as destination,
    ):
        yield Trial(
            ground, at, workspace, ground.home / workspace, faults, source, destination, QUICK | settings, concurrency
        )


@asynccontextmanager
async def single(
    ground: Ground, label: str, *, concurrency: int | None = None, **settings: Any
) -> AsyncIterator[Trial]:
    """Makes ready for one trial, with a process for it alone."""
    async with child() as at, trial(ground, at, label, concurrency=concurrency, **settings) as one:
        yield one


def prepare(servers: Servers, source: MlflowServer | str, home: Path, *, include_deleted: bool = True) -> Ground:
    """Starts a destination for the trials of a source that is filled already."""
    url = source if isinstance(source, str) else source.url
    destination = servers.start(args=["--enable-workspaces"])
    home.mkdir(parents=True, exist_ok=True)
    return Ground(url, read(url), destination, home, include_deleted)
