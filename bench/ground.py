"""Where contenders meet: servers, workloads at their source, and the contenders themselves."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from bench.bare.move import Bare
from bench.measured import Spent, successful
from bench.workloads import fill
from bench.workloads.shapes import Shape
from tests.support.postgres import PostgresUnavailable
from tests.support.servers import Backend, MlflowServer, Servers

T = TypeVar("T")

#: Processes of each server.
WORKERS = 2
#: The commands of mlflow-export-import, and how each takes its folder.
PEER_STEPS = (("export-all", "--output-dir"), ("import-all", "--input-dir"))


class Migrated(msgspec.Struct, frozen=True):
    """What a migration took, and its report."""

    spent: Spent
    report: dict[str, Any]

    @property
    def requests(self) -> int:
        """To both servers."""
        return sum(self.report["requests"].values())

    @property
    def seconds(self) -> float:
        """From the first request to the last, without the start of the interpreter."""
        return float(self.report["seconds"])

    def phase(self, kind: str) -> float:
        """Return the seconds for the objects of one kind and all that they hold."""
        return float(next(one["seconds"] for one in self.report["kinds"] if one["kind"] == kind))


@dataclass(slots=True)
class Ground:
    """One run of the bench; ``runs`` is what W1 has, and everything else is in proportion."""

    home: Path
    runs: int
    rounds: int
    peer: Path | None
    servers: Servers
    backend: Backend
    _names: Iterator[int] = field(default_factory=count)
    _known: dict[object, Any] = field(default_factory=dict)

    def once(self, key: object, measure: Callable[[], T]) -> T:
        """Return what several goals are read from, measured at the first demand."""
        if key not in self._known:
            self._known[key] = measure()
        found: T = self._known[key]
        return found

    def measured(self, key: object) -> Any:
        """Return what `once` measured for a key in this run of the bench, or ``None``."""
        return self._known.get(key)

    @contextmanager
    def source(self, shape: Shape, workers: int = WORKERS) -> Iterator[MlflowServer]:
        """Start a server that holds a workload."""
        with self.destination(workers) as server:
            say(f"filling a source with {shape.name} ({shape.runs:,} runs)")
            fill(server, shape)
            yield server

    @contextmanager
    def destination(self, workers: int = WORKERS) -> Iterator[MlflowServer]:
        """Start an empty server; when it is left, what it held is removed."""
        with self.servers.start(self.backend, workers=workers) as server:
            yield server
        shutil.rmtree(server.log.parent)
        if self.backend == "postgres":
            self.servers.postgres().drop(server.backend.rpartition("/")[2])

    def fresh(self, name: str) -> Path:
        """Return a folder that does not exist yet."""
        return self.home / f"{name}-{next(self._names)}"

    def migrate(self, source: str, destination: str, *flags: str, work_dir: Path | None = None) -> Migrated:
        """Run our command on two servers, with a work directory of its own unless one is given.

        :raises CommandFailed: it did not end with 0
        """
        command = [
            *(sys.executable, "-m", "bulkexim", "migrate-workspace", "--json", "--progress", "off"),
            *("--src-uri", source, "--dst-uri", destination, "--work-dir", str(work_dir or self.fresh("ours")), *flags),
        ]
        spent = successful(command)
        say(f"ours: {spent.seconds:.1f} s, {spent.megabytes:.0f} MB {' '.join(flags)}")
        return Migrated(spent, msgspec.json.decode(spent.output))

    def bare(self, source: str, destination: str, reading: int, writing: int) -> Bare:
        """Run the bare load generator on two servers, with so many requests at once to either.

        :raises CommandFailed: it did not end with 0
        """
        spent = successful([sys.executable, "-m", "bench.bare", source, destination, str(reading), str(writing)])
        found = msgspec.json.decode(spent.output, type=Bare)
        say(f"bare: {found.reading:.1f} s reading, {reading} at once; {found.writing:.1f} s writing, {writing} at once")
        return found

    def peer_seconds(self, source: str, destination: str) -> float:
        """Run mlflow-export-import on two servers, and return how long it took.

        :raises CommandFailed: it did not end with 0, or nothing was said of where it is
        """
        seconds, folder = 0.0, self.fresh("peer")
        for (command, option), server in zip(PEER_STEPS, (source, destination), strict=True):
            path = (self.peer or Path()) / command
            env = {"MLFLOW_TRACKING_URI": server, "PATH": f"{path.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
            spent = successful([path, option, folder, "--use-threads", "True"], env)
            say(f"{command}: {spent.seconds:.1f} s")
            seconds += spent.seconds
        return seconds


@contextmanager
def ground(home: Path, runs: int, rounds: int, peer: Path | None) -> Iterator[Ground]:
    """Open the ground: PostgreSQL where there is one, else SQLite."""
    servers = Servers(home / "servers")
    backend: Backend = "sqlite"
    with suppress(PostgresUnavailable):
        servers.postgres()
        backend = "postgres"
    try:
        yield Ground(home, runs, rounds, peer, servers, backend)
    finally:
        servers.close()


def say(line: str) -> None:
    """Tell what goes on; stdout is for the figures."""
    print(f"  {line}", file=sys.stderr, flush=True)
