"""Starts MLflow servers fast: imports MLflow once and forks a ready server for each order.

Run as a script by the interpreter that holds MLflow. Each line of stdin is an order (JSON with ``port``, ``backend``,
``artifacts`` and ``log``); the answer on stdout is the process id of the server. A forked server is the very
application that ``mlflow server`` serves, on uvicorn with one worker, without the seconds of importing it. When stdin
closes, every server that was started here is killed: nothing outlives a test session, however it ended.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any


def serve(order: dict[str, Any], app: Any) -> None:
    """Turns this process into the server of one order."""
    import uvicorn
    from mlflow.server import handlers

    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ["_MLFLOW_SERVER_FILE_STORE"] = order["backend"]
    os.environ["_MLFLOW_SERVER_ARTIFACT_DESTINATION"] = order["artifacts"]
    handlers.initialize_backend_stores(order["backend"], order["backend"], "mlflow-artifacts:/")
    uvicorn.run(app, host="127.0.0.1", port=order["port"])


def main() -> None:
    """Answers orders until stdin closes, then kills what was started."""
    os.environ["_MLFLOW_SERVER_SERVE_ARTIFACTS"] = "true"
    os.environ["_MLFLOW_SERVER_ARTIFACT_ROOT"] = "mlflow-artifacts:/"
    os.environ["_MLFLOW_SGI_NAME"] = "uvicorn"
    # The application reads its backend when it is first asked; a name is enough to import it.
    os.environ["_MLFLOW_SERVER_FILE_STORE"] = "sqlite://"
    from mlflow.server.fastapi_app import app

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the servers
    started: list[int] = []
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            serve(order, app)
            os._exit(0)
        started.append(pid)
        print(pid, flush=True)
    for pid in started:
        # A number may belong to a stranger by now: only a process that is still our child is ours to end.
        if Path(f"/proc/{pid}/stat").exists() and _parent(pid) == os.getpid():
            os.killpg(pid, signal.SIGKILL)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


if __name__ == "__main__":
    main()
