"""A throw-away PostgreSQL cluster for one test session."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import free_port


class PostgresUnavailable(Exception):
    """This machine cannot run a PostgreSQL cluster; the message says why."""


@dataclass(frozen=True)
class PostgresCluster:
    """A running cluster without fsync, reachable on loopback and through a socket in its own folder."""

    bin: Path
    home: Path
    port: int
    user: str | None

    @classmethod
    def start(cls) -> "PostgresCluster":
        """Makes and starts a cluster, as the user ``postgres`` when we are root (the server refuses to run as root)."""
        cluster = cls(
            bin=_binaries(),
            home=Path(tempfile.mkdtemp(prefix="pg-")),  # short, because a socket path has at most 107 bytes
            port=free_port(),
            user="postgres" if os.geteuid() == 0 else None,
        )
        try:
            if cluster.user:
                shutil.chown(cluster.home, cluster.user)
            cluster._run("initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
            options = (
                f"-p {cluster.port} -k {cluster.home} -c listen_addresses=127.0.0.1 -c max_connections=200"
                " -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
            )
            cluster._run("pg_ctl", "-D", "data", "-o", options, "-l", "log", "-w", "start")
        except (LookupError, OSError, subprocess.CalledProcessError) as error:
            cause = error.stderr if isinstance(error, subprocess.CalledProcessError) else error
            shutil.rmtree(cluster.home, ignore_errors=True)
            raise PostgresUnavailable(f"PostgreSQL does not start: {cause}") from error
        return cluster

    def uri(self, database: str) -> str:
        """The SQLAlchemy URI of a database (it names the driver: SQLAlchemy 2.1 no longer takes psycopg2 by itself)."""
        return f"postgresql+psycopg2://postgres@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, template: str = "template1") -> str:
        """Creates a database as a copy of another one that nobody is connected to, and returns its URI."""
        self._run("createdb", "-h", str(self.home), "-p", str(self.port), "-U", "postgres", "-T", template, database)
        return self.uri(database)

    def drop(self, database: str) -> None:
        """Drops a database, closing the connections to it."""
        self._run("dropdb", "-h", str(self.home), "-p", str(self.port), "-U", "postgres", "-f", database)

    def stop(self) -> None:
        """Stops the cluster at once and removes its folder."""
        self._run("pg_ctl", "-D", "data", "-m", "immediate", "stop")
        shutil.rmtree(self.home, ignore_errors=True)

    def _run(self, program: str, *args: str) -> None:
        command: Sequence[str] = [str(self.bin / program), *args]
        # Output goes to a file: the server inherits it, and a pipe would stay open as long as the server lives.
        with (self.home / f"{program}.out").open("w+") as out:
            done = subprocess.run(command, cwd=self.home, user=self.user, stdout=out, stderr=out, check=False)
            out.seek(0)
            if done.returncode:
                raise subprocess.CalledProcessError(done.returncode, command, stderr=out.read())


def _binaries() -> Path:
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if all((folder / program).exists() for program in ("initdb", "pg_ctl", "createdb", "dropdb")):
            return folder
    raise PostgresUnavailable("no PostgreSQL server programs on PATH or in /usr/lib/postgresql")
