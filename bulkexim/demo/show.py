"""The demo from end to end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import anyio

from bulkexim.config import Endpoint, Settings
from bulkexim.demo.compare import Line, compare
from bulkexim.demo.fill import fill
from bulkexim.ends.child_server import child_server
from bulkexim.ends.server import Server, connected
from bulkexim.engine.migration import migrate_between
from bulkexim.engine.report import Report
from bulkexim.http.transport import AiohttpTransport
from bulkexim.left_behind import UNSUPPORTED_KINDS
from bulkexim.tasks import together


class Shown(NamedTuple):
    """What the demo brought: the first report, that of a second run, and both ends side by side."""

    first: Report
    second: Report
    lines: list[Line]

    @property
    def good(self) -> bool:
        """Whether everything arrived, and the second run had nothing to do."""
        moved_again = sum(kind.moved for kind in self.second.kinds)
        return not (self.first.failed or moved_again) and all(line.equal for line in self.lines)


async def show(say: Callable[[str], None]) -> Shown:
    """Run the demo; ``say`` is told what happens.

    :raises BulkeximError: a server did not start, or MLflow's demo data could not be made
    """
    with TemporaryDirectory(prefix="bulkexim-demo-", ignore_cleanup_errors=True) as name:
        home = Path(name)
        say("starting two MLflow servers ...")
        async with _both(home) as (source, destination):
            say("filling the source: mlflow demo, and a model of twelve versions ...")
            await fill(source)
            settings = Settings(work_dir=home / "work", accept=UNSUPPORTED_KINDS)
            say("moving everything ...")
            first = await migrate_between(source, destination, settings, ())
            say("moving everything again, which must find nothing to do ...")
            second = await migrate_between(source, destination, settings, ())
            return Shown(first, second, await compare(source, destination))


@asynccontextmanager
async def _both(home: Path) -> AsyncIterator[tuple[Server, Server]]:
    """Start both servers side by side, for each takes seconds."""
    urls: dict[str, str] = {}
    ready, over = {name: anyio.Event() for name in ("source", "destination")}, anyio.Event()

    async def serve(name: str) -> None:
        folder = home / name
        folder.mkdir()
        store = ("--backend-store-uri", "sqlite:///mlflow.db", "--artifacts-destination", str(folder / "artifacts"))
        async with child_server(store, folder=folder, home=folder, what=f"of the demo's {name}") as url:
            urls[name] = url
            ready[name].set()
            await over.wait()

    async with together() as tasks:
        for name in ready:
            tasks.start_soon(serve, name)
        for event in ready.values():
            await event.wait()
        source, destination = (ours(urls[name], name) for name in ("source", "destination"))
        async with source as one, destination as other:
            yield one, other
        over.set()


def ours(url: str, name: str) -> AbstractAsyncContextManager[Server]:
    """Open a server of our own on this machine: no proxy stands before it, whatever the environment says."""
    return connected(Endpoint(uri=url), name, transport=AiohttpTransport())
