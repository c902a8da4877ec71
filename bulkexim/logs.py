"""The log of a run: one JSON line for each thing that happened, in a private file, free of secrets."""

from __future__ import annotations

import logging
import os
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from bulkexim.config import Endpoint
from bulkexim.errors import UsageError

MASKED = "***"
#: Logins that nobody told us about, by their shape.
_SHAPES = (
    r"(?i:(?<=authorization)[\"']?\s*[:=]\s*[\"']?)(?:(?:Basic|Bearer)\s+)?[^\s\"',]+",
    r"(?<=Bearer )[\w.~+/-]{8,}=*",
    r"(?<=Basic )[A-Za-z0-9+/]{16,}=*",
    r"(?<=://)[^/\s@\"']+(?=@)",
)

Mask = Callable[[str], str]


def masking(*endpoints: Endpoint) -> Mask:
    """Return a function that masks in a text the secrets of ``endpoints``, and whatever looks like a login."""
    known = sorted(set(_secrets(endpoints)), key=len, reverse=True)
    pattern = re.compile("|".join([*map(re.escape, known), *_SHAPES]))
    return lambda text: pattern.sub(MASKED, text)


def _secrets(endpoints: Iterable[Endpoint]) -> Iterator[str]:
    for endpoint in endpoints:
        yield from filter(None, (endpoint.password, endpoint.token))
        if endpoint.password:
            yield b64encode(f"{endpoint.username}:{endpoint.password}".encode()).decode()
        userinfo = endpoint.uri.partition("://")[2].partition("/")[0].rpartition("@")[0]
        if password := userinfo.partition(":")[2]:
            yield from {password, unquote(password)}


def path_in(work_dir: Path) -> Path:
    """Return where the log of a run that starts now belongs."""
    return work_dir / "logs" / f"{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}.jsonl"


@contextmanager
def opened(path: Path, mask: Mask) -> Iterator[FilteringBoundLogger]:
    """Open the log ``path``, readable by its owner only.

    :raises UsageError: it cannot be written
    """
    try:
        path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        file = open(path, "ab", opener=_private)  # noqa: SIM115 - closed below; a Path takes no opener
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror}).", "Give another --work-dir.") from error
    with file:
        yield structlog.wrap_logger(
            structlog.BytesLogger(file),
            processors=_processors(mask),
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            context_class=dict,
        ).new()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _processors(mask: Mask) -> list[Processor]:
    def masked(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
        return {key: mask(value) if type(value) is str else value for key, value in event.items()}

    return [
        masked,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.JSONRenderer(serializer=_encoded),
    ]


_encoder = msgspec.json.Encoder(enc_hook=str)


def _encoded(event: EventDict, **_: object) -> bytes:
    return _encoder.encode(event)
