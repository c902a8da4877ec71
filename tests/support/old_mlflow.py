"""Interpreters with an older MLflow, and tenants that their own client builds."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.servers import MlflowServer, Servers

VARIABLE = "BULKEXIM_TEST_MLFLOW"
"""Names them: ``2.22.5=/some/bin/python,2.9.2=/other/bin/python``; a test skips without the one it needs."""

SCRIPT = Path(__file__).parent / "tenant" / "ancient.py"


def interpreter(version: str) -> str | None:
    """The interpreter with an MLflow such as "2.9"."""
    for entry in os.environ.get(VARIABLE, "").split(","):
        given, _, python = entry.partition("=")
        if given == version or given.startswith(f"{version}."):
            return python
    return None


@dataclass(frozen=True)
class Ancient:
    """What ``tenant/ancient.py`` built: ids by label."""

    url: str
    python: str
    experiments: dict[str, str]
    runs: dict[str, str]
    server: MlflowServer | None = None


def build(python: str, uri: str, *, registry: bool = True) -> Ancient:
    """Fills a server or a folder with the client of that MLflow."""
    command = [python, "-W", "ignore", str(SCRIPT), uri, *([] if registry else ["--without-registry"])]
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    environment |= {"MLFLOW_ALLOW_FILE_STORE": "true"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout.splitlines()[-1])
    return Ancient(uri, python, made["experiments"], made["runs"])


class OldTenants:
    """A server of each old version with a tenant, started when it is first asked for; only ever read."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._built: dict[str, Ancient] = {}

    def of(self, python: str) -> Ancient:
        """The tenant at a server of that interpreter's MLflow."""
        if python not in self._built:
            server = self._servers.keep(self._servers.start(python=python, workers=2))
            made = build(python, server.url)
            self._built[python] = Ancient(server.url, python, made.experiments, made.runs, server)
        return self._built[python]
