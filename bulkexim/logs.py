"""The log of a run: one JSON line for each thing that happened, in a private file, free of secrets."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from bulkexim.errors import unwritable
from bulkexim.masking import Mask, masked


def path_in(work_dir: Path) -> Path:
    """Return where the log of a run that starts now belongs."""
    return work_dir / "logs" / f"{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}.jsonl"


@contextmanager
def opened(path: Path, mask: Mask) -> Iterator[FilteringBoundLogger]:
    """Open the log ``path``, readable by its owner only.

    :raises UsageError: it cannot be written; so does each later line
    :raises TemporaryTrouble: the disk is full; likewise
    """
    with _File(path) as file:
        yield structlog.wrap_logger(
            structlog.BytesLogger(file),  # type: ignore[arg-type]  # it writes and flushes, nothing else
            processors=_processors(mask),
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            context_class=dict,
        ).new()


class _File:
    """A file to which each line is written at once, with a sentence for what may go wrong."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._told():
            path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            self._file = open(path, "ab", buffering=0, opener=_private)  # noqa: SIM115 - closed by `__exit__`

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, line: bytes) -> None:
        with self._told():
            self._file.write(line)

    def flush(self) -> None:
        """Do nothing: there is no buffer."""

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unwritable(self._path, error, "Give another --work-dir.") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _processors(mask: Mask) -> list[Processor]:
    def without_secrets(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
        return {key: masked(value, mask) for key, value in event.items()}

    return [
        without_secrets,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.JSONRenderer(serializer=_encoded),
    ]


_encoder = msgspec.json.Encoder(enc_hook=str)


def _encoded(event: EventDict, **_: object) -> bytes:
    return _encoder.encode(event)
