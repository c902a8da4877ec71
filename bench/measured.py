"""Runs a command and says what it took: seconds, seconds of CPU, and the most memory that it held.

The command is started by a small process of its own (this file, run as a script): the kernel counts what the starting
process holds for the child's, and the bench may hold much.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

#: Bytes in the unit of ``ru_maxrss``, on Linux.
KIBI = 1024


@dataclass(frozen=True)
class Spent:
    """What a command took, in seconds and megabytes; what it printed, and its exit code."""

    seconds: float
    cpu: float
    megabytes: float
    code: int
    output: str
    errors: str


class CommandFailed(Exception):
    """A contender did not do its work; the message holds the end of what it printed."""


def measured(command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> Spent:
    """Run a command to its end, with ``env`` added to the environment."""
    with subprocess.Popen(  # noqa: S603 - the commands are the bench's own
        [sys.executable, str(Path(__file__).resolve()), *map(str, command)],
        env={**os.environ, **(env or {})},
        stdout=subprocess.PIPE,
        process_group=0,
    ) as process:
        try:
            output, _ = process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # the command too, not only what started it
            raise
    return Spent(**json.loads(output))


def successful(command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> Spent:
    """Run a command to its end.

    :raises CommandFailed: it did not end with 0
    """
    spent = measured(command, env)
    if spent.code:
        raise CommandFailed(f"{command[0]} ended with {spent.code}: {spent.output[-2000:]}{spent.errors[-2000:]}")
    return spent


def _run(command: Sequence[str]) -> Spent:
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:  # noqa: S603 - as above
        output, errors = process.communicate()
    seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(
        seconds=seconds,
        cpu=used.ru_utime + used.ru_stime,
        megabytes=used.ru_maxrss * KIBI / 1e6,
        code=process.returncode,
        output=_text(output),
        errors=_text(errors),
    )


def _text(content: bytes) -> str:
    return content.decode(errors="replace")


if __name__ == "__main__":
    print(json.dumps(asdict(_run(sys.argv[1:]))))
