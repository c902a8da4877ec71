"""What is looked at before the first write, so that no object is moved twice or into its own server."""

from __future__ import annotations

from collections.abc import Mapping

from bulkexim.kinds.distinct_ends import check_distinct, check_no_own_copy, swapped
from bulkexim.kinds.duplicates import duplicates
from bulkexim.kinds.experiment import ExperimentKind, made_from
from bulkexim.kinds.order import Scope
from bulkexim.kinds.scope import Pair


async def safeguards(pair: Pair, scope: Scope) -> list[str]:
    """Return warnings on what the two ends hold of each other.

    :raises FatalError: they are one server, or the destination holds this source already, under another name
    """
    await check_distinct(*pair.servers, scope.known)
    check_no_own_copy(pair, ExperimentKind.name, ((found.name, made_from(found)) for found in scope.known))
    return await swapped(pair, scope.known) + await duplicates(pair, scope.known, models=scope.registry)


def shows_nothing(pair: Pair, scope: Scope, found: Mapping[str, int]) -> tuple[str, ...]:
    """Return a warning where the source showed nothing, given the numbers of objects ``found`` by kind.

    A login without rights is shown what an empty server shows.
    """
    if not scope.known and not any(found.values()):
        return ("The source shows no experiment, no run and no model at all: check the login and its rights.",)
    if pair.settings.everything and not any(found.get(kind) for kind in ("run", "logged_model", "registered_model")):
        return ("The source shows no run and no model. If it holds any, check the login and its rights.",)
    return ()
