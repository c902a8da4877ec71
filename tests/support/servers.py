"""Starts real ``mlflow server`` processes on free loopback ports, each with a store of its own."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal
from urllib.request import urlopen

from tests.support.ports import free_port
from tests.support.postgres import PostgresCluster

START_TIMEOUT = 60.0
STOP_TIMEOUT = 5.0

ADMIN = ("admin", "password-of-the-tests")
"""The user and password of a server that was started with ``basic_auth``."""

Backend = Literal["sqlite", "postgres"]


class ServerFailed(Exception):
    """A server did not start; the message holds the end of its log."""


@dataclass(frozen=True)
class MlflowServer:
    """A running MLflow server whose artifacts are proxied from a folder of its own."""

    url: str
    backend: str
    """The URI of its backend store (``sqlite:///…`` or ``postgresql+psycopg2://…``)."""
    artifacts: Path
    """The folder below which its artifacts lie: ``<experiment>/<run>/artifacts/…``."""
    log: Path
    pid: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def database(self) -> Path:
        """The file of an SQLite store."""
        return Path(self.backend.removeprefix("sqlite:///"))

    @property
    def running(self) -> bool:
        """Whether the server process is still there."""
        if self.process:
            return self.process.poll() is None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, 0)
            return True
        return False

    def stop(self) -> None:
        """Ends the server and its workers; safe to call twice."""
        if not self.running:
            return
        os.killpg(self.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            _wait(lambda: not self.running, STOP_TIMEOUT)
        # The group may outlive its leader: a worker that still answers a request is ended here.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        _wait(lambda: not self.running, STOP_TIMEOUT)

    def __enter__(self) -> "MlflowServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Servers:
    """All the servers of one test session; each start gets an empty store within about a second.

    A server ends with the module that started it, unless it is kept: an idle one still takes processor time.

    A plain SQLite or PostgreSQL server is forked from a warm process (see ``warm.py``). One with more workers, with
    extra arguments or environment, or of another interpreter, is started by ``mlflow server`` and takes 4 to 8 seconds.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._started: list[MlflowServer] = []
        self._kept: list[MlflowServer] = []
        self._warm: subprocess.Popen[str] | None = None
        self._count = 0
        self._cluster: PostgresCluster | None = None

    def start(
        self,
        backend: Backend = "sqlite",
        *,
        workers: int = 1,
        python: str = sys.executable,
        basic_auth: bool = False,
        args: Sequence[str] = (),
        env: dict[str, str] | None = None,
        port: int | None = None,
        artifacts: str | None = None,
        store: Path | None = None,
    ) -> MlflowServer:
        """Starts a server with an empty store and waits until it answers (with ``basic_auth``: to ``ADMIN`` only).

        ``artifacts`` is a URI of storage in place of a folder, ``store`` the folder of a file store.
        """
        if basic_auth:
            args = [*args, "--app-name", "basic-auth"]
            env = {"MLFLOW_FLASK_SERVER_SECRET_KEY": "tests", "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1]} | (env or {})
        home = self._new_home()
        own = python == sys.executable
        if backend == "postgres":
            uri = self._postgres_store(home.name)
        else:
            uri = f"sqlite:///{home / 'mlflow.db'}"
            if own:
                shutil.copyfile(self._sqlite_template(), home / "mlflow.db")
        if own and workers == 1 and not store and not args and not env and not artifacts:
            return self._fork(home, uri, port or free_port())
        # By its script, for MLflow 1 cannot be run as a module; and it serves artifacts only when it is told.
        command = [str(Path(python).with_name("mlflow")), "server", "--workers", str(workers)]
        command += ["--backend-store-uri", str(store or uri)]
        command += ["--serve-artifacts", "--artifacts-destination", artifacts or str(home / "artifacts")]
        command += args  # Last, so that they win over what stands above.
        return self._spawn(home, uri, port or free_port(), command, env or {})

    def copy(self, server: MlflowServer) -> MlflowServer:
        """Starts a second server over a copy of an SQLite server's store and artifacts."""
        home = self._new_home()
        with (
            contextlib.closing(sqlite3.connect(server.database)) as origin,
            contextlib.closing(sqlite3.connect(home / "mlflow.db")) as copied,
        ):
            origin.backup(copied)
        if server.artifacts.exists():
            shutil.copytree(server.artifacts, home / "artifacts")
        return self._fork(home, f"sqlite:///{home / 'mlflow.db'}", free_port())

    def restart(self, server: MlflowServer) -> MlflowServer:
        """Stops a plain server and starts it again over the same store, on the same port."""
        server.stop()
        return self._fork(server.log.parent, server.backend, int(server.url.rsplit(":", 1)[1]))

    def postgres(self) -> PostgresCluster:
        """The cluster of this session, started at the first call; raises ``PostgresUnavailable``."""
        self._cluster = self._cluster or PostgresCluster.start()
        return self._cluster

    def keep(self, server: MlflowServer) -> MlflowServer:
        """Lets a server live as long as the session."""
        self._kept.append(server)
        return server

    def end_module(self) -> None:
        """Stops every server that is not kept."""
        for server in self._started:
            if server not in self._kept:
                server.stop()
        self._started = list(self._kept)

    def close(self) -> None:
        """Stops everything that was started here."""
        for server in self._started:
            server.stop()
        if self._warm and self._warm.stdin:
            self._warm.stdin.close()
            self._warm.wait()
        if self._cluster:
            self._cluster.stop()

    def _new_home(self) -> Path:
        self._count += 1
        home = self._home / f"server{self._count}"
        home.mkdir(parents=True)
        return home

    def _sqlite_template(self) -> Path:
        """An empty store, with all migrations applied once."""
        template = self._home / "template" / "mlflow.db"
        if not template.exists():
            template.parent.mkdir(parents=True)
            self._fork(template.parent, f"sqlite:///{template}", free_port()).stop()
        return template

    def _postgres_store(self, name: str) -> str:
        cluster = self.postgres()
        home = self._home / "template-postgres"
        if not home.exists():
            home.mkdir(parents=True)
            self._fork(home, cluster.create("empty_store"), free_port()).stop()
        return cluster.create(name, template="empty_store")

    def _fork(self, home: Path, uri: str, port: int) -> MlflowServer:
        if self._warm is None:
            self._warm = subprocess.Popen(
                [sys.executable, "-W", "ignore", str(Path(__file__).with_name("warm.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | _ENVIRONMENT,
                text=True,
            )
        assert self._warm.stdin and self._warm.stdout
        log, artifacts = home / "server.log", home / "artifacts"
        order = {"port": port, "backend": uri, "artifacts": str(artifacts), "log": str(log)}
        self._warm.stdin.write(json.dumps(order) + "\n")
        self._warm.stdin.flush()
        pid = int(self._warm.stdout.readline())
        return self._ready(MlflowServer(f"http://127.0.0.1:{port}", uri, artifacts, log, pid))

    def _spawn(self, home: Path, uri: str, port: int, command: list[str], env: dict[str, str]) -> MlflowServer:
        log, artifacts = home / "server.log", home / "artifacts"
        command += ["--host", "127.0.0.1", "--port", str(port)]
        # MLflow of the 2.x line starts "gunicorn" by its name: the interpreter's own folder comes first.
        path = f"{Path(command[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        with log.open("ab") as out:
            process = subprocess.Popen(
                command,
                cwd=home,
                env=os.environ | _ENVIRONMENT | {"PATH": path} | env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        return self._ready(MlflowServer(f"http://127.0.0.1:{port}", uri, artifacts, log, process.pid, process))

    def _ready(self, server: MlflowServer) -> MlflowServer:
        self._started.append(server)
        try:
            _wait(lambda: _healthy(server.url) or not server.running, START_TIMEOUT)
        except TimeoutError:
            server.stop()
        if not server.running:
            tail = server.log.read_text(errors="replace").splitlines()[-40:]
            raise ServerFailed(f"the server of {server.backend} did not start:\n" + "\n".join(tail))
        return server


_ENVIRONMENT = {
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "PYTHONUNBUFFERED": "1",
}


def _healthy(url: str) -> bool:
    try:
        with urlopen(f"{url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _wait(condition: Callable[[], bool], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)
