"""Objects whose names are unique: created under their own name, or under one that the destination takes for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from bulkexim.errors import AlreadyExists, ObjectError, Refused, TooLarge
from bulkexim.ids import digest
from bulkexim.kinds.columns import Form, cut, is_for_text

T = TypeVar("T")


def names(name: str, limit: int) -> list[str]:
    """Return the names that an object may get, best first; two long ones may be cut to the same."""
    short = cut(name, limit)
    return [name] if short == name else [name, short, f"{short[: limit - 33]}.{digest(name.encode())}"]


async def under_a_name(
    name: str,
    limit: int,
    create: Callable[[str, Form], Awaitable[T]],
    existing: Callable[[str], Awaitable[T]],
    *,
    cuttable: bool,
    ours: Callable[[T], bool],
) -> tuple[T, bool]:
    """Return an object and whether it was there before: under its very name, or created for the same source object.

    The destination tells that a name is taken, so a repeated create shows itself. ``cuttable`` says that the name or
    another text may be more than the destination takes.

    :raises Refused: it takes none of the names
    """
    attempts = [(name, Form.WHOLE)]
    if cuttable:
        attempts += [(one, Form.CUT) for one in names(name, limit)[1:] or [name]]
    refusal: Refused | None = None
    for candidate, form in attempts:
        try:
            return await create(candidate, form), False
        except AlreadyExists as error:
            found = await existing(candidate)
            if candidate == name or ours(found):
                return found, True
            refusal = error
        except Refused as error:
            if not (is_for_text(error) or isinstance(error, TooLarge)):
                raise
            refusal = error
    raise refusal or ObjectError("no name", f"Nothing can be called {name!r}.")


def check_exact(kind: str, name: str, found: str, flag: str) -> None:
    """Make sure that what was found under a name bears it: MySQL takes names for equal that differ in case.

    :raises ObjectError: it bears another one
    """
    if found != name:
        raise ObjectError(
            "name taken",
            f"The destination takes the name {name!r} for that of its {kind} {found!r}: its database does not tell "
            "upper from lower case.",
            f"Give another name with {flag}.",
        )
