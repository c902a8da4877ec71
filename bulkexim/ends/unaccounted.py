"""What lies in a local store and MLflow does not show."""

from __future__ import annotations

from typing import NamedTuple

from bulkexim.left_behind import Cause, LeftBehind


class Unaccounted(NamedTuple):
    """A folder of a local store that MLflow does not show, or something in a folder that it does show.

    ``kind`` is what it was to be, ``id`` the name of its folder, ``where`` its path in the store; ``why`` continues a
    sentence that begins with the folder. ``experiment`` and ``name`` are the id and the name of the experiment in which
    it lies, as far as they are known; for a registered model and its versions ``name`` is that of the model.
    """

    kind: str
    id: str
    where: str
    why: str
    experiment: str = ""
    name: str = ""
    deleted: bool = False
    cause: Cause = Cause.FOLDER

    def as_text(self) -> Unaccounted:
        """Return the same, with escapes for names of folders that are no text."""
        id_, where, why = (part.encode(errors="backslashreplace").decode() for part in (self.id, self.where, self.why))
        return self._replace(id=id_, where=where, why=why)

    @property
    def whole(self) -> bool:
        """Whether it is a folder, and all that MLflow shows of it; else its object is shown without it."""
        return self.cause is Cause.FOLDER

    @property
    def left(self) -> LeftBehind:
        """The same in words, for a reader who knows where it lies."""
        return LeftBehind(self.cause, f"the folder {self.why}" if self.whole else self.why)
