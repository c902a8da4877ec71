"""The ledger's tables and the states of an object."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from bulkexim.ids import DestinationId, SourceId

FORMAT = "1"
#: The key of the setup that stands there while nothing can be left over at the destination.
CLEAR = "clear"


class State(StrEnum):
    """How far an object has come; each state is durable before the next step begins."""

    PLANNED = "planned"
    INTENT = "intent"
    CREATED = "created"
    FILLED = "filled"
    SEALED = "sealed"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger knows of one object.

    ``src_location`` and ``dst_location`` are artifact roots (URIs). ``digest`` is that of the content which was
    sealed. ``written`` lists what bulkexim wrote under names of the user (tag keys, aliases), so that what has gone
    at the source can go at the destination. ``intent_at`` is in seconds since the epoch, ``seconds`` is a duration.
    """

    kind: str
    src_id: SourceId
    name: str = ""
    state: State = State.PLANNED
    dst_id: DestinationId | None = None
    src_location: str = ""
    dst_location: str = ""
    digest: str = ""
    written: str = ""
    intent_at: float = 0.0
    attempts: int = 0
    bytes: int = 0
    seconds: float = 0.0
    cause: str = ""
    error: str = ""


COLUMNS = Row.__struct_fields__

TABLES = """
create table if not exists setup (key text primary key, value text not null);
create table if not exists objects (
    kind text not null, src_id text not null, name text not null, state text not null, dst_id text,
    src_location text not null, dst_location text not null, digest text not null, written text not null,
    intent_at double precision not null, attempts integer not null, bytes bigint not null,
    seconds double precision not null, cause text not null, error text not null,
    primary key (kind, src_id)
);
create index if not exists objects_by_state on objects (kind, state);
create table if not exists notes (
    kind text not null, src_id text not null, what text not null, detail text not null,
    primary key (kind, src_id, what, detail)
);
create table if not exists left_behind (
    kind text not null, src_id text not null, cause text not null, detail text not null,
    primary key (kind, src_id, cause, detail)
);
create table if not exists metric_links (
    run_id text not null, key text not null, timestamp bigint not null, step bigint not null,
    model_id text not null, value double precision not null, dataset_name text not null, dataset_digest text not null,
    primary key (run_id, key, timestamp, step, model_id, value, dataset_name, dataset_digest)
);
create table if not exists copied_files (
    kind text not null, src_id text not null, path text not null, size bigint not null, sha256 blob not null,
    primary key (kind, src_id, path)
) without rowid;
create table if not exists progress (
    kind text primary key, found bigint not null, total bigint, begun bigint not null, already bigint not null,
    moved bigint not null, failed bigint not null, skipped bigint not null, bytes bigint not null,
    updated_at double precision not null
);
create table if not exists reports (number integer primary key, report text not null);
create table if not exists phases (
    name text primary key, found bigint not null, total bigint, updated_at double precision not null
);
"""
STAMP = ("insert into setup (key, value) values ('format', ?) on conflict do nothing", (FORMAT,))
#: Where an earlier bulkexim noted what it copied; such a ledger gets the other table when it is next written to.
EARLIER_FILES = "files"
TAKE_OVER = """
begin immediate;
insert into copied_files select kind, src_id, path, size, from_hex(sha256) from files where true
    on conflict do nothing;
drop table files;
commit;
"""
