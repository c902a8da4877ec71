"""What of two objects is not compared, and why: the fields that MLflow or bulkexim writes anew at the destination.

Besides these, whole fields are left out by not being among the facts of a kind: ids, artifact roots, times that the
server gives (creation, last update), and the user of a version, for MLflow's API cannot set any of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from bulkexim.ids import DIGEST_TAG, IDENTITY_TAG, MARKER_TAG, PREFIX
from bulkexim.kinds.wire import Tag

#: Written about the move itself. The marker is what objects are paired by; the digest is not trusted here.
OF_THE_MOVE = frozenset({MARKER_TAG, DIGEST_TAG, IDENTITY_TAG})
#: Kept of the source, but moving there without any change of content: the time changes with every alias, and
#: addresses of a local store hold the port of the server that reads it.
MOVING = frozenset(PREFIX + "source." + key for key in ("last_updated_timestamp", "artifact_location", "source"))
#: Written by MLflow's web page when somebody looks at an experiment.
BY_LOOKING = frozenset({"mlflow.experimentKind"})


def tag_facts(
    expected: Iterable[Tag], found: Iterable[Tag], *, rewritten: Collection[str] = (), others: bool = True
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the tags of both sides that are compared.

    ``rewritten`` are keys that MLflow keeps by itself. With ``others``, tags that only the destination has count too,
    unless they are bulkexim's: one that kept something which has arrived since may stay.
    """
    unseen = OF_THE_MOVE | MOVING | set(rewritten)
    wanted = {tag.key: tag.value for tag in expected if tag.key not in unseen}
    there = {tag.key: tag.value for tag in found if tag.key not in unseen}
    return wanted, {key: value for key, value in there.items() if key in wanted or (others and _users(key))}


def _users(key: str) -> bool:
    return not key.startswith(PREFIX) and key not in BY_LOOKING
