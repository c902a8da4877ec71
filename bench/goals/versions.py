"""Whether the versions of registered models came in order, read from the databases of both servers."""

from __future__ import annotations

from bench.workloads.rows import COLUMNS
from bench.workloads.store import Store
from tests.support.servers import MlflowServer

#: The columns by which a version, and the run that it points to, are known at either end.
VERSION = tuple(COLUMNS["model_versions"].index(name) for name in ("name", "version", "run_id"))
RUN = tuple(COLUMNS["runs"].index(name) for name in ("run_uuid", "name"))


def check_versions(source: MlflowServer, destination: MlflowServer) -> None:
    """Make sure that every version has its number and its run.

    :raises SystemExit: one has not, so that figures would be worth nothing
    """
    if (wanted := _versions(source)) != (found := _versions(destination)):
        raise SystemExit(f"{len(wanted ^ found)} versions are out of order, or missing: {sorted(wanted ^ found)[:5]}")


def _versions(server: MlflowServer) -> set[tuple[str, int, str]]:
    with Store(server.backend) as store:
        runs = {row[RUN[0]]: str(row[RUN[1]]) for row in store.rows("runs")}
        versions = [tuple(row[column] for column in VERSION) for row in store.rows("model_versions")]
    return {(str(model), int(str(number)), runs[run_id]) for model, number, run_id in versions}
