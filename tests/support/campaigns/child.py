"""Migrates in processes that may be killed: imports bulkexim once and forks a migrator for each order.

Run as a module. Each line of stdin is an order (JSON): ``source``, ``destination`` and ``workspace`` name the ends,
``settings`` are those of bulkexim, ``result`` is the file for what came out, ``file_limit`` the bytes that a file may
have; with ``sweep`` what is in excess is removed and nothing moved. The answers on stdout are two lines: the process
id, and how the process ended.
"""

import json
import os
import resource
import sys
import traceback
from pathlib import Path
from typing import Any

import anyio

from bulkexim import Endpoint, Report, Settings, migrate
from bulkexim.engine.sweep import Swept, sweep
from bulkexim.errors import BulkeximError
from bulkexim.left_behind import UNSUPPORTED_KINDS


def main() -> None:
    """Carries out orders until stdin closes, one after the other."""
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _migrate(order)
            os._exit(0)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def _migrate(order: dict[str, Any]) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    if order["file_limit"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_limit"], order["file_limit"]))
    result = {"exit_code": 0, "failed": 0, "moved": 0, "error": "", "requests": {}}
    try:
        outcome: Report | Swept = anyio.run(_sweep, order) if order["sweep"] else anyio.run(_run, order)
    except BulkeximError as error:
        result |= {"exit_code": error.exit_code, "error": f"{type(error).__name__}: {error}"}
    except BaseException:  # noqa: BLE001 - whatever it was, the campaign tells it
        result |= {"exit_code": 1, "error": traceback.format_exc()}
    else:
        result |= _told(outcome)
    Path(order["result"]).write_text(json.dumps(result))


def _told(outcome: Report | Swept) -> dict[str, Any]:
    errors = [f"{one.kind} {one.name}: {one.error}" for one in outcome.failures]
    if isinstance(outcome, Swept):
        moved, found, failed = outcome.removed, len(outcome.found), len(outcome.failures)
    else:
        moved, found, failed = sum(kind.moved for kind in outcome.kinds), outcome.left, outcome.failed
        errors += [f"{one.kind} {one.name}: {one.why}" for one in outcome.leftovers]
    told = {"exit_code": outcome.exit_code, "failed": failed, "moved": moved, "in_excess": found}
    return told | {"requests": outcome.requests, "error": "\n".join(errors)}


async def _run(order: dict[str, Any]) -> Report:
    return await migrate(*_asked(order))


async def _sweep(order: dict[str, Any]) -> Swept:
    return await sweep(*_asked(order), remove=True)


def _asked(order: dict[str, Any]) -> tuple[str, Endpoint, Settings]:
    destination = Endpoint(uri=order["destination"], workspace=order["workspace"], concurrency=order["concurrency"])
    fixed = {"include_deleted": order["include_deleted"], "accept": UNSUPPORTED_KINDS}
    settings = Settings(work_dir=Path(order["work_dir"]), **fixed, **order["settings"])
    return order["source"], destination, settings


if __name__ == "__main__":
    main()
