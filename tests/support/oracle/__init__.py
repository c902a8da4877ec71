"""The oracle: reads two servers with MLflow's own client and says how they differ.

It knows nothing of the migrator but its provenance tags, and shares no code with it. Every object is turned into a
plain document; in the documents of the source all ids are replaced by those of the destination; the documents are
compared leaf by leaf.
"""

from collections.abc import Mapping

from tests.support.oracle.difference import differences
from tests.support.oracle.documents import Documents
from tests.support.oracle.match import BY_ID, BY_MARKER, Match, Pairs
from tests.support.oracle.selection import select
from tests.support.oracle.snapshot import Snapshot, read

__all__ = ["BY_ID", "BY_MARKER", "Match", "Snapshot", "compare", "read"]


def compare(
    source: str | Snapshot,
    destination: str | Snapshot,
    *,
    match: Match = BY_MARKER,
    include_deleted: bool = False,
    artifacts: bool = True,
    rename: Mapping[str, str] | None = None,
) -> list[str]:
    """What of ``source`` is not, or not the same, at ``destination``, and what is there besides; empty means equal.

    Takes URLs, or snapshots made by ``read`` (a source that does not change need be read only once). ``rename`` maps
    names of experiments at the source to those at the destination.
    """
    old = read(source, artifacts=artifacts) if isinstance(source, str) else source
    new = read(destination, artifacts=artifacts) if isinstance(destination, str) else destination
    wanted = select(old, include_deleted)
    pairs = Pairs.find(old, new, match)
    expected = Documents(old, pairs.translation(), dict(rename or {})).of(wanted)
    actual = Documents(new, pairs.untranslated(), {}).of(pairs.present(wanted))
    return [*pairs.doubled, *pairs.extra(wanted), *differences(expected, actual)]
