"""Two servers in one that answer as MLflow does, and lie where a test wants it.

``/src`` holds one object of each kind, with one file; ``/dst`` is empty and takes everything. A lie stands for the
reply to a method and route, such as ``src POST runs/search``.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from anyio.from_thread import start_blocking_portal

from tests.tiny_server import Seen, Wire, serving

Lie = bytes | Callable[[Seen, Wire], Awaitable[None]]

RUN = "a" * 32
MODEL = f"m-{'b' * 32}"
API = "api/2.0/mlflow/"
LISTING = "api/2.0/mlflow-artifacts/artifacts"
CONTENT = b"ten bytes!"
#: Fields that a test may replace stand here even where MLflow would leave them out.
TRUTH: dict[str, Any] = {
    "src GET version": "3.17.2",
    "src GET api/3.0/mlflow/server-info": {"store_type": "SqlStore", "workspaces_enabled": False},
    "src POST experiments/search": {
        "experiments": [
            {
                "experiment_id": "1",
                "name": "first",
                "artifact_location": "mlflow-artifacts:/1",
                "lifecycle_stage": "active",
                "creation_time": 1,
                "last_update_time": 1,
                "tags": [{"key": "team", "value": "a"}],
            }
        ]
    },
    "src POST runs/search": {
        "runs": [
            {
                "info": {
                    "run_id": RUN,
                    "experiment_id": "1",
                    "run_name": "one",
                    "user_id": "ada",
                    "status": "FINISHED",
                    "start_time": 1,
                    "end_time": 2,
                    "artifact_uri": f"mlflow-artifacts:/1/{RUN}/artifacts",
                    "lifecycle_stage": "active",
                },
                "data": {
                    "metrics": [{"key": "loss", "value": 0.5, "timestamp": 1, "step": 0}],
                    "params": [{"key": "rate", "value": "1"}],
                    "tags": [{"key": "mlflow.runName", "value": "one"}],
                },
                "inputs": {"dataset_inputs": [], "model_inputs": []},
                "outputs": {"model_outputs": [{"model_id": MODEL, "step": 0}]},
            }
        ]
    },
    "src GET metrics/get-history": {"metrics": [{"key": "loss", "value": 0.5, "timestamp": 1, "step": 0}]},
    "src POST logged-models/search": {
        "models": [
            {
                "info": {
                    "model_id": MODEL,
                    "experiment_id": "1",
                    "name": "net",
                    "creation_timestamp_ms": 1,
                    "artifact_uri": f"mlflow-artifacts:/1/models/{MODEL}/artifacts",
                    "status": "LOGGED_MODEL_READY",
                    "source_run_id": RUN,
                    "tags": [{"key": "team", "value": "a"}],
                },
                "data": {
                    "params": [{"key": "depth", "value": "2"}],
                    "metrics": [
                        {"key": "loss", "value": 0.5, "timestamp": 1, "step": 0, "run_id": RUN, "dataset_name": ""}
                    ],
                },
            }
        ]
    },
    "src GET registered-models/search": {
        "registered_models": [
            {
                "name": "fraud",
                "description": "finds it",
                "creation_timestamp": 1,
                "last_updated_timestamp": 1,
                "tags": [{"key": "team", "value": "a"}],
                "aliases": [{"alias": "best", "version": "1"}],
            }
        ]
    },
    "src GET model-versions/search": {
        "model_versions": [
            {
                "name": "fraud",
                "version": "1",
                "creation_timestamp": 1,
                "last_updated_timestamp": 1,
                "user_id": "ada",
                "current_stage": "None",
                "description": "first",
                "source": f"runs:/{RUN}/model",
                "run_id": RUN,
                "status": "READY",
                "tags": [{"key": "team", "value": "a"}],
            }
        ]
    },
    f"src GET {LISTING}": {"files": [{"path": "a.txt", "is_dir": False, "file_size": len(CONTENT)}]},
    "dst GET version": "3.17.2",
    "dst GET api/3.0/mlflow/server-info": {"store_type": "SqlStore", "workspaces_enabled": False},
    "dst POST experiments/create": {"experiment_id": "7"},
    "dst GET experiments/get": {
        "experiment": {"experiment_id": "7", "name": "first", "artifact_location": "mlflow-artifacts:/7"}
    },
    # Whatever is asked for, it is not what the source has.
    "dst GET experiments/get-by-name": {"experiment": {"experiment_id": "7", "name": "first", "creation_time": 7}},
    "dst GET runs/get": {"run": {"info": {"run_id": "c" * 32, "experiment_id": "7"}}},
    "dst GET registered-models/get": {"registered_model": {"name": "fraud", "creation_timestamp": 7}},
    "dst POST runs/create": {
        "run": {
            "info": {
                "run_id": "c" * 32,
                "experiment_id": "7",
                "artifact_uri": f"mlflow-artifacts:/7/{'c' * 32}/artifacts",
            }
        }
    },
    "dst POST logged-models": {
        "model": {
            "info": {
                "model_id": f"m-{'d' * 32}",
                "experiment_id": "7",
                "artifact_uri": f"mlflow-artifacts:/7/models/m-{'d' * 32}/artifacts",
            }
        }
    },
    "dst POST model-versions/create": {
        "model_version": {"name": "fraud", "version": "1", "source": f"runs:/{'c' * 32}/model", "run_id": "c" * 32}
    },
}
MISSING = object()


def but(route: str, where: str, value: object) -> bytes:
    """Returns the truth of a route with one field, such as ``runs.0.info.run_id``, replaced or ``MISSING``."""
    reply = copy.deepcopy(TRUTH[route])
    *way, last = [int(step) if step.isdigit() else step for step in where.split(".")]
    holder = reply
    for step in way:
        holder = holder[step]
    if value is MISSING:
        del holder[last]
    else:
        holder[last] = value
    return json.dumps(reply).encode()


class Liar:
    """Answers for both servers; ``seen`` holds what was asked since the last `lying`."""

    def __init__(self) -> None:
        self.port = 0
        self.seen: list[Seen] = []
        self._lies: Mapping[str, Lie] = {}

    def url(self, side: str) -> str:
        """The address of ``src`` or ``dst``."""
        return f"http://127.0.0.1:{self.port}/{side}"

    def lying(self, lies: Mapping[str, Lie]) -> None:
        """Replaces the lies and forgets what was asked."""
        self._lies, self.seen = lies, []

    async def answer(self, seen: Seen, wire: Wire) -> None:
        """Gives the reply to one request."""
        self.seen.append(seen)
        side, route = _route(seen.target)
        name = f"{side} {seen.method} {route}"
        lie = self._lies.get(name, self._lies.get(f"{side} *"))
        if callable(lie):
            await lie(seen, wire)
        elif lie is not None:
            await wire.reply(lie, "200 OK", "content-type: application/json")
        else:
            await wire.reply(_truth(name, seen), "200 OK", *_headers(name))


def _route(target: str) -> tuple[str, str]:
    """Returns the side, and the path without MLflow's prefix."""
    _, side, path = urlsplit(target).path.split("/", 2)
    return side, unquote(path).removeprefix(API)


def _headers(name: str) -> tuple[str, ...]:
    if name.startswith(f"src GET {LISTING}/"):
        return ("content-type: text/plain", "content-disposition: attachment")
    return ("content-type: application/json",)


def _truth(name: str, seen: Seen) -> bytes:
    if name.startswith(f"src GET {LISTING}/"):
        return CONTENT
    asks = f"{seen.body!r} {seen.target}"
    # A number of runs is found by one-row searches; a search for markers or prompts finds nothing.
    if "page_token" in asks or "is_prompt" in asks:
        return b"{}"
    if name.startswith("src GET runs/get"):
        return json.dumps({"run": TRUTH["src POST runs/search"]["runs"][0]}).encode()
    if name.startswith("src GET logged-models/"):
        return json.dumps({"model": TRUTH["src POST logged-models/search"]["models"][0]}).encode()
    reply = TRUTH.get(name, {})
    return reply.encode() if isinstance(reply, str) else json.dumps(reply).encode()


@contextmanager
def listening() -> Iterator[Liar]:
    """Runs a liar in a thread of its own."""
    liar = Liar()
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serving(liar.answer)) as server:
        liar.port = server.port
        yield liar
