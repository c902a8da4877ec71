"""Every error that bulkexim raises on purpose.

An error carries its own policy: whether repeating the call may help, whether the call may have been
applied, and which exit code it leads to. Nothing above this module compares error texts.
"""

from __future__ import annotations

import errno
from typing import ClassVar

from bulkexim.masking import shaped

#: With one of these a sentence ends, or goes on.
_ENDS = (".", "!", "?", "…", ";", ":")


def sentences(problem: str, more: str) -> str:
    """Return a problem and what is said after it; a problem that ends with a server's words may lack its full stop."""
    if not more:
        return problem
    stop = "" if problem.endswith(_ENDS) else "."
    return f"{problem}{stop} {more}"


class BulkeximError(Exception):
    """A problem that is told to the user in one sentence, with what to do about it.

    ``exit_code`` is what the command ends with when this error stops the whole run.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, problem: str, remedy: str = "") -> None:
        self.problem = shaped(problem)
        self.remedy = shaped(remedy)
        super().__init__(self.problem)

    def __str__(self) -> str:
        return sentences(self.problem, self.remedy)


class UsageError(BulkeximError):
    """The command line, a setting or a file given by the user is wrong."""

    exit_code = 2


class TemporaryTrouble(BulkeximError):
    """The run cannot go on now, but the same command can finish it later."""

    exit_code = 5


class FatalError(BulkeximError):
    """The run cannot go on until the user changes something."""

    exit_code = 7


#: A full disk, or a quota that is used up.
_FULL = (errno.ENOSPC, errno.EDQUOT)
#: This process, or the machine, has too much open.
_TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)
#: A place that is not there, is something else, or is closed to us.
_PLACE = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EISDIR),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EIO, errno.ESTALE),
)


def unwritable(place: object, error: OSError, remedy: str) -> BulkeximError:
    """Say that something cannot be written: not now, as the disk is full, or not at all, which ``remedy`` helps."""
    problem = f"{place}: cannot be written ({error.strerror})."
    if error.errno in _FULL:
        return TemporaryTrouble(problem, "Free some space, then run the same command again: nothing is lost.")
    return UsageError(problem, remedy)


def of_this_machine(error: OSError) -> BulkeximError | None:
    """Say what it means that a file could not be used; ``None`` where it is no fault of the machine."""
    place = "A file" if error.filename is None else error.filename
    if error.errno in _FULL:
        return unwritable(place, error, "")
    if error.errno in _TOO_MANY_FILES:
        return TemporaryTrouble(
            f"Too many files are open ({error.strerror}).", "Raise the limit (ulimit -n), then run the command again."
        )
    if error.errno in _PLACE:
        return UsageError(
            f"{place}: cannot be used ({error.strerror}).",
            "Check the place and its rights (also of the work directory and TMPDIR), then run the command again.",
        )
    return None


class ObjectError(BulkeximError):
    """One object cannot be moved; its neighbours are not touched by it.

    ``cause`` is a short stable word that groups equal failures in the report. ``temporary`` says that the same object
    may well be moved the next time that the command is run.
    """

    temporary = False

    def __init__(self, cause: str, problem: str, remedy: str = "") -> None:
        super().__init__(problem, remedy)
        self.cause = cause


class CallError(ObjectError):
    """A call to a server did not bring the reply that was asked for."""

    #: The cause where the server names none, as a report shows it.
    words: ClassVar[str] = "call failed"
    #: The server certainly did not carry the call out.
    definite: ClassVar[bool] = True
    #: The same call may succeed a little later.
    worth_repeating: ClassVar[bool] = False

    def __init__(self, problem: str, *, cause: str = "", status: int = 0, remedy: str = "") -> None:
        super().__init__(cause or self.words, problem, remedy)
        self.status = status
        self.temporary = not self.definite


class Refused(CallError):
    """The server understood the call and declined it (most 4xx replies)."""

    words = "refused"


class NotFound(Refused):
    """The object that was asked for does not exist (404 with MLflow's error body)."""

    words = "not found"


class AlreadyExists(Refused):
    """The name is taken (``RESOURCE_ALREADY_EXISTS``)."""

    words = "exists already"


class TooLarge(Refused):
    """The server, or a gateway before it, takes no body of ``size`` bytes (413); half of it may pass."""

    words = "too large"

    def __init__(self, problem: str, size: int, *, remedy: str = "") -> None:
        super().__init__(problem, status=413, remedy=remedy)
        self.size = size


class NoSuchEndpoint(Refused):
    """The server has no such route: an older MLflow, or no MLflow at all (404 or 405 without MLflow's error body).

    Or a gateway keeps an optional one from us, in whatever way.
    """

    words = "no such route"


class SwitchedOff(Refused):
    """The server was started without the part that gives and takes files; what else it holds can be reached."""

    words = "switched off"


class RacingDuplicate(Refused):
    """An equal call is still running at the server (a unique constraint failed); a pause settles it."""

    words = "duplicate"
    worth_repeating = True


class NotSent(CallError):
    """No connection could be made, so nothing reached the server."""

    words = "no connection"
    worth_repeating = True


class Throttled(CallError):
    """The server asked to slow down (429, or 503 before doing anything).

    ``retry_after`` is in seconds; ``None`` where the server named no time.
    """

    words = "too many requests"
    worth_repeating = True

    def __init__(self, problem: str, *, status: int, retry_after: float | None = None) -> None:
        super().__init__(problem, status=status)
        self.retry_after = retry_after


class Lost(CallError):
    """The connection, the reply or its meaning got lost: the call may or may not have been carried out."""

    words = "connection broke"
    definite = False
    worth_repeating = True


class TimedOut(Lost):
    """No reply came in time, here or at a gateway (504)."""

    words = "no reply in time"


class BadReply(Lost):
    """A reply arrived, but it is not what MLflow sends (a proxy's page, a cut or foreign body)."""

    words = "not a reply of MLflow"


class BadValue(BadReply):
    """A reply in JSON arrived, with a value in it that MLflow never sends: what is stored there is damaged."""

    words = "damaged value"


class ServerFault(Lost):
    """The server failed while it worked on the call (5xx)."""

    words = "server error"


class ReplyTooLarge(CallError):
    """A reply is larger than is wanted at once; it was not read. ``size`` is in bytes, if that is known."""

    words = "reply too large"
    definite = False

    def __init__(self, problem: str, size: int | None) -> None:
        super().__init__(problem)
        self.size = size
        self.temporary = False


class Unsure(CallError):
    """A create whose outcome is unknown; only a look for the marker can tell."""

    words = "outcome unknown"
    definite = False
