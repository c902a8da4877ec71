"""Page tokens of MLflow's own stores: the offset of the page, packed (``SearchUtils.create_page_token``).

Those of logged models hold what was asked for as well (``SearchLoggedModelsPaginationToken``); a server insists on it.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Any


def token_at(offset: int, **more: Any) -> str:
    """Return the token of the page that begins at an offset; ``more`` is what else it holds."""
    return b64encode(json.dumps({"offset": offset, **more}).encode()).decode()


def of_logged_models(question: Mapping[str, Any]) -> Callable[[int], str]:
    """Return what gives the tokens of a search for logged models."""
    order = [{**by, "dataset_name": None, "dataset_digest": None} for by in question["order_by"]]
    asked = {"experiment_ids": question["experiment_ids"], "filter_string": question.get("filter"), "order_by": order}
    return lambda offset: token_at(offset, **asked)


def offset_of(token: str | None) -> int | None:
    """Return where the page of a token begins; ``None`` where the token does not tell."""
    if token is None:
        return 0
    offset = _held(token).get("offset")
    return offset if type(offset) is int and offset > 0 else None


def moved(token: str, offset: int) -> str:
    """Return the token of another page of the same listing; ``token`` tells its offset."""
    return token_at(**{**_held(token), "offset": offset})


def _held(token: str) -> dict[str, Any]:
    try:
        held = json.loads(b64decode(token, validate=True))
    except (ValueError, RecursionError):
        return {}
    return held if isinstance(held, dict) else {}
