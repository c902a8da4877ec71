"""Artifacts in object storage: large files go there by signed addresses, past the MLflow servers."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import boto3
import httpx
import pytest
from mlflow import MlflowClient

from bulkexim import Endpoint
from bulkexim.artifacts.copier import Copier
from bulkexim.artifacts.place import Entry
from bulkexim.artifacts.places import serviced
from bulkexim.artifacts.proxied import Proxied
from bulkexim.artifacts.signed import PART, Signed, _Address
from bulkexim.artifacts.stored import Stored
from bulkexim.config import Level
from bulkexim.ends.server import Server, connected
from bulkexim.errors import FatalError, ObjectError, TemporaryTrouble, UsageError
from bulkexim.http.retry import Patience
from tests.support.copying import copied
from tests.support.faults import Asked, Fault, Faults, proxied
from tests.support.migrating import foretold, migrated, planned
from tests.support.object_storage import BUCKET, ObjectStorage, object_storage
from tests.support.oracle import compare
from tests.support.reading import digested
from tests.support.servers import MlflowServer, Servers
from tests.support.verifying import told, verified
from tests.tiny_server import serving

pytestmark = pytest.mark.anyio

LARGE = 2 * PART + 123
SHORT = Patience(seconds=60.0, longest_pause=0.01, reply=10.0)
#: A request that carries the bytes of a file, as a server logs it.
READ, WRITTEN = (
    re.compile(r'"GET [^"]*mlflow-artifacts/artifacts/'),
    re.compile(r'"PUT [^"]*mlflow-artifacts/artifacts/'),
)


@pytest.fixture(scope="module")
def storage() -> Iterator[ObjectStorage]:
    """An S3 service."""
    with object_storage() as found:
        yield found


@pytest.fixture(scope="module")
def server(servers: Servers, storage: ObjectStorage) -> MlflowServer:
    """A server that keeps its artifacts there."""
    return storage.server(servers, "one")


@pytest.fixture
async def end(server: MlflowServer, storage: ObjectStorage) -> AsyncIterator[Server]:
    """That server as a destination, with its storage named."""
    async with connected(Endpoint(uri=server.url, storage=storage.url), "destination", patience=SHORT) as found:
        yield found


def lines(server: MlflowServer, pattern: re.Pattern[str]) -> int:
    """How many lines of a server's log match."""
    return len(pattern.findall(server.log.read_text()))


def some_bytes(size: int) -> bytes:
    """Bytes that no two parts share."""
    return random.Random(size).randbytes(size)


async def stream(content: bytes) -> AsyncIterator[bytes]:
    """Give a file in chunks that fit into no part."""
    for start in range(0, len(content), 1_000_003):
        yield content[start : start + 1_000_003]


def test_a_tenant_goes_into_storage_and_out_of_it_with_every_file(
    servers: Servers, small_server: MlflowServer, small_tenant: object, storage: ObjectStorage, tmp_path: Path
) -> None:
    source, between, last = servers.copy(small_server), storage.server(servers, "two"), servers.start()
    large = tmp_path / "large file ü.bin"
    large.write_bytes(some_bytes(LARGE))
    client = MlflowClient(source.url)
    run = client.create_run("0").info.run_id
    client.log_artifact(run, str(large), "in a folder")
    client.set_terminated(run)
    stored = Endpoint(uri=between.url, storage=storage.url)

    plan = planned(source, stored, tmp_path / "in")
    assert foretold(plan, migrated(source, stored, tmp_path / "in"))
    keys = [one["Key"] for one in storage.client.list_objects_v2(Bucket=BUCKET, Prefix="two/")["Contents"]]
    (key,) = (key for key in keys if key.endswith(large.name))
    assert "-3" in storage.client.head_object(Bucket=BUCKET, Key=key)["ETag"]  # It came in three parts.
    assert lines(between, WRITTEN) == len(keys) - 1
    assert told(verified(source, stored, level=Level.FULL)) == []

    before = lines(between, READ)
    plan = planned(stored, last, tmp_path / "out")
    assert foretold(plan, migrated(stored, last, tmp_path / "out"))
    assert lines(between, READ) == before
    assert compare(between.url, last.url) == []
    assert storage.begun() == []


@pytest.mark.parametrize("size", [PART + 1, 2 * PART, 2 * PART + 1])
async def test_a_file_in_parts_arrives_whole_whatever_its_size(end: Server, size: int) -> None:
    content, place = some_bytes(size), serviced(end, f"0/{size}")
    await place.write("large", stream(content), size)
    assert await place.entries("") == [Entry("large", is_dir=False, size=size)]
    assert await digested(end.client, place, "large") == Stored.of(content)


async def test_what_is_small_takes_one_request_and_goes_through_the_server(end: Server, server: MlflowServer) -> None:
    place, before = serviced(end, "0/small"), lines(server, WRITTEN)
    await place.write("whole", b"small", 5)
    await place.write("streamed", stream(bytes(PART)), PART)
    assert lines(server, WRITTEN) == before + 2


@pytest.mark.parametrize("fault", [Fault.RESET_BEFORE, Fault.RESET_AFTER, Fault.ERROR_503, Fault.SILENT])
async def test_a_part_that_meets_trouble_is_sent_again_alone(
    servers: Servers, storage: ObjectStorage, small_server: MlflowServer, fault: Fault
) -> None:
    asked: list[Asked] = []

    def rule(one: Asked) -> Fault:
        if one.method != "PUT":
            return Fault.PASS
        asked.append(one)
        return fault if len(asked) == 2 else Fault.PASS

    faults, content = Faults(), some_bytes(LARGE)
    async with proxied(storage.url, faults, "storage") as gate:
        behind = await anyio.to_thread.run_sync(storage.server, servers, f"fault {fault.name}", gate.url)
        endpoint = Endpoint(uri=behind.url, storage=gate.url)
        async with connected(endpoint, "destination", patience=Patience(60.0, 0.01, reply=5.0)) as end:
            faults.rule = rule
            await serviced(end, "0/run").write("large", stream(content), LARGE)
    assert len(asked) == 3 + 1
    assert storage.content(f"fault {fault.name}/0/run/large") == content


async def test_a_completion_whose_reply_is_lost_has_the_file_sent_anew(
    server: MlflowServer, storage: ObjectStorage, small_server: MlflowServer
) -> None:
    content, lost = some_bytes(LARGE), list[str]()

    def rule(asked: Asked) -> Fault:
        if "mpu/complete" in asked.path and not lost:
            lost.append(asked.path)
            return Fault.RESET_AFTER
        return Fault.PASS

    async with (
        proxied(server.url, Faults(rule)) as gate,
        connected(Endpoint(uri=gate.url, storage=storage.url), "destination", patience=SHORT) as end,
        connected(Endpoint(uri=small_server.url), "source", patience=SHORT) as source,
    ):
        origin = Proxied(source, "0/signed")
        await origin.write("large", stream(content), LARGE)
        place = serviced(end, "0/completed")
        brought = await copied(Copier(source.client, end.client), origin, place)
        assert lost
        assert brought.written == {"large": Stored.of(content)}
        assert await digested(end.client, place, "large") == Stored.of(content)


async def test_an_upload_that_fails_is_taken_back(end: Server, storage: ObjectStorage) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield some_bytes(PART + 1)
        raise TemporaryTrouble("The source is gone.", "")

    with pytest.raises(TemporaryTrouble, match="gone"):
        await serviced(end, "0/broken").write("large", breaking(), LARGE)
    assert storage.begun() == []
    assert end.storage is not None
    assert end.storage.parts.borrowed_tokens == 0


async def test_storage_that_declines_is_told_with_what_helps(end: Server, storage: ObjectStorage) -> None:
    place = serviced(end, "0/run")
    assert isinstance(place, Signed)
    nowhere = _Address(f"{storage.url}/no-bucket/key?partNumber=1&uploadId=none&X-Amz-Signature=0123abcd")
    with pytest.raises(ObjectError, match=r"storage PUT no-bucket/key: HTTP 404.* Without --dst-storage") as raised:
        await place._put(nowhere, b"piece")
    assert "0123abcd" not in str(raised.value)


async def test_storage_that_nobody_named_is_not_entered(server: MlflowServer, storage: ObjectStorage) -> None:
    endpoint = Endpoint(uri=server.url, storage="https://s3.example.com/any?path=1")
    async with connected(endpoint, "destination", patience=SHORT) as end:
        with pytest.raises(FatalError, match=rf"at {storage.url}, not at https://s3.example.com. Give --dst-storage"):
            await serviced(end, "0/run").write("large", stream(bytes(LARGE)), LARGE)
    assert storage.begun() == []


@pytest.mark.parametrize("name", ["source", "destination"])
async def test_a_server_that_signs_nothing_is_told_at_the_start(small_server: MlflowServer, name: str) -> None:
    with pytest.raises(FatalError, match=rf"The {name} signs no addresses .*Leave out --(src|dst)-storage"):
        async with connected(Endpoint(uri=small_server.url, storage="https://s3.example.com"), name):
            pytest.fail("It was opened.")


def test_a_local_store_has_no_storage_of_its_own(tmp_path: Path) -> None:
    store = Endpoint(uri=f"sqlite:///{tmp_path / 'mlflow.db'}", storage="https://s3.example.com")
    with pytest.raises(UsageError, match="--src-storage is for a server"):
        migrated(store, "http://127.0.0.1:9", tmp_path / "work")


@pytest.mark.parametrize("key", ["plain", "with space", "ü + & = % ? ' ~", "a/b//c", "(1)*!@$,;:"])
async def test_a_signed_address_is_sent_letter_by_letter_as_it_was_signed(server: MlflowServer, key: str) -> None:
    async with serving() as seen:
        url = seen.url().rstrip("/")
        login = {"aws_access_key_id": "AKIATESTS", "aws_secret_access_key": "tests-only"}
        signing = boto3.client("s3", endpoint_url=url, region_name="eu-central-1", **login)
        named = {"Bucket": BUCKET, "Key": key, "ResponseContentDisposition": f'attachment; filename="{key}"'}
        signed = signing.generate_presigned_url("get_object", Params=named)
        async with connected(Endpoint(uri=server.url, storage=url), "destination", patience=SHORT) as end:
            assert end.storage is not None
            async with end.storage.client.download(end.storage.route(signed)) as chunks:
                assert [chunk async for chunk in chunks]
        assert seen.seen[-1].target == signed.removeprefix(url)
        assert httpx.URL(signed).query
