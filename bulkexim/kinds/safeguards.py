"""What is looked at before the first write, so that no object is moved twice or into its own server."""

from __future__ import annotations

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
