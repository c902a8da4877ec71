"""A model version of the source, translated to what should stand at the destination."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from bulkexim.kinds.base import Draft, Remark
from bulkexim.kinds.columns import DESCRIPTION, RUN_ID, RUN_LINK, SOURCE, Text, copies, told, unfit, unfit_tags
from bulkexim.kinds.version_source import Choice, Origin, left_of
from bulkexim.kinds.version_values import ModelVersion
from bulkexim.kinds.wire import Tag, content_digest, earlier_digest, key_list, provenance, users_tags
from bulkexim.ledger.schema import Row

#: Characters of a piece of what is kept whole in tags.
PIECE = 5000


@dataclass(frozen=True, slots=True)
class VersionPlan:
    """A version translated; ``model`` is the name at the destination, where the model was moved.

    ``cuttable`` says that something of its text may be more than the destination takes.
    """

    version: ModelVersion
    model: str | None
    origin: Origin
    tags: tuple[Tag, ...]
    cuttable: bool = False


def translated(value: ModelVersion, model: Row | None, origin: Origin, longest: int) -> Draft[VersionPlan]:
    """Return a version as it should stand at the destination, which takes tags of ``longest`` characters.

    ``model`` is what the ledger knows of its registered model.
    """
    tags = users_tags(value.tags)
    kept: dict[str, object] = {
        "version": value.version,
        "name": value.name,
        "creation_timestamp": value.creation_timestamp,
        "last_updated_timestamp": value.last_updated_timestamp,
        "user_id": value.user_id,
        "source": value.source,
        "run_id": value.run_id,
    }
    remarks = list(origin.remarks)
    if value.status != "READY":
        kept |= {"status": value.status, "status_message": value.status_message}
        remarks.append(Remark("version status", f"{value.status}, kept as a tag"))
    all_tags = [*tags, *provenance(kept)]
    texts = _texts(value, origin.best, all_tags, longest)
    plan = VersionPlan(
        version=value,
        model=model.dst_id if model else None,
        origin=origin,
        # A longer tag is refused whatever the database.
        tags=(
            *(Tag(tag.key, tag.value[:longest]) for tag in all_tags),
            *(kept_whole := copies(texts, min(longest, PIECE))),
        ),
        cuttable=bool(texts),
    )
    # The tag of the time of change is not content: it moves with every alias.
    content = (value.current_stage, value.description, value.run_link, tags)
    return Draft(
        id=value.id,
        name=f"{plan.model or value.name} version {value.version}",
        value=plan,
        digest=content_digest(*content, origin.best.source, origin.best.run_id, *origin.meant),
        earlier=partial(earlier_digest, *content, *origin.earlier[:2]) if origin.earlier else None,
        src_location=value.source,
        lane=value.name,
        waits=origin.waits,
        remarks=(*remarks, *told(texts)),
        written=key_list(tag.key for tag in (*tags, *kept_whole)),
        left=left_of(value, origin),
    )


def _texts(value: ModelVersion, best: Choice, tags: Sequence[Tag], longest: int) -> list[Text]:
    fields = (
        Text("description", value.description, DESCRIPTION),
        Text("source", best.source, SOURCE),
        Text("run link", value.run_link, RUN_LINK),
        Text("run id", best.run_id, RUN_ID),
    )
    return [*unfit(*fields), *unfit_tags(tags, longest)]
