"""Settings: what the user may choose."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec

#: Requests at once, and a second; beyond these a number is a slip, and one that waits for days as well.
MOST_AT_ONCE, MOST_A_SECOND, LEAST_A_SECOND = 10_000, 1_000_000, 0.001
Positive = Annotated[int, msgspec.Meta(ge=1, le=MOST_AT_ONCE)]
Rate = Annotated[float, msgspec.Meta(ge=LEAST_A_SECOND, le=MOST_A_SECOND)]


class Level(StrEnum):
    """How closely two ends are compared."""

    COUNTS = "counts"
    CONTENT = "content"
    FULL = "full"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One end of a migration, with the login for it. Secrets never show in ``repr``."""

    uri: str
    workspace: str | None = None
    #: The folder of the server's artifact service, as this machine sees it.
    artifacts_dir: str | None = None
    #: The address of the object storage behind it.
    storage: str | None = None
    username: str | None = None
    password: str | None = None
    token: str | None = None
    auth: str | None = None
    insecure_tls: bool = False
    server_cert_path: str | None = None
    client_cert_path: str | None = None
    concurrency: Positive | None = None
    rps: Rate | None = None

    @property
    def folder(self) -> Path | None:
        """The folder of the server's artifact service."""
        return Path(self.artifacts_dir) if self.artifacts_dir else None

    def __repr__(self) -> str:
        return f"Endpoint({self.uri.rpartition('@')[2].partition('?')[0]!r}, workspace={self.workspace!r})"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to move and how, apart from the two ends.

    ``experiments`` and ``models`` hold names, ids or globs; ``None`` means: not chosen.
    Times are in milliseconds since the epoch (UTC), start inclusive, end exclusive.
    ``without`` names kinds that are left out knowingly; ``accept`` says what may stay behind: causes of
    `bulkexim.left_behind.Cause` and names of kinds that are not moved.
    """

    experiments: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    run_start_time: int | None = None
    runs_until: int | None = None
    include_deleted: bool = False
    artifacts: bool = True
    experiment_renames: Mapping[str, str] = {}
    model_renames: Mapping[str, str] = {}
    without: tuple[str, ...] = ()
    accept: tuple[str, ...] = ()
    work_dir: Path = Path(".bulkexim")
    source_id: str | None = None
    recheck: bool = False
    #: Begin with an empty ledger, and fill it from the markers at the destination.
    rebuild_ledger: bool = False
    #: Seconds after which a create that nobody saw arrive counts as never carried out.
    settle_seconds: float = 30.0
    #: Seconds that a server may take for a piece of its reply, and for which one that is not there is waited for.
    reply_seconds: float = 120.0
    patience_seconds: float = 600.0
