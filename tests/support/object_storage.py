"""An S3 service on loopback, for MLflow servers that keep their artifacts in object storage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

from tests.support.ports import free_port
from tests.support.servers import MlflowServer, Servers

BUCKET = "artifacts"
_LOGIN = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests-only", "AWS_DEFAULT_REGION": "eu-central-1"}


@dataclass(frozen=True)
class ObjectStorage:
    """The service, with one bucket; ``client`` is that of the bucket's owner."""

    url: str
    client: Any = field(repr=False)

    def server(self, servers: Servers, folder: str, url: str | None = None) -> MlflowServer:
        """Starts an MLflow server over a folder of the bucket; ``url`` is where it reaches the service."""
        env = {**_LOGIN, "MLFLOW_S3_ENDPOINT_URL": url or self.url}
        return servers.start(env=env, artifacts=f"s3://{BUCKET}/{folder}")

    def content(self, key: str) -> bytes:
        """Returns the bytes of an object."""
        return bytes(self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def begun(self) -> list[str]:
        """Returns the keys of uploads that were begun and neither completed nor taken back."""
        found = self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        return [upload["Key"] for upload in found]


@contextmanager
def object_storage() -> Iterator[ObjectStorage]:
    """Runs the service in this process, which remembers the buckets of an earlier one: all are dropped first."""
    port = free_port()
    service = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    service.start()
    s3_backends.reset()
    try:
        url = f"http://127.0.0.1:{port}"
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name=_LOGIN["AWS_DEFAULT_REGION"],
            aws_access_key_id=_LOGIN["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=_LOGIN["AWS_SECRET_ACCESS_KEY"],
        )
        where = {"LocationConstraint": _LOGIN["AWS_DEFAULT_REGION"]}
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
        yield ObjectStorage(url, client)
    finally:
        service.stop()
