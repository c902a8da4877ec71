"""Settings: what the user may choose."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from bulkexim.errors import UsageError
from bulkexim.expected import checked, shown
from bulkexim.left_behind import check_accepted

#: Requests at once, and a second; beyond these a number is a slip, and one that waits for days as well.
MOST_AT_ONCE, MOST_A_SECOND, LEAST_A_SECOND = 10_000, 1_000_000, 0.001
Positive = Annotated[int, msgspec.Meta(ge=1, le=MOST_AT_ONCE)]
Rate = Annotated[float, msgspec.Meta(ge=LEAST_A_SECOND, le=MOST_A_SECOND)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
#: Milliseconds since the epoch (UTC).
Moment = Annotated[int, msgspec.Meta(ge=0)]
Text = Annotated[str, msgspec.Meta(min_length=1)]

#: Selects every object of a kind. One that is itself called so is selected by a glob (``[a]ll``) or by its id.
ALL = "all"
#: Names, ids or globs; ``None`` where nothing was said of a kind, which is not the same as all of it.
Selection = tuple[Text, ...] | Literal["all"] | None
#: Kinds that are moved, and those that can be left out.
KINDS = ("experiment", "run", "logged_model", "registered_model", "model_version")
OPTIONAL = ("logged_model", "registered_model")


class Level(StrEnum):
    """How closely two ends are compared."""

    COUNTS = "counts"
    CONTENT = "content"
    FULL = "full"

    @classmethod
    def of(cls, name: str) -> Level:
        """Return the level of that name.

        :raises UsageError: there is none
        """
        if name not in list(cls):
            raise UsageError(f"There is no level {shown(name)}.", f"Possible are: {', '.join(cls)}.")
        return cls(name)


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One end of a migration, with the login for it. Secrets never show in ``repr``.

    :raises UsageError: a value has another type than that of its field, or is out of bounds
    """

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

    def __post_init__(self) -> None:
        """Check every value."""
        checked(self)
        if not self.uri:
            raise UsageError("The address of a server is empty.", "Give one such as http://host:5000.")

    @property
    def folder(self) -> Path | None:
        """The folder of the server's artifact service."""
        return Path(self.artifacts_dir) if self.artifacts_dir else None

    def __repr__(self) -> str:
        return f"Endpoint({self.uri.rpartition('@')[2].partition('?')[0]!r}, workspace={self.workspace!r})"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to move and how, apart from the two ends.

    ``experiments`` and ``models`` hold names, ids or globs, or are ``"all"``. With neither of them everything is moved;
    with ``experiments`` alone no model; with ``models`` alone what versions of them point to, and no other experiment.
    Times are in milliseconds since the epoch (UTC), start inclusive, end exclusive.
    ``without`` names kinds that are left out knowingly; ``accept`` says what may stay behind: causes of
    `bulkexim.left_behind.Cause` and names of kinds that are not moved. ``work_dir`` may be given as text.

    :raises UsageError: a value has another type than that of its field, or makes no sense
    """

    experiments: Selection = None
    models: Selection = None
    run_start_time: Moment | None = None
    runs_until: Moment | None = None
    include_deleted: bool = False
    artifacts: bool = True
    experiment_renames: Mapping[str, str] = {}
    model_renames: Mapping[str, str] = {}
    without: tuple[str, ...] = ()
    accept: tuple[str, ...] = ()
    work_dir: Path = Path(".bulkexim")
    source_id: Text | None = None
    #: Move a source although the destination holds it already, under another ``source_id``.
    allow_duplicates: bool = False
    recheck: bool = False
    #: Begin with an empty ledger, and fill it from the markers at the destination.
    rebuild_ledger: bool = False
    #: Seconds after which a create that nobody saw arrive counts as never carried out.
    settle_seconds: Seconds = 30.0
    #: Seconds that a server may take for a piece of its reply, and for which one that is not there is waited for.
    reply_seconds: Seconds = 120.0
    patience_seconds: Seconds = 600.0

    def __post_init__(self) -> None:
        """Check every value."""
        for name in ("experiments", "models"):
            msgspec.structs.force_setattr(self, name, _selection(name, getattr(self, name)))
        checked(self)
        for flag, renames in (("experiment", self.experiment_renames), ("model", self.model_renames)):
            if not all(renames) or not all(renames.values()):
                raise UsageError(f"{flag}_renames: a name is empty.", "Give an old and a new name in each line.")
        for kind in self.without:
            if kind not in OPTIONAL:
                raise UsageError(
                    f"--without: {shown(kind)} cannot be left out.", f"Possible are: {', '.join(OPTIONAL)}."
                )
        check_accepted(self.accept)
        if self.models is not None and "registered_model" in self.without:
            raise UsageError("--models and --without registered_model contradict each other.", "Leave one of them out.")
        since, until = self.run_start_time, self.runs_until
        if since is not None and until is not None and until <= since:
            raise UsageError("runs-until is not after run-start-time, so no run fits.", "Give a later end.")

    @property
    def everything(self) -> bool:
        """Whether the selection leaves nothing out."""
        return self.experiments == self.models and self.experiments in (None, ALL)

    @property
    def moves_experiments(self) -> bool:
        """Whether experiments are moved for their own sake."""
        return self.experiments is not None or self.models is None

    @property
    def moves_models(self) -> bool:
        """Whether registered models are moved."""
        return (self.models is not None or self.experiments is None) and "registered_model" not in self.without


def _selection(name: str, given: Any) -> Any:
    """Return what was given as a selection, with the word for everything in one form."""
    if isinstance(given, str) and given != ALL:
        raise UsageError(
            f'{name}: expected "{ALL}" or a list of names, ids and globs, got the text {shown(given)}.',
            f"Give ({shown(given)},).",
        )
    if given is None or given == ALL or not isinstance(given, tuple | list | set | frozenset):
        return given
    if not any(given):
        raise UsageError(f"{name}: an empty list names nothing.", f'Give names, ids or globs, or "{ALL}".')
    if set(given) == {ALL}:
        return ALL
    if ALL in given:
        raise UsageError(
            f'{name}: "{ALL}" stands for every one of them, and other names stand beside it.',
            "Give it alone; for one that is itself called so, give [a]ll.",
        )
    return given
